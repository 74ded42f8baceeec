/** What it is to lower a primitive. */
import type { DType } from "../../Tensor/DType.ts"
import type { Node, Spec, Tensor } from "../../Tensor/Expression.ts"
import type { Attributes, Name } from "../../Tensor/Primitive.ts"
import type { Emitter, Value } from "./Emitter.ts"

/** A primitive on values. */
export interface Call<N extends Name> {
  readonly attributes: Attributes[N]
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Spec>
  readonly context: Context
}

/** Where a primitive stands. */
export interface Context {
  readonly operands: ReadonlyArray<Tensor>
  /** Whether each operand is read here only, so that what gives it may be merged with this. */
  readonly only: ReadonlyArray<boolean>
  /** What reads the outputs; `undefined` stands for the outside. */
  readonly readers: ReadonlyArray<Node | undefined>
}

/** Values of the nodes that are known. */
export type Known = Map<Node, ReadonlyArray<Value>>

/** Lowers expressions, given the values of the inputs that occur in them. */
export type Lower = (e: Emitter, results: ReadonlyArray<Tensor>, known: Known) => Array<Value>

/** Emits the operators that compute a primitive; gives its outputs. */
export type Lowering<N extends Name> = (
  e: Emitter,
  call: Call<N>,
  lower: Lower
) => Value | ReadonlyArray<Value>

/** A lowering with one output. */
export type Single<N extends Name> = (e: Emitter, call: Call<N>) => Value

/**
 * Computes in another dtype where the runtime has no kernel: operands of the dtype that `via` replaces are
 * converted, and results of it converted back.
 */
export const through =
  <N extends Name>(via: { readonly [D in DType]?: DType }, lowering: Single<N>): Single<N> =>
  (e, call) => {
    const replaced = (dtype: DType): DType => via[dtype] ?? dtype
    const output = call.outputs[0]
    const result = lowering(e, {
      attributes: call.attributes,
      inputs: call.inputs.map((each) => e.cast(each, replaced(each.dtype))),
      outputs: [{ shape: output.shape, dtype: replaced(output.dtype) }],
      context: call.context
    })
    return e.cast(result, output.dtype)
  }

/** `float16` has few kernels, and those that there are do not all round after each operation. */
export const halves: { readonly float16: DType } = { float16: "float32" }
