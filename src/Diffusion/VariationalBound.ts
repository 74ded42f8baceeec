/**
 * The variational bound on −log p(x₀), and with it learned variances (Nichol and Dhariwal 2021, arXiv:2102.09672, section 3.1).
 *
 * Over the T levels of a discrete schedule the bound is ∑ L_t. With q(x_{t−1} | x_t, x₀) = N(μ̃_t, β̃_t) and the network's
 * p(x_{t−1} | x_t) = N(μ_t, Σ_t),
 *
 *     L_t = KL(q ‖ p) = ½(log Σ_t/β̃_t + β̃_t/Σ_t − 1 + (μ̃_t − μ_t)²/Σ_t),  t ≥ 1,
 *     L_0 = −log p(x₀ | x at the first level),
 *     μ̃_t − μ_t = c(x₀ − x̂₀),  c = √ᾱ_{t−1} β_t/(1 − ᾱ_t),  β̃_t = β_t(1 − ᾱ_{t−1})/(1 − ᾱ_t),
 *     log Σ_t = f log β_t + (1 − f) log β̃_t,  f = (v + 1)/2, v being what the network says of each element (equation 15).
 *
 * Where β̃ is 0, at the first level, the one after counts.
 *
 * @since 0.1.0
 */
import { type DType, Tensor } from "../Tensor/index.ts"
import { combine, type Estimate, over, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import type { Discrete } from "./Schedule.ts"

/**
 * How a network says what variances it means: v between −1 and 1 as in equation 15 (`learnedRange`), or Σ itself (`learned`). As in `Ddpm`.
 *
 * @since 0.1.0
 * @category models
 */
export type Learned = "learnedRange" | "learned"

/**
 * What L_0 measures: the density, or the probability of one of this many grey levels between −1 and 1, 256 for usual images.
 *
 * @since 0.1.0
 * @category models
 */
export type Decoder = "density" | { readonly levels: number }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly schedule: Discrete
  readonly learned?: Learned
  readonly decoder?: Decoder
}

/** log β and log β̃ and c of all levels. */
const tables = ({ betas, alphasCumprod }: Discrete) => {
  const before = (i: number) => (i === 0 ? 1 : alphasCumprod[i - 1])
  const posterior = betas.map((beta, i) => (beta * (1 - before(i))) / (1 - alphasCumprod[i]))
  return {
    large: betas.map(Math.log),
    small: posterior.map((each, i) => Math.log(i === 0 ? posterior[1] : each)),
    // 1 at the first level, but for rounding
    c: betas.map((beta, i) =>
      i === 0 ? 1 : (Math.sqrt(before(i)) * beta) / (1 - alphasCumprod[i])
    )
  }
}

/**
 * L_t in nats, element by element: of data x₀ and a network's estimate of it, `[batch, …]`, at the schedule's level of each item,
 * whole numbers `[batch]`, and what the network says of the variance, like x₀. Throws `DiffusionError` where a decoder has no levels.
 *
 * @since 0.1.0
 * @category terms
 */
export const terms = (
  { schedule, learned = "learnedRange", decoder = { levels: 256 } }: Options,
  given: {
    readonly data: State
    readonly estimate: Pick<Estimate, "data">
    readonly variance: State
    readonly level: Tensor.Any
  }
): State => {
  demand(
    decoder === "density" || decoder.levels > 1,
    "VariationalBound.terms",
    "options",
    "a decoder needs at least two levels"
  )
  const { data, estimate, variance } = given
  const dtype = data.dtype as DType.Float
  const level = Tensor.cast(given.level, "int32")
  const all = tables(schedule)
  const [large, small, c] = [all.large, all.small, all.c].map((table) =>
    over(Tensor.take(Tensor.constant(table, { dtype }), level) as State, data)
  )
  const part = Tensor.mul(Tensor.add(variance, 1), 0.5) as State
  const logVariance =
    learned === "learned"
      ? (Tensor.log(variance) as State)
      : (Tensor.add(small, Tensor.mul(part, Tensor.sub(large, small) as State)) as State)
  const error = Tensor.mul(Tensor.sub(data, estimate.data), c) as State
  const ratio = Tensor.sub(small, logVariance) as State
  const distance = Tensor.mul(Tensor.square(error), Tensor.exp(Tensor.neg(logVariance)) as State)
  const divergence = Tensor.mul(
    Tensor.add(
      Tensor.sub(Tensor.sub(Tensor.exp(ratio), 1) as State, ratio) as State,
      distance as State
    ) as State,
    0.5
  ) as State
  const first =
    decoder === "density" ? combine([0.5, logVariance], [0.5, distance as State]) : undefined
  const likelihood =
    first === undefined
      ? discretised(data, error, logVariance, (decoder as { readonly levels: number }).levels)
      : (Tensor.add(first, Math.log(2 * Math.PI) / 2) as State)
  const atFirst = over(Tensor.cast(Tensor.equal(level, 0), "float32") as State, data)
  return Tensor.select(
    Tensor.broadcastTo(Tensor.greater(atFirst, 0), data.shape),
    likelihood,
    divergence
  ) as State
}

/** −log of the normal probability of the grey level around x₀, which for the outermost goes on to infinity. */
const discretised = (data: State, error: State, logVariance: State, levels: number): State => {
  const half = 1 / (levels - 1)
  const scale = Tensor.exp(Tensor.mul(logVariance, -0.5) as State) as State
  const below = (distance: State): State =>
    Tensor.mul(
      Tensor.add(Tensor.erf(Tensor.mul(Tensor.mul(distance, scale), Math.SQRT1_2) as State), 1),
      0.5
    ) as State
  const upper = below(Tensor.add(error, half) as State)
  const lower = below(Tensor.sub(error, half) as State)
  // by a part of the step between two levels, so that rounding does not matter
  const edge = 1 - half / 8
  const p = Tensor.select(
    Tensor.less(data, -edge),
    upper,
    Tensor.select(
      Tensor.greater(data, edge),
      Tensor.sub(Tensor.onesLike(lower), lower) as State,
      Tensor.sub(upper, lower) as State
    ) as State
  ) as State
  return Tensor.neg(Tensor.log(Tensor.maximum(p, 1e-12) as State)) as State
}
