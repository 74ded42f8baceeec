/**
 * What can go wrong while integrating: always with the time reached, the last good state, what it cost, and what to do.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What an integration cost.
 *
 * @since 0.1.0
 * @category models
 */
export const Statistics = Schema.Struct({
  /** Steps tried, accepted or not. */
  steps: Schema.Number,
  accepted: Schema.Number,
  rejected: Schema.Number,
  /** Evaluations of the right-hand side. */
  evaluations: Schema.Number
})

/**
 * @since 0.1.0
 * @category models
 */
export type Statistics = typeof Statistics.Type

/**
 * Why an integration ended early:
 *
 * - `MaximumSteps`: the bound on the number of steps was reached
 * - `MinimumStep`: the error asks for a step smaller than the smallest allowed
 * - `NonFinite`: the state or a derivative became NaN or infinite; `stage` says at which evaluation of the step
 * - `Diverged`: Newton's method did not converge, at the smallest step
 *
 * @since 0.1.0
 * @category errors
 */
export class SolverError extends Schema.TaggedError<SolverError>("odeon/SolverError")(
  "SolverError",
  {
    reason: Schema.Literals(["MaximumSteps", "MinimumStep", "NonFinite", "Diverged"]),
    method: Schema.String,
    /** The time reached. */
    time: Schema.Number,
    /** The last state that was accepted. */
    state: Schema.Unknown,
    statistics: Statistics,
    stage: Schema.optionalKey(Schema.Number),
    /** What happened, and what would help. */
    message: Schema.String
  }
) {}

/**
 * A problem or method that makes no sense: tolerances that are not positive, times out of order, a tableau that does not
 * satisfy its order conditions. Thrown where it is built.
 *
 * @since 0.1.0
 * @category errors
 */
export class ProblemError extends Schema.TaggedError<ProblemError>("odeon/ProblemError")(
  "ProblemError",
  {
    what: Schema.String,
    message: Schema.String
  }
) {}
