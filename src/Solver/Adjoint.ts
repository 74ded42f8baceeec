/**
 * Adjoints: how the integration of tensors is differentiated. An adjoint is a value, chosen beside the method; the problem
 * stays the same.
 *
 * Let n be the number of steps, and a(t) = ∂L/∂y(t) for a loss L of the solution's end and of its saved states.
 *
 * | adjoint              | derivative of         | memory               | cost of the gradient                     |
 * | -------------------- | --------------------- | -------------------- | ---------------------------------------- |
 * | {@link direct}       | the discrete solution | n steps              | 3 times the way forward                  |
 * | {@link checkpointed} | the discrete solution | √n steps             | 4 times                                  |
 * | {@link reversible}   | the discrete solution | one step, few states | 5 times, at most                         |
 * | {@link backsolve}    | the exact solution    | one step             | the way forward, and 3 times that back   |
 *
 * The first three agree to rounding. `backsolve` differs from them by the errors of the method: its gradient is that of a
 * problem nearby, and as good as the tolerances.
 *
 * **Parameters.** What `reversible` and `backsolve` differentiate, and all of them under a controller, is the initial state and the
 * parameters: to what a stepper uses from elsewhere nothing flows (see `Gradient.custom`). So make everything that is
 * learned part of the parameters. Leaves that are no floats have the derivative zero.
 *
 * **Under a controller** the sizes of the steps are constants for the derivative, as are their times: they are found in a loop
 * on the device, which has no derivative, and the way back goes along the steps that were accepted. Whatever a
 * step that was rejected ran into, infinities included, has no influence.
 *
 * Where a way did not arrive there is no solution to differentiate: the gradients are NaN, of every adjoint, even where the loss
 * looks at nothing but what was saved before. That goes for the state of each system by itself (with {@link backsolve}: for
 * all), and for the parameters, which they share, as soon as one fails. So look at the `status`.
 *
 * @since 0.1.0
 */
import { type DType, Gradient, Tensor, Tree } from "../Tensor/index.ts"
import * as Adaptive from "./Adaptive.ts"
import * as Carrier from "./Carrier.ts"
import type { Controller } from "./Controller.ts"
import * as Fixed from "./Fixed.ts"
import * as Integration from "./Integration.ts"
import { floats, plus, pull, refill, zeros } from "./internal/cotangent.ts"
import {
  firstStep,
  gridOf,
  isController,
  requireBounds,
  requireSaves,
  requireTimes
} from "./internal/interval.ts"
import { runFixed } from "./internal/run.ts"
import * as Method from "./Method.ts"
import { ProblemError } from "./SolverError.ts"
import type { Stepper } from "./Stepper.ts"
import * as Tableau from "./Tableau.ts"

/**
 * What is integrated, from where to where and in which steps, and what of it is kept; as for `Integration.run`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem<V, P> {
  /** A method bound to the problem with these parameters, of whatever kind. */
  readonly stepper: (parameters: P) => Stepper<V, Tensor.Any, Tensor.Any>
  readonly from: number
  /** May lie before `from`: then time runs backwards. */
  readonly to: number
  readonly steps: Integration.Steps
  /** The size of the first step under a controller; found from the derivative unless told. */
  readonly initialStep?: number
  /**
   * Steps that a controller tries at most between two saved times; 1,000 unless told. The gradients of {@link direct} and
   * {@link checkpointed} take the time of that many steps, however many there are.
   */
  readonly maximumSteps?: number
  /** Which states to keep beside the end; `"steps"` for fixed steps only, without the start. */
  readonly save?: "end" | "steps" | ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Adjoint {
  readonly name: string
  /**
   * Integrates from the state `y`, with these parameters: a tree of tensors. What it gives can be differentiated in both. Throws
   * `ProblemError` for what this adjoint cannot do, with the remedy.
   *
   * Under a controller {@link direct}, {@link checkpointed} and {@link reversible} end a step at each time at which the state is saved,
   * where `Integration.run` would interpolate.
   */
  readonly integrate: <V, P>(
    problem: Problem<V, P>,
    y: V,
    parameters: P
  ) => Integration.Outcome<V, Tensor.Any>
}

const refuse = (what: string, message: string): ProblemError =>
  new ProblemError({ what, message: `${what}: ${message}` })

type Real = Tensor.Tensor<ReadonlyArray<number>, DType.Float>

/** A scalar of a carrier, out of one that all its systems share. */
const spread = <V>(
  { scalar }: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  value: Tensor.Any
): Tensor.Any => Tensor.broadcastTo(value, scalar(0).shape)

/** Whether an integration went well, from its status. */
const arrived = <V>(
  { less, abs, sub, scalar }: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  status: Tensor.Any
): Tensor.Any => less(abs(sub(status, scalar(Adaptive.status.done))), scalar(0.5))

/** A tree of NaN. */
const blurred = <T>(tree: T): T =>
  Tree.remap(tree, ({ shape, dtype }: Tensor.Any) => Tensor.full(shape, Number.NaN, dtype))

/** The cotangents of ways that arrived; of others NaN, and so for the floats of the parameters if any did not. */
const vouched = <V, P>(
  carrier: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  status: Tensor.Any,
  { y, parameters }: Inputs<V, P>
): Inputs<V, P> => {
  const sound = arrived(carrier, status)
  const all = Tensor.all(sound as Tensor.Tensor<ReadonlyArray<number>, "bool">)
  const kept = floats(parameters).map((leaf) =>
    Tensor.select(all, leaf, Tensor.full(leaf.shape, Number.NaN, leaf.dtype))
  )
  return {
    y: carrier.choose(sound, y, blurred(y)),
    parameters: refill(parameters, kept)
  }
}

const outlineOf = <V, P>({
  from,
  to,
  steps,
  initialStep,
  maximumSteps = 1000,
  save = "end"
}: Problem<V, P>) => ({
  from,
  to,
  steps,
  ...(initialStep === undefined ? {} : { initialStep }),
  maximumSteps,
  save
})

/** `Tensor.scan`, for trees of which no more is known than that they are trees. */
const scan = <S, X, Y>(
  init: S,
  over: X,
  step: (now: S, element: X) => readonly [S, Y],
  options: { readonly reverse?: boolean; readonly checkpoint?: Tensor.Checkpoint } = {}
): readonly [S, Y] => Tensor.scan({ ...options, init, over, step: step as never }) as never

/** The times at which states are saved; and those that they cut the way at: all after `from`, and `to`. */
const stopsOf = <V, P>(name: string, { from, to, steps, save = "end" }: Problem<V, P>) => {
  requireTimes(from, to)
  const times = isController(steps) ? undefined : Fixed.plan(gridOf(steps, from, to)).times
  if (save === "steps" && times === undefined) {
    throw refuse(
      name,
      "a program cannot keep every step that a controller finds, for their number is not known: name the times to save at"
    )
  }
  const wanted = save === "end" ? [] : save === "steps" ? (times ?? []).slice(1) : save
  requireSaves(wanted, from, to)
  const stops = [...new Set([...wanted.filter((t) => t !== from), to])]
  return { times: times ?? [], wanted, stops }
}

/** What is wanted of the states at the stops. */
const savedOf = <V>(
  { stack, pick }: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  from: number,
  y: V,
  wanted: ReadonlyArray<number>,
  stops: ReadonlyArray<number>,
  states: Carrier.Stacked<V>
): Carrier.Stacked<V> =>
  wanted.length === stops.length && wanted.every((t, i) => t === stops[i])
    ? states
    : stack(wanted.map((t) => (t === from ? y : pick(states, stops.indexOf(t)))))

// ── The discrete solution ────────────────────────────────────────────────────────────────────────

interface Now<V> {
  readonly y: V
  readonly memory: unknown
}

interface Inputs<V, P> {
  readonly y: V
  readonly parameters: P
}

/** What comes back through steps: the state before them, its cotangent, and that of the parameters' floats. */
interface Returned<V> {
  readonly now: Now<V>
  readonly flow: Now<V>
  readonly gradient: ReadonlyArray<Tensor.Any>
}

type Bind<V, P> = (parameters: P) => Stepper<V, Tensor.Any, Tensor.Any>

type Each<V, Y> = NonNullable<Fixed.Options<V, Tensor.Any, Tensor.Any, unknown, unknown, Y>["each"]>

/** One step back: the state before it, and the derivative of the step from there. `kept` is the cotangent of what `each` gave. */
const undo = <V, P, Y>(
  bind: Bind<V, P>,
  parameters: P,
  t: Tensor.Any,
  h: Tensor.Any | number,
  { now, flow, gradient }: Returned<V>,
  each: Each<V, Y>,
  kept: Y
): Returned<V> => {
  const before: Now<V> = bind(parameters).inverse?.(t, h, now.y, now.memory) ?? now
  const { cotangents } = pull(
    ({ now, parameters }) => {
      const { carrier, step: take } = bind(parameters)
      const step = take(t, h, now.y, now.memory)
      const size = typeof h === "number" ? carrier.scalar(h) : h
      return {
        y: step.y,
        memory: step.memory as unknown,
        kept: each({ t, h: size, before: now.y, step })
      }
    },
    { now: before, parameters },
    { ...flow, kept }
  )
  return {
    now: before,
    flow: cotangents.now,
    gradient: plus(gradient, floats(cotangents.parameters))
  }
}

/** The cotangents of the inputs, with those of what the method remembers at the start. */
const settled = <V, P>(
  bind: Bind<V, P>,
  t: Tensor.Any,
  { y, parameters }: Inputs<V, P>,
  { flow, gradient }: Omit<Returned<V>, "now">
): Inputs<V, P> => {
  const { cotangents } = pull(
    ({ y, parameters }) => bind(parameters).start(t, y) as unknown,
    { y, parameters },
    flow.memory
  )
  return {
    y: plus(flow.y, cotangents.y),
    parameters: refill(parameters, plus(gradient, floats(cotangents.parameters)))
  }
}

/** Beginnings and sizes of steps, one a row. */
interface Rows {
  readonly t: Tensor.Any
  readonly h: Tensor.Any
}

type Fixedly<V> = Fixed.Now<V, Tensor.Any, Tensor.Any, unknown>

/** Steps of a grid, with a derivative that takes them backwards from their end. */
const undoable = <V, P, Y>(
  bind: Bind<V, P>,
  size: number | undefined,
  each: Each<V, Y>,
  inputs: Inputs<V, P> & { readonly memory: unknown; readonly rows: Rows }
): Fixed.End<V, Tensor.Any, Tensor.Any, unknown, Y> => {
  const at = (carrier: Carrier.Carrier<V, Tensor.Any, Tensor.Any>, { t, h }: Rows) => ({
    t: spread(carrier, t),
    h: size ?? spread(carrier, h)
  })
  return Gradient.custom<typeof inputs, Fixed.End<V, Tensor.Any, Tensor.Any, unknown, Y>>({
    name: "Adjoint.reversible",
    forward: ({ y, memory, rows, parameters }) => {
      const stepper = bind(parameters)
      const { carrier } = stepper
      const begin: Fixedly<V> = {
        y,
        memory,
        converged: carrier.verdict(true),
        evaluations: carrier.scalar(0)
      }
      const [end, steps] = scan(begin, rows, (now, row) =>
        Fixed.advance(stepper, at(carrier, row), now, each)
      )
      return { ...end, steps }
    },
    backward: ({ rows, parameters }, end, flow) => {
      const { carrier } = bind(parameters)
      const begin: Returned<V> = {
        now: { y: end.y, memory: end.memory },
        flow: { y: flow.y, memory: flow.memory },
        gradient: zeros(floats(parameters))
      }
      const [back] = scan(
        begin,
        { ...rows, kept: flow.steps as Y },
        (now, { kept, ...row }) => {
          const { t, h } = at(carrier, row)
          return [undo(bind, parameters, t, h, now, each, kept), []]
        },
        { reverse: true }
      )
      return {
        ...back.flow,
        rows: zeros(rows),
        parameters: refill(parameters, back.gradient)
      }
    }
  })(inputs)
}

/** All steps of a grid in a number of parts, where each begins with a state that is stored. */
const anchored = <V, P, Y>(
  bind: Bind<V, P>,
  { y, parameters }: Inputs<V, P>,
  grid: Fixed.Grid,
  each: Each<V, Y>,
  anchors: number
): Fixed.End<V, Tensor.Any, Tensor.Any, unknown, Y> => {
  const { times, size } = Fixed.plan(grid)
  const stepper = bind(parameters)
  const { carrier } = stepper
  const count = times.length - 1
  const length = Math.max(1, Math.ceil(count / anchors))
  const { dtype } = carrier.scalar(0)
  const whole = Math.floor(count / length)
  const rowsOf = (start: number, stop: number): Rows => {
    const cut = (f: (i: number) => number) =>
      Tensor.constant(
        Array.from({ length: stop - start }, (_, i) => f(start + i)),
        { dtype: dtype as DType.Float }
      )
    return { t: cut((i) => times[i]), h: cut((i) => times[i + 1] - times[i]) }
  }
  const part = (now: Fixedly<V>, rows: Rows): readonly [Fixedly<V>, Y] => {
    const { y, memory } = now
    const { steps, ...end } = undoable(bind, size, each, { y, memory, rows, parameters })
    return [
      {
        ...end,
        converged: carrier.and(now.converged, end.converged),
        evaluations: carrier.add(now.evaluations, end.evaluations)
      },
      steps as Y
    ]
  }
  const folded = (leaf: Tensor.Any) => Tensor.reshape(leaf, [whole, length, ...leaf.shape.slice(1)])
  const flat = (leaf: Tensor.Any) => Tensor.reshape(leaf, [whole * length, ...leaf.shape.slice(2)])
  const begin = Fixed.begin(stepper, carrier.scalar(times[0]), y)
  const covered = whole * length
  const [middle, first] = scan(begin, Tree.remap<Rows>(rowsOf(0, covered), folded), part)
  const steps = Tree.remap<Y>(first, flat)
  if (covered === count) return { ...middle, steps }
  const [end, last] = part(middle, rowsOf(covered, count))
  return { ...end, steps: carrier.append(steps, last) }
}

interface Stretch<V, P> extends Inputs<V, P> {
  readonly from: Tensor.Any
  readonly to: Tensor.Any
  /** The first step's size. */
  readonly h: Tensor.Any
}

interface Searched<V> extends Now<V> {
  /** The steps that were accepted, of each system; behind them sizes of 0. */
  readonly rows: Rows
  readonly state: Omit<Adaptive.State<never, Tensor.Any, never>, "y" | "memory" | "history">
}

/** Steps under a controller, and which they were. */
const search = <V, P>(
  bind: Bind<V, P>,
  controller: Controller,
  count: number,
  { y, parameters, from, to, h }: Stretch<V, P>
): Searched<V> => {
  const stepper = bind(parameters)
  const { carrier } = stepper
  const options = { from, to, controller, maximumSteps: count, initialStep: h }
  const shape = [count, ...from.shape]
  const index = Tensor.iota(shape, 0, from.dtype as DType.Float)
  const begin = {
    now: Adaptive.begin(stepper, y, options),
    // a time at which the right-hand side is known to be finite
    rows: { t: Tensor.broadcastTo(to, shape), h: Tensor.zeros(shape, from.dtype) } as Rows
  }
  const { now, rows } = carrier.loop(
    begin,
    ({ now }) => Adaptive.isRunning(carrier, now),
    ({ now, rows }) => {
      const tried = Adaptive.advance(stepper, options, now)
      const here = carrier.and(tried.accepted, Tensor.equal(index, now.accepted as Real))
      return {
        now: tried.next,
        rows: { t: carrier.select(here, now.t, rows.t), h: carrier.select(here, tried.h, rows.h) }
      }
    }
  )
  const { t, h: next, accepted, rejected, evaluations, status } = now
  return {
    y: now.y,
    memory: now.memory,
    rows,
    state: { t, h: next, accepted, rejected, evaluations, status }
  }
}

/** How the cotangents come back along steps that a controller found. */
type Back = <V, P>(
  bind: Bind<V, P>,
  inputs: Inputs<V, P>,
  from: Tensor.Any,
  searched: Searched<V>,
  flow: Now<V>
) => Inputs<V, P>

/** Along all rows once more, in a scan that can be differentiated. */
const again =
  (checkpoint: (count: number) => Tensor.Checkpoint): Back =>
  (bind, inputs, from, { rows }, flow) =>
    pull(
      ({ y, parameters }) => {
        const stepper = bind(parameters)
        const begin: Now<typeof y> = { y, memory: stepper.start(from, y) }
        const [end] = scan(
          begin,
          rows,
          ({ y, memory }, { t, h }) => {
            const moves = isMoving(stepper.carrier, h)
            const step = stepper.step(t, h, y, memory)
            const next = {
              y: stepper.carrier.choose(moves, step.y, y),
              memory: stepper.carrier.choose(moves, step.memory, memory)
            }
            return [next, []]
          },
          { checkpoint: checkpoint(rows.t.shape[0]) }
        )
        return end
      },
      inputs,
      flow
    ).cotangents

const isMoving = <V>(
  { less, abs, scalar }: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  h: Tensor.Any
): Tensor.Any => less(scalar(0), abs(h))

/** Back along the rows that were taken, each step inverted. */
const undone: Back = (bind, inputs, from, { y, memory, rows, state }, flow) => {
  const { carrier } = bind(inputs.parameters)
  const begin = {
    left: Tensor.cast(Tensor.max(state.accepted as Real), "int32"),
    back: { now: { y, memory }, flow, gradient: zeros(floats(inputs.parameters)) }
  }
  const { back } = carrier.loop(
    begin,
    ({ left }) => Tensor.greater(left, 0),
    (state) => {
      const left = Tensor.sub(state.left, 1)
      const [t, h] = [rows.t, rows.h].map((each) => Tensor.take(each, left))
      const before = undo(bind, inputs.parameters, t, h, state.back, () => [], [])
      // systems that took fewer steps wait: with a size of 0 they give nothing to the parameters
      const { gradient, ...moved } = before
      const { gradient: _, ...waiting } = state.back
      return { left, back: { ...carrier.choose(isMoving(carrier, h), moved, waiting), gradient } }
    }
  )
  return settled(bind, from, inputs, back)
}

/** From each stop to the next in steps that a controller finds. */
const controlled = <V, P>(
  problem: Problem<V, P>,
  controller: Controller,
  name: string,
  back: Back,
  y: V,
  parameters: P
): Integration.Outcome<V, Tensor.Any> => {
  const { from, initialStep, maximumSteps: count } = outlineOf(problem)
  requireBounds(problem)
  if (!Number.isInteger(count)) {
    throw refuse(name, `maximumSteps must be a whole number, not ${count}: steps are stored`)
  }
  const { wanted, stops } = stopsOf(name, problem)
  const stepper = problem.stepper(parameters)
  const { carrier } = stepper
  const { scalar, select, and, add, choose } = carrier
  const go = Gradient.custom<Stretch<V, P>, Searched<V>>({
    name,
    forward: (stretch) => search(problem.stepper, controller, count, stretch),
    backward: ({ y, parameters, ...constants }, searched, { y: end, memory }) => {
      const inputs = { y, parameters }
      const found = back(problem.stepper, inputs, constants.from, searched, { y: end, memory })
      return { ...zeros(constants), ...vouched(carrier, searched.state.status, found) }
    }
  })
  const { h, extra } = firstStep(stepper, y, {
    from: scalar(from),
    to: scalar(stops[0]),
    controller,
    ...(initialStep === undefined ? {} : { initialStep: scalar(initialStep) })
  })
  const begin = {
    y,
    t: scalar(from),
    h: Gradient.stop(h),
    status: scalar(Adaptive.status.done),
    accepted: scalar(0),
    rejected: scalar(0),
    evaluations: scalar(extra)
  }
  const [{ h: _, ...end }, states] = carrier.repeat(
    begin,
    stops.map((stop, i) => [i === 0 ? from : stops[i - 1], stop]),
    (now, [start, to]) => {
      const sound = arrived(carrier, now.status)
      // systems that failed stay where they are
      const { y, state } = go({
        y: now.y,
        parameters,
        from: select(sound, start, to),
        to,
        h: Gradient.stop(now.h)
      })
      const status = select(sound, state.status, now.status)
      return [
        {
          y,
          t: select(sound, state.t, now.t),
          h: state.h,
          status,
          accepted: add(now.accepted, state.accepted),
          rejected: add(now.rejected, state.rejected),
          evaluations: add(now.evaluations, state.evaluations)
        },
        choose(and(sound, arrived(carrier, status)), y, blurred(y))
      ]
    },
    { unroll: stops.length === 1 }
  )
  return { ...end, saved: savedOf(carrier, from, y, wanted, stops, states) }
}

/** Through the scan of all steps. */
const through = (
  name: string,
  unroll: boolean,
  checkpoint: (count: number) => Tensor.Checkpoint
): Adjoint => ({
  name,
  integrate: (problem, y, parameters) => {
    const { steps, from, to } = problem
    if (isController(steps)) {
      return controlled(problem, steps, `Adjoint.${name}`, again(checkpoint), y, parameters)
    }
    requireTimes(from, to)
    const count = Fixed.plan(gridOf(steps, from, to)).times.length - 1
    return Integration.run(problem.stepper(parameters), y, {
      ...outlineOf(problem),
      unroll,
      checkpoint: checkpoint(count)
    })
  }
})

/**
 * Through the scan of all steps, of which all that the derivative needs is stored: the fastest, with memory in
 * proportion to the number of steps. With fixed steps it can be differentiated again, and in whatever a stepper uses.
 *
 * @since 0.1.0
 * @category instances
 */
export const direct: Adjoint = through("direct", false, () => "none")

/**
 * As {@link direct}, with fixed steps written out one by one: for few steps.
 *
 * @since 0.1.0
 * @category instances
 */
export const unrolled: Adjoint = through("unrolled", true, () => "none")

/**
 * Stores a state `every` so many steps, and computes the steps behind it again on the way back: every √n of n steps unless told,
 * with memory in proportion to √n. Throws `ProblemError` for an `every` that is not a whole number above 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const checkpointed = (options: { readonly every?: number } = {}): Adjoint => {
  const { every } = options
  if (every !== undefined && !(Number.isInteger(every) && every > 0)) {
    throw refuse(
      "Adjoint.checkpointed",
      `every must be a whole number above 0, not ${every}: leave it out for the least memory`
    )
  }
  return through(
    "checkpointed",
    false,
    (count) => every ?? Math.max(1, Math.ceil(Math.sqrt(count)))
  )
}

/**
 * Takes the steps backwards, for methods whose steps have an inverse (see `Reversible`): the gradient is that of the discrete
 * solution, to rounding, but its steps are not stored. `ProblemError` for methods without an inverse.
 *
 * Going back, rounding errors grow where the solution had shrunk on the way. So of fixed steps a few states are stored as
 * `anchors`, evenly along the way, to start from anew: 16 unless told, however many steps there are. With 1
 * nothing is stored but the end. Under a controller the saved states are anchors; between them the way back
 * is a loop on the device along the steps that were accepted, however many these are.
 *
 * (Zhuang et al. 2021, MALI, arXiv:2102.04668; Kidger et al. 2021, arXiv:2105.13493, section 3; McCallum and Foster 2024,
 * arXiv:2410.11648.)
 *
 * @since 0.1.0
 * @category constructors
 */
export const reversible = (options: { readonly anchors?: number } = {}): Adjoint => {
  const { anchors = 16 } = options
  if (!(Number.isInteger(anchors) && anchors > 0)) {
    throw refuse(
      "Adjoint.reversible",
      `anchors must be a whole number above 0, not ${anchors}: 1 stores nothing but the end`
    )
  }
  return {
    name: "reversible",
    integrate: (problem, y, parameters) => {
      const { stepper: bind, steps, from, to } = problem
      const stepper = bind(parameters)
      if (stepper.inverse === undefined || stepper.lead !== undefined) {
        throw refuse(
          "Adjoint.reversible",
          `${stepper.name} has no inverse step: take a reversible method, such as Reversible.coupled(tableau), or Adjoint.checkpointed()`
        )
      }
      if (isController(steps)) {
        return controlled(problem, steps, "Adjoint.reversible", undone, y, parameters)
      }
      requireTimes(from, to)
      const grid = gridOf(steps, from, to)
      return runFixed(stepper, y, outlineOf(problem), grid, (dense, each) =>
        anchored(
          dense ? (parameters) => bind(parameters).dense() : bind,
          { y, parameters },
          grid,
          each ?? (() => ({}) as never),
          anchors
        )
      )
    }
  }
}

// ── The exact solution ───────────────────────────────────────────────────────────────────────────

/**
 * How the continuous adjoint is integrated.
 *
 * @since 0.1.0
 * @category models
 */
export interface BacksolveOptions {
  /** Dormand–Prince 5(4) unless told. */
  readonly method?: Method.Any
  /**
   * How the way back is divided between any two of the saved times. Unless told: by the problem's own controller; or into as many
   * steps as the way forward takes at most between two of them.
   */
  readonly steps?: Controller | { readonly count: number }
  /** Steps tried at most, under a controller, between two of the saved times; 10,000 unless told. */
  readonly maximumSteps?: number
  /**
   * Leaves the gradient of the parameters out of the error (Kidger, Chen and Lyons 2021, arXiv:2009.09457): nothing depends on it,
   * so steps may be larger at the same accuracy of all else. It counts unless told.
   */
  readonly seminorm?: boolean
}

/** The state of the way back: y, its adjoint, and the gradient of the parameters' floats. */
interface Augmented<V> {
  readonly y: V
  readonly a: V
  readonly g: ReadonlyArray<Tensor.Any>
}

/**
 * The carrier of the way back. All systems go in steps of one size there, since all contribute to the parameters' gradient.
 * The error is the largest of those of y, a and g, and of those of any system.
 */
const backCarrier = <V>(
  forward: Carrier.Carrier<V, Tensor.Any, Tensor.Any>,
  seminorm: boolean
): Carrier.Carrier<Augmented<V>, Tensor.Any, Tensor.Any> => {
  const dtype = forward.scalar(0).dtype as DType.Float
  // parameters may be of other dtypes than the state
  const { require: _, ...carrier } = Carrier.tensor<Augmented<V>>({ dtype })
  const gradients = Carrier.tensor<Augmented<V>["g"]>({ dtype })
  return {
    ...carrier,
    extent: (error, a, b, tolerance) => {
      const mean = ({ total, count }: Carrier.Extent<Tensor.Any>): Tensor.Any =>
        Tensor.max(
          tolerance.norm === "max"
            ? (total as Real)
            : Tensor.mul(total as Real, 1 / Math.max(count, 1))
        )
      const parts = [
        mean(forward.extent(error.y, a.y, b.y, tolerance)),
        mean(forward.extent(error.a, a.a, b.a, tolerance)),
        ...(seminorm || error.g.length === 0
          ? []
          : [mean(gradients.extent(error.g, a.g, b.g, tolerance))])
      ]
      return { total: parts.reduce((x, y) => carrier.max(x, y)), count: 1 }
    }
  }
}

/**
 * The continuous adjoint (Pontryagin 1962; Chen et al. 2018, arXiv:1806.07366, appendix B): the solution is forgotten, and
 *
 *     y' = f(t, y, θ),  a' = −aᵀ ∂f/∂y,  g' = −aᵀ ∂f/∂θ
 *
 * are integrated from `to` back to `from`, from a = ∂L/∂y there and g = 0; at each saved time a jumps by the loss's cotangent
 * of that state, and y starts from it anew. The gradients are a and g at `from`.
 *
 * It takes whatever method forward that knows the derivative, and any method back. Where y' = f is stable forward it is unstable
 * backward: for stiff problems and long times take another adjoint. Gradients are NaN where either way did not arrive.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backsolve = (options: BacksolveOptions = {}): Adjoint => ({
  name: "backsolve",
  integrate: <V, P>(problem: Problem<V, P>, y: V, parameters: P) => {
    const outline = outlineOf(problem)
    const { from, to, steps, save } = outline
    const { times, wanted, stops } = stopsOf("Adjoint.backsolve", problem)
    const { carrier, name, derivative } = problem.stepper(parameters)
    if (derivative === undefined) {
      throw refuse(
        "Adjoint.backsolve",
        `${name} does not know the derivative of the state: take Adjoint.checkpointed() or Adjoint.reversible`
      )
    }
    const starts = [from, ...stops.slice(0, -1)]
    const most = Math.max(
      1,
      ...stops.map((stop, i) => {
        const [low, high] = [Math.min(stop, starts[i]), Math.max(stop, starts[i])]
        return times.filter((t) => low < t && t < high).length + 1
      })
    )
    const way = options.steps ?? (isController(steps) ? steps : { count: most })
    const method = options.method ?? Tableau.dopri5
    const behind = backCarrier(carrier, options.seminorm ?? false)

    /** From one stop back to the one before. */
    const stretch = (
      parameters: P,
      state: Augmented<V>,
      start: Tensor.Any,
      stop: Tensor.Any
    ): Augmented<V> => {
      const f =
        (at: (t: Tensor.Any) => Tensor.Any, speed: Tensor.Any) =>
        (t: Tensor.Any, { y, a }: Augmented<V>): Augmented<V> => {
          const time = spread(carrier, at(t))
          const { outputs, cotangents } = pull(
            ({ y, parameters }) =>
              (problem.stepper(parameters).derivative as typeof derivative)(time, y),
            { y, parameters },
            scaled(a, behind.sub(behind.scalar(0), speed))
          )
          return {
            y: scaled(outputs, speed),
            a: cotangents.y,
            g: floats(cotangents.parameters)
          }
        }
      if (isController(way)) {
        const { y, status } = Integration.run(
          Method.bind(
            method,
            behind,
            f((t) => t, behind.scalar(1))
          ),
          state,
          {
            from: stop,
            to: start,
            steps: way,
            ...(options.maximumSteps === undefined ? {} : { maximumSteps: options.maximumSteps })
          }
        )
        return behind.choose(arrived(behind, status), y, blurred(y))
      }
      // in units of the way, so that it is a grid of plain numbers
      const span = behind.sub(start, stop)
      const at = (t: Tensor.Any) => behind.add(stop, behind.mul(t, span))
      return Fixed.run(Method.bind(method, behind, f(at, span)), state, { from: 0, to: 1, ...way })
        .y
    }

    const solve = Gradient.custom<Inputs<V, P>, Integration.Outcome<V, Tensor.Any>>({
      name: "Adjoint.backsolve",
      forward: ({ y, parameters }) =>
        Integration.run(problem.stepper(parameters), y, {
          ...outline,
          save: stops.length === 1 ? "end" : save === "steps" ? save : stops
        }),
      backward: ({ parameters }, end, flow) => {
        const init = {
          a: carrier.choose(arrived(carrier, end.status), flow.y, blurred(flow.y)),
          g: zeros(floats(parameters))
        }
        const { scalar } = behind
        if (stops.length === 1) {
          const state = { y: end.y, ...init }
          const { a, g } = stretch(parameters, state, scalar(from), scalar(to))
          return { y: a, parameters: refill(parameters, g) }
        }
        const constant = (list: ReadonlyArray<number>) =>
          Tensor.constant(list, { dtype: scalar(0).dtype as DType.Float })
        const rows = {
          start: constant(starts),
          stop: constant(stops),
          y: end.saved as V,
          jump: flow.saved as V
        }
        const [{ a, g }] = scan(
          init,
          rows,
          ({ a, g }, { start, stop, y, jump }) => {
            const after = { y, a: plus(a, jump), g }
            const { y: _, ...before } = stretch(parameters, after, start, stop)
            return [before, []]
          },
          { reverse: true }
        )
        return { y: a, parameters: refill(parameters, g) }
      }
    })
    const end = solve({ y, parameters })
    const states = stops.length === 1 ? carrier.stack([end.y]) : end.saved
    return { ...end, saved: savedOf(carrier, from, y, wanted, stops, states) }
  }
})

/** A tree of tensors times one scalar. */
const scaled = <T>(tree: T, by: Tensor.Any): T =>
  Tree.remap(tree, (leaf: Tensor.Any) => Tensor.mul(leaf as Real, by as Real))
