import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { DeviceUnavailable } from "../DeviceError.ts"

/** Names that `ODEON_DEVICE` may have, and what to say of those that no backend answers to yet. */
export const known = {
  cpu: undefined,
  reference: undefined,
  webgpu: "needs the WebGPU provider of onnxruntime-node",
  cuda: "needs the CUDA provider of onnxruntime-node",
  coreml: "needs the CoreML provider of onnxruntime-node, on macOS",
  dml: "needs the DirectML provider of onnxruntime-node, on Windows",
  "tfjs-node-gpu": "needs @tensorflow/tfjs-node-gpu",
  "tfjs-node": "needs @tensorflow/tfjs-node",
  "tfjs-webgpu": "needs @tensorflow/tfjs-backend-webgpu",
  "tfjs-wasm": "needs @tensorflow/tfjs-backend-wasm"
} as const

export type Built = "cpu" | "reference"

const built: ReadonlyArray<Built> = ["cpu", "reference"]

export interface Choice {
  readonly name: Built
  readonly why: string
}

/** The device that the environment asks for. */
export const choice: Effect.Effect<Choice, DeviceUnavailable> = Effect.gen(function* () {
  const asked = yield* Config.String("ODEON_DEVICE").pipe(
    Config.withDefault(""),
    Effect.mapError(
      (cause) =>
        new DeviceUnavailable({
          device: "ODEON_DEVICE",
          message: "ODEON_DEVICE cannot be read from the configuration",
          cause
        })
    )
  )
  return yield* choose(asked.trim())
})

export const choose = (asked: string): Effect.Effect<Choice, DeviceUnavailable> => {
  if (asked === "")
    return Effect.succeed({ name: "cpu", why: "the default; ODEON_DEVICE names none" })
  const found = built.find((name) => name === asked)
  if (found !== undefined) return Effect.succeed({ name: found, why: "ODEON_DEVICE asks for it" })
  const choices = `this version runs on ${built.join(" and ")}`
  const message = Object.hasOwn(known, asked)
    ? `the device "${asked}" is not built in yet: it ${known[asked as keyof typeof known]}, and a backend for it; ${choices}`
    : `there is no device "${asked}": did you mean "${nearest(asked)}"? Known names are ${Object.keys(known).join(", ")}; ${choices}`
  return Effect.fail(new DeviceUnavailable({ device: asked, message }))
}

const nearest = (asked: string): string =>
  Object.keys(known).reduce((best, name) =>
    distance(asked, name) < distance(asked, best) ? name : best
  )

/** Levenshtein's: how many letters to change, put in or leave out. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let k = 1; k <= b.length; k++) {
      next.push(Math.min(row[k] + 1, next[k - 1] + 1, row[k - 1] + (a[i - 1] === b[k - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]
}
