/** Of what order Runge–Kutta methods are as samplers, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import type * as Plan from "../../src/Diffusion/Plan.ts"
import type * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tableau } from "../../src/Solver/index.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import * as Flows from "../support/flows.ts"

const { denoiser, uniform } = Flows

const starts = [0.3, -0.8, 1.1, 0.4, -0.2, 0.9]
const batch = Tensor.hostArray(starts, { shape: [3, 2], dtype: "float64" })

const run = (sampler: Sampler.Sampler, plan: Plan.Plan, of = denoiser) =>
  Flows.run(sampler, plan, batch, of)

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (each, i) => Math.abs(each - b[i])))

const mine = Tableau.make({ order: 3, a: [[1 / 2], [-1, 2]], b: [1 / 6, 2 / 3, 1 / 6] })

layer(Device.layerReference())((it) => {
  describe("the error falls with the method's order", () => {
    const range = [-3, 2] as const
    const cases = [
      { method: Tableau.euler, counts: [64, 128] },
      { method: Tableau.midpoint, counts: [24, 48] },
      { method: Tableau.heun, counts: [24, 48] },
      { method: mine, counts: [40, 80] },
      { method: Tableau.rk4, counts: [16, 32] },
      { method: Tableau.dopri5, counts: [14, 28] }
    ]
    const pairs = [Schedule.vp(), Schedule.flow(), Schedule.cosine()].flatMap((schedule) =>
      (["time", "sigma", "logSnr"] as const).map((variable) => [schedule, variable] as const)
    )
    for (const [schedule, variable] of pairs) {
      it.effect(`${schedule.name}, ${variable}`, () =>
        Effect.gen(function* () {
          const exact = yield* run(
            Ode.make({ method: Tableau.dopri8, variable, schedule }),
            uniform(schedule, variable, 96, range)
          )
          for (const { method, counts } of cases) {
            // it bends so little there that rounding would show
            if (method === Tableau.dopri5 && schedule.variance === "flow" && variable === "time")
              continue
            const sampler = Ode.make({ method, variable, schedule })
            const [coarse, fine] = yield* Effect.forEach(counts, (count) =>
              Effect.map(run(sampler, uniform(schedule, variable, count, range)), (x) =>
                distance(x, exact)
              )
            )
            const slope = Math.log2(coarse / fine)
            expect(slope, `${sampler.name}: ${coarse} to ${fine}`).toBeGreaterThan(
              method.order - 0.2
            )
          }
        })
      )
    }
  })
})
