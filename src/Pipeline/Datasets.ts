/**
 * Data sets by name, for configurations and the command line, and those that can be fetched.
 *
 * A data set is told in a word, `digits`; a word and a path, `images:photos`; a path, `faces.npz`, where its ending tells what it is; or a
 * record with options beside the name:
 *
 * ```json
 * { "name": "images:photos", "size": 64, "flip": true }
 * ```
 *
 * | name                                 | items                                                                |
 * | ------------------------------------ | -------------------------------------------------------------------- |
 * | `digits`                             | drawn as they are needed, without an end (`Digits`)                  |
 * | `moons`, `circles` and others        | points in the plane, without an end (`Points`)                       |
 * | `mnist`, `fashion-mnist`, `idx:path` | a folder of IDX files, or one (`Idx`)                                |
 * | `cifar10`                            | the binary version, or pictures, in a folder or an archive (`Cifar`) |
 * | `images:path`                        | a folder of pictures, or a tar archive (`ImageFolder`)               |
 * | `npy:path`, `npz:path`               | arrays of NumPy (`Npy`)                                              |
 * | `parquet:path`                       | a Parquet file, or a folder of them (`Parquet`)                      |
 * | `wav:path`                           | pieces of the sound in a folder (`Wav`)                              |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { HttpClient } from "effect/http/HttpClient"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Suggestion } from "../Tensor/index.ts"
import * as Augment from "./Augment.ts"
import * as Cifar from "./Cifar.ts"
import * as Dataset from "./Dataset.ts"
import * as Digits from "./Digits.ts"
import * as Download from "./Download.ts"
import * as Files from "./Files.ts"
import * as Idx from "./Idx.ts"
import * as ImageFolder from "./ImageFolder.ts"
import { decode } from "./internal/config.ts"
import { attempt, dataError, demand } from "./internal/data.ts"
import * as Source from "./internal/source.ts"
import * as Npy from "./Npy.ts"
import * as Parquet from "./Parquet.ts"
import { type DataError, FileError } from "./PipelineError.ts"
import * as Points from "./Points.ts"
import * as Wav from "./Wav.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const Natural = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const fields = {
  /** Which part, `train` unless told. */
  split: Schema.optionalKey(Schema.String),
  /** Of data that come in one part, the share that is not trained on, spread evenly over all items: it is the part `test`. */
  holdOut: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThan(1))),
  /** How many items at most: the first. Of pictures, tables, arrays and sound, what is beyond is not even decoded. */
  limit: Schema.optionalKey(Count),
  /** Of what is drawn; 0 unless told. */
  seed: Schema.optionalKey(Natural),
  /** What all items are brought to, for both sides or height and width. */
  size: Schema.optionalKey(Schema.Union([Count, Schema.Tuple([Count, Count])])),
  /** The size that black is put around items to. */
  pad: Schema.optionalKey(Count),
  /** How far items are moved at random, at most, in pixels. */
  crop: Schema.optionalKey(Count),
  /** Whether half of the items, drawn anew each time, are mirrored left and right. */
  flip: Schema.optionalKey(Schema.Boolean),
  /** Of pictures: 1 for grey, 3 for colour. */
  channels: Schema.optionalKey(Schema.Literals([1, 3])),
  /** See `ImageFolder.Options`. */
  fit: Schema.optionalKey(Schema.Literals(["crop", "stretch"])),
  /** See `ImageFolder.Options`. */
  background: Schema.optionalKey(Schema.String),
  /** `channels` of `Npy.Options`. */
  layout: Schema.optionalKey(Schema.Literals(["first", "last"])),
  /** See `Npy.Options`. */
  range: Schema.optionalKey(Schema.Literals(["0..1", "-1..1", "0..255"])),
  /** The array or column of images, by its name. */
  images: Schema.optionalKey(Schema.String),
  /** The array, column or file of classes, or false for none. */
  labels: Schema.optionalKey(Schema.Union([Schema.String, Schema.Literal(false)])),
  /** See `Wav.Options`. */
  length: Schema.optionalKey(Count),
  /** See `Wav.Options`. */
  hop: Schema.optionalKey(Count),
  /** See `Wav.Options`. */
  rate: Schema.optionalKey(Count),
  /** See `Wav.Options`. */
  short: Schema.optionalKey(Schema.Literals(["refuse", "skip", "pad"]))
} as const

/**
 * What may be told of a data set. Which of it, depends on the kind (see {@link kinds}).
 *
 * @since 0.1.0
 * @category schemas
 */
export const Options = Schema.Struct(fields)

/**
 * @since 0.1.0
 * @category schemas
 */
export type Options = typeof Options.Type

/**
 * What makes a data set: a word, a path or both, or a record of it with options.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Union([
  Schema.String,
  Schema.Struct({
    /** As where it stands alone. */
    name: Schema.String,
    /** Where it is, unless the name says so. */
    path: Schema.optionalKey(Schema.String),
    ...fields
  })
])

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

type Option = keyof Options

type Opened = Effect.Effect<
  Dataset.Dataset,
  DataError | FileError,
  FileSystem.FileSystem | Path.Path
>

interface Kind {
  /** What it is, in a line. */
  readonly about: string
  /** Whether a path must be told, may be, or makes no sense. */
  readonly path: "needed" | "optional" | "none"
  /** What may be told. */
  readonly options: ReadonlyArray<Option>
  readonly open: (path: string, options: Options) => Opened
  /** Options that `open` has seen to. */
  readonly done?: ReadonlyArray<Option>
}

/** What can be done to all images. */
const ofImages = ["size", "pad", "crop", "flip", "limit"] as const

const pictures = ["channels", "fit", "background"] as const

/** The part of a data set that is in two. */
const halfOf = (
  source: string,
  split: string | undefined
): Effect.Effect<"train" | "test", DataError> =>
  split === undefined || split === "train" || split === "test"
    ? Effect.succeed(split ?? "train")
    : Effect.fail(dataError(source, "options", `there is no part "${split}", but train and test`))

/** Of data that come in one part. */
const inOne = ["split", "holdOut"] as const

/** A part of data that come in one: every so many-th item is held out, whatever order they are in. */
const partOf = (
  data: Dataset.Dataset,
  split: "train" | "test",
  share: number | undefined
): Dataset.Dataset => {
  if (share === undefined) return data
  const isOut = (i: number) => Math.floor((i + 1) * share) > Math.floor(i * share)
  const all = Array.from({ length: data.size }, (_, i) => i)
  const part = all.filter((i) => isOut(i) === (split === "test"))
  demand(
    part.length > 0,
    data.name,
    "empty",
    () => `of ${data.size} items, none are left where ${share} of them are held out`
  )
  return Dataset.subset(data, part)
}

/** How many of the first items there must be, for so many of a part to be among them; or one or two more, so that rounding does no harm. */
const firstOf = (count: number, split: "train" | "test", share: number | undefined): number =>
  share === undefined
    ? count
    : Math.min(
        Number.MAX_SAFE_INTEGER,
        Math.ceil(count / (split === "test" ? share : 1 - share)) + 1
      )

const points = (name: Points.Name): Kind => ({
  about: "points in the plane, without an end",
  path: "none",
  options: ["seed", "limit"],
  open: (_, { seed }) => attempt(() => Points.make(name, { seed }))
})

const idx = (about: string, path: Kind["path"], classes?: ReadonlyArray<string>): Kind => ({
  about,
  path,
  options: ["split", "labels", ...ofImages],
  open: (path, { split, labels }) =>
    Effect.flatMap(halfOf(path, split), (split) => Idx.read(path, { split, labels, classes }))
})

const npy = (about: string): Kind => ({
  about,
  path: "needed",
  options: ["layout", "range", "images", "labels", ...inOne, ...ofImages],
  open: (path, { layout, range, images, labels, limit }) =>
    labels === false
      ? Effect.fail(
          dataError(path, "options", "`labels` is a name here; leave it out where there are none")
        )
      : Npy.dataset(path, { channels: layout, range, images, labels, limit })
})

const fashion = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot"
]

/** CIFAR-10 as it is published, or as pictures. */
const cifar = Effect.fnUntraced(function* (path: string, { split: given, limit }: Options) {
  const split = yield* halfOf(path, given)
  const paths = yield* Path.Path
  if (!(yield* Source.isFolder(path))) {
    const binary = Cifar.read(path, { split })
    return yield* Effect.catchIf(
      binary,
      (error) => error.reason === "empty",
      (error) =>
        given === undefined
          ? Effect.mapError(ImageFolder.read(path, { limit }), (other) =>
              other.reason === "empty" ? error : other
            )
          : Effect.fail(error)
    )
  }
  const names = yield* Files.list(path)
  const archive = names.find((name) => /^cifar-10-binary\.tar(?:\.gz)?$/.test(name))
  if (archive !== undefined) return yield* Cifar.read(paths.join(path, archive), { split })
  if (names.some((name) => /\.bin$|^cifar-10-/.test(name)))
    return yield* Cifar.read(path, { split })
  const parts = names.filter((name) => /^(?:train|test)(?:\.tar(?:\.gz)?|\.tgz)?$/.test(name))
  if (parts.length === 0) return yield* ImageFolder.read(path, { limit })
  const part = parts.find((name) => name.split(".")[0] === split)
  if (part !== undefined) return yield* ImageFolder.read(paths.join(path, part), { limit })
  const own =
    given === undefined
      ? `; to take that, tell its path, cifar10:${paths.join(path, parts[0])}`
      : ""
  return yield* dataError(
    path,
    "empty",
    `there is no part "${split}" in it, but ${parts.join(", ")}${own}`
  )
})

const all = {
  digits: {
    about: "digits, drawn as they are needed, 28×28, without an end",
    path: "none",
    options: ["seed", ...ofImages],
    open: (_, { seed }) => attempt(() => Digits.make({ seed }))
  },
  moons: points("moons"),
  checkerboard: points("checkerboard"),
  swissRoll: points("swissRoll"),
  gaussians: points("gaussians"),
  circles: points("circles"),
  spirals: points("spirals"),
  mnist: idx("handwritten digits, 28×28", "optional"),
  "fashion-mnist": idx("pieces of clothing, 28×28", "optional", fashion),
  idx: idx("images in IDX files, the format of MNIST", "needed"),
  cifar10: {
    about: "photos of ten kinds of things, 32×32",
    path: "optional",
    options: ["split", ...ofImages],
    open: cifar
  },
  images: {
    about: "pictures in a folder or a tar archive, perhaps in a folder for each class",
    path: "needed",
    options: [...pictures, ...inOne, ...ofImages],
    open: (path, options) => ImageFolder.read(path, options),
    done: ["size"]
  },
  npy: npy("an array of NumPy"),
  npz: npy("arrays of NumPy, images and perhaps labels"),
  parquet: {
    about: "pictures in Parquet files, as Hugging Face publishes them",
    path: "needed",
    options: ["split", "images", "labels", ...pictures, ...ofImages],
    open: (path, { images, labels, ...options }) =>
      Parquet.read(path, { ...options, image: images, label: labels }),
    done: ["size"]
  },
  wav: {
    about: "pieces of the sound in a folder of WAV files, perhaps in a folder for each class",
    path: "needed",
    options: ["length", "hop", "rate", "short", ...inOne, "limit"],
    open: (path, { length, ...options }) =>
      length === undefined
        ? Effect.fail(
            dataError(
              path,
              "options",
              "say how long a piece is, in frames, by `length`, such as 16384"
            )
          )
        : Wav.dataset(path, { ...options, length })
  }
} as const satisfies Readonly<Record<string, Kind>> & Readonly<Record<Points.Name, Kind>>

/**
 * The words that data sets are told by.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof all

/**
 * What each name stands for: what it is, in a line, whether it is at a path, and what may be told of it.
 *
 * @since 0.1.0
 * @category instances
 */
export const kinds: Readonly<Record<Name, Pick<Kind, "about" | "path" | "options">>> = all

const isName = (name: string): name is Name => Object.hasOwn(all, name)

const names = Object.keys(all)

/** What a file is by the end of its name. */
const endings: ReadonlyArray<readonly [RegExp, Name]> = [
  [/\.npy$/i, "npy"],
  [/\.npz$/i, "npz"],
  [/\.parquet$/i, "parquet"],
  [/-ubyte(?:\.gz)?$/i, "idx"],
  [/^(?:.*[/\\])?cifar-10-binary\.tar(?:\.gz)?$/i, "cifar10"],
  [/\.(?:tar|tgz|tar\.gz)$/i, "images"]
]

/**
 * The name and the path that a text tells, or that `given` beside it does. Throws `DataError` for a name that is not known, with the
 * nearest that is, for a path alone that does not tell what it is, and for a path that is missing or makes no sense.
 *
 * ```ts
 * Datasets.parse("images:photos") // { name: "images", path: "photos" }
 * Datasets.parse("faces.npz") // { name: "npz", path: "faces.npz" }
 * Datasets.parse("mnist") // { name: "mnist", path: "data/mnist" }
 * ```
 *
 * @since 0.1.0
 * @category conversions
 */
export const parse = (
  text: string,
  given?: string
): { readonly name: Name; readonly path: string | undefined } => {
  const refuse = (message: string) => dataError("data", "options", message)
  // a letter before a colon may be a disk's
  const [, before, after] = /^([^:/\\]{2,}):(.*)$/s.exec(text) ?? [undefined, text, undefined]
  const ending = endings.find(([pattern]) => pattern.test(text))
  const name = after === undefined && ending !== undefined && !isName(before) ? ending[1] : before
  if (!isName(name)) {
    if (after !== undefined || !/[/\\.]/.test(text)) {
      throw refuse(`there are no data "${name}"; ${Suggestion.sentence(name, names)}`)
    }
    throw refuse(
      `"${text}" does not tell what it holds: put that before it, such as images:${text}; known are ${names
        .filter((each) => kinds[each as Name].path !== "none")
        .join(", ")}`
    )
  }
  const own = after ?? (name === before ? undefined : text)
  if (own !== undefined && given !== undefined) {
    throw refuse(`"${text}" has a path, and so has \`path\`: tell one`)
  }
  const path = own ?? given
  const kind = kinds[name].path
  if (kind === "none" && path !== undefined) {
    throw refuse(`${name} are at no path, so that "${path}" makes no sense: leave it out`)
  }
  if (path === "" || (kind === "needed" && path === undefined)) {
    throw refuse(`say where they are, such as ${name}:path/to/them`)
  }
  return { name, path: kind === "none" ? undefined : (path ?? `data/${name}`) }
}

/**
 * The data set that a text or a record tells; options of a second record come before those of the first. Items are brought to their `size`,
 * then padded, limited in number, moved and mirrored.
 *
 * Fails with `DataError` of reason `options` for names, fields and options that are not known or do not fit the kind, and with what the
 * kinds fail with.
 *
 * ```ts
 * const digits = yield* Datasets.open("digits")
 * const photos = yield* Datasets.open("images:photos", { size: 64, flip: true })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const open: (config: Config, options?: Options) => Opened = Effect.fnUntraced(function* (
  config: Config,
  options: Options = {}
) {
  const record = typeof config === "string" ? { name: config } : config
  const checked = yield* Effect.mapError(
    decode("data", Config, { ...record, ...options }),
    ({ message }) => dataError("data", "options", message.replace(/^data: /, ""))
  )
  const { name: text, path: told, ...given } = checked as Exclude<Config, string>
  const { name, path } = yield* attempt(() => parse(text, told))
  const kind: Kind = all[name]
  const odd = Object.keys(given).find((option) => !kind.options.includes(option as Option))
  if (odd !== undefined) {
    return yield* dataError(
      name,
      "options",
      `\`${odd}\` is not for these data; known are ${kind.options.join(", ")}`
    )
  }
  const { size, pad, limit, crop, flip, holdOut } = given
  const split = kind.options.includes("holdOut") ? yield* halfOf(name, given.split) : "train"
  if (split === "test" && holdOut === undefined) {
    const why = "nothing is held out: tell which share is by `holdOut`, such as 0.1"
    return yield* dataError(path ?? name, "empty", why)
  }
  // no more is read and decoded than is needed
  const most = limit === undefined ? {} : { limit: firstOf(limit, split, holdOut) }
  const data = yield* Effect.mapError(kind.open(path ?? name, { ...given, ...most }), (error) =>
    error._tag === "FileError" && error.reason === "missing" && isPublished(name)
      ? new FileError({
          path: error.path,
          reason: "missing",
          message: `${error.message}; \`odeon data fetch ${name}\` fetches them to data/${name}`
        })
      : error
  )
  return yield* attempt(() => {
    let made = partOf(data, split, holdOut)
    if (size !== undefined && !kind.done?.includes("size")) made = Augment.resize(made, { size })
    if (pad !== undefined) made = Augment.pad(made, { size: pad })
    if (limit !== undefined) made = Dataset.take(made, Math.min(limit, made.size))
    if (crop !== undefined) made = Augment.crop(made, { padding: crop })
    if (flip === true) made = Augment.flip(made)
    return made
  })
})

/**
 * What can be fetched: where its files are, the first to be tried first, and what they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface Published {
  readonly bases: ReadonlyArray<string>
  readonly files: ReadonlyArray<{
    readonly name: string
    readonly bytes: number
    readonly sha256: string
  }>
}

/** The four files of a data set of MNIST's kind. */
const four = (
  ...files: ReadonlyArray<readonly [bytes: number, sha256: string]>
): Published["files"] =>
  [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz"
  ].map((name, i) => ({ name, bytes: files[i][0], sha256: files[i][1] }))

/**
 * What can be fetched, by name.
 *
 * - `mnist`: LeCun, Cortes and Burges, the MNIST database of handwritten digits
 * - `fashion-mnist`: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747
 * - `cifar10`: Krizhevsky 2009, Learning multiple layers of features from tiny images
 *
 * @since 0.1.0
 * @category instances
 */
export const catalog = {
  mnist: {
    bases: [
      "https://ossci-datasets.s3.amazonaws.com/mnist/",
      "https://storage.googleapis.com/cvdf-datasets/mnist/",
      "http://yann.lecun.com/exdb/mnist/"
    ],
    files: four(
      [9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"],
      [28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"],
      [1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"],
      [4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"]
    )
  },
  "fashion-mnist": {
    bases: [
      "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
      "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
      "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    ],
    files: four(
      [26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"],
      [29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"],
      [4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"],
      [5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"]
    )
  },
  cifar10: {
    bases: [
      "https://www.cs.toronto.edu/~kriz/",
      "https://cave.cs.toronto.edu/kriz/",
      "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"
    ],
    files: [
      {
        name: "cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
      }
    ]
  }
} as const satisfies Readonly<Record<string, Published>>

const isPublished = (name: string): name is keyof typeof catalog => Object.hasOwn(catalog, name)

/**
 * - `folder`: where the files are to be
 * - `from`: the address of a folder with the files, instead of those known
 * - the others as in `Download.Options`
 *
 * @since 0.1.0
 * @category models
 */
export interface FetchOptions extends Pick<Download.Options, "attempts" | "backoff" | "patience"> {
  readonly folder: string
  readonly from?: string | undefined
}

type Fetching = Stream.Stream<
  Download.Event,
  DataError | FileError,
  HttpClient | FileSystem.FileSystem | Path.Path
>

/**
 * Fetches some files, those that are not there and right, one after the other, and tells what happens (see `Download.events`).
 *
 * Fails as `Download.fetch`. The files that came before are there and right then, and fetching again goes on where it was.
 *
 * @since 0.1.0
 * @category streams
 */
export const fetchFiles = (
  { bases, files }: Published,
  { folder, from, ...options }: FetchOptions
): Fetching =>
  Stream.unwrap(
    Effect.map(Path.Path, (paths) => {
      const places = from === undefined ? bases : [from]
      return Stream.flatMap(Stream.fromIterable(files), ({ name, bytes, sha256 }) =>
        Download.events({
          ...options,
          urls: places.map((base) => `${base.replace(/\/?$/, "/")}${name}`),
          path: paths.join(folder, name),
          bytes,
          sha256
        })
      )
    })
  )

/**
 * Fetches a data set of the {@link catalog}, as {@link fetchFiles}, to `data/<name>` unless told, where {@link open} looks for it. Fails
 * with `DataError` of reason `options` for a name that is not in the catalog.
 *
 * ```ts
 * yield* Datasets.fetch("mnist").pipe(Stream.runForEach((event) => Console.log(event)))
 * const digits = yield* Datasets.open("mnist")
 * ```
 *
 * @since 0.1.0
 * @category streams
 */
export const fetch = (
  name: keyof typeof catalog | (string & {}),
  options: Partial<FetchOptions> = {}
): Fetching =>
  isPublished(name)
    ? fetchFiles(catalog[name], { ...options, folder: options.folder ?? `data/${name}` })
    : Stream.fail(
        dataError(
          "data",
          "options",
          `there is no "${name}" to fetch; ${Suggestion.sentence(name, Object.keys(catalog))}`
        )
      )
