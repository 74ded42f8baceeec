import { describe, expect, it } from "vitest"
import * as Cost from "../../src/Tensor/Cost.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const input = <const S extends ReadonlyArray<number>>(shape: S) => Tensor.spec(shape)

describe("multiply-accumulates", () => {
  it("of a matrix product: rows × inner × columns, for each of a batch", () => {
    const program = Program.makeUnsafe({ a: input([5, 2, 3]), b: input([3, 4]) }, ({ a, b }) =>
      Tensor.matmul(a, b)
    )
    expect(Cost.of(program).macs).toBe(5 * 2 * 3 * 4)
  })

  it("of a convolution: outputs × kernel; its two derivatives cost the same", () => {
    const forward = 2 * 6 * 10 * 10 * (4 / 2) * 9
    const inputs = { x: input([2, 4, 10, 10]), w: input([6, 2, 3, 3]) }
    const value = Program.makeUnsafe(inputs, ({ x, w }) =>
      Tensor.conv(x, w, { padding: 1, groups: 2 })
    )
    expect(Cost.of(value).macs).toBe(forward)
    const both = Program.makeUnsafe(inputs, ({ x, w }) =>
      Gradient.of(Tensor.sum(Tensor.square(Tensor.conv(x, w, { padding: 1, groups: 2 }))), [x, w])
    )
    expect(Cost.of(both).macsBy).toEqual({
      conv: forward,
      convTranspose: forward,
      convKernel: forward
    })
  })

  it("inside a scan count for each step", () => {
    const program = Program.makeUnsafe({ w: input([3, 3]), x: input([1, 3]) }, ({ w, x }) =>
      Tensor.scan({ init: x, length: 7, step: (state) => [Tensor.matmul(state, w), []] })
    )
    expect(Cost.of(program).macs).toBe(7 * 9)
  })
})

describe("memory", () => {
  it("counts inputs and outputs", () => {
    const program = Program.makeUnsafe({ x: input([10]) }, ({ x }) => ({
      y: Tensor.cast(x, "float64")
    }))
    const { inputBytes, outputBytes } = Cost.of(program)
    expect([inputBytes, outputBytes]).toEqual([40, 80])
  })

  it("drops a value after its last use", () => {
    const chain = (length: number) =>
      Cost.of(
        Program.makeUnsafe({ x: input([256]) }, ({ x }) => {
          let y: Tensor.Tensor = x
          for (let i = 0; i < length; i++) y = Tensor.sin(y)
          return y
        })
      ).peakBytes
    expect(chain(2)).toBe(2 * 1024)
    expect(chain(50)).toBe(2 * 1024)
  })

  it("holds what a derivative needs until it is used", () => {
    const peak = (length: number) =>
      Cost.of(
        Program.makeUnsafe({ x: input([256]) }, ({ x }) => {
          let y: Tensor.Tensor = x
          for (let i = 0; i < length; i++) y = Tensor.sin(y)
          return Gradient.of(Tensor.sum(y), x)
        })
      ).peakBytes
    expect(peak(40) - peak(20)).toBe(20 * 1024)
  })

  it("views are free", () => {
    const program = Program.makeUnsafe({ x: input([4, 4]) }, ({ x }) =>
      Tensor.neg(Tensor.reshape(Tensor.reshape(x, [16]), [2, 8]))
    )
    expect(Cost.of(program).peakBytes).toBe(64)
  })
})

it("parameters and bytes of a tree", () => {
  const tree = { w: input([3, 4]), layers: [{ b: Tensor.spec([5], "float64") }] }
  expect(Cost.parameters(tree)).toBe(17)
  expect(Cost.bytes(tree)).toBe(12 * 4 + 5 * 8)
})
