/** However often a run is left, and by whatever, it ends as though it never had been. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as PlatformError from "effect/PlatformError"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import type * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import { property } from "../support/device.ts"
import { eventsOf, left, made, often, random, temporary } from "../support/tiny.ts"

/** A file system on which, after some calls that write, there is no more space: what is written then goes halfway. */
const limited = (inner: FileSystem.FileSystem, calls: number): FileSystem.FileSystem => {
  let rest = calls
  const cause = Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })
  const full = Effect.fail(
    PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: "any", cause })
  )
  const spend = <A, R>(
    effect: Effect.Effect<A, PlatformError.PlatformError, R>,
    half: Effect.Effect<unknown> = Effect.void
  ) => Effect.suspend(() => (rest-- > 0 ? effect : Effect.andThen(half, full)))
  return {
    ...inner,
    makeDirectory: (path, options) => spend(inner.makeDirectory(path, options)),
    rename: (from, to) => spend(inner.rename(from, to)),
    open: (path, options) => {
      const opened = inner.open(path, options)
      if (options?.flag === "r") return opened
      return spend(
        Effect.map(opened, (file) => {
          const writeAll: FileSystem.File["writeAll"] = (bytes) =>
            spend(
              file.writeAll(bytes),
              Effect.ignore(file.writeAll(bytes.subarray(0, bytes.length >> 1)))
            )
          return Object.create(file, { writeAll: { value: writeAll } })
        })
      )
    }
  }
}

type Leaving =
  | { readonly kind: "stop" | "take"; readonly events: number }
  | {
      readonly kind: "interrupt"
      readonly events: number
      readonly yields: number
      readonly operations: number
    }
  | { readonly kind: "full"; readonly calls: number }

const leavings: fc.Arbitrary<Leaving> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("stop" as const, "take" as const),
    events: fc.integer({ min: 0, max: 12 })
  }),
  fc.record({
    kind: fc.constant("interrupt" as const),
    events: fc.integer({ min: 0, max: 12 }),
    yields: fc.integer({ min: 0, max: 300 }),
    operations: fc.integer({ min: 2, max: 100 })
  }),
  fc.record({ kind: fc.constant("full" as const), calls: fc.integer({ min: 0, max: 60 }) })
)

/** Goes on with a run, and leaves it. */
const leave = Effect.fnUntraced(function* (
  experiment: Experiment.Experiment,
  folder: string,
  leaving: Leaving
) {
  switch (leaving.kind) {
    case "take":
      return yield* Run.train(experiment, { ...often, folder }).pipe(
        Stream.take(leaving.events),
        Stream.runDrain
      )
    case "stop": {
      const over = yield* Deferred.make<void>()
      let seen = 0
      const events = yield* Run.train(experiment, {
        ...often,
        folder,
        stop: Deferred.await(over)
      }).pipe(
        Stream.tap(() =>
          seen++ === leaving.events ? Deferred.succeed(over, undefined) : Effect.void
        ),
        eventsOf
      )
      const [last, saved] = events.toReversed()
      expect(last._tag).toBe("Ended")
      if (last._tag === "Ended" && last.stopped && last.step % 3 !== 0 && events.length > 2) {
        expect(saved).toMatchObject({ _tag: "Checkpointed", step: last.step })
      }
      return
    }
    case "interrupt": {
      let seen = 0
      const fiber = yield* Run.train(experiment, { ...often, folder }).pipe(
        Stream.runForEach(() =>
          Effect.sync(() => {
            seen++
          })
        ),
        Effect.provideService(Scheduler.MaxOpsBeforeYield, leaving.operations),
        Effect.forkChild
      )
      for (let after = 0; after < leaving.yields && fiber.pollUnsafe() === undefined; ) {
        if (seen > leaving.events) after++
        yield* Effect.yieldNow
      }
      return yield* Fiber.interrupt(fiber)
    }
    case "full": {
      const files = yield* FileSystem.FileSystem
      const result = yield* Stream.runDrain(Run.train(experiment, { ...often, folder })).pipe(
        Effect.provideService(FileSystem.FileSystem, limited(files, leaving.calls)),
        Effect.result
      )
      if (result._tag === "Failure") {
        expect(result.failure).toMatchObject({ _tag: "FileError", reason: "full" })
      }
    }
  }
})

const services = Layer.mergeAll(
  Device.layerOnnx(),
  NodeServices.layer,
  // where the disk is full, it says what is lost
  Logger.layer([])
)

layer(services, { excludeTestServices: true })("a run", (it) => {
  it.effect("left anywhere, by anything, ends as one that was not", () =>
    Effect.gen(function* () {
      const experiment = yield* made(random)
      const whole = yield* temporary
      yield* Stream.runDrain(Run.train(experiment, { ...often, folder: whole }))
      const expected = yield* left(whole)
      const device = yield* Device.Device
      const { liveBuffers } = yield* device.memory
      yield* property(
        fc.array(leavings, { minLength: 1, maxLength: 3 }),
        (all) =>
          Effect.gen(function* () {
            const folder = yield* temporary
            for (const leaving of all) {
              yield* leave(experiment, folder, leaving)
              // a checkpoint never knows of more than the history
              const [newest] = (yield* Checkpoint.list(`${folder}/checkpoints`)).toReversed()
              if (newest === undefined) continue
              const steps = (yield* Run.history(folder)).map(({ step }) => step)
              expect(steps.slice(0, newest.step)).toEqual(
                Array.from({ length: newest.step }, (_, i) => i)
              )
            }
            yield* Stream.runDrain(Run.train(experiment, { ...often, folder }))
            expect(yield* left(folder)).toEqual(expected)
            expect((yield* device.memory).liveBuffers).toBe(liveBuffers)
          }).pipe(Effect.scoped),
        { numRuns: 10 }
      )
    }).pipe(Effect.scoped)
  )

  it.effect("interrupted between what a call to the device did and what is told of it", () =>
    Effect.gen(function* () {
      const experiment = yield* made()
      // a rate is asked for before the call, for it, and when it is told
      for (const calls of [1, 2, 3, 4]) {
        const folder = yield* temporary
        let rest = calls
        const running: Array<Fiber.Fiber<unknown, unknown>> = []
        const rate = (update: number) => {
          if (update === 6 && --rest === 0) for (const fiber of running) fiber.interruptUnsafe()
          return experiment.training.rate(update)
        }
        const training = { ...experiment.training, rate }
        const run = Stream.runDrain(
          Run.train({ ...experiment, training }, { folder, checkpoint: 5, resume: true })
        )
        running.push(yield* Effect.forkChild(run))
        yield* Fiber.await(running[0])
        const steps = (yield* Run.history(folder)).map(({ step }) => step)
        const { snapshot } = yield* Checkpoint.open(folder)
        expect(steps).toEqual(Array.from({ length: snapshot.step }, (_, i) => i))
        // the third time it has been made
        expect(snapshot.step > 7).toBe(calls > 2)
        yield* run
        expect((yield* Run.history(folder)).length).toBe(14)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("beside another in the same folder comes to the same", () =>
    Effect.gen(function* () {
      const experiment = yield* made()
      const whole = yield* temporary
      yield* Stream.runDrain(Run.train(experiment, { ...often, folder: whole }))
      const folder = yield* temporary
      const run = Stream.runDrain(Run.train(experiment, { ...often, folder }))
      yield* Effect.all([run, run, run], { concurrency: "unbounded" })
      expect((yield* Run.history(folder)).map(({ step }) => step)).toEqual(
        Array.from({ length: 14 }, (_, i) => i)
      )
      yield* run
      expect(yield* left(folder)).toEqual(yield* left(whole))
    }).pipe(Effect.scoped)
  )
})
