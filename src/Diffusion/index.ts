/**
 * @since 0.1.0
 */
export * as Ddim from "./Ddim.ts"
export * as Ddpm from "./Ddpm.ts"
export * as Denoiser from "./Denoiser.ts"
export * as DiffusionError from "./DiffusionError.ts"
export * as Dpm2 from "./Dpm2.ts"
export * as Euler from "./Euler.ts"
export * as Guidance from "./Guidance.ts"
export * as Heun from "./Heun.ts"
export * as Inverse from "./Inverse.ts"
export * as Lms from "./Lms.ts"
export * as Noise from "./Noise.ts"
export * as Ode from "./Ode.ts"
export * as Plan from "./Plan.ts"
export * as Sampler from "./Sampler.ts"
export * as Schedule from "./Schedule.ts"
