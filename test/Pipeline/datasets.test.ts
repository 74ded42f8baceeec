/** Data sets by name: what texts and records stand for, what fits what, and what is fetched. */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import sharp from "sharp"
import { describe, it } from "vitest"
import type * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Datasets from "../../src/Pipeline/Datasets.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Npy from "../../src/Pipeline/Npy.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import * as Points from "../../src/Pipeline/Points.ts"
import * as Wav from "../../src/Pipeline/Wav.ts"

const shared = new URL("../../../shared/data/", import.meta.url).pathname

describe("parse", () => {
  it.each([
    ["digits", "digits", undefined],
    ["swissRoll", "swissRoll", undefined],
    ["mnist", "mnist", "data/mnist"],
    ["mnist:../a b/mnist", "mnist", "../a b/mnist"],
    ["images:photos", "images", "photos"],
    ["images:C:\\photos", "images", "C:\\photos"],
    ["npz:faces.bin", "npz", "faces.bin"],
    ["images:a:b.npz", "images", "a:b.npz"],
    ["faces.npy", "npy", "faces.npy"],
    ["C:\\data\\faces.NPZ", "npz", "C:\\data\\faces.NPZ"],
    ["a/train-0.parquet", "parquet", "a/train-0.parquet"],
    ["train-images-idx3-ubyte.gz", "idx", "train-images-idx3-ubyte.gz"],
    ["data/photos.tar.gz", "images", "data/photos.tar.gz"],
    ["x/cifar-10-binary.tar.gz", "cifar10", "x/cifar-10-binary.tar.gz"]
  ])("%s", (text, name, path) => {
    expect(Datasets.parse(text)).toEqual({ name, path })
  })

  it.each([
    ["mnits", 'there are no data "mnits"; did you mean "mnist"?'],
    ["imagse:photos", 'there are no data "imagse"; did you mean "images"?'],
    ["toString", 'there are no data "toString"; known are digits, moons'],
    ["", 'there are no data ""; known are'],
    [
      "photos/",
      '"photos/" does not tell what it holds: put that before it, such as images:photos/'
    ],
    ["faces.csv", '"faces.csv" does not tell what it holds'],
    ["images", "say where they are, such as images:path/to/them"],
    ["mnist:", "say where they are, such as mnist:path/to/them"],
    ["digits:here", 'digits are at no path, so that "here" makes no sense']
  ])("refuses %s", (text, message) => {
    expect(() => Datasets.parse(text)).toThrow(DataError)
    expect(() => Datasets.parse(text)).toThrow(`data: ${message}`)
  })

  it("takes a path beside the name, but not twice", () => {
    expect(Datasets.parse("images", "photos")).toEqual({ name: "images", path: "photos" })
    expect(() => Datasets.parse("images:photos", "others")).toThrow(/has a path, and so has `path`/)
    expect(() => Datasets.parse("faces.npy", "others")).toThrow(/has a path, and so has `path`/)
  })

  it("knows a name or refuses, whatever the text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(Datasets.kinds).toHaveProperty(Datasets.parse(text).name)
        } catch (error) {
          expect(error).toBeInstanceOf(DataError)
        }
      })
    )
  })

  it("has every name of points, and a line about each kind", () => {
    expect(Object.keys(Datasets.kinds)).toEqual(expect.arrayContaining([...Points.names]))
    for (const { about } of Object.values(Datasets.kinds)) expect(about).not.toBe("")
  })
})

const decode = Schema.decodeUnknownSync(Datasets.Config)

it("configurations are texts and records that JSON holds", () => {
  const record = { name: "images:photos", size: [32, 64], flip: true, limit: 7 }
  expect(decode(JSON.parse(JSON.stringify(record)))).toEqual(record)
  expect(decode("digits")).toBe("digits")
})

layer(NodeServices.layer)("open", (it) => {
  const folder = Effect.gen(function* () {
    return yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  })
  const refused = Effect.fnUntraced(function* (
    config: Datasets.Config,
    options?: Datasets.Options
  ) {
    const error = yield* Effect.flip(Datasets.open(config, options))
    expect(error).toMatchObject({ _tag: "DataError", reason: "options" })
    return error.message
  })
  const first = Effect.fnUntraced(function* (data: Dataset.Dataset, count = 1) {
    const keys = Array.from({ length: count }, (_, index) => ({ index, key: [7, index] as const }))
    return yield* data.read(keys)
  })
  const pictures = Effect.fnUntraced(function* (path: string, names: ReadonlyArray<string>) {
    for (const [i, name] of names.entries()) {
      const background = { r: 40 * i, g: 0, b: 255 }
      const picture = sharp({ create: { width: 6, height: 5, channels: 3, background } })
      yield* Files.write(
        `${path}/${name}.png`,
        yield* Effect.promise(() => picture.png().toBuffer())
      )
    }
  })

  it.effect("draws digits and points by a seed, without an end or as many as told", () =>
    Effect.gen(function* () {
      const digits = yield* Datasets.open("digits")
      expect(digits).toMatchObject({ size: Infinity, shape: [1, 28, 28] })
      const other = yield* Datasets.open({ name: "digits", seed: 1 })
      expect(other.fingerprint).not.toBe(digits.fingerprint)
      const few = yield* Datasets.open({ name: "digits", limit: 100 }, { limit: 10 })
      expect(few.size).toBe(10)
      expect(yield* first(few)).toEqual(yield* first(digits))
      for (const name of Points.names) {
        const points = yield* Datasets.open(name, { limit: 3, seed: 5 })
        expect(points).toMatchObject({ size: 3, shape: [2] })
      }
    })
  )

  it.effect("resizes, pads, moves and mirrors", () =>
    Effect.gen(function* () {
      const digits = yield* Datasets.open("digits")
      const padded = yield* Datasets.open("digits", { pad: 32 })
      const small = yield* Datasets.open("digits", { size: 14 })
      const both = yield* Datasets.open("digits", { size: [14, 20], pad: 20 })
      expect([padded.shape, small.shape, both.shape]).toEqual([
        [1, 32, 32],
        [1, 14, 14],
        [1, 20, 20]
      ])
      const items = Effect.fnUntraced(function* (options: Datasets.Options) {
        return yield* first(yield* Datasets.open("digits", options), 8)
      })
      const flipped = yield* items({ flip: true })
      const plain = yield* first(digits, 8)
      const row = (data: Float32Array, i: number) =>
        Array.from(data.subarray(i * 784, (i + 1) * 784))
      const sorted = (data: Float32Array) =>
        Array.from({ length: 8 }, (_, i) => row(data, i).toSorted((a, b) => a - b))
      expect(sorted(flipped.data.data)).toEqual(sorted(plain.data.data))
      expect(flipped.data.data).not.toEqual(plain.data.data)
      expect(yield* items({ flip: false })).toEqual(plain)
      expect(yield* items({ crop: 3 })).not.toEqual(plain)
    })
  )

  it.effect("holds out a share of data in one part, evenly and without overlap", () =>
    Effect.gen(function* () {
      const path = `${yield* folder}/squares.npy`
      const count = 40
      const bytes = Uint8Array.from({ length: count * 4 }, (_, i) => i >> 2)
      const array = { dtype: "u1", shape: [count, 1, 2, 2], data: bytes } as const
      yield* Files.write(path, Npy.encode(array))
      const part = Effect.fnUntraced(function* (split: string, holdOut: number) {
        const data = yield* Datasets.open(path, { split, holdOut, layout: "first" })
        const { data: items } = yield* first(data, data.size)
        const size = items.data.length / data.size
        return Array.from({ length: data.size }, (_, i) =>
          Math.round((items.data[i * size] + 1) * 127.5)
        )
      })
      for (const share of [0.1, 0.25, 0.5, 0.9]) {
        const [train, test] = [yield* part("train", share), yield* part("test", share)]
        expect([...train, ...test].toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: count }, (_, i) => i)
        )
        expect(test.length).toBe(share * count)
        // a tenth of each quarter too, so that folders in the order of their classes lose some of each
        for (const from of [0, 10, 20, 30]) {
          const own = test.filter((i) => i >= from && i < from + 10)
          expect(Math.abs(own.length - 10 * share)).toBeLessThanOrEqual(1)
        }
      }
      const error = yield* Effect.flip(Datasets.open(path, { split: "test", layout: "first" }))
      expect(error).toMatchObject({ _tag: "DataError", reason: "empty" })
      expect(error.message).toContain("tell which share is by `holdOut`")
    })
  )

  it.effect("has of limited data what all of them begin with, and the classes of all", () =>
    Effect.gen(function* () {
      const path = yield* folder
      yield* pictures(
        `${path}/photos`,
        ["ant", "bee", "cow"].flatMap((name) => [0, 1, 2, 3].map((i) => `${name}/${i}`))
      )
      const images = Npy.encode({
        ...{ dtype: "u1", shape: [11, 2, 2] },
        data: Uint8Array.from({ length: 44 }, (_, i) => i)
      })
      const labels = {
        dtype: "u1",
        shape: [11],
        data: Uint8Array.of(0, 1, 0, 1, 0, 1, 2, 0, 0, 3, 4)
      }
      yield* Files.write(`${path}/a.npy`, images)
      yield* Files.write(`${path}/b.npy`, Npy.encode(labels as Npy.NumpyArray))
      const sound = (begin: number) =>
        Wav.encode({
          rate: 8000,
          data: {
            ...{ dtype: "float32", shape: [1, 9] },
            data: Float32Array.from({ length: 9 }, (_, i) => (begin + i) / 64)
          }
        })
      yield* Files.write(`${path}/sound/a/1.wav`, sound(0))
      yield* Files.write(`${path}/sound/b/2.wav`, sound(20))
      const table = new URL("../fixtures/parquet-snappy.parquet", import.meta.url).pathname
      const holding = [
        {},
        { holdOut: 0.3 },
        { holdOut: 0.3, split: "test" },
        { holdOut: 1 - Number.EPSILON, split: "test" },
        { holdOut: Number.EPSILON }
      ]
      const cases = [
        ...holding.map((more) => ({ name: `images:${path}/photos`, ...more })),
        ...holding.map((more) => ({ name: `${path}/a.npy`, labels: `${path}/b.npy`, ...more })),
        ...holding.map((more) => ({ name: `wav:${path}/sound`, length: 3, hop: 2, ...more })),
        { name: table },
        { name: table, labels: false as const }
      ]
      for (const config of cases) {
        const all = yield* Datasets.open(config)
        const { data, labels } = yield* first(all, all.size)
        const prints = new Set<string>()
        for (const limit of [1, 2, 3, all.size - 1, all.size, all.size + 5]) {
          const some = yield* Datasets.open(config, { limit })
          const size = Math.min(limit, all.size)
          const { shape, classes } = all
          expect(some).toMatchObject({ size, shape, classes })
          const seen = yield* first(some, size)
          expect(Array.from(seen.data.data)).toEqual(
            Array.from(data.data.subarray(0, size * (data.data.length / all.size)))
          )
          expect(seen.labels && Array.from(seen.labels.data)).toEqual(
            labels && Array.from(labels.data.subarray(0, size))
          )
          if (limit < all.size) prints.add(some.fingerprint)
        }
        expect(prints.size).toBe(new Set([1, 2, 3, all.size - 1].filter((n) => n < all.size)).size)
      }
    })
  )

  it.effect("does not decode what is beyond a limit", () =>
    Effect.gen(function* () {
      const path = yield* folder
      yield* pictures(`${path}/photos`, ["1", "2"])
      yield* Files.write(`${path}/photos/3.png`, "no picture")
      const sound = {
        rate: 8000,
        data: { dtype: "float32", shape: [1, 9], data: new Float32Array(9) }
      } as const
      yield* Files.write(`${path}/sound/1.wav`, Wav.encode(sound))
      yield* Files.write(`${path}/sound/2.wav`, "no sound")
      const data = Float32Array.of(0, 1, Number.NaN)
      yield* Files.write(`${path}/a.npy`, Npy.encode({ dtype: "f4", shape: [3, 1, 1], data }))
      for (const [config, limit, more] of [
        [`images:${path}/photos`, 2, {}],
        [`wav:${path}/sound`, 2, { length: 4 }],
        [`${path}/a.npy`, 2, { range: "0..1" }]
      ] as const) {
        expect((yield* Datasets.open(config, { ...more, limit })).size).toBe(limit)
        yield* Effect.flip(Datasets.open(config, { ...more, limit: limit + 1 }))
      }
    })
  )

  it.effect("reads IDX files of a part", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const idx = (axes: ReadonlyArray<number>, data: ReadonlyArray<number>) =>
        Zlib.gzipSync(
          Uint8Array.from([0, 0, 8, axes.length, ...axes.flatMap((n) => [0, 0, 0, n]), ...data])
        )
      for (const [part, level] of [
        ["train", 0],
        ["t10k", 255]
      ] as const) {
        const images = idx([2, 3, 3], Array(18).fill(level))
        yield* Files.write(`${path}/${part}-images-idx3-ubyte.gz`, images)
        yield* Files.write(`${path}/${part}-labels-idx1-ubyte.gz`, idx([2], [1, 9]))
      }
      for (const name of ["mnist", "fashion-mnist", "idx"]) {
        const train = yield* Datasets.open(`${name}:${path}`)
        const test = yield* Datasets.open({ name, path, split: "test", limit: 99 })
        expect([train.size, test.size, train.classes?.length]).toEqual([2, 2, 10])
        const values = [yield* first(train), yield* first(test)].map(({ data }) => data.data[0])
        expect(values).toEqual([-1, 1])
      }
      expect((yield* Datasets.open(`fashion-mnist:${path}`)).classes?.[9]).toBe("Ankle boot")
      const message = yield* refused({ name: "mnist", path, split: "validation" })
      expect(message).toBe(`${path}: there is no part "validation", but train and test`)
    })
  )

  it.effect("reads CIFAR-10 in its binary version and as pictures", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const record = (label: number) =>
        Uint8Array.from([label, ...Array(3072).fill(255 * (label % 2))])
      for (let i = 1; i <= 5; i++) yield* Files.write(`${path}/data_batch_${i}.bin`, record(i))
      yield* Files.write(`${path}/test_batch.bin`, record(6))
      const train = yield* Datasets.open(`cifar10:${path}`)
      expect([train.size, train.shape]).toEqual([5, [3, 32, 32]])
      expect((yield* first(train, 5)).labels?.data).toEqual(Int32Array.of(1, 2, 3, 4, 5))
      expect((yield* Datasets.open(`cifar10:${path}`, { split: "test" })).size).toBe(1)

      const parts = yield* folder
      yield* pictures(parts, ["train/cat/a", "train/dog/b", "test/dog/c"])
      const seen = yield* Datasets.open(`cifar10:${parts}`)
      expect(seen).toMatchObject({ size: 2, classes: ["cat", "dog"], shape: [3, 5, 6] })
      expect((yield* Datasets.open(`cifar10:${parts}`, { split: "test" })).size).toBe(1)
      const files = yield* FileSystem.FileSystem
      yield* files.remove(`${parts}/train`, { recursive: true })
      const error = yield* Effect.flip(Datasets.open(`cifar10:${parts}`))
      expect(error.message).toBe(
        `${parts}: there is no part "train" in it, but test; to take that, tell its path, cifar10:${parts}/test`
      )
      yield* Files.write(`${path}/README`, "")
      expect((yield* Datasets.open(`cifar10:${parts}/test`)).size).toBe(1)
    })
  )

  it.effect("reads pictures, arrays, tables and sound", () =>
    Effect.gen(function* () {
      const path = yield* folder
      yield* pictures(`${path}/photos`, ["cat/a", "dog/b"])
      const photos = yield* Datasets.open(`images:${path}/photos`, { size: 4, channels: 1, pad: 8 })
      expect(photos).toMatchObject({ size: 2, shape: [1, 8, 8], classes: ["cat", "dog"] })

      const images = { dtype: "f4", shape: [2, 4, 4], data: new Float32Array(32) } as const
      const labels = { dtype: "i8", shape: [2], data: BigInt64Array.of(0n, 1n) } as const
      yield* Files.write(`${path}/faces.npy`, Npy.encode(images))
      yield* Files.write(`${path}/faces.npz`, Npy.encodeArchive({ faces: images, ids: labels }))
      const range = "0..1"
      const npy = yield* Datasets.open(`${path}/faces.npy`, { range })
      expect(npy).toMatchObject({ size: 2, shape: [1, 4, 4], classes: undefined })
      expect((yield* first(npy)).data.data[0]).toBe(-1)
      const npz = { name: `npz:${path}/faces.npz`, images: "faces", labels: "ids", range, size: 2 }
      expect(yield* Datasets.open(npz as Datasets.Config)).toMatchObject({
        shape: [1, 2, 2],
        classes: ["0", "1"]
      })
      expect(yield* refused(npz as Datasets.Config, { labels: false })).toMatch(/leave it out/)

      const table = new URL("../fixtures/parquet-snappy.parquet", import.meta.url).pathname
      const rows = yield* Datasets.open(table, { size: 8, limit: 4, labels: "label" })
      expect(rows).toMatchObject({ size: 4, shape: [3, 8, 8], classes: ["cat", "dog", "owl"] })
      const without = yield* Datasets.open(table, { images: "image", labels: false })
      expect(without.classes).toBeUndefined()

      const data = { dtype: "float32", shape: [1, 9], data: new Float32Array(9) } as const
      yield* Files.write(`${path}/sound/a.wav`, Wav.encode({ rate: 8000, data }))
      const sound = yield* Datasets.open(`wav:${path}/sound`, { length: 4, hop: 1, limit: 5 })
      expect(sound).toMatchObject({ size: 5, shape: [1, 4] })
      expect(yield* refused(`wav:${path}/sound`)).toMatch(/say how long a piece is/)
    })
  )

  it.effect("names options that do not fit, and fields that there are not", () =>
    Effect.gen(function* () {
      expect(yield* refused("moons", { flip: true })).toBe(
        "moons: `flip` is not for these data; known are seed, limit"
      )
      expect(yield* refused("wav:sound", { length: 4, size: 4 })).toMatch(/`size` is not for these/)
      expect(yield* refused({ name: "digits", split: "test" })).toMatch(/`split` is not for these/)
      expect(yield* refused("digits", { sise: 4 } as never)).toBe(
        'data: sise: there is no such field; did you mean "size"?'
      )
      expect(yield* refused("digits", { limit: 0 })).toMatch(/^data: limit: .*0$/)
      expect(yield* refused("digits", { flip: 1 } as never)).toMatch(
        /^data: flip: must be a boolean/
      )
      expect(yield* refused({ size: 4 } as never)).toMatch(/^data: .*name/)
      expect(yield* refused("digts")).toMatch(/did you mean "digits"/)
    })
  )

  it.effect("says how to get what can be fetched", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Datasets.open("mnist:/nowhere/mnist"))
      expect(error).toMatchObject({ _tag: "FileError", reason: "missing" })
      expect(error.message).toMatch(/`odeon data fetch mnist` fetches them to data\/mnist/)
      const other = yield* Effect.flip(Datasets.open("images:/nowhere"))
      expect(other.message).not.toMatch(/odeon/)
    })
  )

  it.effect.skipIf(!Fs.existsSync(`${shared}mnist`))(
    "reads MNIST as it is published (skipped without ../shared/data/mnist)",
    () =>
      Effect.gen(function* () {
        const test = yield* Datasets.open(`mnist:${shared}mnist`, { split: "test", pad: 32 })
        expect(test).toMatchObject({ size: 10_000, shape: [1, 32, 32] })
        expect(test.classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
      })
  )
})

describe("catalog", () => {
  it("has files with their checksums at addresses of folders", () => {
    for (const { bases, files } of Object.values(Datasets.catalog)) {
      for (const base of bases) expect(new URL(base).pathname).toMatch(/\/$/)
      for (const { bytes, sha256 } of files) {
        expect(bytes).toBeGreaterThan(0)
        expect(sha256).toMatch(/^[0-9a-f]{64}$/)
      }
      expect(new Set(files.map(({ sha256 }) => sha256)).size).toBe(files.length)
      expect(bases.length).toBeGreaterThan(1)
    }
    // those that are fetched are those that are opened there
    for (const name of Object.keys(Datasets.catalog)) {
      expect(Datasets.parse(name).path).toBe(`data/${name}`)
    }
  })
})

layer(Layer.merge(NodeServices.layer, FetchHttpClient.layer), { excludeTestServices: true })(
  "fetch",
  (it) => {
    const contents: Readonly<Record<string, Uint8Array>> = {
      "a.gz": Uint8Array.of(1, 2, 3),
      "b.gz": new Uint8Array(70_000).fill(7)
    }
    const published: Datasets.Published = {
      bases: ["http://127.0.0.1:1/"],
      files: Object.entries(contents).map(([name, bytes]) => ({
        name,
        bytes: bytes.length,
        sha256: Crypto.createHash("sha256").update(bytes).digest("hex")
      }))
    }
    const serve = Effect.acquireRelease(
      Effect.callback<{ readonly url: string; readonly asked: Array<string>; close: () => void }>(
        (resume) => {
          const asked: Array<string> = []
          const server = Http.createServer(({ url = "" }, response) => {
            asked.push(url)
            const content = contents[url.replace("/sets/", "")]
            if (content === undefined) response.writeHead(404).end()
            else response.end(content)
          })
          server.listen(0, "127.0.0.1", () => {
            const { port } = server.address() as AddressInfo
            const close = () => {
              server.closeAllConnections()
              server.close()
            }
            resume(Effect.succeed({ url: `http://127.0.0.1:${port}/sets`, asked, close }))
          })
        }
      ),
      ({ close }) => Effect.sync(close)
    )

    it.effect("fetches all files, and again those alone that are not there or wrong", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { url, asked } = yield* serve
        const folder = `${yield* files.makeTempDirectoryScoped()}/deep`
        const options = { folder, from: url, attempts: 1 }
        const events = yield* Stream.runCollect(Datasets.fetchFiles(published, options))
        const finished = events.filter(({ _tag }) => _tag === "Finished")
        expect(finished).toEqual(
          published.files.map(({ name, bytes }) => ({
            ...{ _tag: "Finished", path: `${folder}/${name}`, bytes, fetched: true }
          }))
        )
        yield* files.writeFileString(`${folder}/a.gz`, "wrong")
        yield* Stream.runDrain(Datasets.fetchFiles(published, options))
        expect(asked).toEqual(["/sets/a.gz", "/sets/b.gz", "/sets/a.gz"])
        for (const [name, bytes] of Object.entries(contents)) {
          expect(new Uint8Array(yield* files.readFile(`${folder}/${name}`))).toEqual(bytes)
        }
      })
    )

    it.effect("names what could not be fetched, and what there is", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { url } = yield* serve
        const folder = yield* files.makeTempDirectoryScoped()
        const error = yield* Effect.flip(
          Stream.runDrain(Datasets.fetch("fashion-mnist", { folder, from: url, attempts: 1 }))
        )
        expect(error).toMatchObject({ _tag: "DataError", reason: "fetch" })
        expect(error.message).toContain(
          `${folder}/train-images-idx3-ubyte.gz: could not be fetched (${url}/train-images-idx3-ubyte.gz: the server answered 404)`
        )
        expect(yield* files.readDirectory(folder)).toEqual([])
        const unknown = yield* Effect.flip(Stream.runDrain(Datasets.fetch("minst")))
        expect(unknown.message).toBe('data: there is no "minst" to fetch; did you mean "mnist"?')
      })
    )
  }
)
