/**
 * UniPC: a unified predictor–corrector (Zhao et al. 2023, arXiv:2302.04867).
 *
 * UniP of order p steps from s to t with the predictions at the last p levels, and UniC corrects what it found with the prediction at t
 * itself, which the next step needs anyway: order p + 1 without another evaluation. For predicted data, with h = λ_t − λ_s, rₘ the place
 * of another level in units of h, and Dₘ = mₘ − m₀,
 *
 *     x_t = (σ_t/σ_s) x_s + α_t(1 − e^(−h)) m₀ − α_t B(h) Σ ρₘ Dₘ/rₘ
 *
 * and the like for predicted noise, where h has the other sign. The ρₘ solve a linear system that makes polynomials exact, so that B(h)
 * cancels: the step is the exact integral of the polynomial through the predictions. Only where there are two of them ρ is ½ and B matters:
 * it is −h (`bh1`) or e^(−h) − 1 (`bh2`).
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
  /** Of the predictor, from 1 to 4; 2 unless told. */
  readonly order?: number
  /** B(h), for orders 1 and 2; `bh2` unless told. */
  readonly solver?: "bh1" | "bh2"
  /** What is integrated; `data` unless told. */
  readonly prediction?: "data" | "noise"
  /** Whether the last steps are of lower order, the very last of order 1; `true` unless told. A number is the order of the last step. */
  readonly lowerOrderFinal?: boolean | number
  /** The steps, from 0, whose results are not corrected; `true` for all of them. */
  readonly disableCorrector?: boolean | ReadonlyArray<number>
  /** Whether the state at the plan's last level is corrected too, by one more evaluation there; `false` unless told. */
  readonly correctLast?: boolean
  /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
  readonly clipped?: boolean
}

const rules = {
  bh1: exponential.withSecond((k) => k / 2),
  bh2: exponential.withSecond((k) => exponential.moment(k, 0) / 2)
}

/**
 * UniPC. Throws `DiffusionError` for options out of range.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options = {}): Sampler.Sampler => {
  const {
    order = 2,
    solver = "bh2",
    prediction = "data",
    lowerOrderFinal = true,
    disableCorrector = false,
    correctLast = false,
    clipped = false
  } = options
  demand(
    Number.isInteger(order) && order >= 1 && order <= 4,
    "UniPc.make",
    "options",
    `the order must be 1, 2, 3 or 4, not ${order}`
  )
  demand(solver in rules, "UniPc.make", "options", `the solver must be bh1 or bh2, not ${solver}`)
  const disabled = (step: number) =>
    typeof disableCorrector === "boolean" ? disableCorrector : disableCorrector.includes(step)
  return Sampler.linear(`UniPC, order ${order}`, (plan) => {
    demand(
      !correctLast || !exponential.ends(plan),
      "UniPC",
      "plan",
      'without noise there is nothing to correct: leave out `correctLast`, or take a plan with `end: "first"`'
    )
    const orders = exponential.falling(order, lowerOrderFinal, exponential.ends(plan))
    return exponential.multistep(plan, {
      prediction,
      source: exponential.sourceOf(prediction, clipped),
      order: orders,
      rule: rules[solver],
      eta: () => 0,
      corrector: (i, steps) => (disabled(i - 1) ? 0 : Math.min(orders(i - 1, steps), i) + 1),
      correctLast
    })
  })
}
