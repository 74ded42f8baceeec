/** The laws catch what is broken, and do not cry wolf. */
import { describe, expect, it } from "vitest"
import { SolverLaws } from "../../src/Laws/index.ts"
import { Controller, Method, SecondOrder, Tableau } from "../../src/Solver/index.ts"

const { rk4, dopri5, tsit5, bosh3 } = Tableau

describe("a broken tableau", () => {
  it("with a wrong weight is caught", () => {
    const wrong = { ...rk4, b: [1 / 6, 1 / 3, 1 / 6, 1 / 3] }
    expect(() => SolverLaws.check(wrong)).toThrow(/breaks the law/)
    expect(() => SolverLaws.order(wrong)).toThrow(/RK4 breaks the law "order"/)
  })

  it("with a wrong node is caught, though autonomous problems do not see it", () => {
    const wrong = { ...rk4, c: [0, 1 / 2, 1 / 3, 1] }
    expect(() => SolverLaws.order(wrong)).toThrow(/non-autonomous/)
    expect(() => SolverLaws.time(wrong)).not.toThrow()
  })

  it("that claims too much, or too little, is caught", () => {
    expect(() => SolverLaws.order({ ...rk4, order: 5 })).toThrow(/breaks the law/)
    expect(() => SolverLaws.order({ ...rk4, order: 3 })).toThrow(/breaks the law/)
    expect(() => SolverLaws.check(rk4, { order: 3 })).toThrow(/breaks the law/)
  })

  it("with a wrong embedded weight is caught", () => {
    const b = [...(dopri5.embedded?.b ?? [])]
    b[2] += 0.01
    const wrong = { ...dopri5, embedded: { order: 4, b } }
    expect(() => SolverLaws.estimate(wrong)).toThrow(/breaks the law/)
  })
})

describe("a broken interpolant", () => {
  it("with a wrong coefficient is caught", () => {
    const { dense } = tsit5
    if (dense === undefined) throw new Error("no interpolant")
    // the third stage's weight is off by 0.1·θ²(1 − θ): right at both ends
    const b = dense.b.map((row, i) =>
      i === 3 ? row.map((each, k) => each + [0, 0.1, -0.1, 0][k]) : row
    )
    const wrong = { ...tsit5, dense: { ...dense, b } }
    expect(() => SolverLaws.dense(wrong)).toThrow(/breaks the law "dense"/)
    expect(() => SolverLaws.continuity(wrong)).not.toThrow()
  })

  it("that does not meet the end of its step is caught", () => {
    const { dense } = tsit5
    if (dense === undefined) throw new Error("no interpolant")
    const b = dense.b.map((row, i) => (i === 3 ? [row[0], row[1], row[2], row[3] + 1e-3] : row))
    expect(() => SolverLaws.continuity({ ...tsit5, dense: { ...dense, b } })).toThrow(
      /breaks the law "continuity"/
    )
  })
})

describe("a broken controller", () => {
  it("with an exponent of the wrong sign is caught", () => {
    expect(() =>
      SolverLaws.controller((tolerance) => Controller.make({ ...tolerance, integral: -1 }))
    ).toThrow(/breaks the law "controller"/)
  })

  it("that does not look at the tolerance is caught", () => {
    expect(() =>
      SolverLaws.controller(() => Controller.make({ absolute: 1e-3, relative: 1e-3 }))
    ).toThrow(/breaks the law "controller"/)
  })

  it("is none of the library's", () => {
    for (const make of [Controller.make, Controller.pi, Controller.pid]) SolverLaws.controller(make)
  })
})

describe("other faults", () => {
  const faulty = (change: (y: Float64Array) => Float64Array): Method.Method => ({
    name: "faulty",
    order: 4,
    bind: (carrier, f) => {
      const stepper = Method.bind(rk4, carrier, f)
      return {
        ...stepper,
        step: (t, h, y, memory) => {
          const step = stepper.step(t, h, y, memory)
          return { ...step, y: change(step.y as never) as never }
        }
      }
    }
  })

  it("a constant that is added is caught", () => {
    expect(() => SolverLaws.check(faulty((y) => y.map((each) => each + 1e-6)))).toThrow()
  })

  it("evaluations that are not counted are caught", () => {
    const wrong: Method.Method = {
      ...Method.of(bosh3),
      bind: (carrier, f) => ({
        ...Method.bind(bosh3, carrier, f),
        evaluations: { start: 1, step: 2 }
      })
    }
    expect(() => SolverLaws.evaluations(wrong)).toThrow(/breaks the law "evaluations"/)
  })

  it("a method that is not symplectic is caught", () => {
    const subject = SolverLaws.secondOrder(SecondOrder.nystrom4)
    expect(() => SolverLaws.symplectic(subject)).toThrow(/breaks the law "symplectic"/)
  })
})

describe("what they throw", () => {
  it("names the law, the method, the problem and the seed, which shows it again", () => {
    const wrong = { ...rk4, name: "mine", b: [1 / 6, 1 / 3, 1 / 6, 1 / 3] }
    const caught = (seed?: number): string => {
      try {
        SolverLaws.order(wrong, seed === undefined ? {} : { seed })
        return ""
      } catch (error) {
        return (error as Error).message
      }
    }
    const message = caught(7)
    expect(message).toMatch(/mine breaks the law "order".*\(seed 7\)/s)
    expect(caught(7)).toBe(message)
  })
})

describe("sound methods", () => {
  it.each([1, 2, 3, 4, 5])("keep them whatever the seed: %d", (seed) => {
    for (const tableau of [Tableau.euler, bosh3, rk4, tsit5]) SolverLaws.check(tableau, { seed })
  })
})
