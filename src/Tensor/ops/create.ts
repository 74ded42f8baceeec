import type { DType, Numeric } from "../DType.ts"
import * as DTypes from "../DType.ts"
import type { HostArray, Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import * as elementwise from "../primitive/elementwise.ts"
import * as structure from "../primitive/structure.ts"
import type { Shape } from "../Shape.ts"
import * as Shapes from "../Shape.ts"

/**
 * Numbers nested as deep as the array has axes.
 *
 * @since 0.1.0
 * @category models
 */
export type Nested = number | boolean | bigint | ReadonlyArray<Nested>

type NestedShape<T> = T extends number | boolean | bigint
  ? readonly []
  : T extends ReadonlyArray<infer Each>
    ? Each extends ReadonlyArray<unknown>
      ? readonly [number, ...NestedShape<Each>]
      : readonly [number]
    : Shape

/**
 * An array on the host. From nested numbers (the shape is how they are nested), from a flat
 * list or typed array with a shape, or from a typed array alone (one axis). `float32` unless told, or unless
 * the typed array tells.
 *
 * Throws `ShapeError` for ragged nesting or a shape of another size, `DTypeError` for a number that an integer
 * dtype or `bool` (0 and 1) does not hold.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hostArray: {
  <const S extends Shape, D extends DType = "float32">(
    values: ReadonlyArray<number> | DTypes.Data,
    options: { readonly shape: S; readonly dtype?: D }
  ): HostArray<S, NoInfer<D>>
  <const T extends Nested, D extends DType = "float32">(
    values: T,
    options?: { readonly dtype?: D }
  ): HostArray<NestedShape<T>, NoInfer<D>>
  <D extends DType>(
    values: DTypes.Arrays[D],
    options?: { readonly dtype?: D }
  ): HostArray<readonly [number], D>
} = (
  values: Nested | DTypes.Data,
  options?: { readonly shape?: Shape; readonly dtype?: DType }
): HostArray<never, never> => {
  const make = (shape: Shape, dtype: DType, data: DTypes.Data) => {
    if (data.length !== Shapes.size(shape)) {
      throw check.shapeError(
        "hostArray",
        [{ shape }],
        `has ${Shapes.size(shape)} elements, but ${data.length} values were given`
      )
    }
    return { shape, dtype, data } as unknown as HostArray<never, never>
  }
  if (ArrayBuffer.isView(values)) {
    const own = DTypes.all.find((dtype) => DTypes.holds(dtype, values))
    const dtype = check.known("hostArray", options?.dtype ?? own ?? "float32")
    const data = DTypes.holds(dtype, values)
      ? values
      : convert(Array.from<number | bigint>(values as Float64Array), dtype)
    return make(options?.shape ?? [values.length], dtype, data)
  }
  const dtype = options?.dtype ?? "float32"
  if (options?.shape !== undefined && Array.isArray(values)) {
    return make(options.shape, dtype, convert(values as ReadonlyArray<number>, dtype))
  }
  const shape: Array<number> = []
  for (let level: Nested = values as Nested; Array.isArray(level); level = level[0])
    shape.push(level.length)
  const flat: Array<number | bigint> = []
  const walk = (node: Nested, depth: number): void => {
    if (Array.isArray(node)) {
      if (node.length !== shape[depth]) {
        throw check.shapeError(
          "hostArray",
          [{ shape }],
          `is ragged: found ${node.length} elements at depth ${depth}`
        )
      }
      for (const each of node) walk(each, depth + 1)
    } else if (depth !== shape.length) {
      throw check.shapeError(
        "hostArray",
        [{ shape }],
        `is ragged: found a number at depth ${depth}`
      )
    } else flat.push(typeof node === "boolean" ? Number(node) : (node as number | bigint))
  }
  walk(values as Nested, 0)
  return make(shape, dtype, convert(flat, dtype))
}

const convert = (values: ReadonlyArray<number | bigint>, dtype: DType): DTypes.Data => {
  check.known("hostArray", dtype)
  const data = DTypes.allocate(dtype, values.length)
  if (dtype === "float16")
    values.forEach((value, i) => (data[i] = DTypes.toFloat16Bits(Number(value))))
  else if (DTypes.isFloat(dtype)) values.forEach((value, i) => (data[i] = Number(value)))
  else values.forEach((value, i) => (data[i] = check.whole("hostArray", dtype, value)))
  return data
}

/**
 * A tensor whose value is known when the program is built. Takes what {@link hostArray} takes, or a
 * host array. Large constants become part of the program: what changes between runs should be an input.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant: {
  <S extends Shape, D extends DType>(value: HostArray<S, D>): Tensor<S, D>
  <const S extends Shape, D extends DType = "float32">(
    values: ReadonlyArray<number> | DTypes.Data,
    options: { readonly shape: S; readonly dtype?: D }
  ): Tensor<S, NoInfer<D>>
  <const T extends Nested, D extends DType = "float32">(
    values: T,
    options?: { readonly dtype?: D }
  ): Tensor<NestedShape<T>, NoInfer<D>>
  <D extends DType>(
    values: DTypes.Arrays[D],
    options?: { readonly dtype?: D }
  ): Tensor<readonly [number], D>
} = (values: unknown, options?: unknown): Tensor<never, never> =>
  structure.constant(
    typeof values === "object" && values !== null && "data" in values
      ? (values as HostArray)
      : hostArray(values as number, options as {})
  ) as Tensor<never, never>

/**
 * A single number, of shape `[]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scalar = <D extends DType = "float32">(
  value: number,
  dtype?: D
): Tensor<readonly [], NoInfer<D>> =>
  structure.scalar(value, dtype ?? "float32") as Tensor<readonly [], D>

/**
 * One number everywhere.
 *
 * @since 0.1.0
 * @category constructors
 */
export const full = <const S extends Shape, D extends DType = "float32">(
  shape: S,
  value: number,
  dtype?: D
): Tensor<S, NoInfer<D>> => structure.fill(value, shape, dtype ?? "float32") as Tensor<S, D>

/**
 * @since 0.1.0
 * @category constructors
 */
export const zeros = <const S extends Shape, D extends DType = "float32">(
  shape: S,
  dtype?: D
): Tensor<S, NoInfer<D>> => full(shape, 0, dtype)

/**
 * @since 0.1.0
 * @category constructors
 */
export const ones = <const S extends Shape, D extends DType = "float32">(
  shape: S,
  dtype?: D
): Tensor<S, NoInfer<D>> => full(shape, 1, dtype)

/**
 * Each element is its own index along an axis: `0, 1, 2, …`; `int32` unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const iota = <const S extends Shape, D extends Numeric = "int32">(
  shape: S,
  axis: number,
  dtype?: D
): Tensor<S, NoInfer<D>> =>
  structure.iota(shape, axis < 0 ? axis + shape.length : axis, dtype ?? "int32") as Tensor<S, D>

/**
 * `0, 1, …, length − 1`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const arange = <const N extends number, D extends Numeric = "int32">(
  length: N,
  dtype?: D
): Tensor<readonly [N], NoInfer<D>> => iota([length], 0, dtype)

/**
 * `count` numbers from `start` to `stop`, both included, evenly spaced.
 *
 * @since 0.1.0
 * @category constructors
 */
export const linspace = <const N extends number, D extends DTypes.Float = "float32">(
  start: number,
  stop: number,
  count: N,
  dtype?: D
): Tensor<readonly [N], NoInfer<D>> => {
  check.sizes("linspace", [], [count])
  const step = count > 1 ? (stop - start) / (count - 1) : 0
  return constant(
    Array.from({ length: count }, (_, i) => (i > 0 && i === count - 1 ? stop : start + i * step)),
    { shape: [count] as readonly [N], dtype: dtype ?? ("float32" as D) }
  )
}

/**
 * Ones on the diagonal, zeros elsewhere.
 *
 * @since 0.1.0
 * @category constructors
 */
export const eye = <const N extends number, D extends Numeric = "float32">(
  size: N,
  dtype?: D
): Tensor<readonly [N, N], NoInfer<D>> =>
  elementwise.cast(
    elementwise.equal(
      structure.iota([size, size], 0, "int32"),
      structure.iota([size, size], 1, "int32")
    ),
    dtype ?? "float32"
  ) as Tensor<readonly [N, N], D>

/**
 * Whether a column is at most `diagonal` to the right of its row: `true` on and below the diagonal for
 * 0. As an attention mask it is the causal one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lowerTriangle = <const N extends number, const M extends number>(
  rows: N,
  columns: M,
  diagonal = 0
): Tensor<readonly [N, M], "bool"> =>
  elementwise.lessEqual(
    structure.iota([rows, columns], 1, "int32"),
    elementwise.add(
      structure.iota([rows, columns], 0, "int32"),
      structure.scalar(diagonal, "int32")
    )
  ) as Tensor<readonly [N, M], "bool">

/**
 * The shape and dtype of another tensor, one number everywhere.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fullLike = <S extends Shape, D extends DType>(
  tensor: Tensor<S, D>,
  value: number
): Tensor<S, D> => structure.fill(value, tensor.shape, tensor.dtype) as Tensor<S, D>

/**
 * @since 0.1.0
 * @category constructors
 */
export const zerosLike = <S extends Shape, D extends DType>(tensor: Tensor<S, D>): Tensor<S, D> =>
  fullLike(tensor, 0)

/**
 * @since 0.1.0
 * @category constructors
 */
export const onesLike = <S extends Shape, D extends DType>(tensor: Tensor<S, D>): Tensor<S, D> =>
  fullLike(tensor, 1)

/**
 * `[…S]` of indices → `[…S, depth]`: 1 at the index, 0 elsewhere (everywhere for an index out of range).
 *
 * @since 0.1.0
 * @category constructors
 */
export const oneHot = <S extends Shape, const N extends number, D extends DType = "float32">(
  indices: Tensor<S, DTypes.Integer>,
  depth: N,
  dtype?: D
): Tensor<readonly [...S, N], NoInfer<D>> => {
  check.dtypes("oneHot: indices", [indices], "integers")
  check.sizes("oneHot", [indices], [depth])
  const places = structure.iota([depth], 0, indices.dtype)
  return elementwise.cast(
    elementwise.equal(structure.reshape(indices, [...indices.shape, 1]), places),
    dtype ?? "float32"
  ) as Tensor<readonly [...S, N], D>
}
