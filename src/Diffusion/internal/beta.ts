/**
 * The beta distribution, of density x^(a − 1)(1 − x)^(b − 1)/B(a, b) on 0 to 1.
 */

/**
 * ∫ from 0 to x ≤ ½ of x^(a − 1)(1 − x)^(b − 1): x^a(1 − x)^b/a·Σₙ ∏ₖ₌₁ⁿ (a + b + k − 1)/(a + k)·x, where all terms are positive (DLMF 8.17.8).
 */
const incomplete = (x: number, a: number, b: number): number => {
  let [term, sum] = [1, 1]
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= ((a + b + k - 1) / (a + k)) * x
    sum += term
  }
  return ((x ** a * (1 - x) ** b) / a) * sum
}

/** The x ≤ ½ up to which the integral is this much, by halving log x. */
const lower = (wanted: number, a: number, b: number): number => {
  let [low, high] = [-745, Math.log(0.5)]
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (incomplete(Math.exp(middle), a, b) < wanted) low = middle
    else high = middle
  }
  return Math.exp((low + high) / 2)
}

/** The x below which a part p of the distribution lies. */
export const quantile = (p: number, a: number, b: number): number => {
  if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1
  const [left, right] = [incomplete(0.5, a, b), incomplete(0.5, b, a)]
  const whole = left + right
  return p * whole <= left ? lower(p * whole, a, b) : 1 - lower((1 - p) * whole, b, a)
}
