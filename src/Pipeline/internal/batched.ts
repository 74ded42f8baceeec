/** Networks on however many images of whatever size, a batch at a time. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { Device } from "../../Device/index.ts"
import { Program, Shape, Tensor } from "../../Tensor/index.ts"
import type { Images } from "../Features.ts"
import { attempt } from "./attempt.ts"
import { dataError } from "./data.ts"

/** Some images, with zeros up to a whole batch. */
const part = ({ shape: [n, ...own], data }: Images, start: number, batch: number): Images => {
  const size = Shape.size(own)
  const padded = new Float32Array(batch * size)
  padded.set(data.subarray(start * size, Math.min(n, start + batch) * size))
  return { dtype: "float32", shape: [batch, ...own], data: padded }
}

/**
 * A function of arrays of images, all of one shape, to rows. It is compiled for each shape when that comes first, and belongs to the scope.
 * Fails with `DataError` for images of which it cannot be built.
 */
export const make = Effect.fnUntraced(function* <O>(options: {
  readonly name: string
  readonly batch: number
  /** How many arrays of images. */
  readonly arity: number
  readonly build: (...images: ReadonlyArray<Tensor.Tensor>) => O
}) {
  const { name, batch, arity, build } = options
  const device = yield* Device.Device
  const scope = yield* Effect.scope
  const programOf = (own: ReadonlyArray<number>) =>
    attempt(() => {
      const spec = Tensor.spec([batch, ...own])
      return Program.makeUnsafe(
        Array.from({ length: arity }, () => spec),
        (images) => build(...(images as ReadonlyArray<Tensor.Tensor>)),
        { name }
      )
    })
  const compiled = Effect.fnUntraced(
    function* (own: ReadonlyArray<number>) {
      const program = yield* Effect.mapError(programOf(own), ({ message }) =>
        dataError(name, "shape", `it does not take images ${Shape.show(own)}: ${message}`)
      )
      return yield* device.compile(program)
    },
    Effect.provideService(Scope.Scope, scope)
  )
  const known = new Map<string, Effect.Success<ReturnType<typeof compiled>>>()
  const executableOf = Effect.fnUntraced(function* (own: ReadonlyArray<number>) {
    const key = Shape.show(own)
    const executable = known.get(key) ?? (yield* compiled(own))
    known.set(key, executable)
    return executable
  })
  return {
    executableOf,
    /** What is made of each batch; the rows of the last one may be more than there are images. */
    run: Effect.fnUntraced(function* (...images: ReadonlyArray<Images>) {
      const [n, ...own] = images[0].shape
      const executable = yield* executableOf(own)
      const parts: Array<Program.HostArrays<Program.Specs<O>>> = []
      for (let start = 0; start < n; start += batch) {
        const given = images.map((each) => part(each, start, batch))
        const made = yield* executable.run(given as never).pipe(
          Effect.flatMap((buffers) => device.downloadAll(buffers)),
          Effect.scoped
        )
        parts.push(made as never)
        yield* Effect.yieldNow
      }
      return parts
    })
  }
})
