import * as Fs from "node:fs"
import * as Path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Classifier from "../../src/Pipeline/Classifier.ts"
import * as Idx from "../../src/Pipeline/Idx.ts"

const mnist = Path.join(import.meta.dirname, "../../../shared/data/mnist")
const there = Fs.existsSync(mnist)
const why = there ? "" : ` (skipped: there is no ${mnist})`

layer(Layer.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "classifier",
  (it) => {
    const run = there ? it.effect : it.effect.skip
    run(`finds the class of more than 98 % of MNIST's test digits${why}`, () =>
      Effect.gen(function* () {
        const digits = yield* Idx.read(mnist)
        const unseen = yield* Idx.read(mnist, { split: "test" })
        const classifier = yield* Classifier.forDataset(digits)
        const trained = yield* Classifier.train(classifier, digits, { steps: 500 })
        const extractor = yield* Classifier.extractor(trained)
        expect(yield* Classifier.accuracy(unseen, extractor)).toBeGreaterThan(0.98)
      })
    )
  }
)
