/**
 * Integration with step control: one loop for every carrier.
 *
 * @since 0.1.0
 */
import { type Carrier, errorNorm } from "./Carrier.ts"
import { type Controller, factor, type History } from "./Controller.ts"
import { ProblemError } from "./SolverError.ts"
import type { Step, Stepper } from "./Stepper.ts"

/**
 * How an integration ended: a scalar of the carrier, so that it can be told on a device.
 *
 * @since 0.1.0
 * @category constants
 */
export const status = {
  running: 0,
  done: 1,
  maximumSteps: 2,
  minimumStep: 3,
  nonFinite: 4,
  diverged: 5,
  event: 6
} as const

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<S> {
  readonly from: S
  /** May lie before `from`: then time runs backwards. */
  readonly to: S
  readonly controller: Controller
  /** The first step's size; found from the right-hand side unless told (see {@link initialStep}). */
  readonly initialStep?: S
  /** Steps tried, accepted or not; 10,000 unless told. */
  readonly maximumSteps?: number
}

/**
 * Where an integration stands.
 *
 * @since 0.1.0
 * @category models
 */
export interface State<V, S, M> {
  readonly t: S
  readonly y: V
  /** Size of the next step. */
  readonly h: S
  readonly memory: M
  readonly history: History<S>
  readonly accepted: S
  readonly rejected: S
  /** Evaluations of the right-hand side. */
  readonly evaluations: S
  readonly status: S
}

/**
 * The state of an integration before its first step. Throws `ProblemError` for a method that estimates no error, and for scalars
 * of `float16`: control takes errors and times of more digits, and numbers out of their range.
 *
 * @since 0.1.0
 * @category steps
 */
export const begin = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  y: V,
  options: Options<S> & { readonly initialStep: S }
): State<V, S, M> => {
  const { scalar, abs, sub, min, max, select } = stepper.carrier
  if (stepper.errorOrder === undefined) {
    throw new ProblemError({
      what: stepper.name,
      message: `${stepper.name} estimates no error, so its steps cannot be controlled: use constant steps, or a method with an embedded one`
    })
  }
  if (stepper.carrier.epsilon > 2 ** -20) {
    throw new ProblemError({
      what: stepper.name,
      message: `${stepper.name}: steps cannot be controlled in float16, whose times and errors have 11 bits: take Carrier.tensor({ dtype: "float32" }) and cast within the right-hand side, or constant steps`
    })
  }
  stepper.carrier.require?.(y)
  const t = options.from
  const moves = stepper.carrier.less(scalar(0), abs(sub(options.to, t)))
  // a first step that is not finite comes from a derivative that is not
  const sound = stepper.carrier.isFinite(options.initialStep)
  const { controller, initialStep } = options
  const bounded = min(initialStep, scalar(controller.maximumStep))
  return {
    t,
    y,
    h: max(bounded, smallestStep(stepper.carrier, t, options)),
    memory: stepper.start(t, y),
    history: { last: scalar(1), before: scalar(1) },
    accepted: scalar(0),
    rejected: scalar(0),
    evaluations: scalar(stepper.evaluations.start),
    status: select(
      moves,
      select(sound, scalar(status.running), scalar(status.nonFinite)),
      scalar(status.done)
    )
  }
}

/** No smaller steps: they hardly change the time, or not at all; near 0 they would go on shrinking for very long. */
const smallestStep = <V, S, B>(
  { scalar, mul, abs, sub, max, epsilon }: Carrier<V, S, B>,
  t: S,
  { to, controller }: Pick<Options<S>, "to" | "controller">
): S =>
  max(
    scalar(controller.minimumStep),
    max(mul(abs(t), scalar(4 * epsilon)), mul(abs(sub(to, t)), scalar(1e-30)))
  )

/**
 * The error of a step in units of the tolerance. With a coarse estimate beside the fine one it is
 * fine²/√(fine² + coarse²/100) (Hairer, Nørsett and Wanner, II.10, for their code of order 8).
 */
const errorOf = <V, S, B, M, D>(
  { carrier }: Stepper<V, S, B, M, D>,
  tried: Step<V, S, B, M, D>,
  before: V,
  controller: Controller
): S => {
  const { scalar, add, mul, div, max, pow } = carrier
  const norm = (error: V) => errorNorm(carrier, error, before, tried.y, controller)
  const fine = norm(tried.error as V)
  if (tried.coarse === undefined) return fine
  const coarse = mul(norm(tried.coarse), scalar(0.1))
  const both = pow(add(mul(fine, fine), mul(coarse, coarse)), 0.5)
  return mul(fine, div(fine, max(both, scalar(1e-30))))
}

/**
 * One step tried. Systems that have ended stay as they are, and those that are not `active`.
 *
 * @since 0.1.0
 * @category steps
 */
export const advance = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  options: Options<S>,
  now: State<V, S, M>,
  active?: B
): { readonly next: State<V, S, M>; readonly accepted: B; readonly h: S; readonly dense: D } => {
  const { carrier } = stepper
  const { to, controller, maximumSteps = 10_000 } = options
  const { scalar, add, sub, mul, min, max, abs, less, and, not, select } = carrier
  const errorOrder = stepper.errorOrder ?? 1
  const alive = isRunning(carrier, now)
  const running = active === undefined ? alive : and(alive, active)
  const forward = less(now.t, to)
  const rest = abs(sub(to, now.t))
  // a step that nearly arrives does arrive, so that no crumb is left over
  const arrives = not(less(mul(now.h, scalar(1.01)), rest))
  const size = select(arrives, rest, now.h)
  const h = select(forward, size, sub(scalar(0), size))
  const tried = stepper.step(now.t, h, now.y, now.memory)
  const norm = errorOf(stepper, tried, now.y, controller)
  const finite = and(carrier.isFinite(norm), carrier.allFinite(tried.y))
  const converged = tried.converged === undefined ? finite : and(finite, tried.converged)
  const error = select(converged, norm, scalar(1e10))
  const good = and(converged, not(less(scalar(1), error)))
  const accepted = and(running, good)
  const t = select(arrives, to, add(now.t, h))

  const scaled = mul(size, factor(controller, carrier, errorOrder, error, now.history, good))
  const smallest = smallestStep(carrier, now.t, options)
  const wanted = max(min(scaled, scalar(controller.maximumStep)), smallest)
  // the last step was cut short by the end, not by the error: it says nothing about the next
  const stuck = and(not(good), not(less(smallest, size)))
  const before = add(now.accepted, now.rejected)
  const count = add(before, scalar(1))
  // a step that rounding takes to the end has arrived, too
  const ended = and(good, not(less(scalar(0), abs(sub(to, t)))))
  // scalars of few digits cannot count far: where they stop, so must the loop
  const counted = and(less(before, count), less(count, scalar(maximumSteps)))
  const exhausted = and(not(ended), not(counted))
  const code = (when: B, value: number, otherwise: S): S => select(when, scalar(value), otherwise)
  const reason = code(
    ended,
    status.done,
    code(stuck, status.minimumStep, code(exhausted, status.maximumSteps, scalar(status.running)))
  )
  const broken = and(stuck, not(finite))
  const stalled = and(stuck, and(finite, not(converged)))
  const ending = code(broken, status.nonFinite, code(stalled, status.diverged, reason))
  const one = scalar(1)
  const inverse = carrier.div(one, max(error, scalar(1e-10)))
  return {
    accepted,
    h,
    dense: tried.dense,
    next: {
      t: select(accepted, t, now.t),
      y: carrier.choose(accepted, tried.y, now.y),
      h: select(running, wanted, now.h),
      memory: carrier.choose(accepted, tried.memory, now.memory),
      history: {
        last: select(accepted, inverse, now.history.last),
        before: select(accepted, now.history.last, now.history.before)
      },
      accepted: select(accepted, add(now.accepted, one), now.accepted),
      rejected: select(and(running, not(good)), add(now.rejected, one), now.rejected),
      evaluations: select(
        running,
        add(now.evaluations, tried.evaluations ?? scalar(stepper.evaluations.step)),
        now.evaluations
      ),
      status: select(running, ending, now.status)
    }
  }
}

/**
 * @since 0.1.0
 * @category getters
 */
export const isRunning = <V, S, B, M>(
  carrier: Carrier<V, S, B>,
  { status: code }: State<V, S, M>
): B => carrier.less(code, carrier.scalar(0.5))

/**
 * Steps until the end, or until it cannot go on.
 *
 * @since 0.1.0
 * @category steps
 */
export const run = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  y: V,
  options: Options<S> & { readonly initialStep: S }
): State<V, S, M> =>
  stepper.carrier.loop(
    begin(stepper, y, options),
    (state) => isRunning(stepper.carrier, state),
    (state) => advance(stepper, options, state).next
  )

/**
 * A first step (Hairer, Nørsett and Wanner, II.4): two evaluations of the right-hand side tell how fast things change.
 *
 * @since 0.1.0
 * @category steps
 */
export const initialStep = <V, S, B>(
  carrier: Carrier<V, S, B>,
  f: (t: S, y: V) => V,
  y: V,
  { from, to, controller }: Pick<Options<S>, "from" | "to" | "controller">,
  errorOrder: number
): S => {
  const { scalar, mul, div, min, max, abs, sub, select, less, add } = carrier
  const length = abs(sub(to, from))
  const direction = select(less(from, to), scalar(1), scalar(-1))
  const size = (v: V) => errorNorm(carrier, v, y, y, controller)
  const first = f(from, y)
  const [d0, d1] = [size(y), size(first)]
  const tiny = scalar(1e-5)
  const careful = carrier.or(less(d0, tiny), less(d1, tiny))
  const rough = select(careful, scalar(1e-6), div(mul(scalar(0.01), d0), max(d1, scalar(1e-30))))
  // beyond the end the right-hand side may not be defined
  const h0 = min(rough, length)
  const signed = mul(direction, h0)
  const second = f(
    add(from, signed),
    carrier.combine([
      [1, y],
      [signed, first]
    ])
  )
  const d2 = div(
    size(
      carrier.combine([
        [1, second],
        [-1, first]
      ])
    ),
    max(h0, scalar(1e-30))
  )
  const steep = max(d1, d2)
  const h1 = select(
    less(steep, scalar(1e-15)),
    max(scalar(1e-6), mul(h0, scalar(1e-3))),
    carrier.pow(div(scalar(0.01), max(steep, scalar(1e-15))), 1 / errorOrder)
  )
  const chosen = min(min(mul(scalar(100), h0), h1), length)
  return min(max(chosen, scalar(controller.minimumStep)), scalar(controller.maximumStep))
}
