import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Device } from "../../src/Device/index.ts"
import {
  Adaptive,
  Adjoint,
  Brownian,
  Carrier,
  Controller,
  Exponential,
  Implicit,
  Integration,
  Method,
  Reversible,
  Sde,
  Tableau
} from "../../src/Solver/index.ts"
import { Random, Tensor } from "../../src/Tensor/index.ts"

const tight = Controller.pi({ absolute: 1e-10, relative: 1e-10 })
const swing = Method.bind(Tableau.dopri5, Carrier.number, (t, y) => y * Math.cos(t))
const exact = (t: number) => Math.exp(Math.sin(t))

const solved = <A>(effect: Effect.Effect<A, unknown>): A => Effect.runSync(effect)
const failure = <E>(effect: Effect.Effect<unknown, E>): E => Effect.runSync(Effect.flip(effect))

/** A ball thrown upwards: height and speed. */
const ball = Method.bind(Tableau.tsit5, Carrier.float64Array, (_, y) => Float64Array.of(y[1], -10))

describe("solve", () => {
  it("gives the end", () => {
    const { t, y, times, states, endedBy, statistics } = solved(
      Integration.solve(swing, 1, { from: 0, to: 3, steps: tight })
    )
    expect([t, times, endedBy]).toEqual([3, [3], undefined])
    expect(states).toEqual([y])
    expect(y).toBeCloseTo(exact(3), 8)
    expect(statistics.steps).toBe(statistics.accepted + statistics.rejected)
  })

  it.each([
    [0, 4],
    [4, 0],
    [-2, 1.5]
  ])("gives states at given times between %d and %d", (from, to) => {
    const save = Array.from({ length: 21 }, (_, i) => from + ((to - from) * i) / 20)
    for (const steps of [
      tight,
      { count: 200 },
      { size: 0.03 },
      { at: [0.3, 0.7, 1, 1.4].sort((a, b) => (to - from) * (a - b)) }
    ]) {
      const { times, states } = solved(
        Integration.solve(swing, exact(from), { from, to, steps, save })
      )
      expect(times).toEqual(save)
      if ("at" in steps) continue
      states.forEach((y, i) => {
        expect(y).toBeCloseTo(exact(save[i]), 7)
      })
    }
  })

  it("gives every step, and counts what they cost", () => {
    let calls = 0
    const counted = Method.bind(Tableau.bosh3, Carrier.number, (t, y) => {
      calls += 1
      return y * Math.cos(t)
    })
    fc.assert(
      fc.property(fc.double({ min: 1e-8, max: 1e-2, noNaN: true }), (tolerance) => {
        calls = 0
        const { times, states, statistics } = solved(
          Integration.solve(counted, 1, {
            from: 0,
            to: 3,
            steps: Controller.make({ absolute: tolerance, relative: tolerance }),
            save: "steps"
          })
        )
        expect(times).toHaveLength(statistics.accepted + 1)
        expect([times[0], states[0], times[times.length - 1]]).toEqual([0, 1, 3])
        expect(statistics.evaluations).toBe(calls)
      })
    )
    calls = 0
    const { statistics } = solved(
      Integration.solve(counted, 1, { from: 0, to: 3, steps: { size: 0.7 } })
    )
    expect(statistics).toEqual({ steps: 5, accepted: 5, rejected: 0, evaluations: calls })
  })

  it("can be asked for any time", () => {
    const { at } = solved(Integration.solveDense(swing, 1, { from: 0, to: 5, steps: tight }))
    fc.assert(
      fc.property(fc.double({ min: 0, max: 5, noNaN: true }), (t) => {
        expect(at(t)).toBeCloseTo(exact(t), 7)
      })
    )
    expect(() => at(5.1)).toThrow("lies between 0 and 5")
    const back = solved(Integration.solveDense(swing, exact(5), { from: 5, to: -1, steps: tight }))
    expect(back.at(2.345)).toBeCloseTo(exact(2.345), 7)
  })

  it("takes states of no elements", () => {
    const carrier = Carrier.float64Array
    const none = new Float64Array(0)
    const linear = Exponential.diagonal(carrier, none)
    for (const stepper of [
      Method.bind(Tableau.dopri5, carrier, () => none),
      Method.bind(Implicit.kvaerno3, carrier, () => none),
      Exponential.stepper(Exponential.krogstad4, carrier, { linear, nonlinear: () => none })
    ]) {
      const { y } = solved(
        Integration.solve(stepper, none, { from: 0, to: 1, steps: { count: 3 } })
      )
      expect(y).toEqual(none)
    }
  })

  it("looks at the right-hand side nowhere but between the ends", () => {
    // a large state that hardly changes: the first guess of a step is longer than the way
    for (const [from, to] of [
      [1, 0],
      [0, 1],
      [1, 1]
    ]) {
      const times: Array<number> = []
      const slow = Method.bind(Tableau.dopri5, Carrier.number, (t, _y) => {
        times.push(t)
        return 1e-3 * Math.sqrt(t * (1 - t))
      })
      solved(Integration.solve(slow, 1e3, { from, to, steps: tight }))
      expect(Math.min(...times)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...times)).toBeLessThanOrEqual(1)
    }
  })

  it("takes an interval of no length", () => {
    for (const steps of [tight, { count: 3 }, { at: [] }]) {
      const { t, y, states, statistics } = solved(
        Integration.solve(swing, 2, { from: 1, to: 1, steps, save: [1, 1] })
      )
      expect([t, y, states, statistics.steps]).toEqual([1, 2, [2, 2], 0])
    }
  })
})

describe("events", () => {
  const height = { name: "ground", condition: (_: number, y: Float64Array) => y[0] }

  it("end the integration where they happen", () => {
    const { t, y, endedBy, events } = solved(
      Integration.solve(ball, Float64Array.of(0, 10), {
        from: 0,
        to: 100,
        steps: tight,
        events: [height]
      })
    )
    // a condition that begins at 0 does not happen there
    expect(t).toBeCloseTo(2, 12)
    expect(y[1]).toBeCloseTo(-10, 11)
    expect(endedBy).toBe("ground")
    expect(events.map(({ name }) => name)).toEqual(["ground"])
  })

  it("know their direction, and need not end it", () => {
    const up = { name: "up", condition: (t: number) => Math.sin(t), direction: "rising" as const }
    const down = { ...up, name: "down", direction: "falling" as const }
    const found = (events: ReadonlyArray<typeof up | typeof down>, from = 1, to = 20) =>
      solved(
        Integration.solve(swing, exact(from), {
          from,
          to,
          steps: Controller.pi({ absolute: 1e-8, relative: 1e-8, maximumStep: 0.5 }),
          events: events.map((each) => ({ ...each, terminal: false }))
        })
      ).events
    expect(found([up]).map(({ t }) => t / Math.PI)).toEqual(
      [2, 4, 6].map((each) => expect.closeTo(each, 12))
    )
    expect(found([down]).map(({ t }) => t / Math.PI)).toEqual(
      [1, 3, 5].map((each) => expect.closeTo(each, 12))
    )
    const both = found([up, down])
    expect(both.map(({ name }) => name)).toEqual(["down", "up", "down", "up", "down", "up"])
    for (const { t, y } of both) expect(y).toBeCloseTo(exact(t), 5)
    // against time what rose falls
    expect(found([up], 20, 1).map(({ t }) => t / Math.PI)).toEqual(
      [5, 3, 1].map((each) => expect.closeTo(each, 12))
    )
  })

  it("do not happen where the condition is not defined", () => {
    for (const sign of [1, -1]) {
      const condition = (t: number) => (t < 0.3 ? sign : Number.NaN)
      const { endedBy, t } = solved(
        Integration.solve(swing, 1, {
          from: 0,
          to: 1,
          steps: tight,
          events: [{ name: "lost", condition }]
        })
      )
      expect([endedBy, t]).toEqual([undefined, 1])
    }
  })

  it("end the integration in programs, and say so", () => {
    const event = { name: "half", condition: (t: number) => t - 0.5, terminal: false }
    expect(() => Integration.run(swing, 1, { from: 0, to: 1, steps: tight, event })).toThrow(
      "`solve` on the host"
    )
  })

  it("cut what is saved", () => {
    const { times, t } = solved(
      Integration.solve(ball, Float64Array.of(0, 10), {
        from: 0,
        to: 4,
        steps: { count: 9 },
        save: [0, 1, 1.9, 2.1, 3],
        events: [height]
      })
    )
    expect(times).toEqual([0, 1, 1.9])
    expect(t).toBeCloseTo(2, 12)
  })
})

describe("failures", () => {
  const explosion = Method.bind(Tableau.dopri5, Carrier.number, (_, y) => y * y)
  const steps = Controller.make({ absolute: 1e-6, relative: 1e-6 })

  it("say how far it came, and what to do", () => {
    const short = failure(
      Integration.solve(explosion, 1, { from: 0, to: 2, steps, maximumSteps: 5 })
    )
    expect(short).toMatchObject({
      _tag: "SolverError",
      reason: "MaximumSteps",
      method: "Dormand–Prince 5(4)",
      statistics: { steps: 5 }
    })
    expect(short.message).toMatch(/raise maximumSteps/)
    const stuck = failure(
      Integration.solve(explosion, 1, {
        from: 0,
        to: 2,
        steps: Controller.make({ ...steps, minimumStep: 1e-4 })
      })
    )
    expect(stuck).toMatchObject({ reason: "MinimumStep" })
    if (stuck._tag === "SolverError") {
      expect(stuck.time).toBeCloseTo(1, 2)
      expect(stuck.state).toBeGreaterThan(100)
    }
  })

  it("name the stage that was not finite", () => {
    const broken = Method.bind(Tableau.rk4, Carrier.number, (t, y) => (t > 0.5 ? Number.NaN : y))
    expect(
      failure(Integration.solve(broken, 1, { from: 0, to: 1, steps: { count: 10 } }))
    ).toMatchObject({ reason: "NonFinite", time: 0.5, stage: 1, statistics: { accepted: 5 } })
    const root = Method.bind(Tableau.dopri5, Carrier.number, (_, y) => -Math.sqrt(y) - 0.1)
    const lost = failure(Integration.solve(root, 1, { from: 0, to: 5, steps }))
    expect(lost).toMatchObject({ reason: "NonFinite" })
    if (lost._tag === "SolverError") expect(lost.state).toBeLessThan(1e-3)
    const never = Method.bind(Tableau.dopri5, Carrier.number, () => Number.POSITIVE_INFINITY)
    expect(failure(Integration.solve(never, 1, { from: 0, to: 5, steps }))).toMatchObject({
      reason: "NonFinite",
      time: 0,
      stage: 0
    })
  })

  it("before the first step name the right-hand side there", () => {
    const side = (f: (t: number) => number) =>
      failure(
        Integration.solve(
          Method.bind(Tableau.dopri5, Carrier.number, (t, y) => y + f(t)),
          1,
          { from: 2, to: 5, steps }
        )
      )
    const never = side(() => Number.NaN)
    expect(never).toMatchObject({ reason: "NonFinite", time: 2 })
    expect(never.message).toMatch("look at the right-hand side at time 2, where it is not finite")
    const soon = side((t) => (t > 2 ? Number.NaN : 1))
    expect(soon).toMatchObject({ reason: "NonFinite", time: 2 })
    expect(soon.message).toMatch("just after time 2")
    expect(soon.message).toMatch("initialStep")
  })

  it("of tolerances below rounding say so", () => {
    const { message } = failure(
      Integration.solve(swing, 1, {
        from: 0,
        to: 1e3,
        steps: Controller.pi({ absolute: 0, relative: 1e-20 })
      })
    )
    expect(message).toMatch("relative 1e-20: they ask for more digits than numbers have")
    expect(message).not.toMatch("raise maximumSteps")
  })

  it("are found in a few steps where the right-hand side ends at time 0", () => {
    const half = Method.bind(Tableau.dopri5, Carrier.number, (t, y) => (t <= 0 ? -y : Number.NaN))
    const lost = failure(Integration.solve(half, 1, { from: 0, to: 1, steps, initialStep: 0.1 }))
    expect(lost).toMatchObject({ reason: "NonFinite", time: 0, stage: 1 })
    if (lost._tag === "SolverError") expect(lost.statistics.steps).toBeLessThan(60)
  })

  it("do not follow from a first step that is larger or smaller than the controller allows", () => {
    const decay = Method.bind(Tableau.dopri5, Carrier.number, (_, y) => -y)
    for (const initialStep of [1e-30, 0.9]) {
      const { times } = solved(
        Integration.solve(decay, 1, {
          from: 1,
          to: 0,
          steps: Controller.make({ ...steps, minimumStep: 1e-3, maximumStep: 0.1 }),
          initialStep,
          save: "steps"
        })
      )
      expect(times[0] - times[1]).toBeCloseTo(initialStep < 0.1 ? 1e-3 : 0.1, 12)
    }
  })

  it("are typed for problems that make no sense", () => {
    const message = (options: object) =>
      failure(Integration.solve(swing, 1, { from: 0, to: 1, steps, ...options })).message
    expect(message({ to: Number.NaN })).toMatch("must be finite")
    expect(message({ save: [0.5, 2] })).toMatch("not between 0 and 1")
    expect(message({ save: [0.5, 0.4] })).toMatch("in the order of time")
    expect(message({ steps: { count: 0 } })).toMatch("whole number above 0")
    expect(message({ steps: { size: -1 } })).toMatch("above 0")
    // a size from which no step follows used to leave the state as it was
    expect(message({ steps: { size: Number.POSITIVE_INFINITY } })).toMatch("above 0 and finite")
    expect(message({ steps: { size: 1e-300 } })).toMatch("too many")
    expect(message({ steps: { at: [0.5, 0.5] } })).toMatch("rise or fall strictly")
    expect(message({ steps: { at: [0, 0.5, 1] } })).toMatch("leave out the ends")
    for (const [steps, said] of [
      [undefined, "must be a controller"],
      [null, "must be a controller"],
      [10, "not 10"],
      [{ absolute: 1e-6, relative: 1e-6 }, "wrap tolerances in Controller.pi"],
      [{ relative: 1e-6 }, "wrap tolerances in Controller.pi"],
      [{}, "but have nothing"],
      [{ number: 3 }, "but have number"]
    ] as const) {
      expect(message({ steps })).toMatch(said)
      const options = { from: 0, to: 1, steps } as never
      expect(() => Integration.run(swing, 1, options)).toThrow(said)
    }
    for (const initialStep of [0, -0.1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(message({ initialStep })).toMatch("above 0 and finite")
      expect(() => Integration.run(swing, 1, { from: 0, to: 1, steps, initialStep })).toThrow(
        "above 0 and finite"
      )
    }
    for (const maximumSteps of [0, -1, Number.NaN]) {
      expect(message({ maximumSteps })).toMatch("at least 1")
    }
    expect(() => Controller.make({ ...steps, integral: Number.NaN })).toThrow("must be finite")
    for (const wrong of [[1], [1, 2, 3]]) {
      const side = Method.bind(Tableau.dopri5, Carrier.float64Array, () => Float64Array.from(wrong))
      expect(
        failure(Integration.solve(side, Float64Array.of(1, 2), { from: 0, to: 1, steps })).message
      ).toMatch(`vectors of 2 and of ${wrong.length} elements`)
    }
    expect(() => Carrier.struct({})).toThrow("at least one part")
    const rk4 = Method.bind(Tableau.rk4, Carrier.number, (_, y) => y)
    expect(failure(Integration.solve(rk4, 1, { from: 0, to: 1, steps })).message).toMatch(
      "estimates no error"
    )
    // a first step would not help it
    const { derivative: _, ...bare } = rk4
    expect(failure(Integration.solve(bare, 1, { from: 0, to: 1, steps })).message).toMatch(
      "estimates no error"
    )
  })
})

describe("run", () => {
  type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">
  const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: 3 })
  const rates = [0.5, 1, 2]
  const rate = Tensor.constant(rates, { dtype: "float64" })
  const side = Method.bind(Tableau.dopri5, carrier, (t, y) =>
    Tensor.mul(y as F64, Tensor.mul(rate, Tensor.cos(Tensor.mul(t as F64, rate))))
  )
  const alone = (rate: number) =>
    Method.bind(Tableau.dopri5, Carrier.number, (t, y) => y * rate * Math.cos(rate * t))
  const ones = Tensor.ones([3], "float64") as Tensor.Any
  const evaluated = <A>(tree: A) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const device = yield* Device.Device
        return yield* device.evaluate(tree as never)
      }).pipe(Effect.provide(Device.layerReference()))
    ) as Promise<never>
  interface Numbers {
    readonly data: ReadonlyArray<number>
    readonly shape: ReadonlyArray<number>
  }

  it.each([0, 3])(
    "agrees with the host, each system by itself, from 0 or back to it",
    async (from) => {
      const to = 3 - from
      const save = [0, 0.25, 1, 1.1, 2.9].map((t) => (from === 0 ? t : 3 - t))
      for (const steps of [tight, { count: 50 }]) {
        const outcome = Integration.run(side, ones, { from, to, steps, save })
        const { y, saved, evaluations, accepted } = (await evaluated(outcome)) as {
          readonly [K in "y" | "saved" | "evaluations" | "accepted"]: Numbers
        }
        expect(saved.shape).toEqual([5, 3])
        rates.forEach((rate, i) => {
          const host = solved(Integration.solve(alone(rate), 1, { from, to, steps, save }))
          expect(y.data[i]).toBeCloseTo(host.y, 11)
          expect(evaluations.data[i]).toBe(host.statistics.evaluations)
          expect(accepted.data[i]).toBe(host.statistics.accepted)
          host.states.forEach((state, j) => {
            expect(saved.data[3 * j + i]).toBeCloseTo(state, 11)
          })
        })
      }
    }
  )

  it("ends each system at its event", async () => {
    const condition = (_: unknown, y: Tensor.Any) => Tensor.sub(y as F64, 1.5) as Tensor.Any
    const outcome = Integration.run(side, ones, {
      from: 0,
      to: 1.2,
      steps: tight,
      save: [0.1, 0.5, 1.1],
      event: { name: "full", condition }
    })
    const { t, y, status, saved } = (await evaluated(outcome)) as {
      readonly [K in "t" | "y" | "status" | "saved"]: Numbers
    }
    // exp(sin(rt)) = 3/2
    const happens = rates.map((rate) => Math.asin(Math.log(1.5)) / rate)
    happens.forEach((time, i) => {
      expect(t.data[i]).toBeCloseTo(time, 8)
      expect(y.data[i]).toBeCloseTo(1.5, 8)
      expect(status.data[i]).toBe(6)
      ;[0.1, 0.5, 1.1].forEach((each, j) => {
        const value = saved.data[3 * j + i]
        if (each > time) expect(value).toBeNaN()
        else expect(value).toBeCloseTo(Math.exp(Math.sin(rates[i] * each)), 8)
      })
    })
  })

  it("off a Brownian path says what else than the right-hand side may be amiss", async () => {
    const single = Carrier.tensor<Tensor.Any>()
    const like = Tensor.zeros([2]) as Tensor.Any
    const path = Brownian.tree(Brownian.tensor({ key: Random.key(1), like }), { from: 0, to: 1 })
    const noisy = Sde.stepper(
      Sde.eulerMaruyama,
      single,
      { drift: () => like, diffusion: () => Tensor.ones([2]) as Tensor.Any, noise: "additive" },
      path
    )
    const steps = { count: 4 }
    const outcome = await evaluated(Integration.run(noisy, like, { from: 0, to: 2, steps }))
    const error = failure(Integration.verify(noisy, 2, outcome))
    expect(error).toMatchObject({ reason: "NonFinite" })
    expect(error.message).toMatch("look whether its Brownian path lies over all times")
  })

  it("refuses to control steps in float16, where the bounds of control are 0 or infinite", () => {
    const half = Method.bind(Tableau.dopri5, Carrier.tensor<Tensor.Any>({ dtype: "float16" }), () =>
      Tensor.zeros([2], "float16")
    )
    const start = Tensor.ones([2], "float16") as Tensor.Any
    const run = (steps: Integration.Steps) => () =>
      Integration.run(half, start, { from: 0, to: 1, steps })
    expect(run(Controller.pi({ absolute: 1e-2, relative: 1e-2 }))).toThrow(
      'take Carrier.tensor({ dtype: "float32" })'
    )
    expect(run({ count: 3 })).not.toThrow()
  })

  it.each(["float32", "float64"] as const)(
    "in %s end where the right-hand side does, not at the bound on steps",
    async (dtype) => {
      const carrier = Carrier.tensor<Tensor.Any>({ dtype })
      const root = Method.bind(Tableau.dopri5, carrier, (t, y) => {
        const rest = Tensor.sub(1, t as F64)
        return Tensor.mul(y as F64, Tensor.sqrt(rest))
      })
      for (const [from, to] of [
        [0, 2],
        [-1, 2]
      ]) {
        const outcome = Integration.run(root, Tensor.ones([2], dtype) as Tensor.Any, {
          from,
          to,
          steps: Controller.pi({ absolute: 1e-3, relative: 1e-3 }),
          initialStep: 0.1
        })
        // as numbers, whatever the dtype
        const { t, status } = (await evaluated({
          t: Tensor.cast(outcome.t, "float64"),
          status: Tensor.cast(outcome.status, "float64")
        })) as { readonly [K in "t" | "status"]: Numbers }
        expect(t.data[0]).toBeCloseTo(1, 2)
        expect(status.data[0]).toBe(Adaptive.status.nonFinite)
      }
    }
  )

  it("writes no step twice where the last time saved is the end", () => {
    const written = (save: ReadonlyArray<number>) => {
      let count = 0
      const counted = Method.bind(Tableau.dopri5, carrier, (_, y) => {
        count += 1
        return y
      })
      Integration.run(counted, ones, { from: 0, to: 1, steps: tight, save })
      return count
    }
    expect(written([0.5, 1])).toBeLessThan(written([0.5]))
    expect(written([1])).toBe(written([0.5, 1]))
  })

  it("has arrived where rounding takes a step to the end", () => {
    const ulp = Number.EPSILON
    const to = 1 + 40 * ulp
    const options = { from: 1, to, controller: tight, initialStep: 39.55 * ulp }
    const state = Adaptive.begin(swing, 1, options)
    const { next, h } = Adaptive.advance(swing, options, state)
    expect(h).toBeLessThan(to - 1)
    expect([next.t, next.status]).toEqual([to, Adaptive.status.done])
  })

  it("halves a step as often as its scalars have digits to find an event", () => {
    const found = (epsilon: number) => {
      let count = 0
      const side = Method.bind(Tableau.dopri5, { ...Carrier.number, epsilon }, () => 1)
      const condition = (_: number, y: number) => {
        count += 1
        return y - 0.3
      }
      const events = [{ name: "third", condition }]
      const options = { from: 0, to: 1, steps: { count: 1 }, events }
      const { t } = solved(Integration.solve(side, 0, options))
      return { count, error: Math.abs(t - 0.3) }
    }
    const [double, single] = [found(2 ** -52), found(2 ** -23)]
    expect([double.count, single.count]).toEqual([2 + 53, 2 + 24])
    expect(double.error).toBeLessThan(2 ** -52)
    expect(single.error).toBeLessThan(2 ** -23)
  })

  it("takes elements that stay 0, where only relative errors are tolerated", async () => {
    const steps = Controller.pi({ absolute: 0, relative: 1e-8 })
    const side = Method.bind(Tableau.dopri5, Carrier.float64Array, (_, y) => y.map((each) => -each))
    for (const norm of ["rms", "max"] as const) {
      const options = { from: 0, to: 1, steps: { ...steps, norm } }
      const { y } = solved(Integration.solve(side, Float64Array.of(1, 0), options))
      expect(y[0]).toBeCloseTo(Math.exp(-1), 8)
      expect(y[1]).toBe(0)
      for (const dtype of ["float32", "float64"] as const) {
        const carrier = Carrier.tensor<Tensor.Any>({ dtype })
        const tensors = Method.bind(Tableau.dopri5, carrier, (_, y) => Tensor.neg(y as F64))
        const start = Tensor.constant([1, 0], { dtype }) as Tensor.Any
        const outcome = Integration.run(tensors, start, { ...options, steps: { ...steps, norm } })
        const { status } = (await evaluated(outcome)) as { readonly status: Numbers }
        expect(status.data[0]).toBe(Adaptive.status.done)
      }
    }
  })

  it("refuses a state of another dtype than the times'", () => {
    const single = Carrier.tensor<Tensor.Any>()
    const decay = Method.bind(Tableau.dopri5, single, (_, y) => Tensor.neg(y as F64))
    const pair = Method.bind(
      Tableau.dopri5,
      Carrier.struct({ x: single, v: single }),
      (_, { x, v }) => ({ x: v, v: x })
    )
    for (const steps of [tight, { count: 3 }]) {
      const options = { from: 0, to: 1, steps }
      const refused = "a state of float64 does not go with times and step sizes of float32"
      expect(() => Integration.run(decay, ones, options)).toThrow(refused)
      expect(() => Integration.run(decay, ones, options)).toThrow(
        'take Carrier.tensor({ dtype: "float64" })'
      )
      expect(() =>
        Integration.run(pair, { x: Tensor.ones([3]) as Tensor.Any, v: ones }, options)
      ).toThrow(refused)
      const whole = Tensor.zeros([3], "int32") as Tensor.Any
      expect(() => Integration.run(decay, whole, options)).toThrow("cast the state")
      for (const adjoint of [
        Adjoint.direct,
        Adjoint.checkpointed(),
        Adjoint.reversible(),
        Adjoint.backsolve()
      ])
        expect(() =>
          adjoint.integrate(
            {
              stepper: () =>
                Method.bind(Reversible.coupled(Tableau.dopri5), single, (_, y) =>
                  Tensor.neg(y as F64)
                ),
              ...options
            },
            ones,
            []
          )
        ).toThrow(refused)
    }
  })

  it("takes states of no elements, or no tensors", async () => {
    const empty = Tensor.zeros([0, 2])
    for (const state of [
      [],
      {},
      empty,
      { a: empty, b: Tensor.ones([3]) },
      { a: empty, b: [] }
    ] as ReadonlyArray<unknown>)
      for (const norm of ["rms", "max"] as const)
        for (const steps of [
          Controller.pi({ absolute: 1e-4, relative: 1e-4, norm }),
          { count: 3 }
        ]) {
          const carrier = Carrier.tensor<unknown>()
          const same = Method.bind(Tableau.dopri5, carrier, (_, y) => y)
          const options = { from: 0, to: 1, steps, save: [0.5, 1] }
          const { status, y } = Integration.run(same, state, options)
          const found = (await evaluated({ status, y })) as {
            readonly status: Numbers
            readonly y: { readonly b?: Numbers }
          }
          expect(found.status.data[0]).toBe(Adaptive.status.done)
          for (const each of found.y.b?.data ?? []) expect(each).toBeCloseTo(Math.E, 2)
        }
  })

  it("tells by its status what `verify` fails with", async () => {
    const outcome = Integration.run(side, ones, { from: 0, to: 3, steps: tight, maximumSteps: 20 })
    const numbers = await evaluated(outcome)
    const error = failure(Integration.verify(side, 3, numbers))
    expect(error).toMatchObject({ reason: "MaximumSteps", statistics: { steps: 20 } })
    expect(error.message).toMatch(`relative tolerance should be well above ${2 ** -52}`)
    const fine = await evaluated(Integration.run(side, ones, { from: 0, to: 3, steps: tight }))
    expect(Effect.runSync(Integration.verify(side, 3, fine))).toBeUndefined()
  })
})
