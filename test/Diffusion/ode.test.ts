/** Runge–Kutta methods as samplers, on data whose denoiser is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Controller, Tableau } from "../../src/Solver/index.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Flows from "../support/flows.ts"
import * as Gaussians from "../support/gaussians.ts"

const { denoiser, uniform } = Flows

const starts = [0.3, -0.8, 1.1, 0.4, -0.2, 0.9]
const batch = Tensor.hostArray(starts, { shape: [3, 2], dtype: "float64" })

const run = (sampler: Sampler.Sampler, plan: Plan.Plan, of = denoiser) =>
  Flows.run(sampler, plan, batch, of)

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (each, i) => Math.abs(each - b[i])))

const mine = Tableau.make({ order: 3, a: [[1 / 2], [-1, 2]], b: [1 / 6, 2 / 3, 1 / 6] })

layer(Device.layerReference())((it) => {
  it.effect("the error falls with the method's order", () =>
    Effect.gen(function* () {
      const schedule = Schedule.vp()
      for (const { method, count } of [
        { method: Tableau.euler, count: 32 },
        { method: Tableau.heun, count: 16 },
        { method: mine, count: 16 },
        { method: Tableau.rk4, count: 8 }
      ]) {
        const sampler = Ode.make({ method, variable: "logSnr" })
        const [a, b, c] = yield* Effect.forEach([1, 2, 4], (times) =>
          run(sampler, uniform(schedule, "logSnr", times * count, [-3, 2]))
        )
        const slope = Math.log2(distance(a, b) / distance(b, c))
        expect(Math.abs(slope - method.order), `${sampler.name}: ${slope}`).toBeLessThan(0.2)
      }
    })
  )

  const gaussian = Gaussians.gaussian([0.4, -0.2], [0.5, 0.8])
  const exactly = (plan: Plan.Plan) => {
    const { levels } = plan
    return [0, 1, 2].flatMap((i) =>
      Gaussians.carried(
        gaussian,
        starts.slice(2 * i, 2 * i + 2),
        levels[0],
        levels[levels.length - 1]
      )
    )
  }

  it.effect("all variables lead to one end, that of the closed form", () =>
    Effect.gen(function* () {
      for (const schedule of [Schedule.vp(), Schedule.subVp(), Schedule.ve(), Schedule.edm()]) {
        for (const variable of ["time", "sigma", "logSnr"] as const) {
          const sampler = Ode.make({ method: Tableau.dopri8, variable, schedule })
          const plan = uniform(schedule, variable, 40, [-2, 3])
          const x = yield* run(sampler, plan, Gaussians.denoiser(gaussian))
          expect(distance(x, exactly(plan)), `${sampler.name}, ${schedule.name}`).toBeLessThan(1e-8)
        }
      }
    })
  )

  it.effect("the state comes and goes in the plan's coordinates", () =>
    Effect.gen(function* () {
      const schedule = Schedule.linear()
      const own = Plan.spaced(schedule, 20, { end: "first", offset: 1 })
      for (const variable of ["time", "sigma", "logSnr"] as const) {
        const sampler = Ode.make({ method: Tableau.rk4, variable, schedule })
        const x = yield* run(sampler, own)
        const other = yield* Effect.map(
          evaluate(
            { x: batch },
            ({ x }) =>
              Sampler.sample(
                { sampler, plan: Plan.exploding(own), denoiser },
                Tensor.div(x, own.levels[0].alpha) as Denoiser.State
              ).x
          ),
          ({ data }) => Array.from(data as Float64Array, (each) => each * own.levels[20].alpha)
        )
        expect(distance(x, other), sampler.name).toBeLessThan(1e-10)
      }
    })
  )

  it.effect("a last level without noise is reached from wherever it can be", () =>
    Effect.gen(function* () {
      const schedule = Schedule.vp()
      const levels = uniform(schedule, "logSnr", 40, [-6, 12]).levels
      const clean = { timestep: 0, alpha: 1, sigma: 0 }
      const plan = Plan.make([...levels, clean], Plan.atLogSnr(schedule))
      for (const method of [Tableau.euler, Tableau.midpoint, Tableau.heun, Tableau.dopri5]) {
        for (const variable of ["time", "sigma", "logSnr"] as const) {
          const sampler = Ode.make({ method, variable, schedule })
          const x = yield* run(sampler, plan, Gaussians.denoiser(gaussian))
          const bound = method.order > 1 ? 0.03 : 0.3
          expect(distance(x, exactly(plan)), sampler.name).toBeLessThan(bound)
        }
      }
    })
  )

  it.effect("each item finds steps of its own, and the end to the tolerance", () =>
    Effect.gen(function* () {
      const steps = Controller.pi({ absolute: 1e-7, relative: 1e-7 })
      for (const schedule of [Schedule.vp(), Schedule.linear()]) {
        const plan = uniform(schedule, "logSnr", 1, [-3, 4])
        const exact = yield* run(
          Ode.make({ method: Tableau.dopri8, variable: "logSnr" }),
          uniform(schedule, "logSnr", 60, [-3, 4])
        )
        for (const variable of ["time", "sigma", "logSnr"] as const) {
          const options = { denoiser, plan, schedule, variable, steps }
          const all = yield* evaluate({ x: batch }, ({ x }) => Ode.adaptive(options, x))
          expect(Array.from(all.status.data as Float64Array)).toEqual([1, 1, 1])
          expect(
            distance(all.x.data as Float64Array, exact),
            `${schedule.name}, ${variable}`
            // between the levels of a discrete schedule time is bent
          ).toBeLessThan(Schedule.isDiscrete(schedule) && variable === "time" ? 1e-3 : 1e-5)
          const alone = yield* evaluate(
            { x: Tensor.hostArray(starts.slice(2, 4), { shape: [1, 2], dtype: "float64" }) },
            ({ x }) => Ode.adaptive(options, x)
          )
          expect(alone.accepted.data[0]).toBe(all.accepted.data[1])
          expect(alone.x.data[0]).toBe(all.x.data[2])
        }
      }
    })
  )

  it.effect("steps under control end without noise where the plan does", () =>
    Effect.gen(function* () {
      const schedule = Schedule.edm()
      const plan = Plan.karras(schedule, 5)
      const { x, evaluations, accepted } = yield* evaluate({ x: batch }, ({ x }) =>
        Ode.adaptive(
          { denoiser: Gaussians.denoiser(gaussian), plan, schedule },
          Tensor.mul(x, 80) as Denoiser.State
        )
      )
      const exact = [0, 1, 2].flatMap((i) =>
        Gaussians.carried(
          gaussian,
          starts.slice(2 * i, 2 * i + 2).map((each) => 80 * each),
          plan.levels[0],
          plan.levels[5]
        )
      )
      expect(distance(x.data as Float64Array, exact)).toBeLessThan(1e-2)
      expect(Number(evaluations.data[0])).toBeGreaterThan(6 * Number(accepted.data[0]))
    })
  )
})

describe("the plan of evaluations", () => {
  const schedule = Schedule.vp()
  const plan = uniform(schedule, "logSnr", 10, [-3, 2])
  const count = (method: Tableau.Tableau, of: Plan.Plan = plan) =>
    Ode.make({ method, variable: "sigma" }).steps(of).levels.length

  it("asks once for the last stage of a step and the first of the next", () => {
    expect(count(Tableau.euler)).toBe(10)
    expect(count(Tableau.heun)).toBe(20)
    expect(count(Tableau.bosh3)).toBe(30)
    expect(count(Tableau.dopri5)).toBe(60)
  })

  it("asks once where a step leads to data", () => {
    const { levels, between } = plan
    const ended = Plan.make([...levels, { timestep: 0, alpha: 1, sigma: 0 }], between)
    expect(count(Tableau.heun, ended)).toBe(21)
    expect(count(Tableau.midpoint, ended)).toBe(22)
  })

  it("keeps no registers that it does not need", () => {
    const registers = (method: Tableau.Tableau) => Ode.make({ method }).steps(plan).registers
    expect(registers(Tableau.euler)).toEqual([])
    expect(registers(Tableau.midpoint)).toEqual(["start"])
    expect(registers(Tableau.heun)).toEqual(["start", "k0"])
  })

  it("refuses what has no place", () => {
    const flow = Schedule.flow()
    const whole = Plan.fromTimes(flow, [1, 0.5])
    expect(() => Ode.make().steps(whole)).toThrow(/take time as the variable/)
    expect(Ode.make({ variable: "time", schedule: flow }).steps(whole).levels.length).toBe(3)
    expect(() => Ode.make({ variable: "time" })).toThrow(/tell which one/)
    expect(() => Ode.make({ variable: "lambda" as never })).toThrow(/"time", "sigma" or "logSnr"/)
    expect(() =>
      Ode.make({ variable: "time", schedule }).steps(Plan.fromSigmas(schedule, [1e4, 1]))
    ).toThrow(/no time of the schedule VP/)
  })
})
