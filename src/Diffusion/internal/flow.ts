/**
 * The probability flow, and its stochastic siblings, in a variable of one's choice.
 *
 * For a state z = αx₀ + σε along any u of which α and σ are functions, with D = E[x₀ | z] and ε = (z − αD)/σ,
 *
 *     dz/du = α′(u)·D + σ′(u)·ε
 *
 * has the marginals of the forward process (Song et al. 2021, arXiv:2011.13456, equation 13; Karras et al. 2022, arXiv:2206.00364,
 * equation 4). What the forward SDE adds is g² = 2σσ′ − 2σ²α′/α of variance in a unit of u.
 */
import { Tensor } from "../../Tensor/index.ts"
import { combine, type Denoiser, type Level, over, type State } from "../Denoiser.ts"
import { demand } from "../DiffusionError.ts"
import * as Plan from "../Plan.ts"
import * as Schedule from "../Schedule.ts"
import * as field from "./field.ts"

/** What α and σ are functions of. */
export type Variable = "time" | "sigma" | "logSnr"

/** Signal and noise at a place, and how fast they change there. */
export interface Point<S> extends Schedule.Mixture<S> {
  readonly rate: Schedule.Mixture<S>
}

/** Along the time of a schedule. */
const timed = <S>(of: field.Field<S>, schedule: Schedule.Schedule, t: S): Point<S> => {
  if (Schedule.isDiscrete(schedule)) {
    // λ is linear from level to level, so that there α′ = ασ²λ′/2 and σ′ = −α²σλ′/2
    const { alpha, sigma } = schedule.at(of, t)
    const last = schedule.alphasCumprod.length - 1
    const logSnrs = schedule.alphasCumprod.map((each) => Math.log(each) - Math.log1p(-each))
    const slopes = logSnrs.slice(1).map((each, i) => ((each - logSnrs[i]) * last) / 2)
    const near = (shift: number) => {
      const place = of.floor(of.add(of.mul(t, of.of(last)), of.of(shift)))
      return of.lookup(slopes, of.max(of.min(place, of.of(last - 1)), of.of(0)))
    }
    // at a level the mean of both sides, whichever way its time was rounded
    const mean = of.mul(of.of(0.5), of.add(near(-1e-4), near(1e-4)))
    const slope = of.mul(of.mul(alpha, sigma), mean)
    return {
      alpha,
      sigma,
      rate: { alpha: of.mul(slope, sigma), sigma: of.sub(of.of(0), of.mul(slope, alpha)) }
    }
  }
  const { alpha, sigma } = schedule.at(field.dual(of), { value: t, slope: of.of(1) })
  return {
    alpha: alpha.value,
    sigma: sigma.value,
    rate: { alpha: alpha.slope, sigma: sigma.slope }
  }
}

/**
 * Signal and noise at a place u: of the schedule itself in time, else with α = 1, so that σ is noise over signal.
 */
export const point = <S>(
  of: field.Field<S>,
  variable: Variable,
  schedule: Schedule.Schedule | undefined,
  u: S
): Point<S> => {
  const [zero, one] = [0, 1].map(of.of)
  switch (variable) {
    case "time":
      return timed(of, schedule as Schedule.Schedule, u)
    case "sigma":
      return { alpha: one, sigma: u, rate: { alpha: zero, sigma: one } }
    case "logSnr": {
      const sigma = of.exp(of.mul(of.of(-0.5), u))
      return { alpha: one, sigma, rate: { alpha: zero, sigma: of.mul(of.of(-0.5), sigma) } }
    }
  }
}

/** Where a level is; NaN where a schedule does not reach. */
export const placeOf = (
  variable: Variable,
  schedule: Schedule.Schedule | undefined,
  level: Schedule.Mixture<number>
): number => {
  switch (variable) {
    case "time": {
      const own = schedule as Schedule.Schedule
      const wanted = Plan.logSnr(level)
      const t = own.time(wanted)
      if (!Number.isNaN(t)) return t
      // an end in other coordinates, but for rounding
      const end = [0, 1].find((each) => Math.abs(wanted / Schedule.logSnr(own, each) - 1) < 1e-9)
      return end ?? Number.NaN
    }
    case "sigma":
      return level.sigma / level.alpha
    case "logSnr":
      return Plan.logSnr(level)
  }
}

/** What a network is told at a place, on the host. */
export const timestepOf = (
  variable: Variable,
  schedule: Schedule.Schedule | undefined,
  { between }: Plan.Plan,
  u: number
): number => {
  switch (variable) {
    case "time":
      return (schedule as Schedule.Schedule).timestep(field.host, u)
    case "sigma":
      return between(-2 * Math.log(u)).timestep
    case "logSnr":
      return between(u).timestep
  }
}

/** By how much a state grows from one level's coordinates to another's; both have the same log-SNR. */
export const growth = (from: Schedule.Mixture<number>, to: Schedule.Mixture<number>): number =>
  Math.hypot(to.alpha, to.sigma) / Math.hypot(from.alpha, from.sigma)

/** Throws `DiffusionError` where a variable lacks its schedule. */
export const requireSchedule = (
  what: string,
  variable: Variable,
  schedule: Schedule.Schedule | undefined
): void => {
  demand(
    ["time", "sigma", "logSnr"].includes(variable),
    what,
    "options",
    `the variable must be "time", "sigma" or "logSnr", not ${JSON.stringify(variable)}`
  )
  demand(
    variable !== "time" || schedule !== undefined,
    what,
    "options",
    "time is that of a schedule: tell which one, or take sigma or logSnr as the variable"
  )
}

// ── In programs ──────────────────────────────────────────────────────────────────────────────────

/** A level at places of any shape. */
export const levelAt = (
  variable: Variable,
  schedule: Schedule.Schedule,
  u: State
): Level & Point<State> => {
  const place = variable === "time" ? (Tensor.clip(u, { min: 0, max: 1 }) as State) : u
  const found = point(field.like(place), variable, schedule, place as Tensor.Any) as Point<State>
  const time =
    variable === "time"
      ? place
      : Schedule.times(
          schedule,
          variable === "logSnr" ? place : (Tensor.mul(Tensor.log(place), -2) as State)
        )
  return { ...found, timestep: Schedule.timesteps(schedule, time) }
}

/** dz/du, from what a denoiser says of z. */
export const slope = (x: State, data: State, { alpha, sigma, rate }: Point<State>): State =>
  combine([rate.alpha, data], [rate.sigma, noiseOf(x, data, { alpha, sigma })])

/** (z − αD)/σ. */
export const noiseOf = (x: State, data: State, { alpha, sigma }: Schedule.Mixture<State>): State =>
  Tensor.div(Tensor.sub(x, combine([alpha, data])), over(sigma, x)) as State

/** dz/du = f(u, z), for places of shape `[]` or `[batch]`. */
export const rightHandSide =
  (denoiser: Denoiser, variable: Variable, schedule: Schedule.Schedule) =>
  (u: State, x: State): State => {
    const level = levelAt(variable, schedule, u)
    return slope(x, denoiser.estimate(x, level).data, level)
  }

/** The plan's levels between which something is integrated, and what is left to do: its last level may have no noise. */
export const stretch = ({
  levels
}: Plan.Plan): {
  readonly first: Plan.Level
  readonly last: Plan.Level
  readonly clean: Plan.Level | undefined
} => {
  const end = levels[levels.length - 1]
  const bare = end.sigma === 0
  return {
    first: levels[0],
    last: bare ? levels[levels.length - 2] : end,
    clean: bare ? end : undefined
  }
}

/** Throws `DiffusionError` where a level has no place of a variable. */
export const requirePlace = (
  what: string,
  variable: Variable,
  schedule: Schedule.Schedule | undefined,
  level: Plan.Level
): number => {
  const u = placeOf(variable, schedule, level)
  demand(
    Number.isFinite(u),
    what,
    "plan",
    variable === "time"
      ? `no time of the schedule ${schedule?.name} has the noise of ${level.sigma} and the signal of ${level.alpha}: take a plan of that schedule`
      : `the noise of ${level.sigma} and the signal of ${level.alpha} is at ${u} in ${variable}: leave that level out, or take time as the variable`
  )
  return u
}
