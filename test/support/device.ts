/** Running expressions in tests. */
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Program from "../../src/Tensor/Program.ts"

/** Runs a function of tensors once, on arrays of the host. */
export const evaluate = Effect.fnUntraced(function* <const I, const O>(
  inputs: I,
  f: (inputs: Program.Tensors<I>) => O
) {
  const run = yield* prepare(inputs, f)
  return yield* run(inputs)
}, Effect.scoped)

/** A function of tensors, compiled for arrays like the given ones. */
export const prepare = Effect.fnUntraced(function* <const I, const O>(
  inputs: I,
  f: (inputs: Program.Tensors<I>) => O
) {
  const device = yield* Device.Device
  const executable = yield* device.compile(yield* Program.make(inputs, f))
  return (inputs: I) =>
    executable.run(inputs as Device.Arguments<Program.Specs<I>>).pipe(
      Effect.flatMap((results) => device.downloadAll(results)),
      Effect.map((results) => results as unknown as Program.HostArrays<O>),
      Effect.scoped
    )
})

/** How many times as often as usual properties are tried: for a long search, set `ODEON_RUNS=50`. */
const thoroughness = Number(process.env.ODEON_RUNS ?? 1)

/** Whether a property holds, as an effect: fast-check shrinks what fails. */
export const property = <A, E, R>(
  arbitrary: fc.Arbitrary<A>,
  check: (value: A) => Effect.Effect<void, E, R>,
  { numRuns = 20, ...parameters }: fc.Parameters<[A]> = {}
): Effect.Effect<void, never, R> =>
  Effect.flatMap(Effect.context<R>(), (context) =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(arbitrary, (value) => Effect.runPromiseWith(context)(check(value))),
        {
          interruptAfterTimeLimit: 30_000 * thoroughness,
          numRuns: numRuns * thoroughness,
          ...parameters
        }
      )
    )
  )

export type { HostArray }
