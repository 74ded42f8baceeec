/**
 * Functions that the runtime has for `float32` only, composed for `float64` to a few units in the
 * last place.
 */
import { type Arithmetic, arithmetic } from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"

/**
 * Coefficients of (atan(y) − y)/y³ in y² for |y| < 7/16, as in FreeBSD's `s_atan.c`.
 */
const atanCoefficients = [
  -3.33333333333329318027e-1, 1.99999999998764832476e-1, -1.42857142725034663711e-1,
  1.1111110405462355788e-1, -9.09088713343650656196e-2, 7.69187620504482999495e-2,
  -6.66107313738753120669e-2, 5.83357013379057348645e-2, -4.97687799461593236017e-2,
  3.6531572744216915527e-2, -1.62858201153657823623e-2
]

/** atan x for 0 ≤ x ≤ 1: twice the arc of half the angle. */
const atanOfRatio = ({ add, div, mul, call, polynomial }: Arithmetic, x: Value): Value => {
  const y = div(x, add(1, call("Sqrt", add(1, mul(x, x)))))
  const z = mul(y, y)
  const arc = add(y, mul(y, mul(z, polynomial(z, atanCoefficients))))
  return add(arc, arc)
}

/** atan x for x ≥ 0, infinity included. */
const atanOfPositive = (a: Arithmetic, x: Value): Value => {
  const inverted = a.less(1, x)
  const arc = atanOfRatio(a, a.where(inverted, a.div(1, x), x))
  return a.where(inverted, a.sub(Math.PI / 2, arc), arc)
}

export const atan = (e: Emitter, x: Value): Value => {
  const a = arithmetic(e, "float64")
  return a.mul(a.call("Sign", x), atanOfPositive(a, a.call("Abs", x)))
}

/** asin x = 2 atan(x / (1 + √(1 − x²))) */
export const asin = (e: Emitter, x: Value): Value => {
  const a = arithmetic(e, "float64")
  const cosine = a.call("Sqrt", a.mul(a.sub(1, x), a.add(1, x)))
  const arc = atanOfRatio(a, a.div(a.call("Abs", x), a.add(1, cosine)))
  return a.mul(a.call("Sign", x), a.add(arc, arc))
}

/** acos x = 2 atan √((1 − x) / (1 + x)) */
export const acos = (e: Emitter, x: Value): Value => {
  const a = arithmetic(e, "float64")
  const arc = atanOfPositive(a, a.call("Sqrt", a.div(a.sub(1, x), a.add(1, x))))
  return a.add(arc, arc)
}

/** π/2 in three parts: products of the first two with integers below 2²⁰ are exact. */
const quarterTurn = [1.57079632673412561417, 6.0771005063039659766e-11, 2.02226624879595063154e-21]

/** Coefficients of (sin r − r)/r³ and of (cos r − 1 + r²/2)/r⁴ in r², for |r| ≤ π/4 (FreeBSD's `k_sin.c`, `k_cos.c`). */
const sinCoefficients = [
  -1.66666666666666324348e-1, 8.33333333332248946124e-3, -1.98412698298579493134e-4,
  2.75573137070700676789e-6, -2.50507602534068634195e-8, 1.58969099521155010221e-10
]
const cosCoefficients = [
  4.16666666666666019037e-2, -1.38888888888741095749e-3, 2.48015872894767294178e-5,
  -2.75573143513906633035e-7, 2.0875723212981748279e-9, -1.13596475577881948265e-11
]

/** The quotient of the runtime's sine and cosine would lose its digits near the poles. */
export const tan = (e: Emitter, x: Value): Value => {
  const { add, sub, mul, div, call, polynomial, equal, where } = arithmetic(e, "float64")
  const turns = call("Round", mul(x, 2 / Math.PI))
  const r = quarterTurn.reduce<Value>((rest, part) => sub(rest, mul(turns, part)), x)
  const z = mul(r, r)
  const sine = add(r, mul(mul(r, z), polynomial(z, sinCoefficients)))
  const cosine = add(sub(1, mul(0.5, z)), mul(mul(z, z), polynomial(z, cosCoefficients)))
  const half = mul(turns, 0.5)
  const even = equal(half, call("Floor", half))
  return where(even, div(sine, cosine), div(call("Neg", cosine), sine))
}

/** Coefficients of erf(x)·√π/(2x) in x²: (−1)ⁿ / (n! (2n + 1)). */
const erfCoefficients = Array.from({ length: 22 }, (_, n) => {
  let factorial = 1
  for (let i = 2; i <= n; i++) factorial *= i
  return (n % 2 === 0 ? 1 : -1) / (factorial * (2 * n + 1))
})

/**
 * Taylor's series up to 1; beyond, the trapezoidal rule for erfc x = (x e^(−x²)/π) ∫ e^(−t²)/(t² + x²) dt, which
 * converges exponentially once the integrand's pole is accounted for (Hunter & Regan, 1972).
 */
export const erf = (e: Emitter, x: Value): Value => {
  const { add, sub, mul, div, min, call, polynomial, less, where } = arithmetic(e, "float64")
  // beyond 7 it is 1 to the last place, and no infinity can meet a zero
  const size = min(call("Abs", x), 7)
  const square = mul(size, size)
  const near = mul(mul(x, 2 / Math.sqrt(Math.PI)), polynomial(min(square, 1), erfCoefficients))
  const h = 0.5
  let sum = div(0.5, square)
  for (let k = 1; k <= 12; k++)
    sum = add(sum, div(Math.exp(-((k * h) ** 2)), add(square, (k * h) ** 2)))
  const decay = call("Exp", call("Neg", square))
  const rule = mul(mul(mul(size, (2 * h) / Math.PI), decay), sum)
  const pole = div(2, sub(call("Exp", mul(size, (2 * Math.PI) / h)), 1))
  const far = mul(call("Sign", x), sub(1, sub(rule, pole)))
  return where(less(size, 1), near, far)
}
