/** Tests of distributions. */

/** Kolmogorov's √n·sup|F̂ − F|: above 1.95 with a probability of 0.001. */
export const kolmogorov = (x: Float32Array | Float64Array, cdf: (x: number) => number): number => {
  const sorted = x.slice().sort()
  let worst = 0
  sorted.forEach((each: number, i: number) => {
    const p = cdf(each)
    worst = Math.max(worst, p - i / sorted.length, (i + 1) / sorted.length - p)
  })
  return Math.sqrt(sorted.length) * worst
}

/** Φ(x) by Simpson's rule, from −12 on. */
export const phi = (() => {
  const h = 1 / 64
  const reach = 12
  const table = new Float64Array((2 * reach) / h + 1)
  const density = (x: number) => Math.exp(-x * x * 0.5) / Math.sqrt(2 * Math.PI)
  for (let i = 1; i < table.length; i++) {
    const x = i * h - reach
    table[i] = table[i - 1] + (h / 6) * (density(x - h) + 4 * density(x - h / 2) + density(x))
  }
  return (anywhere: number): number => {
    const x = Math.min(Math.max(anywhere, -reach), reach)
    const i = Math.floor((x + reach) / h)
    const from = i * h - reach
    const part = x - from
    return table[i] + (part / 6) * (density(from) + 4 * density(from + part / 2) + density(x))
  }
})()
