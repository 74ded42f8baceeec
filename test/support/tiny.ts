/** Experiments of the smallest kind, for tests of what is around the network. */
import { Parameter } from "../../src/Layer/index.ts"
import type * as Experiment from "../../src/Pipeline/Experiment.ts"
import { DType, HostRandom, Shape, type Tensor } from "../../src/Tensor/index.ts"

export const network = {
  name: "unet",
  width: 4,
  multipliers: [1],
  attention: ["none"],
  middleAttention: "none",
  groups: 1,
  blocks: 1
} as const

/** A U-Net of few thousand parameters on digits of 8×8. */
export const experiment = {
  data: { name: "digits", size: 8 },
  network,
  batch: 2,
  rate: { name: "constant", rate: 1e-3 }
} as const satisfies Experiment.Options

/** Values for parameters, none of which is 0: a network with them does something before it is trained. */
export const weightsOf = (
  parameters: unknown,
  seed = 3
): Readonly<Record<string, Tensor.HostArray>> => {
  const all = Parameter.toRecord(Parameter.init(parameters, seed)) as unknown as Readonly<
    Record<string, Tensor.HostArray>
  >
  return Object.fromEntries(
    Object.entries(all).map(([path, { shape, dtype }], i) => {
      const key = HostRandom.foldIn(HostRandom.key(seed), i)
      const { data } = HostRandom.normal(key, [Shape.size(shape)])
      const values = DType.allocate("float32", data.length)
      data.forEach((each, j) => {
        values[j] = each / 4
      })
      return [path, { shape, dtype, data: values }]
    })
  )
}

/** All bits of some arrays, by name. */
export const bitsOf = (arrays: Readonly<Record<string, Tensor.HostArray>>) =>
  Object.fromEntries(
    Object.entries(arrays)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { data }]) => [
        name,
        Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex")
      ])
  )
