/** Loops: a scan is its unrolling, with all its derivatives, whatever it keeps. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it as test } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type { Tensor } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import { GradientError } from "../../src/Tensor/TensorError.ts"
import * as A from "../support/arrays.ts"
import { evaluate, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"

type Row = Tensor<readonly [number], "float64">
type Matrix = Tensor<readonly [number, number], "float64">
type Rows = Tensor<readonly [number, number], "float64">

/** What a loop starts with, what it runs over, and what its steps use from outside. */
interface Given {
  readonly h: Row
  readonly xs: Rows
  readonly w: Matrix
}

interface Way {
  readonly reverse: boolean
  readonly checkpoint: T.Checkpoint
}

/** A loop by `scan`, or by hand. */
type Loop = <const S, const Y>(
  init: S,
  over: Rows,
  step: (state: T.State<S>, x: Row) => readonly [T.State<S>, Y]
) => readonly [T.State<S>, T.Stacked<Y>]

const scanning =
  (way: Way): Loop =>
  (init, over, step) =>
    T.scan({ ...way, init, over, step })

const unrolled =
  ({ reverse }: Way): Loop =>
  <S, Y>(init: S, over: Rows, step: (state: T.State<S>, x: Row) => readonly [T.State<S>, Y]) => {
    const length = over.shape[0]
    let state = init as T.State<S>
    const results = new Array<Y>(length)
    for (let k = 0; k < length; k++) {
      const i = reverse ? length - 1 - k : k
      const [next, result] = step(state, T.at(over, i) as Row)
      state = next
      results[i] = result
    }
    // what there is to stack has no shape if there are no steps
    const stacked =
      length === 0
        ? (T.scan({ init, over, step })[1] as unknown)
        : Array.isArray(results[0])
          ? (results[0] as ReadonlyArray<unknown>).map((_, k) =>
              T.stack(results.map((each) => (each as unknown as ReadonlyArray<Tensor>)[k]))
            )
          : T.stack(results as ReadonlyArray<Tensor>)
    return [state, stacked as T.Stacked<Y>]
  }

/** A vector by a matrix. */
const times = (h: Row, w: Matrix): Row =>
  T.reshape(T.matmul(T.reshape(h, [1, h.shape[0]]), w), [h.shape[0]])

/** Loops of several kinds; each gives tensors to be added up. */
const kinds: {
  readonly [kind: string]: (given: Given, loop: Loop) => ReadonlyArray<Tensor>
} = {
  "a recurrent network": ({ h, xs, w }, loop) => {
    const [last, results] = loop(h, xs, (h, x) => {
      const next = T.tanh(T.add(times(h, w), x))
      return [next, [T.mul(next, x), T.sum(h)]]
    })
    return [last, ...results]
  },
  "two states that change places": ({ h, xs, w }, loop) => {
    const [{ a, b }, results] = loop({ a: h, b: T.sin(h) }, xs, ({ a, b }, x) => [
      { a: b, b: T.add(T.mul(T.sin(a), x), times(b, w)) },
      T.mul(a, b)
    ])
    return [a, b, results]
  },
  "a step that counts": ({ h, xs, w }, loop) => {
    const [[last, count], results] = loop(
      [h, T.scalar(0, "int32")] as const,
      xs,
      ([h, count], x) => {
        const even = T.equal(T.remainder(count, 2), 0)
        const next = T.select(even, T.mul(h, x), T.add(h, times(x, w)))
        return [[next, T.add(count, 1)], [T.mul(next, T.cast(count, "float64"))]] as const
      }
    )
    return [T.mul(last, T.cast(count, "float64")), ...results]
  },
  "a state that stays, a result that needs no state": ({ h, xs, w }, loop) => {
    const [last, results] = loop(h, xs, (h, x) => [h, [T.mul(x, T.exp(x)), T.sum(w), T.mul(h, x)]])
    return [last, ...results]
  },
  "a loop within a loop": ({ h, xs, w }, loop) => {
    const [last, results] = loop(h, xs, (h, x) => {
      const [inner, rows] = loop(T.mul(h, x), w as Rows, (h, row) => {
        const next = T.add(T.tanh(T.mul(h, row)), T.mul(x, h))
        return [next, T.sum(next)]
      })
      return [inner, T.sum(rows)]
    })
    return [last, results]
  },
  "a derivative within a loop": ({ h, xs, w }, loop) => {
    const [last, results] = loop(h, xs, (h, x) => {
      const energy = T.sum(T.sin(T.add(times(h, w), x)))
      const slope = Gradient.of(energy, { h, x })
      return [T.sub(h, T.mul(slope.h, 0.1)), slope.x]
    })
    return [last, results]
  }
}

/** The value of a loop, its gradient, and the gradient's derivative along a direction. */
const derivatives = (given: Given, make: (given: Given) => ReadonlyArray<Tensor>) => {
  const results = make(given) as ReadonlyArray<Tensor<ReadonlyArray<number>, "float64">>
  const loss = results
    .map((each, i) => T.mul(T.sum(T.sin(each)), 1 + 0.3 * i))
    .reduce((a, b) => T.add(a, b))
  const gradient = Gradient.of(loss, given)
  const along = T.add(
    T.sum(T.mul(gradient.h, 0.5)),
    T.sub(T.sum(T.mul(gradient.xs, 0.3)), T.sum(T.mul(gradient.w, 0.2)))
  )
  return { results, loss, gradient, second: Gradient.of(along, given) }
}

const runs = fc
  .record({
    width: fc.integer({ min: 1, max: 3 }),
    length: fc.integer({ min: 0, max: 7 }),
    reverse: fc.boolean(),
    seed: fc.noShrink(fc.nat())
  })
  .map(({ length, width, reverse, seed }) => ({
    reverse,
    h: A.fill([width], "float64", seed, A.uniform(-1, 1)),
    xs: A.fill([length, width], "float64", seed + 1, A.uniform(-1, 1)),
    w: A.fill([width, width], "float64", seed + 2, A.uniform(-1, 1))
  }))

const checkpoints: ReadonlyArray<T.Checkpoint> = ["none", "step", 1, 2, 3, 8]

for (const device of Devices.all) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    for (const [kind, make] of Object.entries(kinds)) {
      it.effect(`${kind}: equal to its unrolling for every checkpoint, with both derivatives`, () =>
        property(
          runs,
          Effect.fnUntraced(function* ({ h, xs, w, reverse }) {
            const { by, hand } = yield* evaluate({ h, xs, w }, (given) => ({
              by: checkpoints.map((checkpoint) =>
                derivatives(given, (given) => make(given, scanning({ reverse, checkpoint })))
              ),
              hand: derivatives(given, (given) =>
                make(given, unrolled({ reverse, checkpoint: "none" }))
              )
            }))
            by.forEach((each, i) => {
              const mode = `checkpoint ${checkpoints[i]}`
              A.agree(each.loss, hand.loss, 1e-11, `${mode}: the loss`)
              each.results.forEach((result, k) => {
                A.agree(result, hand.results[k], 1e-11, `${mode}: result ${k}`)
              })
              for (const key of ["h", "xs", "w"] as const) {
                A.agree(each.gradient[key], hand.gradient[key], 1e-11, `${mode}: d/d${key}`)
                A.agree(each.second[key], hand.second[key], 1e-10, `${mode}: second, d/d${key}`)
              }
            })
          }),
          { numRuns: device.name === "reference" ? 8 : 3 }
        )
      )
    }

    it.effect("whileLoop: runs while its condition holds, not once more", () =>
      property(
        fc.tuple(fc.integer({ min: -5, max: 60 }), fc.integer({ min: 1, max: 7 })),
        Effect.fnUntraced(function* ([start, by]) {
          const [value, steps, kept] = yield* evaluate(
            {
              start: T.hostArray(start, { dtype: "int32" }),
              by: T.hostArray(by, { dtype: "int32" })
            },
            ({ start, by }) =>
              T.whileLoop({
                init: [start, T.scalar(0, "int64"), T.scalar(2.5)],
                condition: ([value]) => T.less(value, 40),
                body: ([value, steps, kept]) => [T.add(value, by), T.add(steps, 1), kept]
              })
          )
          const count = Math.max(0, Math.ceil((40 - start) / by))
          expect([value.data[0], steps.data[0], kept.data[0]]).toEqual([
            start + count * by,
            BigInt(count),
            2.5
          ])
        }),
        { numRuns: 15 }
      )
    )

    it.effect("whileLoop: Newton's method, in the steps of a scan", () =>
      Effect.gen(function* () {
        const { last, roots } = yield* evaluate(
          { a: T.hostArray([1, 2, 9, 1e-4], { dtype: "float64" }) },
          ({ a }) => {
            const [last, roots] = T.scan({
              init: T.scalar(1, "float64"),
              over: a,
              step: (start, a) => {
                const root = T.whileLoop({
                  init: start,
                  condition: (x) => T.greater(T.abs(T.sub(T.mul(x, x), a)), 1e-13),
                  body: (x) => T.mul(T.add(x, T.div(a, x)), 0.5)
                })
                return [root, root]
              }
            })
            return { last, roots }
          }
        )
        A.close(last, [0.01], 1e-9)
        A.close(roots, [1, Math.SQRT2, 3, 0.01], 1e-9)
      })
    )
  })
}

describe("whileLoop", () => {
  const doubled = (x: Tensor<readonly [], "float32">) =>
    T.whileLoop({ init: x, condition: (x) => T.less(x, 10), body: (x) => T.mul(x, 2) })

  test("has no reverse derivative", () => {
    const x = T.scalar(1)
    expect(() => Gradient.of(doubled(x), x)).toThrow(GradientError)
    expect(() => Gradient.of(doubled(x), x)).toThrow(/whileLoop.*scan/)
  })

  test("does not stand in the way of what leads past it", () => {
    const x = T.scalar(3)
    expect(() => Gradient.of(T.mul(x, T.stopGradient(doubled(x))), x)).not.toThrow()
  })

  test("keeps a scan from having a derivative, not from being one", () => {
    const [init, over] = [T.scalar(1), T.constant([1, 2])]
    for (const checkpoint of ["none", "step", 1] as const) {
      const [last] = T.scan({
        init,
        over,
        checkpoint,
        step: (h, x) => [doubled(T.add(h, x)), []]
      })
      expect(() => Gradient.of(last, init)).toThrow(GradientError)
    }
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("deep graphs", (it) => {
  it.effect("differentiate and run without recursion", () =>
    Effect.gen(function* () {
      const { value, gradient } = yield* evaluate(
        { x: T.hostArray(1, { dtype: "float64" }) },
        ({ x }) => {
          let y: Tensor<readonly [], "float64"> = x
          for (let i = 0; i < 20_000; i++) y = T.mul(y, 1.0001)
          return { value: y, gradient: Gradient.of(y, x) }
        }
      )
      A.close(value, [1.0001 ** 20_000], 1e-9)
      A.close(gradient, [1.0001 ** 20_000], 1e-9)
    })
  )
})
