/** Derivatives where there is a choice, and those that people make themselves. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it as test } from "vitest"
import type { Tensor } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import { GradientError } from "../../src/Tensor/TensorError.ts"
import * as A from "../support/arrays.ts"
import * as Derivatives from "../support/derivatives.ts"
import { evaluate, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"

type Float = Tensor<Shape, "float64">

/** The gradient of the sum of what a function gives. */
const slope = (values: ReadonlyArray<number>, shape: Shape, f: (x: Float) => Float) =>
  evaluate({ x: T.hostArray(values, { shape, dtype: "float64" }) }, ({ x }) =>
    Gradient.of(T.sum(f(x)), x)
  )

for (const device of Devices.all) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    it.effect("the greatest and the least share evenly", () =>
      Effect.gen(function* () {
        const values = [3, 1, 3, 1, 2, 2]
        A.close(yield* slope(values, [6], T.max), [0.5, 0, 0.5, 0, 0, 0])
        A.close(yield* slope(values, [6], T.min), [0, 0.5, 0, 0.5, 0, 0])
        A.close(yield* slope(values, [2, 3], (x) => T.max(x, { axis: 0 })), [1, 0, 1, 0, 1, 0])
        A.close(yield* slope(values, [3, 2], (x) => T.max(x, { axis: 1 })), [1, 0, 1, 0, 0.5, 0.5])
        A.close(yield* slope([5, 5, 5], [3], (x) => T.mul(T.max(x), 6)), [2, 2, 2])
        A.close(yield* slope([1, 2, 3], [3], (x) => T.maximum(x, 2)), [0, 0.5, 1])
        A.close(yield* slope([1, 2, 3], [3], (x) => T.minimum(2, x)), [1, 0.5, 0])
        A.close(yield* slope([1, 2, 3], [3], (x) => T.maximum(x, x)), [1, 1, 1])
        A.close(yield* slope([-1, 0, 1], [3], T.relu), [0, 0.5, 1])
        A.close(
          yield* slope([-2, -1, 0, 1, 2], [5], (x) => T.clip(x, { min: -1, max: 1 })),
          [0, 0.5, 1, 0.5, 0]
        )
        A.close(
          yield* slope([4, 4, 1, 4, 0, 0], [1, 1, 2, 3], (x) =>
            T.maxPool(x, { window: [1, 2], stride: 1 })
          ),
          // windows (4 4) (4 1) (4 0) (0 0)
          [0.5, 1.5, 0, 1, 0.5, 0.5]
        )
        A.close(
          yield* slope([-1, -2, -3], [1, 1, 3], (x) =>
            T.maxPool(x, { window: 2, stride: 1, padding: 1 })
          ),
          // the padding is never the greatest
          [2, 1, 1]
        )
        A.close(
          yield* slope([0, -2, 0], [1, 1, 3], (x) =>
            T.maxPool(x, { window: 2, stride: 1, padding: 1 })
          ),
          // nor as great
          [2, 0, 2]
        )
      })
    )

    it.effect("a product with zeros", () =>
      Effect.gen(function* () {
        const prod = (x: Float) => T.prod(x)
        A.close(yield* slope([2, 3, 4], [3], prod), [12, 8, 6])
        A.close(yield* slope([2, 0, 4], [3], prod), [0, 8, 0])
        A.close(yield* slope([0, 0, 4], [3], prod), [0, 0, 0])
        A.close(yield* slope([0], [1], prod), [1])
        A.close(yield* slope([0, 3, 2, 5], [2, 2], (x) => T.prod(x, { axis: 0 })), [2, 5, 0, 3])
        // its second derivative is the product of the others without both
        const second = yield* evaluate(
          { x: T.hostArray([0, 0, 4], { dtype: "float64" }) },
          ({ x }) => Gradient.of(T.at(Gradient.of(T.prod(x), x), 0), x)
        )
        A.close(second, [0, 4, 0])
      })
    )

    it.effect("at borders: no derivative is not a number", () =>
      Effect.gen(function* () {
        A.close(yield* slope([0, -0], [2], T.abs), [0, 0])
        A.close(yield* slope([0, 0], [2], (x) => T.pow(x, 2)), [0, 0])
        A.close(yield* slope([0, 2], [2], (x) => T.pow(x, 1)), [1, 1])
        A.close(yield* slope([0, 2], [2], (x) => T.pow(x, T.scalar(3, "float64"))), [0, 12])
        A.close(yield* slope([0, 0], [2], (x) => T.pow(x, T.full([2], 1, "float64"))), [1, 1])
        A.close(yield* slope([2, 3], [2], (x) => T.pow(T.zerosLike(x), x)), [0, 0])
        A.close(yield* slope([0, 0, 0], [3], (x) => T.l2Normalize(x)), [1e12, 1e12, 1e12])
        A.close(yield* slope([-100, 0, 100], [3], T.softplus), [0, 0.5, 1])
        A.close(yield* slope([-1000, 0, 1000], [3], T.sigmoid), [0, 0.25, 0])
        A.close(yield* slope([-1000, 1000], [2], T.silu), [0, 1])
        A.close(yield* slope([-1000, 1000], [2], (x) => T.gelu(x)), [0, 1])
        A.close(yield* slope([1000, 0], [2], (x) => T.softmax(x)), [0, 0])
        A.close(yield* slope([1000, 0], [2], (x) => T.logSumExp(x)), [1, 0])
        A.close(yield* slope([3, 3, 3], [1, 3], (x) => T.layerNorm(x)), [0, 0, 0])
        A.close(
          yield* slope([1, 2], [1, 2], (x) => {
            const mask = T.constant([0, 0], { shape: [1, 2], dtype: "bool" })
            return T.attention(x, T.concat([x, x]), T.concat([x, x]), {
              mask: T.broadcastTo(mask, [1, 2])
            })
          }),
          // nothing may be seen, so it is the mean of the values
          [1, 1]
        )
      })
    )

    it.effect("broadcasting: what was repeated is summed", () =>
      property(
        A.broadcasting(3, A.some).chain(([a, b, c]) =>
          fc.tuple(
            A.array(a, "float64", A.uniform(-2, 2)),
            A.array(b, "float64", A.uniform(-2, 2)),
            A.array(c, "float64", A.uniform(-2, 2))
          )
        ),
        Effect.fnUntraced(function* ([a, b, c]) {
          const { narrow, wide } = yield* evaluate({ a, b, c }, ({ a, b, c }) => {
            const f = (a: Float, b: Float, c: Float) => T.sum(T.mul(T.sin(T.mul(a, b)), c))
            const shape = T.add(T.add(a, b), c).shape
            const full = [a, b, c].map((each) => T.broadcastTo(each, shape))
            return {
              narrow: Gradient.of(f(a, b, c), [a, b, c]),
              // by hand
              wide: Gradient.of(f(full[0], full[1], full[2]), full).map((each, i) => {
                const target = [a, b, c][i].shape
                const extra = shape.length - target.length
                const axis = shape.flatMap((n, k) =>
                  k < extra || (target[k - extra] === 1 && n !== 1) ? [k] : []
                )
                return T.reshape(T.sum(each, { axis }), target)
              })
            }
          })
          narrow.forEach((each, i) => {
            A.agree(each, wide[i], 1e-11)
          })
        }),
        { numRuns: 15 }
      )
    )

    it.effect("stopGradient: the value, and nothing else", () =>
      Effect.gen(function* () {
        const { value, once, twice } = yield* evaluate(
          { x: T.hostArray([1, 2], { dtype: "float64" }) },
          ({ x }) => {
            const half = T.mul(x, T.stopGradient(T.square(x)))
            const gradient = Gradient.of(T.sum(half), x)
            return {
              value: T.stopGradient(x),
              // x · [x²]: the derivative is [x²], not 3x²
              once: gradient,
              // and that is a constant
              twice: Gradient.of(T.sum(gradient), x)
            }
          }
        )
        A.close(value, [1, 2])
        A.close(once, [1, 4])
        A.close(twice, [0, 0])
      })
    )

    it.effect("what does not matter has derivative zero, integers pass none on", () =>
      Effect.gen(function* () {
        const results = yield* evaluate(
          {
            x: T.hostArray([1.5, 2.5], { dtype: "float64" }),
            y: T.hostArray(3, { dtype: "float64" })
          },
          ({ x, y }) => ({
            unused: Gradient.of(T.sum(x), { x, y }),
            whole: Gradient.of(T.sum(T.mul(T.cast(T.cast(x, "int32"), "float64"), y)), { x, y }),
            picked: Gradient.of(T.sum(T.take(x, T.cast(T.floor(T.mul(x, 0)), "int32"))), x),
            itself: Gradient.of(y, y),
            twice: Gradient.of(T.add(y, y), y)
          })
        )
        A.close(results.unused.x, [1, 1])
        A.close(results.unused.y, [0])
        A.close(results.whole.x, [0, 0])
        A.close(results.whole.y, [3])
        A.close(results.picked, [2, 0])
        A.close(results.itself, [1])
        A.close(results.twice, [2])
      })
    )

    it.effect("custom: its rule, whatever the function; and the rule's own derivative", () =>
      Effect.gen(function* () {
        const cubed = Gradient.custom({
          name: "cubed",
          // no derivative of this is ever taken
          forward: (x: Float) => T.floor(T.mul(x, 10)),
          backward: (x, y, c) => T.mul(c, T.add(T.mul(x, x), T.mul(y, 0)))
        })
        const { value, first, second, outside } = yield* evaluate(
          {
            x: T.hostArray([1.23, -2.5], { dtype: "float64" }),
            w: T.hostArray(2, { dtype: "float64" })
          },
          ({ x, w }) => {
            const gradient = Gradient.of(T.sum(cubed(x)), x)
            const scaled = Gradient.custom({
              forward: (x: Float) => T.mul(x, w),
              backward: (_x, _y, c) => T.mul(c, w)
            })
            return {
              value: cubed(x),
              first: gradient,
              second: Gradient.of(T.sum(gradient), x),
              // nothing flows to what the function uses from outside
              outside: Gradient.of(T.sum(scaled(x)), { x, w })
            }
          }
        )
        A.close(value, [12, -25])
        A.close(first, [1.23 ** 2, 6.25])
        A.close(second, [2.46, -5])
        A.close(outside.x, [2, 2])
        A.close(outside.w, [0])
      })
    )

    it.effect("custom: in a scan, for every checkpoint", () =>
      Effect.gen(function* () {
        // the gradient of each step is cut at 1
        const clipped = Gradient.custom({
          forward: (x: Float) => T.mul(x, 3),
          backward: (_x, _y, c) => T.clip(c, { min: -1, max: 1 })
        })
        const checkpoints: ReadonlyArray<T.Checkpoint> = ["none", "step", 1, 2]
        const results = yield* evaluate({ x: T.hostArray([0.5], { dtype: "float64" }) }, ({ x }) =>
          checkpoints.map((checkpoint) => {
            const [last] = T.scan({
              init: x as Float,
              length: 5,
              checkpoint,
              step: (h) => [T.mul(clipped(h), 4), []]
            })
            return { last, gradient: Gradient.of(T.sum(last), x) }
          })
        )
        for (const { last, gradient } of results) {
          A.close(last, [0.5 * 12 ** 5])
          A.close(gradient, [1])
        }
      })
    )

    it.effect("Hessians are symmetric, and of third order there is more", () =>
      property(
        fc.integer({ min: 1, max: 3 }).chain((n) => A.array([n], "float64", A.uniform(-1, 1))),
        Effect.fnUntraced(function* (x) {
          const [n] = x.shape
          const { hessian, third, closed } = yield* evaluate({ x }, ({ x }) => {
            const f = T.exp(T.sum(T.sin(x)))
            const g = Gradient.of(f, x)
            const rows = Array.from({ length: n }, (_, i) =>
              Gradient.of(T.at(g, i) as Tensor<readonly []>, x)
            )
            const sum = T.sum(T.stack(rows))
            return {
              hessian: T.stack(rows),
              third: Gradient.of(sum, x),
              // f = eˢ with s = Σ sin x: f_ij = eˢ (cᵢ cⱼ − δᵢⱼ sᵢ)
              closed: T.mul(
                T.sub(
                  T.mul(T.reshape(T.cos(x), [n, 1]), T.cos(x)),
                  T.mul(T.eye(n, "float64"), T.sin(x))
                ),
                f
              )
            }
          })
          A.agree(hessian, closed, 1e-12)
          const values = A.numbers(x)
          const [s, c] = [Array.from(values, Math.sin), Array.from(values, Math.cos)]
          const all = (each: ReadonlyArray<number>) => each.reduce((a, b) => a + b, 0)
          const f = Math.exp(all(s))
          // the derivative of eˢ ((Σc)² − Σs)
          A.close(
            third,
            c.map((ck, k) => f * (ck * (all(c) ** 2 - all(s)) - 2 * all(c) * s[k] - ck)),
            1e-12
          )
        }),
        { numRuns: 10 }
      )
    )
  })
}

describe("derivatives that do not exist", () => {
  const x = T.constant([1, 2])
  const n = T.constant([1, 2], { dtype: "int32" })

  test("of what is no scalar, or no float", () => {
    expect(() => Gradient.of(x, x)).toThrow(/shape \[2\].*Tensor.mean/)
    expect(() => Gradient.of(T.sum(n), n)).toThrow(GradientError)
    expect(() => Gradient.of(T.sum(x), n)).toThrow(/int32/)
    expect(() => Gradient.vjp(x, x, T.constant([1, 2, 3]))).toThrow(/like its primal/)
    expect(() => Gradient.jvp(x, x, T.scalar(1) as never)).toThrow(GradientError)
  })

  test("by a rule that gives the wrong shape", () => {
    const wrong = Gradient.custom({
      name: "wrong",
      forward: (x: Tensor) => x,
      backward: () => T.scalar(1) as Tensor
    })
    expect(() => Gradient.of(T.sum(wrong(x) as Float), x)).toThrow(
      /wrong gives float32\[\].*float32\[2\]/
    )
  })
})

layer(Devices.all[0].layer, { excludeTestServices: true })("jvp", (it) => {
  it.effect("is zero along what does not matter, and for what does not change", () =>
    Effect.gen(function* () {
      const [x, y, z] = [1, 2, 3].map((value) => T.hostArray(value, { dtype: "float64" }))
      const moved = yield* evaluate({ x, y, z }, (given) => {
        const one = T.scalar(1, "float64")
        const f = { square: T.mul(given.y, given.y), fixed: one, sum: T.add(given.z, given.y) }
        const tangents = { x: T.mul(one, 7), y: one, z: T.mul(one, 10) }
        return Gradient.jvp(f, given, tangents)
      })
      A.close(moved.square, [4])
      A.close(moved.fixed, [0])
      A.close(moved.sum, [11])
    })
  )

  it.effect("of trees: moves along all inputs at once", () =>
    property(
      fc.noShrink(fc.nat()),
      Effect.fnUntraced(function* (seed) {
        const operands = [0, 1].map((i) => A.fill([2, 3], "float64", seed + i, A.uniform(0.5, 2)))
        yield* Derivatives.check(
          [
            {
              operands,
              apply: ([a, b]) => {
                const [x, y] = [a as Float, b as Float]
                return [T.mul(x, T.log(y)), T.sum(T.div(x, y), { axis: 0 }), T.scalar(3, "float64")]
              }
            }
          ],
          { seed }
        )
      }),
      { numRuns: 5 }
    )
  )
})
