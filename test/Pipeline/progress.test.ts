/** What passes by is shown, and passes on. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { systemError } from "effect/PlatformError"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { describe } from "vitest"
import * as Progress from "../../src/Pipeline/Progress.ts"
import type * as Run from "../../src/Pipeline/Run.ts"

/** An output that keeps what is written, until it is closed. */
const output = (isTerminal: boolean, closed: (text: string) => boolean = () => false) => {
  let text = ""
  const stdio = Stdio.make({
    args: Effect.succeed([]),
    stdoutIsTerminal: Effect.succeed(isTerminal),
    stdout: () =>
      Sink.forEach((part: string | Uint8Array) =>
        Effect.suspend(() => {
          if (closed(text)) {
            return Effect.fail(systemError({ module: "Stdio", method: "stdout", _tag: "Unknown" }))
          }
          text += part
          return Effect.void
        })
      ),
    stderr: () => Sink.drain,
    stdin: Stream.empty
  })
  return { stdio, text: () => text }
}

const terminal = (columns: number) =>
  Terminal.make({
    columns: Effect.succeed(columns),
    rows: Effect.succeed(24),
    size: Effect.die("unused"),
    readInput: Effect.die("unused"),
    readLine: Effect.die("unused"),
    display: () => Effect.die("unused")
  })

const given = (isTerminal: boolean, columns = 80, closed?: (text: string) => boolean) => {
  const { stdio, text } = output(isTerminal, closed)
  const provide = <A, E>(effect: Effect.Effect<A, E, Stdio.Stdio | Terminal.Terminal>) =>
    effect.pipe(
      Effect.provideService(Stdio.Stdio, stdio),
      Effect.provideService(Terminal.Terminal, terminal(columns))
    )
  return { provide, text }
}

const erase = "\r\u001b[2K"

/** What stays to be seen of a text: of each line what was written after the last erasure. */
const seen = (text: string): ReadonlyArray<string> =>
  text.split("\n").map((line) => line.split(erase).pop() ?? "")

const started = (steps: number, step = 0): Run.Event => ({
  _tag: "Started",
  step,
  steps,
  network: "cunet",
  data: "digits",
  device: "a device",
  parameters: 1234,
  items: 64,
  compileTime: 1500
})

const stepAt = (step: number, loss = 0.5): Run.Event => ({
  _tag: "Step",
  step,
  epoch: 0,
  loss,
  gradientNorm: 1,
  rate: 1e-3,
  milliseconds: 100
})

/** A run of so many steps, with a bit of everything. */
const runOf = (steps: number): ReadonlyArray<Run.Event> => [
  started(steps),
  ...Array.from({ length: steps }, (_, step): ReadonlyArray<Run.Event> => {
    const at = step + 1
    return [
      step % 50 === 7
        ? {
            _tag: "Skipped",
            step,
            loss: Number.NaN,
            gradientNorm: 1,
            message: `step ${step}: the loss is NaN`
          }
        : stepAt(step),
      ...(at % 40 === 0
        ? ([{ _tag: "Checkpointed", step: at, path: `run/step-${at}` }] as const)
        : []),
      ...(at % 60 === 0 ? ([{ _tag: "Sampled", step: at, path: `run/${at}.png` }] as const) : [])
    ]
  }).flat(),
  { _tag: "Ended", step: steps, stopped: false, seconds: 61 }
]

/** What must not be lost, however it is shown. */
const kept = (events: ReadonlyArray<Run.Event>): ReadonlyArray<string> =>
  events.flatMap((event) =>
    event._tag === "Skipped"
      ? [`left out ${event.message}`]
      : event._tag === "Checkpointed"
        ? [`checkpoint ${event.path}`]
        : event._tag === "Sampled"
          ? [`samples ${event.path}`]
          : []
  )

/** Events, so many milliseconds after each other. */
const paced = (events: ReadonlyArray<Run.Event>, millis: number) =>
  Stream.tap(Stream.fromIterable(events), () => TestClock.adjust(millis))

describe("a bar", () => {
  it.effect("is one line that is drawn again, below what stays", () =>
    Effect.gen(function* () {
      const { provide, text } = given(true)
      const events = runOf(100)
      const passed = yield* paced(events, 90).pipe(Progress.bar, Stream.runCollect, provide)
      expect(passed).toEqual(events)
      const lines = seen(text())
      expect(lines[0]).toBe("cunet on digits: 1,234 parameters, compiled in 1.50 s; a device")
      expect(lines.slice(1, -2)).toEqual(kept(events))
      expect(lines.slice(-2)).toEqual(["100 steps, 1:01; loss 0.500", ""])
    })
  )

  it.effect("tells steps, loss, time left, pace and rate", () =>
    Effect.gen(function* () {
      const { provide, text } = given(true, 100)
      const events = [started(1000), ...Array.from({ length: 250 }, (_, i) => stepAt(i))]
      yield* paced(events, 100).pipe(Progress.bar, Stream.runDrain, provide)
      expect(seen(text()).slice(-2)).toEqual([
        "250/1,000  ████████░░░░░░░░░░░░░░░░░░░░░░  loss 0.500  1:15 left  640 items/s  rate 1.00e-3",
        ""
      ])
    })
  )

  it.effect("is never wider than the terminal, and never without a line break at its end", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 2, max: 150 }),
          fc.integer({ min: 1, max: 90 }),
          fc.constantFrom("ends", "fails", "is interrupted"),
          (columns, steps, how) =>
            Effect.gen(function* () {
              const { provide, text } = given(true, columns)
              const events = runOf(steps).filter(
                ({ _tag }) => _tag === "Started" || _tag === "Step"
              )
              const rest =
                how === "ends" ? Stream.empty : how === "fails" ? Stream.fail("no") : Stream.never
              const fiber = yield* paced(events, 60).pipe(
                Stream.concat(rest),
                Progress.bar,
                Stream.runDrain,
                provide,
                Effect.ignore,
                Effect.forkChild
              )
              yield* Effect.yieldNow
              yield* TestClock.adjust("1 minute")
              yield* how === "is interrupted" ? Fiber.interrupt(fiber) : Fiber.join(fiber)
              const [, ...drawn] = text().replaceAll(erase, "\n").split("\n")
              for (const line of drawn) expect(line.length).toBeLessThan(columns)
              expect(text().endsWith("\n")).toBe(true)
            }).pipe(Effect.provide(TestClock.layer()), Effect.runPromise)
        ),
        { numRuns: 40, seed: 1 }
      )
    )
  )

  it.effect("smooths the loss", () =>
    Effect.gen(function* () {
      const { provide, text } = given(true)
      const events = [started(400), ...Array.from({ length: 400 }, (_, i) => stepAt(i, i % 2))]
      yield* paced(events, 100).pipe(Progress.bar, Stream.runDrain, provide)
      const [, loss] = /loss (\S+)/.exec(seen(text()).at(-2) ?? "") ?? []
      expect(Number(loss)).toBeCloseTo(0.5, 1)
    })
  )

  it.effect("begins where a run goes on", () =>
    Effect.gen(function* () {
      const { provide, text } = given(true)
      const events = [started(200, 100), ...Array.from({ length: 50 }, (_, i) => stepAt(100 + i))]
      yield* paced(events, 100).pipe(Progress.bar, Stream.runDrain, provide)
      const lines = seen(text())
      expect(lines[1]).toBe("goes on after step 100")
      expect(lines.at(-2)).toMatch(/^150\/200 .* 0:05 left/)
    })
  )
})

describe("lines", () => {
  it.effect("are few, plain, and lose nothing", () =>
    Effect.gen(function* () {
      const { provide, text } = given(false)
      const events = runOf(1000)
      const passed = yield* paced(events, 50).pipe(Progress.lines, Stream.runCollect, provide)
      expect(passed).toEqual(events)
      const lines = text().split("\n")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: there are to be none
      expect(text()).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
      const steps = lines.filter((line) => /^[\d,]+\/1,000 \(/.test(line))
      // 50 s, one every 2 s
      expect(steps.length).toBeGreaterThan(15)
      expect(steps.length).toBeLessThan(30)
      expect(steps.at(-1)).toMatch(/^1,000\/1,000 \(100 %\) {2}loss 0.500 /)
      expect(lines.filter((line) => !steps.includes(line)).slice(1, -2)).toEqual(kept(events))
    })
  )

  it.effect("come each half minute where a hundredth takes longer", () =>
    Effect.gen(function* () {
      const { provide, text } = given(false)
      const events = [started(100_000), ...Array.from({ length: 300 }, (_, i) => stepAt(i))]
      yield* paced(events, 1000).pipe(Progress.lines, Stream.runDrain, provide)
      const steps = text().split("\n").slice(1, -1)
      expect(steps.map((line) => line.split(" ")[0])).toEqual(
        [29, 59, 89, 119, 149, 179, 209, 239, 269, 299].map((step) => `${step}/100,000`)
      )
    })
  )
})

it.effect("lines tell of each thing, one after the other", () =>
  Effect.gen(function* () {
    const { provide, text } = given(false)
    const view: Progress.View<readonly [name: string, done: number]> =
      () =>
      ([name, done]) => ({ lines: [], fraction: done / 10, before: name })
    const events = ["one", "two"].flatMap((name) =>
      Array.from({ length: 10 }, (_, i) => [name, i + 1] as const)
    )
    yield* Stream.fromIterable(events).pipe(
      Stream.tap(() => TestClock.adjust(2000)),
      Progress.linesOf(view),
      Stream.runDrain,
      provide
    )
    expect(text().trimEnd().split("\n")).toEqual(
      events.map(([name, done]) => `${name} (${10 * done} %)`)
    )
  })
)

describe("JSON", () => {
  it.effect("has an object a line for each event", () =>
    Effect.gen(function* () {
      const { provide, text } = given(false)
      const events = runOf(100)
      const passed = yield* Stream.fromIterable(events).pipe(
        Progress.json(),
        Stream.runCollect,
        provide
      )
      expect(passed).toEqual(events)
      const told = text().trimEnd().split("\n")
      expect(told.map((line) => JSON.parse(line))).toEqual(
        events.map((event) => JSON.parse(JSON.stringify(event)))
      )
    })
  )

  it.effect("leaves out steps where it is told to, and nothing else", () =>
    Effect.gen(function* () {
      const { provide, text } = given(false)
      const events = runOf(95)
      yield* Stream.fromIterable(events).pipe(
        Progress.json({ every: 10 }),
        Stream.runDrain,
        provide
      )
      const told = text()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Run.Event)
      expect(told.flatMap((event) => (event._tag === "Step" ? [event.step] : []))).toEqual([
        0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 94
      ])
      const others = (all: ReadonlyArray<Run.Event>) => all.filter(({ _tag }) => _tag !== "Step")
      expect(others(told).length).toBe(others(events).length)
    })
  )
})

it.effect("a bar is for terminals, lines for the rest", () =>
  Effect.gen(function* () {
    for (const isTerminal of [true, false]) {
      const { provide, text } = given(isTerminal)
      yield* paced(runOf(10), 500).pipe(Progress.auto, Stream.runDrain, provide)
      expect(text().includes("\r")).toBe(isTerminal)
    }
  })
)

it.effect("an output that is closed fails the stream, which ends what it shows", () =>
  Effect.gen(function* () {
    for (const show of [Progress.bar, Progress.lines, Progress.json()]) {
      const { provide } = given(true, 80, (text) => text.length > 200)
      let ended = false
      const error = yield* paced(runOf(1000), 3000).pipe(
        Stream.ensuring(
          Effect.sync(() => {
            ended = true
          })
        ),
        show,
        Stream.runDrain,
        provide,
        Effect.flip
      )
      expect(error).toMatchObject({ _tag: "PlatformError" })
      expect(ended).toBe(true)
    }
  })
)

it.effect("what is no run is shown by a view of its own", () =>
  Effect.gen(function* () {
    const { provide, text } = given(true, 40)
    const view: Progress.View<number> = () => (n) => ({
      lines: n % 4 === 0 ? [`four times ${n / 4}`] : [],
      fraction: n / 8,
      before: `${n} of 8`
    })
    yield* Stream.range(1, 8).pipe(
      Stream.tap(() => TestClock.adjust(200)),
      Progress.autoOf(view),
      Stream.runDrain,
      provide
    )
    expect(seen(text())).toEqual([
      "four times 1",
      "four times 2",
      "8 of 8  ██████████████████████████████",
      ""
    ])
  })
)
