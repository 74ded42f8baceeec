/** Reading from open files. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"

/** How many bytes are read or written at once; Node refuses 2 GiB. */
export const piece = 2 ** 30

/** Fills bytes with those of a file from a place on; gives how many there were before the file's end. */
export const fill = Effect.fnUntraced(function* (
  file: FileSystem.File,
  bytes: Uint8Array,
  start = 0
): Effect.fn.Return<number, PlatformError> {
  let done = 0
  while (done < bytes.length) {
    const position = BigInt(start + done)
    const got = Number(yield* file.read(bytes.subarray(done, done + piece), { position }))
    if (got === 0) break
    done += got
  }
  return done
})
