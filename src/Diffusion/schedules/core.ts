/** What a schedule is, how it is read, and how to make one. */
import { Tensor } from "../../Tensor/index.ts"
import { demand } from "../DiffusionError.ts"
import * as field from "../internal/field.ts"
import { bisect, ofLogSnr, one, placed, placeOf, trainingSteps } from "../internal/schedule.ts"

/**
 * Signal and noise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mixture<S> {
  readonly alpha: S
  readonly sigma: S
}

/**
 * Coordinates: α² + σ² = 1 (`preserving`), α = 1 (`exploding`), α + σ = 1 (`flow`), or none of these.
 *
 * @since 0.1.0
 * @category models
 */
export type Variance = "preserving" | "exploding" | "flow" | "other"

/**
 * @since 0.1.0
 * @category models
 */
export interface Schedule {
  readonly name: string
  readonly variance: Variance
  /** Signal and noise at a time. */
  readonly at: <S>(of: field.Field<S>, t: S) => Mixture<S>
  /** What a network is told of a time: its step in training, from 0, unless the schedule says otherwise. */
  readonly timestep: <S>(of: field.Field<S>, t: S) => S
  /** The same of a level, where that is what counts, such as of σ: it holds beyond the ends of the schedule too. */
  readonly timestepOf?: <S>(of: field.Field<S>, level: Mixture<S>) => S
  /** The time of a log-SNR; NaN beyond the ends. */
  readonly time: (logSnr: number) => number
}

/**
 * A schedule of T levels, i = 0 … T − 1 at the times i/(T − 1).
 *
 * @since 0.1.0
 * @category models
 */
export interface Discrete extends Schedule {
  readonly betas: ReadonlyArray<number>
  /** ᾱᵢ = ∏ (1 − βⱼ), j ≤ i. */
  readonly alphasCumprod: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isDiscrete = (schedule: Schedule): schedule is Discrete => "betas" in schedule

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

/**
 * Signal and noise at a time between 0 and 1.
 *
 * @since 0.1.0
 * @category getters
 */
export const mixture = (schedule: Schedule, t: number): Mixture<number> =>
  schedule.at(field.host, t)

/**
 * Signal and noise at times of any shape, as tensors of that shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const mixtures = <T extends Tensor.Any>(schedule: Schedule, t: T): Mixture<T> =>
  schedule.at(field.like(t), t) as Mixture<T>

/**
 * What a network is told of times, as tensors of their shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const timesteps = <T extends Tensor.Any>(schedule: Schedule, t: T): T =>
  schedule.timestep(field.like(t), t) as T

/**
 * log α²/σ² at a time: Infinity without noise, −Infinity without signal.
 *
 * @since 0.1.0
 * @category getters
 */
export const logSnr = (schedule: Schedule, t: number): number => {
  const { alpha, sigma } = mixture(schedule, t)
  return 2 * (Math.log(alpha) - Math.log(sigma))
}

/**
 * The times of log-SNRs, as a tensor of their shape: by halving, to the last bits of the dtype. Beyond the ends of the schedule they are
 * its ends.
 *
 * @since 0.1.0
 * @category getters
 */
export const times = <T extends Tensor.Any>(schedule: Schedule, logSnr: T): T => {
  const of = field.like(logSnr)
  const half = of.of(0.5)
  const [{ low, high }] = Tensor.scan({
    init: { low: of.of(0), high: of.of(1) },
    length: logSnr.dtype === "float64" ? 60 : 32,
    step: ({ low, high }) => {
      const middle = of.mul(of.add(low, high), half)
      const { alpha, sigma } = schedule.at(of, middle)
      const here = of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
      return [
        {
          low: of.less(here, logSnr, low, middle),
          high: of.less(here, logSnr, middle, high)
        },
        []
      ] as const
    }
  }) as unknown as readonly [{ readonly low: Tensor.Any; readonly high: Tensor.Any }]
  const all = of.mul(of.add(low, high), half)
  // ends that no halving reaches
  const { alpha, sigma } = schedule.at(of, of.of(0))
  const first = of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
  return of.less(logSnr, first, all, of.of(0)) as T
}

// ── Making ───────────────────────────────────────────────────────────────────────────────────────

/**
 * What a schedule is made of. Unless told, a network is told 1,000 times the time, or what `timestepOf` says of the level; and the
 * inverse is found by halving.
 *
 * @since 0.1.0
 * @category models
 */
export type Definition = Pick<Schedule, "name" | "variance" | "at"> & Partial<Schedule>

/**
 * A schedule of one's own, from α and σ as functions of the time. Throws `DiffusionError` where the log-SNR does not fall at 1,000 times
 * in between, or where α and σ are not finite, or not of the variance that they are said to be.
 *
 * ```ts
 * const mine = Schedule.make({
 *   name: "mine",
 *   variance: "flow",
 *   at: (of, t) => ({ alpha: of.sub(of.of(1), t), sigma: t })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (definition: Definition): Schedule => {
  const { at, variance, timestepOf } = definition
  const schedule: Schedule = {
    timestep: (of, t) =>
      timestepOf === undefined ? of.mul(t, of.of(trainingSteps)) : timestepOf(of, at(of, t)),
    time: (value) => bisect((t) => logSnr(schedule, t), value),
    ...definition
  }
  let before = Number.POSITIVE_INFINITY
  for (let i = 0; i <= trainingSteps; i++) {
    const t = i / trainingSteps
    const { alpha, sigma } = mixture(schedule, t)
    const value = logSnr(schedule, t)
    demand(
      alpha >= 0 && sigma >= 0 && Number.isFinite(alpha + sigma) && !Number.isNaN(value),
      schedule.name,
      "schedule",
      `at t = ${t} there is a signal of ${alpha} and a noise of ${sigma}: both must be finite and not below 0`
    )
    const whole = wholeOf(variance, alpha, sigma)
    demand(
      Math.abs(whole - 1) <= 1e-6,
      schedule.name,
      "schedule",
      `at t = ${t} ${wholes[variance]} is ${whole} instead of 1: say another variance`
    )
    demand(
      i === 0 || value < before,
      schedule.name,
      "schedule",
      `the log-SNR must fall, but it goes from ${before} to ${value} at t = ${t}`
    )
    before = value
  }
  return schedule
}

/** What is 1. */
const wholes = { preserving: "α² + σ²", exploding: "α", flow: "α + σ", other: "" } as const

const wholeOf = (variance: Variance, alpha: number, sigma: number): number => {
  switch (variance) {
    case "preserving":
      return alpha * alpha + sigma * sigma
    case "exploding":
      return alpha
    case "flow":
      return alpha + sigma
    case "other":
      return 1
  }
}

/**
 * A schedule from its log-SNR λ(t), which must fall; in variance-preserving coordinates unless told: α² = 1/(1 + e^(−λ)) (Kingma et al.
 * 2021, section 3.2). Throws `DiffusionError` as {@link make}.
 *
 * ```ts
 * const mine = Schedule.fromLogSnr({
 *   name: "mine",
 *   logSnr: (of, t) => of.sub(of.of(10), of.mul(of.of(16), t))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromLogSnr = ({
  variance = "preserving",
  logSnr,
  ...rest
}: Partial<Omit<Definition, "name" | "at" | "variance">> & {
  readonly name: string
  readonly variance?: Exclude<Variance, "other">
  readonly logSnr: <S>(of: field.Field<S>, t: S) => S
}): Schedule => make({ variance, at: (of, t) => ofLogSnr(variance, of, logSnr(of, t)), ...rest })

/**
 * A schedule from log-SNRs at times that are equally far apart, from t = 0 to t = 1, and linear in between: from measurements, or learnt.
 * Throws `DiffusionError` unless there are at least two and they fall.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromLogSnrs = (
  values: ReadonlyArray<number>,
  options: { readonly name?: string; readonly variance?: Exclude<Variance, "other"> } = {}
): Schedule => {
  const { name = "log-SNRs", variance = "preserving" } = options
  const parts = values.length - 1
  demand(
    parts > 0 && values.every((each, i) => Number.isFinite(each) && !(each >= values[i - 1])),
    name,
    "schedule",
    `there must be at least two log-SNRs, finite and falling, not ${values.slice(0, 5).join(", ")}${parts > 4 ? ", …" : ""}`
  )
  return fromLogSnr({
    name,
    variance,
    logSnr: (of, t) => {
      const { low, high, part } = placed(of, t, parts)
      const [a, b] = [of.lookup(values, low), of.lookup(values, high)]
      return of.add(a, of.mul(part, of.sub(b, a)))
    },
    time: (value) => {
      const { low, part } = placeOf(values, value)
      return (low + part) / parts
    }
  })
}

// ── Derivatives ──────────────────────────────────────────────────────────────────────────────────

/**
 * A schedule as the SDE dx = f(t)x dt + g(t)dw (Song et al. 2021; Kingma et al. 2021, equation 47 of the appendix):
 * f = d log α/dt and g² = dσ²/dt − 2fσ².
 *
 * @since 0.1.0
 * @category models
 */
export interface Rates<S> {
  /** f */
  readonly drift: S
  /** g² */
  readonly diffusion: S
}

const ratesOf = <S>(schedule: Schedule, of: field.Field<S>, t: S): Rates<S> => {
  // without any noise √ would have no derivative
  const value = of.max(t, of.of(1e-12))
  const { alpha, sigma } = schedule.at(field.dual(of), { value, slope: one(of, t) })
  const drift = of.div(alpha.slope, alpha.value)
  const times = (factor: number, a: S) => of.mul(of.of(factor), a)
  // closed forms, which are not differences
  switch (schedule.variance) {
    case "preserving":
      return { drift, diffusion: times(-2, drift) }
    case "flow":
      return {
        drift,
        diffusion: of.div(times(2, of.mul(sigma.value, sigma.slope)), alpha.value)
      }
    default: {
      const rest = of.sub(sigma.slope, of.mul(drift, sigma.value))
      return { drift, diffusion: times(2, of.mul(sigma.value, rest)) }
    }
  }
}

/**
 * f and g² at a time, exact: α and σ are differentiated by rule. Infinite where there is no signal.
 *
 * @since 0.1.0
 * @category getters
 */
export const rates = (schedule: Schedule, t: number): Rates<number> =>
  ratesOf(schedule, field.host, t)

/**
 * f and g² at times of any shape, as tensors of that shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const ratesAt = <T extends Tensor.Any>(schedule: Schedule, t: T): Rates<T> =>
  ratesOf(schedule, field.like(t), t) as Rates<T>
