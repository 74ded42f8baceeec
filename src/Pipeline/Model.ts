/**
 * Trained models: a network with its weights, and how it is to be asked; from a training at rest or from a checkpoint.
 *
 * ```ts
 * const model = yield* Model.load("runs/digits")
 * yield* Model.samples(model, { count: 64, seed: 7 }).pipe(
 *   Stream.runForEach(({ images, first }) => Images.writeAll("samples", images, { first }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DeviceError } from "../Device/index.ts"
import {
  Denoiser,
  type DiffusionError,
  Dpm,
  Guidance,
  Plan,
  type Sampler,
  type Schedule
} from "../Diffusion/index.ts"
import { Parameter } from "../Layer/index.ts"
import { type Cost, Program, Tensor } from "../Tensor/index.ts"
import * as Checkpoint from "./Checkpoint.ts"
import * as Ema from "./Ema.ts"
import * as Experiment from "./Experiment.ts"
import { attempt, type BuildError } from "./internal/attempt.ts"
import * as Blend from "./internal/blend.ts"
import { demand, requireAll } from "./internal/config.ts"
import { CheckpointError, TrainError } from "./PipelineError.ts"
import * as Sample from "./Sample.ts"
import type { Snapshot } from "./Train.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Model extends Experiment.Denoising {
  /** Values of the network's parameters, as a tree. */
  readonly weights: unknown
  /** Of one item. */
  readonly shape: ReadonlyArray<number>
  /** The classes that it can be told; without the one that stands for none. */
  readonly classes?: number
  /** How many steps it has been trained. */
  readonly step: number
}

/**
 * Which weights of a training: those of an average, by its name, or the last ones, `"weights"`. The first average unless told, if there
 * is any.
 *
 * @since 0.1.0
 * @category models
 */
export interface Choice {
  readonly average?: string
}

/** The weights of a choice. Fails with `TrainError` for an average that there is not. */
const chosen = ({ weights, averages }: Snapshot, { average }: Choice) => {
  const names = Object.keys(averages)
  const name = average ?? names[0] ?? "weights"
  if (name === "weights") return Effect.succeed(weights)
  return averages[name] === undefined
    ? Effect.fail(
        new TrainError({
          reason: "options",
          message: `there is no average "${name}" of the weights; known are ${["weights", ...names].join(", ")}`
        })
      )
    : Effect.succeed(averages[name])
}

/**
 * The model of an experiment at rest.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = Effect.fnUntraced(function* (
  { network, schedule, prediction }: Experiment.Denoising,
  snapshot: Snapshot,
  options: Choice & {
    /** Of one item; as the network's configuration has it unless told. */
    readonly shape?: ReadonlyArray<number>
  } = {}
) {
  const { channels = 1, classes, dimensions = 2, size } = network.config ?? {}
  if (options.shape === undefined && size === undefined) {
    return yield* new TrainError({
      reason: "options",
      message: "the network does not say of which size its images are: say the `shape` of an item"
    })
  }
  const space = typeof size === "number" ? Array.from({ length: dimensions }, () => size) : size
  return {
    network,
    schedule,
    prediction,
    weights: yield* Parameter.load(network.parameters, yield* chosen(snapshot, options)),
    shape: options.shape ?? [channels, ...(space ?? [])],
    ...(classes === undefined ? {} : { classes: classes - 1 }),
    step: snapshot.step
  } satisfies Model
})

/**
 * The model of a checkpoint, or of the newest in a folder. Fails with `CheckpointError` where there is none, where it is damaged (and the
 * one before it is not asked for, see `Checkpoint.latest`), and where it is of an experiment that is not known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const load = Effect.fnUntraced(function* (
  path: string,
  { fallback = false, ...choice }: Choice & { readonly fallback?: boolean } = {}
) {
  const { snapshot, ...found } = yield* Checkpoint.open(path, { fallback, optimizer: false })
  const { denoising } = yield* experimentOf(found)
  return yield* of(denoising, snapshot, choice)
})

/** The experiment that a checkpoint is of. */
const experimentOf = Effect.fnUntraced(function* ({
  manifest,
  path
}: Pick<Checkpoint.Checkpoint, "manifest" | "path">) {
  const refuse = ({ message }: { readonly message: string }) =>
    new CheckpointError({
      path,
      reason: "foreign",
      message: `the checkpoint ${path} is not of an experiment that is known here: ${message}`
    })
  const config = yield* Effect.mapError(Experiment.parse(manifest.configuration), refuse)
  return { config, denoising: yield* Effect.mapError(Experiment.denoising(config), refuse) }
})

/**
 * What came of a reconstruction.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reconstruction {
  readonly model: Model
  /** See `Ema.Coefficients`: below 0.1 is good. */
  readonly error: number
}

/**
 * The model whose weights are averaged by a power that was not told to the training, or up to an earlier update: made, after the training,
 * of all averages by powers in the checkpoints of a run, or of a folder of checkpoints (Karras et al. 2024, arXiv:2312.02696, section 3.2;
 * see `Ema.reconstruct`). The more of them there are, the better: keep them by `Retention.every`.
 *
 * ```ts
 * // of averages such as { short: { name: "power", deviation: 0.05 }, long: { name: "power", deviation: 0.1 } }
 * const { model, error } = yield* Model.reconstruct("runs/digits", { deviation: 0.075 })
 * ```
 *
 * Fails as {@link load}, with any checkpoint that it needs, and with `TrainError` where there are no averages by powers, or none up to that
 * update.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reconstruct = Effect.fnUntraced(function* (path: string, wanted: Ema.Wanted) {
  const newest = yield* Checkpoint.open(path, { optimizer: false })
  const { config, denoising } = yield* experimentOf(newest)
  const profiles = Object.entries(config.averages).flatMap(([name, average]) =>
    average.name === "power" ? [{ name, profile: average as Ema.Profile }] : []
  )
  const all = yield* Checkpoint.list(yield* Checkpoint.folderOf(path))
  const stored: Array<Ema.Averaged & { readonly name: string; readonly path: string }> = []
  for (const { path } of all) {
    const { step, skipped, averages } = yield* Checkpoint.manifest(path)
    const update = step - skipped
    // steps that were left out change nothing
    if (update === 0 || stored.some((each) => each.update === update)) continue
    for (const { name, profile } of profiles) {
      if (averages.includes(name)) stored.push({ ...profile, name, path, update })
    }
  }
  const { coefficients, error } = yield* attempt(() => Ema.coefficients(stored, wanted))
  const terms = stored.map((each, i) => ({ ...each, factor: coefficients[i] }))
  // one checkpoint after the other, as all may be more than there is memory for
  const sum = Blend.make("Model.reconstruct")
  for (const { path } of all) {
    const own = terms.filter((each) => each.path === path && each.factor !== 0)
    if (own.length === 0) continue
    const { snapshot } = yield* Checkpoint.read(path, { optimizer: false })
    yield* attempt(() => {
      for (const { name, update, factor } of own) sum.add(snapshot.averages[name], update, factor)
    })
  }
  const weights = sum.weights()
  const model = yield* of(denoising, { ...newest.snapshot, weights, averages: {} })
  return { model, error } satisfies Reconstruction
})

/**
 * How a model is asked.
 *
 * - `clip`: keeps estimates of the data between −1 and 1, where images are; `true` unless told
 * - `guidance`: the weight of classifier-free guidance, for models with classes; 1, which is none, unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Asking {
  readonly clip?: boolean
  readonly guidance?: number
}

/** What a network is told of classes: one for each item, `[batch]`. */
type Label = Tensor.Tensor<readonly [number], "int32">

/**
 * The denoiser that a network with some weights is, of labels where it has classes: `[batch]`, of which the last class stands for none.
 *
 * @since 0.1.0
 * @category conversions
 */
export const denoiserOf = (
  { network, prediction }: Experiment.Denoising,
  weights: unknown,
  { clip = true, guidance = 1 }: Asking = {},
  label?: Label
): Denoiser.Denoiser => {
  const of = (condition: { readonly label?: Label }) =>
    Denoiser.make({
      network: (x, time) =>
        network.apply(weights as never, x as Tensor.Tensor, {
          time: time as never,
          ...condition
        }) as Denoiser.State,
      prediction
    })
  const { classes = 0 } = network.config ?? {}
  const whole =
    label === undefined
      ? of({})
      : Guidance.stacked({
          denoiser: of,
          condition: { label },
          without: { label: Tensor.full(label.shape, classes - 1, "int32") },
          weight: guidance
        })
  return clip ? Denoiser.clip(whole, { range: 1 }) : whole
}

/**
 * The denoiser that a model is. See {@link denoiserOf}.
 *
 * @since 0.1.0
 * @category conversions
 */
export const denoiser = (model: Model, asking: Asking = {}, label?: Label): Denoiser.Denoiser =>
  denoiserOf(model, Program.constants(model.weights), asking, label)

/**
 * Of a sampling.
 *
 * - `plan`: 30 times that are evenly spread, unless told; a number for as many
 * - `sampler`: DPM-Solver++(2M) unless told
 * - `batch`: how many items at once; 64 unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface SamplingOptions extends Asking {
  readonly plan?: Plan.Plan | number | ((schedule: Schedule.Schedule) => Plan.Plan)
  readonly sampler?: Sampler.Sampler
  readonly batch?: number
}

/**
 * - `count`: how many
 * - `first`: the number of the first; 0 unless told
 * - `label`: the class of an item by its number, for models with classes, or as many as there are for none; one class after the other unless
 *   told
 *
 * @since 0.1.0
 * @category models
 */
export interface SamplesOptions extends SamplingOptions {
  readonly seed: Sample.Seed
  readonly count: number
  readonly first?: number
  readonly label?: (item: number) => number
}

/**
 * Some samples.
 *
 * @since 0.1.0
 * @category models
 */
export interface Samples {
  /** The number of the first. */
  readonly first: number
  /** `[items, …shape]` */
  readonly images: Tensor.HostArray<ReadonlyArray<number>, "float32">
  /** `[items]`, of models with classes. */
  readonly labels?: Tensor.HostArray<readonly [number], "int32">
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Sampling {
  /** The denoiser's evaluations for each item. */
  readonly evaluations: number
  /** Of one step, for a whole batch. */
  readonly cost: Cost.Cost
  /** Milliseconds that the compilation took. */
  readonly compileTime: number
  /** Batch after batch. An item depends on the seed and its number alone. */
  readonly samples: (
    options: Omit<SamplesOptions, keyof SamplingOptions>
  ) => Stream.Stream<Samples, SampleError>
  /** Every step of the first batch. */
  readonly steps: (
    options: Omit<SamplesOptions, keyof SamplingOptions>
  ) => Stream.Stream<Sample.Step, SampleError>
}

/**
 * @since 0.1.0
 * @category errors
 */
export type SampleError =
  | DeviceError.DeviceError
  | DeviceError.CompileError
  | DiffusionError.DiffusionError
  | TrainError

/**
 * A plan, or what tells one along a schedule.
 *
 * @since 0.1.0
 * @category conversions
 */
export const planOf = (
  schedule: Schedule.Schedule,
  plan: NonNullable<SamplingOptions["plan"]>
): Effect.Effect<Plan.Plan, BuildError> =>
  attempt(() =>
    typeof plan === "number"
      ? Plan.uniform(schedule, plan)
      : typeof plan === "function"
        ? plan(schedule)
        : plan
  )

/** As {@link attempt}, of what throws nothing but `TrainError`. */
const checked = attempt as <A>(build: () => A) => Effect.Effect<A, TrainError>

/** The most classes that have a column each. */
const mostColumns = 16

/**
 * How many samples make a row of a picture in which each column is a class, as they come one after the other unless told; `undefined` of a
 * model without classes, or with too many of them to be seen side by side.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnsOf = ({ classes }: Pick<Model, "classes">): number | undefined =>
  classes === undefined || classes > mostColumns ? undefined : classes

/**
 * A model's sampling, compiled for a device for as long as the scope lasts. Fails with `TrainError` for guidance of a model without classes;
 * what it then makes fails so for classes that there are not.
 *
 * @since 0.1.0
 * @category sampling
 */
export const sampling = Effect.fnUntraced(function* (model: Model, options: SamplingOptions = {}) {
  const { batch = 64, plan = 30, sampler = Dpm.dpmpp2m() } = options
  const { schedule, shape, classes } = model
  yield* attempt(() =>
    demand(
      classes !== undefined || (options.guidance ?? 1) === 1,
      "Model.sampling",
      "the network knows no classes, so that there is no guidance: leave it out"
    )
  )
  const common = {
    shape,
    batch,
    plan: yield* planOf(schedule, plan)
  }
  const known = classes ?? 0
  const inputs = { label: Tensor.spec([batch], "int32") }
  const made = (yield* classes === undefined
    ? Sample.make({ ...common, sampler, denoiser: denoiser(model, options) })
    : Sample.make({
        ...common,
        inputs,
        sampler: () => sampler,
        denoiser: ({ label }) => denoiser(model, options, label)
      })) as Sample.Sampling<typeof inputs>

  type Asked = Omit<SamplesOptions, keyof SamplingOptions>

  /** The classes of the items of a batch, which may be fewer than it holds. Throws `TrainError` for one that there is not. */
  const labelsOf = (first: number, items: number, { label = (i) => i % known }: Asked) => {
    const data = new Int32Array(batch)
    for (let i = 0; i < items; i++) {
      const own = label(first + i)
      demand(
        Number.isInteger(own) && own >= 0 && own <= known,
        "Model.samples: label",
        `item ${first + i} is told the class ${own}, but there are 0 to ${known - 1}, and ${known} for none`
      )
      data[i] = own
    }
    return data
  }
  /** What is told of a batch, and of the items in it. */
  const told = (asked: Asked, i = 0) => {
    const { count, first = 0 } = asked
    const from = first + i * batch
    const items = Math.min(batch, count - i * batch)
    const labels = classes === undefined ? undefined : labelsOf(from, items, asked)
    const array = (data: Int32Array) => ({ dtype: "int32", shape: [data.length], data }) as const
    const given = labels === undefined ? {} : { inputs: { label: array(labels) } }
    return {
      run: { count: items, first: from, ...given } as Sample.RunOptions<typeof inputs>,
      first: from,
      labels: labels === undefined ? {} : { labels: array(labels.subarray(0, items)) }
    }
  }
  return {
    evaluations: made.evaluations,
    cost: made.cost,
    compileTime: made.compileTime,
    samples: (asked) =>
      Stream.unwrap(
        checked(() => {
          requireAll("Model.samples", "updates", { count: asked.count, first: asked.first ?? 0 })
          return Stream.range(0, Math.ceil(asked.count / batch) - 1).pipe(
            Stream.mapEffect((i) =>
              Effect.gen(function* () {
                const { run, first, labels } = yield* checked(() => told(asked, i))
                const images = yield* made.run(asked.seed, run)
                return { first, images, ...labels } satisfies Samples
              })
            )
          )
        })
      ),
    steps: (asked) =>
      Stream.unwrap(
        Effect.map(
          checked(() => told(asked)),
          ({ run }) => made.stream(asked.seed, run)
        )
      )
  } satisfies Sampling
})

/**
 * A model's samples, batch after batch: compiled when the stream begins.
 *
 * @since 0.1.0
 * @category sampling
 */
export const samples = (model: Model, options: SamplesOptions) =>
  Stream.unwrap(Effect.map(sampling(model, options), ({ samples }) => samples(options)))
