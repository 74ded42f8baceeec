/** Densities of training times, by their distribution functions. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type { State } from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as TimeDensity from "../../src/Diffusion/TimeDensity.ts"
import { Random, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import { kolmogorov, phi } from "../support/statistics.ts"

const edm = Schedule.edm({ min: 1e-5, max: 1e5 })
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const logit = (p: number) => Math.log(p / (1 - p))
const { atan, log, PI } = Math

/** A share of all draws, from the time or from ln σ/α. */
type Share = (of: { readonly t: number; readonly logSigma: number }) => number

const cases: ReadonlyArray<
  readonly [
    name: string,
    density: TimeDensity.TimeDensity,
    schedule: Schedule.Schedule,
    share: Share
  ]
> = [
  ["uniform", TimeDensity.uniform(), Schedule.flow(), ({ t }) => t],
  [
    "uniform within",
    TimeDensity.uniform({ min: 0.2, max: 0.7 }),
    Schedule.cosine(),
    ({ t }) => (t - 0.2) / 0.5
  ],
  [
    "logit-normal",
    TimeDensity.logitNormal({ mean: -0.5, deviation: 1.5 }),
    Schedule.flow(),
    ({ t }) => phi((logit(t) + 0.5) / 1.5)
  ],
  [
    // density 2/(π − 2πt + 2πt²), integrated
    "cosine map",
    TimeDensity.cosMap,
    Schedule.flow(),
    ({ t }) => (2 / PI) * atan(t / (1 - t))
  ],
  ["log-normal", TimeDensity.logNormal(), edm, ({ logSigma }) => phi((logSigma + 1.2) / 1.2)],
  [
    "log-normal on another schedule",
    TimeDensity.logNormal({ mean: 0.3, deviation: 0.7 }),
    Schedule.cosine(),
    ({ logSigma }) => phi((logSigma - 0.3) / 0.7)
  ],
  [
    "split log-normal",
    TimeDensity.splitLogNormal({ mean: 0.4, below: 2, above: 0.5 }),
    edm,
    ({ logSigma }) => {
      const x = logSigma - 0.4
      return x < 0 ? 0.8 * 2 * phi(x / 2) : 0.8 + 0.2 * (2 * phi(x / 0.5) - 1)
    }
  ],
  [
    "log-logistic",
    TimeDensity.logLogistic({ mean: -1, scale: 0.7 }),
    edm,
    ({ logSigma }) => sigmoid((logSigma + 1) / 0.7)
  ],
  [
    "log-logistic, cut off",
    TimeDensity.logLogistic({ min: 0.1, max: 3 }),
    edm,
    ({ logSigma }) => {
      const below = (x: number) => sigmoid((x - log(0.5)) / 0.5)
      return (below(logSigma) - below(log(0.1))) / (below(log(3)) - below(log(0.1)))
    }
  ],
  [
    "log-uniform",
    TimeDensity.logUniform({ min: 0.01, max: 10 }),
    Schedule.linear(),
    ({ logSigma }) => (logSigma - log(0.01)) / log(1000)
  ],
  [
    "cosine",
    TimeDensity.cosine({ deviation: 0.5 }),
    edm,
    ({ logSigma }) => (2 / PI) * atan(Math.exp(logSigma) / 0.5)
  ]
]

const draw = (
  density: TimeDensity.TimeDensity,
  schedule: Schedule.Schedule,
  batch: number,
  seed = 5
) =>
  evaluate({}, () => {
    const t = TimeDensity.draw(density, Random.key(seed), { schedule, batch, dtype: "float64" })
    const { alpha, sigma } = Schedule.mixtures(schedule, t)
    return { t, logSigma: Tensor.log(Tensor.div(sigma, alpha)) }
  })

layer(Device.layerReference())("densities", (it) => {
  it.effect.each(cases)(
    "%s passes the test of Kolmogorov and Smirnov, at 0.999",
    ([, density, schedule, share]) =>
      Effect.gen(function* () {
        const { t, logSigma } = yield* draw(density, schedule, 4000)
        const shares = Float64Array.from(t.data, (each, i) =>
          share({ t: each, logSigma: logSigma.data[i] })
        )
        expect(kolmogorov(shares, (p) => p)).toBeLessThan(1.95)
      })
  )

  it.effect("mode has the density of its formula", () =>
    Effect.gen(function* () {
      for (const scale of [-0.7, 0, 1.29, 1.7]) {
        const density = TimeDensity.mode({ scale })
        const { t } = yield* draw(density, Schedule.flow(), 4000)
        // the paper's function of w = 1 − u falls from 1 to 0: halve it
        const share = (value: number) => {
          let [low, high] = [0, 1]
          for (let i = 0; i < 60; i++) {
            const w = (low + high) / 2
            const at = 1 - w - scale * (Math.cos((PI * w) / 2) ** 2 - 1 + w)
            if (at > value) low = w
            else high = w
          }
          return 1 - low
        }
        expect(kolmogorov(t.data as Float64Array, share)).toBeLessThan(1.95)
      }
    })
  )

  it.effect("steps are the levels of a schedule, all alike, or more of some", () =>
    Effect.gen(function* () {
      const schedule = Schedule.linear({ steps: 10 })
      const { t } = yield* draw(TimeDensity.steps, schedule, 5000)
      const counts = new Array(10).fill(0)
      for (const each of t.data) {
        const level = Math.round(Number(each) * 9)
        expect(Number(each)).toBeCloseTo(level / 9, 14)
        counts[level]++
      }
      // χ² with 9 degrees of freedom, at 0.999
      expect(counts.reduce((sum, each) => sum + (each - 500) ** 2 / 500, 0)).toBeLessThan(27.88)
      const middle = yield* draw(TimeDensity.stepped(TimeDensity.logitNormal()), schedule, 5000)
      const share =
        middle.t.data.filter((each) => Number(each) > 0.35 && Number(each) < 0.6).length / 5000
      // levels 4 and 5 of 0 … 9: what lies between 0.4 and 0.6
      expect(share).toBeCloseTo(phi(logit(0.6)) - phi(logit(0.4)), 1)
    })
  )

  it.effect("an item's time does not depend on the batch, unless stratified", () =>
    Effect.gen(function* () {
      const density = TimeDensity.logNormal()
      const few = yield* draw(density, edm, 3)
      const many = yield* draw(density, edm, 50)
      expect([...many.t.data].slice(0, 3)).toEqual([...few.t.data])
      const other = yield* draw(density, edm, 3, 6)
      expect([...other.t.data]).not.toEqual([...few.t.data])
    })
  )

  it.effect("stratified, items divide the range among them", () =>
    Effect.gen(function* () {
      const { t } = yield* draw(TimeDensity.stratified(TimeDensity.uniform()), Schedule.flow(), 64)
      t.data.forEach((each, i) => {
        expect(Number(each)).toBeGreaterThanOrEqual(i / 64)
        expect(Number(each)).toBeLessThan((i + 1) / 64)
      })
      const steps = yield* draw(
        TimeDensity.stratified(TimeDensity.steps),
        Schedule.linear({ steps: 16 }),
        16
      )
      steps.t.data.forEach((each, i) => {
        expect(Math.round(Number(each) * 15)).toBe(i)
      })
    })
  )

  it.effect("times of log-SNRs are the inverse, and end where the schedule does", () =>
    Effect.gen(function* () {
      for (const schedule of [
        Schedule.linear(),
        Schedule.cosine(),
        Schedule.vp(),
        Schedule.subVp(),
        Schedule.ve(),
        Schedule.edm(),
        Schedule.flow({ shift: 3 })
      ]) {
        const logSnrs = [1e3, 4.2, 1, -0.3, -2.7, -1e3]
        const found = yield* evaluate(
          { x: Tensor.hostArray(logSnrs, { dtype: "float64" }) },
          ({ x }) => Schedule.times(schedule, x)
        )
        const inner = logSnrs.slice(1, -1).map((each) => schedule.time(each))
        inner.forEach((each, i) => {
          expect(found.data[i + 1]).toBeCloseTo(each, 9)
        })
        expect(found.data[0]).toBeCloseTo(0, 15)
        expect(found.data[5]).toBe(1)
      }
    })
  )
})

describe("a density", () => {
  it("refuses what makes no sense", () => {
    expect(() => TimeDensity.uniform({ min: 0.5, max: 0.5 })).toThrow(DiffusionError)
    expect(() => TimeDensity.mode({ scale: 2 })).toThrow("must lie between −1 and")
    expect(() => TimeDensity.logitNormal({ deviation: 0 })).toThrow(DiffusionError)
    expect(() => TimeDensity.logUniform({ min: 0, max: 1 })).toThrow(DiffusionError)
    expect(() => TimeDensity.cosine({ min: 2, max: 1 })).toThrow(DiffusionError)
    expect(() => TimeDensity.steps.quantile(Tensor.zeros([1]) as State, Schedule.cosine())).toThrow(
      "has no levels to round to"
    )
  })
})
