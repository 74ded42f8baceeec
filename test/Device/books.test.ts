/** What a device does around any backend: accounts, shares, protects what is in use, and cleans up. */
import { it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import type { Backend } from "../../src/Device/Backend.ts"
import * as Device from "../../src/Device/Device.ts"
import { CompileError, DeviceError } from "../../src/Device/DeviceError.ts"
import * as Reference from "../../src/Device/Reference.ts"
import type { Data } from "../../src/Tensor/DType.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type Memory = { readonly data: Data; freed: boolean }

interface Hooks {
  /** Before each call. */
  readonly before?: (what: "compile" | "run" | "write" | "read") => Effect.Effect<void, DeviceError>
  readonly capacity?: number
}

/** The reference backend, with memory that must be freed once, and not be used afterwards. */
const strict = ({ before = () => Effect.void, capacity = 1e9 }: Hooks = {}) => {
  let alive = 0
  let compiled = 0
  const take = (data: Data): Memory => {
    alive += 1
    return { data, freed: false }
  }
  const use = ({ data, freed }: Memory): Data => {
    if (freed) throw new Error("memory was used after it was freed")
    return data
  }
  const backend: Backend<Memory> = {
    name: "strict",
    description: "for tests",
    capacity,
    compile: (source) =>
      Effect.gen(function* () {
        yield* Effect.mapError(
          before("compile"),
          ({ message }) =>
            new CompileError({ reason: "Failed", device: "strict", program: source.name, message })
        )
        compiled += 1
        const { run } = yield* Reference.backend.compile(source)
        return {
          run: (inputs) =>
            Effect.andThen(
              before("run"),
              Effect.suspend(() =>
                Effect.map(run(inputs.map(use)), (results) => {
                  inputs.forEach(use)
                  return results.map(take)
                })
              )
            )
        }
      }),
    compileFold: (source, states) =>
      Effect.map(Reference.backend.compileFold(source, states), ({ run }) => ({
        run: (state, scanned, steps) =>
          Effect.andThen(
            before("run"),
            Effect.suspend(() =>
              Effect.map(run(state.map(use), scanned.map(use), steps), (all) => all.map(take))
            )
          )
      })),
    write: (host) =>
      Effect.andThen(before("write"), Effect.map(Reference.backend.write(host), take)),
    read: (memory, spec) =>
      Effect.andThen(
        before("read"),
        Effect.suspend(() => Reference.backend.read(use(memory), spec))
      ),
    free: (memory) => {
      use(memory)
      memory.freed = true
      alive -= 1
    }
  }
  return { backend, alive: () => alive, compiled: () => compiled }
}

const make = (hooks?: Hooks) => {
  const { backend, ...counts } = strict(hooks)
  return Effect.map(Device.fromBackend(backend), (device) => ({ device, ...counts }))
}

const failed = new DeviceError({
  reason: "Failed",
  device: "strict",
  operation: "test",
  shapes: [],
  message: "told to fail"
})

/** Fails the n-th time. */
const nth = (n: number) => {
  let calls = 0
  return Effect.suspend(() => (++calls === n ? Effect.fail(failed) : Effect.void))
}

const double = Program.makeUnsafe({ x: Tensor.spec([4]) }, ({ x }) => [
  Tensor.mul(x, 2),
  Tensor.neg(x)
])
const four = Tensor.hostArray([1, 2, 3, 4])

describe("memory", () => {
  it.effect("at its peak holds what a program computes on the way", () =>
    Effect.gen(function* () {
      const { device } = yield* make()
      const table = Program.makeUnsafe({ x: Tensor.spec([100]) }, ({ x }) =>
        Tensor.sum(Tensor.exp(Tensor.mul(Tensor.reshape(x, [100, 1]), x)))
      )
      const { cost, run } = yield* device.compile(table)
      expect(cost.peakBytes).toBeGreaterThanOrEqual(40_000)
      yield* Effect.scoped(run({ x: Tensor.hostArray(new Float32Array(100)) }))
      expect(yield* device.memory).toEqual({
        liveBytes: 0,
        liveBuffers: 0,
        peakBytes: 400 + cost.peakBytes,
        programs: 1
      })
    })
  )

  it.effect("has room for what is going on at the same time", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const before = (what: string) => (what === "write" ? Deferred.await(gate) : Effect.void)
      const { device } = yield* make({ before, capacity: 24 })
      const first = yield* Effect.forkChild(device.upload(four))
      yield* Effect.yieldNow
      const refused = yield* Effect.flip(device.upload(four))
      expect(refused.reason).toBe("Memory")
      expect(refused.message).toBe(
        "upload: needs 16 bytes, but strict has 8 bytes of 24 bytes left: release buffers, close scopes, or take smaller batches"
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(first)
      expect((yield* device.memory).liveBytes).toBe(16)
    })
  )

  it.effect("is not freed under a run that uses it", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const before = (what: string) => (what === "run" ? Deferred.await(gate) : Effect.void)
      const { alive, device } = yield* make({ before })
      const { run } = yield* device.compile(double)
      const x = yield* device.upload(four)
      const running = yield* Effect.forkChild(Effect.scoped(run({ x })))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      yield* device.release(x)
      expect([alive(), (yield* device.memory).liveBuffers]).toEqual([1, 1])
      expect((yield* Effect.flip(device.download(x))).reason).toBe("Released")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(running)
      expect([alive(), (yield* device.memory).liveBuffers]).toEqual([0, 0])
    })
  )

  it.effect("of a run that is interrupted is freed when the run is over", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const before = (what: string) => (what === "run" ? Deferred.await(gate) : Effect.void)
      const { alive, device } = yield* make({ before })
      const { run } = yield* device.compile(double)
      const running = yield* Effect.forkChild(Effect.scoped(run({ x: four })))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(running))
      yield* Effect.yieldNow
      expect(alive()).toBe(1)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(interrupting)
      expect(alive()).toBe(0)
      expect(yield* device.memory).toMatchObject({ liveBytes: 0, liveBuffers: 0 })
    })
  )

  it.effect("of a run that throws is accounted for", () =>
    Effect.gen(function* () {
      const before = (what: string) => (what === "run" ? Effect.die("broken") : Effect.void)
      const { alive, device } = yield* make({ before })
      const { run } = yield* device.compile(double)
      const exit = yield* Effect.exit(Effect.scoped(run({ x: four })))
      expect(Exit.isFailure(exit)).toBe(true)
      expect(alive()).toBe(0)
      yield* device.upload(four)
      expect(yield* device.memory).toMatchObject({ liveBytes: 16, liveBuffers: 1 })
    })
  )

  it.effect("holds all of a tree or nothing", () =>
    Effect.gen(function* () {
      const third = nth(3)
      const { alive, device } = yield* make({
        before: (what) => (what === "write" ? third : Effect.void)
      })
      const error = yield* Effect.flip(device.uploadAll({ a: four, b: [four, { c: four }] }))
      expect(error.message).toBe("told to fail")
      // the scope is still open
      expect([alive(), (yield* device.memory).liveBytes]).toEqual([0, 0])
    })
  )

  it.effect("keeps nothing of a run that a check refuses, even while its scope is open", () =>
    Effect.gen(function* () {
      const { alive, device } = yield* make()
      const logarithm = Program.makeUnsafe({ x: Tensor.spec([2]) }, ({ x }) => [
        Tensor.log(x),
        Tensor.mul(x, 2)
      ])
      const { run } = yield* device.compile(logarithm, { check: "nan" })
      const error = yield* Effect.flip(run({ x: Tensor.hostArray([-1, 1]) }))
      expect(error.message).toBe(
        "log: gave NaN in run program, computing float32[2] from (float32[2]): look at what goes in, such as the logarithm or root of what is not positive, a quotient by 0, or what grows without bound"
      )
      expect(error.shapes).toEqual([[2], [2]])
      expect([alive(), (yield* device.memory).liveBuffers]).toEqual([0, 0])
      const [y] = yield* run({ x: Tensor.hostArray([1, 1]) })
      expect(Array.from((yield* device.download(y)).data)).toEqual([0, 0])
      expect(alive()).toBe(2)
    })
  )

  it.effect("is gone with its device, whatever scopes are still open", () =>
    Effect.gen(function* () {
      const lifetime = yield* Scope.make()
      const { alive, device } = yield* Scope.provide(make(), lifetime)
      const { run } = yield* device.compile(double)
      const x = yield* device.upload(four)
      yield* run({ x })
      expect(alive()).toBe(3)
      yield* Scope.close(lifetime, Exit.void)
      expect([alive(), (yield* device.memory).liveBuffers]).toEqual([0, 0])
      const errors = [
        yield* Effect.flip(device.upload(four)),
        yield* Effect.flip(device.download(x)),
        yield* Effect.flip(run({ x: four })),
        yield* Effect.flip(device.compile(double)),
        yield* Effect.flip(device.evaluate(Tensor.zeros([2])))
      ]
      expect(errors.map((error) => "reason" in error && error.reason)).toEqual([
        "Released",
        "Released",
        "Released",
        "Failed",
        "Failed"
      ])
      expect(errors[3].message).toContain("strict was closed: provide its layer around all")
    })
  )

  it.effect("that a run gives after its device was closed is freed at once", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const before = (what: string) => (what === "run" ? Deferred.await(gate) : Effect.void)
      const lifetime = yield* Scope.make()
      const { alive, device } = yield* Scope.provide(make({ before }), lifetime)
      const { run } = yield* device.compile(double)
      const running = yield* Effect.forkChild(run({ x: four }))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      yield* Scope.close(lifetime, Exit.void)
      expect(alive()).toBe(1)
      yield* Deferred.succeed(gate, undefined)
      const [y] = yield* Fiber.join(running)
      expect([alive(), (yield* device.memory).liveBuffers]).toEqual([0, 0])
      expect((yield* Effect.flip(device.download(y))).reason).toBe("Released")
    })
  )

  it.effect("that is released twice, or with other things, is released once", () =>
    Effect.gen(function* () {
      const { alive, device } = yield* make()
      const x = yield* device.upload(four)
      yield* device.release({ x, again: [x], host: four, none: undefined, number: 1 })
      yield* device.release(x)
      expect(alive()).toBe(0)
    })
  )
})

describe("compilation", () => {
  const build = () => Program.makeUnsafe({ x: Tensor.spec([3]) }, ({ x }) => Tensor.sum(x))

  it.effect("is done once for equal programs that are compiled at the same time", () =>
    Effect.gen(function* () {
      const { compiled, device } = yield* make()
      const all = yield* Effect.forEach(
        [1, 2, 3],
        () => Effect.suspend(() => device.compile(build())),
        { concurrency: "unbounded" }
      )
      expect(compiled()).toBe(1)
      expect(all.filter(({ compileTime }) => compileTime > 0).length).toBe(1)
      expect((yield* device.memory).programs).toBe(1)
    })
  )

  it.effect("is kept for a minute after its last use", () =>
    Effect.gen(function* () {
      const { compiled, device } = yield* make()
      yield* Effect.scoped(device.compile(build()))
      yield* TestClock.adjust("50 seconds")
      yield* Effect.scoped(device.compile(build()))
      expect(compiled()).toBe(1)
      yield* TestClock.adjust("61 seconds")
      expect((yield* device.memory).programs).toBe(0)
      yield* device.compile(build())
      expect(compiled()).toBe(2)
    })
  )

  it.effect("is for the scope that it is made in", () =>
    Effect.gen(function* () {
      const { device } = yield* make()
      const step = Program.makeUnsafe([Tensor.spec([4]), []], ([x]) => [Tensor.neg(x), []])
      const { run } = yield* Effect.scoped(device.compile(double))
      const fold = yield* Effect.scoped(device.fold(step))
      const errors = [
        yield* Effect.flip(run({ x: four })),
        yield* Effect.flip(fold.run(four, [], { steps: 1 }))
      ]
      for (const { message, reason } of errors) {
        expect(reason).toBe("Released")
        expect(message).toContain("the scope that it was compiled in is closed: compile it in one")
      }
    })
  )

  it.effect("that failed is tried again", () =>
    Effect.gen(function* () {
      const first = nth(1)
      const { compiled, device } = yield* make({
        before: (what) => (what === "compile" ? first : Effect.void)
      })
      const error = yield* Effect.flip(device.compile(build()))
      expect([error._tag, error.message]).toEqual(["CompileError", "told to fail"])
      const { run } = yield* device.compile(build())
      expect(compiled()).toBe(1)
      const total = yield* run({ x: Tensor.hostArray([1, 2, 3]) })
      expect(Array.from((yield* device.download(total)).data)).toEqual([6])
      expect((yield* device.memory).programs).toBe(1)
    })
  )

  it.effect("of a program and of the same step are two", () =>
    Effect.gen(function* () {
      const { device } = yield* make()
      const step = Program.makeUnsafe([Tensor.spec([2]), []], ([x]) => [Tensor.neg(x), []])
      yield* device.compile(step)
      yield* device.fold(step)
      // the state is the first input here, both are there
      const two = Program.makeUnsafe([[Tensor.spec([2]), Tensor.spec([2])], []], ([[a, b]]) => [
        [b, a],
        []
      ])
      const one = Program.makeUnsafe([Tensor.spec([2]), Tensor.spec([2])], ([a, b]) => [b, a])
      expect(two.graph.key).toBe(one.graph.key)
      yield* device.fold(two)
      yield* device.fold(one)
      expect((yield* device.memory).programs).toBe(4)
    })
  )

  it.effect("of what is larger than the device fails with what would help", () =>
    Effect.gen(function* () {
      const { compiled, device } = yield* make({ capacity: 1000 })
      const large = Program.makeUnsafe(
        { x: Tensor.spec([100]) },
        ({ x }) => Tensor.sum(Tensor.exp(Tensor.mul(Tensor.reshape(x, [100, 1]), x))),
        { name: "large" }
      )
      for (const error of [
        yield* Effect.flip(device.compile(large)),
        yield* Effect.flip(
          device.fold(
            Program.makeUnsafe(
              [Tensor.spec([]), { x: Tensor.spec([100]) }],
              ([total, { x }]) => [
                Tensor.add(
                  total,
                  Tensor.sum(Tensor.exp(Tensor.mul(Tensor.reshape(x, [100, 1]), x)))
                ),
                []
              ],
              { name: "large" }
            )
          )
        )
      ]) {
        expect([error._tag, error.reason, error.program]).toEqual([
          "CompileError",
          "Memory",
          "large"
        ])
        expect(error.message).toMatch(
          /^large\(.*float32\[100\]\) needs [48]\d,\d{3} bytes at once, but strict has 1,000 bytes: take smaller batches/
        )
      }
      expect(compiled()).toBe(0)
    })
  )
})
