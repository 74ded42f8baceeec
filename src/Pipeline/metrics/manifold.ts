import { demandWhole } from "../internal/data.ts"
import { bothOf, eachDistance, type Features, type Rows } from "./features.ts"

/**
 * How two sets of features lie in each other.
 *
 * @since 0.1.0
 * @category models
 */
export interface Manifold {
  /** The share of the generated that lie among the real: quality. */
  readonly precision: number
  /** The share of the real that lie among the generated: variety. */
  readonly recall: number
  /** How many real neighbourhoods a generated one lies in, over k: can exceed 1. */
  readonly density: number
  /** The share of the real that have a generated one in their neighbourhood. */
  readonly coverage: number
}

/** For each row the squared distance to its k-th nearest neighbour in the same set. */
const radii = ({ rows }: Rows, k: number): Float64Array => {
  const nearest = new Float64Array(rows.length * k).fill(Number.POSITIVE_INFINITY)
  const meet = (i: number, distance: number) => {
    let at = (i + 1) * k - 1
    if (distance >= nearest[at]) return
    for (; at > i * k && nearest[at - 1] > distance; at--) nearest[at] = nearest[at - 1]
    nearest[at] = distance
  }
  const both = (i: number, j: number, distance: number) => {
    if (i >= j) return
    meet(i, distance)
    meet(j, distance)
  }
  eachDistance(rows, rows, both, { upper: true })
  return Float64Array.from(rows, (_, i) => nearest[(i + 1) * k - 1])
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991, eqs. 1 and 2), density and coverage (Naeem et al. 2020,
 * arXiv:2002.09797, eqs. 3 and 4) of generated features `[m, d]` beside real ones `[n, d]`. A feature's neighbourhood is the closed
 * ball that reaches to its k-th nearest neighbour in its own set, itself not counted.
 *
 * Time grows with (n + m)²·d. Throws `DataError` for features that are not finite or of different widths, and for k or fewer of them.
 *
 * @since 0.1.0
 * @category metrics
 */
export const precisionRecall = (
  real: Features,
  generated: Features,
  options: {
    /** 3 unless told. */
    readonly k?: number
  } = {}
): Manifold => {
  const { k = 3 } = options
  const what = "Metrics.precisionRecall"
  demandWhole(what, "`k`", k, 1)
  const [x, y] = bothOf(what, real, generated, k + 1)
  const [reachOfReal, reachOfGenerated] = [radii(x, k), radii(y, k)]
  const [amongReal, amongGenerated] = [new Uint32Array(y.n), new Uint8Array(x.n)]
  const covered = new Uint8Array(x.n)
  eachDistance(x.rows, y.rows, (i, j, distance) => {
    if (distance <= reachOfReal[i]) {
      amongReal[j]++
      covered[i] = 1
    }
    if (distance <= reachOfGenerated[j]) amongGenerated[i] = 1
  })
  const total = (all: Iterable<number>) => {
    let sum = 0
    for (const each of all) sum += each
    return sum
  }
  return {
    precision: total(amongReal.map((count) => Math.min(count, 1))) / y.n,
    recall: total(amongGenerated) / x.n,
    density: total(amongReal) / (k * y.n),
    coverage: total(covered) / x.n
  }
}
