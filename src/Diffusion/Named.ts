/**
 * Schedules, plans, samplers, weightings and densities of times by name, with their options as JSON holds them: for configurations, sweeps and the command line. In
 * code, call their makers.
 *
 * A name or an option that is not known is refused with the nearest that is.
 *
 * @since 0.1.0
 */
import { Suggestion } from "../Tensor/index.ts"
import * as Consistency from "./Consistency.ts"
import * as Ddim from "./Ddim.ts"
import * as Ddpm from "./Ddpm.ts"
import * as Deis from "./Deis.ts"
import { demand } from "./DiffusionError.ts"
import * as Dpm from "./Dpm.ts"
import * as Dpm2 from "./Dpm2.ts"
import * as Euler from "./Euler.ts"
import * as Heun from "./Heun.ts"
import * as Lms from "./Lms.ts"
import * as Plan from "./Plan.ts"
import * as Pndm from "./Pndm.ts"
import type { Sampler } from "./Sampler.ts"
import * as SaSolver from "./SaSolver.ts"
import * as Schedule from "./Schedule.ts"
import * as TimeDensity from "./TimeDensity.ts"
import * as UniPc from "./UniPc.ts"
import * as Weighting from "./Weighting.ts"

/** A maker, and the options that it knows. */
interface Entry<A, G extends ReadonlyArray<unknown>, O> {
  readonly make: (...given: readonly [...G, options?: O]) => A
  readonly options: ReadonlyArray<string>
}

/** The compiler holds the list of options to the maker's own. */
const entry = <A, G extends ReadonlyArray<unknown>, O = {}>(
  make: (...given: [...G, options?: O]) => A,
  options: { readonly [K in keyof Required<O>]: true }
): Entry<A, G, O> => ({ make: make as Entry<A, G, O>["make"], options: Object.keys(options) })

const churn = { churn: true, from: true, to: true, scale: true } as const
const ancestral = { eta: true, scale: true } as const
const dpm = {
  order: true,
  algorithm: true,
  solver: true,
  eta: true,
  sNoise: true,
  clipped: true
} as const
const ratios = { eta: true, sNoise: true } as const

/**
 * The samplers by name.
 *
 * @since 0.1.0
 * @category instances
 */
export const samplers = {
  ddpm: entry(Ddpm.make, { variance: true }),
  ddim: entry(Ddim.make, { eta: true, clipped: true }),
  "ddim-inverse": entry(Ddim.inverse, { refinements: true }),
  euler: entry(Euler.make, churn),
  "euler-ancestral": entry(Euler.ancestral, ancestral),
  "euler-ancestral-flow": entry(Euler.ancestralFlow, ancestral),
  heun: entry(Heun.make, churn),
  dpm2: entry(Dpm2.make, churn),
  "dpm2-ancestral": entry(Dpm2.ancestral, ancestral),
  lms: entry(Lms.make, { order: true }),
  pndm: entry(Pndm.make, { warmUp: true, of: true }),
  ipndm: entry(Pndm.improved, { order: true, blind: true }),
  "dpm-multistep": entry(Dpm.multistep, { ...dpm, lowerOrderFinal: true, eulerAtFinal: true }),
  "dpm-singlestep": entry(Dpm.singlestep, { ...dpm, lowerOrderFinal: true, orders: true }),
  "dpm-solver": entry(Dpm.solver, { order: true, algorithm: true, clipped: true }),
  "dpm++2m": entry(Dpm.dpmpp2m, {}),
  "dpm++2m-sde": entry(Dpm.dpmpp2mSde, { ...ratios, solver: true }),
  "dpm++3m-sde": entry(Dpm.dpmpp3mSde, ratios),
  "dpm++2s-ancestral": entry(Dpm.dpmpp2sAncestral, ratios),
  "dpm++sde": entry(Dpm.dpmppSde, { ...ratios, r: true }),
  deis: entry(Deis.make, { order: true, lowerOrderFinal: true, clipped: true }),
  unipc: entry(UniPc.make, {
    order: true,
    solver: true,
    prediction: true,
    lowerOrderFinal: true,
    disableCorrector: true,
    correctLast: true,
    clipped: true
  }),
  "sa-solver": entry(SaSolver.make, {
    predictorOrder: true,
    correctorOrder: true,
    prediction: true,
    tau: true,
    lowerOrderFinal: true,
    correctLast: true,
    sNoise: true,
    clipped: true
  }),
  consistency: entry(Consistency.make, { noise: true }),
  lcm: entry(Consistency.latent, { scaling: true, deviation: true }),
  tcd: entry(Consistency.trajectory, { gamma: true, fractional: true })
} as const

const betas = { steps: true, start: true, end: true } as const
const range = { min: true, max: true } as const

/**
 * The schedules by name.
 *
 * @since 0.1.0
 * @category instances
 */
export const schedules = {
  linear: entry(Schedule.linear, betas),
  "scaled-linear": entry(Schedule.scaledLinear, betas),
  "sigmoid-betas": entry(Schedule.sigmoidBetas, betas),
  "cosine-betas": entry(Schedule.cosineBetas, { steps: true }),
  "exponential-betas": entry(Schedule.exponentialBetas, { steps: true }),
  "laplace-betas": entry(Schedule.laplaceBetas, { steps: true }),
  vp: entry(Schedule.vp, range),
  "sub-vp": entry(Schedule.subVp, range),
  ve: entry(Schedule.ve, range),
  edm: entry(Schedule.edm, { ...range, rho: true }),
  cosine: entry(Schedule.cosine, { offset: true, least: true }),
  "shifted-cosine": entry(Schedule.shiftedCosine, {
    ...range,
    resolution: true,
    reference: true
  }),
  sigmoid: entry(Schedule.sigmoid, { start: true, end: true, tau: true, least: true }),
  exponential: entry(Schedule.exponential, { rate: true }),
  laplace: entry(Schedule.laplace, { mean: true, scale: true, cut: true }),
  "log-snr-linear": entry(Schedule.logSnrLinear, range),
  flow: entry(Schedule.flow, { shift: true })
} as const

const ends = { ...range, end: true } as const

/**
 * The plans by name, from a schedule and a number of steps. `spaced` is for discrete schedules.
 *
 * @since 0.1.0
 * @category instances
 */
export const plans = {
  spaced: entry(Plan.spaced, {
    spacing: true,
    offset: true,
    open: true,
    fractional: true,
    first: true,
    interpolation: true,
    end: true
  }),
  uniform: entry(Plan.uniform, { from: true, to: true, end: true }),
  "log-snr-uniform": entry(Plan.logSnrUniform, ends),
  karras: entry(Plan.karras, { ...ends, rho: true }),
  exponential: entry(Plan.exponential, { ...ends, power: true }),
  beta: entry(Plan.beta, { ...ends, a: true, b: true, over: true })
} as const

/** One that takes no options. */
const always = <A>(value: A): Entry<A, [], {}> => entry<A, [], {}>(() => value, {})

/**
 * The weightings by name.
 *
 * @since 0.1.0
 * @category instances
 */
export const weightings = {
  simple: always(Weighting.simple),
  snr: always(Weighting.snr),
  "snr-plus-one": always(Weighting.snrPlusOne),
  "truncated-snr": always(Weighting.truncatedSnr),
  "min-snr": entry(Weighting.minSnr, { gamma: true }),
  "soft-min-snr": entry(Weighting.softMinSnr, { gamma: true }),
  p2: entry(Weighting.p2, { k: true, gamma: true }),
  sigmoid: entry(Weighting.sigmoid, { bias: true }),
  edm: entry(Weighting.edm, { deviation: true })
} as const

const normal = { mean: true, deviation: true } as const

/**
 * The densities of training times by name. For those that are `stratified` or `stepped`, see `TimeDensity`.
 *
 * @since 0.1.0
 * @category instances
 */
export const densities = {
  uniform: entry(TimeDensity.uniform, range),
  steps: always(TimeDensity.steps),
  "logit-normal": entry(TimeDensity.logitNormal, normal),
  mode: entry(TimeDensity.mode, { scale: true }),
  "cosine-map": always(TimeDensity.cosMap),
  "log-normal": entry(TimeDensity.logNormal, normal),
  "log-logistic": entry(TimeDensity.logLogistic, { ...range, mean: true, scale: true }),
  cosine: entry(TimeDensity.cosine, { ...range, deviation: true })
} as const

type Table = Readonly<Record<string, Entry<any, any, any>>>

/** What the maker of a name makes of these options; throws where either is not known. */
const made = (
  what: string,
  table: Table,
  name: string,
  given: ReadonlyArray<unknown>,
  options: object
): any => {
  const names = Object.keys(table)
  demand(
    names.includes(name),
    what,
    "options",
    `there is no "${name}"; ${Suggestion.sentence(name, names)}`
  )
  const { make, options: known } = table[name]
  for (const option of Object.keys(options)) {
    demand(
      known.includes(option),
      `${what} ${name}`,
      "options",
      known.length === 0
        ? `it takes no options, but was given "${option}"`
        : `there is no option "${option}"; ${Suggestion.sentence(option, known)}`
    )
  }
  return (make as (...all: ReadonlyArray<unknown>) => unknown)(...given, options)
}

/** The options of a name. */
type Options<T, N extends keyof T> = T[N] extends Entry<any, any, infer O> ? O : never

/**
 * The sampler of a name. Throws `DiffusionError` for a name, an option or a value that is not known, with the nearest that is.
 *
 * ```ts
 * const sampler = Named.sampler("ddim", { eta: 0.5 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const sampler = <N extends keyof typeof samplers>(
  name: N,
  options?: Options<typeof samplers, N>
): Sampler => made("sampler", samplers, name, [], options ?? {})

/**
 * The schedule of a name; as {@link sampler}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const schedule = <N extends keyof typeof schedules>(
  name: N,
  options?: Options<typeof schedules, N>
): ReturnType<(typeof schedules)[N]["make"]> => made("schedule", schedules, name, [], options ?? {})

/**
 * The plan of a name along a schedule; as {@link sampler}. Throws `DiffusionError` too where `spaced` is given a schedule without levels.
 *
 * ```ts
 * const plan = Named.plan("karras", Schedule.edm(), 18, { rho: 7 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const plan = <N extends keyof typeof plans>(
  name: N,
  schedule: Schedule.Schedule,
  count: number,
  options?: Options<typeof plans, N>
): Plan.Plan => made("plan", plans, name, [schedule, count], options ?? {})

/**
 * The weighting of a name; as {@link sampler}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const weighting = <N extends keyof typeof weightings>(
  name: N,
  options?: Options<typeof weightings, N>
): Weighting.Weighting => made("weighting", weightings, name, [], options ?? {})

/**
 * The density of times of a name; as {@link sampler}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const density = <N extends keyof typeof densities>(
  name: N,
  options?: Options<typeof densities, N>
): TimeDensity.TimeDensity => made("density of times", densities, name, [], options ?? {})
