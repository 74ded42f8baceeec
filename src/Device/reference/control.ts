/** Kernels that run a body many times, and those that do nothing. */
import * as DType from "../../Tensor/DType.ts"
import type { Node, Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as K from "./kernel.ts"

type Arrays = ReadonlyArray<DType.Data>

/**
 * A step that runs once for each element of the scanned arrays, carrying states: its inputs are
 * states, then one element of each scanned array, then what stays the same; its outputs
 * the next states, then what is stacked.
 */
export const iterated = (
  step: K.Plan,
  scanned: ReadonlyArray<Spec>,
  stacked: ReadonlyArray<Spec>
) => {
  const sizes = scanned.map(({ shape }) => Shape.size(shape))
  return (
    initial: Arrays,
    arrays: Arrays,
    constant: Arrays,
    length: number,
    reverse: boolean
  ): ReadonlyArray<DType.Data> => {
    const stacks = stacked.map(({ dtype, shape }) =>
      DType.allocate(dtype, length * Shape.size(shape))
    )
    let states = initial
    for (let k = 0; k < length; k++) {
      const at = reverse ? length - 1 - k : k
      const elements = arrays.map((array, i) => array.subarray(at * sizes[i], (at + 1) * sizes[i]))
      const results = step.run([...states, ...elements, ...constant])
      states = results.slice(0, initial.length)
      stacks.forEach((stack, i) => {
        const result = results[initial.length + i]
        stack.set(result as never, at * result.length)
      })
    }
    return [...states, ...stacks]
  }
}

export const scan = ({ attributes }: Node<"scan">, plan: K.Planner): K.Operation => {
  const { body, carry, scanned, length, reverse } = attributes
  const step = plan(body.parameters, body.results)
  const captured = carry + scanned
  const run = iterated(step, body.parameters.slice(carry, captured), body.results.slice(carry))
  return {
    kind: "run",
    run: (inputs) =>
      run(
        inputs.slice(0, carry),
        inputs.slice(carry, captured),
        inputs.slice(captured),
        length,
        reverse
      ),
    workspace: step.workspace
  }
}

export const whileLoop = ({ attributes }: Node<"whileLoop">, plan: K.Planner): K.Operation => {
  const { carry } = attributes
  const condition = plan(attributes.condition.parameters, attributes.condition.results)
  const body = plan(attributes.body.parameters, attributes.body.results)
  return {
    kind: "run",
    run: (inputs) => {
      const captured = inputs.slice(carry)
      let states = inputs.slice(0, carry)
      while (condition.run([...states, ...captured])[0][0])
        states = body.run([...states, ...captured])
      return states
    },
    workspace: Math.max(condition.workspace, body.workspace)
  }
}

export const stopGradient = (): K.Operation => K.same

/** Its values follow its arguments. */
export const custom = ({ outputs, attributes }: Node<"custom">): K.Operation => ({
  kind: "alias",
  of: outputs.map((_, i) => attributes.arguments + i)
})
