/** `odeon devices` */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../internal/flags.ts"
import { pipeline } from "../internal/pipeline.ts"
import { refusing } from "../internal/refusal.ts"

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

export const devices = Command.make(
  "devices",
  { json: Flags.json },
  Effect.fnUntraced(function* ({ json }) {
    const { Devices } = yield* pipeline
    const survey = yield* Devices.survey
    if (json) return yield* Console.log(JSON.stringify(survey))
    const widest = Math.max(...survey.devices.map(({ name }) => name.length))
    const missing = (name: string, about: string) =>
      about.replace(`the device "${name}" is `, "").replace(/; this version runs on .*$/, "")
    const rows = survey.devices.map(
      ({ name, available, about }) =>
        `${name === survey.taken ? "*" : " "} ${name.padEnd(widest)}  ${available ? about : `not there: ${missing(name, about)}`}`
    )
    return yield* Console.log(
      [
        ...rows,
        "",
        survey.taken === undefined
          ? `none is taken: ${survey.why}`
          : `taken (*): ${survey.taken}: ${survey.why}`,
        `processor: ${survey.processor}, ${survey.threads} threads`,
        `memory: ${gigabytes(survey.memory)}, ${gigabytes(survey.freeMemory)} of them free`
      ].join("\n")
    )
  }, refusing)
).pipe(
  Command.withDescription(
    "List the devices that there are to compute on, and which is taken and why"
  ),
  Command.withExamples([
    { command: "odeon devices", description: "Those of this machine" },
    { command: "ODEON_DEVICE=reference odeon devices", description: "Ask for one by its name" }
  ])
)
