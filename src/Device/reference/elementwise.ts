/** Kernels of the elementwise primitives: operands are brought to the result's shape, then combined. */
import * as DType from "../../Tensor/DType.ts"
import type { Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import { erf as erfOf } from "./erf.ts"
import * as K from "./kernel.ts"

/** What elementwise kernels look at in a node. */
interface Specs {
  readonly inputs: ReadonlyArray<Spec>
  readonly outputs: ReadonlyArray<Spec>
}

type Kernel = (node: Specs) => K.Operation

/** Functions of one element. `words` are for `int32` and `uint32`, and only where these differ from floats. */
interface Unary {
  readonly floats: (x: number) => number
  readonly bigints?: (x: bigint) => number | bigint
}

interface Binary {
  readonly floats: (a: number, b: number) => number
  readonly words?: (a: number, b: number) => number
  readonly bigints?: (a: bigint, b: bigint) => number | bigint
}

const map = (from: Spec, to: Spec, f: (x: K.Value) => K.Value): K.Operation =>
  K.compute(([data]) => {
    const x = K.load(from.dtype, data)
    const y = K.lanes(to.dtype, x.length)
    for (let i = 0; i < y.length; i++) y[i] = f(x[i])
    return K.store(to.dtype, y)
  })

const one =
  ({ floats, bigints }: Unary): Kernel =>
  ({ inputs: [x], outputs: [y] }) =>
    map(x, y, K.unary(x.dtype, floats, bigints))

const two =
  ({ floats, words = floats, bigints }: Binary): Kernel =>
  ({ inputs: [a, b], outputs: [y] }) => {
    const f = K.binary(a.dtype, DType.isFloat(a.dtype) ? floats : words, bigints)
    const [left, right] = [reader(a, y.shape), reader(b, y.shape)]
    const size = Shape.size(y.shape)
    return K.compute((inputs) => {
      const [p, q] = [left(inputs[0]), right(inputs[1])]
      const out = K.lanes(y.dtype, size)
      for (let i = 0; i < size; i++) out[i] = f(p[i], q[i])
      return K.store(y.dtype, out)
    })
  }

/** Reads an operand, broadcast to `shape`. */
const reader = (
  { dtype, shape: from }: Spec,
  shape: Shape.Shape
): ((data: DType.Data) => K.Lanes) => {
  if (Shape.equals(from, shape)) return (data) => K.load(dtype, data)
  const layout = K.broadcasted(from, shape)
  return (data) => K.load(dtype, K.view(dtype, shape, data, layout))
}

const bit = (truth: boolean): number => (truth ? 1 : 0)

export const neg = one({ floats: (x) => -x, bigints: (x) => -x })
export const abs = one({ floats: Math.abs, bigints: (x) => (x < 0n ? -x : x) })
export const sign = one({ floats: Math.sign, bigints: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n) })
export const exp = one({ floats: Math.exp })
export const log = one({ floats: Math.log })
export const sqrt = one({ floats: Math.sqrt })
export const sin = one({ floats: Math.sin })
export const cos = one({ floats: Math.cos })
export const tan = one({ floats: Math.tan })
export const asin = one({ floats: Math.asin })
export const acos = one({ floats: Math.acos })
export const atan = one({ floats: Math.atan })
export const tanh = one({ floats: Math.tanh })
export const sigmoid = one({
  // each form where its exponential cannot overflow
  floats: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)))
})
export const erf = one({ floats: erfOf })
export const floor = one({ floats: Math.floor })
export const round = one({
  floats: (x) => {
    const low = Math.floor(x)
    const fraction = x - low
    const up = fraction > 0.5 || (fraction === 0.5 && low % 2 !== 0)
    // −0.3 rounds to −0, as in IEEE 754
    return (up ? low + 1 : low) || x * 0
  }
})
export const isNaN = one({ floats: (x) => bit(Number.isNaN(x)) })
export const not = one({ floats: (x) => 1 - x })

export const add = two({ floats: (a, b) => a + b, bigints: (a, b) => a + b })
export const sub = two({ floats: (a, b) => a - b, bigints: (a, b) => a - b })
export const mul = two({ floats: (a, b) => a * b, words: Math.imul, bigints: (a, b) => a * b })

const divisor = <T extends number | bigint>(a: T, b: T, zero: T): T => {
  if (b === zero) throw new Error(`divides ${a} by zero, which has no result among integers`)
  return b
}

export const div = two({
  floats: (a, b) => a / b,
  words: (a, b) => Math.trunc(a / divisor(a, b, 0)),
  bigints: (a, b) => a / divisor(a, b, 0n)
})

/** a − b ⌊a/b⌋, exactly: what `%` leaves has the dividend's sign. */
const remainderOf = (a: number, b: number): number => {
  const left = a % b
  if (left === 0) return b < 0 ? -0 : 0
  return left < 0 === b < 0 ? left : left + b
}

export const remainder = two({
  floats: remainderOf,
  words: (a, b) => remainderOf(a, divisor(a, b, 0)),
  bigints: (a, b) => {
    const left = a % divisor(a, b, 0n)
    return left === 0n || left < 0n === b < 0n ? left : left + b
  }
})

/** By squaring, modulo 2⁶⁴. A negative exponent gives the quotient, cut to an integer. */
const power = (base: bigint, exponent: bigint): bigint => {
  if (exponent < 0n) {
    if (base === 0n) throw new Error(`raises 0 to the power ${exponent}, which divides by zero`)
    if (base === 1n || base === -1n) return power(base, -exponent)
    return 0n
  }
  let result = 1n
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = BigInt.asIntN(64, result * base)
    base = BigInt.asIntN(64, base * base)
  }
  return result
}

export const pow = two({
  // IEEE 754 says 1 where JavaScript says NaN: 1^NaN, (±1)^±∞
  floats: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
  words: (a, b) => Number(BigInt.asIntN(32, power(BigInt(a), BigInt(b)))),
  bigints: power
})

export const minimum = two({ floats: Math.min, bigints: (a, b) => (a < b ? a : b) })
export const maximum = two({ floats: Math.max, bigints: (a, b) => (a > b ? a : b) })
export const equal = two({ floats: (a, b) => bit(a === b), bigints: (a, b) => bit(a === b) })
export const less = two({ floats: (a, b) => bit(a < b), bigints: (a, b) => bit(a < b) })
export const lessEqual = two({ floats: (a, b) => bit(a <= b), bigints: (a, b) => bit(a <= b) })
export const and = two({ floats: (a, b) => a & b })
export const or = two({ floats: (a, b) => a | b })
export const bitAnd = two({ floats: (a, b) => a & b })
export const bitOr = two({ floats: (a, b) => a | b })
export const bitXor = two({ floats: (a, b) => a ^ b })
// JavaScript shifts by the count modulo 32
export const shiftLeft = two({ floats: (a, b) => (b < 32 ? a << b : 0) })
export const shiftRight = two({ floats: (a, b) => (b < 32 ? a >>> b : 0) })

export const select: Kernel = ({ inputs: [condition, a, b], outputs: [y] }) => {
  const readers = [condition, a, b].map((each) => reader(each, y.shape))
  const size = Shape.size(y.shape)
  return K.compute((inputs) => {
    const [verdict, then, otherwise] = readers.map((read, i) => read(inputs[i]))
    const out = K.lanes(y.dtype, size)
    for (let i = 0; i < size; i++) out[i] = verdict[i] ? then[i] : otherwise[i]
    return K.store(y.dtype, out)
  })
}

export const cast: Kernel = ({ inputs: [x], outputs: [y] }) =>
  x.dtype === y.dtype ? K.same : map(x, y, conversion(x.dtype, y.dtype))

/** Most of a conversion happens when the value is stored; this does the rest. */
const conversion = (from: DType.DType, to: DType.DType): ((x: K.Value) => K.Value) => {
  switch (to) {
    case "bool":
      return K.unary(
        from,
        (x) => bit(x !== 0),
        (x) => bit(x !== 0n)
      )
    case "int64":
      // unspecified for what is not finite: 0, as for the other integers
      return K.unary(from, (x) => BigInt(Number.isFinite(x) ? Math.trunc(x) : 0))
    case "int32":
    case "uint32":
      return K.unary(
        from,
        (x) => x,
        (x) => Number(BigInt.asIntN(32, x))
      )
    case "float64":
      return K.unary(from, (x) => x, Number)
    default:
      return K.unary(from, (x) => x, sticky)
  }
}

/**
 * A number that rounds to `float32` and `float16` as the integer does: bits that `float64` has no room for
 * leave a one in its last place, so that rounding twice is rounding once.
 */
const sticky = (x: bigint): number => {
  if (BigInt.asIntN(53, x) === x) return Number(x)
  return Number((x >> 11n) | (x & 2047n ? 1n : 0n)) * 2048
}
