/** Data sets from IDX files and from CIFAR's. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Paths from "effect/Path"
import * as fc from "fast-check"
import { pack } from "tar-stream"
import { afterAll, describe, expect, it, vi } from "vitest"
import * as Cifar from "../../src/Pipeline/Cifar.ts"
import type * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Idx from "../../src/Pipeline/Idx.ts"
import { DataError, FileError } from "../../src/Pipeline/PipelineError.ts"
import "../support/seed.ts"

const base = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-idx-"))
afterAll(() => Fs.rmSync(base, { recursive: true }))

let folders = 0
const folder = (files: Readonly<Record<string, Uint8Array | string>>) => {
  const path = Path.join(base, `${folders++}`)
  for (const [name, content] of Object.entries(files)) {
    Fs.mkdirSync(Path.dirname(Path.join(path, name)), { recursive: true })
    Fs.writeFileSync(Path.join(path, name), content)
  }
  Fs.mkdirSync(path, { recursive: true })
  return path
}

type Files = FileSystem.FileSystem | Paths.Path

const run = <A, E>(effect: Effect.Effect<A, E, Files>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))

const failure = <A>(effect: Effect.Effect<A, DataError | FileError, Files>) =>
  run(Effect.flip(effect))

const all = async (set: Dataset.Dataset) => {
  const indices = Array.from({ length: set.size }, (_, index) => ({ index, key: [0, 0] as const }))
  const { data, labels } = await Effect.runPromise(set.read(indices))
  return { data: Array.from(data.data), labels: labels && Array.from(labels.data) }
}

/** The bytes of an IDX file. */
const idx = (type: number, shape: ReadonlyArray<number>, elements: Uint8Array) => {
  const head = new DataView(new ArrayBuffer(4 + 4 * shape.length))
  head.setUint8(2, type)
  head.setUint8(3, shape.length)
  shape.forEach((size, axis) => head.setUint32(4 + 4 * axis, size))
  return Buffer.concat([new Uint8Array(head.buffer), elements])
}
const images = (count: number, first = 0) =>
  idx(
    8,
    [count, 2, 3],
    Uint8Array.from({ length: 6 * count }, (_, i) => first + i)
  )
const labels = (...all: ReadonlyArray<number>) => idx(8, [all.length], Uint8Array.from(all))
const value = (byte: number) => Math.fround(byte / 127.5 - 1)

describe("parse", () => {
  it("reads numbers of every type, big-endian", () => {
    const numbers: Readonly<
      Record<number, readonly [number, (view: DataView, at: number, x: number) => void]>
    > = {
      9: [1, (view, at, x) => view.setInt8(at, x)],
      11: [2, (view, at, x) => view.setInt16(at, x)],
      12: [4, (view, at, x) => view.setInt32(at, x)],
      13: [4, (view, at, x) => view.setFloat32(at, x)],
      14: [8, (view, at, x) => view.setFloat64(at, x)]
    }
    for (const [type, [bytes, set]] of Object.entries(numbers)) {
      const view = new DataView(new ArrayBuffer(bytes * 4))
      const values = [1, -2, 100, -128]
      values.forEach((x, i) => {
        set(view, bytes * i, x)
      })
      const found = Idx.parse(idx(Number(type), [2, 2], new Uint8Array(view.buffer)), "x")
      expect(found).toEqual({ shape: [2, 2], data: Float64Array.from(values) })
    }
  })

  it("gives back any bytes, and refuses them with one more or some fewer", () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (shape, stream, cut) => {
          const count = shape.reduce((a, b) => a * b, 1)
          const bytes = Uint8Array.from([...stream.take(count)])
          const file = idx(8, shape, bytes)
          const { data, ...found } = Idx.parse(file, "x")
          expect(found).toEqual({ shape })
          expect(Array.from(data)).toEqual(Array.from(bytes))
          expect(() => Idx.parse(file.subarray(0, Math.floor(cut * file.length)), "x")).toThrow(
            DataError
          )
          expect(() => Idx.parse(Buffer.concat([file, Uint8Array.of(0)]), "x")).toThrow(DataError)
        }
      )
    ))

  it("says what other files begin with", () => {
    const refused = (bytes: Uint8Array) => {
      try {
        Idx.parse(bytes, "some/file")
      } catch (error) {
        return (error as DataError).message
      }
      throw new Error("was taken")
    }
    expect(refused(Buffer.from("\x89PNG more"))).toMatch(
      /^some\/file: it is no IDX file: it begins with c2 89 50 4e/
    )
    expect(refused(new Uint8Array(0))).toContain("it begins with nothing")
    expect(refused(Uint8Array.of(0, 0, 10, 1))).toContain("00 00 0a 01")
    expect(refused(Uint8Array.of(0, 0, 8, 3, 0))).toContain("cut short within its head")
    expect(refused(images(2).subarray(0, 20))).toBe(
      "some/file: an array of [2,2,3] has 28 bytes, but there are 20: the file is cut short; get it anew"
    )
  })
})

describe("Idx.read", () => {
  it("reads each part of a folder, packed or not", async () => {
    const path = folder({
      "train-images-idx3-ubyte.gz": Zlib.gzipSync(images(2)),
      "train-labels-idx1-ubyte": labels(1, 0),
      "t10k-images.idx3-ubyte": images(1, 100),
      "t10k-labels.idx1-ubyte.gz": Zlib.gzipSync(labels(2)),
      "other.txt": "not this"
    })
    const train = await run(Idx.read(path))
    expect(train).toMatchObject({ size: 2, shape: [1, 2, 3], classes: ["0", "1"] })
    expect(await all(train)).toEqual({
      data: Array.from({ length: 12 }, (_, i) => value(i)),
      labels: [1, 0]
    })
    const test = await run(Idx.read(path, { split: "test", classes: ["a", "b", "c"] }))
    expect(test).toMatchObject({ size: 1, classes: ["a", "b", "c"] })
    expect(await all(test)).toEqual({
      data: [0, 1, 2, 3, 4, 5].map((i) => value(100 + i)),
      labels: [2]
    })
  })

  it("reads one file, with the labels beside it, others or none", async () => {
    const path = folder({
      "mine-images-idx3-ubyte": images(2),
      "mine-labels-idx1-ubyte.gz": Zlib.gzipSync(labels(0, 1)),
      others: labels(5, 4),
      floats: idx(13, [3, 2], new Uint8Array(24)),
      nan: idx(13, [1, 1], Uint8Array.of(0x7f, 0xc0, 0, 0)),
      shorts: idx(11, [1, 1, 2], Uint8Array.of(0, 1, 0, 255))
    })
    const file = Path.join(path, "mine-images-idx3-ubyte")
    expect((await all(await run(Idx.read(file)))).labels).toEqual([0, 1])
    const other = Idx.read(file, { labels: Path.join(path, "others") })
    expect((await all(await run(other))).labels).toEqual([5, 4])
    expect((await run(Idx.read(file, { labels: false }))).classes).toBeUndefined()
    expect(await run(Idx.read(Path.join(path, "floats")))).toMatchObject({
      size: 3,
      shape: [2]
    })
    expect(await failure(Idx.read(Path.join(path, "nan")))).toMatchObject({ reason: "value" })
    // which would be taken for values from -1 to 1
    const shorts = await failure(Idx.read(Path.join(path, "shorts")))
    expect(shorts).toMatchObject({ reason: "value" })
    expect(shorts.message).toContain("its images have the value 255: save bytes")
  })

  it("names the file that cannot be used, and why", async () => {
    const packed = Zlib.gzipSync(images(50))
    const path = folder({
      "train-images-idx3-ubyte.gz": packed.subarray(0, packed.length - 20),
      "t10k-images-idx3-ubyte": images(2),
      "t10k-labels-idx1-ubyte": labels(0, 1, 1)
    })
    const cut = await failure(Idx.read(path))
    expect(cut).toMatchObject({ reason: "format" })
    expect(cut.message).toContain(`${path}/train-images-idx3-ubyte.gz: gzip cut short or damaged`)
    const counts = await failure(Idx.read(path, { split: "test" }))
    expect(counts).toMatchObject({ reason: "shape" })
    expect(counts.message).toBe(
      `${path}/t10k-images-idx3-ubyte: there are 2 images, but labels [3] in ${path}/t10k-labels-idx1-ubyte`
    )
    const damaged = Buffer.from(packed)
    damaged[damaged.length - 6] ^= 1
    const checksum = folder({ a: damaged })
    expect((await failure(Idx.read(Path.join(checksum, "a")))).message).toContain(
      "incorrect data check"
    )
    const memory = vi.spyOn(process, "constrainedMemory").mockReturnValue(1000)
    const large = folder({ a: Zlib.gzipSync(images(255)) })
    const beyond = await failure(Idx.read(Path.join(large, "a")))
    memory.mockRestore()
    expect(beyond.message).toBe(
      `${large}/a: it is packed by gzip, and larger than half of the memory: unpack it`
    )
    expect(await failure(Idx.read(folder({ "a-images-idx3-ubyte": images(1) })))).toMatchObject({
      reason: "empty"
    })
    const missing = await failure(Idx.read(Path.join(path, "nothing")))
    expect(missing).toBeInstanceOf(FileError)
    expect(missing).toMatchObject({ reason: "missing" })
    const several = folder({
      "emnist-letters-train-images-idx3-ubyte": images(1),
      "emnist-digits-train-images-idx3-ubyte": images(1)
    })
    expect((await failure(Idx.read(several))).message).toContain("tell the path of one")
    expect(await failure(Idx.read(several, { split: "test" }))).toMatchObject({ reason: "empty" })
    const wrong = await failure(Idx.read(Path.join(path, "t10k-labels-idx1-ubyte")))
    expect(wrong).toMatchObject({ reason: "shape" })
    expect(wrong.message).toContain("it holds numbers [3], as files of labels do")
    const none = folder({ "x-images-idx3-ubyte": images(0) })
    expect(await failure(Idx.read(Path.join(none, "x-images-idx3-ubyte")))).toMatchObject({
      reason: "empty"
    })
  })
})

const mnist = Path.join(import.meta.dirname, "../../../shared/data/mnist")

describe.skipIf(!Fs.existsSync(mnist))(
  "MNIST, skipped where ../shared/data/mnist is absent",
  () => {
    it("has 60,000 and 10,000 digits, about as many of each", async () => {
      for (const [split, size] of [
        ["train", 60_000],
        ["test", 10_000]
      ] as const) {
        const set = await run(Idx.read(mnist, { split }))
        expect(set).toMatchObject({ size, shape: [1, 28, 28] })
        expect(set.classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
        const key = [0, 0] as const
        const some = Array.from({ length: 500 }, (_, index) => ({ index, key }))
        const { data, labels } = await Effect.runPromise(set.read(some))
        // published: mean 0.1307 and deviation 0.3081 of values from 0 to 1
        const mean = data.data.reduce((sum, x) => sum + (x + 1) / 2, 0) / data.data.length
        expect(Math.abs(mean - 0.1307)).toBeLessThan(0.01)
        expect(new Set(labels?.data).size).toBe(10)
      }
    })
  }
)

/** The bytes of records with these labels, whose images are all of one byte. */
const records = (
  ...all: ReadonlyArray<readonly [byte: number, ...labels: ReadonlyArray<number>]>
) =>
  Buffer.concat(
    all.map(([byte, ...labels]) =>
      Buffer.concat([Uint8Array.from(labels), new Uint8Array(3072).fill(byte)])
    )
  )

const ten = {
  "data_batch_1.bin": records([0, 0], [51, 1]),
  "data_batch_2.bin": records([102, 1]),
  "data_batch_3.bin": records([153, 0]),
  "data_batch_4.bin": records([204, 0]),
  "data_batch_5.bin": records([255, 1]),
  "test_batch.bin": records([1, 1]),
  "batches.meta.txt": "plane\ncar\n\n"
}
const hundred = {
  "train.bin": records([0, 0, 3], [51, 1, 2]),
  "test.bin": records([1, 1, 1]),
  "fine_label_names.txt": "a\nb\nc\nd\n",
  "coarse_label_names.txt": "x\ny\n"
}

const tar = (files: Readonly<Record<string, Uint8Array | string>>): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const archive = pack()
    for (const [name, content] of Object.entries(files))
      archive.entry({ name }, Buffer.from(content))
    archive.finalize()
    const parts: Array<Uint8Array> = []
    archive.on("data", (part) => parts.push(part as Uint8Array))
    archive.on("end", () => resolve(Buffer.concat(parts)))
    archive.on("error", reject)
  })

const firsts = async (set: Dataset.Dataset) => {
  const { data, labels } = await all(set)
  return { values: data.filter((_, i) => i % 3072 === 0), labels }
}

describe("Cifar.read", () => {
  it("reads CIFAR-10 from a folder, the one around it, and an archive", async () => {
    const files = Object.fromEntries(
      Object.entries(ten).map(([name, bytes]) => [`cifar-10-batches-bin/${name}`, bytes])
    )
    const archive = await tar(files)
    const path = folder({ "x.tar": archive, "x.tar.gz": Zlib.gzipSync(archive) })
    const prints = new Set<string>()
    for (const each of [folder(ten), folder(files), `${path}/x.tar`, `${path}/x.tar.gz`]) {
      const set = await run(Cifar.read(each))
      expect(set).toMatchObject({
        name: each,
        size: 6,
        shape: [3, 32, 32],
        classes: ["plane", "car"]
      })
      expect(await firsts(set)).toEqual({
        values: [0, 51, 102, 153, 204, 255].map(value),
        labels: [0, 1, 1, 0, 0, 1]
      })
      prints.add(set.fingerprint)
      expect(await firsts(await run(Cifar.read(each, { split: "test" })))).toEqual({
        values: [value(1)],
        labels: [1]
      })
    }
    expect(prints.size).toBe(1)
  })

  it("reads either label of CIFAR-100", async () => {
    const path = folder(hundred)
    const fine = await run(Cifar.read(path))
    expect(fine.classes).toEqual(["a", "b", "c", "d"])
    expect((await firsts(fine)).labels).toEqual([3, 2])
    const coarse = await run(Cifar.read(path, { labels: "coarse" }))
    expect(coarse.classes).toEqual(["x", "y"])
    expect(await firsts(coarse)).toEqual({ values: [0, 51].map(value), labels: [0, 1] })
  })

  it("names what is missing or damaged", async () => {
    const { "data_batch_3.bin": three, ...without } = ten
    const told = async (files: Readonly<Record<string, Uint8Array | string>>) =>
      failure(Cifar.read(folder(files)))
    expect((await told(without)).message).toContain(
      "there is no data_batch_3.bin, which is a part of CIFAR-10"
    )
    const cut = await told({ ...ten, "data_batch_3.bin": three.subarray(1) })
    expect(cut).toMatchObject({ reason: "format" })
    expect(cut.message).toContain("data_batch_3.bin has 3072 bytes")
    const label = await told({ ...ten, "data_batch_3.bin": records([0, 7]) })
    expect(label).toMatchObject({ reason: "value" })
    // where no file names the classes, there are ten all the same
    const { "batches.meta.txt": _, ...nameless } = ten
    expect((await run(Cifar.read(folder(nameless)))).classes?.length).toBe(10)
    const beyond = await told({ ...nameless, "data_batch_3.bin": records([0, 10]) })
    expect(beyond).toMatchObject({ reason: "value" })
    expect((await told({ data_batch_1: "pickle" })).message).toContain("files for Python")
    expect(await told({})).toMatchObject({ reason: "empty" })
    const archive = await tar(ten)
    const path = folder({
      "cut.tar": archive.subarray(0, 5000),
      "cut.tar.gz": Zlib.gzipSync(archive).subarray(0, 200),
      "text.tar": "no archive at all ".repeat(100)
    })
    for (const name of ["cut.tar", "cut.tar.gz", "text.tar"]) {
      const error = await failure(Cifar.read(`${path}/${name}`))
      expect(error).toMatchObject({ reason: "format", source: `${path}/${name}` })
    }
  })
})
