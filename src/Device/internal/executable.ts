import * as Effect from "effect/Effect"
import type { Program } from "../../Tensor/Program.ts"
import * as Tree from "../../Tensor/Tree.ts"
import type { Compiled } from "../Backend.ts"
import type { Arguments, Buffers, CompileOptions, Executable } from "../Device.ts"
import { place } from "./arguments.ts"
import { type Cache, Job } from "./cache.ts"
import { type BufferImpl, type Memory, release } from "./memory.ts"
import { alive, fits, prepare } from "./program.ts"

/** See `Service.compile`. */
export const compile = <B>(memory: Memory<B>, cache: Cache<Compiled<B>>) =>
  Effect.fnUntraced(function* <I, O>(program: Program<I, O>, options?: CompileOptions) {
    const prepared = prepare(memory.failure, program, options?.check)
    yield* fits(memory.backend.name, memory.capacity, prepared)
    const { compiled, time } = yield* cache.get(new Job(prepared.source))
    const { cost, judge, outputs } = prepared
    const operation = `run ${program.name}`
    const wanted = { names: program.inputNames, specs: program.graph.inputs }

    const life = yield* Effect.scope
    const once = Effect.fnUntraced(function* (given: Arguments<I>) {
      yield* alive(memory.failure, operation, life)
      const scope = yield* Effect.scope
      return yield* Effect.scoped(
        Effect.flatMap(place(memory, operation, wanted, given), (inputs) =>
          memory.call({
            operation,
            inputs,
            workspace: cost.peakBytes,
            outputs: outputs.map((spec) => ({ spec, scope })),
            run: compiled.run
          })
        )
      )
    })

    /** Fails if the last result says so, and takes it away. */
    const judged = Effect.fnUntraced(function* (results: ReadonlyArray<BufferImpl<B>>) {
      if (judge === undefined) return results
      const verdict = results.slice(-1)
      const { data } = yield* Effect.ensuring(
        memory.download(operation, verdict[0]),
        release(verdict)
      )
      const error = judge(Number(data[0]), operation)
      return error === undefined ? results.slice(0, -1) : yield* error
    })

    return {
      program,
      compileTime: time,
      cost,
      run: (given) =>
        Effect.yieldNow.pipe(
          Effect.andThen(once(given)),
          Effect.flatMap((results) => Effect.onError(judged(results), () => release(results))),
          Effect.map((results) => Tree.refill<Buffers<O>>(program.outputs, results))
        )
    } satisfies Executable<I, O>
  })
