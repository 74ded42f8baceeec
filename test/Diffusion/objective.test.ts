/** Objectives: closed forms on Gaussian data, and what no parameterisation may change. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import * as Objective from "../../src/Diffusion/Objective.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as TimeDensity from "../../src/Diffusion/TimeDensity.ts"
import * as VariationalBound from "../../src/Diffusion/VariationalBound.ts"
import * as Weighting from "../../src/Diffusion/Weighting.ts"
import { Gradient, Random, Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"

type State = Denoiser.State

const key = Random.key(11)
const dtype = "float64"
const normal = (seed: number, shape: ReadonlyArray<number>) =>
  Random.normal(Random.key(seed), shape, { dtype }) as State

const predictions: ReadonlyArray<Denoiser.Prediction> = [
  "noise",
  "data",
  "v",
  "flow",
  { kind: "edm", deviation: 0.8 }
]

/** A network that predicts what it should, given an estimate of the data from a state in the schedule's coordinates. */
const networkOf =
  (
    schedule: Schedule.Schedule,
    prediction: Denoiser.Prediction,
    estimate: (x: State, level: Schedule.Mixture<State>) => State
  ): Denoiser.Network =>
  (input, timestep) => {
    // continuous schedules count 1,000 steps
    const time = Tensor.div(timestep, 1000) as State
    const level = Schedule.mixtures(schedule, time)
    const { alpha, sigma } = level
    const scale = (): State => {
      if (typeof prediction === "object") {
        const s = prediction.deviation ?? 0.5
        const ratio = Tensor.square(Tensor.div(sigma, alpha))
        return Tensor.mul(alpha, Tensor.sqrt(Tensor.add(ratio, s * s))) as State
      }
      if (prediction === "flow") return Tensor.add(alpha, sigma) as State
      return Tensor.sqrt(Tensor.add(Tensor.square(alpha), Tensor.square(sigma))) as State
    }
    const x = Denoiser.combine([scale(), input])
    const data = estimate(x, level)
    const rest = Tensor.sub(x, Denoiser.combine([alpha, data]))
    const noise = Tensor.div(rest, Denoiser.over(sigma, x)) as State
    return Denoiser.target(prediction, { data, noise }, level)
  }

/** Estimates of data with the deviation s: its mean, given the state. */
const optimal =
  (s: number) =>
  (x: State, { alpha, sigma }: Schedule.Mixture<State>): State => {
    const variance = Tensor.add(Tensor.mul(Tensor.square(alpha), s * s), Tensor.square(sigma))
    return Denoiser.combine([Tensor.div(Tensor.mul(alpha, s * s), variance) as State, x])
  }

const numbers = (data: ArrayLike<unknown>) => Array.from(data, Number)

const close = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>, to: number) => {
  expect(found.length).toBe(expected.length)
  found.forEach((each, i) => {
    expect(Math.abs(each - expected[i])).toBeLessThanOrEqual(to * Math.abs(expected[i]))
  })
}

layer(Device.layerReference())("an objective", (it) => {
  const weightings = [
    Weighting.snr,
    Weighting.snrPlusOne,
    Weighting.truncatedSnr,
    Weighting.minSnr(),
    Weighting.p2(),
    Weighting.sigmoid(),
    Weighting.edm()
  ]

  it.effect.each([
    Schedule.cosine({ least: 1e-4 }),
    Schedule.flow(),
    Schedule.ve(),
    Schedule.subVp()
  ])(
    "$name: one estimate has one loss and one gradient, whatever the network predicts",
    (schedule) =>
      Effect.gen(function* () {
        const times = TimeDensity.uniform({ min: 0.05, max: 0.95 })
        for (const weighting of [Weighting.minSnr(), Weighting.p2(), Weighting.edm()]) {
          const found = yield* evaluate(
            { scale: Tensor.hostArray([0.7], { dtype }) },
            ({ scale }) =>
              predictions.map((prediction) => {
                const network = networkOf(
                  schedule,
                  prediction,
                  (x) => Tensor.tanh(Tensor.mul(x, scale)) as State
                )
                const { loss, items } = Objective.make({
                  network,
                  schedule,
                  prediction,
                  weighting,
                  times
                })(normal(1, [3, 2, 4]), key)
                return { items, gradient: Gradient.of(loss, scale) }
              })
          )
          // from the noise in x to that in its prediction some digits are lost
          for (const { items, gradient } of found.slice(1)) {
            close(numbers(items.data), numbers(found[0].items.data), 1e-12 * 100)
            close(numbers(gradient.data), numbers(found[0].gradient.data), 1e-12 * 100)
          }
        }
      })
  )

  it.effect(
    "the best network's loss on Gaussian data is its closed form, for every weighting",
    () =>
      Effect.gen(function* () {
        const [s, batch, size] = [0.6, 200, 20]
        const schedule = Schedule.cosine({ least: 1e-3 })
        const data = Tensor.mul(normal(2, [batch, size]), s) as State
        const times = TimeDensity.stratified(TimeDensity.uniform({ min: 0.01 }))
        const plain = Weighting.make("data", (of, logSnr) => of.mul(logSnr, of.of(0)))
        for (const prediction of predictions) {
          const network = networkOf(schedule, prediction, optimal(s))
          const { distances, logSnr } = yield* evaluate({}, () => {
            const outcome = Objective.make({ network, schedule, prediction, times })(data, key)
            return { distances: outcome.distances, logSnr: outcome.logSnr }
          })
          for (const weighting of [Weighting.simple, ...weightings]) {
            const items = numbers(distances.data).map(
              (each, i) => each * Weighting.value(weighting, prediction, Number(logSnr.data[i]))
            )
            // the variance of x₀ given x, as the error in the prediction, weighted
            const at = (t: number) => {
              const { alpha, sigma } = Schedule.mixture(schedule, t)
              const logSnr = Schedule.logSnr(schedule, t)
              const variance = (s * sigma) ** 2 / ((alpha * s) ** 2 + sigma ** 2)
              const factor = 1 / Weighting.value(plain, prediction, logSnr)
              return Weighting.value(weighting, prediction, logSnr) * factor * variance
            }
            const n = 2000
            const places = Array.from({ length: n }, (_, i) => 0.01 + (0.99 * (i + 0.5)) / n)
            const expected = places.reduce((sum, t) => sum + at(t), 0) / n
            // each item is a mean of squares of normals, with a relative deviation of √(2/size)
            const mean = items.reduce((a, b) => a + b) / batch
            const root = Math.sqrt(items.reduce((sum, each) => sum + each ** 2, 0))
            expect(Math.abs(mean - expected)).toBeLessThan(5 * (root / batch) * Math.sqrt(2 / size))
          }
        }
      })
  )

  it.effect("per log-SNR, neither the schedule nor the density of times matters", () =>
    Effect.gen(function* () {
      const s = 0.6
      const batch = 1000
      const range = { min: Math.exp(-2), max: Math.exp(2) }
      const weighting = Weighting.sigmoid()
      const cases = [
        { schedule: Schedule.edm(), times: TimeDensity.logUniform(range) },
        { schedule: Schedule.cosine(), times: TimeDensity.cosine(range) },
        { schedule: Schedule.linear(), times: TimeDensity.logLogistic(range) },
        {
          schedule: Schedule.flow(),
          times: TimeDensity.uniform({ min: 1 / (1 + Math.exp(2)), max: 1 / (1 + Math.exp(-2)) })
        }
      ]
      // ∫ w(λ)·(variance of x₀ given x) dλ, λ from −4 to 4
      const n = 4000
      const expected =
        Array.from({ length: n }, (_, i) => {
          const snr = Math.exp(-4 + (8 * (i + 0.5)) / n)
          return (Weighting.value(weighting, "data", Math.log(snr)) * s * s) / (1 + snr * s * s)
        }).reduce((a, b) => a + b) *
        (8 / n)
      for (const { schedule, times } of cases) {
        const data = Tensor.mul(normal(3, [batch, 10]), s) as State
        const { loss, items } = yield* evaluate({}, () => {
          const all = Objective.make({
            network: (x) => x,
            schedule,
            prediction: "data",
            weighting,
            times: TimeDensity.stratified(times),
            measure: "logSnr",
            // the network's input is in its coordinates: what is optimal there needs no timestep but the state's own level
            distance: () => data
          })
          const { level, x, data: clean, weights } = all(data, key)
          const error = Tensor.sub(optimal(s)(x, level), clean) as State
          const items = Tensor.mul(weights, Tensor.mean(Tensor.square(error), { axis: 1 }))
          return { items, loss: Tensor.mean(items) }
        })
        const root = Math.sqrt(numbers(items.data).reduce((sum, each) => sum + each ** 2, 0))
        expect(Math.abs(Number(loss.data[0]) - expected)).toBeLessThan(
          5 * (root / batch) * Math.sqrt(2 / 10)
        )
      }
    })
  )

  it.effect("tells whole timesteps of a schedule's levels, in float32 too", () =>
    Effect.gen(function* () {
      const steps = 50
      const objective = Objective.make({
        network: (x) => x,
        schedule: Schedule.linear({ steps }),
        prediction: "v",
        times: TimeDensity.stratified(TimeDensity.steps)
      })
      const { timestep } = yield* evaluate({}, () => {
        const { level } = objective(Tensor.zeros([steps, 1]) as State, key)
        return { timestep: level.timestep }
      })
      expect(numbers(timestep.data)).toEqual(Array.from({ length: steps }, (_, i) => i))
    })
  )

  it.effect("an item's loss does not depend on the batch", () =>
    Effect.gen(function* () {
      const data = normal(4, [6, 2, 3])
      const objective = Objective.make({
        network: (x, t) => Denoiser.combine([Tensor.div(t, 1000) as State, x]),
        schedule: Schedule.linear(),
        prediction: "noise",
        offset: 0.1,
        perturbation: 0.1
      })
      const found = yield* evaluate({}, () => ({
        all: objective(data, key).items,
        first: objective(Tensor.slice(data, 0, { stop: 2 }) as State, key).items
      }))
      close(numbers(found.first.data), numbers(found.all.data).slice(0, 2), 1e-14)
    })
  )

  it.effect("measures by L1, Huber's loss, or as one likes; and adds a term", () =>
    Effect.gen(function* () {
      const data = normal(5, [4, 3])
      const of = (options: Partial<Objective.Options>) =>
        Objective.make({
          network: (x) => Tensor.mul(x, 0.5) as State,
          schedule: Schedule.flow(),
          prediction: "flow",
          ...options
        })(data, key)
      const found = yield* evaluate({}, () => ({
        mse: of({}),
        l1: of({ distance: "l1" }).items,
        huber: of({ distance: { huber: 0.3 } }).items,
        own: of({ distance: (a, b) => Tensor.square(Tensor.square(Tensor.sub(a, b))) as State })
          .items,
        term: of({
          term: ({ estimate, data }) =>
            Tensor.sum(Tensor.square(Tensor.sub(estimate.data, data)), { axis: 1 }) as State
        }).items
      }))
      const { x, data: clean, noise, estimate, items, loss, level } = found.mse
      const errors = numbers(x.data).map(
        (each, i) => 0.5 * each - (Number(noise.data[i]) - Number(clean.data[i]))
      )
      const rows = (f: (error: number, i: number) => number, by = 3) =>
        [0, 1, 2, 3].map(
          (row) => [0, 1, 2].reduce((sum, j) => sum + f(errors[3 * row + j], 3 * row + j), 0) / by
        )
      close(
        numbers(items.data),
        rows((e) => e * e),
        1e-12
      )
      close(numbers(loss.data), [rows((e) => e * e).reduce((a, b) => a + b) / 4], 1e-12)
      close(numbers(found.l1.data), rows(Math.abs), 1e-12)
      const huber = (e: number) => (Math.abs(e) < 0.3 ? (e * e) / 2 : 0.3 * (Math.abs(e) - 0.15))
      close(numbers(found.huber.data), rows(huber), 1e-12)
      close(
        numbers(found.own.data),
        rows((e) => e ** 4),
        1e-12
      )
      const added = rows((_, i) => (Number(estimate.data.data[i]) - Number(clean.data[i])) ** 2, 1)
      close(
        numbers(found.term.data),
        rows((e) => e * e).map((each, i) => each + added[i]),
        1e-12
      )
      // the state is what it should be
      numbers(x.data).forEach((each, i) => {
        const row = Math.floor(i / 3)
        expect(each).toBeCloseTo(
          Number(level.alpha.data[row]) * Number(clean.data[i]) +
            Number(level.sigma.data[row]) * Number(noise.data[i]),
          12
        )
      })
    })
  )

  it.effect("offset noise is shared by a channel, and perturbed input is not the target", () =>
    Effect.gen(function* () {
      const data = Tensor.zeros([2000, 2, 2, 2], dtype) as State
      const of = (options: Partial<Objective.Options>) =>
        Objective.make({
          network: (x) => x,
          schedule: Schedule.ve({ min: 1, max: 1.0001 }),
          prediction: "noise",
          ...options
        })(data, key)
      const found = yield* evaluate({}, () => ({
        offset: of({ offset: 0.5 }).noise,
        plain: of({}).noise,
        seen: of({ perturbation: 0.5 })
      }))
      const moment = (noise: ArrayLike<unknown>, i: number, j: number) => {
        let sum = 0
        for (let k = 0; k < 2000; k++) sum += Number(noise[8 * k + i]) * Number(noise[8 * k + j])
        return sum / 2000
      }
      const five = 5 / Math.sqrt(2000)
      const { data: noise } = found.offset
      expect(Math.abs(moment(noise, 0, 0) - 1.25)).toBeLessThan(five * 1.25 * Math.SQRT2)
      expect(Math.abs(moment(noise, 0, 3) - 0.25)).toBeLessThan(five * 1.3)
      expect(Math.abs(moment(noise, 0, 4))).toBeLessThan(five * 1.25)
      // the target stays what it was, and the state has more noise
      expect(numbers(found.seen.noise.data)).toEqual(numbers(found.plain.data))
      expect(Math.abs(moment(found.seen.x.data, 0, 0) - 1.25)).toBeLessThan(
        five * 1.25 * Math.SQRT2
      )
      expect(Math.abs(moment(found.seen.x.data, 0, 3))).toBeLessThan(five * 1.25)
    })
  )

  it.effect("is finite where there is no signal, and so is its gradient", () =>
    Effect.gen(function* () {
      const schedule = Schedule.zeroTerminalSnr(Schedule.linear({ steps: 4 }))
      const data = Random.normal(Random.key(8), [32, 2]) as State
      const found = yield* evaluate({ scale: Tensor.hostArray([0.5]) }, ({ scale }) =>
        [Weighting.simple, ...weightings].flatMap((weighting) =>
          (["v", "data", "flow", { kind: "edm" }] as const).map((prediction) => {
            const network: Denoiser.Network = (x) => Tensor.mul(x, scale) as State
            const { items, loss, level } = Objective.make({
              network,
              schedule,
              prediction,
              weighting
            })(data, key)
            return { items, gradient: Gradient.of(loss, scale), alpha: level.alpha }
          })
        )
      )
      for (const { items, gradient, alpha } of found) {
        expect(numbers(alpha.data)).toContain(0)
        expect(numbers(items.data).every(Number.isFinite)).toBe(true)
        expect(Number(gradient.data[0])).toBeLessThan(Infinity)
      }
    })
  )

  it.effect("EDM's loss is its published form", () =>
    Effect.gen(function* () {
      // λ(σ)‖D(x; σ) − x₀‖², D = c_skip x + c_out F(c_in x, ln(σ)/4)
      const [s, shape] = [0.5, [5, 3]]
      const data = normal(6, shape)
      const f = (x: State, t: State) => Tensor.add(Tensor.tanh(x), Denoiser.over(t, x)) as State
      const found = yield* evaluate({}, () =>
        Objective.make({
          network: f,
          schedule: Schedule.edm(),
          prediction: { kind: "edm", deviation: s },
          weighting: Weighting.edm({ deviation: s }),
          times: TimeDensity.logNormal()
        })(data, key)
      )
      const expected = numbers(found.level.sigma.data).map((sigma, row) => {
        const total = sigma ** 2 + s ** 2
        const [skip, out] = [s ** 2 / total, (sigma * s) / Math.sqrt(total)]
        const lambda = total / (sigma * s) ** 2
        return [0, 1, 2].reduce((sum, j) => {
          const i = 3 * row + j
          const x = Number(found.data.data[i]) + sigma * Number(found.noise.data[i])
          const d = skip * x + out * (Math.tanh(x / Math.sqrt(total)) + Math.log(sigma) / 4)
          return sum + (lambda * (d - Number(found.data.data[i])) ** 2) / 3
        }, 0)
      })
      close(numbers(found.items.data), expected, 1e-9)
    })
  )
})

layer(Device.layerReference())("learned variances", (it) => {
  const schedule = Schedule.linear({ steps: 20, start: 0.01, end: 0.2 })
  const before = (i: number) => (i === 0 ? 1 : schedule.alphasCumprod[i - 1])
  const posterior = (i: number) =>
    (schedule.betas[i] * (1 - before(i))) / (1 - schedule.alphasCumprod[i])
  const small = (i: number) => Math.log(posterior(Math.max(i, 1)))

  it.effect(
    "the bound's terms are divergences of normal distributions, and a likelihood at the end",
    () =>
      Effect.gen(function* () {
        const levels = [0, 1, 7, 19]
        const [data, guess, said] = [0.3, 0.25, -0.4]
        const filled = (value: number) => Tensor.full([4, 2], value, dtype) as State
        const found = yield* evaluate({}, () =>
          (["learnedRange", "learned"] as const).map((learned) =>
            VariationalBound.terms(
              { schedule, learned, decoder: "density" },
              {
                data: filled(data),
                estimate: { data: filled(guess) },
                variance: filled(learned === "learned" ? Math.exp(said) : said),
                level: Tensor.constant(levels, { dtype: "int32" })
              }
            )
          )
        )
        levels.forEach((i, row) => {
          const f = (said + 1) / 2
          const range = f * Math.log(schedule.betas[i]) + (1 - f) * small(i)
          ;[range, said].forEach((logVariance, k) => {
            const c =
              i === 0
                ? 1
                : (Math.sqrt(before(i)) * schedule.betas[i]) / (1 - schedule.alphasCumprod[i])
            const square = (c * (data - guess)) ** 2
            const expected =
              i === 0
                ? (Math.log(2 * Math.PI) + logVariance + square / Math.exp(logVariance)) / 2
                : (logVariance - small(i) + (posterior(i) + square) / Math.exp(logVariance) - 1) / 2
            expect(Number(found[k].data[2 * row])).toBeCloseTo(expected, 10)
          })
        })
      })
  )

  it.effect("the grey levels' probabilities add up to 1", () =>
    Effect.gen(function* () {
      const count = 64
      const grey = Array.from({ length: count }, (_, i) => -1 + (2 * i) / (count - 1))
      for (const [guess, logVariance] of [
        [0.2, -3],
        [-0.97, -6],
        [1.1, 1]
      ]) {
        const found = yield* evaluate({ grey: Tensor.hostArray(grey, { dtype }) }, ({ grey }) =>
          VariationalBound.terms(
            { schedule, learned: "learned", decoder: { levels: count } },
            {
              data: Tensor.reshape(grey, [count, 1]) as State,
              estimate: { data: Tensor.full([count, 1], guess, dtype) as State },
              variance: Tensor.full([count, 1], Math.exp(logVariance), dtype) as State,
              level: Tensor.zeros([count], "int32")
            }
          )
        )
        const sum = numbers(found.data).reduce((total, each) => total + Math.exp(-each), 0)
        expect(sum).toBeCloseTo(1, 8)
      }
    })
  )

  it.effect(
    "the hybrid loss moves the variance alone by the bound, and the prediction alone by the rest",
    () =>
      Effect.gen(function* () {
        const data = normal(7, [8, 2, 3])
        const found = yield* evaluate(
          {
            a: Tensor.hostArray([0.3], { dtype }),
            b: Tensor.hostArray([0.1], { dtype })
          },
          ({ a, b }) => {
            const of = (learned?: Objective.Options["learned"]) =>
              Objective.make({
                network: (x) => {
                  const predicted = Tensor.mul(x, a) as State
                  return learned === undefined
                    ? predicted
                    : (Tensor.concat([predicted, Tensor.mul(x, b) as State], { axis: 1 }) as State)
                },
                schedule,
                prediction: "noise",
                ...(learned === undefined ? {} : { learned })
              })(data, key)
            const [plain, hybrid, heavy] = [
              of(),
              of({ decoder: "density" }),
              of({ decoder: "density", weight: 1 })
            ]
            return {
              plain: Gradient.of(plain.loss, a),
              hybrid: Gradient.of(hybrid.loss, { a, b }),
              heavy: Gradient.of(heavy.loss, b),
              difference: Tensor.sub(hybrid.items, plain.items),
              more: Tensor.sub(heavy.items, plain.items)
            }
          }
        )
        close(numbers(found.hybrid.a.data), numbers(found.plain.data), 1e-12)
        expect(Number(found.hybrid.b.data[0])).not.toBe(0)
        close(numbers(found.heavy.data), [1000 * Number(found.hybrid.b.data[0])], 1e-9)
        close(
          numbers(found.more.data),
          numbers(found.difference.data).map((each) => 1000 * each),
          1e-9
        )
      })
  )
})

describe("an objective", () => {
  const network: Denoiser.Network = (x) => x
  const options = { network, schedule: Schedule.linear(), prediction: "v" } as const

  it("refuses what makes no sense, or does not go together", () => {
    expect(() => Objective.make({ ...options, offset: -1 })).toThrow(DiffusionError)
    expect(() => Objective.make({ ...options, distance: { huber: 0 } })).toThrow("Huber")
    expect(() => Objective.make({ ...options, distance: "mae" as "l1" })).toThrow('not "mae"')
    expect(() => Objective.make({ ...options, prediction: "eps" as "noise" })).toThrow('not "eps"')
    expect(() => Objective.make({ ...options, measure: "time" as "draw" })).toThrow('not "time"')
    expect(() =>
      Objective.make({ ...options, times: TimeDensity.steps, measure: "logSnr" })
    ).toThrow("take a density that is not stepped")
    expect(() => Objective.make({ ...options, schedule: Schedule.cosine(), learned: {} })).toThrow(
      "at the steps of a discrete schedule"
    )
    expect(() =>
      Objective.make({
        ...options,
        prediction: "noise",
        schedule: Schedule.zeroTerminalSnr(Schedule.linear())
      })
    ).toThrow('such as "v"')
    const learned = Objective.make({ ...options, learned: {} })
    expect(() => learned(Tensor.zeros([2, 3, 4]) as State, key)).toThrow("twice the 3 channels")
  })
})
