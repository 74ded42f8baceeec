/**
 * The residual block of diffusion's U-Nets.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import * as Activation from "./Activation.ts"
import * as Conv from "./Conv.ts"
import * as Dense from "./Dense.ts"
import * as Dropout from "./Dropout.ts"
import { halves, overSpace } from "./internal/features.ts"
import * as Layer from "./Layer.ts"
import * as Norm from "./Norm.ts"

/**
 * What conditions a block: an embedding `[batch, width]` of the time, and of whatever else there is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Condition {
  readonly embedding: Tensor.Tensor
}

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
  readonly groups: number
  /** 1e-5 unless told. */
  readonly epsilon?: number
  /**
   * `pre` (unless told): norm, activation, convolution, twice (Ho et al. 2020, arXiv:2006.11239). `post`: convolution, norm,
   * activation, twice (denoising-diffusion-pytorch).
   */
  readonly order?: "pre" | "post"
  /**
   * What the embedding does: it is added before the second norm (`shift`), or it scales and shifts what comes from a norm (`scaleShift`,
   * Nichol and Dhariwal 2021, arXiv:2102.09672), in `pre` blocks the second and in `post` blocks the first. `shift` unless told.
   */
  readonly conditioning?: "shift" | "scaleShift"
  /** `silu` unless told. */
  readonly activation?: Activation.Name
  /** Before the second convolution; 0 unless told. */
  readonly dropout?: number
  /** Spatial axes; 2 unless told. */
  readonly dimensions?: Dims
}

/**
 * Norms are of `in` or of `out` channels, as the order has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Parameters<Out extends number = number> {
  readonly norm1: Norm.Affine
  readonly conv1: Conv.Parameters<Out, true>
  readonly time_emb_proj?: Dense.Parameters<number, number, true>
  readonly norm2: Norm.Affine<Out>
  readonly conv2: Conv.Parameters<Out, true>
  readonly dropout: {}
  readonly conv_shortcut?: Conv.Parameters<Out, true>
}

/**
 * Two convolutions of kernel 3 around the input, `[N, in, …]` → `[N, out, …]`, under the names of diffusers: `norm1`, `conv1`,
 * `time_emb_proj`, `norm2`, `conv2`, and a 1×1 `conv_shortcut` where the channels change.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2,
  const E extends number | undefined = undefined
>(
  options: Options<In, Out, Dims> & {
    /** The width of the embedding; a block without one needs no condition. */
    readonly embedding?: E
  }
): Layer.Layer<
  Parameters<Out>,
  Layer.Features<In, NoInfer<Dims>>,
  Layer.Features<Out, NoInfer<Dims>>,
  NoInfer<E> extends number ? Condition : unknown
> => {
  const { in: from, out, dimensions = 2 }: Options = options
  const { embedding, groups, epsilon = 1e-5 } = options
  const { order = "pre", conditioning = "shift", activation = "silu", dropout = 0 } = options
  const pre = order === "pre"
  const modulated = conditioning === "scaleShift"
  const activate = Activation.named(activation)
  const parts = {
    norm1: Norm.group({ channels: pre ? from : out, groups, epsilon }),
    conv1: Conv.make({ in: from, out, kernel: 3, dimensions }),
    ...(embedding === undefined
      ? {}
      : { time_emb_proj: Dense.make({ in: embedding, out: modulated ? 2 * out : out }) }),
    norm2: Norm.group({ channels: out, groups, epsilon }),
    conv2: Conv.make({ in: out, out, kernel: 3, dimensions }),
    dropout: Dropout.make({ rate: dropout }),
    ...(from === out ? {} : { conv_shortcut: Conv.make({ in: from, out, kernel: 1, dimensions }) })
  }
  return Layer.make(
    parts,
    (net, x: Tensor.Tensor, condition: unknown): Tensor.Tensor => {
      const drop = net.dropout
      const projected =
        net.time_emb_proj === undefined
          ? undefined
          : overSpace(
              net.time_emb_proj(Tensor.silu((condition as Condition).embedding) as never),
              x
            )
      const scaled = (h: Tensor.Tensor): Tensor.Tensor => {
        if (projected === undefined || !modulated) return h
        const [scale, shift] = halves(projected)
        return Tensor.add(Tensor.mul(h, Tensor.add(scale, 1)), shift) as Tensor.Tensor
      }
      const shifted = (h: Tensor.Tensor): Tensor.Tensor =>
        projected === undefined || modulated ? h : (Tensor.add(h, projected) as Tensor.Tensor)
      const once = pre
        ? shifted(net.conv1(activate(net.norm1(x))))
        : activate(scaled(net.norm1(shifted(net.conv1(x)))))
      const twice = pre
        ? net.conv2(drop(activate(scaled(net.norm2(once)))))
        : activate(net.norm2(net.conv2(drop(once))))
      const around = net.conv_shortcut === undefined ? x : net.conv_shortcut(x)
      return Tensor.add(around, twice) as Tensor.Tensor
    },
    { kind: "residual block" }
  ) as never
}
