/**
 * Distributions of points in the plane that papers on generative models draw, as data sets of items `[2]` that have no end.
 *
 * Each is about 0 and has a deviation of about 1 along each axis. Item i depends on the seed and on i alone.
 *
 * @since 0.1.0
 */
import { HostRandom, Suggestion } from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import { demand } from "./internal/data.ts"
import type { Seed } from "./Sample.ts"

/** Of two numbers from 0 to 1 and two normal ones, a point. */
type Distribution = (uniform: Float32Array, normal: Float32Array) => readonly [x: number, y: number]

const { PI, SQRT2, cos, floor, sin, sqrt } = Math

const distributions = {
  /** Two half circles, each of which reaches into the other. */
  moons: ([u, side], [n, m]) => {
    const angle = PI * u
    const [x, y] = side < 0.5 ? [cos(angle), sin(angle)] : [1 - cos(angle), 0.5 - sin(angle)]
    return [1.15 * (x - 0.5) + 0.1 * n, 2 * (y - 0.25) + 0.1 * m]
  },
  /** Every other square of four by four. */
  checkerboard: ([u, v]) => {
    const [x, row] = [4 * u, 2 * v]
    return [0.87 * (x - 2), 0.87 * (floor(row) + row + (floor(x) % 2) - 2)]
  },
  /** A spiral of one and a half turns, as a rolled sheet has them. */
  swissRoll: ([u], [n, m]) => {
    const angle = 1.5 * PI * (1 + 2 * u)
    return [(angle * cos(angle) + 0.4 * n - 2) / 6.8, (angle * sin(angle) + 0.4 * m) / 6.8]
  },
  /** Eight normal distributions on a circle. */
  gaussians: ([u], [n, m]) => {
    const angle = (PI / 4) * floor(8 * u)
    return [SQRT2 * cos(angle) + 0.12 * n, SQRT2 * sin(angle) + 0.12 * m]
  },
  /** Two circles with one middle. */
  circles: ([u, which], [n, m]) => {
    const [angle, radius] = [2 * PI * u, which < 0.5 ? 0.9 : 1.8]
    return [radius * cos(angle) + 0.08 * n, radius * sin(angle) + 0.08 * m]
  },
  /** Two spirals, the one the other turned by half. */
  spirals: ([u, which], [n, m]) => {
    const angle = 3 * PI * sqrt(u)
    const radius = (which < 0.5 ? 1 : -1) * (angle / 4.7)
    return [radius * cos(angle) + 0.05 * n, radius * sin(angle) + 0.05 * m]
  }
} satisfies Readonly<Record<string, Distribution>>

/**
 * What there is to choose from: two half `moons`, a `checkerboard`, a `swissRoll`, eight `gaussians` on a circle, two `circles`, two
 * `spirals`.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof distributions

/**
 * @since 0.1.0
 * @category models
 */
export const names = Object.keys(distributions) as ReadonlyArray<Name>

/**
 * The points of a seed, `[2]`, without an end unless a size is told.
 *
 * Throws `DataError` for a name that is not known, and for a size or a seed that makes no sense.
 *
 * ```ts
 * const points = Points.make("moons", { seed: 7 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  name: Name,
  options: { readonly seed?: Seed | undefined; readonly size?: number | undefined } = {}
): Dataset.Dataset => {
  demand(
    Object.hasOwn(distributions, name),
    "points",
    "options",
    () => `there are no points "${name}"; ${Suggestion.sentence(name, names)}`
  )
  const key = Dataset.keyOf(name, options.seed ?? 0)
  const distribution: Distribution = distributions[name]
  return Dataset.generate({
    name,
    shape: [2],
    size: options.size,
    as: `points 1 ${name} of ${key}`,
    item: (index, to) => {
      const [a, b] = HostRandom.split(Dataset.keyAt(key, index), 2)
      to.set(distribution(HostRandom.uniform(a, [2]).data, HostRandom.normal(b, [2]).data))
    }
  })
}
