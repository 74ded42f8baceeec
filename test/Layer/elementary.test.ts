/** What elementary layers refuse, where it would make no sense or something else than was meant. */
import { describe, expect, it } from "vitest"
import { Conv, Dense, Embedding, Layer, Norm, Parameter } from "../../src/Layer/index.ts"
import { Program, Tensor } from "../../src/Tensor/index.ts"

const refuses = (what: string, make: () => unknown, words: string) =>
  it(`refuses ${what}`, () => expect(make).toThrow(words))

describe("configurations", () => {
  refuses(
    "groups that inputs do not divide into",
    () => Conv.make({ in: 3, out: 4, kernel: 3, groups: 2 }),
    "Conv.make: 3 channels (`in`) do not divide into 2 groups"
  )
  refuses(
    "groups that outputs do not divide into",
    () => Conv.make({ in: 4, out: 3, kernel: 1, groups: 2 }),
    "Conv.make: 3 channels (`out`) do not divide into 2 groups"
  )
  refuses(
    "groups of transposed convolutions",
    () => Conv.transposed({ in: 4, out: 3, kernel: 1, groups: 2 }),
    "Conv.transposed: 3 channels (`out`)"
  )
  refuses(
    "no groups",
    () => Conv.make({ in: 4, out: 4, kernel: 1, groups: 0 }),
    "groups: must be a whole number of at least 1, not 0"
  )
  refuses(
    "kernels of other axes",
    () => Conv.make({ in: 4, out: 4, kernel: [3, 3, 3] }),
    "Conv.make: `kernel` has 3 entries for 2 spatial axes"
  )
  refuses(
    "strides of other axes",
    () => Conv.transposed({ in: 4, out: 4, kernel: 3, stride: [2, 2], dimensions: 1 }),
    "Conv.transposed: `stride` has 2 entries for 1 spatial axes"
  )
  refuses(
    "sinusoids whose only frequency is 0/0",
    () => Embedding.sinusoid({ width: 2, shift: 1 }),
    "Embedding.sinusoid: the width 2 must be more than twice the shift 1"
  )
  refuses("sinusoids of nothing", () => Embedding.sinusoid({ width: 1 }), "at least 2")
  refuses(
    "Fourier features of odd width",
    () => Embedding.fourier({ width: 5 }),
    "Embedding.fourier: the width 5 must be even"
  )
  it("refuses a residual that would be broadcast", () => {
    const layer = Layer.residual(Dense.make({ in: 3, out: 1 }) as Layer.Any)
    const values = Program.constants(Parameter.init(layer.parameters, 1))
    expect(() => layer.apply(values, Tensor.zeros([2, 3]))).toThrow(
      "Layer.residual: the layer makes [2, 1] of [2, 3]"
    )
  })
})

// a norm without a bias, say, is something else than a norm whose bias is missing
describe("values", () => {
  const x = Tensor.zeros([2, 4, 4])
  const layers: Readonly<Record<string, readonly [layer: Layer.Any, input: Tensor.Any]>> = {
    "Dense.make": [Dense.make({ in: 4, out: 4 }), x],
    "Conv.make": [Conv.make({ in: 4, out: 4, kernel: 3, dimensions: 1 }), x],
    "Conv.transposed": [Conv.transposed({ in: 4, out: 4, kernel: 3, dimensions: 1 }), x],
    "Embedding.make": [Embedding.make({ classes: 3, width: 2 }), Tensor.zeros([2], "int32")],
    "Embedding.fourier": [Embedding.fourier({ width: 4 }), Tensor.zeros([2])],
    "Norm.group": [Norm.group({ channels: 4, groups: 2 }), x],
    "Norm.instance": [Norm.instance({ channels: 4, affine: true }), x],
    "Norm.layer": [Norm.layer({ channels: 4 }), x],
    "Norm.rms": [Norm.rms({ channels: 4 }), x],
    "Norm.unit": [Norm.unit({ channels: 4 }), x]
  }
  for (const [name, [layer, input]] of Object.entries(layers)) {
    for (const [path] of Parameter.entries(layer.parameters)) {
      it(`${name} is not applied without its ${path}`, () => {
        const values = Program.constants(Parameter.init(layer.parameters, 1)) as object
        expect(() => layer.apply(values, input)).not.toThrow()
        expect(() => layer.apply({ ...values, [path]: undefined }, input)).toThrow(
          `${name}: the parameter "${path}" has no value`
        )
      })
    }
  }
})
