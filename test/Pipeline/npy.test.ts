/** NumPy's files: what NumPy wrote, there and back, and what is no such file. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as fc from "fast-check"
import { describe, it } from "vitest"
import type { Dataset } from "../../src/Pipeline/Dataset.ts"
import * as Npy from "../../src/Pipeline/Npy.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import { DType, Shape } from "../../src/Tensor/index.ts"
import fixtures from "../fixtures/npy.json" with { type: "json" }

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"))

const refusal = <A>(effect: Effect.Effect<A, DataError>): DataError => {
  const error = Effect.runSync(Effect.flip(effect))
  expect(error).toBeInstanceOf(DataError)
  return error
}

const dtypes: ReadonlyArray<Npy.Dtype> = [
  ...["b1", "u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8"]
] as never

/** An array of some bits; floats may be anything, truth values are 0 and 1. */
const anArray: fc.Arbitrary<Npy.NumpyArray> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    seed: fc.infiniteStream(fc.nat(255))
  })
  .map(({ dtype, shape, seed }) => {
    const size = Shape.size(shape)
    const bits = new Uint8Array(size * Number(dtype[1]))
    for (let i = 0; i < bits.length; i++)
      bits[i] = (seed.next().value as number) & (dtype === "b1" ? 1 : 255)
    const constructors = {
      b1: Uint8Array,
      u1: Uint8Array,
      i1: Int8Array,
      u2: Uint16Array,
      i2: Int16Array,
      u4: Uint32Array,
      i4: Int32Array,
      i8: BigInt64Array,
      f2: Uint16Array,
      f4: Float32Array,
      f8: Float64Array
    }
    return { dtype, shape, data: new constructors[dtype](bits.buffer) }
  })

describe("decode", () => {
  it.each(fixtures.cases)("reads what NumPy wrote: $name", ({ file, dtype, shape, values }) => {
    const array = Effect.runSync(Npy.decode(bytesOf(file)))
    expect([array.dtype, array.shape]).toEqual([dtype, shape])
    const told = (x: string | number | boolean | bigint): number | bigint =>
      dtype === "i8"
        ? BigInt(x)
        : (({ nan: Number.NaN, inf: Infinity, "-inf": -Infinity } as Record<string, number>)[
            `${x}`
          ] ?? Number(x))
    const data = Array.from(array.data as ArrayLike<number>)
    expect(dtype === "f2" ? data.map(DType.fromFloat16Bits) : data).toEqual(
      (values as ReadonlyArray<string | number | boolean>).map(told)
    )
  })

  it("gives back what `encode` was given", () => {
    fc.assert(
      fc.property(anArray, (array) => {
        const file = Npy.encode(array)
        expect(file.length % 64).toBe(array.data.byteLength % 64)
        expect(Effect.runSync(Npy.decode(file))).toEqual(array)
      })
    )
  })

  it("refuses what is cut short or longer than it says, at every length", () => {
    const file = Npy.encode({ dtype: "f4", shape: [2, 3], data: new Float32Array(6) })
    for (let length = 0; length < file.length; length++) {
      expect(refusal(Npy.decode(file.subarray(0, length), "a.npy")).reason).toBe("format")
    }
    expect(refusal(Npy.decode(new Uint8Array([...file, 0]), "a.npy")).message).toBe(
      "a.npy: [2, 3] of f4 are 24 bytes, but 25 follow its header: it is no single array, or damaged"
    )
  })

  it.each([
    ["objects", /Python objects/],
    ["text", /text/],
    ["complex", /complex numbers/],
    ["records", /records/],
    ["dates", /dates/],
    ["u8", /astype\("int64"\)/]
  ] as const)("refuses %s", (name, message) => {
    const error = refusal(Npy.decode(bytesOf(fixtures.refused[name]), "a.npy"))
    expect(error).toMatchObject({ source: "a.npy", reason: "format" })
    expect(error.message).toMatch(message)
  })

  it("refuses what is no such file", () => {
    const file = Npy.encode({ dtype: "u1", shape: [1], data: new Uint8Array(1) })
    const without = (from: string, to: string) =>
      Uint8Array.from(Buffer.from(Buffer.from(file).toString("latin1").replace(from, to), "latin1"))
    const message = (bytes: Uint8Array) => refusal(Npy.decode(bytes)).message
    expect(message(new TextEncoder().encode("no numbers at all"))).toMatch(/no \.npy file/)
    expect(message(without("\x01\x00", "\x04\x00"))).toMatch(/version 4; known are 1 to 3/)
    expect(message(without("descr", "dtype"))).toMatch(/does not tell dtype/)
    expect(message(without("(1,)", "(a,)"))).toMatch(/does not tell/)
    expect(message(without("(1,)", "(9999999999999999,)"))).toMatch(/does not tell|more elements/)
    expect(message(without("|u1", "|q1"))).toMatch(/"q1"; known dtypes are b1, u1/)
  })

  it("never fails otherwise, whatever the bytes", () => {
    const file = Npy.encode({ dtype: "i2", shape: [3], data: Int16Array.of(1, 2, 3) })
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, value) => {
        const damaged = file.slice()
        damaged[at] = value
        Effect.runSync(Effect.ignore(Npy.decode(damaged)))
      })
    )
  })
})

describe("encode", () => {
  it("writes what NumPy writes, byte for byte", () => {
    // those that are what `encode` writes: version 1.0, C order, little-endian
    const same = fixtures.cases.filter(({ name }) => / in C order$|^one axis$|^a number/.test(name))
    expect(same.length).toBe(13)
    for (const { file } of same) {
      const bytes = bytesOf(file)
      expect(Npy.encode(Effect.runSync(Npy.decode(bytes)))).toEqual(bytes)
    }
  })

  it("refuses data that do not fit", () => {
    expect(() => Npy.encode({ dtype: "f4", shape: [3], data: new Float32Array(2) })).toThrow(
      "Npy.encode: 2 elements of Float32Array are no [3] of f4"
    )
    expect(() =>
      Npy.encode({ dtype: "f4", shape: [2], data: new Float64Array(2) as never })
    ).toThrow(DataError)
  })
})

describe("host arrays", () => {
  it("come back as they were", () => {
    for (const dtype of DType.all) {
      const array = { dtype, shape: [2], data: DType.allocate(dtype, 2) } as const
      expect(Npy.toHostArray(Npy.fromHostArray(array))).toEqual(array)
    }
  })

  it("hold small integers as int32", () => {
    const data = Int8Array.of(-128, 127)
    expect(Npy.toHostArray({ dtype: "i1", shape: [2], data })).toEqual({
      dtype: "int32",
      shape: [2],
      data: Int32Array.of(-128, 127)
    })
  })
})

describe("archives", () => {
  it.each(["stored", "deflated"] as const)("are read as NumPy wrote them: %s", (name) => {
    const { x, y } = Effect.runSync(Npy.decodeArchive(bytesOf(fixtures.archives[name])))
    expect(x).toEqual({ dtype: "u1", shape: [5, 6, 7, 3], data: Uint8Array.from(fixtures.images) })
    expect(Array.from(y.data as BigInt64Array, Number)).toEqual(fixtures.labels)
  })

  it("give back what was put in", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((s) => s !== "__proto__"),
          anArray,
          {
            maxKeys: 3
          }
        ),
        fc.boolean(),
        (arrays, compress) => {
          const file = Npy.encodeArchive(arrays, { compress })
          expect(Effect.runSync(Npy.decodeArchive(file))).toEqual({ ...arrays })
          expect(Npy.encodeArchive(arrays, { compress })).toEqual(file)
        }
      ),
      { numRuns: 40 }
    )
  })

  it("are refused where they are cut short, or a bit is another", () => {
    for (const name of ["stored", "deflated"] as const) {
      const file = bytesOf(fixtures.archives[name])
      const whole = Effect.runSync(Npy.decodeArchive(file))
      for (const length of [0, 3, 100, file.length >> 1, file.length - 1]) {
        expect(refusal(Npy.decodeArchive(file.subarray(0, length))).message).toMatch(/cut short/)
      }
      fc.assert(
        fc.property(fc.nat(file.length - 1), fc.nat(7), (at, bit) => {
          const damaged = file.slice()
          damaged[at] ^= 1 << bit
          const result = Effect.runSync(Effect.result(Npy.decodeArchive(damaged)))
          // what no checksum covers, such as a date, may be another
          if (result._tag === "Success" && "x" in result.success && "y" in result.success)
            expect(result.success).toEqual(whole)
        })
      )
    }
  })
})

layer(NodeServices.layer)("dataset", (it) => {
  /** A file of some bytes, for as long as the test runs. */
  const file = Effect.fnUntraced(function* (name: string, bytes: Uint8Array) {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped()
    yield* files.writeFile(`${folder}/${name}`, bytes)
    return `${folder}/${name}`
  })
  const key = [0, 0] as const
  const all = Effect.fnUntraced(function* (data: Dataset) {
    const draws = Array.from({ length: data.size }, (_, index) => ({ index, key }))
    return yield* data.read(draws)
  })
  const images = Uint8Array.from(fixtures.images)
  const [n, h, w, c] = [5, 6, 7, 3]
  const first = new Uint8Array(images.length)
  for (let i = 0; i < n; i++)
    for (let p = 0; p < h * w; p++)
      for (let k = 0; k < c; k++) first[(i * c + k) * h * w + p] = images[(i * h * w + p) * c + k]
  const values = Float32Array.from(first, (x) => x / 127.5 - 1)
  const last = { dtype: "u1", shape: [n, h, w, c], data: images } as const

  it.effect("has channels first wherever they were, from a file or from memory", () =>
    Effect.gen(function* () {
      const fortran = Uint8Array.from({ length: images.length }, (_, at) => {
        const index: Array<number> = []
        for (const size of last.shape) {
          index.push(at % size)
          at = Math.floor(at / size)
        }
        return images[index.reduce((sum, i, axis) => sum * last.shape[axis] + i, 0)]
      })
      const header = Buffer.from(Npy.encode(last).slice(0, 128)).toString("latin1")
      const files = [
        Npy.encode(last),
        Npy.encode({ ...last, shape: [n, c, h, w], data: first }),
        Npy.encodeArchive({ data: last }, { compress: true }),
        Buffer.concat([Buffer.from(header.replace("False", "True "), "latin1"), fortran])
      ]
      for (const bytes of files) {
        const data = yield* Npy.dataset(yield* file("images.npy", bytes))
        expect(data).toMatchObject({ size: n, shape: [c, h, w], classes: undefined })
        const read = yield* all(data)
        expect(read.data).toEqual({ dtype: "float32", shape: [n, c, h, w], data: values })
        const some = yield* data.read([
          { index: 3, key },
          { index: 1, key },
          { index: 3, key }
        ])
        const item = (i: number) => Array.from(values.subarray(i * c * h * w, (i + 1) * c * h * w))
        expect(Array.from(some.data.data)).toEqual([...item(3), ...item(1), ...item(3)])
      }
    })
  )

  it.effect("has grey images without an axis of channels", () =>
    Effect.gen(function* () {
      const grey = { dtype: "u1", shape: [15, h, w], data: first } as const
      const data = yield* Npy.dataset(yield* file("grey.npy", Npy.encode(grey)))
      expect(data.shape).toEqual([1, h, w])
      expect((yield* all(data)).data.data).toEqual(values)
    })
  )

  it.effect("has the labels of an archive, or of a file beside", () =>
    Effect.gen(function* () {
      const path = yield* file("labelled.npz", bytesOf(fixtures.archives.positional))
      const data = yield* Npy.dataset(path, { classes: ["cat", "dog", "owl"] })
      expect(data.classes).toEqual(["cat", "dog", "owl"])
      expect(Array.from((yield* all(data)).labels?.data ?? [])).toEqual(fixtures.labels)
      const labels = {
        dtype: "i8",
        shape: [n, 1],
        data: BigInt64Array.from(fixtures.labels, BigInt)
      }
      const beside = yield* Npy.dataset(yield* file("images.npy", Npy.encode(last)), {
        labels: yield* file("labels.npy", Npy.encode(labels as Npy.NumpyArray))
      })
      expect(beside.classes).toEqual(["0", "1", "2"])
      expect(yield* all(beside)).toEqual(yield* all(data))
      const few = yield* file(
        "few.npy",
        Npy.encode({ dtype: "u1", shape: [2], data: Uint8Array.of(0, 1) })
      )
      const error = yield* Effect.flip(Npy.dataset(path, { labels: "z" }))
      expect(error.message).toMatch(/there is no array "z"; known are arr_0, arr_1/)
      const mismatch = yield* Effect.flip(
        Npy.dataset(yield* file("images.npy", Npy.encode(last)), { labels: few })
      )
      expect(mismatch.message).toMatch(/there are 2 labels for 5 items/)
    })
  )

  it.effect("maps each range to [-1, 1], of every dtype", () =>
    Effect.gen(function* () {
      const shape = [2, 1, 2]
      const cases: ReadonlyArray<readonly [Npy.Range, Npy.NumpyArray, ReadonlyArray<number>]> = [
        ["0..1", { dtype: "f8", shape, data: Float64Array.of(0, 0.25, 0.5, 1) }, [-1, -0.5, 0, 1]],
        [
          "-1..1",
          { dtype: "f4", shape, data: Float32Array.of(-1, 1.0005, 0, 0.5) },
          [-1, 1.0005, 0, 0.5]
        ],
        [
          "0..255",
          { dtype: "i8", shape, data: BigInt64Array.of(0n, 255n, 51n, 204n) },
          [-1, 1, -0.6, 0.6]
        ],
        [
          "0..1",
          { dtype: "f2", shape, data: Uint16Array.from([0, 1, 0.5, 0.25], DType.toFloat16Bits) },
          [-1, 1, 0, -0.5]
        ],
        ["0..1", { dtype: "u1", shape, data: Uint8Array.of(0, 1, 1, 0) }, [-1, 1, 1, -1]]
      ]
      for (const [range, array, expected] of cases) {
        const data = yield* Npy.dataset(yield* file("a.npy", Npy.encode(array)), { range })
        const read = yield* all(data)
        expected.forEach((x, i) => {
          expect(read.data.data[i]).toBeCloseTo(x, 6)
        })
      }
      const mask = { dtype: "b1", shape, data: Uint8Array.of(0, 1, 1, 0) } as const
      const truth = yield* Npy.dataset(yield* file("b.npy", Npy.encode(mask)))
      expect(Array.from((yield* all(truth)).data.data)).toEqual([-1, 1, 1, -1])
    })
  )

  it.effect("has a fingerprint of its items, their order and their range", () =>
    Effect.gen(function* () {
      const fingerprint = Effect.fnUntraced(function* (bytes: Uint8Array, options?: Npy.Options) {
        return (yield* Npy.dataset(yield* file("a.npy", bytes), options)).fingerprint
      })
      const floats = { dtype: "f4", shape: [2, 1, 1], data: Float32Array.of(0, 1) } as const
      const other = { ...floats, data: Float32Array.of(1, 0) }
      const prints = [
        yield* fingerprint(Npy.encode(floats), { range: "0..1" }),
        yield* fingerprint(Npy.encode(floats), { range: "-1..1" }),
        yield* fingerprint(Npy.encode(other), { range: "0..1" }),
        yield* fingerprint(Npy.encode({ ...floats, shape: [1, 2, 1] }), { range: "0..1" })
      ]
      expect(new Set(prints).size).toBe(4)
      expect(yield* fingerprint(Npy.encode(floats), { range: "0..1" })).toBe(prints[0])
      const limited = yield* fingerprint(Npy.encode(floats), { range: "0..1", limit: 1 })
      expect(prints).not.toContain(limited)
      const some = yield* Npy.dataset(yield* file("a.npy", Npy.encode(floats)), {
        range: "0..1",
        limit: 1
      })
      expect(some.size).toBe(1)
    })
  )

  const refused = Effect.fnUntraced(function* (bytes: Uint8Array, options?: Npy.Options) {
    const path = yield* file("bad.npy", bytes)
    const error = yield* Effect.flip(Npy.dataset(path, options))
    expect(error.message.startsWith(`${path}: `)).toBe(true)
    return [error.reason, error.message.slice(path.length + 2)]
  })
  const floats = (shape: ReadonlyArray<number>, at: number, value: number) => {
    const data = new Float32Array(Shape.size(shape))
    data[at] = value
    return Npy.encode({ dtype: "f4", shape, data })
  }

  it.effect("refuses what it would have to guess", () =>
    Effect.gen(function* () {
      const range = yield* refused(floats([2, 2, 2], 0, 0))
      expect(range).toEqual([
        "options",
        "f4 elements do not tell what is black and what is white: say so by `range`, one of 0..1, -1..1, 0..255"
      ])
      const both = { dtype: "u1", shape: [2, 3, 8, 3], data: new Uint8Array(144) } as const
      for (const array of [both, { ...both, shape: [1, 12, 1, 12] }]) {
        const [reason, message] = yield* refused(Npy.encode(array))
        expect(reason).toBe("options")
        expect(message).toMatch(/does not tell which axis has the channels/)
      }
      const told = yield* Npy.dataset(yield* file("a.npy", Npy.encode(both)), { channels: "last" })
      expect(told.shape).toEqual([3, 3, 8])
    })
  )

  it.effect("names the item whose values cannot be", () =>
    Effect.gen(function* () {
      const range = "0..1"
      // more than a block of the file before it
      const shape = [70, 64, 64]
      expect(yield* refused(floats(shape, 65 * 64 * 64 + 9, Number.NaN), { range })).toEqual([
        "value",
        "item 65 has the value NaN; leave such items out"
      ])
      const [reason, message] = yield* refused(floats([4, 2, 2], 11, 200), { range })
      expect(reason).toBe("value")
      expect(message).toMatch(/^item 2 has the value 200, which is not in the range 0\.\.1/)
      const archive = Npy.encodeArchive({
        x: { dtype: "f4", shape: [2, 1, 1], data: Float32Array.of(0, Infinity) }
      })
      expect(yield* refused(archive, { range })).toEqual([
        "value",
        "item 1 has the value Infinity; leave such items out"
      ])
    })
  )

  it.effect("refuses files without images", () =>
    Effect.gen(function* () {
      const grey = (shape: ReadonlyArray<number>) =>
        Npy.encode({ dtype: "u1", shape, data: new Uint8Array(Shape.size(shape)) })
      expect((yield* refused(grey([0, 2, 2])))[0]).toBe("empty")
      expect((yield* refused(grey([2, 0, 2])))[0]).toBe("shape")
      expect((yield* refused(grey([4])))[0]).toBe("shape")
      expect((yield* refused(grey([1, 2, 2]).subarray(0, -1)))[1]).toMatch(/it is cut short/)
      expect((yield* refused(new Uint8Array()))[1]).toMatch(/no \.npy file/)
      const archive = Npy.encodeArchive({ pictures: last, names: last })
      expect((yield* refused(archive))[1]).toBe(
        "none of its arrays is called x, images, data, arr_0: it has pictures, names; say which, by `images`"
      )
      expect((yield* refused(archive, { images: "picture" }))[1]).toBe(
        'there is no array "picture"; did you mean "pictures"?'
      )
      expect((yield* refused(Npy.encodeArchive({})))[1]).toMatch(/it has none/)
      expect((yield* refused(archive.subarray(0, 500)))[1]).toMatch(/cut short/)
      expect((yield* refused(grey([1, 2, 2]), { images: "x" }))[0]).toBe("options")
      const missing = yield* Effect.flip(Npy.dataset("/nowhere/a.npy"))
      expect(missing).toMatchObject({ _tag: "FileError", reason: "missing" })
      expect(yield* Effect.flip(Npy.dataset("/"))).toMatchObject({ reason: "kind" })
    })
  )

  it.effect("says so if the file is cut short later", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = yield* file("a.npy", Npy.encode(last))
      const data = yield* Npy.dataset(path)
      yield* files.truncate(path, 200)
      const error = yield* Effect.flip(data.read([{ index: 4, key }]))
      expect(error.message).toMatch(/it ends at byte/)
      expect(yield* Effect.flip(data.read([{ index: 5, key }]))).toMatchObject({
        reason: "options"
      })
    })
  )
})
