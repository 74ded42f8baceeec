/**
 * SA-Solver: stochastic Adams (Xue et al. 2023, arXiv:2309.05019).
 *
 * The reverse SDE of strength τ(t), between the probability-flow ODE (τ = 0) and the reverse SDE (τ = 1) and beyond, is solved by
 *
 *     x_t = (σ_t/σ_s)e^(−τ²h) x_s + (1 + τ²)σ_t ∫ e^(−τ²(λ_t−λ) + λ) x₀(λ) dλ + σ_t √(1 − e^(−2τ²h)) ξ
 *
 * with τ constant over each step. The predictor (Adams–Bashforth, algorithm 1) integrates the polynomial through the predictions at
 * the last levels, the corrector (Adams–Moulton) one through that at t as well, with the same ξ. With two predictions of data the moment of
 * the slope is not the exact one but (1 + τ²)h/2, as published.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as exponential from "./internal/exponential.ts"
import * as Sampler from "./Sampler.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many predictions the predictor uses, from 1 to 4; 2 unless told. */
  readonly predictorOrder?: number
  /** How many predictions the corrector uses, the newest included, up to 4, or 0 for no corrector; 2 unless told. */
  readonly correctorOrder?: number
  /** What is integrated; `data` unless told. */
  readonly prediction?: "data" | "noise"
  /** τ at a step's first timestep; unless told 1 from timestep 200 to 800, and 0 otherwise. */
  readonly tau?: (timestep: number) => number
  /** Whether the last steps are of lower order, the very last of order 1; `true` unless told. A number is the order of the last step. */
  readonly lowerOrderFinal?: boolean | number
  /** Whether the state at the plan's last level is corrected too, by one more evaluation there; `false` unless told. */
  readonly correctLast?: boolean
  /** Multiplies fresh noise; 1 unless told. */
  readonly sNoise?: number
  /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
  readonly clipped?: boolean
}

/**
 * SA-Solver. Throws `DiffusionError` for options out of range.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options = {}): Sampler.Sampler => {
  const {
    predictorOrder = 2,
    correctorOrder = 2,
    prediction = "data",
    tau = (timestep: number) => (timestep >= 200 && timestep <= 800 ? 1 : 0),
    lowerOrderFinal = true,
    correctLast = false,
    sNoise = 1,
    clipped = false
  } = options
  const what = "SaSolver.make"
  demand(
    [predictorOrder, correctorOrder + 1].every(
      (each) => Number.isInteger(each) && each >= 1 && each <= 5
    ) && predictorOrder <= 4,
    what,
    "options",
    `the predictor's order must be from 1 to 4, not ${predictorOrder}, and the corrector's from 0 to 4, not ${correctorOrder}`
  )
  return Sampler.linear(`SA-Solver, orders ${predictorOrder} and ${correctorOrder}`, (plan) => {
    demand(
      !correctLast || !exponential.ends(plan),
      "SA-Solver",
      "plan",
      'without noise there is nothing to correct: leave out `correctLast`, or take a plan with `end: "first"`'
    )
    const ends = exponential.ends(plan)
    return exponential.multistep(plan, {
      prediction,
      source: exponential.sourceOf(prediction, clipped),
      order: exponential.falling(predictorOrder, lowerOrderFinal, ends),
      rule: prediction === "data" ? exponential.withSecond((k) => k / 2) : exponential.exact,
      eta: ({ timestep }) => tau(timestep) ** 2,
      scale: sNoise,
      // one more than the predictor that went before may use
      corrector:
        correctorOrder === 0
          ? () => 0
          : (i, steps) => exponential.falling(correctorOrder, lowerOrderFinal, false)(i - 2, steps),
      correctLast
    })
  })
}
