/**
 * Dropout (Srivastava et al. 2014), keyed.
 *
 * @since 0.1.0
 */
import { Random, Tensor } from "../Tensor/index.ts"
import { floatOf } from "./internal/features.ts"
import type { Preserving } from "./Layer.ts"
import { ConfigError } from "./LayerError.ts"

/**
 * Zeroes each element with probability `rate` and divides the others by 1 − rate, where the context has a key: a network that is
 * applied without one is not changed. What an item of the batch loses does not depend on the others. Throws `ConfigError` for
 * rates outside of [0, 1).
 *
 * ```ts
 * const training = network.apply(weights, x, condition, { key: Random.foldIn(key, step) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: { readonly rate: number }): Preserving<{}> => {
  const { rate } = options
  if (!(rate >= 0 && rate < 1)) {
    throw new ConfigError({
      what: "Dropout.make",
      path: "rate",
      message: `Dropout.make: the rate ${rate} must be at least 0 and below 1`
    })
  }
  return {
    kind: "dropout",
    parameters: {},
    apply: (_, x, ...[, context]) => {
      if (rate === 0 || context?.key === undefined) return x
      const [batch, ...rest] = x.shape
      const keys = Random.foldIn(context.key, Tensor.arange(batch) as never)
      const keep = Tensor.cast(Random.bernoulli(keys as never, rest, 1 - rate), floatOf(x))
      const kept = Tensor.mul(x as Tensor.Tensor, keep as Tensor.Tensor)
      return Tensor.div(kept, 1 - rate) as never
    }
  }
}
