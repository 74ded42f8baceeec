/**
 * A small convolutional classifier of images. Trained on a data set itself, it is the
 * extractor of features for small images, where Inception's would say little, and it tells which class samples are of, and how surely.
 *
 *     image ─ conv 3×3 /2 ─ conv 3×3 /2 ─ conv 3×3 ─ dense ─► features ─ dense ─► logits
 *
 * with ReLU after each of them but the last, width, 2·width and 4·width channels, and two strides that halve the size, rounding up.
 *
 * ```ts
 * const classifier = yield* Classifier.forDataset(digits)
 * const trained = yield* Classifier.train(classifier, digits)
 * const extractor = yield* Classifier.extractor(trained)
 * const { labels, confidences } = yield* Classifier.classify(samples, extractor)
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Conv, Dense, Initializer, Layer, Parameter, SafeTensors } from "../Layer/index.ts"
import { Loss, type Program, Shape, Tensor } from "../Tensor/index.ts"
import * as Augment from "./Augment.ts"
import * as Dataset from "./Dataset.ts"
import * as Features from "./Features.ts"
import * as Files from "./Files.ts"
import { attempt } from "./internal/attempt.ts"
import { decode, requireAll } from "./internal/config.ts"
import { attempt as attemptData, dataError, demand } from "./internal/data.ts"
import * as Optimizer from "./Optimizer.ts"
import type { TrainError } from "./PipelineError.ts"
import * as Train from "./Train.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

const withDefault = (value: number) =>
  Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/**
 * What makes a classifier.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  /** 1 unless told. */
  channels: withDefault(1),
  /** Height and width; 28 unless told. */
  size: withDefault(28),
  /** 10 unless told. */
  classes: withDefault(10),
  /** Channels of the first convolution; 16 unless told. */
  width: withDefault(16),
  /** How many features there are; 128 unless told. */
  features: withDefault(128)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

/**
 * What a configuration is made from: JSON.
 *
 * @since 0.1.0
 * @category schemas
 */
export type Options = typeof Config.Encoded

/** What is learnt. */
type Weights = Program.HostArrays<Layer.Any["parameters"]>

/**
 * Images `[n, channels, size, size]` to features `[n, features]`, those of the last layer but one, and logits `[n, classes]`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Classifier extends Layer.Layer<any, Tensor.Tensor, Required<Features.Outputs>> {
  readonly config: Config
}

/**
 * A classifier with its weights.
 *
 * @since 0.1.0
 * @category models
 */
export interface Trained {
  readonly classifier: Classifier
  readonly weights: Weights
  /** Of what it learnt: a data set's `fingerprint`. */
  readonly fingerprint: string
}

const build = (config: Config): Classifier => {
  const { channels, size, classes, width, features } = config
  // by half, rounded up, twice
  const last = Math.ceil(Math.ceil(size / 2) / 2)
  const initializer = Initializer.kaimingNormal()
  const conv = (from: number, to: number, stride: number) =>
    Conv.make({ in: from, out: to, kernel: 3, stride, initializer })
  const layer = Layer.make(
    {
      conv1: conv(channels, width, 2),
      conv2: conv(width, 2 * width, 2),
      conv3: conv(2 * width, 4 * width, 1),
      dense1: Dense.make({ in: 4 * width * last * last, out: features, initializer }),
      dense2: Dense.make({ in: features, out: classes })
    },
    ({ conv1, conv2, conv3, dense1, dense2 }, x: Tensor.Tensor) => {
      const maps = [conv1, conv2, conv3].reduce(
        (h, conv) => Tensor.relu(conv(h)),
        x as Layer.Features
      )
      const flat = Tensor.reshape(maps, [x.shape[0], 4 * width * last * last])
      const own = Tensor.relu(dense1(flat))
      return { features: own as Tensor.Tensor, logits: dense2(own) as Tensor.Tensor }
    },
    { kind: "classifier" }
  )
  return { ...layer, config }
}

/**
 * A classifier from a configuration, such as JSON. Fails with `TrainError` for fields that are not known, and numbers that are not whole
 * ones of at least 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Classifier, TrainError> =>
  Effect.map(decode("Classifier", Config, options), build)

/**
 * A classifier for a data set's images and classes. Fails with `DataError` where it has no classes, or where its items are no square images,
 * and as {@link make} does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const forDataset = Effect.fnUntraced(function* (
  { name, shape, classes }: Dataset.Dataset,
  options: Pick<Options, "width" | "features"> = {}
) {
  yield* attemptData(() => {
    demand(
      classes !== undefined,
      name,
      "options",
      () =>
        "its items have no classes, so that there is nothing to classify; take data with classes"
    )
    demand(
      shape.length === 3 && shape[1] === shape[2],
      name,
      "shape",
      () => `a classifier takes square images [channels, size, size], not ${Shape.show(shape)}`
    )
  })
  const own = { channels: shape[0], size: shape[1], classes: classes?.length ?? 0 }
  return yield* make({ ...own, ...options })
})

/**
 * The task that a classifier is trained for: cross-entropy.
 *
 * @since 0.1.0
 * @category training
 */
export const task = (classifier: Classifier): Train.Task => ({
  parameters: classifier.parameters,
  loss: (values, { data, labels }) => {
    const { logits } = classifier.apply(values, data)
    const items = Loss.crossEntropy(logits, labels as never, { reduction: "none" })
    return { loss: Tensor.mean(items) as never, items: items as Tensor.Tensor }
  }
})

/**
 * @since 0.1.0
 * @category models
 */
export interface TrainOptions {
  /** 1200 unless told. */
  readonly steps?: number
  /** 128 unless told, or as many as there are. */
  readonly batch?: number
  /** The highest learning rate: it rises to that in the first fiftieth of the steps, and falls to 0 at the end. 3e-3 unless told. */
  readonly rate?: number
  /** By how many places each image is moved at most, anew each time it is seen; what comes into it is black. 1 unless told. */
  readonly shift?: number
  /** Of the weights to begin with, of the data's order and of shifts; 0 unless told. */
  readonly seed?: number
  /** Told of each step. */
  readonly onStep?: (event: Train.Event) => Effect.Effect<void>
}

/**
 * How a classifier is trained unless told.
 *
 * @since 0.1.0
 * @category instances
 */
export const defaults = { steps: 1200, batch: 128, rate: 3e-3, shift: 1, seed: 0 } as const

/**
 * Trains a classifier on a data set with Adam. As it stands it learns MNIST to 99.2 % of the test digits in half a minute on two
 * cores.
 *
 * Fails with `DataError` for data of other shapes or classes, with `TrainError` for options that make no sense or a loss that is not
 * finite, and with what reading the data fails with.
 *
 * @since 0.1.0
 * @category training
 */
export const train = Effect.fnUntraced(function* (
  classifier: Classifier,
  data: Dataset.Dataset,
  options: TrainOptions = {}
) {
  const { channels, size, classes } = classifier.config
  const { steps, rate, shift, seed } = { ...defaults, ...options }
  const { batch = Math.min(defaults.batch, data.size), onStep = () => Effect.void } = options
  yield* attempt(() => {
    requireAll("Classifier.train", "count", { steps })
    requireAll("Classifier.train", "positive", { rate })
    demand(
      Shape.equals(data.shape, [channels, size, size]),
      data.name,
      "shape",
      () =>
        `the classifier takes images ${Shape.show([channels, size, size])}, not ${Shape.show(data.shape)}; Classifier.forDataset makes one for them`
    )
    demand(
      data.classes?.length === classes,
      data.name,
      "options",
      () =>
        `the classifier has ${classes} classes, but the data ${data.classes?.length ?? "none"}; Classifier.forDataset makes one for them`
    )
  })
  const shifted = shift === 0 ? data : yield* attempt(() => Augment.crop(data, { padding: shift }))
  const rise = Math.ceil(steps / 50)
  const training = yield* Train.make({
    task: task(classifier),
    data: shifted,
    optimizer: Optimizer.adam({ beta2: 0.99 }),
    rate: (update) => rate * Math.min((update + 1) / rise, 1 - update / (steps + 1)),
    batch,
    seed
  })
  yield* Stream.runForEach(training.run({ to: steps }), onStep)
  const { weights } = yield* training.snapshot
  return {
    classifier,
    weights: yield* Parameter.load(classifier.parameters, weights),
    fingerprint: data.fingerprint
  } satisfies Trained
}, Effect.scoped)

/**
 * A classifier as an extractor of features, and of its classes' probabilities. Fails as `Features.make` does.
 *
 * @since 0.1.0
 * @category extraction
 */
export const extractor = (
  { classifier, weights }: Trained,
  options: Pick<Features.Options<unknown>, "batch" | "resize"> = {}
) => {
  const { channels, size, features, classes } = classifier.config
  return Features.make({
    batch: 100,
    ...options,
    name: `a classifier of ${classes} classes, the ${features} features of its last layer but one`,
    network: classifier,
    weights,
    shape: [channels, size, size]
  })
}

/**
 * Which class each image is of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Classification {
  /** The most probable class of each. */
  readonly labels: Int32Array
  /** Its probability. */
  readonly confidences: Float32Array
}

/**
 * The most probable class of each row of probabilities `[n, classes]`, such as an extractor's.
 *
 * @since 0.1.0
 * @category classification
 */
export const decide = ({
  shape: [n, classes],
  data
}: Tensor.HostArray<readonly [number, number], "float32">): Classification => {
  const labels = new Int32Array(n)
  const confidences = new Float32Array(n)
  for (let i = 0; i < n; i++) {
    const row = data.subarray(i * classes, (i + 1) * classes)
    confidences[i] = row.reduce((a, b) => Math.max(a, b))
    labels[i] = row.indexOf(confidences[i])
  }
  return { labels, confidences }
}

/**
 * Which class each image of a source is of. Fails with `DataError` for an extractor that knows no classes, and as `Features.of` does.
 *
 * ```ts
 * const { labels, confidences } = yield* Classifier.classify(samples, extractor)
 * ```
 *
 * @since 0.1.0
 * @category classification
 */
export const classify = Effect.fnUntraced(function* <E = never, R = never>(
  source: Features.Source<E, R>,
  extractor: Features.Extractor,
  options: Features.SourceOptions = {}
) {
  const { probabilities } = yield* Features.of(source, extractor, options)
  if (probabilities !== undefined) return decide(probabilities)
  return yield* dataError(extractor.name, "options", "it knows no classes; take a classifier")
})

/**
 * The share of a data set's items whose class is found. Fails as {@link classify} does, and with `DataError` for data without classes.
 *
 * @since 0.1.0
 * @category classification
 */
export const accuracy = Effect.fnUntraced(function* (
  data: Dataset.Dataset,
  extractor: Features.Extractor
) {
  const { total, right } = yield* Dataset.sequence(data, { batch: 1000 }).pipe(
    Stream.mapEffect(
      Effect.fnUntraced(function* ({ data: images, labels: known }: Dataset.Items) {
        if (known === undefined)
          return yield* dataError(data.name, "options", "its items have no classes")
        const { labels } = yield* classify(images, extractor)
        return labels.map((label, i) => (label === known.data[i] ? 1 : 0))
      })
    ),
    Stream.runFold(
      () => ({ total: 0, right: 0 }),
      ({ total, right }, each) => ({
        total: total + each.length,
        right: right + each.reduce((sum, one) => sum + one, 0)
      })
    )
  )
  return right / total
})

const kind = "classifier"

/**
 * A trained classifier as a safetensors file: its weights by their paths, and its configuration among the metadata.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encode = ({ classifier, weights, fingerprint }: Trained): Uint8Array =>
  SafeTensors.encode(Parameter.toRecord(weights) as never, {
    odeon: kind,
    config: JSON.stringify(classifier.config),
    fingerprint
  })

/**
 * Writes a trained classifier, whole or not at all.
 *
 * @since 0.1.0
 * @category writing
 */
export const save = (path: string, trained: Trained) => Files.write(path, encode(trained))

/**
 * Reads what {@link save} wrote. Fails with `FileError` where it cannot be read, and with `DataError` for a file that is no classifier,
 * or is damaged.
 *
 * @since 0.1.0
 * @category reading
 */
export const load = Effect.fnUntraced(function* (path: string) {
  const bytes = yield* Files.read(path)
  return yield* Effect.gen(function* () {
    const { metadata, tensors } = yield* SafeTensors.decode(bytes)
    const { odeon, config, fingerprint } = metadata
    if (odeon !== kind || config === undefined || fingerprint === undefined) {
      return yield* dataError(path, "format", "it is no classifier; train one, and save it there")
    }
    const json = yield* Effect.try({
      try: () => JSON.parse(config) as Options,
      catch: () => dataError(path, "format", "its configuration is no JSON")
    })
    const classifier = yield* make(json)
    const weights = yield* Parameter.load(classifier.parameters, tensors)
    return { classifier, weights, fingerprint } satisfies Trained
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "DataError" ? error : dataError(path, "format", error.message)
    )
  )
})
