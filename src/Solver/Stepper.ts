/**
 * Steppers: a method bound to a problem and a carrier, as what the integrators drive.
 *
 * Whatever kind a problem is (first or second order, semilinear, stochastic), its methods come down to this one interface, so
 * step control, outputs and adjoints are written once.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"

/**
 * The right-hand side of y' = f(t, y).
 *
 * @since 0.1.0
 * @category models
 */
export type RightHandSide<V, S> = (t: S, y: V) => V

/**
 * What one step gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step<V, S, B, M, D> {
  readonly y: V
  /** An estimate of the error in `y`; only where the method has one. */
  readonly error: V | undefined
  /** A second, coarser estimate, which tempers the first (see `Tableau.embedded`). */
  readonly coarse?: V | undefined
  /** What the next step may use, if this one is accepted. */
  readonly memory: M
  /** What the interpolant needs. */
  readonly dense: D
  /** Whether an inner iteration (Newton's) converged; only where there is one. */
  readonly converged?: B
  /** Evaluations of the right-hand side, where not every step takes `evaluations.step` of them. */
  readonly evaluations?: S
}

/**
 * A method bound to a problem. `M` is what it remembers from step to step, `D` what a step leaves for the interpolant: both
 * trees (records and arrays) of vectors, scalars and verdicts of the carrier, of the same structure after every step, so
 * that they can be carried through loops on a device.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stepper<V, S, B, M = any, D = any> {
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
  /** y' at (t, y), from which the first step's size is found; without it that size must be told. */
  readonly derivative?: RightHandSide<V, S>
  /** The same, whose steps leave what `interpolate` needs. */
  readonly dense: () => Stepper<V, S, B>

  readonly start: (t: S, y: V) => M
  /**
   * From t to t + h. Where scalars are tensors, a size that is a plain number is that of all steps.
   */
  readonly step: (t: S, h: S | number, y: V, memory: M) => Step<V, S, B, M, D>
  /**
   * How the first steps are taken where there are not yet as many values behind as the method looks back at. It takes and
   * leaves the same memory.
   */
  readonly lead?: { readonly steps: number; readonly step: Stepper<V, S, B, M, D>["step"] }
  /** From the end of a step back to where it began, (t + h, y, memory) to (t, y, memory): reversible methods only. */
  readonly inverse?: (t: S, h: S | number, y: V, memory: M) => { readonly y: V; readonly memory: M }
  /** The state at t + θh, from both ends of a step and what it left. */
  readonly interpolate: (at: {
    readonly theta: S
    readonly h: S | number
    readonly before: V
    readonly after: V
    readonly dense: D
  }) => V
  /** The derivatives that a step takes, in order: so that a failure can say at which of them it began. */
  readonly stages?: (t: S, h: S | number, y: V, memory: M) => ReadonlyArray<V>
}

type Coefficient<S> = S | number

/** h·a: a plain number as long as h is one. */
export const times = <V, S, B>(
  carrier: Carrier<V, S, B>,
  h: Coefficient<S>,
  a: number
): Coefficient<S> => (typeof h === "number" ? h * a : carrier.mul(h, carrier.scalar(a)))

/** t + c·h. */
export const later = <V, S, B>(
  carrier: Carrier<V, S, B>,
  t: S,
  h: Coefficient<S>,
  c: number
): S => {
  if (c === 0) return t
  const shift = times(carrier, h, c)
  return carrier.add(t, typeof shift === "number" ? carrier.scalar(shift) : shift)
}

/** Scalars that may be plain numbers, multiplied. */
export const product = <V, S, B>(carrier: Carrier<V, S, B>, a: S, h: Coefficient<S>): S =>
  carrier.mul(a, typeof h === "number" ? carrier.scalar(h) : h)

/** The terms hwᵢkᵢ of a sum, leaving out weights that are 0. */
export const weighted = <V, S, B>(
  carrier: Carrier<V, S, B>,
  h: Coefficient<S>,
  weights: ReadonlyArray<number>,
  k: ReadonlyArray<V>
): ReadonlyArray<readonly [Coefficient<S>, V]> =>
  weights.flatMap((weight, i) => (weight === 0 ? [] : [[times(carrier, h, weight), k[i]] as const]))

/** Hermite's cubic through both ends and their derivatives (Hairer, Nørsett and Wanner, II.6): of order 3. */
export const cubic = <V, S, B>(
  carrier: Carrier<V, S, B>,
  at: {
    readonly theta: S
    readonly h: S | number
    readonly before: V
    readonly after: V
    /** y' at both ends. */
    readonly first: V
    readonly last: V
  }
): V => {
  const { scalar, sub, mul } = carrier
  const { theta, h } = at
  const rest = sub(scalar(1), theta)
  const bow = mul(theta, rest)
  const tilt = mul(bow, sub(scalar(1), mul(scalar(2), theta)))
  // (1 − θ)y₀ + θy₁ + θ(θ − 1)((1 − 2θ)(y₁ − y₀) + (θ − 1)hf₀ + θhf₁)
  return carrier.combine([
    [carrier.add(rest, tilt), at.before],
    [sub(theta, tilt), at.after],
    [product(carrier, mul(bow, rest), h), at.first],
    [product(carrier, sub(scalar(0), mul(bow, theta)), h), at.last]
  ])
}

/** The straight line between both ends: of order 1. */
export const line = <V, S, B>(carrier: Carrier<V, S, B>, theta: S, before: V, after: V): V =>
  carrier.combine([
    [carrier.sub(carrier.scalar(1), theta), before],
    [theta, after]
  ])
