/**
 * DPM-Solver (Lu et al. 2022, arXiv:2206.00927) and DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095).
 *
 * With λ = log α/σ and h = λ_t − λ_s, the probability-flow ODE of predicted noise ε and that of predicted data x₀ are solved by
 *
 *     DPM-Solver:    x_t = (α_t/α_s) x_s − σ_t ∫ e^(λ_t−λ) ε(λ) dλ        (2206.00927, equation 3.4)
 *     DPM-Solver++:  x_t = (σ_t/σ_s) x_s + α_t ∫ e^(λ−λ_t) x₀(λ) dλ       (2211.01095, equation 8)
 *
 * from λ_s to λ_t, and the reverse SDE by the same with 2ε, with decay e^(−h) and kernel 2e^(2(λ−λ_t)), and with noise of deviation
 * σ_t√(e^(2h) − 1) and σ_t√(1 − e^(−2h)). An order k method integrates a polynomial through k predictions in place of ε or x₀:
 *
 * - {@link multistep}: through those at the last k levels,
 * - {@link singlestep}: through those since the step began, which are at levels of the plan,
 * - {@link solver}: likewise, but at levels in between (algorithms 1 and 2).
 *
 * λ is the same in all coordinates, so that any plan will do: of preserving or exploding variance, or of a flow. k-diffusion's samplers
 * are {@link dpmpp2m}, {@link dpmpp2sAncestral}, {@link dpmppSde}, {@link dpmpp2mSde}, {@link dpmpp3mSde} and {@link fast}; its adaptive one is
 * `DpmAdaptive`.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as exponential from "./internal/exponential.ts"
import type * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/**
 * What is integrated: predicted noise (`dpmsolver`) or data (`dpmsolver++`), along the ODE or the SDE (`sde-`).
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = "dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++"

/**
 * How the integral of the polynomial D₀ + D₁v + D₂v² is taken, with v from 0 to 1 over the step and moments Mₙ of its kernel:
 *
 * - `midpoint`: M₀D₀ + ½M₀D₁ in order 2. In order 3 `multistep` has {@link multistep}'s form, and `singlestep` M₀D₀ + M₁D₁ with D₁ from the
 *   first and the last prediction, as in algorithm 2 of 2206.00927
 * - `heun`: M₀D₀ + M₁D₁ in order 2, and in order 3 with all predictions
 * - `exact`: M₀D₀ + M₁D₁ + M₂D₂
 *
 * @since 0.1.0
 * @category models
 */
export type Solver = "midpoint" | "heun" | "exact"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** 1, 2 or 3; 2 unless told. */
  readonly order?: number
  /** `dpmsolver++` unless told. */
  readonly algorithm?: Algorithm
  /** `midpoint` unless told. */
  readonly solver?: Solver
  /** How strong an SDE's noise is: 1 for the reverse SDE, towards 0 the ODE. 1 unless told. */
  readonly eta?: number
  /** Multiplies fresh noise; 1 unless told. */
  readonly sNoise?: number
  /** Whether predicted noise is that of clipped data where the denoiser clips (`dpmsolver` and `sde-dpmsolver`); `false` unless told. */
  readonly clipped?: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface MultistepOptions extends Options {
  /**
   * Whether the last steps are of lower order, for stability: the last one of order 1, the one before of 2. A number is the order of the
   * last step. Where a plan has fewer than 15 steps unless told.
   */
  readonly lowerOrderFinal?: boolean | number
  /** Whether the last step is of order 1 in any case; `false` unless told. Where a plan ends without noise it always is. */
  readonly eulerAtFinal?: boolean
}

interface Settled {
  readonly name: string
  readonly order: number
  readonly prediction: exponential.Prediction
  readonly source: string
  readonly eta: number
  readonly sNoise: number
  readonly solver: Solver
}

const settled = (what: string, options: Options): Settled => {
  const { order = 2, algorithm = "dpmsolver++", solver = "midpoint", eta = 1, sNoise = 1 } = options
  demand(
    order === 1 || order === 2 || order === 3,
    what,
    "options",
    `the order must be 1, 2 or 3, not ${order}`
  )
  demand(
    ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"].includes(algorithm),
    what,
    "options",
    `the algorithm must be dpmsolver, dpmsolver++, sde-dpmsolver or sde-dpmsolver++, not ${algorithm}`
  )
  demand(
    ["midpoint", "heun", "exact"].includes(solver),
    what,
    "options",
    `the solver must be midpoint, heun or exact, not ${solver}`
  )
  const stochastic = algorithm.startsWith("sde-")
  demand(
    eta >= 0 && sNoise >= 0 && (stochastic || options.eta === undefined || eta === 0),
    what,
    "options",
    `η = ${eta} and S_noise = ${sNoise} must not be below 0, and belong to sde-dpmsolver and sde-dpmsolver++`
  )
  const prediction = algorithm.endsWith("++") ? "data" : "noise"
  return {
    name: `${algorithm}, order ${order}`,
    order,
    prediction,
    source: exponential.sourceOf(prediction, options.clipped ?? false),
    eta: stochastic ? eta : 0,
    sNoise,
    solver
  }
}

/** Predictions of noise are no use along the SDE to where there is none: the noise that is added would stay. */
const demandEnd = ({ name, prediction, eta }: Settled, plan: Plan.Plan) =>
  demand(
    prediction === "data" || eta === 0 || plan.levels[plan.levels.length - 1].sigma > 0,
    name,
    "plan",
    'the plan ends without noise, where this SDE of predicted noise has no end: take sde-dpmsolver++, or a plan with `end: "first"`'
  )

const midpoint = exponential.withSecond((k) => exponential.moment(k, 0) / 2)

/** The published third order has half of the moment M₂. */
const published =
  (second: exponential.Rule): exponential.Rule =>
  (k, count) =>
    count < 3 ? second(k, count) : exponential.exact(k, count).map((m, n) => (n === 2 ? m / 2 : m))

const multistepRules: Record<Solver, exponential.Rule> = {
  midpoint: published(midpoint),
  heun: published(exponential.exact),
  exact: exponential.exact
}

/**
 * The multistep methods: one evaluation for each step, of lower order at first.
 *
 * In order 3, `midpoint` and `heun` take ½M₂D₂ where the integral has M₂D₂, as in the authors' code, k-diffusion and diffusers, which is of
 * order 2 with a small constant; `exact` is of order 3. (diffusers' sde-dpmsolver++ of order 3 has ½M₂ − 1 in place of ½M₂, by the sign of
 * a term, and is not followed; k-diffusion's is.)
 *
 * ```ts
 * const sampler = Dpm.multistep({ order: 2 }) // DPM-Solver++(2M)
 * ```
 *
 * Throws `DiffusionError` for options out of range.
 *
 * @since 0.1.0
 * @category samplers
 */
export const multistep = (options: MultistepOptions = {}): Sampler.Sampler => {
  const all = settled("Dpm.multistep", options)
  return Sampler.linear(`${all.name}, multistep`, (plan) => {
    demandEnd(all, plan)
    return exponential.multistep(plan, {
      prediction: all.prediction,
      source: all.source,
      order: exponential.falling(
        all.order,
        options.lowerOrderFinal,
        options.eulerAtFinal || exponential.ends(plan)
      ),
      rule: multistepRules[all.solver],
      eta: () => all.eta,
      scale: all.sNoise
    })
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SinglestepOptions extends Options {
  /**
   * Whether the last steps are of lower order where they need not be, so that the very last is of order 1. It is where the plan ends
   * without noise, or where blocks of so many evaluations do not fill the plan. `false` unless told.
   */
  readonly lowerOrderFinal?: boolean
  /** Of which order each step is: 1, or one more than the one before. */
  readonly orders?: ReadonlyArray<number>
}

/** 1, 2, …, order, again and again; the rest begins anew. */
const blocks = (order: number, steps: number): ReadonlyArray<number> =>
  Array.from({ length: steps }, (_, i) => (i % order) + 1)

const singlestepOrders = (
  { order, name }: Settled,
  plan: Plan.Plan,
  { lowerOrderFinal = false, orders }: SinglestepOptions
): ReadonlyArray<number> => {
  const steps = plan.levels.length - 1
  if (orders !== undefined) {
    demand(
      orders.length === steps &&
        orders.every((each, i) => each === 1 || (i > 0 && each === orders[i - 1] + 1)) &&
        orders.every((each) => each <= 3),
      name,
      "options",
      `orders must be ${steps} numbers, as many as the plan has steps, each 1 or one more than the one before and at most 3, not ${orders.join(", ")}`
    )
    return orders
  }
  const lower = lowerOrderFinal || steps % order !== 0 || exponential.ends(plan)
  const all = [...blocks(order, steps)]
  // a whole last block would end in full order
  if (lower && steps % order === 0) all[steps - 1] = 1
  if (exponential.ends(plan)) all[steps - 1] = 1
  return all
}

const singlestepRules: Record<Solver, exponential.Rule> = {
  midpoint,
  heun: exponential.exact,
  exact: exponential.exact
}

/**
 * The singlestep methods along a plan: blocks of `order` evaluations, each of which begins again from the block's first state, with
 * all of the block's predictions.
 *
 * Throws `DiffusionError` for options out of range, or orders that do not fit the plan.
 *
 * @since 0.1.0
 * @category samplers
 */
export const singlestep = (options: SinglestepOptions = {}): Sampler.Sampler => {
  const all = settled("Dpm.singlestep", options)
  const { prediction, source, eta, sNoise, solver } = all
  return Sampler.linear(`${all.name}, singlestep`, (plan) => {
    demandEnd(all, plan)
    const { levels } = plan
    const orders = singlestepOrders(all, plan, options)
    const size = Math.max(...orders) - 1
    return orders.map((order, i) => {
      const from = levels[i + 1 - order]
      // of three, the midpoint form leaves out the one in the middle
      const js = Array.from({ length: order }, (_, j) => j).filter(
        (j) => !(solver === "midpoint" && order === 3 && j === 1)
      )
      const { keep, weights, fresh } = exponential.step({
        prediction,
        eta,
        from,
        to: levels[i + 1],
        nodes: exponential.places(
          from,
          levels[i + 1],
          js.map((j) => levels[i - j])
        ),
        rule: order === 3 ? exponential.exact : singlestepRules[solver]
      })
      return {
        level: levels[i],
        next: {
          x: exponential.sum(
            [order === 1 ? "x" : "base", keep],
            ...js.map((j, k) => [exponential.past(source, j), weights[k]] as const),
            ["fresh", sNoise * fresh]
          ),
          ...(order === 1 && size > 0 ? { base: { x: 1 } } : {}),
          ...exponential.history(source, size)
        }
      }
    })
  })
}

// ── Levels in between ────────────────────────────────────────────────────────────────────────────

/** A step with evaluations at levels in between, and what it ends with: fresh noise of a deviation. */
interface Stages {
  readonly prediction: exponential.Prediction
  readonly source: string
  readonly order: number
  /** Places of the evaluations after the first. */
  readonly r: readonly [number, number]
  readonly from: Plan.Level
  readonly to: Plan.Level
  readonly between: Plan.Plan["between"]
  readonly fresh?: number
}

/** Algorithms 1 and 2 of DPM-Solver, and their likes of data. */
const stages = (given: Stages): ReadonlyArray<Sampler.Row> => {
  const { prediction, source, order, r, from, to, between, fresh = 0 } = given
  const advance = (
    level: Plan.Level,
    nodes: ReadonlyArray<number>,
    rule: exponential.Rule
  ): Sampler.Sum => {
    const { keep, weights } = exponential.step({ prediction, from, to: level, nodes, rule })
    const [first, last] = weights
    return exponential.sum(
      [nodes.length === 1 ? "x" : "base", keep],
      [nodes.length === 1 ? source : "m1", first],
      ...(nodes.length === 1 ? [] : [[source, last] as const]),
      ...(level === to ? [["fresh", fresh] as const] : [])
    )
  }
  if (order === 1 || to.sigma === 0) {
    return [{ level: from, next: { x: advance(to, [0], exponential.exact) } }]
  }
  const [start, h] = [exponential.lambda(from), exponential.lambda(to) - exponential.lambda(from)]
  const inner = r.slice(0, order - 1).map((place) => between(2 * (start + place * h)))
  const kept = { base: { x: 1 }, m1: { [source]: 1 } }
  const first = { level: from, next: { x: advance(inner[0], [0], exponential.exact), ...kept } }
  if (order === 2) {
    return [first, { level: inner[0], next: { x: advance(to, [0, r[0]], midpoint) } }]
  }
  return [
    first,
    { level: inner[0], next: { x: advance(inner[1], [0, r[0] / r[1]], exponential.exact) } },
    { level: inner[1], next: { x: advance(to, [0, r[1]], exponential.exact) } }
  ]
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SolverOptions {
  /** 1, 2 or 3, and as many evaluations for each step; 3 unless told. */
  readonly order?: number
  /** `dpmsolver` unless told. */
  readonly algorithm?: "dpmsolver" | "dpmsolver++"
  /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
  readonly clipped?: boolean
}

/**
 * DPM-Solver-1, -2 and -3 (2206.00927, algorithms 1 and 2), and DPM-Solver++(2S) (2211.01095, algorithm 1): `order` evaluations in each
 * step, at levels of λ in between: halfway, or after one and two thirds. To a level without noise there is one evaluation.
 *
 * @since 0.1.0
 * @category samplers
 */
export const solver = (options: SolverOptions = {}): Sampler.Sampler => {
  const all = settled("Dpm.solver", { order: 3, algorithm: "dpmsolver", ...options })
  const { prediction, source, order } = all
  return Sampler.linear(`${all.name}, in between`, ({ levels, between }) =>
    levels
      .slice(1)
      .flatMap((to, i) =>
        stages({ prediction, source, order, r: places(order), from: levels[i], to, between })
      )
  )
}

const places = (order: number): readonly [number, number] => [order === 3 ? 1 / 3 : 1 / 2, 2 / 3]

/** σ/α. */
const ratio = ({ alpha, sigma }: Plan.Level): number => sigma / alpha

/** A level of this signal and σ/α. */
const withRatio = (level: Plan.Level, value: number): Plan.Level => ({
  ...level,
  sigma: level.alpha * value
})

/** A level below `to`, and the deviation of the noise that leads up to it again: η of the posterior's (k-diffusion's ancestral step). */
const ancestral = (
  from: Plan.Level,
  to: Plan.Level,
  eta: number
): { readonly down: Plan.Level; readonly up: number } => {
  if (eta === 0) return { down: to, up: 0 }
  const [a, b] = [ratio(from), ratio(to)]
  const rest = Number.isFinite(a) ? Math.sqrt(Math.max(0, 1 - (b / a) ** 2)) : 1
  const up = Math.min(b, eta * b * rest)
  return { down: withRatio(to, Math.sqrt(b ** 2 - up ** 2)), up: to.alpha * up }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AncestralOptions {
  /** How much of the noise is fresh: 0 for the ODE, 1 for the reverse SDE; 1 unless told. */
  readonly eta?: number
  /** Multiplies fresh noise; 1 unless told. */
  readonly sNoise?: number
}

const ancestralOptions = (what: string, { eta = 1, sNoise = 1 }: AncestralOptions) => {
  demand(
    eta >= 0 && sNoise >= 0,
    what,
    "options",
    `η = ${eta} and S_noise = ${sNoise} must not be below 0`
  )
  return { eta, sNoise }
}

/**
 * DPM-Solver++(2M): {@link multistep} of order 2 to the end, as k-diffusion's `dpmpp_2m`. For plans whose last steps grow in λ, such as
 * `leading` timesteps, take {@link multistep} with `lowerOrderFinal`, or a plan of Karras: extrapolated over a long step, samples spread.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dpmpp2m = (): Sampler.Sampler => multistep({ lowerOrderFinal: false })

/**
 * DPM-Solver++(2M) along the SDE: k-diffusion's `dpmpp_2m_sde`.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dpmpp2mSde = (
  options: AncestralOptions & { readonly solver?: Solver } = {}
): Sampler.Sampler =>
  multistep({ ...options, algorithm: "sde-dpmsolver++", lowerOrderFinal: false })

/**
 * DPM-Solver++(3M) along the SDE: k-diffusion's `dpmpp_3m_sde`.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dpmpp3mSde = (options: AncestralOptions = {}): Sampler.Sampler =>
  multistep({
    solver: "heun",
    ...options,
    order: 3,
    algorithm: "sde-dpmsolver++",
    lowerOrderFinal: false
  })

/**
 * DPM-Solver++(2S) with ancestral noise: k-diffusion's `dpmpp_2s_ancestral`. Two evaluations in each step.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dpmpp2sAncestral = (options: AncestralOptions = {}): Sampler.Sampler => {
  const { eta, sNoise } = ancestralOptions("Dpm.dpmpp2sAncestral", options)
  return Sampler.linear("DPM++ 2S ancestral", ({ levels, between }) =>
    levels.slice(1).flatMap((to, i) => {
      const { down, up } = ancestral(levels[i], to, eta)
      return stages({
        prediction: "data",
        source: "data",
        order: 2,
        r: places(2),
        from: levels[i],
        to: down,
        between,
        fresh: sNoise * up
      })
    })
  )
}

/**
 * DPM-Solver++ along the SDE, with a second evaluation after the part `r` of a step, ½ unless told: k-diffusion's `dpmpp_sde`. Two evaluations
 * in each step, each with fresh noise.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dpmppSde = (
  options: AncestralOptions & { readonly r?: number } = {}
): Sampler.Sampler => {
  const { eta, sNoise } = ancestralOptions("Dpm.dpmppSde", options)
  const { r = 1 / 2 } = options
  demand(r > 0 && r <= 1, "Dpm.dpmppSde", "options", `r must lie in (0, 1], not ${r}`)
  return Sampler.linear("DPM++ SDE", ({ levels, between }) =>
    levels.slice(1).flatMap((to, i): ReadonlyArray<Sampler.Row> => {
      const from = levels[i]
      const advance = (level: Plan.Level, nodes: ReadonlyArray<number>) => {
        const { down, up } = ancestral(from, level, eta)
        const step = exponential.step({
          prediction: "data",
          from,
          to: down,
          nodes,
          rule: midpoint
        })
        return { ...step, fresh: sNoise * up }
      }
      if (to.sigma === 0) {
        const { keep, weights } = advance(to, [0])
        return [{ level: from, next: { x: { x: keep, data: weights[0] } } }]
      }
      const [start, end] = [exponential.lambda(from), exponential.lambda(to)]
      const middle = between(2 * (start + r * (end - start)))
      const [first, second] = [advance(middle, [0]), advance(to, [0, r])]
      return [
        {
          level: from,
          next: {
            x: { x: first.keep, data: first.weights[0], fresh: first.fresh },
            base: { x: 1 },
            m1: { data: 1 }
          }
        },
        {
          level: middle,
          next: {
            x: {
              base: second.keep,
              m1: second.weights[0],
              data: second.weights[1],
              fresh: second.fresh
            }
          }
        }
      ]
    })
  )
}

/**
 * DPM-Solver-fast (2206.00927, section 3.4), as k-diffusion's `dpm_fast`: from the plan's first level to its last, so many evaluations, in
 * steps of order 3 that are equally long in λ, and the rest in steps of order 2 or 1. Throws `DiffusionError` for a plan that begins
 * without signal or ends without noise.
 *
 * @since 0.1.0
 * @category samplers
 */
export const fast = (
  options: {
    /** As many as the plan has steps unless told. */
    readonly evaluations?: number
    /** 0 unless told: the ODE. */
    readonly eta?: number
    /** Multiplies fresh noise; 1 unless told. */
    readonly sNoise?: number
    /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
    readonly clipped?: boolean
  } = {}
): Sampler.Sampler => {
  const what = "Dpm.fast"
  const { eta, sNoise } = ancestralOptions(what, { eta: 0, ...options })
  const source = exponential.sourceOf("noise", options.clipped ?? false)
  return Sampler.linear("DPM fast", ({ levels, between }) => {
    const { evaluations = levels.length - 1 } = options
    demand(
      Number.isInteger(evaluations) && evaluations > 0,
      what,
      "options",
      `${evaluations} evaluations must be a whole number above 0`
    )
    const [first, last] = [levels[0], levels[levels.length - 1]]
    demand(
      first.alpha > 0 && last.sigma > 0,
      what,
      "plan",
      'steps equally long in log α/σ need a plan that begins with signal and ends with noise: `end: "first"`, say'
    )
    const count = Math.floor(evaluations / 3) + 1
    const orders =
      evaluations % 3 === 0
        ? [...Array.from({ length: count - 2 }, () => 3), 2, 1]
        : [...Array.from({ length: count - 1 }, () => 3), evaluations % 3]
    const [start, end] = [exponential.lambda(first), exponential.lambda(last)]
    const all = Array.from({ length: count + 1 }, (_, i) =>
      i === 0 ? first : i === count ? last : between(2 * (start + (i / count) * (end - start)))
    )
    return orders.flatMap((order, i) => {
      const [from, to] = [all[i], all[i + 1]]
      // not beyond the end
      const down = Math.max(ratio(last), ratio(ancestral(from, to, eta).down))
      const up = Math.sqrt(Math.max(0, ratio(to) ** 2 - down ** 2))
      return stages({
        prediction: "noise",
        source,
        order,
        r: places(order),
        from,
        to: eta === 0 ? to : withRatio(to, down),
        between,
        fresh: eta === 0 ? 0 : sNoise * to.alpha * up
      })
    })
  })
}
