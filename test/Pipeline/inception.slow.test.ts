/** What PyTorch makes of the networks with hashed weights; test/fixtures/make-perceptual.py wrote it down. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Parameter from "../../src/Layer/Parameter.ts"
import * as SafeTensors from "../../src/Layer/SafeTensors.ts"
import * as Features from "../../src/Pipeline/Features.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Inception from "../../src/Pipeline/Inception.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import { hashedArray, hashedImages } from "../support/hashed.ts"

interface Told {
  readonly some: ReadonlyArray<ReadonlyArray<number>>
  readonly slope: ReadonlyArray<number>
}

const recorded = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/inception.json"), "utf8")
) as {
  readonly images: { readonly shape: ReadonlyArray<number>; readonly seed: number }
  readonly features: Told
  readonly probabilities: Told
}

const agrees = (
  { shape: [, d], data }: { shape: ReadonlyArray<number>; data: Float32Array },
  told: Told
) =>
  told.some.forEach((some, row) => {
    const own = data.subarray(row * d, (row + 1) * d)
    const scale = Math.max(...some.map(Math.abs))
    some.forEach((each, k) => expect(Math.abs(own[32 * k] - each)).toBeLessThan(1e-4 * scale))
    const slope = own.reduce((sum, each, i) => sum + each * Math.cos(i), 0)
    expect(Math.abs(slope - told.slope[row])).toBeLessThan(1e-3 * scale)
  })

layer(Layer.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "Inception",
  (it) => {
    describe("extractor", () => {
      it.effect("makes PyTorch's features and probabilities of weights from a file", () =>
        Effect.gen(function* () {
          const files = yield* FileSystem.FileSystem
          const folder = yield* files.makeTempDirectoryScoped({ directory: Os.tmpdir() })
          const path = Path.join(folder, "inception.safetensors")
          const tensors = Object.fromEntries(
            Parameter.entries(Inception.network.parameters).map(([name, { shape }]) => [
              name,
              hashedArray(name, shape)
            ])
          )
          const counts = {
            "Conv2d_1a_3x3.bn.num_batches_tracked": Tensor.hostArray(7, { dtype: "int64" })
          }
          yield* Files.write(path, SafeTensors.encode({ ...tensors, ...counts }))
          const weights = yield* Inception.load(path)
          expect(Parameter.count(Inception.network.parameters)).toBe(23_885_392)
          const extractor = yield* Inception.extractor(weights, { batch: 2 })
          expect(extractor).toMatchObject({ dimension: 2048, shape: [3, 299, 299] })
          const { shape, seed } = recorded.images
          const { features, probabilities } = yield* Features.of(
            hashedImages(shape, seed),
            extractor
          )
          agrees(features, recorded.features)
          agrees(probabilities as typeof features, recorded.probabilities)
        })
      )
    })
  }
)
