/**
 * Trees of cotangents, as adjoints carry them through loops.
 */
import { DType, Gradient, Tensor, Tree } from "../../Tensor/index.ts"

type Real = Tensor.Tensor<ReadonlyArray<number>, DType.Float>

const isFloat = ({ dtype }: Tensor.Any): boolean => DType.isFloat(dtype)

/** The leaves that have a derivative. */
export const floats = (tree: unknown): ReadonlyArray<Tensor.Any> =>
  Tree.leaves<Tensor.Any>(tree).filter(isFloat)

/** A tree with these for its floats, and zeros elsewhere. */
export const refill = <T>(tree: T, values: ReadonlyArray<Tensor.Any>): T => {
  let i = 0
  return Tree.remap(tree, (leaf: Tensor.Any) =>
    isFloat(leaf) ? values[i++] : Tensor.zeros(leaf.shape, leaf.dtype)
  )
}

export const zeros = <T>(tree: T): T =>
  Tree.remap(tree, ({ shape, dtype }: Tensor.Any) => Tensor.zeros(shape, dtype))

/** The leaves of a tree in the order of those of another; throws `ShapeError` for trees of different structures. */
const leavesLike = (like: unknown, tree: unknown): ReadonlyArray<Tensor.Any> =>
  Tree.leaves(Tree.zipWith([like, tree], (_, leaf) => leaf))

export const plus = <T>(a: T, b: T): T => {
  const others = leavesLike(a, b)
  let i = 0
  return Tree.remap(a, (leaf: Tensor.Any) => Tensor.add(leaf as Real, others[i++] as Real))
}

/**
 * What a function gives, and the cotangents of its inputs given those of its outputs. Only the function itself is differentiated:
 * not what its inputs are made of, even where they are made of one another.
 */
export const pull = <I, O>(
  f: (inputs: I) => O,
  inputs: I,
  cotangents: O
): { readonly outputs: O; readonly cotangents: I } => {
  // nodes of their own, so that what the inputs are made of stays out of it
  const own = Tree.remap<I>(inputs, (leaf: Tensor.Any) => Tensor.named(leaf, "primal"))
  const outputs = f(own)
  const values = Tree.leaves<Tensor.Any>(outputs)
  const given = leavesLike(outputs, cotangents)
  const found = Gradient.vjp(
    values.filter(isFloat),
    floats(own),
    given.filter((_, i) => isFloat(values[i]))
  )
  return { outputs, cotangents: refill(inputs, found) }
}
