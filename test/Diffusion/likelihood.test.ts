/** Log-likelihoods through the probability flow, on data whose density is known. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Likelihood from "../../src/Diffusion/Likelihood.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Controller, Tableau } from "../../src/Solver/index.ts"
import { Gradient, HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

const mixture = Gaussians.mixture([
  { weight: 1, mean: [-0.7, 0.2], deviation: [0.4, 0.6] },
  { weight: 2, mean: [0.6, -0.3], deviation: 0.5 }
])
const schedules = [Schedule.vp(), Schedule.edm(), Schedule.flow()]
const points = HostRandom.normal(HostRandom.key(1), [3, 2], { dtype: "float64" })
const item = (of: { readonly data: ArrayLike<number | bigint> }, i: number) =>
  [0, 1].map((j) => Number(of.data[2 * i + j]))

const planOf = (schedule: Schedule.Schedule, [from, to]: readonly [number, number]) => {
  const between = Plan.atLogSnr(schedule)
  return Plan.make([between(from), between(to)], between)
}

/** Without a prior: what the way adds. */
const nothing = (x: Tensor.Any) => Tensor.zeros([x.shape[0]], "float64")
const steps = Controller.pi({ absolute: 1e-9, relative: 1e-9 })

layer(Device.layerReference())((it) => {
  it.effect("are the density's own, in each variable and for whatever schedule", () =>
    Effect.gen(function* () {
      for (const [schedule, variable] of [
        [schedules[0], "time"],
        [schedules[0], "logSnr"],
        [schedules[1], "sigma"],
        [schedules[2], "time"]
      ] as const) {
        const plan = planOf(schedule, [-4, 5])
        const [first, last] = plan.levels.map((level) => Gaussians.noised(mixture, level))
        const { logLikelihood, latent, status } = yield* evaluate({ points }, ({ points }) =>
          Likelihood.of(
            {
              denoiser: Gaussians.denoiser(mixture),
              plan,
              schedule,
              variable,
              steps,
              trace: "exact",
              prior: nothing
            },
            points
          )
        )
        expect(Array.from(status.data as Float64Array)).toEqual([1, 1, 1])
        for (let i = 0; i < 3; i++) {
          const found = Number(logLikelihood.data[i]) + Gaussians.logDensity(first, item(latent, i))
          const off = found - Gaussians.logDensity(last, item(points, i))
          expect(Math.abs(off), `${schedule.name} in ${variable}`).toBeLessThan(1e-6)
        }
      }
    })
  )

  it.effect("take a normal prior, and probes that are exact where the flow only scales", () =>
    Effect.gen(function* () {
      const unit = Gaussians.gaussian([0, 0], 1)
      for (const schedule of schedules) {
        const plan = planOf(schedule, [-6, 4])
        const found = yield* evaluate({ points }, ({ points }) => {
          const log = (trace: Likelihood.Trace) =>
            Likelihood.of(
              { denoiser: Gaussians.denoiser(unit), plan, schedule, steps, trace },
              points
            ).logLikelihood
          return { exact: log("exact"), probed: log({ key: Random.key(3) }) }
        })
        const last = Gaussians.noised(unit, plan.levels[1])
        for (let i = 0; i < 3; i++) {
          const wanted = Gaussians.logDensity(last, item(points, i))
          expect(Math.abs(Number(found.exact.data[i]) - wanted)).toBeLessThan(1e-6)
          expect(Math.abs(Number(found.probed.data[i]) - wanted)).toBeLessThan(1e-6)
        }
      }
    })
  )

  it.effect("Hutchinson's estimate has the divergence as its mean, each item by itself", () =>
    Effect.gen(function* () {
      const level = (x: Tensor.Any) => {
        const scalar = (value: number) => Tensor.scalar(value, x.dtype as "float64")
        return { timestep: scalar(0), alpha: scalar(0.8), sigma: scalar(0.6) }
      }
      const found = yield* evaluate({ points }, ({ points }) => {
        const denoiser = Gaussians.denoiser(mixture)
        const { data } = denoiser.estimate(points, level(points))
        const first = Tensor.slice(points, 0, { stop: 1 })
        const alone = denoiser.estimate(first, level(points)).data
        const probes = (probe: "rademacher" | "normal", count: number) =>
          ({ key: Random.key(8), probe, count }) as const
        return {
          exact: Likelihood.divergence(data, points, "exact"),
          rademacher: Likelihood.divergence(data, points, probes("rademacher", 64)),
          normal: Likelihood.divergence(data, points, probes("normal", 64)),
          alone: Likelihood.divergence(alone, first, probes("rademacher", 64))
        }
      })
      expect(found.alone.data[0]).toBe(found.rademacher.data[0])
      for (let i = 0; i < 3; i++) {
        const x = item(points, i)
        const at = (j: number, shift: number) =>
          Gaussians.data(
            mixture,
            x.map((each, k) => (k === j ? each + shift : each)),
            { alpha: 0.8, sigma: 0.6 }
          )[j]
        const exact = [0, 1].reduce((sum, j) => sum + (at(j, 1e-5) - at(j, -1e-5)) / 2e-5, 0)
        expect(Number(found.exact.data[i])).toBeCloseTo(exact, 7)
        expect(Math.abs(Number(found.rademacher.data[i]) - exact)).toBeLessThan(0.3)
        expect(Math.abs(Number(found.normal.data[i]) - exact)).toBeLessThan(0.6)
      }
    })
  )

  it.effect("in fixed steps their slope is the score", () =>
    Effect.gen(function* () {
      const schedule = Schedule.flow()
      const plan = planOf(schedule, [-6, 2])
      const gradient = yield* evaluate({ points }, ({ points }) => {
        const { logLikelihood } = Likelihood.of(
          {
            denoiser: Gaussians.denoiser(Gaussians.gaussian([0, 0], [0.5, 1])),
            plan,
            schedule,
            method: Tableau.rk4,
            steps: { count: 32 },
            trace: "exact",
            // what the data are there
            prior: (x) => {
              const variance = [0.5, 1].map(
                (s) => (plan.levels[0].alpha * s) ** 2 + plan.levels[0].sigma ** 2
              )
              const inverse = Tensor.constant(
                variance.map((each) => -0.5 / each),
                {
                  dtype: "float64"
                }
              )
              return Tensor.sum(Tensor.mul(Tensor.square(x), inverse), { axis: [1] }) as never
            }
          },
          points
        )
        return Gradient.of(Tensor.sum(logLikelihood), points)
      })
      const of = Gaussians.gaussian([0, 0], [0.5, 1])
      for (let i = 0; i < 3; i++) {
        // of the density at the last level
        const { alpha, sigma } = plan.levels[1]
        item(points, i).forEach((x, j) => {
          const variance = (alpha * of.components[0].deviation[j]) ** 2 + sigma ** 2
          expect(Number(gradient.data[2 * i + j]) / (-x / variance)).toBeCloseTo(1, 4)
        })
      }
    })
  )

  it.effect("become bits for each dimension", () =>
    Effect.gen(function* () {
      const bits = yield* evaluate(
        { log: Tensor.hostArray([-12 * Math.LN2], { shape: [1], dtype: "float64" }) },
        ({ log }) => ({
          plain: Likelihood.bitsPerDimension(log, 6),
          bytes: Likelihood.bitsPerDimension(log, 6, { bins: 128 })
        })
      )
      expect(bits.plain.data[0]).toBeCloseTo(2, 12)
      expect(bits.bytes.data[0]).toBeCloseTo(9, 12)
    })
  )
})
