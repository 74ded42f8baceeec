/**
 * At which levels of noise a network is trained: densities of times, each by its quantile function t = F⁻¹(u), u uniform between 0 and 1.
 *
 * Densities of times hold for every schedule. Others are densities of the noise σ/α or of the log-SNR, the same levels whatever the
 * schedule; a schedule that does not reach that far is taken at its end.
 *
 * | density       | of               | quantile                          |                                            |
 * | ------------- | ---------------- | --------------------------------- | ------------------------------------------ |
 * | `uniform`     | t                | u                                 | Ho et al. 2020, arXiv:2006.11239           |
 * | `logitNormal` | t                | sigmoid(m + s·Φ⁻¹(u))             | Esser et al. 2024, arXiv:2403.03206, (19)  |
 * | `mode`        | t                | 1 − w − s(cos²(πw/2) − 1 + w), w = 1 − u | the same, (20)                      |
 * | `cosMap`      | t                | 1 − 1/(tan(πu/2) + 1)             | the same, (21)                             |
 * | `logNormal`   | ln σ/α           | m + s·Φ⁻¹(u)                      | Karras et al. 2022, arXiv:2206.00364       |
 * | `splitLogNormal` | ln σ/α        | two halves of different s         | Crowson, k-diffusion                       |
 * | `logLogistic` | ln σ/α           | m + s·log(u/(1 − u))              | Crowson, k-diffusion                       |
 * | `logUniform`  | ln σ/α           | ln a + u(ln b − ln a)             |                                            |
 * | `cosine`      | σ/α              | s·tan(πu/2)                       | Nichol and Dhariwal 2021, arXiv:2102.09672 |
 *
 * `stepped` rounds times to a discrete schedule's levels, and `stratified` spreads those of a batch evenly.
 *
 * @since 0.1.0
 */
import { type DType, Random, Tensor } from "../Tensor/index.ts"
import type { State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as Schedule from "./Schedule.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface TimeDensity {
  readonly name: string
  /** Times from 0 to 1 of numbers between 0 and 1, element by element; it never falls. */
  readonly quantile: (u: State, schedule: Schedule.Schedule) => State
  /** The log-SNRs of these times, where they are what the density is of. */
  readonly logSnr?: (u: State) => State
  /** Whether the times are a schedule's levels, and no others. */
  readonly stepped: boolean
  /** Whether items of a batch divide the range among them. */
  readonly stratified: boolean
}

// ── Drawing ──────────────────────────────────────────────────────────────────────────────────────

/**
 * @since 0.1.0
 * @category models
 */
export interface DrawOptions {
  readonly schedule: Schedule.Schedule
  readonly batch: number
  /** `float32` unless told. */
  readonly dtype?: DType.Float
}

/**
 * The numbers u that times are made of, `[batch]`. That of item i depends on the key and i alone; where the density is stratified it
 * lies between i/batch and (i + 1)/batch.
 *
 * @since 0.1.0
 * @category draws
 */
export const uniforms = (
  density: TimeDensity,
  key: Random.Key,
  { batch, dtype = "float32" }: Omit<DrawOptions, "schedule">
): State => {
  const place = Tensor.arange(batch)
  const items = Random.foldIn(key, place as never) as Random.Key
  const own = Random.uniform(items, [], { dtype }) as unknown as State
  const u = density.stratified
    ? (Tensor.div(Tensor.add(own, Tensor.cast(place, dtype) as State), batch) as State)
    : own
  // where quantiles are finite
  return Tensor.clip(u, { min: 2 ** -26, max: 1 - 2 ** -24 }) as State
}

/**
 * A time for each item of a batch, `[batch]`.
 *
 * ```ts
 * const density = TimeDensity.stratified(TimeDensity.logNormal())
 * const times = TimeDensity.draw(density, key, { schedule: Schedule.edm(), batch: 64 })
 * ```
 *
 * @since 0.1.0
 * @category draws
 */
export const draw = (density: TimeDensity, key: Random.Key, options: DrawOptions): State =>
  density.quantile(uniforms(density, key, options), options.schedule)

// ── Making ───────────────────────────────────────────────────────────────────────────────────────

/**
 * A density of times from its quantile function.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (name: string, quantile: TimeDensity["quantile"]): TimeDensity => ({
  name,
  quantile,
  stepped: false,
  stratified: false
})

/**
 * A density of levels from the quantile function of ln σ/α.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofLogSigma = (name: string, quantile: (u: State) => State): TimeDensity => {
  const logSnr = (u: State) => Tensor.mul(quantile(u), -2) as State
  return { ...make(name, (u, schedule) => Schedule.times(schedule, logSnr(u))), logSnr }
}

/**
 * The density with its times rounded to a discrete schedule's levels: the i-th of T gets what lies between i/T and (i + 1)/T. Drawing
 * throws `DiffusionError` for a schedule without levels.
 *
 * @since 0.1.0
 * @category combinators
 */
export const stepped = (density: TimeDensity): TimeDensity => ({
  ...density,
  name: `${density.name}, stepped`,
  stepped: true,
  quantile: (u, schedule) => {
    demand(
      Schedule.isDiscrete(schedule),
      "TimeDensity.stepped",
      "schedule",
      `the schedule ${schedule.name} has no levels to round to: take one made of betas, or the density as it is`
    )
    const count = (schedule as Schedule.Discrete).betas.length
    const place = Tensor.floor(Tensor.mul(density.quantile(u, schedule), count) as State)
    return Tensor.div(Tensor.minimum(place, count - 1), count - 1) as State
  }
})

/**
 * The density, spread evenly over a batch: item i gets a number between i/batch and (i + 1)/batch. The same density for the batch as a
 * whole, and less variance (Kingma et al. 2021, arXiv:2107.00630, section I.1).
 *
 * @since 0.1.0
 * @category combinators
 */
export const stratified = (density: TimeDensity): TimeDensity => ({
  ...density,
  name: `${density.name}, stratified`,
  stratified: true
})

// ── Instances ────────────────────────────────────────────────────────────────────────────────────

const positive = (what: string, name: string, each: number): void =>
  demand(
    each > 0 && Number.isFinite(each),
    what,
    "options",
    `\`${name}\` must be a number above 0, not ${each}`
  )

/**
 * All times alike, or those between `min` and `max`: 0 and 1 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const uniform = (
  options: { readonly min?: number; readonly max?: number } = {}
): TimeDensity => {
  const { min = 0, max = 1 } = options
  demand(
    min >= 0 && max <= 1 && min < max,
    "TimeDensity.uniform",
    "options",
    `times lie between 0 and 1, not between ${min} and ${max}`
  )
  return make("uniform", (u) => affine(u, max - min, min))
}

/**
 * All levels of a discrete schedule alike.
 *
 * @since 0.1.0
 * @category instances
 */
export const steps: TimeDensity = stepped(uniform())

const affine = (x: State, factor: number, rest: number): State =>
  Tensor.add(Tensor.mul(x, factor), rest) as State

/** Φ⁻¹. */
const probit = (u: State): State =>
  Tensor.mul(Random.erfinv(affine(u, 2, -1)) as State, Math.SQRT2) as State

/** log(u/(1 − u)). */
const logit = (u: State): State => Tensor.sub(Tensor.log(u), Tensor.log(affine(u, -1, 1))) as State

/**
 * Times of which the logits are normal with this mean and deviation, 0 and 1 unless told (Esser et al. 2024, equation 19); a mean
 * below 0 leans towards data.
 *
 * @since 0.1.0
 * @category instances
 */
export const logitNormal = (
  options: { readonly mean?: number; readonly deviation?: number } = {}
): TimeDensity => {
  const { mean = 0, deviation = 1 } = options
  positive("TimeDensity.logitNormal", "deviation", deviation)
  return make("logit-normal", (u) => Tensor.sigmoid(affine(probit(u), deviation, mean)) as State)
}

/** sin²(πu/2), */
const sineSquared = (u: State): State =>
  Tensor.square(Tensor.sin(Tensor.mul(u, Math.PI / 2))) as State

/**
 * More or fewer times in the middle, as `scale` is above or below 0; 1.29 unless told, and between −1 and 2/(π − 2) (Esser et al. 2024,
 * equation 20).
 *
 * @since 0.1.0
 * @category instances
 */
export const mode = (options: { readonly scale?: number } = {}): TimeDensity => {
  const { scale = 1.29 } = options
  demand(
    scale >= -1 && scale <= 2 / (Math.PI - 2),
    "TimeDensity.mode",
    "options",
    `\`scale\` must lie between −1 and 2/(π − 2) = 1.75, not ${scale}: beyond, times would be drawn twice`
  )
  // 1 − w − s(cos²(πw/2) − 1 + w) with w = 1 − u
  return make(
    "mode",
    (u) => Tensor.add(u, Tensor.mul(Tensor.sub(u, sineSquared(u)), scale)) as State
  )
}

/**
 * As many of each log-SNR as the cosine schedule has, for rectified flow: t = 1 − 1/(tan(πu/2) + 1) (Esser et al. 2024, equation 21).
 *
 * @since 0.1.0
 * @category instances
 */
export const cosMap: TimeDensity = make("cosine map", (u) => {
  const angle = Tensor.mul(u, Math.PI / 2)
  const [sine, cosine] = [Tensor.sin(angle), Tensor.cos(angle)]
  return Tensor.div(sine, Tensor.add(sine, cosine)) as State
})

/**
 * ln σ/α is normal with this mean and deviation, −1.2 and 1.2 unless told (Karras et al. 2022, P_mean and P_std).
 *
 * @since 0.1.0
 * @category instances
 */
export const logNormal = (
  options: { readonly mean?: number; readonly deviation?: number } = {}
): TimeDensity => {
  const { mean = -1.2, deviation = 1.2 } = options
  positive("TimeDensity.logNormal", "deviation", deviation)
  return ofLogSigma("log-normal", (u) => affine(probit(u), deviation, mean))
}

/**
 * ln σ/α is normal on either side of `mean`, with the deviation `below` and `above` it; the density has no jump there.
 *
 * @since 0.1.0
 * @category instances
 */
export const splitLogNormal = (options: {
  readonly mean: number
  readonly below: number
  readonly above: number
}): TimeDensity => {
  const { mean, below, above } = options
  positive("TimeDensity.splitLogNormal", "below", below)
  positive("TimeDensity.splitLogNormal", "above", above)
  const share = below / (below + above)
  return ofLogSigma("split log-normal", (u) => {
    const low = affine(probit(Tensor.minimum(Tensor.mul(u, 0.5 / share), 0.5) as State), below, 0)
    const part = affine(u, 0.5 / (1 - share), 0.5 - (0.5 * share) / (1 - share))
    const high = affine(probit(Tensor.maximum(part, 0.5) as State), above, 0)
    // one of them is 0
    return affine(Tensor.add(low, high) as State, 1, mean)
  })
}

/**
 * Noise between two levels σ/α.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range {
  readonly min?: number
  readonly max?: number
}

/**
 * ln σ/α is logistic with this mean and scale, ln ½ and ½ unless told, between the levels `min` and `max` where they are told.
 *
 * @since 0.1.0
 * @category instances
 */
export const logLogistic = (
  options: Range & { readonly mean?: number; readonly scale?: number } = {}
): TimeDensity => {
  const { mean = Math.log(0.5), scale = 0.5, min = 0, max = Number.POSITIVE_INFINITY } = options
  positive("TimeDensity.logLogistic", "scale", scale)
  const below = (sigma: number) => 1 / (1 + Math.exp(-(Math.log(sigma) - mean) / scale))
  return between("TimeDensity.logLogistic", { min, max }, below, (from, to) =>
    ofLogSigma("log-logistic", (u) => affine(logit(affine(u, to - from, from)), scale, mean))
  )
}

/** A density cut off at two levels, from the share of it below a level. */
const between = (
  what: string,
  { min, max }: Required<Range>,
  below: (sigma: number) => number,
  density: (from: number, to: number) => TimeDensity
): TimeDensity => {
  demand(
    min >= 0 && max > min,
    what,
    "options",
    `noise must rise from at least 0, not from ${min} to ${max}`
  )
  return density(below(min), below(max))
}

/**
 * All logarithms of σ/α between `min` and `max` alike.
 *
 * @since 0.1.0
 * @category instances
 */
export const logUniform = (options: Required<Range>): TimeDensity => {
  const { min, max } = options
  positive("TimeDensity.logUniform", "min", min)
  positive("TimeDensity.logUniform", "max", max)
  return between("TimeDensity.logUniform", { min, max }, Math.log, (from, to) =>
    ofLogSigma("log-uniform", (u) => affine(u, to - from, from))
  )
}

/**
 * Angles between data and noise, all alike: σ/α = s·tan(πu/2), with `deviation` s of the data, 1 unless told, between `min` and `max`
 * where they are told. The levels of the cosine schedule, on any schedule.
 *
 * @since 0.1.0
 * @category instances
 */
export const cosine = (options: Range & { readonly deviation?: number } = {}): TimeDensity => {
  const { deviation = 1, min = 0, max = Number.POSITIVE_INFINITY } = options
  positive("TimeDensity.cosine", "deviation", deviation)
  const below = (sigma: number) => (Math.atan(sigma / deviation) * 2) / Math.PI
  return between("TimeDensity.cosine", { min, max }, below, (from, to) =>
    ofLogSigma("cosine", (u) => {
      const angle = affine(u, ((to - from) * Math.PI) / 2, (from * Math.PI) / 2)
      return affine(
        Tensor.sub(Tensor.log(Tensor.sin(angle)), Tensor.log(Tensor.cos(angle))) as State,
        1,
        Math.log(deviation)
      )
    })
  )
}
