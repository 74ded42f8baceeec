/**
 * Pseudo numerical methods (Liu et al. 2022, arXiv:2202.09778): classical methods for dx/dt, in which a step of DDIM takes the place of a
 * straight line,
 *
 *     φ(x, e, s, t) = (α_t/α_s) x + (σ_t − α_tσ_s/α_s) e                                        (equation 11)
 *
 * from a level s to a level t, exact if the noise does not change. Runge–Kutta's e is (e₁ + 2e₂ + 2e₃ + e₄)/6 of four evaluations at s,
 * halfway and t (equation 13), and the linear multistep method's is of the last four steps (equation 12),
 *
 *     e = (55e_s − 59e_{s+1} + 37e_{s+2} − 9e_{s+3})/24,
 *
 * or the formula of lower order where there are fewer. They are Adams and Bashforth's, for steps that are equally long in time.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/** Adams and Bashforth's weights of the latest prediction and those before, by order. */
const weights: ReadonlyArray<ReadonlyArray<number>> = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24]
]

/** Predictions of the last steps, the latest first. */
const history = ["e1", "e2", "e3"] as const

const times = (factor: number, sum: Sampler.Sum): Sampler.Sum =>
  Object.fromEntries(Object.entries(sum).map(([name, each]) => [name, factor * each]))

/** What is predicted, and what a step makes of it. */
interface Transfer {
  /** What is read at a level. */
  readonly read: (level: Plan.Level) => Sampler.Sum
  /** φ of the register `x` or another. */
  readonly step: (
    from: Plan.Level,
    to: Plan.Level,
    predicted: Sampler.Sum,
    x?: string
  ) => Sampler.Sum
}

const ofNoise: Transfer = {
  read: () => ({ noise: 1 }),
  step: (from, to, predicted, x = "x") => {
    const ratio = to.alpha / from.alpha
    return { [x]: ratio, ...times(to.sigma - ratio * from.sigma, predicted) }
  }
}

/** φ in terms of v = αε − σx₀: a rotation. */
const ofV: Transfer = {
  read: ({ alpha, sigma }) => ({ noise: alpha, data: -sigma }),
  step: (from, to, predicted, x = "x") => ({
    [x]: to.alpha * from.alpha + to.sigma * from.sigma,
    ...times(to.sigma * from.alpha - to.alpha * from.sigma, predicted)
  })
}

/** A multistep step after so many others. */
const multistep = (
  { read, step }: Transfer,
  from: Plan.Level,
  to: Plan.Level,
  before: number,
  order = 4
): Sampler.Row => {
  const [latest, ...rest] = weights[Math.min(before + 1, order) - 1]
  const earlier = Object.fromEntries(rest.map((weight, i) => [history[i], weight]))
  const x = step(from, to, { ...times(latest, read(from)), ...earlier })
  return { level: from, next: { x, ...remembered(read(from), order) } }
}

/** The history with another prediction. */
const remembered = (latest: Sampler.Sum, order = 4) =>
  Object.fromEntries(
    history
      .slice(0, order - 1)
      .map((name, i) => [name, i === 0 ? latest : { [history[i - 1]]: 1 }] as const)
  )

/** Four evaluations from a level to another. */
const rungeKutta = (
  { read, step }: Transfer,
  from: Plan.Level,
  middle: Plan.Level,
  to: Plan.Level
): ReadonlyArray<Sampler.Row> => {
  const mean = (level: Plan.Level, weight: number) => ({ mean: 1, ...times(weight, read(level)) })
  return [
    {
      level: from,
      next: {
        x: step(from, middle, read(from)),
        start: { x: 1 },
        mean: times(1 / 6, read(from)),
        ...remembered(read(from))
      }
    },
    {
      level: middle,
      next: { x: step(from, middle, read(middle), "start"), mean: mean(middle, 1 / 3) }
    },
    {
      level: middle,
      next: { x: step(from, to, read(middle), "start"), mean: mean(middle, 1 / 3) }
    },
    { level: to, next: { x: step(from, to, mean(to, 1 / 6), "start") } }
  ]
}

/**
 * Euler's method, corrected by the mean of the predictions at both ends: a first step without a history. The second prediction is not
 * remembered, for it will be made again of the corrected state.
 */
const corrected = (
  { read, step }: Transfer,
  from: Plan.Level,
  to: Plan.Level
): ReadonlyArray<Sampler.Row> => [
  {
    level: from,
    next: { x: step(from, to, read(from)), start: { x: 1 }, ...remembered(read(from)) }
  },
  {
    level: to,
    next: { x: step(from, to, { ...times(1 / 2, read(to)), e1: 1 / 2 }, "start") }
  }
]

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How it begins: with three steps of Runge–Kutta, four evaluations each (`rungeKutta`, as in the paper, F-PNDM), or with the multistep
   * method of lower orders after one corrected step (`multistep`, PLMS as Stable Diffusion has it). `rungeKutta` unless told.
   */
  readonly warmUp?: "rungeKutta" | "multistep"
  /**
   * What is averaged: predicted noise, as in the paper, whatever the network predicts, of the second order; or v = αε − σx₀, where
   * α² + σ² = 1 is needed, as diffusers has it for networks that predict v. As v turns on the way, that is of the first order only, and there
   * to compare. `noise` unless told.
   */
  readonly of?: "noise" | "v"
}

/**
 * PNDM. Clipped data has no effect on predicted noise, and thus none here but for `of: "v"`. Halfway is meant in timesteps. Throws
 * `DiffusionError` for a plan that begins without signal, unless `v` is averaged. Where a plan begins with next to none (σ/α in the
 * thousands), its extrapolations explode: begin it later, or take another sampler.
 *
 * ```ts
 * const plan = Plan.spaced(Schedule.linear(), 50, { end: "first" })
 * const images = Sampler.sample({ sampler: Pndm.make(), plan, denoiser }, x).x
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options = {}): Sampler.Sampler => {
  const { warmUp = "rungeKutta", of = "noise" } = options
  const what = "Pndm.make"
  demand(
    warmUp === "rungeKutta" || warmUp === "multistep",
    what,
    "options",
    `warmUp must be rungeKutta or multistep, not ${warmUp}`
  )
  demand(of === "noise" || of === "v", what, "options", `of must be noise or v, not ${of}`)
  const name = warmUp === "rungeKutta" ? "PNDM" : "PLMS"
  const transfer = of === "noise" ? ofNoise : ofV
  return Sampler.linear(name, (plan) => {
    const { levels } = plan
    const count = levels.length - 1
    demand(
      of === "noise" ||
        levels.every(({ alpha, sigma }) => Math.abs(alpha ** 2 + sigma ** 2 - 1) < 1e-6),
      name,
      "plan",
      "v is averaged where α² + σ² = 1: average noise, or take a plan that preserves variance"
    )
    // these also ask at the end of a step, which is of no use where there is no noise
    const able = levels[count].sigma > 0 ? count : count - 1
    const warm = Math.min(warmUp === "rungeKutta" ? 3 : 1, able)
    return levels.slice(1).flatMap((to, i) => {
      const from = levels[i]
      if (i >= warm) return [multistep(transfer, from, to, Math.min(i, 3))]
      if (warmUp === "multistep") return corrected(transfer, from, to)
      const middle = Plan.atTimestep(plan, (from.timestep + to.timestep) / 2)
      return rungeKutta(transfer, from, middle, to)
    })
  })
}

/**
 * iPNDM: the multistep method alone, of lower orders until there is a history (Zhang and Chen 2022, arXiv:2204.13902). A level without signal can be gone from in a first step only: by the denoiser's data, or with `blind` as if it were 0, as diffusers
 * has it. Throws `DiffusionError` for an order outside of 1 to 4.
 *
 * @since 0.1.0
 * @category samplers
 */
export const improved = (
  options: { readonly order?: number; readonly blind?: boolean } = {}
): Sampler.Sampler => {
  const { order = 4, blind = false } = options
  demand(
    [1, 2, 3, 4].includes(order),
    "Pndm.improved",
    "options",
    `the order must be 1, 2, 3 or 4, not ${order}`
  )
  return Sampler.linear("iPNDM", ({ levels }) =>
    levels.slice(1).map((to, i) => {
      const from = levels[i]
      if (from.alpha > 0) return multistep(ofNoise, from, to, i, order)
      return {
        level: from,
        next: {
          x: { data: blind ? 0 : to.alpha, noise: to.sigma },
          ...remembered(ofNoise.read(from), order)
        }
      }
    })
  )
}

/**
 * A plan for {@link improved} and networks in continuous time that predict v: σᵢ = sin²(π(1 − i/n)/2), α = √(1 − σ²), and the network is
 * told (2/π) arctan σ/α, from 1 to 0 (diffusers' `IPNDMScheduler`). It begins without signal.
 *
 * @since 0.1.0
 * @category plans
 */
export const plan = (count: number): Plan.Plan => {
  demand(
    Number.isInteger(count) && count > 0,
    "Pndm.plan",
    "plan",
    `${count} steps must be a whole number above 0`
  )
  const level = (alpha: number, sigma: number): Plan.Level => ({
    timestep: (2 / Math.PI) * Math.atan2(sigma, alpha),
    alpha,
    sigma
  })
  return Plan.make(
    Array.from({ length: count + 1 }, (_, i) => {
      const sigma = Math.sin((Math.PI / 2) * (1 - i / count)) ** 2
      return level(Math.sqrt(1 - sigma ** 2), sigma)
    }),
    (logSnr) => level(1 / Math.sqrt(1 + Math.exp(-logSnr)), 1 / Math.sqrt(1 + Math.exp(logSnr))),
    "Pndm.plan"
  )
}
