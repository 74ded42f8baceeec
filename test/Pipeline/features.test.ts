import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Layers from "../../src/Layer/Layer.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Features from "../../src/Pipeline/Features.ts"
import * as Metrics from "../../src/Pipeline/Metrics.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

/** The means over halves of an image, left and right, of each channel, and the whole as a logit. */
const halves = Layers.of((x: Tensor.Tensor): Features.Outputs => {
  const [n, c, h, w] = x.shape
  const parts = Tensor.mean(Tensor.reshape(x, [n, c, h, 2, w / 2]), { axis: [2, 4] })
  const features = Tensor.reshape(parts, [n, c * 2]) as Tensor.Tensor
  return { features, logits: features }
})

const images = (shape: ReadonlyArray<number>, f: (i: number) => number): Features.Images => ({
  dtype: "float32",
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i))
})

const extractor = (shape: ReadonlyArray<number>, options: Partial<Features.Options<{}>> = {}) =>
  Features.make({ name: "halves", network: halves, weights: {}, shape, ...options })

layer(Device.layerReference())("features", (it) => {
  describe("make", () => {
    it.effect("gives each image its own, whatever the batch", () =>
      Effect.gen(function* () {
        const given = images([7, 1, 2, 4], (i) => Math.sin(i))
        const whole = yield* (yield* extractor([1, 2, 4], { batch: 7 })).extract(given)
        expect(whole.features.shape).toEqual([7, 2])
        for (const batch of [1, 3, 50]) {
          const one = yield* extractor([1, 2, 4], { batch })
          expect(one.dimension).toBe(2)
          expect(yield* one.extract(given)).toEqual(whole)
        }
        const { data } = given
        const left = (i: number) =>
          data[8 * i] + data[8 * i + 1] + data[8 * i + 4] + data[8 * i + 5]
        for (let i = 0; i < 7; i++) expect(whole.features.data[2 * i]).toBeCloseTo(left(i) / 4, 6)
        const sums = whole.probabilities?.data.reduce((sum, each) => sum + each, 0)
        expect(sums).toBeCloseTo(7, 5)
      })
    )

    it.effect("fits images of other sizes and channels, and says how", () =>
      Effect.gen(function* () {
        const small = yield* extractor([1, 4, 4])
        expect(small.resizing).toBe("bilinear to 4×4, without smoothing")
        // what is the same everywhere stays
        const flat = yield* small.extract(images([2, 1, 9, 6], (i) => (i < 54 ? 0.5 : -0.25)))
        expect([...flat.features.data]).toEqual([0.5, 0.5, -0.25, -0.25])
        // red, green and blue as luma
        const colours = yield* small.extract(images([1, 3, 4, 4], (i) => [1, 0, -1][i >> 4]))
        expect(colours.features.data[0]).toBeCloseTo(0.299 - 0.114, 6)
        const grey = yield* (yield* extractor([3, 4, 4])).extract(images([1, 1, 4, 4], () => 0.5))
        expect([...grey.features.data]).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
        expect(yield* small.extract(images([1, 1, 9, 6], () => 0))).toMatchObject({
          features: { shape: [1, 2] }
        })
      })
    )

    it.effect(
      "holds nothing on the device but its program, and that no longer than its scope",
      () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          yield* Effect.scoped(
            Effect.gen(function* () {
              const one = yield* extractor([1, 4, 4])
              yield* one.extract(images([40, 1, 6, 6], () => 0))
              expect((yield* device.memory).liveBuffers).toBe(0)
            })
          )
          expect(yield* device.memory).toMatchObject({ liveBytes: 0, liveBuffers: 0 })
        })
    )

    it.effect("refuses what makes no sense, and says what would", () =>
      Effect.gen(function* () {
        const refused = Effect.fnUntraced(function* <A, R>(
          effect: Effect.Effect<A, { readonly _tag: string; readonly message: string }, R>,
          says: string
        ) {
          const result = yield* Effect.result(effect)
          expect(Result.isFailure(result) && result.failure._tag).toBe("DataError")
          expect(Result.isFailure(result) && result.failure.message).toContain(says)
        })
        yield* refused(extractor([4, 4]), "[channels, height, width]")
        yield* refused(extractor([1, 4, 4], { batch: 0 }), "`batch`")
        const none = Layers.of((x: Tensor.Tensor): Features.Outputs => ({ features: x }))
        yield* refused(extractor([1, 4, 4], { network: none }), "features [32, d]")
        const one = yield* extractor([1, 4, 4], { resize: "none" })
        yield* refused(one.extract(images([2, 1, 4, 6], () => 0)), "4×6")
        yield* refused(one.extract(images([2, 2, 4, 4], () => 0)), "images of 2")
        yield* refused(one.extract(images([0, 1, 4, 4], () => 0)), "at least 1")
        yield* refused(one.extract(images([4, 4], () => 0)), "[n, channels, height, width]")
        yield* refused(
          one.extract(images([2, 1, 4, 4], (i) => (i > 20 ? Number.NaN : 0))),
          "item 1 has NaN"
        )
        yield* refused(Features.of(Stream.empty, one), "no images")
        yield* refused(Features.moments(Stream.empty, one), "no images")
      })
    )
  })

  describe("of", () => {
    it.effect("is the same of an array, a stream and a data set", () =>
      Effect.gen(function* () {
        const one = yield* extractor([1, 2, 4], { batch: 4 })
        const all = images([30, 1, 2, 4], (i) => Math.sin(i))
        const expected = yield* Features.of(all, one)
        const data = Dataset.fromArrays({ name: "waves", shape: [1, 2, 4], floats: all.data })
        expect(yield* Features.of(data, one)).toEqual(expected)
        const parts = [11, 1, 18].map((n, i) =>
          images([n, 1, 2, 4], (k) => all.data[k + 8 * [0, 11, 12][i]])
        )
        expect(yield* Features.of(Stream.fromIterable(parts), one)).toEqual(expected)
        const some = yield* Features.of(data, one, { from: 3, count: 5 })
        expect([...some.features.data]).toEqual([...expected.features.data.slice(6, 16)])
        const moments = yield* Features.moments(Stream.fromIterable(parts), one)
        const { mean, scatter } = Metrics.moments(expected.features)
        moments.mean.forEach((each, k) => expect(each).toBeCloseTo(mean[k], 12))
        moments.scatter.forEach((each, k) => expect(each).toBeCloseTo(scatter[k], 10))
      })
    )
  })
})
