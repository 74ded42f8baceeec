/**
 * What the commands `train`, `sample`, `evaluate`, `denoise` and `report` do, each in a few lines. `node examples/pipeline.ts 2000` takes
 * longer, and draws better.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { Device } from "../src/Device/index.ts"
import {
  Denoise,
  Evaluate,
  Experiment,
  Images,
  Model,
  Progress,
  Report,
  Run,
  RunReport,
  Samplers
} from "../src/Pipeline/index.ts"

const steps = Number(process.argv[2] ?? 500)
const folder = "out/digits"
const name = "digits"

// a run that is there already goes on to as many steps
const train = Effect.gen(function* () {
  const experiment = yield* Experiment.make({ data: "digits", conditional: true, steps })
  yield* Run.train(experiment, { folder, resume: true }).pipe(Progress.auto, Stream.runDrain)
})

const sample = Effect.gen(function* () {
  const model = yield* Model.load(folder)
  const how = yield* Samplers.make({ sampler: "ddim", steps: 20, guidance: 2 })
  yield* Model.samples(model, { ...how, count: 40, seed: 7 }).pipe(
    Stream.runForEach(({ images, first }) => Images.writeAll("out/samples", images, { first }))
  )
})

const evaluate = Effect.gen(function* () {
  const parts = yield* Evaluate.open("digits")
  const judge = yield* Evaluate.judge(parts, { cache: "out", training: { steps: 300 } })
  const subject = yield* Evaluate.ofRun(folder, { name })
  const found = yield* Evaluate.run([subject], { ...parts, judge, count: 40, reference: 1000 })
  yield* Evaluate.writeRun(folder, found, name)
  yield* Console.log(Evaluate.show(found.evaluation))
})

const denoise = Effect.gen(function* () {
  const { train, test = train } = yield* Evaluate.open("digits")
  const subject = Denoise.ofModel(name, yield* Model.load(folder))
  const found = yield* Denoise.run([subject], { data: test, levels: [0.1, 0.3], steps: [1, 5] })
  yield* Denoise.writeRun(folder, found, name)
  yield* Console.log(Denoise.show(found.result))
})

const report = Effect.gen(function* () {
  const page = yield* RunReport.make([yield* RunReport.read(folder, { name })])
  yield* Report.write("out/digits.html", page)
  yield* Console.log("All of it in out/digits.html")
})

Effect.all([train, sample, evaluate, denoise, report]).pipe(
  Effect.scoped,
  Effect.provide([Device.layerAuto, NodeServices.layer]),
  NodeRuntime.runMain
)
