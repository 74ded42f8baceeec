import * as Effect from "effect/Effect"

/** Of pure code, the errors that are expected as failures. Whatever else it throws is a defect. */
export const attempting =
  <E>(isExpected: (error: unknown) => error is E) =>
  <A>(build: () => A): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(build())
      } catch (error) {
        if (isExpected(error)) return Effect.fail(error)
        throw error
      }
    })
