/** Networks, small ones of each kind, keep the laws of layers. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Device from "../../src/Device/Device.ts"
import { LayerLaws } from "../../src/Laws/index.ts"
import { CUNet, type Layer, type LayerError, type Network, UNet } from "../../src/Layer/index.ts"

const { ODEON_SEED = "2026", ODEON_RUNS = "1" } = process.env
const options = {
  ...(ODEON_SEED === "random" ? {} : { seed: Number(ODEON_SEED) }),
  runs: Number(ODEON_RUNS) / 2
}

interface Case {
  readonly network: Effect.Effect<Network.Network, LayerError.ConfigError>
  readonly facts?: Partial<LayerLaws.Subject>
}

const unet = (options: Partial<UNet.Options>) =>
  UNet.make({ channels: 1, width: 4, multipliers: [1, 2], groups: 2, blocks: 1, ...options })

const cunet = (options: Partial<CUNet.Options>) =>
  CUNet.make({
    channels: 1,
    width: 2,
    levels: 1,
    groups: 2,
    embedding: 4,
    heads: 1,
    headWidth: 2,
    ...options
  })

// what is added to all logits of a query alike
const keyBiases = /\.to_k\.bias$/

const cases: Readonly<Record<string, Case>> = {
  "UNet of DDPM": {
    network: unet({ attention: ["none", "block"] }),
    facts: { inert: [keyBiases] }
  },
  "UNet of DDPM with dropout and Fourier features": {
    network: unet({ dropout: 0.2, time: "fourier", conditioning: "scaleShift" }),
    facts: { inert: [keyBiases], random: true }
  },
  "UNet of denoising-diffusion-pytorch": {
    network: unet({
      layout: "lucidrains",
      attention: ["linear", "full"],
      middleAttention: "full",
      order: "post",
      conditioning: "scaleShift",
      heads: 1,
      headWidth: 2
    })
  },
  CUNet: { network: cunet({}) },
  "CUNet in one dimension": {
    network: cunet({ dimensions: 1 }),
    facts: { input: [1, 8], output: [1, 8] }
  },
  "CUNet of first order, without residuals of attention": {
    network: cunet({ order: "first", odeTime: false, attentionResidual: false })
  },
  "CUNet with a table of times and instance norm": {
    network: cunet({ time: "table", norm: "instance" }),
    // the mean that a bias adds is taken away; and tables are looked up, not differentiated
    facts: { inert: [/\.conv[12]\.bias$/, "time"] }
  },
  "CUNet of the public code, whose times are unused": {
    network: cunet({ time: "unused" }),
    facts: { inert: ["time", "time_table"] }
  }
}

/** Steps of training, for networks that look them up. */
const time = (_: unknown, batch: number) => ({
  time: {
    shape: [batch],
    dtype: "float32",
    data: Float32Array.from({ length: batch }, (_, i) => 100 * i + 7)
  }
})

layer(Device.layerReference(), { excludeTestServices: true })("networks", (it) => {
  for (const [name, { network, facts }] of Object.entries(cases)) {
    it.effect(`${name} keeps all laws`, () =>
      Effect.gen(function* () {
        const layer: Layer.Any = yield* network
        const subject: LayerLaws.Subject = {
          name,
          layer,
          input: [1, 8, 8],
          condition: time,
          output: [1, 8, 8],
          ...facts
        }
        yield* LayerLaws.check(subject, options)
      })
    )
  }
})
