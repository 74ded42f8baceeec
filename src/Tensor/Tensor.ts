/**
 * Typed tensor expressions.
 *
 * A tensor here is a description, not memory: `Tensor.add(a, b)` computes nothing, it gives an
 * immutable value that knows its shape, its dtype and how it would be computed. A `Program` closes
 * expressions over inputs, and a `Device` runs programs.
 *
 * Functions are dual: `Tensor.add(a, b)` and `a.pipe(Tensor.add(b))`. Axes may be negative, counting
 * from the end. What does not fit is a compile-time error where types know the shapes, else a `ShapeError` or
 * `DTypeError` thrown where the expression is built.
 *
 * ```ts
 * const hidden = x.pipe(Tensor.matmul(w1), Tensor.add(b1), Tensor.silu)
 * const loss = hidden.pipe(Tensor.matmul(w2), Loss.mse(y))
 * ```
 *
 * @since 0.1.0
 */
import type { DType } from "./DType.ts"
import type { Tensor as Expression } from "./Expression.ts"
import type { Shape } from "./Shape.ts"

/**
 * A description of an array, `float32` unless told: its shape, its dtype, and how it would be computed.
 *
 * @since 0.1.0
 * @category models
 */
export type Tensor<S extends Shape = Shape, D extends DType = "float32"> = Expression<S, D>

/**
 * A tensor of whatever shape and dtype.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Expression

export type { HostArray, Spec } from "./Expression.ts"
export * from "./ops/control.ts"
export * from "./ops/create.ts"
export * from "./ops/elementwise.ts"
export * from "./ops/linear.ts"
export * from "./ops/nn.ts"
export * from "./ops/reduce.ts"
export * from "./ops/shape.ts"
export { spec } from "./Program.ts"
