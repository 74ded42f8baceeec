/** What a kernel is, and how kernels read, write and move elements. */
import * as DType from "../../Tensor/DType.ts"
import type { Node, Tensor } from "../../Tensor/Expression.ts"
import type { Name } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"

/** How a primitive is computed, from what is known before it runs. */
export type Kernel<N extends Name> = (node: Node<N>, plan: Planner) => Operation

/** What a node does when its turn comes. */
export type Operation =
  /** Nothing: its outputs are these inputs. */
  | { readonly kind: "alias"; readonly of: ReadonlyArray<number> }
  /** Nothing: its output is known. */
  | { readonly kind: "constant"; readonly data: DType.Data }
  | {
      readonly kind: "run"
      /** Throws an `Error` that says what is wrong with the inputs' values. */
      readonly run: (inputs: ReadonlyArray<DType.Data>) => ReadonlyArray<DType.Data>
      /** Bytes that it holds while it runs, besides inputs and outputs; scratch of one operation apart. */
      readonly workspace: number
    }

/** Part of a graph, ready to run. */
export interface Plan {
  /** Throws a `DeviceError`. */
  readonly run: (inputs: ReadonlyArray<DType.Data>) => Array<DType.Data>
  /** The most bytes that intermediates and outputs take at once. */
  readonly workspace: number
}

/** Makes plans of bodies; kernels with bodies are given it. */
export type Planner = (inputs: ReadonlyArray<Tensor>, outputs: ReadonlyArray<Tensor>) => Plan

/** An operation with one output. */
export const compute = (run: (inputs: ReadonlyArray<DType.Data>) => DType.Data): Operation => ({
  kind: "run",
  run: (inputs) => [run(inputs)],
  workspace: 0
})

/** The operation whose one output is its first input. */
export const same: Operation = { kind: "alias", of: [0] }

/**
 * What arithmetic sees of an element: a bigint of `int64`, a number of every other dtype. Only
 * {@link load}, {@link store}, {@link unary} and {@link binary} look behind it.
 */
export interface Value {
  readonly Value: unique symbol
}

/** Elements ready for arithmetic: a `BigInt64Array` of `int64`, a `Float64Array` of every other dtype. */
export interface Lanes {
  readonly length: number
  [index: number]: Value
}

/** A function on numbers, and one on bigints where there are any, as a function on what `dtype` has. */
export const unary = (
  dtype: DType.DType,
  numbers: (x: number) => number | bigint,
  bigints?: (x: bigint) => number | bigint
): ((x: Value) => Value) => (dtype === "int64" ? bigints : numbers) as never

/** Like {@link unary}, of two operands. */
export const binary = (
  dtype: DType.DType,
  numbers: (a: number, b: number) => number | bigint,
  bigints?: (a: bigint, b: bigint) => number | bigint
): ((a: Value, b: Value) => Value) => (dtype === "int64" ? bigints : numbers) as never

/** Zeroed lanes. */
export const lanes = (dtype: DType.DType, length: number): Lanes =>
  (dtype === "int64" ? new BigInt64Array(length) : new Float64Array(length)) as unknown as Lanes

/** Elements as they are in memory, as lanes; shared where they are the same. */
export const load = (dtype: DType.DType, data: DType.Data): Lanes => {
  if (dtype === "float64" || dtype === "int64") return data as unknown as Lanes
  if (dtype !== "float16") return new Float64Array(data as Float32Array) as unknown as Lanes
  const values = new Float64Array(data.length)
  const bits = data as Uint16Array
  for (let i = 0; i < values.length; i++) values[i] = DType.fromFloat16Bits(bits[i])
  return values as unknown as Lanes
}

/** Lanes as they are in memory: floats are rounded, `int32` and `uint32` cut to their low 32 bits. */
export const store = (dtype: DType.DType, values: Lanes): DType.Data => {
  const numbers = values as unknown as Float64Array
  switch (dtype) {
    case "float64":
    case "int64":
      return values as unknown as DType.Data
    case "float32":
      return new Float32Array(numbers)
    case "int32":
      return new Int32Array(numbers)
    case "uint32":
      return new Uint32Array(numbers)
    case "bool":
      return new Uint8Array(numbers)
    case "float16": {
      const bits = new Uint16Array(numbers.length)
      for (let i = 0; i < bits.length; i++) bits[i] = DType.toFloat16Bits(numbers[i])
      return bits
    }
  }
}

/** A number as a value of `dtype`. */
export const value = (dtype: DType.DType, number: number): Value =>
  (dtype === "int64" ? BigInt(number) : number) as unknown as Value

/** Addition and multiplication with their neutral elements; integers wrap. */
export interface Ring {
  readonly zero: Value
  readonly one: Value
  readonly add: (a: Value, b: Value) => Value
  readonly mul: (a: Value, b: Value) => Value
}

export const ring = (dtype: DType.DType): Ring => {
  const floats = DType.isFloat(dtype)
  return {
    zero: value(dtype, 0),
    one: value(dtype, 1),
    add: binary(dtype, floats ? (a, b) => a + b : (a, b) => (a + b) | 0, (a, b) =>
      BigInt.asIntN(64, a + b)
    ),
    mul: binary(dtype, floats ? (a, b) => a * b : Math.imul, (a, b) => BigInt.asIntN(64, a * b))
  }
}

/** Elements that are only moved. There are few kinds, since a loop over more than four is slow. */
type Words = Uint8Array | Uint16Array | Uint32Array | Float64Array

/** Memory as words: `int64` as pairs, every other dtype as one word an element. */
export const words = (data: DType.Data): Words =>
  data.BYTES_PER_ELEMENT === 4 || data instanceof BigInt64Array
    ? new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)
    : (data as Words)

export const wordsPer = (dtype: DType.DType): number => (dtype === "int64" ? 2 : 1)

/** Copies `n` words, `step` apart, to places `stride` apart. */
export const move = (
  n: number,
  from: Words,
  at: number,
  step: number,
  to: Words,
  put: number,
  stride: number
): void => {
  if (n >= 16 && step === 1 && stride === 1) to.set(from.subarray(at, at + n), put)
  else for (let k = 0; k < n; k++) to[put + k * stride] = from[at + k * step]
}

/** Where the elements of an array of some shape lie in a longer one. */
export interface Layout {
  readonly offset: number
  readonly strides: ReadonlyArray<number>
}

/** Row-major order. */
export const dense = (shape: Shape.Shape): Layout => ({ offset: 0, strides: Shape.strides(shape) })

/** `from`, broadcast to `shape`. */
export const broadcasted = (from: Shape.Shape, shape: Shape.Shape): Layout => {
  const strides = Shape.strides(from)
  const extra = shape.length - from.length
  return {
    offset: 0,
    strides: shape.map((_, i) => (i < extra || from[i - extra] === 1 ? 0 : strides[i - extra]))
  }
}

/** Copies an array of some shape from its place in `from` to its place in `to`. */
export const copy = (
  dtype: DType.DType,
  shape: Shape.Shape,
  from: DType.Data,
  source: Layout,
  to: DType.Data,
  target: Layout
): void => {
  if (Shape.size(shape) === 0) return
  const width = wordsPer(dtype)
  const axes = merge(shape, source.strides, target.strides, width)
  const inner = axes.pop() ?? { size: 1, step: 1, stride: 1 }
  const [a, b] = [words(from), words(to)]
  const index = new Int32Array(axes.length)
  let at = source.offset * width
  let put = target.offset * width
  for (;;) {
    move(inner.size, a, at, inner.step, b, put, inner.stride)
    let axis = axes.length - 1
    for (; axis >= 0; axis--) {
      const { size, step, stride } = axes[axis]
      at += step
      put += stride
      if (++index[axis] < size) break
      index[axis] = 0
      at -= size * step
      put -= size * stride
    }
    if (axis < 0) return
  }
}

/** An axis, and how far its neighbours are apart in the source and in the target. */
interface Axis {
  readonly size: number
  readonly step: number
  readonly stride: number
}

/** The axes in words: those of size 1 left out, neighbours that lie like one axis joined. */
const merge = (
  shape: Shape.Shape,
  steps: ReadonlyArray<number>,
  strides: ReadonlyArray<number>,
  width: number
): Array<Axis> => {
  const axes: Array<Axis> = []
  const add = (size: number, step: number, stride: number): void => {
    if (size === 1) return
    const last = axes[axes.length - 1]
    if (last !== undefined && last.step === size * step && last.stride === size * stride) {
      axes[axes.length - 1] = { size: last.size * size, step, stride }
    } else axes.push({ size, step, stride })
  }
  shape.forEach((size, i) => {
    add(size, steps[i] * width, strides[i] * width)
  })
  add(width, 1, 1)
  return axes
}

/** An array of `shape` taken from its place in a longer one. */
export const view = <D extends DType.Data>(
  dtype: DType.DType,
  shape: Shape.Shape,
  from: D,
  source: Layout
): D => {
  const to = DType.allocate(dtype, Shape.size(shape))
  copy(dtype, shape, from, source, to, dense(shape))
  return to as D
}

/** The layout with its axes in a new order. */
export const permuted = (shape: Shape.Shape, permutation: ReadonlyArray<number>): Layout => {
  const strides = Shape.strides(shape)
  return { offset: 0, strides: permutation.map((p) => strides[p]) }
}

/** Where each index of `shape` lies. */
export const offsets = (shape: Shape.Shape, { offset, strides }: Layout): Float64Array => {
  let all = Float64Array.of(offset)
  shape.forEach((size, axis) => {
    const next = new Float64Array(all.length * size)
    for (let i = 0; i < next.length; i++) {
      next[i] = all[Math.floor(i / size)] + (i % size) * strides[axis]
    }
    all = next
  })
  return all
}
