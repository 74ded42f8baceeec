/** A training is a fold: where it is cut, and how, makes no difference. */
import { layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Schedule } from "../../src/Diffusion/index.ts"
import { Dense, Initializer, Parameter, UNet } from "../../src/Layer/index.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Ema from "../../src/Pipeline/Ema.ts"
import * as LearningRate from "../../src/Pipeline/LearningRate.ts"
import * as Optimizer from "../../src/Pipeline/Optimizer.ts"
import { DataError, type TrainError } from "../../src/Pipeline/PipelineError.ts"
import * as Train from "../../src/Pipeline/Train.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"
import { property } from "../support/device.ts"

// a line through noisy points: item i is (x₀, x₁, y)
const points = (count: number, change: (floats: Float32Array) => void = () => {}) => {
  const { data } = HostRandom.normal(HostRandom.key(3), [count, 3])
  const floats = Float32Array.from(data)
  for (let i = 0; i < count; i++) floats[3 * i + 2] = floats[3 * i] - 2 * floats[3 * i + 1]
  change(floats)
  return Dataset.fromArrays({ name: "points", shape: [3], floats })
}

const dense = Dense.make({ in: 2, out: 1 })

/** The squares of what is left, with some noise of the key's if told. */
const regression = (noise = 0): Train.Task => ({
  parameters: { dense: dense.parameters },
  loss: (values, { data }, key) => {
    const rest = (from: number, to: number) =>
      Tensor.slice(data, 1, { start: from, stop: to }) as Tensor.Tensor<readonly [number, 2]>
    const drawn = Tensor.mul(Random.normal(key, [data.shape[0], 1]), noise)
    const predicted = dense.apply((values as { readonly dense: never }).dense, rest(0, 2))
    const squares = Tensor.square(Tensor.sub(Tensor.add(predicted, drawn), rest(2, 3)))
    const items = Tensor.reshape(squares, [data.shape[0]])
    return { loss: Tensor.mean(items) as never, items: items as never }
  }
})

const base: Train.Options = {
  task: regression(0.1),
  data: points(23),
  optimizer: Optimizer.adam(),
  rate: LearningRate.constant(0.05),
  batch: 4,
  averages: { slow: Ema.constant(0.9), fast: Ema.constant(0.5) },
  seed: 7
}

const bits = (snapshot: Train.Snapshot) => {
  const of = (arrays: Readonly<Record<string, Tensor.HostArray>>) =>
    Object.fromEntries(
      Object.entries(arrays)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { data }]) => [
          name,
          Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex")
        ])
    )
  const { step, skipped, weights, averages, optimizer } = snapshot
  return {
    step,
    skipped,
    weights: of(weights),
    optimizer: of(optimizer),
    averages: Object.fromEntries(Object.entries(averages).map(([name, all]) => [name, of(all)]))
  }
}

const eventsOf = (training: Train.Training, options: Train.RunOptions) =>
  Stream.runCollect(training.run(options)).pipe(Effect.map((all) => Array.from(all)))

/** From the beginning to a step. */
const straight = (options: Train.Options, to: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const training = yield* Train.make(options)
      const events = yield* eventsOf(training, { to })
      return { events, snapshot: yield* training.snapshot }
    })
  )

const numbers = (snapshot: Train.Snapshot, name = "dense.weight") =>
  Array.from(snapshot.weights[name].data as Float32Array)

/** Of a U-Net that compiles in no time. */
const plain = {
  multipliers: [1],
  attention: ["none"],
  middleAttention: "none",
  blocks: 1,
  groups: 2
} as const

const failure = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.flip(effect as Effect.Effect<A, TrainError, R>)

layer(Device.layerOnnx(), { excludeTestServices: true })("training", (it) => {
  it.effect("learns the line", () =>
    Effect.gen(function* () {
      const { events, snapshot } = yield* straight({ ...base, task: regression() }, 400)
      expect(events.map(({ step }) => step)).toEqual(Array.from({ length: 400 }, (_, i) => i))
      expect(events[0].loss).toBeGreaterThan(0.5)
      expect(events[399].loss).toBeLessThan(1e-3)
      const [a, b] = numbers(snapshot)
      expect(a).toBeCloseTo(1, 1)
      expect(b).toBeCloseTo(-2, 1)
      expect(snapshot.step).toBe(400)
    })
  )

  it.effect(
    "goes on from a snapshot, bit for bit, wherever it is cut and however it is called",
    () =>
      property(
        fc.record({
          to: fc.integer({ min: 1, max: 20 }),
          cuts: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 3 }),
          marks: fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 2 }),
          accumulate: fc.integer({ min: 1, max: 3 }),
          optimizer: fc.constantFrom(
            Optimizer.adam(),
            Optimizer.sgd({ momentum: 0.9 }),
            Optimizer.lion(),
            // remembers a number of all parameters, and the gradient before
            Optimizer.nadam(),
            Optimizer.adan()
          )
        }),
        ({ to, cuts, marks, accumulate, optimizer }) =>
          Effect.gen(function* () {
            const options = {
              ...base,
              accumulate,
              optimizer,
              rate: LearningRate.cosine({ rate: 0.05, steps: 20 })
            }
            const whole = yield* straight(options, to)
            let from: Train.Snapshot | undefined
            for (const cut of [...cuts.filter((each) => each < to).sort((a, b) => a - b), to]) {
              from = yield* Effect.scoped(
                Effect.gen(function* () {
                  const training = yield* Train.make({ ...options, ...(from && { from }) })
                  yield* eventsOf(training, { to: cut, marks })
                  return yield* training.snapshot
                })
              )
            }
            expect(bits(from as Train.Snapshot)).toEqual(bits(whole.snapshot))
          }),
        { numRuns: 12 }
      )
  )

  it.effect("stands exactly at a mark when its event comes", () =>
    Effect.gen(function* () {
      const training = yield* Train.make(base)
      const stood: Array<number> = []
      yield* training
        .run({ to: 30, marks: [7, 10] })
        .pipe(
          Stream.runForEach(({ step }) =>
            (step + 1) % 7 === 0 || (step + 1) % 10 === 0
              ? Effect.map(training.snapshot, (at) => stood.push(at.step))
              : Effect.void
          )
        )
      expect(stood).toEqual([7, 10, 14, 20, 21, 28, 30])
    })
  )

  it.effect("makes of accumulated batches what one large batch makes", () =>
    Effect.gen(function* () {
      const task = regression()
      const large = yield* straight({ ...base, task, batch: 12 }, 6)
      const small = yield* straight({ ...base, task, batch: 4, accumulate: 3 }, 6)
      large.events.forEach(({ loss, gradientNorm }, i) => {
        expect(small.events[i].loss).toBeCloseTo(loss, 5)
        expect(small.events[i].gradientNorm).toBeCloseTo(gradientNorm, 5)
      })
      numbers(large.snapshot).forEach((each, i) => {
        expect(numbers(small.snapshot)[i]).toBeCloseTo(each, 5)
      })
    })
  )

  it.effect("draws other noise for each of the batches that it accumulates", () =>
    Effect.gen(function* () {
      const task: Train.Task = {
        ...regression(),
        loss: (values, batch, key) => {
          const { loss } = regression().loss(values, batch, key)
          return { loss: Tensor.add(Tensor.mul(loss as never, 0), Random.normal(key, [])) as never }
        }
      }
      const drawn = (accumulate: number) =>
        Effect.map(straight({ ...base, task, accumulate }, 3), ({ events }) =>
          events.map(({ loss }) => loss)
        )
      const [one, two, three] = [yield* drawn(1), yield* drawn(2), yield* drawn(3)]
      expect(new Set([...one, ...two, ...three]).size).toBe(9)
    })
  )

  it.effect("keeps what is not trained as it is, and in all that is told of it", () =>
    Effect.gen(function* () {
      const fixed = Parameter.buffer([2], Initializer.constant(3))
      const task: Train.Task = {
        parameters: { dense: dense.parameters, fixed },
        loss: (values, batch, key) => {
          const { loss } = regression().loss(values, batch, key)
          return {
            loss: Tensor.mul(
              loss as never,
              Tensor.mean((values as any).fixed as Tensor.Tensor)
            ) as never
          }
        }
      }
      const { snapshot } = yield* straight({ ...base, task }, 3)
      const { slow } = snapshot.averages
      for (const each of [snapshot.weights, slow]) {
        expect(Object.keys(each).toSorted()).toEqual(["dense.bias", "dense.weight", "fixed"])
        expect(Array.from(each.fixed.data, Number)).toEqual([3, 3])
      }
      expect(Object.keys(snapshot.optimizer).filter((path) => path.includes("fixed"))).toEqual([])
    })
  )

  it.effect("shortens gradients, and says how long they were", () =>
    Effect.gen(function* () {
      const options = { ...base, optimizer: Optimizer.sgd(), rate: LearningRate.constant(1) }
      const at = (clip: number) => straight({ ...options, clip, averages: {} }, 1)
      const [before, free, short] = [yield* straight(options, 0), yield* at(1e9), yield* at(0.25)]
      expect(short.events[0].gradientNorm).toBe(free.events[0].gradientNorm)
      expect(free.events[0].gradientNorm).toBeGreaterThan(0.25)
      const moved = (name: string) =>
        numbers(short.snapshot, name).map((each, i) => each - numbers(before.snapshot, name)[i])
      const way = Math.hypot(...moved("dense.weight"), ...moved("dense.bias"))
      expect(way).toBeCloseTo(0.25, 4)
    })
  )

  it.effect("averages the weights with each average's own decay", () =>
    Effect.gen(function* () {
      const betas = [0.1, 0.7, 0.4]
      const averages = { own: { name: "own", decay: (update: number) => betas[update] } }
      const trail: Array<Train.Snapshot> = []
      for (const to of [0, 1, 2, 3])
        trail.push((yield* straight({ ...base, averages }, to)).snapshot)
      const expected = numbers(trail[0])
      betas.forEach((beta, i) => {
        numbers(trail[i + 1]).forEach((each, j) => {
          expected[j] = beta * expected[j] + (1 - beta) * each
        })
      })
      const found = Array.from(trail[3].averages.own["dense.weight"].data as Float32Array)
      found.forEach((each, j) => {
        expect(each).toBeCloseTo(expected[j], 6)
      })
    })
  )

  it.effect("can be interrupted anywhere and goes on", () =>
    Effect.gen(function* () {
      const whole = yield* straight(base, 25)
      const training = yield* Train.make(base)
      for (const after of [1, 3, 9]) {
        const reached = yield* Deferred.make<void>()
        const fiber = yield* training.run({ to: 25, marks: [1] }).pipe(
          Stream.runForEach(({ step }) =>
            step >= after
              ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
              : Effect.void
          ),
          Effect.forkChild
        )
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
      }
      yield* eventsOf(training, { to: 25 })
      expect(bits(yield* training.snapshot)).toEqual(bits(whole.snapshot))
    })
  )

  it.effect("stands where its records say, at whatever operation it is interrupted", () =>
    property(
      fc.record({
        operations: fc.integer({ min: 1, max: 60 }),
        yields: fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 4 })
      }),
      ({ operations, yields }) =>
        Effect.gen(function* () {
          const whole = yield* straight(base, 25)
          const device = yield* Device.Device
          const before = (yield* device.memory).liveBuffers
          yield* Effect.scoped(
            Effect.gen(function* () {
              const training = yield* Train.make(base)
              const { liveBuffers } = yield* device.memory
              const recorded: Array<number> = []
              const record = (events: ReadonlyArray<Train.Event>) => {
                for (const { step } of events) recorded.push(step)
              }
              for (const count of yields) {
                const fiber = yield* Stream.runDrain(
                  training.run({ to: 25, marks: [2], record })
                ).pipe(
                  Effect.provideService(Scheduler.MaxOpsBeforeYield, operations),
                  Effect.forkChild
                )
                for (let i = 0; i < count; i++) yield* Effect.yieldNow
                yield* Fiber.interrupt(fiber)
                expect((yield* training.snapshot).step).toBe(recorded.length)
                expect((yield* device.memory).liveBuffers).toBe(liveBuffers)
              }
              yield* Stream.runDrain(training.run({ to: 25, record }))
              expect(recorded).toEqual(Array.from({ length: 25 }, (_, i) => i))
              expect(bits(yield* training.snapshot)).toEqual(bits(whole.snapshot))
            })
          )
          expect((yield* device.memory).liveBuffers).toBe(before)
        }),
      { numRuns: 12 }
    )
  )

  it.effect("goes on after data that could not be read, once they can", () =>
    Effect.gen(function* () {
      let failures = 2
      const { read } = base.data
      const data: Dataset.Dataset = {
        ...base.data,
        read: (draws) =>
          Effect.suspend(() =>
            draws.some(({ index }) => index === 5) && failures-- > 0
              ? Effect.fail(new DataError({ source: "points", reason: "format", message: "gone" }))
              : read(draws)
          )
      }
      const training = yield* Train.make({ ...base, data })
      const whole = yield* straight(base, 20)
      for (let i = 0; i < 2; i++) {
        expect((yield* failure(eventsOf(training, { to: 20 }))).message).toBe("gone")
      }
      yield* eventsOf(training, { to: 20 })
      expect(bits(yield* training.snapshot)).toEqual(bits(whole.snapshot))
    })
  )

  it.effect("runs for two at once as for one after the other", () =>
    Effect.gen(function* () {
      const whole = yield* straight(base, 21)
      const training = yield* Train.make(base)
      const run = eventsOf(training, { to: 21, marks: [4] })
      const [a, b, snapshot] = yield* Effect.all([run, run, training.snapshot], {
        concurrency: "unbounded"
      })
      const steps = [...a, ...b].map(({ step }) => step).toSorted((x, y) => x - y)
      expect(steps).toEqual(Array.from({ length: 21 }, (_, i) => i))
      expect(snapshot.step).toBeLessThanOrEqual(21)
      expect(bits(yield* training.snapshot)).toEqual(bits(whole.snapshot))
    })
  )

  it.effect("averages with decays so near 1 that float32 has no digits for them", () =>
    Effect.gen(function* () {
      const averages = { own: { name: "own", decay: () => 1 - 1e-6 } }
      const options = { ...base, rate: LearningRate.constant(10), averages }
      const [start, end] = [yield* straight(options, 0), yield* straight(options, 1)]
      const moved = numbers(end.snapshot)[0] - numbers(start.snapshot)[0]
      const [average] = end.snapshot.averages.own["dense.weight"].data as Float32Array
      // to the rounding of the average itself
      expect(average - numbers(start.snapshot)[0]).toBeCloseTo(1e-6 * moved, 7)
      expect(Math.abs(1e-6 * moved)).toBeGreaterThan(5e-6)
    })
  )

  // item 5 squares to infinity
  const spoilt = points(23, (floats) => {
    floats[3 * 5 + 2] = 1e30
  })

  it.effect("stops at a loss that is not finite, names step and item, and stands before it", () =>
    Effect.gen(function* () {
      const options = { ...base, data: spoilt }
      const training = yield* Train.make(options)
      const seen: Array<number> = []
      const error = yield* failure(
        Stream.runForEach(training.run({ to: 20 }), ({ step }) =>
          Effect.sync(() => seen.push(step))
        )
      )
      expect(error).toMatchObject({ _tag: "TrainError", reason: "nonFinite", step: seen.length })
      expect(error.message).toContain(
        `step ${seen.length}: the loss is Infinity, for item 5 of points`
      )
      const stopped = yield* training.snapshot
      expect(stopped.step).toBe(seen.length)
      const clean = yield* straight({ ...base, data: points(23) }, seen.length)
      expect(bits(stopped)).toEqual(bits(clean.snapshot))
      // it fails again where it failed, whatever is asked
      const again = yield* failure(eventsOf(training, { to: 20 }))
      expect(again.message).toBe(error.message)
    })
  )

  it.effect("leaves such steps out when told so: updates count on, steps too", () =>
    Effect.gen(function* () {
      const rates: Array<number> = []
      const options: Train.Options = {
        ...base,
        data: spoilt,
        nonFinite: "skip",
        rate: (update) => 0.05 / (1 + update)
      }
      const { events, snapshot } = yield* straight(options, 20)
      const skipped = events.filter(({ _tag }) => _tag === "Skipped")
      expect(events.length).toBe(20)
      expect(events.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i))
      expect(skipped.length).toBeGreaterThanOrEqual(3)
      expect(snapshot).toMatchObject({ step: 20, skipped: skipped.length })
      for (const each of events) if (each._tag === "Step") rates.push(each.rate)
      rates.forEach((rate, update) => {
        expect(rate).toBe(0.05 / (1 + update))
      })
      for (const name of ["dense.weight", "dense.bias"])
        expect(numbers(snapshot, name).every(Number.isFinite)).toBe(true)
      // the device is told the same as the events: with no rate from the third update after a skipped step on, nothing moves
      const made = events.filter(({ _tag, step }) => _tag === "Step" && step > skipped[0].step)
      const [, , third] = made
      const updates = events.filter(
        ({ _tag, step }) => _tag === "Step" && step <= third.step
      ).length
      const rate = (update: number) => (update < updates ? 0.05 / (1 + update) : 0)
      const still = yield* straight({ ...options, optimizer: Optimizer.sgd(), rate }, 20)
      const moving = yield* straight({ ...options, optimizer: Optimizer.sgd() }, third.step + 1)
      expect(numbers(still.snapshot)).toEqual(numbers(moving.snapshot))
      // and that too is the same from any snapshot
      const half = yield* straight(options, skipped[0].step + 1)
      const rest = yield* straight({ ...options, from: half.snapshot }, 20)
      expect(bits(rest.snapshot)).toEqual(bits(snapshot))
    })
  )

  it.effect("refuses what makes no sense, and says what would", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* straight(base, 1)
      const refused = (options: Partial<Train.Options>) =>
        Effect.map(
          failure(Effect.scoped(Train.make({ ...base, ...options }))),
          ({ message }) => message
        )
      expect(yield* refused({ batch: 0 })).toContain("`batch` must be a whole number of at least 1")
      expect(yield* refused({ clip: -1 })).toContain("clip is a norm above 0, not -1")
      expect(
        yield* refused({ from: snapshot, optimizer: Optimizer.sgd({ momentum: 0.9 }) })
      ).toMatch(/what .* should remember is not what the snapshot holds/)
      expect(yield* refused({ from: snapshot, averages: { other: Ema.constant(0.9) } })).toContain(
        'no average "other", but slow, fast'
      )
      expect(yield* refused({ weights: {} })).toContain('parameter "dense.weight"')
      expect(yield* refused({ averages: { "a/b": Ema.constant(0.9) } })).toContain("a/b")
      expect(yield* refused({ averages: { weights: Ema.constant(0.9) } })).toContain(
        'the name "weights" is that of the weights without averaging'
      )
      const alike = { ema: Ema.constant(0.9), EMA: Ema.constant(0.99) }
      expect(yield* refused({ averages: alike })).toContain('more than capitals, unlike "EMA"')
      const training = yield* Train.make(base)
      for (const options of [{ to: Number.NaN }, { to: -1 }, { to: 2.5 }, { to: 3, marks: [0] }]) {
        expect((yield* failure(eventsOf(training, options))).message).toMatch(
          /^Training.run: `(to|mark)` must be a whole number/
        )
      }
      for (const [options, says] of [
        [{ rate: () => Number.NaN }, "step 0: the learning rate must be a finite number, not NaN"],
        [
          { averages: { own: { name: "own", decay: () => Number.NaN } } },
          "step 0: the decay of the average own must be a finite number, not NaN"
        ]
      ] as const) {
        expect((yield* failure(straight({ ...base, ...options }, 1))).message).toBe(says)
      }
      expect(yield* refused({ batch: 12, accumulate: 2 })).toContain(
        "a batch of 24 is more than the 23 items there are"
      )
    })
  )

  it.effect("drops out what a network's layers drop, another part at each step", () =>
    Effect.gen(function* () {
      const bytes = new Uint8Array(4 * 16).map((_, i) => (i * 37) % 256)
      const data = Dataset.fromArrays({ name: "squares", shape: [1, 4, 4], bytes })
      const lossOf = Effect.fnUntraced(function* (dropout: number) {
        const network = yield* UNet.make({
          channels: 1,
          width: 4,
          ...plain,
          size: 4,
          dropout
        })
        const task = Train.diffusion({ network, schedule: Schedule.cosine(), prediction: "v" })
        const weights = Parameter.toRecord(
          Parameter.init(network.parameters, 3)
        ) as unknown as Train.Snapshot["weights"]
        const { events } = yield* straight({ ...base, data, task, weights, averages: {} }, 1)
        return events[0].loss
      })
      expect(yield* lossOf(0.5)).not.toBe(yield* lossOf(0))
    })
  )

  it.effect("tells a network of classes the labels, and none of them where they are dropped", () =>
    Effect.gen(function* () {
      const network = yield* UNet.make({
        channels: 1,
        width: 4,
        ...plain,
        size: 4,
        classes: 3
      })
      const bytes = new Uint8Array(8 * 16).map((_, i) => (i * 37) % 256)
      const data = Dataset.fromArrays({
        name: "squares",
        shape: [1, 4, 4],
        bytes,
        labels: [0, 1, 0, 1, 0, 1, 0, 1]
      })
      const run = (options: Partial<Train.DiffusionOptions>, from = data) =>
        straight(
          {
            ...base,
            data: from,
            task: Train.diffusion({
              network,
              schedule: Schedule.cosine(),
              prediction: "v",
              ...options
            })
          },
          1
        )
      const changed = (snapshot: Train.Snapshot) => {
        const start = Parameter.toRecord(Parameter.init(network.parameters, base.seed)) as Record<
          string,
          Tensor.HostArray
        >
        const [now, then] = [snapshot.weights, start].map((all) => {
          const { data, shape } = all["class_embedding.weight"] as Tensor.HostArray
          return Array.from({ length: 3 }, (_, i) =>
            Array.from(data as Float32Array).slice(i * shape[1], (i + 1) * shape[1])
          )
        })
        return now.map((row, i) => row.some((each, j) => each !== then[i][j]))
      }
      expect(changed((yield* run({})).snapshot)).toEqual([true, true, false])
      expect(changed((yield* run({ dropLabels: 1 })).snapshot)).toEqual([false, false, true])
      const unlabelled = Dataset.fromArrays({ name: "squares", shape: [1, 4, 4], bytes })
      expect((yield* failure(run({}, unlabelled))).message).toContain("the data have no labels")
    })
  )
})
