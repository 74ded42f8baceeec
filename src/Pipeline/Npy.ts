/**
 * NumPy's files: an array in `.npy`, several by their names in `.npz`, and data sets of images in either.
 *
 * An `.npy` is the magic `\x93NUMPY`, a version (1 to 3), the header's length, the header, which is a Python dictionary of `descr`,
 * `fortran_order` and `shape`, and then the elements (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). An `.npz`
 * is a zip archive of such files.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import { crc32 } from "node:zlib"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { unzipSync, type Zippable, zipSync } from "fflate"
import { DType, Shape, Suggestion, type Tensor } from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import * as Files from "./Files.ts"
import { attempt, dataError, demand, hash, limitOf } from "./internal/data.ts"
import * as stored from "./internal/stored.ts"
import type { DataError, FileError } from "./PipelineError.ts"

/**
 * The typed array of each dtype, by NumPy's name for it: `b1` as bytes 0 and 1, `f2` as its raw bits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Arrays {
  readonly b1: Uint8Array
  readonly u1: Uint8Array
  readonly i1: Int8Array
  readonly u2: Uint16Array
  readonly i2: Int16Array
  readonly u4: Uint32Array
  readonly i4: Int32Array
  readonly i8: BigInt64Array
  readonly f2: Uint16Array
  readonly f4: Float32Array
  readonly f8: Float64Array
}

/**
 * @since 0.1.0
 * @category models
 */
export type Dtype = keyof Arrays

/**
 * An array as NumPy has it: row-major.
 *
 * @since 0.1.0
 * @category models
 */
export interface NumpyArray<D extends Dtype = Dtype> {
  readonly dtype: D
  readonly shape: ReadonlyArray<number>
  readonly data: Arrays[D]
}

const constructors: {
  readonly [D in Dtype]: {
    new (length: number): Arrays[D]
    new (buffer: ArrayBuffer): Arrays[D]
    readonly BYTES_PER_ELEMENT: number
  }
} = {
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

const bytesOf = (dtype: Dtype): number => constructors[dtype].BYTES_PER_ELEMENT

const isDtype = (name: string): name is Dtype => Object.hasOwn(constructors, name)

/** What there is to say of the dtypes that are not read. */
const foreign: Readonly<Record<string, string>> = {
  O: "it holds Python objects, which are not read, as they are programs: save numbers",
  U: "it holds text: save numbers",
  S: "it holds text: save numbers",
  c: "it holds complex numbers: save real and imaginary parts beside each other",
  V: "it holds records: save an array of each field",
  M: "it holds dates: save numbers",
  m: "it holds durations: save numbers",
  u8: 'it holds u8 elements: save it as i8, by .astype("int64")'
}

interface Header {
  readonly dtype: Dtype
  readonly bigEndian: boolean
  readonly fortran: boolean
  readonly shape: ReadonlyArray<number>
  /** Where the elements begin. */
  readonly start: number
}

/** More than any header of numbers; NumPy itself reads no longer ones unless told. */
const longestHeader = 10_000

const headerOf = (bytes: Uint8Array, source: string): Header => {
  const refuseUnless = (holds: boolean, why: () => string) => demand(holds, source, "format", why)
  refuseUnless(
    bytes.length >= 12 && String.fromCharCode(...bytes.subarray(0, 6)) === "\x93NUMPY",
    () => "it is no .npy file: it does not begin as one; write it by numpy.save"
  )
  const major = bytes[6]
  refuseUnless(
    major >= 1 && major <= 3,
    () => `it is an .npy file of version ${major}; known are 1 to 3`
  )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [begin, length] =
    major === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)]
  const start = begin + length
  refuseUnless(
    length <= longestHeader,
    () => `its header of ${length} bytes is no array's of numbers`
  )
  refuseUnless(start <= bytes.length, () => "it is cut short in its header")
  const text = new TextDecoder().decode(bytes.subarray(begin, start))
  const field = (name: string, value: string) =>
    new RegExp(`["']${name}["']\\s*:\\s*${value}`).exec(text)?.[1]
  const descr = field("descr", "[\"']([^\"']*)[\"']")
  const order = field("fortran_order", "(True|False)")
  const sizes = field("shape", "\\(([\\d\\s,L]*)\\)")
  refuseUnless(descr !== undefined || field("descr", "(\\[)") === undefined, () => foreign.V)
  refuseUnless(
    descr !== undefined && order !== undefined && sizes !== undefined,
    () => "its header does not tell dtype, order and shape: it is damaged"
  )
  const [, endian, name] = /^([<>|=]?)(.*)$/s.exec(descr as string) as ReadonlyArray<string>
  refuseUnless(
    isDtype(name),
    () =>
      foreign[name] ??
      foreign[name[0]] ??
      `it holds ${JSON.stringify(name)}; known dtypes are ${Object.keys(constructors).join(", ")}`
  )
  const shape = (sizes as string).split(",").flatMap((size) => {
    const digits = size.trim().replace(/L$/, "")
    return digits === "" ? [] : [Number(digits)]
  })
  refuseUnless(
    Number.isSafeInteger(Shape.size(shape) * 8),
    () => `its shape (${sizes}) is of more elements than can be`
  )
  return {
    dtype: name as Dtype,
    bigEndian: endian === ">",
    fortran: order === "True",
    shape,
    start
  }
}

/** Elements of a file's bytes, which are overwritten. */
const elements = <D extends Dtype>(
  { dtype, bigEndian }: { readonly dtype: D; readonly bigEndian: boolean },
  bytes: Uint8Array<ArrayBuffer>
): Arrays[D] => {
  const each = bytesOf(dtype)
  if (bigEndian && each > 1) {
    for (let i = 0; i < bytes.length; i += each) bytes.subarray(i, i + each).reverse()
  }
  return new constructors[dtype](bytes.buffer)
}

/** Row-major what is column-major. */
const rowMajor = <D extends Dtype>(
  dtype: D,
  shape: ReadonlyArray<number>,
  from: Arrays[D]
): Arrays[D] => {
  const to = new constructors[dtype](from.length) as Arrays[D]
  const strides: Array<number> = []
  shape.reduce((stride, size) => {
    strides.push(stride)
    return stride * size
  }, 1)
  const place = shape.map(() => 0)
  let at = 0
  for (let i = 0; i < to.length; i++) {
    to[i] = from[at]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]
      if (++place[axis] < shape[axis]) break
      at -= shape[axis] * strides[axis]
      place[axis] = 0
    }
  }
  return to
}

const parse = (bytes: Uint8Array, source: string): NumpyArray => {
  const header = headerOf(bytes, source)
  const { dtype, shape, start, fortran } = header
  const wanted = Shape.size(shape) * bytesOf(dtype)
  const there = bytes.length - start
  demand(there === wanted, source, "format", () => lengths(header, wanted, there))
  // a copy, which `slice` of Node's buffers is not
  const data = elements(header, new Uint8Array(bytes.subarray(start)))
  return { dtype, shape, data: fortran ? rowMajor(dtype, shape, data) : data }
}

const lengths = ({ dtype, shape }: Header, wanted: number, there: number): string =>
  `${Shape.show(shape)} of ${dtype} are ${wanted} bytes, but ${there} follow its header: it is ${
    there < wanted ? "cut short" : "no single array, or damaged"
  }`

/**
 * The array in an `.npy` file's bytes: of any version, byte order and memory order. Fails with `DataError` of reason `format` for what is
 * no such file, is cut short or longer than it says, or holds what is no number; `source` is what its message begins with.
 *
 * ```ts
 * const { dtype, shape, data } = yield* Npy.decode(bytes)
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const decode = (bytes: Uint8Array, source = ".npy"): Effect.Effect<NumpyArray, DataError> =>
  attempt(() => parse(bytes, source))

/**
 * An array as an `.npy` file: version 1.0, little-endian, row-major, byte for byte as `numpy.save` writes it. Throws `DataError` where data
 * do not fit their shape or dtype.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encode = ({ dtype, shape, data }: NumpyArray): Uint8Array<ArrayBuffer> => {
  const source = "Npy.encode"
  demand(
    data instanceof (constructors[dtype] ?? Array) && data.length === Shape.size(shape),
    source,
    "shape",
    () =>
      `${data.length} elements of ${data.constructor.name} are no ${Shape.show(shape)} of ${dtype}`
  )
  const order = bytesOf(dtype) === 1 ? "|" : "<"
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ")
  const dictionary = `{'descr': '${order}${dtype}', 'fortran_order': False, 'shape': (${sizes}), }`
  // elements begin at a multiple of 64, after a line's end
  const start = 64 * Math.ceil((10 + dictionary.length + 1) / 64)
  const bytes = new Uint8Array(start + data.byteLength)
  const header = `\x93NUMPY\x01\x00--${dictionary.padEnd(start - 11)}\n`
  for (let i = 0; i < start; i++) bytes[i] = header.charCodeAt(i)
  new DataView(bytes.buffer).setUint16(8, start - 10, true)
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start)
  return bytes
}

const hostDtypes: Readonly<Record<Dtype, DType.DType>> = {
  b1: "bool",
  u1: "int32",
  i1: "int32",
  u2: "int32",
  i2: "int32",
  i4: "int32",
  u4: "uint32",
  i8: "int64",
  f2: "float16",
  f4: "float32",
  f8: "float64"
}

/**
 * What a device takes: integers of fewer than 32 bits become `int32`. Data are shared where they need not be converted.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toHostArray = ({ dtype, shape, data }: NumpyArray): Tensor.HostArray => {
  const to = hostDtypes[dtype]
  return {
    dtype: to,
    shape,
    data: DType.holds(to, data) ? data : Int32Array.from(data as ArrayLike<number>)
  } as Tensor.HostArray
}

/**
 * A host array for NumPy; data are shared.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromHostArray = ({ dtype, shape, data }: Tensor.HostArray): NumpyArray => {
  const names = {
    bool: "b1",
    int32: "i4",
    uint32: "u4",
    int64: "i8",
    float16: "f2",
    float32: "f4",
    float64: "f8"
  } as const satisfies Record<DType.DType, Dtype>
  return { dtype: names[dtype], shape, data }
}

/** The checksums in a zip archive's directory, in its order. */
const checksums = (bytes: Uint8Array): ReadonlyArray<number> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let end = bytes.length - 22
  while (view.getUint32(end, true) !== 0x06054b50) end--
  let count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  if (at === 0xffffffff || count === 0xffff) {
    // beyond 4 GiB or 65,535 files, a wider record before the last says it
    const wide = Number(view.getBigUint64(end - 12, true))
    count = Number(view.getBigUint64(wide + 32, true))
    at = Number(view.getBigUint64(wide + 48, true))
  }
  return Array.from({ length: count }, () => {
    const crc = view.getUint32(at + 16, true)
    at += 46 + [28, 30, 32].reduce((sum, field) => sum + view.getUint16(at + field, true), 0)
    return crc
  })
}

/** The files of a zip archive, checked. */
const unzip = (bytes: Uint8Array, source: string): ReadonlyMap<string, Uint8Array> => {
  const names: Array<string> = []
  let files: Readonly<Record<string, Uint8Array>>
  let sums: ReadonlyArray<number>
  try {
    files = unzipSync(bytes, {
      filter: ({ name }) => {
        names.push(name)
        return true
      }
    })
    sums = checksums(bytes)
  } catch (cause) {
    throw dataError(
      source,
      "format",
      `it is no zip archive, cut short or damaged (${(cause as Error).message}); write it by numpy.savez`
    )
  }
  names.forEach((name, i) => {
    demand(
      crc32(files[name]) === sums[i],
      source,
      "format",
      () => `"${name}" in it is damaged: its checksum is not what the archive says`
    )
  })
  return new Map(names.map((name) => [name, files[name]]))
}

const suffix = ".npy"

/** The arrays of an archive, as the files that they are. */
const members = (bytes: Uint8Array, source: string): ReadonlyMap<string, Uint8Array> =>
  new Map(
    [...unzip(bytes, source)].flatMap(([name, file]) =>
      name.endsWith(suffix) ? [[name.slice(0, -suffix.length), file] as const] : []
    )
  )

/**
 * The arrays in an `.npz` file's bytes by their names, compressed or not. Fails with `DataError` of reason `format` for what is no such
 * file, or damaged, and for arrays that {@link decode} does not take.
 *
 * @since 0.1.0
 * @category conversions
 */
export const decodeArchive = (
  bytes: Uint8Array,
  source = ".npz"
): Effect.Effect<Readonly<Record<string, NumpyArray>>, DataError> =>
  attempt(() =>
    Object.fromEntries(
      Array.from(members(bytes, source), ([name, file]) => [
        name,
        parse(file, `${source}: ${name}`)
      ])
    )
  )

/**
 * Arrays by their names as an `.npz` file, compressed if told so: as `numpy.savez` and `numpy.savez_compressed` write it. The same arrays
 * make the same bytes.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encodeArchive = (
  arrays: Readonly<Record<string, NumpyArray>>,
  options: { readonly compress?: boolean | undefined } = {}
): Uint8Array => {
  const files: Zippable = Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [`${name}${suffix}`, encode(array)])
  )
  return zipSync(files, { level: options.compress ? 6 : 0, mtime: new Date(1980, 0, 1) })
}

/**
 * What numbers stand for black and for white.
 *
 * @since 0.1.0
 * @category models
 */
export type Range = "0..1" | "-1..1" | "0..255"

/**
 * - `channels`: where the channels stand in an array of four axes; by their number unless told (see {@link dataset})
 * - `range`: what numbers stand for black and white; bytes are 0..255 and truth values 0..1 unless told, all others must be told
 * - `images`, `labels`: names in an `.npz`; beside an `.npy`, `labels` is the path of another with the labels
 * - `classes`: the classes' names; their numbers unless told
 * - `limit`: how many items at most, the first; all unless told. Classes are those of all
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly channels?: "first" | "last" | undefined
  readonly range?: Range | undefined
  readonly images?: string | undefined
  readonly labels?: string | undefined
  readonly classes?: ReadonlyArray<string> | undefined
  readonly limit?: number | undefined
}

const names = {
  images: ["x", "images", "data", "arr_0"],
  labels: ["y", "labels", "label", "arr_1"]
} as const

/** The most channels that an axis is taken for. */
const mostChannels = 4

/** Which axis of items has the channels: 0 the first, 2 the last, or none. */
const channelAxis = (
  source: string,
  shape: ReadonlyArray<number>,
  told: Options["channels"]
): 0 | 2 | undefined => {
  demand(
    shape.length === 3 || shape.length === 4,
    source,
    "shape",
    () =>
      `an array of images has the axes [items, height, width] or these and channels, not ${Shape.show(shape)}`
  )
  demand(
    shape.slice(1).every((size) => size > 0),
    source,
    "shape",
    () => `images of ${Shape.show(shape)} have no pixels`
  )
  if (shape.length === 3) return undefined
  if (told !== undefined) return told === "first" ? 0 : 2
  const [first, last] = [shape[1], shape[3]].map((size) => size <= mostChannels)
  demand(
    first !== last,
    source,
    "options",
    () =>
      `${Shape.show(shape)} does not tell which axis has the channels: say whether they come first or last, by \`channels\``
  )
  return first ? 0 : 2
}

const scales: Readonly<
  Record<Range, { readonly low: number; readonly high: number; readonly of: (x: number) => number }>
> = {
  "0..1": { low: 0, high: 1, of: (x) => 2 * x - 1 },
  "-1..1": { low: -1, high: 1, of: (x) => x },
  "0..255": { low: 0, high: 255, of: (x) => x / 127.5 - 1 }
}

/** How far beyond its range a value may be, in parts of it: what rounding does. */
const slack = 1e-3

/** Images that are somewhere: of so many elements each, as they are there. */
interface Images {
  readonly dtype: Dtype
  readonly shape: ReadonlyArray<number>
  /** Passes the first items, one after the other, and gives their hash. */
  readonly first: (
    count: number,
    use: (item: Arrays[Dtype], index: number) => void
  ) => Effect.Effect<string, DataError | FileError>
  /** Passes the items of some numbers, with their places among these. */
  readonly some: (
    indices: ReadonlyArray<number>,
    use: (item: Arrays[Dtype], place: number) => void
  ) => Effect.Effect<void, DataError | FileError>
}

const numberOf = (dtype: Dtype): ((x: number | bigint) => number) =>
  dtype === "f2" ? (x) => DType.fromFloat16Bits(x as number) : Number

/** The data set of images, all of whose values are looked at once. */
const datasetOf = Effect.fnUntraced(function* (
  name: string,
  { dtype, shape, first, some }: Images,
  labels: ReadonlyArray<number> | undefined,
  { channels, range, classes, limit }: Options
) {
  const most = yield* attempt(() => Math.min(shape[0], limitOf(name, limit)))
  const axis = yield* attempt(() => channelAxis(name, shape, channels))
  const [size, ...sizes] = shape
  const [height, width] = axis === 0 ? sizes.slice(1) : sizes
  const depth = axis === undefined ? 1 : sizes[axis]
  const known = range ?? (dtype === "u1" ? "0..255" : dtype === "b1" ? "0..1" : undefined)
  if (known === undefined) {
    return yield* dataError(
      name,
      "options",
      `${dtype} elements do not tell what is black and what is white: say so by \`range\`, one of ${Object.keys(scales).join(", ")}`
    )
  }
  const { low, high, of } = scales[known]
  const toNumber = numberOf(dtype)
  const margin = (high - low) * slack
  const check = (item: Arrays[Dtype], i: number) => {
    for (const element of item) {
      const x = toNumber(element)
      if (x >= low - margin && x <= high + margin) continue
      throw dataError(
        name,
        "value",
        Number.isFinite(x)
          ? `item ${i} has the value ${x}, which is not in the range ${known}: say another \`range\`, or mend the data`
          : `item ${i} has the value ${x}; leave such items out`
      )
    }
  }
  // bytes cannot be outside of theirs
  const content = yield* first(most, dtype === "u1" && known === "0..255" ? () => {} : check)
  const plane = height * width
  const whole = yield* attempt(() =>
    stored.dataset({
      name,
      size,
      shape: [depth, height, width],
      labels,
      classes,
      fingerprint: hash([content, dtype, shape, axis, known, classes, labels]),
      write: (indices, to) =>
        some(indices, (item, place) => {
          const begin = place * depth * plane
          for (let c = 0; c < depth; c++) {
            for (let p = 0; p < plane; p++) {
              const from = axis === 2 ? p * depth + c : c * plane + p
              to[begin + c * plane + p] = of(toNumber(item[from]))
            }
          }
        })
    })
  )
  return most === size ? whole : Dataset.take(whole, most)
})

/** The class of each item. */
const labelsOf = (source: string, { dtype, shape, data }: NumpyArray): ReadonlyArray<number> => {
  demand(
    shape.length === 1 || (shape.length === 2 && shape[1] === 1),
    source,
    "shape",
    () => `labels have one axis, not ${Shape.show(shape)}`
  )
  return Array.from(data as ArrayLike<number | bigint>, numberOf(dtype))
}

const inMemory = ({ dtype, shape, data }: NumpyArray): Images => {
  const size = Shape.size(shape.slice(1))
  const item = (index: number) => data.subarray(index * size, (index + 1) * size) as Arrays[Dtype]
  return {
    dtype,
    shape,
    first: (count, use) =>
      attempt(() => {
        for (let i = 0; i < count; i++) use(item(i), i)
        return hash(null, data.subarray(0, count * size))
      }),
    some: (indices, use) =>
      attempt(() => {
        indices.forEach((index, place) => {
          use(item(index), place)
        })
      })
  }
}

/** How much of a file is read at once where all of it is. */
const blockBytes = 2 ** 20

/** How many items are read at the same time. */
const concurrency = 8

const inFile = (files: FileSystem.FileSystem, path: string, header: Header): Images => {
  const { dtype, shape, start } = header
  const size = Shape.size(shape.slice(1))
  const length = size * bytesOf(dtype)
  const opened = stored.open(files, path)
  return {
    dtype,
    shape,
    first: (count, use) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { read } = yield* opened
          const sum = Crypto.createHash("sha256")
          const block = Math.max(1, Math.floor(blockBytes / length))
          for (let from = 0; from < count; from += block) {
            const own = Math.min(block, count - from)
            const bytes = yield* read({ start: start + from * length, length: own * length })
            sum.update(bytes)
            const items = elements(header, bytes)
            yield* attempt(() => {
              for (let i = 0; i < own; i++) {
                use(items.subarray(i * size, (i + 1) * size) as Arrays[Dtype], from + i)
              }
            })
          }
          return sum.digest("hex")
        })
      ),
    some: (indices, use) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { read } = yield* opened
          yield* Effect.forEach(
            indices,
            (index, place) =>
              Effect.map(read({ start: start + index * length, length }), (bytes) =>
                use(elements(header, bytes), place)
              ),
            { concurrency, discard: true }
          )
        })
      )
  }
}

const isArchive = (head: Uint8Array): boolean => head[0] === 0x50 && head[1] === 0x4b

/** One of an archive's arrays: that of a name told, or of the first of those looked for. */
const member = (
  source: string,
  archive: ReadonlyMap<string, Uint8Array>,
  what: "images" | "labels",
  told: string | undefined
): NumpyArray | undefined => {
  const name = told ?? names[what].find((each) => archive.has(each))
  const file = name === undefined ? undefined : archive.get(name)
  const there = [...archive.keys()]
  demand(file !== undefined || (told === undefined && what === "labels"), source, "format", () =>
    told === undefined
      ? `none of its arrays is called ${names[what].join(", ")}: it has ${there.join(", ") || "none"}; say which, by \`${what}\``
      : `there is no array "${told}"; ${there.length === 0 ? "it has none" : Suggestion.sentence(told, there)}`
  )
  return file && parse(file, `${source}: ${name}`)
}

/**
 * The data set of images in an `.npy` file, or of images and labels in an `.npz`, whichever it is by its first bytes.
 *
 * Images are `[items, height, width]`, `[items, height, width, channels]`, as LSUN is exported, or `[items, channels, height, width]`. Of
 * four axes, the channels are the one that is at most 4 long; if that is both or neither of the two, `channels` must tell. Bytes go from
 * black, 0, to white, 255. Floats and other integers never have their range guessed, as one in [0, 1] may as well be one in [−1, 1]: say
 * it by `range`. All values up to the `limit` are looked at once, at the beginning, and must be within it, but for a thousandth that is
 * left to rounding.
 *
 * Items of an `.npy` are read from the file when they are asked for, so that it may be larger than memory, unless it is in Fortran's order;
 * an `.npz` is read whole, up to 2 GiB. In an `.npz`, images are the first of the arrays `x`, `images`, `data`, `arr_0` and labels, if
 * there are any, of `y`, `labels`, `label`, `arr_1`; other names must be told.
 *
 * Fails with `FileError`, and with `DataError`: `format` for what is no such file, is damaged, or has no arrays of these names; `shape`
 * for other axes; `options` where something must be told; `value`, with the item's number, for NaNs and values outside of the range;
 * `empty`.
 *
 * ```ts
 * const bedrooms = yield* Npy.dataset("lsun/bedroom-64.npy")
 * const faces = yield* Npy.dataset("faces.npz", { images: "faces", range: "0..1" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dataset: (
  path: string,
  options?: Options
) => Effect.Effect<Dataset.Dataset, DataError | FileError, FileSystem.FileSystem> =
  Effect.fnUntraced(function* (path: string, options: Options = {}) {
    const files = yield* FileSystem.FileSystem
    const { size, head } = yield* Effect.scoped(
      Effect.gen(function* () {
        const { size, read } = yield* stored.open(files, path)
        return { size, head: yield* read({ start: 0, length: Math.min(size, longestHeader + 12) }) }
      })
    )
    if (isArchive(head)) {
      const archive = yield* Effect.flatMap(Files.read(path), (bytes) =>
        attempt(() => members(bytes, path))
      )
      const { images, labels } = yield* attempt(() => ({
        images: member(path, archive, "images", options.images) as NumpyArray,
        labels: member(path, archive, "labels", options.labels)
      }))
      const known = labels && (yield* attempt(() => labelsOf(path, labels)))
      return yield* datasetOf(path, inMemory(images), known, options)
    }
    if (options.images !== undefined) {
      return yield* dataError(
        path,
        "options",
        "an .npy file holds one array, without a name: leave out `images`"
      )
    }
    const header = yield* attempt(() => {
      const header = headerOf(head, path)
      const wanted = Shape.size(header.shape) * bytesOf(header.dtype)
      const there = size - header.start
      demand(there === wanted, path, "format", () => lengths(header, wanted, there))
      return header
    })
    const images = header.fortran
      ? inMemory(yield* Effect.flatMap(Files.read(path), (bytes) => decode(bytes, path)))
      : inFile(files, path, header)
    if (options.labels === undefined) return yield* datasetOf(path, images, undefined, options)
    const labels = yield* Effect.flatMap(Files.read(options.labels), (bytes) =>
      attempt(() => labelsOf(options.labels as string, parse(bytes, options.labels as string)))
    )
    return yield* datasetOf(path, images, labels, options)
  })
