/** Primitives that act element by element; operands broadcast by NumPy's rule. */
import type * as DType from "../DType.ts"
import { applyOne, type Node, output, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import type { Name, Primitive } from "../Primitive.ts"
import { scalar, unbroadcast } from "./structure.ts"

type Rule = (
  cotangent: Tensor,
  inputs: ReadonlyArray<Tensor>,
  output: Tensor
) => ReadonlyArray<Tensor | undefined>

const flat: Rule = (_, inputs) => inputs.map(() => undefined)

/**
 * An elementwise primitive without attributes: which dtypes it takes, its derivative before the
 * cotangents are summed back to the operands' shapes, and the dtype it gives if that is another.
 */
const define = <N extends Name>(
  name: N,
  kind: check.Kind,
  rule: Rule,
  gives?: DType.DType
): Primitive<N> => ({
  name,
  infer: (inputs) => {
    check.dtypes(name, inputs, kind)
    return [{ shape: check.broadcastAll(name, inputs), dtype: gives ?? inputs[0].dtype }]
  },
  vjp: (node, [c], wanted) =>
    c === undefined
      ? []
      : rule(c, node.inputs, output(node as unknown as Node)).map((each, i) =>
          each && wanted[i] ? unbroadcast(each, node.inputs[i].shape) : undefined
        )
})

type Unary = (x: Tensor) => Tensor
type Binary = (a: Tensor, b: Tensor) => Tensor

const one =
  <N extends Name>(primitive: Primitive<N>): Unary =>
  (x) =>
    applyOne(primitive as unknown as Primitive<"neg">, [x], {})

const two =
  <N extends Name>(primitive: Primitive<N>): Binary =>
  (a, b) =>
    applyOne(primitive as unknown as Primitive<"add">, [a, b], {})

const like = (x: Tensor, value: number): Tensor => scalar(value, x.dtype)

export const negPrimitive: Primitive<"neg"> = define("neg", "numbers", (c) => [neg(c)])
export const absPrimitive: Primitive<"abs"> = define("abs", "numbers", (c, [x]) => [
  mul(c, sign(x))
])
export const signPrimitive: Primitive<"sign"> = define("sign", "numbers", flat)
export const expPrimitive: Primitive<"exp"> = define("exp", "floats", (c, _, y) => [mul(c, y)])
export const logPrimitive: Primitive<"log"> = define("log", "floats", (c, [x]) => [div(c, x)])
export const sqrtPrimitive: Primitive<"sqrt"> = define("sqrt", "floats", (c, _, y) => [
  div(mul(c, like(y, 0.5)), y)
])
export const sinPrimitive: Primitive<"sin"> = define("sin", "floats", (c, [x]) => [mul(c, cos(x))])
export const cosPrimitive: Primitive<"cos"> = define("cos", "floats", (c, [x]) => [
  neg(mul(c, sin(x)))
])
export const tanPrimitive: Primitive<"tan"> = define("tan", "floats", (c, _, y) => [
  mul(c, add(like(y, 1), mul(y, y)))
])
export const asinPrimitive: Primitive<"asin"> = define("asin", "floats", (c, [x]) => [
  div(c, sqrt(sub(like(x, 1), mul(x, x))))
])
export const acosPrimitive: Primitive<"acos"> = define("acos", "floats", (c, [x]) => [
  neg(div(c, sqrt(sub(like(x, 1), mul(x, x)))))
])
export const atanPrimitive: Primitive<"atan"> = define("atan", "floats", (c, [x]) => [
  div(c, add(like(x, 1), mul(x, x)))
])
export const tanhPrimitive: Primitive<"tanh"> = define("tanh", "floats", (c, _, y) => [
  mul(c, sub(like(y, 1), mul(y, y)))
])
export const sigmoidPrimitive: Primitive<"sigmoid"> = define("sigmoid", "floats", (c, _, y) => [
  mul(c, mul(y, sub(like(y, 1), y)))
])
export const erfPrimitive: Primitive<"erf"> = define("erf", "floats", (c, [x]) => [
  mul(c, mul(like(x, 2 / Math.sqrt(Math.PI)), exp(neg(mul(x, x)))))
])
export const floorPrimitive: Primitive<"floor"> = define("floor", "floats", flat)
export const roundPrimitive: Primitive<"round"> = define("round", "floats", flat)
export const isNaNPrimitive: Primitive<"isNaN"> = define("isNaN", "floats", flat, "bool")
export const notPrimitive: Primitive<"not"> = define("not", "bool", flat)

export const neg: Unary = one(negPrimitive)
export const abs: Unary = one(absPrimitive)
export const sign: Unary = one(signPrimitive)
export const exp: Unary = one(expPrimitive)
export const log: Unary = one(logPrimitive)
export const sqrt: Unary = one(sqrtPrimitive)
export const sin: Unary = one(sinPrimitive)
export const cos: Unary = one(cosPrimitive)
export const tan: Unary = one(tanPrimitive)
export const asin: Unary = one(asinPrimitive)
export const acos: Unary = one(acosPrimitive)
export const atan: Unary = one(atanPrimitive)
export const tanh: Unary = one(tanhPrimitive)
export const sigmoid: Unary = one(sigmoidPrimitive)
export const erf: Unary = one(erfPrimitive)
export const floor: Unary = one(floorPrimitive)
export const round: Unary = one(roundPrimitive)
export const isNaN: Unary = one(isNaNPrimitive)
export const not: Unary = one(notPrimitive)

export const addPrimitive: Primitive<"add"> = define("add", "numbers", (c) => [c, c])
export const subPrimitive: Primitive<"sub"> = define("sub", "numbers", (c, _inputs, _y) => [
  c,
  neg(c)
])
export const mulPrimitive: Primitive<"mul"> = define("mul", "numbers", (c, [a, b]) => [
  mul(c, b),
  mul(c, a)
])
export const divPrimitive: Primitive<"div"> = define("div", "numbers", (c, [, b], y) => {
  const da = div(c, b)
  return [da, neg(mul(da, y))]
})
export const powPrimitive: Primitive<"pow"> = define("pow", "numbers", (c, [a, b], y) => {
  const zero = like(a, 0)
  const one = like(a, 1)
  // a^0 is flat in a, and 0^b in b; by the formulas they would be 0·∞
  const constant = equal(b, zero)
  const nothing = equal(a, zero)
  return [
    mul(c, select(constant, zero, mul(b, pow(a, sub(select(constant, one, b), one))))),
    mul(c, select(nothing, zero, mul(y, log(select(nothing, one, a)))))
  ]
})
export const remainderPrimitive: Primitive<"remainder"> = define(
  "remainder",
  "numbers",
  (c, [a, b]) => [c, neg(mul(c, floor(div(a, b))))]
)
export const minimumPrimitive: Primitive<"minimum"> = define("minimum", "numbers", (c, [a, b]) =>
  chosen(c, lessEqual(a, b), equal(a, b))
)
export const maximumPrimitive: Primitive<"maximum"> = define("maximum", "numbers", (c, [a, b]) =>
  chosen(c, lessEqual(b, a), equal(a, b))
)

/** The cotangent goes to the operand that was taken, half to each where they are equal. */
const chosen = (c: Tensor, first: Tensor, tie: Tensor): ReadonlyArray<Tensor> => {
  const zero = like(c, 0)
  const half = mul(c, like(c, 0.5))
  return [select(tie, half, select(first, c, zero)), select(tie, half, select(first, zero, c))]
}

export const equalPrimitive: Primitive<"equal"> = define("equal", "any dtype", flat, "bool")
export const lessPrimitive: Primitive<"less"> = define("less", "numbers", flat, "bool")
export const lessEqualPrimitive: Primitive<"lessEqual"> = define(
  "lessEqual",
  "numbers",
  flat,
  "bool"
)
export const andPrimitive: Primitive<"and"> = define("and", "bool", flat)
export const orPrimitive: Primitive<"or"> = define("or", "bool", flat)
export const bitAndPrimitive: Primitive<"bitAnd"> = define("bitAnd", "uint32", flat)
export const bitOrPrimitive: Primitive<"bitOr"> = define("bitOr", "uint32", flat)
export const bitXorPrimitive: Primitive<"bitXor"> = define("bitXor", "uint32", flat)
export const shiftLeftPrimitive: Primitive<"shiftLeft"> = define("shiftLeft", "uint32", flat)
export const shiftRightPrimitive: Primitive<"shiftRight"> = define("shiftRight", "uint32", flat)

export const add: Binary = two(addPrimitive)
export const sub: Binary = two(subPrimitive)
export const mul: Binary = two(mulPrimitive)
export const div: Binary = two(divPrimitive)
export const pow: Binary = two(powPrimitive)
export const remainder: Binary = two(remainderPrimitive)
export const minimum: Binary = two(minimumPrimitive)
export const maximum: Binary = two(maximumPrimitive)
export const equal: Binary = two(equalPrimitive)
export const less: Binary = two(lessPrimitive)
export const lessEqual: Binary = two(lessEqualPrimitive)
export const and: Binary = two(andPrimitive)
export const or: Binary = two(orPrimitive)
export const bitAnd: Binary = two(bitAndPrimitive)
export const bitOr: Binary = two(bitOrPrimitive)
export const bitXor: Binary = two(bitXorPrimitive)
export const shiftLeft: Binary = two(shiftLeftPrimitive)
export const shiftRight: Binary = two(shiftRightPrimitive)

export const castPrimitive: Primitive<"cast"> = {
  name: "cast",
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype: check.known("cast", dtype) }],
  vjp: (node, [c]) => [c && cast(c, node.inputs[0].dtype)]
}

export const cast = (x: Tensor, dtype: DType.DType): Tensor => {
  check.tensors("cast", [x])
  return x.dtype === dtype ? x : applyOne(castPrimitive, [x], { dtype })
}

export const selectPrimitive: Primitive<"select"> = {
  name: "select",
  infer: (inputs) => {
    check.dtypes("select: condition", [inputs[0]], "bool")
    check.dtypes("select", inputs.slice(1), "any dtype")
    return [{ shape: check.broadcastAll("select", inputs), dtype: inputs[1].dtype }]
  },
  vjp: (node, [c], wanted) => {
    const [condition, a, b] = node.inputs
    if (c === undefined) return []
    const zero = like(c, 0)
    return [
      undefined,
      wanted[1] ? unbroadcast(select(condition, c, zero), a.shape) : undefined,
      wanted[2] ? unbroadcast(select(condition, zero, c), b.shape) : undefined
    ]
  }
}

export const select = (condition: Tensor, then: Tensor, otherwise: Tensor): Tensor =>
  applyOne(selectPrimitive, [condition, then, otherwise], {})

export const stopGradientPrimitive: Primitive<"stopGradient"> = {
  name: "stopGradient",
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  vjp: () => []
}

export const stopGradient = (x: Tensor): Tensor => applyOne(stopGradientPrimitive, [x], {})
