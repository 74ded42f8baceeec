/** Configurations that make no network say what would. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import {
  Activation,
  Attention,
  Conv,
  CUNet,
  Dense,
  Embedding,
  Integrator,
  LayerError,
  Network,
  Norm,
  Parameter,
  Resample,
  UNet
} from "../../src/Layer/index.ts"
import { Tensor, Tree } from "../../src/Tensor/index.ts"

const failure = (effect: Effect.Effect<unknown, LayerError.ConfigError>): LayerError.ConfigError =>
  Effect.runSync(Effect.flip(effect))

const unet = { channels: 3, width: 16, multipliers: [1, 2, 2] } as const
const cunet = { channels: 1, width: 8, levels: 2 } as const

const weightsOf = ({ parameters }: Network.Network): never =>
  Tree.remap(parameters, ({ shape, dtype }: Tensor.Spec) => Tensor.zeros(shape, dtype)) as never

describe("what is wrong is named, with what would work", () => {
  const cases: ReadonlyArray<
    readonly [
      what: string,
      effect: Effect.Effect<unknown, LayerError.ConfigError>,
      path: string,
      words: string
    ]
  > = [
    [
      "a mistyped field",
      UNet.make({ ...unet, atention: ["none", "none", "full"] } as never),
      "atention",
      'there is no such field; did you mean "attention"?'
    ],
    [
      "a mistyped field within",
      CUNet.make({ ...cunet, integrator: { method: "rk4", stesp: 2 } } as never),
      "integrator.stesp",
      'did you mean "steps"?'
    ],
    [
      "a field that is like none",
      CUNet.make({ ...cunet, colour: "blue" } as never),
      "colour",
      "known are"
    ],
    [
      "a field that must be there",
      UNet.make({ width: 8, multipliers: [1] } as never),
      "channels",
      ""
    ],
    ["a number that is no count", UNet.make({ ...unet, width: 16.5 }), "width", "integer"],
    ["a count of none", CUNet.make({ ...cunet, levels: 0 }), "levels", "greater than 0"],
    [
      "an entry of a list",
      UNet.make({ ...unet, attention: ["none", "ful", "full"] } as never),
      "attention.1",
      '"full"'
    ],
    [
      "a method that is not known",
      CUNet.make({ ...cunet, integrator: { method: "rk5" } } as never),
      "integrator.method",
      '"rk4"'
    ],
    [
      "tolerances that make no sense",
      CUNet.make({
        ...cunet,
        integrator: { method: "dopri5", steps: { relative: -1, absolute: 1e-3 } }
      }),
      "steps",
      "Integrator"
    ],
    [
      "a method for equations of another order",
      CUNet.make({ ...cunet, order: "first", integrator: { method: "velocity-verlet" } }),
      "method",
      "DynamicBlock.second"
    ],
    [
      "control of steps whose errors are not estimated",
      CUNet.make({
        ...cunet,
        integrator: { method: "rk38", steps: { relative: 1e-3, absolute: 1e-3 } }
      }),
      "integrator",
      "estimates no error, so its steps cannot be controlled: use constant steps"
    ],
    [
      "an adjoint for other methods",
      CUNet.make({ ...cunet, order: "first", integrator: { adjoint: "reversible" } }),
      "integrator",
      "has no inverse step: take a reversible method"
    ],
    [
      "a method that is reversible for other equations",
      CUNet.make({
        ...cunet,
        integrator: { method: "velocity-verlet", steps: 4, adjoint: "reversible" }
      }),
      "integrator",
      "or velocityFree"
    ],
    [
      "a bound of no steps",
      CUNet.make({
        ...cunet,
        integrator: {
          method: "dopri5",
          steps: { relative: 1e-3, absolute: 1e-3, maximumSteps: 0 }
        }
      }),
      "integrator.steps.maximumSteps",
      "greater than 0"
    ],
    [
      "a list of another length",
      UNet.make({ ...unet, attention: ["none", "full"] }),
      "attention",
      "2 entries for 3 levels"
    ],
    [
      "channels that do not divide into groups",
      UNet.make({ ...unet, width: 12 }),
      "groups",
      "12 channels do not divide into 8 groups; 1, 2, 3, 4, 6, 12 would work"
    ],
    [
      "a size that cannot be halved often enough",
      UNet.make({ ...unet, size: 30 }),
      "size",
      "multiples of 4 can, such as 28 and 32"
    ],
    [
      "a size of another number of axes",
      UNet.make({ ...unet, size: [32, 32, 32] }),
      "size",
      "3 sizes for 2 dimensions"
    ],
    [
      "what equations of first order lack",
      CUNet.make({ ...cunet, order: "first", velocityFree: true }),
      "velocityFree",
      'take the order "second"'
    ],
    ["a rate of dropout", UNet.make({ ...unet, dropout: 1 }), "dropout", "less than 1"],
    [
      "channels that divide into groups at some levels only",
      CUNet.make({ ...cunet, augment: 3 }),
      "groups",
      "19 channels do not divide into 8 groups; 1 would work"
    ],
    [
      "instance norm of a single place",
      CUNet.make({ ...cunet, norm: "instance", size: 4 }),
      "size",
      "one place is left of 4 × 4, of which instance norm makes 0: take larger images"
    ],
    [
      "heads that do not fit",
      UNet.make({ ...unet, headWidth: 5 }),
      "headWidth",
      "do not divide into heads of 5; 1, 2, 4, 8, 16, 32 would work"
    ]
  ]
  for (const [what, effect, path, words] of cases) {
    it(what, () => {
      const error = failure(effect)
      expect(error._tag).toBe("ConfigError")
      expect(error.path).toBe(path)
      expect(error.message).toContain(words)
    })
  }

  it("an image that a network does not take", () => {
    const network = Effect.runSync(CUNet.make(cunet))
    const weights = weightsOf(network)
    const given = (shape: ReadonlyArray<number>) => () =>
      network.apply(weights, Tensor.zeros(shape) as Tensor.Tensor, { time: Tensor.zeros([1]) })
    expect(given([1, 1, 30, 32])).toThrow("multiples of 4 can, such as 28 and 32")
    expect(given([1, 3, 32, 32])).toThrow("needs [batch, 1, …] with 2 spatial axes")
    expect(given([1, 1, 32])).toThrow("needs [batch, 1, …] with 2 spatial axes")
    const instance = Effect.runSync(CUNet.make({ ...cunet, norm: "instance" }))
    const apply = (size: number) => () =>
      instance.apply(weightsOf(instance), Tensor.zeros([1, 1, size, size]) as Tensor.Tensor, {
        time: Tensor.zeros([1])
      })
    expect(apply(4)).toThrow("instance norm makes 0")
    expect(apply(8)).not.toThrow()
  })

  it("sizes of layers that are none", () => {
    const shared = { in: 2, out: 2, kernel: 3 }
    for (const [path, build] of [
      ["in", () => Conv.make({ ...shared, in: 0 })],
      ["kernel", () => Conv.make({ ...shared, kernel: [3, 0] })],
      ["stride", () => Conv.transposed({ ...shared, stride: -1 })],
      ["dilation", () => Conv.make({ ...shared, dilation: 1.5 })],
      ["groups", () => Conv.make({ ...shared, groups: -1 })],
      ["dimensions", () => Conv.make({ ...shared, dimensions: 4 })],
      ["padding", () => Conv.make({ ...shared, padding: -1 })],
      [
        "padding",
        () =>
          Conv.transposed({
            ...shared,
            padding: [
              [0, 1],
              [1, 0.5]
            ]
          })
      ],
      ["out", () => Dense.make({ in: 2, out: Number.NaN })],
      ["channels", () => Norm.group({ channels: 0, groups: 1 })],
      ["channels", () => Norm.instance({ channels: -1 })],
      ["channels", () => Norm.layer({ channels: 0 })],
      ["channels", () => Norm.rms({ channels: 1.5 })],
      ["channels", () => Norm.unit({ channels: 0 })],
      ["epsilon", () => Norm.group({ channels: 4, groups: 2, epsilon: -1e-5 })],
      ["epsilon", () => Norm.instance({ channels: 4, epsilon: Number.NaN })],
      ["epsilon", () => Norm.layer({ channels: 4, epsilon: Number.POSITIVE_INFINITY })],
      ["epsilon", () => Norm.rms({ channels: 4, epsilon: -1 })],
      ["headWidth", () => Attention.block({ channels: 4, headWidth: -2 })],
      ["classes", () => Embedding.make({ classes: 0, width: 4 })],
      ["width", () => Embedding.make({ classes: 4, width: 2.5 })],
      ["width", () => Embedding.sinusoid({ width: 4.5 })],
      ["period", () => Embedding.sinusoid({ width: 4, period: 0 })],
      ["period", () => Embedding.sinusoid({ width: 4, period: -1 })],
      ["factor", () => Resample.linear({ factor: 0 })],
      ["factor", () => Resample.nearest({ factor: Number.NaN })],
      ["padding", () => Resample.strided({ in: 2, out: 2, padding: [-1, 1] })],
      ["padding", () => Resample.strided({ in: 2, out: 2, padding: [0, 0.5] })],
      ["steps", () => Integrator.of({ method: "rk4", steps: 0, adjoint: "direct" })]
    ] as const) {
      const error = failure(LayerError.attempt<unknown>(build))
      expect([error.path, error.message]).toEqual([path, expect.stringContaining("must be")])
    }
  })

  it("names that there are not, with those that were perhaps meant", () => {
    const given = { method: "rk4", steps: 1, adjoint: "direct" } as const
    for (const [path, build, words] of [
      ["method", () => Integrator.of({ ...given, method: "rk5" as never }), 'you mean "rk4"?'],
      [
        "adjoint",
        () => Integrator.of({ ...given, adjoint: "checkpoint" as never }),
        'you mean "checkpointed"?'
      ],
      ["method", () => Integrator.of({ ...given, method: "toString" as never }), "known are euler"],
      ["", () => Activation.named("selu" as never), 'you mean "silu"?'],
      ["", () => Activation.named(undefined as never), "known are silu"]
    ] as const) {
      const error = failure(LayerError.attempt<unknown>(build))
      expect([error.path, error.message]).toEqual([path, expect.stringContaining(words)])
    }
  })

  it("a label that is missing", () => {
    for (const network of [
      Effect.runSync(CUNet.make({ ...cunet, classes: 3 })),
      Effect.runSync(UNet.make({ ...unet, channels: 1, classes: 3 }))
    ]) {
      const weights = weightsOf(network)
      const image = Tensor.zeros([1, 1, 8, 8]) as Tensor.Tensor
      expect(() => network.apply(weights, image, { time: Tensor.zeros([1]) })).toThrow(
        "needs a label for each image"
      )
    }
  })
})

describe("configurations", () => {
  it("are what JSON holds, completed", () => {
    const json = JSON.parse(
      '{ "channels": 1, "width": 8, "levels": 2, "integrator": { "steps": 3 } }'
    )
    const { config, halvings } = Effect.runSync(CUNet.make(json))
    expect(config).toMatchObject({
      order: "second",
      norm: "group",
      integrator: { method: "rk38", steps: 3, adjoint: "direct" }
    })
    expect(halvings).toBe(2)
    // and complete ones make the same network again
    expect(Effect.runSync(CUNet.make(JSON.parse(JSON.stringify(config)))).config).toEqual(config)
  })

  it("bound the steps of a controller, whose number gradients take the time of", () => {
    const steps = { relative: 1e-3, absolute: 1e-3 }
    const bound = (given: Exclude<Integrator.Config["steps"], number>) =>
      Integrator.of({ method: "dopri5", steps: given, adjoint: "direct" }).maximumSteps
    expect(bound(steps)).toBe(Integrator.defaultMaximumSteps)
    expect(bound({ ...steps, maximumSteps: 7 })).toBe(7)
  })

  it("make each switch of the ablations", () => {
    const paths = (options: Partial<CUNet.Options>) =>
      Parameter.entries(Effect.runSync(CUNet.make({ ...cunet, ...options })).parameters).map(
        ([path]) => path
      )
    const all = paths({})
    const has = (list: ReadonlyArray<string>, part: string) =>
      list.some((each) => each.includes(part))
    expect(has(all, "attention") && !has(paths({ attention: "none" }), "attention")).toBe(true)
    expect(has(all, "time_emb") && !has(paths({ time: "none" }), "time_emb")).toBe(true)
    expect(has(all, "ode_time") && !has(paths({ odeTime: false }), "ode_time")).toBe(true)
    expect(has(all, "velocity") && !has(paths({ order: "first" }), "velocity")).toBe(true)
    expect(has(all, "block.acceleration.norm1") && !has(paths({ norm: "instance" }), "norm")).toBe(
      false
    )
    expect(has(paths({ velocityFree: true }), "conv_velocity")).toBe(false)
    for (const name of Object.keys(Integrator.methods)) {
      if (["symplectic-euler", "velocity-verlet", "nystrom4"].includes(name)) continue
      expect(paths({ integrator: { method: name as never, steps: 2 } })).toEqual(all)
    }
  })

  it("make a first level of another width than the first convolution's", () => {
    for (const layout of ["ddpm", "lucidrains"] as const) {
      const network = Effect.runSync(
        UNet.make({ ...unet, multipliers: [2, 1], layout, middleAttention: "full" })
      )
      const image = Tensor.zeros([1, 3, 4, 4]) as Tensor.Tensor
      const output = network.apply(weightsOf(network), image, { time: Tensor.zeros([1]) })
      expect(output.shape).toEqual([1, 3, 4, 4])
    }
  })

  it("make networks of one, two and three dimensions, with classes and estimates", () => {
    for (const dimensions of [1, 2, 3] as const) {
      const shared = { channels: 2, dimensions, classes: 4, selfConditioning: true, outChannels: 4 }
      for (const network of [
        Effect.runSync(CUNet.make({ ...shared, width: 8, levels: 1 })),
        Effect.runSync(UNet.make({ ...shared, width: 8, multipliers: [1, 2] })),
        Effect.runSync(
          UNet.make({
            ...shared,
            width: 8,
            multipliers: [1, 2],
            layout: "lucidrains",
            middleAttention: "full"
          })
        )
      ]) {
        const { image, condition } = Network.specs(network, { batch: 3, size: 4 })
        expect(condition.label?.shape).toEqual([3])
        const x = Tensor.zeros(image.shape) as Tensor.Tensor
        const output = network.apply(weightsOf(network), x, {
          time: Tensor.zeros([3]),
          label: Tensor.zeros([3], "int32"),
          estimate: x
        })
        expect(output.shape).toEqual([3, 4, ...Array.from({ length: dimensions }, () => 4)])
      }
    }
  })
})
