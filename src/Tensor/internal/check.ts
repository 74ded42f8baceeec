import * as DType from "../DType.ts"
import { isTensor, type Tensor } from "../Expression.ts"
import * as Shape from "../Shape.ts"
import { DTypeError, ShapeError } from "../TensorError.ts"
import * as Tree from "../Tree.ts"

export const shapeError = (
  operation: string,
  inputs: ReadonlyArray<{ readonly shape: Shape.Shape }>,
  why: string
): ShapeError =>
  new ShapeError({
    operation,
    shapes: inputs.map((input) => input.shape),
    message: `${operation}(${inputs.map((input) => Shape.show(input.shape)).join(", ")}): ${why}`
  })

export const dtypeError = (
  operation: string,
  inputs: ReadonlyArray<{ readonly dtype: DType.DType }>,
  why: string
): DTypeError => {
  // what is no dtype at all must be told too
  const dtypes = inputs.map(({ dtype }) => (typeof dtype === "string" ? dtype : said(dtype)))
  return new DTypeError({
    operation,
    dtypes,
    message: `${operation}(${dtypes.join(", ")}): ${why}`
  })
}

/** What is given as tensors are tensors: for callers that types do not hold back. */
export const tensors: (
  operation: string,
  inputs: ReadonlyArray<unknown>
) => asserts inputs is ReadonlyArray<Tensor> = (operation, inputs) => {
  inputs.forEach((each, i) => {
    if (!isTensor(each)) {
      throw new DTypeError({
        operation,
        dtypes: [],
        message: `${operation}: operand ${i} is ${said(each)}, not a tensor; make one with Tensor.constant, or of a spec with Program.make`
      })
    }
  })
}

const said = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? Array.isArray(value)
      ? "an array"
      : "a plain object"
    : typeof value === "function"
      ? "a function"
      : String(value)

/** The leaves of a tree, which must be tensors. */
export const leaves = (operation: string, tree: unknown): Array<Tensor> => {
  const found = Tree.entries<unknown>(tree)
  for (const [path, leaf] of found) {
    if (!isTensor(leaf)) {
      throw new DTypeError({
        operation,
        dtypes: [],
        message: `${operation}: ${path === "" ? "it" : `"${path}"`} is ${said(leaf)}, not a tensor; make one with Tensor.constant`
      })
    }
  }
  return found.map(([, leaf]) => leaf as Tensor)
}

/** The leaves of a tree, which must be tensors, in the order of those of a tree of the same structure. */
export const leavesLike = (operation: string, like: unknown, tree: unknown): Array<Tensor> => {
  const found = leaves(operation, tree)
  const ordered = Tree.leavesLike<Tensor>(like, tree)
  if (ordered !== undefined) return ordered
  const paths = (each: unknown) => Tree.entries(each).map(([path]) => path || "a lone tensor")
  throw shapeError(
    operation,
    found,
    `there are (${paths(tree).join(", ")}), where (${paths(like).join(", ")}) are wanted; give a tree of that structure`
  )
}

/** One of the dtypes that there are. */
export const known = (operation: string, dtype: DType.DType): DType.DType => {
  if (!DType.all.includes(dtype)) {
    throw dtypeError(
      operation,
      [{ dtype }],
      `there is no such dtype; there are ${DType.all.join(", ")}`
    )
  }
  return dtype
}

/** A number as an element of an integer dtype or `bool`, which hold it exactly. */
export const whole = (operation: string, dtype: DType.DType, value: number | bigint): never => {
  const [least, most] = bounds[dtype as keyof typeof bounds]
  const fits =
    (typeof value === "bigint" || Number.isInteger(value)) && value >= least && value <= most
  if (!fits) {
    throw dtypeError(
      operation,
      [{ dtype }],
      `${value} is not ${dtype === "bool" ? "0 or 1" : `a whole number from ${least} to ${most}`}; take another dtype and convert with Tensor.cast`
    )
  }
  return (dtype === "int64" ? BigInt(value) : Number(value)) as never
}

const bounds = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  bool: [0, 1]
} as const

/** One of the choices of an option. */
export const choice = <A extends string>(
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  name: string,
  value: A,
  choices: ReadonlyArray<A>
): A => {
  if (!choices.includes(value)) {
    throw shapeError(
      operation,
      inputs,
      `${name} is ${said(value)}; there are ${choices.map((each) => `"${each}"`).join(", ")}`
    )
  }
  return value
}

/** All inputs have the first one's dtype, and it is one of those the operation is defined for. */
export const dtypes = (operation: string, inputs: ReadonlyArray<Tensor>, kind: Kind): void => {
  tensors(operation, inputs)
  const first = inputs[0]
  if (!kinds[kind](first.dtype)) {
    throw dtypeError(operation, inputs, `is defined for ${kind} only; convert with Tensor.cast`)
  }
  for (const input of inputs) {
    if (input.dtype !== first.dtype) {
      throw dtypeError(operation, inputs, "operands must have one dtype; convert with Tensor.cast")
    }
  }
}

export type Kind = "any dtype" | "numbers" | "floats" | "integers" | "uint32" | "bool"

const kinds: { readonly [K in Kind]: (dtype: DType.DType) => boolean } = {
  "any dtype": () => true,
  numbers: (dtype) => dtype !== "bool",
  floats: DType.isFloat,
  integers: DType.isInteger,
  uint32: (dtype) => dtype === "uint32",
  bool: (dtype) => dtype === "bool"
}

export const broadcastAll = (operation: string, inputs: ReadonlyArray<Tensor>): Shape.Shape => {
  let shape = inputs[0].shape
  for (let i = 1; i < inputs.length; i++) {
    const next = Shape.broadcast(shape, inputs[i].shape)
    if (next === undefined) {
      throw shapeError(
        operation,
        inputs,
        "the shapes cannot be broadcast: aligned at the end, sizes must be equal or one of them 1; insert axes with Tensor.reshape or Tensor.expandDims"
      )
    }
    shape = next
  }
  return shape
}

/** An axis counted from the front; negative axes count from the end. */
export const axis = (operation: string, input: Tensor, axis: number, given?: number): number => {
  tensors(operation, [input])
  const rank = given ?? input.shape.length
  const result = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(axis) || result < 0 || result >= rank) {
    throw shapeError(
      operation,
      [input],
      rank === 0
        ? `has no axis ${axis}: it is a scalar`
        : `axis ${axis} is out of range; it must be an integer from ${-rank} to ${rank - 1}`
    )
  }
  return result
}

/** Axes counted from the front, sorted, without repeats; all of them for `undefined`. */
export const axes = (
  operation: string,
  input: Tensor,
  given: number | ReadonlyArray<number> | undefined
): ReadonlyArray<number> => {
  tensors(operation, [input])
  if (given === undefined) return input.shape.map((_, i) => i)
  const list = (Array.isArray(given) ? given : [given as number]).map((each) =>
    axis(operation, input, each)
  )
  const unique = [...new Set(list)].sort((a, b) => a - b)
  if (unique.length !== list.length) {
    throw shapeError(operation, [input], `axes [${list.join(", ")}] repeat`)
  }
  return unique
}

/** Sizes are whole and not negative, and their product can be counted. */
export const sizes = (
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  shape: Shape.Shape
): Shape.Shape => {
  if (!Array.isArray(shape)) {
    throw shapeError(operation, inputs, `${said(shape)} is not a shape: an array of sizes is`)
  }
  if (Shape.size(shape) > Number.MAX_SAFE_INTEGER) {
    throw shapeError(
      operation,
      inputs,
      `${Shape.show(shape)} has more elements than can be counted`
    )
  }
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw shapeError(
        operation,
        inputs,
        `${Shape.show(shape)} is not a shape: sizes are whole numbers of at least 0`
      )
    }
  }
  return shape
}
