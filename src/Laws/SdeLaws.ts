/**
 * What every method for stochastic differential equations must do, and every Brownian path.
 *
 * ```ts
 * it("keeps its laws", () => SdeLaws.check(mine))
 * ```
 *
 * A law looks at random problems with known solutions, and throws a `LawError` that names the law, the method, the problem
 * and the seed.
 *
 * @since 0.1.0
 */
import { Brownian, Carrier, Fixed, Sde } from "../Solver/index.ts"
import { HostRandom } from "../Tensor/index.ts"
import * as law from "./internal/law.ts"
import * as measure from "./internal/measure.ts"
import * as problems from "./internal/problems.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Options = law.Options

/** Paths side by side, over which errors are averaged. */
const many = 200

const depth = 9

const carrier = Carrier.float64Array

type Vector = Float64Array
type Problem = Sde.Problem<Vector, number, "diagonal" | "additive">

interface Solved {
  readonly text: string
  readonly problem: Problem
  readonly start: Vector
  readonly solution: (path: Brownian.Path<Vector, number>) => Vector
}

const scaled = (by: number) => (_: number, y: Vector) => y.map((each) => by * each)

/** dy = ay dt + by dW: geometric Brownian motion. */
const geometric = (draw: problems.Draw, interpretation: Sde.Interpretation): Solved => {
  const [a, b] = [draw(-1, 1), draw(0.4, 0.7)]
  const drift = interpretation === "ito" ? a - (b * b) / 2 : a
  return {
    text: `dy = ${a}·y dt + ${b}·y dW (${interpretation}), y = 1 at 0`,
    problem: { drift: scaled(a), diffusion: scaled(b), noise: "diagonal", interpretation },
    start: new Float64Array(many).fill(1),
    solution: (path) => path.increment(0, 1).w.map((w) => Math.exp(drift + b * w))
  }
}

/** y = x + κ·sin(ωx)/ω of x = at + bW, and so of a diffusion that is not linear. */
const bent = (draw: problems.Draw, interpretation: Sde.Interpretation): Solved => {
  const [a, b] = [draw(-1, 1), draw(0.95, 1.1)]
  const [k, w] = [draw(0.6, 0.68), draw(2, 2.4)]
  const there = (x: number) => x + (k * Math.sin(w * x)) / w
  const slope = (x: number) => 1 + k * Math.cos(w * x)
  const back = (y: number) => {
    let [low, high] = [y - 1, y + 1]
    for (let x = y; ; x = (low + high) / 2) {
      if (high - low < 1e-3) {
        for (let i = 0; i < 4; i++) x -= (there(x) - y) / slope(x)
        return x
      }
      if (there(x) < y) low = x
      else high = x
    }
  }
  const bow = interpretation === "ito" ? (b * b) / 2 : 0
  return {
    text: `the problem of y = x + ${k / w}·sin(${w}·x), x = ${a}·t + ${b}·W (${interpretation})`,
    problem: {
      drift: (_, y) =>
        y.map((each) => {
          const x = back(each)
          return a * slope(x) - bow * k * w * Math.sin(w * x)
        }),
      diffusion: (_, y) => y.map((each) => b * slope(back(each))),
      noise: "diagonal",
      interpretation
    },
    start: new Float64Array(many),
    solution: (path) => path.increment(0, 1).w.map((each) => there(a + b * each))
  }
}

/** dy = (a·sin 2y + b·cos t) dt + (c + dt) dW, in many steps of SRA1. */
const nonlinear = (draw: problems.Draw, interpretation: Sde.Interpretation): Solved => {
  const { problem, start, text } = driven(draw, interpretation)
  const [a, b] = [draw(0.8, 1.2), draw(1, 2)]
  const changed: Sde.Problem<Vector, number, "additive"> = {
    ...problem,
    noise: "additive",
    drift: (t, y) => y.map((each) => a * Math.sin(2 * each) + b * Math.cos(t))
  }
  return {
    text: `${text}, with the drift ${a}·sin 2y + ${b}·cos t instead`,
    problem: changed,
    start,
    solution: (path) =>
      Fixed.run(Sde.stepper(Sde.sra1, carrier, changed, path), start, {
        from: 0,
        to: 1,
        count: 2 ** 8
      }).y
  }
}

/** dy = (ay + b·cos t) dt + (c + dt) dW, whose solution is an integral over the path. */
const driven = (draw: problems.Draw, interpretation: Sde.Interpretation): Solved => {
  const [a, b] = [draw(-2, -1), draw(1, 2)]
  const [c, d] = [draw(1, 1.3), draw(0.3, 0.6)]
  return {
    text: `dy = (${a}·y + ${b}·cos t) dt + (${c} + ${d}·t) dW, y = 1 at 0`,
    problem: {
      drift: (t, y) => y.map((each) => a * each + b * Math.cos(t)),
      diffusion: (t, y) => y.map(() => c + d * t),
      noise: "additive",
      interpretation
    },
    start: new Float64Array(many).fill(1),
    solution: ({ increment }) => {
      const cells = 2 ** 8
      const wave = (t: number) => (Math.sin(t) - a * Math.cos(t)) / (1 + a * a)
      const fixed = Math.exp(a) + b * (wave(1) - Math.exp(a) * wave(0))
      const total = new Float64Array(many).fill(fixed)
      for (let i = 0; i < cells; i++) {
        const middle = (i + 0.5) / cells
        const weight = Math.exp(a * (1 - middle))
        const g = weight * (c + d * middle)
        const slope = weight * d - a * g
        // over a cell ∫(r − middle) dW is −K
        const { w, area } = increment(i / cells, (i + 1) / cells)
        for (let j = 0; j < many; j++) total[j] += g * w[j] - slope * area[j]
      }
      return total
    }
  }
}

const kinds = { diagonal: [geometric, bent], additive: [driven, nonlinear] }
const noises = ["diagonal", "additive"] as const

const pathOf = (seed: number, length = many, interval = { from: 0, to: 1 }) =>
  Brownian.tree(Brownian.float64Array(HostRandom.key(seed), length), { ...interval, depth })

const strongOrders = (method: Sde.Method, seed: number): string | undefined => {
  const [interpretation] = method.interpretations
  for (const noise of noises) {
    const order = method.order[noise]
    if (order === undefined) continue
    const path = pathOf(seed)
    const found = kinds[noise].map((kind) => {
      const { problem, start, solution, text } = kind(problems.draws(seed), interpretation)
      const wanted = solution(path)
      const stepper = Sde.stepper(method, carrier, problem, path)
      const points = [3, 4, 5, 6].map((level) => {
        const { y } = Fixed.run(stepper, start, { from: 0, to: 1, count: 2 ** level })
        const missed = y.reduce((sum, each, i) => sum + Math.abs(each - wanted[i]), 0) / many
        return [-level, Math.log2(missed)] as const
      })
      return { order: measure.slope(points), text }
    })
    const least = found.reduce((a, b) => (a.order < b.order ? a : b))
    if (!(Math.abs(least.order - order) <= 0.3)) {
      return `the strong order is ${least.order.toFixed(2)} instead of ${order}, on ${least.text}`
    }
  }
  return undefined
}

const inverses = (method: Sde.Method, seed: number): string | undefined => {
  for (const noise of noises) {
    if (method.order[noise] === undefined) continue
    const [kind] = kinds[noise]
    const { problem, start, text } = kind(problems.draws(seed), method.interpretations[0])
    const { inverse, ...stepper } = Sde.stepper(method, carrier, problem, pathOf(seed))
    if (inverse === undefined) return undefined
    const { y, memory } = Fixed.run(stepper, start, { from: 0, to: 1, count: 64 })
    const begin = Array.from({ length: 64 }, (_, i) => i / 64).reduceRight(
      (end, t) => inverse(t, 1 / 64, end.y, end.memory),
      { y, memory }
    )
    const missed = measure.distance(begin.y, start)
    if (!(missed <= 1e-12 * measure.norm(start))) {
      return `64 steps and their inverses miss the start by ${missed}, on ${text}`
    }
  }
  return undefined
}

/** A scalar Brownian motion that all elements share, against diagonal noise of one element. */
const sharedNoise = (method: Sde.Method, seed: number): string | undefined => {
  if (method.order.scalar === undefined || method.order.diagonal === undefined) return undefined
  const draw = problems.draws(seed)
  const [{ problem, text }, y] = [
    geometric(draw, method.interpretations[0]),
    Float64Array.from({ length: 3 }, () => draw(0.5, 2))
  ]
  const one = Brownian.tree(Brownian.number(HostRandom.key(seed)), { from: 0, to: 1, depth })
  const alike: Brownian.Path<Vector, number> = {
    increment: (s, t) => {
      const { w, area } = one.increment(s, t)
      return { w: y.map(() => w), area: y.map(() => area) }
    }
  }
  const grid = { from: 0, to: 1, count: 20 }
  const shared = Sde.stepper(method, carrier, { ...problem, noise: "scalar" }, one)
  const own = Sde.stepper(method, carrier, { ...problem, noise: "diagonal" }, alike)
  const [a, b] = [shared, own].map((stepper) => Fixed.run(stepper, y, grid).y)
  return measure.distance(a, b) <= 1e-12 * measure.norm(b)
    ? undefined
    : `scalar noise gives ${a}, and diagonal noise on equal paths ${b}, on ${text}`
}

/**
 * The strong orders are those stated, within 0.3: with diagonal noise on geometric Brownian motion and on a problem whose
 * diffusion is not linear, with additive noise on problems whose drift, linear or not, and noise change with time. Since
 * easy problems flatter many methods, it is the lesser order of both that counts. A method for another integral
 * than it says has order 0.
 *
 * @since 0.1.0
 * @category laws
 */
export const strongOrder = (method: Sde.Method, options: Options = {}): void =>
  law.assert("strongOrder", method.name, 1, options, (seed) => strongOrders(method, seed))

/**
 * Steps and then their inverses lead back to the start, to 1e-12: for methods whose steps have an inverse.
 *
 * @since 0.1.0
 * @category laws
 */
export const inverse = (method: Sde.Method, options: Options = {}): void =>
  law.assert("inverse", method.name, 3, options, (seed) => inverses(method, seed))

/**
 * One Brownian motion that all elements share is the same as equal ones for each: where a method treats both kinds of noise.
 *
 * @since 0.1.0
 * @category laws
 */
export const scalarNoise = (method: Sde.Method, options: Options = {}): void =>
  law.assert("scalarNoise", method.name, 3, options, (seed) => sharedNoise(method, seed))

/**
 * All laws of methods: throws `LawError` for the first that is not kept.
 *
 * @since 0.1.0
 * @category checks
 */
export const check = (method: Sde.Method, options: Options = {}): void => {
  for (const each of [strongOrder, inverse, scalarNoise]) each(method, options)
}

/**
 * A path is the same whatever grid asks: increments and areas over intervals behind each other make those over the whole, and
 * change their signs backwards, to 1e-10. `make` gives the path of a seed, between two times.
 *
 * @example
 * ```ts
 * import { SdeLaws } from "odeon/Laws"
 * import { Brownian } from "odeon/Solver"
 * import { HostRandom } from "odeon/Tensor"
 *
 * SdeLaws.path((seed, interval) =>
 *   Brownian.tree(Brownian.float64Array(HostRandom.key(seed), 5), interval)
 * )
 * ```
 *
 * @since 0.1.0
 * @category laws
 */
export const path = (
  make: (
    seed: number,
    interval: { readonly from: number; readonly to: number }
  ) => Brownian.Path<Float64Array, number>,
  options: Options = {}
): void =>
  law.assert("path", "a Brownian path", 20, options, (seed) => {
    const draw = problems.draws(seed)
    const from = draw(-2, 2)
    const interval = { from, to: from + draw(0.1, 3) }
    const { increment } = make(seed, interval)
    const [s, u, t] = [0, 1, 2].map(() => draw(from, interval.to)).sort((a, b) => a - b)
    const [first, second, whole, back] = [
      increment(s, u),
      increment(u, t),
      increment(s, t),
      increment(t, s)
    ]
    const where = `${s}, ${u} and ${t}`
    for (let i = 0; i < whole.w.length; i++) {
      const w = first.w[i] + second.w[i]
      const area =
        first.area[i] + second.area[i] + ((t - u) * first.w[i] - (u - s) * second.w[i]) / 2
      if (!(Math.abs(w - whole.w[i]) <= 1e-10 && Math.abs(area - whole.area[i]) <= 1e-10)) {
        return `increment and area at ${where} add up to ${w} and ${area}, but over the whole are ${whole.w[i]} and ${whole.area[i]}`
      }
      if (back.w[i] !== -whole.w[i] || back.area[i] !== -whole.area[i]) {
        return `increment and area from ${t} to ${s} are ${back.w[i]} and ${back.area[i]}, but the other way ${whole.w[i]} and ${whole.area[i]}`
      }
    }
    return undefined
  })
