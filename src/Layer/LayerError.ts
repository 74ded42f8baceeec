/**
 * What can be wrong with parameters and configurations.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Parameters that do not belong to a layer: a tensor of a file that is missing, unexpected, of another shape or dtype; a file that
 * is none; an initialiser that does not fit.
 *
 * @since 0.1.0
 * @category errors
 */
export class ParameterError extends Schema.TaggedError<ParameterError>("odeon/ParameterError")(
  "ParameterError",
  {
    /** The parameter's path, such as `down.0.conv1.weight`; empty if it is about the whole. */
    path: Schema.String,
    reason: Schema.Literals(["missing", "unexpected", "shape", "dtype", "format", "initializer"]),
    /** What is wrong, and what would work. */
    message: Schema.String
  }
) {}

/**
 * A configuration that makes no network.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConfigError extends Schema.TaggedError<ConfigError>("odeon/ConfigError")(
  "ConfigError",
  {
    /** The network or layer. */
    what: Schema.String,
    /** The field, such as `attention.2`; empty if it is about the whole. */
    path: Schema.String,
    /** What is wrong, and what would work. */
    message: Schema.String
  }
) {}
