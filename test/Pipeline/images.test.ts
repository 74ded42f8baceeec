/** Pictures of images. */
import * as NodeFs from "node:fs"
import * as Os from "node:os"
import * as NodePath from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import sharp, { type Sharp } from "sharp"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Images from "../../src/Pipeline/Images.ts"
import { DataError, FileError } from "../../src/Pipeline/PipelineError.ts"

const folder = NodeFs.mkdtempSync(NodePath.join(Os.tmpdir(), "odeon-images-"))
const at = (...names: ReadonlyArray<string>) => NodePath.join(folder, ...names)
beforeAll(() => NodeFs.mkdirSync(folder, { recursive: true }))
afterAll(() => NodeFs.rmSync(folder, { recursive: true, force: true }))

const images = (shape: ReadonlyArray<number>, data: ArrayLike<number>): Images.Images => ({
  dtype: "float32",
  shape,
  data: Float32Array.from(data)
})

/** Images whose values are those of 8 bits. */
const eightBits = (shape: ReadonlyArray<number>, bytes: ArrayLike<number>) =>
  images(
    shape,
    Array.from(bytes, (byte) => byte / 127.5 - 1)
  )

const some = fc
  .record({
    count: fc.integer({ min: 1, max: 7 }),
    channels: fc.constantFrom(1, 3, 4),
    height: fc.integer({ min: 1, max: 9 }),
    width: fc.integer({ min: 1, max: 9 })
  })
  .chain(({ count, channels, height, width }) => {
    const size = count * channels * height * width
    return fc
      .uint8Array({ minLength: size, maxLength: size })
      .map((bytes) => eightBits([count, channels, height, width], bytes))
  })

const failing = <A, E>(effect: Effect.Effect<A, E>) => Effect.runSync(Effect.flip(effect))

describe("a picture", () => {
  it("has 8 bits of values between −1 and 1, and those beyond clipped", () => {
    const { data } = Effect.runSync(Images.picture(images([1, 1, 1, 6], [-1, 0, 1, -7, 7, 0.5]), 0))
    expect([...data]).toEqual([0, 128, 255, 0, 255, 191])
  })

  it("has the channels of a pixel beside each other", () => {
    const given = eightBits([2, 3, 1, 2], [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6])
    const { data, ...rest } = Effect.runSync(Images.picture(given, 1))
    expect(rest).toEqual({ width: 2, height: 1, channels: 3 })
    expect([...data]).toEqual([1, 3, 5, 2, 4, 6])
  })

  it("names the image, and the place, of a value that is not finite", () => {
    const given = images([2, 1, 2, 2], [0, 0, 0, 0, 0, 0, Number.NaN, 0])
    for (const effect of [
      Images.picture(given, 1),
      Images.grid(given),
      Images.strip([given]),
      Images.animation([given])
    ]) {
      const error = failing(effect as Effect.Effect<unknown, DataError>)
      expect(error).toMatchObject({ _tag: "DataError", reason: "value" })
      expect(error.message).toMatch(
        /^images: image 1( of step 0)? has NaN at channel 0, row 1, column 0/
      )
    }
    expect(failing(Images.grid(images([1, 1, 1, 1], [Infinity]))).message).toContain("Infinity")
  })

  it("is made of images only", () => {
    const reasons = (given: Images.Images, options?: Images.GridOptions) =>
      failing(Images.grid(given, options)).reason
    expect(reasons(images([1, 2, 2], [0, 0, 0, 0]))).toBe("shape")
    expect(reasons(images([1, 2, 1, 1], [0, 0]))).toBe("shape")
    expect(reasons(images([1, 1, 2, 2], [0, 0]))).toBe("shape")
    expect(reasons(images([1, 1, 0, 2], []))).toBe("shape")
    expect(reasons(images([0, 1, 2, 2], []))).toBe("empty")
    const one = images([1, 3, 1, 1], [0, 0, 0])
    for (const options of [
      { columns: 0 },
      { gap: -1 },
      { scale: 0.5 },
      { scale: Number.NaN },
      { background: [1] },
      { background: Number.NaN }
    ]) {
      expect(reasons(one, options)).toBe("options")
    }
    expect(failing(Images.picture(one, 1)).message).toBe("images: of 1 images there is no image 1")
  })
})

describe("a grid", () => {
  it("has each pixel of each image as a square at its place, and the background between", () => {
    fc.assert(
      fc.property(
        some,
        fc.record({
          columns: fc.integer({ min: 1, max: 9 }),
          gap: fc.integer({ min: 0, max: 3 }),
          scale: fc.integer({ min: 1, max: 3 }),
          background: fc.constantFrom(-1, 1)
        }),
        (given, options) => {
          const { columns, gap, scale, background } = options
          const [count, channels, height, width] = given.shape
          const found = Effect.runSync(Images.grid(given, options))
          expect(found.width).toBe(columns * (width * scale + gap) - gap)
          expect(found.height).toBe(Math.ceil(count / columns) * (height * scale + gap) - gap)
          const expected = new Uint8Array(found.data.length)
          for (let y = 0; y < found.height; y++) {
            for (let x = 0; x < found.width; x++) {
              const row = Math.floor(y / (height * scale + gap))
              const column = Math.floor(x / (width * scale + gap))
              const inY = Math.floor((y % (height * scale + gap)) / scale)
              const inX = Math.floor((x % (width * scale + gap)) / scale)
              const image = row * columns + column
              const inside = inY < height && inX < width && image < count
              for (let c = 0; c < channels; c++) {
                const value = inside
                  ? given.data[((image * channels + c) * height + inY) * width + inX]
                  : background
                expected[(y * found.width + x) * channels + c] = Math.round((value + 1) * 127.5)
              }
            }
          }
          expect(found.data).toEqual(expected)
        }
      )
    )
  })

  it("is about square, and enlarges small images until they are seen", () => {
    const digits = images([10, 1, 28, 28], new Float32Array(7840))
    const { width, height } = Effect.runSync(Images.grid(digits))
    expect([width, height]).toEqual([4 * 84 + 3 * 4, 3 * 84 + 2 * 4])
    const large = images([1, 3, 64, 80], new Float32Array(3 * 64 * 80))
    expect(Effect.runSync(Images.grid(large))).toMatchObject({ width: 80, height: 64 })
  })
})

describe("a strip", () => {
  const frames = Array.from({ length: 11 }, (_, step) =>
    eightBits([2, 1, 1, 1], [step, 100 + step])
  )

  it("has images as rows and steps as columns", () => {
    const { data, width } = Effect.runSync(Images.strip(frames, { gap: 0, scale: 1 }))
    expect(width).toBe(11)
    expect([...data]).toEqual([
      ...Array.from({ length: 11 }, (_, i) => i),
      ...Array.from({ length: 11 }, (_, i) => 100 + i)
    ])
  })

  it("has some steps, the first and the last among them", () => {
    const steps = (steps: number) => {
      const { data, width } = Effect.runSync(Images.strip(frames, { gap: 0, scale: 1, steps }))
      return [...data.subarray(0, width)]
    }
    expect(steps(3)).toEqual([0, 5, 10])
    expect(steps(1)).toEqual([10])
    expect(steps(50)).toHaveLength(11)
  })

  it("refuses steps of different shapes, and none", () => {
    expect(failing(Images.strip([])).reason).toBe("empty")
    expect(failing(Images.strip([frames[0], eightBits([1, 1, 1, 1], [0])])).message).toBe(
      "images: all steps are [2, 1, 1, 1], but step 1 is [1, 1, 1, 1]"
    )
  })
})

layer(NodeServices.layer)("files of pictures", (it) => {
  for (const ending of ["png", "webp"] as const) {
    it.effect(`read as they were written: ${ending}`, () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(some, async (given) => {
            const [, channels, height, width] = given.shape
            const path = at(`law.${ending}`)
            const program = Effect.gen(function* () {
              yield* Images.write(path, yield* Images.picture(given, 0))
              return yield* Images.read(path, { channels: channels as 1 | 3 | 4 })
            })
            const found = await Effect.runPromise(Effect.provide(program, NodeServices.layer))
            expect(found.shape).toEqual([1, channels, height, width])
            expect(found.data).toEqual(given.data.slice(0, channels * height * width))
          }),
          { numRuns: 60 }
        )
      )
    )
  }

  it.effect("hold what images are when they are rounded", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: 1, maxLength: 40 }),
          async (values) => {
            const given = images([1, 1, 1, values.length], values)
            const bytes = await Effect.runPromise(Images.toPng(given, 0))
            const found = await Effect.runPromise(Images.decode(bytes, { channels: 1 }))
            expect(Images.rounded(given)).toEqual(found)
            expect(Images.rounded(found)).toEqual(found)
          }
        ),
        { numRuns: 40 }
      )
    )
  )

  it("leave what is not finite to be found", () => {
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    expect([...Images.rounded(images([1, 1, 1, 3], odd)).data]).toEqual(odd)
  })

  it.effect("have as many channels as they were written with", () =>
    Effect.gen(function* () {
      for (const channels of [1, 3, 4]) {
        const given = images([1, channels, 2, 2], new Float32Array(channels * 4).fill(0.25))
        yield* Images.write(at("channels.png"), yield* Images.picture(given, 0))
        const found = yield* Images.read(at("channels.png"))
        expect(found.shape).toEqual([1, channels, 2, 2])
      }
    })
  )

  it.effect("are read with as many channels as are wanted", () =>
    Effect.gen(function* () {
      const grey = eightBits([1, 1, 1, 3], [0, 77, 255])
      yield* Images.write(at("wanted.png"), yield* Images.picture(grey, 0))
      const rgb = yield* Images.read(at("wanted.png"), { channels: 3 })
      expect(rgb).toEqual(eightBits([1, 3, 1, 3], [0, 77, 255, 0, 77, 255, 0, 77, 255]))
      const rgba = yield* Images.read(at("wanted.png"), { channels: 4 })
      expect([...rgba.data.slice(9)]).toEqual([1, 1, 1])
      const clear = eightBits([1, 4, 1, 2], [10, 20, 10, 20, 10, 20, 0, 255])
      yield* Images.write(at("wanted.png"), yield* Images.picture(clear, 0))
      const laid = yield* Images.read(at("wanted.png"), { channels: 3 })
      expect(laid).toEqual(eightBits([1, 3, 1, 2], [255, 20, 255, 20, 255, 20]))
      expect((yield* Images.read(at("wanted.png"), { channels: 1 })).shape).toEqual([1, 1, 1, 2])
    })
  )

  it.effect("are read from 16 bits, palettes and grey with opacity", () =>
    Effect.gen(function* () {
      const save = (name: string, image: Sharp) =>
        Effect.promise(async () => NodeFs.writeFileSync(at(name), await image.png().toBuffer()))
      const raw = (channels: 1 | 2 | 3, values: Uint16Array | Uint8Array) =>
        sharp(values, { raw: { width: 2, height: 1, channels } })
      yield* save("16.png", raw(1, Uint16Array.of(0, 200 * 257)).toColourspace("grey16"))
      expect(yield* Images.read(at("16.png"))).toEqual(eightBits([1, 1, 1, 2], [0, 200]))
      yield* save("grey-alpha.png", raw(2, Uint8Array.of(7, 255, 9, 0)).toColourspace("b-w"))
      expect((yield* Images.read(at("grey-alpha.png"))).data).toEqual(
        eightBits([1, 4, 1, 2], [7, 9, 7, 9, 7, 9, 255, 0]).data
      )
      yield* save("palette.png", raw(3, Uint8Array.of(255, 0, 0, 0, 0, 255)).png({ palette: true }))
      expect((yield* Images.read(at("palette.png"))).shape).toEqual([1, 3, 1, 2])
    })
  )

  it.effect("are near what was written as JPEG, whose opacity is laid over white", () =>
    Effect.gen(function* () {
      const smooth = Array.from({ length: 4 * 256 }, (_, i) =>
        i < 3 * 256 ? (i % 16) / 16 : i % 256 < 128 ? 1 : -1
      )
      yield* Images.write(at("near.jpg"), yield* Images.picture(images([1, 4, 16, 16], smooth), 0))
      const { shape, data } = yield* Images.read(at("near.jpg"))
      expect(shape).toEqual([1, 3, 16, 16])
      for (let i = 0; i < 256; i++) {
        expect(Math.abs(data[i] - (i < 128 ? smooth[i] : 1))).toBeLessThan(0.06)
      }
    })
  )

  it.effect("are refused, by name, when they are none, damaged or something else", () =>
    Effect.gen(function* () {
      const refused = Effect.fnUntraced(function* (name: string, bytes: Uint8Array | string) {
        NodeFs.writeFileSync(at(name), bytes)
        const error = yield* Effect.flip(Images.read(at(name)))
        expect(error).toBeInstanceOf(DataError)
        expect(error).toMatchObject({ reason: "format", source: at(name) })
        expect(error.message).toContain(at(name))
        return error.message
      })
      yield* refused("text.png", "this is no picture")
      yield* refused("empty.png", "")
      const svg = yield* refused(
        "svg.png",
        '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>'
      )
      expect(svg).toContain("it is svg")
      const noise = images(
        [1, 3, 64, 64],
        Array.from({ length: 3 * 64 * 64 }, (_, i) => Math.sin(i * i))
      )
      const picture = yield* Images.picture(noise, 0)
      for (const format of ["png", "jpeg", "webp"] as const) {
        const bytes = yield* Images.encode(picture, format)
        yield* refused(`cut.${format}`, bytes.subarray(0, bytes.length >> 1))
      }
      const missing = yield* Effect.flip(Images.read(at("missing.png")))
      expect(missing).toBeInstanceOf(FileError)
      expect(missing).toMatchObject({ reason: "missing" })
    })
  )

  it.effect("are not written where that is not possible, or under another ending", () =>
    Effect.gen(function* () {
      const picture = yield* Images.picture(images([1, 1, 1, 1], [0]), 0)
      const error = yield* Effect.flip(Images.write(at("picture.bmp"), picture))
      expect(error).toMatchObject({ reason: "options", source: at("picture.bmp") })
      expect(error.message).toContain('.png, .webp, .jpg, .jpeg, not in ".bmp"')
      expect((yield* Effect.flip(Images.write(at("picture.gif"), picture))).message).toContain(
        ".gif"
      )
      NodeFs.writeFileSync(at("file"), "")
      const denied = yield* Effect.flip(Images.write(at("file", "picture.png"), picture))
      expect(denied).toBeInstanceOf(FileError)
      const wide: Images.Picture = {
        width: 20_000,
        height: 1,
        channels: 1,
        data: new Uint8Array(20_000)
      }
      const large = yield* Effect.flip(Images.write(at("wide.webp"), wide))
      expect(large).toMatchObject({ reason: "options", source: at("wide.webp") })
      expect(NodeFs.existsSync(at("wide.webp"))).toBe(false)
      const worst = yield* Effect.flip(Images.write(at("q.jpg"), picture, { quality: 101 }))
      expect(worst.message).toContain("at most 100, not 101")
    })
  )

  it.effect("are numbered, all of them or none", () =>
    Effect.gen(function* () {
      const given = eightBits([3, 1, 2, 2], [...Array(12).keys()])
      const paths = yield* Images.writeAll(at("all"), given, { prefix: "digit-", first: 9 })
      expect(paths.map((path) => NodePath.basename(path))).toEqual([
        "digit-000009.png",
        "digit-000010.png",
        "digit-000011.png"
      ])
      expect(yield* Images.read(paths[2])).toEqual(eightBits([1, 1, 2, 2], [8, 9, 10, 11]))
      const spoilt = images([3, 1, 1, 1], [0, 0, Number.NaN])
      const error = yield* Effect.flip(Images.writeAll(at("none"), spoilt))
      expect(error).toMatchObject({ reason: "value", source: at("none") })
      expect(error.message).toContain("image 2 has NaN")
      expect(NodeFs.existsSync(at("none"))).toBe(false)
    })
  )

  for (const ending of ["webp", "gif"] as const) {
    it.effect(`show a denoising: ${ending}`, () =>
      Effect.gen(function* () {
        for (const channels of [1, 3]) {
          const frames = [0, 120, 250].map((byte) =>
            eightBits([2, channels, 8, 8], new Uint8Array(2 * channels * 64).fill(byte))
          )
          const path = at(`denoising.${ending}`)
          yield* Images.writeAnimation(path, frames, { scale: 2, gap: 0, columns: 2, delay: 50 })
          const meta = yield* Effect.promise(() => sharp(path, { animated: true }).metadata())
          expect(meta).toMatchObject({
            format: ending,
            width: 32,
            pages: 3,
            pageHeight: 16,
            loop: 0,
            delay: [50, 50, 2000]
          })
          const raw = yield* Effect.promise(() =>
            sharp(path, { animated: true }).removeAlpha().raw().toBuffer()
          )
          expect([raw[0], raw[32 * 16 * 3], raw[32 * 32 * 3]]).toEqual([0, 120, 250])
        }
      })
    )
  }

  it("animations are written as animations only", () => {
    const frames = [images([1, 1, 1, 1], [0])]
    const program = Effect.flip(Images.writeAnimation(at("a.png"), frames))
    return Effect.runPromise(Effect.provide(program, NodeServices.layer)).then((error) =>
      expect(error.message).toContain(".webp, .gif")
    )
  })
})
