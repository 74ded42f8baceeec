import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HostArray } from "../../Tensor/Expression.ts"
import * as Program from "../../Tensor/Program.ts"
import * as Tree from "../../Tensor/Tree.ts"
import type { Backend, Compiled, CompiledFold } from "../Backend.ts"
import type { Buffer, Service } from "../Device.ts"
import * as Cache from "./cache.ts"
import * as Executable from "./executable.ts"
import * as Fold from "./fold.ts"
import { type BufferImpl, isBuffer, Memory, release, together } from "./memory.ts"

/** See `Device.fromBackend`. */
export const fromBackend = <B>(
  backend: Backend<B>,
  options: { readonly capacity?: number; readonly description?: string } = {}
): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const memory = yield* Effect.acquireRelease(
      Effect.sync(() => new Memory(backend, options.capacity ?? backend.capacity)),
      (memory) => Effect.sync(() => memory.close())
    )
    const runs = yield* Cache.make<Compiled<B>>(backend.name, ({ source }) =>
      backend.compile(source)
    )
    const folds = yield* Cache.make<CompiledFold<B>>(backend.name, ({ source, states }) =>
      backend.compileFold(source, states)
    )
    const compile = Executable.compile(memory, runs)

    const upload = (host: HostArray) =>
      Effect.flatMap(Effect.scope, (scope) => memory.upload("upload", host, scope))

    const download = (buffer: Buffer) => memory.download("download", buffer as BufferImpl<B>)

    const uploadAll = (tree: unknown) =>
      Effect.map(together(Tree.leaves<HostArray>(tree).map(upload)), (buffers) =>
        Tree.refill<never>(tree, buffers)
      )

    const downloadAll = (tree: unknown) =>
      Effect.map(Effect.forEach(Tree.leaves<Buffer>(tree), download), (arrays) =>
        Tree.refill<never>(tree, arrays)
      )

    const evaluate = Effect.fnUntraced(function* (tensors: unknown) {
      const program = yield* Program.make([], () => tensors, { name: "evaluate" })
      const executable = yield* compile(program)
      return yield* downloadAll(yield* executable.run([]))
    }, Effect.scoped)

    return {
      name: backend.name,
      description: options.description ?? backend.description,
      compile,
      fold: Fold.fold(memory, folds),
      upload: upload as Service["upload"],
      uploadAll,
      download: download as Service["download"],
      downloadAll,
      release: (tree) => release(Tree.leaves<unknown>(tree).filter(isBuffer)),
      evaluate,
      memory: Effect.sync(() => ({ ...memory.use, programs: runs.size() + folds.size() }))
    } satisfies Service
  })
