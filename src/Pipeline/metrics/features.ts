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

/** What each of two rows makes with each of two others, of their numbers from a place on. */
type Kernel = (
  x: Float64Array,
  u: Float64Array,
  y: Float64Array,
  v: Float64Array,
  start: number,
  found: Float64Array
) => void

// four at once, so that each number is read half as often, and no sum waits for the addition before
const products: Kernel = (x, u, y, v, start, found) => {
  const n = x.length
  let xy = 0
  let xv = 0
  let uy = 0
  let uv = 0
  for (let k = start; k < n; k++) {
    const xk = x[k]
    const uk = u[k]
    const yk = y[k]
    const vk = v[k]
    xy += xk * yk
    xv += xk * vk
    uy += uk * yk
    uv += uk * vk
  }
  found[0] = xy
  found[1] = xv
  found[2] = uy
  found[3] = uv
}

const distances: Kernel = (x, u, y, v, start, found) => {
  const n = x.length
  let xy = 0
  let xv = 0
  let uy = 0
  let uv = 0
  for (let k = start; k < n; k++) {
    const xk = x[k]
    const uk = u[k]
    const yk = y[k]
    const vk = v[k]
    xy += (xk - yk) * (xk - yk)
    xv += (xk - vk) * (xk - vk)
    uy += (uk - yk) * (uk - yk)
    uv += (uk - vk) * (uk - vk)
  }
  found[0] = xy
  found[1] = xv
  found[2] = uy
  found[3] = uv
}

/** Rows that lie in the processor's cache together. */
const tile = 16

/**
 * - `upper`: leaves out most of the pairs with i > j
 * - `from`: for products, the place before which a second row has nothing but zeros; it does not fall from row to row
 */
interface PairOptions {
  readonly upper?: boolean
  readonly from?: (j: number) => number
}

const eachPair =
  (kernel: Kernel) =>
  (
    a: ReadonlyArray<Float64Array>,
    b: ReadonlyArray<Float64Array>,
    visit: (i: number, j: number, value: number) => void,
    { upper = false, from = () => 0 }: PairOptions = {}
  ): void => {
    const found = new Float64Array(4)
    const lastA = a.length - 1
    const lastB = b.length - 1
    for (let start = 0; start <= lastB; start += tile) {
      const end = Math.min(start + tile, b.length)
      for (let i = 0; i < (upper ? Math.min(end, a.length) : a.length); i += 2) {
        for (let j = upper ? Math.max(start, i) : start; j < end; j += 2) {
          const p = Math.min(i + 1, lastA)
          const q = Math.min(j + 1, lastB)
          kernel(a[i], a[p], b[j], b[q], from(j), found)
          visit(i, j, found[0])
          if (q > j) visit(i, q, found[1])
          if (p > i) visit(p, j, found[2])
          if (p > i && q > j) visit(p, q, found[3])
        }
      }
    }
  }

/** Visits pairs of rows with their product x·y. */
export const eachProduct = eachPair(products)

/** Visits pairs of rows with their squared distance |x − y|². */
export const eachDistance = eachPair(distances)

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
