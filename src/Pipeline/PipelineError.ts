/**
 * What can go wrong around the computation: files, data, checkpoints, training. Each error names the file or the step, what is wrong
 * with it, and what would help.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A file or a folder that cannot be read or written. What was to be written whole is not there in part.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileError extends Schema.TaggedError<FileError>("odeon/FileError")("FileError", {
  path: Schema.String,
  /**
   * - `missing`: there is nothing, or a folder on the way is missing
   * - `denied`: not allowed, or on a file system that cannot be written
   * - `full`: no space left on the device
   * - `kind`: a folder where a file is wanted, or the other way round
   * - `exists`: there is something already
   * - `other`: see the message
   */
  reason: Schema.Literals(["missing", "denied", "full", "kind", "exists", "other"]),
  message: Schema.String
}) {}

/**
 * Data that cannot be used: a source that is none of its kind, or cut short; items of mixed shapes; no items at all; values that are not
 * finite.
 *
 * @since 0.1.0
 * @category errors
 */
export class DataError extends Schema.TaggedError<DataError>("odeon/DataError")("DataError", {
  /** The file, folder, address or data set. */
  source: Schema.String,
  /**
   * - `format`: it is not what it should be, or damaged
   * - `shape`: items have other shapes than the rest, or than what is asked of them
   * - `empty`: there are no items
   * - `value`: values that are not finite, or labels out of range
   * - `options`: what is asked of the data makes no sense, such as a batch larger than the data set
   * - `fetch`: a download failed, or what came is not what was promised
   */
  reason: Schema.Literals(["format", "shape", "empty", "value", "options", "fetch"]),
  message: Schema.String
}) {}

/**
 * A checkpoint that is refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class CheckpointError extends Schema.TaggedError<CheckpointError>("odeon/CheckpointError")(
  "CheckpointError",
  {
    /** The checkpoint's folder, or the folder of checkpoints. */
    path: Schema.String,
    /**
     * - `none`: there is no checkpoint
     * - `corrupt`: a file is missing, cut short or altered
     * - `foreign`: it is no checkpoint of Odeon, or of a version that is not known
     * - `mismatch`: it is of another configuration, or of other data
     */
    reason: Schema.Literals(["none", "corrupt", "foreign", "mismatch"]),
    message: Schema.String
  }
) {}

/**
 * A training that cannot go on.
 *
 * @since 0.1.0
 * @category errors
 */
export class TrainError extends Schema.TaggedError<TrainError>("odeon/TrainError")("TrainError", {
  /**
   * - `options`: what it was told makes no sense, or does not go together
   * - `nonFinite`: the loss or its gradient is not finite
   */
  reason: Schema.Literals(["options", "nonFinite"]),
  /** The step, from 0 on, where it happened. */
  step: Schema.optional(Schema.Number),
  message: Schema.String
}) {}

/**
 * @since 0.1.0
 * @category errors
 */
export type PipelineError = FileError | DataError | CheckpointError | TrainError
