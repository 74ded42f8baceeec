import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Cost from "../../Tensor/Cost.ts"
import * as DType from "../../Tensor/DType.ts"
import type { HostArray, Spec } from "../../Tensor/Expression.ts"
import type { Program } from "../../Tensor/Program.ts"
import * as Programs from "../../Tensor/Program.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as Tree from "../../Tensor/Tree.ts"
import type { Backend, Compiled, CompiledFold, Source } from "../Backend.ts"
import type {
  Arguments,
  Buffer,
  Buffers,
  CompileOptions,
  Executable,
  Fold,
  FoldOptions,
  Service,
  Steps
} from "../Device.ts"
import { CompileError, DeviceError } from "../DeviceError.ts"
import { instrument, type Probe } from "./numerics.ts"

export const BufferTypeId = "~odeon/Buffer" as const

class BufferImpl<B> implements Buffer {
  readonly [BufferTypeId]: typeof BufferTypeId = BufferTypeId
  readonly shape: Shape.Shape
  readonly dtype: DType.DType
  readonly bytes: number
  readonly scope: Scope.Closeable
  readonly owner: object
  memory: B | undefined
  constructor(spec: Spec, memory: B, scope: Scope.Closeable, owner: object) {
    this.shape = spec.shape
    this.dtype = spec.dtype
    this.bytes = Shape.size(spec.shape) * DType.bytes(spec.dtype)
    this.memory = memory
    this.scope = scope
    this.owner = owner
  }
}

const isBuffer = (u: unknown): u is BufferImpl<unknown> => u instanceof BufferImpl

const showSpec = ({ dtype, shape }: Spec): string => `${dtype}${Shape.show(shape)}`

/** Calls shorter than this gain little from being longer; longer ones hold up everything else. */
const callMillis = 250

/** See `Device.fromBackend`. */
export const fromBackend = <B>(
  backend: Backend<B>,
  options?: {
    /** Bytes it may use; what the backend says unless told. */
    readonly capacity?: number
    /** For people: why this device. */
    readonly description?: string
  }
): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { name } = backend
    const capacity = options?.capacity ?? backend.capacity
    const owner = {}
    let liveBytes = 0
    let liveBuffers = 0
    let peakBytes = 0
    let programs = 0

    const fail = (
      reason: DeviceError["reason"],
      operation: string,
      specs: ReadonlyArray<Spec>,
      message: string
    ): DeviceError =>
      new DeviceError({
        reason,
        device: name,
        operation,
        shapes: specs.map(({ shape }) => shape),
        message: `${operation}: ${message}`
      })

    const free = (buffer: BufferImpl<B>): void => {
      if (buffer.memory === undefined) return
      backend.free(buffer.memory)
      buffer.memory = undefined
      liveBytes -= buffer.bytes
      liveBuffers -= 1
    }

    /** Takes memory into the books and ties it to a scope, which costs no step in which it could be lost. */
    const adopt = (scope: Scope.Scope, spec: Spec, memory: B): Effect.Effect<BufferImpl<B>> =>
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope)
        const buffer = new BufferImpl(spec, memory, own, owner)
        liveBytes += buffer.bytes
        liveBuffers += 1
        peakBytes = Math.max(peakBytes, liveBytes)
        yield* Scope.addFinalizer(
          own,
          Effect.sync(() => free(buffer))
        )
        return buffer
      })

    const reserve = (
      operation: string,
      specs: ReadonlyArray<Spec>,
      bytes: number
    ): Effect.Effect<void, DeviceError> =>
      liveBytes + bytes > capacity
        ? Effect.fail(
            fail(
              "Memory",
              operation,
              specs,
              `needs ${bytes.toLocaleString("en")} bytes, but ${name} has ${(capacity - liveBytes).toLocaleString("en")} of ${capacity.toLocaleString("en")} left: release buffers, close scopes, or use smaller batches`
            )
          )
        : Effect.sync(() => {
            peakBytes = Math.max(peakBytes, liveBytes + bytes)
          })

    const memoryOf = (operation: string, buffer: BufferImpl<B>): Effect.Effect<B, DeviceError> => {
      if (buffer.owner !== owner) {
        return Effect.fail(
          fail(
            "Foreign",
            operation,
            [buffer],
            `the buffer ${showSpec(buffer)} belongs to another device: download it there and upload it here`
          )
        )
      }
      return buffer.memory === undefined
        ? Effect.fail(
            fail(
              "Released",
              operation,
              [buffer],
              `the buffer ${showSpec(buffer)} was released, or its scope was closed: make it in a scope that lives as long as it is used`
            )
          )
        : Effect.succeed(buffer.memory)
    }

    const checkHost = (operation: string, host: HostArray): Effect.Effect<void, DeviceError> => {
      const expected = Shape.size(host.shape)
      if (!DType.holds(host.dtype, host.data)) {
        return Effect.fail(
          fail(
            "Mismatch",
            operation,
            [host],
            `the array says ${host.dtype}, but its data is a ${(host.data as object | undefined)?.constructor.name}`
          )
        )
      }
      return host.data.length === expected
        ? Effect.void
        : Effect.fail(
            fail(
              "Mismatch",
              operation,
              [host],
              `the array says ${Shape.show(host.shape)}, ${expected} elements, but its data has ${host.data.length}`
            )
          )
    }

    const upload = Effect.fnUntraced(function* (host: HostArray) {
      yield* checkHost("upload", host)
      const bytes = Shape.size(host.shape) * DType.bytes(host.dtype)
      yield* reserve("upload", [host], bytes)
      const scope = yield* Effect.scope
      return yield* Effect.uninterruptible(
        Effect.flatMap(backend.write(host), (memory) => adopt(scope, host, memory))
      )
    })

    const download = Effect.fnUntraced(function* (buffer: Buffer) {
      const memory = yield* memoryOf("download", buffer as BufferImpl<B>)
      return yield* backend.read(memory, buffer)
    })

    /** Checks what is given against what is wanted, uploading host arrays into the scope. */
    const prepare = Effect.fnUntraced(function* (
      operation: string,
      names: ReadonlyArray<string>,
      wanted: ReadonlyArray<Spec>,
      tree: unknown
    ) {
      const given = Tree.entries<Buffer | HostArray>(tree)
      if (given.length !== wanted.length) {
        return yield* fail(
          "Mismatch",
          operation,
          given.map(([, each]) => each),
          `takes ${wanted.length} arrays (${names.join(", ")}), but got ${given.length} (${given.map(([path]) => path).join(", ")})`
        )
      }
      const memory: Array<B> = []
      const byName = new Map(given)
      for (let i = 0; i < wanted.length; i++) {
        const each = byName.get(names[i])
        if (each === undefined) {
          return yield* fail(
            "Mismatch",
            operation,
            [wanted[i]],
            `misses "${names[i]}"; got ${given.map(([path]) => `"${path}"`).join(", ")}`
          )
        }
        if (each.dtype !== wanted[i].dtype || !Shape.equals(each.shape, wanted[i].shape)) {
          return yield* fail(
            "Mismatch",
            operation,
            [wanted[i], each],
            `"${names[i]}" must be ${showSpec(wanted[i])}, but is ${showSpec(each)}`
          )
        }
        const buffer = isBuffer(each) ? each : yield* upload(each as HostArray)
        memory.push(yield* memoryOf(operation, buffer as BufferImpl<B>))
      }
      return memory
    })

    const guard = (source: Source, cost: Cost.Cost): Effect.Effect<void, CompileError> => {
      const bytes = cost.inputBytes + cost.peakBytes
      return bytes > capacity
        ? Effect.fail(
            new CompileError({
              reason: "Memory",
              device: name,
              program: source.name,
              message: `${source.name} needs ${bytes.toLocaleString("en")} bytes at once, but ${name} has ${capacity.toLocaleString("en")}: use smaller batches, or checkpoints in its loops`
            })
          )
        : Effect.void
    }

    interface Kept<A> {
      readonly compiled: A
      readonly millis: number
      fresh: boolean
    }

    /** One compilation for each structure, kept while in use and a minute longer. */
    const cache = <A>(build: (source: Source) => Effect.Effect<A, CompileError, Scope.Scope>) =>
      Effect.gen(function* () {
        const sources = new Map<string, Source>()
        const map = yield* RcMap.make({
          lookup: (key: string) =>
            Effect.gen(function* () {
              const source = sources.get(key)!
              yield* guard(source, Cost.ofGraph(source.graph))
              const start = performance.now()
              yield* Effect.yieldNow
              const compiled = yield* build(source)
              programs += 1
              yield* Effect.addFinalizer(() =>
                Effect.sync(() => {
                  programs -= 1
                })
              )
              return { compiled, millis: performance.now() - start, fresh: true } as Kept<A>
            }),
          idleTimeToLive: "1 minute"
        })
        return (key: string, source: Source) =>
          Effect.suspend(() => {
            sources.set(key, source)
            return RcMap.get(map, key)
          }).pipe(
            Effect.ensuring(Effect.sync(() => sources.delete(key))),
            Effect.map((kept) => {
              const millis = kept.fresh ? kept.millis : 0
              kept.fresh = false
              return { compiled: kept.compiled, millis }
            })
          )
      })

    const runs = yield* cache<Compiled<B>>(backend.compile)
    const folds = yield* cache<CompiledFold<B>>((source) =>
      backend.compileFold(source, Number(source.name.split("\u0000")[1]))
    )

    const sourceOf = (program: Program<unknown, unknown>): Source => ({
      name: program.name,
      graph: program.graph,
      inputNames: program.inputNames,
      outputNames: program.outputNames
    })

    const compile = Effect.fnUntraced(function* <I, O>(
      program: Program<I, O>,
      options?: CompileOptions
    ) {
      const probes: ReadonlyArray<Probe> = []
      const checked =
        options?.check === undefined
          ? { graph: program.graph, probes }
          : instrument(program.graph, options.check)
      const source = {
        ...sourceOf(program),
        graph: checked.graph,
        outputNames: [...program.outputNames]
      }
      if (checked.probes.length > 0) source.outputNames.push("checks")
      const { compiled, millis } = yield* runs(checked.graph.key, source)
      const cost = Cost.ofGraph(checked.graph)
      const outputs = checked.graph.outputs.map(({ shape, dtype }) => ({ shape, dtype }))
      const operation = `run ${program.name}`

      const run = Effect.fnUntraced(function* (inputs: Arguments<I>) {
        const scope = yield* Effect.scope
        yield* Effect.yieldNow
        return yield* Effect.scoped(
          Effect.gen(function* () {
            const memory = yield* prepare(
              operation,
              program.inputNames,
              program.graph.inputs,
              inputs
            )
            yield* reserve(operation, program.graph.inputs, cost.peakBytes)
            const results = yield* Effect.uninterruptible(
              Effect.flatMap(compiled.run(memory), (produced) =>
                Effect.forEach(produced, (each, i) => adopt(scope, outputs[i], each))
              )
            )
            if (checked.probes.length > 0) yield* inspect(operation, results.pop()!, checked.probes)
            return Tree.refill<Buffers<O>>(program.outputs, results)
          })
        )
      })
      return { program, compileTime: millis, cost, run } satisfies Executable<I, O>
    })

    /** Fails with the first operation whose values were not as they should be. */
    const inspect = Effect.fnUntraced(function* (
      operation: string,
      flags: BufferImpl<B>,
      probes: ReadonlyArray<Probe>
    ) {
      const { data } = yield* download(flags)
      yield* Scope.close(flags.scope, Exit.void)
      const first = probes.findIndex((_, i) => Number(data[i]) !== 0)
      if (first >= 0) {
        const { label, inputs, output } = probes[first]
        return yield* fail(
          "NotFinite",
          label,
          [...inputs, output],
          `gave a value that is not finite, in ${operation}, as ${showSpec(output)} from (${inputs.map(showSpec).join(", ")})`
        )
      }
    })

    const fold = Effect.fnUntraced(function* <S, X, Y>(
      program: Program<readonly [S, X], readonly [S, Y]>
    ) {
      const [stateSpecs, elementSpecs] = program.inputs.map((each) => Tree.leaves<Spec>(each))
      const [nextSpecs, resultSpecs] = program.outputs.map((each) => Tree.leaves<Spec>(each))
      const states = stateSpecs.length
      const stays =
        nextSpecs.length === states &&
        nextSpecs.every(
          (each, i) =>
            each.dtype === stateSpecs[i].dtype && Shape.equals(each.shape, stateSpecs[i].shape)
        )
      if (!stays) {
        return yield* new CompileError({
          reason: "Failed",
          device: name,
          program: program.name,
          message: `${program.name} is no step: its state is (${stateSpecs.map(showSpec).join(", ")}), but becomes (${nextSpecs.map(showSpec).join(", ")}); a state keeps its shapes and dtypes`
        })
      }
      const source = sourceOf(program)
      const { compiled, millis } = yield* folds(`${states}|${program.graph.key}`, {
        ...source,
        name: `${source.name}\u0000${states}`
      })
      const cost = Cost.ofGraph(program.graph)
      const operation = `fold ${program.name}`
      const stateNames = program.inputNames.slice(0, states)
      const elementNames = program.inputNames.slice(states)
      const unprefixed = (names: ReadonlyArray<string>) =>
        names.map((each) => each.replace(/^[01]\.?/, ""))

      const run = Effect.fnUntraced(function* (
        state: Arguments<S>,
        inputs: Steps<X>,
        options?: FoldOptions
      ) {
        const arrays = Tree.leaves<HostArray>(inputs)
        const steps = options?.steps ?? arrays[0]?.shape[0]
        if (steps === undefined || !Number.isInteger(steps) || steps < 0) {
          return yield* fail(
            "Mismatch",
            operation,
            arrays,
            "needs `steps`, since there are no inputs to count"
          )
        }
        for (const [i, each] of arrays.entries()) {
          yield* checkHost(operation, each)
          const wanted = elementSpecs[i]
          if (
            wanted === undefined ||
            each.dtype !== wanted.dtype ||
            !Shape.equals(each.shape.slice(1), wanted.shape) ||
            each.shape[0] < steps
          ) {
            return yield* fail(
              "Mismatch",
              operation,
              [each],
              `"${elementNames[i]}" must be ${wanted === undefined ? "absent" : showSpec({ dtype: wanted.dtype, shape: [steps, ...wanted.shape] })}, but is ${showSpec(each)}`
            )
          }
        }
        if (arrays.length !== elementSpecs.length) {
          return yield* fail(
            "Mismatch",
            operation,
            arrays,
            `takes ${elementSpecs.length} arrays of inputs, but got ${arrays.length}`
          )
        }
        const scope = yield* Effect.scope
        const outputs = resultSpecs.map(({ shape, dtype }) => ({
          shape: [steps, ...shape],
          dtype,
          data: DType.allocate(dtype, steps * Shape.size(shape))
        }))
        // the state between two calls lives in a scope of its own
        let holder = yield* Scope.fork(scope)
        let memory = yield* prepare(operation, unprefixed(stateNames), stateSpecs, state).pipe(
          Scope.provide(holder)
        )
        let buffers: ReadonlyArray<BufferImpl<B>> | undefined
        let done = 0
        let perCall = options?.stepsPerCall ?? 1
        while (done < steps || buffers === undefined) {
          yield* Effect.yieldNow
          const count = Math.min(perCall, steps - done)
          const next = yield* Scope.fork(scope)
          const start = performance.now()
          const chunk = arrays.map(({ shape, dtype, data }) => {
            const width = Shape.size(shape.slice(1))
            return {
              dtype,
              shape: [count, ...shape.slice(1)],
              data: data.subarray(done * width, (done + count) * width)
            } as HostArray
          })
          const at = done
          const produced = yield* Effect.scoped(
            Effect.gen(function* () {
              const uploaded = yield* Effect.forEach(chunk, upload)
              const scanned = yield* Effect.forEach(uploaded, (each) => memoryOf(operation, each))
              yield* reserve(
                operation,
                stateSpecs,
                cost.peakBytes + Cost.bytes(stateSpecs as Array<Spec>)
              )
              return yield* Effect.uninterruptible(
                Effect.gen(function* () {
                  const results = yield* compiled.run(memory, scanned, count)
                  const kept = yield* Effect.forEach(results.slice(0, states), (each, i) =>
                    adopt(next, stateSpecs[i], each)
                  )
                  for (const [i, each] of results.slice(states).entries()) {
                    const spec = {
                      dtype: resultSpecs[i].dtype,
                      shape: [count, ...resultSpecs[i].shape]
                    }
                    const { data } = yield* Effect.ensuring(
                      backend.read(each, spec),
                      Effect.sync(() => backend.free(each))
                    )
                    outputs[i].data.set(data as never, at * Shape.size(resultSpecs[i].shape))
                  }
                  return kept
                })
              )
            })
          )
          const elapsed = performance.now() - start
          yield* Scope.close(holder, Exit.void)
          holder = next
          buffers = produced
          memory = yield* Effect.forEach(produced, (each) => memoryOf(operation, each))
          done += count
          if (options?.stepsPerCall === undefined && count > 0) {
            perCall = Math.max(
              1,
              Math.min(perCall * 8, Math.floor((callMillis * count) / Math.max(elapsed, 0.01)))
            )
          }
        }
        return [
          Tree.refill<Buffers<S>>(program.outputs[0], buffers),
          Tree.refill<Steps<Y>>(program.outputs[1], outputs)
        ] as const
      })
      return { program, compileTime: millis, cost, run } satisfies Fold<S, X, Y>
    })

    const uploadAll = Effect.fnUntraced(function* (tree: unknown) {
      const buffers = yield* Effect.forEach(Tree.leaves<HostArray>(tree), upload)
      return Tree.refill<never>(tree, buffers)
    })

    const downloadAll = Effect.fnUntraced(function* (tree: unknown) {
      const arrays = yield* Effect.forEach(Tree.leaves<Buffer>(tree), download)
      return Tree.refill<never>(tree, arrays)
    })

    const evaluate = (tensors: unknown) =>
      Effect.scoped(
        Effect.gen(function* () {
          const program = yield* Programs.make([], () => tensors, { name: "evaluate" })
          const executable = yield* compile(program)
          return yield* downloadAll(yield* executable.run([]))
        })
      )

    return {
      name,
      description: options?.description ?? backend.description,
      compile,
      fold,
      upload: upload as Service["upload"],
      uploadAll,
      download: download as Service["download"],
      downloadAll,
      release: (tree) =>
        Effect.forEach(
          Tree.leaves<BufferImpl<B>>(tree),
          (buffer) => Scope.close(buffer.scope, Exit.void),
          { discard: true }
        ),
      evaluate,
      memory: Effect.sync(() => ({ liveBytes, peakBytes, liveBuffers, programs }))
    } satisfies Service
  })
