/**
 * Implicit methods, for stiff problems: diagonally implicit Runge–Kutta methods, and Rosenbrock's.
 *
 * A diagonally implicit step of size h has stages kᵢ = f(t + cᵢh, y + h Σⱼ aᵢⱼkⱼ), j ≤ i. Each is found by simplified Newton
 * iteration with the matrix I − γhJ, where γ is the aᵢᵢ common to all implicit stages and J = ∂f/∂y at the step's
 * beginning (Hairer and Wanner, Solving Ordinary Differential Equations II, IV.6 and IV.8). The estimate of the error is
 * multiplied by (I − γhJ)⁻¹, which leaves it as it is where h is small, and takes from it what stiff components, damped by
 * the method, would add (IV.8, equation 8.19).
 *
 * They need a carrier's linear algebra (see `Linear`), and n, the number of components, to be small. A Jacobian counts as n
 * evaluations of f. Newton's loop ends by itself, so on tensors no derivative leads back through its steps: take the
 * continuous adjoint, or Rosenbrock's method, whose steps have no loop.
 *
 * @since 0.1.0
 */
import { type Carrier, errorNorm, type Tolerance } from "./Carrier.ts"
import * as Linear from "./Linear.ts"
import type { Method } from "./Method.ts"
import * as Newton from "./Newton.ts"
import { ProblemError } from "./SolverError.ts"
import {
  cubic,
  later,
  product,
  type RightHandSide,
  type Step,
  type Stepper,
  times,
  weighted
} from "./Stepper.ts"
import { type Embedded, verify } from "./Tableau.ts"

/**
 * The tableau of a diagonally implicit method.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tableau {
  readonly name: string
  readonly order: number
  readonly c: ReadonlyArray<number>
  /** Row i has the coefficients of stage i, its own among them. */
  readonly a: ReadonlyArray<ReadonlyArray<number>>
  readonly b: ReadonlyArray<number>
  readonly embedded?: Embedded
  /** The aᵢᵢ of all implicit stages. */
  readonly gamma: number
  /** Whether the last stage is f at the result (first same as last). */
  readonly firstSameAsLast: boolean
}

/**
 * What a tableau is made from: `c` may be left out (row sums of `a`), the rest is found out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Definition extends Pick<Tableau, "order" | "a" | "b" | "embedded"> {
  readonly name?: string
  readonly c?: ReadonlyArray<number>
}

/**
 * A tableau, checked as `Tableau.make` checks explicit ones; its diagonal must hold one number, and zeros for explicit stages.
 * Throws `ProblemError` otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (definition: Definition): Tableau => {
  const { name = "an implicit tableau of one's own", a, b } = definition
  const fail = (message: string) => new ProblemError({ what: name, message: `${name}: ${message}` })
  if (a.length !== b.length) {
    throw fail(
      `${b.length} weights need ${b.length} rows of coefficients, but there are ${a.length}`
    )
  }
  a.forEach((row, i) => {
    if (row.length !== i + 1) {
      throw fail(
        `row ${i} of a diagonally implicit method has ${i + 1} coefficients, not ${row.length}`
      )
    }
  })
  const diagonal = new Set(a.map((row, i) => row[i]).filter((each) => each !== 0))
  if (diagonal.size !== 1) {
    throw fail(
      `the implicit stages must share one diagonal coefficient, but there are ${diagonal.size}: (${[...diagonal].join(", ")})`
    )
  }
  const [gamma] = diagonal
  const c = verify(name, a, definition)
  const last = a[a.length - 1]
  const firstSameAsLast = last[last.length - 1] !== 0 && last.every((each, i) => each === b[i])
  return { ...definition, name, c, gamma, firstSameAsLast }
}

/**
 * How Newton's iteration is led.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The greatest number of rounds for each stage; 10 unless told. */
  readonly rounds?: number
  /**
   * What may still be missing in each stage's state. Unless told it is relative to the carrier's precision ε, so that it does
   * not show beside most methods' own errors: ε^⅔ (4e-11 in double precision) of each component, and ε^⅚ (9e-14) of
   * the greatest. `"rounding"` is 64ε of either, for what is to be conserved over many steps of problems that are not very
   * stiff.
   */
  readonly tolerance?: Tolerance | "rounding"
}

interface Memory<V> {
  /** f where the step begins. */
  readonly first?: V
}

interface Ends<V> {
  readonly first?: V
  readonly last?: V
}

/**
 * For each stage the weights with which earlier ones predict it: those of the polynomial through the three whose nodes are
 * nearest. f at the beginning counts as a stage before all others.
 */
const predictors = (c: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  c.map((node, i) => {
    const known = [0, ...c.slice(0, i)]
    const near = [...known.keys()]
      // of several at one node the last
      .filter((j) => known.every((_, l) => l <= j || Math.abs(known[l] - known[j]) > 1e-8))
      .sort((j, l) => Math.abs(known[j] - node) - Math.abs(known[l] - node))
      .slice(0, 3)
    return known.map((own, j) =>
      near.includes(j)
        ? near.reduce(
            (weight, l) => (l === j ? weight : (weight * (node - known[l])) / (own - known[l])),
            1
          )
        : 0
    )
  })

/**
 * A tableau bound to y' = f(t, y). Throws `ProblemError` where the carrier has no linear algebra.
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B>(
  tableau: Tableau,
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>,
  options: Options & { readonly dense?: boolean } = {}
): Stepper<V, S, B, Memory<V>, Ends<V>> => {
  const { a, b, c, gamma, embedded } = tableau
  const { rounds = 10, tolerance, dense = false } = options
  const { scalar, add, div, max } = carrier
  const linear = Linear.of(carrier)
  const guesses = predictors(c)
  const carries = tableau.firstSameAsLast || dense
  const beyond = dense && !tableau.firstSameAsLast

  const { epsilon } = carrier
  const fine =
    tolerance === "rounding"
      ? { absolute: 64 * epsilon, relative: 64 * epsilon }
      : { absolute: epsilon ** (5 / 6), relative: epsilon ** (2 / 3) }
  const greatest = (v: V): S =>
    errorNorm(carrier, v, v, v, { absolute: 1, relative: 0, norm: "max" })
  /** How large a change is of a state on the way from y. */
  const sizeOf = (change: V, y: V, at: V): S => {
    if (typeof tolerance === "object") return errorNorm(carrier, change, y, at, tolerance)
    const unit = div(scalar(1), max(max(greatest(y), greatest(at)), scalar(1e-30)))
    const [error, before, after] = [change, y, at].map((v) => carrier.combine([[unit, v]]))
    return errorNorm(carrier, error, before, after, fine)
  }

  /** Σ over stages, those of weight 0 left out, beside other terms. */
  const plus = (y: V, h: S | number, weights: ReadonlyArray<number>, k: ReadonlyArray<V>): V =>
    carrier.combine([[1, y], ...weighted(carrier, h, weights, k)])

  const solve = (t: S, h: S | number, y: V, memory: Memory<V>) => {
    const first = memory.first ?? f(t, y)
    const shift = product(carrier, scalar(gamma), h)
    const resolve = Linear.resolvent(linear, (y) => f(t, y), y, first)(shift)
    const k: Array<V> = []
    let converged = carrier.verdict(true)
    let evaluations = scalar(linear.size(y) + (memory.first === undefined ? 1 : 0))
    a.forEach((row, i) => {
      const at = later(carrier, t, h, c[i])
      const base = plus(y, h, row.slice(0, i), k)
      if (row[i] === 0) {
        k.push(i === 0 ? first : f(at, base))
        if (i > 0) evaluations = add(evaluations, scalar(1))
        return
      }
      const reached = (slope: V): V => plus(base, h, [gamma], [slope])
      const found = Newton.solve(carrier, {
        guess: carrier.combine(weighted(carrier, 1, guesses[i], [first, ...k])),
        correction: (slope) =>
          resolve(
            carrier.combine([
              [1, f(at, reached(slope))],
              [-1, slope]
            ])
          ),
        size: (change, slope) => sizeOf(carrier.combine([[shift, change]]), y, reached(slope)),
        rounds,
        active: converged
      })
      k.push(found.value)
      converged = found.converged
      evaluations = add(evaluations, found.evaluations)
    })
    const missed =
      embedded &&
      weighted(
        carrier,
        h,
        b.map((weight, i) => weight - embedded.b[i]),
        k
      )
    return {
      first,
      k,
      y: plus(y, h, b, k),
      error: missed && resolve(carrier.combine(missed)),
      converged,
      evaluations
    }
  }

  return {
    name: tableau.name,
    carrier,
    order: tableau.order,
    errorOrder: embedded && Math.min(embedded.order, tableau.order) + 1,
    denseOrder: Math.min(3, tableau.order),
    // at the least: each step says how many it took
    evaluations: { start: carries ? 1 : 0, step: b.length },
    derivative: f,
    dense: () => stepper(tableau, carrier, f, { ...options, dense: true }),
    start: (t, y) => (carries ? { first: f(t, y) } : {}),
    step: (t, h, y, memory): Step<V, S, B, Memory<V>, Ends<V>> => {
      const { first, k, y: after, error, converged, evaluations } = solve(t, h, y, memory)
      const last = tableau.firstSameAsLast
        ? k[k.length - 1]
        : beyond
          ? f(later(carrier, t, h, 1), after)
          : undefined
      return {
        y: after,
        error,
        memory: last === undefined ? {} : { first: last },
        dense: dense && last !== undefined ? { first, last } : {},
        converged,
        evaluations: beyond ? add(evaluations, scalar(1)) : evaluations
      }
    },
    interpolate: ({ theta, h, before, after, dense: { first, last } }) =>
      cubic(carrier, { theta, h, before, after, first: first as V, last: last as V }),
    stages: (t, h, y, memory) => solve(t, h, y, memory).k
  }
}

/**
 * A tableau as a method, with Newton's iteration led as told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const method = (
  tableau: Tableau,
  options: Options = {}
): Method & { readonly tableau: Tableau } => ({
  name: tableau.name,
  order: tableau.order,
  tableau,
  bind: (carrier, f) => stepper(tableau, carrier, f, options)
})

/**
 * Euler's implicit method, order 1 and L-stable. Its error is estimated by the trapezoid.
 *
 * @since 0.1.0
 * @category methods
 */
export const implicitEuler = method(
  make({
    name: "implicit Euler",
    order: 1,
    a: [[0], [0, 1]],
    b: [0, 1],
    embedded: { b: [1 / 2, 1 / 2], order: 2 }
  })
)

/**
 * The implicit midpoint method, order 2, A-stable and symplectic: it conserves quadratic invariants (Hairer, Lubich and Wanner,
 * Geometric Numerical Integration, IV.2), for Newton's iteration goes on to rounding. It estimates no error.
 *
 * @since 0.1.0
 * @category methods
 */
export const implicitMidpoint = method(
  make({ name: "implicit midpoint", order: 2, a: [[1 / 2]], b: [1] }),
  { tolerance: "rounding" }
)

/**
 * The trapezoid (Crank and Nicolson's method), order 2 and A-stable. Its error is estimated by a first-order result.
 *
 * @since 0.1.0
 * @category methods
 */
export const trapezoid = method(
  make({
    name: "trapezoid",
    order: 2,
    a: [[0], [1 / 2, 1 / 2]],
    b: [1 / 2, 1 / 2],
    embedded: { b: [0, 1], order: 1 }
  })
)

/** A pair whose embedded result is the last stage but one. */
const kvaerno = (name: string, order: number, a: ReadonlyArray<ReadonlyArray<number>>): Tableau =>
  make({
    name,
    order,
    a,
    b: a[a.length - 1],
    embedded: { b: [...a[a.length - 2], 0], order: order - 1 }
  })

/**
 * Kværnø's pair of orders 3 and 2, both L-stable and stiffly accurate (Kværnø 2004, Singly diagonally implicit Runge–Kutta
 * methods with an explicit first stage).
 *
 * @since 0.1.0
 * @category methods
 */
export const kvaerno3 = method(
  ((g) =>
    kvaerno("Kværnø 3(2)", 3, [
      [0],
      [g, g],
      [(-4 * g ** 2 + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g), g],
      [(6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g ** 2 + 6 * g - 1) / (6 * g - 3), g]
    ]))(
    // a root of 6γ³ − 18γ² + 9γ − 1
    0.435866521508459
  )
)

/**
 * Kværnø's pair of orders 5 and 4, both L-stable and stiffly accurate (Kværnø 2004).
 *
 * @since 0.1.0
 * @category methods
 */
export const kvaerno5 = method(
  kvaerno("Kværnø 5(4)", 5, [
    [0],
    [0.26, 0.26],
    [0.13, 0.84033320996790809, 0.26],
    [0.22371961478320505, 0.47675532319799699, -0.06470895363112615, 0.26],
    [0.16648564323248321, 0.1045001884159172, 0.03631482272098715, -0.13090704451073998, 0.26],
    [0.13855640231268224, 0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, 0.26],
    [
      0.13659751177640291, 0, -0.05496908796538376, -0.04118626728321046, 0.62993304899016403,
      0.06962479448202728, 0.26
    ]
  ])
)

interface Slopes<V> {
  readonly k?: readonly [V, V]
}

/**
 * Shampine and Reichelt's Rosenbrock method of order 2, L-stable, with an estimate of its error: `ode23s` (Shampine and Reichelt
 * 1997, The MATLAB ODE Suite, section 3). With d = 1/(2 + √2), W = I − hdJ, T = ∂f/∂t and f₀ = f(t, y) its step is
 *
 *     Wk₁ = f₀ + hdT,                       f₁ = f(t + h/2, y + hk₁/2)
 *     W(k₂ − k₁) = f₁ − k₁,                 y₁ = y + hk₂,    f₂ = f(t + h, y₁)
 *     Wk₃ = f₂ − (6 + √2)(k₂ − f₁) − 2(k₁ − f₀) + hdT,      error h(k₁ − 2k₂ + k₃)/6
 *
 * There is nothing to iterate, so no step fails to converge. The interpolant is its own, of order 2. J and T are taken at
 * each step: n + 1 evaluations, and two for f₁ and f₂, which begins the next step.
 *
 * @since 0.1.0
 * @category methods
 */
export const rosenbrock23: Method = {
  name: "Rosenbrock 2(3)",
  order: 2,
  bind: (carrier, f) => rosenbrock(carrier, f, false)
}

const d = 1 / (2 + Math.SQRT2)

const rosenbrock = <V, S, B>(
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>,
  dense: boolean
): Stepper<V, S, B, { readonly first: V }, Slopes<V>> => {
  const { scalar, sub, mul, combine } = carrier
  const linear = Linear.of(carrier)
  const take = (t: S, h: S | number, y: V, first: V) => {
    const shift = product(carrier, scalar(d), h)
    const solve = Linear.resolvent(linear, (y) => f(t, y), y, first)(shift)
    const drift = [shift, Linear.slope(linear, (t) => f(t, y), t, first)] as const
    const along = (part: number, k: V) =>
      combine([
        [1, y],
        [times(carrier, h, part), k]
      ])
    const k1 = solve(combine([[1, first], drift]))
    const middle = f(later(carrier, t, h, 1 / 2), along(1 / 2, k1))
    const k2 = combine([
      [1, k1],
      [
        1,
        solve(
          combine([
            [1, middle],
            [-1, k1]
          ])
        )
      ]
    ])
    const after = along(1, k2)
    const last = f(later(carrier, t, h, 1), after)
    const e = 6 + Math.SQRT2
    const k3 = solve(combine([[1, last], [-e, k2], [e, middle], [-2, k1], [2, first], drift]))
    return { k: [k1, k2, k3] as const, after, middle, last }
  }
  return {
    name: rosenbrock23.name,
    carrier,
    order: 2,
    errorOrder: 3,
    denseOrder: 2,
    // where n is 1: each step says how many it took
    evaluations: { start: 1, step: 4 },
    derivative: f,
    dense: () => rosenbrock(carrier, f, true),
    start: (t, y) => ({ first: f(t, y) }),
    step: (t, h, y, { first }) => {
      const { k, after, last } = take(t, h, y, first)
      return {
        y: after,
        error: combine(weighted(carrier, h, [1 / 6, -1 / 3, 1 / 6], k)),
        memory: { first: last },
        dense: dense ? { k: [k[0], k[1]] } : {},
        evaluations: scalar(linear.size(y) + 3)
      }
    },
    interpolate: ({ theta, h, before, dense: { k } }) => {
      const [k1, k2] = k as readonly [V, V]
      const part = (a: S, b: S) => product(carrier, mul(mul(a, b), scalar(1 / (1 - 2 * d))), h)
      return combine([
        [1, before],
        [part(theta, sub(scalar(1), theta)), k1],
        [part(theta, sub(theta, scalar(2 * d))), k2]
      ])
    },
    stages: (t, h, y, { first }) => {
      const { middle, last } = take(t, h, y, first)
      return [first, middle, last]
    }
  }
}
