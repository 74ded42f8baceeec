/**
 * Small systems of linear equations: what implicit methods ask of a carrier.
 *
 * They solve (I − s·J)x = v with the Jacobian J = ∂f/∂y. Vectors are laid out as n coordinates and matrices are dense, so n
 * should be small: a Jacobian takes n evaluations of f, and a factorisation of the order of n³ operations.
 *
 * @since 0.1.0
 */
import type { Float } from "../Tensor/DType.ts"
import { Gradient, type Shape, Tensor } from "../Tensor/index.ts"
import type { Carrier } from "./Carrier.ts"
import { ProblemError } from "./SolverError.ts"

/**
 * The vectors of a carrier as coordinates `F`, and matrices over these.
 *
 * @since 0.1.0
 * @category models
 */
export interface Linear<V, S, F = any> {
  readonly matrices: Matrices<S, F>
  /** n, the number of coordinates (of each system). */
  readonly size: (vector: V) => number
  /** Its coordinates, in the order of another vector where the keys of records are written in another order there. */
  readonly flatten: (vector: V, like: V) => F
  /** The vector with these coordinates, in the structure of another one. */
  readonly refill: (like: V, coordinates: F) => V
}

/**
 * Dense matrices over coordinates: `Float64Array` on the host, tensors `[…systems, n]` on devices.
 *
 * @since 0.1.0
 * @category models
 */
export interface Matrices<S, F> {
  readonly join: (parts: ReadonlyArray<F>) => F
  readonly split: (coordinates: F, sizes: ReadonlyArray<number>) => ReadonlyArray<F>
  /** {@link resolvent} */
  readonly resolvent: (f: (x: F) => F, x: F, value: F) => (shift: S) => (v: F) => F
  /** {@link slope} */
  readonly slope: (f: (t: S) => F, t: S, value: F) => F
}

/**
 * The linear algebra of a carrier. Throws `ProblemError` where it has none, naming the part of a struct that lacks it.
 *
 * @since 0.1.0
 * @category getters
 */
export const of = <V, S, B>(carrier: Carrier<V, S, B>): Linear<V, S> => {
  if (carrier.linear !== undefined) return carrier.linear()
  throw new ProblemError({
    what: carrier.name,
    message: `the carrier ${carrier.name} has no linear algebra, which implicit methods need: give it \`linear\`, or take an explicit method`
  })
}

/**
 * (I − s·J)⁻¹v for the Jacobian J of f at y, of which `value` = f(y) is known. One Jacobian serves all shifts s, and one
 * factorisation all v. Singular systems give values that are not finite.
 *
 * On the host J is made of differences, n evaluations of f, and factored as LU with partial pivoting. On tensors it is exact, n
 * products J·eⱼ, and the inverse is found by Gauss and Jordan's elimination with partial pivoting.
 *
 * @since 0.1.0
 * @category solutions
 */
export const resolvent = <V, S>(
  { matrices, flatten, refill }: Linear<V, S>,
  f: (y: V) => V,
  y: V,
  value: V
): ((shift: S) => (v: V) => V) => {
  const flat = (vector: V) => flatten(vector, y)
  const shifted = matrices.resolvent((x) => flat(f(refill(y, x))), flat(y), flat(value))
  return (shift) => {
    const solve = shifted(shift)
    return (v) => refill(y, solve(flat(v)))
  }
}

/**
 * The derivative of f in time, where `value` = f(t) is known: a difference on the host (one evaluation), exact on tensors.
 *
 * @since 0.1.0
 * @category solutions
 */
export const slope = <V, S>(
  { matrices, flatten, refill }: Linear<V, S>,
  f: (t: S) => V,
  t: S,
  value: V
): V => {
  const flat = (vector: V) => flatten(vector, value)
  return refill(
    value,
    matrices.slope((at) => flat(f(at)), t, flat(value))
  )
}

/**
 * x moved by what suits a difference: √ε·|x|, but as in RADAU5 (Hairer and Wanner, IV.8) √(ε·max(|x|, 10⁻⁵)) below 1.
 */
const nudge = (x: number): number => {
  const size = Math.abs(x)
  return x + Math.sqrt(Number.EPSILON) * Math.max(size, Math.sqrt(Math.max(size, 1e-5)))
}

const difference = (after: Float64Array, before: Float64Array, by: number): Float64Array =>
  after.map((each, i) => (each - before[i]) / by)

/** x with Ax = v: the rows of A become those of L and U. */
const factor = (rows: Array<Float64Array>): ((v: Float64Array) => Float64Array) => {
  const n = rows.length
  const order = rows.map((_, i) => i)
  for (let k = 0; k < n; k++) {
    let pivot = k
    for (let i = k + 1; i < n; i++) {
      if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i
    }
    for (const list of [rows, order] as ReadonlyArray<Array<unknown>>) {
      const moved = list[k]
      list[k] = list[pivot]
      list[pivot] = moved
    }
    for (let i = k + 1; i < n; i++) {
      rows[i][k] /= rows[k][k]
      for (let j = k + 1; j < n; j++) rows[i][j] -= rows[i][k] * rows[k][j]
    }
  }
  return (v) => {
    const x = Float64Array.from(order, (i) => v[i])
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) x[i] -= rows[i][j] * x[j]
    for (let i = n - 1; i >= 0; i--) {
      for (let j = i + 1; j < n; j++) x[i] -= rows[i][j] * x[j]
      x[i] /= rows[i][i]
    }
    return x
  }
}

/**
 * Matrices on the host, in double precision.
 *
 * @since 0.1.0
 * @category instances
 */
export const host: Matrices<number, Float64Array> = {
  join: (parts) => Float64Array.from(parts.flatMap((part) => [...part])),
  split: (coordinates, sizes) => {
    let from = 0
    return sizes.map((size) => {
      from += size
      return coordinates.slice(from - size, from)
    })
  },
  resolvent: (f, x, value) => {
    const columns = Array.from(x, (each, j) => {
      const moved = nudge(each)
      return difference(f(x.with(j, moved)), value, moved - each)
    })
    return (shift) =>
      factor(
        Array.from(x, (_, i) =>
          Float64Array.from(columns, (column, j) => (i === j ? 1 : 0) - shift * column[i])
        )
      )
  },
  slope: (f, t, value) => {
    const moved = nudge(t)
    return difference(f(moved), value, moved - t)
  }
}

type Real = Tensor.Tensor<Shape.Shape, Float>

/**
 * A turn for each unit vector of n coordinates, and what it gave stacked along a new first axis: written out for a few, else
 * a scan.
 */
const units = <T>(
  n: number,
  dtype: Float,
  init: T,
  turn: (state: T, unit: Real) => readonly [state: T, result: Real]
): readonly [state: T, results: Real] => {
  const eye: Real = Tensor.eye(n, dtype)
  if (n > 8) {
    return Tensor.scan({
      init,
      over: eye,
      step: (state, unit) => turn(state as T, unit as Real) as never
    }) as unknown as readonly [T, Real]
  }
  let state = init
  const results = Array.from({ length: n }, (_, i) => {
    const [next, result] = turn(state, Tensor.at(eye, i) as Real)
    state = next
    return result
  })
  return [state, Tensor.stack(results) as Real]
}

/** The first axis put at another place, counted from the end. */
const firstTo = (x: Real, place: number): Real => {
  const axes = x.shape.map((_, i) => i).slice(1)
  return Tensor.transpose(x, axes.toSpliced(x.shape.length + place, 0, 0)) as Real
}

const wide = (x: Real, axis: number): Real => Tensor.expandDims(x, axis) as Real

/** a·b along an axis: a sum of products, since devices may round products of matrices more coarsely. */
const dot = (a: Real, b: Real, axis: number): Real =>
  Tensor.sum(Tensor.mul(a, b) as Real, { axis }) as Real

/**
 * The inverse, by elimination of [A | I]. Rows stay where they are: each column takes for its pivot the greatest element in
 * the rows that are still free, and which row it took is put right at the end.
 */
const inverse = (matrix: Real): Real => {
  const { shape, dtype } = matrix
  const n = shape[shape.length - 1]
  const unit = Tensor.broadcastTo(Tensor.eye(n, dtype), shape) as Real
  const init = {
    rows: Tensor.concat([matrix, unit], { axis: -1 }) as Real,
    free: Tensor.ones(shape.slice(0, -1), dtype) as Real
  }
  const [{ rows }, taken] = units(n, dtype, init, ({ rows, free }, unit) => {
    const column = dot(Tensor.slice(rows, -1, { stop: n }) as Real, unit, -1)
    const candidates = Tensor.select(Tensor.greater(free, 0), Tensor.abs(column), -1) as Real
    const row = Tensor.oneHot(Tensor.argMax(candidates), n, dtype) as Real
    const pivot = Tensor.sum(Tensor.mul(row, column) as Real, { axis: -1, keepDims: true }) as Real
    const scaled = Tensor.div(dot(wide(row, -1), rows, -2), pivot) as Real
    const others = Tensor.sub(rows, Tensor.mul(wide(column, -1), wide(scaled, -2)) as Real)
    return [
      {
        rows: Tensor.select(Tensor.greater(wide(row, -1), 0), wide(scaled, -2), others) as Real,
        free: Tensor.sub(free, row) as Real
      },
      row
    ]
  })
  const right = Tensor.slice(rows, -1, { start: n }) as Real
  return dot(wide(firstTo(taken, -2), -1), wide(right, -3), -2)
}

/**
 * Matrices of expressions, one for each of the systems side by side (of shape `[systems]`, or `[]` where there is but one).
 *
 * @since 0.1.0
 * @category instances
 */
export const tensor = (dtype: Float, systems: Shape.Shape): Matrices<Tensor.Any, Tensor.Any> => ({
  join: (parts) => Tensor.concat(parts, { axis: -1 }),
  split: (coordinates, sizes) => {
    let start = 0
    return sizes.map((size) => {
      start += size
      return Tensor.slice(coordinates, -1, { start: start - size, stop: start })
    })
  },
  resolvent: (f, x) => {
    const n = x.shape[x.shape.length - 1]
    // nodes of their own, so that what x is made of stays out of the derivative
    const at = Tensor.named(x, "state")
    const after = f(at)
    const [, columns] = units(n, dtype, [], (state, unit) => [
      state,
      Gradient.jvp(after, at, Tensor.broadcastTo(unit, x.shape)) as Real
    ])
    const jacobian = firstTo(columns, -1)
    const eye: Real = Tensor.eye(n, dtype)
    return (shift) => {
      const scale = wide(wide(shift as Real, -1), -1)
      const solve = inverse(Tensor.sub(eye, Tensor.mul(scale, jacobian) as Real) as Real)
      return (v) => dot(solve, wide(v as Real, -2), -1)
    }
  },
  slope: (f, t) => {
    const at = Tensor.named(t, "time")
    return Gradient.jvp(f(at), at, Tensor.ones(systems, dtype))
  }
})
