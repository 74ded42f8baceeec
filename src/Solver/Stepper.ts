/**
 * Steppers: a method bound to a problem and a carrier, as what the integrator drives.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"

/**
 * What one step gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step<V, B, M, D> {
  readonly y: V
  /** An estimate of the error in `y`; only where the method has one. */
  readonly error: V | undefined
  /** What the next step may use, if this one is accepted. */
  readonly memory: M
  /** What the interpolant needs. */
  readonly dense: D
  /** Whether an inner iteration (Newton's) converged; only where there is one. */
  readonly converged?: B
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Stepper<V, S, B, M = unknown, D = unknown> {
  readonly name: string
  readonly carrier: Carrier<V, S, B>
  /** Order of the result. */
  readonly order: number
  /** Order of the error estimate plus one: it shrinks as h to that power. Without one there is no step control. */
  readonly errorOrder: number | undefined
  /** Order of the interpolant. */
  readonly denseOrder: number
  /** Evaluations of the right-hand side: at the start, and in each step. */
  readonly evaluations: { readonly start: number; readonly step: number }
  readonly start: (t: S, y: V) => M
  /** What is remembered after a step that was accepted, or not. */
  readonly choose: (accepted: B, next: M, before: M) => M
  readonly step: (t: S, h: S | number, y: V, memory: M) => Step<V, B, M, D>
  /** The state at t + θh, from both ends of a step and what it left. */
  readonly interpolate: (at: {
    readonly theta: S
    readonly h: S | number
    readonly before: V
    readonly after: V
    readonly dense: D
  }) => V
}
