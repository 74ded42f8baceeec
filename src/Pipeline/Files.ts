/**
 * Files that are read whole, and written whole or not at all.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { FileError } from "./PipelineError.ts"

const sentences = {
  missing: "there is no such file or folder",
  denied: "permission denied, or a read-only file system",
  full: "there is no space left on the device; free some, or choose another place",
  kind: "a folder stands where a file is wanted, or a file where a folder is",
  exists: "it is there already"
} as const

/** By the system's own code, which tells more than Effect's tag. */
const reasons: Readonly<Record<string, keyof typeof sentences>> = {
  ENOENT: "missing",
  EACCES: "denied",
  EPERM: "denied",
  EROFS: "denied",
  ENOSPC: "full",
  EDQUOT: "full",
  EISDIR: "kind",
  ENOTDIR: "kind",
  EEXIST: "exists",
  ENOTEMPTY: "exists"
}

/**
 * What a failure of the file system means. `doing` says what was tried, such as `cannot write`.
 *
 * @since 0.1.0
 * @category errors
 */
export const errorOf = (doing: string, path: string, { reason, message }: PlatformError) => {
  const { code } = (reason.cause ?? {}) as { readonly code?: string }
  const known = reasons[code ?? ""] ?? (reason._tag === "NotFound" ? "missing" : undefined)
  return new FileError({
    path,
    reason: known ?? "other",
    message: `${doing} ${path}: ${known === undefined ? message : sentences[known]}`
  })
}

const failing =
  (doing: string, path: string) =>
  <A, R>(effect: Effect.Effect<A, PlatformError, R>) =>
    Effect.mapError(effect, (error) => errorOf(doing, path, error))

/**
 * The bytes of a file.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  return yield* failing("cannot read", path)(files.readFile(path))
})

/**
 * The text of a file, UTF-8.
 *
 * @since 0.1.0
 * @category reading
 */
export const readText = (path: string) =>
  Effect.map(read(path), (bytes) => new TextDecoder().decode(bytes))

/**
 * The names in a folder, sorted.
 *
 * @since 0.1.0
 * @category reading
 */
export const list = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const names = yield* failing("cannot read", path)(files.readDirectory(path))
  return names.toSorted()
})

/**
 * Makes a folder, and those that it lies in.
 *
 * @since 0.1.0
 * @category writing
 */
export const makeFolder = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  yield* failing("cannot make", path)(files.makeDirectory(path, { recursive: true }))
})

/** Bytes into a new file, through to the disk. */
const writeThrough = (path: string, bytes: Uint8Array) =>
  Effect.scoped(
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const file = yield* files.open(path, { flag: "w" })
      yield* file.writeAll(bytes)
      yield* file.sync
    })
  )

/** That a name in a folder outlives a loss of power; not every system can. */
const synced = (folder: string) =>
  Effect.ignore(
    Effect.scoped(
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const handle = yield* files.open(folder, { flag: "r" })
        yield* handle.sync
      })
    )
  )

/**
 * Writes a file: whatever happens, by then there is all of it or what was there before. The folder that it is to lie in is made.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (path: string, content: Uint8Array | string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
  const folder = paths.dirname(path)
  yield* failing(
    "cannot write",
    path
  )(
    Effect.gen(function* () {
      yield* files.makeDirectory(folder, { recursive: true })
      const partial = paths.join(folder, `.${paths.basename(path)}.${process.pid}.part`)
      yield* writeThrough(partial, bytes).pipe(
        Effect.andThen(files.rename(partial, path)),
        Effect.andThen(synced(folder)),
        Effect.onError(() => Effect.ignore(files.remove(partial, { force: true })))
      )
    })
  )
})

/**
 * Writes a folder of files, by their names: whatever happens, by then there is all of it or nothing. There must be nothing at its path.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeFolder = Effect.fnUntraced(function* (
  path: string,
  contents: Readonly<Record<string, Uint8Array>>
) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const folder = paths.dirname(path)
  yield* failing(
    "cannot write",
    path
  )(
    Effect.gen(function* () {
      yield* files.makeDirectory(folder, { recursive: true })
      const partial = paths.join(folder, `.${paths.basename(path)}.${process.pid}.part`)
      yield* Effect.gen(function* () {
        yield* files.remove(partial, { force: true, recursive: true })
        yield* files.makeDirectory(partial)
        for (const [name, bytes] of Object.entries(contents)) {
          yield* writeThrough(paths.join(partial, name), bytes)
        }
        yield* files.rename(partial, path)
        yield* synced(folder)
      }).pipe(
        Effect.onError(() => Effect.ignore(files.remove(partial, { force: true, recursive: true })))
      )
    })
  )
})

/**
 * Removes a folder: it is gone by its name at once, and then bit by bit.
 *
 * @since 0.1.0
 * @category writing
 */
export const removeFolder = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const doomed = paths.join(paths.dirname(path), `.${paths.basename(path)}.${process.pid}.part`)
  yield* failing(
    "cannot remove",
    path
  )(
    Effect.gen(function* () {
      yield* files.remove(doomed, { force: true, recursive: true })
      yield* files.rename(path, doomed)
      yield* files.remove(doomed, { recursive: true })
    })
  )
})

/**
 * Removes what writers left that were killed in the midst of it.
 *
 * @since 0.1.0
 * @category writing
 */
export const sweep = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  for (const name of yield* list(folder)) {
    if (!/^\..*\.\d+\.part$/.test(name)) continue
    const path = paths.join(folder, name)
    yield* failing("cannot remove", path)(files.remove(path, { force: true, recursive: true }))
  }
})

/**
 * Adds to the end of a file, which is made if there is none. This alone may end halfway.
 *
 * @since 0.1.0
 * @category writing
 */
export const append = Effect.fnUntraced(function* (path: string, text: string) {
  const files = yield* FileSystem.FileSystem
  yield* failing("cannot write", path)(files.writeFileString(path, text, { flag: "a" }))
})
