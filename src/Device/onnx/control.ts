/** Loops. */
import type { Attributes, Body } from "../../Tensor/Primitive.ts"
import * as build from "./build.ts"
import type { Emitter, Value } from "./Emitter.ts"
import type { Known, Lower, Lowering } from "./Lowering.ts"

/**
 * A step run as often as a value says, over the first elements of the arrays among its inputs: states, arrays, captures. A
 * state that the step hands on unchanged is not carried.
 */
export const fold = (
  e: Emitter,
  { body, carry, scanned }: Pick<Attributes["scan"], "body" | "carry" | "scanned">,
  trips: Value,
  inputs: ReadonlyArray<Value>,
  lower: Lower
): ReadonlyArray<Value> => {
  const { merged, moving } = divided(body, carry)
  const results = e.loop({
    trips,
    condition: undefined,
    carried: moving.map((i) => inputs[i]),
    length: -1,
    body: (iteration, carried) => {
      const elements = inputs
        .slice(carry, carry + scanned)
        .map((array) => build.gather(e, array, iteration, 0))
      const known = bound(body, [
        ...merged(inputs, carried),
        ...elements,
        ...inputs.slice(carry + scanned)
      ])
      const given = lower(e, body.results, known)
      return {
        condition: undefined,
        carried: moving.map((i) => given[i]),
        stacked: given.slice(carry)
      }
    }
  })
  return [...merged(inputs, results), ...results.slice(moving.length)]
}

/** Which states a body changes, and how to put these and the others together. */
const divided = ({ parameters, results }: Body, carry: number) => {
  const all = Array.from({ length: carry }, (_, i) => i)
  const moving = all.filter((i) => results[i].node !== parameters[i].node)
  const merged = (inputs: ReadonlyArray<Value>, changed: ReadonlyArray<Value>) =>
    all.map((i) => (moving.includes(i) ? changed[moving.indexOf(i)] : inputs[i]))
  return { moving, merged }
}

const bound = ({ parameters }: Body, values: ReadonlyArray<Value>): Known =>
  new Map(parameters.map(({ node }, i) => [node, [values[i]]]))

export const scan: Lowering<"scan"> = (e, { attributes, inputs, outputs }, lower) => {
  const { body, carry, length, reverse, scanned } = attributes
  if (length === 0) {
    return outputs.map(({ dtype, shape }, i) =>
      i < carry ? inputs[i] : build.empty(e, shape, dtype)
    )
  }
  const { merged, moving } = divided(body, carry)
  const given = inputs.slice(carry, carry + scanned)
  // the operator takes the number of steps from its arrays
  const arrays = given.length > 0 ? given : [build.fill(e, 0, [length], "bool")]
  const results = e.scan({
    arrays,
    carried: moving.map((i) => inputs[i]),
    length,
    reverse,
    body: (elements, carried) => {
      const known = bound(body, [
        ...merged(inputs, carried),
        ...elements.slice(0, scanned),
        ...inputs.slice(carry + scanned)
      ])
      const given = lower(e, body.results, known)
      return { carried: moving.map((i) => given[i]), stacked: given.slice(carry) }
    }
  })
  return [...merged(inputs, results), ...results.slice(moving.length)]
}

export const whileLoop: Lowering<"whileLoop"> = (e, { attributes, inputs }, lower) => {
  const { body, carry, condition } = attributes
  const { merged, moving } = divided(body, carry)
  const captured = inputs.slice(carry)
  const holds = (changed: ReadonlyArray<Value>): Value => {
    const known = bound(condition, [...merged(inputs, changed), ...captured])
    return lower(e, condition.results, known)[0]
  }
  const start = moving.map((i) => inputs[i])
  const results = e.loop({
    trips: undefined,
    condition: holds(start),
    carried: start,
    length: -1,
    body: (_, changed) => {
      const given = lower(e, body.results, bound(body, [...merged(inputs, changed), ...captured]))
      const carried = moving.map((i) => given[i])
      return { condition: holds(carried), carried, stacked: [] }
    }
  })
  return merged(inputs, results)
}
