/**
 * The derivative networks of the continuous U-Net's blocks (arXiv:2310.20092): two convolutions of kernel 3, each with a norm and an
 * activation, times as scale and shift after the second norm, and a residual.
 *
 * @since 0.1.0
 */
import type { SecondOrder } from "../Solver/index.ts"
import { Tensor } from "../Tensor/index.ts"
import * as Activation from "./Activation.ts"
import * as Conv from "./Conv.ts"
import * as Dense from "./Dense.ts"
import type { Time } from "./DynamicBlock.ts"
import { halves, overSpace } from "./internal/features.ts"
import * as Layer from "./Layer.ts"
import * as Norm from "./Norm.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type NormKind = "instance" | "group" | "none"

/**
 * A norm by its kind: instance norm without parameters, group norm with them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const norm = (
  kind: NormKind,
  channels: number,
  groups: number
): Layer.Layer<Partial<Norm.Affine>, Tensor.Tensor, Tensor.Tensor> => {
  switch (kind) {
    case "instance":
      return Norm.instance({ channels }) as Layer.Layer<{}, Tensor.Tensor, Tensor.Tensor>
    case "group":
      return Norm.group({ channels, groups }) as never
    case "none":
      return Layer.identity()
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<C extends number = number, Dims extends number = number> {
  readonly channels: C
  readonly norm: NormKind
  /** Of group norm. */
  readonly groups: number
  readonly activation: Activation.Name
  /** Where the activation stands, before or after each convolution. */
  readonly activate: "before" | "after"
  /** Whether x is added to the result. */
  readonly residual: boolean
  /** The width of the embedding that is a scale and a shift; none unless told. */
  readonly embedding?: number
  /** Whether the equation's own time is part of scale and shift. */
  readonly odeTime: boolean
  /** Spatial axes; 2 unless told. */
  readonly dimensions?: Dims
}

/**
 * What conditions a derivative: the equation's own time, and an embedding `[batch, width]` where one is told.
 *
 * @since 0.1.0
 * @category models
 */
export interface Condition extends Time {
  readonly embedding?: Tensor.Tensor
}

const parts = (options: Options) => {
  const { channels, groups, embedding, odeTime, dimensions = 2 } = options
  const convolution = () => Conv.make({ in: channels, out: channels, kernel: 3, dimensions })
  return {
    norm1: norm(options.norm, channels, groups),
    conv1: convolution(),
    ...(embedding === undefined
      ? {}
      : { time_emb_proj: Dense.make({ in: embedding, out: 2 * channels }) }),
    ...(odeTime ? { ode_time_proj: Dense.make({ in: 1, out: 2 * channels, bias: false }) } : {}),
    norm2: norm(options.norm, channels, groups),
    conv2: convolution()
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export type Parameters = Layer.Parameters<ReturnType<typeof parts>>

type Net = Layer.Bound<ReturnType<typeof parts>>

/** Scales and shifts by the embedding, the equation's time, or both. */
const modulated = (net: Net, h: Tensor.Tensor, { t, embedding }: Condition): Tensor.Tensor => {
  const terms = [
    ...(net.time_emb_proj === undefined || embedding === undefined
      ? []
      : [net.time_emb_proj(Tensor.silu(embedding) as never) as Tensor.Tensor]),
    ...(net.ode_time_proj === undefined
      ? []
      : [net.ode_time_proj(Tensor.reshape(t, [-1, 1]) as never) as Tensor.Tensor])
  ]
  if (terms.length === 0) return h
  const [scale, shift] = halves(
    overSpace(
      terms.reduce((a, b) => Tensor.add(a, b) as Tensor.Tensor),
      h
    )
  )
  return Tensor.add(Tensor.mul(h, Tensor.add(scale, 1)), shift) as Tensor.Tensor
}

/** All after the first convolution, but its activation. */
const network = (
  { activation, activate, residual }: Options,
  net: Net,
  x: Tensor.Tensor,
  condition: Condition,
  velocity?: Tensor.Tensor
): Tensor.Tensor => {
  const act = Activation.named(activation)
  const before = (h: Tensor.Tensor) => (activate === "before" ? act(h) : h)
  const after = (h: Tensor.Tensor) => (activate === "after" ? act(h) : h)
  const first: Tensor.Tensor = net.conv1(before(net.norm1(x)))
  const joined = velocity === undefined ? first : (Tensor.add(first, velocity) as Tensor.Tensor)
  const h = after(net.conv2(before(modulated(net, net.norm2(after(joined)), condition))))
  return residual ? (Tensor.add(x, h) as Tensor.Tensor) : h
}

/**
 * f(t, x), of `[N, C, …]`: with everything `after`, x + act(conv(mod(norm(act(conv(norm(x))))))), as in the published code; with
 * `before`, the activations stand before the convolutions.
 *
 * @since 0.1.0
 * @category constructors
 */
export const first = <const C extends number, const Dims extends number = 2>(
  options: Options<C, Dims>
): Layer.Layer<
  Parameters,
  Layer.Features<C, NoInfer<Dims>>,
  Layer.Features<C, NoInfer<Dims>>,
  Condition
> =>
  Layer.make(
    parts(options),
    (net, x: Tensor.Tensor, condition: Condition) => network(options, net, x, condition),
    { kind: "derivative" }
  ) as never

/**
 * f(t, x, v): the same of x, where the velocity joins the first convolution's result through a 1×1 convolution of its own,
 * `conv_velocity`; with `velocityFree` it takes no notice of v.
 *
 * @since 0.1.0
 * @category constructors
 */
export const second = <const C extends number, const Dims extends number = 2>(
  options: Options<C, Dims> & { readonly velocityFree?: boolean }
): Layer.Layer<
  Parameters & { readonly conv_velocity?: Conv.Parameters<number, false> },
  SecondOrder.State<Layer.Features<C, NoInfer<Dims>>>,
  Layer.Features<C, NoInfer<Dims>>,
  Condition
> => {
  const { channels, dimensions = 2 }: Options = options
  const { velocityFree = false } = options
  const joins = velocityFree
    ? {}
    : {
        conv_velocity: Conv.make({
          in: channels,
          out: channels,
          kernel: 1,
          dimensions,
          bias: false
        })
      }
  return Layer.make(
    { ...parts(options), ...joins },
    (net, { x, v }: SecondOrder.State<Tensor.Tensor>, condition: Condition) =>
      network(options, net, x, condition, net.conv_velocity?.(v)),
    { kind: "derivative" }
  ) as never
}
