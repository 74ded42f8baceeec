/**
 * Noise schedules: how much signal and how much noise there is at a time,
 *
 *     x(t) = α(t)·x₀ + σ(t)·ε,  0 ≤ t ≤ 1,  λ(t) = log α²/σ²,
 *
 * from data at t = 0 to noise at t = 1, with the log-SNR λ falling strictly. A schedule is a value, written once for numbers on the
 * host and for tensors; a {@link Discrete} one is a table of T levels, and every time between two of them.
 *
 * Sources: DDPM (Ho et al. 2020, arXiv:2006.11239), iDDPM (Nichol and Dhariwal 2021, arXiv:2102.09672), score SDEs (Song et al.
 * 2021, arXiv:2011.13456), EDM (Karras et al. 2022, arXiv:2206.00364), VDM (Kingma et al. 2021, arXiv:2107.00630), rectified flow
 * (Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import { Tensor } from "../Tensor/index.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"

/**
 * Signal and noise.
 *
 * @since 0.1.0
 * @category models
 */
export interface Mixture<S> {
  readonly alpha: S
  readonly sigma: S
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Schedule {
  readonly name: string
  /** α² + σ² = 1 (`preserving`), α = 1 (`exploding`), α + σ = 1 (`flow`), or none of these. */
  readonly variance: "preserving" | "exploding" | "flow" | "other"
  /** Signal and noise at a time. */
  readonly at: <S>(of: field.Field<S>, t: S) => Mixture<S>
  /** What a network is told of a time: its step in training, from 0, unless the schedule says otherwise. */
  readonly timestep: <S>(of: field.Field<S>, t: S) => S
  /** The time of a log-SNR; NaN beyond the ends. */
  readonly time: (logSnr: number) => number
}

/**
 * A schedule of T levels, i = 0 … T − 1 at the times i/(T − 1).
 *
 * @since 0.1.0
 * @category models
 */
export interface Discrete extends Schedule {
  readonly betas: ReadonlyArray<number>
  /** ᾱᵢ = ∏ (1 − βⱼ), j ≤ i. */
  readonly alphasCumprod: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isDiscrete = (schedule: Schedule): schedule is Discrete => "betas" in schedule

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

/**
 * Signal and noise at a time between 0 and 1.
 *
 * @since 0.1.0
 * @category getters
 */
export const mixture = (schedule: Schedule, t: number): Mixture<number> =>
  schedule.at(field.host, t)

/**
 * Signal and noise at times of any shape, as tensors of that shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const mixtures = <T extends Tensor.Any>(schedule: Schedule, t: T): Mixture<T> =>
  schedule.at(field.like(t), t) as Mixture<T>

/**
 * What a network is told of times, as tensors of their shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const timesteps = <T extends Tensor.Any>(schedule: Schedule, t: T): T =>
  schedule.timestep(field.like(t), t) as T

/**
 * log α²/σ² at a time: Infinity without noise, −Infinity without signal.
 *
 * @since 0.1.0
 * @category getters
 */
export const logSnr = (schedule: Schedule, t: number): number => {
  const { alpha, sigma } = mixture(schedule, t)
  return 2 * (Math.log(alpha) - Math.log(sigma))
}

/**
 * The times of log-SNRs, as a tensor of their shape: by halving, to the last bits of the dtype. Beyond the ends of the schedule they are
 * its ends.
 *
 * @since 0.1.0
 * @category getters
 */
export const times = <T extends Tensor.Any>(schedule: Schedule, logSnr: T): T => {
  const of = field.like(logSnr)
  const half = of.of(0.5)
  const [{ low, high }] = Tensor.scan({
    init: { low: of.of(0), high: of.of(1) },
    length: logSnr.dtype === "float64" ? 60 : 32,
    step: ({ low, high }) => {
      const middle = of.mul(of.add(low, high), half)
      const { alpha, sigma } = schedule.at(of, middle)
      const here = of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
      return [
        {
          low: of.less(here, logSnr, low, middle),
          high: of.less(here, logSnr, middle, high)
        },
        []
      ] as const
    }
  }) as unknown as readonly [{ readonly low: Tensor.Any; readonly high: Tensor.Any }]
  const all = of.mul(of.add(low, high), half)
  // ends that no halving reaches
  const { alpha, sigma } = schedule.at(of, of.of(0))
  const first = of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
  return of.less(logSnr, first, all, of.of(0)) as T
}

// ── Making ───────────────────────────────────────────────────────────────────────────────────────

/** The time of a falling function's value, by halving. */
const bisect = (f: (t: number) => number, value: number): number => {
  let [low, high] = [0, 1]
  if (!(value <= f(low) && value >= f(high))) return Number.NaN
  for (let i = 0; i < 200 && high - low > Number.EPSILON * low; i++) {
    const middle = (low + high) / 2
    if (f(middle) >= value) low = middle
    else high = middle
  }
  // the end that comes nearer
  return Math.abs(f(low) - value) <= Math.abs(f(high) - value) ? low : high
}

/** Steps of training that a continuous schedule counts as one unit of time. */
const trainingSteps = 1000

/**
 * A schedule of one's own, from α and σ as functions of the time. The inverse is found by halving unless it is told. Throws
 * `DiffusionError` where the log-SNR does not fall at 1,000 times in between, or the ends are not finite.
 *
 * ```ts
 * const mine = Schedule.make({
 *   name: "mine",
 *   variance: "flow",
 *   at: (of, t) => ({ alpha: of.sub(of.of(1), t), sigma: t })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  definition: Pick<Schedule, "name" | "variance" | "at"> & Partial<Schedule>
): Schedule => {
  const schedule: Schedule = {
    timestep: (of, t) => of.mul(t, of.of(trainingSteps)),
    time: (value) => bisect((t) => logSnr(schedule, t), value),
    ...definition
  }
  let before = Number.POSITIVE_INFINITY
  for (let i = 0; i <= trainingSteps; i++) {
    const t = i / trainingSteps
    const { alpha, sigma } = mixture(schedule, t)
    const value = logSnr(schedule, t)
    demand(
      alpha >= 0 && sigma >= 0 && Number.isFinite(alpha + sigma) && !Number.isNaN(value),
      schedule.name,
      "schedule",
      `at t = ${t} there is a signal of ${alpha} and a noise of ${sigma}: both must be finite and not below 0`
    )
    demand(
      i === 0 || value < before,
      schedule.name,
      "schedule",
      `the log-SNR must fall, but it goes from ${before} to ${value} at t = ${t}`
    )
    before = value
  }
  return schedule
}

/** √(1 − α²) of a variance-preserving schedule, from α². */
const preserving = <S>(of: field.Field<S>, square: S): Mixture<S> => ({
  alpha: of.sqrt(square),
  sigma: of.sqrt(of.sub(of.of(1), square))
})

// ── Discrete ─────────────────────────────────────────────────────────────────────────────────────

/** Rounded to float32, as published networks were trained: at early times 1 − ᾱ hangs on the last bits of ᾱ. */
const single = Math.fround

/** `torch.linspace` in float32: from both ends, with products that are not rounded. */
const linspace = (from: number, to: number, count: number): ReadonlyArray<number> => {
  const step = single(single(single(to) - single(from)) / (count - 1))
  return Array.from({ length: count }, (_, i) =>
    i < count / 2 ? single(single(from) + step * i) : single(single(to) - step * (count - 1 - i))
  )
}

/** A discrete schedule from ᾱ; between levels λ is linear. */
const discrete = (
  name: string,
  betas: ReadonlyArray<number>,
  alphasCumprod: ReadonlyArray<number>
): Discrete => {
  const last = alphasCumprod.length - 1
  const halves = alphasCumprod.map((each) => (Math.log(each) - Math.log1p(-each)) / 2)
  return {
    name,
    variance: "preserving",
    betas,
    alphasCumprod,
    at: (of, t) => {
      const place = of.mul(t, of.of(last))
      const low = of.min(of.floor(place), of.of(last - 1))
      const part = of.sub(place, low)
      const [a, b] = [low, of.add(low, of.of(1))]
      // at a level itself nothing is interpolated
      const mixed = (table: ReadonlyArray<number>, between: () => S_) => {
        const inner = between()
        const first = of.less(of.of(0), part, inner, of.lookup(table, a))
        return of.less(part, of.of(1), first, of.lookup(table, b))
      }
      type S_ = typeof place
      const half = of.add(
        of.lookup(halves, a),
        of.mul(part, of.sub(of.lookup(halves, b), of.lookup(halves, a)))
      )
      const square = of.sigmoid(of.mul(of.of(2), half))
      const rest = of.sigmoid(of.mul(of.of(-2), half))
      return {
        alpha: mixed(
          alphasCumprod.map((each) => Math.sqrt(each)),
          () => of.sqrt(square)
        ),
        sigma: mixed(
          alphasCumprod.map((each) => Math.sqrt(1 - each)),
          () => of.sqrt(rest)
        )
      }
    },
    timestep: (of, t) => of.mul(t, of.of(last)),
    time: (value) => {
      const half = value / 2
      if (!(half <= halves[0] && half >= halves[last])) return Number.NaN
      let [low, high] = [0, last]
      while (high - low > 1) {
        const middle = (low + high) >> 1
        if (halves[middle] >= half) low = middle
        else high = middle
      }
      const part = (half - halves[low]) / (halves[high] - halves[low])
      return (low + (Number.isFinite(part) ? part : 0)) / last
    }
  }
}

/**
 * A discrete schedule from its betas, in float32 as published networks have it. Throws `DiffusionError` for a beta outside of (0, 1);
 * the last may be 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBetas = (betas: ReadonlyArray<number>, name = "betas"): Discrete => {
  demand(
    betas.length > 1,
    name,
    "schedule",
    `there must be at least two betas, not ${betas.length}`
  )
  betas.forEach((beta, i) => {
    demand(
      beta > 0 && (beta < 1 || (beta === 1 && i === betas.length - 1)),
      name,
      "schedule",
      `beta ${i} is ${beta}, but must lie between 0 and 1`
    )
  })
  let product = 1
  const own = betas.map(single)
  const cumulated = own.map((beta) => {
    product *= single(1 - beta)
    return single(product)
  })
  return discrete(name, own, cumulated)
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BetaOptions {
  /** T, 1,000 unless told. */
  readonly steps?: number
  /** The first and the last beta; 0.0001 and 0.02 unless told. */
  readonly start?: number
  readonly end?: number
}

const settled = ({ steps = 1000, start = 1e-4, end = 0.02 }: BetaOptions) => ({ steps, start, end })

/**
 * Betas that rise linearly (Ho et al. 2020).
 *
 * @since 0.1.0
 * @category instances
 */
export const linear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  return fromBetas(linspace(start, end, steps), "linear")
}

/**
 * Betas whose roots rise linearly (Rombach et al. 2022, arXiv:2112.10752); Stable Diffusion's go from 0.00085 to 0.012.
 *
 * @since 0.1.0
 * @category instances
 */
export const scaledLinear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  const roots = linspace(Math.sqrt(start), Math.sqrt(end), steps)
  return fromBetas(
    roots.map((root) => single(root * root)),
    "scaled linear"
  )
}

/**
 * Betas along a sigmoid from −6 to 6 (Xu et al. 2022, GeoDiff, arXiv:2203.02923).
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoidBetas = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled(options)
  const places = linspace(-6, 6, steps)
  return fromBetas(
    places.map((place) =>
      single(single(single(1 / (1 + Math.exp(-place))) * single(end - start)) + single(start))
    ),
    "sigmoid betas"
  )
}

/** β = 1 − ᾱ(t + 1/T)/ᾱ(t), at most `most` (Nichol and Dhariwal 2021, section 3.2). */
const fromAlphaBar = (
  name: string,
  alphaBar: (t: number) => number,
  steps: number,
  most = 0.999
): Discrete =>
  fromBetas(
    Array.from({ length: steps }, (_, i) =>
      Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), most)
    ),
    name
  )

/**
 * The cosine schedule in T levels, with betas of at most 0.999 (Nichol and Dhariwal 2021, equation 17).
 *
 * @since 0.1.0
 * @category instances
 */
export const cosineBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar(
    "cosine betas",
    (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2,
    options.steps ?? 1000
  )

/**
 * ᾱ = e^(−12t) in T levels, with betas of at most 0.999.
 *
 * @since 0.1.0
 * @category instances
 */
export const exponentialBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar("exponential betas", (t) => Math.exp(-12 * t), options.steps ?? 1000)

/**
 * The Laplace schedule in T levels, with betas of at most 0.999 (Hang et al. 2024, arXiv:2407.03297), of mean 0 and scale ½.
 *
 * @since 0.1.0
 * @category instances
 */
export const laplaceBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar(
    "Laplace betas",
    (t) => {
      const value = -0.5 * Math.sign(0.5 - t) * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6)
      const snr = Math.exp(value)
      return Math.sqrt(snr / (1 + snr)) ** 2
    },
    options.steps ?? 1000
  )

/**
 * A discrete schedule shifted and scaled in √ᾱ so that the last level has no signal and the first keeps its own (Lin et al. 2023,
 * arXiv:2305.08891, algorithm 1). Its last beta is 1.
 *
 * @since 0.1.0
 * @category combinators
 */
export const zeroTerminalSnr = (schedule: Discrete): Discrete => {
  const roots = schedule.alphasCumprod.map((each) => single(Math.sqrt(each)))
  const [first, last] = [roots[0], roots[roots.length - 1]]
  const scale = single(first / single(first - last))
  const squares = roots.map((root) => single(single(single(root - last) * scale) ** 2))
  const betas = squares.map((each, i) => single(1 - single(i === 0 ? each : each / squares[i - 1])))
  return fromBetas(betas, `${schedule.name}, zero terminal SNR`)
}

// ── Continuous ───────────────────────────────────────────────────────────────────────────────────

/**
 * The variance-preserving SDE with β rising linearly from `min` to `max` (Song et al. 2021, equation 32):
 * log α = −t²(max − min)/4 − t·min/2.
 *
 * @since 0.1.0
 * @category instances
 */
export const vp = (options: { readonly min?: number; readonly max?: number } = {}): Schedule => {
  const { min = 0.1, max = 20 } = options
  demand(
    min > 0 && max >= min,
    "Schedule.vp",
    "schedule",
    `betas from ${min} to ${max} do not rise from above 0`
  )
  return make({
    name: "VP",
    variance: "preserving",
    at: (of, t) => {
      const slope = of.add(of.mul(t, of.of((max - min) / 4)), of.of(min / 2))
      return preserving(of, of.exp(of.mul(of.of(-2), of.mul(t, slope))))
    }
  })
}

/**
 * The sub-VP SDE: the same α, and σ = 1 − α² (Song et al. 2021, equation 29).
 *
 * @since 0.1.0
 * @category instances
 */
export const subVp = (options: { readonly min?: number; readonly max?: number } = {}): Schedule => {
  const { at } = vp(options)
  return make({
    name: "sub-VP",
    variance: "other",
    at: (of, t) => {
      const { alpha } = at(of, t)
      return { alpha, sigma: of.sub(of.of(1), of.mul(alpha, alpha)) }
    }
  })
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
    min > 0 && max > min,
    "Schedule.ve",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  return make({
    name: "VE",
    variance: "exploding",
    at: (of, t) => ({
      alpha: of.add(of.mul(t, of.of(0)), of.of(1)),
      sigma: of.mul(of.of(min), of.exp(of.mul(t, of.of(Math.log(max / min)))))
    }),
    time: (value) => within(-value / 2 - Math.log(min), Math.log(max / min))
  })
}

/** A part of a whole, as a time. */
const within = (part: number, whole: number): number => {
  const t = part / whole
  // rounding at the ends
  return t >= -1e-12 && t <= 1 + 1e-12 ? Math.min(Math.max(t, 0), 1) : Number.NaN
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
    min > 0 && max > min && rho > 0,
    "Schedule.edm",
    "schedule",
    `noise from ${min} to ${max} does not rise from above 0`
  )
  const [low, high] = [min ** (1 / rho), max ** (1 / rho)]
  const sigma = <S>(of: field.Field<S>, t: S): S => {
    const root = of.add(of.mul(t, of.of(high - low)), of.of(low))
    return of.exp(of.mul(of.of(rho), of.log(root)))
  }
  return make({
    name: "EDM",
    variance: "exploding",
    at: (of, t) => ({ alpha: of.add(of.mul(t, of.of(0)), of.of(1)), sigma: sigma(of, t) }),
    timestep: (of, t) => of.div(of.log(sigma(of, t)), of.of(4)),
    time: (value) => within(Math.exp(-value / 2) ** (1 / rho) - low, high - low)
  })
}

/**
 * The cosine schedule in continuous time, α = cos(πs/2)/cos(πs₀/2) with s = (t + s₀)/(1 + s₀) and s₀ = `offset`, 0.008 unless told
 * (Nichol and Dhariwal 2021), and α² at least `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const cosine = (
  options: { readonly offset?: number; readonly least?: number } = {}
): Schedule => {
  const { offset = 0.008, least = 1e-9 } = options
  const angle = (t: number) => (((t + offset) / (1 + offset)) * Math.PI) / 2
  // so far that α² is `least`
  const end = Math.acos(Math.sqrt(least) * Math.cos(angle(0)))
  return make({
    name: "cosine",
    variance: "preserving",
    at: (of, t) => {
      const place = of.add(of.of(angle(0)), of.mul(t, of.of(end - angle(0))))
      const ratio = of.div(of.cos(place), of.of(Math.cos(angle(0))))
      return preserving(of, of.mul(ratio, ratio))
    }
  })
}

/**
 * ᾱ along a sigmoid from `start` to `end`, over the temperature `tau`: −3, 3 and 1 unless told (Jabri et al. 2022, arXiv:2212.11972,
 * algorithm 2), and at least `least`, 1e-9 unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const sigmoid = (
  options: {
    readonly start?: number
    readonly end?: number
    readonly tau?: number
    readonly least?: number
  } = {}
): Schedule => {
  const { start = -3, end = 3, tau = 1, least = 1e-9 } = options
  const value = (place: number) => 1 / (1 + Math.exp(-place / tau))
  const [first, last] = [value(start), value(end)]
  // so far that ᾱ is `least`
  const stop = tau * Math.log((last - least * (last - first)) / (1 - last + least * (last - first)))
  return make({
    name: "sigmoid",
    variance: "preserving",
    at: (of, t) => {
      const place = of.add(of.of(start), of.mul(t, of.of(stop - start)))
      const here = of.sigmoid(of.div(place, of.of(tau)))
      return preserving(of, of.div(of.sub(of.of(last), here), of.of(last - first)))
    }
  })
}

/**
 * Rectified flow: α = 1 − σ and σ = st/(1 + (s − 1)t) with the `shift` s, 1 unless told (Esser et al. 2024, section 5.3.2, for larger
 * images).
 *
 * @since 0.1.0
 * @category instances
 */
export const flow = (options: { readonly shift?: number } = {}): Schedule => {
  const { shift = 1 } = options
  demand(shift > 0, "Schedule.flow", "schedule", `the shift must be above 0, not ${shift}`)
  const shifted = <S>(of: field.Field<S>, t: S): S =>
    of.div(of.mul(of.of(shift), t), of.add(of.of(1), of.mul(of.of(shift - 1), t)))
  return make({
    name: "flow",
    variance: "flow",
    at: (of, t) => {
      const sigma = shifted(of, t)
      return { alpha: of.sub(of.of(1), sigma), sigma }
    },
    timestep: (of, t) => of.mul(shifted(of, t), of.of(trainingSteps)),
    time: (value) => {
      const sigma = 1 / (1 + Math.exp(value / 2))
      return sigma / (shift - (shift - 1) * sigma)
    }
  })
}

/**
 * The schedule of a pipeline.
 *
 * @since 0.1.0
 * @category services
 */
export class Current extends Context.Service<Current, Schedule>()("odeon/Schedule") {}

/**
 * @since 0.1.0
 * @category services
 */
export const layer = (schedule: Schedule): EffectLayer.Layer<Current> =>
  EffectLayer.succeed(Current, schedule)
