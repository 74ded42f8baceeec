/**
 * Programs as `.onnx` files: to look at in a viewer, and to run elsewhere or again.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HostArray } from "../Tensor/Expression.ts"
import type { Source } from "./Backend.ts"
import { CompileError, DeviceError, type DeviceUnavailable } from "./DeviceError.ts"
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
    const partial = `${path}.${process.pid}.part`
    return Effect.tryPromise({
      try: async () => {
        await Fs.writeFile(partial, bytes)
        await Fs.rename(partial, path)
      },
      catch: (cause) => fileError(program.name, path, "be written", cause)
    }).pipe(
      Effect.onError(() => Effect.promise(() => Fs.rm(partial, { force: true }).catch(() => {})))
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
      catch: (cause) => fileError(path, path, "be read", cause)
    })
    const backend = yield* Onnx.backend
    const { inputs, outputs, run } = yield* Onnx.loadModel(bytes, path)
    const names = inputs.map(({ name }) => name)
    return {
      inputs,
      outputs,
      run: Effect.fnUntraced(function* (arrays: Readonly<Record<string, HostArray>>) {
        for (const { name, dtype } of inputs) {
          const given = arrays[name]
          if (given?.dtype !== dtype) {
            return yield* new DeviceError({
              reason: "Mismatch",
              device: backend.name,
              operation: path,
              shapes: given === undefined ? [] : [given.shape],
              message: `${path}: the input "${name}" must be ${dtype}, but is ${given?.dtype ?? "missing"}; it takes ${names.join(", ")}`
            })
          }
        }
        const memory = yield* Effect.forEach(inputs, ({ name }) => backend.write(arrays[name]))
        const results = yield* run(memory)
        const read = yield* Effect.forEach(results, (each, i) =>
          Effect.map(
            backend.read(each, { dtype: outputs[i].dtype, shape: each.dims }),
            (array) => [outputs[i].name, array] as const
          )
        )
        return Object.fromEntries(read)
      })
    }
  })

const fileError = (program: string, path: string, what: string, cause: unknown): CompileError =>
  new CompileError({
    reason: "Failed",
    device: "cpu",
    program,
    message: `${path} cannot ${what}: ${cause instanceof Error ? cause.message : cause}`,
    cause
  })
