/**
 * Features of images: what a network makes of them, for the metrics that compare sets of images by it (see `Metrics`).
 *
 * An extractor is a network with its weights, compiled for a device. It takes images `[n, channels, height, width]` with values from −1 to
 * 1, however many, and of any size: what has not the network's own is fitted to it, on the device. How matters to the metrics, so an
 * extractor says it.
 *
 * ```ts
 * const extractor = yield* Inception.extractor(weights)
 * const real = yield* Features.of(test, extractor)
 * const generated = yield* Features.of(samples, extractor)
 * const distance = Metrics.fid(real.features, generated.features)
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DeviceError } from "../Device/index.ts"
import type { Layer } from "../Layer/index.ts"
import { Program, Shape, Tensor } from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import * as Batched from "./internal/batched.ts"
import { attempt, demand, demandWhole } from "./internal/data.ts"
import * as Metrics from "./Metrics.ts"
import { requireImages as requireArray } from "./metrics/images.ts"
import type { DataError, FileError } from "./PipelineError.ts"

/**
 * Images `[n, channels, height, width]`, values from −1 to 1.
 *
 * @since 0.1.0
 * @category models
 */
export type Images = Tensor.HostArray<ReadonlyArray<number>, "float32">

type Matrix = Tensor.HostArray<readonly [number, number], "float32">

/**
 * What is known of some images.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extracted {
  /** `[n, dimension]` */
  readonly features: Matrix
  /** `[n, classes]`, of a network that is a classifier too. */
  readonly probabilities?: Matrix
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Extractor {
  /** For people: the network, and which features of it. */
  readonly name: string
  /** How many numbers there are for each image. */
  readonly dimension: number
  /** What the network takes: `[channels, height, width]`. */
  readonly shape: ReadonlyArray<number>
  /** For people: what is done to images of another shape. */
  readonly resizing: string
  /**
   * Fails with `DataError` for what are no images, values that are not finite, and images that cannot be fitted; with `CompileError` where
   * images of a shape come for the first time and the device cannot compile it.
   */
  readonly extract: (images: Images) => Effect.Effect<Extracted, Error>
}

/**
 * What can go wrong with an extraction.
 *
 * @since 0.1.0
 * @category errors
 */
export type Error = DataError | DeviceError.DeviceError | DeviceError.CompileError

/**
 * What a network has to give: features `[n, d]`, and the logits of classes `[n, classes]` if it has any.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outputs {
  readonly features: Tensor.Tensor
  readonly logits?: Tensor.Tensor
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<P> {
  readonly name: string
  /** From images of `shape` to features. */
  readonly network: Layer.Layer<P, Tensor.Tensor, Outputs>
  readonly weights: Program.HostArrays<P>
  /** What the network takes: `[channels, height, width]`. */
  readonly shape: ReadonlyArray<number>
  /** How many images go through the network at once; 32 unless told. */
  readonly batch?: number
  /**
   * What becomes of images of another size: `bilinear` takes the value at each new pixel's centre between the four nearest, without
   * smoothing, as FID is computed with PyTorch (pytorch-fid; TensorFlow's first code for it takes the pixels' corners instead of their
   * centres); `none` refuses them. `bilinear` unless told.
   */
  readonly resize?: "bilinear" | "none"
}

/** Red, green and blue in the luma of ITU-R BT.601, which is what image libraries mean by grey. */
const luma = [0.299, 0.587, 0.114]

/** Images as a network takes them. */
const fitted = (x: Tensor.Tensor, [channels, height, width]: ReadonlyArray<number>) => {
  const [, from, ...space] = x.shape
  const coloured =
    from === channels
      ? x
      : from === 1
        ? Tensor.repeat(x, channels, { axis: 1 })
        : Tensor.sum(Tensor.mul(x, Tensor.constant(luma, { shape: [3, 1, 1] })), {
            axis: 1,
            keepDims: true
          })
  return Shape.equals(space, [height, width])
    ? (coloured as Tensor.Tensor)
    : (Tensor.resize(coloured as Tensor.Tensor, {
        size: [height, width],
        mode: "linear"
      }) as Tensor.Tensor)
}

/**
 * Compiles an extractor, for as long as the scope lasts. Grey images are given to a network for colours three times, and colours to a
 * network for grey as their luma (0.299 R + 0.587 G + 0.114 B).
 *
 * Fails with `DataError` for options that make no sense, and where the network does not take such images, or gives no features `[n, d]`
 * of them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* <P>(options: Options<P>) {
  const { name, network, weights, shape, batch = 32, resize = "bilinear" } = options
  yield* attempt(() => {
    demand(
      shape.length === 3 && shape.every((size) => Number.isInteger(size) && size > 0),
      name,
      "options",
      () => `\`shape\` must be [channels, height, width], not ${Shape.show(shape)}`
    )
    demandWhole(name, "`batch`", batch, 1)
  })
  const values = Program.constants(weights) as Layer.Values<P>
  const batches = yield* Batched.make({
    name,
    batch,
    arity: 1,
    build: (images) => {
      const { features, logits } = network.apply(values, fitted(images, shape))
      const probabilities = logits === undefined ? {} : { probabilities: Tensor.softmax(logits) }
      return { features, ...probabilities }
    }
  })
  const { program } = yield* batches.executableOf(shape)
  const found = program.outputs.features.shape
  yield* attempt(() =>
    demand(
      found.length === 2 && found[0] === batch,
      name,
      "options",
      () =>
        `the network must make features [${batch}, d] of ${batch} images, not ${Shape.show(found)}`
    )
  )
  const extract = Effect.fnUntraced(function* (images: Images) {
    yield* attempt(() => requireImages(name, images, shape, resize))
    const parts: ReadonlyArray<unknown> = yield* batches.run(images)
    return joined(parts as ReadonlyArray<Extracted>, images.shape[0])
  })
  const resizing = {
    bilinear: `bilinear to ${shape[1]}×${shape[2]}, without smoothing`,
    none: `none: images must be ${shape[1]}×${shape[2]}`
  }
  const [, dimension] = found
  return { name, dimension, shape, resizing: resizing[resize], extract } satisfies Extractor
})

/** Throws a `DataError` for what are no images, or none that a network of some shape can be given. */
const requireImages = (
  name: string,
  images: Images,
  wanted: ReadonlyArray<number>,
  resize: "bilinear" | "none"
): void => {
  requireArray(name, images)
  const [, ...own] = images.shape
  const [from, to] = [own[0], wanted[0]]
  demand(
    from === to || (from === 1 && to === 3) || (from === 3 && to === 1),
    name,
    "shape",
    () => `the network takes ${to} channels, and cannot be given images of ${from}`
  )
  demand(
    resize === "bilinear" || Shape.equals(own.slice(1), wanted.slice(1)),
    name,
    "shape",
    () =>
      `images are ${own[1]}×${own[2]}, but the network takes ${wanted[1]}×${wanted[2]}; resize them, or let them be resized (\`resize: "bilinear"\`)`
  )
}

/**
 * Where images come from: an array of them, a data set, or a stream of arrays.
 *
 * @since 0.1.0
 * @category models
 */
export type Source<E = never, R = never> = Images | Dataset.Dataset | Stream.Stream<Images, E, R>

/**
 * @since 0.1.0
 * @category models
 */
export interface SourceOptions {
  /** How many images of a data set; all unless told, which one without an end must be. */
  readonly count?: number
  /** The first of them; 0 unless told. */
  readonly from?: number
}

/** How many images of a data set are read at once. */
const read = 256

/**
 * What an extractor makes of images, part by part as they come.
 *
 * @since 0.1.0
 * @category extraction
 */
export const stream = <E = never, R = never>(
  source: Source<E, R>,
  extractor: Extractor,
  options: SourceOptions = {}
): Stream.Stream<Extracted, E | Error | FileError, R> => {
  const images: Stream.Stream<Images, E | DataError | FileError, R> =
    "read" in source
      ? Stream.map(Dataset.sequence(source, { ...options, batch: read }), ({ data }) => data)
      : "data" in source
        ? Stream.succeed(source)
        : source
  return Stream.mapEffect(images, extractor.extract)
}

/**
 * What an extractor makes of all images of a source, in one array. Fails with `DataError` where there are none, and with what the source
 * fails with.
 *
 * ```ts
 * const { features, probabilities } = yield* Features.of(samples, extractor)
 * ```
 *
 * @since 0.1.0
 * @category extraction
 */
export const of = Effect.fnUntraced(function* <E = never, R = never>(
  source: Source<E, R>,
  extractor: Extractor,
  options: SourceOptions = {}
) {
  const parts = yield* Stream.runCollect(stream(source, extractor, options))
  return yield* attempt(() => {
    demand(parts.length > 0, extractor.name, "empty", () => "there are no images")
    return joined(parts)
  })
})

/** Parts one after the other, the first `count` rows of them. */
const joined = (parts: ReadonlyArray<Extracted>, count = Number.POSITIVE_INFINITY): Extracted => {
  const rows = (all: ReadonlyArray<Matrix>): Matrix => {
    const [, d] = all[0].shape
    const n = Math.min(
      count,
      all.reduce((sum, { shape }) => sum + shape[0], 0)
    )
    const data = new Float32Array(n * d)
    let at = 0
    for (const each of all) {
      data.set(each.data.subarray(0, data.length - at), at)
      at += each.data.length
    }
    return { dtype: "float32", shape: [n, d], data }
  }
  const probabilities = parts.flatMap(({ probabilities }) => probabilities ?? [])
  return {
    features: rows(parts.map(({ features }) => features)),
    ...(probabilities.length === 0 ? {} : { probabilities: rows(probabilities) })
  }
}

/**
 * The moments of an extractor's features, in memory that does not grow with the number of images: all that `Metrics.fid` needs. Fails as
 * {@link of} does.
 *
 * @since 0.1.0
 * @category extraction
 */
export const moments = Effect.fnUntraced(function* <E = never, R = never>(
  source: Source<E, R>,
  extractor: Extractor,
  options: SourceOptions = {}
) {
  const all = yield* stream(source, extractor, options).pipe(
    Stream.mapEffect(({ features }) => attempt(() => Metrics.moments(features))),
    Stream.runFold(
      (): Metrics.Moments | undefined => undefined,
      (sum, each) => (sum === undefined ? each : Metrics.merge(sum, each))
    )
  )
  return yield* attempt(() => {
    demand(all !== undefined, extractor.name, "empty", () => "there are no images")
    return all as Metrics.Moments
  })
})
