import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Device } from "../../Device/index.ts"
import { Dpm } from "../../Diffusion/index.ts"
import { type Layer, Summary } from "../../Layer/index.ts"
import { Tensor } from "../../Tensor/index.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Dataset from "../Dataset.ts"
import * as Datasets from "../Datasets.ts"
import * as Experiment from "../Experiment.ts"
import type { Images as Batch } from "../Images.ts"
import { attempt as attemptBuild, type BuildError } from "../internal/attempt.ts"
import { attempt, demand } from "../internal/data.ts"
import * as Model from "../Model.ts"
import { CheckpointError, type FileError } from "../PipelineError.ts"
import * as Run from "../Run.ts"
import type { Network } from "./findings.ts"

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
