/** Evaluation: what it reports is what the metrics say of the images, however they come. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layers from "effect/Layer"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Ddim, Schedule } from "../../src/Diffusion/index.ts"
import { Parameter, UNet } from "../../src/Layer/index.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Digits from "../../src/Pipeline/Digits.ts"
import * as Evaluate from "../../src/Pipeline/Evaluate.ts"
import type * as Features from "../../src/Pipeline/Features.ts"
import * as Images from "../../src/Pipeline/Images.ts"
import * as Metrics from "../../src/Pipeline/Metrics.ts"
import * as Model from "../../src/Pipeline/Model.ts"
import * as Networks from "../../src/Pipeline/Networks.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import { HostRandom } from "../../src/Tensor/index.ts"

/** Means over squares of 7×7 pixels, and how bright an image is as its class. */
const coarse: Features.Extractor = {
  name: "means",
  dimension: 16,
  shape: [1, 28, 28],
  resizing: "none",
  extract: ({ shape: [n], data }: Images.Images) =>
    Effect.sync(() => {
      const features = new Float32Array(n * 16)
      const probabilities = new Float32Array(n * 2)
      for (let i = 0; i < n * 784; i++) {
        const [item, at] = [Math.floor(i / 784), i % 784]
        const place = 4 * Math.floor(at / 196) + Math.floor((at % 28) / 7)
        features[item * 16 + place] += data[i] / 49
      }
      for (let i = 0; i < n; i++) {
        const [a, b] = [features[16 * i + 5], features[16 * i + 6]]
        const dark = a < b ? 0.95 : 0.2
        probabilities.set([dark, 1 - dark], 2 * i)
      }
      const matrix = (data: Float32Array, d: number) =>
        ({ dtype: "float32", shape: [n, d], data }) as const
      return { features: matrix(features, 16), probabilities: matrix(probabilities, 2) }
    })
}

const judge: Evaluate.Judge = { extractor: coarse, classes: ["dark", "bright"], accuracy: 0.75 }

const train = Digits.make({ seed: 0, size: 700 })
const test = Digits.make({ seed: 1, size: 300 })
const own = Evaluate.ofDataset("own", Digits.make({ seed: 2, size: 600 }))
const grey = Evaluate.ofDataset(
  "grey",
  Dataset.fromArrays({
    name: "grey",
    shape: [1, 28, 28],
    floats: Float32Array.from({ length: 600 * 784 }, (_, i) => Math.sin(i * i) / 2)
  })
)

const featuresOf = (data: Dataset.Dataset, count: number) =>
  Dataset.sequence(data, { batch: count, count }).pipe(
    Stream.mapEffect(({ data }) => coarse.extract(Images.rounded(data))),
    Stream.runHead,
    Effect.map((found) => (found._tag === "Some" ? found.value : expect.unreachable()))
  )

/** Its items in no order, as they are looked at. */
const mixed = (data: Dataset.Dataset) =>
  Dataset.subset(data, HostRandom.permutation(HostRandom.key(0), data.size).data)

const scaled = ({ shape, data }: Metrics.Features, scale: number): Metrics.Features => ({
  shape,
  data: Float64Array.from(data, (x) => x / scale)
})

const evaluation = Effect.cached(
  Evaluate.run([own, grey], { train, test, judge, count: 600, features: 400, shown: 5 })
).pipe(Effect.runSync)

layer(Layers.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "evaluation",
  (it) => {
    it.effect("says what the metrics say of all images at once", () =>
      Effect.gen(function* () {
        const { evaluation: found } = yield* evaluation
        const real = yield* featuresOf(mixed(train), 700)
        const { scale } = found.extractor
        const square = real.features.data.reduce((sum, x) => sum + x * x, 0)
        expect(scale).toBeCloseTo(Math.sqrt(square / (700 * 16)), 6)
        const all = { real: [mixed(test), 300], own: [Digits.make({ seed: 2 }), 600] } as const
        const sets = { real: found.real, own: found.models[0] }
        for (const name of ["real", "own"] as const) {
          const [data, count] = all[name]
          const { features, probabilities } = yield* featuresOf(data, count)
          const first = ({ shape: [n, d], data }: typeof features) => ({
            shape: [Math.min(n, 400), d],
            data: data.slice(0, 400 * d)
          })
          const figures = sets[name] as Evaluate.Figures
          expect(figures.name).toBe(name)
          expect(figures.count).toBe(count)
          const distance = Metrics.fid(scaled(real.features, scale), scaled(features, scale))
          expect(figures.fid).toBeCloseTo(distance, 8)
          const [a, b] = [real.features, features].map((each) => scaled(first(each), scale))
          const size = Math.min(400, count)
          const kid = Metrics.kidOfSubsets(a, b, { subsets: 20, size })
          expect(figures.kid.mean).toBeCloseTo(kid.mean, 8)
          expect(figures.kid.deviation).toBeCloseTo(kid.deviation, 8)
          expect(figures).toMatchObject(Metrics.precisionRecall(a, b))
          expect(figures.score).toEqual(Metrics.inceptionScore(first(probabilities!)))
          const dark = Array.from({ length: count }, (_, i) => probabilities!.data[2 * i])
          const darkOnes = dark.filter((p) => p > 0.5).length
          expect(figures.judgement!.counts).toEqual([darkOnes, count - darkOnes])
          expect(figures.judgement!.confident).toBe(darkOnes / count)
          const mean = (0.95 * darkOnes + 0.8 * (count - darkOnes)) / count
          expect(figures.judgement!.confidence).toBeCloseTo(mean, 6)
        }
      })
    )

    it.effect("puts the data themselves beside the yardstick, and noise far from it", () =>
      Effect.gen(function* () {
        const { evaluation: found, shown } = yield* evaluation
        const [like, noise] = found.models
        const { real } = found
        expect(like.fid).toBeLessThan(2 * real!.fid)
        expect(noise.fid).toBeGreaterThan(20 * real!.fid)
        expect(like.precision).toBeGreaterThan(0.7)
        expect(like.recall).toBeGreaterThan(0.7)
        expect(noise.precision).toBe(0)
        expect(Math.abs(like.kid.mean)).toBeLessThan(noise.kid.mean / 20)
        expect(found.reference).toEqual({ name: "digits", count: 700 })
        expect(shown.map(({ name, images }) => [name, images.shape[0]])).toEqual([
          ["real", 5],
          ["own", 5],
          ["grey", 5]
        ])
      })
    )

    it.effect("looks at all classes of data that are in their order", () =>
      Effect.gen(function* () {
        // half of them dark to the left, and then half of them to the right
        const sorted = (name: string) =>
          Dataset.fromArrays({
            name,
            shape: [1, 28, 28],
            floats: Float32Array.from({ length: 400 * 784 }, (_, i) =>
              Math.floor(i / 784) < 200 === i % 28 < 14 ? -0.5 : 0.5
            )
          })
        const { evaluation: found } = yield* Evaluate.run([], {
          train: sorted("train"),
          test: sorted("test"),
          judge,
          count: 100,
          reference: 100,
          features: 50
        })
        for (const count of found.real?.judgement?.counts ?? []) expect(count).toBeGreaterThan(30)
        // the reference has both too: else all of one class were far from it
        expect(found.real?.precision).toBe(1)
        expect(found.real?.recall).toBe(1)
      })
    )

    it.effect("tells how far it is, and forgets what it has seen", () =>
      Effect.gen(function* () {
        const events = yield* Stream.runCollect(
          Evaluate.stream([own], { train, judge, count: 600, reference: 300, features: 10 })
        )
        const drawn = events.flatMap((event) => (event._tag === "Drawn" ? [event] : []))
        expect(drawn.map(({ name, done, total }) => `${name} ${done}/${total}`)).toEqual([
          "digits 256/300",
          "digits 300/300",
          "own 256/600",
          "own 512/600",
          "own 600/600"
        ])
        expect(events.slice(-2).map((event) => event._tag)).toEqual(["Measured", "Finished"])
        const { evaluation: found } = events[events.length - 1] as Evaluate.Finished
        expect(found.real).toBeUndefined()
        expect(found.models[0].kid).toBeDefined()
      })
    )

    it.effect("tells what it finds of each, whatever becomes of the rest", () =>
      Effect.gen(function* () {
        const { evaluation: found, shown } = yield* evaluation
        const outcomes: Array<Evaluate.Outcome> = []
        const broken: Evaluate.Subject = {
          ...own,
          name: "broken",
          open: Effect.succeed({ images: () => Stream.empty })
        }
        const options = { train, test, judge, count: 600, features: 400, shown: 5 }
        yield* Evaluate.stream([own, broken], options).pipe(
          Stream.runForEach((event) =>
            Effect.sync(() => {
              if (event._tag === "Measured") outcomes.push(event)
            })
          ),
          Effect.flip
        )
        const names = ["real", "own"]
        expect(outcomes.map(({ evaluation }) => evaluation)).toEqual([
          { ...found, models: [] },
          Evaluate.only(found, "own")
        ])
        expect(outcomes[1].shown).toEqual(shown.filter(({ name }) => names.includes(name)))
      })
    )

    it.effect("of a model, also says what it is and costs", () =>
      Effect.gen(function* () {
        const network = yield* UNet.make({
          channels: 1,
          size: 28,
          width: 4,
          multipliers: [1, 2],
          groups: 2
        })
        const weights = yield* Effect.sync(() => Parameter.init(network.parameters, 1))
        const model: Model.Model = {
          network,
          schedule: Schedule.cosine(),
          prediction: "v",
          weights,
          shape: [1, 28, 28],
          step: 12
        }
        const subject = Evaluate.ofModel("small", model, {
          sampler: Ddim.make(),
          plan: 3,
          batch: 8,
          secondsPerStep: 0.25
        })
        const { evaluation: found } = yield* Evaluate.run([subject], {
          train,
          extractor: coarse,
          count: 20
        })
        const guided = Evaluate.ofModel("guided", model, { guidance: 2 })
        const refused = yield* Effect.flip(Effect.scoped(guided.open))
        expect(refused.message).toMatch(/guided: it knows no classes/)
        const summary = yield* Networks.costOf(network)
        const { network: costs, judgement, count } = found.models[0]
        expect(judgement).toBeUndefined()
        expect(count).toBe(20)
        const { secondsPerImage, peakBytes, ...rest } = costs!
        expect(rest).toEqual({
          parameters: summary.parameters,
          macs: summary.macs,
          steps: 12,
          secondsPerStep: 0.25,
          sampler: "DDIM",
          evaluations: 3,
          batch: 8
        })
        expect(secondsPerImage).toBeGreaterThan(0)
        expect(peakBytes).toBeGreaterThan(8 * 4 * 784 * 4)
        // the images are those that the model makes
        const samples = Model.samples(model, {
          sampler: Ddim.make(),
          plan: 3,
          batch: 20,
          seed: 0,
          count: 20
        })
        const { moments } = yield* Stream.runHead(samples).pipe(
          Effect.flatMap((all) =>
            coarse.extract(
              Images.rounded(all._tag === "Some" ? all.value.images : expect.unreachable())
            )
          ),
          Effect.map(({ features }) => ({ moments: Metrics.moments(features) }))
        )
        const real = yield* featuresOf(train, 700)
        const distance = Metrics.fid(Metrics.moments(real.features), moments)
        expect(found.models[0].fid).toBeCloseTo(distance, 3)
      }).pipe(Effect.scoped)
    )

    it.effect("trains a judge once, and finds it again", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const cache = yield* files.makeTempDirectoryScoped()
        let steps = 0
        const training = {
          steps: 30,
          batch: 32,
          onStep: () =>
            Effect.sync(() => {
              steps++
            })
        }
        const parts = { train, test: Dataset.take(test, 100) }
        const first = yield* Evaluate.judge(parts, { cache, training })
        expect(first.classes).toEqual(Array.from("0123456789"))
        expect(first.accuracy).toBeGreaterThan(0.4)
        expect(steps).toBe(30)
        const again = yield* Evaluate.judge(parts, { cache, training })
        expect(steps).toBe(30)
        expect(again.accuracy).toBe(first.accuracy)
        // what cannot be kept is there all the same
        const nowhere = `${cache}/file/folder`
        yield* files.writeFileString(`${cache}/file`, "")
        const unkept = yield* Evaluate.judge(parts, { cache: nowhere, training })
        expect(unkept.accuracy).toBe(first.accuracy)
        yield* files.remove(`${cache}/file`)
        steps = 30
        // other data, another judge; and what is damaged is made anew
        const [name] = yield* files.readDirectory(cache)
        yield* files.writeFileString(`${cache}/${name}`, "no classifier")
        yield* Evaluate.judge(parts, { cache, training })
        expect(steps).toBe(60)
        const file = `${cache}/${name}`
        expect((yield* Evaluate.judge(parts, { file })).accuracy).toBe(first.accuracy)
        const odd = Dataset.fromArrays({
          name: "odd",
          shape: [1, 28, 28],
          floats: new Float32Array(784 * 4),
          labels: [0, 1, 2, 0]
        })
        const refused = yield* Effect.flip(Evaluate.judge({ train: odd }, { file }))
        expect(refused.message).toMatch(/10 classes of images .* but odd has 3 classes/)
        const without = Dataset.fromArrays({
          name: "plain",
          shape: [1, 28, 28],
          floats: new Float32Array(784 * 4)
        })
        const none = yield* Effect.flip(Evaluate.judge({ train: without }))
        expect(none.message).toMatch(/plain: .*no classes/)
      }).pipe(Effect.scoped)
    )

    it.effect("opens the parts of data sets", () =>
      Effect.gen(function* () {
        const { train, test } = yield* Evaluate.open({ name: "digits", flip: true, limit: 50 })
        expect([train.size, test?.size]).toEqual([50, 50])
        expect(train.fingerprint).toBe(Dataset.take(Digits.make(), 50).fingerprint)
        expect(test?.fingerprint).toBe(Dataset.take(Digits.make({ seed: 1 }), 50).fingerprint)
        const files = yield* FileSystem.FileSystem
        const folder = "../shared/data/mnist"
        if (!(yield* files.exists(folder))) return
        const mnist = yield* Evaluate.open(`mnist:${folder}`)
        expect([mnist.train.size, mnist.test?.size]).toEqual([60_000, 10_000])
        const one = yield* Evaluate.open({ name: `mnist:${folder}`, split: "test" })
        expect([one.train.size, one.test]).toEqual([10_000, undefined])
      })
    )

    it.effect("goes into files and tables, and back", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const folder = yield* files.makeTempDirectoryScoped()
        const at = Evaluate.places(folder, yield* Path.Path)
        const outcome = yield* evaluation
        const { evaluation: found } = outcome
        yield* Evaluate.writeRun(folder, outcome, "own")
        const read = yield* Evaluate.read(at.evaluation)
        expect(read).toEqual(Evaluate.only(found, "own"))
        expect(yield* files.exists(at.picture)).toBe(true)
        expect(Evaluate.merge([read, Evaluate.only(found, "grey")])).toEqual(found)
        const [model] = read.models
        for (const odd of [
          { features: 1 },
          { device: "another" },
          { models: [{ ...model, count: 1 }] }
        ]) {
          expect(() => Evaluate.merge([read, { ...read, ...odd }])).toThrow(/cannot be compared/)
        }
        expect(() => Evaluate.merge([])).toThrow(/none/)
        expect(Evaluate.table(found).rows.map(([name]) => name)).toEqual(["real", "own", "grey"])
        expect(Evaluate.classTable(found)?.columns.map(({ name }) => name)).toEqual([
          "model",
          "dark",
          "bright"
        ])
        const text = Evaluate.show(found)
        expect(text).toMatch(/model +images +FID +KID +±, of subsets/)
        expect(text).not.toContain("undefined")
        yield* files.writeFileString(at.evaluation, "[]")
        const failure = yield* Effect.flip(Evaluate.read(at.evaluation))
        expect(failure).toMatchObject({ _tag: "DataError", source: at.evaluation })
      }).pipe(Effect.scoped)
    )

    it.effect("refuses what makes no sense", () =>
      Effect.gen(function* () {
        const good = { train, judge, count: 10 }
        const cases: ReadonlyArray<
          readonly [ReadonlyArray<Evaluate.Subject>, Partial<Evaluate.Options>, RegExp]
        > = [
          [[own, own], {}, /"own" names more/],
          [[{ ...own, name: "real" }], {}, /"real" names more/],
          [[own], { judge: undefined }, /needs an extractor/],
          [[own], { count: 2 }, /count must be .* at least 4/],
          [[own], { seed: 0.5 }, /seed must be/],
          [[{ ...own, shape: [3, 28, 28] }], {}, /those of own/],
          [[own], { count: 601 }, /own: .*it has 600/],
          [[own], { subsets: { size: 50 } }, /a subset must have 2 to 10 features/]
        ]
        for (const [subjects, odd, message] of cases) {
          const found = yield* Effect.result(Evaluate.run(subjects, { ...good, ...odd }))
          expect(Result.isFailure(found) && found.failure.message).toMatch(message)
        }
        const empty: Evaluate.Subject = {
          ...own,
          name: "empty",
          open: Effect.succeed({ images: () => Stream.empty })
        }
        const none = yield* Effect.flip(Evaluate.run([empty], good))
        expect(none.message).toMatch(/empty: there are no images/)
        const failing: Evaluate.Judge = {
          ...judge,
          extractor: {
            ...coarse,
            extract: () =>
              Effect.fail(
                new DataError({ source: "means", reason: "value", message: "means: NaN" })
              )
          }
        }
        const reference = yield* Effect.flip(Evaluate.run([own], { ...good, judge: failing }))
        expect(reference).toMatchObject({ source: "digits", message: "digits: means: NaN" })
      })
    )
  }
)
