/** The program `odeon` (see `bin/odeon.js`). */
import * as Fs from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Commands from "./Commands.ts"
import { ofPrinting } from "./internal/refusal.ts"
import { runMain } from "./internal/signals.ts"

const { version } = JSON.parse(
  Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
) as { readonly version: string }

/** What was to be printed, and could not be. */
let unprinted: NodeJS.ErrnoException | undefined

// the streams' own event would end the process with a stack trace
process.stderr.on("error", () => {})
process.stdout.on("error", (error) => {
  unprinted ??= error
})

// whoever writes to a stream of effects hears of it; of what a console prints the exit code tells
process.on("exit", (code) => {
  if (code !== 0 || unprinted === undefined) return
  const { exitCode, said } = ofPrinting(unprinted)
  process.exitCode = exitCode
  if (said !== undefined) Fs.writeSync(2, `odeon: ${said}\n`)
})

Commands.run({ version }).pipe(Effect.provide(NodeServices.layer), runMain)
