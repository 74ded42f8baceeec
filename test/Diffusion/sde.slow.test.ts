/** How well methods for stochastic differential equations sample, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type * as Plan from "../../src/Diffusion/Plan.ts"
import type * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as Sde from "../../src/Diffusion/Sde.ts"
import { Sde as Methods } from "../../src/Solver/index.ts"
import { HostRandom, Random } from "../../src/Tensor/index.ts"
import * as Flows from "../support/flows.ts"
import * as Gaussians from "../support/gaussians.ts"

const { data } = Flows
const vp = Schedule.vp()
const key = Random.key(11)

const normals = (count: number, seed = 5) =>
  HostRandom.normal(HostRandom.key(seed), [count, 2], { dtype: "float64" })

const uniform = (
  variable: "time" | "logSnr",
  count: number,
  range: readonly [number, number],
  schedule: Schedule.Schedule = vp
): Plan.Plan => Flows.uniform(schedule, variable, count, range)

const run = (sampler: Sampler.Sampler, plan: Plan.Plan, x = normals(16)) =>
  Flows.run(sampler, plan, x)

const distance = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
  Math.sqrt(a.reduce((sum, each, i) => sum + (each - b[i]) ** 2, 0) / a.length)

layer(Device.layerOnnx())((it) => {
  it.effect("more steps follow the same path more closely, by the method's order", () =>
    Effect.gen(function* () {
      const range = [-3, 2] as const
      for (const variable of ["logSnr", "time"] as const) {
        const sampler = (method: Methods.Method) =>
          Sde.make({ method, key, variable, schedule: vp })
        const exact = yield* run(sampler(Methods.sra1), uniform(variable, 128, range))
        for (const [method, order] of [
          [Methods.eulerMaruyama, 1],
          [Methods.heun, 1],
          [Methods.sra1, 1.5]
        ] as const) {
          const [coarse, fine] = yield* Effect.forEach([8, 32], (count) =>
            Effect.map(run(sampler(method), uniform(variable, count, range)), (x) =>
              distance(x, exact)
            )
          )
          const slope = Math.log2(coarse / fine) / 2
          expect(slope, `${method.name} in ${variable}: ${coarse} to ${fine}`).toBeGreaterThan(
            order - 0.2
          )
        }
      }
    })
  )

  it.effect("all variables have one distribution, though not one path", () =>
    Effect.gen(function* () {
      const count = 600
      const range = [-5, 3] as const
      const plan = uniform("logSnr", 24, range)
      const target = Gaussians.noised(data, plan.levels[24])
      const [mean, variance] = [Gaussians.mean(target), Gaussians.variance(target)]
      for (const variable of ["time", "sigma", "logSnr"] as const) {
        const sampler = Sde.make({ method: Methods.sra1, key, variable, schedule: vp, depth: 16 })
        const found = Gaussians.moments(yield* run(sampler, plan, normals(count)), 2)
        mean.forEach((each, j) => {
          // five standard errors, and the method's bias
          const error = 5 * Math.sqrt(variance[j] / count)
          expect(Math.abs(found.mean[j] - each), `mean, ${variable}`).toBeLessThan(error + 0.02)
          expect(
            Math.abs(found.variance[j] / variance[j] - 1),
            `variance, ${variable}`
          ).toBeLessThan(5 * Math.sqrt(2 / count) + 0.05)
        })
      }
    })
  )
})
