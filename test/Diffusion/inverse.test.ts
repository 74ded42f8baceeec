/** Inverse problems whose answers are known: Gaussian data, measured linearly with Gaussian noise. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import * as Inverse from "../../src/Diffusion/Inverse.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { HostRandom, Tensor } from "../../src/Tensor/index.ts"
import { numbers } from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

const near = (actual: ArrayLike<number>, expected: ReadonlyArray<number>, digits = 10) => {
  expect(actual.length).toBe(expected.length)
  expected.forEach((each, i) => {
    expect(actual[i]).toBeCloseTo(each, digits)
  })
}

describe("RePaint's walk", () => {
  it("is that of the published code", () => {
    // the places, from the data on, of diffusers' set_timesteps(6, jump_length=2, jump_n_sample=3) where the network is asked
    const walk = Inverse.repaintWalk(6, { jump: 2, resamples: 3 })
    expect(walk.map(({ at }) => 5 - at)).toEqual([5, 4, 3, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 0])
    const back = walk.flatMap(({ back }, i) => (back === undefined ? [] : [[i, back]]))
    expect(back).toEqual([
      [3, 2],
      [5, 2],
      [9, 4],
      [11, 4]
    ])
  })

  it("goes straight without resampling, or where a jump is too long", () => {
    for (const options of [
      { jump: 2, resamples: 1 },
      { jump: 5, resamples: 4 }
    ]) {
      expect(Inverse.repaintWalk(5, options).map(({ at }) => at)).toEqual([0, 1, 2, 3, 4])
    }
    // by default: 10 times through each of 24 stretches of 10 steps, and once through the last
    expect(Inverse.repaintWalk(250)).toHaveLength(24 * 10 * 10 + 10)
  })

  it("refuses what is none", () => {
    const options = { known: Tensor.scalar(0) as State, mask: Tensor.scalar(1) as State }
    expect(() => Inverse.repaint({ ...options, jump: 0 })).toThrow(DiffusionError)
    expect(() => Inverse.repaint({ ...options, resamples: 1.5 })).toThrow("not 1.5")
    expect(() => Inverse.repaint({ ...options, eta: 2 })).toThrow(DiffusionError)
  })
})

layer(Device.layerReference())("given what is measured", (it) => {
  const x = HostRandom.normal(HostRandom.key(1), [4, 3], { dtype: "float64" })
  const scalar = (value: number): State => Tensor.scalar(value, "float64")
  const [alpha, sigma] = [0.8, 0.6]
  const level = { timestep: scalar(0), alpha: scalar(alpha), sigma: scalar(sigma) }

  it.effect("pseudoinverse guidance is exact for Gaussian data", () =>
    Effect.gen(function* () {
      const [s, tau] = [0.5, 0.3]
      const mean = [1, 0, -1]
      const denoiser = Gaussians.denoiser(Gaussians.gaussian(mean, s))
      const variance = ({ alpha, sigma }: Denoiser.Level) => {
        const noise = Tensor.square(sigma) as State
        const total = Tensor.add(Tensor.mul(Tensor.square(alpha) as State, s ** 2), noise)
        return Tensor.mul(Tensor.div(noise, total as State) as State, s ** 2) as State
      }
      // y = x₀·(0.6, 0.8, 0), of length 1; the same times 2 needs to be told that AAᵀ = 4
      const along = (scale: number) => (data: State) =>
        Tensor.sum(
          Tensor.mul(
            data,
            Tensor.constant([0.6 * scale, 0.8 * scale, 0], { dtype: "float64" })
          ) as State,
          { axis: [1] }
        ) as State
      const measured = [0.3, -0.2, 1.5, 0]
      const y = (scale: number) =>
        Tensor.constant(
          measured.map((each) => each * scale),
          { dtype: "float64" }
        ) as State
      const found = yield* evaluate({ x }, ({ x }) => {
        const options = { denoiser, variance }
        const plain = Inverse.pseudoInverse({
          ...options,
          operator: along(1),
          measured: y(1),
          deviation: tau
        })
        const scaled = Inverse.pseudoInverse({
          ...options,
          operator: along(2),
          measured: y(2),
          solve: (residual, r2) =>
            Tensor.div(residual, Tensor.add(Tensor.mul(r2, 4), (2 * tau) ** 2) as State) as State
        })
        return { plain: plain.estimate(x, level).data, scaled: scaled.estimate(x, level).data }
      })
      // given x, x₀ ~ N(μ, r²), and given y too its mean moves along A by r²/(r² + τ²) of what is missing
      const r2 = (s * sigma) ** 2 / (alpha ** 2 * s ** 2 + sigma ** 2)
      const exact = Array.from({ length: 4 }, (_, i) => {
        const item = [...x.data.subarray(3 * i, 3 * i + 3)]
        const mu = Gaussians.data(Gaussians.gaussian(mean, s), item, { alpha, sigma })
        const missing = measured[i] - 0.6 * mu[0] - 0.8 * mu[1]
        return mu.map((each, j) => each + (r2 / (r2 + tau ** 2)) * missing * [0.6, 0.8, 0][j])
      }).flat()
      near(numbers(found.plain), exact)
      near(numbers(found.scaled), exact)
    })
  )

  it.effect("DPS adds the gradient of a likelihood of the estimate to a step", () =>
    Effect.gen(function* () {
      const denoiser = Gaussians.denoiser(Gaussians.gaussian([0, 0, 0], 1))
      const plan = Plan.make(
        [
          { timestep: 0, alpha, sigma },
          { timestep: 0, alpha: 1, sigma: 0 }
        ],
        () => ({ timestep: 0, alpha, sigma })
      )
      const end = (sampler: Sampler.Sampler) =>
        evaluate({ x }, ({ x }) => Sampler.sample({ sampler, plan, denoiser }, x).x)
      const sampler = Inverse.dps({
        sampler: Ddim.make(),
        logLikelihood: (data) =>
          Tensor.mul(Tensor.square(Tensor.sub(data, 2) as State) as State, -1) as State,
        scale: 0.3
      })
      const [plain, found] = [yield* end(Ddim.make()), yield* end(sampler)]
      // x̂₀ = αx, so that the gradient is −2(αx − 2)α
      near(
        numbers(found),
        [...numbers(plain)].map((each, i) => each - 0.3 * 2 * alpha * (alpha * x.data[i] - 2))
      )
      expect(Inverse.dps({ sampler, logLikelihood: (data) => data, scale: 0 })).toBe(sampler)
    })
  )

  it.effect("a sampler with replacement knows what is known, at every level", () =>
    Effect.gen(function* () {
      const plan = Plan.spaced(Schedule.linear(), 10)
      const known = Tensor.constant([7, 8, 9], { dtype: "float64" }) as State
      const mask = Tensor.constant([1, 0, 1], { dtype: "float64" }) as State
      const asked: Array<State> = []
      const found = yield* evaluate({ x }, ({ x }) => {
        const noise = Tensor.full([4, 3], 0.5, "float64") as State
        const sampler = Inverse.replacement({ sampler: Ddim.make({ eta: 1 }), known, mask })
        const bound = Sampler.bind(
          {
            sampler,
            plan,
            denoiser: Denoiser.fromData((x) => {
              asked.push(x)
              return x
            }),
            noise: Noise.fixed(noise)
          },
          "float64"
        )
        const row = Object.fromEntries(
          Object.entries(bound.rows).map(([name, { data }]) => [name, scalar(Number(data[4]))])
        )
        bound.step(bound.begin(x), row)
        const { x: end } = Sampler.sample(
          {
            sampler,
            plan,
            denoiser: Gaussians.denoiser(Gaussians.gaussian([0, 0, 0], 1)),
            noise: Noise.fixed(noise)
          },
          x
        )
        return { asked: asked[0], end }
      })
      const { alpha, sigma } = plan.levels[4]
      near(
        numbers(found.asked),
        [...x.data].map((each, i) => [7 * alpha + sigma / 2, each, 9 * alpha + sigma / 2][i % 3])
      )
      const end = numbers(found.end)
      for (let i = 0; i < 4; i++) {
        near([end[3 * i], end[3 * i + 2]], [7, 9])
        expect(Math.abs(end[3 * i + 1])).toBeLessThan(3)
      }
    })
  )
})
