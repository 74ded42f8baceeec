import { demand } from "../internal/data.ts"
import { eachProduct, type Features, requireSameWidth, rowsOf } from "./features.ts"
import { between, eigenvalues, factor } from "./symmetric.ts"

/**
 * A normal distribution in d dimensions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Gaussian {
  /** `[d]` */
  readonly mean: Float64Array | ReadonlyArray<number>
  /** `[d, d]`, symmetric, row-major. */
  readonly covariance: Float64Array | ReadonlyArray<number>
}

/**
 * What is known of a set of features when they themselves are forgotten: its memory is d², however many there are. Those of two sets
 * make those of both ({@link merge}).
 *
 * @since 0.1.0
 * @category models
 */
export interface Moments {
  /** How many there are. */
  readonly count: number
  /** `[d]` */
  readonly mean: Float64Array
  /** Σ (x − mean)(x − mean)ᵀ, `[d, d]`, row-major. */
  readonly scatter: Float64Array
}

/** As many rows as are centred at once. */
const block = 64

/**
 * The moments of features `[n, d]`, the mean first and then the deviations from it. Throws `DataError` where features are not finite,
 * or none.
 *
 * @since 0.1.0
 * @category moments
 */
export const moments = (features: Features): Moments => {
  const { n, d, rows } = rowsOf("Metrics.moments", features, 1)
  const mean = new Float64Array(d)
  for (const row of rows) for (let k = 0; k < d; k++) mean[k] += row[k]
  for (let k = 0; k < d; k++) mean[k] /= n
  const scatter = new Float64Array(d * d)
  for (let start = 0; start < n; start += block) {
    const some = rows.slice(start, start + block)
    // in blocks, so that all of them stay in the cache
    const columns = Array.from({ length: d }, (_, k) =>
      Float64Array.from(some, (row) => row[k] - mean[k])
    )
    const add = (a: number, b: number, product: number) => {
      scatter[a * d + b] += product
    }
    eachProduct(columns, columns, add, { upper: true })
  }
  for (let a = 0; a < d; a++) for (let b = 0; b < a; b++) scatter[a * d + b] = scatter[b * d + a]
  return { count: n, mean, scatter }
}

/**
 * The moments of two sets together (Chan et al. 1983, The American Statistician 37, eq. 1.5), which loses nothing where the means are
 * large beside the deviations. A stream of batches is `Stream.runFold`ed with it.
 *
 * ```ts
 * const all = batches.map(Metrics.moments).reduce(Metrics.merge)
 * ```
 *
 * Throws `DataError` for features of different widths.
 *
 * @since 0.1.0
 * @category moments
 */
export const merge = (a: Moments, b: Moments): Moments => {
  const d = a.mean.length
  requireSameWidth("Metrics.merge", d, b.mean.length)
  const count = a.count + b.count
  const share = b.count / count
  const between = a.mean.map((each, k) => b.mean[k] - each)
  const weight = a.count * share
  const scatter = new Float64Array(d * d)
  for (let i = 0, at = 0; i < d; i++) {
    const factor = weight * between[i]
    for (let j = 0; j < d; j++, at++) {
      scatter[at] = a.scatter[at] + b.scatter[at] + factor * between[j]
    }
  }
  return { count, mean: a.mean.map((each, k) => each + share * between[k]), scatter }
}

/**
 * The normal distribution of the same mean and covariance, the latter by n − 1. Throws `DataError` for fewer than two.
 *
 * @since 0.1.0
 * @category moments
 */
export const gaussian = ({ count, mean, scatter }: Moments): Gaussian => {
  demand(
    count >= 2,
    "Metrics.gaussian",
    "options",
    () => `a covariance needs at least 2 items, but there ${count === 1 ? "is 1" : `are ${count}`}`
  )
  return { mean, covariance: scatter.map((each) => each / (count - 1)) }
}

const traceOf = (data: ArrayLike<number>, d: number): number => {
  let sum = 0
  for (let i = 0; i < d; i++) sum += data[i * (d + 1)]
  return sum
}

/** tr (A^½ B A^½)^½ */
const crossOf = (a: ArrayLike<number>, b: ArrayLike<number>, d: number): number => {
  const [first, second] = [factor(a, d), factor(b, d)]
  const product =
    first.columns.length <= second.columns.length ? between(first, b) : between(second, a)
  return eigenvalues(product).reduce((sum, each) => sum + Math.sqrt(Math.max(0, each)), 0)
}

/**
 * The squared Fréchet distance of two normal distributions (Dowson and Landau 1982, J. Multivariate Analysis 12),
 *
 *     |μ₁ − μ₂|² + tr A + tr B − 2 tr (A^½ B A^½)^½
 *
 * The last trace is the sum of the roots of the eigenvalues of Fᵀ B F, where A = F Fᵀ: a symmetric matrix as large as the rank of A, or of
 * B where that is less, so that nothing becomes complex. What is negative there by rounding counts as 0, and so does a distance that is.
 * Where covariances are singular, rounding of one part in 10¹⁶ of the largest eigenvalue has a root of one in 10⁸, which is as exact as the
 * distance is then.
 *
 * Throws `DataError` where sizes do not belong together, or numbers are not finite. Time grows with d³: half a second for d = 512, a
 * quarter of a minute for d = 2048, and half of that where one of them is of 1000 features; nothing else runs meanwhile.
 *
 * @since 0.1.0
 * @category metrics
 */
export const frechet = (a: Gaussian, b: Gaussian): number => {
  const what = "Metrics.frechet"
  const d = a.mean.length
  requireSameWidth(what, d, b.mean.length)
  demand(d > 0, what, "shape", () => "the means have no numbers in them")
  for (const { mean, covariance } of [a, b]) {
    demand(
      covariance.length === d * d,
      what,
      "shape",
      () => `a mean of ${d} numbers needs a covariance of ${d * d}, not of ${covariance.length}`
    )
    demand(
      [mean, covariance].every((all) => all.every(Number.isFinite)),
      what,
      "value",
      () => "means and covariances must be finite"
    )
  }
  let distance = traceOf(a.covariance, d) + traceOf(b.covariance, d)
  for (let k = 0; k < d; k++) distance += (a.mean[k] - b.mean[k]) ** 2
  const cross = crossOf(a.covariance, b.covariance, d)
  return Math.max(0, distance - 2 * cross)
}

/**
 * The Fréchet distance of two sets of features `[n, d]` (Heusel et al. 2017, arXiv:1706.08500), or of their {@link Moments}: FID, if
 * the features are Inception's. See {@link frechet} for how, and how long it takes.
 *
 * It depends on the extractor, on how images are resized for it, and on n (a set of finite size is farther from everything): compare
 * only what has these in common.
 *
 * Throws `DataError` for features that are not finite or of different widths, and for fewer than 2.
 *
 * @since 0.1.0
 * @category metrics
 */
export const fid = (a: Features | Moments, b: Features | Moments): number => {
  const [first, second] = [a, b].map((each) => gaussian("scatter" in each ? each : moments(each)))
  return frechet(first, second)
}
