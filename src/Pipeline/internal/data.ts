/** What readers of data share. */
import * as Crypto from "node:crypto"
import { Shape } from "../../Tensor/index.ts"
import type { Items } from "../Dataset.ts"
import { DataError } from "../PipelineError.ts"
import { attempting } from "./attempting.ts"

/** An error that begins with what it is about. */
export const dataError = (source: string, reason: DataError["reason"], message: string) =>
  new DataError({ source, reason, message: `${source}: ${message}` })

/** Throws a `DataError` unless a condition holds. */
export const demand = (
  holds: boolean,
  source: string,
  reason: DataError["reason"],
  /** Made where it is needed only. */
  message: () => string
): void => {
  if (!holds) throw dataError(source, reason, message())
}

/** Throws a `DataError` unless a number is a whole one, and no less than the least. */
export const demandWhole = (source: string, name: string, value: number, least: number): void =>
  demand(
    Number.isSafeInteger(value) && value >= least,
    source,
    "options",
    () => `${name} must be a whole number of at least ${least}, not ${value}`
  )

/** The `DataError`s that pure code throws, as failures. Whatever else it throws is a defect. */
export const attempt = attempting((error): error is DataError => error instanceof DataError)

/** What a byte stands for. */
export const ofByte = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1)

/** Writes what bytes stand for, from a place on. */
export const writeBytes = (bytes: Uint8Array, to: Float32Array, at: number): void => {
  for (let i = 0; i < bytes.length; i++) to[at + i] = ofByte[bytes[i]]
}

/** A hash of some arrays and of what can be written as JSON. */
export const hash = (about: unknown, ...arrays: ReadonlyArray<ArrayBufferView>): string => {
  const all = Crypto.createHash("sha256").update(JSON.stringify(about))
  for (const { buffer, byteOffset, byteLength } of arrays) {
    all.update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return all.digest("hex")
}

/** An item's number, if there is such an item. */
export const checked = (name: string, size: number, index: number): number => {
  demand(
    Number.isInteger(index) && index >= 0 && index < size,
    name,
    "options",
    () => `there is no item ${index}; they count from 0 to ${size - 1}`
  )
  return index
}

/** The names of the classes of some labels, which are checked; their numbers unless given. */
export const classesOf = (
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

/** How many items there may be at most. Throws for a number that is none. */
export const limitOf = (source: string, limit = Number.POSITIVE_INFINITY): number => {
  demand(
    limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit > 0),
    source,
    "options",
    () => `the limit must be a whole number of at least 1, not ${limit}`
  )
  return limit
}

/** Items of their values. */
export const itemsOf = (
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
