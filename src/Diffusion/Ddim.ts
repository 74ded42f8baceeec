/**
 * Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502).
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
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
const variance = (
  from: { readonly alpha: number; readonly sigma: number },
  to: { readonly alpha: number; readonly sigma: number }
): number => to.sigma ** 2 * (1 - ((from.alpha * to.sigma) / (to.alpha * from.sigma)) ** 2)
