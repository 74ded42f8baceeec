/**
 * Matrix products, convolutions and pooling.
 *
 * A convolution is a trilinear form ⟨y, w ∗ x⟩ in the operand x, the kernel w and the result y.
 * `conv`, `convTranspose` and `convKernel` are its derivatives in y, x and w: each one's
 * derivatives are the other two, so the three are closed under differentiation of any order, with
 * stride, padding, dilation and groups.
 */
import { applyOne, type Node, output, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import type { Attributes, Primitive, Window } from "../Primitive.ts"
import * as Shape from "../Shape.ts"
import { add, cast, div, equal, mul } from "./elementwise.ts"
import {
  broadcast,
  fill,
  pad,
  reshape,
  slice,
  transpose,
  unbroadcast,
  unslice
} from "./structure.ts"

const swapLast = (x: Tensor): Tensor => {
  const rank = x.shape.length
  return transpose(
    x,
    x.shape.map((_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i))
  )
}

export const matmulPrimitive: Primitive<"matmul"> = {
  name: "matmul",
  infer: ([a, b]) => {
    check.dtypes("matmul", [a, b], "numbers")
    if (a.shape.length < 2 || b.shape.length < 2) {
      throw check.shapeError(
        "matmul",
        [a, b],
        "each operand needs at least two axes; add one with Tensor.expandDims"
      )
    }
    const [m, k] = a.shape.slice(-2)
    const [k2, n] = b.shape.slice(-2)
    const batch = Shape.broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
    if (k !== k2) {
      throw check.shapeError("matmul", [a, b], `the inner sizes ${k} and ${k2} differ`)
    }
    if (batch === undefined)
      throw check.shapeError("matmul", [a, b], "the batch axes cannot be broadcast")
    return [{ shape: [...batch, m, n], dtype: a.dtype }]
  },
  vjp: (node, [c], wanted) => {
    if (c === undefined) return []
    const [a, b] = node.inputs
    return [
      wanted[0] ? unbroadcast(matmul(c, swapLast(b)), a.shape) : undefined,
      wanted[1] ? unbroadcast(matmul(swapLast(a), c), b.shape) : undefined
    ]
  },
  macs: (node) =>
    Shape.size(node.outputs[0].shape) * node.inputs[0].shape[node.inputs[0].shape.length - 1]
}

export const matmul = (a: Tensor, b: Tensor): Tensor => applyOne(matmulPrimitive, [a, b], {})

const spatial = (x: { readonly shape: Shape.Shape }): Shape.Shape => x.shape.slice(2)

const windowOf = ({ stride, dilation, low, high, groups }: Window): Window => ({
  stride,
  dilation,
  low,
  high,
  groups
})

const geometry = (
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  { stride, dilation, low, high, groups }: Window,
  space: Shape.Shape,
  kernel: Shape.Shape
): Shape.Shape => {
  const rank = space.length
  const fail = (why: string) => check.shapeError(operation, inputs, why)
  if (kernel.length !== rank)
    throw fail(`the kernel has ${kernel.length} spatial axes, the operand ${rank}`)
  for (const [name, values, least] of [
    ["stride", stride, 1],
    ["dilation", dilation, 1],
    ["padding", low, 0],
    ["padding", high, 0]
  ] as const) {
    if (
      values.length !== rank ||
      values.some((value) => !Number.isInteger(value) || value < least)
    ) {
      throw fail(
        `${name} [${values.join(", ")}] must be ${rank} whole numbers of at least ${least}`
      )
    }
  }
  if (!Number.isInteger(groups) || groups < 1)
    throw fail(`groups ${groups} must be a whole number of at least 1`)
  return space.map((size, i) => {
    const padded = size + low[i] + high[i]
    const extent = (kernel[i] - 1) * dilation[i] + 1
    if (kernel[i] < 1) throw fail("a kernel has at least one element along each axis")
    if (padded < extent) {
      throw fail(
        `along spatial axis ${i} the kernel covers ${extent} elements, the padded operand has ${padded}`
      )
    }
    return Math.floor((padded - extent) / stride[i]) + 1
  })
}

const channels = (
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  c: number,
  o: number,
  perGroup: number,
  groups: number
) => {
  if (c !== perGroup * groups) {
    throw check.shapeError(
      operation,
      inputs,
      `the operand has ${c} channels, the kernel takes ${perGroup} in each of ${groups} group${groups === 1 ? "" : "s"}`
    )
  }
  if (o % groups !== 0) {
    throw check.shapeError(
      operation,
      inputs,
      `${o} output channels do not divide into ${groups} groups`
    )
  }
}

const ranked = (operation: string, inputs: ReadonlyArray<Tensor>) => {
  check.dtypes(operation, inputs, "floats")
  const rank = inputs[0].shape.length
  if (rank < 3 || inputs.some((input) => input.shape.length !== rank)) {
    throw check.shapeError(
      operation,
      inputs,
      "both operands need the axes [batch or output, channels, …spatial], of one rank"
    )
  }
}

export const convPrimitive: Primitive<"conv"> = {
  name: "conv",
  infer: ([x, w], window) => {
    ranked("conv", [x, w])
    const [n, c] = x.shape
    const [o, per] = w.shape
    channels("conv", [x, w], c, o, per, window.groups)
    return [
      { shape: [n, o, ...geometry("conv", [x, w], window, spatial(x), spatial(w))], dtype: x.dtype }
    ]
  },
  vjp: (node, [c], wanted) => {
    if (c === undefined) return []
    const [x, w] = node.inputs
    return [
      wanted[0] ? convTranspose(c, w, node.attributes, spatial(x)) : undefined,
      wanted[1] ? convKernel(x, c, node.attributes, spatial(w)) : undefined
    ]
  },
  macs: (node) => Shape.size(node.outputs[0].shape) * Shape.size(node.inputs[1].shape.slice(1))
}

export const conv = (x: Tensor, w: Tensor, window: Window): Tensor =>
  applyOne(convPrimitive, [x, w], windowOf(window))

export const convTransposePrimitive: Primitive<"convTranspose"> = {
  name: "convTranspose",
  infer: ([y, w], window) => {
    ranked("convTranspose", [y, w])
    if (window.spatial.some((size) => size < 0)) {
      throw check.shapeError(
        "convTranspose",
        [y, w],
        `a result of spatial size ${Shape.show(window.spatial)} is less than nothing: the padding is wider than the rest`
      )
    }
    const [n, o] = y.shape
    const [o2, per] = w.shape
    if (o !== o2) {
      throw check.shapeError(
        "convTranspose",
        [y, w],
        `the operand has ${o} channels, the kernel takes ${o2}`
      )
    }
    channels("convTranspose", [y, w], per * window.groups, o, per, window.groups)
    const expected = geometry("convTranspose", [y, w], window, window.spatial, spatial(w))
    if (!Shape.equals(expected, spatial(y))) {
      throw check.shapeError(
        "convTranspose",
        [y, w],
        `a result of spatial size ${Shape.show(window.spatial)} needs an operand of ${Shape.show(expected)}`
      )
    }
    return [{ shape: [n, per * window.groups, ...window.spatial], dtype: y.dtype }]
  },
  vjp: (node, [c], wanted) => {
    if (c === undefined) return []
    const [y, w] = node.inputs
    return [
      wanted[0] ? conv(c, w, node.attributes) : undefined,
      wanted[1] ? convKernel(c, y, node.attributes, spatial(w)) : undefined
    ]
  },
  macs: (node) => Shape.size(node.inputs[0].shape) * Shape.size(node.inputs[1].shape.slice(1))
}

export const convTranspose = (y: Tensor, w: Tensor, window: Window, space: Shape.Shape): Tensor =>
  applyOne(convTransposePrimitive, [y, w], { ...windowOf(window), spatial: space })

export const convKernelPrimitive: Primitive<"convKernel"> = {
  name: "convKernel",
  infer: ([x, y], window) => {
    ranked("convKernel", [x, y])
    const [n, c] = x.shape
    const [n2, o] = y.shape
    if (n !== n2) throw check.shapeError("convKernel", [x, y], "the batches differ")
    if (c % window.groups !== 0) {
      throw check.shapeError(
        "convKernel",
        [x, y],
        `${c} channels do not divide into ${window.groups} groups`
      )
    }
    channels("convKernel", [x, y], c, o, c / window.groups, window.groups)
    const expected = geometry("convKernel", [x, y], window, spatial(x), window.spatial)
    if (!Shape.equals(expected, spatial(y))) {
      throw check.shapeError(
        "convKernel",
        [x, y],
        `a kernel of spatial size ${Shape.show(window.spatial)} gives ${Shape.show(expected)}`
      )
    }
    return [{ shape: [o, c / window.groups, ...window.spatial], dtype: x.dtype }]
  },
  vjp: (node, [c], wanted) => {
    if (c === undefined) return []
    const [x, y] = node.inputs
    return [
      wanted[0] ? convTranspose(y, c, node.attributes, spatial(x)) : undefined,
      wanted[1] ? conv(x, c, node.attributes) : undefined
    ]
  },
  macs: (node) => Shape.size(node.inputs[1].shape) * Shape.size(node.outputs[0].shape.slice(1))
}

export const convKernel = (x: Tensor, y: Tensor, window: Window, kernel: Shape.Shape): Tensor =>
  applyOne(convKernelPrimitive, [x, y], { ...windowOf(window), spatial: kernel })

type Pool = Attributes["pool"]

export const poolPrimitive: Primitive<"pool"> = {
  name: "pool",
  infer: ([x], { window, stride, low, high }) => {
    check.dtypes("pool", [x], "floats")
    if (x.shape.length < 3)
      throw check.shapeError("pool", [x], "needs the axes [batch, channels, …spatial]")
    if (low.some((each, i) => each >= window[i]) || high.some((each, i) => each >= window[i])) {
      throw check.shapeError(
        "pool",
        [x],
        "padding must be smaller than the window, or a window would see nothing else"
      )
    }
    const dilation = stride.map(() => 1)
    const out = geometry(
      "pool",
      [x],
      { stride, dilation, low, high, groups: 1 },
      spatial(x),
      window
    )
    return [{ shape: [x.shape[0], x.shape[1], ...out], dtype: x.dtype }]
  },
  vjp: (node, [c]) => {
    if (c === undefined) return []
    const x = node.inputs[0]
    return [
      node.attributes.kind === "mean"
        ? spreadMean(c, node.attributes, x)
        : spreadMax(c, node as unknown as Node, node.attributes, x)
    ]
  }
}

export const pool = (x: Tensor, attributes: Pool): Tensor =>
  applyOne(poolPrimitive, [x], attributes)

/** Adjoint of mean pooling. */
const spreadMean = (c: Tensor, { window, stride, low, high }: Pool, x: Tensor): Tensor => {
  if (Shape.size(x.shape) === 0) return x
  const share = 1 / Shape.size(window)
  const [n, channels] = x.shape
  const tiles =
    Shape.equals(window, stride) &&
    low.every((each) => each === 0) &&
    spatial(x).every((size, i) => size === c.shape[i + 2] * window[i])
  if (tiles) {
    const even = mul(c, fill(share, [], c.dtype))
    const pairs = [n, channels, ...spatial(c).flatMap((size) => [size, 1])]
    const repeated = [n, channels, ...spatial(c).flatMap((size, i) => [size, window[i]])]
    return reshape(broadcast(reshape(even, pairs), repeated), x.shape)
  }
  const kernel = fill(share, [channels, 1, ...window], c.dtype)
  const dilation = window.map(() => 1)
  return convTranspose(c, kernel, { stride, dilation, low, high, groups: channels }, spatial(x))
}

/** Adjoint of max pooling at the operand it was computed from; ties share evenly. */
const spreadMax = (
  c: Tensor,
  node: Node,
  { window, stride, low, high }: Pool,
  x: Tensor
): Tensor => {
  const y = output(node)
  const padded = pad(x, [0, 0, ...low], [0, 0, ...high], Number.NEGATIVE_INFINITY)
  const steps = [1, 1, ...stride]
  const places = offsets(window).map((offset) => {
    const starts = [0, 0, ...offset]
    return { starts, steps, taken: cast(equal(slice(padded, starts, y.shape, steps), y), x.dtype) }
  })
  const count = places.map(({ taken }) => taken).reduce(add)
  const share = div(c, count)
  const whole = places
    .map(({ taken, ...place }) => unslice(mul(share, taken), place, padded.shape))
    .reduce(add)
  return slice(whole, [0, 0, ...low], x.shape)
}

const offsets = (window: Shape.Shape): Array<Array<number>> =>
  window.reduce<Array<Array<number>>>(
    (done, size) => done.flatMap((each) => Array.from({ length: size }, (_, i) => [...each, i])),
    [[]]
  )
