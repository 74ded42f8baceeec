/** Laws that hold whatever the numbers: linearity, adjoints, round trips, loops and their unrolling. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Device from "../../src/Device/Device.ts"
import type { Tensor as Expression, HostArray } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import type * as Shape from "../../src/Tensor/Shape.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate, property } from "../support/device.ts"
import { type Case, cases, names } from "./cases.ts"

const isFloat = ({ dtype }: HostArray | Expression) => dtype === "float64"

const noise = (like: HostArray | Expression, seed: number) =>
  A.fill(like.shape, "float64", seed, A.uniform(-1, 1))

type F64 = Tensor.Tensor<Shape.Shape, "float64">

const inner = (a: ReadonlyArray<Expression>, b: ReadonlyArray<Expression>): F64 =>
  a
    .map((each, i) => Tensor.sum(Tensor.mul(each as F64, b[i] as F64)))
    .reduce((x, y) => Tensor.add(x, y)) as F64

layer(Device.layerReference(), { excludeTestServices: true })("linear primitives", (it) => {
  for (const name of names) {
    const { linear, smooth } = cases[name]
    if (linear === undefined || typeof smooth === "string") continue
    for (const set of linear.in) {
      const which = (operands: ReadonlyArray<unknown>) =>
        set === "all" ? operands.map((_, i) => i) : set
      const arbitrary = fc.tuple(linear.cases ?? smooth, fc.noShrink(fc.nat()))

      it.effect(`${name} is linear in ${set === "all" ? "its operands" : `operands ${set}`}`, () =>
        property(
          arbitrary,
          Effect.fnUntraced(function* ([{ operands, apply }, seed]: readonly [Case, number]) {
            const varied = which(operands).filter((i) => isFloat(operands[i]))
            const others = operands.map((each, i) =>
              varied.includes(i) ? noise(each, seed + i) : each
            )
            const results = yield* evaluate([operands, others], ([x, y]) => {
              const mixed = x.map((each, i) =>
                varied.includes(i)
                  ? Tensor.add(Tensor.mul(each as F64, 2), Tensor.mul(y[i] as F64, -3))
                  : each
              )
              const [whole, left, right] = [mixed, x, y].map((each) => apply(each))
              return whole.map((each, i) => ({
                whole: each,
                parts: Tensor.add(Tensor.mul(left[i] as F64, 2), Tensor.mul(right[i] as F64, -3))
              }))
            })
            for (const { whole, parts } of results as ReadonlyArray<{
              readonly whole: HostArray
              readonly parts: HostArray
            }>) {
              A.agree(whole, parts, 1e-11)
            }
          }),
          { numRuns: 15 }
        )
      )

      it.effect(
        `${name} and its derivative in ${set === "all" ? "its operands" : `operands ${set}`} are adjoint`,
        () =>
          property(
            arbitrary,
            Effect.fnUntraced(function* ([{ operands, apply }, seed]: readonly [Case, number]) {
              const varied = which(operands).filter((i) => isFloat(operands[i]))
              const shapes = apply(operands.map((each) => Tensor.constant(each)))
              const w = shapes.map((each, i) => noise(each, seed + 31 * i))
              const [forward, backward] = (yield* evaluate({ operands, w }, ({ operands, w }) => {
                const values = apply(operands)
                const inputs = varied.map((i) => operands[i])
                const pulled = Gradient.vjp(values, inputs, w as never)
                return [inner(values, w), inner(inputs, pulled)]
              })) as unknown as ReadonlyArray<HostArray>
              A.agree(backward, forward, 1e-11)
            }),
            { numRuns: 15 }
          )
      )
    }
  }
})

const float64 = (shape: Shape.Shape) => A.array(shape, "float64", A.uniform(-2, 2))

const arrays = A.shapes({ size: A.some, min: 1 }).chain(float64)

layer(Device.layerReference(), { excludeTestServices: true })(
  "round trips and invariances",
  (it) => {
    it.effect("a reshape undone, a transpose undone, a flip undone", () =>
      property(
        fc.tuple(arrays, fc.nat()),
        Effect.fnUntraced(function* ([x, seed]: readonly [HostArray, number]) {
          const order = x.shape
            .map((_, i) => i)
            .sort((a, b) => ((a * 7 + seed) % 5) - ((b * 7 + seed) % 5))
          const back = order.map((_, i) => order.indexOf(i))
          const results = yield* evaluate({ x }, ({ x }) => [
            Tensor.reshape(Tensor.flatten(x), x.shape),
            Tensor.transpose(Tensor.transpose(x as Tensor.Any, order), back),
            Tensor.flip(Tensor.flip(x)),
            Tensor.concat(Tensor.split(x, x.shape[0]))
          ])
          for (const each of results as unknown as ReadonlyArray<HostArray>)
            expect(each).toEqual({ ...x, data: each.data })
          for (const each of results as unknown as ReadonlyArray<HostArray>)
            expect(each.data).toEqual(x.data)
        })
      )
    )

    it.effect("softmax does not see a shift, and sums to 1", () =>
      property(
        fc.tuple(arrays, fc.double({ min: -500, max: 500, noNaN: true })),
        Effect.fnUntraced(function* ([x, shift]: readonly [HostArray, number]) {
          const { plain, shifted, sums, logs } = (yield* evaluate({ x }, ({ x }) => ({
            plain: Tensor.softmax(x as F64),
            shifted: Tensor.softmax(Tensor.add(x as F64, shift)),
            logs: Tensor.exp(Tensor.logSoftmax(Tensor.sub(x as F64, shift))),
            sums: Tensor.sum(Tensor.softmax(x as F64), { axis: -1 })
          }))) as unknown as Readonly<Record<"plain" | "shifted" | "sums" | "logs", HostArray>>
          A.agree(shifted, plain, 1e-12)
          A.agree(logs, plain, 1e-12)
          A.close(
            sums,
            A.numbers(sums).map(() => 1),
            1e-12
          )
        })
      )
    )

    it.effect("normalised rows have mean 0 and variance 1, whatever their scale and shift", () =>
      property(
        fc.tuple(float64([2, 6, 5]), fc.double({ min: 0.5, max: 100, noNaN: true })),
        Effect.fnUntraced(function* ([x, scale]: readonly [HostArray, number]) {
          const { plain, moved, mean } = (yield* evaluate({ x }, ({ x }) => {
            const norm = (y: Expression) =>
              Tensor.groupNorm(y as F64, { groups: 3, epsilon: 1e-12 })
            const plain = norm(x)
            return {
              plain,
              moved: norm(Tensor.add(Tensor.mul(x as F64, scale), 7)),
              mean: Tensor.mean(Tensor.reshape(plain, [6, 10]), { axis: 1 })
            }
          })) as unknown as Readonly<Record<"plain" | "moved" | "mean", HostArray>>
          A.agree(moved, plain, 1e-8)
          A.close(mean, [0, 0, 0, 0, 0, 0], 1e-12)
        })
      )
    )
  }
)

const checkpoints = ["none", "step", 1, 2, 3, 5, 8] as const

layer(Device.layerReference(), { excludeTestServices: true })("a scan is its unrolling", (it) => {
  it.effect("in its values and all its derivatives, however they are stored", () =>
    property(
      fc.record({
        length: fc.integer({ min: 1, max: 7 }),
        reverse: fc.boolean(),
        seed: fc.nat()
      }),
      Effect.fnUntraced(function* ({ length, reverse, seed }) {
        const inputs = {
          start: A.fill([3], "float64", seed, A.uniform(-1, 1)),
          xs: A.fill([length, 3], "float64", seed + 1, A.uniform(-1, 1)),
          w: A.fill([3, 3], "float64", seed + 2, A.uniform(-1, 1))
        }
        type State = readonly [F64, Tensor.Tensor<readonly [], "int32">]
        const step =
          (w: F64) =>
          ([state, count]: State, x: F64): readonly [State, F64] => {
            const mixed = Tensor.reshape(
              Tensor.matmul(Tensor.reshape(state, [1, 3]), w as never),
              [3]
            )
            const next = Tensor.tanh(
              Tensor.add(mixed, Tensor.mul(x, Tensor.cast(count, "float64")))
            ) as F64
            return [[next, Tensor.add(count, 1)], Tensor.mul(next, state) as F64]
          }
        const results = yield* evaluate(inputs, ({ start, xs, w }) => {
          const zero = Tensor.scalar(1, "int32")
          const derived = (state: F64, stack: F64) => {
            const loss = Tensor.add(Tensor.sum(Tensor.square(state)), Tensor.sum(Tensor.sin(stack)))
            const first = Gradient.of(loss, { start, xs, w })
            const second = Gradient.of(Tensor.sum(Tensor.mul(first.w as F64, first.w as F64)), {
              start,
              xs,
              w
            })
            return { state, stack, first, second }
          }
          const unrolled = () => {
            let state: State = [start as F64, zero]
            const stack: Array<F64> = []
            for (let k = 0; k < length; k++) {
              const i = reverse ? length - 1 - k : k
              const [next, result] = step(w as F64)(state, Tensor.at(xs, i) as F64)
              state = next
              stack[i] = result
            }
            return derived(state[0], Tensor.stack(stack) as F64)
          }
          const scanned = (checkpoint: Tensor.Checkpoint) => {
            const [[state], stack] = Tensor.scan({
              init: [start, zero] as unknown as State,
              over: xs as F64,
              reverse,
              checkpoint,
              step: (state, x) => step(w as F64)(state as unknown as State, x as F64)
            })
            return derived(state as F64, stack as unknown as F64)
          }
          return { unrolled: unrolled(), scanned: checkpoints.map(scanned) }
        })
        const flat = (tree: unknown) =>
          JSON.stringify(tree, (_, value) =>
            ArrayBuffer.isView(value)
              ? Array.from(value as Float64Array, (each) => each.toFixed(10))
              : value
          )
        const { unrolled, scanned } = results as unknown as {
          readonly unrolled: unknown
          readonly scanned: ReadonlyArray<unknown>
        }
        const expected = flat(unrolled).replaceAll('"-0.0000000000"', '"0.0000000000"')
        scanned.forEach((each, i) => {
          expect(
            flat(each).replaceAll('"-0.0000000000"', '"0.0000000000"'),
            `checkpoint ${checkpoints[i]}`
          ).toBe(expected)
        })
      }),
      { numRuns: 12 }
    )
  )

  it.effect("nested three deep, with what the inner ones use from outside", () =>
    Effect.gen(function* () {
      const w = A.fill([2], "float64", 5, A.uniform(-1, 1))
      const [scanned, unrolled] = (yield* evaluate({ w }, ({ w }) => {
        const nest = (depth: number, x: F64): F64 => {
          if (depth === 0) return Tensor.sin(Tensor.mul(x, w as F64)) as F64
          const [y] = Tensor.scan({
            init: x,
            length: 2,
            step: (state) => [
              Tensor.add(nest(depth - 1, state as F64), Tensor.mul(x, 0.1)) as F64,
              []
            ]
          })
          return y as F64
        }
        const flat = (depth: number, x: F64): F64 => {
          if (depth === 0) return Tensor.sin(Tensor.mul(x, w as F64)) as F64
          let y = x
          for (let i = 0; i < 2; i++) y = Tensor.add(flat(depth - 1, y), Tensor.mul(x, 0.1)) as F64
          return y
        }
        return [nest, flat].map((f) => {
          const first = Gradient.of(Tensor.sum(f(3, w as F64)), w)
          return [first, Gradient.of(Tensor.sum(Tensor.square(first as F64)), w)]
        })
      })) as unknown as ReadonlyArray<ReadonlyArray<HostArray>>
      scanned.forEach((each, i) => A.agree(each, unrolled[i], 1e-12))
    })
  )
})
