/** Every sampler of the library keeps the laws of samplers. */
import { layer } from "@effect/vitest"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import { SamplerLaws } from "../../src/Laws/index.ts"
import "../support/seed.ts"
import { instances } from "./samplers.ts"

const options = {
  seed: fc.readConfigureGlobal().seed ?? 2026,
  runs: Number(process.env.ODEON_RUNS ?? 1)
}

layer(Device.layerReference(), { excludeTestServices: true })("samplers", (it) => {
  for (const subject of instances) {
    it.effect(`${subject.name} keeps its laws`, () => SamplerLaws.check(subject, options))
  }
})
