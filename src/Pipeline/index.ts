/**
 * @since 0.1.0
 */

export * as Chart from "./Chart.ts"
export * as Cifar from "./Cifar.ts"
export * as Dataset from "./Dataset.ts"
export * as Digits from "./Digits.ts"
export * as Download from "./Download.ts"
export * as Ema from "./Ema.ts"
export * as Files from "./Files.ts"
export * as Idx from "./Idx.ts"
export * as ImageFolder from "./ImageFolder.ts"
export * as Images from "./Images.ts"
export * as LearningRate from "./LearningRate.ts"
export * as Metrics from "./Metrics.ts"
export * as Networks from "./Networks.ts"
export * as Npy from "./Npy.ts"
export * as Optimizer from "./Optimizer.ts"
export * as PipelineError from "./PipelineError.ts"
export * as Points from "./Points.ts"
export * as Report from "./Report.ts"
export * as Sample from "./Sample.ts"
export * as Wav from "./Wav.ts"
