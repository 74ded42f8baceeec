/** What PyTorch makes of the metric with hashed weights; test/fixtures/make-perceptual.py wrote it down. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Parameter from "../../src/Layer/Parameter.ts"
import * as SafeTensors from "../../src/Layer/SafeTensors.ts"
import type { Images } from "../../src/Pipeline/Features.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Lpips from "../../src/Pipeline/Lpips.ts"
import * as Tree from "../../src/Tensor/Tree.ts"
import { hashedArray, hashedImages } from "../support/hashed.ts"

const recorded = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/lpips.json"), "utf8")
) as {
  readonly shape: ReadonlyArray<number>
  readonly seeds: readonly [number, number]
  readonly share: number
  readonly distances: Readonly<Record<Lpips.Backbone, ReadonlyArray<number>>>
}

const { shape, seeds, share, distances } = recorded
const a = hashedImages(shape, seeds[0])
const other = hashedImages(shape, seeds[1])
const b: Images = {
  ...a,
  data: a.data.map((each, i) => (1 - share) * each + share * other.data[i])
}

const weightsOf = (backbone: Lpips.Backbone): Lpips.Weights =>
  Tree.remap(Lpips.network(backbone).parameters, ({ shape }: Parameter.Parameter, path) =>
    hashedArray(path, shape)
  )

layer(Layer.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "LPIPS",
  (it) => {
    const failing = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
      const result = yield* Effect.result(effect)
      if (Result.isFailure(result)) return result.failure
      throw new Error("it succeeded")
    })

    describe("distance", () => {
      it.effect.each(["alex", "vgg", "squeeze"] as const)(
        "is PyTorch's of %s, and symmetric",
        (backbone) =>
          Effect.gen(function* () {
            const weights = weightsOf(backbone)
            for (const batch of [1, 2]) {
              const { distance } = yield* Lpips.make({ backbone, weights, batch })
              for (const all of [yield* distance(a, b), yield* distance(b, a)]) {
                all.forEach((each, i) => {
                  expect(Math.abs(each / distances[backbone][i] - 1)).toBeLessThan(1e-5)
                })
              }
              expect([...(yield* distance(a, a))]).toEqual([0, 0])
            }
          })
      )

      it.effect("takes grey images as colours, and refuses what it cannot compare", () =>
        Effect.gen(function* () {
          const { distance } = yield* Lpips.make({
            backbone: "squeeze",
            weights: weightsOf("squeeze")
          })
          const grey = hashedImages([1, 1, 32, 32], 1)
          const coloured = (each: Images): Images => ({
            ...each,
            shape: [1, 3, 32, 32],
            data: Float32Array.from([...each.data, ...each.data, ...each.data])
          })
          const black: Images = { ...grey, data: grey.data.map(() => -1) }
          const plain = yield* distance(grey, black)
          expect(yield* distance(coloured(grey), coloured(black))).toEqual(plain)
          expect(plain[0]).toBeGreaterThan(0)
          const cases: ReadonlyArray<readonly [Images, Images, string]> = [
            [grey, coloured(grey), "cannot be compared"],
            [hashedImages([1, 2, 32, 32], 1), hashedImages([1, 2, 32, 32], 1), "3 channels"],
            [hashedImages([1, 3, 2, 2], 1), hashedImages([1, 3, 2, 2], 2), "does not take images"],
            [grey, { ...grey, data: grey.data.map(() => Number.NaN) }, "finite"]
          ]
          for (const [x, y, says] of cases) {
            const error = yield* failing(distance(x, y))
            expect(error).toMatchObject({ _tag: "DataError" })
            expect(error.message).toContain(says)
          }
          const none = Lpips.make({ backbone: "alex", weights: {}, batch: 0 })
          expect((yield* failing(none)).message).toContain("`batch`")
        })
      )
    })

    describe("load", () => {
      it.effect(
        "reads the network's file and the metric's together, or the metric's own state",
        () =>
          Effect.gen(function* () {
            const files = yield* FileSystem.FileSystem
            const folder = yield* files.makeTempDirectoryScoped({ directory: Os.tmpdir() })
            const weights = weightsOf("squeeze")
            const all: Record<string, ReturnType<typeof hashedArray>> = Parameter.toRecord(
              weights
            ) as never
            const entries = Object.entries(all)
            const write = (name: string, some: typeof entries) =>
              Files.write(Path.join(folder, name), SafeTensors.encode(Object.fromEntries(some)))
            const extra = hashedArray("classifier.1.weight", [3, 2])
            yield* write("network", [
              ...entries.filter(([name]) => name.startsWith("features")),
              ["classifier.1.weight", extra]
            ])
            yield* write(
              "lin",
              entries.filter(([name]) => name.startsWith("lin"))
            )
            yield* write("own", [
              ...entries.map(([name, each]): (typeof entries)[number] => [
                name.replace("features.", "net.slice2."),
                each
              ]),
              ["scaling_layer.shift", extra],
              ["lins.0.model.1.weight", extra]
            ])
            const load = (...names: ReadonlyArray<string>) =>
              Lpips.load(
                "squeeze",
                names.map((name) => Path.join(folder, name))
              )
            expect(yield* load("network", "lin")).toEqual(weights)
            expect(yield* load("own")).toEqual(weights)
            const error = yield* failing(load("network"))
            expect(error).toMatchObject({ _tag: "DataError", reason: "format" })
            expect(error.message).toContain("lin0.model.1.weight")
            expect(error.message).toContain(Path.join(folder, "network"))
            expect(yield* failing(load("none"))).toMatchObject({ _tag: "FileError" })
          })
      )
    })
  }
)
