/**
 * Simplified Newton iteration: equations g(x) = 0 solved with one approximate derivative for all rounds.
 *
 * Let Δ₁, Δ₂, … be the corrections, measured in units of what is tolerated, and θ = ‖Δₖ‖/‖Δₖ₋₁‖ the rate of convergence.
 * Then what is still missing after round k is about θ/(1 − θ)·‖Δₖ‖. The iteration has converged as soon as this is below 1,
 * or ‖Δₖ‖ itself below 0.1 (so θ need not be known in the first round, nor make sense among rounding errors). It has
 * failed as soon as θ ≥ 1, after its last round, or where something is not finite (Hairer and Wanner, Solving
 * Ordinary Differential Equations II, IV.8).
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Equation<V, S, B> {
  readonly guess: V
  /** −A⁻¹g(x), where A is near g′: what x lacks. It evaluates the right-hand side once. */
  readonly correction: (x: V) => V
  /** How large a correction is, in units of what is tolerated; x has it already. */
  readonly size: (correction: V, x: V) => S
  /** The greatest number of rounds. */
  readonly rounds: number
  /** Whether to try at all; if not, it has not converged. */
  readonly active: B
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Solution<V, S, B> {
  /** Where it did not converge: the last value before corrections began to grow. */
  readonly value: V
  readonly converged: B
  /** Rounds taken, which is how often the right-hand side was evaluated. */
  readonly evaluations: S
}

/**
 * The solution, found in the carrier's loop. Each of the systems side by side stops for itself.
 *
 * @since 0.1.0
 * @category solutions
 */
export const solve = <V, S, B>(
  carrier: Carrier<V, S, B>,
  { guess, correction, size, rounds, active }: Equation<V, S, B>
): Solution<V, S, B> => {
  const { scalar, add, sub, mul, div, less, and, or, not, verdict, choose } = carrier
  const one = scalar(1)
  const begin = {
    value: guess,
    norm: scalar(0),
    evaluations: scalar(0),
    converged: verdict(false),
    running: active
  }
  return carrier.loop(
    begin,
    ({ running }) => running,
    (now) => {
      const change = correction(now.value)
      const moved = carrier.combine([
        [1, now.value],
        [1, change]
      ])
      const norm = size(change, moved)
      const evaluations = add(now.evaluations, one)
      const first = less(evaluations, scalar(1.5))
      const small = less(norm, scalar(0.1))
      const shrinks = less(norm, now.norm)
      const missing = div(mul(norm, norm), sub(now.norm, norm))
      const converged = or(small, and(shrinks, less(missing, one)))
      const sound = or(or(first, small), shrinks)
      const further = and(not(converged), less(evaluations, scalar(rounds - 0.5)))
      const next = {
        value: choose(sound, moved, now.value),
        norm,
        evaluations,
        converged,
        running: and(sound, further)
      }
      return choose(now.running, next, now)
    }
  )
}
