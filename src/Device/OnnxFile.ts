/**
 * Programs as `.onnx` files: to look at in a viewer, and to run elsewhere or again.
 *
 * @since 0.1.0
 */
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HostArray, Spec } from "../Tensor/Expression.ts"
import type { Source } from "./Backend.ts"
import { CompileError, type DeviceError, type DeviceUnavailable } from "./DeviceError.ts"
import { failures, show } from "./internal/errors.ts"
import { isSpec, misfit } from "./internal/memory.ts"
import * as Onnx from "./Onnx.ts"

/**
 * Writes a program as a model of standard operators, whole or not at all: the file appears under its name when it
 * is complete. Inputs and outputs have the program's names.
 *
 * @since 0.1.0
 * @category files
 */
export const write = (program: Source, path: string): Effect.Effect<void, CompileError> =>
  Effect.flatMap(Onnx.toModel(program), (bytes) => {
    const partial = `${path}.${randomUUID()}.part`
    return Effect.tryPromise({
      try: async () => {
        await Fs.writeFile(partial, bytes)
        await Fs.rename(partial, path)
      },
      catch: (cause) => fileError(program.name, path, "written", cause)
    }).pipe(
      Effect.onError(() => Effect.promise(() => Fs.rm(partial, { force: true }).catch(() => {}))),
      Effect.uninterruptible
    )
  })

/**
 * A model from a file, ready to run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Model {
  readonly inputs: ReadonlyArray<Onnx.Port>
  readonly outputs: ReadonlyArray<Onnx.Port>
  /** Arrays by the names of the inputs → arrays by the names of the outputs. */
  readonly run: (
    inputs: Readonly<Record<string, HostArray>>
  ) => Effect.Effect<Readonly<Record<string, HostArray>>, DeviceError>
}

/**
 * Reads a model, whoever wrote it. `CompileError`: `Failed` for a file that cannot be read, `Corrupt` for one that is no
 * model or a damaged one, `Unsupported` for operators that ONNX Runtime does not have.
 *
 * @since 0.1.0
 * @category files
 */
export const read = (
  path: string
): Effect.Effect<Model, CompileError | DeviceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const bytes = yield* Effect.tryPromise({
      try: () => Fs.readFile(path),
      catch: (cause) => fileError(path, path, "read", cause)
    })
    const backend = yield* Onnx.backend
    const { inputs, outputs, run } = yield* Onnx.loadModel(bytes, path)
    const failure = failures(backend.name)
    return {
      inputs,
      outputs,
      run: Effect.fnUntraced(function* (given: Readonly<Record<string, HostArray>>) {
        const why = mismatch(inputs, given)
        if (why !== undefined) {
          return yield* failure("Mismatch", path, Object.values<Spec>(given).filter(isSpec), why)
        }
        const memory = yield* Effect.forEach(inputs, ({ name }) => backend.write(given[name]))
        const results = yield* run(memory)
        const arrays = yield* Effect.forEach(results, (each, i) =>
          backend.read(each, { dtype: outputs[i].dtype, shape: each.dims })
        )
        return Object.fromEntries(arrays.map((array, i) => [outputs[i].name, array]))
      })
    }
  })

/** Why a model cannot take what it is given. */
const mismatch = (
  ports: ReadonlyArray<Onnx.Port>,
  given: Readonly<Record<string, HostArray>>
): string | undefined => {
  const takes = ports.map((port) => `"${port.name}" ${showPort(port)}`).join(", ")
  const extra = Object.keys(given).find((name) => ports.every((port) => port.name !== name))
  if (extra !== undefined) return `has no input "${extra}"; leave it out: it takes ${takes}`
  for (const port of ports) {
    const array = given[port.name]
    if (array === undefined) return `misses the input "${port.name}"; it takes ${takes}`
    const why = misfit(array)
    if (why !== undefined) return why
    if (array.dtype !== port.dtype || !fits(array.shape, port.shape)) {
      return `"${port.name}" must be ${showPort(port)}, but is ${show(array)}; give an array of that shape and dtype`
    }
  }
  return undefined
}

/** Sizes that have a name may be any. */
const fits = (shape: ReadonlyArray<number>, wanted: Onnx.Port["shape"]): boolean =>
  shape.length === wanted.length &&
  wanted.every((size, i) => typeof size === "string" || size === shape[i])

const showPort = ({ dtype, shape }: Onnx.Port): string =>
  `${dtype}[${shape.map((size) => (size === "" ? "?" : size)).join(", ")}]`

const fileError = (program: string, path: string, done: string, cause: unknown): CompileError =>
  new CompileError({
    reason: "Failed",
    device: "cpu",
    program,
    message: `${path} cannot be ${done}: ${cause instanceof Error ? cause.message : cause}; see that its folder is there and may be used`,
    cause
  })
