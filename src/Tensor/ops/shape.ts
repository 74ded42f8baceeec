import { dual } from "effect/Function"
import type { DType, Integer, Numeric } from "../DType.ts"
import { isTensor, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import * as r from "../primitive/reduction.ts"
import * as s from "../primitive/structure.ts"
import type { Fits, Later, Ok, Permute, Rank, SameRank, Shape } from "../Shape.ts"
import * as Shapes from "../Shape.ts"

const isFirst = (args: IArguments): boolean => isTensor(args[0])

/**
 * The same elements, in row-major order, in another shape. One size may be −1: it is what remains.
 *
 * @since 0.1.0
 * @category shapes
 */
export const reshape: {
  <const S extends Shape>(
    shape: S
  ): Later<S, <D extends DType>(self: Tensor<Shape, D>) => Tensor<Inferred<S>, D>>
  <D extends DType, const S extends Shape>(self: Tensor<Shape, D>, shape: S): Tensor<Inferred<S>, D>
} = dual(2, (x: Tensor, shape: Shape) => {
  check.tensors("reshape", [x])
  const open = Array.isArray(shape) ? shape.indexOf(-1) : -1
  if (open < 0) return s.reshape(x, shape)
  const rest = Shapes.size(shape.filter((_, i) => i !== open))
  const size = Shapes.size(x.shape) / rest
  if (!Number.isInteger(size) || shape.indexOf(-1, open + 1) > 0) {
    throw check.shapeError(
      "reshape",
      [x],
      `${Shapes.show(shape)} does not fit: one size may be −1, and the others must divide ${Shapes.size(x.shape)} elements`
    )
  }
  return s.reshape(
    x,
    shape.map((each, i) => (i === open ? size : each))
  )
})

type Inferred<S extends Shape> = { readonly [I in keyof S]: S[I] extends -1 ? number : S[I] }

/**
 * All elements along one axis.
 *
 * @since 0.1.0
 * @category shapes
 */
export const flatten = <D extends DType>(self: Tensor<Shape, D>): Tensor<readonly [number], D> =>
  s.reshape(self, [Shapes.size(self.shape)]) as Tensor<readonly [number], D>

/**
 * Axes in a new order: axis `i` of the result is axis `permutation[i]` of the operand.
 *
 * @since 0.1.0
 * @category shapes
 */
export const transpose: {
  <const P extends Shape>(
    permutation: P
  ): Later<
    P,
    <S extends Shape, D extends DType>(
      self: Tensor<S, D> & Fits<Permute<S, P>>
    ) => Tensor<Ok<Permute<S, P>>, D>
  >
  <S extends Shape, D extends DType, const P extends Shape>(
    self: Tensor<S, D>,
    permutation: P & Fits<Permute<S, P>>
  ): Tensor<Ok<Permute<S, P>>, D>
} = dual(2, (x: Tensor, permutation: Shape) => {
  check.tensors("transpose", [x])
  const rank = x.shape.length
  return s.transpose(
    x,
    permutation.map((axis) => (axis < 0 ? axis + rank : axis))
  )
})

/**
 * The last two axes swapped: each matrix transposed.
 *
 * @since 0.1.0
 * @category shapes
 */
export const matrixTranspose = <S extends Shape, D extends DType>(
  self: Tensor<S, D>
): Tensor<Swapped<S>, D> => swapAxes(self, -1, -2) as unknown as Tensor<Swapped<S>, D>

type Swapped<S extends Shape> = S extends readonly [
  ...infer Batch extends Shape,
  infer M extends number,
  infer N extends number
]
  ? readonly [...Batch, N, M]
  : Shape

/**
 * Two axes swapped.
 *
 * @since 0.1.0
 * @category shapes
 */
export const swapAxes: {
  (
    a: number,
    b: number
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    a: number,
    b: number
  ): Tensor<SameRank<S>, D>
} = dual(3, (x: Tensor, a: number, b: number) => {
  const [i, k] = [check.axis("swapAxes", x, a), check.axis("swapAxes", x, b)]
  return s.transpose(
    x,
    x.shape.map((_, axis) => (axis === i ? k : axis === k ? i : axis))
  )
})

/**
 * A new axis of size 1, put before `axis` (at the end for −1).
 *
 * @since 0.1.0
 * @category shapes
 */
export const expandDims: {
  (axis: number): <D extends DType>(self: Tensor<Shape, D>) => Tensor<Shape, D>
  <D extends DType>(self: Tensor<Shape, D>, axis: number): Tensor<Shape, D>
} = dual(2, (x: Tensor, axis: number) => {
  const at = check.axis("expandDims", x, axis, x.shape.length + 1)
  return s.reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])
})

/**
 * Without an axis of size 1, or without all of them.
 *
 * @since 0.1.0
 * @category shapes
 */
export const squeeze: {
  <D extends DType>(self: Tensor<Shape, D>, axis?: number): Tensor<Shape, D>
  (axis: number): <D extends DType>(self: Tensor<Shape, D>) => Tensor<Shape, D>
} = dual(isFirst, (x: Tensor, axis?: number) => {
  if (axis === undefined)
    return s.reshape(
      x,
      x.shape.filter((size) => size !== 1)
    )
  const at = check.axis("squeeze", x, axis)
  if (x.shape[at] !== 1)
    throw check.shapeError("squeeze", [x], `axis ${axis} has size ${x.shape[at]}, not 1`)
  return s.reshape(
    x,
    x.shape.filter((_, i) => i !== at)
  )
})

/**
 * Repeated along axes of size 1, and along new ones in front, to fill a shape.
 *
 * @since 0.1.0
 * @category shapes
 */
export const broadcastTo: {
  <const S extends Shape>(
    shape: S
  ): Later<S, <D extends DType>(self: Tensor<Shape, D>) => Tensor<S, D>>
  <D extends DType, const S extends Shape>(self: Tensor<Shape, D>, shape: S): Tensor<S, D>
} = dual(2, s.broadcast)

/**
 * Each element `times` times in a row along an axis: `[a, b]` → `[a, a, b, b]`.
 *
 * @since 0.1.0
 * @category shapes
 */
export const repeat: {
  (
    times: number,
    options: { readonly axis: number }
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    times: number,
    options: { readonly axis: number }
  ): Tensor<SameRank<S>, D>
} = dual(isFirst, (x: Tensor, times: number, options: { readonly axis: number }) => {
  const axis = check.axis("repeat", x, options.axis)
  check.sizes("repeat", [x], [times])
  const [before, after] = [x.shape.slice(0, axis + 1), x.shape.slice(axis + 1)]
  const wide = s.broadcast(s.reshape(x, [...before, 1, ...after]), [...before, times, ...after])
  return s.reshape(
    wide,
    x.shape.map((size, i) => (i === axis ? size * times : size))
  )
})

/**
 * The whole `times` times along an axis: `[a, b]` → `[a, b, a, b]`.
 *
 * @since 0.1.0
 * @category shapes
 */
export const tile: typeof repeat = dual(
  isFirst,
  (x: Tensor, times: number, options: { readonly axis: number }) => {
    const axis = check.axis("tile", x, options.axis)
    check.sizes("tile", [x], [times])
    const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis)]
    const wide = s.broadcast(s.reshape(x, [...before, 1, ...after]), [...before, times, ...after])
    return s.reshape(
      wide,
      x.shape.map((size, i) => (i === axis ? size * times : size))
    )
  }
)

/**
 * A range along an axis, as NumPy's `start:stop:step`: negative bounds count from the end, bounds out
 * of range are moved into it, a negative step runs backwards.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range {
  readonly start?: number
  readonly stop?: number
  readonly step?: number
}

/**
 * Part of a tensor: a {@link Range} along one axis (`Tensor.slice(x, 0, { start: 1 })`), or one for each
 * of the first axes (`Tensor.slice(x, [{ stop: 4 }, {}, { step: -1 }])`).
 *
 * @since 0.1.0
 * @category shapes
 */
export const slice: {
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    axis: number,
    range: Range
  ): Tensor<SameRank<S>, D>
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    ranges: ReadonlyArray<Range>
  ): Tensor<SameRank<S>, D>
  (
    axis: number,
    range: Range
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
  (
    ranges: ReadonlyArray<Range>
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
} = dual(isFirst, (x: Tensor, which: number | ReadonlyArray<Range>, range?: Range) => {
  const ranges = x.shape.map((): Range => ({}))
  if (typeof which === "number") ranges[check.axis("slice", x, which)] = range ?? {}
  else {
    if (which.length > x.shape.length)
      throw check.shapeError("slice", [x], `has no ${which.length} axes`)
    which.forEach((each, axis) => {
      ranges[axis] = each
    })
  }
  const resolved = ranges.map((each, axis) => resolve(x, x.shape[axis], each))
  return s.slice(
    x,
    resolved.map(({ start }) => start),
    resolved.map(({ size }) => size),
    resolved.map(({ step }) => step)
  )
})

const resolve = (x: Tensor, size: number, { start, stop, step = 1 }: Range) => {
  if (!Number.isInteger(step) || step === 0) {
    throw check.shapeError("slice", [x], `the step ${step} must be a whole number other than 0`)
  }
  for (const each of [start, stop]) {
    if (each !== undefined && !Number.isInteger(each)) {
      throw check.shapeError("slice", [x], `the bound ${each} must be a whole number`)
    }
  }
  const forward = step > 0
  const [least, most] = forward ? [0, size] : [-1, size - 1]
  const bound = (value: number | undefined, otherwise: number): number =>
    value === undefined
      ? otherwise
      : Math.min(Math.max(value < 0 ? value + size : value, least), most)
  const from = bound(start, forward ? 0 : size - 1)
  const to = bound(stop, forward ? size : -1)
  const count = Math.max(0, Math.ceil((to - from) / step))
  return count === 0 ? { start: 0, size: 0, step: 1 } : { start: from, size: count, step }
}

/**
 * One element along an axis (the first unless told), which is gone; −1 is the last.
 *
 * @since 0.1.0
 * @category shapes
 */
export const at: {
  <D extends DType>(
    self: Tensor<Shape, D>,
    index: number,
    options?: { readonly axis?: number }
  ): Tensor<Shape, D>
  (
    index: number,
    options?: { readonly axis?: number }
  ): <D extends DType>(self: Tensor<Shape, D>) => Tensor<Shape, D>
} = dual(isFirst, (x: Tensor, index: number, options?: { readonly axis?: number }) => {
  const axis = check.axis("at", x, options?.axis ?? 0)
  const size = x.shape[axis]
  const place = index < 0 ? index + size : index
  if (!Number.isInteger(index) || place < 0 || place >= size) {
    throw check.shapeError(
      "at",
      [x],
      `index ${index} is out of range along axis ${axis} of size ${size}`
    )
  }
  const one = s.slice(
    x,
    x.shape.map((_, i) => (i === axis ? place : 0)),
    x.shape.map((each, i) => (i === axis ? 1 : each))
  )
  return s.reshape(
    one,
    x.shape.filter((_, i) => i !== axis)
  )
})

/**
 * Reversed along axes (all unless told).
 *
 * @since 0.1.0
 * @category shapes
 */
export const flip: {
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    options?: { readonly axis?: number | ReadonlyArray<number> }
  ): Tensor<S, D>
  (options: {
    readonly axis?: number | ReadonlyArray<number>
  }): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<S, D>
} = dual(isFirst, (x: Tensor, options?: { readonly axis?: number | ReadonlyArray<number> }) => {
  const axes = check.axes("flip", x, options?.axis)
  const turned = (i: number) => axes.includes(i) && x.shape[i] > 1
  return s.slice(
    x,
    x.shape.map((size, i) => (turned(i) ? size - 1 : 0)),
    x.shape,
    x.shape.map((_, i) => (turned(i) ? -1 : 1))
  )
})

/**
 * What stands beyond the borders: one value (`constant`, 0 unless told), the tensor mirrored without its
 * border element (`reflect`), or the border element (`edge`).
 *
 * @since 0.1.0
 * @category models
 */
export interface PadOptions {
  readonly mode?: "constant" | "reflect" | "edge"
  readonly value?: number
}

/**
 * Widened by `[before, after]` elements along each axis.
 *
 * @since 0.1.0
 * @category shapes
 */
export const pad: {
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    widths: ReadonlyArray<readonly [before: number, after: number]>,
    options?: PadOptions
  ): Tensor<SameRank<S>, D>
  (
    widths: ReadonlyArray<readonly [before: number, after: number]>,
    options?: PadOptions
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
} = dual(
  isFirst,
  (
    x: Tensor,
    widths: ReadonlyArray<readonly [before: number, after: number]>,
    options: PadOptions = {}
  ) => {
    if (widths.length !== x.shape.length) {
      throw check.shapeError(
        "pad",
        [x],
        `needs one [before, after] for each axis, but has ${widths.length}`
      )
    }
    const mode = options.mode ?? "constant"
    check.choice("pad", [x], "`mode`", mode, ["constant", "reflect", "edge"])
    if (mode === "constant") {
      return s.pad(
        x,
        widths.map(([low]) => low),
        widths.map(([, high]) => high),
        options.value ?? 0
      )
    }
    return widths.reduce((y, [low, high], axis) => {
      if (low === 0 && high === 0) return y
      const n = y.shape[axis]
      const limit = mode === "reflect" ? n - 1 : n === 0 ? 0 : Number.POSITIVE_INFINITY
      if (low > limit || high > limit || low < 0 || high < 0) {
        throw check.shapeError(
          "pad",
          [x],
          `cannot ${mode} ${low} and ${high} elements along axis ${axis} of size ${n}`
        )
      }
      return s.concat(
        mode === "reflect" ? mirrored(y, axis, low, high) : extended(y, axis, low, high),
        axis
      )
    }, x)
  }
)

const part = (x: Tensor, axis: number, start: number, size: number, step: number): Tensor =>
  s.slice(
    x,
    x.shape.map((_, i) => (i === axis ? start : 0)),
    x.shape.map((each, i) => (i === axis ? size : each)),
    x.shape.map((_, i) => (i === axis ? step : 1))
  )

const mirrored = (x: Tensor, axis: number, low: number, high: number): Array<Tensor> => [
  ...(low > 0 ? [part(x, axis, low, low, -1)] : []),
  x,
  ...(high > 0 ? [part(x, axis, x.shape[axis] - 2, high, -1)] : [])
]

const extended = (x: Tensor, axis: number, low: number, high: number): Array<Tensor> => {
  const border = (start: number, size: number) =>
    s.broadcast(
      part(x, axis, start, 1, 1),
      x.shape.map((each, i) => (i === axis ? size : each))
    )
  return [
    ...(low > 0 ? [border(0, low)] : []),
    x,
    ...(high > 0 ? [border(x.shape[axis] - 1, high)] : [])
  ]
}

/**
 * Tensors one after the other along an axis (the first unless told); all other sizes agree.
 *
 * @since 0.1.0
 * @category shapes
 */
export const concat = <S extends Shape, D extends DType>(
  tensors:
    | readonly [Tensor<S, D>, ...ReadonlyArray<Tensor<SameRank<NoInfer<S>>, NoInfer<D>>>]
    | ReadonlyArray<Tensor<S, D>>,
  options?: { readonly axis?: number }
): Tensor<SameRank<S>, D> => {
  if (tensors.length === 0) throw check.shapeError("concat", [], "needs at least one tensor")
  return s.concat(tensors, check.axis("concat", tensors[0], options?.axis ?? 0)) as Tensor<
    SameRank<S>,
    D
  >
}

/**
 * Tensors of one shape along a new axis (the first unless told).
 *
 * @since 0.1.0
 * @category shapes
 */
export const stack = <D extends DType>(
  tensors: ReadonlyArray<Tensor<Shape, D>>,
  options?: { readonly axis?: number }
): Tensor<Shape, D> => {
  if (tensors.length === 0) throw check.shapeError("stack", [], "needs at least one tensor")
  const axis = check.axis("stack", tensors[0], options?.axis ?? 0, tensors[0].shape.length + 1)
  return s.concat(
    tensors.map((each) =>
      s.reshape(each, [...each.shape.slice(0, axis), 1, ...each.shape.slice(axis)])
    ),
    axis
  ) as Tensor<Shape, D>
}

/**
 * Parts along an axis (the first unless told): `parts` equal ones, or ones of the given sizes.
 *
 * @since 0.1.0
 * @category shapes
 */
export const split: {
  <S extends Shape, D extends DType>(
    self: Tensor<S, D>,
    parts: number | ReadonlyArray<number>,
    options?: { readonly axis?: number }
  ): ReadonlyArray<Tensor<SameRank<S>, D>>
  (
    parts: number | ReadonlyArray<number>,
    options?: { readonly axis?: number }
  ): <S extends Shape, D extends DType>(self: Tensor<S, D>) => ReadonlyArray<Tensor<SameRank<S>, D>>
} = dual(
  isFirst,
  (x: Tensor, parts: number | ReadonlyArray<number>, options?: { readonly axis?: number }) => {
    const axis = check.axis("split", x, options?.axis ?? 0)
    const total = x.shape[axis]
    if (typeof parts === "number" && !(Number.isInteger(parts) && parts > 0)) {
      throw check.shapeError("split", [x], `${parts} parts are not a whole number of at least 1`)
    }
    const sizes =
      typeof parts === "number" ? Array.from({ length: parts }, () => total / parts) : parts
    if (
      sizes.some((size) => !Number.isInteger(size)) ||
      sizes.reduce((a, b) => a + b, 0) !== total
    ) {
      throw check.shapeError(
        "split",
        [x],
        `axis ${axis} of size ${total} does not split into ${typeof parts === "number" ? `${parts} equal parts` : Shapes.show(parts)}`
      )
    }
    let start = 0
    return sizes.map((size) => {
      start += size
      return part(x, axis, start - size, size, 1)
    })
  }
)

/**
 * Elements at `indices` along an axis (the first unless told), whose place the indices' axes take: `[5, 3]`
 * at indices `[2, 2]` → `[2, 2, 3]`. Negative indices count from the end; one out of range is a
 * `ShapeError` in a list, and in a tensor a `DeviceError` when the program runs.
 *
 * @since 0.1.0
 * @category indexing
 */
export const take: {
  <D extends DType>(
    self: Tensor<Shape, D>,
    indices: Tensor<Shape, Integer> | ReadonlyArray<number>,
    options?: { readonly axis?: number }
  ): Tensor<Shape, D>
  (
    indices: Tensor<Shape, Integer> | ReadonlyArray<number>,
    options?: { readonly axis?: number }
  ): <D extends DType>(self: Tensor<Shape, D>) => Tensor<Shape, D>
} = dual(
  (args) => isTensor(args[0]) && (isTensor(args[1]) || Array.isArray(args[1])),
  (x: Tensor, indices: Tensor | ReadonlyArray<number>, options?: { readonly axis?: number }) =>
    taken(x, indices, check.axis("take", x, options?.axis ?? 0))
)

const taken = (x: Tensor, indices: Tensor | ReadonlyArray<number>, axis: number): Tensor => {
  if (isTensor(indices)) return s.gather(x, indices, axis)
  const size = x.shape[axis]
  for (const index of indices) {
    if (!Number.isInteger(index) || index < -size || index >= size) {
      throw check.shapeError(
        "take",
        [x],
        `index ${index} is out of range along axis ${axis} of size ${size}`
      )
    }
  }
  const data = Int32Array.from(indices)
  return s.gather(x, s.constant({ shape: [indices.length], dtype: "int32", data }), axis)
}

/**
 * For each place the element that `indices` names along an axis (the last unless told); the other sizes agree.
 *
 * @since 0.1.0
 * @category indexing
 */
export const takeAlong = <I extends Shape, D extends DType>(
  self: Tensor<Shape, D>,
  indices: Tensor<I, Integer>,
  options?: { readonly axis?: number }
): Tensor<I, D> => {
  const axis = check.axis("takeAlong", self, options?.axis ?? -1)
  const fits =
    indices.shape.length === self.shape.length &&
    indices.shape.every((size, i) => i === axis || size === self.shape[i])
  if (!fits) {
    throw check.shapeError(
      "takeAlong",
      [self, indices],
      `the sizes must agree on all axes but ${axis}`
    )
  }
  return r.takeAlong(self, indices, axis) as Tensor<I, D>
}

/**
 * Zeros of size `size` along an axis of the result (the first unless told), with `updates` added where
 * `indices` names: the adjoint of {@link take}. Indices may repeat.
 *
 * @since 0.1.0
 * @category indexing
 */
export const scatterAdd = <D extends Numeric>(
  indices: Tensor<Shape, Integer>,
  updates: Tensor<Shape, D>,
  options: { readonly size: number; readonly axis?: number }
): Tensor<Shape, D> => {
  check.tensors("scatterAdd", [indices, updates])
  // counted among the axes of the result: those of the updates, with one for all of the indices'
  const rank = updates.shape.length - indices.shape.length + 1
  const axis = check.axis("scatterAdd", updates, options.axis ?? 0, rank)
  return s.scatterAdd(indices, updates, axis, options.size) as Tensor<Shape, D>
}

/**
 * Number of axes, as a literal where it is known.
 *
 * @since 0.1.0
 * @category getters
 */
export const rank = <S extends Shape>(self: Tensor<S>): Rank<S> => self.shape.length

/**
 * Number of elements.
 *
 * @since 0.1.0
 * @category getters
 */
export const size = (self: Tensor): number => Shapes.size(self.shape)
