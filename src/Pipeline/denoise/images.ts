import { HostRandom } from "../../Tensor/index.ts"
import { demand } from "../internal/data.ts"
import { type Batch, sized } from "./shared.ts"

/**
 * Noisy images: x₀ + 2ε·n, where the noise of each depends on the seed and its place alone. It is the noise that `Sample` begins with.
 *
 * @since 0.1.0
 * @category images
 */
export const noisy = (images: Batch, noise: number, seed: number): Batch => {
  const [count, ...own] = images.shape
  const size = sized(images)
  const key = HostRandom.key(seed)
  const result = new Float32Array(images.data)
  for (let i = 0; i < count; i++) {
    const { data } = HostRandom.normal(HostRandom.foldIn(key, i), own)
    for (let k = 0; k < size; k++) result[i * size + k] += 2 * noise * data[k]
  }
  return { ...images, data: result }
}

/**
 * Images `[n, channels, height, width]` under a Gaussian of a deviation in pixels, cut off after four of them, as though each were
 * continued by its mirror image. Throws `DataError` for a deviation that is not above 0.
 *
 * @since 0.1.0
 * @category images
 */
export const blurred = (images: Batch, deviation: number): Batch => {
  demand(
    deviation > 0 && Number.isFinite(deviation),
    "Denoise.blurred",
    "options",
    () => `the deviation must be a number above 0, not ${deviation}`
  )
  const [n, channels, height, width] = images.shape
  const radius = Math.ceil(4 * deviation)
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * deviation * deviation))
  )
  const sum = raw.reduce((total, each) => total + each, 0)
  const kernel = raw.map((each) => each / sum)
  /** A place beyond an edge by its mirror image, the edge itself between them. */
  const mirrored = (at: number, size: number): number => {
    const within = ((at % (2 * size)) + 2 * size) % (2 * size)
    return within < size ? within : 2 * size - 1 - within
  }
  /** Along lines of `size` places, `stride` apart. */
  const along = (data: Float32Array, size: number, stride: number): Float32Array => {
    const places = kernel.map((_, k) =>
      Int32Array.from({ length: size }, (_, at) => mirrored(at + k - radius, size) * stride)
    )
    return data.map((_, i) => {
      const at = Math.floor(i / stride) % size
      const start = i - at * stride
      let total = 0
      for (let k = 0; k < kernel.length; k++) total += kernel[k] * data[start + places[k][at]]
      return total
    })
  }
  const data = along(along(images.data, width, 1), height, width)
  return { dtype: "float32", shape: [n, channels, height, width], data }
}
