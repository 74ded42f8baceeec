/**
 * Reports of runs: what lies in their folders, beside each other, as one page.
 *
 *     run/
 *       experiment.json             the configuration: what it is, and its differences from others
 *       history.jsonl               the loss, by step and by time
 *       samples/step-….png          what it drew while it learnt
 *       evaluation.json, .png       how like real images its samples are, and what they cost (see `Evaluate`)
 *       denoise.json, .png          noise taken from images (see `Denoise`)
 *
 * Of what is not there the page says so in a sentence, and goes on.
 *
 * ```ts
 * const runs = yield* Effect.forEach(["runs/cunet", "runs/unet"], (folder) => RunReport.read(folder))
 * yield* Report.write("report.html", yield* RunReport.make(runs))
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import type { Summary } from "../Layer/index.ts"
import * as Chart from "./Chart.ts"
import * as Denoise from "./Denoise.ts"
import * as Evaluate from "./Evaluate.ts"
import * as Experiment from "./Experiment.ts"
import * as Files from "./Files.ts"
import * as Images from "./Images.ts"
import { attempt, dataError, demand } from "./internal/data.ts"
import * as Networks from "./Networks.ts"
import type { DataError, FileError } from "./PipelineError.ts"
import * as Report from "./Report.ts"
import * as Run from "./Run.ts"
import type * as Train from "./Train.ts"

/**
 * A grid of samples, as it was written while a run went on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grid {
  /** Steps made by then. */
  readonly step: number
  /** The bytes of the picture's file. */
  readonly picture: Uint8Array
}

/**
 * What lies in a run's folder.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  /** For people; no two have the same. */
  readonly name: string
  readonly config?: Experiment.Config
  readonly history?: ReadonlyArray<Train.Event>
  readonly grids: ReadonlyArray<Grid>
  readonly evaluation?: Evaluate.Evaluation
  /** Samples of the evaluation: the bytes of a picture's file. */
  readonly evaluated?: Uint8Array
  readonly denoising?: Denoise.Result
  /** Examples of the denoising: the bytes of a picture's file. */
  readonly denoised?: Uint8Array
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

/** What is read, or nothing where there is no such file. */
const ifThere = <A, R>(read: Effect.Effect<A, DataError | FileError, R>) =>
  Effect.catchIf(
    Effect.map(read, (found): A | undefined => found),
    (error: DataError | FileError) => error._tag === "FileError" && error.reason === "missing",
    () => Effect.undefined
  )

/** A configuration, complete. */
const configOf = Effect.fnUntraced(function* (path: string) {
  const text = yield* Files.readText(path)
  const refused = (error: unknown) =>
    dataError(path, "format", `it is no experiment: ${(error as Error).message}`)
  const json = yield* Effect.try({ try: () => JSON.parse(text) as unknown, catch: refused })
  return yield* Effect.mapError(Experiment.parse(json), refused)
})

/** The bytes of a picture, whole. */
const pictureAt = (path: string) =>
  Effect.flatMap(Files.read(path), (bytes) =>
    Effect.as(Images.decode(bytes, { source: path }), bytes)
  )

const gridName = /^step-(\d+)\.png$/

/** The most grids of a run on a page. */
const mostGrids = 4

/** Some of many, evenly chosen, the first and the last among them. */
const chosen = <A>(all: ReadonlyArray<A>, most: number): ReadonlyArray<A> =>
  all.length <= most
    ? all
    : Array.from({ length: most }, (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))])

const gridsOf = Effect.fnUntraced(function* (folder: string) {
  const paths = yield* Path.Path
  const names = (yield* ifThere(Files.list(folder))) ?? []
  const found = names.flatMap((name) => {
    const step = gridName.exec(name)?.[1]
    return step === undefined ? [] : [{ name, step: Number(step) }]
  })
  return yield* Effect.forEach(
    chosen(
      found.sort((a, b) => a.step - b.step),
      mostGrids
    ),
    ({ name, step }) =>
      Effect.map(pictureAt(paths.join(folder, name)), (picture): Grid => ({ step, picture }))
  )
})

const given = <K extends string, A>(key: K, value: A | undefined) =>
  (value === undefined ? {} : { [key]: value }) as { readonly [_ in K]?: A }

/**
 * What lies in a run's folder; its name is the folder's unless told. Of the grids of samples a few are read, evenly chosen.
 *
 * Fails with `DataError` for a folder that holds nothing of a run, and for files that are not what they should be; with `FileError` where
 * something cannot be read.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = Effect.fnUntraced(function* (
  folder: string,
  options: { readonly name?: string | undefined } = {}
) {
  const paths = yield* Path.Path
  yield* Files.list(folder)
  const at = Run.places(folder, paths)
  const [evaluation, denoising] = [Evaluate.places(folder, paths), Denoise.places(folder, paths)]
  const found: Found = {
    name: options.name ?? paths.basename(paths.resolve(folder)),
    grids: yield* gridsOf(at.samples),
    ...given("config", yield* ifThere(configOf(at.experiment))),
    ...given("history", yield* ifThere(Run.history(folder))),
    ...given("evaluation", yield* ifThere(Evaluate.read(evaluation.evaluation))),
    ...given("evaluated", yield* ifThere(pictureAt(evaluation.picture))),
    ...given("denoising", yield* ifThere(Denoise.read(denoising.result))),
    ...given("denoised", yield* ifThere(pictureAt(denoising.picture)))
  }
  if (Object.keys(found).length === 2 && found.grids.length === 0) {
    return yield* dataError(
      folder,
      "empty",
      "it holds nothing of a run: no experiment.json, history.jsonl, samples, evaluation.json or denoise.json"
    )
  }
  return found
})

// ── Parts ────────────────────────────────────────────────────────────────────────────────────────

/** What is told of a run's training. */
interface Course {
  /** Steps made, those left out included. */
  readonly steps: number
  readonly skipped: number
  readonly seconds: number
  /** The median. */
  readonly secondsPerStep: number | undefined
  /** The mean over the last hundredth of the steps, and at least the last ten. */
  readonly loss: number | undefined
  readonly events: ReadonlyArray<Train.Step>
}

const courseOf = (history: ReadonlyArray<Train.Event>): Course => {
  const events = history.filter((event) => event._tag === "Step")
  const times = events.map(({ milliseconds }) => milliseconds / 1000).sort((a, b) => a - b)
  const last = events.slice(-Math.max(10, Math.floor(events.length / 100)))
  return {
    steps: history.reduce((most, { step }) => Math.max(most, step + 1), 0),
    skipped: history.length - events.length,
    seconds: times.reduce((sum, each) => sum + each, 0),
    secondsPerStep: times[times.length >> 1],
    loss:
      last.length === 0 ? undefined : last.reduce((sum, { loss }) => sum + loss, 0) / last.length,
    events
  }
}

const nameOf = (named: string | { readonly name: string }): string =>
  typeof named === "string" ? named : named.name

/** What a configuration's network is and costs for one item, if it is one that is known here. */
const costOf = ({ config }: Found) =>
  config === undefined
    ? Effect.undefined
    : Experiment.denoising(config).pipe(
        Effect.flatMap(({ network }) => Networks.costOf(network as Networks.Network)),
        Effect.map((cost): Summary.Summary | undefined => cost),
        Effect.orElseSucceed(() => undefined)
      )

/** Put beside each other if they can be, else each by itself. */
const together = <A>(
  all: ReadonlyArray<A>,
  merge: (all: ReadonlyArray<A>) => A
): Effect.Effect<ReadonlyArray<A>> =>
  all.length < 2
    ? Effect.succeed(all)
    : Effect.orElseSucceed(
        Effect.map(
          attempt(() => merge(all)),
          (one): ReadonlyArray<A> => [one]
        ),
        () => all
      )

/** What an evaluation says of its run, under the run's name. */
const renamed = <M extends { readonly name: string }>(
  name: string,
  models: ReadonlyArray<M>
): ReadonlyArray<M> => (models.length === 1 ? [{ ...models[0], name }] : models)

/** Evaluations, those that can be compared as one. */
const evaluationsOf = (runs: ReadonlyArray<Found>) =>
  together(
    runs.flatMap(({ name, evaluation }) =>
      evaluation === undefined ? [] : [{ ...evaluation, models: renamed(name, evaluation.models) }]
    ),
    Evaluate.merge
  )

/** What an evaluation says of the run that it lies in. */
const figuresOf = ({ name, evaluation }: Found): Evaluate.Figures | undefined =>
  evaluation?.models.find((model) => model.name === name) ?? evaluation?.models[0]

/** What is known of a run. */
interface Facts {
  readonly run: Found
  readonly cost: Summary.Summary | undefined
  readonly course: Course | undefined
  /** Of its evaluation. */
  readonly network: Evaluate.Network | undefined
  /** Of its evaluation, if that can be compared with those of the others. */
  readonly figures: Evaluate.Figures | undefined
}

/** A column that shows something of it. */
interface Shows extends Report.Column {
  readonly of: (facts: Facts) => Report.Cell
  /** Whether its cells say something; they do unless nothing is known. */
  readonly says?: (cells: ReadonlyArray<Report.Cell>, names: ReadonlyArray<string>) => boolean
}

// what is the same stands among the configuration
const differs: Shows["says"] = (cells) => new Set(cells).size > 1

const columns: ReadonlyArray<Shows> = [
  { name: "run", of: ({ run }) => run.name },
  {
    name: "network",
    of: ({ run: { config } }) => config && nameOf(config.network),
    says: (cells, names) => cells.some((cell, i) => cell !== undefined && cell !== names[i])
  },
  { name: "data", of: ({ run: { config } }) => config && nameOf(config.data), says: differs },
  {
    name: "parameters",
    format: "count",
    of: ({ cost, network }) => cost?.parameters ?? network?.parameters
  },
  {
    name: "MACs",
    unit: "an evaluation",
    format: "count",
    of: ({ cost, network }) => cost?.macs ?? network?.macs
  },
  { name: "steps", of: ({ course, network }) => course?.steps ?? network?.steps },
  {
    name: "batch",
    of: ({ run: { config } }) => config && config.batch * config.accumulate,
    says: differs
  },
  { name: "training", format: "seconds", of: ({ course }) => course?.seconds },
  { name: "last loss", of: ({ course }) => course?.loss },
  { name: "FID", of: ({ figures }) => figures?.fid },
  { name: "sure", format: "percent", of: ({ figures }) => figures?.judgement?.confident },
  {
    name: "sampling",
    unit: "an image",
    format: "seconds",
    of: ({ network }) => network?.secondsPerImage
  }
]

const summary = Effect.fnUntraced(function* (runs: ReadonlyArray<Found>) {
  const alike = (yield* evaluationsOf(runs)).length < 2
  const facts = yield* Effect.forEach(runs, (run) =>
    Effect.map(costOf(run), (cost): Facts => {
      const figures = figuresOf(run)
      return {
        run,
        cost,
        course: run.history === undefined ? undefined : courseOf(run.history),
        network: figures?.network,
        figures: alike ? figures : undefined
      }
    })
  )
  const names = runs.map(({ name }) => name)
  const known: Shows["says"] = (cells) => cells.some((cell) => cell !== undefined)
  const used = columns.filter(({ of, says = known }) => says(facts.map(of), names))
  const judged = used.some(({ name }) => name === "sure")
  return Report.table({
    caption: `MACs are the multiply-accumulates of one evaluation of the network${judged ? "; “sure” is the share of samples of which a classifier is sure" : ""}`,
    columns: used.map(({ of: _, says: __, ...column }) => column),
    rows: facts.map((each) => used.map(({ of }) => of(each)))
  })
})

/** Which runs lack something, in a sentence; nothing where none does. */
const lacking = (
  runs: ReadonlyArray<Found>,
  has: (run: Found) => boolean,
  sentence: (names: string) => string
): ReadonlyArray<Report.Block> => {
  const names = runs.filter((run) => !has(run)).map(({ name }) => name)
  return names.length === 0 ? [] : [Report.text(sentence(enumerated(names)))]
}

const enumerated = (names: ReadonlyArray<string>): string =>
  names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`

/** Averaged over so many steps. */
const smoothing = (runs: ReadonlyArray<Course>): number =>
  Math.max(1, Math.round(Math.max(...runs.map(({ events }) => events.length)) / 100))

/** Losses as they went. */
const training = (runs: ReadonlyArray<Found>): ReadonlyArray<Report.Block> => {
  const told = runs.flatMap(({ name, history }) => {
    const course = courseOf(history ?? [])
    return course.events.length === 0 ? [] : [{ name, course }]
  })
  const none = lacking(
    runs,
    ({ history }) => courseOf(history ?? []).events.length > 0,
    (names) => `There is no history of ${names}.`
  )
  if (told.length === 0) return none
  const smooth = smoothing(told.map(({ course }) => course))
  const log = told.every(({ course }) => course.events.every(({ loss }) => !(loss <= 0)))
  const lines = (title: string, x: string, of: (course: Course) => ReadonlyArray<number>) =>
    Chart.lines({
      title,
      x,
      y: { title: "loss", log },
      series: told.map(({ name, course }) => ({
        name,
        x: of(course),
        y: course.events.map(({ loss }) => loss)
      })),
      smooth
    })
  const byStep = lines("Loss over steps", "step", ({ events }) =>
    events.map(({ step }) => step + 1)
  )
  const minutes = told.some(({ course }) => course.seconds > 180)
  const unit = minutes ? "minutes" : "seconds"
  const byTime = lines("Loss over time", `${unit} of training`, ({ events }) => {
    let millis = 0
    return events.map(({ milliseconds }) => {
      millis += milliseconds
      return millis / (minutes ? 60_000 : 1000)
    })
  })
  const average =
    smooth > 1 ? `Averaged over ${smooth} steps; each step is behind it, pale.` : undefined
  const skipped = told.flatMap(({ name, course }) =>
    course.skipped === 0
      ? []
      : [
          `${name} left out ${course.skipped === 1 ? "a step" : `${course.skipped} steps`}, whose loss or gradient was not finite.`
        ]
  )
  return [
    Report.figure(byStep, average),
    ...(told.length > 1 ? [Report.figure(byTime, average)] : []),
    ...(skipped.length > 0 ? [Report.text(skipped.join(" "))] : []),
    ...none
  ]
}

/** A picture of each run that has one, in one figure. */
const beside = (
  runs: ReadonlyArray<Found>,
  of: (run: Found) => Uint8Array | undefined,
  alt: (name: string) => string,
  caption: string
): ReadonlyArray<Report.Block> => {
  const pictures = runs.flatMap((run): ReadonlyArray<Report.Shown> => {
    const picture = of(run)
    const label = runs.length > 1 ? { label: run.name } : {}
    return picture === undefined ? [] : [{ picture, alt: alt(run.name), ...label }]
  })
  return pictures.length === 0 ? [] : [Report.pictures(pictures, caption)]
}

/** What was drawn while it was learnt, and at the end. */
const samples = (runs: ReadonlyArray<Found>): ReadonlyArray<Report.Block> => [
  ...runs.flatMap(({ name, grids }) =>
    grids.length === 0
      ? []
      : [
          Report.pictures(
            grids.map(({ step, picture }) => ({
              picture,
              label: `after ${step.toLocaleString("en-US")} steps`,
              alt: `Samples of ${name} after ${step} steps`
            })),
            `Samples of ${name} while it was trained, of the same noise each time.`
          )
        ]
  ),
  ...beside(
    runs,
    ({ evaluated }) => evaluated,
    (name) => `The first samples of ${name} that were evaluated`,
    "The first samples that were evaluated, none left out."
  ),
  ...lacking(
    runs,
    ({ grids, evaluated }) => grids.length > 0 || evaluated !== undefined,
    (names) => `There are no samples of ${names}.`
  )
]

const apart = (parts: number): ReadonlyArray<Report.Block> =>
  parts < 2
    ? []
    : [
        Report.text(
          "These were not found in the same way, and are not to be compared: do it for all runs at once."
        )
      ]

const quality = Effect.fnUntraced(function* (runs: ReadonlyArray<Found>) {
  const parts = yield* evaluationsOf(runs)
  const tables = parts.flatMap((part): ReadonlyArray<Report.Block> => {
    const costs = Evaluate.costTable(part)
    const classes = Evaluate.classTable(part)
    return [
      Evaluate.table(part),
      ...(costs.columns.length > 1 ? [costs] : []),
      ...(classes === undefined ? [] : [classes])
    ]
  })
  return [
    ...apart(parts.length),
    ...tables,
    ...lacking(
      runs,
      ({ evaluation }) => evaluation !== undefined,
      (names) => `There is no evaluation of ${names}.`
    )
  ]
})

/** The most levels of noise whose chains are drawn. */
const mostChains = 3

const denoising = Effect.fnUntraced(function* (runs: ReadonlyArray<Found>) {
  const all = runs.flatMap(({ name, denoising }) =>
    denoising === undefined ? [] : [{ ...denoising, models: renamed(name, denoising.models) }]
  )
  const parts = yield* together(all, Denoise.merge)
  const blocks = parts.flatMap((part): ReadonlyArray<Report.Block> => {
    const levels = part.baselines.map(({ noise }) => noise)
    const long = part.models.some(({ chains }) => chains.some(({ steps }) => steps > 1))
    return [
      ...(levels.length > 1
        ? [
            Report.figure(
              Denoise.overNoise(part),
              "Of each model the best image along its best chain; ε is the deviation of the noise, where white is 1 above black."
            )
          ]
        : []),
      ...(long
        ? [
            Report.figure(
              Denoise.alongChains(part, chosen(levels, mostChains)),
              "The state that each step leaves, which still holds some noise, and the estimate of the clean image that the step is made of."
            )
          ]
        : []),
      Denoise.table(part)
    ]
  })
  const pictures = beside(
    runs,
    ({ denoised }) => denoised,
    (name) => `Images, noisy images, and what ${name} made of them`,
    "From left to right: clean, noisy, blurred, and what the model made of it, where its PSNR is the highest; noise grows from above to below."
  )
  return [
    ...apart(parts.length),
    ...blocks,
    ...pictures,
    ...lacking(
      runs,
      ({ denoising }) => denoising !== undefined,
      (names) => `Noise was not taken from images by ${names}.`
    )
  ]
})

/** What is alike in all configurations, and what is not. */
const configuration = (runs: ReadonlyArray<Found>): ReadonlyArray<Report.Block> => {
  const all = runs.flatMap(({ name, config }) => (config === undefined ? [] : [{ name, config }]))
  const none = lacking(
    runs,
    ({ config }) => config !== undefined,
    (names) => `The configuration of ${names} is not there.`
  )
  if (all.length === 0) return none
  const entries = all.map(({ config }) => new Map(Report.settings(config).entries))
  const keys = [...new Set(entries.flatMap((each) => [...each.keys()]))]
  const alike = (key: string) => entries.every((each) => each.get(key) === entries[0].get(key))
  const common: Report.Settings = {
    kind: "settings",
    entries: keys.filter(alike).map((key) => [key, entries[0].get(key) ?? ""]),
    ...(all.length > 1 ? { caption: "What all runs have in common." } : {})
  }
  const odd = keys.filter((key) => !alike(key))
  return [
    ...(odd.length === 0
      ? []
      : [
          Report.table({
            caption: "What they differ in.",
            columns: [{ name: "field" }, ...all.map(({ name }) => ({ name }))],
            rows: odd.map((key) => [key, ...entries.map((each) => each.get(key))])
          })
        ]),
    ...(common.entries.length === 0 ? [] : [common]),
    ...none
  ]
}

// ── The report ───────────────────────────────────────────────────────────────────────────────────

/**
 * - `title`: the runs' names unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly title?: string | undefined
}

/**
 * The report of one run, or of several beside each other. Fails with `DataError` where there are none, or two have the same name.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  runs: ReadonlyArray<Found>,
  { title }: Options = {}
) {
  const names = runs.map(({ name }) => name)
  yield* attempt(() => {
    demand(runs.length > 0, "report", "empty", () => "there are no runs")
    const twice = names.find((name, i) => names.indexOf(name) < i)
    demand(
      twice === undefined,
      "report",
      "options",
      () => `two runs are called "${twice}": give each a name of its own`
    )
  })
  const data = [...new Set(runs.flatMap(({ config }) => (config ? [nameOf(config.data)] : [])))]
  return Report.make({
    title: title ?? enumerated(names),
    ...(data.length === 0 ? {} : { subtitle: `Trained on ${enumerated(data)}` }),
    blocks: [
      yield* summary(runs),
      Report.section("Training", training(runs)),
      Report.section("Samples", samples(runs)),
      Report.section("Quality and cost", yield* quality(runs)),
      Report.section("Denoising", yield* denoising(runs)),
      Report.section("Configuration", configuration(runs))
    ]
  })
})
