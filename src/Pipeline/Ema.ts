/**
 * Averages of the weights that a training goes through, with which samples are better than with the last weights.
 *
 * After each update, a ← β·a + (1 − β)·w. An {@link Ema} says what β is at which update, counted from 0 on; in the formulas below, t is
 * that number plus 1:
 *
 * | average    | β                                              |                                                          |
 * | ---------- | ---------------------------------------------- | -------------------------------------------------------- |
 * | `constant` | β                                              | Ho et al. 2020, arXiv:2006.11239, with 0.9999            |
 * | `warmUp`   | 1 − (1 + (t − 1)/g)^(−k), within bounds        | k-diffusion, and diffusers' EMAModel                     |
 * | `halfLife` | ½^(1/min(h, ρ·(t − 1)))                        | Karras et al. 2022, arXiv:2206.00364                     |
 * | `power`    | (1 − 1/t)^(γ + 1)                              | Karras et al. 2024, arXiv:2312.02696, section 3          |
 *
 * The average by a power γ weights the weights after update τ of t by the integral of p(τ) = (γ + 1)·τ^γ/t^(γ + 1) over one update: its
 * *profile* grows with the training and keeps its form. Its relative deviation is σ = √(γ + 1)/((γ + 2)·√(γ + 3)), by which it is named:
 * 0.05 is a short average, 0.10 a long one.
 *
 * Of few such averages that were stored along the way, {@link reconstruct} makes the average of another deviation, or at another update,
 * after the training; `Model.reconstruct` does so of a run's checkpoints.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { LuDecomposition, Matrix } from "ml-matrix"
import { type Shape, Tensor } from "../Tensor/index.ts"
import * as Blend from "./internal/blend.ts"
import { decodeUnsafe, demand, requireAll } from "./internal/config.ts"
import type { Numbers } from "./Optimizer.ts"

/**
 * How an average forgets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ema {
  readonly name: string
  /** The weight β of the old average at an update, counted from 0 on: a ← β·a + (1 − β)·w. */
  readonly decay: (update: number) => number
}

/**
 * The average after an update, β·average + (1 − β)·parameters, in three passes over the numbers: average + share·(parameters − average).
 * `share` is 1 − β, a float32 scalar or a number: of a β near 1, which most are, float32 has fewer digits than of that. Throws `TrainError`
 * for an average of other parameters.
 *
 * @since 0.1.0
 * @category combinators
 */
export const update = (
  average: Numbers,
  parameters: Numbers,
  share: Tensor.Tensor<readonly []> | number
): Numbers => {
  const weight = typeof share === "number" ? Tensor.scalar(share) : share
  return Object.fromEntries(
    Object.entries(average).map(([path, old]): [string, Tensor.Tensor] => {
      demand(
        Object.hasOwn(parameters, path),
        "Ema.update",
        `there is no parameter "${path}"; the average must be of the same parameters`
      )
      return [path, Tensor.add(old, Tensor.mul(Tensor.sub(parameters[path], old), weight))]
    })
  )
}

// ── Averages ─────────────────────────────────────────────────────────────────────────────────────

/**
 * The same β throughout, 0.9999 unless told: an average over about 1/(1 − β) updates. Until there were as many it is mostly what it began
 * with, so that short trainings want one of the others.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant = (beta = 0.9999): Ema => {
  requireAll("Ema.constant", "weight", { beta })
  return { name: `constant ${beta}`, decay: () => beta }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface WarmUpOptions {
  /** g, in updates; 1 unless told. */
  readonly inverseGamma?: number
  /** k; 2/3 unless told, with which β is 0.999 after 31.6 thousand updates; 3/4 gets there after 10 thousand. */
  readonly power?: number
  /** β is at least this; 0 unless told. */
  readonly min?: number
  /** β is at most this; 0.9999 unless told. */
  readonly max?: number
  /** Updates at the beginning that are forgotten whole; none unless told. */
  readonly after?: number
}

/**
 * β = 1 − (1 + (u − after)/inverseGamma)^(−power) at update u, between `min` and `max`; 0 up to `after`, where the average is the weights.
 *
 * @since 0.1.0
 * @category constructors
 */
export const warmUp = (options: WarmUpOptions = {}): Ema => {
  const { inverseGamma = 1, power = 2 / 3, min = 0, max = 0.9999, after = 0 } = options
  requireAll("Ema.warmUp", "positive", { inverseGamma, power })
  requireAll("Ema.warmUp", "fraction", { min, max })
  requireAll("Ema.warmUp", "updates", { after })
  demand(min <= max, "Ema.warmUp", `\`min\`, ${min}, must not be above \`max\`, ${max}`)
  return {
    name: "warm-up",
    decay: (update) =>
      update <= after
        ? 0
        : Math.max(min, Math.min(max, 1 - (1 + (update - after) / inverseGamma) ** -power))
  }
}

/**
 * A half-life in updates, or in images with the number of images that an update sees.
 *
 * @since 0.1.0
 * @category models
 */
export type HalfLifeOptions = (
  | { readonly updates: number }
  | { readonly images: number; readonly batch: number }
) & {
  /** ρ: the half-life is at most this share of what there was; 0.05 unless told, `null` for the same half-life throughout. */
  readonly rampUp?: number | null
}

/**
 * β = ½^(1/h): what the average knew counts half after h updates, or after 5 % of the training so far, if that is less (Karras et al.
 * 2022).
 *
 * ```ts
 * const ema = Ema.halfLife({ images: 500_000, batch: 512 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const halfLife = (options: HalfLifeOptions): Ema => {
  const { rampUp = 0.05 } = options
  const what = "Ema.halfLife"
  if ("images" in options) {
    requireAll(what, "positive", { images: options.images })
    requireAll(what, "count", { batch: options.batch })
  } else requireAll(what, "positive", { updates: options.updates })
  if (rampUp !== null) requireAll(what, "positive", { rampUp })
  const updates = "images" in options ? options.images / options.batch : options.updates
  return {
    name: `half-life ${updates}`,
    decay: (update) => 0.5 ** (1 / Math.min(updates, rampUp === null ? updates : update * rampUp))
  }
}

/**
 * The form of a profile: its relative deviation σ, above 0 and at most 1/√12 = 0.2886…, or its power γ, at least 0.
 *
 * @since 0.1.0
 * @category models
 */
export type Profile = { readonly deviation: number } | { readonly gamma: number }

/**
 * The relative deviation of the average by a power: √(γ + 1)/((γ + 2)·√(γ + 3)).
 *
 * @since 0.1.0
 * @category conversions
 */
export const deviationOf = (gamma: number): number => {
  requireAll("Ema.deviationOf", "natural", { gamma })
  return Math.sqrt((gamma + 1) / (gamma + 3)) / (gamma + 2)
}

/** That of γ = 0, the mean of all. */
const widest = deviationOf(0)

/**
 * The power whose average has a relative deviation: the root γ ≥ 0 of (γ + 2)²·(γ + 3) = (γ + 1)/σ². Throws `TrainError` for a deviation
 * that no average has.
 *
 * ```ts
 * Ema.gammaOf(0.05) // 16.97
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const gammaOf = (deviation: number): number => {
  demand(
    deviation > 0 && deviation <= widest,
    "Ema",
    `\`deviation\` must be a number above 0 and at most 1/√12, ${widest.toFixed(4)}, such as 0.05, not ${deviation}`
  )
  const s = 1 / deviation / deviation
  // from above, where the cubic is convex, Newton's method falls to the root and stops there
  let gamma = 1 / deviation
  for (;;) {
    const value = ((gamma + 7) * gamma + 16 - s) * gamma + 12 - s
    const next = gamma - value / ((3 * gamma + 14) * gamma + 16 - s)
    if (!(next < gamma)) return gamma
    gamma = Math.max(next, 0)
  }
}

const powerOf = (what: string, profile: Profile): number => {
  if ("deviation" in profile) return gammaOf(profile.deviation)
  requireAll(what, "natural", { gamma: profile.gamma })
  return profile.gamma
}

/**
 * The average by a power (Karras et al. 2024): β = (1 − 1/t)^(γ + 1) with t from 1 on, so that the first weights are forgotten at once.
 * Its length is a share of the training so far: no half-life to choose, and no warm-up.
 *
 * ```ts
 * const averages = { short: Ema.power({ deviation: 0.05 }), long: Ema.power({ deviation: 0.1 }) }
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const power = (profile: Profile): Ema => {
  const gamma = powerOf("Ema.power", profile)
  return {
    name: "deviation" in profile ? `deviation ${profile.deviation}` : `power ${gamma}`,
    decay: (update) => (update / (update + 1)) ** (gamma + 1)
  }
}

// ── After the training ───────────────────────────────────────────────────────────────────────────

/**
 * An average by a power, at an update.
 *
 * @since 0.1.0
 * @category models
 */
export type Averaged = Profile & {
  /** How many updates there had been. */
  readonly update: number
}

/**
 * A stored average by a power.
 *
 * @since 0.1.0
 * @category models
 */
export type Snapshot = Averaged & {
  readonly weights: Readonly<Record<string, Tensor.HostArray>>
}

/**
 * What is to be reconstructed: a profile, `at` an update, that of the latest snapshot unless told.
 *
 * @since 0.1.0
 * @category models
 */
export type Wanted = Profile & { readonly at?: number }

/**
 * A sum of stored averages.
 *
 * @since 0.1.0
 * @category models
 */
export interface Coefficients {
  /** Of each snapshot; together 1. */
  readonly coefficients: ReadonlyArray<number>
  /** How far its profile is from the one that was wanted, as a share of the latter's norm: below 0.1 is good. */
  readonly error: number
}

interface Point {
  readonly update: number
  readonly gamma: number
}

/** ∫p_a·p_b over the training: (γ_a + 1)(γ_b + 1)/(γ_a + γ_b + 1)/t_b·(t_a/t_b)^γ_b for t_a ≤ t_b. */
const product = (a: Point, b: Point): number => {
  if (a.update > b.update) return product(b, a)
  const share = (a.update / b.update) ** b.gamma / b.update
  return (((a.gamma + 1) * (b.gamma + 1)) / (a.gamma + b.gamma + 1)) * share
}

/**
 * How much each of some stored averages counts in the sum whose profile is nearest to the wanted one, by least squares (Karras et al. 2024,
 * appendix C), with the sum of all held at 1, so that what never changed is what it was. Snapshots after the wanted update do not count.
 *
 * Throws `TrainError` where there is no snapshot up to that update, or one twice.
 *
 * @since 0.1.0
 * @category reconstruction
 */
export const coefficients = (snapshots: ReadonlyArray<Averaged>, wanted: Wanted): Coefficients => {
  const what = "Ema.reconstruct"
  const points = snapshots.map((each): Point => {
    requireAll(what, "count", { update: each.update })
    return { update: each.update, gamma: powerOf(what, each) }
  })
  const at = wanted.at ?? points.reduce((most, { update }) => Math.max(most, update), 0)
  const target: Point = { update: at, gamma: powerOf(what, wanted) }
  const used = points.filter(({ update }) => update <= at)
  demand(
    used.length > 0,
    what,
    points.length === 0
      ? "there are no snapshots; store averages by `Ema.power` along the training"
      : `there is no snapshot up to update ${at}; the first is of ${Math.min(...points.map(({ update }) => update))}`
  )
  requireAll(what, "count", { at })
  used.forEach(({ update, gamma }, i) => {
    demand(
      used.findIndex((other) => other.update === update && other.gamma === gamma) === i,
      what,
      `the snapshot of update ${update} with γ = ${gamma} is there twice`
    )
  })
  const norms = used.map((each) => Math.sqrt(product(each, each)))
  const norm = Math.sqrt(product(target, target))
  const matching = used.map((each, i) => product(each, target) / (norms[i] * norm))
  // profiles of norm 1, bordered by what holds the sum
  const n = used.length
  const border = norms.map((each) => norm / each)
  const system = Matrix.zeros(n + 1, n + 1)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) system.set(i, j, product(used[i], used[j]) / (norms[i] * norms[j]))
    system.set(i, n, border[i])
    system.set(n, i, border[i])
  }
  const exact = used.findIndex(
    ({ update, gamma }) => update === target.update && gamma === target.gamma
  )
  const solution =
    exact === -1
      ? new LuDecomposition(system).solve(Matrix.columnVector([...matching, 1])).to1DArray()
      : used.map((_, i) => (i === exact ? 1 / border[i] : 0))
  let squared = 1
  for (let i = 0; i < n; i++) {
    squared -= 2 * solution[i] * matching[i]
    for (let j = 0; j < n; j++) squared += solution[i] * solution[j] * system.get(i, j)
  }
  let next = 0
  return {
    coefficients: points.map(({ update }) => (update <= at ? solution[next] * border[next++] : 0)),
    error: exact === -1 ? Math.sqrt(Math.max(squared, 0)) : 0
  }
}

/**
 * The average of another length, or at an earlier update, than those that were stored along a training: their sum by {@link coefficients},
 * found in float64. A stored one is given back as it is.
 *
 * ```ts
 * const weights = Ema.reconstruct(snapshots, { deviation: 0.075 })
 * ```
 *
 * Throws `TrainError` as {@link coefficients}, and for snapshots of different networks.
 *
 * @since 0.1.0
 * @category reconstruction
 */
export const reconstruct = (
  snapshots: ReadonlyArray<Snapshot>,
  wanted: Wanted
): Record<string, Tensor.HostArray<Shape.Shape, "float32">> => {
  const { coefficients: factors } = coefficients(snapshots, wanted)
  const sum = Blend.make("Ema.reconstruct")
  for (const [i, { weights, update }] of snapshots.entries()) {
    if (factors[i] !== 0) sum.add(weights, update, factors[i])
  }
  return sum.weights()
}

// ── Configurations ───────────────────────────────────────────────────────────────────────────────

const optional = Schema.optionalKey(Schema.Finite)

/**
 * Averages by name, with their options as JSON holds them. `power` takes `deviation` or `gamma`, `halfLife` takes `updates` or `images`.
 *
 * ```json
 * { "name": "power", "deviation": 0.05 }
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const Config = Schema.Union([
  Schema.Struct({ name: Schema.Literal("constant"), beta: optional }),
  Schema.Struct({
    name: Schema.Literal("warmUp"),
    inverseGamma: optional,
    power: optional,
    min: optional,
    max: optional,
    after: optional
  }),
  Schema.Struct({
    name: Schema.Literal("halfLife"),
    updates: optional,
    images: optional,
    rampUp: Schema.optionalKey(Schema.NullOr(Schema.Finite))
  }),
  Schema.Struct({ name: Schema.Literal("power"), deviation: optional, gamma: optional })
])

/**
 * @since 0.1.0
 * @category configurations
 */
export type Config = typeof Config.Type

/** Throws unless one of two options is given, and not both. */
const requireEither = (what: string, a: string, b: string, given: object): void => {
  demand(a in given !== b in given, what, `tell either \`${a}\` or \`${b}\``)
}

/**
 * The average that a configuration tells, for updates that see `batch` images. Throws `TrainError` for a name, an option or a value
 * that is not known, with the nearest that is.
 *
 * ```ts
 * const ema = Ema.of({ name: "halfLife", images: 500_000 }, { batch: 512 })
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const of = (config: Config, { batch }: { readonly batch: number }): Ema => {
  const given = decodeUnsafe("Ema", Config, config)
  switch (given.name) {
    case "constant":
      return constant(given.beta)
    case "warmUp":
      return warmUp(given)
    case "halfLife": {
      requireEither("Ema.halfLife", "updates", "images", given)
      const { updates, images, ...rest } = given
      return halfLife(
        images === undefined ? { ...rest, updates: updates as number } : { ...rest, images, batch }
      )
    }
    default:
      requireEither("Ema.power", "deviation", "gamma", given)
      return power(given as Profile)
  }
}
