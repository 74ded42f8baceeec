/** What holds of operations whatever their operands. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type { HostArray, Tensor } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"
import { type Case, cases, names } from "./cases.ts"

type Float = Tensor<ReadonlyArray<number>, "float64">

/** A case as a function of those of its operands in which it is linear. */
interface Linear {
  readonly text: string
  readonly free: ReadonlyArray<HostArray>
  readonly apply: (free: ReadonlyArray<Float>) => ReadonlyArray<Float>
}

const linearIn = (each: Case, set: "all" | ReadonlyArray<number>): Linear => {
  const free = each.operands.flatMap((_, i) => (set === "all" || set.includes(i) ? [i] : []))
  return {
    text: `${each} in ${set}`,
    free: free.map((i) => each.operands[i]),
    apply: (tensors) =>
      each.apply(
        each.operands.map((operand, i) =>
          free.includes(i) ? tensors[free.indexOf(i)] : T.constant(operand)
        )
      ) as ReadonlyArray<Float>
  }
}

const combine = (
  a: ReadonlyArray<Float>,
  b: ReadonlyArray<Float>,
  by: number
): ReadonlyArray<Float> => a.map((each, i) => T.add(each, T.mul(b[i], by)))

layer(Device.layerReference(), { excludeTestServices: true })("linear primitives", (it) => {
  for (const name of names) {
    const { linear, smooth } = cases[name]
    if (linear === undefined || typeof smooth === "string") continue
    it.effect(
      `${name}: is linear, and its derivative is its adjoint, whose adjoint is itself`,
      () =>
        property(
          fc.tuple(
            fc.noBias(
              fc.array(
                fc
                  .tuple(linear.cases ?? smooth, fc.constantFrom(...linear.in))
                  .map(([each, set]) => linearIn(each, set)),
                { minLength: 1, maxLength: 16, size: "max" }
              )
            ),
            fc.noShrink(fc.nat())
          ),
          Effect.fnUntraced(function* ([functions, seed]) {
            let next = seed
            const noise = ({ shape }: { readonly shape: ReadonlyArray<number> }) =>
              A.fill(shape, "float64", next++, A.uniform(-2, 2))
            const inputs = functions.map(({ apply, free }) => ({
              x: free,
              other: free.map(noise),
              w: apply(free.map((each) => T.constant(each) as Float)).map(noise)
            }))
            const results = yield* evaluate(inputs, (inputs) =>
              functions.map(({ apply }, i) => {
                const [x, other, w] = [inputs[i].x, inputs[i].other, inputs[i].w] as [
                  ReadonlyArray<Float>,
                  ReadonlyArray<Float>,
                  ReadonlyArray<Float>
                ]
                const value = apply(x)
                const pulled = Gradient.vjp(value, x, w)
                return {
                  value,
                  pulled,
                  // of the adjoint in its argument, along x
                  again: Gradient.vjp(pulled, w, x),
                  whole: apply(combine(x, other, -3)),
                  parts: combine(value, apply(other), -3)
                }
              })
            )
            functions.forEach(({ free, text }, i) => {
              const { again, parts, pulled, value, whole } = results[i]
              value.forEach((each, k) => {
                A.agree(whole[k], parts[k], 1e-12, `f(x − 3y) and f(x) − 3f(y) for ${text}`)
                A.agree(again[k], each, 1e-12, `the adjoint's adjoint of ${text}`)
              })
              const there = value.reduce((sum, each, k) => sum + A.dot(each, inputs[i].w[k]), 0)
              const back = free.reduce((sum, each, k) => sum + A.dot(each, pulled[k]), 0)
              if (!(Math.abs(there - back) <= 1e-11 * A.scaleOf([there, back]))) {
                throw new Error(`⟨A x, y⟩ = ${there}, but ⟨x, Aᵀ y⟩ = ${back}: ${text}`)
              }
            })
          }),
          { numRuns: 4 }
        )
    )
  }
})

const small = A.shapes({ size: A.some })

const arrays = (shape: fc.Arbitrary<ReadonlyArray<number>>) =>
  shape.chain((shape) => A.array(shape, "float32", A.uniform(-4, 4)))

for (const device of Devices.all) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    it.effect("what is moved and moved back is the same", () =>
      property(
        fc.tuple(arrays(A.shapes({ size: A.some, min: 1 })), fc.nat(), fc.nat()),
        Effect.fnUntraced(function* ([x, a, b]) {
          const rank = x.shape.length
          const [first, second] = [a % rank, b % rank]
          const order = x.shape.map((_, i) => (i + 1 + a) % rank)
          const results = yield* evaluate({ x }, ({ x }) => ({
            reshape: T.reshape(T.reshape(x, [-1]), x.shape),
            transpose: T.transpose(
              T.transpose(x, order),
              order.map((_, i) => order.indexOf(i))
            ),
            swap: T.swapAxes(T.swapAxes(x, first, second), first, second),
            flip: T.flip(T.flip(x, { axis: first }), { axis: first }),
            expand: T.squeeze(T.expandDims(x, first), first),
            split: T.concat(T.split(x, x.shape[first], { axis: first }), { axis: first }),
            stack: T.stack(
              Array.from({ length: x.shape[first] }, (_, i) => T.at(x, i, { axis: first })),
              { axis: first }
            ),
            pad: T.slice(
              T.pad(
                x,
                x.shape.map(() => [1, 2])
              ),
              x.shape.map((n) => ({ start: 1, stop: n + 1 }))
            ),
            take: T.take(
              x,
              x.shape
                .slice(first, first + 1)
                .flatMap((n) => Array.from({ length: n }, (_, i) => i)),
              { axis: first }
            ),
            sorted: T.takeAlong(
              T.sort(x, { axis: first }),
              T.argSort(T.argSort(x, { axis: first }), { axis: first }),
              { axis: first }
            )
          }))
          for (const [name, result] of Object.entries(results)) A.agree(result, x, 0, name)
        }),
        { numRuns: 20 }
      )
    )

    it.effect("a view of a view is one view", () =>
      property(
        fc.tuple(
          arrays(A.shapes({ size: A.some, min: 3, max: 4 })),
          fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()),
          fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat())
        ),
        Effect.fnUntraced(function* ([x, first, second]) {
          const axes = x.shape.map((_, i) => i)
          const order = (keys: ReadonlyArray<number>) =>
            axes.toSorted((a, b) => keys[a] - keys[b] || a - b)
          const [p, q] = [order(first), order(second)]
          const count = A.numbers(x).length
          const results = yield* evaluate({ x }, ({ x }) => ({
            transposed: [
              T.transpose(T.transpose(x, p), q),
              T.transpose(
                x,
                q.map((i) => p[i])
              )
            ],
            reshaped: [T.reshape(T.reshape(x, [count, 1]), [1, count]), T.reshape(x, [1, count])],
            broadcast: [
              T.broadcastTo(T.broadcastTo(x, [2, ...x.shape]), [3, 2, ...x.shape]),
              T.broadcastTo(x, [3, 2, ...x.shape])
            ]
          }))
          for (const [name, [left, right]] of Object.entries(results)) A.agree(left, right, 0, name)
        }),
        { numRuns: 12 }
      )
    )

    it.effect("matrix products associate, distribute and transpose", () =>
      property(
        fc
          .tuple(A.some, A.some, A.some, A.some, A.shapes({ max: 2, size: A.some }))
          .chain(([m, k, n, p, batch]) =>
            fc.tuple(
              A.array([...batch, m, k], "float32", A.uniform(-1, 1)),
              A.array([...batch, k, n], "float32", A.uniform(-1, 1)),
              A.array([...batch, n, p], "float32", A.uniform(-1, 1))
            )
          ),
        Effect.fnUntraced(function* ([a, b, c]) {
          const results = yield* evaluate({ a, b, c }, ({ a, b, c }) => ({
            associates: [T.matmul(T.matmul(a, b), c), T.matmul(a, T.matmul(b, c))],
            distributes: [
              T.matmul(T.add(T.matmul(a, b), 1), c),
              T.add(T.matmul(T.matmul(a, b), c), T.sum(c, { axis: -2, keepDims: true }))
            ],
            transposes: [
              T.matrixTranspose(T.matmul(a, b)),
              T.matmul(T.matrixTranspose(b), T.matrixTranspose(a))
            ],
            neutral: [T.matmul(a, T.eye(a.shape[a.shape.length - 1])), a]
          }))
          for (const [name, [left, right]] of Object.entries(results)) {
            A.agree(left, right, undefined, name)
          }
        }),
        { numRuns: 20 }
      )
    )

    it.effect("softmax does not see a shift, and sums to one", () =>
      property(
        fc.tuple(
          arrays(A.shapes({ size: A.some, min: 1 })),
          fc.nat(),
          fc.float({ min: -50, max: 50, noNaN: true })
        ),
        Effect.fnUntraced(function* ([x, which, shift]) {
          const axis = which % x.shape.length
          const { moved, still, sum, log } = yield* evaluate({ x }, ({ x }) => {
            const still = T.softmax(x, { axis })
            return {
              still,
              moved: T.softmax(T.add(x, shift), { axis }),
              sum: T.sum(still, { axis }),
              log: T.exp(T.logSoftmax(x, { axis }))
            }
          })
          A.agree(moved, still)
          A.agree(log, still)
          A.close(
            sum,
            A.numbers(sum).map(() => 1)
          )
        }),
        { numRuns: 20 }
      )
    )

    it.effect(
      "a sum of sums is the sum; a cumulative sum ends with it, and differences undo it",
      () =>
        property(
          fc.tuple(arrays(A.shapes({ size: A.some, min: 1 })), fc.nat()),
          Effect.fnUntraced(function* ([x, which]) {
            const axis = which % x.shape.length
            const results = yield* evaluate({ x }, ({ x }) => {
              const sums = T.cumSum(x, { axis })
              return {
                order: [T.sum(T.sum(x, { axis })), T.sum(x)],
                last: [T.at(sums, -1, { axis }), T.sum(x, { axis })],
                inverse: [T.sub(sums, T.cumSum(x, { axis, exclusive: true })), x],
                both: [
                  T.add(sums, T.cumSum(x, { axis, reverse: true, exclusive: true })),
                  T.add(T.zerosLike(x), T.sum(x, { axis, keepDims: true }))
                ],
                mean: [
                  T.mean(T.sub(x, T.mean(x, { axis, keepDims: true })), { axis }),
                  T.mul(T.sum(x, { axis }), 0)
                ]
              }
            })
            for (const [name, [left, right]] of Object.entries(results)) {
              A.agree(left, right, undefined, name)
            }
          }),
          { numRuns: 20 }
        )
    )

    it.effect("bits: De Morgan, xor and shifts", () =>
      property(
        small.chain((shape) =>
          fc.tuple(
            A.array(shape, "uint32", A.whole(0, 2 ** 32 - 1)),
            A.array(shape, "uint32", A.whole(0, 2 ** 32 - 1)),
            A.array(shape, "uint32", A.whole(0, 31))
          )
        ),
        Effect.fnUntraced(function* ([a, b, n]) {
          const results = yield* evaluate({ a, b, n }, ({ a, b, n }) => ({
            xor: [T.bitXor(T.bitXor(a, b), b), a],
            parts: [T.add(T.bitAnd(a, b), T.bitOr(a, b)), T.add(a, b)],
            halves: [
              T.bitOr(
                T.shiftLeft(T.shiftRight(a, n), n),
                T.bitAnd(a, T.sub(T.shiftLeft(T.onesLike(a), n), 1))
              ),
              a
            ],
            signed: [T.cast(T.cast(a, "int32"), "uint32"), a]
          }))
          for (const [name, [left, right]] of Object.entries(results)) A.agree(left, right, 0, name)
        }),
        { numRuns: 20 }
      )
    )

    it.effect("fold: the result does not depend on how many steps a call takes", () =>
      property(
        fc
          .record({
            width: A.some,
            steps: fc.integer({ min: 0, max: 40 }),
            seed: fc.nat()
          })
          .map(({ width, steps, seed }) => ({
            w: A.fill([width, width], "float32", seed, A.uniform(-1, 1)),
            h: A.fill([1, width], "float32", seed + 1, A.uniform(-1, 1)),
            xs: A.fill([steps, 1, width], "float32", seed + 2, A.uniform(-1, 1))
          })),
        Effect.fnUntraced(function* ({ w, h, xs }) {
          const device = yield* Device.Device
          const [, ...element] = xs.shape
          const step = yield* Program.make(
            [{ h, count: T.spec([], "int32"), w }, { x: T.spec(element) }] as const,
            ([{ h, count, w }, { x }]) => {
              const next = T.tanh(T.add(T.matmul(h, w), x))
              return [
                { h: next, count: T.add(count, 1), w },
                { sum: T.sum(next), count, x }
              ] as const
            }
          )
          const fold = yield* device.fold(step)
          const state = { h, count: T.hostArray(0, { dtype: "int32" }), w }
          const run = Effect.fnUntraced(function* (stepsPerCall: number | undefined) {
            const [last, outputs] = yield* fold.run(
              state,
              { x: xs },
              stepsPerCall === undefined ? {} : { stepsPerCall }
            )
            return [yield* device.downloadAll(last), outputs] as const
          })
          const [singly, singleOutputs] = yield* run(1)
          for (const each of [16, 7, undefined]) {
            const [last, outputs] = yield* run(each)
            for (const key of ["h", "count", "w"] as const) A.agree(last[key], singly[key], 0, key)
            for (const key of ["sum", "count", "x"] as const) {
              A.agree(outputs[key], singleOutputs[key], 0, key)
            }
          }
          expect(Array.from(singly.count.data)).toEqual([xs.shape[0]])
          const [scanned, stacked] = yield* device.evaluate(
            T.scan({
              init: { h: T.constant(h) },
              over: T.constant(xs),
              step: ({ h }, x) => {
                const next = T.tanh(T.add(T.matmul(h, T.constant(w)), x))
                return [{ h: next }, T.sum(next)]
              }
            })
          )
          A.agree(scanned.h, singly.h)
          A.agree(stacked, singleOutputs.sum)
        }, Effect.scoped),
        { numRuns: 10 }
      )
    )
  })
}
