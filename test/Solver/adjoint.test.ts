import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Adjoint from "../../src/Solver/Adjoint.ts"
import * as Brownian from "../../src/Solver/Brownian.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Controller from "../../src/Solver/Controller.ts"
import * as Integration from "../../src/Solver/Integration.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Multistep from "../../src/Solver/Multistep.ts"
import * as Reversible from "../../src/Solver/Reversible.ts"
import * as Sde from "../../src/Solver/Sde.ts"
import * as SecondOrder from "../../src/Solver/SecondOrder.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import { Cost, Gradient, Random, Tensor } from "../../src/Tensor/index.ts"
import {
  type Any,
  apart,
  coupled,
  double,
  example,
  field,
  gradients,
  hunt,
  type Loss,
  type R,
  real,
  reversibles,
  run,
  sum,
  tight,
  train
} from "../support/adjoints.ts"
import { all } from "../support/devices.ts"

layer(Device.layerReference(), { excludeTestServices: true })("on what is saved", (it) => {
  const weighted: Loss = ({ y, saved }) =>
    Tensor.add(sum(y), Tensor.sum(Tensor.sin(Tensor.mul(saved as R, 3))) as R)

  it.effect("losses of the states at every step, or at given times, are differentiated", () =>
    Effect.gen(function* () {
      // the last ones are not where a step ends: interpolated
      for (const save of ["steps", [0, 0.5, 0.5, 1.5], [0.5, 2], [0.33, 1.2]] as const) {
        const problem = (method: Method.Any) => hunt(method, { count: 60 }, { to: 2, save })
        const exact = yield* gradients(Adjoint.direct, problem(coupled), weighted)
        for (const adjoint of [Adjoint.checkpointed(), Adjoint.reversible()]) {
          const found = yield* gradients(adjoint, problem(coupled), weighted)
          expect(apart(found, exact), adjoint.name).toBeLessThan(1e-12)
        }
        const smooth = yield* gradients(Adjoint.direct, problem(Tableau.dopri5), weighted)
        const back = yield* gradients(Adjoint.backsolve(), problem(Tableau.dopri5), weighted)
        // the discrete solution's derivative, and the exact one's
        expect(apart(back, smooth)).toBeLessThan(save[0] === 0.33 ? 1e-4 : 1e-5)
        expect(apart(back, smooth)).toBeGreaterThan(0)
      }
    })
  )

  it.effect("losses of states saved under a controller are, too", () =>
    Effect.gen(function* () {
      const steps = Controller.pi({ absolute: 1e-10, relative: 1e-10 })
      const problem = (method: Method.Any) =>
        hunt(method, steps, { to: 2, save: [0, 0.4, 0.4, 1.3, 2], maximumSteps: 400 })
      const exact = yield* gradients(
        Adjoint.direct,
        hunt(Tableau.dopri5, { count: 400 }, { to: 2, save: [0, 0.4, 0.4, 1.3, 2] }),
        weighted
      )
      for (const [adjoint, method] of [
        [Adjoint.direct, Tableau.dopri5],
        [Adjoint.checkpointed(), Tableau.dopri5],
        [Adjoint.reversible(), coupled],
        [Adjoint.backsolve(), Tableau.dopri5]
      ] as const)
        expect(
          apart(yield* gradients(adjoint, problem(method), weighted), exact),
          adjoint.name
        ).toBeLessThan(1e-8)
    })
  )
})

layer(Device.layerReference(), { excludeTestServices: true })("under a controller", (it) => {
  const rough = Controller.make({ absolute: 1e-4, relative: 1e-4 })
  /** y' = −k(y − cos t), whose first step is far too large. */
  const relax = (
    steps: Integration.Steps,
    options: Partial<Adjoint.Problem<Any, Any>> = {},
    systems?: number
  ): Adjoint.Problem<Any, Any> => {
    const carrier = Carrier.tensor<Any>({
      dtype: "float64",
      ...(systems === undefined ? {} : { systems })
    })
    return {
      stepper: (k) =>
        Method.bind(coupled, carrier, (t, y) =>
          Tensor.mul(Tensor.sub(Tensor.cos(t as R), y as R), k as R)
        ),
      from: 0,
      to: 2,
      steps,
      initialStep: 1,
      maximumSteps: 100,
      ...options
    }
  }

  it.effect("the discrete adjoints differentiate one and the same solution", () =>
    Effect.gen(function* () {
      const inputs = { y: real([0.2]), k: real([3]) }
      const each = (adjoint: Adjoint.Adjoint) =>
        run(inputs, ({ y, k }) => {
          const end = adjoint.integrate(relax(rough), y as Any, k as Any)
          const g = Gradient.of(sum(end.y), { y, k })
          const { accepted, rejected, evaluations, status, t } = end
          return { g, y: end.y, accepted, rejected, evaluations, status, t }
        })
      const direct = yield* each(Adjoint.direct)
      const [, , , accepted, rejected] = direct
      expect(accepted).toBeGreaterThan(3)
      expect(rejected).toBeGreaterThan(0)
      expect(apart(yield* each(Adjoint.checkpointed()), direct)).toBeLessThan(1e-13)
      expect(apart(yield* each(Adjoint.reversible()), direct)).toBeLessThan(1e-12)
      // the same steps prescribed
      const times = [0]
      const stepper = Method.bind(coupled, Carrier.number, (t, y) => 3 * (Math.cos(t) - y))
      yield* Integration.solve(stepper, 0.2, {
        from: 0,
        to: 2,
        steps: rough,
        initialStep: 1,
        save: "steps"
      }).pipe(Effect.map((solution) => times.push(...solution.times.slice(1, -1))))
      expect(times.length).toBe(accepted)
      const prescribed = relax({ at: times.slice(1) })
      const gradient = yield* run(inputs, ({ y, k }) =>
        Gradient.of(sum(Adjoint.direct.integrate(prescribed, y as Any, k as Any).y), { y, k })
      )
      expect(apart(direct.slice(0, 2), gradient)).toBeLessThan(1e-12)
    })
  )

  it.effect("systems side by side have the gradients that they have alone", () =>
    Effect.gen(function* () {
      const steps = Controller.make({ absolute: 1e-9, relative: 1e-9 })
      for (const adjoint of [
        Adjoint.direct,
        Adjoint.checkpointed(),
        Adjoint.reversible(),
        Adjoint.backsolve()
      ])
        for (const [how, save] of [
          [steps, "end"],
          [steps, [0.5, 1]],
          [{ count: 40 }, "end"],
          [{ count: 40 }, "steps"]
        ] as const) {
          const loss: Loss = ({ y, saved }) =>
            save === "end" ? sum(y) : Tensor.add(sum(y), sum(Tensor.square(saved as R)))
          const gradient = (y: ReadonlyArray<number>, k: ReadonlyArray<number>, systems?: number) =>
            run({ y: real(y), k: real(k) }, ({ y, k }) => {
              const problem = relax(how, { save, initialStep: 0.01 }, systems)
              return Gradient.of(loss(adjoint.integrate(problem, y as Any, k as Any)), { y, k })
            })
          const both = yield* gradient([0.2, -1], [1, 4], 2)
          const alone = [yield* gradient([0.2], [1]), yield* gradient([-1], [4])]
          const expected = [0, 1].flatMap((i) => alone.map((each) => each[i]))
          // backsolve takes steps of its own for both
          const tolerance = adjoint.name === "backsolve" ? 1e-7 : 1e-12
          expect(apart(both, expected), adjoint.name).toBeLessThan(tolerance)
        }
    })
  )

  it.effect("a way that does not arrive says so, and is not differentiated as if it had", () =>
    Effect.gen(function* () {
      const inputs = { y: real([0.2]), k: real([3]) }
      const fine = Controller.make({ absolute: 1e-9, relative: 1e-9 })
      const short = relax(fine, { maximumSteps: 5, save: [1, 2] })
      const [code, first, second, ...reached] = yield* run(inputs, ({ y, k }) => {
        const end = Adjoint.direct.integrate(short, y as Any, k as Any)
        return [end.status, end.saved, end.t, end.y]
      })
      expect([code, first, second]).toEqual([2, Number.NaN, Number.NaN])
      // no further than without anything to save
      const expected = yield* run(inputs, ({ y, k }) => {
        const { save: _, stepper, ...options } = short
        const { t, y: end } = Integration.run(stepper(k as Any), y as Any, options)
        return [t, end]
      })
      expect(expected[0]).toBeLessThan(1)
      expect(reached).toEqual(expected)
      for (const [adjoint, problem] of [
        ...[
          Adjoint.direct,
          Adjoint.checkpointed(),
          Adjoint.reversible(),
          Adjoint.backsolve()
        ].flatMap((adjoint) => [
          [adjoint, relax(fine, { maximumSteps: 5 })] as const,
          // within the second stretch, or before a single step is taken
          [adjoint, relax(fine, { maximumSteps: 5, save: [0.01], initialStep: 1e-3 })] as const,
          [adjoint, relax(fine, { maximumSteps: 1, initialStep: 2 })] as const
        ]),
        [Adjoint.backsolve({ steps: fine, maximumSteps: 3 }), relax({ count: 100 })] as const
      ])
        for (const loss of ["y", "saved"] as const) {
          if (loss === "saved" && !Array.isArray(problem.save)) continue
          expect(
            yield* run(inputs, ({ y, k }) =>
              Gradient.of(sum(adjoint.integrate(problem, y as Any, k as Any)[loss] as Any), {
                y,
                k
              })
            ),
            adjoint.name
          ).toEqual([Number.NaN, Number.NaN])
        }
    })
  )

  it.effect("a system that does not arrive leaves the states of its neighbours theirs", () =>
    Effect.gen(function* () {
      const steps = Controller.make({ absolute: 1e-6, relative: 1e-6 })
      // the second needs many more steps
      const [rates, y] = [real([1, 300]), real([0.2, -1])]
      for (const adjoint of [Adjoint.direct, Adjoint.checkpointed(), Adjoint.reversible()]) {
        const options = { maximumSteps: 40, initialStep: 0.01 }
        const both = yield* run({ y, k: rates }, ({ y, k }) =>
          Gradient.of(sum(adjoint.integrate(relax(steps, options, 2), y as Any, k as Any).y), {
            y,
            k
          })
        )
        const [alone] = yield* run({ y: real([0.2]), k: real([1]) }, ({ y, k }) =>
          Gradient.of(sum(adjoint.integrate(relax(steps, options), y as Any, k as Any).y), y)
        )
        expect(Number.isFinite(alone)).toBe(true)
        expect(both).toEqual([expect.closeTo(alone, 12), Number.NaN, Number.NaN, Number.NaN])
      }
    })
  )
})

layer(Device.layerReference(), { excludeTestServices: true })("every adjoint", (it) => {
  const each = [
    Adjoint.direct,
    Adjoint.unrolled,
    Adjoint.checkpointed(),
    Adjoint.reversible(),
    Adjoint.backsolve({ method: Tableau.dopri5 })
  ]
  const growth = (options: Partial<Adjoint.Problem<Any, Any>> = {}): Adjoint.Problem<Any, Any> => ({
    stepper: (p) => Method.bind(coupled, double, (_, y) => Tensor.mul(y as R, p as R)),
    from: 0,
    to: 1,
    steps: { count: 20 },
    ...options
  })

  it.effect("counts a way from the parameters to the initial state once", () =>
    Effect.gen(function* () {
      // y' = py from y(0) = sin p, so that y(1) = sin p · e^p
      const expected = (Math.sin(0.7) + Math.cos(0.7)) * Math.exp(0.7)
      const steps = Controller.make({ absolute: 1e-10, relative: 1e-10 })
      for (const adjoint of each)
        for (const problem of [growth(), growth({ steps, maximumSteps: 60 })]) {
          const [found] = yield* run(real([0.7]), (p) =>
            Gradient.of(sum(adjoint.integrate(problem, Tensor.sin(p) as Any, p as Any).y), p)
          )
          expect(found, adjoint.name).toBeCloseTo(expected, 7)
        }
    })
  )

  it.effect("of fixed steps can be differentiated again", () =>
    Effect.gen(function* () {
      // y(1) = y₀e^p: the second derivatives are 0, e^p and y₀e^p
      for (const adjoint of each) {
        const second = yield* run({ y: real([2]), p: real([0.7]) }, (at) => {
          const { y } = adjoint.integrate(growth(), at.y as Any, at.p as Any)
          const first = Gradient.of(sum(y), at)
          return [Gradient.of(sum(first.y), at), Gradient.of(sum(first.p), at)]
        })
        const expected = [0, 1, 1, 2].map((each) => each * Math.exp(0.7))
        expect(apart(second, expected), adjoint.name).toBeLessThan(1e-8)
      }
    })
  )

  it.effect("goes nowhere, and backwards", () =>
    Effect.gen(function* () {
      const steps = Controller.make({ absolute: 1e-10, relative: 1e-10 })
      for (const adjoint of each)
        for (const problem of [growth(), growth({ steps, maximumSteps: 60 })]) {
          const gradient = (to: number) =>
            run({ y: real([2]), p: real([0.7]) }, (at) =>
              Gradient.of(
                sum(adjoint.integrate({ ...problem, to }, at.y as Any, at.p as Any).y),
                at
              )
            )
          expect(yield* gradient(0), adjoint.name).toEqual([1, 0])
          const [inState, inRate] = yield* gradient(-1)
          expect(inState).toBeCloseTo(Math.exp(-0.7), 7)
          expect(inRate).toBeCloseTo(-2 * Math.exp(-0.7), 7)
        }
    })
  )

  it.effect("takes trees of states and parameters, integers among them", () =>
    Effect.gen(function* () {
      type Tree = { readonly b: R; readonly a: R }
      const carrier = Carrier.tensor<Tree>({ dtype: "float64" })
      interface Parameters {
        readonly rate: R
        readonly times: Tensor.Tensor<ReadonlyArray<number>, "int32">
      }
      const problem: Adjoint.Problem<Tree, Parameters> = {
        // the keys in another order than the state's
        stepper: ({ rate, times }) =>
          Method.bind(coupled, carrier, (_, { a, b }) => ({
            a: Tensor.mul(Tensor.neg(b), Tensor.mul(rate, Tensor.cast(times, "float64"))) as R,
            b: Tensor.mul(a, rate) as R
          })),
        from: 0,
        to: 1,
        steps: { count: 20 }
      }
      const inputs = {
        y: { b: real([1, 2]), a: real([0.5, 0.5]) },
        rate: real([0.3, 0.4]),
        times: Tensor.hostArray(Int32Array.of(1, 2))
      }
      const found = yield* Effect.forEach(each, (adjoint) =>
        run(inputs, ({ y, rate, times }) => {
          const { a, b } = adjoint.integrate(problem, y as Tree, {
            rate,
            times: times as Parameters["times"]
          }).y
          return Gradient.of(Tensor.add(sum(a), sum(Tensor.square(b))), { y, rate })
        })
      )
      for (const other of found) expect(apart(other, found[0])).toBeLessThan(1e-9)
      expect(Math.min(...found[0].map(Math.abs))).toBeGreaterThan(1e-3)
    })
  )

  it.effect("of the discrete solution takes steppers of other kinds", () =>
    Effect.gen(function* () {
      const second = (method: SecondOrder.Method): Adjoint.Problem<SecondOrder.State<Any>, R> => ({
        stepper: (p) =>
          SecondOrder.stepper(
            method,
            double,
            (_, x) => Tensor.neg(Tensor.mul(Tensor.sin(x as R), p)),
            { velocityFree: true }
          ),
        from: 0,
        to: 2,
        steps: { count: 50 }
      })
      for (const method of [SecondOrder.velocityVerlet, SecondOrder.yoshida4]) {
        const found = yield* Effect.forEach(
          [Adjoint.direct, Adjoint.checkpointed(), Adjoint.reversible()],
          (adjoint) =>
            run({ x: real([1, 0.2]), v: real([0, 0.3]), p: real([2]) }, (at) => {
              const begin = { x: at.x as Any, v: at.v as Any }
              const { x, v } = adjoint.integrate(second(method), begin, at.p).y
              return Gradient.of(Tensor.add(sum(x), sum(v)), at)
            })
        )
        for (const other of found) expect(apart(other, found[0]), method.name).toBeLessThan(1e-12)
      }
      // along one Brownian path
      const like = Tensor.zeros([3], "float64") as Any
      const path = Brownian.tree(Brownian.tensor<Any>({ key: Random.key(7), like }), {
        from: 0,
        to: 1,
        depth: 6
      })
      const noisy: Adjoint.Problem<Any, R> = {
        stepper: (p) =>
          Sde.stepper(
            Sde.reversibleHeun,
            double,
            {
              noise: "diagonal",
              interpretation: "stratonovich",
              drift: (_, y) => Tensor.mul(Tensor.sin(y as R), p),
              diffusion: (_, y) => Tensor.mul(Tensor.cos(y as R), Tensor.mul(p, 0.3))
            },
            path
          ),
        from: 0,
        to: 1,
        steps: { count: 40 }
      }
      const [along, again] = yield* Effect.forEach(
        [Adjoint.direct, Adjoint.reversible()],
        (adjoint) =>
          run({ y: real([1, -0.5, 2]), p: real([0.8]) }, ({ y, p }) =>
            Gradient.of(sum(adjoint.integrate(noisy, y as Any, p).y), { y, p })
          )
      )
      expect(apart(again, along)).toBeLessThan(1e-12)
      // with steps that lead
      const multistep = hunt(Multistep.adamsBashforth(3), { count: 50 }, { to: 1 })
      const [direct, checkpointed, back] = yield* Effect.forEach(
        [Adjoint.direct, Adjoint.checkpointed(), Adjoint.backsolve({ method: Tableau.rk4 })],
        (adjoint) => gradients(adjoint, multistep)
      )
      expect(apart(checkpointed, direct)).toBeLessThan(1e-13)
      expect(apart(back, direct)).toBeLessThan(1e-3)
    })
  )
})

describe("refused", () => {
  const solve =
    (adjoint: Adjoint.Adjoint, problem: Adjoint.Problem<Any, R>): (() => unknown) =>
    () =>
      adjoint.integrate(
        problem,
        Tensor.ones([2], "float64"),
        Tensor.ones([4], "float64") as Any as R
      )

  it("are methods and wishes that do not fit, with what to do instead", () => {
    expect(solve(Adjoint.reversible(), hunt(Tableau.rk4, { count: 5 }))).toThrow(
      "Reversible.coupled(tableau)"
    )
    const bare = {
      ...hunt(Tableau.rk4, { count: 5 }),
      stepper: (p: R) => {
        const { derivative: _, ...rest } = Method.bind(Tableau.rk4, double, field(p))
        return rest
      }
    }
    expect(solve(Adjoint.backsolve(), bare)).toThrow("take Adjoint.checkpointed()")
    for (const adjoint of [Adjoint.direct, Adjoint.reversible(), Adjoint.backsolve()])
      expect(solve(adjoint, hunt(coupled, tight, { save: "steps" }))).toThrow("name the times")
    expect(solve(Adjoint.direct, hunt(Tableau.rk4, tight))).toThrow("estimates no error")
    expect(solve(Adjoint.direct, hunt(Tableau.rk4, { count: 5 }, { to: Number.NaN }))).toThrow(
      "must be finite"
    )
    expect(solve(Adjoint.reversible(), hunt(coupled, tight, { save: [3, 2] }))).toThrow(
      "in the order of time"
    )
    expect(solve(Adjoint.direct, hunt(coupled, tight, { maximumSteps: 1.5 }))).toThrow(
      "must be a whole number"
    )
    expect(() => Adjoint.checkpointed({ every: 0 })).toThrow("every must be")
    expect(() => Adjoint.reversible({ anchors: 1.5 })).toThrow("anchors must be")
  })
})

const counts = [16, 64, 256, 1024]

describe("what it costs", () => {
  const peaks = (adjoint: Adjoint.Adjoint, method: Method.Any) =>
    counts.map((count) => Cost.of(train(adjoint, method, count)).peakBytes)

  it("in memory: n steps, √n, or one", () => {
    const direct = peaks(Adjoint.direct, coupled)
    const checkpointed = peaks(Adjoint.checkpointed(), coupled)
    const flat = [
      peaks(Adjoint.reversible(), coupled),
      peaks(Adjoint.reversible({ anchors: 1 }), coupled),
      peaks(Adjoint.backsolve(), coupled)
    ]
    counts.slice(1).forEach((_, i) => {
      expect(direct[i + 1] / direct[i]).toBeGreaterThan(3.7)
      expect(direct[i + 1] / direct[i]).toBeLessThan(4.1)
      // twice as much each time, and a constant
      expect(checkpointed[i + 1] / checkpointed[i]).toBeGreaterThan(1.6)
      expect(checkpointed[i + 1] / checkpointed[i]).toBeLessThan(2.1)
      for (const each of flat) expect(each[i + 1]).toBe(each[i])
    })
    for (const [each] of flat) expect(each).toBeLessThan(checkpointed[0])
  })

  it("in work: three, four or five times the way forward", () => {
    const ratio = (adjoint: Adjoint.Adjoint, method: Method.Any) =>
      Cost.of(train(adjoint, method, 64)).macs / Cost.of(train(adjoint, method, 64, true)).macs
    for (const method of [Tableau.rk4, Tableau.dopri5, coupled]) {
      expect(ratio(Adjoint.direct, method), method.name).toBeCloseTo(3, 1)
      expect(ratio(Adjoint.checkpointed(), method), method.name).toBeCloseTo(4, 1)
    }
    for (const method of reversibles)
      expect(ratio(Adjoint.reversible(), method), method.name).toBeLessThanOrEqual(5)
    expect(ratio(Adjoint.backsolve({ method: Tableau.rk4 }), Tableau.rk4)).toBeCloseTo(4, 1)
  })
})

for (const device of all)
  layer(device.layer, { excludeTestServices: true })(`on ${device.name}`, (it) => {
    it.effect("the device's peak keeps those laws", () =>
      Effect.gen(function* () {
        const peak = (adjoint: Adjoint.Adjoint, count: number) =>
          Effect.gen(function* () {
            const own = yield* Device.Device
            const executable = yield* own.compile(
              train(adjoint, Reversible.asynchronousLeapfrog, count)
            )
            yield* executable.run(example as never)
            return (yield* own.memory).peakBytes
          }).pipe(Effect.scoped, Effect.provide(device.layer, { local: true }))
        const ratio = (adjoint: Adjoint.Adjoint) =>
          Effect.map(
            Effect.all([peak(adjoint, 16), peak(adjoint, 256)]),
            ([few, many]) => many / few
          )
        expect(yield* ratio(Adjoint.direct)).toBeGreaterThan(8)
        expect(yield* ratio(Adjoint.checkpointed())).toBeLessThan(5)
        expect(yield* ratio(Adjoint.reversible())).toBe(1)
        expect(yield* ratio(Adjoint.backsolve())).toBe(1)
      })
    )
  })
