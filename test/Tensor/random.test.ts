import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Onnx from "../../src/Device/Onnx.ts"
import * as Reference from "../../src/Device/Reference.ts"
import * as DType from "../../src/Tensor/DType.ts"
import type { HostArray, Tensor } from "../../src/Tensor/Expression.ts"
import * as HostRandom from "../../src/Tensor/HostRandom.ts"
import * as internal from "../../src/Tensor/internal/random.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Random from "../../src/Tensor/Random.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import * as Tensors from "../../src/Tensor/Tensor.ts"
import { DTypeError, ShapeError } from "../../src/Tensor/TensorError.ts"
import { kolmogorov, phi } from "../support/statistics.ts"

type Keys = Tensor<Shape, "uint32">

/** Runs a function of keys on a device. The keys are inputs, so that nothing is computed before. */
type Evaluate = <T extends { readonly [name: string]: Tensor }>(
  keys: HostArray<Shape, "uint32">,
  f: (keys: Keys) => T
) => Promise<{ readonly [K in keyof T]: HostArray }>

const evaluator =
  (device: Effect.Effect<Device.Service, unknown, Scope.Scope>): Evaluate =>
  (keys, f) =>
    Effect.gen(function* () {
      const service = yield* device
      const program = yield* Program.make({ keys }, (inputs) => f(inputs.keys as Keys))
      const executable = yield* service.compile(program)
      const results = yield* executable.run({ keys } as never)
      return yield* service.downloadAll(results)
    }).pipe(Effect.scoped, Effect.runPromise) as never

const devices: ReadonlyArray<readonly [name: string, evaluate: Evaluate]> = [
  ["Reference", evaluator(Device.fromBackend(Reference.backend))],
  ["Onnx", evaluator(Effect.flatMap(Onnx.backend, (backend) => Device.fromBackend(backend)))]
]

/** What both modules draw: with the same name, and arguments that mean the same. */
interface Draw {
  readonly device: (keys: Keys) => Tensor
  readonly host: (key: HostRandom.Key) => HostArray
}

const onDevice = { ...Random }
const onHost = { ...HostRandom }

const draw = <Name extends keyof typeof onDevice & keyof typeof onHost>(
  name: Name,
  ...rest: ReadonlyArray<unknown>
): Draw => ({
  device: (keys) => (onDevice[name] as (...args: Array<unknown>) => Tensor)(keys, ...rest),
  host: (key) => (onHost[name] as (...args: Array<unknown>) => HostArray)(key, ...rest)
})

const n = 997

const draws: { readonly [name: string]: Draw } = {
  "words, even": draw("bits", [16, 3]),
  "words, odd": draw("bits", [n]),
  "one word": draw("bits", []),
  uniform: draw("uniform", [n]),
  "uniform, moved": draw("uniform", [n], { min: -1.3, max: 2.7 }),
  "uniform, where rounding would reach the maximum": draw("uniform", [n], {
    min: 2 ** 20,
    max: 2 ** 20 + 1
  }),
  "uniform float64": draw("uniform", [n], { min: -1.3, max: 2.7, dtype: "float64" }),
  "uniform float16": draw("uniform", [n], { min: -1.3, max: 2.7, dtype: "float16" }),
  "normal, even": draw("normal", [4, 250]),
  "normal, odd": draw("normal", [n]),
  "one normal": draw("normal", []),
  "normal float64": draw("normal", [n], { dtype: "float64" }),
  "normal float16": draw("normal", [n], { dtype: "float16" }),
  "truncated normal": draw("truncatedNormal", [n], { min: -2, max: 2 }),
  "truncated normal, one side": draw("truncatedNormal", [n], { max: 1 }),
  "truncated normal, no side": draw("truncatedNormal", [n], {}),
  "truncated normal, upper tail": draw("truncatedNormal", [n], { min: 8 }),
  "truncated normal, lower tail": draw("truncatedNormal", [n], { min: -6.5, max: -6 }),
  "truncated normal float64": draw("truncatedNormal", [n], { min: -9, dtype: "float64" }),
  "truncated normal float16": draw("truncatedNormal", [n], { min: 0.3, dtype: "float16" }),
  "small integers": draw("integers", [n], { max: 10 }),
  "large integers": draw("integers", [n], { min: -5e8, max: 1.6e9 }),
  "all integers": draw("integers", [n], { min: -(2 ** 31), max: 2 ** 31 }),
  "short permutation": draw("permutation", 50),
  "long permutation": draw("permutation", n),
  "permutation of one": draw("permutation", 1),
  gumbel: draw("gumbel", [n]),
  "gumbel float64": draw("gumbel", [n], { dtype: "float64" }),
  bernoulli: draw("bernoulli", [n], 0.3),
  "bernoulli, never": draw("bernoulli", [n], 0),
  "bernoulli, always": draw("bernoulli", [n], 1)
}

const drawAll = (keys: Keys) =>
  Object.fromEntries(Object.entries(draws).map(([name, { device }]) => [name, device(keys)]))

/** Values as numbers, row `i` of several equal rows. */
const values = ({ dtype, data }: HostArray, i = 0, rows = 1): Array<number> => {
  const length = data.length / rows
  const row = Array.from<number | bigint, number>(
    data.subarray(i * length, (i + 1) * length),
    Number
  )
  return dtype === "float16" ? row.map(DType.fromFloat16Bits) : row
}

const hex = (words: Iterable<number>): string =>
  Array.from(words, (word) => word.toString(16).padStart(8, "0")).join(" ")

describe.each(devices)("Random on %s", (_, evaluate) => {
  it("gives what HostRandom gives, bit for bit", async () => {
    const key = HostRandom.key(5)
    const results = await evaluate(HostRandom.toHostArray(key), drawAll)
    for (const [name, { host }] of Object.entries(draws)) {
      const [found, expected] = [results[name], host(key)]
      expect(found.dtype, name).toBe(expected.dtype)
      expect(found.shape, name).toEqual(expected.shape)
      expect(values(found), name).toEqual(values(expected))
    }
  })

  it("gives each key of a batch what it draws alone", async () => {
    const keys = HostRandom.split(HostRandom.key(6), 3)
    const results = await evaluate(HostRandom.toHostArray(keys), drawAll)
    for (const [name, { host }] of Object.entries(draws)) {
      keys.forEach((key, i) => {
        const expected = host(key)
        expect(results[name].shape, name).toEqual([3, ...expected.shape])
        expect(values(results[name], i, 3), name).toEqual(values(expected))
      })
    }
  })

  it("takes several batch axes", async () => {
    const keys = HostRandom.split(HostRandom.key(6), 4)
    const { grid } = await evaluate(HostRandom.toHostArray(keys), (keys) => ({
      grid: Random.normal(Tensors.reshape(keys, [2, 2, 2]), [5, 3])
    }))
    expect(grid.shape).toEqual([2, 2, 5, 3])
    keys.forEach((key, i) => {
      expect(values(grid, i, 4)).toEqual(values(HostRandom.normal(key, [5, 3])))
    })
  })

  it("makes the same keys as HostRandom", async () => {
    const key = HostRandom.key(-7n)
    const folded = [0, 1, 2 ** 31, 2 ** 32 - 1]
    const results = await evaluate(HostRandom.toHostArray(key), (key) => ({
      split: Random.split(key, 5),
      grandchildren: Random.split(Random.split(key, 2), 3),
      second: Random.children(key, 3)[1],
      fold: Random.foldIn(key, 2 ** 32 - 1),
      folds: Random.foldIn(
        key,
        Tensors.constant(Uint32Array.from(folded), { shape: [4], dtype: "uint32" })
      ),
      negative: Random.foldIn(
        key,
        Tensors.constant(Int32Array.of(-1, 5), { shape: [2], dtype: "int32" })
      ),
      wrapped: Random.foldIn(
        key,
        Tensors.constant(BigInt64Array.of(-1n, 2n ** 32n + 5n), { shape: [2], dtype: "int64" })
      ),
      both: Random.foldIn(
        Random.split(key, 2),
        Tensors.constant(Int32Array.of(3, 4, 5), { shape: [3, 1], dtype: "int32" })
      )
    }))
    const flat = (keys: ReadonlyArray<HostRandom.Key>) => keys.flat()
    const parents = HostRandom.split(key, 2)
    expect(values(results.split)).toEqual(flat(HostRandom.split(key, 5)))
    expect(values(results.grandchildren)).toEqual(
      parents.flatMap((parent) => flat(HostRandom.split(parent, 3)))
    )
    expect(values(results.second)).toEqual(HostRandom.split(key, 2)[1])
    expect(values(results.fold)).toEqual(HostRandom.foldIn(key, 2 ** 32 - 1))
    expect(values(results.folds)).toEqual(folded.flatMap((data) => HostRandom.foldIn(key, data)))
    const modulo = [2 ** 32 - 1, 5].flatMap((data) => HostRandom.foldIn(key, data))
    expect(values(results.negative)).toEqual(modulo)
    expect(values(results.wrapped)).toEqual(modulo)
    expect(results.both.shape).toEqual([3, 2, 2])
    expect(values(results.both)).toEqual(
      [3, 4, 5].flatMap((data) => parents.flatMap((parent) => HostRandom.foldIn(parent, data)))
    )
  })

  it("holds to Random123's known answers", async () => {
    // tests/kat_vectors of Random123: threefry2x32, 20 rounds; counter, key, result
    const answers = [
      [0, 0, 0, 0, 0x6b200159, 0x99ba4efe],
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xc4923a9c, 0x483df7a0]
    ] as const
    const pairs = (from: number) =>
      HostRandom.toHostArray(answers.map((row) => [row[from], row[from + 1]] as const))
    const { blocks } = await evaluate(pairs(2), (keys) => ({
      blocks: Random.threefry2x32(
        keys,
        Tensors.constant(pairs(0).data, { shape: [3, 2], dtype: "uint32" })
      )
    }))
    expect(hex(values(blocks))).toBe(hex(pairs(4).data))
    answers.forEach(([c0, c1, k0, k1, ...block]) => {
      expect(hex(HostRandom.threefry2x32([k0, k1], [c0, c1]))).toBe(hex(block))
    })
  })

  it("chooses classes with the probabilities that logits stand for", async () => {
    const probabilities = [0.1, 0.2, 0.3, 0.4]
    const { classes } = await evaluate(HostRandom.toHostArray(HostRandom.key(3)), (key) => ({
      classes: Random.categorical(
        key,
        Tensors.broadcastTo(Tensors.constant(probabilities.map(Math.log)), [20_000, 4])
      )
    }))
    expect(classes.shape).toEqual([20_000])
    const counts = probabilities.map((_, i) => values(classes).filter((each) => each === i).length)
    expect(chiSquare(counts, probabilities)).toBeLessThan(critical[3])
  })

  it("throws coins with a tensor of probabilities", async () => {
    const { coins } = await evaluate(HostRandom.toHostArray(HostRandom.key(3)), (key) => ({
      coins: Random.bernoulli(key, [20_000, 3], Tensors.constant([0, 0.25, 1]))
    }))
    const heads = [0, 1, 2].map(
      (i) => values(coins).filter((each, k) => k % 3 === i && each).length
    )
    expect([heads[0], heads[2]]).toEqual([0, 20_000])
    expect(Math.abs(heads[1] - 5000)).toBeLessThan(4 * Math.sqrt(20_000 * 0.25 * 0.75))
  })

  it("inverts the error function", async () => {
    const points = [0, 1e-6, 0.1, 0.5, 0.849, 0.851, 0.99, 0.9999999]
    const x = points.flatMap((each) => [each, -each])
    const run = (dtype: "float32" | "float64") =>
      evaluate(HostRandom.toHostArray(HostRandom.key(0)), () => {
        const y = Random.erfinv(Tensors.constant([...x, 1, -1, 1.5], { shape: [19], dtype }))
        return { y, back: Tensors.erf(y) }
      })
    for (const [dtype, error] of [
      ["float32", 2e-7],
      ["float64", 4e-16]
    ] as const) {
      const { y, back } = await run(dtype)
      expect(values(y).slice(16)).toEqual([Infinity, -Infinity, Number.NaN])
      values(back)
        .slice(0, 16)
        .forEach((each, i) => {
          expect(Math.abs(each - x[i])).toBeLessThanOrEqual(error)
        })
    }
    // Blair, Edwards & Johnson 1976, table 1
    expect(values((await run("float64")).y)[6]).toBeCloseTo(0.4769362762044699, 15)
  })

  it("draws nothing", async () => {
    const { bits, normal, order } = await evaluate(
      HostRandom.toHostArray(HostRandom.key(0)),
      (key) => ({
        bits: Random.bits(key, [0, 3]),
        normal: Random.normal(key, [2, 0]),
        order: Random.permutation(key, 0)
      })
    )
    expect([bits.shape, normal.shape, order.shape]).toEqual([[0, 3], [2, 0], [0]])
  })
})

describe("keys", () => {
  it("have the seed's 64 bits", () => {
    const words = (seed: number | bigint) => {
      const { node } = Random.key(seed)
      expect((node.attributes as HostArray).data).toEqual(Uint32Array.from(HostRandom.key(seed)))
      return HostRandom.key(seed)
    }
    expect(words(7)).toEqual([0, 7])
    expect(words(2 ** 32 + 1)).toEqual([1, 1])
    expect(words(0x0123456789abcdefn)).toEqual([0x01234567, 0x89abcdef])
    expect(words(-1)).toEqual([0xffffffff, 0xffffffff])
  })

  it("do not depend on how many are split off", () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.nat(40), fc.nat(40), (seed, few, more) => {
        const key = HostRandom.key(seed)
        expect(HostRandom.split(key, few + more).slice(0, few)).toEqual(HostRandom.split(key, few))
      })
    )
  })

  it("differ between draws, children and folds", () => {
    const key = HostRandom.key(1)
    const { data } = HostRandom.bits(key, [2000])
    const seen = new Set<string>()
    for (let i = 0; i < 1000; i++) {
      // blocks are pairs of the two halves
      seen.add(hex([data[i], data[1000 + i]]))
      seen.add(hex(HostRandom.foldIn(key, i)))
    }
    for (const child of HostRandom.split(key, 1000)) seen.add(hex(child))
    expect(seen.size).toBe(3000)
  })
})

// Statistics. Seeds are fixed, so these pass always or never; each bound is one that a right
// generator keeps with the probability stated.

const size = 400_000

const moments = (x: ArrayLike<number>) => {
  const power = (k: number, mean: number) => {
    let sum = 0
    for (let i = 0; i < x.length; i++) sum += (x[i] - mean) ** k
    return sum / x.length
  }
  const mean = power(1, 0)
  const variance = power(2, mean)
  return {
    mean,
    variance,
    skewness: power(3, mean) / variance ** 1.5,
    kurtosis: power(4, mean) / variance ** 2
  }
}

const chiSquare = (
  counts: ReadonlyArray<number>,
  probabilities?: ReadonlyArray<number>
): number => {
  const total = counts.reduce((sum, each) => sum + each, 0)
  return counts.reduce((sum, each, i) => {
    const expected = total * (probabilities?.[i] ?? 1 / counts.length)
    return sum + (each - expected) ** 2 / expected
  }, 0)
}

/** Of χ² with so many degrees of freedom: exceeded with a probability of 0.001. */
const critical = { 3: 16.27, 9: 27.88, 23: 49.73, 99: 148.23 } as const

describe.each(["float32", "float64"] as const)("uniform %s", (dtype) => {
  const { data } = HostRandom.uniform(HostRandom.key(12), [size], { dtype })

  it("has the moments of its distribution, within 4.5 standard errors", () => {
    const { mean, variance, skewness, kurtosis } = moments(data)
    const error = 4.5 / Math.sqrt(size)
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(error * Math.sqrt(1 / 12))
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(error * Math.sqrt(1 / 180))
    expect(Math.abs(skewness)).toBeLessThan(error * 2)
    expect(Math.abs(kurtosis - 9 / 5)).toBeLessThan(error * 2)
  })

  it("passes the test of Kolmogorov and Smirnov, at 0.999", () => {
    expect(kolmogorov(data, (x) => x)).toBeLessThan(1.95)
  })

  it("has no correlation with its neighbours and halves, within 4.5 standard errors", () => {
    for (const lag of [1, 2, 3, size / 2]) {
      let sum = 0
      for (let i = 0; i < size; i++) sum += (data[i] - 0.5) * (data[(i + lag) % size] - 0.5)
      expect(Math.abs((12 * sum) / size)).toBeLessThan((4.5 * Math.SQRT2) / Math.sqrt(size))
    }
  })
})

describe("uniform", () => {
  const { words, float32, float64 } = internal.numbers

  it("is never its maximum, whatever the bounds", () => {
    const bound = fc.double({ min: -1e4, max: 1e4, noNaN: true })
    fc.assert(
      fc.property(
        bound,
        bound,
        fc.constantFrom("float16" as const, "float32" as const, "float64" as const),
        (a, b, dtype) => {
          const [min, max] = [a, b]
            .map((each) => internal.rounded(dtype, each))
            .sort((a, b) => a - b)
          fc.pre(max - min > 2 ** -100)
          const interval = internal.interval("uniform", dtype, { min, max })
          const d = internal.distributions(words, dtype === "float64" ? float64 : float32)
          const ends = [0, -1].map((word) =>
            internal.rounded(dtype, d.uniform(internal.digits[dtype], interval, word, word))
          )
          expect(ends[0] === min).toBe(true)
          expect(ends[1]).toBeLessThan(max)
          expect(ends[1]).toBeGreaterThanOrEqual(min)
        }
      )
    )
  })

  it("has all the bits that its dtype can tell", () => {
    const largest = (["float16", "float32", "float64"] as const).map((dtype) => {
      const d = internal.distributions(words, dtype === "float64" ? float64 : float32)
      return d.uniform(internal.digits[dtype], internal.interval("uniform", dtype, {}), -1, -1)
    })
    expect(largest).toEqual([1 - 2 ** -11, 1 - 2 ** -24, 1 - 2 ** -53])
  })
})

describe.each(["float32", "float64"] as const)("normal %s", (dtype) => {
  const { data } = HostRandom.normal(HostRandom.key(2), [size], { dtype })

  it("has the moments of its distribution, within 4.5 standard errors", () => {
    const { mean, variance, skewness, kurtosis } = moments(data)
    const error = 4.5 / Math.sqrt(size)
    expect(Math.abs(mean)).toBeLessThan(error)
    expect(Math.abs(variance - 1)).toBeLessThan(error * Math.sqrt(2))
    expect(Math.abs(skewness)).toBeLessThan(error * Math.sqrt(6))
    expect(Math.abs(kurtosis - 3)).toBeLessThan(error * Math.sqrt(24))
  })

  it("passes the test of Kolmogorov and Smirnov, at 0.999", () => {
    expect(kolmogorov(data, phi)).toBeLessThan(1.95)
  })

  it("has no correlation within pairs, nor of their squares, within 4.5 standard errors", () => {
    let product = 0
    let squares = 0
    for (let i = 0; i < size / 2; i++) {
      const [a, b] = [data[i], data[size / 2 + i]]
      product += a * b
      squares += (a * a - 1) * (b * b - 1)
    }
    const error = 4.5 / Math.sqrt(size / 2)
    expect(Math.abs(product / (size / 2))).toBeLessThan(error)
    expect(Math.abs(squares / (size / 2))).toBeLessThan(error * 2)
  })

  it("is finite at the ends of its words, and precise to five units in the last place", () => {
    const { words, float32, float64 } = internal.numbers
    const floats = dtype === "float64" ? float64 : float32
    const d = internal.distributions(words, floats)
    const ends = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 30]
    for (const a of ends) {
      for (const b of ends) {
        const radius = d.radius(a, b)
        expect(radius).toBeGreaterThanOrEqual(0)
        expect(radius).toBeLessThan(dtype === "float64" ? 9.5 : 6.8)
        expect(Math.abs(d.wave(a, b))).toBeGreaterThan(0)
        expect(Math.abs(d.wave(a, b))).toBeLessThanOrEqual(1)
      }
    }
    if (dtype === "float64") return
    let worst = 0
    const each = HostRandom.bits(HostRandom.key(9), [100_000]).data
    for (let i = 0; i < each.length / 2; i++) {
      const [a, b] = [each[i], each[each.length / 2 + i]]
      // as it is defined, in float64
      const radius = Math.sqrt(-2 * Math.log(Math.max(Math.fround(a), 0.5) * 2 ** -32))
      const phase = (Math.floor(b / 256) + 0.5) * 2 ** -24
      const exact = radius * Math.sin(2 * Math.PI * (0.25 - Math.abs(phase - 0.5)))
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(exact))) - 23)
      worst = Math.max(worst, Math.abs(floats.mul(d.wave(b, 0), d.radius(a, 0)) - exact) / unit)
    }
    expect(worst).toBeLessThan(5)
  })
})

describe("truncatedNormal", () => {
  const count = 100_000

  it.each([
    [-2, 2],
    [-0.1, 3],
    [0.2, 0.9],
    [1.5, Infinity],
    [5, 6],
    [-Infinity, -3],
    [-Infinity, 0.5]
  ])("between %d and %d keeps to its bounds and distribution", (min, max) => {
    for (const dtype of ["float32", "float64"] as const) {
      const { data } = HostRandom.truncatedNormal(HostRandom.key(4), [count], { min, max, dtype })
      expect(data.every((x: number) => x >= Math.fround(min) && x <= Math.fround(max))).toBe(true)
      // from the nearer tail, where Φ has no rounding errors beside 1
      const side = min > 0 ? -1 : 1
      const mass = (x: number) => side * phi(side * x)
      const [from, to] = [mass(min), mass(max)]
      expect(kolmogorov(data, (x) => (mass(x) - from) / (to - from))).toBeLessThan(1.95)
    }
  })

  it("between -2 and 2 has the moments of its distribution, within 4.5 standard errors", () => {
    const { data } = HostRandom.truncatedNormal(HostRandom.key(1), [count], { min: -2, max: 2 })
    const { mean, variance, skewness } = moments(data)
    const ratio = (2 * Math.exp(-2)) / Math.sqrt(2 * Math.PI) / (phi(2) - phi(-2))
    const exact = 1 - 2 * ratio
    const error = 4.5 / Math.sqrt(count)
    expect(Math.abs(mean)).toBeLessThan(error * Math.sqrt(exact))
    expect(Math.abs(variance - exact)).toBeLessThan(error * exact * 1.2)
    expect(Math.abs(skewness)).toBeLessThan(error * 2)
  })
})

describe("integers", () => {
  it("are uniform on their range (χ² at 0.999)", () => {
    const counts = new Array<number>(100).fill(0)
    const { data } = HostRandom.integers(HostRandom.key(8), [100_000], { min: -50, max: 50 })
    for (const each of data) counts[each + 50]++
    expect(chiSquare(counts)).toBeLessThan(critical[99])
  })

  it("are the upper part of a product of 64 bits", () => {
    const scaled = internal.scaled(internal.numbers.words)
    const word = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constant(2 ** 32 - 1))
    fc.assert(
      fc.property(word, word, fc.integer({ min: 1, max: 2 ** 32 }), (high, low, span) => {
        const exact = (((BigInt(high) << 32n) | BigInt(low)) * BigInt(span)) >> 64n
        expect(scaled(high | 0, low | 0, span) >>> 0).toBe(Number(exact))
      })
    )
  })
})

describe("permutation", () => {
  it("has each number once", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 300 }), (seed, n) => {
        const { data } = HostRandom.permutation(HostRandom.key(seed), n)
        expect([...data].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i))
      })
    )
  })

  it("has all orders equally often (χ² at 0.999)", () => {
    const counts = new Map<string, number>()
    for (const key of HostRandom.split(HostRandom.key(3), 24_000)) {
      const order = HostRandom.permutation(key, 4).data.join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(24)
    expect(chiSquare([...counts.values()])).toBeLessThan(critical[23])
  })

  it("sorts by as many words as make ties unlikely", () => {
    expect([0, 1, 90, 91, 2 ** 22, 2 ** 23].map(internal.sorts)).toEqual([1, 1, 1, 2, 2, 3])
    // where the first sort decides nothing, the second one does
    const counts = new Array<number>(10).fill(0)
    for (const key of HostRandom.split(HostRandom.key(4), 5000)) {
      counts[Math.floor(HostRandom.permutation(key, 100).data[7] / 10)]++
    }
    expect(chiSquare(counts)).toBeLessThan(critical[9])
  })
})

describe("gumbel", () => {
  it("passes the test of Kolmogorov and Smirnov, at 0.999", () => {
    const { data } = HostRandom.gumbel(HostRandom.key(4), [size])
    expect(kolmogorov(data, (x) => Math.exp(-Math.exp(-x)))).toBeLessThan(1.95)
  })
})

describe("what does not fit", () => {
  const key = Random.key(0)
  const hostKey = HostRandom.key(0)

  it("is a ShapeError", () => {
    const refused: ReadonlyArray<() => unknown> = [
      () => Random.key(0.5),
      () => HostRandom.key(Number.NaN),
      () => Random.uniform(key, [3], { min: 1, max: 1 }),
      () => Random.uniform(key, [3], { min: 2, max: 1 }),
      () => Random.uniform(key, [3], { max: Infinity }),
      () => Random.uniform(key, [3], { min: Number.NaN }),
      () => Random.uniform(key, [3], { min: -3e38, max: 3e38 }),
      () => Random.uniform(key, [3], { max: 1e-9, dtype: "float16" }),
      () => HostRandom.uniform(hostKey, [3], { min: 1, max: 1 }),
      () => Random.uniform(key, [-1]),
      () => HostRandom.normal(hostKey, [1.5]),
      () => Random.integers(key, [3], { max: 0 }),
      () => Random.integers(key, [3], { max: 1.5 }),
      () => Random.integers(key, [3], { max: 2 ** 31 + 1 }),
      () => Random.truncatedNormal(key, [3], { min: 1, max: 0 }),
      () => Random.truncatedNormal(key, [3], { min: 30 }),
      () => Random.bernoulli(key, [3], 1.1),
      () => Random.bernoulli(key, [3], Number.NaN),
      () => Random.bernoulli(key, [3], Tensors.constant([0.5, 0.5])),
      () => Random.split(key, -1),
      () => Random.permutation(key, -1),
      () => HostRandom.permutation(hostKey, 1.5),
      () => Random.foldIn(key, -1),
      () => HostRandom.foldIn(hostKey, 2 ** 32),
      () => Random.categorical(Random.split(key, 2), Tensors.constant([1, 2, 3])),
      () => Random.bits(Random.bits(key, [3]) as never, [1]),
      () => Random.bits(Random.bits(key, []) as never, [1])
    ]
    for (const each of refused) expect(each, String(each)).toThrow(ShapeError)
    expect(() => Random.bits(Random.bits(key, [3]) as never, [1])).toThrow("Random.key")
  })

  it("is a DTypeError", () => {
    const floats = Tensors.constant([1, 2]) as never
    expect(() => Random.bits(floats, [3])).toThrow(DTypeError)
    expect(() => Random.uniform(floats, [3])).toThrow(DTypeError)
    expect(() => Random.normal(floats, [3])).toThrow(DTypeError)
    expect(() => Random.split(floats, 3)).toThrow(DTypeError)
    expect(() => Random.permutation(floats, 3)).toThrow(DTypeError)
    expect(() => Random.foldIn(key, Tensors.constant([1, 2]) as never)).toThrow(DTypeError)
    expect(() => Random.bernoulli(key, [2], Random.key(1) as never)).toThrow(DTypeError)
    expect(() => Random.erfinv(key as never)).toThrow(DTypeError)
  })
})
