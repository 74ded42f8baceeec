import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Device } from "../../Device/index.ts"
import { Ddim, type Denoiser, Plan, type Sampler, Schedule } from "../../Diffusion/index.ts"
import { Shape, Tensor } from "../../Tensor/index.ts"
import * as Dataset from "../Dataset.ts"
import { attempt } from "../internal/attempt.ts"
import { demand, demandWhole } from "../internal/data.ts"
import { some } from "../internal/some.ts"
import * as Metrics from "../Metrics.ts"
import * as Model from "../Model.ts"
import * as Sample from "../Sample.ts"
import type { Baseline, Chain, Outcome, Quality, Step } from "./findings.ts"
import { blurred, noisy } from "./images.ts"
import { type Batch, bestImage, bestPsnr, mapped, part, sized, taken, what } from "./shared.ts"

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

/** Throws `DataError` for what makes no sense. */
const validate = (
  subjects: ReadonlyArray<Subject>,
  {
    data,
    count = 16,
    levels = defaultLevels,
    steps = defaultSteps,
    seed = 0,
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
  whole("seed", seed, 0)
  for (const each of steps) whole("steps", each, 1)
  refuse(levels.length > 0 && steps.length > 0, () => "there are no levels, or no steps")
  for (const [name, values] of Object.entries({ levels, steps })) {
    const again = values.find((value, i) => values.indexOf(value) < i)
    refuse(again === undefined, () => `${name}: ${again} is there twice`)
  }
}

/** Clean images, and their labels if they have any. Fails with `DataError` for classes that a model does not know. */
const cleanOf = Effect.fnUntraced(function* (
  data: Dataset.Dataset,
  count: number,
  subjects: ReadonlyArray<Subject>
) {
  const chosen = yield* attempt(() => some(data, count))
  const all = yield* Stream.runHead(Dataset.sequence(chosen, { batch: count, count }))
  const items = Option.getOrThrow(all)
  const highest = items.labels?.data.reduce((a, b) => Math.max(a, b)) ?? 0
  yield* attempt(() => {
    for (const { name, classes = Number.POSITIVE_INFINITY } of subjects) {
      demand(
        highest < classes,
        data.name,
        "options",
        () => `an image is of class ${highest}, but ${name} knows ${classes}, from 0 on`
      )
    }
  })
  return items
})

// ── What is measured ─────────────────────────────────────────────────────────────────────────────

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
    const diverged: Values = { psnr: [Number.NEGATIVE_INFINITY] }
    if (!found.data.every(Number.isFinite)) return diverged
    const own: Values = yield* attempt(() => ({
      psnr: Metrics.psnr(clean, found),
      ...(Math.min(height, width) < window ? {} : { ssim: Metrics.ssim(clean, found) })
    }))
    return lpips === undefined ? own : { ...own, lpips: yield* lpips(clean, found) }
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

// ── The experiment ───────────────────────────────────────────────────────────────────────────────

/**
 * The experiment, model by model: for each all levels, and for each level all numbers of steps; the last event holds everything.
 *
 * Fails with `DataError` for options that make no sense, for levels that a schedule does not reach, and for images of another shape than a
 * model's, or of classes that it does not know, and for a model that diverges from all levels.
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
      const clean = yield* cleanOf(data, count, subjects)
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
              attempt((): Event => {
                demand(
                  chains.get(model)?.some((chain) => bestPsnr(chain) > Number.NEGATIVE_INFINITY) ===
                    true,
                  model.name,
                  "value",
                  () => "what it makes is not finite, whatever the level of noise: it diverged"
                )
                return { _tag: "Completed", model: model.name, ...outcomeOf([model]) }
              })
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
