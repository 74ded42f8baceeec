/**
 * What can be wrong with parameters and configurations.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Suggestion } from "../Tensor/index.ts"

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

/**
 * For a name that is none of those known: names the one that was perhaps meant, or else all.
 *
 * ```ts
 * // network: there is no "cunet-pubic"; did you mean "cunet-public"?
 * LayerError.unknownName("network", "cunet-pubic", ["unet", "cunet", "cunet-public"])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const unknownName = (
  what: string,
  given: string,
  known: ReadonlyArray<string>,
  /** The field that it is in. */
  path = ""
): ConfigError =>
  new ConfigError({
    what,
    path,
    message: `${what}: ${path === "" ? "" : `${path}: `}there is no "${given}"; ${Suggestion.sentence(given, known)}`
  })

/**
 * The `ConfigError`s that pure code throws, such as a network applied to an image that it does not take, as failures. Whatever else it
 * throws is a defect.
 *
 * @since 0.1.0
 * @category conversions
 */
export const attempt = <A>(build: () => A): Effect.Effect<A, ConfigError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(build())
    } catch (error) {
      if (error instanceof ConfigError) return Effect.fail(error)
      throw error
    }
  })
