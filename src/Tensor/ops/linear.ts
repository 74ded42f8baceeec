import { dual } from "effect/Function"
import type { DType, Float, Numeric } from "../DType.ts"
import { isTensor, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import type { Window } from "../Primitive.ts"
import * as e from "../primitive/elementwise.ts"
import * as l from "../primitive/linear.ts"
import * as s from "../primitive/structure.ts"
import type { Conv, Fits, Later, MatMul, Ok, SameRank, Shape } from "../Shape.ts"
import * as Shapes from "../Shape.ts"

/**
 * Product of matrices: `[…, M, K] × […, K, N] → […, M, N]`; batch axes broadcast.
 *
 * @since 0.1.0
 * @category linear algebra
 */
export const matmul: {
  <B extends Shape, D extends Numeric>(
    that: Tensor<B, D>
  ): Later<
    D,
    <A extends Shape>(self: Tensor<A, D> & Fits<MatMul<A, B>>) => Tensor<Ok<MatMul<A, B>>, D>
  >
  <A extends Shape, B extends Shape, D extends Numeric>(
    self: Tensor<A, D>,
    that: Tensor<B, NoInfer<D>> & Fits<MatMul<A, B>>
  ): Tensor<Ok<MatMul<A, B>>, D>
} = dual(2, l.matmul)

/**
 * Einstein summation: `Tensor.einsum("bij,bjk->bik", a, b)`. A letter names an axis; letters missing from the result are
 * summed over; a letter twice in one operand takes the diagonal. Without `->` the result has the
 * letters that occur once, in alphabetical order. Contracts from left to right, by matrix products.
 *
 * Throws `ShapeError` for letters that do not match the operands.
 *
 * @since 0.1.0
 * @category linear algebra
 */
export const einsum = <D extends Numeric>(
  equation: string,
  ...operands: ReadonlyArray<Tensor<Shape, D>>
): Tensor<Shape, D> => {
  check.tensors("einsum", operands)
  const fail = (why: string) => check.shapeError(`einsum "${equation}"`, operands, why)
  const [left, right, ...more] = equation.replace(/\s+/g, "").split("->")
  const terms = left.split(",")
  if (
    more.length > 0 ||
    !/^[a-zA-Z,]*$/.test(left) ||
    (right !== undefined && !/^[a-zA-Z]*$/.test(right))
  ) {
    throw fail(
      "an equation is letters for each operand, with commas between, then -> and the result's letters"
    )
  }
  if (terms.length !== operands.length)
    throw fail(`${terms.length} terms for ${operands.length} operands`)
  const sizes = new Map<string, number>()
  terms.forEach((term, i) => {
    const { shape } = operands[i]
    if (term.length !== shape.length)
      throw fail(`"${term}" names ${term.length} axes, operand ${i} has ${shape.length}`)
    ;[...term].forEach((letter, axis) => {
      const known = sizes.get(letter) ?? shape[axis]
      if (known !== shape[axis])
        throw fail(`axis "${letter}" is ${known} in one operand and ${shape[axis]} in another`)
      sizes.set(letter, known)
    })
  })
  const once = [...new Set(left.replaceAll(",", ""))]
    .filter((each) => left.split(each).length === 2)
    .sort()
  const result = right ?? once.join("")
  for (const letter of result) if (!sizes.has(letter)) throw fail(`"${letter}" is in no operand`)
  if (new Set(result).size !== result.length) throw fail("a letter occurs twice in the result")

  const first = diagonal({ letters: terms[0], value: operands[0] })
  const final = operands.slice(1).reduce<Lettered>((done, value, i) => {
    const later = terms.slice(i + 2).join("") + result
    return contract(done, diagonal({ letters: terms[i + 1], value }), later)
  }, first)
  return arrange(sumOut(final, result), result) as Tensor<Shape, D>
}

interface Lettered {
  readonly letters: string
  readonly value: Tensor
}

/** Letters that occur twice become one axis: everything off the diagonal is masked, and summed away. */
const diagonal = ({ letters, value }: Lettered): Lettered => {
  const again = [...letters].findIndex((letter, i) => letters.indexOf(letter) < i)
  if (again < 0) return { letters, value }
  const before = letters.indexOf(letters[again])
  const mask = e.equal(s.iota(value.shape, before, "int32"), s.iota(value.shape, again, "int32"))
  const masked = e.select(mask, value, s.scalar(0, value.dtype))
  return diagonal({
    letters: letters.slice(0, again) + letters.slice(again + 1),
    value: s.sum(masked, [again], false)
  })
}

const sumOut = ({ letters, value }: Lettered, keep: string): Lettered => {
  const axes = [...letters].flatMap((letter, i) => (keep.includes(letter) ? [] : [i]))
  return axes.length === 0
    ? { letters, value }
    : {
        letters: [...letters].filter((letter) => keep.includes(letter)).join(""),
        value: s.sum(value, axes, false)
      }
}

const arrange = ({ letters, value }: Lettered, order: string): Tensor =>
  s.transpose(
    value,
    [...order].map((letter) => letters.indexOf(letter))
  )

/** One matrix product: letters in both and needed later are its batch, those not needed are summed. */
const contract = (left: Lettered, right: Lettered, later: string): Lettered => {
  const a = sumOut(left, right.letters + later)
  const b = sumOut(right, left.letters + later)
  const shared = [...a.letters].filter((letter) => b.letters.includes(letter))
  const batch = shared.filter((letter) => later.includes(letter)).join("")
  const inner = shared.filter((letter) => !later.includes(letter)).join("")
  const rows = [...a.letters].filter((letter) => !shared.includes(letter)).join("")
  const columns = [...b.letters].filter((letter) => !shared.includes(letter)).join("")
  const sizes = ({ letters, value }: Lettered, of: string) =>
    [...of].map((letter) => value.shape[letters.indexOf(letter)])
  const flat = (x: Lettered, first: string, second: string) =>
    s.reshape(arrange(x, batch + first + second), [
      ...sizes(x, batch),
      Shapes.size(sizes(x, first)),
      Shapes.size(sizes(x, second))
    ])
  const product = l.matmul(flat(a, rows, inner), flat(b, inner, columns))
  return {
    letters: batch + rows + columns,
    value: s.reshape(product, [...sizes(a, batch), ...sizes(a, rows), ...sizes(b, columns)])
  }
}

/**
 * How a kernel moves over the spatial axes: one number for all of them, or one for each.
 *
 * `padding` is a number of zeros on both sides, `[before, after]` for each axis, `"valid"` (none, the default) or
 * `"same"`: as much as it takes for the result to have ⌈size / stride⌉ elements, the odd one after.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConvOptions {
  readonly stride?: number | ReadonlyArray<number>
  readonly padding?:
    | number
    | "same"
    | "valid"
    | ReadonlyArray<number | readonly [before: number, after: number]>
  readonly dilation?: number | ReadonlyArray<number>
  readonly groups?: number
}

type Keeps<O> = O extends { readonly padding: "same" }
  ? O extends { readonly stride: unknown }
    ? false
    : true
  : false

type Grouped<O> = O extends { readonly groups: number } ? true : false

const each = (
  value: number | ReadonlyArray<number> | undefined,
  rank: number,
  otherwise: number
): ReadonlyArray<number> =>
  typeof value === "object" ? value : Array.from({ length: rank }, () => value ?? otherwise)

/** Throws where `padding` is no word that is known and no list of one entry for each spatial axis. */
const checkPadding = (
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  padding: ConvOptions["padding"],
  words: ReadonlyArray<string>
): void => {
  if (padding === undefined || typeof padding === "number") return
  if (typeof padding === "string") {
    check.choice(operation, inputs, "`padding`", padding as string, words)
  } else if (padding.length !== Math.max(inputs[0].shape.length - 2, 0)) {
    throw check.shapeError(
      operation,
      inputs,
      `\`padding\` has ${padding.length} entries for ${Math.max(inputs[0].shape.length - 2, 0)} spatial axes`
    )
  }
}

const windowOf = (space: Shape, kernel: Shape, options: ConvOptions): Window => {
  const rank = space.length
  const stride = each(options.stride, rank, 1)
  const dilation = each(options.dilation, rank, 1)
  const padding = options.padding ?? "valid"
  const sides =
    padding === "same"
      ? space.map((size, i) => {
          const total = Math.max(
            0,
            (Math.ceil(size / stride[i]) - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - size
          )
          return [Math.floor(total / 2), Math.ceil(total / 2)] as const
        })
      : space.map((_, i) => {
          const side = padding === "valid" ? 0 : typeof padding === "number" ? padding : padding[i]
          return typeof side === "object" ? side : ([side, side] as const)
        })
  return {
    stride,
    dilation,
    low: sides.map(([low]) => low),
    high: sides.map(([, high]) => high),
    groups: options.groups ?? 1
  }
}

/**
 * Convolution (as the field uses the word: the kernel is not flipped) over any number of spatial axes:
 * `[N, C, …]` with a kernel `[O, C / groups, …]` → `[N, O, …]`, spatial sizes
 * ⌊(size + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
 *
 * @since 0.1.0
 * @category convolutions
 */
export const conv: {
  <W extends Shape, D extends Float, const O extends ConvOptions = {}>(
    kernel: Tensor<W, D>,
    options?: O
  ): Later<
    D,
    <X extends Shape>(
      self: Tensor<X, D> & Fits<Conv<X, W, Grouped<O>, Keeps<O>>>
    ) => Tensor<Ok<Conv<X, W, Grouped<O>, Keeps<O>>>, D>
  >
  <X extends Shape, W extends Shape, D extends Float, const O extends ConvOptions = {}>(
    self: Tensor<X, D>,
    kernel: Tensor<W, NoInfer<D>> & Fits<Conv<X, W, Grouped<O>, Keeps<O>>>,
    options?: O
  ): Tensor<Ok<Conv<X, W, Grouped<O>, Keeps<O>>>, D>
} = dual(
  (args) => isTensor(args[0]) && isTensor(args[1]),
  (x: Tensor, kernel: Tensor, options: ConvOptions = {}) => {
    checkPadding("conv", [x, kernel], options.padding, ["same", "valid"])
    return l.conv(x, kernel, windowOf(x.shape.slice(2), kernel.shape.slice(2), options))
  }
)

/**
 * Transposed convolution, the adjoint of {@link conv}: `[N, C, …]` with a kernel `[C, O / groups, …]` →
 * `[N, O, …]`, spatial sizes (size − 1)·stride − padding + dilation·(kernel − 1) + 1 + outputPadding, as
 * PyTorch's `ConvTranspose` counts them. `"same"` is not defined here.
 *
 * @since 0.1.0
 * @category convolutions
 */
export const convTranspose: {
  <D extends Float>(
    kernel: Tensor<Shape, D>,
    options?: ConvTransposeOptions
  ): Later<D, <X extends Shape>(self: Tensor<X, D>) => Tensor<SameRank<X>, D>>
  <X extends Shape, D extends Float>(
    self: Tensor<X, D>,
    kernel: Tensor<Shape, NoInfer<D>>,
    options?: ConvTransposeOptions
  ): Tensor<SameRank<X>, D>
} = dual(
  (args) => isTensor(args[0]) && isTensor(args[1]),
  (x: Tensor, kernel: Tensor, { outputPadding, ...options }: ConvTransposeOptions = {}) => {
    checkPadding("convTranspose", [x, kernel], options.padding, [])
    const size = x.shape.slice(2)
    const width = kernel.shape.slice(2)
    const window = windowOf(size, width, options)
    const extra = each(outputPadding, size.length, 0)
    const space = size.map(
      (n, i) =>
        (n - 1) * window.stride[i] -
        window.low[i] -
        window.high[i] +
        window.dilation[i] * (width[i] - 1) +
        1 +
        extra[i]
    )
    return l.convTranspose(x, kernel, window, space)
  }
)

/**
 * @since 0.1.0
 * @category models
 */
export interface ConvTransposeOptions extends Omit<ConvOptions, "padding"> {
  readonly padding?: number | ReadonlyArray<number | readonly [before: number, after: number]>
  /** Elements added at the end of each spatial axis, fewer than the stride. */
  readonly outputPadding?: number | ReadonlyArray<number>
}

/**
 * A window over the spatial axes; `stride` is the window itself unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolOptions {
  readonly window: number | ReadonlyArray<number>
  readonly stride?: number | ReadonlyArray<number>
  readonly padding?: ConvOptions["padding"]
}

interface Pooling {
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options: PoolOptions
  ): Tensor<SameRank<S>, D>
  (
    options: PoolOptions
  ): <S extends Shape, D extends Float>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
}

const pooling = (kind: "max" | "mean"): Pooling =>
  dual(2, (x: Tensor, options: PoolOptions) => {
    check.tensors(`${kind}Pool`, [x])
    checkPadding(`${kind}Pool`, [x], options.padding, ["same", "valid"])
    const space = x.shape.slice(2)
    const window = each(options.window, space.length, 1)
    const { stride, low, high } = windowOf(space, window, {
      stride: options.stride ?? window,
      padding: options.padding ?? 0
    })
    return l.pool(x, { kind, window, stride, low, high })
  })

/**
 * The greatest element under each window, `[N, C, …] → [N, C, …]`; padding does not count. Elements that are equally
 * great share the derivative.
 *
 * @since 0.1.0
 * @category pooling
 */
export const maxPool: Pooling = pooling("max")

/**
 * The mean under each window, `[N, C, …] → [N, C, …]`; padding counts as zeros (PyTorch's `count_include_pad`).
 *
 * @since 0.1.0
 * @category pooling
 */
export const avgPool: Pooling = pooling("mean")

/**
 * Where to, and how: `nearest` takes the element at ⌊i·old/new⌋ (PyTorch's `nearest`);
 * `linear` is (bi-, tri-)linear between pixel centres, with align_corners false and no smoothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResizeOptions {
  /** The new spatial sizes; or `scale`. */
  readonly size?: number | ReadonlyArray<number>
  /** Factors for the spatial sizes; results are rounded down. */
  readonly scale?: number | ReadonlyArray<number>
  readonly mode?: "nearest" | "linear"
}

/**
 * The spatial axes at other sizes, `[N, C, …] → [N, C, …]`, as PyTorch's `interpolate` with align_corners false.
 *
 * @since 0.1.0
 * @category resizing
 */
export const resize: {
  <S extends Shape, D extends Float>(
    self: Tensor<S, D>,
    options: ResizeOptions
  ): Tensor<SameRank<S>, D>
  (
    options: ResizeOptions
  ): <S extends Shape, D extends Float>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
} = dual(2, (x: Tensor, { size, scale, mode = "nearest" }: ResizeOptions) => {
  spatial("resize", [x])
  check.dtypes("resize", [x], "floats")
  check.choice("resize", [x], "`mode`", mode, ["nearest", "linear"])
  const space = x.shape.slice(2)
  if ((size === undefined) === (scale === undefined)) {
    throw check.shapeError("resize", [x], "needs either `size` or `scale`")
  }
  const factors = each(scale, space.length, 1)
  const target =
    size === undefined
      ? space.map((n, i) => Math.floor(n * factors[i]))
      : each(size, space.length, 1)
  if (space.includes(0)) throw check.shapeError("resize", [x], "there is nothing to interpolate")
  if (target.length !== space.length || target.some((n) => !Number.isInteger(n) || n < 1)) {
    throw check.shapeError(
      "resize",
      [x],
      `${Shapes.show(target)} are not ${space.length} spatial sizes of at least 1`
    )
  }
  const halves = mode === "linear" && space.every((n, i) => n === 2 * target[i])
  if (halves) {
    // half way between two pixel centres: the mean of the two
    const window = space.map(() => 2)
    const none = space.map(() => 0)
    return l.pool(x, { kind: "mean", window, stride: window, low: none, high: none })
  }
  const whole = space.every((n, i) => target[i] % n === 0)
  if (mode === "nearest" && whole) return replicate(x, target)
  return space.reduce((y, n, i) => {
    if (target[i] === n) return y
    return mode === "nearest" ? nearest(y, i + 2, target[i]) : interpolate(y, i + 2, target[i])
  }, x)
})

/** The operand has batch, channels and at least one spatial axis. */
const spatial = (operation: string, inputs: ReadonlyArray<Tensor>): void => {
  check.tensors(operation, inputs)
  if (inputs[0].shape.length < 3)
    throw check.shapeError(operation, inputs, "needs the axes [batch, channels, …spatial]")
}

/** A factor that sizes are multiplied with or divided by. */
const whole = (operation: string, x: Tensor, factor: number): void => {
  if (!Number.isInteger(factor) || factor < 1)
    throw check.shapeError(
      operation,
      [x],
      `the factor ${factor} must be a whole number of at least 1`
    )
}

/** Each pixel as a block of equal ones. */
const replicate = (x: Tensor, target: Shape): Tensor => {
  const [n, c, ...space] = x.shape
  const pairs = [n, c, ...space.flatMap((size) => [size, 1])]
  const blocks = [n, c, ...space.flatMap((size, i) => [size, target[i] / size])]
  return s.reshape(s.broadcast(s.reshape(x, pairs), blocks), [n, c, ...target])
}

const nearest = (x: Tensor, axis: number, target: number): Tensor => {
  const n = x.shape[axis]
  const indices = Int32Array.from({ length: target }, (_, i) =>
    Math.min(Math.floor((i * n) / target), n - 1)
  )
  return s.gather(x, s.constant({ shape: [target], dtype: "int32", data: indices }), axis)
}

/** Interpolation is linear, so along one axis it is a product with a constant matrix. */
const interpolate = (x: Tensor, axis: number, target: number): Tensor => {
  const n = x.shape[axis]
  const matrix = new Float64Array(target * n)
  for (let i = 0; i < target; i++) {
    const place = Math.min(Math.max(((i + 0.5) * n) / target - 0.5, 0), n - 1)
    const low = Math.min(Math.floor(place), n - 1)
    const high = Math.min(low + 1, n - 1)
    matrix[i * n + low] += 1 - (place - low)
    matrix[i * n + high] += place - low
  }
  const weights = e.cast(
    s.constant({ shape: [target, n], dtype: "float64", data: matrix }),
    x.dtype
  )
  const last = x.shape.length - 1
  if (axis === last) return l.matmul(x, s.transpose(weights, [1, 0]))
  // [.., n, rest] is a stack of matrices with the axis as rows
  const before = x.shape.slice(0, axis)
  const after = x.shape.slice(axis + 1)
  return s.reshape(l.matmul(weights, s.reshape(x, [...before, n, Shapes.size(after)])), [
    ...before,
    target,
    ...after
  ])
}

/**
 * Channels to space, `[N, C·f², H, W] → [N, C, H·f, W·f]`, in any number of spatial axes, in PyTorch's order.
 *
 * @since 0.1.0
 * @category resizing
 */
export const pixelShuffle: {
  (factor: number): <S extends Shape, D extends DType>(self: Tensor<S, D>) => Tensor<SameRank<S>, D>
  <S extends Shape, D extends DType>(self: Tensor<S, D>, factor: number): Tensor<SameRank<S>, D>
} = dual(2, (x: Tensor, factor: number) => {
  const [n, c, ...space] = x.shape
  spatial("pixelShuffle", [x])
  whole("pixelShuffle", x, factor)
  const channels = c / factor ** space.length
  if (!Number.isInteger(channels)) {
    throw check.shapeError(
      "pixelShuffle",
      [x],
      `${c} channels do not divide by ${factor}^${space.length}`
    )
  }
  const open = s.reshape(x, [n, channels, ...space.map(() => factor), ...space])
  const order = [0, 1, ...space.flatMap((_, i) => [2 + space.length + i, 2 + i])]
  return s.reshape(s.transpose(open, order), [n, channels, ...space.map((size) => size * factor)])
})

/**
 * Space to channels, the inverse of {@link pixelShuffle}: `[N, C, H·f, W·f] → [N, C·f², H, W]`.
 *
 * @since 0.1.0
 * @category resizing
 */
export const pixelUnshuffle: typeof pixelShuffle = dual(2, (x: Tensor, factor: number) => {
  const [n, c, ...space] = x.shape
  spatial("pixelUnshuffle", [x])
  whole("pixelUnshuffle", x, factor)
  if (space.some((size) => size % factor !== 0)) {
    throw check.shapeError(
      "pixelUnshuffle",
      [x],
      `the spatial sizes ${Shapes.show(space)} do not divide by ${factor}`
    )
  }
  const open = s.reshape(x, [n, c, ...space.flatMap((size) => [size / factor, factor])])
  const order = [0, 1, ...space.map((_, i) => 3 + 2 * i), ...space.map((_, i) => 2 + 2 * i)]
  return s.reshape(s.transpose(open, order), [
    n,
    c * factor ** space.length,
    ...space.map((size) => size / factor)
  ])
})
