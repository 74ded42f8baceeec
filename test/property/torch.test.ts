/** What PyTorch computes, and its gradients; test/fixtures/make-torch.py wrote it down. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import type { Tensor } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Loss from "../../src/Tensor/Loss.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Devices from "../support/devices.ts"

type Float = Tensor<Shape, "float32" | "float64">

interface Recorded {
  readonly shape: Shape
  readonly data: ReadonlyArray<number>
}

/** Whatever an operation was told; what it needs is there. */
interface Attributes {
  readonly stride: ReadonlyArray<number>
  readonly dilation: ReadonlyArray<number>
  readonly padding: ReadonlyArray<number>
  readonly groups: number
  readonly outputPadding: ReadonlyArray<number>
  readonly window: ReadonlyArray<number>
  readonly size: ReadonlyArray<number>
  readonly mode: never
  readonly axis: number
  readonly epsilon: number
  readonly scale?: number
  readonly mask?: ReadonlyArray<ReadonlyArray<boolean>>
  readonly reduction: "mean" | "sum" | "none"
  readonly labels: ReadonlyArray<ReadonlyArray<number>>
  readonly equation: string
  readonly widths: ReadonlyArray<readonly [number, number]>
}

interface Record {
  readonly operation: string
  readonly attributes: Attributes
  readonly inputs: { readonly [name: string]: Recorded }
  readonly output: Recorded
  readonly cotangent: Recorded
  readonly gradients: { readonly [name: string]: Recorded }
}

type Inputs = { readonly [name: string]: Float }

/** The same by our means. */
const operations: {
  readonly [operation: string]: (inputs: Inputs, attributes: Attributes) => Float
} = {
  conv: ({ x, w }, { stride, dilation, padding, groups }) =>
    T.conv(x, w, { stride, dilation, padding, groups }),
  convTranspose: ({ x, w }, { stride, dilation, padding, groups, outputPadding }) =>
    T.convTranspose(x, w, { stride, dilation, padding, groups, outputPadding }),
  maxPool: ({ x }, { window, stride, padding }) => T.maxPool(x, { window, stride, padding }),
  avgPool: ({ x }, { window, stride, padding }) => T.avgPool(x, { window, stride, padding }),
  resize: ({ x }, { size, mode }) => T.resize(x, { size, mode }),

  groupNorm: ({ x, ...affine }, { groups, epsilon }) =>
    T.groupNorm(x, { ...affine, groups, epsilon }),
  instanceNorm: ({ x, ...affine }, { epsilon }) => T.instanceNorm(x, { ...affine, epsilon }),
  layerNorm: ({ x, ...affine }, { epsilon }) => T.layerNorm(x, { ...affine, epsilon }),
  rmsNorm: ({ x, ...affine }, { epsilon }) => T.rmsNorm(x, { ...affine, epsilon }),

  gelu: ({ x }) => T.gelu(x),
  "gelu by tanh": ({ x }) => T.gelu(x, { approximate: "tanh" }),
  softplus: ({ x }) => T.softplus(x),
  silu: ({ x }) => T.silu(x),
  sigmoid: ({ x }) => T.sigmoid(x),
  erf: ({ x }) => T.erf(x),
  expm1: ({ x }) => T.expm1(T.div(x, 10)),
  log1p: ({ x }) => T.log1p(T.abs(x)),
  softmax: ({ x }, { axis }) => T.softmax(x, { axis }),
  logSoftmax: ({ x }, { axis }) => T.logSoftmax(x, { axis }),
  logSumExp: ({ x }, { axis }) => T.logSumExp(x, { axis }),
  cumProd: ({ x }, { axis }) => T.cumProd(x, { axis }),
  prod: ({ x }, { axis }) => T.prod(x, { axis }),
  sort: ({ x }, { axis }) => T.sort(x, { axis }),

  attention: ({ query, key, value }, { mask, ...options }) =>
    T.attention(query, key, value, {
      ...options,
      ...(mask === undefined ? {} : { mask: T.constant(mask, { dtype: "bool" }) })
    }),
  crossEntropy: ({ x }, { labels, reduction }) =>
    Loss.crossEntropy(x, T.constant(labels, { dtype: "int32" }), { reduction }),
  mse: ({ x, y }, options) => Loss.mse(x, y, options),
  l1: ({ x, y }, options) => Loss.l1(x, y, options),
  huber: ({ x, y }, options) => Loss.huber(x, y, { ...options, delta: 0.8 }),
  binaryCrossEntropy: ({ x, y }, options) => Loss.binaryCrossEntropy(x, y, options),
  einsum: (inputs, { equation }) => T.einsum(equation, ...Object.values(inputs)),
  pad: ({ x }, { mode, widths }) => T.pad(x, widths, { mode }),
  pixelShuffle: ({ x }) => T.pixelShuffle(x, 2),
  pixelUnshuffle: ({ x }) => T.pixelUnshuffle(x, 2)
}

const read = (file: string): ReadonlyArray<Record> =>
  JSON.parse(
    Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures", `torch-${file}.json`), "utf8")
  ).records

const records = new Map<string, Array<Record>>()
for (const each of [...read("convolutions"), ...read("functions")]) {
  const known = records.get(each.operation)
  if (known === undefined) records.set(each.operation, [each])
  else known.push(each)
}

/** Nine digits were written down; and PyTorch scales attention by a number of `float32`. */
const precision = { float64: 1e-7, float32: 1e-5 } as const

for (const device of Devices.all) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    it.effect("has every operation that is written down, and no other", () =>
      Effect.sync(() => {
        expect(Object.keys(operations).sort()).toEqual([...records.keys()].sort())
      })
    )
    for (const [operation, group] of records) {
      for (const dtype of ["float64", "float32"] as const) {
        it.effect(`${operation} and its gradients, in ${dtype}`, () =>
          Effect.gen(function* () {
            const host = ({ data, shape }: Recorded) => T.hostArray(data, { shape, dtype })
            const inputs = group.map((each) => ({
              inputs: Object.fromEntries(
                Object.entries(each.inputs).map(([name, value]) => [name, host(value)])
              ),
              cotangent: host(each.cotangent)
            }))
            const results = yield* evaluate(inputs, (given) =>
              group.map(({ attributes }, i) => {
                const { cotangent, inputs } = given[i] as {
                  readonly cotangent: Float
                  readonly inputs: Inputs
                }
                const output = operations[operation](inputs, attributes)
                return { output, gradients: Gradient.vjp(output, inputs, cotangent) }
              })
            )
            group.forEach((each, i) => {
              const what = `${operation} ${JSON.stringify(each.attributes)}`
              A.agree(results[i].output, host(each.output), precision[dtype], what)
              for (const [name, gradient] of Object.entries(each.gradients)) {
                A.agree(
                  results[i].gradients[name],
                  host(gradient),
                  precision[dtype],
                  `the gradient of ${what} in ${name}`
                )
              }
            })
          })
        )
      }
    }
  })
}
