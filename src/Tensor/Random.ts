/**
 * Random numbers without hidden state.
 *
 * A key is two words; what is drawn is a function of the key, the shape and nothing else. So a
 * program that draws is as pure as one that adds, and draws the same again with the same key. Draw
 * with a key once: {@link split} and {@link children} make many keys of one, {@link foldIn} makes
 * one of a key and a number, such as a step or an epoch. A key's draws do not overlap with those of
 * its children.
 *
 * ```ts
 * const key = Random.key(7)
 * const [forNoise, forTimes] = Random.children(key, 2)
 * const noise = Random.normal(forNoise, [64, 1, 28, 28])
 * const times = Random.uniform(forTimes, [64])
 * ```
 *
 * `key(seed)` is a constant: a program built with it draws the same at each run. A program that is
 * to draw anew takes its key as an input, `Tensor.spec([2], "uint32")`, from
 * `HostRandom.toHostArray(HostRandom.key(seed))`, or folds in a counter that is an input.
 *
 * Keys may have batch axes in front, `[…batch, 2]`. Draws then have the shape `[…batch, …shape]`,
 * and each key draws what it would draw alone, however many stand beside it.
 *
 * Bits come from Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"), a counter-based generator that passes BigCrush. All else is made
 * of operations on integers, and of operations on floats that IEEE 754 rounds correctly, in a fixed
 * order. So every device that rounds after each operation, as `Reference` and `Onnx` do, gives the
 * same values bit for bit, normals included, and so does `HostRandom`. A device that fuses products
 * with sums gives the same integers, and floats that are equal to a few units in the last place.
 *
 * @since 0.1.0
 */
import type { DType, Float, Integer } from "./DType.ts"
import type { Tensor } from "./Expression.ts"
import * as check from "./internal/check.ts"
import * as random from "./internal/random.ts"
import { custom } from "./primitive/control.ts"
import * as e from "./primitive/elementwise.ts"
import * as r from "./primitive/reduction.ts"
import * as s from "./primitive/structure.ts"
import type { Broadcast, Fits, Mismatch, Ok, Shape } from "./Shape.ts"
import * as Shapes from "./Shape.ts"

/**
 * A key, or with batch axes `B` an array of keys: `[...B, 2]`.
 *
 * @since 0.1.0
 * @category models
 */
export type Key<B extends Shape = readonly []> = Tensor<readonly [...B, 2], "uint32">

/**
 * The batch axes of keys of shape `K`: all but the last, which has two words.
 *
 * @since 0.1.0
 * @category types
 */
export type Batch<K extends Shape> = number extends K["length"]
  ? Shape
  : K extends readonly [...infer B extends Shape, infer Words extends number]
    ? 2 extends Words
      ? B
      : Mismatch<`a key has 2 words along its last axis, not ${Words}`>
    : Mismatch<"a key has 2 words along its last axis, but this is a scalar">

/**
 * The shape of draws of shape `S` with keys of shape `K`.
 *
 * @since 0.1.0
 * @category types
 */
export type Drawn<K extends Shape, S extends Shape> =
  Ok<Batch<K>> extends infer B extends Shape
    ? number extends B["length"]
      ? Shape
      : readonly [...B, ...S]
    : Shape

type Keys<K extends Shape> = Tensor<K, "uint32"> & Fits<Batch<K>>

/**
 * The dtype of a draw; `float32` unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface DTypeOption<D extends Float> {
  readonly dtype?: D
}

/**
 * Where draws lie. The bounds are rounded to the dtype first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bounds<D extends Float> extends DTypeOption<D> {
  readonly min?: number
  readonly max?: number
}

// the algebra of whole tensors

const words: random.Words<Tensor> = {
  word: (value) => s.scalar(value, "uint32"),
  add: e.add,
  mul: e.mul,
  and: e.bitAnd,
  xor: e.bitXor,
  left: (a, by) => e.shiftLeft(a, s.scalar(by, "uint32")),
  right: (a, by) => (by === 0 ? a : e.shiftRight(a, s.scalar(by, "uint32"))),
  less: (a, b) => e.cast(e.less(a, b), "uint32")
}

const floats = (dtype: "float32" | "float64"): random.Floats<Tensor, Tensor> => ({
  dtype,
  constant: (value) => s.scalar(value, dtype),
  fromWord: (word) => e.cast(word, dtype),
  add: e.add,
  sub: e.sub,
  mul: e.mul,
  div: e.div,
  minimum: e.minimum,
  maximum: e.maximum,
  abs: e.abs,
  sqrt: e.sqrt,
  log: e.log,
  round: e.round,
  atMost: (a, b, then, otherwise) => e.select(e.lessEqual(a, b), then, otherwise)
})

const distributions = {
  float32: random.distributions(words, floats("float32")),
  float64: random.distributions(words, floats("float64"))
}

const threefry = random.threefry(words)
const scaled = random.scaled(words)

const checkKey = (operation: string, key: Tensor): void => {
  check.dtypes(operation, [key], "uint32")
  if (key.shape[key.shape.length - 1] !== 2) {
    throw check.shapeError(
      operation,
      [key],
      "a key has 2 words along its last axis; make one with Random.key"
    )
  }
}

const batchOf = (key: Tensor): Shape => key.shape.slice(0, -1)

/** One of a key's words: […batch, 1] */
const wordOf = (key: Tensor, index: number): Tensor =>
  s.slice(key, [...batchOf(key).map(() => 0), index], [...batchOf(key), 1])

/** `count` blocks for each key, as their first and their second words: […batch, count] */
const blocks = (key: Tensor, count: number, purpose: number): readonly [Tensor, Tensor] =>
  threefry(
    wordOf(key, 0),
    wordOf(key, 1),
    s.iota([count], 0, "uint32"),
    s.scalar(purpose, "uint32")
  )

/** The first `count` along the last axis. */
const first = (x: Tensor, count: number): Tensor =>
  s.slice(
    x,
    x.shape.map(() => 0),
    [...x.shape.slice(0, -1), count]
  )

/** One word for each of `count` items: the blocks' first words, then their second ones. */
const single = (key: Tensor, count: number): Tensor => {
  const [a, b] = blocks(key, Math.ceil(count / 2), random.purpose.draw)
  return first(s.concat([a, b], batchOf(key).length), count)
}

/** A draw of floats: `f` of the words of each item, in the dtype's own precision. */
const drawn = (
  operation: string,
  key: Tensor,
  shape: Shape,
  dtype: Float,
  f: (d: random.Distributions<Tensor, Tensor>, high: Tensor, low: Tensor) => Tensor
): Tensor => {
  checkKey(operation, key)
  check.sizes(operation, [key], shape)
  const count = Shapes.size(shape)
  if (dtype === "float64") {
    const [high, low] = blocks(key, count, random.purpose.draw)
    return shaped(key, shape, f(distributions.float64, high, low))
  }
  const word = single(key, count)
  return e.cast(shaped(key, shape, f(distributions.float32, word, word)), dtype)
}

const shaped = (key: Tensor, shape: Shape, x: Tensor): Tensor =>
  s.reshape(x, [...batchOf(key), ...shape])

/**
 * Threefry-2x32 with 20 rounds: the blocks `[…, 2]` of the counters `[…, 2]` under the keys
 * `[…, 2]`; batch axes broadcast. All draws are made of it; Random123's known answers hold.
 *
 * Throws `ShapeError` or `DTypeError` if these are no pairs of words, as all functions of keys do.
 *
 * @since 0.1.0
 * @category words
 */
export const threefry2x32 = <K extends Shape, C extends Shape>(
  key: Keys<K>,
  counter: Keys<C>
): Tensor<Shape, "uint32"> => {
  checkKey("Random.threefry2x32", key)
  checkKey("Random.threefry2x32", counter)
  const [a, b] = threefry(wordOf(key, 0), wordOf(key, 1), wordOf(counter, 0), wordOf(counter, 1))
  return s.concat([a, b], a.shape.length - 1) as never
}

/**
 * A key from a seed: its value modulo 2⁶⁴, the upper word first. Throws `ShapeError` for a number
 * that is not whole, or of 2⁵³ and more (give a bigint).
 *
 * @since 0.1.0
 * @category keys
 */
export const key = (seed: number | bigint): Key =>
  s.constant({
    shape: [2],
    dtype: "uint32",
    data: Uint32Array.from(random.seedWords("Random.key", seed))
  }) as Key

/**
 * `n` new keys from each: `[…batch, n, 2]`. The i-th depends on the key and i only, not on `n`.
 *
 * @since 0.1.0
 * @category keys
 */
export const split = <K extends Shape, const N extends number>(
  key: Keys<K>,
  n: N
): Tensor<Drawn<K, readonly [N, 2]>, "uint32"> => {
  checkKey("Random.split", key)
  check.sizes("Random.split", [key], [n])
  const [a, b] = blocks(key, n, random.purpose.split)
  const column = [...batchOf(key), n, 1]
  return s.concat([s.reshape(a, column), s.reshape(b, column)], column.length - 1) as never
}

/**
 * {@link split} as a list of keys: `const [a, b] = Random.children(key, 2)`.
 *
 * @since 0.1.0
 * @category keys
 */
export const children = <K extends Shape>(
  key: Keys<K>,
  n: number
): ReadonlyArray<Tensor<K, "uint32">> => {
  const all = split(key as Tensor<Shape, "uint32">, n)
  const zeros = batchOf(key).map(() => 0)
  return Array.from({ length: n }, (_, i) =>
    s.reshape(s.slice(all, [...zeros, i, 0], [...batchOf(key), 1, 2]), key.shape)
  ) as never
}

/**
 * A new key from a key and data: a whole number from 0 to 2³² − 1, or a tensor of integers (modulo
 * 2³²) whose axes broadcast with the key's batch axes. So with a key and a tensor `[n]` it gives
 * `[n, 2]`.
 *
 * Throws `ShapeError` for another number, or for axes that do not fit.
 *
 * @since 0.1.0
 * @category keys
 */
export const foldIn: {
  <K extends Shape>(key: Keys<K>, data: number): Tensor<K, "uint32">
  <K extends Shape, T extends Shape>(
    key: Keys<K>,
    data: Tensor<T, Integer> & Fits<Broadcast<Ok<Batch<K>>, T>>
  ): Tensor<
    Ok<Broadcast<Ok<Batch<K>>, T>> extends infer B extends Shape ? readonly [...B, 2] : Shape,
    "uint32"
  >
} = (key: Tensor, data: Tensor | number): never => {
  checkKey("Random.foldIn", key)
  if (typeof data !== "number") check.dtypes("Random.foldIn", [data], "integers")
  const counter =
    typeof data === "number"
      ? s.scalar(random.data("Random.foldIn", data), "uint32")
      : s.reshape(e.cast(data, "uint32"), [...data.shape, 1])
  const purpose = s.scalar(random.purpose.fold, "uint32")
  const [a, b] = threefry(wordOf(key, 0), wordOf(key, 1), counter, purpose)
  return s.concat([a, b], a.shape.length - 1) as never
}

/**
 * Uniform words.
 *
 * @since 0.1.0
 * @category draws
 */
export const bits = <K extends Shape, const S extends Shape>(
  key: Keys<K>,
  shape: S
): Tensor<Drawn<K, S>, "uint32"> => {
  checkKey("Random.bits", key)
  check.sizes("Random.bits", [key], shape)
  return shaped(key, shape, single(key, Shapes.size(shape))) as never
}

/**
 * Uniform floats, `min` (0) ≤ x < `max` (1): a multiple of 2⁻²⁴ for `float32`, of 2⁻⁵³ for
 * `float64` and of 2⁻¹¹ for `float16`, times max − min, plus min.
 *
 * Throws `ShapeError` unless min < max and their difference is finite, and large enough to divide.
 *
 * @since 0.1.0
 * @category draws
 */
export const uniform = <K extends Shape, const S extends Shape, D extends Float = "float32">(
  key: Keys<K>,
  shape: S,
  options: Bounds<D> = {}
): Tensor<Drawn<K, S>, NoInfer<D>> => {
  const dtype = options.dtype ?? "float32"
  const to = random.interval("Random.uniform", dtype, options)
  return drawn("Random.uniform", key, shape, dtype, (d, high, low) =>
    d.uniform(random.digits[dtype], to, high, low)
  ) as never
}

/**
 * Standard normals, by the transform of Box & Muller (1958, "A note on the generation of random
 * normal deviates"), which turns two words into two of them, or four for `float64`.
 *
 * Tails reach to 6.7, for `float64` to 9.4; none is infinite. The transform of the words is precise
 * to five units in the last place, also near 0.
 *
 * @since 0.1.0
 * @category draws
 */
export const normal = <K extends Shape, const S extends Shape, D extends Float = "float32">(
  key: Keys<K>,
  shape: S,
  options: DTypeOption<D> = {}
): Tensor<Drawn<K, S>, NoInfer<D>> => {
  checkKey("Random.normal", key)
  check.sizes("Random.normal", [key], shape)
  const dtype = options.dtype ?? "float32"
  const count = Shapes.size(shape)
  const pairs = Math.ceil(count / 2)
  const batch = batchOf(key)
  const row = [...batch, 1, pairs]
  // both normals of a pair at once: the second is a quarter turn on
  const turns = s.constant({ shape: [2, 1], dtype: "uint32", data: Uint32Array.of(0, 2 ** 30) })
  const both = (word: Tensor): Tensor => e.add(s.reshape(word, row), turns)
  const joined = (radius: Tensor, wave: Tensor): Tensor =>
    shaped(
      key,
      shape,
      first(s.reshape(e.mul(wave, s.reshape(radius, row)), [...batch, 2 * pairs]), count)
    )
  if (dtype === "float64") {
    const d = distributions.float64
    const [high, low] = blocks(key, 2 * pairs, random.purpose.draw)
    const half = (x: Tensor, start: number): Tensor =>
      s.slice(x, [...batch.map(() => 0), start], [...batch, pairs])
    const radius = d.radius(half(high, 0), half(low, 0))
    const wave = d.wave(both(half(high, pairs)), s.reshape(half(low, pairs), row))
    return joined(radius, wave) as never
  }
  const d = distributions.float32
  const [a, b] = blocks(key, pairs, random.purpose.draw)
  const turned = both(b)
  return e.cast(joined(d.radius(a, a), d.wave(turned, turned)), dtype) as never
}

/**
 * Standard normals under the condition `min` (−∞) ≤ x ≤ `max` (∞), by the inverse of the
 * distribution function (Wichura 1988, AS 241), with a relative error below 10⁻⁶ for `float32`.
 * Good far out in the tails too: `min` may be 11 for `float32`, 36 for `float64`.
 *
 * Throws `ShapeError` unless min < max, or if less probability lies between than floats can divide.
 *
 * @since 0.1.0
 * @category draws
 */
export const truncatedNormal = <
  K extends Shape,
  const S extends Shape,
  D extends Float = "float32"
>(
  key: Keys<K>,
  shape: S,
  options: Bounds<D>
): Tensor<Drawn<K, S>, NoInfer<D>> => {
  const dtype = options.dtype ?? "float32"
  const to = random.truncation("Random.truncatedNormal", dtype, options)
  return drawn("Random.truncatedNormal", key, shape, dtype, (d, high, low) =>
    d.truncated(to, high, low)
  ) as never
}

/**
 * Integers, `min` (0) ≤ x < `max`. The probability of each is off by less than 2⁻⁶⁴, that is, by a
 * factor of less than 1 ± 2⁻³² for any range.
 *
 * Throws `ShapeError` unless min < max are whole numbers of `int32` (`max` may be 2³¹).
 *
 * @since 0.1.0
 * @category draws
 */
export const integers = <K extends Shape, const S extends Shape>(
  key: Keys<K>,
  shape: S,
  options: { readonly min?: number; readonly max: number }
): Tensor<Drawn<K, S>, "int32"> => {
  checkKey("Random.integers", key)
  check.sizes("Random.integers", [key], shape)
  const range = random.range("Random.integers", options)
  const [high, low] = blocks(key, Shapes.size(shape), random.purpose.draw)
  const offset = scaled(high, low, range.count)
  // two's complement: what wraps around in uint32 is a negative int32
  const placed = range.first === 0 ? offset : e.add(offset, s.scalar(range.first >>> 0, "uint32"))
  return shaped(key, shape, e.cast(placed, "int32")) as never
}

/**
 * `true` with probability `p`: a number, to within 2⁻³³, or a tensor of floats that broadcasts to
 * the result, to within the steps of {@link uniform}.
 *
 * Throws `ShapeError` for a number that is no probability, or a tensor that does not fit.
 *
 * @since 0.1.0
 * @category draws
 */
export const bernoulli = <K extends Shape, const S extends Shape>(
  key: Keys<K>,
  shape: S,
  p: number | Tensor<Shape, Float>
): Tensor<Drawn<K, S>, "bool"> => {
  if (typeof p === "number") {
    const words = bits(key as Tensor<Shape, "uint32">, shape)
    const limit = random.threshold("Random.bernoulli", p)
    return (
      limit === 2 ** 32
        ? e.lessEqual(s.scalar(0, "uint32"), words)
        : e.less(words, s.scalar(limit, "uint32"))
    ) as never
  }
  check.dtypes("Random.bernoulli", [p], "floats")
  const dtype = p.dtype === "float64" ? "float64" : "float32"
  const u = uniform(key as Tensor<Shape, "uint32">, shape, { dtype })
  const fits = Shapes.broadcast(u.shape, p.shape)
  if (fits === undefined || !Shapes.equals(fits, u.shape)) {
    throw check.shapeError(
      "Random.bernoulli",
      [p],
      `the probabilities must broadcast to ${Shapes.show(u.shape)}`
    )
  }
  return e.less(u, e.cast(p, dtype)) as never
}

/**
 * Standard Gumbel variables, −ln(−ln u); for `float32` from −2.8 to 16.6.
 *
 * @since 0.1.0
 * @category draws
 */
export const gumbel = <K extends Shape, const S extends Shape, D extends Float = "float32">(
  key: Keys<K>,
  shape: S,
  options: DTypeOption<D> = {}
): Tensor<Drawn<K, S>, NoInfer<D>> =>
  drawn("Random.gumbel", key, shape, options.dtype ?? "float32", (d, high, low) =>
    d.gumbel(high, low)
  ) as never

/**
 * One class for each row of `logits` `[…batch, …, classes]`, with probabilities softmax(logits):
 * where the logit plus a {@link gumbel} is largest. Gives `[…batch, …]`. For `float32`, classes
 * with probabilities below 10⁻⁶ come out less precisely.
 *
 * Throws `ShapeError` if the logits do not begin with the key's batch axes.
 *
 * @since 0.1.0
 * @category draws
 */
export const categorical = <K extends Shape, L extends Shape>(
  key: Keys<K>,
  logits: Tensor<L, Float>
): Tensor<
  L extends readonly [...infer Rows extends Shape, number] ? readonly [...Rows] : Shape,
  "int32"
> => {
  checkKey("Random.categorical", key)
  check.dtypes("Random.categorical", [logits], "floats")
  const batch = batchOf(key)
  const rank = logits.shape.length
  if (rank <= batch.length || !Shapes.equals(logits.shape.slice(0, batch.length), batch)) {
    throw check.shapeError(
      "Random.categorical",
      [key, logits],
      "logits need the key's batch axes, and behind them at least the axis of classes"
    )
  }
  const dtype = logits.dtype === "float64" ? "float64" : "float32"
  const shape = logits.shape.slice(batch.length)
  const noise = gumbel(key as Tensor<Shape, "uint32">, shape, { dtype })
  return r.argMax(e.add(e.cast(logits, dtype), noise), rank - 1) as never
}

/**
 * The numbers from 0 to n − 1 in random order: `[…batch, n]`. Each gets 32, 64 or more random bits,
 * by which they are sorted. Two are equal there, and so keep their order, with a probability below
 * 2⁻²⁰ for all pairs together.
 *
 * @since 0.1.0
 * @category draws
 */
export const permutation = <K extends Shape, const N extends number>(
  key: Keys<K>,
  n: N
): Tensor<Drawn<K, readonly [N]>, "int32"> => {
  checkKey("Random.permutation", key)
  check.sizes("Random.permutation", [key], [n])
  const sorts = random.sorts(n)
  const words = bits(key as Tensor<Shape, "uint32">, [sorts, n])
  const batch = batchOf(key)
  let order: Tensor | undefined
  // stable sorts by one word after another sort by all of them
  for (let i = 0; i < sorts; i++) {
    const word = s.slice(words, [...batch.map(() => 0), i, 0], [...batch, 1, n])
    const next = r.argSort(s.reshape(word, [...batch, n]), batch.length, false)
    order = order === undefined ? next : r.takeAlong(order, next, batch.length)
  }
  return order as never
}

/**
 * The inverse of the error function: `Tensor.erf(Random.erfinv(x))` is x, for x from −1 to 1. It is
 * infinite at ±1 and NaN beyond. From the quantile function of Wichura (1988, AS 241), with a
 * relative error of 10⁻⁶ for `float32`, 10⁻¹⁵ for `float64`. Differentiable.
 *
 * @since 0.1.0
 * @category functions
 */
export const erfinv = <S extends Shape, D extends Float>(x: Tensor<S, D>): Tensor<S, D> => {
  check.dtypes("Random.erfinv", [x], "floats")
  const wide: DType = x.dtype === "float64" ? "float64" : "float32"
  if (x.dtype !== wide) return e.cast(erfinv(e.cast(x, wide) as Tensor<S, D>), x.dtype) as never
  const c = (value: number): Tensor => s.scalar(value, wide)
  const half = e.mul(x, c(0.5))
  const size = e.abs(half)
  const end = e.equal(size, c(0.5))
  const tail = e.select(end, c(0.5), e.sub(c(0.5), size))
  const inside = distributions[wide].quantile(half, e.neg(e.log(tail)))
  const outside = e.mul(e.sign(half), c(Number.POSITIVE_INFINITY))
  const y = e.select(end, outside, e.mul(inside, c(Math.SQRT1_2)))
  return custom([x], [y], {
    name: "erfinv",
    // ½√π·exp(y²)
    backward: (_, [y], [cotangent]) => [
      e.mul(cotangent, e.mul(c(Math.sqrt(Math.PI) / 2), e.exp(e.mul(y, y))))
    ]
  })[0] as never
}
