/** Samples depend on the model, the seed and their numbers, and on nothing else. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Ddim, Ddpm } from "../../src/Diffusion/index.ts"
import { Parameter } from "../../src/Layer/index.ts"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import * as Ema from "../../src/Pipeline/Ema.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Model from "../../src/Pipeline/Model.ts"
import type { Snapshot } from "../../src/Pipeline/Train.ts"
import type { Tensor } from "../../src/Tensor/index.ts"
import { property } from "../support/device.ts"
import * as Tiny from "../support/tiny.ts"

const configOf = Effect.fnUntraced(function* (options: Experiment.Options = {}) {
  const { config, network } = yield* Experiment.make({ ...Tiny.experiment, ...options })
  return { config, network }
})

const snapshotOf = (parameters: unknown, step = 4, averages = ["ema", "other"]): Snapshot => ({
  step,
  skipped: 1,
  weights: Tiny.weightsOf(parameters, step),
  averages: Object.fromEntries(
    averages.map((name, i) => [name, Tiny.weightsOf(parameters, 100 * (i + 1) + step)])
  ),
  optimizer: {}
})

const modelOf = Effect.fnUntraced(function* (options: Experiment.Options = {}) {
  const { config, network } = yield* configOf(options)
  const denoising = yield* Experiment.denoising(config)
  return yield* Model.of(denoising, snapshotOf(network.parameters))
})

const sampled = (model: Model.Model, options: Model.SamplesOptions) =>
  Effect.scoped(
    Effect.map(Stream.runCollect(Model.samples(model, { plan: 3, ...options })), (parts) => {
      const all = Array.from(parts)
      const [{ shape }] = all.map(({ images }) => images)
      const each = shape.slice(1).reduce((a, b) => a * b, 1)
      return all.flatMap(({ first, images, labels }) =>
        Array.from({ length: images.shape[0] }, (_, i) => ({
          item: first + i,
          label: labels?.data[i],
          data: Array.from(images.data.subarray(i * each, (i + 1) * each))
        }))
      )
    })
  )

const weightsIn = (model: Model.Model) =>
  Tiny.bitsOf(Parameter.toRecord(model.weights) as Readonly<Record<string, Tensor.HostArray>>)

const services = Layer.merge(Device.layerOnnx(), NodeServices.layer)

layer(services, { excludeTestServices: true })("a model", (it) => {
  it.effect("makes an item the same, whatever is made beside it", () =>
    Effect.gen(function* () {
      for (const [model, sampler] of [
        [yield* modelOf(), Ddpm.make()],
        [yield* modelOf({ conditional: true }), Ddim.make()]
      ] as const) {
        const options = { seed: 5, sampler, label: (i: number) => (3 * i) % 10 }
        const all = yield* sampled(model, { ...options, count: 12, batch: 12 })
        expect(all.map(({ item }) => item)).toEqual(Array.from({ length: 12 }, (_, i) => i))
        expect(all[0].data.every((each, i) => each === all[1].data[i])).toBe(false)
        yield* property(
          fc.record({
            first: fc.integer({ min: 0, max: 11 }),
            count: fc.integer({ min: 0, max: 12 }),
            batch: fc.constantFrom(1, 3, 4, 12)
          }),
          ({ first, count, batch }) =>
            Effect.gen(function* () {
              const some = Math.min(count, 12 - first)
              const found = yield* sampled(model, { ...options, first, count: some, batch })
              expect(found.length).toBe(some)
              found.forEach(({ item, label, data }, i) => {
                expect(item).toBe(first + i)
                expect(label).toBe(model.classes === undefined ? undefined : (3 * item) % 10)
                data.forEach((each, j) => {
                  expect(Math.abs(each - all[item].data[j])).toBeLessThan(1e-5)
                })
              })
            }),
          { numRuns: 8 }
        )
      }
    })
  )

  it.effect("draws one class after the other, or those it is told", () =>
    Effect.gen(function* () {
      const model = yield* modelOf({ conditional: true })
      expect(model).toMatchObject({ classes: 10, shape: [1, 8, 8], step: 4 })
      const options = { seed: 5, count: 12, batch: 12 }
      const all = yield* sampled(model, options)
      expect(all.map(({ label }) => label)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
      // no label is asked for that is of no item
      const labels = [7, 7, 2]
      const told = yield* sampled(model, { ...options, count: 3, label: (i) => labels[i] })
      expect(told.map(({ label }) => label)).toEqual(labels)
      expect(told[2].data).toEqual(all[2].data)
      expect(told[0].data).not.toEqual(all[0].data)
      for (const odd of [-1, 11, 0.5, Number.NaN]) {
        const { message } = yield* Effect.flip(sampled(model, { ...options, label: () => odd }))
        expect(message).toBe(
          `Model.samples: label: item 0 is told the class ${odd}, but there are 0 to 9, and 10 for none`
        )
      }
    })
  )

  it.effect(
    "is guided from what it does without a class, 0, to what it does with it, 1, and on",
    () =>
      Effect.gen(function* () {
        const model = yield* modelOf({ conditional: true })
        const options = { seed: 5, count: 2, batch: 2, clip: false }
        const none = { ...options, label: () => 10 }
        const plain = yield* sampled(model, options)
        expect(yield* sampled(model, { ...options, guidance: 1 })).toEqual(plain)
        const near = (
          a: Effect.Success<ReturnType<typeof sampled>>,
          b: Effect.Success<ReturnType<typeof sampled>>
        ) => a.every(({ data }, i) => data.every((each, j) => Math.abs(each - b[i].data[j]) < 1e-3))
        const without = yield* sampled(model, none)
        expect(near(yield* sampled(model, { ...options, guidance: 0 }), without)).toBe(true)
        expect(near(yield* sampled(model, { ...none, guidance: 3 }), without)).toBe(true)
        expect(near(yield* sampled(model, { ...options, guidance: 3 }), without)).toBe(false)
        expect(near(plain, without)).toBe(false)
        const asked = (guidance: number) =>
          Effect.scoped(
            Effect.map(Model.sampling(model, { plan: 3, guidance }), (made) => made.evaluations)
          )
        expect([yield* asked(1), yield* asked(2)]).toEqual([3, 6])
        const refused = yield* Effect.flip(sampled(yield* modelOf(), { ...options, guidance: 2 }))
        expect(refused).toMatchObject({
          _tag: "TrainError",
          message:
            "Model.sampling: the network knows no classes, so that there is no guidance: leave it out"
        })
      })
  )

  it.effect("makes as many as are asked for, and refuses numbers that are none", () =>
    Effect.gen(function* () {
      const model = yield* modelOf()
      const made = yield* Effect.scoped(
        Effect.gen(function* () {
          const { samples, steps } = yield* Model.sampling(model, { plan: 3, batch: 4 })
          const parts = yield* Stream.runCollect(samples({ seed: 1, count: 10, first: 5 }))
          const seen = yield* Stream.runCollect(steps({ seed: 1, count: 10, first: 5 }))
          expect(Array.from(parts, ({ images }) => images.shape[0])).toEqual([4, 4, 2])
          const last = Array.from(seen).at(-1)
          expect(Array.from(seen).length).toBe(3)
          expect(last?.x).toEqual(Array.from(parts)[0].images)
          const none = yield* Stream.runCollect(samples({ seed: 1, count: 0 }))
          return Array.from(none).length
        })
      )
      expect(made).toBe(0)
      for (const options of [{ count: -1 }, { count: 1.5 }, { count: 1, first: Number.NaN }]) {
        const { message } = yield* Effect.flip(sampled(model, { seed: 1, ...options }))
        expect(message).toMatch(/^Model.samples: `(count|first)` must be a whole number/)
      }
    })
  )

  it.effect("keeps estimates between −1 and 1 unless told", () =>
    Effect.gen(function* () {
      const model = yield* modelOf()
      const most = (clip: boolean) =>
        Effect.map(
          sampled(model, { seed: 2, count: 4, batch: 4, clip, sampler: Ddim.make() }),
          (all) => Math.max(...all.flatMap(({ data }) => data.map(Math.abs)))
        )
      expect(yield* most(true)).toBeLessThanOrEqual(1)
      expect(yield* most(false)).toBeGreaterThan(1)
    })
  )

  const folder = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())

  it.effect("is loaded from a run, from its checkpoints, and from one of them", () =>
    Effect.gen(function* () {
      const run = yield* folder
      const { config, network } = yield* configOf({ conditional: true })
      const snapshots = [4, 8].map((step) => snapshotOf(network.parameters, step))
      for (const snapshot of snapshots) {
        yield* Checkpoint.write(`${run}/checkpoints`, { snapshot, configuration: config })
      }
      const at = `${run}/checkpoints/step-00000004`
      for (const [path, { step, averages }] of [
        [run, snapshots[1]],
        [`${run}/checkpoints`, snapshots[1]],
        [at, snapshots[0]]
      ] as const) {
        const model = yield* Model.load(path)
        expect(model).toMatchObject({ step, classes: 10, shape: [1, 8, 8], prediction: "v" })
        expect(weightsIn(model)).toEqual(Tiny.bitsOf(averages.ema))
      }
      const [{ weights, averages }] = snapshots
      const raw = yield* Model.load(at, { average: "weights" })
      expect(weightsIn(raw)).toEqual(Tiny.bitsOf(weights))
      const other = yield* Model.load(at, { average: "other" })
      expect(weightsIn(other)).toEqual(Tiny.bitsOf(averages.other))
      expect(yield* Effect.flip(Model.load(at, { average: "ma" }))).toMatchObject({
        message: 'there is no average "ma" of the weights; known are weights, ema, other'
      })

      // what is not needed may be lost, and what is needed not
      const files = yield* FileSystem.FileSystem
      yield* files.remove(`${at}/optimizer.safetensors`)
      expect((yield* Model.load(at)).step).toBe(4)
      const newest = `${run}/checkpoints/step-00000008`
      yield* files.truncate(`${newest}/weights.safetensors`, 100)
      expect(yield* Effect.flip(Model.load(run))).toMatchObject({ reason: "corrupt", path: newest })
      expect((yield* Model.load(run, { fallback: true })).step).toBe(4)
    }).pipe(Effect.scoped)
  )

  it.effect("is refused where it is of no experiment that is known", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const { config, network } = yield* configOf()
      const snapshot = snapshotOf(network.parameters)
      for (const [i, [configuration, says]] of [
        [{ ...config, network: { name: "vit" } }, 'there is no "vit"'],
        [{ ...config, schedule: "mine" }, 'there is no "mine"'],
        [{ ...config, own: 3 }, "own: there is no such field"],
        [undefined, "must be an object, not null"]
      ].entries()) {
        const at = yield* Checkpoint.write(`${path}/${i}`, { snapshot, configuration })
        const error = yield* Effect.flip(Model.load(`${path}/${i}`))
        expect(error).toMatchObject({ _tag: "CheckpointError", reason: "foreign", path: at })
        expect(error.message).toContain(says as string)
      }
      expect(yield* Effect.flip(Model.load(`${path}/nowhere`))).toMatchObject({ reason: "missing" })
      expect(yield* Effect.flip(Model.load(path))).toMatchObject({ reason: "none" })
      // weights of another network
      const configuration = { ...config, network: { ...(config.network as object), width: 8 } }
      yield* Checkpoint.write(`${path}/wide`, { snapshot, configuration })
      const { message } = yield* Effect.flip(Model.load(`${path}/wide`))
      expect(message).toMatch(/^Parameter.load: .*\[4.*\[8|^Parameter.load: .*\[8.*\[4/)
    }).pipe(Effect.scoped)
  )

  it.effect("says which shape it needs to know of a network that does not tell", () =>
    Effect.gen(function* () {
      const { network, schedule, prediction } = yield* modelOf()
      const own = { ...network, config: {} }
      const snapshot = snapshotOf(network.parameters)
      const denoising = { network: own, schedule, prediction }
      const { message } = yield* Effect.flip(Model.of(denoising, snapshot))
      expect(message).toContain("say the `shape` of an item")
      expect((yield* Model.of(denoising, snapshot, { shape: [2] })).shape).toEqual([2])
    })
  )

  it.effect("is made, after the training, of the averages along it", () =>
    Effect.gen(function* () {
      const run = yield* folder
      const averages = {
        short: { name: "power", deviation: 0.05 },
        other: { name: "warmUp" },
        long: { name: "power", gamma: 3 }
      } as const
      const { config, network } = yield* configOf({ averages })
      const snapshots = [0, 20, 40, 60].map((step) =>
        snapshotOf(network.parameters, step + 1, Object.keys(averages))
      )
      for (const snapshot of snapshots) {
        const content = { snapshot, configuration: config }
        yield* Checkpoint.write(`${run}/checkpoints`, content, { last: Number.POSITIVE_INFINITY })
      }
      // the next step was left out, so that all is as it was
      const same = { ...snapshots[3], step: snapshots[3].step + 1, skipped: 2 }
      yield* Checkpoint.write(
        `${run}/checkpoints`,
        { snapshot: same, configuration: config },
        { last: Number.POSITIVE_INFINITY }
      )
      const exact = yield* Model.reconstruct(run, { gamma: 3, at: 40 })
      expect(exact.error).toBe(0)
      expect(weightsIn(exact.model)).toEqual(Tiny.bitsOf(snapshots[2].averages.long))
      const stored = snapshots.slice(1).flatMap(({ step, averages: { short, long } }) => [
        { update: step - 1, deviation: 0.05, weights: short },
        { update: step - 1, gamma: 3, weights: long }
      ])
      const wanted = { deviation: 0.1 }
      const { model, error } = yield* Model.reconstruct(`${run}/checkpoints`, wanted)
      expect(weightsIn(model)).toEqual(Tiny.bitsOf(Ema.reconstruct(stored, wanted)))
      expect(error).toBe(Ema.coefficients(stored, wanted).error)
      expect(model).toMatchObject({ step: 62, shape: [1, 8, 8] })
      const early = yield* Effect.flip(Model.reconstruct(run, { ...wanted, at: 10 }))
      expect(early.message).toContain("there is no snapshot up to update 10; the first is of 20")
      const none = yield* folder
      const plain = { snapshot: snapshotOf(network.parameters), configuration: Tiny.experiment }
      yield* Checkpoint.write(none, { ...plain, configuration: (yield* configOf()).config })
      const { message } = yield* Effect.flip(Model.reconstruct(none, wanted))
      expect(message).toContain("there are no snapshots; store averages by `Ema.power`")
    }).pipe(Effect.scoped)
  )
})
