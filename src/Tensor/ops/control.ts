import type { Spec, Tensor } from "../Expression.ts"
import * as check from "../internal/check.ts"
import { differentiator } from "../internal/differentiator.ts"
import type { Body } from "../Primitive.ts"
import * as c from "../primitive/control.ts"
import * as s from "../primitive/structure.ts"
import type { Shape } from "../Shape.ts"
import * as Tree from "../Tree.ts"

/**
 * The tree `T` of tensors without their first axis.
 *
 * @since 0.1.0
 * @category types
 */
export type Element<T> =
  T extends Tensor<infer S, infer D>
    ? Tensor<S extends readonly [number, ...infer Rest extends Shape] ? Rest : Shape, D>
    : { readonly [K in keyof T]: Element<T[K]> }

/**
 * The tree `T` of tensors with a first axis more.
 *
 * @since 0.1.0
 * @category types
 */
export type Stacked<T> =
  T extends Tensor<infer S, infer D>
    ? Tensor<readonly [number, ...S], D>
    : { readonly [K in keyof T]: Stacked<T[K]> }

/**
 * The tree `T` of tensors, with shapes and dtypes but not the way they are computed: what a state is at every step.
 *
 * @since 0.1.0
 * @category types
 */
export type State<T> =
  T extends Tensor<infer S, infer D> ? Tensor<S, D> : { readonly [K in keyof T]: State<T[K]> }

/**
 * What the derivative of a scan keeps from the way forward:
 *
 * - `"none"`: no checkpoints, every value it needs is stored (fastest; memory grows with steps × step)
 * - `"step"`: the states are stored and each step is computed again (memory grows with steps × state)
 * - a number k: every k-th state is stored, and the k steps behind it are computed again (memory
 *   grows with steps / k states and k steps; √steps is the least)
 *
 * @since 0.1.0
 * @category models
 */
export type Checkpoint = "none" | "step" | number

/**
 * A loop with a fixed number of steps, as one primitive: `step(state, element)` gives the next state and
 * something to stack. `over` is a tree of tensors whose first axes are the steps; without it `length` says how many.
 * Gives the final state and the stacked results (first axis = step, in the order of `over` also
 * when it runs in `reverse`). Differentiable; see {@link Checkpoint}.
 *
 * What `step` uses from outside may not depend on the state, and is computed once. States keep their
 * shapes and dtypes: `ShapeError` otherwise.
 *
 * ```ts
 * const [sum, sums] = Tensor.scan({
 *   init: Tensor.scalar(0),
 *   over: Tensor.constant([1, 2, 3]),
 *   step: (total, x) => [Tensor.add(total, x), total]
 * })
 * ```
 *
 * @since 0.1.0
 * @category loops
 */
export const scan = <const S, const X = readonly [], const Y = readonly []>(options: {
  readonly init: S
  readonly over?: X
  readonly length?: number
  readonly step: (
    state: State<S>,
    element: Element<X>
  ) => readonly [state: State<NoInfer<S>>, result: Y]
  readonly reverse?: boolean
  readonly checkpoint?: Checkpoint
}): readonly [state: State<S>, results: Stacked<Y>] => {
  const init = check.leaves("scan: init", options.init)
  const over = (options.over ?? []) as X
  const arrays = check.leaves("scan: over", over)
  const length = options.length ?? arrays[0]?.shape[0]
  if (length === undefined || !Number.isInteger(length) || length < 0) {
    throw check.shapeError(
      "scan",
      arrays,
      "needs `over`, with steps along the first axes, or a whole number as `length`"
    )
  }
  for (const each of arrays) {
    if (each.shape[0] !== length) {
      throw check.shapeError(
        "scan",
        [each],
        `runs ${length} steps, but an array in \`over\` has ${each.shape[0] ?? "no first axis"}`
      )
    }
  }
  const results: { tree?: unknown } = {}
  const body = (): Body => {
    const states = init.map((each, i) => parameter(`state ${i}`, each))
    const elements = arrays.map((each, i) =>
      parameter(`element ${i}`, { shape: each.shape.slice(1), dtype: each.dtype })
    )
    const pair: readonly [State<S>, Y] = options.step(
      Tree.refill(options.init, states),
      Tree.refill(over, elements)
    )
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw check.shapeError(
        "scan",
        states,
        "the step must give a pair: the next state, and what is stacked ([] for nothing)"
      )
    }
    const [next, result] = pair
    results.tree = result
    const after = check.leavesLike("scan: next state", options.init, next)
    return {
      parameters: [...states, ...elements],
      results: [...after, ...check.leaves("scan: result", result)]
    }
  }
  const reverse = options.reverse ?? false
  const all = segmented(init, arrays, body, {
    length,
    reverse,
    checkpoint: options.checkpoint ?? "none"
  })
  return [
    Tree.refill<State<S>>(options.init, all.slice(0, init.length)),
    Tree.refill<Stacked<Y>>(results.tree, all.slice(init.length))
  ]
}

const parameter = (name: string, spec: Spec): Tensor => s.input(name, spec.shape, spec.dtype)

interface Run {
  readonly length: number
  readonly reverse: boolean
  readonly checkpoint: Checkpoint
}

/** A scan of scans, if checkpoints are every k steps; a last, shorter scan does what k leaves over. */
const segmented = (
  init: ReadonlyArray<Tensor>,
  arrays: ReadonlyArray<Tensor>,
  body: () => Body,
  { length, reverse, checkpoint }: Run
): ReadonlyArray<Tensor> => {
  if (typeof checkpoint !== "number") {
    check.choice("scan", init, "`checkpoint`, if no number,", checkpoint, ["none", "step"])
    return c.scan(init, arrays, body(), {
      length,
      reverse,
      store: checkpoint === "none" ? differentiator : undefined
    })
  }
  if (!Number.isInteger(checkpoint) || checkpoint < 1) {
    throw check.shapeError(
      "scan",
      init,
      `a checkpoint every ${checkpoint} steps is not a whole number of at least 1`
    )
  }
  const segments = Math.floor(length / checkpoint)
  const covered = segments * checkpoint
  const cut = (from: number, count: number) =>
    arrays.map((each) =>
      s.slice(each, [from, ...each.shape.slice(1).map(() => 0)], [count, ...each.shape.slice(1)])
    )
  const segment = (): Body => {
    const states = init.map((each, i) => parameter(`state ${i}`, each))
    const blocks = arrays.map((each, i) =>
      parameter(`block ${i}`, { shape: [checkpoint, ...each.shape.slice(1)], dtype: each.dtype })
    )
    const results = c.scan(states, blocks, body(), {
      length: checkpoint,
      reverse,
      store: differentiator
    })
    return { parameters: [...states, ...blocks], results }
  }
  const start = reverse ? length - covered : 0
  const main = (from: ReadonlyArray<Tensor>) =>
    c.scan(
      from,
      cut(start, covered).map((each) =>
        s.reshape(each, [segments, checkpoint, ...each.shape.slice(1)])
      ),
      segment(),
      { length: segments, reverse, store: undefined }
    )
  const count = init.length
  const done = segments === 0 ? init : main(init)
  const flat = done.slice(count).map((each) => s.reshape(each, [covered, ...each.shape.slice(2)]))
  const rest = length - covered
  if (rest === 0 && segments > 0) return [...done.slice(0, count), ...flat]
  const last = c.scan(done.slice(0, count), cut(reverse ? 0 : covered, rest), body(), {
    length: rest,
    reverse,
    store: differentiator
  })
  const tail = last.slice(count)
  return [
    ...last.slice(0, count),
    ...tail.map((each, i) =>
      segments === 0 ? each : s.concat(reverse ? [each, flat[i]] : [flat[i], each], 0)
    )
  ]
}

/**
 * A loop that runs `body` on the state as long as `condition` holds, decided on the device. Gives the final state.
 * It has no reverse derivative: `GradientError`; see `Gradient.custom`.
 *
 * @since 0.1.0
 * @category loops
 */
export const whileLoop = <const S>(options: {
  readonly init: S
  readonly condition: (state: State<S>) => Tensor<readonly [], "bool">
  readonly body: (state: State<S>) => State<S>
}): State<S> => {
  const init = check.leaves("whileLoop: init", options.init)
  const open = (name: "condition" | "body"): Body => {
    const parameters = init.map((each, i) => parameter(`state ${i}`, each))
    const results = options[name](Tree.refill(options.init, parameters))
    return {
      parameters,
      results:
        name === "body"
          ? check.leavesLike("whileLoop: body", options.init, results)
          : check.leaves("whileLoop: condition", results)
    }
  }
  return Tree.refill(options.init, c.whileLoop(init, open("condition"), open("body")))
}
