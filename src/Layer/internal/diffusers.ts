/** Configurations of diffusers' `UNet2DModel` (https://github.com/huggingface/diffusers), as ours. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { attempt, type ConfigError } from "../LayerError.ts"
import type { Options } from "../UNet.ts"
import { decode, demand } from "./config.ts"
import { Positive, withDefault } from "./schema.ts"

const what = "UNet.fromDiffusers"

/** `null` stands for what is not told. */
const nullable = <S extends Schema.Top>(schema: S) => Schema.NullOr(schema)

/** The fields that there are, with diffusers' defaults; of those that we have one value for, that value alone. */
const Config = Schema.Struct({
  sample_size: withDefault(nullable(Schema.Union([Positive, Schema.Array(Positive)])), null),
  in_channels: withDefault(Positive, 3),
  out_channels: withDefault(Positive, 3),
  center_input_sample: withDefault(Schema.Literal(false), false),
  time_embedding_type: withDefault(Schema.Literal("positional"), "positional"),
  time_embedding_dim: withDefault(nullable(Positive), null),
  freq_shift: withDefault(Schema.Finite, 0),
  flip_sin_to_cos: withDefault(Schema.Boolean, true),
  down_block_types: withDefault(
    Schema.NonEmptyArray(Schema.Literals(["DownBlock2D", "AttnDownBlock2D"])),
    ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]
  ),
  mid_block_type: withDefault(Schema.Literal("UNetMidBlock2D"), "UNetMidBlock2D"),
  up_block_types: withDefault(
    Schema.NonEmptyArray(Schema.Literals(["UpBlock2D", "AttnUpBlock2D"])),
    ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
  ),
  block_out_channels: withDefault(Schema.NonEmptyArray(Positive), [224, 448, 672, 896]),
  layers_per_block: withDefault(Positive, 2),
  mid_block_scale_factor: withDefault(Schema.Literal(1), 1),
  downsample_padding: withDefault(Schema.Literals([0, 1]), 1),
  downsample_type: withDefault(Schema.Literal("conv"), "conv"),
  upsample_type: withDefault(Schema.Literal("conv"), "conv"),
  dropout: withDefault(Schema.Finite, 0),
  // of other activations diffusers' last one is none
  act_fn: withDefault(Schema.Literals(["silu", "swish"]), "silu"),
  attention_legacy_order: withDefault(Schema.Literal(false), false),
  attention_head_dim: withDefault(nullable(Positive), 8),
  norm_num_groups: withDefault(Positive, 32),
  attn_norm_num_groups: withDefault(nullable(Positive), null),
  norm_eps: withDefault(Schema.Finite, 1e-5),
  resnet_time_scale_shift: withDefault(Schema.Literals(["default", "scale_shift"]), "default"),
  add_attention: withDefault(Schema.Boolean, true),
  class_embed_type: withDefault(Schema.Null, null),
  num_class_embeds: withDefault(nullable(Positive), null),
  num_train_timesteps: withDefault(nullable(Positive), null)
})

/** Notes such as `_class_name` are nothing to us. */
const withoutNotes = (json: unknown): unknown =>
  typeof json === "object" && json !== null && !Array.isArray(json)
    ? Object.fromEntries(Object.entries(json).filter(([key]) => !key.startsWith("_")))
    : json

const must = (holds: boolean, path: string, message: string): void =>
  demand(holds, what, path, message)

const optionsOf = (config: typeof Config.Type): Options => {
  const { block_out_channels: widths, down_block_types: down, up_block_types: up } = config
  const { norm_num_groups: groups, attn_norm_num_groups: attentionGroups } = config
  const [width, ...others] = widths
  others.forEach((each, i) => {
    const message = `${each} is no multiple of the first, ${width}; multiples alone are supported`
    must(each % width === 0, `block_out_channels.${i + 1}`, message)
  })
  for (const [field, types] of Object.entries({ down_block_types: down, up_block_types: up })) {
    const message = `there are ${types.length} entries for ${widths.length} block_out_channels`
    must(types.length === widths.length, field, message)
  }
  const attends = down.map((each) => each === "AttnDownBlock2D")
  up.forEach((each, i) => {
    const level = down.length - 1 - i
    const mirrored = attends[level] ? "AttnUpBlock2D" : "UpBlock2D"
    const message = `is ${each}, but the way up must mirror the way down: ${mirrored} for the ${down[level]} of down_block_types.${level}`
    must(each === mirrored, `up_block_types.${i}`, message)
  })
  must(
    config.time_embedding_dim === null || config.time_embedding_dim === 4 * width,
    "time_embedding_dim",
    `only four times the first of block_out_channels is supported, ${4 * width}, or null`
  )
  must(
    attentionGroups === null || attentionGroups === groups,
    "attn_norm_num_groups",
    `only norm_num_groups is supported, ${groups}, or null`
  )
  const shift = config.resnet_time_scale_shift === "default"
  const { sample_size: size, attention_head_dim: headWidth, num_class_embeds: classes } = config
  return {
    channels: config.in_channels,
    ...(config.out_channels === config.in_channels ? {} : { outChannels: config.out_channels }),
    ...(size === null ? {} : { size }),
    ...(classes === null ? {} : { classes }),
    width,
    multipliers: [1, ...others.map((each) => each / width)],
    layout: "ddpm",
    blocks: config.layers_per_block,
    attention: attends.map((each) => (each ? "block" : "none")),
    middleAttention: config.add_attention ? "block" : "none",
    middleAttentionNorm: shift || attentionGroups !== null,
    ...(headWidth === null ? {} : { headWidth }),
    groups,
    epsilon: config.norm_eps,
    order: "pre",
    conditioning: shift ? "shift" : "scaleShift",
    activation: "silu",
    dropout: config.dropout,
    cosineFirst: config.flip_sin_to_cos,
    frequencyShift: config.freq_shift,
    downsamplePadding: config.downsample_padding
  }
}

/** See `UNet.fromDiffusers`. */
export const fromDiffusers = (json: unknown): Effect.Effect<Options, ConfigError> =>
  decode(what, Config, withoutNotes(json)).pipe(
    Effect.flatMap((config) => attempt(() => optionsOf(config)))
  )

const attentionNames: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0"
}

/** See `UNet.fromDiffusersName`. */
export const fromDiffusersName = (name: string): string =>
  name.replace(
    /(?<=\battentions\.\d+\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)/,
    (old) => attentionNames[old]
  )
