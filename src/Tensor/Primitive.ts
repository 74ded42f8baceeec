/**
 * What a primitive is: a name, attributes, a shape rule, a derivative rule and a cost.
 *
 * {@link Attributes} is the list of all primitives. Everything that must treat each of them (the
 * table of rules, each device's kernels, the test cases) is typed as a total map over its keys, so
 * that a primitive without one of these does not compile.
 *
 * @since 0.1.0
 */
import type { DType } from "./DType.ts"
import type { HostArray, Node, Spec, Tensor } from "./Expression.ts"
import type { Shape } from "./Shape.ts"

/**
 * Geometry of a convolution over the spatial axes: each list has one entry per spatial axis.
 *
 * @since 0.1.0
 * @category models
 */
export interface Window {
  readonly stride: ReadonlyArray<number>
  readonly dilation: ReadonlyArray<number>
  /** Padding with zeros before the first element. */
  readonly low: ReadonlyArray<number>
  /** Padding with zeros after the last element. */
  readonly high: ReadonlyArray<number>
  readonly groups: number
}

/**
 * Part of a graph with its own inputs, for primitives that run it many times. `parameters` are
 * `input` nodes; nothing else free occurs in `results`, since what a body uses from outside is
 * turned into further parameters when the primitive is built.
 *
 * @since 0.1.0
 * @category models
 */
export interface Body {
  readonly parameters: ReadonlyArray<Tensor>
  readonly results: ReadonlyArray<Tensor>
}

/**
 * Every primitive with its attributes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attributes {
  // leaves
  readonly input: Spec & { readonly name: string }
  readonly constant: HostArray
  readonly iota: Spec & { readonly axis: number }

  // elementwise, one operand
  readonly neg: None
  readonly abs: None
  readonly sign: None
  readonly exp: None
  readonly log: None
  readonly sqrt: None
  readonly sin: None
  readonly cos: None
  readonly tan: None
  readonly asin: None
  readonly acos: None
  readonly atan: None
  readonly tanh: None
  readonly sigmoid: None
  readonly erf: None
  readonly floor: None
  readonly round: None
  readonly isNaN: None
  readonly not: None
  readonly cast: { readonly dtype: DType }

  // elementwise, two operands that broadcast
  readonly add: None
  readonly sub: None
  readonly mul: None
  readonly div: None
  readonly pow: None
  readonly remainder: None
  readonly minimum: None
  readonly maximum: None
  readonly equal: None
  readonly less: None
  readonly lessEqual: None
  readonly and: None
  readonly or: None
  readonly bitAnd: None
  readonly bitOr: None
  readonly bitXor: None
  readonly shiftLeft: None
  readonly shiftRight: None

  // elementwise, three operands that broadcast: condition, then, otherwise
  readonly select: None

  // over axes; `axes` are sorted and not negative
  readonly sum: Reduction
  readonly prod: Reduction
  readonly min: Reduction
  readonly max: Reduction
  readonly argMax: { readonly axis: number }
  readonly argSort: { readonly axis: number; readonly descending: boolean }
  readonly cumSum: { readonly axis: number; readonly reverse: boolean; readonly exclusive: boolean }
  /**
   * Mean 0 and variance 1 over the axes from `axis` on: (x − mean) / √(variance + epsilon). Outputs: the result, and
   * 1 / √(variance + epsilon) with those axes kept as 1.
   */
  readonly standardize: { readonly axis: number; readonly epsilon: number }

  // structure
  readonly broadcast: { readonly shape: Shape }
  readonly reshape: { readonly shape: Shape }
  readonly transpose: { readonly permutation: ReadonlyArray<number> }
  /** Along each axis: `sizes` elements from `starts` on, `steps` apart (steps may be negative). */
  readonly slice: {
    readonly starts: ReadonlyArray<number>
    readonly sizes: ReadonlyArray<number>
    readonly steps: ReadonlyArray<number>
  }
  readonly pad: {
    readonly low: ReadonlyArray<number>
    readonly high: ReadonlyArray<number>
    readonly value: number
  }
  readonly concat: { readonly axis: number }
  /** Operand, indices; the indices' axes replace the axis. Negative indices count from the end; one out of
   * range is a `DeviceError` when the program runs. */
  readonly gather: { readonly axis: number }
  /** Adjoint of `gather` in its operand: indices, updates → zeros of size `size` along the axis, updates added. */
  readonly scatterAdd: { readonly axis: number; readonly size: number }

  // multilinear
  readonly matmul: None
  /** x [N, C, …], w [O, C/groups, …] → [N, O, …] */
  readonly conv: Window
  /** Adjoint of `conv` in x: y [N, O, …], w → [N, C, …spatial] */
  readonly convTranspose: Window & { readonly spatial: ReadonlyArray<number> }
  /** Adjoint of `conv` in w: x, y → [O, C/groups, …spatial] */
  readonly convKernel: Window & { readonly spatial: ReadonlyArray<number> }
  /** Pooling over windows; `mean` counts the padding as zeros, `max` ignores it. */
  readonly pool: {
    readonly kind: "max" | "mean"
    readonly window: ReadonlyArray<number>
    readonly stride: ReadonlyArray<number>
    readonly low: ReadonlyArray<number>
    readonly high: ReadonlyArray<number>
  }

  // control
  /**
   * Inputs: `carry` initial states, `scanned` arrays (first axis = step), then what the body captured.
   * Outputs: the final states, then the body's other results stacked along a new first axis: those up
   * to `visible` that were asked for, then the states, then what the derivative needs.
   */
  readonly scan: {
    readonly body: Body
    readonly carry: number
    readonly scanned: number
    readonly visible: number
    readonly length: number
    readonly reverse: boolean
  }
  /** Inputs: initial states, then captures of both bodies. Outputs: the final states. */
  readonly whileLoop: { readonly condition: Body; readonly body: Body; readonly carry: number }

  // derivatives
  readonly stopGradient: None
  /** Inputs: arguments, then values; outputs: the values, differentiated by `backward` in the arguments. */
  readonly custom: {
    readonly name: string
    readonly arguments: number
    readonly backward: (
      inputs: ReadonlyArray<Tensor>,
      outputs: ReadonlyArray<Tensor>,
      cotangents: ReadonlyArray<Tensor>
    ) => ReadonlyArray<Tensor | undefined>
  }
}

/**
 * No attributes.
 *
 * @since 0.1.0
 * @category models
 */
export type None = { readonly [K in never]: never }

/**
 * @since 0.1.0
 * @category models
 */
export interface Reduction {
  readonly axes: ReadonlyArray<number>
  readonly keepDims: boolean
}

/**
 * The name of a primitive.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof Attributes

/**
 * What a derivative rule may use besides the node: the differentiator itself, for primitives that
 * have bodies.
 *
 * @since 0.1.0
 * @category models
 */
export interface Differentiator {
  /** Cotangents of `inputs`, given those of `outputs`; `undefined` where nothing flows. */
  readonly vjp: (
    outputs: ReadonlyArray<Tensor>,
    inputs: ReadonlyArray<Tensor>,
    cotangents: ReadonlyArray<Tensor | undefined>
  ) => ReadonlyArray<Tensor | undefined>
}

/**
 * One primitive.
 *
 * @since 0.1.0
 * @category models
 */
export interface Primitive<N extends Name = Name> {
  readonly name: N
  /** Shapes and dtypes of the outputs; throws `ShapeError` or `DTypeError`. */
  readonly infer: (inputs: ReadonlyArray<Tensor>, attributes: Attributes[N]) => ReadonlyArray<Spec>
  /**
   * Cotangents of the inputs, from those of the outputs (`undefined`: zero). `wanted` says which inputs
   * lead to something that is differentiated; the others may be left `undefined`. Made of
   * primitives, so that it can be differentiated again.
   */
  readonly vjp: (
    node: Node<N>,
    cotangents: ReadonlyArray<Tensor | undefined>,
    wanted: ReadonlyArray<boolean>,
    differentiator: Differentiator
  ) => ReadonlyArray<Tensor | undefined>
  /** Multiply-accumulates, for the primitives whose cost is counted in them. */
  readonly macs?: (node: Node<N>) => number
}
