import { demand, demandWhole } from "../internal/data.ts"
import { type Features, rowsOf, type Spread, spreadOf } from "./features.ts"

/**
 * The Inception score (Salimans et al. 2016, arXiv:1606.03498) of a classifier's probabilities `[n, classes]`: e to the mean of
 * KL(p(y|x) ‖ p(y)), over consecutive parts of the rows; its mean and standard deviation over the parts. From 1, where all rows are
 * alike, to the number of classes.
 *
 * Throws `DataError` for rows that are no probabilities, and for more parts than rows.
 *
 * @since 0.1.0
 * @category metrics
 */
export const inceptionScore = (
  probabilities: Features,
  options: {
    /** How many parts; 10 unless told, as in the paper. */
    readonly splits?: number
  } = {}
): Spread => {
  const { splits = 10 } = options
  const what = "Metrics.inceptionScore"
  demandWhole(what, "`splits`", splits, 1)
  const { n, d, rows } = rowsOf(what, probabilities, splits)
  for (let i = 0; i < n; i++) {
    const sum = rows[i].reduce((total, each) => total + each, 0)
    demand(
      Math.abs(sum - 1) < 1e-3 && rows[i].every((each) => each >= 0),
      what,
      "value",
      () => `row ${i} is no probabilities: they are at least 0, and their sum is 1 (here ${sum})`
    )
  }
  const part = (start: number, end: number): number => {
    const marginal = new Float64Array(d)
    for (let i = start; i < end; i++) rows[i].forEach((p, k) => (marginal[k] += p / (end - start)))
    let divergence = 0
    for (let i = start; i < end; i++) {
      rows[i].forEach((p, k) => {
        if (p > 0) divergence += p * Math.log(p / marginal[k])
      })
    }
    return Math.exp(divergence / (end - start))
  }
  const bound = (k: number) => Math.floor((k * n) / splits)
  return spreadOf(Array.from({ length: splits }, (_, k) => part(bound(k), bound(k + 1))))
}
