/**
 * Dense layers: x Wᵀ + b, with the weight `[out, in]` as published files have it.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import type * as Initializer from "./Initializer.ts"
import { requireCounts } from "./internal/config.ts"
import { valueOf } from "./internal/values.ts"
import { weightAndBias } from "./internal/weight.ts"
import type { Layer } from "./Layer.ts"
import type * as Parameter from "./Parameter.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Parameters<In extends number, Out extends number, B extends boolean> = {
  readonly weight: Parameter.Parameter<readonly [Out, In], "float32">
} & (B extends false ? {} : { readonly bias: Parameter.Parameter<readonly [Out], "float32"> })

/**
 * `[batch, in]` → `[batch, out]`; at run time any number of leading axes. Begins as PyTorch's `Linear` unless told. Throws
 * `ConfigError` for widths that are no whole numbers of at least 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  const In extends number,
  const Out extends number,
  const B extends boolean = true
>(options: {
  readonly in: In
  readonly out: Out
  /** `true` unless told. */
  readonly bias?: B
  readonly initializer?: Initializer.Initializer
  readonly biasInitializer?: Initializer.Initializer
}): Layer<
  Parameters<In, Out, NoInfer<B>>,
  Tensor.Tensor<readonly [number, In]>,
  Tensor.Tensor<readonly [number, Out]>
> => {
  requireCounts("Dense.make", { in: options.in, out: options.out })
  return {
    kind: "dense",
    parameters: weightAndBias([options.out, options.in], options),
    apply: (values, x) => {
      const weight = valueOf("Dense.make", values, "weight")
      const y = Tensor.matmul(
        x as Tensor.Tensor,
        Tensor.matrixTranspose(weight) as Tensor.Tensor
      ) as Tensor.Tensor
      return (
        options.bias === false ? y : Tensor.add(y, valueOf("Dense.make", values, "bias"))
      ) as Tensor.Tensor<readonly [number, Out]>
    }
  }
}
