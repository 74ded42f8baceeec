import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Multistep from "../../src/Solver/Multistep.ts"
import type { RightHandSide } from "../../src/Solver/Stepper.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

const orders = [1, 2, 3, 4, 5]
const methods = orders.flatMap((order) => [
  Multistep.adamsBashforth(order),
  Multistep.adamsBashforthMoulton(order)
])
const named = methods.map((method) => [method.name, method] as const)

const problems: ReadonlyArray<
  readonly [name: string, f: RightHandSide<number, number>, exact: (t: number) => number]
> = [
  ["linear", (_, y) => -y, (t) => Math.exp(-t)],
  ["nonlinear", (_, y) => -y * y, (t) => 1 / (1 + t)],
  ["non-autonomous", (t, y) => y * Math.cos(t), (t) => Math.exp(Math.sin(t))]
]

/** From 0 to 1.6: of one size, smoothly stretched, and by turns short and long. */
const grids: Readonly<Record<string, (count: number) => Fixed.Grid>> = {
  uniform: (count) => ({ from: 0, to: 1.6, count }),
  stretched: (count) => ({
    times: Array.from({ length: count + 1 }, (_, i) => (0.8 * i) / count + 0.8 * (i / count) ** 2)
  }),
  uneven: (count) => ({
    times: Array.from({ length: count + 1 }, (_, i) => (1.6 * (i + (i % 2) / 3)) / count)
  })
}

const end = (method: Method.Any, f: RightHandSide<number, number>, grid: Fixed.Grid) =>
  Fixed.run(Method.bind(method, Carrier.number, f), 1, grid).y

const evaluate = <T>(tree: T) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const device = yield* Device.Device
      return yield* device.evaluate(tree)
    }).pipe(Effect.provide(Device.layerReference()))
  )

describe("Adams methods", () => {
  it.each(named)("%s converges with its order on any grid", (_, method) => {
    for (const [name, f, exact] of problems) {
      for (const [kind, grid] of Object.entries(grids)) {
        const error = (count: number) => Math.abs(end(method, f, grid(count)) - exact(1.6))
        const count = [640, 640, 320, 160, 120][method.order - 1]
        const order = Math.log2(error(count) / error(2 * count))
        expect.soft(Math.abs(order - method.order), `${name}, ${kind}: ${order}`).toBeLessThan(0.2)
      }
    }
  })

  it("have the classical weights where all steps have one size", () => {
    // y' = Σ fᵢ at one point each: the step of size 1 from 0 gives the weight of that point
    const weights = (method: Method.Any, count: number, ahead = 0) =>
      Array.from({ length: count }, (_, i) => {
        const f = (t: number) => (t === ahead - i ? 1 : 0)
        const values = Array.from({ length: method.order - 1 }, (_, j) => f(-1 - j))
        const sizes = values.map(() => 1)
        return Method.bind(method, Carrier.number, f).step(0, 1, 0, { values, sizes }).y
      })
    const adams = Multistep.adamsBashforth
    const moulton = Multistep.adamsBashforthMoulton
    const classical: ReadonlyArray<
      readonly [ReadonlyArray<number>, number, ReadonlyArray<number>]
    > = [
      [weights(adams(2), 2), 2, [3, -1]],
      [weights(adams(3), 3), 12, [23, -16, 5]],
      [weights(adams(4), 4), 24, [55, -59, 37, -9]],
      [weights(adams(5), 5), 720, [1901, -2774, 2616, -1274, 251]],
      [weights(moulton(1), 1, 1), 1, [1]],
      [weights(moulton(2), 2, 1), 2, [1, 1]],
      [weights(moulton(3), 3, 1), 12, [5, 8, -1]],
      [weights(moulton(4), 4, 1), 24, [9, 19, -5, 1]],
      [weights(moulton(5), 5, 1), 720, [251, 646, -264, 106, -19]]
    ]
    for (const [found, divisor, expected] of classical) {
      found.forEach((weight, i) => {
        expect(weight).toBeCloseTo(expected[i] / divisor, 14)
      })
    }
  })

  it("are exact for polynomials up to their order, on any grid", () => {
    const unit = { min: -1, max: 1, noNaN: true }
    fc.assert(
      fc.property(
        fc.constantFrom(...methods),
        fc.array(fc.double(unit), { minLength: 6, maxLength: 6 }),
        fc.array(fc.double({ min: 0.1, max: 0.4, noNaN: true }), { minLength: 1, maxLength: 12 }),
        fc.boolean(),
        (method, coefficients, sizes, backwards) => {
          const used = coefficients.slice(0, method.order + 1)
          const exact = (t: number) => used.reduceRight((sum, each) => sum * t + each, 0)
          const rate = (t: number) =>
            used.reduceRight((sum, each, k) => (k === 0 ? sum : sum * t + k * each), 0)
          const sign = backwards ? -1 : 1
          const times = [0]
          for (const size of sizes) times.push(times[times.length - 1] + sign * size)
          const stepper = Method.bind(method, Carrier.number, rate)
          const { y } = Fixed.run(stepper, exact(0), { times })
          expect(Math.abs(y - exact(times[times.length - 1]))).toBeLessThan(2e-11)
        }
      ),
      { numRuns: 300 }
    )
  })

  it("keep a polynomial solution of an equation in y, once they know its past", () => {
    for (const method of methods) {
      const exact = (t: number) => 1 - t + t ** method.order
      const slope = (t: number) => -1 + method.order * t ** (method.order - 1)
      const f = (t: number, y: number) => slope(t) + Math.cos(t) * (y - exact(t))
      const stepper = Method.bind(method, Carrier.number, f)
      const times = [-0.9, -0.8, -0.55, -0.5, -0.2, 0, 0.3, 0.35, 0.6]
      const past = times.slice(6 - method.order, 5).reverse()
      const later = times.slice(7 - method.order, 6).reverse()
      let memory = { values: past.map(slope), sizes: past.map((t, i) => later[i] - t) }
      let y = exact(0)
      for (let i = 5; i < times.length - 1; i++) {
        const step = stepper.step(times[i], times[i + 1] - times[i], y, memory)
        ;({ y, memory } = step)
        expect(y).toBeCloseTo(exact(times[i + 1]), 12)
      }
    }
  })

  it("are the same on every carrier, in a scan and unrolled", async () => {
    const start = [1.5, -0.25]
    const uniform: Fixed.Grid = { from: 0, to: 1, count: 9 }
    const uneven: Fixed.Grid = { times: [0, 0.1, 0.13, 0.3, 0.45, 0.5, 0.7, 0.72, 0.8, 1] }
    for (const method of methods) {
      for (const grid of [uniform, uneven]) {
        const swing = (t: number, y: number) => y * Math.cos(t) - y * y
        const numbers = start.map(
          (y) => Fixed.run(Method.bind(method, Carrier.number, swing), y, grid).y
        )
        const arrays = Method.bind(method, Carrier.float64Array, (t, y) =>
          y.map((each) => swing(t, each))
        )
        const array = Fixed.run(arrays, Float64Array.from(start), grid).y
        const tensors = (systems?: number) =>
          Method.bind(
            method,
            Carrier.tensor<Tensor.Any>({
              dtype: "float64",
              ...(systems === undefined ? {} : { systems })
            }),
            (t, y) =>
              Tensor.sub(Tensor.mul(y as F64, Tensor.cos(t as F64)), Tensor.square(y as F64))
          )
        const y = Tensor.constant(start, { dtype: "float64" })
        const results = await evaluate({
          scanned: Fixed.run(tensors(), y, grid).y,
          unrolled: Fixed.run(tensors(), y, grid, { unroll: true }).y,
          apart: Fixed.run(tensors(2), y, grid).y,
          dense: Fixed.run(tensors().dense(), y, grid).y
        })
        start.forEach((_, i) => {
          expect(array[i]).toBeCloseTo(numbers[i], 13)
          for (const { data } of Object.values(results)) {
            expect(Number(data[i])).toBeCloseTo(numbers[i], 13)
          }
        })
      }
    }
  })

  it("count their evaluations truthfully", () => {
    for (const method of methods) {
      for (const count of [1, 3, 10]) {
        let calls = 0
        const stepper = Method.bind(method, Carrier.number, (t, y) => {
          calls++
          return y * Math.cos(t)
        })
        for (const each of [stepper, stepper.dense()]) {
          calls = 0
          const { evaluations } = Fixed.run(each, 1, { from: 0, to: 1, count })
          expect(evaluations).toBe(calls)
        }
      }
    }
    const { evaluations } = Method.bind(Multistep.adamsBashforth(4), Carrier.number, (_, y) => y)
    expect(evaluations).toEqual({ start: 0, step: 1 })
  })

  it("have interpolants through both ends, as accurate as they say", () => {
    for (const method of methods) {
      const stepper = Method.bind(method, Carrier.number, problems[2][1]).dense()
      const [, , exact] = problems[2]
      const worst = (count: number) => {
        const { steps } = Fixed.run(
          stepper,
          1,
          { from: 0, to: 1.6, count },
          {
            each: ({ t, h, before, step }) => {
              const at = (theta: number) =>
                stepper.interpolate({ theta, h, before, after: step.y, dense: step.dense })
              expect(at(0)).toBeCloseTo(before, 14)
              expect(at(1)).toBeCloseTo(step.y, 14)
              return Math.max(
                ...[0.2, 0.5, 0.7].map((theta) => Math.abs(at(theta) - exact(t + theta * h)))
              )
            }
          }
        )
        return Math.max(...(steps as ReadonlyArray<number>))
      }
      const order = Math.log2(worst(160) / worst(320))
      expect(order).toBeGreaterThan(stepper.denseOrder - 0.2)
    }
  })

  it("exist for orders 1 to 5 only", () => {
    for (const order of [0, 6, 2.5, Number.NaN]) {
      expect(() => Multistep.adamsBashforth(order)).toThrow("a whole number from 1 to 5")
      expect(() => Multistep.adamsBashforthMoulton(order)).toThrow("a whole number from 1 to 5")
    }
  })
})
