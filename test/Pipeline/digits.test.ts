/** Digits and points that are drawn when they are asked for. */
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Digits from "../../src/Pipeline/Digits.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import * as Points from "../../src/Pipeline/Points.ts"
import "../support/seed.ts"

const read = (self: Dataset.Dataset, indices: ReadonlyArray<number>) =>
  Effect.runSync(self.read(indices.map((index) => ({ index, key: [index, 1] }))))

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

const sets: ReadonlyArray<(seed: number, size?: number) => Dataset.Dataset> = [
  (seed, size) => Digits.make({ seed, size }),
  ...Points.names.map((name) => (seed: number, size?: number) => Points.make(name, { seed, size }))
]

describe("what is drawn", () => {
  it("depends on the seed and the item's number alone", () =>
    fc.assert(
      fc.property(
        fc.constantFrom(...sets),
        fc.maxSafeInteger(),
        fc.array(fc.maxSafeInteger().map(Math.abs), { minLength: 1, maxLength: 4 }),
        (make, seed, indices) => {
          const together = read(make(seed), indices).data
          const each = together.data.length / indices.length
          indices.forEach((index, i) => {
            const alone = read(make(seed), [index]).data.data
            expect(alone).toEqual(together.data.slice(i * each, (i + 1) * each))
          })
        }
      ),
      { numRuns: 30 }
    ))

  it("is another for another seed or number, and so is the fingerprint", () => {
    for (const make of sets) {
      const drawn = [
        read(make(0), [10]),
        read(make(0), [20]),
        read(make(0), [10 + 2 ** 33]),
        read(make(1), [10])
      ].map(({ data }) => data.data.join())
      expect(new Set(drawn).size).toBe(4)
    }
    const prints = sets.flatMap((make) => [make(0), make(1), make(0, 5)])
    expect(new Set(prints.map(({ fingerprint }) => fingerprint)).size).toBe(prints.length)
    expect(Digits.make().fingerprint).toBe(Digits.make({ seed: 0n }).fingerprint)
  })

  it("ends where it is told", () => {
    for (const make of sets) {
      expect(make(0).size).toBe(Number.POSITIVE_INFINITY)
      const set = make(0, 5)
      expect(set.size).toBe(5)
      expect(read(set, [4])).toEqual(read(make(0), [4]))
      const error = Effect.runSync(Effect.flip(set.read([{ index: 5, key: [0, 0] }])))
      expect(error).toMatchObject({ reason: "options", source: set.name })
    }
  })

  it("has a size and a seed that make sense, and a name that is known", () => {
    const wrong = [
      () => Digits.make({ size: 0 }),
      () => Digits.make({ size: 1.5 }),
      () => Digits.make({ seed: 0.5 }),
      () => Points.make("moons", { seed: Number.NaN }),
      () => Points.make("moon" as never)
    ]
    for (const make of wrong) expect(make).toThrow(DataError)
    expect(wrong[4]).toThrow('points: there are no points "moon"; did you mean "moons"?')
  })
})

describe("digits", () => {
  const count = 4000
  const { data, labels } = read(Digits.make(), range(0, count))
  const side = 28
  const image = (i: number) => data.data.subarray(i * side * side, (i + 1) * side * side)

  it("are ten classes of grey images", () => {
    expect(Digits.make().classes).toEqual(range(0, 10).map(String))
    expect(data.shape).toEqual([count, 1, 28, 28])
    expect(Array.from(labels?.data ?? [])).toEqual(range(0, count).map((i) => i % 10))
  })

  it("are ink from -1 to 1 in the middle of a frame of paper", () => {
    for (let i = 0; i < count; i++) {
      let [ink, x, y, most] = [0, 0, 0, -1]
      image(i).forEach((value, at) => {
        if (!(value >= -1 && value <= 1)) throw new Error(`${value}`)
        const weight = (value + 1) / 2
        const [row, column] = [Math.floor(at / side), at % side]
        if (Math.min(row, column, 27 - row, 27 - column) === 0) expect(value).toBe(-1)
        ink += weight
        x += weight * column
        y += weight * row
        most = Math.max(most, value)
      })
      expect(most).toBeGreaterThan(0.9)
      expect(ink).toBeGreaterThan(20)
      expect(ink).toBeLessThan(250)
      expect(Math.abs(x / ink - 13.5)).toBeLessThan(5)
      expect(Math.abs(y / ink - 13.5)).toBeLessThan(5)
    }
  })

  it("are told apart by the nearest of some others", () => {
    // nearest neighbours among 3,000
    const known = 3000
    let right = 0
    for (let i = known; i < known + 200; i++) {
      let [best, least] = [-1, Number.POSITIVE_INFINITY]
      const mine = image(i)
      for (let j = 0; j < known; j++) {
        const other = image(j)
        let far = 0
        for (let k = 0; k < mine.length && far < least; k++) far += (mine[k] - other[k]) ** 2
        if (far < least) [best, least] = [j, far]
      }
      if (best % 10 === i % 10) right++
    }
    expect(right).toBeGreaterThan(190)
  })
})

describe("points", () => {
  it.each(Points.names)("of %s are about 0 with a deviation of about 1", (name) => {
    const count = 4000
    const set = Points.make(name)
    expect(set.classes).toBeUndefined()
    const { data, labels } = read(set, range(0, count))
    expect(labels).toBeUndefined()
    expect(data.shape).toEqual([count, 2])
    for (const axis of [0, 1]) {
      const values = range(0, count).map((i) => data.data[2 * i + axis])
      const mean = values.reduce((sum, x) => sum + x, 0) / count
      const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count
      expect(Math.abs(mean)).toBeLessThan(0.07)
      expect(Math.abs(Math.sqrt(variance) - 1)).toBeLessThan(0.07)
    }
  })

  it("lie where they belong", () => {
    const of = (name: Points.Name) => {
      const { data } = read(Points.make(name), range(0, 500)).data
      return range(0, 500).map((i) => [data[2 * i], data[2 * i + 1]] as const)
    }
    for (const [x, y] of of("checkerboard")) {
      expect(Math.abs(Math.floor(x / 0.87) + Math.floor(y / 0.87)) % 2).toBe(0)
    }
    for (const [x, y] of of("circles")) {
      const radius = Math.hypot(x, y)
      expect(Math.min(Math.abs(radius - 0.9), Math.abs(radius - 1.8))).toBeLessThan(0.4)
    }
    const corners = range(0, 8).map((k) => [
      Math.cos((k * Math.PI) / 4),
      Math.sin((k * Math.PI) / 4)
    ])
    for (const [x, y] of of("gaussians")) {
      const far = corners.map(([a, b]) => Math.hypot(x - Math.SQRT2 * a, y - Math.SQRT2 * b))
      expect(Math.min(...far)).toBeLessThan(0.6)
    }
  })
})
