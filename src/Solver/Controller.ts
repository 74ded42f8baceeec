/**
 * Step-size control.
 *
 * Let E₀, E₁ and E₂ be the errors of this step and of the two accepted before, in units of the tolerance, and p the order
 * of the estimate plus one. The next step is
 *
 *     h · safety · E₀^(−(kP + kI + kD)/p) · E₁^((kP + 2kD)/p) · E₂^(−kD/p)
 *
 * clipped between shrink and growth (Söderlind 2003, Digital filters in adaptive time-stepping; Hairer and Wanner,
 * Solving Ordinary Differential Equations II, IV.2).
 *
 * @since 0.1.0
 */
import type { Carrier, Tolerance } from "./Carrier.ts"
import { ProblemError } from "./SolverError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Controller extends Tolerance {
  /** Coefficients of the proportional, integral and derivative parts. */
  readonly proportional: number
  readonly integral: number
  readonly derivative: number
  /** The new step is that much smaller than the one that would just do. */
  readonly safety: number
  /** A step is at most that many times the one before, … */
  readonly growth: number
  /** … and at least. */
  readonly shrink: number
  /**
   * No step is smaller, in units of time and whichever way it runs, but for the last. One that is rejected at that size ends
   * the integration with `MinimumStep`. 0 unless told; steps that rounding would swallow are not taken anyway.
   */
  readonly minimumStep: number
  /** No step is larger: for right-hand sides or events that a large one would step over. Without bound unless told. */
  readonly maximumStep: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export type Options = Pick<Controller, "absolute" | "relative"> & Partial<Controller>

/**
 * A PID controller; without coefficients an I controller (the classic one). Throws `ProblemError` for tolerances
 * or factors that make no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Controller => {
  const controller: Controller = {
    proportional: 0,
    integral: 1,
    derivative: 0,
    safety: 0.9,
    growth: 10,
    shrink: 0.2,
    minimumStep: 0,
    maximumStep: Number.POSITIVE_INFINITY,
    ...options
  }
  const demand = (holds: boolean, message: string): void => {
    if (!holds)
      throw new ProblemError({ what: "Controller.make", message: `Controller.make: ${message}` })
  }
  const { absolute, relative, safety, growth, shrink, minimumStep, maximumStep } = controller
  const { proportional, integral, derivative } = controller
  demand(
    absolute >= 0 && relative >= 0 && absolute + relative > 0,
    "tolerances must not be negative, and one of them positive"
  )
  demand(Number.isFinite(absolute + relative), "tolerances must be finite")
  demand(
    Number.isFinite(proportional + integral + derivative),
    `coefficients must be finite, not ${proportional}, ${integral} and ${derivative}`
  )
  demand(safety > 0 && safety <= 1, `safety ${safety} must be above 0 and at most 1`)
  demand(
    shrink > 0 && shrink < 1 && growth > 1,
    `shrink ${shrink} must be between 0 and 1, growth ${growth} above 1`
  )
  demand(
    minimumStep >= 0 && maximumStep > minimumStep,
    `the smallest step ${minimumStep} must be below the largest, ${maximumStep}`
  )
  return controller
}

/**
 * A PI controller with kP = 0.4 and kI = 0.3: the exponents 0.7/p and 0.4/p that Hairer and Wanner recommend.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pi = (options: Options): Controller =>
  make({ proportional: 0.4, integral: 0.3, ...options })

/**
 * A PID controller with kP = 0.2, kI = 0.3 and kD = 0.1, so with the exponents 0.6/p, 0.4/p and 0.1/p. These are no paper's: kP and
 * kI are the smallest that diffrax recommends for problems of middling difficulty, with a small derivative part. Söderlind's own
 * filter H312PID (2003, table III), for errors that do not vary smoothly, is `make` with kP = −2/9, kI = 2/9 and kD = 1/18.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pid = (options: Options): Controller =>
  make({ proportional: 0.2, integral: 0.3, derivative: 0.1, ...options })

/** Inverse errors of the last two accepted steps. */
export interface History<S> {
  readonly last: S
  readonly before: S
}

/** The factor for the next step, and the history if this one is accepted. */
export const factor = <V, S, B>(
  { proportional, integral, derivative, safety, growth, shrink }: Controller,
  carrier: Carrier<V, S, B>,
  errorOrder: number,
  error: S,
  history: History<S>,
  accepted: B
): S => {
  const { scalar, mul, min, max, pow, div, select } = carrier
  // an error of 0 would ask for an infinite step
  const inverse = div(scalar(1), max(error, scalar(1e-10)))
  const k = 1 / errorOrder
  const raw = [
    [inverse, integral + proportional + derivative],
    [history.last, -(proportional + 2 * derivative)],
    [history.before, derivative]
  ] as const
  const product = raw
    .filter(([, exponent]) => exponent !== 0)
    .map(([base, exponent]) =>
      exponent > 0 ? pow(base, exponent * k) : div(scalar(1), pow(base, -exponent * k))
    )
    .reduce((a, b) => mul(a, b), scalar(safety))
  const bounded = min(max(product, scalar(shrink)), scalar(growth))
  // after a rejection the step does not grow
  return select(accepted, bounded, min(bounded, scalar(1)))
}
