import { dual } from "effect/Function"
import type { DType, Float, Numeric } from "../DType.ts"
import * as DTypes from "../DType.ts"
import { isTensor, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import * as e from "../primitive/elementwise.ts"
import * as r from "../primitive/reduction.ts"
import * as s from "../primitive/structure.ts"
import type { Later, Reduce, Shape } from "../Shape.ts"
import * as Shapes from "../Shape.ts"

/**
 * Which axes to reduce: one, several or (by default) all, negative ones counted from the end; and whether
 * they stay as axes of size 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReduceOptions<Axes, Keep extends boolean> {
  readonly axis?: Axes
  readonly keepDims?: Keep
}

type Axes = number | ReadonlyArray<number> | undefined

/**
 * A reduction over axes: `Tensor.sum(x)`, `Tensor.sum(x, { axis: 0 })`, `x.pipe(Tensor.sum({ axis: [0, 1] }))`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reducer<K extends DType> {
  <
    S extends Shape,
    D extends K,
    const A extends Axes = undefined,
    const Keep extends boolean = false
  >(
    self: Tensor<S, D>,
    options: ReduceOptions<A, Keep>
  ): Tensor<Reduce<S, A, Keep>, D>
  <const A extends Axes = undefined, const Keep extends boolean = false>(
    options: ReduceOptions<A, Keep>
  ): Later<A, <S extends Shape, D extends K>(self: Tensor<S, D>) => Tensor<Reduce<S, A, Keep>, D>>
  // last, because that is the one that `x.pipe(Tensor.sum)` takes
  <S extends Shape, D extends K>(self: Tensor<S, D>): Tensor<readonly [], D>
}

const isFirst = (args: IArguments): boolean => isTensor(args[0])

const reducer = <K extends DType>(
  operation: string,
  f: (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean) => Tensor
): Reducer<K> =>
  dual(isFirst, (x: Tensor, options?: ReduceOptions<Axes, boolean>) =>
    f(x, check.axes(operation, x, options?.axis), options?.keepDims ?? false)
  ) as never

const count = (x: Tensor, axes: ReadonlyArray<number>): number =>
  Shapes.size(axes.map((axis) => x.shape[axis]))

const meanOver = (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean): Tensor => {
  check.dtypes("mean", [x], "floats")
  return e.mul(s.sum(x, axes, keepDims), s.scalar(1 / count(x, axes), x.dtype))
}

/**
 * @since 0.1.0
 * @category reductions
 */
export const sum: Reducer<Numeric> = reducer("sum", s.sum)

/**
 * @since 0.1.0
 * @category reductions
 */
export const mean: Reducer<Float> = reducer("mean", meanOver)

/**
 * The derivative is right where elements are 0 too.
 *
 * @since 0.1.0
 * @category reductions
 */
export const prod: Reducer<Numeric> = reducer("prod", r.prod)

/**
 * The least element. Where several are, they share the derivative evenly. Of nothing: `ShapeError`.
 *
 * @since 0.1.0
 * @category reductions
 */
export const min: Reducer<Numeric> = reducer("min", r.min)

/**
 * The greatest element. Where several are, they share the derivative evenly. Of nothing: `ShapeError`.
 *
 * @since 0.1.0
 * @category reductions
 */
export const max: Reducer<Numeric> = reducer("max", r.max)

/**
 * Mean squared distance from the mean, in two passes (no cancellation). Divides by n.
 *
 * @since 0.1.0
 * @category reductions
 */
export const variance: Reducer<Float> = reducer("variance", (x, axes, keepDims) => {
  const centred = e.sub(x, meanOver(x, axes, true))
  return meanOver(e.mul(centred, centred), axes, keepDims)
})

/**
 * Square root of {@link variance}.
 *
 * @since 0.1.0
 * @category reductions
 */
export const standardDeviation: Reducer<Float> = reducer(
  "standardDeviation",
  (x, axes, keepDims) => {
    const centred = e.sub(x, meanOver(x, axes, true))
    return e.sqrt(meanOver(e.mul(centred, centred), axes, keepDims))
  }
)

/**
 * log Σ eˣ, shifted by the maximum so that nothing overflows.
 *
 * @since 0.1.0
 * @category reductions
 */
export const logSumExp: Reducer<Float> = reducer("logSumExp", (x, axes, keepDims) => {
  const top = e.stopGradient(r.max(x, axes, true))
  // an infinite maximum is the result, and no shift
  const finite = e.equal(e.sub(top, top), s.scalar(0, x.dtype))
  const shift = e.select(finite, top, s.scalar(0, x.dtype))
  const total = e.add(e.log(s.sum(e.exp(e.sub(x, shift)), axes, true)), shift)
  return s.reshape(total, s.reduced(x, { axes, keepDims }))
})

/**
 * Whether all are true.
 *
 * @since 0.1.0
 * @category reductions
 */
export const all: Reducer<"bool"> = reducer("all", (x, axes, keepDims) => {
  check.dtypes("all", [x], "bool")
  return e.cast(r.min(e.cast(x, "int32"), axes, keepDims), "bool")
})

/**
 * Whether one of them is true.
 *
 * @since 0.1.0
 * @category reductions
 */
export const any: Reducer<"bool"> = reducer("any", (x, axes, keepDims) => {
  check.dtypes("any", [x], "bool")
  return e.cast(r.max(e.cast(x, "int32"), axes, keepDims), "bool")
})

/**
 * A function along one axis, the last unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface AlongAxis<Gives, O = {}> {
  <S extends Shape, D extends Numeric>(
    self: Tensor<S, D>,
    options?: { readonly axis?: number } & O
  ): Gives extends DType ? Tensor<S, Gives> : Tensor<S, D>
  (
    options: { readonly axis?: number } & O
  ): <S extends Shape, D extends Numeric>(
    self: Tensor<S, D>
  ) => Gives extends DType ? Tensor<S, Gives> : Tensor<S, D>
}

const along = <O>(
  operation: string,
  f: (x: Tensor, axis: number, options: Partial<O>) => Tensor
): never =>
  dual(isFirst, (x: Tensor, options?: { readonly axis?: number } & Partial<O>) =>
    f(x, check.axis(operation, x, options?.axis ?? -1), options ?? ({} as Partial<O>))
  ) as never

/**
 * Where the greatest element is (the first of several), `int32`; the axis is gone. Of nothing: `ShapeError`.
 *
 * @since 0.1.0
 * @category orderings
 */
export const argMax: {
  <S extends Shape, const A extends number = -1>(
    self: Tensor<S, Numeric>,
    options?: { readonly axis?: A }
  ): Tensor<Reduce<S, A>, "int32">
  <const A extends number = -1>(options: {
    readonly axis?: A
  }): Later<A, <S extends Shape>(self: Tensor<S, Numeric>) => Tensor<Reduce<S, A>, "int32">>
} = along("argMax", r.argMax)

/**
 * Where the least element is (the first of several); otherwise as {@link argMax}.
 *
 * @since 0.1.0
 * @category orderings
 */
export const argMin: typeof argMax = along("argMin", (x, axis) => {
  check.dtypes("argMin", [x], "numbers")
  if (x.shape[axis] === 0) throw check.shapeError("argMin", [x], `axis ${axis} is empty`)
  // of integers the negative may overflow; their complement never does
  const turned = DTypes.isFloat(x.dtype)
    ? e.neg(x)
    : e.sub(s.scalar(x.dtype === "uint32" ? 2 ** 32 - 1 : -1, x.dtype), x)
  return r.argMax(turned, axis)
})

/**
 * The order of the elements along an axis, `int32`: ascending unless `descending`, equal ones as they stand.
 *
 * @since 0.1.0
 * @category orderings
 */
export const argSort: AlongAxis<"int32", { readonly descending?: boolean }> = along<{
  readonly descending: boolean
}>("argSort", (x, axis, { descending }) => r.argSort(x, axis, descending ?? false))

/**
 * The elements in order along an axis. Differentiable.
 *
 * @since 0.1.0
 * @category orderings
 */
export const sort: AlongAxis<undefined, { readonly descending?: boolean }> = along<{
  readonly descending: boolean
}>("sort", (x, axis, { descending }) =>
  r.takeAlong(x, r.argSort(x, axis, descending ?? false), axis)
)

/**
 * Sums of the elements up to each one: that one included unless `exclusive`, from the end if `reverse`.
 *
 * @since 0.1.0
 * @category reductions
 */
export const cumSum: AlongAxis<
  undefined,
  { readonly reverse?: boolean; readonly exclusive?: boolean }
> = along<{
  readonly reverse: boolean
  readonly exclusive: boolean
}>("cumSum", (x, axis, { reverse, exclusive }) =>
  s.cumSum(x, axis, reverse ?? false, exclusive ?? false)
)

/**
 * Products of the elements up to each one, by doubling: log₂ n multiplications of the whole.
 *
 * @since 0.1.0
 * @category reductions
 */
export const cumProd: AlongAxis<undefined> = along("cumProd", (x, axis) => {
  const n = x.shape[axis]
  let y = x
  for (let by = 1; by < n; by *= 2) {
    const rest = x.shape.map((size, i) => (i === axis ? n - by : size))
    const zeros = x.shape.map(() => 0)
    const ones = s.fill(
      1,
      x.shape.map((size, i) => (i === axis ? by : size)),
      x.dtype
    )
    y = e.mul(y, s.concat([ones, s.slice(y, zeros, rest)], axis))
  }
  return y
})
