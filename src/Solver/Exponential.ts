/**
 * Exponential integrators, for semilinear problems y' = A(t)·y + N(t, y) where A is a scalar or a diagonal matrix.
 *
 * The linear part is solved exactly and only N is approximated, through the functions
 *
 *     φ₀(z) = eᶻ,  φₖ(z) = ∫₀¹ e^((1−s)z) sᵏ⁻¹/(k−1)! ds,  φₖ₊₁(z) = (φₖ(z) − 1/k!)/z,
 *
 * so that a large negative A does not ask for small steps. A step of a constant A with z = hA reads (Hochbruck and Ostermann,
 * Exponential integrators, Acta Numerica 2010)
 *
 *     Yᵢ = e^(cᵢz) y + h Σⱼ aᵢⱼ(z) N(t + cⱼh, Yⱼ),  y(t + h) ≈ eᶻ y + h Σᵢ bᵢ(z) N(t + cᵢh, Yᵢ),
 *
 * and for A = 0 it is the step of an explicit Runge–Kutta or Adams–Bashforth method.
 *
 * Where A depends on time, let Λ(s) be its integral from t to t + s, z = Λ(h) and D(s) = Λ(s) − (s/h)z. Then w(s) =
 * e^(−D(s)) y(t + s) has a constant linear part: w' = (z/h)·w + e^(−D(s)) N(t + s, e^(D(s)) w), and w = y at both ends of the step.
 * That is what is integrated: the order is kept for any A(t), and where N = 0 the result is exact.
 *
 * @since 0.1.0
 */
import * as Carrier from "./Carrier.ts"
import {
  type Advance,
  arithmetic,
  basis,
  type Coefficient,
  stepper as lookingBack,
  positions,
  type Scheme
} from "./Multistep.ts"
import { ProblemError } from "./SolverError.ts"
import { later, type RightHandSide, type Stepper, times } from "./Stepper.ts"
import * as RungeKutta from "./Tableau.ts"

/** Where series and recursion meet: the least cancellation in φ₁ to φ₄. */
const radius = 2

/** 1/k! */
const inverseFactorial = (k: number): number => (k < 2 ? 1 : inverseFactorial(k - 1) / k)

/**
 * φ₀(z) to φₙ(z), n ≤ 4, of a real z: relative errors of a few dozen roundings at most. Near 0 the Taylor series of φₙ and
 * from it the others downwards, farther away from eᶻ upwards.
 *
 * @since 0.1.0
 * @category functions
 */
export const phi = <V, S, B>(
  carrier: Carrier.Carrier<V, S, B>,
  n: number,
  z: S
): ReadonlyArray<S> => {
  const { scalar, add, sub, mul, div, select } = carrier
  const first = carrier.exp(z)
  if (n === 0) return [first]
  const near = carrier.less(carrier.abs(z), scalar(radius))
  // neither branch sees what it cannot take, so that derivatives stay finite
  const small = select(near, z, scalar(0))
  const large = select(near, scalar(radius), z)
  const taylor: Array<number> = []
  do taylor.push(inverseFactorial(n + taylor.length))
  while (taylor[taylor.length - 1] * radius ** taylor.length > taylor[0] * 2 ** -56)
  const series = taylor.reduceRight((sum: S, each) => add(mul(sum, small), scalar(each)), scalar(0))
  const down = [series]
  for (let k = n - 1; k > 0; k--) {
    down.unshift(add(mul(down[0], small), scalar(inverseFactorial(k))))
  }
  const up = [first]
  for (let k = 0; k < n; k++) {
    up.push(div(sub(up[k], scalar(inverseFactorial(k))), large))
  }
  return [first, ...down.map((each, i) => select(near, each, up[i + 1]))]
}

/** Coefficient, order k and argument c of a term a·φₖ(cz). */
type Term<C> = readonly [coefficient: C, order: number, argument: number]

/**
 * A weight Σ a·φₖ(cz), as its terms [a, k, c].
 *
 * @since 0.1.0
 * @category models
 */
export type Weight = ReadonlyArray<Term<number>>

/**
 * What the linear part does during one step.
 *
 * @since 0.1.0
 * @category models
 */
export interface Flow<V, S> {
  /** Σ (Σ a·φₖ(cz))·v, where the coefficients a may be scalars of the carrier. */
  readonly combine: (
    terms: ReadonlyArray<readonly [weight: ReadonlyArray<Term<Coefficient<S>>>, vector: V]>
  ) => V
  /** e^(±D(s))·v at t + s, s in units of the step. */
  readonly turn: (sign: 1 | -1, s: Coefficient<S>, vector: V) => V
}

/**
 * A linear part A(t)·y. See {@link scalar} and {@link diagonal}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Linear<V, S> {
  readonly apply: (t: S, y: V) => V
  /** Over the step from t to t + h, with φ functions up to this order. */
  readonly over: (t: S, h: S | number, orders: number) => Flow<V, S>
}

/**
 * A constant A; or A(t) and, where it is known, its integral from t to t + h (otherwise Gauss's quadrature with three nodes, of
 * order 6, takes its place).
 *
 * @since 0.1.0
 * @category models
 */
export type Rate<L, S> =
  | readonly [constant: L]
  | readonly [at: (t: S) => L, integral?: (t: S, h: S) => L]

/** How numbers, or diagonals, act on vectors. */
interface Action<V, S, L> {
  readonly phi: (n: number, z: L) => ReadonlyArray<L>
  readonly sum: (terms: ReadonlyArray<readonly [Coefficient<S>, L]>) => L
  readonly combine: (terms: ReadonlyArray<readonly [L, V]>) => V
}

/** Nodes and weights of Gauss's quadrature on [0, 1]. */
const gauss = [
  [1 / 2 - Math.sqrt(15) / 10, 5 / 18],
  [1 / 2, 4 / 9],
  [1 / 2 + Math.sqrt(15) / 10, 5 / 18]
] as const

const linear = <V, S, B, L>(
  carrier: Carrier.Carrier<V, S, B>,
  action: Action<V, S, L>,
  [rate, integral]: Rate<L, S>
): Linear<V, S> => {
  const { lift, mul, sub } = arithmetic(carrier)
  const varies = (each: typeof rate): each is (t: S) => L => typeof each === "function"
  const at = (t: S): L => (varies(rate) ? rate(t) : rate)
  const area = (t: S, h: Coefficient<S>): L =>
    !varies(rate)
      ? action.sum([[h, rate]])
      : integral !== undefined
        ? integral(t, lift(h))
        : action.sum(
            gauss.map(([node, weight]) => [
              times(carrier, h, weight),
              rate(later(carrier, t, h, node))
            ])
          )
  const over = (t: S, h: S | number, orders: number): Flow<V, S> => {
    const z = area(t, h)
    const known = new Map<number, ReadonlyArray<L>>()
    const phis = (c: number): ReadonlyArray<L> => {
      const values = known.get(c) ?? action.phi(orders, action.sum([[c, z]]))
      known.set(c, values)
      return values
    }
    return {
      combine: (terms) =>
        action.combine(
          terms.map(([weight, vector]) => [
            action.sum(weight.map(([a, k, c]) => [a, phis(c)[k]])),
            vector
          ])
        ),
      turn: (sign, s, vector) => {
        if (!varies(rate) || s === 0 || s === 1) return vector
        const deviation = action.sum([
          [sign, area(t, mul(s, h))],
          [sub(0, mul(sign, s)), z]
        ])
        return action.combine([[action.phi(0, deviation)[0], vector]])
      }
    }
  }
  let last: { readonly h: number; readonly orders: number; readonly flow: Flow<V, S> } | undefined
  return {
    apply: (t, y) => action.combine([[at(t), y]]),
    over: (t, h, orders) => {
      // the φ functions of a constant A in steps of one size are found once
      if (varies(rate) || typeof h !== "number") return over(t, h, orders)
      if (last === undefined || last.h !== h || last.orders !== orders) {
        last = { h, orders, flow: over(t, h, orders) }
      }
      return last.flow
    }
  }
}

/**
 * A scalar linear part: one number for the whole state, or one of each system on carriers with many side by side. A plain
 * number costs least.
 *
 * @example
 * ```ts
 * import { Carrier, Exponential, Fixed } from "odeon/Solver"
 *
 * // y' = −1000 (y − cos t)
 * const stiff = Exponential.stepper(Exponential.krogstad4, Carrier.number, {
 *   linear: Exponential.scalar(Carrier.number, -1000),
 *   nonlinear: (t) => 1000 * Math.cos(t)
 * })
 * const { y } = Fixed.run(stiff, 1, { from: 0, to: 1, count: 20 })
 * ```
 *
 * @since 0.1.0
 * @category linear parts
 */
export const scalar = <V, S, B>(
  carrier: Carrier.Carrier<V, S, B>,
  ...rate: Rate<Coefficient<S>, S>
): Linear<V, S> => {
  const { add, mul } = arithmetic(carrier)
  return linear(
    carrier,
    {
      phi: (n, z) => (typeof z === "number" ? phi(Carrier.number, n, z) : phi(carrier, n, z)),
      sum: (terms) => terms.map(([a, b]) => mul(a, b)).reduce(add),
      combine: carrier.combine
    },
    rate
  )
}

/**
 * A diagonal linear part: a vector like the state, whose elements multiply those of the state.
 *
 * @since 0.1.0
 * @category linear parts
 */
export const diagonal = <V, S, B>(
  carrier: Carrier.Carrier<V, S, B>,
  ...rate: Rate<V, S>
): Linear<V, S> =>
  linear(
    carrier,
    {
      phi: (n, z) => carrier.elementwise(z, (elements, element) => phi(elements, n, element)),
      sum: carrier.combine,
      combine: (terms) => carrier.combine(terms.map(([a, b]) => [1, carrier.hadamard(a, b)]))
    },
    rate
  )

/**
 * The problem y' = A(t)·y + N(t, y).
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem<V, S> {
  readonly linear: Linear<V, S>
  readonly nonlinear: RightHandSide<V, S>
}

/**
 * An exponential Runge–Kutta method. Row i of `a` has the weights of stage i + 1, as in `Tableau`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tableau {
  readonly name: string
  readonly order: number
  /** The order that is kept however large A is (Hochbruck and Ostermann 2005). */
  readonly stiffOrder: number
  readonly c: ReadonlyArray<number>
  readonly a: ReadonlyArray<ReadonlyArray<Weight>>
  readonly b: ReadonlyArray<Weight>
}

/**
 * A method, before it is bound to a problem.
 *
 * @since 0.1.0
 * @category models
 */
export interface Method {
  readonly name: string
  readonly order: number
  readonly bind: <V, S, B>(
    carrier: Carrier.Carrier<V, S, B>,
    problem: Problem<V, S>
  ) => Stepper<V, S, B>
}

const value = (weight: Weight, z: number): number =>
  weight.reduce((sum, [a, k, c]) => sum + a * phi(Carrier.number, k, c * z)[k], 0)

/**
 * The explicit Runge–Kutta method that an exponential one is where A = 0. Throws `ProblemError` if that is not of its order.
 *
 * @since 0.1.0
 * @category getters
 */
export const underlying = ({ name, order, c, a, b }: Tableau): RungeKutta.Tableau =>
  RungeKutta.make({
    name,
    order,
    c,
    a: a.map((row) => row.map((weight) => value(weight, 0))),
    b: b.map((weight) => value(weight, 0))
  })

/**
 * A tableau, checked: the order conditions at A = 0, and for other A that a constant N is integrated exactly, Σⱼ aᵢⱼ(z) =
 * cᵢφ₁(cᵢz) and Σ bᵢ(z) = φ₁(z). Throws `ProblemError` naming what does not hold.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (tableau: Tableau): Tableau => {
  underlying(tableau)
  const rows = [[], ...tableau.a, tableau.b]
  for (const z of [-3, 1]) {
    rows.forEach((row, i) => {
      const c = i === tableau.c.length ? 1 : tableau.c[i]
      const sum = row.reduce((total, weight) => total + value(weight, z), 0)
      const due = c * phi(Carrier.number, 1, c * z)[1]
      if (!(Math.abs(sum - due) <= 1e-12)) {
        const which = i === tableau.c.length ? "the result" : `stage ${i}`
        throw new ProblemError({
          what: tableau.name,
          message: `${tableau.name}: at z = ${z} the weights of ${which} add up to ${sum}, but to integrate a constant they should give ${due}`
        })
      }
    })
  }
  return tableau
}

/** The highest φ function in a tableau. */
const highest = ({ a, b }: Tableau): number =>
  Math.max(...[...a.flat(2), ...b.flat()].map(([, order]) => order))

const exact = [[1, 0, 1]] as const

/** One step, from the value of N at its start. */
const step = <V, S, B>(
  tableau: Tableau,
  carrier: Carrier.Carrier<V, S, B>,
  problem: Problem<V, S>
): Advance<V, S> => {
  const orders = highest(tableau)
  return (t, h, y, [first]) => {
    const flow = problem.linear.over(t, h, orders)
    const values = [first]
    const reach = (c: number, weights: ReadonlyArray<Weight>): V =>
      flow.combine([
        [[[1, 0, c]], y],
        ...weights.flatMap((weight, j) =>
          weight.length === 0
            ? []
            : [
                [
                  weight.map(([a, k, c]) => [times(carrier, h, a), k, c] as const),
                  values[j]
                ] as const
              ]
        )
      ])
    tableau.a.forEach((row, i) => {
      const c = tableau.c[i + 1]
      const stage = flow.turn(1, c, reach(c, row))
      values.push(flow.turn(-1, c, problem.nonlinear(later(carrier, t, h, c), stage)))
    })
    return reach(1, tableau.b)
  }
}

/** What all methods have in common: they remember N. */
const scheme = <V, S>(
  { name, order }: { readonly name: string; readonly order: number },
  { linear, nonlinear }: Problem<V, S>,
  carrier: Pick<Carrier.Carrier<V, S, never>, "combine">,
  rest: Pick<Scheme<V, S>, "advance" | "evaluations" | "lead">
): Scheme<V, S> => ({
  name,
  order,
  value: nonlinear,
  slope: (t, y, value) =>
    carrier.combine([
      [1, linear.apply(t, y)],
      [1, value]
    ]),
  ...rest
})

/**
 * A method bound to a problem on a carrier: for constant or prescribed steps, since it estimates no error. Only evaluations of N
 * are counted. The interpolant is Hermite's cubic: its order is that where h·A is small.
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B>(
  method: Tableau | Method,
  carrier: Carrier.Carrier<V, S, B>,
  problem: Problem<V, S>
): Stepper<V, S, B> =>
  "bind" in method
    ? method.bind(carrier, problem)
    : lookingBack(
        scheme(method, problem, carrier, {
          advance: step(method, carrier, problem),
          evaluations: method.b.length - 1
        }),
        carrier
      )

/** A multiple of φₖ(cz). */
const term = (coefficient: number, order: number, argument = 1): Term<number> => [
  coefficient,
  order,
  argument
]

/**
 * Exponential Euler, order 1, also for stiff problems: y₁ = eᶻy + hφ₁(z)N(t, y).
 *
 * @since 0.1.0
 * @category methods
 */
export const exponentialEuler: Tableau = make({
  name: "exponential Euler",
  order: 1,
  stiffOrder: 1,
  c: [0],
  a: [],
  b: [[term(1, 1)]]
})

/**
 * ETD-RK2, order 2, also for stiff problems (Cox and Matthews 2002, equation 22). At A = 0 it is Heun's method.
 *
 * @since 0.1.0
 * @category methods
 */
export const etdrk2: Tableau = make({
  name: "ETD-RK2",
  order: 2,
  stiffOrder: 2,
  c: [0, 1],
  a: [[[term(1, 1)]]],
  b: [[term(1, 1), term(-1, 2)], [term(1, 2)]]
})

/** Cox and Matthews's weights of the result, with nodes 0, 1/2, 1/2, 1. */
const simpson: ReadonlyArray<Weight> = [
  [term(1, 1), term(-3, 2), term(4, 3)],
  [term(2, 2), term(-4, 3)],
  [term(2, 2), term(-4, 3)],
  [term(-1, 2), term(4, 3)]
]

/**
 * ETD-RK4, order 4, but 2 for some stiff problems (Cox and Matthews 2002, equations 26 to 29; Kassam and Trefethen 2005). At A = 0
 * it is the classic Runge–Kutta method.
 *
 * @since 0.1.0
 * @category methods
 */
export const etdrk4: Tableau = make({
  name: "ETD-RK4",
  order: 4,
  stiffOrder: 2,
  c: [0, 1 / 2, 1 / 2, 1],
  a: [
    [[term(1 / 2, 1, 1 / 2)]],
    [[], [term(1 / 2, 1, 1 / 2)]],
    // ½φ₁(z/2)(e^(z/2) − 1) = φ₁(z) − φ₁(z/2)
    [[term(1, 1), term(-1, 1, 1 / 2)], [], [term(1, 1, 1 / 2)]]
  ],
  b: simpson
})

/**
 * Krogstad's method, order 4, and 3 for stiff problems (Krogstad 2005, ETDRK4-B): more accurate than {@link etdrk4} at the same
 * cost. At A = 0 it is the classic Runge–Kutta method.
 *
 * @since 0.1.0
 * @category methods
 */
export const krogstad4: Tableau = make({
  name: "Krogstad 4",
  order: 4,
  stiffOrder: 3,
  c: [0, 1 / 2, 1 / 2, 1],
  a: [
    [[term(1 / 2, 1, 1 / 2)]],
    [[term(1 / 2, 1, 1 / 2), term(-1, 2, 1 / 2)], [term(1, 2, 1 / 2)]],
    [[term(1, 1), term(-2, 2)], [], [term(2, 2)]]
  ],
  b: simpson
})

/** The weight a₅₂ = a₅₃ of Hochbruck and Ostermann's method. */
const fifth: Weight = [term(1 / 2, 2, 1 / 2), term(-1, 3), term(1 / 4, 2), term(-1 / 2, 3, 1 / 2)]
const scaled = (factor: number, weight: Weight): Weight =>
  weight.map(([a, k, c]) => term(factor * a, k, c))

/**
 * Hochbruck and Ostermann's method with five stages, order 4, also for stiff problems (Explicit exponential Runge–Kutta methods for
 * semilinear parabolic problems, 2005, section 5).
 *
 * @since 0.1.0
 * @category methods
 */
export const hochbruckOstermann4: Tableau = make({
  name: "Hochbruck–Ostermann 4",
  order: 4,
  stiffOrder: 4,
  c: [0, 1 / 2, 1 / 2, 1, 1 / 2],
  a: [
    [[term(1 / 2, 1, 1 / 2)]],
    [[term(1 / 2, 1, 1 / 2), term(-1, 2, 1 / 2)], [term(1, 2, 1 / 2)]],
    [[term(1, 1), term(-2, 2)], [term(1, 2)], [term(1, 2)]],
    [
      // ½φ₁(z/2) − 2a₅₂ − a₅₄ with a₅₄ = ¼φ₂(z/2) − a₅₂
      [term(1 / 2, 1, 1 / 2), term(-1 / 4, 2, 1 / 2), ...scaled(-1, fifth)],
      fifth,
      fifth,
      [term(1 / 4, 2, 1 / 2), ...scaled(-1, fifth)]
    ]
  ],
  b: [
    [term(1, 1), term(-3, 2), term(4, 3)],
    [],
    [],
    [term(-1, 2), term(4, 3)],
    [term(4, 2), term(-8, 3)]
  ]
})

/** For each order the method of the first steps. */
const leads = [exponentialEuler, etdrk2, krogstad4, krogstad4]

/**
 * The exponential Adams–Bashforth method of order 1 (exponential Euler) to 4: one evaluation a step. The polynomial through the last
 * values of N, at wherever they lie, is integrated exactly against the exponential, y₁ = eᶻy + h Σⱼ j! φⱼ₊₁(z) pⱼ with its
 * coefficients pⱼ (Cox and Matthews 2002; Hochbruck and Ostermann 2010), so that the order is kept
 * on any grid. The first steps are taken by Runge–Kutta methods of at least that order. Throws `ProblemError` for other
 * orders.
 *
 * @since 0.1.0
 * @category methods
 */
export const adamsBashforth = (order: number): Method => {
  const name = "exponential Adams–Bashforth"
  if (!Number.isInteger(order) || order < 1 || order > leads.length) {
    throw new ProblemError({
      what: name,
      message: `${name}: the order is a whole number from 1 to ${leads.length}, not ${order}`
    })
  }
  const method = { name: `${name} ${order}`, order }
  return {
    ...method,
    bind: (carrier, problem) => {
      const { mul } = arithmetic(carrier)
      const lead = leads[order - 1]
      return lookingBack(
        scheme(method, problem, carrier, {
          advance: (t, h, y, values, sizes) => {
            const flow = problem.linear.over(t, h, order)
            const nodes = positions(carrier, h, sizes, order)
            const turned = nodes.map((s, i) => flow.turn(-1, s, values[i]))
            const polynomials = basis(carrier, nodes)
            return flow.combine([
              [exact, y],
              ...nodes.map((_, j) => {
                const weight = mul(h, 1 / inverseFactorial(j))
                const through = turned.map((each, i) => [polynomials[i][j], each] as const)
                return [[[weight, j + 1, 1] as const], carrier.combine(through)] as const
              })
            ])
          },
          evaluations: 0,
          lead:
            order === 1
              ? undefined
              : {
                  steps: order - 1,
                  advance: step(lead, carrier, problem),
                  evaluations: lead.b.length - 1
                }
        }),
        carrier
      )
    }
  }
}
