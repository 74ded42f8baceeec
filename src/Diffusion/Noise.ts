/**
 * Where samplers take their randomness from: a value that gives the noise of a step, and nothing else.
 *
 * @since 0.1.0
 */
import { type DType, Random, type Shape, Tensor } from "../Tensor/index.ts"
import type { State } from "./Denoiser.ts"

/**
 * Standard normal noise for the step of an index, a whole number as a tensor without axes: the same index, the same noise.
 *
 * @since 0.1.0
 * @category models
 */
export type Noise = (index: Tensor.Any, like: State) => State

/** The keys of the items of a batch, which are numbered from `first` on. */
const items = (key: Random.Key, batch: number, first: First) =>
  Random.foldIn(key, Tensor.add(Tensor.arange(batch), first as never) as never) as Random.Key

/**
 * The number of a batch's first item, among more than are made at once: a whole number, as a tensor without axes where it is not known
 * yet.
 *
 * @since 0.1.0
 * @category models
 */
export type First = number | Tensor.Tensor<readonly [], "int32">

/**
 * Noise of which item i depends on the key, on i and on the step alone: a batch holds what its items would be by themselves. Items are
 * numbered from 0 on, unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const normal =
  (key: Random.Key, first: First = 0): Noise =>
  (index, like) => {
    const own = Random.foldIn(key, index as never) as Random.Key
    const [batch, ...rest] = like.shape
    return Random.normal(items(own, batch, first), rest, { dtype: like.dtype }) as unknown as State
  }

/**
 * The same noise at every step: for tests, and to compare with other implementations.
 *
 * @since 0.1.0
 * @category instances
 */
export const fixed =
  (noise: State): Noise =>
  () =>
    noise

/**
 * No noise: stochastic samplers without their randomness.
 *
 * @since 0.1.0
 * @category instances
 */
export const none: Noise = (_, like) => Tensor.zerosLike(like)

/**
 * Standard normal noise `[batch, …]`, each item from the key and its own place: what sampling begins with, times a deviation.
 *
 * @since 0.1.0
 * @category draws
 */
export const initial = (
  key: Random.Key,
  shape: Shape.Shape,
  dtype: DType.Float = "float32",
  first: First = 0
): State => {
  const [batch, ...rest] = shape
  return Random.normal(items(key, batch, first), rest, { dtype }) as unknown as State
}
