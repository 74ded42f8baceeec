/**
 * What can go wrong where something really happens. Every message says what was being done, with
 * which shapes, and what to do about it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A failure while moving data or running a program:
 *
 * - `Mismatch`: an array or buffer of another shape or dtype than the program takes
 * - `Released`: a buffer used after its scope was closed, or after it was released
 * - `Foreign`: a buffer of another device
 * - `Memory`: more bytes asked for than the device has
 * - `NotFinite`: a value became NaN or infinite, in a program compiled with a check; `operation` names where
 * - `Failed`: the runtime refused; `cause` is what it said
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceError extends Schema.TaggedError<DeviceError>("odeon/DeviceError")(
  "DeviceError",
  {
    reason: Schema.Literals(["Mismatch", "Released", "Foreign", "Memory", "NotFinite", "Failed"]),
    device: Schema.String,
    operation: Schema.String,
    shapes: Schema.Array(Schema.Array(Schema.Number)),
    message: Schema.String,
    cause: Schema.optionalKey(Schema.Defect())
  }
) {}

/**
 * A program that a device cannot take:
 *
 * - `Mismatch`: a step that gives another state than it takes
 * - `Unsupported`: an operation or dtype that it has no kernel for
 * - `Memory`: it would need more bytes than the device has
 * - `Corrupt`: a model file that is damaged, or none at all
 * - `Failed`: the runtime refused; `cause` is what it said
 *
 * @since 0.1.0
 * @category errors
 */
export class CompileError extends Schema.TaggedError<CompileError>("odeon/CompileError")(
  "CompileError",
  {
    reason: Schema.Literals(["Mismatch", "Unsupported", "Memory", "Corrupt", "Failed"]),
    device: Schema.String,
    program: Schema.String,
    message: Schema.String,
    cause: Schema.optionalKey(Schema.Defect())
  }
) {}

/**
 * A device that is not there, or that nobody knows: the message says what to install or which names there are.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeviceUnavailable extends Schema.TaggedError<DeviceUnavailable>(
  "odeon/DeviceUnavailable"
)("DeviceUnavailable", {
  device: Schema.String,
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}
