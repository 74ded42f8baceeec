/** A small run in a folder, for tests that kill it: `node train.ts folder steps`. It says "going" when its steps begin. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import * as Device from "../../src/Device/Device.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Run from "../../src/Pipeline/Run.ts"

const [folder, steps] = process.argv.slice(2)

const main = Effect.gen(function* () {
  const experiment = yield* Experiment.make({
    data: "digits",
    network: { name: "cunet", width: 2, levels: 1, groups: 1, attention: "none", embedding: 8 },
    rate: { name: "cosine", rate: 1e-3 },
    averages: { ema: { name: "warmUp" }, power: { name: "power", deviation: 0.1 } },
    batch: 2,
    accumulate: 2,
    steps: Number(steps)
  })
  const options = { folder, checkpoint: 3, retention: { last: 2 }, resume: true }
  yield* Run.train(experiment, options).pipe(
    Stream.runForEach(({ _tag }) => (_tag === "Started" ? Console.log("going") : Effect.void))
  )
})

main.pipe(
  Effect.scoped,
  Effect.provide(Layer.merge(Device.layerOnnx(), NodeServices.layer)),
  NodeRuntime.runMain
)
