/** Ctrl-C and its like: how the process ends by them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/** The exit codes are 128 and the signals' numbers. SIGHUP comes when a terminal is closed or a connection breaks. */
const codes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

const names = Object.keys(codes) as ReadonlyArray<keyof typeof codes>

/** What takes the next signal, instead of an interruption. */
let taker: (() => void) | undefined

/**
 * Waits for the first signal to come, for a training that ends in its own way, for as long as the scope lasts; what will happen is said at
 * once. The exit code will be the signal's.
 */
export const first: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.gen(
  function* () {
    const come = yield* Deferred.make<void>()
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        taker = () => {
          console.error("\nends after the step at hand, with a checkpoint; once more ends at once")
          Effect.runSync(Deferred.succeed(come, undefined))
        }
      }),
      () =>
        Effect.sync(() => {
          taker = undefined
        })
    )
    return Deferred.await(come)
  }
)

/**
 * Milliseconds within which a second signal is the first: npm sends to what it has started what a terminal has sent to that already.
 */
const together = 500

/**
 * Runs the program that the process is. The first signal interrupts it, unless it is taken ({@link first}); the second ends the process at
 * once.
 */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let received: keyof typeof codes | undefined
  let at = 0
  const listeners = names.map((signal) => {
    const listener = () => {
      if (received !== undefined) {
        if (performance.now() - at < together) return
        process.exit(codes[signal])
      }
      received = signal
      at = performance.now()
      if (taker === undefined) fiber.interruptUnsafe(fiber.id)
      else taker()
    }
    process.on(signal, listener)
    return { signal, listener }
  })
  fiber.addObserver((exit) => {
    // after one signal others may come until the very end
    if (received === undefined) {
      for (const { signal, listener } of listeners) process.off(signal, listener)
    }
    teardown(exit, (code) => {
      if (received !== undefined) process.exit(codes[received])
      if (code !== 0) process.exit(code)
    })
  })
})
