/** What runs leave, how they go on, and what they refuse. See `run.slow.test.ts` for how they can be left. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Dense } from "../../src/Layer/index.ts"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import type * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Npy from "../../src/Pipeline/Npy.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import type * as Train from "../../src/Pipeline/Train.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { eventsOf, left, made, network, often, random, steps, temporary } from "../support/tiny.ts"

const services = Layer.merge(Device.layerOnnx(), NodeServices.layer)

layer(services, { excludeTestServices: true })("a run", (it) => {
  it.effect("tells what it does, and ends the same where it is left and goes on", () =>
    Effect.gen(function* () {
      const experiment = yield* made(random)
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
      const { manifest } = yield* Checkpoint.open(whole)
      // of two batches of one item each
      expect(manifest.data?.position).toBe(2 * steps)
      expect(events.at(-1)).toMatchObject({ _tag: "Ended", step: steps, stopped: false })
      const expected = yield* left(whole)
      expect(expected.history.map((event) => event.step)).toEqual(
        Array.from({ length: steps }, (_, i) => i)
      )
      expect(expected.names).toEqual(["checkpoints", "experiment.json", "history.jsonl", "samples"])
      const folder = yield* temporary
      const run = Run.train(experiment, { ...often, folder })
      yield* Stream.runDrain(Stream.take(run, 7))
      // as a process that was killed leaves them, in a container where all have the same number
      for (const name of [".history.jsonl", "samples/.step-00000005.png"]) {
        yield* Files.write(`${folder}/${name}.${process.pid}-x-0.part`, "")
      }
      yield* Stream.runDrain(run)
      expect(yield* left(folder)).toEqual(expected)
    }).pipe(Effect.scoped)
  )

  it.effect("writes its history as it goes, however far its checkpoints are apart", () =>
    Effect.gen(function* () {
      const experiment = yield* made({ steps: 2500, averages: {} }, [])
      // of a step that takes no time
      const line = Dense.make({ in: 64, out: 1 })
      const task: Train.Task = {
        parameters: line.parameters,
        loss: (values, { data }) => {
          const flat = Tensor.reshape(data, [data.shape[0], 64])
          return { loss: Tensor.mean(Tensor.square(line.apply(values as never, flat as never))) }
        }
      }
      const training = { ...experiment.training, task }
      const folder = yield* temporary
      const written: Array<number> = []
      yield* Run.train({ ...experiment, training }, { folder, checkpoint: 10_000 }).pipe(
        Stream.filter((event) => event._tag === "Step" && event.step % 500 === 499),
        Stream.runForEach(() =>
          Effect.map(Run.history(folder), (history) => written.push(history.length))
        )
      )
      written.forEach((count, i) => {
        expect(count).toBeGreaterThan(500 * (i + 1) - 1000)
      })
      expect((yield* Run.history(folder)).map(({ step }) => step)).toEqual(
        Array.from({ length: 2500 }, (_, i) => i)
      )
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

  it.effect("goes on beyond a loss that is not finite where it is told to leave it out", () =>
    Effect.gen(function* () {
      const [stopping, skipping] = [yield* made({ nonFinite: "stop" }), yield* made()]
      const [folder, whole] = [yield* temporary, yield* temporary]
      yield* Effect.flip(Stream.runDrain(Run.train(stopping, { ...often, folder })))
      yield* Stream.runDrain(Run.train(skipping, { ...often, folder }))
      yield* Stream.runDrain(Run.train(skipping, { ...often, folder: whole }))
      const { history, manifests } = yield* left(folder)
      const expected = yield* left(whole)
      expect(history).toEqual(expected.history)
      expect(manifests.at(-1)).toEqual(expected.manifests.at(-1))
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
          [{ network: { ...network, width: 8 } }, "network.width"]
        ] as const) {
          const { message } = yield* Effect.flip(run({ steps: 4, ...options }, { resume: true }))
          expect(message).toContain(
            `is of another experiment: ${odd} is not the same; only \`steps\` and \`nonFinite\` may change`
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

  it.effect("goes on where its data lie elsewhere now, and not where they are others", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const files = yield* FileSystem.FileSystem
      const run = Effect.fnUntraced(function* (name: string, value: number, steps: number) {
        const data = new Float32Array(8 * 64).fill(value)
        const array = { dtype: "float32", shape: [8, 1, 8, 8], data } as const
        const path = `${folder}/${name}.npy`
        yield* files.writeFile(path, Npy.encode(Npy.fromHostArray(array)))
        const experiment = yield* made(
          { data: { name: path, layout: "first", range: "-1..1" }, steps },
          []
        )
        return yield* eventsOf(Run.train(experiment, { folder: `${folder}/run`, resume: true }))
      })
      yield* run("here", 0.5, 2)
      const [started] = yield* run("there", 0.5, 4)
      expect(started).toMatchObject({ _tag: "Started", step: 2 })
      const { message } = yield* Effect.flip(run("there", 0.25, 6))
      expect(message).toMatch(/is of other data: /)
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
