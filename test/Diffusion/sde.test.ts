/** Methods for stochastic differential equations as samplers, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as Sde from "../../src/Diffusion/Sde.ts"
import { Sde as Methods, Tableau } from "../../src/Solver/index.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Flows from "../support/flows.ts"
import * as Gaussians from "../support/gaussians.ts"

const { data, denoiser } = Flows
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

layer(Device.layerReference())((it) => {
  it.effect("without noise it is the probability flow", () =>
    Effect.gen(function* () {
      const plan = uniform("logSnr", 12, [-3, 2])
      for (const variable of ["time", "sigma", "logSnr"] as const) {
        const options = { variable, schedule: vp }
        for (const [method, tableau] of [
          [Methods.eulerMaruyama, Tableau.euler],
          [Methods.heun, Tableau.heun]
        ] as const) {
          const [a, b] = [
            yield* run(Sde.make({ ...options, method, key, eta: 0 }), plan),
            yield* run(Ode.make({ ...options, method: tableau }), plan)
          ]
          expect(distance(a, b), `${method.name} in ${variable}`).toBeLessThan(1e-12)
        }
      }
    })
  )

  it.effect("an item is by itself what it is in a batch, and ends without noise", () =>
    Effect.gen(function* () {
      const plan = Plan.karras(vp, 6, { min: 0.05, max: 2 })
      const sampler = Sde.make({ key, depth: 6 })
      const { states, alone } = yield* evaluate({ x: normals(3) }, ({ x }) => {
        const options = { sampler, plan, denoiser, states: true }
        return {
          states: Sampler.sample(options, x).states as Tensor.Any,
          alone: Sampler.sample(options, Tensor.slice(x, 0, { stop: 1 })).x
        }
      })
      // [step, item, dimension]
      const all = Array.from(states.data as Float64Array)
      const [before, whole] = [all.slice(24, 26), all.slice(30, 32)]
      expect(Array.from(alone.data as Float64Array)).toEqual(whole)
      const { alpha, sigma } = plan.levels[5]
      Gaussians.data(data, before, { alpha, sigma }).forEach((each, j) => {
        expect(whole[j]).toBeCloseTo(each, 10)
      })
    })
  )
})

describe("what makes no sense", () => {
  it("is refused", () => {
    const plan = uniform("logSnr", 4, [-3, 2])
    expect(() => Sde.make({ key, eta: -1 })).toThrow(/must not be below 0/)
    expect(() => Sde.make({ key, variable: "time" })).toThrow(/tell which one/)
    expect(() => Sde.make({ key }).steps(Plan.fromSigmas(vp, [1]))).toThrow(/more steps/)
    expect(() => Sde.make({ key }).steps(Plan.fromTimes(Schedule.flow(), [1, 0.5]))).toThrow(
      /take time as the variable/
    )
    const schedule = Schedule.flow()
    expect(() =>
      Sde.make({ key, variable: "time", schedule }).steps(Plan.fromTimes(schedule, [1, 0.5]))
    ).toThrow(/level 0 has no signal/)
    expect(Sde.make({ key, eta: 0.5 }).name).toBe("Euler–Maruyama in logSnr, η = 0.5")
    expect(Sde.make({ key }).steps(plan).stochastic).toBe(false)
  })
})
