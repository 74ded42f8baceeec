/**
 * Programs: functions from trees of arrays to trees of arrays, closed and ready for a device.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { DType } from "./DType.ts"
import { type HostArray, is, type Spec, type Tensor } from "./Expression.ts"
import * as Graph from "./Graph.ts"
import * as check from "./internal/check.ts"
import { constant, input } from "./primitive/structure.ts"
import type { Shape } from "./Shape.ts"
import { isTensorError, ShapeError, type TensorError } from "./TensorError.ts"
import * as Tree from "./Tree.ts"

/**
 * The tree `T` of specs as a tree of tensors.
 *
 * @since 0.1.0
 * @category types
 */
export type Tensors<T> =
  T extends Spec<infer S, infer D> ? Tensor<S, D> : { readonly [K in keyof T]: Tensors<T[K]> }

/**
 * The tree `T` of tensors or specs as a tree of specs.
 *
 * @since 0.1.0
 * @category types
 */
export type Specs<T> =
  T extends Spec<infer S, infer D> ? Spec<S, D> : { readonly [K in keyof T]: Specs<T[K]> }

/**
 * The tree `T` of tensors or specs as a tree of arrays on the host.
 *
 * @since 0.1.0
 * @category types
 */
export type HostArrays<T> =
  T extends Spec<infer S, infer D> ? HostArray<S, D> : { readonly [K in keyof T]: HostArrays<T[K]> }

/**
 * A function from arrays of the specs in `I` to arrays of the specs in `O`, not yet bound to a
 * device. Its graph is canonical (see `Graph`), so equal programs compile once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Program<out I, out O> {
  readonly name: string
  readonly inputs: I
  readonly outputs: O
  readonly graph: Graph.Graph
  /** The inputs' and outputs' paths in their trees: `state.weights.0`. */
  readonly inputNames: ReadonlyArray<string>
  readonly outputNames: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export interface Options {
  /** Shown in errors, profiles and model files. */
  readonly name?: string
}

/**
 * A program from a function on tensors. `inputs` is a tree of specs (tensors and host arrays will
 * do); `f` gets the same tree of tensors and gives a tree of tensors.
 *
 * Fails with what is wrong with the expression: `ShapeError`, `DTypeError`, `GradientError`; also if `f`
 * uses an input of another program.
 *
 * ```ts
 * const program = Program.make(
 *   { x: Tensor.spec([64, 2]), w: Tensor.spec([2, 1]) },
 *   ({ x, w }) => Tensor.matmul(x, w)
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const I, const O>(
  inputs: I,
  f: (inputs: Tensors<I>) => O,
  options?: Options
): Effect.Effect<Program<Specs<I>, Specs<O>>, TensorError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(makeUnsafe(inputs, f, options))
    } catch (error) {
      if (isTensorError(error)) return Effect.fail(error)
      throw error
    }
  })

/**
 * Like {@link make}, but throws the error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeUnsafe = <const I, const O>(
  inputs: I,
  f: (inputs: Tensors<I>) => O,
  options?: Options
): Program<Specs<I>, Specs<O>> => {
  const parameters = Tree.remap<Tensors<I>>(inputs, (leaf: Spec | undefined | null, path) => {
    const { shape, dtype } = leaf ?? {}
    if (shape === undefined || dtype === undefined) {
      throw new ShapeError({
        operation: "Program.make",
        shapes: [],
        message: `Program.make: the input "${path}" has no shape and dtype; make a spec with Tensor.spec`
      })
    }
    return input(path || "input", shape, dtype)
  })
  const results = f(parameters)
  const specs = <T>(tree: T): Specs<T> =>
    Tree.remap(tree, ({ shape, dtype }: Spec) => ({ shape, dtype }))
  const graph = Graph.make(
    check.leaves("Program.make: inputs", parameters),
    check.leaves("Program.make: result", results)
  )
  const own = new Set(graph.inputs.map((each) => each.node))
  for (const node of graph.nodes) {
    if (is(node, "input") && !own.has(node)) {
      throw new ShapeError({
        operation: "Program.make",
        shapes: [node.attributes.shape],
        message: `Program.make: the result depends on "${node.attributes.name}", an input of another program or loop; pass it in as an input of this one (to a rule of Gradient.custom inside a loop, too)`
      })
    }
  }
  const names = (tree: unknown) => Tree.entries<Spec>(tree).map(([path]) => path)
  return {
    name: options?.name ?? "program",
    inputs: specs(inputs),
    outputs: specs(results),
    graph,
    inputNames: names(inputs),
    outputNames: names(results)
  }
}

/**
 * A shape and a dtype, `float32` unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const spec = <const S extends Shape, const D extends DType = "float32">(
  shape: S,
  dtype?: D
): Spec<S, NoInfer<D>> => ({
  shape,
  dtype: dtype ?? ("float32" as D)
})

/**
 * A tree of host arrays as a tree of constants: what it holds becomes part of the program, which devices may
 * prepare when they compile it. For the weights of a network that is only run, not trained.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constants = <const T>(tree: T): Tensors<T> =>
  Tree.remap<Tensors<T>>(tree, (host: HostArray) => constant(host))
