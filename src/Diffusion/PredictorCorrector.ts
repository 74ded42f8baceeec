/**
 * Predictor–corrector sampling (Song et al. 2021, arXiv:2011.13456, algorithm 1): between the steps of a sampler, the predictor, Langevin
 * dynamics corrects the state at the level where it is,
 *
 *     x ← x + δ s + √(2δ) z,  δ = 2 (r ‖z‖/‖s‖)²,  s = ∇log p(x) = (αx̂₀ − x)/σ²,
 *
 * with r the ratio of signal to noise in a correction (algorithms 4 and 5). Norms are those of each item by itself, where the authors take
 * the mean over the batch; their factor 1 − βᵢ for variance-preserving schedules, within 2 per cent of 1, is left out.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import { combine, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as flow from "./internal/flow.ts"
import type * as Plan from "./Plan.ts"
import type { Registers, Sampler, Steps } from "./Sampler.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The sampler that takes the steps. */
  readonly predictor: Sampler
  /** r, 0.16 unless told. */
  readonly snr?: number
  /** Corrections before each step, 1 unless told. */
  readonly corrections?: number
}

/** ‖x‖ of each item. */
const norm = (x: State): State =>
  Tensor.sqrt(
    Tensor.sum(Tensor.square(x), { axis: x.shape.map((_, i) => i).slice(1) }) as State
  ) as State

const same = (a: Plan.Level, b: Plan.Level): boolean => a.sigma * b.alpha === b.sigma * a.alpha

/**
 * A sampler with corrections. As in the authors' code they come before each step of the predictor, so that the state at the plan's first
 * level is corrected and that at its last is not; of several evaluations that a predictor makes at one level, before the last of them. Each
 * correction asks the denoiser once.
 *
 * Throws `DiffusionError` for a ratio or a count that makes no sense, and for a predictor that asks at none of the plan's levels.
 *
 * ```ts
 * const sampler = PredictorCorrector.make({ predictor: Ddpm.make(), snr: 0.16 })
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = ({ predictor, snr = 0.16, corrections = 1 }: Options): Sampler => {
  const what = "PredictorCorrector.make"
  demand(snr > 0, what, "options", `the ratio of signal to noise must be above 0, not ${snr}`)
  demand(
    Number.isInteger(corrections) && corrections > 0,
    what,
    "options",
    `the number of corrections must be a whole number above 0, not ${corrections}`
  )
  const steps = (plan: Plan.Plan): Steps => {
    const own = predictor.steps(plan)
    const { levels, columns } = own
    const last = plan.levels
      .slice(0, -1)
      .map((level) => levels.findLastIndex((each) => same(each, level)))
    demand(
      last.some((i) => i >= 0),
      what,
      "sampler",
      `${predictor.name} never asks at a level of the plan, so there is nowhere to correct it: take a sampler without churn`
    )
    /** The predictor's evaluation that each row is, or comes before. */
    const rows = levels.flatMap((_, i) => [
      ...Array.from({ length: last.includes(i) ? corrections : 0 }, () => ({ i, corrects: 1 })),
      { i, corrects: 0 }
    ])
    const either = (row: Readonly<Record<string, State>>, then: State, otherwise: State): State =>
      Tensor.select(Tensor.greater(row.corrects, 0), then, otherwise) as State
    const { before } = own
    return {
      levels: rows.map(({ i }) => levels[i]),
      columns: {
        ...Object.fromEntries(
          Object.entries(columns).map(([name, values]) => [name, rows.map(({ i }) => values[i])])
        ),
        corrects: rows.map(({ corrects }) => corrects)
      },
      registers: own.registers,
      stochastic: true,
      ...(before === undefined
        ? {}
        : { before: (given) => either(given.row, given.registers.x, before(given)) }),
      step: (given) => {
        const { registers, row, level, estimate, noise } = given
        const { x } = registers
        // δs = −(δ/σ)ε̂, and ‖s‖ = ‖ε̂‖/σ
        const slope = flow.noiseOf(x, estimate.data, level)
        const size = Tensor.mul(
          Tensor.mul(Tensor.div(norm(noise), norm(slope)) as State, level.sigma),
          snr
        ) as State
        const delta = Tensor.mul(Tensor.square(size), 2) as State
        const corrected = combine(
          [1, x],
          [Tensor.neg(Tensor.div(delta, level.sigma)) as State, slope],
          [Tensor.sqrt(Tensor.mul(delta, 2)) as State, noise]
        )
        const next = own.step(given)
        return Object.fromEntries(
          Object.entries(next).map(([name, each]) => [
            name,
            either(row, name === "x" ? corrected : registers[name], each)
          ])
        ) as unknown as Registers
      }
    }
  }
  return { name: `${predictor.name}, corrected`, steps }
}
