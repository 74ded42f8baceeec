/** Folders as runs leave them, of networks that have learnt nothing: for what looks at runs. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Device from "../../src/Device/Device.ts"
import { Parameter } from "../../src/Layer/index.ts"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Images from "../../src/Pipeline/Images.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import type { Step } from "../../src/Pipeline/Train.ts"

/** What is done with a device and files. */
export const perform = <A, E>(
  effect: Effect.Effect<A, E, Device.Device | NodeServices.NodeServices>
): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, Layer.merge(Device.layerOnnx(), NodeServices.layer)))

/** A run of four steps on 60 digits. */
export const write = Effect.fnUntraced(function* (
  folder: string,
  options: Experiment.Options = {}
) {
  const at = Run.places(folder, yield* Path.Path)
  const { config, data, network } = yield* Experiment.make({
    data: { name: "digits", limit: 60 },
    network: {
      name: "unet",
      width: 4,
      multipliers: [1, 2],
      attention: ["none", "none"],
      middleAttention: "none",
      groups: 2
    },
    steps: 4,
    batch: 8,
    averages: {},
    ...options
  })
  const weights = Parameter.toRecord(Parameter.init(network.parameters, config.seed))
  yield* Files.write(at.experiment, JSON.stringify(config))
  const steps = Array.from({ length: 4 }, (_, step): Step => {
    const loss = 1 / (step + 1)
    return { _tag: "Step", step, epoch: 0, loss, gradientNorm: 1, rate: 1e-3, milliseconds: 20 }
  })
  yield* Files.write(at.history, steps.map((step) => `${JSON.stringify(step)}\n`).join(""))
  const black = { dtype: "float32", shape: [1, 1, 28, 28], data: new Float32Array(784) } as const
  yield* Images.write(`${at.samples}/step-00000004.png`, yield* Images.grid(black))
  yield* Checkpoint.write(at.checkpoints, {
    configuration: config,
    data: { name: data.name, fingerprint: data.fingerprint, position: 32 },
    snapshot: { step: 4, skipped: 0, weights: weights as never, averages: {}, optimizer: {} }
  })
})
