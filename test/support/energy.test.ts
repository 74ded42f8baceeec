import { expect, it } from "vitest"
import { HostRandom } from "../../src/Tensor/index.ts"
import * as Energy from "./energy.ts"

const normal = (seed: number, count: number) =>
  HostRandom.normal(HostRandom.key(seed), [count, 2], { dtype: "float64" }).data

it("is 0 from a set to itself, twice the distance between two points, and symmetric", () => {
  const [a, b] = [normal(1, 50), normal(2, 70)]
  expect(Energy.distance(a, a)).toBeCloseTo(0, 12)
  expect(Energy.distance([0, 0], [3, 4])).toBeCloseTo(10, 12)
  expect(Energy.distance(a, b)).toBeCloseTo(Energy.distance(b, a), 12)
  expect(Energy.distance([0, 0, 0], [1, 2, 2], 3)).toBeCloseTo(6, 12)
})

it("of two sets from one distribution is as it should be, and more from another", () => {
  const count = 500
  const distances = Array.from({ length: 20 }, (_, i) =>
    Energy.distance(normal(2 * i, count), normal(2 * i + 1, count))
  )
  // E‖X − X′‖ = √π for standard normal points in the plane
  const expected = (2 / count) * Math.sqrt(Math.PI)
  const found = distances.reduce((a, b) => a + b) / 20
  expect(found / expected).toBeGreaterThan(0.75)
  expect(found / expected).toBeLessThan(1.3)
  const moved = normal(3, count).map((each) => each + 0.3)
  expect(Energy.distance(moved, normal(4, count)) / expected).toBeGreaterThan(5)
})
