/** What schedules are made with. */
import type { Mixture, Variance } from "../schedules/core.ts"
import type * as field from "./field.ts"

/** A time that rounding may have taken beyond the ends; NaN further out. */
export const within = (t: number): number =>
  t >= -1e-9 && t <= 1 + 1e-9 ? Math.min(Math.max(t, 0), 1) : Number.NaN

/** The time of a falling function's value, by halving. */
export const bisect = (f: (t: number) => number, value: number): number => {
  let [low, high] = [0, 1]
  if (!(value <= f(low) && value >= f(high))) return Number.NaN
  // the ends themselves, where the log-SNR may be infinite
  if (value === f(low)) return low
  if (value === f(high)) return high
  for (let i = 0; i < 200 && high - low > Number.EPSILON * low; i++) {
    const middle = (low + high) / 2
    if (f(middle) >= value) low = middle
    else high = middle
  }
  // the end that comes nearer
  return Math.abs(f(low) - value) <= Math.abs(f(high) - value) ? low : high
}

/** Steps of training that a continuous schedule counts as one unit of time. */
export const trainingSteps = 1000

/** Signal and noise of a log-SNR. */
export const ofLogSnr = <S>(variance: Variance, of: field.Field<S>, value: S): Mixture<S> => {
  const times = (factor: number) => of.mul(of.of(factor), value)
  switch (variance) {
    case "exploding":
      return { alpha: one(of, value), sigma: of.exp(times(-0.5)) }
    case "flow":
      return { alpha: of.sigmoid(times(0.5)), sigma: of.sigmoid(times(-0.5)) }
    default:
      return { alpha: of.sqrt(of.sigmoid(value)), sigma: of.sqrt(of.sigmoid(times(-1))) }
  }
}

/** 1, of the kind of another. */
export const one = <S>(of: field.Field<S>, like: S): S => of.add(of.mul(like, of.of(0)), of.of(1))

/** What belongs to a time between equal parts of 0 to 1: the part it lies in, from 0, and how far. */
export const placed = <S>(of: field.Field<S>, t: S, parts: number) => {
  const place = of.mul(t, of.of(parts))
  const low = of.max(of.of(0), of.min(of.floor(place), of.of(parts - 1)))
  return { low, high: of.add(low, of.of(1)), part: of.sub(place, low) }
}

/** The part of falling values, and how far in it, where a value lies; NaN beyond. The inverse of {@link placed}. */
export const placeOf = (values: ReadonlyArray<number>, value: number) => {
  let [low, high] = [0, values.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (values[middle] >= value) low = middle
    else high = middle
  }
  if (value === values[low]) return { low, part: 0 }
  const part = (values[low] - value) / (values[low] - values[high])
  // rounding at the ends
  const near = part >= -1e-9 && part <= 1 + 1e-9
  return { low, part: near ? Math.min(Math.max(part, 0), 1) : Number.NaN }
}

/** The same signal to noise, in other coordinates. */
export const scaledTo = <S>(
  of: field.Field<S>,
  variance: Variance,
  { alpha, sigma }: Mixture<S>
): Mixture<S> => {
  const square = (a: S) => of.mul(a, a)
  switch (variance) {
    case "preserving": {
      const size = of.sqrt(of.add(square(alpha), square(sigma)))
      return { alpha: of.div(alpha, size), sigma: of.div(sigma, size) }
    }
    case "flow": {
      const size = of.add(alpha, sigma)
      return { alpha: of.div(alpha, size), sigma: of.div(sigma, size) }
    }
    case "exploding":
      return { alpha: one(of, alpha), sigma: of.div(sigma, alpha) }
    case "other":
      return { alpha, sigma }
  }
}
