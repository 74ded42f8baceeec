/**
 * Moments of the distributions that parameters begin with.
 */
import type { Initializer } from "../../Layer/index.ts"

export interface Moments {
  readonly mean: number
  readonly variance: number
  /** The fourth moment over the square of the second; 3 for normal numbers. */
  readonly kurtosis: number
  readonly min: number
  readonly max: number
}

type Random = Extract<
  Initializer.Distribution,
  { readonly kind: "uniform" | "normal" | "truncatedNormal" }
>

/** ∫ of an even function from −cut to cut, by Simpson's rule. */
const integral = (f: (x: number) => number, cut: number): number => {
  const steps = 1000
  const h = cut / steps
  let sum = f(0) + f(cut)
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * f(i * h)
  return (2 * h * sum) / 3
}

export const moments = (distribution: Random): Moments => {
  switch (distribution.kind) {
    case "uniform": {
      const { min, max } = distribution
      return { mean: (min + max) / 2, variance: (max - min) ** 2 / 12, kurtosis: 9 / 5, min, max }
    }
    case "normal": {
      const { mean, deviation } = distribution
      return {
        mean,
        variance: deviation ** 2,
        kurtosis: 3,
        min: Number.NEGATIVE_INFINITY,
        max: Number.POSITIVE_INFINITY
      }
    }
    case "truncatedNormal": {
      const { deviation, cut } = distribution
      // beyond 10 deviations there is nothing
      const moment = (k: number) =>
        integral((x) => x ** k * Math.exp(-(x ** 2) / 2), Math.min(cut, 10))
      const [zeroth, second, fourth] = [moment(0), moment(2), moment(4)]
      return {
        mean: 0,
        variance: (deviation ** 2 * second) / zeroth,
        kurtosis: (fourth * zeroth) / second ** 2,
        min: -deviation * cut,
        max: deviation * cut
      }
    }
  }
}
