/**
 * What diffusers' `UNet2DModel` computes. test/fixtures/diffusers-unet.json has it with sinusoids in `float64` (make-diffusers.py
 * wrote it down), test/fixtures/diffusers-single.json with diffusers' own, in `float32`.
 */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { Embedding, Layer, Parameter, SafeTensors, UNet } from "../../src/Layer/index.ts"
import { Gradient, type Shape, Tensor, Tree } from "../../src/Tensor/index.ts"
import single from "../fixtures/diffusers-single.json" with { type: "json" }
import fixture from "../fixtures/diffusers-unet.json" with { type: "json" }
import { evaluate } from "../support/device.ts"
import * as Devices from "../support/devices.ts"
import { formula, normOf, slopeOf } from "../support/formula.ts"

type Dtype = "float64" | "float32"
type Names = ReadonlyArray<readonly [name: string, shape: Shape.Shape]>

const networkOf = (config: unknown): UNet.UNet =>
  Effect.runSync(UNet.fromDiffusers(config).pipe(Effect.flatMap(UNet.make)))

interface Model {
  readonly config: unknown
  readonly timesteps: ReadonlyArray<number>
  readonly labels?: ReadonlyArray<number>
  readonly inputShape: Shape.Shape
  readonly parameters: ReadonlyArray<unknown>
}

/** The output, the mean of its square, and that mean's gradient in each parameter, by diffusers' names. */
const computed = Effect.fnUntraced(function* (model: Model, dtype: Dtype, timeDtype: Dtype) {
  const network = Layer.cast(networkOf(model.config), dtype)
  const weights = formula(model.parameters as Names, dtype)
  const values = yield* Parameter.load(network.parameters, weights)
  const count = model.inputShape.reduce((a, b) => a * b, 1)
  const image = Tensor.hostArray(
    Array.from({ length: count }, (_, i) => i / count - 0.5),
    { shape: model.inputShape, dtype }
  )
  const time = Tensor.hostArray(model.timesteps, { dtype: timeDtype })
  const label = model.labels && Tensor.hostArray(model.labels, { dtype: "int32" })
  const { output, loss, gradients } = yield* evaluate(
    { values, image, time, ...(label === undefined ? {} : { label }) },
    ({ values, image, ...condition }) => {
      const output = network.apply(values as never, image as never, condition as never)
      const loss = Tensor.mean(Tensor.square(output as Tensor.Tensor))
      return { output, loss, gradients: Gradient.of(loss, values as never) as unknown }
    }
  )
  const byPath = new Map(Tree.entries<Tensor.HostArray<Shape.Shape, Dtype>>(gradients))
  const ordered = (model.parameters as Names).map(([name]) => byPath.get(name)!.data)
  return { output: output.data as Float64Array, loss: loss.data[0] as number, gradients: ordered }
})

/** The largest difference in units of the largest number. */
const apart = (actual: ArrayLike<number>, expected: ReadonlyArray<number>): number => {
  expect(actual.length).toBe(expected.length)
  const scale = Math.max(...expected.map(Math.abs))
  return Math.max(...expected.map((each, i) => Math.abs(each - actual[i]))) / scale
}

const precision = { float64: 1e-12, float32: 1e-4 } as const

/**
 * In whose units a gradient is off: its own norm's; in `float32`, where small ones are differences of large ones, not below a
 * thousandth of the largest. A keys' bias moves all of a query's products alike, so that its gradient is 0.
 */
const scaleOf = (name: string, norm: number, largest: number, dtype: Dtype): number =>
  name.endsWith("to_k.bias") ? largest : Math.max(norm, dtype === "float64" ? 0 : largest / 1000)

for (const device of Devices.all) {
  const dtype = device.name === "reference" ? "float64" : "float32"
  const bound = precision[dtype]

  layer(device.layer, { excludeTestServices: true })(`${device.name}, in ${dtype}`, (it) => {
    for (const [name, model] of Object.entries(fixture.models)) {
      it.effect(`${name}: the output, and the gradient in every parameter`, () =>
        Effect.gen(function* () {
          const { output, loss, gradients } = yield* computed(model, dtype, dtype)
          expect(apart(output, model.output)).toBeLessThan(bound)
          expect(Math.abs(loss / model.loss - 1)).toBeLessThan(bound)
          const largest = Math.max(...model.norms)
          gradients.forEach((gradient, k) => {
            const [path] = model.parameters[k] as unknown as Names[number]
            const scale = scaleOf(path, model.norms[k], largest, dtype)
            const norm = Math.abs(normOf(gradient) - model.norms[k]) / scale
            const slope = Math.abs(slopeOf(gradient) - model.slopes[k]) / scale
            expect(norm, `the norm of the gradient in ${path}`).toBeLessThan(bound)
            expect(slope, `the slope of the gradient in ${path}`).toBeLessThan(bound)
          })
        })
      )
    }

    it.effect("with diffusers' own sinusoids: times in float32", () =>
      Effect.gen(function* () {
        const { config, param_order: parameters, timesteps, grad_l2, ...values } = single.network
        const model = { config, parameters, timesteps, inputShape: [2, 1, 8, 8] }
        const { output, loss, gradients } = yield* computed(model, dtype, "float32")
        const numbers = Array.from(output)
        const total = numbers.reduce((a, b) => a + b, 0)
        const absolute = numbers.reduce((a, b) => a + Math.abs(b), 0)
        expect(apart(numbers.slice(0, 8), values.out_first8)).toBeLessThan(bound)
        expect(apart(numbers.slice(-8), values.out_last8)).toBeLessThan(bound)
        expect(Math.abs(total / values.out_sum - 1)).toBeLessThan(bound)
        expect(Math.abs(absolute / values.out_abs_sum - 1)).toBeLessThan(bound)
        expect(Math.abs(loss / values.loss_mean_sq - 1)).toBeLessThan(bound)
        const norms: Readonly<Record<string, number>> = grad_l2
        const largest = Math.max(...Object.values(norms))
        gradients.forEach((gradient, k) => {
          const [path] = parameters[k] as unknown as Names[number]
          const wanted = norms[path]
          const scale = scaleOf(path, wanted, largest, dtype)
          expect(Math.abs(normOf(gradient) - wanted) / scale, path).toBeLessThan(bound)
        })
      })
    )

    it.effect("sinusoids of times in float32, to the last bit but one", () =>
      Effect.gen(function* () {
        for (const { cosineFirst, shift, rows } of single.sinusoids) {
          const sinusoid = Embedding.sinusoid({ width: 8, cosineFirst, shift })
          const times = Object.keys(rows).map(Number)
          const waves = yield* evaluate(
            { time: Tensor.hostArray(times, { dtype: "float32" }) },
            ({ time }) => sinusoid.apply({}, time as never)
          )
          Object.values(rows)
            .flat()
            .forEach((wanted, i) => {
              const unit = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(wanted), 2 ** -126))) - 23)
              expect(Math.abs(waves.data[i] - wanted) / unit).toBeLessThanOrEqual(1)
            })
        }
      })
    )
  })
}

const named = ({ parameters }: Layer.Any): ReadonlyArray<string> =>
  Parameter.entries(parameters).map(([path, { shape }]) => `${path}: ${shape.join("×")}`)

describe("names and shapes are diffusers'", () => {
  const all = { ...fixture.models, ...fixture.published }
  it.each(Object.entries(all))("of %s", (_, { config, parameters, count }) => {
    const network = networkOf(config)
    const theirs = (parameters as unknown as Names).map(([path, shape]) => {
      return `${path}: ${shape.join("×")}`
    })
    expect(named(network).toSorted()).toEqual(theirs.toSorted())
    expect(Parameter.count(network.parameters)).toBe(count)
  })

  it.each([
    ["google/ddpm-cifar10-32", "ddpm-cifar10"],
    ["google/ddpm-celebahq-256", "ddpm-celebahq"]
  ] as const)("and %s is our preset %s", (theirs, ours) => {
    const preset = Effect.runSync(UNet.make(UNet.presets[ours]))
    expect(networkOf(fixture.published[theirs].config).config).toEqual(preset.config)
  })
})

describe("UNet.fromDiffusers", () => {
  const { plain, attention, classes } = fixture.models
  const fromDiffusers = (config: unknown) => Effect.runSync(UNet.fromDiffusers(config))

  it("takes what diffusers writes, notes included", () => {
    const options = fromDiffusers({
      _class_name: "UNet2DModel",
      _diffusers_version: "0.21.4",
      ...attention.config,
      act_fn: "silu",
      add_attention: true,
      attn_norm_num_groups: null,
      center_input_sample: false,
      class_embed_type: null,
      downsample_type: "conv",
      dropout: 0.1,
      mid_block_scale_factor: 1,
      num_class_embeds: null,
      num_train_timesteps: null,
      resnet_time_scale_shift: "default",
      time_embedding_type: "positional",
      upsample_type: "conv"
    })
    expect(options).toEqual({
      channels: 3,
      size: 8,
      width: 8,
      multipliers: [1, 2],
      layout: "ddpm",
      blocks: 2,
      attention: ["none", "block"],
      middleAttention: "block",
      middleAttentionNorm: true,
      headWidth: 8,
      groups: 4,
      epsilon: 1e-6,
      order: "pre",
      conditioning: "shift",
      activation: "silu",
      dropout: 0.1,
      cosineFirst: false,
      frequencyShift: 1,
      downsamplePadding: 0
    })
  })

  it("leaves out what diffusers leaves out", () => {
    expect(fromDiffusers({})).toMatchObject({
      channels: 3,
      width: 224,
      multipliers: [1, 2, 3, 4],
      blocks: 2,
      attention: ["none", "block", "block", "block"],
      headWidth: 8,
      groups: 32,
      epsilon: 1e-5,
      cosineFirst: true,
      frequencyShift: 0,
      downsamplePadding: 1
    })
    expect(fromDiffusers({})).not.toHaveProperty("size")
    expect(fromDiffusers(plain.config)).toMatchObject({ middleAttention: "none", size: 8 })
    expect(fromDiffusers({ ...plain.config, attention_head_dim: null })).not.toHaveProperty(
      "headWidth"
    )
    expect(fromDiffusers({ ...plain.config, sample_size: [8, 16], out_channels: 2 })).toMatchObject(
      { size: [8, 16], channels: 1, outChannels: 2 }
    )
  })

  it("knows that networks that scale and shift have no norm before the attention in the middle", () => {
    expect(fromDiffusers(classes.config)).toMatchObject({
      classes: 10,
      conditioning: "scaleShift",
      middleAttentionNorm: false
    })
    expect(fromDiffusers({ ...classes.config, attn_norm_num_groups: 4 })).toMatchObject({
      middleAttentionNorm: true
    })
  })

  it.each([
    ["block_out_channels.1", { block_out_channels: [8, 12] }, "12 is no multiple of the first, 8"],
    ["down_block_types.1", { down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"] }, "Attn"],
    ["up_block_types.0", { up_block_types: ["SkipUpBlock2D", "UpBlock2D"] }, '"UpBlock2D"'],
    [
      "up_block_types.0",
      { up_block_types: ["UpBlock2D", "AttnUpBlock2D"] },
      "AttnUpBlock2D for the AttnDownBlock2D of down_block_types.1"
    ],
    ["down_block_types", { down_block_types: ["DownBlock2D"] }, "1 entries for 2"],
    ["mid_block_type", { mid_block_type: null }, '"UNetMidBlock2D"'],
    ["mid_block_scale_factor", { mid_block_scale_factor: 2 }, "1"],
    ["center_input_sample", { center_input_sample: true }, "false"],
    ["time_embedding_type", { time_embedding_type: "fourier" }, '"positional"'],
    ["time_embedding_dim", { time_embedding_dim: 8 }, "32"],
    ["resnet_time_scale_shift", { resnet_time_scale_shift: "ada_group" }, '"scale_shift"'],
    ["act_fn", { act_fn: "mish" }, '"silu"'],
    ["downsample_padding", { downsample_padding: 2 }, "0 | 1"],
    ["downsample_type", { downsample_type: "resnet" }, '"conv"'],
    ["attn_norm_num_groups", { attn_norm_num_groups: 2 }, "4, or null"],
    ["class_embed_type", { class_embed_type: "timestep" }, "null"],
    ["freq_shft", { freq_shft: 1 }, 'did you mean "freq_shift"?'],
    ["sample_size", { sample_size: "8" }, "Expected number | array | null"]
  ])("refuses what would be another network, in %s", (path, change, says) => {
    const error = Effect.runSync(
      Effect.flip(UNet.fromDiffusers({ ...attention.config, ...change }))
    )
    expect(error).toMatchObject({ _tag: "ConfigError", what: "UNet.fromDiffusers", path })
    expect(error.message).toContain(`UNet.fromDiffusers: ${path}: `)
    expect(error.message).toContain(says)
  })

  it.each([[null], ["UNet2DModel"], [[]]])("refuses %j, which is no configuration", (config) => {
    const error = Effect.runSync(Effect.flip(UNet.fromDiffusers(config)))
    expect(error.message).toBe("UNet.fromDiffusers: Expected object")
  })
})

describe("files", () => {
  const { config, parameters } = fixture.models.attention
  const network = networkOf(config)
  const weights = formula(parameters as unknown as Names, "float32")
  const load = (tensors: Parameters<typeof Parameter.load>[1], options?: Parameter.LoadOptions) =>
    Effect.runSync(Effect.result(Parameter.load(network.parameters, tensors, options)))

  it("are read as they were written, whatever the order of their names", () => {
    const values = Result.getOrThrow(load(weights))
    const bytes = SafeTensors.encode(Parameter.toRecord(values), { format: "pt" })
    const file = Effect.runSync(SafeTensors.decode(bytes))
    expect(file.metadata).toEqual({ format: "pt" })
    expect(Object.keys(file.tensors)).not.toEqual(Object.keys(weights))
    expect(Result.getOrThrow(load(file.tensors))).toEqual(values)
  })

  it("of old releases have other names for attention", () => {
    const old = Object.fromEntries(
      Object.entries(weights).map(([name, each]) => [
        name
          .replace(".to_q.", ".query.")
          .replace(".to_k.", ".key.")
          .replace(".to_v.", ".value.")
          .replace(".to_out.0.", ".proj_attn."),
        each
      ])
    )
    expect(Object.keys(old)).toContain("mid_block.attentions.0.proj_attn.bias")
    const rename = UNet.fromDiffusersName
    expect(load(old, { rename })).toEqual(load(weights))
    expect(load(weights, { rename })).toEqual(load(weights))
    for (const name of ["conv_in.weight", "key.weight", "a.attentions.0.key_norm.weight"]) {
      expect(rename(name)).toBe(name)
    }
    const { path, reason } = Result.getOrThrow(Result.flip(load(old)))
    expect([path, reason]).toEqual(["down_blocks.1.attentions.0.to_q.weight", "missing"])
  })

  it("of other networks name the first tensor that does not fit", () => {
    const failure = (change: (tensors: Record<string, Tensor.HostArray>) => void) => {
      const tensors: Record<string, Tensor.HostArray> = { ...weights }
      change(tensors)
      return Result.getOrThrow(Result.flip(load(tensors)))
    }
    const name = "mid_block.resnets.1.conv2.weight"
    expect(failure((tensors) => void delete tensors[name])).toMatchObject({
      path: name,
      reason: "missing",
      message: `Parameter.load: there is no tensor for parameter "${name}" of shape [16, 16, 3, 3]; the most similar is "mid_block.resnets.1.conv1.weight" of shape [16, 16, 3, 3]`
    })
    const extra = "conv_in.scale"
    expect(
      failure((tensors) => {
        tensors[extra] = Tensor.hostArray([1])
      })
    ).toMatchObject({ path: extra, reason: "unexpected" })
    expect(
      failure((tensors) => {
        tensors[name] = Tensor.hostArray([1, 2], { shape: [2] })
      })
    ).toMatchObject({
      path: name,
      reason: "shape",
      message: `Parameter.load: parameter "${name}" is of shape [16, 16, 3, 3], but tensor "${name}" is of shape [2]`
    })
    const other = formula(fixture.models.plain.parameters as unknown as Names, "float32")
    const { path, reason, message } = Result.getOrThrow(Result.flip(load(other)))
    expect([path, reason]).toEqual(["conv_in.weight", "shape"])
    expect(message).toMatch(/\(and \d+ more problems\)$/)
  })
})
