/**
 * Trains a diffusion model on two moons in seconds, and draws what it samples in twelve steps.
 *
 * The schedule, what the network predicts and the sampler are values: change one, and run it again.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Device } from "../src/Device/index.ts"
import { Denoiser, Dpm, Noise, Objective, Plan, Sampler, Schedule } from "../src/Diffusion/index.ts"
import { Dense, Embedding, Initializer, Layer, Parameter } from "../src/Layer/index.ts"
import { Chart } from "../src/Pipeline/index.ts"
import { Gradient, Program, Random, Tensor } from "../src/Tensor/index.ts"
import * as Adam from "./support/adam.ts"
import { type Points, twoMoons } from "./support/points.ts"

const [steps, batch, width] = [2400, 256, 128]

const schedule = Schedule.cosine()
const prediction = "v"
const plan = Plan.fromTimes(
  schedule,
  Array.from({ length: 12 }, (_, i) => 1 - i / 12)
)

// points, and what the network is told of the noise, to what it predicts
const initializer = Initializer.kaimingNormal()
const network = Layer.make(
  {
    time: Embedding.sinusoid({ width: 32 }),
    into: Dense.make({ in: 34, out: width, initializer }),
    middle: Dense.make({ in: width, out: width, initializer }),
    out: Dense.make({ in: width, out: 2 })
  },
  ({ time, into, middle, out }, x: Points, timestep: Tensor.Tensor<readonly [number]>) => {
    const both = Tensor.concat([x, time(timestep)], { axis: 1 })
    const h = Tensor.silu(into(both as Tensor.Tensor<readonly [number, 34]>))
    return out(Tensor.silu(middle(h)))
  }
)

type Weights = Layer.Values<typeof network.parameters>

const networkOf =
  (weights: Weights): Denoiser.Network =>
  (x, timestep) =>
    network.apply(weights, x as Points, timestep as Tensor.Tensor<readonly [number]>)

// fresh points, the loss there, its gradient, and a step downhill
const train = (state: Adam.State<Weights>) => {
  const [forData, forNoise] = Random.children(Random.foldIn(Random.key(1), state.step), 2)
  const objective = Objective.make({ network: networkOf(state.weights), schedule, prediction })
  const { loss } = objective(twoMoons(forData, batch), forNoise)
  const gradients = Gradient.of(loss, state.weights)
  return [Adam.step(state, gradients, { rate: 4e-3, steps }), loss] as const
}

const main = Effect.gen(function* () {
  const device = yield* Device.Device
  const weights = Program.constants(Parameter.init(network.parameters, 7))
  const first = yield* device.evaluate(Adam.start(weights))
  const fold = yield* device.fold(yield* Program.make([first, []], ([state]) => train(state)))
  const [state, losses] = yield* fold.run(first, [], { steps })
  const trained = yield* device.downloadAll(state)
  // the mean of the last hundred, for each is of other points and other noise
  const last = Array.from({ length: 100 }, (_, i) => losses.data[steps - 1 - i] / 100)
  const [before, after] = [losses.data[0], last.reduce((a, b) => a + b)]
  yield* Console.log(`Loss ${before.toFixed(2)} at first, ${after.toFixed(2)} after ${steps} steps`)

  const learnt = networkOf(Program.constants(trained.weights))
  const denoiser = Denoiser.make({ network: learnt, prediction })
  const noise = Noise.initial(Random.key(2), [1000, 2])
  const { x } = Sampler.sample({ sampler: Dpm.dpmpp2m(), plan, denoiser }, noise)
  const shown = yield* device.evaluate({ x, fresh: twoMoons(Random.key(3), 1000) })
  const points = (name: string, { data }: typeof shown.fresh) => {
    const of = (axis: number) => data.filter((_, i) => i % 2 === axis)
    return { name, x: of(0), y: of(1) }
  }
  const chart = Chart.scatter({
    title: "Two moons",
    x: "x",
    y: "y",
    square: true,
    series: [points("data", shown.fresh), points("samples", shown.x as typeof shown.fresh)]
  })
  yield* Chart.write("out/two-moons.svg", chart)
  yield* Console.log("Drawn in out/two-moons.svg")
})

main.pipe(
  Effect.scoped,
  Effect.provide([Device.layerAuto, NodeServices.layer]),
  NodeRuntime.runMain
)
