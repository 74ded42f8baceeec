/**
 * Integration on the host, step by step.
 */
import * as Adaptive from "../Adaptive.ts"
import { errorNorm } from "../Carrier.ts"
import type { Controller } from "../Controller.ts"
import type { Taken } from "../Event.ts"
import * as Fixed from "../Fixed.ts"
import type { Options } from "../Integration.ts"
import { SolverError, type Statistics } from "../SolverError.ts"
import type { Stepper } from "../Stepper.ts"
import { firstStep, gridOf, isController } from "./interval.ts"

/** Where an integration on the host stands after a step, or why there is no other. */
export interface Progress<V> {
  readonly t: number
  readonly y: V
  readonly statistics: Statistics
}

type Failure<V> = Progress<V> & {
  readonly reason: SolverError["reason"]
  readonly stage: number | undefined
  /** What would help, where more is known of it than the reason. */
  readonly remedy?: string | undefined
}

const firstBroken = <V>(
  stepper: Stepper<V, number, boolean>,
  t: number,
  h: number,
  y: V,
  memory: unknown
): number | undefined => {
  const stage = stepper
    .stages?.(t, h, y, memory)
    .findIndex((each) => !stepper.carrier.allFinite(each))
  return stage === undefined || stage < 0 ? undefined : stage
}

/** The steps of an integration, one by one; what it returns at the end says whether it failed. */
type Walk<V> = Generator<
  Progress<V> & { readonly taken: Taken<V, number, unknown> },
  Failure<V> | undefined
>

export const walk = <V>(
  stepper: Stepper<V, number, boolean>,
  y: V,
  options: Options<V>
): Walk<V> =>
  isController(options.steps)
    ? controlled(stepper, y, { ...options, controller: options.steps })
    : prescribed(stepper, y, gridOf(options.steps, options.from, options.to))

function* controlled<V>(
  stepper: Stepper<V, number, boolean>,
  y: V,
  options: Options<V> & { readonly controller: Controller }
): Walk<V> {
  const { h, extra } = firstStep(stepper, y, options)
  const given = { ...options, initialStep: h }
  let state = Adaptive.begin(stepper, y, given)
  const progress = (): Progress<V> => ({
    t: state.t,
    y: state.y,
    statistics: {
      steps: state.accepted + state.rejected,
      accepted: state.accepted,
      rejected: state.rejected,
      evaluations: state.evaluations + extra
    }
  })
  let size = h
  while (Adaptive.isRunning(stepper.carrier, state)) {
    const before = state
    const { next, accepted, h, dense } = Adaptive.advance(stepper, given, before)
    state = next
    size = h
    if (accepted) {
      yield { ...progress(), taken: { t: before.t, h, before: before.y, after: next.y, dense } }
    }
  }
  const reason = reasons[state.status]
  if (reason === undefined) return undefined
  const remedy =
    reason === "NonFinite" && !Number.isFinite(h)
      ? unstarted(stepper, y, options.from)
      : reason === "MaximumSteps" || reason === "MinimumStep"
        ? untellable(stepper, state.y, options.controller)
        : undefined
  return {
    ...progress(),
    reason,
    remedy,
    stage:
      reason === "NonFinite"
        ? firstBroken(stepper, state.t, Number.isFinite(size) ? size : 0, state.y, state.memory)
        : undefined
  }
}

/** What to say where the estimate of the first step's size is not finite. */
const unstarted = <V>(
  { carrier, derivative }: Stepper<V, number, boolean>,
  y: V,
  from: number
): string =>
  derivative === undefined || carrier.allFinite(derivative(from, y))
    ? `look at the right-hand side just after time ${from}, where it is not finite as the first step's size is estimated, or say that size: initialStep`
    : `look at the right-hand side at time ${from}, where it is not finite to begin with`

/** What to say where no more error is tolerated than rounding makes. */
const untellable = <V>(
  { carrier }: Stepper<V, number, boolean>,
  y: V,
  controller: Controller
): string | undefined =>
  errorNorm(carrier, y, y, y, controller) * carrier.epsilon > 1
    ? `raise the tolerances, absolute ${controller.absolute} and relative ${controller.relative}: they ask for more digits than numbers have, of which the relative one should be well above ${carrier.epsilon}`
    : undefined

/** Why it ended, by status; nothing for those that arrived. */
export const reasons: Readonly<Record<number, SolverError["reason"]>> = {
  [Adaptive.status.maximumSteps]: "MaximumSteps",
  [Adaptive.status.minimumStep]: "MinimumStep",
  [Adaptive.status.nonFinite]: "NonFinite",
  [Adaptive.status.diverged]: "Diverged"
}

function* prescribed<V>(stepper: Stepper<V, number, boolean>, y: V, grid: Fixed.Grid): Walk<V> {
  const { carrier, lead, evaluations: cost } = stepper
  const { times, size } = Fixed.plan(grid)
  let memory = stepper.start(times[0], y)
  let now: Progress<V> = {
    t: times[0],
    y,
    statistics: { steps: 0, accepted: 0, rejected: 0, evaluations: cost.start }
  }
  for (const [i, t] of times.slice(0, -1).entries()) {
    const h = size ?? times[i + 1] - t
    const step = lead !== undefined && i < lead.steps ? lead.step : stepper.step
    const tried = step(t, h, now.y, memory)
    if (!carrier.allFinite(tried.y)) {
      return { ...now, reason: "NonFinite", stage: firstBroken(stepper, t, h, now.y, memory) }
    }
    if (tried.converged === false) return { ...now, reason: "Diverged", stage: undefined }
    const taken = { t, h, before: now.y, after: tried.y, dense: tried.dense }
    memory = tried.memory
    now = {
      t: times[i + 1],
      y: tried.y,
      statistics: {
        steps: i + 1,
        accepted: i + 1,
        rejected: 0,
        evaluations: now.statistics.evaluations + (tried.evaluations ?? cost.step)
      }
    }
    yield { ...now, taken }
  }
  return undefined
}

/** What would help, by reason. */
export const remedies: Readonly<Record<SolverError["reason"], string>> = {
  MaximumSteps:
    "raise maximumSteps, loosen the tolerances, or take an implicit method if the problem is stiff",
  MinimumStep:
    "loosen the tolerances, lower the controller's minimumStep, or look whether the solution has a singularity there",
  NonFinite:
    "look at the right-hand side there (a division by 0, an overflow, a root of something negative), or take smaller steps",
  Diverged: "take smaller steps, or look whether the right-hand side is smooth there"
}

const happened: Readonly<Record<SolverError["reason"], string>> = {
  MaximumSteps: "reached the bound on the number of steps",
  MinimumStep: "needs a step smaller than the smallest allowed",
  NonFinite: "met a value that is not finite",
  Diverged: "did not converge within a step"
}

export const failed = <V>(method: string, to: number, failure: Failure<V>): SolverError => {
  const { reason, t, y, statistics, stage, remedy = remedies[reason] } = failure
  const where = stage === undefined ? "" : `, in stage ${stage} of a step`
  return new SolverError({
    reason,
    method,
    time: t,
    state: y,
    statistics,
    ...(stage === undefined ? {} : { stage }),
    message: `${method} ${happened[reason]} at time ${t}${where}, on its way to ${to}, after ${statistics.steps} steps: ${remedy}`
  })
}
