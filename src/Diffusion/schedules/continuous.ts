/** Schedules in continuous time. */
import { demand } from "../DiffusionError.ts"
import * as field from "../internal/field.ts"
import { one, trainingSteps, within } from "../internal/schedule.ts"
import { fromLogSnr, make, type Schedule } from "./core.ts"

/** α² = e^(−B), and 1 − α². */
const decayed = <S>(of: field.Field<S>, total: S): { readonly alpha: S; readonly rest: S } => ({
  alpha: of.exp(of.mul(of.of(-0.5), total)),
  rest: of.sub(of.of(0), of.expm1(of.sub(of.of(0), total)))
})

/** B = ∫β of a time, with β rising from `min` to `max`; and the time of B. */
const integral = (what: string, { min = 0.1, max = 20 }: BetaRange) => {
  demand(
    min > 0 && max >= min && Number.isFinite(max),
    what,
    "schedule",
    `betas from ${min} to ${max} do not rise from above 0`
  )
  return {
    of: <S>(of: field.Field<S>, t: S): S =>
      of.mul(t, of.add(of.mul(t, of.of((max - min) / 2)), of.of(min))),
    time: (total: number): number =>
      within((2 * total) / (min + Math.sqrt(min * min + 2 * (max - min) * total)))
  }
}

/**
 * The rate β of a variance-preserving SDE at t = 0 and t = 1: 0.1 and 20 unless told.
 *
 * @since 0.1.0
 * @category models
 */
export interface BetaRange {
  readonly min?: number
  readonly max?: number
}

/**
 * The variance-preserving SDE with β rising linearly from `min` to `max` (Song et al. 2021, equation 32):
 * log α = −t²(max − min)/4 − t·min/2.
 *
 * @since 0.1.0
 * @category instances
 */
export const vp = (options: BetaRange = {}): Schedule => {
  const total = integral("Schedule.vp", options)
  return make({
    name: "VP",
    variance: "preserving",
    at: (of, t) => {
      const { alpha, rest } = decayed(of, total.of(of, t))
      return { alpha, sigma: of.sqrt(rest) }
    },
    // λ = −log(e^B − 1)
    time: (value) => total.time(Math.log1p(Math.exp(-value)))
  })
}

/**
 * The sub-VP SDE: the same α, and σ = 1 − α² (Song et al. 2021, equation 29).
 *
 * @since 0.1.0
 * @category instances
 */
export const subVp = (options: BetaRange = {}): Schedule => {
  const total = integral("Schedule.subVp", options)
  return make({
    name: "sub-VP",
    variance: "other",
    at: (of, t) => {
      const { alpha, rest } = decayed(of, total.of(of, t))
      return { alpha, sigma: rest }
    },
    // α/σ = 1/(2 sinh B/2)
    time: (value) => total.time(2 * Math.asinh(Math.exp(-value / 2) / 2))
  })
}

/**
 * α² = e^(−rate·t): β is the same at all times, `rate`, 12 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const exponential = (options: { readonly rate?: number } = {}): Schedule => {
  const { rate = 12 } = options
  return { ...vp({ min: rate, max: rate }), name: "exponential" }
}

/**
 * The variance-exploding SDE: α = 1, σ = min·(max/min)ᵗ (Song et al. 2021, equation 31).
 *
 * @since 0.1.0
 * @category instances
 */
export const ve = (options: { readonly min?: number; readonly max?: number } = {}): Schedule => {
  const { min = 0.01, max = 50 } = options
  demand(
    min > 0 && max > min && Number.isFinite(max),
    "Schedule.ve",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  return make({
    name: "VE",
    variance: "exploding",
    at: (of, t) => ({
      alpha: one(of, t),
      sigma: of.mul(of.of(min), of.exp(of.mul(t, of.of(Math.log(max / min)))))
    }),
    time: (value) => within((-value / 2 - Math.log(min)) / Math.log(max / min))
  })
}

/**
 * EDM's: α = 1, σ between `min` and `max` along ρ-th powers (Karras et al. 2022, equation 5); a network is told ln(σ)/4.
 *
 * @since 0.1.0
 * @category instances
 */
export const edm = (
  options: { readonly min?: number; readonly max?: number; readonly rho?: number } = {}
): Schedule => {
  const { min = 0.002, max = 80, rho = 7 } = options
  demand(
    min > 0 && max > min && rho > 0 && Number.isFinite(max),
    "Schedule.edm",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  const [low, high] = [min ** (1 / rho), max ** (1 / rho)]
  return make({
    name: "EDM",
    variance: "exploding",
    at: (of, t) => {
      const root = of.add(of.mul(t, of.of(high - low)), of.of(low))
      return { alpha: one(of, t), sigma: of.exp(of.mul(of.of(rho), of.log(root))) }
    },
    timestepOf: (of, { alpha, sigma }) => of.div(of.log(of.div(sigma, alpha)), of.of(4)),
    time: (value) => within((Math.exp(-value / 2) ** (1 / rho) - low) / (high - low))
  })
}

/**
 * The least α² at t = 1, and 1e-9 unless told: without any, nothing can be learnt there of predicted noise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Least {
  readonly least?: number
}

const leastOf = (what: string, { least = 1e-9 }: Least): number => {
  demand(
    least > 0 && least < 0.1,
    what,
    "schedule",
    `\`least\` must be small and above 0, not ${least}`
  )
  return least
}

/**
 * The cosine schedule in continuous time, α = cos(πs/2)/cos(πs₀/2) with s = (t + s₀)/(1 + s₀) and s₀ = `offset`, 0.008 unless told
 * (Nichol and Dhariwal 2021); it ends a little earlier, where α² is `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const cosine = (options: { readonly offset?: number } & Least = {}): Schedule => {
  const { offset = 0.008 } = options
  demand(
    offset >= 0 && Number.isFinite(offset),
    "Schedule.cosine",
    "schedule",
    `the offset must not be below 0, but is ${offset}`
  )
  const least = leastOf("Schedule.cosine", options)
  const first = ((offset / (1 + offset)) * Math.PI) / 2
  const scale = 1 / Math.cos(first)
  // how much of a right angle is left at the end
  const left = Math.asin(Math.sqrt(least) * Math.cos(first))
  const span = Math.PI / 2 - left - first
  return make({
    name: "cosine",
    variance: "preserving",
    at: (of, t) => {
      const gone = of.mul(t, of.of(span))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      // cos²a − cos²b = sin(b − a)·sin(b + a)
      const square = of.mul(of.sin(gone), of.sin(of.add(gone, of.of(2 * first))))
      return {
        alpha: of.mul(of.sin(rest), of.of(scale)),
        sigma: of.mul(of.sqrt(square), of.of(scale))
      }
    },
    time: (value) => {
      const [square, other] = [field.host.sigmoid(value), field.host.sigmoid(-value)]
      const angle = Math.atan2(
        Math.hypot(Math.sin(first), Math.cos(first) * Math.sqrt(other)),
        Math.cos(first) * Math.sqrt(square)
      )
      const sine = (Math.cos(first) ** 2 * other) / Math.sin(angle + first)
      return within(Math.atan2(sine, Math.cos(angle - first)) / span)
    }
  })
}

/**
 * ᾱ along a sigmoid from `start` to `end`, over the temperature `tau`: −3, 3 and 1 unless told (Jabri et al. 2022, arXiv:2212.11972,
 * algorithm 2); it ends a little earlier, where ᾱ is `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoid = (
  options: { readonly start?: number; readonly end?: number; readonly tau?: number } & Least = {}
): Schedule => {
  const { start = -3, end = 3, tau = 1 } = options
  demand(
    end > start && tau > 0,
    "Schedule.sigmoid",
    "schedule",
    `the sigmoid from ${start} to ${end} over ${tau} does not rise`
  )
  const least = leastOf("Schedule.sigmoid", options)
  const [a, b] = [start / tau, end / tau]
  const up = field.host.sigmoid
  // S(x) − S(y) = S(x)S(−y)(1 − e^(y − x)), which is exact for near x and y too
  const whole = up(b) * up(-a) * -Math.expm1(a - b)
  /** Of how much is left of b − a the part of ᾱ that is left. */
  const left = -Math.log1p((-least * whole) / (up(b) * (up(-b) + least * whole)))
  const span = b - a - left
  const less = <S>(of: field.Field<S>, gap: S): S =>
    of.sub(of.of(0), of.expm1(of.sub(of.of(0), gap)))
  return make({
    name: "sigmoid",
    variance: "preserving",
    at: (of, t) => {
      const gone = of.mul(t, of.of(span))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      const place = of.add(of.of(a), gone)
      const down = of.sigmoid(of.sub(of.of(0), place))
      const square = of.mul(of.mul(of.of(up(b) / whole), down), less(of, rest))
      const other = of.mul(of.mul(of.of(up(-a) / whole), of.sigmoid(place)), less(of, gone))
      return { alpha: of.sqrt(square), sigma: of.sqrt(other) }
    },
    time: (value) => {
      // S(place) = S(a) + (1 − ᾱ)·whole, and so its distance from a
      const grown = up(-value) * whole
      return within(Math.log1p(grown / (up(a) * (up(-a) - grown))) / span)
    }
  })
}

/**
 * λ falls linearly from `max` to `min`: 13.3 and −5 unless told (Kingma et al. 2021, appendix on learnt schedules, as they begin).
 *
 * @since 0.1.0
 * @category instances
 */
export const logSnrLinear = (options: LogSnrRange = {}): Schedule => {
  const { max = 13.3, min = -5 } = options
  falls("Schedule.logSnrLinear", max, min)
  return fromLogSnr({
    name: "linear log-SNR",
    logSnr: (of, t) => of.add(of.of(max), of.mul(t, of.of(min - max))),
    time: (value) => within((max - value) / (max - min))
  })
}

/**
 * Log-SNRs at t = 0 and t = 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogSnrRange {
  readonly max?: number
  readonly min?: number
}

const falls = (what: string, max: number, min: number): void =>
  demand(
    max > min && Number.isFinite(max - min),
    what,
    "schedule",
    `the log-SNR must fall from a finite \`max\` to a \`min\`, but goes from ${max} to ${min}`
  )

/**
 * The cosine schedule in its log-SNR, λ = −2 log tan(πs/2), cut to λ between `max` and `min`, 15 and −15 unless told (Hoogeboom et al.
 * 2023, arXiv:2301.11093, section 3.1); and shifted by −2 log(resolution/reference) for images of another width, `reference` being 64
 * unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const shiftedCosine = (
  options: LogSnrRange & { readonly resolution?: number; readonly reference?: number } = {}
): Schedule => {
  const { max = 15, min = -15, reference = 64, resolution = reference } = options
  falls("Schedule.shiftedCosine", max, min)
  demand(
    resolution > 0 && reference > 0,
    "Schedule.shiftedCosine",
    "schedule",
    `the resolution of ${resolution} and the reference of ${reference} must be above 0`
  )
  const [first, left] = [Math.atan(Math.exp(-max / 2)), Math.atan(Math.exp(min / 2))]
  const span = Math.PI / 2 - left - first
  const shift = -2 * Math.log(resolution / reference)
  return fromLogSnr({
    name: "shifted cosine",
    logSnr: (of, t) => {
      const gone = of.add(of.of(first), of.mul(t, of.of(span)))
      const rest = of.add(of.of(left), of.mul(of.sub(of.of(1), t), of.of(span)))
      const value = of.mul(of.of(2), of.sub(of.log(of.sin(rest)), of.log(of.sin(gone))))
      return of.add(value, of.of(shift))
    },
    time: (value) => within((Math.atan(Math.exp((shift - value) / 2)) - first) / span)
  })
}

/**
 * Log-SNRs with a Laplace distribution over the times: λ = μ − b·sgn(½ − t)·log(1 − 2|t − ½|), with the mean μ and the scale b, 0 and ½
 * unless told (Hang et al. 2024, arXiv:2407.03297, table 1), leaving out `cut` of the times at either end, 5e-7 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const laplace = (
  options: { readonly mean?: number; readonly scale?: number; readonly cut?: number } = {}
): Schedule => {
  const { mean = 0, scale = 0.5, cut = 5e-7 } = options
  demand(
    scale > 0 && cut > 0 && cut < 0.5 && Number.isFinite(mean),
    "Schedule.laplace",
    "schedule",
    `the scale must be above 0, not ${scale}, and the cut between 0 and ½, not ${cut}`
  )
  const span = 1 - 2 * cut
  return fromLogSnr({
    name: "Laplace",
    logSnr: (of, t) => {
      // twice the way from either end
      const way = (u: S_) => of.mul(of.of(2), of.add(of.of(cut), of.mul(u, of.of(span))))
      type S_ = typeof t
      const [early, late] = [way(t), way(of.sub(of.of(1), t))]
      const value = of.less(early, late, of.sub(of.of(0), of.log(early)), of.log(late))
      return of.add(of.of(mean), of.mul(of.of(scale), value))
    },
    time: (value) => {
      const tail = Math.exp(-Math.abs(value - mean) / scale) / 2
      const early = within((tail - cut) / span)
      return value > mean ? early : 1 - early
    }
  })
}

/**
 * Rectified flow: α = 1 − σ and σ = st/(1 + (s − 1)t) with the `shift` s, 1 unless told (Esser et al. 2024, section 5.3.2, for larger
 * images); a network is told 1,000 σ.
 *
 * @since 0.1.0
 * @category instances
 */
export const flow = (options: { readonly shift?: number } = {}): Schedule => {
  const { shift = 1 } = options
  demand(
    shift > 0 && Number.isFinite(shift),
    "Schedule.flow",
    "schedule",
    `the shift must be above 0, not ${shift}`
  )
  return make({
    name: "flow",
    variance: "flow",
    at: (of, t) => {
      const whole = of.add(of.of(1), of.mul(of.of(shift - 1), t))
      return {
        alpha: of.div(of.sub(of.of(1), t), whole),
        sigma: of.div(of.mul(of.of(shift), t), whole)
      }
    },
    timestepOf: (of, { alpha, sigma }) =>
      of.mul(of.div(sigma, of.add(alpha, sigma)), of.of(trainingSteps)),
    time: (value) => {
      const sigma = field.host.sigmoid(-value / 2)
      const alpha = field.host.sigmoid(value / 2)
      return sigma / (sigma + shift * alpha)
    }
  })
}
