/** What readers of data share. */
import * as Effect from "effect/Effect"
import { DataError } from "../PipelineError.ts"

/** An error that begins with what it is about. */
export const dataError = (source: string, reason: DataError["reason"], message: string) =>
  new DataError({ source, reason, message: `${source}: ${message}` })

/** Throws a `DataError` unless a condition holds. */
export const demand = (
  holds: boolean,
  source: string,
  reason: DataError["reason"],
  /** Made where it is needed only. */
  message: () => string
): void => {
  if (!holds) throw dataError(source, reason, message())
}

/** The `DataError`s that pure code throws, as failures. Whatever else it throws is a defect. */
export const attempt = <A>(build: () => A): Effect.Effect<A, DataError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(build())
    } catch (error) {
      if (error instanceof DataError) return Effect.fail(error)
      throw error
    }
  })
