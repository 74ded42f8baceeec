/**
 * A law that something does not keep.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category errors
 */
export class LawError extends Schema.TaggedError<LawError>("odeon/LawError")("LawError", {
  law: Schema.String,
  /** The name of what does not keep it. */
  subject: Schema.String,
  /** For what it does not hold, and what came of it instead. */
  counterexample: Schema.String,
  /** Said to the law again, this shows the counterexample first. */
  seed: Schema.Number,
  message: Schema.String
}) {}
