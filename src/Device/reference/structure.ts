/** Kernels of leaves and of what moves elements about. */
import * as DType from "../../Tensor/DType.ts"
import type { Node, Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as K from "./kernel.ts"

export const constant = ({ attributes }: Node<"constant">): K.Operation => ({
  kind: "constant",
  data: attributes.data
})

export const reshape = (): K.Operation => K.same

export const iota = ({ attributes: { shape, dtype, axis } }: Node<"iota">): K.Operation => {
  const stride = Shape.strides(shape)[axis]
  return K.compute(() => {
    const out = K.lanes(dtype, Shape.size(shape))
    for (let i = 0; i < out.length; i++)
      out[i] = K.value(dtype, Math.floor(i / stride) % shape[axis])
    return K.store(dtype, out)
  })
}

/** Takes the output's elements from their places in the input. */
const taken = ({ dtype }: Spec, { shape }: Spec, layout: K.Layout): K.Operation =>
  K.compute(([data]) => K.view(dtype, shape, data, layout))

export const broadcast = ({ inputs: [x], outputs: [y] }: Node<"broadcast">): K.Operation =>
  taken(x, y, K.broadcasted(x.shape, y.shape))

export const transpose = ({
  inputs: [x],
  outputs: [y],
  attributes
}: Node<"transpose">): K.Operation => taken(x, y, K.permuted(x.shape, attributes.permutation))

export const slice = ({ inputs: [x], outputs: [y], attributes }: Node<"slice">): K.Operation => {
  const { starts, steps } = attributes
  const strides = Shape.strides(x.shape)
  return taken(x, y, {
    offset: strides.reduce((offset, stride, i) => offset + stride * starts[i], 0),
    strides: strides.map((stride, i) => stride * steps[i])
  })
}

/** Where an array begins in one of `shape`, `starts` elements along each axis. */
const within = (shape: Shape.Shape, starts: ReadonlyArray<number>): K.Layout => {
  const strides = Shape.strides(shape)
  return { offset: strides.reduce((offset, stride, i) => offset + stride * starts[i], 0), strides }
}

export const pad = ({ inputs: [x], outputs: [y], attributes }: Node<"pad">): K.Operation => {
  const value = K.lanes(x.dtype, 1)
  value[0] = K.value(x.dtype, attributes.value)
  const filler = K.store(x.dtype, value)
  const filling: K.Layout = { offset: 0, strides: y.shape.map(() => 0) }
  const target = within(y.shape, attributes.low)
  return K.compute(([data]) => {
    const out = K.view(x.dtype, y.shape, filler, filling)
    K.copy(x.dtype, x.shape, data, K.dense(x.shape), out, target)
    return out
  })
}

export const concat = ({ inputs, outputs: [y], attributes }: Node<"concat">): K.Operation => {
  let start = 0
  const parts = inputs.map(({ shape }) => {
    const target = within(
      y.shape,
      shape.map((_, i) => (i === attributes.axis ? start : 0))
    )
    start += shape[attributes.axis]
    return { shape, source: K.dense(shape), target }
  })
  return K.compute((data) => {
    const out = DType.allocate(y.dtype, Shape.size(y.shape))
    parts.forEach(({ shape, source, target }, i) => {
      K.copy(y.dtype, shape, data[i], source, out, target)
    })
    return out
  })
}

/** Indices counted from the front. */
const counted = (
  dtype: DType.DType,
  data: DType.Data,
  axis: number,
  size: number
): Float64Array => {
  const given = K.load(dtype, data)
  const result = new Float64Array(given.length)
  for (let i = 0; i < result.length; i++) {
    const index = Number(given[i])
    if (index < -size || index >= size) {
      const range = size === 0 ? "it is empty" : `indices reach from ${-size} to ${size - 1}`
      throw new Error(`index ${index} is out of range along axis ${axis}: ${range}`)
    }
    result[i] = index < 0 ? index + size : index
  }
  return result
}

/** An array as `outer` blocks of `size` elements along an axis, each of `inner` elements. */
const blocks = (shape: Shape.Shape, axis: number) => ({
  outer: Shape.size(shape.slice(0, axis)),
  size: shape[axis],
  inner: Shape.size(shape.slice(axis + 1))
})

export const gather = ({
  inputs: [x, indices],
  attributes: { axis }
}: Node<"gather">): K.Operation => {
  const { outer, size, inner } = blocks(x.shape, axis)
  const count = Shape.size(indices.shape)
  return K.compute(([data, at]) => {
    const places = counted(indices.dtype, at, axis, size)
    const out = DType.allocate(x.dtype, outer * count * inner)
    const [from, to] = [K.words(data), K.words(out)]
    const width = inner * K.wordsPer(x.dtype)
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < count; i++) {
        K.move(width, from, (o * size + places[i]) * width, 1, to, (o * count + i) * width, 1)
      }
    }
    return out
  })
}

export const scatterAdd = (node: Node<"scatterAdd">): K.Operation => {
  const { axis } = node.attributes
  const [indices, { dtype }] = node.inputs
  const { outer, size, inner } = blocks(node.outputs[0].shape, axis)
  const count = Shape.size(indices.shape)
  const { add } = K.ring(dtype)
  return K.compute(([at, data]) => {
    const places = counted(indices.dtype, at, axis, size)
    const updates = K.load(dtype, data)
    const out = K.lanes(dtype, outer * size * inner)
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < count; i++) {
        const target = (o * size + places[i]) * inner
        const source = (o * count + i) * inner
        for (let k = 0; k < inner; k++) out[target + k] = add(out[target + k], updates[source + k])
      }
    }
    return K.store(dtype, out)
  })
}
