import * as DType from "../DType.ts"
import { type Node, sorted, type Tensor } from "../Expression.ts"
import type { Differentiator } from "../Primitive.ts"
import { add } from "../primitive/elementwise.ts"

/** The table of what flows into each output of each node. */
const accumulate = (
  table: Map<Node, Array<Tensor | undefined>>,
  tensor: Tensor,
  cotangent: Tensor
): void => {
  const known = table.get(tensor.node)
  if (known === undefined) {
    const fresh = new Array<Tensor | undefined>(tensor.node.outputs.length).fill(undefined)
    fresh[tensor.output] = cotangent
    table.set(tensor.node, fresh)
  } else {
    const before = known[tensor.output]
    known[tensor.output] = before === undefined ? cotangent : add(before, cotangent)
  }
}

/** Reverse mode, iterative; see `Gradient`. */
export const differentiator: Differentiator = {
  vjp: (outputs, inputs, cotangents) => {
    const sources = new Set(inputs.map((each) => each.node))
    const order = sorted(outputs)
    // nodes whose value depends on an input in a way that has a derivative
    const leads = new Set<Node>()
    const matters = (tensor: Tensor): boolean =>
      leads.has(tensor.node) && DType.isFloat(tensor.dtype)
    for (const node of order) {
      if (
        sources.has(node) ||
        (node.primitive.name !== "stopGradient" && node.inputs.some(matters))
      )
        leads.add(node)
    }
    const table = new Map<Node, Array<Tensor | undefined>>()
    outputs.forEach((each, i) => {
      const cotangent = cotangents[i]
      if (cotangent !== undefined && matters(each)) accumulate(table, each, cotangent)
    })
    for (let i = order.length - 1; i >= 0; i--) {
      const node = order[i]
      const flowing = table.get(node)
      if (flowing === undefined) continue
      const wanted = node.inputs.map(matters)
      if (!wanted.some((each) => each)) continue
      const gives = node.primitive.vjp(node as never, flowing, wanted, differentiator)
      node.inputs.forEach((each, k) => {
        const cotangent = gives[k]
        if (wanted[k] && cotangent !== undefined) accumulate(table, each, cotangent)
      })
    }
    return inputs.map((each) => table.get(each.node)?.[each.output])
  }
}
