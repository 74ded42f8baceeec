import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Integration from "../../src/Solver/Integration.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Reversible from "../../src/Solver/Reversible.ts"
import * as RungeKutta from "../../src/Solver/RungeKutta.ts"
import type { RightHandSide } from "../../src/Solver/Stepper.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

const tableaus = Object.values(Tableau).filter(
  (each): each is Tableau.Tableau => typeof each === "object" && "order" in each
)
const plain = [Reversible.asynchronousLeapfrog, Reversible.reversibleHeun]
const methods = [...plain, ...tableaus.map((tableau) => Reversible.coupled(tableau))]
const named = methods.map((method) => [method.name, method] as const)

/** Turning at a speed that changes, so that times matter. */
const turn: RightHandSide<Float64Array, number> = (t, y) =>
  Float64Array.of(-(1 + t) * y[1], (1 + t) * y[0])
const turned = (t: number) => Float64Array.of(Math.cos(t + (t * t) / 2), Math.sin(t + (t * t) / 2))

/** Turning, faster the further right, so that it is not linear: y₀ = tanh, y₁ = 1/cosh. */
const slide: RightHandSide<Float64Array, number> = (_, y) =>
  Float64Array.of(y[1] * y[1], -y[0] * y[1])
const slid = (t: number) => Float64Array.of(Math.tanh(t), 1 / Math.cosh(t))

const decay: RightHandSide<Float64Array, number> = (_, y) => y.map((each) => -each)
const decayed = (t: number) => Float64Array.of(Math.exp(-t), 2 * Math.exp(-t))

const problems = [
  ["linear", decay, decayed],
  ["nonlinear", slide, slid],
  ["non-autonomous", turn, turned]
] as const

const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (each, i) => Math.abs(each - b[i])))

const grids = (count: number): Readonly<Record<string, Fixed.Grid>> => ({
  even: { from: 0, to: 1.6, count },
  uneven: {
    times: Array.from({ length: count + 1 }, (_, i) => (1.6 * (i + (i % 2) / 3)) / count)
  }
})

const orderOf = (
  method: Method.Method,
  [name, f, exact]: (typeof problems)[number],
  kind: string
): number => {
  const stepper = Method.bind(method, Carrier.float64Array, f)
  const error = (count: number) =>
    distance(Fixed.run(stepper, exact(0), grids(count)[kind]).y, exact(1.6))
  // order 8 comes to rounding with few steps, and sooner on the linear problem
  const few = name === "linear" ? 6 : 12
  const count = method.order > 6 ? few : method.order > 4 ? 20 : method.order > 2 ? 64 : 512
  return Math.log2(error(count) / error(2 * count))
}

describe("reversible methods", () => {
  it.each(named)("%s converges with its order", (_, method) => {
    for (const problem of problems) {
      for (const kind of ["even", "uneven"]) {
        expect(orderOf(method, problem, kind), `${problem[0]}, ${kind}`).toBeGreaterThan(
          method.order - 0.2
        )
      }
    }
  })

  it("have their order, no more", () => {
    for (const kind of ["even", "uneven"]) {
      for (const problem of problems) {
        for (const method of plain) expect(orderOf(method, problem, kind)).toBeLessThan(2.2)
      }
      expect(orderOf(Reversible.coupled(Tableau.dopri5), problems[0], kind)).toBeLessThan(5.2)
      expect(orderOf(Reversible.coupled(Tableau.rk4), problems[0], kind)).toBeLessThan(4.2)
    }
  })

  it.each(named)("%s has an interpolant as accurate as it says", (_, method) => {
    for (const [name, f, exact] of problems) {
      const stepper = Method.bind(method, Carrier.float64Array, f).dense()
      const worst = (count: number): number => {
        const h = 1 / count
        let worst = 0
        let now: { readonly y: Float64Array; readonly memory: unknown } = {
          y: exact(0),
          memory: stepper.start(0, exact(0))
        }
        for (let i = 0; i < count; i++) {
          const { y, memory, dense } = stepper.step(i * h, h, now.y, now.memory)
          const at = (theta: number) =>
            stepper.interpolate({ theta, h, before: now.y, after: y, dense })
          expect(distance(at(0), now.y)).toBe(0)
          expect(distance(at(1), y)).toBeLessThan(1e-15)
          worst = Math.max(
            worst,
            ...[0.2, 0.4, 0.6, 0.8].map((theta) => distance(at(theta), exact((i + theta) * h)))
          )
          now = { y, memory }
        }
        return worst
      }
      // what the steps themselves missed by the end counts, too: it is of the method's order
      expect(Math.log2(worst(40) / worst(80)), name).toBeGreaterThan(stepper.denseOrder - 0.2)
    }
  })

  it.each(named)("%s counts its evaluations", (_, method) => {
    let count = 0
    const stepper = Method.bind(method, Carrier.number, (_, y: number) => {
      count += 1
      return -y
    })
    const { evaluations } = Fixed.run(stepper.dense(), 1, { from: 0, to: 1, count: 5 })
    expect(count).toBe(evaluations)
  })

  it("take one evaluation a step, or twice those of the tableau", () => {
    const cost = (method: Method.Method) =>
      Method.bind(method, Carrier.number, (_, y) => y).evaluations.step
    expect(plain.map(cost)).toEqual([1, 1])
    expect(cost(Reversible.coupled(Tableau.rk4))).toBe(8)
    // the error estimate's stage is not needed on the way back
    expect(cost(Reversible.coupled(Tableau.dopri5))).toBe(13)
  })
})

describe("steps", () => {
  it("of the asynchronous leapfrog and reversible Heun equal their formulas", () => {
    const f = (t: number, y: number) => t - y * y
    const [t, h, y] = [0.3, 0.1, 1.2]
    const [w, z] = [-1, 1.25]
    const leapfrog = Method.bind(Reversible.asynchronousLeapfrog, Carrier.number, f)
    const u = f(0.35, 1.2 + 0.05 * w)
    expect(leapfrog.step(t, h, y, { w })).toMatchObject({
      y: expect.closeTo(y + h * u, 14),
      memory: { w: expect.closeTo(2 * u - w, 14) }
    })
    const heun = Method.bind(Reversible.reversibleHeun, Carrier.number, f)
    const g = f(t, z)
    const next = 2 * y - z + h * g
    expect(heun.step(t, h, y, { z, g })).toMatchObject({
      y: expect.closeTo(y + (h / 2) * (g + f(0.4, next)), 14),
      memory: { z: expect.closeTo(next, 14), g: expect.closeTo(f(0.4, next), 14) }
    })
  })

  it("of coupled methods are made of the tableau's", () => {
    const f = (t: number, y: number) => t - y * y
    const [t, h, y, z] = [0.3, 0.1, 1.2, 1.25]
    const stepper = Method.bind(
      Reversible.coupled(Tableau.bosh3, { coupling: 0.9 }),
      Carrier.number,
      f
    )
    const taken = stepper.step(t, h, y, { z })
    const ahead = RungeKutta.step(Tableau.bosh3, Carrier.number, f, t, h, z)
    const after = 0.9 * y + 0.1 * z + (ahead.y - z)
    expect(taken.y).toBeCloseTo(after, 14)
    expect(taken.error).toBe(ahead.error)
    const behind = RungeKutta.step(Tableau.bosh3, Carrier.number, f, t + h, -h, after).y - after
    expect(taken.memory.z).toBeCloseTo(z - behind, 14)
  })

  it("of coupled methods ask for a coupling that makes sense", () => {
    for (const coupling of [0, 1.1, -1, Number.NaN]) {
      expect(() => Reversible.coupled(Tableau.rk4, { coupling })).toThrow("above 0 and at most 1")
    }
  })
})

/** A pendulum with a force that depends on time. */
const pendulum: RightHandSide<Float64Array, number> = (t, y) =>
  Float64Array.of(y[1], 0.1 * Math.cos(t) - Math.sin(y[0]))

const unit = fc.double({ min: -1, max: 1, noNaN: true })

describe("inverse steps", () => {
  it("undo steps, for random problems", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...methods, Reversible.coupled(Tableau.tsit5, { coupling: 0.5 })),
        fc.tuple(unit, unit, unit, unit, unit),
        fc.double({ min: -0.5, max: 0.5, noNaN: true }),
        (method, [y, t, a, b, c], h) => {
          const stepper = Method.bind(
            method,
            Carrier.number,
            (t, y) => a * Math.sin(t) + b * y + c * y * y
          )
          const memory = stepper.start(t, y)
          const taken = stepper.step(t, h, y, memory)
          const back = stepper.inverse?.(t, h, taken.y, taken.memory)
          expect(Math.abs((back?.y ?? Number.NaN) - y)).toBeLessThan(1e-12)
          expect(Object.keys(back?.memory)).toEqual(Object.keys(memory))
          for (const [key, value] of Object.entries(memory)) {
            expect(Math.abs(back?.memory[key] - (value as number))).toBeLessThan(1e-12)
          }
        }
      )
    )
  })

  const returned = (method: Method.Method) => {
    const stepper = Method.bind(method, Carrier.float64Array, pendulum)
    const start: Float64Array = Float64Array.of(1, 0.3)
    const [h, count] = [0.01, 3000]
    let now: { readonly y: Float64Array; readonly memory: unknown } = {
      y: start,
      memory: stepper.start(0, start)
    }
    for (let i = 0; i < count; i++) now = stepper.step(i * h, h, now.y, now.memory)
    expect(distance(now.y, start)).toBeGreaterThan(0.1)
    for (let i = count - 1; i >= 0; i--) {
      now = stepper.inverse?.(i * h, h, now.y, now.memory) ?? now
    }
    return distance(now.y, start)
  }

  it.each(named)("of %s lead back over thousands of steps", (_, method) => {
    expect(returned(method)).toBeLessThan(1e-12)
  })

  it("enlarge rounding errors as the coupling says", () => {
    const loose = returned(Reversible.coupled(Tableau.rk4, { coupling: 0.995 }))
    expect(loose).toBeGreaterThan(1e-12)
    expect(loose).toBeLessThan((1e-16 * 0.995 ** -3000) / 0.005)
  })
})

describe("stability", () => {
  const end = (method: Method.Method, a: number, h: number, count: number) =>
    Math.hypot(
      ...Fixed.run(
        Method.bind(method, Carrier.float64Array, (_, y: Float64Array) =>
          a < 0 ? y.map((each) => a * each) : Float64Array.of(-a * y[1], a * y[0])
        ),
        Float64Array.of(1, 0),
        { from: 0, to: h * count, count }
      ).y
    )

  it("of the two without damping ends beside the imaginary axis", () => {
    for (const method of plain) {
      expect(end(method, 0.99, 1, 1000)).toBeLessThan(10)
      expect(end(method, 1.05, 1, 1000)).toBeGreaterThan(1e10)
      expect(end(method, -1, 0.1, 1000)).toBeGreaterThan(1e10)
    }
  })

  it("of coupled methods reaches further with a smaller coupling", () => {
    const coupled = (coupling: number) => Reversible.coupled(Tableau.rk4, { coupling })
    expect(end(coupled(1), -1, 0.5, 400)).toBeGreaterThan(1)
    expect(end(coupled(0.65), -1, 0.5, 400)).toBeGreaterThan(1)
    expect(end(coupled(0.55), -1, 0.5, 400)).toBeLessThan(1e-10)
  })
})

describe("step control", () => {
  it.each([...plain, Reversible.coupled(Tableau.bosh3), Reversible.coupled(Tableau.dopri5)])(
    "is there for $name",
    (method) => {
      const stepper = Method.bind(method, Carrier.float64Array, turn)
      const controller = (tolerance: number) =>
        Controller.pi({ absolute: tolerance, relative: tolerance })
      const [rough, fine] = [1e-3, 1e-5].map((tolerance) =>
        Effect.runSync(
          Integration.solveDense(stepper, turned(0), {
            from: 0,
            to: 3,
            steps: controller(tolerance)
          })
        )
      )
      expect(distance(fine.y, turned(3))).toBeLessThan(1e-2)
      expect(distance(fine.y, turned(3))).toBeLessThan(distance(rough.y, turned(3)) / 5)
      expect(distance(fine.at(1.3), turned(1.3))).toBeLessThan(1e-2)
    }
  )
})

describe("carriers", () => {
  const evaluate = <T>(tree: T) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const device = yield* Device.Device
        return yield* device.evaluate(tree)
      }).pipe(Effect.provide(Device.layerReference()))
    )

  it.each(named)("agree about %s, there and back in scans on a device", async (_, method) => {
    const start = [1.5, -0.25]
    const grid = { from: 0.3, to: 1.3, count: 10 }
    const numbers = start.map(
      (y) =>
        Fixed.run(
          Method.bind(method, Carrier.number, (t, y) => y * Math.cos(t) - y * y),
          y,
          grid
        ).y
    )
    const array = Fixed.run(
      Method.bind(method, Carrier.float64Array, (t, y) =>
        y.map((each) => each * Math.cos(t) - each * each)
      ),
      Float64Array.from(start),
      grid
    ).y
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64" })
    const stepper = Method.bind(method, carrier, (t, y) =>
      Tensor.sub(Tensor.mul(y as F64, Tensor.cos(t as F64)), Tensor.square(y as F64))
    )
    const y: Tensor.Any = Tensor.constant(start, { dtype: "float64" })
    const end = Fixed.run(stepper, y, grid)
    const size = carrier.scalar(0.1)
    const [back] = carrier.repeat(
      { y: end.y, memory: end.memory },
      Array.from({ length: 10 }, (_, i) => [1.2 - i * 0.1]),
      (now, [t]) => [stepper.inverse?.(t, size, now.y, now.memory) ?? now, {}]
    )
    const found = await evaluate({ end: end.y, back: back.y })
    numbers.forEach((wanted, i) => {
      expect(array[i]).toBeCloseTo(wanted, 13)
      expect(Number(found.end.data[i])).toBeCloseTo(wanted, 13)
      expect(Number(found.back.data[i])).toBeCloseTo(start[i], 12)
    })
  })
})
