/**
 * Heun's method on the probability-flow ODE dx = x₀ dα + ε dσ (Karras et al. 2022, arXiv:2206.00364, algorithms 1 and 2): an Euler step,
 * and then the mean of what the denoiser says at both ends,
 *
 *     x̃′ = α′x₀ + σ′ε
 *     x′ = x + (α′ − α)(x₀ + x̃₀′)/2 + (σ′ − σ)(ε + ε̃′)/2,
 *
 * the trapezoidal rule of both integrals, whatever the plan's coordinates: for α = 1 it is EDM's, for α = 1 − σ rectified flow's. The step
 * to σ = 0 is Euler's, where there is no ε: N steps take 2N − 1 evaluations.
 *
 * @since 0.1.0
 */
import { type Churn, churned } from "./Euler.ts"
import * as Sampler from "./Sampler.ts"

/**
 * Heun's method (algorithm 1); with `churn` the stochastic sampler of EDM (algorithm 2). The paper's settings for CIFAR-10, unconditional,
 * VP, are `{ churn: 30, from: 0.01, to: 1, scale: 1.007 }`.
 *
 * ```ts
 * const plan = Plan.karras(Schedule.edm(), 18)
 * const { x } = Sampler.sample({ sampler: Heun.make(), plan, denoiser }, noise)
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Churn = {}): Sampler.Sampler =>
  Sampler.linear(options.churn ? `Heun, churn = ${options.churn}` : "Heun", (plan) =>
    plan.levels.slice(1).flatMap((to, i): ReadonlyArray<Sampler.Row> => {
      const start = churned(plan, i, options)
      const euler = { data: to.alpha, slope: to.sigma }
      if (to.sigma === 0) return [{ ...start, next: { x: euler } }]
      const half = {
        data: (to.alpha - start.level.alpha) / 2,
        slope: (to.sigma - start.level.sigma) / 2
      }
      return [
        { ...start, next: { x: euler, half: { x: 1, ...half } } },
        { level: to, next: { x: { half: 1, ...half } } }
      ]
    })
  )
