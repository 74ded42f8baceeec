import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Device, type DeviceError } from "../../Device/index.ts"
import { Shape } from "../../Tensor/index.ts"
import type * as Features from "../Features.ts"
import type { Images as Batch } from "../Images.ts"
import { attempt, dataError, demand, demandWhole } from "../internal/data.ts"
import { some } from "../internal/some.ts"
import * as Metrics from "../Metrics.ts"
import type { Evaluation, Figures } from "./findings.ts"
import type { Judge } from "./judge.ts"
import { type Collected, collecting } from "./sets.ts"
import { ofDataset, type Parts, type Source, type Subject, type SubjectError } from "./subjects.ts"

/**
 * - `train`, `test`: see {@link Parts}; images of `train` are the reference, those of `test` the yardstick
 * - `judge`: tells classes; without one nothing is said of them
 * - `extractor`: of features; the judge itself unless told, whose features are divided by the root of their mean square over the reference,
 *   so that distances do not depend on how large a classifier's numbers happen to be
 * - `count`: how many samples of each model; 1000 unless told
 * - `reference`: how many images of `train`, at most; 10,000 unless told
 * - `features`: how many features of a set are kept, at most; 2000 unless told
 * - `subsets`: how many, and of how many features, for the kernel distance: 20 of 500 unless told, or of as many as there are
 * - `seed`: of the samples; 0 unless told
 * - `shown`: how many images of each set are kept to look at; 36 unless told, or four rows where a class has a column
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Parts {
  readonly judge?: Judge | undefined
  readonly extractor?: Features.Extractor | undefined
  readonly count?: number | undefined
  readonly reference?: number | undefined
  readonly features?: number | undefined
  readonly subsets?: { readonly count?: number; readonly size?: number } | undefined
  readonly seed?: number | undefined
  readonly shown?: number | undefined
}

/**
 * Some images are there, and looked at.
 *
 * @since 0.1.0
 * @category events
 */
export interface Drawn {
  readonly _tag: "Drawn"
  /** Of the set: a subject's, or the data set's. */
  readonly name: string
  readonly done: number
  readonly total: number
}

/**
 * A set is compared with the reference: what is found of it alone, beside the yardstick, so that it can be kept whatever becomes of the
 * rest.
 *
 * @since 0.1.0
 * @category events
 */
export interface Measured extends Outcome {
  readonly _tag: "Measured"
  readonly figures: Figures
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
export type Event = Drawn | Measured | Finished

/**
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  readonly evaluation: Evaluation
  /** The first images of each set, `real` and the models by their names. */
  readonly shown: ReadonlyArray<{
    readonly name: string
    readonly images: Batch
    /** See {@link Source}. */
    readonly columns?: number
  }>
}

/**
 * What can go wrong with an evaluation.
 *
 * @since 0.1.0
 * @category errors
 */
export type Error = SubjectError | DeviceError.CompileError

/** Images of the reference, unless told. */
const enough = 10_000

/** The yardstick's name. */
const real = "real"

/** Throws `DataError` for what makes no sense. */
const validate = (subjects: ReadonlyArray<Subject>, options: Options): void => {
  const { train, test, count = 1000, reference = enough, features = 2000, seed = 0 } = options
  const refuse = (holds: boolean, message: () => string) =>
    demand(holds, "evaluation", "options", message)
  const names = subjects.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) < i || name === real)
  refuse(twice === undefined, () => `"${twice}" names more than one thing: give each its own name`)
  refuse(
    (options.extractor ?? options.judge) !== undefined,
    () => "it needs an extractor of features, or a judge that is one"
  )
  const whole = (name: string, value: number, least: number) =>
    demandWhole("evaluation", name, value, least)
  // for a covariance, and the third neighbour
  for (const [name, value] of Object.entries({ count, reference, features })) whole(name, value, 4)
  whole("seed", seed, 0)
  const { count: times = 1, size = 2 } = options.subsets ?? {}
  whole("the number of subsets", times, 1)
  const least = Math.min(count, reference, features, train.size, test?.size ?? count)
  refuse(
    Number.isSafeInteger(size) && size >= 2 && size <= least,
    () => `a subset must have 2 to ${least} features, as many as there are of each set, not ${size}`
  )
  for (const { name, shape } of [
    ...subjects,
    ...(test === undefined ? [] : [{ name: test.name, shape: test.shape }])
  ]) {
    demand(
      Shape.equals(shape, train.shape),
      train.name,
      "shape",
      () => `its images are ${Shape.show(train.shape)}, but those of ${name} ${Shape.show(shape)}`
    )
  }
}

/** The root of the mean square of features. */
const scaleOf = ({ count, mean, scatter }: Metrics.Moments): number => {
  const d = mean.length
  let sum = 0
  for (let k = 0; k < d; k++) sum += mean[k] ** 2 + scatter[k * (d + 1)] / count
  return Math.sqrt(sum / d) || 1
}

const divided = ({ shape, data }: Metrics.Features, scale: number): Metrics.Features => ({
  shape,
  data: Float64Array.from(data, (each) => each / scale)
})

/** One set compared with the reference, their features divided by a scale. */
const figuresOf = Effect.fnUntraced(function* (
  name: string,
  reference: Collected,
  set: Collected,
  scale: number,
  network: Source["network"],
  { subsets = {} }: Options
) {
  const kept = Math.min(reference.features.shape[0], set.features.shape[0])
  const { count: times = 20, size = Math.min(500, kept) } = subsets
  const { probabilities, judgement } = set
  // of many wide features each takes seconds
  const taken = <A>(metric: () => A) => Effect.andThen(Effect.yieldNow, attempt(metric))
  const score =
    probabilities &&
    (yield* taken(() =>
      Metrics.inceptionScore(probabilities, { splits: Math.min(10, probabilities.shape[0]) })
    ))
  return {
    name,
    count: set.count,
    fid: (yield* taken(() => Metrics.fid(reference.moments, set.moments))) / scale ** 2,
    kid: yield* taken(() =>
      Metrics.kidOfSubsets(divided(reference.features, scale), divided(set.features, scale), {
        subsets: times,
        size
      })
    ),
    ...(yield* taken(() => Metrics.precisionRecall(reference.features, set.features))),
    ...(score === undefined ? {} : { score }),
    ...(judgement === undefined ? {} : { judgement }),
    ...(network === undefined
      ? {}
      : { network: { ...network, secondsPerImage: set.seconds / set.count } })
  } satisfies Figures
})

/** What is wrong is wrong with this set. */
const about = (name: string) =>
  Stream.mapError((error: Error) =>
    error._tag === "DataError" && error.source !== name
      ? dataError(name, error.reason, error.message)
      : error
  )

/**
 * Evaluates models, one after the other, and real images that were held out; the last event holds everything.
 *
 * Fails with `DataError` for options that make no sense and images of another shape than the data's, and where a model gives what is not
 * finite, and as sampling and extraction do.
 *
 * @since 0.1.0
 * @category running
 */
export const stream = (
  subjects: ReadonlyArray<Subject>,
  options: Options
): Stream.Stream<Event, Error, Device.Device> =>
  Stream.unwrap(
    Effect.gen(function* () {
      yield* attempt(() => validate(subjects, options))
      const { train, test, judge, count = 1000, reference: least = enough } = options
      const { seed = 0, shown, features = 2000 } = options
      const extractor = (options.extractor ?? judge?.extractor) as Features.Extractor
      const { description } = yield* Device.Device
      const sets = new Map<string, Collected>()
      const found = new Map<string, Figures>()
      const realImages = some(train, least)
      let reference: Collected | undefined
      let scale = 1

      /** What is found of some models, and of the yardstick. */
      const outcomeOf = (models: ReadonlyArray<string>): Outcome => {
        const yardstick = found.get(real)
        const names = [...(yardstick === undefined ? [] : [real]), ...models]
        return {
          evaluation: {
            format: "odeon-evaluation",
            version: 1,
            reference: { name: train.name, count: realImages.size },
            extractor: {
              name: extractor.name,
              dimension: extractor.dimension,
              resizing: extractor.resizing,
              scale
            },
            features,
            ...(judge === undefined
              ? {}
              : {
                  judge: {
                    name: judge.extractor.name,
                    classes: judge.classes,
                    accuracy: judge.accuracy
                  }
                }),
            seed,
            device: description,
            ...(yardstick === undefined ? {} : { real: yardstick }),
            models: models.map((name) => found.get(name) as Figures)
          },
          shown: names.flatMap((name) => {
            const { shown: images, columns } = sets.get(name) as Collected
            if (images === undefined) return []
            return [{ name, images, ...(columns === undefined ? {} : { columns }) }]
          })
        }
      }

      /** Looks at all images of a source, and tells how far it is. */
      const collected = (
        name: string,
        source: Source,
        total: number,
        keep: (set: Collected) => void
      ) => {
        const set = collecting(name, options, source, { features, shown })
        let [done, seconds] = [0, 0]
        let before = performance.now()
        return source.images({ count: total, seed }).pipe(
          Stream.mapEffect((images) => {
            seconds += (performance.now() - before) / 1000
            done += images.shape[0]
            return Effect.map(set.add(images), (): Event => {
              before = performance.now()
              return { _tag: "Drawn", name, done, total }
            })
          }),
          Stream.concat(Stream.fromEffectDrain(attempt(() => keep(set.end(seconds)))))
        )
      }
      const evaluated = (
        { name, open }: Subject,
        total: number
      ): Stream.Stream<Event, Error, Device.Device> =>
        Stream.unwrap(
          Effect.map(open, (source) => {
            const compared = Effect.map(
              Effect.suspend(() =>
                figuresOf(
                  name,
                  reference as Collected,
                  sets.get(name) as Collected,
                  scale,
                  source.network,
                  options
                )
              ),
              (figures): Event => {
                found.set(name, figures)
                return { _tag: "Measured", figures, ...outcomeOf(name === real ? [] : [name]) }
              }
            )
            return Stream.concat(
              collected(name, source, total, (set) => sets.set(name, set)),
              Stream.fromEffect(compared)
            )
          })
        ).pipe(about(name))
      const all: ReadonlyArray<Stream.Stream<Event, Error, Device.Device>> = [
        Stream.unwrap(
          Effect.map(ofDataset(train.name, realImages).open, (source) =>
            collected(train.name, source, realImages.size, (set) => {
              reference = set
              if (options.extractor === undefined) scale = scaleOf(set.moments)
            })
          )
        ).pipe(about(train.name)),
        ...(test === undefined
          ? []
          : [evaluated(ofDataset(real, some(test, count)), Math.min(test.size, count))]),
        ...subjects.map((subject) => evaluated(subject, count))
      ]
      return Stream.fromIterable(all).pipe(
        Stream.flatten(),
        Stream.concat(
          Stream.fromEffect(
            Effect.sync(
              (): Finished => ({
                _tag: "Finished",
                ...outcomeOf(subjects.map(({ name }) => name))
              })
            )
          )
        )
      )
    })
  )

/**
 * The evaluation, to its end. See {@link stream}.
 *
 * @since 0.1.0
 * @category running
 */
export const run = Effect.fnUntraced(function* (
  subjects: ReadonlyArray<Subject>,
  options: Options
) {
  const last = yield* Stream.runLast(stream(subjects, options))
  return Option.getOrThrow(last) as Outcome
})
