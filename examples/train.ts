/**
 * Trains a continuous U-Net from scratch on drawn digits, and draws digits with it. `node examples/train.ts 2000` takes longer, and draws better.
 *
 * What the command line does is these few lines, over the same values.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { Device } from "../src/Device/index.ts"
import { Schedule } from "../src/Diffusion/index.ts"
import { CUNet } from "../src/Layer/index.ts"
import {
  Digits,
  Ema,
  Images,
  LearningRate,
  Model,
  Optimizer,
  Train
} from "../src/Pipeline/index.ts"

const steps = Number(process.argv[2] ?? 1000)

const main = Effect.gen(function* () {
  const network = yield* CUNet.make({ channels: 1, size: 28, width: 8, levels: 2 })
  const denoising = { network, schedule: Schedule.cosine(), prediction: "v" } as const

  const training = yield* Train.make({
    task: Train.diffusion(denoising),
    data: Digits.make({ seed: 1 }),
    optimizer: Optimizer.adamw({ beta2: 0.99 }),
    rate: LearningRate.warmUp(LearningRate.cosine({ rate: 3e-3, steps }), 50),
    clip: 1,
    batch: 32,
    averages: { ema: Ema.warmUp({ max: 0.995 }) },
    seed: 7
  })
  yield* training.run({ to: steps }).pipe(
    Stream.filter(({ step }) => step % 100 === 0),
    Stream.runForEach(({ step, loss }) => Console.log(`step ${step}: loss ${loss.toFixed(3)}`))
  )

  const model = yield* Model.of(denoising, yield* training.snapshot)
  yield* Model.samples(model, { count: 36, seed: 3 }).pipe(
    Stream.runForEach(({ images }) =>
      Effect.flatMap(Images.grid(images, { scale: 3 }), (grid) =>
        Images.write("out/digits.png", grid)
      )
    )
  )
  yield* Console.log("Drawn in out/digits.png")
})

main.pipe(
  Effect.scoped,
  Effect.provide([Device.layerAuto, NodeServices.layer]),
  NodeRuntime.runMain
)
