/**
 * Digits drawn by strokes: a data set of 28×28 grey images in ten classes that needs no files and has no end.
 *
 * A digit is one of a few ways to write it, a list of curves. An item bends them smoothly, slants, turns, scales and shifts them, and
 * draws them with a pen of some width: the ink at a pixel is the part of it that the pen covers, by the distance d of its centre from the
 * nearest stroke, ink = min(1, max(0, r + ½ − d)) for a pen of radius r. Paper is −1 and ink 1.
 *
 * @since 0.1.0
 */
import { HostRandom } from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import type { Seed } from "./Sample.ts"

type Point = readonly [x: number, y: number]

/** Points that a smooth curve goes through; a corner is where one ends and the next begins. */
type Stroke = ReadonlyArray<Point>

/** Ways to write each digit: the points x,y of its strokes, in hundredths, from −100 to 100 with y downwards. */
const glyphs: ReadonlyArray<ReadonlyArray<string>> = [
  [
    "0,-100 -42,-72 -58,0 -42,72 0,100 42,72 58,0 42,-72 0,-100",
    "30,-90 -12,-96 -48,-40 -48,40 -8,97 36,72 52,10 42,-60 8,-98"
  ],
  [
    "0,-100 0,100",
    "-38,-58 8,-100 / 8,-100 8,100",
    "-38,-62 0,-100 / 0,-100 0,100 / -45,100 45,100"
  ],
  [
    "-50,-60 -25,-95 20,-97 48,-60 35,-10 -10,45 -55,100 / -55,100 60,100",
    "-50,-65 -10,-100 40,-75 35,-15 -15,60 -50,95 -62,72 -35,64 10,92 62,92"
  ],
  [
    "-48,-75 -10,-100 38,-80 38,-35 -10,-5 / -10,-5 40,10 52,50 25,92 -20,98 -55,70",
    "-50,-95 45,-95 / 45,-95 -5,-20 / -5,-20 40,2 50,50 20,95 -25,97 -55,70"
  ],
  [
    "-35,-95 -52,15 / -52,15 60,15 / 30,-75 25,100",
    "25,-100 -60,35 / -60,35 60,35 / 25,-100 25,100"
  ],
  [
    "48,-100 -35,-100 / -35,-100 -45,-15 / -45,-15 -5,-30 40,-10 52,35 25,85 -20,100 -55,75",
    "50,-100 -30,-90 / -30,-90 -38,-20 / -38,-20 15,-25 45,20 30,80 -15,100 -50,90"
  ],
  [
    "35,-100 -15,-60 -48,5 -45,65 -10,100 35,85 50,45 25,5 -15,5 -45,42",
    "12,-100 -30,-30 -50,40 -25,95 20,95 45,55 20,15 -25,25 -48,60"
  ],
  ["-55,-95 55,-95 / 55,-95 10,0 -15,100", "-55,-95 55,-95 / 55,-95 10,0 -12,100 / -25,2 45,2"],
  [
    "0,-4 -38,-40 -34,-84 0,-100 34,-84 38,-40 0,-4 -45,38 -40,82 0,100 40,82 45,38 0,-4",
    "0,-100 -34,-84 -34,-24 0,-6 34,-24 34,-84 0,-100 / 0,-6 -42,18 -42,80 0,100 42,80 42,18 0,-6"
  ],
  [
    "42,-55 12,-10 -33,-20 -45,-65 -10,-100 30,-90 42,-50 38,25 28,100",
    "44,-55 10,-10 -35,-22 -42,-68 -5,-100 35,-88 46,-45 40,30 10,88 -38,95"
  ]
]

const strokesOf = (glyph: string): ReadonlyArray<Stroke> =>
  glyph.split(" / ").map((stroke) =>
    stroke.split(" ").map((point) => {
      const [x, y] = point.split(",").map((text) => Number(text) / 100)
      return [x, y]
    })
  )

const same = (a: Point, b: Point): boolean => a[0] === b[0] && a[1] === b[1]

/** How many pieces of a straight line stand for the curve between two points. */
const pieces = 5

/** A curve through points (Catmull and Rom 1974) as pieces of straight lines: x and y of the one end and of the other. */
const lines = (stroke: Stroke): ReadonlyArray<number> => {
  const last = stroke.length - 1
  const closed = same(stroke[0], stroke[last])
  const at = (i: number): Point =>
    i < 0 ? stroke[closed ? last - 1 : 0] : i > last ? stroke[closed ? 1 : last] : stroke[i]
  const through = (i: number, t: number): Point => {
    const along = (axis: 0 | 1): number => {
      const [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)].map((point) => point[axis])
      return b + (t / 2) * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    }
    return [along(0), along(1)]
  }
  const points = stroke.flatMap((point, i) =>
    i === last ? [point] : Array.from({ length: pieces }, (_, k) => through(i, k / pieces))
  )
  return points.slice(1).flatMap((to, i) => [...points[i], ...to])
}

const drawings = glyphs.map((ways) =>
  ways.map((glyph) => Float64Array.from(strokesOf(glyph).flatMap(lines)))
)

const side = 28

/** Half a digit's height, and how far it may reach from the middle, in pixels. */
const half = 9.5
const reach = 10.5

/** Draws of the uniform distribution that an item takes. */
const draws = 16

/** The pieces of a way to write a digit as they are drawn, in pixels, and the pen's radius. */
const written = (lines: Float64Array, u: Float32Array) => {
  const between = (i: number, low: number, high: number) => low + (high - low) * u[i]
  const turn = between(1, -0.14, 0.14)
  const slant = between(2, -0.1, 0.3)
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)]
  const size = between(3, 0.88, 1.08)
  const [wide, high] = [half * size * between(4, 0.9, 1.2), half * size]
  const bends = [5, 6, 7, 8].map((i) => between(i, -0.07, 0.07))
  const waves = [9, 10, 11, 12].map((i) => between(i, 0, 2 * Math.PI))
  const placed = new Float64Array(lines.length)
  let [left, right, top, bottom] = [0, 0, 0, 0]
  for (let i = 0; i < lines.length; i += 2) {
    const [x, y] = [lines[i], lines[i + 1]]
    // smooth in both, so that strokes that meet still do
    const bentX =
      x + bends[0] * Math.sin(2.5 * y + waves[0]) + bends[1] * Math.sin(4 * x + waves[1])
    const bentY =
      y + bends[2] * Math.sin(4 * x + waves[2]) + bends[3] * Math.sin(2.5 * y + waves[3])
    const [a, b] = [wide * (bentX - slant * bentY), high * bentY]
    const [px, py] = [cos * a - sin * b, sin * a + cos * b]
    placed[i] = px
    placed[i + 1] = py
    left = Math.min(left, px)
    right = Math.max(right, px)
    top = Math.min(top, py)
    bottom = Math.max(bottom, py)
  }
  const fit = Math.min(1, (2 * reach) / Math.max(right - left, bottom - top))
  const middle = (side - 1) / 2
  const toX = middle - (fit * (left + right)) / 2 + between(13, -1, 1)
  const toY = middle - (fit * (top + bottom)) / 2 + between(14, -1, 1)
  for (let i = 0; i < placed.length; i += 2) {
    placed[i] = fit * placed[i] + toX
    placed[i + 1] = fit * placed[i + 1] + toY
  }
  return { placed, radius: between(15, 0.9, 1.5) }
}

/** Draws pieces of straight lines with a pen. */
const paint = (placed: Float64Array, radius: number, to: Float32Array): void => {
  // squared distances first
  const margin = radius + 0.5
  to.fill(Number.POSITIVE_INFINITY)
  for (let k = 0; k < placed.length; k += 4) {
    const [ax, ay, bx, by] = [placed[k], placed[k + 1], placed[k + 2], placed[k + 3]]
    const [dx, dy] = [bx - ax, by - ay]
    const length = dx * dx + dy * dy
    const scale = length === 0 ? 0 : 1 / length
    const x0 = Math.max(0, Math.ceil(Math.min(ax, bx) - margin))
    const x1 = Math.min(side - 1, Math.floor(Math.max(ax, bx) + margin))
    const y0 = Math.max(0, Math.ceil(Math.min(ay, by) - margin))
    const y1 = Math.min(side - 1, Math.floor(Math.max(ay, by) + margin))
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const [px, py] = [x - ax, y - ay]
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) * scale))
        const [ex, ey] = [px - along * dx, py - along * dy]
        const distance = ex * ex + ey * ey
        if (distance < to[y * side + x]) to[y * side + x] = distance
      }
    }
  }
  for (let i = 0; i < to.length; i++) {
    to[i] = 2 * Math.min(1, Math.max(0, margin - Math.sqrt(to[i]))) - 1
  }
}

/**
 * The digits of a seed, `[1, 28, 28]`: item i shows the digit i mod 10, and depends on the seed and on i alone. They have no end unless a
 * size is told. Those of another seed are new ones, to evaluate on.
 *
 * Throws `DataError` for a size or a seed that makes no sense.
 *
 * ```ts
 * const digits = Digits.make()
 * const unseen = Digits.make({ seed: 1, size: 10_000 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: { readonly seed?: Seed | undefined; readonly size?: number | undefined } = {}
): Dataset.Dataset => {
  const key = Dataset.keyOf("digits", options.seed ?? 0)
  return Dataset.generate({
    name: "digits",
    shape: [1, side, side],
    classes: drawings.map((_, digit) => `${digit}`),
    size: options.size,
    as: `digits 1 of ${key}`,
    item: (index, to) => {
      const { data: u } = HostRandom.uniform(Dataset.keyAt(key, index), [draws])
      const ways = drawings[index % 10]
      const { placed, radius } = written(ways[Math.floor(u[0] * ways.length)], u)
      paint(placed, radius, to)
    },
    label: (index) => index % 10
  })
}
