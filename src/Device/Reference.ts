/**
 * The device that others are compared with: slow, exact and simple, in plain TypeScript.
 *
 * Each primitive computes in `float64` and rounds once, when its result is stored. So a `float32`
 * program has each of its operations correctly rounded where `float64` can tell (sums, products,
 * quotients and square roots: to the bit what IEEE 754 hardware gives), and sums over axes, matrix
 * products and convolutions have one rounding in all. `int32` and `uint32` wrap at 32 bits, `int64` at 64.
 *
 * Where others differ among themselves, it keeps to IEEE 754 and to NumPy: `minimum`, `maximum`, `min`
 * and `max` give NaN where there is one; `argMax` and `argSort` take NaN for greater than all else;
 * `pow` gives 1 for 1^NaN; `remainder` has the divisor's sign, that of a zero included. An integer
 * divided by zero and an index out of range are a `DeviceError`.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"
import { allocate, type Data, type DType } from "../Tensor/DType.ts"
import type { Spec } from "../Tensor/Expression.ts"
import type * as Backend from "./Backend.ts"
import { CompileError, DeviceError } from "./DeviceError.ts"
import { iterated } from "./reference/control.ts"
import type { Plan } from "./reference/kernel.ts"
import { plan } from "./reference/plan.ts"

/**
 * A compiled program that knows what it needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Compiled extends Backend.Compiled<Data> {
  /**
   * The most bytes that a run's intermediates and outputs take at once, besides its inputs and constants. Values that
   * are views of inputs or constants take none. The scratch of a single operation does not count.
   */
  readonly workspace: number
}

/**
 * A compiled step that knows what it needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface CompiledFold extends Backend.CompiledFold<Data> {
  /** The most bytes that the intermediates and outputs of one step take at once; stacked outputs come on top. */
  readonly workspace: number
}

const prepare = ({ name, graph }: Backend.Source): Effect.Effect<Plan, CompileError> =>
  Effect.try({
    try: () => plan(graph.inputs, graph.outputs),
    catch: (cause) =>
      new CompileError({
        reason: "Failed",
        device: "reference",
        program: name,
        message: `${name}: ${cause instanceof Error ? cause.message : cause}`,
        cause
      })
  })

/** Runs what may throw a `DeviceError`, or anything when memory is short. */
const attempt = <A>(
  operation: string,
  specs: ReadonlyArray<Spec>,
  run: () => A
): Effect.Effect<A, DeviceError> =>
  Effect.try({
    try: run,
    catch: (cause) =>
      cause instanceof DeviceError
        ? cause
        : new DeviceError({
            reason: cause instanceof RangeError ? "Memory" : "Failed",
            device: "reference",
            operation,
            shapes: specs.map(({ shape }) => shape),
            message: `${operation}: ${cause instanceof Error ? cause.message : cause}`,
            cause
          })
  })

/** A copy. (`slice` would not do: that of a `Buffer`, which holds bools too, is a view.) */
const copied = <D extends DType>(dtype: D, data: Data): Data<D> => {
  const copy = allocate(dtype, data.length)
  copy.set(data as never)
  return copy
}

/** Memory of its own, so that a result that is part of a larger array does not keep that one alive. */
const owned =
  (specs: ReadonlyArray<Spec>) =>
  (data: Data, i: number): Data =>
    data.byteLength < data.buffer.byteLength ? copied(specs[i].dtype, data) : data

/**
 * Programs interpreted in this process, in the memory of this process. A run blocks the event loop.
 *
 * @since 0.1.0
 * @category backends
 */
export const backend = {
  name: "reference",
  description:
    "plain TypeScript in float64: slow, exact, the one that other devices are compared with",
  capacity: Math.min(Os.totalmem(), process.constrainedMemory() || Infinity),
  compile: (source: Backend.Source): Effect.Effect<Compiled, CompileError> =>
    Effect.map(prepare(source), ({ run, workspace }) => ({
      workspace,
      run: (inputs) =>
        attempt(source.name, source.graph.inputs, () =>
          run(inputs).map(owned(source.graph.outputs))
        )
    })),
  compileFold: (source: Backend.Source, state: number): Effect.Effect<CompiledFold, CompileError> =>
    Effect.map(prepare(source), (step) => {
      const { inputs, outputs } = source.graph
      const run = iterated(step, inputs.slice(state), outputs.slice(state))
      return {
        workspace: step.workspace,
        run: (states, scanned, steps) =>
          attempt(source.name, inputs, () =>
            run(states, scanned, [], steps, false).map(owned(outputs))
          )
      }
    }),
  write: (host) => attempt("upload", [host], () => copied(host.dtype, host.data)),
  read: (memory, { shape, dtype }) =>
    attempt("download", [{ shape, dtype }], () => ({ shape, dtype, data: copied(dtype, memory) })),
  // the garbage collector does
  free: (_memory: Data) => {}
} satisfies Backend.Backend<Data>
