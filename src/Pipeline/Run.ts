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
import * as Logger from "effect/Logger"
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
import { attempt } from "./internal/attempt.ts"
import { demand, requireAll } from "./internal/config.ts"
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
  /** How many images; 36 unless told, or four of each class, a column each, where the network is told few classes. */
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

/** So many lines of a history do not wait for the next checkpoint. */
const mostLines = 1000

/** Steps of a history are told as JSON; what is not finite as `null`. */
const lineOf = (event: Train.Event): string => `${JSON.stringify(event)}\n`

/** Whether a step comes after all those before: two runs that were in a folder together have both told of theirs, which are the same. */
const isNext = () => {
  let last = -1
  return (step: number): boolean => {
    if (!(step > last)) return false
    last = step
    return true
  }
}

/** The lines of a text, each by itself, as all may be more than a string can be; a last one that is cut short is left out. */
const linesOf = function* (bytes: Uint8Array) {
  const decoder = new TextDecoder()
  for (let from = 0, end = 0; (end = bytes.indexOf(0x0a, from)) >= 0; from = end + 1) {
    yield { text: decoder.decode(bytes.subarray(from, end)), bytes: bytes.subarray(from, end + 1) }
  }
}

/** The lines of a history that are of the steps before one: what is beyond is of a run that was killed after its last checkpoint. */
const historyBefore = Effect.fnUntraced(function* (path: string, step: number) {
  if (step === 0) return new Uint8Array()
  const all = yield* Effect.catchIf(
    Files.read(path),
    ({ reason }) => reason === "missing",
    () => Effect.succeed(new Uint8Array())
  )
  const next = isNext()
  const kept: Array<Uint8Array> = []
  for (const { text, bytes } of linesOf(all)) {
    try {
      const own = (JSON.parse(text) as { readonly step: number }).step
      if (own < step && next(own)) kept.push(bytes)
    } catch {
      // what is no step is none before this one
    }
  }
  return Buffer.concat(kept)
})

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
  const next = isNext()
  const all: Array<Train.Event> = []
  let line = 0
  for (const { text } of linesOf(yield* Files.read(path))) {
    line++
    const event = yield* Effect.try({
      try: () => JSON.parse(text, (_, value) => value ?? Number.NaN) as Train.Event,
      catch: () => dataError(path, "format", `line ${line} is no step of a history`)
    })
    if (next(event.step)) all.push(event)
  }
  return all
})

/** The checkpoint to go on from, which must be of the same experiment on the same data. */
const resumed = Effect.fnUntraced(function* (
  { config, data }: Experiment,
  folder: string,
  { resume = false, fallback = false }: Options
) {
  const mismatch = (path: string, why: string) =>
    new CheckpointError({ path, reason: "mismatch", message: `the checkpoint ${path} ${why}` })
  const newest = (yield* Checkpoint.list(folder)).at(-1)
  if (newest === undefined) return undefined
  if (!resume) {
    return yield* mismatch(
      newest.path,
      "is there already: resume the run, or choose another folder for a new one"
    )
  }
  const found = yield* Checkpoint.latest(folder, { fallback })
  if (Option.isNone(found)) return undefined
  const { manifest, path, snapshot } = found.value
  const refuse = (why: string) => mismatch(path, why)
  // what is past does not depend on these; data are known by what they are, wherever they lie now
  const may = { steps: 0, nonFinite: "", ...(manifest.data === undefined ? {} : { data: "" }) }
  const odd = difference({ ...config, ...may }, { ...(manifest.configuration as object), ...may })
  if (odd !== undefined) {
    return yield* refuse(
      `is of another experiment: ${odd} is not the same; only \`steps\` and \`nonFinite\` may change`
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

/** Throws for options that make no sense, before anything is done. */
const validate = (
  { config, data }: Experiment,
  { checkpoint = 1, retention = {}, samples }: Options
): void => {
  const what = "Run.train"
  const { last = 1, every = 1 } = retention
  requireAll(what, "count", { checkpoint, "retention.every": every })
  if (last !== Number.POSITIVE_INFINITY) requireAll(what, "count", { "retention.last": last })
  if (samples === undefined) return
  requireAll(what, "count", { "samples.every": samples.every, "samples.count": samples.count ?? 1 })
  demand(
    data.shape.length === 3 && [1, 3, 4].includes(data.shape[0]),
    `${what}: samples`,
    `${data.name} has items of [${data.shape.join(", ")}], which are no pictures: leave them out`
  )
  demand(
    config.conditional || (samples.guidance ?? 1) === 1,
    `${what}: samples.guidance`,
    "the network is told no classes, so that there is no guidance: leave it out"
  )
}

/** Grids of samples with the weights at hand, of the same noise each time. */
const sampling = Effect.fnUntraced(function* (experiment: Experiment, options: SamplesOptions) {
  const { network, schedule, data } = experiment
  const classes = experiment.config.conditional ? (data.classes?.length ?? 0) : 0
  const columns = Model.columnsOf(classes === 0 ? {} : { classes })
  const { plan = 30, sampler = Dpm.dpmpp2m() } = options
  const { count = columns === undefined ? 36 : 4 * columns } = options
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
    yield* Images.write(
      path,
      yield* Images.grid(images, { scale: 3, ...(columns === undefined ? {} : { columns }) })
    )
  })
})

/**
 * Trains an experiment in a folder. The stream ends when all steps are made, or are stopped; it fails as a training does, and where
 * something cannot be written. Nothing that was written before is lost by that.
 *
 * A run that is resumed ends, bit for bit, where it would have ended otherwise. Of its configuration `steps` and `nonFinite` alone may
 * change, and where the data lie; a learning rate that falls until the end then goes on as though that had been told from the beginning.
 * One that ended at a loss that was not finite goes on beyond it with `nonFinite` as `skip`.
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

      yield* attempt(() => validate(experiment, options))
      yield* Files.writable(at.experiment, "file")
      const from = yield* resumed(experiment, at.checkpoints, options)
      // no closure here sees what it goes on from, which is not to be held on to
      const before = yield* historyBefore(at.history, from?.step ?? 0)
      const training = yield* Train.make({
        ...experiment.training,
        ...(from === undefined ? {} : { from })
      })
      const draw = samples === undefined ? undefined : yield* sampling(experiment, samples)
      // what is refused has written nothing
      yield* Effect.forEach([folder, at.samples], Files.sweep)
      yield* Files.write(at.experiment, `${JSON.stringify(config, undefined, 2)}\n`)
      yield* Files.write(at.history, before)

      // where the training stands, however much of that the stream has told
      let step = from?.step ?? 0
      let saved = step
      let lines: Array<string> = []
      let last = Number.NaN
      let refused = false
      const record = (events: ReadonlyArray<Train.Event>) => {
        for (const event of events) {
          step = event.step + 1
          last = event.loss
          lines.push(lineOf(event))
        }
      }

      // all of it or nothing, so that none is told twice
      const told = Effect.uninterruptible(
        Effect.suspend(() =>
          Effect.map(Files.append(at.history, lines.join("")), () => {
            lines = []
          })
        )
      )

      const save = (standing: Train.Training["snapshot"]) =>
        Effect.gen(function* () {
          yield* told
          const snapshot = yield* standing
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
          saved = snapshot.step
          return { _tag: "Checkpointed", step: snapshot.step, path } satisfies Checkpointed
        }).pipe(
          Effect.tapError(() =>
            Effect.sync(() => {
              refused = true
            })
          ),
          Effect.withSpan("odeon.checkpoint")
        )

      const pictureOf = (step: number) =>
        paths.join(at.samples, `step-${String(step).padStart(8, "0")}.png`)

      /** The grid that is due where the training stands, if one is. */
      const drawn = Effect.fnUntraced(function* (
        step: number,
        standing: Train.Training["snapshot"]
      ) {
        const events: Array<Event> = []
        if (draw === undefined || samples === undefined || step % samples.every !== 0) return events
        const path = pictureOf(step)
        yield* Effect.withSpan(
          Effect.flatMap(standing, (snapshot) => draw(snapshot, path)),
          "odeon.sampling"
        )
        events.push({ _tag: "Sampled", step, path })
        return events
      })

      const followed = (event: Train.Event) =>
        Effect.gen(function* () {
          const events: Arr.NonEmptyArray<Event> = [event]
          const step = event.step + 1
          // one copy of the weights serves both
          const standing = yield* Effect.cached(training.snapshot)
          if (step % checkpoint === 0) events.push(yield* save(standing))
          events.push(...(yield* drawn(step, standing)))
          return events
        })

      // a run that was left between a step and its grid stands where that is still due
      const owed =
        step === 0
          ? Effect.succeed([])
          : Effect.flatMap(
              Effect.orElseSucceed(files.exists(pictureOf(step)), () => false),
              (there) => (there ? Effect.succeed([]) : drawn(step, training.snapshot))
            )

      const finish = Effect.gen(function* () {
        const events: Array<Event> = step === saved ? [] : [yield* save(training.snapshot)]
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
      const steps = training.run({ to: config.steps, marks, record }).pipe(
        Stream.haltWhen(stop),
        // the calls to the device end at marks, so that what is due there is due at the end of what one tells
        Stream.mapArrayEffect((all) =>
          Effect.gen(function* () {
            const each = yield* Effect.forEach(all, followed)
            if (lines.length >= mostLines) yield* told
            return Arr.flatten(each)
          })
        )
      )
      return Stream.make(started as Event).pipe(
        Stream.concat(Stream.flatMap(Stream.fromEffect(owed), Stream.fromIterable)),
        Stream.concat(steps),
        Stream.concat(Stream.flatMap(Stream.fromEffect(finish), Stream.fromIterable)),
        // whether it fails, is interrupted or left: what ends it may not keep it from being saved
        Stream.ensuring(
          Effect.suspend(() => {
            // then it ends by that, which says it already
            const known = refused
            if (step === saved) return Effect.void
            return Effect.catch(save(training.snapshot), ({ message }) =>
              known
                ? Effect.void
                : // not among what a program prints
                  Effect.logError(`steps ${saved} to ${step - 1} are lost: ${message}`).pipe(
                    Effect.provideService(Logger.LogToStderr, true)
                  )
            )
          })
        ),
        Stream.provideService(FileSystem.FileSystem, files),
        Stream.provideService(Path.Path, paths)
      )
    })
  ).pipe(Stream.withSpan("odeon.run"))
