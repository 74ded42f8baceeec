/** `odeon evaluate` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Evaluate } from "../../Pipeline/index.ts"
import * as Configuration from "../internal/configuration.ts"
import * as Flags from "../internal/flags.ts"
import * as Judge from "../internal/judge.ts"
import { onDevice, pipeline } from "../internal/pipeline.ts"
import { refuse, refusing } from "../internal/refusal.ts"
import * as Runs from "../internal/runs.ts"
import * as Sampling from "../internal/sampling.ts"
import { evaluation as shown } from "../internal/views.ts"

const flags = {
  runs: Runs.argument("Folders of runs, or of checkpoints"),
  data: Flags.path("data", "spec", "Real images; those of the first run unless told"),
  count: Flags.count("count", "Samples of each; 1000 unless told"),
  reference: Flags.count(
    "reference",
    "Training images to compare with, at most; 10000 unless told"
  ),
  inception: Flags.path(
    "inception",
    "file",
    "Inception's weights, safetensors: features are its own then, instead of the classifier's"
  ),
  classifier: Flags.path(
    "classifier",
    "file",
    "A classifier that was saved, instead of one trained on the data"
  ),
  cache: Flags.path(
    "cache",
    "folder",
    "Where trained classifiers stay; the user's cache unless told"
  ),
  seed: Flags.whole("seed", "Of the samples; 0 unless told"),
  batch: Flags.count("batch", "Samples at once; 64 unless told, or all where they are fewer"),
  ...Sampling.flags,
  set: Flags.set(
    "An option of the sampler, the plan or the data, such as sampler.eta=0.5 or data.size=32; may be repeated"
  ),
  ...Sampling.weights,
  out: Flags.path("out", "file.json", "Write the evaluation of all runs together there, too"),
  json: Flags.json,
  quiet: Flags.yes("quiet", "Print nothing but errors")
}

type Given = Command.Command.Config.Infer<typeof flags>

const run = Effect.fnUntraced(function* (given: Given) {
  const { Evaluate, Files, Inception, Progress } = yield* pipeline
  const silent = given.quiet || given.json
  const say = (text: string) => (silent ? Effect.void : Console.log(text))
  const runs = yield* Runs.named(given.runs)
  const own = yield* Runs.written(runs)
  if (Option.isSome(given.out)) yield* Files.writable(given.out.value, "file")
  const [ofData, ofSampling] = Configuration.parted(given.set, "data")
  const how = yield* Sampling.asked({ ...given, set: ofSampling })
  const count = Option.getOrElse(given.count, () => 1000)
  const batch = Option.getOrElse(given.batch, () => Math.min(64, count))
  const subjects = yield* Effect.forEach(runs, ({ folder, name }) =>
    Evaluate.ofRun(folder, {
      ...how,
      name,
      batch,
      fallback: given.fallback,
      ...Flags.option("average", given.weights)
    })
  )
  const parts = yield* Runs.dataOf(runs, { ...given, set: ofData })
  const extractor = Option.isSome(given.inception)
    ? yield* Inception.extractor(yield* Inception.load(given.inception.value))
    : undefined
  const judged = Option.isSome(given.classifier) || parts.train.classes !== undefined
  if (!judged && extractor === undefined) {
    return yield* refuse(
      `${parts.train.name}: it has no classes, so that no classifier can learn it: give Inception's weights by --inception`
    )
  }
  const { classifier: file, cache } = given
  const judge = judged
    ? yield* Judge.make(parts, {
        ...Flags.option("file", file),
        ...Flags.option("cache", cache),
        silent
      })
    : undefined
  const options = {
    ...parts,
    judge,
    extractor,
    count,
    ...Flags.option("reference", given.reference),
    ...Flags.option("seed", given.seed)
  }
  const events = Evaluate.stream(subjects, options).pipe(
    // at once: what comes of the others does not matter to it
    Stream.tap((event) => {
      if (event._tag !== "Measured") return Effect.void
      const of = own.find(({ name }) => name === event.figures.name)
      return of === undefined ? Effect.void : Evaluate.writeRun(of.folder, event, of.name)
    })
  )
  const last = yield* Stream.runLast(silent ? events : Progress.autoOf(shown)(events))
  const outcome = Option.getOrThrow(last) as Evaluate.Finished
  const { evaluation } = outcome
  yield* given.json
    ? Console.log(JSON.stringify(Evaluate.toJson(evaluation)))
    : say(`\n${Evaluate.show(evaluation)}\n`)
  for (const { folder, name } of own) yield* say(`evaluation of ${name} in ${folder}`)
  if (Option.isSome(given.out)) {
    yield* Evaluate.write(given.out.value, evaluation)
    yield* say(`evaluation ${given.out.value}`)
  }
})

export const evaluate = Command.make("evaluate", flags, (given) =>
  refusing(onDevice(run(given)))
).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "How like real images the samples of runs are, and what they cost, side by side: FID, KID, precision and recall, the classes as a classifier sees them, parameters, multiply-accumulates and seconds.",
      "The classifier is trained on the data themselves, once, and kept. Real images that were held out are the yardstick. Each run's folder gets an evaluation.json, which reports show."
    )
  ),
  Command.withShortDescription("How like real images the samples of runs are"),
  Command.withExamples([
    { command: "odeon evaluate runs/mnist", description: "1000 samples, beside real digits" },
    {
      command: "odeon evaluate runs/cunet runs/unet --count 5000 --sampler ddim --steps 50",
      description: "Two side by side"
    },
    {
      command: "odeon evaluate runs/faces --data images:faces --inception inception.safetensors",
      description: "FID proper"
    }
  ])
)
