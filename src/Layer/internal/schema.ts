/** Schemas of configurations' fields. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/** A field that may be left out. */
export const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
