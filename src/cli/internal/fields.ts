/** Fields of configurations, as files and arguments tell them. */
import type * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Files from "../../Pipeline/Files.ts"
import { refuse } from "./refusal.ts"

/** Fields by name. */
export type Fields = Readonly<Record<string, unknown>>

/** Whether a value is a record of fields. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What a text means as a value: JSON, or a text that needs no quotation marks. `name` is what it was given as. */
export const valueOf = (name: string, text: string): Effect.Effect<unknown, CliError.UserError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(JSON.parse(text) as unknown)
    } catch {
      return /^\s*(?:[[{"]|$)/.test(text)
        ? Effect.fail(refuse(`${name}: ${text} is neither JSON nor a word`))
        : Effect.succeed(text)
    }
  })

/** The fields of a configuration file. */
export const fieldsOf = Effect.fnUntraced(function* (path: string) {
  const text = yield* Files.readText(path)
  const fields = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (error) => refuse(`${path} is not JSON: ${(error as Error).message}`)
  })
  return isFields(fields) ? fields : yield* refuse(`${path} must hold an object of fields`)
})
