/**
 * Orders, measured.
 */

export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]

/** The root of the sum of squares; NaN where something is not finite. */
export const norm = (vector: Float64Array): number => {
  const size = Math.sqrt(vector.reduce((sum, each) => sum + each * each, 0))
  return Number.isFinite(size) ? size : Number.NaN
}

export const distance = (a: Float64Array, b: Float64Array): number =>
  norm(a.map((each, i) => each - b[i]))

/** What is missing at the end of n steps, beside how large a thing it is missing from. */
export interface Miss {
  readonly error: Float64Array
  readonly scale: number
}

interface Point {
  /** Step size in units of the largest. */
  readonly h: number
  readonly error: Float64Array
  readonly size: number
}

/** What is left of errors when a·h^p + b·h^(p + 1), with the best vectors a and b, is taken from them. */
const residual = (points: ReadonlyArray<Point>, p: number): number => {
  const rows = points.map(({ h, size }) => [h ** p / size, h ** (p + 1) / size] as const)
  const dot = (i: 0 | 1, j: 0 | 1) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)
  const [aa, ab, bb] = [dot(0, 0), dot(0, 1), dot(1, 1)]
  const determinant = aa * bb - ab * ab
  let [total, first, second] = [0, 0, 0]
  for (let c = 0; c < points[0].error.length; c++) {
    const values = points.map(({ error, size }) => error[c] / size)
    const [va, vb] = ([0, 1] as const).map((i) =>
      rows.reduce((sum, row, k) => sum + row[i] * values[k], 0)
    )
    const [a, b] = [(bb * va - ab * vb) / determinant, (aa * vb - ab * va) / determinant]
    first += a * a
    second += b * b
    rows.forEach((row, k) => {
      total += (values[k] - a * row[0] - b * row[1]) ** 2
    })
  }
  // with p one too small and a = 0 the fit would be as good: the first term must lead, at the smallest step
  return 4 * first < second ? Number.POSITIVE_INFINITY : total
}

/**
 * The order p for which a·h^p + b·h^(p + 1) comes closest to errors: they are vectors, so that leading terms of other
 * directions or signs do not blur it. Steps are as many as `most`, and then fewer and fewer; errors below `floor`, as a part of
 * their scale, are taken for rounding. Nothing where most are; NaN where the first is not finite.
 */
export const order = (
  missing: (n: number) => Miss,
  most: number,
  floor = 3e-14
): number | undefined => {
  const points: Array<Point> = []
  for (let n = Math.floor(most); n >= 3 && points.length < 5; n = Math.floor(n / 1.3)) {
    const { error, scale } = missing(n)
    const size = norm(error)
    if (Number.isNaN(size) && points.length === 0) return Number.NaN
    if (Number.isNaN(size)) break
    if (size > floor * scale) points.push({ h: most / n, error, size })
  }
  if (points.length < 3) return undefined
  const best = (from: number, to: number, by: number): number => {
    const tried = Array.from({ length: Math.round((to - from) / by) + 1 }, (_, i) => from + i * by)
    const residuals = tried.map((p) => residual(points, p))
    return tried[residuals.indexOf(Math.min(...residuals))]
  }
  const rough = best(0, 12, 0.25)
  return best(Math.max(rough - 0.25, 0), rough + 0.25, 0.02)
}

/** The slope of the straight line that is nearest to points. */
export const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const mean = (i: 0 | 1) => points.reduce((sum, point) => sum + point[i], 0) / points.length
  const [mx, my] = [mean(0), mean(1)]
  const up = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0)
  return up / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
}
