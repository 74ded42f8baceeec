/** Folds: a state carried through many steps, in calls of some steps each. */
import { it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { describe, expect, vi } from "vitest"
import type { Backend } from "../../src/Device/Backend.ts"
import * as Device from "../../src/Device/Device.ts"
import * as Reference from "../../src/Device/Reference.ts"
import type { Data } from "../../src/Tensor/DType.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import { all } from "../support/devices.ts"

const running = Program.makeUnsafe(
  [{ total: Tensor.spec([2]), count: Tensor.spec([], "int32") }, { x: Tensor.spec([2]) }],
  ([{ total, count }, { x }]) => [
    // in another order than they come
    { count: Tensor.add(count, 1), total: Tensor.add(total, x) },
    { before: total, root: Tensor.sqrt(Tensor.at(x, 0)) }
  ],
  { name: "running" }
)

const rows = (n: number) =>
  Tensor.hostArray(
    Float32Array.from({ length: 2 * n }, (_, i) => i),
    { shape: [n, 2] }
  )

const start = {
  total: Tensor.hostArray([0, 0]),
  count: Tensor.hostArray(0, { dtype: "int32" })
}

const total = (n: number) => [n * (n - 1), n * n]

for (const { layer: provided, name } of all) {
  layer(provided, { excludeTestServices: true })(name, (it) => {
    it.effect("a state goes by the names of its parts", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const fold = yield* device.fold(running)
        const [state, { before }] = yield* fold.run(
          { count: start.count, total: start.total },
          { x: rows(20) },
          { stepsPerCall: 7 }
        )
        const { count, total: last } = yield* device.downloadAll(state)
        expect([Array.from(last.data), Array.from(count.data)]).toEqual([total(20), [20]])
        expect([before.shape, Array.from(before.data.subarray(0, 6))]).toEqual([
          [20, 2],
          [0, 0, 0, 1, 2, 4]
        ])
      })
    )

    it.effect("takes arrays, buffers, and some of each; fewer steps than there are inputs", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const fold = yield* device.fold(running)
        const held = yield* device.upload(start.total)
        const [first] = yield* fold.run({ ...start, total: held }, { x: rows(9) }, { steps: 4 })
        const [second] = yield* fold.run({ ...first, total: held }, { x: rows(3) })
        const { count, total: last } = yield* device.downloadAll(second)
        expect([Array.from(last.data), Array.from(count.data)]).toEqual([total(3), [7]])
        const sum = yield* device.download(first.total)
        expect(Array.from(sum.data)).toEqual(total(4))
        expect((yield* device.memory).liveBuffers).toBe(5)
      }).pipe(Effect.scoped)
    )

    it.effect("names the operation and the step where a number is lost", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const fold = yield* device.fold(running, { check: "nan" })
        const good = rows(12)
        const [state, { root }] = yield* fold.run(start, { x: good }, { stepsPerCall: 5 })
        expect([Object.keys(state), root.shape]).toEqual([["total", "count"], [12]])
        yield* device.release(state)
        const bad = { ...good, data: good.data.map((x, i) => (i === 14 || i === 18 ? -1 : x)) }
        for (const stepsPerCall of [1, 5, 12]) {
          const error = yield* Effect.flip(fold.run(start, { x: bad }, { stepsPerCall }))
          expect(error.reason).toBe("NotFinite")
          expect(error.operation).toBe("sqrt")
          expect(error.message).toContain("sqrt: gave NaN in step 7 of fold running, computing ")
        }
        expect(yield* device.memory).toMatchObject({ liveBuffers: 0, liveBytes: 0 })
      }).pipe(Effect.scoped)
    )

    it.effect("names the first in time, not in the order of the step", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        // the logarithm is late in the step, but what it spoils comes round to the sine
        const scan = Program.makeUnsafe({ x: Tensor.spec([4]) }, ({ x }) => {
          const [state] = Tensor.scan({
            init: Tensor.scalar(1),
            over: x,
            step: (s, each) => [
              Tensor.named(Tensor.log(Tensor.mul(Tensor.sin(s), each)), "late"),
              []
            ],
            reverse: true
          })
          return state
        })
        const { run } = yield* device.compile(scan, { check: "nan" })
        const error = yield* Effect.flip(run({ x: Tensor.hostArray([1, 1, -1, 3]) }))
        expect(error.operation).toBe('log "late" in a scan')
        expect(error.message).toContain("computing float32[] from (float32[])")
      })
    )

    it.effect("names it in loops within loops", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const nested = Program.makeUnsafe({ x: Tensor.spec([2, 3]) }, ({ x }) => {
          const [state] = Tensor.scan({
            init: Tensor.scalar(1),
            over: x,
            step: (outer, row) => {
              const [inner] = Tensor.scan({
                init: outer,
                over: row,
                step: (s, each) => [Tensor.div(s, each), []]
              })
              return [Tensor.exp(inner), []]
            }
          })
          return state
        })
        const { run } = yield* device.compile(nested, { check: "finite" })
        const good = yield* run({
          x: Tensor.hostArray([
            [1, 2, 3],
            [4, 5, 6]
          ])
        })
        expect(Number((yield* device.download(good)).data[0])).toBeCloseTo(1.00996, 3)
        const zero = Tensor.hostArray([
          [1, 2, 3],
          [4, 0, 6]
        ])
        const division = yield* Effect.flip(run({ x: zero }))
        expect(division.operation).toBe("div in a scan in a scan")
        const tiny = Tensor.hostArray([
          [1e-3, 1, 1],
          [1, 1, 1]
        ])
        expect((yield* Effect.flip(run({ x: tiny }))).operation).toBe("exp in a scan")
      })
    )

    const wrong: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, string, string]> = [
      ["no steps at all", [start, {}], "Mismatch", "has no inputs to count: say with `steps`"],
      [
        "inputs that are missing",
        [start, {}, { steps: 3 }],
        "Mismatch",
        'fold running: takes 1 array, "x", but got 0: give "x"'
      ],
      [
        "inputs that nobody asked for",
        [start, { x: rows(3), y: rows(3) }],
        "Mismatch",
        'takes 1 array, "x", but got 2: leave out "y"'
      ],
      [
        "inputs of other sizes",
        [start, { x: Tensor.hostArray([[1, 2, 3]]) }],
        "Mismatch",
        '"x" must be float32[1, 2], but is float32[1, 3]: give an array of that shape and dtype'
      ],
      [
        "more steps than inputs",
        [start, { x: rows(3) }, { steps: 4 }],
        "Mismatch",
        '"x" must be float32[4, 2], but is float32[3, 2]'
      ],
      [
        "a buffer as inputs",
        [start, { x: Tensor.spec([3, 2]) }],
        "Mismatch",
        "takes arrays of the host, with shape, dtype and data: make one with Tensor.hostArray"
      ],
      [
        "half a step",
        [start, { x: rows(3) }, { steps: 1.5 }],
        "Mismatch",
        "cannot make 1.5 steps: give a whole number of at least 0"
      ],
      [
        "no steps per call",
        [start, { x: rows(3) }, { stepsPerCall: 0 }],
        "Mismatch",
        "cannot make 0 steps in a call: give a whole `stepsPerCall` of at least 1"
      ],
      [
        "half a state",
        [{ total: start.total }, { x: rows(3) }],
        "Mismatch",
        'takes 2 arrays, "total", "count", but got 1: give "count"'
      ],
      [
        "a state of another dtype",
        [{ ...start, count: Tensor.hostArray(0) }, { x: rows(3) }],
        "Mismatch",
        '"count" must be int32[], but is float32[]'
      ]
    ]
    for (const [what, args, reason, message] of wrong) {
      it.effect(`refuses ${what}`, () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const fold = yield* device.fold(running)
          const run = fold.run as (...args: ReadonlyArray<unknown>) => ReturnType<typeof fold.run>
          const error = yield* Effect.flip(run(...args))
          expect([error.reason, error.operation]).toEqual([reason, "fold running"])
          expect(error.message).toContain(message)
        })
      )
    }

    it.effect("refuses a step that gives another state", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const grow = Program.makeUnsafe([{ a: Tensor.spec([2]) }, []], ([{ a }]) => [
          { a: Tensor.concat([a, a]) },
          []
        ])
        const rename = Program.makeUnsafe([{ a: Tensor.spec([2]) }, []], ([{ a }]) => [
          { b: a },
          []
        ])
        const grown = yield* Effect.flip(device.fold(grow as never))
        expect([grown._tag, grown.reason]).toEqual(["CompileError", "Mismatch"])
        expect(grown.message).toContain("it takes (a: float32[2]) and gives (a: float32[4]): give")
        const renamed = yield* Effect.flip(device.fold(rename as never))
        expect(renamed.message).toContain("it takes (a: float32[2]) and gives (b: float32[2])")
      })
    )

    it.effect("says so when the host has no room for what the steps give", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const count = Program.makeUnsafe([Tensor.spec([]), []], ([x]) => [Tensor.add(x, 1), x])
        const fold = yield* device.fold(count)
        const error = yield* Effect.flip(fold.run(Tensor.hostArray(0), [], { steps: 2 ** 45 }))
        expect(error.reason).toBe("Memory")
        expect(error.message).toContain("140,737,488,355,328 bytes as (float32[35184372088832])")
      })
    )
  })
}

describe("calls", () => {
  /** A device that is told how long steps take, and that tells of how many steps its calls were. */
  const measured = (take: (steps: number) => void, capacity = 1e9) => {
    const calls: Array<number> = []
    const backend: Backend<Data> = {
      ...Reference.backend,
      capacity,
      compileFold: (source, states) =>
        Effect.map(Reference.backend.compileFold(source, states), ({ run }) => ({
          run: (state, scanned, steps) =>
            Effect.suspend(() => {
              calls.push(steps)
              take(steps)
              return run(state, scanned, steps)
            })
        }))
    }
    return Effect.map(Device.fromBackend(backend), (device) => ({ device, calls }))
  }

  /** A device on a clock of its own, where nothing but steps takes time. */
  const slow = (millisPerStep: number) => {
    let now = 0
    const clock = Effect.acquireRelease(
      Effect.sync(() => vi.spyOn(performance, "now").mockImplementation(() => now)),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
    const take = (steps: number) => {
      now += steps * millisPerStep
    }
    return Effect.andThen(clock, measured(take))
  }

  it.effect("take a quarter of a second, once that is learnt, in later runs from the start", () =>
    Effect.gen(function* () {
      const { calls, device } = yield* slow(2)
      const fold = yield* device.fold(running)
      yield* fold.run(start, { x: rows(300) })
      expect(calls).toEqual([1, 8, 64, 125, 102])
      yield* fold.run(start, { x: rows(130) })
      expect(calls.slice(5)).toEqual([125, 5])
      yield* fold.run(start, { x: rows(126) })
      expect(calls.slice(7)).toEqual([125, 1])
    })
  )

  it.effect("are of one step where a step takes longer", () =>
    Effect.gen(function* () {
      const { calls, device } = yield* slow(300)
      const fold = yield* device.fold(running)
      yield* fold.run(start, { x: rows(3) })
      expect(calls).toEqual([1, 1, 1])
    })
  )

  it.effect("are of as many steps as there is memory for", () =>
    Effect.gen(function* () {
      const { calls, device } = yield* measured(() => {}, 400)
      const fold = yield* device.fold(running)
      const [state] = yield* fold.run(start, { x: rows(100) })
      expect(Array.from((yield* device.download(state.total)).data)).toEqual(total(100))
      const most = Math.max(...calls)
      expect(most).toBeGreaterThan(4)
      expect(most).toBeLessThan(20)
      expect((yield* device.memory).peakBytes).toBeLessThanOrEqual(400)
      // what is between the calls is gone when the next one is over
      yield* fold.run(start, { x: rows(100) }, { stepsPerCall: 1 })
      const error = yield* Effect.flip(fold.run(start, { x: rows(100) }, { stepsPerCall: 100 }))
      expect(error.reason).toBe("Memory")
      expect(error.message).toMatch(
        /needs [\d,]+ bytes, but reference has [\d,]+ bytes of 400 bytes/
      )
    })
  )

  it.live("let other fibers run in between, and end within one when interrupted", () =>
    Effect.gen(function* () {
      const { calls, device } = yield* measured((steps) => {
        const end = performance.now() + 20 * steps
        while (performance.now() < end);
      })
      const fold = yield* device.fold(running)
      let ticks = 0
      const clock = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sleep(1),
            Effect.sync(() => ticks++)
          )
        )
      )
      const working = yield* Effect.forkChild(
        Effect.scoped(fold.run(start, { x: rows(1000) }, { stepsPerCall: 2 }))
      )
      yield* Effect.sleep(300)
      yield* Fiber.interrupt(clock)
      expect(ticks).toBeGreaterThan(2)
      const before = calls.length
      expect(before).toBeGreaterThan(2)
      const exit = yield* Effect.andThen(Fiber.interrupt(working), Fiber.await(working))
      expect(Exit.hasInterrupts(exit)).toBe(true)
      expect(calls.length - before).toBeLessThanOrEqual(1)
      expect(yield* device.memory).toMatchObject({ liveBuffers: 0, liveBytes: 0 })
    })
  )
})
