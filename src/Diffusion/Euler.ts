/**
 * Euler's method on the probability-flow ODE, without and with noise.
 *
 * For x = αx₀ + σε the ODE is dx = x₀ dα + ε dσ with ε = (x − αx₀)/σ: with α = 1 it is dx/dσ = ε (Karras et al. 2022, arXiv:2206.00364,
 * equation 1), and with α = 1 − σ it is dx/dσ = ε − x₀, rectified flow's (Liu et al. 2022, arXiv:2209.03003). With x₀ and ε held, both go
 * to
 *
 *     x′ = α′x₀ + σ′ε,
 *
 * so one Euler step serves every kind of plan. In terms of DDIM, it is that with the ε of the clipped x₀.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/**
 * Noise that is added before each step of an ODE's method (Karras et al. 2022, algorithm 2): it lifts σ to σ̂ = (1 + γ)σ with
 * γ = min(churn/N, √2 − 1).
 *
 * @since 0.1.0
 * @category models
 */
export interface Churn {
  /** S_churn; 0 unless told: no noise. */
  readonly churn?: number
  /** S_tmin and S_tmax: the noise levels σ/α between which noise is added, both included; everywhere unless told. */
  readonly from?: number
  readonly to?: number
  /** S_noise, the deviation of the noise that is added; 1 unless told. */
  readonly scale?: number
}

/**
 * Where step `i` of a plan begins: its level with noise added, and the row's `before` that adds it.
 *
 * @since 0.1.0
 * @category steps
 */
export const churned = (
  plan: Plan.Plan,
  i: number,
  { churn = 0, from = 0, to = Number.POSITIVE_INFINITY, scale = 1 }: Churn
): Pick<Sampler.Row, "level" | "before"> => {
  demand(
    churn >= 0 && scale >= 0 && from <= to,
    "Euler.churned",
    "options",
    `churn and scale must not be below 0, and the levels from ${from} to ${to} must rise; churn is ${churn}, scale is ${scale}`
  )
  const level = plan.levels[i]
  const ratio = level.sigma / level.alpha
  const gamma =
    ratio >= from && ratio <= to ? Math.min(churn / Plan.steps(plan), Math.SQRT2 - 1) : 0
  if (gamma === 0) return { level }
  const sigma = level.sigma * (1 + gamma)
  return {
    level: Plan.beside(plan, { alpha: level.alpha, sigma }),
    before: { x: 1, fresh: scale * Math.sqrt(sigma ** 2 - level.sigma ** 2) }
  }
}

/**
 * Euler's method; with `churn` algorithm 2 of Karras et al. (2022) without its correction.
 *
 * ```ts
 * const spaced = Plan.spaced(Schedule.linear(), 20, { spacing: "linspace", fractional: true, interpolation: "sigma" })
 * const { x } = Sampler.sample({ sampler: Euler.make(), plan: Plan.exploding(spaced), denoiser }, noise)
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Churn = {}): Sampler.Sampler =>
  Sampler.linear(options.churn ? `Euler, churn = ${options.churn}` : "Euler", (plan) =>
    plan.levels.slice(1).map(({ alpha, sigma }, i) => ({
      ...churned(plan, i, options),
      next: { x: { data: alpha, slope: sigma } }
    }))
  )

/**
 * @since 0.1.0
 * @category models
 */
export interface Ancestral {
  /** η: how much of the variance is new noise, 1 unless told; 0 is deterministic. */
  readonly eta?: number
  /** The deviation of the noise that is added; 1 unless told. */
  readonly scale?: number
}

/**
 * η and the noise's scale, as they are unless told. Throws `DiffusionError` for negative ones.
 *
 * @since 0.1.0
 * @category steps
 */
export const ancestralOptions = (
  { eta = 1, scale = 1 }: Ancestral,
  what: string
): Required<Ancestral> => {
  demand(
    eta >= 0 && scale >= 0,
    what,
    "options",
    `η and scale must not be below 0, but are ${eta} and ${scale}`
  )
  return { eta, scale }
}

/**
 * From a noise σ to a σ′: how far to go `down` without noise, and how much then to add, `up`,
 *
 *     up = min(σ′, ησ′√(1 − σ′²/σ²)),  down = √(σ′² − up²),
 *
 * for α = 1. With η = 1 it is the posterior of DDPM (k-diffusion's `get_ancestral_step`).
 *
 * @since 0.1.0
 * @category steps
 */
export const ancestralStep = (
  from: number,
  to: number,
  eta = 1
): { readonly down: number; readonly up: number } => {
  const up = Math.min(to, eta * to * Math.sqrt(1 - (to / from) ** 2))
  return { down: Math.sqrt(to ** 2 - up ** 2), up }
}

/**
 * Euler ancestral: Euler's method down to less noise than the next level has, and noise up to it. It is DDIM with the same η, with the ε
 * of the clipped x₀, in whatever coordinates (see {@link ancestralFlow} for rectified flow's own).
 *
 * @since 0.1.0
 * @category samplers
 */
export const ancestral = (options: Ancestral = {}): Sampler.Sampler => {
  const { eta, scale } = ancestralOptions(options, "Euler.ancestral")
  return Sampler.linear(`Euler ancestral, η = ${eta}`, ({ levels }) =>
    levels.slice(1).map(({ alpha, sigma }, i) => {
      const level = levels[i]
      const { down, up } = ancestralStep(level.sigma / level.alpha, sigma / alpha, eta)
      return {
        level,
        next: { x: { data: alpha, slope: alpha * down, fresh: scale * alpha * up } }
      }
    })
  )
}

/**
 * Euler ancestral for rectified flow, α = 1 − σ: with s = σ′(1 + η(σ′/σ − 1)) it goes down to the noise s, and then up with
 *
 *     x′ = (α′/(1 − s))·x_s + √(σ′² − (α′s/(1 − s))²)·z
 *
 * (ComfyUI's `sample_euler_ancestral_RF`, diffusers' `LTXEulerAncestralRFScheduler`). Throws `DiffusionError` for other plans.
 *
 * @since 0.1.0
 * @category samplers
 */
export const ancestralFlow = (options: Ancestral = {}): Sampler.Sampler => {
  const { eta, scale } = ancestralOptions(options, "Euler.ancestralFlow")
  const name = `Euler ancestral of flows, η = ${eta}`
  return Sampler.linear(name, ({ levels }) =>
    levels.slice(1).map(({ alpha, sigma }, i) => {
      const level = levels[i]
      demand(
        Math.abs(alpha + sigma - 1) < 1e-9 && Math.abs(level.alpha + level.sigma - 1) < 1e-9,
        name,
        "sampler",
        "signal and noise must sum to 1, as in Plan.flow: take Euler.ancestral for other plans"
      )
      const down = sigma * (1 + eta * (sigma / level.sigma - 1))
      const kept = (alpha * down) / (1 - down)
      const fresh = scale * Math.sqrt(Math.max(0, sigma ** 2 - kept ** 2))
      return { level, next: { x: { data: alpha, slope: kept, fresh } } }
    })
  )
}

/**
 * Nothing but the estimated data is kept of each state: x′ = α′x₀ + σ′z (diffusers' `FlowMatchEulerDiscreteScheduler` with
 * `stochastic_sampling`; what consistency models do, Song et al. 2023, arXiv:2303.01469, algorithm 1).
 *
 * @since 0.1.0
 * @category samplers
 */
export const renoised: Sampler.Sampler = Sampler.linear("renoised", ({ levels }) =>
  levels.slice(1).map(({ alpha, sigma }, i) => ({
    level: levels[i],
    next: { x: { data: alpha, fresh: sigma } }
  }))
)
