/**
 * Distributions of points in the plane that every paper on generative models draws. Each gives `count` points `[count, 2]` from a key,
 * about 0 and with a deviation of about 1; the i-th depends on the key and on i alone.
 */
import { Random, Tensor } from "../../src/Tensor/index.ts"

export type Points = Tensor.Tensor<readonly [number, 2]>
export type Distribution = (key: Random.Key, count: number) => Points

type Column = Tensor.Tensor<readonly [number]>

/** Numbers between 0 and 1, and standard normal ones, `columns` of each for every point. */
const draws = (key: Random.Key, count: number) => {
  const [a, b] = Random.children(
    Random.foldIn(key, Tensor.arange(count)) as Random.Key<readonly [number]>,
    2
  )
  return {
    uniform: Tensor.split(Random.uniform(a, [2]), 2, { axis: 1 }).map(column),
    normal: Random.normal(b, [2])
  }
}

const column = (x: Tensor.Any): Column => Tensor.reshape(x, [x.shape[0]]) as Column

const points = (x: Column, y: Column): Points => Tensor.stack([x, y], { axis: 1 }) as Points

/** Moved, then scaled. */
const placed = (all: Points, [x, y]: readonly [number, number], scale: number): Points =>
  Tensor.mul(Tensor.add(all, Tensor.constant([x, y])), scale) as Points

const noisy = (all: Points, noise: Tensor.Any, deviation: number): Points =>
  Tensor.add(all, Tensor.mul(noise as Points, deviation)) as Points

/** Two half circles, each of which reaches into the other. */
export const twoMoons: Distribution = (key, count) => {
  const { uniform, normal } = draws(key, count)
  const [u, side] = uniform
  const angle = Tensor.mul(u, Math.PI)
  const [cosine, sine] = [Tensor.cos(angle), Tensor.sin(angle)]
  const upper = points(cosine, sine)
  const lower = points(
    Tensor.sub(Tensor.onesLike(cosine), cosine),
    Tensor.sub(Tensor.fullLike(sine, 0.5), sine)
  )
  const which = Tensor.less(Tensor.reshape(side, [count, 1]), 0.5)
  const all = Tensor.select(Tensor.broadcastTo(which, [count, 2]), upper, lower) as Points
  return placed(noisy(all, normal, 0.07), [-0.5, -0.25], 1.4)
}

/** Every other square of four by four. */
export const checkerboard: Distribution = (key, count) => {
  const { uniform } = draws(key, count)
  const [u, v] = uniform
  const x = Tensor.mul(u, 4)
  // of the squares of its column those of one colour
  const row = Tensor.mul(v, 2)
  const odd = Tensor.remainder(Tensor.floor(x), 2)
  const y = Tensor.add(Tensor.add(Tensor.floor(row), row), odd)
  return placed(points(x, y), [-2, -2], 0.87)
}

/** A spiral of one and a half turns. */
export const swissRoll: Distribution = (key, count) => {
  const { uniform, normal } = draws(key, count)
  // denser inside by the angle, as is usual
  const angle = Tensor.mul(Tensor.add(Tensor.mul(uniform[0], 2), 1), 1.5 * Math.PI)
  const all = points(Tensor.mul(angle, Tensor.cos(angle)), Tensor.mul(angle, Tensor.sin(angle)))
  return placed(noisy(all, normal, 0.4), [-2, 0], 1 / 6.8)
}

/** Eight normal distributions on a circle. */
export const eightGaussians: Distribution = (key, count) => {
  const { uniform, normal } = draws(key, count)
  const angle = Tensor.mul(Tensor.floor(Tensor.mul(uniform[0], 8)), Math.PI / 4)
  const circle = points(Tensor.cos(angle), Tensor.sin(angle))
  return noisy(Tensor.mul(circle, Math.SQRT2) as Points, normal, 0.12)
}
