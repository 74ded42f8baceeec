/**
 * Embeddings of classes and of times.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import * as Activation from "./Activation.ts"
import * as Dense from "./Dense.ts"
import * as Initializer from "./Initializer.ts"
import { demand, requireCounts } from "./internal/config.ts"
import { floatOf } from "./internal/features.ts"
import { valueOf } from "./internal/values.ts"
import * as Layer from "./Layer.ts"
import { ConfigError } from "./LayerError.ts"
import * as Parameter from "./Parameter.ts"

/**
 * A learned vector for each class: whole numbers `[batch]` → `[batch, width]`. A number out of range is a `DeviceError` when
 * the program runs. Begins as PyTorch's `Embedding`, normal, unless told. Throws `ConfigError` for numbers of classes and widths that
 * are no whole numbers of at least 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const N extends number, const W extends number>(options: {
  readonly classes: N
  readonly width: W
  readonly initializer?: Initializer.Initializer
}): Layer.Layer<
  { readonly weight: Parameter.Parameter<readonly [N, W], "float32"> },
  Tensor.Tensor<readonly [number], "int32">,
  Tensor.Tensor<readonly [number, W]>
> => {
  const { classes, width, initializer = Initializer.normal() } = options
  requireCounts("Embedding.make", { classes, width })
  return {
    kind: "embedding",
    parameters: { weight: Parameter.make([classes, width], initializer) },
    apply: (values, labels) =>
      Tensor.take(valueOf("Embedding.make", values, "weight"), labels) as Tensor.Tensor<
        readonly [number, W]
      >
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SinusoidOptions<W extends number> {
  readonly width: W
  /** The longest wavelength over 2π; 10,000 unless told. */
  readonly period?: number
  /** Taken from half the width in the exponent's denominator: 1 for diffusers' `freq_shift` of 1 and in most code; 0 unless told. */
  readonly shift?: number
  /** Cosines before sines, as diffusers' `flip_sin_to_cos`; `false` unless told. */
  readonly cosineFirst?: boolean
}

/**
 * Sinusoids of a time, `[batch]` → `[batch, width]` (Vaswani et al. 2017, arXiv:1706.03762, section 3.5):
 *
 *     sin(ωᵢt), cos(ωᵢt),  ωᵢ = period^(−i / (width/2 − shift)),  i = 0 … width/2 − 1,
 *
 * all sines first, and a zero at the end where the width is odd. Times are in units of training steps, 0 to 1,000 or so.
 *
 * Throws `ConfigError` where nothing is left of the exponent's denominator, and for widths and periods that make no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sinusoid = <const W extends number>(
  options: SinusoidOptions<W>
): Layer.Layer<{}, Tensor.Tensor<readonly [number]>, Tensor.Tensor<readonly [number, W]>> => {
  const { width, period = 10000, shift = 0, cosineFirst = false } = options
  requireCounts("Embedding.sinusoid", { width })
  demand(
    period > 0 && period < Number.POSITIVE_INFINITY,
    "Embedding.sinusoid",
    "period",
    `must be a number above 0, such as 10000, not ${period}`
  )
  const half = Math.floor(width / 2)
  if (!(half > shift)) {
    throw new ConfigError({
      what: "Embedding.sinusoid",
      path: "width",
      message: `Embedding.sinusoid: the width ${width} must be more than twice the shift ${shift}, and at least 2`
    })
  }
  return Layer.of(
    (time) => {
      const dtype = floatOf(time)
      // rounded where PyTorch rounds: what a network has learnt of a time hangs on the last bits of its angle
      const round = dtype === "float64" ? (value: number) => value : Math.fround
      const frequencies = Array.from({ length: half }, (_, i) =>
        Math.exp(round(round(round(-Math.log(period)) * i) / (half - shift)))
      )
      const angles = anglesOf(time, Tensor.constant(frequencies, { dtype }))
      const waves = cosineFirst
        ? [Tensor.cos(angles), Tensor.sin(angles)]
        : [Tensor.sin(angles), Tensor.cos(angles)]
      const rest = width - 2 * half
      const zeros = Tensor.zeros([time.shape[0], rest], dtype) as Tensor.Tensor
      return Tensor.concat(rest === 0 ? waves : [...waves, zeros], { axis: 1 }) as Tensor.Tensor<
        readonly [number, W]
      >
    },
    { kind: "sinusoids" }
  )
}

/** `[batch]` by `[n]`. */
const anglesOf = (time: Tensor.Any, frequencies: Tensor.Any): Tensor.Tensor =>
  Tensor.mul(
    Tensor.reshape(time, [time.shape[0], 1]) as Tensor.Tensor,
    Tensor.reshape(frequencies, [1, frequencies.shape[0]]) as Tensor.Tensor
  ) as Tensor.Tensor

/**
 * Random Fourier features of a time, `[batch]` → `[batch, width]`: sines and cosines of 2πωᵢt with ωᵢ normal of deviation `scale`,
 * 16 unless told, fixed when the network is made (Tancik et al. 2020, arXiv:2006.10739; Song et al. 2021, arXiv:2011.13456). For
 * times of the size of 1, or logarithms of noise levels. Throws `ConfigError` for odd widths.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fourier = <const W extends number>(options: {
  readonly width: W
  readonly scale?: number
}): Layer.Layer<
  { readonly weight: Parameter.Parameter<readonly [number], "float32"> },
  Tensor.Tensor<readonly [number]>,
  Tensor.Tensor<readonly [number, W]>
> => {
  const { width, scale = 16 } = options
  if (!(width > 0 && width % 2 === 0)) {
    throw new ConfigError({
      what: "Embedding.fourier",
      path: "width",
      message: `Embedding.fourier: the width ${width} must be even: half are sines, half cosines`
    })
  }
  return {
    kind: "Fourier features",
    parameters: {
      weight: Parameter.buffer([width / 2], Initializer.normal({ deviation: scale }))
    },
    apply: (values, time) => {
      const weight = valueOf("Embedding.fourier", values, "weight")
      const angles = Tensor.mul(anglesOf(time, weight), 2 * Math.PI)
      return Tensor.concat([Tensor.sin(angles), Tensor.cos(angles)], { axis: 1 }) as Tensor.Tensor<
        readonly [number, W]
      >
    }
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export type MlpParameters<In extends number, Out extends number> = {
  readonly linear_1: Dense.Parameters<In, Out, true>
  readonly linear_2: Dense.Parameters<Out, Out, true>
}

/**
 * What follows a sinusoid: dense, activation, dense (Ho et al. 2020, arXiv:2006.11239). SiLU unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mlp = <const In extends number, const Out extends number>(options: {
  readonly in: In
  readonly out: Out
  readonly activation?: Activation.Name
}): Layer.Layer<
  MlpParameters<In, Out>,
  Tensor.Tensor<readonly [number, In]>,
  Tensor.Tensor<readonly [number, Out]>
> => {
  const activate = Activation.named(options.activation ?? "silu")
  return Layer.make(
    {
      linear_1: Dense.make({ in: options.in, out: options.out }),
      linear_2: Dense.make({ in: options.out, out: options.out })
    },
    ({ linear_1, linear_2 }, x: Tensor.Tensor<readonly [number, In]>) =>
      linear_2(activate(linear_1(x))),
    { kind: "dense, twice" }
  ) as never
}
