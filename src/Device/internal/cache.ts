import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import type { Source } from "../Backend.ts"
import { CompileError } from "../DeviceError.ts"

/** A graph to compile, equal to others of the same structure. */
export class Job implements Equal.Equal {
  readonly source: Source
  /** How many of its inputs are carried, if it is a step. */
  readonly states: number

  constructor(source: Source, states = 0) {
    this.source = source
    this.states = states
  }

  [Equal.symbol](that: Equal.Equal): boolean {
    return (
      that instanceof Job &&
      this.states === that.states &&
      this.source.graph.key === that.source.graph.key
    )
  }

  [Hash.symbol](): number {
    return Hash.string(this.source.graph.key)
  }
}

/** What a compilation gave. */
export interface Compilation<A> {
  readonly compiled: A
  /** Milliseconds that it took now; 0 if it was there already. */
  readonly time: number
}

/** Compilations by structure. */
export interface Cache<A> {
  /** Compiles, once for all equal jobs, and keeps the result as long as the scope and a minute more. */
  readonly get: (job: Job) => Effect.Effect<Compilation<A>, CompileError, Scope.Scope>
  /** How many compilations are kept. */
  readonly size: () => number
}

interface Kept<A> {
  readonly compiled: A
  readonly by: Job
  readonly time: number
}

export const make = <A>(
  device: string,
  compile: (job: Job) => Effect.Effect<A, CompileError, Scope.Scope>
): Effect.Effect<Cache<A>, never, Scope.Scope> =>
  Effect.gen(function* () {
    let size = 0
    let closed = false
    const lookup = Effect.fnUntraced(function* (job: Job) {
      // it may block for long: let others go first
      yield* Effect.yieldNow
      const start = performance.now()
      const compiled = yield* compile(job)
      const time = performance.now() - start
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          size += 1
        }),
        () =>
          Effect.sync(() => {
            size -= 1
          })
      )
      return { compiled, by: job, time } satisfies Kept<A>
    })
    const map = yield* RcMap.make({ lookup, idleTimeToLive: "1 minute" })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
      })
    )
    const get = (job: Job): Effect.Effect<Compilation<A>, CompileError, Scope.Scope> =>
      RcMap.get(map, job).pipe(
        // what failed may work another time
        Effect.tapError(() => RcMap.invalidate(map, job)),
        Effect.map(({ by, compiled, time }) => ({ compiled, time: by === job ? time : 0 }))
      )
    return {
      get: (job) =>
        Effect.suspend(() => (closed ? Effect.fail(over(device, job.source.name)) : get(job))),
      size: () => size
    }
  })

const over = (device: string, program: string): CompileError =>
  new CompileError({
    reason: "Failed",
    device,
    program,
    message: `compile ${program}: ${device} was closed: provide its layer around all that uses it`
  })
