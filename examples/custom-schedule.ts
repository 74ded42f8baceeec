/**
 * A noise schedule of one's own: its laws, and a training with it beside one with the cosine schedule.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { Device } from "../src/Device/index.ts"
import { Schedule } from "../src/Diffusion/index.ts"
import { ScheduleLaws } from "../src/Laws/index.ts"
import { Chart, Ema, LearningRate, Model, Optimizer, Points, Train } from "../src/Pipeline/index.ts"
import * as Plane from "./support/plane.ts"

// log-SNR falls as a straight line would, but lingers halfway, where there is most to learn: λ = 8 − 16 t + 2.2 sin 2πt
const lingering = Schedule.fromLogSnr({
  name: "lingering",
  logSnr: (of, t) => {
    const line = of.sub(of.of(8), of.mul(of.of(16), t))
    return of.add(line, of.mul(of.of(2.2), of.sin(of.mul(of.of(2 * Math.PI), t))))
  }
})

const steps = 800
const network = Plane.network(96)
const data = Points.make("moons", { seed: 1 })

// trained and sampled with whatever schedule is at hand
const trial = Effect.gen(function* () {
  const schedule = yield* Schedule.Current
  const denoising = { network, schedule, prediction: "v" } as const
  const training = yield* Train.make({
    task: Train.diffusion(denoising),
    data,
    optimizer: Optimizer.adam(),
    rate: LearningRate.linear({ rate: 4e-3, steps }),
    batch: 256,
    averages: { ema: Ema.warmUp({ max: 0.99 }) },
    seed: 7
  })
  yield* Stream.runDrain(training.run({ to: steps }))
  const model = yield* Model.of(denoising, yield* training.snapshot, { shape: [2] })
  // points are not kept between −1 and 1, as images are
  const samples = Model.samples(model, { count: 1000, batch: 1000, seed: 3, plan: 12, clip: false })
  const [{ images }] = yield* Stream.runCollect(samples)
  return images
})

const main = Effect.gen(function* () {
  ScheduleLaws.check(lingering)
  yield* Console.log(`${lingering.name}: all laws hold`)
  const series = []
  for (const schedule of [lingering, Schedule.cosine()]) {
    const { data } = yield* Effect.provide(trial, Schedule.layer(schedule))
    const axis = (which: number) => data.filter((_, i) => i % 2 === which)
    series.push({ name: schedule.name, x: axis(0), y: axis(1) })
    yield* Console.log(`${schedule.name}: trained and sampled`)
  }
  const title = "Two moons by two schedules"
  const chart = Chart.scatter({ title, x: "x", y: "y", square: true, series })
  yield* Chart.write("out/custom-schedule.svg", chart)
  yield* Console.log("Drawn in out/custom-schedule.svg")
})

main.pipe(
  Effect.scoped,
  Effect.provide([Device.layerAuto, NodeServices.layer]),
  NodeRuntime.runMain
)
