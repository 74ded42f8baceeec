/**
 * What can be wrong with schedules, plans, predictions and samplers.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A schedule, plan, objective or sampler that makes no sense, or does not go with another. Pure code throws it where the value is made.
 *
 * @since 0.1.0
 * @category errors
 */
export class DiffusionError extends Schema.TaggedError<DiffusionError>("odeon/DiffusionError")(
  "DiffusionError",
  {
    /** What refused: `Plan.fromSigmas`, say. */
    what: Schema.String,
    reason: Schema.Literals(["schedule", "plan", "prediction", "sampler", "options"]),
    /** What is wrong, and what would work. */
    message: Schema.String
  }
) {}

/**
 * Throws a {@link DiffusionError} unless a condition holds.
 *
 * @since 0.1.0
 * @category assertions
 */
export const demand = (
  holds: boolean,
  what: string,
  reason: DiffusionError["reason"],
  message: string
): void => {
  if (!holds) throw new DiffusionError({ what, reason, message: `${what}: ${message}` })
}
