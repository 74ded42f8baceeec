/** Every elementary layer of the library keeps the laws of layers. */
import { layer } from "@effect/vitest"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { LayerLaws } from "../../src/Laws/index.ts"
import {
  Activation,
  Attention,
  Conv,
  Dense,
  Dropout,
  Embedding,
  Initializer,
  Layer,
  Norm,
  Parameter,
  Resample,
  ResidualBlock
} from "../../src/Layer/index.ts"
import { HostRandom, Tensor } from "../../src/Tensor/index.ts"

const { ODEON_SEED = "2026", ODEON_RUNS = "1" } = process.env
const options = {
  ...(ODEON_SEED === "random" ? {} : { seed: Number(ODEON_SEED) }),
  runs: Number(ODEON_RUNS) / 2
}

const subjects: Array<LayerLaws.Subject> = []

const add: typeof LayerLaws.subject = (each) => {
  const subject = LayerLaws.subject(each)
  subjects.push(subject)
  return subject
}

const spaces = [[5], [4, 3], [3, 2, 3]] as const
const wide = [[9], [9, 8], [7, 8, 7]] as const

// dense
const bound = (fan: number) => Initializer.uniform(-1 / Math.sqrt(fan), 1 / Math.sqrt(fan))

add({
  name: "Dense",
  layer: Dense.make({ in: 3, out: 5 }),
  input: [3],
  output: [5],
  initializers: { weight: bound(3), bias: bound(3) }
})
add({
  name: "Dense without bias, orthogonal",
  layer: Dense.make({ in: 4, out: 3, bias: false, initializer: Initializer.orthogonal() }),
  input: [4],
  output: [3]
})
add({
  name: "Dense of several axes",
  layer: Dense.make({
    in: 4,
    out: 2,
    initializer: Initializer.truncatedNormal({ deviation: 0.3 }),
    biasInitializer: Initializer.constant(1)
  }),
  input: [3, 2, 4],
  output: [3, 2, 2]
})
for (const name of Activation.names) {
  add({
    name: `Layer.of(${name})`,
    layer: Layer.of(Activation.named(name)),
    input: [3, 4],
    output: [3, 4]
  })
}

// convolutions
for (const [i, space] of wide.entries()) {
  const dimensions = i + 1
  const common = { dimensions, in: 2, out: 4 }
  const title = `${dimensions}-D convolution`
  add({
    name: title,
    layer: Conv.make({ ...common, kernel: 3 }),
    input: [2, ...space],
    output: [4, ...space],
    translation: { margin: 1 },
    initializers: { weight: bound(2 * 3 ** dimensions), bias: bound(2 * 3 ** dimensions) }
  })
  add({
    name: `${title}, even kernel, no bias`,
    layer: Conv.make({ ...common, kernel: 2, bias: false }),
    input: [2, ...space],
    output: [4, ...space],
    translation: { margin: 1 }
  })
  add({
    name: `${title}, stride`,
    layer: Conv.make({ ...common, kernel: 3, stride: 2 }),
    input: [2, ...space],
    output: [4, ...space.map((each) => Math.ceil(each / 2))],
    translation: { margin: 1, input: 2, output: 1 }
  })
  add({
    name: `${title}, dilation and groups`,
    layer: Conv.make({ ...common, kernel: 3, dilation: 2, groups: 2 }),
    input: [2, ...space],
    output: [4, ...space],
    translation: { margin: 2 },
    initializers: { weight: bound(3 ** dimensions) }
  })
  add({
    name: `${title} of one place`,
    layer: Conv.make({ ...common, kernel: 1 }),
    input: [2, ...space],
    output: [4, ...space],
    permutation: true,
    translation: { margin: 0 }
  })
  add({
    name: `${title}, transposed`,
    layer: Conv.transposed({ ...common, kernel: 3, stride: 2 }),
    input: [2, ...space],
    output: [4, ...space.map((each) => 2 * each + 1)],
    translation: { margin: 2, input: 1, output: 2 }
  })
  add({
    name: `${title}, transposed, groups, padding, dilation and output padding`,
    layer: Conv.transposed({
      ...common,
      kernel: 2,
      stride: 2,
      padding: 1,
      outputPadding: 1,
      dilation: 2,
      groups: 2
    }),
    input: [2, ...space],
    output: [4, ...space.map((each) => 2 * each)],
    translation: { margin: 2, input: 1, output: 2 }
  })
}
add({
  name: "2-D convolution, different in each axis",
  layer: Conv.make({ in: 2, out: 3, kernel: [3, 1], stride: [1, 2], dilation: [2, 1] }),
  input: [2, 6, 5],
  output: [3, 6, 3]
})

// embeddings
const labels = (key: HostRandom.Key, batch: number) =>
  HostRandom.integers(key, [batch], { min: 0, max: 6 })

add({
  name: "Embedding",
  layer: Embedding.make({ classes: 6, width: 4 }),
  input: labels,
  output: [4],
  initializers: { weight: Initializer.normal() }
})
for (const options of [{}, { shift: 1, cosineFirst: true, period: 100 }]) {
  add({
    name: `Embedding.sinusoid ${JSON.stringify(options)}`,
    layer: Embedding.sinusoid({ width: 6, ...options }),
    input: [],
    output: [6]
  })
}
add({
  name: "Embedding.sinusoid of odd width",
  layer: Embedding.sinusoid({ width: 7 }),
  input: [],
  output: [7]
})
add({
  name: "Embedding.fourier",
  layer: Embedding.fourier({ width: 6, scale: 2 }),
  input: [],
  output: [6],
  initializers: { weight: Initializer.normal({ deviation: 2 }) }
})
add({
  name: "Embedding.mlp",
  layer: Embedding.mlp({ in: 3, out: 5, activation: "gelu" }),
  input: [3],
  output: [5]
})

// norms
for (const [i, space] of spaces.entries()) {
  const [input, dimensions] = [[4, ...space], i + 1]
  for (const affine of [true, false]) {
    const title = `${dimensions}-D${affine ? "" : " without parameters"}`
    add({
      name: `Norm.group, ${title}`,
      layer: Norm.group({ channels: 4, groups: 2, affine }),
      input,
      output: input,
      permutation: true,
      normalization: { groups: 2 }
    })
    add({
      name: `Norm.instance, ${title}`,
      layer: Norm.instance({ channels: 4, affine }),
      input,
      output: input,
      permutation: true,
      normalization: { groups: 4 }
    })
    add({
      name: `Norm.layer, ${title}`,
      layer: Norm.layer({ channels: space[i], affine }),
      input,
      output: input,
      normalization: { axes: [-1] }
    })
  }
  add({
    name: `Norm.rms, ${dimensions}-D`,
    layer: Norm.rms({ channels: space[i] }),
    input,
    output: input,
    normalization: { axes: [-1], centred: false }
  })
  add({
    name: `Norm.rms of channels, ${dimensions}-D`,
    layer: Norm.rms({ channels: 4, axis: 1 }),
    input,
    output: input,
    permutation: true,
    normalization: { axes: [1], centred: false }
  })
  add({
    name: `Norm.unit, ${dimensions}-D`,
    layer: Norm.unit({ channels: 4 }),
    input,
    output: input,
    permutation: true,
    normalization: { axes: [1], centred: false }
  })
}

add({
  name: "Dropout",
  layer: Dropout.make({ rate: 0.3 }),
  input: [3, 4],
  output: [3, 4],
  random: true
})
add({ name: "Dropout of nothing", layer: Dropout.make({ rate: 0 }), input: [3], output: [3] })

// attention
for (const [i, space] of spaces.entries()) {
  const [input, dimensions] = [[4, ...space], i + 1]
  const options = { channels: 4, heads: 2, headWidth: 3, dimensions }
  const common = { input, output: input, permutation: true }
  add({ name: `Attention.full, ${dimensions}-D`, layer: Attention.full(options), ...common })
  add({ name: `Attention.linear, ${dimensions}-D`, layer: Attention.linear(options), ...common })
  for (const headWidth of [4, 2]) {
    add({
      name: `Attention.block of ${4 / headWidth} heads, ${dimensions}-D`,
      layer: Attention.block({ channels: 4, groups: 2, headWidth }),
      ...common,
      // it adds the same to all logits of a query
      inert: ["to_k.bias"]
    })
  }
}

// resampling
for (const [i, space] of [[6], [6, 4], [4, 6, 4]].entries()) {
  const dimensions = i + 1
  const common = { in: 2, out: 3, dimensions }
  const twice = { input: 1, output: 2 }
  const half = { input: 2, output: 1 }
  const resamples: ReadonlyArray<
    readonly [name: string, layer: Layer.Any, channels: number, claim: LayerLaws.Translation]
  > = [
    ["nearest", Resample.nearest(), 2, { margin: 0, ...twice }],
    ["nearest × 3", Resample.nearest({ factor: 3 }), 2, { margin: 0, input: 1, output: 3 }],
    ["linear × 2", Resample.linear({ factor: 2 }), 2, { margin: 1, ...twice }],
    ["linear × ½", Resample.linear({ factor: 0.5 }), 2, { margin: 0, ...half }],
    ["up", Resample.up(common), 3, { margin: 1, ...twice }],
    ["strided", Resample.strided(common), 3, { margin: 1, ...half }],
    [
      "strided, 0 and 1",
      Resample.strided({ ...common, padding: [0, 1] }),
      3,
      { margin: 1, ...half }
    ],
    ["pixelUnshuffle", Resample.pixelUnshuffle(common), 3, { margin: 0, ...half }],
    ["pixelShuffle", Resample.pixelShuffle(common), 3, { margin: 0, ...twice }],
    ["transposed", Resample.transposed(common), 3, { margin: 1, ...twice }]
  ]
  for (const [name, layer, channels, translation] of resamples) {
    const { margin, input = 1, output = 1 } = translation
    // some places must be left away from the borders
    const sizes = space.map((each) => (margin > 0 && output < input ? 8 : each))
    add({
      name: `Resample.${name}, ${dimensions}-D`,
      layer,
      input: [2, ...sizes],
      output: [channels, ...sizes.map((each) => (each * output) / input)],
      translation
    })
  }
}

// residual blocks
for (const order of ["pre", "post"] as const) {
  for (const conditioning of ["shift", "scaleShift"] as const) {
    for (const out of [4, 6]) {
      add({
        name: `ResidualBlock, ${order}, ${conditioning}, 4 to ${out} channels`,
        layer: ResidualBlock.make({ in: 4, out, embedding: 5, groups: 2, order, conditioning }),
        input: [4, 4, 3],
        condition: { embedding: [5] },
        output: [out, 4, 3]
      })
    }
  }
  for (const [i, space] of spaces.entries()) {
    add({
      name: `ResidualBlock, ${order}, ${i + 1}-D, without embedding, with dropout`,
      layer: ResidualBlock.make({
        in: 2,
        out: 4,
        groups: 2,
        order,
        dropout: 0.2,
        activation: "gelu",
        dimensions: i + 1
        // its type asks for a condition
      }) as Layer.Any,
      input: [2, ...space],
      output: [4, ...space],
      random: true
    })
  }
}

// combinators
const conv = <const I extends number, const O extends number>(from: I, out: O) =>
  Conv.make({ in: from, out, kernel: 3 })
const block = ResidualBlock.make({ in: 4, out: 4, embedding: 3, groups: 2, dropout: 0.1 })

add({
  name: "Layer.identity",
  layer: Layer.identity<Tensor.Tensor>(),
  input: [2, 3],
  output: [2, 3],
  permutation: true
})
add({
  name: "Layer.sequence",
  layer: Layer.sequence(conv(2, 4), Layer.of(Activation.named("silu")), conv(4, 3)),
  input: [2, 7, 6],
  output: [3, 7, 6],
  translation: { margin: 2 }
})
add({
  name: "Layer.sequence of many of one kind",
  layer: Layer.sequence(...Array.from({ length: 7 }, () => Dense.make({ in: 3, out: 3 }))),
  input: [3],
  output: [3]
})
add({
  name: "Layer.sequence with a condition and dropout",
  layer: Layer.sequence(block, Dropout.make({ rate: 0.5 }), block),
  input: [4, 3, 3],
  condition: { embedding: [3] },
  output: [4, 3, 3],
  random: true
})
add({
  name: "Layer.residual",
  layer: Layer.residual(Attention.full({ channels: 4, heads: 1, headWidth: 2 })),
  input: [4, 3, 2],
  output: [4, 3, 2],
  permutation: true
})
add({
  name: "Layer.branch",
  layer: Layer.branch({
    left: Dense.make({ in: 3, out: 2 }),
    right: Dense.make({ in: 3, out: 4 })
  }),
  input: [3],
  output: { left: [2], right: [4] }
})
add({
  name: "Layer.concat",
  layer: Layer.concat([
    Resample.up({ in: 2, out: 3 }),
    Resample.up({ in: 2, out: 1 }),
    Resample.up({ in: 2, out: 2 })
  ]),
  input: [2, 3, 3],
  output: [6, 6, 6]
})
add({
  name: "Layer.make, with layers in records and arrays, a parameter and a buffer",
  layer: Layer.make(
    {
      embed: Layer.sequence(Embedding.sinusoid({ width: 4 }), Embedding.mlp({ in: 4, out: 5 })),
      stem: conv(2, 4),
      blocks: [0, 1].map(() =>
        ResidualBlock.make({ in: 4, out: 4, embedding: 5, groups: 2, conditioning: "scaleShift" })
      ),
      deep: { gate: Parameter.make([4, 1, 1], Initializer.zeros) },
      mean: Parameter.buffer([1], Initializer.constant(0.5))
    },
    (net, x: Layer.Features<2>, condition: { readonly time: Tensor.Tensor<readonly [number]> }) => {
      const embedding = net.embed(condition.time) as Tensor.Tensor
      const y = net.blocks.reduce(
        (h, block) => block(h, { embedding }),
        net.stem(Tensor.sub(x, net.mean))
      )
      return Tensor.mul(y, net.deep.gate)
    }
  ),
  input: [2, 4, 4],
  condition: { time: [] },
  output: [4, 4, 4]
})

layer(Device.layerReference(), { excludeTestServices: true })("layers", (it) => {
  it("are all here, once", () => {
    expect(subjects.length).toBeGreaterThan(100)
    expect(new Set(subjects.map(({ name }) => name)).size).toBe(subjects.length)
  })
  for (const subject of subjects) {
    it.effect(`${subject.name} keeps all laws`, () => LayerLaws.check(subject, options))
  }
})
