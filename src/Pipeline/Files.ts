/**
 * Files that are read whole, and written whole or not at all.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { fill, piece } from "./internal/reading.ts"
import { FileError } from "./PipelineError.ts"

type Reason = readonly [reason: FileError["reason"], sentence: string]

const missing: Reason = ["missing", "there is no such file or folder"]
const denied: Reason = ["denied", "permission denied, or a read-only file system"]
const full: Reason = [
  "full",
  "there is no space left on the device; free some, or choose another place"
]
const exists: Reason = ["exists", "it is there already"]

/** By the system's own code, which tells more than Effect's tag. */
const reasons: Readonly<Record<string, Reason>> = {
  ENOENT: missing,
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  ENOSPC: full,
  EDQUOT: full,
  EISDIR: ["kind", "it is a folder"],
  ENOTDIR: ["kind", "it is no folder, or lies in what is none"],
  EEXIST: exists,
  ENOTEMPTY: exists
}

/**
 * What a failure of the file system means. `doing` says what was tried, such as `cannot write`.
 *
 * @since 0.1.0
 * @category errors
 */
export const errorOf = (doing: string, path: string, { reason, message }: PlatformError) => {
  const cause = (reason.cause ?? {}) as { readonly code?: string; readonly message?: string }
  const found = reasons[cause.code ?? ""] ?? (reason._tag === "NotFound" ? missing : undefined)
  return refused(doing, path, ...(found ?? (["other", cause.message ?? message] as const)))
}

const refused = (doing: string, path: string, reason: FileError["reason"], why: string) =>
  new FileError({ path, reason, message: `${doing} ${path === "" ? '""' : path}: ${why}` })

const failing =
  (doing: string, path: string) =>
  <A, R>(effect: Effect.Effect<A, PlatformError | FileError, R>) =>
    Effect.mapError(effect, (error) =>
      error._tag === "FileError" ? error : errorOf(doing, path, error)
    )

const codeOf = ({ reason }: PlatformError): string | undefined =>
  (reason.cause as { readonly code?: string } | undefined)?.code

/** The bytes of a file that is too large to be read at once. */
const readLarge = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.open(path)
  const { size } = yield* file.stat
  const bytes = new Uint8Array(Number(size))
  return bytes.subarray(0, yield* fill(file, bytes))
}, Effect.scoped)

/**
 * The bytes of a file, which may be larger than 2 GiB.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  return yield* files.readFile(path).pipe(
    Effect.catchIf(
      (error) => codeOf(error) === "ERR_FS_FILE_TOO_LARGE",
      () => readLarge(path)
    ),
    failing("cannot read", path)
  )
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

/** Whether what failed did so because there is nothing, not even a folder where it should be in. */
const isNothing = (error: PlatformError): boolean =>
  error.reason._tag === "NotFound" || codeOf(error) === "ENOTDIR"

/** What stands at a path, or where a link there leads; nothing if there is nothing. */
const typeAt = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  return yield* files.stat(path).pipe(
    Effect.map(({ type }): FileSystem.File.Type | undefined => type),
    Effect.catchIf(isNothing, () => Effect.undefined)
  )
})

/** Of a folder and those that it lies in, the nearest that is there, and those that are not, the outermost first. */
const nearest = Effect.fnUntraced(function* (doing: string, path: string, folder: string) {
  const paths = yield* Path.Path
  const missing: Array<string> = []
  for (let at = folder; ; ) {
    const type = yield* typeAt(at)
    if (type === "Directory") return { at, missing: missing.toReversed() }
    if (type !== undefined) return yield* refused(doing, path, "kind", `${at} is no folder`)
    const parent = paths.dirname(at)
    if (parent === at) return yield* refused(doing, path, "missing", `there is no ${at}`)
    missing.push(at)
    at = parent
  }
})

/**
 * Makes a folder, for what is to be at a path, and those that it lies in. One after the other: Node's own way to make all of them never
 * ends where the system says of a folder that is there that it is not, as in /proc.
 */
const ensure = Effect.fnUntraced(function* (doing: string, path: string, folder: string) {
  const files = yield* FileSystem.FileSystem
  const { missing } = yield* nearest(doing, path, folder)
  for (const each of missing) {
    const made = yield* Effect.result(files.makeDirectory(each))
    // another may have made it meanwhile
    if (made._tag === "Success" || (yield* typeAt(each)) === "Directory") continue
    return yield* made.failure.reason._tag === "NotFound"
      ? refused(doing, path, "denied", `no folder can be made at ${each}`)
      : made.failure
  }
})

const notEmpty = (doing: string, path: string) =>
  path === "" ? refused(doing, path, "missing", "a path is wanted") : Effect.void

/**
 * Makes a folder, and those that it lies in.
 *
 * @since 0.1.0
 * @category writing
 */
export const makeFolder = (path: string) =>
  failing(
    "cannot make",
    path
  )(Effect.andThen(notEmpty("cannot make", path), ensure("cannot make", path, path)))

/**
 * Fails where a file, or a folder of files, cannot be written, so that this is known before the work and not after it. Nothing is made.
 * What it finds may have changed by the time of writing.
 *
 * @since 0.1.0
 * @category writing
 */
export const writable = Effect.fnUntraced(function* (path: string, what: "file" | "folder") {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const doing = "cannot write"
  yield* failing(
    doing,
    path
  )(
    Effect.gen(function* () {
      yield* notEmpty(doing, path)
      const type = what === "folder" ? undefined : yield* typeAt(path)
      if (type === "Directory") return yield* refused(doing, path, "kind", "it is a folder")
      if (type !== undefined) yield* files.access(path, { writable: true })
      if (type !== undefined && type !== "File") return
      const folder = what === "folder" ? path : paths.dirname(path)
      const { at } = yield* nearest(doing, path, folder)
      yield* files.access(at, { writable: true })
    })
  )
})

/** Tells this process from others before it of the same number, as in containers, where all have. */
const life = Date.now().toString(36)

let writings = 0

/** Where something is while it is not whole: beside its place, by a name that no other writing has, nor any other process. */
const besides = (paths: Path.Path, path: string): string => {
  const name = `.${paths.basename(path)}.${process.pid}-${life}-${writings++}.part`
  return paths.join(paths.dirname(path), name)
}

const pattern = /^\..*\.(\d+)-(\w+)-\d+\.part$/

/** Whether a process is there that may still be at work, by its number and life. */
const isAlive = (pid: number, its: string): boolean => {
  if (pid === process.pid) return its === life
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as { readonly code?: string }).code === "EPERM"
  }
}

/** Bytes into a new file, through to the disk. */
const writeThrough = (path: string, bytes: Uint8Array) =>
  Effect.scoped(
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const file = yield* files.open(path, { flag: "w" })
      for (let at = 0; at < bytes.length; at += piece) {
        yield* file.writeAll(bytes.subarray(at, at + piece))
      }
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
 * Writes a file: whatever happens, by then there is all of it or what was there before. The folder that it is to lie in is made. Where a
 * link is, what it leads to is written; what a device or a pipe is given stays for it to take.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (path: string, content: Uint8Array | string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
  const doing = "cannot write"
  yield* failing(
    doing,
    path
  )(
    Effect.gen(function* () {
      yield* notEmpty(doing, path)
      const type = yield* typeAt(path)
      if (type === "Directory") return yield* refused(doing, path, "kind", "it is a folder")
      // its folder may be written, but whoever made it read-only wants it to stay
      if (type !== undefined) yield* files.access(path, { writable: true })
      if (type !== undefined && type !== "File") return yield* files.writeFile(path, bytes)
      const target = type === undefined ? path : yield* files.realPath(path)
      const folder = paths.dirname(target)
      yield* ensure(doing, path, folder)
      const partial = besides(paths, target)
      yield* writeThrough(partial, bytes).pipe(
        Effect.andThen(files.rename(partial, target)),
        Effect.andThen(synced(folder)),
        Effect.onError(() => Effect.ignore(files.remove(partial, { force: true })))
      )
    })
  )
})

/**
 * Writes a folder of files, by their names: whatever happens, by then there is all of it or nothing. There must be nothing at its path.
 * Each file's bytes are asked for when those before it are written.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeFolder = Effect.fnUntraced(function* (
  path: string,
  contents: Iterable<readonly [name: string, bytes: Uint8Array]>
) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const folder = paths.dirname(path)
  yield* failing(
    "cannot write",
    path
  )(
    Effect.gen(function* () {
      yield* ensure("cannot write", path, folder)
      const partial = besides(paths, path)
      yield* Effect.gen(function* () {
        yield* files.makeDirectory(partial)
        for (const [name, bytes] of contents) {
          yield* writeThrough(paths.join(partial, name), bytes)
        }
        yield* synced(partial)
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
  const doomed = besides(paths, path)
  yield* failing(
    "cannot remove",
    path
  )(
    Effect.gen(function* () {
      yield* files.rename(path, doomed)
      yield* files.remove(doomed, { recursive: true })
    })
  )
})

/**
 * Removes what writers left in a folder, if there is such a folder, that were killed in the midst of it; what living ones are at stays.
 *
 * @since 0.1.0
 * @category writing
 */
export const sweep = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const names = yield* Effect.catchIf(
    list(folder),
    ({ reason }) => reason === "missing",
    () => Effect.succeed([])
  )
  for (const name of names) {
    const [, pid, its] = pattern.exec(name) ?? []
    if (pid === undefined || isAlive(Number(pid), its)) continue
    const path = paths.join(folder, name)
    yield* failing("cannot remove", path)(files.remove(path, { force: true, recursive: true }))
  }
})

/**
 * Adds to the end of a file, which is made if there is none, through to the disk: all of it or, where that fails, nothing. Only what kills
 * the process may leave a part of it.
 *
 * @since 0.1.0
 * @category writing
 */
export const append = Effect.fnUntraced(function* (path: string, text: string) {
  const files = yield* FileSystem.FileSystem
  yield* failing(
    "cannot write",
    path
  )(
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* files.open(path, { flag: "a" })
        const { size } = yield* file.stat
        yield* file.writeAll(new TextEncoder().encode(text)).pipe(
          Effect.andThen(file.sync),
          Effect.onError(() => Effect.ignore(file.truncate(Number(size)))),
          // a write that is on its way cannot be called back
          Effect.uninterruptible
        )
      })
    )
  )
})
