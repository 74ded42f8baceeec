/** What EDM's and k-diffusion's samplers make of a Gaussian, whose denoiser is (s²x + σ²μ)/(s² + σ²). */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Dpm from "../../src/Diffusion/Dpm.ts"
import * as Dpm2 from "../../src/Diffusion/Dpm2.ts"
import * as Euler from "../../src/Diffusion/Euler.ts"
import * as Heun from "../../src/Diffusion/Heun.ts"
import * as Lms from "../../src/Diffusion/Lms.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

interface Recorded {
  readonly z: ReadonlyArray<number>
  readonly cases: Readonly<
    Record<string, { readonly nfe: number; readonly x: ReadonlyArray<number> }>
  >
  readonly schedules: Readonly<Record<string, ReadonlyArray<number>>> & {
    readonly ancestral_step: Readonly<Record<string, readonly [down: number, up: number]>>
  }
}

const read = (name: string): unknown =>
  JSON.parse(Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures", name), "utf8"))

const recorded = read("edm.json") as Recorded

/** Of test/fixtures/make-k-diffusion.py. */
const more = (
  read("k-diffusion.json") as {
    readonly cases: ReadonlyArray<{
      readonly sampler: string
      readonly steps: number
      readonly options: Readonly<Record<string, number>>
      readonly x: ReadonlyArray<number>
    }>
  }
).cases

const [mean, deviation] = [0.3, 0.5]

/** E[x₀ | αx₀ + σε = x]. */
const denoiser = Denoiser.fromData((x, { alpha, sigma }) => {
  const data = Tensor.mul(alpha, deviation ** 2) as Denoiser.State
  const total = Tensor.add(Tensor.mul(alpha, data), Tensor.square(sigma)) as Denoiser.State
  const prior = Tensor.mul(Tensor.square(sigma), mean) as Denoiser.State
  const sum = Tensor.add(Denoiser.combine([data, x]), prior) as Denoiser.State
  return Tensor.div(sum, total) as Denoiser.State
})

const state = (values: ReadonlyArray<number>): Denoiser.State =>
  Tensor.constant(
    Tensor.hostArray(values, { shape: [values.length], dtype: "float64" }) as never
  ) as Denoiser.State

const drawn = Noise.fixed(state([-1, -0.6, -0.2, 0.2, 0.6, 1]))

const wide = Schedule.edm({ min: 0.01, max: 80 })

/** A sampler and the plan that it goes along. */
type Leg = readonly [Sampler.Sampler, Plan.Plan]

/** The legs of a case, one after the other. */
const legsOf = (name: string): ReadonlyArray<Leg> => {
  const [family, method, ...rest] = name.split("/")
  const count = Number(/\d+$/.exec(rest[0] ?? method)?.[0])
  switch (family) {
    case "edm_heun":
      return [[Heun.make(), Plan.karras(Schedule.edm(), count)]]
    case "kdiff": {
      const samplers: Record<string, Sampler.Sampler> = {
        sample_euler: Euler.make(),
        sample_heun: Heun.make(),
        sample_dpmpp_2m: Dpm.multistep(),
        sample_euler_ancestral: Euler.ancestral({ eta: rest[1]?.startsWith("eta0") ? 0 : 1 })
      }
      return [[samplers[method], Plan.karras(wide, count)]]
    }
    default:
      return ablation(method, rest as never)
  }
}

/**
 * A cell of EDM's ablation: a discretisation, σ as a function of time (`schedule`) and α = 1/√(1 + σ²), by a method that steps in time, the
 * last step Euler's.
 */
const ablation = (
  method: string,
  [by, kind, scaling, steps]: readonly [Plan.Discretization, string, string, string]
): ReadonlyArray<Leg> => {
  expect(scaling).toBe("vp")
  const levels = Plan.discretized(by, Schedule.edm(), Number(steps.slice(1)))
  const { max, min } = by === "iddpm" ? { max: 81, min: 0.002 } : Plan.ends(levels)
  const [low, high] = [Math.log1p(min ** 2), Math.log1p(max ** 2)]
  const rise = (2 * (low / 1e-3 - high)) / (1e-3 - 1)
  const schedule = Schedule.make({
    name: kind,
    variance: "preserving",
    at: (of, t) => {
      const squares = {
        // σ = max·t
        linear: () => of.mul(of.of(max ** 2), of.mul(t, t)),
        // σ = max·√t
        ve: () => of.mul(of.of(max ** 2), t),
        vp: () => {
          const slope = of.add(of.mul(of.of(rise / 2), t), of.of(high - rise / 2))
          return of.sub(of.exp(of.mul(slope, t)), of.of(1))
        }
      }
      const square = squares[kind as keyof typeof squares]()
      const total = of.add(of.of(1), square)
      return { alpha: of.sqrt(of.div(of.of(1), total)), sigma: of.sqrt(of.div(square, total)) }
    }
  })
  const plan = Plan.preserving(levels)
  const sampler = (tableau: Tableau.Tableau) =>
    Ode.make({ method: tableau, variable: "time", schedule })
  if (method === "euler") return [[sampler(Tableau.euler), plan]]
  return [
    [sampler(Tableau.heun), Plan.make(plan.levels.slice(0, -1), plan.between)],
    [sampler(Tableau.euler), Plan.make(plan.levels.slice(-2), plan.between)]
  ]
}

layer(Device.layerReference())("published samplers of a Gaussian", (test) => {
  for (const [name, { nfe, x }] of Object.entries(recorded.cases)) {
    test.effect(name, () =>
      Effect.gen(function* () {
        const legs = legsOf(name)
        const [{ sigma }] = legs[0][1].levels
        const ends = recorded.z.map((z) => z * sigma)
        const end = legs.reduce(
          (from, [sampler, plan]) =>
            Sampler.sample({ sampler, plan, denoiser, noise: drawn }, from).x,
          state(ends)
        )
        const device = yield* Device.Device
        const found = (yield* device.evaluate(end as never)) as HostArray
        x.forEach((value, i) => {
          expect(Math.abs(Number(found.data[i]) / value - 1)).toBeLessThan(1e-6)
        })
        const evaluations = legs.map(([sampler, plan]) => sampler.steps(plan).levels.length)
        expect(evaluations.reduce((a, b) => a + b)).toBe(nfe)
      })
    )
  }
})

layer(Device.layerReference())("k-diffusion's samplers of a Gaussian", (test) => {
  for (const { sampler: name, steps, options, x } of more) {
    test.effect(`${name}, ${steps} steps, ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const churn = {
          churn: options.s_churn ?? 0,
          from: options.s_tmin ?? 0,
          to: options.s_tmax ?? Number.POSITIVE_INFINITY,
          scale: options.s_noise ?? 1
        }
        const ancestral = { eta: options.eta ?? 1, scale: options.s_noise ?? 1 }
        const samplers: Record<string, () => Sampler.Sampler> = {
          euler: () => Euler.make(churn),
          heun: () => Heun.make(churn),
          dpm_2: () => Dpm2.make(churn),
          euler_ancestral: () => Euler.ancestral(ancestral),
          dpm_2_ancestral: () => Dpm2.ancestral(ancestral),
          lms: () => Lms.make({ order: options.order })
        }
        const start = state(recorded.z.map((z) => z * 80))
        const device = yield* Device.Device
        const run = Effect.fnUntraced(function* (plan: Plan.Plan, from: Denoiser.State) {
          const given = { sampler: samplers[name](), plan, denoiser, noise: drawn }
          return (yield* device.evaluate(Sampler.sample(given, from).x as never)) as HostArray
        })
        const plan = Plan.karras(wide, steps)
        const found = yield* run(plan, start)
        x.forEach((value, i) => {
          expect(Math.abs(Number(found.data[i]) / value - 1)).toBeLessThan(1e-9)
        })
        // what is trapezoidal in σ is not in the coordinates of variance preserved
        if (name === "heun") return
        const [{ alpha }] = Plan.preserving(plan).levels
        const scaled = yield* run(Plan.preserving(plan), Tensor.mul(start, alpha) as Denoiser.State)
        x.forEach((value, i) => {
          expect(Math.abs(Number(scaled.data[i]) / value - 1)).toBeLessThan(1e-9)
        })
      })
    )
  }
})

describe("published noise levels", () => {
  const { schedules } = recorded
  const plans: Record<string, () => Plan.Plan> = {
    edm_karras18: () => Plan.karras(Schedule.edm(), 18),
    karras10_sd15: () =>
      Plan.karras(Schedule.scaledLinear({ start: 0.00085, end: 0.012 }), 10, {
        max: 14.614642,
        min: 0.0291675
      }),
    exponential10: () => Plan.exponential(wide, 10),
    polyexponential10_rho2: () => Plan.exponential(wide, 10, { power: 2 }),
    vp10: () =>
      Plan.exploding(
        Plan.fromTimes(
          Schedule.vp(),
          Array.from({ length: 10 }, (_, i) => 1 + (i / 9) * (1e-3 - 1))
        )
      )
  }
  for (const [name, plan] of Object.entries(plans)) {
    it(name, () => {
      const { levels } = plan()
      expect(levels.length).toBe(schedules[name].length)
      schedules[name].forEach((sigma, i) => {
        expect(Math.abs(levels[i].sigma - sigma)).toBeLessThanOrEqual(1e-12 * sigma)
      })
    })
  }
  for (const [name, [down, up]] of Object.entries(schedules.ancestral_step)) {
    it(`the ancestral step ${name}`, () => {
      const [from, to, eta] = name.split(/->|,eta=/).map(Number)
      const found = Euler.ancestralStep(from, to, eta)
      expect(found.down).toBeCloseTo(down, 12)
      expect(found.up).toBeCloseTo(up, 12)
    })
  }
})
