/**
 * @since 0.1.0
 */
export * as Adaptive from "./Adaptive.ts"
export * as Carrier from "./Carrier.ts"
export * as Controller from "./Controller.ts"
export * as Fixed from "./Fixed.ts"
export * as Method from "./Method.ts"
export * as RungeKutta from "./RungeKutta.ts"
export * as SolverError from "./SolverError.ts"
export * as Stepper from "./Stepper.ts"
export * as Tableau from "./Tableau.ts"
