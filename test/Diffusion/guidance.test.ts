/** Guidance, against its formulas on the host, and what it costs. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import * as Guidance from "../../src/Diffusion/Guidance.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { numbers } from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

const one = Gaussians.denoiser(Gaussians.gaussian([1, 0, -1], 0.5))
const other = Gaussians.denoiser(Gaussians.gaussian([0, 0.5, 0], 1))

/** A denoiser that says how often it was asked. */
const counted = (denoiser: Denoiser.Denoiser) => {
  const asked = { times: 0 }
  return {
    asked,
    denoiser: {
      ...denoiser,
      estimate: (x: State, level: Denoiser.Level) => {
        asked.times++
        return denoiser.estimate(x, level)
      }
    }
  }
}

const x = HostRandom.normal(HostRandom.key(1), [4, 3], { dtype: "float64" })
const level = { alpha: 0.8, sigma: 0.6 }
const scalar = (value: number): State => Tensor.scalar(value, "float64")
const levelOf = ({ alpha, sigma }: { alpha: number; sigma: number }): Denoiser.Level => ({
  timestep: scalar(3),
  alpha: scalar(alpha),
  sigma: scalar(sigma)
})

/** Estimates of x as lists of numbers. */
const estimates = <K extends string>(
  denoisers: Readonly<Record<K, Denoiser.Denoiser>>,
  at: Denoiser.Level = levelOf(level)
) =>
  Effect.map(
    evaluate({ x }, ({ x }) =>
      Object.fromEntries(
        Object.entries<Denoiser.Denoiser>(denoisers).map(([name, each]) => {
          const { data, noise } = each.estimate(x, at)
          return [name, { data, noise }]
        })
      )
    ),
    (found) =>
      Object.fromEntries(
        Object.entries(found).map(([name, { data, noise }]) => [
          name,
          { data: [...numbers(data)], noise: [...numbers(noise)] }
        ])
      ) as Record<K, { readonly data: Array<number>; readonly noise: Array<number> }>
  )

const near = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>, digits = 12) => {
  expect(actual).toHaveLength(expected.length)
  actual.forEach((each, i) => {
    expect(each).toBeCloseTo(expected[i], digits)
  })
}

const deviation = (values: ReadonlyArray<number>): number => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return Math.sqrt(values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / values.length)
}

const items = (values: ReadonlyArray<number>) =>
  Array.from({ length: 4 }, (_, i) => values.slice(3 * i, 3 * i + 3))

describe("a weight of 1", () => {
  it("is no guidance, and asks no guide", () => {
    const guide = counted(other)
    const guided = Guidance.make({ denoiser: one, guide: guide.denoiser, weight: 1 })
    expect(guided).toBe(one)
    expect(guided.evaluations).toBe(1)
    const conditions: Array<string> = []
    const stacked = Guidance.stacked({
      denoiser: (condition: State) => {
        conditions.push(String(condition.shape))
        return one
      },
      condition: Tensor.zeros([4]) as State,
      without: Tensor.zeros([4]) as State,
      weight: 1
    })
    expect(stacked).toBe(one)
    expect(conditions).toEqual(["4"])
  })

  it("counts the guide otherwise", () => {
    const thrice = { ...other, evaluations: 3 }
    expect(Guidance.make({ denoiser: one, guide: thrice, weight: 2 }).evaluations).toBe(4)
    expect(Guidance.likelihood({ denoiser: one, logLikelihood: ({ x }) => x }).evaluations).toBe(1)
  })
})

describe("a guided denoiser", () => {
  const of = (prediction: Denoiser.Prediction) => Denoiser.make({ prediction, network: (x) => x })
  const reach = ({ withoutSignal, withoutNoise }: Denoiser.Denoiser) => [
    withoutSignal,
    withoutNoise
  ]
  const guided = (
    denoiser: Denoiser.Denoiser,
    guide: Denoiser.Denoiser,
    options: Partial<Guidance.Options> = {}
  ) => Guidance.make({ denoiser, guide, weight: 2, ...options })

  it("tells what both tell where there is no signal, or no noise", () => {
    expect(reach(guided(of("v"), of("flow")))).toEqual([true, true])
    expect(reach(guided(of("v"), of("data")))).toEqual([true, false])
    expect(reach(guided(of("noise"), of("v")))).toEqual([false, true])
    const labels = Tensor.zeros([4]) as State
    const both = { condition: labels, without: labels, weight: 2 }
    expect(reach(Guidance.stacked({ denoiser: () => of("data"), ...both }))).toEqual([true, false])
    const logLikelihood = () => scalar(0)
    for (const [prediction, known] of [
      ["v", true],
      ["data", false]
    ] as const) {
      const denoiser = Guidance.likelihood({ denoiser: of(prediction), logLikelihood })
      expect(reach(denoiser)).toEqual([false, known])
    }
  })

  it("tells no more than what is done with the estimates", () => {
    const rescale = (of: Denoiser.Prediction) => ({ rescale: { factor: 0.7, of } })
    expect(reach(guided(of("v"), of("v"), rescale("v")))).toEqual([true, true])
    expect(reach(guided(of("v"), of("v"), rescale("noise")))).toEqual([false, true])
    expect(reach(guided(of("v"), of("v"), rescale("data")))).toEqual([true, false])
    expect(reach(guided(of("v"), of("v"), { projection: {} }))).toEqual([true, false])
  })

  it("is not asked for noise that it does not know", () => {
    const plan = Plan.spaced(Schedule.linear(), 4)
    const denoiser = guided(of("data"), of("data"))
    expect(() => Sampler.bind({ sampler: Ddim.inverse(), plan, denoiser })).toThrow(
      "it is asked for noise at a level that has none"
    )
  })
})

describe("options", () => {
  it.each([
    [{ weight: Number.NaN }, "the weight must be finite, not NaN"],
    [{ weight: 2, interval: { above: 2, to: 1 } }, "not from 2 to 1"],
    [{ weight: 2, rescale: { factor: 1.5, of: "v" } }, "between 0 and 1, not 1.5"],
    [{ weight: 2, projection: { radius: 0 } }, "above 0, not 0"]
  ] as const)("%j are refused", (options, message) => {
    const make = () => Guidance.make({ denoiser: one, guide: other, ...options })
    expect(make).toThrow(DiffusionError)
    expect(make).toThrow(message)
  })
})

layer(Device.layerReference())("guided", (it) => {
  it.effect("is D' + w(D − D'), of data and noise", () =>
    Effect.gen(function* () {
      const guided = Guidance.make({ denoiser: one, guide: other, weight: 2.5 })
      const found = yield* estimates({ one, other, guided })
      for (const of of ["data", "noise"] as const) {
        near(
          found.guided[of],
          found.one[of].map((each, i) => found.other[of][i] + 2.5 * (each - found.other[of][i]))
        )
      }
      // still a split of x
      near(
        found.guided.data.map((each, i) => 0.8 * each + 0.6 * found.guided.noise[i]),
        [...x.data]
      )
    })
  )

  it.effect("has weights that depend on the level, for each item too", () =>
    Effect.gen(function* () {
      const weight = ({ sigma }: Denoiser.Level) => Tensor.add(sigma, 1) as State
      const at = {
        timestep: scalar(0),
        alpha: Tensor.constant([0.9, 0.8, 0.6, 0.1], { dtype: "float64" }),
        sigma: Tensor.constant([0.1, 0.6, 0.8, 0.9], { dtype: "float64" })
      } as Denoiser.Level
      const guided = Guidance.make({ denoiser: one, guide: other, weight })
      const found = yield* estimates({ one, other, guided }, at)
      near(
        found.guided.data,
        found.one.data.map((each, i) => {
          const w = 1 + [0.1, 0.6, 0.8, 0.9][Math.floor(i / 3)]
          return w * each + (1 - w) * found.other.data[i]
        })
      )
    })
  )

  it.effect("is the same in one pass over twice the batch", () =>
    Effect.gen(function* () {
      // a network that is told where to pull to
      const of = (label: State): Denoiser.Denoiser =>
        Denoiser.make({
          network: (x, time) =>
            Tensor.add(
              Tensor.mul(x, 0.3),
              Tensor.reshape(Tensor.mul(label, Tensor.add(time, 1)) as State, [-1, 1])
            ) as State,
          prediction: "v"
        })
      const condition = Tensor.constant([1, 2, 3, 4], { dtype: "float64" }) as State
      const without = Tensor.constant([0, 0, 0, 0], { dtype: "float64" }) as State
      const options = { weight: 3, rescale: { factor: 0.5, of: "v" } } as const
      const stacked = Guidance.stacked({ ...options, denoiser: of, condition, without })
      expect(stacked.evaluations).toBe(2)
      const perItem = {
        timestep: Tensor.constant([1, 2, 3, 4], { dtype: "float64" }),
        alpha: Tensor.constant([0.9, 0.8, 0.6, 0.1], { dtype: "float64" }),
        sigma: Tensor.constant([0.1, 0.6, 0.8, 0.9], { dtype: "float64" })
      } as Denoiser.Level
      for (const at of [levelOf(level), perItem]) {
        const apart = Guidance.make({ ...options, denoiser: of(condition), guide: of(without) })
        const found = yield* estimates({ stacked, apart }, at)
        near(found.stacked.data, found.apart.data)
        near(found.stacked.noise, found.apart.noise)
      }
    })
  )

  it.effect("has the spread that it had without, of what the network predicts", () =>
    Effect.gen(function* () {
      const make = (factor: number, of: Denoiser.Prediction) =>
        Guidance.make({ denoiser: one, guide: other, weight: 4, rescale: { factor, of } })
      const found = yield* estimates({
        one,
        plain: Guidance.make({ denoiser: one, guide: other, weight: 4 }),
        none: make(0, "noise"),
        noise: make(0.7, "noise"),
        data: make(1, "data"),
        v: make(1, "v")
      })
      near(found.none.data, found.plain.data)
      const v = ({ data, noise }: { data: Array<number>; noise: Array<number> }) =>
        noise.map((each, i) => 0.8 * each - 0.6 * data[i])
      for (let i = 0; i < 4; i++) {
        const item = (values: ReadonlyArray<number>) => items(values)[i]
        const ratio = deviation(item(found.one.noise)) / deviation(item(found.plain.noise))
        near(
          item(found.noise.noise),
          item(found.plain.noise).map((each) => 0.7 * ratio * each + 0.3 * each)
        )
        expect(deviation(item(found.data.data))).toBeCloseTo(deviation(item(found.one.data)), 10)
        expect(deviation(item(v(found.v)))).toBeCloseTo(deviation(item(v(found.one))), 10)
      }
      for (const each of [found.noise, found.data, found.v]) {
        near(
          each.data.map((value, i) => 0.8 * value + 0.6 * each.noise[i]),
          [...x.data]
        )
      }
    })
  )

  it.effect("is rescaled where nothing spreads, as with a last layer that begins with zeros", () =>
    Effect.gen(function* () {
      const denoiser = Denoiser.make({
        network: (x) => Tensor.zerosLike(x) as State,
        prediction: "v"
      })
      const rescale = { factor: 0.7, of: "v" } as const
      const found = yield* estimates({
        denoiser,
        guided: Guidance.make({ denoiser, guide: denoiser, weight: 4, rescale })
      })
      near(found.guided.data, found.denoiser.data)
      near(found.guided.noise, found.denoiser.noise)
    })
  )

  it.effect("keeps to an interval of noise levels, and asks nothing outside of it", () =>
    Effect.gen(function* () {
      // which is seen from what it would do if asked
      const failing = Denoiser.fromData((x) => Tensor.mul(x, Number.POSITIVE_INFINITY) as State)
      const make = (guide: Denoiser.Denoiser, always: boolean) =>
        Guidance.make({
          denoiser: one,
          guide,
          weight: 2,
          interval: { above: 0.5, to: 2, always }
        })
      for (const [sigma, inside] of [
        [0.4, false],
        [0.5, false],
        [0.51, true],
        [2, true],
        [2.1, false]
      ] as const) {
        const at = levelOf({ alpha: 1, sigma })
        const found = yield* estimates(
          {
            one,
            plain: Guidance.make({ denoiser: one, guide: other, weight: 2 }),
            lazy: make(other, false),
            always: make(other, true),
            failing: make(failing, false)
          },
          at
        )
        near(found.lazy.data, inside ? found.plain.data : found.one.data)
        near(found.always.noise, inside ? found.plain.noise : found.one.noise)
        if (!inside) near(found.failing.data, found.one.data)
      }
    })
  )

  it.effect("follows what is orthogonal to the estimate, as far as told", () =>
    Effect.gen(function* () {
      const make = (projection: Guidance.Projection) =>
        Guidance.make({ denoiser: one, guide: other, weight: 3, projection })
      const found = yield* estimates({
        one,
        plain: Guidance.make({ denoiser: one, guide: other, weight: 3 }),
        whole: make({ parallel: 1 }),
        across: make({}),
        short: make({ parallel: 1, radius: 0.1 })
      })
      near(found.whole.data, found.plain.data)
      near(found.whole.noise, found.plain.noise)
      const change = (each: { data: Array<number> }, i: number) =>
        items(each.data)[i].map((value, j) => value - items(found.one.data)[i][j])
      for (let i = 0; i < 4; i++) {
        const dot = change(found.across, i).reduce(
          (sum, each, j) => sum + each * items(found.one.data)[i][j],
          0
        )
        expect(dot).toBeCloseTo(0, 10)
        expect(Math.hypot(...change(found.short, i))).toBeCloseTo(2 * 0.1, 10)
      }
    })
  )

  it.effect("by a likelihood is the posterior, where that is known", () =>
    Effect.gen(function* () {
      // x₀ ~ N(m, s²), y = x₀ + τz: log p(y | x) is Gaussian about E[x₀ | x]
      const [s, tau, y] = [0.5, 0.3, 0.7]
      const { alpha, sigma } = level
      const spread = alpha ** 2 * s ** 2 + sigma ** 2
      const rest = (sigma * s) ** 2 / spread
      const guided = Guidance.likelihood({
        denoiser: one,
        // a function of the state alone, as a classifier is
        logLikelihood: ({ x }) => {
          const mean = Tensor.constant([1, 0, -1], { dtype: "float64" }) as State
          const expected = Tensor.add(
            mean,
            Tensor.mul(Tensor.sub(x, Tensor.mul(mean, alpha)) as State, (alpha * s ** 2) / spread)
          )
          return Tensor.mul(
            Tensor.square(Tensor.sub(expected as State, y) as State),
            -0.5 / (rest + tau ** 2)
          ) as State
        }
      })
      const found = yield* estimates({ guided, none: one })
      const posterior = [...x.data].map((each, i) => {
        const mean = [1, 0, -1][i % 3]
        const precision = 1 / s ** 2 + alpha ** 2 / sigma ** 2 + 1 / tau ** 2
        return (mean / s ** 2 + (alpha * each) / sigma ** 2 + y / tau ** 2) / precision
      })
      near(found.guided.data, posterior, 10)
      near(
        found.guided.noise,
        posterior.map((each, i) => (x.data[i] - alpha * each) / sigma),
        10
      )
      expect(Guidance.likelihood({ denoiser: one, logLikelihood: ({ x }) => x, weight: 0 })).toBe(
        one
      )
    })
  )

  it.effect("may be clipped afterwards", () =>
    Effect.gen(function* () {
      const guided = Guidance.make({ denoiser: one, guide: other, weight: 6 })
      const found = yield* estimates({ guided, clipped: Denoiser.clip(guided, { range: 1 }) })
      near(
        found.clipped.data,
        found.guided.data.map((each) => Math.min(1, Math.max(-1, each)))
      )
      near(found.clipped.noise, found.guided.noise)
      expect(() => Denoiser.clip(guided, { range: 0 })).toThrow(DiffusionError)
    })
  )
})

layer(Device.layerOnnx())("sampling with guidance", (it) => {
  it.effect("ends at the mean that the guided scores have", () =>
    Effect.gen(function* () {
      // scores of N(1, s²) and N(0, s²): extrapolated they are those of N(w, s²)
      const [near_, far] = [[1], [0]].map((mean) =>
        Gaussians.denoiser(Gaussians.gaussian(mean, 0.3))
      )
      const plan = Plan.spaced(Schedule.linear(), 200)
      const sample = (denoiser: Denoiser.Denoiser, noisy: State) =>
        Sampler.sample({ sampler: Ddim.make(), plan, denoiser }, noisy).x
      const key = Random.key(5)
      const found = yield* evaluate({ begin: HostRandom.toHostArray(HostRandom.key(5)) }, () => {
        const noisy = Noise.initial(key, [500, 1])
        return {
          guided: sample(Guidance.make({ denoiser: near_, guide: far, weight: 2 }), noisy),
          interval: sample(
            Guidance.make({ denoiser: near_, guide: far, weight: 2, interval: { to: 1e9 } }),
            noisy
          ),
          wanted: sample(Gaussians.denoiser(Gaussians.gaussian([2], 0.3)), noisy)
        }
      })
      near([...numbers(found.guided)], [...numbers(found.wanted)], 4)
      near([...numbers(found.interval)], [...numbers(found.wanted)], 4)
    })
  )
})
