/** DDIM: its inversion returns, and η = 1 is DDPM. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Ddpm from "../../src/Diffusion/Ddpm.ts"
import type * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { HostRandom } from "../../src/Tensor/index.ts"
import { evaluate, property } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

const denoiser = Gaussians.denoiser(
  Gaussians.mixture([
    { weight: 1, mean: [-1, 0], deviation: 0.3 },
    { weight: 1, mean: [1, 0.5], deviation: 0.5 }
  ])
)
const normals = (seed: number) =>
  HostRandom.normal(HostRandom.key(seed), [4, 2], { dtype: "float64" })
const schedule = Schedule.linear()

describe("options", () => {
  it("out of range are refused", () => {
    expect(() => Ddim.make({ eta: 1.5 })).toThrow(/between 0 and 1/)
    expect(() => Ddim.inverse({ refinements: -1 })).toThrow(/whole number/)
    const plan = Plan.spaced(schedule, 5)
    expect(() => Sampler.bind({ sampler: Ddim.inverse(), plan, denoiser })).toThrow(/`first` level/)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("DDIM", (it) => {
  /** How far from x one is after going to noise and back. */
  const missed = (count: number, refinements: number) =>
    Effect.gen(function* () {
      const plan = Plan.spaced(schedule, count, { end: "first" })
      const x = normals(1)
      const back = yield* evaluate({ x }, ({ x }) => {
        const noise = Sampler.sample(
          { sampler: Ddim.inverse({ refinements }), plan, denoiser },
          x as unknown as State
        )
        return { x: Sampler.sample({ sampler: Ddim.make(), plan, denoiser }, noise.x).x }
      })
      return Math.max(...back.x.data.map((each, i) => Math.abs(Number(each) - Number(x.data[i]))))
    })

  it.effect("returns from its inversion: the nearer, the more steps and refinements", () =>
    Effect.gen(function* () {
      const [few, many] = [yield* missed(25, 0), yield* missed(100, 0)]
      expect(few).toBeLessThan(0.5)
      expect(many).toBeLessThan(few / 3)
      const refined = yield* missed(100, 2)
      expect(refined).toBeLessThan(many / 10)
      expect(yield* missed(100, 6)).toBeLessThan(1e-8)
    })
  )

  it.effect("is DDPM for η = 1, along any plan", () =>
    property(
      fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { minLength: 1, maxLength: 6 }),
      Effect.fnUntraced(function* (timesteps) {
        const plan = Plan.fromTimesteps(
          schedule,
          timesteps.toSorted((a, b) => b - a)
        )
        const noises = { x: normals(2), z: normals(3) }
        const found = yield* evaluate(noises, ({ x, z }) => {
          const run = (sampler: Sampler.Sampler) =>
            Sampler.sample(
              { sampler, plan, denoiser, noise: Noise.fixed(z as unknown as State) },
              x as unknown as State
            ).x
          return { ddim: run(Ddim.make({ eta: 1 })), ddpm: run(Ddpm.make()) }
        })
        found.ddim.data.forEach((each, i) => {
          expect(each).toBeCloseTo(Number(found.ddpm.data[i]), 10)
        })
      })
    )
  )
})
