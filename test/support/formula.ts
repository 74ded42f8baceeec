/** Weights by a formula that other libraries can follow, and gradients in two numbers each, as fixtures have them. */
import { Shape, Tensor } from "../../src/Tensor/index.ts"

/**
 * Element i (flat, from 0) of parameter k (in the order given, from 0): s = sin(0.7 i + k + 1); 1 + 0.1 s where the name has "norm"
 * and ends in "weight", else 0.15 s.
 */
export const formula = <D extends "float64" | "float32">(
  parameters: ReadonlyArray<readonly [name: string, shape: Shape.Shape]>,
  dtype: D
): Record<string, Tensor.HostArray<Shape.Shape, D>> =>
  Object.fromEntries(
    parameters.map(([name, shape], k) => {
      const scale = name.includes("norm") && name.endsWith("weight")
      const data = Array.from({ length: Shape.size(shape) }, (_, i) => {
        const s = Math.sin(0.7 * i + k + 1)
        return scale ? 1 + 0.1 * s : 0.15 * s
      })
      return [name, Tensor.hostArray(data, { shape, dtype }) as never]
    })
  )

type Numbers = Float64Array | Float32Array

/** Euclidean. */
export const normOf = (gradient: Numbers): number => {
  let sum = 0
  for (const each of gradient) sum += each * each
  return Math.sqrt(sum)
}

/** The sum of gradient[i] cos(i), which the order of elements matters to. */
export const slopeOf = (gradient: Numbers): number => {
  let sum = 0
  gradient.forEach((each, i) => {
    sum += each * Math.cos(i)
  })
  return sum
}
