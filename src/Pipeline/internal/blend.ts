/** Sums of weights. */
import { Shape, type Tensor } from "../../Tensor/index.ts"
import { demand } from "./config.ts"

type Arrays = Readonly<Record<string, Tensor.HostArray>>

const show = (arrays: Readonly<Record<string, { readonly shape: Shape.Shape }>>, path: string) =>
  Object.hasOwn(arrays, path) ? Shape.show(arrays[path].shape) : "missing"

/** A sum of weights of updates, each times a factor, in float64. Its `add` throws `TrainError` about `what` for other networks' than the first. */
export const make = (what: string) => {
  const sums: Record<string, { readonly shape: Shape.Shape; readonly sum: Float64Array }> = {}
  let first: number | undefined
  return {
    add: (weights: Arrays, update: number, factor: number): void => {
      for (const path of Object.keys(first === undefined ? weights : { ...sums, ...weights })) {
        if (first === undefined) {
          const { shape } = weights[path]
          sums[path] = { shape, sum: new Float64Array(Shape.size(shape)) }
        }
        const [one, two] = [show(sums, path), show(weights, path)]
        demand(
          one === two,
          what,
          `"${path}" is ${one} at update ${first}, but ${two} at update ${update}; snapshots must be of one network`
        )
        const [{ sum }, { data }] = [sums[path], weights[path]]
        for (let i = 0; i < sum.length; i++) sum[i] += factor * Number(data[i])
      }
      first ??= update
    },
    weights: (): Record<string, Tensor.HostArray<Shape.Shape, "float32">> =>
      Object.fromEntries(
        Object.entries(sums).map(([path, { shape, sum }]) => [
          path,
          { dtype: "float32", shape, data: Float32Array.from(sum) }
        ])
      )
  }
}
