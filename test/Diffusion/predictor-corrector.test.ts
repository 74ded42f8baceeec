/** Langevin corrections between the steps of a sampler. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as PredictorCorrector from "../../src/Diffusion/PredictorCorrector.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tableau } from "../../src/Solver/index.ts"
import { HostRandom, Random, type Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const schedule = Schedule.edm({ min: 0.02, max: 40 })
const data = Gaussians.mixture([
  { weight: 1, mean: [-0.7, 0.2, 0, 0.1], deviation: 0.5 },
  { weight: 2, mean: [0.6, -0.3, 0.4, 0], deviation: [0.5, 0.4, 0.6, 0.5] }
])
const denoiser = Gaussians.denoiser(data)
const euler = Ode.make({ method: Tableau.euler })
const heun = Ode.make()

it("asks once more for each correction, at the plan's levels", () => {
  const plan = Plan.karras(schedule, 3)
  const levels = (predictor: Sampler.Sampler, corrections: number) =>
    PredictorCorrector.make({ predictor, corrections })
      .steps(plan)
      .levels.map((level) => plan.levels.indexOf(level))
  expect(levels(euler, 1)).toEqual([0, 0, 1, 1, 2, 2])
  expect(levels(euler, 2)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2])
  // trial points are not corrected
  const { levels: asked, columns } = PredictorCorrector.make({ predictor: heun }).steps(plan)
  expect(asked.length).toBe(8)
  expect(columns.corrects).toEqual([1, 0, 0, 1, 0, 0, 1, 0])
})

it("refuses what makes no sense", () => {
  const make = PredictorCorrector.make
  expect(() => make({ predictor: euler, snr: 0 })).toThrow(/above 0/)
  expect(() => make({ predictor: euler, corrections: 0.5 })).toThrow(/whole number/)
  const nowhere: Sampler.Sampler = {
    name: "nowhere",
    steps: (plan) => ({
      ...euler.steps(plan),
      levels: euler.steps(plan).levels.map((each) => ({ ...each, sigma: 2 * each.sigma + 1 }))
    })
  }
  expect(() => make({ predictor: nowhere }).steps(Plan.karras(schedule, 3))).toThrow(
    /nowhere to correct/
  )
  expect(() =>
    Sampler.bind({ sampler: make({ predictor: euler }), plan: Plan.karras(schedule, 3), denoiser })
  ).toThrow(/give it some/)
})

layer(Device.layerOnnx())((it) => {
  it.effect("a correction is one step of Langevin dynamics", () =>
    Effect.gen(function* () {
      const inputs = {
        x: HostRandom.normal(HostRandom.key(1), [2, 4], { dtype: "float64" }),
        z: HostRandom.normal(HostRandom.key(2), [2, 4], { dtype: "float64" })
      }
      const level = { timestep: 0, alpha: 0.8, sigma: 0.6 }
      const plan = Plan.make([level, { timestep: 0, alpha: 1, sigma: 0.1 }], () => level)
      const snr = 0.2
      const states = yield* evaluate(inputs, ({ x, z }) => {
        const sampler = PredictorCorrector.make({ predictor: Ddim.make(), snr })
        const options = { sampler, plan, denoiser, noise: Noise.fixed(z), states: true }
        return Sampler.sample(options, x).states as Tensor.Any
      })
      for (let i = 0; i < 2; i++) {
        const item = (of: { readonly data: Float64Array }) =>
          Array.from(of.data.subarray(4 * i, 4 * i + 4))
        const [x, z] = [item(inputs.x), item(inputs.z)]
        const score = Gaussians.score(data, x, level)
        const delta = 2 * (snr * (Math.hypot(...z) / Math.hypot(...score))) ** 2
        x.forEach((each, j) => {
          expect(Number(states.data[4 * i + j])).toBeCloseTo(
            each + delta * score[j] + Math.sqrt(2 * delta) * z[j],
            12
          )
        })
      }
    })
  )

  it.effect("corrections bring few steps nearer to the data", () =>
    Effect.gen(function* () {
      // norms of single items need many dimensions
      const dimension = 24
      const wide = Gaussians.mixture(
        data.components.map(({ weight, mean }) => ({
          weight,
          mean: Array.from({ length: dimension }, (_, j) => mean[j % 4] / 2),
          deviation: Array.from({ length: dimension }, (_, j) => 0.4 + 0.05 * (j % 4))
        }))
      )
      const plan = Plan.karras(schedule, 8)
      const found = yield* evaluate(
        { x: HostRandom.normal(HostRandom.key(3), [300, dimension], { dtype: "float64" }) },
        ({ x }) => {
          const start = Sampler.noised(x, { alpha: Sampler.deviation(plan), sigma: 0 }, x)
          const noise = Noise.normal(Random.key(4))
          const run = (sampler: Sampler.Sampler) =>
            Sampler.sample({ sampler, plan, denoiser: Gaussians.denoiser(wide), noise }, start).x
          return {
            plain: run(euler),
            corrected: run(PredictorCorrector.make({ predictor: euler, corrections: 3, snr: 0.2 }))
          }
        }
      )
      const target = [Gaussians.mean(wide), Gaussians.variance(wide)]
      const off = (items: ArrayLike<number>) => {
        const { mean, variance } = Gaussians.moments(items, dimension)
        return mean.reduce(
          (sum, each, j) =>
            sum +
            (each - target[0][j]) ** 2 +
            (Math.sqrt(variance[j]) - Math.sqrt(target[1][j])) ** 2,
          0
        )
      }
      const [plain, corrected] = [found.plain, found.corrected].map(({ data }) =>
        off(data as Float64Array)
      )
      expect(corrected, `from ${plain}`).toBeLessThan(plain / 2)
    })
  )
})
