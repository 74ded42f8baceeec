import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Adaptive from "../../src/Solver/Adaptive.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Implicit from "../../src/Solver/Implicit.ts"
import * as Linear from "../../src/Solver/Linear.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Newton from "../../src/Solver/Newton.ts"
import { Gradient, Tensor } from "../../src/Tensor/index.ts"

type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

const { implicitEuler, implicitMidpoint, trapezoid, kvaerno3, kvaerno5, rosenbrock23 } = Implicit
const methods = [
  implicitEuler,
  implicitMidpoint,
  trapezoid,
  kvaerno3,
  kvaerno5,
  rosenbrock23
] as const
const named = methods.map((each) => [each.name, each as Method.Method] as const)

const evaluate = <T>(expressions: T): Promise<never> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const device = yield* Device.Device
      return (yield* device.evaluate(expressions as Tensor.Any)) as never
    }).pipe(Effect.provide(Device.layerReference()))
  )

const values = async (expression: unknown): Promise<ReadonlyArray<number>> => {
  const { data } = (await evaluate<unknown>(expression)) as { data: ArrayLike<number> }
  return Array.from(data, Number)
}

type Nested = number | ReadonlyArray<Nested>

const constant = (data: Nested): F64 =>
  Tensor.constant(data as ReadonlyArray<number>, { dtype: "float64" })

const times = (matrix: ReadonlyArray<ReadonlyArray<number>>, x: ArrayLike<number>) =>
  matrix.map((row) => row.reduce((sum, each, j) => sum + each * x[j], 0))

/** J with I − 2J = A. */
const halved = (matrix: ReadonlyArray<ReadonlyArray<number>>) =>
  matrix.map((row, i) => row.map((each, j) => ((i === j ? 1 : 0) - each) / 2))

const pivoting = [
  [0, 2, 1],
  [1, 0, 0],
  [0, 1e-20, 3]
]

describe("linear algebra", () => {
  const onHost = (matrix: ReadonlyArray<ReadonlyArray<number>>, v: ReadonlyArray<number>) => {
    const linear = Linear.of(Carrier.float64Array)
    const f = (y: Float64Array) => Float64Array.from(times(halved(matrix), y))
    const zero = new Float64Array(v.length)
    return Linear.resolvent(linear, f, zero, f(zero))(2)(Float64Array.from(v))
  }

  const onDevice = (
    matrices: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>,
    v: ReadonlyArray<ReadonlyArray<number>>
  ) => {
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: matrices.length })
    const J = constant(matrices.map(halved))
    const f = (y: Tensor.Any) =>
      Tensor.sum(Tensor.mul(J, Tensor.expandDims(y as F64, 1) as F64) as F64, { axis: -1 })
    const y = constant(v)
    return values(Linear.resolvent(Linear.of(carrier), f, y, f(y))(carrier.scalar(2))(y))
  }

  it("solves what needs pivots", async () => {
    // 2y + z = 1, x = 2, 3z = 6
    const expected = [2, -0.5, 2]
    expected.forEach((each, i) => {
      expect(onHost(pivoting, [1, 2, 6])[i]).toBeCloseTo(each, 6)
    })
    const ordinary = [
      [1e-20, 1, 0],
      [1, 1, 0],
      [0, 0, 1]
    ]
    const found = await onDevice(
      [pivoting, ordinary],
      [
        [1, 2, 6],
        [1, 2, 3]
      ]
    )
    ;[...expected, 1, 1, 3].forEach((each, i) => {
      expect(found[i]).toBeCloseTo(each, 14)
    })
  })

  it("solves systems of every size, few coordinates written out and many in a scan", async () => {
    const sample = fc.sample(
      fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 330, maxLength: 330 }),
      { numRuns: 3, seed: 7 }
    )
    for (const numbers of sample) {
      for (const n of [1, 2, 5, 12]) {
        const matrix = (from: number) =>
          Array.from({ length: n }, (_, i) => numbers.slice(from + i * n, from + (i + 1) * n))
        const [a, b] = [matrix(0), matrix(150)]
        const [u, v] = [numbers.slice(300, 300 + n), numbers.slice(310, 310 + n)]
        const x = onHost(a, u)
        times(a, x).forEach((each, i) => {
          expect(each).toBeCloseTo(u[i], 4)
        })
        const found = await onDevice([a, b], [u, v])
        times(a, found.slice(0, n)).forEach((each, i) => {
          expect(each).toBeCloseTo(u[i], 10)
        })
        times(b, found.slice(n)).forEach((each, i) => {
          expect(each).toBeCloseTo(v[i], 10)
        })
      }
    }
  })

  it("is not finite where a system is singular", async () => {
    const singular = [
      [1, 1],
      [1, 1]
    ]
    expect(onHost(singular, [1, 2]).every(Number.isFinite)).toBe(false)
    expect((await onDevice([singular], [[1, 2]])).every(Number.isFinite)).toBe(false)
  })

  it("takes derivatives at any scale", async () => {
    for (const x of [1e-9, -0.02, 3, 1e9]) {
      const f = (y: number) => y * y
      // (1 − 2x)⁻¹
      const found = Linear.resolvent(Linear.of(Carrier.number), f, x, f(x))(1)(1)
      expect(found * (1 - 2 * x)).toBeCloseTo(1, 4)
      const slope = Linear.slope(Linear.of(Carrier.number), f, x, f(x))
      expect(slope).toBeCloseTo(2 * x, Math.abs(x) > 1e3 ? -2 : 4)
    }
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: 2 })
    const t = constant([1, 2])
    // the same node as time and as state: neither derivative may see the other
    const f = (t: Tensor.Any, y: Tensor.Any) => Tensor.mul(Tensor.square(t as F64), y as F64)
    const linear = Linear.of(carrier)
    expect(await values(Linear.slope(linear, (at) => f(at, t), t, t))).toEqual([2, 8])
    const solved = Linear.resolvent(linear, (y) => f(t, y), t, t)(carrier.scalar(2))(t)
    expect(await values(solved)).toEqual([1 / (1 - 2), 2 / (1 - 8)])
  })

  it("lays out trees and structs, and names a part that has none", async () => {
    const parts = Carrier.struct({ x: Carrier.float64Array, y: Carrier.number })
    const linear = Linear.of(parts)
    const state = { x: Float64Array.of(1, 2), y: 3 }
    expect([...linear.flatten(state, state)]).toEqual([1, 2, 3])
    expect(linear.refill(state, Float64Array.of(4, 5, 6))).toEqual({
      x: Float64Array.of(4, 5),
      y: 6
    })
    expect(linear.size(state)).toBe(3)

    type State = { readonly a: Tensor.Any; readonly b: Tensor.Any }
    const trees = Linear.of(Carrier.tensor<State>({ dtype: "float64", systems: 2 }))
    const tree = { a: constant([[[1, 2]], [[3, 4]]]), b: constant([5, 6]) }
    expect(trees.size(tree)).toBe(3)
    expect(await values(trees.flatten(tree, tree))).toEqual([1, 2, 5, 3, 4, 6])
    expect(await values(trees.refill(tree, trees.flatten(tree, tree)).a)).toEqual([1, 2, 3, 4])

    const { linear: _, ...bare } = Carrier.number
    const mine: Carrier.Carrier<number, number, boolean> = { ...bare, name: "mine" }
    const both = Carrier.struct({ x: Carrier.number, y: mine })
    for (const method of methods) {
      expect(() => Method.bind(method, mine, (_, y) => y)).toThrow("carrier mine has no linear")
      expect(() => Method.bind(method, both, (_, y) => y)).toThrow("carrier mine has no linear")
    }
  })
})

describe("Newton's iteration", () => {
  const root = (guess: number, slope: number, rounds = 20) =>
    Newton.solve(Carrier.number, {
      guess,
      correction: (x) => (2 - x * x) / slope,
      size: (change) => Math.abs(change) / 1e-12,
      rounds,
      active: true
    })

  it("finds a root, and says how often it evaluated", () => {
    const { value, converged, evaluations } = root(1.4, 2.8)
    expect(Math.abs(value - Math.SQRT2)).toBeLessThan(1e-12)
    expect(converged).toBe(true)
    expect(evaluations).toBeLessThan(8)
    // an exact guess takes one look
    expect(root(Math.SQRT2, 2.8).evaluations).toBe(1)
  })

  it("says when it does not converge: growing, too slow, or not finite", () => {
    // a slope of the wrong sign leads away: two rounds show it
    const away = root(1.4, -2.8)
    expect([away.converged, away.evaluations]).toEqual([false, 2])
    const slow = root(1.4, 28, 5)
    expect([slow.converged, slow.evaluations]).toEqual([false, 5])
    expect(root(Number.NaN, 2.8).converged).toBe(false)
  })

  it("stops each system by itself", async () => {
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: 3 })
    const slopes = [2.8, 28, -2.8]
    const slope = constant(slopes)
    const { value, converged, evaluations } = Newton.solve(carrier, {
      guess: carrier.scalar(1.4),
      correction: (x) =>
        Tensor.div(Tensor.sub(carrier.scalar(2) as F64, Tensor.square(x as F64)), slope),
      size: (change) => Tensor.div(Tensor.abs(change as F64), 1e-12),
      rounds: 20,
      active: carrier.verdict(true)
    })
    const alone = slopes.map((each) => root(1.4, each))
    expect(await values(evaluations)).toEqual(alone.map((each) => each.evaluations))
    expect(await values(converged)).toEqual(alone.map((each) => Number(each.converged)))
    expect(await values(value)).toEqual(alone.map((each) => each.value))
  })
})

/** y' = y cos t, whose nodes matter; a linear system; and a nonlinear one. */
const problems = [
  {
    name: "non-autonomous",
    f: (t: number, [y]: Float64Array) => Float64Array.of(y * Math.cos(t)),
    at: (t: number) => [Math.exp(Math.sin(t))]
  },
  {
    name: "linear",
    f: (_: number, [x, v]: Float64Array) => Float64Array.of(v, -x),
    at: (t: number) => [Math.cos(t), -Math.sin(t)]
  },
  {
    name: "nonlinear",
    f: (_: number, [y]: Float64Array) => Float64Array.of(-y * y),
    at: (t: number) => [2 / (1 + 2 * t)]
  }
]

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (each, i) => Math.abs(each - b[i])))

describe("implicit tableaus", () => {
  it("of one's own are checked", () => {
    const g = 1 - Math.SQRT1_2
    const sdirk = { order: 2, a: [[g], [1 - g, g]], b: [1 - g, g] }
    expect(Implicit.make(sdirk)).toMatchObject({ gamma: g, firstSameAsLast: true })
    expect(() => Implicit.make({ ...sdirk, order: 3 })).toThrow("is not of order 3")
    expect(() => Implicit.make({ ...sdirk, a: [[g], [1 - g]] })).toThrow("2 coefficients")
    expect(() => Implicit.make({ ...sdirk, a: [[g]] })).toThrow("2 rows")
    expect(() => Implicit.make({ ...sdirk, a: [[g / 2], [1 - g, g]] })).toThrow(
      "share one diagonal"
    )
    expect(() => Implicit.make({ order: 1, a: [[0]], b: [1] })).toThrow("share one diagonal")
    expect(() => Implicit.make({ ...sdirk, c: [0, 1] })).toThrow("its node is 0")
  })

  it("know whether a step leaves the next one's first derivative", () => {
    const carried = [implicitEuler, implicitMidpoint, trapezoid, kvaerno3, kvaerno5]
    expect(carried.map(({ tableau }) => tableau.firstSameAsLast)).toEqual([
      true,
      false,
      true,
      true,
      true
    ])
  })
})

describe.each(named)("%s", (_, method) => {
  it("converges with its order", () => {
    for (const { name, f, at } of problems) {
      const stepper = Method.bind(method, Carrier.float64Array, f)
      const error = (count: number) => {
        const end = Fixed.run(stepper, Float64Array.from(at(0)), { from: 0, to: 2, count })
        expect(end.converged).toBe(true)
        return distance(end.y, at(2))
      }
      const count = method.order > 4 ? 32 : 128
      const order = Math.log2(error(count) / error(2 * count))
      expect(Math.abs(order - method.order), name).toBeLessThan(0.2)
    }
  })

  it("interpolates through both ends, as accurately as it says", () => {
    const [{ f, at }] = problems
    const stepper = Method.bind(method, Carrier.float64Array, f).dense()
    const missed = (t: number, h: number) => {
      const before = Float64Array.from(at(t))
      const { y: after, dense } = stepper.step(t, h, before, stepper.start(t, before))
      const inside = (theta: number) => stepper.interpolate({ theta, h, before, after, dense })
      expect(distance(inside(0), before)).toBeLessThan(1e-14)
      expect(distance(inside(1), after)).toBeLessThan(1e-14)
      return Math.max(
        ...[0.2, 0.4, 0.6, 0.8].map((theta) => distance(inside(theta), at(t + theta * h)))
      )
    }
    const worst = (h: number) => Math.max(...[0.1, 0.9, 1.7, 2.6, 4].map((t) => missed(t, h)))
    const order = Math.log2(worst(0.1) / worst(0.05)) - 1
    expect(order).toBeGreaterThan(stepper.denseOrder - 0.3)
  })

  it("counts evaluations, the Jacobian's included", () => {
    for (const { f, at } of problems) {
      for (const dense of [false, true]) {
        let count = 0
        const counted = (t: number, y: Float64Array) => {
          count += 1
          return f(t, y)
        }
        const bound = Method.bind(method, Carrier.float64Array, counted)
        const stepper = dense ? bound.dense() : bound
        const y = Float64Array.from(at(0))
        expect(Fixed.run(stepper, y, { from: 0, to: 1, count: 3 }).evaluations).toBe(count)
      }
    }
  })

  it("takes stiff problems in steps far beyond what explicit methods bear", () => {
    // y' = −10⁶(y − cos t): near cos t, whatever the step
    const rate = 1e6
    const stepper = Method.bind(method, Carrier.number, (t, y) => -rate * (y - Math.cos(t)))
    const end = Fixed.run(stepper, 1, { from: 0, to: 10, count: 40 })
    expect(end.converged).toBe(true)
    expect(Math.abs(end.y - Math.cos(10))).toBeLessThan(2e-2)
    // what is off the slow solution is damped by L-stable methods, and stays bounded with A-stable ones
    const decay = Method.bind(method, Carrier.number, (_, y) => -rate * y)
    const off = Math.abs(Fixed.run(decay, 1, { from: 0, to: 10, count: 10 }).y)
    const merelyStable = [implicitMidpoint.name, trapezoid.name].includes(method.name)
    if (merelyStable) expect(off).toBeCloseTo(1, 3)
    else expect(off).toBeLessThan(1e-10)
  })

  it("says which derivatives a step takes", () => {
    const stepper = Method.bind(method, Carrier.number, (t, y) => (t === 0 ? y : Number.NaN))
    const stages = stepper.stages?.(0, 0.5, 1, stepper.start(0, 1)) ?? []
    expect(stages.map(Number.isFinite)).toContain(false)
  })
})

const rober = (_: number, [x, y, z]: Float64Array) =>
  Float64Array.of(-0.04 * x + 1e4 * y * z, 0.04 * x - 1e4 * y * z - 3e7 * y * y, 3e7 * y * y)

const roberAt100 = [6.1723488239606716e-1, 6.1535912746388841e-6, 3.8275896401264059e-1]

const adaptive = (
  method: Method.Method,
  f: (t: number, y: Float64Array) => Float64Array,
  from: ReadonlyArray<number>,
  to: number,
  tolerance: { readonly relative: number; readonly absolute: number }
) => {
  const carrier = Carrier.float64Array
  const y = Float64Array.from(from)
  const problem = { from: 0, to, controller: Controller.pi(tolerance) }
  const stepper = Method.bind(method, carrier, f)
  const initialStep = Adaptive.initialStep(carrier, f, y, problem, stepper.errorOrder ?? 1)
  return Adaptive.run(stepper, y, { ...problem, initialStep })
}

describe("step control", () => {
  it.each([
    [kvaerno5.name, kvaerno5, 1e-5, 200],
    [kvaerno3.name, kvaerno3, 1e-3, 200],
    [rosenbrock23.name, rosenbrock23, 1e-3, 200],
    [trapezoid.name, trapezoid, 1e-3, 500],
    [implicitEuler.name, implicitEuler, 3e-2, 500]
  ] as const)("%s solves Robertson's problem", (_, method, accuracy, steps) => {
    const end = adaptive(method, rober, [1, 0, 0], 100, { relative: 1e-3, absolute: 1e-8 })
    expect(end.status).toBe(Adaptive.status.done)
    expect(end.accepted + end.rejected).toBeLessThan(steps)
    roberAt100.forEach((each, i) => {
      expect(Math.abs(end.y[i] / each - 1)).toBeLessThan(accuracy)
    })
  })

  it.each([
    [kvaerno5.name, kvaerno5, 1e-8],
    [kvaerno3.name, kvaerno3, 1e-7]
  ] as const)("%s solves it more accurately when told", (_, method, accuracy) => {
    const end = adaptive(method, rober, [1, 0, 0], 100, { relative: 1e-8, absolute: 1e-13 })
    expect(end.status).toBe(Adaptive.status.done)
    roberAt100.forEach((each, i) => {
      expect(Math.abs(end.y[i] / each - 1)).toBeLessThan(accuracy)
    })
  })

  it("takes few steps where only a damped component is stiff", () => {
    const f = (t: number, [y]: Float64Array) => Float64Array.of(-1e6 * (y - Math.cos(t)))
    for (const method of [implicitEuler, trapezoid, kvaerno3, kvaerno5]) {
      const tolerance = { relative: 1e-3, absolute: 1e-6 }
      const end = adaptive(method, f, [1], 10, tolerance)
      expect(end.accepted + end.rejected, method.name).toBeLessThan(30)
      expect(end.y[0]).toBeCloseTo(Math.cos(10), 4)
      // the transient from 0 has to be resolved first
      expect(adaptive(method, f, [0], 10, tolerance).y[0]).toBeCloseTo(Math.cos(10), 3)
    }
  })

  it("needs an estimate of the error", () => {
    expect(() =>
      adaptive(implicitMidpoint, rober, [1, 0, 0], 1, { relative: 1, absolute: 1 })
    ).toThrow("estimates no error")
  })

  // a cliff that the derivative at the beginning knows nothing of
  const wild = (_: number, [y]: Float64Array) => Float64Array.of(1e4 * Math.tanh(1e3 * (2 - y)))

  it("says that Newton's iteration diverged", () => {
    const controller = Controller.make({ relative: 1e-3, absolute: 1e-3, minimumStep: 1e-3 })
    const stepper = Method.bind(kvaerno3, Carrier.float64Array, wild)
    const end = Adaptive.run(stepper, Float64Array.of(1), {
      from: 0,
      to: 1,
      controller,
      initialStep: 0.1
    })
    expect([end.status, end.accepted]).toEqual([Adaptive.status.diverged, 0])
    expect(end.y[0]).toBe(1)
    const fixed = Fixed.run(stepper, Float64Array.of(1), { from: 0, to: 1, count: 4 })
    expect(fixed.converged).toBe(false)
  })

  it("says that f is not finite rather than that Newton's iteration diverged", () => {
    const stepper = Method.bind(kvaerno3, Carrier.number, () => Number.NaN)
    const controller = Controller.make({ relative: 1e-3, absolute: 1e-3 })
    const end = Adaptive.run(stepper, 1, { from: 0, to: 1, controller, initialStep: 0.1 })
    expect(end.status).toBe(Adaptive.status.nonFinite)
  })

  it("lets Newton's iteration be told how exact to be", () => {
    const [, , { f, at }] = problems
    const end = (options: Implicit.Options) => {
      const stepper = Method.bind(
        Implicit.method(kvaerno3.tableau, options),
        Carrier.float64Array,
        f
      )
      return Fixed.run(stepper, Float64Array.from(at(0)), { from: 0, to: 1, count: 8 })
    }
    const [own, loose, fine] = [
      end({}),
      end({ tolerance: { relative: 1e-4, absolute: 0 } }),
      end({ tolerance: "rounding" })
    ]
    expect(loose.evaluations).toBeLessThan(0.8 * own.evaluations)
    expect(fine.evaluations).toBeGreaterThan(own.evaluations)
    expect(distance(own.y, fine.y)).toBeLessThan(1e-9)
    expect(distance(loose.y, fine.y)).toBeGreaterThan(1e-8)
    expect(end({ rounds: 2 }).converged).toBe(false)
  })
})

describe("implicit midpoint", () => {
  it("conserves quadratic invariants", () => {
    // a rigid body's energy and momentum
    const inertia = [2, 1, 2 / 3]
    const body = (_: number, [x, y, z]: Float64Array) =>
      Float64Array.of(
        (1 / inertia[2] - 1 / inertia[1]) * y * z,
        (1 / inertia[0] - 1 / inertia[2]) * z * x,
        (1 / inertia[1] - 1 / inertia[0]) * x * y
      )
    const start = Float64Array.of(Math.cos(1.1), 0, Math.sin(1.1))
    const momentum = (y: Float64Array) => y.reduce((sum, each) => sum + each * each, 0)
    const energy = (y: Float64Array) =>
      y.reduce((sum, each, i) => sum + (each * each) / inertia[i], 0)
    const end = (method: Method.Method) =>
      Fixed.run(Method.bind(method, Carrier.float64Array, body), start, {
        from: 0,
        to: 300,
        count: 1000
      }).y
    const kept = end(implicitMidpoint)
    expect(Math.abs(momentum(kept) - momentum(start))).toBeLessThan(1e-9)
    expect(Math.abs(energy(kept) - energy(start))).toBeLessThan(1e-9)
    expect(Math.abs(momentum(end(kvaerno3)) - momentum(start))).toBeGreaterThan(1e-6)
  })

  it("goes back to where it came from", () => {
    const stepper = Method.bind(implicitMidpoint, Carrier.number, (t, y) => Math.cos(t) * y * y)
    const there = Fixed.run(stepper, 0.5, { from: 0, to: 1, count: 10 }).y
    expect(Fixed.run(stepper, there, { from: 1, to: 0, count: 10 }).y).toBeCloseTo(0.5, 11)
  })
})

describe("carriers", () => {
  it("agree", () => {
    const f = (t: number, x: number, v: number) => [v, (1 - x * x) * v - x + Math.cos(t)] as const
    const grid = { from: 0, to: 1, count: 8 }
    for (const method of methods) {
      const array = Method.bind(method, Carrier.float64Array, (t, [x, v]) =>
        Float64Array.from(f(t, x, v))
      )
      const parts = Carrier.struct({ x: Carrier.number, v: Carrier.number })
      const struct = Method.bind(method, parts, (t, { x, v }) => {
        const [dx, dv] = f(t, x, v)
        return { x: dx, v: dv }
      })
      const one = Fixed.run(array, Float64Array.of(1, 0), grid)
      const other = Fixed.run(struct, { x: 1, v: 0 }, grid)
      expect([other.y.x, other.y.v]).toEqual([...one.y])
      expect(other.evaluations).toBe(one.evaluations)
    }
  })

  const scaled = (scale: ReadonlyArray<number>) => ({
    host: scale.map(
      (mu) =>
        (t: number, [x, v]: Float64Array) =>
          Float64Array.of(v, mu * (1 - x * x) * v - x + Math.cos(t))
    ),
    device: (t: Tensor.Any, { x, v }: { readonly x: Tensor.Any; readonly v: Tensor.Any }) => {
      const bend = Tensor.sub(constant(1), Tensor.square(x as F64) as F64)
      const push = Tensor.mul(Tensor.mul(constant([...scale]), bend), v as F64)
      // keys in another order than the state's
      return {
        v: Tensor.add(Tensor.sub(push as F64, x as F64) as F64, Tensor.cos(t as F64)) as Tensor.Any,
        x: v
      }
    }
  })

  const side = Carrier.tensor<{ readonly x: Tensor.Any; readonly v: Tensor.Any }>({
    dtype: "float64",
    systems: 2
  })

  it("agree with tensors, systems side by side, in a scan", async () => {
    const { host, device } = scaled([1, 20])
    for (const method of methods) {
      const grid = { from: 0, to: 1, count: 8 }
      const end = Fixed.run(
        Method.bind(method, side, device),
        { x: constant([1, 2]), v: constant([0, 0]) },
        grid
      )
      const [x, v, converged] = await Promise.all(
        [end.y.x, end.y.v, end.converged].map((each) => values(each))
      )
      expect(converged).toEqual([1, 1])
      host.forEach((f, i) => {
        const alone = Fixed.run(
          Method.bind(method, Carrier.float64Array, f),
          Float64Array.of(i + 1, 0),
          grid
        )
        // the Jacobian of Rosenbrock's method is part of it, and not quite the same
        const digits = method === rosenbrock23 ? 7 : 9
        expect(x[i], method.name).toBeCloseTo(alone.y[0], digits)
        expect(v[i], method.name).toBeCloseTo(alone.y[1], digits)
      })
    }
  })

  it.each(
    [kvaerno3, kvaerno5, rosenbrock23].map((each) => [each.name, each as Method.Method] as const)
  )("%s takes the same steps in one loop on the device, each system its own", async (_, method) => {
    const mu = [2, 100]
    const { host, device } = scaled(mu)
    const controller = Controller.pi({ relative: 1e-4, absolute: 1e-6 })
    const end = Adaptive.run(
      Method.bind(method, side, device),
      { x: constant([2, 2]), v: constant([0, 0]) },
      {
        from: side.scalar(0),
        to: side.scalar(2),
        controller,
        initialStep: side.scalar(0.01)
      }
    )
    const [x, accepted, rejected, status] = await Promise.all(
      [end.y.x, end.accepted, end.rejected, end.status].map((each) => values(each))
    )
    host.forEach((f, i) => {
      const alone = Adaptive.run(
        Method.bind(method, Carrier.float64Array, f),
        Float64Array.of(2, 0),
        { from: 0, to: 2, controller, initialStep: 0.01 }
      )
      expect([status[i], accepted[i], rejected[i]]).toEqual([
        Adaptive.status.done,
        alone.accepted,
        alone.rejected
      ])
      expect(x[i]).toBeCloseTo(alone.y[0], 7)
    })
  })

  it("solve Robertson's problem on the device, in single precision too", async () => {
    for (const [dtype, accuracy] of [
      ["float64", 1e-5],
      ["float32", 2e-3]
    ] as const) {
      const carrier = Carrier.tensor<Tensor.Any>({ dtype })
      type Real = Tensor.Tensor<readonly [], "float64">
      const stepper = Method.bind(kvaerno5, carrier, (_, state) => {
        const [x, y, z] = [0, 1, 2].map((i) => Tensor.at(state as F64, i) as unknown as Real)
        const slow = Tensor.mul(x, 0.04)
        const back = Tensor.mul(Tensor.mul(y, z), 1e4)
        const fast = Tensor.mul(Tensor.square(y), 3e7)
        const first = Tensor.sub(back, slow)
        return Tensor.stack([first, Tensor.neg(Tensor.add(first, fast)), fast]) as Tensor.Any
      })
      const end = Adaptive.run(stepper, Tensor.constant([1, 0, 0], { dtype }) as Tensor.Any, {
        from: carrier.scalar(0),
        to: carrier.scalar(100),
        controller: Controller.pi({ relative: 1e-3, absolute: 1e-8 }),
        initialStep: carrier.scalar(1e-4)
      })
      const [y, status] = await Promise.all([values(end.y), values(end.status)])
      expect(status).toEqual([Adaptive.status.done])
      roberAt100.forEach((each, i) => {
        expect(Math.abs(y[i] / each - 1), dtype).toBeLessThan(accuracy)
      })
    }
  })

  it("differentiate Rosenbrock's steps, and refuse Newton's", async () => {
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64" })
    const rate = Tensor.named(constant([3, 8]), "rate") as F64
    const start = Tensor.named(constant([1, 0.5]), "start") as F64
    const end = (method: Method.Method) =>
      Fixed.run(
        Method.bind(method, carrier, (t, y) =>
          Tensor.mul(rate, Tensor.sub(Tensor.cos(t as F64), Tensor.square(y as F64) as F64) as F64)
        ),
        start,
        { from: 0, to: 1, count: 5 }
      ).y
    const loss = Tensor.sum(end(rosenbrock23) as F64)
    const gradients = await values(
      Tensor.concat([Gradient.of(loss, rate), Gradient.of(loss, start)] as ReadonlyArray<F64>)
    )
    const total = (rates: ReadonlyArray<number>, from: ReadonlyArray<number>) =>
      rates.reduce((sum, rate, i) => {
        const f = (t: number, y: number) => rate * (Math.cos(t) - y * y)
        const stepper = Method.bind(rosenbrock23, Carrier.number, f)
        return sum + Fixed.run(stepper, from[i], { from: 0, to: 1, count: 5 }).y
      }, 0)
    const nudged = (values: ReadonlyArray<number>, i: number, by: number) =>
      values.map((each, j) => (i === j ? each + by : each))
    const [rates, from] = [
      [3, 8],
      [1, 0.5]
    ]
    const differences = [0, 1, 2, 3].map((k) => {
      const at = (by: number) =>
        k < 2 ? total(nudged(rates, k, by), from) : total(rates, nudged(from, k - 2, by))
      return (at(1e-4) - at(-1e-4)) / 2e-4
    })
    differences.forEach((each, i) => {
      expect(gradients[i]).toBeCloseTo(each, 4)
    })
    expect(() => Gradient.of(Tensor.sum(end(kvaerno3) as F64), start)).toThrow("whileLoop")
  })
})
