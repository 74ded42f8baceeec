/**
 * What every sampler must do, as properties: for the samplers of the library, and for one's own.
 *
 * ```ts
 * const mine = Sampler.linear("mine", ({ levels }) => …)
 * it.effect("keeps its laws", () => SamplerLaws.check({ sampler: mine, order: 1 }))
 * ```
 *
 * {@link check} tries all laws that apply, on the device that is provided; each is also here by itself. Data are random mixtures of normal
 * distributions, of which the exact denoiser is known, where the probability-flow ODE leads, and what samples should be distributed like. A
 * law fails with a `LawError` that names the law, the sampler, the plan, the data and the seed.
 *
 * **Orders** are measured as those of methods are (see `SolverLaws`), on plans of equal steps in log-SNR, between levels that both have
 * noise; the median must lie within 0.2 of what is claimed, above it too.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../Device/index.ts"
import { Denoiser, Guidance, Noise, Plan, Sampler, Schedule } from "../Diffusion/index.ts"
import { Program, Random, Tensor, type TensorError } from "../Tensor/index.ts"
import * as gaussians from "./internal/gaussians.ts"
import * as law from "./internal/law.ts"
import * as measure from "./internal/measure.ts"
import * as problems from "./internal/problems.ts"
import type { LawError } from "./LawError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Options = law.Options

/**
 * What laws look at: a sampler, and what is claimed of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  /** The sampler's own unless told. */
  readonly name?: string
  readonly sampler: Sampler.Sampler
  /** Of the error at the end; nothing is claimed unless told. */
  readonly order?: number
  /** Whether samples are distributed like the data as steps become many, where there is no order; `true` unless told. */
  readonly faithful?: boolean
  /** Coordinates in which it gives the same samples, the first of which the other laws use; all unless told. */
  readonly coordinates?: ReadonlyArray<Coordinates>
  /** Whether it can go to a level without noise; `true` unless told. */
  readonly toData?: boolean
  /** Whether it draws from a key of its own, by the items' places, instead of the noise that it is given; `false` unless told. */
  readonly keyed?: boolean
  /** Laws that do not apply, by name. */
  readonly except?: ReadonlyArray<Name>
}

type Coordinates = Exclude<Schedule.Variance, "other">

type State = Denoiser.State
type Failure =
  | LawError
  | TensorError.TensorError
  | DeviceError.CompileError
  | DeviceError.DeviceError

// ── Problems ─────────────────────────────────────────────────────────────────────────────────────

interface Problem {
  readonly schedule: Schedule.Schedule
  readonly data: gaussians.Data
  /** Of so many steps between two levels of noise, or to data. */
  readonly plan: (count: number, end?: "last" | "zero") => Plan.Plan
  readonly text: string
}

/** Schedules whose networks are told the time itself. */
const schedules = [
  Schedule.logSnrLinear({ max: 12, min: -12 }),
  Schedule.shiftedCosine(),
  Schedule.vp({ max: 24 })
].map((each): Schedule.Schedule => ({ ...each, timestep: (_, t) => t }))

const problemOf = (subject: Subject, seed: number, simple: boolean): Problem => {
  const draw = problems.draws(seed)
  const data = simple ? gaussians.gaussian(draw) : gaussians.mixture(draw)
  const schedule = schedules[Math.min(Math.floor(draw(0, schedules.length)), schedules.length - 1)]
  const [min, max] = [draw(-5, -3), draw(3, 5)]
  const [variance = "preserving"] = subject.coordinates ?? []
  return {
    schedule,
    data,
    plan: (count, end = "last") => {
      const levels = end === "last" ? count + 1 : count
      return Plan.withVariance(Plan.logSnrUniform(schedule, levels, { min, max, end }), variance)
    },
    text: `steps of ${schedule.name} in log-SNR from ${min} to ${max}, ${variance}, with data of ${gaussians.show(data)}`
  }
}

const nameOf = ({ name, sampler }: Subject): string => name ?? sampler.name

const [batch, width] = [3, 2]

/** States of some items at the first level of a plan. */
const begin = (
  { data }: Problem,
  { levels: [first] }: Plan.Plan,
  seed: number,
  count = batch * width
) => gaussians.draw(data, first, seed, count)

const stateOf = (values: ArrayLike<number>, items: number): State =>
  Tensor.constant(
    Tensor.hostArray(Array.from(values), {
      shape: [items, values.length / items],
      dtype: "float64"
    })
  ) as unknown as State

interface Run {
  readonly sampler: Sampler.Sampler
  readonly plan: Plan.Plan
  readonly denoiser: Denoiser.Denoiser
  readonly seed?: number
  /** The number of the first item. */
  readonly first?: number
}

const sampled = (
  { sampler, plan, denoiser, seed = 0, first = 0 }: Run,
  x: State,
  states = false
): State => {
  const noise = Noise.normal(Random.key(seed), first)
  const found = Sampler.sample({ sampler, plan, denoiser, noise, states }, x)
  return states ? (found.states as State) : found.x
}

/** What expressions are, on the device. */
const evaluate = Effect.fnUntraced(function* (expressions: ReadonlyArray<State>) {
  const device = yield* Device.Device
  const found = yield* device.evaluate(expressions)
  return (found as unknown as ReadonlyArray<Tensor.HostArray>).map(({ data }) =>
    Float64Array.from(data as ArrayLike<number>)
  )
}, Effect.scoped)

/** How far apart arrays are, beside how large they are; NaN counts as far. */
const apart = (a: Float64Array, b: Float64Array): number => {
  const far = measure.distance(a, b) / Math.max(1, measure.norm(b))
  return Number.isNaN(far) ? Number.POSITIVE_INFINITY : far
}

const same = (
  what: string,
  got: Float64Array,
  wanted: Float64Array,
  text: string,
  bound = 1e-9
): string | undefined => {
  const far = apart(got, wanted)
  return far <= bound ? undefined : `${what} differ by ${far.toExponential(2)} on ${text}`
}

type Complaint = Effect.Effect<string | undefined, Failure, Device.Device>

// ── Laws ─────────────────────────────────────────────────────────────────────────────────────────

const seedsLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler } = subject
    const plan = problem.plan(6)
    const denoiser = gaussians.denoiser(problem.data)
    const x = stateOf(begin(problem, plan, seed), batch)
    const [one, again, other] = yield* evaluate(
      [seed, seed, seed + 1].map((seed) => sampled({ sampler, plan, denoiser, seed }, x))
    )
    const text = `6 ${problem.text}`
    const bits = same("two samples of one seed", again, one, text, 0)
    if (bits !== undefined) return bits
    const draws = sampler.steps(plan).stochastic && !subject.keyed
    if (!draws) return same("without noise samples of two seeds", other, one, text, 0)
    return apart(other, one) > 1e-6 ? undefined : `two seeds give the same samples on ${text}`
  })

const batchLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler } = subject
    const plan = problem.plan(5)
    const denoiser = gaussians.denoiser(problem.data)
    const x = begin(problem, plan, seed)
    const item = (i: number) => x.slice(i * width, (i + 1) * width)
    const [together, ...apart] = yield* evaluate([
      sampled({ sampler, plan, denoiser, seed }, stateOf(x, batch)),
      // what draws by the place of an item knows no other first one
      ...Array.from({ length: subject.keyed ? 1 : batch }, (_, i) =>
        sampled({ sampler, plan, denoiser, seed, first: i }, stateOf(item(i), 1))
      )
    ])
    const alone = Float64Array.from(apart.flatMap((each) => Array.from(each)))
    return same(
      "items of a batch and items alone",
      together.subarray(0, alone.length),
      alone,
      `5 ${problem.text}`,
      1e-12
    )
  })

const parallelLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler } = subject
    const plan = problem.plan(4)
    const denoiser = gaussians.denoiser(problem.data)
    const device = yield* Device.Device
    const inputs = [0, 1, 2].map((i) => ({
      x: Tensor.hostArray(Array.from(begin(problem, plan, seed + i)), {
        shape: [batch, width],
        dtype: "float64"
      })
    }))
    const program = yield* Program.make(inputs[0], ({ x }) =>
      sampled({ sampler, plan, denoiser, seed }, x as unknown as State)
    )
    const executable = yield* device.compile(program)
    const one = Effect.fnUntraced(function* (input: (typeof inputs)[number]) {
      const found = yield* device.download((yield* executable.run(input as never)) as never)
      return Float64Array.from((found as unknown as Tensor.HostArray).data as ArrayLike<number>)
    }, Effect.scoped)
    const alone = yield* Effect.forEach(inputs, one)
    const beside = yield* Effect.forEach(inputs, one, { concurrency: "unbounded" })
    for (const [i, each] of beside.entries()) {
      const complaint = same("runs beside others and alone", each, alone[i], `4 ${problem.text}`, 0)
      if (complaint !== undefined) return complaint
    }
    return undefined
  }).pipe(Effect.scoped) as Complaint

const predictions: ReadonlyArray<Denoiser.Prediction> = [
  "noise",
  "data",
  "v",
  "flow",
  { kind: "edm", deviation: 0.7 }
]

const predictionLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler } = subject
    const plan = problem.plan(5)
    const x = stateOf(begin(problem, plan, seed), batch)
    const text = `5 ${problem.text}`
    const [direct, ...others] = yield* evaluate(
      [
        gaussians.denoiser(problem.data),
        ...predictions.map((prediction) =>
          Denoiser.make({
            network: gaussians.network(problem.data, problem.schedule, prediction),
            prediction
          })
        )
      ].map((denoiser) => sampled({ sampler, plan, denoiser, seed }, x, true))
    )
    for (const [i, other] of others.entries()) {
      const prediction = predictions[i]
      const kind = typeof prediction === "string" ? prediction : prediction.kind
      const complaint = same(
        `states along the way of a network that predicts ${kind} and of the denoiser itself`,
        other,
        direct,
        text,
        1e-8
      )
      if (complaint !== undefined) return complaint
    }
    return undefined
  })

const sizes: Readonly<Record<Coordinates, (level: Plan.Level) => number>> = {
  preserving: ({ alpha, sigma }) => Math.hypot(alpha, sigma),
  exploding: ({ alpha }) => alpha,
  flow: ({ alpha, sigma }) => alpha + sigma
}

const every: ReadonlyArray<Coordinates> = ["preserving", "exploding", "flow"]

const coordinatesLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler, coordinates = every, toData = true } = subject
    const denoiser = gaussians.denoiser(problem.data)
    for (const end of toData ? (["last", "zero"] as const) : (["last"] as const)) {
      const plan = problem.plan(6, end)
      const x = begin(problem, plan, seed)
      const [direct, ...others] = yield* evaluate(
        coordinates.map((variance) => {
          const own = Plan.withVariance(plan, variance)
          const [first, last] = [plan.levels[0], plan.levels[6]].map(sizes[variance])
          const scaled = stateOf(
            x.map((each) => each / first),
            batch
          )
          const found = sampled({ sampler, plan: own, denoiser, seed }, scaled)
          return Tensor.mul(found, last) as State
        })
      )
      for (const [i, other] of others.entries()) {
        const complaint = same(
          `samples in the coordinates ${coordinates[0]} and ${coordinates[i + 1]}`,
          other,
          direct,
          `6 ${problem.text}, ending at ${end}`,
          1e-8
        )
        if (complaint !== undefined) return complaint
      }
    }
    return undefined
  })

/** Numbers of steps, each smaller by the factor that orders are measured with. */
const counts = (order: number): ReadonlyArray<number> => {
  const all = [order <= 1 ? 160 : order <= 2 ? 96 : order <= 3 ? 64 : 48]
  while (all.length < 6) all.push(Math.floor(all[all.length - 1] / 1.3))
  return all
}

const missingOf = Effect.fnUntraced(function* (subject: Subject, seed: number, simple: boolean) {
  const problem = problemOf(subject, seed, simple)
  const { sampler, order = 1 } = subject
  const denoiser = gaussians.denoiser(problem.data)
  const steps = counts(order)
  const from = problem.plan(1).levels
  // parts of the data, well apart
  const x = begin(problem, problem.plan(1), seed, 4)
  const wanted = x.map((each) => gaussians.flow(problem.data, from[0], from[1], each))
  const ends = yield* evaluate(
    steps.map((count) => sampled({ sampler, plan: problem.plan(count), denoiser }, stateOf(x, 1)))
  )
  const scale = measure.norm(wanted)
  return measure.order((n) => {
    const found = ends[steps.indexOf(n)]
    if (found === undefined) return { error: new Float64Array(1), scale }
    return { error: found.map((each, i) => each - wanted[i]), scale }
  }, steps[0])
})

const orderLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const { order = 0 } = subject
    for (const simple of [true, false]) {
      const found: Array<number> = []
      const { text } = problemOf(subject, seed, simple)
      for (let i = 1; i <= 9; i++) {
        const measured = yield* missingOf(subject, seed + i - 1, simple)
        if (Number.isNaN(measured)) return `samples are not finite on ${text}, and those after it`
        if (measured !== undefined) found.push(measured)
        if (i % 3 > 0 || found.length === 0) continue
        const middle = measure.median(found)
        const off = Math.abs(middle - order)
        if (off <= 0.1 || (i === 9 && off <= 0.2)) break
        // what is not clear yet is looked at for longer
        if (i < 9) continue
        return `the error at the end is of order ${middle.toFixed(2)} instead of ${order} on ${i} problems from ${text} on`
      }
      if (found.length === 0) return `errors at the end are all made of rounding on ${text}`
    }
    return undefined
  })

/** Elements of which moments are taken, and steps that are many. */
const [many, fine] = [1600, 60]

/** How far off a statistic may be: in standard errors, and beside that what so many steps miss, as a part of the deviation. */
const [confidence, bias] = [5, 0.03]

const momentsLaw = (subject: Subject, seed: number): Complaint =>
  Effect.gen(function* () {
    const problem = problemOf(subject, seed, false)
    const { sampler } = subject
    const plan = problem.plan(fine)
    const denoiser = gaussians.denoiser(problem.data)
    const x = stateOf(begin(problem, plan, seed, many), many / 16)
    const [found] = yield* evaluate([sampled({ sampler, plan, denoiser, seed }, x)])
    const { mean, variance, fourth } = gaussians.moments(problem.data, plan.levels[fine])
    const center = found.reduce((sum, each) => sum + each, 0) / many
    const spread = found.reduce((sum, each) => sum + (each - mean) ** 2, 0) / many
    const bounds = [
      confidence * Math.sqrt(variance / many) + bias * Math.sqrt(variance),
      confidence * Math.sqrt((fourth - variance ** 2) / many) + 2 * bias * variance
    ]
    const text = `of ${many} samples, ${confidence} standard errors and ${100 * bias} per cent of the deviation away, on ${fine} ${problem.text}`
    if (!(Math.abs(center - mean) <= bounds[0])) {
      return `the mean is ${center} instead of ${mean} ${text}`
    }
    return Math.abs(spread - variance) <= bounds[1]
      ? undefined
      : `the variance is ${spread} instead of ${variance} ${text}`
  })

/** How often each is tried, when it applies, and what it says. */
const laws = {
  seeds: { runs: 1, applies: () => true, law: seedsLaw },
  batch: { runs: 1, applies: () => true, law: batchLaw },
  parallel: { runs: 1, applies: () => true, law: parallelLaw },
  prediction: { runs: 1, applies: () => true, law: predictionLaw },
  coordinates: {
    runs: 1,
    applies: ({ coordinates = every }: Subject) => coordinates.length > 1,
    law: coordinatesLaw
  },
  order: { runs: 1, applies: ({ order }: Subject) => order !== undefined, law: orderLaw },
  moments: {
    runs: 1,
    // what leads where the flow does has its distribution, too
    applies: ({ order, faithful }: Subject) => order === undefined && faithful !== false,
    law: momentsLaw
  }
} as const

/**
 * The laws that {@link check} tries, where they apply.
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

const applies = (name: Name, subject: Subject): boolean =>
  laws[name].applies(subject) && !subject.except?.includes(name)

type Check = (subject: Subject, options?: Options) => Effect.Effect<void, Failure, Device.Device>

const tried = (name: Name, subject: Subject, options: Options) =>
  law.verify(name, nameOf(subject), laws[name].runs, options, (seed) =>
    laws[name].law(subject, seed)
  )

const all = law.suite({ names, nameOf, applies, tried })

/**
 * All laws that apply to a sampler, on the device that is provided: fails with a `LawError` for the first that it does not keep.
 *
 * @since 0.1.0
 * @category checks
 */
export const check: Check = all.check

/**
 * One seed gives one sample, bit for bit; and another seed another one, if the sampler draws noise, or else the same.
 *
 * @since 0.1.0
 * @category laws
 */
export const seeds: Check = all.alone("seeds")

/**
 * An item of a batch is what it is alone, its noise included.
 *
 * @since 0.1.0
 * @category laws
 */
export const items: Check = all.alone("batch")

/**
 * Runs side by side of one program give what each gives alone.
 *
 * @since 0.1.0
 * @category laws
 */
export const parallel: Check = all.alone("parallel")

/**
 * Networks that predict noise, data, v, flow or as EDM's give the same states along the whole way.
 *
 * @since 0.1.0
 * @category laws
 */
export const prediction: Check = all.alone("prediction")

/**
 * Samples are the same where variance is preserved, where it explodes and where α + σ = 1, as far as they are claimed to be.
 *
 * @since 0.1.0
 * @category laws
 */
export const coordinates: Check = all.alone("coordinates")

/**
 * The error at the end, from where the probability-flow ODE leads, falls with the number of steps as claimed.
 *
 * @since 0.1.0
 * @category laws
 */
export const order: Check = all.alone("order")

/**
 * With 60 steps, 1,600 samples have the mean and the variance of the data at the last level, within five standard errors and three per
 * cent of the deviation.
 *
 * @since 0.1.0
 * @category laws
 */
export const moments: Check = all.alone("moments")

// ── Of more than one ─────────────────────────────────────────────────────────────────────────────

/**
 * Two samplers give the same samples along any plan, from the same noise: such as DDIM with η = 1 and DDPM with the small variance.
 *
 * @since 0.1.0
 * @category laws
 */
export const equal = (
  one: Sampler.Sampler,
  other: Sampler.Sampler,
  options: Options = {}
): Effect.Effect<void, Failure, Device.Device> =>
  law.verify("equal", `${one.name} and ${other.name}`, 2, options, (seed) =>
    Effect.gen(function* () {
      const problem = problemOf({ sampler: one }, seed, false)
      const denoiser = gaussians.denoiser(problem.data)
      for (const end of ["last", "zero"] as const) {
        const plan = problem.plan(6, end)
        const x = stateOf(begin(problem, plan, seed), batch)
        const [a, b] = yield* evaluate(
          [one, other].map((sampler) => sampled({ sampler, plan, denoiser, seed }, x))
        )
        const complaint = same("their samples", a, b, `6 ${problem.text}, ending at ${end}`)
        if (complaint !== undefined) return complaint
      }
      return undefined
    })
  )

/**
 * An inversion returns: from a plan's last level to its first by one sampler and back by another one leads to where one began, the nearer
 * the more steps, with an error of the order that is told, 1 unless told.
 *
 * @since 0.1.0
 * @category laws
 */
export const inversion = (
  {
    there,
    back,
    order = 1
  }: {
    readonly there: Sampler.Sampler
    readonly back: Sampler.Sampler
    readonly order?: number
  },
  options: Options = {}
): Effect.Effect<void, Failure, Device.Device> =>
  law.verify("inversion", `${there.name}, and ${back.name} back,`, 1, options, (seed) =>
    Effect.gen(function* () {
      const problem = problemOf({ sampler: there }, seed, false)
      const denoiser = gaussians.denoiser(problem.data)
      const last = problem.plan(1).levels[1]
      const x = gaussians.draw(problem.data, last, seed, batch * width)
      const lost = yield* evaluate(
        [20, 80].map((count) => {
          const plan = problem.plan(count)
          const noise = sampled({ sampler: there, plan, denoiser }, stateOf(x, batch))
          return sampled({ sampler: back, plan, denoiser }, noise)
        })
      )
      const [few, more] = lost.map((each) => apart(each, x))
      // four times as many steps, and half of what that order promises for good measure
      const bound = Math.max((few * 2) / 4 ** order, 1e-9)
      return few < 0.5 && more <= bound
        ? undefined
        : `20 and 80 steps there and back miss the start by ${few.toExponential(2)} and ${more.toExponential(2)} on ${problem.text}`
    })
  )

/**
 * Guidance of weight 1 is none: the denoiser that is made of two gives what the first gives, and asks it alone. Takes `Guidance.make` unless
 * told.
 *
 * @since 0.1.0
 * @category laws
 */
export const unguided = (
  guide: (denoiser: Denoiser.Denoiser, other: Denoiser.Denoiser) => Denoiser.Denoiser = (
    denoiser,
    guide
  ) => Guidance.make({ denoiser, guide, weight: 1 }),
  options: Options = {}
): Effect.Effect<void, Failure, Device.Device> =>
  law.verify("unguided", "guidance of weight 1", 2, options, (seed) =>
    Effect.gen(function* () {
      const draw = problems.draws(seed)
      const own = gaussians.denoiser(gaussians.mixture(draw))
      let asked = 0
      const other: Denoiser.Denoiser = {
        ...gaussians.denoiser(gaussians.gaussian(draw)),
        estimate: (x, level) => {
          asked += 1
          return own.estimate(x, level)
        }
      }
      const guided = guide(own, other)
      const level = Object.fromEntries(
        Object.entries({ timestep: draw(0, 1), alpha: draw(0.1, 1), sigma: draw(0.1, 1) }).map(
          ([name, each]) => [name, Tensor.scalar(each, "float64")]
        )
      ) as unknown as Denoiser.Level
      const x = stateOf(
        Array.from({ length: batch * width }, () => draw(-2, 2)),
        batch
      )
      const [a, b] = [guided, own].map((each) => each.estimate(x, level))
      const [data, noise, wantedData, wantedNoise] = yield* evaluate([
        a.data,
        a.noise,
        b.data,
        b.noise
      ])
      if (asked > 0 || guided.evaluations !== own.evaluations) {
        return `it asks the guide ${asked} times, and says that it asks ${guided.evaluations} times instead of ${own.evaluations}`
      }
      return (
        same("its data and the denoiser's", data, wantedData, "a level", 1e-12) ??
        same("its noise and the denoiser's", noise, wantedNoise, "a level", 1e-12)
      )
    })
  )
