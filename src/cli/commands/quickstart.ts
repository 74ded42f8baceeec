/** `odeon quickstart` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import type { Denoise, Evaluate, Experiment } from "../../Pipeline/index.ts"
import * as Flags from "../internal/flags.ts"
import * as Judge from "../internal/judge.ts"
import { onDevice, pipeline } from "../internal/pipeline.ts"
import { refuse, refusing } from "../internal/refusal.ts"
import * as Signals from "../internal/signals.ts"
import * as Views from "../internal/views.ts"

const flags = {
  out: Flags.path("out", "folder", "Where everything goes; runs/quickstart unless told"),
  seconds: Flag.Finite("seconds").pipe(
    Flag.withDescription("That each network is trained; 45 unless told"),
    Flag.withMetavar("n"),
    Flag.withDefault(45)
  ),
  data: Flags.path("data", "spec", "What is learnt; digits unless told (see odeon data list)"),
  count: Flags.count("count", "Samples of each that are compared with real images; 320 unless told")
}

type Given = Command.Command.Config.Infer<typeof flags>

/** The two networks, of 16, 32 and 64 channels each. */
const networks = { cunet: "cunet-small", unet: "unet-small" } as const

/** All but the network, the data and the steps, which the time decides. */
const common = {
  conditional: true,
  optimizer: { name: "adamw", beta2: 0.99 },
  batch: 32,
  averages: { ema: { name: "warmUp", max: 0.995 } },
  seed: 1
} as const satisfies Experiment.Options

/** How samples are made: in few steps, and guided towards what tells their classes from the rest. */
const sampling = { plan: 20, guidance: 2 } as const

/** How many steps there is time for. What is compiled for that is not compiled again. */
const paced = Effect.fnUntraced(function* (options: Experiment.Options, seconds: number) {
  const { Experiment, Train } = yield* pipeline
  const { training } = yield* Experiment.make(options)
  const { run } = yield* Train.make(training)
  // the first steps are slower than those to come
  const times = yield* Stream.runCollect(Stream.drop(run({ to: 16 }), 4))
  const millis = Array.from(times, (event) => (event._tag === "Step" ? event.milliseconds : 0))
  const median = millis.toSorted((a, b) => a - b)[millis.length >> 1]
  return Math.max(20, Math.round((1000 * seconds) / median))
})

/** A folder that is not there yet: with a number where there is one of that name. */
const free = Effect.fnUntraced(function* (wanted: string) {
  const files = yield* FileSystem.FileSystem
  const there = (path: string) => Effect.orElseSucceed(files.exists(path), () => false)
  let folder = wanted
  for (let i = 2; yield* there(folder); i++) folder = `${wanted}-${i}`
  return folder
})

const run = Effect.fnUntraced(function* (given: Given) {
  const { seconds } = given
  if (!(seconds > 0)) return yield* refuse(`--seconds: it must be above 0, not ${seconds}`)
  const library = yield* pipeline
  const { Denoise, Evaluate, Experiment, Files, Progress, Report, Run, RunReport } = library
  const { join } = yield* Path.Path
  const out = Option.isSome(given.out) ? given.out.value : yield* free(join("runs", "quickstart"))
  yield* Files.writable(out, "folder")
  const data = Option.getOrElse(given.data, () => "digits")

  const names = Object.keys(networks) as ReadonlyArray<keyof typeof networks>
  const runs = names.map((name) => ({ name, folder: join(out, name) }))
  for (const { name, folder } of runs) {
    yield* Console.log(`\n${name}, ${seconds} seconds`)
    const options = { ...common, data, network: networks[name] }
    const last = yield* Effect.gen(function* () {
      const steps = yield* paced(options, seconds)
      const rate = { name: "cosine", rate: 3e-3, warmUp: Math.min(100, steps >> 2) } as const
      const experiment = yield* Experiment.make({ ...options, rate, steps })
      const stop = yield* Signals.first
      return yield* Run.train(experiment, {
        folder,
        retention: { last: 1 },
        samples: { every: Math.max(1, Math.floor(steps / 4)), ...sampling },
        stop
      }).pipe(Progress.auto, Stream.runLast)
    }).pipe(Effect.scoped)
    const end = Option.getOrUndefined(last)
    if (end?._tag === "Ended" && end.stopped) return
  }

  const parts = yield* Evaluate.open(data)
  yield* Console.log("")
  const judge = yield* Judge.make(parts, { steps: 300 })
  const subjects = yield* Effect.forEach(runs, ({ folder, name }) =>
    Evaluate.ofRun(folder, { name, ...sampling })
  )
  const count = Option.getOrElse(given.count, () => 320)
  const evaluated = yield* Evaluate.stream(subjects, {
    ...parts,
    judge,
    count,
    reference: 4096
  }).pipe(Progress.autoOf(Views.evaluation), Stream.runLast)
  const found = Option.getOrThrow(evaluated) as Evaluate.Finished
  yield* Console.log(`\n${Evaluate.show(found.evaluation)}\n`)
  for (const { folder, name } of runs) yield* Evaluate.writeRun(folder, found, name)

  const models = yield* Effect.forEach(runs, ({ folder, name }) =>
    Effect.map(library.Model.load(folder), (model) => Denoise.ofModel(name, model))
  )
  const last = yield* Denoise.stream(models, {
    data: parts.test ?? parts.train,
    count: 16,
    levels: [0.1, 0.2, 0.4]
  }).pipe(Progress.autoOf(Views.denoising), Stream.runLast)
  const denoised = Option.getOrThrow(last) as Denoise.Finished
  for (const { folder, name } of runs) yield* Denoise.writeRun(folder, denoised, name)

  const read = yield* Effect.forEach(runs, ({ folder, name }) => RunReport.read(folder, { name }))
  const report = yield* RunReport.make(read, {
    title: "A continuous U-Net beside a U-Net, trained for the same time"
  })
  const path = join(out, "report.html")
  yield* Report.write(path, report)
  yield* Console.log(`report ${path}`)
})

export const quickstart = Command.make("quickstart", flags, (given) =>
  refusing(onDevice(run(given)))
).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Train a small continuous U-Net and a U-Net of the same channels for the same time on drawn digits, compare them, and write a page of what came of it. It takes about three minutes"
    )
  ),
  Command.withShortDescription("Train two small networks, and compare them"),
  Command.withExamples([
    { command: "odeon quickstart", description: "To runs/quickstart/report.html" },
    { command: "odeon quickstart --seconds 300", description: "The same with more time" }
  ])
)
