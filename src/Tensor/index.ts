/**
 * @since 0.1.0
 */
export * as Cost from "./Cost.ts"
export * as DType from "./DType.ts"
export * as Expression from "./Expression.ts"
export * as Gradient from "./Gradient.ts"
export * as Graph from "./Graph.ts"
export * as HostRandom from "./HostRandom.ts"
export * as Loss from "./Loss.ts"
export * as Primitive from "./Primitive.ts"
export * as Primitives from "./Primitives.ts"
export * as Program from "./Program.ts"
export * as Random from "./Random.ts"
export * as Shape from "./Shape.ts"
export * as Suggestion from "./Suggestion.ts"
export * as Tensor from "./Tensor.ts"
export * as TensorError from "./TensorError.ts"
export * as Tree from "./Tree.ts"
