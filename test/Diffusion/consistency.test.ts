/** Consistency models and their like, with functions that are known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Consistency from "../../src/Diffusion/Consistency.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"

type State = Denoiser.State

const schedule = Schedule.scaledLinear({ start: 0.00085, end: 0.012 })

describe("plans", () => {
  const sigmas = ({ levels }: Plan.Plan) => levels.map(({ sigma }) => sigma)
  const timesteps = ({ levels }: Plan.Plan) => levels.map(({ timestep }) => timestep)

  it("end at the least noise, once", () => {
    expect(sigmas(Consistency.plan(1))).toEqual([80, 0.002].map((each) => expect.closeTo(each, 9)))
    expect(sigmas(Consistency.plan([0, 22]))).toHaveLength(3)
    expect(sigmas(Consistency.plan([0, 22, 39]))).toHaveLength(3)
    expect(() => Consistency.plan([0, 40])).toThrow(/at most 39/)
    expect(() => Consistency.plan([3, 3])).toThrow(/must rise/)
    expect(() => Consistency.plan(2, { min: 0 })).toThrow(/does not fall/)
  })

  it("take some of the timesteps of a distillation", () => {
    expect(timesteps(Consistency.distilled(schedule, 4))).toEqual([999, 759, 499, 259, 0])
    expect(timesteps(Consistency.distilled(schedule, 2, { strength: 0.5 }))).toEqual([499, 259, 0])
    expect(() => Consistency.distilled(schedule, 51)).toThrow(/between 1 and the 50/)
    expect(() => Consistency.distilled(schedule, 4, { strength: 0 })).toThrow(/part in/)
  })
})

describe("options", () => {
  it("out of range are refused", () => {
    expect(() => Consistency.make({ noise: -1 })).toThrow(/below 0/)
    expect(() => Consistency.latent({ scaling: 0 })).toThrow(/above 0/)
    expect(() => Consistency.latent().steps(Plan.karras(Schedule.edm(), 4))).toThrow(
      /take a plan of Consistency.distilled/
    )
    expect(() => Consistency.trajectory({ gamma: 2 })).toThrow(/between 0 and 1/)
    expect(() =>
      Denoiser.make({ network: (x) => x, prediction: { kind: "consistency", least: -1 } })
    ).toThrow(/least noise/)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("a sampler", (it) => {
  const number = (value: number) =>
    Tensor.hostArray([value], { shape: [1, 1], dtype: "float64" } as const)
  /** What one step makes of x = 1 without noise, and of noise alone; the denoiser being linear. */
  const response = Effect.fnUntraced(function* (
    sampler: Sampler.Sampler,
    denoiser: Denoiser.Denoiser,
    plan: Plan.Plan
  ) {
    const { count } = Sampler.bind({ sampler, plan, denoiser, noise: Noise.none })
    const first = (x: number, z: number) =>
      evaluate({ x: number(x), z: number(z) }, ({ x, z }) => ({
        states: Sampler.sample(
          { sampler, plan, denoiser, noise: Noise.fixed(z as unknown as State), states: true },
          x as unknown as State
        ).states as State
      })).pipe(Effect.map(({ states }) => Number(states.data[0])))
    expect(count).toBe(Plan.steps(plan))
    return [yield* first(1, 0), yield* first(0, 1)] as const
  })

  it.effect("keeps the distribution of consistent states", () =>
    Effect.gen(function* () {
      const [spread, least] = [0.7, 0.1]
      // where the flow takes a state of normal data, at the least noise
      const exact = Denoiser.fromData((x, { sigma }) => {
        const root = Tensor.sqrt(Tensor.add(Tensor.square(sigma), spread ** 2))
        return Tensor.mul(x, Tensor.div(Math.hypot(spread, least), root)) as State
      })
      const plan = Consistency.plan([0, 20, 30], { min: least })
      const [a, b] = yield* response(Consistency.make(), exact, plan)
      const [from, to] = plan.levels
      expect(Math.hypot(a * Math.hypot(spread, from.sigma), b)).toBeCloseTo(
        Math.hypot(spread, to.sigma),
        10
      )
    })
  )

  it.effect("of trajectories keeps that of points, whatever γ is", () =>
    Effect.gen(function* () {
      const nothing = Denoiser.fromData((x) => Tensor.zerosLike(x) as State)
      const plan = Consistency.distilled(schedule, 4, { end: "first" })
      const [from, to] = plan.levels
      for (const gamma of [0, 0.3, 0.5, 1]) {
        const [a, b] = yield* response(Consistency.trajectory({ gamma }), nothing, plan)
        expect(Math.hypot(a * from.sigma, b)).toBeCloseTo(to.sigma, 10)
        expect(b === 0).toBe(gamma === 0)
      }
    })
  )

  it.effect("asks a consistency model, which leaves the least noise as it is", () =>
    Effect.gen(function* () {
      const denoiser = Denoiser.make({
        network: (x) => Tensor.full(x.shape, 9, x.dtype) as State,
        prediction: { kind: "consistency", least: 0.25 }
      })
      const level = { timestep: number(0), alpha: number(1), sigma: number(0.25) }
      const found = yield* evaluate({ x: number(3), ...level }, ({ x, ...of }) => {
        const scalar = (each: unknown) => Tensor.reshape(each as State, []) as State
        return {
          data: denoiser.estimate(x as unknown as State, {
            timestep: scalar(of.timestep),
            alpha: scalar(of.alpha),
            sigma: scalar(of.sigma)
          }).data
        }
      })
      expect(found.data.data[0]).toBeCloseTo(3, 12)
    })
  )
})
