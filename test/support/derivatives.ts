/** Derivatives held against differences. */
import * as Effect from "effect/Effect"
import * as DType from "../../src/Tensor/DType.ts"
import type { HostArray, Tensor } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "./arrays.ts"
import { prepare } from "./device.ts"

/** A function of arrays: what it is given, and what it makes of it. */
export interface Function {
  readonly operands: ReadonlyArray<HostArray>
  readonly apply: (operands: ReadonlyArray<Tensor>) => ReadonlyArray<Tensor>
}

/** Tensors that have derivatives. */
export const floatsOf = (tensors: ReadonlyArray<Tensor>): ReadonlyArray<Tensor> =>
  tensors.filter(({ dtype }) => DType.isFloat(dtype))

/** What {@link check} asks for. */
export interface Options {
  /** How far the arguments move; a thousandth unless told. */
  readonly step?: number
  readonly seed?: number
  /** Relative to the scale of the result; a millionth unless told. */
  readonly allowed?: number
}

/**
 * Throws unless, for every function, `jvp` and `vjp` are adjoint to each other, `jvp` agrees with
 * central differences, and so does the derivative of `vjp` along a direction. The functions make one program.
 *
 * Differences are of fourth order: f′ ≈ (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, whose error is h⁴ f⁽⁵⁾/30
 * and 10⁻¹⁶ f / h from rounding.
 */
export const check = Effect.fnUntraced(function* (
  functions: ReadonlyArray<Function>,
  options: Options = {}
) {
  const { step = 1e-3, seed = 0, allowed = 1e-6 } = options
  const noise = ({ shape, dtype }: HostArray | Tensor, at: number) =>
    A.fill(shape, dtype, 1 + seed + 7919 * at, A.uniform(-1, 1))
  let next = 0
  const points = functions.map(({ operands }) => operands)
  const directions = functions.map(({ operands }) =>
    operands.filter(({ dtype }) => DType.isFloat(dtype)).map((each) => noise(each, next++))
  )
  const cotangents = functions.map(({ apply, operands }) =>
    floatsOf(apply(operands.map((each) => T.constant(each)))).map((each) => noise(each, next++))
  )
  const inputs = { x: points, u: directions, w: cotangents }
  const run = yield* prepare(inputs, ({ x, u, w }) =>
    functions.map(({ apply }, i) => {
      const inputs = floatsOf(x[i])
      const values = floatsOf(apply(x[i]))
      const pulled = Gradient.vjp(values, inputs, w[i])
      return {
        values,
        pushed: Gradient.jvp(values, inputs, u[i]),
        pulled,
        bent: Gradient.jvp(pulled, inputs, u[i])
      }
    })
  )
  const at = (shift: number) =>
    run({
      ...inputs,
      x: points.map((operands, i) => {
        let k = 0
        return operands.map((each) =>
          DType.isFloat(each.dtype) ? moved(each, directions[i][k++], shift * step) : each
        )
      })
    })
  const here = yield* at(0)
  const [far, near, nearer, farther] = [yield* at(-2), yield* at(-1), yield* at(1), yield* at(2)]
  const difference = (
    i: number,
    of: "values" | "pulled",
    derivatives: ReadonlyArray<HostArray>,
    what: string
  ): void =>
    derivatives.forEach((derivative, k) => {
      const [a, b, c, d] = [far, near, nearer, farther].map((each) => A.numbers(each[i][of][k]))
      const slope = a.map((_, n) => (8 * (c[n] - b[n]) - (d[n] - a[n])) / (12 * step))
      // a dtype in which differences would be noise
      const exact = T.hostArray(Array.from(slope), { shape: derivative.shape, dtype: "float64" })
      const found = T.hostArray(Array.from(A.numbers(derivative)), {
        shape: derivative.shape,
        dtype: "float64"
      })
      A.agree(found, exact, allowed, `${what} ${k} of ${functions[i]}, against differences`)
    })
  functions.forEach((each, i) => {
    const { bent, pulled, pushed } = here[i]
    const forward = cotangents[i].reduce((sum, w, k) => sum + A.dot(pushed[k], w), 0)
    const backward = directions[i].reduce((sum, u, k) => sum + A.dot(pulled[k], u), 0)
    const size = A.scaleOf([...pushed, ...pulled].flatMap((each) => Array.from(A.numbers(each))))
    const exact = pushed.every(({ dtype }) => dtype === "float64")
    if (!(Math.abs(forward - backward) <= (exact ? 1e-10 : 1e-6) * size)) {
      throw new Error(`⟨J u, w⟩ = ${forward}, but ⟨u, Jᵀ w⟩ = ${backward}: ${each}`)
    }
    difference(i, "values", pushed, "the derivative of output")
    difference(i, "pulled", bent, "the second derivative in input")
  })
})

const moved = (host: HostArray, direction: HostArray, by: number): HostArray => {
  const [x, u] = [A.numbers(host), A.numbers(direction)]
  return T.hostArray(
    Array.from(x, (each, i) => each + by * u[i]),
    { shape: host.shape, dtype: host.dtype }
  )
}
