/**
 * @since 0.1.0
 */
export * as Dataset from "./Dataset.ts"
export * as Files from "./Files.ts"
export * as Networks from "./Networks.ts"
export * as PipelineError from "./PipelineError.ts"
export * as Sample from "./Sample.ts"
