/** `odeon report` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Flags from "../internal/flags.ts"
import { pipeline } from "../internal/pipeline.ts"
import { refusing } from "../internal/refusal.ts"
import * as Runs from "../internal/runs.ts"

const flags = {
  runs: Runs.argument("Folders of runs"),
  out: Flags.path(
    "out",
    "file.html",
    "The page; report.html unless told, in the run's folder if there is one run"
  ),
  title: Flags.text("title", "text", "The runs' names unless told"),
  figures: Flag.Literals("figures", ["svg", "png"]).pipe(
    Flag.withDescription("Write each figure beside the page, too: charts as SVG or PNG"),
    Flag.optional
  ),
  quiet: Flags.yes("quiet", "Print nothing but errors")
}

type Given = Command.Command.Config.Infer<typeof flags>

const run = Effect.fnUntraced(function* (given: Given) {
  const { Files, Report, RunReport } = yield* pipeline
  const { join } = yield* Path.Path
  const runs = yield* Runs.named(given.runs)
  const out = Option.getOrElse(given.out, () =>
    runs.length === 1 ? join(runs[0].folder, "report.html") : "report.html"
  )
  const found = yield* Effect.forEach(runs, ({ folder, name }) => RunReport.read(folder, { name }))
  yield* Files.writable(out, "file")
  const report = yield* RunReport.make(found, { title: Option.getOrUndefined(given.title) })
  const written = yield* Report.write(out, report, Flags.option("figures", given.figures))
  if (given.quiet) return
  for (const [i, path] of written.entries()) {
    yield* Console.log(`${i === 0 ? "report" : "figure"} ${path}`)
  }
})

export const report = Command.make("report", flags, (given) => refusing(run(given))).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Make one page of what lies in the folders of runs: losses, samples, evaluations, denoising and configurations, of several runs side by side. It needs no network, and can be printed"
    )
  ),
  Command.withShortDescription("Make one page of what came of runs"),
  Command.withExamples([
    { command: "odeon report runs/mnist", description: "To runs/mnist/report.html" },
    {
      command: "odeon report runs/cunet runs/unet --out comparison.html --figures svg",
      description: "Two side by side, with the figures as files"
    }
  ])
)
