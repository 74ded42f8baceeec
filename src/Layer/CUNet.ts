/**
 * The continuous U-Net (arXiv:2310.20092): a U-Net whose every stage is a dynamic block, an ordinary differential equation, on
 * signals, images and volumes `[batch, channels, …space]`.
 *
 * `cunet-public` is the network of the first author's code to the last parameter, and `cunet` the network that the paper describes:
 * of second order by construction, with live times. Both are configurations of one thing, so each difference between them is a
 * switch. The code differs from the paper in that its table of time embeddings is used by nothing (`"unused"`), and in that its
 * doubled state is not held to x' = v (`"first"`).
 *
 * The stem makes 2·width channels, and each level twice as many as the one before. A block's result is kept for the way up; there a
 * 1×1 convolution joins it with what comes from below.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Tensor } from "../Tensor/index.ts"
import * as Activation from "./Activation.ts"
import * as Attention from "./Attention.ts"
import * as Conv from "./Conv.ts"
import * as Derivative from "./Derivative.ts"
import * as DynamicBlock from "./DynamicBlock.ts"
import * as Embedding from "./Embedding.ts"
import * as Initializer from "./Initializer.ts"
import * as Integrator from "./Integrator.ts"
import { decode, demand, requireGroups } from "./internal/config.ts"
import { floatOf, spread } from "./internal/features.ts"
import * as network from "./internal/network.ts"
import { Positive, withDefault } from "./internal/schema.ts"
import * as Layer from "./Layer.ts"
import { attempt, type ConfigError } from "./LayerError.ts"
import type { Condition, Network } from "./Network.ts"
import * as Parameter from "./Parameter.ts"

/**
 * What makes a continuous U-Net; what is left out is as the paper has it. Only `channels` must be given.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  ...network.fields,
  /** Half the channels of the first level. */
  width: withDefault(Positive, 16),
  /** How often the size is halved. */
  levels: withDefault(Positive, 4),
  /** Of the blocks' equations (see `DynamicBlock`). */
  order: withDefault(Schema.Literals(["first", "second"]), "second"),
  /** Whether equations of second order take no notice of the velocity, so that symplectic methods have an inverse; of those alone. */
  velocityFree: withDefault(Schema.Boolean, false),
  /** Whether x is part of the derivative. */
  residual: withDefault(Schema.Boolean, true),
  norm: withDefault(Schema.Literals(["group", "instance", "none"]), "group"),
  /** Of group norms; channels must divide by them. Without group norms they do not matter. */
  groups: withDefault(Positive, 8),
  activation: withDefault(Schema.Literals(Activation.names), "silu"),
  /** Whether the derivatives' activations stand before or after their convolutions. */
  activate: withDefault(Schema.Literals(["before", "after"]), "before"),
  /**
   * The diffusion's time: not there at all; a table of sinusoids for the times 0 to 999 that nothing uses, or that every block uses
   * as scale and shift; or sinusoids of any time through two dense layers, as scale and shift.
   */
  time: withDefault(Schema.Literals(["network", "table", "unused", "none"]), "network"),
  /** The width of the times' embedding. */
  embedding: withDefault(Positive, 256),
  /** Whether the equations' own time is part of scale and shift. */
  odeTime: withDefault(Schema.Boolean, true),
  /** At the coarsest level above the middle, on both ways; or nowhere. */
  attention: withDefault(Schema.Literals(["coarse", "none"]), "coarse"),
  /**
   * Whether the input is added to the attention's result. Without it what leaves the coarsest level is nearly the same everywhere, and
   * norms make so much of what little difference there is that gradients there are mostly rounding in `float32`.
   */
  attentionResidual: withDefault(Schema.Boolean, true),
  heads: withDefault(Positive, 4),
  /** Channels of each head. */
  headWidth: withDefault(Positive, 32),
  /** Channels of zeros beside each block's (see `DynamicBlock`); channels with them must divide by the groups. */
  augment: withDefault(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0),
  /** How the blocks are integrated, unless `Integrator.layer` says otherwise. */
  integrator: withDefault(Integrator.Config, {})
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
export type CUNet = Network<Config>

/** Times that the table has. */
const tabled = 1000

const build = (config: Config, integrator: Integrator.Integrator) => {
  const { width, levels, order, velocityFree, groups, augment, time, embedding, classes } = config
  const dimensions: number = config.dimensions
  const live = time === "network" || time === "table" || classes !== undefined
  const inputs = network.inputChannels(config)
  const point = (from: number, to: number) =>
    Conv.make({ in: from, out: to, kernel: 1, dimensions })
  const block = (
    channels: number
  ): Layer.Layer<any, Tensor.Tensor, Tensor.Tensor, Pick<Derivative.Condition, "embedding">> => {
    const whole = channels + augment
    const options = {
      ...config,
      channels: whole,
      dimensions,
      ...(live ? { embedding } : { embedding: undefined as never })
    }
    if (order === "first") {
      return DynamicBlock.first({ derivative: Derivative.first(options), integrator, augment })
    }
    const second = DynamicBlock.second({
      acceleration: Derivative.second(options),
      velocity: Layer.make(
        { norm: Derivative.norm(config.norm, whole, groups), conv: point(whole, whole) },
        ({ norm, conv }, x: Tensor.Tensor): Tensor.Tensor => conv(norm(x))
      ),
      integrator,
      augment,
      velocityFree
    })
    return second
  }
  const attention = (level: number, channels: number) => {
    if (config.attention === "none" || level < levels - 1) return []
    const { heads, headWidth } = config
    const full = Attention.full({ channels, heads, headWidth, dimensions })
    return [config.attentionResidual ? Layer.residual(full) : full]
  }
  const widths = Array.from({ length: levels + 1 }, (_, i) => 2 * width * 2 ** i)
  const act = Activation.named(config.activation)
  const parts = {
    stem: {
      // channels of images do not divide into groups
      norm1: Derivative.norm(config.norm === "instance" ? "instance" : "none", inputs, groups),
      conv1: Conv.make({ in: inputs, out: width, kernel: 3, dimensions }),
      norm2: Derivative.norm(config.norm, width, groups),
      conv2: point(width, widths[0])
    },
    ...(time === "table" || time === "unused"
      ? { time_table: Parameter.buffer([tabled, embedding], sinusoids(embedding)) }
      : {}),
    ...(time === "network"
      ? { time_embedding: Embedding.mlp({ in: embedding, out: embedding }) }
      : {}),
    ...network.classEmbedding(config, embedding),
    down: widths.slice(0, levels).map((channels, level) => ({
      block: block(channels),
      attention: attention(level, channels),
      proj: point(channels, widths[level + 1])
    })),
    middle: block(widths[levels]),
    up: widths
      .slice(0, levels)
      .map((channels, level) => ({
        join: point(widths[level + 1] + channels, channels),
        block: block(channels),
        attention: attention(level, channels)
      }))
      .toReversed(),
    head: point(widths[0], config.outChannels ?? config.channels)
  }
  const waves = Embedding.sinusoid({ width: embedding })
  type Net = Layer.Bound<typeof parts>
  const embeddingOf = (net: Net, image: Tensor.Tensor, given: Condition) => {
    const { time } = given
    const features = () => Tensor.cast(waves.apply({}, time), floatOf(image))
    const rows = () => Tensor.take(net.time_table as Tensor.Tensor, Tensor.cast(time, "int32"))
    const embedding = network.total([
      ...(net.time_embedding === undefined ? [] : [net.time_embedding(features() as never)]),
      ...(config.time === "table" ? [rows()] : []),
      ...network.embedLabel("CUNet", config, net.class_embedding, given)
    ] as ReadonlyArray<Tensor.Tensor>)
    return embedding === undefined ? {} : { embedding }
  }
  return Layer.make(parts, (net, image: Tensor.Tensor, given: Condition): Tensor.Tensor => {
    const condition = embeddingOf(net, image, given)
    const { stem } = net
    let x: Tensor.Tensor = act(stem.conv1(stem.norm1(network.inputOf(config, image, given))))
    x = act(stem.conv2(stem.norm2(x)))
    const skips: Array<Tensor.Tensor> = []
    for (const { block, attention, proj } of net.down) {
      x = block(x, condition)
      for (const attend of attention) x = attend(x)
      skips.push(x)
      x = resized(act(proj(x)), 1 / 2)
    }
    x = net.middle(x, condition)
    for (const { join, block, attention } of net.up) {
      const both = [resized(x, 2), skips.pop() as Tensor.Tensor]
      x = block(act(join(Tensor.concat(both, { axis: 1 }) as Tensor.Tensor)), condition)
      for (const attend of attention) x = attend(x)
    }
    return net.head(x)
  })
}

/** The sinusoids of all times that the table has. */
const sinusoids = (width: number): Initializer.Initializer => {
  const half = Math.floor(width / 2)
  return Initializer.values(
    Float64Array.from({ length: tabled * width }, (_, i) => {
      const [time, place] = [Math.floor(i / width), i % width]
      if (place >= 2 * half) return 0
      const angle = time * 10000 ** (-(place % half) / half)
      return place < half ? Math.sin(angle) : Math.cos(angle)
    })
  )
}

/** Bilinear, or in other numbers of dimensions linear. */
const resized = (x: Tensor.Tensor, scale: number): Tensor.Tensor =>
  Tensor.resize(x, { scale, mode: "linear" }) as Tensor.Tensor

/** Instance norm makes 0 of whatever stands alone in its channel: nothing would reach the middle. */
const requirePlaces = ({ norm, levels }: Config, path: string, sizes: ReadonlyArray<number>) =>
  demand(
    norm !== "instance" || sizes.some((size) => size > 2 ** levels),
    "CUNet",
    path,
    `after ${levels} halvings one place is left of ${sizes.join(" × ")}, of which instance norm makes 0: take larger images, fewer levels or the norm "group"`
  )

/**
 * As {@link make}, from a complete configuration, with whatever integrator; throws the error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeUnsafe = (config: Config, integrator?: Integrator.Integrator): CUNet => {
  const { levels, width, augment, size } = config
  demand(
    !config.velocityFree || config.order === "second",
    "CUNet",
    "velocityFree",
    'equations of first order have no velocity; take the order "second", or leave it out'
  )
  if (config.norm === "group") {
    const blocks = Array.from({ length: levels + 1 }, (_, i) => 2 * width * 2 ** i + augment)
    requireGroups("CUNet", config.groups, [width, ...blocks])
  }
  network.requireSize("CUNet", config, levels)
  if (size !== undefined) {
    const sizes = typeof size === "number" ? spread(size, config.dimensions) : size
    requirePlaces(config, "size", sizes)
  }
  const { parameters, apply } = build(config, integrator ?? Integrator.of(config.integrator))
  const checked: typeof apply = (values, image, ...given) => {
    network.requireImage("CUNet", config, image, levels)
    requirePlaces(config, "image", image.shape.slice(2))
    return apply(values, image, ...given)
  }
  return { config, halvings: levels, parameters: parameters as never, apply: checked as never }
}

/**
 * A continuous U-Net from a configuration, such as JSON. Fails with `ConfigError`, which names the field and says what would work: a
 * mistyped field, channels that do not divide by the groups, a size that cannot be halved so often.
 *
 * ```ts
 * const network = yield* CUNet.make({ channels: 1, width: 8, levels: 2, integrator: { method: "rk4", steps: 2, adjoint: "direct" } })
 * ```
 *
 * Where `Integrator.layer` is provided, its method, steps and adjoint take the place of the configuration's. Applied to an image
 * that it does not take, it throws `ConfigError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<CUNet, ConfigError> =>
  Effect.gen(function* () {
    const config = yield* decode("CUNet", Config, options)
    const integrator = yield* Integrator.Current
    return yield* attempt(() => makeUnsafe(config, integrator))
  })

const code = {
  channels: 3,
  order: "first",
  norm: "instance",
  activation: "softplus",
  activate: "after",
  odeTime: false,
  attentionResidual: false
} as const

/**
 * `cunet`, the paper's network; `cunet-public`, that of the public code, and the same with its times in use, `cunet-public-time`; the
 * paper's for sound and for volumes, `cunet-audio` and `cunet-volume`; and `cunet-small`, which a processor trains in minutes on images as
 * small as MNIST's, whose size it halves twice: of 16, 32 and 64 channels, without attention, by a cheaper method.
 *
 * @since 0.1.0
 * @category presets
 */
export const presets = {
  cunet: { channels: 3 },
  "cunet-public": { ...code, time: "unused" },
  "cunet-public-time": { ...code, time: "table" },
  "cunet-audio": { channels: 1, dimensions: 1 },
  "cunet-volume": { channels: 1, dimensions: 3 },
  "cunet-small": {
    channels: 1,
    width: 8,
    levels: 2,
    attention: "none",
    integrator: { method: "midpoint", steps: 1, adjoint: "direct" }
  }
} as const satisfies Record<string, Options>
