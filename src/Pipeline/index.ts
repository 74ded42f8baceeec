/**
 * @since 0.1.0
 */
export * as Networks from "./Networks.ts"
export * as Sample from "./Sample.ts"
