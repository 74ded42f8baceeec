/**
 * Integration in steps known beforehand: of one size, or between prescribed times. On tensors one scan, or unrolled.
 *
 * @since 0.1.0
 */
import type { RepeatOptions, Stacked } from "./Carrier.ts"
import { ProblemError } from "./SolverError.ts"
import type { Step, Stepper } from "./Stepper.ts"

/**
 * Where steps begin and end: `count` steps of one size; steps of a `size` (the last one shorter if need be); or steps
 * between the `times` given. Time may run backwards; a size counts as positive.
 *
 * @since 0.1.0
 * @category models
 */
export type Grid =
  | { readonly from: number; readonly to: number; readonly count: number }
  | { readonly from: number; readonly to: number; readonly size: number }
  | { readonly times: ReadonlyArray<number> }

/**
 * A grid, taken apart.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  readonly times: ReadonlyArray<number>
  /** The size of all steps, where they have one. */
  readonly size: number | undefined
}

/**
 * The times of a grid. Throws `ProblemError` for times that are not finite or not in order, and for counts that are not
 * whole numbers above 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const plan = (grid: Grid): Plan => {
  const demand = (holds: boolean, message: string): void => {
    if (!holds) throw new ProblemError({ what: "Fixed.plan", message: `Fixed.plan: ${message}` })
  }
  if ("times" in grid) {
    const { times } = grid
    demand(times.length > 0, "there must be at least one time")
    demand(times.every(Number.isFinite), "every time must be finite")
    const forward = times[times.length - 1] > times[0]
    times.slice(1).forEach((time, i) => {
      demand(
        forward ? time > times[i] : time < times[i],
        `times must rise or fall strictly, but ${time} follows ${times[i]} (under \`at\`, leave out the ends of the interval)`
      )
    })
    return { times, size: undefined }
  }
  const { from, to } = grid
  // their times are listed
  const demandCount = (count: number): void =>
    demand(count < 2 ** 32, `${count} steps are too many: take larger ones, or a controller`)
  demand(Number.isFinite(from) && Number.isFinite(to), `cannot go from ${from} to ${to}`)
  if ("size" in grid) {
    demand(
      grid.size > 0 && grid.size < Number.POSITIVE_INFINITY,
      `the size of a step must be above 0 and finite, not ${grid.size}`
    )
    const whole = Math.abs(to - from) / grid.size
    demandCount(whole)
    const count = Math.max(1, Math.round(whole))
    if (Math.abs(whole - count) < 1e-9 * count) return plan({ from, to, count })
    const size = Math.sign(to - from) * grid.size
    const times = Array.from({ length: Math.ceil(whole) }, (_, i) => from + i * size)
    return { times: [...times, to], size: undefined }
  }
  const { count } = grid
  demand(
    Number.isInteger(count) && count > 0,
    `the number of steps must be a whole number above 0, not ${count}`
  )
  demandCount(count)
  if (from === to) return { times: [from], size: 0 }
  const size = (to - from) / count
  return {
    times: Array.from({ length: count + 1 }, (_, i) => (i === count ? to : from + i * size)),
    size
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<V, S, B, M, D, Y> extends RepeatOptions {
  /** What to keep of each step; nothing unless told. */
  readonly each?: (taken: {
    readonly t: S
    readonly h: S
    readonly before: V
    readonly step: Step<V, S, B, M, D>
  }) => Y
}

/**
 * Where the steps ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface End<V, S, B, M, Y> {
  readonly y: V
  readonly memory: M
  /** Whether every step's inner iteration converged; a plain yes for methods without one. */
  readonly converged: B
  /** Evaluations of the right-hand side. */
  readonly evaluations: S
  readonly steps: Stacked<Y>
}

/** Where an integration stands between two steps. */
export type Now<V, S, B, M> = Omit<End<V, S, B, M, unknown>, "steps">

/** Before the first step. */
export const begin = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  t: S,
  y: V
): Now<V, S, B, M> => {
  stepper.carrier.require?.(y)
  return {
    y,
    memory: stepper.start(t, y),
    converged: stepper.carrier.verdict(true),
    evaluations: stepper.carrier.scalar(stepper.evaluations.start)
  }
}

/** One step, and what is kept of it. */
export const advance = <V, S, B, M, D, Y>(
  { carrier, evaluations, ...stepper }: Stepper<V, S, B, M, D>,
  { t, h }: { readonly t: S; readonly h: S | number },
  now: Now<V, S, B, M>,
  each: Options<V, S, B, M, D, Y>["each"],
  step: Stepper<V, S, B, M, D>["step"] = stepper.step
): readonly [Now<V, S, B, M>, Y] => {
  const taken = step(t, h, now.y, now.memory)
  const size = typeof h === "number" ? carrier.scalar(h) : h
  return [
    {
      y: taken.y,
      memory: taken.memory,
      converged:
        taken.converged === undefined ? now.converged : carrier.and(now.converged, taken.converged),
      evaluations: carrier.add(
        now.evaluations,
        taken.evaluations ?? carrier.scalar(evaluations.step)
      )
    },
    (each?.({ t, h: size, before: now.y, step: taken }) ?? {}) as Y
  ]
}

type Nothing = Readonly<Record<string, never>>

/**
 * All steps of a grid.
 *
 * @since 0.1.0
 * @category steps
 */
export const run = <V, S, B, M, D, Y = Nothing>(
  stepper: Stepper<V, S, B, M, D>,
  y: V,
  grid: Grid,
  options: Options<V, S, B, M, D, Y> = {}
): End<V, S, B, M, Y> => {
  const { carrier, lead } = stepper
  const { times, size } = plan(grid)
  const rows = times
    .slice(1)
    .map((time, i) => (size === undefined ? [times[i], time - times[i]] : [times[i]]))
  const by =
    (step: Stepper<V, S, B, M, D>["step"]) =>
    (now: Now<V, S, B, M>, [t, h = size as never]: ReadonlyArray<S>) =>
      advance(stepper, { t, h }, now, options.each, step)
  const first = rows.slice(0, lead?.steps ?? 0)
  const [led, leading] = carrier.repeat(
    begin(stepper, carrier.scalar(times[0]), y),
    first,
    by(lead?.step ?? stepper.step),
    { ...options, unroll: true }
  )
  const [end, rest] = carrier.repeat(led, rows.slice(first.length), by(stepper.step), options)
  return { ...end, steps: carrier.append(leading, rest) }
}
