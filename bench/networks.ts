/** The networks of the continuous U-Net's comparison: the public code's, the paper's, and the U-Net beside them. */
import * as Effect from "effect/Effect"
import { CUNet, Parameter, UNet } from "../src/Layer/index.ts"
import { Program, Tensor } from "../src/Tensor/index.ts"
import * as Steps from "./support/steps.ts"

export interface Options {
  readonly rounds: number
  readonly batch: number
  readonly size: number
}

export const defaults: Options = { rounds: 3, batch: 16, size: 32 }

/** Our networks, and the peer's that does the same or is nearest. */
const networks = [
  ["cunet-public", CUNet.make(CUNet.presets["cunet-public"]), "cunet"],
  ["cunet", CUNet.make(CUNet.presets.cunet), "cunet"],
  ["unet", UNet.make(UNet.presets.unet), "unet"]
] as const

export const names = networks.map(([name]) => name)

/** Times both modes of one. */
export const run = Effect.fnUntraced(function* ({ rounds, batch, size }: Options, name: string) {
  const [, make, model] = networks.find(([each]) => each === name) ?? networks[0]
  const network = yield* make
  const { trainable, frozen } = Parameter.split(
    network.parameters,
    Program.constants(Parameter.init(network.parameters, 0))
  )
  const time = Tensor.linspace(0, 999, batch) as Tensor.Tensor<readonly [number]>
  const subject = {
    weights: trainable as Record<string, Tensor.Tensor>,
    network: (image: Tensor.Tensor, weights: Record<string, Tensor.Tensor>) =>
      network.apply(
        Parameter.join(network.parameters, weights, frozen as Record<string, Tensor.Tensor>),
        image,
        { time }
      ),
    shape: [batch, 3, size, size]
  }
  return yield* Steps.run(subject, { model, batch, size, channels: 3 }, rounds)
})
