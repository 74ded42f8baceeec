/** Leaves, and primitives that move elements about. */
import type { DType } from "../../Tensor/DType.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as build from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"
import { halves, type Single, through } from "./Lowering.ts"

export const constant: Single<"constant"> = (e, { attributes }) => e.constant(attributes)

/** Counts as long as this stand in the model; longer ones are made when it is loaded. */
const short = 256

export const iota: Single<"iota"> = (e, { attributes: { shape, dtype, axis } }) => {
  const line = shape.map((size, i) => (i === axis ? size : 1))
  return build.expand(e, e.reshape(count(e, shape[axis], dtype), line), shape)
}

/** 0, 1, … up to a length. */
const count = (e: Emitter, length: number, dtype: DType): Value => {
  const shape = [length]
  if (length <= short) {
    const data = BigInt64Array.from({ length }, (_, i) => BigInt(i))
    return e.cast(e.constant({ shape, dtype: "int64", data }), dtype)
  }
  const [from, to, by] = [0, length, 1].map((value) => e.scalar(value, "int64"))
  return e.cast(e.op("Range", [from, to, by], { shape, dtype: "int64" }), dtype)
}

export const broadcast: Single<"broadcast"> = (e, { attributes, inputs: [x] }) =>
  build.expand(e, x, attributes.shape)

export const reshape: Single<"reshape"> = (e, { attributes, inputs: [x] }) =>
  e.reshape(x, attributes.shape)

export const transpose: Single<"transpose"> = (e, { attributes, inputs: [x] }) =>
  build.transpose(e, x, attributes.permutation)

export const slice: Single<"slice"> = (e, { attributes: { starts, sizes, steps }, inputs: [x] }) =>
  build.slice(e, x, starts, sizes, steps)

export const pad: Single<"pad"> = (e, { attributes: { low, high, value }, inputs: [x] }) =>
  build.pad(e, x, low, high, value)

export const concat: Single<"concat"> = (e, { attributes: { axis }, inputs }) =>
  build.concat(e, inputs, axis)

/** Indices count from the end where they are negative; the runtime refuses those out of range. */
export const gather: Single<"gather"> = (e, { attributes: { axis }, inputs: [x, indices] }) =>
  build.gather(e, x, indices.dtype === "uint32" ? e.cast(indices, "int64") : indices, axis)

export const scatterAdd: Single<"scatterAdd"> = through(
  halves,
  (e, { attributes: { axis, size }, inputs: [indices, updates], outputs: [{ shape, dtype }] }) => {
    const zeros = (space: Shape.Shape): Value => build.fill(e, 0, space, dtype)
    if (Shape.size(updates.shape) === 0) return zeros(shape)
    const after = axis + indices.shape.length
    const axes = updates.shape.map((_, i) => i)
    // the operator wants what is indexed in front
    const order = [...axes.slice(axis, after), ...axes.slice(0, axis), ...axes.slice(after)]
    const space = [size, ...shape.slice(0, axis), ...shape.slice(axis + 1)]
    const places = e.reshape(e.cast(indices, "int64"), [...indices.shape, 1])
    const sums = e.op(
      "ScatterND",
      [zeros(space), places, build.transpose(e, updates, order)],
      { shape: space, dtype },
      { attributes: { reduction: "add" } }
    )
    const back = space.map((_, i) => (i < axis ? i + 1 : i === axis ? 0 : i))
    return build.transpose(e, sums, back)
  }
)
