import { Shape } from "../../Tensor/index.ts"
import { demand } from "../internal/data.ts"
import { type Features, requireFinite, requireShape } from "./features.ts"

/**
 * Images `[n, channels, height, width]`; host arrays of floats will do.
 *
 * @since 0.1.0
 * @category models
 */
export type Images = Features

/**
 * @since 0.1.0
 * @category models
 */
export interface ImageOptions {
  /** From black to white; 2 unless told, as images have values from −1 to 1. */
  readonly range?: number
}

/** Throws a `DataError` for what are no images. */
export const requireImages = (what: string, images: Images): void => {
  requireShape(what, images, "images [n, channels, height, width]", 4)
  requireFinite(what, images)
}

/** The range; throws a `DataError` unless two sets of images can be compared. */
const checked = (what: string, a: Images, b: Images, { range = 2 }: ImageOptions): number => {
  for (const each of [a, b]) requireImages(what, each)
  demand(
    Shape.equals(a.shape, b.shape),
    what,
    "shape",
    () => `images ${Shape.show(a.shape)} cannot be compared with images ${Shape.show(b.shape)}`
  )
  demand(
    range > 0 && Number.isFinite(range),
    what,
    "options",
    () => `\`range\` must be a number above 0, not ${range}`
  )
  return range
}

/**
 * The peak signal-to-noise ratio of each image in decibels, `[n]`: 10 log₁₀ (range² / mean squared error), the mean over all channels
 * and places (ITU-T J.340). Infinite for images that are equal.
 *
 * Throws `DataError` for shapes that differ, and numbers that are not finite.
 *
 * @since 0.1.0
 * @category metrics
 */
export const psnr = (a: Images, b: Images, options: ImageOptions = {}): Float64Array => {
  const range = checked("Metrics.psnr", a, b, options)
  const size = Shape.size(a.shape.slice(1))
  return Float64Array.from({ length: a.shape[0] }, (_, i) => {
    let sum = 0
    for (let k = i * size; k < (i + 1) * size; k++) sum += (a.data[k] - b.data[k]) ** 2
    return 10 * Math.log10((range * range * size) / sum)
  })
}

const radius = 5

/** Of width 11 and σ = 1.5, with sum 1. */
const gaussian = (() => {
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / 4.5))
  const sum = raw.reduce((total, each) => total + each, 0)
  return Float64Array.from(raw, (each) => each / sum)
})()

/** A plane smoothed, at the places where the window lies within it. */
const smoothed = (plane: Float64Array, height: number, width: number): Float64Array => {
  const [rows, columns] = [height - 2 * radius, width - 2 * radius]
  const across = new Float64Array(height * columns)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0
      for (let k = 0; k < gaussian.length; k++) sum += gaussian[k] * plane[y * width + x + k]
      across[y * columns + x] = sum
    }
  }
  const result = new Float64Array(rows * columns)
  for (let at = 0; at < result.length; at++) {
    let sum = 0
    for (let k = 0; k < gaussian.length; k++) sum += gaussian[k] * across[at + k * columns]
    result[at] = sum
  }
  return result
}

/**
 * The structural similarity of each image, `[n]`, from −1 to 1, which only equal images have (Wang et al. 2004, IEEE Trans. Image
 * Processing 13, eq. 13): a Gaussian window of 11 × 11 places and σ = 1.5, K₁ = 0.01, K₂ = 0.03, variances of the population, at the
 * places where the window lies within the image; the mean over these and over channels. It is what scikit-image's
 * `structural_similarity` gives with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
 *
 * Throws `DataError` for images smaller than the window, shapes that differ, and numbers that are not finite.
 *
 * @since 0.1.0
 * @category metrics
 */
export const ssim = (a: Images, b: Images, options: ImageOptions = {}): Float64Array => {
  const what = "Metrics.ssim"
  const range = checked(what, a, b, options)
  const [n, channels, height, width] = a.shape
  demand(
    Math.min(height, width) >= gaussian.length,
    what,
    "shape",
    () =>
      `images must be at least ${gaussian.length} × ${gaussian.length}, as the window is, not ${height} × ${width}; enlarge them, or take psnr`
  )
  const [c1, c2] = [(0.01 * range) ** 2, (0.03 * range) ** 2]
  const plane = ({ data }: Images, index: number): Float64Array =>
    Float64Array.from({ length: height * width }, (_, k) => data[index * height * width + k])
  const smooth = (plane: Float64Array) => smoothed(plane, height, width)
  const similarity = (x: Float64Array, y: Float64Array): number => {
    const times = (u: Float64Array, v: Float64Array) => smooth(u.map((each, k) => each * v[k]))
    const [mx, my, xx, yy, xy] = [smooth(x), smooth(y), times(x, x), times(y, y), times(x, y)]
    let sum = 0
    for (let k = 0; k < mx.length; k++) {
      const [u, v] = [mx[k], my[k]]
      const means = (2 * u * v + c1) / (u * u + v * v + c1)
      sum += (means * (2 * (xy[k] - u * v) + c2)) / (xx[k] - u * u + yy[k] - v * v + c2)
    }
    return sum / mx.length
  }
  return Float64Array.from({ length: n }, (_, i) => {
    let sum = 0
    for (let c = i * channels; c < (i + 1) * channels; c++)
      sum += similarity(plane(a, c), plane(b, c))
    return sum / channels
  })
}
