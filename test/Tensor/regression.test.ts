/** Cases that once went wrong. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Cost from "../../src/Tensor/Cost.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Loss from "../../src/Tensor/Loss.ts"
import * as Program from "../../src/Tensor/Program.ts"
import { input } from "../../src/Tensor/primitive/structure.ts"
import * as Random from "../../src/Tensor/Random.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import { isTensorError } from "../../src/Tensor/TensorError.ts"

const evaluate = <const T>(tensors: T) =>
  Effect.flatMap(Device.Device, (device) => device.evaluate(tensors))

layer(Device.layerReference())("values", (it) => {
  it.effect("argMin of integers whose negative overflows", () =>
    Effect.gen(function* () {
      const unsigned = Tensor.constant([3, 0, 5], { dtype: "uint32" })
      const least = Tensor.constant([0, -(2 ** 31), 5], { dtype: "int32" })
      const results = yield* evaluate([Tensor.argMin(unsigned), Tensor.argMin(least)])
      expect(results.map(({ data }) => data[0])).toEqual([1, 1])
    })
  )

  it.effect("log1p of numbers whose product with their logarithm overflows", () =>
    Effect.gen(function* () {
      const { data } = yield* evaluate(Tensor.log1p(Tensor.constant([1e38, Infinity, -1])))
      expect(data[0]).toBeCloseTo(Math.log(1e38), 4)
      expect([...data.slice(1)]).toEqual([Infinity, -Infinity])
    })
  )

  it.effect("expm1 and sinh where the exponential overflows, derivatives too", () =>
    Effect.gen(function* () {
      const x = Tensor.constant([-800, 800], { dtype: "float64" })
      const gradient = (f: (x: Tensor.Tensor<Tensor.Any["shape"], "float64">) => typeof x) =>
        Gradient.of(Tensor.sum(f(x) as Tensor.Tensor<readonly [number], "float64">), x)
      const results = yield* evaluate([
        Tensor.expm1(x),
        gradient((each) => Tensor.expm1(each) as never),
        gradient((each) => Tensor.sinh(each) as never)
      ])
      expect(results.map(({ data }) => [...data])).toEqual([
        [-1, Infinity],
        [0, Infinity],
        [Infinity, Infinity]
      ])
    })
  )

  it.effect("logSumExp of infinities", () =>
    Effect.gen(function* () {
      const x = Tensor.constant([
        [-Infinity, -Infinity],
        [1, Infinity],
        [-Infinity, 2]
      ])
      const { data } = yield* evaluate(Tensor.logSumExp(x, { axis: 1 }))
      expect([...data]).toEqual([-Infinity, Infinity, 2])
    })
  )

  it.effect("crossEntropy with a class ruled out by a logit of minus infinity", () =>
    Effect.gen(function* () {
      const logits = Tensor.constant([[0, 0, -Infinity]])
      const loss = Loss.crossEntropy(logits, Tensor.constant([1], { dtype: "int32" }))
      const [value, gradient] = yield* evaluate([loss, Gradient.of(loss, logits)])
      expect(value.data[0]).toBeCloseTo(Math.LN2, 6)
      expect([...gradient.data]).toEqual([0.5, -0.5, 0])
    })
  )

  it.effect("integers from a negative minimum", () =>
    Effect.gen(function* () {
      const draws = yield* evaluate(Random.integers(Random.key(1), [100], { min: -3, max: 3 }))
      expect(Math.min(...draws.data)).toBe(-3)
      expect(Math.max(...draws.data)).toBe(2)
    })
  )

  it.effect("a tensor keeps its derivative when it gets a name", () =>
    Effect.gen(function* () {
      const x = Tensor.constant([1, 2])
      const hidden = Tensor.square(x)
      const loss = Tensor.sum(Tensor.named(hidden, "hidden"))
      const [outer, inner] = yield* evaluate(Gradient.of(loss, [x, hidden] as const))
      expect([[...outer.data], [...inner.data]]).toEqual([
        [2, 4],
        [1, 1]
      ])
    })
  )

  it.effect("a loop's state can have a name", () =>
    Effect.gen(function* () {
      const [state] = Tensor.scan({
        init: Tensor.scalar(1),
        length: 3,
        step: (state) => [Tensor.mul(Tensor.named(state, "state"), 2), []]
      })
      expect((yield* evaluate(state)).data[0]).toBe(8)
    })
  )
})

describe("names", () => {
  it("of inputs, and of what functions with rules of their own give", () => {
    const { graph } = Program.makeUnsafe({ x: Tensor.spec([3]) }, ({ x }) =>
      x.pipe(Tensor.named("given"), Tensor.silu, Tensor.named("hidden"))
    )
    expect(graph.nodes.map((node) => node.primitive.name)).toEqual(["input", "sigmoid", "mul"])
    expect(graph.nodes.map((node) => node.label)).toEqual([undefined, undefined, "hidden"])
  })
})

describe("canonical graphs of nested scans", () => {
  it("take time that grows with the number of levels, not to its power", () => {
    const nested = (depth: number, x: Tensor.Tensor<readonly [4]>): Tensor.Tensor<readonly [4]> =>
      depth === 0
        ? Tensor.tanh(x)
        : Tensor.scan({
            init: { a: x, b: Tensor.sin(x), c: Tensor.cos(x) },
            length: 4,
            checkpoint: 2,
            step: ({ a, b, c }) => [{ a: nested(depth - 1, Tensor.add(a, b)), b: c, c: a }, []]
          })[0].a
    const start = performance.now()
    Program.makeUnsafe({ x: Tensor.spec([4]) }, ({ x }) => {
      const gradient = Gradient.of(Tensor.sum(nested(6, x)), x)
      return Gradient.of(Tensor.sum(Tensor.square(gradient)), x)
    })
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe("costs", () => {
  it("tell apart free inputs of one name", () => {
    const inputs = [1, 2, 3].map(() => input("x", [2], "float32"))
    const { operations } = Cost.ofTensors(inputs.map((x) => Tensor.exp(x as Tensor.Tensor)))
    expect(operations).toEqual({ input: 3, exp: 3 })
  })
})

describe("wrong use is a typed error", () => {
  const x = Tensor.zeros([2, 3])
  const line = Tensor.zeros([3])
  const image = Tensor.zeros([1, 4, 4, 4]) as Tensor.Tensor
  const kernel = Tensor.zeros([4, 4, 3, 3]) as Tensor.Tensor
  const whole = Tensor.zeros([3], "int32")
  const bad = <A>(value: unknown) => value as A
  const dtypeless = { shape: [1], data: new Float32Array(1) }
  const cases: ReadonlyArray<readonly [string, () => unknown, string]> = [
    ["nothing for a tensor", () => Tensor.add(x, bad<number>(null)), "not a tensor"],
    ["a list for a tensor", () => Tensor.exp(bad<typeof x>([1, 2])), "Tensor.constant"],
    ["a number for a shape", () => Tensor.zeros(bad<[3]>(3)), "3 is not a shape"],
    ["a shape beyond counting", () => Tensor.zeros([2 ** 40, 2 ** 40]), "more elements"],
    ["an unknown dtype", () => Tensor.zeros([2], bad<"float32">("float7")), "no such dtype"],
    ["a record for a dtype", () => Tensor.arange(4, bad<"int32">({})), "a plain object"],
    [
      "a symbol for a dtype",
      () => Tensor.ones([2], bad<"int32">(Symbol("float"))),
      "Symbol(float)"
    ],
    ["a list of dtypes", () => Tensor.cast(x, bad<"int32">(["int32"])), "an array"],
    ["a host array of no dtype", () => Tensor.constant(bad<[1]>(dtypeless)), "constant(undefined)"],
    [
      "a typed array of no dtype",
      () => Tensor.hostArray(new Float32Array(1), { dtype: bad<"float32">({}) }),
      "no such dtype"
    ],
    ["a cast to an unknown dtype", () => Tensor.cast(x, bad<"float32">("real")), "no such dtype"],
    ["a fraction for an integer", () => Tensor.hostArray([1.5], { dtype: "int64" }), "1.5 is not"],
    ["an integer too large", () => Tensor.add(whole, 3e9), "3000000000 is not"],
    ["a bool of 2", () => Tensor.hostArray([2], { dtype: "bool" }), "0 or 1"],
    ["integers padded with a fraction", () => Tensor.pad(whole, [[1, 0]], { value: 0.5 }), "0.5"],
    ["an axis of a scalar", () => Tensor.layerNorm(Tensor.scalar(1)), "it is a scalar"],
    ["axes that are no numbers", () => Tensor.sum(x, { axis: bad<0>("a") }), "axis a"],
    ["a fraction of points", () => Tensor.linspace(0, 1, 1.5), "linspace"],
    ["a negative depth", () => Tensor.oneHot(whole, -1), "oneHot"],
    ["a negative repetition", () => Tensor.repeat(x, -1, { axis: 0 }), "repeat"],
    ["endless parts", () => Tensor.split(x, Infinity), "Infinity parts"],
    ["an index beyond the end", () => Tensor.take(x, [0, 2]), "index 2"],
    ["a fraction of an index", () => Tensor.take(x, [0.5]), "index 0.5"],
    ["a size that is a fraction", () => Tensor.scatterAdd(whole, line, { size: 1.5 }), "size 1.5"],
    ["an axis of no result", () => Tensor.scatterAdd(whole, line, { size: 4, axis: 1 }), "axis 1"],
    ["an unknown border", () => Tensor.pad(line, [[1, 1]], { mode: bad("circular") }), '"edge"'],
    ["unknown padding", () => Tensor.conv(image, kernel, { padding: bad("full") }), '"same"'],
    ["padding of one axis", () => Tensor.conv(image, kernel, { padding: [1] }), "1 entries for 2"],
    [
      "the same size from a transposed convolution",
      () => Tensor.convTranspose(image, kernel, { padding: bad("same") }),
      "padding"
    ],
    [
      "more padding than a transposed convolution gives",
      () => Tensor.convTranspose(image, kernel, { padding: 9 }),
      "less than nothing"
    ],
    ["an image without space", () => Tensor.resize(x, { size: 2 }), "spatial"],
    [
      "an unknown way to resize",
      () => Tensor.resize(image, { size: 2, mode: bad("cubic") }),
      "mode"
    ],
    ["channels of a line", () => Tensor.instanceNorm(line), "instanceNorm([3])"],
    ["pixels of a line", () => Tensor.pixelShuffle(line, 2), "spatial"],
    ["pixels into nothing", () => Tensor.pixelShuffle(image, 0), "factor 0"],
    ["attention without length", () => Tensor.attention(line, line, line), "queries"],
    ["keys of another width", () => Tensor.attention(x, Tensor.zeros([2, 4]), x), "queries"],
    ["an unknown reduction", () => Loss.mse(x, x, { reduction: bad<"sum">("men") }), '"mean"'],
    ["labels that are no integers", () => Loss.crossEntropy(x, bad(Tensor.zeros([2]))), "labels"],
    [
      "a step that gives no pair",
      () => Tensor.scan({ init: line, length: 2, step: (state) => bad<[typeof state, []]>(state) }),
      "a pair"
    ],
    [
      "a result that is no tensor",
      () => Tensor.scan({ init: line, length: 2, step: (state) => [state, { loss: 3 }] }),
      '"loss" is 3'
    ],
    [
      "an unknown checkpoint",
      () => Tensor.scan({ init: x, over: x, checkpoint: bad("all"), step: (s) => [s, []] }),
      '"step"'
    ],
    [
      "a verdict that is no tensor",
      () =>
        Tensor.whileLoop({
          init: x,
          condition: () => bad<Tensor.Tensor<readonly [], "bool">>(true),
          body: (state) => state
        }),
      "condition"
    ],
    ["the derivative in a number", () => Gradient.of(Tensor.sum(x), { rate: 3 }), '"rate" is 3'],
    ["an input without a shape", () => Program.makeUnsafe({ x: 3 }, () => x), '"x"'],
    ["a result of nothing", () => Program.makeUnsafe([], () => ({ y: null })), '"y" is null']
  ]
  for (const [name, build, says] of cases) {
    it(name, () => {
      let error: unknown
      try {
        build()
      } catch (thrown) {
        error = thrown
      }
      expect(isTensorError(error), String(error)).toBe(true)
      expect(String((error as Error).message)).toContain(says)
    })
  }
})

describe("derivatives for arrays without elements", () => {
  it("of pooling without channels, and of a convolution that sees padding only", () => {
    const none = Tensor.zeros([1, 0, 4])
    const pooled = Tensor.avgPool(none, { window: 2, stride: 1, padding: 1 })
    expect(Gradient.of(Tensor.sum(pooled), none).shape).toEqual([1, 0, 4])
    const x = Tensor.zeros([1, 2, 0])
    const y = Tensor.conv(x, Tensor.zeros([3, 2, 3]), { padding: 2 })
    expect(y.shape).toEqual([1, 3, 2])
    expect(Gradient.of(Tensor.sum(y), x).shape).toEqual([1, 2, 0])
  })
})

describe("axes counted from the end", () => {
  it("permute, and receive what is scattered", () => {
    expect(Tensor.transpose(Tensor.zeros([2, 3, 4]), [-1, 0, -2]).shape).toEqual([4, 2, 3])
    const indices = Tensor.constant([0, 1], { dtype: "int32" })
    expect(Tensor.scatterAdd(indices, Tensor.zeros([3, 2]), { size: 4, axis: -1 }).shape).toEqual([
      3, 4
    ])
  })
})

describe("reductions in a pipe", () => {
  it("need no options", () => {
    const loss = Tensor.zeros([2, 3]).pipe(Tensor.square, Tensor.mean)
    expect(loss.shape satisfies readonly []).toEqual([])
    expect(Tensor.zeros([2, 3]).pipe(Tensor.layerNorm, Tensor.softmax).shape).toEqual([2, 3])
  })
})

describe("derivatives with respect to constants", () => {
  it("are refused where a loop has written the constant into its body, instead of being 0", () => {
    const rate = Tensor.scalar(2)
    const start = Tensor.scalar(1)
    const [end] = Tensor.scan({
      init: start,
      length: 3,
      step: (x) => [Tensor.mul(x, rate), x]
    })
    expect(() => Gradient.of(end, rate)).toThrow("make it an input of the program")
    expect(Gradient.of(end, start).shape).toEqual([])
  })
})
