/**
 * Shapes, at run time and in types.
 *
 * A shape is a tuple of literal numbers where they are known and `number` where they are not, so
 * that mismatched ranks, channels and matrix dimensions are type errors. No type here computes
 * with the *values* of dimensions (that is slow to check and breaks early): what values decide, the
 * run-time check decides.
 *
 * @since 0.1.0
 */

/**
 * Sizes of the axes, outermost first; `[]` is a scalar.
 *
 * @since 0.1.0
 * @category models
 */
export type Shape = ReadonlyArray<number>

/**
 * What a type-level shape rule gives when shapes do not fit: a sentence instead of `never`, shown by
 * the compiler at the argument that is wrong.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mismatch<Message extends string> {
  readonly "shapes do not fit": Message
}

/**
 * A shape as the compiler prints it in messages.
 *
 * @since 0.1.0
 * @category types
 */
export type Show<S extends Shape> = `[${Join<S>}]`

type Join<S extends Shape> = S extends readonly []
  ? ""
  : S extends readonly [infer Only extends number]
    ? `${Only}`
    : S extends readonly [infer Head extends number, ...infer Tail extends Shape]
      ? `${Head}, ${Join<Tail>}`
      : "…"

/**
 * `unknown` if a rule gave a shape, its {@link Mismatch} if it did not: intersected with an
 * argument's type it turns a misfit into an error at that argument.
 *
 * @since 0.1.0
 * @category types
 */
export type Fits<Result> = Result extends Mismatch<string> ? Result : unknown

/**
 * The shape a rule gave; a misfit was reported at the argument already.
 *
 * @since 0.1.0
 * @category types
 */
export type Ok<Result> = Result extends Shape ? Result : Shape

type Dim<A extends number, B extends number> = A extends 1
  ? B
  : B extends 1
    ? A
    : number extends A
      ? B
      : number extends B
        ? A
        : A extends B
          ? A
          : never

/**
 * NumPy's broadcasting rule: axes are aligned at the end, and sizes must be equal or one of them 1.
 *
 * @since 0.1.0
 * @category types
 */
export type Broadcast<A extends Shape, B extends Shape> = number extends A["length"]
  ? Shape
  : number extends B["length"]
    ? Shape
    : BroadcastFrom<A, B, [], A, B>

type BroadcastFrom<
  A extends Shape,
  B extends Shape,
  Done extends Shape,
  A0 extends Shape,
  B0 extends Shape
> = A extends readonly [...infer AInit extends Shape, infer ALast extends number]
  ? B extends readonly [...infer BInit extends Shape, infer BLast extends number]
    ? [Dim<ALast, BLast>] extends [never]
      ? Mismatch<`${Show<A0>} cannot be broadcast with ${Show<B0>}`>
      : BroadcastFrom<AInit, BInit, [Dim<ALast, BLast>, ...Done], A0, B0>
    : readonly [...A, ...Done]
  : readonly [...B, ...Done]

/**
 * Batched matrix product: `[…, M, K] × […, K, N] → […, M, N]`, batch axes broadcast.
 *
 * @since 0.1.0
 * @category types
 */
export type MatMul<A extends Shape, B extends Shape> = number extends A["length"]
  ? Shape
  : number extends B["length"]
    ? Shape
    : A extends readonly [
          ...infer ABatch extends Shape,
          infer M extends number,
          infer K extends number
        ]
      ? B extends readonly [
          ...infer BBatch extends Shape,
          infer K2 extends number,
          infer N extends number
        ]
        ? [Same<K, K2>] extends [never]
          ? Mismatch<`${Show<A>} times ${Show<B>}: the inner sizes ${K} and ${K2} differ`>
          : Broadcast<ABatch, BBatch> extends infer Batch
            ? Batch extends Shape
              ? readonly [...Batch, M, N]
              : Batch
            : never
        : Mismatch<`${Show<A>} times ${Show<B>}: a matrix needs two axes`>
      : Mismatch<`${Show<A>} times ${Show<B>}: a matrix needs two axes`>

type Same<A extends number, B extends number> = number extends A
  ? B
  : number extends B
    ? A
    : A extends B
      ? A
      : never

/**
 * The rank of a shape: a literal where it is known.
 *
 * @since 0.1.0
 * @category types
 */
export type Rank<S extends Shape> = S["length"]

type Negative<N extends number> = `-${N}` extends `${infer M extends number}` ? M : never

/**
 * The shape after reducing `Axes` (one axis, several, or all when it is `undefined`).
 *
 * @since 0.1.0
 * @category types
 */
export type Reduce<S extends Shape, Axes, Keep extends boolean = false> = number extends S["length"]
  ? Shape
  : [Axes] extends [undefined]
    ? Keep extends true
      ? { readonly [I in keyof S]: 1 }
      : readonly []
    : Axes extends number
      ? number extends Axes
        ? Shape
        : ReduceFrom<S, Axes, Keep, [], S>
      : Axes extends readonly [...infer Each extends ReadonlyArray<number>]
        ? number extends Axes["length"]
          ? Shape
          : ReduceFrom<S, Each[number], Keep, [], S>
        : Shape

type ReduceFrom<
  S extends Shape,
  Axes extends number,
  Keep extends boolean,
  Before extends Shape,
  Rest extends Shape
> = Rest extends readonly [infer Head extends number, ...infer Tail extends Shape]
  ? readonly [
      ...(Before["length"] extends Axes
        ? Kept<Keep>
        : Negative<Rest["length"]> extends Axes
          ? Kept<Keep>
          : [Head]),
      ...ReduceFrom<S, Axes, Keep, [...Before, 0], Tail>
    ]
  : readonly []

type Kept<Keep extends boolean> = Keep extends true ? [1] : []

/**
 * The shape with its axes in a new order.
 *
 * @since 0.1.0
 * @category types
 */
export type Permute<S extends Shape, P extends Shape> = number extends S["length"]
  ? Shape
  : number extends P["length"]
    ? Shape
    : P["length"] extends S["length"]
      ? {
          readonly [I in keyof P]: `${P[I]}` extends `-${string}`
            ? number
            : S[P[I] & keyof S] & number
        }
      : Mismatch<`${Show<S>} cannot be permuted by ${Show<P>}: one entry for each axis is needed`>

/**
 * The same rank, sizes unknown.
 *
 * @since 0.1.0
 * @category types
 */
export type SameRank<S extends Shape> = { readonly [I in keyof S]: number }

/**
 * Convolution, channels first: `[N, C, …] * [O, C/groups, …] → [N, O, …]`; sizes of the spatial axes
 * survive in the type only where `Same` says that they do not change.
 *
 * @since 0.1.0
 * @category types
 */
export type Conv<
  X extends Shape,
  W extends Shape,
  Grouped extends boolean,
  Keeps extends boolean
> = number extends X["length"]
  ? Shape
  : number extends W["length"]
    ? Shape
    : X extends readonly [
          infer N extends number,
          infer C extends number,
          ...infer Space extends Shape
        ]
      ? W extends readonly [
          infer O extends number,
          infer C2 extends number,
          ...infer Kernel extends Shape
        ]
        ? Kernel["length"] extends Space["length"]
          ? [Grouped extends true ? C : Same<C, C2>] extends [never]
            ? Mismatch<`${Show<X>} has ${C} channels, but the kernel ${Show<W>} takes ${C2}`>
            : readonly [N, O, ...(Keeps extends true ? Space : SameRank<Space>)]
          : Mismatch<`${Show<X>} and the kernel ${Show<W>} have different numbers of spatial axes`>
        : Mismatch<`the kernel ${Show<W>} needs the axes [output, input, …spatial]`>
      : Mismatch<`${Show<X>} needs the axes [batch, channels, …spatial]`>

/**
 * `F`, told once `T` is known: what data-last overloads give.
 *
 * TypeScript puts off each call of something that may be a generic function with a function as its result, whichever of its
 * overloads is meant. Among the options of `Tensor.scan` that would be too late: `init: Tensor.add(x, 1)` would
 * leave the parameters of `step` without types.
 *
 * @since 0.1.0
 * @category types
 */
export type Later<T, F> = [T] extends [never] ? never : F

/**
 * Number of elements.
 *
 * @since 0.1.0
 * @category getters
 */
export const size = (shape: Shape): number => {
  let n = 1
  for (let i = 0; i < shape.length; i++) n *= shape[i]
  return n
}

/**
 * Row-major strides, in elements.
 *
 * @since 0.1.0
 * @category getters
 */
export const strides = (shape: Shape): Array<number> => {
  const result = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    result[i] = step
    step *= shape[i]
  }
  return result
}

/**
 * @since 0.1.0
 * @category guards
 */
export const equals = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i])

/**
 * The shape two shapes broadcast to by NumPy's rule, or `undefined` where they do not fit.
 *
 * @since 0.1.0
 * @category combinators
 */
export const broadcast = (a: Shape, b: Shape): Shape | undefined => {
  if (equals(a, b)) return a
  const rank = Math.max(a.length, b.length)
  const result = new Array<number>(rank)
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1) return undefined
    result[i] = x === 1 ? y : x
  }
  return result
}

/**
 * A shape for messages: `[2, 3]`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const show = (shape: Shape): string => `[${shape.join(", ")}]`
