/** `odeon networks` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../internal/flags.ts"
import * as Lazy from "../internal/pipeline.ts"
import { refusing } from "../internal/refusal.ts"

export const networks = Command.make(
  "networks",
  { json: Flags.json },
  Effect.fnUntraced(function* ({ json }) {
    const Networks = yield* Lazy.networks
    const rows = yield* Effect.forEach(Object.entries(Networks.presets), ([name, { about }]) =>
      Effect.map(Networks.preset(name), (network) => ({
        name,
        parameters: Networks.parameterCount(network),
        about
      }))
    )
    if (json) return yield* Console.log(JSON.stringify(rows))
    const shown = rows.map(({ parameters }) => parameters.toLocaleString("en-US"))
    const widest = Math.max(...rows.map(({ name }) => name.length))
    const longest = Math.max(...shown.map((text) => text.length))
    return yield* Console.log(
      rows
        .map(
          ({ name, about }, i) =>
            `${name.padEnd(widest)}  ${shown[i].padStart(longest)} parameters  ${about}`
        )
        .join("\n")
    )
  }, refusing)
).pipe(Command.withDescription("List the presets, with their parameters"))
