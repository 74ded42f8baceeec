/**
 * The default device: ONNX Runtime on the processor.
 *
 * A program becomes an ONNX graph, which the runtime optimises and runs on all cores. A fold becomes one
 * `Loop`, so that its state stays inside the runtime from the first step of a call to the last.
 *
 * It gives what `Reference` gives up to rounding, for every primitive and dtype, except that
 *
 * - `argMax` may pass over NaN, and `argSort` takes NaN for infinity;
 * - `max` and `min` pass over NaN where the result is only taken away from the operand, as in softmax;
 * - `sigmoid` of `float32` is 0 below about −18;
 * - powers of integers are exact up to 2⁵³ only.
 *
 * {@link toModel} gives the graph as a file for other programs, {@link loadModel} takes such a file.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Ort from "onnxruntime-node"
import * as DType from "../Tensor/DType.ts"
import type { HostArray, Spec } from "../Tensor/Expression.ts"
import type * as Backend from "./Backend.ts"
import { CompileError, DeviceError, DeviceUnavailable } from "./DeviceError.ts"
import type { Options } from "./onnx/Emitter.ts"
import { type Lowered, lower, lowerFold } from "./onnx/lower.ts"
import { type Attribute, encode, type Graph } from "./onnx/Model.ts"
import { blockSize } from "./onnx/probe.ts"

/**
 * An array as the runtime holds it. The garbage collector frees it.
 *
 * @since 0.1.0
 * @category models
 */
export type Memory = Ort.Tensor

/**
 * A model that was loaded from a file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Loaded extends Backend.Compiled<Memory> {
  readonly inputs: ReadonlyArray<Port>
  readonly outputs: ReadonlyArray<Port>
}

/**
 * An input or output of a model. A size that is known only when the model runs has a name instead, or
 * none: `""`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Port {
  readonly name: string
  readonly dtype: DType.DType
  readonly shape: ReadonlyArray<number | string>
}

const device = "cpu"

type Runtime = typeof Ort

const runtime: Effect.Effect<Runtime, DeviceUnavailable> = Effect.tryPromise({
  try: async () => {
    const module = await import("onnxruntime-node")
    return "default" in module ? (module.default as Runtime) : module
  },
  catch: (cause) =>
    new DeviceUnavailable({
      device,
      message: `the device "cpu" needs the package onnxruntime-node, which cannot be loaded here (${said(cause)}): run npm install onnxruntime-node; it has builds for Linux (glibc), macOS (arm64) and Windows, x64 and arm64`,
      cause
    })
})

/** How many threads `ODEON_THREADS` asks for; `undefined` where it asks for none, or for what is no number of threads. */
const asked = (): number | undefined => {
  const { ODEON_THREADS = "" } = process.env
  return /^[1-9]\d{0,3}$/.test(ODEON_THREADS) ? Number(ODEON_THREADS) : undefined
}

const threadsKnown: Effect.Effect<void, DeviceUnavailable> = Effect.suspend(() => {
  const { ODEON_THREADS = "" } = process.env
  return ODEON_THREADS === "" || asked() !== undefined
    ? Effect.void
    : Effect.fail(
        new DeviceUnavailable({
          device,
          message: `ODEON_THREADS must be a whole number of at least 1, not "${ODEON_THREADS}"`
        })
      )
})

/** For people, where it is told. */
const toldThreads = (): string => {
  const count = asked()
  return count === undefined ? "" : `, ${count} thread${count === 1 ? "" : "s"} by ODEON_THREADS`
}

// where a container has fewer cores than its machine, the runtime would not know
const available = Os.availableParallelism() < Os.cpus().length ? Os.availableParallelism() : 0

const sessionOptions = (): Ort.InferenceSession.SessionOptions => ({
  executionProviders: ["cpu"],
  executionMode: "sequential",
  intraOpNumThreads: asked() ?? available,
  // errors come as exceptions; nothing is to be printed
  logSeverityLevel: 4
})

/** Settings of the runtime's rewriting. */
const rewriting = (dtypes: ReadonlySet<DType.DType>) => ({
  // large arrays that are quick to make are not to be made once for all and kept
  constant_folding_max_output_size_in_bytes: String(2 ** 24),
  disable_specified_optimizers: [
    // x/u from x·(1/u) still asks for what x was where x + 0, x − 0, x·1 or x/1 was left out, and the graph is refused
    "DivMulFusion",
    // a factor that becomes part of a matrix product is rounded to `float32`
    ...(dtypes.has("float64") ? ["MatMulScaleFusion"] : [])
  ].join(";")
})

/**
 * Operators up to which the runtime may rewrite a graph. Its passes take time quadratic in the length of a chain and its
 * derivative: 0.9 s for 5,000, 3.5 s for 10,000, 46 s for 22,000, where 0.6 s do without.
 */
const rewritable = 8000

/** A session that is released when the scope closes. */
const open = (
  ort: Runtime,
  bytes: Uint8Array,
  failed: (cause: unknown) => CompileError,
  operators = 0,
  dtypes: ReadonlySet<DType.DType> = new Set()
): Effect.Effect<Ort.InferenceSession, CompileError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () =>
        ort.InferenceSession.create(bytes, {
          ...sessionOptions(),
          graphOptimizationLevel: operators > rewritable ? "disabled" : "all",
          extra: { optimization: rewriting(dtypes) }
        }),
      catch: failed
    }),
    (session) => Effect.promise(() => session.release())
  )

/** What the runtime says, without its source files. */
const said = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause))
    .replace(/\/onnxruntime_src\/\S+:\d+ /g, "")
    .replace(/\s+/g, " ")
    .trim()

const isAboutMemory = (message: string): boolean =>
  /bad_alloc|failed to allocate|out of memory|array buffer allocation|SafeIntOnOverflow/i.test(
    message
  )

const compileError = (program: string) => (cause: unknown) => {
  if (cause instanceof CompileError) return cause
  const message = said(cause)
  const memory = isAboutMemory(message)
  return new CompileError({
    reason: memory ? "Memory" : "Failed",
    device,
    program,
    message: memory
      ? `${program}: compiling needs more memory than there is (${message}); take smaller batches or constants`
      : `${program}: ONNX Runtime does not take the program: ${message}`,
    cause
  })
}

const deviceError = (operation: string, specs: ReadonlyArray<Spec>) => (cause: unknown) => {
  const message = said(cause)
  const memory = isAboutMemory(message)
  return new DeviceError({
    reason: memory ? "Memory" : "Failed",
    device,
    operation,
    shapes: specs.map(({ shape }) => shape),
    message: memory
      ? `${operation}: the run needs more memory than there is (${message}); take smaller batches`
      : `${operation}: ${message}`,
    cause
  })
}

/** Bytes in one model file at most, by the format. */
const limit = 2 ** 31 - 1

/** Bytes of the constants of a graph and of those inside it. */
const constantBytes = ({ initializers, nodes }: Graph): number => {
  const inner = nodes.flatMap(({ attributes }) => Object.values(attributes)).filter(isGraph)
  return (
    initializers.reduce((sum, { data }) => sum + data.byteLength, 0) +
    inner.reduce((sum, graph) => sum + constantBytes(graph), 0)
  )
}

const isGraph = (attribute: Attribute): attribute is Graph =>
  typeof attribute === "object" && "nodes" in attribute

const encoded = (program: string, { model }: Lowered): Uint8Array<ArrayBuffer> => {
  const constants = constantBytes(model.graph)
  if (constants > limit) {
    throw new CompileError({
      reason: "Memory",
      device,
      program,
      message: `${program}: its constants take ${constants} bytes, and a model holds at most ${limit}; make large arrays inputs of the program`
    })
  }
  return encode(model)
}

/** Runs a session on some values; the names tell what each of the program's outputs is. */
const runner =
  (
    session: Ort.InferenceSession | undefined,
    outputs: ReadonlyArray<string | number>,
    failed: (cause: unknown) => DeviceError
  ) =>
  (
    names: ReadonlyArray<string>,
    values: ReadonlyArray<Memory>,
    passed: ReadonlyArray<Memory>
  ): Effect.Effect<ReadonlyArray<Memory>, DeviceError> =>
    Effect.tryPromise({
      try: async () => {
        const feeds: Record<string, Memory> = {}
        names.forEach((name, i) => {
          feeds[name] = values[i]
        })
        const results = session === undefined ? {} : await session.run(feeds)
        return outputs.map((from) => (typeof from === "number" ? passed[from] : results[from]))
      },
      catch: failed
    })

/** A session for a lowered program; none where nothing is computed. */
const session = (
  ort: Runtime,
  source: Backend.Source,
  make: () => Lowered
): Effect.Effect<
  { readonly lowered: Lowered; readonly session: Ort.InferenceSession | undefined },
  CompileError,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const failed = compileError(source.name)
    const { bytes, lowered } = yield* Effect.try({
      try: () => {
        const lowered = make()
        return { lowered, bytes: encoded(source.name, lowered) }
      },
      catch: failed
    })
    const { nodes, outputs } = lowered.model.graph
    if (outputs.length === 0) return { lowered, session: undefined }
    return { lowered, session: yield* open(ort, bytes, failed, nodes.length, lowered.dtypes) }
  })

const toTensor = (ort: Runtime, { data, dtype, shape }: HostArray): Memory =>
  new ort.Tensor(dtype, data.slice() as Ort.Tensor.DataType, shape)

const toHost = ({ data }: Memory, { dtype, shape }: Spec): HostArray => {
  if (DType.holds(dtype, data)) return { dtype, shape, data: data.slice() }
  // where JavaScript has arrays of float16, the runtime gives one
  const { buffer, byteLength, byteOffset } = data as unknown as Uint8Array
  const bits = new Uint16Array(buffer, byteOffset, byteLength / 2)
  return { dtype, shape, data: bits.slice() }
}

const backendOf = (ort: Runtime, options: Options): Backend.Backend<Memory> => ({
  name: device,
  description: `ONNX Runtime ${ort.env.versions.node ?? ""} on the processor (${Os.cpus()[0]?.model.trim() ?? Os.arch()}, ${Os.availableParallelism()} cores${toldThreads()})`,
  capacity: Math.min(Os.totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
  compile: (source) =>
    Effect.map(
      session(ort, source, () => lower(source, options, false)),
      ({ lowered, session }) => {
        const run = runner(session, lowered.outputs, deviceError(source.name, source.graph.inputs))
        return { run: (inputs) => run(lowered.inputs, inputs, inputs) }
      }
    ),
  compileFold: (source, state) =>
    Effect.map(
      session(ort, source, () => lowerFold(source, state, options)),
      ({ lowered, session }) => {
        const run = runner(session, lowered.outputs, deviceError(source.name, source.graph.inputs))
        return {
          run: (states, scanned, steps) => {
            const count = new ort.Tensor("int64", BigInt64Array.of(BigInt(steps)), [])
            return run(lowered.inputs, [count, ...states, ...scanned], states)
          }
        }
      }
    ),
  write: (host) =>
    Effect.try({ try: () => toTensor(ort, host), catch: deviceError("upload", [host]) }),
  read: (memory, spec) =>
    Effect.try({ try: () => toHost(memory, spec), catch: deviceError("download", [spec]) }),
  free: () => {}
})

/**
 * Programs on the processor, by ONNX Runtime. It uses all cores, or as many threads as `ODEON_THREADS` tells: one for each of many
 * processes side by side. Fails where the package is not installed or has no build for this machine, and says what to install; and
 * where `ODEON_THREADS` is no number.
 *
 * @since 0.1.0
 * @category backends
 */
export const backend: Effect.Effect<Backend.Backend<Memory>, DeviceUnavailable> = Effect.flatMap(
  Effect.andThen(threadsKnown, runtime),
  (ort) =>
    Effect.map(
      Effect.promise(() => blockSize(ort)),
      (block) => backendOf(ort, { portable: false, block })
    )
)

/**
 * A program as the bytes of an `.onnx` file, of standard operators only (operator set 21). The names of
 * inputs and outputs are the program's; where one is taken, a number is appended.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toModel = (source: Backend.Source): Effect.Effect<Uint8Array, CompileError> =>
  Effect.try({
    try: () => encoded(source.name, lower(source, { portable: true, block: undefined }, true)),
    catch: compileError(source.name)
  })

/**
 * A model from the bytes of an `.onnx` file. `Corrupt` if they are no model, or a damaged one; `Unsupported` if
 * it has operators that the runtime does not know, or values that are no tensors of a `DType`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const loadModel = (
  bytes: Uint8Array,
  name = "model"
): Effect.Effect<Loaded, CompileError | DeviceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const ort = yield* runtime
    const session = yield* open(ort, bytes, loadError(name))
    const inputs = yield* ports(name, session.inputMetadata)
    const outputs = yield* ports(name, session.outputMetadata)
    const run = runner(
      session,
      outputs.map((each) => each.name),
      deviceError(name, [])
    )
    return {
      inputs,
      outputs,
      run: (values) =>
        run(
          inputs.map((each) => each.name),
          values,
          []
        )
    }
  })

const loadError = (program: string) => (cause: unknown) => {
  const message = said(cause)
  const reason = isAboutMemory(message)
    ? "Memory"
    : /no op registered|not a registered function|could not find an implementation|unsupported data type/i.test(
          message
        )
      ? "Unsupported"
      : "Corrupt"
  const why =
    reason === "Corrupt"
      ? "this is no ONNX model, or a damaged one"
      : reason === "Memory"
        ? "the model needs more memory than there is"
        : "the runtime does not have all that the model uses"
  return new CompileError({
    reason,
    device,
    program,
    message: `${program}: ${why}: ${message}`,
    cause
  })
}

const ports = (
  program: string,
  metadata: ReadonlyArray<Ort.InferenceSession.ValueMetadata>
): Effect.Effect<ReadonlyArray<Port>, CompileError> =>
  Effect.forEach(metadata, (each) => {
    const dtype = DType.all.find((dtype) => each.isTensor && each.type === dtype)
    if (each.isTensor && dtype !== undefined) {
      return Effect.succeed({ name: each.name, dtype, shape: each.shape })
    }
    return Effect.fail(
      new CompileError({
        reason: "Unsupported",
        device,
        program,
        message: `${program}: "${each.name}" is ${each.isTensor ? `a tensor of ${each.type}` : "no tensor"}; only ${DType.all.join(", ")} can pass in and out`
      })
    )
  })
