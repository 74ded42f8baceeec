/** Derivatives and composed functions come to the same on every device, in single and in double precision. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { floatsOf } from "../support/derivatives.ts"
import { evaluate, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"
import { type Case, cases, names } from "./cases.ts"
import { compositions } from "./compositions.ts"

/** Errors of single operations add up. */
const allowed = { float32: 5e-5, float64: 1e-9 } as const

const as = (host: HostArray, dtype: "float32" | "float64"): HostArray =>
  host.dtype === "float64"
    ? T.hostArray(Array.from(A.numbers(host)), { shape: host.shape, dtype })
    : host

/** Values, derivatives and derivatives of these, of several functions. */
const derived = (
  functions: ReadonlyArray<Case>,
  operands: ReadonlyArray<ReadonlyArray<HostArray>>,
  seed: number
) =>
  evaluate(operands, (inputs) =>
    functions.map(({ apply }, i) => {
      const [x, y] = [floatsOf(inputs[i]), floatsOf(apply(inputs[i]))]
      const noise = ({ shape, dtype }: (typeof y)[number], k: number) =>
        T.constant(A.fill(shape, dtype, seed + k, A.uniform(-1, 1)))
      const pulled = Gradient.vjp(y, x, y.map(noise))
      return { y, pulled, bent: Gradient.vjp(pulled, x, x.map(noise)) }
    })
  )

const entries: ReadonlyArray<readonly [string, fc.Arbitrary<Case>]> = [
  ...names.flatMap((name) => {
    const { smooth } = cases[name]
    return typeof smooth === "string" ? [] : [[name, smooth] as const]
  }),
  ...Object.entries(compositions)
]

for (const device of Devices.others) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    for (const [name, functions] of entries) {
      it.effect(`the derivatives of ${name} agree with reference`, () =>
        property(
          fc.tuple(
            fc.noBias(fc.array(functions, { minLength: 1, maxLength: 8, size: "max" })),
            fc.constantFrom("float32" as const, "float64" as const),
            fc.noShrink(fc.nat())
          ),
          Effect.fnUntraced(function* ([functions, dtype, seed]) {
            const operands = functions.map((each) => each.operands.map((host) => as(host, dtype)))
            const expected = yield* derived(functions, operands, seed).pipe(
              Effect.provide(Device.layerReference())
            )
            const actual = yield* derived(functions, operands, seed)
            functions.forEach((each, i) => {
              for (const part of ["y", "pulled", "bent"] as const) {
                expected[i][part].forEach((wanted, k) => {
                  A.agree(actual[i][part][k], wanted, allowed[dtype], `${part} ${k} of ${each}`)
                })
              }
            })
          }),
          { numRuns: 4 }
        )
      )
    }
  })
}
