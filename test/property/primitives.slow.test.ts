/** Every device computes every primitive as `Reference` does. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it as test } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type { Name } from "../../src/Tensor/Primitive.ts"
import { table } from "../../src/Tensor/Primitives.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate, type HostArray, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"
import { type Case, cases, names } from "./cases.ts"

/** Some cases at once, since a program costs more to compile than to run; of each, which operands are constants. */
const batches = (name: Name) =>
  fc.noBias(
    fc.array(fc.tuple(cases[name].cases, fc.nat({ max: 15 })), {
      minLength: 1,
      maxLength: 48,
      size: "max"
    })
  )

type Batch = ReadonlyArray<readonly [Case, constants: number]>

const computed = (batch: Batch) =>
  evaluate(
    batch.map(([{ operands }, constants]) => operands.filter((_, i) => (constants >> i) % 2 === 0)),
    (inputs) =>
      batch.map(([{ apply, operands }, constants], i) => {
        let next = 0
        return apply(
          operands.map((each, k) =>
            (constants >> k) % 2 === 0 ? inputs[i][next++] : Tensor.constant(each)
          )
        )
      })
  )

const compare = (
  name: Name,
  batch: Batch,
  actual: ReadonlyArray<ReadonlyArray<HostArray>>,
  expected: ReadonlyArray<ReadonlyArray<HostArray>>
): void =>
  batch.forEach(([each], i) => {
    expected[i].forEach((result, k) => {
      const wrong = A.mismatch(actual[i][k], result, undefined, cases[name].pointwise)
      if (wrong !== undefined) throw new Error(`output ${k} of ${each}: ${wrong}`)
    })
  })

describe("the case table", () => {
  test("has all primitives and no other", () => {
    expect([...names].sort()).toEqual(Object.keys(table).sort())
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("reference", (it) => {
  for (const name of names) {
    it.effect(`${name}: gives what its shape rule says, from inputs and constants alike`, () =>
      property(
        batches(name),
        Effect.fnUntraced(function* (batch) {
          const results = yield* computed(batch)
          batch.forEach(([{ apply, operands }], i) => {
            apply(operands.map((each) => Tensor.constant(each))).forEach((tensor, k) => {
              const { data, dtype, shape } = results[i][k]
              expect(A.show({ dtype, shape })).toBe(A.show(tensor))
              expect(data.length).toBe(Tensor.size(tensor))
            })
          })
          const opposite = yield* computed(batch.map(([each, constants]) => [each, 15 - constants]))
          compare(name, batch, opposite, results)
        }),
        { numRuns: 4 }
      )
    )
  }
})

for (const device of Devices.others) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    for (const name of names) {
      it.effect(`${name}: agrees with reference`, () =>
        property(
          batches(name),
          Effect.fnUntraced(function* (batch) {
            const expected = yield* computed(batch).pipe(Effect.provide(Device.layerReference()))
            compare(name, batch, yield* computed(batch), expected)
          }),
          { numRuns: 4 }
        )
      )
    }
  })
}
