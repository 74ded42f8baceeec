/**
 * Up- and down-sampling of `[N, C, …]` in all spatial axes.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import * as Conv from "./Conv.ts"
import * as Layer from "./Layer.ts"

type Resampling<P> = Layer.Layer<P, Tensor.Tensor, Tensor.Tensor>

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly in: number
  readonly out: number
  /** Spatial axes; 2 unless told. */
  readonly dimensions?: number
}

/**
 * Each place repeated `factor` times, 2 unless told.
 *
 * @since 0.1.0
 * @category functions
 */
export const nearest = (options: { readonly factor?: number } = {}): Resampling<{}> =>
  Layer.of((x) => Tensor.resize(x, { scale: options.factor ?? 2, mode: "nearest" }) as never, {
    kind: "nearest"
  })

/**
 * (Bi-, tri-)linear interpolation to `factor` times the size, as PyTorch's with align_corners false; ½ halves.
 *
 * @since 0.1.0
 * @category functions
 */
export const linear = (options: { readonly factor: number }): Resampling<{}> =>
  Layer.of((x) => Tensor.resize(x, { scale: options.factor, mode: "linear" }) as never, {
    kind: "linear"
  })

/**
 * Nearest ×2 and a convolution of kernel 3.
 *
 * @since 0.1.0
 * @category constructors
 */
export const up = ({ in: from, out, dimensions = 2 }: Options) =>
  Layer.make(
    { resize: nearest(), conv: Conv.make({ in: from, out, kernel: 3, dimensions }) },
    ({ resize, conv }, x: Tensor.Tensor): Tensor.Tensor => conv(resize(x))
  )

/**
 * A convolution of kernel 3 and stride 2. `padding` is that before and after each axis: 1 and 1 unless told; the published DDPM
 * has 0 and 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const strided = ({
  in: from,
  out,
  dimensions = 2,
  padding = [1, 1]
}: Options & { readonly padding?: readonly [before: number, after: number] }) =>
  Layer.make(
    {
      conv: Conv.make({
        in: from,
        out,
        kernel: 3,
        stride: 2,
        dimensions,
        padding: Array.from({ length: dimensions }, () => padding)
      })
    },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor => conv(x)
  )

/**
 * Blocks of 2 × 2 places as channels, and a 1×1 convolution (Shi et al. 2016, arXiv:1609.05158, backwards).
 *
 * @since 0.1.0
 * @category constructors
 */
export const pixelUnshuffle = ({ in: from, out, dimensions = 2 }: Options) =>
  Layer.make(
    { conv: Conv.make({ in: from * 2 ** dimensions, out, kernel: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor => conv(Tensor.pixelUnshuffle(x, 2) as never)
  )

/**
 * A 1×1 convolution to 2 × 2 times the channels, and these as places (Shi et al. 2016, arXiv:1609.05158).
 *
 * @since 0.1.0
 * @category constructors
 */
export const pixelShuffle = ({ in: from, out, dimensions = 2 }: Options) =>
  Layer.make(
    { conv: Conv.make({ in: from, out: out * 2 ** dimensions, kernel: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor =>
      Tensor.pixelShuffle(conv(x) as Tensor.Tensor, 2) as Tensor.Tensor
  )

/**
 * A transposed convolution of kernel 4, stride 2 and padding 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const transposed = ({ in: from, out, dimensions = 2 }: Options) =>
  Layer.make(
    { conv: Conv.transposed({ in: from, out, kernel: 4, stride: 2, padding: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor => conv(x)
  )
