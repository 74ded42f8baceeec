/**
 * DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927, algorithm 1) in the noise r = σ/α: a midpoint method whose middle is that of log r,
 *
 *     x̃ = α̃x₀ + σ̃ε,                    r̃ = √(r r′)
 *     x′/α′ = x/α + (r′ − r) ε̃,
 *
 * with the ε̃ that the denoiser finds at x̃ (k-diffusion's `sample_dpm_2`, diffusers' `KDPM2DiscreteScheduler`). The step to σ = 0 is
 * Euler's: N steps take 2N − 1 evaluations. There must be signal at the first level.
 *
 * @since 0.1.0
 */
import * as Euler from "./Euler.ts"
import type * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"

/** From a level by way of the middle to the noise `down` beside a next level, and up from there with noise. */
const step = (
  plan: Plan.Plan,
  start: Pick<Sampler.Row, "level" | "before">,
  to: Plan.Level,
  down: number,
  up: number
): ReadonlyArray<Sampler.Row> => {
  const { alpha, sigma } = start.level
  const from = sigma / alpha
  const fresh: Sampler.Sum = up === 0 ? {} : { fresh: to.alpha * up }
  if (down === 0) return [{ ...start, next: { x: { data: to.alpha, ...fresh } } }]
  const middle = middleOf(plan, from, down)
  return [
    { ...start, next: { x: { data: middle.alpha, slope: middle.sigma }, begin: { x: 1 } } },
    {
      level: middle,
      next: { x: { begin: to.alpha / alpha, slope: to.alpha * (down - from), ...fresh } }
    }
  ]
}

/** The level in the middle of two noises, in the plan's coordinates, with exactly its noise even beyond the schedule's ends. */
const middleOf = (plan: Plan.Plan, a: number, b: number): Plan.Level => {
  const noise = Math.sqrt(a * b)
  const level = plan.between(-2 * Math.log(noise))
  return { ...level, sigma: noise * level.alpha }
}

/**
 * DPM-Solver-2; with `churn` noise is added before each step, as by {@link Euler.Churn}.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Euler.Churn = {}): Sampler.Sampler =>
  Sampler.linear(options.churn ? `DPM2, churn = ${options.churn}` : "DPM2", (plan) =>
    plan.levels
      .slice(1)
      .flatMap((to, i) => step(plan, Euler.churned(plan, i, options), to, to.sigma / to.alpha, 0))
  )

/**
 * DPM2 ancestral: DPM-Solver-2 down to less noise than the next level has, and noise up to it, as by {@link Euler.ancestralStep}.
 *
 * @since 0.1.0
 * @category samplers
 */
export const ancestral = (options: Euler.Ancestral = {}): Sampler.Sampler => {
  const { eta, scale } = Euler.ancestralOptions(options, "Dpm2.ancestral")
  return Sampler.linear(`DPM2 ancestral, η = ${eta}`, (plan) =>
    plan.levels.slice(1).flatMap((to, i) => {
      const level = plan.levels[i]
      const { down, up } = Euler.ancestralStep(level.sigma / level.alpha, to.sigma / to.alpha, eta)
      return step(plan, { level }, to, down, scale * up)
    })
  )
}
