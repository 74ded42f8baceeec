/** Weights that look random, and that other libraries can make too: the fixtures' scripts say how. */
import { Shape, type Tensor } from "../../src/Tensor/index.ts"

/** From 0 to 1: the index mixed by MurmurHash3's finaliser. */
const hashed = (index: number, stream: number): number => {
  let h = (index + Math.imul(stream, 0x9e3779b9)) >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
}

/** The stream of a name: the sum of (place + 1) times its code units. */
const streamOf = (name: string): number =>
  Array.from(name).reduce((sum, char, i) => sum + (i + 1) * char.charCodeAt(0), 0)

/**
 * The array of a name. With u from −1 to 1: kernels and matrices √(6 / fan-in)·u, variances 1 + 0.5 |u|, the factors of norms 1 + 0.1 u,
 * LPIPS's weights |u|, all else 0.1 u.
 */
export const hashedArray = (
  name: string,
  shape: Shape.Shape
): Tensor.HostArray<Shape.Shape, "float32"> => {
  const stream = streamOf(name)
  const size = Shape.size(shape)
  const fan = size / shape[0]
  const value: (u: number) => number = name.startsWith("lin")
    ? Math.abs
    : name.endsWith("running_var")
      ? (u) => 1 + 0.5 * Math.abs(u)
      : name.endsWith("bn.weight")
        ? (u) => 1 + 0.1 * u
        : name.endsWith("weight")
          ? (u) => Math.sqrt(6 / fan) * u
          : (u) => 0.1 * u
  const data = new Float32Array(size)
  for (let i = 0; i < size; i++) data[i] = value(2 * hashed(i, stream) - 1)
  return { shape, dtype: "float32", data }
}

/** Values from −1 to 1 for images. */
export const hashedImages = (
  shape: Shape.Shape,
  stream: number
): Tensor.HostArray<Shape.Shape, "float32"> => ({
  shape,
  dtype: "float32",
  data: Float32Array.from({ length: Shape.size(shape) }, (_, i) => 2 * hashed(i, stream) - 1)
})
