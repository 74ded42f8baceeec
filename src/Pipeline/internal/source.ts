/** Files and archives that data sets are read from. */
import * as Zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import type { Header } from "tar-stream"
import * as Files from "../Files.ts"
import type { DataError, FileError } from "../PipelineError.ts"
import { dataError } from "./data.ts"
import * as Memory from "./memory.ts"
import { fill } from "./reading.ts"

const { errorOf } = Files

/** Whether a folder is there; fails if there is nothing. */
export const isFolder = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const { type } = yield* Effect.mapError(files.stat(path), (error) =>
    errorOf("cannot read", path, error)
  )
  return type === "Directory"
})

/** Whether bytes begin as gzip does. */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/** A file's bytes, unpacked if they are packed by gzip. Few bytes may be packed from many: what memory does not hold is refused. */
export const unpacked = Effect.fnUntraced(function* (path: string) {
  const bytes = yield* Files.read(path)
  if (!isGzip(bytes)) return bytes
  return yield* Effect.callback<Uint8Array, DataError>((resume) => {
    // parts are held until all are put together
    const maxOutputLength = Math.floor(Memory.total() / 2)
    Zlib.gunzip(bytes, { maxOutputLength }, (error, all) => {
      if (error === null) return resume(Effect.succeed(all))
      const { code, message } = error as NodeJS.ErrnoException
      const why =
        code === "ERR_BUFFER_TOO_LARGE"
          ? "it is packed by gzip, and larger than half of the memory: unpack it"
          : `gzip cut short or damaged (${message}): get it anew`
      resume(Effect.fail(dataError(path, "format", why)))
    })
  })
})

/** A file in a folder or an archive. */
export interface Entry {
  /** Its path in there, with `/`. */
  readonly name: string
  /** For people. */
  readonly path: string
  /** How many bytes it has. */
  readonly size: Effect.Effect<number, FileError>
  readonly read: Effect.Effect<Uint8Array, DataError | FileError>
}

/**
 * What is in a folder and in the folders in it, those that links lead to among them, though none twice. Files that are wanted are known by
 * their names, so that there is no need to ask of each what it is.
 */
export const folderEntries = Effect.fnUntraced(function* (
  folder: string,
  isWanted: (name: string) => boolean
) {
  const [files, paths] = [yield* FileSystem.FileSystem, yield* Path.Path]
  const failing = (path: string) => (error: PlatformError) => errorOf("cannot read", path, error)
  const names: Array<string> = []
  const begun = new Set<string>()
  const folders = [""]
  for (const inner of folders) {
    const place = paths.join(folder, inner)
    const real = yield* Effect.mapError(files.realPath(place), failing(place))
    if (begun.has(real)) continue
    begun.add(real)
    for (const each of yield* Effect.mapError(files.readDirectory(place), failing(place))) {
      const name = inner === "" ? each : `${inner}/${each}`
      names.push(name)
      if (isWanted(name)) continue
      const info = yield* Effect.option(files.stat(paths.join(folder, name)))
      if (Option.isSome(info) && info.value.type === "Directory") folders.push(name)
    }
  }
  return names.map((name): Entry => {
    const path = paths.join(folder, name)
    const size = Effect.mapBoth(files.stat(path), {
      onSuccess: ({ size }) => Number(size),
      onFailure: failing(path)
    })
    const read = Effect.provideService(Files.read(path), FileSystem.FileSystem, files)
    return { name, path, size, read }
  })
})

/**
 * The files of a tar archive, which is read once from end to end; they are read when they are asked for. One of up to `small` bytes is kept
 * in memory, which is quicker than to read thousands of parts.
 */
export const tarEntries = Effect.fnUntraced(function* (path: string, small = 2 ** 26) {
  const files = yield* FileSystem.FileSystem
  const { extract } = yield* Effect.promise(() => import("tar-stream"))
  const head = yield* bytesAt(path, 0, 512)
  const { size } = yield* Effect.mapError(files.stat(path), (error) =>
    errorOf("cannot read", path, error)
  )
  // of a packed archive no part can be read alone
  const whole = isGzip(head) || size <= small ? yield* unpacked(path) : undefined
  const found: Array<Entry> = []
  const byName = new Map<string, Entry>()
  const reader = extract()
  reader.on("entry", (header, body, next) => {
    // where it begins, which the types leave out
    const { name, size, type, byteOffset, linkname } = header as Header & {
      readonly byteOffset: number
    }
    // a file that is in there under another name
    const other = type === "link" ? byName.get(linkname ?? "") : undefined
    if (other !== undefined) found.push({ ...other, name, path: `${path}: ${name}` })
    if (type === "file") {
      const read =
        whole === undefined
          ? Effect.provideService(bytesAt(path, byteOffset, size), FileSystem.FileSystem, files)
          : Effect.sync(() => whole.subarray(byteOffset, byteOffset + size))
      const entry = { name, path: `${path}: ${name}`, size: Effect.succeed(size), read }
      byName.set(name, entry)
      found.push(entry)
    }
    body.on("end", next)
    // the reader tells of it too
    body.on("error", () => {})
    body.resume()
  })
  const ended = new Promise<void>((resolve, reject) => {
    reader.on("finish", resolve)
    reader.on("error", reject)
  })
  // an error while it is not yet waited for is not unhandled
  ended.catch(() => {})
  const failed = (error: unknown) =>
    dataError(
      path,
      "format",
      `it is no folder and no tar archive, or one that is cut short or damaged (${(error as Error).message})`
    )
  const chunks =
    whole === undefined
      ? Stream.mapError(files.stream(path, { chunkSize: 2 ** 20 }), (error) =>
          errorOf("cannot read", path, error)
        )
      : Stream.succeed(whole)
  const feed = Stream.runForEach(chunks, (chunk) =>
    Effect.callback<void>((resume) => {
      if (reader.write(chunk)) resume(Effect.void)
      else reader.once("drain", () => resume(Effect.void))
    })
  )
  yield* Effect.raceFirst(
    Effect.tryPromise({ try: () => ended, catch: failed }),
    Effect.andThen(
      feed,
      Effect.suspend(() => {
        reader.end(null)
        return Effect.never
      })
    )
  ).pipe(Effect.ensuring(Effect.sync(() => reader.destroy(null))))
  return found
})

/** Some bytes of a file. */
const bytesAt = Effect.fnUntraced(function* (path: string, offset: number, size: number) {
  const files = yield* FileSystem.FileSystem
  const bytes = new Uint8Array(size)
  const read = Effect.flatMap(files.open(path), (file) => fill(file, bytes, offset))
  const done = yield* Effect.mapError(Effect.scoped(read), (error) =>
    errorOf("cannot read", path, error)
  )
  return bytes.subarray(0, done)
})
