/** Augmentation of data sets. */
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Augment from "../../src/Pipeline/Augment.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Digits from "../../src/Pipeline/Digits.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import { HostRandom, Shape } from "../../src/Tensor/index.ts"
import recorded from "../fixtures/resize.json" with { type: "json" }
import "../support/seed.ts"

const of = (shape: ReadonlyArray<number>, values: ArrayLike<number>) =>
  Dataset.fromArrays({ name: "x", shape, floats: Float32Array.from(values) })

/** Items whose values are their places. */
const places = (shape: ReadonlyArray<number>, items = 1) =>
  of(
    shape,
    Array.from({ length: items * Shape.size(shape) }, (_, i) => i)
  )

const read = (self: Dataset.Dataset, draws: ReadonlyArray<Dataset.Draw>) =>
  Effect.runSync(self.read(draws)).data

const one = (self: Dataset.Dataset, seed = 0) =>
  Array.from(read(self, [{ index: 0, key: HostRandom.key(seed) }]).data)

/** What the first item becomes by each of many keys. */
const many = (self: Dataset.Dataset, count = 2000) => {
  const keys = HostRandom.split(HostRandom.key(5), count)
  const { data } = read(
    self,
    keys.map((key) => ({ index: 0, key }))
  )
  const each = data.length / count
  return keys.map((_, i) => data.slice(i * each, (i + 1) * each).join(","))
}

const counts = (all: ReadonlyArray<string>) => {
  const found = new Map<string, number>()
  for (const each of all) found.set(each, (found.get(each) ?? 0) + 1)
  return found
}

const all: ReadonlyArray<(self: Dataset.Dataset) => Dataset.Dataset> = [
  Augment.flip(),
  Augment.flip({ p: 0.1 }),
  Augment.crop({ padding: 3 }),
  Augment.crop({ padding: [1, 0], fill: "edge" }),
  Augment.crop({ size: [20, 9] }),
  Augment.centreCrop({ size: 17 }),
  Augment.pad({ size: 32 }),
  Augment.pad({ size: [28, 31], fill: "edge" }),
  Augment.resize({ size: [13, 40] }),
  (self) => Augment.flip(Augment.crop(self, { padding: 2 }))
]

describe("every augmentation", () => {
  const digits = Digits.make({ size: 50 })

  it.each(all)("%# has the shape that it says, and values within those given", (make) => {
    const set = make(digits)
    const draws = Array.from({ length: 50 }, (_, index) => ({ index, key: HostRandom.key(index) }))
    const { data, shape } = read(set, draws)
    expect(shape).toEqual([50, ...set.shape])
    expect(data.every((x) => x >= -1 && x <= 1)).toBe(true)
    expect(data.some((x) => x > 0.9)).toBe(true)
    expect(set).toMatchObject({ name: "digits", size: 50, classes: digits.classes })
  })

  it.each(all)("%# depends on the item and the key alone", (make) =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(49), fc.nat()), { minLength: 1, maxLength: 5 }),
        (asked) => {
          const set = make(digits)
          const draws = asked.map(([index, seed]) => ({ index, key: HostRandom.key(seed) }))
          const together = read(set, draws).data
          const each = together.length / draws.length
          draws.forEach((draw, i) => {
            expect(read(set, [draw]).data).toEqual(together.slice(i * each, (i + 1) * each))
          })
        }
      ),
      { numRuns: 10 }
    )
  )

  it("changes the fingerprint, by its options too", () => {
    const prints = all.map((make) => make(digits).fingerprint)
    expect(new Set([...prints, digits.fingerprint]).size).toBe(all.length + 1)
    expect(Augment.flip()(digits).fingerprint).toBe(Augment.flip(digits, { p: 0.5 }).fingerprint)
  })

  it("refuses items without space, and options that make no sense", () => {
    const points = places([2])
    const image = places([1, 4, 4])
    const wrong: ReadonlyArray<readonly [() => unknown, string]> = [
      [() => Augment.flip(points), "items must be [channels, …space] for this, not [2]"],
      [() => Augment.flip(image, { p: 1.5 }), "p is a probability"],
      [() => Augment.flip(image, { p: Number.NaN }), "p is a probability"],
      [
        () => Augment.crop(image, { size: 5 }),
        "a window of [5,5] is larger than [4,4] with [0,0] around it"
      ],
      [() => Augment.crop(image, { padding: -1 }), "a size is one whole number of at least 0"],
      [() => Augment.crop(image, { size: [4] }), "or 2 of them, not [4]"],
      [() => Augment.crop(image, { fill: Number.NaN }), 'fill is a number or "edge", not NaN'],
      [() => Augment.centreCrop(image, { size: 5 }), "is larger than items of [4,4]: pad them"],
      [
        () => Augment.pad(image, { size: 3 }),
        "is smaller than items of [4,4]: crop or resize them"
      ],
      [() => Augment.resize(image, { size: 0 }), "a size is one whole number of at least 1"]
    ]
    for (const [make, message] of wrong) {
      expect(make).toThrow(DataError)
      expect(make).toThrow(message)
    }
  })
})

describe("flip", () => {
  it("mirrors the last axis", () => {
    expect(one(Augment.flip(places([2, 2, 3]), { p: 1 }))).toEqual([
      2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9
    ])
    expect(one(Augment.flip(places([1, 4]), { p: 1 }))).toEqual([3, 2, 1, 0])
    expect(one(Augment.flip(places([1, 4]), { p: 0 }))).toEqual([0, 1, 2, 3])
  })

  it("does so as often as told", () => {
    for (const p of [0.5, 0.1]) {
      const found = counts(many(Augment.flip(places([1, 2]), { p })))
      // five standard deviations
      expect(Math.abs((found.get("1,0") ?? 0) - 2000 * p)).toBeLessThan(
        5 * Math.sqrt(2000 * p * (1 - p))
      )
    }
  })

  it("is drawn anew where it is done twice", () => {
    const twice = Augment.flip(Augment.flip(places([1, 2])))
    const flipped = counts(many(twice)).get("1,0") ?? 0
    expect(Math.abs(flipped - 1000)).toBeLessThan(5 * Math.sqrt(500))
  })
})

describe("crop", () => {
  it("has every window, each about as often", () => {
    const found = counts(many(Augment.crop(places([1, 3, 3]), { size: 2 })))
    expect(Array.from(found.keys()).toSorted()).toEqual([
      "0,1,3,4",
      "1,2,4,5",
      "3,4,6,7",
      "4,5,7,8"
    ])
    for (const count of found.values())
      expect(Math.abs(count - 500)).toBeLessThan(5 * Math.sqrt(375))
  })

  it("reaches beyond the edges as far as told", () => {
    const found = counts(many(Augment.crop(of([1, 2], [1, 2]), { padding: 2, fill: 9 })))
    expect(Array.from(found.keys()).toSorted()).toEqual(["1,2", "2,9", "9,1", "9,9"])
    // beyond on either side
    expect(found.get("9,9")).toBeGreaterThan(2 * ((found.get("1,2") ?? 0) - 200))
    const edge = counts(many(Augment.crop(of([1, 2], [1, 2]), { padding: 2, fill: "edge" })))
    expect(Array.from(edge.keys()).toSorted()).toEqual(["1,1", "1,2", "2,2"])
  })

  it("is what a window of the padded item is", () =>
    fc.assert(
      fc.property(
        fc.record({
          shape: fc.tuple(
            fc.integer({ min: 1, max: 3 }),
            fc.integer({ min: 1, max: 6 }),
            fc.integer({ min: 1, max: 6 })
          ),
          around: fc.integer({ min: 0, max: 4 }),
          fill: fc.constantFrom<Augment.Fill>(-1, 3, "edge"),
          seed: fc.nat()
        }),
        ({ shape, around, fill, seed }) => {
          const [c, h, w] = shape
          const set = places(shape)
          const padded = one(Augment.pad(set, { size: [h + 2 * around, w + 2 * around], fill }))
          const found = one(Augment.crop(set, { padding: around, fill }), seed)
          const window = (top: number, left: number) =>
            Array.from({ length: c * h * w }, (_, i) => {
              const [channel, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w]
              return padded[(channel * (h + 2 * around) + y + top) * (w + 2 * around) + x + left]
            })
          const offsets = Array.from({ length: 2 * around + 1 }, (_, i) => i)
          const windows = offsets.flatMap((top) => offsets.map((left) => window(top, left).join()))
          expect(windows).toContain(found.join())
        }
      ),
      { numRuns: 60 }
    ))
})

describe("pad and centreCrop", () => {
  it("put items in the middle, and take them out again", () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 4 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 3, maxLength: 3 }),
        (shape, more) => {
          const set = places(shape)
          // by even numbers, so that there is one middle
          const size = shape.slice(1).map((n, axis) => n + 2 * more[axis])
          const back = Augment.centreCrop(Augment.pad(set, { size }), { size: shape.slice(1) })
          expect(one(back)).toEqual(one(set))
        }
      )
    ))

  it("fill what is around", () => {
    expect(one(Augment.pad(of([1, 1, 2], [1, 2]), { size: [3, 4] }))).toEqual([
      -1, -1, -1, -1, -1, 1, 2, -1, -1, -1, -1, -1
    ])
    expect(one(Augment.pad(of([1, 1, 2], [1, 2]), { size: [2, 3], fill: "edge" }))).toEqual([
      1, 1, 2, 1, 1, 2
    ])
  })
})

describe("resize", () => {
  it("agrees with PyTorch's, against aliasing", () => {
    for (const { shape, size, image, resized: expected } of recorded.cases) {
      const found = one(Augment.resize(of(shape, image), { size }))
      expect(found).toHaveLength(expected.length)
      found.forEach((x, i) => {
        expect(Math.abs(x - expected[i])).toBeLessThan(1e-6)
      })
    }
  })

  it("leaves items of the size as they are, and plain ones plain", () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 4 }),
        fc.integer({ min: 1, max: 9 }),
        (shape, size) => {
          const set = places(shape)
          expect(one(Augment.resize(set, { size: shape.slice(1) }))).toEqual(one(set))
          const plain = of(shape, new Float32Array(Shape.size(shape)).fill(0.25))
          expect(new Set(one(Augment.resize(plain, { size })))).toEqual(new Set([0.25]))
        }
      )
    ))

  it("has the weights of a triangle", () => {
    const impulse = of([1, 8], [0, 0, 0, 8, 0, 0, 0, 0])
    expect(one(Augment.resize(impulse, { size: 4 }))).toEqual([0, 3, 1, 0])
  })
})

describe("with batches", () => {
  it("gives the same from any step on, and other draws in another epoch", async () => {
    const set = Augment.flip(Augment.crop(Digits.make({ size: 12 }), { padding: 3 }))
    const drawsOf = Dataset.draws(set, { batch: 12, seed: 3 })
    const [first, second] = [0, 1].map(
      (step) =>
        read(
          set,
          drawsOf(step).toSorted((a, b) => a.index - b.index)
        ).data
    )
    expect(first).not.toEqual(second)
    expect(read(set, Dataset.draws(set, { batch: 12, seed: 3 })(1)).data).toEqual(
      read(set, drawsOf(1)).data
    )
  })
})
