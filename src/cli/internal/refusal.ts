/** Failures for people: one line on stderr, and exit code 1. */
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"

/** A text without its line breaks. */
export const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, " ")

/** A failure for people. */
export const refuse = (message: string): CliError.UserError =>
  new CliError.UserError({ cause: undefined, userMessage: oneLine(message) })

/** Whatever Odeon says is wrong with what it was given; pure code throws it. Other defects stay what they are. */
export const refusing = <A, E extends Error, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, CliError.UserError, R> =>
  effect.pipe(
    Effect.mapError((error) =>
      error instanceof CliError.UserError ? error : refuse(error.message)
    ),
    Effect.catchDefect((defect) =>
      defect instanceof Error && "_tag" in defect
        ? Effect.fail(refuse(defect.message))
        : Effect.die(defect)
    )
  )
