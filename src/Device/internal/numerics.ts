/** Finds the operation that is the first to give something that is no number. */
import * as DType from "../../Tensor/DType.ts"
import {
  apply,
  is,
  type Node,
  output,
  type Spec,
  sorted,
  type Tensor
} from "../../Tensor/Expression.ts"
import * as Graph from "../../Tensor/Graph.ts"
import type { Name, Primitive } from "../../Tensor/Primitive.ts"
import * as Ops from "../../Tensor/Tensor.ts"

/** What no float may be. */
export type Check = "nan" | "finite"

/** A value that is looked at. */
export interface Probe {
  /** What gives it. */
  readonly label: string
  readonly inputs: ReadonlyArray<Spec>
  readonly output: Spec
}

/** A graph with one output more, an `int32`: the number of the first probe that found something, if any did. */
export interface Instrumented {
  readonly graph: Graph.Graph
  /** In the order of computation. */
  readonly probes: ReadonlyArray<Probe>
}

/** A scalar: the number of the first probe that found something, or {@link nothing}. */
type Verdict = Tensor<readonly [], "int32">

const nothing = 2 ** 31 - 1

export const instrument = (graph: Graph.Graph, check: Check): Instrumented => {
  const probes: Array<Probe> = []
  const { roots, verdict } = watch(graph.outputs, check, probes, "")
  return { graph: Graph.make(graph.inputs, [...roots, verdict]), probes }
}

/** The same values, and the verdict on them and on all that they are made of. */
const watch = (
  roots: ReadonlyArray<Tensor>,
  check: Check,
  probes: Array<Probe>,
  place: string
): { readonly roots: ReadonlyArray<Tensor>; readonly verdict: Verdict } => {
  const renewed = new Map<Node, Node>()
  const now = (tensor: Tensor): Tensor => {
    const node = renewed.get(tensor.node)
    return node === undefined ? tensor : output(node, tensor.output)
  }
  const verdicts: Array<Verdict> = []
  for (const node of sorted(roots)) {
    const inputs = node.inputs.map(now)
    const changed = inputs.some((each, i) => each !== node.inputs[i])
    let current: Node = changed ? { ...node, inputs } : node
    if (is(current, "scan") && current.attributes.length > 0) {
      const watched = watchScan(current, check, probes, `${place} in a scan`)
      current = watched.node
      verdicts.push(watched.verdict)
    }
    if (current !== node) renewed.set(node, current)
    // a body's parameters are looked at outside
    if (spoils(node) && !(is(node, "input") && place !== "")) {
      node.outputs.forEach((spec, i) => {
        if (!DType.isFloat(spec.dtype) || spec.shape.includes(0)) return
        const number = probes.push({
          label: `${nameOf(node)}${place}`,
          inputs: node.inputs.map(({ shape, dtype }) => ({ shape, dtype })),
          output: spec
        })
        verdicts.push(
          Ops.select(isBad(output(current, i), check), scalar(number - 1), scalar(nothing))
        )
      })
    }
  }
  return { roots: roots.map(now), verdict: least(verdicts) }
}

/** The scan with one result more, the verdict on each step; and the verdict on the first step that has one. */
const watchScan = (
  node: Node<"scan">,
  check: Check,
  probes: Array<Probe>,
  place: string
): { readonly node: Node; readonly verdict: Verdict } => {
  const { body, reverse, ...rest } = node.attributes
  const inner = watch(body.results, check, probes, place)
  const results = [...inner.roots, inner.verdict]
  const wider = apply(
    node.primitive as unknown as Primitive<"scan">,
    node.inputs,
    { ...rest, reverse, body: { parameters: body.parameters, results }, visible: results.length },
    node.label
  ) as unknown as Node
  const steps = output(wider, results.length - 1) as Tensor<readonly [number], "int32">
  const inTime = reverse ? Ops.flip(steps) : steps
  const first = Ops.argMax(Ops.cast(Ops.less(inTime, nothing), "int32"))
  return { node: wider, verdict: Ops.take(inTime, first) as Verdict }
}

const scalar = (value: number): Verdict => Ops.scalar(value, "int32")

const least = (verdicts: ReadonlyArray<Verdict>): Verdict =>
  verdicts.length === 0
    ? scalar(nothing)
    : Ops.min(Ops.concat(verdicts.map((each) => Ops.reshape(each, [1]))))

const isBad = (x: Tensor, check: Check): Tensor<readonly [], "bool"> => {
  const float = x as Tensor<ReadonlyArray<number>, DType.Float>
  return Ops.any(check === "nan" ? Ops.isNaN(float) : Ops.not(Ops.isFinite(float)))
}

const nameOf = (node: Node): string => {
  if (is(node, "input")) return `input "${node.attributes.name}"`
  return node.label === undefined ? node.primitive.name : `${node.primitive.name} "${node.label}"`
}

/** What only moves values, or is known, cannot be the first to spoil them. */
const spoils = (node: Node): boolean => !innocent.has(node.primitive.name)

const innocent: ReadonlySet<Name> = new Set<Name>([
  "constant",
  "iota",
  "reshape",
  "broadcast",
  "transpose",
  "slice",
  "concat",
  "gather"
])
