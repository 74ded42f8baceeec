import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as DType from "../../Tensor/DType.ts"
import type { HostArray, Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import type { Backend } from "../Backend.ts"
import type { Buffer } from "../Device.ts"
import type { DeviceError } from "../DeviceError.ts"
import { type Failure, failures, show, showBytes } from "./errors.ts"

export const BufferTypeId = "~odeon/Buffer" as const

/** A buffer, with what only its device may touch. */
export class BufferImpl<B> implements Buffer {
  readonly [BufferTypeId]: typeof BufferTypeId = BufferTypeId
  readonly shape: Shape.Shape
  readonly dtype: DType.DType
  readonly bytes: number
  /** Its end is the buffer's. */
  readonly scope: Scope.Closeable
  readonly owner: object
  /** What the backend handed out; gone once it was freed. */
  content: B | undefined
  /** How many calls are reading it. */
  readers = 0
  /** Whether it may be used no more. */
  released = false

  constructor(spec: Spec, content: B, scope: Scope.Closeable, owner: object) {
    this.shape = spec.shape
    this.dtype = spec.dtype
    this.bytes = bytesOf(spec)
    this.content = content
    this.scope = scope
    this.owner = owner
  }
}

export const isBuffer = (u: unknown): u is BufferImpl<unknown> => u instanceof BufferImpl

export const bytesOf = ({ dtype, shape }: Spec): number => Shape.size(shape) * DType.bytes(dtype)

/** Something that a device does with memory. */
export interface Call<B> {
  /** For messages. */
  readonly operation: string
  readonly inputs: ReadonlyArray<BufferImpl<B>>
  /** Bytes that it takes while it runs, those of its outputs included. */
  readonly workspace: number
  /** What it gives, and the scope that this will belong to. */
  readonly outputs: ReadonlyArray<{ readonly spec: Spec; readonly scope: Scope.Scope }>
  readonly run: (inputs: ReadonlyArray<B>) => Effect.Effect<ReadonlyArray<B>, DeviceError>
}

/**
 * The books of a device: the buffers alive, the bytes they take, and the bytes that calls in progress
 * work in. All memory of a backend comes and goes through here.
 */
export class Memory<B> {
  readonly backend: Backend<B>
  readonly capacity: number
  readonly failure: Failure
  private readonly live = new Set<BufferImpl<B>>()
  private liveBytes = 0
  private workingBytes = 0
  private peakBytes = 0
  private closed = false

  constructor(backend: Backend<B>, capacity: number) {
    this.backend = backend
    this.capacity = capacity
    this.failure = failures(backend.name)
  }

  /** Bytes that nothing takes. */
  get free(): number {
    return this.capacity - this.liveBytes - this.workingBytes
  }

  get use() {
    const { liveBytes, peakBytes } = this
    return { liveBytes, peakBytes, liveBuffers: this.live.size }
  }

  /**
   * Makes a call. While it runs its workspace is set aside, and what it reads is not freed, even where that is
   * released meanwhile. What it gives belongs to a scope before anything can interrupt.
   */
  call(call: Call<B>): Effect.Effect<ReadonlyArray<BufferImpl<B>>, DeviceError> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const { inputs, outputs, run, workspace } = call
        const refusal = this.over(call) ?? this.unusable(call.operation, inputs) ?? this.short(call)
        if (refusal !== undefined) return Effect.fail(refusal)
        const done = this.borrow(inputs)
        this.workingBytes += workspace
        this.notePeak()
        const contents = inputs.map(({ content }) => content as B)
        return Effect.flatMap(Effect.exit(Effect.suspend(() => run(contents))), (exit) => {
          this.workingBytes -= workspace
          done()
          if (Exit.isFailure(exit)) return Effect.failCause(exit.cause)
          const buffers = exit.value.map((content, i) => this.adopt(outputs[i], content))
          return Effect.as(Effect.forEach(buffers, tie(this), { discard: true }), buffers)
        })
      })
    )
  }

  /** Copies an array of the host into a scope. */
  upload(
    operation: string,
    host: HostArray,
    scope: Scope.Scope
  ): Effect.Effect<BufferImpl<B>, DeviceError> {
    return Effect.suspend(() => {
      const why = misfit(host)
      if (why !== undefined) {
        return Effect.fail(this.failure("Mismatch", operation, isSpec(host) ? [host] : [], why))
      }
      const { dtype, shape } = host
      const call = this.call({
        operation,
        inputs: [],
        workspace: bytesOf(host),
        outputs: [{ spec: { dtype, shape }, scope }],
        run: () => Effect.map(this.backend.write(host), (content) => [content])
      })
      return Effect.map(call, ([buffer]) => buffer)
    })
  }

  /** Copies a buffer to the host. */
  download(operation: string, buffer: BufferImpl<B>): Effect.Effect<HostArray, DeviceError> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const refusal = this.unusable(operation, [buffer])
        if (refusal !== undefined) return Effect.fail(refusal)
        const done = this.borrow([buffer])
        const { dtype, shape } = buffer
        return Effect.ensuring(
          Effect.suspend(() => this.backend.read(buffer.content as B, { dtype, shape })),
          Effect.sync(done)
        )
      })
    )
  }

  /** Ends a buffer; once more does nothing. */
  retire(buffer: BufferImpl<B>): void {
    buffer.released = true
    if (buffer.readers > 0 || !this.live.delete(buffer)) return
    const content = buffer.content as B
    buffer.content = undefined
    this.liveBytes -= buffer.bytes
    this.backend.free(content)
  }

  /** Ends all buffers; there will be no others. */
  close(): void {
    this.closed = true
    for (const buffer of this.live) this.retire(buffer)
  }

  private adopt(
    { scope, spec }: { readonly spec: Spec; readonly scope: Scope.Scope },
    content: B
  ): BufferImpl<B> {
    const buffer = new BufferImpl(spec, content, Scope.forkUnsafe(scope), this)
    this.live.add(buffer)
    this.liveBytes += buffer.bytes
    this.notePeak()
    if (this.closed) this.retire(buffer)
    return buffer
  }

  /** Marks buffers as being read, until what it gives is called. */
  private borrow(buffers: ReadonlyArray<BufferImpl<B>>): () => void {
    for (const buffer of buffers) buffer.readers += 1
    return () => {
      for (const buffer of buffers) {
        buffer.readers -= 1
        if (buffer.released) this.retire(buffer)
      }
    }
  }

  private notePeak(): void {
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes + this.workingBytes)
  }

  private unusable(
    operation: string,
    buffers: ReadonlyArray<BufferImpl<B>>
  ): DeviceError | undefined {
    for (const buffer of buffers) {
      if (buffer.owner !== this) {
        return this.failure(
          "Foreign",
          operation,
          [buffer],
          `the buffer ${show(buffer)} belongs to another device: download it there, and upload it to ${this.backend.name}`
        )
      }
      if (buffer.released) {
        return this.failure(
          "Released",
          operation,
          [buffer],
          `the buffer ${show(buffer)} was released, or its scope was closed: make it in a scope that lives as long as it is used`
        )
      }
    }
    return undefined
  }

  private over({ inputs, operation }: Call<B>): DeviceError | undefined {
    return this.closed
      ? this.failure(
          "Released",
          operation,
          inputs,
          `${this.backend.name} was closed: provide its layer around all that uses it`
        )
      : undefined
  }

  private short({ inputs, operation, outputs, workspace }: Call<B>): DeviceError | undefined {
    if (workspace <= this.free) return undefined
    return this.failure(
      "Memory",
      operation,
      [...inputs, ...outputs.map(({ spec }) => spec)],
      `needs ${showBytes(workspace)}, but ${this.backend.name} has ${showBytes(this.free)} of ${showBytes(this.capacity)} left: release buffers, close scopes, or take smaller batches`
    )
  }
}

/** A buffer ends with its scope; where that is closed already, at once. */
const tie =
  <B>(memory: Memory<B>) =>
  (buffer: BufferImpl<B>): Effect.Effect<void> =>
    Scope.addFinalizer(
      buffer.scope,
      Effect.sync(() => memory.retire(buffer))
    )

/** Makes several buffers, one after the other: if one fails, those before it are given back at once. */
export const together = <B, E, R>(
  makes: ReadonlyArray<Effect.Effect<BufferImpl<B>, E, R>>
): Effect.Effect<ReadonlyArray<BufferImpl<B>>, E, R> =>
  Effect.suspend(() => {
    const made: Array<BufferImpl<B>> = []
    const each = (make: Effect.Effect<BufferImpl<B>, E, R>) =>
      Effect.map(make, (buffer) => {
        made.push(buffer)
      })
    return Effect.forEach(makes, each, { discard: true }).pipe(
      Effect.onError(() => release(made)),
      Effect.as(made)
    )
  })

/** Gives buffers back before their scopes close. */
export const release = (buffers: ReadonlyArray<BufferImpl<unknown>>): Effect.Effect<void> =>
  Effect.forEach(buffers, ({ scope }) => Scope.close(scope, Exit.void), { discard: true })

/** Shape and dtype, whatever else it is. */
export const isSpec = (u: unknown): u is Spec =>
  typeof u === "object" && u !== null && "shape" in u && Array.isArray(u.shape) && "dtype" in u

/** Why something is no array of the host. */
export const misfit = (host: HostArray): string | undefined => {
  if (!isSpec(host) || !("data" in host)) {
    return "takes arrays of the host, with shape, dtype and data: make one with Tensor.hostArray"
  }
  const { data, dtype, shape } = host
  if (!DType.all.includes(dtype) || !DType.holds(dtype, data)) {
    const given = Object.prototype.toString.call(data).slice(8, -1)
    return `the array says ${show(host)}, but its data is of type ${given}: convert it with Tensor.hostArray, or see DType.Arrays for what holds which dtype`
  }
  const size = Shape.size(shape)
  return data.length === size
    ? undefined
    : `the array says ${show(host)}, which has ${size} elements, but its data has ${data.length}: give the shape that it has`
}
