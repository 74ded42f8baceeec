/**
 * Systems of second order, x'' = f(t, x, v) with v = x', as such; and their reduction to first order.
 *
 * There are two engines. A {@link Composition} alternates drifts x ← x + cᵢhv, which move time along too, and kicks v ← v + dᵢhf.
 * A {@link Nystrom} method is a Runge–Kutta method that knows of x' = v. Both are values, checked when they are made.
 *
 * **Where f depends on v.** Every method here keeps its order then, unless its name or documentation says that it is for
 * x'' = f(t, x) alone; binding such a method asks for `velocityFree`. A composition's kick then follows v' = f(t, x, v) with t
 * and x held, by a Runge–Kutta method of the composition's order, which takes that many evaluations or more; velocity Verlet
 * takes one evaluation in any case. But it is for f independent of v that compositions and velocity Verlet are symplectic
 * (where f is a gradient), so that energy does not drift, and can be inverted. Say `velocityFree` when f is so: a kick is then
 * one evaluation, and steps have an `inverse`.
 *
 * Notation as in Hairer, Lubich and Wanner, Geometric Numerical Integration, chapter II, and Hairer, Nørsett and Wanner,
 * Solving Ordinary Differential Equations I, II.14.
 *
 * @since 0.1.0
 */
import { type Carrier, struct } from "./Carrier.ts"
import * as RungeKutta from "./RungeKutta.ts"
import { ProblemError } from "./SolverError.ts"
import { cubic, later, type RightHandSide, type Stepper, times, weighted } from "./Stepper.ts"
import * as Tableau from "./Tableau.ts"

/**
 * Where something is, and how fast it moves.
 *
 * @since 0.1.0
 * @category models
 */
export interface State<V> {
  readonly x: V
  readonly v: V
}

/**
 * The right-hand side of x'' = f(t, x, v).
 *
 * @since 0.1.0
 * @category models
 */
export type Acceleration<V, S> = (t: S, x: V, v: V) => V

/**
 * Drifts and kicks in turn: x ← x + c₁hv, v ← v + d₁hf, x ← x + c₂hv, and so on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Composition {
  readonly name: string
  readonly order: number
  readonly drift: ReadonlyArray<number>
  readonly kick: ReadonlyArray<number>
}

/**
 * A Runge–Kutta–Nyström method: its stages and result are
 *
 *     kᵢ = f(t + cᵢh, x + cᵢhv + h² Σⱼ āᵢⱼkⱼ, v + h Σⱼ aᵢⱼkⱼ)
 *     x + hv + h² Σ b̄ᵢkᵢ,  v + h Σ bᵢkᵢ
 *
 * with ā and b̄ as `x.a` and `x.b`, and a and b as `v.a` and `v.b`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Nystrom {
  readonly name: string
  readonly order: number
  /** Nodes, the first one 0. */
  readonly c: ReadonlyArray<number>
  readonly x: Weights
  /** Without `a` the method is for x'' = f(t, x) alone. */
  readonly v: Partial<Weights> & Pick<Weights, "b">
  /** Weights b̄ and b of the embedded result, and its order. */
  readonly embedded?: {
    readonly x: ReadonlyArray<number>
    readonly v: ReadonlyArray<number>
    readonly order: number
  }
  /** Whether the last stage is taken at the result, so that it is the next step's first (first same as last). */
  readonly firstSameAsLast: boolean
  /** Whether a step of −h undoes one of h, if f does not depend on v. */
  readonly symmetric: boolean
  /** Whether it is symplectic, if f is a gradient that does not depend on v. */
  readonly symplectic: boolean
}

/** Row i of `a` has the coefficients of stage i + 1 (the first stage has none). */
interface Weights {
  readonly a: ReadonlyArray<ReadonlyArray<number>>
  readonly b: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Method = Composition | Nystrom

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Whether f does not depend on v; it is taken to depend on it unless told. */
  readonly velocityFree?: boolean
}

const tolerance = 1e-10

const failure = (name: string, message: string) =>
  new ProblemError({ what: name, message: `${name}: ${message}` })

const requireOrder = (name: string, order: number): void => {
  if (!(Number.isInteger(order) && order > 0)) {
    throw failure(name, `the order must be a whole number above 0, not ${order}`)
  }
}

/**
 * The series of exponentials in two letters: the coefficient of each word, whose number has a leading 1 and then a 0 for
 * each drift and a 1 for each kick. From that of P, this is the series of P·exp(c·letter).
 */
const followedBy = (
  series: ReadonlyArray<number>,
  letter: 0 | 1,
  c: number
): ReadonlyArray<number> =>
  series.map((_, word) => {
    let sum = series[word]
    let factor = 1
    for (let rest = word, n = 1; rest > 1 && (rest & 1) === letter; n++) {
      rest >>= 1
      factor *= c / n
      sum += factor * series[rest]
    }
    return sum
  })

/**
 * A composition, checked: with D and K the generators of drift and kick, Π exp(cᵢhD) exp(dᵢhK) must agree with exp(h(D + K)) up
 * to h^order (up to order 8), which says that the coefficient of each word of n letters is 1/n!. So the drifts add up to 1, and so
 * do the kicks; and the order holds for f that depends on t and v, too. Throws `ProblemError` naming the first word for which it
 * does not hold, to 1e-10.
 *
 * @since 0.1.0
 * @category constructors
 */
export const composition = (
  definition: Omit<Composition, "name"> & { readonly name?: string }
): Composition => {
  const { name = "a composition of one's own", order, drift, kick } = definition
  requireOrder(name, order)
  if (drift.length !== kick.length) {
    throw failure(name, `${drift.length} drifts need as many kicks, not ${kick.length}`)
  }
  const empty = Array.from({ length: 2 << Math.min(order, 8) }, (_, word) => (word === 1 ? 1 : 0))
  const series = drift.reduce<ReadonlyArray<number>>(
    (product, c, i) => followedBy(followedBy(product, 0, c), 1, kick[i]),
    empty
  )
  let wanted = 1
  for (let word = 2; word < series.length; word++) {
    // words of one length more begin with a power of 2
    if ((word & (word - 1)) === 0) wanted /= Math.log2(word)
    if (!(Math.abs(series[word] - wanted) <= tolerance)) {
      const letters = word.toString(2).slice(1).replaceAll("0", "D").replaceAll("1", "K")
      throw failure(
        name,
        `it is not of order ${order}: the condition of the word ${letters} gives ${series[word]}, not ${wanted}`
      )
    }
  }
  return { name, order, drift, kick }
}

/** A condition of a Nyström method's order: what its tree gives at each stage, and would in the exact solution. */
interface Condition {
  readonly phi: ReadonlyArray<number>
  readonly size: number
  readonly density: number
  readonly tree: string
}

/**
 * The conditions up to a size (Hairer, Nørsett and Wanner, II.14): trees whose vertices f branch into derivatives by v, which lead
 * to another f, and by x, which lead to v: an end (written ·), or another f (written with a bar). That t moves along with x like
 * v·t covers problems that depend on time.
 */
const conditions = (
  { c, x, v }: Pick<Nystrom, "c" | "x" | "v">,
  order: number
): ReadonlyArray<Condition> => {
  const sums = (a: Weights["a"], phi: ReadonlyArray<number>) =>
    c.map((_, i) => (i === 0 ? 0 : a[i - 1].reduce((sum, each, j) => sum + each * phi[j], 0)))
  const found: Array<Condition> = []
  const branches: Array<Condition> = [{ phi: c, size: 1, density: 1, tree: "·" }]
  for (let size = 1; size <= order; size++) {
    const start = found.length
    const grow = (rest: number, from: number, chosen: ReadonlyArray<Condition>): void => {
      if (rest === 0) {
        found.push({
          phi: c.map((_, i) => chosen.reduce((product, { phi }) => product * phi[i], 1)),
          size,
          density: chosen.reduce((product, { density }) => product * density, size),
          tree: `[${chosen.map(({ tree }) => tree).join("")}]`
        })
      }
      for (let i = from; i < branches.length; i++) {
        if (branches[i].size <= rest) grow(rest - branches[i].size, i, [...chosen, branches[i]])
      }
    }
    grow(size - 1, 0, [])
    for (const { phi, density, tree } of found.slice(start)) {
      if (v.a !== undefined) branches.push({ phi: sums(v.a, phi), size, density, tree })
      branches.push({
        phi: sums(x.a, phi),
        size: size + 1,
        density: density * (size + 1),
        tree: `|${tree}`
      })
    }
  }
  return found
}

/**
 * A Runge–Kutta–Nyström method, checked: the shape of its parts, and the order conditions of x and of v up to its order, of the
 * embedded weights too. Without `v.a` these are the conditions for x'' = f(t, x). Whether it is symmetric and symplectic, and
 * whether its last stage begins the next step, is found out. Throws `ProblemError` naming the first condition that does not
 * hold, to 1e-10.
 *
 * @since 0.1.0
 * @category constructors
 */
export const nystrom = (
  definition: Omit<Nystrom, "name" | "firstSameAsLast" | "symmetric" | "symplectic"> & {
    readonly name?: string
  }
): Nystrom => {
  const { name = "a Nyström method of one's own", order, c, x, v, embedded } = definition
  requireOrder(name, order)
  const stages = c.length
  const tables = [x.a, v.a ?? x.a].map((a) => [[], ...a])
  const lists = [x.b, v.b, embedded?.x ?? x.b, embedded?.v ?? v.b]
  if (
    tables.some((a) => a.length !== stages || a.some((row, i) => row.length !== i)) ||
    lists.some((b) => b.length !== stages)
  ) {
    throw failure(
      name,
      `${stages} nodes need ${stages} weights, and ${stages - 1} rows of 1, 2, … coefficients`
    )
  }
  if (c[0] !== 0) throw failure(name, `the first node must be 0, not ${c[0]}`)
  const check = (which: "x" | "v", b: ReadonlyArray<number>, order: number): void => {
    const more = which === "x" ? 1 : 0
    for (const { phi, size, density, tree } of conditions(definition, order - more)) {
      const sum = b.reduce((total, weight, i) => total + weight * phi[i], 0)
      const wanted = 1 / (more === 1 ? density * (size + 1) : density)
      if (!(Math.abs(sum - wanted) <= tolerance)) {
        throw failure(
          name,
          `${which} is not of order ${order}: the condition of the tree ${tree} gives ${sum}, not ${wanted}`
        )
      }
    }
  }
  check("x", x.b, order)
  check("v", v.b, order)
  if (embedded !== undefined) {
    check("x", embedded.x, embedded.order)
    check("v", embedded.v, embedded.order)
  }
  const near = (a: number, b: number) => Math.abs(a - b) <= tolerance
  const last = stages - 1
  const a = (i: number, j: number) => (j < i ? x.a[i - 1][j] : 0)
  const every = (holds: (i: number, j: number) => boolean) =>
    c.every((_, i) => c.every((_, j) => holds(i, j)))
  return {
    ...definition,
    name,
    // where f depends on v, the last stage's v is only near the result's: to O(h²), which is enough for order 2
    firstSameAsLast:
      stages > 1 &&
      near(c[last], 1) &&
      x.b.every((weight, j) => near(weight, a(last, j))) &&
      (v.a === undefined ||
        (order <= 2 &&
          near(
            v.a[last - 1].reduce((sum, each) => sum + each, 0),
            1
          ))),
    // the adjoint method's coefficients are its own
    symmetric: every((i, j) => {
      const [p, q] = [last - i, last - j]
      return (
        near(c[i], 1 - c[p]) &&
        near(v.b[i], v.b[p]) &&
        near(x.b[i], v.b[p] - x.b[p]) &&
        near(a(i, j), v.b[q] * (1 - c[p]) - x.b[q] + a(p, q))
      )
    }),
    // Suris's conditions (Hairer, Lubich and Wanner, VI.4)
    symplectic: every(
      (i, j) =>
        near(x.b[i], v.b[i] * (1 - c[i])) &&
        near(v.b[i] * (x.b[j] - a(i, j)), v.b[j] * (x.b[i] - a(j, i)))
    )
  }
}

/**
 * The symplectic Euler method, order 1: a kick, then a drift with the new v.
 *
 * @since 0.1.0
 * @category methods
 */
export const symplecticEuler: Composition = composition({
  name: "symplectic Euler",
  order: 1,
  drift: [0, 1],
  kick: [1, 0]
})

/**
 * Velocity Verlet, order 2, symplectic for f independent of v: half a kick, a drift, half a kick. It takes one evaluation a step,
 * because f at the end begins the next step. Where f depends on v, that is f(t + h, x₁, v + hf₀): the order is kept.
 *
 * @since 0.1.0
 * @category methods
 */
export const velocityVerlet: Nystrom = nystrom({
  name: "velocity Verlet",
  order: 2,
  c: [0, 1],
  x: { a: [[1 / 2]], b: [1 / 2, 0] },
  v: { a: [[1]], b: [1 / 2, 1 / 2] }
})

/**
 * Ruth's method of order 3 (Ruth 1983, A canonical integration technique).
 *
 * @since 0.1.0
 * @category methods
 */
export const ruth3: Composition = composition({
  name: "Ruth 3",
  order: 3,
  drift: [0, 2 / 3, -2 / 3, 1],
  kick: [7 / 24, 3 / 4, -1 / 24, 0]
})

/** Steps of γᵢh by half a drift, a kick, half a drift. */
const symmetric = (name: string, order: number, gamma: ReadonlyArray<number>): Composition =>
  composition({
    name,
    order,
    drift: [...gamma, 0].map((each, i) => (each + (gamma[i - 1] ?? 0)) / 2),
    kick: [...gamma, 0]
  })

const triple = 1 / (2 - Math.cbrt(2))

/**
 * Yoshida's method of order 4, a triple jump of Verlet steps (Yoshida 1990; also Forest and Ruth 1990): 3 kicks.
 *
 * @since 0.1.0
 * @category methods
 */
export const yoshida4: Composition = symmetric("Yoshida 4", 4, [triple, 1 - 2 * triple, triple])

const six = [0.78451361047755726382, 0.23557321335935813368, -1.1776799841788710069]

/**
 * Yoshida's method of order 6 (his solution A; Yoshida 1990): 7 kicks.
 *
 * @since 0.1.0
 * @category methods
 */
export const yoshida6: Composition = symmetric("Yoshida 6", 6, [
  ...six,
  1 - 2 * six.reduce((sum, each) => sum + each, 0),
  ...six.toReversed()
])

/**
 * Nyström's method of order 4, for f that may depend on v (Hairer, Nørsett and Wanner, II.14).
 *
 * @since 0.1.0
 * @category methods
 */
export const nystrom4: Nystrom = nystrom({
  name: "Nyström 4",
  order: 4,
  c: [0, 1 / 2, 1 / 2, 1],
  x: { a: [[1 / 8], [1 / 8, 0], [0, 0, 1 / 2]], b: [1 / 6, 1 / 6, 1 / 6, 0] },
  v: { a: [[1 / 2], [0, 1 / 2], [0, 0, 1]], b: [1 / 6, 1 / 3, 1 / 3, 1 / 6] }
})

/**
 * Nyström's method of order 5, for x'' = f(t, x) alone (Hairer, Nørsett and Wanner, II.14).
 *
 * @since 0.1.0
 * @category methods
 */
export const nystrom5: Nystrom = nystrom({
  name: "Nyström 5",
  order: 5,
  c: [0, 1 / 5, 2 / 3, 1],
  x: {
    a: [[1 / 50], [-1 / 27, 7 / 27], [3 / 10, -2 / 35, 9 / 35]],
    b: [14 / 336, 100 / 336, 54 / 336, 0]
  },
  v: { b: [14 / 336, 125 / 336, 162 / 336, 35 / 336] }
})

/**
 * The pair of orders 4 and 3 of Dormand, El-Mikkawy and Prince, for x'' = f(t, x) alone (1987, Families of Runge–Kutta–Nyström
 * formulae: RKN4(3)4FM): with step control, and 3 evaluations a step.
 *
 * @since 0.1.0
 * @category methods
 */
export const nystrom43: Nystrom = nystrom({
  name: "Dormand–El-Mikkawy–Prince 4(3)",
  order: 4,
  c: [0, 1 / 4, 7 / 10, 1],
  x: {
    a: [[1 / 32], [7 / 1000, 119 / 500], [1 / 14, 8 / 27, 25 / 189]],
    b: [1 / 14, 8 / 27, 25 / 189, 0]
  },
  v: { b: [1 / 14, 32 / 81, 250 / 567, 5 / 54] },
  embedded: {
    x: [-7 / 150, 67 / 150, 3 / 20, -1 / 20],
    v: [13 / 21, -20 / 27, 275 / 189, -1 / 3],
    order: 3
  }
})

/**
 * The carrier of states { x, v }, from that of x.
 *
 * @since 0.1.0
 * @category carriers
 */
export const pair = <V, S, B>(carrier: Carrier<V, S, B>): Carrier<State<V>, S, B> =>
  struct<State<V>, S, B>({
    x: carrier,
    v: carrier
  })

/**
 * The same as a system of first order, x' = v (v itself) and v' = f(t, x, v), for which any method will do.
 *
 * @example
 * ```ts
 * import { Carrier, Method, SecondOrder, Tableau } from "odeon/Solver"
 *
 * const pendulum = SecondOrder.reduce((_: number, x: number) => -Math.sin(x))
 * const stepper = Method.bind(Tableau.dopri5, SecondOrder.pair(Carrier.number), pendulum)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const reduce =
  <V, S>(f: Acceleration<V, S>): RightHandSide<State<V>, S> =>
  (t, { x, v }) => ({ x: v, v: f(t, x, v) })

/** Butcher's method of order 6 with 7 stages (Butcher 1964). */
const butcher6 = Tableau.make({
  name: "Butcher 6",
  order: 6,
  a: [
    [1 / 3],
    [0, 2 / 3],
    [1 / 12, 1 / 3, -1 / 12],
    [-1 / 16, 9 / 8, -3 / 16, -3 / 8],
    [0, 9 / 8, -3 / 8, -3 / 4, 1 / 2],
    [9 / 44, -9 / 11, 63 / 44, 18 / 11, 0, -16 / 11]
  ],
  b: [11 / 120, 0, 27 / 40, 27 / 40, -4 / 15, -4 / 15, 11 / 120]
})

/** How a kick follows v' = f(t, x, v): by the composition's order. */
const kicks = [
  Tableau.euler,
  Tableau.midpoint,
  Tableau.heun3,
  Tableau.rk4,
  butcher6,
  butcher6
] as const

/** A step of a method: its result, and f at the end where that is known. `first` is f where the step begins, if known. */
interface Engine {
  readonly evaluations: number
  /** Whether the first of them is f where the step begins, and the last of them f where it ends. */
  readonly begins: boolean
  readonly ends: boolean
  readonly move: <V, S, B>(
    carrier: Carrier<V, S, B>,
    f: Acceleration<V, S>,
    t: S,
    h: S | number,
    y: State<V>,
    first: V | undefined
  ) => { readonly y: State<V>; readonly error?: State<V>; readonly last?: V | undefined }
  /** Steps of −h undo those of h. */
  readonly adjoint: Engine["move"] | undefined
}

const composed = (method: Composition, velocityFree: boolean): Engine => {
  const tableau = velocityFree ? Tableau.euler : kicks[method.order - 1]
  if (tableau === undefined) {
    throw failure(
      method.name,
      `its kicks have no method of order ${method.order} for f that depends on v: say velocityFree if it does not, or reduce the system to first order`
    )
  }
  const along =
    (drift: ReadonlyArray<number>, kick: ReadonlyArray<number>): Engine["move"] =>
    (carrier, f, t, h, y, first) => {
      let { x, v } = y
      let node = 0
      for (const [i, c] of drift.entries()) {
        if (c !== 0) x = carrier.combine([[1, x], ...weighted(carrier, h, [c], [v])])
        node += c
        if (kick[i] === 0) continue
        const [now, here] = [later(carrier, t, h, node), x]
        const size = times(carrier, h, kick[i])
        const known = i === 0 && c === 0 ? first : undefined
        v = RungeKutta.step(tableau, carrier, (_, v) => f(now, here, v), now, size, v, known).y
      }
      return { y: { x, v } }
    }
  const { drift, kick } = method
  return {
    evaluations: kick.filter((each) => each !== 0).length * tableau.b.length,
    begins: drift[0] === 0 && kick[0] !== 0,
    ends: false,
    move: along(drift, kick),
    adjoint: velocityFree ? along([0, ...drift.toReversed()], [...kick.toReversed(), 0]) : undefined
  }
}

const tabulated = (method: Nystrom, velocityFree: boolean): Engine => {
  const { c, x, v, embedded, firstSameAsLast } = method
  if (v.a === undefined && !velocityFree) {
    throw failure(
      method.name,
      "it is for x'' = f(t, x) alone: say velocityFree if f does not depend on v, or take another method"
    )
  }
  const move: Engine["move"] = (carrier, f, t, h, y, first) => {
    const squared = typeof h === "number" ? h * h : carrier.mul(h, h)
    type V = typeof y.x
    const k: Array<V> = [first === undefined ? f(t, y.x, y.v) : first]
    const place = (node: number, weights: ReadonlyArray<number>) =>
      carrier.combine([
        [1, y.x],
        ...weighted(carrier, h, [node], [y.v]),
        ...weighted(carrier, squared, weights, k)
      ])
    const speed = (weights: ReadonlyArray<number>) =>
      carrier.combine([[1, y.v], ...weighted(carrier, h, weights, k)])
    for (let i = 1; i < c.length; i++) {
      const velocity = speed(v.a?.[i - 1] ?? [])
      k.push(f(later(carrier, t, h, c[i]), place(c[i], x.a[i - 1]), velocity))
    }
    const missed = (b: ReadonlyArray<number>, other: ReadonlyArray<number>, size: typeof h) =>
      carrier.combine(
        weighted(
          carrier,
          size,
          b.map((weight, i) => weight - other[i]),
          k
        )
      )
    return {
      y: { x: place(1, x.b), v: speed(v.b) },
      ...(embedded && {
        error: { x: missed(x.b, embedded.x, squared), v: missed(v.b, embedded.v, h) }
      }),
      last: firstSameAsLast ? k[c.length - 1] : undefined
    }
  }
  return {
    evaluations: c.length,
    begins: true,
    ends: firstSameAsLast,
    move,
    adjoint: velocityFree && method.symmetric ? move : undefined
  }
}

/** f where the step begins, where it is known. */
interface Memory<V> {
  readonly first?: V
}

/** x' and v' at both ends. */
interface Dense<V> {
  readonly first?: State<V>
  readonly last?: State<V>
}

/**
 * A method bound to x'' = f(t, x, v), on the carrier of x. The interpolant is Hermite's cubic through both ends, of x and of v:
 * with it each step takes f at its end, one evaluation more unless the next step begins with it.
 *
 * Compositions of any order, and symmetric Nyström methods, have an `inverse` where `velocityFree` is said. Throws
 * `ProblemError` where `velocityFree` is not said, but the method is for such f alone.
 *
 * @example
 * ```ts
 * import { Carrier, SecondOrder } from "odeon/Solver"
 *
 * const pendulum = SecondOrder.stepper(
 *   SecondOrder.velocityVerlet,
 *   Carrier.number,
 *   (_, x) => -Math.sin(x),
 *   { velocityFree: true }
 * )
 * ```
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B>(
  method: Method,
  carrier: Carrier<V, S, B>,
  f: Acceleration<V, S>,
  options: Options = {}
): Stepper<State<V>, S, B, Memory<V>, Dense<V>> => bound(method, carrier, f, options, false)

const bound = <V, S, B>(
  method: Method,
  carrier: Carrier<V, S, B>,
  f: Acceleration<V, S>,
  options: Options,
  dense: boolean
): Stepper<State<V>, S, B, Memory<V>, Dense<V>> => {
  const velocityFree = options.velocityFree ?? false
  const { evaluations, begins, ends, move, adjoint } =
    "drift" in method ? composed(method, velocityFree) : tabulated(method, velocityFree)
  const embedded = "drift" in method ? undefined : method.embedded
  const carries = ends || dense
  const space = pair(carrier)
  const by =
    (move: Engine["move"]) =>
    (t: S, h: S | number, y: State<V>, { first }: Memory<V>) => {
      const { y: after, error, last } = move(carrier, f, t, h, y, first)
      const end = last === undefined && dense ? f(later(carrier, t, h, 1), after.x, after.v) : last
      return {
        y: after,
        error,
        memory: carries && end !== undefined ? { first: end } : {},
        dense:
          dense && first !== undefined && end !== undefined
            ? { first: { x: y.v, v: first }, last: { x: after.v, v: end } }
            : {}
      }
    }
  const back = adjoint && by(adjoint)
  return {
    name: method.name,
    carrier: space,
    order: method.order,
    errorOrder: embedded && Math.min(embedded.order, method.order) + 1,
    denseOrder: Math.min(3, method.order),
    evaluations: {
      start: carries ? 1 : 0,
      step: evaluations - (carries && begins ? 1 : 0) + (dense && !ends ? 1 : 0)
    },
    derivative: reduce(f),
    dense: () => bound(method, carrier, f, options, true),
    start: (t, { x, v }) => (carries ? { first: f(t, x, v) } : {}),
    step: by(move),
    ...(back && {
      inverse: (t, h, y, memory) => {
        const start = back(later(carrier, t, h, 1), times(carrier, h, -1), y, memory)
        return { y: start.y, memory: start.memory }
      }
    }),
    interpolate: ({ theta, h, before, after, dense: { first, last } }) =>
      cubic(space, {
        theta,
        h,
        before,
        after,
        first: first as State<V>,
        last: last as State<V>
      }),
    stages: (t, h, y, memory) => {
      const taken: Array<State<V>> = []
      move(
        carrier,
        (t, x, v) => {
          const k = f(t, x, v)
          taken.push({ x: v, v: k })
          return k
        },
        t,
        h,
        y,
        memory.first
      )
      return taken
    }
  }
}
