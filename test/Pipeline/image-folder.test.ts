/** Data sets of pictures in folders and archives. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Paths from "effect/Path"
import sharp from "sharp"
import { pack } from "tar-stream"
import { afterAll, describe, expect, it } from "vitest"
import type * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as ImageFolder from "../../src/Pipeline/ImageFolder.ts"
import { type DataError, FileError } from "../../src/Pipeline/PipelineError.ts"

const base = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-images-"))
afterAll(() => Fs.rmSync(base, { recursive: true }))

type Contents = Readonly<Record<string, Uint8Array | string>>

let folders = 0
const folder = (files: Contents) => {
  const path = Path.join(base, `${folders++}`)
  Fs.mkdirSync(path)
  for (const [name, content] of Object.entries(files)) {
    Fs.mkdirSync(Path.dirname(Path.join(path, name)), { recursive: true })
    Fs.writeFileSync(Path.join(path, name), content)
  }
  return path
}

const tar = (files: Contents): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const archive = pack()
    for (const [name, content] of Object.entries(files)) {
      if (name.endsWith("/")) archive.entry({ name, type: "directory" })
      else if (typeof content === "string" && content in files) {
        archive.entry({ name, type: "link", linkname: content })
      } else archive.entry({ name }, Buffer.from(content))
    }
    archive.finalize()
    const parts: Array<Uint8Array> = []
    archive.on("data", (part) => parts.push(part as Uint8Array))
    archive.on("end", () => resolve(Buffer.concat(parts)))
    archive.on("error", reject)
  })

type Files = FileSystem.FileSystem | Paths.Path

const run = <A, E>(effect: Effect.Effect<A, E, Files>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))

const open = (path: string, options?: ImageFolder.Options) => run(ImageFolder.read(path, options))

const failure = (path: string, options?: ImageFolder.Options): Promise<DataError | FileError> =>
  run(Effect.flip(ImageFolder.read(path, options)))

/** Items as the bytes that they stand for. */
const items = async (
  set: Dataset.Dataset,
  indices = Array.from({ length: set.size }, (_, i) => i)
) => {
  const key = [0, 0] as const
  const { data, labels } = await Effect.runPromise(
    set.read(indices.map((index) => ({ index, key })))
  )
  const each = data.data.length / indices.length
  return {
    shape: data.shape,
    labels: labels && Array.from(labels.data),
    bytes: indices.map((_, i) =>
      Array.from(data.data.subarray(i * each, (i + 1) * each), (x) => (x + 1) * 127.5)
    )
  }
}

/** A picture of pixels, each of as many numbers as there are channels. */
const picture = (
  width: number,
  height: number,
  pixels: ReadonlyArray<number>,
  format: "png" | "jpeg" | "webp" = "png"
): Promise<Buffer> => {
  const channels = (pixels.length / (width * height)) as 1 | 2 | 3 | 4
  const image = sharp(Uint8Array.from(pixels), { raw: { width, height, channels } })
  const grey = channels < 3 ? image.toColourspace("b-w") : image
  return (
    format === "png" ? grey.png() : format === "webp" ? grey.webp({ lossless: true }) : grey.jpeg()
  ).toBuffer()
}

const plain = (width: number, height: number, ...pixel: ReadonlyArray<number>) =>
  picture(width, height, Array.from({ length: width * height }, () => pixel).flat())

const close = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>, within = 0.01) => {
  expect(actual.length).toBe(expected.length)
  actual.forEach((x, i) => {
    expect(Math.abs(x - expected[i])).toBeLessThanOrEqual(within)
  })
}

/** In memory, and read when asked for. */
const ways = [{}, { cache: 0 }] as const

describe.each(ways)("with %o", (way) => {
  it("has channels first, in the order of the paths", async () => {
    const path = folder({
      "b.PNG": await picture(2, 1, [1, 2, 3, 4, 5, 6]),
      "a.webp": await picture(2, 1, [10, 20, 30, 40, 50, 60], "webp"),
      "c.jpeg": await plain(2, 1, 200, 200, 200).then((png) => sharp(png).jpeg().toBuffer()),
      "notes.txt": "nothing",
      ".hidden.png": "nothing",
      ".thumbnails/x.png": "nothing"
    })
    const set = await open(path, way)
    expect(set).toMatchObject({ name: path, size: 3, shape: [3, 1, 2], classes: undefined })
    const { shape, bytes, labels } = await items(set)
    expect(shape).toEqual([3, 3, 1, 2])
    expect(labels).toBeUndefined()
    close(bytes[0], [10, 40, 20, 50, 30, 60])
    close(bytes[1], [1, 4, 2, 5, 3, 6])
    close(bytes[2], [200, 200, 200, 200, 200, 200], 1)
    expect((await items(set, [2, 0])).bytes).toEqual([bytes[2], bytes[0]])
  })

  it("has a class for each folder, with the folders in it", async () => {
    const one = await plain(1, 1, 0)
    const path = folder({
      "data/dog/1.png": one,
      "data/cat/tabby/1.png": one,
      "data/cat/2.png": one,
      "data/ant/readme.md": "none"
    })
    const set = await open(path, way)
    expect(set.classes).toEqual(["cat", "dog"])
    expect((await items(set)).labels).toEqual([0, 0, 1])
    const plainly = await open(path, { ...way, classes: false })
    expect(plainly.classes).toBeUndefined()
  })

  it("has the first pictures up to a limit, and the classes of all", async () => {
    const [one, two] = [await plain(1, 1, 7), await plain(1, 1, 9)]
    const files = { "cat/1.png": one, "cat/2.png": two, "dog/1.png": one, "dog/2.png": "none" }
    const path = folder(files)
    const archive = Path.join(folder({ "a.tar": await tar(files) }), "a.tar")
    for (const each of [path, archive]) {
      const set = await open(each, { ...way, limit: 3 })
      expect(set).toMatchObject({ size: 3, classes: ["cat", "dog"] })
      const { bytes, labels } = await items(set)
      expect(labels).toEqual([0, 0, 1])
      close(bytes.flat(), [7, 9, 7])
    }
    expect(await failure(path, { ...way, limit: 0 })).toMatchObject({ reason: "options" })
  })

  it("follows links to folders, but not around", async () => {
    const one = await plain(1, 1, 0)
    const elsewhere = folder({ "1.png": one, "in/2.png": one })
    const path = folder({ "dog/1.png": one })
    Fs.symlinkSync(elsewhere, Path.join(path, "cat"))
    Fs.symlinkSync(path, Path.join(path, "cow"))
    Fs.symlinkSync(Path.join(path, "nowhere"), Path.join(path, "hen"))
    const set = await open(path, way)
    expect(set.classes).toEqual(["cat", "dog"])
    expect((await items(set)).labels).toEqual([0, 0, 1])
  })

  it("reads archives", async () => {
    const files = {
      "./all/": "",
      "./all/b/2.png": await plain(2, 2, 20),
      "./all/a/1.png": await plain(2, 2, 10),
      "./all/a/._1.png": "resource",
      [`./all/b/${"long".repeat(60)}.png`]: await plain(2, 2, 30),
      "./all/b/same.png": "./all/b/2.png"
    }
    const archive = await tar(files)
    const path = folder({ "x.tar": archive, "x.tgz": Zlib.gzipSync(archive) })
    for (const name of ["x.tar", "x.tgz"]) {
      const set = await open(Path.join(path, name), way)
      expect(set).toMatchObject({ size: 4, shape: [1, 2, 2], classes: ["a", "b"] })
      const { bytes, labels } = await items(set)
      expect(labels).toEqual([0, 1, 1, 1])
      for (const [i, level] of [10, 20, 30, 20].entries()) {
        close(
          bytes[i],
          Array.from({ length: 4 }, () => level)
        )
      }
    }
  })

  it("brings pictures to a size", async () => {
    // a red middle, 4 wide
    const wide = Array.from({ length: 8 * 4 }, (_, i) =>
      i % 8 < 2 || i % 8 > 5 ? [0, 0, 255] : [255, 0, 0]
    )
    const path = folder({
      "a.png": await picture(8, 4, wide.flat()),
      "b.png": await plain(3, 9, 7, 7, 7)
    })
    const cropped = await open(path, { ...way, size: 2 })
    expect(cropped.shape).toEqual([3, 2, 2])
    const { bytes } = await items(cropped)
    expect(bytes[0].slice(0, 4).every((x) => x > 200)).toBe(true)
    close(
      bytes[1],
      Array.from({ length: 12 }, () => 7)
    )
    const stretched = await open(path, { ...way, size: [2, 8], fit: "stretch" })
    expect(stretched.shape).toEqual([3, 2, 8])
    const [blue] = (await items(stretched)).bytes
    expect(blue[0]).toBeLessThan(50)
    expect(blue[32]).toBeGreaterThan(200)
  })

  it("turns pictures as their cameras were held", async () => {
    const turned = await sharp(await picture(2, 1, [0, 0, 0, 255, 255, 255]))
      .withExif({})
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer()
    const set = await open(folder({ "a.png": turned }), way)
    expect(set.shape).toEqual([3, 2, 1])
    close((await items(set)).bytes[0], [0, 255, 0, 255, 0, 255])
  })

  it("makes grey, colour and opaque what is told or needed", async () => {
    const path = folder({
      "a.png": await picture(1, 1, [255, 0, 0, 0]),
      "b.png": await plain(1, 1, 100, 100, 100),
      "c.png": await picture(1, 1, [100]),
      "d.png": await sharp(Uint16Array.of(25700), { raw: { width: 1, height: 1, channels: 1 } })
        .toColourspace("grey16")
        .png()
        .toBuffer(),
      "e.png": await sharp(await plain(1, 1, 100, 100, 100))
        .toColourspace("rgb16")
        .png()
        .toBuffer(),
      "f.png": await sharp(await plain(1, 1, 100, 100, 100))
        .png({ palette: true })
        .toBuffer()
    })
    const colour = await items(await open(path, way))
    close(colour.bytes[0], [255, 255, 255])
    for (const each of colour.bytes.slice(1)) close(each, [100, 100, 100], 1.01)
    const grey = await items(await open(path, { ...way, channels: 1, background: "black" }))
    close(grey.bytes[0], [0])
    for (const each of grey.bytes.slice(1)) close(each, [100], 1.01)
  })

  it("names the first that is not as the others, and what helps", async () => {
    const path = folder({
      "a.png": await plain(3, 2, 1, 2, 3),
      "b.png": await plain(3, 2, 9),
      "c.png": await plain(2, 3, 1, 2, 3),
      "d.png": await plain(4, 3, 1, 2, 3)
    })
    expect(await failure(path, way)).toMatchObject({
      reason: "shape",
      source: Path.join(path, "c.png"),
      message: `${path}/c.png: the picture is 3×2 colour, but the first is 2×3 colour: tell the size that all are brought to (size)`
    })
    expect((await open(path, { ...way, size: 2 })).size).toBe(4)
    const mixed = folder({ "a.png": await plain(1, 1, 9), "b.png": await plain(1, 1, 1, 2, 3) })
    expect((await failure(mixed, way)).message).toMatch(
      /b\.png: the picture is .* colour, .* grey: tell the channels/
    )
    expect((await open(mixed, { ...way, channels: 3 })).shape).toEqual([3, 1, 1])
  })

  it("names a file that is no picture", async () => {
    const good = await plain(8, 8, 1, 2, 3)
    const text = folder({ "a.png": good, "b.png": "just text", "c.png": good })
    const error = await failure(text, way)
    expect(error).toMatchObject({ reason: "format", source: Path.join(text, "b.png") })
    expect(error.message).toContain("it is no PNG, JPEG or WebP picture")
    expect(await failure(folder({ "a.jpg": "" }), way)).toMatchObject({ reason: "format" })
    const gif = await sharp(good).gif().toBuffer()
    expect((await failure(folder({ "a.png": gif }), way)).message).toContain("it is gif")
  })
})

describe("ImageFolder.read", () => {
  it("tells of a picture that is cut short, at the latest when it is read", async () => {
    const noise = Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251)
    for (const format of ["png", "jpeg", "webp"] as const) {
      const whole = await picture(64, 64, noise, format)
      const cut = whole.subarray(0, Math.floor(whole.length / 2))
      const path = folder({ [`a.${format}`]: whole, [`b.${format}`]: cut })
      const source = Path.join(path, `b.${format}`)
      expect(await failure(path)).toMatchObject({ reason: "format", source })
      const lazy = await open(path, { cache: 0, channels: 3, size: 8 })
      const error = await Effect.runPromise(Effect.flip(lazy.read([{ index: 1, key: [0, 0] }])))
      expect(error).toMatchObject({ reason: "format", source })
    }
  })

  it("keeps what fits into the cache", async () => {
    const path = folder({ "a.png": await plain(2, 2, 1), "b.png": await plain(2, 2, 2) })
    const set = await open(path, { cache: 4 })
    expect((await items(set)).bytes[0]).toEqual(
      [1, 1, 1, 1].map((x) => Math.fround(x / 127.5 - 1)).map((x) => (x + 1) * 127.5)
    )
    for (const name of ["a.png", "b.png"]) Fs.rmSync(Path.join(path, name))
    const read = (index: number) => set.read([{ index, key: [0, 0] }])
    const [a, b] = [Effect.result(read(0)), Effect.result(read(1))]
    const kept = await Promise.all([a, b].map((each) => Effect.runPromise(each)))
    expect(kept.map(({ _tag }) => _tag).toSorted()).toEqual(["Failure", "Success"])
  })

  it("has a fingerprint that changes with the pictures", async () => {
    const [a, b] = [await plain(8, 8, 1), await plain(8, 8, 1, 2, 3)]
    const c = await picture(
      8,
      8,
      Array.from({ length: 64 }, (_, i) => (37 * i) % 256)
    )
    expect(c.length).not.toBe(a.length)
    const all = [{ "a.png": a }, { "a.png": b }, { "a.png": c }, { "a.png": a, "b.png": a }]
    const paths = all.map(folder)
    for (const way of ways) {
      const prints = await Promise.all(
        paths.map(async (path) => (await open(path, way)).fingerprint)
      )
      expect(new Set(prints).size).toBe(4)
      expect((await open(folder({ "a.png": a }), way)).fingerprint).toBe(prints[0])
    }
    const two = folder({ "a.png": a, "b.png": b })
    for (const way of ways) {
      const limited = await open(two, { ...way, limit: 1 })
      expect(limited.fingerprint).toBe((await open(paths[0], way)).fingerprint)
    }
  })

  it("refuses what is empty, missing, no folder, or makes no sense", async () => {
    const path = folder({ "a.png": await plain(1, 1, 1) })
    const empty = await failure(folder({}))
    expect(empty).toMatchObject({ reason: "empty" })
    expect(empty.message).toContain("there are no pictures (.png, .jpg, .jpeg, .webp) in it")
    expect((await failure(folder({ "a.bmp": "x" }))).message).toContain(
      "but 1 other files or folders"
    )
    expect(await failure(path, { classes: true })).toMatchObject({ reason: "empty" })
    expect(await failure(Path.join(path, "nothing"))).toBeInstanceOf(FileError)
    expect((await failure(Path.join(path, "a.png"))).message).toContain(
      "it is no folder and no tar archive"
    )
    const mixed = await failure(folder({ "a.png": "", "b/a.png": "" }))
    expect(mixed.message).toContain("a.png is in no folder while others are")
    for (const options of [
      { size: 0 },
      { size: 1e9 },
      { size: [2, 1.5] },
      { channels: 2 },
      { background: "no colour" }
    ]) {
      expect(await failure(path, options as never)).toMatchObject({ reason: "options" })
    }
  })
})

const cifar = Path.join(import.meta.dirname, "../../../shared/data/cifar10/test.tar")

describe.skipIf(!Fs.existsSync(cifar))(
  "CIFAR-10, skipped where ../shared/data/cifar10 is absent",
  () => {
    it("has 1,000 pictures of each of ten classes, read when they are asked for", async () => {
      const set = await open(cifar, { cache: 0, channels: 3, size: 32 })
      expect(set).toMatchObject({ size: 10_000, shape: [3, 32, 32] })
      expect(set.classes).toHaveLength(10)
      expect(set.classes?.[0]).toBe("airplane")
      const { labels, bytes } = await items(set, [0, 1000, 9999])
      expect(labels).toEqual([0, 1, 9])
      expect(new Set(bytes.flat()).size).toBeGreaterThan(100)
    })
  }
)
