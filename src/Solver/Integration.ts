/**
 * Integration from one time to another, on the host or in a program.
 *
 * {@link solve} is for the host: an `Effect` that fails with what went wrong and how far it came. {@link run} is for programs:
 * a pure function of expressions that tells the same by a status code, without leaving the device.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RepeatOptions, Stacked } from "./Carrier.ts"
import type { Controller } from "./Controller.ts"
import { crosses, type Event, root, stateAt, type Taken } from "./Event.ts"
import {
  gridOf,
  isController,
  problem,
  requireBounds,
  requireSaves,
  requireTimes
} from "./internal/interval.ts"
import { runControlled, runFixed } from "./internal/run.ts"
import { failed, type Progress, reasons, remedies, walk } from "./internal/walk.ts"
import { ProblemError, SolverError, type Statistics } from "./SolverError.ts"
import type { Stepper } from "./Stepper.ts"

/**
 * How the interval is divided: as a controller finds fit; into `count` equal steps; into steps of one `size`, the last one
 * shorter if need be; or by the times given `at` which a step shall end, in order, without the interval's own ends.
 *
 * @since 0.1.0
 * @category models
 */
export type Steps =
  | Controller
  | { readonly count: number }
  | { readonly size: number }
  | { readonly at: ReadonlyArray<number> }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<V> {
  readonly from: number
  /** May lie before `from`: then time runs backwards. */
  readonly to: number
  readonly steps: Steps
  /**
   * The size of the first step, where a controller finds the others, above 0 whichever way time runs; found from the
   * derivative unless told.
   */
  readonly initialStep?: number
  /** Steps tried, accepted or not; 10,000 unless told. A bound for controllers only. */
  readonly maximumSteps?: number
  /** Which states to keep: the end alone (unless told), every step's, or those at given times, in the order of time. */
  readonly save?: "end" | "steps" | ReadonlyArray<number>
  readonly events?: ReadonlyArray<Event<V, number>>
}

/**
 * An event that happened.
 *
 * @since 0.1.0
 * @category models
 */
export interface Occurrence<V> {
  readonly name: string
  readonly t: number
  readonly y: V
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Solution<V> {
  /** The time reached: `to`, or that of the event which ended it. */
  readonly t: number
  readonly y: V
  /** Times and states that were asked for; with `"steps"` the start is the first of them. */
  readonly times: ReadonlyArray<number>
  readonly states: ReadonlyArray<V>
  readonly events: ReadonlyArray<Occurrence<V>>
  /** The name of the event that ended it. */
  readonly endedBy: string | undefined
  readonly statistics: Statistics
}

/**
 * A solution that can be asked for any time between its ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface DenseSolution<V> extends Solution<V> {
  /** The state at a time, by each step's own interpolant; throws `ProblemError` outside of the interval. */
  readonly at: (t: number) => V
}

/** The events within a step, in the order of time, up to the first that ends the integration. */
const eventsOf = <V>(
  stepper: Stepper<V, number, boolean>,
  events: ReadonlyArray<Event<V, number>>,
  values: ReadonlyArray<number>,
  taken: Taken<V, number, unknown>,
  after: ReadonlyArray<number>
) => {
  const found = events
    .flatMap((event, i) =>
      crosses(stepper.carrier, event.direction, values[i], after[i])
        ? [{ event, theta: root(stepper, event, taken, values[i]) }]
        : []
    )
    .sort((a, b) => a.theta - b.theta)
  const last = found.findIndex(({ event }) => event.terminal !== false)
  return (last < 0 ? found : found.slice(0, last + 1)).map(({ event, theta }) => ({
    event,
    occurrence: {
      name: event.name,
      t: taken.t + theta * taken.h,
      y: stateAt(stepper, taken, theta)
    }
  }))
}

interface Recorded<V> extends Solution<V> {
  readonly walked: ReadonlyArray<Taken<V, number, unknown>>
}

const record = <V>(
  given: Stepper<V, number, boolean>,
  y: V,
  options: Options<V>,
  keep: boolean
): Recorded<V> => {
  const { from, to, save = "end", events = [] } = options
  requireTimes(from, to)
  requireBounds(options)
  const wanted = typeof save === "string" ? [] : save
  requireSaves(wanted, from, to)
  const stepper = keep || wanted.length > 0 || events.length > 0 ? given.dense() : given
  const sign = to < from ? -1 : 1
  const times: Array<number> = []
  const states: Array<V> = []
  const put = (t: number, y: V) => {
    times.push(t)
    states.push(y)
  }
  const occurrences: Array<Occurrence<V>> = []
  const walked: Array<Taken<V, number, unknown>> = []
  let values = events.map(({ condition }) => condition(from, y))
  let now: Progress<V> = {
    t: from,
    y,
    statistics: { steps: 0, accepted: 0, rejected: 0, evaluations: 0 }
  }
  let endedBy: string | undefined
  if (save === "steps") put(from, y)
  while (wanted[times.length] === from) put(from, y)
  const steps = walk(stepper, y, options)
  for (let next = steps.next(); ; next = steps.next()) {
    if (next.done) {
      if (next.value !== undefined) throw failed(stepper.name, to, next.value)
      break
    }
    const { taken, ...progress } = next.value
    const after = events.map(({ condition }) => condition(progress.t, progress.y))
    const found = eventsOf(stepper, events, values, taken, after)
    const end = found.find(({ event }) => event.terminal !== false)
    occurrences.push(...found.map(({ occurrence }) => occurrence))
    now = end === undefined ? progress : { ...progress, ...end.occurrence }
    values = after
    for (let t = wanted[times.length]; sign * t <= sign * now.t; t = wanted[times.length]) {
      put(t, t === now.t ? now.y : stateAt(stepper, taken, (t - taken.t) / taken.h))
    }
    if (save === "steps") put(now.t, now.y)
    if (keep) walked.push(taken)
    if (end !== undefined) {
      endedBy = end.event.name
      break
    }
  }
  if (save === "end") put(now.t, now.y)
  return {
    t: now.t,
    y: now.y,
    times,
    states,
    events: occurrences,
    endedBy,
    statistics: now.statistics,
    walked
  }
}

/** Thrown problems and failures as typed ones. */
const attempt = <A>(f: () => A): Effect.Effect<A, SolverError | ProblemError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      if (error instanceof SolverError || error instanceof ProblemError) return Effect.fail(error)
      throw error
    }
  })

/**
 * Integrates on the host. Fails with `SolverError`, which tells the time and state reached, what it cost, and a remedy; and with
 * `ProblemError` for times or steps that make no sense, or a method without an error estimate under a controller.
 *
 * @example
 * ```ts
 * import { Carrier, Controller, Integration, Method, Tableau } from "odeon/Solver"
 *
 * const swing = Method.bind(Tableau.dopri5, Carrier.number, (t, y) => y * Math.cos(t))
 * const solution = Integration.solve(swing, 1, {
 *   from: 0,
 *   to: 10,
 *   steps: Controller.pi({ absolute: 1e-8, relative: 1e-8 }),
 *   save: [2, 4, 6, 8]
 * })
 * ```
 *
 * @since 0.1.0
 * @category integration
 */
export const solve = <V>(
  stepper: Stepper<V, number, boolean>,
  y: V,
  options: Options<V>
): Effect.Effect<Solution<V>, SolverError | ProblemError> =>
  attempt(() => {
    const { walked: _, ...solution } = record(stepper, y, options, false)
    return solution
  })

/**
 * As {@link solve}, and keeps every step's interpolant.
 *
 * @since 0.1.0
 * @category integration
 */
export const solveDense = <V>(
  stepper: Stepper<V, number, boolean>,
  y: V,
  options: Options<V>
): Effect.Effect<DenseSolution<V>, SolverError | ProblemError> =>
  attempt(() => {
    const { walked, ...solution } = record(stepper, y, options, true)
    const dense = stepper.dense()
    const { from } = options
    const sign = solution.t < from ? -1 : 1
    const at = (t: number): V => {
      if (!(sign * t >= sign * from && sign * t <= sign * solution.t)) {
        throw problem(`the solution lies between ${from} and ${solution.t}, not at ${t}`)
      }
      if (t === solution.t) return solution.y
      // the last step that began at or before t
      let low = 0
      let high = walked.length - 1
      while (low < high) {
        const middle = Math.ceil((low + high) / 2)
        if (sign * walked[middle].t <= sign * t) low = middle
        else high = middle - 1
      }
      return stateAt(dense, walked[low], (t - walked[low].t) / walked[low].h)
    }
    return { ...solution, at }
  })

/**
 * @since 0.1.0
 * @category models
 */
export interface RunOptions<V, S> extends RepeatOptions {
  /** Times may be expressions where a controller finds the steps. */
  readonly from: number | S
  readonly to: number | S
  readonly steps: Steps
  readonly initialStep?: number | S
  readonly maximumSteps?: number
  /** Which states to keep beside the end; `"steps"` for fixed steps only, without the start. */
  readonly save?: "end" | "steps" | ReadonlyArray<number>
  /** Ends the integration, of each system by itself; under a controller only. */
  readonly event?: Event<V, S>
}

/**
 * How an integration ended, in a program.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome<V, S> {
  readonly t: S
  readonly y: V
  /** One of `Adaptive.status`. */
  readonly status: S
  readonly accepted: S
  readonly rejected: S
  /** Evaluations of the right-hand side. */
  readonly evaluations: S
  /** The states asked for, along a new first axis; NaN at times that were not reached. */
  readonly saved: Stacked<V>
}

/**
 * Integrates on any carrier, as a pure function: on tensors one loop in the program. It does not fail: look at the `status`,
 * on the host after the program has run (see {@link verify}).
 *
 * @since 0.1.0
 * @category integration
 */
export const run = <V, S, B>(
  stepper: Stepper<V, S, B>,
  y: V,
  options: RunOptions<V, S>
): Outcome<V, S> => {
  const { from, to, steps, save } = options
  requireBounds(options)
  if (typeof from === "number" && typeof to === "number") {
    requireTimes(from, to)
    if (Array.isArray(save)) requireSaves(save, from, to)
  }
  if (options.event?.terminal === false) {
    throw problem(
      "an event in a program ends the integration of its system: watch others with `solve` on the host, or save states"
    )
  }
  if (isController(steps)) return runControlled(stepper, y, options, steps)
  if (typeof from !== "number" || typeof to !== "number") {
    throw problem("steps of known sizes need times that are plain numbers")
  }
  if (options.event !== undefined) {
    throw problem("events need steps under a controller, or `solve` on the host")
  }
  return runFixed(stepper, y, options, gridOf(steps, from, to))
}

/** What would help a program, which does not tell which tolerances it had, nor what it integrated. */
const remedyOf = (reason: SolverError["reason"], epsilon: number | undefined): string =>
  reason === "NonFinite"
    ? `${remedies[reason]}; of a stochastic equation look whether its Brownian path lies over all times that are integrated`
    : epsilon !== undefined && (reason === "MaximumSteps" || reason === "MinimumStep")
      ? `${remedies[reason]}; a relative tolerance should be well above ${epsilon}, the rounding of these numbers`
      : remedies[reason]

/** What is left of an array that came back from a device: its numbers. */
interface Numbers {
  readonly data: ArrayLike<number | bigint>
}

/**
 * What a program's outcome says, once its numbers are on the host: fails with `SolverError` for the first system that did not
 * arrive (an event counts as arriving).
 *
 * @since 0.1.0
 * @category integration
 */
export const verify = (
  { name, carrier }: { readonly name: string; readonly carrier?: { readonly epsilon: number } },
  to: number,
  outcome: { readonly [K in Exclude<keyof Outcome<unknown, unknown>, "y" | "saved">]: Numbers } & {
    readonly y: unknown
  }
): Effect.Effect<void, SolverError> => {
  const at = (numbers: Numbers, i: number) => Number(numbers.data[i])
  for (let i = 0; i < outcome.status.data.length; i++) {
    const reason = reasons[at(outcome.status, i)]
    if (reason === undefined) continue
    const [accepted, rejected, evaluations] = [
      outcome.accepted,
      outcome.rejected,
      outcome.evaluations
    ].map((each) => at(each, i))
    return Effect.fail(
      failed(name, to, {
        reason,
        t: at(outcome.t, i),
        y: outcome.y,
        statistics: { steps: accepted + rejected, accepted, rejected, evaluations },
        stage: undefined,
        remedy: remedyOf(reason, carrier?.epsilon)
      })
    )
  }
  return Effect.void
}
