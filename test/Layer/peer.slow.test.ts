/**
 * The U-Net and the continuous U-Net, whole, against the same networks in PyTorch: outputs and gradients. It needs a Python with torch
 * and safetensors, named by ODEON_PEER_PYTHON, and torch_peer.py, where ODEON_PEER_SCRIPT says or else in ../shared/peers.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { CUNet, Layer, type Network, Parameter, SafeTensors, UNet } from "../../src/Layer/index.ts"
import { Gradient, type Shape, Tensor, Tree } from "../../src/Tensor/index.ts"
import * as A from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Peer from "../support/peer.ts"

type Floats = Tensor.HostArray<Shape.Shape, "float64" | "float32">
type ByName = Readonly<Record<string, Floats>>

const python = process.env.ODEON_PEER_PYTHON
const root = Path.join(import.meta.dirname, "../..")
const script = process.env.ODEON_PEER_SCRIPT ?? Path.join(root, "../shared/peers/torch_peer.py")

const networks = {
  unet: { network: Effect.runSync(UNet.make(UNet.presets.unet)), namesOf: Peer.unetNames },
  cunet: {
    network: Effect.runSync(CUNet.make(CUNet.presets["cunet-public"])),
    namesOf: Peer.cunetNames
  }
}

/**
 * In `float64`. What the continuous U-Net's attention gives is nearly the same everywhere, and instance norms make much of what little
 * difference there is: rounding grows a million times, so that in `float32` gradients in coarse levels have no digit at all.
 */
const precision = { unet: 1e-11, cunet: 1e-7 } as const

const image = A.fill([2, 3, 32, 32], "float32", 1, A.uniform(-1, 1))
const times = [10, 500]

/** What PyTorch computes of a file that we write. */
const theirs = (name: string, weights: ByName): ByName => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-peer-"))
  try {
    const [given, written] = ["given", "written"].map((file) =>
      Path.join(folder, `${file}.safetensors`)
    )
    Fs.writeFileSync(
      given,
      SafeTensors.encode({ ...weights, input: image, time: Tensor.hostArray(times) })
    )
    const program = Path.join(root, "test/support/peer.py")
    const { status, stderr } = spawnSync(`${python}`, [program, script, name, given, written])
    expect(status, String(stderr)).toBe(0)
    return Effect.runSync(SafeTensors.decode(Fs.readFileSync(written))).tensors as ByName
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** The same by our means, by the same names. */
const ours = Effect.fnUntraced(function* (
  network: Network.Network,
  names: ReadonlyMap<string, string>,
  dtype: "float64" | "float32"
) {
  const { parameters, apply } = Layer.cast(network, dtype) as unknown as typeof network
  const values = yield* Parameter.load(
    parameters,
    Parameter.toRecord(Parameter.init(network.parameters, 7))
  )
  const { output, gradients } = yield* evaluate(
    {
      values,
      image: Tensor.hostArray(image.data, { shape: image.shape, dtype }),
      time: Tensor.hostArray(times, { dtype })
    },
    ({ values, image, time }) => {
      const output = apply(values as never, image as never, { time } as never)
      const { trainable } = Parameter.split(parameters, values)
      const loss = Tensor.mean(Tensor.square(output))
      return { output, gradients: Gradient.of(loss, trainable as never) as unknown }
    }
  )
  const named = Tree.entries<Floats>(gradients).map(
    ([path, gradient]) => [names.get(path) as string, gradient] as const
  )
  return { output: output as unknown as Floats, ...Object.fromEntries(named) } as ByName
})

/** The largest difference in units of the largest number. */
const apart = (actual: Floats, expected: Floats): number => {
  expect(actual.data.length).toBe(expected.data.length)
  let [scale, most] = [0, 0]
  for (let i = 0; i < expected.data.length; i++) {
    scale = Math.max(scale, Math.abs(expected.data[i]))
    most = Math.max(most, Math.abs(actual.data[i] - expected.data[i]))
  }
  return most / scale
}

describe.skipIf(python === undefined)("PyTorch", () => {
  it.each(["unet", "cunet"] as const)("computes the same of %s", { timeout: 600_000 }, (name) =>
    Effect.gen(function* () {
      const { network, namesOf } = networks[name]
      const { parameters } = network
      const weights = Parameter.split(parameters, Parameter.init(parameters, 7)).trainable
      const names = namesOf(Object.keys(weights))
      const expected = theirs(
        name,
        Parameter.toRecord(weights, { rename: (path) => names.get(path) as string }) as ByName
      )
      const keys = ["output", ...names.values()]
      expect(Object.keys(expected).length).toBe(2 * keys.length)

      const double = yield* ours(network, names, "float64")
      for (const key of keys) {
        expect(apart(double[key], expected[key]), `${key} in float64`).toBeLessThan(precision[name])
      }
      const single = yield* ours(network, names, "float32")
      for (const key of keys) {
        // some gradients have few digits in float32, here as there
        const theirs = apart(expected[`single.${key}`], expected[key])
        const bound = 1e-4 + 10 * theirs
        expect(apart(single[key], expected[key]), `${key} in float32`).toBeLessThan(bound)
      }
    }).pipe(Effect.provide(Device.layerOnnx()), Effect.runPromise)
  )
})
