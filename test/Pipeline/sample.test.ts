/** Sampling on a device. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as EffectLayer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import {
  Ddim,
  Denoiser,
  Guidance,
  Noise,
  Plan,
  Sampler,
  Schedule
} from "../../src/Diffusion/index.ts"
import * as Sample from "../../src/Pipeline/Sample.ts"
import { type Expression, Program, Random, Tensor } from "../../src/Tensor/index.ts"
import * as Gaussians from "../support/gaussians.ts"

type State = Denoiser.State

const schedule = Schedule.linear()
const plan = Plan.spaced(schedule, 12)
const denoiser = Gaussians.denoiser(Gaussians.ring(4, 1, 0.2))
const sampler = Ddim.make({ eta: 1 })
const options = { shape: [2], batch: 4, plan, denoiser, sampler } as const

const list = ({ data }: Expression.HostArray) => Array.from(data as Float32Array)
const near = (actual: Expression.HostArray, expected: Expression.HostArray, digits = 5) => {
  expect(actual.shape).toEqual(expected.shape)
  list(actual).forEach((each, i) => {
    expect(each).toBeCloseTo(Number(expected.data[i]), digits)
  })
}
const rows = (
  { data, dtype, shape: [, ...rest] }: Expression.HostArray,
  from: number,
  to: number
) => {
  const size = rest.reduce((a, b) => a * b, 1)
  return {
    dtype,
    shape: [to - from, ...rest],
    data: data.slice(from * size, to * size)
  } as Expression.HostArray
}

layer(Device.layerOnnx())("sampling", (it) => {
  it.effect("is what the sampler's expression is", () =>
    Effect.gen(function* () {
      const device = yield* Device.Device
      const sampling = yield* Sample.make(options)
      const found = yield* sampling.run(7)
      const key = Random.key(7)
      const begin = Tensor.mul(Noise.initial(key, [4, 2]), Sampler.deviation(plan)) as State
      const noise = Noise.normal(key)
      const { x } = Sampler.sample({ sampler, plan, denoiser, noise }, begin)
      near(found, (yield* device.evaluate(x)) as Expression.HostArray)
      expect(sampling.steps).toBe(12)
      expect(sampling.evaluations).toBe(12)
      const twice = yield* Sample.make({
        ...options,
        denoiser: Guidance.make({ denoiser, guide: denoiser, weight: 2 })
      })
      expect(twice.evaluations).toBe(24)
    })
  )

  it.effect("makes an item what it is alone, however many there are", () =>
    Effect.gen(function* () {
      const four = yield* (yield* Sample.make(options)).run(3)
      const one = yield* Sample.make({ ...options, batch: 1 })
      for (let first = 0; first < 4; first++) {
        near(yield* one.run(3, { first }), rows(four, first, first + 1))
      }
      const three = yield* Sample.make({ ...options, batch: 3 })
      near(yield* three.run(3, { count: 4 }), four)
      near(yield* three.run(3, { count: 2, first: 1 }), rows(four, 1, 3))
      // seeds and keys
      near(yield* three.run([0, 3], { count: 4 }), four)
      expect(list(yield* one.run(4))).not.toEqual(list(rows(four, 0, 1)))
      expect((yield* one.run(4, { count: 0 })).shape).toEqual([0, 2])
    })
  )

  it.effect("makes no difference to another beside it", () =>
    Effect.gen(function* () {
      const sampling = yield* Sample.make(options)
      const seeds = [1, 2, 3]
      const alone = yield* Effect.forEach(seeds, (seed) => sampling.run(seed, { count: 6 }))
      const together = yield* Effect.forEach(
        seeds,
        (seed) =>
          seed === 2
            ? Effect.map(
                Stream.runCollect(sampling.stream(seed, { count: 4 })),
                (steps) => steps.at(-1)?.x as Expression.HostArray
              )
            : sampling.run(seed, { count: 6 }),
        { concurrency: "unbounded" }
      )
      near(together[0], alone[0], 7)
      near(together[1], rows(alone[1], 0, 4), 7)
      near(together[2], alone[2], 7)
    })
  )

  it.effect("begins with data where told to, with as much noise as the plan begins with", () =>
    Effect.gen(function* () {
      // hardly any noise
      const late = Plan.make(plan.levels.slice(-2), plan.between)
      const { alpha, sigma } = late.levels[0]
      const sampling = yield* Sample.make({
        shape: [2],
        batch: 2,
        plan: late,
        sampler: Ddim.make(),
        denoiser: Denoiser.fromData((x) => x)
      })
      const from = Tensor.hostArray([1, 2, 3, 4, 5, 6], { shape: [3, 2] })
      const found = yield* sampling.run(1, { count: 3, from })
      const device = yield* Device.Device
      const fresh = list(
        (yield* device.evaluate(Noise.initial(Random.key(1), [3, 2]))) as Expression.HostArray
      )
      list(found).forEach((each, i) => {
        expect(each).toBeCloseTo(alpha * (i + 1) + sigma * fresh[i], 5)
      })
    })
  )

  it.effect("takes weights as constants or as inputs", () =>
    Effect.gen(function* () {
      const weights = { matrix: Tensor.hostArray([0.1, 0.7, -0.4, 0.2], { shape: [2, 2] }) }
      const of = (matrix: State, label: Tensor.Any) =>
        Denoiser.make({
          network: (x) =>
            Tensor.add(
              Tensor.matmul(x as never, matrix as never) as State,
              Tensor.reshape(Tensor.cast(label, "float32") as State, [-1, 1])
            ) as State,
          prediction: "v",
          clip: { range: 1 }
        })
      const label = Tensor.hostArray([0, 2], { dtype: "int32" })
      const shared = { shape: [2], batch: 2, plan }
      const constant = yield* Sample.make({
        ...shared,
        sampler,
        denoiser: of(Program.constants(weights).matrix, Tensor.constant(label))
      })
      const asInputs = yield* Sample.make({
        ...shared,
        inputs: { weights: { matrix: Tensor.spec([2, 2]) }, label: Tensor.spec([2], "int32") },
        sampler: () => sampler,
        denoiser: ({ weights, label }) => of(weights.matrix, label)
      })
      const expected = yield* constant.run(5)
      near(yield* asInputs.run(5, { inputs: { weights, label } }), expected)
      // or buffers
      const device = yield* Device.Device
      const inputs = yield* device.uploadAll({ weights, label })
      near(yield* asInputs.run(5, { inputs }), expected)
      // @ts-expect-error they are needed
      asInputs.run(5)
    })
  )

  it.effect("takes from the services what it is not told", () =>
    Effect.gen(function* () {
      const told = yield* (yield* Sample.make(options)).run(7)
      const found = yield* Effect.gen(function* () {
        const sampling = yield* Sample.make({
          shape: [2],
          batch: 4,
          plan: (schedule) => Plan.spaced(schedule as Schedule.Discrete, 12)
        })
        return yield* sampling.run(7)
      }).pipe(
        Effect.provide(
          EffectLayer.mergeAll(
            Schedule.layer(schedule),
            Denoiser.layer(denoiser),
            Sampler.layer(sampler)
          )
        )
      )
      near(found, told)
    })
  )

  it.effect("fails with what is wrong", () =>
    Effect.gen(function* () {
      const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.result(effect), (result) => {
          if (Result.isSuccess(result)) throw new Error("did not fail")
          return result.failure
        })
      expect((yield* failure(Sample.make({ ...options, batch: 0 })))._tag).toBe("DiffusionError")
      const blind = Plan.spaced(Schedule.zeroTerminalSnr(schedule), 4, { spacing: "trailing" })
      const wrong = Denoiser.make({ network: (x) => x, prediction: "noise" })
      expect((yield* failure(Sample.make({ ...options, plan: blind, denoiser: wrong })))._tag).toBe(
        "DiffusionError"
      )
      const tooMany = () => Plan.spaced(schedule, 2000)
      const planned = yield* failure(Sample.make({ ...options, plan: tooMany }))
      expect(planned).toMatchObject({ _tag: "DiffusionError", reason: "plan" })
      const misshapen = Denoiser.fromData(() => Tensor.zeros([3, 7]) as State)
      expect((yield* failure(Sample.make({ ...options, denoiser: misshapen })))._tag).toBe(
        "ShapeError"
      )
      const sampling = yield* Sample.make(options)
      const count = yield* failure(sampling.run(1, { count: -1 }))
      expect(count._tag).toBe("DiffusionError")
      for (const seed of [1.5, Number.NaN, 2 ** 53]) {
        expect(yield* failure(sampling.run(seed))).toMatchObject({ _tag: "DiffusionError" })
        const streamed = yield* failure(Stream.runDrain(sampling.stream(seed)))
        expect(streamed.message).toContain(`not ${seed}`)
      }
      const from = yield* failure(
        sampling.run(1, { count: 4, from: Tensor.hostArray([1, 2], { shape: [1, 2] }) })
      )
      expect(from).toMatchObject({ _tag: "DiffusionError" })
    }).pipe(Effect.provide(Schedule.layer(schedule)))
  )
})

layer(Device.layerOnnx())("the stream of steps", (it) => {
  it.effect("is that of the states that lead to the samples", () =>
    Effect.gen(function* () {
      const sampling = yield* Sample.make(options)
      const samples = yield* sampling.run(7, { count: 6 })
      const steps = yield* Stream.runCollect(Sample.stream({ ...options, seed: 7, count: 6 }))
      expect(steps.map(({ index, first }) => [first, index])).toEqual(
        [0, 4].flatMap((first) => plan.levels.slice(1).map((_, i) => [first, i]))
      )
      expect(steps.map(({ level }) => level)).toEqual(
        [0, 4].flatMap(() => plan.levels.slice(0, -1))
      )
      near(steps[11].x, rows(samples, 0, 4))
      near(steps[23].x, rows(samples, 4, 6))
      // DDIM ends at the last estimate
      near(steps[11].data, steps[11].x)
      expect(list(steps[0].x)).not.toEqual(list(steps[1].x))
    })
  )

  it.effect("leaves nothing behind when it ends, is left or interrupted, and neither do runs", () =>
    Effect.gen(function* () {
      const device = yield* Device.Device
      const live = Effect.map(device.memory, ({ liveBytes }) => liveBytes)
      const before = yield* live
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sampling = yield* Sample.make(options)
          yield* sampling.run(1, { count: 6 })
          expect(yield* live).toBe(before)
          yield* Stream.runDrain(sampling.stream(1))
          expect(yield* live).toBe(before)
          yield* Stream.runDrain(Stream.take(sampling.stream(1), 3))
          expect(yield* live).toBe(before)
          for (const run of [
            Stream.runForEach(sampling.stream(1), () => Effect.yieldNow),
            sampling.run(1, { count: 100 })
          ]) {
            const fiber = yield* Effect.forkChild(run)
            for (let i = 0; i < 5; i++) yield* Effect.yieldNow
            yield* Fiber.interrupt(fiber)
            expect(Exit.hasInterrupts(yield* Fiber.await(fiber))).toBe(true)
            expect(yield* live).toBe(before)
          }
        })
      )
      // what is held between elements is one state
      yield* Stream.runForEach(Sample.stream({ ...options, seed: 1 }), () =>
        Effect.map(live, (bytes) => {
          expect(bytes - before).toBeLessThanOrEqual(4 * 2 * 4 + 2 * 4 + 4)
        })
      )
      expect(yield* live).toBe(before)
    })
  )
})
