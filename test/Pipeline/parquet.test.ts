/** Images in Parquet files, as pyarrow wrote them. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { Dataset } from "../../src/Pipeline/Dataset.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Parquet from "../../src/Pipeline/Parquet.ts"

const fixture = (name: string) =>
  new URL(`../fixtures/parquet-${name}.parquet`, import.meta.url).pathname

/** The items as make-parquet.py says they are. */
const item = (i: number): Array<number> =>
  [0, 1, 2].flatMap((c) =>
    [0, 1, 2].flatMap((y) =>
      [0, 1, 2, 3].map((x) => Math.fround((10 * i + 3 * x + 7 * y + 50 * c) / 127.5 - 1))
    )
  )

const draws = (indices: ReadonlyArray<number>) =>
  indices.map((index) => ({ index, key: [0, 0] as const }))

layer(NodeServices.layer)("read", (it) => {
  const folder = Effect.fnUntraced(function* (names: Readonly<Record<string, string>>) {
    const files = yield* FileSystem.FileSystem
    const path = yield* files.makeTempDirectoryScoped()
    for (const [name, from] of Object.entries(names)) {
      yield* Files.write(`${path}/${name}`, yield* Files.read(fixture(from)))
    }
    return path
  })
  const agrees = Effect.fnUntraced(function* (data: Dataset, rows: ReadonlyArray<number>) {
    expect(data).toMatchObject({ size: rows.length, shape: [3, 3, 4] })
    const order = Array.from(rows.keys()).toReversed()
    const { data: images, labels } = yield* data.read(draws(order))
    expect(Array.from(images.data)).toEqual(order.flatMap((i) => item(rows[i])))
    return labels && Array.from(labels.data)
  })
  const refused = Effect.fnUntraced(function* (path: string, options?: Parquet.Options) {
    const { reason, message } = yield* Effect.flip(Parquet.read(path, options))
    return [reason, message.replace(/^.*parquet-/, "")]
  })
  const all = Array.from({ length: 10 }, (_, i) => i)

  it.effect("has the rows of a file, with their classes and these classes' names", () =>
    Effect.gen(function* () {
      const data = yield* Parquet.read(fixture("snappy"))
      expect(data.classes).toEqual(["cat", "dog", "owl"])
      expect(yield* agrees(data, all)).toEqual([0, 2, 1, 0, 2, 1, 0, 2, 1, 0])
      const without = yield* Parquet.read(fixture("snappy"), { label: false })
      expect(without.classes).toBeUndefined()
      expect(yield* agrees(without, all)).toBeUndefined()
    })
  )

  it.effect("has those of a column of bytes", () =>
    Effect.gen(function* () {
      expect(yield* agrees(yield* Parquet.read(fixture("zstd")), all)).toBeUndefined()
    })
  )

  it.effect("is the same where there is no memory for the pixels", () =>
    Effect.gen(function* () {
      const small = yield* Parquet.read(fixture("snappy"), { cache: 0 })
      const data = yield* Parquet.read(fixture("snappy"))
      expect(small).toMatchObject({ size: 10, shape: data.shape, classes: data.classes })
      expect(yield* agrees(small, all)).toEqual(yield* agrees(data, all))
      const other = yield* Parquet.read(fixture("snappy"), { cache: 0, channels: 1 })
      expect(other.fingerprint).not.toBe(small.fingerprint)
    })
  )

  it.effect("has no more rows than the limit, but the classes of all", () =>
    Effect.gen(function* () {
      // without the note that names the classes
      const path = `${yield* folder({})}/nameless.parquet`
      const bytes = Buffer.from(yield* Files.read(fixture("snappy")))
      bytes.write("Huggingface", bytes.lastIndexOf("huggingface"))
      yield* Files.write(path, bytes)
      for (const cache of [0, 1000]) {
        for (const limit of [1, 4, 5, 10, 11]) {
          const some = yield* Parquet.read(path, { limit, cache })
          expect(some.classes).toEqual(["0", "1", "2"])
          const rows = all.slice(0, limit)
          expect(yield* agrees(some, rows)).toEqual(rows.toReversed().map((i) => i % 3))
        }
      }
      expect(yield* refused(path, { limit: 0 })).toEqual([
        "options",
        expect.stringMatching(/the limit must be a whole number of at least 1, not 0$/)
      ])
    })
  )

  it.effect("has the shards of a part, in their order", () =>
    Effect.gen(function* () {
      const path = yield* folder({
        "data/train-00001-of-00002.parquet": "snappy",
        "data/train-00000-of-00002.parquet": "snappy",
        "data/test-00000-of-00001.parquet": "zstd",
        "data/.train-hidden.parquet": "odd"
      })
      const train = yield* Parquet.read(path)
      yield* agrees(train, [...all, ...all])
      expect((yield* Parquet.read(path, { split: "train" })).fingerprint).toBe(train.fingerprint)
      yield* agrees(yield* Parquet.read(path, { split: "test" }), all)
      const error = yield* Effect.flip(Parquet.read(path, { split: "validation" }))
      expect(error.reason).toBe("empty")
      expect(error.message).toMatch(
        /none of its 3 \.parquet files is of the part "validation"; there are those of test, train/
      )
      // folders may be the parts, or there are none
      const folders = yield* folder({ "test/0000.parquet": "snappy", "train/0000.parquet": "zstd" })
      expect((yield* Parquet.read(folders)).classes).toBeUndefined()
      expect((yield* Parquet.read(folders, { split: "test" })).size).toBe(10)
      expect((yield* Parquet.read(yield* folder({ "a.parquet": "zstd" }))).size).toBe(10)
    })
  )

  it.effect("brings pictures to a size and to channels", () =>
    Effect.gen(function* () {
      const grey = yield* Parquet.read(fixture("snappy"), { size: 8, channels: 1 })
      expect(grey.shape).toEqual([1, 8, 8])
      const mixed = { image: "sizes", size: [3, 4] } as const
      expect((yield* Parquet.read(fixture("odd"), mixed)).shape).toEqual([3, 3, 4])
      for (const cache of [0, 1000]) {
        const sized = yield* Parquet.read(fixture("odd"), { ...mixed, channels: 3, cache })
        expect(Array.from((yield* sized.read(draws([0]))).data.data)).toEqual(item(0))
      }
    })
  )

  it.effect("names the row that is not as it should be", () =>
    Effect.gen(function* () {
      for (const cache of [0, 1000]) {
        expect(yield* refused(fixture("odd"), { image: "sizes", cache })).toEqual([
          "shape",
          "odd.parquet: row 1: the picture is 3×5 colour, but the first is 3×4 colour: tell the size that all are brought to (size)"
        ])
        expect(yield* refused(fixture("odd"), { image: "channels", cache })).toEqual([
          "shape",
          "odd.parquet: row 1: the picture is 3×4 colour, but the first is 3×4 grey: tell the channels that all are to have (channels)"
        ])
        const [reason, message] = yield* refused(fixture("odd"), { image: "text", cache })
        expect([reason, message]).toEqual([
          "format",
          expect.stringMatching(/^odd.parquet: row 1: /)
        ])
      }
      expect(yield* refused(fixture("odd"), { image: "missing" })).toEqual([
        "format",
        "odd.parquet: row 1: it has no picture in it: leave such rows out"
      ])
      expect(yield* refused(fixture("odd"), { label: "hidden" })).toEqual([
        "value",
        "odd.parquet: row 0: its label is -1: take a part that has labels, or none of them, by label: false"
      ])
      expect((yield* refused(fixture("odd"), { label: "some" }))[1]).toMatch(/its label is missing/)
      expect((yield* refused(fixture("odd"), { label: "many" }))[0]).toBe("value")
    })
  )

  it.effect("names the columns that there are", () =>
    Effect.gen(function* () {
      expect((yield* refused(fixture("odd"), { image: "channel" }))[1]).toBe(
        'odd.parquet: there is no column "channel"; did you mean "channels"?'
      )
      expect((yield* refused(fixture("zstd"), { label: "label" }))[1]).toBe(
        'zstd.parquet: there is no column "label"; known are img'
      )
      for (const image of ["hidden", "lists"]) {
        expect((yield* refused(fixture("odd"), { image }))[1]).toMatch(/holds no pictures/)
      }
      for (const label of ["words", "image"]) {
        expect((yield* refused(fixture("odd"), { label }))[1]).toMatch(/holds no classes/)
      }
      const files = yield* FileSystem.FileSystem
      const path = yield* files.makeTempFileScoped()
      const bytes = Buffer.from(yield* files.readFile(fixture("zstd")))
      // the name of the column is in the file's foot
      for (let at = bytes.indexOf("img"); at >= 0; at = bytes.indexOf("img")) bytes.write("gif", at)
      yield* files.writeFile(path, bytes)
      expect((yield* Effect.flip(Parquet.read(path))).message).toBe(
        `${path}: none of its columns is called image or img: it has gif; say which, by \`image\``
      )
    })
  )

  it.effect("refuses what is no such file, cut short, damaged, or empty", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const path = yield* files.makeTempFileScoped()
      const message = Effect.fnUntraced(function* (bytes: Uint8Array) {
        yield* files.writeFile(path, bytes)
        const error = yield* Effect.flip(Parquet.read(path))
        expect(error).toMatchObject({ _tag: "DataError", reason: "format" })
        return error.message
      })
      const whole = new Uint8Array(yield* files.readFile(fixture("snappy")))
      for (const length of [0, 3, 8, 100, whole.length >> 1, whole.length - 1]) {
        expect(yield* message(whole.subarray(0, length))).toMatch(
          /it is no Parquet file, cut short/
        )
      }
      expect(yield* message(new TextEncoder().encode("a text of some length"))).toMatch(
        /no Parquet/
      )
      // pages without their middle
      yield* message(
        Uint8Array.from([
          ...whole.subarray(0, 400),
          ...new Uint8Array(600),
          ...whole.subarray(1000)
        ])
      )
      expect(yield* refused(fixture("empty"))).toEqual([
        "empty",
        "empty.parquet: there are no rows in it"
      ])
      expect((yield* refused(yield* folder({})))[0]).toBe("empty")
      expect(yield* Effect.flip(Parquet.read("/nowhere"))).toMatchObject({ reason: "missing" })
    })
  )

  it.effect("refuses what is damaged in its head, and leaves nothing to fail later", () =>
    Effect.gen(function* () {
      const path = `${yield* folder({})}/damaged.parquet`
      for (const [name, changes, says] of [
        ["snappy", { 3422: 150 }, "it is damaged: it does not tell where its columns are"],
        ["snappy", { 3350: 0, 3550: 255 }, "it is damaged: it has columns that it does not name"],
        ["zstd", { 848: 6 }, "it is no Parquet file, cut short or damaged ("]
      ] as const) {
        const bytes = Object.assign(Uint8Array.from(yield* Files.read(fixture(name))), changes)
        yield* Files.write(path, bytes)
        const error = yield* Effect.flip(Parquet.read(path))
        expect(error).toMatchObject({ _tag: "DataError", reason: "format" })
        expect(error.message).toContain(`${path}: ${says}`)
        // what nobody waits for is found unhandled a turn later
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
      }
    })
  )

  it.effect("refuses options and shards that make no sense", () =>
    Effect.gen(function* () {
      expect((yield* refused(fixture("snappy"), { size: 0.5 }))[0]).toBe("options")
      expect((yield* refused(fixture("snappy"), { channels: 2 as never }))[0]).toBe("options")
      expect((yield* refused(fixture("snappy"), { background: "nothing" }))[0]).toBe("options")
      const path = yield* folder({ "train-0.parquet": "snappy", "train-1.parquet": "zstd" })
      expect((yield* refused(path))[1]).toMatch(/train-1.parquet: it has other columns or classes/)
    })
  )
})
