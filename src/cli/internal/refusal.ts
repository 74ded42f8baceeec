/** Failures for people: one line on stderr, and exit code 1. */

import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"

/** A text without its line breaks. */
export const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, " ")

/** A failure for people. */
export const refuse = (message: string): CliError.UserError =>
  new CliError.UserError({ cause: undefined, userMessage: oneLine(message) })

/** The reader of what is printed has left: the code of the signal for it, 128 + 13. */
const readerLeft = 141

/** The reader of what is printed has left. As other programs do, it ends without a word. */
export class ReaderLeft extends Data.TaggedError("ReaderLeft") {
  override readonly [Runtime.errorExitCode] = readerLeft
  override readonly [Runtime.errorReported] = false
}

/** Whether a failure, or what it comes of, is that of a pipe without a reader. */
const isReaderLeft = (error: unknown): boolean => {
  if (typeof error !== "object" || error === null) return false
  const { code, cause, reason } = error as Readonly<Record<string, unknown>>
  return code === "EPIPE" || isReaderLeft(cause) || isReaderLeft(reason)
}

/** What is said of an error of the standard output, if anything, and how the process ends by it. */
export const ofPrinting = (error: Error): { readonly exitCode: number; readonly said?: string } =>
  isReaderLeft(error)
    ? { exitCode: readerLeft }
    : { exitCode: 1, said: `what there is to print cannot be written: ${error.message}` }

/** What a failure says, of one of the system what the system says. */
const said = (error: Error): string => {
  const { module, cause } = ((error as { readonly reason?: unknown }).reason ?? {}) as {
    readonly module?: string
    readonly cause?: unknown
  }
  return module === "Stdio" && cause instanceof Error
    ? (ofPrinting(cause).said ?? cause.message)
    : error.message
}

/** Whatever Odeon says is wrong with what it was given; pure code throws it. Other defects stay what they are. */
export const refusing = <A, E extends Error, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, CliError.UserError | ReaderLeft, R> =>
  effect.pipe(
    Effect.mapError((error) =>
      isReaderLeft(error)
        ? new ReaderLeft()
        : error instanceof CliError.UserError
          ? error
          : refuse(said(error))
    ),
    Effect.catchDefect((defect) =>
      defect instanceof Error && "_tag" in defect
        ? Effect.fail(refuse(defect.message))
        : Effect.die(defect)
    )
  )
