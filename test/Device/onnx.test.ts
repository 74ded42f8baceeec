import { BinaryReader } from "@bufbuild/protobuf/wire"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import type { Backend } from "../../src/Device/Backend.ts"
import type { CompileError, DeviceError } from "../../src/Device/DeviceError.ts"
import * as Onnx from "../../src/Device/Onnx.ts"
import { lower, lowerFold } from "../../src/Device/onnx/lower.ts"
import * as Model from "../../src/Device/onnx/Model.ts"
import { blockSize } from "../../src/Device/onnx/probe.ts"
import * as Reference from "../../src/Device/Reference.ts"
import * as DType from "../../src/Tensor/DType.ts"
import { type HostArray, type Node, output, type Tensor } from "../../src/Tensor/Expression.ts"
import * as Graph from "../../src/Tensor/Graph.ts"
import type { Window } from "../../src/Tensor/Primitive.ts"
import * as Control from "../../src/Tensor/primitive/control.ts"
import * as E from "../../src/Tensor/primitive/elementwise.ts"
import * as L from "../../src/Tensor/primitive/linear.ts"
import * as R from "../../src/Tensor/primitive/reduction.ts"
import * as S from "../../src/Tensor/primitive/structure.ts"
import * as Shape from "../../src/Tensor/Shape.ts"

// arrays

type Values = ReadonlyArray<number | bigint>

const floats: ReadonlyArray<DType.DType> = ["float64", "float32", "float16"]
const integers: ReadonlyArray<DType.DType> = ["int32", "int64", "uint32"]
const numbers = [...floats, ...integers]
const everything: ReadonlyArray<DType.DType> = [...numbers, "bool"]

const host = (dtype: DType.DType, shape: Shape.Shape, values: Values): HostArray => {
  const data = DType.allocate(dtype, Shape.size(shape))
  for (let i = 0; i < data.length; i++) {
    const value = values[i % values.length]
    if (data instanceof BigInt64Array) data[i] = BigInt(value)
    else data[i] = dtype === "float16" ? DType.toFloat16Bits(Number(value)) : Number(value)
  }
  return { dtype, shape, data }
}

const numbersOf = ({ data, dtype }: HostArray): ReadonlyArray<number> =>
  Array.from<number | bigint, number>(data, (x) =>
    dtype === "float16" ? DType.fromFloat16Bits(Number(x)) : Number(x)
  )

/** Small numbers in no particular order, the same in each run. */
const sequence = (dtype: DType.DType, count: number, seed = 1): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => {
    const x = Math.abs(Math.sin((i + 1) * 12.9898 * seed)) * 43758.5453
    const fraction = x - Math.floor(x)
    if (dtype === "bool") return fraction < 0.5 ? 0 : 1
    if (DType.isFloat(dtype)) return Math.round((fraction * 8 - 4) * 64) / 64
    return dtype === "uint32" ? Math.floor(fraction * 9) : Math.floor(fraction * 13) - 6
  })

const sample = (dtype: DType.DType, shape: Shape.Shape, seed = 1): HostArray =>
  host(dtype, shape, sequence(dtype, Math.max(Shape.size(shape), 1), seed))

const constant = (
  dtype: DType.DType,
  values: Values,
  shape: Shape.Shape = [values.length]
): Tensor => S.constant(host(dtype, shape, values))

// running

const onnx = await Effect.runPromise(Onnx.backend)

const source = (inputs: ReadonlyArray<Tensor>, outputs: ReadonlyArray<Tensor>, name = "test") => ({
  name,
  graph: Graph.make(inputs, outputs),
  inputNames: inputs.map((_, i) => `in${i}`),
  outputNames: outputs.map((_, i) => `out${i}`)
})

const inputsFor = (hosts: ReadonlyArray<HostArray>): ReadonlyArray<Tensor> =>
  hosts.map(({ dtype, shape }, i) => S.input(`in${i}`, shape, dtype))

const running = <B>(
  backend: Backend<B>,
  hosts: ReadonlyArray<HostArray>,
  f: (...inputs: ReadonlyArray<Tensor>) => ReadonlyArray<Tensor>
): Effect.Effect<ReadonlyArray<HostArray>, CompileError | DeviceError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const inputs = inputsFor(hosts)
      const outputs = f(...inputs)
      const compiled = yield* backend.compile(source(inputs, outputs))
      const results = yield* compiled.run(yield* Effect.forEach(hosts, backend.write))
      return yield* Effect.forEach(outputs, (spec, i) => backend.read(results[i], spec))
    })
  )

/** The numbers of one result. */
const evaluate = async (
  hosts: ReadonlyArray<HostArray>,
  f: (...inputs: ReadonlyArray<Tensor>) => Tensor
): Promise<ReadonlyArray<number>> => {
  const [result] = await Effect.runPromise(running(onnx, hosts, (...inputs) => [f(...inputs)]))
  return numbersOf(result)
}

const precision: { readonly [D in DType.DType]?: number } = {
  float64: 4e-15,
  float32: 2e-6,
  float16: 2e-3
}

const difference = (actual: HostArray, expected: HostArray): string | undefined => {
  if (actual.dtype !== expected.dtype || !Shape.equals(actual.shape, expected.shape)) {
    return `${actual.dtype}${Shape.show(actual.shape)}, not ${expected.dtype}${Shape.show(expected.shape)}`
  }
  const [x, y] = [numbersOf(actual), numbersOf(expected)]
  const at = y.findIndex(
    (value, i) =>
      !Object.is(x[i], value) &&
      x[i] !== value &&
      !(Math.abs(x[i] - value) <= (precision[expected.dtype] ?? 0) * (1 + Math.abs(value)))
  )
  return at < 0 ? undefined : `element ${at} is ${x[at]}, not ${y[at]}`
}

/** An operation on some arrays. */
interface Case {
  readonly name: string
  readonly hosts: ReadonlyArray<HostArray>
  readonly apply: (...inputs: ReadonlyArray<Tensor>) => Tensor | ReadonlyArray<Tensor>
}

/** All the cases in one program, since programs cost more to compile than to run. */
const agree = async (cases: ReadonlyArray<Case>): Promise<void> => {
  const hosts = cases.flatMap((each) => each.hosts)
  const owners: Array<string> = []
  const build = (...inputs: ReadonlyArray<Tensor>): ReadonlyArray<Tensor> => {
    let next = 0
    owners.length = 0
    return cases.flatMap(({ name, hosts, apply }) => {
      const results = [apply(...inputs.slice(next, next + hosts.length))].flat() as Array<Tensor>
      next += hosts.length
      owners.push(...results.map(() => name))
      return results
    })
  }
  const actual = await Effect.runPromise(running(onnx, hosts, build))
  const expected = await Effect.runPromise(running(Reference.backend, hosts, build))
  const wrong = expected.flatMap((each, i) => {
    const why = difference(actual[i], each)
    return why === undefined ? [] : [`${owners[i]}: ${why}`]
  })
  expect(wrong).toEqual([])
}

const forEach = <A>(
  values: ReadonlyArray<A>,
  make: (value: A) => ReadonlyArray<Case>
): ReadonlyArray<Case> => values.flatMap(make)

// tests

describe("the file format", () => {
  /** Fields of a message, in order. */
  const fields = (bytes: Uint8Array): ReadonlyArray<readonly [number, unknown]> => {
    const reader = new BinaryReader(bytes)
    const found: Array<readonly [number, unknown]> = []
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag()
      found.push([
        field,
        wire === 2 ? reader.bytes() : wire === 5 ? reader.float() : reader.int64()
      ])
    }
    return found
  }
  const field = (bytes: Uint8Array, number: number): ReadonlyArray<unknown> =>
    fields(bytes).flatMap(([each, value]) => (each === number ? [value] : []))
  const text = (bytes: unknown): string => new TextDecoder().decode(bytes as Uint8Array)

  const inner: Model.Graph = {
    name: "body",
    nodes: [],
    inputs: [{ name: "i", dtype: "int64", shape: [] }],
    outputs: [],
    initializers: []
  }
  const model: Model.Model = {
    irVersion: 10,
    producer: "odeon",
    opsets: { "": 21, other: 1 },
    graph: {
      name: "überblick",
      nodes: [
        {
          name: "node",
          domain: "other",
          operator: "Op",
          inputs: ["x", "", "weights.0"],
          outputs: ["y"],
          attributes: {
            axis: -1,
            pads: [1, -2, 300],
            mode: "nearest",
            epsilon: { float: 0.5 },
            body: inner
          }
        }
      ],
      inputs: [{ name: "x", dtype: "float16", shape: ["steps", 3] }],
      outputs: [{ name: "y", dtype: "bool", shape: [] }],
      initializers: [
        { name: "weights.0", dtype: "uint32", shape: [2, 1], data: Uint32Array.of(7, 2 ** 31) }
      ]
    }
  }
  const bytes = Model.encode(model)
  const graph = field(bytes, 7)[0] as Uint8Array
  const node = field(graph, 1)[0] as Uint8Array

  it("has the model's versions", () => {
    expect(field(bytes, 1)).toEqual([10n])
    expect(field(bytes, 2).map(text)).toEqual(["odeon"])
    const opsets = field(bytes, 8) as ReadonlyArray<Uint8Array>
    expect(opsets.map((each) => [text(field(each, 1)[0]), field(each, 2)[0]])).toEqual([
      ["", 21n],
      ["other", 1n]
    ])
  })

  it("has nodes with attributes of every kind", () => {
    expect(text(field(graph, 2)[0])).toBe("überblick")
    expect(field(node, 1).map(text)).toEqual(["x", "", "weights.0"])
    expect(field(node, 2).map(text)).toEqual(["y"])
    expect([3, 4, 7].map((each) => text(field(node, each)[0]))).toEqual(["node", "Op", "other"])
    const attributes = field(node, 5) as ReadonlyArray<Uint8Array>
    expect(attributes.map((each) => [text(field(each, 1)[0]), field(each, 20)[0]])).toEqual([
      ["axis", 2n],
      ["pads", 7n],
      ["mode", 3n],
      ["epsilon", 1n],
      ["body", 5n]
    ])
    expect(field(attributes[0], 3)).toEqual([-1n])
    const pads = new BinaryReader(field(attributes[1], 8)[0] as Uint8Array)
    expect([pads.int64(), pads.int64(), pads.int64()]).toEqual([1n, -2n, 300n])
    expect(text(field(attributes[2], 4)[0])).toBe("nearest")
    expect(field(attributes[3], 2)).toEqual([0.5])
    expect(text(field(field(attributes[4], 6)[0] as Uint8Array, 2)[0])).toBe("body")
  })

  it("has constants with their bytes", () => {
    const tensor = field(graph, 5)[0] as Uint8Array
    expect(field(tensor, 2)).toEqual([12n])
    expect(text(field(tensor, 8)[0])).toBe("weights.0")
    expect(field(tensor, 9)[0]).toEqual(Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 128))
  })

  it("has the shapes of inputs, some sizes with names", () => {
    const type = field(field(graph, 11)[0] as Uint8Array, 2)[0] as Uint8Array
    const tensor = field(type, 1)[0] as Uint8Array
    expect(field(tensor, 1)).toEqual([10n])
    const sizes = field(field(tensor, 2)[0] as Uint8Array, 1) as ReadonlyArray<Uint8Array>
    expect(text(field(sizes[0], 2)[0])).toBe("steps")
    expect(field(sizes[1], 1)).toEqual([3n])
  })

  it("is written fast", () => {
    const nodes = Array.from({ length: 20_000 }, (_, i) => ({
      ...model.graph.nodes[0],
      name: `node_${i}`
    }))
    const start = performance.now()
    Model.encode({ ...model, graph: { ...model.graph, nodes } })
    expect(performance.now() - start).toBeLessThan(1000)
  })
})

describe("elementwise primitives", () => {
  const unary = {
    neg: [E.neg, numbers],
    abs: [E.abs, numbers],
    sign: [E.sign, numbers],
    exp: [E.exp, floats],
    log: [E.log, floats],
    sqrt: [E.sqrt, floats],
    sin: [E.sin, floats],
    cos: [E.cos, floats],
    tan: [E.tan, floats],
    asin: [E.asin, floats],
    acos: [E.acos, floats],
    atan: [E.atan, floats],
    tanh: [E.tanh, floats],
    sigmoid: [E.sigmoid, floats],
    erf: [E.erf, floats],
    floor: [E.floor, floats],
    round: [E.round, floats],
    isNaN: [E.isNaN, floats],
    not: [E.not, ["bool"]]
  } as const
  const borders = [0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-3, 20, -20, 100]
  const improper = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]

  for (const [name, [apply, dtypes]] of Object.entries(unary)) {
    it(name, () =>
      agree(
        forEach(dtypes, (dtype) => {
          const cases = [sample(dtype, [5, 13]), sample(dtype, []), sample(dtype, [0, 3])]
          const special = DType.isFloat(dtype) ? [host(dtype, [16], [...borders, ...improper])] : []
          return [...cases, ...special].map((each) => ({
            name: `${name} ${dtype}${Shape.show(each.shape)}`,
            hosts: [each],
            apply
          }))
        })
      )
    )
  }

  it("cast, between all dtypes", () =>
    agree(
      forEach(everything, (from) =>
        everything.map((to) => ({
          name: `${from} to ${to}`,
          hosts: [sample(from, [3, 7])],
          apply: (x) => E.cast(x, to)
        }))
      )
    ))

  const binary = {
    add: [E.add, numbers],
    sub: [E.sub, numbers],
    mul: [E.mul, numbers],
    minimum: [E.minimum, numbers],
    maximum: [E.maximum, numbers],
    equal: [E.equal, everything],
    less: [E.less, numbers],
    lessEqual: [E.lessEqual, numbers],
    and: [E.and, ["bool"]],
    or: [E.or, ["bool"]],
    bitAnd: [E.bitAnd, ["uint32"]],
    bitOr: [E.bitOr, ["uint32"]],
    bitXor: [E.bitXor, ["uint32"]],
    shiftLeft: [E.shiftLeft, ["uint32"]],
    shiftRight: [E.shiftRight, ["uint32"]]
  } as const

  for (const [name, [apply, dtypes]] of Object.entries(binary)) {
    it(`${name}, broadcasting`, () =>
      agree(
        forEach(dtypes, (dtype) => {
          return [
            { name: dtype, hosts: [sample(dtype, [4, 1, 3]), sample(dtype, [5, 1], 2)], apply },
            {
              name: `${dtype}, same shape`,
              hosts: [sample(dtype, [67]), sample(dtype, [67], 2)],
              apply
            },
            { name: `${dtype}, empty`, hosts: [sample(dtype, [0, 3]), sample(dtype, [3])], apply }
          ]
        })
      ))
  }

  it("div and remainder, by values and constants, with the signs of both", () =>
    agree(
      forEach(numbers, (dtype) =>
        [E.div, E.remainder].flatMap((apply, i) => {
          const name = i === 0 ? "div" : "remainder"
          const signed = dtype === "uint32" ? [1, 2, 3, 7] : [1, -1, 2, -3, 7, -7]
          return [
            {
              name: `${name} ${dtype}`,
              hosts: [sample(dtype, [40, 6]), host(dtype, [6], signed)],
              apply
            },
            {
              name: `${name} ${dtype} by 3`,
              hosts: [sample(dtype, [40])],
              apply: (x: Tensor) => apply(x, S.scalar(3, dtype))
            }
          ]
        })
      )
    ))

  it("does not stop the process at the smallest integer by −1", async () => {
    for (const [dtype, least] of [
      ["int32", -(2n ** 31n)],
      ["int64", -(2n ** 63n)]
    ] as const) {
      const hosts = [host(dtype, [2], [least, 7n]), host(dtype, [2], [-1])]
      expect(await evaluate(hosts, E.div)).toEqual([Number(least), -7])
      expect(await evaluate(hosts, E.remainder)).toEqual([0, 0])
      expect(await evaluate([hosts[0]], (x) => E.div(x, S.scalar(-1, dtype)))).toEqual([
        Number(least),
        -7
      ])
    }
  })

  it("remainder has the sign of the divisor, of floats too", async () => {
    const a = [5, -5, 5, -5, 0, 7, -7, 6, 1e-4, -1e-4]
    const b = [3, 3, -3, -3, 3, Infinity, Infinity, 3, 1, 1]
    const expected = [2, 1, -1, -2, 0, 7, Infinity, 0, 1e-4, 1 - 1e-4]
    const hosts = [host("float64", [10], a), host("float64", [10], b)]
    expect(await evaluate(hosts, E.remainder)).toEqual(expected)
  })

  it("pow", () =>
    agree([
      ...forEach(numbers, (dtype) => [
        {
          name: dtype,
          hosts: [host(dtype, [3, 6], [1, 2, 3, 4, 5]), host(dtype, [6], [0, 1, 2, 3, 4, 5])],
          apply: E.pow
        }
      ]),
      ...forEach(floats, (dtype) => [
        {
          name: `${dtype}, edges`,
          hosts: [
            host(dtype, [6], [1, 0, -2, 4, 0, -1]),
            host(dtype, [6], [Number.NaN, 0, 3, 0.5, 2, Infinity])
          ],
          apply: E.pow
        },
        {
          name: `${dtype}, inverse`,
          hosts: [sample(dtype, [9])],
          apply: (x) => E.pow(x, S.scalar(-1, dtype))
        }
      ])
    ]))

  it("select, for every dtype", () =>
    agree(
      forEach(everything, (dtype) => [
        {
          name: dtype,
          hosts: [sample("bool", [4, 1]), sample(dtype, [3]), sample(dtype, [], 2)],
          apply: E.select
        }
      ])
    ))

  it("mul with a sigmoid, which the runtime merges into an operator for float32 only", () =>
    agree(
      forEach(floats, (dtype) => [
        {
          name: dtype,
          hosts: [host(dtype, [5], [-800, -3, 0.25, 2, 900])],
          apply: (x: Tensor) => E.mul(x, E.sigmoid(x))
        },
        {
          name: `${dtype}, scaled`,
          hosts: [host(dtype, [4], [-3, 0, 0.25, 2])],
          apply: (x: Tensor) => E.mul(x, E.sigmoid(E.mul(x, S.scalar(1.5, dtype))))
        }
      ])
    ))

  it("times a reciprocal, of what an operation without effect gave", () =>
    agree(
      forEach(floats, (dtype) =>
        (
          [
            ["x + 0", E.add, 0],
            ["x − 0", E.sub, 0],
            ["x · 1", E.mul, 1],
            ["x / 1", E.div, 1]
          ] as const
        ).map(([name, apply, by]) => ({
          name: `${name}, ${dtype}`,
          hosts: [host(dtype, [3], [1, 2, 4]), host(dtype, [3], [2, 8, 0.5])],
          apply: (x: Tensor, u: Tensor) => {
            const same = apply(E.mul(x, x), S.scalar(by, dtype))
            return E.mul(same, E.div(S.scalar(1, dtype), E.add(u, u)))
          }
        }))
      )
    ))

  it("rounds float16 after each operation", async () => {
    const x = host("float16", [2], [65504, 1])
    const y = host("float16", [2], [65504, 2 ** -11])
    expect(await evaluate([x, y], (a, b) => E.sub(E.add(a, b), b))).toEqual([
      Infinity,
      1 - 2 ** -11
    ])
  })

  it("looks at all 64 bits of an int64", async () => {
    const [a, b] = [
      [4294967295n, -7110407632n, 1n, 2n ** 40n, -1n, 5n, 2n, 3n, 4n],
      [2n, -6174895448n, 2178840160n, 2n ** 33n, -3793980376n, 5n, 2n, 3n, 4n]
    ]
    const hosts = [host("int64", [9], a), host("int64", [9], b)]
    const expected = (pick: (x: bigint, y: bigint) => boolean) =>
      a.map((x, i) => Number(pick(x, b[i]) ? x : b[i]))
    expect(await evaluate(hosts, E.maximum)).toEqual(expected((x, y) => x > y))
    expect(await evaluate(hosts, E.minimum)).toEqual(expected((x, y) => x < y))
    expect(await evaluate(hosts, (x, y) => R.max(S.concat([x, y], 0), [0], false))).toEqual([
      2 ** 40
    ])
    expect(await evaluate([hosts[0]], E.sign)).toEqual([1, -1, 1, 1, -1, 1, 1, 1, 1])
  })
})

describe("reductions and orderings", () => {
  const axes = [[], [0], [1], [2], [0, 1], [0, 2], [0, 1, 2]]

  for (const [name, apply] of Object.entries({
    sum: S.sum,
    prod: R.prod,
    min: R.min,
    max: R.max
  })) {
    it(`${name}, for every dtype and set of axes`, () =>
      agree([
        ...forEach(numbers, (dtype) =>
          axes.flatMap((axes) =>
            [true, false].map((keep) => ({
              name: `${dtype} over [${axes}]`,
              hosts: [sample(dtype, [2, 3, 5])],
              apply: (x) => apply(x, axes, keep)
            }))
          )
        ),
        ...(name === "sum" || name === "prod"
          ? forEach(numbers, (dtype) => [
              {
                name: `${dtype}, of nothing`,
                hosts: [sample(dtype, [2, 0])],
                apply: (x: Tensor) => apply(x, [1], false)
              }
            ])
          : [])
      ]))
  }

  it("adds many float32 without losing digits", async () => {
    for (const [shape, axes] of [
      [[100_003], [0]],
      [[2, 65_536], [1]],
      [[65_536, 2], [0]],
      [
        [2, 64, 32, 32],
        [1, 2, 3]
      ],
      [
        [64, 2, 32, 32],
        [0, 2, 3]
      ],
      [
        [2, 64, 64, 64],
        [0, 1, 3]
      ],
      [
        [64, 64, 64],
        [0, 1, 2]
      ]
    ]) {
      const count = Shape.size(axes.map((axis) => shape[axis]))
      const [sum] = await evaluate([host("float32", shape, [0.1])], (x) => S.sum(x, axes, true))
      expect(sum / (count * Math.fround(0.1)) - 1, Shape.show(shape)).toBeCloseTo(0, 5)
    }
  })

  it("sums over tiles", () =>
    agree(
      forEach(floats, (dtype) =>
        [true, false].map((keep) => ({
          name: dtype,
          hosts: [sample(dtype, [2, 3, 4, 2, 5, 3])],
          apply: (x: Tensor) => S.sum(x, [3, 5], keep)
        }))
      )
    ))

  it("wraps sums and products of integers", async () => {
    const top = { int32: 2n ** 31n - 1n, uint32: 2n ** 32n - 1n, int64: 2n ** 63n - 1n } as const
    for (const dtype of ["int32", "uint32", "int64"] as const) {
      const wrapped = (x: bigint): number =>
        Number(
          dtype === "int32"
            ? BigInt.asIntN(32, x)
            : dtype === "uint32"
              ? BigInt.asUintN(32, x)
              : BigInt.asIntN(64, x)
        )
      const x = host(dtype, [3], [top[dtype], top[dtype], 5n])
      expect(await evaluate([x], (x) => S.sum(x, [0], false))).toEqual([
        wrapped(2n * top[dtype] + 5n)
      ])
      expect(await evaluate([x], (x) => R.prod(x, [0], false))).toEqual([
        wrapped(top[dtype] ** 2n * 5n)
      ])
    }
  })

  it("min and max give NaN where there is one", () =>
    agree(
      forEach(floats, (dtype) =>
        [[0], [1], [0, 1]].flatMap((axes) =>
          [R.min, R.max].map((apply) => ({
            name: `${dtype} over [${axes}]`,
            hosts: [
              host(
                dtype,
                [3, 4],
                [1, 2, Number.NaN, 4, 5, Infinity, 7, 8, 9, -Infinity, Infinity, 3]
              )
            ],
            apply: (x: Tensor) => apply(x, axes, true)
          }))
        )
      )
    ))

  it("keeps NaN in a softmax, whose maximum is only taken away", async () => {
    const x = host("float32", [2, 3], [1, Number.NaN, 3, 4, 5, 6])
    const result = await evaluate([x], (x) => {
      const e = E.exp(E.sub(x, R.max(x, [1], true)))
      return E.div(e, S.sum(e, [1], true))
    })
    expect(result.slice(0, 3)).toEqual([Number.NaN, Number.NaN, Number.NaN])
    expect(result.slice(3).reduce((a, b) => a + b)).toBeCloseTo(1)
  })

  it("argMax, argSort and cumSum", () =>
    agree(
      forEach(numbers, (dtype) =>
        [0, 1].flatMap((axis): ReadonlyArray<Case> => {
          const hosts = [sample(dtype, [6, 20])]
          return [
            { name: `argMax ${dtype} ${axis}`, hosts, apply: (x) => R.argMax(x, axis) },
            ...[true, false].flatMap((flag) => [
              {
                name: `argSort ${dtype} ${axis}`,
                hosts,
                apply: (x: Tensor) => R.argSort(x, axis, flag)
              },
              ...[true, false].map((exclusive) => ({
                name: `cumSum ${dtype} ${axis}`,
                hosts,
                apply: (x: Tensor) => S.cumSum(x, axis, flag, exclusive)
              }))
            ])
          ]
        })
      )
    ))

  it("argSort is stable both ways, and takes NaN for large", async () => {
    const x = host("float32", [6], [1, 0, 1, Number.NaN, 0, 1])
    expect(await evaluate([x], (x) => R.argSort(x, 0, false))).toEqual([1, 4, 0, 2, 5, 3])
    expect(await evaluate([x], (x) => R.argSort(x, 0, true))).toEqual([3, 0, 2, 5, 1, 4])
  })

  it("standardize", () =>
    agree(
      forEach(floats, (dtype) =>
        [0, 1, 2].map((axis) => ({
          name: `${dtype} from axis ${axis}`,
          hosts: [sample(dtype, [3, 4, 5])],
          apply: (x) => {
            const { node } = R.standardize(x, axis, 1e-3)
            return [output(node, 0), output(node, 1)]
          }
        }))
      )
    ))

  it("standardize of nothing", () =>
    agree(
      forEach(floats, (dtype) => [
        {
          name: dtype,
          hosts: [sample(dtype, [3, 0])],
          apply: (x: Tensor) => {
            const { node } = R.standardize(x, 1, 1e-3)
            return [output(node, 0), output(node, 1)]
          }
        }
      ])
    ))
})

describe("primitives that move elements", () => {
  it("do so for every dtype", () =>
    agree(
      forEach(everything, (dtype): ReadonlyArray<Case> => {
        const on = (name: string, shape: Shape.Shape, apply: (x: Tensor) => Tensor): Case => ({
          name: `${name} ${dtype}${Shape.show(shape)}`,
          hosts: [sample(dtype, shape)],
          apply
        })
        const value = dtype === "bool" ? 1 : 3
        return [
          on("broadcast", [3, 1], (x) => S.broadcast(x, [2, 3, 4])),
          on("broadcast", [], (x) => S.broadcast(x, [2, 3])),
          on("broadcast to nothing", [3, 1], (x) => S.broadcast(x, [2, 3, 0])),
          on("pixels to four", [2, 3, 8, 1, 9, 1], (x) => S.broadcast(x, [2, 3, 8, 2, 9, 2])),
          on("pixels to six", [2, 3, 8, 1, 9, 1], (x) => S.broadcast(x, [2, 3, 8, 3, 9, 2])),
          on("repeat", [1, 40, 9, 1], (x) => S.broadcast(x, [5, 2, 40, 9, 3])),
          on("reshape", [3, 4], (x) => S.reshape(x, [2, 6])),
          on("reshape", [3, 0], (x) => S.reshape(x, [0, 5])),
          on("transpose", [2, 3, 4], (x) => S.transpose(x, [2, 0, 1])),
          on("transpose", [2, 1, 4], (x) => S.transpose(x, [1, 0, 2])),
          on("slice", [7, 5, 3], (x) => S.slice(x, [6, 1, 2], [3, 2, 3], [-3, 2, -1])),
          on("slice", [7], (x) => S.slice(x, [5], [3], [-2])),
          on("slice to nothing", [7, 5], (x) => S.slice(x, [0, 1], [0, 2], [1, 1])),
          on("pad", [2, 3], (x) => S.pad(x, [1, 0], [0, 2], value)),
          on("pad nothing", [0, 3], (x) => S.pad(x, [1, 0], [0, 2], 1)),
          {
            name: `concat ${dtype}`,
            hosts: [sample(dtype, [2, 3]), sample(dtype, [2, 0]), sample(dtype, [2, 1])],
            apply: (...x) => S.concat(x, 1)
          },
          { name: `constant ${dtype}`, hosts: [], apply: () => constant(dtype, [1, 0, 1], [3, 1]) },
          {
            name: `one value as several outputs ${dtype}`,
            hosts: [sample(dtype, [3])],
            apply: (x) => [x, x, S.reshape(x, [3, 1])]
          }
        ]
      })
    ))

  it("pads with infinity", () =>
    agree(
      forEach(floats, (dtype) => [
        {
          name: dtype,
          hosts: [sample(dtype, [2])],
          apply: (x) => S.pad(x, [1], [2], Number.NEGATIVE_INFINITY)
        }
      ])
    ))

  it("iota, short and long", () =>
    agree(
      forEach(numbers, (dtype) => [
        {
          name: dtype,
          hosts: [],
          apply: () => [S.iota([3, 4], 1, dtype), S.iota([3, 4], 0, dtype), S.iota([600], 0, dtype)]
        }
      ])
    ))

  it("gather, from the end too, and scatterAdd, several times to a place", () =>
    agree([
      ...forEach(everything, (dtype) =>
        integers.map((kind) => ({
          name: `gather ${dtype} by ${kind}`,
          hosts: [
            sample(dtype, [4, 5, 2]),
            host(kind, [2, 3], kind === "uint32" ? [4, 0, 2] : [-5, 4, -1])
          ],
          apply: (x, i) => S.gather(x, i, 1)
        }))
      ),
      ...forEach(numbers, (dtype) =>
        integers.flatMap((kind) => [
          {
            name: `scatterAdd ${dtype} by ${kind}`,
            hosts: [
              host(kind, [6], [0, 2, 2, 1, 2, kind === "uint32" ? 3 : -1]),
              sample(dtype, [3, 6, 2])
            ],
            apply: (i, x) => S.scatterAdd(i, x, 1, 4)
          },
          {
            name: `scatterAdd ${dtype} at one ${kind}`,
            hosts: [host(kind, [], [2]), sample(dtype, [2, 4])],
            apply: (i, x) => S.scatterAdd(i, x, 1, 4)
          },
          {
            name: `scatterAdd ${dtype} of nothing by ${kind}`,
            hosts: [sample(kind, [0]), sample(dtype, [0, 4])],
            apply: (i, x) => S.scatterAdd(i, x, 0, 4)
          },
          {
            name: `scatterAdd ${dtype} of thousands by ${kind}`,
            hosts: [host(kind, [3000], [0, 1, 2]), host(dtype, [3000], [1])],
            apply: (i, x) => S.scatterAdd(i, x, 0, 3)
          }
        ])
      )
    ]))
})

describe("linear primitives", () => {
  it("matmul, of stacks and of nothing", () =>
    agree(
      forEach(numbers, (dtype) => [
        { name: dtype, hosts: [sample(dtype, [3, 4]), sample(dtype, [4, 5])], apply: L.matmul },
        {
          name: `${dtype} stacks`,
          hosts: [sample(dtype, [2, 1, 3, 4]), sample(dtype, [3, 4, 5])],
          apply: L.matmul
        },
        {
          name: `${dtype} empty`,
          hosts: [sample(dtype, [3, 0]), sample(dtype, [0, 5])],
          apply: L.matmul
        }
      ])
    ))

  const reach = (window: Window, kernel: Shape.Shape, space: Shape.Shape): Shape.Shape =>
    space.map((size, i) => {
      const covered = (kernel[i] - 1) * window.dilation[i] + 1
      return Math.floor((size + window.low[i] + window.high[i] - covered) / window.stride[i]) + 1
    })

  /** A convolution and both its adjoints. */
  const convolutions = (
    dtype: DType.DType,
    [n, c, o]: readonly [number, number, number],
    space: Shape.Shape,
    kernel: Shape.Shape,
    window: Window
  ): ReadonlyArray<Case> => {
    const out = reach(window, kernel, space)
    if (out.some((size) => size < 1)) return []
    const x = sample(dtype, [n, c, ...space])
    const w = sample(dtype, [o, c / window.groups, ...kernel], 2)
    const y = sample(dtype, [n, o, ...out], 3)
    const name = `${dtype} ${n}×${c}→${o} [${space}] by [${kernel}] ${JSON.stringify(window)}`
    return [
      { name: `conv ${name}`, hosts: [x, w], apply: (x, w) => L.conv(x, w, window) },
      {
        name: `convTranspose ${name}`,
        hosts: [y, w],
        apply: (y, w) => L.convTranspose(y, w, window, space)
      },
      {
        name: `convKernel ${name}`,
        hosts: [x, y],
        apply: (x, y) => L.convKernel(x, y, window, kernel)
      }
    ]
  }

  /** Stride, dilation, low and high padding. */
  const geometries = [
    [1, 1, 0, 0],
    [1, 1, 1, 1],
    [2, 1, 1, 0],
    [1, 2, 2, 3],
    [3, 2, 1, 2],
    [2, 2, 5, 4],
    [1, 1, 4, 5]
  ] as const

  const windows = (rank: number, groups: number): ReadonlyArray<Window> =>
    geometries.map(([stride, dilation, low, high]) => ({
      // other numbers along every other axis
      stride: Array.from({ length: rank }, (_, i) => Math.max(stride - (i % 2), 1)),
      dilation: Array.from({ length: rank }, () => dilation),
      low: Array.from({ length: rank }, (_, i) => Math.max(low - (i % 2), 0)),
      high: Array.from({ length: rank }, () => high),
      groups
    }))

  for (const rank of [1, 2, 3, 4]) {
    it(`convolutions and their adjoints over ${rank} axes`, () =>
      agree(
        forEach<DType.DType>(rank < 4 ? floats : ["float32"], (dtype) =>
          [1, 2].flatMap((groups) =>
            windows(rank, groups).flatMap((window) =>
              convolutions(
                dtype,
                [2, 4, 6],
                [5, 4, 3, 3].slice(0, rank),
                [3, 2, 1, 2].slice(0, rank),
                window
              )
            )
          )
        )
      ))
  }

  it("convolutions in the runtime's own layout", async () => {
    const block = await Effect.runPromise(
      Effect.promise(async () => blockSize(await import("onnxruntime-node")))
    )
    // otherwise there is nothing to test on this processor
    expect([undefined, 8, 16]).toContain(block)
    await agree(
      forEach(
        [
          [16, 16, 32, 9, 5],
          [32, 32, 16, 5, 7],
          [2, 16, 16, 16, 12]
        ] as const,
        ([n, c, o, h, w]) =>
          [
            [3, 3],
            [1, 2],
            [4, 3],
            [1, 1]
          ].flatMap((kernel) =>
            windows(2, 1).flatMap((window) =>
              convolutions("float32", [n, c, o], [h, w], kernel, window)
            )
          )
      )
    )
  })

  it("convolutions with few places and many weights, of all samples at once", () =>
    agree(
      windows(2, 1).flatMap((window) =>
        convolutions("float32", [5, 96, 80], [4, 3], [3, 3], window)
      )
    ))

  it("a convolution's offsets for channels, which are merged into it", () => {
    const window = { stride: [1, 1], dilation: [1, 1], low: [1, 1], high: [1, 1], groups: 1 }
    return agree(
      forEach([4, 16], (channels) => [
        {
          name: `${channels} channels`,
          hosts: [
            sample("float32", [16, channels, 6, 5]),
            sample("float32", [channels, channels, 3, 3]),
            sample("float32", [channels, 1, 1])
          ],
          apply: (x, w, b) => {
            const once = E.add(L.conv(x, w, window), b)
            // the first result is needed by itself, the second is not
            return [once, E.add(once, b), E.add(E.add(L.conv(E.neg(x), w, window), b), b)]
          }
        }
      ])
    )
  })

  it("convolutions of nothing", () => {
    const window = { stride: [1, 1], dilation: [1, 1], low: [1, 1], high: [1, 1], groups: 1 }
    return agree(
      forEach(floats, (dtype) => [
        {
          name: `${dtype}, no samples`,
          hosts: [sample(dtype, [0, 2, 4, 4]), sample(dtype, [3, 2, 3, 3])],
          apply: (x, w) => L.conv(x, w, window)
        },
        {
          name: `${dtype}, no channels`,
          hosts: [sample(dtype, [2, 0, 4, 4]), sample(dtype, [3, 0, 3, 3])],
          apply: (x, w) => L.conv(x, w, window)
        },
        {
          name: `${dtype}, kernel from no samples`,
          hosts: [sample(dtype, [0, 2, 4, 4]), sample(dtype, [0, 3, 4, 4])],
          apply: (x, y) => L.convKernel(x, y, window, [3, 3])
        }
      ])
    )
  })

  it("pooling", () =>
    agree(
      forEach(floats, (dtype) =>
        [1, 2, 3, 4].flatMap((rank) =>
          (["max", "mean"] as const).flatMap((kind) =>
            [
              [2, 2, 0, 0],
              [3, 2, 1, 1],
              [3, 1, 2, 1]
            ].map(([window, stride, low, high]) => {
              const each = (value: number) => Array.from({ length: rank }, () => value)
              return {
                name: `${kind} ${dtype} over ${rank} axes`,
                hosts: [sample(dtype, [2, 3, 6, 4, 5, 4].slice(0, rank + 2))],
                apply: (x: Tensor) =>
                  L.pool(x, {
                    kind,
                    window: each(window),
                    stride: each(stride),
                    low: each(low),
                    high: each(high)
                  })
              }
            })
          )
        )
      )
    ))
})

describe("loops", () => {
  const parameters = (dtype: DType.DType) =>
    ["a", "b", "x"].map((name) => S.input(name, [3], dtype)) as [Tensor, Tensor, Tensor]

  it("scan, both ways, of any length, with states that stay", () =>
    agree(
      forEach(numbers, (dtype) =>
        [true, false].flatMap((reverse) =>
          [0, 1, 5].map((length) => ({
            name: `${dtype}, ${length} steps`,
            hosts: [sample(dtype, [3]), sample(dtype, [3], 2), sample(dtype, [length, 3])],
            apply: (init: Tensor, fixed: Tensor, xs: Tensor) => {
              const [a, b, x] = parameters(dtype)
              return Control.scan(
                [init, fixed],
                [xs],
                {
                  parameters: [a, b, x],
                  results: [E.add(E.mul(a, b), x), b, E.sub(a, x), x, b, S.scalar(2, dtype), a]
                },
                { length, reverse, store: undefined }
              )
            }
          }))
        )
      )
    ))

  it("loops in loops", () =>
    agree([
      {
        name: "scan in scan",
        hosts: [sample("float32", [3]), sample("float32", [4, 2, 3])],
        apply: (start, xs) => {
          const [a, b, x] = parameters("float32")
          const pair = S.input("pair", [2, 3], "float32")
          const [inner, stacked] = Control.scan(
            [a],
            [pair],
            {
              parameters: [b, x],
              results: [E.add(E.mul(b, start), E.add(x, S.sum(pair, [0], false))), E.mul(x, a)]
            },
            { length: 2, reverse: true, store: undefined }
          )
          return Control.scan(
            [start],
            [xs],
            { parameters: [a, pair], results: [E.tanh(inner), stacked] },
            { length: 4, reverse: false, store: undefined }
          )
        }
      },
      {
        name: "while in scan",
        hosts: [sample("float32", [3]), host("int32", [4], [3, 0, 12, -5])],
        apply: (start, counts) => {
          const [a, b] = parameters("float32")
          const [n, i] = ["n", "i"].map((name) => S.input(name, [], "int32"))
          const [last, state] = Control.whileLoop(
            [n, a],
            { parameters: [i, b], results: [E.less(i, S.scalar(10, "int32"))] },
            {
              parameters: [i, b],
              results: [E.add(i, S.scalar(3, "int32")), E.add(b, E.cast(n, "float32"))]
            }
          )
          return Control.scan(
            [start],
            [counts],
            { parameters: [a, n], results: [state, last] },
            { length: 4, reverse: false, store: undefined }
          )
        }
      }
    ]))

  it("whileLoop, with states that stay, and not at all", () => {
    const [i, limit] = ["i", "limit"].map((name) => S.input(name, [], "int32"))
    const [a, b] = parameters("float32")
    return agree(
      [7, 0].map((count) => ({
        name: `${count} times`,
        hosts: [sample("float32", [3]), host("int32", [], [count])],
        apply: (x, n) =>
          Control.whileLoop(
            [S.scalar(0, "int32"), x, x, n],
            { parameters: [i, a, b, limit], results: [E.less(i, limit)] },
            {
              parameters: [i, a, b, limit],
              results: [E.add(i, S.scalar(1, "int32")), E.add(E.mul(a, E.sin(x)), b), b, limit]
            }
          )
      }))
    )
  })

  it("computes once, before the loop, what does not change in it", () => {
    const [init, w, xs] = [
      S.input("init", [3], "float16"),
      S.input("w", [3], "float16"),
      S.input("xs", [9, 3], "float16")
    ]
    const [a, , x] = parameters("float16")
    const results = Control.scan(
      [init],
      [xs],
      { parameters: [a, x], results: [E.add(E.mul(a, w), x)] },
      { length: 9, reverse: false, store: undefined }
    )
    const { model } = lower(
      source([init, w, xs], results),
      { portable: true, block: undefined },
      true
    )
    // `float16` is computed in `float32`: the conversion of w is a node outside
    const outside = model.graph.nodes.filter(({ operator }) => operator === "Cast")
    expect(outside.map(({ inputs }) => inputs)).toEqual([["in1"]])
  })
})

describe("folds", () => {
  const step = () => {
    const w = S.input("w", [3], "float32")
    const c = S.input("c", [3], "float32")
    const x = S.input("x", [3], "float32")
    const n = S.input("n", [], "int32")
    return {
      name: "step",
      graph: Graph.make(
        [w, c, x, n],
        [E.add(E.mul(w, c), x), c, E.mul(w, E.cast(n, "float32")), n]
      ),
      inputNames: ["w", "c", "x", "n"],
      outputNames: ["w", "c", "y", "n"]
    }
  }
  const arrays = [
    host("float32", [3], [1]),
    host("float32", [3], [0.5]),
    sample("float32", [5, 3]),
    sample("int32", [5])
  ]

  const folded = <B>(backend: Backend<B>, steps: number) =>
    Effect.scoped(
      Effect.gen(function* () {
        const fold = yield* backend.compileFold(step(), 2)
        const memory = yield* Effect.forEach(arrays, backend.write)
        const results = yield* fold.run(memory.slice(0, 2), memory.slice(2), steps)
        const shapes = [[3], [3], [steps, 3], [steps]]
        return yield* Effect.forEach(results, (each, i) =>
          backend.read(each, { shape: shapes[i], dtype: i < 3 ? "float32" : "int32" })
        )
      })
    )

  it("carry a state through as many steps as told", async () => {
    for (const steps of [1, 4, 5]) {
      const actual = await Effect.runPromise(folded(onnx, steps))
      const expected = await Effect.runPromise(folded(Reference.backend, steps))
      actual.forEach((each, i) => {
        expect(difference(each, expected[i])).toBeUndefined()
      })
    }
  })

  it("do not copy states that stay as they are", async () => {
    const { model, outputs } = lowerFold(step(), 2, { portable: false, block: undefined })
    expect(outputs[1]).toBe(1)
    expect(model.graph.outputs.length).toBe(3)
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const fold = yield* onnx.compileFold(step(), 2)
          const memory = yield* Effect.forEach(arrays, onnx.write)
          const results = yield* fold.run(memory.slice(0, 2), memory.slice(2), 3)
          expect(results[1]).toBe(memory[1])
        })
      )
    )
  })

  it("run without states or stacked outputs", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const x = S.input("x", [], "int64")
          const stacking = yield* onnx.compileFold(source([x], [E.add(x, x)]), 0)
          const memory = yield* onnx.write(host("int64", [3], [1, 2, 3]))
          const [doubled] = yield* stacking.run([], [memory], 3)
          expect((yield* onnx.read(doubled, { shape: [3], dtype: "int64" })).data).toEqual(
            BigInt64Array.of(2n, 4n, 6n)
          )
          const idle = yield* onnx.compileFold(source([x], [x]), 1)
          const one = yield* onnx.write(host("int64", [], [1]))
          expect(yield* idle.run([one], [], 3)).toEqual([one])
        })
      )
    ))
})

describe("models", () => {
  const named = () => {
    const x = S.input("x", [2, 3], "float32")
    const scale = { ...E.mul(x, x).node, label: "scale" } as Node
    const y = E.tanh(output(scale))
    return {
      name: "model",
      graph: Graph.make([x], [y, E.exp(y), x, y]),
      inputNames: ["state.weights.0"],
      outputNames: ["state.weights.0", "exponential", "same", "again"]
    }
  }
  const options = { portable: true, block: undefined }

  it("name values after labels, primitives, inputs and outputs", () => {
    const { model } = lower(named(), options, true)
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["state.weights.0"])
    expect(model.graph.outputs.map(({ name }) => name)).toEqual([
      "state.weights.0_2",
      "exponential",
      "same",
      "again"
    ])
    expect(model.graph.nodes.map(({ name }) => name)).toContain("scale")
  })

  it("use standard operators only", async () => {
    const window = { stride: [1, 1], dilation: [1, 1], low: [1, 1], high: [1, 1], groups: 1 }
    const [x, w] = [
      S.input("x", [16, 16, 8, 8], "float32"),
      S.input("w", [16, 16, 3, 3], "float32")
    ]
    const { model } = lower(source([x, w], [L.conv(x, w, window)]), options, true)
    expect(model.graph.nodes.map(({ domain }) => domain)).toEqual([""])
    expect(model.opsets).toEqual({ "": 21 })
  })

  it("can be written and loaded", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const model = yield* Onnx.loadModel(yield* Onnx.toModel(named()))
          expect(model.inputs).toEqual([
            { name: "state.weights.0", dtype: "float32", shape: [2, 3] }
          ])
          expect(model.outputs.map(({ name }) => name)).toEqual([
            "state.weights.0_2",
            "exponential",
            "same",
            "again"
          ])
          const memory = yield* onnx.write(host("float32", [2, 3], [1]))
          const results = yield* model.run([memory])
          const first = yield* onnx.read(results[1], { shape: [2, 3], dtype: "float32" })
          expect(first.data[0]).toBeCloseTo(Math.exp(Math.tanh(1)), 5)
        })
      )
    ))

  it("of damaged bytes are refused", async () => {
    const bytes = await Effect.runPromise(Onnx.toModel(named()))
    const damaged = [
      new Uint8Array(0),
      Uint8Array.of(1, 2, 3, 4),
      new TextEncoder().encode("no model, but a text"),
      ...[1, 2, 3].map((i) => bytes.slice(0, Math.floor((bytes.length * i) / 4)))
    ]
    for (const each of damaged) {
      const error = await Effect.runPromise(Effect.flip(Effect.scoped(Onnx.loadModel(each))))
      expect(error).toMatchObject({ _tag: "CompileError", reason: "Corrupt" })
    }
  })

  it("survive any damage with a typed error", async () => {
    const bytes = await Effect.runPromise(Onnx.toModel(named()))
    for (let i = 0; i < 120; i++) {
      const damaged = bytes.slice()
      damaged[(i * 7919) % bytes.length] ^= 1 << (i % 8)
      const loading = Effect.scoped(
        Effect.gen(function* () {
          const model = yield* Onnx.loadModel(damaged)
          const memory = yield* onnx.write(host("float32", [2, 3], [1]))
          yield* model.run(model.inputs.map(() => memory))
        })
      )
      const outcome = await Effect.runPromise(
        Effect.match(loading, { onSuccess: () => "run", onFailure: ({ _tag }) => _tag })
      )
      expect(["run", "CompileError", "DeviceError"]).toContain(outcome)
    }
  })

  it("of unknown operators are unsupported", async () => {
    const value = { name: "x", dtype: "float32", shape: [1] } as const
    const bytes = Model.encode({
      irVersion: 10,
      producer: "odeon",
      opsets: { "": 21 },
      graph: {
        name: "unknown",
        inputs: [value],
        outputs: [{ ...value, name: "y" }],
        initializers: [],
        nodes: [
          { name: "n", domain: "", operator: "Wish", inputs: ["x"], outputs: ["y"], attributes: {} }
        ]
      }
    })
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(Onnx.loadModel(bytes))))
    expect(error).toMatchObject({ _tag: "CompileError", reason: "Unsupported" })
  })
})

describe("threads", () => {
  const told = (threads: string) => {
    const before = process.env.ODEON_THREADS
    process.env.ODEON_THREADS = threads
    return Effect.runPromise(Effect.result(Onnx.backend)).finally(() => {
      if (before === undefined) delete process.env.ODEON_THREADS
      else process.env.ODEON_THREADS = before
    })
  }

  it("are as many as ODEON_THREADS tells, and what is no number is refused", async () => {
    const { success } = (await told("3")) as { readonly success: Backend<unknown> }
    expect(success.description).toContain("3 threads by ODEON_THREADS")
    for (const wrong of ["0", "-1", "two", "1.5"]) {
      const { failure } = (await told(wrong)) as { readonly failure: Error }
      expect(failure.message).toBe(
        `ODEON_THREADS must be a whole number of at least 1, not "${wrong}"`
      )
    }
  })
})

describe("failures", () => {
  const refusal = (
    hosts: ReadonlyArray<HostArray>,
    f: (...inputs: ReadonlyArray<Tensor>) => Tensor
  ) => Effect.runPromise(Effect.flip(running(onnx, hosts, (...inputs) => [f(...inputs)])))

  it("of a run are device errors that name the operation", async () => {
    const error = await refusal([host("int32", [2], [1, 2]), host("int32", [2], [0, 1])], E.div)
    expect(error).toMatchObject({ _tag: "DeviceError", reason: "Failed", operation: "test" })
    expect(error.message).toContain("division by zero")
    expect(error.message).not.toContain("onnxruntime_src")
  })

  it("an index out of range is one", async () => {
    for (const index of [5, -6]) {
      const x = sample("float32", [5])
      const error = await refusal([x, host("int32", [1], [index])], (x, i) => S.gather(x, i, 0))
      expect(error).toMatchObject({ _tag: "DeviceError", reason: "Failed" })
      const other = await refusal([host("int32", [5], [index]), x], (i, x) =>
        S.scatterAdd(i, x, 0, 5)
      )
      expect(other).toMatchObject({ _tag: "DeviceError", reason: "Failed" })
    }
  })

  it("more memory than there is, is told from other failures", async () => {
    const n = 2 ** 21
    const error = await refusal([sample("float32", [1])], (x) =>
      S.sum(E.exp(S.broadcast(S.reshape(x, [1, 1]), [n, n])), [0, 1], false)
    )
    expect(error).toMatchObject({ _tag: "DeviceError", reason: "Memory" })
  })

  it("an input of another program does not compile", async () => {
    const stray = S.input("stray", [1], "float32")
    const compiling = Effect.scoped(onnx.compile(source([], [E.neg(stray)])))
    const error = await Effect.runPromise(Effect.flip(compiling))
    expect(error).toMatchObject({ _tag: "CompileError", reason: "Failed" })
    expect(error.message).toContain("stray")
  })
})

describe("large graphs", () => {
  it("compile in seconds", { timeout: 30_000 }, async () => {
    const x = S.input("x", [4, 4], "float32")
    let y = x
    for (let i = 0; i < 20_000; i++) {
      y =
        i % 4 === 0
          ? L.matmul(y, x)
          : i % 4 === 1
            ? E.tanh(y)
            : i % 4 === 2
              ? S.transpose(y, [1, 0])
              : E.add(y, x)
    }
    const program = source([x], [y])
    const start = performance.now()
    const bytes = await Effect.runPromise(Onnx.toModel(program))
    expect(performance.now() - start).toBeLessThan(2000)
    expect(bytes.length).toBeGreaterThan(100_000)
    await Effect.runPromise(Effect.scoped(onnx.compile(program)))
    expect(performance.now() - start).toBeLessThan(20_000)
  })

  it("with large constants made of nothing do not keep them", async () => {
    const x = host("float32", [1], [1])
    const n = 2 ** 24
    const result = await evaluate([x], (x) => {
      const ones = S.broadcast(S.scalar(1, "float32"), [n])
      return S.slice(E.add(ones, x), [n - 1], [1])
    })
    expect(result).toEqual([2])
  })
})

// the primitives that only derivatives see are gone from canonical graphs, but must not be in the way
it("stopGradient and custom are what they stand for", async () => {
  const result = await evaluate([host("float32", [2], [1, 2])], (x) => {
    const [y] = Control.custom([x], [E.exp(E.stopGradient(x))], { name: "c", backward: () => [] })
    return y
  })
  expect(result).toEqual([Math.fround(Math.exp(1)), Math.fround(Math.exp(2))])
})
