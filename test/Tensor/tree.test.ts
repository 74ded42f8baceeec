import { expect, it } from "vitest"
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

it("refill is the inverse of leaves", () => {
  expect(Tree.refill(tree, Tree.leaves(tree))).toEqual(tree)
})
