/** Data sets whose items stay where they are, in files or as they were encoded, until they are asked for. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import type * as Scope from "effect/Scope"
import { Shape } from "../../Tensor/index.ts"
import * as Dataset from "../Dataset.ts"
import * as Files from "../Files.ts"
import type { DataError, FileError } from "../PipelineError.ts"
import { dataError } from "./data.ts"
import { fill } from "./reading.ts"

/**
 * - `labels`, `classes`: checked and completed as those of data sets in memory
 * - `write`: writes the items of some numbers one after the other into zeros
 */
export interface Stored {
  readonly name: string
  readonly size: number
  readonly shape: ReadonlyArray<number>
  readonly labels?: ArrayLike<number> | undefined
  readonly classes?: ReadonlyArray<string> | undefined
  readonly fingerprint: string
  readonly write: (
    indices: ReadonlyArray<number>,
    to: Float32Array
  ) => Effect.Effect<void, DataError | FileError>
}

/** A data set of items that are read when they are asked for. Throws `DataError` as `Dataset.fromArrays`. */
export const dataset = ({ name, size, shape, fingerprint, write, ...rest }: Stored) => {
  // what is said of numbers and labels is said once, there
  const numbers = Dataset.fromArrays({ name, shape: [1], bytes: new Uint8Array(size), ...rest })
  return {
    name,
    size,
    shape,
    classes: numbers.classes,
    fingerprint,
    read: Effect.fnUntraced(function* (draws) {
      const { labels } = yield* numbers.read(draws)
      const data = new Float32Array(draws.length * Shape.size(shape))
      yield* write(
        draws.map(({ index }) => index),
        data
      )
      return {
        data: { dtype: "float32", shape: [draws.length, ...shape], data },
        ...(labels && { labels })
      }
    })
  } satisfies Dataset.Dataset as Dataset.Dataset
}

/** A place in a file. */
export interface Range {
  readonly start: number
  readonly length: number
}

/** Reads some bytes at a place of an open file. Fails with `DataError` where the file ends before. */
export type ReadRange = (
  range: Range
) => Effect.Effect<Uint8Array<ArrayBuffer>, DataError | FileError>

/** Opens a file to read places of it, for as long as the scope is open. */
export const open = (
  files: FileSystem.FileSystem,
  path: string
): Effect.Effect<{ readonly size: number; readonly read: ReadRange }, FileError, Scope.Scope> => {
  const failing = <A, R>(effect: Effect.Effect<A, PlatformError, R>) =>
    Effect.mapError(effect, (error) => Files.errorOf("cannot read", path, error))
  return Effect.gen(function* () {
    const file = yield* failing(files.open(path, { flag: "r" }))
    const { size } = yield* failing(file.stat)
    const read: ReadRange = Effect.fnUntraced(function* ({ start, length }) {
      const short = (end: number) =>
        dataError(
          path,
          "format",
          `it ends at byte ${end}, where ${start + length - end} more should be: it is cut short, or was changed meanwhile`
        )
      // nothing is reserved for what cannot be there
      if (start + length > size) return yield* short(Number(size))
      const bytes = new Uint8Array(length)
      const done = yield* failing(fill(file, bytes, start))
      return done === length ? bytes : yield* short(start + done)
    })
    return { size: Number(size), read }
  })
}
