/**
 * Few steps with networks that were distilled for it: consistency models and their like, whose estimate f of the data is taken for the data
 * itself, to which noise is added again:
 *
 *     x_t = α_t f(x_s, s) + √(σ_t² − α_t²ϵ²) z
 *
 * (Song et al. 2023, arXiv:2303.01469, algorithm 1, in any α and σ), where ϵ is the noise of the plan's last level, at which f is the identity.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"
import type * as Schedule from "./Schedule.ts"

/** The noise that is added again; what a plan ends with, it ends with. */
const again = (to: Plan.Level, last: Plan.Level): number =>
  Math.sqrt(Math.max(0, to.sigma ** 2 - ((to.alpha * last.sigma) / last.alpha) ** 2))

/**
 * Multistep consistency sampling. `noise` is the deviation of z, 1 unless told. The denoiser's prediction is `consistency`, and {@link plan} gives
 * plans. Throws `DiffusionError` for a deviation below 0.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: { readonly noise?: number } = {}): Sampler.Sampler => {
  const { noise = 1 } = options
  demand(
    noise >= 0,
    "Consistency.make",
    "options",
    `the noise's deviation must not be below 0, but is ${noise}`
  )
  return Sampler.linear("consistency", ({ levels }) =>
    levels.slice(1).map((to, i) => ({
      level: levels[i],
      next: { x: { data: to.alpha, fresh: noise * again(to, levels[levels.length - 1]) } }
    }))
  )
}

/**
 * Latent consistency models (Luo et al. 2023, arXiv:2310.04378): the network predicts noise, data or v at a timestep t as it did before it
 * was distilled, and
 *
 *     f = c_skip x + c_out x₀,  c_skip = d²/((kt)² + d²),  c_out = kt/√((kt)² + d²)
 *
 * with the deviation d of data, 0.5 unless told, and the `scaling` k of timesteps, 10 unless told. {@link distilled} gives plans. Throws
 * `DiffusionError` unless both are above 0.
 *
 * @since 0.1.0
 * @category samplers
 */
export const latent = (
  options: { readonly scaling?: number; readonly deviation?: number } = {}
): Sampler.Sampler => {
  const { scaling = 10, deviation = 0.5 } = options
  demand(
    scaling > 0 && deviation > 0,
    "Consistency.latent",
    "options",
    `the scaling and the deviation must be above 0, not ${scaling} and ${deviation}`
  )
  return Sampler.linear("LCM", ({ levels }) =>
    levels.slice(1).map((to, i) => {
      const from = levels[i]
      demand(
        from.timestep >= 0,
        "LCM",
        "plan",
        `level ${i} has the timestep ${from.timestep}, but LCM's are those of a discrete schedule, from 0 up: take a plan of Consistency.distilled`
      )
      const place = scaling * from.timestep
      const skip = deviation ** 2 / (place ** 2 + deviation ** 2)
      const out = place / Math.hypot(place, deviation)
      return {
        level: from,
        next: {
          x: {
            x: to.alpha * skip,
            data: to.alpha * out,
            fresh: again(to, levels[levels.length - 1])
          }
        }
      }
    })
  )
}

/**
 * Trajectory consistency distillation (Zheng et al. 2024, arXiv:2402.19159, strategic stochastic sampling): each step goes by DDIM to a
 * level s′ with less noise than the next one, t, the timestep of s′ being (1 − γ)t, and adds noise from there to t,
 *
 *     x_s′ = α_s′ x₀ + σ_s′ ε,  x_t = (α_t/α_s′) x_s′ + √(σ_t² − (α_t/α_s′)²σ_s′²) z.
 *
 * γ = 0 is deterministic, γ = 1 as stochastic as a consistency model; 0.3 unless told. Timesteps of s′ are whole ones, the next below,
 * unless they may be `fractional`. {@link distilled} gives plans; diffusers' end at the schedule's `first` level. Throws `DiffusionError` for γ
 * outside of [0, 1].
 *
 * @since 0.1.0
 * @category samplers
 */
export const trajectory = (
  options: { readonly gamma?: number; readonly fractional?: boolean } = {}
): Sampler.Sampler => {
  const { gamma = 0.3, fractional = false } = options
  demand(
    gamma >= 0 && gamma <= 1,
    "Consistency.trajectory",
    "options",
    `γ must lie between 0 and 1, not ${gamma}`
  )
  return Sampler.linear(`TCD, γ = ${gamma}`, (plan) =>
    plan.levels.slice(1).map((to, i) => {
      const timestep = (1 - gamma) * to.timestep
      // a product that should be whole may lie a rounding error below
      const wanted = fractional ? timestep : Math.floor(timestep + 1e-9)
      const found = wanted < to.timestep ? Plan.atTimestep(plan, wanted) : to
      const below = found.sigma * to.alpha < to.sigma * found.alpha ? found : to
      const ratio = to.alpha / below.alpha
      const fresh = Math.sqrt(Math.max(0, to.sigma ** 2 - (ratio * below.sigma) ** 2))
      return {
        level: plan.levels[i],
        next: {
          x: {
            data: to.alpha,
            noise: ratio * below.sigma,
            ...(gamma === 0 ? {} : { fresh })
          }
        }
      }
    })
  )
}

/**
 * A plan for consistency models: of the noise levels σᵢ = (max^(1/ρ) + i/(n − 1)(min^(1/ρ) − max^(1/ρ)))^ρ that they were distilled with, i from 0
 * to `of` − 1, those at some `places`, and at last the least. A number of places stands for 0, ⌊of/number⌋, 2⌊of/number⌋ and so on. The
 * network is told 250 ln σ. `max` is 80, `min` 0.002, ρ 7 and `of` 40 unless told. Throws `DiffusionError` for places that do not rise, or are not there.
 *
 * ```ts
 * const plan = Consistency.plan([0, 22])
 * ```
 *
 * @since 0.1.0
 * @category plans
 */
export const plan = (
  places: number | ReadonlyArray<number>,
  options: {
    readonly max?: number
    readonly min?: number
    readonly rho?: number
    readonly of?: number
  } = {}
): Plan.Plan => {
  const { max = 80, min = 0.002, rho = 7, of = 40 } = options
  const own =
    typeof places === "number"
      ? Array.from({ length: places }, (_, i) => i * Math.floor(of / places))
      : places
  demand(
    own.length > 0 && own.every((place, i) => place >= 0 && place < of && !(place <= own[i - 1])),
    "Consistency.plan",
    "plan",
    `places must rise from 0 to at most ${of - 1}, and there must be one at least, not ${JSON.stringify(places)}`
  )
  demand(
    min > 0 && max > min && rho > 0,
    "Consistency.plan",
    "plan",
    `noise from ${max} to ${min} along a power of ${rho} does not fall to above 0`
  )
  const level = (sigma: number): Plan.Level => ({
    timestep: 250 * Math.log(sigma),
    alpha: 1,
    sigma
  })
  const [high, low] = [max ** (1 / rho), min ** (1 / rho)]
  return Plan.make(
    [...own.filter((place) => place < of - 1), of - 1].map((place) =>
      level(place === of - 1 ? min : (high + (place / (of - 1)) * (low - high)) ** rho)
    ),
    (logSnr) => level(Math.min(Math.max(Math.exp(-logSnr / 2), min), max)),
    "Consistency.plan"
  )
}

/**
 * A plan for networks that were distilled along `of` equally spaced timesteps, 50 unless told: ⌊T/of⌋ − 1, 2⌊T/of⌋ − 1 and so on, of which
 * `count` are taken. For an image that gets only some noise, `strength` is the part of the timesteps to choose from, 1 unless told. Throws
 * `DiffusionError` for more steps than there are to choose from.
 *
 * ```ts
 * const plan = Consistency.distilled(Schedule.scaledLinear({ start: 0.00085, end: 0.012 }), 4)
 * ```
 *
 * @since 0.1.0
 * @category plans
 */
export const distilled = (
  schedule: Schedule.Discrete,
  count: number,
  options: Plan.EndOptions & { readonly of?: number; readonly strength?: number } = {}
): Plan.Plan => {
  const { of = 50, strength = 1, ...end } = options
  const total = schedule.betas.length
  const ratio = Math.floor(total / of)
  const known = Math.floor(of * strength)
  demand(
    Number.isInteger(of) && of > 0 && of <= total && strength > 0 && strength <= 1,
    "Consistency.distilled",
    "plan",
    `${of} timesteps at a strength of ${strength} must be a whole number up to ${total}, and a part in (0, 1]`
  )
  demand(
    Number.isInteger(count) && count > 0 && count <= known,
    "Consistency.distilled",
    "plan",
    `${count} steps must be a whole number between 1 and the ${known} timesteps to choose from`
  )
  return Plan.fromTimesteps(
    schedule,
    Array.from({ length: count }, (_, i) => {
      const place = Math.floor((i * known) / count)
      return (known - place) * ratio - 1
    }),
    end,
    "Consistency.distilled"
  )
}
