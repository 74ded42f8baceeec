/** The library, which commands load when they run: help and refusals need not wait for it. */
import * as Effect from "effect/Effect"

/** All of it. */
export const pipeline = Effect.promise(() => import("../../Pipeline/index.ts"))

/** What is done on the device that the environment names, which is closed afterwards. */
export const onDevice = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(pipeline, ({ Devices }) =>
    effect.pipe(Effect.scoped, Effect.provide(Devices.layer))
  )

/** What networks are made of, alone: a third of it. */
export const networks = Effect.promise(() => import("../../Pipeline/Networks.ts"))
