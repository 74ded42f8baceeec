/** Laws that nothing could break would be no laws: each catches what is broken. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { LawError } from "../../src/Laws/LawError.ts"
import * as SolverLaws from "../../src/Laws/SolverLaws.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Exponential from "../../src/Solver/Exponential.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Multistep from "../../src/Solver/Multistep.ts"
import * as Reversible from "../../src/Solver/Reversible.ts"
import * as SecondOrder from "../../src/Solver/SecondOrder.ts"
import type { Stepper } from "../../src/Solver/Stepper.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

/** What a law says of something broken. */
const said = (f: () => void): LawError => {
  try {
    f()
  } catch (error) {
    if (error instanceof LawError) return error
    throw error
  }
  throw new Error("the law does not see it")
}

const seeds = [0, 1]

const laws: Readonly<Record<SolverLaws.Name, typeof SolverLaws.check>> = SolverLaws

/** A law catches it, wherever it begins; and so does the check of all laws. */
const catches = (
  what: string,
  law: SolverLaws.Name,
  method: SolverLaws.Any,
  words: string | RegExp = ""
) =>
  it(`catches ${what}`, () => {
    for (const seed of seeds) {
      const error = said(() => laws[law](method, { seed }))
      expect(error).toMatchObject({ law, subject: method.name, seed })
      expect(error.message).toMatch(words)
    }
    expect(() => SolverLaws.check(method, { seed: 0 })).toThrow(LawError)
  })

/** A method whose steppers are changed. */
const changed = (
  method: Method.Any,
  change: <V, S, B>(stepper: Stepper<V, S, B>) => Partial<Stepper<V, S, B>>
): Method.Method => {
  const { name, order, bind } = Method.of(method)
  const through = <V, S, B>(stepper: Stepper<V, S, B>): Stepper<V, S, B> => ({
    ...stepper,
    dense: () => through(stepper.dense()),
    ...change(stepper)
  })
  return { name, order, bind: (carrier, f) => through(bind(carrier, f)) }
}

const { rk4, rk38, bosh3, dopri5, tsit5 } = Tableau

describe("a tableau", () => {
  // plain objects, which Tableau.make has not seen
  const wrongNode: Tableau.Tableau = { ...rk4, c: [0, 0.45, 0.5, 1] }
  catches("a wrong node", "order", wrongNode, "non-autonomous")
  it("has a wrong node that problems without explicit time do not see", () => {
    expect(said(() => SolverLaws.order(wrongNode)).message).not.toMatch(/a (linear|nonlinear)/)
  })
  catches("a wrong node in the last place", "order", { ...dopri5, c: dopri5.c.with(2, 0.31) })
  catches("a wrong node that is an order off", "polynomials", wrongNode)
  catches("a wrong weight", "order", { ...rk4, b: [0.17, 1 / 3 - 0.01, 1 / 3, 1 / 6] })
  catches("weights that do not add up", "order", { ...rk4, b: [0.17, 1 / 3, 1 / 3, 1 / 6] }, /0\.0/)
  catches("a wrong coefficient", "order", { ...rk38, a: [[1 / 3], [-0.3, 29 / 30], [1, -1, 1]] })
  catches("too high an order", "order", { ...bosh3, order: 4 }, "instead of 4")
  catches("too low an order", "order", { ...rk4, order: 3 }, "instead of 3")
  catches("first same as last where it is not", "order", { ...rk4, firstSameAsLast: true })
  it("must have the order that is expected", () => {
    SolverLaws.order(rk4, { order: 4 })
    expect(() => SolverLaws.order(rk4, { order: 5 })).toThrow(/3\.9.|4\.0/)
  })
})

describe("an error estimate", () => {
  catches(
    "too high an order",
    "estimate",
    { ...bosh3, embedded: { ...bosh3.embedded, order: 3 } as Tableau.Embedded },
    "instead of 4"
  )
  catches("a wrong weight", "estimate", {
    ...tsit5,
    embedded: { b: (tsit5.embedded as Tableau.Embedded).b.with(6, 1 / 60), order: 4 }
  })
  catches(
    "that is always 0, so that no step is rejected",
    "control",
    changed(bosh3, (stepper) => ({
      step: (...step) => {
        const { y, error, ...rest } = stepper.step(...step)
        return { ...rest, y, error: stepper.carrier.combine([[0, y]]) }
      }
    }))
  )
})

describe("an interpolant", () => {
  const { b, order } = dopri5.dense as NonNullable<Tableau.Tableau["dense"]>
  catches(
    "that does not end at the end",
    "continuity",
    { ...dopri5, dense: { b: b.with(0, [1, -2.8, 3, -1.1]), order } },
    "ends"
  )
  catches(
    "that is bent within",
    "dense",
    // 0 at both ends
    {
      ...dopri5,
      dense: {
        b: b.with(
          2,
          b[2].map((each, i) => each + [0, 0.01, -0.02, 0.01][i])
        ),
        order
      }
    }
  )
  catches("too high an order", "dense", { ...tsit5, dense: { ...tsit5.dense, order: 5 } as never })
  catches(
    "that is a straight line, but says it is a cubic",
    "dense",
    changed(rk4, ({ carrier }) => ({
      interpolate: ({ theta, before, after }) =>
        carrier.combine([
          [carrier.sub(carrier.scalar(1), theta), before],
          [theta, after]
        ])
    })),
    /of order (1\.9|2\.0). instead of 4/
  )
})

describe("a controller", () => {
  const broken: ReadonlyArray<
    readonly [string, (tolerance: Controller.Options) => Controller.Controller]
  > = [
    ["that never changes the step", (t) => ({ ...Controller.make(t), integral: 0, safety: 1 })],
    [
      "that takes a larger step after a larger error",
      (t) => ({ ...Controller.make(t), integral: -1 })
    ],
    ["that does too much", (t) => Controller.make({ ...t, integral: 3 })],
    ["that does too little", (t) => Controller.make({ ...t, integral: 0.02, safety: 1 })],
    ["that ignores the tolerance", () => Controller.make({ absolute: 1e-5, relative: 1e-5 })],
    ["that accepts everything", (t) => Controller.make({ ...t, absolute: 1e6 })],
    [
      "that asks for far more than it was told",
      (t) => Controller.pi({ absolute: t.absolute / 1e6, relative: t.relative / 1e6 })
    ],
    ["that is far too careful", (t) => Controller.pi({ ...t, safety: 0.1 })]
  ]
  for (const [what, make] of broken) {
    it(`catches one ${what}`, () => {
      for (const seed of seeds) {
        expect(said(() => SolverLaws.controller(make, { seed })).law).toBe("controller")
      }
    })
  }
})

it("is tried once at the least", () => {
  expect(() => SolverLaws.order(Tableau.rk4, { order: 3, runs: 0, seed: 0 })).toThrow(LawError)
})

describe("a method", () => {
  catches(
    "that is not linear",
    "linearity",
    changed(rk4, (stepper) => ({
      step: (t, h, y, memory) => {
        const taken = stepper.step(t, h, y, memory)
        const { combine, hadamard } = stepper.carrier
        return {
          ...taken,
          y: combine([
            [1, taken.y],
            [1e-6, hadamard(y, y)]
          ])
        }
      }
    }))
  )
  catches(
    "that likes one place better than others",
    "variables",
    changed(rk4, (stepper) => ({
      step: (t, h, y, memory) => {
        const taken = stepper.step(t, h, y, memory)
        return { ...taken, y: stepper.carrier.combine([[1 - 1e-6, taken.y]]) }
      }
    }))
  )
  catches(
    "that only goes forwards",
    "time",
    changed(rk4, (stepper) => ({
      step: (t, h, y, memory) =>
        stepper.step(
          t,
          typeof h === "number" ? (Math.abs(h) as never) : stepper.carrier.abs(h),
          y,
          memory
        )
    }))
  )
  catches(
    "that does not come back",
    "reversal",
    changed(rk4, (stepper) => ({
      step: (t, h, y, memory) =>
        stepper.step(
          t,
          typeof h === "number" ? (Math.abs(h) as never) : stepper.carrier.abs(h),
          y,
          memory
        )
    }))
  )
  catches(
    "that moves while no time passes",
    "emptyInterval",
    changed(rk4, ({ start }) => ({
      start: (t, y) => {
        if (y instanceof Float64Array) y[0] += 1e-6
        return start(t, y)
      }
    }))
  )
  catches(
    "that does not count",
    "evaluations",
    changed(rk4, () => ({ evaluations: { start: 0, step: 3 } })),
    "says that it evaluates"
  )
  catches(
    "that differs from carrier to carrier",
    "hostCarriers",
    {
      name: "two-faced",
      order: 4,
      bind: (carrier, f) => Method.bind(carrier.name === "number" ? rk38 : rk4, carrier, f)
    },
    "number and Float64Array"
  )
  catches(
    "whose inverse is not one",
    "inverse",
    changed(Reversible.reversibleHeun, ({ inverse, carrier }) => ({
      inverse: (t, h, y, memory) => {
        const before = (inverse as NonNullable<typeof inverse>)(t, h, y, memory)
        return { ...before, y: carrier.combine([[1 + 1e-13, before.y]]) }
      }
    }))
  )
  catches(
    "that looks back before there is anything",
    "order",
    changed(Multistep.adamsBashforth(3), ({ lead }) => ({
      lead: { ...(lead as NonNullable<typeof lead>), steps: 0 }
    }))
  )
  catches(
    "for second order whose kicks come too late",
    "order",
    SolverLaws.secondOrder({ ...SecondOrder.ruth3, drift: [0.1, 17 / 30, -2 / 3, 1] })
  )

  it("must have what the law is about", () => {
    expect(said(() => SolverLaws.inverse(rk4)).message).toContain("does not apply")
    expect(said(() => SolverLaws.control(rk4)).message).toContain("does not apply")
  })

  it("is symplectic, or is found out", () => {
    const velocityFree = { velocityFree: true }
    SolverLaws.symplectic(SolverLaws.secondOrder(SecondOrder.yoshida4, velocityFree), {
      steps: 1000
    })
    for (const method of [
      SolverLaws.secondOrder(SecondOrder.nystrom5, velocityFree),
      rk4,
      Reversible.asynchronousLeapfrog
    ]) {
      expect(said(() => SolverLaws.symplectic(method, { steps: 1000 })).law).toBe("symplectic")
    }
  })

  it("is exact for linear parts, or is found out", () => {
    const [[weight]] = Exponential.exponentialEuler.b
    const broken = {
      ...Exponential.exponentialEuler,
      b: [[[weight[0], 2, weight[2]] as const]]
    }
    expect(said(() => SolverLaws.linearPart(broken)).message).toContain("y' =")
  })
})

describe("what is said", () => {
  const broken = { ...rk4, name: "my own", order: 5 }

  it("names the law, the method, the problem and the seed", () => {
    const { message } = said(() => SolverLaws.check(broken, { seed: 7 }))
    expect(message).toMatch(
      /^my own breaks the law "order": .* 4\.0. instead of 5 on 15 problems from .*SolverLaws\.problem\("linear", "y' = f\(t, y\)", \d+\) on \(seed 7\)$/
    )
  })

  it("is said again for the same seed", () => {
    const { seed, message } = said(() =>
      SolverLaws.variables(
        changed(broken, () => ({
          name: "x",
          step: () => {
            throw new Error("no step")
          }
        }))
      )
    )
    expect(message).toContain("no step")
    const wrong = { ...rk4, c: [0, 0.4, 0.5, 1] }
    const first = said(() => SolverLaws.polynomials(wrong))
    expect(said(() => SolverLaws.polynomials(wrong, { seed: first.seed })).message).toBe(
      first.message
    )
    expect(Number.isInteger(seed)).toBe(true)
  })

  it("can be looked at: problems are what they are called", () => {
    for (const kind of ["linear", "nonlinear", "non-autonomous", "steady"] as const) {
      for (const form of ["y' = f(t, y)", "x'' = f(t, x, v)", "x'' = f(t, x)"] as const) {
        for (let seed = 0; seed < 20; seed++) {
          const { text, f, exact, from, to } = SolverLaws.problem(kind, form, seed)
          expect(text).toContain(`SolverLaws.problem("${kind}", "${form}", ${seed})`)
          const t = from + 0.3 * (to - from)
          const h = 1e-3
          const [a, b, c, d] = [-2, -1, 1, 2].map((i) => exact(t + i * h))
          const slope = f(t, exact(t))
          slope.forEach((each, i) => {
            expect((a[i] - 8 * b[i] + 8 * c[i] - d[i]) / (12 * h)).toBeCloseTo(each, 6)
          })
          const autonomous = kind === "linear" || kind === "nonlinear"
          const later = f(t + 1, exact(t))
          expect(later.every((each, i) => each === slope[i])).toBe(autonomous)
        }
      }
    }
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("on a device", (it) => {
  const twoFaced: SolverLaws.Any = {
    name: "two-faced",
    order: 4,
    bind: (carrier, f) => Method.bind(carrier.name === "tensor" ? rk38 : rk4, carrier, f)
  }

  it.effect("one that differs on tensors is caught", () =>
    Effect.gen(function* () {
      for (const seed of seeds) {
        const error = yield* Effect.flip(SolverLaws.carriers(twoFaced, { seed }))
        expect(error).toMatchObject({ law: "carriers", subject: "two-faced", seed })
      }
    })
  )

  // a seed of its own each time made this one fail once in 150 times: nearly linear problems do not tell the two apart
  it.effect("cases begin at the seed of all properties", () =>
    Effect.gen(function* () {
      const before = fc.readConfigureGlobal()
      const seed = 1
      const error = yield* Effect.acquireUseRelease(
        Effect.sync(() => fc.configureGlobal({ ...before, seed })),
        () => Effect.flip(SolverLaws.carriers(twoFaced)),
        () => Effect.sync(() => fc.configureGlobal(before))
      )
      expect(error).toMatchObject({ seed })
    })
  )

  it.effect("one that looks at the neighbours is caught", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        SolverLaws.batch(
          changed(dopri5, (stepper) => ({
            step: (t, h, y, memory) => {
              const taken = stepper.step(t, h, y, memory)
              if (stepper.carrier.name !== "tensors side by side") return taken
              const state = taken.y as Tensor.Tensor<readonly [number, number], "float64">
              const mean = Tensor.mean(state, { axis: 0, keepDims: true })
              return { ...taken, y: Tensor.add(state, Tensor.mul(mean, 1e-9)) as never }
            }
          }))
        )
      )
      expect(error).toMatchObject({ _tag: "LawError", law: "batch" })
    })
  )

  it.effect("one whose number of steps depends on the neighbours is caught", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        SolverLaws.batch(
          changed(dopri5, (stepper) => ({
            step: (t, h, y, memory) => {
              const taken = stepper.step(t, h, y, memory)
              if (stepper.carrier.name !== "tensors side by side") return taken
              const missed = taken.error as Tensor.Tensor<readonly [number, number], "float64">
              const greatest = Tensor.max(Tensor.abs(missed), { axis: 0, keepDims: true })
              return { ...taken, error: Tensor.add(Tensor.mul(missed, 0), greatest) as never }
            }
          }))
        )
      )
      expect(error).toMatchObject({ _tag: "LawError", law: "batch" })
    })
  )
})
