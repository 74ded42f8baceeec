import { dual } from "effect/Function"
import type { DType, Float, Numeric } from "../DType.ts"
import type { Node, Tensor } from "../Expression.ts"
import { apply, isTensor, output } from "../Expression.ts"
import * as check from "../internal/check.ts"
import { custom } from "../primitive/control.ts"
import * as p from "../primitive/elementwise.ts"
import { reshapePrimitive, scalar } from "../primitive/structure.ts"
import type { Broadcast, Fits, Later, Ok, Shape } from "../Shape.ts"
import { DTypeError } from "../TensorError.ts"

/**
 * A function of each element.
 *
 * @since 0.1.0
 * @category models
 */
export type Unary<K extends DType> = <S extends Shape, D extends K>(
  self: Tensor<S, D>
) => Tensor<S, D>

/**
 * A function of two elements. Shapes broadcast by NumPy's rule, dtypes must be equal; a number takes
 * the other operand's dtype.
 *
 * @since 0.1.0
 * @category models
 */
export interface Binary<K extends DType> {
  (that: number): <S extends Shape, D extends K>(self: Tensor<S, D>) => Tensor<S, D>
  <B extends Shape, D extends K>(
    that: Tensor<B, D>
  ): Later<
    D,
    <A extends Shape>(self: Tensor<A, D> & Fits<Broadcast<A, B>>) => Tensor<Ok<Broadcast<A, B>>, D>
  >
  <A extends Shape, D extends K>(self: Tensor<A, D>, that: number): Tensor<A, D>
  <B extends Shape, D extends K>(self: number, that: Tensor<B, D>): Tensor<B, D>
  <A extends Shape, B extends Shape, D extends K>(
    self: Tensor<A, D>,
    that: Tensor<B, NoInfer<D>> & Fits<Broadcast<A, B>>
  ): Tensor<Ok<Broadcast<A, B>>, D>
}

/**
 * A verdict on two elements; operands as in {@link Binary}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Comparison<K extends DType> {
  (that: number): <S extends Shape, D extends K>(self: Tensor<S, D>) => Tensor<S, "bool">
  <B extends Shape, D extends K>(
    that: Tensor<B, D>
  ): Later<
    D,
    <A extends Shape>(
      self: Tensor<A, D> & Fits<Broadcast<A, B>>
    ) => Tensor<Ok<Broadcast<A, B>>, "bool">
  >
  <A extends Shape, D extends K>(self: Tensor<A, D>, that: number): Tensor<A, "bool">
  <B extends Shape, D extends K>(self: number, that: Tensor<B, D>): Tensor<B, "bool">
  <A extends Shape, B extends Shape, D extends K>(
    self: Tensor<A, D>,
    that: Tensor<B, NoInfer<D>> & Fits<Broadcast<A, B>>
  ): Tensor<Ok<Broadcast<A, B>>, "bool">
}

const binary = (f: (a: Tensor, b: Tensor) => Tensor): never =>
  dual(2, (self: Tensor | number, that: Tensor | number) => f(...operands(self, that))) as never

const operands = (a: Tensor | number, b: Tensor | number): [Tensor, Tensor] => {
  check.tensors(
    "an operation on two elements",
    [a, b].filter((each) => typeof each !== "number")
  )
  if (typeof a !== "number") return [a, typeof b === "number" ? scalar(b, a.dtype) : b]
  if (typeof b !== "number") return [scalar(a, b.dtype), b]
  throw new DTypeError({
    operation: "Tensor",
    dtypes: [],
    message: "an operation on two plain numbers gives no tensor; wrap one with Tensor.scalar"
  })
}

const unary = <K extends DType>(f: (x: Tensor) => Tensor): Unary<K> => f as never

/**
 * @since 0.1.0
 * @category arithmetic
 */
export const add: Binary<Numeric> = binary(p.add)
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const sub: Binary<Numeric> = binary(p.sub)
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const mul: Binary<Numeric> = binary(p.mul)
/**
 * Quotient; of integers it is truncated towards zero.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const div: Binary<Numeric> = binary(p.div)
/**
 * `self` to the power of `that`. The derivative in the base at 0 is that of the power; in the exponent, for
 * base 0, it is 0.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const pow: Binary<Numeric> = binary((a, b) => constantPower(a, b) ?? p.pow(a, b))
/**
 * What is left of a division rounded down: it has the sign of the divisor.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const remainder: Binary<Numeric> = binary(p.remainder)
/**
 * The smaller of two; NaN if one is NaN. Where they are equal the derivative is shared evenly.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const minimum: Binary<Numeric> = binary(p.minimum)
/**
 * The larger of two; NaN if one is NaN. Where they are equal the derivative is shared evenly.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const maximum: Binary<Numeric> = binary(p.maximum)

/** Small whole exponents are products: exact, cheap, and differentiable at 0. */
const constantPower = (a: Tensor, b: Tensor): Tensor | undefined => {
  if (b.node.primitive.name !== "constant" || b.shape.length > 0) return undefined
  const value = Number((b.node as Node<"constant">).attributes.data[0])
  if (b.dtype === "float16") return undefined
  if (value === 1) return a
  if (value === 2) return p.mul(a, a)
  if (value === 3) return p.mul(p.mul(a, a), a)
  if (value === 0.5) return p.sqrt(a)
  if (value === -1) return p.div(scalar(1, a.dtype), a)
  return undefined
}

/**
 * @since 0.1.0
 * @category arithmetic
 */
export const neg: Unary<Numeric> = unary(p.neg)
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const abs: Unary<Numeric> = unary(p.abs)
/**
 * −1, 0 or 1.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const sign: Unary<Numeric> = unary(p.sign)
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const square: Unary<Numeric> = unary((x) => p.mul(x, x))
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const reciprocal: Unary<Float> = unary((x) => p.div(scalar(1, x.dtype), x))
/**
 * @since 0.1.0
 * @category arithmetic
 */
export const sqrt: Unary<Float> = unary(p.sqrt)
/**
 * 1/√x.
 *
 * @since 0.1.0
 * @category arithmetic
 */
export const rsqrt: Unary<Float> = unary((x) => p.div(scalar(1, x.dtype), p.sqrt(x)))

/**
 * @since 0.1.0
 * @category exponentials
 */
export const exp: Unary<Float> = unary(p.exp)
/**
 * @since 0.1.0
 * @category exponentials
 */
export const log: Unary<Float> = unary(p.log)
/**
 * eˣ − 1, accurate near 0.
 *
 * @since 0.1.0
 * @category exponentials
 */
export const expm1: Unary<Float> = unary((x) => {
  const one = scalar(1, x.dtype)
  const power = p.exp(x)
  // tanh(x/2)·(eˣ + 1) has no cancellation near 0
  const near = p.mul(p.tanh(p.mul(x, scalar(0.5, x.dtype))), p.add(power, one))
  const value = p.select(p.less(p.abs(x), one), near, p.sub(power, one))
  return custom([x], [value], {
    name: "expm1",
    backward: ([x], _, [cotangent]) => [p.mul(cotangent, p.exp(x))]
  })[0]
})
/**
 * log(1 + x), accurate near 0.
 *
 * @since 0.1.0
 * @category exponentials
 */
export const log1p: Unary<Float> = unary((x) => {
  // Kahan: the rounding error of u = 1 + x cancels in log(u)·x/(u − 1)
  const one = scalar(1, x.dtype)
  const u = p.add(one, x)
  // where u is 1 the result is x, where u is infinite it is the logarithm
  const plain = p.or(p.equal(u, one), p.equal(u, scalar(Number.POSITIVE_INFINITY, x.dtype)))
  const ratio = p.div(x, p.select(plain, one, p.sub(u, one)))
  const value = p.select(p.equal(u, one), x, p.mul(p.log(u), p.select(plain, one, ratio)))
  return custom([x], [value], {
    name: "log1p",
    backward: ([x], _, [cotangent]) => [p.div(cotangent, p.add(scalar(1, x.dtype), x))]
  })[0]
})
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const sin: Unary<Float> = unary(p.sin)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const cos: Unary<Float> = unary(p.cos)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const tan: Unary<Float> = unary(p.tan)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const asin: Unary<Float> = unary(p.asin)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const acos: Unary<Float> = unary(p.acos)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const atan: Unary<Float> = unary(p.atan)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const sinh: Unary<Float> = unary((x) =>
  p.mul(
    p.sub(expm1(x as Tensor<Shape, Float>), expm1(p.neg(x) as Tensor<Shape, Float>)),
    scalar(0.5, x.dtype)
  )
)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const cosh: Unary<Float> = unary((x) =>
  p.mul(p.add(p.exp(x), p.exp(p.neg(x))), scalar(0.5, x.dtype))
)
/**
 * @since 0.1.0
 * @category trigonometry
 */
export const tanh: Unary<Float> = unary(p.tanh)
/**
 * 1/(1 + e⁻ˣ).
 *
 * @since 0.1.0
 * @category activations
 */
export const sigmoid: Unary<Float> = unary(p.sigmoid)
/**
 * The error function, 2/√π ∫₀ˣ e^(−t²) dt.
 *
 * @since 0.1.0
 * @category exponentials
 */
export const erf: Unary<Float> = unary(p.erf)
/**
 * @since 0.1.0
 * @category rounding
 */
export const floor: Unary<Float> = unary(p.floor)
/**
 * @since 0.1.0
 * @category rounding
 */
export const ceil: Unary<Float> = unary((x) => p.neg(p.floor(p.neg(x))))
/**
 * To the nearest whole number, halves to the even one.
 *
 * @since 0.1.0
 * @category rounding
 */
export const round: Unary<Float> = unary(p.round)

/**
 * Between two bounds, each of them optional; the derivative is 0 outside, and half at a bound.
 *
 * @since 0.1.0
 * @category rounding
 */
export const clip: {
  (bounds: {
    readonly min?: number
    readonly max?: number
  }): <S extends Shape, D extends Numeric>(self: Tensor<S, D>) => Tensor<S, D>
  <S extends Shape, D extends Numeric>(
    self: Tensor<S, D>,
    bounds: { readonly min?: number; readonly max?: number }
  ): Tensor<S, D>
} = dual(2, (x: Tensor, { min, max }: { readonly min?: number; readonly max?: number }) => {
  const low = min === undefined ? x : p.maximum(x, scalar(min, x.dtype))
  return max === undefined ? low : p.minimum(low, scalar(max, x.dtype))
})

/**
 * @since 0.1.0
 * @category comparisons
 */
export const equal: Comparison<DType> = binary(p.equal)
/**
 * @since 0.1.0
 * @category comparisons
 */
export const notEqual: Comparison<DType> = binary((a, b) => p.not(p.equal(a, b)))
/**
 * @since 0.1.0
 * @category comparisons
 */
export const less: Comparison<Numeric> = binary(p.less)
/**
 * @since 0.1.0
 * @category comparisons
 */
export const lessEqual: Comparison<Numeric> = binary(p.lessEqual)
/**
 * @since 0.1.0
 * @category comparisons
 */
export const greater: Comparison<Numeric> = binary((a, b) => p.less(b, a))
/**
 * @since 0.1.0
 * @category comparisons
 */
export const greaterEqual: Comparison<Numeric> = binary((a, b) => p.lessEqual(b, a))
/**
 * @since 0.1.0
 * @category comparisons
 */
export const isNaN = <S extends Shape>(self: Tensor<S, Float>): Tensor<S, "bool"> =>
  p.isNaN(self) as Tensor<S, "bool">
/**
 * Neither NaN nor infinite.
 *
 * @since 0.1.0
 * @category comparisons
 */
export const isFinite = <S extends Shape>(self: Tensor<S, Float>): Tensor<S, "bool"> =>
  // x − x is NaN for infinities and NaN
  p.not(p.isNaN(p.sub(self, self))) as Tensor<S, "bool">

/**
 * @since 0.1.0
 * @category logic
 */
export const and: Binary<"bool"> = binary(p.and)
/**
 * @since 0.1.0
 * @category logic
 */
export const or: Binary<"bool"> = binary(p.or)
/**
 * @since 0.1.0
 * @category logic
 */
export const not: Unary<"bool"> = unary(p.not)
/**
 * @since 0.1.0
 * @category logic
 */
export const xor: Binary<"bool"> = binary((a, b) => p.not(p.equal(a, b)))

/**
 * @since 0.1.0
 * @category bits
 */
export const bitAnd: Binary<"uint32"> = binary(p.bitAnd)
/**
 * @since 0.1.0
 * @category bits
 */
export const bitOr: Binary<"uint32"> = binary(p.bitOr)
/**
 * @since 0.1.0
 * @category bits
 */
export const bitXor: Binary<"uint32"> = binary(p.bitXor)
/**
 * By `that` bits; 0 for 32 and more.
 *
 * @since 0.1.0
 * @category bits
 */
export const shiftLeft: Binary<"uint32"> = binary(p.shiftLeft)
/**
 * By `that` bits, zeros coming in; 0 for 32 and more.
 *
 * @since 0.1.0
 * @category bits
 */
export const shiftRight: Binary<"uint32"> = binary(p.shiftRight)

/**
 * To another dtype. Floats are truncated towards zero on the way to integers, and are `true` unless 0; between
 * `int32` and `uint32` the bits stay.
 *
 * @since 0.1.0
 * @category conversions
 */
export const cast: {
  <const D extends DType>(
    dtype: D
  ): Later<D, <S extends Shape>(self: Tensor<S, DType>) => Tensor<S, D>>
  <S extends Shape, const D extends DType>(self: Tensor<S, DType>, dtype: D): Tensor<S, D>
} = dual(2, p.cast)

type Operand<S extends Shape, D extends DType> = Tensor<S, D> | number

/**
 * `then` where the condition holds, `otherwise` elsewhere; all three broadcast. A number takes the other's dtype.
 *
 * @since 0.1.0
 * @category logic
 */
export const select: {
  <C extends Shape, A extends Shape, D extends DType>(
    condition: Tensor<C, "bool">,
    then: Tensor<A, D>,
    otherwise: number
  ): Tensor<Ok<Broadcast<C, A>>, D>
  <C extends Shape, B extends Shape, D extends DType>(
    condition: Tensor<C, "bool">,
    then: number,
    otherwise: Tensor<B, D>
  ): Tensor<Ok<Broadcast<C, B>>, D>
  <C extends Shape, A extends Shape, B extends Shape, D extends DType>(
    condition: Tensor<C, "bool">,
    then: Tensor<A, D>,
    otherwise: Tensor<B, NoInfer<D>> & Fits<Broadcast<A, B>>
  ): Tensor<Ok<Broadcast<C, Ok<Broadcast<A, B>>>>, D>
} = (
  condition: Tensor,
  then: Operand<Shape, DType>,
  otherwise: Operand<Shape, DType>
): Tensor<never, never> => p.select(condition, ...operands(then, otherwise)) as Tensor<never, never>

/**
 * The value, with derivative zero.
 *
 * @since 0.1.0
 * @category gradients
 */
export const stopGradient = <S extends Shape, D extends DType>(self: Tensor<S, D>): Tensor<S, D> =>
  p.stopGradient(self) as Tensor<S, D>

/**
 * The same tensor under a name that shows in errors, profiles and model files.
 *
 * @since 0.1.0
 * @category conversions
 */
export const named: {
  (label: string): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<S, D>
  <S extends Shape, D extends DType>(self: Tensor<S, D>, label: string): Tensor<S, D>
} = dual(2, (self: Tensor, label: string) => {
  check.tensors("named", [self])
  // a view of its own, so that what is named stays what others differentiate; canonical graphs give the
  // name to the operation (see `Graph`)
  return output(apply(reshapePrimitive, [self], { shape: self.shape }, label) as unknown as Node)
})

export { isTensor }
