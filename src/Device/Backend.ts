/**
 * What a device must be able to do; everything else (scopes, accounting, checks of shapes, caching,
 * interruption) is the same for all and made by `Device.fromBackend`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HostArray, Spec } from "../Tensor/Expression.ts"
import type { Graph } from "../Tensor/Graph.ts"
import type { CompileError, DeviceError } from "./DeviceError.ts"

/**
 * A graph to compile, with the names that people should recognise in a profile or a model file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source {
  readonly name: string
  readonly graph: Graph
  readonly inputNames: ReadonlyArray<string>
  readonly outputNames: ReadonlyArray<string>
}

/**
 * A device's ways with memory of kind `B`, and with programs. Memory is immutable once written, and one `B`
 * may stand for several buffers; `free` is called once for each time it was handed out.
 *
 * Implementations may take for granted that shapes and dtypes fit and that nothing is used after
 * it was freed. `run` may block. Neither it nor `write` nor `read` is ever interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Backend<B> {
  /** Short, as in `ODEON_DEVICE`: `reference`, `cpu`. */
  readonly name: string
  /** For people: what it is and what it runs on. */
  readonly description: string
  /** Bytes it can hold. */
  readonly capacity: number
  readonly compile: (source: Source) => Effect.Effect<Compiled<B>, CompileError, Scope.Scope>
  /**
   * A step compiled into a loop on the device. The graph's inputs are `state` leaves, then leaves of
   * one element of the scanned arrays; its outputs the next `state` leaves, then what is stacked.
   */
  readonly compileFold: (
    source: Source,
    state: number
  ) => Effect.Effect<CompiledFold<B>, CompileError, Scope.Scope>
  readonly write: (host: HostArray) => Effect.Effect<B, DeviceError>
  readonly read: (memory: B, spec: Spec) => Effect.Effect<HostArray, DeviceError>
  readonly free: (memory: B) => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Compiled<B> {
  /** Inputs and outputs as in the graph. */
  readonly run: (inputs: ReadonlyArray<B>) => Effect.Effect<ReadonlyArray<B>, DeviceError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CompiledFold<B> {
  /**
   * `steps` steps, at least one, in one call. `scanned` arrays have at least that many elements along their first
   * axis. Gives the last state, then the stacked outputs with `steps` along their first axis.
   */
  readonly run: (
    state: ReadonlyArray<B>,
    scanned: ReadonlyArray<B>,
    steps: number
  ) => Effect.Effect<ReadonlyArray<B>, DeviceError>
}
