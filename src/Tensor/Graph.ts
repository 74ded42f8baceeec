/**
 * Graphs in canonical form: what devices compile.
 *
 * Equal computations are one node, nodes and stacked results that nobody reads are gone,
 * `stopGradient` and `custom` have done their work and are gone too, names stand at the operations,
 * and views of views are one view. Two programs of the same structure have the same `key`.
 *
 * @since 0.1.0
 */
import type { Data } from "./DType.ts"
import { apply, is, type Node, output, sorted, type Tensor } from "./Expression.ts"
import type { Body, Name, Primitive } from "./Primitive.ts"
import * as Shape from "./Shape.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Graph {
  /** All the inputs that were named, in order, used or not: `input` nodes. */
  readonly inputs: ReadonlyArray<Tensor>
  readonly outputs: ReadonlyArray<Tensor>
  /** Every node that the outputs need, each after its inputs; bodies' nodes not included. */
  readonly nodes: ReadonlyArray<Node>
  /** Equal for graphs of equal structure, whatever the names in them. */
  readonly key: string
}

/**
 * Brings expressions into canonical form. Every `input` node that they depend on must be among `inputs`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (inputs: ReadonlyArray<Tensor>, outputs: ReadonlyArray<Tensor>): Graph => {
  const order = sorted(outputs)
  const needed = new Map<Node, Needed>()
  const live = used(order, outputs, needed)
  const keys: Array<string> = []
  const byKey = new Map<string, Node>()
  const ids = new Map<Node, number>()
  const renewed = new Map<Node, ReadonlyArray<Tensor>>()
  const position = new Map<Node, number>()
  inputs.forEach((each, i) => {
    position.set(each.node, i)
  })
  const now = (tensor: Tensor): Tensor => renewed.get(tensor.node)?.[tensor.output] ?? tensor
  const labels = labelled(order)
  const label = (node: Node, of: Node): Node => {
    const label = labels.get(of)
    return label === undefined ? node : { ...node, label }
  }

  const intern = (node: Node, attributes: string): Node => {
    const refers = node.inputs.map((each) => `${ids.get(each.node)}.${each.output}`)
    const key = `${node.primitive.name}(${refers.join(",")})${attributes}`
    const known = byKey.get(key)
    if (known !== undefined) return known
    byKey.set(key, node)
    ids.set(node, ids.size)
    keys.push(key)
    return node
  }

  for (const node of order) {
    if (!live.has(node)) continue
    if (is(node, "stopGradient") || isName(node)) {
      renewed.set(node, [now(node.inputs[0])])
    } else if (is(node, "custom")) {
      renewed.set(node, node.inputs.slice(node.attributes.arguments).map(now))
    } else if (is(node, "input")) {
      const at = position.get(node)
      // two free inputs may have one name
      intern(node, at === undefined ? `free ${ids.size}` : String(at))
      renewed.set(node, [output(node)])
    } else if (is(node, "scan")) {
      const { node: pruned, at } = pruneScan(node, needed.get(node)!, now)
      const kept = intern(label(pruned, node), describe(pruned))
      renewed.set(
        node,
        node.outputs.map((_, i) => output(kept, at.get(i) ?? 0))
      )
    } else {
      const inputs = node.inputs.map(now)
      const simple = simplify(node, inputs)
      const kept = intern(label(simple, node), describe(simple))
      renewed.set(
        node,
        node.outputs.map((_, i) => output(kept, i))
      )
    }
  }
  const results = outputs.map(now)
  const nodes = sorted(results)
  const key = `${inputs.map(({ dtype, shape }) => `${dtype}${Shape.show(shape)}`).join(";")}|${keys.join(
    ";"
  )}|${results.map((each) => `${ids.get(each.node)}.${each.output}`).join(",")}`
  return { inputs, outputs: results, nodes, key }
}

/** Whether a node does nothing but name its operand. */
const isName = (node: Node): boolean =>
  is(node, "reshape") &&
  node.label !== undefined &&
  Shape.equals(node.attributes.shape, node.inputs[0].shape)

/** Names given to results, by the operations that compute them. */
const labelled = (order: ReadonlyArray<Node>): ReadonlyMap<Node, string> => {
  const labels = new Map<Node, string>()
  for (const named of order) {
    if (!isName(named) || named.label === undefined) continue
    let [{ node, output }] = named.inputs
    for (;;) {
      if (is(node, "custom")) ({ node, output } = node.inputs[node.attributes.arguments + output])
      else if (is(node, "stopGradient") || isName(node)) [{ node, output }] = node.inputs
      else break
    }
    labels.set(node, named.label)
  }
  return labels
}

/** Which outputs of which nodes are read; and of scans, what they need of their bodies. */
const used = (
  order: ReadonlyArray<Node>,
  roots: ReadonlyArray<Tensor>,
  needed: Map<Node, Needed>
): Map<Node, Set<number>> => {
  const live = new Map<Node, Set<number>>()
  const read = (tensor: Tensor): void => {
    const known = live.get(tensor.node)
    if (known === undefined) live.set(tensor.node, new Set([tensor.output]))
    else known.add(tensor.output)
  }
  roots.forEach(read)
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]
    const wanted = live.get(node)
    if (wanted === undefined) continue
    if (is(node, "custom")) for (const i of wanted) read(node.inputs[node.attributes.arguments + i])
    else if (is(node, "scan")) {
      const part = needs(node, wanted)
      needed.set(node, part)
      for (const i of part.parameters) read(node.inputs[i])
    } else node.inputs.forEach(read)
  }
  return live
}

/** The part of a scan's body that the wanted outputs depend on, through the carried states too. */
interface Needed {
  readonly results: ReadonlyArray<number>
  readonly parameters: ReadonlyArray<number>
  readonly body: Graph
}

const parts = new WeakMap<Body, Map<string, Needed>>()

/** Found once for each body: in nested scans every level would else multiply the work. */
const needs = (node: Node<"scan">, wanted: ReadonlySet<number>): Needed => {
  const { body, carry } = node.attributes
  const known = parts.get(body) ?? new Map<string, Needed>()
  parts.set(body, known)
  const key = `${carry}:${[...wanted].sort((a, b) => a - b).join(",")}`
  const part = known.get(key) ?? partOf(body, carry, wanted)
  known.set(key, part)
  return part
}

const partOf = (body: Body, carry: number, wanted: ReadonlySet<number>): Needed => {
  const chosen = new Set(wanted)
  for (;;) {
    const results = [...chosen].sort((a, b) => a - b)
    const inner = make(
      body.parameters,
      results.map((i) => body.results[i])
    )
    const reached = new Set(inner.nodes)
    const parameters = body.parameters.flatMap((each, i) =>
      reached.has(each.node) || (i < carry && chosen.has(i)) ? [i] : []
    )
    for (const i of parameters) if (i < carry) chosen.add(i)
    if (chosen.size === results.length) {
      return {
        results,
        parameters,
        body: parameters.length === body.parameters.length ? inner : only(inner, parameters)
      }
    }
  }
}

/** The graph with fewer inputs: those left out are not used. */
const only = (graph: Graph, parameters: ReadonlyArray<number>): Graph =>
  make(
    parameters.map((i) => graph.inputs[i]),
    graph.outputs
  )

const pruneScan = (
  node: Node<"scan">,
  { results, parameters, body }: Needed,
  now: (tensor: Tensor) => Tensor
): { readonly node: Node; readonly at: ReadonlyMap<number, number> } => {
  const { carry, scanned, length, reverse } = node.attributes
  const pruned = apply(
    node.primitive as unknown as Primitive<"scan">,
    parameters.map((i) => now(node.inputs[i])),
    {
      body: closed(body),
      carry: parameters.filter((i) => i < carry).length,
      scanned: parameters.filter((i) => i >= carry && i < carry + scanned).length,
      visible: results.length,
      length,
      reverse
    },
    node.label
  )
  return { node: pruned as unknown as Node, at: new Map(results.map((result, i) => [result, i])) }
}

const bodyKeys = new WeakMap<Body, string>()

const closed = (graph: Graph): Body => {
  const body = { parameters: graph.inputs, results: graph.outputs }
  bodyKeys.set(body, graph.key)
  return body
}

const bodyKey = (body: Body): string =>
  bodyKeys.get(body) ?? make(body.parameters, body.results).key

/** The node on other inputs, in a simpler form where there is one. */
const simplify = (node: Node, inputs: ReadonlyArray<Tensor>): Node => {
  const [x] = inputs
  if (
    (is(node, "reshape") || is(node, "broadcast")) &&
    x !== undefined &&
    x.node.primitive.name === node.primitive.name
  ) {
    return remake(node, [x.node.inputs[0]])
  }
  if (is(node, "transpose") && x !== undefined && is(x.node, "transpose")) {
    const inner = x.node.attributes.permutation
    const permutation = node.attributes.permutation.map((p) => inner[p])
    return apply(node.primitive as unknown as Primitive<"transpose">, [x.node.inputs[0]], {
      permutation
    }) as unknown as Node
  }
  if (is(node, "whileLoop")) {
    const condition = make(node.attributes.condition.parameters, node.attributes.condition.results)
    const body = make(node.attributes.body.parameters, node.attributes.body.results)
    return apply(
      node.primitive as unknown as Primitive<"whileLoop">,
      inputs,
      { condition: closed(condition), body: closed(body), carry: node.attributes.carry },
      node.label
    ) as unknown as Node
  }
  if (broadcasts.has(node.primitive.name)) {
    const direct = inputs.map((each) => (is(each.node, "broadcast") ? each.node.inputs[0] : each))
    if (direct.some((each, i) => each !== inputs[i])) {
      for (const candidate of [
        direct,
        ...inputs.map((each, i) => direct.map((other, k) => (k === i ? each : other)))
      ]) {
        const shape = candidate.reduce<Shape.Shape | undefined>(
          (shape, each) => shape && Shape.broadcast(shape, each.shape),
          []
        )
        if (shape !== undefined && Shape.equals(shape, node.outputs[0].shape))
          return remake(node, candidate)
      }
    }
  }
  return inputs.every(
    (each, i) => each.node === node.inputs[i].node && each.output === node.inputs[i].output
  )
    ? node
    : remake(node, inputs)
}

/** Same attributes and outputs on other inputs: what was inferred once need not be inferred again. */
const remake = (node: Node, inputs: ReadonlyArray<Tensor>): Node => ({ ...node, inputs })

/** The primitives whose operands broadcast. */
const broadcasts: ReadonlySet<Name> = new Set<Name>([
  "add",
  "sub",
  "mul",
  "div",
  "pow",
  "remainder",
  "minimum",
  "maximum",
  "equal",
  "less",
  "lessEqual",
  "and",
  "or",
  "bitAnd",
  "bitOr",
  "bitXor",
  "shiftLeft",
  "shiftRight",
  "select"
])

const describe = (node: Node): string => {
  if (is(node, "constant")) {
    const { dtype, shape, data } = node.attributes
    return `${dtype}${Shape.show(shape)}${contents(data)}`
  }
  if (is(node, "scan")) {
    const { body, ...rest } = node.attributes
    return `${JSON.stringify(rest)}{${bodyKey(body)}}`
  }
  if (is(node, "whileLoop")) {
    const { condition, body, carry } = node.attributes
    return `${carry}{${bodyKey(condition)}}{${bodyKey(body)}}`
  }
  const text = JSON.stringify(node.attributes, finite)
  return text === "{}" ? "" : text
}

/** JSON has no infinities, and pads use them. */
const finite = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value

const hashes = new WeakMap<object, string>()

/** A constant's content: itself when short, else a 96-bit hash of its bytes, computed once. */
const contents = (data: Data): string => {
  if (data.length <= 16)
    return `=${Array.from<number | bigint, string>(data, (x) => (Object.is(x, -0) ? "-0" : String(x))).join(",")}`
  const known = hashes.get(data)
  if (known !== undefined) return known
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const text = `#${[0x811c9dc5, 0x9e3779b9, 0x85ebca6b].map((seed) => hash(bytes, seed)).join(".")}`
  hashes.set(data, text)
  return text
}

/** FNV-1a, 32 bits, over the bytes from a seed of one's own. */
const hash = (bytes: Uint8Array, seed: number): string => {
  let h = seed
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193)
  return (h >>> 0).toString(36)
}
