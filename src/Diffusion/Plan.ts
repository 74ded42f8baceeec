/**
 * Plans: the levels of noise that a sampler goes through, from the noisiest to the last. A plan is an immutable value, and its levels
 * fall strictly by construction.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as distribution from "./internal/beta.ts"
import * as field from "./internal/field.ts"
import * as Schedule from "./Schedule.ts"

/**
 * A level of noise: what a network is told of it, and how much signal and noise there is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Level extends Schedule.Mixture<number> {
  readonly timestep: number
}

/**
 * N + 1 levels for N steps. The last one is where samples are taken: most often without noise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  readonly levels: ReadonlyArray<Level>
  /** The level of this log-SNR, for samplers that ask in between; beyond the ends of the schedule that of the end. */
  readonly between: (logSnr: number) => Level
}

/**
 * log α²/σ² of a level.
 *
 * @since 0.1.0
 * @category getters
 */
export const logSnr = ({ alpha, sigma }: Schedule.Mixture<number>): number =>
  2 * (Math.log(alpha) - Math.log(sigma))

/**
 * How many steps a plan has.
 *
 * @since 0.1.0
 * @category getters
 */
export const steps = ({ levels }: Plan): number => levels.length - 1

/**
 * A plan of given levels. Throws `DiffusionError` unless there are at least two and their noise over signal falls strictly.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  levels: ReadonlyArray<Level>,
  between: Plan["between"],
  what = "Plan.make"
): Plan => {
  demand(
    levels.length > 1,
    what,
    "plan",
    "a plan needs at least one step, from one level to another"
  )
  levels.forEach(({ timestep, alpha, sigma }, i) => {
    demand(
      Number.isFinite(timestep) && alpha >= 0 && sigma >= 0 && alpha + sigma > 0,
      what,
      "plan",
      `level ${i} has the timestep ${timestep}, the signal ${alpha} and the noise ${sigma}`
    )
    const before = levels[i - 1]
    // σ/α falls, also from where there is no signal
    demand(
      i === 0 || before.sigma * alpha > sigma * before.alpha,
      what,
      "plan",
      `the noise must fall strictly, but step ${i} goes from ${before?.sigma / before?.alpha} to ${sigma / alpha} of the signal`
    )
  })
  return { levels, between }
}

/**
 * The level of a time between 0 and 1.
 *
 * @since 0.1.0
 * @category levels
 */
export const at = (schedule: Schedule.Schedule, t: number): Level => ({
  timestep: schedule.timestep(field.host, t),
  ...Schedule.mixture(schedule, t)
})

/**
 * The level of a log-SNR; beyond the ends of the schedule that of the end.
 *
 * @since 0.1.0
 * @category levels
 */
export const atLogSnr =
  (schedule: Schedule.Schedule) =>
  (value: number): Level => {
    const t = schedule.time(value)
    if (!Number.isNaN(t)) return at(schedule, t)
    return at(schedule, value > Schedule.logSnr(schedule, 0) ? 0 : 1)
  }

/** What a network is told of σ/α: beyond the ends of the schedule the end, unless the schedule knows more. */
const timestepAt = (schedule: Schedule.Schedule): ((sigma: number) => number) => {
  const inner = atLogSnr(schedule)
  return (sigma) => {
    if (sigma === 0) return at(schedule, 0).timestep
    return schedule.timestepOf === undefined
      ? inner(-2 * Math.log(sigma)).timestep
      : schedule.timestepOf(field.host, { alpha: 1, sigma })
  }
}

/** Data itself. */
const clean: Level = { timestep: 0, alpha: 1, sigma: 0 }

/**
 * Where a plan ends: at data itself (`zero`), at the schedule's first level (`first`), which is added unless it is there, or at the last
 * of the levels that are told (`last`).
 *
 * @since 0.1.0
 * @category models
 */
export interface EndOptions {
  /** `zero` unless told. */
  readonly end?: "zero" | "first" | "last"
}

/** Whether there is less noise beside the signal. */
const less = (a: Schedule.Mixture<number>, b: Schedule.Mixture<number>): boolean =>
  a.sigma * b.alpha < b.sigma * a.alpha

/** Refuses what is none of the choices. */
const demandOneOf = (
  what: string,
  option: string,
  given: string,
  choices: ReadonlyArray<string>
): void =>
  demand(
    choices.includes(given),
    what,
    "options",
    `the ${option} must be one of ${choices.join(", ")}, not ${JSON.stringify(given)}`
  )

const endOf = (what: string, { end = "zero" }: EndOptions): "zero" | "first" | "last" => {
  demandOneOf(what, "end", end, ["zero", "first", "last"])
  return end
}

const finished = (
  schedule: Schedule.Schedule,
  levels: ReadonlyArray<Level>,
  options: EndOptions,
  what: string
): Plan => {
  const end = endOf(what, options)
  const first = at(schedule, 0)
  const final = end === "zero" ? { ...clean, timestep: first.timestep } : first
  const added = end === "zero" || (end === "first" && less(final, levels[levels.length - 1]))
  return make(added ? [...levels, final] : levels, atLogSnr(schedule), what)
}

/**
 * A plan of times between 0 and 1, from the noisiest on.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTimes = (
  schedule: Schedule.Schedule,
  times: ReadonlyArray<number>,
  options: EndOptions = {},
  what = "Plan.fromTimes"
): Plan => {
  times.forEach((t) => {
    demand(t >= 0 && t <= 1, what, "plan", `times must lie between 0 and 1, but one is ${t}`)
  })
  return finished(
    schedule,
    times.map((t) => at(schedule, t)),
    options,
    what
  )
}

/**
 * A plan of log-SNRs, from the noisiest on, in the coordinates of the schedule. Throws `DiffusionError` for one that the schedule does not
 * reach.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromLogSnrs = (
  schedule: Schedule.Schedule,
  logSnrs: ReadonlyArray<number>,
  options: EndOptions = {},
  what = "Plan.fromLogSnrs"
): Plan =>
  fromTimes(
    schedule,
    logSnrs.map((value) => {
      const t = schedule.time(value)
      demand(
        !Number.isNaN(t),
        what,
        "plan",
        `log-SNRs of ${schedule.name} go from ${Schedule.logSnr(schedule, 1)} to ${Schedule.logSnr(schedule, 0)}, but one is ${value}`
      )
      return t
    }),
    options,
    what
  )

/**
 * A plan of `count` steps of equal time, from the time `from` to the time `to`, 1 and 0 unless told. Where it ends at `zero` the last level
 * is data itself, instead of that at `to`.
 *
 * ```ts
 * const plan = Plan.uniform(Schedule.vp(), 50, { to: 1e-3 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const uniform = (
  schedule: Schedule.Schedule,
  count: number,
  options: EndOptions & { readonly from?: number; readonly to?: number } = {}
): Plan => {
  const { from = 1, to = 0 } = options
  const what = "Plan.uniform"
  const end = endOf(what, options)
  demandCount(what, count)
  demand(from > to, what, "plan", `times must fall, but go from ${from} to ${to}`)
  const times = linspace(from, to, count + 1)
  return fromTimes(schedule, end === "last" ? times : times.slice(0, -1), options, what)
}

/**
 * A plan of `count` levels of equal steps in log-SNR, in the coordinates of the schedule, and its end; between the schedule's ends unless
 * told (Lu et al. 2022, arXiv:2206.00927, section 4.1).
 *
 * @since 0.1.0
 * @category constructors
 */
export const logSnrUniform = (
  schedule: Schedule.Schedule,
  count: number,
  options: EndOptions & { readonly max?: number; readonly min?: number } = {}
): Plan => {
  const { max = Schedule.logSnr(schedule, 0), min = Schedule.logSnr(schedule, 1) } = options
  const what = "Plan.logSnrUniform"
  demandCount(what, count)
  demand(
    Number.isFinite(max - min) && max > min,
    what,
    "plan",
    `the log-SNR goes from ${min} to ${max}: tell a finite \`min\` and a finite \`max\` above it for the schedule ${schedule.name}`
  )
  return fromLogSnrs(schedule, linspace(min, max, count), options, what)
}

const demandCount = (what: string, count: number): void =>
  demand(
    Number.isInteger(count) && count > 0,
    what,
    "plan",
    `${count} steps must be a whole number above 0`
  )

/** `count` numbers from `from` to `to`, both included. */
const linspace = (from: number, to: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) =>
    count === 1 ? from : from + (i / (count - 1)) * (to - from)
  )

const single = Math.fround

/** Rounded as NumPy does, half to even. */
const round = (x: number): number => {
  const low = Math.floor(x)
  const part = x - low
  return part > 0.5 || (part === 0.5 && low % 2 === 1) ? low + 1 : low
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TimestepOptions extends EndOptions {
  /**
   * How timesteps between two levels of the schedule have their noise: by the schedule itself (`schedule`, where λ is linear), or with σ/α
   * linear (`sigma`), as Euler's method and its relatives are published (diffusers' `EulerDiscreteScheduler`), in single precision.
   * `schedule` unless told.
   */
  readonly interpolation?: "schedule" | "sigma"
}

const demandTimesteps = (what: string, schedule: Schedule.Schedule): void =>
  demand(
    Schedule.isDiscrete(schedule),
    what,
    "plan",
    `the schedule ${schedule.name} has no timesteps to space: take uniform, karras or another, or Schedule.discretize`
  )

/**
 * A plan of timesteps of a discrete schedule, which may lie between whole ones.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTimesteps = (
  schedule: Schedule.Discrete,
  timesteps: ReadonlyArray<number>,
  options: TimestepOptions = {},
  what = "Plan.fromTimesteps"
): Plan => {
  demandTimesteps(what, schedule)
  const { interpolation = "schedule" } = options
  demandOneOf(what, "interpolation", interpolation, ["schedule", "sigma"])
  const last = schedule.betas.length - 1
  timesteps.forEach((timestep) => {
    demand(
      timestep >= 0 && timestep <= last,
      what,
      "plan",
      `timesteps must lie between 0 and ${last}, but one is ${timestep}`
    )
  })
  const level = (timestep: number): Level => at(schedule, timestep / last)
  const ratio = (i: number): number => {
    const square = schedule.alphasCumprod[i]
    return single(Math.sqrt(single(single(1 - square) / square)))
  }
  const linear = (time: number): Level => {
    const timestep = single(time)
    const [low, part] = [Math.floor(timestep), timestep % 1]
    const sigma = single(part === 0 ? ratio(low) : (1 - part) * ratio(low) + part * ratio(low + 1))
    const alpha = 1 / Math.hypot(1, sigma)
    return alpha === 0 ? level(timestep) : { timestep, alpha, sigma: sigma * alpha }
  }
  return finished(
    schedule,
    timesteps.map(interpolation === "sigma" ? linear : level),
    options,
    what
  )
}

/**
 * How the timesteps of a discrete schedule are chosen (Lin et al. 2023, arXiv:2305.08891, table 2; diffusers' `timestep_spacing`).
 *
 * @since 0.1.0
 * @category models
 */
export type Spacing = "linspace" | "leading" | "trailing"

/**
 * @since 0.1.0
 * @category models
 */
export interface SpacedOptions extends TimestepOptions {
  readonly spacing?: Spacing
  /** Added to all timesteps of `leading`; 0 unless told. */
  readonly offset?: number
  /**
   * Whether the plan stops short of the schedule's first level, with one timestep more than asked for and without it: as the
   * multistep solvers of DPM-Solver's family are published. `false` unless told.
   */
  readonly open?: boolean
  /** Whether timesteps may lie between whole ones (`linspace` only); `false` unless told. */
  readonly fractional?: boolean
  /** How many of the schedule's first levels are used, where the noisiest are left out ({@link levelsAbove}); all unless told. */
  readonly first?: number
}

/**
 * How many levels of a discrete schedule have at least a log-SNR: DPM-Solver's `lambda_min_clipped` is half of it, and −5.1 for the cosine
 * schedule, whose last levels are all but noise.
 *
 * ```ts
 * const first = Plan.levelsAbove(Schedule.cosineBetas(), 2 * -5.1)
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const levelsAbove = (schedule: Schedule.Discrete, logSnr: number): number =>
  schedule.alphasCumprod.filter((each) => Math.log(each) - Math.log1p(-each) >= logSnr).length

/**
 * The timesteps of a plan of `count` steps over `total` of training, from the latest on.
 *
 * @since 0.1.0
 * @category timesteps
 */
export const timesteps = (
  total: number,
  count: number,
  options: Omit<SpacedOptions, "end"> = {}
): ReadonlyArray<number> => {
  const {
    spacing = "leading",
    offset = 0,
    open = false,
    fractional = false,
    first = total
  } = options
  demand(
    Number.isInteger(count) && count > 0 && count <= first && first <= total,
    "Plan.timesteps",
    "plan",
    `${count} steps must be a whole number between 1 and the ${Math.min(first, total)} of training`
  )
  const n = open ? count + 1 : count
  const rounded = (values: ReadonlyArray<number>) => (fractional ? values : values.map(round))
  demandOneOf("Plan.timesteps", "spacing", spacing, ["linspace", "leading", "trailing"])
  switch (spacing) {
    case "linspace":
      return rounded(linspace(0, first - 1, n).toReversed()).slice(0, count)
    case "leading": {
      const ratio = Math.floor(first / n)
      return Array.from({ length: n }, (_, i) => (n - 1 - i) * ratio + offset).slice(0, count)
    }
    case "trailing": {
      const ratio = total / count
      const length = first === total ? count : Math.ceil(first / ratio)
      return Array.from({ length }, (_, i) => round(first - i * ratio) - 1)
    }
  }
}

/**
 * A plan of timesteps of a discrete schedule. Throws `DiffusionError` for a schedule without levels, and for more steps than it has levels.
 *
 * ```ts
 * const plan = Plan.spaced(Schedule.linear(), 50, { spacing: "trailing" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const spaced = (
  schedule: Schedule.Discrete,
  count: number,
  options: SpacedOptions = {}
): Plan => {
  const what = "Plan.spaced"
  demandTimesteps(what, schedule)
  return fromTimesteps(schedule, timesteps(schedule.betas.length, count, options), options, what)
}

/**
 * A plan of noise levels σ/α, from the noisiest on, with a timestep each from the schedule. The state is α·x₀ + σ·ε with α = 1: what
 * is `variance exploding`; a network that was trained otherwise is asked of the state scaled to what it knows. A last σ is added as
 * {@link EndOptions} say, unless it is there.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSigmas = (
  schedule: Schedule.Schedule,
  sigmas: ReadonlyArray<number>,
  options: EndOptions = {}
): Plan => {
  const timestep = timestepAt(schedule)
  const level = (sigma: number): Level => ({ timestep: timestep(sigma), alpha: 1, sigma })
  const end = endOf("Plan.fromSigmas", options)
  const final = end === "zero" ? 0 : endsOf(schedule, {}).min
  const added = end !== "last" && final < sigmas[sigmas.length - 1]
  return make(
    [...sigmas, ...(added ? [final] : [])].map(level),
    (value) => level(Math.exp(-value / 2)),
    "Plan.fromSigmas"
  )
}

/**
 * A plan in other coordinates: the same noise over signal and the same timesteps, with α² + σ² = 1, α = 1, or α + σ = 1, in which the
 * state is larger or smaller. Throws `DiffusionError` for a level without signal where α should be 1.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withVariance = (
  { levels, between }: Plan,
  variance: Exclude<Schedule.Variance, "other">
): Plan => {
  demandOneOf("Plan.withVariance", "variance", variance, ["preserving", "exploding", "flow"])
  const size = ({ alpha, sigma }: Level): number => {
    if (variance === "exploding") return alpha
    return variance === "flow" ? alpha + sigma : Math.hypot(alpha, sigma)
  }
  const scaled = (level: Level): Level => ({
    timestep: level.timestep,
    alpha: level.alpha / size(level),
    sigma: level.sigma / size(level)
  })
  levels.forEach((level, i) => {
    demand(
      size(level) > 0,
      "Plan.withVariance",
      "plan",
      `level ${i} has no signal, so its noise is infinite beside it: leave it out, or take a sampler that does not need it`
    )
  })
  return make(levels.map(scaled), (value) => scaled(between(value)), "Plan.withVariance")
}

/**
 * {@link withVariance} for exploding variance: with α = 1 and σ/α.
 *
 * @since 0.1.0
 * @category combinators
 */
export const exploding = (plan: Plan): Plan => withVariance(plan, "exploding")

/**
 * {@link withVariance} for preserved variance, with α² + σ² = 1: the state is as large as data or smaller.
 *
 * ```ts
 * const plan = Plan.preserving(Plan.karras(Schedule.scaledLinear(), 20))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const preserving = (plan: Plan): Plan => withVariance(plan, "preserving")

/**
 * A plan whose levels have `factor` times as much noise over signal, λ − 2 log factor, in the same coordinates, and the timesteps that
 * belong to that: for images which are that many times as wide and high as those that the plan is for. Levels without noise or without
 * signal stay. Throws `DiffusionError` for levels that the schedule does not reach; then plan along `Schedule.shifted`, or begin later.
 *
 * @since 0.1.0
 * @category combinators
 */
export const shifted = ({ levels, between }: Plan, factor: number): Plan => {
  demand(
    factor > 0 && Number.isFinite(factor),
    "Plan.shifted",
    "plan",
    `the factor must be above 0, not ${factor}`
  )
  const moved = (level: Level): Level =>
    level.sigma === 0 || level.alpha === 0 ? level : between(logSnr(level) - 2 * Math.log(factor))
  return make(levels.map(moved), between, "Plan.shifted")
}

/**
 * A plan whose network is told something else of a level, in between too.
 *
 * ```ts
 * const continuous = Plan.told(plan, ({ alpha, sigma }) => Math.log(sigma / alpha) / 4)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const told = ({ levels, between }: Plan, timestep: (level: Level) => number): Plan => {
  // nothing is told of data itself
  const mapped = (level: Level): Level =>
    level.sigma === 0 ? level : { ...level, timestep: timestep(level) }
  return make(levels.map(mapped), (value) => mapped(between(value)), "Plan.told")
}

/**
 * A plan with other timesteps for its levels, the first ones if there are fewer; in between they stay as they were.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withTimesteps = ({ levels, between }: Plan, timesteps: ReadonlyArray<number>): Plan =>
  make(
    levels.map((level, i) => ({ ...level, timestep: timesteps[i] ?? level.timestep })),
    between,
    "Plan.withTimesteps"
  )

/**
 * The level of a timestep between those of a plan, found by halving, as the schedule has it. Throws `DiffusionError` where there is none.
 *
 * @since 0.1.0
 * @category levels
 */
export const atTimestep = ({ between }: Plan, timestep: number): Level => {
  let [low, high] = [-100, 100]
  demand(
    between(low).timestep >= timestep && between(high).timestep <= timestep,
    "Plan.atTimestep",
    "plan",
    `the timestep ${timestep} is not between ${between(high).timestep} and ${between(low).timestep}`
  )
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (between(middle).timestep >= timestep) low = middle
    else high = middle
  }
  return { ...between(low), timestep }
}

/**
 * The level of a signal and a noise beside those of a plan, which may lie beyond the schedule's ends: a network is then told the end.
 *
 * @since 0.1.0
 * @category levels
 */
export const beside = (plan: Plan, mixture: Schedule.Mixture<number>): Level => ({
  timestep: plan.between(logSnr(mixture)).timestep,
  ...mixture
})

/**
 * The largest σ/α of a plan, and its smallest above 0: what {@link karras} and others can go between.
 *
 * ```ts
 * const plan = Plan.karras(schedule, 20, Plan.ends(Plan.spaced(schedule, 20)))
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const ends = ({ levels }: Plan): { readonly max: number; readonly min: number } => {
  const noisy = levels.filter(({ sigma }) => sigma > 0)
  const [max, min] = [noisy[0], noisy[noisy.length - 1]].map(({ alpha, sigma }) => sigma / alpha)
  return { max, min }
}

/**
 * The largest and the smallest σ/α; those of the schedule unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ends {
  readonly max?: number
  readonly min?: number
}

const endsOf = (schedule: Schedule.Schedule, { max, min }: Ends) => {
  const ratio = (t: number) => {
    const { alpha, sigma } = Schedule.mixture(schedule, t)
    return sigma / alpha
  }
  return { max: max ?? ratio(1), min: min ?? ratio(0) }
}

/** Levels of σ between two ends, by a function of the place from 0 to 1. */
const graded = (
  what: string,
  schedule: Schedule.Schedule,
  count: number,
  options: Ends & EndOptions,
  sigma: (place: number, ends: { readonly max: number; readonly min: number }) => number
): Plan => {
  const ends = endsOf(schedule, options)
  demandCount(what, count)
  demand(
    ends.min > 0 && Number.isFinite(ends.max) && ends.max > ends.min,
    what,
    "plan",
    `σ goes from ${ends.max} to ${ends.min}: tell a finite \`max\` and a \`min\` above 0 for the schedule ${schedule.name}`
  )
  return fromSigmas(
    schedule,
    linspace(0, 1, count).map((place) => sigma(place, ends)),
    options
  )
}

/**
 * σᵢ = (max^(1/ρ) + i/(n − 1)(min^(1/ρ) − max^(1/ρ)))^ρ, then 0 (Karras et al. 2022, equation 5); ρ is 7 unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const karras = (
  schedule: Schedule.Schedule,
  count: number,
  options: Ends & EndOptions & { readonly rho?: number } = {}
): Plan => {
  const { rho = 7 } = options
  demand(rho > 0, "Plan.karras", "plan", `ρ must be above 0, not ${rho}`)
  return graded("Plan.karras", schedule, count, options, (place, { max, min }) => {
    const [a, b] = [max ** (1 / rho), min ** (1 / rho)]
    return (a + place * (b - a)) ** rho
  })
}

/**
 * σ falls exponentially, uniform in log-SNR for the `power` 1, which it has unless told; for others log σ falls along that power of the way
 * that is left (k-diffusion's "polyexponential"). Then 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential = (
  schedule: Schedule.Schedule,
  count: number,
  options: Ends & EndOptions & { readonly power?: number } = {}
): Plan => {
  const { power = 1 } = options
  demand(power > 0, "Plan.exponential", "plan", `the power must be above 0, not ${power}`)
  return graded("Plan.exponential", schedule, count, options, (place, { max, min }) =>
    Math.exp(Math.log(min) + (1 - place) ** power * (Math.log(max) - Math.log(min)))
  )
}

/**
 * σ at quantiles of a beta distribution between its ends, most of them near these: σᵢ = min + (max − min)·Q(1 − i/(n − 1)), with a = b = 0.6
 * unless told. Then 0. With `over: "time"` it is the time that lies at quantiles (Lee et al. 2024, "Beta sampling is all you need",
 * arXiv:2407.12173; diffusers' `use_beta_sigmas` takes σ).
 *
 * @since 0.1.0
 * @category constructors
 */
export const beta = (
  schedule: Schedule.Schedule,
  count: number,
  options: Ends &
    EndOptions & { readonly a?: number; readonly b?: number; readonly over?: "sigma" | "time" } = {}
): Plan => {
  const { a = 0.6, b = 0.6, over = "sigma" } = options
  demand(
    a > 0 && b > 0 && Number.isFinite(a + b),
    "Plan.beta",
    "plan",
    `a and b must be above 0, not ${a} and ${b}`
  )
  const timeOf = (sigma: number): number => schedule.time(-2 * Math.log(sigma))
  return graded("Plan.beta", schedule, count, options, (place, { max, min }) => {
    const q = distribution.quantile(1 - place, a, b)
    if (over === "sigma" || q === 0 || q === 1) return min + q * (max - min)
    const [first, last] = [timeOf(min), timeOf(max)]
    const level = Schedule.mixture(schedule, first + q * (last - first))
    return level.sigma / level.alpha
  })
}

/** Levels that were found best for ten steps (Sabour et al. 2024, arXiv:2404.14507). */
const steps10 = {
  sd: {
    timesteps: [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
    sigmas: [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152]
  },
  sdxl: {
    timesteps: [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
    sigmas: [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.38, 0.234, 0.113]
  },
  svd: {
    timesteps: undefined,
    sigmas: [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034]
  }
} as const

/**
 * "Align Your Steps": levels that were found best for ten steps of Stable Diffusion 1.5 (`sd`), XL (`sdxl`) and Video (`svd`), and for other
 * numbers of steps interpolated between them, linearly in log σ (Sabour et al. 2024, arXiv:2404.14507). Then 0. By `timesteps`, in the
 * coordinates of the schedule, they are the published ones for ten steps, and else those of the σ's; `svd` has no others.
 *
 * ```ts
 * const schedule = Schedule.scaledLinear({ start: 0.00085, end: 0.012 })
 * const plan = Plan.ays("sd", schedule, 10)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const ays = (
  model: keyof typeof steps10,
  schedule: Schedule.Schedule,
  count: number,
  options: EndOptions & { readonly by?: "sigmas" | "timesteps" } = {}
): Plan => {
  const what = "Plan.ays"
  demand(
    model in steps10,
    what,
    "options",
    `there are levels for ${Object.keys(steps10).join(", ")}, not for ${JSON.stringify(model)}`
  )
  demandCount(what, count)
  const { timesteps, sigmas } = steps10[model]
  const logs = sigmas.map(Math.log)
  const found = linspace(0, sigmas.length - 1, count).map((place) => {
    const low = Math.min(Math.floor(place), sigmas.length - 2)
    const part = place - low
    if (part === 0 || part === 1) return sigmas[low + part]
    return Math.exp((1 - part) * logs[low] + part * logs[low + 1])
  })
  if (options.by !== "timesteps") return fromSigmas(schedule, found, options)
  if (timesteps === undefined || count !== sigmas.length || !Schedule.isDiscrete(schedule)) {
    const [max, min] = [0, 1].map((t) => Schedule.logSnr(schedule, t))
    // published σ's are rounded
    const values = found.map((sigma) => Math.min(Math.max(-2 * Math.log(sigma), min), max))
    return fromLogSnrs(schedule, values, options, what)
  }
  return fromTimesteps(schedule, timesteps, options, what)
}

// ── EDM's table ──────────────────────────────────────────────────────────────────────────────────

/**
 * The discretisations that EDM compares (Karras et al. 2022, arXiv:2206.00364, table 1), of whatever schedule.
 *
 * @since 0.1.0
 * @category models
 */
export type Discretization = "vp" | "ve" | "iddpm" | "edm"

const range = {
  // of β from 0.1 to 20, at the times 0.001 and 1
  vp: [Math.sqrt(Math.expm1(0.5 * 19.9 * 1e-6 + 0.1 * 1e-3)), Math.sqrt(Math.expm1(10.05))],
  ve: [0.02, 100],
  iddpm: [0.002, 81],
  edm: [0.002, 80]
} as const

/** iDDPM's thousand levels of noise, from the noisiest on: the cosine schedule with ratios of ᾱ of at least 0.001. */
const iddpmSigmas = (): ReadonlyArray<number> => {
  const total = 1000
  const alphaBar = (j: number) => Math.sin((0.5 * Math.PI * j) / total / 1.008) ** 2
  const sigmas = new Array<number>(total + 1).fill(0)
  for (let j = total; j > 0; j--) {
    const ratio = Math.max(alphaBar(j - 1) / alphaBar(j), 0.001)
    sigmas[j - 1] = Math.sqrt((sigmas[j] ** 2 + 1) / ratio - 1)
  }
  return sigmas
}

/**
 * `count` levels of σ and 0, as EDM's table 1 has them for VP (uniform in time from 1 to 0.001, with β from `min` to `max` of σ), VE (σ²
 * exponential), iDDPM (uniform among the thousand levels of the cosine schedule) and EDM ({@link karras}); between the ends that belong to
 * each unless told. With {@link withVariance} for the scaling and the samplers' own choice of variable it is the grid of EDM's ablation.
 *
 * @since 0.1.0
 * @category constructors
 */
export const discretized = (
  by: Discretization,
  schedule: Schedule.Schedule,
  count: number,
  options: Ends & EndOptions = {}
): Plan => {
  const what = "Plan.discretized"
  demand(
    by in range,
    what,
    "options",
    `there are ${Object.keys(range).join(", ")}, not ${JSON.stringify(by)}`
  )
  const { min = range[by][0], max = range[by][1] } = options
  const all = { ...options, min, max }
  switch (by) {
    case "edm":
      return karras(schedule, count, all)
    case "ve":
      return exponential(schedule, count, all)
    case "vp": {
      const first = 1e-3
      const [low, high] = [Math.log1p(min ** 2), Math.log1p(max ** 2)]
      const rise = (2 * (low / first - high)) / (first - 1)
      const start = high - rise / 2
      return graded(what, schedule, count, all, (place) => {
        const t = 1 + place * (first - 1)
        return Math.sqrt(Math.expm1((rise / 2) * t * t + start * t))
      })
    }
    case "iddpm": {
      const known = iddpmSigmas().filter((sigma) => sigma >= min && sigma <= max)
      demand(
        count <= known.length,
        what,
        "plan",
        `between ${max} and ${min} there are ${known.length} levels, and so no ${count} steps`
      )
      return graded(what, schedule, count, all, (place) => known[round(place * (known.length - 1))])
    }
  }
}

// ── Rectified flow ───────────────────────────────────────────────────────────────────────────────

/**
 * @since 0.1.0
 * @category models
 */
export interface FlowOptions extends EndOptions {
  /**
   * s in σ ↦ sσ/(1 + (s − 1)σ), 1 unless told (Esser et al. 2024, arXiv:2403.03206, section 5.3.2). Shifts by the size of images, where one
   * speaks of μ, have s = exp(μ).
   */
  readonly shift?: number
  /** Stretches 1 − σ so that the last noise above 0 is this one. */
  readonly terminal?: number
  /** What a network is told of pure noise: the timestep is σ times this; 1,000 unless told. */
  readonly steps?: number
}

const along = (shift: number, sigma: number): number => (shift * sigma) / (1 + (shift - 1) * sigma)

/**
 * A plan of rectified flow, α = 1 − σ, from σ's that fall from at most 1 and are still to be shifted. Networks that are told 1 − σ instead
 * (and then most often predict x₀ − ε, whose negative is `flow`) get it by {@link told}. Throws `DiffusionError` for a σ outside
 * of [0, 1], or a shift or a terminal noise that makes no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromFlow = (sigmas: ReadonlyArray<number>, options: FlowOptions = {}): Plan => {
  const { shift = 1, terminal, steps = 1000 } = options
  const what = "Plan.fromFlow"
  const end = endOf(what, options)
  demand(
    shift > 0 && steps > 0 && (terminal === undefined || (terminal > 0 && terminal < 1)),
    what,
    "plan",
    `shift and steps must be above 0, and terminal between 0 and 1; they are ${shift}, ${steps} and ${terminal}`
  )
  const outside = sigmas.findIndex((sigma) => !(sigma >= 0 && sigma <= 1))
  demand(
    outside < 0,
    what,
    "plan",
    `σ must lie between 0 and 1, but σ ${outside} is ${sigmas[outside]}`
  )
  const level = (sigma: number): Level => ({ timestep: sigma * steps, alpha: 1 - sigma, sigma })
  const stretched = sigmas.map((sigma) => along(shift, sigma))
  const last = stretched[stretched.length - 1]
  const stretch = terminal === undefined ? 1 : (1 - last) / (1 - terminal)
  const final = end === "zero" ? 0 : along(shift, 1 / steps)
  const all = stretched.map((sigma) => 1 - (1 - sigma) / stretch)
  const added = end !== "last" && final < all[all.length - 1]
  return make(
    [...all, ...(added ? [final] : [])].map(level),
    (value) => level(1 / (1 + Math.exp(value / 2))),
    what
  )
}

/**
 * A plan of rectified flow: σ falls linearly from 1 to `last`, is shifted, and then goes to 0. Unless it is told, `last` is 1/steps, shifted
 * (and so shifted twice, as Stable Diffusion 3 is published); FLUX has 1/count.
 *
 * ```ts
 * const plan = Plan.flow(28, { shift: 3 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const flow = (
  count: number,
  options: FlowOptions & { readonly last?: number } = {}
): Plan => {
  const { shift = 1, steps = 1000, last = along(shift, 1 / steps) } = options
  demandCount("Plan.flow", count)
  return fromFlow(linspace(1, last, count), options)
}

// ── Parts ────────────────────────────────────────────────────────────────────────────────────────

/**
 * A level of a plan: its index; or of those from the noisiest on, the first whose timestep, or whose σ/α, is not above this.
 *
 * @since 0.1.0
 * @category models
 */
export type Place =
  | { readonly index: number }
  | { readonly timestep: number }
  | { readonly sigma: number }

/** The index of the first level that is not above a place; the number of levels where there is none. */
const indexOf = ({ levels }: Plan, place: Place): number => {
  if ("index" in place) return place.index
  const found = levels.findIndex(({ timestep, alpha, sigma }) =>
    "timestep" in place ? timestep <= place.timestep : sigma <= place.sigma * alpha
  )
  return found < 0 ? levels.length : found
}

const part = (what: string, plan: Plan, first: number, last: number): Plan => {
  const { levels, between } = plan
  demand(
    Number.isInteger(first) && Number.isInteger(last) && 0 <= first && last < levels.length,
    what,
    "plan",
    `of the levels 0 to ${levels.length - 1} there are none from ${first} to ${last}`
  )
  demand(
    first < last,
    what,
    "plan",
    `from level ${first} to level ${last} of 0 to ${levels.length - 1} there is no step left: begin earlier, or end later`
  )
  return make(levels.slice(first, last + 1), between, what)
}

/**
 * The rest of a plan from a level on: for samples that begin from noised data rather than from noise (see `Sampler.noised`). A `strength`
 * between 0 and 1 is the part of the steps that is left, rounded down: with 1 it is the whole plan. Throws `DiffusionError` where no step
 * would be left.
 *
 * @since 0.1.0
 * @category combinators
 */
export const from = (plan: Plan, place: Place | { readonly strength: number }): Plan => {
  const end = steps(plan)
  if (!("strength" in place)) return part("Plan.from", plan, indexOf(plan, place), end)
  const { strength } = place
  demand(
    strength >= 0 && strength <= 1,
    "Plan.from",
    "options",
    `the strength must lie between 0 and 1, not ${strength}`
  )
  return part("Plan.from", plan, end - Math.floor(strength * end), end)
}

/**
 * A plan up to a level and no further: its samples keep that level's noise. Throws `DiffusionError` where no step would be left.
 *
 * @since 0.1.0
 * @category combinators
 */
export const until = (plan: Plan, place: Place): Plan =>
  part("Plan.until", plan, 0, indexOf(plan, place))
