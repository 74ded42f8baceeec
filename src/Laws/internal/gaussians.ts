/**
 * Data of which everything is known: each element on its own from a mixture of normal distributions, Σₖ wₖ N(mₖ, sₖ²). With x = αx₀ + σε,
 *
 *     p(x) = Σₖ wₖ N(αmₖ, vₖ),  vₖ = α²sₖ² + σ²,
 *     E[x₀ | x] = Σₖ rₖ (mₖ + αsₖ²/vₖ (x − αmₖ)),  rₖ ∝ wₖ N(x; αmₖ, vₖ),
 *
 * and the probability-flow ODE keeps what part of the data lies below an element: it goes from x to the y with F_to(y) = F_from(x).
 */
import { Denoiser, Schedule } from "../../Diffusion/index.ts"
import { HostRandom, Tensor } from "../../Tensor/index.ts"
import type { Draw } from "./problems.ts"

export interface Component {
  readonly weight: number
  readonly mean: number
  readonly deviation: number
}

/** Components with weights of sum 1. */
export type Data = ReadonlyArray<Component>

type Level = Schedule.Mixture<number>
type State = Denoiser.State

export const gaussian = (draw: Draw): Data => [
  { weight: 1, mean: draw(-1, 1), deviation: draw(0.3, 1.5) }
]

export const mixture = (draw: Draw): Data => {
  const weight = draw(0.3, 0.7)
  return [
    { weight, mean: draw(-1.5, -0.5), deviation: draw(0.3, 0.8) },
    { weight: 1 - weight, mean: draw(0.5, 1.5), deviation: draw(0.3, 0.8) }
  ]
}

export const show = (data: Data): string =>
  data
    .map(
      ({ weight, mean, deviation }) =>
        `${data.length === 1 ? "" : `${weight}·`}N(${mean}, ${deviation}²)`
    )
    .join(" + ")

// ── What is expected of x ────────────────────────────────────────────────────────────────────────

/** Mean, variance and fourth central moment of x at a level. */
export const moments = (data: Data, { alpha, sigma }: Level) => {
  const mean = data.reduce((sum, each) => sum + each.weight * alpha * each.mean, 0)
  let [variance, fourth] = [0, 0]
  for (const each of data) {
    const off = (alpha * each.mean - mean) ** 2
    const own = (alpha * each.deviation) ** 2 + sigma ** 2
    variance += each.weight * (own + off)
    fourth += each.weight * (3 * own ** 2 + 6 * own * off + off ** 2)
  }
  return { mean, variance, fourth }
}

/** ∫ of the standard normal density from z to ∞. */
const tail = (z: number): number => {
  if (z < 0) return 1 - tail(-z)
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  if (z < 3) {
    // z + z³/3 + z⁵/(3·5) + …
    let [term, sum] = [z, z]
    for (let n = 3; term > 1e-18 * sum; n += 2) {
      term *= (z * z) / n
      sum += term
    }
    return 0.5 - density * sum
  }
  // Laplace's continued fraction
  let fraction = z
  for (let n = 200; n >= 1; n--) fraction = z + n / fraction
  return density / fraction
}

/** The part of x above (`side` 1) or below (−1). */
const beyond = (data: Data, { alpha, sigma }: Level, x: number, side: 1 | -1): number =>
  data.reduce(
    (sum, { weight, mean, deviation }) =>
      sum + weight * tail((side * (x - alpha * mean)) / Math.hypot(alpha * deviation, sigma)),
    0
  )

/** log p(x) of one element. */
export const logDensity = (data: Data, { alpha, sigma }: Level, x: number): number => {
  const logs = data.map(({ weight, mean, deviation }) => {
    const own = Math.hypot(alpha * deviation, sigma)
    return Math.log(weight / own) - ((x - alpha * mean) / own) ** 2 / 2
  })
  const most = Math.max(...logs)
  const sum = logs.reduce((all, each) => all + Math.exp(each - most), 0)
  return most + Math.log(sum) - Math.log(2 * Math.PI) / 2
}

/** Where the probability-flow ODE takes an element from one level to another. */
export const flow = (data: Data, from: Level, to: Level, x: number): number => {
  const [first] = data
  if (data.length === 1) {
    const deviation = ({ alpha, sigma }: Level) => Math.hypot(alpha * first.deviation, sigma)
    const z = (x - from.alpha * first.mean) / deviation(from)
    return to.alpha * first.mean + z * deviation(to)
  }
  const side = beyond(data, from, x, 1) < 0.5 ? 1 : -1
  const wanted = beyond(data, from, x, side)
  const { mean, variance } = moments(data, to)
  // by halving, in an interval that surely has it
  let [low, high] = [mean - 40 * Math.sqrt(variance), mean + 40 * Math.sqrt(variance)]
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (side * (beyond(data, to, middle, side) - wanted) > 0) low = middle
    else high = middle
  }
  return (low + high) / 2
}

// ── Denoisers ────────────────────────────────────────────────────────────────────────────────────

/** E[x₀ | x]. */
export const expected = (
  data: Data,
  x: State,
  { alpha, sigma }: Schedule.Mixture<State>
): State => {
  const [a, s] = [alpha, sigma].map((each) => Denoiser.over(each, x))
  const parts = data.map(({ weight, mean, deviation }) => {
    const own = Tensor.add(Tensor.mul(Tensor.square(a), deviation ** 2), Tensor.square(s)) as State
    const off = Tensor.sub(x, Tensor.mul(a, mean)) as State
    const gain = Tensor.div(Tensor.mul(a, deviation ** 2), own)
    const distance = Tensor.div(Tensor.square(off), Tensor.mul(own, 2))
    return {
      mean: Tensor.add(Tensor.mul(gain, off), mean) as State,
      log: Tensor.sub(
        Math.log(weight),
        Tensor.add(distance, Tensor.mul(Tensor.log(own), 0.5))
      ) as State
    }
  })
  if (parts.length === 1) return parts[0].mean
  const most = parts.map(({ log }) => log).reduce((p, q) => Tensor.maximum(p, q) as State)
  const weights = parts.map(({ log }) => Tensor.exp(Tensor.sub(log, most)) as State)
  const sum = (all: ReadonlyArray<State>) => all.reduce((p, q) => Tensor.add(p, q) as State)
  return Tensor.div(
    sum(parts.map(({ mean }, k) => Tensor.mul(weights[k], mean) as State)),
    sum(weights)
  ) as State
}

/** The denoiser that knows the data. */
export const denoiser = (data: Data): Denoiser.Denoiser =>
  Denoiser.fromData((x, level) => expected(data, x, level))

/** Networks that know the data, whatever they predict; their timesteps are the times of the schedule. */
export const network = (
  data: Data,
  schedule: Schedule.Schedule,
  prediction: Denoiser.Prediction
): Denoiser.Network => {
  const edm = typeof prediction === "object"
  const variance = edm ? "exploding" : prediction === "flow" ? "flow" : "preserving"
  const own = Schedule.withVariance(schedule, variance)
  return (input, time) => {
    const level = Schedule.mixtures(own, time)
    const x = edm ? scaledBack(input, level.sigma, prediction.deviation ?? 0.5) : input
    const found = expected(data, x, level)
    const rest = Tensor.sub(x, Denoiser.combine([level.alpha, found])) as State
    const noise = Tensor.div(rest, Denoiser.over(level.sigma, x)) as State
    return Denoiser.target(prediction, { data: found, noise }, level)
  }
}

/** What EDM's network is given is divided by √(σ² + s²). */
const scaledBack = (input: State, sigma: State, deviation: number): State =>
  Denoiser.combine([Tensor.sqrt(Tensor.add(Tensor.square(sigma), deviation ** 2)) as State, input])

/** Elements of x at a level, drawn on the host. */
export const draw = (data: Data, { alpha, sigma }: Level, seed: number, count: number) => {
  const key = HostRandom.key(seed)
  const [which, noise, own] = [
    HostRandom.uniform(HostRandom.foldIn(key, 0), [count], { dtype: "float64" }).data,
    HostRandom.normal(HostRandom.foldIn(key, 1), [count], { dtype: "float64" }).data,
    HostRandom.normal(HostRandom.foldIn(key, 2), [count], { dtype: "float64" }).data
  ]
  return Float64Array.from({ length: count }, (_, i) => {
    let left = which[i]
    const found = data.find(({ weight }) => {
      left -= weight
      return left < 0
    })
    const { mean, deviation } = found ?? data[data.length - 1]
    return alpha * (mean + deviation * own[i]) + sigma * noise[i]
  })
}
