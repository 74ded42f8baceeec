/**
 * Events: where a condition along the solution changes its sign.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"
import type { Stepper } from "./Stepper.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Event<V, S> {
  readonly name: string
  /**
   * The event is where this passes through 0. Seen from one step's end to the next: two roots within one step cancel, so where
   * it may return that soon let the controller's `maximumStep` be less than the time between them.
   */
  readonly condition: (t: S, y: V) => S
  /** Which way it passes; `either` unless told. */
  readonly direction?: "rising" | "falling" | "either"
  /** Whether the integration ends there; it does unless told, and in programs always. */
  readonly terminal?: boolean
}

/** A step that was taken, with what its interpolant needs. */
export interface Taken<V, S, D> {
  readonly t: S
  readonly h: S
  readonly before: V
  readonly after: V
  readonly dense: D
}

/** The state at t + θh. */
export const stateAt = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  taken: Taken<V, S, D>,
  theta: S
): V => stepper.interpolate({ theta, ...taken })

/** Whether a condition passes through 0 between two values; one that begins at 0 does not, nor one that becomes NaN. */
export const crosses = <V, S, B>(
  carrier: Carrier<V, S, B>,
  direction: Event<V, S>["direction"],
  before: S,
  after: S
): B => {
  const { less, and, or, not, scalar } = carrier
  const zero = scalar(0)
  // false for NaN alone
  const known = or(less(after, scalar(1)), less(zero, after))
  const rises = and(and(less(before, zero), not(less(after, zero))), known)
  const falls = and(and(less(zero, before), not(less(zero, after))), known)
  return direction === "rising" ? rises : direction === "falling" ? falls : or(rises, falls)
}

/**
 * The θ in (0, 1] at which an event happens within a step that crosses it: by bisection on the step's interpolant, so to the
 * interpolant's accuracy.
 */
export const root = <V, S, B, M, D>(
  stepper: Stepper<V, S, B, M, D>,
  { condition, direction }: Event<V, S>,
  taken: Taken<V, S, D>,
  before: S
): S => {
  const { carrier } = stepper
  const { scalar, add, mul, select } = carrier
  // as many halvings of the step as θ has digits: 53 in double precision, 24 in float32
  const halvings = Math.round(1 - Math.log2(carrier.epsilon))
  const [{ high }] = carrier.repeat(
    { low: scalar(0), high: scalar(1) },
    Array.from({ length: halvings }, () => []),
    ({ low, high }) => {
      const middle = mul(add(low, high), scalar(0.5))
      const value = condition(add(taken.t, mul(middle, taken.h)), stateAt(stepper, taken, middle))
      const passed = crosses(carrier, direction, before, value)
      return [{ low: select(passed, low, middle), high: select(passed, middle, high) }, {}]
    }
  )
  return high
}
