/** Points of lines, as they are drawn. */
import type { Domain } from "./charts.ts"

export type Point = { readonly x: number; readonly y: number | null }

/** Fewer points that look the same: of each of many short stretches the least and the greatest, and the ends. */
export const thin = (points: ReadonlyArray<Point>, most: number): ReadonlyArray<Point> => {
  if (points.length <= most) return points
  const inner = points.slice(1, -1)
  const stretches = Math.max(1, (most - 2) >> 1)
  const kept = Array.from({ length: stretches }, (_, i) => {
    const start = Math.floor((i * inner.length) / stretches)
    const end = Math.floor(((i + 1) * inner.length) / stretches)
    let low = -1
    let high = -1
    for (let j = start; j < end; j++) {
      const { y } = inner[j]
      if (y === null) continue
      if (low < 0 || y < inner[low].y!) low = j
      if (high < 0 || y > inner[high].y!) high = j
    }
    if (low < 0) return inner.slice(start, Math.min(start + 1, end))
    return low === high ? [inner[low]] : [inner[Math.min(low, high)], inner[Math.max(low, high)]]
  })
  return [points[0], ...kept.flat(), points[points.length - 1]]
}

/** Of values in stretches of so many, for each the sum of its stretch up to it. */
const sumsOf = (values: ReadonlyArray<number>, stretch: number): Float64Array => {
  const sums = Float64Array.from(values)
  for (let i = 0; i < sums.length; i++) if (i % stretch !== 0) sums[i] += sums[i - 1]
  return sums
}

/**
 * For each value the sum of those up to a radius from it. As many as that are the end of one stretch and the beginning of the next, so that
 * what is beyond them, however large, plays no part.
 */
const sumsAbout = (values: ReadonlyArray<number>, radius: number): Float64Array => {
  const none = new Array<number>(radius).fill(0)
  const padded = [...none, ...values, ...none]
  const stretch = 2 * radius + 1
  const rest = new Array<number>((stretch - (padded.length % stretch)) % stretch).fill(0)
  const whole = [...padded, ...rest]
  const before = sumsOf(whole, stretch)
  const after = sumsOf(whole.toReversed(), stretch).toReversed()
  return Float64Array.from(values, (_, i) =>
    i % stretch === 0 ? after[i] : after[i] + before[i + stretch - 1]
  )
}

/** The mean over so many points about each, fewer at the ends, without those that cannot be drawn. */
export const smooth = (points: ReadonlyArray<Point>, over: number): ReadonlyArray<Point> => {
  const radius = Math.min(points.length, Math.floor(over / 2))
  const about = (of: (y: number | null) => number) =>
    sumsAbout(
      points.map(({ y }) => of(y)),
      radius
    )
  const sums = about((y) => y ?? 0)
  const counts = about((y) => (y === null ? 0 : 1))
  return points.map(({ x, y }, i) => ({ x, y: y === null ? null : sums[i] / counts[i] }))
}

/** The least and the greatest. */
export const extentOf = (values: Iterable<number | null>): Domain | undefined => {
  let low = Infinity
  let high = -Infinity
  for (const value of values) {
    if (value === null) continue
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return low <= high ? [low, high] : undefined
}
