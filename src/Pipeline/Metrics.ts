/**
 * How good samples are: distances of sets of features, and of images. Pure functions in float64 on arrays of the host.
 *
 * | metric                            | of what                   | best | says                                                     |
 * | --------------------------------- | ------------------------- | ---- | -------------------------------------------------------- |
 * | {@link fid}, {@link frechet}      | features, or their moments| 0    | distance of the normal distributions of the same moments |
 * | {@link kid}, {@link kidOfSubsets} | features                  | 0    | the same without normality, and without bias             |
 * | {@link precisionRecall}           | features                  | 1    | quality and variety apart                                |
 * | {@link inceptionScore}            | probabilities             | high | whether each image is of a class, and all classes occur  |
 * | {@link psnr}, {@link ssim}        | images, pair by pair      | high | how well images are restored                             |
 *
 * Features are what an `Extractor` makes of images (see `Features`). Functions throw `DataError` for what they cannot compare, with what
 * is wrong with it.
 *
 * ```ts
 * const distance = Metrics.fid(yield* Features.of(test, extractor), yield* Features.of(samples, extractor))
 * ```
 *
 * @since 0.1.0
 */
export type { Features, Spread } from "./metrics/features.ts"
export * from "./metrics/frechet.ts"
export { type ImageOptions, type Images, psnr, ssim } from "./metrics/images.ts"
export * from "./metrics/kernel.ts"
export * from "./metrics/manifold.ts"
export * from "./metrics/score.ts"
