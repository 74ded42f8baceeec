/** Chains that begin late, end early, or stop when they have seen enough. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import type * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

const schedule = Schedule.linear()
const plan = Plan.spaced(schedule, 10)
const data = Gaussians.mixture([
  { weight: 1, mean: [-1, 0], deviation: 0.2 },
  { weight: 1, mean: [1, 0.5], deviation: 0.3 }
])
const denoiser = Gaussians.denoiser(data)
const normals = (seed: number, shape: ReadonlyArray<number>) =>
  HostRandom.normal(HostRandom.key(seed), shape, { dtype: "float64" })

describe("parts of a plan", () => {
  const timesteps = ({ levels }: Plan.Plan) => levels.map(({ timestep }) => timestep)

  it("begin at an index, a timestep, a noise or a strength", () => {
    expect(timesteps(Plan.from(plan, { index: 7 }))).toEqual([200, 100, 0, 0])
    expect(timesteps(Plan.from(plan, { timestep: 250 }))).toEqual([200, 100, 0, 0])
    expect(timesteps(Plan.from(plan, { timestep: 200 }))).toEqual([200, 100, 0, 0])
    expect(Plan.steps(Plan.from(plan, { strength: 0.35 }))).toBe(3)
    expect(Plan.from(plan, { strength: 1 }).levels).toEqual(plan.levels)
    const { levels } = Plan.from(plan, { sigma: 1 })
    expect(levels[0].sigma).toBeLessThanOrEqual(levels[0].alpha)
    const before = plan.levels[plan.levels.indexOf(levels[0]) - 1]
    expect(before.sigma).toBeGreaterThan(before.alpha)
  })

  it("end at one", () => {
    expect(timesteps(Plan.until(plan, { index: 2 }))).toEqual([900, 800, 700])
    expect(timesteps(Plan.until(plan, { timestep: 700 }))).toEqual([900, 800, 700])
    expect(Plan.until(plan, { sigma: 0 }).levels).toEqual(plan.levels)
  })

  it("are refused where nothing is left", () => {
    expect(() => Plan.from(plan, { strength: 0.05 })).toThrow(/no step left/)
    expect(() => Plan.from(plan, { strength: 2 })).toThrow(/between 0 and 1/)
    expect(() => Plan.from(plan, { index: 1.5 })).toThrow(/there are none/)
    expect(() => Plan.until(plan, { index: 0 })).toThrow(/no step left/)
    expect(() => Plan.until(plan, { timestep: -1 })).toThrow(/there are none/)
  })
})

layer(Device.layerReference())((it) => {
  it.effect("two parts of a chain make the whole", () =>
    Effect.gen(function* () {
      const found = yield* evaluate({ x: normals(1, [3, 2]) }, ({ x }) => {
        const run = (plan: Plan.Plan, x: State) =>
          Sampler.sample({ sampler: Ode.make(), plan, denoiser }, x).x
        return {
          whole: run(plan, x),
          parts: run(Plan.from(plan, { index: 4 }), run(Plan.until(plan, { index: 4 }), x))
        }
      })
      found.whole.data.forEach((each, i) => {
        expect(found.parts.data[i]).toBeCloseTo(Number(each), 12)
      })
    })
  )

  it.effect("the forward process composes", () =>
    Effect.gen(function* () {
      const [s, t] = [plan.levels[8], plan.levels[2]]
      const inputs = {
        data: normals(2, [4, 2]),
        first: normals(3, [4, 2]),
        second: normals(4, [4, 2])
      }
      const found = yield* evaluate(inputs, ({ data, first, second }) => {
        const middle = Sampler.noised(data, s, first)
        return { middle, end: Sampler.renoised(middle, s, t, second) }
      })
      // both noises together have the noise of the second level
      const ratio = t.alpha / s.alpha
      const rest = Math.sqrt(t.sigma ** 2 - (ratio * s.sigma) ** 2)
      expect(Math.hypot(ratio * s.sigma, rest)).toBeCloseTo(t.sigma, 12)
      found.end.data.forEach((each, i) => {
        const [x, a, b] = [inputs.data, inputs.first, inputs.second].map((from) => from.data[i])
        expect(Number(found.middle.data[i])).toBeCloseTo(s.alpha * x + s.sigma * a, 12)
        expect(Number(each)).toBeCloseTo(t.alpha * x + ratio * s.sigma * a + rest * b, 12)
      })
      expect(() => Sampler.renoised({} as never, t, s, {} as never)).toThrow(/only adds noise/)
    })
  )

  it.effect("an item stops when its own criterion holds, and no other's", () =>
    Effect.gen(function* () {
      const noise = Noise.normal(Random.key(5))
      const options = { sampler: Ddim.make({ eta: 1 }), plan, denoiser, noise }
      const found = yield* evaluate({ x: normals(6, [4, 2]) }, ({ x }) => {
        const limits = Tensor.constant([2, 0, 5, 100], { dtype: "int32" })
        const all = Sampler.sample({ ...options, states: true }, x)
        return {
          states: all.states as State,
          stopped: Sampler.sampleUntil(
            {
              ...options,
              stop: (_, __, index) => Tensor.greaterEqual(Tensor.broadcastTo(index, [4]), limits)
            },
            x
          ),
          never: Sampler.sampleUntil(
            { ...options, stop: () => Tensor.cast(Tensor.scalar(0, "int32"), "bool") },
            x
          )
        }
      })
      expect(Array.from(found.stopped.evaluations.data)).toEqual([3, 1, 6, 10])
      const state = (item: number, step: number) =>
        Array.from({ length: 2 }, (_, j) => Number(found.states.data[(step * 4 + item) * 2 + j]))
      const x = (item: number, of: { readonly data: ArrayLike<number | bigint> }) =>
        [0, 1].map((j) => Number(of.data[item * 2 + j]))
      ;[2, 0, 5, 9].forEach((step, item) => {
        expect(x(item, found.stopped.x)).toEqual(state(item, step))
        expect(x(item, found.never.x)).toEqual(state(item, 9))
      })
      expect(Array.from(found.never.evaluations.data)).toEqual([10, 10, 10, 10])
    })
  )

  it.effect("a criterion sees the estimate and the state", () =>
    Effect.gen(function* () {
      const { x, data, evaluations } = yield* evaluate({ x: normals(7, [3, 2]) }, ({ x }) =>
        Sampler.sampleUntil(
          {
            sampler: Ddim.make(),
            plan: Plan.spaced(schedule, 50),
            denoiser,
            // as near to its estimate as that
            stop: ({ data }, x) =>
              Tensor.less(Tensor.mean(Tensor.abs(Tensor.sub(x, data)), { axis: [1] }), 0.1)
          },
          x
        )
      )
      for (let i = 0; i < 3; i++) {
        const off = [0, 1].map((j) =>
          Math.abs(Number(x.data[2 * i + j]) - Number(data.data[2 * i + j]))
        )
        expect((off[0] + off[1]) / 2).toBeLessThan(0.1)
        expect(evaluations.data[i]).toBeGreaterThan(10)
        expect(evaluations.data[i]).toBeLessThan(50)
      }
    })
  )
})
