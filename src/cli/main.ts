/** The program `odeon` (see `bin/odeon.js`). */
import * as Fs from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Commands from "./Commands.ts"
import { runMain } from "./internal/signals.ts"

const { version } = JSON.parse(
  Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
) as { readonly version: string }

// whoever writes hears of it; the streams' own event would end the process with a stack trace
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})

Commands.run({ version }).pipe(Effect.provide(NodeServices.layer), runMain)
