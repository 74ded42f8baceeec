/** Flags that several commands have. */
import * as Flag from "effect/cli/Flag"

/** Whether what is printed is for programs. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON"),
  Flag.withoutNegation,
  Flag.withDefault(false)
)

/** A configuration file, if any. */
export const config = (description: string) =>
  Flag.String("config").pipe(
    Flag.withDescription(description),
    Flag.withMetavar("file.json"),
    Flag.optional
  )

/** Fields of a configuration: texts by path, see `fields.told`. */
export const set = (description: string) =>
  Flag.KeyValuePair("set").pipe(
    Flag.withDescription(description),
    Flag.withDefault({} as Record<string, string>)
  )
