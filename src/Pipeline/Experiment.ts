/**
 * Experiments: all that makes a training, as one value that JSON holds.
 *
 * ```json
 * {
 *   "data": "digits",
 *   "network": { "name": "cunet-small", "width": 16 },
 *   "schedule": "cosine",
 *   "prediction": "v",
 *   "optimizer": { "name": "adamw" },
 *   "rate": { "name": "cosine", "rate": 1e-3, "warmUp": 200 },
 *   "batch": 64,
 *   "steps": 5000
 * }
 * ```
 *
 * What is left out is as the table of {@link Config} has it. Whatever has a name has its options beside it; of data, networks, schedules,
 * weightings and times a name alone will do where none are told.
 *
 * @since 0.1.0
 */
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Denoiser, Named, Schedule, TimeDensity } from "../Diffusion/index.ts"
import { LayerError, Parameter } from "../Layer/index.ts"
import type * as Dataset from "./Dataset.ts"
import * as Datasets from "./Datasets.ts"
import * as Ema from "./Ema.ts"
import { attempt } from "./internal/attempt.ts"
import { apart, decode, NamedOptions, withDefault } from "./internal/config.ts"
import * as LearningRate from "./LearningRate.ts"
import * as Networks from "./Networks.ts"
import * as Optimizer from "./Optimizer.ts"
import { TrainError } from "./PipelineError.ts"
import * as Train from "./Train.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const Natural = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const AtLeast0 = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const Fraction = AtLeast0.check(Schema.isLessThanOrEqualTo(1))
const Positive = Schema.Finite.check(Schema.isGreaterThan(0))

/**
 * What makes an experiment.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  /** See `Datasets.Config`. */
  data: withDefault(Datasets.Config, "digits"),
  /** A preset (see `Networks.presets`), and its fields; `channels`, `size` and, where labels are told, `classes` are those of the data. */
  network: withDefault(NamedOptions, "cunet-small"),
  /** Whether the network is told each item's class. */
  conditional: withDefault(Schema.Boolean, false),
  /** How often it is told none instead, for guidance; of conditional networks alone. */
  dropLabels: withDefault(Fraction, 0.1),
  /** See `Named.schedules`. */
  schedule: withDefault(NamedOptions, "cosine"),
  /** What the network predicts (see `Denoiser.Prediction`). */
  prediction: withDefault(
    Schema.Union([
      Schema.Literals(["noise", "data", "v", "flow"]),
      Schema.Struct({ kind: Schema.Literal("edm"), deviation: Schema.optionalKey(Positive) })
    ]),
    "v"
  ),
  /** See `Named.weightings`. */
  weighting: withDefault(NamedOptions, "simple"),
  /** See `Named.densities`; those of the schedule unless told. */
  times: Schema.optionalKey(NamedOptions),
  /** Whether the items of a batch divide the times among them. */
  stratified: withDefault(Schema.Boolean, false),
  /** See `Objective.Distance`. */
  distance: withDefault(
    Schema.Union([Schema.Literals(["mse", "l1"]), Schema.Struct({ huber: Positive })]),
    "mse"
  ),
  /** See `Objective.Options`. */
  offset: withDefault(AtLeast0, 0),
  /** See `Objective.Options`. */
  perturbation: withDefault(AtLeast0, 0),
  /** See `Optimizer.Config`. */
  optimizer: withDefault(Optimizer.Config, { name: "adamw" }),
  /** See `LearningRate.Config`. */
  rate: withDefault(LearningRate.Config, { name: "constant", rate: 1e-3, warmUp: 200 }),
  /** The norm beyond which gradients are shortened to it; `null` for none. */
  clip: withDefault(Schema.NullOr(Positive), 1),
  /** Items at once. */
  batch: withDefault(Count, 64),
  /** Batches that make one update. */
  accumulate: withDefault(Count, 1),
  /** Updates. */
  steps: withDefault(Count, 10_000),
  /** Averages of the weights by names of one's own (see `Ema.Config`); samples are made with the first, or without any with the weights. */
  averages: withDefault(Schema.Record(Schema.String, Ema.Config), {
    ema: { name: "warmUp", max: 0.999 }
  }),
  /** Of everything random. */
  seed: withDefault(Natural, 0),
  /** What becomes of a step whose loss is not finite. */
  nonFinite: withDefault(Schema.Literals(["stop", "skip"]), "stop")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

/**
 * What a configuration is made from: JSON.
 *
 * @since 0.1.0
 * @category schemas
 */
export type Options = typeof Config.Encoded

/**
 * What stands for a network in a pipeline, and how it is to be asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Denoising {
  readonly network: Train.AnyNetwork
  readonly schedule: Schedule.Schedule
  readonly prediction: Denoiser.Prediction
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Experiment extends Denoising {
  readonly network: Networks.Network
  /** Complete: with what the data say of the network. */
  readonly config: Config
  readonly data: Dataset.Dataset
  /** What `Train.make` is told. */
  readonly training: Train.Options
}

/**
 * A configuration, complete. Fails with `TrainError`, which names the field and the nearest that is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (options: unknown): Effect.Effect<Config, TrainError> =>
  decode("experiment", Config, options)

/** What the data say of a network. */
const ofData = ["channels", "dimensions", "size", "classes"]

/** A size that can be halved as often as anybody wants. */
const anySize = 2 ** 20

/**
 * A configuration with all fields of its network, those of the preset and defaults alike, but for what the data will say. Fails with
 * `ConfigError` for what makes no network.
 *
 * @since 0.1.0
 * @category conversions
 */
export const complete = Effect.fnUntraced(function* (config: Config) {
  const { name, options } = apart(config.network)
  const network = yield* Networks.preset(name, { size: anySize, ...options } as never)
  const fields = Object.entries(network.config).filter(
    ([field]) => field in options || !ofData.includes(field)
  )
  return { ...config, network: { name, ...Object.fromEntries(fields) } } satisfies Config
})

/**
 * The network of a configuration that is complete, its schedule, and what it predicts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const denoising = Effect.fnUntraced(function* (config: Config) {
  const network = apart(config.network)
  const schedule = apart(config.schedule)
  return {
    network: yield* Networks.preset(network.name, network.options as never),
    schedule: yield* attempt(
      (): Schedule.Schedule => Named.schedule(schedule.name as never, schedule.options as never)
    ),
    prediction: config.prediction as Denoiser.Prediction
  } satisfies Denoising
})

/** A network's configuration with what the data say of it. */
const fitted = (config: Config, { shape, classes, name }: Dataset.Dataset): Config => {
  const network = apart(config.network)
  const [channels, ...size] = shape
  const refuse = (message: string) =>
    new TrainError({ reason: "options", message: `experiment: ${message}` })
  if (size.length === 0) {
    throw refuse(
      `${name} has items of shape [${shape}], which no preset takes: train a network of your own by Train.make`
    )
  }
  if (config.conditional && classes === undefined) {
    throw refuse(`conditional: ${name} has no classes to tell: take other data, or leave it out`)
  }
  const own = {
    channels,
    dimensions: size.length,
    size,
    ...(config.conditional ? { classes: (classes?.length ?? 0) + 1 } : {})
  }
  const told: Readonly<Record<string, unknown>> = {
    ...network.options,
    // one size stands for all axes
    ...(typeof network.options.size === "number"
      ? { size: size.map(() => network.options.size) }
      : {})
  }
  if (told.classes !== undefined && !config.conditional) {
    throw refuse("network.classes: the network is told no classes unless `conditional` is true")
  }
  if (told.selfConditioning === true) {
    throw refuse("network.selfConditioning: nothing here tells networks what they estimated before")
  }
  for (const [field, value] of Object.entries(own)) {
    const given = told[field] ?? value
    if (isDeepStrictEqual(given, value)) continue
    throw refuse(
      `network.${field}: ${JSON.stringify(given)} is not that of ${name}, ${JSON.stringify(value)}: leave it out`
    )
  }
  // what a preset says today is part of what was trained
  const preset = Networks.isName(network.name) ? Networks.presets[network.name].options : {}
  return { ...config, network: { ...preset, ...network.options, ...own, name: network.name } }
}

/** Says what becomes of images whose size a network does not take. */
const fitting =
  ({ shape, name }: Dataset.Dataset) =>
  <E extends { readonly _tag: string }>(error: E | LayerError.ConfigError) =>
    error instanceof LayerError.ConfigError && error.path === "size" && shape.length === 3
      ? new LayerError.ConfigError({
          ...error,
          message: `${error.message}; bring those of ${name} to one by data.pad or data.size, or take a network that halves them less often`
        })
      : error

/**
 * An experiment from a configuration: its data are opened, its network is made. Fails with an error that names what is wrong with it.
 *
 * ```ts
 * const { training } = yield* Experiment.make({ data: "digits", steps: 2000 })
 * const { run, snapshot } = yield* Train.make(training)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: Options) {
  const given = yield* parse(options)
  const data = yield* Datasets.open(given.data)
  const config = yield* attempt(() => fitted(given, data))
  const model = yield* Effect.mapError(denoising(config), fitting(data))
  const training = yield* attempt(() => trainingOf(config, data, model))
  return { config, data, ...model, training } satisfies Experiment
})

const trainingOf = (
  config: Config,
  data: Dataset.Dataset,
  { network, schedule, prediction }: Denoising
): Train.Options => {
  const weighting = apart(config.weighting)
  const times = config.times === undefined ? undefined : apart(config.times)
  const density =
    times === undefined ? undefined : Named.density(times.name as never, times.options as never)
  const spread = config.stratified
    ? TimeDensity.stratified(
        density ?? (Schedule.isDiscrete(schedule) ? TimeDensity.steps : TimeDensity.uniform())
      )
    : density
  return {
    task: Train.diffusion({
      network,
      schedule,
      prediction,
      weighting: Named.weighting(weighting.name as never, weighting.options as never),
      ...(spread === undefined ? {} : { times: spread }),
      distance: config.distance,
      offset: config.offset,
      perturbation: config.perturbation,
      dropLabels: config.conditional ? config.dropLabels : 0
    }),
    data,
    optimizer: Optimizer.of(config.optimizer),
    rate: LearningRate.of(config.rate, { steps: config.steps }),
    ...(config.clip === null ? {} : { clip: config.clip }),
    batch: config.batch,
    accumulate: config.accumulate,
    averages: Object.fromEntries(
      Object.entries(config.averages).map(([name, average]) => [
        name,
        Ema.of(average, { batch: config.batch * config.accumulate })
      ])
    ),
    seed: config.seed,
    nonFinite: config.nonFinite
  }
}

/**
 * How many numbers an experiment trains.
 *
 * @since 0.1.0
 * @category getters
 */
export const parameterCount = ({ network }: Denoising): number =>
  Parameter.count(network.parameters, { trainable: true })
