/**
 * IDX files, the format of MNIST and of what takes its place (Fashion-MNIST, KMNIST, EMNIST, whose images lie on their side), packed by
 * gzip or not.
 *
 * A file is two zero bytes, a type, the number of axes, the size of each axis as 32 bits, and then the elements, all of them big-endian
 * (LeCun, Cortes and Burges, the MNIST database of handwritten digits).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Dataset from "./Dataset.ts"
import * as Files from "./Files.ts"
import { attempt, dataError, demand } from "./internal/data.ts"
import * as Source from "./internal/source.ts"

/**
 * The array of a file: whole numbers of 8 bits as bytes, all else as doubles.
 *
 * @since 0.1.0
 * @category models
 */
export interface IdxArray {
  readonly shape: ReadonlyArray<number>
  readonly data: Uint8Array | Float64Array
}

type Reader = (view: DataView, at: number) => number

/** How many bytes an element of a type has, and how it is read; bytes are taken as they are. */
const types: Readonly<Record<number, readonly [bytes: number, read: Reader | undefined]>> = {
  8: [1, undefined],
  9: [1, (view, at) => view.getInt8(at)],
  11: [2, (view, at) => view.getInt16(at)],
  12: [4, (view, at) => view.getInt32(at)],
  13: [4, (view, at) => view.getFloat32(at)],
  14: [8, (view, at) => view.getFloat64(at)]
}

/**
 * The array that the bytes of an unpacked file stand for. Throws `DataError` about `source` if they are none.
 *
 * @since 0.1.0
 * @category conversions
 */
export const parse = (bytes: Uint8Array, source: string): IdxArray => {
  const [type, axes] = [types[bytes[2]], bytes[3]]
  demand(
    bytes.length >= 4 && bytes[0] === 0 && bytes[1] === 0 && type !== undefined && axes > 0,
    source,
    "format",
    () => {
      const begin = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0"))
      return `it is no IDX file: it begins with ${begin.join(" ") || "nothing"}, not with 00 00, a type (08 to 0e) and a number of axes`
    }
  )
  const start = 4 + 4 * axes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  demand(bytes.length >= start, source, "format", () => "it is cut short within its head")
  const shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis))
  const count = shape.reduce((product, size) => product * size, 1)
  const [each, read] = type
  demand(
    bytes.length === start + each * count,
    source,
    "format",
    () =>
      `an array of [${shape}] has ${start + each * count} bytes, but there are ${bytes.length}: the file is ${
        bytes.length < start + each * count ? "cut short" : "longer than it says"
      }; get it anew`
  )
  const data =
    read === undefined
      ? bytes.subarray(start)
      : Float64Array.from({ length: count }, (_, i) => read(view, start + each * i))
  return { shape, data }
}

/** As MNIST's files are named, and those that took its names. */
const images = /(?:^|-)(train|t10k|test)-images[-.]idx3-ubyte(?:\.gz)?$/

/**
 * - `split`: which part of a folder, `train` unless told
 * - `labels`: the file of labels, or false for none; unless told, the one beside the images that is named as they are, if there is one
 * - `classes`: names; the labels' numbers unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly split?: "train" | "test" | undefined
  readonly labels?: string | false | undefined
  readonly classes?: ReadonlyArray<string> | undefined
}

const isBeyond = (x: number): boolean => Math.abs(x) > 1

const array = (path: string) =>
  Effect.flatMap(Source.unpacked(path), (bytes) => attempt(() => parse(bytes, path)))

/** The file of images of a part, in a folder. */
const imagesIn = Effect.fnUntraced(function* (folder: string, split: "train" | "test") {
  const paths = yield* Path.Path
  const names = (yield* Files.list(folder)).filter((name) => images.test(name))
  const found = names.filter((name) => (images.exec(name)?.[1] === "train") === (split === "train"))
  // unpacked and packed are the same
  const different = new Set(found.map((name) => name.replace(/\.gz$/, "")))
  if (different.size > 1) {
    const message = `there are several, ${found.join(", ")}: tell the path of one`
    return yield* Effect.fail(dataError(folder, "options", message))
  }
  if (found.length === 0) {
    const name = `${split === "train" ? "train" : "t10k"}-images-idx3-ubyte`
    const others = names.length === 0 ? "" : `, but ${names.join(", ")}`
    const message = `there is no ${name} or ${name}.gz in it${others}`
    return yield* Effect.fail(dataError(folder, "empty", message))
  }
  return paths.join(folder, found[0])
})

/** The file of labels that belongs to a file of images by its name. */
const labelsBeside = Effect.fnUntraced(function* (path: string) {
  const [files, paths] = [yield* FileSystem.FileSystem, yield* Path.Path]
  const [folder, name] = [paths.dirname(path), paths.basename(path)]
  const other = name.replace("images", "labels").replace("idx3", "idx1")
  if (other === name) return undefined
  for (const each of [other, other.replace(/\.gz$/, ""), `${other}.gz`]) {
    const beside = paths.join(folder, each)
    if (yield* Effect.orElseSucceed(files.exists(beside), () => false)) return beside
  }
  return undefined
})

/**
 * The data set of a folder as MNIST comes in, or of one file of images. Bytes are values from −1 to 1, and other numbers what they are;
 * images `[n, height, width]` are grey, `[1, height, width]`.
 *
 * Fails with `DataError`, naming the file, for one that is no IDX file or is cut short, where images and labels differ in number, and for
 * images with values beyond −1 and 1.
 *
 * ```ts
 * const digits = yield* Idx.read("data/mnist")
 * const unseen = yield* Idx.read("data/mnist", { split: "test" })
 * ```
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (path: string, options: Options = {}) {
  const file = (yield* Source.isFolder(path))
    ? yield* imagesIn(path, options.split ?? "train")
    : path
  const beside =
    options.labels === false ? undefined : (options.labels ?? (yield* labelsBeside(file)))
  const { shape, data } = yield* array(file)
  const labels = beside === undefined ? undefined : yield* array(beside)
  return yield* attempt(() => {
    const [count, ...rest] = shape
    demand(
      rest.length > 0,
      file,
      "shape",
      () => `it holds numbers [${shape}], as files of labels do, not images [n, height, width]`
    )
    demand(
      labels === undefined || (labels.shape.length === 1 && labels.shape[0] === count),
      file,
      "shape",
      () => `there are ${count} images, but labels [${labels?.shape}] in ${beside}`
    )
    const odd = rest.length === 2 && !(data instanceof Uint8Array) ? data.find(isBeyond) : undefined
    demand(
      odd === undefined,
      file,
      "value",
      () => `its images have the value ${odd}: save bytes, or numbers from -1 to 1`
    )
    return Dataset.fromArrays({
      name: file,
      shape: rest.length === 2 ? [1, ...rest] : rest,
      ...(data instanceof Uint8Array ? { bytes: data } : { floats: Float32Array.from(data) }),
      labels: labels?.data,
      classes: options.classes
    })
  })
})
