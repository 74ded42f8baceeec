/** Functions of real numbers, written once for numbers on the host and for tensors. */
import type { DType, Shape } from "../../Tensor/index.ts"
import { Tensor } from "../../Tensor/index.ts"

export interface Field<S> {
  readonly of: (value: number) => S
  readonly add: (a: S, b: S) => S
  readonly sub: (a: S, b: S) => S
  readonly mul: (a: S, b: S) => S
  readonly div: (a: S, b: S) => S
  readonly exp: (a: S) => S
  readonly log: (a: S) => S
  readonly sqrt: (a: S) => S
  readonly cos: (a: S) => S
  readonly abs: (a: S) => S
  readonly sigmoid: (a: S) => S
  readonly min: (a: S, b: S) => S
  readonly max: (a: S, b: S) => S
  readonly less: (a: S, b: S, then: S, otherwise: S) => S
  /** Elements of a table at whole places, such as ⌊a⌋. */
  readonly floor: (a: S) => S
  readonly lookup: (table: ReadonlyArray<number>, place: S) => S
}

export const host: Field<number> = {
  of: (value) => value,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  cos: Math.cos,
  abs: Math.abs,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  min: Math.min,
  max: Math.max,
  less: (a, b, then, otherwise) => (a < b ? then : otherwise),
  floor: Math.floor,
  lookup: (table, place) => table[place]
}

type Real = Tensor.Tensor<Shape.Shape, DType.Float>

/** Tensors like one of them: of its shape and dtype. */
export const like = (x: Tensor.Any): Field<Tensor.Any> => {
  const real = (a: Tensor.Any) => a as Real
  const dtype = x.dtype as DType.Float
  return {
    of: (value) => Tensor.full(x.shape, value, dtype),
    add: (a, b) => Tensor.add(real(a), real(b)),
    sub: (a, b) => Tensor.sub(real(a), real(b)),
    mul: (a, b) => Tensor.mul(real(a), real(b)),
    div: (a, b) => Tensor.div(real(a), real(b)),
    exp: (a) => Tensor.exp(real(a)),
    log: (a) => Tensor.log(real(a)),
    sqrt: (a) => Tensor.sqrt(real(a)),
    cos: (a) => Tensor.cos(real(a)),
    abs: (a) => Tensor.abs(real(a)),
    sigmoid: (a) => Tensor.sigmoid(real(a)),
    min: (a, b) => Tensor.minimum(real(a), real(b)),
    max: (a, b) => Tensor.maximum(real(a), real(b)),
    less: (a, b, then, otherwise) => Tensor.select(Tensor.less(real(a), real(b)), then, otherwise),
    floor: (a) => Tensor.floor(real(a)),
    lookup: (table, place) =>
      Tensor.take(Tensor.constant(table, { dtype }), Tensor.cast(place, "int32"))
  }
}
