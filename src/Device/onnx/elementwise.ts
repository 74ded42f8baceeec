/** Elementwise primitives. ONNX's operators broadcast like them. */
import type { DType } from "../../Tensor/DType.ts"
import type { Name } from "../../Tensor/Primitive.ts"
import { arithmetic, least, most, where } from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"
import * as float64 from "./float64.ts"
import { halves, type Single, through } from "./Lowering.ts"
import * as linear from "./linear.ts"

/** An operator of ONNX that does just what the primitive does. */
const direct = <N extends Name>(
  operator: string,
  via: { readonly [D in DType]?: DType } = halves
): Single<N> => through(via, (e, { inputs, outputs }) => e.map(operator, inputs, outputs[0].dtype))

/** The runtime has the operator for `float32` only. */
const composed = <N extends Name>(
  operator: string,
  exact: (e: Emitter, x: Value) => Value
): Single<N> =>
  through(halves, (e, { inputs: [x] }) =>
    x.dtype === "float64" ? exact(e, x) : e.map(operator, [x])
  )

export const abs: Single<"abs"> = direct("Abs")
export const sign: Single<"sign"> = through(halves, (e, { inputs: [x] }) => {
  if (x.dtype !== "int64") return e.map("Sign", [x])
  // the operator looks at 32 bits
  const { less, sub } = arithmetic(e, x.dtype)
  return sub(e.cast(less(0, x), x.dtype), e.cast(less(x, 0), x.dtype))
})
export const exp: Single<"exp"> = direct("Exp")
export const log: Single<"log"> = direct("Log")
export const sqrt: Single<"sqrt"> = direct("Sqrt")
export const sin: Single<"sin"> = direct("Sin")
export const cos: Single<"cos"> = direct("Cos")
export const asin: Single<"asin"> = composed("Asin", float64.asin)
export const acos: Single<"acos"> = composed("Acos", float64.acos)
export const atan: Single<"atan"> = composed("Atan", float64.atan)
export const tanh: Single<"tanh"> = direct("Tanh")
/**
 * The absolute error is a few units of rounding; below −18 the result is 0 in `float32`. In `float64` it is not left to
 * the operator: the runtime would merge its product with x into one that it has for `float32` only.
 */
export const sigmoid: Single<"sigmoid"> = composed("Sigmoid", (e, x) => {
  const { add, call, div } = arithmetic(e, "float64")
  return div(1, add(1, call("Exp", call("Neg", x))))
})
export const erf: Single<"erf"> = composed("Erf", float64.erf)
export const floor: Single<"floor"> = direct("Floor")
export const round: Single<"round"> = direct("Round")
export const isNaN: Single<"isNaN"> = direct("IsNaN")
export const not: Single<"not"> = direct("Not")

export const neg: Single<"neg"> = through(halves, (e, { inputs: [x] }) =>
  x.dtype === "uint32" ? e.map("Sub", [e.scalar(0, "uint32"), x]) : e.map("Neg", [x])
)

/** The operator takes ten times as long as both of these. */
export const tan: Single<"tan"> = through(halves, (e, { inputs: [x] }) =>
  x.dtype === "float64" ? float64.tan(e, x) : e.map("Div", [e.map("Sin", [x]), e.map("Cos", [x])])
)

export const cast: Single<"cast"> = (e, { attributes, inputs: [x] }) => e.cast(x, attributes.dtype)

export const add: Single<"add"> = through(
  halves,
  (e, { context: { only }, inputs: [a, b], outputs: [{ dtype }] }) => {
    const merged =
      (only[0] ? linear.withBias(e, a, b) : undefined) ??
      (only[1] ? linear.withBias(e, b, a) : undefined)
    return merged ?? e.map("Add", [a, b], dtype)
  }
)

export const sub: Single<"sub"> = direct("Sub")
export const mul: Single<"mul"> = direct("Mul")
export const minimum: Single<"minimum"> = through(halves, (e, { inputs: [a, b] }) => least(e, a, b))
export const maximum: Single<"maximum"> = through(halves, (e, { inputs: [a, b] }) => most(e, a, b))
export const equal: Single<"equal"> = direct("Equal")
export const less: Single<"less"> = direct("Less")
export const lessEqual: Single<"lessEqual"> = direct("LessOrEqual")
export const and: Single<"and"> = direct("And")
export const or: Single<"or"> = direct("Or")
export const bitAnd: Single<"bitAnd"> = direct("BitwiseAnd")
export const bitOr: Single<"bitOr"> = direct("BitwiseOr")
export const bitXor: Single<"bitXor"> = direct("BitwiseXor")

const shift =
  <N extends Name>(direction: string): Single<N> =>
  (e, { inputs }) =>
    e.map("BitShift", inputs, "uint32", { direction })

export const shiftLeft: Single<"shiftLeft"> = shift("LEFT")
export const shiftRight: Single<"shiftRight"> = shift("RIGHT")

export const div: Single<"div"> = through(halves, (e, { inputs: [a, b] }) => {
  if (!isSigned(b.dtype) || isHarmless(b)) return e.map("Div", [a, b])
  const { safe, isMinusOne } = divisor(e, b)
  return where(e, isMinusOne, e.map("Neg", [a]), e.map("Div", [a, safe]))
})

/** The result has the sign of the divisor. */
export const remainder: Single<"remainder"> = through(halves, (e, { inputs: [a, b] }) => {
  if (b.dtype === "uint32" || (isSigned(b.dtype) && isHarmless(b))) return e.map("Mod", [a, b])
  if (isSigned(b.dtype)) return e.map("Mod", [a, divisor(e, b).safe])
  const { add, less, equal } = arithmetic(e, b.dtype)
  const rest = e.map("Mod", [a, b], b.dtype, { fmod: 1 })
  const opposite = e.map("Xor", [less(rest, 0), less(b, 0)], "bool")
  const whole = e.map("Or", [equal(rest, 0), e.map("Not", [opposite])], "bool")
  return where(e, whole, rest, add(rest, b))
})

const isSigned = (dtype: DType): boolean => dtype === "int32" || dtype === "int64"

/** Whether a divisor is known not to hold −1. */
const isHarmless = ({ constant }: Value): boolean =>
  constant !== undefined && !Array.from<number | bigint, number>(constant.data, Number).includes(-1)

/** The smallest integer divided by −1 overflows, at which the processor stops the process. */
const divisor = (e: Emitter, b: Value) => {
  const isMinusOne = e.map("Equal", [b, e.scalar(-1, b.dtype)], "bool")
  return { isMinusOne, safe: where(e, isMinusOne, e.scalar(1, b.dtype), b) }
}

export const pow: Single<"pow"> = through(
  { ...halves, uint32: "int64" },
  (e, { inputs: [a, b] }) =>
    isAlways(b, -1) ? e.map("Div", [e.scalar(1, a.dtype), a]) : e.map("Pow", [a, b])
)

/** Whether a floating-point value is a known constant. */
const isAlways = ({ constant }: Value, value: number): boolean =>
  constant !== undefined &&
  (constant.dtype === "float32" || constant.dtype === "float64") &&
  constant.data.length === 1 &&
  constant.data[0] === value

export const select: Single<"select"> = (e, { inputs: [condition, a, b] }) =>
  where(e, condition, a, b)
