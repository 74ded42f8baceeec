import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { CompileError, DeviceError } from "../../src/Device/DeviceError.ts"
import { backend } from "../../src/Device/Reference.ts"
import * as Cost from "../../src/Tensor/Cost.ts"
import * as DType from "../../src/Tensor/DType.ts"
import {
  apply,
  type HostArray,
  type Node,
  output,
  type Tensor
} from "../../src/Tensor/Expression.ts"
import * as Graph from "../../src/Tensor/Graph.ts"
import type { Window } from "../../src/Tensor/Primitive.ts"
import * as Control from "../../src/Tensor/primitive/control.ts"
import * as E from "../../src/Tensor/primitive/elementwise.ts"
import * as L from "../../src/Tensor/primitive/linear.ts"
import * as R from "../../src/Tensor/primitive/reduction.ts"
import * as S from "../../src/Tensor/primitive/structure.ts"
import * as Shape from "../../src/Tensor/Shape.ts"

type Values = ReadonlyArray<number | bigint>

const data = (dtype: DType.DType, values: Values): DType.Data => {
  const result = DType.allocate(dtype, values.length)
  values.forEach((value, i) => {
    if (result instanceof BigInt64Array) result[i] = BigInt(value)
    else result[i] = dtype === "float16" ? DType.toFloat16Bits(Number(value)) : Number(value)
  })
  return result
}

const tensor = (values: Values, dtype: DType.DType = "float64", shape = [values.length]): Tensor =>
  S.constant({ shape, dtype, data: data(dtype, values) })

const matrix = (rows: ReadonlyArray<Values>, dtype: DType.DType = "float64"): Tensor =>
  tensor(rows.flat(), dtype, [rows.length, rows[0].length])

const values = ({
  dtype,
  data
}: {
  readonly dtype: DType.DType
  readonly data: DType.Data
}): Values =>
  dtype === "float16"
    ? Array.from(data as Uint16Array, DType.fromFloat16Bits)
    : Array.from<number | bigint>(data)

const source = (inputs: ReadonlyArray<Tensor>, outputs: ReadonlyArray<Tensor>) => ({
  name: "test",
  graph: Graph.make(inputs, outputs),
  inputNames: inputs.map((_, i) => `in${i}`),
  outputNames: outputs.map((_, i) => `out${i}`)
})

const running = (
  inputs: ReadonlyArray<Tensor>,
  outputs: ReadonlyArray<Tensor>,
  given: ReadonlyArray<DType.Data> = []
): Effect.Effect<ReadonlyArray<HostArray>, DeviceError | CompileError> =>
  Effect.gen(function* () {
    const compiled = yield* backend.compile(source(inputs, outputs))
    const results = yield* compiled.run(given)
    return yield* Effect.forEach(results, (memory, i) => backend.read(memory, outputs[i]))
  })

const all = (...outputs: ReadonlyArray<Tensor>) => Effect.runSync(running([], outputs))

/** The elements of a result, checked to be of its shape and dtype. */
const evaluate = (result: Tensor): Values => {
  const [host] = all(result)
  expect(host.shape).toEqual(result.shape)
  expect(DType.holds(result.dtype, host.data)).toBe(true)
  expect(host.data.length).toBe(Shape.size(result.shape))
  return values(host)
}

const refusal = (result: Tensor): DeviceError | CompileError =>
  Effect.runSync(Effect.flip(running([], [result])))

const floats: ReadonlyArray<DType.DType> = ["float64", "float32", "float16"]
const integers: ReadonlyArray<DType.DType> = ["int32", "int64", "uint32"]
const numbers = [...floats, ...integers]

describe("floats, element by element", () => {
  it("computes in float64", () => {
    const x = tensor([-1, -0.5, 0, 0.25, 1])
    const close = (result: Tensor, f: (x: number) => number) =>
      expect(evaluate(result)).toEqual([-1, -0.5, 0, 0.25, 1].map(f))
    close(E.neg(x), (x) => -x)
    close(E.abs(x), Math.abs)
    close(E.exp(x), Math.exp)
    close(E.sin(x), Math.sin)
    close(E.cos(x), Math.cos)
    close(E.tan(x), Math.tan)
    close(E.asin(x), Math.asin)
    close(E.acos(x), Math.acos)
    close(E.atan(x), Math.atan)
    close(E.tanh(x), Math.tanh)
    close(E.log(x), Math.log)
    close(E.sqrt(x), Math.sqrt)
    close(E.floor(x), Math.floor)
  })

  it("rounds float32 once, as IEEE 754 hardware does", () => {
    const float32 = fc.float({ noDefaultInfinity: true })
    fc.assert(
      fc.property(float32, float32, (a, b) => {
        const [x, y] = [tensor([a], "float32"), tensor([b], "float32")]
        const results = all(E.add(x, y), E.sub(x, y), E.mul(x, y), E.div(x, y), E.sqrt(x))
        const exact = [a + b, a - b, a * b, a / b, Math.sqrt(a)].map(Math.fround)
        expect(results.map(({ data }) => data[0])).toEqual(exact)
      }),
      { numRuns: 50 }
    )
  })

  it("rounds float16 once, with subnormals and overflow", () => {
    const half = (x: Tensor) => evaluate(E.cast(x, "float16"))
    expect(half(tensor([1 / 3, 2049, 2051, 65519, 65520, -(2 ** -24), 2 ** -25]))).toEqual([
      0.333251953125,
      2048,
      2052,
      65504,
      Infinity,
      -(2 ** -24),
      0
    ])
    expect(evaluate(E.div(tensor([1], "float16"), tensor([3], "float16")))).toEqual([
      0.333251953125
    ])
  })

  it("has erf to the last places (Abramowitz and Stegun, table 7.1)", () => {
    const table = [
      [0.02, 0.022564574691844943],
      [0.1, 0.1124629160182849],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [1.5, 0.9661051464753107],
      [2, 0.9953222650189527],
      [3, 0.9999779095030014]
    ]
    const result = evaluate(E.erf(tensor(table.flatMap(([x]) => [x, -x])))) as Array<number>
    table.forEach(([, y], i) => {
      expect(Math.abs(result[2 * i] - y)).toBeLessThanOrEqual(2.3e-16 * y)
      expect(result[2 * i + 1]).toBe(-result[2 * i])
    })
    expect(evaluate(E.erf(tensor([0, -0, 7, -Infinity, Number.NaN])))).toEqual([
      0,
      -0,
      1,
      -1,
      Number.NaN
    ])
  })

  it("has an erf whose pieces meet its Maclaurin series", () => {
    const series = (x: number) => {
      // all terms are positive: 2/√π exp(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (2n + 1)!!
      let term = x
      let sum = 0
      for (let n = 1; term > 1e-20; n++) {
        sum += term
        term *= (2 * x * x) / (2 * n + 1)
      }
      return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
    }
    const xs = Array.from({ length: 100 }, (_, i) => 0.03 + i * 0.04)
    const result = evaluate(E.erf(tensor(xs))) as Array<number>
    result.forEach((y, i) => {
      expect(Math.abs(y - series(xs[i]))).toBeLessThan(4e-15)
    })
  })

  it("has a sigmoid that neither overflows nor loses its tail", () => {
    const [low, tail, middle, high] = evaluate(
      E.sigmoid(tensor([-1000, -740, 0, 1000]))
    ) as Array<number>
    expect([low, middle, high]).toEqual([0, 0.5, 1])
    expect(tail).toBe(Math.exp(-740))
  })

  it("rounds halves to even and keeps the sign of zero", () => {
    const x = tensor([
      0.5,
      1.5,
      2.5,
      -0.5,
      -1.5,
      -0.3,
      0.49999999999999994,
      1e300,
      -Infinity,
      Number.NaN
    ])
    expect(evaluate(E.round(x))).toEqual([0, 2, 2, -0, -2, -0, 0, 1e300, -Infinity, Number.NaN])
  })

  it("divides by zero, and raises to powers, as IEEE 754 does", () => {
    expect(evaluate(E.div(tensor([1, -1, 0]), tensor([0])))).toEqual([
      Infinity,
      -Infinity,
      Number.NaN
    ])
    const base = tensor([2, 1, -1, -8, 0, Number.NaN, 4])
    const exponent = tensor([10, Number.NaN, Infinity, 1 / 3, -1, 0, -0.5])
    expect(evaluate(E.pow(base, exponent))).toEqual([1024, 1, 1, Number.NaN, Infinity, 1, 0.5])
  })

  it("passes NaN on, but for comparisons", () => {
    const x = tensor([Number.NaN, 1, -0])
    const y = tensor([1, Number.NaN, 0])
    expect(evaluate(E.minimum(x, y))).toEqual([Number.NaN, Number.NaN, -0])
    expect(evaluate(E.maximum(x, y))).toEqual([Number.NaN, Number.NaN, 0])
    expect(evaluate(E.sign(tensor([Number.NaN, -3, 0, 2])))).toEqual([Number.NaN, -1, 0, 1])
    expect(evaluate(E.equal(x, y))).toEqual([0, 0, 1])
    expect(evaluate(E.equal(x, x))).toEqual([0, 1, 1])
    expect(evaluate(E.less(x, y))).toEqual([0, 0, 0])
    expect(evaluate(E.lessEqual(x, y))).toEqual([0, 0, 1])
    expect(evaluate(E.isNaN(x))).toEqual([1, 0, 0])
  })
})

describe("integers, element by element", () => {
  it("wraps", () => {
    const top = tensor([2147483647], "int32")
    expect(evaluate(E.add(top, tensor([1], "int32")))).toEqual([-2147483648])
    expect(evaluate(E.sub(tensor([0], "uint32"), tensor([1], "uint32")))).toEqual([4294967295])
    expect(evaluate(E.mul(top, top))).toEqual([1])
    const unsigned = tensor([4294967295], "uint32")
    expect(evaluate(E.mul(unsigned, unsigned))).toEqual([1])
    expect(evaluate(E.neg(unsigned))).toEqual([1])
    const root = tensor([3037000500n], "int64")
    expect(evaluate(E.mul(root, root))).toEqual([-9223372036709301616n])
    expect(evaluate(E.add(tensor([2n ** 63n - 1n], "int64"), tensor([1n], "int64")))).toEqual([
      -(2n ** 63n)
    ])
    for (const [dtype, least] of [
      ["int32", -(2 ** 31)],
      ["int64", -(2n ** 63n)]
    ] as const) {
      const x = tensor([least], dtype)
      expect(evaluate(E.abs(x))).toEqual([least])
      expect(evaluate(E.div(x, tensor([-1], dtype)))).toEqual([least])
    }
  })

  it("keeps int64 exact", () => {
    const [a, b] = [2n ** 62n + 1n, 2n ** 53n + 1n]
    const [x, y] = [tensor([a], "int64"), tensor([b], "int64")]
    expect(all(E.sub(x, y), E.div(x, y), E.remainder(x, y)).map(({ data }) => data[0])).toEqual([
      a - b,
      a / b,
      a % b
    ])
    expect(evaluate(E.less(tensor([2n ** 53n], "int64"), y))).toEqual([1])
    expect(evaluate(E.maximum(tensor([2n ** 53n], "int64"), y))).toEqual([b])
  })

  it.each(["float64", "float32", "float16", "int32", "int64"] as const)(
    "leaves remainders with the divisor's sign, and truncates quotients, of %s",
    (dtype) => {
      const a = tensor([7, -7, 7, -7, 6, -6], dtype)
      const b = tensor([3, 3, -3, -3, -3, 3], dtype)
      // the same as Python's and NumPy's
      expect(evaluate(E.remainder(a, b)).map(Number)).toEqual(
        dtype.startsWith("int") ? [1, 2, -2, -1, 0, 0] : [1, 2, -2, -1, -0, 0]
      )
      if (dtype.startsWith("int")) {
        expect(evaluate(E.div(a, b)).map(Number)).toEqual([2, -2, -2, 2, -2, -2])
      }
    }
  )

  it.each(integers)("raises %s to powers", (dtype) => {
    expect(
      evaluate(E.pow(tensor([3, 2, 0, 1, 5], dtype), tensor([5, 10, 0, 7, 1], dtype))).map(Number)
    ).toEqual([243, 1024, 1, 1, 5])
  })

  it("raises integers to negative powers, and beyond their range", () => {
    const of = (base: number, exponent: number) =>
      evaluate(E.pow(tensor([base], "int32"), tensor([exponent], "int32")))[0]
    expect([of(2, -1), of(1, -5), of(-1, -3), of(-1, -4)]).toEqual([0, 1, -1, 1])
    expect(of(3, 40)).toBe(Number(BigInt.asIntN(32, 3n ** 40n)))
  })

  it("shifts everything out at 32", () => {
    const x = tensor([0x80000001], "uint32")
    const by = tensor([0, 1, 31, 32, 33], "uint32")
    expect(evaluate(E.shiftLeft(x, by))).toEqual([0x80000001, 2, 0x80000000, 0, 0])
    expect(evaluate(E.shiftRight(x, by))).toEqual([0x80000001, 0x40000000, 1, 0, 0])
  })

  it("has truth tables", () => {
    const [a, b] = [tensor([0, 0, 1, 1], "bool"), tensor([0, 1, 0, 1], "bool")]
    expect(evaluate(E.and(a, b))).toEqual([0, 0, 0, 1])
    expect(evaluate(E.or(a, b))).toEqual([0, 1, 1, 1])
    expect(evaluate(E.not(a))).toEqual([1, 1, 0, 0])
    expect(evaluate(E.equal(a, b))).toEqual([1, 0, 0, 1])
  })

  it("runs Threefry-2x32-20 as Random123's known answers have it", () => {
    const word = (x: number) => tensor([x], "uint32", [])
    const rotate = (x: Tensor, by: number) =>
      E.bitOr(E.shiftLeft(x, word(by)), E.shiftRight(x, word(32 - by)))
    const threefry = (counter: readonly [number, number], key: readonly [number, number]) => {
      const [k0, k1] = key.map(word)
      const keys = [k0, k1, E.bitXor(word(0x1bd11bda), E.bitXor(k0, k1))]
      let [x, y] = [E.add(word(counter[0]), k0), E.add(word(counter[1]), k1)]
      const rotations = [13, 15, 26, 6, 17, 29, 16, 24]
      for (let round = 0; round < 20; round++) {
        x = E.add(x, y)
        y = E.bitXor(rotate(y, rotations[round % 8]), x)
        if (round % 4 === 3) {
          const s = (round + 1) / 4
          x = E.add(x, keys[s % 3])
          y = E.add(y, E.add(keys[(s + 1) % 3], word(s)))
        }
      }
      return all(x, y).map(({ data }) => data[0])
    }
    const ones = 0xffffffff
    expect(threefry([0, 0], [0, 0])).toEqual([0x6b200159, 0x99ba4efe])
    expect(threefry([ones, ones], [ones, ones])).toEqual([0x1cb996fc, 0xbb002be7])
    expect(threefry([0x243f6a88, 0x85a308d3], [0x13198a2e, 0x03707344])).toEqual([
      0xc4923a9c, 0x483df7a0
    ])
  })
})

describe("cast and select", () => {
  it("converts", () => {
    expect(evaluate(E.cast(tensor([1.9, -1.9, 0.5]), "int32"))).toEqual([1, -1, 0])
    expect(evaluate(E.cast(tensor([1.9, -1.9, 2 ** 60], "float32"), "int64"))).toEqual([
      1n,
      -1n,
      2n ** 60n
    ])
    expect(evaluate(E.cast(tensor([0, -0, 0.1, Number.NaN]), "bool"))).toEqual([0, 0, 1, 1])
    expect(evaluate(E.cast(tensor([0, 2 ** 40], "int64"), "bool"))).toEqual([0, 1])
    expect(evaluate(E.cast(tensor([1, 0], "bool"), "float32"))).toEqual([1, 0])
    expect(evaluate(E.cast(tensor([-1], "int32"), "uint32"))).toEqual([4294967295])
    expect(evaluate(E.cast(tensor([4294967295], "uint32"), "int32"))).toEqual([-1])
    expect(evaluate(E.cast(tensor([4294967295], "uint32"), "int64"))).toEqual([4294967295n])
    expect(evaluate(E.cast(tensor([2n ** 32n + 5n, -1n], "int64"), "uint32"))).toEqual([
      5, 4294967295
    ])
    expect(evaluate(E.cast(tensor([0.1]), "float32"))).toEqual([Math.fround(0.1)])
  })

  it("rounds int64 to float32 once", () => {
    // a tie of float32 and one more: float64 alone would lose the one, and go to even
    const above = 2n ** 60n + 2n ** 36n + 1n
    const x = tensor([above, above - 1n, -above, 1n - above], "int64")
    const up = 2 ** 60 + 2 ** 37
    expect(evaluate(E.cast(x, "float32"))).toEqual([up, 2 ** 60, -up, -(2 ** 60)])
  })

  it.each([...numbers, "bool"] as const)("selects %s", (dtype) => {
    const condition = tensor([1, 0], "bool")
    const result = E.select(condition, tensor([1, 0], dtype), tensor([0, 1], dtype, [2, 1]))
    expect(evaluate(result).map(Number)).toEqual([1, 0, 1, 1])
  })
})

describe("broadcasting", () => {
  it.each(numbers)("aligns operands of %s at the end", (dtype) => {
    const rows = tensor([10, 20], dtype, [2, 1])
    const columns = tensor([1, 2, 3], dtype)
    expect(evaluate(E.add(rows, columns)).map(Number)).toEqual([11, 12, 13, 21, 22, 23])
    expect(evaluate(E.sub(columns, tensor([1], dtype, []))).map(Number)).toEqual([0, 1, 2])
  })

  it("does nothing where there is nothing", () => {
    expect(evaluate(E.add(tensor([], "float32", [0, 3]), tensor([1, 2, 3], "float32")))).toEqual([])
  })
})

describe("reductions", () => {
  const cube = tensor(
    Array.from({ length: 24 }, (_, i) => i),
    "float64",
    [2, 3, 4]
  )

  it("sums over any axes", () => {
    expect(evaluate(S.sum(cube, [0, 1, 2], false))).toEqual([276])
    expect(evaluate(S.sum(cube, [1], false))).toEqual([12, 15, 18, 21, 48, 51, 54, 57])
    expect(evaluate(S.sum(cube, [0, 2], true))).toEqual([60, 92, 124])
    expect(evaluate(S.sum(tensor([], "float64", [2, 0]), [1], false))).toEqual([0, 0])
    expect(evaluate(R.prod(tensor([], "float64", [2, 0]), [1], false))).toEqual([1, 1])
  })

  it("sums float32 and float16 with one rounding", () => {
    expect(evaluate(S.sum(tensor([2 ** 24, 1, 1], "float32"), [0], false))).toEqual([2 ** 24 + 2])
    expect(evaluate(S.sum(tensor([2048, 1, 1], "float16"), [0], false))).toEqual([2050])
    expect(evaluate(R.prod(tensor([60000, 2, 0.5], "float16"), [0], false))).toEqual([60000])
  })

  it("wraps sums and products of integers", () => {
    const top = 2 ** 31 - 1
    expect(evaluate(S.sum(tensor([top, top, 3], "int32"), [0], false))).toEqual([1])
    expect(evaluate(R.prod(tensor([65537, 65537, 65537], "int32"), [0], false))).toEqual([
      Number(BigInt.asIntN(32, 65537n ** 3n))
    ])
    expect(evaluate(R.prod(tensor([65537, 65537, 65537], "uint32"), [0], false))).toEqual([
      Number(BigInt.asUintN(32, 65537n ** 3n))
    ])
    expect(evaluate(R.prod(tensor([2n ** 40n, 2n ** 30n + 1n], "int64"), [0], false))).toEqual([
      BigInt.asIntN(64, 2n ** 40n * (2n ** 30n + 1n))
    ])
  })

  it.each(numbers)("finds extremes of %s", (dtype) => {
    const x = matrix(
      [
        [3, 1, 2],
        [0, 5, 5]
      ],
      dtype
    )
    expect(evaluate(R.min(x, [1], false)).map(Number)).toEqual([1, 0])
    expect(evaluate(R.max(x, [0], true)).map(Number)).toEqual([3, 5, 5])
    expect(evaluate(R.argMax(x, 1))).toEqual([0, 1])
    expect(evaluate(R.argMax(x, 0))).toEqual([0, 1, 1])
  })

  it("finds extremes of negative numbers, and NaN", () => {
    expect(evaluate(R.max(tensor([-3, -1, -2]), [0], false))).toEqual([-1])
    const x = tensor([1, Number.NaN, 3, Number.NaN])
    expect(evaluate(R.max(x, [0], false))).toEqual([Number.NaN])
    expect(evaluate(R.min(x, [0], false))).toEqual([Number.NaN])
    expect(evaluate(R.argMax(x, 0))).toEqual([1])
  })

  it.each(["float64", "float16", "int32", "int64"] as const)(
    "sorts %s stably, both ways",
    (dtype) => {
      const x = tensor([2, 1, 2, -1, 1], dtype)
      expect(evaluate(R.argSort(x, 0, false))).toEqual([3, 1, 4, 0, 2])
      expect(evaluate(R.argSort(x, 0, true))).toEqual([0, 2, 1, 4, 3])
    }
  )

  it("sorts along any axis, NaN behind everything", () => {
    expect(
      evaluate(
        R.argSort(
          matrix([
            [3, 1],
            [2, 2],
            [1, 3]
          ]),
          0,
          false
        )
      )
    ).toEqual([2, 0, 1, 1, 0, 2])
    const x = tensor([Number.NaN, Infinity, 0, Number.NaN])
    expect(evaluate(R.argSort(x, 0, false))).toEqual([2, 1, 0, 3])
    expect(evaluate(R.argSort(x, 0, true))).toEqual([0, 3, 1, 2])
  })

  it.each(numbers)("sums cumulatively over %s", (dtype) => {
    const x = matrix(
      [
        [1, 2, 3],
        [4, 5, 6]
      ],
      dtype
    )
    const of = (axis: number, reverse: boolean, exclusive: boolean) =>
      evaluate(S.cumSum(x, axis, reverse, exclusive)).map(Number)
    expect(of(1, false, false)).toEqual([1, 3, 6, 4, 9, 15])
    expect(of(1, true, false)).toEqual([6, 5, 3, 15, 11, 6])
    expect(of(1, false, true)).toEqual([0, 1, 3, 0, 4, 9])
    expect(of(1, true, true)).toEqual([5, 3, 0, 11, 6, 0])
    expect(of(0, false, false)).toEqual([1, 2, 3, 5, 7, 9])
  })
})

describe("standardize", () => {
  it("gives rows mean 0 and variance 1, and the inverse of their deviations", () => {
    // means 2.5 and 1, variances 1.25 and 0
    const x = tensor([1, 2, 3, 4, 1, 1, 1, 1], "float64", [2, 2, 2])
    const node = apply(R.standardizePrimitive, [x], { axis: 1, epsilon: 1 }) as unknown as Node
    const [result, inverse] = all(output(node, 0), output(node, 1))
    const close = (host: HostArray, expected: Values) =>
      values(host).forEach((each, i) => {
        expect(each).toBeCloseTo(Number(expected[i]), 15)
      })
    close(result, [-1, -1 / 3, 1 / 3, 1, 0, 0, 0, 0])
    close(inverse, [2 / 3, 1])
    expect(inverse.shape).toEqual([2, 1, 1])
  })

  it("does not lose small deviations from a large mean", () => {
    const x = tensor([1e8 - 1, 1e8 + 1], "float64", [1, 2])
    expect(evaluate(R.standardize(x, 1, 0))).toEqual([-1, 1])
    expect(
      evaluate(
        R.standardize(E.cast(tensor([2047, 2048, 2048], "float64", [1, 3]), "float16"), 1, 0)
      )
    ).toEqual(
      [-Math.SQRT2, Math.SQRT1_2, Math.SQRT1_2].map((each) =>
        DType.fromFloat16Bits(DType.toFloat16Bits(each))
      )
    )
  })
})

describe("structure", () => {
  const dtypes: ReadonlyArray<DType.DType> = [...numbers, "bool"]
  const bits = [1, 0, 1, 1, 0, 0]

  it.each(dtypes)("moves %s about", (dtype) => {
    const x = tensor(bits, dtype, [2, 3])
    const of = (result: Tensor) => evaluate(result).map(Number)
    expect(of(S.reshape(x, [3, 2]))).toEqual(bits)
    expect(of(S.transpose(x, [1, 0]))).toEqual([1, 1, 0, 0, 1, 0])
    expect(of(S.broadcast(tensor([1, 0], dtype, [2, 1]), [2, 2, 2]))).toEqual([
      1, 1, 0, 0, 1, 1, 0, 0
    ])
    expect(of(S.slice(x, [1, 2], [2, 2], [-1, -2]))).toEqual([0, 1, 1, 1])
    expect(of(S.pad(x, [1, 0], [0, 1], 1))).toEqual([1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1])
    expect(of(S.concat([x, x], 1))).toEqual([1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0])
    expect(of(S.concat([x, S.slice(x, [0, 0], [1, 3])], 0))).toEqual([...bits, 1, 0, 1])
    expect(of(S.gather(x, tensor([2, -3, 2], "int64"), 1))).toEqual([1, 1, 1, 0, 1, 0])
  })

  it("transposes three axes", () => {
    const x = tensor(
      Array.from({ length: 24 }, (_, i) => i),
      "int32",
      [2, 3, 4]
    )
    const order = [2, 0, 1]
    const expected = []
    for (let a = 0; a < 4; a++)
      for (let b = 0; b < 2; b++) for (let c = 0; c < 3; c++) expected.push(b * 12 + c * 4 + a)
    expect(evaluate(S.transpose(x, order))).toEqual(expected)
  })

  it("slices nothing, and the whole backwards", () => {
    const x = tensor([1, 2, 3, 4, 5])
    expect(evaluate(S.slice(x, [5], [0]))).toEqual([])
    expect(evaluate(S.slice(x, [4], [5], [-1]))).toEqual([5, 4, 3, 2, 1])
    expect(evaluate(S.slice(x, [1], [2], [3]))).toEqual([2, 5])
  })

  it("pads with infinities", () => {
    expect(evaluate(S.pad(tensor([1], "float32"), [1], [0], -Infinity))).toEqual([-Infinity, 1])
    expect(evaluate(S.pad(tensor([1], "float16"), [0], [1], 0.1))).toEqual([1, 0.0999755859375])
  })

  it.each(numbers)("counts in %s", (dtype) => {
    expect(evaluate(S.iota([2, 3], 0, dtype)).map(Number)).toEqual([0, 0, 0, 1, 1, 1])
    expect(evaluate(S.iota([2, 3], 1, dtype)).map(Number)).toEqual([0, 1, 2, 0, 1, 2])
  })

  it("gathers with indices of any shape", () => {
    const x = matrix([
      [1, 2],
      [3, 4],
      [5, 6]
    ])
    const indices = matrix(
      [
        [0, -1],
        [1, 0]
      ],
      "int32"
    )
    expect(evaluate(S.gather(x, indices, 0))).toEqual([1, 2, 5, 6, 3, 4, 1, 2])
    expect(evaluate(S.gather(x, tensor([1], "uint32", []), 1))).toEqual([2, 4, 6])
    const wide = S.iota([4, 40], 1, "int64")
    expect(evaluate(S.gather(wide, tensor([3], "int32"), 0))).toEqual(
      Array.from({ length: 40 }, (_, i) => BigInt(i))
    )
  })

  it.each(numbers)("scatters %s, adding where indices meet", (dtype) => {
    const updates = matrix(
      [
        [1, 2],
        [3, 4],
        [5, 6]
      ],
      dtype
    )
    expect(evaluate(S.scatterAdd(tensor([1, -1, 1], "int32"), updates, 0, 3)).map(Number)).toEqual([
      0, 0, 6, 8, 3, 4
    ])
    expect(evaluate(S.scatterAdd(tensor([2, 0], "int64"), updates, 1, 3)).map(Number)).toEqual([
      2, 0, 1, 4, 0, 3, 6, 0, 5
    ])
  })

  it("adds in float64 when it scatters", () => {
    const updates = tensor([2 ** 24, 1, 1], "float32")
    expect(evaluate(S.scatterAdd(tensor([0, 0, 0], "int32"), updates, 0, 1))).toEqual([2 ** 24 + 2])
  })
})

describe("matrix products", () => {
  it.each(numbers)("multiplies %s", (dtype) => {
    const a = matrix(
      [
        [1, 2, 3],
        [4, 5, 6]
      ],
      dtype
    )
    const b = matrix(
      [
        [7, 8],
        [9, 10],
        [11, 12]
      ],
      dtype
    )
    expect(evaluate(L.matmul(a, b)).map(Number)).toEqual([58, 64, 139, 154])
  })

  it("broadcasts the batch", () => {
    const a = tensor([1, 2, 3, 4], "float32", [2, 1, 1, 2])
    const b = tensor([1, 2, 3, 4, 5, 6], "float32", [3, 2, 1])
    expect(evaluate(L.matmul(a, b))).toEqual([5, 11, 17, 11, 25, 39])
    expect(
      evaluate(L.matmul(tensor([], "float32", [2, 0]), tensor([], "float32", [0, 2])))
    ).toEqual([0, 0, 0, 0])
  })

  it("rounds once, and wraps", () => {
    const ones = tensor([1, 1, 1], "float32", [3, 1])
    expect(evaluate(L.matmul(tensor([2 ** 24, 1, 1], "float32", [1, 3]), ones))).toEqual([
      2 ** 24 + 2
    ])
    const big = tensor([65537, 65537], "int32", [1, 2])
    expect(evaluate(L.matmul(big, tensor([65537, 65537], "int32", [2, 1])))).toEqual([
      Number(BigInt.asIntN(32, 2n * 65537n ** 2n))
    ])
    const bits = tensor([2n ** 40n + 1n], "int64", [1, 1])
    expect(evaluate(L.matmul(bits, bits))).toEqual([BigInt.asIntN(64, (2n ** 40n + 1n) ** 2n)])
  })
})

const window = (rank: number, options: Partial<Window> = {}): Window => ({
  stride: Array(rank).fill(1),
  dilation: Array(rank).fill(1),
  low: Array(rank).fill(0),
  high: Array(rank).fill(0),
  groups: 1,
  ...options
})

const range = (n: number): Array<number> => Array.from({ length: n }, (_, i) => i)

describe("convolutions", () => {
  const image = tensor(range(25), "float32", [1, 1, 5, 5])
  const ones = tensor(Array(9).fill(1), "float32", [1, 1, 3, 3])

  // the examples of the operators' definitions in the ONNX specification
  it("agrees with ONNX's Conv", () => {
    expect(evaluate(L.conv(image, ones, window(2, { low: [1, 1], high: [1, 1] })))).toEqual(
      [
        [12, 21, 27, 33, 24],
        [33, 54, 63, 72, 51],
        [63, 99, 108, 117, 81],
        [93, 144, 153, 162, 111],
        [72, 111, 117, 123, 84]
      ].flat()
    )
    expect(evaluate(L.conv(image, ones, window(2)))).toEqual([
      54, 63, 72, 99, 108, 117, 144, 153, 162
    ])
    const tall = tensor(range(35), "float32", [1, 1, 7, 5])
    const strided = window(2, { stride: [2, 2], low: [1, 1], high: [1, 1] })
    expect(evaluate(L.conv(tall, ones, strided))).toEqual([
      12, 27, 24, 63, 108, 81, 123, 198, 141, 112, 177, 124
    ])
    const uneven = window(2, { stride: [2, 2], low: [1, 0], high: [1, 0] })
    expect(evaluate(L.conv(tall, ones, uneven))).toEqual([21, 33, 99, 117, 189, 207, 171, 183])
  })

  it("agrees with ONNX's ConvTranspose", () => {
    const x = tensor(range(9), "float32", [1, 1, 3, 3])
    const w = tensor(Array(18).fill(1), "float32", [1, 2, 3, 3])
    const plane = [
      [0, 1, 3, 3, 2],
      [3, 8, 15, 12, 7],
      [9, 21, 36, 27, 15],
      [9, 20, 33, 24, 13],
      [6, 13, 21, 15, 8]
    ].flat()
    expect(evaluate(L.convTranspose(x, w, window(2), [5, 5]))).toEqual([...plane, ...plane])
    const dilated = tensor([3, 8, 1, 9, 5, 7, 3, 2, 6], "float32", [1, 1, 3, 3])
    const small = tensor([7, 2, 1, 9], "float32", [1, 1, 2, 2])
    expect(
      evaluate(L.convTranspose(dilated, small, window(2, { dilation: [2, 2] }), [5, 5]))
    ).toEqual(
      [
        [21, 56, 13, 16, 2],
        [63, 35, 67, 10, 14],
        [24, 22, 76, 76, 21],
        [9, 5, 88, 45, 63],
        [3, 2, 33, 18, 54]
      ].flat()
    )
  })

  /** Σ over channels and taps, straight from the definition. */
  const direct = (
    x: HostArray,
    w: HostArray,
    space: Shape.Shape,
    { stride, dilation, low, groups }: Window
  ) => {
    const [batch, channels] = x.shape
    const [outputs, perGroup] = w.shape
    const every = (shape: Shape.Shape) =>
      shape.reduce<Array<Array<number>>>(
        (all, n) => all.flatMap((one) => range(n).map((i) => [...one, i])),
        [[]]
      )
    const at = ({ shape, data }: HostArray, index: Array<number>) =>
      index.some((each, i) => each < 0 || each >= shape[i])
        ? 0
        : Number(data[index.reduce((offset, each, i) => offset * shape[i] + each, 0)])
    expect(channels).toBe(perGroup * groups)
    return every([batch, outputs, ...space]).map(([n, o, ...p]) => {
      const first = Math.floor(o / (outputs / groups)) * perGroup
      return every(w.shape.slice(1)).reduce((sum, [c, ...q]) => {
        const place = p.map((each, i) => each * stride[i] + q[i] * dilation[i] - low[i])
        return sum + at(x, [n, first + c, ...place]) * at(w, [o, c, ...q])
      }, 0)
    })
  }

  const cases = fc
    .record({
      rank: fc.integer({ min: 1, max: 3 }),
      batch: fc.integer({ min: 1, max: 2 }),
      groups: fc.integer({ min: 1, max: 3 }),
      perGroup: fc.integer({ min: 1, max: 2 }),
      outputs: fc.integer({ min: 1, max: 2 }),
      seed: fc.integer()
    })
    .chain(({ rank, ...rest }) => {
      const each = (min: number, max: number) =>
        fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank })
      return fc
        .record({
          space: each(1, 4),
          kernel: each(1, 3),
          stride: each(1, 3),
          dilation: each(1, 2),
          low: each(0, 3),
          high: each(0, 3)
        })
        .map((geometry) => ({ ...rest, ...geometry, rank }))
    })
    .filter(({ space, kernel, dilation, low, high }) =>
      space.every((size, i) => size + low[i] + high[i] > (kernel[i] - 1) * dilation[i])
    )

  it("are each other's adjoints, and agree with the definition", () => {
    fc.assert(
      fc.property(cases, ({ batch, groups, perGroup, outputs, space, kernel, seed, ...window }) => {
        let state = seed
        // small integers: every order of summation gives the same
        const random = (shape: Shape.Shape): HostArray => ({
          shape,
          dtype: "float64",
          data: Float64Array.from({ length: Shape.size(shape) }, () => {
            state = (Math.imul(state, 1664525) + 1013904223) | 0
            return (state >> 24) % 10
          })
        })
        const at = { ...window, groups }
        const [x, w] = [
          random([batch, perGroup * groups, ...space]),
          random([outputs * groups, perGroup, ...kernel])
        ]
        const y = L.conv(S.constant(x), S.constant(w), at)
        const c = random(y.shape)
        const [forward, transposed, taps] = all(
          y,
          L.convTranspose(S.constant(c), S.constant(w), at, space),
          L.convKernel(S.constant(x), S.constant(c), at, kernel)
        )
        expect(values(forward)).toEqual(direct(x, w, y.shape.slice(2), at))
        const inner = (a: HostArray, b: HostArray) =>
          (a.data as Float64Array).reduce(
            (sum, each, i) => sum + each * (b.data as Float64Array)[i],
            0
          )
        expect(inner(transposed, x)).toBe(inner(forward, c))
        expect(inner(taps, w)).toBe(inner(forward, c))
      }),
      { numRuns: 200 }
    )
  })

  it("rounds once", () => {
    const x = tensor([2 ** 24, 1, 1], "float32", [1, 3, 1])
    const w = tensor([1, 1, 1], "float32", [1, 3, 1])
    expect(evaluate(L.conv(x, w, window(1)))).toEqual([2 ** 24 + 2])
    expect(evaluate(L.conv(E.cast(x, "float16"), E.cast(w, "float16"), window(1)))).toEqual([
      Infinity
    ])
  })
})

describe("pooling", () => {
  const x = tensor(
    range(25).map((i) => i + 1),
    "float32",
    [1, 1, 5, 5]
  )
  const pool = (kind: "max" | "mean", size: number, stride: number, padding: number): Values => {
    const both = (n: number) => [n, n]
    return evaluate(
      L.pool(x, {
        kind,
        window: both(size),
        stride: both(stride),
        low: both(padding),
        high: both(padding)
      })
    )
  }

  // the examples of the operators' definitions in the ONNX specification
  it("agrees with ONNX's MaxPool", () => {
    expect(pool("max", 5, 1, 2)).toEqual(
      [
        [13, 14, 15, 15, 15],
        [18, 19, 20, 20, 20],
        [23, 24, 25, 25, 25],
        [23, 24, 25, 25, 25],
        [23, 24, 25, 25, 25]
      ].flat()
    )
    expect(pool("max", 2, 2, 0)).toEqual([7, 9, 17, 19])
  })

  it("agrees with ONNX's AveragePool, padding counted", () => {
    expect(pool("mean", 5, 1, 2)).toEqual(
      [
        [2.52, 3.6, 4.8, 4.08, 3.24],
        [4.56, 6.4, 8.4, 7.04, 5.52],
        [7.2, 10, 13, 10.8, 8.4],
        [6.96, 9.6, 12.4, 10.24, 7.92],
        [6.12, 8.4, 10.8, 8.88, 6.84]
      ]
        .flat()
        .map(Math.fround)
    )
    expect(pool("mean", 2, 2, 0)).toEqual([4, 6, 14, 16])
  })

  it("ignores padding in the maximum of negative numbers, but not NaN", () => {
    const along = { kind: "max", window: [2], stride: [1], low: [1], high: [1] } as const
    expect(evaluate(L.pool(tensor([-3, -1, -2], "float32", [1, 1, 3]), along))).toEqual([
      -3, -1, -1, -2
    ])
    expect(evaluate(L.pool(tensor([1, Number.NaN, 2], "float64", [1, 1, 3]), along))).toEqual([
      1,
      Number.NaN,
      Number.NaN,
      2
    ])
  })
})

const free = (name: string, shape: Shape.Shape = [], dtype: DType.DType = "float64"): Tensor =>
  S.input(name, shape, dtype)

const scalar = (value: number, dtype: DType.DType = "float64"): Tensor => S.scalar(value, dtype)

describe("scan", () => {
  const forward = { length: 5, reverse: false, store: undefined }
  const xs = tensor([1, 2, 3, 4, 5])

  it("carries states and stacks results", () => {
    const [a, b] = [free("a"), free("b")]
    const [last, , fibonacci] = Control.scan(
      [scalar(0), scalar(1)],
      [],
      { parameters: [a, b], results: [b, E.add(a, b), a] },
      { ...forward, length: 10 }
    )
    expect(evaluate(fibonacci)).toEqual([0, 1, 1, 2, 3, 5, 8, 13, 21, 34])
    expect(evaluate(last)).toEqual([55])
  })

  it.each([false, true])("scans arrays, reversed: %s", (reverse) => {
    const [sum, x] = [free("sum"), free("x")]
    const next = E.add(sum, x)
    const [total, sums] = Control.scan(
      [scalar(0)],
      [xs],
      { parameters: [sum, x], results: [next, next] },
      { ...forward, reverse }
    )
    expect(evaluate(sums)).toEqual(evaluate(S.cumSum(xs, 0, reverse, false)))
    expect(evaluate(total)).toEqual([15])
  })

  it("sees what is outside, and nests", () => {
    const k = E.add(scalar(1), scalar(1))
    const [outer, i, inner, x] = [free("outer"), free("i"), free("inner"), free("x")]
    // Σᵢ Σₓ 2 i x, over the same array
    const [row] = Control.scan(
      [scalar(0)],
      [xs],
      { parameters: [inner, x], results: [E.add(inner, E.mul(k, E.mul(i, x)))] },
      forward
    )
    const [total] = Control.scan(
      [scalar(0)],
      [xs],
      { parameters: [outer, i], results: [E.add(outer, row)] },
      forward
    )
    expect(evaluate(total)).toEqual([450])
  })

  it("takes no steps", () => {
    const [sum, x] = [free("sum"), free("x", [2])]
    const [total, stacked] = Control.scan(
      [scalar(7)],
      [tensor([], "float64", [0, 2])],
      { parameters: [sum, x], results: [sum, x] },
      { ...forward, length: 0 }
    )
    expect(evaluate(total)).toEqual([7])
    expect(evaluate(stacked)).toEqual([])
  })

  it.each([...numbers, "bool"] as const)("carries and stacks %s", (dtype) => {
    const [state, x] = [free("state", [2], dtype), free("x", [2], dtype)]
    const [last, stacked] = Control.scan(
      [tensor([0, 0], dtype)],
      [tensor([1, 0, 0, 1], dtype, [2, 2])],
      { parameters: [state, x], results: [x, state] },
      { ...forward, length: 2 }
    )
    expect(evaluate(last).map(Number)).toEqual([0, 1])
    expect(evaluate(stacked).map(Number)).toEqual([0, 0, 1, 0])
  })
})

describe("whileLoop", () => {
  it("runs until the condition is false, maybe never", () => {
    const [a, b] = [free("a", [], "int32"), free("b", [], "int32")]
    const gcd = (x: number, y: number) =>
      Control.whileLoop(
        [scalar(x, "int32"), scalar(y, "int32")],
        { parameters: [a, b], results: [E.not(E.equal(b, scalar(0, "int32")))] },
        { parameters: [a, b], results: [b, E.remainder(a, b)] }
      )[0]
    expect(evaluate(gcd(1071, 462))).toEqual([21])
    expect(evaluate(gcd(5, 0))).toEqual([5])
  })

  it("sees what is outside", () => {
    const target = E.mul(tensor([2], "float64", []), scalar(1))
    const x = free("x")
    const [root] = Control.whileLoop(
      [scalar(1)],
      { parameters: [x], results: [E.less(scalar(1e-12), E.abs(E.sub(E.mul(x, x), target)))] },
      { parameters: [x], results: [E.mul(scalar(0.5), E.add(x, E.div(target, x)))] }
    )
    expect(evaluate(root)[0]).toBeCloseTo(Math.SQRT2, 12)
  })
})

describe("primitives for derivatives", () => {
  it("are nothing to a device, though one that meets them copes", () => {
    const x = tensor([1, 2])
    const [custom] = Control.custom([x], [E.neg(x)], {
      name: "negate",
      backward: () => [undefined]
    })
    expect(evaluate(custom)).toEqual([-1, -2])
    const graph = { inputs: [], outputs: [custom, E.stopGradient(x)], nodes: [], key: "" }
    const compiled = Effect.runSync(backend.compile({ ...source([], []), graph }))
    expect(Effect.runSync(compiled.run([])).map((data) => [...data])).toEqual([
      [-1, -2],
      [1, 2]
    ])
  })
})

describe("errors", () => {
  it.each(integers)("refuses to divide %s by zero", (dtype) => {
    const quotient = E.div(tensor([7, 5], dtype), tensor([1, 0], dtype))
    expect(refusal(quotient)).toMatchObject({
      _tag: "DeviceError",
      reason: "Failed",
      device: "reference",
      operation: "div",
      shapes: [[2], [2]],
      message: `div(${dtype}[2], ${dtype}[2]): divides 5 by zero, which has no result among integers`
    })
    expect(refusal(E.remainder(tensor([7], dtype), tensor([0], dtype)))).toMatchObject({
      operation: "remainder"
    })
  })

  it("refuses zero to a negative power among integers", () => {
    expect(refusal(E.pow(tensor([0], "int32"), tensor([-2], "int32"))).message).toBe(
      "pow(int32[1], int32[1]): raises 0 to the power -2, which divides by zero"
    )
  })

  it("refuses indices out of range", () => {
    const x = matrix([
      [1, 2],
      [3, 4],
      [5, 6]
    ])
    expect(refusal(S.gather(x, tensor([0, 3], "int32"), 0))).toMatchObject({
      reason: "Failed",
      operation: "gather",
      shapes: [[3, 2], [2]],
      message:
        "gather(float64[3, 2], int32[2]): index 3 is out of range along axis 0: indices reach from -3 to 2"
    })
    expect(refusal(S.gather(x, tensor([-3], "int64"), 1)).message).toContain(
      "index -3 is out of range along axis 1"
    )
    const empty = tensor([], "float64", [0, 2])
    expect(refusal(S.gather(empty, tensor([0], "int32"), 0)).message).toContain(
      "index 0 is out of range"
    )
    expect(refusal(S.scatterAdd(tensor([2], "int32"), tensor([1]), 0, 2))).toMatchObject({
      operation: "scatterAdd",
      message:
        "scatterAdd(int32[1], float64[1]): index 2 is out of range along axis 0: indices reach from -2 to 1"
    })
  })

  it("names the operation within a loop", () => {
    const [state, i] = [free("state", [2]), free("i", [], "int32")]
    const body = E.add(state, S.gather(tensor([1, 2, 3]), S.reshape(i, [1]), 0))
    const [result] = Control.scan(
      [tensor([0, 0])],
      [tensor([0, 1, 5], "int32")],
      { parameters: [state, i], results: [body] },
      { length: 3, reverse: false, store: undefined }
    )
    expect(refusal(result)).toMatchObject({ _tag: "DeviceError", operation: "gather" })
  })

  it("says when memory is short", () => {
    expect(refusal(S.broadcast(tensor([1]), [2 ** 26, 2 ** 26]))).toMatchObject({
      _tag: "DeviceError",
      reason: "Memory",
      operation: "broadcast"
    })
  })

  it("does not compile what depends on another program's input", () => {
    expect(refusal(E.neg(free("stranger")))).toMatchObject({
      _tag: "CompileError",
      reason: "Failed",
      program: "test",
      message: `test: it depends on the input "stranger", which is not one of its own`
    })
  })
})

describe("programs", () => {
  it("takes inputs, and runs again", () => {
    const [x, y] = [free("x", [2]), free("y", [2])]
    const compiled = Effect.runSync(backend.compile(source([x, y], [E.sub(x, y), x, E.sub(x, y)])))
    const run = (a: Values, b: Values) =>
      Effect.runSync(compiled.run([data("float64", a), data("float64", b)])).map((each) => [
        ...each
      ])
    expect(run([5, 6], [1, 2])).toEqual([
      [4, 4],
      [5, 6],
      [4, 4]
    ])
    expect(run([0, 0], [1, 2])).toEqual([
      [-1, -2],
      [0, 0],
      [-1, -2]
    ])
  })

  it("folds", () => {
    const [sum, count, x] = [free("sum", [2]), free("count", [], "int32"), free("x", [2])]
    const next = E.add(sum, x)
    const outputs = [next, E.add(count, scalar(1, "int32")), E.mul(next, next)]
    const fold = Effect.runSync(backend.compileFold(source([sum, count, x], outputs), 2))
    const start = [data("float64", [0, 10]), data("int32", [0])]
    const arrays = [data("float64", [1, 2, 3, 4, 5, 6])]
    const run = (steps: number) =>
      Effect.runSync(fold.run(start, arrays, steps)).map((each) => [...each])
    expect(run(2)).toEqual([[4, 16], [2], [1, 144, 16, 256]])
    expect(run(0)).toEqual([[0, 10], [0], []])
  })

  it("keeps no part of what it was given", () => {
    const host = { shape: [2], dtype: "float32", data: Float32Array.of(1, 2) } as const
    const memory = Effect.runSync(backend.write(host))
    host.data[0] = 9
    const read = Effect.runSync(backend.read(memory, host))
    expect([...read.data]).toEqual([1, 2])
    read.data[0] = 7
    expect([...memory]).toEqual([1, 2])
    backend.free(memory)
  })

  it("does not keep a scanned array alive by a part of it", () => {
    const [state, x] = [free("state", [2]), free("x", [2])]
    const fold = Effect.runSync(backend.compileFold(source([state, x], [x]), 1))
    const array = data("float64", range(2000))
    const [last] = Effect.runSync(fold.run([data("float64", [0, 0])], [array], 1000))
    expect([...last]).toEqual([1998, 1999])
    expect(last.buffer.byteLength).toBe(16)
  })

  it("runs graphs deeper than the call stack", () => {
    const x = free("x", [1])
    let y = x
    for (let i = 0; i < 30_000; i++) y = E.add(y, x)
    const [result] = Effect.runSync(running([x], [y], [data("float64", [1])]))
    expect([...result.data]).toEqual([30_001])
  })

  it("knows how much memory a run takes", () => {
    const workspace = (inputs: ReadonlyArray<Tensor>, outputs: ReadonlyArray<Tensor>) => {
      const { workspace } = Effect.runSync(backend.compile(source(inputs, outputs)))
      expect(workspace).toBe(Cost.ofGraph(Graph.make(inputs, outputs)).peakBytes)
      return workspace
    }
    const x = free("x", [100], "float32")
    let chain = E.exp(x)
    for (let i = 0; i < 50; i++) chain = S.reshape(E.sin(S.reshape(chain, [10, 10])), [100])
    // one value and the next; views are free
    expect(workspace([x], [chain])).toBe(2 * 400)
    expect(workspace([x], [x, S.reshape(x, [10, 10]), tensor([1])])).toBe(0)
    // the first is held to the end, beside the chain
    expect(workspace([x], [E.add(chain, E.exp(x))])).toBe(3 * 400)
    expect(workspace([x], [chain, E.exp(x)])).toBe(3 * 400)

    const [state, element] = [free("state", [100], "float32"), free("element", [], "float32")]
    const next = E.mul(E.exp(state), element)
    const [, stack] = Control.scan(
      [x],
      [tensor([1, 2, 3], "float32")],
      { parameters: [state, element], results: [next, next] },
      { length: 3, reverse: false, store: undefined }
    )
    // the stack, the old state, its exponential and their product
    expect(workspace([x], [stack])).toBe((3 + 1 + 2) * 400)
  })

  it("has room", () => {
    expect(backend.capacity).toBeGreaterThan(2 ** 28)
    expect(Number.isFinite(backend.capacity)).toBe(true)
  })
})
