/** A report as a comparison of two models gives it, with figures made up. */
import * as Effect from "effect/Effect"
import * as Chart from "../../src/Pipeline/Chart.ts"
import * as Images from "../../src/Pipeline/Images.ts"
import * as Report from "../../src/Pipeline/Report.ts"
import * as Arrays from "./arrays.ts"

const models = ["continuous U-Net", "U-Net"] as const

/** Strokes that emerge from noise: 0 is nothing but noise, 1 none. */
const digits = (count: number, sharpness: number): Images.Images => {
  const random = Arrays.random(7)
  const size = 28
  const data = Float32Array.from({ length: count * size * size }, (_, i) => {
    const image = Math.floor(i / (size * size))
    const x = (i % size) - 13.5
    const y = (Math.floor(i / size) % size) - 13.5
    const radius = Math.hypot(x / (0.6 + 0.08 * (image % 5)), y) - 7 - (image % 3)
    const stroke = 2 * Math.exp(-radius * radius * 0.6) - 1
    const noise = 2 * (random() + random() + random()) - 3
    return sharpness * stroke + (1 - sharpness) * noise
  })
  return { dtype: "float32", shape: [count, 1, size, size], data }
}

const losses = () => {
  const random = Arrays.random(11)
  const steps = Array.from({ length: 3000 }, (_, i) => i)
  const series = [0.052, 0.061].map((end, i) => ({
    name: models[i],
    x: steps,
    y: steps.map((step) => (end + 0.9 * Math.exp(-step / (120 + 60 * i))) * (0.7 + 0.6 * random()))
  }))
  return Chart.lines({
    title: "Training loss",
    x: "step",
    y: { title: "mean squared error", log: true },
    series,
    smooth: 60
  })
}

const denoising = () => {
  const steps = [1, 2, 5, 10, 20, 50]
  return Chart.lines({
    title: "Denoising, by number of steps",
    x: { title: "steps", log: true },
    y: "PSNR (dB)",
    series: [0.1, 0.25, 0.5].map((noise, i) => {
      const y = steps.map((step) => 31 - 4.5 * i + 2 * Math.log(step) - 0.09 * step)
      return {
        name: `noise ${noise}`,
        x: steps,
        y,
        band: { low: y.map((each) => each - 0.8), high: y.map((each) => each + 0.8) }
      }
    }),
    references: [
      { axis: "x", value: 20, label: "best step" },
      { axis: "y", value: 24.5, label: "U-Net, 50 steps" }
    ]
  })
}

export const sample = Effect.gen(function* () {
  const training = yield* Effect.forEach([100, 500, 1000, 3000], (step) =>
    Effect.map(
      Images.grid(digits(9, 1 - Math.exp(-step / 500)), { columns: 3, scale: 2, gap: 2 }),
      (picture) => ({ picture, alt: `Nine samples after ${step} steps`, label: `${step} steps` })
    )
  )
  const frames = Array.from({ length: 20 }, (_, i) => digits(2, i / 19))
  return Report.make({
    title: "A continuous U-Net beside a U-Net of the same width",
    subtitle: "MNIST, 28×28, both trained for 90 seconds on two cores",
    blocks: [
      Report.text(
        "Both models were trained on the same batches, in the same order, with the same noise. The continuous U-Net reaches a lower " +
          "loss with a third of the parameters; a step takes it longer, since its blocks are integrated in four evaluations each.",
        "The distances below are taken between features of a classifier that was trained on the data set itself. They are comparable " +
          "with each other, not with published ones."
      ),
      Report.section("Training", [
        Report.figure(losses(), "Averaged over 60 steps; single steps are pale."),
        Report.pictures(
          training,
          "Samples during the training, of the continuous U-Net, always from the same noise."
        )
      ]),
      Report.section("Comparison", [
        Report.table({
          caption: "Quality and cost, on 2000 samples",
          columns: [
            { name: "model" },
            { name: "parameters", format: "count", best: "low" },
            { name: "work", unit: "multiply-accumulates", format: "count", best: "low" },
            { name: "FID", unit: "classifier features", best: "low" },
            { name: "KID", unit: "× 10³", best: "low" },
            { name: "precision", format: "percent", best: "high" },
            { name: "recall", format: "percent", best: "high" },
            { name: "time", unit: "per image", format: "seconds", best: "low" },
            { name: "memory", unit: "peak", format: "bytes", best: "low" }
          ],
          unranked: [2],
          rows: [
            [models[0], 412_345, 34_100_000, 8.312, 1.04, 0.871, 0.792, 0.0312, 412 * 2 ** 20],
            [models[1], 1_236_801, 51_700_000, 11.87, 1.96, 0.842, 0.801, 0.0187, 398 * 2 ** 20],
            [
              "real test digits",
              undefined,
              undefined,
              0.42,
              0.02,
              0.993,
              0.991,
              undefined,
              undefined
            ]
          ]
        }),
        Report.figure(
          Chart.bars({
            title: "Time per image",
            axis: "milliseconds",
            bars: models.flatMap((name, i) =>
              ["20 steps", "50 steps"].map((group, j) => ({
                name,
                group,
                value: (31.2 - 12.5 * i) * (1 + 1.5 * j)
              }))
            )
          })
        )
      ]),
      Report.section("Denoising", [
        Report.text(
          "Noisy test digits, taken back by the chain from the level that their noise has."
        ),
        Report.figure(denoising(), "The band is one standard deviation over 200 images."),
        Report.pictures(
          [
            {
              picture: yield* Images.strip(frames, { steps: 12, scale: 2 }),
              alt: "Two digits that emerge from noise in twelve steps"
            }
          ],
          "Two digits, every other step."
        ),
        Report.pictures([
          {
            picture: yield* Images.animation(frames, { scale: 4 }),
            alt: "The same as an animation"
          }
        ])
      ]),
      Report.section("Configuration", [
        Report.settings(
          {
            data: "mnist:data/mnist",
            steps: 3000,
            batch: 64,
            optimizer: { name: "adamw", learningRate: 3e-4, betas: [0.9, 0.999], decay: 0 },
            network: { family: "CUNet", width: 8, levels: 2, order: "second", method: "rk38" },
            ema: { power: [0.05, 0.1] },
            labels: undefined,
            seed: 7
          },
          "Of the continuous U-Net."
        ),
        Report.section("To repeat it", [
          Report.code(
            "odeon train --data mnist:data/mnist --network cunet --batch 64 --seed 7\nodeon report runs/cunet runs/unet"
          )
        ])
      ])
    ]
  })
})
