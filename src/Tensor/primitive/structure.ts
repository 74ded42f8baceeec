/** Leaves, and the linear primitives that move elements about: each is in the other's derivative. */
import * as DType from "../DType.ts"
import { applyOne, type HostArray, type Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import type { Primitive, Reduction } from "../Primitive.ts"
import * as Shape from "../Shape.ts"

const none = () => []

export const inputPrimitive: Primitive<"input"> = {
  name: "input",
  infer: (_, { shape, dtype }) => [
    { shape: check.sizes("input", [], shape), dtype: check.known("input", dtype) }
  ],
  vjp: none
}

export const input = (name: string, shape: Shape.Shape, dtype: DType.DType): Tensor =>
  applyOne(inputPrimitive, [], { name, shape, dtype })

export const constantPrimitive: Primitive<"constant"> = {
  name: "constant",
  infer: (_, { shape, dtype, data }) => {
    check.sizes("constant", [], shape)
    check.known("constant", dtype)
    if (!DType.holds(dtype, data)) {
      throw check.dtypeError(
        "constant",
        [{ dtype }],
        "the data is another typed array; see DType.Arrays"
      )
    }
    if (data.length !== Shape.size(shape)) {
      throw check.shapeError(
        "constant",
        [{ shape }],
        `has ${Shape.size(shape)} elements, but the data has ${data.length}`
      )
    }
    return [{ shape, dtype }]
  },
  vjp: none
}

export const constant = (value: HostArray): Tensor =>
  applyOne(constantPrimitive, [], { shape: value.shape, dtype: value.dtype, data: value.data })

export const scalar = (value: number, dtype: DType.DType): Tensor => {
  check.known("scalar", dtype)
  const data = DType.allocate(dtype, 1)
  if (DType.isFloat(dtype)) data[0] = dtype === "float16" ? DType.toFloat16Bits(value) : value
  else data[0] = check.whole("scalar", dtype, value)
  return constant({ shape: [], dtype, data })
}

export const fill = (value: number, shape: Shape.Shape, dtype: DType.DType): Tensor =>
  broadcast(scalar(value, dtype), shape)

export const iotaPrimitive: Primitive<"iota"> = {
  name: "iota",
  infer: (_, { shape, dtype, axis }) => {
    check.sizes("iota", [], shape)
    check.known("iota", dtype)
    if (dtype === "bool") throw check.dtypeError("iota", [{ dtype }], "is defined for numbers only")
    if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
      throw check.shapeError("iota", [{ shape }], `has no axis ${axis}`)
    }
    return [{ shape, dtype }]
  },
  vjp: none
}

export const iota = (shape: Shape.Shape, axis: number, dtype: DType.DType): Tensor =>
  applyOne(iotaPrimitive, [], { shape, axis, dtype })

export const broadcastPrimitive: Primitive<"broadcast"> = {
  name: "broadcast",
  infer: ([x], { shape }) => {
    check.sizes("broadcast", [x], shape)
    const result = Shape.broadcast(x.shape, shape)
    if (result === undefined || !Shape.equals(result, shape)) {
      throw check.shapeError(
        "broadcast",
        [x],
        `cannot become ${Shape.show(shape)}: aligned at the end, each size must be equal or 1`
      )
    }
    return [{ shape, dtype: x.dtype }]
  },
  vjp: (node, [c]) => [c && unbroadcast(c, node.inputs[0].shape)]
}

export const broadcast = (x: Tensor, shape: Shape.Shape): Tensor => {
  check.tensors("broadcast", [x])
  return Shape.equals(x.shape, shape) ? x : applyOne(broadcastPrimitive, [x], { shape })
}

/** Adjoint of broadcasting from `shape`: sums over the axes that were repeated. */
export const unbroadcast = (x: Tensor, shape: Shape.Shape): Tensor => {
  const extra = x.shape.length - shape.length
  const axes: Array<number> = []
  for (let i = 0; i < x.shape.length; i++) {
    if (i < extra || (shape[i - extra] === 1 && x.shape[i] !== 1)) axes.push(i)
  }
  return axes.length === 0 ? x : reshape(sum(x, axes, false), shape)
}

export const reduced = (x: Tensor, { axes, keepDims }: Reduction): Shape.Shape =>
  keepDims
    ? x.shape.map((size, i) => (axes.includes(i) ? 1 : size))
    : x.shape.filter((_, i) => !axes.includes(i))

/** The shape of a reduction's result, with the reduced axes kept as 1. */
export const kept = (x: Tensor, axes: ReadonlyArray<number>): Shape.Shape =>
  reduced(x, { axes, keepDims: true })

export const sumPrimitive: Primitive<"sum"> = {
  name: "sum",
  infer: ([x], reduction) => {
    check.dtypes("sum", [x], "numbers")
    return [{ shape: reduced(x, reduction), dtype: x.dtype }]
  },
  vjp: (node, [c]) => {
    const x = node.inputs[0]
    return [c && broadcast(reshape(c, kept(x, node.attributes.axes)), x.shape)]
  }
}

export const sum = (x: Tensor, axes: ReadonlyArray<number>, keepDims: boolean): Tensor =>
  applyOne(sumPrimitive, [x], { axes, keepDims })

export const reshapePrimitive: Primitive<"reshape"> = {
  name: "reshape",
  infer: ([x], { shape }) => {
    check.sizes("reshape", [x], shape)
    if (Shape.size(shape) !== Shape.size(x.shape)) {
      throw check.shapeError(
        "reshape",
        [x],
        `has ${Shape.size(x.shape)} elements, ${Shape.show(shape)} would have ${Shape.size(shape)}`
      )
    }
    return [{ shape, dtype: x.dtype }]
  },
  vjp: (node, [c]) => [c && reshape(c, node.inputs[0].shape)]
}

export const reshape = (x: Tensor, shape: Shape.Shape): Tensor =>
  Shape.equals(x.shape, shape) ? x : applyOne(reshapePrimitive, [x], { shape })

export const transposePrimitive: Primitive<"transpose"> = {
  name: "transpose",
  infer: ([x], { permutation }) => {
    const rank = x.shape.length
    if (
      permutation.length !== rank ||
      [...permutation].sort((a, b) => a - b).some((p, i) => p !== i)
    ) {
      throw check.shapeError(
        "transpose",
        [x],
        `[${permutation.join(", ")}] is not a permutation of its ${rank} axes`
      )
    }
    return [{ shape: permutation.map((p) => x.shape[p]), dtype: x.dtype }]
  },
  vjp: (node, [c]) => [c && transpose(c, inverse(node.attributes.permutation))]
}

const inverse = (permutation: ReadonlyArray<number>): ReadonlyArray<number> => {
  const result = new Array<number>(permutation.length)
  permutation.forEach((p, i) => {
    result[p] = i
  })
  return result
}

export const transpose = (x: Tensor, permutation: ReadonlyArray<number>): Tensor =>
  permutation.length === x.shape.length && permutation.every((p, i) => p === i)
    ? x
    : applyOne(transposePrimitive, [x], { permutation })

export const slicePrimitive: Primitive<"slice"> = {
  name: "slice",
  infer: ([x], { starts, sizes, steps }) => {
    check.sizes("slice", [x], sizes)
    x.shape.forEach((size, i) => {
      const start = starts[i]
      const count = sizes[i]
      const last = start + (count - 1) * steps[i]
      if (steps[i] === 0) throw check.shapeError("slice", [x], `the step along axis ${i} is 0`)
      if (count > 0 && (start < 0 || start >= size || last < 0 || last >= size)) {
        throw check.shapeError(
          "slice",
          [x],
          `${count} elements from ${start} on in steps of ${steps[i]} leave axis ${i} of size ${size}`
        )
      }
    })
    return [{ shape: sizes, dtype: x.dtype }]
  },
  vjp: (node, [c]) => [c && unslice(c, node.attributes, node.inputs[0].shape)]
}

export const slice = (
  x: Tensor,
  starts: ReadonlyArray<number>,
  sizes: ReadonlyArray<number>,
  steps: ReadonlyArray<number> = starts.map(() => 1)
): Tensor =>
  Shape.equals(x.shape, sizes) &&
  starts.every((start) => start === 0) &&
  steps.every((step, i) => step === 1 || sizes[i] === 1)
    ? x
    : applyOne(slicePrimitive, [x], { starts, sizes, steps })

/** Adjoint of slicing an array of shape `shape`: puts the elements where they came from, zeros elsewhere. */
export const unslice = (
  c: Tensor,
  {
    starts,
    steps
  }: { readonly starts: ReadonlyArray<number>; readonly steps: ReadonlyArray<number> },
  shape: Shape.Shape
): Tensor => {
  const sizes = c.shape
  if (Shape.size(sizes) === 0) return fill(0, shape, c.dtype)
  const descending = steps.map((step, i) => step < 0 && sizes[i] > 1)
  if (descending.some((each) => each)) {
    const flipped = slice(
      c,
      descending.map((each, i) => (each ? sizes[i] - 1 : 0)),
      sizes,
      descending.map((each) => (each ? -1 : 1))
    )
    return unslice(
      flipped,
      {
        starts: starts.map((start, i) =>
          descending[i] ? start + (sizes[i] - 1) * steps[i] : start
        ),
        steps: steps.map(Math.abs)
      },
      shape
    )
  }
  const spread = dilate(
    c,
    steps.map((step, i) => (sizes[i] > 1 ? step : 1))
  )
  return pad(
    spread,
    starts,
    shape.map((size, i) => size - starts[i] - spread.shape[i]),
    0
  )
}

/** Puts `steps − 1` zeros between neighbours along each axis. */
export const dilate = (x: Tensor, steps: ReadonlyArray<number>): Tensor => {
  if (steps.every((step) => step === 1)) return x
  // [a, b] → [[a, 0], [b, 0]] → [a, 0, b, 0] → [a, 0, b], along every axis at once
  const pairs = reshape(
    x,
    x.shape.flatMap((size) => [size, 1])
  )
  const zeros = pairs.shape.map(() => 0)
  const padded = pad(
    pairs,
    zeros,
    steps.flatMap((step) => [0, step - 1]),
    0
  )
  return slice(
    reshape(
      padded,
      x.shape.map((size, i) => size * steps[i])
    ),
    steps.map(() => 0),
    x.shape.map((size, i) => (size - 1) * steps[i] + 1)
  )
}

export const padPrimitive: Primitive<"pad"> = {
  name: "pad",
  infer: ([x], { low, high, value }) => {
    if (value !== 0 && !DType.isFloat(x.dtype)) check.whole("pad", x.dtype, value)
    const shape = x.shape.map((size, i) => size + low[i] + high[i])
    if ([...low, ...high].some((each) => !Number.isInteger(each) || each < 0)) {
      throw check.shapeError(
        "pad",
        [x],
        `padding [${low.join(", ")}], [${high.join(", ")}] must be whole and not negative; crop with Tensor.slice`
      )
    }
    return [{ shape, dtype: x.dtype }]
  },
  vjp: (node, [c]) => [c && slice(c, node.attributes.low, node.inputs[0].shape)]
}

export const pad = (
  x: Tensor,
  low: ReadonlyArray<number>,
  high: ReadonlyArray<number>,
  value: number
): Tensor =>
  low.every((each) => each === 0) && high.every((each) => each === 0)
    ? x
    : applyOne(padPrimitive, [x], { low, high, value })

export const concatPrimitive: Primitive<"concat"> = {
  name: "concat",
  infer: (inputs, { axis }) => {
    check.dtypes("concat", inputs, "any dtype")
    const first = inputs[0].shape
    let total = 0
    for (const { shape } of inputs) {
      if (
        shape.length !== first.length ||
        shape.some((size, i) => i !== axis && size !== first[i])
      ) {
        throw check.shapeError(
          "concat",
          inputs,
          `along axis ${axis}: all other sizes must be equal`
        )
      }
      total += shape[axis]
    }
    return [{ shape: first.map((size, i) => (i === axis ? total : size)), dtype: inputs[0].dtype }]
  },
  vjp: (node, [c], wanted) => {
    let start = 0
    return node.inputs.map((x, i) => {
      const from = start
      start += x.shape[node.attributes.axis]
      return c && wanted[i]
        ? slice(
            c,
            x.shape.map((_, axis) => (axis === node.attributes.axis ? from : 0)),
            x.shape
          )
        : undefined
    })
  }
}

export const concat = (inputs: ReadonlyArray<Tensor>, axis: number): Tensor =>
  inputs.length === 1 ? inputs[0] : applyOne(concatPrimitive, inputs, { axis })

export const cumSumPrimitive: Primitive<"cumSum"> = {
  name: "cumSum",
  infer: ([x]) => {
    check.dtypes("cumSum", [x], "numbers")
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  vjp: (node, [c]) => [
    c && cumSum(c, node.attributes.axis, !node.attributes.reverse, node.attributes.exclusive)
  ]
}

export const cumSum = (x: Tensor, axis: number, reverse: boolean, exclusive: boolean): Tensor =>
  applyOne(cumSumPrimitive, [x], { axis, reverse, exclusive })

export const gatherPrimitive: Primitive<"gather"> = {
  name: "gather",
  infer: ([x, indices], { axis }) => {
    check.tensors("gather", [x])
    check.dtypes("gather: indices", [indices], "integers")
    return [
      {
        shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)],
        dtype: x.dtype
      }
    ]
  },
  vjp: (node, [c]) => {
    const [x, indices] = node.inputs
    return [
      c && scatterAdd(indices, c, node.attributes.axis, x.shape[node.attributes.axis]),
      undefined
    ]
  }
}

export const gather = (x: Tensor, indices: Tensor, axis: number): Tensor =>
  applyOne(gatherPrimitive, [x, indices], { axis })

export const scatterAddPrimitive: Primitive<"scatterAdd"> = {
  name: "scatterAdd",
  infer: ([indices, updates], { axis, size }) => {
    check.dtypes("scatterAdd: indices", [indices], "integers")
    check.dtypes("scatterAdd", [updates], "numbers")
    if (!Number.isSafeInteger(size) || size < 0) {
      throw check.shapeError(
        "scatterAdd",
        [indices, updates],
        `size ${size} must be a whole number of at least 0`
      )
    }
    const after = axis + indices.shape.length
    if (!Shape.equals(updates.shape.slice(axis, after), indices.shape)) {
      throw check.shapeError(
        "scatterAdd",
        [indices, updates],
        `the updates need the indices' shape in place of axis ${axis}`
      )
    }
    return [
      {
        shape: [...updates.shape.slice(0, axis), size, ...updates.shape.slice(after)],
        dtype: updates.dtype
      }
    ]
  },
  vjp: (node, [c]) => [undefined, c && gather(c, node.inputs[0], node.attributes.axis)]
}

export const scatterAdd = (indices: Tensor, updates: Tensor, axis: number, size: number): Tensor =>
  applyOne(scatterAddPrimitive, [indices, updates], { axis, size })
