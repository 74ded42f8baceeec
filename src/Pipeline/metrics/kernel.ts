import { HostRandom } from "../../Tensor/index.ts"
import { demand, demandWhole } from "../internal/data.ts"
import { bothOf, eachProduct, type Features, type Rows, type Spread, spreadOf } from "./features.ts"

const mmd = (a: Rows, b: Rows): number => {
  const { d } = a
  const kernel = (product: number) => (product / d + 1) ** 3
  const within = ({ n, rows }: Rows) => {
    let sum = 0
    const add = (i: number, j: number, product: number) => {
      if (i < j) sum += kernel(product)
    }
    eachProduct(rows, rows, add, { upper: true })
    return (2 * sum) / (n * (n - 1))
  }
  let across = 0
  eachProduct(a.rows, b.rows, (_, __, product) => {
    across += kernel(product)
  })
  return within(a) + within(b) - (2 * across) / (a.n * b.n)
}

/**
 * The kernel distance of two sets of features `[n, d]` and `[m, d]` (Bińkowski et al. 2018, arXiv:1801.01401): the squared maximum mean
 * discrepancy for the kernel k(x, y) = (x·y/d + 1)³, estimated without bias,
 *
 *     Σ_{i≠j} k(x_i, x_j) / n(n−1) + Σ_{i≠j} k(y_i, y_j) / m(m−1) − 2 Σ_{i,j} k(x_i, y_j) / nm
 *
 * KID, if the features are Inception's. It can be negative, and unlike {@link fid} does not depend on n on average. Papers often give
 * a thousand times as much. Time grows with (n + m)²·d: for many wide features take {@link kidOfSubsets}.
 *
 * Throws `DataError` for features that are not finite or of different widths, and for fewer than 2.
 *
 * @since 0.1.0
 * @category metrics
 */
export const kid = (a: Features, b: Features): number => {
  const [x, y] = bothOf("Metrics.kid", a, b, 2)
  return mmd(x, y)
}

/**
 * The mean of {@link kid} over pairs of random subsets, and its standard deviation over them, as the paper has it. Within a subset no row
 * is drawn twice.
 *
 * Throws `DataError` as `kid` does, and where a set has fewer rows than a subset.
 *
 * @since 0.1.0
 * @category metrics
 */
export const kidOfSubsets = (
  a: Features,
  b: Features,
  options: {
    /** How many; 100 unless told. */
    readonly subsets?: number
    /** Rows of each; 1000 unless told, or as many as the smaller set has. */
    readonly size?: number
    /** Which they are; 0 unless told. */
    readonly seed?: number
  } = {}
): Spread => {
  const what = "Metrics.kidOfSubsets"
  const both = bothOf(what, a, b, 2)
  const most = Math.min(both[0].n, both[1].n)
  const { subsets = 100, size = Math.min(1000, most), seed = 0 } = options
  demandWhole(what, "`subsets`", subsets, 1)
  demand(
    Number.isInteger(size) && size >= 2 && size <= most,
    what,
    "options",
    () =>
      `\`size\` must be a whole number from 2 to ${most}, the rows of the smaller set, not ${size}`
  )
  demand(
    Number.isSafeInteger(seed),
    what,
    "options",
    () => `\`seed\` must be a whole number below 2^53, not ${seed}`
  )
  const key = HostRandom.key(seed)
  return spreadOf(
    Array.from({ length: subsets }, (_, k) => {
      const [x, y] = both.map((rows, i) =>
        subset(rows, size, HostRandom.foldIn(HostRandom.foldIn(key, k), i))
      )
      return mmd(x, y)
    })
  )
}

const subset = ({ n, d, rows }: Rows, size: number, key: HostRandom.Key): Rows => {
  const chosen = HostRandom.permutation(key, n).data.subarray(0, size)
  return { n: size, d, rows: Array.from(chosen, (i) => rows[i]) }
}
