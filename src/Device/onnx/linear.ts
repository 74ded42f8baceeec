/**
 * Matrix products, convolutions and pooling.
 *
 * The runtime convolves `float32` over up to three spatial axes. Everything else is made of shifted
 * slices: a convolution is a matrix product over its kernel's offsets.
 */
import type { Window } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as blocked from "./blocked.ts"
import * as build from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"
import { halves, type Single, through } from "./Lowering.ts"

export const matmul: Single<"matmul"> = through(
  halves,
  (e, { inputs: [a, b], outputs: [{ shape, dtype }] }) =>
    a.shape[a.shape.length - 1] === 0 ? build.fill(e, 0, shape, dtype) : build.matmul(e, a, b)
)

const spatial = ({ shape }: { readonly shape: Shape.Shape }): Shape.Shape => shape.slice(2)

const isEmpty = (values: ReadonlyArray<Value>): boolean =>
  values.some(({ shape }) => Shape.size(shape) === 0)

/** Whether the runtime has the operator. */
const isNative = ({ dtype, shape }: Value): boolean => dtype === "float32" && shape.length <= 5

export const conv: Single<"conv"> = through(
  halves,
  (e, { attributes, inputs: [x, w], outputs: [output] }) => {
    if (isEmpty([x, w])) return build.fill(e, 0, output.shape, output.dtype)
    if (!isNative(x)) return composedConv(e, x, w, attributes, output.shape)
    const fast = blocked.conv(e, x, w, attributes, output.shape)
    if (fast !== undefined) return fast
    return isTogether(x, w, attributes, spatial(output))
      ? togetherConv(e, x, w, attributes, output.shape)
      : nativeConv(e, x, w, attributes, output.shape)
  }
)

const nativeConv = (e: Emitter, x: Value, w: Value, window: Window, shape: Shape.Shape): Value =>
  e.op(
    "Conv",
    [x, w],
    { shape, dtype: x.dtype },
    {
      attributes: {
        kernel_shape: spatial(w),
        strides: window.stride,
        dilations: window.dilation,
        pads: [...window.low, ...window.high],
        group: window.groups
      }
    }
  )

/**
 * A convolution with an offset for each channel, which the operator adds at no cost; `undefined` if `x` is not
 * the result of a convolution, or has its offsets.
 */
export const withBias = (e: Emitter, x: Value, bias: Value): Value | undefined => {
  const conv = blocked.inside(x) ?? x
  const draft = conv.draft
  const channels = x.shape[1]
  if (draft?.operator !== "Conv" || draft.inputs.length !== 2) return undefined
  if (!isPerChannel(bias, x.shape) || depth(bias) > depth(conv)) return undefined
  const { attributes, domain, inputs } = draft
  const sum = e.op("Conv", [...inputs, e.reshape(bias, [channels])], conv, { attributes, domain })
  return conv === x ? sum : blocked.outside(e, sum)
}

const depth = (value: Value): number => value.level?.depth ?? 0

const isPerChannel = ({ shape }: Value, [, channels, ...space]: Shape.Shape): boolean =>
  Shape.size(shape) === channels &&
  shape.length > space.length &&
  shape[shape.length - space.length - 1] === channels

/** One matrix product of the kernel with the operand's slices at all of the kernel's offsets, stacked. */
const composedConv = (
  e: Emitter,
  x: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value => {
  const [n, c] = x.shape
  const { groups } = window
  const out = shape.slice(2)
  const places = Shape.size(out)
  const padded = build.pad(e, x, [0, 0, ...window.low], [0, 0, ...window.high], 0)
  const columns = offsets(spatial(w)).map((offset) =>
    e.reshape(shifted(e, padded, offset, out, window), [n, groups, c / groups, 1, places])
  )
  const taps = columns.length
  const stacked = e.reshape(build.concat(e, columns, 3), [n, groups, (c / groups) * taps, places])
  const kernel = e.reshape(w, [1, groups, w.shape[0] / groups, (c / groups) * taps])
  return e.reshape(build.matmul(e, kernel, stacked), shape)
}

/** Places of a result up to which the runtime's convolution, sample by sample, spends its time on reading the kernel. */
const fewPlaces = 8

/** Whether all samples should go through the kernel in one product, with so many places each. */
const isTogether = (x: Value, w: Value, { groups }: Window, places: Shape.Shape): boolean =>
  groups === 1 &&
  w.constant === undefined &&
  x.shape[0] > 3 &&
  Shape.size(places) <= fewPlaces &&
  Shape.size(spatial(w)) > 1 &&
  Shape.size(w.shape) >= 2 ** 16

/**
 * What each of the kernel's elements meets for each place of the result, as a matrix [elements of the operand, places·taps] of ones and
 * zeros: gathering, padding and strides are a product with it, and their adjoint one with its transpose. (An infinity anywhere then makes
 * a whole channel of its sample NaN.)
 */
const meetings = (
  e: Emitter,
  operand: Shape.Shape,
  kernel: Shape.Shape,
  out: Shape.Shape,
  { stride, dilation, low }: Window,
  turned: boolean
): Value => {
  const [rows, taps] = [Shape.size(operand), Shape.size(kernel)]
  const columns = Shape.size(out) * taps
  const data = new Float32Array(rows * columns)
  offsets(out).forEach((place, p) => {
    offsets(kernel).forEach((offset, k) => {
      const met = place.map((at, i) => at * stride[i] + offset[i] * dilation[i] - low[i])
      if (met.some((at, i) => at < 0 || at >= operand[i])) return
      const row = met.reduce((sum, at, i) => sum * operand[i] + at, 0)
      const column = p * taps + k
      data[turned ? column * rows + row : row * columns + column] = 1
    })
  })
  return e.constant({
    shape: turned ? [columns, rows] : [rows, columns],
    dtype: "float32",
    data
  })
}

/** One matrix product for all samples: [N·places, C·taps] by the kernel's rows. */
const togetherConv = (
  e: Emitter,
  x: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value => {
  const [n, c] = x.shape
  const [, o, ...out] = shape
  const [places, taps] = [Shape.size(out), Shape.size(spatial(w))]
  const flat = e.reshape(x, [n * c, Shape.size(spatial(x))])
  const met = build.matmul(e, flat, meetings(e, spatial(x), spatial(w), out, window, false))
  const apart = e.reshape(met, [n, c, places, taps])
  const rows = e.reshape(build.transpose(e, apart, [0, 2, 1, 3]), [n * places, c * taps])
  const product = productOfRows(e, rows, e.reshape(w, [o, c * taps]))
  return e.reshape(build.transpose(e, e.reshape(product, [n, places, o]), [0, 2, 1]), shape)
}

/**
 * The adjoint of {@link togetherConv} in its operand: one product of what flows back with the kernel as it lies, whose columns then go
 * where they came from.
 */
const togetherTurned = (
  e: Emitter,
  y: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value => {
  const [n, o, ...out] = y.shape
  const [, c] = w.shape
  const [places, taps] = [Shape.size(out), Shape.size(spatial(w))]
  const flat = build.transpose(e, e.reshape(y, [n, o, places]), [0, 2, 1])
  const rows = e.reshape(flat, [n * places, o])
  const product = build.matmul(e, rows, e.reshape(w, [o, c * taps]))
  const apart = e.reshape(product, [n, places, c, taps])
  const met = e.reshape(build.transpose(e, apart, [0, 2, 1, 3]), [n * c, places * taps])
  const back = meetings(e, shape.slice(2), spatial(w), out, window, true)
  return e.reshape(build.matmul(e, met, back), shape)
}

/** Every offset within a kernel, in row-major order. */
const offsets = (kernel: Shape.Shape): ReadonlyArray<ReadonlyArray<number>> =>
  kernel.reduce<ReadonlyArray<ReadonlyArray<number>>>(
    (done, size) => done.flatMap((each) => Array.from({ length: size }, (_, i) => [...each, i])),
    [[]]
  )

/** What a kernel's element at `offset` meets, for each element of the result. */
const shifted = (
  e: Emitter,
  padded: Value,
  offset: ReadonlyArray<number>,
  out: Shape.Shape,
  { stride, dilation }: Pick<Window, "stride" | "dilation">
): Value =>
  build.slice(
    e,
    padded,
    [0, 0, ...offset.map((o, i) => o * dilation[i])],
    [padded.shape[0], padded.shape[1], ...out],
    [1, 1, ...stride]
  )

export const convTranspose: Single<"convTranspose"> = through(
  halves,
  (e, { attributes, inputs: [y, w], outputs: [output] }) => {
    if (isEmpty([y, w])) return build.fill(e, 0, output.shape, output.dtype)
    if (isNative(y) && isTogether(y, w, attributes, spatial(y))) {
      return togetherTurned(e, y, w, attributes, output.shape)
    }
    const plain = attributes.stride.every((step) => step === 1)
    return isNative(y) && !plain
      ? nativeTranspose(e, y, w, attributes, output.shape)
      : flippedConv(e, y, w, attributes, output.shape)
  }
)

const nativeTranspose = (
  e: Emitter,
  y: Value,
  w: Value,
  window: Window,
  shape: Shape.Shape
): Value => {
  const kernel = spatial(w)
  // what the full result is longer by than the wanted one, once the low padding is cut off
  const excess = spatial(y).map(
    (size, i) =>
      window.stride[i] * (size - 1) +
      window.dilation[i] * (kernel[i] - 1) +
      1 -
      window.low[i] -
      shape[i + 2]
  )
  return e.op(
    "ConvTranspose",
    [y, w],
    { shape, dtype: y.dtype },
    {
      attributes: {
        kernel_shape: kernel,
        strides: window.stride,
        dilations: window.dilation,
        pads: [...window.low, ...excess.map((each) => Math.max(each, 0))],
        output_padding: excess.map((each) => Math.max(-each, 0)),
        group: window.groups
      }
    }
  )
}

/**
 * With stride 1 it is a convolution with the kernel's channels exchanged and its spatial axes flipped; with
 * another, one of the operand with zeros between its elements. Faster than the operator.
 */
const flippedConv = (e: Emitter, y: Value, w: Value, window: Window, shape: Shape.Shape): Value => {
  const { dilation, groups, low, stride } = window
  const reach = spatial(w).map((size, i) => (size - 1) * dilation[i])
  const spread = dilated(e, y, stride)
  const before = reach.map((each, i) => each - low[i])
  const after = spatial(spread).map((size, i) => shape[i + 2] + low[i] - size)
  const seen = spatial(spread).map(
    (size, i) => size + Math.min(before[i], 0) + Math.min(after[i], 0)
  )
  // padding wider than the kernel may be all that the operand met
  if (seen.some((size) => size < 1)) return build.fill(e, 0, shape, y.dtype)
  const cropped = build.slice(
    e,
    spread,
    [0, 0, ...before.map((each) => Math.max(-each, 0))],
    [...spread.shape.slice(0, 2), ...seen]
  )
  const plain = {
    stride: stride.map(() => 1),
    dilation,
    low: before.map((each) => Math.max(each, 0)),
    high: after.map((each) => Math.max(each, 0)),
    groups
  }
  const fast = blocked.turnedConv(e, cropped, w, plain, shape)
  if (fast !== undefined) return fast
  const turned = turnedKernel(e, w, groups)
  return isNative(y)
    ? nativeConv(e, cropped, turned, plain, shape)
    : composedConv(e, cropped, turned, plain, shape)
}

/** Puts zeros between neighbours along the spatial axes: [a, b] → [[a, 0], [b, 0]] → [a, 0, b]. */
const dilated = (e: Emitter, y: Value, stride: ReadonlyArray<number>): Value => {
  if (stride.every((step) => step === 1)) return y
  const channels = y.shape.slice(0, 2)
  const pairs = e.reshape(y, [...channels, ...spatial(y).flatMap((size) => [size, 1])])
  const zeros = pairs.shape.map(() => 0)
  const padded = build.pad(e, pairs, zeros, [0, 0, ...stride.flatMap((step) => [0, step - 1])], 0)
  const whole = e.reshape(padded, [...channels, ...spatial(y).map((size, i) => size * stride[i])])
  return build.slice(
    e,
    whole,
    y.shape.map(() => 0),
    [...channels, ...spatial(y).map((size, i) => (size - 1) * stride[i] + 1)]
  )
}

/** [O, C/groups, …] → [C, O/groups, …], its spatial axes reversed. */
const turnedKernel = (e: Emitter, w: Value, groups: number): Value => {
  const [o, per, ...kernel] = w.shape
  const axes = w.shape.map((_, i) => i)
  const flipped = build.flip(e, w, axes.slice(2))
  if (groups === 1) return build.transpose(e, flipped, [1, 0, ...axes.slice(2)])
  const grouped = e.reshape(flipped, [groups, o / groups, per, ...kernel])
  const exchanged = build.transpose(e, grouped, [0, 2, 1, ...axes.slice(2).map((axis) => axis + 1)])
  return e.reshape(exchanged, [groups * per, o / groups, ...kernel])
}

export const convKernel: Single<"convKernel"> = through(
  halves,
  (e, { attributes, inputs: [x, y], outputs: [output] }) => {
    if (isEmpty([x, y])) return build.fill(e, 0, output.shape, output.dtype)
    return (
      blocked.convKernel(e, x, y, attributes, attributes.spatial) ??
      kernelOf(e, x, y, attributes, attributes.spatial)
    )
  }
)

/**
 * One matrix product of the slices of `x` at some of the kernel's offsets with the slices of `y` at
 * the others, both with channels in front. An offset along an axis of stride 1 may be taken from either: from
 * `x` forwards or from `y` backwards. The kernel's axes are divided so that least is copied.
 */
const kernelOf = (e: Emitter, x: Value, y: Value, window: Window, kernel: Shape.Shape): Value => {
  const { groups } = window
  const o = y.shape[1]
  const per = x.shape[1] / groups
  const fromX = sides(x, y, window, kernel)
  const left = slicesOfY(e, y, x, window, kernel, fromX)
  const right = slicesOfX(e, x, window, kernel, spatial(y), fromX)
  const places = Shape.size(left[0].shape) / o
  const rows = (slices: ReadonlyArray<Value>, channels: number): Value =>
    groups === 1
      ? e.reshape(build.concat(e, slices, 0), [slices.length * channels, places])
      : e.reshape(
          build.concat(
            e,
            slices.map((each) => e.reshape(each, [groups, 1, channels, places])),
            1
          ),
          [groups, slices.length * channels, places]
        )
  const product = productOfRows(e, rows(left, o / groups), rows(right, per))
  const [yKernel, xKernel] = [
    kernel.map((size, i) => (fromX[i] ? 1 : size)),
    kernel.map((size, i) => (fromX[i] ? size : 1))
  ]
  // [groups, y's offsets, O/groups, x's offsets, C/groups] → [O, C/groups, …kernel]
  const rank = kernel.length
  const apart = e.reshape(product, [groups, ...yKernel, o / groups, ...xKernel, per])
  const order = [0, rank + 1, 2 * rank + 2, ...kernel.flatMap((_, i) => [1 + i, rank + 2 + i])]
  return e.reshape(build.transpose(e, apart, order), [o, per, ...kernel])
}

/** a bᵀ, of matrices or stacks of them. */
const productOfRows = (e: Emitter, a: Value, b: Value): Value => {
  if (a.shape.length === 2 && a.dtype === "float32") {
    return e.op(
      "Gemm",
      [a, b],
      { shape: [a.shape[0], b.shape[0]], dtype: a.dtype },
      {
        attributes: { transB: 1 }
      }
    )
  }
  const rank = b.shape.length
  const order = b.shape.map((_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i))
  return build.matmul(e, a, build.transpose(e, b, order))
}

/** For each axis of the kernel whether its offsets are taken from `x`. */
const sides = (
  x: Value,
  y: Value,
  { stride }: Window,
  kernel: Shape.Shape
): ReadonlyArray<boolean> => {
  const choices = offsets(stride.map((step) => (step === 1 ? 2 : 1)))
  const cost = (choice: ReadonlyArray<number>): number => {
    const taps = (side: number) => Shape.size(kernel.filter((_, i) => choice[i] === side))
    return Shape.size(x.shape) * taps(0) + Shape.size(y.shape) * taps(1)
  }
  const best = choices.reduce((best, each) => (cost(each) < cost(best) ? each : best))
  return best.map((side) => side === 0)
}

const channelsFirst = (e: Emitter, x: Value): Value =>
  build.transpose(
    e,
    x,
    x.shape.map((_, i) => (i < 2 ? 1 - i : i))
  )

/** [C, N, …]: for each offset along the axes taken from `x` what it meets; whole along the others. */
const slicesOfX = (
  e: Emitter,
  x: Value,
  { dilation, high, low, stride }: Window,
  kernel: Shape.Shape,
  out: Shape.Shape,
  fromX: ReadonlyArray<boolean>
): ReadonlyArray<Value> => {
  const only = (values: ReadonlyArray<number>): ReadonlyArray<number> =>
    values.map((value, i) => (fromX[i] ? value : 0))
  const padded = build.pad(e, channelsFirst(e, x), [0, 0, ...only(low)], [0, 0, ...only(high)], 0)
  const seen = spatial(x).map((size, i) => (fromX[i] ? out[i] : size))
  return offsets(kernel.map((size, i) => (fromX[i] ? size : 1))).map((offset) =>
    shifted(e, padded, offset, seen, { stride, dilation })
  )
}

/** [O, N, …]: for each offset along the axes taken from `y` which of it meets each element of `x`. */
const slicesOfY = (
  e: Emitter,
  y: Value,
  x: Value,
  { dilation, low }: Window,
  kernel: Shape.Shape,
  fromX: ReadonlyArray<boolean>
): ReadonlyArray<Value> => {
  // along such an axis x[h] meets y[h + low − offset · dilation]
  const reach = kernel.map((size, i) => (size - 1) * dilation[i])
  const before = kernel.map((_, i) => (fromX[i] ? 0 : Math.max(reach[i] - low[i], 0)))
  const after = kernel.map((_, i) =>
    fromX[i] ? 0 : Math.max(x.shape[i + 2] + low[i] - y.shape[i + 2], 0)
  )
  const padded = build.pad(e, channelsFirst(e, y), [0, 0, ...before], [0, 0, ...after], 0)
  const seen = spatial(y).map((size, i) => (fromX[i] ? size : x.shape[i + 2]))
  return offsets(kernel.map((size, i) => (fromX[i] ? 1 : size))).map((offset) =>
    build.slice(
      e,
      padded,
      [0, 0, ...offset.map((o, i) => (fromX[i] ? 0 : before[i] + low[i] - o * dilation[i]))],
      [padded.shape[0], padded.shape[1], ...seen]
    )
  )
}

export const pool: Single<"pool"> = through(
  halves,
  (e, { attributes, inputs: [x], outputs: [{ shape, dtype }] }) => {
    const { high, kind, low, stride, window } = attributes
    const native = shape.length <= 5 && (dtype === "float32" || kind === "max")
    if (native) {
      const shared = { kernel_shape: window, strides: stride, pads: [...low, ...high] }
      return kind === "max"
        ? e.op("MaxPool", [x], { shape, dtype }, { attributes: shared })
        : e.op(
            "AveragePool",
            [x],
            { shape, dtype },
            { attributes: { ...shared, count_include_pad: 1 } }
          )
    }
    const [outside, operator] = kind === "max" ? [Number.NEGATIVE_INFINITY, "Max"] : [0, "Add"]
    const padded = build.pad(e, x, [0, 0, ...low], [0, 0, ...high], outside)
    const dilation = stride.map(() => 1)
    const result = offsets(window)
      .map((offset) => shifted(e, padded, offset, spatial({ shape }), { stride, dilation }))
      .reduce((a, b) => e.map(operator, [a, b]))
    return kind === "max" ? result : e.map("Div", [result, e.scalar(Shape.size(window), dtype)])
  }
)
