/**
 * Guidance: denoisers made of denoisers, that lean towards what is wanted.
 *
 * With the estimates D of a denoiser and D' of a guide (of the data, and of the noise alike),
 *
 *     D_w = D' + w(D − D').
 *
 * The guide is the same network without its condition (classifier-free guidance: Ho and Salimans 2022, arXiv:2207.12598, whose weight is
 * w − 1) or a weaker model of the same (autoguidance: Karras et al. 2024, arXiv:2406.02507). w = 1 is no guidance.
 *
 * A likelihood guides by its gradient (classifier guidance: Dhariwal and Nichol 2021, arXiv:2105.05233, algorithm 2): with the score
 * −ε/σ of the state x = αx₀ + σε,
 *
 *     ε_w = ε − wσ∇ log p(y | x),  x₀_w = x₀ + wσ²/α ∇ log p(y | x).
 *
 * @since 0.1.0
 */
import { Gradient, Tensor, Tree } from "../Tensor/index.ts"
import {
  combine,
  type Denoiser,
  type Estimate,
  type Level,
  make as makeDenoiser,
  type Prediction,
  type State,
  target
} from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"

/**
 * How a guide is followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** w; 1 is no guidance. A function gives scalars, or one number for each item, from the level. */
  readonly weight: number | ((level: Level) => State)
  /** Levels at which there is guidance; all unless told. */
  readonly interval?: Interval
  /** Gives predictions back the spread that they had without guidance. */
  readonly rescale?: Rescale
  /** Follows a part of the difference only. */
  readonly projection?: Projection
}

/**
 * Noise over signal, σ/α, above `above` and up to `to` (Kynkäänniemi et al. 2024, arXiv:2404.07724). Elsewhere the guide is not
 * followed, nor asked, by way of a `whileLoop`, through which there is no derivative; with `always` it is asked and there is one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interval {
  /** 0 unless told. */
  readonly above?: number
  /** Infinity unless told. */
  readonly to?: number
  readonly always?: boolean
}

/**
 * What the network predicts is scaled so that its standard deviation over each item is that without guidance, and mixed by `factor`
 * (φ) with what it was (Lin et al. 2023, arXiv:2305.08891, equations 15 and 16).
 *
 * @since 0.1.0
 * @category models
 */
export interface Rescale {
  /** φ, between 0 and 1; the paper's is 0.7. */
  readonly factor: number
  /** What is rescaled: what the network predicts. */
  readonly of: Prediction
}

/**
 * Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416), without its momentum: of the difference between the estimates
 * of the data, shortened to at most `radius` for each item, what is parallel to the estimate counts η = `parallel` times.
 *
 * @since 0.1.0
 * @category models
 */
export interface Projection {
  /** η, 0 unless told. */
  readonly parallel?: number
  /** Any length unless told. */
  readonly radius?: number
}

/** A denoiser's estimate and its guide's. */
type Pair = readonly [own: Estimate, guide: Estimate]

const check = (what: string, { weight, interval, rescale, projection }: Options): void => {
  demand(
    typeof weight === "function" || Number.isFinite(weight),
    what,
    "options",
    `the weight must be finite, not ${weight}; 1 is no guidance`
  )
  const { above = 0, to = Number.POSITIVE_INFINITY } = interval ?? {}
  demand(
    above >= 0 && to > above,
    what,
    "options",
    `an interval of noise over signal goes from 0 or more up, not from ${above} to ${to}`
  )
  const { factor = 0 } = rescale ?? {}
  demand(
    factor >= 0 && factor <= 1,
    what,
    "options",
    `the factor of rescaling must lie between 0 and 1, not ${factor}`
  )
  const { radius = 1 } = projection ?? {}
  demand(radius > 0, what, "options", `the radius of a projection must be above 0, not ${radius}`)
}

/** What is known at the ends: where all denoisers know it, and what is done with their estimates does not divide by what is not there. */
const reach = (
  denoisers: ReadonlyArray<Denoiser>,
  { rescale, projection }: Options
): Required<Pick<Denoiser, "withoutSignal" | "withoutNoise">> => {
  const all =
    rescale === undefined || rescale.factor === 0
      ? denoisers
      : [...denoisers, makeDenoiser({ network: (x) => x, prediction: rescale.of })]
  return {
    withoutSignal: all.every(({ withoutSignal }) => withoutSignal),
    withoutNoise: projection === undefined && all.every(({ withoutNoise = true }) => withoutNoise)
  }
}

/**
 * A denoiser that follows a guide: itself without its condition, or a weaker model. With the weight 1 it is the denoiser itself, and
 * the guide is never asked. `evaluations` counts both.
 *
 * Where the denoisers clip, the sum of what they clipped may leave their range again: rather clip the result, with `Denoiser.clip`.
 * Throws `DiffusionError` for options that make no sense.
 *
 * ```ts
 * const guided = Guidance.make({
 *   denoiser: of(label),
 *   guide: of(none),
 *   weight: 3,
 *   interval: { above: 0.3, to: 5 }
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const make = (
  options: Options & { readonly denoiser: Denoiser; readonly guide: Denoiser }
): Denoiser => {
  const { denoiser, guide, interval } = options
  check("Guidance.make", options)
  if (options.weight === 1) return denoiser
  const lazy = interval !== undefined && interval.always !== true
  return {
    evaluations: denoiser.evaluations + guide.evaluations,
    ...reach([denoiser, guide], options),
    estimate: (x, level) => {
      const own = denoiser.estimate(x, level)
      const ask = (x: State) => {
        const { data, noise } = guide.estimate(x, level)
        return { data, noise }
      }
      const other = lazy ? onlyIf(anyWithin(interval, level), ask, x) : ask(x)
      return { ...own, ...follow([own, other], x, level, options) }
    }
  }
}

/**
 * Classifier-free guidance in one pass over a batch twice as large: with the condition, and without. `denoiser` gives the denoiser of
 * a condition, a tree of tensors with the batch along their first axes. It pays where small batches do not fill the device. An
 * interval is kept to, but the guide is asked outside of it too. `evaluations` counts both halves.
 *
 * @since 0.1.0
 * @category combinators
 */
export const stacked = <const C>(
  options: Options & {
    readonly denoiser: (condition: C) => Denoiser
    readonly condition: C
    /** What the network is told instead where it is told nothing. */
    readonly without: NoInfer<C>
  }
): Denoiser => {
  const { condition, denoiser, without } = options
  check("Guidance.stacked", options)
  if (options.weight === 1) return denoiser(condition)
  const both = denoiser(
    Tree.zipWith([condition, without] as readonly [unknown, unknown], twice as never) as C
  )
  return {
    evaluations: 2 * both.evaluations,
    ...reach([both], options),
    estimate: (x, level) => {
      const each = (value: State) => (value.shape.length === 0 ? value : twice(value, value))
      const { timestep, alpha, sigma } = level
      const found = both.estimate(twice(x, x), {
        timestep: each(timestep),
        alpha: each(alpha),
        sigma: each(sigma)
      })
      const [batch] = x.shape
      const half = (start: number): Estimate => {
        const part = (value: State) =>
          Tensor.slice(value, 0, { start, stop: start + batch }) as State
        const { variance } = found
        return {
          data: part(found.data),
          noise: part(found.noise),
          ...(variance === undefined ? {} : { variance: part(variance) })
        }
      }
      const own = half(0)
      return { ...own, ...follow([own, half(batch)], x, level, options) }
    }
  }
}

/**
 * A denoiser that leans towards what a likelihood favours, by the gradient of `logLikelihood` in the state: log p(y | x) for each item
 * `[batch]`, or their sum. From the state it is classifier guidance; from the estimate, through which the gradient goes then, it is
 * diffusion posterior sampling (see `Inverse`). With the weight 0 it is the denoiser itself.
 *
 * ```ts
 * const guided = Guidance.likelihood({
 *   denoiser,
 *   logLikelihood: ({ x, level }) => Tensor.at(Tensor.logSoftmax(classify(x, level.timestep)), 3, { axis: 1 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const likelihood = (options: {
  readonly denoiser: Denoiser
  readonly logLikelihood: (given: {
    readonly x: State
    readonly level: Level
    readonly estimate: Estimate
  }) => State
  /** 1 unless told. */
  readonly weight?: number
}): Denoiser => {
  const { denoiser, logLikelihood, weight = 1 } = options
  demand(
    Number.isFinite(weight),
    "Guidance.likelihood",
    "options",
    `the weight must be finite, not ${weight}; 0 is no guidance`
  )
  if (weight === 0) return denoiser
  return {
    evaluations: denoiser.evaluations,
    // where there is no signal, a finite gradient would be multiplied with infinity
    withoutSignal: false,
    withoutNoise: denoiser.withoutNoise !== false,
    estimate: (x, level) => {
      const estimate = denoiser.estimate(x, level)
      const total = Tensor.sum(logLikelihood({ x, level, estimate })) as State
      const slope = Gradient.of(total, x)
      const { alpha, sigma } = level
      const gain = Tensor.div(Tensor.square(sigma), alpha) as State
      return {
        ...estimate,
        data: combine([1, estimate.data], [Tensor.mul(gain, weight) as State, slope]),
        noise: combine([1, estimate.noise], [Tensor.mul(sigma, -weight) as State, slope])
      }
    }
  }
}

const twice = (a: State, b: State): State => Tensor.concat([a, b], { axis: 0 }) as State

/** Whether a level lies in an interval, for each item where there is one for each. */
const within = ({ above = 0, to = Number.POSITIVE_INFINITY }: Interval, level: Level) => {
  const { alpha, sigma } = level
  const low = Tensor.less(Tensor.mul(alpha, above) as State, sigma)
  if (to === Number.POSITIVE_INFINITY) return low
  return Tensor.and(low, Tensor.lessEqual(sigma, Tensor.mul(alpha, to) as State))
}

const anyWithin = (interval: Interval, level: Level) => {
  const inside = within(interval, level)
  return (inside.shape.length === 0 ? inside : Tensor.any(inside)) as Tensor.Tensor<
    readonly [],
    "bool"
  >
}

/** An estimate of x if a condition holds, and otherwise nothing of meaning: a loop of one round, or none. */
const onlyIf = (
  condition: Tensor.Tensor<readonly [], "bool">,
  ask: (x: State) => Estimate,
  x: State
): Estimate => {
  // x is a state of the loop, since what depends on none may be computed before it
  const end = Tensor.whileLoop({
    init: { due: condition, data: x, noise: x },
    condition: ({ due }) => due as never,
    body: ({ due, data }) => ({ due: Tensor.not(due as never), ...ask(data as State) }) as never
  })
  return { data: end.data as State, noise: end.noise as State }
}

/** The weight at a level. */
const weightAt = ({ weight, interval }: Options, level: Level): State | number => {
  const w = typeof weight === "number" ? weight : weight(level)
  if (interval === undefined) return w
  const inside = within(interval, level)
  const { dtype } = level.sigma
  const full = typeof w === "number" ? (Tensor.scalar(w, dtype) as State) : w
  return Tensor.select(inside, full, Tensor.scalar(1, dtype)) as State
}

/** Where a guide leads to. */
const follow = ([own, guide]: Pair, x: State, level: Level, options: Options): Estimate => {
  const w = weightAt(options, level)
  const lead = (own: State, guide: State) =>
    combine([1, guide], [w, Tensor.sub(own, guide) as State])
  const led =
    options.projection === undefined
      ? { data: lead(own.data, guide.data), noise: lead(own.noise, guide.noise) }
      : projected([own, guide], w, level, options.projection)
  return options.rescale === undefined || options.rescale.factor === 0
    ? led
    : rescaled(led, own, x, level, options.rescale)
}

const minus = (w: State | number, by: number): State | number =>
  typeof w === "number" ? w - by : (Tensor.sub(w, by) as State)

/** All axes but that of the batch. */
const axesOf = (x: State) => ({ axis: x.shape.slice(1).map((_, i) => i + 1), keepDims: true })

/** D + (w − 1)(Δ⊥ + ηΔ∥), where Δ = D − D' of the data, no longer than the radius. */
const projected = (
  [own, guide]: Pair,
  w: State | number,
  { alpha, sigma }: Level,
  { parallel = 0, radius }: Projection
): Estimate => {
  const dot = (a: State, b: State) => Tensor.sum(Tensor.mul(a, b) as State, axesOf(a)) as State
  const whole = Tensor.sub(own.data, guide.data) as State
  const least = Tensor.scalar(1e-12, whole.dtype)
  const length = Tensor.maximum(Tensor.sqrt(dot(whole, whole)), least) as State
  const difference =
    radius === undefined
      ? whole
      : (Tensor.mul(
          whole,
          Tensor.clip(Tensor.mul(Tensor.reciprocal(length), radius) as State, { max: 1 })
        ) as State)
  const share = Tensor.div(
    dot(difference, own.data),
    Tensor.maximum(dot(own.data, own.data), least)
  ) as State
  const along = Tensor.mul(own.data, share) as State
  const update = combine([1, difference], [parallel - 1, along])
  const change = combine([minus(w, 1), update])
  // x = αx₀ + σε stays
  const ratio = Tensor.neg(Tensor.div(alpha, sigma)) as State
  return {
    data: Tensor.add(own.data, change) as State,
    noise: combine([1, own.noise], [ratio, change])
  }
}

const rescaled = (
  led: Estimate,
  own: Estimate,
  x: State,
  level: Level,
  { factor, of }: Rescale
): Estimate => {
  const [guided, plain] = [target(of, led, level), target(of, own, level)]
  const spread = (value: State) => Tensor.standardDeviation(value, axesOf(value)) as State
  // 1 where neither spreads, as with a last layer that begins with zeros
  const ratio = Tensor.div(
    Tensor.add(spread(plain), 1e-30),
    Tensor.add(spread(guided), 1e-30)
  ) as State
  const scale = Tensor.add(Tensor.mul(ratio, factor), 1 - factor) as State
  const output = Tensor.mul(guided, scale) as State
  return makeDenoiser({ network: () => output, prediction: of }).estimate(x, level)
}
