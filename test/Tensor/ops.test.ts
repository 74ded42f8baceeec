import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

describe("host arrays", () => {
  it("take their shape from nesting, a shape given, or a typed array", () => {
    expect(
      Tensor.hostArray([
        [1, 2, 3],
        [4, 5, 6]
      ])
    ).toEqual({
      shape: [2, 3],
      dtype: "float32",
      data: Float32Array.of(1, 2, 3, 4, 5, 6)
    })
    expect(Tensor.hostArray(7).shape).toEqual([])
    expect(Tensor.hostArray([]).shape).toEqual([0])
    expect(Tensor.hostArray([1, 2], { shape: [1, 2], dtype: "int64" }).data).toEqual(
      BigInt64Array.of(1n, 2n)
    )
    expect(Tensor.hostArray(Uint32Array.of(1, 2))).toMatchObject({ shape: [2], dtype: "uint32" })
    expect(Tensor.hostArray([true, false], { dtype: "bool" }).data).toEqual(Uint8Array.of(1, 0))
    expect(Tensor.hostArray([1.5], { dtype: "float16" }).data).toEqual(Uint16Array.of(0x3e00))
  })

  it("refuse ragged nesting and wrong sizes", () => {
    expect(() => Tensor.hostArray([[1, 2], [3]])).toThrow("ragged")
    expect(() => Tensor.hostArray([[1], 2] as never)).toThrow("ragged")
    expect(() => Tensor.hostArray([1, 2, 3], { shape: [2, 2] })).toThrow("4 elements, but 3")
  })
})

describe("expressions refuse", () => {
  const x = Tensor.zeros([2, 3])
  const wide: Tensor.Tensor = x
  const cases: ReadonlyArray<readonly [string, () => unknown, string]> = [
    ["shapes that do not broadcast", () => Tensor.add(wide, Tensor.zeros([4])), "add([2, 3], [4])"],
    ["two dtypes", () => Tensor.add(wide, Tensor.zeros([3], "int32") as never), "Tensor.cast"],
    ["inner sizes that differ", () => Tensor.matmul(wide, wide), "inner sizes 3 and 2"],
    ["a matrix of one axis", () => Tensor.matmul(wide, Tensor.zeros([3])), "Tensor.expandDims"],
    ["an axis out of range", () => Tensor.sum(x, { axis: 2 }), "from -2 to 1"],
    ["an axis twice", () => Tensor.sum(x, { axis: [0, -2] }), "repeat"],
    ["a reshape of another size", () => Tensor.reshape(x, [4, 2]), "6 elements"],
    ["a reshape that leaves a fraction", () => Tensor.reshape(x, [4, -1]), "must divide"],
    ["a permutation that is none", () => Tensor.transpose(wide, [0, 0]), "not a permutation"],
    ["an index out of range", () => Tensor.at(x, 2), "index 2"],
    ["a step of 0", () => Tensor.slice(x, 0, { step: 0 }), "other than 0"],
    ["unequal parts", () => Tensor.split(x, 2, { axis: 1 }), "2 equal parts"],
    [
      "to mirror more than there is",
      () =>
        Tensor.pad(
          x,
          [
            [2, 0],
            [0, 0]
          ],
          { mode: "reflect" }
        ),
      "reflect 2"
    ],
    [
      "a kernel of other channels",
      () =>
        Tensor.conv(
          Tensor.zeros([1, 3, 8, 8]) as Tensor.Tensor,
          Tensor.zeros([4, 2, 3, 3]) as Tensor.Tensor
        ),
      "3 channels"
    ],
    [
      "a kernel larger than the image",
      () => Tensor.conv(Tensor.zeros([1, 1, 2, 2]), Tensor.zeros([1, 1, 3, 3])),
      "covers 3 elements"
    ],
    [
      "groups that do not divide",
      () => Tensor.groupNorm(Tensor.zeros([1, 6, 2]), { groups: 4 }),
      "6 channels do not divide into 4 groups"
    ],
    [
      "to pixel-shuffle too few channels",
      () => Tensor.pixelShuffle(Tensor.zeros([1, 6, 2, 2]), 2),
      "do not divide by 2^2"
    ],
    [
      "letters that do not fit",
      () => Tensor.einsum("ij,jk->ik", x, x),
      'axis "j" is 3 in one operand and 2'
    ],
    ["a letter from nowhere", () => Tensor.einsum("ij->k", x), '"k" is in no operand'],
    [
      "a fraction as an integer",
      () => Tensor.mul(Tensor.zeros([2], "int32"), 0.5),
      "0.5 is not a whole number"
    ],
    [
      "a state that changes shape",
      () => Tensor.scan({ init: x, length: 2, step: (s) => [Tensor.sum(s) as never, []] }),
      "keeps its shape"
    ],
    [
      "scans of unequal lengths",
      () =>
        Tensor.scan({
          init: x,
          over: [Tensor.zeros([2]), Tensor.zeros([3])],
          step: (s) => [s, []]
        }),
      "runs 2 steps"
    ],
    [
      "a condition that is no scalar",
      () =>
        Tensor.whileLoop({ init: x, condition: (s) => Tensor.less(s, 1) as never, body: (s) => s }),
      "Tensor.any or Tensor.all"
    ],
    ["the extreme of nothing", () => Tensor.max(Tensor.zeros([0, 2]), { axis: 0 }), "of nothing"],
    [
      "a square root of integers",
      () => Tensor.sqrt(Tensor.zeros([2], "int32") as never),
      "floats only"
    ]
  ]
  it.each(cases)("%s", (_, build, message) => {
    expect(build).toThrow(message)
  })
})

layer(Device.layerReference())("values", (it) => {
  const evaluate = Effect.fnUntraced(function* (tensor: Tensor.Any) {
    const device = yield* Device.Device
    const { shape, data } = yield* device.evaluate(tensor)
    return { shape, values: Array.from(data as Float32Array) }
  })
  const x = Tensor.reshape(Tensor.arange(12, "float32"), [3, 4])

  // what NumPy gives for x = np.arange(12).reshape(3, 4)
  const cases: ReadonlyArray<
    readonly [string, Tensor.Any, ReadonlyArray<number>, ReadonlyArray<number>]
  > = [
    ["x[1:]", Tensor.slice(x, 0, { start: 1 }), [2, 4], [4, 5, 6, 7, 8, 9, 10, 11]],
    ["x[:, ::-2]", Tensor.slice(x, 1, { step: -2 }), [3, 2], [3, 1, 7, 5, 11, 9]],
    [
      "x[-2:5, 1:-1]",
      Tensor.slice(x, [
        { start: -2, stop: 5 },
        { start: 1, stop: -1 }
      ]),
      [2, 2],
      [5, 6, 9, 10]
    ],
    [
      "x[::-1, 3:0:-1]",
      Tensor.slice(x, [{ step: -1 }, { start: 3, stop: 0, step: -1 }]),
      [3, 3],
      [11, 10, 9, 7, 6, 5, 3, 2, 1]
    ],
    ["x[2:1]", Tensor.slice(x, 0, { start: 2, stop: 1 }), [0, 4], []],
    ["x[-1]", Tensor.at(x, -1), [4], [8, 9, 10, 11]],
    ["x[:, 1]", Tensor.at(x, 1, { axis: 1 }), [3], [1, 5, 9]],
    ["flip(x, 1)", Tensor.flip(Tensor.slice(x, 0, { stop: 1 }), { axis: 1 }), [1, 4], [3, 2, 1, 0]],
    ["x.T", Tensor.matrixTranspose(x), [4, 3], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]],
    ["repeat([0, 1], 2)", Tensor.repeat(Tensor.arange(2), 2, { axis: 0 }), [4], [0, 0, 1, 1]],
    ["tile([0, 1], 2)", Tensor.tile(Tensor.arange(2), 2, { axis: 0 }), [4], [0, 1, 0, 1]],
    [
      "pad reflect",
      Tensor.pad(Tensor.arange(4), [[3, 2]], { mode: "reflect" }),
      [9],
      [3, 2, 1, 0, 1, 2, 3, 2, 1]
    ],
    ["pad edge", Tensor.pad(Tensor.arange(3), [[2, 1]], { mode: "edge" }), [6], [0, 0, 0, 1, 2, 2]],
    ["pad 7", Tensor.pad(Tensor.arange(2), [[1, 2]], { value: 7 }), [5], [7, 0, 1, 7, 7]],
    [
      "stack",
      Tensor.stack([Tensor.arange(2), Tensor.arange(2)], { axis: 1 }),
      [2, 2],
      [0, 0, 1, 1]
    ],
    ["split", Tensor.split(x, [1, 3], { axis: 1 })[0], [3, 1], [0, 4, 8]],
    ["take", Tensor.take(x, [2, -3], { axis: 0 }), [2, 4], [8, 9, 10, 11, 0, 1, 2, 3]],
    [
      "scatterAdd",
      Tensor.scatterAdd(
        Tensor.constant([1, 1, 0], { dtype: "int32" }),
        Tensor.constant([1, 2, 4]),
        { size: 3 }
      ),
      [3],
      [4, 3, 0]
    ],
    [
      "takeAlong",
      Tensor.takeAlong(x, Tensor.constant([[3], [0], [1]], { dtype: "int32" })),
      [3, 1],
      [3, 4, 9]
    ],
    [
      "oneHot",
      Tensor.oneHot(Tensor.constant([1, 5], { dtype: "int32" }), 3),
      [2, 3],
      [0, 1, 0, 0, 0, 0]
    ],
    ["tri", Tensor.cast(Tensor.lowerTriangle(2, 3), "int32"), [2, 3], [1, 0, 0, 1, 1, 0]],
    ["eye", Tensor.eye(2), [2, 2], [1, 0, 0, 1]],
    ["linspace", Tensor.linspace(0, 1, 5), [5], [0, 0.25, 0.5, 0.75, 1]],
    [
      "argMax",
      Tensor.argMax(
        Tensor.constant([
          [1, 3, 3],
          [5, 2, 1]
        ])
      ),
      [2],
      [1, 0]
    ],
    ["argSort", Tensor.argSort(Tensor.constant([2, 1, 2, 0])), [4], [3, 1, 0, 2]],
    [
      "cumSum",
      Tensor.cumSum(Tensor.constant([1, 2, 3]), { reverse: true, exclusive: true }),
      [3],
      [5, 3, 0]
    ],
    ["cumProd", Tensor.cumProd(Tensor.constant([1, 2, 3, 4])), [4], [1, 2, 6, 24]],
    [
      "einsum ii->",
      Tensor.einsum(
        "ii->",
        Tensor.constant([
          [1, 2],
          [3, 4]
        ])
      ),
      [],
      [5]
    ],
    [
      "einsum ii->i",
      Tensor.einsum(
        "ii->i",
        Tensor.constant([
          [1, 2],
          [3, 4]
        ])
      ),
      [2],
      [1, 4]
    ],
    ["remainder", Tensor.remainder(Tensor.constant([-7, 7], { dtype: "int32" }), 3), [2], [2, 1]],
    ["clip", Tensor.clip(Tensor.constant([-2, 0.5, 2]), { min: 0, max: 1 }), [3], [0, 0.5, 1]],
    ["10 - x", Tensor.sub(10, Tensor.arange(2)), [2], [10, 9]]
  ]
  for (const [name, tensor, shape, values] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        expect(tensor.shape).toEqual(shape)
        expect(yield* evaluate(tensor)).toEqual({ shape, values })
      })
    )
  }
})
