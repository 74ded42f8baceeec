/**
 * Pictures of images: single ones, grids, strips of a denoising, animations; written and read.
 *
 * Images are arrays `[n, channels, height, width]` with values v between −1 and 1, of one channel (grey), three (red, green, blue) or
 * four (and opacity). A picture has 8 bits: round(127.5·(v + 1)), and values beyond are clipped. Reading gives b/127.5 − 1 back, so that
 * what has been written without loss (PNG, WebP) and is read is the same to the bit from then on.
 *
 * Values that are not finite make no picture: they fail with a `DataError` that names the image.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import type { Sharp } from "sharp"
import { DType, Shape, type Tensor } from "../Tensor/index.ts"
import * as Files from "./Files.ts"
import { attempt, dataError, demandWhole, ofByte, writeBytes } from "./internal/data.ts"
import * as Pixels from "./internal/pixels.ts"
import { DataError } from "./PipelineError.ts"

/**
 * Images as tensors have them, `[n, channels, height, width]`, values between −1 and 1.
 *
 * @since 0.1.0
 * @category models
 */
export type Images = Tensor.HostArray<ReadonlyArray<number>, "float32">

/**
 * A picture of 8 bits a channel, row by row, the channels of a pixel beside each other.
 *
 * @since 0.1.0
 * @category models
 */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3 | 4
  readonly data: Uint8Array
}

/**
 * What pictures are written as.
 *
 * - `png`: without loss
 * - `webp`: without loss unless a quality is told; animations too
 * - `jpeg`: with loss; opacity is laid over white
 * - `gif`: for animations that must be seen everywhere, in at most 256 colours
 *
 * @since 0.1.0
 * @category models
 */
export type Format = "png" | "webp" | "jpeg" | "gif"

/**
 * @since 0.1.0
 * @category models
 */
export interface EncodeOptions {
  /** From 1 to 100, of `jpeg` (95 unless told) and `webp` (without loss unless told). */
  readonly quality?: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LayoutOptions {
  /** Between images, in the picture's pixels; 4 unless told. */
  readonly gap?: number
  /** Each pixel becomes a square of this side. Unless told, the least that makes images 64 pixels high and wide. */
  readonly scale?: number
  /** Of the gaps, between −1 and 1: for all channels, or for each. White unless told. */
  readonly background?: number | ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface GridOptions extends LayoutOptions {
  /** Images in a row; √n, rounded up, unless told. */
  readonly columns?: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StripOptions extends LayoutOptions {
  /** At most that many frames, evenly chosen, the first and the last among them; all unless told. */
  readonly steps?: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AnimationOptions extends GridOptions, EncodeOptions {
  /** `webp` unless told. */
  readonly format?: "webp" | "gif"
  /** How long a frame is shown, in milliseconds; 100 unless told. */
  readonly delay?: number
  /** How long the last frame is shown; 2000 unless told. */
  readonly hold?: number
}

const checkWhole = (name: string, value: number, least: number) =>
  demandWhole("images", name, value, least)

const isChannels = (channels: number): channels is Picture["channels"] =>
  channels === 1 || channels === 3 || channels === 4

interface Dimensions {
  readonly count: number
  readonly channels: Picture["channels"]
  readonly height: number
  readonly width: number
}

const dimensionsOf = ({ shape, data }: Images): Dimensions => {
  const [count, channels, height, width] = shape
  if (shape.length !== 4 || !isChannels(channels) || !(height > 0 && width > 0)) {
    throw dataError(
      "images",
      "shape",
      `pictures are made of [n, channels, height, width] with 1, 3 or 4 channels, not of [${shape.join(", ")}]`
    )
  }
  if (data.length !== Shape.size(shape)) {
    throw dataError(
      "images",
      "shape",
      `[${shape.join(", ")}] are ${Shape.size(shape)} values, not ${data.length}`
    )
  }
  return { count, channels, height, width }
}

const byteOf = (value: number) => Math.max(0, Math.min(255, Math.round(127.5 * (value + 1))))

/**
 * Images as their files have them, in 8 bits: what {@link decode} gives of what {@link encode} wrote without loss. What is not finite, of
 * which there are no files, stays as it is.
 *
 * @since 0.1.0
 * @category conversions
 */
export const rounded = (images: Images): Images => ({
  ...images,
  data: images.data.map((value) => (Number.isFinite(value) ? ofByte[byteOf(value)] : value))
})

/** An image, as it is named to people. */
interface Cell {
  readonly images: Images
  readonly index: number
  readonly name: string
}

/** Draws an image, enlarged, with its upper left corner at a place. */
const draw = (
  into: Picture,
  { images, index, name }: Cell,
  { channels, height, width }: Dimensions,
  scale: number,
  top: number,
  left: number
) => {
  const plane = height * width
  const row = into.width * channels
  for (let y = 0; y < height; y++) {
    const start = (top + y * scale) * row + left * channels
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const value = images.data[(index * channels + c) * plane + y * width + x]
        if (!Number.isFinite(value)) {
          throw dataError(
            "images",
            "value",
            `${name} has ${value} at channel ${c}, row ${y}, column ${x}; a picture has finite values only, which a training or a ` +
              "sampling that diverged does not give"
          )
        }
        const byte = byteOf(value)
        for (let i = 0; i < scale; i++) into.data[start + (x * scale + i) * channels + c] = byte
      }
    }
    for (let i = 1; i < scale; i++) {
      into.data.copyWithin(start + i * row, start, start + width * scale * channels)
    }
  }
}

/** Images in rows of so many, on a background. */
const layOut = (
  cells: ReadonlyArray<Cell>,
  dimensions: Dimensions,
  columns: number,
  { gap = 4, scale, background = 1 }: LayoutOptions
): Picture => {
  const { channels, height, width } = dimensions
  const times = scale ?? Math.max(1, Math.ceil(64 / Math.min(height, width)))
  const colour =
    typeof background === "number" ? new Array<number>(channels).fill(background) : background
  checkWhole("columns", columns, 1)
  checkWhole("gap", gap, 0)
  checkWhole("scale", times, 1)
  if (colour.length !== channels || !colour.every(Number.isFinite)) {
    throw dataError(
      "images",
      "options",
      `the background of images with ${channels} channels is one number, or ${channels}, not [${colour.join(", ")}]`
    )
  }
  const rows = Math.ceil(cells.length / columns)
  const size = {
    width: columns * (width * times + gap) - gap,
    height: rows * (height * times + gap) - gap
  }
  const data = new Uint8Array(size.width * size.height * channels)
  const bytes = colour.map(byteOf)
  for (let i = 0; i < data.length; i++) data[i] = bytes[i % channels]
  const picture: Picture = { ...size, channels, data }
  for (const [i, cell] of cells.entries()) {
    const top = Math.floor(i / columns) * (height * times + gap)
    draw(picture, cell, dimensions, times, top, (i % columns) * (width * times + gap))
  }
  return picture
}

const pictureUnsafe = (images: Images, index: number, scale: number): Picture => {
  const dimensions = dimensionsOf(images)
  if (!Number.isSafeInteger(index) || index < 0 || index >= dimensions.count) {
    throw dataError("images", "options", `of ${dimensions.count} images there is no image ${index}`)
  }
  return layOut([{ images, index, name: `image ${index}` }], dimensions, 1, { gap: 0, scale })
}

/**
 * One image as a picture, as it is or enlarged by a whole number. Fails with `DataError` if it has values that are not finite.
 *
 * @since 0.1.0
 * @category pictures
 */
export const picture = (
  images: Images,
  index: number,
  options: { readonly scale?: number } = {}
): Effect.Effect<Picture, DataError> =>
  attempt(() => pictureUnsafe(images, index, options.scale ?? 1))

const gridUnsafe = (images: Images, options: GridOptions, of = ""): Picture => {
  const dimensions = dimensionsOf(images)
  const { count } = dimensions
  if (count === 0) throw dataError("images", "empty", "a grid needs at least one")
  return layOut(
    Array.from({ length: count }, (_, index) => ({ images, index, name: `image ${index}${of}` })),
    dimensions,
    options.columns ?? Math.ceil(Math.sqrt(count)),
    options
  )
}

/**
 * All images in one picture, row by row. Pixels are enlarged to squares, so that small images are seen as they are. Fails with
 * `DataError` if there are none, or values that are not finite.
 *
 * ```ts
 * const digits = yield* Sample.run({ ...options, seed: 7, count: 16 })
 * yield* Images.write("digits.png", yield* Images.grid(digits))
 * ```
 *
 * @since 0.1.0
 * @category pictures
 */
export const grid = (
  images: Images,
  options: GridOptions = {}
): Effect.Effect<Picture, DataError> => attempt(() => gridUnsafe(images, options))

/** The dimensions that all frames have. */
const commonOf = (frames: ReadonlyArray<Images>): Dimensions => {
  const [first, ...rest] = frames
  if (first === undefined || first.shape[0] === 0) {
    throw dataError("images", "empty", "a denoising needs at least one step and one image")
  }
  const dimensions = dimensionsOf(first)
  for (const [i, frame] of rest.entries()) {
    dimensionsOf(frame)
    if (frame.shape.some((size, axis) => size !== first.shape[axis])) {
      throw dataError(
        "images",
        "shape",
        `all steps are [${first.shape.join(", ")}], but step ${i + 1} is [${frame.shape.join(", ")}]`
      )
    }
  }
  return dimensions
}

/**
 * A denoising in one picture: each image a row, each step a column. Fails with `DataError` if steps have different shapes, or values that
 * are not finite.
 *
 * @since 0.1.0
 * @category pictures
 */
export const strip = (
  frames: ReadonlyArray<Images>,
  options: StripOptions = {}
): Effect.Effect<Picture, DataError> =>
  attempt(() => {
    const dimensions = commonOf(frames)
    const { steps = frames.length } = options
    checkWhole("steps", steps, 1)
    const columns = Math.min(steps, frames.length)
    // a single one is the last
    const chosen = Array.from({ length: columns }, (_, i) =>
      columns === 1 ? frames.length - 1 : Math.round((i * (frames.length - 1)) / (columns - 1))
    )
    const cells = Array.from({ length: dimensions.count }, (_, index) =>
      chosen.map((step) => ({
        images: frames[step],
        index,
        name: `image ${index} of step ${step}`
      }))
    )
    return layOut(cells.flat(), dimensions, columns, options)
  })

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Pictures of one size in one file, one above the other. */
const encodeStack = (
  { width, height, channels, data }: Picture,
  format: Format,
  { quality }: EncodeOptions,
  timing?: { readonly pageHeight: number; readonly delay: Array<number> }
): Effect.Effect<Uint8Array, DataError> =>
  Effect.flatMap(Pixels.codec, (sharp) =>
    Effect.tryPromise({
      try: async () => {
        const raw = { width, height, channels, ...(timing && { pageHeight: timing.pageHeight }) }
        const image = sharp(data, { raw, limitInputPixels: false })
        const grey = channels === 1 ? image.toColourspace("b-w") : image
        const times = timing === undefined ? {} : { delay: timing.delay, loop: 0 }
        const encoded: Record<Format, () => Sharp> = {
          png: () => grey.png(),
          webp: () =>
            image.webp({
              ...(quality === undefined ? { lossless: true, exact: true } : { quality }),
              ...times
            }),
          jpeg: () =>
            grey
              .flatten({ background: "white" })
              .jpeg({ quality: quality ?? 95, chromaSubsampling: "4:4:4" }),
          gif: () => image.gif(times)
        }
        return new Uint8Array(await encoded[format]().toBuffer())
      },
      catch: (error) =>
        dataError(
          "picture",
          "options",
          `${width}×${timing?.pageHeight ?? height} pixels cannot be written as ${format}: ${messageOf(error)}`
        )
    })
  )

const checkQuality = ({ quality }: EncodeOptions) => {
  if (quality === undefined) return
  checkWhole("quality", quality, 1)
  if (quality > 100) throw dataError("images", "options", `quality is at most 100, not ${quality}`)
}

/**
 * The bytes of a picture's file. Fails with `DataError` for a picture that is larger than the format allows.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encode = (
  picture: Picture,
  format: Format = "png",
  options: EncodeOptions = {}
): Effect.Effect<Uint8Array, DataError> =>
  Effect.andThen(
    attempt(() => checkQuality(options)),
    encodeStack(picture, format, options)
  )

/**
 * One image as the bytes of a PNG file.
 *
 * @since 0.1.0
 * @category encoding
 */
export const toPng = (
  images: Images,
  index: number,
  options: { readonly scale?: number } = {}
): Effect.Effect<Uint8Array, DataError> =>
  Effect.flatMap(picture(images, index, options), (each) => encode(each))

/**
 * A denoising as an animated picture: each step a frame, which is a grid of its images. Fails with `DataError` as {@link strip} does.
 *
 * @since 0.1.0
 * @category encoding
 */
export const animation = (
  frames: ReadonlyArray<Images>,
  options: AnimationOptions = {}
): Effect.Effect<Uint8Array, DataError> =>
  Effect.flatMap(
    attempt(() => {
      const { delay = 100, hold = 2000 } = options
      checkWhole("delay", delay, 1)
      checkWhole("hold", hold, 1)
      checkQuality(options)
      commonOf(frames)
      const pages = frames.map((frame, step) => gridUnsafe(frame, options, ` of step ${step}`))
      const [{ width, height, channels, data }] = pages
      const all = new Uint8Array(data.length * pages.length)
      for (const [i, page] of pages.entries()) all.set(page.data, i * data.length)
      const delays = pages.map((_, i) => (i === pages.length - 1 ? hold : delay))
      return {
        stack: { width, height: height * pages.length, channels, data: all },
        timing: { pageHeight: height, delay: delays }
      }
    }),
    ({ stack, timing }) => encodeStack(stack, options.format ?? "webp", options, timing)
  )

const formats: Readonly<Record<string, Format>> = {
  ".png": "png",
  ".webp": "webp",
  ".jpg": "jpeg",
  ".jpeg": "jpeg",
  ".gif": "gif"
}

/** The format that a path's ending means, of those that will do. */
const formatFor = Effect.fnUntraced(function* <F extends Format>(
  path: string,
  allowed: ReadonlyArray<F>
) {
  const ending = (yield* Path.Path).extname(path).toLowerCase()
  const format = Object.hasOwn(formats, ending) ? formats[ending] : undefined
  if ((allowed as ReadonlyArray<Format | undefined>).includes(format)) return format as F
  const endings = Object.keys(formats).filter((each) => allowed.includes(formats[each] as F))
  return yield* dataError(
    path,
    "options",
    `a picture's name ends in ${endings.join(", ")}, not in "${ending}"`
  )
})

/** Names the file in what is wrong with what is to be written there. */
const naming = (path: string) =>
  Effect.mapError((error: DataError) =>
    error.source === path
      ? error
      : new DataError({ ...error, source: path, message: `cannot write ${path}: ${error.message}` })
  )

/**
 * Writes a picture, whole or not at all, as its path's ending says: `.png`, `.webp`, `.jpg`. Fails with `FileError`, or with `DataError`
 * for another ending.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (
  path: string,
  picture: Picture,
  options: EncodeOptions = {}
) {
  const format = yield* formatFor(path, ["png", "webp", "jpeg"])
  yield* Files.write(path, yield* naming(path)(encode(picture, format, options)))
})

/**
 * Writes an animated picture, whole or not at all, as its path's ending says: `.webp`, `.gif`. See {@link animation}.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeAnimation = Effect.fnUntraced(function* (
  path: string,
  frames: ReadonlyArray<Images>,
  options: Omit<AnimationOptions, "format"> = {}
) {
  const format = yield* formatFor(path, ["webp", "gif"])
  yield* Files.write(path, yield* naming(path)(animation(frames, { ...options, format })))
})

/**
 * Writes each image as a PNG file of its own, numbered: `000000.png` and on. Gives the paths. All are looked at before the first is
 * written, so that with an image that makes no picture there is none.
 *
 * - `prefix`: what names begin with
 * - `first`: the number of the first; 0 unless told
 *
 * @since 0.1.0
 * @category writing
 */
export const writeAll = Effect.fnUntraced(function* (
  folder: string,
  images: Images,
  options: { readonly prefix?: string; readonly first?: number; readonly scale?: number } = {}
) {
  const { prefix = "", first = 0, scale = 1 } = options
  const paths = yield* Path.Path
  const pictures = yield* naming(folder)(
    attempt(() => {
      checkWhole("first", first, 0)
      const { count } = dimensionsOf(images)
      return Array.from({ length: count }, (_, i) => pictureUnsafe(images, i, scale))
    })
  )
  yield* Files.makeFolder(folder)
  return yield* Effect.forEach(
    pictures,
    Effect.fnUntraced(function* (each, i) {
      const path = paths.join(folder, `${prefix}${String(first + i).padStart(6, "0")}.png`)
      yield* write(path, each)
      return path
    }),
    { concurrency: 4 }
  )
})

/**
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  /**
   * How many channels are wanted, whatever the file has: 1 is its luminance, 3 lays opacity over white, 4 adds it. Unless told, those
   * that the file has; grey with opacity becomes 4.
   */
  readonly channels?: Picture["channels"]
}

/**
 * The format and the size that a picture's bytes have, animated or not. Fails with `DataError`, which names the source, for bytes that are
 * no picture.
 *
 * @since 0.1.0
 * @category reading
 */
export const inspect = (bytes: Uint8Array, options: { readonly source?: string } = {}) =>
  Effect.map(
    Pixels.open(bytes, options.source ?? "picture", ["png", "jpeg", "webp", "gif"]),
    ({ format, shape: [, height, width] }) => ({ format, width, height })
  )

/**
 * The image of a file's bytes, `[1, channels, height, width]`: PNG, JPEG or WebP (the first frame), upright, in sRGB, 8 bits. Fails with
 * `DataError`, which names the source, for bytes that are none of these, or damaged.
 *
 * @since 0.1.0
 * @category reading
 */
export const decode = Effect.fnUntraced(function* (
  bytes: Uint8Array,
  options: ReadOptions & { readonly source?: string } = {}
) {
  const { source = "picture" } = options
  const opened = yield* Pixels.open(bytes, source)
  const { channels = opened.transparent ? 4 : opened.shape[0] } = options
  const wanted = { channels, crop: false, background: "white" }
  const { shape, pixels } = yield* Pixels.pixelsOf(opened, source, wanted)
  const data = DType.allocate("float32", pixels.length)
  writeBytes(pixels, data, 0)
  const read: Images = { dtype: "float32", shape: [1, ...shape], data }
  return read
})

/**
 * The image of a file. See {@link decode}.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (path: string, options: ReadOptions = {}) =>
  Effect.flatMap(Files.read(path), (bytes) => decode(bytes, { ...options, source: path }))
