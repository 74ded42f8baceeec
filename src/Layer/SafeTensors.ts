/**
 * The safetensors format, in which networks are published: names, dtypes and shapes as JSON, then the elements.
 *
 * A file is, one after the other,
 *
 *     8 bytes    the length n of the header, little-endian
 *     n bytes    the header, UTF-8: { "__metadata__"?: { key: string }, name: { "dtype", "shape", "data_offsets": [begin, end] } }
 *     the rest   the elements, little-endian and row-major; offsets count from here
 *
 * The header begins with `{` and is padded with spaces to a multiple of 8; the tensors cover the rest without holes or overlaps
 * (https://github.com/huggingface/safetensors, `docs/source/index.mdx`).
 *
 * ```ts
 * const bytes = SafeTensors.encode(Parameter.toRecord(weights))
 * const { tensors } = yield* SafeTensors.decode(bytes)
 * const weights = yield* Parameter.load(network.parameters, tensors)
 * ```
 *
 * Both functions are pure, on bytes; reading and writing files is not theirs. They suppose a little-endian host, as all are that
 * devices run on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { DType, Shape, type Tensor } from "../Tensor/index.ts"
import { ParameterError } from "./LayerError.ts"

/**
 * What a file holds.
 *
 * @since 0.1.0
 * @category models
 */
export interface File {
  /** What the writer noted beside the tensors; empty if nothing. */
  readonly metadata: Readonly<Record<string, string>>
  /** In the order of the header. */
  readonly tensors: Readonly<Record<string, Tensor.HostArray>>
}

/**
 * The longest header, in bytes, that is read or written: the reference implementation's limit.
 *
 * @since 0.1.0
 * @category constants
 */
export const maxHeaderBytes = 100_000_000

const reserved = "__metadata__"

/** Files say so: the widest alignment first, and within it as the reference implementation sorts. */
const written: ReadonlyArray<readonly [DType.DType, string]> = [
  ["int64", "I64"],
  ["float64", "F64"],
  ["float32", "F32"],
  ["uint32", "U32"],
  ["int32", "I32"],
  ["float16", "F16"],
  ["bool", "BOOL"]
]

/** Names of files can be of any length. */
const brief = (text = "undefined"): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

const shown = (json: unknown): string => brief(JSON.stringify(json))

const refused = (operation: string, name: string, why: string): ParameterError =>
  new ParameterError({
    path: name,
    reason: "format",
    message: `SafeTensors.${operation}: ${name === "" ? "" : `tensor "${brief(name)}": `}${why}`
  })

/** Half of a pair of code units without the other half, which UTF-8 cannot say. */
const halfPair = /\p{Surrogate}/u

/** Whether bytes are those of `bool` elements. */
const isTruth = (bytes: Uint8Array): boolean => bytes.every((each) => each <= 1)

const bytesOf = (data: DType.Data): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** In the order of code points, as UTF-8 sorts; strings themselves compare by code units. */
const byCodePoints = <A>(items: ReadonlyArray<A>, name: (item: A) => string): Array<A> =>
  items
    .map((item) => ({ item, points: Array.from(name(item), (each) => each.codePointAt(0) ?? 0) }))
    .sort(({ points: a }, { points: b }) => {
      const at = a.findIndex((point, i) => point !== b[i])
      return at < 0 ? a.length - b.length : a[at] - (b[at] ?? -1)
    })
    .map(({ item }) => item)

/** Not through an object, which would put names that are numbers first. */
const object = (entries: ReadonlyArray<readonly [name: string, json: string]>): string =>
  `{${entries.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`

/**
 * The file of some tensors by name. It depends on names and values alone: tensors are sorted by their dtype's alignment, widest
 * first, and then by name, metadata by key; it is the file, byte for byte, that the reference implementation writes (which
 * leaves the order of several keys of metadata to chance).
 *
 * | `float64` | `float32` | `float16` | `int64` | `int32` | `uint32` | `bool` |
 * | --------- | --------- | --------- | ------- | ------- | -------- | ------ |
 * | F64       | F32       | F16       | I64     | I32     | U32      | BOOL   |
 *
 * Throws `ParameterError` of reason `format` for a name that no file can have, data that do not fit their shape or dtype, and a
 * header beyond {@link maxHeaderBytes}.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encode = (
  tensors: Readonly<Record<string, Tensor.HostArray>>,
  metadata: Readonly<Record<string, string>> = {}
): Uint8Array => {
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const refuse = (why: string) => refused("encode", name, why)
    if (name === reserved) throw refuse("the name is the metadata's")
    if (halfPair.test(name)) throw refuse("the name is not valid Unicode")
    if (!DType.holds(dtype, data)) throw refuse(`the data are not those of ${dtype}`)
    if (data.length !== Shape.size(shape)) {
      throw refuse(
        `the shape is ${brief(Shape.show(shape))}, but there are ${data.length} elements`
      )
    }
    if (dtype === "bool" && !isTruth(data as Uint8Array)) {
      throw refuse("elements of bool must be 0 or 1")
    }
  }
  const notes = byCodePoints(Object.entries(metadata), ([key]) => key)
  if (halfPair.test(notes.flat().join("\n"))) {
    throw refused("encode", "", "the metadata are not valid Unicode")
  }
  const sorted = written.flatMap(([dtype, code]) =>
    byCodePoints(
      Object.entries(tensors).filter(([, tensor]) => tensor.dtype === dtype),
      ([name]) => name
    ).map(([name, tensor]) => ({ name, code, tensor }))
  )
  let end = 0
  const entries = sorted.map(({ name, code, tensor: { shape, data } }) => {
    const data_offsets = [end, (end += data.byteLength)]
    return [name, JSON.stringify({ dtype: code, shape, data_offsets })] as const
  })
  if (notes.length > 0) {
    const strings = notes.map(([key, value]) => [key, JSON.stringify(value)] as const)
    entries.unshift([reserved, object(strings)])
  }
  const header = new TextEncoder().encode(object(entries))
  const length = 8 * Math.ceil(header.length / 8)
  if (length > maxHeaderBytes) {
    throw refused(
      "encode",
      "",
      `the header is ${length} bytes long, but at most ${maxHeaderBytes} are read`
    )
  }
  const file = new Uint8Array(8 + length + end)
  new DataView(file.buffer).setUint32(0, length, true)
  file.set(header, 8)
  file.fill(0x20, 8 + header.length, 8 + length)
  let at = 8 + length
  for (const { tensor } of sorted) {
    file.set(bytesOf(tensor.data), at)
    at += tensor.data.byteLength
  }
  return file
}

/** The elements that bytes are: where they lie if alignment permits, otherwise a copy. */
const viewed = <A>(
  type: {
    new (buffer: ArrayBufferLike, offset: number, length: number): A
    readonly BYTES_PER_ELEMENT: number
  },
  bytes: Uint8Array
): A => {
  const size = type.BYTES_PER_ELEMENT
  const { buffer, byteOffset, length } =
    bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  return new type(buffer, byteOffset, length / size)
}

interface Reader {
  /** Of one element. */
  readonly bytes: number
  readonly dtype: DType.DType
  /** The elements, or why they cannot be read. */
  readonly read: (bytes: Uint8Array) => DType.Data | string
}

const readers: ReadonlyMap<unknown, Reader> = new Map<string, Reader>([
  ["F64", { bytes: 8, dtype: "float64", read: (bytes) => viewed(Float64Array, bytes) }],
  ["F32", { bytes: 4, dtype: "float32", read: (bytes) => viewed(Float32Array, bytes) }],
  ["F16", { bytes: 2, dtype: "float16", read: (bytes) => viewed(Uint16Array, bytes) }],
  ["I32", { bytes: 4, dtype: "int32", read: (bytes) => viewed(Int32Array, bytes) }],
  ["U32", { bytes: 4, dtype: "uint32", read: (bytes) => viewed(Uint32Array, bytes) }],
  ["U8", { bytes: 1, dtype: "uint32", read: (bytes) => Uint32Array.from(bytes) }],
  [
    "BOOL",
    {
      bytes: 1,
      dtype: "bool",
      read: (bytes) =>
        isTruth(bytes) ? viewed(Uint8Array, bytes) : "elements of BOOL must be 0 or 1"
    }
  ],
  [
    "BF16",
    {
      bytes: 2,
      dtype: "float32",
      read: (bytes) => {
        // the upper half of the bits of a float32
        const halves = viewed(Uint16Array, bytes)
        const words = new Uint32Array(halves.length)
        for (let i = 0; i < words.length; i++) words[i] = halves[i] << 16
        return new Float32Array(words.buffer)
      }
    }
  ],
  [
    "I64",
    {
      bytes: 8,
      dtype: "int32",
      read: (bytes) => {
        const words = viewed(Int32Array, bytes)
        const result = new Int32Array(words.length / 2)
        for (let i = 0; i < result.length; i++) {
          result[i] = words[2 * i]
          // the upper word must be the sign of the lower one
          if (words[2 * i + 1] !== words[2 * i] >> 31) {
            return `element ${i} of I64 is beyond the range of int32, as which it would be read`
          }
        }
        return result
      }
    }
  ]
])

const isRecord = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const isSizes = (u: unknown): u is ReadonlyArray<number> =>
  Array.isArray(u) && u.every((each) => Number.isSafeInteger(each) && each >= 0)

/** As deep as the reference implementation follows; what is needed is 3. */
const maxDepth = 128

interface Breach {
  /** The tensor where it is. */
  readonly name: string
  readonly why: string
}

/**
 * What the format forbids though `JSON.parse` takes it: a key that one and the same object has twice, and depths that cost much
 * memory. Of text that is not JSON it need not find anything.
 */
const breachOf = (text: string): Breach | undefined => {
  const open: Array<Set<string>> = []
  let name = ""
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === "{" || char === "[") {
      if (open.push(new Set()) > maxDepth) {
        return { name, why: `the header is nested deeper than ${maxDepth}` }
      }
    } else if (char === "}" || char === "]") open.pop()
    else if (char === '"') {
      const start = i
      while (++i < text.length && text[i] !== '"') if (text[i] === "\\") i++
      let next = i + 1
      while (" \t\r\n".includes(text[next])) next++
      if (text[next] !== ":") continue
      const key: string = JSON.parse(text.slice(start, i + 1))
      const keys = open.at(-1)
      if (open.length === 1) name = key
      if (keys?.has(key)) return { name, why: `the header has the key "${brief(key)}" twice` }
      keys?.add(key)
    }
  }
  return undefined
}

const parsed = (bytes: Uint8Array): Readonly<Record<string, unknown>> => {
  const refuse = (why: string) => refused("decode", "", why)
  const suspicion = "the file is cut short, or none of safetensors"
  if (bytes[0] !== 0x7b) throw refuse(`the header does not begin with "{"; ${suspicion}`)
  let header: unknown
  let breach: Breach | undefined
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
    breach = breachOf(text)
    header = breach ?? JSON.parse(text)
  } catch (error) {
    throw refuse(`the header is not JSON in UTF-8: ${(error as Error).message}`)
  }
  if (breach !== undefined) throw refused("decode", breach.name, breach.why)
  if (!isRecord(header)) throw refuse("the header is not an object")
  return header
}

const metadataOf = (notes: unknown): Readonly<Record<string, string>> => {
  if (!isRecord(notes)) throw refused("decode", "", `"${reserved}" is not an object`)
  for (const [key, value] of Object.entries(notes)) {
    if (typeof value !== "string") {
      throw refused("decode", "", `"${reserved}" has "${brief(key)}", which is not a string`)
    }
  }
  return notes as Readonly<Record<string, string>>
}

interface Entry {
  readonly name: string
  readonly shape: Shape.Shape
  readonly reader: Reader
  readonly begin: number
  readonly end: number
}

const entryOf = (name: string, json: unknown): Entry => {
  const refuse = (why: string) => refused("decode", name, why)
  if (halfPair.test(name)) throw refuse("the name is not valid Unicode")
  if (!isRecord(json)) throw refuse("the entry is not an object")
  const { dtype, shape, data_offsets: offsets } = json
  const reader = readers.get(dtype)
  if (reader === undefined) {
    throw refuse(`the dtype is ${shown(dtype)}; ${[...readers.keys()].join(", ")} can be read`)
  }
  if (!isSizes(shape)) {
    throw refuse(`the shape is ${shown(shape)}, and not a list of sizes`)
  }
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw refuse(`data_offsets are ${shown(offsets)}, and not [begin, end]`)
  }
  const [begin, end] = offsets
  let size = reader.bytes
  for (const each of shape) {
    size *= each
    if (!Number.isSafeInteger(size)) {
      throw refuse(`the shape ${brief(Shape.show(shape))} has more elements than can be counted`)
    }
  }
  if (end - begin !== size) {
    throw refuse(
      `${dtype} of shape ${brief(Shape.show(shape))} takes ${size} bytes, but data_offsets give it ${end - begin}`
    )
  }
  return { name, shape, reader, begin, end }
}

const decodeUnsafe = (bytes: Uint8Array): File => {
  const refuse = (name: string, why: string) => refused("decode", name, why)
  if (bytes.length < 8) {
    throw refuse(
      "",
      `there are ${bytes.length} bytes, but a file begins with 8 for the length of its header`
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8)
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
  if (length > maxHeaderBytes) {
    throw refuse(
      "",
      `the header would be ${length} bytes long, but at most ${maxHeaderBytes} are read; the file is none of safetensors`
    )
  }
  if (length > bytes.length - 8) {
    throw refuse(
      "",
      `the header should be ${length} bytes long, but ${bytes.length - 8} are left; the file is cut short, or none of safetensors`
    )
  }
  const header = parsed(bytes.subarray(8, 8 + length))
  const data = bytes.subarray(8 + length)
  const metadata = Object.hasOwn(header, reserved) ? metadataOf(header[reserved]) : {}
  const entries = Object.entries(header)
    .filter(([name]) => name !== reserved)
    .map(([name, json]) => entryOf(name, json))
  let covered = 0
  for (const { name, begin, end } of entries.toSorted(
    (a, b) => a.begin - b.begin || a.end - b.end
  )) {
    if (end > data.length) {
      throw refuse(name, `its data end at byte ${end}, but the file's at ${data.length}`)
    }
    if (begin !== covered) {
      throw refuse(
        name,
        `its data begin at byte ${begin}, but those before end at ${covered}; there must be no ${begin < covered ? "overlaps" : "holes"}`
      )
    }
    covered = end
  }
  if (covered !== data.length) {
    throw refuse("", `the tensors end at byte ${covered} of the data, but these at ${data.length}`)
  }
  const tensors = entries.map(({ name, shape, reader: { dtype, read }, begin, end }) => {
    const elements = read(data.subarray(begin, end))
    if (typeof elements === "string") throw refuse(name, elements)
    return [name, { shape, dtype, data: elements }] as const
  })
  return { metadata, tensors: Object.fromEntries(tensors) }
}

/**
 * What is in a file. Arrays are views of the bytes wherever alignment and dtype permit, so that nothing is copied: leave the
 * bytes as they are.
 *
 * | F64       | F32       | F16       | BF16      | I64     | I32     | U32      | U8       | BOOL   |
 * | --------- | --------- | --------- | --------- | ------- | ------- | -------- | -------- | ------ |
 * | `float64` | `float32` | `float16` | `float32` | `int32` | `int32` | `uint32` | `uint32` | `bool` |
 *
 * BF16, I64 and U8 are copied: every BF16 is a `float32`; I64 must lie within the range of `int32`.
 *
 * Fails with `ParameterError` of reason `format`, and the tensor's name as its path, for another dtype and for whatever breaks the
 * format: a file that is cut short, a header beyond {@link maxHeaderBytes} or with a key twice, metadata that are not strings, data
 * with holes, overlaps or of another size than their shape. Nothing is reserved for sizes that the file only claims.
 *
 * @since 0.1.0
 * @category conversions
 */
export const decode = (bytes: Uint8Array): Effect.Effect<File, ParameterError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(decodeUnsafe(bytes))
    } catch (error) {
      if (error instanceof ParameterError) return Effect.fail(error)
      throw error
    }
  })
