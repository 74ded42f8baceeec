import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { Shape } from "../../Tensor/index.ts"
import * as Classifier from "../Classifier.ts"
import type * as Dataset from "../Dataset.ts"
import type * as Features from "../Features.ts"
import { attempt, demand, hash } from "../internal/data.ts"
import { some } from "../internal/some.ts"
import type { Parts } from "./subjects.ts"

/**
 * A classifier that tells which class images are of. As an extractor it gives features too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Judge {
  readonly extractor: Features.Extractor
  readonly classes: ReadonlyArray<string>
  /** The share of held-out images that it classifies rightly; of those it was trained on, where none are held out. */
  readonly accuracy: number
}

/**
 * - `file`: a classifier that was saved (see `Classifier.save`), instead of one trained here
 * - `cache`: a folder where classifiers stay, by what they are, what they learnt and how; where it cannot be written they do not
 * - `training`: as in `Classifier.train`
 *
 * @since 0.1.0
 * @category models
 */
export interface JudgeOptions {
  readonly file?: string | undefined
  readonly cache?: string | undefined
  readonly training?: Classifier.TrainOptions
}

/** The most images that a classifier is tried on. */
const most = 10_000

/** A classifier from the cache, or trained and put there. */
const cached = Effect.fnUntraced(function* (train: Dataset.Dataset, options: JudgeOptions) {
  const { cache, training = {} } = options
  const { onStep: _, ...told } = training
  const classifier = yield* Classifier.forDataset(train)
  const make = Classifier.train(classifier, train, training)
  if (cache === undefined) return yield* make
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const recipe = [classifier.config, { ...Classifier.defaults, ...told }]
  const how = hash([train.fingerprint, ...recipe]).slice(0, 24)
  const path = paths.join(cache, `classifier-${how}.safetensors`)
  if (yield* Effect.orElseSucceed(files.exists(path), () => false)) {
    const found = yield* Effect.result(Classifier.load(path))
    // one that is damaged is made anew
    if (found._tag === "Success" && found.success.fingerprint === train.fingerprint) {
      return found.success
    }
  }
  const made = yield* make
  // what cannot be kept is made anew the next time
  yield* Effect.ignore(Classifier.save(path, made))
  return made
})

/**
 * The judge of a data set: a classifier trained on its training part, or one that was before. It is there for as long as the scope lasts.
 *
 * Fails with `DataError` for data without classes and for a classifier of other images or classes, and as `Classifier.train` and
 * `Classifier.load` do.
 *
 * @since 0.1.0
 * @category judges
 */
export const judge = Effect.fnUntraced(function* (
  { train, test }: Parts,
  options: JudgeOptions = {}
) {
  const { file } = options
  const trained = yield* file === undefined ? cached(train, options) : Classifier.load(file)
  const { config } = trained.classifier
  const wanted = [config.channels, config.size, config.size]
  yield* attempt(() =>
    demand(
      Shape.equals(train.shape, wanted) && train.classes?.length === config.classes,
      file ?? train.name,
      "shape",
      () =>
        `the classifier is for ${config.classes} classes of images ${Shape.show(wanted)}, but ${train.name} has ${train.classes?.length ?? "no"} classes of ${Shape.show(train.shape)}`
    )
  )
  const extractor = yield* Classifier.extractor(trained)
  return {
    extractor,
    classes: train.classes ?? [],
    accuracy: yield* Classifier.accuracy(some(test ?? train, most), extractor)
  } satisfies Judge
})
