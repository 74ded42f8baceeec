/** Pictures as the bytes of items. */
import * as Effect from "effect/Effect"
import type { Sharp } from "sharp"
import { dataError } from "./data.ts"

/** What pictures are made to be; what is left out is as the picture has it. */
export interface Wanted {
  readonly channels?: 1 | 3 | undefined
  readonly height?: number | undefined
  readonly width?: number | undefined
  /** Whether what does not fit is cut off, rather than the picture stretched. */
  readonly crop: boolean
  /** What shows through where the picture is transparent. */
  readonly background: string
}

/** `[channels, height, width]` */
export type ImageShape = readonly [channels: 1 | 3, height: number, width: number]

/** Native code, loaded when it is needed. */
const codec = Effect.promise(async () => (await import("sharp")).default)

const formats = ["png", "jpeg", "webp"]

/** A picture's reader, with what its head says. */
const open = Effect.fnUntraced(function* (bytes: Uint8Array, source: string) {
  const sharp = yield* codec
  const refused = (why: string) =>
    dataError(source, "format", `it is no PNG, JPEG or WebP picture (${why})`)
  // warnings are about what every viewer puts up with
  const image = yield* Effect.try({
    try: () => sharp(bytes, { failOn: "error", autoOrient: true }),
    catch: (error) => refused((error as Error).message)
  })
  const meta = yield* Effect.tryPromise({
    try: () => image.metadata(),
    catch: (error) => refused((error as Error).message)
  })
  if (!formats.includes(meta.format)) return yield* Effect.fail(refused(`it is ${meta.format}`))
  const grey = meta.space === "b-w" || meta.space === "grey16"
  const shape: ImageShape = [grey ? 1 : 3, meta.autoOrient.height, meta.autoOrient.width]
  return { image, shape, transparent: meta.hasAlpha }
})

/** What a picture's head says it is, upright. */
export const shapeOf = (bytes: Uint8Array, source: string) =>
  Effect.map(open(bytes, source), ({ shape }) => shape)

const prepared = (image: Sharp, transparent: boolean, grey: boolean, wanted: Wanted): Sharp => {
  const { height, width, crop, background } = wanted
  const sized =
    height === undefined || width === undefined
      ? image
      : image.resize({ height, width, fit: crop ? "cover" : "fill" })
  const opaque = transparent ? sized.flatten({ background }) : sized
  return opaque.toColourspace(grey ? "b-w" : "srgb")
}

/** A picture, upright and as it is wanted: bytes `[channels, height, width]`, and the shape that it had. */
export const decode = Effect.fnUntraced(function* (
  bytes: Uint8Array,
  source: string,
  wanted: Wanted
) {
  const { image, shape: own, transparent } = yield* open(bytes, source)
  const channels = wanted.channels ?? own[0]
  const { data, info } = yield* Effect.tryPromise({
    try: () =>
      prepared(image, transparent, channels === 1, wanted)
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

/** Whether a colour is one that can be painted with. */
export const isColour = (colour: string) =>
  Effect.map(codec, (sharp) => {
    try {
      sharp().flatten({ background: colour })
      return true
    } catch {
      return false
    }
  })
