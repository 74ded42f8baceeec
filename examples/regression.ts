/**
 * Fits a small network to a noisy curve, and draws what it has learnt.
 *
 * Everything above `main` is pure: it describes what is to be computed. `main` hands the description to
 * a device, which compiles the training step into a loop and runs it.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Device } from "../src/Device/index.ts"
import { Chart } from "../src/Pipeline/index.ts"
import { Gradient, Loss, Program, Random, Tensor, Tree } from "../src/Tensor/index.ts"

const steps = 2000

type Column = Tensor.Tensor<readonly [number, 1]>

const curve = (x: Column) => Tensor.add(Tensor.sin(Tensor.mul(x, 2)), Tensor.mul(x, 0.5))

// points on the curve with some noise; the same key always gives the same points
const sample = (key: Random.Key) => {
  const [points, noise] = Random.children(key, 2)
  const x = Random.uniform(points, [128, 1], { min: -4, max: 4 })
  return { x, y: Tensor.add(curve(x), Tensor.mul(Random.normal(noise, [128, 1]), 0.2)) }
}

// parameters are a tree of tensors
const initial = (key: Random.Key) => {
  const [a, b, c] = Random.children(key, 3)
  return {
    w1: Random.normal(a, [1, 64]),
    b1: Random.uniform(b, [64], { min: -3, max: 3 }),
    w2: Tensor.mul(Random.normal(c, [64, 1]), 0.1),
    b2: Tensor.zeros([1])
  }
}

type Weights = ReturnType<typeof initial>

const network = ({ w1, b1, w2, b2 }: Weights, x: Column) =>
  x.pipe(Tensor.matmul(w1), Tensor.add(b1), Tensor.tanh, Tensor.matmul(w2), Tensor.add(b2))

// what training carries from step to step; the velocity is a running mean of gradients
const start = (weights: Weights) => ({
  weights,
  velocity: Tree.map(weights, Tensor.zerosLike),
  step: Tensor.scalar(0, "int32")
})

// fresh points, the loss there, its gradient, and a step downhill
const train = ({ weights, velocity, step }: ReturnType<typeof start>) => {
  const { x, y } = sample(Random.foldIn(Random.key(1), step))
  const loss = Loss.mse(network(weights, x), y)
  const gradients = Gradient.of(loss, weights)
  const next = Tree.zipWith([velocity, gradients], (v, g) => Tensor.add(Tensor.mul(v, 0.95), g))
  const moved = Tree.zipWith([weights, next], (w, v) => Tensor.sub(w, Tensor.mul(v, 0.002)))
  return [{ weights: moved, velocity: next, step: Tensor.add(step, 1) }, loss] as const
}

const main = Effect.gen(function* () {
  const device = yield* Device.Device
  yield* Console.log(`Training on the device "${device.name}": ${device.description}`)

  const first = yield* device.evaluate(start(initial(Random.key(0))))
  const program = yield* Program.make([first, []], ([state]) => train(state), { name: "train" })
  const fold = yield* device.fold(program)
  const [state, losses] = yield* fold.run(first, [], { steps })
  const { weights } = yield* device.downloadAll(state)
  const [before, after] = [losses.data[0], losses.data[steps - 1]]
  yield* Console.log(`Loss ${before.toFixed(2)} at first, ${after.toFixed(3)} after ${steps} steps`)

  const x = Tensor.reshape(Tensor.linspace(-4, 4, 200), [200, 1])
  const learnt = network(Program.constants(weights), x)
  const shown = yield* device.evaluate({ x, learnt, points: sample(Random.key(2)) })
  const chart = Chart.scatter({
    title: "A network learns sin 2x + x/2",
    x: "x",
    y: "y",
    series: [
      { name: "samples", x: shown.points.x.data, y: shown.points.y.data },
      { name: "network", x: shown.x.data, y: shown.learnt.data }
    ]
  })
  yield* Chart.write("out/regression.svg", chart)
  yield* Console.log("Drawn in out/regression.svg")
})

main.pipe(
  Effect.scoped,
  Effect.provide([Device.layerAuto, NodeServices.layer]),
  NodeRuntime.runMain
)
