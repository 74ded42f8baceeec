/**
 * Samplers: from noise to data along a plan.
 *
 * A sampler turns a plan into {@link Steps}: for each evaluation of the denoiser the level at which it is asked, and a pure function
 * from what there is to what comes next. All numbers that depend on the plan alone are found before anything runs, in double precision.
 *
 * Most samplers are linear: what they carry (the state and a few registers beside it) becomes a sum of itself, the estimates of data and
 * noise, and fresh noise. {@link linear} makes such a sampler of its coefficients, so that its file holds the paper's formulas and
 * nothing else.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import { type DType, type Shape, Tensor } from "../Tensor/index.ts"
import { combine, type Denoiser, type Estimate, type Level, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import type { Noise } from "./Noise.ts"
import type * as Plan from "./Plan.ts"
import type { Mixture } from "./Schedule.ts"

/**
 * What a sampler carries from evaluation to evaluation: `x`, where the denoiser is asked next, and other states by name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Registers {
  readonly x: State
  readonly [name: string]: State
}

/**
 * A sampler bound to a plan.
 *
 * @since 0.1.0
 * @category models
 */
export interface Steps {
  /** The level of each evaluation, at which register `x` is then. */
  readonly levels: ReadonlyArray<Plan.Level>
  /** Numbers for each evaluation, as columns by name. */
  readonly columns: Readonly<Record<string, ReadonlyArray<number>>>
  /** Registers beside `x`; they begin as zeros. */
  readonly registers: ReadonlyArray<string>
  /** Whether fresh noise is used. */
  readonly stochastic: boolean
  /** Where the denoiser is asked, if that is not `x` as it was left: noise can be added first. It is `x` from then on. */
  readonly before?: (given: {
    readonly registers: Registers
    readonly row: Readonly<Record<string, State>>
    readonly noise: State
  }) => State
  /** What comes after an evaluation. `row` has the columns' numbers as scalars. */
  readonly step: (given: {
    readonly registers: Registers
    readonly row: Readonly<Record<string, State>>
    readonly level: Level
    readonly estimate: Estimate
    /** Asks the denoiser again; most samplers do not. */
    readonly again: (x: State, level: Level) => Estimate
    readonly noise: State
  }) => Registers
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Sampler {
  readonly name: string
  readonly steps: (plan: Plan.Plan) => Steps
}

/**
 * Coefficients of a sum over registers by name, `data` (x₀), `noise` (ε as predicted), `slope` (ε as (x − αx₀)/σ, from whatever x₀ was
 * clipped to) and `fresh` (standard normal noise).
 *
 * @since 0.1.0
 * @category models
 */
export type Sum = Readonly<Record<string, number>>

/**
 * One evaluation of a linear sampler: where it takes place, and what becomes of the registers; those not named stay. There is one draw of
 * fresh noise for each row, which either `before` or `next` may use.
 *
 * @since 0.1.0
 * @category models
 */
export interface Row {
  readonly level: Plan.Level
  /** What `x` becomes before the denoiser is asked of it, from registers and `fresh`; itself unless told. */
  readonly before?: Sum
  readonly next: { readonly x: Sum; readonly [register: string]: Sum }
}

const sources = ["data", "noise", "slope", "fresh"] as const

/**
 * A sampler from the coefficients of its sums. `rows` gets the plan's levels.
 *
 * ```ts
 * // Euler's method for dx/dσ = ε, where α = 1
 * const euler = Sampler.linear("Euler", ({ levels }) =>
 *   levels.slice(0, -1).map((level, i) => ({
 *     level,
 *     next: { x: { x: 1, slope: levels[i + 1].sigma - level.sigma } }
 *   }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const linear = (name: string, rows: (plan: Plan.Plan) => ReadonlyArray<Row>): Sampler => ({
  name,
  steps: (plan) => {
    const all = rows(plan)
    const registers = [...new Set(all.flatMap(({ next }) => Object.keys(next)))]
    const sums = all.flatMap(({ before, next }) => [before ?? {}, ...Object.values(next)])
    const used = [...new Set(sums.flatMap(Object.keys))]
    const unknown = used.find(
      (each) => each !== "x" && !registers.includes(each) && !sources.includes(each as never)
    )
    demand(
      unknown === undefined,
      name,
      "sampler",
      `"${unknown}" is neither a register nor a source`
    )
    // coefficient of a source in what becomes of a register, for all rows; registers that a row does not name stay
    const column = (to: string, from: string) =>
      all.map(({ next }) =>
        next[to] === undefined ? (to === from ? 1 : 0) : (next[to][from] ?? 0)
      )
    const pairsOf = (to: string, column: (from: string) => ReadonlyArray<number>) =>
      [...registers, ...sources].flatMap((from) => {
        const values = column(from)
        return values.every((each) => each === 0) ? [] : [{ to, from, values }]
      })
    const asked = all.every(({ before }) => before === undefined)
      ? []
      : pairsOf("x before", (from) =>
          all.map(({ before = { x: 1 } }) => (before as Sum)[from] ?? 0)
        )
    const after = registers.flatMap((to) => pairsOf(to, (from) => column(to, from)))
    const pairs = [...asked, ...after]
    pairs.forEach(({ to, from, values }) => {
      const i = values.findIndex((each) => !Number.isFinite(each))
      demand(
        i < 0,
        name,
        "sampler",
        `step ${i} would take ${values[i]} times ${from} for ${to}: ${
          plan.levels[0].alpha === 0
            ? "this sampler cannot begin without signal; begin at the next level, by `Plan.from(plan, { index: 1 })`, or take one that can, such as Ddim or Euler"
            : `this sampler cannot go from the noise of ${all[i]?.level.sigma} and the signal of ${all[i]?.level.alpha}`
        }`
      )
    })
    // what is the same for all rows need not be read from them
    const varies = (values: ReadonlyArray<number>) => values.some((each) => each !== values[0])
    const key = (to: string, from: string) => `${from} in ${to}`
    type Pair = (typeof pairs)[number]
    const term =
      (row: Readonly<Record<string, State>>, read: (from: string) => State) =>
      ({ to, from, values }: Pair) =>
        [varies(values) ? row[key(to, from)] : values[0], read(from)] as const
    return {
      levels: all.map(({ level }) => level),
      columns: Object.fromEntries(
        pairs
          .filter(({ values }) => varies(values))
          .map(({ to, from, values }) => [key(to, from), values])
      ),
      registers: registers.filter((each) => each !== "x"),
      stochastic: pairs.some(({ from }) => from === "fresh"),
      ...(asked.length === 0
        ? {}
        : {
            before: ({ registers: now, row, noise }) =>
              combine(...asked.map(term(row, (from) => now[from] ?? noise)))
          }),
      step: ({ registers: now, row, level, estimate, noise }) => {
        const { alpha, sigma } = level
        const source: Record<string, () => State> = {
          data: () => estimate.data,
          noise: () => estimate.noise,
          slope: () => slopeOf(now.x, estimate.data, alpha, sigma),
          fresh: () => noise
        }
        const own = term(row, (from) => now[from] ?? source[from]())
        return Object.fromEntries(
          registers.map((to) => {
            const terms = after.filter((pair) => pair.to === to).map(own)
            return [to, terms.length === 0 ? (Tensor.zerosLike(now.x) as State) : combine(...terms)]
          })
        ) as unknown as Registers
      }
    }
  }
})

/** (x − αx₀)/σ. */
const slopeOf = (x: State, data: State, alpha: State, sigma: State): State =>
  Tensor.div(Tensor.sub(x, combine([alpha, data])), sigma) as State

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly sampler: Sampler
  readonly plan: Plan.Plan
  readonly denoiser: Denoiser
  /** Needed where the sampler is stochastic. */
  readonly noise?: Noise
}

/**
 * A sampler, a plan and a denoiser as what a loop needs: numbers for each step, and a function from state to state. For a device's
 * `fold`, where each step's row comes from outside; {@link sample} is the same in one expression.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bound {
  /** How many steps the loop has; each asks the denoiser at least once. */
  readonly count: number
  /** The level at which each of them asks. */
  readonly levels: ReadonlyArray<Plan.Level>
  /** The numbers of all steps, by name, with the steps along the first axis. */
  readonly rows: Readonly<Record<string, Tensor.HostArray<readonly [number], DType.Float>>>
  /** What the loop begins with, from a state at the plan's first level. */
  readonly begin: (x: State) => Registers
  /** One step: what is carried, and the estimate that it was made of. */
  readonly step: (
    registers: Registers,
    row: Readonly<Record<string, State>>
  ) => readonly [Registers, Estimate]
}

/**
 * Binds a sampler to a plan and a denoiser. Throws `DiffusionError` for a plan that begins without signal where the denoiser cannot tell
 * anything then, for a sampler that cannot go along the plan, and for a stochastic sampler without noise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bind = (
  { sampler, plan, denoiser, noise }: Options,
  dtype: "float32" | "float64" = "float32"
): Bound => {
  const { levels, columns, registers, stochastic, before, step } = sampler.steps(plan)
  demand(
    !stochastic || noise !== undefined,
    sampler.name,
    "options",
    "this sampler draws noise: give it some, such as Noise.normal(key)"
  )
  demand(
    denoiser.withoutSignal || levels.every(({ alpha }) => alpha > 0),
    sampler.name,
    "prediction",
    "the plan has a level without signal, where nothing is learnt from predicted noise: let the network predict data, v or flow, and follow no likelihood there, or leave that level out, by `Plan.from(plan, { index: 1 })`"
  )
  demand(
    denoiser.withoutNoise !== false || levels.every(({ sigma }) => sigma > 0),
    sampler.name,
    "prediction",
    "it is asked for noise at a level that has none: let the network predict noise, v or flow, or let the plan end at the schedule's `first` level"
  )
  const column = (values: ReadonlyArray<number>) =>
    Tensor.hostArray(values, { shape: [values.length], dtype }) as Tensor.HostArray<
      readonly [number],
      DType.Float
    >
  return {
    count: levels.length,
    levels,
    rows: Object.fromEntries(
      Object.entries({
        index: levels.map((_, i) => i),
        timestep: levels.map((each) => each.timestep),
        alpha: levels.map((each) => each.alpha),
        sigma: levels.map((each) => each.sigma),
        ...columns
      }).map(([name, values]) => [name, column(values)])
    ),
    begin: (x) => ({
      x,
      ...Object.fromEntries(registers.map((name) => [name, Tensor.zerosLike(x) as State]))
    }),
    step: (left, row) => {
      const { timestep, alpha, sigma } = row
      const level = { timestep, alpha, sigma }
      const fresh =
        stochastic && noise !== undefined
          ? noise(Tensor.cast(row.index, "int32"), left.x)
          : (Tensor.zerosLike(left.x) as State)
      const now =
        before === undefined ? left : { ...left, x: before({ registers: left, row, noise: fresh }) }
      const estimate = denoiser.estimate(now.x, level)
      const next = step({
        registers: now,
        row,
        level,
        estimate,
        again: denoiser.estimate,
        noise: fresh
      })
      return [next, estimate]
    }
  }
}

/**
 * How far the state at the first level of a plan spreads, for data of mean 0 and deviation 1: √(α² + σ²). What initial noise is
 * multiplied with.
 *
 * @since 0.1.0
 * @category getters
 */
export const deviation = ({ levels: [{ alpha, sigma }] }: Plan.Plan): number =>
  Math.hypot(alpha, sigma)

/**
 * @since 0.1.0
 * @category models
 */
export interface Sample {
  /** The state at the plan's last level. */
  readonly x: State
  /** The states after each step, along a first axis; only where they were asked for. */
  readonly states: State | undefined
}

/**
 * Goes along the whole plan, in one expression: a scan over its steps. `x` is the state at the plan's first level.
 *
 * ```ts
 * const plan = Plan.spaced(Schedule.linear(), 50)
 * const x = Tensor.mul(Noise.initial(key, [16, 3, 32, 32]), Sampler.deviation(plan))
 * const images = Sampler.sample({ sampler: Ddim.make(), plan, denoiser }, x).x
 * ```
 *
 * @since 0.1.0
 * @category sampling
 */
export const sample = (options: Options & { readonly states?: boolean }, x: State): Sample => {
  const { rows, begin, step } = bind(options, x.dtype === "float64" ? "float64" : "float32")
  const [end, states] = Tensor.scan({
    init: begin(x),
    over: Object.fromEntries(
      Object.entries(rows).map(([name, values]) => [name, Tensor.constant(values)])
    ) as Record<string, Tensor.Tensor<readonly [number], DType.Float>>,
    step: (now: Registers, row) => {
      const [next] = step(now, row as unknown as Readonly<Record<string, State>>)
      return [next, options.states ? next.x : []] as never
    }
  }) as unknown as readonly [Registers, State]
  return { x: end.x, states: options.states ? states : undefined }
}

/**
 * Where each item of a batch stopped.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stopped {
  /** The state after the last evaluation of each item. */
  readonly x: State
  /** The estimate of the data that it was made of. */
  readonly data: State
  /** How many evaluations each item took, `[batch]`. */
  readonly evaluations: Tensor.Tensor<readonly [number], "int32">
}

/**
 * As {@link sample}, but an item stays as it is once `stop` says so of it, and the loop ends with the last one: it is decided while the
 * program runs. After each evaluation `stop` gets the estimate, the state that it led to and the evaluation's index from 0, and gives
 * verdicts for each item, `[batch]`, or one for all, `[]`. Other than a scan it cannot be differentiated.
 *
 * ```ts
 * // until the estimate is sure of itself
 * const { x, evaluations } = Sampler.sampleUntil(
 *   { sampler, plan, denoiser, stop: ({ data }) => Tensor.less(spread(data), 0.01) },
 *   noise
 * )
 * ```
 *
 * @since 0.1.0
 * @category sampling
 */
export const sampleUntil = (
  options: Options & {
    readonly stop: (
      estimate: Estimate,
      x: State,
      index: Tensor.Tensor<readonly [], "int32">
    ) => Tensor.Tensor<Shape.Shape, "bool">
  },
  x: State
): Stopped => {
  const { count, rows, begin, step } = bind(options, x.dtype === "float64" ? "float64" : "float32")
  const batch = [x.shape[0]] as const
  interface Now {
    readonly registers: Registers
    readonly data: State
    readonly index: Tensor.Tensor<readonly [], "int32">
    readonly going: Tensor.Tensor<readonly [number], "bool">
    readonly evaluations: Tensor.Tensor<readonly [number], "int32">
  }
  const init: Now = {
    registers: begin(x),
    data: Tensor.zerosLike(x) as State,
    index: Tensor.scalar(0, "int32"),
    going: Tensor.cast(Tensor.ones(batch, "int32"), "bool"),
    evaluations: Tensor.zeros(batch, "int32")
  }
  const body = (now: Now): Now => {
    const row = Object.fromEntries(
      Object.entries(rows).map(([name, values]) => [
        name,
        Tensor.take(Tensor.constant(values) as State, now.index) as State
      ])
    )
    const [next, estimate] = step(now.registers, row)
    const chosen = (after: State, before: State): State =>
      Tensor.select(
        Tensor.reshape(now.going, [batch[0], ...after.shape.slice(1).map(() => 1)]),
        after,
        before
      ) as State
    const stop = Tensor.broadcastTo(options.stop(estimate, next.x, now.index), batch)
    return {
      registers: Object.fromEntries(
        Object.entries(next).map(([name, each]) => [name, chosen(each, now.registers[name])])
      ) as unknown as Registers,
      data: chosen(estimate.data, now.data),
      index: Tensor.add(now.index, 1),
      going: Tensor.and(now.going, Tensor.not(stop)) as Now["going"],
      evaluations: Tensor.add(
        now.evaluations,
        Tensor.cast(now.going, "int32")
      ) as Now["evaluations"]
    }
  }
  const { registers, data, evaluations } = Tensor.whileLoop({
    init,
    condition: ({ index, going }) =>
      Tensor.and(Tensor.less(index, count), Tensor.any(going)) as Tensor.Tensor<
        readonly [],
        "bool"
      >,
    body: body as never
  }) as unknown as Now
  return { x: registers.x, data, evaluations }
}

/**
 * x = αx₀ + σε: data at a level of noise, where sampling shall begin from it (SDEdit: Meng et al. 2021, arXiv:2108.01073). The level's
 * numbers may be tensors, one for each item.
 *
 * ```ts
 * const later = Plan.from(plan, { strength: 0.6 })
 * const start = Sampler.noised(images, later.levels[0], Noise.initial(key, images.shape))
 * const edited = Sampler.sample({ sampler, plan: later, denoiser }, start).x
 * ```
 *
 * @since 0.1.0
 * @category draws
 */
export const noised = (
  data: State,
  { alpha, sigma }: Mixture<number> | Mixture<State>,
  noise: State
): State => combine([alpha, data], [sigma, noise])

/**
 * A state at one level as one at a noisier level, by the forward process: x_t = (α_t/α_s)·x_s + √(σ_t² − (α_t/α_s)²σ_s²)·ε, which with
 * independent ε composes. Throws `DiffusionError` where the second level is not noisier.
 *
 * @since 0.1.0
 * @category draws
 */
export const renoised = (
  x: State,
  from: Mixture<number>,
  to: Mixture<number>,
  noise: State
): State => {
  demand(
    from.alpha * to.sigma >= to.alpha * from.sigma && from.alpha > 0,
    "Sampler.renoised",
    "options",
    `the noise of ${to.sigma} beside a signal of ${to.alpha} is not more than ${from.sigma} beside ${from.alpha}: the forward process only adds noise`
  )
  const ratio = to.alpha / from.alpha
  return combine(
    [ratio, x],
    [Math.sqrt(Math.max(0, to.sigma ** 2 - (ratio * from.sigma) ** 2)), noise]
  )
}

/**
 * The sampler of a pipeline.
 *
 * @since 0.1.0
 * @category services
 */
export class Current extends Context.Service<Current, Sampler>()("odeon/Sampler") {}

/**
 * @since 0.1.0
 * @category services
 */
export const layer = (sampler: Sampler): EffectLayer.Layer<Current> =>
  EffectLayer.succeed(Current, sampler)
