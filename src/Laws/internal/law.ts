/**
 * How laws are tried.
 */
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { LawError } from "../LawError.ts"

export interface Options {
  /** Where random cases begin: unless told at fast-check's seed, which is a new one each time unless configured. */
  readonly seed?: number
  /** How many times as many cases as usual to try; one at the least. */
  readonly runs?: number
}

const seeds = fc.noShrink(fc.noBias(fc.integer({ min: 0, max: 2 ** 31 - 1 })))

export const broken = (
  law: string,
  subject: string,
  counterexample: string,
  seed: number
): LawError =>
  new LawError({
    law,
    subject,
    counterexample,
    seed,
    message: `${subject} breaks the law "${law}": ${counterexample} (seed ${seed})`
  })

/** A law that looked at nothing would be kept by anything. */
const casesOf = (usual: number, times: number): number => Math.max(1, Math.ceil(usual * times))

/** Finds random cases for which there is a complaint, and throws `LawError` with the first. */
export const assert = (
  law: string,
  subject: string,
  numRuns: number,
  { seed, runs = 1 }: Options,
  complaintOf: (seed: number) => string | undefined
): void => {
  const property = fc.property(seeds, (each) => {
    const complaint = complaintOf(each)
    if (complaint !== undefined) throw new Error(complaint)
  })
  const result = fc.check(property, {
    numRuns: casesOf(numRuns, runs),
    endOnFailure: true,
    ...(seed === undefined ? {} : { seed })
  })
  if (result.failed) {
    const { errorInstance } = result
    const said = errorInstance instanceof Error ? errorInstance.message : String(errorInstance)
    throw broken(law, subject, said, result.seed)
  }
}

/** Laws whose cases are effects: each by itself, where it must apply; and all that do. */
export const suite = <N extends string, S, E, R>(laws: {
  readonly names: ReadonlyArray<N>
  readonly nameOf: (subject: S) => string
  readonly applies: (name: N, subject: S) => boolean
  readonly tried: (name: N, subject: S, options: Options) => Effect.Effect<void, E, R>
}) => ({
  alone:
    (name: N) =>
    (subject: S, options: Options = {}): Effect.Effect<void, E | LawError, R> =>
      laws.applies(name, subject)
        ? laws.tried(name, subject, options)
        : Effect.fail(
            broken(name, laws.nameOf(subject), "the law does not apply to it", options.seed ?? 0)
          ),
  check: (subject: S, options: Options = {}): Effect.Effect<void, E, R> =>
    Effect.forEach(
      laws.names.filter((name) => laws.applies(name, subject)),
      (name) => laws.tried(name, subject, options),
      { discard: true }
    )
})

/** As {@link assert}, where finding out is an effect. */
export const verify = Effect.fnUntraced(function* <E, R>(
  law: string,
  subject: string,
  numRuns: number,
  {
    seed = fc.readConfigureGlobal().seed ?? Math.trunc(Math.random() * 2 ** 31),
    runs = 1
  }: Options,
  complaintOf: (seed: number) => Effect.Effect<string | undefined, E, R>
) {
  for (const each of fc.sample(seeds, { numRuns: casesOf(numRuns, runs), seed })) {
    const complaint = yield* complaintOf(each)
    if (complaint !== undefined) return yield* broken(law, subject, complaint, seed)
  }
})
