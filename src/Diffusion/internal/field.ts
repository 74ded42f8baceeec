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
  /** eᵃ − 1, exact for small a too. */
  readonly expm1: (a: S) => S
  readonly sqrt: (a: S) => S
  readonly sin: (a: S) => S
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
  expm1: Math.expm1,
  sqrt: Math.sqrt,
  sin: Math.sin,
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
    expm1: (a) =>
      Tensor.mul(Tensor.tanh(Tensor.mul(real(a), 0.5)), Tensor.add(Tensor.exp(real(a)), 1)),
    sqrt: (a) => Tensor.sqrt(real(a)),
    sin: (a) => Tensor.sin(real(a)),
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

/** A value and its derivative. */
export interface Dual<S> {
  readonly value: S
  readonly slope: S
}

/** Derivatives, carried along by the rules of differentiation. */
export const dual = <S>(of: Field<S>): Field<Dual<S>> => {
  const { add, sub, mul, div } = of
  const zero = of.of(0)
  const chain = (f: (a: S) => S, slope: (a: S, value: S) => S) => (a: Dual<S>) => {
    const value = f(a.value)
    return { value, slope: mul(a.slope, slope(a.value, value)) }
  }
  const choose = (a: Dual<S>, b: Dual<S>, then: Dual<S>, otherwise: Dual<S>): Dual<S> => ({
    value: of.less(a.value, b.value, then.value, otherwise.value),
    slope: of.less(a.value, b.value, then.slope, otherwise.slope)
  })
  return {
    of: (value) => ({ value: of.of(value), slope: zero }),
    add: (a, b) => ({ value: add(a.value, b.value), slope: add(a.slope, b.slope) }),
    sub: (a, b) => ({ value: sub(a.value, b.value), slope: sub(a.slope, b.slope) }),
    mul: (a, b) => ({
      value: mul(a.value, b.value),
      slope: add(mul(a.slope, b.value), mul(a.value, b.slope))
    }),
    div: (a, b) => {
      const value = div(a.value, b.value)
      return { value, slope: div(sub(a.slope, mul(value, b.slope)), b.value) }
    },
    exp: chain(of.exp, (_, value) => value),
    log: chain(of.log, (a) => div(of.of(1), a)),
    expm1: chain(of.expm1, (a) => of.exp(a)),
    sqrt: chain(of.sqrt, (_, value) => div(of.of(0.5), value)),
    sin: chain(of.sin, (a) => of.cos(a)),
    cos: chain(of.cos, (a) => sub(zero, of.sin(a))),
    abs: (a) => choose(a, { value: zero, slope: zero }, negated(of, a), a),
    sigmoid: chain(of.sigmoid, (a, value) => mul(value, of.sigmoid(sub(zero, a)))),
    min: (a, b) => choose(a, b, a, b),
    max: (a, b) => choose(a, b, b, a),
    less: choose,
    floor: ({ value }) => ({ value: of.floor(value), slope: zero }),
    lookup: (table, { value }) => ({ value: of.lookup(table, value), slope: zero })
  }
}

const negated = <S>(of: Field<S>, { value, slope }: Dual<S>): Dual<S> => ({
  value: of.sub(of.of(0), value),
  slope: of.sub(of.of(0), slope)
})
