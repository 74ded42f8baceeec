/** Averages of weights: their formulas, and what is reconstructed from stored ones. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Ema from "../../src/Pipeline/Ema.ts"
import { TrainError } from "../../src/Pipeline/PipelineError.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"
import { all } from "../support/devices.ts"

const updates = fc.integer({ min: 0, max: 1_000_000 })
const deviations = fc.double({ min: 0.005, max: 0.288, noNaN: true })

const every: ReadonlyArray<Ema.Ema> = [
  Ema.constant(),
  Ema.constant(0),
  Ema.warmUp(),
  Ema.warmUp({ inverseGamma: 10, power: 0.75, min: 0.1, max: 0.999, after: 20 }),
  Ema.halfLife({ updates: 500 }),
  Ema.halfLife({ images: 500_000, batch: 512, rampUp: null }),
  Ema.power({ deviation: 0.05 }),
  Ema.power({ gamma: 0 })
]

/** A walk of weights: what they are after each of some updates. */
const walk = (count: number): Float64Array => {
  const weights = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    weights[i] = 1 - Math.exp(-i / 300) + 0.1 * Math.sin(i / 40) + 0.05 * Math.sin(2.3 * i)
  }
  return weights
}

/** The average of a walk at some updates. */
const averaged = (ema: Ema.Ema, weights: Float64Array, at: ReadonlyArray<number>) => {
  const found = new Map<number, number>()
  let average = 0
  weights.forEach((w, i) => {
    const beta = ema.decay(i)
    average = beta * average + (1 - beta) * w
    if (at.includes(i + 1)) found.set(i + 1, average)
  })
  return found
}

const array = (...data: ReadonlyArray<number>) => ({
  dtype: "float32" as const,
  shape: [data.length],
  data: Float32Array.from(data)
})

describe("an average", () => {
  it("forgets no less than nothing and no more than all, and ever more slowly", () => {
    fc.assert(
      fc.property(fc.constantFrom(...every), updates, ({ decay }, update) => {
        expect(decay(update)).toBeGreaterThanOrEqual(0)
        expect(decay(update)).toBeLessThan(1)
        expect(decay(update + 1)).toBeGreaterThanOrEqual(decay(update))
      })
    )
  })

  it("warms up as k-diffusion and diffusers do", () => {
    const { decay } = Ema.warmUp({ inverseGamma: 2, power: 0.5, min: 0.2, max: 0.9, after: 3 })
    expect([0, 3].map(decay)).toEqual([0, 0])
    expect(decay(4)).toBe(0.2)
    expect(decay(9)).toBeCloseTo(1 - 1 / Math.sqrt(4), 15)
    expect(decay(10_000)).toBe(0.9)
    // 0.999 after 31.6 thousand updates with 2/3, after 10 thousand with 3/4
    expect(Ema.warmUp().decay(31_623)).toBeCloseTo(0.999, 6)
    expect(Ema.warmUp({ power: 0.75 }).decay(10_000)).toBeCloseTo(0.999, 6)
  })

  it("halves what it knew in its half-life", () => {
    const { decay } = Ema.halfLife({ images: 500_000, batch: 500 })
    expect(decay(30_000) ** 1000).toBeCloseTo(0.5, 12)
    // 5 % of a hundred updates
    expect(decay(100) ** 5).toBeCloseTo(0.5, 12)
    expect(decay(0)).toBe(0)
    expect(Ema.halfLife({ updates: 10, rampUp: null }).decay(0) ** 10).toBeCloseTo(0.5, 12)
    expect(Ema.halfLife({ updates: 10, rampUp: 0.5 }).decay(10) ** 5).toBeCloseTo(0.5, 12)
  })

  it("finds the power of a deviation, and back", () => {
    fc.assert(
      fc.property(deviations, (deviation) => {
        const gamma = Ema.gammaOf(deviation)
        expect(gamma).toBeGreaterThanOrEqual(0)
        expect(Math.abs(Ema.deviationOf(gamma) / deviation - 1)).toBeLessThan(1e-14)
      })
    )
    // the paper's two
    expect(Ema.gammaOf(0.05)).toBeCloseTo(16.97, 2)
    expect(Ema.gammaOf(0.1)).toBeCloseTo(6.94, 2)
    expect(Ema.gammaOf(Ema.deviationOf(0))).toBeCloseTo(0, 7)
  })

  it("by a power has the deviation that it is named by", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.02, max: 0.28, noNaN: true }), (deviation) => {
        // of the times of the weights it holds, over the length of the training
        const count = 4000
        const { decay } = Ema.power({ deviation })
        const times = Float64Array.from({ length: count }, (_, i) => (i + 0.5) / count)
        let [mean, square] = [0, 0]
        times.forEach((time, i) => {
          const beta = decay(i)
          mean = beta * mean + (1 - beta) * time
          square = beta * square + (1 - beta) * time ** 2
        })
        expect(Math.sqrt(square - mean ** 2) / deviation).toBeCloseTo(1, 3)
      }),
      { numRuns: 30 }
    )
  })

  it("by the power 0 is the mean of all", () => {
    const weights = walk(100)
    const mean = weights.reduce((a, b) => a + b, 0) / 100
    const found = averaged(Ema.power({ gamma: 0 }), weights, [1, 100])
    expect(found.get(1)).toBe(weights[0])
    expect(found.get(100)).toBeCloseTo(mean, 12)
  })
})

for (const device of all) {
  layer(device.layer)(`on ${device.name}`, (it) => {
    it.effect("moves towards the parameters", () =>
      Effect.gen(function* () {
        const given = {
          average: { w: array(1, 2, 3), b: array(0) },
          parameters: { b: array(10), w: array(2, 2, 1) },
          share: Tensor.hostArray(0.25)
        }
        const found = yield* evaluate(given, ({ average, parameters, share }) => [
          Ema.update(average, parameters, share as never),
          Ema.update(average, parameters, 0.25),
          Ema.update(average, parameters, 1),
          Ema.update(average, parameters, 0)
        ])
        const values = found.map((each) => [Array.from(each.w.data), Array.from(each.b.data)])
        const moved = [[1.25, 2, 2.5], [2.5]]
        expect(values).toEqual([moved, moved, [[2, 2, 1], [10]], [[1, 2, 3], [0]]])
      })
    )
  })
}

describe("a reconstruction", () => {
  const count = 3000
  const weights = walk(count)
  const at = Array.from({ length: 40 }, (_, i) => ((i + 1) * count) / 40)
  const stored = [0.05, 0.1]
  const snapshots = stored.flatMap((deviation) =>
    [...averaged(Ema.power({ deviation }), weights, at)].map(([update, value]) => ({
      update,
      deviation,
      weights: { "a.w": array(value, -2 * value), b: array(1) }
    }))
  )

  it("of many snapshots is the average that was not stored", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.04, max: 0.15, noNaN: true }),
        fc.constantFrom(count, count / 2, at[25]),
        (deviation, update) => {
          const { error } = Ema.coefficients(snapshots, { deviation, at: update })
          expect(error).toBeLessThan(0.02)
          const found = Ema.reconstruct(snapshots, { deviation, at: update })
          const direct = averaged(Ema.power({ deviation }), weights, [update]).get(update) as number
          const [value, twice] = found["a.w"].data
          expect(Math.abs(value - direct)).toBeLessThan(1e-3)
          expect(twice).toBeCloseTo(-2 * value, 5)
          // what never changed
          expect(found.b.data[0]).toBe(1)
        }
      ),
      { numRuns: 30 }
    )
  })

  it("of a stored average is that one", () => {
    for (const { update, deviation, weights } of snapshots) {
      const found = Ema.reconstruct(snapshots, { deviation, at: update })
      expect(found).toEqual(weights)
      expect(Ema.coefficients(snapshots, { deviation, at: update }).error).toBe(0)
    }
    const [{ weights }] = snapshots.filter(({ update }) => update === count)
    expect(Ema.reconstruct(snapshots, { deviation: 0.05 })).toEqual(weights)
    expect(Ema.reconstruct(snapshots, { gamma: Ema.gammaOf(0.05) })).toEqual(weights)
  })

  it("tends to a stored one as its deviation does", () => {
    const near = Ema.coefficients(snapshots, { deviation: 0.05 + 1e-9 })
    const last = snapshots.findIndex((each) => each.update === count && each.deviation === 0.05)
    near.coefficients.forEach((each, i) => {
      expect(Math.abs(each - (i === last ? 1 : 0))).toBeLessThan(1e-5)
    })
  })

  it("counts together 1, and nothing from later", () => {
    fc.assert(
      fc.property(
        deviations,
        fc.integer({ min: at[0], max: count }),
        fc.uniqueArray(fc.integer({ min: 1, max: count }), { minLength: 1, maxLength: 20 }),
        (deviation, update, updates) => {
          const some = [at[0], ...updates.filter((each) => each !== at[0])].flatMap((each) =>
            stored.map((deviation) => ({ update: each, deviation }))
          )
          const { coefficients } = Ema.coefficients(some, { deviation, at: update })
          expect(coefficients.length).toBe(some.length)
          expect(coefficients.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 8)
          some.forEach((each, i) => {
            if (each.update > update) expect(coefficients[i]).toBe(0)
          })
        }
      )
    )
  })

  it("says by how much its profile is off, as its distance by quadrature is", () => {
    const some = [
      { update: 40, gamma: 6 },
      { update: 70, gamma: 17 },
      { update: 100, gamma: 6 }
    ]
    const wanted = { gamma: 10, at: 90 }
    const { coefficients, error } = Ema.coefficients(some, wanted)
    expect(coefficients[2]).toBe(0)
    const profile = (gamma: number, update: number, time: number) =>
      time > update ? 0 : ((gamma + 1) / update) * (time / update) ** gamma
    let [distance, norm] = [0, 0]
    for (let i = 0; i < 90_000; i++) {
      const time = (i + 0.5) / 1000
      const target = profile(10, 90, time)
      const sum = some
        .map(({ gamma, update }, j) => coefficients[j] * profile(gamma, update, time))
        .reduce((a, b) => a + b)
      distance += (sum - target) ** 2
      norm += target ** 2
    }
    expect(error).toBeCloseTo(Math.sqrt(distance / norm), 4)
  })

  it("is refused where it cannot be", () => {
    const wanted = { deviation: 0.07 }
    expect(() => Ema.reconstruct([], wanted)).toThrow(/there are no snapshots; store averages/)
    expect(() => Ema.reconstruct(snapshots, { ...wanted, at: 10 })).toThrow(
      "Ema.reconstruct: there is no snapshot up to update 10; the first is of 75"
    )
    expect(() => Ema.reconstruct([snapshots[3], snapshots[3]], wanted)).toThrow(/is there twice/)
    expect(() => Ema.reconstruct(snapshots, { deviation: 0.3 })).toThrow(
      /`deviation` must be a number above 0 and at most 1\/√12, 0.2887, such as 0.05, not 0.3/
    )
    const [{ weights: _, ...first }, second] = snapshots
    expect(() => Ema.reconstruct([{ ...first, weights: {} }, second], wanted)).toThrow(
      /"a.w" is missing at update 75, but \[2\] at update 150/
    )
    expect(() => Ema.reconstruct([second, { ...first, weights: {} }], wanted)).toThrow(
      /"a.w" is \[2\] at update 150, but missing at update 75; snapshots must be of one network/
    )
    const other = { ...first, weights: { "a.w": array(1), b: array(1) } }
    expect(() => Ema.reconstruct([second, other], wanted)).toThrow(/but \[1\] at update 75/)
    expect(() => Ema.reconstruct([{ ...second, update: 0.5 }], wanted)).toThrow(TrainError)
  })
})

describe("an average by name", () => {
  const refusal = (given: unknown): string => {
    try {
      Ema.of(given as Ema.Config, { batch: 64 })
    } catch (error) {
      expect(error).toBeInstanceOf(TrainError)
      return (error as TrainError).message
    }
    return "not refused"
  }

  it("is what its maker gives", () => {
    const cases: ReadonlyArray<readonly [Ema.Config, Ema.Ema]> = [
      [{ name: "constant" }, Ema.constant()],
      [{ name: "constant", beta: 0.99 }, Ema.constant(0.99)],
      [{ name: "warmUp", power: 0.75 }, Ema.warmUp({ power: 0.75 })],
      [{ name: "halfLife", images: 640 }, Ema.halfLife({ updates: 10 })],
      [
        { name: "halfLife", updates: 10, rampUp: null },
        Ema.halfLife({ updates: 10, rampUp: null })
      ],
      [{ name: "power", deviation: 0.1 }, Ema.power({ deviation: 0.1 })],
      [{ name: "power", gamma: 3 }, Ema.power({ gamma: 3 })]
    ]
    for (const [config, ema] of cases) {
      const found = Ema.of(config, { batch: 64 })
      expect(found.name).toBe(ema.name)
      for (const update of [0, 1, 10, 1000]) expect(found.decay(update)).toBe(ema.decay(update))
    }
  })

  it("is refused with what would work", () => {
    expect(refusal({ name: "powr" })).toBe('Ema: there is no "powr"; did you mean "power"?')
    expect(refusal({ name: "power", sigma: 1 })).toBe(
      "Ema: sigma: there is no such field; known are name, deviation, gamma"
    )
    const either = "Ema.power: tell either `deviation` or `gamma`"
    expect(refusal({ name: "power" })).toBe(either)
    expect(refusal({ name: "power", deviation: 0.1, gamma: 3 })).toBe(either)
    expect(refusal({ name: "halfLife" })).toBe("Ema.halfLife: tell either `updates` or `images`")
    expect(refusal({ name: "halfLife", updates: 0 })).toMatch(/`updates` must be a number above 0/)
    expect(refusal({ name: "constant", beta: 1 })).toMatch(/`beta` must be a number of at least 0/)
    expect(refusal({ name: "warmUp", min: 0.9, max: 0.5 })).toMatch(/`min`, 0.9, must not be above/)
    expect(refusal({ name: "halfLife", updates: 5, rampUp: "no" })).toMatch(/^Ema: rampUp: must be/)
  })
})
