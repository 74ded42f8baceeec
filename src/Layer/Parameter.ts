/**
 * Trees of parameters: shapes with initialisers, under stable, readable paths such as `down.0.conv1.weight`.
 *
 * A parameter is a spec (a shape and a dtype), so a tree of parameters can be the inputs of a `Program` as it is, and
 * the tree of a network's weights has the same structure.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Float } from "../Tensor/DType.ts"
import {
  Cost,
  DType,
  HostRandom,
  type Program,
  Shape,
  Suggestion,
  type Tensor,
  TensorError,
  Tree
} from "../Tensor/index.ts"
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
      // bounds that are none are refused where numbers are drawn
      const known = error instanceof ParameterError || TensorError.isTensorError(error)
      if (!known) throw error
      const reason = error instanceof ParameterError ? error.reason : "initializer"
      throw new ParameterError({ path, reason, message: `parameter "${path}": ${error.message}` })
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

/**
 * Which of a file's tensors belong to which parameters.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoadOptions {
  /** From a tensor's name in the file to a parameter's path; the same unless told. */
  readonly rename?: (name: string) => string
  /** Which tensors, by their names in the file, to leave out; none unless told. */
  readonly ignore?: (name: string) => boolean
}

interface Problem {
  readonly path: string
  readonly reason: ParameterError["reason"]
  readonly what: () => string
}

/** A tensor of a file, and the path that it is renamed to. */
interface Candidate {
  readonly name: string
  readonly path: string
  readonly tensor: Tensor.HostArray
}

const called = ({ path, name }: Candidate): string =>
  path === name ? `"${name}"` : `"${name}" (renamed to "${path}")`

/** What keeps some tensors from being the values of some parameters. */
const problemsOf = (
  wanted: ReadonlyMap<string, Parameter>,
  given: ReadonlyMap<string, Candidate>,
  candidates: ReadonlyArray<Candidate>
): ReadonlyArray<Problem> => {
  /** The most similar path, of those without a partner if there are any. */
  const alike = (path: string, among: typeof wanted | typeof given, others: typeof among) => {
    const all = [...among.keys()]
    const single = all.filter((each) => !others.has(each))
    return Suggestion.nearest(path, single.length > 0 ? single : all)
  }
  const ofParameter = ([path, { shape, dtype }]: readonly [string, Parameter]): Array<Problem> => {
    const found = given.get(path)
    if (found === undefined) {
      const what = () => {
        const like = given.get(alike(path, given, wanted) ?? "")
        return `there is no tensor for parameter "${path}" of shape ${Shape.show(shape)}; ${
          like === undefined
            ? "there are none at all"
            : `the most similar is ${called(like)} of shape ${Shape.show(like.tensor.shape)}`
        }`
      }
      return [{ path, reason: "missing", what }]
    }
    const { tensor } = found
    const differ = (ours: string, theirs: string) => () =>
      `parameter "${path}" is ${ours}, but tensor ${called(found)} is ${theirs}`
    if (!Shape.equals(shape, tensor.shape)) {
      const what = differ(`of shape ${Shape.show(shape)}`, `of shape ${Shape.show(tensor.shape)}`)
      return [{ path, reason: "shape", what }]
    }
    if (DType.isFloat(tensor.dtype)) return []
    const what = differ(dtype, `${tensor.dtype}; only floats are converted`)
    return [{ path, reason: "dtype", what }]
  }
  const ofTensor = (candidate: Candidate): Array<Problem> => {
    const { path, name, tensor } = candidate
    const first = given.get(path)
    if (first !== undefined && first !== candidate) {
      const what = () => `both "${first.name}" and "${name}" are renamed to "${path}"`
      return [{ path, reason: "unexpected", what }]
    }
    if (wanted.has(path)) return []
    const what = () => {
      const like = alike(path, wanted, given)
      return `there is no parameter for tensor ${called(candidate)} of shape ${Shape.show(tensor.shape)}; ${
        like === undefined
          ? "there are none at all"
          : `the most similar is "${like}" of shape ${Shape.show(wanted.get(like)!.shape)}`
      }`
    }
    return [{ path, reason: "unexpected", what }]
  }
  return [...[...wanted].flatMap(ofParameter), ...candidates.flatMap(ofTensor)]
}

/** Floats in another dtype, rounded to nearest; the array itself if it has that dtype. */
const converted = (
  { dtype, data }: Tensor.HostArray<Shape.Shape, Float>,
  to: Float
): DType.Arrays[Float] => {
  if (dtype === to) return data
  const result = DType.allocate<Float>(to, data.length)
  const read = dtype === "float16" ? DType.fromFloat16Bits : (value: number) => value
  const store = to === "float16" ? DType.toFloat16Bits : (value: number) => value
  for (let i = 0; i < result.length; i++) result[i] = store(read(data[i]))
  return result
}

/**
 * The values of a network from tensors by name, such as those of a file.
 *
 * ```ts
 * const { tensors } = yield* SafeTensors.decode(bytes)
 * const weights = yield* Parameter.load(network.parameters, tensors, {
 *   rename: (name) => name.replace(/^module\./, "")
 * })
 * ```
 *
 * Every parameter must have its tensor, of the very same shape, and every tensor its parameter. Floats become those of the
 * parameter's dtype, rounded to nearest; an array that has it already is not copied.
 *
 * Fails with `ParameterError` for the first problem: with parameters in their order, of reason `missing`, `shape` or `dtype` (the
 * tensor has no floats), then with tensors in theirs, `unexpected`. Its message says how many more there are, and which name of
 * the others is most similar to one that has no partner.
 *
 * @since 0.1.0
 * @category conversions
 */
export const load = <P>(
  parameters: P,
  tensors: Readonly<Record<string, Tensor.HostArray>>,
  options: LoadOptions = {}
): Effect.Effect<Program.HostArrays<P>, ParameterError> =>
  Effect.suspend(() => {
    const { rename = (name) => name, ignore = () => false } = options
    const wanted = new Map(entries(parameters))
    const candidates = Object.entries(tensors)
      .filter(([name]) => !ignore(name))
      .map(([name, tensor]): Candidate => ({ name, path: rename(name), tensor }))
    // of several with the same path the first
    const given = new Map(candidates.toReversed().map((each) => [each.path, each]))
    const [first, ...others] = problemsOf(wanted, given, candidates)
    if (first !== undefined) {
      const { path, reason, what } = first
      const { length } = others
      const more = length === 0 ? "" : ` (and ${length} more problem${length === 1 ? "" : "s"})`
      return Effect.fail(
        new ParameterError({ path, reason, message: `Parameter.load: ${what()}${more}` })
      )
    }
    return Effect.succeed(
      Tree.remap<Program.HostArrays<P>>(parameters, ({ shape, dtype }: Parameter, path) => {
        const tensor = given.get(path)!.tensor as Tensor.HostArray<Shape.Shape, Float>
        return { shape, dtype, data: converted(tensor, dtype) }
      })
    )
  })

/**
 * A network's values, each by its path: what `SafeTensors.encode` makes a file of, and {@link load} reads again.
 *
 * Throws `ParameterError` where two values would have the same name.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toRecord = <T>(
  values: T,
  options: {
    /** From a parameter's path to its name in the file; the same unless told. */
    readonly rename?: (path: string) => string
  } = {}
): Record<string, Tree.Leaf<T>> => {
  const { rename = (path) => path } = options
  const names = new Map<string, string>()
  return Object.fromEntries(
    Tree.entries<Tree.Leaf<T>>(values).map(([path, value]) => {
      const name = rename(path)
      const other = names.get(name)
      if (other !== undefined) {
        throw new ParameterError({
          path,
          reason: "unexpected",
          message: `Parameter.toRecord: both "${other}" and "${path}" would be called "${name}"`
        })
      }
      names.set(name, path)
      return [name, value]
    })
  )
}

/** The leaves of values in the order of the parameters. */
const leavesOf = <A>(operation: string, parameters: unknown, values: unknown): ReadonlyArray<A> => {
  const leaves = Tree.leavesLike<A>(parameters, values)
  if (leaves !== undefined) return leaves
  const given = Tree.entries(values).map(([path]) => path)
  const wanted = entries(parameters).map(([path]) => path)
  const missing = wanted.find((path) => !given.includes(path))
  const path = missing ?? given.find((each) => !wanted.includes(each)) ?? ""
  const reason = missing === undefined ? "unexpected" : "missing"
  throw new ParameterError({
    path,
    reason,
    message: `${operation}: the values are not those of the parameters: "${path}" is ${reason}`
  })
}
