import * as DType from "../DType.ts"
import type { Tensor } from "../Expression.ts"
import * as Shape from "../Shape.ts"
import { DTypeError, ShapeError } from "../TensorError.ts"

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
): DTypeError =>
  new DTypeError({
    operation,
    dtypes: inputs.map((input) => input.dtype),
    message: `${operation}(${inputs.map((input) => input.dtype).join(", ")}): ${why}`
  })

/** All inputs have the first one's dtype, and it is one of those the operation is defined for. */
export const dtypes = (operation: string, inputs: ReadonlyArray<Tensor>, kind: Kind): void => {
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
export const axis = (
  operation: string,
  input: Tensor,
  axis: number,
  rank = input.shape.length
): number => {
  const result = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(axis) || result < 0 || result >= rank) {
    throw shapeError(
      operation,
      [input],
      `axis ${axis} is out of range; it must be an integer from ${-rank} to ${rank - 1}`
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
  if (given === undefined) return input.shape.map((_, i) => i)
  const list = (typeof given === "number" ? [given] : given).map((each) =>
    axis(operation, input, each)
  )
  const unique = [...new Set(list)].sort((a, b) => a - b)
  if (unique.length !== list.length) {
    throw shapeError(operation, [input], `axes [${list.join(", ")}] repeat`)
  }
  return unique
}

/** Sizes are whole and not negative. */
export const sizes = (
  operation: string,
  inputs: ReadonlyArray<Tensor>,
  shape: Shape.Shape
): Shape.Shape => {
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
