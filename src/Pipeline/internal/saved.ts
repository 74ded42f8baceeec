/** Findings in files: JSON by a schema, in which numbers that are not finite are words. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Files from "../Files.ts"
import { dataError } from "./data.ts"

/** A value as JSON. */
export const toJson = <A>(schema: Schema.Codec<A, unknown>, value: A): unknown =>
  Schema.encodeSync(Schema.toCodecJson(schema))(value)

/** Writes a value, whole or not at all. */
export const write = <A>(path: string, schema: Schema.Codec<A, unknown>, value: A) =>
  Effect.suspend(() =>
    Files.write(path, `${JSON.stringify(toJson(schema, value), undefined, 2)}\n`)
  )

/** Reads what was written; `what` it should be is said where it is not. */
export const read = Effect.fnUntraced(function* <A>(
  path: string,
  schema: Schema.Codec<A, unknown>,
  what: string
) {
  const text = yield* Files.readText(path)
  const refused = (error: unknown) =>
    dataError(path, "format", `it is no ${what}: ${(error as Error).message}`)
  const json = yield* Effect.try({ try: () => JSON.parse(text) as unknown, catch: refused })
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(json),
    refused
  )
})
