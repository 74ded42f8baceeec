/** What layers on `[batch, channels, …spatial]` share. */
import { type DType, Shape, Tensor } from "../../Tensor/index.ts"

/** One number for each spatial axis. */
export const spread = (
  value: number | ReadonlyArray<number>,
  dimensions: number
): ReadonlyArray<number> =>
  typeof value === "number" ? Array.from({ length: dimensions }, () => value) : value

/** A number for each channel, or for each sample and channel, over the spatial axes of features. */
export const overSpace = (values: Tensor.Any, x: Tensor.Any): Tensor.Tensor =>
  Tensor.reshape(values, [...values.shape, ...x.shape.slice(2).map(() => 1)]) as Tensor.Tensor

/** The spatial axes as one: `[N, C, …]` → `[N, C, L]`. */
export const flattened = (x: Tensor.Any): Tensor.Tensor =>
  Tensor.reshape(x, [x.shape[0], x.shape[1], Shape.size(x.shape.slice(2))]) as Tensor.Tensor

/** The two halves of the channels. */
export const halves = (x: Tensor.Any): readonly [Tensor.Tensor, Tensor.Tensor] =>
  Tensor.split(x as Tensor.Tensor, 2, { axis: 1 }) as never

/** The dtype that is computed in, whatever the types say. */
export const floatOf = (x: Tensor.Any): DType.Float => x.dtype as DType.Float
