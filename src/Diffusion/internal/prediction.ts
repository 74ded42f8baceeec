/** What networks may predict, as a caller without types may get it wrong. */
import type { Prediction } from "../Denoiser.ts"
import { demand } from "../DiffusionError.ts"

const words: ReadonlyArray<unknown> = ["noise", "data", "v", "flow"]
const kinds: ReadonlyArray<unknown> = ["edm", "consistency"]

/** Throws `DiffusionError` for what is no prediction. */
export const require = (what: string, prediction: Prediction): void =>
  demand(
    words.includes(prediction) ||
      kinds.includes((prediction as { readonly kind?: unknown } | undefined)?.kind),
    what,
    "prediction",
    `a network predicts "noise", "data", "v", "flow", { kind: "edm" } or { kind: "consistency" }, not ${JSON.stringify(prediction)}`
  )
