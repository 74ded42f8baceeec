/** Pictures as the bytes of items. */
import * as Effect from "effect/Effect"
import type { Sharp } from "sharp"
import type { Options } from "../ImageFolder.ts"
import type { Format } from "../Images.ts"
import { attempt, dataError, demand } from "./data.ts"

/** How many pictures are read and decoded at the same time. */
export const concurrency = 8

/** What pictures are made to be; what is left out is as the picture has it. */
export interface Wanted {
  readonly channels?: 1 | 3 | 4 | undefined
  readonly height?: number | undefined
  readonly width?: number | undefined
  /** Whether what does not fit is cut off, rather than the picture stretched. */
  readonly crop: boolean
  /** What shows through where the picture is transparent. */
  readonly background: string
}

/** `[channels, height, width]` */
export type ImageShape = readonly [channels: 1 | 3 | 4, height: number, width: number]

/** Native code, loaded when it is needed. */
export const codec = Effect.promise(async () => (await import("sharp")).default)

const names: Readonly<Record<Format, string>> = {
  png: "PNG",
  jpeg: "JPEG",
  webp: "WebP",
  gif: "GIF"
}

const still: ReadonlyArray<Format> = ["png", "jpeg", "webp"]

/** A picture's reader, with what its head says: its shape without opacity. */
export const open = Effect.fnUntraced(function* (
  bytes: Uint8Array,
  source: string,
  formats: ReadonlyArray<Format> = still
) {
  const sharp = yield* codec
  const known = formats.map((each) => names[each])
  const refused = (why: string) =>
    dataError(
      source,
      "format",
      `it is no ${known.slice(0, -1).join(", ")} or ${known[known.length - 1]} picture (${why})`
    )
  // warnings are about what every viewer puts up with
  const image = yield* Effect.try({
    try: () => sharp(bytes, { failOn: "error", autoOrient: true }),
    catch: (error) => refused((error as Error).message)
  })
  const meta = yield* Effect.tryPromise({
    try: () => image.metadata(),
    catch: (error) => refused((error as Error).message)
  })
  const format = formats.find((each) => each === meta.format)
  if (format === undefined) return yield* Effect.fail(refused(`it is ${meta.format}`))
  const grey = meta.space === "b-w" || meta.space === "grey16"
  const shape: ImageShape = [grey ? 1 : 3, meta.autoOrient.height, meta.autoOrient.width]
  return { image, format, shape, transparent: meta.hasAlpha }
})

/** What a picture's head says it is, upright. */
export const shapeOf = (bytes: Uint8Array, source: string) =>
  Effect.map(open(bytes, source), ({ shape }) => shape)

const prepared = (
  image: Sharp,
  transparent: boolean,
  channels: ImageShape[0],
  { height, width, crop, background }: Wanted
): Sharp => {
  const sized =
    height === undefined || width === undefined
      ? image
      : image.resize({ height, width, fit: crop ? "cover" : "fill" })
  const whole =
    channels === 4 ? sized.ensureAlpha() : transparent ? sized.flatten({ background }) : sized
  return whole.toColourspace(channels === 1 ? "b-w" : "srgb")
}

/** A picture that has been opened, as it is wanted: bytes `[channels, height, width]`. */
export const pixelsOf = Effect.fnUntraced(function* (
  { image, shape: own, transparent }: Effect.Success<ReturnType<typeof open>>,
  source: string,
  wanted: Wanted
) {
  const channels = wanted.channels ?? own[0]
  const { data, info } = yield* Effect.tryPromise({
    try: () =>
      prepared(image, transparent, channels, wanted)
        .raw({ depth: "uchar" })
        .toBuffer({ resolveWithObject: true }),
    catch: (error) =>
      dataError(source, "format", `it is cut short or damaged (${(error as Error).message})`)
  })
  const shape: ImageShape = [channels, info.height, info.width]
  const plane = info.height * info.width
  const pixels = new Uint8Array(channels * plane)
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < plane; i++) pixels[c * plane + i] = data[i * info.channels + c]
  }
  return { own, shape, pixels }
})

/** A picture, upright and as it is wanted: bytes `[channels, height, width]`, and the shape that it had. */
export const decode = (bytes: Uint8Array, source: string, wanted: Wanted) =>
  Effect.flatMap(open(bytes, source), (opened) => pixelsOf(opened, source, wanted))

/** Whether a colour is one that can be painted with. */
const isColour = (colour: string) =>
  Effect.map(codec, (sharp) => {
    try {
      sharp().flatten({ background: colour })
      return true
    } catch {
      return false
    }
  })

const longest = 2 ** 14

/** What pictures are to be, if that makes sense. */
export const wantedOf = Effect.fnUntraced(function* (
  source: string,
  {
    channels,
    size,
    fit = "crop",
    background = "white"
  }: Omit<Options, "classes" | "limit" | "cache">
) {
  const [height, width] = typeof size === "object" ? size : [size, size]
  const sides = size === undefined ? [] : [height, width]
  const painted = yield* isColour(background)
  return yield* attempt((): Wanted => {
    const refuseUnless = (holds: boolean, why: () => string) =>
      demand(holds, source, "options", why)
    refuseUnless(
      sides.every((side = 0) => Number.isInteger(side) && side > 0 && side <= longest),
      () => `the size must be whole numbers from 1 to ${longest}, not ${size}`
    )
    refuseUnless(
      channels === undefined || channels === 1 || channels === 3,
      () => `there are 1 or 3 channels, not ${channels}`
    )
    refuseUnless(painted, () => `there is no colour "${background}"`)
    return { channels, height, width, crop: fit === "crop", background }
  })
})

const show = ([channels, height, width]: ImageShape): string =>
  `${height}×${width} ${channels === 1 ? "grey" : "colour"}`

/** What there is to say against a picture that is not as the first, where it is not told what all are made to be. */
export const oddity = (
  source: string,
  own: ImageShape,
  first: ImageShape,
  { channels, height }: Wanted
) => {
  const resized = height === undefined && (own[1] !== first[1] || own[2] !== first[2])
  // grey ones are colour ones too
  if (!resized && (channels !== undefined || own[0] <= first[0])) return undefined
  const remedy = resized
    ? "the size that all are brought to (size)"
    : "the channels that all are to have (channels)"
  return dataError(
    source,
    "shape",
    `the picture is ${show(own)}, but the first is ${show(first)}: tell ${remedy}`
  )
}
