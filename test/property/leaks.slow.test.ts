/**
 * Whatever a pipeline does, however it ends, wherever it is stopped: after its scope nothing is left on the
 * device, and while it runs the books are exact.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Backend } from "../../src/Device/Backend.ts"
import * as Device from "../../src/Device/Device.ts"
import { DeviceError } from "../../src/Device/DeviceError.ts"
import * as Onnx from "../../src/Device/Onnx.ts"
import * as Reference from "../../src/Device/Reference.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type Action =
  | { readonly kind: "upload" | "run" | "download" | "release" | "throw" | "die" }
  | { readonly kind: "fold"; readonly steps: number; readonly perCall: number }
  | { readonly kind: "compile"; readonly which: number }
  | { readonly kind: "scope"; readonly inner: ReadonlyArray<Action> }

const { pipeline } = fc.letrec<{ pipeline: ReadonlyArray<Action>; action: Action }>((tie) => ({
  pipeline: fc.array(tie("action"), { maxLength: 6 }),
  action: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom("upload", "run", "download", "release")
      }) as fc.Arbitrary<Action>
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("fold"),
        steps: fc.nat(5),
        perCall: fc.integer({ min: 1, max: 3 })
      }) as fc.Arbitrary<Action>
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("compile"),
        which: fc.nat(2)
      }) as fc.Arbitrary<Action>
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom("throw", "die") }) as fc.Arbitrary<Action>
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("scope"),
        inner: tie("pipeline")
      }) as fc.Arbitrary<Action>
    }
  )
}))

const host = Tensor.hostArray([1, 2, 3, 4])

const programs = [0, 1, 2].map((k) =>
  Program.makeUnsafe({ x: Tensor.spec([4]) }, ({ x }) => [Tensor.mul(x, k), Tensor.sum(x)])
)

const step = Program.makeUnsafe([Tensor.spec([4]), Tensor.spec([])], ([state, x]) => [
  Tensor.add(state, x),
  Tensor.sum(state)
])

/** A backend whose calls fail, by and by. */
const failing = <B>(
  backend: Backend<B>,
  failsAt: number
): { readonly backend: Backend<B>; readonly alive: () => number } => {
  let calls = 0
  let alive = 0
  const attempt = <A>(effect: Effect.Effect<A, DeviceError>): Effect.Effect<A, DeviceError> =>
    Effect.suspend(() =>
      ++calls === failsAt
        ? Effect.fail(
            new DeviceError({
              reason: "Failed",
              device: "failing",
              operation: "test",
              shapes: [],
              message: "told to fail"
            })
          )
        : effect
    )
  const counted = <A>(effect: Effect.Effect<A, DeviceError>, count: (a: A) => number) =>
    Effect.tap(attempt(effect), (a) =>
      Effect.sync(() => {
        alive += count(a)
      })
    )
  return {
    alive: () => alive,
    backend: {
      ...backend,
      write: (array) => counted(backend.write(array), () => 1),
      read: (memory, spec) => attempt(backend.read(memory, spec)),
      free: (memory) => {
        alive -= 1
        backend.free(memory)
      },
      compile: (source) =>
        Effect.map(backend.compile(source), ({ run }) => ({
          run: (inputs) => counted(run(inputs), (results) => results.length)
        })),
      compileFold: (source, states) =>
        Effect.map(backend.compileFold(source, states), ({ run }) => ({
          run: (state, scanned, steps) =>
            counted(run(state, scanned, steps), (results) => results.length)
        }))
    }
  }
}

const perform = (
  device: Device.Service,
  actions: ReadonlyArray<Action>
): Effect.Effect<void, unknown, never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const buffers: Array<Device.Buffer> = []
      const { liveBuffers, liveBytes } = yield* device.memory
      for (const action of actions) {
        yield* Effect.yieldNow
        const last = buffers.at(-1)
        if (action.kind === "upload") buffers.push(yield* device.upload(host))
        else if (action.kind === "run") {
          const executable = yield* device.compile(programs[0])
          const x = last?.shape.length === 1 ? last : host
          buffers.push(...(yield* executable.run({ x: x as typeof host })))
        } else if (action.kind === "compile") yield* device.compile(programs[action.which])
        else if (action.kind === "download" && last !== undefined) yield* device.download(last)
        else if (action.kind === "release" && last !== undefined) {
          yield* device.release(buffers.pop())
        } else if (action.kind === "fold") {
          const fold = yield* device.fold(step)
          const xs = Tensor.hostArray(new Float32Array(action.steps), { shape: [action.steps] })
          const [state] = yield* fold.run(host, xs, { stepsPerCall: action.perCall })
          buffers.push(state)
        } else if (action.kind === "throw") return yield* Effect.fail("told to fail")
        else if (action.kind === "die") return yield* Effect.die("told to die")
        else if (action.kind === "scope") yield* perform(device, action.inner)
        const now = yield* device.memory
        expect(now.liveBuffers - liveBuffers).toBe(buffers.length)
        expect(now.liveBytes - liveBytes).toBe(buffers.reduce((sum, each) => sum + each.bytes, 0))
      }
    })
  )

const backends: ReadonlyArray<readonly [string, Effect.Effect<Backend<unknown>, unknown>]> = [
  ["reference", Effect.succeed(Reference.backend as unknown as Backend<unknown>)],
  ["cpu", Onnx.backend as unknown as Effect.Effect<Backend<unknown>, unknown>]
]

describe.each(backends)("%s", (_, make) => {
  it("keeps exact books, and nothing after the end", { timeout: 120_000 }, async () => {
    const raw = await Effect.runPromise(make)
    await fc.assert(
      fc.asyncProperty(
        pipeline,
        fc.option(fc.integer({ min: 1, max: 25 }), { nil: 0 }),
        fc.option(fc.nat(60), { nil: undefined }),
        async (actions, failsAt, interruptAfter) => {
          const { backend, alive } = failing(raw, failsAt)
          await Effect.runPromise(
            Effect.scoped(
              Effect.gen(function* () {
                const device = yield* Device.fromBackend(backend)
                const fiber = yield* Effect.forkChild(perform(device, actions))
                if (interruptAfter === undefined) {
                  const exit = yield* Fiber.await(fiber)
                  if (Exit.isFailure(exit)) {
                    // only what was told to fail may fail: a wrong book is an assertion's error
                    expect(String(exit.cause)).toContain("told to")
                  }
                } else {
                  for (let i = 0; i < interruptAfter; i++) yield* Effect.yieldNow
                  yield* Fiber.interrupt(fiber)
                }
                const { liveBytes, liveBuffers } = yield* device.memory
                expect([liveBytes, liveBuffers, alive()]).toEqual([0, 0, 0])
              })
            )
          )
        }
      ),
      { numRuns: 150 }
    )
  })

  it("would notice a buffer that outlives its scope", async () => {
    const raw = await Effect.runPromise(make)
    const { backend, alive } = failing(raw, 0)
    const careless = { ...backend, free: () => {} }
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const device = yield* Device.fromBackend(careless)
          yield* perform(device, [{ kind: "upload" }, { kind: "run" }])
          expect(alive()).toBeGreaterThan(0)
        })
      )
    )
  })
})
