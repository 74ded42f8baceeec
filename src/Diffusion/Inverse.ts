/**
 * Inverse problems: samples of what is known in part, x₀ given y.
 *
 * *Replacement* (Song et al. 2021, arXiv:2011.13456, appendix I.2) puts what is known, with as much noise as the state has, where it is
 * known. *RePaint* (Lugmayr et al. 2022, arXiv:2201.09865) does the same and goes back and forth, so that what is not known comes to agree
 * with what is.
 *
 * *Diffusion posterior sampling* (DPS: Chung et al. 2023, arXiv:2209.14687) takes p(y | x) to be the likelihood of the estimate x̂₀(x),
 * whose gradient in x goes through the denoiser. *Pseudoinverse guidance* (ΠGDM: Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion
 * models for inverse problems") does so for y = Ax₀ + σ_y z with the uncertainty of x₀ in it, N(Ax̂₀, r²AAᵀ + σ_y²). Where the data is
 * Gaussian and r² its variance given x, that is exact.
 *
 * @since 0.1.0
 */
import { Gradient, Tensor } from "../Tensor/index.ts"
import { combine, type Denoiser, type Estimate, type Level, over, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as Guidance from "./Guidance.ts"
import type * as Plan from "./Plan.ts"
import type { Registers, Sampler, Steps } from "./Sampler.ts"

/**
 * What is known of the data.
 *
 * @since 0.1.0
 * @category models
 */
export interface Known {
  /** Shaped like the states, or so that it broadcasts to them; what it is elsewhere makes no difference. */
  readonly known: State
  /** 1 where it is known and 0 where not; broadcasts to the states. */
  readonly mask: State
}

/** a where the mask is 1, b where it is 0. */
const mixed = (mask: State, a: State, b: State): State =>
  Tensor.add(b, Tensor.mul(mask, Tensor.sub(a, b) as State) as State) as State

/**
 * Any sampler, with what is known put in its place before each evaluation and at the end. It draws noise for it.
 *
 * ```ts
 * const sampler = Inverse.replacement({ sampler: Ddim.make(), known: photograph, mask })
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const replacement = (options: Known & { readonly sampler: Sampler }): Sampler => {
  const { sampler, known, mask } = options
  return {
    name: `${sampler.name} with replacement`,
    steps: (plan) => {
      const inner = sampler.steps(plan)
      const end = plan.levels[plan.levels.length - 1]
      const count = inner.levels.length
      const column = (f: (i: number) => number) => Array.from({ length: count }, (_, i) => f(i))
      return {
        ...inner,
        stochastic: true,
        columns: {
          ...inner.columns,
          "known signal": inner.levels.map(({ alpha }) => alpha),
          "known noise": inner.levels.map(({ sigma }) => sigma),
          ended: column((i) => (i === count - 1 ? 1 : 0))
        },
        before: (given) => {
          const { registers, row, noise } = given
          const noised = combine([row["known signal"], known], [row["known noise"], noise])
          return mixed(mask, noised, inner.before?.(given) ?? registers.x)
        },
        step: (given) => {
          const next = inner.step(given)
          const noised = combine([end.alpha, known], [end.sigma, given.noise])
          const place = Tensor.mul(mask, given.row.ended) as State
          return { ...next, x: mixed(place, noised, next.x) }
        }
      }
    }
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RepaintOptions extends Known {
  /** j: how many steps it goes back at once, 10 unless told. */
  readonly jump?: number
  /** r: how often it goes through each stretch of j steps, 10 unless told; 1 is no going back. */
  readonly resamples?: number
  /** As in DDIM: 1, DDPM's variance, unless told. */
  readonly eta?: number
}

/**
 * RePaint's way through `count` steps: for each evaluation the level it is made at, and the one that noise is added up to after it, if
 * any (diffusers' `RePaintScheduler`). Each step leads to the next level.
 *
 * @since 0.1.0
 * @category plans
 */
export const repaintWalk = (
  count: number,
  { jump = 10, resamples = 10 }: Pick<RepaintOptions, "jump" | "resamples"> = {}
): ReadonlyArray<{ readonly at: number; readonly back: number | undefined }> => {
  const left = new Map<number, number>()
  for (let place = 0; place < count - jump; place += jump) left.set(place, resamples - 1)
  const walk: Array<{ readonly at: number; readonly back: number | undefined }> = []
  // places count from the data on
  for (let place = count - 1; place >= 0; place--) {
    const at = count - 1 - place
    const again = left.get(place) ?? 0
    walk.push({ at, back: again > 0 ? at + 1 - jump : undefined })
    if (again > 0) {
      left.set(place, again - 1)
      place += jump
    }
  }
  return walk
}

/**
 * RePaint (algorithm 1): from a level s to the next, t, and back to b where the walk goes back,
 *
 *     x_t = m(α_t y + σ_t z) + (1 − m)(α_t x₀ + √(σ_t² − σ̃²) ε + σ̃ z'),  x_b = α_b/α_t x_t + √(σ_b² − (α_bσ_t/α_t)²) z''.
 *
 * z, z' and z'' of an element are one draw, of their common variance. Going back is the forward process from t to b, whatever lies between;
 * where diffusers skips timesteps, it adds the noise of others (`undo_step` begins at t's own beta). Throws `DiffusionError` for jumps and resamples that are no
 * whole numbers from 1, and for η outside of [0, 1].
 *
 * @since 0.1.0
 * @category samplers
 */
export const repaint = (options: RepaintOptions): Sampler => {
  const { known, mask, jump = 10, resamples = 10, eta = 1 } = options
  for (const [name, value] of [
    ["jump", jump],
    ["resamples", resamples]
  ] as const) {
    demand(
      Number.isInteger(value) && value > 0,
      "Inverse.repaint",
      "options",
      `${name} must be a whole number of at least 1, not ${value}`
    )
  }
  demand(eta >= 0 && eta <= 1, "Inverse.repaint", "options", `η must be from 0 to 1, not ${eta}`)
  return {
    name: "RePaint",
    steps: ({ levels }) => {
      const rows = repaintWalk(levels.length - 1, { jump, resamples }).map(({ at, back }) =>
        coefficients(levels[at], levels[at + 1], back === undefined ? undefined : levels[back], eta)
      )
      const column = (f: (row: (typeof rows)[number]) => number) => rows.map(f)
      return {
        levels: rows.map(({ level }) => level),
        columns: {
          data: column(({ data }) => data),
          noise: column(({ noise }) => noise),
          fresh: column(({ fresh }) => fresh),
          known: column(({ known }) => known),
          "known fresh": column(({ knownFresh }) => knownFresh)
        },
        registers: [],
        stochastic: true,
        step: ({ row, estimate, noise }) => ({
          x: mixed(
            mask,
            combine([row.known, known], [row["known fresh"], noise]),
            combine([row.data, estimate.data], [row.noise, estimate.noise], [row.fresh, noise])
          )
        })
      }
    }
  }
}

const coefficients = (s: Plan.Level, t: Plan.Level, b: Plan.Level | undefined, eta: number) => {
  const variance = t.sigma ** 2 * (1 - ((s.alpha * t.sigma) / (t.alpha * s.sigma)) ** 2)
  const own = eta ** 2 * Math.max(0, variance)
  const scale = b === undefined ? 1 : b.alpha / t.alpha
  const added = b === undefined ? 0 : Math.max(0, b.sigma ** 2 - (scale * t.sigma) ** 2)
  return {
    level: s,
    data: scale * t.alpha,
    noise: scale * Math.sqrt(Math.max(0, t.sigma ** 2 - own)),
    fresh: Math.sqrt(scale ** 2 * own + added),
    known: scale * t.alpha,
    knownFresh: Math.sqrt((scale * t.sigma) ** 2 + added)
  }
}

/**
 * DPS (algorithm 1): any sampler, whose every step from x adds ζ times the gradient of a likelihood of the estimate,
 * ζ∇ₓ log p(y | x̂₀(x)). The paper's step ζ'/‖y − A(x̂₀)‖ for the squared distance is `logLikelihood` = −‖y − A(x̂₀)‖ with ζ = 2ζ'. As
 * the paper has it ζ does not depend on the plan; {@link Guidance.likelihood} of the estimate is the same as a score, which does.
 *
 * @since 0.1.0
 * @category samplers
 */
export const dps = (options: {
  readonly sampler: Sampler
  /** log p(y | x̂₀) for each item `[batch]`, or their sum. */
  readonly logLikelihood: (data: State, level: Level) => State
  /** ζ, 1 unless told. */
  readonly scale?: number
}): Sampler => {
  const { sampler, logLikelihood, scale = 1 } = options
  demand(
    Number.isFinite(scale),
    "Inverse.dps",
    "options",
    `the scale must be finite, not ${scale}; 0 is no guidance`
  )
  if (scale === 0) return sampler
  const step =
    (inner: Steps): Steps["step"] =>
    (given) => {
      const { registers, level, estimate } = given
      const next = inner.step(given)
      const total = Tensor.sum(logLikelihood(estimate.data, level)) as State
      const slope = Gradient.of(total, registers.x)
      return { ...next, x: combine([1, next.x], [scale, slope]) } as Registers
    }
  return {
    name: `${sampler.name} with DPS`,
    steps: (plan) => {
      const inner = sampler.steps(plan)
      return { ...inner, step: step(inner) }
    }
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PseudoInverseOptions {
  readonly denoiser: Denoiser
  /** A: linear, from data to what is measured of it. */
  readonly operator: (data: State) => State
  /** y, shaped like what the operator gives. */
  readonly measured: State
  /** σ_y, 0 unless told. */
  readonly deviation?: number
  /** r², the variance of the data given a state: σ²/(α² + σ²), that of standard normal data, unless told. */
  readonly variance?: (level: Level) => State
  /** (r²AAᵀ + σ_y²)⁻¹ of a residual; unless told that for AAᵀ = 1, as for masks, or anything with orthonormal rows. */
  readonly solve?: (residual: State, variance: State) => State
}

/**
 * ΠGDM: a denoiser of the data given y = Ax₀ + σ_y z,
 *
 *     ∇ log p(y | x) = (∂x̂₀/∂x)ᵀ Aᵀ (r²AAᵀ + σ_y²)⁻¹ (y − Ax̂₀).
 *
 * Throws `DiffusionError` for a deviation below 0.
 *
 * ```ts
 * const zoomed = Inverse.pseudoInverse({
 *   denoiser,
 *   // the mean of 2×2 pixels, times 2: orthonormal
 *   operator: (data) => Tensor.mul(Tensor.avgPool(data, { window: 2 }), 2),
 *   measured: Tensor.mul(small, 2),
 *   deviation: 0.1
 * })
 * ```
 *
 * @since 0.1.0
 * @category denoisers
 */
export const pseudoInverse = (options: PseudoInverseOptions): Denoiser => {
  const { denoiser, operator, measured, deviation = 0 } = options
  const { variance = ofStandardNormal, solve } = options
  demand(
    deviation >= 0 && Number.isFinite(deviation),
    "Inverse.pseudoInverse",
    "options",
    `the deviation of what is measured must be 0 or more, not ${deviation}`
  )
  const plain = (residual: State, r2: State): State =>
    Tensor.div(residual, over(Tensor.add(r2, deviation ** 2) as State, residual)) as State
  return Guidance.likelihood({
    denoiser,
    logLikelihood: ({ estimate, level }: { estimate: Estimate; level: Level }) => {
      const expected = operator(estimate.data)
      const residual = Tensor.sub(measured, expected) as State
      // a sum whose gradient in what is expected is this
      const pull = Tensor.stopGradient((solve ?? plain)(residual, variance(level))) as State
      return Tensor.mul(pull, expected) as State
    }
  })
}

const ofStandardNormal = ({ alpha, sigma }: Level): State => {
  const noise = Tensor.square(sigma) as State
  return Tensor.div(noise, Tensor.add(Tensor.square(alpha), noise) as State) as State
}
