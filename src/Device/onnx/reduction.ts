/** Reductions and orderings. */
import * as DType from "../../Tensor/DType.ts"
import * as Shape from "../../Tensor/Shape.ts"
import { arithmetic, fill, halved, least, matmul, most, part, reduce, where } from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"
import { type Context, halves, type Lowering, type Single, through } from "./Lowering.ts"

type Reduce = (e: Emitter, x: Value, axes: ReadonlyArray<number>, keepDims: boolean) => Value

/** A reduction that is `unit` where there is nothing. */
const total = <N extends "sum" | "prod">(unit: number, some: Reduce): Single<N> =>
  through(halves, (e, { attributes: { axes, keepDims }, inputs: [x], outputs: [{ shape }] }) => {
    if (Shape.size(x.shape) === 0) return fill(e, unit, shape, x.dtype)
    return axes.length === 0 ? x : some(e, x, axes, keepDims)
  })

/** The operators saturate where integers wrap. */
const wrapped =
  (operator: string): Reduce =>
  (e, x, axes, keepDims) =>
    halved(e, x, axes, keepDims, (e, a, b) => e.map(operator, [a, b]))

export const sum: Single<"sum"> = total(0, (e, x, axes, keepDims) => {
  switch (x.dtype) {
    case "float32":
      return summed(e, x, axes, keepDims)
    case "int32":
    case "uint32":
      // sums of 32 bits fit into 64
      return e.cast(reduce(e, "ReduceSum", e.cast(x, "int64"), axes, keepDims), x.dtype)
    case "int64":
      return wrapped("Add")(e, x, axes, keepDims)
    default:
      return reduce(e, "ReduceSum", x, axes, keepDims)
  }
})

export const prod: Single<"prod"> = total(1, (e, x, axes, keepDims) =>
  DType.isFloat(x.dtype)
    ? reduce(e, "ReduceProd", x, axes, keepDims)
    : wrapped("Mul")(e, x, axes, keepDims)
)

/**
 * Sums of `float32`: over the last axes, then the first, then those between. The operator adds one element after the
 * other, which over thousands of them costs digits, and over the first axes is slow.
 */
const summed: Reduce = (e, x, axes, keepDims) => {
  const tiles = sumOfTiles(e, x, axes, keepDims)
  if (tiles !== undefined) return tiles
  const shape = x.shape.flatMap((size, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [size]))
  const rank = x.shape.length
  const last = x.shape.findLastIndex((_, i) => !axes.includes(i)) + 1
  const first = last === 0 ? 0 : x.shape.findIndex((_, i) => !axes.includes(i))
  const [before, between, after] = [
    x.shape.slice(0, first),
    x.shape.slice(first, last),
    x.shape.slice(last)
  ].map(Shape.size)
  let y = x
  if (last < rank) y = sumsOfRows(e, e.reshape(y, [before * between, after]))
  if (first > 0) y = sumsOfColumns(e, e.reshape(y, [before, between]))
  const rest = axes.filter((axis) => axis >= first && axis < last).map((axis) => axis - first)
  if (rest.length > 0)
    y = reduce(e, "ReduceSum", e.reshape(y, x.shape.slice(first, last)), rest, false)
  return e.reshape(y, shape)
}

/** Over the second and the last of [.., h, a, w, b]: a convolution with ones is twice as fast. */
const sumOfTiles = (
  e: Emitter,
  x: Value,
  axes: ReadonlyArray<number>,
  keepDims: boolean
): Value | undefined => {
  const rank = x.shape.length
  const [h, a, w, b] = x.shape.slice(-4)
  if (rank < 4 || a * b > 64 || !Shape.equals(axes, [rank - 3, rank - 1])) return undefined
  const planes = Shape.size(x.shape.slice(0, -4))
  const sums = e.op(
    "Conv",
    [e.reshape(x, [planes, 1, h * a, w * b]), fill(e, 1, [1, 1, a, b], x.dtype)],
    { shape: [planes, 1, h, w], dtype: x.dtype },
    { attributes: { kernel_shape: [a, b], strides: [a, b] } }
  )
  const shape = [...x.shape.slice(0, -4), ...(keepDims ? [h, 1, w, 1] : [h, w])]
  return e.reshape(sums, shape)
}

/** How many elements are added one after the other. */
const few = 2048

/** [m, n] → [m] */
const sumsOfRows = (e: Emitter, x: Value): Value => {
  const [m, n] = x.shape
  if (n <= few) return reduce(e, "ReduceSum", x, [1], false)
  const width = divisor(n, few / 2)
  if (width < 32) {
    const whole = n - (n % (few / 2))
    const rest = sumsOfRows(e, part(e, x, 1, whole, n - whole))
    return e.map("Add", [sumsOfRows(e, part(e, x, 1, 0, whole)), rest])
  }
  const parts = sumsOfRows(e, e.reshape(x, [(m * n) / width, width]))
  return sumsOfRows(e, e.reshape(parts, [m, n / width]))
}

/** [m, n] → [n], as a product with ones. */
const sumsOfColumns = (e: Emitter, x: Value): Value => {
  const [m, n] = x.shape
  const height = m <= few ? m : divisor(m, few / 2)
  const sums = (rows: number): Value =>
    matmul(e, fill(e, 1, [1, rows], x.dtype), e.reshape(x, [m / rows, rows, n]))
  if (n === 1) return sumsOfRows(e, e.reshape(x, [1, m]))
  if (height === m || height < 32) return e.reshape(sums(m), [n])
  return sumsOfColumns(e, e.reshape(sums(height), [m / height, n]))
}

/** The largest divisor up to a limit. */
const divisor = (value: number, limit: number): number => {
  let found = Math.min(value, limit)
  while (value % found !== 0) found--
  return found
}

/**
 * The runtime's reduction drops NaN in some layouts. The sum of magnitudes is NaN if and only if an element is.
 *
 * Not needed where all that happens is that the result is taken away from the operand, as in softmax: the NaN
 * is still in that.
 */
const extreme = <N extends "min" | "max">(operator: string, combine: typeof least): Single<N> =>
  through(halves, (e, { attributes: { axes, keepDims }, context, inputs: [x] }) => {
    if (x.dtype === "int64" || x.dtype === "uint32") return halved(e, x, axes, keepDims, combine)
    const found = reduce(e, operator, x, axes, keepDims)
    if (x.dtype === "int32" || axes.length === 0 || isShift(context)) return found
    const magnitude = reduce(e, "ReduceL1", x, axes, keepDims)
    return e.map("Add", [found, e.map("Min", [magnitude, e.scalar(0, x.dtype)])])
  })

const isShift = ({ operands: [operand], readers }: Context): boolean =>
  readers.every((reader) => {
    if (reader?.primitive.name !== "sub") return false
    const [from, by] = reader.inputs
    return from.node === operand.node && from.output === operand.output && by.node !== operand.node
  })

export const min: Single<"min"> = extreme("ReduceMin", least)
export const max: Single<"max"> = extreme("ReduceMax", most)

/** The first of equal elements. Where an element is NaN, which one is unspecified. */
export const argMax: Single<"argMax"> = through(
  { ...halves, uint32: "int64" },
  (e, { attributes: { axis }, inputs: [x], outputs: [{ shape }] }) => {
    const index = e.op(
      "ArgMax",
      [x],
      { shape, dtype: "int64" },
      { attributes: { axis, keepdims: 0 } }
    )
    return e.cast(index, "int32")
  }
)

/** Stable in both directions; NaN counts as infinity. */
export const argSort: Single<"argSort"> = through(
  { ...halves, uint32: "int64" },
  (e, { attributes: { axis, descending }, inputs: [x] }) => {
    const count = e.ints([x.shape[axis]])
    const specs = [x, { shape: x.shape, dtype: "int64" }] as const
    const attributes = { axis, largest: descending ? 1 : 0 }
    const [, index] = e.ops("TopK", [comparable(e, x), count], specs, { attributes })
    return e.cast(index, "int32")
  }
)

/** NaN would leave everything in disorder. */
const comparable = (e: Emitter, x: Value): Value =>
  DType.isFloat(x.dtype)
    ? where(e, e.map("IsNaN", [x], "bool"), e.scalar(Number.POSITIVE_INFINITY, x.dtype), x)
    : x

export const cumSum: Single<"cumSum"> = through(
  { ...halves, uint32: "int32" },
  (e, { attributes: { axis, exclusive, reverse }, inputs: [x] }) => {
    const attributes = { reverse: reverse ? 1 : 0, exclusive: exclusive ? 1 : 0 }
    return e.op("CumSum", [x, e.scalar(axis, "int64")], x, { attributes })
  }
)

/** The operator is fast, but keeps no more than `float32` of the deviation. */
export const standardize: Lowering<"standardize"> = (e, { attributes, inputs: [x], outputs }) => {
  // the operator refuses the deviation of nothing
  if (Shape.size(x.shape) === 0)
    return outputs.map(({ dtype, shape }) => fill(e, Number.NaN, shape, dtype))
  const y = e.cast(x, x.dtype === "float64" ? "float64" : "float32")
  const { axis, epsilon } = attributes
  const results =
    y.dtype === "float64" ? standardized(e, y, axis, epsilon) : layerNorm(e, y, axis, epsilon)
  return results.map((each, i) => e.cast(each, outputs[i].dtype))
}

const standardized = (
  e: Emitter,
  x: Value,
  axis: number,
  epsilon: number
): ReadonlyArray<Value> => {
  const { add, call, div, mul, sub } = arithmetic(e, x.dtype)
  const axes = x.shape.map((_, i) => i).slice(axis)
  const centred = sub(x, reduce(e, "ReduceMean", x, axes, true))
  const variance = reduce(e, "ReduceMean", mul(centred, centred), axes, true)
  const inverse = div(1, call("Sqrt", add(variance, epsilon)))
  return [mul(centred, inverse), inverse]
}

const layerNorm = (e: Emitter, x: Value, axis: number, epsilon: number): ReadonlyArray<Value> => {
  const inner = x.shape.slice(axis)
  const outer = { shape: x.shape.map((size, i) => (i < axis ? size : 1)), dtype: x.dtype }
  const [y, , inverse] = e.ops(
    "LayerNormalization",
    [x, fill(e, 1, inner, x.dtype)],
    [x, outer, outer],
    { attributes: { axis, epsilon: { float: epsilon } } }
  )
  return [y, inverse]
}
