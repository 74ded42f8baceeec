/** Learning rates: torch's where it has them, their formulas where not, and what they have in common. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as LearningRate from "../../src/Pipeline/LearningRate.ts"
import { TrainError } from "../../src/Pipeline/PipelineError.ts"
import fixture from "../fixtures/optimizers.json" with { type: "json" }

const rate = 0.2

/** Those of the fixture, by its names. */
const peers: Readonly<Record<keyof typeof fixture.rates, LearningRate.LearningRate>> = {
  constant: LearningRate.constant(rate),
  linear: LearningRate.linear({ rate, end: 0.02, steps: 30 }),
  cosine: LearningRate.cosine({ rate, end: 0.02, steps: 40 }),
  cosineRestarts: LearningRate.cosineRestarts({ rate, end: 0.02, period: 5, growth: 2 }),
  polynomial: LearningRate.polynomial({ rate, steps: 30, power: 2 }),
  piecewise: LearningRate.piecewise({ rates: [0.2, 0.02, 0.002], at: [10, 25] }),
  exponential: LearningRate.exponential({ rate, factor: 0.9 }),
  sequence: LearningRate.warmUp(LearningRate.cosine({ rate, steps: 30 }), 10, { from: 0.02 })
}

const positive = fc.double({ min: 1e-6, max: 1, noNaN: true })
const steps = fc.integer({ min: 1, max: 2000 })

/** Shapes that go from `rate` to `end` and never rise. */
const falling = fc
  .record({ rate: positive, share: fc.double({ min: 0, max: 1, noNaN: true }), steps })
  .chain(({ rate, share, steps }) => {
    const end = rate * share
    return fc.constantFrom(
      { name: "constant", rate },
      { name: "linear", rate, end, steps },
      { name: "cosine", rate, end, steps },
      { name: "polynomial", rate, end, steps, power: 0.5 },
      { name: "polynomial", rate, end, steps, power: 3 },
      { name: "exponential", rate, factor: 0.99, per: 10 },
      { name: "inverseSqrt", rate, reference: 50 },
      { name: "inverse", rate, inverseGamma: 20, power: 0.5, end },
      { name: "piecewise", rates: [rate, (rate + end) / 2, end], at: [steps, 2 * steps] }
    ) as fc.Arbitrary<LearningRate.Config>
  })

const greatest = (config: LearningRate.Config): number =>
  config.name === "piecewise" ? config.rates[0] : config.rate

describe("a learning rate", () => {
  it.each(Object.keys(peers))("%s is PyTorch's", (name) => {
    const found = peers[name as keyof typeof peers]
    fixture.rates[name as keyof typeof peers].forEach((value, update) => {
      expect(Math.abs(found(update) - value), `${update}`).toBeLessThan(1e-14)
    })
  })

  it("is its formula where PyTorch has none", () => {
    const sqrt = LearningRate.inverseSqrt({ rate, reference: 100 })
    expect([sqrt(0), sqrt(100), sqrt(400), sqrt(10_000)]).toEqual([0.2, 0.2, 0.1, 0.02])
    const inverse = LearningRate.inverse({ rate, inverseGamma: 4, power: 0.5, end: 0.05 })
    expect([inverse(0), inverse(12), inverse(60), inverse(1000)]).toEqual([0.2, 0.1, 0.05, 0.05])
    const eased = LearningRate.easeIn(inverse, 0.75)
    expect([eased(0), eased(1) / inverse(1)]).toEqual([0.05, 1 - 0.75 ** 2])
  })

  it("falls from its rate to its end, and stays there", () => {
    fc.assert(
      fc.property(falling, fc.integer({ min: 0, max: 5000 }), (config, update) => {
        const found = LearningRate.of(config, { steps: 10 })
        expect(found(0)).toBe(greatest(config))
        expect(found(update + 1)).toBeLessThanOrEqual(found(update) * (1 + 1e-15))
        expect(found(update)).toBeGreaterThanOrEqual(0)
        if ("end" in config && "steps" in config) expect(found(5000)).toBe(config.end)
      })
    )
  })

  it("warms up in a straight line to where the rest begins, which counts from there", () => {
    fc.assert(
      fc.property(
        falling,
        fc.integer({ min: 1, max: 500 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (config, warmUp, share) => {
          const top = greatest(config)
          const from = share * top
          const plain = LearningRate.of(config, { steps: 1000 })
          const warm = LearningRate.of({ ...config, warmUp, from }, { steps: 1000 })
          expect(warm(0)).toBe(from)
          // the step up to the rest is as high as all before
          const rise = (top - from) / warmUp
          for (const update of [1, warmUp - 1, warmUp].filter((each) => each > 0)) {
            expect(Math.abs(warm(update) - warm(update - 1) - rise)).toBeLessThan(1e-12)
          }
          for (const update of [0, 1, 77, 3000]) expect(warm(warmUp + update)).toBe(plain(update))
        }
      )
    )
    const late = LearningRate.warmUp(5)(LearningRate.constant(1))
    expect([0, 1, 5, 6].map(late)).toEqual([0, 0.2, 1, 1])
    expect(LearningRate.warmUp(late, 0)).toBe(late)
  })

  it("ends with the training unless told", () => {
    for (const name of ["linear", "cosine", "polynomial"] as const) {
      const found = LearningRate.of({ name, rate, end: 0.01, warmUp: 100 }, { steps: 1000 })
      expect([found(0), found(100), found(1000)]).toEqual([0, rate, 0.01])
      expect(found(999)).toBeGreaterThan(0.01)
      expect(LearningRate.of({ name, rate, steps: 50 }, { steps: 1000 })(50)).toBe(0)
    }
  })

  it("restarts on time, however often", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom(1, 1.5, 2, 3, 10),
        fc.integer({ min: 0, max: 12 }),
        (period, growth, n) => {
          const found = LearningRate.cosineRestarts({ rate, end: 0.01, period, growth })
          const start = Array.from({ length: n }, (_, i) => period * growth ** i).reduce(
            (a, b) => a + b,
            0
          )
          const first = Math.ceil(start)
          // what a whole update after a restart between two can have lost
          const share = (first - start) / (period * growth ** n)
          const wave = (1 + Math.cos(Math.PI * share)) / 2
          expect(Math.abs(found(first) - (0.01 + 0.19 * wave))).toBeLessThan(1e-9)
          // before it, the period was nearly over
          if (n > 0 && first === start) {
            const last = 1 - 1 / (period * growth ** (n - 1))
            const before = 0.01 + (0.19 * (1 + Math.cos(Math.PI * last))) / 2
            expect(Math.abs(found(first - 1) - before)).toBeLessThan(1e-9)
          }
        }
      )
    )
  })

  it("follows others in turn, each from its own beginning", () => {
    const found = LearningRate.sequence(
      [LearningRate.constant(1), (update) => update, LearningRate.constant(5)],
      [3, 6]
    )
    expect([0, 1, 2, 3, 4, 5, 6, 100].map(found)).toEqual([1, 1, 1, 0, 1, 2, 5, 5])
  })
})

describe("a learning rate by name", () => {
  const refusal = (given: unknown, steps = 1000): string => {
    try {
      LearningRate.of(given as LearningRate.Config, { steps })
    } catch (error) {
      expect(error).toBeInstanceOf(TrainError)
      return (error as TrainError).message
    }
    return "not refused"
  }

  it("is refused with what was perhaps meant", () => {
    expect(refusal({ name: "cosin", rate })).toBe(
      'LearningRate: there is no "cosin"; did you mean "cosine"?'
    )
    expect(refusal({ name: "cosine", rate, warmup: 5 })).toBe(
      'LearningRate: warmup: there is no such field; did you mean "warmUp"?'
    )
    expect(refusal({ name: "cosine" })).toBe("LearningRate: rate: is missing")
    expect(refusal({ name: "piecewise", rates: [1, "2"], at: [5] })).toBe(
      'LearningRate: rates.1: must be a number, not "2"'
    )
    expect(refusal({ name: "cosine", rate: Number.NaN })).toMatch(/LearningRate: rate: must be/)
  })

  it("is refused for options that make no sense", () => {
    expect(refusal({ name: "constant", rate: -1 })).toBe(
      "LearningRate.constant: `rate` must be a number of at least 0, not -1"
    )
    expect(refusal({ name: "cosine", rate, warmUp: 500 }, 500)).toBe(
      "LearningRate: a warm-up of 500 updates leaves none of the training's 500 for cosine"
    )
    expect(refusal({ name: "cosine", rate, warmUp: 1.5 })).toMatch(/`warmUp` must be a whole/)
    expect(refusal({ name: "cosine", rate, from: 0.1 })).toMatch(/`from` is the rate that a warm/)
    expect(refusal({ name: "linear", rate, steps: 0 })).toMatch(/`steps` must be a whole number/)
    expect(refusal({ name: "piecewise", rates: [1, 2], at: [] })).toBe(
      "LearningRate.piecewise: 2 rates have 1 changes between them, but `at` has 0"
    )
    expect(refusal({ name: "piecewise", rates: [1, 2, 3], at: [5, 5] })).toMatch(/that rise from 1/)
    expect(refusal({ name: "piecewise", rates: [1, -2], at: [5] })).toMatch(/`rates\[1\]` must be/)
    expect(refusal({ name: "exponential", rate, factor: 1.1 })).toMatch(/from 0 to 1, not 1.1/)
    expect(refusal({ name: "cosineRestarts", rate, period: 5, growth: 0.5 })).toMatch(/`growth`/)
    expect(refusal({ name: "cosine", rate, easeIn: 1 })).toMatch(/`factor` must be a number/)
    expect(() => LearningRate.sequence([], [])).toThrow(/0 rates/)
  })
})
