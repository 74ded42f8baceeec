/** Published data sets as they are, where they are at hand. */
import * as Fs from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Datasets from "../../src/Pipeline/Datasets.ts"

const folder = new URL("../../../shared/data/cifar10", import.meta.url).pathname

layer(NodeServices.layer)("open", (it) => {
  it.effect.skipIf(!Fs.existsSync(`${folder}/test.tar`))(
    "reads CIFAR-10 as an archive of pictures (skipped without ../shared/data/cifar10)",
    () =>
      Effect.gen(function* () {
        const test = yield* Datasets.open(`cifar10:${folder}`, { split: "test", limit: 10 })
        expect(test).toMatchObject({ size: 10, shape: [3, 32, 32] })
        expect(test.classes?.length).toBe(10)
        const error = yield* Effect.flip(Datasets.open(`cifar10:${folder}`))
        expect(error.message).toBe(
          `${folder}: there is no part "train" in it, but test.tar; to take that, tell its path, cifar10:${folder}/test.tar`
        )
      })
  )
})
