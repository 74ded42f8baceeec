/**
 * Evaluation: how like real images a model's samples are, and what they cost.
 *
 * Sets of images are compared by an extractor's features (see `Features`, `Metrics`): each with the same reference, most often the images
 * that were trained on. What a figure is worth is told by a yardstick, real images that were held out, as many as there are samples: no
 * model is expected to come nearer to the reference than these. A judge, a classifier that was trained on the data set itself, tells which
 * class each image is of, and how surely.
 *
 * Images come in batches and are forgotten: of a set there remain moments, classes, and the features of its first images, so that memory
 * does not grow with the number of samples. They are looked at as their files would have them, in 8 bits (`Images.rounded`), as the
 * published distances are. Of data that have more images than are looked at these are chosen at random, the same ones each time: files are
 * often in the order of their classes.
 *
 * ```ts
 * const parts = yield* Evaluate.open("mnist")
 * const judge = yield* Evaluate.judge(parts, { cache: "classifiers" })
 * const { evaluation } = yield* Evaluate.run([yield* Evaluate.ofRun("runs/mnist")], { ...parts, judge, count: 1000 })
 * console.log(Evaluate.show(evaluation))
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Device, type DeviceError } from "../Device/index.ts"
import { Dpm } from "../Diffusion/index.ts"
import { type Layer, Summary } from "../Layer/index.ts"
import { DType, Shape, Tensor } from "../Tensor/index.ts"
import * as Checkpoint from "./Checkpoint.ts"
import * as Classifier from "./Classifier.ts"
import * as Dataset from "./Dataset.ts"
import * as Datasets from "./Datasets.ts"
import * as Experiment from "./Experiment.ts"
import type * as Features from "./Features.ts"
import * as Images from "./Images.ts"
import { attempt as attemptBuild, type BuildError } from "./internal/attempt.ts"
import { attempt, dataError, demand, demandWhole, hash } from "./internal/data.ts"
import * as Saved from "./internal/saved.ts"
import { some } from "./internal/some.ts"
import * as Metrics from "./Metrics.ts"
import * as Model from "./Model.ts"
import { CheckpointError, type FileError } from "./PipelineError.ts"
import * as Report from "./Report.ts"
import * as Run from "./Run.ts"

type Batch = Images.Images

// ── Findings ─────────────────────────────────────────────────────────────────────────────────────

const Spread = Schema.Struct({ mean: Schema.Number, deviation: Schema.Number })

/**
 * How the judge, a classifier trained on the data set itself, sees a set of images.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Judgement = Schema.Struct({
  /** How many images are of each class, in the classes' order. */
  counts: Schema.Array(Schema.Int),
  /** The share of images whose class is more probable than {@link sure}. */
  confident: Schema.Number,
  /** The mean probability of the images' classes. */
  confidence: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Judgement = typeof Judgement.Type

/**
 * What a model is and costs. Times are those of the machine at hand.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Network = Schema.Struct({
  parameters: Schema.Int,
  /** Multiply-accumulates of convolutions and dense layers, of one evaluation for one image. */
  macs: Schema.Number,
  /** Steps that it was trained. */
  steps: Schema.Int,
  /** Seconds that a step of training took, the median of its history, if it is known. */
  secondsPerStep: Schema.optionalKey(Schema.Number),
  sampler: Schema.String,
  /** Evaluations of the denoiser for each image. */
  evaluations: Schema.Int,
  /** Images at once. */
  batch: Schema.Int,
  /** The most bytes of values alive at once in a step of sampling such a batch, beside the weights (`Cost.peakBytes`). */
  peakBytes: Schema.Number,
  /** Of sampling, without compilation. */
  secondsPerImage: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Network = typeof Network.Type

/**
 * What is found of a set of images.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Figures = Schema.Struct({
  name: Schema.String,
  /** Images. */
  count: Schema.Int,
  /** The Fréchet distance to the reference (`Metrics.fid`): FID proper, if the features are Inception's. */
  fid: Schema.Number,
  /** The kernel distance (`Metrics.kidOfSubsets`). */
  kid: Spread,
  /** These four by `Metrics.precisionRecall`. */
  precision: Schema.Number,
  recall: Schema.Number,
  density: Schema.Number,
  coverage: Schema.Number,
  /** `Metrics.inceptionScore`, of an extractor that knows classes. */
  score: Schema.optionalKey(Spread),
  judgement: Schema.optionalKey(Judgement),
  /** Of a model. */
  network: Schema.optionalKey(Network)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Figures = typeof Figures.Type

/**
 * What an evaluation found, and by what means.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Evaluation = Schema.Struct({
  format: Schema.Literal("odeon-evaluation"),
  version: Schema.Literal(1),
  /** What all sets are compared with. */
  reference: Schema.Struct({ name: Schema.String, count: Schema.Int }),
  extractor: Schema.Struct({
    name: Schema.String,
    dimension: Schema.Int,
    /** What was done to images of another size than the extractor's. */
    resizing: Schema.String,
    /** What features are divided by; 1 but for the judge's. */
    scale: Schema.Number
  }),
  /** How many features of each set the kernel distance, precision, recall and score are of, at most. */
  features: Schema.Int,
  judge: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      classes: Schema.Array(Schema.String),
      /** The share of held-out images that it classifies rightly. */
      accuracy: Schema.Number
    })
  ),
  /** Of the samples. */
  seed: Schema.Int,
  device: Schema.String,
  /** Real images that were held out, if there are any: the yardstick. */
  real: Schema.optionalKey(Figures),
  models: Schema.Array(Figures)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Evaluation = typeof Evaluation.Type

/**
 * A judge is sure of an image where the probability of its class is above this.
 *
 * @since 0.1.0
 * @category instances
 */
export const sure = 0.9

// ── What is evaluated ────────────────────────────────────────────────────────────────────────────

/**
 * What can go wrong with a subject.
 *
 * @since 0.1.0
 * @category errors
 */
export type SubjectError = BuildError | Model.SampleError | FileError

/**
 * A source of images, at hand.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source {
  readonly images: (options: {
    readonly count: number
    readonly seed: number
  }) => Stream.Stream<Batch, SubjectError>
  /** Of a model; how long an image takes is measured. */
  readonly network?: Omit<Network, "secondsPerImage">
  /** How many images make a row to look at, where that says something: each column is a class, for example. */
  readonly columns?: number
}

/**
 * What is evaluated: a model, or whatever else gives images.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  /** For people; no two have the same. */
  readonly name: string
  /** Of one image: `[channels, height, width]`. */
  readonly shape: ReadonlyArray<number>
  /** Compiles what has to be, for as long as the scope lasts. */
  readonly open: Effect.Effect<Source, SubjectError, Device.Device | Scope.Scope>
}

/**
 * The images of a data set, in order.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofDataset = (name: string, data: Dataset.Dataset): Subject => ({
  name,
  shape: data.shape,
  open: Effect.succeed({
    images: ({ count }) =>
      Stream.map(Dataset.sequence(data, { batch: 256, count }), ({ data }) => data)
  })
})

/** What a model's network is made of, for one image. */
const summaryOf = ({ network, shape, classes }: Model.Model): Summary.Summary =>
  Summary.of(network as Layer.Any, Tensor.spec([1, ...shape]), {
    time: Tensor.spec([1]),
    ...(classes === undefined ? {} : { label: Tensor.spec([1], "int32") })
  })

/**
 * The samples of a model. `secondsPerStep`: what a step of its training took, if that is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofModel = (
  name: string,
  model: Model.Model,
  options: Model.SamplingOptions & { readonly secondsPerStep?: number | undefined } = {}
): Subject => ({
  name,
  shape: model.shape,
  open: Effect.gen(function* () {
    const { batch = 64, sampler = Dpm.dpmpp2m(), guidance = 1, secondsPerStep } = options
    yield* attempt(() =>
      demand(
        guidance === 1 || model.classes !== undefined,
        name,
        "options",
        () => "it knows no classes, so that there is no guidance: leave it out"
      )
    )
    const sampling = yield* Model.sampling(model, { ...options, batch, sampler })
    const { parameters, macs } = yield* attemptBuild(() => summaryOf(model))
    const columns = Model.columnsOf(model)
    return {
      ...(columns === undefined ? {} : { columns }),
      images: (asked) => Stream.map(sampling.samples(asked), ({ images }) => images),
      network: {
        parameters,
        macs,
        steps: model.step,
        ...(secondsPerStep === undefined ? {} : { secondsPerStep }),
        sampler: sampler.name,
        evaluations: sampling.evaluations,
        batch,
        peakBytes: sampling.cost.peakBytes
      }
    }
  })
})

/** The median of what steps took, in seconds; `undefined` where there are none. */
const secondsPerStepOf = (
  history: Effect.Success<ReturnType<typeof Run.history>>
): number | undefined => {
  const times = history
    .flatMap((event) => (event._tag === "Step" ? [event.milliseconds] : []))
    .sort((a, b) => a - b)
  const middle = times[times.length >> 1]
  return middle === undefined ? undefined : middle / 1000
}

/**
 * The samples of the newest checkpoint of a run, or of a checkpoint. Its name is the folder's unless told. Fails as `Model.load`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofRun = Effect.fnUntraced(function* (
  folder: string,
  {
    name,
    average,
    fallback = false,
    ...sampling
  }: Model.SamplingOptions &
    Model.Choice & { readonly name?: string | undefined; readonly fallback?: boolean } = {}
) {
  const paths = yield* Path.Path
  const choice = average === undefined ? {} : { average }
  const model = yield* Model.load(folder, { ...choice, fallback })
  // a checkpoint that was taken elsewhere has no history
  const history = yield* Effect.orElseSucceed(Run.history(folder), () => [])
  return ofModel(name ?? paths.basename(paths.resolve(folder)), model, {
    ...sampling,
    secondsPerStep: secondsPerStepOf(history)
  })
})

// ── Data ─────────────────────────────────────────────────────────────────────────────────────────

/**
 * The parts of a data set.
 *
 * @since 0.1.0
 * @category models
 */
export interface Parts {
  /** What is trained on, and compared with. */
  readonly train: Dataset.Dataset
  /** Held out, if anything is. */
  readonly test?: Dataset.Dataset
}

/** What an evaluation does without: chance. */
const plain = (config: Datasets.Config): Datasets.Config => {
  if (typeof config === "string") return config
  const { crop: _, flip: __, ...rest } = config
  return rest
}

/**
 * A data set's parts, without augmentation. What is drawn without an end is held out by another seed. Data that are not in parts, and
 * those of which `split` asks for another part than `train`, are one, of which nothing is held out.
 *
 * Fails as `Datasets.open`.
 *
 * @since 0.1.0
 * @category data
 */
export const open = Effect.fnUntraced(function* (config: Datasets.Config) {
  const own = plain(config)
  const record = typeof own === "string" ? { name: own } : own
  const { name } = yield* attempt(() => Datasets.parse(record.name, record.path))
  const { options } = Datasets.kinds[name]
  const train = yield* Datasets.open(record)
  if (options.includes("seed")) {
    const seed = (record.seed ?? 0) + 1
    return { train, test: yield* Datasets.open({ ...record, seed }) } satisfies Parts
  }
  if (!options.includes("split") || (record.split ?? "train") !== "train") {
    return { train } satisfies Parts
  }
  const test = yield* Effect.result(Datasets.open({ ...record, split: "test" }))
  if (test._tag === "Success") return { train, test: test.success } satisfies Parts
  const { failure } = test
  // there is no such part
  if (failure.reason === "empty" || failure.reason === "missing") return { train } satisfies Parts
  return yield* failure
})

/**
 * The data set of a run, or of a checkpoint, as its configuration has it; its paths are those of the folder where it was trained. Fails as
 * `Checkpoint.open`, and with `CheckpointError` for one of another kind.
 *
 * @since 0.1.0
 * @category data
 */
export const dataOf = Effect.fnUntraced(function* (
  folder: string,
  options: { readonly fallback?: boolean } = {}
) {
  const { manifest, path } = yield* Checkpoint.open(folder, { ...options, optimizer: false })
  const config = yield* Effect.mapError(
    Experiment.parse(manifest.configuration),
    ({ message }) =>
      new CheckpointError({
        path,
        reason: "foreign",
        message: `the checkpoint ${path} is not of an experiment that is known here: ${message}`
      })
  )
  return config.data
})

// ── The judge ────────────────────────────────────────────────────────────────────────────────────

/**
 * A classifier that tells which class images are of. As an extractor it gives features too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Judge {
  readonly extractor: Features.Extractor
  readonly classes: ReadonlyArray<string>
  /** The share of held-out images that it classifies rightly; of those it was trained on, where none are held out. */
  readonly accuracy: number
}

/**
 * - `file`: a classifier that was saved (see `Classifier.save`), instead of one trained here
 * - `cache`: a folder where classifiers stay, by what they are, what they learnt and how; where it cannot be written they do not
 * - `training`: as in `Classifier.train`
 *
 * @since 0.1.0
 * @category models
 */
export interface JudgeOptions {
  readonly file?: string | undefined
  readonly cache?: string | undefined
  readonly training?: Classifier.TrainOptions
}

/** The most images of an endless data set that are looked at. */
const most = 10_000

/** A classifier from the cache, or trained and put there. */
const cached = Effect.fnUntraced(function* (train: Dataset.Dataset, options: JudgeOptions) {
  const { cache, training = {} } = options
  const { onStep: _, ...told } = training
  const classifier = yield* Classifier.forDataset(train)
  const make = Classifier.train(classifier, train, training)
  if (cache === undefined) return yield* make
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const recipe = [classifier.config, { ...Classifier.defaults, ...told }]
  const how = hash([train.fingerprint, ...recipe]).slice(0, 24)
  const path = paths.join(cache, `classifier-${how}.safetensors`)
  if (yield* Effect.orElseSucceed(files.exists(path), () => false)) {
    const found = yield* Effect.result(Classifier.load(path))
    // one that is damaged is made anew
    if (found._tag === "Success" && found.success.fingerprint === train.fingerprint) {
      return found.success
    }
  }
  const made = yield* make
  // what cannot be kept is made anew the next time
  yield* Effect.ignore(Classifier.save(path, made))
  return made
})

/**
 * The judge of a data set: a classifier trained on its training part, or one that was before. It is there for as long as the scope lasts.
 *
 * Fails with `DataError` for data without classes and for a classifier of other images or classes, and as `Classifier.train` and
 * `Classifier.load` do.
 *
 * @since 0.1.0
 * @category judges
 */
export const judge = Effect.fnUntraced(function* (
  { train, test }: Parts,
  options: JudgeOptions = {}
) {
  const { file } = options
  const trained = yield* file === undefined ? cached(train, options) : Classifier.load(file)
  const { config } = trained.classifier
  const wanted = [config.channels, config.size, config.size]
  yield* attempt(() =>
    demand(
      Shape.equals(train.shape, wanted) && train.classes?.length === config.classes,
      file ?? train.name,
      "shape",
      () =>
        `the classifier is for ${config.classes} classes of images ${Shape.show(wanted)}, but ${train.name} has ${train.classes?.length ?? "no"} classes of ${Shape.show(train.shape)}`
    )
  )
  const extractor = yield* Classifier.extractor(trained)
  return {
    extractor,
    classes: train.classes ?? [],
    accuracy: yield* Classifier.accuracy(some(test ?? train, most), extractor)
  } satisfies Judge
})

// ── Sets of images ───────────────────────────────────────────────────────────────────────────────

/** What remains of a set. */
interface Collected {
  readonly count: number
  readonly moments: Metrics.Moments
  /** Of the first images. */
  readonly features: Metrics.Features
  readonly probabilities?: Metrics.Features
  readonly judgement?: Judgement
  /** The first images. */
  readonly shown: Batch | undefined
  /** Of these in a row. */
  readonly columns: number | undefined
  /** That the source took. */
  readonly seconds: number
}

/** The first rows that come, no more than `most`, in one array. */
const rows = (most: number) => {
  const parts: Array<Float32Array> = []
  let count = 0
  let item: ReadonlyArray<number> = []
  return {
    add: ({ shape: [n, ...rest], data }: Batch) => {
      const few = Math.min(n, most - count)
      item = rest
      if (few <= 0) return
      // a copy: what it is part of can go
      parts.push(data.slice(0, few * Shape.size(rest)))
      count += few
    },
    end: (): Batch | undefined => {
      if (count === 0) return undefined
      const data = DType.allocate("float32", count * Shape.size(item))
      let at = 0
      for (const part of parts) {
        data.set(part, at)
        at += part.length
      }
      return { dtype: "float32", shape: [count, ...item], data }
    }
  }
}

/** Gathers what remains of a set, batch by batch. */
const collecting = (
  name: string,
  { extractor, judge }: Pick<Options, "extractor" | "judge">,
  { columns }: Source,
  {
    features: most,
    shown = columns === undefined ? 36 : 4 * columns
  }: { readonly features: number; readonly shown: number | undefined }
) => {
  const by = (extractor ?? judge?.extractor) as Features.Extractor
  const [features, probabilities, images] = [rows(most), rows(most), rows(shown)]
  let moments: Metrics.Moments | undefined
  let [count, confident, confidence] = [0, 0, 0]
  const counts = new Int32Array(judge?.classes.length ?? 0)
  const add = Effect.fnUntraced(function* (given: Batch) {
    const batch = Images.rounded(given)
    const found = yield* by.extract(batch)
    const judged =
      judge === undefined
        ? undefined
        : judge.extractor === by
          ? found
          : yield* judge.extractor.extract(batch)
    yield* attempt(() => {
      const own = Metrics.moments(found.features)
      moments = moments === undefined ? own : Metrics.merge(moments, own)
    })
    features.add(found.features)
    if (found.probabilities !== undefined) probabilities.add(found.probabilities)
    images.add(batch)
    count += batch.shape[0]
    if (judged?.probabilities === undefined) return
    const { labels, confidences } = Classifier.decide(judged.probabilities)
    for (const label of labels) counts[label]++
    for (const each of confidences) {
      confidence += each
      if (each > sure) confident++
    }
  })
  const end = (seconds: number): Collected => {
    demand(moments !== undefined, name, "empty", () => "there are no images")
    const known = probabilities.end()
    return {
      count,
      moments: moments as Metrics.Moments,
      features: features.end() as Batch,
      ...(known === undefined ? {} : { probabilities: known }),
      ...(judge === undefined
        ? {}
        : {
            judgement: {
              counts: Array.from(counts),
              confident: confident / count,
              confidence: confidence / count
            }
          }),
      shown: images.end(),
      columns,
      seconds
    }
  }
  return { add, end }
}

// ── The evaluation ───────────────────────────────────────────────────────────────────────────────

/**
 * - `train`, `test`: see {@link Parts}; images of `train` are the reference, those of `test` the yardstick
 * - `judge`: tells classes; without one nothing is said of them
 * - `extractor`: of features; the judge itself unless told, whose features are divided by the root of their mean square over the reference,
 *   so that distances do not depend on how large a classifier's numbers happen to be
 * - `count`: how many samples of each model; 1000 unless told
 * - `reference`: how many images of `train`, at most; 10,000 unless told
 * - `features`: how many features of a set are kept, at most; 2000 unless told
 * - `subsets`: how many, and of how many features, for the kernel distance: 20 of 500 unless told, or of as many as there are
 * - `seed`: of the samples; 0 unless told
 * - `shown`: how many images of each set are kept to look at; 36 unless told, or four rows where a class has a column
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Parts {
  readonly judge?: Judge | undefined
  readonly extractor?: Features.Extractor | undefined
  readonly count?: number | undefined
  readonly reference?: number | undefined
  readonly features?: number | undefined
  readonly subsets?: { readonly count?: number; readonly size?: number } | undefined
  readonly seed?: number | undefined
  readonly shown?: number | undefined
}

/**
 * Some images are there, and looked at.
 *
 * @since 0.1.0
 * @category events
 */
export interface Drawn {
  readonly _tag: "Drawn"
  /** Of the set: a subject's, or the data set's. */
  readonly name: string
  readonly done: number
  readonly total: number
}

/**
 * A set is compared with the reference: what is found of it alone, beside the yardstick, so that it can be kept whatever becomes of the
 * rest.
 *
 * @since 0.1.0
 * @category events
 */
export interface Measured extends Outcome {
  readonly _tag: "Measured"
  readonly figures: Figures
}

/**
 * The end.
 *
 * @since 0.1.0
 * @category events
 */
export interface Finished extends Outcome {
  readonly _tag: "Finished"
}

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Drawn | Measured | Finished

/**
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  readonly evaluation: Evaluation
  /** The first images of each set, `real` and the models by their names. */
  readonly shown: ReadonlyArray<{
    readonly name: string
    readonly images: Batch
    /** See {@link Source}. */
    readonly columns?: number
  }>
}

/**
 * What can go wrong with an evaluation.
 *
 * @since 0.1.0
 * @category errors
 */
export type Error = SubjectError | DeviceError.CompileError

/** The yardstick's name. */
const real = "real"

/** Throws `DataError` for what makes no sense. */
const validate = (subjects: ReadonlyArray<Subject>, options: Options): void => {
  const { train, test, count = 1000, reference = most, features = 2000, seed = 0 } = options
  const refuse = (holds: boolean, message: () => string) =>
    demand(holds, "evaluation", "options", message)
  const names = subjects.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) < i || name === real)
  refuse(twice === undefined, () => `"${twice}" names more than one thing: give each its own name`)
  refuse(
    (options.extractor ?? options.judge) !== undefined,
    () => "it needs an extractor of features, or a judge that is one"
  )
  const whole = (name: string, value: number, least: number) =>
    demandWhole("evaluation", name, value, least)
  // for a covariance, and the third neighbour
  for (const [name, value] of Object.entries({ count, reference, features })) whole(name, value, 4)
  whole("seed", seed, 0)
  const { count: times = 1, size = 2 } = options.subsets ?? {}
  whole("the number of subsets", times, 1)
  const least = Math.min(count, reference, features, train.size, test?.size ?? count)
  refuse(
    Number.isSafeInteger(size) && size >= 2 && size <= least,
    () => `a subset must have 2 to ${least} features, as many as there are of each set, not ${size}`
  )
  for (const { name, shape } of [
    ...subjects,
    ...(test === undefined ? [] : [{ name: test.name, shape: test.shape }])
  ]) {
    demand(
      Shape.equals(shape, train.shape),
      train.name,
      "shape",
      () => `its images are ${Shape.show(train.shape)}, but those of ${name} ${Shape.show(shape)}`
    )
  }
}

/** The root of the mean square of features. */
const scaleOf = ({ count, mean, scatter }: Metrics.Moments): number => {
  const d = mean.length
  let sum = 0
  for (let k = 0; k < d; k++) sum += mean[k] ** 2 + scatter[k * (d + 1)] / count
  return Math.sqrt(sum / d) || 1
}

const divided = ({ shape, data }: Metrics.Features, scale: number): Metrics.Features => ({
  shape,
  data: Float64Array.from(data, (each) => each / scale)
})

/** One set compared with the reference, their features divided by a scale. */
const figuresOf = Effect.fnUntraced(function* (
  name: string,
  reference: Collected,
  set: Collected,
  scale: number,
  network: Source["network"],
  { subsets = {} }: Options
) {
  const kept = Math.min(reference.features.shape[0], set.features.shape[0])
  const { count: times = 20, size = Math.min(500, kept) } = subsets
  const { probabilities, judgement } = set
  // of many wide features each takes seconds
  const taken = <A>(metric: () => A) => Effect.andThen(Effect.yieldNow, attempt(metric))
  const score =
    probabilities &&
    (yield* taken(() =>
      Metrics.inceptionScore(probabilities, { splits: Math.min(10, probabilities.shape[0]) })
    ))
  return {
    name,
    count: set.count,
    fid: (yield* taken(() => Metrics.fid(reference.moments, set.moments))) / scale ** 2,
    kid: yield* taken(() =>
      Metrics.kidOfSubsets(divided(reference.features, scale), divided(set.features, scale), {
        subsets: times,
        size
      })
    ),
    ...(yield* taken(() => Metrics.precisionRecall(reference.features, set.features))),
    ...(score === undefined ? {} : { score }),
    ...(judgement === undefined ? {} : { judgement }),
    ...(network === undefined
      ? {}
      : { network: { ...network, secondsPerImage: set.seconds / set.count } })
  } satisfies Figures
})

/** What is wrong is wrong with this set. */
const about = (name: string) =>
  Stream.mapError((error: Error) =>
    error._tag === "DataError" && error.source !== name
      ? dataError(name, error.reason, error.message)
      : error
  )

/**
 * Evaluates models, one after the other, and real images that were held out; the last event holds everything.
 *
 * Fails with `DataError` for options that make no sense and images of another shape than the data's, and where a model gives what is not
 * finite, and as sampling and extraction do.
 *
 * @since 0.1.0
 * @category running
 */
export const stream = (
  subjects: ReadonlyArray<Subject>,
  options: Options
): Stream.Stream<Event, Error, Device.Device> =>
  Stream.unwrap(
    Effect.gen(function* () {
      yield* attempt(() => validate(subjects, options))
      const { train, test, judge, count = 1000, reference: least = most } = options
      const { seed = 0, shown, features = 2000 } = options
      const extractor = (options.extractor ?? judge?.extractor) as Features.Extractor
      const { description } = yield* Device.Device
      const sets = new Map<string, Collected>()
      const found = new Map<string, Figures>()
      const realImages = some(train, least)
      let reference: Collected | undefined
      let scale = 1

      /** What is found of some models, and of the yardstick. */
      const outcomeOf = (models: ReadonlyArray<string>): Outcome => {
        const yardstick = found.get(real)
        const names = [...(yardstick === undefined ? [] : [real]), ...models]
        return {
          evaluation: {
            format: "odeon-evaluation",
            version: 1,
            reference: { name: train.name, count: realImages.size },
            extractor: {
              name: extractor.name,
              dimension: extractor.dimension,
              resizing: extractor.resizing,
              scale
            },
            features,
            ...(judge === undefined
              ? {}
              : {
                  judge: {
                    name: judge.extractor.name,
                    classes: judge.classes,
                    accuracy: judge.accuracy
                  }
                }),
            seed,
            device: description,
            ...(yardstick === undefined ? {} : { real: yardstick }),
            models: models.map((name) => found.get(name) as Figures)
          },
          shown: names.flatMap((name) => {
            const { shown: images, columns } = sets.get(name) as Collected
            if (images === undefined) return []
            return [{ name, images, ...(columns === undefined ? {} : { columns }) }]
          })
        }
      }

      /** Looks at all images of a source, and tells how far it is. */
      const collected = (
        name: string,
        source: Source,
        total: number,
        keep: (set: Collected) => void
      ) => {
        const set = collecting(name, options, source, { features, shown })
        let [done, seconds] = [0, 0]
        let before = performance.now()
        return source.images({ count: total, seed }).pipe(
          Stream.mapEffect((images) => {
            seconds += (performance.now() - before) / 1000
            done += images.shape[0]
            return Effect.map(set.add(images), (): Event => {
              before = performance.now()
              return { _tag: "Drawn", name, done, total }
            })
          }),
          Stream.concat(Stream.fromEffectDrain(attempt(() => keep(set.end(seconds)))))
        )
      }
      const evaluated = (
        { name, open }: Subject,
        total: number
      ): Stream.Stream<Event, Error, Device.Device> =>
        Stream.unwrap(
          Effect.map(open, (source) => {
            const compared = Effect.map(
              Effect.suspend(() =>
                figuresOf(
                  name,
                  reference as Collected,
                  sets.get(name) as Collected,
                  scale,
                  source.network,
                  options
                )
              ),
              (figures): Event => {
                found.set(name, figures)
                return { _tag: "Measured", figures, ...outcomeOf(name === real ? [] : [name]) }
              }
            )
            return Stream.concat(
              collected(name, source, total, (set) => sets.set(name, set)),
              Stream.fromEffect(compared)
            )
          })
        ).pipe(about(name))
      const all: ReadonlyArray<Stream.Stream<Event, Error, Device.Device>> = [
        Stream.unwrap(
          Effect.map(ofDataset(train.name, realImages).open, (source) =>
            collected(train.name, source, realImages.size, (set) => {
              reference = set
              if (options.extractor === undefined) scale = scaleOf(set.moments)
            })
          )
        ).pipe(about(train.name)),
        ...(test === undefined
          ? []
          : [evaluated(ofDataset(real, some(test, count)), Math.min(test.size, count))]),
        ...subjects.map((subject) => evaluated(subject, count))
      ]
      return Stream.fromIterable(all).pipe(
        Stream.flatten(),
        Stream.concat(
          Stream.fromEffect(
            Effect.sync(
              (): Finished => ({
                _tag: "Finished",
                ...outcomeOf(subjects.map(({ name }) => name))
              })
            )
          )
        )
      )
    })
  )

/**
 * The evaluation, to its end. See {@link stream}.
 *
 * @since 0.1.0
 * @category running
 */
export const run = Effect.fnUntraced(function* (
  subjects: ReadonlyArray<Subject>,
  options: Options
) {
  const last = yield* Stream.runLast(stream(subjects, options))
  return Option.getOrThrow(last) as Outcome
})

// ── Showing it ───────────────────────────────────────────────────────────────────────────────────

/** What evaluations must have in common to be compared. */
const conditionsOf = ({ reference, extractor, features, judge, device, models }: Evaluation) =>
  JSON.stringify([reference, extractor, features, judge, device, models[0]?.count])

/**
 * What was found of one model alone, beside the yardstick.
 *
 * @since 0.1.0
 * @category getters
 */
export const only = (evaluation: Evaluation, name: string): Evaluation => ({
  ...evaluation,
  models: evaluation.models.filter((model) => model.name === name)
})

/**
 * The models of several evaluations beside each other, if these are alike: by the same extractor and judge, of as many images, against the
 * same reference, on the same device. Throws `DataError` if they are not.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (evaluations: ReadonlyArray<Evaluation>): Evaluation => {
  const [first, ...rest] = evaluations
  demand(first !== undefined, "evaluation", "empty", () => "there are none to be put together")
  for (const each of rest) {
    demand(
      conditionsOf(each) === conditionsOf(first),
      "evaluation",
      "options",
      () =>
        `those of ${namesOf(first)} and of ${namesOf(each)} differ in features, judge, reference, count or device, so that they cannot be compared: evaluate them together`
    )
  }
  return { ...first, models: evaluations.flatMap(({ models }) => models) }
}

const namesOf = ({ models }: Evaluation): string => models.map(({ name }) => name).join(", ")

/** A column that shows something of figures. */
interface Shows extends Report.Column {
  readonly of: (figures: Figures) => Report.Cell
}

const quality: ReadonlyArray<Shows> = [
  { name: "images", of: ({ count }) => count },
  { name: "FID", best: "low", of: ({ fid }) => fid },
  { name: "KID", best: "low", of: ({ kid }) => kid.mean },
  { name: "±", unit: "of subsets", of: ({ kid }) => kid.deviation },
  { name: "precision", format: "fixed", digits: 3, best: "high", of: ({ precision }) => precision },
  { name: "recall", format: "fixed", digits: 3, best: "high", of: ({ recall }) => recall },
  { name: "score", format: "fixed", best: "high", of: ({ score }) => score?.mean },
  {
    name: "sure",
    format: "percent",
    best: "high",
    of: ({ judgement }) => judgement?.confident
  },
  {
    name: "classes",
    of: ({ judgement }) => judgement?.counts.filter((count) => count > 0).length
  }
]

const costs: ReadonlyArray<Shows> = [
  { name: "parameters", format: "count", of: ({ network }) => network?.parameters },
  { name: "MACs", unit: "an evaluation", format: "count", of: ({ network }) => network?.macs },
  { name: "steps", unit: "trained", of: ({ network }) => network?.steps },
  {
    name: "training",
    unit: "a step",
    format: "seconds",
    of: ({ network }) => network?.secondsPerStep
  },
  { name: "evaluations", unit: "an image", of: ({ network }) => network?.evaluations },
  {
    name: "sampling",
    unit: "an image",
    format: "seconds",
    of: ({ network }) => network?.secondsPerImage
  },
  { name: "memory", unit: "a batch", format: "bytes", of: ({ network }) => network?.peakBytes }
]

/** Some columns of some figures, without those that nothing is known of. */
const tableOf = (
  caption: string,
  shows: ReadonlyArray<Shows>,
  sets: ReadonlyArray<Figures>,
  real: Figures | undefined
): Report.Table => {
  const used = shows.filter(({ of }) => sets.some((each) => of(each) !== undefined))
  return Report.table({
    caption,
    columns: [{ name: "model" }, ...used.map(({ of: _, ...column }) => column)],
    rows: sets.map((each) => [each.name, ...used.map(({ of }) => of(each))]),
    ...(real === undefined ? {} : { unranked: [sets.indexOf(real)] })
  })
}

/**
 * How like real images samples are: a row for each model, after the yardstick.
 *
 * @since 0.1.0
 * @category conversions
 */
export const table = ({ reference, extractor, judge, real, models }: Evaluation): Report.Table => {
  const sets = [...(real === undefined ? [] : [real]), ...models]
  const written = (count: number) => count.toLocaleString("en-US")
  const alike = sets.every(({ count }) => count === sets[0].count)
  const each =
    alike && sets.length > 0 ? `${written(sets[0].count)} images of each, compared` : "Compared"
  const by = `${each} with ${written(reference.count)} of ${reference.name} by ${extractor.name}.`
  const yardstick = real === undefined ? "" : " “real” are images that were held out."
  const scored = sets.some(({ score }) => score !== undefined)
  const score = scored ? " “score” is the Inception score by the same network." : ""
  const told =
    judge === undefined
      ? ""
      : ` “sure” is the share of images of which a classifier, right in ${(100 * judge.accuracy).toFixed(1)} % of real ones, gives a class a probability above ${sure}; “classes” how many occur.`
  const shows = alike ? quality.filter(({ name }) => name !== "images") : quality
  return tableOf(`${by}${yardstick}${score}${told}`, shows, sets, real)
}

/**
 * What models are and cost.
 *
 * @since 0.1.0
 * @category conversions
 */
export const costTable = ({ models, device }: Evaluation): Report.Table =>
  tableOf(
    `Parameters, multiply-accumulates (MACs) of one evaluation for one image, and times on this device: ${device}.`,
    costs,
    models,
    undefined
  )

/** The most classes that a table has columns for. */
const mostClasses = 20

/**
 * How often the judge sees each class, for each model; `undefined` where there is no judge, and where classes are more than 20.
 *
 * @since 0.1.0
 * @category conversions
 */
export const classTable = ({ judge, real, models }: Evaluation): Report.Table | undefined => {
  if (judge === undefined || judge.classes.length > mostClasses) return undefined
  const sets = [...(real === undefined ? [] : [real]), ...models]
  return tableOf(
    "How many images are of each class, as the classifier sees it.",
    judge.classes.map((name, i) => ({
      name,
      of: ({ judgement }: Figures) => judgement?.counts[i]
    })),
    sets,
    undefined
  )
}

/**
 * Everything, as text.
 *
 * @since 0.1.0
 * @category conversions
 */
export const show = (evaluation: Evaluation): string => {
  const tables = [table(evaluation), costTable(evaluation), classTable(evaluation)]
  return tables
    .flatMap((each) => (each === undefined || each.columns.length < 2 ? [] : [each]))
    .map((each) => `${each.caption}\n\n${Report.tableToText(each)}`)
    .join("\n\n")
}

// ── Files ────────────────────────────────────────────────────────────────────────────────────────

/**
 * An evaluation as JSON.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toJson = (evaluation: Evaluation): unknown => Saved.toJson(Evaluation, evaluation)

/**
 * Where in a run's folder its evaluation is.
 *
 * @since 0.1.0
 * @category getters
 */
export const places = (folder: string, { join }: Path.Path) => ({
  evaluation: join(folder, "evaluation.json"),
  picture: join(folder, "evaluation.png")
})

/**
 * Writes an evaluation. Fails with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = (path: string, evaluation: Evaluation) =>
  Saved.write(path, Evaluation, evaluation)

/**
 * Writes what was found of one model into its run's folder: `evaluation.json`, and `evaluation.png`, a grid of its first samples. Fails
 * with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeRun = Effect.fnUntraced(function* (
  folder: string,
  { evaluation, shown }: Outcome,
  name: string
) {
  const at = places(folder, yield* Path.Path)
  const samples = shown.find((each) => each.name === name)
  if (samples !== undefined) {
    const { images, columns } = samples
    yield* Images.write(
      at.picture,
      yield* Images.grid(images, columns === undefined ? {} : { columns })
    )
  }
  yield* write(at.evaluation, only(evaluation, name))
})

/**
 * An evaluation from its file. Fails with `DataError` for a file that is none.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (path: string) => Saved.read(path, Evaluation, "evaluation")
