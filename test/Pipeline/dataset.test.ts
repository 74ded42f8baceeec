/** Data sets and their streams of batches. */
import { it as effectIt } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import { HostRandom } from "../../src/Tensor/index.ts"
import "../support/seed.ts"

/** Items whose values say which they are. */
const numbered = (size: number, name = "numbered") =>
  Dataset.fromArrays({
    name,
    shape: [2],
    floats: Float32Array.from({ length: 2 * size }, (_, i) => Math.floor(i / 2)),
    labels: Array.from({ length: size }, (_, i) => i % 3),
    classes: ["a", "b", "c"]
  })

/** The same with noise of the draws' keys. */
const noisy = (size: number) =>
  Dataset.map(numbered(size), {
    as: "noisy",
    apply: (from, to, { key }) => {
      const { data } = HostRandom.uniform(key, [2], { max: 0.5 })
      from.forEach((x, i) => {
        to[i] = x + data[i]
      })
    }
  })

const first = (self: Dataset.Dataset, count: number, options: Dataset.BatchesOptions) =>
  Effect.runPromise(Dataset.batches(self, options).pipe(Stream.take(count), Stream.runCollect))

const read = (self: Dataset.Dataset, indices: ReadonlyArray<number>) =>
  Effect.runSync(self.read(indices.map((index) => ({ index, key: [0, 0] }))))

const all = (self: Dataset.Dataset) =>
  Effect.runPromise(
    Effect.map(Stream.runCollect(Dataset.sequence(self, { batch: 3 })), (parts) =>
      parts.flatMap(({ data }) => Array.from(data.data))
    )
  )

const refused = (build: () => unknown): DataError => {
  try {
    build()
  } catch (error) {
    expect(error).toBeInstanceOf(DataError)
    return error as DataError
  }
  throw new Error("was taken")
}

const failure = async <A>(stream: Stream.Stream<A, unknown>): Promise<DataError> => {
  const error = await Effect.runPromise(Effect.flip(Stream.runDrain(stream)))
  expect(error).toBeInstanceOf(DataError)
  return error as DataError
}

describe("fromArrays", () => {
  it("has bytes from -1 to 1, and floats as they are", () => {
    const bytes = Uint8Array.of(0, 255, 127, 128, 51, 204)
    const set = Dataset.fromArrays({ name: "bytes", shape: [1, 1, 2], bytes })
    expect(set).toMatchObject({ size: 3, shape: [1, 1, 2], classes: undefined })
    const { data, labels } = read(set, [2, 0])
    expect(labels).toBeUndefined()
    expect(data).toEqual({
      dtype: "float32",
      shape: [2, 1, 1, 2],
      data: Float32Array.of(51 / 127.5 - 1, 204 / 127.5 - 1, -1, 1)
    })
    expect(read(numbered(4), [3, 1])).toEqual({
      data: { dtype: "float32", shape: [2, 2], data: Float32Array.of(3, 3, 1, 1) },
      labels: { dtype: "int32", shape: [2], data: Int32Array.of(0, 1) }
    })
  })

  it("names classes by their numbers", () => {
    const floats = new Float32Array(3)
    const set = Dataset.fromArrays({ name: "x", shape: [], floats, labels: [2, 0, 0] })
    expect(set).toMatchObject({ size: 3, classes: ["0", "1", "2"] })
  })

  it("refuses what does not agree, and says what it is", () => {
    const floats = new Float32Array(6)
    const make = (more: Partial<Dataset.Arrays> & { readonly floats?: Float32Array }) =>
      refused(() =>
        Dataset.fromArrays({ name: "x", shape: [2], floats, ...more } as Dataset.Arrays)
      )
    expect(make({ floats: new Float32Array(0) })).toMatchObject({ source: "x", reason: "empty" })
    expect(make({ shape: [4] })).toMatchObject({
      reason: "shape",
      message: "x: 6 values are no whole number of items of [4], 4 values each"
    })
    expect(make({ shape: [0] }).reason).toBe("shape")
    expect(make({ labels: [1] }).message).toBe("x: there are 1 labels for 3 items")
    expect(make({ labels: [0, 1, 2], classes: ["a", "b"] })).toMatchObject({
      reason: "value",
      message:
        "x: the label of item 2 is 2; labels are whole numbers from 0 to 1, as there are 2 classes"
    })
    expect(make({ labels: [0, 1, 0.5] }).reason).toBe("value")
    expect(make({ labels: [0, -1, 0] }).reason).toBe("value")
    expect(make({ classes: ["a"] }).reason).toBe("options")
    expect(make({ floats: Float32Array.of(0, 0, 0, Number.NaN) })).toMatchObject({
      reason: "value",
      message: "x: item 1 has the value NaN; leave such items out"
    })
  })

  it("fails for an item that there is not", () => {
    for (const index of [-1, 3, 0.5, Number.NaN]) {
      const error = Effect.runSync(Effect.flip(numbered(3).read([{ index, key: [0, 0] }])))
      expect(error).toMatchObject({ reason: "options", source: "numbered" })
    }
  })
})

describe("fingerprint", () => {
  const base = { name: "x", shape: [2], bytes: Uint8Array.of(1, 2, 3, 4), labels: [0, 1] }
  const of = (more: Partial<Dataset.Arrays> & { readonly bytes?: Uint8Array }) =>
    Dataset.fromArrays({ ...base, ...more } as Dataset.Arrays).fingerprint

  it("is that of the content, not of the name", () => {
    expect(of({ name: "y" })).toBe(of({}))
    expect(of({ bytes: Uint8Array.of(0, 1, 2, 3, 4).subarray(1) })).toBe(of({}))
  })

  it("differs with each thing that differs", () => {
    const [set, other] = [numbered(5), numbered(6)]
    const all = [
      of({}),
      of({ bytes: Uint8Array.of(1, 2, 3, 5) }),
      of({ bytes: Uint8Array.of(1, 2, 4, 3) }),
      of({ shape: [1, 2] }),
      of({ labels: [1, 0] }),
      of({ labels: undefined }),
      of({ classes: ["a", "b"] }),
      set.fingerprint,
      other.fingerprint,
      Dataset.take(set, 3).fingerprint,
      Dataset.skip(set, 2).fingerprint,
      Dataset.subset(set, [2, 3, 4]).fingerprint,
      Dataset.subset(set, [3, 2, 4]).fingerprint,
      Dataset.concat(set, other).fingerprint,
      Dataset.concat(other, set).fingerprint,
      noisy(5).fingerprint
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})

const cases = fc.record({
  size: fc.integer({ min: 1, max: 40 }),
  batch: fc.integer({ min: 1, max: 40 }),
  seed: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  shuffle: fc.boolean(),
  prefetch: fc.integer({ min: 0, max: 4 })
})
const fitting = cases.filter(({ size, batch }) => batch <= size)

describe("batches", () => {
  it("are the same, bit by bit, from any step on", () =>
    fc.assert(
      fc.asyncProperty(fitting, fc.integer({ min: 0, max: 12 }), async (options, from) => {
        const set = noisy(options.size)
        const whole = await first(set, from + 3, { ...options, prefetch: 2 })
        expect(await first(set, 3, { ...options, from })).toEqual(whole.slice(from))
      }),
      { numRuns: 50 }
    ))

  it("has each item once an epoch, in another order each", () =>
    fc.assert(
      fc.asyncProperty(fitting, async (options) => {
        const { size, batch } = options
        const taken = await first(numbered(size), Math.ceil((3 * size) / batch), options)
        const order = taken.flatMap(({ indices }) => indices)
        const epochs = [0, 1, 2].map((epoch) => order.slice(epoch * size, (epoch + 1) * size))
        const ascending = Array.from({ length: size }, (_, i) => i)
        for (const each of epochs) {
          expect(options.shuffle ? each.toSorted((a, b) => a - b) : each).toEqual(ascending)
        }
        if (options.shuffle && size > 20) expect(epochs[0]).not.toEqual(epochs[1])
        taken.forEach(({ step, epoch, data, labels, indices }, i) => {
          expect(step).toBe(i)
          expect(epoch).toBe(Math.floor((i * batch) / size))
          expect(Array.from(data.data)).toEqual(indices.flatMap((index) => [index, index]))
          expect(Array.from(labels?.data ?? [])).toEqual(indices.map((index) => index % 3))
        })
      }),
      { numRuns: 50 }
    ))

  it("has at a position what it has with another batch size", async () => {
    const options = { seed: 5 }
    const [by3, by4] = [
      await first(noisy(7), 8, { ...options, batch: 3 }),
      await first(noisy(7), 6, { ...options, batch: 4 })
    ].map((list) => list.flatMap(({ data }) => Array.from(data.data)))
    expect(by3).toEqual(by4)
  })

  it("has other orders and draws for another seed, and other draws each epoch", async () => {
    const set = noisy(30)
    const [a, b] = [
      await first(set, 2, { batch: 30, seed: 1 }),
      await first(set, 2, { batch: 30, seed: 2 })
    ]
    expect(a[0].indices).not.toEqual(b[0].indices)
    const noiseOf = ({ data, indices }: Dataset.Batch) => data.data[2 * indices.indexOf(4)] - 4
    expect(new Set([...a, ...b].map(noiseOf)).size).toBe(4)
  })

  it("has the same draws as the pure function of the step", async () => {
    const options = { batch: 4, seed: 3 }
    const drawsOf = Dataset.draws(numbered(9), options)
    const taken = await first(numbered(9), 8, options)
    // not in order, so that what is remembered of epochs is asked again
    for (const step of [7, 0, 3, 1, 6, 2, 5, 4]) {
      expect(drawsOf(step).map(({ index }) => index)).toEqual(taken[step].indices)
    }
  })

  it("counts on far beyond 2^32 where there is no end", async () => {
    const endless = Dataset.generate({
      name: "endless",
      shape: [],
      as: "zeros",
      item: () => {}
    })
    const from = 2 ** 40
    const [batch] = await first(endless, 1, { batch: 4, seed: 0, from })
    expect(batch).toMatchObject({ epoch: 0, indices: [0, 1, 2, 3].map((i) => 4 * from + i) })
    const [one, other] = Dataset.draws(endless, { batch: 1, seed: 0 })(from).concat(
      Dataset.draws(endless, { batch: 1, seed: 0 })(from + 2 ** 32)
    )
    expect(one.key).not.toEqual(other.key)
  })

  it("fails where the batch is larger than the data set, with what would work", async () => {
    const error = await failure(Dataset.batches(numbered(5), { batch: 6, seed: 0 }))
    expect(error).toMatchObject({
      reason: "options",
      message:
        "numbered: a batch of 6 is more than the 5 items there are: ask for at most 5, or add to the data"
    })
    for (const wrong of [{ batch: 0 }, { from: -1 }, { prefetch: 1.5 }, { seed: 0.5 }]) {
      const options = { batch: 2, seed: 0, ...wrong }
      expect((await failure(Dataset.batches(numbered(5), options))).reason).toBe("options")
    }
  })

  /** One whose item 5 cannot be read, and that says what has been read. */
  const broken = () => {
    const seen: Array<number> = []
    const set: Dataset.Dataset = {
      ...numbered(9),
      read: (draws) => {
        seen.push(draws[0].index)
        return draws.some(({ index }) => index === 5)
          ? Effect.fail(new DataError({ source: "file 5", reason: "format", message: "torn" }))
          : numbered(9).read(draws)
      }
    }
    return { seen, set }
  }

  effectIt.effect("gives what comes before a failure", () =>
    Effect.gen(function* () {
      for (const prefetch of [0, 1, 3]) {
        const steps: Array<number> = []
        const error = yield* Dataset.batches(broken().set, {
          batch: 2,
          seed: 0,
          shuffle: false,
          prefetch
        }).pipe(
          Stream.runForEach(({ step }) => Effect.sync(() => steps.push(step))),
          Effect.flip
        )
        expect(error).toMatchObject({ source: "file 5" })
        expect(steps).toEqual([0, 1])
      }
    })
  )

  effectIt.live("reads ahead while a batch is used, and no further than told", () =>
    Effect.gen(function* () {
      const { seen, set } = broken()
      yield* Dataset.batches(set, { batch: 1, seed: 0, shuffle: false, prefetch: 2 }).pipe(
        Stream.take(1),
        Stream.runForEach(() => Effect.sleep(20))
      )
      expect(seen).toEqual([0, 1, 2])
    })
  )

  effectIt.live("stops reading where it is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = false
      const slow: Dataset.Dataset = {
        ...numbered(9),
        read: () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interrupted = true
            })
          )
      }
      const fiber = yield* Effect.forkChild(
        Stream.runDrain(Dataset.batches(slow, { batch: 1, seed: 0 }))
      )
      yield* Effect.sleep(5)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      expect(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)).toBe(true)
      expect(interrupted).toBe(true)
    })
  )
})

describe("sequence", () => {
  const sizes = (options: Parameters<typeof Dataset.sequence>[1]) =>
    Effect.runPromise(
      Effect.map(Stream.runCollect(Dataset.sequence(numbered(10), options)), (parts) =>
        parts.map(({ data }) => Array.from(data.data).filter((_, i) => i % 2 === 0))
      )
    )

  it("has each item once, in order", async () => {
    expect(await sizes({ batch: 4 })).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9]
    ])
    expect(await sizes({ batch: 100, from: 8 })).toEqual([[8, 9]])
    expect(await sizes({ batch: 2, from: 3, count: 3 })).toEqual([[3, 4], [5]])
    expect(await sizes({ batch: 2, count: 0 })).toEqual([])
    expect(await sizes({ batch: 2, from: 10 })).toEqual([])
  })

  it("fails for items that there are not", async () => {
    const wrong = [{ count: 11 }, { from: 8, count: 3 }, { from: 11 }, { from: -1 }, { batch: 0 }]
    for (const options of wrong) {
      const stream = Dataset.sequence(numbered(10), { batch: 2, ...options })
      expect((await failure(stream)).reason).toBe("options")
    }
    const endless = Dataset.generate({ name: "e", shape: [], as: "zeros", item: () => {} })
    expect((await failure(Dataset.sequence(endless, { batch: 2 }))).message).toBe(
      "e: its items have no end: say how many, by count"
    )
  })

  it("has draws that depend on the seed and the item alone", async () => {
    const collect = (options: Parameters<typeof Dataset.sequence>[1]) =>
      Effect.runPromise(
        Effect.map(Stream.runCollect(Dataset.sequence(noisy(10), options)), (parts) =>
          parts.flatMap(({ data }) => Array.from(data.data))
        )
      )
    expect(await collect({ batch: 4 })).toEqual(await collect({ batch: 3, seed: 0 }))
    expect((await collect({ batch: 4 })).slice(6)).toEqual(await collect({ batch: 4, from: 3 }))
    expect(await collect({ batch: 4 })).not.toEqual(await collect({ batch: 4, seed: 1 }))
  })
})

describe("transformations", () => {
  const only = async (self: Dataset.Dataset) => (await all(self)).filter((_, i) => i % 2 === 0)

  it("take and skip what they say", async () => {
    const set = numbered(7)
    expect(await only(Dataset.take(set, 3))).toEqual([0, 1, 2])
    expect(await only(Dataset.skip(set, 5))).toEqual([5, 6])
    expect(await only(Dataset.take(2)(Dataset.skip(3)(set)))).toEqual([3, 4])
    expect(refused(() => Dataset.take(set, 8)).reason).toBe("options")
    expect(refused(() => Dataset.take(set, 0)).reason).toBe("empty")
    expect(refused(() => Dataset.skip(set, 7)).reason).toBe("empty")
    const error = Effect.runSync(
      Effect.flip(Dataset.take(set, 3).read([{ index: 3, key: [0, 0] }]))
    )
    expect(error.message).toBe("numbered: there is no item 3; they count from 0 to 2")
  })

  it("takes items by their numbers", async () => {
    const set = Dataset.subset(numbered(7), [6, 0, 6])
    expect(await only(set)).toEqual([6, 0, 6])
    expect(Array.from(read(set, [0, 1]).labels?.data ?? [])).toEqual([0, 0])
    expect(refused(() => Dataset.subset(numbered(7), [7])).reason).toBe("options")
    expect(refused(() => Dataset.subset(numbered(7), [])).reason).toBe("empty")
  })

  it("puts data sets together", async () => {
    const set = Dataset.concat(numbered(2), Dataset.skip(numbered(5), 3))
    expect(await only(set)).toEqual([0, 1, 3, 4])
    const { data, labels } = read(set, [3, 0, 2, 1])
    expect(Array.from(data.data)).toEqual([4, 4, 0, 0, 3, 3, 1, 1])
    expect(Array.from(labels?.data ?? [])).toEqual([1, 0, 0, 1])
    const floats = new Float32Array(6)
    const plain = Dataset.fromArrays({ name: "plain", shape: [2], floats })
    expect(refused(() => Dataset.concat(set, plain)).message).toContain(
      "one has a, b, c, the other none"
    )
    const wide = Dataset.fromArrays({ name: "wide", shape: [3], floats })
    expect(refused(() => Dataset.concat(plain, wide)).reason).toBe("shape")
    expect(await all(Dataset.concat(plain, plain))).toEqual(Array.from({ length: 12 }, () => 0))
  })

  it("makes other items, of another shape if told", () => {
    const sums = Dataset.map(numbered(4), {
      as: "sums",
      shape: [1],
      apply: (from, to) => {
        to[0] = from[0] + from[1]
      }
    })
    expect(read(sums, [3, 1])).toMatchObject({
      data: { shape: [2, 1], data: Float32Array.of(6, 2) },
      labels: { data: Int32Array.of(0, 1) }
    })
  })
})
