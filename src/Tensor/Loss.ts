/**
 * Losses: how far an estimate is from a target, as a scalar.
 *
 * Each takes `reduction`: `"mean"` (the default), `"sum"`, or `"none"` for the value of each element.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import type { Float, Integer } from "./DType.ts"
import { isTensor, type Tensor } from "./Expression.ts"
import * as check from "./internal/check.ts"
import { oneHot } from "./ops/create.ts"
import { logSoftmax, softplus } from "./ops/nn.ts"
import * as e from "./primitive/elementwise.ts"
import * as s from "./primitive/structure.ts"
import type { Later, Shape } from "./Shape.ts"
import * as Shapes from "./Shape.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<R extends "mean" | "sum" | "none"> {
  readonly reduction?: R
}

type Reduced<S extends Shape, R> = R extends "none" ? S : readonly []

const reduce = (x: Tensor, reduction: "mean" | "sum" | "none" = "mean"): Tensor => {
  check.choice("Loss", [x], "`reduction`", reduction, ["mean", "sum", "none"])
  if (reduction === "none") return x
  const total = s.sum(
    x,
    x.shape.map((_, i) => i),
    false
  )
  return reduction === "sum" ? total : e.mul(total, s.scalar(1 / Shapes.size(x.shape), x.dtype))
}

interface Distance<O> {
  <S extends Shape, D extends Float, const R extends "mean" | "sum" | "none" = "mean">(
    estimate: Tensor<S, D>,
    target: Tensor<NoInfer<S>, NoInfer<D>>,
    options?: Options<R> & O
  ): Tensor<Reduced<S, R>, D>
  <S extends Shape, D extends Float, const R extends "mean" | "sum" | "none" = "mean">(
    target: Tensor<S, D>,
    options?: Options<R> & O
  ): Later<D, (estimate: Tensor<S, D>) => Tensor<Reduced<S, R>, D>>
}

const distance = <O>(
  operation: string,
  f: (difference: Tensor, options: O) => Tensor
): Distance<O> =>
  dual(
    (args) => isTensor(args[1]),
    (
      estimate: Tensor,
      target: Tensor,
      options: Options<"mean" | "sum" | "none"> & O = {} as Options<"mean"> & O
    ) => {
      check.dtypes(operation, [estimate, target], "floats")
      if (!Shapes.equals(estimate.shape, target.shape)) {
        throw check.shapeError(
          operation,
          [estimate, target],
          "estimate and target must have one shape: broadcasting here is nearly always a mistake"
        )
      }
      return reduce(f(e.sub(estimate, target), options), options.reduction)
    }
  ) as never

/**
 * (x − y)².
 *
 * @since 0.1.0
 * @category losses
 */
export const mse: Distance<{}> = distance("Loss.mse", (difference) => e.mul(difference, difference))

/**
 * |x − y|.
 *
 * @since 0.1.0
 * @category losses
 */
export const l1: Distance<{}> = distance("Loss.l1", (difference) => e.abs(difference))

/**
 * Huber's loss: ½d² up to |d| = δ (1 unless told), δ(|d| − ½δ) beyond.
 *
 * @since 0.1.0
 * @category losses
 */
export const huber: Distance<{ readonly delta?: number }> = distance(
  "Loss.huber",
  (difference, { delta = 1 }) => {
    const size = e.abs(difference)
    const bound = s.scalar(delta, size.dtype)
    const near = e.minimum(size, bound)
    // near·(|d| − near/2) is both branches at once
    return e.mul(near, e.sub(size, e.mul(near, s.scalar(0.5, size.dtype))))
  }
)

/**
 * −log of the probability that `logits` `[…, classes]` give the class that `labels` `[…]` name. A logit may be −∞;
 * a label that is no class counts as 0.
 *
 * @since 0.1.0
 * @category losses
 */
export const crossEntropy = <D extends Float, const R extends "mean" | "sum" | "none" = "mean">(
  logits: Tensor<Shape, D>,
  labels: Tensor<Shape, Integer>,
  options?: Options<R>
): Tensor<R extends "none" ? Shape : readonly [], D> => {
  check.dtypes("Loss.crossEntropy", [logits], "floats")
  check.dtypes("Loss.crossEntropy: labels", [labels], "integers")
  const classes = logits.shape[check.axis("Loss.crossEntropy", logits, -1)]
  if (!Shapes.equals(logits.shape.slice(0, -1), labels.shape)) {
    throw check.shapeError(
      "Loss.crossEntropy",
      [logits, labels],
      "labels need the shape of the logits without their last axis"
    )
  }
  // selected, not multiplied: a class that is ruled out by a logit of −∞ adds 0, not NaN
  const chosen = e.select(
    oneHot(labels, classes, "bool"),
    logSoftmax(logits),
    s.scalar(0, logits.dtype)
  )
  return reduce(e.neg(s.sum(chosen, [logits.shape.length - 1], false)), options?.reduction) as never
}

/**
 * −log of the probability that `logits` give targets between 0 and 1, each element on its own: softplus(x) − x·y.
 *
 * @since 0.1.0
 * @category losses
 */
export const binaryCrossEntropy = <
  S extends Shape,
  D extends Float,
  const R extends "mean" | "sum" | "none" = "mean"
>(
  logits: Tensor<S, D>,
  targets: Tensor<NoInfer<S>, NoInfer<D>>,
  options?: Options<R>
): Tensor<Reduced<S, R>, D> => {
  check.dtypes("Loss.binaryCrossEntropy", [logits, targets], "floats")
  if (!Shapes.equals(logits.shape, targets.shape)) {
    throw check.shapeError(
      "Loss.binaryCrossEntropy",
      [logits, targets],
      "logits and targets must have one shape"
    )
  }
  return reduce(e.sub(softplus(logits), e.mul(logits, targets)), options?.reduction) as never
}
