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
    ? unknown extends C
      ? (input: I, condition?: C) => O
      : (input: I, condition: C) => O
    : T extends Parameter<infer S, infer D>
      ? Tensor.Tensor<S, D>
      : { readonly [K in keyof T]: Bound<T[K]> }

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
 * A function without parameters as a layer: `Layer.of(Tensor.silu)`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = <I, O>(
  f: (input: I) => O,
  options: { readonly kind?: string } = {}
): Layer<{}, I, O> => ({
  ...options,
  parameters: {},
  apply: (_, input) => f(input)
})

/**
 * The input itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const identity = <I>(): Layer<{}, I, I> => of((input) => input)

/**
 * One after the other; the condition goes to each of them. Parameters are numbered: `0.weight`, `1.weight`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const sequence: {
  <P1, A, B, C1>(a: Layer<P1, A, B, C1>): Layer<readonly [P1], A, B, C1>
  <P1, P2, A, B, D, C1, C2>(
    a: Layer<P1, A, B, C1>,
    b: Layer<P2, B, D, C2>
  ): Layer<readonly [P1, P2], A, D, C1 & C2>
  <P1, P2, P3, A, B, D, E, C1, C2, C3>(
    a: Layer<P1, A, B, C1>,
    b: Layer<P2, B, D, C2>,
    c: Layer<P3, D, E, C3>
  ): Layer<readonly [P1, P2, P3], A, E, C1 & C2 & C3>
  <P1, P2, P3, P4, A, B, D, E, F, C1, C2, C3, C4>(
    a: Layer<P1, A, B, C1>,
    b: Layer<P2, B, D, C2>,
    c: Layer<P3, D, E, C3>,
    d: Layer<P4, E, F, C4>
  ): Layer<readonly [P1, P2, P3, P4], A, F, C1 & C2 & C3 & C4>
  <P1, P2, P3, P4, P5, A, B, D, E, F, G, C1, C2, C3, C4, C5>(
    a: Layer<P1, A, B, C1>,
    b: Layer<P2, B, D, C2>,
    c: Layer<P3, D, E, C3>,
    d: Layer<P4, E, F, C4>,
    e: Layer<P5, F, G, C5>
  ): Layer<readonly [P1, P2, P3, P4, P5], A, G, C1 & C2 & C3 & C4 & C5>
  <P1, P2, P3, P4, P5, P6, A, B, D, E, F, G, H, C1, C2, C3, C4, C5, C6>(
    a: Layer<P1, A, B, C1>,
    b: Layer<P2, B, D, C2>,
    c: Layer<P3, D, E, C3>,
    d: Layer<P4, E, F, C4>,
    e: Layer<P5, F, G, C5>,
    f: Layer<P6, G, H, C6>
  ): Layer<readonly [P1, P2, P3, P4, P5, P6], A, H, C1 & C2 & C3 & C4 & C5 & C6>
  /** Any number of layers that keep the type of what they are given. */
  <P, A, C1 = unknown>(
    ...layers: ReadonlyArray<Layer<P, A, A, C1>>
  ): Layer<ReadonlyArray<P>, A, A, C1>
} = (...layers: ReadonlyArray<Any>): never =>
  make(layers, (bound, input, condition) =>
    (bound as ReadonlyArray<(input: unknown, condition: unknown) => unknown>).reduce(
      (x, layer) => layer(x, condition),
      input
    )
  ) as never

/**
 * x + f(x) (He et al. 2015, arXiv:1512.03385). Parameters are those of f. Throws `ShapeError` where f changes the shape, even if the
 * sum could be broadcast.
 *
 * @since 0.1.0
 * @category combinators
 */
export const residual = <P, S extends Shape.Shape, C = unknown>(
  layer: Layer<P, Tensor.Tensor<S>, Tensor.Tensor<S>, C>
): Layer<P, Tensor.Tensor<S>, Tensor.Tensor<S>, C> => ({
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
    return Tensor.add(x as Tensor.Tensor, y) as Tensor.Tensor<S>
  }
})

type Branches = Readonly<Record<string, Any>>
type InputOf<L> = L extends Layer<any, infer I, any, any> ? I : never
type OutputOf<L> = L extends Layer<any, any, infer O, any> ? O : never
type ConditionOf<L> = L extends Layer<any, any, any, infer C> ? C : never

/** What all functions of a record take: an intersection, of which `unknown` takes nothing away, as it would of a union. */
type Both<T> = T[keyof T] extends (all: infer All) => void ? All : never
type Inputs<L> = Both<{ readonly [K in keyof L]: (input: InputOf<L[K]>) => void }>
type Conditions<L> = Both<{ readonly [K in keyof L]: (condition: ConditionOf<L[K]>) => void }>

/**
 * Several layers of one input, and a record of what they give.
 *
 * @since 0.1.0
 * @category combinators
 */
export const branch = <const L extends Branches>(
  layers: L
): Layer<Parameters<L>, Inputs<L>, { readonly [K in keyof L]: OutputOf<L[K]> }, Conditions<L>> =>
  make(layers, (bound, input, condition) =>
    Object.fromEntries(
      Object.entries(bound).map(([name, layer]) => [
        name,
        (layer as (input: unknown, condition: unknown) => unknown)(input, condition)
      ])
    )
  ) as never

/**
 * Several layers of one input, and what they give side by side along an axis, that of the channels unless told.
 *
 * @since 0.1.0
 * @category combinators
 */
export const concat = <P, I, S extends Shape.Shape, C = unknown>(
  layers: ReadonlyArray<Layer<P, I, Tensor.Tensor<S>, C>>,
  options: { readonly axis?: number } = {}
): Layer<ReadonlyArray<P>, I, Tensor.Tensor, C> =>
  make(layers as ReadonlyArray<Any>, (bound, input: I, condition: C) =>
    Tensor.concat(
      (bound as ReadonlyArray<(input: I, condition: C) => Tensor.Tensor>).map((layer) =>
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
