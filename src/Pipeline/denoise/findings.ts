import * as Schema from "effect/Schema"
import { demand } from "../internal/data.ts"
import * as Saved from "../internal/saved.ts"
import { type Batch, what } from "./shared.ts"

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

/**
 * A result as JSON.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toJson = (result: Result): unknown => Saved.toJson(Result, result)

/**
 * A result from its file. Fails with `DataError` for a file that is none.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (path: string) => Saved.read(path, Result, "result of a denoising experiment")
