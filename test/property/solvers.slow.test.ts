/** What takes long, or a device, of the laws of methods. */
import { layer } from "@effect/vitest"
import { describe, it } from "vitest"
import { Device } from "../../src/Device/index.ts"
import { SolverLaws } from "../../src/Laws/index.ts"
import {
  Exponential,
  Implicit,
  Multistep,
  Reversible,
  SecondOrder,
  Tableau
} from "../../src/Solver/index.ts"

const { symplecticEuler, velocityVerlet, ruth3, yoshida4, yoshida6, nystrom43 } = SecondOrder

const options = { seed: 2026 }

describe("over 10⁵ steps", () => {
  it.each(
    [symplecticEuler, velocityVerlet, ruth3, yoshida4, yoshida6].map(
      (each) => [each.name, each] as const
    )
  )("%s is symplectic", (_, method) => {
    SolverLaws.symplectic(SolverLaws.secondOrder(method, { velocityFree: true }), options)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("on tensors", (it) => {
  const subjects: ReadonlyArray<SolverLaws.Any> = [
    Tableau.rk38,
    Tableau.bosh3,
    Tableau.dopri5,
    Tableau.dopri8,
    Multistep.adamsBashforth(4),
    Multistep.adamsBashforthMoulton(3),
    Implicit.kvaerno3,
    Implicit.rosenbrock23,
    Reversible.asynchronousLeapfrog,
    Reversible.coupled(Tableau.tsit5),
    SolverLaws.secondOrder(yoshida4, { velocityFree: true }),
    SolverLaws.secondOrder(nystrom43, { velocityFree: true }),
    SolverLaws.exponential(Exponential.etdrk4, -2),
    SolverLaws.exponential(Exponential.adamsBashforth(3), -2)
  ]
  for (const subject of subjects) {
    it.effect(`${subject.name} agrees with the host`, () => SolverLaws.carriers(subject, options))
    it.effect(`${subject.name} keeps systems apart`, () => SolverLaws.batch(subject, options))
  }
})
