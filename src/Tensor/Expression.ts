/**
 * The nodes that expressions are made of: what devices and derivative rules look at. To build
 * expressions, use `Tensor`.
 *
 * A tensor is one output of a node; a node is a primitive applied to tensors. Nodes are immutable
 * and know their outputs' shapes and dtypes; identity is by reference, and no node knows who uses
 * it.
 *
 * @since 0.1.0
 */
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type { Data, DType } from "./DType.ts"
import type { Attributes, Name, Primitive } from "./Primitive.ts"
import type { Shape } from "./Shape.ts"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId = "~odeon/Tensor" as const

/**
 * A description of an array: its shape, its dtype and how it would be computed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tensor<out S extends Shape = Shape, out D extends DType = DType> extends Pipeable {
  readonly [TypeId]: typeof TypeId
  /** Sizes of the axes. */
  readonly shape: S
  /** Type of the elements. */
  readonly dtype: D
  /** The operation that gives it. */
  readonly node: Node
  /** Which of the operation's outputs it is. */
  readonly output: number
}

/**
 * Shape and dtype, without a way to compute them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Spec<out S extends Shape = Shape, out D extends DType = DType> {
  readonly shape: S
  readonly dtype: D
}

/**
 * An array on the host: `data` in row-major order.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostArray<out S extends Shape = Shape, out D extends DType = DType>
  extends Spec<S, D> {
  readonly data: Data<D>
}

/**
 * A primitive applied to tensors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node<N extends Name = Name> {
  readonly primitive: Primitive<N>
  readonly inputs: ReadonlyArray<Tensor>
  readonly attributes: Attributes[N]
  readonly outputs: ReadonlyArray<Spec>
  /** The name a person gave it with `Tensor.named`; shown in errors, profiles and model files. */
  readonly label: string | undefined
}

class TensorImpl implements Tensor {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly node: Node
  readonly output: number
  readonly shape: Shape
  readonly dtype: DType
  constructor(node: Node, output: number) {
    this.node = node
    this.output = output
    const spec = node.outputs[output]
    this.shape = spec.shape
    this.dtype = spec.dtype
  }
  pipe() {
    // biome-ignore lint/complexity/noArguments: pipeArguments takes the arguments object
    return pipeArguments(this, arguments)
  }
  toString() {
    return `Tensor(${this.node.label ?? this.node.primitive.name}, ${this.dtype}[${this.shape.join(", ")}])`
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isTensor = (u: unknown): u is Tensor =>
  typeof u === "object" && u !== null && TypeId in u

/**
 * Applies a primitive; throws what its shape rule throws.
 *
 * @since 0.1.0
 * @category constructors
 */
export const apply = <N extends Name>(
  primitive: Primitive<N>,
  inputs: ReadonlyArray<Tensor>,
  attributes: Attributes[N],
  label?: string
): Node<N> => ({
  primitive,
  inputs,
  attributes,
  outputs: primitive.infer(inputs, attributes),
  label
})

/**
 * The tensor that a node's output is.
 *
 * @since 0.1.0
 * @category getters
 */
export const output = (node: Node, index = 0): Tensor => new TensorImpl(node, index)

/**
 * Applies a primitive with one output.
 *
 * @since 0.1.0
 * @category constructors
 */
export const applyOne = <N extends Name>(
  primitive: Primitive<N>,
  inputs: ReadonlyArray<Tensor>,
  attributes: Attributes[N]
): Tensor => output(apply(primitive, inputs, attributes) as unknown as Node)

/**
 * Whether a node is an application of a given primitive, narrowing its attributes.
 *
 * @since 0.1.0
 * @category guards
 */
export const is = <N extends Name>(node: Node, name: N): node is Node & Node<N> =>
  node.primitive.name === name

/**
 * The nodes that `roots` depend on, each after its inputs. Iterative, so depth is bounded by
 * memory alone. `through` says which tensors to follow; by default all.
 *
 * @since 0.1.0
 * @category getters
 */
export const sorted = (
  roots: ReadonlyArray<Tensor>,
  through: (node: Node) => ReadonlyArray<Tensor> = (node) => node.inputs
): Array<Node> => {
  const done = new Set<Node>()
  const order: Array<Node> = []
  const stack: Array<{
    readonly node: Node
    readonly inputs: ReadonlyArray<Tensor>
    next: number
  }> = []
  const open = new Set<Node>()
  const enter = (node: Node) => {
    if (done.has(node) || open.has(node)) return
    open.add(node)
    stack.push({ node, inputs: through(node), next: 0 })
  }
  for (const root of roots) {
    enter(root.node)
    while (stack.length > 0) {
      const top = stack[stack.length - 1]
      if (top.next < top.inputs.length) {
        enter(top.inputs[top.next++].node)
      } else {
        stack.pop()
        open.delete(top.node)
        done.add(top.node)
        order.push(top.node)
      }
    }
  }
  return order
}
