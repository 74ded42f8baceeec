/** Loops in loops in loops. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Device from "../../src/Device/Device.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import type * as Shape from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"

type F64 = Tensor.Tensor<Shape.Shape, "float64">

layer(Device.layerReference(), { excludeTestServices: true })("a scan is its unrolling", (it) => {
  it.effect("nested three deep, with what the inner ones use from outside", () =>
    Effect.gen(function* () {
      const w = A.fill([2], "float64", 5, A.uniform(-1, 1))
      const [scanned, unrolled] = (yield* evaluate({ w }, ({ w }) => {
        const nest = (depth: number, x: F64): F64 => {
          if (depth === 0) return Tensor.sin(Tensor.mul(x, w as F64)) as F64
          const [y] = Tensor.scan({
            init: x,
            length: 2,
            step: (state) => [
              Tensor.add(nest(depth - 1, state as F64), Tensor.mul(x, 0.1)) as F64,
              []
            ]
          })
          return y as F64
        }
        const flat = (depth: number, x: F64): F64 => {
          if (depth === 0) return Tensor.sin(Tensor.mul(x, w as F64)) as F64
          let y = x
          for (let i = 0; i < 2; i++) y = Tensor.add(flat(depth - 1, y), Tensor.mul(x, 0.1)) as F64
          return y
        }
        return [nest, flat].map((f) => {
          const first = Gradient.of(Tensor.sum(f(3, w as F64)), w)
          return [first, Gradient.of(Tensor.sum(Tensor.square(first as F64)), w)]
        })
      })) as unknown as ReadonlyArray<ReadonlyArray<HostArray>>
      scanned.forEach((each, i) => A.agree(each, unrolled[i], 1e-12))
    })
  )
})
