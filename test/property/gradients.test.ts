/** Every primitive's derivative is the derivative. */
import { layer } from "@effect/vitest"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import * as Derivatives from "../support/derivatives.ts"
import { property } from "../support/device.ts"
import { type Case, cases, names } from "./cases.ts"
import { compositions } from "./compositions.ts"

const holds = (functions: fc.Arbitrary<Case>, options: Derivatives.Options = {}) =>
  property(
    fc.tuple(
      fc.noBias(fc.array(functions, { minLength: 1, maxLength: 24, size: "max" })),
      fc.noShrink(fc.nat())
    ),
    ([functions, seed]) => Derivatives.check(functions, { seed, ...options }),
    { numRuns: 3 }
  )

layer(Device.layerReference(), { excludeTestServices: true })(
  "first and second derivatives",
  (it) => {
    for (const name of names) {
      const { smooth, step } = cases[name]
      if (typeof smooth === "string") continue
      it.effect(`of ${name}`, () => holds(smooth, step === undefined ? {} : { step }))
    }
    for (const [name, functions] of Object.entries(compositions)) {
      it.effect(`of ${name}, which is composed`, () => holds(functions))
    }
  }
)
