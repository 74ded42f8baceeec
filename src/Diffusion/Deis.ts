/**
 * DEIS: diffusion exponential integrator sampler (Zhang and Chen 2022, arXiv:2204.13902).
 *
 * With ρ = σ/α the probability-flow ODE is d(x/α) = ε dρ. ε is replaced by the polynomial in log ρ through its values at the last k
 * levels (Adams–Bashforth, the form called tAB-DEIS, in log ρ rather than t), and integrated exactly:
 *
 *     x_t/α_t = x_s/α_s + Σ Cⱼ εⱼ,  Cⱼ = ∫ Lⱼ(log ρ) dρ from ρ_s to ρ_t.
 *
 * As log ρ = −λ, that is an exponential integrator of predicted noise (see `Dpm`), of which all moments are exact.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as exponential from "./internal/exponential.ts"
import * as Sampler from "./Sampler.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** From 1 to 4; 2 unless told. */
  readonly order?: number
  /** Whether the last steps are of lower order, as in `Dpm`: where a plan has fewer than 15 steps unless told. */
  readonly lowerOrderFinal?: boolean | number
  /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
  readonly clipped?: boolean
}

/**
 * DEIS in log ρ. Of order 1 it is DDIM. Throws `DiffusionError` for an order out of range.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options = {}): Sampler.Sampler => {
  const { order = 2, lowerOrderFinal, clipped = false } = options
  demand(
    Number.isInteger(order) && order >= 1 && order <= 4,
    "Deis.make",
    "options",
    `the order must be 1, 2, 3 or 4, not ${order}`
  )
  return Sampler.linear(`DEIS, order ${order}`, (plan) =>
    exponential.multistep(plan, {
      prediction: "noise",
      source: exponential.sourceOf("noise", clipped),
      order: exponential.falling(order, lowerOrderFinal, exponential.ends(plan)),
      rule: exponential.exact,
      eta: () => 0
    })
  )
}
