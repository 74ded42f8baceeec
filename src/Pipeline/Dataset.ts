/**
 * Data sets: items by their numbers, and the stream of batches that a training sees.
 *
 * A data set answers for single items, `read`; which of them make a batch is a pure function of the seed and the batch's number, so a
 * training that goes on at step n sees what it would have seen. Epochs follow each other without a gap, each in an order of its own:
 * position p = step·batch + i of the stream is item π_e(p mod size) of epoch e = ⌊p/size⌋.
 *
 * Images have values between −1 and 1 and channels first, `[channels, height, width]`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { HostRandom, Tensor } from "../Tensor/index.ts"
import type { DataError, FileError } from "./PipelineError.ts"

/**
 * An item asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draw {
  /** Which item, from 0 on. */
  readonly index: number
  /** Of whatever is random about it, this time: augmentation. */
  readonly key: HostRandom.Key
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Items {
  /** `[items, …shape]` */
  readonly data: Tensor.HostArray<ReadonlyArray<number>, "float32">
  /** `[items]`: the class of each, from 0 on; of a data set that has classes. */
  readonly labels?: Tensor.HostArray<readonly [number], "int32">
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Dataset {
  /** For people. */
  readonly name: string
  /** How many items; infinite if there is no end. */
  readonly size: number
  /** Of one item. */
  readonly shape: ReadonlyArray<number>
  /** The classes' names, or `undefined` where items have none. */
  readonly classes: ReadonlyArray<string> | undefined
  /** The same for the same items in the same order: what a resumed training holds its data to. */
  readonly fingerprint: string
  readonly read: (draws: ReadonlyArray<Draw>) => Effect.Effect<Items, DataError | FileError>
}
