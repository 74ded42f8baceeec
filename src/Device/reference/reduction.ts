/** Kernels over axes: these are brought to the end, so that each result comes from one row. */
import * as DType from "../../Tensor/DType.ts"
import type { Node, Spec } from "../../Tensor/Expression.ts"
import type { Reduction } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as K from "./kernel.ts"

/** An array as `count` rows of `length` elements. */
interface Rows {
  readonly count: number
  readonly length: number
  readonly read: (data: DType.Data) => K.Lanes
  /** The inverse of reading. */
  readonly write: (dtype: DType.DType, rows: K.Lanes) => DType.Data
}

const rowsOf = ({ shape, dtype }: Spec, axes: ReadonlyArray<number>): Rows => {
  const others = shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const permutation = [...others, ...axes]
  const sorted = permutation.every((p, i) => p === i)
  const moved = permutation.map((p) => shape[p])
  const layout = K.permuted(shape, permutation)
  return {
    count: Shape.size(others.map((i) => shape[i])),
    length: Shape.size(axes.map((i) => shape[i])),
    read: (data) => K.load(dtype, sorted ? data : K.view(dtype, moved, data, layout)),
    write: (dtype, rows) => {
      const data = K.store(dtype, rows)
      if (sorted) return data
      const result = DType.allocate(dtype, data.length)
      K.copy(dtype, moved, data, K.dense(moved), result, layout)
      return result
    }
  }
}

/** What a row comes to: from `start`, or else from its first element, one element at a time. */
interface Fold {
  readonly start?: K.Value
  readonly step: (sofar: K.Value, x: K.Value) => K.Value
}

type Folds = { readonly inputs: ReadonlyArray<Spec>; readonly attributes: Reduction }

const fold =
  (of: (dtype: DType.DType) => Fold) =>
  ({ inputs: [x], attributes }: Folds): K.Operation => {
    const { start, step } = of(x.dtype)
    const { count, length, read } = rowsOf(x, attributes.axes)
    return K.compute(([data]) => {
      const rows = read(data)
      const out = K.lanes(x.dtype, count)
      for (let row = 0; row < count; row++) {
        const [first, end] = [row * length, (row + 1) * length]
        let sofar = start ?? rows[first]
        for (let i = start === undefined ? first + 1 : first; i < end; i++)
          sofar = step(sofar, rows[i])
        out[row] = sofar
      }
      return K.store(x.dtype, out)
    })
  }

export const sum = fold((dtype) => ({ start: K.ring(dtype).zero, step: K.ring(dtype).add }))
export const prod = fold((dtype) => ({ start: K.ring(dtype).one, step: K.ring(dtype).mul }))
export const min = fold((dtype) => ({ step: K.binary(dtype, Math.min, (a, b) => (a < b ? a : b)) }))
export const max = fold((dtype) => ({ step: K.binary(dtype, Math.max, (a, b) => (a > b ? a : b)) }))

/** Negative where a comes before b; NaN comes after everything, as in NumPy. */
const comparison = (dtype: DType.DType): ((a: K.Value, b: K.Value) => number) =>
  K.binary(
    dtype,
    (a, b) => (a < b ? -1 : a > b ? 1 : Number(Number.isNaN(a)) - Number(Number.isNaN(b))),
    (a, b) => (a < b ? -1 : a > b ? 1 : 0)
  ) as never

export const argMax = ({ inputs: [x], attributes }: Node<"argMax">): K.Operation => {
  const compare = comparison(x.dtype)
  const { count, length, read } = rowsOf(x, [attributes.axis])
  return K.compute(([data]) => {
    const rows = read(data)
    const out = new Int32Array(count)
    for (let row = 0; row < count; row++) {
      const first = row * length
      let best = first
      for (let i = first + 1; i < first + length; i++)
        if (compare(rows[i], rows[best]) > 0) best = i
      out[row] = best - first
    }
    return out
  })
}

export const argSort = ({ inputs: [x], attributes }: Node<"argSort">): K.Operation => {
  const compare = comparison(x.dtype)
  const direction = attributes.descending ? -1 : 1
  const { count, length, read, write } = rowsOf(x, [attributes.axis])
  return K.compute(([data]) => {
    const rows = read(data)
    const out = new Float64Array(rows.length)
    for (let row = 0; row < count; row++) {
      const first = row * length
      const order = out.subarray(first, first + length)
      for (let i = 0; i < length; i++) order[i] = i
      order.sort((i, j) => direction * compare(rows[first + i], rows[first + j]) || i - j)
    }
    return write("int32", out as unknown as K.Lanes)
  })
}

export const cumSum = ({ inputs: [x], attributes }: Node<"cumSum">): K.Operation => {
  const { reverse, exclusive } = attributes
  const { zero, add } = K.ring(x.dtype)
  const { count, length, read, write } = rowsOf(x, [attributes.axis])
  return K.compute(([data]) => {
    const rows = read(data)
    const out = K.lanes(x.dtype, rows.length)
    for (let row = 0; row < count; row++) {
      let sofar = zero
      for (let k = 0; k < length; k++) {
        const i = row * length + (reverse ? length - 1 - k : k)
        const next = add(sofar, rows[i])
        out[i] = exclusive ? sofar : next
        sofar = next
      }
    }
    return write(x.dtype, out)
  })
}

/** The axes are the last ones already, so that rows lie one behind the other. */
export const standardize = ({ inputs: [x], attributes }: Node<"standardize">): K.Operation => {
  const { axis, epsilon } = attributes
  const count = Shape.size(x.shape.slice(0, axis))
  const length = Shape.size(x.shape.slice(axis))
  return {
    kind: "run",
    run: ([data]) => {
      const values = K.load(x.dtype, data) as unknown as Float64Array
      const result = new Float64Array(values.length)
      const inverse = new Float64Array(count)
      for (let row = 0; row < count; row++) {
        const [first, end] = [row * length, (row + 1) * length]
        let sum = 0
        for (let i = first; i < end; i++) sum += values[i]
        const mean = sum / length
        let squares = 0
        for (let i = first; i < end; i++) squares += (values[i] - mean) ** 2
        const deviation = Math.sqrt(squares / length + epsilon)
        for (let i = first; i < end; i++) result[i] = (values[i] - mean) / deviation
        inverse[row] = 1 / deviation
      }
      return [result, inverse].map((each) => K.store(x.dtype, each as unknown as K.Lanes))
    },
    workspace: 0
  }
}
