/**
 * The algorithms of `Random` and `HostRandom`, written once: over words and floats that are numbers
 * on the host and whole tensors in a graph.
 *
 * Floats are made with operations that IEEE 754 rounds correctly (`+ − × ÷ √`), so results are
 * equal bit for bit wherever each operation rounds once. The only other one, `log`, is taken of
 * powers of two and rounded to a whole number.
 */
import * as DType from "../DType.ts"
import { ShapeError } from "../TensorError.ts"

/** 32-bit words and arithmetic modulo 2³². */
export interface Words<W> {
  readonly word: (value: number) => W
  readonly add: (a: W, b: W) => W
  readonly mul: (a: W, b: W) => W
  readonly and: (a: W, b: W) => W
  readonly xor: (a: W, b: W) => W
  readonly left: (a: W, by: number) => W
  readonly right: (a: W, by: number) => W
  /** 1 where a < b, else 0. */
  readonly less: (a: W, b: W) => W
}

/** Floats of one dtype; each operation rounds once. */
export interface Floats<W, F> {
  readonly dtype: "float32" | "float64"
  readonly constant: (value: number) => F
  readonly fromWord: (word: W) => F
  readonly add: (a: F, b: F) => F
  readonly sub: (a: F, b: F) => F
  readonly mul: (a: F, b: F) => F
  readonly div: (a: F, b: F) => F
  readonly minimum: (a: F, b: F) => F
  readonly maximum: (a: F, b: F) => F
  readonly abs: (x: F) => F
  readonly sqrt: (x: F) => F
  readonly log: (x: F) => F
  readonly round: (x: F) => F
  /** `then` where a ≤ b, else `otherwise`. */
  readonly atMost: (a: F, b: F, then: F, otherwise: F) => F
}

const { fround } = Math

/** The arithmetic of single numbers. Words are kept as int32, which engines are fastest with. */
export const numbers: {
  readonly words: Words<number>
  readonly float32: Floats<number, number>
  readonly float64: Floats<number, number>
} = {
  words: {
    word: (value) => value | 0,
    add: (a, b) => (a + b) | 0,
    mul: Math.imul,
    and: (a, b) => a & b,
    xor: (a, b) => a ^ b,
    left: (a, by) => a << by,
    right: (a, by) => (a >>> by) | 0,
    less: (a, b) => (a >>> 0 < b >>> 0 ? 1 : 0)
  },
  float32: {
    dtype: "float32",
    constant: fround,
    fromWord: (word) => fround(word >>> 0),
    // what float64 computes of float32 operands rounds to the same as the exact result
    add: (a, b) => fround(a + b),
    sub: (a, b) => fround(a - b),
    mul: (a, b) => fround(a * b),
    div: (a, b) => fround(a / b),
    minimum: Math.min,
    maximum: Math.max,
    abs: Math.abs,
    sqrt: (x) => fround(Math.sqrt(x)),
    log: (x) => fround(Math.log(x)),
    round: Math.round,
    atMost: (a, b, then, otherwise) => (a <= b ? then : otherwise)
  },
  float64: {
    dtype: "float64",
    constant: (value) => value,
    fromWord: (word) => word >>> 0,
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    minimum: Math.min,
    maximum: Math.max,
    abs: Math.abs,
    sqrt: Math.sqrt,
    log: Math.log,
    round: Math.round,
    atMost: (a, b, then, otherwise) => (a <= b ? then : otherwise)
  }
}

/** The second word of the counter: what a block is for. The first word counts. */
export const purpose = { draw: 0, split: 1, fold: 2 } as const

const rotations = [13, 15, 26, 6, 17, 29, 16, 24]

/**
 * Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"):
 * for each key a bijection of the counter's two words.
 */
export const threefry =
  <W>({ word, add, xor, left, right }: Words<W>) =>
  (k0: W, k1: W, c0: W, c1: W): readonly [W, W] => {
    // the sum of two disjoint halves is their union, and cheaper on some devices
    const rotate = (x: W, by: number) => add(left(x, by), right(x, 32 - by))
    const keys = [k0, k1, xor(xor(k0, k1), word(0x1bd11bda))]
    let x1 = add(c1, k1)
    // the first round's addition; what does not count stays on the inside, where tensors are small
    let x0 = add(c0, add(k0, x1))
    x1 = xor(rotate(x1, rotations[0]), x0)
    for (let round = 1; round < 20; round++) {
      x0 = add(x0, x1)
      x1 = xor(rotate(x1, rotations[round % 8]), x0)
      if (round % 4 === 3) {
        const injection = (round + 1) / 4
        x0 = add(x0, keys[injection % 3])
        x1 = add(x1, add(keys[(injection + 1) % 3], word(injection)))
      }
    }
    return [x0, x1]
  }

/** ⌊(high·2³² + low)·span / 2⁶⁴⌋ for a span from 1 to 2³². */
export const scaled = <W>({ word, add, mul, and, right, less }: Words<W>) => {
  const upper = (a: W, b: number): W => {
    const bl = b & 0xffff
    const bh = b >>> 16
    const al = and(a, word(0xffff))
    const ah = right(a, 16)
    const low = right(mul(al, word(bl)), 16)
    if (bh === 0) return right(add(low, mul(ah, word(bl))), 16)
    const cross = mul(al, word(bh))
    const middle = add(add(low, and(cross, word(0xffff))), mul(ah, word(bl)))
    return add(add(mul(ah, word(bh)), right(cross, 16)), right(middle, 16))
  }
  return (high: W, low: W, span: number): W => {
    if (span === 2 ** 32) return high
    const carry = upper(low, span)
    const sum = add(mul(high, word(span)), carry)
    return add(upper(high, span), less(sum, carry))
  }
}

/** Significant bits of a float. */
export const digits = { float64: 53, float32: 24, float16: 11 } as const

/** A number as a dtype holds it. */
export const rounded = (dtype: DType.Float, value: number): number =>
  dtype === "float64"
    ? value
    : dtype === "float32"
      ? Math.fround(value)
      : DType.fromFloat16Bits(DType.toFloat16Bits(value))

/** The largest number of a dtype that is less than one that it has. */
const below = (dtype: DType.Float, value: number): number =>
  Math.min(
    rounded(dtype, value - Math.abs(value) * 1.25 * 2 ** -digits[dtype]),
    rounded(dtype, value - smallest[dtype])
  )

const smallest = { float64: 2 ** -1074, float32: 2 ** -149, float16: 2 ** -24 } as const

/** A span at least this long keeps its products with uniforms among the normal numbers. */
const shortest = { float64: 2 ** -960, float32: 2 ** -100 } as const

const rangeError = (operation: string, why: string): ShapeError =>
  new ShapeError({ operation, shapes: [], message: `${operation}: ${why}` })

/** How uniforms are moved: min + span·u, at most `last` where that might round to the maximum. */
export interface Interval {
  readonly min: number
  readonly span: number
  readonly last: number | undefined
}

export interface Bounds {
  readonly min?: number | undefined
  readonly max?: number | undefined
}

export const interval = (operation: string, dtype: DType.Float, bounds: Bounds): Interval => {
  const min = rounded(dtype, bounds.min ?? 0)
  const max = rounded(dtype, bounds.max ?? 1)
  const wide = dtype === "float64" ? "float64" : "float32"
  const span = rounded(wide, max - min)
  if (!(span >= shortest[wide] && Number.isFinite(span))) {
    throw rangeError(
      operation,
      `needs min < max as ${dtype} with a finite difference, but min is ${min} and max is ${max}`
    )
  }
  const largest = rounded(wide, min + rounded(wide, (1 - 2 ** -digits[dtype]) * span))
  return { min, span, last: rounded(dtype, largest) < max ? undefined : below(dtype, max) }
}

/** The first of some integers, and how many there are. */
export const range = (
  operation: string,
  { min = 0, max }: { readonly min?: number | undefined; readonly max: number }
) => {
  const whole = Number.isInteger(min) && Number.isInteger(max)
  if (!whole || !(min < max) || min < -(2 ** 31) || max > 2 ** 31) {
    throw rangeError(
      operation,
      `needs whole numbers -2^31 <= min < max <= 2^31, but min is ${min} and max is ${max}`
    )
  }
  return { first: min, count: max - min }
}

/** The words that stand for "less than this happens with probability p"; 2³² if it always does. */
export const threshold = (operation: string, p: number): number => {
  if (!(p >= 0 && p <= 1)) throw rangeError(operation, `a probability is from 0 to 1, not ${p}`)
  return Math.round(p * 2 ** 32)
}

/** A word of data for `foldIn`. */
export const data = (operation: string, value: number): number => {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
    throw rangeError(operation, `takes a whole number from 0 to 2^32 - 1, not ${value}`)
  }
  return value
}

/** A seed's two words, the upper one first: its value modulo 2⁶⁴. */
export const seedWords = (operation: string, seed: number | bigint): readonly [number, number] => {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw rangeError(operation, `a seed is a whole number below 2^53, or a bigint, not ${seed}`)
  }
  const bits = BigInt.asUintN(64, BigInt(seed))
  return [Number(bits >> 32n), Number(bits & 0xffffffffn)]
}

/**
 * Sorts by random words that make ties unlikely: two items tie in all of them with a probability
 * below 2⁻²⁰.
 */
export const sorts = (n: number): number => Math.max(1, Math.ceil((2 * Math.log2(n) + 19) / 32))

/**
 * What a truncated normal draws uniformly: `from` + `span`·u is the probability above it (`upper`),
 * below it (`lower`), or between 0 and it (`centre`).
 */
export interface Truncation {
  readonly side: "upper" | "lower" | "centre"
  readonly from: number
  readonly span: number
  readonly min: number
  readonly max: number
}

export const truncation = (operation: string, dtype: DType.Float, bounds: Bounds): Truncation => {
  const min = rounded(dtype, bounds.min ?? Number.NEGATIVE_INFINITY)
  const max = rounded(dtype, bounds.max ?? Number.POSITIVE_INFINITY)
  if (!(min < max)) {
    throw rangeError(operation, `needs min < max as ${dtype}, but min is ${min} and max is ${max}`)
  }
  const wide = dtype === "float64" ? "float64" : "float32"
  // probabilities resolve what is far out in a tail; what is near 0 the distance from ½ resolves
  const near = Math.max(-min, max) <= 1
  const side = near || (min < 0 && max > 0) ? "centre" : min >= 0 ? "upper" : "lower"
  const [from, to] =
    side === "upper"
      ? [above(max), above(min)]
      : side === "lower"
        ? [above(-min), above(-max)]
        : [central(min), central(max)]
  const span = rounded(wide, to - from)
  if (span < shortest[wide]) {
    throw rangeError(
      operation,
      `between ${min} and ${max} there is less probability than ${wide} can divide`
    )
  }
  return { side, from: rounded(wide, from), span, min, max }
}

const density = (x: number): number => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)

/** Probability that a normal is between 0 and x, negative for negative x. */
const central = (x: number): number => {
  if (Math.abs(x) > 3) return Math.sign(x) * (0.5 - above(Math.abs(x)))
  // φ(x)·Σ x^(2k+1)/(2k+1)!! has terms of one sign
  let term = x
  let sum = x
  for (let k = 3; Math.abs(term) > Math.abs(sum) * 1e-17; k += 2) {
    term *= (x * x) / k
    sum += term
  }
  return density(x) * sum
}

/** Probability that a normal is above x ≥ 0. */
const above = (x: number): number => {
  if (x <= 3) return 0.5 - central(x)
  if (x > 40) return 0
  // φ(x)/(x + 1/(x + 2/(x + …)))
  let fraction = x
  for (let k = 100; k > 0; k--) fraction = x + k / fraction
  return density(x) / fraction
}

/** Lowest powers first. */
type Polynomial = ReadonlyArray<number>

type Rational = readonly [numerator: Polynomial, denominator: Polynomial]

/**
 * `sine`: sin(2πx)/x in x², for |x| ≤ ¼. `logarithm`: −4·artanh(x)/x in x², for |x| ≤ 0.2. Both are
 * minimax in the relative error, which is below 2⁻²⁵ and 2⁻⁵⁴.
 *
 * `quantile`: Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution",
 * its PPND7 and PPND16: in the middle, and in the near and far tails.
 */
const coefficients: {
  readonly [D in "float32" | "float64"]: {
    readonly sine: Polynomial
    readonly logarithm: Polynomial
    readonly quantile: readonly [Rational, Rational, Rational]
  }
} = {
  float32: {
    sine: [
      6.2831854820251465, -41.341766357421875, 81.60863494873047, -76.72798156738281,
      40.875911712646484
    ],
    logarithm: [-4, -1.333338975906372, -0.799153208732605, -0.6072868704795837],
    quantile: [
      [
        [3.3871327179, 50.434271938, 159.29113202, 59.10937472],
        [1, 17.895169469, 78.757757664, 67.1875636]
      ],
      [
        [1.4234372777, 2.75681539, 1.3067284816, 0.17023821103],
        [1, 0.7370016425, 0.12021132975]
      ],
      [
        [6.657905115, 3.081226386, 0.42868294337, 0.017337203997],
        [1, 0.24197894225, 0.012258202635]
      ]
    ]
  },
  float64: {
    sine: [
      6.283185307179586, -41.34170224039928, 81.60524927591891, -76.70585973361864,
      42.05869274833507, -15.094602342963256, 3.8191976859749643, -0.7106534906294573,
      0.07295842647549754
    ],
    logarithm: [
      -4, -1.3333333333334536, -0.7999999999235299, -0.5714285878576115, -0.44444277363136897,
      -0.36372698556675165, -0.30500628906784616, -0.3073455937004088
    ],
    quantile: [
      [
        [
          3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
          45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727
        ],
        [
          1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077,
          21213.794301586595867, 39307.89580009271061, 28729.085735721942674, 5226.495278852854561
        ]
      ],
      [
        [
          1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055,
          3.64784832476320460504, 1.27045825245236838258, 0.24178072517745061177,
          0.0227238449892691845833, 7.7454501427834140764e-4
        ],
        [
          1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455,
          0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4,
          1.05075007164441684324e-9
        ]
      ],
      [
        [
          6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358,
          0.29656057182850489123, 0.026532189526576123093, 0.0012426609473880784386,
          2.71155556874348757815e-5, 2.01033439929228813265e-7
        ],
        [
          1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525,
          7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7,
          2.04426310338993978564e-15
        ]
      ]
    ]
  }
}

export type Distributions<W, F> = ReturnType<typeof distributions<W, F>>

/**
 * The distributions. Each takes one word for a `float32` and two, the upper one first, for a
 * `float64`.
 */
export const distributions = <W, F>(w: Words<W>, f: Floats<W, F>) => {
  const c = f.constant
  const precision = digits[f.dtype]
  const table = coefficients[f.dtype]
  const sine = table.sine.map(c)
  const logarithm = table.logarithm.map(c)
  const half = c(0.5)
  const one = c(1)
  const splitter = c(2 ** (precision - 1) + 1)
  const perDoubling = c(-2 * Math.LN2)

  const horner = (polynomial: ReadonlyArray<F>, x: F): F => {
    let y = polynomial[polynomial.length - 1]
    for (let i = polynomial.length - 2; i >= 0; i--) y = f.add(f.mul(y, x), polynomial[i])
    return y
  }

  const [middle, near, far] = table.quantile.map((each) => {
    const [numerator, denominator] = each.map((polynomial) => polynomial.map(c))
    return (x: F) => f.div(horner(numerator, x), horner(denominator, x))
  })

  /** The normal quantile of p, from p − ½ and −ln min(p, 1 − p). */
  const quantile = (centre: F, minusLogTail: F): F => {
    const inside = f.mul(centre, middle(f.sub(c(0.180625), f.mul(centre, centre))))
    const r = f.sqrt(minusLogTail)
    const distance = f.atMost(r, c(5), near(f.sub(r, c(1.6))), far(f.sub(r, c(5))))
    const outside = f.atMost(c(0), centre, distance, f.sub(c(0), distance))
    return f.atMost(f.abs(centre), c(0.425), inside, outside)
  }

  /** The upper `bits` bits as a number from 0 to 1 − 2^−bits; exact. */
  const fraction = (bits: number, high: W, low: W): F =>
    bits <= 32
      ? f.mul(f.fromWord(w.right(high, 32 - bits)), c(2 ** -bits))
      : f.add(
          f.mul(f.fromWord(high), c(2 ** -32)),
          f.mul(f.fromWord(w.right(low, 64 - bits)), c(2 ** -bits))
        )

  /** As {@link fraction}, with all bits but one, from the middles of the steps: neither 0 nor 1. */
  const open = (high: W, low: W): F => f.add(fraction(precision - 1, high, low), c(2 ** -precision))

  const moved = ({ min, span, last }: Interval, u: F): F => {
    const stretched = span === 1 ? u : f.mul(u, c(span))
    const placed = min === 0 ? stretched : f.add(stretched, c(min))
    return last === undefined ? placed : f.minimum(placed, c(last))
  }

  /** −2·ln x, for normal x. */
  const minusTwoLog = (x: F): F => {
    // the nearest power of two: all but one bit of x are rounded off (Dekker 1971)
    const big = f.mul(x, splitter)
    const power = f.sub(big, f.sub(big, x))
    const exponent = f.round(f.mul(f.log(power), c(Math.LOG2E)))
    // x/power is from 3/4 to 3/2, and its logarithm 2·artanh(s)
    const mantissa = f.div(x, power)
    const s = f.div(f.sub(mantissa, one), f.add(mantissa, one))
    return f.add(f.mul(exponent, perDoubling), f.mul(s, horner(logarithm, f.mul(s, s))))
  }

  return {
    uniform: (bits: number, to: Interval, high: W, low: W): F =>
      moved(to, fraction(bits, high, low)),

    /** Two normals' distance from the origin, √(−2·ln u): at most 6.8, or 9.5 with two words. */
    radius: (high: W, low: W): F => {
      const whole =
        precision > 32
          ? f.add(f.fromWord(high), f.mul(f.fromWord(low), c(2 ** -32)))
          : f.fromWord(high)
      const least = precision > 32 ? c(2 ** -33) : half
      return f.sqrt(minusTwoLog(f.mul(f.maximum(whole, least), c(2 ** -32))))
    },

    /**
     * −cos(2πp) for the phase p in the middle of a word's step. A quarter turn on (2³⁰ added to the
     * upper word) it is sin(2πp). The argument is folded to ±¼ turn exactly, and never 0.
     */
    wave: (high: W, low: W): F => {
      const middle = c(0.5 - 2 ** -(precision + 1))
      const distance = f.abs(f.sub(fraction(precision, high, low), middle))
      const x = f.sub(c(0.25), distance)
      return f.mul(x, horner(sine, f.mul(x, x)))
    },

    /** −ln(−ln u) */
    gumbel: (high: W, low: W): F => {
      const exponential = f.mul(minusTwoLog(open(high, low)), half)
      return f.mul(minusTwoLog(exponential), half)
    },

    truncated: ({ side, from, span, min, max }: Truncation, high: W, low: W): F => {
      const p = moved({ min: from, span, last: undefined }, open(high, low))
      const centre = side === "centre" ? p : side === "upper" ? f.sub(half, p) : f.sub(p, half)
      const tail =
        side === "centre" ? f.maximum(f.sub(half, f.abs(p)), c(2 ** -(precision + 1))) : p
      const x = quantile(centre, f.mul(minusTwoLog(tail), half))
      const least = min === Number.NEGATIVE_INFINITY ? x : f.maximum(x, c(min))
      return max === Number.POSITIVE_INFINITY ? least : f.minimum(least, c(max))
    },

    quantile
  }
}
