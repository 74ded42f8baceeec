/** Graphs made ready to run: an order, a place for each value, and when each value is last needed. */
import * as DType from "../../Tensor/DType.ts"
import { type Node, type Spec, sorted, type Tensor } from "../../Tensor/Expression.ts"
import type { Name } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import { DeviceError } from "../DeviceError.ts"
import type { Kernel, Operation, Plan, Planner } from "./kernel.ts"
import { kernels } from "./kernels.ts"

/** An operation that runs; its values' places. */
interface Step {
  readonly node: Node
  readonly operation: Operation & { readonly kind: "run" }
  readonly reads: ReadonlyArray<number>
  readonly writes: ReadonlyArray<number>
  /** What nobody needs any more after this step. */
  readonly frees: Array<number>
}

const bytes = ({ dtype, shape }: Spec): number => DType.bytes(dtype) * Shape.size(shape)

/**
 * Throws an `Error` if the outputs depend on an input that is not among `inputs`.
 *
 * Values that are the same have the same place. A place is emptied after the last step that reads it,
 * so that a run holds no more than {@link Plan.workspace} says.
 */
export const plan: Planner = (inputs, outputs): Plan => {
  const places = new Map<Node, ReadonlyArray<number>>()
  const placeOf = (tensor: Tensor): number => places.get(tensor.node)![tensor.output]
  /** What every run begins with: constants at their places, and room for the rest. */
  const initial: Array<DType.Data | undefined> = []
  const fresh = (data?: DType.Data): number => initial.push(data) - 1
  for (const { node } of inputs) places.set(node, [fresh()])

  const steps: Array<Step> = []
  for (const node of sorted(outputs)) {
    if (places.has(node)) continue
    const operation = operationOf(node)
    if (operation.kind === "constant") places.set(node, [fresh(operation.data)])
    else if (operation.kind === "alias") {
      places.set(
        node,
        operation.of.map((i) => placeOf(node.inputs[i]))
      )
    } else {
      const writes = node.outputs.map(() => fresh())
      places.set(node, writes)
      steps.push({ node, operation, reads: node.inputs.map(placeOf), writes, frees: [] })
    }
  }
  const results = outputs.map(placeOf)
  const workspace = release(steps, results)

  const run = (given: ReadonlyArray<DType.Data>): Array<DType.Data> => {
    const values = initial.slice()
    for (let i = 0; i < given.length; i++) values[i] = given[i]
    for (const { node, operation, reads, writes, frees } of steps) {
      const read = reads.map((place) => values[place]!)
      let written: ReadonlyArray<DType.Data>
      try {
        written = operation.run(read)
      } catch (cause) {
        throw refusal(node, cause)
      }
      for (let i = 0; i < writes.length; i++) values[writes[i]] = written[i]
      for (let i = 0; i < frees.length; i++) values[frees[i]] = undefined
    }
    return results.map((place) => values[place]!)
  }
  return { run, workspace }
}

const operationOf = (node: Node): Operation => {
  const { name } = node.primitive
  if (name === "input") {
    throw new Error(
      `it depends on the input "${(node as Node<"input">).attributes.name}", which is not one of its own`
    )
  }
  return (kernels[name] as unknown as Kernel<Name>)(node, plan)
}

/** Notes with each step what it frees, and gives the most bytes that are held at once. */
const release = (steps: ReadonlyArray<Step>, results: ReadonlyArray<number>): number => {
  const needed = new Set(results)
  for (let i = steps.length - 1; i >= 0; i--) {
    const { reads, writes, frees } = steps[i]
    for (const place of [...reads, ...writes]) {
      if (needed.has(place)) continue
      needed.add(place)
      frees.push(place)
    }
  }
  const sizes = new Map<number, number>()
  let held = 0
  let most = 0
  for (const { node, operation, writes, frees } of steps) {
    writes.forEach((place, i) => {
      sizes.set(place, bytes(node.outputs[i]))
      held += bytes(node.outputs[i])
    })
    most = Math.max(most, held + operation.workspace)
    for (const place of frees) held -= sizes.get(place) ?? 0
  }
  return most
}

/** What a device says when an operation throws. */
const refusal = (node: Node, cause: unknown): DeviceError => {
  if (cause instanceof DeviceError) return cause
  const { primitive, inputs, label } = node
  const operands = inputs.map(({ dtype, shape }) => `${dtype}${Shape.show(shape)}`).join(", ")
  const why = cause instanceof Error ? cause.message : String(cause)
  const memory = cause instanceof RangeError && /alloc|array length|array buffer/i.test(why)
  return new DeviceError({
    reason: memory ? "Memory" : "Failed",
    device: "reference",
    operation: primitive.name,
    shapes: inputs.map(({ shape }) => shape),
    message: `${primitive.name}(${operands})${label === undefined ? "" : ` in ${label}`}: ${why}${memory ? "; smaller batches need less" : ""}`,
    cause
  })
}
