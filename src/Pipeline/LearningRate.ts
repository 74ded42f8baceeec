/**
 * Learning rates over the updates of a training: pure functions on the host, in float64.
 *
 * An update is one step of the optimiser, however many batches it accumulates; the first is 0. With the rate r, the end e and the share
 * p = min(u/N, 1) of N updates:
 *
 * | shape            | rate                                   |                                                                 |
 * | ---------------- | -------------------------------------- | --------------------------------------------------------------- |
 * | `constant`       | r                                      |                                                                 |
 * | `linear`         | r + (e − r)·p                          |                                                                 |
 * | `cosine`         | e + (r − e)·(1 + cos πp)/2             | Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5        |
 * | `cosineRestarts` | the same, again and again              | the same                                                        |
 * | `polynomial`     | e + (r − e)·(1 − p)^k                  |                                                                 |
 * | `piecewise`      | rates, one after the other             |                                                                 |
 * | `exponential`    | r·f^(u/n)                              |                                                                 |
 * | `inverseSqrt`    | r/√max(u/n, 1)                         | Karras et al. 2024, arXiv:2312.02696               |
 * | `inverse`        | max(e, r·(1 + u/g)^(−k))               | k-diffusion's InverseLR                                         |
 *
 * {@link warmUp} puts a rise before any of them. Makers throw `TrainError` for options that make no sense.
 *
 * ```ts
 * const rate = LearningRate.warmUp(LearningRate.cosine({ rate: 2e-4, steps: 9_500 }), 500)
 * rate(500) // 2e-4
 * ```
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import { decodeUnsafe, demand, requireAll } from "./internal/config.ts"

/**
 * The rate of an update, counted from 0 on.
 *
 * @since 0.1.0
 * @category models
 */
export type LearningRate = (update: number) => number

/**
 * A way from one rate to another.
 *
 * @since 0.1.0
 * @category models
 */
export interface Way {
  /** The rate at the beginning. */
  readonly rate: number
  /** The rate at the end, and from then on; 0 unless told. */
  readonly end?: number
  /** How many updates it takes. */
  readonly steps: number
}

/** The options, checked, and the share of the way that an update has made. */
const way = (name: string, { rate, end = 0, steps }: Way) => {
  requireAll(`LearningRate.${name}`, "natural", { rate, end })
  requireAll(`LearningRate.${name}`, "count", { steps })
  return { rate, end, share: (update: number) => Math.min(update / steps, 1) }
}

/** So that both ends are reached as they are told. */
const between = (from: number, to: number, share: number): number => from * (1 - share) + to * share

/** From 1 to 0 along half a wave. */
const wave = (share: number): number => (1 + Math.cos(Math.PI * share)) / 2

// ── Shapes ───────────────────────────────────────────────────────────────────────────────────────

/**
 * The same rate throughout.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant = (rate: number): LearningRate => {
  requireAll("LearningRate.constant", "natural", { rate })
  return () => rate
}

/**
 * From one rate to another in a straight line.
 *
 * @since 0.1.0
 * @category constructors
 */
export const linear = (options: Way): LearningRate => {
  const { rate, end, share } = way("linear", options)
  return (update) => between(rate, end, share(update))
}

/**
 * From one rate to another along half a wave.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cosine = (options: Way): LearningRate => {
  const { rate, end, share } = way("cosine", options)
  return (update) => between(end, rate, wave(share(update)))
}

/**
 * From one rate to another along half a wave, over and over: `period` updates the first time, and `growth` times as many, 1 unless told,
 * each time after.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cosineRestarts = (options: {
  readonly rate: number
  readonly end?: number
  readonly period: number
  readonly growth?: number
}): LearningRate => {
  const { rate, end = 0, period, growth = 1 } = options
  const what = "LearningRate.cosineRestarts"
  requireAll(what, "natural", { rate, end })
  requireAll(what, "count", { period })
  demand(
    growth >= 1 && Number.isFinite(growth),
    what,
    `\`growth\` must be a number of at least 1, not ${growth}`
  )
  return (update) => {
    if (growth === 1) return between(end, rate, wave((update % period) / period))
    // n periods take period·(growthⁿ − 1)/(growth − 1) updates
    const until = (n: number) => (period * (growth ** n - 1)) / (growth - 1)
    const guess = Math.floor(Math.log1p((update * (growth - 1)) / period) / Math.log(growth))
    // a restart that falls on an update is not missed for the logarithms' rounding
    const n = until(guess + 1) <= update ? guess + 1 : until(guess) > update ? guess - 1 : guess
    return between(end, rate, wave((update - until(n)) / (period * growth ** n)))
  }
}

/**
 * From one rate to another along a power; 1, a straight line, unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const polynomial = (options: Way & { readonly power?: number }): LearningRate => {
  const { power = 1 } = options
  const { rate, end, share } = way("polynomial", options)
  requireAll("LearningRate.polynomial", "positive", { power })
  return (update) => between(end, rate, (1 - share(update)) ** power)
}

/** Which of several parts an update is in. */
const partOf = (at: ReadonlyArray<number>, update: number): number => {
  const next = at.findIndex((start) => update < start)
  return next === -1 ? at.length : next
}

/** Throws unless updates are whole numbers that rise, one fewer than there are parts. */
const requireParts = (what: string, parts: number, at: ReadonlyArray<number>): void => {
  demand(
    parts > 0 && at.length === parts - 1,
    what,
    `${parts} rates have ${Math.max(parts - 1, 0)} changes between them, but \`at\` has ${at.length}`
  )
  demand(
    at.every((each, i) => Number.isSafeInteger(each) && each > (at[i - 1] ?? 0)),
    what,
    `\`at\` must be whole numbers that rise from 1 on, not ${at.join(", ")}`
  )
}

/**
 * Rates one after the other; `at` are the updates at which the second, the third and so on begin.
 *
 * ```ts
 * LearningRate.piecewise({ rates: [1e-3, 1e-4, 1e-5], at: [10_000, 15_000] })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const piecewise = (options: {
  readonly rates: ReadonlyArray<number>
  readonly at: ReadonlyArray<number>
}): LearningRate => {
  const { rates, at } = options
  requireParts("LearningRate.piecewise", rates.length, at)
  rates.forEach((rate, i) => {
    requireAll("LearningRate.piecewise", "natural", { [`rates[${i}]`]: rate })
  })
  return (update) => rates[partOf(at, update)]
}

/**
 * Times `factor`, above 0 and at most 1, for every `per` updates, 1 unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential = (options: {
  readonly rate: number
  readonly factor: number
  readonly per?: number
}): LearningRate => {
  const { rate, factor, per = 1 } = options
  requireAll("LearningRate.exponential", "natural", { rate })
  requireAll("LearningRate.exponential", "positive", { factor, per })
  requireAll("LearningRate.exponential", "fraction", { factor })
  return (update) => rate * factor ** (update / per)
}

/**
 * The same rate for `reference` updates, and then as one over the root of their number (Karras et al. 2024).
 *
 * @since 0.1.0
 * @category constructors
 */
export const inverseSqrt = (options: {
  readonly rate: number
  readonly reference: number
}): LearningRate => {
  const { rate, reference } = options
  requireAll("LearningRate.inverseSqrt", "natural", { rate })
  requireAll("LearningRate.inverseSqrt", "positive", { reference })
  return (update) => rate / Math.sqrt(Math.max(update / reference, 1))
}

/**
 * rate·(1 + update/inverseGamma)^(−power), but never below `end`; `inverseGamma` and `power` are 1 and `end` is 0 unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const inverse = (options: {
  readonly rate: number
  readonly inverseGamma?: number
  readonly power?: number
  readonly end?: number
}): LearningRate => {
  const { rate, inverseGamma = 1, power = 1, end = 0 } = options
  requireAll("LearningRate.inverse", "natural", { rate, power, end })
  requireAll("LearningRate.inverse", "positive", { inverseGamma })
  return (update) => Math.max(end, rate * (1 + update / inverseGamma) ** -power)
}

// ── Combinators ──────────────────────────────────────────────────────────────────────────────────

/**
 * Learning rates one after the other, each of which counts updates from its own beginning; `at` are the updates at which the second, the
 * third and so on begin.
 *
 * @since 0.1.0
 * @category combinators
 */
export const sequence = (
  rates: ReadonlyArray<LearningRate>,
  at: ReadonlyArray<number>
): LearningRate => {
  requireParts("LearningRate.sequence", rates.length, at)
  return (update) => {
    const part = partOf(at, update)
    return rates[part](part === 0 ? update : update - at[part - 1])
  }
}

/**
 * A straight rise over some updates to the first rate of another, which begins then: from 0, so that the first update does nothing, or from
 * another rate.
 *
 * ```ts
 * LearningRate.warmUp(LearningRate.constant(1e-3), 500)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const warmUp: {
  (updates: number, options?: { readonly from?: number }): (self: LearningRate) => LearningRate
  (self: LearningRate, updates: number, options?: { readonly from?: number }): LearningRate
} = dual(
  (args) => typeof args[0] === "function",
  (self: LearningRate, updates: number, { from = 0 }: { readonly from?: number } = {}) => {
    requireAll("LearningRate.warmUp", "updates", { updates })
    requireAll("LearningRate.warmUp", "natural", { from })
    return updates === 0
      ? self
      : (update: number) =>
          update < updates ? between(from, self(0), update / updates) : self(update - updates)
  }
)

/**
 * A soft rise: times 1 − factor^(update + 1), as k-diffusion begins with a factor of 0.99.
 *
 * @since 0.1.0
 * @category combinators
 */
export const easeIn: {
  (factor: number): (self: LearningRate) => LearningRate
  (self: LearningRate, factor: number): LearningRate
} = dual(2, (self: LearningRate, factor: number) => {
  requireAll("LearningRate.easeIn", "weight", { factor })
  return (update: number) => (1 - factor ** (update + 1)) * self(update)
})

// ── Configurations ───────────────────────────────────────────────────────────────────────────────

const number = Schema.Finite
const optional = Schema.optionalKey(Schema.Finite)

/** What goes before any shape. */
const begin = { warmUp: optional, from: optional, easeIn: optional } as const

const named = <const N extends string, const F extends Schema.Struct.Fields>(name: N, fields: F) =>
  Schema.Struct({ name: Schema.Literal(name), ...fields, ...begin })

const ways = { rate: number, end: optional, steps: optional } as const

/**
 * Learning rates by name, with their options as JSON holds them. `warmUp` is a number of updates, and `from` the rate that it begins with
 * ({@link warmUp}); `easeIn` is a factor ({@link easeIn}). `steps` is what is left of the training after the warm-up unless told.
 *
 * ```json
 * { "name": "cosine", "rate": 2e-4, "warmUp": 500 }
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const Config = Schema.Union([
  named("constant", { rate: number }),
  named("linear", ways),
  named("cosine", ways),
  named("cosineRestarts", { rate: number, end: optional, period: number, growth: optional }),
  named("polynomial", { ...ways, power: optional }),
  named("piecewise", { rates: Schema.Array(number), at: Schema.Array(number) }),
  named("exponential", { rate: number, factor: number, per: optional }),
  named("inverseSqrt", { rate: number, reference: number }),
  named("inverse", { rate: number, inverseGamma: optional, power: optional, end: optional })
])

/**
 * @since 0.1.0
 * @category configurations
 */
export type Config = typeof Config.Type

const shape = (config: Config, left: number): LearningRate => {
  switch (config.name) {
    case "constant":
      return constant(config.rate)
    case "linear":
      return linear({ steps: left, ...config })
    case "cosine":
      return cosine({ steps: left, ...config })
    case "cosineRestarts":
      return cosineRestarts(config)
    case "polynomial":
      return polynomial({ steps: left, ...config })
    case "piecewise":
      return piecewise(config)
    case "exponential":
      return exponential(config)
    case "inverseSqrt":
      return inverseSqrt(config)
    default:
      return inverse(config)
  }
}

/** The shapes that need to know when they end. */
const ending: ReadonlyArray<Config["name"]> = ["linear", "cosine", "polynomial"]

/**
 * The learning rate that a configuration tells, for a training of `steps` updates. Throws `TrainError` for a name, an option or a value
 * that is not known, with the nearest that is, and for a warm-up that leaves nothing of the training.
 *
 * ```ts
 * const rate = LearningRate.of({ name: "cosine", rate: 2e-4, warmUp: 500 }, { steps: 10_000 })
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const of = (config: Config, { steps }: { readonly steps: number }): LearningRate => {
  const what = "LearningRate"
  const given = decodeUnsafe(what, Config, config)
  requireAll(what, "count", { steps })
  const { warmUp: updates = 0, from, easeIn: factor = 0 } = given
  requireAll(what, "updates", { warmUp: updates })
  demand(
    from === undefined || updates > 0,
    what,
    "`from` is the rate that a warm-up begins with; tell how many updates it takes as `warmUp`"
  )
  demand(
    updates < steps || "steps" in given || !ending.includes(given.name),
    what,
    `a warm-up of ${updates} updates leaves none of the training's ${steps} for ${given.name}`
  )
  const warm = warmUp(shape(given, steps - updates), updates, from === undefined ? {} : { from })
  return factor === 0 ? warm : easeIn(warm, factor)
}
