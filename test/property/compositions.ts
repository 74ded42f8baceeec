/** Functions made of primitives, with random operands, attributes and shapes, where their derivatives exist. */
import * as fc from "fast-check"
import type { HostArray, Tensor } from "../../src/Tensor/Expression.ts"
import * as Loss from "../../src/Tensor/Loss.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import type { Case } from "./cases.ts"

type Float = Tensor<Shape, "float64">
type Bool = Tensor<Shape, "bool">
type Index = Tensor<Shape, "int32">

/** A function of arrays, made of random ones. */
const function_ = (
  operands: ReadonlyArray<HostArray>,
  apply: (operands: ReadonlyArray<Float>) => Tensor
): Case => ({
  operands,
  apply: (tensors) => [apply(tensors as ReadonlyArray<Float>)],
  toString: () => `${apply} of ${operands.map(A.show).join(", ")}`
})

const floats = (shape: Shape, fill: A.Fill = A.uniform(-2, 2)) => A.array(shape, "float64", fill)

/** A function of one array. */
const unary = (
  apply: (x: Float, draw: (n: number) => number) => Tensor,
  options: { readonly fill?: A.Fill; readonly shape?: fc.Arbitrary<Shape> } = {}
): fc.Arbitrary<Case> =>
  fc.tuple(options.shape ?? A.shapes({ size: A.some, max: 3 }), fc.nat()).chain(([shape, seed]) =>
    floats(shape, options.fill).map((x) =>
      function_([x], ([x]) => {
        const next = A.random(seed)
        return apply(x, (n) => Math.floor(n * next()))
      })
    )
  )

const axes = A.shapes({ size: A.some, min: 1, max: 3 })

/** [N, C, …] */
const images = (
  options: { readonly channels?: number; readonly size?: fc.Arbitrary<number> } = {}
) =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 2 }),
      fc.array(options.size ?? fc.integer({ min: 2, max: 5 }), { minLength: 1, maxLength: 2 })
    )
    .map(([n, space]): Shape => [n, options.channels ?? 2, ...space])

const affine = (
  width: (shape: Shape) => number,
  shape: fc.Arbitrary<Shape>,
  apply: (x: Float, options: { readonly scale: Float; readonly bias: Float }) => Tensor
): fc.Arbitrary<Case> =>
  shape
    .chain((shape) =>
      fc.tuple(floats(shape, A.apart()), floats([width(shape)]), floats([width(shape)]))
    )
    .map((operands) => function_(operands, ([x, scale, bias]) => apply(x, { scale, bias })))

const attentions = (
  apply: (query: Float, key: Float, value: Float, mask: Bool) => Tensor
): fc.Arbitrary<Case> =>
  fc
    .record({
      batch: A.shapes({ size: A.some, max: 2 }),
      queries: A.some,
      keys: A.some,
      width: A.some,
      values: A.some
    })
    .chain(({ batch, keys, queries, values, width }) =>
      fc
        .tuple(
          floats([...batch, queries, width]),
          floats([...batch, keys, width]),
          floats([...batch, keys, values]),
          A.array([queries, keys], "bool", A.sometimes(0.3, A.whole(0, 0), A.whole(1, 1)))
        )
        .map(([query, key, value, mask]) =>
          function_([query, key, value], ([query, key, value]) =>
            apply(query, key, value, T.constant(mask))
          )
        )
    )

/** Equations with the letters' sizes left open. */
const equations = fc.constantFrom(
  "ij,jk->ik",
  "ij,kj->ki",
  "bij,bjk->bik",
  "bhid,bhjd->bhij",
  "ii->i",
  "ii",
  "ij->",
  "ij->ji",
  "i,j->ij",
  "ij,ij->",
  "ijk,jil->kl",
  "ab,bc,cd->ad",
  "iji,jk->k",
  "ij,j,i->",
  "bij,jk",
  "i,i,i->i"
)

const einsums = fc
  .tuple(equations, fc.record({ i: A.some, j: A.some, other: A.some }), fc.noShrink(fc.nat()))
  .map(([equation, sizes, seed]) => {
    const size = (letter: string): number =>
      letter === "i" ? sizes.i : letter === "j" ? sizes.j : sizes.other
    const operands = equation
      .replace(/->.*/, "")
      .split(",")
      .map((term, n) => A.fill([...term].map(size), "float64", seed + n, A.uniform(-2, 2)))
    return {
      ...function_(operands, (tensors) => T.einsum(equation, ...tensors)),
      toString: () => `einsum "${equation}" of ${operands.map(A.show).join(", ")}`
    }
  })

const pair = (
  apply: (a: Float, b: Float, draw: (n: number) => number) => Tensor,
  fills: readonly [A.Fill, A.Fill] = [A.uniform(-2, 2), A.uniform(-2, 2)]
): fc.Arbitrary<Case> =>
  fc.tuple(A.shapes({ size: A.some, max: 3 }), fc.nat()).chain(([shape, seed]) =>
    fc.tuple(floats(shape, fills[0]), floats(shape, fills[1])).map((operands) =>
      function_(operands, ([a, b]) => {
        const next = A.random(seed)
        return apply(a, b, (n) => Math.floor(n * next()))
      })
    )
  )

const reduction = (n: number) => (["mean", "sum", "none"] as const)[n]

/** By name. */
export const compositions: { readonly [name: string]: fc.Arbitrary<Case> } = {
  "small whole powers": unary((x, draw) => T.pow(x, [1, 2, 3, -1, 0.5, 2.5, -2][draw(7)]), {
    fill: A.uniform(0.3, 2)
  }),
  "square, reciprocal, rsqrt": unary((x, draw) => [T.square, T.reciprocal, T.rsqrt][draw(3)](x), {
    fill: A.uniform(0.3, 2)
  }),
  clip: unary((x) => T.clip(x, { min: -1, max: 1.5 }), { fill: A.between(0.5) }),
  expm1: unary(T.expm1, { fill: A.between(1) }),
  log1p: unary(T.log1p, { fill: A.uniform(-0.5, 3) }),
  "sinh, cosh": unary((x, draw) => [T.sinh, T.cosh][draw(2)](x), { fill: A.between(1) }),
  relu: unary(T.relu, { fill: A.between(1) }),
  silu: unary(T.silu, { fill: A.uniform(-6, 6) }),
  softplus: unary(T.softplus, { fill: A.between(1) }),
  gelu: unary((x) => T.gelu(x), { fill: A.uniform(-4, 4) }),
  "gelu by tanh": unary(T.gelu({ approximate: "tanh" }), { fill: A.uniform(-4, 4) }),
  softmax: unary((x, draw) => T.softmax(x, { axis: draw(x.shape.length) }), { shape: axes }),
  logSoftmax: unary((x, draw) => T.logSoftmax(x, { axis: draw(x.shape.length) }), { shape: axes }),
  logSumExp: unary((x, draw) => T.logSumExp(x, { axis: draw(x.shape.length) }), { shape: axes }),
  "mean, variance, standardDeviation": unary(
    (x, draw) => {
      const f = [T.mean, T.variance, T.standardDeviation][draw(3)]
      return f(x, { axis: draw(x.shape.length), keepDims: draw(2) === 0 })
    },
    { shape: A.shapes({ size: fc.integer({ min: 2, max: 4 }), min: 1, max: 3 }), fill: A.apart() }
  ),
  l2Normalize: unary((x) => T.l2Normalize(x), { shape: axes, fill: A.uniform(0.3, 2) }),
  "cumProd, with zeros": unary((x, draw) => T.cumProd(x, { axis: draw(x.shape.length) }), {
    shape: axes,
    fill: A.sometimes(0.2, A.whole(0, 0), A.uniform(-1.5, 1.5))
  }),
  sort: unary((x, draw) => T.sort(x, { axis: draw(x.shape.length), descending: draw(2) === 0 }), {
    shape: axes,
    fill: A.apart()
  }),
  "take, scatterAdd": unary(
    (x) => {
      const n = x.shape[0]
      const at = [0, n - 1, 0, -1].map((i) => (i < 0 ? i : i % n))
      const taken = T.take(x, at)
      const places = T.constant(Int32Array.from(at)) as Index
      return T.scatterAdd(places, T.mul(taken, taken), { size: n + 1 })
    },
    { shape: axes }
  ),
  "slice, flip, pad": unary(
    (x, draw) => {
      const widths = x.shape.map(
        (n) => [Math.min(draw(3), n - 1), Math.min(draw(3), n - 1)] as const
      )
      const padded = T.pad(x, widths, { mode: (["constant", "reflect", "edge"] as const)[draw(3)] })
      return T.slice(T.flip(T.mul(padded, padded)), 0, { step: 2 })
    },
    { shape: axes }
  ),
  "repeat, tile, concat, stack, split": unary(
    (x, draw) => {
      const axis = draw(x.shape.length)
      const both = T.concat([T.repeat(x, 2, { axis }), T.tile(T.mul(x, x), 2, { axis })], { axis })
      const [first, second] = T.split(both, 2, { axis })
      return T.stack([T.mul(first, second), second], { axis })
    },
    { shape: axes }
  ),
  broadcasting: A.broadcasting(2, A.some)
    .chain(([a, b]) => fc.tuple(floats(a), floats(b, A.uniform(0.5, 2))))
    .map((operands) => function_(operands, ([a, b]) => T.div(T.mul(T.sub(a, b), T.add(a, b)), b))),

  groupNorm: affine(
    () => 4,
    images({ channels: 4 }),
    (x, options) => T.groupNorm(x, { ...options, groups: 2, epsilon: 0.1 })
  ),
  instanceNorm: affine(
    () => 2,
    images(),
    (x, options) => T.instanceNorm(x, { ...options, epsilon: 0.1 })
  ),
  layerNorm: affine(
    (shape) => shape[shape.length - 1],
    A.shapes({ size: fc.integer({ min: 2, max: 4 }), min: 1, max: 3 }),
    (x, options) => T.layerNorm(x, { ...options, epsilon: 0.1 })
  ),
  rmsNorm: affine(
    (shape) => shape[shape.length - 1],
    axes,
    (x, options) => T.rmsNorm(x, { ...options, epsilon: 0.1 })
  ),

  attention: attentions((query, key, value) => T.attention(query, key, value)),
  "attention with a mask": attentions((query, key, value, mask) =>
    T.attention(query, key, value, { mask, scale: 0.7 })
  ),
  linearAttention: attentions((query, key, value) => T.linearAttention(query, key, value)),
  einsum: einsums,

  conv: images().chain((shape) =>
    fc
      .tuple(
        floats(shape),
        floats([4, 1, ...shape.slice(2).map(() => 2)]),
        fc.constantFrom("same" as const, "valid" as const, 1),
        fc.integer({ min: 1, max: 2 })
      )
      .map(([x, w, padding, stride]) =>
        function_([x, w], ([x, w]) => T.silu(T.conv(x, w, { padding, stride, groups: 2 })))
      )
  ),
  convTranspose: images().chain((shape) =>
    fc
      .tuple(
        floats(shape),
        floats([2, 1, ...shape.slice(2).map(() => 3)]),
        fc.integer({ min: 1, max: 2 })
      )
      .map(([x, w, stride]) =>
        function_([x, w], ([x, w]) =>
          T.convTranspose(x, w, { stride, padding: 1, outputPadding: stride - 1, groups: 2 })
        )
      )
  ),
  maxPool: unary((x, draw) => T.maxPool(x, { window: 2, stride: 1 + draw(2), padding: draw(2) }), {
    shape: images(),
    fill: A.apart()
  }),
  avgPool: unary(
    (x, draw) => T.square(T.avgPool(x, { window: 2, stride: 1 + draw(2), padding: draw(2) })),
    { shape: images() }
  ),
  resize: unary(
    (x, draw) => {
      const mode = (["linear", "nearest"] as const)[draw(2)]
      const how = draw(2) === 0 ? { scale: [0.5, 1.5, 2][draw(3)] } : { size: 1 + draw(7) }
      return T.square(T.resize(x, { mode, ...how }))
    },
    { shape: images() }
  ),
  "pixelShuffle, pixelUnshuffle": unary(
    (x) => T.square(T.pixelUnshuffle(T.sin(T.pixelShuffle(x, 2)), 2)),
    { shape: images({ channels: 4, size: A.some }) }
  ),

  mse: pair((a, b, draw) => Loss.mse(a, b, { reduction: reduction(draw(3)) })),
  l1: pair(
    (a, b, draw) => Loss.l1(a, b, { reduction: reduction(draw(3)) }),
    [A.uniform(-2, -0.1), A.uniform(0, 2)]
  ),
  huber: pair(
    (a, b, draw) => Loss.huber(a, b, { reduction: reduction(draw(3)), delta: 1.5 }),
    [A.uniform(0.1, 1.2), A.oneOf([0, -2])]
  ),
  binaryCrossEntropy: pair(
    (a, b, draw) => Loss.binaryCrossEntropy(a, b, { reduction: reduction(draw(3)) }),
    [A.between(1), A.uniform(0, 1)]
  ),
  crossEntropy: fc
    .tuple(A.shapes({ size: A.some, max: 2 }), A.some, fc.nat({ max: 2 }))
    .chain(([shape, classes, which]) =>
      fc
        .tuple(floats([...shape, classes]), A.array(shape, "int32", A.whole(0, classes - 1)))
        .map(([logits, labels]) =>
          function_([logits], ([logits]) =>
            Loss.crossEntropy(logits, T.constant(labels), { reduction: reduction(which) })
          )
        )
    )
}
