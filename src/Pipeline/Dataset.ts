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
import * as Crypto from "node:crypto"
import type * as Effect from "effect/Effect"
import { type HostRandom, Shape, type Tensor } from "../Tensor/index.ts"
import { attempt, demand } from "./internal/data.ts"
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

/**
 * What all items of a data set say at once, in memory.
 *
 * @since 0.1.0
 * @category models
 */
export type Arrays = {
  /** For people, and the `source` of its errors. */
  readonly name: string
  /** Of one item. */
  readonly shape: ReadonlyArray<number>
  /** The class of each item, from 0 on. */
  readonly labels?: ArrayLike<number> | undefined
  /** The classes' names; their numbers unless told, if there are labels. */
  readonly classes?: ReadonlyArray<string> | undefined
} & (
  | {
      /** All items, one after the other. A byte b stands for b/127.5 − 1, and stays a byte in memory. */
      readonly bytes: Uint8Array
    }
  | {
      /** All items, one after the other: the values themselves. */
      readonly floats: Float32Array
    }
)

/** What a byte stands for. */
const ofByte = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1)

/** A hash of some arrays and of what can be written as JSON. */
const hash = (about: unknown, ...arrays: ReadonlyArray<ArrayBufferView>): string => {
  const all = Crypto.createHash("sha256").update(JSON.stringify(about))
  for (const { buffer, byteOffset, byteLength } of arrays) {
    all.update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return all.digest("hex")
}

/** The names of the classes of some labels, which are checked. */
const classesOf = (
  name: string,
  labels: ArrayLike<number>,
  given: ReadonlyArray<string> | undefined
): ReadonlyArray<string> => {
  let most = -1
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]
    const end = given?.length ?? 2 ** 16
    demand(
      Number.isInteger(label) && label >= 0 && label < end,
      name,
      "value",
      () =>
        `the label of item ${i} is ${label}; labels are whole numbers from 0 to ${end - 1}${
          given === undefined ? "" : `, as there are ${end} classes`
        }`
    )
    most = Math.max(most, label)
  }
  return given ?? Array.from({ length: most + 1 }, (_, i) => `${i}`)
}

/**
 * A data set in memory. The arrays are not copied: leave them as they are from then on. Throws `DataError` where they do not agree, hold
 * no items, or values that are not finite.
 *
 * ```ts
 * const squares = Dataset.fromArrays({ name: "squares", shape: [1, 28, 28], bytes, labels })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromArrays = (arrays: Arrays): Dataset => {
  const { name, shape } = arrays
  const given = "bytes" in arrays ? arrays.bytes : arrays.floats
  demand(
    shape.every((size) => Number.isInteger(size) && size > 0),
    name,
    "shape",
    () => `an item's sizes must be whole numbers above 0, not [${shape}]`
  )
  const each = Shape.size(shape)
  demand(given.length > 0, name, "empty", () => "there are no items")
  demand(
    given.length % each === 0,
    name,
    "shape",
    () => `${given.length} values are no whole number of items of [${shape}], ${each} values each`
  )
  const size = given.length / each
  demand(
    arrays.labels === undefined || arrays.labels.length === size,
    name,
    "shape",
    () => `there are ${arrays.labels?.length} labels for ${size} items`
  )
  demand(
    arrays.labels !== undefined || arrays.classes === undefined,
    name,
    "options",
    () => "there are classes but no labels: give the class of each item, or leave out the classes"
  )
  const classes = arrays.labels && classesOf(name, arrays.labels, arrays.classes)
  const labels = arrays.labels && Int32Array.from(arrays.labels)
  const odd = given instanceof Float32Array ? given.findIndex((x) => !Number.isFinite(x)) : -1
  demand(
    odd < 0,
    name,
    "value",
    () => `item ${Math.floor(odd / each)} has the value ${given[odd]}; leave such items out`
  )
  const copy =
    given instanceof Float32Array
      ? (to: Float32Array, at: number, from: number) => {
          to.set(given.subarray(from, from + each), at)
        }
      : (to: Float32Array, at: number, from: number) => {
          for (let i = 0; i < each; i++) to[at + i] = ofByte[given[from + i]]
        }
  return {
    name,
    size,
    shape,
    classes,
    fingerprint: hash(
      { shape, classes, kind: given.BYTES_PER_ELEMENT },
      given,
      ...(labels ? [labels] : [])
    ),
    read: (draws) =>
      attempt(() => {
        const data = new Float32Array(draws.length * each)
        draws.forEach(({ index }, i) => {
          copy(data, i * each, checked(name, size, index) * each)
        })
        return itemsOf(shape, data, labels && Int32Array.from(draws, ({ index }) => labels[index]))
      })
  }
}

/** An item's number, if there is such an item. */
const checked = (name: string, size: number, index: number): number => {
  demand(
    Number.isInteger(index) && index >= 0 && index < size,
    name,
    "options",
    () => `there is no item ${index}; they count from 0 to ${size - 1}`
  )
  return index
}

const itemsOf = (
  shape: ReadonlyArray<number>,
  data: Float32Array,
  labels: Int32Array | undefined
): Items => {
  const count = data.length / Shape.size(shape)
  return {
    data: { dtype: "float32", shape: [count, ...shape], data },
    ...(labels && { labels: { dtype: "int32", shape: [count] as const, data: labels } })
  }
}
