/**
 * Mixtures of Gaussians as data: everything about them under noise is known in closed form.
 *
 * With x₀ ~ Σ wₖ N(mₖ, diag sₖ²), a state x = αx₀ + σε is distributed as Σ wₖ N(αmₖ, vₖ) with vₖ = α²sₖ² + σ², and its exact denoiser
 * is E[x₀ | x] = Σ rₖ (mₖ + αsₖ²/vₖ·(x − αmₖ)), where rₖ is the probability of component k given x.
 */
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import type { Mixture as Level } from "../../src/Diffusion/Schedule.ts"
import { HostRandom, Tensor } from "../../src/Tensor/index.ts"

type State = Denoiser.State

export interface Component {
  readonly weight: number
  readonly mean: ReadonlyArray<number>
  /** Along each dimension. */
  readonly deviation: ReadonlyArray<number>
}

export interface Gaussians {
  readonly components: ReadonlyArray<Component>
  /** Elements of one item. */
  readonly dimension: number
}

/** One number stands for all dimensions; weights are made to add up to 1. */
export const mixture = (
  components: ReadonlyArray<{
    readonly weight?: number
    readonly mean: ReadonlyArray<number>
    readonly deviation: number | ReadonlyArray<number>
  }>
): Gaussians => {
  const total = components.reduce((sum, { weight = 1 }) => sum + weight, 0)
  return {
    dimension: components[0].mean.length,
    components: components.map(({ weight = 1, mean, deviation }) => ({
      weight: weight / total,
      mean,
      deviation: typeof deviation === "number" ? mean.map(() => deviation) : deviation
    }))
  }
}

/** A single Gaussian. */
export const gaussian = (
  mean: ReadonlyArray<number>,
  deviation: number | ReadonlyArray<number>
): Gaussians => mixture([{ mean, deviation }])

/** `count` of equal weight on a circle. */
export const ring = (count: number, radius: number, deviation: number): Gaussians =>
  mixture(
    Array.from({ length: count }, (_, k) => {
      const angle = (2 * Math.PI * k) / count
      return { mean: [radius * Math.cos(angle), radius * Math.sin(angle)], deviation }
    })
  )

/** The distribution of αx₀ + σε. */
export const noised = (of: Gaussians, { alpha, sigma }: Level<number>): Gaussians => ({
  ...of,
  components: of.components.map(({ weight, mean, deviation }) => ({
    weight,
    mean: mean.map((m) => alpha * m),
    deviation: deviation.map((s) => Math.hypot(alpha * s, sigma))
  }))
})

/** Of each component log w + log N(x), so that their exponentials add up to the density. */
const logTerms = ({ components }: Gaussians, x: ReadonlyArray<number>): ReadonlyArray<number> =>
  components.map(({ weight, mean, deviation }) =>
    x.reduce(
      (sum, each, j) =>
        sum -
        ((each - mean[j]) / deviation[j]) ** 2 / 2 -
        Math.log(deviation[j]) -
        Math.log(2 * Math.PI) / 2,
      Math.log(weight)
    )
  )

const logSumExp = (terms: ReadonlyArray<number>): number => {
  const most = Math.max(...terms)
  return most + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - most), 0))
}

/** The density's logarithm, in nats. */
export const logDensity = (of: Gaussians, x: ReadonlyArray<number>): number =>
  logSumExp(logTerms(of, x))

/** E[x₀ | x] on the host. */
export const data = (
  of: Gaussians,
  x: ReadonlyArray<number>,
  level: Level<number>
): ReadonlyArray<number> => {
  const terms = logTerms(noised(of, level), x)
  const total = logSumExp(terms)
  const { alpha, sigma } = level
  return x.map((each, j) =>
    of.components.reduce((sum, { mean, deviation }, k) => {
      const s2 = deviation[j] ** 2
      const gain = (alpha * s2) / (alpha ** 2 * s2 + sigma ** 2)
      return sum + Math.exp(terms[k] - total) * (mean[j] + gain * (each - alpha * mean[j]))
    }, 0)
  )
}

/** ∇ log density of αx₀ + σε, on the host: (αE[x₀ | x] − x)/σ². */
export const score = (
  of: Gaussians,
  x: ReadonlyArray<number>,
  level: Level<number>
): ReadonlyArray<number> =>
  data(of, x, level).map((each, j) => (level.alpha * each - x[j]) / level.sigma ** 2)

/**
 * The exact denoiser, of states `[batch, …]` whose items have `dimension` elements, at levels that are scalars or one for each item.
 */
export const denoiser = ({ components, dimension }: Gaussians): Denoiser.Denoiser =>
  Denoiser.fromData((state, { alpha, sigma }) => {
    const [batch] = state.shape
    const { dtype } = state
    const x = Tensor.reshape(state, [batch, 1, dimension]) as State
    const table = (values: ReadonlyArray<ReadonlyArray<number>>): State =>
      Tensor.reshape(Tensor.constant(values.flat(), { dtype }), [
        1,
        components.length,
        dimension
      ]) as State
    const spread = (level: State): State =>
      Tensor.broadcastTo(level.shape.length === 0 ? level : Tensor.reshape(level, [batch, 1, 1]), [
        batch,
        1,
        1
      ]) as State
    const [a, s] = [spread(alpha), spread(sigma)]
    const means = table(components.map(({ mean }) => mean))
    const squares = table(components.map(({ deviation }) => deviation.map((each) => each ** 2)))
    // [batch, component, dimension]
    const variance = Tensor.add(Tensor.mul(Tensor.square(a), squares), Tensor.square(s)) as State
    const rest = Tensor.sub(x, Tensor.mul(a, means)) as State
    const logits = Tensor.mul(
      Tensor.sum(
        Tensor.add(Tensor.div(Tensor.square(rest), variance), Tensor.log(variance)) as State,
        { axis: [2] }
      ),
      -0.5
    ) as State
    const prior = Tensor.reshape(
      Tensor.constant(
        components.map(({ weight }) => Math.log(weight)),
        { dtype }
      ),
      [1, components.length]
    ) as State
    const parts = Tensor.softmax(Tensor.add(logits, prior) as State, { axis: 1 }) as State
    const gain = Tensor.div(Tensor.mul(a, squares), variance) as State
    const each = Tensor.add(means, Tensor.mul(gain, rest)) as State
    const weighted = Tensor.mul(Tensor.reshape(parts, [batch, components.length, 1]), each) as State
    return Tensor.reshape(Tensor.sum(weighted, { axis: [1] }) as State, state.shape) as State
  })

/** E[x₀] along each dimension. */
export const mean = ({ components, dimension }: Gaussians): ReadonlyArray<number> =>
  Array.from({ length: dimension }, (_, j) =>
    components.reduce((sum, { weight, mean }) => sum + weight * mean[j], 0)
  )

/** Var[x₀] along each dimension. */
export const variance = (of: Gaussians): ReadonlyArray<number> =>
  mean(of).map((middle, j) =>
    of.components.reduce(
      (sum, { weight, mean, deviation }) =>
        sum + weight * (deviation[j] ** 2 + (mean[j] - middle) ** 2),
      0
    )
  )

/** `count` items drawn on the host, one after the other. */
export const draw = (of: Gaussians, seed: number, count: number): Float64Array => {
  const { components, dimension } = of
  const key = HostRandom.key(seed)
  const which = HostRandom.uniform(HostRandom.foldIn(key, 0), [count], { dtype: "float64" }).data
  const normals = HostRandom.normal(HostRandom.foldIn(key, 1), [count * dimension], {
    dtype: "float64"
  }).data
  const drawn = new Float64Array(count * dimension)
  for (let i = 0; i < count; i++) {
    let k = 0
    for (let left = which[i]; k < components.length - 1; k++) {
      left -= components[k].weight
      if (left < 0) break
    }
    const { mean, deviation } = components[k]
    for (let j = 0; j < dimension; j++) {
      drawn[i * dimension + j] = mean[j] + deviation[j] * normals[i * dimension + j]
    }
  }
  return drawn
}

/**
 * Where the probability-flow ODE takes x from one level to another, for a single Gaussian:
 * α_t m + √(v_t/v_s)·(x − α_s m).
 */
export const carried = (
  { components: [{ mean, deviation }] }: Gaussians,
  x: ReadonlyArray<number>,
  from: Level<number>,
  to: Level<number>
): ReadonlyArray<number> =>
  x.map((each, j) => {
    const spread = ({ alpha, sigma }: Level<number>) => Math.hypot(alpha * deviation[j], sigma)
    return to.alpha * mean[j] + (spread(to) / spread(from)) * (each - from.alpha * mean[j])
  })

/** Mean and variance along each dimension of items that lie one after the other. */
export const moments = (
  items: ArrayLike<number>,
  dimension: number
): { readonly mean: ReadonlyArray<number>; readonly variance: ReadonlyArray<number> } => {
  const count = items.length / dimension
  const column = (j: number) => Array.from({ length: count }, (_, i) => items[i * dimension + j])
  const columns = Array.from({ length: dimension }, (_, j) => column(j))
  const mean = columns.map((values) => values.reduce((a, b) => a + b, 0) / count)
  return {
    mean,
    variance: columns.map(
      (values, j) => values.reduce((sum, x) => sum + (x - mean[j]) ** 2, 0) / (count - 1)
    )
  }
}
