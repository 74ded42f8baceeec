/**
 * @since 0.1.0
 */
export * as LawError from "./LawError.ts"
export * as LayerLaws from "./LayerLaws.ts"
export * as SamplerLaws from "./SamplerLaws.ts"
export * as ScheduleLaws from "./ScheduleLaws.ts"
export * as SdeLaws from "./SdeLaws.ts"
export * as SolverLaws from "./SolverLaws.ts"
