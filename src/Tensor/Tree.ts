/**
 * Trees of values: a leaf, an array of trees, or a record of trees. Parameters, program inputs and
 * outputs, and gradients are trees of tensors.
 *
 * A leaf is anything that is neither an array nor a plain object, or that says it is one by
 * carrying `shape` and `dtype` (tensors, specs, host arrays, buffers).
 *
 * @since 0.1.0
 */

import type { DType } from "./DType.ts"
import type { Tensor } from "./Expression.ts"
import type { Shape } from "./Shape.ts"
import { ShapeError } from "./TensorError.ts"

const isLeaf = (u: unknown): boolean => {
  if (typeof u !== "object" || u === null || ("dtype" in u && "shape" in u)) return true
  if (Array.isArray(u)) return false
  const prototype = Object.getPrototypeOf(u)
  return prototype !== Object.prototype && prototype !== null
}

/**
 * Leaves from left to right; records in the order of their keys as written.
 *
 * @since 0.1.0
 * @category getters
 */
export const leaves = <A>(tree: unknown): Array<A> => entries<A>(tree).map(([, leaf]) => leaf)

/**
 * Leaves with their paths, such as `encoder.0.weight`; the path of a lone leaf is empty.
 *
 * @since 0.1.0
 * @category getters
 */
export const entries = <A>(tree: unknown): Array<readonly [path: string, leaf: A]> => {
  const found: Array<readonly [string, A]> = []
  const walk = (path: string, node: unknown): void => {
    if (isLeaf(node)) {
      found.push([path, node as A])
    } else {
      for (const [key, child] of Object.entries(node as object)) {
        walk(path === "" ? key : `${path}.${key}`, child)
      }
    }
  }
  walk("", tree)
  return found
}

/**
 * The leaves of a tree in the order of another one of the same structure, in whatever order the keys of its
 * records are written; `undefined` if the structures differ.
 *
 * @since 0.1.0
 * @category getters
 */
export const leavesLike = <A>(like: unknown, tree: unknown): Array<A> | undefined => {
  const wanted = entries(like)
  const given = entries<A>(tree)
  if (given.length !== wanted.length) return undefined
  if (wanted.every(([path], i) => path === given[i][0])) return given.map(([, leaf]) => leaf)
  const byPath = new Map(given)
  return wanted.every(([path]) => byPath.has(path))
    ? wanted.map(([path]) => byPath.get(path) as A)
    : undefined
}

/**
 * The same tree with other leaves of the same type.
 *
 * @since 0.1.0
 * @category combinators
 */
export const map = <const T>(tree: T, f: (leaf: Leaf<T>, path: string) => Leaf<T>): T =>
  remap<T>(tree, f)

/**
 * The same tree with leaves of another type; the caller says which tree `R` that is.
 *
 * @since 0.1.0
 * @category combinators
 */
export const remap = <R>(tree: unknown, f: (leaf: never, path: string) => unknown): R => {
  const walk = (path: string, node: unknown): unknown => {
    if (isLeaf(node)) return f(node as never, path)
    const under = (key: string) => (path === "" ? key : `${path}.${key}`)
    if (Array.isArray(node)) return node.map((child, i) => walk(under(String(i)), child))
    return Object.fromEntries(
      Object.entries(node as object).map(([key, child]) => [key, walk(under(key), child)])
    )
  }
  return walk("", tree) as R
}

/**
 * The same tree with its leaves replaced, from left to right, by a list of as many.
 *
 * @since 0.1.0
 * @category combinators
 */
export const refill = <R>(tree: unknown, list: ReadonlyArray<unknown>): R => {
  let i = 0
  return remap<R>(tree, () => list[i++])
}

/**
 * Trees of one structure combined leaf by leaf; the result has that structure too. Records need not have their keys
 * in the same order. Trees of different structures are a `ShapeError`.
 *
 * ```ts
 * const moved = Tree.zipWith([weights, gradients], (w, g) => Tensor.sub(w, Tensor.mul(g, 0.1)))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const zipWith = <const T extends readonly [unknown, ...ReadonlyArray<unknown>]>(
  trees: T,
  f: (...leaves: { readonly [I in keyof T]: Leaf<T[I]> }) => Leaf<T[0]>
): T[0] => {
  const columns = trees.map((tree) => {
    const column = leavesLike<never>(trees[0], tree)
    if (column !== undefined) return column
    const paths = (each: unknown) => entries(each).map(([path]) => path)
    throw new ShapeError({
      operation: "Tree.zipWith",
      shapes: [],
      message: `Tree.zipWith: the trees differ: one has the leaves (${paths(trees[0]).join(", ")}), another (${paths(tree).join(", ")}); give trees of one structure`
    })
  })
  return refill<T[0]>(
    trees[0],
    columns[0].map((_, i) => f(...(columns.map((column) => column[i]) as never)))
  )
}

/**
 * What the leaves of the tree `T` are, without their shapes.
 *
 * @since 0.1.0
 * @category types
 */
export type Leaf<T> = T extends { readonly dtype: infer D; readonly shape: unknown }
  ? Retyped<T, D>
  : T extends ReadonlyArray<infer Each>
    ? Leaf<Each>
    : T extends object
      ? string extends keyof T
        ? LeafOfRecord<T[keyof T], T>
        : { [K in keyof T]: Leaf<T[K]> }[keyof T]
      : T

/** Of a record of unknown names, which may contain its own kind: the compiler would not find an end. */
type LeafOfRecord<Each, T> = Each extends T ? never : Leaf<Each>

type Retyped<T, D> = D extends DType ? (T extends Tensor ? Tensor<Shape, D> : T) : T
