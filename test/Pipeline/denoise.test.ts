/** The denoising experiment, held to closed forms. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layers from "effect/Layer"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Denoiser, Heun, type Plan, Schedule } from "../../src/Diffusion/index.ts"
import * as Chart from "../../src/Pipeline/Chart.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Denoise from "../../src/Pipeline/Denoise.ts"
import type { Images } from "../../src/Pipeline/Images.ts"
import * as Metrics from "../../src/Pipeline/Metrics.ts"
import { HostRandom, Tensor } from "../../src/Tensor/index.ts"

type State = Denoiser.State

const shape = [1, 16, 16]
const schedule = Schedule.cosine()
const spread = 0.4

/** Images of independent normal pixels, whose best denoiser is a factor. */
const normals = Dataset.fromArrays({
  name: "normals",
  shape,
  floats: HostRandom.normal(HostRandom.key(1), [24, ...shape]).data.map((x) => spread * x)
})

/** What the best denoiser of them multiplies with, at a level. */
const factor = ({ alpha, sigma }: { readonly alpha: number; readonly sigma: number }) =>
  (alpha * spread ** 2) / ((alpha * spread) ** 2 + sigma ** 2)

const normal: Denoise.Subject = {
  name: "best",
  schedule,
  shape,
  denoiser: () =>
    Denoiser.fromData((x, { alpha, sigma }) => {
      const power = spread ** 2
      const total = Tensor.add(Tensor.mul(Tensor.square(alpha), power), Tensor.square(sigma))
      return Tensor.mul(x, Tensor.div(Tensor.mul(alpha, power), total)) as State
    })
}

/** Takes nothing away. */
const idle: Denoise.Subject = {
  ...normal,
  name: "idle",
  denoiser: () => Denoiser.fromData((x, { alpha }) => Tensor.div(x, alpha) as State)
}

/** Images of one value each, their class. */
const flat = Dataset.fromArrays({
  name: "flat",
  shape,
  floats: Float32Array.from({ length: 3 * 256 }, (_, i) => Math.floor(i / 256) / 2 - 0.5),
  labels: [0, 1, 2]
})

/** All images, in the order in which they are looked at. */
const imagesOf = (data: Dataset.Dataset) => {
  const order = HostRandom.permutation(HostRandom.key(0), data.size).data
  const all = Dataset.sequence(Dataset.subset(data, order), { batch: data.size })
  return Effect.map(Stream.runHead(all), (found) =>
    found._tag === "Some" ? found.value.data : expect.unreachable()
  )
}

const scaled = (images: Images, by: number): Images => ({
  ...images,
  data: images.data.map((x) => by * x)
})

const mean = (values: ArrayLike<number>) =>
  Array.from(values).reduce((sum, each) => sum + each, 0) / values.length

/** What DDIM makes of x/α along a plan, as a factor after each step. */
const along = ({ levels }: Plan.Plan) => {
  let x = levels[0].alpha
  return levels.slice(1).map((to, i) => {
    const from = levels[i]
    const estimate = factor(from) * x
    x = to.alpha * estimate + (to.sigma * (x - from.alpha * estimate)) / from.sigma
    return { estimate, state: x / to.alpha }
  })
}

describe("noise and blur", () => {
  const images: Images = { dtype: "float32", shape: [4, 1, 40, 40], data: new Float32Array(6400) }

  it("noise has the deviation 2ε, and an image's depends on its place alone", () => {
    const noisy = Denoise.noisy(images, 0.1, 3)
    // −20 log₁₀ ε
    expect(Math.abs(mean(Metrics.psnr(images, noisy)) - 20)).toBeLessThan(0.2)
    const two = Denoise.noisy(
      { ...images, shape: [2, 1, 40, 40], data: images.data.slice(3200) },
      0.1,
      3
    )
    expect(two.data).toEqual(noisy.data.slice(0, 3200))
  })

  it("blur leaves what is even as it is, and noise 1/(2σ√π) of its deviation", () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 2.5, noNaN: true }), (deviation) => {
        const even = Denoise.blurred({ ...images, data: images.data.map(() => 0.5) }, deviation)
        for (const each of even.data) expect(each).toBeCloseTo(0.5, 6)
        const noisy = Denoise.noisy(images, 0.25, 4)
        const { data } = Denoise.blurred(noisy, deviation)
        const found = Math.sqrt(mean(data.map((x) => x * x)))
        expect(found * 4 * deviation * Math.sqrt(Math.PI)).toBeGreaterThan(0.85)
        expect(found * 4 * deviation * Math.sqrt(Math.PI)).toBeLessThan(1.2)
      }),
      { numRuns: 5 }
    )
  })

  it("blur goes on beyond the edges by mirror images, however small an image is", () => {
    const ramp = Float32Array.from({ length: 6 }, (_, i) => (i % 2) - 0.5)
    const { data } = Denoise.blurred({ dtype: "float32", shape: [1, 1, 3, 2], data: ramp }, 4)
    expect(mean(data)).toBeCloseTo(0, 6)
    for (const each of data) expect(Math.abs(each)).toBeLessThan(0.01)
    for (const odd of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => Denoise.blurred(images, odd)).toThrow(/deviation must be a number above 0/)
    }
  })
})

describe("plans", () => {
  it("begin where σ/α is 2ε and end without noise", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.02, max: 0.4, noNaN: true }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom(schedule, Schedule.linear(), Schedule.sigmoid(), Schedule.flow()),
        (noise, steps, schedule) => {
          const { levels } = Denoise.planOf(schedule, noise, steps)
          expect(levels[0].sigma / levels[0].alpha / noise).toBeCloseTo(2, 4)
          expect(levels[levels.length - 1].sigma).toBe(0)
          expect(levels).toHaveLength(steps + 1)
        }
      )
    )
  })

  it("refuse levels that the schedule does not reach", () => {
    for (const noise of [0, -1, Number.NaN, 1e-9, 1e9]) {
      expect(() => Denoise.planOf(Schedule.linear(), noise, 2)).toThrow(/none of the schedule/)
    }
  })
})

layer(Layers.mergeAll(Device.layerOnnx(), NodeServices.layer), { excludeTestServices: true })(
  "denoising",
  (it) => {
    it.effect("finds what the closed form has, step by step", () =>
      Effect.gen(function* () {
        const clean = yield* imagesOf(normals)
        const options = { data: normals, count: 24, levels: [0.05, 0.2], steps: [1, 6], batch: 10 }
        const { result } = yield* Denoise.run([normal], options)
        expect(result.models.map(({ name }) => name)).toEqual(["best"])
        const [{ chains }] = result.models
        expect(chains.map(({ noise, steps }) => [noise, steps])).toEqual([
          [0.05, 1],
          [0.05, 6],
          [0.2, 1],
          [0.2, 6]
        ])
        for (const { noise, steps, chain, best, evaluations, seconds } of chains) {
          expect(evaluations).toBe(steps)
          expect(seconds).toBeGreaterThan(0)
          const given = Denoise.noisy(clean, noise, 0)
          const plan = Denoise.planOf(schedule, noise, steps)
          along(plan).forEach(({ estimate, state }, i) => {
            const quality = (by: number) => ({
              psnr: mean(Metrics.psnr(clean, scaled(given, by))),
              ssim: mean(Metrics.ssim(clean, scaled(given, by)))
            })
            const found = chain[i]
            expect(found.step).toBe(i + 1)
            expect(found.noise).toBeCloseTo(
              plan.levels[i + 1].sigma / plan.levels[i + 1].alpha / 2,
              9
            )
            for (const [kind, by] of Object.entries({ estimate, state })) {
              const { psnr, ssim } = quality(by)
              expect(found[kind as "state"].psnr).toBeCloseTo(psnr, 2)
              expect(found[kind as "state"].ssim).toBeCloseTo(ssim, 3)
            }
          })
          // no image beats the first estimate; and without noise state and estimate are one
          expect(best.estimate).toBe(1)
          const last = chain[chain.length - 1]
          expect(last.state.psnr).toBeCloseTo(last.estimate.psnr, 3)
          for (const kind of ["state", "estimate"] as const) {
            const all = chain.map((step) => step[kind].psnr)
            expect(best[kind]).toBe(all.indexOf(Math.max(...all)) + 1)
          }
        }
      })
    )

    it.effect("begins with the noisy images that it shows and measures", () =>
      Effect.gen(function* () {
        const { result, examples } = yield* Denoise.run([idle], {
          data: normals,
          count: 5,
          levels: [0.1],
          steps: [3],
          batch: 2,
          seed: 9,
          shown: 3
        })
        const [{ noisy }] = result.baselines
        for (const { state, estimate } of result.models[0].chains[0].chain) {
          expect(estimate.psnr).toBeCloseTo(noisy.psnr, 2)
          expect(state.psnr).toBeCloseTo(noisy.psnr, 2)
        }
        const [clean, given, , left] = examples[0].columns.map(({ images }) => images)
        expect(clean.shape).toEqual([3, ...shape])
        expect(given.data).toEqual(Denoise.noisy(clean, 0.1, 9).data)
        left.data.forEach((each, i) => expect(each).toBeCloseTo(given.data[i], 4))
      })
    )

    it.effect("tells a model with classes those of the images; nothing beats what is right", () =>
      Effect.gen(function* () {
        const told: Denoise.Subject = {
          name: "told",
          schedule,
          shape,
          classes: 3,
          denoiser: (batch, label) =>
            Denoiser.fromData((x) => {
              const value = Tensor.sub(Tensor.mul(Tensor.cast(label!, "float32"), 0.5), 0.5)
              const each = Tensor.reshape(value, [batch, 1, 1, 1])
              return Tensor.broadcastTo(each, x.shape) as State
            })
        }
        const { result } = yield* Denoise.run([told], {
          data: flat,
          count: 3,
          batch: 2,
          levels: [0.2],
          steps: [4]
        })
        const [{ chain, best }] = result.models[0].chains
        for (const { estimate } of chain) expect(estimate.psnr).toBe(Number.POSITIVE_INFINITY)
        expect(result.models[0].classes).toBe(3)
        expect(Denoise.table(result).caption).toMatch(/ Told the images' classes: told\.$/)
        expect(best.estimate).toBe(1)
        // of images without contrast the widest blur is the best
        expect(result.baselines[0].deviation).toBeGreaterThan(4)
      })
    )

    it.effect("measures more where it is told, and asks as often as the sampler does", () =>
      Effect.gen(function* () {
        const { result } = yield* Denoise.run([normal], {
          data: normals,
          count: 2,
          levels: [0.1],
          steps: [2],
          sampler: Heun.make(),
          lpips: (a, b) => Effect.succeed(Metrics.psnr(a, b).map((each) => 1 / each))
        })
        const [{ evaluations, chain }] = result.models[0].chains
        expect(chain).toHaveLength(evaluations)
        expect(chain[evaluations - 1].noise).toBe(0)
        expect(result.sampler).toBe("Heun")
        expect(result.baselines[0].noisy.lpips).toBeCloseTo(1 / result.baselines[0].noisy.psnr, 3)
      })
    )

    it.effect("tells of each chain, and goes into files and figures and back", () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const folder = yield* files.makeTempDirectoryScoped()
        const events = yield* Stream.runCollect(
          Denoise.stream([normal, idle], {
            data: normals,
            count: 2,
            levels: [0.1, 0.3],
            steps: [2],
            shown: 1
          })
        )
        const ofEach = ["Measured", "Measured", "Completed"]
        expect(events.map((event) => event._tag)).toEqual([...ofEach, ...ofEach, "Finished"])
        expect(
          events.flatMap((event) => (event._tag === "Measured" ? event.done / 4 : []))
        ).toEqual([0.25, 0.5, 0.75, 1])
        const outcome = events[6] as Denoise.Finished
        const { result } = outcome
        // of each model what is found of it alone
        for (const [i, name] of ["best", "idle"].entries()) {
          const { model, ...found } = events[3 * i + 2] as Denoise.Completed
          expect(model).toBe(name)
          expect(found.result).toEqual(Denoise.only(result, name))
          found.examples.forEach(({ columns }, level) => {
            expect(columns.map(({ name }) => name)).toEqual(["clean", "noisy", "blurred", name])
            const all = outcome.examples[level].columns
            for (const each of columns) expect(all).toContainEqual(each)
          })
        }
        const at = Denoise.places(folder, yield* Path.Path)
        yield* Denoise.write(folder, outcome)
        expect(yield* Denoise.read(at.result)).toEqual(result)
        // infinities too
        const chains = result.models[0].chains.map((chain) => ({ ...chain, seconds: Infinity }))
        const odd = { ...result, models: [{ name: "odd", chains }] }
        yield* Denoise.write(folder, { result: odd, examples: [] })
        expect(yield* Denoise.read(at.result)).toEqual(odd)
        expect(yield* files.exists(at.picture)).toBe(true)

        const parts = ["best", "idle"].map((name) => Denoise.only(result, name))
        expect(Denoise.merge(parts)).toEqual(result)
        const others = result.baselines.map((each) => ({ ...each, noisy: { psnr: 1 } }))
        for (const odd of [
          { seed: 1 },
          { batch: 1 },
          { device: "another" },
          { baselines: others }
        ]) {
          const both = [result, { ...result, ...odd }]
          expect(() => Denoise.merge(both)).toThrow(/cannot be compared/)
        }
        expect(() => Denoise.merge([])).toThrow(/no results/)

        const [caption, , ...lines] = Denoise.show(result).split("\n")
        expect(caption).toMatch(/^Noise taken from 2 images of normals by DDIM: /)
        // a head, and for each level an empty line, a title, and its rows
        expect(lines).toHaveLength(1 + 2 * (2 + 2 + 2))
        expect(lines[0]).toMatch(/^model +steps +best after +PSNR, dB +SSIM +at the end, PSNR, dB/)
        expect(lines.filter((line) => line.startsWith("ε"))).toEqual(["ε = 0.1", "ε = 0.3"])
        const { width, height } = yield* Denoise.picture(outcome.examples, { scale: 1, gap: 0 })
        expect([width, height]).toEqual([5 * 16, 2 * 16])
        for (const chart of [Denoise.overNoise(result), Denoise.alongChains(result, [0.1, 0.3])]) {
          expect(yield* Chart.toSvg(chart)).toContain("best")
        }
        expect(() => Denoise.alongChains(result, [0.2])).toThrow(/nothing to draw/)
        yield* files.writeFileString(at.result, '{"format":"odeon-denoising"}')
        const failure = yield* Effect.flip(Denoise.read(at.result))
        expect(failure).toMatchObject({ _tag: "DataError", reason: "format", source: at.result })
      })
    )

    it.effect("refuses what makes no sense, before it computes anything", () =>
      Effect.gen(function* () {
        const good = { data: normals, count: 2, levels: [0.1], steps: [1] }
        const cases: ReadonlyArray<
          readonly [ReadonlyArray<Denoise.Subject>, Partial<Denoise.Options>, RegExp]
        > = [
          [[], {}, /no model/],
          [[normal, normal], {}, /"best" names more/],
          [[{ ...normal, name: "noisy" }], {}, /"noisy" names more/],
          [[{ ...normal, shape: [1, 8, 8] }], {}, /but best is for/],
          [[normal], { count: 0 }, /count must be/],
          [[normal], { count: 100 }, /it has 24/],
          [[normal], { steps: [0] }, /steps must be/],
          [[normal], { seed: 0.5 }, /seed must be a whole number/],
          [[normal], { levels: [] }, /no levels/],
          [[normal], { levels: [0.1, 0.2, 0.1] }, /levels: 0.1 is there twice/],
          [[normal], { steps: [3, 3] }, /steps: 3 is there twice/],
          [[normal], { levels: [0.1, 1e9] }, /none of the schedule/]
        ]
        for (const [subjects, odd, message] of cases) {
          const found = yield* Effect.result(Denoise.run(subjects, { ...good, ...odd }))
          expect(Result.isFailure(found) && found.failure.message).toMatch(message)
        }
        const broken: Denoise.Subject = {
          ...normal,
          name: "broken",
          denoiser: () => Denoiser.fromData((x) => Tensor.mul(x, Number.NaN) as State)
        }
        const none = yield* Effect.flip(Denoise.run([broken], good))
        expect(none.message).toMatch(/^broken: what it makes is not finite/)
        const few: Denoise.Subject = { ...normal, name: "few", classes: 2 }
        const found = yield* Effect.flip(Denoise.run([few], { ...good, data: flat, count: 3 }))
        expect(found.message).toMatch(/flat: an image is of class 2, but few knows 2/)
      })
    )

    it.effect("goes on where a model diverges, and says so", () =>
      Effect.gen(function* () {
        // from the higher level it makes something that is no number
        const diverging: Denoise.Subject = {
          ...normal,
          name: "diverging",
          denoiser: () =>
            Denoiser.fromData((x, { sigma }) => {
              const over = Tensor.sqrt(Tensor.sub(0.3, sigma))
              return Tensor.mul(x, Tensor.div(over, over)) as State
            })
        }
        const options = { data: normals, count: 3, levels: [0.1, 0.4], steps: [1, 2], batch: 2 }
        const { result, examples } = yield* Denoise.run([diverging, normal], options)
        const [{ chains }, { chains: others }] = result.models
        expect(others.every(({ chain }) => chain.every(({ state }) => state.psnr > 0))).toBe(true)
        for (const { noise, chain, best } of chains) {
          const [first] = chain
          if (noise === 0.1) expect(first.state.ssim).toBeGreaterThan(0)
          else {
            expect(first).toMatchObject({ state: { psnr: Number.NEGATIVE_INFINITY } })
            expect(Object.keys(first.estimate)).toEqual(["psnr"])
            expect(best.estimate).toBe(1)
          }
        }
        // it is there to be seen all the same: grey
        expect(new Set(examples[1].columns[3].images.data)).toEqual(new Set([0]))
        const { width } = yield* Denoise.picture(examples, { scale: 1, gap: 0 })
        expect(width).toBe(5 * 16)
        expect(Denoise.show(result)).toMatch(/ −∞ stands where a model diverged\./)
        expect(Denoise.show(result)).toMatch(/diverging +1 +1, estimate +−∞ +– +−∞/)
        expect(yield* Chart.toSvg(Denoise.overNoise(result))).toContain("diverging")
        expect(yield* Chart.toSvg(Denoise.alongChains(result, [0.4]))).toContain("diverging")
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        yield* Denoise.write(folder, { result, examples })
        const at = Denoise.places(folder, yield* Path.Path)
        expect(yield* Denoise.read(at.result)).toEqual(result)
      }).pipe(Effect.scoped)
    )

    it.effect("looks at all classes of data that are in their order", () =>
      Effect.gen(function* () {
        const sorted = Dataset.fromArrays({
          name: "sorted",
          shape,
          floats: Float32Array.from({ length: 200 * 256 }, (_, i) => (i < 100 * 256 ? -0.5 : 0.5))
        })
        const options = { data: sorted, count: 12, levels: [0.1], steps: [1], shown: 12 }
        const { examples } = yield* Denoise.run([normal], options)
        const { data } = examples[0].columns[0].images
        const dark = data.filter((each) => each < 0).length / 256
        expect(dark).toBeGreaterThanOrEqual(3)
        expect(dark).toBeLessThanOrEqual(9)
      })
    )
  }
)
