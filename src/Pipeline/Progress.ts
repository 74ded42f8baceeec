/**
 * Progress for people and programs: what passes by in a stream is shown, and passes on.
 *
 * ```ts
 * yield* Run.train(experiment, { folder: "runs/digits" }).pipe(Progress.auto, Stream.runDrain)
 * ```
 *
 * A bar is for terminals: one line that is drawn again and again, with whatever is worth keeping above it. Lines are for logs, JSON for
 * programs. All of it goes to the standard output (effect's `Stdio`). Where that cannot be written any more, as in a pipe whose reader has
 * left, the stream fails with a `PlatformError`, which ends a run with a checkpoint, as any failure does.
 *
 * Other things than runs are shown by a {@link View} of one's own.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as Meter from "./internal/meter.ts"
import type { Event } from "./Run.ts"

/**
 * What is shown after an event.
 *
 * @since 0.1.0
 * @category models
 */
export interface Shown {
  /** What stays: printed once, above a bar. */
  readonly lines: ReadonlyArray<string>
  /** How far it has come, from 0 to 1; `undefined` while there is nothing to show of that. */
  readonly fraction?: number | undefined
  /** What stands before the bar, such as `1,200/5,000`. */
  readonly before?: string
  /** What stands after it, what matters most first. */
  readonly after?: ReadonlyArray<string>
}

/**
 * How events are shown: a function of each and of the time, in milliseconds, that remembers what it needs to. One is made for each stream.
 *
 * @since 0.1.0
 * @category models
 */
export type View<A> = () => (event: A, now: number) => Shown

/** How much a smoothed loss keeps of what it was, with each step. */
const smoothing = 0.98

/** Of many values, what they are about now. */
const smoothed = () => {
  let [sum, weight] = [0, 0]
  return {
    add: (value: number) => {
      sum = smoothing * sum + (1 - smoothing) * value
      weight = smoothing * weight + (1 - smoothing)
    },
    get: () => sum / weight
  }
}

/**
 * How runs are shown: steps, the smoothed loss, the learning rate, items a second, the time left, and the last checkpoint; steps left out,
 * checkpoints and samples are lines of their own.
 *
 * @since 0.1.0
 * @category instances
 */
export const run: View<Event> = () => {
  let [begun, first, step, steps, items] = [0, 0, 0, 0, 1]
  let [rate, seen, ended] = [0, 0, false]
  let saved = ""
  const [loss, millis] = [smoothed(), smoothed()]
  const shown = (now: number, lines: ReadonlyArray<string>): Shown => {
    if (seen === 0 || ended) return { lines }
    const seconds = (now - begun) / 1000
    const perSecond = (step - first) / Math.max(1e-3, seconds)
    return {
      lines,
      fraction: step / steps,
      before: `${Meter.count(step)}/${Meter.count(steps)}`,
      after: [
        `loss ${Meter.figure(loss.get())}`,
        `${Meter.duration((steps - step) / perSecond)} left`,
        `${Meter.figure((1000 * items) / millis.get())} items/s`,
        `rate ${Meter.figure(rate)}`,
        ...(saved === "" ? [] : [saved])
      ]
    }
  }
  return (event, now) => {
    switch (event._tag) {
      case "Started": {
        const { network, data, device, parameters, compileTime } = event
        begun = now
        first = step = event.step
        steps = event.steps
        items = event.items
        return shown(now, [
          `${network} on ${data}: ${Meter.count(parameters)} parameters, compiled in ${Meter.figure(compileTime / 1000)} s; ${device}`,
          ...(step === 0 ? [] : [`goes on after step ${Meter.count(step)}`])
        ])
      }
      case "Step":
        step = event.step + 1
        rate = event.rate
        seen++
        loss.add(event.loss)
        millis.add(event.milliseconds)
        return shown(now, [])
      case "Skipped":
        step = event.step + 1
        return shown(now, [`left out ${event.message}`])
      case "Checkpointed":
        saved = `saved at ${Meter.count(event.step)}`
        return shown(now, [`checkpoint ${event.path}`])
      case "Sampled":
        return shown(now, [`samples ${event.path}`])
      case "Ended": {
        ended = true
        const { stopped, seconds } = event
        // there may be more than were asked for now
        const all = `${stopped ? `stopped after ${Meter.count(event.step)} of ${Meter.count(steps)}` : Meter.count(event.step)} steps`
        const last = seen === 0 ? "" : `; loss ${Meter.figure(loss.get())}`
        return shown(now, [`${all}, ${Meter.duration(seconds)}${last}`])
      }
    }
  }
}

type Operator<A, R> = <E, R2>(
  stream: Stream.Stream<A, E, R2>
) => Stream.Stream<A, E | PlatformError, R | R2>

/** What prints texts. */
const printer = Effect.map(
  Stdio.Stdio,
  (stdio) => (text: string) =>
    text === "" ? Effect.void : Stream.run(Stream.succeed(text), stdio.stdout())
)

const drawMillis = 100

/**
 * Shows events as a bar with lines above it. The bar ends with a line break, whatever ends the stream.
 *
 * @since 0.1.0
 * @category operators
 */
export const barOf =
  <A>(view: View<A>): Operator<A, Stdio.Stdio | Terminal.Terminal> =>
  (stream) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const print = yield* printer
        const terminal = yield* Terminal.Terminal
        const show = view()
        const erase = "\r\u001b[2K"
        let [drawn, latest, due] = ["", 0, false]
        let state: Shown = { lines: [] }
        const draw = Effect.gen(function* () {
          const columns = (yield* terminal.columns) || 80
          const { fraction, before = "", after = [] } = state
          // a full line would break
          return fraction === undefined ? "" : Meter.line(columns - 1, fraction, before, after)
        })
        const seen = Effect.fnUntraced(function* (event: A) {
          const now = yield* Clock.currentTimeMillis
          state = show(event, now)
          due = state.fraction !== undefined
          if (state.lines.length === 0 && (!due || now - latest < drawMillis)) return
          const before = drawn === "" ? "" : erase
          drawn = yield* draw
          latest = now
          due = false
          yield* print(before + state.lines.map((line) => `${line}\n`).join("") + drawn)
        })
        const end = Effect.gen(function* () {
          if (drawn === "") return
          const last = due ? `${erase}${yield* draw}\n` : "\n"
          yield* Effect.ignore(print(last))
        })
        return stream.pipe(Stream.tap(seen), Stream.ensuring(Effect.suspend(() => end)))
      })
    )

/**
 * When a line on how far it has come is due: so many milliseconds after the last, if it has moved by a hundredth of the whole meanwhile,
 * or else after so many.
 */
const [soon, late] = [2000, 30_000]

/**
 * Shows events as plain lines, at a pace that suits logs.
 *
 * @since 0.1.0
 * @category operators
 */
export const linesOf =
  <A>(view: View<A>): Operator<A, Stdio.Stdio> =>
  (stream) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const print = yield* printer
        const show = view()
        let [latest, told] = [yield* Clock.currentTimeMillis, 0]
        const seen = Effect.fnUntraced(function* (event: A) {
          const now = yield* Clock.currentTimeMillis
          const { lines, fraction, before = "", after = [] } = show(event, now)
          const all = [...lines]
          // something new has begun
          if (fraction !== undefined && fraction < told) told = 0
          if (fraction !== undefined && fraction !== told) {
            const waited = now - latest
            if (fraction === 1 || waited >= (fraction - told >= 0.01 ? soon : late)) {
              ;[latest, told] = [now, fraction]
              all.unshift([`${before} (${Math.floor(100 * fraction)} %)`, ...after].join("  "))
            }
          }
          yield* print(all.map((line) => `${line}\n`).join(""))
        })
        return Stream.tap(stream, seen)
      })
    )

/**
 * Shows events as a bar on a terminal, else as lines.
 *
 * @since 0.1.0
 * @category operators
 */
export const autoOf =
  <A>(view: View<A>): Operator<A, Stdio.Stdio | Terminal.Terminal> =>
  (stream) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const stdio = yield* Stdio.Stdio
        return (yield* stdio.stdoutIsTerminal) ? barOf(view)(stream) : linesOf(view)(stream)
      })
    )

/**
 * A run as a bar. See {@link barOf} and {@link run}.
 *
 * @since 0.1.0
 * @category runs
 */
export const bar = barOf(run)

/**
 * A run as plain lines, without control characters. See {@link linesOf} and {@link run}.
 *
 * @since 0.1.0
 * @category runs
 */
export const lines = linesOf(run)

/**
 * A run as a bar on a terminal, else as lines.
 *
 * @since 0.1.0
 * @category runs
 */
export const auto = autoOf(run)

/**
 * - `every`: of steps, those whose number is a multiple of this alone, and the last; all unless told. Other events are always shown.
 *
 * @since 0.1.0
 * @category models
 */
export interface JsonOptions {
  readonly every?: number
}

/**
 * A run as JSON, an object a line for each event, as `Run.Event` has them; numbers that are not finite are `null`.
 *
 * @since 0.1.0
 * @category runs
 */
export const json =
  ({ every = 1 }: JsonOptions = {}): Operator<Event, Stdio.Stdio> =>
  (stream) =>
    Stream.unwrap(
      Effect.map(printer, (print) => {
        let steps = 0
        return Stream.tap(stream, (event) => {
          if (event._tag === "Started") steps = event.steps
          const shown =
            event._tag !== "Step" || event.step % every === 0 || event.step + 1 === steps
          return shown ? print(`${JSON.stringify(event)}\n`) : Effect.void
        })
      })
    )
