/**
 * Denoisers: whatever a network predicts, an estimate of the clean data and of the noise in x = αx₀ + σε.
 *
 * | a network predicts | that is       | x₀             | ε              |                                       |
 * | ------------------ | ------------- | -------------- | -------------- | ------------------------------------- |
 * | `noise`            | ε             | (x − σε)/α     | ε              | Ho et al. 2020, arXiv:2006.11239      |
 * | `data`             | x₀            | x₀             | (x − αx₀)/σ    |                                       |
 * | `v`                | αε − σx₀      | αx − σv        | σx + αv        | Salimans and Ho 2022, arXiv:2202.00512 |
 * | `flow`             | ε − x₀        | x − σu         | x + αu         | Liu et al. 2022, arXiv:2209.03003     |
 * | `edm`              | F, see below  | c_skip x + c_out F | (x − x₀)/σ | Karras et al. 2022, arXiv:2206.00364  |
 * | `consistency`      | F, see below  | c_skip x + c_out F | (x − x₀)/σ | Song et al. 2023, arXiv:2303.01469    |
 *
 * The formulas hold in the network's own coordinates: α² + σ² = 1 for `noise`, `data` and `v`, α + σ = 1 for `flow`, and α = 1 for `edm`,
 * with c_skip = s²/(σ² + s²), c_out = σs/√(σ² + s²) and the input scaled by c_in = 1/√(σ² + s²), s being the data's deviation.
 * `consistency` is the same with c_skip = s²/((σ − ϵ)² + s²) and c_out = (σ − ϵ)s/√(σ² + s²), so that x₀ = x at the least noise, ϵ (appendix
 * C). A state in other coordinates is scaled to these before the network sees it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import { type DType, type Shape, Tensor } from "../Tensor/index.ts"
import { demand } from "./DiffusionError.ts"
import * as predictions from "./internal/prediction.ts"
import type { Mixture } from "./Schedule.ts"

/**
 * States, `[batch, …]`, and what belongs to them.
 *
 * @since 0.1.0
 * @category models
 */
export type State = Tensor.Tensor<Shape.Shape, DType.Float>

/**
 * What is known of a state: the timestep that a network is told, signal and noise; scalars, or one for each item of the batch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Level extends Mixture<State> {
  readonly timestep: State
}

/**
 * What a denoiser says of a state.
 *
 * @since 0.1.0
 * @category models
 */
export interface Estimate {
  /** x₀; clipped where the denoiser clips. */
  readonly data: State
  /** ε as it was predicted, whatever was clipped. */
  readonly noise: State
  /** What the network says of the variance of a step, of the state's shape, where it learns one; `Ddpm` knows what it means. */
  readonly variance?: State
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Denoiser {
  readonly estimate: (x: State, level: Level) => Estimate
  /** How often it asks a network for each estimate. */
  readonly evaluations: number
  /** Whether it can tell anything where there is no signal. */
  readonly withoutSignal: boolean
  /** Whether it can tell what the noise is where there is none, as inversion asks; `true` unless told. */
  readonly withoutNoise?: boolean
}

/**
 * What a network predicts; `edm` and `consistency` with the data's deviation, 0.5 unless told, and `consistency` with the least noise,
 * 0.002 unless told.
 *
 * @since 0.1.0
 * @category models
 */
export type Prediction =
  | "noise"
  | "data"
  | "v"
  | "flow"
  | { readonly kind: "edm"; readonly deviation?: number }
  | { readonly kind: "consistency"; readonly deviation?: number; readonly least?: number }

/**
 * A network as samplers see it: a state in its own coordinates and a timestep for each item, `[batch]`.
 *
 * @since 0.1.0
 * @category models
 */
export type Network = (x: State, timestep: State) => State

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly network: Network
  readonly prediction: Prediction
  /** Keeps estimates of the data within a range. */
  readonly clip?: Clip | undefined
  /**
   * Whether the network also learns the variance of `Ddpm`'s steps: it then answers with twice the channels (axis 1), of which the latter
   * half is {@link Estimate.variance} (Nichol and Dhariwal 2021, arXiv:2102.09672). `false` unless told.
   */
  readonly learnsVariance?: boolean
}

/**
 * Estimates between −range and range; or within the `ratio` quantile of their magnitudes, at least 1 and at most `max`, and scaled by it
 * (dynamic thresholding: Saharia et al. 2022, arXiv:2205.11487, section 2.3).
 *
 * @since 0.1.0
 * @category models
 */
export type Clip = { readonly range: number } | { readonly ratio: number; readonly max: number }

/** Scalars, or one number for each item, over the axes of a state. */
export const over = (value: State, x: State): State =>
  value.shape.length === 0
    ? value
    : (Tensor.reshape(value, [value.shape[0], ...x.shape.slice(1).map(() => 1)]) as State)

/**
 * Σ cᵢ·xᵢ, of coefficients that are numbers, scalars or one for each item.
 *
 * @since 0.1.0
 * @category combinators
 */
export const combine = (
  ...terms: ReadonlyArray<readonly [coefficient: State | number, x: State]>
): State => terms.map(([c, x]) => scaled(c, x)).reduce((a, b) => Tensor.add(a, b) as State)

const scaled = (c: State | number, x: State): State => {
  if (typeof c === "number") return c === 1 ? x : (Tensor.mul(x, c) as State)
  return Tensor.mul(x, over(c, x)) as State
}

const square = (x: State): State => Tensor.square(x)

const quotient = (a: State | number, b: State): State =>
  (typeof a === "number" ? Tensor.mul(Tensor.reciprocal(b), a) : Tensor.div(a, b)) as State

/** What scales a state into a network's coordinates, of those that are not {@link preconditioned}. */
const scaleOf = (prediction: Prediction & string, { alpha, sigma }: Mixture<State>): State => {
  if (prediction === "flow") return quotient(1, Tensor.add(alpha, sigma) as State)
  return quotient(1, Tensor.sqrt(Tensor.add(square(alpha), square(sigma))) as State)
}

/** σ² + α²s², the variance of a state of data with the deviation s. */
const varianceOf = ({ alpha, sigma }: Mixture<State>, deviation: number): State =>
  combine([1, square(sigma)], [deviation ** 2, square(alpha)])

/** The noise at which a consistency model leaves states as they are. */
const leastOf = (prediction: Prediction): number =>
  typeof prediction === "object" && prediction.kind === "consistency"
    ? (prediction.least ?? 0.002)
    : 0

/** The timestep, one for each item. */
const perItem = (timestep: State, x: State): State =>
  timestep.shape.length === 0 ? (Tensor.broadcastTo(timestep, [x.shape[0]]) as State) : timestep

/** `edm` and `consistency`, in the state's own coordinates: those of the network are infinite where there is no signal. */
const preconditioned = (
  network: Network,
  x: State,
  { timestep, alpha, sigma }: Level,
  { deviation, least }: { readonly deviation: number; readonly least: number }
): Estimate => {
  const variance = varianceOf({ alpha, sigma }, deviation)
  const root = Tensor.sqrt(variance) as State
  const f = network(combine([quotient(1, root), x]), perItem(timestep, x))
  const beyond = least === 0 ? sigma : combine([1, sigma], [-least, alpha])
  const out = quotient(Tensor.mul(beyond, deviation) as State, root)
  const skip = Tensor.div(
    Tensor.mul(alpha, deviation ** 2),
    least === 0 ? variance : varianceOf({ alpha, sigma: beyond }, deviation)
  ) as State
  const data = combine([skip, x], [out, f])
  const rest = Tensor.sub(x, combine([alpha, data])) as State
  return { data, noise: quotient(rest, over(sigma, x)) }
}

const checkClip = (what: string, clip: Clip | undefined): void => {
  if (clip === undefined) return
  demand(
    "range" in clip ? clip.range > 0 : clip.ratio > 0 && clip.ratio <= 1 && clip.max >= 1,
    what,
    "options",
    `a clip needs a range above 0, or a ratio in (0, 1] and a max of at least 1, not ${JSON.stringify(clip)}`
  )
}

const clipped = (data: State, clip: Clip | undefined): State => {
  if (clip === undefined) return data
  if ("range" in clip) return Tensor.clip(data, { min: -clip.range, max: clip.range }) as State
  const [batch, ...rest] = data.shape
  const count = rest.reduce((a, b) => a * b, 1)
  const sorted = Tensor.sort(Tensor.reshape(Tensor.abs(data), [batch, count]), { axis: 1 })
  // torch.quantile: linear between two of them
  const place = clip.ratio * (count - 1)
  const [low, high] = [Math.floor(place), Math.ceil(place)].map(
    (i) => Tensor.at(sorted as Tensor.Any, i, { axis: 1 }) as State
  )
  const quantile = combine(
    [1 - (place - Math.floor(place)), low],
    [place - Math.floor(place), high]
  )
  const bound = over(Tensor.clip(quantile, { min: 1, max: clip.max }) as State, data)
  const within = Tensor.minimum(Tensor.maximum(data, Tensor.neg(bound)), bound) as State
  return quotient(within, bound)
}

/**
 * A denoiser from a network and what it predicts. Throws `DiffusionError` for a prediction that there is not, and for a clip or a deviation
 * that makes no sense.
 *
 * ```ts
 * const denoiser = Denoiser.make({
 *   network: (x, timestep) => net.apply(weights, x, { time: timestep }),
 *   prediction: "v"
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Denoiser => {
  const { prediction, clip } = options
  const what = "Denoiser.make"
  predictions.require(what, prediction)
  checkClip(what, clip)
  const deviation = typeof prediction === "object" ? (prediction.deviation ?? 0.5) : 1
  demand(deviation > 0, what, "options", `the data's deviation must be above 0, not ${deviation}`)
  const least = leastOf(prediction)
  demand(least >= 0, what, "options", `the least noise must not be below 0, but is ${least}`)
  const estimate = (network: Network, state: State, level: Level): Estimate => {
    if (typeof prediction === "object") {
      return preconditioned(network, state, level, { deviation, least })
    }
    const k = scaleOf(prediction, level)
    const x = combine([k, state])
    const [alpha, sigma] = [level.alpha, level.sigma].map((each) => Tensor.mul(each, k) as State)
    const time = perItem(level.timestep, x)
    const spread = (value: State) => over(value, x)
    switch (prediction) {
      case "noise": {
        const noise = network(x, time)
        const rest = Tensor.sub(x, combine([sigma, noise])) as State
        return { data: quotient(rest, spread(alpha)), noise }
      }
      case "data": {
        const data = network(x, time)
        const rest = Tensor.sub(x, combine([alpha, data])) as State
        return { data, noise: quotient(rest, spread(sigma)) }
      }
      case "v": {
        const v = network(x, time)
        const data = Tensor.sub(combine([alpha, x]), combine([sigma, v])) as State
        return { data, noise: combine([sigma, x], [alpha, v]) }
      }
      case "flow": {
        const u = network(x, time)
        const data = Tensor.sub(x, combine([sigma, u])) as State
        return { data, noise: combine([1, x], [alpha, u]) }
      }
    }
  }
  return {
    evaluations: 1,
    withoutSignal: prediction !== "noise",
    withoutNoise: typeof prediction === "string" && prediction !== "data",
    estimate: (x, level) => {
      let variance: State | undefined
      const network: Network = (input, timestep) => {
        const answer = options.network(input, timestep)
        if (!options.learnsVariance) return answer
        const channels = input.shape[1]
        demand(
          answer.shape[1] === 2 * channels,
          what,
          "prediction",
          `a network that learns the variance answers with twice the ${channels} channels of its input, not with ${answer.shape[1]}`
        )
        const [predicted, rest] = Tensor.split(answer, 2, { axis: 1 })
        variance = rest as State
        return predicted as State
      }
      const { data, noise } = estimate(network, x, level)
      return { data: clipped(data, clip), noise, ...(variance === undefined ? {} : { variance }) }
    }
  }
}

/**
 * A denoiser whose estimates of the data are kept within a range: of one made of others, such as by guidance. Throws `DiffusionError` for a
 * clip that makes no sense.
 *
 * @since 0.1.0
 * @category combinators
 */
export const clip = (denoiser: Denoiser, bounds: Clip): Denoiser => {
  checkClip("Denoiser.clip", bounds)
  return {
    ...denoiser,
    estimate: (x, level) => {
      const estimate = denoiser.estimate(x, level)
      return { ...estimate, data: clipped(estimate.data, bounds) }
    }
  }
}

/**
 * A denoiser from a function that estimates the data, such as a closed form.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromData = (data: (x: State, level: Level) => State): Denoiser => ({
  evaluations: 1,
  withoutSignal: true,
  withoutNoise: false,
  estimate: (x, level) => {
    const found = data(x, level)
    const rest = Tensor.sub(x, combine([level.alpha, found])) as State
    return { data: found, noise: quotient(rest, over(level.sigma, x)) }
  }
})

/**
 * What a network should predict of x = αx₀ + σε: its target in training. α and σ, one for each item or scalars, may be in any
 * coordinates. Throws `DiffusionError` for consistency models, which are trained by another network or by themselves.
 *
 * @since 0.1.0
 * @category targets
 */
export const target = (
  prediction: Prediction,
  { data, noise }: Estimate,
  mixture: Mixture<State>
): State => {
  predictions.require("Denoiser.target", prediction)
  demand(
    typeof prediction === "string" || prediction.kind === "edm",
    "Denoiser.target",
    "prediction",
    "a consistency model has no target: it is distilled, or trained to agree with itself"
  )
  switch (prediction) {
    case "noise":
      return noise
    case "data":
      return data
    case "v": {
      const k = scaleOf(prediction, mixture)
      const [alpha, sigma] = [mixture.alpha, mixture.sigma].map((each) => Tensor.mul(each, k))
      return Tensor.sub(combine([alpha as State, noise]), combine([sigma as State, data])) as State
    }
    case "flow":
      return Tensor.sub(noise, data) as State
    default: {
      // (x₀ − c_skip x)/c_out = (σ/s·x₀ − αs·ε)/√(σ² + α²s²), without a difference of nearly equal numbers
      const { deviation = 0.5 } = prediction
      const { alpha, sigma } = mixture
      const scaled = combine(
        [Tensor.div(sigma, deviation) as State, data],
        [Tensor.mul(alpha, -deviation) as State, noise]
      )
      const root = Tensor.sqrt(varianceOf(mixture, deviation)) as State
      return quotient(scaled, over(root, scaled))
    }
  }
}

/**
 * The denoiser of a pipeline.
 *
 * @since 0.1.0
 * @category services
 */
export class Current extends Context.Service<Current, Denoiser>()("odeon/Denoiser") {}

/**
 * @since 0.1.0
 * @category services
 */
export const layer = (denoiser: Denoiser): EffectLayer.Layer<Current> =>
  EffectLayer.succeed(Current, denoiser)
