/**
 * Networks by name: the presets of all families in one registry, and what they cost.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { CUNet, LayerError, Network as Networks, Parameter, Summary, UNet } from "../Layer/index.ts"

/** The families, with the presets of each. */
const families = { UNet: UNet.presets, CUNet: CUNet.presets } as const

/**
 * The names of all presets.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof UNet.presets | keyof typeof CUNet.presets

/**
 * A network of any family.
 *
 * @since 0.1.0
 * @category models
 */
export type Network = UNet.UNet | CUNet.CUNet

/**
 * The network that a name stands for.
 *
 * @since 0.1.0
 * @category models
 */
export type NetworkOf<N extends string> = N extends keyof typeof UNet.presets
  ? UNet.UNet
  : N extends keyof typeof CUNet.presets
    ? CUNet.CUNet
    : Network

/**
 * What may be said otherwise than a preset has it: any of its family's fields, or whatever is in a file where the name is not known
 * to the compiler.
 *
 * @since 0.1.0
 * @category models
 */
export type Overrides<N extends string> = N extends keyof typeof UNet.presets
  ? Partial<UNet.Options>
  : N extends keyof typeof CUNet.presets
    ? Partial<CUNet.Options>
    : Readonly<Record<string, unknown>>

/**
 * A preset: the family whose configuration it is, the fields that it tells, and what it is, in a line.
 *
 * @since 0.1.0
 * @category models
 */
export interface Preset {
  readonly family: keyof typeof families
  readonly options: Readonly<Record<string, unknown>>
  readonly about: string
}

const about: Readonly<Record<Name, string>> = {
  unet: "the U-Net that the continuous U-Net is compared with",
  "ddpm-cifar10": "Ho et al. 2020, for 32×32 images",
  "ddpm-celebahq": "Ho et al. 2020, for 256×256 images",
  cunet: "the continuous U-Net as the paper has it",
  "cunet-public": "the continuous U-Net of the public code, whose times nothing uses",
  "cunet-public-time": "the same with its times in use",
  "cunet-audio": "the continuous U-Net for signals, one spatial axis",
  "cunet-volume": "the continuous U-Net for volumes, three spatial axes",
  "cunet-small": "a small continuous U-Net, for images of 28×28 and such like",
  "unet-small": "a U-Net of the same channels as cunet-small"
}

/**
 * All presets by name: those of `UNet.presets` and of `CUNet.presets`.
 *
 * @since 0.1.0
 * @category instances
 */
export const presets = Object.fromEntries(
  Object.entries(families).flatMap(([family, all]) =>
    Object.entries(all).map(([name, options]) => [
      name,
      { family, options, about: about[name as Name] }
    ])
  )
) as unknown as Readonly<Record<Name, Preset>>

/**
 * @since 0.1.0
 * @category guards
 */
export const isName = (name: string): name is Name => Object.hasOwn(presets, name)

/**
 * The network that a preset configures, or with some of its fields as told. Fails with `ConfigError` for a name that is not known,
 * with the nearest that is; and for fields that make no network (see `UNet.make` and `CUNet.make`).
 *
 * ```ts
 * const network = yield* Networks.preset("cunet", { channels: 1, width: 8, levels: 2 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const preset = <const N extends Name | (string & {})>(
  name: N,
  overrides?: Overrides<N>
): Effect.Effect<NetworkOf<N>, LayerError.ConfigError> => {
  if (!isName(name)) {
    return Effect.fail(LayerError.unknownName("network", name, Object.keys(presets)))
  }
  const { family, options } = presets[name]
  const given = { ...options, ...overrides } as never
  const made: Effect.Effect<Network, LayerError.ConfigError> =
    family === "UNet" ? UNet.make(given) : CUNet.make(given)
  return made as Effect.Effect<NetworkOf<N>, LayerError.ConfigError>
}

/**
 * One size for all spatial axes, or one for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Size = number | ReadonlyArray<number>

/**
 * The spatial size that a network is meant for, or 64 for each axis where it does not say.
 *
 * @since 0.1.0
 * @category getters
 */
export const sizeOf = ({ config }: Network): Size => config.size ?? 64

/**
 * How many numbers a network has to be given.
 *
 * @since 0.1.0
 * @category getters
 */
export const parameterCount = ({ parameters }: Network): number => Parameter.count(parameters)

/**
 * What a network costs for a batch of images, by layers and in total, with the right number of spatial axes and with labels where it
 * has classes. The size is `sizeOf` and the batch 1 unless told. Fails with `ConfigError` for a size that the network does not take, with
 * those near it that it does.
 *
 * @since 0.1.0
 * @category costs
 */
export const costOf = (
  network: Network,
  options: { readonly size?: Size; readonly batch?: number } = {}
): Effect.Effect<Summary.Summary, LayerError.ConfigError> =>
  LayerError.attempt(() => {
    const { image, condition } = Networks.specs(network, options)
    return Summary.of(network, image, condition as never)
  })

/**
 * What a preset costs (see `costOf`), with some of its fields as told.
 *
 * ```ts
 * const { parameters, macs } = yield* Networks.cost("cunet-public", { size: 64 })
 * ```
 *
 * @since 0.1.0
 * @category costs
 */
export const cost = <const N extends Name | (string & {})>(
  name: N,
  options: {
    readonly size?: Size
    readonly batch?: number
    readonly overrides?: Overrides<N>
  } = {}
): Effect.Effect<Summary.Summary, LayerError.ConfigError> =>
  Effect.flatMap(preset(name, options.overrides), (network) => costOf(network, options))

/**
 * A cost for people: `Summary.table`, and the totals below it.
 *
 * @since 0.1.0
 * @category conversions
 */
export const report = (
  summary: Summary.Summary,
  options: { readonly depth?: number } = {}
): string => {
  const { rows, parameters, trainable, macs, programMacs, macsByThop } = summary
  const adaptive = rows.some(
    ({ integration }) => integration !== undefined && integration.evaluations === undefined
  )
  const totals = [
    ["parameters", parameters],
    ["  trainable", trainable],
    ["multiply-accumulates", macs],
    ["  of the program, products included", programMacs],
    ["  as thop counts", macsByThop]
  ] as const
  const shown = totals.map(([, value]) => value.toLocaleString("en-US"))
  const width = Math.max(...shown.map((text) => text.length))
  const label = Math.max(...totals.map(([text]) => text.length))
  return [
    Summary.table(summary, options),
    "",
    ...totals.map(([text], i) => `${text.padEnd(label)}  ${shown[i].padStart(width)}`),
    ...(adaptive
      ? ["", "A controller chooses the steps when the program runs: one evaluation is counted."]
      : [])
  ].join("\n")
}
