/** The closed forms that tests of samplers rely on. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { HostRandom, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const data = Gaussians.mixture([
  { weight: 1, mean: [-1, 0.5], deviation: [0.3, 0.6] },
  { weight: 3, mean: [1, -0.2], deviation: 0.2 }
])
const level = { alpha: 0.8, sigma: 0.6 }

it("score is the slope of the log-density", () => {
  const x = [0.3, -0.4]
  const noised = Gaussians.noised(data, level)
  const score = Gaussians.score(data, x, level)
  x.forEach((_, j) => {
    const at = (shift: number) =>
      Gaussians.logDensity(
        noised,
        x.map((each, i) => (i === j ? each + shift : each))
      )
    expect((at(1e-5) - at(-1e-5)) / 2e-5).toBeCloseTo(score[j], 8)
  })
})

it("draws have the moments that they should", () => {
  const count = 20_000
  const drawn = Gaussians.moments(Gaussians.draw(data, 7, count), 2)
  const [mean, variance] = [Gaussians.mean(data), Gaussians.variance(data)]
  mean.forEach((each, j) => {
    // five standard errors
    expect(Math.abs(drawn.mean[j] - each)).toBeLessThan(5 * Math.sqrt(variance[j] / count))
    expect(Math.abs(drawn.variance[j] / variance[j] - 1)).toBeLessThan(0.1)
  })
})

layer(Device.layerReference())("on tensors", (it) => {
  it.effect("is what it is on the host, for one level or one for each item", () =>
    Effect.gen(function* () {
      const x = HostRandom.normal(HostRandom.key(3), [4, 2, 1], { dtype: "float64" })
      const each = [0.1, 0.8, 0.6, 1]
      const found = yield* evaluate({ x }, ({ x }) => {
        const denoiser = Gaussians.denoiser(data)
        const scalar = (value: number) => Tensor.scalar(value, "float64")
        const list = (values: ReadonlyArray<number>) =>
          Tensor.constant(values, { dtype: "float64" })
        return {
          one: denoiser.estimate(x, {
            timestep: scalar(0),
            alpha: scalar(0.8),
            sigma: scalar(0.6)
          }).data,
          many: denoiser.estimate(x, {
            timestep: scalar(0),
            alpha: list(each),
            sigma: list(each)
          }).data
        }
      })
      for (let i = 0; i < 4; i++) {
        const item = Array.from(x.data.subarray(2 * i, 2 * i + 2))
        const check = (actual: ArrayLike<number>, expected: ReadonlyArray<number>) =>
          expected.forEach((value, j) => {
            expect(actual[2 * i + j]).toBeCloseTo(value, 12)
          })
        check(found.one.data as Float64Array, Gaussians.data(data, item, level))
        check(
          found.many.data as Float64Array,
          Gaussians.data(data, item, { alpha: each[i], sigma: each[i] })
        )
      }
    })
  )
})
