/** Numbers that other libraries computed, as test/fixtures/ode.json has them, and SciPy 1.17's DOP853. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import {
  Carrier,
  Controller,
  Fixed,
  Integration,
  RungeKutta,
  type Stepper,
  Tableau
} from "../../src/Solver/index.ts"
import vectors from "../fixtures/ode.json" with { type: "json" }

const swing = (t: number, y: number) => y * Math.cos(t)

type Equation = (t: number, y: ReadonlyArray<number>) => ReadonlyArray<number>

/** The end, and how often the right-hand side was called. */
const solve = (
  tableau: Tableau.Tableau,
  equation: Equation,
  y: ReadonlyArray<number>,
  to: number,
  tolerance: number,
  save: "end" | ReadonlyArray<number> = "end"
) => {
  let calls = 0
  const f = (t: number, y: Float64Array) => {
    calls += 1
    return Float64Array.from(equation(t, [...y]))
  }
  const solution = Effect.runSync(
    Integration.solve(RungeKutta.stepper(tableau, Carrier.float64Array, f), Float64Array.from(y), {
      from: 0,
      to,
      steps: Controller.make({ absolute: tolerance, relative: tolerance }),
      maximumSteps: 1_000_000,
      save
    })
  )
  return { ...solution, calls }
}

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (each, i) => Math.abs(each - b[i])))

describe("one step", () => {
  const { methods, exactMiddle } = vectors.oneStep
  const [t, h, before] = [0.3, 0.1, 1.2]
  const middle = (tableau: Tableau.Tableau) => {
    const stepper = RungeKutta.stepper(tableau, Carrier.number, swing, { dense: true })
    const { y, dense } = stepper.step(t, h, before, stepper.start(t, before))
    return stepper.interpolate({ theta: 0.5, h, before, after: y, dense })
  }

  it.each(["dopri5", "bosh3"] as const)("of %s", (name) => {
    const { y, error, last } = methods[name]
    const step = RungeKutta.step(Tableau[name], Carrier.number, swing, t, h, before)
    expect(Math.abs(step.y - y)).toBeLessThan(1e-14)
    expect(Math.abs((step.error ?? Number.NaN) - error)).toBeLessThan(1e-16)
    expect(Math.abs(step.k[step.k.length - 1] - last)).toBeLessThan(1e-14)
  })

  it("has the same middle with dopri5", () => {
    expect(Math.abs(middle(Tableau.dopri5) - methods.dopri5.middle)).toBeLessThan(1e-14)
  })

  it("has a better middle with bosh3", () => {
    // torchdiffeq goes to the middle along the second stage, which is of order 1; Hermite's cubic is of order 3
    const { k } = RungeKutta.step(Tableau.bosh3, Carrier.number, swing, t, h, before)
    expect(before + (h / 2) * k[1]).toBeCloseTo(methods.bosh3.middle, 14)
    expect(Math.abs(methods.bosh3.middle - exactMiddle)).toBeGreaterThan(5e-4)
    expect(Math.abs(middle(Tableau.bosh3) - exactMiddle)).toBeLessThan(5e-6)
  })
})

describe("fixed steps", () => {
  const tableaus = {
    euler: Tableau.euler,
    midpoint: Tableau.midpoint,
    heun2: Tableau.heun,
    rk4: Tableau.rk38
  }
  const cases = Object.entries(tableaus).flatMap(([name, tableau]) =>
    vectors.fixedStep.methods[name as keyof typeof tableaus].map(
      ({ size, y }) => [name, size, y, tableau] as const
    )
  )

  it.each(cases)("of %s, %d each", (_, size, wanted, tableau) => {
    const stepper = RungeKutta.stepper(tableau, Carrier.number, swing)
    const { y } = Fixed.run(stepper, 1, { from: 0, to: 1, size })
    expect(Math.abs(y - wanted)).toBeLessThan(1e-12)
  })
})

const circle: Equation = (_, [x, v]) => [v, -x]

describe("step control", () => {
  it.each(vectors.adaptive.runs)(
    "to $tolerance needs no more evaluations than torchdiffeq and a tenth",
    ({ tolerance, evaluations, error }) => {
      const { y, calls, statistics } = solve(Tableau.dopri5, circle, [0, 1], 10, tolerance)
      expect(calls).toBe(statistics.evaluations)
      expect(calls).toBeLessThanOrEqual(1.1 * evaluations)
      expect(furthest(y, [Math.sin(10), Math.cos(10)])).toBeLessThan(2 * error)
    }
  )
})

describe("DETEST", () => {
  // Hull, Enright, Fellen and Sedgwick 1972: single equations (A), small systems (B), an orbit (D), Bessel's equation (E)
  const problems: Record<keyof typeof vectors.detest.ends, [ReadonlyArray<number>, Equation]> = {
    A1: [[1], (_, [y]) => [-y]],
    A2: [[1], (_, [y]) => [-(y ** 3) / 2]],
    A3: [[1], (t, [y]) => [y * Math.cos(t)]],
    A4: [[1], (_, [y]) => [(y / 4) * (1 - y / 20)]],
    A5: [[4], (t, [y]) => [(y - t) / (y + t)]],
    B1: [[1, 3], (_, [x, y]) => [2 * x * (1 - y), y * (x - 1)]],
    B2: [[2, 0, 1], (_, [x, y, z]) => [y - x, x - 2 * y + z, y - z]],
    D1: [
      [0.9, 0, 0, Math.sqrt(1.1 / 0.9)],
      (_, [x, y, u, v]) => {
        const cube = Math.hypot(x, y) ** 3
        return [u, v, -x / cube, -y / cube]
      }
    ],
    E1: [
      [0.671396707141803, 0.09540051444747446],
      (t, [y, v]) => [v, -v / (t + 1) - y * (1 - 0.25 / (t + 1) ** 2)]
    ]
  }
  const methods = ["bosh3", "dopri5", "tsit5", "dopri8"] as const

  it.each(
    methods.flatMap((method) =>
      Object.entries(problems).map(([problem, [y, equation]]) => ({ method, problem, y, equation }))
    )
  )("$problem with $method", ({ method, problem, y, equation }) => {
    const wanted = vectors.detest.ends[problem as keyof typeof problems]
    const end = solve(Tableau[method], equation, y, 20, 1e-8)
    expect(end.calls).toBe(end.statistics.evaluations)
    expect(furthest(end.y, wanted)).toBeLessThan(4e-5)
  })
})

describe("dopri8", () => {
  const { embedded, dense, ...rest } = Tableau.dopri8
  if (embedded === undefined || dense?.extra === undefined) throw new Error("parts are missing")
  const fine = { b: embedded.b, order: embedded.order }
  const [first, ...others] = dense.extra

  // SciPy's DOP853, one step of 0.4 of y' = y cos t from y(0.3) = 1.2
  it("takes SciPy's step", () => {
    const [t, h, before] = [0.3, 0.4, 1.2]
    const stepper: Stepper.Stepper<number, number, boolean> = RungeKutta.stepper(
      Tableau.dopri8,
      Carrier.number,
      swing,
      { dense: true }
    )
    const step = stepper.step(t, h, before, stepper.start(t, before))
    expect(step.y).toBeCloseTo(1.700664466127638, 14)
    expect(step.error).toBeCloseTo(-1.5416761092861458e-7, 14)
    expect(step.coarse).toBeCloseTo(-5.404704599764107e-4, 14)
    const states = [
      [0.1, 1.2464362046505257],
      [0.25, 1.3181374181500525],
      [0.5, 1.4422824530001197],
      [0.9, 1.6485864029717707]
    ]
    for (const [theta, wanted] of states) {
      const found = stepper.interpolate({ theta, h, before, after: step.y, dense: step.dense })
      expect(found).toBeCloseTo(wanted, 14)
    }
  })

  const vanDerPol: Equation = (_, [x, v]) => [v, (1 - x * x) * v - x]
  // what solve_ivp with DOP853 ends at, and how many evaluations it takes
  const runs = [
    ["a circle", circle, [0, 1], 10, 1e-3, 62, [-0.5429403732351493, -0.8385176808817031]],
    ["a circle", circle, [0, 1], 10, 1e-6, 122, [-0.5440196406220765, -0.8390717743291211]],
    ["a circle", circle, [0, 1], 10, 1e-9, 278, [-0.5440211093814107, -0.83907152972502]],
    ["a circle", circle, [0, 1], 10, 1e-12, 614, [-0.5440211108879353, -0.8390715290772438]],
    ["van der Pol", vanDerPol, [2, 0], 20, 1e-6, 1094, [2.008149748905754, -0.04250800266355581]],
    ["van der Pol", vanDerPol, [2, 0], 20, 1e-9, 2126, [2.008149762161302, -0.04250887449375598]]
  ] as const

  it.each(runs)("goes SciPy's way on %s", (_, equation, y, to, tolerance, evaluations, end) => {
    const found = solve(Tableau.dopri8, equation, y, to, tolerance)
    expect(found.calls).toBe(found.statistics.evaluations)
    expect(Math.abs(found.calls - evaluations)).toBeLessThanOrEqual(0.1 * evaluations)
    // on the circle no step is rejected, so both take the very same ones
    expect(furthest(found.y, end)).toBeLessThan(equation === circle ? 1e-13 : 10 * tolerance)
  })

  it("counts the interpolant's three evaluations", () => {
    const tolerance = 1e-8
    const ends = solve(Tableau.dopri8, circle, [0, 1], 10, tolerance)
    const times = Array.from({ length: 99 }, (_, i) => (i + 1) / 10)
    const dense = solve(Tableau.dopri8, circle, [0, 1], 10, tolerance, times)
    expect(dense.calls).toBe(dense.statistics.evaluations)
    expect(dense.calls).toBe(ends.calls + 3 * ends.statistics.steps)
    times.forEach((t, i) => {
      expect(furthest(dense.states[i], [Math.sin(t), Math.cos(t)])).toBeLessThan(20 * tolerance)
    })
  })

  it("controls its steps by both estimates together, as one of order 8", () => {
    const orders = [embedded, fine].map(
      (embedded) =>
        RungeKutta.stepper({ ...Tableau.dopri8, embedded }, Carrier.number, swing).errorOrder
    )
    expect(orders).toEqual([8, 6])
  })

  it("is refused with a wrong coarse estimate, extra stage or interpolant", () => {
    const wrong = [
      [{ ...rest, embedded: { ...fine, coarse: { ...fine, order: 6 } } }, "coarse"],
      [
        { ...rest, dense: { ...dense, extra: [first.with(0, first[0] + 1e-6), ...others] } },
        "the interpolant is not of order 7"
      ],
      [{ ...rest, dense: { ...dense, extra: [first] } }, "the interpolant needs 14 weights"],
      [{ ...rest, dense: { ...dense, order: 8 } }, "the interpolant is not of order 8"],
      [{ ...rest, dense: { ...dense, nested: false } }, "the interpolant is not of order 7"]
    ] as const
    for (const [definition, message] of wrong) {
      expect(() => Tableau.make(definition)).toThrow(message)
    }
  })
})
