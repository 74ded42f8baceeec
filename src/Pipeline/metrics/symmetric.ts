/** Symmetric matrices in float64: factors, and eigenvalues. */
import { eachProduct } from "./features.ts"

/** A matrix without what is above its diagonal: row i has i + 1 numbers. */
export type Triangle = ReadonlyArray<Float64Array>

const epsilon = Number.EPSILON

/** x·y of the first numbers, as two sums of two side by side, since each addition waits for the one before. */
const dot = (x: Float64Array, y: Float64Array, n: number): number => {
  const whole = n - (n % 4)
  let a = 0
  let b = 0
  for (let k = 0; k < whole; k += 4) {
    a += x[k] * y[k] + x[k + 1] * y[k + 1]
    b += x[k + 2] * y[k + 2] + x[k + 3] * y[k + 3]
  }
  for (let k = whole; k < n; k++) a += x[k] * y[k]
  return a + b
}

/** F of a positive semi-definite matrix F Fᵀ, whose rows and columns are in another order. */
export interface Factor {
  /** As many as the matrix's rank; column j has zeros in its first j places. */
  readonly columns: ReadonlyArray<Float64Array>
  /** For each place its row in the matrix. */
  readonly order: Int32Array
}

/**
 * Cholesky's factor of a matrix `[d, d]`, row-major, the greatest pivots first, up to where what is left is rounding (Higham 1990, "Analysis
 * of the Cholesky decomposition of a semi-definite matrix").
 */
export const factor = (matrix: ArrayLike<number>, d: number): Factor => {
  const order = Int32Array.from({ length: d }, (_, i) => i)
  const rows = Array.from({ length: d }, () => new Float64Array(d))
  const left = Float64Array.from(order, (i) => matrix[i * (d + 1)])
  const least = d * epsilon * left.reduce((a, b) => Math.max(a, b), 0)
  const swap = (list: { [i: number]: unknown }, i: number, j: number) => {
    const kept = list[i]
    list[i] = list[j]
    list[j] = kept
  }
  let rank = 0
  for (; rank < d; rank++) {
    let pivot = rank
    for (let i = rank + 1; i < d; i++) if (left[i] > left[pivot]) pivot = i
    if (!(left[pivot] > least)) break
    for (const list of [order, rows, left]) swap(list, rank, pivot)
    const root = Math.sqrt(left[rank])
    const [top, from] = [rows[rank], order[rank] * d]
    top[rank] = root
    for (let i = rank + 1; i < d; i++) {
      const value = (matrix[from + order[i]] - dot(rows[i], top, rank)) / root
      rows[i][rank] = value
      left[i] -= value * value
    }
  }
  const columns = Array.from({ length: rank }, (_, j) => Float64Array.from(rows, (row) => row[j]))
  return { columns, order }
}

/** Fᵀ M F of a factor and a symmetric matrix `[d, d]`. */
export const between = ({ columns, order }: Factor, matrix: ArrayLike<number>): Triangle => {
  const d = order.length
  const rows = Array.from(order, (i) => Float64Array.from(order, (j) => matrix[i * d + j]))
  const from = (j: number) => j
  const products = columns.map(() => new Float64Array(d))
  const put = (i: number, j: number, product: number) => {
    products[j][i] = product
  }
  eachProduct(rows, columns, put, { from })
  const result = columns.map((_, i) => new Float64Array(i + 1))
  const keep = (j: number, i: number, product: number) => {
    if (j <= i) result[i][j] = product
  }
  eachProduct(products, columns, keep, { upper: true, from })
  return result
}

/**
 * The eigenvalues of a matrix, in no order. Householder's reflections make it tridiagonal, from the last row on (Martin, Reinsch and Wilkinson
 * 1968, Numerische Mathematik 11), and the implicit QL method makes that diagonal (Dubrulle, Martin and Wilkinson 1968, ibid. 12).
 */
export const eigenvalues = (matrix: Triangle): Float64Array => {
  const n = matrix.length
  let scale = 0
  for (const row of matrix) for (const each of row) scale = Math.max(scale, Math.abs(each))
  if (scale === 0) return new Float64Array(n)
  const { diagonal, beside } = tridiagonal(matrix.map((row) => row.map((each) => each / scale)))
  ql(diagonal, beside)
  return diagonal.map((each) => each * scale)
}

/** A tridiagonal matrix of the same eigenvalues; `beside[i]` is in rows i and i + 1. The given rows are overwritten. */
const tridiagonal = (rows: Triangle) => {
  const n = rows.length
  const diagonal = new Float64Array(n)
  const beside = new Float64Array(n)
  // u qᵀ + q uᵀ is still to be taken from the rows before, by the last reflection
  let u: Float64Array = new Float64Array(n)
  let q: Float64Array = new Float64Array(n)
  for (let i = n - 1; i >= 0; i--) {
    const v = rows[i]
    for (let k = 0; k <= i; k++) v[k] -= u[i] * q[k] + q[i] * u[k]
    diagonal[i] = v[i]
    if (i === 0) break
    const norm = Math.sqrt(dot(v, v, i))
    const last = v[i - 1]
    const to = last < 0 ? norm : -norm
    beside[i - 1] = to
    v[i - 1] = last - to
    /** Half of v's square. */
    const half = norm * (norm + Math.abs(last))
    const product = sweep(rows, i, u, q, v)
    // what is less than that is nothing beside 1, and its square none that could be divided by
    const share = half < 1e-140 ? 0 : 1 / half
    const along = (dot(v, product, i) * share * share) / 2
    for (let k = 0; k < i; k++) product[k] = product[k] * share - along * v[k]
    u = v
    q = product
  }
  return { diagonal, beside }
}

/** Takes u qᵀ + q uᵀ from the first `n` rows, and multiplies them with v: at once, since most of the time goes into reading them. */
const sweep = (
  rows: Triangle,
  n: number,
  u: Float64Array,
  q: Float64Array,
  v: Float64Array
): Float64Array => {
  const product = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    const row = rows[i]
    const ui = u[i]
    const qi = q[i]
    const vi = v[i]
    let sum = 0
    for (let k = 0; k < i; k++) {
      const each = row[k] - (ui * q[k] + qi * u[k])
      row[k] = each
      sum += each * v[k]
      product[k] += each * vi
    }
    row[i] -= 2 * ui * qi
    product[i] += sum + row[i] * vi
  }
  return product
}

/** Makes a tridiagonal matrix diagonal, whose greatest numbers are about 1. */
const ql = (d: Float64Array, e: Float64Array): void => {
  const isZero = (i: number) =>
    !(Math.abs(e[i]) > epsilon * (Math.abs(d[i]) + Math.abs(d[i + 1]) + epsilon))
  for (let first = 0; first < d.length; first++) {
    for (;;) {
      let end = first
      while (end < d.length - 1 && !isZero(end)) end++
      if (end === first) break
      const slope = (d[first + 1] - d[first]) / (2 * e[first])
      const root = Math.sqrt(slope * slope + 1)
      let g = d[end] - d[first] + e[first] / (slope < 0 ? slope - root : slope + root)
      let sine = 1
      let cosine = 1
      let shift = 0
      let i = end - 1
      for (; i >= first; i--) {
        const f = sine * e[i]
        const b = cosine * e[i]
        const r = Math.sqrt(f * f + g * g)
        e[i + 1] = r
        if (r === 0) break
        sine = f / r
        cosine = g / r
        g = d[i + 1] - shift
        const both = (d[i] - g) * sine + 2 * cosine * b
        shift = sine * both
        d[i + 1] = g + shift
        g = cosine * both - b
      }
      d[i + 1] -= shift
      if (i < first) e[first] = g
      e[end] = 0
    }
  }
}
