/** Schedules of T levels, and what makes levels of others. */
import { demand } from "../DiffusionError.ts"
import * as field from "../internal/field.ts"
import { placed, placeOf, trainingSteps } from "../internal/schedule.ts"
import {
  type Discrete,
  isDiscrete,
  logSnr,
  type Mixture,
  make,
  mixture,
  type Schedule
} from "./core.ts"

/** Rounded to float32, as published networks were trained: at early times 1 − ᾱ hangs on the last bits of ᾱ. */
const single = Math.fround

/** `torch.linspace` in float32: from both ends, with products that are not rounded. */
const linspace = (from: number, to: number, count: number): ReadonlyArray<number> => {
  const step = single(single(single(to) - single(from)) / (count - 1))
  return Array.from({ length: count }, (_, i) =>
    i < count / 2 ? single(single(from) + step * i) : single(single(to) - step * (count - 1 - i))
  )
}

/** A discrete schedule from ᾱ; between levels λ is linear, or α where it leads to none. */
const discrete = (
  name: string,
  betas: ReadonlyArray<number>,
  alphasCumprod: ReadonlyArray<number>
): Discrete => {
  const last = alphasCumprod.length - 1
  const levels = alphasCumprod.map((each) => Math.log(each) - Math.log1p(-each))
  const alphas = alphasCumprod.map(Math.sqrt)
  const sigmas = alphasCumprod.map((each) => Math.sqrt(1 - each))
  const silent = alphasCumprod[last] === 0
  // what no time is looked up between
  const finite = silent ? levels.with(last, levels[last - 1]) : levels
  const at = <S>(of: field.Field<S>, t: S): Mixture<S> => {
    const { low, high, part } = placed(of, t, last)
    const [alpha, sigma] = [of.lookup(alphas, low), of.lookup(sigmas, low)]
    const [a, b] = [of.lookup(finite, low), of.lookup(finite, high)]
    const value = of.add(a, of.mul(part, of.sub(b, a)))
    // beside the level itself, which this leaves as it is
    const grown = (of_: (value: S) => S) => of.sqrt(of.div(of_(value), of_(a)))
    const between = {
      alpha: of.mul(alpha, grown(of.sigmoid)),
      sigma: of.mul(
        sigma,
        grown((each) => of.sigmoid(of.sub(of.of(0), each)))
      )
    }
    if (!silent) return between
    // α falls from its level to 0
    const left = of.sub(of.of(1), part)
    const square = of.mul(alpha, alpha)
    const rest = of.mul(square, of.mul(part, of.add(of.of(1), left)))
    const final = {
      alpha: of.mul(alpha, left),
      sigma: of.sqrt(of.add(of.mul(sigma, sigma), rest))
    }
    const choose = (key: "alpha" | "sigma") =>
      of.less(low, of.of(last - 1), between[key], final[key])
    return { alpha: choose("alpha"), sigma: choose("sigma") }
  }
  return {
    name,
    variance: "preserving",
    betas,
    alphasCumprod,
    at,
    timestep: (of, t) => of.mul(t, of.of(last)),
    time: (value) => {
      if (silent && value < levels[last - 1]) {
        return (last - Math.sqrt(field.host.sigmoid(value)) / alphas[last - 1]) / last
      }
      const { low, part } = placeOf(levels, value)
      return (low + part) / last
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
  cumulated.forEach((each, i) => {
    demand(
      each < (cumulated[i - 1] ?? 1),
      name,
      "schedule",
      `beta ${i} is ${betas[i]}: ᾱ does not fall below ${cumulated[i - 1] ?? 1} in float32; take fewer levels or larger betas`
    )
  })
  return discrete(name, own, cumulated)
}

/**
 * A discrete schedule from ᾱ, as they are. Throws `DiffusionError` unless they fall and lie between 0 and 1; the last may be 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromAlphasCumprod = (
  alphasCumprod: ReadonlyArray<number>,
  name = "alphas"
): Discrete => {
  demand(
    alphasCumprod.length > 1,
    name,
    "schedule",
    `there must be at least two levels, not ${alphasCumprod.length}`
  )
  alphasCumprod.forEach((each, i) => {
    const last = i === alphasCumprod.length - 1
    demand(
      each < (alphasCumprod[i - 1] ?? 1) && (each > 0 || (last && each === 0)),
      name,
      "schedule",
      `ᾱ must fall from below 1 and not below 0, but ${i} is ${each} after ${alphasCumprod[i - 1] ?? 1}`
    )
  })
  return discrete(
    name,
    alphasCumprod.map((each, i) => 1 - each / (alphasCumprod[i - 1] ?? 1)),
    alphasCumprod
  )
}

/**
 * T levels of a schedule, at the times (i + 1)/T: βᵢ = 1 − ᾱ((i + 1)/T)/ᾱ(i/T), at most `most`, 0.999 unless told (Nichol and Dhariwal
 * 2021, section 3.2), where the first is that from data on. Throws `DiffusionError` as {@link fromBetas}.
 *
 * @since 0.1.0
 * @category combinators
 */
export const discretize = (
  schedule: Schedule,
  steps = trainingSteps,
  options: { readonly most?: number } = {}
): Discrete => {
  const { most = 0.999 } = options
  demandWhole("Schedule.discretize", steps)
  const square = (t: number) => field.host.sigmoid(logSnr(schedule, t))
  return fromBetas(
    Array.from({ length: steps }, (_, i) =>
      Math.min(1 - square((i + 1) / steps) / (i === 0 ? 1 : square(i / steps)), most)
    ),
    `${schedule.name} in ${steps} levels`
  )
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

const demandWhole = (name: string, steps: number): void =>
  demand(
    Number.isInteger(steps) && steps > 1,
    name,
    "schedule",
    `there must be a whole number of at least two levels, not ${steps}`
  )

const settled = (name: string, { steps = 1000, start = 1e-4, end = 0.02 }: BetaOptions) => {
  demandWhole(name, steps)
  return { steps, start, end }
}

/**
 * Betas that rise linearly (Ho et al. 2020).
 *
 * @since 0.1.0
 * @category instances
 */
export const linear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled("linear", options)
  return fromBetas(linspace(start, end, steps), "linear")
}

/**
 * Betas whose roots rise linearly (Rombach et al. 2022, arXiv:2112.10752); Stable Diffusion's go from 0.00085 to 0.012.
 *
 * @since 0.1.0
 * @category instances
 */
export const scaledLinear = (options: BetaOptions = {}): Discrete => {
  const { steps, start, end } = settled("scaled linear", options)
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
  const { steps, start, end } = settled("sigmoid betas", options)
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
): Discrete => {
  demandWhole(name, steps)
  return fromBetas(
    Array.from({ length: steps }, (_, i) =>
      Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), most)
    ),
    name
  )
}

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
 * The Laplace schedule in T levels as diffusers has it, with betas of at most 0.999, of mean 0 and scale ½: what it takes for ᾱ is the root
 * of the paper's. That is `discretize(laplace())` (Hang et al. 2024, arXiv:2407.03297).
 *
 * @since 0.1.0
 * @category instances
 */
export const laplaceBetas = (options: { readonly steps?: number } = {}): Discrete =>
  fromAlphaBar(
    "Laplace betas",
    (t) => {
      const value = -0.5 * (t > 0.5 ? -1 : 1) * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6)
      const snr = Math.exp(value)
      return Math.sqrt(snr / (1 + snr))
    },
    options.steps ?? 1000
  )

/**
 * A schedule shifted and scaled in α so that there is no signal at the end and that at the beginning stays (Lin et al. 2023,
 * arXiv:2305.08891, algorithm 1). A discrete one stays discrete, with a last beta of 1; others must preserve variance, or
 * `DiffusionError` is thrown.
 *
 * @since 0.1.0
 * @category combinators
 */
export const zeroTerminalSnr = <A extends Schedule>(
  schedule: A
): A extends Discrete ? Discrete : Schedule => {
  const name = `${schedule.name}, zero terminal SNR`
  return (
    isDiscrete(schedule) ? silenced(schedule, name) : silencedSmoothly(schedule, name)
  ) as never
}

/**
 * A discrete schedule whose ᾱ is at least this, 2⁻²⁴ unless told, so that its σ/α is finite: for samplers where α = 1, such as Euler's, after
 * {@link zeroTerminalSnr} (diffusers' `EulerDiscreteScheduler` with `rescale_betas_zero_snr`).
 *
 * @since 0.1.0
 * @category combinators
 */
export const leastSignal = (
  { name, betas, alphasCumprod }: Discrete,
  least: number = 2 ** -24
): Discrete => {
  demand(
    least > 0 && least < alphasCumprod[0],
    "Schedule.leastSignal",
    "schedule",
    `the least ᾱ must lie between 0 and the first one, ${alphasCumprod[0]}, not be ${least}`
  )
  return discrete(
    `${name}, ᾱ of at least ${least}`,
    betas,
    alphasCumprod.map((each) => Math.max(each, least))
  )
}

const silenced = ({ alphasCumprod }: Discrete, name: string): Discrete => {
  const roots = alphasCumprod.map((each) => single(Math.sqrt(each)))
  const [first, last] = [roots[0], roots[roots.length - 1]]
  const scale = single(first / single(first - last))
  const squares = roots.map((root) => single(single(single(root - last) * scale) ** 2))
  const betas = squares.map((each, i) => single(1 - single(i === 0 ? each : each / squares[i - 1])))
  return fromBetas(betas, name)
}

const silencedSmoothly = (schedule: Schedule, name: string): Schedule => {
  const { variance, at, timestep, time } = schedule
  demand(
    variance === "preserving",
    "Schedule.zeroTerminalSnr",
    "schedule",
    `${schedule.name} is not variance preserving: take \`withVariance\` first`
  )
  const [first, last] = [0, 1].map((t) => mixture(schedule, t))
  const scale = first.alpha / (first.alpha - last.alpha)
  return make({
    name,
    variance,
    timestep,
    at: (of, t) => {
      const { alpha, sigma } = at(of, t)
      const scaled = of.mul(of.sub(alpha, of.of(last.alpha)), of.of(scale))
      // α₀ − α as (σ² − σ₀²)/(α₀ + α), so that what is small is not a difference of what is large
      const grown = of.div(
        of.mul(of.sub(sigma, of.of(first.sigma)), of.add(sigma, of.of(first.sigma))),
        of.add(of.of(first.alpha), alpha)
      )
      const lost = of.mul(grown, of.of((scale * last.alpha) / first.alpha))
      const rest = of.mul(lost, of.add(alpha, scaled))
      return { alpha: scaled, sigma: of.sqrt(of.add(of.mul(sigma, sigma), rest)) }
    },
    time: (value) => {
      if (value === Number.NEGATIVE_INFINITY) return 1
      const alpha = Math.sqrt(field.host.sigmoid(value))
      // 1 − α of the schedule as it was, without differences
      const missing =
        field.host.sigmoid(-value) / (1 + alpha) / scale +
        (last.alpha * first.sigma ** 2) / (first.alpha * (1 + first.alpha))
      return time(2 * Math.log1p(-missing) - Math.log(missing * (2 - missing)))
    }
  })
}
