/** Every method of the library keeps the laws of methods. */
import { describe, it } from "vitest"
import { SolverLaws } from "../../src/Laws/index.ts"
import {
  Exponential,
  Implicit,
  type Method,
  Multistep,
  Reversible,
  SecondOrder,
  Tableau
} from "../../src/Solver/index.ts"

// orders are measured: with random seeds one run in thousands might find a problem that tells a method's order badly
const options = { seed: 2026 }

const orders = [1, 2, 3, 4, 5] as const

const methods: ReadonlyArray<Method.Any> = [
  ...Object.values(Tableau).filter(
    (each): each is Tableau.Tableau => typeof each === "object" && "order" in each
  ),
  ...orders.map(Multistep.adamsBashforth),
  ...orders.map(Multistep.adamsBashforthMoulton),
  Implicit.implicitEuler,
  Implicit.implicitMidpoint,
  Implicit.trapezoid,
  Implicit.kvaerno3,
  Implicit.kvaerno5,
  Implicit.rosenbrock23,
  Reversible.asynchronousLeapfrog,
  Reversible.reversibleHeun,
  Reversible.coupled(Tableau.dopri5)
]

const symplectic = [
  SecondOrder.symplecticEuler,
  SecondOrder.velocityVerlet,
  SecondOrder.ruth3,
  SecondOrder.yoshida4,
  SecondOrder.yoshida6
]

const exponential = [
  Exponential.exponentialEuler,
  Exponential.etdrk2,
  Exponential.etdrk4,
  Exponential.krogstad4,
  Exponential.hochbruckOstermann4,
  ...([1, 2, 3, 4] as const).map(Exponential.adamsBashforth)
]

describe("methods for y' = f(t, y)", () => {
  it.each(methods.map((each) => [each.name, each] as const))("%s", (_, method) => {
    SolverLaws.check(method, options)
  })
})

describe("methods for x'' = f(t, x, v)", () => {
  it.each([...symplectic, SecondOrder.nystrom4].map((each) => [each.name, each] as const))(
    "%s",
    (_, method) => {
      SolverLaws.check(SolverLaws.secondOrder(method), options)
    }
  )

  it.each(
    [...symplectic, SecondOrder.nystrom5, SecondOrder.nystrom43].map(
      (each) => [each.name, each] as const
    )
  )("%s, of x alone", (_, method) => {
    SolverLaws.check(SolverLaws.secondOrder(method, { velocityFree: true }), options)
  })
})

describe("exponential methods", () => {
  it.each(exponential.map((each) => [each.name, each] as const))("%s", (_, method) => {
    for (const rate of [0, -2, [-1, 0.5] as const])
      SolverLaws.check(SolverLaws.exponential(method, rate), options)
    SolverLaws.linearPart(method, options)
  })
})
