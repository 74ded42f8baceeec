import * as Os from "node:os"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Parameter from "../../src/Layer/Parameter.ts"
import * as SafeTensors from "../../src/Layer/SafeTensors.ts"
import * as Classifier from "../../src/Pipeline/Classifier.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Features from "../../src/Pipeline/Features.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import { random } from "../support/arrays.ts"

/** Noise, brighter in one of four quarters: that is its class. */
const quarters = (count: number, seed: number): Dataset.Dataset => {
  const next = random(seed)
  const labels = Array.from({ length: count }, () => Math.floor(4 * next()))
  const floats = Float32Array.from({ length: count * 64 }, (_, at) => {
    const [i, y, x] = [at >> 6, (at >> 5) & 1, (at >> 2) & 1]
    return 0.5 * next() - 0.5 + (labels[i] === 2 * y + x ? 0.5 : 0)
  })
  return Dataset.fromArrays({ name: "quarters", shape: [1, 8, 8], floats, labels })
}

const temporary = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  return yield* files.makeTempDirectoryScoped({ directory: Os.tmpdir() })
})

layer(Layer.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "classifier",
  (it) => {
    const failing = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
      const result = yield* Effect.result(effect)
      if (Result.isFailure(result)) return result.failure as { _tag: string; message: string }
      throw new Error("it succeeded")
    })

    describe("train", () => {
      it.effect("learns, is written, and read again the same", () =>
        Effect.gen(function* () {
          const data = quarters(400, 1)
          const classifier = yield* Classifier.forDataset(data, { width: 4, features: 16 })
          const losses: Array<number> = []
          const onStep = (event: { readonly loss: number }) =>
            Effect.sync(() => void losses.push(event.loss))
          const options = { steps: 120, batch: 32, onStep }
          const trained = yield* Classifier.train(classifier, data, options)
          expect(losses).toHaveLength(120)
          const unseen = quarters(200, 2)
          const extractor = yield* Classifier.extractor(trained)
          expect(extractor).toMatchObject({ dimension: 16, shape: [1, 8, 8] })
          expect(yield* Classifier.accuracy(unseen, extractor)).toBeGreaterThan(0.97)
          const { labels, confidences } = yield* Classifier.classify(unseen, extractor, {
            count: 50
          })
          const { probabilities } = yield* Features.of(unseen, extractor, { count: 50 })
          for (let i = 0; i < 50; i++) {
            const row = probabilities?.data.slice(4 * i, 4 * i + 4) ?? []
            expect(confidences[i]).toBe(Math.max(...row))
            expect(row[labels[i]]).toBe(confidences[i])
          }

          const path = (yield* Path.Path).join(yield* temporary, "classifier.safetensors")
          yield* Classifier.save(path, trained)
          const loaded = yield* Classifier.load(path)
          expect(loaded.classifier.config).toEqual(trained.classifier.config)
          expect(loaded.fingerprint).toBe(data.fingerprint)
          expect(loaded.weights).toEqual(trained.weights)
        })
      )

      it.effect("refuses data that are not the classifier's", () =>
        Effect.gen(function* () {
          const data = quarters(40, 1)
          const other = yield* Classifier.make({ size: 9, classes: 4 })
          expect((yield* failing(Classifier.train(other, data))).message).toContain(
            "takes images [1, 9, 9], not [1, 8, 8]"
          )
          const more = yield* Classifier.make({ size: 8, classes: 5 })
          expect((yield* failing(Classifier.train(more, data))).message).toContain("5 classes")
          const own = yield* Classifier.forDataset(data)
          const none = yield* failing(Classifier.train(own, data, { steps: 0 }))
          expect(none).toMatchObject({ _tag: "TrainError" })
          expect(none.message).toContain("`steps`")
          const rate = yield* failing(Classifier.train(own, data, { rate: Number.NaN }))
          expect(rate).toMatchObject({ _tag: "TrainError", reason: "options" })
          const shift = yield* failing(Classifier.train(own, data, { shift: -1 }))
          expect(shift).toMatchObject({ _tag: "DataError", reason: "options" })
          const large = yield* failing(Classifier.train(own, data, { batch: 64 }))
          expect(large).toMatchObject({ _tag: "DataError", reason: "options" })
        })
      )
    })

    describe("make", () => {
      it.effect("has as many parameters as its layers", () =>
        Effect.gen(function* () {
          const { parameters } = yield* Classifier.make({
            channels: 3,
            size: 30,
            classes: 7,
            width: 2
          })
          const convolutions = 3 * 2 * 9 + 2 + 2 * 4 * 9 + 4 + 4 * 8 * 9 + 8
          // 30 → 15 → 8
          const dense = 8 * 8 * 8 * 128 + 128 + 128 * 7 + 7
          expect(Parameter.count(parameters)).toBe(convolutions + dense)
        })
      )

      it.effect("refuses fields that are not known, and data that are no images with classes", () =>
        Effect.gen(function* () {
          const odd = { widht: 3 } as Classifier.Options
          expect((yield* failing(Classifier.make(odd))).message).toContain('did you mean "width"')
          expect((yield* failing(Classifier.make({ classes: 0 }))).message).toContain("classes")
          const { classes: _, ...plain } = quarters(9, 1)
          const without = { ...plain, classes: undefined }
          expect((yield* failing(Classifier.forDataset(without))).message).toContain("no classes")
          const wide = { ...quarters(9, 1), shape: [1, 4, 16] }
          expect((yield* failing(Classifier.forDataset(wide))).message).toContain("square")
        })
      )
    })

    describe("load", () => {
      it.effect("refuses files that are none, naming them", () =>
        Effect.gen(function* () {
          const path = (yield* Path.Path).join(yield* temporary, "odd.safetensors")
          const classifier = yield* Classifier.make({ size: 8, width: 2, features: 4 })
          const weights = Parameter.init(classifier.parameters, 1)
          const whole = Classifier.encode({ classifier, weights, fingerprint: "" })
          const tensors = Parameter.toRecord(weights) as never
          const metadata = (config: string) => ({ odeon: "classifier", config, fingerprint: "" })
          const cases: ReadonlyArray<readonly [Uint8Array, string]> = [
            [new TextEncoder().encode("hello, world"), "header"],
            [whole.slice(0, -4), "its data end"],
            [SafeTensors.encode(tensors), "it is no classifier"],
            [SafeTensors.encode(tensors, metadata("{")), "configuration"],
            [SafeTensors.encode(tensors, metadata('{"width":-1}')), "width"],
            [SafeTensors.encode(tensors, metadata("{}")), "conv1.weight"]
          ]
          for (const [bytes, says] of cases) {
            yield* Files.write(path, bytes)
            const error = yield* failing(Classifier.load(path))
            expect(error).toMatchObject({ _tag: "DataError", source: path, reason: "format" })
            expect(error.message).toContain(path)
            expect(error.message).toContain(says)
          }
          const missing = yield* failing(Classifier.load(`${path}.none`))
          expect(missing).toMatchObject({ _tag: "FileError", reason: "missing" })
        })
      )
    })
  }
)
