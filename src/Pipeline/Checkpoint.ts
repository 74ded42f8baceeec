/**
 * Checkpoints: a training at rest, in a folder that is there whole or not at all.
 *
 *     step-00002000/
 *       manifest.json               what it is of, where it stands, and the size and SHA-256 of every other file
 *       weights.safetensors         by the parameters' paths
 *       average-….safetensors       the same, averaged; one for each average
 *       optimizer.safetensors       what the optimiser remembers
 *
 * Whoever reads a checkpoint knows that it is as it was written: sizes and hashes are verified, and one that is not is refused with the
 * reason. What a killed writer leaves behind bears another name and is swept up by the next.
 *
 * @since 0.1.0
 */
import * as Crypto from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { SafeTensors } from "../Layer/index.ts"
import type { Tensor } from "../Tensor/index.ts"
import * as Files from "./Files.ts"
import { CheckpointError, type FileError } from "./PipelineError.ts"
import type { Snapshot } from "./Train.ts"

/**
 * What is written of a checkpoint beside its arrays.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Manifest = Schema.Struct({
  format: Schema.Literal("odeon-checkpoint"),
  version: Schema.Literal(1),
  /** Steps made, those left out included. */
  step: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  skipped: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  /** What the training was made by: JSON. */
  configuration: Schema.Unknown,
  /** The data set that it stands in. */
  data: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      fingerprint: Schema.String,
      /** Items seen, those of all epochs. */
      position: Schema.Int
    })
  ),
  /** Of one's own, such as the last losses. */
  metrics: Schema.Record(Schema.String, Schema.NullOr(Schema.Number)),
  averages: Schema.Array(Schema.String),
  files: Schema.Record(Schema.String, Schema.Struct({ bytes: Schema.Int, sha256: Schema.String }))
})

/**
 * @since 0.1.0
 * @category models
 */
export type Manifest = typeof Manifest.Type

/**
 * @since 0.1.0
 * @category models
 */
export interface Checkpoint {
  /** Its folder. */
  readonly path: string
  readonly manifest: Manifest
  readonly snapshot: Snapshot
}

/**
 * What is written: a snapshot, and what it is of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Content extends Partial<Pick<Manifest, "data" | "metrics">> {
  readonly snapshot: Snapshot
  /** JSON. */
  readonly configuration: unknown
}

/**
 * Which checkpoints stay when another is written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retention {
  /** How many of the newest, at least 1, or `Infinity` for all; 3 unless told. */
  readonly last?: number
  /** Besides, those of steps that are multiples of this: for `Model.reconstruct`, for example. */
  readonly every?: number
}

type Arrays = Readonly<Record<string, Tensor.HostArray>>

const pattern = /^step-(\d+)$/

const nameOf = (step: number): string => `step-${String(step).padStart(8, "0")}`

const averageFile = (name: string): string => `average-${name}.safetensors`

const isMissing = (error: CheckpointError | FileError): boolean =>
  error._tag === "FileError" && error.reason === "missing"

const described = (bytes: Uint8Array) => ({
  bytes: bytes.length,
  sha256: Crypto.createHash("sha256").update(bytes).digest("hex")
})

/**
 * The checkpoints in a folder, the newest last; none if there is no such folder.
 *
 * @since 0.1.0
 * @category reading
 */
export const list = Effect.fnUntraced(function* (folder: string) {
  const paths = yield* Path.Path
  const names = yield* Files.list(folder).pipe(Effect.catchIf(isMissing, () => Effect.succeed([])))
  return names
    .flatMap((name) => {
      const found = pattern.exec(name)
      return found === null ? [] : [{ path: paths.join(folder, name), step: Number(found[1]) }]
    })
    .sort((a, b) => a.step - b.step)
})

/**
 * Writes a checkpoint into a folder of checkpoints, which is made; gives its path. Older ones go as told. One of the same step that holds the
 * same, whole, stays as it is, and any other is replaced.
 *
 * Fails with `FileError`, and leaves nothing half-written.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (
  folder: string,
  { snapshot, configuration, data, metrics = {} }: Content,
  { last = 3, every }: Retention = {}
) {
  const paths = yield* Path.Path
  const { step, skipped, weights, averages, optimizer } = snapshot
  const path = paths.join(folder, nameOf(step))
  const arrays: ReadonlyArray<readonly [name: string, Arrays]> = [
    ["weights.safetensors", weights],
    ["optimizer.safetensors", optimizer],
    ...Object.entries(averages).map(([name, each]) => [averageFile(name), each] as const)
  ]
  const manifestOf = (files: Manifest["files"]): Manifest => ({
    format: "odeon-checkpoint",
    version: 1,
    step,
    skipped,
    configuration: configuration ?? null,
    ...(data === undefined ? {} : { data }),
    metrics: Object.fromEntries(
      Object.entries(metrics).map(([name, value]) => [name, Number.isFinite(value) ? value : null])
    ),
    averages: Object.keys(averages),
    files
  })
  /** All files, one after the other, so that there is but one in memory; at last what they were. */
  const contents = function* () {
    const files: Record<string, Manifest["files"][string]> = {}
    for (const [name, each] of arrays) {
      const bytes = SafeTensors.encode(each)
      files[name] = described(bytes)
      yield [name, bytes] as const
    }
    const text = `${JSON.stringify(manifestOf(files), undefined, 2)}\n`
    yield ["manifest.json", new TextEncoder().encode(text)] as const
  }
  yield* Files.makeFolder(folder)
  yield* Files.sweep(folder)
  const isSame = Effect.map(read(path), ({ manifest: { files } }) =>
    isDeepStrictEqual(
      files,
      Object.fromEntries(arrays.map(([name, each]) => [name, described(SafeTensors.encode(each))]))
    )
  )
  const found = yield* Effect.result(isSame)
  if (!(found._tag === "Success" && found.success)) {
    const none = found._tag === "Failure" && isMissing(found.failure)
    if (!none) yield* Files.removeFolder(path)
    yield* Files.writeFolder(path, contents()).pipe(
      // another run in the same folder may have been first, here and below
      Effect.catchIf(
        ({ reason }) => reason === "exists",
        (error) =>
          Effect.flatMap(
            Effect.orElseSucceed(isSame, () => false),
            (same) => (same ? Effect.void : Effect.fail(error))
          )
      )
    )
  }
  const all = yield* list(folder)
  const old = all.slice(0, Math.max(0, all.length - Math.max(1, last)))
  for (const each of old) {
    if (each.path === path || (every !== undefined && each.step % every === 0)) continue
    yield* Effect.catchIf(Files.removeFolder(each.path), isMissing, () => Effect.void)
  }
  return path
})

const refusal = (path: string) => (reason: CheckpointError["reason"], why: string) =>
  new CheckpointError({ path, reason, message: `the checkpoint ${path} ${why}` })

/**
 * What is written of a checkpoint beside its arrays, which are not looked at. Fails as {@link read} does.
 *
 * @since 0.1.0
 * @category reading
 */
export const manifest = Effect.fnUntraced(function* (path: string) {
  const paths = yield* Path.Path
  const refuse = refusal(path)
  const names = yield* Files.list(path)
  if (!names.includes("manifest.json")) {
    return yield* refuse(
      "foreign",
      "has no manifest.json: it is none of Odeon, or its files were moved"
    )
  }
  const text = yield* Files.readText(paths.join(path, "manifest.json"))
  const json = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (error) => refuse("corrupt", `has a damaged manifest.json: ${(error as Error).message}`)
  })
  const { format, version } = (json ?? {}) as Readonly<Record<string, unknown>>
  if (format !== "odeon-checkpoint") {
    return yield* refuse("foreign", "has a manifest.json of another program")
  }
  if (version !== 1) {
    return yield* refuse(
      "foreign",
      `is of version ${JSON.stringify(version)}, but 1 is read: use the Odeon that wrote it`
    )
  }
  return yield* Schema.decodeUnknownEffect(Manifest)(json).pipe(
    Effect.mapError((error) => refuse("corrupt", `has a damaged manifest.json: ${error.message}`))
  )
})

/**
 * - `optimizer`: whether to read what the optimiser remembers, which is half of most checkpoints and for going on alone; `true` unless told,
 *   or else there is none in the snapshot
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  readonly optimizer?: boolean
}

/**
 * A checkpoint; what is read of it is verified. Fails with `CheckpointError`: `foreign` for a folder that is no checkpoint, or one of a
 * version that is not known, `corrupt` for a file that is missing or not as it was written; and with `FileError` where nothing can be read.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (
  path: string,
  { optimizer = true }: ReadOptions = {}
) {
  const paths = yield* Path.Path
  const refuse = refusal(path)
  const found = yield* manifest(path)
  const arraysOf = Effect.fnUntraced(function* (name: string) {
    const wanted = found.files[name]
    if (wanted === undefined) {
      return yield* refuse("corrupt", `has a manifest.json that does not speak of ${name}`)
    }
    const bytes = yield* Files.read(paths.join(path, name)).pipe(
      Effect.mapError((error) =>
        error.reason === "missing" ? refuse("corrupt", `lacks its ${name}`) : error
      )
    )
    if (bytes.length !== wanted.bytes) {
      return yield* refuse(
        "corrupt",
        `is damaged: ${name} has ${bytes.length} bytes, but was written with ${wanted.bytes}`
      )
    }
    if (described(bytes).sha256 !== wanted.sha256) {
      return yield* refuse("corrupt", `is damaged: ${name} is not as it was written`)
    }
    const { tensors } = yield* SafeTensors.decode(bytes).pipe(
      Effect.mapError(({ message }) => refuse("corrupt", `is damaged: ${name}: ${message}`))
    )
    return tensors
  })
  const averages: Record<string, Arrays> = {}
  for (const name of found.averages) averages[name] = yield* arraysOf(averageFile(name))
  const snapshot: Snapshot = {
    step: found.step,
    skipped: found.skipped,
    weights: yield* arraysOf("weights.safetensors"),
    averages,
    optimizer: optimizer ? yield* arraysOf("optimizer.safetensors") : {}
  }
  return { path, manifest: found, snapshot } satisfies Checkpoint
})

/**
 * The newest checkpoint of a folder, if there is any. One that is damaged is refused, and those before it are taken only where `fallback`
 * says so.
 *
 * @since 0.1.0
 * @category reading
 */
export const latest = Effect.fnUntraced(function* (
  folder: string,
  { fallback = false, ...options }: ReadOptions & { readonly fallback?: boolean } = {}
) {
  const all = (yield* list(folder)).toReversed()
  let first: CheckpointError | FileError | undefined
  for (const { path } of all) {
    const found = yield* Effect.result(read(path, options))
    if (found._tag === "Success") return Option.some(found.success)
    first ??= found.failure
    if (!fallback) break
  }
  if (first === undefined) return Option.none<Checkpoint>()
  const before = all[1]
  if (first._tag === "FileError" || fallback || before === undefined) return yield* first
  return yield* new CheckpointError({
    ...first,
    message: `${first.message}; the one before it is ${before.path}, which is taken where falling back is allowed`
  })
})

const has = Effect.fnUntraced(function* (path: string, name: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  return yield* Effect.orElseSucceed(files.exists(paths.join(path, name)), () => false)
})

/**
 * Where the checkpoints are: in a folder's `checkpoints`, where it is a run's, or in itself.
 *
 * @since 0.1.0
 * @category reading
 */
export const folderOf = Effect.fnUntraced(function* (path: string) {
  const paths = yield* Path.Path
  return (yield* has(path, "checkpoints")) ? paths.join(path, "checkpoints") : path
})

/**
 * The checkpoint at a path: that of the folder itself, or the newest in it or, of a run's folder, in its `checkpoints`. Fails with
 * `CheckpointError` `none` where there is none.
 *
 * @since 0.1.0
 * @category reading
 */
export const open = Effect.fnUntraced(function* (
  path: string,
  options: ReadOptions & { readonly fallback?: boolean } = {}
) {
  if (yield* has(path, "manifest.json")) return yield* read(path, options)
  yield* Files.list(path)
  const found = yield* latest(yield* folderOf(path), options)
  if (Option.isSome(found)) return found.value
  return yield* new CheckpointError({
    path,
    reason: "none",
    message: `there is no checkpoint in ${path}: a checkpoint is a folder named like ${nameOf(2000)}`
  })
})
