/** `odeon denoise` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Denoise } from "../../Pipeline/index.ts"
import * as Configuration from "../internal/configuration.ts"
import * as Flags from "../internal/flags.ts"
import { onDevice, pipeline } from "../internal/pipeline.ts"
import { refuse, refusing } from "../internal/refusal.ts"
import * as Runs from "../internal/runs.ts"
import * as Sampling from "../internal/sampling.ts"
import { denoising } from "../internal/views.ts"

const flags = {
  runs: Runs.argument("Folders of runs, or of checkpoints"),
  data: Flags.path(
    "data",
    "spec",
    "Clean images, of which those are taken that were held out, if any; the first run's unless told"
  ),
  levels: Flags.text(
    "levels",
    "n,n,…",
    "Deviations of the noise, where white is 1 above black; 0.04,0.1,0.2,0.3,0.4 unless told"
  ),
  steps: Flags.text("steps", "n,n,…", "Steps from there to no noise; 1,5,20 unless told"),
  count: Flags.count("count", "Images, chosen at random, the same ones each time; 16 unless told"),
  sampler: Sampling.ddim,
  set: Flags.set(
    "An option of the sampler or the data, such as sampler.eta=0.5 or data.size=32; may be repeated"
  ),
  seed: Flags.whole("seed", "Of the noise; 0 unless told"),
  batch: Flags.count("batch", "Images at once; 16 unless told"),
  lpips: Flags.text(
    "lpips",
    "file,file",
    "Weights of AlexNet and of LPIPS for it, safetensors: that is measured too"
  ),
  ...Sampling.weights,
  out: Flags.path(
    "out",
    "folder",
    "Write what was found of all runs together there, too: denoise.json and denoise.png"
  ),
  json: Flags.json,
  quiet: Flags.yes("quiet", "Print nothing but errors")
}

type Given = Command.Command.Config.Infer<typeof flags>

/** What is told by numbers between commas. */
const numbersOf = Effect.fnUntraced(function* (name: string, given: Option.Option<string>) {
  if (Option.isNone(given)) return Option.none<ReadonlyArray<number>>()
  const values = given.value
    .split(",")
    .map((each) => (each.trim() === "" ? Number.NaN : Number(each)))
  return values.every(Number.isFinite)
    ? Option.some<ReadonlyArray<number>>(values)
    : yield* refuse(`--${name}: ${given.value} are no numbers with commas between, such as 1,5,20`)
})

const run = Effect.fnUntraced(function* (given: Given) {
  const { Denoise, Files, Lpips, Model, Progress } = yield* pipeline
  const silent = given.quiet || given.json
  const say = (text: string) => (silent ? Effect.void : Console.log(text))
  const runs = yield* Runs.named(given.runs)
  const own = yield* Runs.written(runs)
  if (Option.isSome(given.out)) yield* Files.writable(given.out.value, "folder")
  const [ofData, rest] = Configuration.parted(given.set, "data")
  const [ofSampler, others] = Configuration.parted(rest, "sampler")
  const [other] = Object.keys(others)
  if (other !== undefined) {
    return yield* refuse(`--set ${other}: only fields of sampler and of data are told here`)
  }
  const { fallback } = given
  const subjects = yield* Effect.forEach(runs, ({ folder, name }) =>
    Effect.map(
      Model.load(folder, { fallback, ...Flags.option("average", given.weights) }),
      (model) => Denoise.ofModel(name, model)
    )
  )
  const { train, test } = yield* Runs.dataOf(runs, { ...given, set: ofData })
  const { sampler } = yield* Sampling.alone(given.sampler, ofSampler)
  const lpips = Option.isSome(given.lpips)
    ? (yield* Lpips.make({
        backbone: "alex",
        weights: yield* Lpips.load("alex", given.lpips.value.split(",").map(Flags.atHome))
      })).distance
    : undefined
  const events = Denoise.stream(subjects, {
    data: test ?? train,
    sampler,
    ...(lpips === undefined ? {} : { lpips }),
    ...Flags.option("levels", yield* numbersOf("levels", given.levels)),
    ...Flags.option("steps", yield* numbersOf("steps", given.steps)),
    ...Flags.option("count", given.count),
    ...Flags.option("seed", given.seed),
    ...Flags.option("batch", given.batch)
  }).pipe(
    // at once: what comes of the others does not matter to it
    Stream.tap((event) => {
      if (event._tag !== "Completed") return Effect.void
      const of = own.find(({ name }) => name === event.model)
      return of === undefined ? Effect.void : Denoise.writeRun(of.folder, event, of.name)
    })
  )
  const last = yield* Stream.runLast(silent ? events : Progress.autoOf(denoising)(events))
  const outcome = Option.getOrThrow(last) as Denoise.Finished
  yield* given.json
    ? Console.log(JSON.stringify(Denoise.toJson(outcome.result)))
    : say(`\n${Denoise.show(outcome.result)}\n`)
  for (const { folder } of own) yield* say(`denoise.json and denoise.png in ${folder}`)
  if (Option.isSome(given.out)) {
    yield* Denoise.write(given.out.value, outcome)
    yield* say(`denoise.json and denoise.png in ${given.out.value}`)
  }
})

export const denoise = Command.make("denoise", flags, (given) =>
  refusing(onDevice(run(given)))
).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Noise is laid over clean images, and runs take it away in some steps: PSNR, SSIM and seconds, and after which step one had best stopped, beside Gaussian blur and the noisy images themselves.",
      "Each run's folder gets a denoise.json and a denoise.png, which reports show."
    )
  ),
  Command.withShortDescription("Take noise from images, and measure what is left"),
  Command.withExamples([
    { command: "odeon denoise runs/mnist", description: "Five levels of noise, 1, 5 and 20 steps" },
    {
      command: "odeon denoise runs/cunet runs/unet --levels 0.1,0.3 --steps 1,10,40 --count 64",
      description: "Two side by side"
    }
  ])
)
