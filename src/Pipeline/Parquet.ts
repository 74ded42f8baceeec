/**
 * Data sets of images in Parquet files, as Hugging Face publishes them: a column of structs `{ bytes, path }`, whose bytes are pictures
 * (PNG, JPEG, WebP), and perhaps one of whole numbers, the classes, whose names are in the file's notes. A large set is in several files,
 * its shards.
 *
 * All of Parquet's compressions are read.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import type { AsyncBuffer, FileMetaData, SchemaTree } from "hyparquet"
import { Shape, Suggestion } from "../Tensor/index.ts"
import { type Dataset, fromArrays } from "./Dataset.ts"
import type * as ImageFolder from "./ImageFolder.ts"
import {
  attempt,
  classesOf,
  dataError,
  demand,
  hash,
  limitOf,
  writeBytes
} from "./internal/data.ts"
import * as Pixels from "./internal/pixels.ts"
import * as Source from "./internal/source.ts"
import * as stored from "./internal/stored.ts"
import { DataError, FileError } from "./PipelineError.ts"

/**
 * Those of `ImageFolder.Options` that are about pictures, `limit`, and
 *
 * - `split`: which part of a folder, by the names of its files (`train-00000-of-00002.parquet`) or of folders in it; `train` unless told,
 *   or all files if none is named by a part
 * - `image`: the column of pictures; `image` or `img` unless told
 * - `label`: the column of classes, or false for none; `label`, `labels` or `fine_label`, if there is one, unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Omit<ImageFolder.Options, "classes"> {
  readonly split?: string | undefined
  readonly image?: string | undefined
  readonly label?: string | false | undefined
}

const names = { image: ["image", "img"], label: ["label", "labels", "fine_label"] } as const

const { concurrency } = Pixels

/** Loaded when it is needed. */
const library = Effect.promise(async () => ({
  ...(await import("hyparquet")),
  ...(await import("hyparquet-compressors"))
}))

const partOf = (name: string): string | undefined => {
  const parts = name
    .split("/")
    .map((part) => /^(train|test|validation|valid|val|dev)(?:[-_.]|$)/.exec(part)?.[1])
  return parts.findLast((part) => part !== undefined)
}

/** The files of a part, in their order. */
const shards = Effect.fnUntraced(function* (path: string, split: string | undefined) {
  if (!(yield* Source.isFolder(path))) return [path]
  const isShard = (name: string) => /\.parquet$/i.test(name) && !/(?:^|\/)\./.test(name)
  const all = (yield* Source.folderEntries(path, isShard))
    .filter(({ name }) => isShard(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const parts = new Set(all.map(({ name }) => partOf(name)))
  const wanted = split ?? "train"
  const found =
    split === undefined && parts.size === 1 && parts.has(undefined)
      ? all
      : all.filter(({ name }) => partOf(name) === wanted)
  if (found.length > 0) return found.map(({ path }) => path)
  const others = [...parts].filter((part) => part !== undefined)
  return yield* dataError(
    path,
    "empty",
    all.length === 0
      ? "there are no .parquet files in it"
      : `none of its ${all.length} .parquet files is of the part "${wanted}"${
          others.length === 0 ? "" : `; there are those of ${others.join(", ")}`
        }`
  )
})

/** The paths of columns that are in no other. */
const leaves = ({ children, path }: SchemaTree): ReadonlyArray<string> =>
  children.length === 0 ? [`${path}`] : children.flatMap(leaves)

/** The column told, or the first of those looked for. */
const columnOf = (
  source: string,
  tree: SchemaTree,
  what: "image" | "label",
  told: string | false | undefined
): SchemaTree | undefined => {
  if (told === false) return undefined
  const there = tree.children.map(({ element }) => element.name)
  const name = told ?? names[what].find((each) => there.includes(each))
  const found = tree.children.find(({ element }) => element.name === name)
  demand(found !== undefined || (told === undefined && what === "label"), source, "format", () =>
    told === undefined
      ? `none of its columns is called ${names[what].join(" or ")}: it has ${there.join(", ")}; say which, by \`${what}\``
      : `there is no column "${told}"; ${Suggestion.sentence(told, there)}`
  )
  return found
}

/** The names of a column's classes in what Hugging Face notes in a file. */
const classNames = (
  { key_value_metadata = [] }: FileMetaData,
  column: string
): ReadonlyArray<string> | undefined => {
  const note = key_value_metadata.find(({ key }) => key === "huggingface")?.value
  try {
    const given: unknown = JSON.parse(note ?? "null")?.info?.features?.[column]?.names
    const named = Array.isArray(given) && given.length > 0
    return named && given.every((name) => typeof name === "string") ? given : undefined
  } catch {
    return undefined
  }
}

interface Columns {
  readonly image: string
  readonly label: string | undefined
  readonly classes: ReadonlyArray<string> | undefined
}

/** What a file says is in it. */
const columnsOf = (
  source: string,
  metadata: FileMetaData,
  tree: SchemaTree,
  options: Options
): Columns => {
  const image = columnOf(source, tree, "image", options.image) as SchemaTree
  const label = columnOf(source, tree, "label", options.label)
  const { element, children } = image
  const bytes =
    children.length === 0 ? image : children.find((each) => each.element.name === "bytes")
  demand(
    bytes?.element.type === "BYTE_ARRAY" && bytes.element.repetition_type !== "REPEATED",
    source,
    "format",
    () =>
      `its column "${element.name}" holds no pictures, which are bytes or structs of bytes and a path`
  )
  demand(
    label === undefined || /^INT(?:32|64)$/.test(label.element.type ?? ""),
    source,
    "format",
    () =>
      `its column "${label?.element.name}" holds no classes, which are whole numbers: say which, by \`label\`, or that there are none, by false`
  )
  return {
    image: element.name,
    label: label?.element.name,
    classes: label && classNames(metadata, label.element.name)
  }
}

interface Row {
  readonly bytes: Uint8Array
  /** For people. */
  readonly source: string
}

/** A file's columns, how many rows it has, and group by group the labels of its rows and at most so many of the rows themselves. */
const open = Effect.fnUntraced(function* (
  files: FileSystem.FileSystem,
  path: string,
  options: Options
) {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema, compressors } = yield* library
  const { size, read } = yield* stored.open(files, path)
  const file: AsyncBuffer = {
    byteLength: size,
    slice: (start, end = size) => {
      const bytes = Effect.runPromise(
        [start, end].every(Number.isSafeInteger)
          ? Effect.map(read({ start, length: Math.max(0, end - start) }), ({ buffer }) => buffer)
          : Effect.fail(
              dataError(path, "format", "it is damaged: it does not tell where its columns are")
            )
      )
      // whoever asked may have failed meanwhile, and wait no more
      bytes.catch(() => {})
      return bytes
    }
  }
  const parsed = <A>(run: () => Promise<A>) =>
    Effect.tryPromise({
      try: run,
      catch: (error) =>
        error instanceof FileError || error instanceof DataError
          ? error
          : dataError(
              path,
              "format",
              `it is no Parquet file, cut short or damaged (${(error as Error).message})`
            )
    })
  const { metadata, tree } = yield* parsed(async () => {
    const metadata = await parquetMetadataAsync(file)
    return { metadata, tree: parquetSchema(metadata) }
  })
  const columns = yield* attempt(() => columnsOf(path, metadata, tree, options))
  const known = new Set(leaves(tree))
  const chunks = metadata.row_groups.flatMap(({ columns }) => columns)
  // the library would find it while it reads another column, and leave that to fail alone
  if (!chunks.every(({ meta_data }) => known.has(`${meta_data?.path_in_schema}`))) {
    return yield* dataError(path, "format", "it is damaged: it has columns that it does not name")
  }
  const { image, label } = columns
  const ends: Array<number> = []
  for (const { num_rows } of metadata.row_groups) ends.push((ends.at(-1) ?? 0) + Number(num_rows))
  if (!ends.every((end, i) => Number.isSafeInteger(end) && end >= (ends[i - 1] ?? 0))) {
    return yield* dataError(path, "format", "it is damaged: its numbers of rows cannot be")
  }
  const groups = ends.map((end, group) => {
    const rowStart = ends[group - 1] ?? 0
    const valuesOf = Effect.fnUntraced(function* (column: string, most: number) {
      const rowEnd = Math.min(end, rowStart + most)
      const found = yield* parsed(() =>
        parquetReadObjects({
          ...{ file, metadata, compressors, rowStart, rowEnd, columns: [column] },
          // bytes are no text, whatever they are marked as
          utf8: false
        })
      )
      return yield* attempt(() => {
        demand(
          found.length === rowEnd - rowStart,
          path,
          "format",
          () => `it is damaged: it has ${found.length} rows where it says ${rowEnd - rowStart}`
        )
        return found.map((row, i) => ({
          value: row[column] as unknown,
          source: `${path}: row ${rowStart + i}`
        }))
      })
    })
    const labels =
      label === undefined
        ? Effect.succeed([])
        : Effect.flatMap(valuesOf(label, Number.POSITIVE_INFINITY), (all) =>
            attempt(() =>
              all.map(({ value, source }) => {
                demand(
                  (typeof value === "number" || typeof value === "bigint") && value >= 0,
                  source,
                  "value",
                  () =>
                    `its label is ${value ?? "missing"}: take a part that has labels, or none of them, by label: false`
                )
                return Number(value)
              })
            )
          )
    const rows = (most: number) =>
      Effect.flatMap(valuesOf(image, most), (all) =>
        attempt(() =>
          all.map(({ value, source }): Row => {
            const bytes = (value as { readonly bytes?: unknown } | null)?.bytes ?? value
            if (bytes instanceof Uint8Array) return { bytes, source }
            throw dataError(source, "format", "it has no picture in it: leave such rows out")
          })
        )
      )
    return { labels, rows }
  })
  return { columns, count: ends.at(-1) ?? 0, groups }
})

/**
 * The data set of a Parquet file, or of a folder of them: items `[channels, height, width]` with values from −1 to 1, in the order of the
 * files' names and of their rows. Pictures are taken as `ImageFolder.read` takes them. Beyond `cache`, 512 MiB of pixels unless told, they
 * are kept in memory as they are in the files and decoded whenever they are asked for.
 *
 * Fails with `FileError`, and with `DataError`, naming the file and the row: `format` for what is no such file, has no such column, or a
 * picture that is none; `shape` where pictures differ and it is not told what they are brought to; `value` for labels that are no classes;
 * `empty`; `options`.
 *
 * ```ts
 * const flowers = yield* Parquet.read("data/flowers", { split: "train", size: 64 })
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const read: (
  path: string,
  options?: Options
) => Effect.Effect<Dataset, DataError | FileError, FileSystem.FileSystem | Path.Path> =
  Effect.fnUntraced(function* (path: string, options: Options = {}) {
    const files = yield* FileSystem.FileSystem
    const limit = yield* attempt(() => limitOf(path, options.limit))
    const wanted = yield* Pixels.wantedOf(path, options)
    const paths = yield* shards(path, options.split)
    const opened = (shard: string) => open(files, shard, options)
    const heads = yield* Effect.forEach(paths, (shard) => Effect.scoped(opened(shard)))
    const size = heads.reduce((sum, { count }) => sum + count, 0)
    const [{ columns }] = heads
    if (size === 0) return yield* dataError(path, "empty", "there are no rows in it")
    const most = Math.min(size, limit)
    for (const [i, { columns: own }] of heads.entries()) {
      if (JSON.stringify(own) !== JSON.stringify(columns)) {
        const message = `it has other columns or classes than ${paths[0]}: shards of one data set have the same`
        return yield* dataError(paths[i], "format", message)
      }
    }

    let first: { readonly own: Pixels.ImageShape; readonly shape: Pixels.ImageShape } | undefined
    let pixels: Uint8Array | undefined
    let alike = wanted
    const encoded: Array<Row> = []
    const labels: Array<number> = []
    const check = (own: Pixels.ImageShape, source: string) => {
      const { own: of } = first as NonNullable<typeof first>
      return Pixels.oddity(source, own, of, wanted) ?? Effect.void
    }
    const take = Effect.fnUntraced(function* (row: Row, index: number) {
      if (pixels === undefined) {
        if (options.size !== undefined && options.channels !== undefined) return
        return yield* check(yield* Pixels.shapeOf(row.bytes, row.source), row.source)
      }
      const { own, pixels: made } = yield* Pixels.decode(row.bytes, row.source, alike)
      yield* check(own, row.source)
      pixels.set(made, index * made.length)
    })
    let taken = 0
    for (const shard of paths) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { groups } = yield* opened(shard)
          for (const group of groups) {
            // classes are those of all
            for (const label of yield* group.labels) labels.push(label)
            if (taken === most) continue
            const rows = yield* group.rows(most - taken)
            if (rows.length === 0) continue
            if (first === undefined) {
              first = yield* Pixels.decode(rows[0].bytes, rows[0].source, wanted)
              alike = { ...wanted, channels: first.shape[0] }
              const total = most * Shape.size(first.shape)
              if (total <= (options.cache ?? 512 * 2 ** 20)) pixels = new Uint8Array(total)
            }
            yield* Effect.forEach(rows, (row, i) => take(row, taken + i), {
              concurrency,
              discard: true
            })
            taken += rows.length
            if (pixels !== undefined) continue
            for (const row of rows) encoded.push(row)
          }
        })
      )
    }
    const { shape } = first as unknown as NonNullable<typeof first>
    const known =
      columns.label === undefined
        ? {}
        : {
            labels: labels.slice(0, most),
            classes: yield* attempt(() => classesOf(path, labels, columns.classes))
          }
    const bytes = pixels as Uint8Array | undefined
    if (bytes !== undefined) {
      return yield* attempt(() => fromArrays({ name: path, shape, bytes, ...known }))
    }
    return yield* attempt(() =>
      stored.dataset({
        ...{ name: path, size: most, shape, ...known },
        fingerprint: hash([alike, known], ...encoded.map(({ bytes }) => bytes)),
        write: (indices, to) =>
          Effect.forEach(
            indices,
            Effect.fnUntraced(function* (index, place) {
              const { bytes, source } = encoded[index]
              const { pixels } = yield* Pixels.decode(bytes, source, alike)
              writeBytes(pixels, to, place * pixels.length)
            }),
            { concurrency, discard: true }
          )
      })
    )
  })
