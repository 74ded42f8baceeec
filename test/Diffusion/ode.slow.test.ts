/** Of what order Runge–Kutta methods are as samplers, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tableau } from "../../src/Solver/index.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const data = Gaussians.mixture([
  { weight: 1, mean: [-0.7, 0.2], deviation: [0.4, 0.6] },
  { weight: 2, mean: [0.6, -0.3], deviation: 0.5 }
])
const denoiser = Gaussians.denoiser(data)
const starts = [0.3, -0.8, 1.1, 0.4, -0.2, 0.9]
const batch = Tensor.hostArray(starts, { shape: [3, 2], dtype: "float64" })

/** `count` steps of equal size in a variable, between two log-SNRs. */
const uniform = (
  schedule: Schedule.Schedule,
  variable: Ode.Variable,
  count: number,
  [from, to]: readonly [number, number]
): Plan.Plan => {
  const between = Plan.atLogSnr(schedule)
  const place = (logSnr: number) =>
    variable === "time"
      ? schedule.time(logSnr)
      : variable === "sigma"
        ? Math.exp(-logSnr / 2)
        : logSnr
  const back = (u: number) =>
    variable === "time"
      ? Plan.at(schedule, u)
      : between(variable === "sigma" ? -2 * Math.log(u) : u)
  const [a, b] = [place(from), place(to)]
  return Plan.make(
    Array.from({ length: count + 1 }, (_, i) => back(a + (i / count) * (b - a))),
    between
  )
}

const run = (sampler: Sampler.Sampler, plan: Plan.Plan, of = denoiser) =>
  Effect.map(
    evaluate({ x: batch }, ({ x }) => Sampler.sample({ sampler, plan, denoiser: of }, x).x),
    (x) => Array.from(x.data as Float64Array)
  )

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
