/**
 * Butcher tableaus of explicit Runge–Kutta methods.
 *
 * A step of size h from (t, y) has stages kᵢ = f(t + cᵢh, y + h Σⱼ aᵢⱼkⱼ) and ends at y + h Σ bᵢkᵢ. An embedded
 * method with weights b̂ gives the error estimate h Σ (bᵢ − b̂ᵢ)kᵢ. Notation as in Hairer, Nørsett and Wanner,
 * Solving Ordinary Differential Equations I, chapter II.
 *
 * @since 0.1.0
 */
import { ProblemError } from "./SolverError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Tableau {
  readonly name: string
  /** The order of the result: its error in one step is O(h^(order+1)). */
  readonly order: number
  /** Nodes, the first one 0. */
  readonly c: ReadonlyArray<number>
  /** Row i has the coefficients of stage i + 1 (the first stage has none). */
  readonly a: ReadonlyArray<ReadonlyArray<number>>
  readonly b: ReadonlyArray<number>
  /** Weights of the embedded result, and its order. */
  readonly embedded?: { readonly b: ReadonlyArray<number>; readonly order: number }
  /**
   * Weights of the result at t + θh, for each stage the coefficients of θ, θ², …; and its order. Without it
   * the interpolant is Hermite's cubic through both ends.
   */
  readonly dense?: { readonly b: ReadonlyArray<ReadonlyArray<number>>; readonly order: number }
  /** Whether the last stage is f at the result, so that it is the next step's first (first same as last). */
  readonly firstSameAsLast: boolean
}

/**
 * What a tableau is made from: `c` may be left out (row sums of `a`), `firstSameAsLast` is found out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Definition extends Omit<Tableau, "c" | "firstSameAsLast" | "name"> {
  readonly name?: string
  readonly c?: ReadonlyArray<number>
}

/**
 * A tableau, checked: the shape of its parts, row sums Σⱼ aᵢⱼ = cᵢ, and the order conditions of all rooted trees up to its
 * order (up to order 8), of the embedded and the dense weights too. Throws `ProblemError` naming the first condition
 * that does not hold, to 1e-10.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (definition: Definition): Tableau => {
  const name = definition.name ?? "a tableau of one's own"
  const stages = definition.b.length
  const fail = (message: string) => new ProblemError({ what: name, message: `${name}: ${message}` })
  const rows = [[], ...definition.a]
  if (rows.length !== stages) {
    throw fail(
      `${stages} weights need ${stages - 1} rows of coefficients, but there are ${definition.a.length}`
    )
  }
  rows.forEach((row, i) => {
    if (row.length !== i)
      throw fail(`row ${i} of an explicit method has ${i} coefficients, not ${row.length}`)
  })
  const sums = rows.map((row) => row.reduce((x, y) => x + y, 0))
  const c = definition.c ?? sums
  if (c.length !== stages) throw fail(`${stages} stages need ${stages} nodes, not ${c.length}`)
  sums.forEach((sum, i) => {
    if (Math.abs(sum - c[i]) > tolerance) {
      throw fail(`the coefficients of stage ${i} add up to ${sum}, but its node is ${c[i]}`)
    }
  })
  const square = rows.map((row) => [...row, ...new Array<number>(stages - row.length).fill(0)])
  const check = (weights: ReadonlyArray<number>, order: number, what: string, theta = 1): void => {
    if (weights.length !== stages)
      throw fail(`${what} needs ${stages} weights, not ${weights.length}`)
    for (const tree of treesUpTo(order)) {
      const sum = weights.reduce((total, weight, i) => total + weight * phi(tree, square)[i], 0)
      const wanted = theta ** tree.size / tree.density
      if (Math.abs(sum - wanted) > tolerance) {
        throw fail(
          `${what} is not of order ${order}: the condition of the tree ${show(tree)} gives ${sum}, not ${wanted}`
        )
      }
    }
  }
  check(definition.b, definition.order, "the result")
  if (definition.embedded !== undefined) {
    check(definition.embedded.b, definition.embedded.order, "the embedded result")
  }
  const { dense } = definition
  if (dense !== undefined) {
    for (const theta of [0.25, 0.5, 0.8, 1]) {
      check(weightsAt(dense.b, theta), dense.order, "the interpolant", theta)
    }
  }
  const last = rows[stages - 1]
  const firstSameAsLast =
    stages > 1 &&
    Math.abs(c[stages - 1] - 1) < tolerance &&
    definition.b[stages - 1] === 0 &&
    last.every((each, i) => each === definition.b[i])
  return { ...definition, name, c, firstSameAsLast }
}

const tolerance = 1e-10

/** The interpolant's weights at θ. */
export const weightsAt = (
  dense: ReadonlyArray<ReadonlyArray<number>>,
  theta: number
): ReadonlyArray<number> =>
  dense.map((coefficients) => coefficients.reduceRight((sum, each) => (sum + each) * theta, 0))

/** A rooted tree: its subtrees, how many vertices it has, and its density γ. */
interface RootedTree {
  readonly subtrees: ReadonlyArray<RootedTree>
  readonly size: number
  readonly density: number
}

const grow = (subtrees: ReadonlyArray<RootedTree>): RootedTree => {
  const size = 1 + subtrees.reduce((sum, tree) => sum + tree.size, 0)
  return {
    subtrees,
    size,
    density: size * subtrees.reduce((product, tree) => product * tree.density, 1)
  }
}

const bySize: Array<ReadonlyArray<RootedTree>> = [[], [grow([])]]

/** All rooted trees of a size: a root over a multiset of smaller trees. */
const treesOf = (size: number): ReadonlyArray<RootedTree> => {
  for (let n = bySize.length; n <= size; n++) {
    const found: Array<RootedTree> = []
    const smaller = bySize.flat()
    const choose = (rest: number, from: number, chosen: ReadonlyArray<RootedTree>): void => {
      if (rest === 0) found.push(grow(chosen))
      for (let i = from; i < smaller.length; i++) {
        if (smaller[i].size <= rest) choose(rest - smaller[i].size, i, [...chosen, smaller[i]])
      }
    }
    choose(n - 1, 0, [])
    bySize.push(found)
  }
  return bySize[size]
}

const treesUpTo = (order: number): ReadonlyArray<RootedTree> =>
  Array.from({ length: Math.min(order, 8) }, (_, i) => treesOf(i + 1)).flat()

/** The elementary weight of a tree at each stage (Hairer, Nørsett, Wanner, II.2): Φᵢ = Π over subtrees of Σⱼ aᵢⱼΦⱼ. */
const phi = (tree: RootedTree, a: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<number> => {
  const inner = tree.subtrees.map((subtree) => phi(subtree, a))
  return a.map((row) =>
    inner.reduce(
      (product, values) => product * row.reduce((sum, each, j) => sum + each * values[j], 0),
      1
    )
  )
}

const show = (tree: RootedTree): string => `[${tree.subtrees.map(show).join("")}]`

/**
 * Euler's method, order 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const euler: Tableau = make({ name: "Euler", order: 1, a: [], b: [1] })

/**
 * The explicit midpoint method, order 2.
 *
 * @since 0.1.0
 * @category methods
 */
export const midpoint: Tableau = make({ name: "midpoint", order: 2, a: [[1 / 2]], b: [0, 1] })

/**
 * Heun's method (the explicit trapezoid), order 2.
 *
 * @since 0.1.0
 * @category methods
 */
export const heun: Tableau = make({ name: "Heun", order: 2, a: [[1]], b: [1 / 2, 1 / 2] })

/**
 * Ralston's method, order 2 with the least error bound (Ralston 1962).
 *
 * @since 0.1.0
 * @category methods
 */
export const ralston: Tableau = make({ name: "Ralston", order: 2, a: [[2 / 3]], b: [1 / 4, 3 / 4] })

/**
 * Heun's third-order method.
 *
 * @since 0.1.0
 * @category methods
 */
export const heun3: Tableau = make({
  name: "Heun 3",
  order: 3,
  a: [[1 / 3], [0, 2 / 3]],
  b: [1 / 4, 0, 3 / 4]
})

/**
 * The classic Runge–Kutta method, order 4.
 *
 * @since 0.1.0
 * @category methods
 */
export const rk4: Tableau = make({
  name: "RK4",
  order: 4,
  a: [[1 / 2], [0, 1 / 2], [0, 0, 1]],
  b: [1 / 6, 1 / 3, 1 / 3, 1 / 6]
})

/**
 * Kutta's 3/8 rule, order 4: the continuous U-Net's method.
 *
 * @since 0.1.0
 * @category methods
 */
export const rk38: Tableau = make({
  name: "3/8 rule",
  order: 4,
  a: [[1 / 3], [-1 / 3, 1], [1, -1, 1]],
  b: [1 / 8, 3 / 8, 3 / 8, 1 / 8]
})

/**
 * The strong-stability-preserving method of order 3 (Shu and Osher 1988).
 *
 * @since 0.1.0
 * @category methods
 */
export const ssprk33: Tableau = make({
  name: "SSPRK33",
  order: 3,
  a: [[1], [1 / 4, 1 / 4]],
  b: [1 / 6, 1 / 6, 2 / 3]
})

/**
 * Fehlberg's pair of orders 2 and 1 (Fehlberg 1969).
 *
 * @since 0.1.0
 * @category methods
 */
export const fehlberg21: Tableau = make({
  name: "Fehlberg 2(1)",
  order: 2,
  a: [[1 / 2], [1 / 256, 255 / 256]],
  b: [1 / 512, 255 / 256, 1 / 512],
  embedded: { b: [1 / 256, 255 / 256, 0], order: 1 }
})

/**
 * Heun's method with Euler's embedded: orders 2 and 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const adaptiveHeun: Tableau = make({
  name: "adaptive Heun",
  order: 2,
  a: [[1]],
  b: [1 / 2, 1 / 2],
  embedded: { b: [1, 0], order: 1 }
})

/**
 * Bogacki and Shampine's pair of orders 3 and 2 (Bogacki and Shampine 1989).
 *
 * @since 0.1.0
 * @category methods
 */
export const bosh3: Tableau = make({
  name: "Bogacki–Shampine 3(2)",
  order: 3,
  a: [[1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
  b: [2 / 9, 1 / 3, 4 / 9, 0],
  embedded: { b: [7 / 24, 1 / 4, 1 / 3, 1 / 8], order: 2 }
})

/**
 * The quartic through both ends, their derivatives (the first and the last stage) and a midpoint with given weights:
 * Hermite's cubic and what it misses in the middle times 16θ²(1 − θ)².
 */
const quartic = (
  b: ReadonlyArray<number>,
  middle: ReadonlyArray<number>
): ReadonlyArray<ReadonlyArray<number>> =>
  b.map((weight, i) => {
    const first = i === 0 ? 1 : 0
    const last = i === b.length - 1 ? 1 : 0
    const missed = 16 * (middle[i] - weight / 2 - (first - last) / 8)
    return [
      first,
      3 * weight - 2 * first - last + missed,
      first + last - 2 * weight - 2 * missed,
      missed
    ]
  })

/**
 * Dormand and Prince's pair of orders 5 and 4 (Dormand and Prince 1980), with Shampine's embedded weights; the interpolant is
 * of order 4 (Hairer, Nørsett and Wanner, II.6).
 *
 * @since 0.1.0
 * @category methods
 */
export const dopri5: Tableau = make({
  name: "Dormand–Prince 5(4)",
  dense: {
    order: 4,
    b: quartic(
      [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
      [
        6025192743 / 30085553152,
        0,
        51252292925 / 65400821598,
        -2691868925 / 45128329728,
        187940372067 / 1594534317056,
        -1776094331 / 19743644256,
        11237099 / 235043384
      ].map((weight) => weight / 2)
    )
  },
  order: 5,
  a: [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]
  ],
  b: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
  embedded: {
    b: [1951 / 21600, 0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60],
    order: 4
  }
})

/** Coefficients of θ … θ⁴ of factor·θ²(θ − u)(θ − v). */
const roots = (factor: number, u: number, v: number): ReadonlyArray<number> => [
  0,
  factor * u * v,
  -factor * (u + v),
  factor
]

/** Coefficients of θ … θ⁴ of factor·θ²(θ² − pθ + q). */
const square = (factor: number, p: number, q: number): ReadonlyArray<number> => [
  0,
  factor * q,
  -factor * p,
  factor
]

/**
 * Tsitouras's pair of orders 5 and 4, with his free interpolant of order 4 (Tsitouras 2011).
 *
 * @since 0.1.0
 * @category methods
 */
export const tsit5: Tableau = make({
  name: "Tsitouras 5(4)",
  order: 5,
  c: [0, 0.161, 0.327, 0.9, 0.98002554090450968573, 1, 1],
  a: [
    [0.161],
    [-0.0084806554923569885444, 0.33548065549235698854],
    [2.8971530571054934321, -6.3594484899750748431, 4.362295432869581411],
    [
      5.3258648284392566044, -11.748883564062827877, 7.4955393428898362083, -0.092495066361755249251
    ],
    [
      5.8614554429464200287, -12.920969317847109292, 8.1593678985761586432,
      -0.071584973281400997225, -0.028269050394068382909
    ],
    [
      0.096460766818065229518, 0.01, 0.47988965041449957478, 1.3790085741037418932,
      -3.2900695154360806799, 2.3247105240997739824
    ]
  ],
  b: [
    0.096460766818065229518, 0.01, 0.47988965041449957478, 1.3790085741037418932,
    -3.2900695154360806799, 2.3247105240997739824, 0
  ],
  embedded: {
    b: [
      0.094680755765839458075,
      0.0091835655403432530968,
      0.48777052842476157079,
      1.2342975669304789857,
      -2.7077123499835254549,
      1.8666284181705870358,
      1 / 66
    ],
    order: 4
  },
  dense: {
    order: 4,
    b: [
      // −1.05…·θ(θ − u)(θ² − pθ + q)
      (([factor, u, p, q]) => [-factor * u * q, factor * (q + u * p), -factor * (u + p), factor])([
        -1.0530884977290216, 1.3299890189751412, 1.4364028541716351, 0.7139816917074209
      ]),
      square(0.1017, 2.1966568338249754, 1.2949852507374631),
      square(2.490627285651252793, 2.38535645472061657, 1.57803468208092486),
      roots(-16.54810288924490272, 1.21712927295533244, 0.61620406037800089),
      roots(47.37952196281928122, 1.203071208372362603, 0.658047292653547382),
      roots(-34.87065786149660974, 1.2, 2 / 3),
      roots(2.5, 1, 0.6)
    ]
  }
})
