/**
 * Runs: a training in a folder, with its checkpoints, samples and history, which goes on where it was left.
 *
 *     run/
 *       experiment.json             the configuration, complete
 *       history.jsonl               a line for each step
 *       checkpoints/step-…/         see `Checkpoint`
 *       samples/step-….png          grids, of the same noise each time
 *
 * A run is a stream of events. Nothing else looks at it: progress bars, logs and metrics are consumers (see `Progress`).
 *
 * ```ts
 * const experiment = yield* Experiment.make({ data: "digits", steps: 2000 })
 * yield* Run.train(experiment, { folder: "runs/digits" }).pipe(Progress.bar, Stream.runDrain)
 * ```
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { Device } from "../Device/index.ts"
import { Dpm, type Sampler } from "../Diffusion/index.ts"
import { Tensor } from "../Tensor/index.ts"
import * as Checkpoint from "./Checkpoint.ts"
import type { Experiment } from "./Experiment.ts"
import * as Files from "./Files.ts"
import * as Images from "./Images.ts"
import { dataError } from "./internal/data.ts"
import * as Model from "./Model.ts"
import { CheckpointError } from "./PipelineError.ts"
import * as Sample from "./Sample.ts"
import * as Train from "./Train.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly folder: string
  /** Steps between checkpoints; 1,000 unless told. There is one at the end besides, and where the run is stopped or fails. */
  readonly checkpoint?: number
  readonly retention?: Checkpoint.Retention
  /** Steps between grids of samples, and what these are; none unless told. Of images alone. */
  readonly samples?: SamplesOptions
  /** Whether to go on from the newest checkpoint, if there is any. A folder that has checkpoints is refused unless told. */
  readonly resume?: boolean
  /** Whether a checkpoint before a damaged one will do. */
  readonly fallback?: boolean
  /** When this is over the run ends after the call to the device at hand, with a checkpoint. */
  readonly stop?: Effect.Effect<unknown>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SamplesOptions extends Model.Asking {
  /** Steps between grids. */
  readonly every: number
  /** How many images; 36 unless told. */
  readonly count?: number
  readonly plan?: Model.SamplingOptions["plan"]
  readonly sampler?: Sampler.Sampler
}

/**
 * The beginning, before the first step.
 *
 * @since 0.1.0
 * @category events
 */
export interface Started {
  readonly _tag: "Started"
  /** Steps made before, by the run that is resumed; else 0. */
  readonly step: number
  /** Steps to arrive at. */
  readonly steps: number
  readonly network: string
  readonly data: string
  readonly device: string
  /** Numbers that are trained. */
  readonly parameters: number
  /** Items of data that a step sees. */
  readonly items: number
  /** Milliseconds that compilation took. */
  readonly compileTime: number
}

/**
 * @since 0.1.0
 * @category events
 */
export interface Checkpointed {
  readonly _tag: "Checkpointed"
  /** Steps made. */
  readonly step: number
  readonly path: string
}

/**
 * @since 0.1.0
 * @category events
 */
export interface Sampled {
  readonly _tag: "Sampled"
  /** Steps made. */
  readonly step: number
  /** Of the grid. */
  readonly path: string
}

/**
 * The end: all steps made, or stopped before.
 *
 * @since 0.1.0
 * @category events
 */
export interface Ended {
  readonly _tag: "Ended"
  /** Steps made. */
  readonly step: number
  readonly stopped: boolean
  /** Seconds since the beginning. */
  readonly seconds: number
}

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Train.Event | Started | Checkpointed | Sampled | Ended

/**
 * Where in a run's folder things are.
 *
 * @since 0.1.0
 * @category getters
 */
export const places = (folder: string, { join }: Path.Path) => ({
  experiment: join(folder, "experiment.json"),
  history: join(folder, "history.jsonl"),
  checkpoints: join(folder, "checkpoints"),
  samples: join(folder, "samples")
})

const networkName = ({ config: { network } }: Experiment): string =>
  typeof network === "string" ? network : network.name

/** Steps of a history are told as JSON; what is not finite as `null`. */
const lineOf = (event: Train.Event): string => `${JSON.stringify(event)}\n`

/** The history of the steps before one: what is beyond is of a run that was killed after its last checkpoint. */
const truncated = (text: string, step: number): string => {
  const before = text.split("\n").filter((line) => {
    if (line === "") return false
    try {
      return (JSON.parse(line) as { readonly step: number }).step < step
    } catch {
      return false
    }
  })
  return before.map((line) => `${line}\n`).join("")
}

/**
 * The steps of a run's history; what was not finite is NaN. A last line that is cut short, of a run that was killed or is at it, is left
 * out. Fails with `DataError` for a file that is no history.
 *
 * @since 0.1.0
 * @category reading
 */
export const history = Effect.fnUntraced(function* (folder: string) {
  const paths = yield* Path.Path
  const path = places(folder, paths).history
  const text = yield* Files.readText(path)
  return yield* Effect.forEach(text.split("\n").slice(0, -1), (line, i) =>
    Effect.try({
      try: () => JSON.parse(line, (_, value) => value ?? Number.NaN) as Train.Event,
      catch: () => dataError(path, "format", `line ${i + 1} is no step of a history`)
    })
  )
})

/** The checkpoint to go on from, which must be of the same experiment on the same data. */
const resumed = Effect.fnUntraced(function* (
  { config, data }: Experiment,
  folder: string,
  { resume = false, fallback = false }: Options
) {
  const found = yield* Checkpoint.latest(folder, { fallback })
  if (Option.isNone(found)) return undefined
  const { manifest, path, snapshot } = found.value
  const refuse = (why: string) =>
    new CheckpointError({ path, reason: "mismatch", message: `the checkpoint ${path} ${why}` })
  if (!resume) {
    return yield* refuse("is there already: resume the run, or choose another folder for a new one")
  }
  const odd = difference(
    { ...config, steps: 0 },
    { ...(manifest.configuration as object), steps: 0 }
  )
  if (odd !== undefined) {
    return yield* refuse(
      `is of another experiment: ${odd} is not the same; only \`steps\` may change`
    )
  }
  if (manifest.data !== undefined && manifest.data.fingerprint !== data.fingerprint) {
    return yield* refuse(`is of other data: ${manifest.data.name} was not what ${data.name} is now`)
  }
  return snapshot
})

/** The path of the first difference between two values of JSON, if there is any. */
const difference = (a: unknown, b: unknown, path = ""): string | undefined => {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) {
    return a === b ? undefined : path
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = difference(a[key as never], b[key as never], path === "" ? key : `${path}.${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** Grids of samples with the weights at hand, of the same noise each time. */
const sampling = Effect.fnUntraced(function* (experiment: Experiment, options: SamplesOptions) {
  const { network, schedule, data } = experiment
  const { count = 36, plan = 30, sampler = Dpm.dpmpp2m() } = options
  const classes = experiment.config.conditional ? (data.classes?.length ?? 0) : 0
  const label = classes === 0 ? {} : { label: Tensor.spec([count], "int32") }
  const made = yield* Sample.make({
    shape: data.shape,
    batch: count,
    plan: yield* Model.planOf(schedule, plan),
    inputs: { weights: network.parameters, ...label },
    sampler: () => sampler,
    denoiser: ({ weights, label }: any) => Model.denoiserOf(experiment, weights, options, label)
  })
  const labels = {
    dtype: "int32" as const,
    shape: [count] as const,
    data: Int32Array.from({ length: count }, (_, i) => i % Math.max(1, classes))
  }
  return Effect.fnUntraced(function* (snapshot: Train.Snapshot, path: string) {
    const { weights } = yield* Model.of(experiment, snapshot)
    const inputs = { weights, ...(classes === 0 ? {} : { label: labels }) }
    const images = yield* made.run(experiment.config.seed, { inputs } as never)
    yield* Images.write(path, yield* Images.grid(images, { scale: 3 }))
  })
})

/**
 * Trains an experiment in a folder. The stream ends when all steps are made, or are stopped; it fails as a training does, and where
 * something cannot be written. Nothing that was written before is lost by that.
 *
 * A run that is resumed ends, bit for bit, where it would have ended otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const train = (experiment: Experiment, options: Options) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { config, data } = experiment
      const { folder, checkpoint = 1000, samples, stop = Effect.never } = options
      const paths = yield* Path.Path
      const files = yield* FileSystem.FileSystem
      const device = yield* Device.Device
      const at = places(folder, paths)
      const begun = performance.now()

      const from = yield* resumed(experiment, at.checkpoints, options)
      yield* Files.write(at.experiment, `${JSON.stringify(config, undefined, 2)}\n`)
      const before =
        from === undefined
          ? ""
          : truncated(yield* Effect.orElseSucceed(Files.readText(at.history), () => ""), from.step)
      yield* Files.write(at.history, before)
      const training = yield* Train.make({
        ...experiment.training,
        ...(from === undefined ? {} : { from })
      })
      const draw = samples === undefined ? undefined : yield* sampling(experiment, samples)

      let step = from?.step ?? 0
      let saved = step
      let lines: Array<string> = []
      let last = Number.NaN

      const save = Effect.gen(function* () {
        yield* Files.append(at.history, lines.join(""))
        lines = []
        const snapshot = yield* training.snapshot
        saved = snapshot.step
        const path = yield* Checkpoint.write(
          at.checkpoints,
          {
            snapshot,
            configuration: config,
            data: {
              name: data.name,
              fingerprint: data.fingerprint,
              position: snapshot.step * config.batch * config.accumulate
            },
            metrics: { loss: last }
          },
          options.retention
        )
        return { _tag: "Checkpointed", step: snapshot.step, path } satisfies Checkpointed
      }).pipe(Effect.withSpan("odeon.checkpoint"))

      const followed = (event: Train.Event) =>
        Effect.gen(function* () {
          const events: Arr.NonEmptyArray<Event> = [event]
          step = event.step + 1
          last = event.loss
          lines.push(lineOf(event))
          if (step % checkpoint === 0) events.push(yield* save)
          if (samples !== undefined && draw !== undefined && step % samples.every === 0) {
            const name = `step-${String(step).padStart(8, "0")}.png`
            const path = paths.join(at.samples, name)
            yield* Effect.withSpan(
              Effect.flatMap(training.snapshot, (snapshot) => draw(snapshot, path)),
              "odeon.sampling"
            )
            events.push({ _tag: "Sampled", step, path })
          }
          return events
        })

      const finish = Effect.gen(function* () {
        const events: Array<Event> = step === saved ? [] : [yield* save]
        const seconds = (performance.now() - begun) / 1000
        events.push({ _tag: "Ended", step, stopped: step < config.steps, seconds })
        return events
      })
      const started: Started = {
        _tag: "Started",
        step,
        steps: config.steps,
        network: networkName(experiment),
        data: data.name,
        device: device.description,
        parameters: training.parameters,
        items: config.batch * config.accumulate,
        compileTime: training.compileTime
      }
      const marks = [checkpoint, ...(samples === undefined ? [] : [samples.every])]
      const steps = training.run({ to: config.steps, marks }).pipe(
        Stream.haltWhen(stop),
        // all of a call to the device, so that whoever leaves in the midst of it leaves nothing out of the history
        Stream.mapArrayEffect((all) =>
          Effect.map(Effect.forEach(all, followed), (each) => Arr.flatten(each))
        )
      )
      return Stream.make(started as Event).pipe(
        Stream.concat(steps),
        Stream.concat(Stream.flatMap(Stream.fromEffect(finish), Stream.fromIterable)),
        // whether it fails, is interrupted or left: what ends it may not keep it from being saved
        Stream.ensuring(Effect.suspend(() => (step === saved ? Effect.void : Effect.ignore(save)))),
        Stream.provideService(FileSystem.FileSystem, files),
        Stream.provideService(Path.Path, paths)
      )
    })
  ).pipe(Stream.withSpan("odeon.run"))
