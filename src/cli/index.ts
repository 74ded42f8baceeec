/**
 * @since 0.1.0
 */
export * as Commands from "./Commands.ts"
