/**
 * Noise schedules: how much signal and how much noise there is at a time,
 *
 *     x(t) = α(t)·x₀ + σ(t)·ε,  0 ≤ t ≤ 1,  λ(t) = log α²/σ²,
 *
 * from data at t = 0 to noise at t = 1, with the log-SNR λ falling strictly. A schedule is a value, written once for numbers on the
 * host and for tensors; a {@link Discrete} one is a table of T levels, and every time between two of them.
 *
 * Sources: DDPM (Ho et al. 2020, arXiv:2006.11239), iDDPM (Nichol and Dhariwal 2021, arXiv:2102.09672), score SDEs (Song et al.
 * 2021, arXiv:2011.13456), EDM (Karras et al. 2022, arXiv:2206.00364), VDM (Kingma et al. 2021, arXiv:2107.00630), rectified flow
 * (Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import type { Schedule } from "./schedules/core.ts"

export * from "./schedules/combining.ts"
export * from "./schedules/continuous.ts"
export * from "./schedules/core.ts"
export * from "./schedules/discrete.ts"

/**
 * The schedule of a pipeline.
 *
 * @since 0.1.0
 * @category services
 */
export class Current extends Context.Service<Current, Schedule>()("odeon/Schedule") {}

/**
 * @since 0.1.0
 * @category services
 */
export const layer = (schedule: Schedule): EffectLayer.Layer<Current> =>
  EffectLayer.succeed(Current, schedule)
