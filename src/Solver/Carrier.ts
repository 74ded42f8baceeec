/**
 * Carriers: what a differential equation lives in.
 *
 * A method is written once, against a scalar field with verdicts and a vector space over it. On the
 * host the carrier's loop is a `while`; on tensors it is `Tensor.whileLoop`, so that the very method
 * that property tests verify in double precision is the one compiled into a network's graph, step
 * control included.
 *
 * @since 0.1.0
 */
import type { Float } from "../Tensor/DType.ts"
import { DType, Shape, Tensor, Tree } from "../Tensor/index.ts"
import * as Linear from "./Linear.ts"
import { ProblemError } from "./SolverError.ts"

/**
 * A vector space over a scalar field: `V` vectors, `S` scalars (time, step sizes, norms), `B` verdicts.
 *
 * States of loops are trees (arrays and records) of these three.
 *
 * @since 0.1.0
 * @category models
 */
export interface Carrier<V, S, B> {
  readonly name: string
  /** The distance from the scalar 1 to the next one. */
  readonly epsilon: number

  readonly scalar: (value: number) => S
  readonly add: (a: S, b: S) => S
  readonly sub: (a: S, b: S) => S
  readonly mul: (a: S, b: S) => S
  readonly div: (a: S, b: S) => S
  readonly min: (a: S, b: S) => S
  readonly max: (a: S, b: S) => S
  readonly abs: (a: S) => S
  /** a^exponent, for a ≥ 0. */
  readonly pow: (a: S, exponent: number) => S
  readonly exp: (a: S) => S
  readonly select: (verdict: B, then: S, otherwise: S) => S

  readonly less: (a: S, b: S) => B
  readonly and: (a: B, b: B) => B
  readonly or: (a: B, b: B) => B
  readonly not: (a: B) => B
  readonly verdict: (value: boolean) => B
  readonly isFinite: (a: S) => B
  /** Whether there is not a NaN or infinity in a vector. */
  readonly allFinite: (vector: V) => B

  /** Σ cᵢ·vᵢ in one go; coefficients that are plain numbers cost less. There is at least one term. */
  readonly combine: (terms: ReadonlyArray<readonly [coefficient: S | number, vector: V]>) => V
  /** The product of each element of one vector with that of the other. */
  readonly hadamard: (a: V, b: V) => V
  /** A function with several values, of each element of a vector; it is written in scalars that are the elements. */
  readonly elementwise: (
    vector: V,
    f: <E, C>(elements: Carrier<E, E, C>, element: E) => ReadonlyArray<E>
  ) => ReadonlyArray<V>
  /** One of two trees of vectors, scalars and verdicts. */
  readonly choose: <T>(verdict: B, then: T, otherwise: T) => T
  /** What {@link errorNorm} is made of: over the elements, the sum of squares, or the maximum, and how many there are. */
  readonly extent: (error: V, a: V, b: V, tolerance: Tolerance) => Extent<S>

  /** `body` again and again as long as `condition` holds for the state. With many systems side by side: for any of them. */
  readonly loop: <T>(state: T, condition: (state: T) => B, body: (state: T) => T) => T
  /**
   * A step for each row of numbers that are known beforehand, and what each gave, stacked along a new first axis (on the host:
   * in an array).
   */
  readonly repeat: <T, Y>(
    state: T,
    rows: ReadonlyArray<ReadonlyArray<number>>,
    body: (state: T, row: ReadonlyArray<S>) => readonly [state: T, result: Y],
    options?: RepeatOptions
  ) => readonly [state: T, results: Stacked<Y>]
  /** What two runs of `repeat` gave, one after the other. */
  readonly append: <Y>(first: Stacked<Y>, second: Stacked<Y>) => Stacked<Y>
  /** A list of results, as `repeat` would give them. */
  readonly stack: <Y>(list: ReadonlyArray<Y>) => Stacked<Y>
  /** One of the results of `repeat`. */
  readonly pick: <Y>(results: Stacked<Y>, index: number) => Y
  /** A tree of the same structure, whose values do not matter: what a loop carries before there is a real one. */
  readonly blank: <T>(like: T) => T

  /** Throws `ProblemError` for a state whose numbers are not of the kind of the scalars: asked where an integration begins. */
  readonly require?: (state: V) => void
  /** Jacobians, and systems of linear equations: only implicit methods need them (see `Linear.of`). */
  readonly linear?: () => Linear.Linear<V, S>
}

/**
 * How fixed steps become expressions; the host knows no difference.
 *
 * @since 0.1.0
 * @category models
 */
export interface RepeatOptions {
  /** Write every step into the graph, instead of one scan. */
  readonly unroll?: boolean
  /** What a scan stores for its derivative (see `Tensor.scan`). */
  readonly checkpoint?: "none" | "step" | number
}

/**
 * Results of all steps: on the host an array of them, else a tree like one of them, each tensor with a new first axis.
 *
 * @since 0.1.0
 * @category models
 */
export type Stacked<Y> = Y | ReadonlyArray<Y>

/**
 * Sums of squares, or maxima, over the elements of a vector.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extent<S> {
  readonly total: S
  readonly count: number
}

/**
 * How large an error may be, of one step: of each element absolute + relative · |element|.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tolerance {
  /**
   * In the units of the state: what counts where an element is near 0, so of the size below which it does not matter. With 0
   * elements that pass through 0 ask for ever smaller steps.
   */
  readonly absolute: number
  /** As a part of the element: 1e-3 are about three digits. Not below some of the carrier's `epsilon`, which is rounding. */
  readonly relative: number
  /** Over the elements of a state the root of the mean of squares, `"rms"` (unless told), or the largest, `"max"`. */
  readonly norm?: "rms" | "max"
}

/**
 * An error in units of what is tolerated: the root mean square, or the maximum, over the elements of
 * |eᵢ| / (absolute + relative · max(|aᵢ|, |bᵢ|)).
 *
 * @since 0.1.0
 * @category norms
 */
export const errorNorm = <V, S, B>(
  carrier: Carrier<V, S, B>,
  error: V,
  a: V,
  b: V,
  tolerance: Tolerance
): S => {
  const { total, count } = carrier.extent(error, a, b, tolerance)
  return tolerance.norm === "max"
    ? total
    : carrier.pow(carrier.mul(total, carrier.scalar(1 / Math.max(count, 1))), 0.5)
}

/** Scalars that are numbers, loops that are loops: what all host carriers share. */
const host: Omit<
  Carrier<never, number, boolean>,
  "name" | "combine" | "hadamard" | "elementwise" | "extent" | "allFinite" | "require"
> = {
  epsilon: Number.EPSILON,
  scalar: (value) => value,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  abs: Math.abs,
  pow: (a, exponent) => a ** exponent,
  exp: Math.exp,
  select: (verdict, then, otherwise) => (verdict ? then : otherwise),
  choose: (verdict, then, otherwise) => (verdict ? then : otherwise),
  less: (a, b) => a < b,
  and: (a, b) => a && b,
  or: (a, b) => a || b,
  not: (a) => !a,
  verdict: (value) => value,
  isFinite: Number.isFinite,
  loop: (state, condition, body) => {
    let now = state
    while (condition(now)) now = body(now)
    return now
  },
  repeat: (state, rows, body) => {
    let now = state
    const results = rows.map((row) => {
      const [next, result] = body(now, row)
      now = next
      return result
    })
    return [now, results]
  },
  append: (first, second) => [first, second].flat() as never,
  stack: (list) => list,
  pick: (results, index) => (results as ReadonlyArray<never>)[index],
  blank: (like) => like
}

/** Where only relative errors are tolerated: elements that are 0 and stay so have no error, instead of 0/0. */
const leastOf = ({ absolute }: Tolerance): number => (absolute === 0 ? 1e-30 : absolute)

const extentOf = (
  tolerance: Tolerance,
  length: number,
  error: (i: number) => number,
  a: (i: number) => number,
  b: (i: number) => number
): Extent<number> => {
  const { relative, norm } = tolerance
  const least = leastOf(tolerance)
  let total = 0
  for (let i = 0; i < length; i++) {
    const ratio = Math.abs(error(i)) / (least + relative * Math.max(Math.abs(a(i)), Math.abs(b(i))))
    if (norm === "max") total = Number.isNaN(ratio) ? Number.NaN : Math.max(total, ratio)
    else total += ratio * ratio
  }
  return { total, count: length }
}

/**
 * Scalar equations, in double precision.
 *
 * @since 0.1.0
 * @category instances
 */
export const number: Carrier<number, number, boolean> = {
  ...host,
  name: "number",
  combine: (terms) => {
    let sum = 0
    for (const [c, v] of terms) sum += c * v
    return sum
  },
  hadamard: (a, b) => a * b,
  elementwise: (element, f) => f(number, element),
  extent: (error, a, b, tolerance) =>
    extentOf(
      tolerance,
      1,
      () => error,
      () => a,
      () => b
    ),
  allFinite: Number.isFinite,
  linear: () => ({
    matrices: Linear.host,
    size: () => 1,
    flatten: (value) => Float64Array.of(value),
    refill: (_, [value]) => value
  })
}

/**
 * Systems on the host, in double precision. Vectors are not changed in place. Throws `ProblemError` where vectors that are
 * combined differ in length.
 *
 * @since 0.1.0
 * @category instances
 */
export const float64Array: Carrier<Float64Array, number, boolean> = {
  ...host,
  name: "Float64Array",
  combine: (terms) => {
    const result = new Float64Array(terms[0][1].length)
    for (const [c, v] of terms) {
      if (v.length !== result.length) {
        throw new ProblemError({
          what: "Carrier.float64Array",
          message: `Carrier.float64Array: vectors of ${result.length} and of ${v.length} elements have no sum: a right-hand side gives as many as the state has`
        })
      }
      for (let i = 0; i < result.length; i++) result[i] += c * v[i]
    }
    return result
  },
  hadamard: (a, b) => a.map((each, i) => each * b[i]),
  elementwise: (vector, f) => {
    const values = Array.from(vector, (element) => f(number, element))
    // how many values there are is known without elements, too
    return (values[0] ?? f(number, 1)).map((_, k) => Float64Array.from(values, (each) => each[k]))
  },
  extent: (error, a, b, tolerance) =>
    extentOf(
      tolerance,
      error.length,
      (i) => error[i],
      (i) => a[i],
      (i) => b[i]
    ),
  allFinite: (vector) => vector.every(Number.isFinite),
  linear: () => ({
    matrices: Linear.host,
    size: (vector) => vector.length,
    flatten: (vector) => vector,
    refill: (_, coordinates) => coordinates
  })
}

type Scalar = Tensor.Any

/** Trees of one structure as one of them, leaf by leaf, in whatever order the keys of records are written. */
const merge = (
  trees: ReadonlyArray<unknown>,
  f: (leaves: ReadonlyArray<Tensor.Any>) => Tensor.Any
): unknown =>
  trees.length === 0
    ? []
    : Tree.zipWith(
        trees as readonly [unknown, ...ReadonlyArray<unknown>],
        (...leaves) => f(leaves as ReadonlyArray<Tensor.Any>) as never
      )

/** Whether each sample of a batch is a system of its own. */
interface TensorOptions {
  /** `float32` unless told. */
  readonly dtype?: Float
  /**
   * The number of systems side by side along the first axis of every state, each with its own time and step size;
   * scalars then have shape `[systems]`. Without it all elements are one system with scalars of shape `[]`.
   */
  readonly systems?: number
}

/**
 * Expressions: states are tensors, or trees of tensors, all of the carrier's dtype. Loops run on the device.
 *
 * @since 0.1.0
 * @category instances
 */
export const tensor = <V>(options: TensorOptions = {}): Carrier<V, Scalar, Tensor.Any> => {
  const dtype = options.dtype ?? "float32"
  const shape: Shape.Shape = options.systems === undefined ? [] : [options.systems]
  const bool = (x: Tensor.Any) => x as Tensor.Tensor<Shape.Shape, "bool">
  const float = (x: Tensor.Any) => x as Tensor.Tensor<Shape.Shape, Float>
  const number = (value: number): Tensor.Tensor<Shape.Shape, Float> =>
    Tensor.full(shape, value, dtype)
  /** A scalar of each system, over the elements of its state. */
  const over = (scalar: Tensor.Any, state: Tensor.Any): Tensor.Any =>
    shape.length === 0
      ? scalar
      : Tensor.reshape(scalar, [...shape, ...state.shape.slice(1).map(() => 1)])
  const map = (
    trees: ReadonlyArray<V>,
    f: (...leaves: ReadonlyArray<Tensor.Any>) => Tensor.Any
  ): V => merge(trees, (leaves) => f(...leaves)) as V
  const stack = (list: ReadonlyArray<unknown>) =>
    merge(list, (leaves) => Tensor.stack(leaves)) as never
  /** Sums or maxima over everything that belongs to one system. */
  const gather = (leaf: Tensor.Any, how: "sum" | "max" | "all"): Tensor.Any => {
    const axis = leaf.shape.map((_, i) => i).slice(shape.length)
    return how === "all" ? Tensor.all(bool(leaf), { axis }) : Tensor[how](float(leaf), { axis })
  }
  const sizeOf = (leaf: Tensor.Any): number => Shape.size(leaf.shape.slice(shape.length))
  const verdict = (value: boolean): Tensor.Any =>
    Tensor.cast(Tensor.full(shape, value ? 1 : 0, "int32"), "bool")
  /** The leaves that have elements. */
  const filled = (vector: unknown): ReadonlyArray<Tensor.Any> =>
    Tree.leaves<Tensor.Any>(vector).filter((leaf) => sizeOf(leaf) > 0)
  const term = (coefficient: Scalar | number, leaf: Tensor.Any): Tensor.Any =>
    coefficient === 1
      ? leaf
      : typeof coefficient === "number"
        ? Tensor.mul(float(leaf), coefficient)
        : Tensor.mul(float(leaf), float(over(coefficient, leaf)))
  return {
    name: options.systems === undefined ? "tensor" : "tensors side by side",
    epsilon: { float64: 2 ** -52, float32: 2 ** -23, float16: 2 ** -10 }[dtype],
    scalar: number,
    add: (a, b) => Tensor.add(float(a), float(b)),
    sub: (a, b) => Tensor.sub(float(a), float(b)),
    mul: (a, b) => Tensor.mul(float(a), float(b)),
    div: (a, b) => Tensor.div(float(a), float(b)),
    min: (a, b) => Tensor.minimum(float(a), float(b)),
    max: (a, b) => Tensor.maximum(float(a), float(b)),
    abs: (a) => Tensor.abs(float(a)),
    pow: (a, exponent) => Tensor.pow(float(a), exponent),
    exp: (a) => Tensor.exp(float(a)),
    select: (verdict, then, otherwise) => Tensor.select(bool(verdict), then, otherwise),
    less: (a, b) => Tensor.less(float(a), float(b)),
    and: (a, b) => Tensor.and(bool(a), bool(b)),
    or: (a, b) => Tensor.or(bool(a), bool(b)),
    not: (a) => Tensor.not(bool(a)),
    verdict,
    isFinite: (a) => Tensor.isFinite(float(a)),
    allFinite: (vector) =>
      filled(vector)
        .map((leaf) => gather(Tensor.isFinite(float(leaf)), "all"))
        .reduce((a, b) => Tensor.and(bool(a), bool(b)), verdict(true)),
    combine: (terms) => {
      const live = terms.filter(([coefficient]) => coefficient !== 0)
      const used = live.length === 0 ? terms.slice(0, 1) : live
      return map(
        used.map(([, vector]) => vector),
        (...leaves) =>
          leaves
            .map((leaf, i) => term(used[i][0], leaf))
            .reduce((a, b) => Tensor.add(float(a), float(b)))
      )
    },
    hadamard: (a, b) => map([a, b], (x, y) => Tensor.mul(float(x), float(y))),
    elementwise: (vector, f) => {
      // without systems side by side scalars are tensors of any shape
      const elements = tensor<Tensor.Any>({ dtype })
      const values = Tree.leaves<Tensor.Any>(vector).map((leaf) => f(elements, leaf))
      // how many values there are is known without leaves, too
      return (values[0] ?? f(elements, Tensor.scalar(1, dtype))).map((_, k) =>
        Tree.refill(
          vector,
          values.map((each) => each[k])
        )
      )
    },
    choose: (verdict, then, otherwise) =>
      merge([then, otherwise], ([a, b]) => Tensor.select(bool(over(verdict, a)), a, b)) as never,
    extent: (error, a, b, tolerance) => {
      const { relative, norm } = tolerance
      const [errors, before, after] = [error, a, b].map(
        (tree) => Tree.leavesLike<Tensor.Any>(a, tree) as ReadonlyArray<Tensor.Any>
      )
      const ratios = errors.map((each, i) => {
        const scale = Tensor.maximum(Tensor.abs(float(before[i])), Tensor.abs(float(after[i])))
        return Tensor.div(
          Tensor.abs(float(each)),
          Tensor.add(Tensor.mul(scale, relative), leastOf(tolerance))
        )
      })
      const count = ratios.reduce((sum, each) => sum + sizeOf(each), 0)
      if (count === 0) return { total: number(0), count }
      const total =
        norm === "max"
          ? filled(ratios)
              .map((each) => gather(each, "max"))
              .reduce((x, y) => Tensor.maximum(float(x), float(y)))
          : filled(ratios)
              .map((each) => gather(Tensor.square(float(each)), "sum"))
              .reduce((x, y) => Tensor.add(float(x), float(y)))
      return { total, count }
    },
    require: (state) => {
      const other = Tree.leaves<Tensor.Any>(state).find((leaf) => leaf.dtype !== dtype)
      if (other === undefined) return
      const remedy = DType.isFloat(other.dtype)
        ? `take Carrier.tensor({ dtype: "${other.dtype}" }), or cast the state`
        : "cast the state, and keep what does not change with time out of it"
      throw new ProblemError({
        what: "Carrier.tensor",
        message: `Carrier.tensor: a state of ${other.dtype} does not go with times and step sizes of ${dtype}: ${remedy}`
      })
    },
    linear: () => {
      const matrices = Linear.tensor(dtype, shape)
      return {
        matrices,
        size: (vector) =>
          Tree.leaves<Tensor.Any>(vector).reduce((sum, leaf) => sum + sizeOf(leaf), 0),
        flatten: (vector, like) =>
          matrices.join(
            Tree.leaves(
              merge([like, vector], ([, leaf]) => Tensor.reshape(leaf, [...shape, sizeOf(leaf)]))
            )
          ),
        refill: (like, coordinates) => {
          const leaves = Tree.leaves<Tensor.Any>(like)
          const parts = matrices.split(coordinates, leaves.map(sizeOf))
          return Tree.refill(
            like,
            leaves.map((leaf, i) => Tensor.reshape(parts[i], leaf.shape))
          )
        }
      }
    },
    loop: (state, condition, body) =>
      Tensor.whileLoop({
        init: state,
        condition: (now) => Tensor.any(bool(condition(now as never))) as never,
        body: (now) => body(now as never) as never
      }) as never,
    repeat: (state, rows, body, { unroll = false, checkpoint = "none" } = {}) => {
      if (unroll || rows.length === 0) {
        let now = state
        const results = rows.map((row) => {
          const [next, result] = body(now, row.map(number))
          now = next
          return result
        })
        return [now, stack(results)]
      }
      const spread = (value: Tensor.Any) =>
        shape.length === 0 ? value : Tensor.broadcastTo(value, shape)
      return Tensor.scan({
        init: state,
        over: rows[0].map((_, i) =>
          Tensor.constant(
            rows.map((row) => row[i]),
            { dtype }
          )
        ),
        length: rows.length,
        checkpoint,
        step: (now, row) => {
          const [next, result] = body(
            now as never,
            (row as ReadonlyArray<Tensor.Any>).map((value) => spread(value))
          )
          return [next as never, result]
        }
      }) as never
    },
    append: (first, second) =>
      merge(
        // no steps at all leave an empty list
        [first, second].filter((part) => !(Array.isArray(part) && part.length === 0)),
        (leaves) => (leaves.length === 1 ? leaves[0] : Tensor.concat(leaves))
      ) as never,
    stack,
    pick: (results, index) =>
      Tree.remap(results, (leaf: Tensor.Any) => Tensor.at(leaf, index)) as never,
    blank: (like) =>
      Tree.remap(like, (leaf: Tensor.Any) => Tensor.zeros(leaf.shape, leaf.dtype)) as never
  }
}

type Part = Carrier<any, any, any>
type VectorOf<C> = C extends Carrier<infer V, any, any> ? V : never
type ScalarOf<C> = C extends Carrier<any, infer S, any> ? S : never
type VerdictOf<C> = C extends Carrier<any, any, infer B> ? B : never

/**
 * Records and tuples of carriers' vectors as one vector, all over the same scalars. Throws `ProblemError` for none.
 *
 * @since 0.1.0
 * @category combinators
 */
export const struct: {
  <const C extends Readonly<Record<string, Part>> | ReadonlyArray<Part>>(
    parts: C
  ): Carrier<
    { readonly [K in keyof C]: VectorOf<C[K]> },
    ScalarOf<C[keyof C & (string | number)]>,
    VerdictOf<C[keyof C & (string | number)]>
  >
  <V extends object, S, B>(
    parts: {
      readonly [K in keyof V]: Carrier<V[K], S, B>
    }
  ): Carrier<V, S, B>
} = <V extends object, S, B>(
  parts: {
    readonly [K in keyof V]: Carrier<V[K], S, B>
  }
): Carrier<V, S, B> => {
  const entries = Object.entries(parts) as unknown as ReadonlyArray<
    readonly [keyof V, Carrier<unknown, S, B>]
  >
  if (entries.length === 0) {
    throw new ProblemError({
      what: "Carrier.struct",
      message: "Carrier.struct: there must be at least one part, which tells what scalars are"
    })
  }
  const [, first] = entries[0]
  const each = (f: (key: keyof V, part: Carrier<unknown, S, B>) => unknown): V => {
    const made = entries.map(([key, part]) => [key, f(key, part)] as const)
    return (Array.isArray(parts) ? made.map(([, value]) => value) : Object.fromEntries(made)) as V
  }
  return {
    ...(first as unknown as Carrier<V, S, B>),
    name: `{ ${entries.map(([key, { name }]) => `${String(key)}: ${name}`).join(", ")} }`,
    allFinite: (vector) =>
      entries.map(([key, part]) => part.allFinite(vector[key])).reduce((a, b) => first.and(a, b)),
    combine: (terms) =>
      each((key, part) => part.combine(terms.map(([c, vector]) => [c, vector[key]]))),
    hadamard: (a, b) => each((key, part) => part.hadamard(a[key], b[key])),
    elementwise: (vector, f) => {
      const values = entries.map(([key, part]) => [key, part.elementwise(vector[key], f)] as const)
      return values[0][1].map((_, k) => {
        const parts = new Map(values.map(([key, list]) => [key, list[k]]))
        return each((key) => parts.get(key))
      })
    },
    extent: (error, a, b, tolerance) =>
      entries
        .map(([key, part]) => part.extent(error[key], a[key], b[key], tolerance))
        .reduce((x, y) => ({
          total:
            tolerance.norm === "max" ? first.max(x.total, y.total) : first.add(x.total, y.total),
          count: x.count + y.count
        })),
    require: (state) => {
      for (const [key, part] of entries) part.require?.(state[key])
    },
    linear: () => {
      const all = entries.map(([key, part]) => [key, Linear.of(part)] as const)
      const [[, { matrices }]] = all
      return {
        matrices,
        size: (vector) => all.reduce((sum, [key, part]) => sum + part.size(vector[key]), 0),
        flatten: (vector, like) =>
          matrices.join(all.map(([key, part]) => part.flatten(vector[key], like[key]))),
        refill: (like, coordinates) => {
          const sizes = all.map(([key, part]) => part.size(like[key]))
          const parts = matrices.split(coordinates, sizes)
          const refilled = new Map(
            all.map(([key, part], i) => [key, part.refill(like[key], parts[i])])
          )
          return each((key) => refilled.get(key))
        }
      }
    }
  }
}
