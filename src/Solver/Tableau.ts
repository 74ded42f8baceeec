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
  /** Weights of the embedded result, and its order; and those of a coarser one, whose error tempers the first's. */
  readonly embedded?: Embedded & { readonly coarse?: Embedded }
  /** How states within a step are found. Without it the interpolant is Hermite's cubic through both ends. */
  readonly dense?: Interpolant
  /** Whether the last stage is f at the result, so that it is the next step's first (first same as last). */
  readonly firstSameAsLast: boolean
}

/**
 * The weights of a result, and its order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Embedded {
  readonly b: ReadonlyArray<number>
  readonly order: number
}

/**
 * The result at t + θh, of a stated order. `b` has the weights of each stage as coefficients of θ, θ², θ³, …; or, `nested`,
 * of θ, θ(1 − θ), θ²(1 − θ), θ²(1 − θ)², …, where both ends stay exact in single precision too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interpolant {
  readonly b: ReadonlyArray<ReadonlyArray<number>>
  readonly order: number
  readonly nested?: boolean
  /** Coefficients of further stages that only the interpolant needs; their nodes are the rows' sums. */
  readonly extra?: ReadonlyArray<ReadonlyArray<number>>
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
  if (definition.a.length !== stages - 1) {
    throw fail(
      `${stages} weights need ${stages - 1} rows of coefficients, but there are ${definition.a.length}`
    )
  }
  const rows = [[], ...definition.a, ...(definition.dense?.extra ?? [])]
  rows.forEach((row, i) => {
    if (row.length !== i)
      throw fail(`row ${i} of an explicit method has ${i} coefficients, not ${row.length}`)
  })
  const c = verify(name, rows, definition)
  const last = rows[stages - 1]
  const firstSameAsLast =
    stages > 1 &&
    Math.abs(c[stages - 1] - 1) < tolerance &&
    definition.b[stages - 1] === 0 &&
    last.every((each, i) => each === definition.b[i])
  return { ...definition, name, c, firstSameAsLast }
}

/**
 * The nodes of a method, explicit or implicit, checked as {@link make} says. `rows` are the coefficients of all its stages, and
 * of the interpolant's.
 */
export const verify = (
  name: string,
  rows: ReadonlyArray<ReadonlyArray<number>>,
  definition: Definition
): ReadonlyArray<number> => {
  const stages = definition.b.length
  const fail = (message: string) => new ProblemError({ what: name, message: `${name}: ${message}` })
  const sums = rows.slice(0, stages).map(total)
  const c = definition.c ?? sums
  if (c.length !== stages) throw fail(`${stages} stages need ${stages} nodes, not ${c.length}`)
  sums.forEach((sum, i) => {
    // written so that NaN fails, too
    if (!(Math.abs(sum - c[i]) <= tolerance)) {
      throw fail(`the coefficients of stage ${i} add up to ${sum}, but its node is ${c[i]}`)
    }
  })
  const { order } = definition
  if (!(Number.isInteger(order) && order > 0)) {
    throw fail(`the order must be a whole number above 0, not ${order}`)
  }
  const weigh = phi(rows)
  const check = (
    { b, order }: Embedded,
    what: string,
    { theta, count }: { readonly theta: number; readonly count: number } = {
      theta: 1,
      count: stages
    }
  ): void => {
    if (b.length !== count) throw fail(`${what} needs ${count} weights, not ${b.length}`)
    for (const tree of treesUpTo(order)) {
      const values = weigh(tree)
      const sum = b.reduce((sum, weight, i) => sum + weight * values[i], 0)
      const wanted = theta ** tree.size / tree.density
      if (!(Math.abs(sum - wanted) <= tolerance)) {
        throw fail(
          `${what} is not of order ${order}: the condition of the tree ${show(tree)} gives ${sum}, not ${wanted}`
        )
      }
    }
  }
  const { embedded, dense } = definition
  check(definition, "the result")
  if (embedded !== undefined) check(embedded, "the embedded result")
  if (embedded?.coarse !== undefined) check(embedded.coarse, "the coarse embedded result")
  if (dense !== undefined) {
    for (const theta of [0.25, 0.5, 0.8, 1]) {
      const b = weightsAt(dense, theta)
      check({ b, order: dense.order }, "the interpolant", { theta, count: rows.length })
    }
  }
  return c
}

const tolerance = 1e-10

const total = (row: ReadonlyArray<number>): number => row.reduce((x, y) => x + y, 0)

/** The interpolant's weights at θ. */
export const weightsAt = ({ b, nested }: Interpolant, theta: number): ReadonlyArray<number> =>
  b.map((coefficients) =>
    coefficients.reduceRight(
      (sum, each, power) => (sum + each) * (nested && power % 2 === 1 ? 1 - theta : theta),
      0
    )
  )

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

/**
 * The elementary weight of a tree at each stage (Hairer, Nørsett, Wanner, II.2): Φᵢ = Π over subtrees of Σⱼ aᵢⱼΦⱼ. Trees
 * share their subtrees, so each is weighed but once.
 */
const phi = (
  a: ReadonlyArray<ReadonlyArray<number>>
): ((tree: RootedTree) => ReadonlyArray<number>) => {
  const reached = new Map<RootedTree, ReadonlyArray<number>>()
  const reach = (tree: RootedTree): ReadonlyArray<number> => {
    const known = reached.get(tree)
    if (known !== undefined) return known
    const values = weigh(tree)
    const sums = a.map((row) => row.reduce((sum, each, j) => sum + each * values[j], 0))
    reached.set(tree, sums)
    return sums
  }
  const weigh = ({ subtrees }: RootedTree): ReadonlyArray<number> => {
    const inner = subtrees.map(reach)
    return a.map((_, i) => inner.reduce((product, values) => product * values[i], 1))
  }
  return weigh
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
 * Hermite's cubic through both ends and their derivatives (the first stage, and the one that is f at the result), nested.
 * What is added to it as coefficients of θ²(1 − θ)², θ³(1 − θ)², … leaves both ends as they are.
 */
const hermite = (
  b: ReadonlyArray<number>,
  stages = b.length
): ReadonlyArray<readonly [number, number, number]> =>
  Array.from({ length: stages }, (_, i) => {
    const weight = b[i] ?? 0
    const first = i === 0 ? 1 : 0
    const last = i === b.length - 1 ? 1 : 0
    return [weight, first - weight, 2 * weight - first - last]
  })

/** The quartic through both ends, their derivatives and a midpoint with given weights; nested. */
const quartic = (
  b: ReadonlyArray<number>,
  middle: ReadonlyArray<number>
): ReadonlyArray<ReadonlyArray<number>> => {
  const half = weightsAt({ b: hermite(b), order: 3, nested: true }, 1 / 2)
  return hermite(b).map((cubic, i) => [...cubic, 16 * (middle[i] - half[i])])
}

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
    nested: true,
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

/** The weights of Dormand and Prince's method of order 8, and of f at its result. */
const eighth = [
  0.054293734116568765, 0, 0, 0, 0, 4.450312892752409, 1.8915178993145003, -5.801203960010585,
  0.3111643669578199, -0.1521609496625161, 0.20136540080403034, 0.04471061572777259, 0
]

/**
 * Dormand and Prince's method of order 8 with estimates of orders 5 and 3: `dop853` of Hairer, Nørsett and Wanner, II.5 and
 * II.10, with its coefficients. The interpolant is of order 7 (II.6) and takes three more stages.
 *
 * @since 0.1.0
 * @category methods
 */
export const dopri8: Tableau = make({
  name: "Dormand–Prince 8(5,3)",
  order: 8,
  c: [
    0, 0.05260015195876773, 0.0789002279381516, 0.1183503419072274, 0.2816496580927726,
    0.3333333333333333, 0.25, 0.3076923076923077, 0.6512820512820513, 0.6, 0.8571428571428571, 1, 1
  ],
  a: [
    [0.05260015195876773],
    [0.0197250569845379, 0.0591751709536137],
    [0.02958758547680685, 0, 0.08876275643042054],
    [0.2413651341592667, 0, -0.8845494793282861, 0.924834003261792],
    [0.037037037037037035, 0, 0, 0.17082860872947386, 0.12546768756682242],
    [0.037109375, 0, 0, 0.17025221101954405, 0.06021653898045596, -0.017578125],
    [
      0.03709200011850479, 0, 0, 0.17038392571223998, 0.10726203044637328, -0.015319437748624402,
      0.008273789163814023
    ],
    [
      0.6241109587160757, 0, 0, -3.3608926294469414, -0.868219346841726, 27.59209969944671,
      20.154067550477894, -43.48988418106996
    ],
    [
      0.47766253643826434, 0, 0, -2.4881146199716677, -0.590290826836843, 21.230051448181193,
      15.279233632882423, -33.28821096898486, -0.020331201708508627
    ],
    [
      -0.9371424300859873, 0, 0, 5.186372428844064, 1.0914373489967295, -8.149787010746927,
      -18.52006565999696, 22.739487099350505, 2.4936055526796523, -3.0467644718982196
    ],
    [
      2.273310147516538, 0, 0, -10.53449546673725, -2.0008720582248625, -17.9589318631188,
      27.94888452941996, -2.8589982771350235, -8.87285693353063, 12.360567175794303,
      0.6433927460157636
    ],
    eighth.slice(0, 12)
  ],
  b: eighth,
  embedded: {
    // published as error weights
    b: [
      0.01312004499419488, 0, 0, 0, 0, -1.2251564463762044, -0.4957589496572502, 1.6643771824549864,
      -0.35032884874997366, 0.3341791187130175, 0.08192320648511571, -0.022355307863886294, 0
    ].map((error, i) => eighth[i] - error),
    order: 5,
    coarse: {
      b: [
        0.2440944881889764, 0, 0, 0, 0, 0, 0, 0, 0.7338466882816118, 0, 0, 0.022058823529411766, 0
      ],
      order: 3
    }
  },
  dense: {
    order: 7,
    nested: true,
    extra: [
      [
        0.056167502283047954, 0, 0, 0, 0, 0, 0.25350021021662483, -0.2462390374708025,
        -0.12419142326381637, 0.15329179827876568, 0.00820105229563469, 0.007567897660545699,
        -0.008298
      ],
      [
        0.03183464816350214, 0, 0, 0, 0, 0.028300909672366776, 0.053541988307438566,
        -0.05492374857139099, 0, 0, -0.00010834732869724932, 0.0003825710908356584,
        -0.00034046500868740456, 0.1413124436746325
      ],
      [
        -0.42889630158379194, 0, 0, 0, 0, -4.697621415361164, 7.683421196062599, 4.06898981839711,
        0.3567271874552811, 0, 0, 0, -0.0013990241651590145, 2.9475147891527724, -9.15095847217987
      ]
    ],
    b: [
      [-8.428938276109013, 10.427508642579134, 19.985053242002433, -25.69393346270375],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0.5667149535193777, 242.28349177525817, -387.0373087493518, -154.18974869023643],
      [-3.0689499459498917, 165.20045171727028, -189.17813819516758, -231.5293791760455],
      [2.38466765651207, -374.5467547226902, 527.8081592054236, 357.6391179106141],
      [2.117034582445028, -22.113666853125306, -11.57390253995963, 93.40532418362432],
      [-0.871391583777973, 7.733432668472264, 6.8812326946963, -37.45832313645163],
      [2.2404374302607883, -30.674084731089398, -1.0006050966910838, 104.0996495089623],
      [0.6315787787694688, -9.332130526430229, 0.7777137798053443, 29.8402934266605],
      [-0.08899033645133331, 15.697238121770845, -2.778205752353508, -43.53345659001114],
      [18.148505520854727, -31.139403219565178, -60.19669523126412, 96.32455395918828],
      [-9.194632392478356, -9.35292435884448, 84.32040550667716, -39.17726167561544],
      [-4.436036387594894, 35.81684148639408, 11.99229113618279, -149.72683625798564]
    ].map((further, i) => [...hermite(eighth, 16)[i], ...further])
  }
})
