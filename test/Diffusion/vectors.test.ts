/** What published samplers compute, step by step, in both precisions; see test/support/samplers.ts. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { cases, compare } from "../support/samplers.ts"

const known = cases(/^samplers\.json$/)

layer(Device.layerReference(), { excludeTestServices: true })("in double precision", (it) => {
  for (const [name, c] of known) {
    it.effect(name, () =>
      Effect.gen(function* () {
        expect((yield* compare(c, "float64")).differences).toEqual([])
      })
    )
  }
})

layer(Device.layerOnnx(), { excludeTestServices: true })("in single precision", (it) => {
  for (const [name, c] of known) {
    it.effect(name, () =>
      Effect.gen(function* () {
        expect((yield* compare(c, "float32")).differences).toEqual([])
      })
    )
  }
})
