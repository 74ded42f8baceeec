import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Adjoint from "../../src/Solver/Adjoint.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Integration from "../../src/Solver/Integration.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Reversible from "../../src/Solver/Reversible.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import { Gradient, Tensor } from "../../src/Tensor/index.ts"
import {
  type Any,
  apart,
  coupled,
  example,
  gradients,
  hunt,
  type Loss,
  network,
  rates,
  reversibles,
  run,
  start,
  sum,
  tight
} from "../support/adjoints.ts"
import { others } from "../support/devices.ts"

layer(Device.layerReference(), { excludeTestServices: true })(
  "on Lotka and Volterra's equations with time",
  (it) => {
    // (L(p + ε) − L(p − ε))/2ε, of fourth order, on the host
    const host = (values: ReadonlyArray<number>): number => {
      const [x, y, a, b, c, d] = values
      const stepper = Method.bind(Tableau.dopri5, Carrier.float64Array, (t, [x, y]) =>
        Float64Array.of(a * x - b * x * y * t, -c * y + d * x * y * t)
      )
      const options = { from: 0, to: 10, steps: { count: 2000 } }
      return Integration.run(stepper, Float64Array.of(x, y), options).y.reduce(
        (s, each) => s + each
      )
    }
    const central = [...start, ...rates].map((_, i) => {
      const shifted = (by: number) =>
        host([...start, ...rates].map((value, k) => (k === i ? value + by : value)))
      const difference = (e: number) => (shifted(e) - shifted(-e)) / (2 * e)
      return (4 * difference(5e-4) - difference(1e-3)) / 3
    })

    it.effect("all adjoints agree with each other, and with central differences", () =>
      Effect.gen(function* () {
        const fixed = hunt(Tableau.dopri5, { count: 1500 })
        const twofold = hunt(Reversible.coupled(Tableau.dopri5, { coupling: 0.98 }), {
          count: 2500
        })
        const adaptive = hunt(Tableau.dopri5, tight, { maximumSteps: 1500 })
        const { exact, ...found } = yield* Effect.all({
          exact: gradients(Adjoint.direct, twofold),
          direct: gradients(Adjoint.direct, fixed),
          checkpointed: gradients(Adjoint.checkpointed(), fixed),
          reversible: gradients(Adjoint.reversible(), twofold),
          backsolve: gradients(Adjoint.backsolve(), fixed),
          "direct under a controller": gradients(Adjoint.direct, adaptive),
          "backsolve under a controller": gradients(Adjoint.backsolve(), adaptive),
          "backsolve under a controller, back only": gradients(
            Adjoint.backsolve({ method: Tableau.tsit5, steps: tight, seminorm: true }),
            fixed
          )
        })
        for (const [name, each] of Object.entries(found))
          expect(apart(each, central), name).toBeLessThan(1e-9)
        expect(apart(found.checkpointed, found.direct)).toBeLessThan(1e-13)
        // small disturbances of the solution grow a thousand million times on the way back
        expect(apart(found.reversible, exact)).toBeLessThan(1e-11)
      })
    )

    it.effect("checkpoints change nothing, and inverse steps little", () =>
      Effect.gen(function* () {
        const smooth = hunt(Tableau.dopri5, { count: 30 }, { to: 1 })
        const direct = yield* gradients(Adjoint.direct, smooth)
        for (const adjoint of [
          Adjoint.unrolled,
          Adjoint.checkpointed(),
          Adjoint.checkpointed({ every: 7 })
        ])
          expect(apart(yield* gradients(adjoint, smooth), direct), adjoint.name).toBeLessThan(1e-13)
        // 40 steps are not a multiple of 16 anchors; prescribed ones have no size in common
        for (const method of reversibles)
          for (const steps of [{ count: 40 }, { count: 5 }, { at: [0.1, 0.25, 0.7] }]) {
            const short = hunt(method, steps, { to: 1 })
            const exact = yield* gradients(Adjoint.direct, short)
            for (const anchors of [1, 16]) {
              const back = yield* gradients(Adjoint.reversible({ anchors }), short)
              expect(apart(back, exact), method.name).toBeLessThan(1e-12)
            }
          }
      })
    )
  }
)

for (const device of others)
  layer(device.layer, { excludeTestServices: true })(`on ${device.name}`, (it) => {
    it.effect("gradients are those of the reference, in both precisions", () =>
      Effect.gen(function* () {
        const steps = Controller.pi({ absolute: 1e-9, relative: 1e-9 })
        for (const [adjoint, problem] of [
          [Adjoint.direct, hunt(Tableau.dopri5, { count: 50 }, { to: 1 })],
          [Adjoint.checkpointed(), hunt(Tableau.dopri5, { count: 50 }, { to: 1 })],
          [Adjoint.reversible(), hunt(coupled, { count: 50 }, { to: 1, save: "steps" })],
          [Adjoint.backsolve(), hunt(Tableau.dopri5, { count: 50 }, { to: 1 })],
          [Adjoint.direct, hunt(Tableau.dopri5, steps, { to: 1, maximumSteps: 100 })],
          [Adjoint.reversible(), hunt(coupled, steps, { to: 1, save: [0.5] })],
          [Adjoint.backsolve(), hunt(Tableau.dopri5, steps, { to: 1, save: [0.5] })]
        ] as const) {
          const loss: Loss = ({ y, saved }) =>
            problem.save === undefined ? sum(y) : Tensor.add(sum(y), sum(saved as Any))
          const expected = yield* gradients(adjoint, problem, loss).pipe(
            Effect.provide(Device.layerReference(), { local: true })
          )
          expect(
            apart(yield* gradients(adjoint, problem, loss), expected),
            adjoint.name
          ).toBeLessThan(1e-11)
        }
        // a neural differential equation
        const learn = (adjoint: Adjoint.Adjoint, steps: Integration.Steps) =>
          run(example, ({ y, weights }) => {
            const problem = { stepper: network(coupled), from: 0, to: 1, steps, maximumSteps: 60 }
            const end = adjoint.integrate(problem, y as Any, weights).y as Tensor.Tensor
            return Gradient.of(Tensor.mean(Tensor.square(end)), { y, weights })
          })
        const controlled = Controller.pi({ absolute: 1e-5, relative: 1e-5 })
        const direct = yield* learn(Adjoint.direct, { count: 20 })
        for (const adjoint of [Adjoint.checkpointed(), Adjoint.reversible(), Adjoint.backsolve()])
          expect(apart(yield* learn(adjoint, { count: 20 }), direct), adjoint.name).toBeLessThan(
            1e-5
          )
        for (const adjoint of [
          Adjoint.direct,
          Adjoint.checkpointed(),
          Adjoint.reversible(),
          Adjoint.backsolve()
        ])
          expect(apart(yield* learn(adjoint, controlled), direct), adjoint.name).toBeLessThan(1e-4)
      })
    )
  })
