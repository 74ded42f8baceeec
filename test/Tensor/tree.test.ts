import { describe, expect, it } from "vitest"
import type { Node } from "../../src/Tensor/Expression.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as Tree from "../../src/Tensor/Tree.ts"

const tree = {
  encoder: [{ weight: Tensor.zeros([2, 3]), bias: Tensor.zeros([3]) }],
  head: Tensor.zeros([3, 1])
}

it("leaves have readable paths, from left to right", () => {
  expect(Tree.entries<Tensor.Tensor>(tree).map(([path, { shape }]) => [path, shape])).toEqual([
    ["encoder.0.weight", [2, 3]],
    ["encoder.0.bias", [3]],
    ["head", [3, 1]]
  ])
  expect(Tree.entries(tree.head)).toEqual([["", tree.head]])
  expect(Tree.leaves([])).toEqual([])
})

it("map keeps the structure and tells the path", () => {
  const paths: Array<string> = []
  const mapped = Tree.map(tree, (leaf, path) => {
    paths.push(path)
    return Tensor.neg(leaf)
  })
  expect(paths).toEqual(["encoder.0.weight", "encoder.0.bias", "head"])
  expect(mapped.encoder[0].weight.node.primitive.name).toBe("neg")
  expect(mapped.encoder[0].weight.shape).toEqual([2, 3])
})

it("zipWith combines leaf by leaf", () => {
  const sum = Tree.zipWith([tree, tree], (a, b) => Tensor.add(a, b))
  expect(sum.head.node.inputs.map((each) => each.node)).toEqual([tree.head.node, tree.head.node])
})

describe("records with their keys in another order", () => {
  const abc = { a: Tensor.spec([1]), b: [Tensor.spec([2])], c: Tensor.spec([3]) }
  const cab = { c: abc.c, a: abc.a, b: abc.b }

  it("are the same tree to leavesLike and zipWith", () => {
    expect(Tree.leavesLike(abc, cab)).toEqual([abc.a, abc.b[0], abc.c])
    expect(Tree.zipWith([abc, cab], (_, other) => other as never)).toEqual(abc)
  })

  it("are not what trees with other keys are", () => {
    expect(Tree.leavesLike(abc, { ...cab, d: abc.a })).toBeUndefined()
    expect(Tree.leavesLike(abc, { a: abc.a, b: abc.b, d: abc.c })).toBeUndefined()
    expect(() => Tree.zipWith([abc, { a: abc.a }], (each) => each)).toThrow(
      "the trees differ: one has the leaves (a, b.0, c), another (a)"
    )
  })

  it("are the same state to loops", () => {
    const init = { a: Tensor.scalar(1), b: Tensor.scalar(2) }
    const [state] = Tensor.scan({
      init,
      length: 1,
      step: ({ a, b }) => [{ b: Tensor.neg(b), a }, []]
    })
    const [a, b] = state.a.node.inputs
    expect([a, b]).toEqual([init.a, init.b])
    expect([state.a.output, state.b.output]).toEqual([0, 1])
    const { body } = (state.a.node as Node<"scan">).attributes
    expect(body.results[0].node).toBe(body.parameters[0].node)
    expect(() =>
      Tensor.scan({ init, length: 1, step: ({ a }) => [{ a, c: a } as never, []] })
    ).toThrow("scan: next state([], []): there are (a, c), where (a, b) are wanted")
    const last = Tensor.whileLoop({
      init,
      condition: ({ a }) => Tensor.less(a, 0),
      body: ({ a, b }) => ({ b: Tensor.neg(b), a })
    })
    const loop = (last.a.node as Node<"whileLoop">).attributes
    expect(loop.body.results[0].node).toBe(loop.body.parameters[0].node)
  })

  it("are the same cotangents", () => {
    const x = Tensor.constant([1, 2])
    const outputs = { twice: Tensor.mul(x, 2), wide: Tensor.concat([x, x]) }
    const seeds = { wide: Tensor.ones([4]), twice: Tensor.ones([2]) }
    expect(Gradient.vjp(outputs, x, seeds as never).shape).toEqual([2])
    expect(() => Gradient.vjp(outputs, x, { twice: seeds.twice } as never)).toThrow(
      "Gradient.vjp: cotangents([2]): there are (twice), where (twice, wide) are wanted"
    )
  })
})

it("refill is the inverse of leaves", () => {
  expect(Tree.refill(tree, Tree.leaves(tree))).toEqual(tree)
})
