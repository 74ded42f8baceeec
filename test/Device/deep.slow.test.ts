/** Graphs of tens of thousands of nodes: no stack overflows, nothing that grows with their square. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Cost from "../../src/Tensor/Cost.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import { agree, numbers } from "../support/arrays.ts"
import { all } from "../support/devices.ts"

type Pair = Tensor.Tensor<readonly [2]>

/** One after the other. */
const chain = (x: Pair, length: number): Pair => {
  let y = x
  for (let i = 0; i < length; i++) y = i % 2 === 0 ? Tensor.sin(y) : Tensor.mul(y, 1.5)
  return y
}

/** Many next to each other, summed up from left to right: a graph both wide and deep. */
const fan = (x: Pair, width: number): Pair => {
  let sum: Pair = Tensor.zeros([2])
  for (let i = 0; i < width; i++) sum = Tensor.add(sum, Tensor.sin(Tensor.mul(x, i / width)))
  return sum
}

/** Many next to each other, multiplied in pairs. */
const tree = (x: Pair, levels: number): Pair => {
  let row = Array.from({ length: 2 ** levels }, (_, i) =>
    Tensor.cos(Tensor.mul(x, i / 2 ** levels))
  )
  while (row.length > 1) {
    row = Array.from({ length: row.length / 2 }, (_, i) => Tensor.mul(row[2 * i], row[2 * i + 1]))
  }
  return row[0]
}

/** A loop whose step is deep. */
const loop = (x: Pair, depth: number): Pair =>
  Tensor.scan({ init: x, length: 3, step: (state) => [chain(state, depth), []] })[0]

const slope = (f: (x: Pair) => Pair) => (x: Pair) => Gradient.of(Tensor.sum(f(x)), x)

const cases: ReadonlyArray<readonly [string, number, (x: Pair) => Pair]> = [
  ["a chain", 20_000, (x) => chain(x, 20_000)],
  ["a chain's derivative", 20_000, slope((x) => chain(x, 8_001))],
  ["a chain's second derivative", 12_000, slope(slope((x) => chain(x, 2_000)))],
  ["a fan", 20_000, (x) => fan(x, 6_700)],
  ["a fan's derivative", 20_000, slope((x) => fan(x, 3_400))],
  ["a tree", 12_000, (x) => tree(x, 12)],
  ["a tree's derivative", 20_000, slope((x) => tree(x, 11))],
  ["a loop with a deep step", 0, (x) => loop(x, 5_000)],
  ["its derivative", 0, slope((x) => loop(x, 3_000))]
]

const programs = new Map<string, Program.Program<{ x: Tensor.Spec<readonly [2]> }, Tensor.Spec>>()

describe("graphs", () => {
  for (const [name, nodes, f] of cases) {
    it(`${name} is built in seconds`, () => {
      const start = performance.now()
      const program = Program.makeUnsafe({ x: Tensor.spec([2]) }, ({ x }) => f(x), { name })
      expect(performance.now() - start).toBeLessThan(10_000)
      expect(program.graph.nodes.length).toBeGreaterThanOrEqual(nodes)
      expect(Cost.of(program).peakBytes).toBeGreaterThan(0)
      programs.set(name, program)
    })
  }

  it("take time in proportion to their size", () => {
    const time = (length: number): number => {
      const start = performance.now()
      Program.makeUnsafe({ x: Tensor.spec([2]) }, ({ x }) => slope((y) => chain(y, length))(x))
      return performance.now() - start
    }
    const best = (length: number) => Math.min(time(length), time(length), time(length))
    best(1_000)
    // eight times as much takes eight times as long, not sixty-four
    expect(best(24_000) / best(3_000)).toBeLessThan(24)
  })
})

const results = new Map<string, HostArray>()

for (const { layer: provided, name: device } of all) {
  layer(provided, { excludeTestServices: true })(device, (it) => {
    for (const [name] of cases) {
      it.effect(
        `${name} is compiled and run in seconds`,
        () =>
          Effect.gen(function* () {
            const device = yield* Device.Device
            const program = programs.get(name)!
            const { compileTime, run } = yield* device.compile(program)
            expect(compileTime).toBeGreaterThan(0)
            expect(compileTime).toBeLessThan(30_000)
            const { programs: before } = yield* device.memory
            const again = yield* device.compile(program)
            expect([again.compileTime, (yield* device.memory).programs]).toEqual([0, before])
            const result = yield* device.download(yield* run({ x: Tensor.hostArray([0.3, 0.7]) }))
            expect(numbers(result).every(Number.isFinite)).toBe(true)
            const other = results.get(name)
            results.set(name, result)
            if (other === undefined) return
            agree(result, other, 1e-3, name)
          }).pipe(Effect.scoped),
        60_000
      )
    }
  })
}
