/** How well methods for stochastic differential equations sample, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as Sde from "../../src/Diffusion/Sde.ts"
import { Sde as Methods } from "../../src/Solver/index.ts"
import { HostRandom, Random } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const data = Gaussians.mixture([
  { weight: 1, mean: [-0.7, 0.2], deviation: [0.4, 0.6] },
  { weight: 2, mean: [0.6, -0.3], deviation: 0.5 }
])
const denoiser = Gaussians.denoiser(data)
const vp = Schedule.vp()
const key = Random.key(11)

const normals = (count: number, seed = 5) =>
  HostRandom.normal(HostRandom.key(seed), [count, 2], { dtype: "float64" })

/** `count` steps of equal size in log-SNR or time. */
const uniform = (
  variable: "time" | "logSnr",
  count: number,
  [from, to]: readonly [number, number],
  schedule: Schedule.Schedule = vp
): Plan.Plan => {
  const between = Plan.atLogSnr(schedule)
  const [a, b] = variable === "time" ? [from, to].map(schedule.time) : [from, to]
  return Plan.make(
    Array.from({ length: count + 1 }, (_, i) => {
      const u = a + (i / count) * (b - a)
      return variable === "time" ? Plan.at(schedule, u) : between(u)
    }),
    between
  )
}

const run = (sampler: Sampler.Sampler, plan: Plan.Plan, x = normals(16)) =>
  Effect.map(
    evaluate({ x }, ({ x }) => Sampler.sample({ sampler, plan, denoiser }, x).x),
    ({ data }) => Array.from(data as Float64Array)
  )

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
