/**
 * Any Runge–Kutta method as a sampler, through the ODE of the probability flow. For a state x = αx₀ + σε along a variable u, with the
 * estimate x̂₀ of the data and ε̂ = (x − αx̂₀)/σ,
 *
 *     dx/du = α′(u)·x̂₀ + σ′(u)·ε̂
 *
 * takes noise to data (Song et al. 2021, arXiv:2011.13456, equation 13; Karras et al. 2022, arXiv:2206.00364, equation 4).
 *
 * | the variable is | with              | so the equation is                                                |
 * | --------------- | ----------------- | ----------------------------------------------------------------- |
 * | `time`          | schedule's α, σ   | as above: with f = α′/α and g² = 2σσ′ − 2fσ², fx − ½g²∇log p(x)   |
 * | `sigma`         | α = 1, u = σ/α    | d(x/α)/du = ε̂                                                     |
 * | `logSnr`        | α = 1, u = log α²/σ² | d(x/α)/du = −½(σ/α)·ε̂                                          |
 *
 * The end point is the same in all of them, within the method's error. {@link make} takes the steps of a plan; {@link adaptive} finds its
 * own.
 *
 * @since 0.1.0
 */
import { Carrier, Controller, Integration, Method, type Stepper, Tableau } from "../Solver/index.ts"
import { Tensor } from "../Tensor/index.ts"
import { combine, type Denoiser, type Level, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"
import * as flow from "./internal/flow.ts"
import type * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"
import type { Schedule } from "./Schedule.ts"

/**
 * What is integrated over: the time of a schedule, noise over signal σ/α, or log-SNR.
 *
 * @since 0.1.0
 * @category models
 */
export type Variable = flow.Variable

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `Tableau.heun` unless told; any of `Tableau`, or one's own from `Tableau.make`. */
  readonly method?: Tableau.Tableau
  /** `sigma` unless told. */
  readonly variable?: Variable
  /** Of which `time` is the time. */
  readonly schedule?: Schedule
}

/** The stages that the result of a step depends on, each by those before; so not what only an error estimate needs. */
const needed = ({ a, b }: Tableau.Tableau): ReadonlyArray<number> => {
  const used = b.map((weight) => weight !== 0)
  for (let i = b.length - 1; i > 0; i--) {
    if (used[i]) a[i - 1].forEach((weight, j) => (used[j] ||= weight !== 0))
  }
  return b.flatMap((_, i) => (used[i] || i === 0 ? [i] : []))
}

/**
 * A tableau as a sampler: stage i of a step from u to u + h asks the denoiser at the level of u + cᵢh, between two of the plan. Stages
 * that only an error estimate needs are left out, so a method whose last stage is the next step's first asks once for both.
 *
 * A step to a level without noise is one evaluation, x = αx̂₀, where the method would have to ask at that level itself or has no place
 * for it (log-SNR is infinite there): so does Algorithm 1 of Karras et al. 2022, and it is what Euler's method does in σ/α.
 *
 * Throws `DiffusionError` where a level of the plan has no place: one without signal in `sigma` and `logSnr`, one beyond the schedule's
 * ends in `time`.
 *
 * ```ts
 * const sampler = Ode.make({ method: Tableau.rk4, variable: "logSnr" })
 * const images = Sampler.sample({ sampler, plan, denoiser }, x).x
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options = {}): Sampler.Sampler => {
  const { method = Tableau.heun, variable = "sigma", schedule } = options
  const what = `${method.name} in ${variable}`
  flow.requireSchedule(what, variable, schedule)
  const { a, b, c } = method
  const stages = needed(method)
  return Sampler.linear(what, (plan) =>
    plan.levels.slice(1).flatMap((to, i): ReadonlyArray<Sampler.Row> => {
      const from = plan.levels[i]
      const u = flow.requirePlace(what, variable, schedule, from)
      const end = flow.placeOf(variable, schedule, to)
      const at = (place: number) => flow.point(field.host, variable, schedule, place)
      if (
        to.sigma === 0 &&
        (!Number.isFinite(end) || stages.some((stage) => c[stage] === 1) || at(end).sigma !== 0)
      ) {
        return [{ level: from, next: { x: { data: to.alpha } } }]
      }
      flow.requirePlace(what, variable, schedule, to)
      const h = end - u
      const [start, grown] = [at(u), flow.growth(at(end), to)]
      /** The place of a stage, u + ch; at both ends as the plan has it. */
      const placed = (stage: number) => (c[stage] === 1 ? end : u + c[stage] * h)
      const points = stages.map((stage) => at(placed(stage)))
      const one = stages.length === 1
      return stages.map((stage, k): Sampler.Row => {
        const { rate, ...mixture } = points[k]
        const slope = { data: rate.alpha, slope: rate.sigma }
        const next = stages[k + 1]
        const weights = next === undefined ? b : a[next - 1]
        // of the stages before, and of this one
        const sum = Object.fromEntries(
          [
            [k === 0 ? "x" : "start", flow.growth(from, start)],
            ...stages.slice(0, k).map((j) => [`k${j}`, h * weights[j]] as const),
            ...Object.entries(slope).map(
              ([name, each]) => [name, h * weights[stage] * each] as const
            )
          ].filter(([, each]) => each !== 0)
        ) as Sampler.Sum
        const scale = next === undefined ? grown : 1
        const later = [...stages.slice(k + 2).map((s) => a[s - 1]), b].some(
          (row) => row[stage] !== 0
        )
        return {
          level:
            k === 0
              ? from
              : {
                  timestep: flow.timestepOf(variable, schedule, plan, placed(stage)),
                  ...mixture
                },
          next: {
            x: Object.fromEntries(Object.entries(sum).map(([name, each]) => [name, scale * each])),
            ...(k === 0 && !one ? { start: { x: 1 } } : {}),
            ...(next !== undefined && later ? { [`k${stage}`]: slope } : {})
          }
        }
      })
    })
  )
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AdaptiveOptions {
  readonly denoiser: Denoiser
  /** Of which only the ends matter: from the first level to the last. */
  readonly plan: Plan.Plan
  /** Of the network: it tells the timesteps in between. */
  readonly schedule: Schedule
  /** One that estimates its error; `Tableau.dopri5` unless told. */
  readonly method?: Method.Any
  /** `logSnr` unless told. */
  readonly variable?: Variable
  /** `Controller.pi({ absolute: 1e-3, relative: 1e-3 })` unless told. */
  readonly steps?: Integration.Steps
  /** Steps tried, accepted or not; 10,000 unless told. */
  readonly maximumSteps?: number
}

/**
 * A state, and for each item of the batch how its integration ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface Solution {
  readonly x: State
  /** `[batch]`: one of `Adaptive.status`; all is well where it is `done`. */
  readonly status: State
  readonly accepted: State
  readonly rejected: State
  /** How often the denoiser was asked. */
  readonly evaluations: State
}

/**
 * From the first level of a plan to its last along the probability flow, in steps that a controller finds while the program runs, for
 * each item of the batch by itself. To a last level without noise it takes one evaluation more, x = αx̂₀, from the level before. Where an
 * item did not arrive its state is that which it reached: look at the status, with `Integration.verify` on the host.
 *
 * `x` is `[batch, …]`, in the coordinates of the plan's first level. Throws `DiffusionError` as {@link make} does, and `ProblemError` for a
 * method without an error estimate.
 *
 * ```ts
 * const { x, status } = Ode.adaptive({ denoiser, schedule, plan }, noise)
 * ```
 *
 * @since 0.1.0
 * @category sampling
 */
export const adaptive = (options: AdaptiveOptions, x: State): Solution => {
  const { denoiser, plan, schedule, method = Tableau.dopri5, variable = "logSnr" } = options
  const what = "Ode.adaptive"
  flow.requireSchedule(what, variable, schedule)
  const { first, last, clean } = flow.stretch(plan)
  const [from, to] = [first, last].map((each) => flow.requirePlace(what, variable, schedule, each))
  const [start, end] = [from, to].map((u) => flow.point(field.host, variable, schedule, u))
  demand(
    denoiser.withoutSignal || first.alpha > 0,
    what,
    "prediction",
    "the plan begins without signal, where nothing is learnt from predicted noise: let the network predict data, v or flow, or begin later"
  )
  const stepper = Method.bind(
    method,
    Carrier.tensor<State>({ dtype: x.dtype, systems: x.shape[0] }),
    flow.rightHandSide(denoiser, variable, schedule) as Stepper.RightHandSide<State, Tensor.Any>
  )
  const { steps = Controller.pi({ absolute: 1e-3, relative: 1e-3 }), maximumSteps } = options
  const { y, status, accepted, rejected, evaluations } = Integration.run(
    stepper,
    combine([flow.growth(first, start), x]),
    { from, to, steps, ...(maximumSteps === undefined ? {} : { maximumSteps }) }
  )
  const left = combine([flow.growth(end, last), y])
  const reached = { status, accepted, rejected, evaluations } as Omit<Solution, "x">
  if (clean === undefined) return { x: left, ...reached }
  const scalar = (value: number) => Tensor.scalar(value, x.dtype) as State
  const level: Level = {
    timestep: scalar(last.timestep),
    alpha: scalar(last.alpha),
    sigma: scalar(last.sigma)
  }
  return {
    ...reached,
    x: combine([clean.alpha, denoiser.estimate(left, level).data]),
    evaluations: Tensor.add(reached.evaluations, 1) as State
  }
}
