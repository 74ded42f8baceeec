/**
 * What integration on the host and in programs share: the interval, how it is divided, the first step.
 */
import * as Adaptive from "../Adaptive.ts"
import type { Controller } from "../Controller.ts"
import type * as Fixed from "../Fixed.ts"
import type { Steps } from "../Integration.ts"
import { ProblemError } from "../SolverError.ts"
import type { Stepper } from "../Stepper.ts"

/** Throws `ProblemError` for what are no steps at all. */
export const isController = (steps: Steps): steps is Controller => {
  const given: unknown = steps
  if (typeof given !== "object" || given === null) {
    throw problem(
      `steps must be a controller, such as Controller.pi({ absolute: 1e-6, relative: 1e-3 }), or { count }, { size } or { at }, not ${given}`
    )
  }
  if ("safety" in given) return true
  if ("absolute" in given || "relative" in given) {
    throw problem(
      "tolerances alone are no steps: wrap tolerances in Controller.pi, as Controller.pi({ absolute, relative })"
    )
  }
  if (!("count" in given || "size" in given || "at" in given)) {
    throw problem(
      `steps must have a count, a size, or times at which they end (at), or be a controller, but have ${Object.keys(given).join(", ") || "nothing"}`
    )
  }
  return false
}

export const problem = (message: string): ProblemError =>
  new ProblemError({ what: "Integration", message: `Integration: ${message}` })

/** The grid of fixed steps. */
export const gridOf = (steps: Exclude<Steps, Controller>, from: number, to: number): Fixed.Grid =>
  "at" in steps && from !== to
    ? { times: [from, ...steps.at, to] }
    : { from, to, ...("at" in steps ? { count: 1 } : steps) }

export const requireTimes = (from: number, to: number): void => {
  if (!Number.isFinite(from) || !Number.isFinite(to)) {
    throw problem(`cannot go from ${from} to ${to}: both times must be finite`)
  }
}

/** Bounds of steps under a controller, as far as they are plain numbers. */
export const requireBounds = ({
  initialStep,
  maximumSteps
}: {
  readonly initialStep?: unknown
  readonly maximumSteps?: number
}): void => {
  if (typeof initialStep === "number" && !(initialStep > 0 && Number.isFinite(initialStep))) {
    throw problem(
      `the first step's size must be above 0 and finite, not ${initialStep}: it counts as positive whichever way time runs`
    )
  }
  if (maximumSteps !== undefined && !(maximumSteps >= 1)) {
    throw problem(`maximumSteps must be at least 1, not ${maximumSteps}`)
  }
}

export const requireSaves = (times: ReadonlyArray<number>, from: number, to: number): void => {
  times.forEach((time, i) => {
    if (!between(from, time, to)) {
      throw problem(`cannot save at ${time}, which is not between ${from} and ${to}`)
    }
    if (i > 0 && !between(times[i - 1], time, to)) {
      throw problem(
        `times to save at must be in the order of time, but ${time} follows ${times[i - 1]}`
      )
    }
  })
}

/** The first step's size, and the evaluations that finding it took. */
export const firstStep = <V, S, B>(
  stepper: Stepper<V, S, B>,
  y: V,
  options: {
    readonly from: S
    readonly to: S
    readonly controller: Controller
    readonly initialStep?: S
  }
): { readonly h: S; readonly extra: number } => {
  stepper.carrier.require?.(y)
  if (options.initialStep !== undefined) return { h: options.initialStep, extra: 0 }
  const { derivative, carrier, name, errorOrder } = stepper
  // such a method is refused before its first step: for want of an estimate, which no first step would mend
  if (errorOrder === undefined) return { h: carrier.scalar(0), extra: 0 }
  if (derivative === undefined) {
    throw problem(`${name} does not know the derivative, so say the first step's size: initialStep`)
  }
  return { h: Adaptive.initialStep(carrier, derivative, y, options, errorOrder), extra: 2 }
}

/** A scalar that may be a plain number. */
export const scalarOf = <V, S, B>({ carrier }: Stepper<V, S, B>, value: number | S): S =>
  typeof value === "number" ? carrier.scalar(value) : value

/** Whether a time lies on the way from one to another, ends included. */
export const between = (from: number, t: number, to: number): boolean =>
  (from <= t && t <= to) || (from >= t && t >= to)
