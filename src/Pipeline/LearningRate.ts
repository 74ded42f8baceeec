/**
 * Learning rates over the updates of a training: pure functions on the host.
 *
 * @since 0.1.0
 */
import { requireAll } from "./internal/config.ts"

/**
 * The rate of an update, counted from 0 on.
 *
 * @since 0.1.0
 * @category models
 */
export type LearningRate = (update: number) => number

/**
 * The same rate throughout. Throws `TrainError` for a rate that is no number of at least 0, as do all makers here.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant = (rate: number): LearningRate => {
  requireAll("LearningRate.constant", "natural", { rate })
  return () => rate
}
