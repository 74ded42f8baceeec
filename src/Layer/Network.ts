/**
 * What denoising networks have in common.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
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
 * What the configuration of any network says of images and labels.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fields {
  readonly channels: number
  readonly dimensions: number
  readonly size?: number | ReadonlyArray<number>
  readonly classes?: number
  readonly selfConditioning: boolean
}

/**
 * A network from images to what it predicts of them, `[batch, channels, …space]` both.
 *
 * @since 0.1.0
 * @category models
 */
export interface Network<C extends Fields = Fields>
  extends Layer<Parameters, Tensor.Tensor, Tensor.Tensor, Condition> {
  readonly config: C
  /** How often sizes are halved on the way down: they must be multiples of 2 to that power. */
  readonly halvings: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SpecOptions {
  /** 1 unless told. */
  readonly batch?: number
  /** Of all spatial axes, or of each; that of the configuration unless told, or else 64. */
  readonly size?: number | ReadonlyArray<number>
}

/**
 * Specs of what a network takes: images `[batch, channels, …space]`, times `[batch]`, and labels where it has classes.
 *
 * ```ts
 * const { image, condition } = Network.specs(network, { batch: 16, size: 32 })
 * const program = Program.make({ weights: network.parameters, image, condition }, ({ weights, image, condition }) =>
 *   network.apply(weights, image, condition)
 * )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const specs = (
  { config }: Network,
  options: SpecOptions = {}
): {
  readonly image: Tensor.Spec<Tensor.Tensor["shape"], "float32">
  readonly condition: {
    readonly time: Tensor.Spec<readonly [number], "float32">
    readonly label?: Tensor.Spec<readonly [number], "int32">
  }
} => {
  const { channels, dimensions, classes } = config
  const { batch = 1, size = config.size ?? 64 } = options
  const space = typeof size === "number" ? Array.from({ length: dimensions }, () => size) : size
  return {
    image: Tensor.spec([batch, channels, ...space]),
    condition: {
      time: Tensor.spec([batch]),
      ...(classes === undefined ? {} : { label: Tensor.spec([batch], "int32") })
    }
  }
}
