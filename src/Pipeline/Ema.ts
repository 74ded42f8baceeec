/**
 * Averages of the weights that a training goes through: a ← β·a + (1 − β)·w after every update.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import { requireAll } from "./internal/config.ts"
import type { Numbers } from "./Optimizer.ts"

/**
 * How an average forgets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ema {
  readonly name: string
  /** The weight β of the old average at an update, counted from 0 on. */
  readonly decay: (update: number) => number
}

/**
 * The average after an update: β·average + (1 − β)·parameters, as average + (1 − β)·(parameters − average). `beta` is a scalar, float32,
 * or a number.
 *
 * @since 0.1.0
 * @category combinators
 */
export const update = (
  average: Numbers,
  parameters: Numbers,
  beta: Tensor.Tensor<readonly []> | number
): Numbers => {
  const weight = typeof beta === "number" ? Tensor.scalar(1 - beta) : Tensor.sub(1, beta)
  return Object.fromEntries(
    Object.entries(average).map(([path, old]): [string, Tensor.Tensor] => {
      const way = Tensor.sub(parameters[path], old)
      return [path, Tensor.add(old, Tensor.mul(way, weight))]
    })
  )
}

/**
 * The same β throughout, 0.9999 unless told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant = (beta = 0.9999): Ema => {
  requireAll("Ema.constant", "weight", { beta })
  return { name: "constant", decay: () => beta }
}
