/**
 * Noise schedules: how much signal and how much noise there is at a time,
 *
 *     x(t) = α(t)·x₀ + σ(t)·ε,  0 ≤ t ≤ 1,  λ(t) = log α²/σ²,
 *
 * from data at t = 0 to noise at t = 1, with the log-SNR λ falling strictly. A schedule is a value, written once for numbers on the
 * host and for tensors; a {@link Discrete} one is a table of T levels, and every time between two of them.
 *
 * Sources: DDPM (Ho et al. 2020, arXiv:2006.11239), iDDPM (Nichol and Dhariwal 2021, arXiv:2102.09672), score SDEs (Song et al.
 * 2021, arXiv:2011.13456), EDM (Karras et al. 2022, arXiv:2206.00364), VDM (Kingma et al. 2021, arXiv:2107.00630), rectified flow
 * (Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import { Tensor } from "../Tensor/index.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"

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

/** A time that rounding may have taken beyond the ends; NaN further out. */
const within = (t: number): number =>
  t >= -1e-9 && t <= 1 + 1e-9 ? Math.min(Math.max(t, 0), 1) : Number.NaN

/** The time of a falling function's value, by halving. */
const bisect = (f: (t: number) => number, value: number): number => {
  let [low, high] = [0, 1]
  if (!(value <= f(low) && value >= f(high))) return Number.NaN
  // the ends themselves, where the log-SNR may be infinite
  if (value === f(low)) return low
  if (value === f(high)) return high
  for (let i = 0; i < 200 && high - low > Number.EPSILON * low; i++) {
    const middle = (low + high) / 2
    if (f(middle) >= value) low = middle
    else high = middle
  }
  // the end that comes nearer
  return Math.abs(f(low) - value) <= Math.abs(f(high) - value) ? low : high
}

/** Steps of training that a continuous schedule counts as one unit of time. */
const trainingSteps = 1000

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

/** Signal and noise of a log-SNR. */
const ofLogSnr = <S>(variance: Variance, of: field.Field<S>, value: S): Mixture<S> => {
  const times = (factor: number) => of.mul(of.of(factor), value)
  switch (variance) {
    case "exploding":
      return { alpha: one(of, value), sigma: of.exp(times(-0.5)) }
    case "flow":
      return { alpha: of.sigmoid(times(0.5)), sigma: of.sigmoid(times(-0.5)) }
    default:
      return { alpha: of.sqrt(of.sigmoid(value)), sigma: of.sqrt(of.sigmoid(times(-1))) }
  }
}

/** 1, of the kind of another. */
const one = <S>(of: field.Field<S>, like: S): S => of.add(of.mul(like, of.of(0)), of.of(1))

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

/** What belongs to a time between equal parts of 0 to 1: the part it lies in, from 0, and how far. */
const placed = <S>(of: field.Field<S>, t: S, parts: number) => {
  const place = of.mul(t, of.of(parts))
  const low = of.max(of.of(0), of.min(of.floor(place), of.of(parts - 1)))
  return { low, high: of.add(low, of.of(1)), part: of.sub(place, low) }
}

/** The part of falling values, and how far in it, where a value lies; NaN beyond. The inverse of {@link placed}. */
const placeOf = (values: ReadonlyArray<number>, value: number) => {
  let [low, high] = [0, values.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (values[middle] >= value) low = middle
    else high = middle
  }
  if (value === values[low]) return { low, part: 0 }
  const part = (values[low] - value) / (values[low] - values[high])
  // rounding at the ends
  const near = part >= -1e-9 && part <= 1 + 1e-9
  return { low, part: near ? Math.min(Math.max(part, 0), 1) : Number.NaN }
}

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

// ── Combining ────────────────────────────────────────────────────────────────────────────────────

/** The same signal to noise, in other coordinates. */
const scaledTo = <S>(
  of: field.Field<S>,
  variance: Variance,
  { alpha, sigma }: Mixture<S>
): Mixture<S> => {
  const square = (a: S) => of.mul(a, a)
  switch (variance) {
    case "preserving": {
      const size = of.sqrt(of.add(square(alpha), square(sigma)))
      return { alpha: of.div(alpha, size), sigma: of.div(sigma, size) }
    }
    case "flow": {
      const size = of.add(alpha, sigma)
      return { alpha: of.div(alpha, size), sigma: of.div(sigma, size) }
    }
    case "exploding":
      return { alpha: one(of, alpha), sigma: of.div(sigma, alpha) }
    case "other":
      return { alpha, sigma }
  }
}

/**
 * The same log-SNR and timesteps in other coordinates: with α² + σ² = 1, with α = 1, or with α + σ = 1. Throws `DiffusionError` where
 * there is no signal and α should be 1.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withVariance = (
  schedule: Schedule,
  variance: Exclude<Variance, "other">
): Schedule => {
  const { name, at, timestep, time } = schedule
  return make({
    name: `${name}, ${variance}`,
    variance,
    at: (of, t) => scaledTo(of, variance, at(of, t)),
    timestep,
    time
  })
}

/**
 * A schedule with `factor` times as much noise over signal at each time, λ − 2 log factor: for images that are that many times as wide
 * and high, where neighbours tell more of each other (Hoogeboom et al. 2023, arXiv:2301.11093, section 3.1; Esser et al. 2024, section
 * 5.3.2). A discrete schedule stays discrete. Throws `DiffusionError` unless the factor is above 0.
 *
 * @since 0.1.0
 * @category combinators
 */
export const shifted = <A extends Schedule>(
  schedule: A,
  factor: number
): A extends Discrete ? Discrete : Schedule => {
  demand(
    factor > 0 && Number.isFinite(factor),
    "Schedule.shifted",
    "schedule",
    `the factor must be above 0, not ${factor}`
  )
  const name = `${schedule.name}, shifted by ${factor}`
  if (isDiscrete(schedule)) {
    return fromAlphasCumprod(
      schedule.alphasCumprod.map((each) => each / (each + factor ** 2 * (1 - each))),
      name
    ) as never
  }
  const { variance, at, timestep, timestepOf, time } = schedule as Schedule
  return make({
    name,
    variance,
    at: (of, t) => {
      const { alpha, sigma } = at(of, t)
      return scaledTo(of, variance, { alpha, sigma: of.mul(of.of(factor), sigma) })
    },
    // what is said of a level is said of the shifted one
    ...(timestepOf === undefined ? { timestep } : { timestepOf }),
    time: (value) => time(value + 2 * Math.log(factor))
  }) as never
}

/**
 * From one schedule at t = 0 to another at t = 1, λ = (1 − t)λ₀ + tλ₁: such as a shifted one where there is much noise, and the plain one
 * where details are made (Hoogeboom et al. 2023, section 3.1, "interpolating"). Both need noise at t = 0 and signal at t = 1, or
 * `DiffusionError` is thrown.
 *
 * @since 0.1.0
 * @category combinators
 */
export const interpolated = (first: Schedule, second: Schedule): Schedule => {
  const name = `${first.name} to ${second.name}`
  const ends = [first, second].flatMap((each) => [logSnr(each, 0), logSnr(each, 1)])
  demand(
    ends.every(Number.isFinite),
    name,
    "schedule",
    `the log-SNRs at the ends are ${ends.join(", ")}: all must be finite`
  )
  const valueOf = <S>(of: field.Field<S>, { alpha, sigma }: Mixture<S>) =>
    of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
  return fromLogSnr({
    name,
    variance: first.variance === "other" ? "preserving" : first.variance,
    logSnr: (of, t) =>
      of.add(
        of.mul(of.sub(of.of(1), t), valueOf(of, first.at(of, t))),
        of.mul(t, valueOf(of, second.at(of, t)))
      ),
    ...(first.timestepOf === undefined
      ? { timestep: first.timestep }
      : { timestepOf: first.timestepOf })
  })
}

// ── Discrete ─────────────────────────────────────────────────────────────────────────────────────

/** Rounded to float32, as published networks were trained: at early times 1 − ᾱ hangs on the last bits of ᾱ. */
const single = Math.fround

/** `torch.linspace` in float32: from both ends, with products that are not rounded. */
const linspace = (from: number, to: number, count: number): ReadonlyArray<number> => {
  const step = single(single(single(to) - single(from)) / (count - 1))
  return Array.from({ length: count }, (_, i) =>
    i < count / 2 ? single(single(from) + step * i) : single(single(to) - step * (count - 1 - i))
  )
}

/** A discrete schedule from ᾱ; between levels λ is linear, or α where it leads to none. */
const discrete = (
  name: string,
  betas: ReadonlyArray<number>,
  alphasCumprod: ReadonlyArray<number>
): Discrete => {
  const last = alphasCumprod.length - 1
  const levels = alphasCumprod.map((each) => Math.log(each) - Math.log1p(-each))
  const alphas = alphasCumprod.map(Math.sqrt)
  const sigmas = alphasCumprod.map((each) => Math.sqrt(1 - each))
  const silent = alphasCumprod[last] === 0
  // what no time is looked up between
  const finite = silent ? levels.with(last, levels[last - 1]) : levels
  const at = <S>(of: field.Field<S>, t: S): Mixture<S> => {
    const { low, high, part } = placed(of, t, last)
    const [alpha, sigma] = [of.lookup(alphas, low), of.lookup(sigmas, low)]
    const [a, b] = [of.lookup(finite, low), of.lookup(finite, high)]
    const value = of.add(a, of.mul(part, of.sub(b, a)))
    // beside the level itself, which this leaves as it is
    const grown = (of_: (value: S) => S) => of.sqrt(of.div(of_(value), of_(a)))
    const between = {
      alpha: of.mul(alpha, grown(of.sigmoid)),
      sigma: of.mul(
        sigma,
        grown((each) => of.sigmoid(of.sub(of.of(0), each)))
      )
    }
    if (!silent) return between
    // α falls from its level to 0
    const left = of.sub(of.of(1), part)
    const square = of.mul(alpha, alpha)
    const rest = of.mul(square, of.mul(part, of.add(of.of(1), left)))
    const final = {
      alpha: of.mul(alpha, left),
      sigma: of.sqrt(of.add(of.mul(sigma, sigma), rest))
    }
    const choose = (key: "alpha" | "sigma") =>
      of.less(low, of.of(last - 1), between[key], final[key])
    return { alpha: choose("alpha"), sigma: choose("sigma") }
  }
  return {
    name,
    variance: "preserving",
    betas,
    alphasCumprod,
    at,
    timestep: (of, t) => of.mul(t, of.of(last)),
    time: (value) => {
      if (silent && value < levels[last - 1]) {
        return (last - Math.sqrt(field.host.sigmoid(value)) / alphas[last - 1]) / last
      }
      const { low, part } = placeOf(levels, value)
      return (low + part) / last
    }
  }
}

/**
 * A discrete schedule from its betas, in float32 as published networks have it. Throws `DiffusionError` for a beta outside of (0, 1);
 * the last may be 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBetas = (betas: ReadonlyArray<number>, name = "betas"): Discrete => {
  demand(
    betas.length > 1,
    name,
    "schedule",
    `there must be at least two betas, not ${betas.length}`
  )
  betas.forEach((beta, i) => {
    demand(
      beta > 0 && (beta < 1 || (beta === 1 && i === betas.length - 1)),
      name,
      "schedule",
      `beta ${i} is ${beta}, but must lie between 0 and 1`
    )
  })
  let product = 1
  const own = betas.map(single)
  const cumulated = own.map((beta) => {
    product *= single(1 - beta)
    return single(product)
  })
  cumulated.forEach((each, i) => {
    demand(
      each < (cumulated[i - 1] ?? 1),
      name,
      "schedule",
      `beta ${i} is ${betas[i]}: ᾱ does not fall below ${cumulated[i - 1] ?? 1} in float32; take fewer levels or larger betas`
    )
  })
  return discrete(name, own, cumulated)
}

/**
 * A discrete schedule from ᾱ, as they are. Throws `DiffusionError` unless they fall and lie between 0 and 1; the last may be 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromAlphasCumprod = (
  alphasCumprod: ReadonlyArray<number>,
  name = "alphas"
): Discrete => {
  demand(
    alphasCumprod.length > 1,
    name,
    "schedule",
    `there must be at least two levels, not ${alphasCumprod.length}`
  )
  alphasCumprod.forEach((each, i) => {
    const last = i === alphasCumprod.length - 1
    demand(
      each < (alphasCumprod[i - 1] ?? 1) && (each > 0 || (last && each === 0)),
      name,
      "schedule",
      `ᾱ must fall from below 1 and not below 0, but ${i} is ${each} after ${alphasCumprod[i - 1] ?? 1}`
    )
  })
  return discrete(
    name,
    alphasCumprod.map((each, i) => 1 - each / (alphasCumprod[i - 1] ?? 1)),
    alphasCumprod
  )
}

/**
 * T levels of a schedule, at the times (i + 1)/T: βᵢ = 1 − ᾱ((i + 1)/T)/ᾱ(i/T), at most `most`, 0.999 unless told (Nichol and Dhariwal
 * 2021, section 3.2), where the first is that from data on. Throws `DiffusionError` as {@link fromBetas}.
 *
 * @since 0.1.0
 * @category combinators
 */
export const discretize = (
  schedule: Schedule,
  steps = trainingSteps,
  options: { readonly most?: number } = {}
): Discrete => {
  const { most = 0.999 } = options
  const square = (t: number) => field.host.sigmoid(logSnr(schedule, t))
  return fromBetas(
    Array.from({ length: steps }, (_, i) =>
      Math.min(1 - square((i + 1) / steps) / (i === 0 ? 1 : square(i / steps)), most)
    ),
    `${schedule.name} in ${steps} levels`
  )
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BetaOptions {
  /** T, 1,000 unless told. */
  readonly steps?: number
  /** The first and the last beta; 0.0001 and 0.02 unless told. */
  readonly start?: number
  readonly end?: number
}

const settled = ({ steps = 1000, start = 1e-4, end = 0.02 }: BetaOptions) => ({ steps, start, end })

/**
 * Betas that rise linearly (Ho et al. 2020).
 *
 * @since 0.1.0
 * @category instances
 */
export const linear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  return fromBetas(linspace(start, end, steps), "linear")
}

/**
 * Betas whose roots rise linearly (Rombach et al. 2022, arXiv:2112.10752); Stable Diffusion's go from 0.00085 to 0.012.
 *
 * @since 0.1.0
 * @category instances
 */
export const scaledLinear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  const roots = linspace(Math.sqrt(start), Math.sqrt(end), steps)
  return fromBetas(
    roots.map((root) => single(root * root)),
    "scaled linear"
  )
}

/**
 * Betas along a sigmoid from −6 to 6 (Xu et al. 2022, GeoDiff, arXiv:2203.02923).
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoidBetas = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  const places = linspace(-6, 6, steps)
  return fromBetas(
    places.map((place) =>
      single(single(single(1 / (1 + Math.exp(-place))) * single(end - start)) + single(start))
    ),
    "sigmoid betas"
  )
}

/** β = 1 − ᾱ(t + 1/T)/ᾱ(t), at most `most` (Nichol and Dhariwal 2021, section 3.2). */
const fromAlphaBar = (
  name: string,
  alphaBar: (t: number) => number,
  steps: number,
  most = 0.999
): Discrete =>
  fromBetas(
    Array.from({ length: steps }, (_, i) =>
      Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), most)
    ),
    name
  )

/**
 * The cosine schedule in T levels, with betas of at most 0.999 (Nichol and Dhariwal 2021, equation 17).
 *
 * @since 0.1.0
 * @category instances
 */
export const cosineBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar(
    "cosine betas",
    (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2,
    options.steps ?? 1000
  )

/**
 * ᾱ = e^(−12t) in T levels, with betas of at most 0.999.
 *
 * @since 0.1.0
 * @category instances
 */
export const exponentialBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar("exponential betas", (t) => Math.exp(-12 * t), options.steps ?? 1000)

/**
 * The Laplace schedule in T levels as diffusers has it, with betas of at most 0.999, of mean 0 and scale ½: what it takes for ᾱ is the root
 * of the paper's. That is `discretize(laplace())` (Hang et al. 2024, arXiv:2407.03297).
 *
 * @since 0.1.0
 * @category instances
 */
export const laplaceBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar(
    "Laplace betas",
    (t) => {
      const value = -0.5 * (t > 0.5 ? -1 : 1) * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6)
      const snr = Math.exp(value)
      return Math.sqrt(snr / (1 + snr))
    },
    options.steps ?? 1000
  )

/**
 * A schedule shifted and scaled in α so that there is no signal at the end and that at the beginning stays (Lin et al. 2023,
 * arXiv:2305.08891, algorithm 1). A discrete one stays discrete, with a last beta of 1; others must preserve variance, or
 * `DiffusionError` is thrown.
 *
 * @since 0.1.0
 * @category combinators
 */
export const zeroTerminalSnr = <A extends Schedule>(
  schedule: A
): A extends Discrete ? Discrete : Schedule => {
  const name = `${schedule.name}, zero terminal SNR`
  return (
    isDiscrete(schedule) ? silenced(schedule, name) : silencedSmoothly(schedule, name)
  ) as never
}

/**
 * A discrete schedule whose ᾱ is at least this, 2⁻²⁴ unless told, so that its σ/α is finite: for samplers where α = 1, such as Euler's, after
 * {@link zeroTerminalSnr} (diffusers' `EulerDiscreteScheduler` with `rescale_betas_zero_snr`).
 *
 * @since 0.1.0
 * @category combinators
 */
export const leastSignal = (
  { name, betas, alphasCumprod }: Discrete,
  least: number = 2 ** -24
): Discrete => {
  demand(
    least > 0 && least < alphasCumprod[0],
    "Schedule.leastSignal",
    "schedule",
    `the least ᾱ must lie between 0 and the first one, ${alphasCumprod[0]}, not be ${least}`
  )
  return discrete(
    `${name}, ᾱ of at least ${least}`,
    betas,
    alphasCumprod.map((each) => Math.max(each, least))
  )
}

const silenced = ({ alphasCumprod }: Discrete, name: string): Discrete => {
  const roots = alphasCumprod.map((each) => single(Math.sqrt(each)))
  const [first, last] = [roots[0], roots[roots.length - 1]]
  const scale = single(first / single(first - last))
  const squares = roots.map((root) => single(single(single(root - last) * scale) ** 2))
  const betas = squares.map((each, i) => single(1 - single(i === 0 ? each : each / squares[i - 1])))
  return fromBetas(betas, name)
}

const silencedSmoothly = (schedule: Schedule, name: string): Schedule => {
  const { variance, at, timestep, time } = schedule
  demand(
    variance === "preserving",
    "Schedule.zeroTerminalSnr",
    "schedule",
    `${schedule.name} is not variance preserving: take \`withVariance\` first`
  )
  const [first, last] = [0, 1].map((t) => mixture(schedule, t))
  const scale = first.alpha / (first.alpha - last.alpha)
  return make({
    name,
    variance,
    timestep,
    at: (of, t) => {
      const { alpha, sigma } = at(of, t)
      const scaled = of.mul(of.sub(alpha, of.of(last.alpha)), of.of(scale))
      // α₀ − α as (σ² − σ₀²)/(α₀ + α), so that what is small is not a difference of what is large
      const grown = of.div(
        of.mul(of.sub(sigma, of.of(first.sigma)), of.add(sigma, of.of(first.sigma))),
        of.add(of.of(first.alpha), alpha)
      )
      const lost = of.mul(grown, of.of((scale * last.alpha) / first.alpha))
      const rest = of.mul(lost, of.add(alpha, scaled))
      return { alpha: scaled, sigma: of.sqrt(of.add(of.mul(sigma, sigma), rest)) }
    },
    time: (value) => {
      if (value === Number.NEGATIVE_INFINITY) return 1
      const alpha = Math.sqrt(field.host.sigmoid(value))
      // 1 − α of the schedule as it was, without differences
      const missing =
        field.host.sigmoid(-value) / (1 + alpha) / scale +
        (last.alpha * first.sigma ** 2) / (first.alpha * (1 + first.alpha))
      return time(2 * Math.log1p(-missing) - Math.log(missing * (2 - missing)))
    }
  })
}

// ── Continuous ───────────────────────────────────────────────────────────────────────────────────

/** α² = e^(−B), and 1 − α². */
const decayed = <S>(of: field.Field<S>, total: S): { readonly alpha: S; readonly rest: S } => ({
  alpha: of.exp(of.mul(of.of(-0.5), total)),
  rest: of.sub(of.of(0), of.expm1(of.sub(of.of(0), total)))
})

/** B = ∫β of a time, with β rising from `min` to `max`; and the time of B. */
const integral = (what: string, { min = 0.1, max = 20 }: BetaRange) => {
  demand(
    min > 0 && max >= min && Number.isFinite(max),
    what,
    "schedule",
    `betas from ${min} to ${max} do not rise from above 0`
  )
  return {
    of: <S>(of: field.Field<S>, t: S): S =>
      of.mul(t, of.add(of.mul(t, of.of((max - min) / 2)), of.of(min))),
    time: (total: number): number =>
      within((2 * total) / (min + Math.sqrt(min * min + 2 * (max - min) * total)))
  }
}

/**
 * The rate β of a variance-preserving SDE at t = 0 and t = 1: 0.1 and 20 unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface BetaRange {
  readonly min?: number
  readonly max?: number
}

/**
 * The variance-preserving SDE with β rising linearly from `min` to `max` (Song et al. 2021, equation 32):
 * log α = −t²(max − min)/4 − t·min/2.
 *
 * @since 0.1.0
 * @category instances
 */
export const vp = (options: BetaRange = {}): Schedule => {
  const total = integral("Schedule.vp", options)
  return make({
    name: "VP",
    variance: "preserving",
    at: (of, t) => {
      const { alpha, rest } = decayed(of, total.of(of, t))
      return { alpha, sigma: of.sqrt(rest) }
    },
    // λ = −log(e^B − 1)
    time: (value) => total.time(Math.log1p(Math.exp(-value)))
  })
}

/**
 * The sub-VP SDE: the same α, and σ = 1 − α² (Song et al. 2021, equation 29).
 *
 * @since 0.1.0
 * @category instances
 */
export const subVp = (options: BetaRange = {}): Schedule => {
  const total = integral("Schedule.subVp", options)
  return make({
    name: "sub-VP",
    variance: "other",
    at: (of, t) => {
      const { alpha, rest } = decayed(of, total.of(of, t))
      return { alpha, sigma: rest }
    },
    // α/σ = 1/(2 sinh B/2)
    time: (value) => total.time(2 * Math.asinh(Math.exp(-value / 2) / 2))
  })
}

/**
 * α² = e^(−rate·t): β is the same at all times, `rate`, 12 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const exponential = (options: { readonly rate?: number } = {}): Schedule => {
  const { rate = 12 } = options
  return { ...vp({ min: rate, max: rate }), name: "exponential" }
}

/**
 * The variance-exploding SDE: α = 1, σ = min·(max/min)ᵗ (Song et al. 2021, equation 31).
 *
 * @since 0.1.0
 * @category instances
 */
export const ve = (options: { readonly min?: number; readonly max?: number } = {}): Schedule => {
  const { min = 0.01, max = 50 } = options
  demand(
    min > 0 && max > min && Number.isFinite(max),
    "Schedule.ve",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  return make({
    name: "VE",
    variance: "exploding",
    at: (of, t) => ({
      alpha: one(of, t),
      sigma: of.mul(of.of(min), of.exp(of.mul(t, of.of(Math.log(max / min)))))
    }),
    time: (value) => within((-value / 2 - Math.log(min)) / Math.log(max / min))
  })
}

/**
 * EDM's: α = 1, σ between `min` and `max` along ρ-th powers (Karras et al. 2022, equation 5); a network is told ln(σ)/4.
 *
 * @since 0.1.0
 * @category instances
 */
export const edm = (
  options: { readonly min?: number; readonly max?: number; readonly rho?: number } = {}
): Schedule => {
  const { min = 0.002, max = 80, rho = 7 } = options
  demand(
    min > 0 && max > min && rho > 0 && Number.isFinite(max),
    "Schedule.edm",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  const [low, high] = [min ** (1 / rho), max ** (1 / rho)]
  return make({
    name: "EDM",
    variance: "exploding",
    at: (of, t) => {
      const root = of.add(of.mul(t, of.of(high - low)), of.of(low))
      return { alpha: one(of, t), sigma: of.exp(of.mul(of.of(rho), of.log(root))) }
    },
    timestepOf: (of, { alpha, sigma }) => of.div(of.log(of.div(sigma, alpha)), of.of(4)),
    time: (value) => within((Math.exp(-value / 2) ** (1 / rho) - low) / (high - low))
  })
}

/**
 * The least α² at t = 1, and 1e-9 unless told: without any, nothing can be learnt there of predicted noise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Least {
  readonly least?: number
}

const leastOf = (what: string, { least = 1e-9 }: Least): number => {
  demand(
    least > 0 && least < 0.1,
    what,
    "schedule",
    `\`least\` must be small and above 0, not ${least}`
  )
  return least
}

/**
 * The cosine schedule in continuous time, α = cos(πs/2)/cos(πs₀/2) with s = (t + s₀)/(1 + s₀) and s₀ = `offset`, 0.008 unless told
 * (Nichol and Dhariwal 2021); it ends a little earlier, where α² is `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const cosine = (options: { readonly offset?: number } & Least = {}): Schedule => {
  const { offset = 0.008 } = options
  demand(
    offset >= 0 && Number.isFinite(offset),
    "Schedule.cosine",
    "schedule",
    `the offset must not be below 0, but is ${offset}`
  )
  const least = leastOf("Schedule.cosine", options)
  const first = ((offset / (1 + offset)) * Math.PI) / 2
  const scale = 1 / Math.cos(first)
  // how much of a right angle is left at the end
  const left = Math.asin(Math.sqrt(least) * Math.cos(first))
  const span = Math.PI / 2 - left - first
  return make({
    name: "cosine",
    variance: "preserving",
    at: (of, t) => {
      const gone = of.mul(t, of.of(span))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      // cos²a − cos²b = sin(b − a)·sin(b + a)
      const square = of.mul(of.sin(gone), of.sin(of.add(gone, of.of(2 * first))))
      return {
        alpha: of.mul(of.sin(rest), of.of(scale)),
        sigma: of.mul(of.sqrt(square), of.of(scale))
      }
    },
    time: (value) => {
      const [square, other] = [field.host.sigmoid(value), field.host.sigmoid(-value)]
      const angle = Math.atan2(
        Math.hypot(Math.sin(first), Math.cos(first) * Math.sqrt(other)),
        Math.cos(first) * Math.sqrt(square)
      )
      const sine = (Math.cos(first) ** 2 * other) / Math.sin(angle + first)
      return within(Math.atan2(sine, Math.cos(angle - first)) / span)
    }
  })
}

/**
 * ᾱ along a sigmoid from `start` to `end`, over the temperature `tau`: −3, 3 and 1 unless told (Jabri et al. 2022, arXiv:2212.11972,
 * algorithm 2); it ends a little earlier, where ᾱ is `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoid = (
  options: { readonly start?: number; readonly end?: number; readonly tau?: number } & Least = {}
): Schedule => {
  const { start = -3, end = 3, tau = 1 } = options
  demand(
    end > start && tau > 0,
    "Schedule.sigmoid",
    "schedule",
    `the sigmoid from ${start} to ${end} over ${tau} does not rise`
  )
  const least = leastOf("Schedule.sigmoid", options)
  const [a, b] = [start / tau, end / tau]
  const up = field.host.sigmoid
  // S(x) − S(y) = S(x)S(−y)(1 − e^(y − x)), which is exact for near x and y too
  const whole = up(b) * up(-a) * -Math.expm1(a - b)
  /** Of how much is left of b − a the part of ᾱ that is left. */
  const left = -Math.log1p((-least * whole) / (up(b) * (up(-b) + least * whole)))
  const span = b - a - left
  const less = <S>(of: field.Field<S>, gap: S): S =>
    of.sub(of.of(0), of.expm1(of.sub(of.of(0), gap)))
  return make({
    name: "sigmoid",
    variance: "preserving",
    at: (of, t) => {
      const gone = of.mul(t, of.of(span))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      const place = of.add(of.of(a), gone)
      const down = of.sigmoid(of.sub(of.of(0), place))
      const square = of.mul(of.mul(of.of(up(b) / whole), down), less(of, rest))
      const other = of.mul(of.mul(of.of(up(-a) / whole), of.sigmoid(place)), less(of, gone))
      return { alpha: of.sqrt(square), sigma: of.sqrt(other) }
    },
    time: (value) => {
      // S(place) = S(a) + (1 − ᾱ)·whole, and so its distance from a
      const grown = up(-value) * whole
      return within(Math.log1p(grown / (up(a) * (up(-a) - grown))) / span)
    }
  })
}

/**
 * λ falls linearly from `max` to `min`: 13.3 and −5 unless told (Kingma et al. 2021, appendix on learnt schedules, as they begin).
 *
 * @since 0.1.0
 * @category instances
 */
export const logSnrLinear = (options: LogSnrRange = {}): Schedule => {
  const { max = 13.3, min = -5 } = options
  falls("Schedule.logSnrLinear", max, min)
  return fromLogSnr({
    name: "linear log-SNR",
    logSnr: (of, t) => of.add(of.of(max), of.mul(t, of.of(min - max))),
    time: (value) => within((max - value) / (max - min))
  })
}

/**
 * Log-SNRs at t = 0 and t = 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogSnrRange {
  readonly max?: number
  readonly min?: number
}

const falls = (what: string, max: number, min: number): void =>
  demand(
    max > min && Number.isFinite(max - min),
    what,
    "schedule",
    `the log-SNR must fall from a finite \`max\` to a \`min\`, but goes from ${max} to ${min}`
  )

/**
 * The cosine schedule in its log-SNR, λ = −2 log tan(πs/2), cut to λ between `max` and `min`, 15 and −15 unless told (Hoogeboom et al.
 * 2023, arXiv:2301.11093, section 3.1); and shifted by −2 log(resolution/reference) for images of another width, `reference` being 64
 * unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const shiftedCosine = (
  options: LogSnrRange & { readonly resolution?: number; readonly reference?: number } = {}
): Schedule => {
  const { max = 15, min = -15, reference = 64, resolution = reference } = options
  falls("Schedule.shiftedCosine", max, min)
  demand(
    resolution > 0 && reference > 0,
    "Schedule.shiftedCosine",
    "schedule",
    `the resolution of ${resolution} and the reference of ${reference} must be above 0`
  )
  const [first, left] = [Math.atan(Math.exp(-max / 2)), Math.atan(Math.exp(min / 2))]
  const span = Math.PI / 2 - left - first
  const shift = -2 * Math.log(resolution / reference)
  return fromLogSnr({
    name: "shifted cosine",
    logSnr: (of, t) => {
      const gone = of.add(of.of(first), of.mul(t, of.of(span)))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      const value = of.mul(of.of(2), of.sub(of.log(of.sin(rest)), of.log(of.sin(gone))))
      return of.add(value, of.of(shift))
    },
    time: (value) => within((Math.atan(Math.exp((shift - value) / 2)) - first) / span)
  })
}

/**
 * Log-SNRs with a Laplace distribution over the times: λ = μ − b·sgn(½ − t)·log(1 − 2|t − ½|), with the mean μ and the scale b, 0 and ½
 * unless told (Hang et al. 2024, arXiv:2407.03297, table 1), leaving out `cut` of the times at either end, 5e-7 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const laplace = (
  options: { readonly mean?: number; readonly scale?: number; readonly cut?: number } = {}
): Schedule => {
  const { mean = 0, scale = 0.5, cut = 5e-7 } = options
  demand(
    scale > 0 && cut > 0 && cut < 0.5 && Number.isFinite(mean),
    "Schedule.laplace",
    "schedule",
    `the scale must be above 0, not ${scale}, and the cut between 0 and ½, not ${cut}`
  )
  const span = 1 - 2 * cut
  return fromLogSnr({
    name: "Laplace",
    logSnr: (of, t) => {
      // twice the way from either end
      const way = (u: S_) => of.mul(of.of(2), of.add(of.of(cut), of.mul(u, of.of(span))))
      type S_ = typeof t
      const [early, late] = [way(t), way(of.sub(of.of(1), t))]
      const value = of.less(early, late, of.sub(of.of(0), of.log(early)), of.log(late))
      return of.add(of.of(mean), of.mul(of.of(scale), value))
    },
    time: (value) => {
      const tail = Math.exp(-Math.abs(value - mean) / scale) / 2
      const early = within((tail - cut) / span)
      return value > mean ? early : 1 - early
    }
  })
}

/**
 * Rectified flow: α = 1 − σ and σ = st/(1 + (s − 1)t) with the `shift` s, 1 unless told (Esser et al. 2024, section 5.3.2, for larger
 * images); a network is told 1,000 σ.
 *
 * @since 0.1.0
 * @category instances
 */
export const flow = (options: { readonly shift?: number } = {}): Schedule => {
  const { shift = 1 } = options
  demand(
    shift > 0 && Number.isFinite(shift),
    "Schedule.flow",
    "schedule",
    `the shift must be above 0, not ${shift}`
  )
  return make({
    name: "flow",
    variance: "flow",
    at: (of, t) => {
      const whole = of.add(of.of(1), of.mul(of.of(shift - 1), t))
      return {
        alpha: of.div(of.sub(of.of(1), t), whole),
        sigma: of.div(of.mul(of.of(shift), t), whole)
      }
    },
    timestepOf: (of, { alpha, sigma }) =>
      of.mul(of.div(sigma, of.add(alpha, sigma)), of.of(trainingSteps)),
    time: (value) => {
      const sigma = field.host.sigmoid(-value / 2)
      const alpha = field.host.sigmoid(value / 2)
      return sigma / (sigma + shift * alpha)
    }
  })
}

/**
 * The schedule of a pipeline.
 *
 * @since 0.1.0
 * @category services
 */
export class Current extends Context.Service<Current, Schedule>()("odeon/Schedule") {}

/**
 * @since 0.1.0
 * @category services
 */
export const layer = (schedule: Schedule): EffectLayer.Layer<Current> =>
  EffectLayer.succeed(Current, schedule)
