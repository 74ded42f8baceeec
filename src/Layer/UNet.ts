/**
 * The U-Nets of DDPM and its family (Ho et al. 2020, arXiv:2006.11239), by configuration, on signals, images and volumes
 * `[batch, channels, …space]`.
 *
 * There are two layouts. `ddpm` is that of the paper and of diffusers' `UNet2DModel`, with the names of the latter, so that its files
 * load here and ours there. Every block's result is kept for the way up, and so are the samplers'; the way up has a block more at
 * each level.
 *
 * `lucidrains` is that of denoising-diffusion-pytorch, which the continuous U-Net is compared with: blocks at a level's input
 * width, the samplers change channels and sizes, and the stem's result comes back at the end. The last level keeps its size.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Tensor } from "../Tensor/index.ts"
import * as Activation from "./Activation.ts"
import * as Attention from "./Attention.ts"
import * as Conv from "./Conv.ts"
import * as Embedding from "./Embedding.ts"
import { decode, demand, requireGroups } from "./internal/config.ts"
import * as diffusers from "./internal/diffusers.ts"
import { floatOf } from "./internal/features.ts"
import * as network from "./internal/network.ts"
import { Positive, withDefault } from "./internal/schema.ts"
import * as Layer from "./Layer.ts"
import { attempt, type ConfigError } from "./LayerError.ts"
import type { Condition, Network } from "./Network.ts"
import * as Norm from "./Norm.ts"
import * as Resample from "./Resample.ts"
import * as ResidualBlock from "./ResidualBlock.ts"

/**
 * Kinds of attention: `full` and `linear` through 1×1 convolutions, with a residual around them (`Attention.full`,
 * `Attention.linear`), and DDPM's `block` (`Attention.block`).
 *
 * @since 0.1.0
 * @category schemas
 */
export const AttentionKind = Schema.Literals(["none", "full", "linear", "block"])

/**
 * @since 0.1.0
 * @category schemas
 */
export type AttentionKind = typeof AttentionKind.Type

/**
 * What makes a U-Net. Only the first three fields must be given.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  ...network.fields,
  /** Channels of the first level. */
  width: Positive,
  /** Channels of each level, in widths, from the finest to the coarsest. */
  multipliers: Schema.NonEmptyArray(Positive),
  layout: withDefault(Schema.Literals(["ddpm", "lucidrains"]), "ddpm"),
  /** Residual blocks at each level of the way down. */
  blocks: withDefault(Positive, 2),
  /** The attention of each level, from the finest to the coarsest; none unless told. */
  attention: Schema.optionalKey(Schema.Array(AttentionKind)),
  /** The attention in the middle. */
  middleAttention: withDefault(AttentionKind, "block"),
  /** Whether DDPM's attention in the middle begins with a norm; the published scale-and-shift networks lack it. */
  middleAttentionNorm: withDefault(Schema.Boolean, true),
  /** Heads of `full` and `linear` attention. */
  heads: withDefault(Positive, 4),
  /** Channels of a head: for `full` and `linear` 32 unless told, for `block` all of them. */
  headWidth: Schema.optionalKey(Positive),
  /** Groups of all group norms; channels must divide by them. */
  groups: withDefault(Positive, 8),
  /** The ε of all group norms. */
  epsilon: withDefault(Schema.Finite.check(Schema.isGreaterThan(0)), 1e-5),
  /** Where norms and activations stand in a residual block (see `ResidualBlock`). */
  order: withDefault(Schema.Literals(["pre", "post"]), "pre"),
  /** What embeddings do in a residual block (see `ResidualBlock`). */
  conditioning: withDefault(Schema.Literals(["shift", "scaleShift"]), "shift"),
  activation: withDefault(Schema.Literals(Activation.names), "silu"),
  dropout: withDefault(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThan(1)),
    0
  ),
  /** How times are embedded: sinusoids for times up to 1,000 or so, Fourier features for those of the size of 1. */
  time: withDefault(Schema.Literals(["sinusoid", "fourier"]), "sinusoid"),
  /** Cosines before sines. */
  cosineFirst: withDefault(Schema.Boolean, false),
  /** See `Embedding.sinusoid`. */
  frequencyShift: withDefault(Schema.Finite, 1),
  /** Between the two dense layers of the time's embedding. */
  timeActivation: withDefault(Schema.Literals(Activation.names), "silu"),
  /** Zeros before and after each axis where a level is left by a strided convolution: 1 for both sides, 0 for the end alone. */
  downsamplePadding: withDefault(Schema.Literals([0, 1]), 1),
  /** The kernel of the first convolution: 3 in `ddpm`, 7 in `lucidrains` unless told. */
  stemKernel: Schema.optionalKey(Positive)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

/**
 * What a configuration is made from: JSON.
 *
 * @since 0.1.0
 * @category schemas
 */
export type Options = typeof Config.Encoded

/**
 * @since 0.1.0
 * @category models
 */
export type UNet = Network<Config>

type Block = Layer.Layer<any, Tensor.Tensor, Tensor.Tensor, ResidualBlock.Condition>
type Plain = Layer.Layer<any, Tensor.Tensor, Tensor.Tensor>

/** What both layouts are made of. */
const pieces = (config: Config) => {
  const { width, groups, epsilon, order, conditioning, activation, dropout } = config
  const dimensions: number = config.dimensions
  const embedding = 4 * width
  const conv = (from: number, to: number, kernel: number) =>
    Conv.make({ in: from, out: to, kernel, dimensions })
  const block = (from: number, to: number): Block =>
    ResidualBlock.make({
      in: from,
      out: to,
      embedding,
      groups,
      epsilon,
      order,
      conditioning,
      activation,
      dropout,
      dimensions
    })
  const attention = (kind: AttentionKind, channels: number, norm = true): ReadonlyArray<Plain> => {
    const { heads, headWidth } = config
    const own = { channels, heads, dimensions, headWidth: headWidth ?? 32 }
    switch (kind) {
      case "none":
        return []
      case "block":
        return [
          Attention.block({
            channels,
            epsilon,
            dimensions,
            ...(norm ? { groups } : {}),
            ...(headWidth === undefined ? {} : { headWidth })
          })
        ]
      case "full":
        return [Layer.residual(Attention.full(own))]
      case "linear":
        return [Layer.residual(Attention.linear(own))]
    }
  }
  const features: Layer.Layer<
    any,
    Condition["time"],
    Tensor.Tensor<readonly [number, number]>
  > = config.time === "fourier"
    ? Embedding.fourier({ width })
    : Embedding.sinusoid({
        width,
        shift: config.frequencyShift,
        cosineFirst: config.cosineFirst
      })
  const embeddings = {
    time_proj: features,
    time_embedding: Embedding.mlp({
      in: width,
      out: embedding,
      activation: config.timeActivation
    }),
    ...network.classEmbedding(config, embedding)
  }
  const condition = (
    net: Layer.Bound<typeof embeddings>,
    image: Tensor.Tensor,
    given: Condition
  ): ResidualBlock.Condition => {
    const waves = Tensor.cast(net.time_proj(given.time), floatOf(image))
    const embedded = net.time_embedding(waves as never) as Tensor.Tensor
    const labels = network.embedLabel("UNet", config, net.class_embedding, given)
    return { embedding: network.total([embedded, ...labels]) as Tensor.Tensor }
  }
  return { conv, block, attention, embeddings, condition }
}

const kindsOf = ({ attention, multipliers }: Config): ReadonlyArray<AttentionKind> =>
  attention ?? multipliers.map(() => "none" as const)

type Net = Layer.Layer<any, Tensor.Tensor, Tensor.Tensor, Condition>

const ddpm = (config: Config): Net => {
  const { width, multipliers, blocks, groups, epsilon, downsamplePadding } = config
  const dimensions: number = config.dimensions
  const { conv, block, attention, embeddings, condition } = pieces(config)
  const widths = multipliers.map((each) => each * width)
  const kinds = kindsOf(config)
  const levels = widths.length
  const last = widths[levels - 1]

  /** Channels of all that is kept on the way down. */
  const kept = [width]
  const down = widths.map((channels, level) => {
    const resnets = Array.from({ length: blocks }, (_, i) => {
      kept.push(channels)
      return block(i > 0 ? channels : (widths[level - 1] ?? width), channels)
    })
    const goes = level < levels - 1
    if (goes) kept.push(channels)
    return {
      resnets,
      attentions: resnets.flatMap(() => attention(kinds[level], channels)),
      downsamplers: goes
        ? [
            Resample.strided({
              in: channels,
              out: channels,
              dimensions,
              padding: [downsamplePadding, 1]
            })
          ]
        : []
    }
  })
  const up = widths.toReversed().map((channels, i) => {
    const level = levels - 1 - i
    const before = widths[Math.min(level + 1, levels - 1)]
    const resnets = Array.from({ length: blocks + 1 }, (_, j) =>
      block((j === 0 ? before : channels) + (kept.pop() as number), channels)
    )
    return {
      resnets,
      attentions: resnets.flatMap(() => attention(kinds[level], channels)),
      upsamplers: level > 0 ? [Resample.up({ in: channels, out: channels, dimensions })] : []
    }
  })
  return Layer.make(
    {
      conv_in: conv(network.inputChannels(config), width, config.stemKernel ?? 3),
      ...embeddings,
      down_blocks: down,
      up_blocks: up,
      mid_block: {
        resnets: [block(last, last), block(last, last)],
        attentions: attention(config.middleAttention, last, config.middleAttentionNorm)
      },
      conv_norm_out: Norm.group({ channels: widths[0], groups, epsilon }),
      conv_out: conv(widths[0], config.outChannels ?? config.channels, 3)
    },
    (net, image: Tensor.Tensor, given: Condition): Tensor.Tensor => {
      const c = condition(net, image, given)
      let x: Tensor.Tensor = net.conv_in(network.inputOf(config, image, given))
      const skips = [x]
      for (const { resnets, attentions, downsamplers } of net.down_blocks) {
        resnets.forEach((resnet, i) => {
          x = resnet(x, c)
          x = attentions[i]?.(x) ?? x
          skips.push(x)
        })
        for (const sample of downsamplers) skips.push((x = sample(x)))
      }
      const [first, second] = net.mid_block.resnets
      x = first(x, c)
      for (const attend of net.mid_block.attentions) x = attend(x)
      x = second(x, c)
      for (const { resnets, attentions, upsamplers } of net.up_blocks) {
        resnets.forEach((resnet, i) => {
          x = resnet(beside(x, skips.pop()), c)
          x = attentions[i]?.(x) ?? x
        })
        for (const sample of upsamplers) x = sample(x)
      }
      return net.conv_out(Activation.named(config.activation)(net.conv_norm_out(x)))
    }
  )
}

const lucidrains = (config: Config): Net => {
  const { width, multipliers, blocks } = config
  const dimensions: number = config.dimensions
  const { conv, block, attention, embeddings, condition } = pieces(config)
  const widths = [width, ...multipliers.map((each) => each * width)]
  const kinds = kindsOf(config)
  const last = widths[multipliers.length]
  const level = (i: number, input: number, channels: number, sample: Plain) => ({
    blocks: Array.from({ length: blocks }, () => block(input, channels)),
    attention: attention(kinds[i], channels),
    sample
  })
  const down = multipliers.map((_, i) => {
    const [from, to] = [widths[i], widths[i + 1]]
    const leaves = i < multipliers.length - 1
    const options = { in: from, out: to, dimensions }
    return level(i, from, from, leaves ? Resample.pixelUnshuffle(options) : conv(from, to, 3))
  })
  const up = multipliers
    .map((_, i) => {
      const [from, to] = [widths[i + 1], widths[i]]
      const leaves = i > 0
      const options = { in: from, out: to, dimensions }
      return level(i, from + to, from, leaves ? Resample.up(options) : conv(from, to, 3))
    })
    .toReversed()
  return Layer.make(
    {
      stem: conv(network.inputChannels(config), width, config.stemKernel ?? 7),
      ...embeddings,
      down,
      middle: {
        blocks: [block(last, last), block(last, last)],
        attention: attention(config.middleAttention, last)
      },
      up,
      last: block(2 * width, width),
      head: conv(width, config.outChannels ?? config.channels, 1)
    },
    (net, image: Tensor.Tensor, given: Condition): Tensor.Tensor => {
      const c = condition(net, image, given)
      let x: Tensor.Tensor = net.stem(network.inputOf(config, image, given))
      const stem = x
      const skips: Array<Tensor.Tensor> = []
      for (const { blocks, attention, sample } of net.down) {
        blocks.forEach((block, i) => {
          x = block(x, c)
          if (i === blocks.length - 1) for (const attend of attention) x = attend(x)
          skips.push(x)
        })
        x = sample(x)
      }
      const [first, second] = net.middle.blocks
      x = first(x, c)
      for (const attend of net.middle.attention) x = attend(x)
      x = second(x, c)
      for (const { blocks, attention, sample } of net.up) {
        for (const block of blocks) x = block(beside(x, skips.pop()), c)
        for (const attend of attention) x = attend(x)
        x = sample(x)
      }
      return net.head(net.last(beside(x, stem), c))
    }
  )
}

const beside = (x: Tensor.Tensor, skip: Tensor.Tensor | undefined): Tensor.Tensor =>
  Tensor.concat([x, skip as Tensor.Tensor], { axis: 1 }) as Tensor.Tensor

/**
 * As {@link make}, from a complete configuration; throws the error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeUnsafe = (config: Config): UNet => {
  const { attention, multipliers } = config
  demand(
    attention === undefined || attention.length === multipliers.length,
    "UNet",
    "attention",
    `there are ${attention?.length} entries for ${multipliers.length} levels`
  )
  const widths = multipliers.map((each) => each * config.width)
  // DDPM's blocks of the order `post` norm what they make, not what the first convolution does
  const first = config.layout === "ddpm" && config.order === "post" ? [] : [config.width]
  requireGroups("UNet", config.groups, [...first, ...widths])
  const halvings = multipliers.length - 1
  network.requireSize("UNet", config, halvings)
  const { parameters, apply } = config.layout === "ddpm" ? ddpm(config) : lucidrains(config)
  const checked: typeof apply = (values, image, ...given) => {
    network.requireImage("UNet", config, image, halvings)
    return apply(values, image, ...given)
  }
  return { config, halvings, parameters, apply: checked as never }
}

/**
 * A U-Net from a configuration, such as JSON. Fails with `ConfigError`, which names the field and says what would work: a mistyped
 * field, channels that do not divide by the groups, a size that cannot be halved.
 *
 * ```ts
 * const network = yield* UNet.make({ channels: 3, width: 64, multipliers: [1, 2, 2], classes: 11 })
 * ```
 *
 * Applied to an image that it does not take, it throws `ConfigError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<UNet, ConfigError> =>
  decode("UNet", Config, options).pipe(
    Effect.flatMap((config) => attempt(() => makeUnsafe(config)))
  )

/**
 * The options of a network that diffusers' `config.json` describes, parsed: of a `UNet2DModel` of down and up blocks with and without
 * attention, as DDPM's. With {@link make} and `Parameter.load`, its file becomes a network here:
 *
 * ```ts
 * const network = yield* UNet.make(yield* UNet.fromDiffusers(JSON.parse(text)))
 * const { tensors } = yield* SafeTensors.decode(bytes)
 * const weights = yield* Parameter.load(network.parameters, tensors, {
 *   rename: UNet.fromDiffusersName
 * })
 * ```
 *
 * What is left out is as diffusers has it; notes, whose names begin with `_`, are ignored. Fails with `ConfigError` for whatever would
 * be another network: it names the field and says what is supported.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromDiffusers = (json: unknown): Effect.Effect<Options, ConfigError> =>
  diffusers.fromDiffusers(json)

/**
 * The path of a parameter from its name in a file of diffusers, for `Parameter.load`. The names are the same but for attention in
 * older files: `query`, `key`, `value` and `proj_attn` are now `to_q`, `to_k`, `to_v` and `to_out.0`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromDiffusersName = (name: string): string => diffusers.fromDiffusersName(name)

const published = {
  channels: 3,
  blocks: 2,
  groups: 32,
  epsilon: 1e-6,
  downsamplePadding: 0
} as const

const compared = {
  channels: 3,
  layout: "lucidrains",
  order: "post",
  conditioning: "scaleShift",
  timeActivation: "gelu"
} as const

/**
 * Published configurations: `unet`, the U-Net that the continuous U-Net is compared with; and the networks of Ho et al. 2020 as
 * diffusers publishes them, `ddpm-cifar10` and `ddpm-celebahq`. Besides, `unet-small`, of the same channels as `CUNet`'s `cunet-small`.
 *
 * @since 0.1.0
 * @category presets
 */
export const presets = {
  unet: {
    ...compared,
    width: 64,
    multipliers: [1, 2, 4, 8],
    attention: ["linear", "linear", "linear", "full"],
    middleAttention: "full"
  },
  "ddpm-cifar10": {
    ...published,
    width: 128,
    multipliers: [1, 2, 2, 2],
    attention: ["none", "block", "none", "none"],
    size: 32
  },
  "ddpm-celebahq": {
    ...published,
    width: 128,
    multipliers: [1, 1, 2, 2, 4, 4],
    attention: ["none", "none", "none", "none", "block", "none"],
    size: 256
  },
  "unet-small": {
    ...compared,
    channels: 1,
    width: 16,
    multipliers: [1, 2, 4],
    attention: ["none", "none", "none"],
    middleAttention: "none"
  }
} as const satisfies Record<string, Options>
