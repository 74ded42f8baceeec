/**
 * Trees of parameters: shapes with initialisers, under stable, readable paths such as `down.0.conv1.weight`.
 *
 * A parameter is a spec (a shape and a dtype), so a tree of parameters can be the inputs of a `Program` as it is, and
 * the tree of a network's weights has the same structure.
 *
 * @since 0.1.0
 */
import type { Float } from "../Tensor/DType.ts"
import { Cost, HostRandom, type Program, Shape, type Tensor, Tree } from "../Tensor/index.ts"
import * as Initializer from "./Initializer.ts"
import { hash } from "./internal/path.ts"
import { ParameterError } from "./LayerError.ts"

/**
 * What a layer learns, or knows: a shape, a dtype and how it begins.
 *
 * @since 0.1.0
 * @category models
 */
export interface Parameter<out S extends Shape.Shape = Shape.Shape, out D extends Float = Float>
  extends Tensor.Spec<S, D> {
  readonly initializer: Initializer.Initializer
  /** Whether training moves it; a buffer is not trainable, but belongs to the network and its files. */
  readonly trainable: boolean
}

/**
 * Any tree of parameters.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Parameter | ReadonlyArray<Any> | { readonly [name: string]: Any }

/**
 * A parameter that is learned, `float32`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const S extends Shape.Shape>(
  shape: S,
  initializer: Initializer.Initializer
): Parameter<S, "float32"> => ({ shape, dtype: "float32", initializer, trainable: true })

/**
 * A parameter that is kept with the network, and not learned.
 *
 * @since 0.1.0
 * @category constructors
 */
export const buffer = <const S extends Shape.Shape>(
  shape: S,
  initializer: Initializer.Initializer
): Parameter<S, "float32"> => ({ ...make(shape, initializer), trainable: false })

/**
 * The values that a network begins with, on the host. Each parameter's draw depends on the seed and on its own path alone, so that
 * adding a layer to a network changes nothing elsewhere.
 *
 * ```ts
 * const weights = Parameter.init(network.parameters, 7)
 * ```
 *
 * Throws `ParameterError`, with the path, where an initialiser does not fit its shape.
 *
 * @since 0.1.0
 * @category initialisation
 */
export const init = <P>(
  parameters: P,
  seed: number | bigint | HostRandom.Key
): Program.HostArrays<P> => {
  const key = typeof seed === "object" ? seed : HostRandom.key(seed)
  return Tree.remap(parameters, ({ shape, dtype, initializer }: Parameter, path) => {
    try {
      const [a, b] = hash(path)
      const own = HostRandom.foldIn(HostRandom.foldIn(key, a), b)
      return Initializer.draw(own, shape, dtype, initializer(shape))
    } catch (error) {
      if (!(error instanceof ParameterError)) throw error
      const { reason, message } = error
      throw new ParameterError({ path, reason, message: `parameter "${path}": ${message}` })
    }
  })
}

/**
 * How many numbers a tree of parameters holds; `trainable` ones alone, if told so.
 *
 * @since 0.1.0
 * @category getters
 */
export const count = (
  parameters: unknown,
  options: { readonly trainable?: boolean } = {}
): number =>
  Cost.parameters(
    Tree.leaves<Parameter>(parameters).filter(
      ({ trainable }) => options.trainable === undefined || options.trainable === trainable
    )
  )

/**
 * Every parameter's path and itself, from left to right.
 *
 * @since 0.1.0
 * @category getters
 */
export const entries = (parameters: unknown): ReadonlyArray<readonly [path: string, Parameter]> =>
  Tree.entries<Parameter>(parameters)

/**
 * A network's values, in two: those that training moves and those that it does not, each a record by path. {@link join} puts them
 * together again.
 *
 * ```ts
 * const { trainable, frozen } = Parameter.split(network.parameters, weights)
 * const loss = f(Parameter.join(network.parameters, trainable, frozen))
 * const gradients = Gradient.of(loss, trainable)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const split = <T>(
  parameters: unknown,
  values: T
): {
  readonly trainable: Record<string, Tree.Leaf<T>>
  readonly frozen: Record<string, Tree.Leaf<T>>
} => {
  const all = entries(parameters)
  const leaves = leavesOf<Tree.Leaf<T>>("Parameter.split", parameters, values)
  const part = (trainable: boolean) =>
    Object.fromEntries(
      all.flatMap(([path, each], i) => (each.trainable === trainable ? [[path, leaves[i]]] : []))
    )
  return { trainable: part(true), frozen: part(false) }
}

/**
 * The tree of values from records by path, such as {@link split} gives.
 *
 * Throws `ParameterError` for the first path that none of them has.
 *
 * @since 0.1.0
 * @category combinators
 */
export const join = <P>(
  parameters: P,
  ...parts: ReadonlyArray<Readonly<Record<string, Tensor.Any>>>
): Program.Tensors<P> =>
  Tree.remap(parameters, (_: Parameter, path) => {
    const part = parts.find((each) => Object.hasOwn(each, path))
    if (part === undefined) {
      throw new ParameterError({
        path,
        reason: "missing",
        message: `Parameter.join: no value for "${path}"`
      })
    }
    return part[path]
  })

/** The leaves of values in the order of the parameters. */
const leavesOf = <A>(operation: string, parameters: unknown, values: unknown): ReadonlyArray<A> => {
  const leaves = Tree.leavesLike<A>(parameters, values)
  if (leaves !== undefined) return leaves
  const given = new Set(Tree.entries(values).map(([path]) => path))
  const missing = entries(parameters).find(([path]) => !given.has(path))
  const [path, reason] =
    missing === undefined
      ? [[...given][0], "unexpected" as const]
      : [missing[0], "missing" as const]
  throw new ParameterError({
    path,
    reason,
    message: `${operation}: the values are not those of the parameters: "${path}" is ${reason}`
  })
}
