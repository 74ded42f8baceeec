/**
 * The denoising experiment: noise is laid over clean images, and models take it away by a sampler's steps.
 *
 * For an image x₀ with values from −1 to 1, and a level ε of noise beside a range of 1 from black to white,
 *
 *     y = x₀ + 2ε·n,  n ~ N(0, 1)
 *
 * so that y alone has a PSNR of −20 log₁₀ ε, up to chance: 20 dB for ε = 0.1. To a model y is a state of its schedule: at the time where
 * σ/α = 2ε the state is α·y. From that time on the sampler makes n steps of equal time down to 0. After each of them there are two images
 * that one could stop with, and both are measured:
 *
 * - `state`: x/α, which still holds the noise of the level arrived at; what is left of it falls to nothing with the last step
 * - `estimate`: the clean image as the denoiser saw it in this step
 *
 * The estimate of the first step is the mean of all images that could be behind y, which no other image beats in PSNR if the denoiser is
 * right; later ones are sharper and farther. Where along the chain one had best stop is the experiment's question (Calvo-Ordoñez et al.
 * 2024, arXiv:2310.20092). A sampler stops there by `Plan.until`, or by a criterion of its own with `Sampler.sampleUntil`.
 *
 * Beside the models stand two that nothing was learnt for: the noisy image itself, and Gaussian blur with the deviation that is the best
 * for these very images, which flatters it.
 *
 * ```ts
 * const { result } = yield* Denoise.run([Denoise.ofModel("cunet", model)], { data: test, levels: [0.1, 0.2], steps: [1, 10] })
 * console.log(Denoise.show(result))
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Device } from "../Device/index.ts"
import { Ddim, type Denoiser, Plan, type Sampler, Schedule } from "../Diffusion/index.ts"
import { HostRandom, Shape, Tensor } from "../Tensor/index.ts"
import * as Chart from "./Chart.ts"
import * as Dataset from "./Dataset.ts"
import * as Images from "./Images.ts"
import { attempt } from "./internal/attempt.ts"
import { demand, demandWhole } from "./internal/data.ts"
import * as Saved from "./internal/saved.ts"
import { some } from "./internal/some.ts"
import * as Metrics from "./Metrics.ts"
import * as Model from "./Model.ts"
import * as Report from "./Report.ts"
import * as Sample from "./Sample.ts"

type Batch = Images.Images

type Label = Tensor.Tensor<readonly [number], "int32">

// ── What is asked ────────────────────────────────────────────────────────────────────────────────

/**
 * What takes noise away.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  /** For people; no two have the same. */
  readonly name: string
  readonly schedule: Schedule.Schedule
  /** Of one image: `[channels, height, width]`. */
  readonly shape: ReadonlyArray<number>
  /** The classes that it is told, if any; it is told those of the images, or that there is none where the images have no labels. */
  readonly classes?: number
  /** The denoiser for batches of a size; with classes it is told a label each, `[batch]`, of which `classes` itself stands for none. */
  readonly denoiser: (batch: number, label?: Label) => Denoiser.Denoiser
}

/**
 * A model as what takes noise away.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofModel = (name: string, model: Model.Model, asking: Model.Asking = {}): Subject => ({
  name,
  schedule: model.schedule,
  shape: model.shape,
  ...(model.classes === undefined ? {} : { classes: model.classes }),
  denoiser: (_, label) => Model.denoiser(model, asking, label)
})

/**
 * A measure of how unlike images look, pair by pair, `[n]`: LPIPS, for example.
 *
 * @since 0.1.0
 * @category models
 */
export type Perceptual<E = never> = (a: Batch, b: Batch) => Effect.Effect<ArrayLike<number>, E>

/**
 * - `data`: clean images, held out from training
 * - `count`: how many of them, chosen at random, the same ones each time; they and their noise are in memory. 16 unless told
 * - `levels`: ε, beside a range of 1 from black to white; see the head of this module
 * - `steps`: how many steps from there to no noise, one after the other
 * - `sampler`: DDIM without noise unless told
 * - `seed`: of the noise, the same for all models, levels and steps but for its size; 0 unless told
 * - `batch`: how many at once; 16 unless told
 * - `lpips`: measured besides PSNR and SSIM, if told
 * - `shown`: how many of the images are kept to look at; 2 unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never> {
  readonly data: Dataset.Dataset
  readonly count?: number
  readonly levels?: ReadonlyArray<number>
  readonly steps?: ReadonlyArray<number>
  readonly sampler?: Sampler.Sampler
  readonly seed?: number
  readonly batch?: number
  readonly lpips?: Perceptual<E>
  readonly shown?: number
}

/**
 * ε of the paper's range.
 *
 * @since 0.1.0
 * @category instances
 */
export const defaultLevels: ReadonlyArray<number> = [0.04, 0.1, 0.2, 0.3, 0.4]

/**
 * @since 0.1.0
 * @category instances
 */
export const defaultSteps: ReadonlyArray<number> = [1, 5, 20]

// ── What is found ────────────────────────────────────────────────────────────────────────────────

/**
 * Means over the images: PSNR in decibels, SSIM (of images that are as large as its window), LPIPS where it was asked for. A model that
 * diverges leaves numbers that are not finite: the PSNR is −∞ then, and nothing else is known.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Quality = Schema.Struct({
  psnr: Schema.Number,
  ssim: Schema.optionalKey(Schema.Number),
  lpips: Schema.optionalKey(Schema.Number)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Quality = typeof Quality.Type

/**
 * What there is after a step.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Step = Schema.Struct({
  /** From 1 on. */
  step: Schema.Int,
  /** ε of the level arrived at. */
  noise: Schema.Number,
  state: Quality,
  estimate: Quality
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Step = typeof Step.Type

/**
 * A model's way from one level of noise.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Chain = Schema.Struct({
  /** ε where it begins. */
  noise: Schema.Number,
  /** Of the plan; samplers that ask the denoiser several times in a step have more in `chain`. */
  steps: Schema.Int,
  /** How often the network is asked for each image. */
  evaluations: Schema.Int,
  chain: Schema.Array(Step),
  /** The steps, from 1 on, after which PSNR is the highest: where one had best stopped. */
  best: Schema.Struct({ state: Schema.Int, estimate: Schema.Int }),
  /** Seconds for each image of a batch, for all steps; each takes the same part. */
  seconds: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Chain = typeof Chain.Type

/**
 * What is there without a model, at a level of noise.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Baseline = Schema.Struct({
  /** ε. */
  noise: Schema.Number,
  noisy: Quality,
  blurred: Quality,
  /** The deviation of the blur, in pixels, which gives these images the highest PSNR. */
  deviation: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Baseline = typeof Baseline.Type

/**
 * What the experiment found.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Result = Schema.Struct({
  format: Schema.Literal("odeon-denoising"),
  version: Schema.Literal(1),
  data: Schema.String,
  /** Images. */
  count: Schema.Int,
  batch: Schema.Int,
  seed: Schema.Int,
  sampler: Schema.String,
  device: Schema.String,
  baselines: Schema.Array(Baseline),
  models: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      /** How many classes there are, of a model that was told those of the images. */
      classes: Schema.optionalKey(Schema.Int),
      chains: Schema.Array(Chain)
    })
  )
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Result = typeof Result.Type

/**
 * Images to look at, of one level of noise: the clean ones, and the same as each hand left them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Example {
  /** ε. */
  readonly noise: number
  /** In order: `clean`, `noisy`, `blurred`, and the models by their names, each where its PSNR is the highest. */
  readonly columns: ReadonlyArray<{ readonly name: string; readonly images: Batch }>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  readonly result: Result
  readonly examples: ReadonlyArray<Example>
}

/**
 * A chain is measured.
 *
 * @since 0.1.0
 * @category events
 */
export interface Measured {
  readonly _tag: "Measured"
  readonly model: string
  readonly chain: Chain
  /** How many chains are measured by now, and how many there will be. */
  readonly done: number
  readonly total: number
}

/**
 * All chains of a model are measured: what is found of it alone, so that it can be kept whatever becomes of the rest.
 *
 * @since 0.1.0
 * @category events
 */
export interface Completed extends Outcome {
  readonly _tag: "Completed"
  readonly model: string
}

/**
 * The end.
 *
 * @since 0.1.0
 * @category events
 */
export interface Finished extends Outcome {
  readonly _tag: "Finished"
}

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Measured | Completed | Finished

// ── Images ───────────────────────────────────────────────────────────────────────────────────────

const what = "Denoise"

const sized = ({ shape: [, ...own] }: Batch): number => Shape.size(own)

/** Some of the images; their values are not copied. */
const part = (images: Batch, first: number, count: number): Batch => {
  const [, ...own] = images.shape
  const size = sized(images)
  return {
    dtype: "float32",
    shape: [count, ...own],
    data: images.data.subarray(first * size, (first + count) * size)
  }
}

const mapped = (images: Batch, f: (value: number, at: number) => number): Batch => ({
  ...images,
  data: images.data.map(f)
})

/**
 * Noisy images: x₀ + 2ε·n, where the noise of each depends on the seed and its place alone. It is the noise that `Sample` begins with.
 *
 * @since 0.1.0
 * @category images
 */
export const noisy = (images: Batch, noise: number, seed: number): Batch => {
  const [count, ...own] = images.shape
  const size = sized(images)
  const key = HostRandom.key(seed)
  const result = new Float32Array(images.data)
  for (let i = 0; i < count; i++) {
    const { data } = HostRandom.normal(HostRandom.foldIn(key, i), own)
    for (let k = 0; k < size; k++) result[i * size + k] += 2 * noise * data[k]
  }
  return { ...images, data: result }
}

/**
 * Images `[n, channels, height, width]` under a Gaussian of a deviation in pixels, cut off after four of them, as though each were
 * continued by its mirror image.
 *
 * @since 0.1.0
 * @category images
 */
export const blurred = (images: Batch, deviation: number): Batch => {
  const [n, channels, height, width] = images.shape
  const radius = Math.ceil(4 * deviation)
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * deviation * deviation))
  )
  const sum = raw.reduce((total, each) => total + each, 0)
  const kernel = raw.map((each) => each / sum)
  /** A place beyond an edge by its mirror image, the edge itself between them. */
  const mirrored = (at: number, size: number): number => {
    const within = ((at % (2 * size)) + 2 * size) % (2 * size)
    return within < size ? within : 2 * size - 1 - within
  }
  /** Along lines of `size` places, `stride` apart. */
  const along = (data: Float32Array, size: number, stride: number): Float32Array => {
    const places = kernel.map((_, k) =>
      Int32Array.from({ length: size }, (_, at) => mirrored(at + k - radius, size) * stride)
    )
    return data.map((_, i) => {
      const at = Math.floor(i / stride) % size
      const start = i - at * stride
      let total = 0
      for (let k = 0; k < kernel.length; k++) total += kernel[k] * data[start + places[k][at]]
      return total
    })
  }
  const data = along(along(images.data, width, 1), height, width)
  return { dtype: "float32", shape: [n, channels, height, width], data }
}

/** Deviations to choose from, in pixels: a seventh apart. */
const deviations = Array.from({ length: 24 }, (_, i) => 0.25 * (8 / 7) ** i)

const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return sum / values.length
}

/** The least image that SSIM's window lies in. */
const window = 11

type Values = Readonly<Partial<Record<keyof Quality, ArrayLike<number>>>>

/** Measures pairs of images. */
const measure = <E>(lpips: Perceptual<E> | undefined) =>
  Effect.fnUntraced(function* (clean: Batch, found: Batch) {
    const [, , height, width] = clean.shape
    if (!found.data.every(Number.isFinite)) {
      return { psnr: [Number.NEGATIVE_INFINITY] } satisfies Values as Values
    }
    const own = yield* attempt(() => ({
      psnr: Metrics.psnr(clean, found),
      ...(Math.min(height, width) < window ? {} : { ssim: Metrics.ssim(clean, found) })
    }))
    return {
      ...own,
      ...(lpips === undefined ? {} : { lpips: yield* lpips(clean, found) })
    } satisfies Values as Values
  })

/** Means of what was measured in parts, of what is known of all of them. */
const qualityOf = (parts: ReadonlyArray<Values>): Quality => {
  const all = (name: keyof Quality) => parts.flatMap((each) => Array.from(each[name] ?? []))
  const of = (name: keyof Quality) =>
    parts.every((each) => each[name] !== undefined) ? { [name]: mean(all(name)) } : {}
  return { psnr: mean(all("psnr")), ...of("ssim"), ...of("lpips") }
}

/** The step, from 1 on, of the highest PSNR; of equal ones the first. */
const bestOf = (chain: ReadonlyArray<Step>, kind: "state" | "estimate"): number =>
  chain.reduce((best, step) => (step[kind].psnr > best[kind].psnr ? step : best)).step

/**
 * The plan of a chain: `steps` steps of equal time, from the level whose noise beside the signal is 2ε. Throws `DataError` for levels that
 * the schedule does not reach.
 *
 * @since 0.1.0
 * @category plans
 */
export const planOf = (schedule: Schedule.Schedule, noise: number, steps: number): Plan.Plan => {
  const time = noise > 0 ? schedule.time(-2 * Math.log(2 * noise)) : Number.NaN
  const epsilon = (t: number): string => {
    const { alpha, sigma } = Schedule.mixture(schedule, t)
    return String(Number((sigma / alpha / 2).toPrecision(3)))
  }
  demand(
    time > 0,
    what,
    "options",
    () =>
      `the level of noise ${noise} is none of the schedule ${schedule.name}, whose levels lie above ${epsilon(0)} and go to ${epsilon(1)}`
  )
  return Plan.uniform(schedule, steps, { from: time })
}

/** What the columns of examples are called that are no models'. */
const taken = ["clean", "noisy", "blurred"]

/** Throws `DataError` for what makes no sense. */
const validate = (
  subjects: ReadonlyArray<Subject>,
  {
    data,
    count = 16,
    levels = defaultLevels,
    steps = defaultSteps,
    batch = 16,
    shown = 2
  }: Options<any>
): void => {
  const refuse = (holds: boolean, message: () => string) => demand(holds, what, "options", message)
  const names = subjects.map(({ name }) => name)
  refuse(names.length > 0, () => "there is no model")
  const twice = names.find((name, i) => names.indexOf(name) < i || taken.includes(name))
  refuse(twice === undefined, () => `"${twice}" names more than one thing: give each its own name`)
  demand(
    data.shape.length === 3,
    data.name,
    "shape",
    () => `images are [channels, height, width]; its items are ${Shape.show(data.shape)}`
  )
  for (const { name, shape } of subjects) {
    demand(
      Shape.equals(shape, data.shape),
      data.name,
      "shape",
      () => `its images are ${Shape.show(data.shape)}, but ${name} is for ${Shape.show(shape)}`
    )
  }
  const whole = (name: string, value: number, least: number) =>
    demandWhole(what, name, value, least)
  whole("count", count, 1)
  whole("batch", batch, 1)
  whole("shown", shown, 0)
  for (const each of steps) whole("steps", each, 1)
  refuse(levels.length > 0 && steps.length > 0, () => "there are no levels, or no steps")
  for (const [name, values] of Object.entries({ levels, steps })) {
    const again = values.find((value, i) => values.indexOf(value) < i)
    refuse(again === undefined, () => `${name}: ${again} is there twice`)
  }
}

/** Clean images, and their labels if they have any. */
const cleanOf = Effect.fnUntraced(function* (data: Dataset.Dataset, count: number) {
  const chosen = yield* attempt(() => some(data, count))
  const all = yield* Stream.runHead(Dataset.sequence(chosen, { batch: count, count }))
  return Option.getOrThrow(all)
})

// ── The experiment ───────────────────────────────────────────────────────────────────────────────

/** What is shown of a chain: the images after each step. */
interface Seen {
  readonly state: ReadonlyArray<Batch>
  readonly estimate: ReadonlyArray<Batch>
}

/** Seconds that need not be measured twice. */
const long = 2

/** One chain of one model. */
const chainOf = Effect.fnUntraced(function* <E>(
  subject: Subject,
  clean: Dataset.Items,
  noise: number,
  steps: number,
  { sampler = Ddim.make(), seed = 0, lpips, ...options }: Options<E>
) {
  const { data: images, labels } = clean
  const [count] = images.shape
  const batch = Math.min(options.batch ?? 16, count)
  const shown = Math.min(options.shown ?? 2, count)
  const plan = yield* attempt(() => planOf(subject.schedule, noise, steps))
  const { classes } = subject
  const inputs = classes === undefined ? {} : { label: Tensor.spec([batch], "int32") }
  const sampling = yield* Sample.make({
    shape: subject.shape,
    batch,
    plan,
    inputs,
    sampler: () => sampler,
    denoiser: (given) => subject.denoiser(batch, (given as { readonly label?: Label }).label)
  })
  const asked = yield* attempt(() => sampler.steps(plan).levels)
  /** Of each state, after its step. */
  const arrived = [...asked.slice(1), plan.levels[plan.levels.length - 1]]
  const runOptions = (first: number) => {
    const items = Math.min(batch, count - first)
    const told = Int32Array.from({ length: batch }, (_, i) =>
      Number(labels?.data[first + i] ?? classes)
    )
    return {
      count: items,
      first,
      from: part(images, first, items),
      inputs: classes === undefined ? {} : { label: { dtype: "int32", shape: [batch], data: told } }
    } as never
  }
  const measured = measure(lpips)
  const found = asked.map(() => ({ state: [] as Array<Values>, estimate: [] as Array<Values> }))
  const room = (): Float32Array => new Float32Array(shown * Shape.size(subject.shape))
  const kept = { state: asked.map(room), estimate: asked.map(room) }
  for (let first = 0; first < count; first += batch) {
    yield* Stream.runForEach(
      sampling.stream(seed, runOptions(first)),
      Effect.fnUntraced(function* ({ index, x, data }) {
        const own = part(images, first, x.shape[0])
        const { alpha } = arrived[index]
        const each = { state: mapped(x, (value) => value / alpha), estimate: data }
        for (const kind of ["state", "estimate"] as const) {
          found[index][kind].push(yield* measured(own, each[kind]))
          const few = Math.min(x.shape[0], shown - first)
          if (few <= 0) continue
          // grey, where there is nothing that can be shown
          const visible = mapped(part(each[kind], 0, few), (v) => (Number.isFinite(v) ? v : 0))
          kept[kind][index].set(visible.data, first * sized(images))
        }
      })
    )
  }
  const timed = Effect.gen(function* () {
    const begun = performance.now()
    yield* sampling.run(seed, runOptions(0))
    return (performance.now() - begun) / 1000
  })
  const first = yield* timed
  // the first time something short is run it may take longer
  const seconds = first > long ? first : Math.min(first, yield* timed)
  const chain = found.map(
    ({ state, estimate }, i): Step => ({
      step: i + 1,
      noise: arrived[i].sigma / arrived[i].alpha / 2,
      state: qualityOf(state),
      estimate: qualityOf(estimate)
    })
  )
  const seen = (all: ReadonlyArray<Float32Array>): ReadonlyArray<Batch> =>
    all.map((data) => ({ dtype: "float32", shape: [shown, ...subject.shape], data }))
  return {
    chain: {
      noise,
      steps,
      evaluations: sampling.evaluations,
      chain,
      best: { state: bestOf(chain, "state"), estimate: bestOf(chain, "estimate") },
      seconds: seconds / batch
    } satisfies Chain,
    seen: { state: seen(kept.state), estimate: seen(kept.estimate) } satisfies Seen
  }
}, Effect.scoped)

/** What there is without a model. */
const baselineOf = Effect.fnUntraced(function* <E>(
  clean: Batch,
  noise: number,
  { seed = 0, lpips }: Options<E>
) {
  const given = noisy(clean, noise, seed)
  const measured = measure(lpips)
  const quality = (images: Batch) =>
    Effect.map(measured(clean, images), (values) => qualityOf([values]))
  const tried = yield* Effect.forEach(deviations, (deviation) =>
    Effect.tap(
      attempt(() => ({ deviation, psnr: mean(Metrics.psnr(clean, blurred(given, deviation))) })),
      // many images take a while
      Effect.yieldNow
    )
  )
  const { deviation } = tried.reduce((best, each) => (each.psnr > best.psnr ? each : best))
  const smooth = blurred(given, deviation)
  return {
    noisy: given,
    blurred: smooth,
    baseline: {
      noise,
      noisy: yield* quality(given),
      blurred: yield* quality(smooth),
      deviation
    } satisfies Baseline
  }
})

/** Of a chain, the image that one had best stopped with. */
const bestImage = (chain: Chain): { readonly kind: "state" | "estimate"; readonly step: Step } => {
  const [state, estimate] = [
    chain.chain[chain.best.state - 1],
    chain.chain[chain.best.estimate - 1]
  ]
  return state.state.psnr > estimate.estimate.psnr
    ? { kind: "state", step: state }
    : { kind: "estimate", step: estimate }
}

/** The highest PSNR of a chain. */
const bestPsnr = (chain: Chain): number => {
  const { kind, step } = bestImage(chain)
  return step[kind].psnr
}

/** Throws `DataError` for classes that a model does not know. */
const checkLabels = (subjects: ReadonlyArray<Subject>, { labels }: Dataset.Items, name: string) => {
  const highest = labels === undefined ? 0 : labels.data.reduce((a, b) => Math.max(a, b))
  for (const subject of subjects) {
    const { classes = Number.POSITIVE_INFINITY } = subject
    demand(
      highest < classes,
      name,
      "options",
      () => `an image is of class ${highest}, but ${subject.name} knows ${classes}, from 0 on`
    )
  }
}

/**
 * The experiment, model by model: for each all levels, and for each level all numbers of steps; the last event holds everything.
 *
 * Fails with `DataError` for options that make no sense, for levels that a schedule does not reach, and for images of another shape than a
 * model's, or of classes that it does not know.
 *
 * @since 0.1.0
 * @category running
 */
export const stream = <E = never>(subjects: ReadonlyArray<Subject>, options: Options<E>) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { data, count = 16, levels = defaultLevels, steps = defaultSteps } = options
      const { sampler = Ddim.make(), seed = 0, batch = 16, shown = 2 } = options
      yield* attempt(() => {
        validate(subjects, options)
        for (const { schedule } of subjects) {
          for (const noise of levels) for (const each of steps) planOf(schedule, noise, each)
        }
      })
      const { description } = yield* Device.Device
      const clean = yield* cleanOf(data, count)
      yield* attempt(() => checkLabels(subjects, clean, data.name))
      const bases = yield* Effect.forEach(levels, (noise) => baselineOf(clean.data, noise, options))
      const few = Math.min(shown, count)
      const chains = new Map<Subject, Array<Chain>>()
      /** Of each model, for each level the best images so far. */
      const best = new Map<Subject, Array<{ readonly psnr: number; readonly images: Batch }>>()

      /** What is found of some models. */
      const outcomeOf = (models: ReadonlyArray<Subject>): Outcome => ({
        result: {
          format: "odeon-denoising",
          version: 1,
          data: data.name,
          count,
          batch: Math.min(batch, count),
          seed,
          sampler: sampler.name,
          device: description,
          baselines: bases.map(({ baseline }) => baseline),
          models: models.map((model) => ({
            name: model.name,
            ...(model.classes === undefined || clean.labels === undefined
              ? {}
              : { classes: model.classes }),
            chains: chains.get(model) ?? []
          }))
        },
        examples: levels.flatMap((noise, level) =>
          few === 0
            ? []
            : {
                noise,
                columns: [
                  { name: "clean", images: part(clean.data, 0, few) },
                  { name: "noisy", images: part(bases[level].noisy, 0, few) },
                  { name: "blurred", images: part(bases[level].blurred, 0, few) },
                  ...models.flatMap((model) => {
                    const found = best.get(model)?.[level]
                    return found === undefined ? [] : { name: model.name, images: found.images }
                  })
                ]
              }
        )
      })

      const jobs = levels.flatMap((noise, level) => steps.map((each) => ({ noise, level, each })))
      const measured = (model: Subject, before: number) =>
        Stream.fromIterable(jobs).pipe(
          Stream.mapEffect(({ noise, level, each }, i) =>
            Effect.map(chainOf(model, clean, noise, each, options), ({ chain, seen }): Event => {
              chains.set(model, [...(chains.get(model) ?? []), chain])
              const { kind, step } = bestImage(chain)
              const psnr = step[kind].psnr
              const images = best.get(model) ?? []
              best.set(model, images)
              if (!(psnr <= images[level]?.psnr)) {
                images[level] = { psnr, images: seen[kind][step.step - 1] }
              }
              const done = before + i + 1
              const total = subjects.length * jobs.length
              return { _tag: "Measured", model: model.name, chain, done, total }
            })
          ),
          Stream.concat(
            Stream.fromEffect(
              Effect.sync(
                (): Event => ({ _tag: "Completed", model: model.name, ...outcomeOf([model]) })
              )
            )
          )
        )
      return Stream.fromIterable(subjects.map((model, i) => measured(model, i * jobs.length))).pipe(
        Stream.flatten(),
        Stream.concat(
          Stream.fromEffect(
            Effect.sync((): Event => ({ _tag: "Finished", ...outcomeOf(subjects) }))
          )
        )
      )
    })
  )

/**
 * The experiment, to its end. See {@link stream}.
 *
 * @since 0.1.0
 * @category running
 */
export const run = Effect.fnUntraced(function* <E = never>(
  subjects: ReadonlyArray<Subject>,
  options: Options<E>
) {
  const last = yield* Stream.runLast(stream(subjects, options))
  return Option.getOrThrow(last) as Outcome
})

// ── Showing it ───────────────────────────────────────────────────────────────────────────────────

/**
 * What was found of one model alone, beside what is there without any.
 *
 * @since 0.1.0
 * @category getters
 */
export const only = (result: Result, name: string): Result => ({
  ...result,
  models: result.models.filter((model) => model.name === name)
})

/**
 * The models of several experiments beside each other, if these are alike: on the same images, with the same noise, on the same device.
 * Throws `DataError` if they are not.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (results: ReadonlyArray<Result>): Result => {
  const [first, ...rest] = results
  demand(
    first !== undefined,
    what,
    "empty",
    () => "there are no results to be put beside each other"
  )
  // the same noise on other images leaves another PSNR
  const conditions = ({ data, count, batch, seed, sampler, device, baselines }: Result) =>
    JSON.stringify([
      ...[data, count, batch, seed, sampler, device],
      ...baselines.map(({ noise, noisy }) => [noise, noisy.psnr])
    ])
  for (const each of rest) {
    demand(
      conditions(each) === conditions(first),
      what,
      "options",
      () =>
        `experiments of ${namesOf(first)} and ${namesOf(each)} differ in images, batch, seed, sampler, device or levels, so that they cannot be compared`
    )
  }
  return { ...first, models: results.flatMap(({ models }) => models) }
}

const namesOf = ({ models }: Result): string => models.map(({ name }) => name).join(", ")

/** The chains of a model from a level. */
const chainsAt = (chains: ReadonlyArray<Chain>, noise: number): ReadonlyArray<Chain> =>
  chains.filter((chain) => chain.noise === noise)

/**
 * Everything in a table: for each level what there is without a model, and a row for each model and number of steps.
 *
 * @since 0.1.0
 * @category conversions
 */
export const table = ({ baselines, models, count, data, sampler }: Result): Report.Table => {
  const cells = ({ psnr, ssim, lpips }: Quality) => [psnr, ssim, lpips]
  const levels = baselines.map(({ noise, noisy, blurred, deviation }) => {
    const without = [
      ["noisy", undefined, undefined, ...cells(noisy), undefined, undefined],
      [
        `blurred, σ = ${deviation.toFixed(2)}`,
        undefined,
        undefined,
        ...cells(blurred),
        undefined,
        undefined
      ]
    ]
    const denoised = models.flatMap(({ name, chains }) =>
      chainsAt(chains, noise).map((chain) => {
        const { kind, step } = bestImage(chain)
        const last = chain.chain[chain.chain.length - 1]
        const best = `${step.step}, ${kind}`
        return [name, chain.steps, best, ...cells(step[kind]), last.state.psnr, chain.seconds]
      })
    )
    return { noise, rows: [...without, ...denoised] }
  })
  const columns: ReadonlyArray<Report.Column> = [
    { name: "model" },
    { name: "steps" },
    { name: "best after", align: "right" },
    { name: "PSNR", unit: "dB", format: "fixed", best: "high" },
    { name: "SSIM", format: "fixed", digits: 3, best: "high" },
    { name: "LPIPS", format: "fixed", digits: 3, best: "low" },
    { name: "at the end", unit: "PSNR, dB", format: "fixed" },
    { name: "time", unit: "an image", format: "seconds" }
  ]
  const rows = levels.flatMap((level) => level.rows)
  const used = columns.map((_, c) => rows.some((row) => row[c] !== undefined))
  const starts = levels.map((_, i) =>
    levels.slice(0, i).reduce((sum, { rows }) => sum + rows.length, 0)
  )
  const told = models.flatMap(({ name, classes }) => (classes === undefined ? [] : [name]))
  const knowing = told.length === 0 ? "" : ` Told the images' classes: ${told.join(", ")}.`
  const diverged = models.some(({ chains }) =>
    chains.some(({ chain }) => chain.some(({ state }) => state.psnr === Number.NEGATIVE_INFINITY))
  )
  const beyond = diverged ? " −∞ stands where a model diverged." : ""
  return Report.table({
    caption: `Noise taken from ${count} images of ${data} by ${sampler}: the image with the highest PSNR along the chain, and the last one. A step leaves a “state”, and is made of an “estimate” of the clean image. Means over the images.${knowing}${beyond}`,
    columns: columns.filter((_, c) => used[c]),
    rows: rows.map((row) => row.filter((_, c) => used[c])),
    groups: levels.map(({ noise }, i) => ({ title: `ε = ${noise}`, row: starts[i] })),
    unranked: starts.flatMap((start) => [start, start + 1])
  })
}

/**
 * Everything, as text.
 *
 * @since 0.1.0
 * @category conversions
 */
export const show = (result: Result): string => {
  const shown = table(result)
  return `${shown.caption}\n\n${Report.tableToText(shown)}`
}

/**
 * PSNR over the level of noise: of each model the best image of its best chain, and what is there without one.
 *
 * @since 0.1.0
 * @category charts
 */
export const overNoise = ({ baselines, models, data }: Result): Chart.Chart => {
  const x = baselines.map(({ noise }) => noise)
  const best = (chains: ReadonlyArray<Chain>) =>
    x.map((noise) => Math.max(...chainsAt(chains, noise).map(bestPsnr)))
  return Chart.lines({
    title: "Denoising: PSNR over noise",
    description: `The PSNR of denoised images of ${data} over the noise that they had: ${[...models.map(({ name }) => name), "Gaussian blur", "nothing done"].join(", ")}.`,
    x: "noise ε",
    y: "PSNR, dB",
    series: [
      ...models.map(({ name, chains }) => ({ name, x, y: best(chains) })),
      { name: "blurred", x, y: baselines.map(({ blurred }) => blurred.psnr) },
      { name: "noisy", x, y: baselines.map(({ noisy }) => noisy.psnr) }
    ]
  })
}

/** PSNR along the chains with the most steps from a level of noise. */
const fromLevel = ({ baselines, models }: Result, noise: number): Chart.Chart => {
  const series = models.flatMap(({ name, chains }) => {
    const all = chainsAt(chains, noise)
    if (all.length === 0) return []
    const { chain } = all.reduce((longest, each) => (each.steps > longest.steps ? each : longest))
    const x = chain.map(({ step }) => step)
    return (["state", "estimate"] as const).map((kind) => ({
      name: `${name}, ${kind}`,
      x,
      y: chain.map((step) => step[kind].psnr)
    }))
  })
  const baseline = baselines.find((each) => each.noise === noise)
  return Chart.lines({
    title: `From ε = ${noise}`,
    x: "step",
    y: `ε = ${noise}: PSNR, dB`,
    series,
    references:
      baseline === undefined ? [] : [{ axis: "y", value: baseline.noisy.psnr, label: "noisy" }]
  })
}

/**
 * PSNR along the chains with the most steps from some levels of noise, a panel each: of the state, and of the estimate of the clean image.
 * Throws `DataError` for levels that are none of the result's.
 *
 * @since 0.1.0
 * @category charts
 */
export const alongChains = (result: Result, levels: ReadonlyArray<number>): Chart.Chart =>
  Chart.panels({
    title: "Denoising: PSNR along the chain",
    charts: levels.map((noise) => fromLevel(result, noise))
  })

/**
 * Examples in one picture: a row for each level and image, a column for each hand. Fails with `DataError` where there are none.
 *
 * @since 0.1.0
 * @category pictures
 */
export const picture = (examples: ReadonlyArray<Example>, options: Images.GridOptions = {}) =>
  Effect.suspend(() => {
    const cells = examples.flatMap(({ columns }) =>
      Array.from({ length: columns[0].images.shape[0] }, (_, i) =>
        columns.map(({ images }) => part(images, i, 1))
      ).flat()
    )
    const size = cells.length === 0 ? 0 : sized(cells[0])
    const data = new Float32Array(cells.length * size)
    for (const [i, cell] of cells.entries()) data.set(cell.data, i * size)
    const shape = [cells.length, ...(cells[0]?.shape.slice(1) ?? [1, 1, 1])]
    const columns = examples[0]?.columns.length ?? 1
    return Images.grid({ dtype: "float32", shape, data }, { columns, ...options })
  })

// ── Files ────────────────────────────────────────────────────────────────────────────────────────

/**
 * A result as JSON.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toJson = (result: Result): unknown => Saved.toJson(Result, result)

/**
 * Where in a run's folder the experiment is.
 *
 * @since 0.1.0
 * @category getters
 */
export const places = (folder: string, { join }: Path.Path) => ({
  result: join(folder, "denoise.json"),
  picture: join(folder, "denoise.png")
})

/**
 * Writes a result into a folder as `denoise.json`, and its examples, if there are any, as `denoise.png`. Fails with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (folder: string, { result, examples }: Outcome) {
  const at = places(folder, yield* Path.Path)
  if (examples.length > 0) yield* Images.write(at.picture, yield* picture(examples))
  yield* Saved.write(at.result, Result, result)
})

/**
 * Writes what was found of one model into its run's folder. See {@link write}.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeRun = (folder: string, { result, examples }: Outcome, name: string) =>
  write(folder, {
    result: only(result, name),
    examples: examples.map(({ noise, columns }) => ({
      noise,
      columns: columns.filter((each) => taken.includes(each.name) || each.name === name)
    }))
  })

/**
 * A result from its file. Fails with `DataError` for a file that is none.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (path: string) => Saved.read(path, Result, "result of a denoising experiment")
