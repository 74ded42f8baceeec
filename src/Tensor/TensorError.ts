/**
 * What can be wrong with an expression.
 *
 * Pure code throws these where the expression is built; `Program.make` turns them into a typed
 * failure.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Shapes that do not fit, or an axis, size or attribute out of range.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShapeError extends Schema.TaggedError<ShapeError>("odeon/ShapeError")("ShapeError", {
  /** The operation that refused. */
  operation: Schema.String,
  /** The shapes it was given. */
  shapes: Schema.Array(Schema.Array(Schema.Number)),
  /** What is wrong, and what would work. */
  message: Schema.String
}) {}

/**
 * Dtypes that do not fit: operands of different dtypes, or a dtype the operation is not defined for.
 *
 * @since 0.1.0
 * @category errors
 */
export class DTypeError extends Schema.TaggedError<DTypeError>("odeon/DTypeError")("DTypeError", {
  operation: Schema.String,
  dtypes: Schema.Array(Schema.String),
  message: Schema.String
}) {}

/**
 * A derivative that does not exist (of an integer, or through a `whileLoop`), or a request or a rule of one whose
 * shapes do not fit.
 *
 * @since 0.1.0
 * @category errors
 */
export class GradientError extends Schema.TaggedError<GradientError>("odeon/GradientError")(
  "GradientError",
  {
    operation: Schema.String,
    message: Schema.String
  }
) {}

/**
 * Everything that building an expression can throw.
 *
 * @since 0.1.0
 * @category errors
 */
export type TensorError = ShapeError | DTypeError | GradientError

/**
 * @since 0.1.0
 * @category guards
 */
export const isTensorError = (u: unknown): u is TensorError =>
  u instanceof ShapeError || u instanceof DTypeError || u instanceof GradientError
