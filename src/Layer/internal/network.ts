/** What the makers of networks share. */
import * as Schema from "effect/Schema"
import { Shape, Tensor } from "../../Tensor/index.ts"
import * as Embedding from "../Embedding.ts"
import { ConfigError } from "../LayerError.ts"
import type { Condition, Fields } from "../Network.ts"
import { demand, requireHalvings } from "./config.ts"
import { floatOf } from "./features.ts"
import { Positive, withDefault } from "./schema.ts"

/** The fields of images, times and labels. */
export const fields = {
  /** Of the images that go in, without the estimate of self-conditioning. */
  channels: Positive,
  /** Channels of what comes out; as many as go in unless told. Twice as many for a learned variance. */
  outChannels: Schema.optionalKey(Positive),
  /** Spatial axes. */
  dimensions: withDefault(Schema.Literals([1, 2, 3]), 2),
  /** The spatial sizes, or that of all axes; checked when the network is made. Where it is not told, any that fits will do. */
  size: Schema.optionalKey(Schema.Union([Positive, Schema.Array(Positive)])),
  /** Class labels, from 0; for guidance without a classifier one more, which stands for none. */
  classes: Schema.optionalKey(Positive),
  /** Whether an estimate of the image goes in beside it (Chen et al. 2022, arXiv:2208.04202). */
  selfConditioning: withDefault(Schema.Boolean, false)
}

/** Throws a `ConfigError` for sizes that a network cannot halve so often. */
export const requireSize = (what: string, { size, dimensions }: Fields, halvings: number): void => {
  if (size === undefined) return
  const sizes = typeof size === "number" ? [size] : size
  demand(
    typeof size === "number" || sizes.length === dimensions,
    what,
    "size",
    `there are ${sizes.length} sizes for ${dimensions} dimensions`
  )
  requireHalvings(what, "size", sizes, halvings)
}

/** Throws a `ConfigError` for an image that a network does not take. */
export const requireImage = (
  what: string,
  { channels, dimensions }: Fields,
  image: Tensor.Any,
  halvings: number
): void => {
  const [, given, ...space] = image.shape
  demand(
    given === channels && space.length === dimensions,
    what,
    "image",
    `needs [batch, ${channels}, …] with ${dimensions} spatial axes, not ${Shape.show(image.shape)}`
  )
  requireHalvings(what, "image", space, halvings)
}

/** Channels that go in. */
export const inputChannels = ({ channels, selfConditioning }: Fields): number =>
  selfConditioning ? 2 * channels : channels

/** The image, beside its estimate where there is one. */
export const inputOf = (
  { selfConditioning }: Fields,
  image: Tensor.Tensor,
  { estimate }: Condition
): Tensor.Tensor => {
  if (!selfConditioning) return image
  const before = estimate ?? Tensor.zeros(image.shape, floatOf(image))
  return Tensor.concat([image, before as Tensor.Tensor], { axis: 1 }) as Tensor.Tensor
}

/** An embedding of classes, where there are any. */
export const classEmbedding = ({ classes }: Fields, width: number) =>
  classes === undefined ? {} : { class_embedding: Embedding.make({ classes, width }) }

/** The embedding of labels that there must be. */
export const embedLabel = (
  what: string,
  { classes }: Fields,
  embed: ((label: NonNullable<Condition["label"]>) => Tensor.Any) | undefined,
  { label }: Condition
): ReadonlyArray<Tensor.Tensor> => {
  if (embed === undefined) return []
  if (label === undefined) {
    throw new ConfigError({
      what,
      path: "label",
      message: `${what}: label: the network has ${classes} classes, so it needs a label for each image`
    })
  }
  return [embed(label) as Tensor.Tensor]
}

/** The sum of what there is, if there is anything. */
export const total = (terms: ReadonlyArray<Tensor.Tensor>): Tensor.Tensor | undefined =>
  terms.length === 0 ? undefined : terms.reduce((a, b) => Tensor.add(a, b) as Tensor.Tensor)
