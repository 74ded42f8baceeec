/**
 * What denoising networks have in common.
 *
 * @since 0.1.0
 */
import type { Tensor } from "../Tensor/index.ts"
import type { Layer } from "./Layer.ts"
import type * as Parameter from "./Parameter.ts"

/**
 * What a network is told beside the image.
 *
 * @since 0.1.0
 * @category models
 */
export interface Condition {
  /** `[batch]`: the diffusion's time, for sinusoids in training steps. */
  readonly time: Tensor.Tensor<readonly [number]>
  /** `[batch]`: needed where there are classes. */
  readonly label?: Tensor.Tensor<readonly [number], "int32">
  /** An estimate of the image, for self-conditioning; zeros unless told. */
  readonly estimate?: Tensor.Tensor
}

/**
 * A tree of parameters whose names are known when a network is made. (Arrays count as records of their places: a type that
 * has both is more than the compiler can compute with.)
 *
 * @since 0.1.0
 * @category models
 */
export interface Parameters {
  readonly [name: string]: Parameter.Parameter | Parameters
}

/**
 * A network from images to what it predicts of them, `[batch, channels, …space]` both.
 *
 * @since 0.1.0
 * @category models
 */
export interface Network<C = unknown>
  extends Layer<Parameters, Tensor.Tensor, Tensor.Tensor, Condition> {
  readonly config: C
}
