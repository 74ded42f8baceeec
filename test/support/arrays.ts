/** Arrays of random values for tests, and how they are compared. */
import * as fc from "fast-check"
import * as DType from "../../src/Tensor/DType.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Shape from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

/** Uniform in [0, 1). */
export type Random = () => number

/** One value after the other; told how many there will be. */
export type Fill = (random: Random, index: number, count: number) => number

/** Marsaglia's xorshift32. */
export const random = (seed: number): Random => {
  let state = (seed ^ 0x9e3779b9) | 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  // small seeds are alike at first
  for (let i = 0; i < 8; i++) next()
  return next
}

export const uniform =
  (low: number, high: number): Fill =>
  (random) =>
    low + (high - low) * random()

export const whole =
  (low: number, high: number): Fill =>
  (random) =>
    low + Math.floor((high - low + 1) * random())

export const oneOf =
  (values: ReadonlyArray<number>): Fill =>
  (random) =>
    values[Math.floor(values.length * random())]

/** Mostly one thing, now and then another. */
export const sometimes =
  (share: number, rare: Fill, otherwise: Fill): Fill =>
  (random, index, count) =>
    (random() < share ? rare : otherwise)(random, index, count)

/** At least a tenth of `step` away from the multiples of `step`, up to 8 of them from 0. */
export const between =
  (step: number, shift = 0): Fill =>
  (random) =>
    shift + step * (Math.floor(16 * random()) - 8 + 0.1 + 0.8 * random())

/** Values that differ from each other by a tenth at least, in random order. */
export const apart = (): Fill => {
  let order: Array<number> = []
  return (random, index, count) => {
    if (index === 0) {
      order = Array.from({ length: count }, (_, i) => i)
      for (let i = count - 1; i > 0; i--) {
        const k = Math.floor((i + 1) * random())
        ;[order[i], order[k]] = [order[k], order[i]]
      }
    }
    return 0.2 * (order[index] - count / 2) + 0.1 * random()
  }
}

export const fill = <const S extends Shape.Shape, D extends DType.DType>(
  shape: S,
  dtype: D,
  seed: number,
  fill: Fill
): HostArray<S, D> => {
  const next = random(seed)
  const count = Shape.size(shape)
  return Tensor.hostArray(
    Array.from({ length: count }, (_, i) => fill(next, i, count)),
    { shape, dtype }
  )
}

/** An array of a given shape. It shrinks in nothing, since shapes are what makes cases small. */
export const array = <const S extends Shape.Shape, D extends DType.DType>(
  shape: S,
  dtype: D,
  values: Fill
): fc.Arbitrary<HostArray<S, D>> =>
  fc.noShrink(fc.nat({ max: 0x7fffffff })).map((seed) => fill(shape, dtype, seed, values))

/** The elements as numbers. */
export const numbers = ({ dtype, data }: HostArray): Float64Array =>
  Float64Array.from<number | bigint>(data, (each) =>
    dtype === "float16" ? DType.fromFloat16Bits(Number(each)) : Number(each)
  )

/** How far results of a dtype may be from exact ones, relative to the result's scale. */
export const tolerance: { readonly [D in DType.DType]: number } = {
  float64: 1e-12,
  float32: 1e-5,
  float16: 2e-3,
  int32: 0,
  int64: 0,
  uint32: 0,
  bool: 0
}

/** The greatest finite magnitude, 1 at least. */
export const scaleOf = (values: Iterable<number>): number => {
  let scale = 1
  for (const each of values) if (Number.isFinite(each)) scale = Math.max(scale, Math.abs(each))
  return scale
}

/** What is wrong with an array that should be another one; `undefined` if nothing. */
export const mismatch = (
  actual: HostArray,
  expected: HostArray,
  allowed: number = tolerance[expected.dtype],
  /** Whether each element must be right relative to itself (or 1), rather than to the greatest. */
  pointwise = false
): string | undefined => {
  if (actual.dtype !== expected.dtype || !Shape.equals(actual.shape, expected.shape)) {
    return `is ${show(actual)}, but should be ${show(expected)}`
  }
  if (actual.data.length !== Shape.size(actual.shape)) {
    return `is ${show(actual)}, but has ${actual.data.length} elements`
  }
  if (expected.dtype === "int64") {
    const at = expected.data.findIndex((each, i) => each !== actual.data[i])
    return at < 0
      ? undefined
      : `element ${at} is ${actual.data[at]}, but should be ${expected.data[at]}`
  }
  const [found, wanted] = [numbers(actual), numbers(expected)]
  const scale = scaleOf(wanted)
  for (let i = 0; i < wanted.length; i++) {
    const [x, y] = [found[i], wanted[i]]
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue
    const bound = allowed * (pointwise ? Math.max(1, Math.abs(y)) : scale)
    if (!(Math.abs(x - y) <= bound) || !Number.isFinite(y)) {
      return `element ${i} is ${x}, but should be ${y}, within ${bound}`
    }
  }
  return undefined
}

export const show = ({ dtype, shape }: { readonly dtype: string; readonly shape: Shape.Shape }) =>
  `${dtype}${Shape.show(shape)}`

/** Throws unless two arrays agree. */
export const agree = (
  actual: HostArray,
  expected: HostArray,
  allowed?: number,
  what = "it"
): void => {
  const wrong = mismatch(actual, expected, allowed)
  if (wrong !== undefined) throw new Error(`${what}: ${wrong}`)
}

/** Throws unless an array has these elements. */
export const close = (
  actual: HostArray,
  expected: ReadonlyArray<number> | Float64Array,
  allowed?: number,
  what?: string
): void => {
  const { shape, dtype } = actual
  agree(actual, Tensor.hostArray(Array.from(expected), { shape, dtype }), allowed, what)
}

export const dot = (a: HostArray, b: HostArray): number => {
  const [x, y] = [numbers(a), numbers(b)]
  return x.reduce((sum, each, i) => sum + each * y[i], 0)
}

/** The size of an axis; now and then nothing. */
export const size: fc.Arbitrary<number> = fc.oneof(
  { weight: 14, arbitrary: fc.integer({ min: 1, max: 4 }) },
  { weight: 1, arbitrary: fc.constant(0) }
)

/** The size of an axis that is not empty. */
export const some: fc.Arbitrary<number> = fc.integer({ min: 1, max: 4 })

export const shapes = (options?: {
  readonly size?: fc.Arbitrary<number>
  readonly min?: number
  readonly max?: number
}): fc.Arbitrary<ReadonlyArray<number>> =>
  fc.array(options?.size ?? size, {
    minLength: options?.min ?? 0,
    maxLength: options?.max ?? 4,
    size: "max"
  })

/** As many numbers as there are axes. */
export const each = (
  rank: number,
  value: fc.Arbitrary<number>
): fc.Arbitrary<ReadonlyArray<number>> => fc.array(value, { minLength: rank, maxLength: rank })

/** Shapes that broadcast to a common one. */
export const broadcasting = (
  count: number,
  size?: fc.Arbitrary<number>
): fc.Arbitrary<ReadonlyArray<Shape.Shape>> =>
  shapes({ max: 3, ...(size === undefined ? {} : { size }) }).chain((whole) =>
    fc.array(
      fc
        .tuple(
          fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: whole.length })),
          each(whole.length, fc.integer({ min: 0, max: 3 }))
        )
        .map(([drop, ones]) => whole.map((n, i) => (ones[i] === 0 ? 1 : n)).slice(drop)),
      { minLength: count, maxLength: count }
    )
  )
