/** Schedules from schedules. */
import { demand } from "../DiffusionError.ts"
import type * as field from "../internal/field.ts"
import { scaledTo } from "../internal/schedule.ts"
import {
  type Discrete,
  fromLogSnr,
  isDiscrete,
  logSnr,
  type Mixture,
  make,
  type Schedule,
  type Variance
} from "./core.ts"
import { fromAlphasCumprod } from "./discrete.ts"

/**
 * The same log-SNR and timesteps in other coordinates: with α² + σ² = 1, with α = 1, or with α + σ = 1. Throws `DiffusionError` where
 * there is no signal and α should be 1.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withVariance = (
  schedule: Schedule,
  variance: Exclude<Variance, "other">
): Schedule => {
  const { name, at, timestep, time } = schedule
  return make({
    name: `${name}, ${variance}`,
    variance,
    at: (of, t) => scaledTo(of, variance, at(of, t)),
    timestep,
    time
  })
}

/**
 * A schedule with `factor` times as much noise over signal at each time, λ − 2 log factor: for images that are that many times as wide
 * and high, where neighbours tell more of each other (Hoogeboom et al. 2023, arXiv:2301.11093, section 3.1; Esser et al. 2024, section
 * 5.3.2). A discrete schedule stays discrete. Throws `DiffusionError` unless the factor is above 0.
 *
 * @since 0.1.0
 * @category combinators
 */
export const shifted = <A extends Schedule>(
  schedule: A,
  factor: number
): A extends Discrete ? Discrete : Schedule => {
  demand(
    factor > 0 && Number.isFinite(factor),
    "Schedule.shifted",
    "schedule",
    `the factor must be above 0, not ${factor}`
  )
  const name = `${schedule.name}, shifted by ${factor}`
  if (isDiscrete(schedule)) {
    return fromAlphasCumprod(
      schedule.alphasCumprod.map((each) => each / (each + factor ** 2 * (1 - each))),
      name
    ) as never
  }
  const { variance, at, timestep, timestepOf, time } = schedule as Schedule
  return make({
    name,
    variance,
    at: (of, t) => {
      const { alpha, sigma } = at(of, t)
      return scaledTo(of, variance, { alpha, sigma: of.mul(of.of(factor), sigma) })
    },
    // what is said of a level is said of the shifted one
    ...(timestepOf === undefined ? { timestep } : { timestepOf }),
    time: (value) => time(value + 2 * Math.log(factor))
  }) as never
}

/**
 * From one schedule at t = 0 to another at t = 1, λ = (1 − t)λ₀ + tλ₁: such as a shifted one where there is much noise, and the plain one
 * where details are made (Hoogeboom et al. 2023, section 3.1, "interpolating"). Both need noise at t = 0 and signal at t = 1, or
 * `DiffusionError` is thrown.
 *
 * @since 0.1.0
 * @category combinators
 */
export const interpolated = (first: Schedule, second: Schedule): Schedule => {
  const name = `${first.name} to ${second.name}`
  const ends = [first, second].flatMap((each) => [logSnr(each, 0), logSnr(each, 1)])
  demand(
    ends.every(Number.isFinite),
    name,
    "schedule",
    `the log-SNRs at the ends are ${ends.join(", ")}: all must be finite`
  )
  const valueOf = <S>(of: field.Field<S>, { alpha, sigma }: Mixture<S>) =>
    of.mul(of.of(2), of.sub(of.log(alpha), of.log(sigma)))
  return fromLogSnr({
    name,
    variance: first.variance === "other" ? "preserving" : first.variance,
    logSnr: (of, t) =>
      of.add(
        of.mul(of.sub(of.of(1), t), valueOf(of, first.at(of, t))),
        of.mul(t, valueOf(of, second.at(of, t)))
      ),
    ...(first.timestepOf === undefined
      ? { timestep: first.timestep }
      : { timestepOf: first.timestepOf })
  })
}
