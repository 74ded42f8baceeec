import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Graph from "../../src/Tensor/Graph.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const x = Tensor.spec([4])

const keyOf = (f: (x: Tensor.Tensor<readonly [4]>) => unknown) =>
  Program.makeUnsafe({ x }, ({ x }) => f(x)).graph.key

describe("canonical graphs", () => {
  it("equal computations are one node", () => {
    const { graph } = Program.makeUnsafe({ x }, ({ x }) =>
      Tensor.add(Tensor.exp(Tensor.mul(x, 2)), Tensor.exp(Tensor.mul(x, 2)))
    )
    expect(graph.nodes.filter((node) => node.primitive.name === "exp")).toHaveLength(1)
    expect(graph.nodes.filter((node) => node.primitive.name === "constant")).toHaveLength(1)
  })

  it("the same structure has the same key, names aside", () => {
    expect(keyOf((x) => Tensor.named(Tensor.sin(x), "a"))).toBe(keyOf((x) => Tensor.sin(x)))
    expect(keyOf((x) => Tensor.sin(x))).not.toBe(keyOf((x) => Tensor.cos(x)))
    expect(keyOf((x) => Tensor.add(x, 1))).not.toBe(keyOf((x) => Tensor.add(x, 2)))
    expect(keyOf((x) => Tensor.sub(x, Tensor.neg(x)))).not.toBe(
      keyOf((x) => Tensor.sub(Tensor.neg(x), x))
    )
  })

  it("long constants are told apart by their content", () => {
    const long = (last: number) =>
      Tensor.constant(Float32Array.from({ length: 100 }, (_, i) => (i === 99 ? last : i)))
    expect(keyOf(() => long(1))).toBe(keyOf(() => long(1)))
    expect(keyOf(() => long(1))).not.toBe(keyOf(() => long(2)))
  })

  it("what nobody reads is gone, inside scans too", () => {
    const { graph } = Program.makeUnsafe({ x }, ({ x }) => {
      const [, results] = Tensor.scan({
        init: { used: Tensor.scalar(0), unused: Tensor.scalar(1) },
        over: x,
        step: ({ used, unused }, each) => [
          { used: Tensor.add(used, each), unused: Tensor.exp(unused) },
          { used, unused }
        ]
      })
      return results.used
    })
    const scan = graph.nodes.find((node) => node.primitive.name === "scan")!
    expect(scan.attributes).toMatchObject({ carry: 1, scanned: 1, visible: 2 })
    expect(scan.outputs).toHaveLength(2)
  })

  it("broadcasts that elementwise operations do by themselves are gone, others stay", () => {
    const names = (f: (x: Tensor.Tensor<readonly [4]>) => Tensor.Any) =>
      Program.makeUnsafe({ x }, ({ x }) => f(x)).graph.nodes.map((node) => node.primitive.name)
    expect(names((x) => Tensor.add(Tensor.broadcastTo(x, [3, 4]), Tensor.zeros([3, 4])))).toContain(
      "broadcast"
    )
    expect(
      names((x) => Tensor.add(x, Tensor.broadcastTo(Tensor.reshape(Tensor.sum(x), [1]), [4])))
    ).not.toContain("broadcast")
  })
})

describe("programs", () => {
  it("name their inputs and outputs by path", () => {
    const program = Program.makeUnsafe({ state: { w: [x] } }, ({ state }) => ({
      next: { w: [Tensor.neg(state.w[0])] },
      loss: Tensor.sum(state.w[0])
    }))
    expect(program.inputNames).toEqual(["state.w.0"])
    expect(program.outputNames).toEqual(["next.w.0", "loss"])
  })

  it("fail, typed, when the expression does not fit", () => {
    const failure = Effect.runSync(
      Effect.flip(
        Program.make({ x }, ({ x }) => Tensor.add(x as Tensor.Tensor, Tensor.zeros([3]) as never))
      )
    )
    expect(failure._tag).toBe("ShapeError")
    expect(failure.message).toContain("add([4], [3])")
    expect(failure.message).toContain("Tensor.reshape")
  })

  it("fail when they depend on an input of another program", () => {
    let foreign: Tensor.Tensor = Tensor.zeros([4])
    Program.makeUnsafe({ x }, ({ x }) => (foreign = x))
    const failure = Effect.runSync(
      Effect.flip(Program.make({ x }, ({ x }) => Tensor.add(x as Tensor.Tensor, foreign)))
    )
    expect(failure.message).toContain('"x"')
  })

  it("let other errors of the function through as defects", () => {
    const bug = Program.make({ x }, (): Tensor.Tensor => {
      throw new TypeError("a bug")
    })
    expect(() => Effect.runSync(bug)).toThrow("a bug")
  })
})

describe("gradients refuse", () => {
  it("a loss that is no scalar", () => {
    expect(() => Gradient.of(Tensor.zeros([2]), [])).toThrow("Tensor.mean")
  })

  it("parameters that are no floats", () => {
    const count = Tensor.scalar(1, "int32")
    expect(() => Gradient.of(Tensor.cast(count, "float32"), count)).toThrow("int32")
  })

  it("to go through a whileLoop", () => {
    const start = Tensor.scalar(1)
    const end = Tensor.whileLoop({
      init: start,
      condition: (state) => Tensor.less(state, 100),
      body: (state) => Tensor.mul(state, 2)
    })
    expect(() => Gradient.of(end, start)).toThrow("Tensor.scan")
  })

  it("cotangents of another shape", () => {
    const x = Tensor.zeros([2])
    expect(() => Gradient.vjp(Tensor.sin(x), x, Tensor.zeros([3]) as never)).toThrow("float32[3]")
  })
})

it("a graph's nodes stand after their inputs", () => {
  const a = Tensor.ones([3])
  const graph = Graph.make([], [Tensor.add(Tensor.sin(a), Tensor.cos(Tensor.sin(a)))])
  const seen = new Set()
  for (const node of graph.nodes) {
    expect(node.inputs.every((each) => seen.has(each.node))).toBe(true)
    seen.add(node)
  }
})
