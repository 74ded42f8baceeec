/**
 * Devices: what owns memory and runs programs.
 *
 * Arrays on a device are buffers. A buffer belongs to the scope in which it was made and is gone when
 * that scope closes, by success, failure or interruption; `memory` accounts for every byte. Programs are compiled
 * once for each structure, however often they are built. `run` runs a program once; `fold` carries a state through
 * many steps in few calls, and the state stays on the device.
 *
 * A call blocks the event loop while it runs; interruption acts between calls.
 *
 * ```ts
 * const sum = Effect.gen(function*() {
 *   const device = yield* Device.Device
 *   const program = yield* Program.make({ x: Tensor.spec([3]) }, ({ x }) => Tensor.sum(x))
 *   const executable = yield* device.compile(program)
 *   const result = yield* executable.run({ x: Tensor.hostArray([1, 2, 3]) })
 *   return yield* device.download(result)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Cost from "../Tensor/Cost.ts"
import type * as DType from "../Tensor/DType.ts"
import type { HostArray, Spec } from "../Tensor/Expression.ts"
import type { HostArrays, Program, Specs } from "../Tensor/Program.ts"
import type * as Shape from "../Tensor/Shape.ts"
import type { TensorError } from "../Tensor/TensorError.ts"
import type { Backend } from "./Backend.ts"
import { type CompileError, type DeviceError, DeviceUnavailable } from "./DeviceError.ts"
import * as auto from "./internal/auto.ts"
import type { BufferTypeId } from "./internal/memory.ts"
import type { Check } from "./internal/numerics.ts"
import * as internal from "./internal/service.ts"
import * as Onnx from "./Onnx.ts"
import * as Reference from "./Reference.ts"

/**
 * @since 0.1.0
 * @category symbols
 */
export { BufferTypeId } from "./internal/memory.ts"

/**
 * An array in a device's memory. It lives as long as the scope it was made in, or until it is released.
 *
 * @since 0.1.0
 * @category models
 */
export interface Buffer<
  out S extends Shape.Shape = Shape.Shape,
  out D extends DType.DType = DType.DType
> extends Spec<S, D> {
  readonly [BufferTypeId]: typeof BufferTypeId
  readonly bytes: number
}

/**
 * The tree `T` of specs as a tree of buffers.
 *
 * @since 0.1.0
 * @category types
 */
export type Buffers<T> =
  T extends Spec<infer S, infer D> ? Buffer<S, D> : { readonly [K in keyof T]: Buffers<T[K]> }

/**
 * The tree `T` of specs as what a program takes: buffers, or host arrays, which are uploaded for the call. Types hold
 * ranks and dtypes to account; sizes, which arrays from outside seldom carry in their types, are checked by the call.
 *
 * @since 0.1.0
 * @category types
 */
export type Arguments<T> =
  T extends Spec<infer S, infer D>
    ? Buffer<Shape.SameRank<S>, D> | HostArray<Shape.SameRank<S>, D>
    : { readonly [K in keyof T]: Arguments<T[K]> }

/**
 * The tree `T` of specs as what a fold takes: arrays with the steps along a first axis more. Sizes are checked by
 * the call, as in {@link Arguments}.
 *
 * @since 0.1.0
 * @category types
 */
export type StepArguments<T> =
  T extends Spec<infer S, infer D>
    ? HostArray<readonly [number, ...Shape.SameRank<S>], D>
    : { readonly [K in keyof T]: StepArguments<T[K]> }

/**
 * The tree `T` of specs as host arrays with the steps along a first axis more.
 *
 * @since 0.1.0
 * @category types
 */
export type Steps<T> =
  T extends Spec<infer S, infer D>
    ? HostArray<readonly [number, ...S], D>
    : { readonly [K in keyof T]: Steps<T[K]> }

/**
 * @since 0.1.0
 * @category models
 */
export interface MemoryUse {
  /** Bytes of all buffers alive. */
  readonly liveBytes: number
  /** The most bytes there were at once, the intermediate values of programs included (see `Cost.peakBytes`). */
  readonly peakBytes: number
  /** Number of buffers alive. */
  readonly liveBuffers: number
  /** Number of compiled programs held. */
  readonly programs: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CompileOptions {
  /**
   * Look at every float that the program computes, and fail with the first operation that gives `"nan"` or, with
   * `"finite"`, also an infinity; in a fold, with the step too. Scans are looked into, a `whileLoop` only at its end.
   * It slows the program down; for finding where it happens.
   */
  readonly check?: Check
}

/**
 * A program bound to a device, for as long as the scope lasts that it was compiled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Executable<I, O> {
  readonly program: Program<I, O>
  /** Milliseconds that the compilation took; 0 if the program was there already. */
  readonly compileTime: number
  readonly cost: Cost.Cost
  /** One run. The result belongs to the caller's scope. */
  readonly run: (inputs: Arguments<I>) => Effect.Effect<Buffers<O>, DeviceError, Scope.Scope>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface FoldOptions {
  /** How many steps, if there are more inputs, or none to count; as many as `inputs` have unless told. */
  readonly steps?: number
  /**
   * Steps in one call to the device; unless told, as many as take about a quarter of a second, and no more than there is
   * memory for. It makes no difference to the results.
   */
  readonly stepsPerCall?: number
}

/**
 * A step `[state, input] → [state, output]` bound to a device, as a loop on it, for as long as the scope lasts that
 * it was compiled in. What is a record in the state goes by its names, in whatever order they are written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fold<S, X, Y> {
  readonly program: Program<readonly [S, X], readonly [S, Y]>
  /** Milliseconds that the compilation took; 0 if the program was there already. */
  readonly compileTime: number
  /** The cost of one step. */
  readonly cost: Cost.Cost
  /**
   * The steps, in one call or several; between calls other fibers run, and interruption acts. The state given stays as
   * it is; the last one belongs to the caller's scope. Outputs are stacked along a first axis.
   */
  readonly run: (
    state: Arguments<S>,
    inputs: StepArguments<X>,
    options?: FoldOptions
  ) => Effect.Effect<readonly [state: Buffers<S>, outputs: Steps<Y>], DeviceError, Scope.Scope>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** As in `ODEON_DEVICE`. */
  readonly name: string
  /** For people: what it is, and why it was chosen. */
  readonly description: string
  readonly compile: <I, O>(
    program: Program<I, O>,
    options?: CompileOptions
  ) => Effect.Effect<Executable<I, O>, CompileError, Scope.Scope>
  readonly fold: <S, X, Y>(
    program: Program<readonly [S, X], readonly [S, Y]>,
    options?: CompileOptions
  ) => Effect.Effect<Fold<S, X, Y>, CompileError, Scope.Scope>
  /** Copies an array to the device. */
  readonly upload: <S extends Shape.Shape, D extends DType.DType>(
    host: HostArray<S, D>
  ) => Effect.Effect<Buffer<S, D>, DeviceError, Scope.Scope>
  /** Copies a tree of arrays to the device. */
  readonly uploadAll: <const T>(
    tree: T
  ) => Effect.Effect<Buffers<Specs<T>>, DeviceError, Scope.Scope>
  /** Copies an array to the host. */
  readonly download: <S extends Shape.Shape, D extends DType.DType>(
    buffer: Buffer<S, D>
  ) => Effect.Effect<HostArray<S, D>, DeviceError>
  /** Copies a tree of arrays to the host. */
  readonly downloadAll: <const T>(tree: T) => Effect.Effect<HostArrays<Specs<T>>, DeviceError>
  /** Gives back a tree of buffers before their scope closes; once more does nothing. */
  readonly release: (tree: unknown) => Effect.Effect<void>
  /** Compiles and runs expressions without inputs, once, and copies the results to the host. */
  readonly evaluate: <const T>(
    tensors: T
  ) => Effect.Effect<HostArrays<Specs<T>>, TensorError | CompileError | DeviceError>
  readonly memory: Effect.Effect<MemoryUse>
}

/**
 * The device that programs run on. Provide a layer: `Device.layerAuto`, `Device.layerOnnx`, `Device.layerReference`.
 *
 * @since 0.1.0
 * @category services
 */
export class Device extends Context.Service<Device, Service>()("odeon/Device") {}

/**
 * Bounds that a device keeps to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Bytes it may use; unless told, what the machine has. */
  readonly capacity?: number
}

/**
 * A device from what it can do; see `Backend`. Scopes, accounting, checks of shapes, caching and interruption are the
 * same for all devices.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBackend: <B>(
  backend: Backend<B>,
  options?: Options & {
    /** For people: why this device. */
    readonly description?: string
  }
) => Effect.Effect<Service, never, Scope.Scope> = internal.fromBackend

/**
 * The oracle: plain TypeScript, slow, exact and simple; see `Reference`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerReference = (options?: Options): Layer.Layer<Device> =>
  Layer.effect(Device, fromBackend(Reference.backend, options))

/**
 * ONNX Runtime on the processor; see `Onnx`. Fails where onnxruntime-node is not installed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOnnx = (options?: Options): Layer.Layer<Device, DeviceUnavailable> =>
  Layer.effect(
    Device,
    Effect.flatMap(Onnx.backend, (backend) => fromBackend(backend, options))
  )

const onnxOrElse = Effect.mapError(
  Onnx.backend,
  ({ cause, device, message }) =>
    new DeviceUnavailable({
      device,
      message: `${message}; or set ODEON_DEVICE=reference, which is always there, and slow`,
      cause
    })
)

/**
 * The names that `ODEON_DEVICE` may have, of devices that are there or not.
 *
 * @since 0.1.0
 * @category instances
 */
export const names: ReadonlyArray<string> = Object.keys(auto.known)

/**
 * The device that `ODEON_DEVICE` names, `cpu` (ONNX Runtime) without it. Its `description` says which that is and why; a name
 * that nobody knows, or a device that is not there, fails with what there is and what to do.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAuto: Layer.Layer<Device, DeviceUnavailable> = Layer.effect(
  Device,
  Effect.gen(function* () {
    const { name, why } = yield* auto.choice
    const take = <B>(backend: Backend<B>) => {
      const description = `${backend.description} (${why})`
      return Effect.andThen(
        Effect.logDebug(`device ${backend.name}: ${description}`),
        fromBackend(backend, { description })
      )
    }
    return yield* name === "cpu" ? take(yield* onnxOrElse) : take(Reference.backend)
  })
)
