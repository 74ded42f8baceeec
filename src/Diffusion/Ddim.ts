/**
 * Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502).
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import type { Level } from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/**
 * From a level s to a level t, with σ̃ of equation 16,
 *
 *     x_t = α_t x₀ + √(σ_t² − σ̃²) ε + σ̃ z,  σ̃ = η σ_t √(1 − (α_sσ_t/(α_tσ_s))²),
 *
 * deterministic for η = 0, and with DDPM's variance for η = 1. ε is the predicted noise, even where x₀ was clipped, unless `clipped` is
 * told: then it is that of the clipped x₀. Throws `DiffusionError` for η outside of [0, 1].
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (
  options: { readonly eta?: number; readonly clipped?: boolean } = {}
): Sampler.Sampler => {
  const { eta = 0, clipped = false } = options
  demand(eta >= 0 && eta <= 1, "Ddim.make", "options", `η must lie between 0 and 1, not ${eta}`)
  return Sampler.linear(eta === 0 ? "DDIM" : `DDIM, η = ${eta}`, ({ levels }) =>
    levels.slice(1).map((to, i) => {
      const from = levels[i]
      const deviation = eta * Math.sqrt(Math.max(0, variance(from, to)))
      const rest = Math.sqrt(Math.max(0, to.sigma ** 2 - deviation ** 2))
      return {
        level: from,
        next: {
          x: {
            data: to.alpha,
            [clipped ? "slope" : "noise"]: rest,
            ...(eta === 0 ? {} : { fresh: deviation })
          }
        }
      }
    })
  )
}

/** Of x_t given x_s and x₀ (Ho et al. 2020, equation 7): σ_t²(1 − α_s²σ_t²/(α_t²σ_s²)). */
const variance = (from: Level, to: Level): number =>
  to.sigma ** 2 * (1 - ((from.alpha * to.sigma) / (to.alpha * from.sigma)) ** 2)

/**
 * Inversion: the noise that DDIM makes given data of. It goes along the plan backwards: `x` is a state at the plan's *last* level, data
 * itself most often, and what it becomes belongs to the first. A step from t up to s undoes
 *
 *     x_t = α_t x₀ + σ_t ε(x_s, s),  so that  x_s = (α_s/α_t) x_t + (σ_s − α_sσ_t/α_t) ε(x_s, s),
 *
 * where x_s is not known yet: ε(x_t, s) stands for ε(x_s, s), the network being told the timestep of s. The more steps, the nearer {@link make}
 * along the same plan returns to where one began. `refinements` fixed-point iterations of the equation for each step, with as many more
 * evaluations, bring it nearer still (Pan et al. 2023, arXiv:2309.04907).
 *
 * Where the denoiser clips, the first x_s is made of the clipped x₀. A denoiser that predicts data does not know the noise of data itself: let
 * the plan end at the schedule's `first` level. Throws `DiffusionError` for refinements that are not a whole number from 0.
 *
 * ```ts
 * const noise = Sampler.sample({ sampler: Ddim.inverse(), plan, denoiser }, images).x
 * const again = Sampler.sample({ sampler: Ddim.make(), plan, denoiser }, noise).x
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const inverse = (options: { readonly refinements?: number } = {}): Sampler.Sampler => {
  const { refinements = 0 } = options
  demand(
    Number.isInteger(refinements) && refinements >= 0,
    "Ddim.inverse",
    "options",
    `refinements must be a whole number from 0, not ${refinements}`
  )
  return Sampler.linear("DDIM inversion", ({ levels }) =>
    levels
      .slice(1)
      .map((from, i) => ({ from, to: levels[i] }))
      .reverse()
      .flatMap(({ from, to }): ReadonlyArray<Sampler.Row> => {
        const ratio = to.alpha / from.alpha
        return [
          {
            level: { ...from, timestep: to.timestep },
            next: {
              x: { data: to.alpha, noise: to.sigma },
              ...(refinements === 0 ? {} : { base: { x: 1 } })
            }
          },
          ...Array.from({ length: refinements }, () => ({
            level: to,
            next: { x: { base: ratio, noise: to.sigma - ratio * from.sigma } }
          }))
        ]
      })
  )
}
