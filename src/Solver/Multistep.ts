/**
 * Methods that look back: those of Adams and Bashforth, and of Adams, Bashforth and Moulton.
 *
 * A step from t to t + h integrates the polynomial through the values of f at the last points,
 *
 *     y(t + h) ≈ y(t) + h Σ wᵢfᵢ,  wᵢ = ∫₀¹ Lᵢ(s) ds,
 *
 * where Lᵢ is Lagrange's basis on the points' positions in units of h: 0, −1, −2, … where all steps have one size (then the
 * weights are the classical ones, plain numbers), and else 0, −h₋₁/h, −(h₋₁ + h₋₂)/h, … of the last steps' sizes h₋₁, h₋₂, …,
 * so that the order is kept on any grid (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, III.1 and III.5).
 * The first steps, with nothing behind them, are taken by a Runge–Kutta method of at least the same order.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"
import type { Method } from "./Method.ts"
import * as RungeKutta from "./RungeKutta.ts"
import { ProblemError } from "./SolverError.ts"
import { cubic, later, type RightHandSide, type Stepper } from "./Stepper.ts"
import * as Tableau from "./Tableau.ts"

/**
 * A scalar of a carrier, or a plain number, which costs less.
 *
 * @since 0.1.0
 * @category models
 */
export type Coefficient<S> = S | number

/**
 * Arithmetic of coefficients: what is plain stays plain, and 0 and 1 cost nothing.
 *
 * @since 0.1.0
 * @category coefficients
 */
export const arithmetic = <V, S, B>(carrier: Carrier<V, S, B>) => {
  type C = Coefficient<S>
  const lift = (a: C): S => (typeof a === "number" ? carrier.scalar(a) : a)
  const both =
    (plain: (a: number, b: number) => number, general: (a: C, b: C) => C) =>
    (a: C, b: C): C =>
      typeof a === "number" && typeof b === "number" ? plain(a, b) : general(a, b)
  return {
    lift,
    add: both(
      (a, b) => a + b,
      (a, b) => (a === 0 ? b : b === 0 ? a : carrier.add(lift(a), lift(b)))
    ),
    sub: both(
      (a, b) => a - b,
      (a, b) => (b === 0 ? a : carrier.sub(lift(a), lift(b)))
    ),
    mul: both(
      (a, b) => a * b,
      (a, b) => (a === 0 || b === 0 ? 0 : a === 1 ? b : b === 1 ? a : carrier.mul(lift(a), lift(b)))
    ),
    div: both(
      (a, b) => a / b,
      (a, b) => (b === 1 ? a : carrier.div(lift(a), lift(b)))
    )
  }
}

/** Whether a size says that all steps have it; where scalars are plain numbers themselves it does not. */
const isCommon = <V, S, B>(carrier: Carrier<V, S, B>, h: S | number): boolean =>
  typeof h === "number" && typeof carrier.scalar(0) !== "number"

/**
 * The positions of the last points, seen from the present one in units of the step ahead: `ahead`, `ahead` − 1, … 0 and then
 * those of the points before, `count` in all.
 *
 * @since 0.1.0
 * @category coefficients
 */
export const positions = <V, S, B>(
  carrier: Carrier<V, S, B>,
  h: S | number,
  sizes: ReadonlyArray<S>,
  count: number,
  ahead: 0 | 1 = 0
): ReadonlyArray<Coefficient<S>> => {
  if (isCommon(carrier, h)) return Array.from({ length: count }, (_, i) => ahead - i)
  const { sub, div } = arithmetic(carrier)
  const back: Array<Coefficient<S>> = [0]
  for (const [i, size] of sizes.entries()) back.push(sub(back[i], div(size, h)))
  return [...(ahead === 1 ? [1] : []), ...back].slice(0, count)
}

/**
 * Lagrange's basis: for each node the coefficients of s⁰, s¹, … of the polynomial that is 1 there and 0 at the other nodes.
 *
 * @since 0.1.0
 * @category coefficients
 */
export const basis = <V, S, B>(
  carrier: Carrier<V, S, B>,
  nodes: ReadonlyArray<Coefficient<S>>
): ReadonlyArray<ReadonlyArray<Coefficient<S>>> => {
  const { sub, mul, div } = arithmetic(carrier)
  return nodes.map((node, i) => {
    const others = nodes.filter((_, j) => j !== i)
    const size = others.reduce((product, other) => mul(product, sub(node, other)), 1)
    return others
      .reduce<ReadonlyArray<Coefficient<S>>>(
        (polynomial, other) =>
          // times (s − other)
          Array.from({ length: polynomial.length + 1 }, (_, j) =>
            sub(
              j === 0 ? 0 : polynomial[j - 1],
              j < polynomial.length ? mul(other, polynomial[j]) : 0
            )
          ),
        [1]
      )
      .map((each) => div(each, size))
  })
}

/**
 * What is remembered from step to step.
 *
 * @since 0.1.0
 * @category models
 */
export interface Memory<V, S> {
  /** The value at the present point, where the last step ended with it. */
  readonly first?: V
  /** The values at the points before, the latest first. */
  readonly values: ReadonlyArray<V>
  /** The sizes of the steps before, the latest first; left as they are where all have one size. */
  readonly sizes: ReadonlyArray<S>
}

/**
 * From t to t + h, by the values at the present point and at those before.
 *
 * @since 0.1.0
 * @category models
 */
export type Advance<V, S> = (
  t: S,
  h: S | number,
  y: V,
  values: ReadonlyArray<V>,
  sizes: ReadonlyArray<S>
) => V

/**
 * A method that remembers values of the right-hand side, or of a part of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scheme<V, S> {
  readonly name: string
  readonly order: number
  /** What is remembered of each point. */
  readonly value: RightHandSide<V, S>
  /** y' from that. */
  readonly slope: (t: S, y: V, value: V) => V
  readonly advance: Advance<V, S>
  /** Evaluations of `value` in `advance`. */
  readonly evaluations: number
  /** How the first steps are taken: as many as there are values from before. */
  readonly lead?:
    | {
        readonly steps: number
        readonly advance: Advance<V, S>
        readonly evaluations: number
      }
    | undefined
}

interface Dense<V> {
  /** y' at both ends. */
  readonly slopes: ReadonlyArray<V>
}

/**
 * A scheme as a stepper, with Hermite's cubic as its interpolant (order 3, or the scheme's where that is less). With `dense` each
 * step evaluates the right-hand side at its end, and the next begins with that: one evaluation more in all.
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B>(
  scheme: Scheme<V, S>,
  carrier: Carrier<V, S, B>,
  options: { readonly dense?: boolean } = {}
): Stepper<V, S, B, Memory<V, S>, Dense<V>> => {
  const { value, slope, lead } = scheme
  const dense = options.dense ?? false
  const behind = lead?.steps ?? 0
  type Step = Stepper<V, S, B, Memory<V, S>, Dense<V>>["step"]
  const by =
    (advance: Advance<V, S>): Step =>
    (t, h, y, memory) => {
      const first = memory.first === undefined ? value(t, y) : memory.first
      const values = [first, ...memory.values]
      const after = advance(t, h, y, values, memory.sizes)
      const kept = {
        values: values.slice(0, behind),
        sizes: isCommon(carrier, h) ? memory.sizes : [h as S, ...memory.sizes].slice(0, behind)
      }
      if (!dense) return { y: after, error: undefined, memory: kept, dense: { slopes: [] } }
      const end = later(carrier, t, h, 1)
      const last = value(end, after)
      return {
        y: after,
        error: undefined,
        memory: { ...kept, first: last },
        dense: { slopes: [slope(t, y, first), slope(end, after, last)] }
      }
    }
  return {
    name: scheme.name,
    carrier,
    order: scheme.order,
    errorOrder: undefined,
    denseOrder: Math.min(3, scheme.order),
    evaluations: { start: dense ? 1 : 0, step: 1 + scheme.evaluations },
    derivative: (t, y) => slope(t, y, value(t, y)),
    dense: () => stepper(scheme, carrier, { dense: true }),
    start: (t, y) => {
      const filler = dense ? value(t, y) : y
      return {
        ...(dense ? { first: filler } : {}),
        // places for what the leading steps bring
        values: new Array<V>(behind).fill(filler),
        sizes: new Array<S>(behind).fill(carrier.scalar(1))
      }
    },
    step: by(scheme.advance),
    ...(lead === undefined
      ? {}
      : {
          lead: {
            steps: behind,
            step: (t, h, y, memory) => ({
              ...by(lead.advance)(t, h, y, memory),
              evaluations: carrier.scalar(1 + lead.evaluations)
            })
          }
        }),
    interpolate: ({ dense, ...at }) =>
      cubic(carrier, { ...at, first: dense.slopes[0], last: dense.slopes[1] })
  }
}

/** y + h Σ wᵢfᵢ over points at these positions. */
const integrate = <V, S, B>(
  carrier: Carrier<V, S, B>,
  h: S | number,
  y: V,
  nodes: ReadonlyArray<Coefficient<S>>,
  values: ReadonlyArray<V>
): V => {
  const { add, mul } = arithmetic(carrier)
  const weights = basis(carrier, nodes).map((polynomial) =>
    polynomial.map((each, j) => mul(each, 1 / (j + 1))).reduce(add)
  )
  return carrier.combine([
    [1, y],
    ...weights.map((weight, i) => [mul(h, weight), values[i]] as const)
  ])
}

/** For each order the method of the first steps; Dormand and Prince's without its last stage, which only serves the error. */
const leads = [
  Tableau.euler,
  Tableau.heun,
  Tableau.rk4,
  Tableau.rk4,
  Tableau.make({
    name: "Dormand–Prince 5",
    order: 5,
    a: Tableau.dopri5.a.slice(0, 5),
    b: Tableau.dopri5.b.slice(0, 6)
  })
]

const adams = (name: string, order: number, corrected: boolean): Method => {
  if (!Number.isInteger(order) || order < 1 || order > leads.length) {
    throw new ProblemError({
      what: name,
      message: `${name}: the order is a whole number from 1 to ${leads.length}, not ${order}`
    })
  }
  return {
    name: `${name} ${order}`,
    order,
    bind: (carrier, f) => {
      const lead = leads[order - 1]
      return stepper(
        {
          name: `${name} ${order}`,
          order,
          value: f,
          slope: (_t, _y, value) => value,
          advance: (t, h, y, values, sizes) => {
            const reach = (ahead: 0 | 1, through: typeof values) =>
              integrate(carrier, h, y, positions(carrier, h, sizes, order, ahead), through)
            const predicted = reach(0, values)
            return corrected
              ? reach(1, [f(later(carrier, t, h, 1), predicted), ...values])
              : predicted
          },
          evaluations: corrected ? 1 : 0,
          lead:
            order === 1
              ? undefined
              : {
                  steps: order - 1,
                  advance: (t, h, y, [first]) =>
                    RungeKutta.step(lead, carrier, f, t, h, y, first).y,
                  evaluations: lead.b.length - 1
                }
        },
        carrier
      )
    }
  }
}

/**
 * The explicit method of Adams and Bashforth of order 1 (Euler's) to 5: one evaluation a step. For constant or prescribed steps;
 * it estimates no error. Throws `ProblemError` for other orders.
 *
 * @example
 * ```ts
 * import { Carrier, Fixed, Method, Multistep } from "odeon/Solver"
 *
 * const decay = Method.bind(Multistep.adamsBashforth(3), Carrier.number, (_, y) => -y)
 * const { y } = Fixed.run(decay, 1, { from: 0, to: 1, count: 100 })
 * ```
 *
 * @since 0.1.0
 * @category methods
 */
export const adamsBashforth = (order: number): Method => adams("Adams–Bashforth", order, false)

/**
 * The method of Adams, Bashforth and Moulton of order 1 to 5: the explicit method predicts, f is evaluated there, the implicit
 * one of the same order, through that value, corrects, and the next step evaluates f again (PECE): two evaluations a step,
 * with smaller errors and a larger domain of stability than {@link adamsBashforth}. For constant or prescribed steps. Throws
 * `ProblemError` for other orders.
 *
 * @since 0.1.0
 * @category methods
 */
export const adamsBashforthMoulton = (order: number): Method =>
  adams("Adams–Bashforth–Moulton", order, true)
