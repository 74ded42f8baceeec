import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HostArray, Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as Tree from "../../Tensor/Tree.ts"
import type { DeviceError } from "../DeviceError.ts"
import { type Failure, show } from "./errors.ts"
import { type BufferImpl, isBuffer, isSpec, type Memory } from "./memory.ts"

/** What a program takes: arrays, and the paths where they stand in their tree. */
export interface Wanted {
  readonly names: ReadonlyArray<string>
  readonly specs: ReadonlyArray<Spec>
}

const quote = (name: string): string => (name === "" ? "the array" : `"${name}"`)

const list = (names: ReadonlyArray<string>): string =>
  names.length === 0 ? "none" : names.map(quote).join(", ")

/**
 * The leaves of a tree in the order in which they are wanted, wherever in the tree they were written. Fails with
 * what is missing, too much, or of another shape or dtype.
 */
export const arrange = <A extends Spec>(
  failure: Failure,
  operation: string,
  { names, specs }: Wanted,
  tree: unknown
): Effect.Effect<ReadonlyArray<A>, DeviceError> =>
  Effect.suspend(() => {
    const given = Tree.entries<A>(tree)
    const byName = new Map(given)
    const wrong = strangers(names, byName)
    if (wrong !== undefined || given.length !== names.length) {
      return Effect.fail(
        failure(
          "Mismatch",
          operation,
          specs,
          `takes ${names.length} ${names.length === 1 ? "array" : "arrays"}, ${list(names)}, but got ${given.length}${wrong ?? ""}`
        )
      )
    }
    const leaves: Array<A> = []
    for (const [i, name] of names.entries()) {
      const [path, leaf] = given[i]
      const found = path === name ? leaf : (byName.get(name) as A)
      if (!isSpec(found) || !sameSpec(found, specs[i])) {
        const [shown, is] = isSpec(found)
          ? [[specs[i], found], show(found)]
          : [[specs[i]], `${typeof found}, which is no array`]
        return Effect.fail(
          failure(
            "Mismatch",
            operation,
            shown,
            `${quote(name)} must be ${show(specs[i])}, but is ${is}: give an array of that shape and dtype, or make the program for this one`
          )
        )
      }
      leaves.push(found)
    }
    return Effect.succeed(leaves)
  })

/** What is given but not wanted, and the other way round. */
const strangers = (
  names: ReadonlyArray<string>,
  given: ReadonlyMap<string, unknown>
): string | undefined => {
  const wanted = new Set(names)
  const missing = names.filter((name) => !given.has(name))
  const extra = [...given.keys()].filter((name) => !wanted.has(name))
  const advice = [
    ...(missing.length > 0 ? [`give ${list(missing)}`] : []),
    ...(extra.length > 0 ? [`leave out ${list(extra)}`] : [])
  ]
  return advice.length === 0 ? undefined : `: ${advice.join(", ")}`
}

export const sameSpec = (a: Spec, b: Spec): boolean =>
  a.dtype === b.dtype && Shape.equals(a.shape, b.shape)

/** The buffers that are given, and those of the arrays of the host that are given, for as long as the scope lasts. */
export const place = <B>(
  memory: Memory<B>,
  operation: string,
  wanted: Wanted,
  tree: unknown
): Effect.Effect<ReadonlyArray<BufferImpl<B>>, DeviceError, Scope.Scope> =>
  Effect.gen(function* () {
    const leaves = yield* arrange<BufferImpl<B> | HostArray>(
      memory.failure,
      operation,
      wanted,
      tree
    )
    const scope = yield* Effect.scope
    return yield* Effect.forEach(leaves, (leaf) =>
      isBuffer(leaf)
        ? Effect.succeed(leaf as BufferImpl<B>)
        : memory.upload(operation, leaf as HostArray, scope)
    )
  })
