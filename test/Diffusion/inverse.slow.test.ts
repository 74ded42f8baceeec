/** Samples of inverse problems whose answers are known have the moments that they should. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Guidance from "../../src/Diffusion/Guidance.ts"
import * as Inverse from "../../src/Diffusion/Inverse.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { numbers } from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

/**
 * Two numbers of variance 1 with a correlation ρ. Along (1, 1)/√2 and (1, −1)/√2 they are independent, with variances 1 ± ρ: there
 * E[x₀ | x] = αv/(α²v + σ²)·x.
 */
const correlated = (rho: number): Denoiser.Denoiser =>
  Denoiser.fromData((x, { alpha, sigma }) => {
    const turned = (z: State) =>
      Tensor.matmul(
        z,
        Tensor.constant([Math.SQRT1_2, Math.SQRT1_2, Math.SQRT1_2, -Math.SQRT1_2], {
          shape: [2, 2],
          dtype: z.dtype
        }) as State as never
      ) as State
    const variance = Tensor.constant([1 + rho, 1 - rho], { dtype: x.dtype }) as State
    const total = Tensor.add(
      Tensor.mul(variance, Tensor.square(alpha) as State) as State,
      Tensor.square(sigma) as State
    )
    const gain = Tensor.div(Tensor.mul(variance, alpha) as State, total as State) as State
    return turned(Tensor.mul(turned(x), gain) as State)
  })

layer(Device.layerOnnx())("samples of the posterior", (it) => {
  const count = 4000
  const schedule = Schedule.linear()
  const key = Random.key(11)
  const rho = 0.8

  /** Mean and variance of the second of two numbers, of which the first is known to be 1. */
  const second = (sampler: (known: State, mask: State) => Sampler.Sampler, steps: number) =>
    Effect.map(
      evaluate({ key: HostRandom.toHostArray(HostRandom.key(11)) }, () => {
        const [known, mask] = [
          [1, 0],
          [1, 0]
        ].map((each) => Tensor.constant(each) as State)
        return Sampler.sample(
          {
            sampler: sampler(known, mask),
            plan: Plan.spaced(schedule, steps),
            denoiser: correlated(rho),
            noise: Noise.normal(key)
          },
          Noise.initial(key, [count, 2])
        ).x
      }),
      (found) => {
        const { mean, variance } = Gaussians.moments(numbers(found), 2)
        expect([mean[0], variance[0]]).toEqual([1, 0])
        return { mean: mean[1], variance: variance[1] }
      }
    )

  it.effect("by RePaint have its moments, and by replacement alone have not", () =>
    Effect.gen(function* () {
      const ddpm = Ddim.make({ eta: 1 })
      const plain = yield* second(
        (known, mask) => Inverse.replacement({ sampler: ddpm, known, mask }),
        50
      )
      const painted = yield* second(
        (known, mask) => Inverse.repaint({ known, mask, jump: 5, resamples: 10 }),
        50
      )
      expect(Math.abs(plain.mean - rho)).toBeGreaterThan(0.1)
      // the second given the first: N(ρ, 1 − ρ²)
      expect(Math.abs(painted.mean - rho)).toBeLessThan(0.05)
      expect(Math.abs(painted.variance - (1 - rho ** 2))).toBeLessThan(0.12)
      // and what is left is what its steps make of it: the first number is drawn anew each time, so that they stay independent
      const known = Tensor.constant([1, 0]) as State
      const plan = Plan.spaced(schedule, 50)
      const { columns, levels } = Inverse.repaint({
        known,
        mask: known,
        jump: 5,
        resamples: 10
      }).steps(plan)
      let [m1, v1, m, v] = [0, 1, 0, 1]
      levels.forEach(({ alpha, sigma }, i) => {
        const gain = (variance: number) => (alpha * variance) / (alpha ** 2 * variance + sigma ** 2)
        const [sum, difference] = [gain(1 + rho), gain(1 - rho)]
        // x̂₀ of the second from the first and the second
        const from = [(sum - difference) / 2, (sum + difference) / 2]
        const [a, b] = [0, 1].map(
          (k) => columns.data[i] * from[k] + (columns.noise[i] * (k - alpha * from[k])) / sigma
        )
        m = a * m1 + b * m
        v = a ** 2 * v1 + b ** 2 * v + columns.fresh[i] ** 2
        m1 = columns.known[i]
        v1 = columns["known fresh"][i] ** 2
      })
      expect(Math.abs(painted.mean - m)).toBeLessThan(5 * Math.sqrt(v / count))
      expect(Math.abs(painted.variance / v - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
    })
  )

  it.effect("by pseudoinverse guidance have its moments, with noise and without", () =>
    Effect.gen(function* () {
      const tau = 0.5
      const measured = 1.2
      const plan = Plan.spaced(schedule, 100)
      for (const eta of [0, 1]) {
        const found = yield* evaluate({ key: HostRandom.toHostArray(HostRandom.key(11)) }, () => {
          const denoiser = Inverse.pseudoInverse({
            denoiser: Gaussians.denoiser(Gaussians.gaussian([0, 0], 1)),
            operator: (data) => Tensor.slice(data, 1, { stop: 1 }) as State,
            measured: Tensor.full([count, 1], measured) as State,
            deviation: tau
          })
          return Sampler.sample(
            { sampler: Ddim.make({ eta }), plan, denoiser, noise: Noise.normal(key) },
            Noise.initial(key, [count, 2])
          ).x
        })
        const { mean, variance } = Gaussians.moments(numbers(found), 2)
        const share = 1 / (1 + tau ** 2)
        expect(Math.abs(mean[0] - share * measured)).toBeLessThan(0.04)
        expect(Math.abs(variance[0] - share * tau ** 2)).toBeLessThan(0.03)
        expect(Math.abs(mean[1])).toBeLessThan(0.08)
        expect(Math.abs(variance[1] - 1)).toBeLessThan(0.12)
      }
    })
  )

  it.effect("by DPS as a score have the moments of its approximation", () =>
    Effect.gen(function* () {
      // the likelihood of x̂₀ = αx has a variance τ² instead of τ² + σ²: a linear score, carried along on the host
      const [tau, y] = [1, 1.2]
      const plan = Plan.spaced(schedule, 50)
      const found = yield* evaluate({ key: HostRandom.toHostArray(HostRandom.key(11)) }, () => {
        const denoiser = Guidance.likelihood({
          denoiser: Gaussians.denoiser(Gaussians.gaussian([0], 1)),
          logLikelihood: ({ estimate }) =>
            Tensor.mul(
              Tensor.square(Tensor.sub(estimate.data, y) as State) as State,
              -0.5 / tau ** 2
            ) as State
        })
        return Sampler.sample(
          { sampler: Ddim.make({ eta: 1 }), plan, denoiser, noise: Noise.normal(key) },
          Noise.initial(key, [count, 1])
        ).x
      })
      let [m, v] = [0, 1]
      plan.levels.slice(1).forEach((to, i) => {
        const { alpha, sigma } = plan.levels[i]
        // x₀ = ax + b, ε = cx + d
        const gain = sigma ** 2 / alpha
        const [a, b] = [alpha - (gain * alpha ** 2) / tau ** 2, (gain * alpha * y) / tau ** 2]
        const [c, d] = [(1 - alpha * a) / sigma, (-alpha * b) / sigma]
        const fresh =
          to.sigma ** 2 * Math.max(0, 1 - ((alpha * to.sigma) / (to.alpha * sigma)) ** 2)
        const rest = Math.sqrt(Math.max(0, to.sigma ** 2 - fresh))
        const [slope, shift] = [to.alpha * a + rest * c, to.alpha * b + rest * d]
        m = slope * m + shift
        v = slope ** 2 * v + fresh
      })
      const { mean, variance } = Gaussians.moments(numbers(found), 1)
      expect(Math.abs(mean[0] - m)).toBeLessThan(5 * Math.sqrt(v / count))
      expect(Math.abs(variance[0] / v - 1)).toBeLessThan(0.12)
    })
  )
})
