/** Pseudo numerical methods, where the flow is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import type * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Pndm from "../../src/Diffusion/Pndm.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const schedule = Schedule.vp()
const plan = (count: number) =>
  Plan.fromTimes(
    schedule,
    Array.from({ length: count + 1 }, (_, i) => 0.8 - (0.6 * i) / count),
    { end: "last" }
  )

const samplers = {
  PNDM: Pndm.make(),
  "PNDM of v": Pndm.make({ of: "v" }),
  PLMS: Pndm.make({ warmUp: "multistep" }),
  "PLMS of v": Pndm.make({ warmUp: "multistep", of: "v" }),
  iPNDM: Pndm.improved()
}

describe("PNDM", () => {
  it("evaluates four times in a step of Runge–Kutta, and twice in a corrected one", () => {
    const count = (sampler: Sampler.Sampler, of: Plan.Plan) => sampler.steps(of).levels.length
    expect(count(samplers.PNDM, plan(10))).toBe(3 * 4 + 7)
    expect(count(samplers.PNDM, plan(2))).toBe(2 * 4)
    // where no noise is left there is nothing to ask
    expect(count(samplers.PNDM, Plan.spaced(Schedule.linear(), 2))).toBe(4 + 1)
    expect(count(samplers.PLMS, plan(10))).toBe(11)
    expect(count(samplers.PLMS, Plan.spaced(Schedule.linear(), 1))).toBe(1)
    expect(count(samplers.iPNDM, plan(10))).toBe(10)
  })

  it("refuses what it cannot do", () => {
    expect(() => Pndm.improved({ order: 5 })).toThrow(/1, 2, 3 or 4/)
    expect(() => samplers["PNDM of v"].steps(Plan.exploding(plan(5)))).toThrow(/preserves variance/)
    expect(() => samplers.PLMS.steps(Pndm.plan(5))).toThrow(/cannot begin without signal/)
    expect(() => Pndm.plan(0)).toThrow(/above 0/)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("PNDM", (it) => {
  const data = Gaussians.gaussian([0.7], 0.4)
  const error = (sampler: Sampler.Sampler, count: number) =>
    Effect.gen(function* () {
      const along = plan(count)
      const x = Tensor.hostArray([1.3], { shape: [1, 1], dtype: "float64" } as const)
      const found = yield* evaluate({ x }, ({ x }) => ({
        x: Sampler.sample(
          { sampler, plan: along, denoiser: Gaussians.denoiser(data) },
          x as unknown as Denoiser.State
        ).x
      }))
      const [first, last] = [along.levels[0], along.levels[count]]
      return Math.abs(Number(found.x.data[0]) - Gaussians.carried(data, [1.3], first, last)[0])
    })

  for (const [name, sampler] of Object.entries(samplers)) {
    const order = name.endsWith("of v") ? 1 : 2
    it.effect(`${name} is of order ${order}`, () =>
      Effect.gen(function* () {
        const [coarse, fine] = [yield* error(sampler, 80), yield* error(sampler, 320)]
        expect(Math.abs(Math.log(coarse / fine) / Math.log(4) - order)).toBeLessThan(0.1)
        if (order > 1) expect(coarse).toBeLessThan((yield* error(Ddim.make(), 80)) / 100)
      })
    )
  }
})
