import { dual } from "effect/Function"
import type { DType, Float } from "../DType.ts"
import { isTensor, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import { custom } from "../primitive/control.ts"
import * as e from "../primitive/elementwise.ts"
import * as l from "../primitive/linear.ts"
import * as r from "../primitive/reduction.ts"
import * as s from "../primitive/structure.ts"
import type { Later, Shape } from "../Shape.ts"
import * as Shapes from "../Shape.ts"
import type { Unary } from "./elementwise.ts"

const isFirst = (args: IArguments): boolean => isTensor(args[0])

const like = (x: Tensor, value: number): Tensor => s.scalar(value, x.dtype)

const unary = (name: string, f: (x: Tensor) => Tensor): Unary<Float> =>
  ((x: Tensor) => {
    check.dtypes(name, [x], "floats")
    return f(x)
  }) as never

// data first comes last, because that is the overload that `x.pipe(Tensor.softmax)` takes
interface AlongOne {
  (options: {
    readonly axis?: number
  }): <S extends Shape, D extends Float>(self: Tensor<S, D>) => Tensor<S, D>
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options?: { readonly axis?: number }
  ): Tensor<S, D>
}

const along = (
  operation: string,
  f: (x: Tensor, axes: ReadonlyArray<number>) => Tensor
): AlongOne =>
  dual(isFirst, (x: Tensor, options?: { readonly axis?: number }) => {
    check.dtypes(operation, [x], "floats")
    return f(x, [check.axis(operation, x, options?.axis ?? -1)])
  })

/**
 * eˣ / Σ eˣ along an axis, the last unless told; shifted by the maximum, so that nothing overflows.
 *
 * @since 0.1.0
 * @category activations
 */
export const softmax: AlongOne = along("softmax", (x, axes) => {
  const weights = e.exp(e.sub(x, e.stopGradient(r.max(x, axes, true))))
  const y = e.div(weights, s.sum(weights, axes, true))
  // y·(c − Σ c·y): fewer passes than the derivative of the quotient
  return custom([x], [y], {
    name: "softmax",
    backward: (_, [y], [c]) => [e.mul(y, e.sub(c, s.sum(e.mul(c, y), axes, true)))]
  })[0]
})

/**
 * log of {@link softmax}, without overflow and without the logarithm of 0.
 *
 * @since 0.1.0
 * @category activations
 */
export const logSoftmax: AlongOne = along("logSoftmax", (x, axes) => {
  const shifted = e.sub(x, e.stopGradient(r.max(x, axes, true)))
  return e.sub(shifted, e.log(s.sum(e.exp(shifted), axes, true)))
})

/**
 * max(x, 0); the derivative at 0 is ½.
 *
 * @since 0.1.0
 * @category activations
 */
export const relu: Unary<Float> = unary("relu", (x) => e.maximum(x, like(x, 0)))

/**
 * x·σ(x), also known as swish (Elfwing et al. 2017, arXiv 1702.03118).
 *
 * @since 0.1.0
 * @category activations
 */
export const silu: Unary<Float> = unary("silu", (x) => {
  const gate = e.sigmoid(x)
  return custom([x], [e.mul(x, gate)], {
    name: "silu",
    // σ + y·(1 − σ): two passes fewer than the product rule's
    backward: ([x], [y], [c]) => {
      const gate = e.sigmoid(x)
      return [e.mul(c, e.add(gate, e.mul(y, e.sub(like(x, 1), gate))))]
    }
  })[0]
})

/**
 * x·Φ(x) with the normal distribution function Φ (Hendrycks and Gimpel 2016, arXiv 1606.08415): exact, or the paper's
 * approximation by tanh.
 *
 * @since 0.1.0
 * @category activations
 */
export const gelu: {
  (options: {
    readonly approximate?: "none" | "tanh"
  }): <S extends Shape, D extends Float>(self: Tensor<S, D>) => Tensor<S, D>
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options?: { readonly approximate?: "none" | "tanh" }
  ): Tensor<S, D>
} = dual(isFirst, (x: Tensor, options?: { readonly approximate?: "none" | "tanh" }) => {
  check.dtypes("gelu", [x], "floats")
  const half = e.mul(x, like(x, 0.5))
  if (options?.approximate === "tanh") {
    const cubic = e.add(x, e.mul(like(x, 0.044715), e.mul(x, e.mul(x, x))))
    return e.mul(half, e.add(like(x, 1), e.tanh(e.mul(cubic, like(x, Math.sqrt(2 / Math.PI))))))
  }
  return e.mul(half, e.add(like(x, 1), e.erf(e.mul(x, like(x, Math.SQRT1_2)))))
})

/**
 * log(1 + eˣ), as max(x, 0) − log σ(|x|), which neither overflows nor loses small values.
 *
 * @since 0.1.0
 * @category activations
 */
export const softplus: Unary<Float> = unary("softplus", (x) => {
  const y = e.sub(e.maximum(x, like(x, 0)), e.log(e.sigmoid(e.abs(x))))
  return custom([x], [y], {
    name: "softplus",
    backward: ([x], _, [c]) => [e.mul(c, e.sigmoid(x))]
  })[0]
})

/**
 * What follows a normalisation: a factor and an offset for each channel.
 *
 * @since 0.1.0
 * @category models
 */
export interface Affine<D extends DType = DType> {
  readonly scale?: Tensor<Shape, D>
  readonly bias?: Tensor<Shape, D>
  /** Added to the variance (or mean square); 1e-5 unless told. */
  readonly epsilon?: number
}

const affine = (operation: string, y: Tensor, axis: number, { scale, bias }: Affine): Tensor => {
  const aligned = (each: Tensor): Tensor => {
    if (Shapes.size(each.shape) !== y.shape[axis]) {
      throw check.shapeError(
        operation,
        [y, each],
        `scale and bias need ${y.shape[axis]} elements, one for each channel`
      )
    }
    return s.reshape(each, [y.shape[axis], ...y.shape.slice(axis + 1).map(() => 1)])
  }
  const scaled = scale === undefined ? y : e.mul(y, aligned(scale))
  return bias === undefined ? scaled : e.add(scaled, aligned(bias))
}

/** The shape of what has the axes [batch, channels, …]. */
const channelled = (operation: string, x: Tensor): Shape => {
  check.dtypes(operation, [x], "floats")
  if (x.shape.length < 2)
    throw check.shapeError(operation, [x], "needs the axes [batch, channels, …spatial]")
  return x.shape
}

/**
 * Group normalisation (Wu and He 2018, arXiv 1803.08494): `[N, C, …]`, over groups of C / groups channels and all
 * spatial axes, then the affine map of each channel.
 *
 * @since 0.1.0
 * @category normalisation
 */
export const groupNorm: {
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options: Affine<NoInfer<D>> & { readonly groups: number }
  ): Tensor<S, D>
  <D extends Float>(
    options: Affine<D> & { readonly groups: number }
  ): Later<D, <S extends Shape>(self: Tensor<S, D>) => Tensor<S, D>>
} = dual(2, (x: Tensor, options: Affine & { readonly groups: number }) => {
  check.dtypes("groupNorm", [x], "floats")
  const [n, c] = channelled("groupNorm", x)
  if (!Number.isInteger(options.groups) || options.groups < 1 || c % options.groups !== 0) {
    throw check.shapeError(
      "groupNorm",
      [x],
      `${c} channels do not divide into ${options.groups} groups`
    )
  }
  const rows = s.reshape(x, [n * options.groups, Shapes.size(x.shape.slice(1)) / options.groups])
  const y = s.reshape(r.standardize(rows, 1, options.epsilon ?? 1e-5), x.shape)
  return affine("groupNorm", y, 1, options)
})

/**
 * Instance normalisation (Ulyanov et al. 2016, arXiv 1607.08022): `[N, C, …]`, each channel of each sample over its
 * spatial axes.
 *
 * @since 0.1.0
 * @category normalisation
 */
export const instanceNorm: {
  <D extends Float>(
    options: Affine<D>
  ): Later<D, <S extends Shape>(self: Tensor<S, D>) => Tensor<S, D>>
  <S extends Shape, D extends Float>(self: Tensor<S, D>, options?: Affine<NoInfer<D>>): Tensor<S, D>
} = dual(isFirst, (x: Tensor, options: Affine = {}) =>
  groupNorm(x as Tensor<Shape, Float>, {
    ...(options as Affine<Float>),
    groups: channelled("instanceNorm", x)[1]
  })
)

/**
 * Layer normalisation (Ba et al. 2016, arXiv 1607.06450) over the last axis; `scale` and `bias` have its size.
 *
 * @since 0.1.0
 * @category normalisation
 */
export const layerNorm: {
  <D extends Float>(
    options: Affine<D>
  ): Later<D, <S extends Shape>(self: Tensor<S, D>) => Tensor<S, D>>
  <S extends Shape, D extends Float>(self: Tensor<S, D>, options?: Affine<NoInfer<D>>): Tensor<S, D>
} = dual(isFirst, (x: Tensor, options: Affine = {}) => {
  check.dtypes("layerNorm", [x], "floats")
  const axis = check.axis("layerNorm", x, -1)
  const width = x.shape[axis]
  const rows = s.reshape(x, [Shapes.size(x.shape.slice(0, axis)), width])
  const y = s.reshape(r.standardize(rows, 1, options.epsilon ?? 1e-5), x.shape)
  return affine("layerNorm", y, axis, options)
})

/**
 * Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467) along an axis, the last unless told:
 * x / √(mean x² + ε), then the affine map along that axis.
 *
 * @since 0.1.0
 * @category normalisation
 */
export const rmsNorm: {
  <D extends Float>(
    options: Affine<D> & { readonly axis?: number }
  ): Later<D, <S extends Shape>(self: Tensor<S, D>) => Tensor<S, D>>
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options?: Affine<NoInfer<D>> & { readonly axis?: number }
  ): Tensor<S, D>
} = dual(isFirst, (x: Tensor, options: Affine & { readonly axis?: number } = {}) => {
  check.dtypes("rmsNorm", [x], "floats")
  const axis = check.axis("rmsNorm", x, options.axis ?? -1)
  const square = e.mul(s.sum(e.mul(x, x), [axis], true), like(x, 1 / x.shape[axis]))
  return affine(
    "rmsNorm",
    e.div(x, e.sqrt(e.add(square, like(x, options.epsilon ?? 1e-5)))),
    axis,
    options
  )
})

/**
 * x / max(‖x‖₂, ε) along an axis, the last unless told; ε is 1e-12.
 *
 * @since 0.1.0
 * @category normalisation
 */
export const l2Normalize: AlongOne = along("l2Normalize", (x, axes) => {
  // the square is bounded, not the root, so that the derivative at 0 is finite
  const square = e.maximum(s.sum(e.mul(x, x), axes, true), like(x, 1e-24))
  return e.div(x, e.sqrt(square))
})

/**
 * @since 0.1.0
 * @category models
 */
export interface AttentionOptions {
  /** `[…, Lq, Lk]` or what broadcasts to it: `true` where a query may look. */
  readonly mask?: Tensor<Shape, "bool">
  /** Factor of the scores; 1/√d unless told. */
  readonly scale?: number
}

/**
 * Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762): queries `[…, Lq, d]`, keys `[…, Lk, d]`,
 * values `[…, Lk, e]` → `[…, Lq, e]`. Heads are batch axes. A query that may look nowhere gets the mean of all values.
 *
 * @since 0.1.0
 * @category attention
 */
export const attention = <D extends Float>(
  query: Tensor<Shape, D>,
  key: Tensor<Shape, NoInfer<D>>,
  value: Tensor<Shape, NoInfer<D>>,
  options: AttentionOptions = {}
): Tensor<Shape, D> => {
  const width = widthOf("attention", query, key, value)
  const scaled = e.mul(query, like(query, options.scale ?? 1 / Math.sqrt(width)))
  const scores = l.matmul(scaled, swapLast(key))
  const allowed =
    options.mask === undefined
      ? scores
      : e.select(options.mask, scores, like(scores, lowest[query.dtype]))
  return l.matmul(softmax(allowed as Tensor<Shape, Float>), value) as Tensor<Shape, D>
}

/** The size of queries and keys; throws where the three do not belong together. */
const widthOf = (operation: string, query: Tensor, key: Tensor, value: Tensor): number => {
  const given = [query, key, value]
  check.dtypes(operation, given, "floats")
  const sizes = given.map(({ shape }) => shape.slice(-2))
  const [[, width], [length, other], [values]] = sizes
  if (sizes.some((each) => each.length < 2) || width !== other || length !== values) {
    throw check.shapeError(
      operation,
      given,
      "needs queries […, Lq, d], keys […, Lk, d] and values […, Lk, e]"
    )
  }
  return width
}

/** Low enough that its exponential is 0 beside any score, and finite, so that nothing becomes NaN. */
const lowest: { readonly [D in Float]: number } = {
  float64: -1e300,
  float32: -1e38,
  float16: -60000
}

const swapLast = (x: Tensor): Tensor => {
  const rank = x.shape.length
  return s.transpose(x, [...x.shape.slice(0, -2).map((_, i) => i), rank - 1, rank - 2])
}

/**
 * Linear attention (Shen et al. 2018, arXiv 1812.01243): softmax(q) (softmax(k)ᵀ v), whose cost is linear in the length.
 * Queries `[…, Lq, d]` (softmax over d, times `scale`, 1/√d unless told), keys `[…, Lk, d]` (softmax over Lk),
 * values `[…, Lk, e]` → `[…, Lq, e]`.
 *
 * @since 0.1.0
 * @category attention
 */
export const linearAttention = <D extends Float>(
  query: Tensor<Shape, D>,
  key: Tensor<Shape, NoInfer<D>>,
  value: Tensor<Shape, NoInfer<D>>,
  options: { readonly scale?: number } = {}
): Tensor<Shape, D> => {
  const width = widthOf("linearAttention", query, key, value)
  const q = e.mul(
    softmax(query as Tensor<Shape, Float>),
    like(query, options.scale ?? 1 / Math.sqrt(width))
  )
  const k = softmax(key as Tensor<Shape, Float>, { axis: -2 })
  return l.matmul(q, l.matmul(swapLast(k), value)) as Tensor<Shape, D>
}
