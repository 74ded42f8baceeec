/**
 * What `Random` draws, on the host and without a device: equal keys give equal arrays. For
 * shuffling data where it is read, for the keys of runs, and for tests.
 *
 * A key is a pair of words. As an input of a program it is `HostRandom.toHostArray(key)`.
 *
 * ```ts
 * const key = HostRandom.key(7)
 * const order = HostRandom.permutation(HostRandom.foldIn(key, epoch), images)
 * ```
 *
 * @since 0.1.0
 */
import * as DType from "./DType.ts"
import type { HostArray } from "./Expression.ts"
import * as check from "./internal/check.ts"
import * as random from "./internal/random.ts"
import type { Bounds, DTypeOption } from "./Random.ts"
import type { Shape } from "./Shape.ts"
import * as Shapes from "./Shape.ts"

/**
 * Two words from 0 to 2³² − 1.
 *
 * @since 0.1.0
 * @category models
 */
export type Key = readonly [number, number]

const { words, float32, float64 } = random.numbers
const distributions = {
  float32: random.distributions(words, float32),
  float64: random.distributions(words, float64)
}
const threefry = random.threefry(words)
const scaled = random.scaled(words)

const block = ([k0, k1]: Key, count: number, purpose: number): readonly [number, number] =>
  threefry(k0, k1, count, purpose)

const toKey = ([a, b]: readonly [number, number]): Key => [a >>> 0, b >>> 0]

const host = <S extends Shape, D extends DType.DType>(
  shape: S,
  dtype: D,
  data: DType.Arrays[D]
): HostArray<S, D> => ({ shape, dtype, data })

/** The words of `count` items that take one each. */
const single = (key: Key, count: number): Uint32Array => {
  const half = Math.ceil(count / 2)
  const result = new Uint32Array(count)
  for (let i = 0; i < half; i++) {
    const [a, b] = block(key, i, random.purpose.draw)
    result[i] = a
    if (half + i < count) result[half + i] = b
  }
  return result
}

const store = (dtype: DType.Float): ((value: number) => number) =>
  dtype === "float16" ? DType.toFloat16Bits : (value) => value

/** A draw of floats: `f` of the words of each item, in the dtype's own precision. */
const drawn = <S extends Shape, D extends DType.Float>(
  operation: string,
  key: Key,
  shape: S,
  dtype: D,
  f: (d: random.Distributions<number, number>, high: number, low: number) => number
): HostArray<S, D> => {
  const count = Shapes.size(check.sizes(operation, [], shape))
  const data = DType.allocate<DType.Float>(dtype, count)
  const keep = store(dtype)
  if (dtype === "float64") {
    for (let i = 0; i < count; i++) {
      const [high, low] = block(key, i, random.purpose.draw)
      data[i] = f(distributions.float64, high, low)
    }
  } else {
    const each = single(key, count)
    for (let i = 0; i < count; i++) data[i] = keep(f(distributions.float32, each[i], 0))
  }
  return host(shape, dtype, data as DType.Arrays[D])
}

/**
 * As `Random.threefry2x32`, for one key and one counter.
 *
 * @since 0.1.0
 * @category words
 */
export const threefry2x32 = (key: Key, counter: Key): Key =>
  toKey(threefry(key[0], key[1], counter[0], counter[1]))

/**
 * As `Random.key`.
 *
 * @since 0.1.0
 * @category keys
 */
export const key = (seed: number | bigint): Key => random.seedWords("HostRandom.key", seed)

/**
 * As `Random.split`, as a list.
 *
 * @since 0.1.0
 * @category keys
 */
export const split = (key: Key, n: number): ReadonlyArray<Key> => {
  check.sizes("HostRandom.split", [], [n])
  return Array.from({ length: n }, (_, i) => toKey(block(key, i, random.purpose.split)))
}

/**
 * As `Random.foldIn`.
 *
 * @since 0.1.0
 * @category keys
 */
export const foldIn = (key: Key, data: number): Key =>
  toKey(block(key, random.data("HostRandom.foldIn", data), random.purpose.fold))

/**
 * A key as an array `[2]`, or keys as an array `[n, 2]`: what `Random` takes as keys.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toHostArray: {
  (key: Key): HostArray<readonly [2], "uint32">
  (keys: ReadonlyArray<Key>): HostArray<readonly [number, 2], "uint32">
} = (keys: Key | ReadonlyArray<Key>): never => {
  const shape = typeof keys[0] === "number" ? [2] : [keys.length, 2]
  return host(shape, "uint32", Uint32Array.from(keys.flat())) as never
}

/**
 * As `Random.bits`.
 *
 * @since 0.1.0
 * @category draws
 */
export const bits = <const S extends Shape>(key: Key, shape: S): HostArray<S, "uint32"> =>
  host(shape, "uint32", single(key, Shapes.size(check.sizes("HostRandom.bits", [], shape))))

/**
 * As `Random.uniform`.
 *
 * @since 0.1.0
 * @category draws
 */
export const uniform = <const S extends Shape, D extends DType.Float = "float32">(
  key: Key,
  shape: S,
  options: Bounds<D> = {}
): HostArray<S, D> => {
  const dtype = options.dtype ?? ("float32" as D)
  const to = random.interval("HostRandom.uniform", dtype, options)
  return drawn("HostRandom.uniform", key, shape, dtype, (d, high, low) =>
    d.uniform(random.digits[dtype], to, high, low)
  )
}

/**
 * As `Random.normal`.
 *
 * @since 0.1.0
 * @category draws
 */
export const normal = <const S extends Shape, D extends DType.Float = "float32">(
  key: Key,
  shape: S,
  options: DTypeOption<D> = {}
): HostArray<S, D> => {
  const dtype = options.dtype ?? ("float32" as D)
  const wide = dtype === "float64" ? "float64" : "float32"
  const count = Shapes.size(check.sizes("HostRandom.normal", [], shape))
  const data = DType.allocate<DType.Float>(dtype, count)
  const keep = store(dtype)
  const pairs = Math.ceil(count / 2)
  const d = distributions[wide]
  const { mul } = wide === "float64" ? float64 : float32
  for (let i = 0; i < pairs; i++) {
    const first = block(key, i, random.purpose.draw)
    const [high, low] =
      wide === "float64" ? block(key, pairs + i, random.purpose.draw) : [first[1], 0]
    const radius = d.radius(first[0], first[1])
    data[i] = keep(mul(d.wave(high, low), radius))
    if (pairs + i < count) data[pairs + i] = keep(mul(d.wave(high + 2 ** 30, low), radius))
  }
  return host(shape, dtype, data as DType.Arrays[D])
}

/**
 * As `Random.truncatedNormal`.
 *
 * @since 0.1.0
 * @category draws
 */
export const truncatedNormal = <const S extends Shape, D extends DType.Float = "float32">(
  key: Key,
  shape: S,
  options: Bounds<D>
): HostArray<S, D> => {
  const dtype = options.dtype ?? ("float32" as D)
  const to = random.truncation("HostRandom.truncatedNormal", dtype, options)
  return drawn("HostRandom.truncatedNormal", key, shape, dtype, (d, high, low) =>
    d.truncated(to, high, low)
  )
}

/**
 * As `Random.integers`.
 *
 * @since 0.1.0
 * @category draws
 */
export const integers = <const S extends Shape>(
  key: Key,
  shape: S,
  options: { readonly min?: number; readonly max: number }
): HostArray<S, "int32"> => {
  const { first, count } = random.range("HostRandom.integers", options)
  const data = new Int32Array(Shapes.size(check.sizes("HostRandom.integers", [], shape)))
  for (let i = 0; i < data.length; i++) {
    const [high, low] = block(key, i, random.purpose.draw)
    data[i] = scaled(high, low, count) + first
  }
  return host(shape, "int32", data)
}

/**
 * As `Random.bernoulli`, for one probability.
 *
 * @since 0.1.0
 * @category draws
 */
export const bernoulli = <const S extends Shape>(
  key: Key,
  shape: S,
  p: number
): HostArray<S, "bool"> => {
  const limit = random.threshold("HostRandom.bernoulli", p)
  const { data } = bits(key, shape)
  return host(
    shape,
    "bool",
    Uint8Array.from(data, (word) => (word < limit ? 1 : 0))
  )
}

/**
 * As `Random.gumbel`.
 *
 * @since 0.1.0
 * @category draws
 */
export const gumbel = <const S extends Shape, D extends DType.Float = "float32">(
  key: Key,
  shape: S,
  options: DTypeOption<D> = {}
): HostArray<S, D> =>
  drawn("HostRandom.gumbel", key, shape, options.dtype ?? ("float32" as D), (d, high, low) =>
    d.gumbel(high, low)
  )

/**
 * As `Random.permutation`.
 *
 * @since 0.1.0
 * @category draws
 */
export const permutation = <const N extends number>(
  key: Key,
  n: N
): HostArray<readonly [N], "int32"> => {
  check.sizes("HostRandom.permutation", [], [n])
  const sorts = random.sorts(n)
  const { data } = bits(key, [sorts, n])
  let order = Int32Array.from({ length: n }, (_, i) => i)
  for (let k = 0; k < sorts; k++) {
    const word = data.subarray(k * n, (k + 1) * n)
    const next = Int32Array.from({ length: n }, (_, i) => i)
    next.sort((i, j) => word[i] - word[j] || i - j)
    order = next.map((i) => order[i])
  }
  return host([n], "int32", order)
}
