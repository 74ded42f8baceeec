/**
 * Normalisations. Their parameters are `weight` (a factor) and `bias` (an offset) of each channel, as published files name them;
 * they begin as 1 and 0.
 *
 * @since 0.1.0
 */
import { type Shape, Tensor } from "../Tensor/index.ts"
import * as Initializer from "./Initializer.ts"
import { requireCounts, requireEpsilon, requireGroups } from "./internal/config.ts"
import { overSpace } from "./internal/features.ts"
import { valueOf } from "./internal/values.ts"
import type { Channels, Preserving } from "./Layer.ts"
import * as Parameter from "./Parameter.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Affine<C extends number = number, A extends boolean = true> = A extends false
  ? {}
  : {
      readonly weight: Parameter.Parameter<readonly [C], "float32">
      readonly bias: Parameter.Parameter<readonly [C], "float32">
    }

/** Channels first. */
type Normalization<C extends number, P> = Preserving<P, Channels<C>>

const affine = <C extends number, A extends boolean>(
  channels: C,
  wanted: A | undefined
): Affine<C, A> =>
  (wanted === false
    ? {}
    : {
        weight: Parameter.make([channels], Initializer.ones),
        bias: Parameter.make([channels], Initializer.zeros)
      }) as Affine<C, A>

/** As functions of `Tensor` name them. */
const named = (
  what: string,
  values: unknown,
  wanted: boolean
): { scale?: Tensor.Tensor; bias?: Tensor.Tensor } =>
  wanted ? { scale: valueOf(what, values, "weight"), bias: valueOf(what, values, "bias") } : {}

/**
 * Group normalisation of `[N, C, …]` (Wu and He 2018, arXiv:1803.08494). Throws `ConfigError`, with the numbers of groups that
 * would work, where the channels do not divide by the groups; as all norms also for a negative ε.
 *
 * @since 0.1.0
 * @category constructors
 */
export const group = <const C extends number, const A extends boolean = true>(options: {
  readonly channels: C
  readonly groups: number
  /** 1e-5 unless told. */
  readonly epsilon?: number
  readonly affine?: A
}): Normalization<C, Affine<C, NoInfer<A>>> => {
  const { channels, groups, epsilon = 1e-5 } = options
  requireCounts("Norm.group", { channels, groups })
  requireEpsilon("Norm.group", epsilon)
  requireGroups("Norm.group", groups, [channels])
  return {
    kind: "group norm",
    parameters: affine(channels, options.affine),
    apply: (values, x) =>
      Tensor.groupNorm(x, {
        ...named("Norm.group", values, options.affine !== false),
        groups,
        epsilon
      })
  }
}

/** What instance and layer norms have in common: all but which elements are normalised. */
const normalization = <C extends number, A extends boolean, W extends Shape.Shape>(
  name: "instance" | "layer",
  { channels, epsilon = 1e-5 }: { readonly channels: C; readonly epsilon?: number },
  wanted: A
): Preserving<Affine<C, A>, W> => {
  const what = `Norm.${name}`
  requireCounts(what, { channels })
  requireEpsilon(what, epsilon)
  const norm = (
    name === "instance" ? Tensor.instanceNorm : Tensor.layerNorm
  ) as typeof Tensor.layerNorm
  return {
    kind: `${name} norm`,
    parameters: affine(channels, wanted),
    apply: (values, x) => norm(x, { ...named(what, values, wanted), epsilon })
  }
}

/**
 * Instance normalisation of `[N, C, …]` (Ulyanov et al. 2016, arXiv:1607.08022); without parameters unless `affine` is told, as
 * PyTorch's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const instance = <const C extends number, const A extends boolean = false>(options: {
  readonly channels: C
  /** 1e-5 unless told. */
  readonly epsilon?: number
  readonly affine?: A
}): Normalization<C, Affine<C, NoInfer<A>>> =>
  normalization("instance", options, (options.affine ?? false) as A)

/**
 * Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450).
 *
 * @since 0.1.0
 * @category constructors
 */
export const layer = <const C extends number, const A extends boolean = true>(options: {
  readonly channels: C
  /** 1e-5 unless told. */
  readonly epsilon?: number
  readonly affine?: A
}): Preserving<Affine<C, NoInfer<A>>> =>
  normalization("layer", options, (options.affine ?? true) as A)

type Factor<C extends number> = {
  readonly weight: Parameter.Parameter<readonly [C], "float32">
}

const factor = <C extends number>(channels: C): Factor<C> => ({
  weight: Parameter.make([channels], Initializer.ones)
})

/**
 * x / √(mean x² + ε) times the weight, along an axis, the last unless told (Zhang and Sennrich 2019, arXiv:1910.07467).
 *
 * @since 0.1.0
 * @category constructors
 */
export const rms = <const C extends number>(options: {
  readonly channels: C
  /** 1e-5 unless told. */
  readonly epsilon?: number
  readonly axis?: number
}): Preserving<Factor<C>> => {
  const { channels, epsilon = 1e-5, axis = -1 } = options
  requireCounts("Norm.rms", { channels })
  requireEpsilon("Norm.rms", epsilon)
  return {
    kind: "RMS norm",
    parameters: factor(channels),
    apply: (values, x) =>
      Tensor.rmsNorm(x, { scale: valueOf("Norm.rms", values, "weight"), epsilon, axis })
  }
}

/**
 * √C · x / ‖x‖ times the weight, over the channels of `[N, C, …]`: root mean square normalisation without an ε, as the attention of
 * denoising-diffusion-pytorch has it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unit = <const C extends number>(options: {
  readonly channels: C
}): Normalization<C, Factor<C>> => {
  const { channels } = options
  requireCounts("Norm.unit", { channels })
  return {
    kind: "unit norm",
    parameters: factor(channels),
    apply: (values, x) => {
      const weight = valueOf("Norm.unit", values, "weight") as Tensor.Tensor<Shape.Shape>
      return Tensor.mul(
        Tensor.l2Normalize(x as Tensor.Tensor, { axis: 1 }),
        overSpace(Tensor.mul(weight, Math.sqrt(channels)), x)
      ) as never
    }
  }
}
