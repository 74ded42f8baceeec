/**
 * @since 0.1.0
 */
export * as Activation from "./Activation.ts"
export * as Attention from "./Attention.ts"
export * as Conv from "./Conv.ts"
export * as Dense from "./Dense.ts"
export * as Dropout from "./Dropout.ts"
export * as Embedding from "./Embedding.ts"
export * as Initializer from "./Initializer.ts"
export * as Layer from "./Layer.ts"
export * as LayerError from "./LayerError.ts"
export * as Norm from "./Norm.ts"
export * as Parameter from "./Parameter.ts"
export * as Resample from "./Resample.ts"
export * as ResidualBlock from "./ResidualBlock.ts"
export * as SafeTensors from "./SafeTensors.ts"
