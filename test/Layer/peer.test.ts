/**
 * The U-Net and the continuous U-Net against the same networks in PyTorch, in small: test/fixtures/make-torch-networks.py wrote down what
 * torch_peer.py computes. test/Layer/peer.slow.test.ts has them whole.
 */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { CUNet, Layer, type Network, Parameter, UNet } from "../../src/Layer/index.ts"
import { Gradient, Shape, Tensor, Tree } from "../../src/Tensor/index.ts"
import fixture from "../fixtures/torch-networks.json" with { type: "json" }
import { evaluate } from "../support/device.ts"
import * as Devices from "../support/devices.ts"
import { formula, normOf, slopeOf } from "../support/formula.ts"
import * as Peer from "../support/peer.ts"

type Floats = Tensor.HostArray<Shape.Shape, "float64" | "float32">

const networks: {
  readonly [name in keyof typeof fixture.models]: {
    readonly network: Network.Network
    readonly names: typeof Peer.unetNames
  }
} = {
  unet: {
    network: Effect.runSync(
      UNet.make({
        ...UNet.presets.unet,
        width: 16,
        multipliers: [1, 2],
        attention: ["linear", "full"]
      })
    ),
    names: Peer.unetNames
  },
  cunet: {
    network: Effect.runSync(
      CUNet.make({ ...CUNet.presets["cunet-public"], channels: 1, width: 2 })
    ),
    names: Peer.cunetNames
  }
}

const precision = { float64: 1e-9, float32: 1e-4 } as const

/** In `float32` we may be some times as far off as PyTorch itself in `float32`. */
const times = { float64: 0, float32: 20 } as const

for (const device of Devices.all) {
  const dtype = device.name === "reference" ? "float64" : "float32"
  const bound = precision[dtype]
  layer(device.layer, { excludeTestServices: true })(`${device.name}, in ${dtype}`, (it) => {
    for (const name of ["unet", "cunet"] as const) {
      it.effect(`${name}: the output, and the gradient in every parameter`, () =>
        Effect.gen(function* () {
          const model = fixture.models[name]
          const network = Layer.cast(networks[name].network, dtype)
          const { parameters } = network
          const live = Parameter.entries(parameters).filter(([, each]) => each.trainable)
          const names = networks[name].names(live.map(([path]) => path))
          const paths = new Map([...names].map(([path, peer]) => [peer, path]))
          const listed = model.parameters.map(([peer, shape]) => {
            const path = paths.get(peer as string)
            expect(path, `ours of ${peer}`).toBeDefined()
            // of norms [1, channels, 1, 1]
            const flat = `${peer}`.endsWith(".g") ? (shape as ReadonlyArray<number>)[1] : undefined
            return [path as string, flat === undefined ? (shape as Shape.Shape) : [flat]] as const
          })
          expect(paths.size).toBe(listed.length)

          const weights = formula(listed, dtype)
          const frozen = Parameter.split(parameters, Parameter.init(parameters, 0)).frozen
          const values = yield* Parameter.load(parameters, { ...frozen, ...weights })
          const image = Tensor.hostArray(
            Array.from({ length: Shape.size(model.inputShape) }, (_, i) => Math.sin(0.3 * i + 1)),
            { shape: model.inputShape, dtype }
          )
          const time = Tensor.hostArray(model.timesteps, { dtype })
          const { output, loss, gradients } = yield* evaluate(
            { values, image, time },
            ({ values, image, time }) => {
              const given = { time } as unknown as Network.Condition
              const output = network.apply(values as never, image as never, given as never)
              const loss = Tensor.mean(Tensor.square(output as Tensor.Tensor))
              const { trainable } = Parameter.split(parameters, values)
              return { output, loss, gradients: Gradient.of(loss, trainable as never) as unknown }
            }
          )
          expect(output.shape).toEqual(model.outputShape)
          const near = bound + times[dtype] * model.singles.output
          const scale = Math.max(...model.output.map(Math.abs))
          model.output.forEach((each, i) => {
            expect(Math.abs(Number(output.data[i]) - each) / scale).toBeLessThan(near)
          })
          expect(Math.abs(Number(loss.data[0]) / model.loss - 1)).toBeLessThan(near)

          const byPath = new Map(Tree.entries<Floats>(gradients))
          listed.forEach(([path], k) => {
            const gradient = byPath.get(path)!.data
            const near = bound + times[dtype] * model.singles.gradients[k]
            const norm = Math.abs(normOf(gradient) - model.norms[k]) / model.norms[k]
            const slope = Math.abs(slopeOf(gradient) - model.slopes[k]) / model.norms[k]
            expect(norm, `the norm of the gradient in ${path}`).toBeLessThan(near)
            expect(slope, `the slope of the gradient in ${path}`).toBeLessThan(near)
          })
        })
      )
    }
  })
}
