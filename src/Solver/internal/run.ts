/**
 * Integration on any carrier, as a pure function.
 */
import * as Adaptive from "../Adaptive.ts"
import type { Stacked } from "../Carrier.ts"
import type { Controller } from "../Controller.ts"
import { crosses, type Event, root, stateAt } from "../Event.ts"
import * as Fixed from "../Fixed.ts"
import type { Outcome, RunOptions } from "../Integration.ts"
import type { Stepper } from "../Stepper.ts"
import { between, firstStep, problem, scalarOf } from "./interval.ts"

/** The status of fixed steps that all were taken. */
const fixedStatus = <V, S, B>(stepper: Stepper<V, S, B>, y: V, converged: B): S => {
  const { scalar, select, allFinite } = stepper.carrier
  const sound = select(converged, scalar(Adaptive.status.done), scalar(Adaptive.status.diverged))
  return select(allFinite(y), sound, scalar(Adaptive.status.nonFinite))
}

/** All steps of a grid, with what is kept of each; `dense` if that takes what the interpolant needs. */
export type Take<V, S, B> = <Y>(
  dense: boolean,
  each?: Fixed.Options<V, S, B, unknown, unknown, Y>["each"]
) => Fixed.End<V, S, B, unknown, Y>

export const runFixed = <V, S, B>(
  given: Stepper<V, S, B>,
  y: V,
  { save = "end", unroll = false, checkpoint = "none" }: RunOptions<V, S>,
  grid: Fixed.Grid,
  take: Take<V, S, B> = (dense, each) =>
    Fixed.run(dense ? given.dense() : given, y, grid, {
      unroll,
      checkpoint,
      ...(each === undefined ? {} : { each })
    })
): Outcome<V, S> => {
  const { scalar, pick, stack } = given.carrier
  const { times } = Fixed.plan(grid)
  const outcome = (
    end: Omit<Fixed.End<V, S, B, unknown, unknown>, "steps">,
    saved: Stacked<V>
  ) => ({
    t: scalar(times[times.length - 1]),
    y: end.y,
    status: fixedStatus(given, end.y, end.converged),
    accepted: scalar(times.length - 1),
    rejected: scalar(0),
    evaluations: end.evaluations,
    saved
  })
  if (save === "end") return outcome(take(false), [])
  const wanted = save === "steps" ? times.slice(1) : save
  if (wanted.every((t) => times.includes(t))) {
    const end = take(false, ({ step }) => step.y)
    if (save === "steps") return outcome(end, end.steps)
    const at = (t: number) => (t === times[0] ? y : pick(end.steps, times.indexOf(t) - 1))
    return outcome(end, stack(wanted.map(at)))
  }
  const stepper = given.dense()
  const end = take(true, ({ t, h, before, step }) => ({
    t,
    h,
    before,
    after: step.y,
    dense: step.dense
  }))
  const at = (t: number): V => {
    const i = Math.max(0, times.findIndex((time) => between(times[0], t, time)) - 1)
    const theta = (t - times[i]) / (times[i + 1] - times[i])
    return stateAt(stepper, pick(end.steps, i), scalar(theta))
  }
  return outcome(end, stack(wanted.map(at)))
}

export const runControlled = <V, S, B>(
  given: Stepper<V, S, B>,
  y: V,
  options: RunOptions<V, S>,
  controller: Controller
): Outcome<V, S> => {
  const { event, maximumSteps, save = "end" } = options
  if (save === "steps") {
    throw problem(
      "a program cannot keep every step that a controller finds, for their number is not known: name the times to save at"
    )
  }
  const wanted = save === "end" ? [] : save
  const plain = wanted.length === 0 && event === undefined
  const stepper = plain ? given : given.dense()
  const bounds = {
    from: scalarOf(stepper, options.from),
    to: scalarOf(stepper, options.to),
    controller,
    ...(maximumSteps === undefined ? {} : { maximumSteps }),
    ...(options.initialStep === undefined
      ? {}
      : { initialStep: scalarOf(stepper, options.initialStep) })
  }
  const { h, extra } = firstStep(stepper, y, bounds)
  const whole = { ...bounds, initialStep: h }
  const { state, saved } = plain
    ? { state: Adaptive.run(stepper, y, whole), saved: [] }
    : watched(stepper, y, whole, wanted, wanted.at(-1) === options.to, event)
  const { add, scalar } = stepper.carrier
  return {
    t: state.t,
    y: state.y,
    status: state.status,
    accepted: state.accepted,
    rejected: state.rejected,
    evaluations: add(state.evaluations, scalar(extra)),
    saved
  }
}

/** With a look at each step taken: for the times wanted, of which the last is the end if they are `complete`, and for an event. */
const watched = <V, S, B>(
  stepper: Stepper<V, S, B>,
  y: V,
  options: Adaptive.Options<S> & { readonly initialStep: S },
  wanted: ReadonlyArray<number>,
  complete: boolean,
  event: Event<V, S> | undefined
): { readonly state: Adaptive.State<V, S, unknown>; readonly saved: Stacked<V> } => {
  const { carrier } = stepper
  const { scalar, add, sub, mul, div, abs, less, and, or, not, select, choose } = carrier
  const { from, to, initialStep } = options
  const conditionAt = (t: S, y: V): S => event?.condition(t, y) ?? scalar(0)
  const state = Adaptive.begin(stepper, y, options)
  const { dense } = stepper.step(from, initialStep, y, state.memory)
  const value = conditionAt(from, y)
  const begin = {
    state,
    /** The last step taken, and the event's condition at its ends. */
    taken: carrier.blank({ t: from, h: initialStep, before: y, after: y, dense }),
    first: value,
    last: value,
    hit: carrier.verdict(false)
  }
  type Now = typeof begin
  const sign = select(less(to, from), scalar(-1), scalar(1))
  const before = (a: S, b: S): B => less(mul(sign, a), mul(sign, b))
  const goes = ({ state, hit }: Now): B => and(Adaptive.isRunning(carrier, state), not(hit))
  /** On until a time has been reached, or there is no going on. */
  const reach = (now: Now, condition: (now: Now) => B): Now =>
    carrier.loop(now, condition, (now) => {
      const tried = Adaptive.advance(stepper, options, now.state, condition(now))
      const { t, y } = now.state
      const taken = { t, h: tried.h, before: y, after: tried.next.y, dense: tried.dense }
      const last = conditionAt(tried.next.t, tried.next.y)
      const crossed = crosses(carrier, event?.direction, now.last, last)
      return {
        state: tried.next,
        ...choose(
          tried.accepted,
          { taken, first: now.last, last, hit: or(now.hit, crossed) },
          { taken: now.taken, first: now.first, last: now.last, hit: now.hit }
        )
      }
    })
  const [then, saved] = carrier.repeat(
    begin,
    wanted.map((t) => [t]),
    (now, [t]) => {
      const next = reach(now, (now) => and(goes(now), before(now.state.t, t)))
      const theta = div(sub(t, next.taken.t), next.taken.h)
      const moved = less(scalar(0), abs(sub(t, from)))
      const inside = stateAt(stepper, next.taken, theta)
      const reached = choose(not(before(next.state.t, t)), inside, blurred(stepper, y))
      return [next, choose(moved, reached, y)]
    }
  )
  // where the last of these times is the end there is nothing left to do, and the step need not be written once more
  const end = complete ? then : reach(then, goes)
  if (event === undefined) return { state: end.state, saved }
  const theta = root(stepper, event, end.taken, end.first)
  const t = add(end.taken.t, mul(theta, end.taken.h))
  return {
    state: {
      ...end.state,
      t: select(end.hit, t, end.state.t),
      y: choose(end.hit, stateAt(stepper, end.taken, theta), end.state.y),
      status: select(end.hit, scalar(Adaptive.status.event), end.state.status)
    },
    saved: carrier.stack(
      wanted.map((each, i) =>
        choose(and(end.hit, before(t, scalar(each))), blurred(stepper, y), carrier.pick(saved, i))
      )
    )
  }
}

/** A state that is nothing but NaN. */
const blurred = <V, S, B>({ carrier }: Stepper<V, S, B>, like: V): V =>
  carrier.combine([[carrier.scalar(Number.NaN), like]])
