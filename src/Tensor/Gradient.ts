/**
 * Derivatives of expressions, as expressions.
 *
 * Reverse mode over the graph: every primitive's rule is made of primitives, so derivatives can
 * be differentiated again, and devices know nothing of them. Nothing here recurses on the call
 * stack, so depth is bounded by memory alone.
 *
 * @since 0.1.0
 */
import * as DType from "./DType.ts"
import type { Spec, Tensor } from "./Expression.ts"
import * as check from "./internal/check.ts"
import { differentiator } from "./internal/differentiator.ts"
import { substitute } from "./internal/rebuild.ts"
import { custom as customPrimitive, inlined, inlinedWithin } from "./primitive/control.ts"
import { stopGradient } from "./primitive/elementwise.ts"
import { fill, input } from "./primitive/structure.ts"
import * as Shape from "./Shape.ts"
import { GradientError } from "./TensorError.ts"
import * as Tree from "./Tree.ts"

/**
 * A tree of tensors with the shapes and dtypes of `T`.
 *
 * @since 0.1.0
 * @category types
 */
export type Like<T> =
  T extends Tensor<infer S, infer D> ? Tensor<S, D> : { readonly [K in keyof T]: Like<T[K]> }

const zeros = (like: Spec): Tensor => fill(0, like.shape, like.dtype)

const requireFloat = (operation: string, tensors: ReadonlyArray<Tensor>): void => {
  for (const each of tensors) {
    if (!DType.isFloat(each.dtype)) {
      throw new GradientError({
        operation,
        message: `${operation}: a tensor of dtype ${each.dtype} has no derivative; only floats do`
      })
    }
  }
}

const requireLike = (
  operation: string,
  given: ReadonlyArray<Tensor>,
  expected: ReadonlyArray<Tensor>
): void => {
  given.forEach((each, i) => {
    const other = expected[i]
    if (each.dtype !== other.dtype || !Shape.equals(each.shape, other.shape)) {
      throw new GradientError({
        operation,
        message: `${operation}: tensor ${i} is ${each.dtype}${Shape.show(each.shape)}, but must be ${other.dtype}${Shape.show(other.shape)} like its primal`
      })
    }
  })
}

/** Loops write small constants into their bodies; a derivative along them would silently be 0. */
const requireSeen = (
  operation: string,
  outputs: ReadonlyArray<Tensor>,
  wrt: ReadonlyArray<Tensor>
): void => {
  const constants = new Set(wrt.map(({ node }) => node).filter(inlined))
  if (constants.size > 0 && inlinedWithin(outputs, constants)) {
    throw new GradientError({
      operation,
      message: `${operation}: a loop uses a constant as such, so there is no derivative with respect to it; make it an input of the program`
    })
  }
}

/**
 * Gradients of a scalar expression with respect to tensors that it is made of: a tree of the same
 * structure, shapes and dtypes as `parameters`. Zeros where the loss does not depend on one.
 *
 * Throws `GradientError` if the loss is not a float scalar, a parameter is not a float, or the
 * way between them leads through a `whileLoop`.
 *
 * ```ts
 * const loss = Tensor.matmul(x, weights.w).pipe(Tensor.sub(y), Tensor.square, Tensor.mean)
 * const gradients = Gradient.of(loss, weights)
 * ```
 *
 * @since 0.1.0
 * @category gradients
 */
export const of = <const P>(loss: Tensor, parameters: P): P => {
  check.tensors("Gradient.of", [loss])
  if (Shape.size(loss.shape) !== 1) {
    throw new GradientError({
      operation: "Gradient.of",
      message: `Gradient.of: the loss has shape ${Shape.show(loss.shape)}; reduce it to a scalar with Tensor.mean or Tensor.sum, or use Gradient.vjp`
    })
  }
  return vjp([loss], parameters, [fill(1, loss.shape, loss.dtype)])
}

/**
 * Vector–Jacobian product: the cotangents of `inputs`, given those of `outputs`, that is Jᵀ·cotangents.
 * `cotangents` has the structure and shapes of `outputs`, the result those of `inputs`.
 *
 * @since 0.1.0
 * @category gradients
 */
export const vjp = <const O, const P>(outputs: O, inputs: P, cotangents: Like<O>): P => {
  const values = check.leaves("Gradient.vjp", outputs)
  const wrt = check.leaves("Gradient.vjp", inputs)
  const given = check.leavesLike("Gradient.vjp: cotangents", outputs, cotangents)
  requireFloat("Gradient.vjp", values)
  requireFloat("Gradient.vjp", wrt)
  requireLike("Gradient.vjp", given, values)
  requireSeen("Gradient.vjp", values, wrt)
  const found = differentiator.vjp(values, wrt, given)
  return Tree.refill<P>(
    inputs,
    found.map((each, i) => each ?? zeros(wrt[i]))
  )
}

/**
 * Jacobian–vector product: how `outputs` change when `inputs` move along `tangents`, that is
 * J·tangents. `tangents` has the structure and shapes of `inputs`, the result those of `outputs`.
 *
 * It is the derivative of the vector–Jacobian product in its cotangent, along the tangents (Jᵀ·w is
 * linear in w), so every primitive needs one rule only.
 *
 * @since 0.1.0
 * @category gradients
 */
export const jvp = <const O, const P>(outputs: O, inputs: P, tangents: Like<P>): O => {
  const values = check.leaves("Gradient.jvp", outputs)
  const wrt = check.leaves("Gradient.jvp", inputs)
  const given = check.leavesLike("Gradient.jvp: tangents", inputs, tangents)
  requireFloat("Gradient.jvp", values)
  requireFloat("Gradient.jvp", wrt)
  requireLike("Gradient.jvp", given, wrt)
  requireSeen("Gradient.jvp", values, wrt)
  const probes = values.map((each, i) => input(`probe ${i}`, each.shape, each.dtype))
  const pulled = differentiator.vjp(values, wrt, probes)
  const pushed = differentiator.vjp(
    pulled.filter((each) => each !== undefined),
    probes,
    given.filter((_, i) => pulled[i] !== undefined)
  )
  // what still mentions a probe does not depend on its value
  const nothing = new Map(probes.map((probe) => [probe.node, [zeros(probe)]]))
  return Tree.refill<O>(
    outputs,
    substitute(
      pushed.map((each, i) => each ?? zeros(values[i])),
      nothing
    )
  )
}

/**
 * The value, with derivative zero: nothing flows back through it.
 *
 * @since 0.1.0
 * @category gradients
 */
export const stop = stopGradient as <T extends Tensor>(tensor: T) => T

/**
 * A function with a derivative of your own. `forward` gives the values; its own derivative is never
 * taken. `backward` gets the inputs, the outputs and the outputs' cotangents, and gives the inputs'
 * cotangents, of the inputs' structure and shapes. It is made of expressions, and may be differentiated again.
 *
 * Only the inputs get a derivative: to what `forward` uses from outside nothing flows, without an error. So make
 * everything that is differentiated, weights too, part of the inputs. In a loop the state is part of them as well,
 * wherever `backward` uses it: the derivative runs in another loop, where that state is another one.
 *
 * ```ts
 * // the identity, with gradients clipped to [-1, 1]
 * const clipped = Gradient.custom({
 *   name: "clipped",
 *   forward: (x: Tensor.Tensor) => x,
 *   backward: (_x, _y, cotangent) => Tensor.clip(cotangent, { min: -1, max: 1 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category gradients
 */
export const custom =
  <I, O>(rule: {
    readonly name?: string
    readonly forward: (inputs: I) => O
    readonly backward: (inputs: I, outputs: O, cotangents: O) => I
  }): ((inputs: I) => O) =>
  (inputs) => {
    const values = rule.forward(inputs)
    const name = rule.name ?? "custom"
    const given = check.leaves(`${name}: inputs`, inputs)
    const results = customPrimitive(given, check.leaves(`${name}: forward`, values), {
      name,
      backward: (given, outputs, cotangents) =>
        check.leavesLike(
          `${name}: backward`,
          inputs,
          rule.backward(
            Tree.refill<I>(inputs, given),
            Tree.refill<O>(values, outputs),
            Tree.refill<O>(values, cotangents)
          )
        )
    })
    return Tree.refill<O>(values, results)
  }
