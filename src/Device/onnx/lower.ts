/**
 * Graphs as ONNX models.
 *
 * Every primitive has a lowering, which means what the primitive means for every dtype that it takes.
 * Values keep the names that people gave them; others are called after their primitive.
 */
import type { DType } from "../../Tensor/DType.ts"
import { is, type Node, type Spec, sorted, type Tensor } from "../../Tensor/Expression.ts"
import type { Name } from "../../Tensor/Primitive.ts"
import * as Shape from "../../Tensor/Shape.ts"
import type { Source } from "../Backend.ts"
import * as blocked from "./blocked.ts"
import * as build from "./build.ts"
import * as control from "./control.ts"
import { Emitter, type Options, type Value } from "./Emitter.ts"
import * as elementwise from "./elementwise.ts"
import type { Call, Known, Lower, Lowering } from "./Lowering.ts"
import * as linear from "./linear.ts"
import type * as Model from "./Model.ts"
import * as reduction from "./reduction.ts"
import * as structure from "./structure.ts"

const lowerings: { readonly [N in Name]: Lowering<N> } = {
  input: (_, { attributes }) => {
    throw new Error(`the input "${attributes.name}" belongs to another program`)
  },
  constant: structure.constant,
  iota: structure.iota,
  neg: elementwise.neg,
  abs: elementwise.abs,
  sign: elementwise.sign,
  exp: elementwise.exp,
  log: elementwise.log,
  sqrt: elementwise.sqrt,
  sin: elementwise.sin,
  cos: elementwise.cos,
  tan: elementwise.tan,
  asin: elementwise.asin,
  acos: elementwise.acos,
  atan: elementwise.atan,
  tanh: elementwise.tanh,
  sigmoid: elementwise.sigmoid,
  erf: elementwise.erf,
  floor: elementwise.floor,
  round: elementwise.round,
  isNaN: elementwise.isNaN,
  not: elementwise.not,
  cast: elementwise.cast,
  add: elementwise.add,
  sub: elementwise.sub,
  mul: elementwise.mul,
  div: elementwise.div,
  pow: elementwise.pow,
  remainder: elementwise.remainder,
  minimum: elementwise.minimum,
  maximum: elementwise.maximum,
  equal: elementwise.equal,
  less: elementwise.less,
  lessEqual: elementwise.lessEqual,
  and: elementwise.and,
  or: elementwise.or,
  bitAnd: elementwise.bitAnd,
  bitOr: elementwise.bitOr,
  bitXor: elementwise.bitXor,
  shiftLeft: elementwise.shiftLeft,
  shiftRight: elementwise.shiftRight,
  select: elementwise.select,
  sum: reduction.sum,
  prod: reduction.prod,
  min: reduction.min,
  max: reduction.max,
  argMax: reduction.argMax,
  argSort: reduction.argSort,
  cumSum: reduction.cumSum,
  standardize: reduction.standardize,
  broadcast: structure.broadcast,
  reshape: structure.reshape,
  transpose: structure.transpose,
  slice: structure.slice,
  pad: structure.pad,
  concat: structure.concat,
  gather: structure.gather,
  scatterAdd: structure.scatterAdd,
  matmul: linear.matmul,
  conv: linear.conv,
  convTranspose: linear.convTranspose,
  convKernel: linear.convKernel,
  pool: linear.pool,
  scan: control.scan,
  whileLoop: control.whileLoop,
  stopGradient: (_, { inputs }) => inputs,
  custom: (_, { attributes, inputs }) => inputs.slice(attributes.arguments)
}

/** A model, and how its inputs and outputs stand to the program's. */
export interface Lowered {
  readonly model: Model.Model
  /** The names of the model's inputs. */
  readonly inputs: ReadonlyArray<string>
  /** Where each of the program's outputs comes from: the model's output of this name, or an input. */
  readonly outputs: ReadonlyArray<string | number>
  /** The dtypes that occur in it. */
  readonly dtypes: ReadonlySet<DType>
}

/** The graph as a model. Outputs that are inputs are computed only where `complete` asks for it. */
export const lower = (source: Source, options: Options, complete: boolean): Lowered => {
  const { graph } = source
  const e = new Emitter(options)
  const known: Known = new Map()
  const inputs = graph.inputs.map(({ dtype, node, shape }, i) => {
    const value = e.input(source.inputNames[i] || "input", dtype, shape)
    known.set(node, [value])
    return value.hint
  })
  const values = lowering()(e, graph.outputs, known)
  const outputs = values.map((value, i): string | number => {
    const from = graph.inputs.findIndex(({ node }) => node === graph.outputs[i].node)
    return from >= 0 && !complete ? from : e.output(value, source.outputNames[i] || "output")
  })
  return { model: model(e, source.name), inputs, outputs, dtypes: e.dtypes }
}

/**
 * A step's graph as a model of many steps. Its inputs are the number of steps, the states, then
 * the scanned arrays; states that every step hands on unchanged are not among its outputs.
 */
export const lowerFold = (source: Source, state: number, options: Options): Lowered => {
  const { graph } = source
  const e = new Emitter(options)
  const length = e.input("steps", "int64", [])
  const values = graph.inputs.map(({ dtype, shape }, i) =>
    e.input(source.inputNames[i] || "input", dtype, i < state ? shape : ["elements", ...shape])
  )
  const step = {
    body: { parameters: graph.inputs, results: graph.outputs },
    carry: state,
    scanned: graph.inputs.length - state
  }
  const results = e.within("fold", () => control.fold(e, step, length, values, lowering()))
  const outputs = results.map((value, i): string | number => {
    const from = i < state ? values.indexOf(value) : -1
    return from >= 0 ? from : e.output(value, source.outputNames[i] || "output")
  })
  const inputs = [length, ...values].map(({ hint }) => hint)
  return { model: model(e, source.name), inputs, outputs, dtypes: e.dtypes }
}

const model = (e: Emitter, name: string): Model.Model => ({
  irVersion: 10,
  producer: "odeon",
  opsets: e.options.block === undefined ? { "": 21 } : { "": 21, [blocked.domain]: 1 },
  graph: e.finish(name)
})

/** Lowers expressions, with counters of its own for the names of values. */
const lowering = (): Lower => {
  const counts = new Map<Name, number>()
  const lower: Lower = (e, results, known) => {
    const nodes = sorted(results, (node) => (known.has(node) ? [] : node.inputs)).filter(
      (node) => !known.has(node)
    )
    const readers = readersOf(nodes, results)
    for (const node of nodes) known.set(node, lowerNode(e, node, known, readers))
    return results.map((result) => valueOf(result, known))
  }
  const lowerNode = (
    e: Emitter,
    node: Node,
    known: Known,
    readers: Readers
  ): ReadonlyArray<Value> => {
    const { name } = node.primitive
    const count = (counts.get(name) ?? 0) + 1
    counts.set(name, count)
    const title = node.label ?? `${name}_${count}`
    const first = e.count
    const values = e.within(title, () => {
      if (node.outputs.every(isEmpty)) {
        return node.outputs.map(({ dtype, shape }) => build.empty(e, shape, dtype))
      }
      const call: Call<Name> = {
        attributes: node.attributes,
        inputs: node.inputs.map((input) => valueOf(input, known)),
        outputs: node.outputs,
        context: {
          operands: node.inputs,
          // what comes from outside may be read there too
          only: node.inputs.map(
            (input) => !is(input.node, "input") && readers.get(input.node)?.length === 1
          ),
          readers: readers.get(node) ?? []
        }
      }
      return (lowerings[name] as Lowering<Name>)(e, call, lower)
    })
    const given = isMany(values) ? values : [values]
    given.forEach((value, i) => {
      if (value.serial >= first) value.hint = given.length === 1 ? title : `${title}.${i}`
    })
    return given
  }
  return lower
}

type Readers = ReadonlyMap<Node, ReadonlyArray<Node | undefined>>

/** What reads each node, once for each time. */
const readersOf = (nodes: ReadonlyArray<Node>, results: ReadonlyArray<Tensor>): Readers => {
  const readers = new Map<Node, Array<Node | undefined>>()
  const read = (node: Node, by: Node | undefined): void => {
    const known = readers.get(node)
    if (known === undefined) readers.set(node, [by])
    else known.push(by)
  }
  for (const node of nodes) for (const input of node.inputs) read(input.node, node)
  for (const result of results) read(result.node, undefined)
  return readers
}

const valueOf = ({ node, output }: Tensor, known: Known): Value => {
  const value = known.get(node)?.[output]
  if (value !== undefined) return value
  throw new Error(`output ${output} of ${node.primitive.name} has no value`)
}

const isEmpty = ({ shape }: Spec): boolean => Shape.size(shape) === 0

const isMany = (values: Value | ReadonlyArray<Value>): values is ReadonlyArray<Value> =>
  Array.isArray(values)
