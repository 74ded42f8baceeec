/** `odeon train` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import type { Progress, Run } from "../../Pipeline/index.ts"
import * as Configuration from "../internal/configuration.ts"
import { type Fields, fieldsOf } from "../internal/fields.ts"
import * as Flags from "../internal/flags.ts"
import { pipeline } from "../internal/pipeline.ts"
import { refuse, refusing } from "../internal/refusal.ts"
import * as Runs from "../internal/runs.ts"
import * as Signals from "../internal/signals.ts"

const prefix = "ODEON_TRAIN_"

const flags = {
  data: Flags.path(
    "data",
    "spec",
    "What is learnt: digits (unless told), mnist:path, images:folder … (see odeon data list)"
  ),
  network: Flags.text(
    "network",
    "name",
    "A preset, cunet-small unless told; odeon networks lists all"
  ),
  steps: Flags.whole("steps", "Updates, 10000 unless told; rates that fall do so until then"),
  batch: Flags.whole("batch", "Items at once; 64 unless told"),
  seed: Flags.whole("seed", "Of everything random; 0 unless told"),
  set: Flags.set(
    "Any field of the configuration, by its path, with a value in JSON or a word, such as network.width=8; may be repeated"
  ),
  config: Flags.config("A JSON file of the configuration, such as --print-config prints"),
  out: Flags.path("out", "folder", "The run's folder; runs/<data>-<network> unless told"),
  checkpointEvery: Flags.count("checkpoint-every", "Steps between checkpoints; 1000 unless told"),
  keep: Flags.count("keep", "How many checkpoints stay, the newest; 3 unless told"),
  keepEvery: Flags.count(
    "keep-every",
    "Besides, those of steps that are multiples of this stay, for averages that are made afterwards"
  ),
  samplesEvery: Flags.count("samples-every", "Steps between grids of samples; none unless told"),
  resume: Flags.yes(
    "resume",
    "Go on from the newest checkpoint of the run in the folder, with the configuration there unless another is told"
  ),
  fallback: Flags.yes("fallback", "Take the checkpoint before one that is damaged"),
  minutes: Flag.Finite("minutes").pipe(
    Flag.withDescription("End after so long, with a checkpoint"),
    Flag.withMetavar("n"),
    Flag.optional
  ),
  printConfig: Flags.yes(
    "print-config",
    "Print the configuration, with all fields of the network, and where each value comes from (on stderr), and run nothing"
  ),
  json: Flags.yes("json", "Print an object a line for each event; with --print-config, one object"),
  quiet: Flags.yes("quiet", "Print nothing but errors")
}

type Given = Command.Command.Config.Infer<typeof flags>

/** The configuration that all sources tell together. */
const gather = Effect.fnUntraced(function* (given: Given, file: string | undefined) {
  const { Experiment } = yield* pipeline
  const told = [
    ...(file === undefined ? [] : Configuration.ofFile(yield* fieldsOf(file), file)),
    ...(yield* Configuration.ofEnvironment(prefix, process.env)),
    ...Configuration.ofFlags(given, ["data", "network", "steps", "batch", "seed"]),
    ...(yield* Configuration.ofSet(given.set))
  ]
  const defaults: Configuration.Configuration = {
    fields: (yield* Experiment.parse({})) as Fields,
    origins: {}
  }
  const configuration = told.reduce(Configuration.put, defaults)
  const config = yield* Effect.mapError(
    Experiment.parse(configuration.fields),
    Configuration.naming("experiment", configuration)
  )
  const { join } = yield* Path.Path
  const folder = Option.getOrElse(given.out, () =>
    join("runs", `${wordOf(config.data)}-${wordOf(config.network)}`)
  )
  return { config, configuration, folder }
})

/** The same, where a run goes on with what it was told, unless it is told otherwise. */
const settle = Effect.fnUntraced(function* (given: Given) {
  const found = yield* gather(given, Option.getOrUndefined(given.config))
  if (!given.resume) return found
  const { folder } = found
  const files = yield* FileSystem.FileSystem
  const own = (yield* Path.Path).join(folder, "experiment.json")
  const there = yield* Effect.orElseSucceed(files.exists(own), () => false)
  // else a slip in the folder's name would begin another run
  if (!there && !(yield* Runs.isRun(folder))) {
    return yield* refuse(`${folder}: there is no run to go on with; without --resume one begins`)
  }
  return there && Option.isNone(given.config) ? { ...(yield* gather(given, own)), folder } : found
})

/** A name for a folder: `mnist` of `mnist:../data/mnist`, `faces` of `some/faces.npz`. */
const wordOf = (value: string | { readonly name: string }): string => {
  const name = typeof value === "string" ? value : value.name
  const [, word = name] = /^([^:/\\]{2,}):/.exec(name) ?? []
  const last =
    word
      .split(/[/\\]/)
      .filter((part) => part !== "")
      .pop() ?? word
  return last.replace(/\.\w+$/, "").replaceAll(/[^\w.+-]+/g, "-") || "run"
}

const run = Effect.fnUntraced(function* (given: Given) {
  const begun = performance.now()
  const library = yield* pipeline
  const { config, configuration, folder } = yield* settle(given)
  if (given.printConfig) {
    const complete = yield* library.Experiment.complete(config)
    if (!given.json) {
      yield* Console.log(JSON.stringify(complete, undefined, 2))
      return yield* Console.error(`\n${Configuration.show(complete, configuration)}`)
    }
    const from = Object.fromEntries(
      Configuration.leaves(complete).map(([path]) => [
        path.join("."),
        Configuration.originOf(configuration, path) ?? "default"
      ])
    )
    return yield* Console.log(JSON.stringify({ configuration: complete, from }))
  }
  const minutes = Option.getOrUndefined(given.minutes)
  if (minutes !== undefined && !(minutes > 0)) {
    return yield* refuse(`--minutes: it must be above 0, not ${minutes}`)
  }
  const { Devices, Experiment, Files, Progress, Run, Telemetry } = library
  yield* Files.writable(folder, "folder")
  const experiment = yield* Experiment.make(config)
  // large networks take a while to compile
  if (!given.quiet && !given.json) yield* Console.log(`run ${folder}`)
  const signal = yield* Signals.first
  const left = Effect.suspend(() =>
    minutes === undefined
      ? Effect.never
      : Effect.sleep(Math.max(0, 60_000 * minutes - (performance.now() - begun)))
  )
  const last = yield* Run.train(experiment, {
    folder,
    ...Flags.option("checkpoint", given.checkpointEvery),
    retention: {
      ...Flags.option("last", given.keep),
      ...Flags.option("every", given.keepEvery)
    },
    ...(Option.isSome(given.samplesEvery) ? { samples: { every: given.samplesEvery.value } } : {}),
    resume: given.resume,
    fallback: given.fallback,
    stop: Effect.raceFirst(signal, left)
  }).pipe(
    Telemetry.record,
    shownBy(given, Progress),
    Stream.runLast,
    Effect.provide([Devices.layer, Telemetry.layer])
  )
  const end = Option.getOrUndefined(last)
  if (end?._tag === "Ended" && end.stopped) {
    yield* Console.error(
      `stopped after ${end.step} of ${config.steps} steps; go on with: odeon train --out ${quoted(folder)} --resume`
    )
  }
}, Effect.scoped)

/** As a shell takes it. */
const quoted = (path: string): string =>
  /^[\w./+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`

const shownBy = ({ json, quiet }: Given, shown: typeof Progress) =>
  (quiet
    ? (stream: Stream.Stream<Run.Event>) => stream
    : json
      ? shown.json()
      : shown.auto) as ReturnType<typeof shown.json>

export const train = Command.make("train", flags, (given) => refusing(run(given))).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Train a network. The run's folder holds its configuration, checkpoints, a history and grids of samples.",
      `Arguments go before the environment, the environment before the file of --config, and that before the defaults. In the environment the field dropLabels is ${prefix}DROP_LABELS, and network.width ${prefix}NETWORK__WIDTH. --print-config shows all fields, and who told them.`,
      "Ctrl-C ends after the step at hand, with a checkpoint, from which --resume goes on, bit for bit, and so does the end of the terminal; Ctrl-C once more ends at once. OTEL_EXPORTER_OTLP_ENDPOINT sends metrics and traces there; ODEON_DEVICE chooses the device."
    )
  ),
  Command.withShortDescription("Train a network"),
  Command.withExamples([
    {
      command: "odeon train --data digits --steps 2000 --samples-every 500",
      description: "Learn to draw the digits that are built in"
    },
    {
      command:
        "odeon train --data mnist --set conditional=true --set network.width=16 --set rate.rate=3e-4 --minutes 30 --out runs/mnist",
      description: "Half an hour on MNIST, told the classes, with other fields than the defaults"
    },
    { command: "odeon train --out runs/mnist --resume", description: "Go on where it ended" },
    {
      command: "odeon train --network unet --print-config > unet.json",
      description: "A file for --config, of all fields"
    }
  ])
)
