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
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import { property } from "../support/device.ts"
import * as Tiny from "../support/tiny.ts"

const steps = 14

/** Two of its steps are left out: an item of each is beyond all bounds. */
const made = Effect.fnUntraced(function* (options: Experiment.Options = {}, spoilt = [9, 20]) {
  const experiment = yield* Experiment.make({
    ...Tiny.experiment,
    rate: { name: "cosine", rate: 1e-2, steps: 20 },
    averages: { ema: { name: "warmUp" }, power: { name: "power", deviation: 0.1 } },
    accumulate: 2,
    batch: 1,
    nonFinite: "skip",
    steps,
    ...options
  })
  const data = Dataset.map(experiment.data, {
    as: `spoilt ${spoilt}`,
    apply: (from, to, { index }) => {
      if (spoilt.includes(index)) to.fill(1e30)
      else to.set(from)
    }
  })
  return { ...experiment, data, training: { ...experiment.training, data } }
})

const often: Omit<Run.Options, "folder"> = {
  checkpoint: 3,
  retention: { last: Number.POSITIVE_INFINITY },
  samples: { every: 5, count: 2, plan: 2 },
  resume: true
}

const temporary = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())

const eventsOf = <E, R>(stream: Stream.Stream<Run.Event, E, R>) =>
  Effect.map(Stream.runCollect(stream), (all) => Array.from(all))

/** All that a run leaves and that must be the same: of checkpoints, those that every run makes. */
const left = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const history = (yield* Run.history(folder)).map((event) =>
    event._tag === "Step" ? { ...event, milliseconds: 0 } : event
  )
  const all = yield* Checkpoint.list(`${folder}/checkpoints`)
  const manifests = yield* Effect.forEach(all, ({ path }) =>
    Effect.map(Checkpoint.read(path), ({ manifest }) => manifest)
  )
  const names = yield* files.readDirectory(`${folder}/samples`)
  const samples = yield* Effect.forEach(names.toSorted(), (name) =>
    Effect.map(files.readFile(`${folder}/samples/${name}`), (bytes) => [
      name,
      Buffer.from(bytes).toString("base64")
    ])
  )
  return {
    history,
    manifests: manifests.filter(({ step }) => step % 3 === 0 || step === steps),
    samples,
    names: (yield* files.readDirectory(folder)).toSorted()
  }
})

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
    operations: fc.integer({ min: 1, max: 50 })
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
      const experiment = yield* made()
      const whole = yield* temporary
      const events = yield* eventsOf(Run.train(experiment, { ...often, folder: whole }))
      const told = (tag: Run.Event["_tag"]) =>
        events.flatMap((event) =>
          event._tag === tag ? ["step" in event ? event.step : Number.NaN] : []
        )
      expect(events[0]).toMatchObject({ _tag: "Started", step: 0, steps, items: 2 })
      expect(told("Skipped")).toEqual([4, 10])
      expect(told("Checkpointed")).toEqual([3, 6, 9, 12, 14])
      expect(told("Sampled")).toEqual([5, 10])
      expect(events.at(-1)).toMatchObject({ _tag: "Ended", step: steps, stopped: false })
      const expected = yield* left(whole)
      expect(expected.history.map((event) => event.step)).toEqual(
        Array.from({ length: steps }, (_, i) => i)
      )
      expect(expected.names).toEqual(["checkpoints", "experiment.json", "history.jsonl", "samples"])
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
        { numRuns: 4 }
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

  it.effect("keeps what it has where a loss is not finite, and fails again there", () =>
    Effect.gen(function* () {
      const experiment = yield* made({ nonFinite: "stop" }, [14])
      const folder = yield* temporary
      const options = { folder, checkpoint: 100 }
      const error = yield* Effect.flip(Stream.runDrain(Run.train(experiment, options)))
      expect(error).toMatchObject({ _tag: "TrainError", reason: "nonFinite", step: 7 })
      const list = Checkpoint.list(`${folder}/checkpoints`)
      expect((yield* list).map(({ step }) => step)).toEqual([7])
      expect((yield* Run.history(folder)).length).toBe(7)
      const again = yield* Effect.flip(
        Stream.runDrain(Run.train(experiment, { ...options, resume: true }))
      )
      expect(again.message).toBe(error.message)
      expect((yield* list).length).toBe(1)
      // what goes on is what led there
      const clean = yield* made({ nonFinite: "stop" }, [])
      const straight = yield* temporary
      yield* Stream.runDrain(Run.train(clean, { folder: straight, checkpoint: 7 }))
      const hashes = (at: string) =>
        Effect.map(
          Checkpoint.read(`${at}/checkpoints/step-00000007`),
          (each) => each.manifest.files
        )
      expect(yield* hashes(folder)).toEqual(yield* hashes(straight))
      const other = yield* Effect.flip(
        Stream.runDrain(Run.train(clean, { ...options, resume: true }))
      )
      expect(other).toMatchObject({ _tag: "CheckpointError", reason: "mismatch" })
      expect(other.message).toMatch(/is of other data: digits was not what digits is now/)
    }).pipe(Effect.scoped)
  )

  it.effect("fails before a rate that is none has spoilt the weights", () =>
    Effect.gen(function* () {
      const experiment = yield* made()
      const rate = (update: number) => (update < 5 ? 1e-3 : Number.NaN)
      const training = { ...experiment.training, rate }
      const folder = yield* temporary
      const error = yield* Effect.flip(
        Stream.runDrain(Run.train({ ...experiment, training }, { folder }))
      )
      // the one that was left out is no update
      expect(error.message).toBe("step 6: the learning rate must be a finite number, not NaN")
      const { snapshot } = yield* Checkpoint.open(folder)
      expect(snapshot.step).toBe(6)
      for (const { data } of Object.values(snapshot.weights)) {
        expect(Array.from(data as Float32Array).every(Number.isFinite)).toBe(true)
      }
    }).pipe(Effect.scoped)
  )

  it.effect(
    "goes on only where it is told to, with the same experiment, for more steps or fewer",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporary
        const run = (options: Experiment.Options, more: Partial<Run.Options> = {}) =>
          Effect.flatMap(made(options), (experiment) =>
            eventsOf(Run.train(experiment, { folder, ...more }))
          )
        yield* run({ steps: 4 })
        const files = yield* FileSystem.FileSystem
        const before = yield* files.readFileString(`${folder}/history.jsonl`)
        const there = yield* Effect.flip(run({ steps: 4 }))
        expect(there).toMatchObject({
          _tag: "CheckpointError",
          reason: "mismatch",
          path: `${folder}/checkpoints/step-00000004`
        })
        expect(there.message).toMatch(/is there already: resume the run, or choose another folder/)
        for (const [options, odd] of [
          [{ seed: 1 }, "seed"],
          [{ batch: 2 }, "batch"],
          [{ averages: { ema: { name: "warmUp", max: 0.5 } } }, "averages.ema.max"],
          [{ network: { ...Tiny.network, width: 8 } }, "network.width"]
        ] as const) {
          const { message } = yield* Effect.flip(run({ steps: 4, ...options }, { resume: true }))
          expect(message).toContain(
            `is of another experiment: ${odd} is not the same; only \`steps\` may change`
          )
        }
        expect(yield* files.readFileString(`${folder}/history.jsonl`)).toBe(before)
        const longer = yield* run({ steps: 7 }, { resume: true })
        expect(longer[0]).toMatchObject({ _tag: "Started", step: 4, steps: 7 })
        expect(longer.at(-1)).toMatchObject({ _tag: "Ended", step: 7, stopped: false })
        expect((yield* Run.history(folder)).map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6])
        const config = JSON.parse(yield* files.readFileString(`${folder}/experiment.json`))
        expect(config.steps).toBe(7)
        const shorter = yield* run({ steps: 5 }, { resume: true })
        expect(shorter.map((event) => event._tag)).toEqual(["Started", "Ended"])
        expect(shorter.at(-1)).toMatchObject({ step: 7, stopped: false })
        expect((yield* Run.history(folder)).length).toBe(7)
      }).pipe(Effect.scoped)
  )

  it.effect("goes on from before a damaged checkpoint where that is allowed, and mends it", () =>
    Effect.gen(function* () {
      const experiment = yield* made({ steps: 8 })
      const folder = yield* temporary
      const options = { folder, checkpoint: 3, resume: true }
      yield* Stream.runDrain(Run.train(experiment, options))
      const files = yield* FileSystem.FileSystem
      const at = (step: number) => `${folder}/checkpoints/step-0000000${step}`
      const weights = yield* files.readFile(`${at(8)}/weights.safetensors`)
      yield* files.truncate(`${at(8)}/weights.safetensors`, 30)
      const error = yield* Effect.flip(Stream.runDrain(Run.train(experiment, options)))
      expect(error).toMatchObject({ reason: "corrupt", path: at(8) })
      expect(error.message).toContain(`the one before it is ${at(6)}`)
      const events = yield* eventsOf(Run.train(experiment, { ...options, fallback: true }))
      expect(events[0]).toMatchObject({ step: 6 })
      expect(yield* files.readFile(`${at(8)}/weights.safetensors`)).toEqual(weights)
      expect((yield* Run.history(folder)).length).toBe(8)
    }).pipe(Effect.scoped)
  )

  it.effect("does not write over a history that it cannot read", () =>
    Effect.gen(function* () {
      const experiment = yield* made({ steps: 2 })
      const folder = yield* temporary
      const files = yield* FileSystem.FileSystem
      yield* Stream.runDrain(Run.train(experiment, { folder }))
      const path = `${folder}/history.jsonl`
      yield* files.remove(path)
      yield* files.makeDirectory(path)
      const error = yield* Effect.flip(
        Stream.runDrain(Run.train(experiment, { folder, resume: true }))
      )
      expect(error).toMatchObject({ _tag: "FileError", path, reason: "kind" })
      // without any it goes on
      yield* files.remove(path, { recursive: true })
      const longer = yield* made({ steps: 4 })
      yield* Stream.runDrain(Run.train(longer, { folder, resume: true }))
      expect((yield* Run.history(folder)).map(({ step }) => step)).toEqual([2, 3])
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
      yield* run
      expect(yield* left(folder)).toEqual(yield* left(whole))
    }).pipe(Effect.scoped)
  )

  it.effect("refuses what makes no sense before it does anything", () =>
    Effect.gen(function* () {
      const experiment = yield* made()
      const folder = `${yield* temporary}/run`
      const refused = (options: Partial<Run.Options>, of = experiment) =>
        Effect.map(
          Effect.flip(Stream.runDrain(Run.train(of, { folder, ...options }))),
          ({ message }) => message
        )
      const whole = (name: string, value: unknown) =>
        `Run.train: \`${name}\` must be a whole number of at least 1, not ${value}`
      expect(yield* refused({ checkpoint: 0 })).toBe(whole("checkpoint", 0))
      expect(yield* refused({ retention: { last: 0 } })).toBe(whole("retention.last", 0))
      expect(yield* refused({ retention: { every: 0.5 } })).toBe(whole("retention.every", 0.5))
      expect(yield* refused({ samples: { every: 0 } })).toBe(whole("samples.every", 0))
      expect(yield* refused({ samples: { every: 1, count: 0 } })).toBe(whole("samples.count", 0))
      expect(yield* refused({ samples: { every: 1, guidance: 2 } })).toMatch(/told no classes/)
      const sounds = { ...experiment, data: { ...experiment.data, shape: [1, 64] } }
      expect(yield* refused({ samples: { every: 1 } }, sounds)).toBe(
        "Run.train: samples: digits has items of [1, 64], which are no pictures: leave them out"
      )
      const files = yield* FileSystem.FileSystem
      expect(yield* files.exists(folder)).toBe(false)
      // nor is anything compiled for what cannot be written
      const training = {
        ...experiment.training,
        get task(): never {
          throw new Error("the training was made")
        }
      }
      yield* files.writeFileString(folder, "a file")
      const error = yield* Effect.flip(
        Stream.runDrain(Run.train({ ...experiment, training }, { folder }))
      )
      expect(error).toMatchObject({ _tag: "FileError", reason: "kind" })
    }).pipe(Effect.scoped)
  )

  it.effect("draws a column of each class where the network is told classes", () =>
    Effect.gen(function* () {
      const experiment = yield* made({ conditional: true, steps: 2 })
      const folder = yield* temporary
      const events = yield* eventsOf(
        Run.train(experiment, { folder, samples: { every: 2, count: 10, plan: 2, guidance: 2 } })
      )
      const [{ path }] = events.flatMap((event) => (event._tag === "Sampled" ? [event] : []))
      expect(path).toBe(`${folder}/samples/step-00000002.png`)
      const files = yield* FileSystem.FileSystem
      expect((yield* files.stat(path)).size > 0n).toBe(true)
    }).pipe(Effect.scoped)
  )
})
