/**
 * What a program costs: multiply-accumulates, parameters, memory. Counted from the graph, so it is
 * exact and needs no device.
 *
 * @since 0.1.0
 */
import * as DType from "./DType.ts"
import { is, type Node, type Spec, sorted, type Tensor } from "./Expression.ts"
import * as Graph from "./Graph.ts"
import type { Body, Name } from "./Primitive.ts"
import type { Program } from "./Program.ts"
import * as Shape from "./Shape.ts"
import * as Tree from "./Tree.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Cost {
  /**
   * Multiply-accumulates of matrix products and convolutions, as the field counts them; loops with a known
   * number of steps count each step, a `whileLoop` counts one.
   */
  readonly macs: number
  /** Multiply-accumulates by primitive. */
  readonly macsBy: { readonly [N in Name]?: number }
  /** How often each primitive is applied, loops' bodies once. */
  readonly operations: { readonly [N in Name]?: number }
  /** Bytes of the inputs. */
  readonly inputBytes: number
  /** Bytes of the outputs. */
  readonly outputBytes: number
  /**
   * The most bytes of intermediate values and outputs alive at once, when each value is dropped after its last
   * use and views cost nothing; inside a loop the body's own peak is added to what surrounds it.
   */
  readonly peakBytes: number
}

/**
 * The cost of one run of a program.
 *
 * @since 0.1.0
 * @category getters
 */
export const of = <I, O>(program: Program<I, O>): Cost => ofGraph(program.graph)

/**
 * The cost of computing expressions, given their inputs.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofTensors = (outputs: unknown, inputs: unknown = []): Cost =>
  ofGraph(Graph.make(Tree.leaves<Tensor>(inputs), Tree.leaves<Tensor>(outputs)))

/**
 * The cost of a graph in canonical form.
 *
 * @since 0.1.0
 * @category getters
 */
export const ofGraph = (graph: Graph.Graph): Cost => {
  const macsBy: { [N in Name]?: number } = {}
  const operations: { [N in Name]?: number } = {}
  const visit = (nodes: ReadonlyArray<Node>, times: number): void => {
    for (const node of nodes) {
      const { name } = node.primitive
      operations[name] = (operations[name] ?? 0) + 1
      const macs = times * (node.primitive.macs?.(node as never) ?? 0)
      if (macs > 0) macsBy[name] = (macsBy[name] ?? 0) + macs
      for (const { body, runs } of bodies(node)) visit(body.nodes, times * runs)
    }
  }
  visit(graph.nodes, 1)
  return {
    macs: Object.values(macsBy).reduce((a, b) => a + b, 0),
    macsBy,
    operations,
    inputBytes: bytes(graph.inputs),
    outputBytes: bytes(graph.outputs),
    peakBytes: peak(graph)
  }
}

/**
 * How many numbers a tree of parameters holds.
 *
 * @since 0.1.0
 * @category getters
 */
export const parameters = (tree: unknown): number =>
  Tree.leaves<Spec>(tree).reduce((total, { shape }) => total + Shape.size(shape), 0)

/**
 * How many bytes a tree of arrays takes.
 *
 * @since 0.1.0
 * @category getters
 */
export const bytes = (tree: unknown): number =>
  Tree.leaves<Spec>(tree).reduce(
    (total, spec) => total + Shape.size(spec.shape) * DType.bytes(spec.dtype),
    0
  )

/** What a walk needs of a graph. */
type Walk = Pick<Graph.Graph, "nodes" | "outputs">

/** The bodies of a loop, which in a canonical graph are canonical themselves. */
const bodies = (node: Node): ReadonlyArray<{ readonly body: Walk; readonly runs: number }> => {
  const walk = ({ results }: Body): Walk => ({ nodes: sorted(results), outputs: results })
  if (is(node, "scan")) return [{ body: walk(node.attributes.body), runs: node.attributes.length }]
  if (is(node, "whileLoop")) {
    const { condition, body } = node.attributes
    return [condition, body].map((each) => ({ body: walk(each), runs: 1 }))
  }
  return []
}

const isView = (node: Node): boolean =>
  is(node, "reshape") || is(node, "input") || is(node, "constant")

/** Walks the nodes in order, holding what is still needed. */
const peak = (graph: Walk): number => {
  const root = new Map<Node, Node>()
  const rootOf = (node: Node): Node => root.get(node) ?? node
  const uses = new Map<Node, number>()
  for (const node of graph.nodes) {
    if (is(node, "reshape")) root.set(node, rootOf(node.inputs[0].node))
  }
  const use = (tensor: Tensor, by: number) => {
    const node = rootOf(tensor.node)
    uses.set(node, (uses.get(node) ?? 0) + by)
  }
  for (const node of graph.nodes)
    if (!is(node, "reshape")) for (const each of node.inputs) use(each, 1)
  for (const each of graph.outputs) use(each, 1)
  let live = 0
  let most = 0
  for (const node of graph.nodes) {
    if (isView(node)) continue
    live += bytes(node.outputs as ReadonlyArray<Spec>)
    const inner = bodies(node).reduce((top, { body }) => Math.max(top, peak(body)), 0)
    most = Math.max(most, live + inner)
    for (const each of node.inputs) {
      use(each, -1)
      const producer = rootOf(each.node)
      if (uses.get(producer) === 0 && !isView(producer))
        live -= bytes(producer.outputs as ReadonlyArray<Spec>)
    }
  }
  return most
}
