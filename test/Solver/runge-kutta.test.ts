import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Adaptive from "../../src/Solver/Adaptive.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as RungeKutta from "../../src/Solver/RungeKutta.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const tableaus = Object.values(Tableau).filter(
  (each): each is Tableau.Tableau => typeof each === "object" && "order" in each
)

type F32 = Tensor.Tensor<ReadonlyArray<number>, "float32">
type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

// y' = y cos t: its nodes matter, unlike those of an autonomous problem
const swing = (t: number, y: number) => y * Math.cos(t)

/** The error of steps of one size from 0 to `to`. */
const missedBy = (tableau: Tableau.Tableau, steps: number, to: number): number => {
  const h = to / steps
  let y = 1
  for (let i = 0; i < steps; i++) y = RungeKutta.step(tableau, Carrier.number, swing, i * h, h, y).y
  return Math.abs(y - Math.exp(Math.sin(to)))
}

describe("tableaus", () => {
  it("are all here", () => {
    expect(tableaus.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "Euler",
        "midpoint",
        "Heun",
        "Ralston",
        "Heun 3",
        "RK4",
        "3/8 rule",
        "SSPRK33",
        "Fehlberg 2(1)",
        "adaptive Heun",
        "Bogacki–Shampine 3(2)",
        "Dormand–Prince 5(4)",
        "Tsitouras 5(4)",
        "Dormand–Prince 8(5,3)"
      ])
    )
  })

  it.each(tableaus.map((each) => [each.name, each] as const))(
    "%s converges with its order",
    (_, tableau) => {
      // errors small enough to show the order, and well above rounding
      const [to, steps] = tableau.order > 5 ? [4, 16] : tableau.order > 4 ? [1, 8] : [1, 32]
      const order = Math.log2(missedBy(tableau, steps, to) / missedBy(tableau, 2 * steps, to))
      expect(order).toBeGreaterThan(tableau.order - 0.3)
    }
  )

  it("of one's own are checked", () => {
    const third = { order: 3, a: [[1 / 2], [-1, 2]], b: [1 / 6, 2 / 3, 1 / 6] }
    expect(Tableau.make(third).c).toEqual([0, 1 / 2, 1])
    expect(() => Tableau.make({ ...third, order: 4 })).toThrow("is not of order 4")
    expect(() => Tableau.make({ ...third, c: [0, 1 / 3, 1] })).toThrow("add up to 0.5")
    expect(() => Tableau.make({ ...third, b: [1 / 6, 1 / 6, 2 / 3] })).toThrow(
      "the condition of the tree"
    )
    expect(() => Tableau.make({ ...third, a: [[1 / 2]] })).toThrow("2 rows")
    expect(() => Tableau.make({ ...third, b: [1 / 6, Number.NaN, 1 / 6] })).toThrow("gives NaN")
    expect(() => Tableau.make({ ...third, a: [[1 / 2], [-1, Number.NaN]] })).toThrow("to NaN")
    // no conditions at all
    for (const order of [0, -1, 2.5, Number.NaN]) {
      expect(() => Tableau.make({ ...third, order })).toThrow("whole number above 0")
    }
  })

  it("find out whether the last stage is the next one's first", () => {
    expect(tableaus.filter((each) => each.firstSameAsLast).map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "Bogacki–Shampine 3(2)",
        "Dormand–Prince 5(4)",
        "Tsitouras 5(4)",
        "Dormand–Prince 8(5,3)"
      ])
    )
    expect(Tableau.rk4.firstSameAsLast).toBe(false)
  })
})

describe("steps", () => {
  it("are the same on every carrier", async () => {
    const field = (t: number) => Math.cos(t)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...tableaus),
        fc.double({ min: -2, max: 2, noNaN: true }),
        fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        async (tableau, t, h) => {
          const y = [1.5, -0.25]
          const numbers = y.map(
            (each) => RungeKutta.step(tableau, Carrier.number, (t, y) => y * field(t), t, h, each).y
          )
          const array = RungeKutta.step(
            tableau,
            Carrier.float64Array,
            (t, y) => y.map((each) => each * field(t)),
            t,
            h,
            Float64Array.from(y)
          ).y
          const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64" })
          const expression = RungeKutta.step(
            tableau,
            carrier,
            (t, y) => Tensor.mul(y as F64, Tensor.cos(t as F64)),
            Tensor.scalar(t, "float64"),
            h,
            Tensor.constant(y, { dtype: "float64" })
          ).y
          const { data } = await Effect.runPromise(
            Effect.gen(function* () {
              const device = yield* Device.Device
              return yield* device.evaluate(expression)
            }).pipe(Effect.provide(Device.layerReference()))
          )
          y.forEach((_, i) => {
            expect(array[i]).toBeCloseTo(numbers[i], 13)
            expect(Number(data[i])).toBeCloseTo(numbers[i], 13)
          })
        }
      ),
      { numRuns: 30 }
    )
  })
})

describe("interpolants", () => {
  it("pass through both ends, and are as accurate as they say", () => {
    for (const tableau of tableaus) {
      const stepper = RungeKutta.stepper(tableau, Carrier.number, swing, { dense: true })
      const missed = (t: number, h: number) => {
        const before = Math.exp(Math.sin(t))
        const { y, dense } = stepper.step(t, h, before, stepper.start(t, before))
        const at = (theta: number) => stepper.interpolate({ theta, h, before, after: y, dense })
        expect(at(0)).toBeCloseTo(before, 14)
        expect(at(1)).toBeCloseTo(y, 14)
        return Math.max(
          ...[0.2, 0.4, 0.6, 0.8].map((theta) =>
            Math.abs(at(theta) - Math.exp(Math.sin(t + theta * h)))
          )
        )
      }
      const worst = (h: number) => Math.max(...[0.1, 0.9, 1.7, 2.6, 4].map((t) => missed(t, h)))
      const h = stepper.denseOrder > 4 ? 0.4 : 0.1
      const order = Math.log2(worst(h) / worst(h / 2)) - 1
      expect(order, tableau.name).toBeGreaterThan(stepper.denseOrder - 0.5)
    }
  })

  it("keep both ends exact in single precision", async () => {
    const stepper = RungeKutta.stepper(
      Tableau.dopri8,
      Carrier.tensor<Tensor.Any>({ dtype: "float32" }),
      (t, y) => Tensor.mul(y as F32, Tensor.cos(t as F32)),
      { dense: true }
    )
    const [t, before] = [0.3, 1.2].map((each) => Tensor.scalar(each, "float32"))
    const { y: after, dense } = stepper.step(t, 1, before, stepper.start(t, before))
    const theta = Tensor.scalar(1, "float32")
    const ends = await Effect.runPromise(
      Effect.gen(function* () {
        const device = yield* Device.Device
        const last = stepper.interpolate({ theta, h: 1, before, after, dense })
        return yield* device.evaluate({ after, last })
      }).pipe(Effect.provide(Device.layerReference()))
    )
    expect(Number(ends.last.data[0])).toBeCloseTo(Number(ends.after.data[0]), 6)
  })
})

const circle = (tableau: Tableau.Tableau, tolerance: number, to = 10) => {
  let evaluations = 0
  const f = (_: number, y: Float64Array) => {
    evaluations += 1
    return Float64Array.of(y[1], -y[0])
  }
  const y = Float64Array.of(0, 1)
  const controller = Controller.make({ absolute: tolerance, relative: tolerance })
  const problem = { from: 0, to, controller }
  const initialStep = Adaptive.initialStep(Carrier.float64Array, f, y, problem, tableau.order)
  const end = Adaptive.run(RungeKutta.stepper(tableau, Carrier.float64Array, f), y, {
    ...problem,
    initialStep
  })
  return {
    end,
    evaluations,
    error: Math.max(Math.abs(end.y[0] - Math.sin(to)), Math.abs(end.y[1] - Math.cos(to)))
  }
}

describe("step control", () => {
  it("is there for every tableau with an embedded method, also backwards", () => {
    for (const tableau of tableaus.filter((each) => each.embedded !== undefined)) {
      for (const to of [3, -3])
        expect(circle(tableau, 1e-5, to).error, tableau.name).toBeLessThan(1e-2)
    }
    expect(() => circle(Tableau.rk4, 1e-3)).toThrow("estimates no error")
  })

  const blowUp = (controller: Controller.Controller, maximumSteps?: number) => {
    const stepper = RungeKutta.stepper(Tableau.dopri5, Carrier.number, (_, y) => y * y)
    return Adaptive.run(stepper, 1, {
      from: 0,
      to: 2,
      controller,
      initialStep: 0.01,
      ...(maximumSteps === undefined ? {} : { maximumSteps })
    })
  }

  it("says why it could not go on", () => {
    const tolerance = { absolute: 1e-6, relative: 1e-6 }
    // y' = y² is at infinity when t is 1
    const stuck = blowUp(Controller.make(tolerance))
    expect([Adaptive.status.minimumStep, Adaptive.status.nonFinite]).toContain(stuck.status)
    expect(stuck.t).toBeCloseTo(1, 4)
    expect(Number.isFinite(stuck.y)).toBe(true)
    expect(blowUp(Controller.make({ ...tolerance, minimumStep: 1e-3 })).status).toBe(
      Adaptive.status.minimumStep
    )
    const short = blowUp(Controller.make(tolerance), 5)
    expect([short.status, short.accepted + short.rejected]).toEqual([
      Adaptive.status.maximumSteps,
      5
    ])
  })

  it("is done at once when there is nowhere to go", () => {
    const { end, evaluations } = circle(Tableau.dopri5, 1e-6, 0)
    expect([end.status, end.accepted]).toEqual([Adaptive.status.done, 0])
    expect(evaluations).toBeLessThanOrEqual(3)
  })

  it("refuses tolerances and factors that make no sense", () => {
    expect(() => Controller.make({ absolute: 0, relative: 0 })).toThrow("tolerances")
    expect(() => Controller.make({ absolute: Number.NaN, relative: 1 })).toThrow("tolerances")
    expect(() => Controller.make({ absolute: 1, relative: 0, growth: 0.5 })).toThrow("growth")
  })

  it.each([Tableau.tsit5, Tableau.dopri8])(
    "takes the same steps in one loop on the device, each system its own: $name",
    async (tableau) => {
      const tolerance = 1e-7
      const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: 2 })
      const rates = [1, 7]
      const rate = Tensor.constant(rates, { dtype: "float64" })
      const controller = Controller.pi({ absolute: tolerance, relative: tolerance })
      const stepper = RungeKutta.stepper(tableau, carrier, (t, y) =>
        Tensor.mul(y as F64, Tensor.mul(rate, Tensor.cos(Tensor.mul(t as F64, rate))))
      )
      const ends = await Effect.runPromise(
        Effect.gen(function* () {
          const device = yield* Device.Device
          const { t, y, accepted, rejected, status } = Adaptive.run(
            stepper,
            Tensor.ones([2], "float64") as Tensor.Any,
            {
              from: carrier.scalar(0),
              to: carrier.scalar(2),
              controller,
              initialStep: carrier.scalar(0.01)
            }
          )
          return yield* device.evaluate({ t, y, accepted, rejected, status })
        }).pipe(Effect.provide(Device.layerReference()))
      )
      rates.forEach((rate, i) => {
        const host = RungeKutta.stepper(
          tableau,
          Carrier.number,
          (t, y) => y * rate * Math.cos(t * rate)
        )
        const alone = Adaptive.run(host, 1, { from: 0, to: 2, controller, initialStep: 0.01 })
        const at = (each: { readonly data: ArrayLike<number | bigint> }) => Number(each.data[i])
        expect([at(ends.accepted), at(ends.rejected), at(ends.status)]).toEqual([
          alone.accepted,
          alone.rejected,
          alone.status
        ])
        expect(at(ends.y)).toBeCloseTo(alone.y, 10)
        expect(at(ends.y)).toBeCloseTo(Math.exp(Math.sin(2 * rate)), 5)
      })
      expect(ends.accepted.data[0]).not.toBe(ends.accepted.data[1])
    }
  )
})
