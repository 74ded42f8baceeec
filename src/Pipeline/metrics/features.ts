import { Shape } from "../../Tensor/index.ts"
import { demand } from "../internal/data.ts"

/**
 * Rows of numbers, `[n, d]`: what a network makes of n images, row-major. Host arrays of floats will do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Features {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | Float64Array | ReadonlyArray<number>
}

/** Throws a `DataError` for shapes of another rank, data that do not fill them, and too few items. */
export const requireShape = (
  what: string,
  { shape, data }: Features,
  axes: string,
  rank: number,
  least = 1
): void => {
  demand(
    shape.length === rank,
    what,
    "shape",
    () => `needs ${axes}, but is given ${Shape.show(shape)}`
  )
  demand(
    data.length === Shape.size(shape),
    what,
    "shape",
    () => `${Shape.show(shape)} has ${Shape.size(shape)} numbers, but is given ${data.length}`
  )
  const [n, ...rest] = shape
  demand(!rest.includes(0), what, "shape", () => `${Shape.show(shape)} has nothing in its items`)
  const few = n === 0 ? "empty" : "options"
  demand(n >= least, what, few, () => `needs at least ${least} items, but is given ${n}`)
}

/** Throws a `DataError` where a number is not finite. */
export const requireFinite = (what: string, { shape, data }: Features): void => {
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) {
      const item = Math.floor(i / Shape.size(shape.slice(1)))
      demand(false, what, "value", () => `item ${item} has ${data[i]}; all numbers must be finite`)
    }
  }
}

/** Throws a `DataError` unless two sets of features have the same width. */
export const requireSameWidth = (what: string, a: number, b: number): void =>
  demand(
    a === b,
    what,
    "shape",
    () => `features of ${a} numbers cannot be compared with features of ${b}; take one extractor`
  )

/** Rows in float64. */
export interface Rows {
  readonly n: number
  readonly d: number
  readonly rows: ReadonlyArray<Float64Array>
}

/** Features as rows; throws a `DataError` where they are none, or fewer than `least`. */
export const rowsOf = (what: string, features: Features, least: number): Rows => {
  requireShape(what, features, "features [n, d]", 2, least)
  requireFinite(what, features)
  const { shape, data } = features
  const [n, d] = shape
  const wide = data instanceof Float64Array ? data : Float64Array.from(data)
  return { n, d, rows: Array.from({ length: n }, (_, i) => wide.subarray(i * d, (i + 1) * d)) }
}

/** Two sets of features as rows of the same width. */
export const bothOf = (
  what: string,
  a: Features,
  b: Features,
  least: number
): readonly [Rows, Rows] => {
  const both = [rowsOf(what, a, least), rowsOf(what, b, least)] as const
  requireSameWidth(what, both[0].d, both[1].d)
  return both
}

/** x·y, or that of some of their numbers, as two sums of two side by side, since each addition waits for the one before. */
export const dot = (x: Float64Array, y: Float64Array, start = 0, end = x.length): number => {
  const whole = end - ((end - start) % 4)
  let a = 0
  let b = 0
  for (let k = start; k < whole; k += 4) {
    a += x[k] * y[k] + x[k + 1] * y[k + 1]
    b += x[k + 2] * y[k + 2] + x[k + 3] * y[k + 3]
  }
  for (let k = whole; k < end; k++) a += x[k] * y[k]
  return a + b
}

/** |x − y|², as {@link dot}. */
const squaredDistance = (x: Float64Array, y: Float64Array): number => {
  const { length } = x
  const whole = length - (length % 4)
  let a = 0
  let b = 0
  for (let k = 0; k < whole; k += 4) {
    const p = x[k] - y[k]
    const q = x[k + 1] - y[k + 1]
    const r = x[k + 2] - y[k + 2]
    const s = x[k + 3] - y[k + 3]
    a += p * p + q * q
    b += r * r + s * s
  }
  for (let k = whole; k < length; k++) a += (x[k] - y[k]) ** 2
  return a + b
}

/** Rows that lie in the processor's cache together. */
const tile = 64

/**
 * Visits all pairs of rows with their product x·y or their squared distance |x − y|². Of one set with itself (the same value twice)
 * it visits each pair of different rows once, i < j.
 */
export const eachPair = (
  kind: "product" | "distance",
  a: Rows,
  b: Rows,
  visit: (i: number, j: number, value: number) => void
): void => {
  const measure = kind === "product" ? dot : squaredDistance
  for (let start = 0; start < b.n; start += tile) {
    const end = Math.min(start + tile, b.n)
    for (let i = 0; i < a.n; i++) {
      for (let j = a === b ? Math.max(start, i + 1) : start; j < end; j++) {
        visit(i, j, measure(a.rows[i], b.rows[j]))
      }
    }
  }
}

/** The mean, and the standard deviation (of the population) about it. */
export const spreadOf = (values: ReadonlyArray<number>): Spread => {
  const mean = values.reduce((sum, each) => sum + each, 0) / values.length
  const square = values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / values.length
  return { mean, deviation: Math.sqrt(square) }
}

/**
 * A mean over several parts of the data, and the standard deviation of the parts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Spread {
  readonly mean: number
  readonly deviation: number
}
