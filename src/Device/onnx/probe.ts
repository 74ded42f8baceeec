/** Measures the layout that the runtime keeps for itself; see `blocked`. */
import type * as Ort from "onnxruntime-node"
import type { Tensor } from "../../Tensor/Expression.ts"
import * as Graph from "../../Tensor/Graph.ts"
import { conv, convKernel, convTranspose } from "../../Tensor/primitive/linear.ts"
import { input } from "../../Tensor/primitive/structure.ts"
import type { Source } from "../Backend.ts"
import * as blocked from "./blocked.ts"
import { lower } from "./lower.ts"
import { encode, type Model } from "./Model.ts"

type Runtime = Pick<typeof Ort, "InferenceSession" | "Tensor">

const known = new WeakMap<Runtime, Promise<number | undefined>>()

/**
 * The number of channels in a block, or `undefined` where the layout is not to be used: on processors that
 * have none, or where it does not give what the standard operators give. Measured once.
 */
export const blockSize = (ort: Runtime): Promise<number | undefined> => {
  const before = known.get(ort)
  if (before !== undefined) return before
  const size = measured(ort).catch(() => undefined)
  known.set(ort, size)
  return size
}

const measured = async (ort: Runtime): Promise<number | undefined> => {
  const block = await spacing(ort)
  if (block !== 8 && block !== 16) return undefined
  const source = sample(block)
  const [fast, plain] = await Promise.all(
    [block, undefined].map(async (block) => {
      const { model } = lower(source, { portable: false, block }, true)
      return run(ort, model, source.graph.inputs)
    })
  )
  const equal = plain.every((values, i) =>
    values.every((value, k) => Math.abs(value - fast[i][k]) < 1e-4)
  )
  return equal ? block : undefined
}

const shape = [1, 64, 1, 2]

/** How far apart neighbours along the last axis are once channels stand in blocks. */
const spacing = async (ort: Runtime): Promise<number> => {
  const value = { name: "x", dtype: "float32", shape } as const
  const result = { ...value, name: "y" }
  const model: Model = {
    irVersion: 10,
    producer: "odeon",
    opsets: { "": 21, [blocked.domain]: 1 },
    graph: {
      name: "probe",
      inputs: [value],
      outputs: [result],
      initializers: [],
      nodes: [
        {
          name: "reorder",
          domain: blocked.domain,
          operator: "ReorderInput",
          inputs: ["x"],
          outputs: ["y"],
          attributes: {}
        }
      ]
    }
  }
  const [values] = await run(ort, model, [{ shape }])
  return values.indexOf(1)
}

/** A convolution and its adjoints, with what could go wrong: strides, uneven padding, several blocks. */
const sample = (block: number): Source => {
  const window = { stride: [1, 1], dilation: [1, 1], low: [1, 1], high: [1, 0], groups: 1 }
  const x = input("x", [block, 2 * block, 8, 5], "float32")
  const w = input("w", [block, 2 * block, 3, 2], "float32")
  const y = input("y", [block, block, 8, 5], "float32")
  const outputs = [
    conv(x, w, window),
    convTranspose(y, w, window, [8, 5]),
    convKernel(x, y, window, [3, 2])
  ]
  return {
    name: "probe",
    graph: Graph.make([x, w, y], outputs),
    inputNames: ["x", "w", "y"],
    outputNames: ["conv", "convTranspose", "convKernel"]
  }
}

/** Runs a model on small whole numbers. */
const run = async (
  ort: Runtime,
  model: Model,
  inputs: ReadonlyArray<Pick<Tensor, "shape">>
): Promise<ReadonlyArray<Float32Array>> => {
  const session = await ort.InferenceSession.create(encode(model), { logSeverityLevel: 4 })
  try {
    const feeds: Record<string, Ort.Tensor> = {}
    inputs.forEach(({ shape }, i) => {
      const size = shape.reduce((a, b) => a * b, 1)
      const data = Float32Array.from({ length: size }, (_, k) =>
        inputs.length === 1 ? k : (k * 7 + i) % 5
      )
      feeds[model.graph.inputs[i].name] = new ort.Tensor("float32", data, shape)
    })
    const results = await session.run(feeds)
    return model.graph.outputs.map(({ name }) => results[name].data as Float32Array)
  } finally {
    await session.release()
  }
}
