/**
 * Other items made of a data set's: flipped, cropped, padded, resized.
 *
 * Items are `[channels, …space]`, images `[channels, height, width]`. What is random about an item comes of its draw's key alone (see
 * `Dataset.Draw`): it is the same whatever else is in the batch, another in each epoch, and the same again where a training goes on.
 *
 * ```ts
 * const data = digits.pipe(Augment.pad({ size: 32 }), Augment.crop({ padding: 2 }))
 * ```
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import { HostRandom, Shape } from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import { demand } from "./internal/data.ts"

/**
 * One size for all axes of space, or one for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Size = number | ReadonlyArray<number>

/**
 * What stands beyond an item's edge: a number, or `edge` for the nearest value at it.
 *
 * @since 0.1.0
 * @category models
 */
export type Fill = number | "edge"

type Self = Dataset.Dataset

/** Data first, and data last. */
interface Augmentation<O> {
  (options: O): (self: Self) => Self
  (self: Self, options: O): Self
}

/** With options that may be left out. */
interface OptionalAugmentation<O> {
  (options?: O): (self: Self) => Self
  (self: Self, options?: O): Self
}

const isData = (args: IArguments): boolean => Dataset.isDataset(args[0])

/** The axes of space of a data set's items. */
const spaceOf = ({ name, shape }: Self): ReadonlyArray<number> => {
  demand(
    shape.length > 1,
    name,
    "shape",
    () => `items must be [channels, …space] for this, not [${shape}]`
  )
  return shape.slice(1)
}

/** A size for each axis of space. */
const sizesOf = (self: Self, size: Size, least = 1): ReadonlyArray<number> => {
  const space = spaceOf(self)
  const sizes = typeof size === "number" ? space.map(() => size) : size
  demand(
    sizes.length === space.length && sizes.every((n) => Number.isInteger(n) && n >= least),
    self.name,
    "options",
    () =>
      `a size is one whole number of at least ${least} or ${space.length} of them, not ${JSON.stringify(size)}`
  )
  return sizes
}

const fillOf = (self: Self, fill: Fill): Fill => {
  demand(
    fill === "edge" || Number.isFinite(fill),
    self.name,
    "options",
    () => `fill is a number or "edge", not ${fill}`
  )
  return fill
}

/** Moves a window over an item: position x of an axis takes what is at x + the axis' offset. */
const shifted = (
  from: Float32Array,
  to: Float32Array,
  channels: number,
  before: ReadonlyArray<number>,
  after: ReadonlyArray<number>,
  offsets: ReadonlyArray<number>,
  fill: Fill
): void => {
  const last = before.length - 1
  const [width, wide] = [before[last], after[last]]
  const rows = Shape.size(after) / wide
  const position = after.slice(0, last).map(() => 0)
  const clamp = (x: number, size: number) => Math.min(size - 1, Math.max(0, x))
  const plane = Shape.size(before)
  for (let row = 0; row < rows; row++) {
    let start = 0
    let inside = true
    for (let axis = 0; axis < last; axis++) {
      const at = position[axis] + offsets[axis]
      const within = clamp(at, before[axis])
      inside &&= within === at
      start = start * before[axis] + within
    }
    for (let c = 0; c < channels; c++) {
      const source = c * plane + start * width
      const target = (c * rows + row) * wide
      if (typeof fill === "number" && !inside) {
        to.fill(fill, target, target + wide)
        continue
      }
      // of the row the part that lies in the item, and what is beyond
      const first = Math.min(wide, Math.max(0, -offsets[last]))
      const end = Math.max(first, Math.min(wide, width - offsets[last]))
      to.set(
        from.subarray(source + first + offsets[last], source + end + offsets[last]),
        target + first
      )
      to.fill(fill === "edge" ? from[source] : fill, target, target + first)
      to.fill(fill === "edge" ? from[source + width - 1] : fill, target + end, target + wide)
    }
    for (let axis = last - 1; axis >= 0 && ++position[axis] === after[axis]; axis--) {
      position[axis] = 0
    }
  }
}

/** Mirrors the last axis. */
const mirrored = (from: Float32Array, to: Float32Array, width: number): void => {
  for (let row = 0; row < from.length; row += width) {
    for (let x = 0; x < width; x++) to[row + x] = from[row + width - 1 - x]
  }
}

/**
 * Mirrors an item along its last axis, left and right, with probability `p` (½ unless told).
 *
 * @since 0.1.0
 * @category random
 */
export const flip: OptionalAugmentation<{ readonly p?: number | undefined }> = dual(
  isData,
  (self: Self, { p = 0.5 }: { readonly p?: number | undefined } = {}): Self => {
    const width = spaceOf(self).at(-1) as number
    demand(
      p >= 0 && p <= 1,
      self.name,
      "options",
      () => `p is a probability, from 0 to 1, not ${p}`
    )
    return Dataset.map(self, {
      as: `flip ${p}`,
      apply: (from, to, { key }) => {
        if (HostRandom.bits(key, [1]).data[0] < p * 2 ** 32) mirrored(from, to, width)
        else to.set(from)
      }
    })
  }
)

/**
 * - `size`: of the window; that of the items unless told
 * - `padding`: how far the window may reach beyond each edge; 0 unless told
 * - `fill`: what is there; −1 unless told, which is black
 *
 * @since 0.1.0
 * @category models
 */
export interface CropOptions {
  readonly size?: Size | undefined
  readonly padding?: Size | undefined
  readonly fill?: Fill | undefined
}

/**
 * A window of each item, at a place that is drawn: all are as likely.
 *
 * Throws `DataError` if the window is larger than the item with its padding.
 *
 * @since 0.1.0
 * @category random
 */
export const crop: Augmentation<CropOptions> = dual(
  isData,
  (self: Self, { size, padding = 0, fill = -1 }: CropOptions): Self => {
    const before = spaceOf(self)
    const after = size === undefined ? before : sizesOf(self, size)
    const around = sizesOf(self, padding, 0)
    fillOf(self, fill)
    const places = before.map((n, axis) => n + 2 * around[axis] - after[axis] + 1)
    demand(
      places.every((n) => n > 0),
      self.name,
      "options",
      () => `a window of [${after}] is larger than [${before}] with [${around}] around it`
    )
    const [channels] = self.shape
    return Dataset.map(self, {
      as: `crop ${JSON.stringify([after, around, fill])}`,
      shape: [channels, ...after],
      apply: (from, to, { key }) => {
        const { data: drawn } = HostRandom.bits(key, [before.length])
        const offsets = places.map((n, i) => Math.floor((drawn[i] / 2 ** 32) * n) - around[i])
        shifted(from, to, channels, before, after, offsets, fill)
      }
    })
  }
)

/** A window in the middle, or half a step before it along an axis where sizes are even and odd. */
const middle = (self: Self, as: string, after: ReadonlyArray<number>, fill: Fill): Self => {
  const before = spaceOf(self)
  const [channels] = self.shape
  const offsets = before.map((n, axis) => Math.floor((n - after[axis]) / 2))
  return Dataset.map(self, {
    as: `${as} ${JSON.stringify([after, fill])}`,
    shape: [channels, ...after],
    apply: (from, to) => shifted(from, to, channels, before, after, offsets, fill)
  })
}

/**
 * The middle of each item. Throws `DataError` if it is larger than the item.
 *
 * @since 0.1.0
 * @category exact
 */
export const centreCrop: Augmentation<{ readonly size: Size }> = dual(
  isData,
  (self: Self, { size }: { readonly size: Size }): Self => {
    const [before, after] = [spaceOf(self), sizesOf(self, size)]
    demand(
      after.every((n, axis) => n <= before[axis]),
      self.name,
      "options",
      () => `the middle [${after}] is larger than items of [${before}]: pad them`
    )
    return middle(self, "centreCrop", after, 0)
  }
)

/**
 * Puts each item in the middle of a larger one, such as 28×28 digits into 32×32, which a U-Net of four levels takes. What is around it is
 * `fill`, −1 unless told, which is black. Throws `DataError` if the items are larger already.
 *
 * ```ts
 * const data = Augment.pad(digits, { size: 32 })
 * ```
 *
 * @since 0.1.0
 * @category exact
 */
export const pad: Augmentation<{ readonly size: Size; readonly fill?: Fill | undefined }> = dual(
  isData,
  (self: Self, { size, fill = -1 }: { readonly size: Size; readonly fill?: Fill }): Self => {
    const [before, after] = [spaceOf(self), sizesOf(self, size)]
    demand(
      after.every((n, axis) => n >= before[axis]),
      self.name,
      "options",
      () => `[${after}] is smaller than items of [${before}]: crop or resize them`
    )
    return middle(self, "pad", after, fillOf(self, fill))
  }
)

/** For each output position of an axis the first input position, and the weights from there on. */
const triangles = (before: number, after: number) => {
  const scale = before / after
  const support = Math.max(1, scale)
  return Array.from({ length: after }, (_, x) => {
    const centre = (x + 0.5) * scale
    const first = Math.max(0, Math.floor(centre - support + 0.5))
    const end = Math.min(before, Math.floor(centre + support + 0.5))
    const raw = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs(first + i + 0.5 - centre) / support)
    )
    const sum = raw.reduce((a, b) => a + b, 0)
    return { first, weights: Float64Array.from(raw, (weight) => weight / sum) }
  })
}

/**
 * Brings each item to a size, linearly along each axis: an output is the mean of what is around its place, with weights that fall to 0 at
 * a distance of one step, of the coarser of both grids, so that nothing aliases. A pixel is a square, and its value that of the middle.
 *
 * Weights and sums are in double precision; the values stay within those given.
 *
 * @since 0.1.0
 * @category exact
 */
export const resize: Augmentation<{ readonly size: Size }> = dual(
  isData,
  (self: Self, { size }: { readonly size: Size }): Self => {
    const [before, after] = [spaceOf(self), sizesOf(self, size)]
    const tables = before.map((n, axis) => triangles(n, after[axis]))
    const [channels] = self.shape
    return Dataset.map(self, {
      as: `resize ${JSON.stringify(after)}`,
      shape: [channels, ...after],
      apply: (from, to) => {
        let values: Float32Array | Float64Array = from
        tables.forEach((table, axis) => {
          const outer = channels * Shape.size(after.slice(0, axis))
          const inner = Shape.size(before.slice(axis + 1))
          const next = new Float64Array(outer * table.length * inner)
          for (let o = 0; o < outer; o++) {
            table.forEach(({ first, weights }, x) => {
              const target = (o * table.length + x) * inner
              weights.forEach((weight, i) => {
                const source = (o * before[axis] + first + i) * inner
                for (let k = 0; k < inner; k++) next[target + k] += weight * values[source + k]
              })
            })
          }
          values = next
        })
        to.set(values)
      }
    })
  }
)
