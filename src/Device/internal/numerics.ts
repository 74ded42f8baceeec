import * as DType from "../../Tensor/DType.ts"
import { apply, is, type Node, output, type Spec, type Tensor } from "../../Tensor/Expression.ts"
import * as Graph from "../../Tensor/Graph.ts"
import type { Primitive } from "../../Tensor/Primitive.ts"
import * as Ops from "../../Tensor/Tensor.ts"

/** What no float may be. */
export type Check = "nan" | "finite"

/** A place that is looked at. */
export interface Probe {
  readonly label: string
  readonly inputs: ReadonlyArray<Spec>
  readonly output: Spec
}

/** The graph with one output more: for each probe, in the order of computation, whether something was wrong there. */
export const instrument = (
  graph: Graph.Graph,
  check: Check
): { readonly graph: Graph.Graph; readonly probes: ReadonlyArray<Probe> } => {
  const found = flagsOf(graph.nodes, check, "")
  if (found.length === 0) return { graph, probes: [] }
  const flags = Ops.concat(found.map(({ flag }) => Ops.reshape(flag, [1])))
  return {
    graph: Graph.make(graph.inputs, [...graph.outputs, flags]),
    probes: found.map(({ probe }) => probe)
  }
}

interface Found {
  readonly probe: Probe
  readonly flag: Tensor<readonly [], "int32">
}

const flagsOf = (nodes: ReadonlyArray<Node>, check: Check, place: string): ReadonlyArray<Found> =>
  nodes.flatMap((node) => [
    ...(is(node, "scan") ? inside(node, check, place) : []),
    ...node.outputs.flatMap((spec, i) => {
      if (!DType.isFloat(spec.dtype) || moves(node)) return []
      const probe = {
        label: `${nameOf(node)}${place}`,
        inputs: node.inputs.map(({ shape, dtype }) => ({ shape, dtype })),
        output: spec
      }
      return [{ probe, flag: flag(output(node, i), check) }]
    })
  ])

const nameOf = (node: Node): string => {
  if (is(node, "input")) return `input "${node.attributes.name}"`
  return node.label === undefined ? node.primitive.name : `${node.primitive.name} "${node.label}"`
}

/** What only moves values about cannot be the first to spoil them. */
const moves = (node: Node): boolean =>
  ["reshape", "broadcast", "transpose", "slice", "concat", "gather"].includes(node.primitive.name)

const flag = (x: Tensor, check: Check): Tensor<readonly [], "int32"> => {
  const float = x as Tensor<ReadonlyArray<number>, DType.Float>
  const bad = check === "nan" ? Ops.isNaN(float) : Ops.not(Ops.isFinite(float))
  return x.shape.includes(0) ? Ops.scalar(0, "int32") : Ops.max(Ops.cast(bad, "int32"))
}

/** Flags of a scan's body, gathered over its steps. */
const inside = (node: Node & Node<"scan">, check: Check, place: string): ReadonlyArray<Found> => {
  const { body, ...rest } = node.attributes
  if (rest.length === 0) return []
  const inner = Graph.make(body.parameters, body.results)
  const found = flagsOf(
    inner.nodes.filter((each) => !is(each, "input")),
    check,
    `${place} in a scan`
  )
  if (found.length === 0) return []
  const results = [...body.results, Ops.concat(found.map((each) => Ops.reshape(each.flag, [1])))]
  const wider = apply(node.primitive as unknown as Primitive<"scan">, node.inputs, {
    ...rest,
    body: { parameters: body.parameters, results },
    visible: results.length
  })
  const stacked = output(wider as unknown as Node, results.length - 1) as Tensor<
    readonly [number, number],
    "int32"
  >
  const flags = Ops.max(stacked, { axis: 0 })
  return found.map(({ probe }, i) => ({
    probe,
    flag: Ops.at(flags, i) as Tensor<readonly [], "int32">
  }))
}
