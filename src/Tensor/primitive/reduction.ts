/** Reductions that are not linear, and orderings. */
import { applyOne, type Node, output, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import type { Primitive } from "../Primitive.ts"
import * as Shape from "../Shape.ts"
import { add, cast, div, equal, mul, neg, sub } from "./elementwise.ts"
import {
  broadcast,
  concat,
  gather,
  iota,
  kept,
  reduced,
  reshape,
  scalar,
  slice,
  sum,
  transpose
} from "./structure.ts"

const extreme = (name: "min" | "max"): Primitive<"min"> & Primitive<"max"> =>
  ({
    name,
    infer: ([x], reduction) => {
      check.dtypes(name, [x], "numbers")
      if (reduction.axes.some((axis) => x.shape[axis] === 0)) {
        throw check.shapeError(name, [x], "the extreme of nothing is not defined")
      }
      return [{ shape: reduced(x, reduction), dtype: x.dtype }]
    },
    vjp: (node, [c]) => {
      if (c === undefined) return []
      // ties share the cotangent evenly
      const x = node.inputs[0]
      const shape = kept(x, node.attributes.axes)
      const taken = cast(equal(x, reshape(output(node as unknown as Node), shape)), x.dtype)
      const count = sum(taken, node.attributes.axes, true)
      return [mul(taken, div(reshape(c, shape), count))]
    }
  }) as Primitive<"min"> & Primitive<"max">

export const minPrimitive: Primitive<"min"> = extreme("min")
export const maxPrimitive: Primitive<"max"> = extreme("max")

export const min = (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean): Tensor =>
  applyOne(minPrimitive, [x], { axes, keepDims })

export const max = (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean): Tensor =>
  applyOne(maxPrimitive, [x], { axes, keepDims })

export const prodPrimitive: Primitive<"prod"> = {
  name: "prod",
  infer: ([x], reduction) => {
    check.dtypes("prod", [x], "numbers")
    return [{ shape: reduced(x, reduction), dtype: x.dtype }]
  },
  vjp: (node, [c]) => {
    if (c === undefined) return []
    const x = node.inputs[0]
    const { axes } = node.attributes
    const products = productOfOthers(x, axes)
    return [mul(broadcast(reshape(c, kept(x, axes)), x.shape), products)]
  }
}

/** For each element the product of all others along `axes`, without division, so that zeros are right. */
const productOfOthers = (x: Tensor, axes: ReadonlyArray<number>): Tensor => {
  const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const order = [...others, ...axes]
  const moved = transpose(x, order)
  const rows = Shape.size(others.map((i) => x.shape[i]))
  const n = Shape.size(axes.map((i) => x.shape[i]))
  const flat = reshape(moved, [rows, n])
  const one = scalar(1, x.dtype)
  // inclusive products of the elements before (prefix) and after (suffix), by doubling
  const shifted = (y: Tensor, by: number, forward: boolean): Tensor => {
    const kept = Math.max(n - by, 0)
    const fill = broadcast(one, [rows, n - kept])
    return forward
      ? concat([fill, slice(y, [0, 0], [rows, kept])], 1)
      : concat([slice(y, [0, n - kept], [rows, kept]), fill], 1)
  }
  const scan = (forward: boolean): Tensor => {
    let y = shifted(flat, 1, forward)
    for (let by = 1; by < n; by *= 2) y = mul(y, shifted(y, by, forward))
    return y
  }
  const product = mul(scan(true), scan(false))
  const inverse = order.map((_, i) => order.indexOf(i))
  return transpose(reshape(product, moved.shape), inverse)
}

export const prod = (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean): Tensor =>
  applyOne(prodPrimitive, [x], { axes, keepDims })

export const argMaxPrimitive: Primitive<"argMax"> = {
  name: "argMax",
  infer: ([x], { axis }) => {
    check.dtypes("argMax", [x], "numbers")
    if (x.shape[axis] === 0) throw check.shapeError("argMax", [x], `axis ${axis} is empty`)
    return [{ shape: x.shape.filter((_, i) => i !== axis), dtype: "int32" }]
  },
  vjp: () => []
}

export const argMax = (x: Tensor, axis: number): Tensor => applyOne(argMaxPrimitive, [x], { axis })

export const argSortPrimitive: Primitive<"argSort"> = {
  name: "argSort",
  infer: ([x]) => {
    check.dtypes("argSort", [x], "numbers")
    return [{ shape: x.shape, dtype: "int32" }]
  },
  vjp: () => []
}

export const argSort = (x: Tensor, axis: number, descending: boolean): Tensor =>
  applyOne(argSortPrimitive, [x], { axis, descending })

/** `x` with `indices` along `axis`; the shapes agree on all other axes. */
export const takeAlong = (x: Tensor, indices: Tensor, axis: number): Tensor => {
  const order = [...x.shape.map((_, i) => i).filter((i) => i !== axis), axis]
  const back = order.map((_, i) => order.indexOf(i))
  const moved = transpose(x, order)
  const at = transpose(indices, order)
  const n = x.shape[axis]
  const rows = Shape.size(moved.shape) / Math.max(n, 1)
  const picks = at.shape[at.shape.length - 1]
  const offsets = mul(iota([rows, 1], 0, "int32"), scalar(n, "int32"))
  const linear = add(offsets, reshape(cast(at, "int32"), [rows, picks]))
  return transpose(reshape(gather(reshape(moved, [rows * n]), linear, 0), at.shape), back)
}

export const standardizePrimitive: Primitive<"standardize"> = {
  name: "standardize",
  infer: ([x], { axis }) => {
    check.dtypes("standardize", [x], "floats")
    if (!Number.isInteger(axis) || axis < 0 || axis >= x.shape.length) {
      throw check.shapeError("standardize", [x], `has no axis ${axis}`)
    }
    return [
      { shape: x.shape, dtype: x.dtype },
      { shape: x.shape.map((size, i) => (i < axis ? size : 1)), dtype: x.dtype }
    ]
  },
  // Ioffe and Szegedy 2015 (arXiv 1502.03167), section 3: dx = r·(c − mean c − y·mean(c·y)) with
  // r = 1/deviation; and dr/dx = −r²·y/n
  vjp: (node, [c, inverseCotangent]) => {
    const [y, inverse] = [0, 1].map((i) => output(node as unknown as Node, i))
    const { axis } = node.attributes
    const axes = y.shape.map((_, i) => i).slice(axis)
    const share = scalar(1 / Shape.size(y.shape.slice(axis)), y.dtype)
    const mean = (z: Tensor) => mul(sum(z, axes, true), share)
    const fromResult =
      c && sub(mul(c, inverse), add(mul(y, mul(mean(mul(c, y)), inverse)), mul(mean(c), inverse)))
    const fromInverse =
      inverseCotangent && mul(y, mul(neg(mul(inverseCotangent, share)), mul(inverse, inverse)))
    return [
      fromResult === undefined
        ? fromInverse
        : fromInverse === undefined
          ? fromResult
          : add(fromResult, fromInverse)
    ]
  }
}

/** `x` with mean 0 and variance 1 over the axes from `axis` on. */
export const standardize = (x: Tensor, axis: number, epsilon: number): Tensor =>
  applyOne(standardizePrimitive, [x], { axis, epsilon })
