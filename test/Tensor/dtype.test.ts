import { describe, expect, it } from "vitest"
import * as DType from "../../src/Tensor/DType.ts"

describe("float16 bits", () => {
  // IEEE 754 binary16: known encodings
  it.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [1 / 3, 0x3555],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00]
  ])("of %d are %d", (value, bits) => {
    expect(DType.toFloat16Bits(value)).toBe(bits)
  })

  it("round to nearest, ties to even", () => {
    expect(DType.toFloat16Bits(1 + 2 ** -11)).toBe(0x3c00)
    expect(DType.toFloat16Bits(1 + 3 * 2 ** -11)).toBe(0x3c02)
    expect(DType.toFloat16Bits(1 + 2 ** -11 + 2 ** -20)).toBe(0x3c01)
    expect(DType.toFloat16Bits(65519.99)).toBe(0x7bff)
    expect(DType.toFloat16Bits(65520)).toBe(0x7c00)
    expect(DType.toFloat16Bits(2 ** -25)).toBe(0)
    expect(DType.toFloat16Bits(2047.75)).toBe(DType.toFloat16Bits(2048))
  })

  it("come back, all of them", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = DType.fromFloat16Bits(bits)
      if (Number.isNaN(value)) expect(DType.toFloat16Bits(value) & 0x7c00).toBe(0x7c00)
      else if (DType.toFloat16Bits(value) !== bits) expect.fail(`${bits} became ${value}`)
    }
  })

  it("of a NaN are a NaN's", () => {
    expect(DType.fromFloat16Bits(DType.toFloat16Bits(Number.NaN))).toBeNaN()
  })
})

it("every dtype has its own array and size", () => {
  for (const dtype of DType.all) {
    const data = DType.allocate(dtype, 3)
    expect(data.byteLength).toBe(3 * DType.bytes(dtype))
    expect(DType.all.filter((each) => DType.holds(each, data))).toEqual([dtype])
  }
})
