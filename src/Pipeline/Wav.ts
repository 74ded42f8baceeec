/**
 * Sound in WAV files, and data sets of pieces of it.
 *
 * A WAV file is a RIFF container (Microsoft & IBM 1991): `RIFF`, a length, `WAVE`, and then chunks of four letters, a length and as many
 * bytes, padded to an even number. `fmt ` says how sound was sampled, `data` are the samples: a frame after the other, of a number for each
 * channel. Integers of n bits are in units of 2¹⁻ⁿ, so that full scale is −1 to 1; those of 8 bits are offset by 128.
 *
 * Read and written are whole numbers of 8, 16, 24 and 32 bits and floats; read are floats of 64 bits too, and what says the same in the
 * extensible way.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { Shape, type Tensor } from "../Tensor/index.ts"
import type { Dataset } from "./Dataset.ts"
import * as Files from "./Files.ts"
import { attempt, dataError, demand, limitOf } from "./internal/data.ts"
import * as stored from "./internal/stored.ts"
import type { DataError, FileError } from "./PipelineError.ts"

/**
 * Sound: frames a second, and `[channels, length]` of samples between −1 and 1. Floats may have been written that go beyond.
 *
 * @since 0.1.0
 * @category models
 */
export interface Audio {
  readonly rate: number
  readonly data: Tensor.HostArray<ReadonlyArray<number>, "float32">
}

/**
 * How samples are written.
 *
 * @since 0.1.0
 * @category models
 */
export type Format = "pcm8" | "pcm16" | "pcm24" | "pcm32" | "float32"

type AnyFormat = Format | "float64"

const bytesOf: Readonly<Record<AnyFormat, number>> = {
  pcm8: 1,
  pcm16: 2,
  pcm24: 3,
  pcm32: 4,
  float32: 4,
  float64: 8
}

/** The number that an encoded sample stands for. */
const readers: Readonly<Record<AnyFormat, (view: DataView, at: number) => number>> = {
  pcm8: (view, at) => (view.getUint8(at) - 128) / 2 ** 7,
  pcm16: (view, at) => view.getInt16(at, true) / 2 ** 15,
  pcm24: (view, at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 2 ** 16) / 2 ** 23,
  pcm32: (view, at) => view.getInt32(at, true) / 2 ** 31,
  float32: (view, at) => view.getFloat32(at, true),
  float64: (view, at) => view.getFloat64(at, true)
}

/** The nearest whole number of so many bits. */
const whole = (x: number, bits: number): number => {
  const unit = 2 ** (bits - 1)
  return Math.min(unit - 1, Math.max(-unit, Math.round(x * unit)))
}

const writers: Readonly<Record<Format, (view: DataView, at: number, x: number) => void>> = {
  pcm8: (view, at, x) => view.setUint8(at, whole(x, 8) + 128),
  pcm16: (view, at, x) => view.setInt16(at, whole(x, 16), true),
  pcm24: (view, at, x) => {
    const value = whole(x, 24)
    view.setUint16(at, value & 0xffff, true)
    view.setInt8(at + 2, value >> 16)
  },
  pcm32: (view, at, x) => view.setInt32(at, whole(x, 32), true),
  float32: (view, at, x) => view.setFloat32(at, x, true)
}

/** What is in a file, and where. */
interface Header {
  readonly format: AnyFormat
  readonly rate: number
  readonly channels: number
  /** Where the samples begin. */
  readonly start: number
  /** How many frames. */
  readonly length: number
}

/** What codes of samples that are not read stand for. */
const codecs: Readonly<Record<number, string>> = {
  2: "ADPCM",
  6: "A-law",
  7: "μ-law",
  17: "IMA ADPCM",
  49: "GSM 6.10",
  80: "MPEG",
  85: "MP3"
}

const remedy = "convert it, such as by ffmpeg -i in.wav -c:a pcm_s16le out.wav"

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  new DataView(buffer, byteOffset, byteLength)

const headerOf = (bytes: Uint8Array, source: string): Header => {
  const refuseUnless = (holds: boolean, why: () => string) => demand(holds, source, "format", why)
  const view = viewOf(bytes)
  const letters = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4))
  refuseUnless(
    letters(0) !== "RF64" && letters(0) !== "RIFX",
    () => `it is a WAV file of the kind ${letters(0)}, which is not read: ${remedy}`
  )
  refuseUnless(
    letters(0) === "RIFF" && letters(8) === "WAVE",
    () => "it is no WAV file: it does not begin as one"
  )
  let known: Omit<Header, "start" | "length"> | undefined
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = letters(at)
    const length = view.getUint32(at + 4, true)
    const start = at + 8
    const rest = bytes.length - start
    if (name === "fmt ") {
      refuseUnless(length >= 16 && length <= rest, () => "it is cut short, or its `fmt ` chunk is")
      known = formatOf(new DataView(view.buffer, view.byteOffset + start, length), source)
    } else if (name === "data") {
      if (known === undefined) break
      // who writes to a pipe does not know the length: all that is there then
      const there = length === 0xffffffff ? rest : length
      refuseUnless(
        there <= rest,
        () => `it is cut short: there are ${rest} of ${there} bytes of samples`
      )
      const frame = known.channels * bytesOf[known.format]
      refuseUnless(
        length === 0xffffffff || there % frame === 0,
        () => `its ${there} bytes of samples are no whole number of frames of ${frame}`
      )
      return { ...known, start, length: Math.floor(there / frame) }
    }
    at = start + length + (length % 2)
  }
  throw dataError(
    source,
    "format",
    known === undefined
      ? "it does not say how sound was sampled, as it has no `fmt ` chunk before the samples"
      : "it has no samples: it is cut short, or empty"
  )
}

const formatOf = (view: DataView, source: string): Omit<Header, "start" | "length"> => {
  const refuseUnless = (holds: boolean, why: () => string) => demand(holds, source, "format", why)
  const said = view.getUint16(0, true)
  // the extensible way says the code where it has room
  const code = said === 0xfffe && view.byteLength >= 26 ? view.getUint16(24, true) : said
  const channels = view.getUint16(2, true)
  const rate = view.getUint32(4, true)
  const block = view.getUint16(12, true)
  const bits = view.getUint16(14, true)
  refuseUnless(
    code === 1 || code === 3,
    () =>
      `its samples are encoded as ${codecs[code] ?? `format ${code}`}, which is not read: ${remedy}`
  )
  const format = `${code === 1 ? "pcm" : "float"}${bits}`
  refuseUnless(
    Object.hasOwn(bytesOf, format),
    () =>
      `it has ${code === 1 ? "whole numbers" : "floats"} of ${bits} bits, which are not read: ${remedy}`
  )
  refuseUnless(
    channels > 0 && rate > 0 && block === (channels * bits) / 8,
    () => `${channels} channels at ${rate} frames a second, of ${block} bytes each, make no sound`
  )
  return { format: format as AnyFormat, channels, rate }
}

/** Writes frames, channel by channel, each `stride` after the one before. */
const frames = (
  { format, channels }: Header,
  bytes: Uint8Array,
  to: Float32Array,
  begin: number,
  stride: number
) => {
  const view = viewOf(bytes)
  const size = bytesOf[format]
  const read = readers[format]
  const count = bytes.length / (size * channels)
  for (let t = 0, at = 0; t < count; t++) {
    for (let c = 0; c < channels; c++, at += size) to[begin + c * stride + t] = read(view, at)
  }
}

const parse = (bytes: Uint8Array, source: string): Audio & { readonly header: Header } => {
  const header = headerOf(bytes, source)
  const { format, rate, channels, start, length } = header
  const data = new Float32Array(channels * length)
  const end = start + channels * length * bytesOf[format]
  frames(header, bytes.subarray(start, end), data, 0, length)
  const odd = format.startsWith("float") ? data.findIndex((x) => !Number.isFinite(x)) : -1
  demand(
    odd < 0,
    source,
    "value",
    () => `frame ${odd % length} has the value ${data[odd]}; leave the file out, or mend it`
  )
  return { rate, data: { dtype: "float32", shape: [channels, length], data }, header }
}

/**
 * The sound in a WAV file's bytes. Fails with `DataError`: `format` for what is no such file, cut short, or compressed, with what to
 * do; `value` for floats that are not finite. `source` is what its message begins with.
 *
 * ```ts
 * const { rate, data } = yield* Wav.decode(bytes)
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const decode = (bytes: Uint8Array, source = ".wav"): Effect.Effect<Audio, DataError> =>
  attempt(() => {
    const { rate, data } = parse(bytes, source)
    return { rate, data }
  })

/**
 * Sound as a WAV file, of 16 bits a sample unless told. What is beyond full scale is clipped, but for floats. Throws `DataError` for what
 * is no `[channels, length]`, for values that are not finite, and for more than fits into such a file, 4 GiB.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encode = (
  { rate, data: { shape, data } }: Audio,
  options: { readonly format?: Format | undefined } = {}
): Uint8Array<ArrayBuffer> => {
  const { format = "pcm16" } = options
  const source = "Wav.encode"
  const [channels, length] = shape
  const size = bytesOf[format]
  const bytes = data.length * size
  demand(
    shape.length === 2 && channels > 0 && channels < 2 ** 16 && data.length === channels * length,
    source,
    "shape",
    () => `sound is [channels, length], not ${Shape.show(shape)} in ${data.length} samples`
  )
  demand(
    Number.isInteger(rate) && rate > 0 && rate < 2 ** 32,
    source,
    "options",
    () => `the rate must be a whole number of frames a second, not ${rate}`
  )
  demand(
    bytes < 2 ** 32 - 64,
    source,
    "options",
    () => `${bytes} bytes are more than a WAV file has`
  )
  const odd = data.findIndex((x) => !Number.isFinite(x))
  demand(odd < 0, source, "value", () => `frame ${odd % length} has the value ${data[odd]}`)
  const pcm = format !== "float32"
  // what is not PCM must say its number of frames
  const start = pcm ? 44 : 56
  const file = new Uint8Array(start + bytes + (bytes % 2))
  const view = viewOf(file)
  const chunk = (at: number, name: string, length: number) => {
    for (let i = 0; i < 4; i++) file[at + i] = name.charCodeAt(i)
    view.setUint32(at + 4, length, true)
  }
  chunk(0, "RIFF", file.length - 8)
  chunk(8, "WAVE", 0)
  chunk(12, "fmt ", 16)
  view.setUint16(20, pcm ? 1 : 3, true)
  view.setUint16(22, channels, true)
  view.setUint32(24, rate, true)
  view.setUint32(28, rate * channels * size, true)
  view.setUint16(32, channels * size, true)
  view.setUint16(34, 8 * size, true)
  if (!pcm) {
    chunk(36, "fact", 4)
    view.setUint32(44, length, true)
  }
  chunk(start - 8, "data", bytes)
  const write = writers[format]
  for (let t = 0, at = start; t < length; t++) {
    for (let c = 0; c < channels; c++, at += size) write(view, at, data[c * length + t])
  }
  return file
}

/**
 * - `length`: of a piece, in frames
 * - `hop`: from one piece's beginning to the next, in frames; the length unless told, so that pieces do not overlap
 * - `rate`: what all files must have, in frames a second; that of the first unless told
 * - `short`: what becomes of files that are shorter than a piece: `refuse` them all, as unless told, `skip` them, or `pad` them with
 *   silence
 * - `limit`: how many pieces at most, the first; all unless told. Files after them are not read
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly length: number
  readonly hop?: number | undefined
  readonly rate?: number | undefined
  readonly short?: "refuse" | "skip" | "pad" | undefined
  readonly limit?: number | undefined
}

/** The files of a folder, or of its folders, with the class of each. */
const filesOf = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const shown = (name: string) => !name.startsWith(".")
  const isWav = (name: string) => shown(name) && /\.wave?$/i.test(name)
  const names = (yield* Files.list(folder)).filter(shown)
  const here = names.filter(isWav)
  const classes: Array<string> = []
  const found: Array<{ readonly path: string; readonly label: number }> = []
  for (const name of names.filter((name) => !isWav(name))) {
    const path = paths.join(folder, name)
    const { type } = yield* Effect.mapError(files.stat(path), (error) =>
      Files.errorOf("cannot read", path, error)
    )
    if (type !== "Directory") continue
    const inside = (yield* Files.list(path)).filter(isWav)
    if (inside.length === 0) continue
    found.push(...inside.map((each) => ({ path: paths.join(path, each), label: classes.length })))
    classes.push(name)
  }
  if (here.length > 0 && found.length > 0) {
    return yield* dataError(
      folder,
      "format",
      `${here[0]} lies beside folders of WAV files, and has no class: put all files into folders, or none`
    )
  }
  if (here.length + found.length === 0) {
    return yield* dataError(folder, "empty", "there are no WAV files in it, or in its folders")
  }
  return here.length > 0
    ? {
        found: here.map((each) => ({ path: paths.join(folder, each), label: 0 })),
        classes: undefined
      }
    : { found, classes }
})

/** The place of the first of some growing numbers that is greater than x. */
const firstAfter = (numbers: ReadonlyArray<number>, x: number): number => {
  let [low, high] = [0, numbers.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (numbers[middle] > x) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * The data set of pieces of sound, `[channels, length]`, of the WAV files in a folder; in folders in it, each is a class. Pieces of a file
 * begin `hop` after each other; what is left at its end is not in one. All files are read once at the beginning, and pieces again
 * when they are asked for.
 *
 * Fails with `FileError`, and with `DataError`: `format` and `value` as {@link decode}, with the file's name; `shape` for files of other
 * rates or channels than the first, or shorter than a piece; `empty` where there are no files or no pieces; `options` for lengths that make
 * no sense.
 *
 * ```ts
 * const words = yield* Wav.dataset("speech", { length: 16384, short: "pad" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dataset: (
  folder: string,
  options: Options
) => Effect.Effect<Dataset, DataError | FileError, FileSystem.FileSystem | Path.Path> =
  Effect.fnUntraced(function* (folder: string, options: Options) {
    const { length, hop = length, short = "refuse" } = options
    for (const [name, value] of Object.entries({ length, hop })) {
      if (Number.isSafeInteger(value) && value > 0) continue
      return yield* dataError(
        folder,
        "options",
        `\`${name}\` must be a whole number of frames of at least 1, not ${value}`
      )
    }
    const limit = yield* attempt(() => limitOf(folder, options.limit))
    const files = yield* FileSystem.FileSystem
    const { found, classes } = yield* filesOf(folder)
    const sum = Crypto.createHash("sha256").update(JSON.stringify([length, hop, short, classes]))
    const headers: Array<Header> = []
    /** How many pieces there are up to each file's end. */
    const ends: Array<number> = []
    for (const [file, { path, label }] of found.entries()) {
      if ((ends.at(-1) ?? 0) >= limit) break
      const bytes = yield* Files.read(path)
      const { header } = yield* attempt(() => parse(bytes, path))
      const [first = header] = headers
      const rate = options.rate ?? first.rate
      if (header.rate !== rate || header.channels !== first.channels) {
        return yield* dataError(
          path,
          "shape",
          `it has ${header.channels} channels at ${header.rate} frames a second, ${
            file === 0 ? "but" : `${found[0].path} has ${first.channels} at ${first.rate}, and`
          } ${first.channels} at ${rate} are wanted: resample it, or leave it out`
        )
      }
      if (header.length < length && short === "refuse") {
        return yield* dataError(
          path,
          "shape",
          `it has ${header.length} frames, fewer than a piece's ${length}: ask for shorter pieces, or tell whether to skip or pad such files, by \`short\``
        )
      }
      sum.update(`${label} ${bytes.length} `).update(bytes)
      headers.push(header)
      const whole = Math.max(0, Math.floor((header.length - length) / hop) + 1)
      const padded = whole === 0 && short === "pad" && header.length > 0
      ends.push((ends.at(-1) ?? 0) + (padded ? 1 : whole))
    }
    const size = Math.min(ends.at(-1) as number, limit)
    if (size === limit) sum.update(` ${size}`)
    if (size === 0) {
      return yield* dataError(
        folder,
        "empty",
        `none of its ${found.length} files is as long as a piece of ${length} frames`
      )
    }
    const labels = classes && new Int32Array(size)
    ends.forEach((end, file) => {
      labels?.fill(found[file].label, ends[file - 1] ?? 0, end)
    })
    const [{ channels }] = headers
    return yield* attempt(() =>
      stored.dataset({
        name: folder,
        size,
        shape: [channels, length],
        fingerprint: sum.digest("hex"),
        labels,
        classes,
        write: (indices, to) =>
          Effect.forEach(
            indices,
            (index, i) => {
              const file = firstAfter(ends, index)
              const from = (index - (ends[file - 1] ?? 0)) * hop
              const header = headers[file]
              const frame = channels * bytesOf[header.format]
              const range = {
                start: header.start + from * frame,
                length: Math.min(length, header.length - from) * frame
              }
              return stored.open(files, found[file].path).pipe(
                Effect.flatMap(({ read }) => read(range)),
                Effect.map((bytes) => frames(header, bytes, to, i * channels * length, length)),
                Effect.scoped
              )
            },
            { discard: true }
          )
      })
    )
  })
