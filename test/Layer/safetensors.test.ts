/** The format safetensors, against files that its reference implementation wrote (test/fixtures/make-safetensors.py). */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ParameterError } from "../../src/Layer/LayerError.ts"
import * as SafeTensors from "../../src/Layer/SafeTensors.ts"
import * as DType from "../../src/Tensor/DType.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Shape from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"

type Tensors = Readonly<Record<string, HostArray>>

/** Read as the bytes that the file has, wherever Node puts them. */
const fixture = (name: string): Uint8Array =>
  new Uint8Array(Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures", name)))

/** What is in a file, or why not. A defect throws. */
const decoded = (bytes: Uint8Array): Result.Result<SafeTensors.File, ParameterError> =>
  Effect.runSync(Effect.result(SafeTensors.decode(bytes)))

const read = (bytes: Uint8Array): SafeTensors.File => Result.getOrThrow(decoded(bytes))

/** An array as its bits. */
const bits = ({ dtype, shape, data }: HostArray) => ({
  dtype,
  shape,
  bytes: [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]
})

const allBits = (tensors: Tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, each]) => [name, bits(each)]))

/** A file with any header and data. */
const file = (header: unknown, data: ReadonlyArray<number> = []): Uint8Array => {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header)
  )
  const bytes = new Uint8Array(8 + text.length + data.length)
  new DataView(bytes.buffer).setUint32(0, text.length, true)
  bytes.set(text, 8)
  bytes.set(data, 8 + text.length)
  return bytes
}

const headerOf = (bytes: Uint8Array): string =>
  new TextDecoder().decode(bytes.subarray(8, 8 + new DataView(bytes.buffer).getUint32(0, true)))

/** Any bits of a dtype that comes back as it was. */
const anyArray: fc.Arbitrary<HostArray> = fc
  .tuple(
    A.shapes({ max: 3 }),
    fc.constantFrom<DType.DType>("float64", "float32", "float16", "int32", "uint32", "bool"),
    fc.noShrink(fc.nat({ max: 0x7fffffff }))
  )
  .map(([shape, dtype, seed]) => {
    const data = DType.allocate(dtype, Shape.size(shape))
    const random = A.random(seed)
    const bytes = new Uint8Array(data.buffer)
    for (let i = 0; i < bytes.length; i++) bytes[i] = (dtype === "bool" ? 2 : 256) * random()
    return { shape, dtype, data }
  })

const name = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("__proto__", "constructor", "", "10", "9", "a.b")
)

const anyTensors: fc.Arbitrary<Tensors> = fc
  .uniqueArray(fc.tuple(name, anyArray), { selector: ([name]) => name, maxLength: 6 })
  .map((entries) => Object.fromEntries(entries))

describe("files of the reference implementation", () => {
  const float32 = (shape: Shape.Shape, data: ReadonlyArray<number>): HostArray =>
    Tensor.hostArray(data, { shape, dtype: "float32" })
  const tensors: Tensors = {
    "down.0.weight": float32(
      [2, 3, 2],
      Array.from({ length: 12 }, (_, i) => i / 7)
    ),
    "down.0.bias": float32([3], [Number.NaN, Number.NEGATIVE_INFINITY, -0]),
    scale: Tensor.hostArray([1.5], { shape: [], dtype: "float64" }),
    pi: Tensor.hostArray([3.141592653589793, -1e300], { shape: [2], dtype: "float64" }),
    half: Tensor.hostArray([1, -2.5, 65504, 6e-8, 1 / 3], { shape: [5], dtype: "float16" }),
    "10": Tensor.hostArray([1, -2], { shape: [2, 1], dtype: "int32" }),
    "9": Tensor.hostArray([2 ** 32 - 1, 7], { shape: [2], dtype: "uint32" }),
    mask: Tensor.hostArray([1, 0, 1], { shape: [3], dtype: "bool" }),
    none: float32([0, 4], []),
    'say "\\\n\u0001é': float32([1], [1]),
    "\uffff": float32([1], [2]),
    "\u{10000}": float32([1], [3])
  }
  const steps: HostArray = {
    shape: [2],
    dtype: "int64",
    data: BigInt64Array.of(1000n, -1n)
  }
  const metadata = { "made by": 'make-safetensors.py, "é"' }

  it("are what is written, byte for byte", () => {
    expect(SafeTensors.encode({ ...tensors, steps }, metadata)).toEqual(
      fixture("written.safetensors")
    )
  })

  it("are read", () => {
    const found = read(fixture("written.safetensors"))
    expect(found.metadata).toEqual(metadata)
    const asInt32: HostArray = { shape: [2], dtype: "int32", data: Int32Array.of(1000, -1) }
    expect(allBits(found.tensors)).toEqual(allBits({ ...tensors, steps: asInt32 }))
  })

  it("are read in dtypes that are not written", () => {
    const { metadata, tensors } = read(fixture("read.safetensors"))
    expect(metadata).toEqual({})
    expect(tensors).toEqual({
      brain: {
        shape: [5],
        dtype: "float32",
        // 1e-40 in bfloat16 is one of the subnormal numbers, multiples of 2^-133
        data: Float32Array.of(1, -2.5, 3.140625, Number.POSITIVE_INFINITY, 2 ** -133)
      },
      long: { shape: [2, 2], dtype: "int32", data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0, -1) },
      byte: { shape: [3], dtype: "uint32", data: Uint32Array.of(0, 127, 255) }
    })
  })
})

describe("what is written", () => {
  it("is read as it was, to the bit", () => {
    fc.assert(
      fc.property(anyTensors, fc.dictionary(name, fc.string()), (tensors, metadata) => {
        const found = read(SafeTensors.encode(tensors, metadata))
        expect(allBits(found.tensors)).toEqual(allBits(tensors))
        expect(Object.entries(found.metadata).sort()).toEqual(Object.entries(metadata).sort())
        expect(SafeTensors.encode(found.tensors, found.metadata)).toEqual(
          SafeTensors.encode(tensors, metadata)
        )
      })
    )
  })

  it("depends on names, and not on their order", () => {
    fc.assert(
      fc.property(anyTensors, fc.dictionary(name, fc.string()), (tensors, metadata) => {
        const backwards = <A>(record: Readonly<Record<string, A>>) =>
          Object.fromEntries(Object.entries(record).reverse())
        expect(SafeTensors.encode(backwards(tensors), backwards(metadata))).toEqual(
          SafeTensors.encode(tensors, metadata)
        )
      })
    )
  })

  it("has data that are aligned, since the header is padded", () => {
    fc.assert(
      fc.property(anyTensors, (tensors) => {
        const bytes = SafeTensors.encode(tensors)
        const header = headerOf(bytes)
        expect(new TextEncoder().encode(header).length % 8).toBe(0)
        expect(header).toMatch(/^\{.*\} {0,7}$/su)
        for (const { data } of Object.values(read(bytes).tensors)) {
          expect(data.buffer).toBe(bytes.buffer)
        }
      })
    )
  })

  it("of nothing is what the reference implementation writes", () => {
    expect(SafeTensors.encode({})).toEqual(file("{}      "))
  })

  it("is a view of a part of its buffer", () => {
    const data = Float32Array.of(1, 2, 3, 4).subarray(1, 3)
    const { tensors } = read(SafeTensors.encode({ a: { shape: [2], dtype: "float32", data } }))
    expect(tensors.a.data).toEqual(Float32Array.of(2, 3))
  })
})

describe("what cannot be written", () => {
  const one: HostArray = { shape: [1], dtype: "float32", data: Float32Array.of(1) }
  const cases: ReadonlyArray<readonly [what: string, Tensors, path: string]> = [
    ["the metadata's name", { __metadata__: one }, "__metadata__"],
    ["half a pair of code units", { "\ud800": one }, "\ud800"],
    ["too many elements", { a: one, b: { ...one, shape: [0] } }, "b"],
    ["another array", { a: { ...one, dtype: "float64" } }, "a"],
    ["neither 0 nor 1", { a: { shape: [1], dtype: "bool", data: Uint8Array.of(2) } }, "a"]
  ]
  it.each(cases)("%s", (_, tensors, path) => {
    try {
      SafeTensors.encode(tensors)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(ParameterError)
      expect(error).toMatchObject({ path, reason: "format" })
    }
  })

  it("metadata that are not valid Unicode", () => {
    expect(() => SafeTensors.encode({}, { a: "\udc00" })).toThrow("not valid Unicode")
  })
})

it("bytes of any alignment are read alike", () => {
  fc.assert(
    fc.property(anyTensors, fc.integer({ min: 0, max: 7 }), (tensors, offset) => {
      const bytes = SafeTensors.encode(tensors)
      const moved = new Uint8Array(bytes.length + offset)
      moved.set(bytes, offset)
      expect(allBits(read(moved.subarray(offset)).tensors)).toEqual(allBits(tensors))
      // whose slice and subarray differ from those of other arrays
      expect(allBits(read(Buffer.from(moved.buffer, offset)).tensors)).toEqual(allBits(tensors))
    })
  )
})

describe("a file is refused", () => {
  const entry = (data_offsets: unknown, more: object = {}) => ({
    dtype: "F32",
    shape: [1],
    data_offsets,
    ...more
  })
  const eight = [0, 0, 128, 63, 0, 0, 0, 64]
  const long = new Uint8Array(8)
  const lengths = (low: number, high: number) => {
    const bytes = new Uint8Array(16)
    new DataView(bytes.buffer).setUint32(0, low, true)
    new DataView(bytes.buffer).setUint32(4, high, true)
    return bytes
  }
  const two = `"a":${JSON.stringify(entry([0, 4]))}`
  const cases: ReadonlyArray<readonly [says: string, bytes: Uint8Array, path?: string]> = [
    ["there are 7 bytes", long.subarray(1)],
    ["there are 0 bytes", long.subarray(8)],
    ['does not begin with "{"', long],
    ["100000001 bytes long, but at most 100000000", lengths(100_000_001, 0)],
    ["at most 100000000", lengths(2, 2 ** 31)],
    ["should be 9 bytes long, but 8 are left", lengths(9, 0)],
    ['does not begin with "{"', file(" {}")],
    ['does not begin with "{"', file("\ufeff{}")],
    ['does not begin with "{"', file("[]")],
    ["not JSON", file("{")],
    ["not JSON", file("{}}")],
    ["not JSON", file('{"a":NaN}')],
    ["not JSON in UTF-8", file("{}  ").map((each, i) => (i === 11 ? 0xff : each))],
    ['"__metadata__" is not an object', file({ __metadata__: ["a"] })],
    ['"__metadata__" is not an object', file({ __metadata__: null })],
    ['"b", which is not a string', file({ __metadata__: { a: "1", b: 2 } })],
    ["the entry is not an object", file({ a: [] }), "a"],
    ["the entry is not an object", file('{"__proto__":null}'), "__proto__"],
    ['"F8_E4M3"; F64, F32, F16,', file({ a: entry([0, 4], { dtype: "F8_E4M3" }) }), "a"],
    ["the dtype is undefined", file({ a: { shape: [], data_offsets: [0, 0] } }), "a"],
    ["not a list of sizes", file({ a: entry([0, 4], { shape: [-1] }) }), "a"],
    ["not a list of sizes", file({ a: entry([0, 4], { shape: [0.5] }) }), "a"],
    ["not a list of sizes", file({ a: entry([0, 4], { shape: "1" }) }), "a"],
    ["not a list of sizes", file({ a: entry([0, 4], { shape: { 0: 1 } }) }), "a"],
    ["not a list of sizes", file('{"a":{"dtype":"F32","shape":[1e400]}}'), "a"],
    ["than can be counted", file({ a: entry([0, 4], { shape: [2 ** 30, 2 ** 30] }) }), "a"],
    ["not [begin, end]", file({ a: entry([0]) }), "a"],
    ["not [begin, end]", file({ a: entry([0, 2, 4]) }), "a"],
    ["not [begin, end]", file({ a: entry([4, 0]) }), "a"],
    ["not [begin, end]", file({ a: entry([-4, 0]) }), "a"],
    ["not [begin, end]", file({ a: entry(undefined) }), "a"],
    ["takes 4 bytes, but data_offsets give it 8", file({ a: entry([0, 8]) }, eight), "a"],
    ["end at byte 4000000000000,", file({ a: entry([0, 4e12], { shape: [1e12] }) }), "a"],
    ["end at byte 8, but the file's at 4", file({ a: entry([4, 8]) }, eight.slice(4)), "a"],
    ["begin at byte 4, but those before end at 0", file({ a: entry([4, 8]) }, eight), "a"],
    ["no overlaps", file({ a: entry([0, 4]), b: entry([0, 4]) }, eight.slice(4)), "b"],
    ["the tensors end at byte 4 of the data", file({ a: entry([0, 4]) }, eight)],
    ['the key "a" twice', file(`{${two},${two}}`, eight), "a"],
    ['the key "a" twice', file(`{${two},${two.replace("a", "\\u0061")}}`, eight), "a"],
    ['the key "dtype" twice', file('{"\\"a":{"dtype":"F32","dtype" :"F32"}}'), '"a'],
    ['the key "b" twice', file('{"__metadata__":{"b":"1","c":"b","b":"1"}}'), "__metadata__"],
    ["deeper than 128", file(`{"a":${"[".repeat(1e6)}`), "a"],
    ["not JSON", file('{"')],
    ["not JSON", file('{"\\')],
    ["not JSON", file('{"\\x":1}')],
    ["not valid Unicode", file(`{${two.replace("a", "\\ud800")}}`, eight), "\ud800"],
    [
      "must be 0 or 1",
      file({ a: { dtype: "BOOL", shape: [2], data_offsets: [0, 2] } }, [1, 2]),
      "a"
    ]
  ]
  const named = cases.map(([says, bytes, path = ""]) => ({ says, bytes, path }))
  it.each(named)("that tells: $says", ({ says, bytes, path }) => {
    const error = Result.getOrThrow(Result.flip(decoded(bytes)))
    expect(error).toBeInstanceOf(ParameterError)
    expect(error).toMatchObject({ path, reason: "format" })
    expect(error.message).toContain(says)
  })

  it("wherever it is cut short, and with anything behind it", () => {
    const bytes = fixture("read.safetensors")
    for (let end = 0; end < bytes.length; end++) {
      expect(Result.isFailure(decoded(bytes.slice(0, end)))).toBe(true)
    }
    expect(Result.isFailure(decoded(Uint8Array.of(...bytes, 0)))).toBe(true)
  })

  it("at the ends of the range of I64", () => {
    const cases: ReadonlyArray<readonly [bigint, boolean]> = [
      [2n ** 31n - 1n, true],
      [2n ** 31n, false],
      [-(2n ** 31n), true],
      [-(2n ** 31n) - 1n, false],
      [2n ** 32n - 1n, false],
      [2n ** 63n - 1n, false],
      [-(2n ** 63n), false]
    ]
    for (const [value, fits] of cases) {
      const data = BigInt64Array.of(value)
      const found = decoded(SafeTensors.encode({ a: { shape: [], dtype: "int64", data } }))
      expect(Result.isSuccess(found)).toBe(fits)
      if (Result.isSuccess(found))
        expect(Number(found.success.tensors.a.data[0])).toBe(Number(value))
    }
  })
})

describe("broken files never do harm", () => {
  /** Either whole arrays, or a `ParameterError`. */
  const harmless = (bytes: Uint8Array): void => {
    const found = decoded(bytes)
    if (Result.isFailure(found)) {
      expect(found.failure).toBeInstanceOf(ParameterError)
      expect(found.failure.reason).toBe("format")
      return
    }
    for (const { shape, dtype, data } of Object.values(found.success.tensors)) {
      expect(DType.holds(dtype, data)).toBe(true)
      expect(data.length).toBe(Shape.size(shape))
    }
  }

  it("any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), harmless))
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.uint8Array(), (header, data) =>
        harmless(file(`{${header}`, [...data]))
      )
    )
  })

  it("any JSON as the header", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.uint8Array(), (header, data) =>
        harmless(file(header, [...data]))
      )
    )
  })

  it("bytes replaced, left out and put in", () => {
    const edit = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      drop: fc.integer({ min: 0, max: 3 }),
      insert: fc.uint8Array({ maxLength: 3 })
    })
    fc.assert(
      fc.property(anyTensors, fc.array(edit, { minLength: 1, maxLength: 4 }), (tensors, edits) => {
        const bytes = [...SafeTensors.encode(tensors, { a: "b" })]
        for (const { at, drop, insert } of edits) {
          bytes.splice(Math.floor(at * bytes.length), drop, ...insert)
        }
        harmless(Uint8Array.from(bytes))
      }),
      { numRuns: 500 }
    )
  })

  it("words of the header replaced", () => {
    const word = fc.constantFrom(
      ...["0", "1", "-1", "1e9", "4294967296", "9007199254740993", "1e999", "null", "[]", "{}"],
      ...['"F64"', '"BF16"', '"U8"', '"I64"', '"shape"', '"a"', ",", ":", "{", "]"]
    )
    fc.assert(
      fc.property(
        anyTensors,
        fc.array(fc.tuple(fc.nat(), word), { minLength: 1, maxLength: 3 }),
        (tensors, edits) => {
          const bytes = SafeTensors.encode(tensors)
          const header = headerOf(bytes)
          const words = header.match(/"(?:[^"\\]|\\.)*"|\d+|[^"\d]/gsu) ?? []
          for (const [at, word] of edits) words[at % words.length] = word
          harmless(file(words.join(""), [...bytes.subarray(file(header).length)]))
        }
      ),
      { numRuns: 500 }
    )
  })
})
