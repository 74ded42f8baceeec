/** What PyTorch's modules compute, and their gradients; test/fixtures/make-torch-layers.py wrote it down. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import {
  Attention,
  Conv,
  Dense,
  Embedding,
  Layer,
  Norm,
  Parameter,
  Resample,
  ResidualBlock
} from "../../src/Layer/index.ts"
import { Gradient, type Shape, Tensor, Tree } from "../../src/Tensor/index.ts"
import * as A from "../support/arrays.ts"
import { evaluate } from "../support/device.ts"
import * as Devices from "../support/devices.ts"

interface Recorded {
  readonly shape: Shape.Shape
  readonly data: ReadonlyArray<number>
}

interface Record {
  readonly layer: string
  readonly options: unknown
  readonly state: { readonly [path: string]: Recorded }
  readonly input: Recorded
  /** The embedding of residual blocks. */
  readonly condition?: Recorded
  readonly cotangent: Recorded
  readonly output: Recorded
  readonly gradients: { readonly [name: string]: Recorded }
}

const rooms = { Attention, Conv, Dense, Embedding, Norm, Resample, ResidualBlock }

/** Our layer for a record. */
const made = ({ layer, options }: Record): Layer.Any => {
  const [module, name] = layer.split(".")
  const make = (rooms as never)[module][name] as (options: unknown) => Layer.Any
  return make(options)
}

const records: ReadonlyArray<Record> = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/torch-layers.json"), "utf8")
).records

const groups = new Map<string, Array<Record>>()
for (const each of records) groups.set(each.layer, [...(groups.get(each.layer) ?? []), each])

interface Given {
  readonly values: unknown
  readonly input: Tensor.Tensor
  readonly condition: { readonly embedding?: Tensor.Tensor }
  readonly cotangent: Tensor.Tensor
}

const byPath = (values: unknown): { readonly [path: string]: Tensor.Tensor } =>
  Object.fromEntries(Tree.entries<Tensor.Tensor>(values))

const precision = { float64: 1e-12, float32: 1e-5 } as const

for (const device of Devices.all) {
  const dtype = device.name === "reference" ? "float64" : "float32"
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    it("has every kind of layer", () => {
      expect(groups.size).toBe(23)
    })

    for (const [name, group] of groups) {
      it.effect(`${name} and its gradients, in ${dtype}`, () =>
        Effect.gen(function* () {
          const host = ({ data, shape }: Recorded) => Tensor.hostArray(data, { shape, dtype })
          const labels = ({ data, shape }: Recorded) =>
            Tensor.hostArray(data, { shape, dtype: "int32" })
          const layers = group.map((each) => Layer.cast(made(each), dtype))
          const inputs = group.map((each, i) => ({
            values: Tree.remap(layers[i].parameters, (parameter: Parameter.Parameter, path) => {
              const state = each.state[path]
              expect(parameter.shape, `${name}: ${path}`).toEqual(state?.shape)
              return host(state)
            }),
            input: (name === "Embedding.make" ? labels : host)(each.input),
            condition: each.condition === undefined ? {} : { embedding: host(each.condition) },
            cotangent: host(each.cotangent)
          }))
          const results = yield* evaluate(inputs, (given) =>
            group.map((each, i) => {
              const { values, input, condition, cotangent } = given[i] as Given
              const output = layers[i].apply(values as never, input, condition) as Tensor.Tensor
              const known: { readonly [name: string]: Tensor.Tensor | undefined } = {
                ...byPath(values),
                input,
                condition: condition.embedding
              }
              const asked = Object.keys(each.gradients).map((name) => known[name] as Tensor.Tensor)
              return { output, gradients: Gradient.vjp(output, asked, cotangent) }
            })
          )
          group.forEach((each, i) => {
            const what = `${name} ${JSON.stringify(each.options)}`
            const entries = Parameter.entries(layers[i].parameters)
            expect(
              entries.map(([path]) => path),
              what
            ).toEqual(Object.keys(each.state))
            const trainable = entries.filter(([, parameter]) => parameter.trainable)
            expect(Object.keys(each.gradients), what).toEqual(
              expect.arrayContaining(trainable.map(([path]) => path))
            )
            A.agree(results[i].output, host(each.output), precision[dtype], what)
            Object.entries(each.gradients).forEach(([name, gradient], k) => {
              A.agree(
                results[i].gradients[k],
                host(gradient),
                precision[dtype],
                `the gradient of ${what} in ${name}`
              )
            })
          })
        })
      )
    }
  })
}
