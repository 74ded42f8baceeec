/**
 * What a network is trained for: to see the data through the noise,
 *
 *     L = E[w(λ)·d(f(x, t), y)],  x = αx₀ + σε,
 *
 * with a time t from a {@link TimeDensity}, the network's prediction f and its target y (ε, x₀, v, …; see `Denoiser`), a distance d
 * and a {@link Weighting} w. An objective is a pure function of data and a key. Item i of a batch is trained at a time and with noise
 * that depend on the key and on i alone.
 *
 * ```ts
 * const objective = Objective.make({ network, schedule: Schedule.cosine(), prediction: "v", weighting: Weighting.minSnr() })
 * const { loss } = objective(images, key)
 * const gradients = Gradient.of(loss, weights)
 * ```
 *
 * @since 0.1.0
 */
import { type DType, Gradient, Loss, Random, Tensor } from "../Tensor/index.ts"
import type { Estimate, Level, Prediction, State } from "./Denoiser.ts"
import * as Denoiser from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as predictions from "./internal/prediction.ts"
import * as Noise from "./Noise.ts"
import * as Schedule from "./Schedule.ts"
import * as TimeDensity from "./TimeDensity.ts"
import * as VariationalBound from "./VariationalBound.ts"
import * as Weighting from "./Weighting.ts"

/**
 * Of what a network predicts from its target, element by element: the square, the absolute value, Huber's loss with its δ, or one's own.
 *
 * @since 0.1.0
 * @category models
 */
export type Distance =
  | "mse"
  | "l1"
  | { readonly huber: number }
  | ((prediction: State, target: State) => State)

/**
 * What an objective has made of a batch: everything that a further term may need.
 *
 * @since 0.1.0
 * @category models
 */
export interface Given {
  /** x₀ */
  readonly data: State
  /** ε, with offset */
  readonly noise: State
  /** What the network was asked of, before it was scaled to the network's coordinates. */
  readonly x: State
  /** `[batch]` */
  readonly time: State
  /** `[batch]` */
  readonly logSnr: State
  /** `[batch]` each */
  readonly level: Level
  readonly estimate: Estimate
  /** For randomness of one's own. */
  readonly key: Random.Key
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** With `learned`, it gives twice the channels of the data: the prediction, then what it says of the variance. */
  readonly network: Denoiser.Network
  readonly schedule: Schedule.Schedule
  readonly prediction: Prediction
  /** `mse` unless told. */
  readonly distance?: Distance
  /** `simple` unless told. */
  readonly weighting?: Weighting.Weighting
  /** All steps of a discrete schedule alike, or all times of another, unless told. */
  readonly times?: TimeDensity.TimeDensity
  /**
   * What the weighting is per: `draw`, so that levels that are drawn more often count more, or `logSnr`, ∫ w(λ) d dλ, so that neither
   * the schedule nor the density of times makes a difference but for the variance (Kingma and Gao 2023, arXiv:2303.00848, equation 8).
   * `draw` unless told.
   */
  readonly measure?: "draw" | "logSnr"
  /** Strength of noise that is the same for a whole channel, 0 unless told (0.1 is usual), so that networks learn means. */
  readonly offset?: number
  /** Strength of noise that the network is not to find, 0 unless told; 0.1 in Ning et al. 2023, arXiv:2301.11706. */
  readonly perturbation?: number
  /**
   * Also trains variances, by `weight` times the variational bound in bits for each element; the weight is 0.001 unless told, as in
   * iDDPM's L_hybrid (see `VariationalBound`). For discrete schedules and stepped times. The bound's gradient does not reach the
   * prediction.
   */
  readonly learned?: {
    readonly variance?: VariationalBound.Learned
    readonly decoder?: VariationalBound.Decoder
    readonly weight?: number
  }
  /** Added to each item's loss as it is, `[batch]` or a scalar: perceptual and adversarial terms, for example. */
  readonly term?: (given: Given) => State
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Outcome extends Given {
  /** The mean over the batch, a scalar: what to differentiate. */
  readonly loss: State
  /** The loss of each item, `[batch]`. */
  readonly items: State
  /** The mean distance of each item before it is weighted, `[batch]`. */
  readonly distances: State
  /** `[batch]` */
  readonly weights: State
}

/**
 * @since 0.1.0
 * @category models
 */
export type Objective = (data: State, key: Random.Key) => Outcome

const measured = (distance: Distance, prediction: State, target: State): State => {
  if (typeof distance === "function") return distance(prediction, target)
  if (distance === "mse") return Loss.mse(prediction, target, { reduction: "none" })
  if (distance === "l1") return Loss.l1(prediction, target, { reduction: "none" })
  return Loss.huber(prediction, target, { delta: distance.huber, reduction: "none" })
}

/** The mean over all axes but the first. */
const perItem = (x: State): State =>
  x.shape.length === 1
    ? x
    : (Tensor.mean(x, { axis: x.shape.slice(1).map((_, i) => i + 1) }) as State)

/** −dλ/du at each item: 1 over the density of its log-SNR. */
const spread = (logSnr: State, u: State): State =>
  Tensor.neg(Gradient.of(Tensor.sum(logSnr) as Tensor.Any, u)) as State

/**
 * An objective. Throws `DiffusionError` for options that make no sense, or do not go together.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Objective => {
  const { network, schedule, prediction, learned, term } = options
  const { distance = "mse", weighting = Weighting.simple, measure = "draw" } = options
  const { offset = 0, perturbation = 0 } = options
  const times =
    options.times ??
    (Schedule.isDiscrete(schedule) && measure === "draw"
      ? TimeDensity.steps
      : TimeDensity.uniform())
  const refuse = (holds: boolean, message: string) =>
    demand(holds, "Objective.make", "options", message)
  predictions.require("Objective.make", prediction)
  refuse(
    typeof distance !== "string" || distance === "mse" || distance === "l1",
    `a distance is "mse", "l1", { huber: δ } or a function, not ${JSON.stringify(distance)}`
  )
  refuse(
    measure === "draw" || measure === "logSnr",
    `a weighting is per "draw" or "logSnr", not ${JSON.stringify(measure)}`
  )
  refuse(
    typeof prediction === "string" || prediction.kind === "edm",
    "a consistency model has no target: it is distilled, or trained to agree with itself"
  )
  refuse(
    offset >= 0 && perturbation >= 0,
    `strengths of noise must be at least 0, not ${offset} and ${perturbation}`
  )
  refuse(
    typeof distance !== "object" || distance.huber > 0,
    "the δ of Huber's loss must be above 0"
  )
  refuse(
    measure === "draw" || !times.stepped,
    'there is no density per log-SNR of times that are steps: take a density that is not stepped, or `measure: "draw"`'
  )
  refuse(
    learned === undefined || (Schedule.isDiscrete(schedule) && times.stepped),
    "variances are learned at the steps of a discrete schedule: take one, with `TimeDensity.steps`, or leave out `learned`"
  )
  refuse(
    !(times.stepped && prediction === "noise" && lastHasNoSignal(schedule)),
    `the last level of ${schedule.name} has no signal, where noise tells nothing: take another prediction, such as "v"`
  )

  return (data, key) => {
    const dtype = data.dtype as DType.Float
    const batch = data.shape[0]
    const keys = Random.children(key, 5)
    const drawn = (i: number, shape: ReadonlyArray<number>) => Noise.initial(keys[i], shape, dtype)

    const u = TimeDensity.uniforms(times, keys[0], { batch, dtype })
    const time = times.quantile(u, schedule)
    const timestep = Schedule.timesteps(schedule, time)
    const level: Level = {
      ...Schedule.mixtures(schedule, time),
      // whole, though i/(T − 1) times T − 1 may not be
      timestep: times.stepped ? (Tensor.round(timestep) as State) : timestep
    }
    const logSnr = Tensor.mul(
      Tensor.sub(Tensor.log(level.alpha), Tensor.log(level.sigma)),
      2
    ) as State

    const channel = data.shape.map((size, axis) => (axis < 2 ? size : 1))
    const noise = combine(
      [1, drawn(1, data.shape)],
      ...(offset === 0 ? [] : [[offset, drawn(2, channel)] as const])
    )
    const seen = combine(
      [1, noise],
      ...(perturbation === 0 ? [] : [[perturbation, drawn(3, data.shape)] as const])
    )
    const x = combine([level.alpha, data], [level.sigma, seen])

    // the denoiser knows how to ask; what the network answers is compared before it becomes an estimate, which may divide by nearly 0
    let answer = data
    const denoiser = Denoiser.make({
      prediction,
      learnsVariance: learned !== undefined,
      network: (input, timestep) => {
        answer = network(input, timestep)
        return answer
      }
    })
    const estimate = denoiser.estimate(x, level)
    const predicted =
      learned === undefined ? answer : (Tensor.split(answer, 2, { axis: 1 })[0] as State)

    const target = Denoiser.target(prediction, { data, noise }, level)
    const distances = perItem(measured(distance, predicted, target))
    const plain = Weighting.values(weighting, prediction, logSnr)
    const weights = Gradient.stop(
      measure === "draw"
        ? plain
        : (Tensor.mul(plain, spread(times.logSnr?.(u) ?? logSnr, u)) as State)
    ) as State
    const given: Given = { data, noise, x, time, logSnr, level, estimate, key: keys[4] }
    const items = combine(
      [weights, distances],
      ...(learned === undefined
        ? []
        : [[1, bound(learned, schedule as Schedule.Discrete, given)] as const]),
      ...(term === undefined ? [] : [[1, term(given)] as const])
    )
    return { ...given, items, distances, weights, loss: Tensor.mean(items) as unknown as State }
  }
}

const combine = Denoiser.combine

const lastHasNoSignal = (schedule: Schedule.Schedule): boolean =>
  Schedule.mixture(schedule, 1).alpha === 0

/** Each item's share of the variational bound over all T levels, weighted. */
const bound = (
  { variance, decoder, weight = 0.001 }: NonNullable<Options["learned"]>,
  schedule: Schedule.Discrete,
  { data, estimate, level }: Given
): State => {
  const terms = VariationalBound.terms(
    {
      schedule,
      ...(variance === undefined ? {} : { learned: variance }),
      ...(decoder === undefined ? {} : { decoder })
    },
    {
      data,
      estimate: { data: Gradient.stop(estimate.data) as State },
      variance: estimate.variance as State,
      level: level.timestep
    }
  )
  return Tensor.mul(perItem(terms), (weight * schedule.betas.length) / Math.LN2) as State
}
