/**
 * Explicit Runge–Kutta methods: one engine for every tableau.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"
import {
  cubic,
  later,
  product,
  type RightHandSide,
  type Step,
  type Stepper,
  weighted
} from "./Stepper.ts"
import type { Embedded, Tableau } from "./Tableau.ts"

/** y + h Σ wᵢkᵢ, leaving out weights that are 0. */
const advance = <V, S, B>(
  carrier: Carrier<V, S, B>,
  y: V,
  h: S | number,
  weights: ReadonlyArray<number>,
  k: ReadonlyArray<V>
): V => {
  // a size that is not known yet is multiplied once, not with every weight
  const known = typeof h === "number"
  const terms = weighted(carrier, known ? h : 1, weights, k)
  if (terms.length === 0) return y
  return carrier.combine(
    known
      ? [[1, y], ...terms]
      : [
          [1, y],
          [h, carrier.combine(terms)]
        ]
  )
}

/**
 * One step from (t, y): the result, the error estimates where the tableau has embedded methods, and all stages. `first` is
 * f(t, y) where it is known.
 *
 * @since 0.1.0
 * @category steps
 */
export const step = <V, S, B>(
  tableau: Tableau,
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>,
  t: S,
  h: S | number,
  y: V,
  first?: V
): {
  readonly y: V
  readonly error: V | undefined
  readonly coarse: V | undefined
  readonly k: ReadonlyArray<V>
} => {
  const { a, b, c, embedded } = tableau
  const k: Array<V> = [first === undefined ? f(t, y) : first]
  for (let i = 1; i < b.length; i++) {
    k.push(f(later(carrier, t, h, c[i]), advance(carrier, y, h, a[i - 1], k)))
  }
  const missed = (other: Embedded) =>
    carrier.combine(
      weighted(
        carrier,
        h,
        b.map((weight, i) => weight - other.b[i]),
        k
      )
    )
  return {
    y: advance(carrier, y, h, b, k),
    error: embedded && missed(embedded),
    coarse: embedded?.coarse && missed(embedded.coarse),
    k
  }
}

/** The first derivative of the next step, where the last stage was that. */
interface Memory<V> {
  readonly first?: V
}

interface Dense<V> {
  readonly k: ReadonlyArray<V>
  /** f at the end, for Hermite's interpolant. */
  readonly last?: V
}

/**
 * A tableau bound to y' = f(t, y). With `dense` each step leaves what its interpolant needs: the tableau's own, whose extra
 * stages each step then takes, or else Hermite's cubic (order 3), which takes f at the end, one evaluation more unless the
 * next step begins with it.
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B>(
  tableau: Tableau,
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>,
  options: { readonly dense?: boolean } = {}
): Stepper<V, S, B, Memory<V>, Dense<V>> => {
  const stages = tableau.b.length
  const dense = options.dense ?? false
  const hermite = dense && tableau.dense === undefined
  // with Hermite's interpolant f at the end is known in any case, and begins the next step
  const carries = tableau.firstSameAsLast || hermite
  const extra = (dense && tableau.dense?.extra) || []
  /** The stages, and after them those that only the interpolant needs. */
  const further = (t: S, h: S | number, y: V, stages: ReadonlyArray<V>): ReadonlyArray<V> => {
    const k = [...stages]
    for (const row of extra) {
      const node = row.reduce((sum, each) => sum + each, 0)
      k.push(f(later(carrier, t, h, node), advance(carrier, y, h, row, k)))
    }
    return k
  }
  return {
    name: tableau.name,
    carrier,
    order: tableau.order,
    errorOrder: tableau.embedded && errorOrder(tableau.order, tableau.embedded),
    denseOrder: tableau.dense?.order ?? Math.min(3, tableau.order),
    evaluations: {
      start: carries ? 1 : 0,
      step:
        stages + extra.length - (carries ? 1 : 0) + (hermite && !tableau.firstSameAsLast ? 1 : 0)
    },
    derivative: f,
    dense: () => stepper(tableau, carrier, f, { dense: true }),
    start: (t, y) => (carries ? { first: f(t, y) } : {}),
    step: (t, h, y, { first }): Step<V, S, B, Memory<V>, Dense<V>> => {
      const { y: after, error, coarse, k } = step(tableau, carrier, f, t, h, y, first)
      const last = tableau.firstSameAsLast
        ? k[stages - 1]
        : hermite
          ? f(later(carrier, t, h, 1), after)
          : undefined
      return {
        y: after,
        error,
        coarse,
        memory: carries && last !== undefined ? { first: last } : {},
        dense: !dense
          ? { k: [] }
          : hermite
            ? { k: [k[0]], last: last as V }
            : { k: further(t, h, y, k) }
      }
    },
    interpolate: ({ theta, h, before, after, dense }) =>
      dense.last === undefined
        ? polynomial(carrier, tableau, theta, h, before, dense.k)
        : cubic(carrier, { theta, h, before, after, first: dense.k[0], last: dense.last }),
    stages: (t, h, y, { first }) => further(t, h, y, step(tableau, carrier, f, t, h, y, first).k)
  }
}

/** With a coarse estimate of order q beside the one of order p, h^(2(p + 1)) / h^(q + 1) is what both give together. */
const errorOrder = (order: number, embedded: NonNullable<Tableau["embedded"]>): number => {
  const fine = Math.min(embedded.order, order) + 1
  return embedded.coarse === undefined ? fine : 2 * fine - (embedded.coarse.order + 1)
}

const polynomial = <V, S, B>(
  carrier: Carrier<V, S, B>,
  tableau: Tableau,
  theta: S,
  h: S | number,
  before: V,
  k: ReadonlyArray<V>
): V => {
  const { scalar, add, sub, mul } = carrier
  const { b = [], nested = false } = tableau.dense ?? {}
  const rest = sub(scalar(1), theta)
  const terms = b.flatMap((coefficients, i) => {
    if (coefficients.every((each) => each === 0)) return []
    const weight = coefficients.reduceRight(
      (sum: S, each, power) =>
        mul(add(sum, scalar(each)), nested && power % 2 === 1 ? rest : theta),
      scalar(0)
    )
    return [[product(carrier, weight, h), k[i]] as const]
  })
  return carrier.combine([[1, before], ...terms])
}
