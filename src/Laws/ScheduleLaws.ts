/**
 * What every noise schedule and every plan must do, as properties: for those of the library, and for one's own.
 *
 * ```ts
 * const mine = Schedule.make({
 *   name: "mine",
 *   variance: "flow",
 *   at: (of, t) => ({ alpha: of.sub(of.of(1), t), sigma: t })
 * })
 * it("keeps its laws", () => ScheduleLaws.check(mine))
 * ```
 *
 * {@link check} tries all laws of a schedule and {@link checkPlan} those of a plan; each is also here by itself. A law looks at random times,
 * many of them near the ends, and throws a `LawError` that names the law, the schedule, what it was tried for and the seed. {@link tensors}
 * needs a device, and is an effect that fails with it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../Device/index.ts"
import { Plan, Schedule } from "../Diffusion/index.ts"
import { Program, Tensor, type TensorError } from "../Tensor/index.ts"
import * as law from "./internal/law.ts"
import * as problems from "./internal/problems.ts"
import type { LawError } from "./LawError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Options = law.Options

// ── Schedules ────────────────────────────────────────────────────────────────────────────────────

/** A time, as often as not near one of the ends. */
const timeOf = (draw: problems.Draw): number => {
  const way = 10 ** -draw(0.3, 7)
  const where = draw(0, 4)
  if (where < 1) return way
  return where < 2 ? 1 - way : draw(0, 1)
}

const times = (draw: problems.Draw, count: number): ReadonlyArray<number> => [
  0,
  1,
  ...Array.from({ length: count }, () => timeOf(draw))
]

/** The first complaint about any of many. */
const first = <A>(
  all: ReadonlyArray<A>,
  complaintOf: (each: A) => string | undefined
): string | undefined => {
  for (const each of all) {
    const complaint = complaintOf(each)
    if (complaint !== undefined) return complaint
  }
  return undefined
}

type Law = (schedule: Schedule.Schedule, seed: number) => string | undefined

const varianceLaw: Law = (schedule, seed) =>
  first(times(problems.draws(seed), 30), (t) => {
    const { alpha, sigma } = Schedule.mixture(schedule, t)
    if (!(alpha >= 0 && sigma >= 0 && Number.isFinite(alpha + sigma))) {
      return `at t = ${t} α is ${alpha} and σ is ${sigma}`
    }
    const [text, whole] = {
      preserving: ["α² + σ²", alpha * alpha + sigma * sigma] as const,
      exploding: ["α", alpha] as const,
      flow: ["α + σ", alpha + sigma] as const,
      other: ["", 1] as const
    }[schedule.variance]
    return Math.abs(whole - 1) <= 1e-12 ? undefined : `at t = ${t} ${text} is ${whole}`
  })

const monotoneLaw: Law = (schedule, seed) => {
  const draw = problems.draws(seed)
  const pairs = Array.from({ length: 30 }, () => {
    const t = timeOf(draw)
    // a step that rounding cannot hide
    const later = Math.min(1, t + Math.max(1e-9, t * 10 ** -draw(0, 6)))
    return [t, later] as const
  })
  return first([...pairs, [0, 1e-6] as const, [1 - 1e-6, 1] as const], ([t, later]) => {
    if (later <= t) return undefined
    const [a, b] = [t, later].map((each) => Schedule.logSnr(schedule, each))
    return a > b ? undefined : `the log-SNR goes from ${a} at t = ${t} to ${b} at t = ${later}`
  })
}

const inverseLaw: Law = (schedule, seed) => {
  const draw = problems.draws(seed)
  const [most, least] = [0, 1].map((t) => Schedule.logSnr(schedule, t))
  const outside = first([most + 1, least - 1], (value) =>
    !Number.isFinite(value) || Number.isNaN(schedule.time(value))
      ? undefined
      : `the log-SNR ${value} is beyond ${most} to ${least}, but has the time ${schedule.time(value)} instead of NaN`
  )
  if (outside !== undefined) return outside
  const there = first(times(draw, 20), (t) => {
    const value = Schedule.logSnr(schedule, t)
    const back = schedule.time(value)
    const again = Schedule.logSnr(schedule, back)
    // the same time, or where that is ill-conditioned, the same log-SNR
    const near =
      Math.abs(back - t) <= 1e-12 || Math.abs(again - value) <= 1e-9 * Math.max(1, Math.abs(value))
    return near
      ? undefined
      : `t = ${t} has the log-SNR ${value}, and that has the time ${back} with ${again}`
  })
  if (there !== undefined) return there
  const [high, low] = [Math.min(most, 30), Math.max(least, -30)]
  const values = Array.from({ length: 20 }, () => draw(low, high))
  return first(values, (value) => {
    const t = schedule.time(value)
    const again = Schedule.logSnr(schedule, t)
    const step =
      Schedule.logSnr(schedule, Math.max(0, t - 1e-15)) -
      Schedule.logSnr(schedule, Math.min(1, t + 1e-15))
    return Math.abs(again - value) <= 1e-9 * Math.max(1, Math.abs(value)) + step
      ? undefined
      : `the log-SNR ${value} has the time ${t}, where it is ${again}`
  })
}

const timestepLaw: Law = (schedule, seed) => {
  const draw = problems.draws(seed)
  const sorted = [...new Set([0, 1, ...Array.from({ length: 20 }, () => draw(0, 1))])].toSorted(
    (a, b) => a - b
  )
  const told = (t: number) => Plan.at(schedule, t).timestep
  return first(sorted.slice(1), (t) => {
    const before = sorted[sorted.indexOf(t) - 1]
    const [a, b] = [told(before), told(t)]
    return Number.isFinite(a) && a < b
      ? undefined
      : `the timestep does not rise: it is ${a} at t = ${before} and ${b} at t = ${t}`
  })
}

const panels = 500

/** ∫ of a function between two times, by Simpson's rule. */
const integral = (f: (t: number) => number, from: number, to: number): number => {
  const h = (to - from) / (2 * panels)
  let sum = f(from) + f(to)
  for (let i = 1; i < 2 * panels; i++) sum += (i % 2 === 1 ? 4 : 2) * f(from + i * h)
  return (sum * h) / 3
}

const compositionLaw: Law = (schedule, seed) => {
  const draw = problems.draws(seed)
  const from = draw(0.05, 0.8)
  const to = from + draw(0.02, 0.1)
  const [s, t] = [from, to].map((each) => Schedule.mixture(schedule, each))
  const text = `from t = ${from} to t = ${to}`
  const alpha = t.alpha / s.alpha
  const rest = t.sigma ** 2 - (alpha * s.sigma) ** 2
  if (!(rest > 0)) return `${text} the forward process would add a variance of ${rest}`
  const grown = Math.exp(integral((u) => Schedule.rates(schedule, u).drift, from, to))
  if (!(Math.abs(grown / alpha - 1) <= 1e-3)) {
    return `${text} f integrates to a factor of ${grown}, but α grows by one of ${alpha}`
  }
  const added = integral(
    (u) => {
      const left = t.alpha / Schedule.mixture(schedule, u).alpha
      return left * left * Schedule.rates(schedule, u).diffusion
    },
    from,
    to
  )
  return Math.abs(added / rest - 1) <= 1e-3
    ? undefined
    : `${text} g² adds a variance of ${added}, but x_t given x_s has ${rest}`
}

/** How often each is tried. */
const laws = {
  variance: { runs: 10, law: varianceLaw },
  monotone: { runs: 10, law: monotoneLaw },
  inverse: { runs: 10, law: inverseLaw },
  timestep: { runs: 5, law: timestepLaw },
  composition: { runs: 5, law: compositionLaw }
} as const

/**
 * The names of the laws that {@link check} tries.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof laws

/**
 * @since 0.1.0
 * @category getters
 */
export const names = Object.keys(laws) as ReadonlyArray<Name>

type Check = (schedule: Schedule.Schedule, options?: Options) => void

const alone =
  (name: Name): Check =>
  (schedule, options = {}) =>
    law.assert(name, schedule.name, laws[name].runs, options, (seed) =>
      laws[name].law(schedule, seed)
    )

/**
 * All laws of schedules, on the host: throws `LawError` for the first that it does not keep.
 *
 * @since 0.1.0
 * @category checks
 */
export const check: Check = (schedule, options = {}) => {
  for (const name of names) alone(name)(schedule, options)
}

/**
 * Signal and noise are finite and not below 0, and α² + σ² = 1, α = 1, or α + σ = 1, as the schedule says of itself.
 *
 * @since 0.1.0
 * @category laws
 */
export const variance: Check = alone("variance")

/**
 * The log-SNR falls strictly.
 *
 * @since 0.1.0
 * @category laws
 */
export const monotone: Check = alone("monotone")

/**
 * `time` is the inverse of the log-SNR, both ways, and NaN beyond its ends.
 *
 * @since 0.1.0
 * @category laws
 */
export const inverse: Check = alone("inverse")

/**
 * What a network is told of times rises with them.
 *
 * @since 0.1.0
 * @category laws
 */
export const timestep: Check = alone("timestep")

/**
 * The forward process composes: x_t given x_s has a variance above 0, and is what the SDE with the schedule's rates makes of x_s. So a
 * schedule does not jump.
 *
 * @since 0.1.0
 * @category laws
 */
export const composition: Check = alone("composition")

type Failure =
  | LawError
  | TensorError.TensorError
  | DeviceError.CompileError
  | DeviceError.DeviceError

type Lists = Readonly<Record<"alpha" | "sigma" | "timestep", ArrayLike<number>>>

const onDevice = Effect.fnUntraced(function* (
  schedule: Schedule.Schedule,
  values: ReadonlyArray<number>,
  dtype: "float32" | "float64"
) {
  const device = yield* Device.Device
  const t = Tensor.hostArray(values, { shape: [values.length], dtype })
  const program = yield* Program.make({ t }, ({ t }) => ({
    ...Schedule.mixtures(schedule, t as Tensor.Any),
    timestep: Schedule.timesteps(schedule, t as Tensor.Any)
  }))
  const executable = yield* device.compile(program)
  const found = yield* device.downloadAll(yield* executable.run({ t } as never))
  const hosts = found as unknown as Readonly<Record<keyof Lists, Tensor.HostArray>>
  return {
    alpha: hosts.alpha.data,
    sigma: hosts.sigma.data,
    timestep: hosts.timestep.data
  } as Lists
}, Effect.scoped)

/**
 * On the device that is provided tensors have the numbers of the host, in float64 and float32 as far as the time can be told there.
 *
 * @since 0.1.0
 * @category laws
 */
export const tensors = (
  schedule: Schedule.Schedule,
  options: Options & { readonly dtypes?: ReadonlyArray<"float32" | "float64"> } = {}
): Effect.Effect<void, Failure, Device.Device> => {
  const { dtypes = ["float64", "float32"] } = options
  return law.verify("tensors", schedule.name, 1, options, (seed) =>
    Effect.gen(function* () {
      for (const dtype of dtypes) {
        const values = times(problems.draws(seed), 60).map((t) =>
          dtype === "float32" ? Math.fround(t) : t
        )
        const found = yield* onDevice(schedule, values, dtype)
        const [unit, bound] = dtype === "float32" ? [2 ** -22, 2e-5] : [1e-15, 1e-12]
        const complaint = first([...values.keys()], (i) => {
          const t = values[i]
          const near = [t, Math.max(0, t - unit * t), Math.min(1, t + unit * t)].map((each) =>
            Plan.at(schedule, each)
          )
          return first(["alpha", "sigma", "timestep"] as const, (key) => {
            const all = near.map((each) => each[key])
            const [wanted, got] = [all[0], found[key][i]]
            // what the last bits of the time change is not told apart
            const spread = Math.max(...all) - Math.min(...all)
            return Math.abs(got - wanted) <= spread + bound * Math.abs(wanted)
              ? undefined
              : `in ${dtype} ${key} at t = ${t} is ${got}, but on the host ${wanted}`
          })
        })
        if (complaint !== undefined) return complaint
      }
      return undefined
    })
  )
}

// ── Plans ────────────────────────────────────────────────────────────────────────────────────────

/**
 * A way to plan, for a number of steps.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlanSubject {
  readonly name: string
  readonly plan: (count: number) => Plan.Plan
  /** The most steps that it can have; 100 unless told. */
  readonly most?: number
  /** σ/α at the first level and at the last, where they are claimed. */
  readonly first?: number
  readonly last?: number
}

/**
 * The laws of a plan, for random numbers of steps: it has as many as were asked for, its noise over signal falls strictly between the ends
 * that are claimed, timesteps fall, and `between` says of a level's log-SNR what the level says, and rises and falls with it in between.
 * Throws `LawError`.
 *
 * ```ts
 * ScheduleLaws.checkPlan({
 *   name: "Karras",
 *   plan: (count) => Plan.karras(Schedule.scaledLinear(), count),
 *   last: 0
 * })
 * ```
 *
 * @since 0.1.0
 * @category checks
 */
export const checkPlan = (subject: PlanSubject, options: Options = {}): void =>
  law.assert("plan", subject.name, 10, options, (seed) => planLaw(subject, seed))

const ratio = ({ alpha, sigma }: Schedule.Mixture<number>): number => sigma / alpha

const alike = (a: number, b: number): boolean => a === b || Math.abs(a - b) <= 1e-9 * Math.abs(b)

const planLaw = (subject: PlanSubject, seed: number): string | undefined => {
  const draw = problems.draws(seed)
  const { most = 100 } = subject
  const count = Math.min(most, Math.floor(most ** draw(0, 1.1)))
  const { levels, between } = subject.plan(count)
  const complain = (text: string) => `for ${count} steps ${text}`
  if (levels.length !== count + 1) return complain(`it has ${levels.length - 1}`)
  const [start, end] = [levels[0], levels[count]].map(ratio)
  if (subject.first !== undefined && !alike(start, subject.first)) {
    return complain(`it begins with a noise of ${start} times the signal, not ${subject.first}`)
  }
  if (subject.last !== undefined && !alike(end, subject.last)) {
    return complain(`it ends with a noise of ${end} times the signal, not ${subject.last}`)
  }
  for (const [i, level] of levels.entries()) {
    const before = levels[i - 1]
    if (before !== undefined && !(ratio(level) < ratio(before))) {
      return complain(
        `the noise over signal goes from ${ratio(before)} to ${ratio(level)} in step ${i - 1}`
      )
    }
    // without noise nothing is asked, and levels below the schedule's first have its timestep
    if (before !== undefined && level.sigma > 0 && !(level.timestep <= before.timestep)) {
      return complain(
        `the timestep goes from ${before.timestep} to ${level.timestep} in step ${i - 1}`
      )
    }
    const value = Plan.logSnr(level)
    if (!Number.isFinite(value)) continue
    const same = between(value)
    const far = (key: keyof Plan.Level) =>
      Math.abs(same[key] - level[key]) > 1e-6 * Math.max(Math.abs(level[key]), 1e-3)
    const off = (["alpha", "sigma", "timestep"] as const).find(far)
    if (off !== undefined) {
      return complain(
        `between says of the log-SNR of level ${i}, ${value}, that ${off} is ${same[off]}, but it is ${level[off]}`
      )
    }
    const earlier = before === undefined ? Number.NaN : Plan.logSnr(before)
    if (!Number.isFinite(earlier)) continue
    const inner = between(earlier + draw(0.01, 0.99) * (value - earlier))
    if (!(ratio(inner) < ratio(before) && ratio(inner) > ratio(level))) {
      return complain(
        `between says of a log-SNR from ${earlier} to ${value} that the noise over signal is ${ratio(inner)}`
      )
    }
  }
  return undefined
}
