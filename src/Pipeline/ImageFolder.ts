/**
 * Folders of pictures, or tar archives of them: PNG, JPEG and WebP, with a folder for each class or without.
 *
 * Pictures are taken upright and in sRGB, with 8 bits. Hidden files, and those that are named otherwise, are no part of it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Shape } from "../Tensor/index.ts"
import { fromArrays } from "./Dataset.ts"
import { attempt, dataError, demand, hash, limitOf, writeBytes } from "./internal/data.ts"
import * as Pixels from "./internal/pixels.ts"
import * as Source from "./internal/source.ts"
import * as stored from "./internal/stored.ts"

/**
 * - `channels`: 1 for grey, 3 for colour; those of the first picture unless told
 * - `size`: of all pictures, one for both sides or height and width; they must all have the first one's unless told
 * - `fit`: how a picture is brought to the size: `crop` scales it until it covers the size and cuts off what is beyond on both sides,
 *   `stretch` scales each side by itself; `crop` unless told. Either by Lanczos' kernel of three lobes
 * - `background`: the colour behind transparent pictures, `white` unless told
 * - `classes`: whether folders are classes; they are, if there are any, unless told
 * - `limit`: how many pictures at most, the first; all unless told. Classes are those of all
 * - `cache`: how many bytes of pixels are kept in memory, 512 MiB unless told. A data set that fits in is read when it is made, and
 *   otherwise whenever items are asked for; its fingerprint is then that of the files' names and lengths alone
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly channels?: 1 | 3 | undefined
  readonly size?: number | readonly [height: number, width: number] | undefined
  readonly fit?: "crop" | "stretch" | undefined
  readonly background?: string | undefined
  readonly classes?: boolean | undefined
  readonly limit?: number | undefined
  readonly cache?: number | undefined
}

const { concurrency } = Pixels

const isPicture = (name: string): boolean =>
  /\.(?:png|jpe?g|webp)$/i.test(name) &&
  name.split("/").every((part) => part === "." || !part.startsWith(".")) &&
  !name.startsWith("__MACOSX/")

/** The class of each of some files by the folders that they are in, if there are any. */
const classesOf = (source: string, names: ReadonlyArray<string>) => {
  let parts = names.map((name) => name.split("/").filter((part) => part !== "."))
  // a folder around all folders
  while (parts.every((part) => part.length > 2 && part[0] === parts[0][0])) {
    parts = parts.map(([, ...rest]) => rest)
  }
  const outside = parts.findIndex((part) => part.length === 1)
  if (parts.every((part) => part.length === 1)) return undefined
  demand(
    outside < 0,
    source,
    "format",
    () =>
      `${names[outside]} is in no folder while others are, so that it has no class: move it, or say that folders are no classes (classes: false)`
  )
  const classes = Array.from(new Set(parts.map(([name]) => name))).toSorted()
  const numbers = new Map(classes.map((name, i) => [name, i]))
  return { classes, labels: parts.map(([name]) => numbers.get(name) as number) }
}

/**
 * The data set of a folder or of a `.tar` archive, packed by gzip or not: items `[channels, height, width]` with values from −1 to 1, in
 * the order of their paths. If the pictures lie in folders, each folder is a class; those in it belong to the class too.
 *
 * Fails with `DataError`, naming the file: `format` for one that is no picture or damaged, `shape` where pictures differ and it is not told
 * what they are brought to, `empty` if there are none, `options`.
 *
 * ```ts
 * const flowers = yield* ImageFolder.read("data/flowers", { size: 64 })
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (path: string, options: Options = {}) {
  const { cache = 512 * 2 ** 20 } = options
  const limit = yield* attempt(() => limitOf(path, options.limit))
  const wanted = yield* Pixels.wantedOf(path, options)
  const all = (yield* Source.isFolder(path))
    ? yield* Source.folderEntries(path, isPicture)
    : yield* Source.tarEntries(path, cache / 8)
  const pictures = all
    .filter(({ name }) => isPicture(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const [one] = pictures
  if (one === undefined) {
    const other = all.length === 0 ? "" : `, but ${all.length} other files or folders`
    return yield* Effect.fail(
      dataError(path, "empty", `there are no pictures (.png, .jpg, .jpeg, .webp) in it${other}`)
    )
  }
  const names = pictures.map(({ name }) => name)
  const found = yield* attempt(() =>
    options.classes === false ? undefined : classesOf(path, names)
  )
  if (options.classes === true && found === undefined) {
    const message = "there are no folders in it that could be classes"
    return yield* Effect.fail(dataError(path, "empty", message))
  }
  const entries = pictures.slice(0, limit)
  const known = found && { ...found, labels: found.labels.slice(0, limit) }

  const first = yield* Effect.flatMap(one.read, (bytes) => Pixels.decode(bytes, one.path, wanted))
  const { shape } = first
  const each = Shape.size(shape)
  const alike = { ...wanted, channels: shape[0] }
  const decoded = (entry: Source.Entry) =>
    Effect.flatMap(entry.read, (bytes) => Pixels.decode(bytes, entry.path, alike))
  /** The first that is not as the others, by a look at each. */
  const checkEach = <E>(
    look: (entry: Source.Entry, index: number) => Effect.Effect<Pixels.ImageShape, E>
  ) =>
    Effect.gen(function* () {
      const shapes = yield* Effect.forEach(entries, look, { concurrency })
      for (const [i, entry] of entries.entries()) {
        const error = Pixels.oddity(entry.path, shapes[i], first.own, wanted)
        if (error !== undefined) return yield* error
      }
    })

  if (entries.length * each <= cache) {
    const bytes = new Uint8Array(entries.length * each)
    yield* checkEach((entry, index) =>
      Effect.map(decoded(entry), ({ own, pixels }) => {
        if (pixels.length === each) bytes.set(pixels, index * each)
        return own
      })
    )
    return yield* attempt(() => fromArrays({ name: path, shape, bytes, ...known }))
  }

  if (wanted.height === undefined || wanted.channels === undefined) {
    yield* checkEach(({ read, path }) =>
      Effect.flatMap(read, (bytes) => Pixels.shapeOf(bytes, path))
    )
  }
  const lengths = yield* Effect.forEach(entries, (entry) => entry.size, { concurrency })
  const kept = new Map<number, Uint8Array>()
  const pixelsOf = Effect.fnUntraced(function* (index: number) {
    const found = kept.get(index)
    if (found !== undefined) return found
    const entry = entries[index]
    const { own, pixels } = yield* decoded(entry)
    // a file may change after all
    const error = Pixels.oddity(entry.path, own, first.own, wanted)
    if (error !== undefined) return yield* error
    if ((kept.size + 1) * each <= cache) kept.set(index, pixels)
    return pixels
  })
  return yield* attempt(() =>
    stored.dataset({
      ...{ name: path, size: entries.length, shape, ...known },
      fingerprint: hash([names.slice(0, limit), lengths, known?.classes, alike]),
      write: (indices, to) =>
        Effect.forEach(
          indices,
          (index, place) =>
            Effect.map(pixelsOf(index), (pixels) => writeBytes(pixels, to, place * each)),
          { concurrency, discard: true }
        )
    })
  )
})
