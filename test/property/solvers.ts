/** The methods of the library, as subjects of their laws. */
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

/**
 * Orders are measured: of random seeds one in thousands might tell a method's order badly. For a long search among other
 * problems, set `ODEON_RUNS=50`.
 */
export const options = { seed: 2026, runs: Number(process.env.ODEON_RUNS ?? 1) }

export interface Instance {
  readonly name: string
  readonly subject: SolverLaws.Any
}

const orders = [1, 2, 3, 4, 5]

const plain: ReadonlyArray<Method.Any> = [
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
  Reversible.coupled(Tableau.rk4)
]

export const exponential: ReadonlyArray<Exponential.Tableau | Exponential.Method> = [
  Exponential.exponentialEuler,
  Exponential.etdrk2,
  Exponential.etdrk4,
  Exponential.krogstad4,
  Exponential.hochbruckOstermann4,
  ...[1, 2, 3, 4].map(Exponential.adamsBashforth)
]

const secondOrder = Object.values(SecondOrder).filter(
  (each): each is SecondOrder.Method => typeof each === "object" && "order" in each
)

const named = (subject: SolverLaws.Subject): Instance => ({
  name: `${subject.name}, ${subject.form}`,
  subject
})

const velocityFree: ReadonlyArray<Instance> = secondOrder.map((method) =>
  named(SolverLaws.secondOrder(method, { velocityFree: true }))
)

export const instances: ReadonlyArray<Instance> = [
  ...plain.map((subject) => ({ name: subject.name, subject })),
  ...exponential.map((method) => named(SolverLaws.exponential(method, -1.5))),
  ...velocityFree
]

/** Those that take longer, or differ little from others. */
export const further: ReadonlyArray<Instance> = [
  ...exponential.flatMap((method) => [
    named(SolverLaws.exponential(method)),
    named(SolverLaws.exponential(method, [-1, -0.5]))
  ]),
  ...secondOrder
    .filter((method) => "drift" in method || method.v.a !== undefined)
    .map((method) => named(SolverLaws.secondOrder(method))),
  ...[Tableau.bosh3, Tableau.dopri5]
    .map((tableau) => Reversible.coupled(tableau))
    .map((subject) => ({ name: subject.name, subject }))
]

export const symplectic: ReadonlyArray<Instance> = [
  ...secondOrder
    .filter((method) => "drift" in method || method.symplectic)
    .map((method) => named(SolverLaws.secondOrder(method, { velocityFree: true }))),
  { name: Implicit.implicitMidpoint.name, subject: Implicit.implicitMidpoint }
]
