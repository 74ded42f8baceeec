import * as Schema from "effect/Schema"
import { demand } from "../internal/data.ts"
import * as Saved from "../internal/saved.ts"

const Spread = Schema.Struct({ mean: Schema.Number, deviation: Schema.Number })

/**
 * How the judge, a classifier trained on the data set itself, sees a set of images.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Judgement = Schema.Struct({
  /** How many images are of each class, in the classes' order. */
  counts: Schema.Array(Schema.Int),
  /** The share of images whose class is more probable than {@link sure}. */
  confident: Schema.Number,
  /** The mean probability of the images' classes. */
  confidence: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Judgement = typeof Judgement.Type

/**
 * What a model is and costs. Times are those of the machine at hand.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Network = Schema.Struct({
  parameters: Schema.Int,
  /** Multiply-accumulates of convolutions and dense layers, of one evaluation for one image. */
  macs: Schema.Number,
  /** Steps that it was trained. */
  steps: Schema.Int,
  /** Seconds that a step of training took, the median of its history, if it is known. */
  secondsPerStep: Schema.optionalKey(Schema.Number),
  sampler: Schema.String,
  /** Evaluations of the denoiser for each image. */
  evaluations: Schema.Int,
  /** Images at once. */
  batch: Schema.Int,
  /** The most bytes of values alive at once in a step of sampling such a batch, beside the weights (`Cost.peakBytes`). */
  peakBytes: Schema.Number,
  /** Of sampling, without compilation. */
  secondsPerImage: Schema.Number
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Network = typeof Network.Type

/**
 * What is found of a set of images.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Figures = Schema.Struct({
  name: Schema.String,
  /** Images. */
  count: Schema.Int,
  /** The Fréchet distance to the reference (`Metrics.fid`): FID proper, if the features are Inception's. */
  fid: Schema.Number,
  /** The kernel distance (`Metrics.kidOfSubsets`). */
  kid: Spread,
  /** These four by `Metrics.precisionRecall`. */
  precision: Schema.Number,
  recall: Schema.Number,
  density: Schema.Number,
  coverage: Schema.Number,
  /** `Metrics.inceptionScore`, of an extractor that knows classes. */
  score: Schema.optionalKey(Spread),
  judgement: Schema.optionalKey(Judgement),
  /** Of a model. */
  network: Schema.optionalKey(Network)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Figures = typeof Figures.Type

/**
 * What an evaluation found, and by what means.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Evaluation = Schema.Struct({
  format: Schema.Literal("odeon-evaluation"),
  version: Schema.Literal(1),
  /** What all sets are compared with. */
  reference: Schema.Struct({ name: Schema.String, count: Schema.Int }),
  extractor: Schema.Struct({
    name: Schema.String,
    dimension: Schema.Int,
    /** What was done to images of another size than the extractor's. */
    resizing: Schema.String,
    /** What features are divided by; 1 but for the judge's. */
    scale: Schema.Number
  }),
  /** How many features of each set the kernel distance, precision, recall and score are of, at most. */
  features: Schema.Int,
  judge: Schema.optionalKey(
    Schema.Struct({
      name: Schema.String,
      classes: Schema.Array(Schema.String),
      /** The share of held-out images that it classifies rightly. */
      accuracy: Schema.Number
    })
  ),
  /** Of the samples. */
  seed: Schema.Int,
  device: Schema.String,
  /** Real images that were held out, if there are any: the yardstick. */
  real: Schema.optionalKey(Figures),
  models: Schema.Array(Figures)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Evaluation = typeof Evaluation.Type

/**
 * A judge is sure of an image where the probability of its class is above this.
 *
 * @since 0.1.0
 * @category instances
 */
export const sure = 0.9

/** What evaluations must have in common to be compared. */
const conditionsOf = ({ reference, extractor, features, judge, device, models }: Evaluation) =>
  JSON.stringify([reference, extractor, features, judge, device, models[0]?.count])

/**
 * What was found of one model alone, beside the yardstick.
 *
 * @since 0.1.0
 * @category getters
 */
export const only = (evaluation: Evaluation, name: string): Evaluation => ({
  ...evaluation,
  models: evaluation.models.filter((model) => model.name === name)
})

/**
 * The models of several evaluations beside each other, if these are alike: by the same extractor and judge, of as many images, against the
 * same reference, on the same device. Throws `DataError` if they are not.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (evaluations: ReadonlyArray<Evaluation>): Evaluation => {
  const [first, ...rest] = evaluations
  demand(first !== undefined, "evaluation", "empty", () => "there are none to be put together")
  for (const each of rest) {
    demand(
      conditionsOf(each) === conditionsOf(first),
      "evaluation",
      "options",
      () =>
        `those of ${namesOf(first)} and of ${namesOf(each)} differ in features, judge, reference, count or device, so that they cannot be compared: evaluate them together`
    )
  }
  return { ...first, models: evaluations.flatMap(({ models }) => models) }
}

const namesOf = ({ models }: Evaluation): string => models.map(({ name }) => name).join(", ")

/**
 * An evaluation as JSON.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toJson = (evaluation: Evaluation): unknown => Saved.toJson(Evaluation, evaluation)

/**
 * An evaluation from its file. Fails with `DataError` for a file that is none.
 *
 * @since 0.1.0
 * @category reading
 */
export const read = (path: string) => Saved.read(path, Evaluation, "evaluation")
