/**
 * Up- and down-sampling of `[N, C, …]` in all spatial axes.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import * as Conv from "./Conv.ts"
import { demand, requirePadding } from "./internal/config.ts"
import * as Layer from "./Layer.ts"

type Resampling<
  In extends number,
  Out extends number,
  Dims extends number,
  Kept extends number = Out
> = Layer.Layer<
  { readonly conv: Conv.Parameters<Kept, true> },
  Layer.Features<In, Dims>,
  Layer.Features<Out, Dims>
>

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<
  In extends number = number,
  Out extends number = number,
  Dims extends number = number
> {
  readonly in: In
  readonly out: Out
  /** Spatial axes; 2 unless told. */
  readonly dimensions?: Dims
}

const resized = (mode: "nearest" | "linear", scale: number): Layer.Resizing<{}> => {
  demand(
    scale > 0 && scale < Number.POSITIVE_INFINITY,
    `Resample.${mode}`,
    "factor",
    `must be a number above 0, such as 2, not ${scale}`
  )
  return {
    kind: mode,
    parameters: {},
    apply: (_, x) => Tensor.resize(x, { scale, mode }) as never
  }
}

/**
 * Each place repeated `factor` times, 2 unless told. Throws `ConfigError` for factors that are not above 0.
 *
 * @since 0.1.0
 * @category functions
 */
export const nearest = (options: { readonly factor?: number } = {}): Layer.Resizing<{}> =>
  resized("nearest", options.factor ?? 2)

/**
 * (Bi-, tri-)linear interpolation to `factor` times the size, as PyTorch's with align_corners false; ½ halves. Throws
 * `ConfigError` for factors that are not above 0.
 *
 * @since 0.1.0
 * @category functions
 */
export const linear = (options: { readonly factor: number }): Layer.Resizing<{}> =>
  resized("linear", options.factor)

/**
 * Nearest ×2 and a convolution of kernel 3.
 *
 * @since 0.1.0
 * @category constructors
 */
export const up = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2
>(
  options: Options<In, Out, Dims>
): Resampling<In, Out, NoInfer<Dims>> => {
  const { in: from, out, dimensions = 2 }: Options = options
  return Layer.make(
    { resize: nearest(), conv: Conv.make({ in: from, out, kernel: 3, dimensions }) },
    ({ resize, conv }, x: Tensor.Tensor): Tensor.Tensor => conv(resize(x))
  ) as never
}

/**
 * A convolution of kernel 3 and stride 2. `padding` is that before and after each axis: 1 and 1 unless told; the published DDPM
 * has 0 and 1. Throws `ConfigError` unless these are whole numbers of at least 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const strided = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2
>(
  options: Options<In, Out, Dims> & { readonly padding?: readonly [before: number, after: number] }
): Resampling<In, Out, NoInfer<Dims>> => {
  const { in: from, out, dimensions = 2 }: Options = options
  const { padding = [1, 1] } = options
  requirePadding("Resample.strided", padding)
  return Layer.make(
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
  ) as never
}

/**
 * Blocks of 2 × 2 places as channels, and a 1×1 convolution (Shi et al. 2016, arXiv:1609.05158, backwards).
 *
 * @since 0.1.0
 * @category constructors
 */
export const pixelUnshuffle = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2
>(
  options: Options<In, Out, Dims>
): Resampling<In, Out, NoInfer<Dims>> => {
  const { in: from, out, dimensions = 2 }: Options = options
  return Layer.make(
    { conv: Conv.make({ in: from * 2 ** dimensions, out, kernel: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor => conv(Tensor.pixelUnshuffle(x, 2) as never)
  ) as never
}

/**
 * A 1×1 convolution to 2 × 2 times the channels, and these as places (Shi et al. 2016, arXiv:1609.05158).
 *
 * @since 0.1.0
 * @category constructors
 */
export const pixelShuffle = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2
>(
  options: Options<In, Out, Dims>
): Resampling<In, Out, NoInfer<Dims>, number> => {
  const { in: from, out, dimensions = 2 }: Options = options
  return Layer.make(
    { conv: Conv.make({ in: from, out: out * 2 ** dimensions, kernel: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor =>
      Tensor.pixelShuffle(conv(x) as Tensor.Tensor, 2) as Tensor.Tensor
  ) as never
}

/**
 * A transposed convolution of kernel 4, stride 2 and padding 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const transposed = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2
>(
  options: Options<In, Out, Dims>
): Resampling<In, Out, NoInfer<Dims>> => {
  const { in: from, out, dimensions = 2 }: Options = options
  return Layer.make(
    { conv: Conv.transposed({ in: from, out, kernel: 4, stride: 2, padding: 1, dimensions }) },
    ({ conv }, x: Tensor.Tensor): Tensor.Tensor => conv(x)
  ) as never
}
