/** Every primitive's derivative is the derivative. */
import { layer } from "@effect/vitest"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import * as Derivatives from "../support/derivatives.ts"
import { property } from "../support/device.ts"
import { cases, names } from "./cases.ts"

layer(Device.layerReference(), { excludeTestServices: true })(
  "first and second derivatives",
  (it) => {
    for (const name of names) {
      const { smooth, step } = cases[name]
      if (typeof smooth === "string") continue
      it.effect(name, () =>
        property(
          fc.tuple(
            fc.noBias(fc.array(smooth, { minLength: 1, maxLength: 24, size: "max" })),
            fc.noShrink(fc.nat())
          ),
          ([functions, seed]) =>
            Derivatives.check(functions, { seed, ...(step === undefined ? {} : { step }) }),
          { numRuns: 3 }
        )
      )
    }
  }
)
