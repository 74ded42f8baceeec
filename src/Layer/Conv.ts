/**
 * Convolutions in one, two and three dimensions, on `[batch, channels, …spatial]`. Kernels are `[out, in / groups, …]`, those of
 * transposed convolutions `[in, out / groups, …]`, as published files have them.
 *
 * @since 0.1.0
 */
import { type Shape, Tensor } from "../Tensor/index.ts"
import type * as Initializer from "./Initializer.ts"
import { demand, requireCounts, requirePadding } from "./internal/config.ts"
import { overSpace, spread } from "./internal/features.ts"
import { valueOf } from "./internal/values.ts"
import { weightAndBias } from "./internal/weight.ts"
import type { Features, Layer } from "./Layer.ts"
import { ConfigError } from "./LayerError.ts"
import type * as Parameter from "./Parameter.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Parameters<Out extends number, B extends boolean> = {
  readonly weight: Parameter.Parameter<Shape.Shape, "float32">
} & (B extends false ? {} : { readonly bias: Parameter.Parameter<readonly [Out], "float32"> })

/**
 * @since 0.1.0
 * @category models
 */
export interface Common<
  In extends number,
  Out extends number,
  Dims extends number,
  B extends boolean
> {
  readonly in: In
  readonly out: Out
  /** Of all spatial axes, or of each. */
  readonly kernel: number | ReadonlyArray<number>
  /** How many spatial axes there are; 2 unless told. */
  readonly dimensions?: Dims
  readonly stride?: number | ReadonlyArray<number>
  readonly dilation?: number | ReadonlyArray<number>
  readonly groups?: number
  /** `true` unless told. */
  readonly bias?: B
  readonly initializer?: Initializer.Initializer
  readonly biasInitializer?: Initializer.Initializer
}

const withBias = (what: string, y: Tensor.Any, values: unknown, bias?: boolean): never =>
  (bias === false
    ? y
    : Tensor.add(y as Tensor.Tensor, overSpace(valueOf(what, values, "bias"), y))) as never

/** Throws a `ConfigError` for groups and sizes that make no kernel, and for padding that is none. */
const checked = (
  what: string,
  options: Common<number, number, number, boolean> & {
    readonly padding?: Tensor.ConvOptions["padding"]
  }
): void => {
  const { padding = 0 } = options
  if (typeof padding !== "string") requirePadding(what, [padding].flat(2))
  const { groups = 1, dimensions = 2 } = options
  requireCounts(what, { in: options.in, out: options.out, groups })
  demand([1, 2, 3].includes(dimensions), what, "dimensions", `must be 1, 2 or 3, not ${dimensions}`)
  const refuse = (path: string, message: string) => {
    throw new ConfigError({ what, path, message: `${what}: ${message}` })
  }
  for (const path of ["in", "out"] as const) {
    const channels = options[path]
    if (!Number.isInteger(channels / groups)) {
      refuse("groups", `${channels} channels (\`${path}\`) do not divide into ${groups} groups`)
    }
  }
  for (const path of ["kernel", "stride", "dilation"] as const) {
    const sizes = options[path]
    if (typeof sizes === "object" && sizes.length !== dimensions) {
      refuse(
        path,
        `\`${path}\` has ${sizes.length} entries for ${dimensions} spatial axes (\`dimensions\`)`
      )
    }
    for (const size of spread(sizes ?? 1, dimensions)) requireCounts(what, { [path]: size })
  }
}

/**
 * A convolution, `[N, in, …]` → `[N, out, …]` (see `Tensor.conv`). Unless told, (kernel − 1)·dilation / 2 is padded on all sides:
 * with odd kernels and no stride the spatial sizes stay. Begins as PyTorch's `Conv` unless told.
 *
 * Throws `ConfigError` where the channels do not divide by the groups, or sizes are not those of so many axes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2,
  const B extends boolean = true
>(
  options: Common<In, Out, Dims, B> & { readonly padding?: Tensor.ConvOptions["padding"] }
): Layer<
  Parameters<Out, NoInfer<B>>,
  Features<In, NoInfer<Dims>>,
  Features<Out, NoInfer<Dims>>
> => {
  checked("Conv.make", options)
  const { groups = 1, stride = 1, dimensions = 2 } = options
  const kernel = spread(options.kernel, dimensions)
  const dilation = spread(options.dilation ?? 1, dimensions)
  const padding =
    options.padding ??
    kernel.map((size, i): readonly [number, number] => {
      const total = (size - 1) * dilation[i]
      return [Math.floor(total / 2), Math.ceil(total / 2)]
    })
  return {
    kind: `conv ${kernel.join("×")}`,
    parameters: weightAndBias([options.out, options.in / groups, ...kernel], options),
    apply: (values, x) => {
      const weight = valueOf("Conv.make", values, "weight")
      const y = Tensor.conv(x as Tensor.Tensor, weight, { padding, stride, dilation, groups })
      return withBias("Conv.make", y, values, options.bias)
    }
  }
}

/**
 * A transposed convolution, `[N, in, …]` → `[N, out, …]` (see `Tensor.convTranspose`), with no padding unless told. Begins as
 * PyTorch's `ConvTranspose` unless told.
 *
 * Throws `ConfigError` where the channels do not divide by the groups, or sizes are not those of so many axes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const transposed = <
  const In extends number,
  const Out extends number,
  const Dims extends number = 2,
  const B extends boolean = true
>(
  options: Common<In, Out, Dims, B> & Pick<Tensor.ConvTransposeOptions, "padding" | "outputPadding">
): Layer<
  Parameters<Out, NoInfer<B>>,
  Features<In, NoInfer<Dims>>,
  Features<Out, NoInfer<Dims>>
> => {
  checked("Conv.transposed", options)
  const { groups = 1, stride = 1, dilation = 1, padding = 0, outputPadding = 0 } = options
  const kernel = spread(options.kernel, options.dimensions ?? 2)
  return {
    kind: `transposed conv ${kernel.join("×")}`,
    parameters: weightAndBias([options.in, options.out / groups, ...kernel], options),
    apply: (values, x) => {
      const weight = valueOf("Conv.transposed", values, "weight")
      const window = { padding, stride, dilation, groups, outputPadding }
      const y = Tensor.convTranspose(x as Tensor.Tensor, weight, window)
      return withBias("Conv.transposed", y, values, options.bias)
    }
  }
}
