import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Integration from "../../src/Solver/Integration.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as SecondOrder from "../../src/Solver/SecondOrder.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

const methods = Object.values(SecondOrder).filter(
  (each): each is SecondOrder.Method => typeof each === "object" && "order" in each
)
const named = methods.map((method) => [method.name, method] as const)
const symplectic = named.filter(([, method]) => "drift" in method || method.symplectic)
const onlyFree = (method: SecondOrder.Method) => !("drift" in method) && method.v.a === undefined

interface Problem {
  readonly f: SecondOrder.Acceleration<number, number>
  readonly velocityFree: boolean
  readonly exact: (t: number) => SecondOrder.State<number>
}

const wave = (t: number) => {
  const x = Math.exp(Math.sin(t))
  return { x, v: Math.cos(t) * x }
}

const problems: Readonly<Record<string, Problem>> = {
  linear: {
    f: (_, x) => -x,
    velocityFree: true,
    exact: (t) => ({ x: Math.cos(t), v: -Math.sin(t) })
  },
  nonlinear: {
    f: (_, x) => 6 * x * x,
    velocityFree: true,
    exact: (t) => ({ x: (1 + t) ** -2, v: -2 * (1 + t) ** -3 })
  },
  "non-autonomous": {
    f: (t, x) => (Math.cos(t) ** 2 - Math.sin(t)) * x,
    velocityFree: true,
    exact: wave
  },
  "nonlinear, of v": {
    f: (_, x, v) => 2 * x * v,
    velocityFree: false,
    exact: (t) => ({ x: Math.tan(t / 2) / 2, v: 0.25 / Math.cos(t / 2) ** 2 })
  },
  "non-autonomous, of v": {
    f: (t, x, v) => Math.cos(t) * v - Math.sin(t) * x,
    velocityFree: false,
    exact: wave
  }
}

const distance = (a: SecondOrder.State<number>, b: SecondOrder.State<number>) =>
  Math.max(Math.abs(a.x - b.x), Math.abs(a.v - b.v))

/** To 1.6, in steps of one size, and in steps long and short by turns. */
const grids = (count: number): Readonly<Record<string, Fixed.Grid>> => ({
  even: { from: 0, to: 1.6, count },
  uneven: {
    times: Array.from({ length: count + 1 }, (_, i) => (1.6 * (i + (i % 2) / 3)) / count)
  }
})

const evaluate = <T>(tree: T) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const device = yield* Device.Device
      return yield* device.evaluate(tree)
    }).pipe(Effect.provide(Device.layerReference()))
  )

describe("second-order methods", () => {
  it("are all here", () => {
    expect(methods.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "symplectic Euler",
        "velocity Verlet",
        "Ruth 3",
        "Yoshida 4",
        "Yoshida 6",
        "Nyström 4"
      ])
    )
  })

  it.each(named)("%s converges with its order, also where f depends on v", (_, method) => {
    const count = method.order > 4 ? 16 : method.order > 2 ? 64 : 512
    for (const [name, { f, velocityFree, exact }] of Object.entries(problems)) {
      for (const told of [true, false]) {
        if ((told && !velocityFree) || (!told && onlyFree(method))) continue
        const stepper = SecondOrder.stepper(method, Carrier.number, f, { velocityFree: told })
        for (const kind of ["even", "uneven"]) {
          const error = (count: number) =>
            distance(Fixed.run(stepper, exact(0), grids(count)[kind]).y, exact(1.6))
          const order = Math.log2(error(count) / error(2 * count))
          expect(Math.abs(order - method.order), `${name}, ${kind}: ${order}`).toBeLessThan(0.2)
        }
      }
    }
  })

  it.each(named)("%s has an interpolant as accurate as it says", (_, method) => {
    for (const [name, { f, velocityFree, exact }] of Object.entries(problems)) {
      if (onlyFree(method) && !velocityFree) continue
      const stepper = SecondOrder.stepper(method, Carrier.number, f, { velocityFree }).dense()
      const missed = (t: number, h: number) => {
        const before = exact(t)
        const { y, dense } = stepper.step(t, h, before, stepper.start(t, before))
        const at = (theta: number) => stepper.interpolate({ theta, h, before, after: y, dense })
        expect(distance(at(0), before)).toBe(0)
        expect(distance(at(1), y)).toBeLessThan(1e-15)
        return Math.max(
          ...[0.2, 0.4, 0.6, 0.8].map((theta) => distance(at(theta), exact(t + theta * h)))
        )
      }
      const worst = (h: number) => Math.max(...[0.1, 0.5, 0.9].map((t) => missed(t, h)))
      const order = Math.log2(worst(0.01) / worst(0.005)) - 1
      expect(order, name).toBeGreaterThan(stepper.denseOrder - 0.2)
    }
  })

  it.each(named)("%s counts its evaluations", (_, method) => {
    for (const velocityFree of [true, false]) {
      if (!velocityFree && onlyFree(method)) continue
      let count = 0
      const f = (_: number, x: number) => {
        count += 1
        return -Math.sin(x)
      }
      const plain = SecondOrder.stepper(method, Carrier.number, f, { velocityFree })
      for (const stepper of [plain, plain.dense()]) {
        count = 0
        const { evaluations } = Fixed.run(stepper, { x: 1, v: 0 }, { from: 0, to: 1, count: 5 })
        expect(count).toBe(evaluations)
      }
      const y = { x: 1, v: 0 }
      expect(plain.stages?.(0, 0.1, y, plain.start(0, y)).every(({ v }) => v < 0)).toBe(true)
    }
  })

  it("evaluate once a step in velocity Verlet, and once a kick in compositions", () => {
    const step = (method: SecondOrder.Method, velocityFree: boolean) =>
      SecondOrder.stepper(method, Carrier.number, (_, x) => x, { velocityFree }).evaluations.step
    expect(step(SecondOrder.velocityVerlet, false)).toBe(1)
    expect(step(SecondOrder.yoshida4, true)).toBe(3)
    expect(step(SecondOrder.yoshida6, true)).toBe(7)
    expect(step(SecondOrder.nystrom43, true)).toBe(3)
  })

  it("that are for f independent of v alone say so", () => {
    expect(() => SecondOrder.stepper(SecondOrder.nystrom5, Carrier.number, (_, x) => x)).toThrow(
      "say velocityFree"
    )
  })
})

describe("methods of one's own", () => {
  it("are checked, by words for compositions", () => {
    const { drift, kick } = SecondOrder.yoshida4
    expect(() => SecondOrder.composition({ order: 5, drift, kick })).toThrow("is not of order 5")
    expect(() => SecondOrder.composition({ order: 1, drift: [1], kick: [0.9] })).toThrow(
      "the word K gives 0.9, not 1"
    )
    expect(() => SecondOrder.composition({ order: 2, drift: [1], kick: [1] })).toThrow("word DK")
    expect(() => SecondOrder.composition({ order: 1.5, drift: [1], kick: [1] })).toThrow(
      "whole number above 0"
    )
    expect(() => SecondOrder.composition({ order: 1, drift: [1], kick: [1, 0] })).toThrow(
      "1 drifts need as many kicks"
    )
    expect(() => SecondOrder.composition({ order: 1, drift: [Number.NaN], kick: [1] })).toThrow(
      "not of order 1"
    )
  })

  it("are checked, by trees for Nyström methods", () => {
    const { c, x, v } = SecondOrder.nystrom4
    expect(() => SecondOrder.nystrom({ order: 5, c, x, v })).toThrow("x is not of order 5")
    expect(() => SecondOrder.nystrom({ order: 4, c: [0, 1 / 2, 1 / 3, 1], x, v })).toThrow(
      "the tree [·]"
    )
    // Nyström's method of order 5 with any plausible coefficients for v is not one for f(t, x, v)
    const five = SecondOrder.nystrom5
    const a = five.c.slice(1).map((node, i) => [node, ...new Array<number>(i).fill(0)])
    expect(() => SecondOrder.nystrom({ ...five, v: { ...five.v, a } })).toThrow("is not of order")
    expect(() => SecondOrder.nystrom({ ...five, x: { ...five.x, a: [] } })).toThrow("3 rows")
    expect(() =>
      SecondOrder.nystrom({ order: 1, c: [0.5], x: { a: [], b: [0.5] }, v: { b: [1] } })
    ).toThrow("first node")
    const { embedded } = SecondOrder.nystrom43
    expect(() =>
      SecondOrder.nystrom({
        ...SecondOrder.nystrom43,
        ...(embedded && { embedded: { ...embedded, order: 4 } })
      })
    ).toThrow("is not of order 4")
  })

  // kick, drift, kick: the same method in both engines
  it("are the same as a composition and as a tableau", () => {
    const triple = 1 / (2 - Math.cbrt(2))
    const drift = [0, triple, 1 - 2 * triple, triple]
    const kick = drift.map((each, i) => (each + (drift[i + 1] ?? 0)) / 2)
    const composition = SecondOrder.composition({ order: 4, drift, kick })
    const c = drift.map((_, i) => drift.slice(0, i + 1).reduce((sum, each) => sum + each, 0))
    const tableau = SecondOrder.nystrom({
      order: 4,
      c,
      x: {
        a: c.slice(1).map((node, i) => kick.slice(0, i + 1).map((d, j) => d * (node - c[j]))),
        b: kick.map((d, j) => d * (1 - c[j]))
      },
      v: { b: kick }
    })
    expect([tableau.symplectic, tableau.symmetric, tableau.firstSameAsLast]).toEqual([
      true,
      true,
      true
    ])
    expect([SecondOrder.nystrom4.symplectic, SecondOrder.nystrom4.symmetric]).toEqual([
      false,
      false
    ])
    const { f, exact } = problems["non-autonomous"]
    const end = (method: SecondOrder.Method) =>
      Fixed.run(SecondOrder.stepper(method, Carrier.number, f, { velocityFree: true }), exact(0), {
        from: 0,
        to: 1,
        count: 10
      }).y
    expect(distance(end(composition), end(tableau))).toBeLessThan(1e-14)
  })
})

describe("the reduction to first order", () => {
  it("has v itself as x'", () => {
    const v = Float64Array.of(1)
    const f = (_: number, x: Float64Array) => x
    expect(SecondOrder.reduce(f)(0, { x: Float64Array.of(2), v }).x).toBe(v)
  })

  it("is the same as the direct method where both are one", () => {
    // RK4 as a Nyström method: its ā is a², its b̄ is ba
    const { a, b, c } = Tableau.rk4
    const square = [[], ...a, b].map((row) =>
      row.reduce<ReadonlyArray<number>>(
        (sum, each, k) => sum.map((s, j) => s + each * ((k === 0 ? [] : a[k - 1])[j] ?? 0)),
        new Array<number>(row.length).fill(0)
      )
    )
    const direct = SecondOrder.nystrom({
      order: 4,
      c,
      x: { a: square.slice(1, -1), b: square[square.length - 1] },
      v: { a, b }
    })
    for (const { f, exact } of Object.values(problems)) {
      const reduced = Method.bind(
        Tableau.rk4,
        SecondOrder.pair(Carrier.number),
        SecondOrder.reduce(f)
      )
      const grid = { from: 0, to: 1, count: 10 }
      expect(
        distance(
          Fixed.run(SecondOrder.stepper(direct, Carrier.number, f), exact(0), grid).y,
          Fixed.run(reduced, exact(0), grid).y
        )
      ).toBeLessThan(1e-14)
    }
  })
})

const energy = ({ x, v }: SecondOrder.State<number>) => (v * v) / 2 - Math.cos(x)

/** The largest deviation of a quantity in each of 10 stretches of a run of 10⁵ steps. */
const deviations = <V>(
  step: (t: number, y: V) => V,
  y: V,
  h: number,
  quantity: (y: V) => number
): ReadonlyArray<number> => {
  const wanted = quantity(y)
  let now = y
  return Array.from({ length: 10 }, (_, k) => {
    let worst = 0
    for (let i = 0; i < 10_000; i++) {
      now = step((10_000 * k + i) * h, now)
      worst = Math.max(worst, Math.abs(quantity(now) - wanted))
    }
    return worst
  })
}

const stepOf = <V>(
  method: SecondOrder.Method,
  carrier: Carrier.Carrier<V, number, boolean>,
  f: SecondOrder.Acceleration<V, number>,
  h: number,
  y: SecondOrder.State<V>
) => {
  const stepper = SecondOrder.stepper(method, carrier, f, { velocityFree: true })
  let memory = stepper.start(0, y)
  return (t: number, now: SecondOrder.State<V>) => {
    const taken = stepper.step(t, h, now, memory)
    memory = taken.memory
    return taken.y
  }
}

describe("over 10⁵ steps", () => {
  it.each(symplectic)("%s keeps the energy of oscillator and pendulum", (_, method) => {
    const start = { x: 1, v: 0.3 }
    const cases = [
      [(_: number, x: number) => -x, ({ x, v }: typeof start) => (x * x + v * v) / 2],
      [(_: number, x: number) => -Math.sin(x), energy]
    ] as const
    for (const [f, quantity] of cases) {
      const off = deviations(stepOf(method, Carrier.number, f, 0.1, start), start, 0.1, quantity)
      expect(Math.max(...off)).toBeLessThan(1.05 * off[0] + 1e-12)
      expect(off[0]).toBeLessThan(0.1 ** method.order)
    }
  })

  it("RK4 and Nyström 4 do not", () => {
    const start = { x: 1, v: 0.3 }
    const f = (_: number, x: number) => -Math.sin(x)
    const rk4 = Method.bind(Tableau.rk4, SecondOrder.pair(Carrier.number), SecondOrder.reduce(f))
    const steps = [
      (t: number, y: typeof start) => rk4.step(t, 0.1, y, {}).y,
      stepOf(SecondOrder.nystrom4, Carrier.number, f, 0.1, start)
    ]
    for (const step of steps) {
      const off = deviations(step, start, 0.1, energy)
      expect(off[9]).toBeGreaterThan(5 * off[0])
    }
  })

  const kepler = (_: number, x: Float64Array) => {
    const cube = Math.hypot(x[0], x[1]) ** 3
    return Float64Array.of(-x[0] / cube, -x[1] / cube)
  }
  const orbit: SecondOrder.State<Float64Array> = {
    x: Float64Array.of(0.8, 0),
    v: Float64Array.of(0, Math.sqrt(1.5))
  }
  const momentum = ({ x, v }: typeof orbit) => x[0] * v[1] - x[1] * v[0]

  it.each(symplectic)("%s keeps the angular momentum of a planet", (_, method) => {
    const step = stepOf(method, Carrier.float64Array, kepler, 0.05, orbit)
    expect(Math.max(...deviations(step, orbit, 0.05, momentum))).toBeLessThan(1e-12)
  })

  it("Nyström 4 does not", () => {
    const step = stepOf(SecondOrder.nystrom4, Carrier.float64Array, kepler, 0.05, orbit)
    expect(deviations(step, orbit, 0.05, momentum)[9]).toBeGreaterThan(1e-5)
  })
})

const unit = fc.double({ min: -1, max: 1, noNaN: true })

describe("inverse steps", () => {
  it("undo steps, for random problems", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...symplectic.map(([, method]) => method)),
        fc.tuple(unit, unit, unit, unit, unit, unit),
        fc.double({ min: -0.5, max: 0.5, noNaN: true }),
        (method, [x, v, t, a, b, c], h) => {
          const f = (t: number, x: number) => a * Math.sin(t) + b * x + c * x * x
          const plain = SecondOrder.stepper(method, Carrier.number, f, { velocityFree: true })
          for (const stepper of [plain, plain.dense()]) {
            const memory = stepper.start(t, { x, v })
            const { y, memory: next } = stepper.step(t, h, { x, v }, memory)
            const back = stepper.inverse?.(t, h, y, next)
            expect(back && distance(back.y, { x, v })).toBeLessThan(1e-12)
            expect(Object.keys(back?.memory ?? {})).toEqual(Object.keys(memory))
          }
        }
      )
    )
  })

  it.each(symplectic)("of %s lead back over thousands of steps", (_, method) => {
    const stepper = SecondOrder.stepper(
      method,
      Carrier.number,
      (t, x) => Math.cos(t) - Math.sin(x),
      { velocityFree: true }
    )
    const start = { x: 1, v: 0.3 }
    const h = 0.01
    let now = { y: start, memory: stepper.start(0, start) }
    for (let i = 0; i < 3000; i++) now = stepper.step(i * h, h, now.y, now.memory)
    expect(distance(now.y, start)).toBeGreaterThan(0.1)
    for (let i = 2999; i >= 0; i--) {
      now = stepper.inverse?.(i * h, h, now.y, now.memory) ?? now
    }
    expect(distance(now.y, start)).toBeLessThan(1e-12)
  })

  it("are only where they are exact", () => {
    const f = (_: number, x: number) => -x
    const of = (method: SecondOrder.Method, velocityFree: boolean) =>
      SecondOrder.stepper(method, Carrier.number, f, { velocityFree }).inverse
    expect(of(SecondOrder.yoshida4, false)).toBeUndefined()
    expect(of(SecondOrder.velocityVerlet, false)).toBeUndefined()
    expect(of(SecondOrder.nystrom4, true)).toBeUndefined()
  })

  it("of symmetric methods are steps back in time", () => {
    const f = (t: number, x: number) => Math.cos(t) - Math.sin(x)
    for (const method of [SecondOrder.velocityVerlet, SecondOrder.yoshida4, SecondOrder.yoshida6]) {
      const stepper = SecondOrder.stepper(method, Carrier.number, f, { velocityFree: true })
      const start = { x: 1, v: 0.3 }
      const there = Fixed.run(stepper, start, { from: 0, to: 10, count: 100 }).y
      const back = Fixed.run(stepper, there, { from: 10, to: 0, count: 100 }).y
      expect(distance(back, start)).toBeLessThan(1e-12)
    }
  })
})

describe("carriers", () => {
  it.each(named)("agree about %s, in one scan on a device", async (_, method) => {
    for (const velocityFree of [true, false]) {
      if (!velocityFree && onlyFree(method)) continue
      const options = { velocityFree }
      const start = [
        { x: 1.5, v: 0.2 },
        { x: -0.25, v: 1 }
      ]
      const damping = velocityFree ? 0 : 0.3
      const grid = { from: 0.3, to: 1.3, count: 10 }
      const numbers = start.map(
        (y) =>
          Fixed.run(
            SecondOrder.stepper(
              method,
              Carrier.number,
              (t, x, v) => x * Math.cos(t) - damping * v,
              options
            ),
            y,
            grid
          ).y
      )
      const array = Fixed.run(
        SecondOrder.stepper(
          method,
          Carrier.float64Array,
          (t, x, v) => x.map((each, i) => each * Math.cos(t) - damping * v[i]),
          options
        ),
        {
          x: Float64Array.from(start, ({ x }) => x),
          v: Float64Array.from(start, ({ v }) => v)
        },
        grid
      ).y
      const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64" })
      const stepper = SecondOrder.stepper(
        method,
        carrier,
        (t, x, v) =>
          Tensor.sub(Tensor.mul(x as F64, Tensor.cos(t as F64)), Tensor.mul(v as F64, damping)),
        options
      )
      const constant = (values: ReadonlyArray<number>): Tensor.Any =>
        Tensor.constant(values, { dtype: "float64" })
      const y = { x: constant(start.map(({ x }) => x)), v: constant(start.map(({ v }) => v)) }
      const end = Fixed.run(stepper, y, grid)
      const { inverse } = stepper
      const size = carrier.scalar(0.1)
      const [back] =
        inverse === undefined
          ? [{ y }]
          : carrier.repeat(
              { y: end.y, memory: end.memory },
              Array.from({ length: 10 }, (_, i) => [1.2 - i * 0.1]),
              (now, [t]) => [inverse(t, size, now.y, now.memory), {}]
            )
      const found = await evaluate({ end: end.y, back: back.y })
      numbers.forEach((wanted, i) => {
        expect(distance({ x: array.x[i], v: array.v[i] }, wanted)).toBeLessThan(1e-13)
        const at = ({ x, v }: typeof found.end) => ({ x: Number(x.data[i]), v: Number(v.data[i]) })
        expect(distance(at(found.end), wanted)).toBeLessThan(1e-13)
        expect(distance(at(found.back), start[i])).toBeLessThan(1e-12)
      })
    }
  })
})

describe("step control", () => {
  it("takes as many steps as the tolerance asks for", () => {
    const { f, exact } = problems["non-autonomous"]
    const stepper = SecondOrder.stepper(SecondOrder.nystrom43, Carrier.number, f, {
      velocityFree: true
    })
    const solve = (tolerance: number) =>
      Effect.runSync(
        Integration.solveDense(stepper, exact(0), {
          from: 0,
          to: 6,
          steps: Controller.pi({ absolute: tolerance, relative: tolerance })
        })
      )
    const [rough, fine] = [1e-5, 1e-9].map(solve)
    expect(distance(rough.y, exact(6))).toBeLessThan(1e-3)
    expect(distance(fine.y, exact(6))).toBeLessThan(1e-7)
    expect(distance(fine.at(3.21), exact(3.21))).toBeLessThan(1e-6)
    const ratio = fine.statistics.accepted / rough.statistics.accepted
    // 10^(4/4) with an estimate of order 3
    expect(ratio).toBeGreaterThan(7)
    expect(ratio).toBeLessThan(14)
  })
})
