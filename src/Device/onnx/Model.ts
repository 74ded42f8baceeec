/**
 * The part of the ONNX file format that Odeon writes, as plain values, and its encoder.
 *
 * Names and meanings are those of `onnx.proto`; what is not needed here is left out. A model is
 * encoded in one pass over its values, so that a graph of many thousand nodes takes milliseconds.
 *
 * @since 0.1.0
 */
import { BinaryWriter } from "@bufbuild/protobuf/wire"
import type { Data, DType } from "../../Tensor/DType.ts"
import type { Shape } from "../../Tensor/Shape.ts"

/**
 * A whole file: a graph and the operator sets that its nodes are from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Model {
  /** Version of the file format. */
  readonly irVersion: number
  readonly producer: string
  /** Version of each operator set, by domain; the standard one is `""`. */
  readonly opsets: { readonly [domain: string]: number }
  readonly graph: Graph
}

/**
 * Nodes in topological order, with what they read and what they give. A graph inside a node sees
 * the names of the graphs around it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Graph {
  readonly name: string
  readonly nodes: ReadonlyArray<Node>
  readonly inputs: ReadonlyArray<ValueInfo>
  readonly outputs: ReadonlyArray<ValueInfo>
  readonly initializers: ReadonlyArray<Tensor>
}

/**
 * An operator applied to values, which are known by their names. An input `""` is left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  readonly name: string
  readonly domain: string
  readonly operator: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes: Attributes
}

/**
 * Attributes by name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attributes {
  readonly [name: string]: Attribute
}

/**
 * An attribute's value: text as a string, an integer as a number, integers as an array of them.
 *
 * @since 0.1.0
 * @category models
 */
export type Attribute = string | number | ReadonlyArray<number> | Float | Graph

/**
 * An attribute that is a `float32` number, even where it is whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface Float {
  readonly float: number
}

/**
 * A constant. Its bytes are written as they lie in memory.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tensor {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  readonly data: Data
}

/**
 * Name, dtype and shape of an input or output. A size that is only known when the model runs has a
 * name instead.
 *
 * @since 0.1.0
 * @category models
 */
export interface ValueInfo {
  readonly name: string
  readonly dtype: DType
  readonly shape: ReadonlyArray<number | string>
}

/**
 * The number that stands for a dtype in the format (`TensorProto.DataType`).
 *
 * @since 0.1.0
 * @category constants
 */
export const dataTypes: { readonly [D in DType]: number } = {
  float32: 1,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12
}

/**
 * The model as the bytes of an `.onnx` file.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encode = (model: Model): Uint8Array<ArrayBuffer> => {
  const writer = new BinaryWriter()
  writer.uint32(tag.model.irVersion).int64(model.irVersion)
  writer.uint32(tag.model.producer).string(model.producer)
  for (const [domain, version] of Object.entries(model.opsets)) {
    writer.uint32(tag.model.opset).fork()
    writer.uint32(tag.opset.domain).string(domain)
    writer.uint32(tag.opset.version).int64(version)
    writer.join()
  }
  writer.uint32(tag.model.graph)
  writeGraph(writer, model.graph)
  return writer.finish()
}

const varint = (field: number): number => field << 3
const delimited = (field: number): number => (field << 3) | 2
const fixed32 = (field: number): number => (field << 3) | 5

/** Field numbers of `onnx.proto`, with their wire types. */
const tag = {
  model: { irVersion: varint(1), producer: delimited(2), graph: delimited(7), opset: delimited(8) },
  opset: { domain: delimited(1), version: varint(2) },
  graph: {
    node: delimited(1),
    name: delimited(2),
    initializer: delimited(5),
    input: delimited(11),
    output: delimited(12)
  },
  node: {
    input: delimited(1),
    output: delimited(2),
    name: delimited(3),
    operator: delimited(4),
    attribute: delimited(5),
    domain: delimited(7)
  },
  attribute: {
    name: delimited(1),
    float: fixed32(2),
    int: varint(3),
    string: delimited(4),
    graph: delimited(6),
    ints: delimited(8),
    type: varint(20)
  },
  tensor: { dims: delimited(1), dataType: varint(2), name: delimited(8), raw: delimited(9) },
  info: { name: delimited(1), type: delimited(2) },
  type: { tensor: delimited(1) },
  tensorType: { element: varint(1), shape: delimited(2) },
  shape: { dim: delimited(1) },
  dim: { value: varint(1), parameter: delimited(2) }
}

/** `AttributeProto.AttributeType` */
const kinds = { float: 1, int: 2, string: 3, graph: 5, ints: 7 }

const writeGraph = (writer: BinaryWriter, graph: Graph): void => {
  writer.fork()
  for (const node of graph.nodes) writeNode(writer, node)
  writer.uint32(tag.graph.name).string(graph.name)
  for (const tensor of graph.initializers) writeTensor(writer, tensor)
  for (const info of graph.inputs) writeInfo(writer, tag.graph.input, info)
  for (const info of graph.outputs) writeInfo(writer, tag.graph.output, info)
  writer.join()
}

const writeNode = (writer: BinaryWriter, node: Node): void => {
  writer.uint32(tag.graph.node).fork()
  for (const input of node.inputs) writer.uint32(tag.node.input).string(input)
  for (const output of node.outputs) writer.uint32(tag.node.output).string(output)
  writer.uint32(tag.node.name).string(node.name)
  writer.uint32(tag.node.operator).string(node.operator)
  for (const name of Object.keys(node.attributes)) {
    writeAttribute(writer, name, node.attributes[name])
  }
  if (node.domain !== "") writer.uint32(tag.node.domain).string(node.domain)
  writer.join()
}

const writeAttribute = (writer: BinaryWriter, name: string, value: Attribute): void => {
  writer.uint32(tag.node.attribute).fork()
  writer.uint32(tag.attribute.name).string(name)
  if (typeof value === "number") {
    writer.uint32(tag.attribute.int).int64(value)
    writer.uint32(tag.attribute.type).int32(kinds.int)
  } else if (typeof value === "string") {
    writer.uint32(tag.attribute.string).string(value)
    writer.uint32(tag.attribute.type).int32(kinds.string)
  } else if (isInts(value)) {
    writeInts(writer, tag.attribute.ints, value)
    writer.uint32(tag.attribute.type).int32(kinds.ints)
  } else if ("float" in value) {
    writer.uint32(tag.attribute.float).float(value.float)
    writer.uint32(tag.attribute.type).int32(kinds.float)
  } else {
    writer.uint32(tag.attribute.graph)
    writeGraph(writer, value)
    writer.uint32(tag.attribute.type).int32(kinds.graph)
  }
  writer.join()
}

const isInts = (value: Attribute): value is ReadonlyArray<number> => Array.isArray(value)

const writeInts = (writer: BinaryWriter, field: number, values: ReadonlyArray<number>): void => {
  writer.uint32(field).fork()
  for (const value of values) writer.int64(value)
  writer.join()
}

const writeTensor = (writer: BinaryWriter, { name, dtype, shape, data }: Tensor): void => {
  writer.uint32(tag.graph.initializer).fork()
  if (shape.length > 0) writeInts(writer, tag.tensor.dims, shape)
  writer.uint32(tag.tensor.dataType).int32(dataTypes[dtype])
  writer.uint32(tag.tensor.name).string(name)
  writer.uint32(tag.tensor.raw).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  writer.join()
}

const writeInfo = (
  writer: BinaryWriter,
  field: number,
  { name, dtype, shape }: ValueInfo
): void => {
  writer.uint32(field).fork()
  writer.uint32(tag.info.name).string(name)
  writer.uint32(tag.info.type).fork()
  writer.uint32(tag.type.tensor).fork()
  writer.uint32(tag.tensorType.element).int32(dataTypes[dtype])
  writer.uint32(tag.tensorType.shape).fork()
  for (const size of shape) {
    writer.uint32(tag.shape.dim).fork()
    if (typeof size === "string") writer.uint32(tag.dim.parameter).string(size)
    else writer.uint32(tag.dim.value).int64(size)
    writer.join()
  }
  writer.join().join().join().join()
}
