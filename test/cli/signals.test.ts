/** How a process ends by signals. */
import { spawn } from "node:child_process"
import * as Path from "node:path"
import { expect, it } from "vitest"

const module = Path.join(import.meta.dirname, "../../src/cli/internal/signals.ts")

/** Something that does not end by itself: what it says, and how it ends where each signal follows the one before by so many milliseconds. */
const ends = (effect: string, ...delays: ReadonlyArray<number>) =>
  new Promise<{ readonly status: number | null; readonly said: string }>((resolve) => {
    const text = `
      import * as Effect from "effect/Effect"
      import * as Signals from ${JSON.stringify(module)}
      const going = Effect.sync(() => console.log("going"))
      ${effect}.pipe(Effect.scoped, Signals.runMain)
      setTimeout(() => {}, 1e6)`
    const child = spawn(process.execPath, ["--no-warnings", "--input-type=module", "-e", text])
    let said = ""
    const send = ([delay, ...rest]: ReadonlyArray<number>) => {
      if (delay === undefined) return
      setTimeout(() => {
        child.kill("SIGINT")
        send(rest)
      }, delay)
    }
    child.stdout.on("data", () => send(delays))
    child.stderr.on("data", (part) => {
      said += part
    })
    child.on("close", (status) => resolve({ status, said }))
  })

it("interrupts what takes no signals", async () => {
  const effect = `Effect.andThen(going, Effect.onInterrupt(Effect.never, () => Effect.sync(() => console.error("swept"))))`
  expect(await ends(effect, 0, 3)).toEqual({ status: 130, said: "swept\n" })
})

it("lets what takes the first end in its own way, and ends at once by a second", async () => {
  const effect = (after: number) =>
    `Effect.gen(function* () {
      const signal = yield* Signals.first
      yield* going
      yield* signal
      yield* Effect.sleep(${after})
      console.error("ended")
    })`
  const first = "\nends after the step at hand, with a checkpoint; once more ends at once\n"
  // what npm sends once more is no second
  expect(await ends(effect(100), 0, 3)).toEqual({ status: 130, said: `${first}ended\n` })
  expect(await ends(effect(1e6), 0, 1000)).toEqual({ status: 130, said: first })
})
