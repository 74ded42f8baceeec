/**
 * How parameters begin: distributions as plain values, as PyTorch defines them.
 *
 * For a weight of shape `[out, in, …kernel]` the fans are (`torch.nn.init`)
 *
 *     fan_in = in · ∏ kernel,  fan_out = out · ∏ kernel.
 *
 * An initialiser is a function from the shape to a {@link Distribution}; {@link draw} draws from it on the host.
 *
 * @since 0.1.0
 */
import type { Float } from "../Tensor/DType.ts"
import { DType, HostRandom, Shape, type Tensor } from "../Tensor/index.ts"
import { ParameterError } from "./LayerError.ts"

/**
 * What a parameter's elements are drawn from.
 *
 * @since 0.1.0
 * @category models
 */
export type Distribution =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "uniform"; readonly min: number; readonly max: number }
  | { readonly kind: "normal"; readonly mean: number; readonly deviation: number }
  /** A normal distribution of mean 0, cut off at so many deviations. */
  | { readonly kind: "truncatedNormal"; readonly deviation: number; readonly cut: number }
  /** A matrix of orthonormal rows or columns, times the gain. */
  | { readonly kind: "orthogonal"; readonly gain: number }
  /** The elements themselves, in row-major order. */
  | { readonly kind: "values"; readonly values: ArrayLike<number> }

/**
 * @since 0.1.0
 * @category models
 */
export type Initializer = (shape: Shape.Shape) => Distribution

/**
 * What a weight feeds, for the gain of {@link gain}.
 *
 * @since 0.1.0
 * @category models
 */
export type Nonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu"

/**
 * The recommended gain for a nonlinearity, as `torch.nn.init.calculate_gain`. `slope` is the leaky ReLU's, 0.01 unless told.
 *
 * @since 0.1.0
 * @category fans
 */
export const gain = (nonlinearity: Nonlinearity, slope = 0.01): number => {
  switch (nonlinearity) {
    case "tanh":
      return 5 / 3
    case "relu":
      return Math.SQRT2
    case "leakyRelu":
      return Math.sqrt(2 / (1 + slope ** 2))
    case "selu":
      return 3 / 4
    default:
      return 1
  }
}

/**
 * The fans of a weight `[out, in, …kernel]`. Throws `ParameterError` for fewer than two axes, as PyTorch does.
 *
 * @since 0.1.0
 * @category fans
 */
export const fans = (shape: Shape.Shape): { readonly in: number; readonly out: number } => {
  if (shape.length < 2) {
    throw new ParameterError({
      path: "",
      reason: "initializer",
      message: `a parameter of shape ${Shape.show(shape)} has no fans: Kaiming's and Xavier's initialisers need [out, in, …kernel]; take Initializer.zeros or Initializer.uniform`
    })
  }
  const field = Shape.size(shape.slice(2))
  return { in: shape[1] * field, out: shape[0] * field }
}

/**
 * @since 0.1.0
 * @category instances
 */
export const constant =
  (value: number): Initializer =>
  () => ({ kind: "constant", value })

/**
 * @since 0.1.0
 * @category instances
 */
export const zeros: Initializer = constant(0)

/**
 * @since 0.1.0
 * @category instances
 */
export const ones: Initializer = constant(1)

/**
 * The elements as given, in row-major order: tables that are known.
 *
 * @since 0.1.0
 * @category instances
 */
export const values =
  (values: ArrayLike<number>): Initializer =>
  (shape) => {
    if (values.length === Shape.size(shape)) return { kind: "values", values }
    throw new ParameterError({
      path: "",
      reason: "initializer",
      message: `there are ${values.length} values for a parameter of shape ${Shape.show(shape)}`
    })
  }

/**
 * Uniform in [min, max).
 *
 * @since 0.1.0
 * @category instances
 */
export const uniform =
  (min: number, max: number): Initializer =>
  () => ({ kind: "uniform", min, max })

/**
 * @since 0.1.0
 * @category instances
 */
export const normal =
  (options: { readonly mean?: number; readonly deviation?: number } = {}): Initializer =>
  () => ({ kind: "normal", mean: options.mean ?? 0, deviation: options.deviation ?? 1 })

/**
 * A normal distribution of mean 0, cut off at `cut` deviations, 2 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const truncatedNormal =
  (options: { readonly deviation?: number; readonly cut?: number } = {}): Initializer =>
  () => ({
    kind: "truncatedNormal",
    deviation: options.deviation ?? 1,
    cut: options.cut ?? 2
  })

/**
 * @since 0.1.0
 * @category models
 */
export interface KaimingOptions {
  /** Which fan keeps its variance; `in` unless told. */
  readonly mode?: "in" | "out"
  /** `leakyRelu` unless told. */
  readonly nonlinearity?: Nonlinearity
  /** The leaky ReLU's, 0 unless told. */
  readonly slope?: number
}

const kaiming = (
  shape: Shape.Shape,
  { mode = "in", nonlinearity = "leakyRelu", slope = 0 }: KaimingOptions
): number => gain(nonlinearity, slope) / Math.sqrt(Math.max(fans(shape)[mode], 1))

/**
 * Uniform in ±gain·√(3 / fan) (He et al. 2015, arXiv:1502.01852; `torch.nn.init.kaiming_uniform_`).
 *
 * @since 0.1.0
 * @category instances
 */
export const kaimingUniform =
  (options: KaimingOptions = {}): Initializer =>
  (shape) => {
    const bound = Math.sqrt(3) * kaiming(shape, options)
    return { kind: "uniform", min: -bound, max: bound }
  }

/**
 * Normal with deviation gain / √fan (He et al. 2015, arXiv:1502.01852; `torch.nn.init.kaiming_normal_`).
 *
 * @since 0.1.0
 * @category instances
 */
export const kaimingNormal =
  (options: KaimingOptions = {}): Initializer =>
  (shape) => ({ kind: "normal", mean: 0, deviation: kaiming(shape, options) })

/**
 * What PyTorch's dense and convolutional layers begin with, `kaiming_uniform_(a=√5)`: uniform in ±1/√fan_in.
 *
 * @since 0.1.0
 * @category instances
 */
export const torch: Initializer = kaimingUniform({ slope: Math.sqrt(5) })

/**
 * What PyTorch's biases begin with: uniform in ±1/√fan_in of the weight that goes with it.
 *
 * @since 0.1.0
 * @category instances
 */
export const torchBias = (weight: Shape.Shape): Initializer => {
  const bound = 1 / Math.sqrt(Math.max(fans(weight).in, 1))
  return uniform(-bound, bound)
}

const xavier = (shape: Shape.Shape, gain: number): number => {
  const { in: before, out } = fans(shape)
  return gain * Math.sqrt(2 / Math.max(before + out, 1))
}

/**
 * Uniform in ±gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010; `torch.nn.init.xavier_uniform_`).
 *
 * @since 0.1.0
 * @category instances
 */
export const xavierUniform =
  (options: { readonly gain?: number } = {}): Initializer =>
  (shape) => {
    const bound = Math.sqrt(3) * xavier(shape, options.gain ?? 1)
    return { kind: "uniform", min: -bound, max: bound }
  }

/**
 * Normal with deviation gain·√(2 / (fan_in + fan_out)) (Glorot and Bengio 2010; `torch.nn.init.xavier_normal_`).
 *
 * @since 0.1.0
 * @category instances
 */
export const xavierNormal =
  (options: { readonly gain?: number } = {}): Initializer =>
  (shape) => ({ kind: "normal", mean: 0, deviation: xavier(shape, options.gain ?? 1) })

/**
 * A uniformly distributed orthogonal matrix (Saxe et al. 2013, arXiv:1312.6120; `torch.nn.init.orthogonal_`): all axes but
 * the first are one, and the shorter side is orthonormal, times the gain.
 *
 * @since 0.1.0
 * @category instances
 */
export const orthogonal =
  (options: { readonly gain?: number } = {}): Initializer =>
  (shape) => {
    fans(shape)
    return { kind: "orthogonal", gain: options.gain ?? 1 }
  }

/** Rows made orthonormal by Gram and Schmidt, twice each, which is enough (Giraud et al. 2005). */
const orthonormal = (rows: ReadonlyArray<Float64Array>): void => {
  rows.forEach((row, i) => {
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = rows[j]
        let along = 0
        for (let k = 0; k < row.length; k++) along += row[k] * other[k]
        for (let k = 0; k < row.length; k++) row[k] -= along * other[k]
      }
    }
    const length = Math.sqrt(row.reduce((sum, each) => sum + each * each, 0))
    for (let k = 0; k < row.length; k++) row[k] /= length
  })
}

const drawOrthogonal = (key: HostRandom.Key, shape: Shape.Shape, gain: number): Float64Array => {
  const height = shape[0]
  const width = Shape.size(shape.slice(1))
  const [short, long] = height < width ? [height, width] : [width, height]
  const { data } = HostRandom.normal(key, [short, long], { dtype: "float64" })
  const rows = Array.from({ length: short }, (_, i) => data.subarray(i * long, (i + 1) * long))
  orthonormal(rows)
  const result = new Float64Array(height * width)
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      result[i * width + j] = gain * (height < width ? rows[i][j] : rows[j][i])
  return result
}

/**
 * An array drawn on the host. The same key gives the same array.
 *
 * @since 0.1.0
 * @category drawing
 */
export const draw = <const S extends Shape.Shape, D extends Float>(
  key: HostRandom.Key,
  shape: S,
  dtype: D,
  distribution: Distribution
): Tensor.HostArray<S, D> => {
  const filled = (each: (i: number) => number): Tensor.HostArray<S, D> => {
    const data = DType.allocate<Float>(dtype, Shape.size(shape))
    const store = dtype === "float16" ? DType.toFloat16Bits : (value: number) => value
    for (let i = 0; i < data.length; i++) data[i] = store(each(i))
    return { shape, dtype, data: data as DType.Arrays[D] }
  }
  // in the precision of the dtype
  const wide = dtype === "float64" ? "float64" : "float32"
  switch (distribution.kind) {
    case "constant":
      return filled(() => distribution.value)
    case "values":
      return filled((i) => distribution.values[i])
    case "uniform": {
      const { min, max } = distribution
      return HostRandom.uniform(key, shape, { min, max, dtype }) as Tensor.HostArray<S, D>
    }
    case "normal": {
      const { mean, deviation } = distribution
      const { data } = HostRandom.normal(key, shape, { dtype: wide })
      return filled((i) => mean + deviation * data[i])
    }
    case "truncatedNormal": {
      const { deviation, cut } = distribution
      const { data } = HostRandom.truncatedNormal(key, shape, { min: -cut, max: cut, dtype: wide })
      return filled((i) => deviation * data[i])
    }
    case "orthogonal": {
      const data = drawOrthogonal(key, shape, distribution.gain)
      return filled((i) => data[i])
    }
  }
}
