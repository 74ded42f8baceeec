/** Kernels of matrix products, convolutions and pooling. */
import * as DType from "../../Tensor/DType.ts"
import type { Node } from "../../Tensor/Expression.ts"
import type { Window } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as K from "./kernel.ts"

export const matmul = ({ inputs: [a, b], outputs: [y] }: Node<"matmul">): K.Operation => {
  const batch = y.shape.slice(0, -2)
  const [m, n] = y.shape.slice(-2)
  const inner = a.shape[a.shape.length - 1]
  const lefts = K.offsets(batch, K.broadcasted(a.shape.slice(0, -2), batch))
  const rights = K.offsets(batch, K.broadcasted(b.shape.slice(0, -2), batch))
  const multiply = DType.isFloat(y.dtype)
    ? (floatProduct as unknown as Product)
    : product(K.ring(y.dtype))
  return K.compute(([left, right]) => {
    const [p, q] = [K.load(a.dtype, left), K.load(b.dtype, right)]
    const out = K.lanes(y.dtype, Shape.size(y.shape))
    for (let i = 0; i < lefts.length; i++) {
      multiply(p, lefts[i] * m * inner, q, rights[i] * inner * n, out, i * m * n, m, inner, n)
    }
    return K.store(y.dtype, out)
  })
}

/** Adds the product of an m × k and a k × n matrix, each from its offset on, to an m × n matrix. */
type Product<L = K.Lanes> = (
  a: L,
  atA: number,
  b: L,
  atB: number,
  y: L,
  atY: number,
  m: number,
  k: number,
  n: number
) => void

const product =
  ({ add, mul }: K.Ring): Product =>
  (a, atA, b, atB, y, atY, m, k, n) => {
    for (let i = 0; i < m; i++) {
      for (let l = 0; l < k; l++) {
        const factor = a[atA + i * k + l]
        for (let j = 0; j < n; j++) {
          y[atY + i * n + j] = add(y[atY + i * n + j], mul(factor, b[atB + l * n + j]))
        }
      }
    }
  }

/** The same on floats: without calls it is ten times as fast, and most tests wait for it. */
const floatProduct: Product<Float64Array> = (a, atA, b, atB, y, atY, m, k, n) => {
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      const factor = a[atA + i * k + l]
      for (let j = 0; j < n; j++) y[atY + i * n + j] += factor * b[atB + l * n + j]
    }
  }
}

/**
 * Which elements of the result, the kernel and the operand belong together, along the spatial axes:
 * rows of `counts[r]` triples, from `result[r]`, `kernel[r]` and `operand[r]` on. Along a row the
 * result's element moves by 1, the kernel's stays, and the operand's moves by `step`.
 */
interface Rows {
  readonly counts: Int32Array
  readonly result: Int32Array
  readonly kernel: Int32Array
  readonly operand: Int32Array
  readonly step: number
}

const rowsOf = (
  { stride, dilation, low }: Pick<Window, "stride" | "dilation" | "low">,
  result: Shape.Shape,
  kernel: Shape.Shape,
  operand: Shape.Shape
): Rows => {
  const rows: Array<readonly [count: number, y: number, w: number, x: number]> = []
  const last = stride.length - 1
  const walk = (axis: number, y: number, w: number, x: number): void => {
    for (let q = 0; q < kernel[axis]; q++) {
      // the result's element p meets the operand's element p · stride + shift, if there is one
      const shift = q * dilation[axis] - low[axis]
      const from = Math.max(0, Math.ceil(-shift / stride[axis]))
      const to = Math.min(result[axis], Math.floor((operand[axis] - 1 - shift) / stride[axis]) + 1)
      const at = (p: number): readonly [number, number, number] => [
        y * result[axis] + p,
        w * kernel[axis] + q,
        x * operand[axis] + p * stride[axis] + shift
      ]
      if (axis < last) for (let p = from; p < to; p++) walk(axis + 1, ...at(p))
      else if (from < to) rows.push([to - from, ...at(from)])
    }
  }
  walk(0, 0, 0, 0)
  return {
    counts: Int32Array.from(rows, (row) => row[0]),
    result: Int32Array.from(rows, (row) => row[1]),
    kernel: Int32Array.from(rows, (row) => row[2]),
    operand: Int32Array.from(rows, (row) => row[3]),
    step: stride[last]
  }
}

/** One of the three arrays of a convolution. */
interface Side {
  readonly shape: Shape.Shape
  /** Where the spatial axes begin: batch item `n`, output channel `o`, input channel `c` of its group. */
  readonly plane: (n: number, o: number, c: number) => number
  readonly starts: Int32Array
  readonly step: number
}

/**
 * A convolution is the trilinear form Σ y[n, o, p] w[o, c, q] x[n, c, p · stride + q · dilation − low] in
 * its result y, kernel w and operand x. Each of its three derivatives, `conv` in y, `convKernel`
 * in w and `convTranspose` in x, adds the products of two of the arrays to the third, over the very
 * same triples.
 */
const form = (window: Window, y: Shape.Shape, w: Shape.Shape, x: Shape.Shape) => {
  const rows = rowsOf(window, y.slice(2), w.slice(2), x.slice(2))
  const [batch, outputs] = y
  const inputs = w[1]
  const [pixels, taps, places] = [y, w, x].map((shape) => Shape.size(shape.slice(2)))
  const group = (o: number): number => Math.floor((o * window.groups) / outputs)
  const result: Side = {
    shape: y,
    plane: (n, o) => (n * outputs + o) * pixels,
    starts: rows.result,
    step: 1
  }
  const kernel: Side = {
    shape: w,
    plane: (_, o, c) => (o * inputs + c) * taps,
    starts: rows.kernel,
    step: 0
  }
  const operand: Side = {
    shape: x,
    plane: (n, o, c) => (n * x[1] + group(o) * inputs + c) * places,
    starts: rows.operand,
    step: rows.step
  }
  /** What `target` is, given the other two. */
  const derivative = (dtype: DType.DType, target: Side, left: Side, right: Side): K.Operation => {
    const { counts } = rows
    const [di, dj, dk] = [target.step, left.step, right.step]
    return K.compute(([first, second]) => {
      const a = K.load(dtype, first) as unknown as Float64Array
      const b = K.load(dtype, second) as unknown as Float64Array
      const out = new Float64Array(Shape.size(target.shape))
      for (let n = 0; n < batch; n++) {
        for (let o = 0; o < outputs; o++) {
          for (let c = 0; c < inputs; c++) {
            const i0 = target.plane(n, o, c)
            const j0 = left.plane(n, o, c)
            const k0 = right.plane(n, o, c)
            for (let row = 0; row < counts.length; row++) {
              let i = i0 + target.starts[row]
              let j = j0 + left.starts[row]
              let k = k0 + right.starts[row]
              for (let rest = counts[row]; rest > 0; rest--) {
                out[i] += a[j] * b[k]
                i += di
                j += dj
                k += dk
              }
            }
          }
        }
      }
      return K.store(dtype, out as unknown as K.Lanes)
    })
  }
  return { result, kernel, operand, derivative }
}

export const conv = ({ inputs: [x, w], outputs: [y], attributes }: Node<"conv">): K.Operation => {
  const { result, kernel, operand, derivative } = form(attributes, y.shape, w.shape, x.shape)
  return derivative(y.dtype, result, operand, kernel)
}

export const convTranspose = (node: Node<"convTranspose">): K.Operation => {
  const {
    inputs: [y, w],
    outputs: [x],
    attributes
  } = node
  const { result, kernel, operand, derivative } = form(attributes, y.shape, w.shape, x.shape)
  return derivative(x.dtype, operand, result, kernel)
}

export const convKernel = ({
  inputs: [x, y],
  outputs: [w],
  attributes
}: Node<"convKernel">): K.Operation => {
  const { result, kernel, operand, derivative } = form(attributes, y.shape, w.shape, x.shape)
  return derivative(w.dtype, kernel, operand, result)
}

export const pool = ({ inputs: [x], outputs: [y], attributes }: Node<"pool">): K.Operation => {
  const { kind, window } = attributes
  const dilation = window.map(() => 1)
  const rows = rowsOf({ ...attributes, dilation }, y.shape.slice(2), window, x.shape.slice(2))
  const [pixels, places] = [y, x].map(({ shape }) => Shape.size(shape.slice(2)))
  const planes = y.shape[0] * y.shape[1]
  const take = kind === "max" ? Math.max : (sofar: number, value: number): number => sofar + value
  return K.compute(([data]) => {
    const values = K.load(x.dtype, data) as unknown as Float64Array
    const out = new Float64Array(planes * pixels).fill(kind === "max" ? -Infinity : 0)
    for (let plane = 0; plane < planes; plane++) {
      for (let row = 0; row < rows.counts.length; row++) {
        const i = plane * pixels + rows.result[row]
        const j = plane * places + rows.operand[row]
        for (let k = 0; k < rows.counts[row]; k++)
          out[i + k] = take(out[i + k], values[j + k * rows.step])
      }
    }
    const size = kind === "max" ? 1 : Shape.size(window)
    for (let i = 0; i < out.length; i++) out[i] /= size
    return K.store(y.dtype, out as unknown as K.Lanes)
  })
}
