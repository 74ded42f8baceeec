/** The program `odeon` (see `bin/odeon.js`). */
import * as Fs from "node:fs"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Commands from "./Commands.ts"

const { version } = JSON.parse(
  Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
) as { readonly version: string }

Commands.run({ version }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
