import { apply, type Node, output, sorted, type Tensor } from "../Expression.ts"
import type { Name, Primitive } from "../Primitive.ts"

/**
 * The same expressions with some tensors replaced. Nodes that do not depend on a replaced tensor
 * stay the very same nodes.
 */
export const substitute = (
  roots: ReadonlyArray<Tensor>,
  replacements: ReadonlyMap<Node, ReadonlyArray<Tensor | undefined>>
): Array<Tensor> => {
  const renewed = new Map<Node, Node>()
  const replace = (tensor: Tensor): Tensor => {
    const given = replacements.get(tensor.node)?.[tensor.output]
    if (given !== undefined) return given
    const node = renewed.get(tensor.node)
    return node === undefined ? tensor : output(node, tensor.output)
  }
  for (const node of sorted(roots, (node) =>
    whollyReplaced(node, replacements) ? [] : node.inputs
  )) {
    const inputs = node.inputs.map(replace)
    if (inputs.some((input, i) => input !== node.inputs[i])) {
      renewed.set(node, reapply(node, inputs))
    }
  }
  return roots.map(replace)
}

const whollyReplaced = (
  node: Node,
  replacements: ReadonlyMap<Node, ReadonlyArray<Tensor | undefined>>
): boolean => {
  const given = replacements.get(node)
  return given !== undefined && node.outputs.every((_, i) => given[i] !== undefined)
}

/** The node's primitive applied to other inputs. */
export const reapply = (node: Node, inputs: ReadonlyArray<Tensor>): Node =>
  apply(node.primitive as Primitive<Name>, inputs, node.attributes, node.label)
