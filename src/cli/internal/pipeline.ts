/** The library, which most commands load only when they run: help and refusals need not wait for it. */
import * as Effect from "effect/Effect"

export const pipeline = Effect.promise(() => import("../../Pipeline/index.ts"))
