/**
 * The error function erf x = 2/√π ∫₀ˣ exp(−t²) dt, to about one unit in the last place of `float64`.
 *
 * Near zero its Maclaurin series (NIST Digital Library of Mathematical Functions, 7.6.1); elsewhere
 * 1 − erfc x, where erfc x · exp(x²) is the rational Chebyshev approximation of W. J. Cody, "Rational
 * Chebyshev approximations for the error function", Mathematics of Computation 23 (1969), 631–637.
 */

/** The polynomial with these coefficients, highest power first, at x (Horner). */
const polynomial = (coefficients: ReadonlyArray<number>, x: number): number => {
  let y = 0
  for (let i = 0; i < coefficients.length; i++) y = y * x + coefficients[i]
  return y
}

/**
 * erf x = x + x · r(x²), where r has the coefficients 2/√π (−1)ⁿ / (n! (2n + 1)), the first one less 1:
 * small, so that its rounding errors hardly matter beside x. 20 terms reach below 2⁻⁵³ up to 1.
 */
const series = ((): ReadonlyArray<number> => {
  const coefficients = [0.128379167095512574]
  let factorial = 1
  for (let n = 1; n < 20; n++) {
    factorial *= -n
    coefficients.unshift(2 / Math.sqrt(Math.PI) / (factorial * (2 * n + 1)))
  }
  return coefficients
})()

const top = [
  2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
  2.98635138197400131e2, 8.8195222124176909e2, 1.71204761263407058e3, 2.05107837782607147e3,
  1.23033935479799725e3
]
const bottom = [
  1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
  3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3
]

export const erf = (x: number): number => {
  const size = Math.abs(x)
  if (size <= 1) return x + x * polynomial(series, x * x)
  // beyond 6 the distance to ±1 is less than half a unit in the last place
  if (size > 6) return Math.sign(x)
  // Cody's range ends at 4; what erfc still adds beyond is so small that a few digits of it do
  const complement = (Math.exp(-x * x) * polynomial(top, size)) / polynomial(bottom, size)
  return Math.sign(x) * (1 - complement)
}
