/** Trees of parameters, what they begin with, and how they become files and are loaded. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Conv from "../../src/Layer/Conv.ts"
import * as Dense from "../../src/Layer/Dense.ts"
import * as Initializer from "../../src/Layer/Initializer.ts"
import * as Layer from "../../src/Layer/Layer.ts"
import { ParameterError } from "../../src/Layer/LayerError.ts"
import * as Norm from "../../src/Layer/Norm.ts"
import * as Parameter from "../../src/Layer/Parameter.ts"
import * as SafeTensors from "../../src/Layer/SafeTensors.ts"
import type { Float } from "../../src/Tensor/DType.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as HostRandom from "../../src/Tensor/HostRandom.ts"
import * as Program from "../../src/Tensor/Program.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as Tree from "../../src/Tensor/Tree.ts"
import torch from "../fixtures/torch-initializers.json" with { type: "json" }
import * as A from "../support/arrays.ts"

const network = Layer.make(
  {
    conv: Conv.make({ in: 2, out: 4, kernel: 3 }),
    norm: Norm.group({ channels: 4, groups: 2 }),
    heads: [Dense.make({ in: 4, out: 3 }), Dense.make({ in: 4, out: 3, bias: false })],
    table: Parameter.buffer([2, 2], Initializer.values([1, 2, 3, 4]))
  },
  (_, x: Layer.Features<2>) => x
)
const { parameters } = network
const paths = [
  "conv.weight",
  "conv.bias",
  "norm.weight",
  "norm.bias",
  "heads.0.weight",
  "heads.0.bias",
  "heads.1.weight",
  "table"
]
const weights = Parameter.init(parameters, 7)

const failure = <A>(result: Result.Result<A, ParameterError>): ParameterError =>
  Result.getOrThrow(Result.flip(result))

/** What a function throws. */
const thrown = (f: () => unknown): ParameterError => {
  try {
    f()
  } catch (error) {
    if (error instanceof ParameterError) return error
    throw error
  }
  throw new Error("it throws nothing")
}

describe("init", () => {
  const { normal } = Initializer
  const leaf = (shape: Shape = [5]) => Parameter.make(shape, normal())

  it("gives what the initialisers say, in the structure of the parameters", () => {
    expect(Tree.entries(weights).map(([path]) => path)).toEqual(paths)
    expect(weights.conv.weight).toMatchObject({ shape: [4, 2, 3, 3], dtype: "float32" })
    expect(weights.norm.weight.data).toEqual(Float32Array.of(1, 1, 1, 1))
    expect(weights.norm.bias.data).toEqual(new Float32Array(4))
    expect(weights.table.data).toEqual(Float32Array.of(1, 2, 3, 4))
  })

  it("draws what depends on the seed and the path alone", () => {
    const before = Parameter.init({ a: leaf(), b: [leaf(), leaf()], c: { d: leaf() } }, 3)
    const others = { x: leaf([9]), c: { e: leaf(), d: leaf() }, "b.1": leaf(), a: leaf() }
    const after = Parameter.init(others, 3)
    expect(after.a).toEqual(before.a)
    expect(after.c.d).toEqual(before.c.d)
    expect(after["b.1"]).toEqual(before.b[1])
    expect(Parameter.init(others, 4).a).not.toEqual(before.a)
    expect(Parameter.init(others, HostRandom.key(3))).toEqual(after)
    expect(Parameter.init(others, 3n)).toEqual(after)
  })

  it("draws differently under every other path", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: "binary", minLength: 1 }), { minLength: 2 }),
        fc.integer(),
        (names, seed) => {
          const tree = Object.fromEntries(names.map((name) => [name, leaf()]))
          const drawn = Tree.leaves<HostArray>(Parameter.init(tree, seed))
          expect(new Set(drawn.map(({ data }) => data.join())).size).toBe(names.length)
        }
      )
    )
  })

  it("draws what does not go together from one parameter to the next", () => {
    const n = 20_000
    const drawn = Parameter.init(
      Array.from({ length: 4 }, () => leaf([n])),
      0
    )
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < i; j++) {
        expect(Math.abs(A.dot(drawn[i], drawn[j]) / n)).toBeLessThan(5 / Math.sqrt(n))
      }
    }
  })

  it("names the parameter whose initialiser does not fit", () => {
    const wrong = { a: [Parameter.make([3], Initializer.torch)] }
    expect(thrown(() => Parameter.init(wrong, 0))).toMatchObject({
      path: "a.0",
      reason: "initializer",
      message: expect.stringContaining('parameter "a.0": a parameter of shape [3] has no fans')
    })
    for (const [initializer, words] of [
      [Initializer.uniform(1, 0), "needs min < max"],
      [Initializer.uniform(Number.NaN, 1), "needs min < max"],
      [Initializer.truncatedNormal({ cut: 0 }), "needs min < max"],
      [Initializer.truncatedNormal({ cut: Number.NaN }), "needs min < max"]
    ] as const) {
      expect(
        thrown(() => Parameter.init({ deep: { b: Parameter.make([3], initializer) } }, 0))
      ).toMatchObject({
        _tag: "ParameterError",
        path: "deep.b",
        reason: "initializer",
        message: expect.stringMatching(`^parameter "deep\\.b": .*${words}`)
      })
    }
  })
})

describe("count, split and join", () => {
  it("count numbers", () => {
    expect(Parameter.count(parameters)).toBe(72 + 4 + 4 + 4 + 12 + 3 + 12 + 4)
    expect(Parameter.count(parameters, { trainable: true })).toBe(111)
    expect(Parameter.count(parameters, { trainable: false })).toBe(4)
    expect(Parameter.count({})).toBe(0)
  })

  const tensors: Program.Tensors<typeof parameters> = Program.constants(weights)

  it("split by what training moves, and join again", () => {
    const { trainable, frozen } = Parameter.split(parameters, tensors)
    expect(Object.keys(trainable)).toEqual(paths.slice(0, -1))
    expect(Object.keys(frozen)).toEqual(["table"])
    const joined = Parameter.join(parameters, trainable, frozen)
    expect(Tree.entries(joined).map(([path]) => path)).toEqual(paths)
    Tree.leaves(joined).forEach((each, i) => {
      expect(each).toBe(Tree.leaves(tensors)[i])
    })
  })

  it("split goes by paths, in whatever order keys are written", () => {
    const backwards = Object.fromEntries(Object.entries(tensors).reverse())
    expect(Parameter.split(parameters, backwards)).toEqual(Parameter.split(parameters, tensors))
  })

  it("name what is missing or too much", () => {
    const { table, ...rest } = tensors
    expect(thrown(() => Parameter.split(parameters, rest))).toMatchObject({
      path: "table",
      reason: "missing"
    })
    expect(thrown(() => Parameter.split(parameters, { ...tensors, more: table }))).toMatchObject({
      path: "more",
      reason: "unexpected"
    })
    const { trainable } = Parameter.split(parameters, tensors)
    expect(thrown(() => Parameter.join(parameters, trainable))).toMatchObject({
      path: "table",
      reason: "missing"
    })
  })
})

describe("load", () => {
  type Tensors = Readonly<Record<string, HostArray>>
  const loaded = <P>(parameters: P, tensors: Tensors, options?: Parameter.LoadOptions) =>
    Effect.runSync(Effect.result(Parameter.load(parameters, tensors, options)))
  const file: Tensors = Parameter.toRecord(weights)
  const without = (...names: ReadonlyArray<string>): Tensors =>
    Object.fromEntries(Object.entries(file).filter(([name]) => !names.includes(name)))
  const array = (shape: Shape, dtype: HostArray["dtype"] = "float32"): HostArray =>
    A.fill(shape, dtype, 1, A.whole(0, 1))

  it("gives back what toRecord made a record of, without a copy", () => {
    expect(Object.keys(file)).toEqual(paths)
    const found = Result.getOrThrow(loaded(parameters, file))
    expect(found).toEqual(weights)
    expect(found.conv.weight.data).toBe(weights.conv.weight.data)
  })

  it("reads what was encoded, under other names too", () => {
    const bytes = SafeTensors.encode(
      Parameter.toRecord(weights, { rename: (path) => `module.${path}` })
    )
    const { tensors } = Effect.runSync(SafeTensors.decode(bytes))
    expect(Object.keys(tensors)).toContain("module.heads.0.weight")
    const rename = (name: string) => name.replace(/^module\./, "")
    expect(Result.getOrThrow(loaded(parameters, tensors, { rename }))).toEqual(weights)
  })

  it("takes a lone parameter, and none", () => {
    const one = Parameter.make([2], Initializer.zeros)
    expect(Result.getOrThrow(loaded(one, { "": array([2]) }))).toEqual(array([2]))
    expect(Result.getOrThrow(loaded({ a: {} }, {}))).toEqual({ a: {} })
    expect(failure(loaded({}, { a: array([2]) })).message).toContain("there are none at all")
  })

  it("names the first parameter that is missing, and what was perhaps meant", () => {
    const tensors = { ...without("norm.bias", "heads.0.bias"), "norm.beta": array([4]) }
    const error = failure(loaded(parameters, tensors))
    expect(error).toMatchObject({ path: "norm.bias", reason: "missing" })
    expect(error.message).toBe(
      'Parameter.load: there is no tensor for parameter "norm.bias" of shape [4]; the most similar is "norm.beta" of shape [4] (and 2 more problems)'
    )
    expect(failure(loaded(parameters, {})).message).toBe(
      'Parameter.load: there is no tensor for parameter "conv.weight" of shape [4, 2, 3, 3]; there are none at all (and 7 more problems)'
    )
  })

  it("names the first parameter of another shape, with both", () => {
    const tensors = {
      more: array([1]),
      ...without("table"),
      "heads.1.weight": array([4, 3]),
      "conv.bias": array([2, 2])
    }
    const error = failure(loaded(parameters, tensors))
    expect(error).toMatchObject({ path: "conv.bias", reason: "shape" })
    expect(error.message).toBe(
      'Parameter.load: parameter "conv.bias" is of shape [4], but tensor "conv.bias" is of shape [2, 2] (and 3 more problems)'
    )
  })

  it("names the first tensor that has no parameter", () => {
    const tensors = { "heads.1.bias": array([3]), ...file, more: array([1]) }
    const error = failure(loaded(parameters, tensors))
    expect(error).toMatchObject({ path: "heads.1.bias", reason: "unexpected" })
    expect(error.message).toBe(
      'Parameter.load: there is no parameter for tensor "heads.1.bias" of shape [3]; the most similar is "heads.0.bias" of shape [3] (and 1 more problem)'
    )
    const ignore = (name: string) => name === "more" || name === "heads.1.bias"
    expect(Result.getOrThrow(loaded(parameters, tensors, { ignore }))).toEqual(weights)
  })

  it("tells a tensor's own name where it was renamed", () => {
    const rename = (name: string) => name.replace("weigth", "weight").replace("x.", "norm.")
    const { message, path } = failure(
      loaded(parameters, { ...file, "x.weigth": array([1]) }, { rename })
    )
    expect(path).toBe("norm.weight")
    expect(message).toContain('both "norm.weight" and "x.weigth" are renamed to "norm.weight"')
    const renamed = { ...without("norm.weight"), "x.weigth": array([3]) }
    expect(failure(loaded(parameters, renamed, { rename })).message).toContain(
      'tensor "x.weigth" (renamed to "norm.weight") is of shape [3]'
    )
  })

  it("refuses what are no floats", () => {
    for (const dtype of ["int32", "int64", "uint32", "bool"] as const) {
      const error = failure(loaded(parameters, { ...file, table: array([2, 2], dtype) }))
      expect(error).toMatchObject({ path: "table", reason: "dtype" })
      expect(error.message).toContain(`"table" is float32, but tensor "table" is ${dtype}`)
    }
  })

  it("rounds floats to the parameter's dtype", () => {
    const numbers = [0, 1 / 3, -2.5, 1e-7, 7e4, Number.NaN, Number.NEGATIVE_INFINITY]
    const of = (dtype: Float) => Tensor.hostArray(numbers, { shape: [7], dtype })
    const floats = ["float64", "float32", "float16"] as const
    for (const from of floats) {
      for (const to of floats) {
        const into = { a: { ...Parameter.make([7], Initializer.zeros), dtype: to } }
        const found = Result.getOrThrow(loaded(into, { a: of(from) }))
        const expected = Tensor.hostArray([...A.numbers(of(from))], { shape: [7], dtype: to })
        expect(found.a).toEqual(expected)
      }
    }
  })

  it("no record has two values of one name", () => {
    expect(thrown(() => Parameter.toRecord(weights, { rename: () => "x" }))).toMatchObject({
      path: "conv.bias",
      message: expect.stringContaining('both "conv.weight" and "conv.bias" would be called "x"')
    })
    const a = array([1])
    expect(() => Parameter.toRecord({ "a.b": a, a: { b: a } })).toThrow('both "a.b" and "a.b"')
  })
})

describe("initialisers, as PyTorch has them (test/fixtures/make-initializers.py)", () => {
  const drawn = (shape: Shape, initializer: Initializer.Initializer) =>
    A.numbers(Initializer.draw(HostRandom.key(11), shape, "float64", initializer(shape)))

  const statistics = (values: Float64Array) => {
    const mean = values.reduce((sum, each) => sum + each, 0) / values.length
    const variance = values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / values.length
    return {
      mean,
      deviation: Math.sqrt(variance),
      min: values.reduce((a, b) => Math.min(a, b)),
      max: values.reduce((a, b) => Math.max(a, b))
    }
  }

  const makers = new Map<string, (options: never) => Initializer.Initializer>(
    Object.entries({
      kaimingUniform: Initializer.kaimingUniform,
      kaimingNormal: Initializer.kaimingNormal,
      xavierUniform: Initializer.xavierUniform,
      xavierNormal: Initializer.xavierNormal,
      truncatedNormal: Initializer.truncatedNormal,
      orthogonal: Initializer.orthogonal
    })
  )
  const made = (name: string, options: unknown) => makers.get(name)!(options as never)

  it("gains", () => {
    for (const [name, value] of Object.entries(torch.gains)) {
      expect(Initializer.gain(name as Initializer.Nonlinearity)).toBeCloseTo(value, 14)
    }
  })

  const described = (kind: string, [a, b]: ReadonlyArray<number>) =>
    kind === "uniform" ? { kind, min: a, max: b } : { kind, mean: a, deviation: b }
  const same = (actual: Initializer.Distribution, kind: string, given: ReadonlyArray<number>) => {
    for (const [field, value] of Object.entries(described(kind, given))) {
      const found = (actual as unknown as Record<string, unknown>)[field]
      if (typeof value === "string") expect(found).toBe(value)
      else expect(found).toBeCloseTo(value, 13)
    }
  }

  it("bounds and deviations of Kaiming's and Xavier's", () => {
    expect(torch.distributions.length).toBeGreaterThan(100)
    for (const { initializer, options, kind, arguments: given, shape } of torch.distributions) {
      same(made(initializer, options)(shape), kind, given)
    }
  })

  it("weights and biases of layers", () => {
    const layers = {
      dense: Dense.make({ in: 7, out: 5 }),
      convolution: Conv.make({ in: 6, out: 4, kernel: [3, 5], groups: 2 }),
      transposed: Conv.transposed({ in: 6, out: 4, kernel: 3, groups: 2 })
    }
    for (const [name, layer] of Object.entries(layers)) {
      const own = [layer.parameters.weight, layer.parameters.bias]
      torch.layers[name as keyof typeof layers].forEach(({ kind, arguments: given, shape }, i) => {
        expect(own[i].shape).toEqual(shape)
        same(own[i].initializer(shape), kind, given)
      })
    }
  })

  it("are what is drawn", () => {
    // 31,104 elements: deviations are known to 0.4 % or better
    const shape = [108, 32, 3, 3]
    const cases = [
      Initializer.torch,
      Initializer.torchBias([8, 4, 3, 3]),
      Initializer.kaimingUniform({ nonlinearity: "relu" }),
      Initializer.kaimingNormal({ mode: "out" }),
      Initializer.xavierUniform({ gain: 0.5 }),
      Initializer.xavierNormal(),
      Initializer.uniform(1, 3),
      Initializer.normal({ mean: -1, deviation: 0.02 })
    ]
    for (const each of cases) {
      const found = statistics(drawn(shape, each))
      const wanted = each(shape)
      const [mean, deviation] =
        wanted.kind === "uniform"
          ? [(wanted.min + wanted.max) / 2, (wanted.max - wanted.min) / Math.sqrt(12)]
          : wanted.kind === "normal"
            ? [wanted.mean, wanted.deviation]
            : [Number.NaN, Number.NaN]
      expect(Math.abs(found.mean - mean)).toBeLessThan(0.025 * deviation)
      expect(Math.abs(found.deviation / deviation - 1)).toBeLessThan(0.02)
      if (wanted.kind !== "uniform") continue
      const width = wanted.max - wanted.min
      expect(found.min).toBeGreaterThanOrEqual(wanted.min)
      expect(found.max).toBeLessThan(wanted.max)
      expect(found.min).toBeLessThan(wanted.min + 0.001 * width)
      expect(found.max).toBeGreaterThan(wanted.max - 0.001 * width)
    }
  })

  it("deviations of truncated normal and orthogonal ones", () => {
    for (const { initializer, options, deviation } of torch.measured) {
      const [shape, scale] =
        initializer === "orthogonal" ? [[150, 200], Math.sqrt(200)] : [[30_000], 1]
      const found = statistics(drawn(shape, made(initializer, options)))
      expect(Math.abs((found.deviation * scale) / deviation - 1)).toBeLessThan(0.02)
      if (options.cut === undefined) continue
      const bound = options.cut * options.deviation
      expect(found.max).toBeLessThanOrEqual(bound)
      expect(found.min).toBeGreaterThanOrEqual(-bound)
      expect(found.max).toBeGreaterThan(0.9 * bound)
    }
  })

  it("orthogonal rows, or columns, of length gain", () => {
    const shapes = [
      [1, 1],
      [5, 5],
      [3, 8],
      [8, 3],
      [4, 2, 3, 3],
      [30, 2, 3],
      [64, 64]
    ]
    for (const shape of shapes) {
      const [height, width] = [shape[0], shape.slice(1).reduce((a, b) => a * b)]
      const gain = 1.5
      const data = drawn(shape, Initializer.orthogonal({ gain }))
      const short = Math.min(height, width)
      const long = Math.max(height, width)
      const at = (i: number, k: number) =>
        height <= width ? data[i * width + k] : data[k * width + i]
      for (let i = 0; i < short; i++) {
        for (let j = 0; j <= i; j++) {
          let product = 0
          for (let k = 0; k < long; k++) product += at(i, k) * at(j, k)
          expect(Math.abs(product - (i === j ? gain ** 2 : 0))).toBeLessThan(1e-6)
        }
      }
    }
  })

  it("orthogonal matrices of either orientation, uniformly", () => {
    // the determinant of a 2 × 2 matrix is 1 or -1, either in half of the cases; its first element has mean 0 and variance 1/2
    const n = 2000
    let positive = 0
    const first = new Float64Array(n)
    for (let i = 0; i < n; i++) {
      const key = HostRandom.key(i)
      const { data } = Initializer.draw(key, [2, 2], "float64", Initializer.orthogonal()([2, 2]))
      if (data[0] * data[3] - data[1] * data[2] > 0) positive++
      first[i] = data[0]
    }
    const { mean, deviation } = statistics(first)
    expect(Math.abs(positive / n - 0.5)).toBeLessThan(0.05)
    expect(Math.abs(mean)).toBeLessThan(0.07)
    expect(Math.abs(deviation ** 2 - 0.5)).toBeLessThan(0.04)
  })

  it("constants and tables, in every dtype", () => {
    for (const dtype of ["float64", "float32", "float16"] as const) {
      const draw = (initializer: Initializer.Initializer) => [
        ...A.numbers(Initializer.draw(HostRandom.key(0), [2], dtype, initializer([2])))
      ]
      expect(draw(Initializer.zeros)).toEqual([0, 0])
      expect(draw(Initializer.ones)).toEqual([1, 1])
      expect(draw(Initializer.constant(-0.5))).toEqual([-0.5, -0.5])
      expect(draw(Initializer.values([3, 4]))).toEqual([3, 4])
    }
  })

  it("refuse shapes without fans", () => {
    const { kaimingNormal, kaimingUniform, orthogonal, torch, torchBias, xavierNormal } =
      Initializer
    for (const each of [torch, kaimingNormal(), kaimingUniform(), xavierNormal(), orthogonal()]) {
      expect(thrown(() => each([3]))).toMatchObject({ reason: "initializer" })
    }
    expect(thrown(() => torchBias([]))).toMatchObject({ reason: "initializer" })
  })
})
