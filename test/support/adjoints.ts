/** Problems whose gradients adjoints are asked for, and how their answers are compared. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import type * as Adjoint from "../../src/Solver/Adjoint.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import type * as Integration from "../../src/Solver/Integration.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Reversible from "../../src/Solver/Reversible.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import { Gradient, Program, Tensor, Tree } from "../../src/Tensor/index.ts"
import { evaluate } from "./device.ts"

export type R = Tensor.Tensor<ReadonlyArray<number>, "float64">
export type Any = Tensor.Any

export const real = (list: ReadonlyArray<number>) =>
  Tensor.hostArray(Float64Array.from(list)) as Tensor.HostArray<ReadonlyArray<number>, "float64">
const at = (x: Any, i: number): R => Tensor.at(x, i) as R
export const sum = (x: Any): R => Tensor.sum(x as R) as R

/** All numbers in the results of a program, in the order of its leaves. */
const flat = (tree: unknown): Array<number> =>
  Tree.leaves<{ readonly data: ArrayLike<number | bigint> }>(tree).flatMap(({ data }) =>
    Array.from(data, Number)
  )

export const run = <const I>(inputs: I, f: (inputs: Program.Tensors<I>) => unknown) =>
  Effect.map(evaluate(inputs, f), flat)

/** The largest difference, in units of the largest number. */
export const apart = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  expect(a.length).toBe(b.length)
  const largest = Math.max(...b.map(Math.abs))
  return a.reduce((worst, x, i) => {
    const difference = Math.abs(x - b[i]) / largest
    return Number.isNaN(difference) ? Number.NaN : Math.max(worst, difference)
  }, 0)
}

export const double = Carrier.tensor<Any>({ dtype: "float64" })

/** x' = p₁x − p₂xyt, y' = −p₃y + p₄xyt. */
export const field = (p: R) => (t: Any, u: Any) => {
  const [x, y] = [at(u, 0), at(u, 1)]
  const eaten = Tensor.mul(Tensor.mul(x, y), t as R)
  return Tensor.stack([
    Tensor.sub(Tensor.mul(at(p, 0), x), Tensor.mul(at(p, 1), eaten)),
    Tensor.sub(Tensor.mul(at(p, 3), eaten), Tensor.mul(at(p, 2), y))
  ]) as Any
}

export const rates = [1.5, 1, 3, 1]
export const start = [1, 1]

export const hunt = (
  method: Method.Any,
  steps: Integration.Steps,
  options: Partial<Adjoint.Problem<Any, R>> = {}
): Adjoint.Problem<Any, R> => ({
  stepper: (p) => Method.bind(method, double, field(p)),
  from: 0,
  to: 10,
  steps,
  ...options
})

export type Loss = (end: Integration.Outcome<Any, Any>) => R

export const total: Loss = ({ y }) => sum(y)

/** The gradients in the initial state and the rates. */
export const gradients = (
  adjoint: Adjoint.Adjoint,
  problem: Adjoint.Problem<Any, R>,
  loss: Loss = total
) =>
  run({ u: real(start), p: real(rates) }, ({ u, p }) =>
    Gradient.of(loss(adjoint.integrate(problem, u as Any, p)), { u, p })
  )

export const tight = Controller.pi({ absolute: 1e-11, relative: 1e-11 })
export const coupled = Reversible.coupled(Tableau.dopri5)
export const reversibles = [coupled, Reversible.asynchronousLeapfrog, Reversible.reversibleHeun]

/** y' = W₂ tanh(W₁y), in `float32`. */
export const shapes = { y: [8, 4], inner: [4, 16], outer: [16, 4] } as const
export const network =
  (method: Method.Any) =>
  ({ inner, outer }: { readonly inner: Tensor.Tensor; readonly outer: Tensor.Tensor }) =>
    Method.bind(method, Carrier.tensor<Any>(), (_, y) =>
      Tensor.matmul(Tensor.tanh(Tensor.matmul(y as Tensor.Tensor, inner)), outer)
    )
export const train = (
  adjoint: Adjoint.Adjoint,
  method: Method.Any,
  count: number,
  forward = false
) =>
  Program.makeUnsafe(
    {
      y: Tensor.spec(shapes.y),
      weights: { inner: Tensor.spec(shapes.inner), outer: Tensor.spec(shapes.outer) }
    },
    ({ y, weights }): unknown => {
      const problem = { stepper: network(method), from: 0, to: 1, steps: { count } }
      const end = adjoint.integrate(problem, y as Any, weights).y as Tensor.Tensor
      return forward ? end : Gradient.of(Tensor.mean(Tensor.square(end)), { y, weights })
    }
  )

const waves = (shape: readonly [number, number], scale: number) =>
  Tensor.hostArray(
    Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => scale * Math.sin(i * i + 1)),
    { shape }
  )
export const example = {
  y: waves(shapes.y, 1),
  weights: { inner: waves(shapes.inner, 0.5), outer: waves(shapes.outer, 0.3) }
}
