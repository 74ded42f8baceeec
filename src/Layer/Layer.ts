/**
 * Layers as values.
 *
 * A layer is a tree of parameters and a pure function of their values and an input. Nothing is registered anywhere and nothing is
 * initialised by being made. A network is a layer made of layers:
 *
 * ```ts
 * const block = Layer.make(
 *   { conv: Conv.make({ in: 8, out: 8, kernel: 3 }), norm: Norm.group({ channels: 8, groups: 4 }) },
 *   ({ conv, norm }, x: Layer.Features<8>) => Tensor.add(x, Tensor.silu(norm(conv(x))))
 * )
 * const weights = Parameter.init(block.parameters, 7)
 * ```
 *
 * Its parameters are `conv.weight`, `conv.bias`, `norm.weight` and `norm.bias`.
 *
 * @since 0.1.0
 */

import type { Outcome } from "../Solver/Integration.ts"
import type { Float } from "../Tensor/DType.ts"
import { type Program, type Random, Shape, Tensor, TensorError, Tree } from "../Tensor/index.ts"
import { join } from "./internal/path.ts"
import { place } from "./internal/place.ts"
import { ConfigError } from "./LayerError.ts"
import type { Parameter } from "./Parameter.ts"

/**
 * What goes down through all layers beside the input.
 *
 * @since 0.1.0
 * @category models
 */
export interface Context {
  /**
   * Where the randomness of training comes from. Each layer gets its own, from the names above it; one that is applied twice gets
   * the same twice. Without a key layers are deterministic: dropout does nothing.
   */
  readonly key?: Random.Key
  /** The layer's own path from the root; empty unless told. */
  readonly path?: string
  readonly observer?: Observer
}

/**
 * Who is told what is applied within a layer, and how (see `Summary`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Observer {
  /** Called before a layer is applied; what it returns, after. */
  readonly entered: (path: string, layer: Any) => (application: Application) => void
  /** Called for each differential equation. */
  readonly integrated: (path: string, integration: Integration) => void
}

/**
 * What a layer was given, and gave: trees of tensors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Application {
  readonly values: unknown
  readonly input: unknown
  readonly condition: unknown
  readonly output: unknown
}

/**
 * How a differential equation within a network was integrated.
 *
 * @since 0.1.0
 * @category models
 */
export interface Integration {
  /** Of the method. */
  readonly name: string
  readonly outcome: Omit<Outcome<unknown, Tensor.Any>, "saved">
  /** Evaluations of the derivative, where they are known beforehand: with fixed steps. */
  readonly evaluations: number | undefined
  /** Applies the derivative once, where the equation begins, for an observer of its own. */
  readonly once: (observer: Observer) => void
}

/**
 * The values of parameters: a tree of tensors of the same structure.
 *
 * @since 0.1.0
 * @category types
 */
export type Values<P> = 0 extends 1 & P ? any : Program.Tensors<P>

/** Conditions that a layer does not need may be left out. */
type Given<C> = unknown extends C
  ? readonly [condition?: C, context?: Context]
  : readonly [condition: C, context?: Context]

/**
 * A function from inputs `I` to outputs `O` with parameters `P`. Beside the input it may need a condition `C`, such as an embedding
 * of the diffusion's time.
 *
 * Types say `float32`; `apply` computes in whatever dtype its values and its input have (see {@link cast}).
 *
 * @since 0.1.0
 * @category models
 */
export interface Layer<P, I, O, C = unknown> {
  /** What it is, in a word or two, for people: `conv 3×3`. */
  readonly kind?: string
  readonly parameters: P
  readonly apply: (values: Values<P>, input: I, ...given: Given<C>) => O
}

/**
 * A layer of whatever kind.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Layer<any, any, any, any>

/**
 * A layer that keeps the shape of what it is given, whichever that is, of those that fit `W`: activations, dropout, norms. In a
 * sequence the shape that it is given goes on to the next layer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Preserving<P, W extends Shape.Shape = Shape.Shape>
  extends Layer<P, Tensor.Tensor<W>, Tensor.Tensor<W>> {
  readonly apply: <S extends W>(
    values: Values<P>,
    input: Tensor.Tensor<S>,
    ...given: Given<unknown>
  ) => Tensor.Tensor<S>
}

/**
 * A layer that changes spatial sizes alone, whatever the other axes and however many there are.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resizing<P> extends Layer<P, Tensor.Tensor, Tensor.Tensor> {
  readonly apply: <S extends Shape.Shape>(
    values: Values<P>,
    input: Tensor.Tensor<S>,
    ...given: Given<unknown>
  ) => Tensor.Tensor<Resized<S>>
}

/**
 * A shape with other spatial sizes.
 *
 * @since 0.1.0
 * @category types
 */
export type Resized<S extends Shape.Shape> = number extends S["length"]
  ? Shape.Shape
  : { readonly [K in keyof S]: K extends "0" | "1" ? S[K] : number }

/**
 * The shapes that have `C` channels, however many spatial axes there are; where the number is not known, all.
 *
 * @since 0.1.0
 * @category types
 */
export type Channels<C extends number> = number extends C
  ? Shape.Shape
  : readonly [number, C, ...ReadonlyArray<number>]

/**
 * Images, signals or volumes of `C` channels, `[batch, channels, …spatial]` with `Dims` spatial axes.
 *
 * @since 0.1.0
 * @category models
 */
export type Features<C extends number = number, Dims extends number = 2> = Tensor.Tensor<
  FeatureShape<C, Dims>
>

type FeatureShape<C extends number, Dims extends number> = number extends Dims
  ? Shape.Shape
  : Dims extends 1
    ? readonly [number, C, number]
    : Dims extends 2
      ? readonly [number, C, number, number]
      : Dims extends 3
        ? readonly [number, C, number, number, number]
        : Shape.Shape

/**
 * @since 0.1.0
 * @category guards
 */
export const isLayer = (u: unknown): u is Any =>
  typeof u === "object" && u !== null && "parameters" in u && "apply" in u

/**
 * The parameters of a tree of layers and parameters.
 *
 * @since 0.1.0
 * @category types
 */
export type Parameters<T> =
  T extends Layer<infer P, any, any, any>
    ? P
    : T extends Parameter
      ? T
      : { readonly [K in keyof T]: Parameters<T[K]> }

/**
 * A tree of layers and parameters, with their values in place: layers are functions, parameters tensors.
 *
 * @since 0.1.0
 * @category types
 */
export type Bound<T> =
  T extends Layer<any, infer I, infer O, infer C>
    ? Kind<T> extends { readonly keeps: infer W extends Shape.Shape }
      ? <S extends W>(input: Tensor.Tensor<S>, condition?: unknown) => Tensor.Tensor<S>
      : Kind<T> extends "resizes"
        ? <S extends Shape.Shape>(
            input: Tensor.Tensor<S>,
            condition?: unknown
          ) => Tensor.Tensor<Resized<S>>
        : unknown extends C
          ? (input: I, condition?: C) => O
          : (input: I, condition: C) => O
    : T extends Parameter<infer S, infer D>
      ? Tensor.Tensor<S, D>
      : { readonly [K in keyof T]: Bound<T[K]> }

/** Which shapes a layer takes: of some kind all, of other layers one. */
type Kind<L> =
  IsAny<OutputOf<L>> extends true
    ? "fixed"
    : [L] extends [Preserving<any, infer W>]
      ? { readonly keeps: W }
      : [L] extends [Resizing<any>]
        ? "resizes"
        : "fixed"

type IsAny<T> = [T] extends [never] ? true : 0 extends 1 & T ? true : false

type InputOf<L> = L extends Layer<any, infer I, any, any> ? I : never
type OutputOf<L> = L extends Layer<any, any, infer O, any> ? O : never
type ConditionOf<L> = L extends Layer<any, any, any, infer C> ? C : never

/** For messages: dtype and shape. */
type Show<T> =
  T extends Tensor.Tensor<infer S, infer D> ? `${D} ${Shape.Show<S>}` : "what is no tensor"

/** What a layer gives for an input of some type, or why it does not take that. */
type Step<L, I, N extends number> =
  Kind<L> extends { readonly keeps: infer W extends Shape.Shape }
    ? [I] extends [Shape.Shape extends W ? Whichever : Tensor.Tensor<W>]
      ? I
      : Refusal<N, Tensor.Tensor<W>, I>
    : Kind<L> extends "resizes"
      ? [I] extends [Tensor.Tensor<infer S>]
        ? Tensor.Tensor<Resized<S>>
        : Refusal<N, Tensor.Tensor, I>
      : [I] extends [InputOf<L>]
        ? OutputOf<L>
        : Refusal<N, InputOf<L>, I>

/** A tensor of any shape, also of one that hangs on a type parameter. */
type Whichever = { readonly shape: unknown; readonly dtype: "float32" }

type Refusal<
  N extends number,
  Wanted,
  Found
> = Shape.Mismatch<`layer ${N} takes ${Show<Wanted>}, but is given ${Show<Found>}`>

const isParameter = (u: object): u is Parameter => "shape" in u && "dtype" in u

const children = (tree: object): ReadonlyArray<readonly [string, object]> => Object.entries(tree)

const rebuilt = (tree: object, entries: ReadonlyArray<readonly [string, unknown]>): unknown =>
  Array.isArray(tree) ? entries.map(([, value]) => value) : Object.fromEntries(entries)

const parametersOf = (tree: object): unknown =>
  isLayer(tree)
    ? tree.parameters
    : isParameter(tree)
      ? tree
      : rebuilt(
          tree,
          children(tree).map(([name, child]) => [requireName(name), parametersOf(child)])
        )

/** Throws for a name that could not be told from a path. */
const requireName = (name: string): string => {
  if (!name.includes(".") && name !== "") return name
  throw new ConfigError({
    what: "Layer.make",
    path: name,
    message: `Layer.make: "${name}" cannot be the name of a part: paths are names with dots between; take a record within a record`
  })
}

const bindAll = (tree: object, values: unknown, context: Context, name: string): unknown =>
  isLayer(tree)
    ? place(tree, values, context, name)
    : isParameter(tree)
      ? values
      : rebuilt(
          tree,
          children(tree).map(([key, child]) => [
            key,
            bindAll(child, (values as Record<string, unknown>)[key], context, join(name, key))
          ])
        )

/**
 * A layer out of layers and parameters, in records and arrays as one likes: `forward` gets them with their values in place, the
 * input, and the condition, which it hands on to those that need it. Throws `ConfigError` for names with a dot.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const T extends object, I, O, C = unknown>(
  parts: T,
  forward: (parts: Bound<T>, input: I, condition: C, context: Context) => O,
  options: { readonly kind?: string } = {}
): Layer<Parameters<T>, I, O, C> => ({
  ...options,
  parameters: parametersOf(parts) as Parameters<T>,
  apply: (values, input, ...[condition, context = {}]) =>
    forward(bindAll(parts, values, context, "") as Bound<T>, input, condition as C, context)
})

/**
 * A function without parameters as a layer: `Layer.of(Tensor.silu)`. A function that keeps any shape makes a layer that does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of: {
  /** One that keeps the shape, whichever it is. */
  (
    f: <S extends Shape.Shape>(input: Tensor.Tensor<S>) => Tensor.Tensor<S>,
    options?: { readonly kind?: string }
  ): Preserving<{}>
  <I, O>(f: (input: I) => O, options?: { readonly kind?: string }): Layer<{}, I, O>
} = (f: (input: never) => unknown, options: { readonly kind?: string } = {}): never =>
  ({ ...options, parameters: {}, apply: (_: {}, input: never) => f(input) }) as never

/**
 * The input itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const identity: {
  (): Preserving<{}>
  <I>(): Layer<{}, I, I>
} = (): never => of((input: unknown) => input) as never

/** What the first layer is given: what the first of those takes that take one shape alone, and those before it. */
type Start<
  L extends ReadonlyArray<unknown>,
  W extends Shape.Shape = Shape.Shape
> = number extends L["length"]
  ? Kind<L[number]> extends "fixed"
    ? InputOfAll<L[number]>
    : Tensor.Tensor<Narrower<L[number], W>>
  : L extends readonly [infer First, ...infer Others]
    ? Kind<First> extends "fixed"
      ? [Tensor.Tensor<W>] extends [InputOf<First>]
        ? Tensor.Tensor<W>
        : InputOf<First>
      : Start<Others, Narrower<First, W>>
    : Tensor.Tensor<W>

/** Of the shapes that layers keep, those that all of them do. */
type Narrowest<
  L extends ReadonlyArray<unknown>,
  W extends Shape.Shape = Shape.Shape
> = L extends readonly [infer First, ...infer Others]
  ? Narrowest<Others, Narrower<First, W>>
  : number extends L["length"]
    ? Narrower<L[number], W>
    : W

type Narrower<L, W extends Shape.Shape> =
  Kind<L> extends { readonly keeps: infer V extends Shape.Shape } ? (V extends W ? V : W) : W

/** For each layer `unknown` if it takes what the one before gives, or else why not. */
type Fitting<
  L extends ReadonlyArray<unknown>,
  I,
  Before extends ReadonlyArray<unknown> = []
> = L extends readonly [infer First, ...infer Others]
  ? Step<First, I, Place<Before>> extends infer O
    ? O extends Shape.Mismatch<string>
      ? readonly [...Before, O, ...{ readonly [K in keyof Others]: unknown }]
      : Fitting<Others, O, readonly [...Before, unknown]>
    : never
  : number extends L["length"]
    ? Step<L[number], Step<L[number], I, 1>, 2> extends infer O
      ? O extends Shape.Mismatch<string>
        ? ReadonlyArray<O>
        : unknown
      : never
    : unknown

type Place<Before extends ReadonlyArray<unknown>> = [...Before, unknown]["length"] & number

/** What a sequence gives. */
type Last<L extends ReadonlyArray<unknown>, I> = L extends readonly [infer First, ...infer Others]
  ? Last<Others, Step<First, I, 0>>
  : number extends L["length"]
    ? Step<L[number], I, 0>
    : I

type Sequence<L extends ReadonlyArray<unknown>> =
  KindOfAll<L> extends "keeps"
    ? Preserving<Parameters<L>, Narrowest<L>>
    : KindOfAll<L> extends "resizes"
      ? Resizing<Parameters<L>>
      : Layer<Parameters<L>, Start<L>, Last<L, Start<L>>, ConditionOfAll<L>>

type KindOfAll<L extends ReadonlyArray<unknown>, Sofar = "keeps"> = L extends readonly [
  infer First,
  ...infer Others
]
  ? Kind<First> extends "fixed"
    ? "fixed"
    : KindOfAll<Others, Kind<First> extends "resizes" ? "resizes" : Sofar>
  : number extends L["length"]
    ? Kind<L[number]> extends "fixed"
      ? "fixed"
      : Kind<L[number]> extends "resizes"
        ? "resizes"
        : Sofar
    : Sofar

type InputOfAll<L> = [L] extends [Layer<any, infer I, any, any>] ? I : never

type ConditionOfAll<L extends ReadonlyArray<unknown>> = L extends readonly [
  infer First,
  ...infer Others
]
  ? ConditionOf<First> & ConditionOfAll<Others>
  : number extends L["length"]
    ? [L[number]] extends [Layer<any, any, any, infer C>]
      ? C
      : never
    : unknown

/**
 * One after the other; the condition goes to each of them. Parameters are numbered: `0.weight`, `1.weight`.
 *
 * ```ts
 * const stem = Layer.sequence(
 *   Conv.make({ in: 1, out: 8, kernel: 3 }),
 *   Norm.group({ channels: 8, groups: 4 }),
 *   Layer.of(Tensor.silu),
 *   Conv.make({ in: 8, out: 8, kernel: 3 })
 * )
 * ```
 *
 * Where a layer does not take what the one before gives, the compiler says which, and the two shapes.
 *
 * @since 0.1.0
 * @category combinators
 */
export const sequence: <const L extends ReadonlyArray<Any>>(
  ...layers: L & Fitting<L, Start<L>>
) => Sequence<L> = (...layers: ReadonlyArray<Any>): never =>
  make(layers, (bound, input, condition) =>
    (bound as ReadonlyArray<(input: unknown, condition: unknown) => unknown>).reduce(
      (x, layer) => layer(x, condition),
      input
    )
  ) as never

/** `unknown` if a layer keeps the shape, or else what it does to it. */
type Keeping<L> =
  Kind<L> extends { readonly keeps: Shape.Shape }
    ? unknown
    : [OutputOf<L>] extends [InputOf<L>]
      ? Kind<L> extends "resizes"
        ? Shape.Mismatch<"a residual keeps the shape, but the layer changes spatial sizes">
        : unknown
      : Shape.Mismatch<`a residual keeps the shape, but the layer makes ${Show<OutputOf<L>>} of ${Show<InputOf<L>>}`>

type Residual<L> =
  Kind<L> extends { readonly keeps: infer W extends Shape.Shape }
    ? Preserving<Parameters<L>, W>
    : Layer<Parameters<L>, InputOf<L>, OutputOf<L>, ConditionOf<L>>

/**
 * x + f(x) (He et al. 2015, arXiv:1512.03385). Parameters are those of f. Throws `ShapeError` where f changes the shape, even if the
 * sum could be broadcast.
 *
 * @since 0.1.0
 * @category combinators
 */
export const residual: <const L extends Any>(layer: L & Keeping<L>) => Residual<L> = ((
  layer: Any
): Any => ({
  ...layer,
  apply: (values, x, ...given) => {
    const y = layer.apply(values, x, ...given)
    if (!Shape.equals(x.shape, y.shape)) {
      throw new TensorError.ShapeError({
        operation: "Layer.residual",
        shapes: [x.shape, y.shape],
        message: `Layer.residual: the layer makes ${Shape.show(y.shape)} of ${Shape.show(x.shape)}; it must keep the shape`
      })
    }
    return Tensor.add(x, y)
  }
})) as never

type Branches = Readonly<Record<string, Any>>

/** What all functions of a record take: an intersection, of which `unknown` takes nothing away, as it would of a union. */
type Both<T> = T[keyof T] extends (all: infer All) => void ? All : never
type Inputs<L> =
  Both<{ readonly [K in keyof L]: (input: Demanded<L[K]>) => void }> extends infer I
    ? unknown extends I
      ? Tensor.Tensor
      : I
    : never

/** What a layer takes; nothing in particular where it takes all shapes. */
type Demanded<L> =
  Kind<L> extends "fixed"
    ? InputOf<L>
    : Shape.Shape extends Narrower<L, Shape.Shape>
      ? unknown
      : InputOf<L>
type Conditions<L> = Both<{ readonly [K in keyof L]: (condition: ConditionOf<L[K]>) => void }>

/**
 * Several layers of one input, and a record of what they give.
 *
 * @since 0.1.0
 * @category combinators
 */
export const branch = <const L extends Branches>(
  layers: L
): Layer<
  Parameters<L>,
  Inputs<L>,
  { readonly [K in keyof L]: Step<L[K], Inputs<L>, 0> },
  Conditions<L>
> =>
  make(layers, (bound, input, condition) =>
    Object.fromEntries(
      Object.entries(bound).map(([name, layer]) => [
        name,
        (layer as (input: unknown, condition: unknown) => unknown)(input, condition)
      ])
    )
  ) as never

type InputsOf<L extends ReadonlyArray<unknown>> = number extends L["length"]
  ? InputOfAll<L[number]>
  : Inputs<{ readonly [K in keyof L & `${number}`]: L[K] }>

/** Tensors side by side: of their sizes types know nothing but how many there are. */
type Beside<L extends ReadonlyArray<unknown>> =
  StepOfEach<L[number], InputsOf<L>> extends Tensor.Tensor<infer S>
    ? Tensor.Tensor<Shape.SameRank<S>>
    : Tensor.Tensor

type StepOfEach<L, I> = L extends unknown ? Step<L, I, 0> : never

/**
 * Several layers of one input, and what they give side by side along an axis, that of the channels unless told.
 *
 * @since 0.1.0
 * @category combinators
 */
export const concat = <const L extends ReadonlyArray<Any>>(
  layers: L,
  options: { readonly axis?: number } = {}
): Layer<Parameters<L>, InputsOf<L>, Beside<L>, ConditionOfAll<L>> =>
  make(layers as ReadonlyArray<Any>, (bound, input, condition) =>
    Tensor.concat(
      (bound as ReadonlyArray<(input: unknown, condition: unknown) => Tensor.Tensor>).map((layer) =>
        layer(input, condition)
      ),
      { axis: options.axis ?? 1 }
    )
  ) as never

/**
 * The tree `T` of tensors and parameters in another dtype; integers stay what they are.
 *
 * @since 0.1.0
 * @category types
 */
export type Cast<T, D extends Float> =
  T extends Parameter<infer S>
    ? Parameter<S, D>
    : T extends Tensor.Tensor<infer S, infer E>
      ? Tensor.Tensor<S, E extends Float ? D : E>
      : T extends object
        ? { readonly [K in keyof T]: Cast<T[K], D> }
        : T

/**
 * The same layer in another dtype: in `float64`, say, to compare it with an oracle.
 *
 * @since 0.1.0
 * @category combinators
 */
export const cast = <P, I, O, C, D extends Float>(
  layer: Layer<P, I, O, C>,
  dtype: D
): Layer<Cast<P, D>, Cast<I, D>, Cast<O, D>, Cast<C, D>> =>
  ({
    ...layer,
    parameters: Tree.remap(layer.parameters, (each: Parameter) => ({ ...each, dtype }))
  }) as never
