/**
 * CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version, from the folder or from the archive that they come in.
 *
 * A file holds records of one label (CIFAR-10) or two, coarse and fine (CIFAR-100), of a byte each, and 3,072 bytes of an image
 * `[3, 32, 32]`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Dataset from "./Dataset.ts"
import * as Files from "./Files.ts"
import { attempt, dataError, demand } from "./internal/data.ts"
import * as Source from "./internal/source.ts"

const shape = [3, 32, 32] as const
const size = 3 * 32 * 32

/** What a version's files are, the bytes of labels that a record begins with, and how many classes there are. */
const versions = {
  "CIFAR-10": {
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    test: ["test_batch.bin"],
    labels: 1,
    classes: { fine: 10, coarse: 10 },
    archive: "cifar-10-binary.tar.gz"
  },
  "CIFAR-100": {
    train: ["train.bin"],
    test: ["test.bin"],
    labels: 2,
    classes: { fine: 100, coarse: 20 },
    archive: "cifar-100-binary.tar.gz"
  }
} as const

/**
 * - `split`: `train` unless told
 * - `labels`: of CIFAR-100, one of 100 `fine` classes or one of 20 `coarse` ones; `fine` unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly split?: "train" | "test" | undefined
  readonly labels?: "fine" | "coarse" | undefined
}

/** The folders that the archives unpack to. */
const folders = ["cifar-10-batches-bin", "cifar-100-binary"]

/** The files in a folder, or in the one that the archive unpacks to in it. */
const filesIn = Effect.fnUntraced(function* (path: string) {
  const paths = yield* Path.Path
  const names = yield* Files.list(path)
  const inner = names.filter((name) => folders.includes(name))
  const folder = inner.length === 1 ? paths.join(path, inner[0]) : path
  const all = inner.length === 1 ? yield* Files.list(folder) : names
  return all.map((name) => ({ name, read: Files.read(paths.join(folder, name)) }))
})

/** The files in an archive, by their names alone. */
const filesOf = (path: string) =>
  Effect.map(Source.tarEntries(path), (entries) =>
    entries.map(({ name, read }) => ({ name: name.split("/").at(-1) as string, read }))
  )

/**
 * The data set of a folder or an archive, `[3, 32, 32]` with values from −1 to 1 and the classes' names, which are numbers where no file
 * tells them.
 *
 * Fails with `DataError`, naming the file, for one that is missing, cut short or has labels that there are not.
 *
 * ```ts
 * const images = yield* Cifar.read("data/cifar-10-binary.tar.gz")
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (path: string, options: Options = {}) {
  const { split = "train", labels: kind = "fine" } = options
  const all = (yield* Source.isFolder(path)) ? yield* filesIn(path) : yield* filesOf(path)
  const has = (name: string) => all.some((file) => file.name === name)
  const version = (["CIFAR-10", "CIFAR-100"] as const).find((each) =>
    [...versions[each].train, ...versions[each].test].some(has)
  )
  if (version === undefined) {
    const python = has("data_batch_1") || has("train")
    return yield* Effect.fail(
      dataError(
        path,
        "empty",
        python
          ? "these are the files for Python, which are not read: get the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz"
          : "there are no files of CIFAR-10 (data_batch_1.bin and others) or CIFAR-100 (train.bin, test.bin)"
      )
    )
  }
  const found = versions[version]
  const bytesOf = Effect.fnUntraced(function* (name: string) {
    const file = all.find((each) => each.name === name)
    if (file !== undefined) return yield* file.read
    const message = `there is no ${name}, which is a part of ${version}: get ${found.archive}`
    return yield* Effect.fail(dataError(path, "empty", message))
  })
  const names =
    version === "CIFAR-10"
      ? "batches.meta.txt"
      : kind === "fine"
        ? "fine_label_names.txt"
        : "coarse_label_names.txt"
  const text = has(names) ? new TextDecoder().decode(yield* bytesOf(names)) : ""
  const named = text.split(/\s+/).filter(Boolean)
  const numbers = Array.from({ length: found.classes[kind] }, (_, i) => `${i}`)
  const classes = named.length > 0 ? named : numbers
  const parts = yield* Effect.forEach(found[split], (name) =>
    Effect.map(bytesOf(name), (bytes) => ({ name, bytes }))
  )
  return yield* attempt(() => {
    const record = found.labels + size
    for (const { name, bytes } of parts) {
      demand(
        bytes.length % record === 0,
        path,
        "format",
        () =>
          `${name} has ${bytes.length} bytes, no whole number of images of ${record}: it is cut short or no file of ${version}; get ${found.archive} anew`
      )
    }
    const total = parts.reduce((sum, { bytes }) => sum + bytes.length / record, 0)
    const [data, labels] = [new Uint8Array(total * size), new Uint8Array(total)]
    let at = 0
    for (const { bytes } of parts) {
      for (let start = 0; start < bytes.length; start += record) {
        // of two labels the coarse one is first
        labels[at] = bytes[start + (kind === "fine" ? found.labels - 1 : 0)]
        data.set(bytes.subarray(start + found.labels, start + record), at * size)
        at++
      }
    }
    return Dataset.fromArrays({ name: path, shape, bytes: data, labels, classes })
  })
})
