/**
 * Exponential integrators in λ = log α/σ, which DPM-Solver, DEIS, UniPC and SA-Solver are.
 *
 * Over a step from s to t, with h = λ_t − λ_s, the reverse SDE of strength η (0 for the probability-flow ODE) is solved exactly by
 *
 *     of data:   x_t = (σ_t/σ_s)e^(−ηh) x_s + α_t ∫ m + σ_t √(1 − e^(−2ηh)) z,         K = (1 + η)h
 *     of noise:  x_t = (α_t/α_s) x_s + (1 + η)σ_t ∫ m + σ_t √η √(e^(2h) − 1) z,        K = −h
 *
 * where ∫ m = ∫₀¹ K e^(−K(1−v)) m(λ_s + vh) dv of the predictions m of data or noise (SA-Solver, arXiv:2309.05019, section 4,
 * with τ² = η; for η = 0 DPM-Solver, arXiv:2206.00927, proposition 3.1, and DPM-Solver++, arXiv:2211.01095, proposition 4.1). A method replaces m by the polynomial Σ Dₙvⁿ through predictions at some nodes v, and its integral by Σ cₙDₙ, where cₙ is the moment
 * Mₙ = ∫₀¹ K e^(−K(1−v)) vⁿ dv or something that comes near it.
 */
import { demand } from "../DiffusionError.ts"
import type * as Plan from "../Plan.ts"
import type { Row, Sum } from "../Sampler.ts"

/** What is integrated. */
export type Prediction = "data" | "noise"

/** The source that has it: the noise as predicted, or that of clipped data. */
export const sourceOf = (prediction: Prediction, clipped: boolean): string =>
  prediction === "data" ? "data" : clipped ? "slope" : "noise"

/** log α/σ. */
export const lambda = ({ alpha, sigma }: Plan.Level): number => Math.log(alpha) - Math.log(sigma)

/** Mₙ; by its series where the closed form would cancel. */
export const moment = (k: number, n: number): number => {
  if (Math.abs(k) < 1) {
    // K n! Σ (−K)ʲ/(n + j + 1)!
    let term = k / (n + 1)
    let total = term
    for (let j = 1; j < 25; j++) {
      term *= -k / (n + j + 1)
      total += term
    }
    return total
  }
  let value = -Math.expm1(-k)
  for (let i = 1; i <= n; i++) value = 1 - (i / k) * value
  return value
}

/** The numbers cₙ that stand for the moments, as many as nodes. */
export type Rule = (k: number, count: number) => ReadonlyArray<number>

const counted = (count: number, value: (n: number) => number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, n) => value(n))

/** The integral of the polynomial itself. */
export const exact: Rule = (k, count) => counted(count, (n) => moment(k, n))

/** c₁ of its own where there are two nodes. */
export const withSecond =
  (second: (k: number) => number): Rule =>
  (k, count) =>
    count === 2 ? [moment(k, 0), second(k)] : exact(k, count)

/** Of a sum Σ cₙDₙ the coefficients of the predictions at the nodes; nodes infinitely far away count for nothing. */
export const weights = (
  nodes: ReadonlyArray<number>,
  k: number,
  rule: Rule
): ReadonlyArray<number> => {
  const near = nodes.filter(Number.isFinite)
  const c = rule(k, near.length)
  return nodes.map((v) => {
    if (!Number.isFinite(v)) return 0
    // Lagrange's polynomial of the node, by powers of v
    const polynomial = near
      .filter((other) => other !== v)
      .reduce<ReadonlyArray<number>>(
        (p, other) =>
          Array.from(
            { length: p.length + 1 },
            (_, n) => ((p[n - 1] ?? 0) - (p[n] ?? 0) * other) / (v - other)
          ),
        [1]
      )
    return polynomial.reduce((sum, each, n) => sum + each * c[n], 0)
  })
}

/** What a step multiplies the state, the predictions and fresh noise with. */
export interface Step {
  readonly keep: number
  readonly weights: ReadonlyArray<number>
  readonly fresh: number
}

/**
 * A step between levels. `nodes` are places v, 0 at `from` and 1 at `to`.
 */
export const step = (given: {
  readonly prediction: Prediction
  readonly eta?: number
  readonly from: Plan.Level
  readonly to: Plan.Level
  readonly nodes: ReadonlyArray<number>
  readonly rule: Rule
}): Step => {
  const { prediction, eta = 0, from, to, nodes, rule } = given
  const h = lambda(to) - lambda(from)
  if (prediction === "data") {
    const faded = eta === 0 ? 1 : Math.exp(-eta * h)
    return {
      keep: (to.sigma / from.sigma) * faded,
      weights: weights(nodes, (1 + eta) * h, rule).map((each) => to.alpha * each),
      fresh: eta === 0 ? 0 : to.sigma * Math.sqrt(-Math.expm1(-2 * eta * h))
    }
  }
  // σ_t e^h, also where σ_t is 0
  const ratio = (to.alpha * from.sigma) / from.alpha
  return {
    keep: to.alpha / from.alpha,
    weights:
      nodes.length === 1
        ? [(1 + eta) * (to.sigma - ratio)]
        : weights(nodes, -h, rule).map((each) => (1 + eta) * to.sigma * each),
    fresh: Math.sqrt(eta * (ratio ** 2 - to.sigma ** 2))
  }
}

/** Places of levels in a step, 0 at `from` and 1 at `to`. */
export const places = (
  from: Plan.Level,
  to: Plan.Level,
  levels: ReadonlyArray<Plan.Level>
): ReadonlyArray<number> => {
  const [start, h] = [lambda(from), lambda(to) - lambda(from)]
  return levels.map((level) =>
    level === from ? 0 : level === to ? 1 : (lambda(level) - start) / h
  )
}

/** A sum of terms, of which several may be of the same register. */
export const sum = (...terms: ReadonlyArray<readonly [string, number]>): Sum => {
  const total: Record<string, number> = {}
  for (const [name, value] of terms) total[name] = (total[name] ?? 0) + value
  return total
}

/** The prediction j evaluations ago: this one's source, or a register. */
export const past = (source: string, j: number): string => (j === 0 ? source : `m${j}`)

/** Registers that keep the predictions of the last `count` evaluations. */
export const history = (source: string, count: number): Record<string, Sum> =>
  Object.fromEntries(
    counted(count, (j) => j + 1).map((j) => [`m${j}`, { [past(source, j - 1)]: 1 }])
  )

/** The levels j = 0 … count − 1 evaluations before the one of an index. */
const before = (levels: ReadonlyArray<Plan.Level>, i: number, count: number) =>
  counted(count, (j) => j).map((j) => levels[i - j])

/** Of which order each step is, by its index among so many. */
export type Orders = (i: number, steps: number) => number

/** Whether a step leads to where there is no noise: h is infinite then, and only order 1 makes sense. */
export const ends = ({ levels }: Plan.Plan): boolean => levels[levels.length - 1].sigma === 0

/** Of which order the steps before the last one are. Throws `DiffusionError` for a last one of no order. */
export const falling = (
  order: number,
  final: boolean | number | undefined,
  euler: boolean
): Orders => {
  demand(
    typeof final !== "number" || (Number.isInteger(final) && final > 0),
    "lowerOrderFinal",
    "options",
    `the order of the last step must be a whole number of at least 1, not ${final}`
  )
  return (i, steps) => {
    const last = final === undefined ? steps < 15 : final
    const least = last === true ? 1 : last === false ? order : last
    return euler && i === steps - 1 ? 1 : Math.min(order, least + steps - 1 - i)
  }
}

/** A method of predictions at the last levels of a plan. */
export interface Multistep {
  readonly prediction: Prediction
  readonly source: string
  readonly order: Orders
  readonly rule: Rule
  /** Of the step that begins at a level. */
  readonly eta: (level: Plan.Level) => number
  /** Multiplies fresh noise. */
  readonly scale?: number
  /**
   * How many predictions, the newest included, correct a state once there is one of it; 0 for none. What is kept of the last
   * state is `base`, and `z` is the noise that led away from it.
   */
  readonly corrector?: Orders
  /** Whether the state at the last level is corrected as well, by an evaluation there. */
  readonly correctLast?: boolean
}

/**
 * The rows of a multistep method. Every row asks the denoiser at x, and corrects x before it steps on from there.
 */
export const multistep = (
  { levels }: Plan.Plan,
  {
    prediction,
    source,
    order,
    rule,
    eta,
    scale = 1,
    corrector = () => 0,
    correctLast = false
  }: Multistep
): ReadonlyArray<Row> => {
  const steps = levels.length - 1
  const orders = counted(steps, (i) => Math.min(order(i, steps), i + 1))
  const counts = counted(steps + 1, (i) => (i === 0 ? 0 : Math.min(corrector(i, steps), i + 1)))
  const size = Math.max(...orders, ...counts) - 1
  const corrects = counts.some((count) => count > 0)
  const noisy = levels.some((level) => eta(level) !== 0)
  // the state at a level, corrected
  const state = (i: number): Sum => {
    if (counts[i] === 0) return { x: 1 }
    const [from, to] = [levels[i - 1], levels[i]]
    const used = before(levels, i, counts[i])
    const { keep, weights, fresh } = step({
      prediction,
      eta: eta(from),
      from,
      to,
      nodes: places(from, to, used),
      rule
    })
    return sum(
      ["base", keep],
      ...weights.map((each, j) => [past(source, j), each] as const),
      ...(noisy ? [["z", scale * fresh] as const] : [])
    )
  }
  const rows = counted(steps, (i) => i).map((i): Row => {
    const [from, to] = [levels[i], levels[i + 1]]
    const used = before(levels, i, orders[i])
    const { keep, weights, fresh } = step({
      prediction,
      eta: eta(from),
      from,
      to,
      nodes: places(from, to, used),
      rule
    })
    const base = state(i)
    return {
      level: from,
      next: {
        x: sum(
          ...Object.entries(base).map(([name, each]) => [name, keep * each] as const),
          ...weights.map((each, j) => [past(source, j), each] as const),
          ["fresh", scale * fresh]
        ),
        ...(corrects ? { base } : {}),
        ...(corrects && noisy ? { z: { fresh: 1 } } : {}),
        ...history(source, size)
      }
    }
  })
  return correctLast ? [...rows, { level: levels[steps], next: { x: state(steps) } }] : rows
}
