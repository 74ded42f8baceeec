/** What published samplers compute with all kinds of options, step by step; see test/support/samplers.ts. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { cases, compare, schedulers } from "../support/samplers.ts"

const known = cases(/^samplers-.+\.json$/).filter(([, { scheduler }]) => scheduler in schedulers)

layer(Device.layerReference(), { excludeTestServices: true })("in double precision", (it) => {
  for (const [name, c] of known) {
    it.effect(name, () =>
      Effect.gen(function* () {
        expect((yield* compare(c, "float64")).differences).toEqual([])
      })
    )
  }
})
