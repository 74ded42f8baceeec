/**
 * The case table: for every primitive random applications of it, from which devices are compared with each other,
 * and derivatives with differences.
 */
import * as fc from "fast-check"
import * as DType from "../../src/Tensor/DType.ts"
import {
  apply,
  type HostArray,
  type Node,
  output,
  type Tensor
} from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import type { Attributes, Name, Window } from "../../src/Tensor/Primitive.ts"
import { table } from "../../src/Tensor/Primitives.ts"
import * as Shape from "../../src/Tensor/Shape.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"

/** An operation on some arrays. */
export interface Case {
  readonly operands: ReadonlyArray<HostArray>
  readonly apply: (operands: ReadonlyArray<Tensor>) => ReadonlyArray<Tensor>
  /** For messages. */
  readonly toString: () => string
}

/** What is tried of a primitive. */
export interface Entry {
  /** Whatever a device must compute: every dtype, and values at the borders. */
  readonly cases: fc.Arbitrary<Case>
  /** In `float64`, where the derivative exists; or why there is nothing to differentiate. */
  readonly smooth: fc.Arbitrary<Case> | "not differentiable" | "derivative by decree"
  /** Sets of operands in which it is linear while the others stay, and cases where that is so, if not all smooth ones. */
  readonly linear?: {
    readonly in: ReadonlyArray<"all" | ReadonlyArray<number>>
    readonly cases?: fc.Arbitrary<Case>
  }
  /** How far the arguments move in differences; a thousandth unless told. */
  readonly step?: number
  /** Each element of the result has a scale of its own. */
  readonly pointwise?: true
}

const describe = (
  text: string,
  operands: Case["operands"],
  apply: Case["apply"]
): Case & { readonly [fc.toStringMethod]: () => string } => {
  const toString = (): string =>
    `${text} of ${operands.map((each) => `${A.show(each)} ${values(each)}`).join(", ")}`
  return { operands, apply, toString, [fc.toStringMethod]: toString }
}

const values = (host: HostArray): string => {
  const list = Array.from(A.numbers(host))
  return `{${list.slice(0, 12).join(", ")}${list.length > 12 ? ", …" : ""}}`
}

/** A primitive on some arrays. */
const of = <N extends Name>(
  name: N,
  operands: ReadonlyArray<HostArray>,
  attributes: Attributes[N]
): Case =>
  describe(`${name}${JSON.stringify(attributes)}`, operands, (tensors) => {
    const node = apply(table[name], tensors, attributes) as unknown as Node
    return node.outputs.map((_, i) => output(node, i))
  })

// dtypes

const floats: ReadonlyArray<DType.DType> = ["float64", "float32", "float16"]
const integers: ReadonlyArray<DType.DType> = ["int32", "int64", "uint32"]
const numeric: ReadonlyArray<DType.DType> = [...floats, ...integers]

/** `float32` is what matters most. */
const among = (dtypes: ReadonlyArray<DType.DType>): fc.Arbitrary<DType.DType> =>
  fc.constantFrom(...dtypes, ...dtypes.filter((each) => each === "float32"))

/** Small numbers that a dtype has. */
const plain = (dtype: DType.DType): A.Fill => {
  if (DType.isFloat(dtype)) return A.uniform(-4, 4)
  if (dtype === "bool") return A.whole(0, 1)
  return dtype === "uint32" ? A.whole(0, 9) : A.whole(-9, 9)
}

const extremes: { readonly [D in DType.DType]: ReadonlyArray<number> } = {
  float64: [0, -0, 1, -1, 0.5, 2.5, -1.5, 1e4, Infinity, -Infinity, Number.NaN],
  float32: [0, -0, 1, -1, 0.5, 2.5, -1.5, 1e4, Infinity, -Infinity, Number.NaN],
  float16: [0, -0, 1, -1, 0.5, 2.5, -1.5, 1e4, Infinity, -Infinity, Number.NaN],
  int32: [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 65537],
  int64: [0, 1, -1, 2 ** 62, -(2 ** 63), 2 ** 53 - 1],
  uint32: [0, 1, 2 ** 31, 2 ** 32 - 1, 65537],
  bool: [0, 1]
}

/** Small numbers, now and then what is at the border of a dtype. */
const wild = (dtype: DType.DType): A.Fill =>
  A.sometimes(0.15, A.oneOf(extremes[dtype]), plain(dtype))

// elementwise

const unary = <N extends Name>(
  name: N & (Attributes[N] extends Attributes["neg"] ? unknown : never),
  dtypes: ReadonlyArray<DType.DType>,
  domain: A.Fill | undefined
): Entry => ({
  cases: fc
    .tuple(among(dtypes), A.shapes())
    .chain(([dtype, shape]) =>
      A.array(
        shape,
        dtype,
        domain === undefined || !DType.isFloat(dtype)
          ? wild(dtype)
          : A.sometimes(0.5, wild(dtype), domain)
      )
    )
    .map((x) => of<Name>(name, [x], {})),
  smooth:
    domain === undefined
      ? "not differentiable"
      : A.shapes()
          .chain((shape) => A.array(shape, "float64", domain))
          .map((x) => of<Name>(name, [x], {})),
  pointwise: true
})

interface Operands {
  readonly cases: (dtype: DType.DType) => readonly [A.Fill, A.Fill]
  readonly smooth?: readonly [A.Fill, A.Fill]
}

const binary = <N extends Name>(
  name: N & (Attributes[N] extends Attributes["neg"] ? unknown : never),
  dtypes: ReadonlyArray<DType.DType>,
  { cases, smooth }: Operands
): Entry => {
  const both = (dtype: DType.DType, [first, second]: readonly [A.Fill, A.Fill]) =>
    A.broadcasting(2)
      .chain(([a, b]) => fc.tuple(A.array(a, dtype, first), A.array(b, dtype, second)))
      .map((operands) => of<Name>(name, operands, {}))
  return {
    cases: among(dtypes).chain((dtype) => both(dtype, cases(dtype))),
    smooth: smooth === undefined ? "not differentiable" : both("float64", smooth),
    pointwise: true
  }
}

const wildly = (dtype: DType.DType): readonly [A.Fill, A.Fill] => [wild(dtype), wild(dtype)]

/** Often equal. */
const coarsely = (dtype: DType.DType): readonly [A.Fill, A.Fill] => {
  const fill = dtype === "bool" ? A.whole(0, 1) : A.sometimes(0.2, wild(dtype), A.whole(0, 2))
  return [fill, fill]
}

/** Never near each other. */
const aside: readonly [A.Fill, A.Fill] = [
  (random) => Math.floor(8 * random()) - 4 + 0.4 * random(),
  (random) => Math.floor(8 * random()) - 4 + 0.5 + 0.4 * random()
]

const away: A.Fill = (random) => (random() < 0.5 ? -1 : 1) * (0.5 + 2.5 * random())

const anything: readonly [A.Fill, A.Fill] = [A.uniform(-4, 4), A.uniform(-4, 4)]

/** Nothing divides by an integer that is zero. */
const divisor = (dtype: DType.DType): A.Fill => {
  if (DType.isFloat(dtype)) return wild(dtype)
  const fill = wild(dtype)
  return (random, i, count) => fill(random, i, count) || 1
}

// reductions

/** Some axes of a shape, and whether they stay. */
const axesOf = (shape: Shape.Shape) =>
  fc.record({
    axes: fc.subarray(shape.map((_, i) => i)),
    keepDims: fc.boolean()
  })

const reduction = (
  name: "sum" | "prod" | "min" | "max",
  size: fc.Arbitrary<number>,
  fill: (dtype: DType.DType) => A.Fill,
  smooth: A.Fill
): Entry => {
  const reductions = (dtype: DType.DType, fill: A.Fill) =>
    A.shapes({ size })
      .chain((shape) => fc.tuple(A.array(shape, dtype, fill), axesOf(shape)))
      .map(([x, attributes]) => of(name, [x], attributes))
  return {
    cases: among(numeric).chain((dtype) => reductions(dtype, fill(dtype))),
    smooth: reductions("float64", smooth)
  }
}

/** Something along one axis. */
const along = <X>(
  dtype: fc.Arbitrary<DType.DType>,
  size: fc.Arbitrary<number>,
  fill: (dtype: DType.DType) => A.Fill,
  rest: fc.Arbitrary<X>
) =>
  fc
    .tuple(dtype, A.shapes({ size, min: 1 }), rest)
    .chain(([dtype, shape, rest]) =>
      fc.tuple(
        A.array(shape, dtype, fill(dtype)),
        fc.nat({ max: shape.length - 1 }),
        fc.constant(rest)
      )
    )

const repeating = (dtype: DType.DType): A.Fill =>
  A.sometimes(0.5, A.whole(0, 2), DType.isFloat(dtype) ? A.uniform(-4, 4) : plain(dtype))

const float64 = fc.constant<DType.DType>("float64")

const cumSums = (dtype: fc.Arbitrary<DType.DType>) =>
  along(dtype, A.size, plain, fc.record({ reverse: fc.boolean(), exclusive: fc.boolean() })).map(
    ([x, axis, rest]) => of("cumSum", [x], { axis, ...rest })
  )

const standardizations = (dtype: fc.Arbitrary<DType.DType>) =>
  along(dtype, A.some, A.apart, fc.constantFrom(1e-5, 0.1)).map(([x, axis, epsilon]) =>
    of("standardize", [x], { axis, epsilon })
  )

// structure: made for any dtype, and for float64

type Made = (dtype: fc.Arbitrary<DType.DType>) => fc.Arbitrary<Case>

const structure = (make: Made, dtypes: ReadonlyArray<DType.DType> = DType.all): Entry => ({
  cases: make(among(dtypes)),
  smooth: make(float64),
  linear: { in: ["all"] }
})

const shaped = <X>(
  dtype: fc.Arbitrary<DType.DType>,
  shape: fc.Arbitrary<Shape.Shape>,
  rest: (shape: Shape.Shape) => fc.Arbitrary<X>
) =>
  fc
    .tuple(dtype, shape)
    .chain(([dtype, shape]) => fc.tuple(A.array(shape, dtype, plain(dtype)), rest(shape)))

const broadcasts: Made = (dtype) =>
  fc
    .tuple(dtype, A.shapes())
    .chain(([dtype, shape]) =>
      fc
        .tuple(fc.nat({ max: shape.length }), A.each(shape.length, fc.nat({ max: 2 })))
        .chain(([drop, ones]) =>
          fc.tuple(
            A.array(shape.map((n, i) => (ones[i] === 0 ? 1 : n)).slice(drop), dtype, plain(dtype)),
            fc.constant(shape)
          )
        )
    )
    .map(([x, shape]) => of("broadcast", [x], { shape }))

/** Axes joined, split and interspersed with ones. */
const reshapes: Made = (dtype) =>
  shaped(dtype, A.shapes(), (shape) =>
    fc.record({
      shape: fc.oneof(
        fc.constant([Shape.size(shape)]),
        fc.constant(shape.toReversed()),
        fc.constant([...shape.slice(0, 1), 1, ...shape.slice(1), 1]),
        fc.constant(
          shape.length > 1 ? [Shape.size(shape.slice(0, 2)), ...shape.slice(2)] : [1, ...shape]
        ),
        fc.constant(shape.flatMap((n) => (n === 4 ? [2, 2] : [n])))
      )
    })
  ).map(([x, attributes]) => of("reshape", [x], attributes))

const permutationOf = (rank: number): fc.Arbitrary<ReadonlyArray<number>> =>
  fc
    .array(fc.nat(), { minLength: rank, maxLength: rank })
    .map((keys) => keys.map((_, i) => i).sort((i, k) => keys[i] - keys[k] || i - k))

const transposes: Made = (dtype) =>
  shaped(dtype, A.shapes(), (shape) => permutationOf(shape.length)).map(([x, permutation]) =>
    of("transpose", [x], { permutation })
  )

const rangeOf = (size: number) =>
  size === 0
    ? fc.constant({ start: 0, count: 0, step: 1 })
    : fc
        .tuple(
          fc.nat({ max: size - 1 }),
          fc.constantFrom(1, 2, 3, -1, -2, -3),
          fc.nat({ max: size })
        )
        .map(([start, step, most]) => {
          const room = step > 0 ? size - 1 - start : start
          return { start, step, count: Math.min(most, Math.floor(room / Math.abs(step)) + 1) }
        })

const slices: Made = (dtype) =>
  shaped(dtype, A.shapes({ size: fc.nat({ max: 6 }), max: 3 }), (shape) =>
    fc.tuple(...shape.map(rangeOf))
  ).map(([x, ranges]) =>
    of("slice", [x], {
      starts: ranges.map(({ start }) => start),
      sizes: ranges.map(({ count }) => count),
      steps: ranges.map(({ step }) => step)
    })
  )

const pads = (
  dtype: fc.Arbitrary<DType.DType>,
  values: (dtype: DType.DType) => ReadonlyArray<number>
): fc.Arbitrary<Case> =>
  shaped(dtype, A.shapes(), ({ length }) =>
    fc.tuple(A.each(length, fc.nat({ max: 2 })), A.each(length, fc.nat({ max: 2 })), fc.nat())
  ).map(([x, [low, high, which]]) => {
    const choice = values(x.dtype)
    return of("pad", [x], { low, high, value: choice[which % choice.length] })
  })

const paddings = (dtype: DType.DType): ReadonlyArray<number> => {
  if (DType.isFloat(dtype)) return [0, 1.5, -2, Infinity, -Infinity]
  return dtype === "bool" ? [0, 1] : [0, 1, 7]
}

const concats: Made = (dtype) =>
  fc
    .tuple(dtype, A.shapes({ min: 1, max: 3 }), fc.array(A.size, { minLength: 1, maxLength: 3 }))
    .chain(([dtype, shape, sizes]) =>
      fc.nat({ max: shape.length - 1 }).chain((axis) =>
        fc.tuple(
          fc.tuple(
            ...sizes.map((size) =>
              A.array(
                shape.map((n, i) => (i === axis ? size : n)),
                dtype,
                plain(dtype)
              )
            )
          ),
          fc.constant(axis)
        )
      )
    )
    .map(([operands, axis]) => of("concat", operands, { axis }))

/** Indices along an axis of some size; those with a sign may count from the end. */
const indices = (size: number, shape: Shape.Shape): fc.Arbitrary<HostArray> =>
  fc
    .constantFrom<DType.DType>("int32", "int64", "uint32")
    .chain((dtype) => A.array(shape, dtype, A.whole(dtype === "uint32" ? 0 : -size, size - 1)))

const gathers: Made = (dtype) =>
  fc
    .tuple(dtype, A.shapes({ min: 1, max: 3, size: A.some }), A.shapes({ max: 2 }))
    .chain(([dtype, shape, picks]) =>
      fc
        .nat({ max: shape.length - 1 })
        .chain((axis) =>
          fc.tuple(
            A.array(shape, dtype, plain(dtype)),
            indices(shape[axis], picks),
            fc.constant(axis)
          )
        )
    )
    .map(([x, at, axis]) => of("gather", [x, at], { axis }))

const scatters: Made = (dtype) =>
  fc
    .tuple(dtype, A.shapes({ max: 2 }), A.shapes({ max: 2 }), A.some)
    .chain(([dtype, others, places, size]) =>
      fc
        .nat({ max: others.length })
        .chain((axis) =>
          fc.tuple(
            indices(size, places),
            A.array(
              [...others.slice(0, axis), ...places, ...others.slice(axis)],
              dtype,
              plain(dtype)
            ),
            fc.constant({ axis, size })
          )
        )
    )
    .map(([at, updates, attributes]) => of("scatterAdd", [at, updates], attributes))

// multilinear

const matmuls: Made = (dtype) =>
  fc
    .tuple(dtype, A.broadcasting(2), A.size, A.size, A.size)
    .chain(([dtype, [p, q], m, k, n]) =>
      fc.tuple(
        A.array([...p.slice(-2), m, k], dtype, plain(dtype)),
        A.array([...q.slice(-2), k, n], dtype, plain(dtype))
      )
    )
    .map((operands) => of("matmul", operands, {}))

/** A convolution's geometry: the shapes of its operand, kernel and result. */
interface Geometry {
  readonly x: Shape.Shape
  readonly w: Shape.Shape
  readonly y: Shape.Shape
  readonly window: Window
}

/** Where all that a stride meets is padding, wider than the kernel. */
const hidden = { kernel: 1, stride: 3, dilation: 1, low: 2, high: 0, size: 1, out: 1 }

const visible = fc
  .record({
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 2 }),
    low: fc.nat({ max: 2 }),
    high: fc.nat({ max: 2 }),
    more: fc.nat({ max: 3 })
  })
  .map(({ more, ...axis }) => {
    const extent = (axis.kernel - 1) * axis.dilation + 1
    const size = Math.max(1, extent - axis.low - axis.high) + more
    const out = Math.floor((size + axis.low + axis.high - extent) / axis.stride) + 1
    return { ...axis, size, out }
  })

const spatialAxis = fc.oneof(
  { weight: 20, arbitrary: visible },
  { weight: 1, arbitrary: fc.constant(hidden) }
)

const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    batch: fc.oneof({ weight: 12, arbitrary: fc.integer({ min: 1, max: 2 }) }, fc.constant(0)),
    groups: fc.integer({ min: 1, max: 3 }),
    perIn: fc.integer({ min: 1, max: 2 }),
    perOut: fc.integer({ min: 1, max: 2 }),
    space: fc.oneof(
      { weight: 9, arbitrary: fc.array(spatialAxis, { minLength: 1, maxLength: 3, size: "max" }) },
      // more axes than any runtime has a kernel for
      fc.array(spatialAxis, { minLength: 4, maxLength: 4 })
    )
  })
  .map(({ batch, groups, perIn, perOut, space }) => ({
    x: [batch, groups * perIn, ...space.map(({ size }) => size)],
    w: [groups * perOut, perIn, ...space.map(({ kernel }) => kernel)],
    y: [batch, groups * perOut, ...space.map(({ out }) => out)],
    window: {
      stride: space.map(({ stride }) => stride),
      dilation: space.map(({ dilation }) => dilation),
      low: space.map(({ low }) => low),
      high: space.map(({ high }) => high),
      groups
    }
  }))

const convolutions = (
  dtype: fc.Arbitrary<DType.DType>,
  make: (
    geometry: Geometry,
    array: (shape: Shape.Shape) => fc.Arbitrary<HostArray>
  ) => fc.Arbitrary<Case>
): fc.Arbitrary<Case> =>
  fc
    .tuple(dtype, geometries)
    .chain(([dtype, geometry]) =>
      make(geometry, (shape) => A.array(shape, dtype, A.uniform(-2, 2)))
    )

const convs: Made = (dtype) =>
  convolutions(dtype, ({ x, w, window }, array) =>
    fc.tuple(array(x), array(w)).map((operands) => of("conv", operands, window))
  )

const convTransposes: Made = (dtype) =>
  convolutions(dtype, ({ x, y, w, window }, array) =>
    fc
      .tuple(array(y), array(w))
      .map((operands) => of("convTranspose", operands, { ...window, spatial: x.slice(2) }))
  )

const convKernels: Made = (dtype) =>
  convolutions(dtype, ({ x, y, w, window }, array) =>
    fc
      .tuple(array(x), array(y))
      .map((operands) => of("convKernel", operands, { ...window, spatial: w.slice(2) }))
  )

const poolAxis = fc
  .record({
    window: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    before: fc.nat({ max: 2 }),
    after: fc.nat({ max: 2 }),
    more: fc.nat({ max: 3 })
  })
  .map(({ window, stride, before, after, more }) => {
    const [low, high] = [before % window, after % window]
    return { window, stride, low, high, size: Math.max(1, window - low - high) + more }
  })

const pools = (
  dtype: fc.Arbitrary<DType.DType>,
  kinds: ReadonlyArray<"max" | "mean">
): fc.Arbitrary<Case> =>
  fc
    .tuple(
      dtype,
      fc.constantFrom(...kinds),
      fc.tuple(A.size, A.some),
      fc.array(poolAxis, { minLength: 1, maxLength: 3, size: "max" })
    )
    .chain(([dtype, kind, channels, space]) =>
      A.array([...channels, ...space.map(({ size }) => size)], dtype, A.apart()).map((x) =>
        of("pool", [x], {
          kind,
          window: space.map(({ window }) => window),
          stride: space.map(({ stride }) => stride),
          low: space.map(({ low }) => low),
          high: space.map(({ high }) => high)
        })
      )
    )

// control

const checkpoints = fc.constantFrom<T.Checkpoint>("none", "step", 1, 2, 3)

/** A small recurrent network: a carried state and a counter, a scanned array, a captured matrix, stacked results. */
const scans: Made = (dtype) =>
  fc
    .record({
      dtype,
      length: A.size,
      width: A.some,
      reverse: fc.boolean(),
      checkpoint: checkpoints
    })
    .chain(({ dtype, length, width, ...options }) =>
      fc
        .tuple(
          A.array([1, width], dtype, A.uniform(-1, 1)),
          A.array([length, 1, width], dtype, A.uniform(-1, 1)),
          A.array([width, width], dtype, A.uniform(-1, 1))
        )
        .map((operands) =>
          describe(`scan${JSON.stringify(options)}`, operands, ([h, x, w]) => {
            const [state, results] = T.scan({
              ...options,
              init: { h: h as Float, count: T.scalar(0, "int32") },
              over: x as Float,
              step: ({ h, count }, x) => [
                {
                  h: T.tanh(T.add(T.matmul(h, w as Float), x)),
                  count: T.add(count, 1)
                },
                [T.mul(h, x), count]
              ]
            })
            return [state.h, state.count, ...results]
          })
        )
    )

type Float = Tensor<Shape.Shape, DType.Float>

/** Growth until something is large enough, by a factor from outside. */
const loops: fc.Arbitrary<Case> = fc
  .tuple(among(floats), A.shapes({ max: 2, size: A.some }))
  .chain(([dtype, shape]) =>
    fc.tuple(
      A.array(shape, dtype, A.uniform(-1, 8)),
      A.array([], dtype, A.uniform(2, 10)),
      A.array([], dtype, A.oneOf([1.5, 2, 4]))
    )
  )
  .map((operands) =>
    describe("whileLoop", operands, ([x, limit, factor]) => {
      const [grown, count] = T.whileLoop({
        init: [x as Float, T.scalar(0, "int32")],
        condition: ([x, count]) =>
          T.and(T.less(T.max(x), limit as Tensor<readonly [], DType.Float>), T.less(count, 20)),
        body: ([x, count]) => [T.mul(T.abs(x), factor as Float), T.add(count, 1)]
      })
      return [grown, count]
    })
  )

/** A product of two functions with a derivative of its own, which is the right one. */
const customs: Made = (dtype) =>
  fc
    .tuple(dtype, A.shapes())
    .chain(([dtype, shape]) =>
      fc.tuple(A.array(shape, dtype, plain(dtype)), A.array(shape, dtype, plain(dtype)))
    )
    .map((operands) =>
      describe("custom", operands, ([x, y]) => {
        const f = Gradient.custom<readonly [Float, Float], readonly [Float, Float]>({
          forward: ([x, y]) => [T.mul(T.sin(x), y), T.neg(y)],
          backward: ([x, y], _, [c, d]) => [
            T.mul(c, T.mul(T.cos(x), y)),
            T.sub(T.mul(c, T.sin(x)), d)
          ]
        })
        return f([x as Float, y as Float])
      })
    )

const casts = (pair: fc.Arbitrary<readonly [DType.DType, DType.DType]>): fc.Arbitrary<Case> =>
  fc
    .tuple(pair, A.shapes())
    .chain(([[from, to], shape]) =>
      A.array(shape, from, convertible(from, to)).map((x) => of("cast", [x], { dtype: to }))
    )

/** Floats outside of an integer's range become nobody knows what. */
const convertible = (from: DType.DType, to: DType.DType): A.Fill => {
  if (!DType.isFloat(from) || !DType.isInteger(to)) return wild(from)
  return to === "uint32" ? A.uniform(0, 300) : A.uniform(-300, 300)
}

const leaf = (name: "input" | "constant"): Entry => {
  const leaves = (dtype: fc.Arbitrary<DType.DType>) =>
    fc
      .tuple(dtype, fc.oneof({ weight: 4, arbitrary: A.shapes() }, fc.constant([9, 9])))
      .chain(([dtype, shape]) => A.array(shape, dtype, wild(dtype)))
      .map((x) =>
        name === "input"
          ? describe(name, [x], (tensors) => tensors)
          : describe(`constant ${values(x)}`, [], () => [T.constant(x)])
      )
  return { cases: leaves(among(DType.all)), smooth: "not differentiable" }
}

/** For each primitive what is tried of it. */
export const cases: { readonly [N in Name]: Entry } = {
  input: leaf("input"),
  constant: leaf("constant"),
  iota: {
    cases: fc
      .tuple(among(numeric), A.shapes({ min: 1 }), fc.nat())
      .map(([dtype, shape, axis]) => of("iota", [], { dtype, shape, axis: axis % shape.length })),
    smooth: "not differentiable"
  },

  neg: { ...unary("neg", numeric, A.uniform(-4, 4)), linear: { in: ["all"] } },
  abs: unary("abs", numeric, A.between(1)),
  sign: unary("sign", numeric, A.between(1)),
  exp: unary("exp", floats, A.uniform(-4, 4)),
  log: unary("log", floats, A.uniform(0.3, 4)),
  sqrt: unary("sqrt", floats, A.uniform(0.3, 4)),
  sin: unary("sin", floats, A.uniform(-4, 4)),
  cos: unary("cos", floats, A.uniform(-4, 4)),
  tan: unary("tan", floats, A.uniform(-1.2, 1.2)),
  asin: unary("asin", floats, A.uniform(-0.8, 0.8)),
  acos: unary("acos", floats, A.uniform(-0.8, 0.8)),
  atan: unary("atan", floats, A.uniform(-4, 4)),
  tanh: unary("tanh", floats, A.uniform(-4, 4)),
  sigmoid: unary("sigmoid", floats, A.uniform(-4, 4)),
  erf: unary("erf", floats, A.uniform(-4, 4)),
  floor: unary("floor", floats, A.between(1)),
  round: unary("round", floats, A.between(1, 0.5)),
  isNaN: unary("isNaN", floats, undefined),
  not: unary("not", ["bool"], undefined),
  cast: {
    cases: casts(fc.tuple(among(DType.all), among(DType.all))),
    // to float32 only a long way tells a difference
    smooth: A.shapes()
      .chain((shape) => A.array(shape, "float64", A.uniform(-1, 1)))
      .map((x) => of("cast", [x], { dtype: "float32" })),
    step: 0.25
  },

  add: {
    ...binary("add", numeric, { cases: wildly, smooth: anything }),
    linear: { in: ["all"] }
  },
  sub: {
    ...binary("sub", numeric, { cases: wildly, smooth: anything }),
    linear: { in: ["all"] }
  },
  mul: {
    ...binary("mul", numeric, { cases: wildly, smooth: anything }),
    linear: { in: [[0], [1]] }
  },
  div: {
    ...binary("div", numeric, {
      cases: (dtype) => [wild(dtype), divisor(dtype)],
      smooth: [A.uniform(-4, 4), away]
    }),
    linear: { in: [[0]] }
  },
  pow: binary("pow", numeric, {
    cases: (dtype) =>
      DType.isFloat(dtype)
        ? [
            A.sometimes(0.3, A.oneOf([0, 1, -1, -2, -3]), A.uniform(0.1, 3)),
            A.sometimes(0.3, A.oneOf([0, 1, -1, 2, 3]), A.whole(-4, 4))
          ]
        : [dtype === "uint32" ? A.whole(0, 9) : A.whole(-9, 9), A.whole(0, 9)],
    smooth: [A.uniform(0.3, 3), A.uniform(-3, 3)]
  }),
  remainder: binary("remainder", numeric, {
    cases: (dtype) =>
      DType.isFloat(dtype)
        ? [
            A.sometimes(0.2, A.whole(-6, 6), A.uniform(-9, 9)),
            A.sometimes(0.3, A.oneOf([1, -2]), away)
          ]
        : [wild(dtype), divisor(dtype)],
    smooth: [
      (random) => Math.floor(6 * random()) - 3 + 0.3 + 0.4 * random(),
      (random) => (random() < 0.5 ? -1 : 1) * (1 + 0.02 * random())
    ]
  }),
  minimum: binary("minimum", numeric, { cases: wildly, smooth: aside }),
  maximum: binary("maximum", numeric, { cases: wildly, smooth: aside }),
  equal: binary("equal", DType.all, { cases: coarsely }),
  less: binary("less", numeric, { cases: coarsely }),
  lessEqual: binary("lessEqual", numeric, { cases: coarsely }),
  and: binary("and", ["bool"], { cases: wildly }),
  or: binary("or", ["bool"], { cases: wildly }),
  bitAnd: binary("bitAnd", ["uint32"], { cases: wildly }),
  bitOr: binary("bitOr", ["uint32"], { cases: wildly }),
  bitXor: binary("bitXor", ["uint32"], { cases: wildly }),
  shiftLeft: binary("shiftLeft", ["uint32"], {
    cases: (dtype) => [wild(dtype), A.whole(0, 40)]
  }),
  shiftRight: binary("shiftRight", ["uint32"], {
    cases: (dtype) => [wild(dtype), A.whole(0, 40)]
  }),
  select: (() => {
    const selects: Made = (dtype) =>
      fc
        .tuple(dtype, A.broadcasting(3))
        .chain(([dtype, [c, a, b]]) =>
          fc.tuple(
            A.array(c, "bool", A.whole(0, 1)),
            A.array(a, dtype, wild(dtype)),
            A.array(b, dtype, wild(dtype))
          )
        )
        .map((operands) => of("select", operands, {}))
    const smooth = A.broadcasting(3)
      .chain(([c, a, b]) =>
        fc.tuple(
          A.array(c, "bool", A.whole(0, 1)),
          A.array(a, "float64", A.uniform(-4, 4)),
          A.array(b, "float64", A.uniform(-4, 4))
        )
      )
      .map((operands) => of("select", operands, {}))
    return { cases: selects(among(DType.all)), smooth, linear: { in: [[1, 2]] } }
  })(),

  sum: {
    ...reduction("sum", A.size, plain, A.uniform(-4, 4)),
    linear: { in: ["all"] }
  },
  prod: reduction(
    "prod",
    A.size,
    (dtype) =>
      DType.isFloat(dtype)
        ? A.sometimes(0.05, A.oneOf([0]), A.uniform(-1.5, 1.5))
        : A.sometimes(0.05, A.oneOf([0]), A.whole(1, 3)),
    A.sometimes(0.2, A.oneOf([0]), A.uniform(-1.5, 1.5))
  ),
  min: reduction("min", A.some, wild, A.apart()),
  max: reduction("max", A.some, wild, A.apart()),
  argMax: {
    cases: along(among(numeric), A.some, repeating, fc.constant(undefined)).map(([x, axis]) =>
      of("argMax", [x], { axis })
    ),
    smooth: "not differentiable"
  },
  argSort: {
    cases: along(
      among(numeric),
      A.size,
      (dtype) =>
        DType.isFloat(dtype)
          ? A.sometimes(0.1, A.oneOf([Infinity, -Infinity]), repeating(dtype))
          : repeating(dtype),
      fc.boolean()
    ).map(([x, axis, descending]) => of("argSort", [x], { axis, descending })),
    smooth: "not differentiable"
  },
  cumSum: {
    cases: cumSums(among(numeric)),
    smooth: cumSums(float64),
    linear: { in: ["all"] }
  },
  standardize: {
    cases: standardizations(among(floats)),
    smooth: standardizations(float64)
  },

  broadcast: structure(broadcasts),
  reshape: structure(reshapes),
  transpose: structure(transposes),
  slice: structure(slices),
  pad: {
    cases: pads(among(DType.all), paddings),
    smooth: pads(float64, () => [0, 1.5]),
    linear: { in: ["all"], cases: pads(float64, () => [0]) }
  },
  concat: structure(concats),
  gather: { ...structure(gathers), linear: { in: [[0]] } },
  scatterAdd: { ...structure(scatters, numeric), linear: { in: [[1]] } },

  matmul: { ...structure(matmuls, numeric), linear: { in: [[0], [1]] } },
  conv: { ...structure(convs, floats), linear: { in: [[0], [1]] } },
  convTranspose: { ...structure(convTransposes, floats), linear: { in: [[0], [1]] } },
  convKernel: { ...structure(convKernels, floats), linear: { in: [[0], [1]] } },
  pool: {
    cases: pools(among(floats), ["max", "mean"]),
    smooth: pools(float64, ["max", "mean"]),
    linear: { in: ["all"], cases: pools(float64, ["mean"]) }
  },

  scan: { cases: scans(among(floats)), smooth: scans(float64) },
  whileLoop: { cases: loops, smooth: "not differentiable" },

  stopGradient: {
    cases: shaped(among(DType.all), A.shapes(), () => fc.constant(undefined)).map(([x]) =>
      of("stopGradient", [x], {})
    ),
    smooth: "derivative by decree"
  },
  custom: { cases: customs(among(floats)), smooth: customs(float64) }
}

/** The names of all primitives. */
export const names = Object.keys(cases) as ReadonlyArray<Name>
