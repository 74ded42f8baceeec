/** What lowerings are made of: operators as functions on values, with the runtime's quirks seen to. */
import type * as DType from "../../Tensor/DType.ts"
import * as Shape from "../../Tensor/Shape.ts"
import { type Emitter, filled, type Value } from "./Emitter.ts"

/** Equal elements, one stored. */
export const fill = (e: Emitter, value: number, shape: Shape.Shape, dtype: DType.DType): Value =>
  expand(e, e.scalar(value, dtype), shape)

/** No elements. */
export const empty = (e: Emitter, shape: Shape.Shape, dtype: DType.DType): Value =>
  e.constant({ shape, dtype, data: filled(0, dtype, 0) })

export const expand = (e: Emitter, x: Value, shape: Shape.Shape): Value => {
  if (Shape.equals(x.shape, shape)) return x
  if (Shape.size(x.shape) === Shape.size(shape)) return e.reshape(x, shape)
  return doubled(e, x, shape) ?? repeated(e, x, shape) ?? expanded(e, x, shape)
}

const expanded = (e: Emitter, x: Value, shape: Shape.Shape): Value =>
  e.op("Expand", [x, e.ints(shape)], { shape, dtype: x.dtype })

/** [.., H, 1, W, 1] to [.., H, 2, W, 2], each pixel as four: there is an operator just for this. */
const doubled = (e: Emitter, x: Value, shape: Shape.Shape): Value | undefined => {
  const rank = shape.length
  const [h, two, w, again] = shape.slice(-4)
  const pixels = [...shape.slice(0, -4), h, 1, w, 1]
  if (x.dtype !== "float32" || rank < 4 || two !== 2 || again !== 2) return undefined
  if (!Shape.equals(x.shape, pixels)) return undefined
  const images = Shape.size(shape.slice(0, -4))
  const scales = e.constant({
    shape: [4],
    dtype: "float32",
    data: Float32Array.of(1, 1, 2, 2)
  })
  const result = e.op(
    "Resize",
    [e.reshape(x, [1, images, h, w]), undefined, scales],
    { shape: [1, images, 2 * h, 2 * w], dtype: x.dtype },
    {
      attributes: {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor"
      }
    }
  )
  return e.reshape(result, shape)
}

/** The operator is slow where it repeats a few elements a few times: they are strung together instead. */
const repeated = (e: Emitter, x: Value, shape: Shape.Shape): Value | undefined => {
  const offset = shape.length - x.shape.length
  const axis = x.shape.findLastIndex((size, i) => size !== shape[i + offset])
  if (axis < 0 || Shape.size(x.shape) < 256) return undefined
  const times = shape[axis + offset]
  if (times > 8 || Shape.size(x.shape.slice(axis)) >= 16) return undefined
  return expand(
    e,
    concat(
      e,
      Array.from({ length: times }, () => x),
      axis
    ),
    shape
  )
}

export const transpose = (e: Emitter, x: Value, permutation: ReadonlyArray<number>): Value => {
  const shape = permutation.map((p) => x.shape[p])
  const moved = permutation.filter((p) => x.shape[p] !== 1)
  // axes of size 1 move for free
  if (moved.every((p, i) => i === 0 || moved[i - 1] < p)) return e.reshape(x, shape)
  return e.op("Transpose", [x], { shape, dtype: x.dtype }, { attributes: { perm: permutation } })
}

/** `sizes` elements from `starts` on, in steps, along each axis. */
export const slice = (
  e: Emitter,
  x: Value,
  starts: ReadonlyArray<number>,
  sizes: ReadonlyArray<number>,
  steps: ReadonlyArray<number> = starts.map(() => 1)
): Value => {
  const axes: Array<number> = []
  const from: Array<number> = []
  const to: Array<number> = []
  const by: Array<number> = []
  x.shape.forEach((size, i) => {
    const step = sizes[i] === 1 ? 1 : steps[i]
    if (sizes[i] === size && step === 1) return
    const end = starts[i] + sizes[i] * step
    axes.push(i)
    from.push(starts[i])
    // a negative end would count from the back; one far below zero means before the first element
    to.push(end < 0 ? -size - 1 : end)
    by.push(step)
  })
  if (axes.length === 0) return x
  const spec = { shape: sizes, dtype: x.dtype }
  const ranges = [e.ints(from), e.ints(to), e.ints(axes)]
  return e.op(
    "Slice",
    by.some((step) => step !== 1) ? [x, ...ranges, e.ints(by)] : [x, ...ranges],
    spec
  )
}

/** One axis of {@link slice}. */
export const part = (
  e: Emitter,
  x: Value,
  axis: number,
  start: number,
  size: number,
  step = 1
): Value =>
  slice(
    e,
    x,
    x.shape.map((_, i) => (i === axis ? start : 0)),
    x.shape.map((each, i) => (i === axis ? size : each)),
    x.shape.map((_, i) => (i === axis ? step : 1))
  )

/** Reverses some axes. */
export const flip = (e: Emitter, x: Value, axes: ReadonlyArray<number>): Value =>
  slice(
    e,
    x,
    x.shape.map((size, i) => (axes.includes(i) ? size - 1 : 0)),
    x.shape,
    x.shape.map((_, i) => (axes.includes(i) ? -1 : 1))
  )

export const pad = (
  e: Emitter,
  x: Value,
  low: ReadonlyArray<number>,
  high: ReadonlyArray<number>,
  value: number
): Value => {
  if (low.every((each) => each === 0) && high.every((each) => each === 0)) return x
  const shape = x.shape.map((size, i) => size + low[i] + high[i])
  if (Shape.size(x.shape) === 0) return fill(e, value, shape, x.dtype)
  return e.op("Pad", [x, e.ints([...low, ...high]), e.scalar(value, x.dtype)], {
    shape,
    dtype: x.dtype
  })
}

export const concat = (e: Emitter, parts: ReadonlyArray<Value>, axis: number): Value => {
  const filled = parts.filter((each) => each.shape[axis] > 0)
  if (filled.length === 0) return parts[0]
  if (filled.length === 1) return filled[0]
  const total = filled.reduce((sum, each) => sum + each.shape[axis], 0)
  const shape = filled[0].shape.map((size, i) => (i === axis ? total : size))
  return e.op("Concat", filled, { shape, dtype: filled[0].dtype }, { attributes: { axis } })
}

/** A reduction by an operator that takes its axes as an input. */
export const reduce = (
  e: Emitter,
  operator: string,
  x: Value,
  axes: ReadonlyArray<number>,
  keepDims: boolean
): Value => {
  const shape = x.shape.flatMap((size, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [size]))
  // no axes would mean all of them
  if (axes.length === 0) return x
  return e.op(
    operator,
    [x, e.ints(axes)],
    { shape, dtype: x.dtype },
    {
      attributes: { keepdims: keepDims ? 1 : 0 }
    }
  )
}

export const matmul = (e: Emitter, a: Value, b: Value): Value => {
  const batch = Shape.broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)) ?? []
  const shape = [...batch, a.shape[a.shape.length - 2], b.shape[b.shape.length - 1]]
  return e.op("MatMul", [a, b], { shape, dtype: a.dtype })
}

export const gather = (e: Emitter, x: Value, indices: Value, axis: number): Value =>
  e.op(
    "Gather",
    [x, indices],
    {
      shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)],
      dtype: x.dtype
    },
    { attributes: { axis } }
  )

/** Where a condition holds, one value, elsewhere the other; for every dtype. */
export const where = (e: Emitter, condition: Value, a: Value, b: Value): Value => {
  switch (a.dtype) {
    case "bool": {
      const otherwise = e.map("And", [e.map("Not", [condition]), b])
      return e.map("Or", [e.map("And", [condition, a]), otherwise])
    }
    case "uint32":
      return e.cast(
        e.map("Where", [condition, e.cast(a, "int32"), e.cast(b, "int32")], "int32"),
        a.dtype
      )
    case "float16":
      return e.cast(
        e.map("Where", [condition, e.cast(a, "float32"), e.cast(b, "float32")], "float32"),
        a.dtype
      )
    default:
      return e.map("Where", [condition, a, b], a.dtype)
  }
}

/** The runtime compares the halves of an `int64` as if each were a number: its operators for extremes are not to be used. */
const extreme =
  (operator: string, comparison: string) =>
  (e: Emitter, a: Value, b: Value): Value =>
    a.dtype === "int64"
      ? where(e, e.map(comparison, [a, b], "bool"), a, b)
      : e.map(operator, [a, b])

export const least = extreme("Min", "Less")
export const most = extreme("Max", "Greater")

/** A reduction by an elementwise operation, of the first half of the elements with the second, and so on. */
export const halved = (
  e: Emitter,
  x: Value,
  axes: ReadonlyArray<number>,
  keepDims: boolean,
  combine: (e: Emitter, a: Value, b: Value) => Value
): Value => {
  const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const kept = others.map((i) => x.shape[i])
  const [count, rest] = [Shape.size(axes.map((i) => x.shape[i])), Shape.size(kept)]
  let y = e.reshape(transpose(e, x, [...axes, ...others]), [count, rest])
  for (let n = count; n > 1; n = Math.ceil(n / 2)) {
    const half = Math.floor(n / 2)
    const combined = combine(e, part(e, y, 0, 0, half), part(e, y, 0, half, half))
    y = n % 2 === 0 ? combined : concat(e, [combined, part(e, y, 0, n - 1, 1)], 0)
  }
  return e.reshape(y, keepDims ? x.shape.map((size, i) => (axes.includes(i) ? 1 : size)) : kept)
}

/** Arithmetic in one dtype, where numbers stand for scalars. */
export interface Arithmetic {
  readonly add: (a: Value | number, b: Value | number) => Value
  readonly sub: (a: Value | number, b: Value | number) => Value
  readonly mul: (a: Value | number, b: Value | number) => Value
  readonly div: (a: Value | number, b: Value | number) => Value
  readonly min: (a: Value | number, b: Value | number) => Value
  readonly less: (a: Value | number, b: Value | number) => Value
  readonly equal: (a: Value | number, b: Value | number) => Value
  readonly where: (condition: Value, a: Value | number, b: Value | number) => Value
  readonly call: (operator: string, x: Value) => Value
  /** Coefficients by rising powers. */
  readonly polynomial: (x: Value, coefficients: ReadonlyArray<number>) => Value
}

export const arithmetic = (e: Emitter, dtype: DType.DType): Arithmetic => {
  const value = (x: Value | number): Value => (typeof x === "number" ? e.scalar(x, dtype) : x)
  const two =
    (operator: string, gives: DType.DType = dtype) =>
    (a: Value | number, b: Value | number): Value =>
      e.map(operator, [value(a), value(b)], gives)
  const add = two("Add")
  const mul = two("Mul")
  return {
    add,
    mul,
    sub: two("Sub"),
    div: two("Div"),
    min: two("Min"),
    less: two("Less", "bool"),
    equal: two("Equal", "bool"),
    where: (condition, a, b) => where(e, condition, value(a), value(b)),
    call: (operator, x) => e.map(operator, [x]),
    polynomial: (x, coefficients) => {
      let sum: Value | number = coefficients[coefficients.length - 1]
      for (let i = coefficients.length - 2; i >= 0; i--) sum = add(mul(sum, x), coefficients[i])
      return value(sum)
    }
  }
}
