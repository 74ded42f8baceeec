/**
 * Convolutions in the layout that the runtime keeps for itself: channels in blocks, [N, C/b, H, W, b].
 *
 * Its convolutions are half as fast again as those of the standard operator, which has to unfold its
 * operand. The runtime chooses them by itself where the kernel is constant; during training it is
 * not. Their names and layouts are no promise of the runtime, so the block size is measured before
 * use (see `probe`), and files for others have none of this.
 *
 * Blocked values keep the shape that they have outside; only their memory is arranged otherwise.
 */
import type { Window } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as build from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"

export const domain = "com.microsoft.nchwc"

const blockedOf = new WeakMap<Value, Value>()

/** The value with its channels in blocks; converted once. */
const toBlocked = (e: Emitter, x: Value): Value => {
  const known = blockedOf.get(x)
  if (known !== undefined) return known
  const blocked = e.op("ReorderInput", [x], x, { domain })
  blockedOf.set(x, blocked)
  return blocked
}

/** The blocked value that a value was made from. */
export const inside = (x: Value): Value | undefined =>
  x.draft?.operator === "ReorderOutput" ? x.draft.inputs[0] : undefined

/** A blocked value in the usual layout. */
export const outside = (e: Emitter, x: Value): Value => {
  const attributes = { channels: x.shape[1] }
  const plain = e.op("ReorderOutput", [x], x, { domain, attributes })
  blockedOf.set(plain, x)
  return plain
}

/** Blocks in each of some numbers of channels, if they divide. */
const blocks = (e: Emitter, channels: ReadonlyArray<number>): number | undefined => {
  const { block } = e.options
  return block !== undefined && channels.every((each) => each > 0 && each % block === 0)
    ? block
    : undefined
}

/** Results of a convolution at which rearranging the kernel for it begins to pay. */
const worthwhile = 256

/** The convolution in blocks, where that is possible and faster. */
export const conv = (
  e: Emitter,
  x: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value | undefined => {
  if (!isPlane(x, w, window)) return undefined
  const block = blocks(e, [x.shape[1], w.shape[0]])
  const results = shape[0] * Shape.size(shape.slice(2))
  // a constant kernel is left to the runtime, which rearranges it once
  if (block === undefined || w.constant !== undefined || results < worthwhile) return undefined
  const kernel = blockedKernel(e, w, block)
  return outside(e, apply(e, toBlocked(e, x), kernel, w.shape, window, shape))
}

/** The adjoint of a convolution with stride 1 in its operand. */
export const turnedConv = (
  e: Emitter,
  y: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value | undefined => {
  if (!isPlane(y, w, window)) return undefined
  const block = blocks(e, [y.shape[1], w.shape[1]])
  const results = shape[0] * Shape.size(shape.slice(2))
  if (block === undefined || results < worthwhile) return undefined
  const [o, i, ...space] = w.shape
  const kernel = turnedBlockedKernel(e, w, block)
  return outside(e, apply(e, toBlocked(e, y), kernel, [i, o, ...space], window, shape))
}

/** Two spatial axes, no groups, and a kernel of more than one element: else a matrix product is as fast. */
const isPlane = (x: Value, w: Value, { groups }: Window): boolean =>
  x.dtype === "float32" && x.shape.length === 4 && groups === 1 && w.shape[2] * w.shape[3] > 1

const apply = (
  e: Emitter,
  x: Value,
  kernel: Value,
  [, , ...space]: Shape.Shape,
  window: Window,
  shape: Shape.Shape
): Value =>
  e.op(
    "Conv",
    [x, kernel],
    { shape, dtype: x.dtype },
    {
      domain,
      attributes: {
        kernel_shape: space,
        strides: window.stride,
        dilations: window.dilation,
        pads: [...window.low, ...window.high],
        group: 1
      }
    }
  )

const kernels = new WeakMap<Value, Value>()
const turnedKernels = new WeakMap<Value, Value>()

const remembered = (memory: WeakMap<Value, Value>, key: Value, make: () => Value): Value => {
  const known = memory.get(key) ?? make()
  memory.set(key, known)
  return known
}

/** [O, I, …] → [O/b, I/b, …, b of I, b of O] */
const blockedKernel = (e: Emitter, w: Value, block: number): Value =>
  remembered(kernels, w, () => {
    const [o, i, ...space] = w.shape
    const taps = Shape.size(space)
    const inner = e.op(
      "ReorderInput",
      [e.reshape(w, [1, o, 1, i * taps])],
      { shape: [1, o, 1, i * taps], dtype: w.dtype },
      { domain }
    )
    const apart = e.reshape(inner, [o / block, i / block, block, taps, block])
    return e.reshape(build.transpose(e, apart, [0, 1, 3, 2, 4]), w.shape)
  })

/** [O, I, …] → [I/b, O/b, … reversed, b of O, b of I] */
const turnedBlockedKernel = (e: Emitter, w: Value, block: number): Value =>
  remembered(turnedKernels, w, () => {
    const [o, i, ...space] = w.shape
    const taps = Shape.size(space)
    const inner = e.op("ReorderInput", [w], w, { domain })
    const apart = e.reshape(inner, [o / block, block, i / block, taps, block])
    const moved = build.transpose(e, apart, [2, 0, 3, 1, 4])
    const reversed = e.ints(Array.from({ length: taps }, (_, k) => taps - 1 - k))
    return e.reshape(build.gather(e, moved, reversed, 2), [i, o, ...space])
  })

/**
 * The adjoint of a convolution in its kernel, as one convolution: the operand's samples are its channels, what flows
 * back is its kernel.
 *
 * With the operand's own channels beside its columns, [C/b, H, W·b] with N channels, and a kernel whose columns are b
 * apart, the result is [C/b, K, K·b] with O channels.
 */
export const convKernel = (
  e: Emitter,
  x: Value,
  y: Value,
  { dilation, groups, low, stride }: Window,
  kernel: Shape.Shape
): Value | undefined => {
  const [n, c, h, w] = x.shape
  const [, o, oh, ow] = y.shape
  const block = blocks(e, [n, c, o])
  const plane = x.dtype === "float32" && x.shape.length === 4 && groups === 1
  if (
    block === undefined ||
    !plane ||
    dilation.some((step) => step !== 1) ||
    Shape.size(kernel) === 1
  ) {
    return undefined
  }
  const [cs, os, ns] = [c / block, o / block, n / block]
  // what the kernel covers; less than the operand where the last rows or columns were never seen
  const [rows, columns] = [(oh - 1) * stride[0] + kernel[0], (ow - 1) * stride[1] + kernel[1]]
  const width = Math.max(columns, w + low[1])
  const wide = widened(e, e.reshape(toBlocked(e, x), [n * cs * h, w, block]), low[1], width)
  const operand = samplesAsChannels(e, wide, [ns, block, cs * h, width * block], cs, n, [
    h,
    width * block
  ])
  const taps = samplesAsKernel(
    e,
    e.reshape(toBlocked(e, y), [n, os * oh * ow * block]),
    n,
    o,
    [oh, ow],
    block
  )
  const bottom = Math.max(rows - h - low[0], 0)
  const [high, long] = [
    h + low[0] + bottom - rows + kernel[0],
    (width - columns + kernel[1]) * block
  ]
  const result = e.op(
    "Conv",
    [operand, taps],
    { shape: [cs, o, high, long], dtype: x.dtype },
    {
      domain,
      attributes: {
        kernel_shape: [oh, ow],
        strides: [1, 1],
        dilations: [stride[0], stride[1] * block],
        pads: [low[0], 0, bottom, 0],
        group: 1
      }
    }
  )
  const flat = e.op("ReorderOutput", [result], result, { domain, attributes: { channels: o } })
  const cut = build.slice(e, flat, [0, 0, 0, 0], [cs, o, kernel[0], kernel[1] * block])
  // [C/b, O, …, b] → [O, C/b, …, b], which is how the runtime keeps [O, C, …]
  const pieces = e.reshape(cut, [cs, o, kernel[0] * kernel[1] * block])
  const own = e.reshape(build.transpose(e, pieces, [1, 0, 2]), [o, c, ...kernel])
  return e.op("ReorderOutput", [own], own, { domain, attributes: { channels: c } })
}

/** Zeros before the first column and after the last. */
const widened = (e: Emitter, x: Value, before: number, width: number): Value => {
  const [rows, columns, block] = x.shape
  const zeros = (count: number): Value => build.fill(e, 0, [rows, count, block], x.dtype)
  return build.concat(e, [zeros(before), x, zeros(width - columns - before)], 1)
}

/** Rows [N, C/b, …] → channels N, for each block of C. */
const samplesAsChannels = (
  e: Emitter,
  x: Value,
  shape: Shape.Shape,
  cs: number,
  n: number,
  space: Shape.Shape
): Value => {
  const blocked = e.op("ReorderInput", [e.reshape(x, shape)], { shape, dtype: x.dtype }, { domain })
  const [ns, block, all, line] = shape
  // [N/b, C/b, …] → [C/b, N/b, …]
  const apart = e.reshape(blocked, [ns, cs, (all / cs) * line * block])
  return e.reshape(build.transpose(e, apart, [1, 0, 2]), [cs, n, ...space])
}

/** [N, O/b, …, b] → a kernel [O/b, N/b, …, b of N, b of O] */
const samplesAsKernel = (
  e: Emitter,
  y: Value,
  n: number,
  o: number,
  space: Shape.Shape,
  block: number
): Value => {
  const line = y.shape[1]
  const shape = [n / block, block, 1, line]
  const turned = { shape: [n / block, line, block, 1], dtype: y.dtype }
  const blocked = e.op("ReorderInput", [e.reshape(y, shape)], turned, {
    domain,
    attributes: { channels_last: 1 }
  })
  const apart = e.reshape(blocked, [n / block, o / block, (line / o) * block * block])
  return e.reshape(build.transpose(e, apart, [1, 0, 2]), [o, n, ...space])
}
