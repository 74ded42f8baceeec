/**
 * Denoising diffusion probabilistic models (Ho et al. 2020, arXiv:2006.11239).
 *
 * From a level s to a level t with less noise, whatever lies in between, x_s = (α_s/α_t)x_t + σ_{s|t}z with σ²_{s|t} = σ_s² − (α_s/α_t)²σ_t².
 * Given x₀, x_t is then normal (equations 6 and 7) with
 *
 *     μ = (α_t σ²_{s|t} x₀ + (α_s/α_t) σ_t² x_s)/σ_s²,  β̃ = σ²_{s|t} σ_t²/σ_s².
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import type { State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import type { Level } from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/**
 * The variance of a step: β̃ (`small`: right for data that is a point) or σ²_{s|t} (`large`: right for data that is standard normal, where
 * α² + σ² = 1), section 3.2; that which the network says (`learned`), or the network's place between −1 and 1 from log β̃ to log σ²_{s|t} (`learnedRange`: Nichol and
 * Dhariwal 2021, arXiv:2102.09672, equation 15).
 *
 * diffusers' `fixed_small_log` and `fixed_large_log` are the same numbers by way of their logarithms.
 *
 * @since 0.1.0
 * @category models
 */
export type Variance = "small" | "large" | "learned" | "learnedRange"

/**
 * Ancestral sampling: x_t = μ + √variance·z. There is no noise in a step to a level without noise. Learned variances need a denoiser
 * with `learnsVariance`; without it, stepping throws `DiffusionError`.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: { readonly variance?: Variance } = {}): Sampler.Sampler => {
  const { variance = "small" } = options
  const known: ReadonlyArray<Variance> = ["small", "large", "learned", "learnedRange"]
  demand(
    known.includes(variance),
    "Ddpm.make",
    "options",
    `the variance must be one of ${known.join(", ")}, not ${variance}`
  )
  const name = `DDPM, ${variance} variance`
  return variance === "small" || variance === "large"
    ? Sampler.linear(name, ({ levels }) => rows(levels, variance))
    : learned(name, variance)
}

/** Of x_t given x_s and x₀: coefficients of the mean, β̃, and σ²_{s|t}. */
const posterior = (from: Level, to: Level) => {
  const ratio = from.alpha / to.alpha
  const [before, after] = [from.sigma ** 2, to.sigma ** 2]
  const large = before - ratio ** 2 * after
  return {
    x: (ratio * after) / before,
    data: (to.alpha * large) / before,
    small: (large * after) / before,
    large
  }
}

const rows = (
  levels: ReadonlyArray<Level>,
  variance: "small" | "large" | "none"
): ReadonlyArray<Sampler.Row> =>
  levels.slice(1).map((to, i) => {
    const { x, data, small, large } = posterior(levels[i], to)
    const fresh = to.sigma === 0 ? 0 : Math.sqrt(variance === "small" ? small : large)
    return {
      level: levels[i],
      next: { x: { x, data, ...(variance === "none" ? {} : { fresh }) } }
    }
  })

const learned = (name: string, variance: "learned" | "learnedRange"): Sampler.Sampler => ({
  name,
  steps: (plan) => {
    const { levels } = plan
    const mean = Sampler.linear(name, () => rows(levels, "none")).steps(plan)
    const ends = levels.slice(1).map((to, i) => ({ ...posterior(levels[i], to), to }))
    const logs = (of: "small" | "large") =>
      ends.map((each) => (each.to.sigma === 0 ? 0 : Math.log(each[of])))
    return {
      ...mean,
      columns: {
        ...mean.columns,
        "log small": logs("small"),
        "log large": logs("large"),
        noisy: ends.map(({ to }) => (to.sigma === 0 ? 0 : 1))
      },
      stochastic: true,
      step: (given) => {
        const { row, noise, estimate } = given
        const said = estimate.variance
        demand(
          said !== undefined,
          name,
          "prediction",
          "the denoiser says nothing of the variance: make it with `learnsVariance`, or sample with a variance that is not learned"
        )
        const next = mean.step(given)
        const deviation =
          variance === "learned"
            ? Tensor.sqrt(said as State)
            : Tensor.exp(
                Tensor.mul(between(row["log small"], row["log large"], said as State), 0.5)
              )
        const drawn = Tensor.mul(Tensor.mul(deviation, noise), row.noisy)
        return { ...next, x: Tensor.add(next.x, drawn) as State }
      }
    }
  }
})

/** From one number to another, at a place between −1 and 1. */
const between = (low: State, high: State, place: State): State => {
  const part = Tensor.mul(Tensor.add(place, 1), 0.5)
  return Tensor.add(Tensor.mul(Tensor.sub(high, low), part), low) as State
}
