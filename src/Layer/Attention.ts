/**
 * Self-attention over the places of an image, a signal or a volume, `[N, C, …] → [N, C, …]`. Without an encoding of positions it
 * commutes with any permutation of the places.
 *
 * @since 0.1.0
 */
import { Shape, Tensor } from "../Tensor/index.ts"
import * as Conv from "./Conv.ts"
import * as Dense from "./Dense.ts"
import { demand, divisors, requireCounts } from "./internal/config.ts"
import { flattened } from "./internal/features.ts"
import * as Layer from "./Layer.ts"
import * as Norm from "./Norm.ts"
import type * as Parameter from "./Parameter.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<C extends number = number, Dims extends number = number> {
  readonly channels: C
  /** 4 unless told. */
  readonly heads?: number
  /** Channels of each head; 32 unless told. */
  readonly headWidth?: number
  /** Spatial axes; 2 unless told. */
  readonly dimensions?: Dims
}

type Self<P, C extends number, Dims extends number> = Layer.Layer<
  P,
  Layer.Features<C, Dims>,
  Layer.Features<C, Dims>
>

/**
 * @since 0.1.0
 * @category models
 */
export interface Parameters<C extends number = number> {
  readonly norm: { readonly weight: Parameter.Parameter<readonly [C], "float32"> }
  readonly qkv: Conv.Parameters<number, false>
  readonly out: Conv.Parameters<C, true>
}

/** `[N, 3hd, L]` as queries, keys and values `[N, h, L, d]`. */
const headsOf = (x: Tensor.Any, heads: number): ReadonlyArray<Tensor.Tensor> => {
  const [n, width, length] = x.shape
  const parts = Tensor.reshape(x, [n, 3, heads, width / (3 * heads), length])
  return [0, 1, 2].map(
    (i) =>
      Tensor.matrixTranspose(Tensor.at(parts as Tensor.Tensor, i, { axis: 1 })) as Tensor.Tensor
  )
}

/** `[N, h, L, d]` as `[N, hd, …]`. */
const joined = (x: Tensor.Any, space: Shape.Shape): Tensor.Tensor => {
  const [n, heads, , width] = x.shape
  return Tensor.reshape(Tensor.matrixTranspose(x), [n, heads * width, ...space]) as Tensor.Tensor
}

/** The width of all heads together. */
const widthOf = (what: string, { heads = 4, headWidth = 32 }: Options): number => {
  requireCounts(what, { heads, headWidth })
  return heads * headWidth
}

/** A convolution of one place. */
const point = <B extends boolean>(from: number, to: number, dimensions: number, bias: B) =>
  Conv.make({ in: from, out: to, kernel: 1, dimensions, bias })

/**
 * Full attention (Vaswani et al. 2017, arXiv:1706.03762) after {@link Norm.unit}, through 1×1 convolutions: `qkv`, without
 * bias, and `out`. There is no residual: wrap it in `Layer.residual` for one. Throws `ConfigError` for heads that are none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const full = <const C extends number, const Dims extends number = 2>(
  options: Options<C, Dims>
): Self<Parameters<C>, C, NoInfer<Dims>> => {
  const { channels, heads = 4, dimensions = 2 }: Options = options
  const width = widthOf("Attention.full", options)
  return Layer.make(
    {
      norm: Norm.unit({ channels }),
      qkv: point(channels, 3 * width, dimensions, false),
      out: point(width, channels, dimensions, true)
    },
    ({ norm, qkv, out }, x: Tensor.Tensor) => {
      const [q, k, v] = headsOf(flattened(qkv(norm(x))), heads)
      return out(joined(Tensor.attention(q, k, v), x.shape.slice(2)))
    },
    { kind: "attention" }
  ) as never
}

/**
 * Linear attention (Shen et al. 2018, arXiv:1812.01243), whose cost is linear in the number of places L: `qkv` and `out` as in
 * {@link full}, values divided by L, and a second {@link Norm.unit} at the end.
 *
 * @since 0.1.0
 * @category constructors
 */
export const linear = <const C extends number, const Dims extends number = 2>(
  options: Options<C, Dims>
): Self<Parameters<C> & { readonly norm_out: Parameters<C>["norm"] }, C, NoInfer<Dims>> => {
  const { channels, heads = 4, headWidth = 32, dimensions = 2 }: Options = options
  const width = widthOf("Attention.linear", options)
  return Layer.make(
    {
      norm: Norm.unit({ channels }),
      qkv: point(channels, 3 * width, dimensions, false),
      out: point(width, channels, dimensions, true),
      norm_out: Norm.unit({ channels })
    },
    ({ norm, qkv, out, norm_out }, x: Tensor.Tensor) => {
      const [q, k, v] = headsOf(flattened(qkv(norm(x))), heads)
      const space = x.shape.slice(2)
      const scale = 1 / (Math.sqrt(headWidth) * Shape.size(space))
      return norm_out(out(joined(Tensor.linearAttention(q, k, v, { scale }), space)))
    },
    { kind: "linear attention" }
  ) as never
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BlockParameters<C extends number = number> {
  readonly group_norm?: Norm.Affine<C>
  readonly to_q: Dense.Parameters<C, C, true>
  readonly to_k: Dense.Parameters<C, C, true>
  readonly to_v: Dense.Parameters<C, C, true>
  readonly to_out: ReadonlyArray<Dense.Parameters<C, C, true>>
}

/**
 * The attention block of DDPM (Ho et al. 2020, arXiv:2006.11239; diffusers' `Attention` in its U-Nets): group norm, dense queries,
 * keys and values with biases, a dense layer, and the input added to it. Under the names of diffusers.
 *
 * Throws `ConfigError` where the channels do not divide into heads or groups.
 *
 * @since 0.1.0
 * @category constructors
 */
export const block = <const C extends number, const Dims extends number = 2>(options: {
  readonly channels: C
  /** No norm unless told. */
  readonly groups?: number
  readonly epsilon?: number
  /** Channels of each head; all of them, one head, unless told. */
  readonly headWidth?: number
  /** Spatial axes, for the compiler; 2 unless told. */
  readonly dimensions?: Dims
}): Self<BlockParameters<C>, C, NoInfer<Dims>> => {
  const { groups, epsilon = 1e-5 } = options
  const channels: number = options.channels
  const { headWidth = channels } = options
  requireCounts("Attention.block", { channels, headWidth })
  const heads = channels / headWidth
  demand(
    Number.isInteger(heads),
    "Attention.block",
    "headWidth",
    `${channels} channels do not divide into heads of ${headWidth}; ${divisors(channels).join(", ")} would work`
  )
  const dense = () => Dense.make({ in: channels, out: channels })
  return Layer.make(
    {
      ...(groups === undefined ? {} : { group_norm: Norm.group({ channels, groups, epsilon }) }),
      to_q: dense(),
      to_k: dense(),
      to_v: dense(),
      to_out: [dense()]
    },
    ({ group_norm, to_q, to_k, to_v, to_out: [to_out] }, x: Tensor.Tensor): Tensor.Tensor => {
      const [n, , ...space] = x.shape
      const places = Tensor.matrixTranspose(flattened(group_norm?.(x) ?? x))
      const [q, k, v] = [to_q, to_k, to_v].map((to) => {
        const y = to(places as never) as Tensor.Tensor
        return Tensor.swapAxes(Tensor.reshape(y, [n, -1, heads, headWidth]), 1, 2) as Tensor.Tensor
      })
      const y = Tensor.swapAxes(Tensor.attention(q, k, v), 1, 2)
      const out = to_out(Tensor.reshape(y, [n, -1, channels]) as never) as Tensor.Tensor
      return Tensor.add(
        x,
        Tensor.reshape(Tensor.matrixTranspose(out), [n, channels, ...space]) as Tensor.Tensor
      ) as Tensor.Tensor
    },
    { kind: "attention" }
  ) as never
}
