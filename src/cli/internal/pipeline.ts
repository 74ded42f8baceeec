/** The library, which commands load when they run: help and refusals need not wait for it. */
import * as Effect from "effect/Effect"

/** All of it. */
export const pipeline = Effect.promise(() => import("../../Pipeline/index.ts"))

/** What networks are made of, alone: a third of it. */
export const networks = Effect.promise(() => import("../../Pipeline/Networks.ts"))
