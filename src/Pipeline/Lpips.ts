/**
 * The learned perceptual distance of images, LPIPS (Zhang et al. 2018, arXiv:1801.03924), version 0.1. With the features y^l of some layers
 * of a network trained on ImageNet, each place's channels divided by their norm,
 *
 *     d(x, x₀) = Σ_l mean over places of Σ_c w^l_c (y^l_c − y₀^l_c)²
 *
 * Weights come of two safetensors files: the network's, with torchvision's names (`features.0.weight`), and the w^l, with those of the files
 * that are published with the metric (`lin0.model.1.weight`).
 *
 * ```python
 * network = torchvision.models.alexnet(weights="IMAGENET1K_V1").state_dict()
 * safetensors.torch.save_file(network, "alexnet.safetensors")
 * lin = torch.load("lpips/weights/v0.1/alex.pth", map_location="cpu")
 * safetensors.torch.save_file(lin, "lpips-alex.safetensors")
 * ```
 *
 * ```ts
 * const weights = yield* Lpips.load("alex", ["alexnet.safetensors", "lpips-alex.safetensors"])
 * const lpips = yield* Lpips.make({ backbone: "alex", weights })
 * const distances = yield* lpips.distance(restored, originals)
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { DeviceError } from "../Device/index.ts"
import { Conv, Initializer, Layer, Parameter } from "../Layer/index.ts"
import { Program, Shape, Tensor } from "../Tensor/index.ts"
import type { Images } from "./Features.ts"
import * as Batched from "./internal/batched.ts"
import { attempt, demand, demandWhole } from "./internal/data.ts"
import { load as loadWeights } from "./internal/weights.ts"
import { requireImages } from "./metrics/images.ts"
import type { DataError } from "./PipelineError.ts"

/**
 * The network whose features are compared: AlexNet, the metric's default; VGG16, whose gradients are the smoothest; SqueezeNet 1.1, the
 * smallest.
 *
 * @since 0.1.0
 * @category models
 */
export type Backbone = "alex" | "vgg" | "squeeze"

type Apply = (x: Tensor.Tensor) => Tensor.Tensor

/** Layers under their numbers in torchvision's `features`, and which of them one after the other make each stage. */
interface Description {
  readonly layers: Readonly<Record<string, Any>>
  /** For each stage a pool before it, if any, and the numbers of its layers. */
  readonly stages: ReadonlyArray<
    readonly [pool: Apply | undefined, ...layers: ReadonlyArray<number>]
  >
  /** Channels after each stage. */
  readonly channels: ReadonlyArray<number>
}

type Any = Layer.Layer<any, Tensor.Tensor, Tensor.Tensor>

/** A convolution, and ReLU. */
const conv = (
  from: number,
  to: number,
  kernel: number,
  options: { readonly stride?: number; readonly padding?: number } = {}
): Any => {
  const { parameters, apply } = Conv.make({ in: from, out: to, kernel, ...options })
  return {
    parameters,
    apply: (values, x) => Tensor.relu(apply(values, x as Layer.Features)) as Tensor.Tensor
  }
}

/** 1×1 to few channels, and of these 1×1 and 3×3 side by side. */
const fire = (from: number, squeezed: number, expanded: number): Any =>
  Layer.make(
    {
      squeeze: conv(from, squeezed, 1),
      expand1x1: conv(squeezed, expanded, 1),
      expand3x3: conv(squeezed, expanded, 3)
    },
    ({ squeeze, expand1x1, expand3x3 }, x: Tensor.Tensor) => {
      const few = squeeze(x)
      return Tensor.concat([expand1x1(few), expand3x3(few)], { axis: 1 }) as Tensor.Tensor
    }
  )

const pool =
  (window: number): Apply =>
  (x) =>
    Tensor.maxPool(x, { window, stride: 2 })

/** A last window may reach beyond the border. */
const wholePool: Apply = (x) => {
  const beyond = (size: number) => (size % 2 === 0 ? 1 : 0)
  const [, , height, width] = x.shape
  const padding = [
    [0, beyond(height)],
    [0, beyond(width)]
  ] as const
  return Tensor.maxPool(x, { window: 3, stride: 2, padding })
}

const descriptions: Readonly<Record<Backbone, () => Description>> = {
  alex: () => ({
    layers: {
      0: conv(3, 64, 11, { stride: 4, padding: 2 }),
      3: conv(64, 192, 5),
      6: conv(192, 384, 3),
      8: conv(384, 256, 3),
      10: conv(256, 256, 3)
    },
    stages: [
      [undefined, 0],
      [pool(3), 3],
      [pool(3), 6],
      [undefined, 8],
      [undefined, 10]
    ],
    channels: [64, 192, 384, 256, 256]
  }),
  vgg: () => {
    const channels = [64, 128, 256, 512, 512]
    const places = [
      [0, 2],
      [5, 7],
      [10, 12, 14],
      [17, 19, 21],
      [24, 26, 28]
    ]
    const layers = places.flatMap((all, i) =>
      all.map((place, k) => {
        const from = k > 0 ? channels[i] : (channels[i - 1] ?? 3)
        return [place, conv(from, channels[i], 3)] as const
      })
    )
    return {
      layers: Object.fromEntries(layers),
      stages: places.map((all, i) => [i === 0 ? undefined : pool(2), ...all] as const),
      channels
    }
  },
  squeeze: () => ({
    layers: {
      0: conv(3, 64, 3, { stride: 2, padding: 0 }),
      3: fire(64, 16, 64),
      4: fire(128, 16, 64),
      6: fire(128, 32, 128),
      7: fire(256, 32, 128),
      9: fire(256, 48, 192),
      10: fire(384, 48, 192),
      11: fire(384, 64, 256),
      12: fire(512, 64, 256)
    },
    stages: [
      [undefined, 0],
      [wholePool, 3, 4],
      [wholePool, 6, 7],
      [wholePool, 9],
      [undefined, 10],
      [undefined, 11],
      [undefined, 12]
    ],
    channels: [64, 128, 256, 384, 384, 512, 512]
  })
}

/** The mean and deviation of ImageNet's colours, for values from −1 to 1. */
const [shift, scale] = [
  [-0.03, -0.088, -0.188],
  [0.458, 0.448, 0.45]
].map((values) => Tensor.constant(values, { shape: [3, 1, 1] }))

/** Channels of each place divided by their norm. */
const unit: Apply = (x) => {
  const norm = Tensor.sqrt(Tensor.sum(Tensor.square(x), { axis: 1, keepDims: true }))
  return Tensor.div(x, Tensor.add(norm, 1e-10)) as Tensor.Tensor
}

/**
 * The metric as a layer: two arrays of images `[n, 3, height, width]`, values from −1 to 1, to their distances `[n]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const network = (
  backbone: Backbone
): Layer.Layer<any, readonly [Tensor.Tensor, Tensor.Tensor], Tensor.Tensor<readonly [number]>> => {
  const { layers, stages, channels } = descriptions[backbone]()
  const lins = channels.map((width, i) => {
    const weight = Parameter.make([1, width, 1, 1], Initializer.constant(1 / width))
    return [`lin${i}`, { model: { 1: { weight } } }] as const
  })
  const parts = { features: layers, ...Object.fromEntries(lins) }
  return Layer.make(
    parts,
    (bound, [a, b]: readonly [Tensor.Tensor, Tensor.Tensor]) => {
      const { features } = bound as unknown as { features: Record<string, Apply> }
      const [n] = a.shape
      // both at once
      const both = Tensor.concat([a, b], { axis: 0 })
      let x = Tensor.div(Tensor.sub(both, shift), scale) as Tensor.Tensor
      let total = Tensor.zeros([n]) as Tensor.Tensor
      for (const [i, [pool, ...places]] of stages.entries()) {
        x = places.reduce((h, place) => features[place](h), pool === undefined ? x : pool(x))
        const [y, z] = Tensor.split(unit(x), 2)
        const { weight } = (bound as unknown as Lins)[`lin${i}`].model[1]
        const weighted = Tensor.mul(Tensor.square(Tensor.sub(y, z)), weight)
        const perPlace = Tensor.sum(weighted, { axis: 1 })
        total = Tensor.add(total, Tensor.mean(perPlace, { axis: [1, 2] })) as Tensor.Tensor
      }
      return total as Tensor.Tensor<readonly [number]>
    },
    { kind: `LPIPS ${backbone}` }
  )
}

type Lins = Readonly<
  Record<string, { readonly model: { readonly 1: { readonly weight: Tensor.Tensor } } }>
>

/**
 * A metric's weights.
 *
 * @since 0.1.0
 * @category models
 */
export type Weights = Program.HostArrays<any>

/** What the published metric saves of itself under other names, or twice. */
const renamed = (name: string): string => name.replace(/^net\.slice\d+\.(\d+\.)/, "features.$1")

/**
 * Reads the weights from safetensors files, which have them together: as above, or one file of the published metric's own state
 * (`net.slice1.0.weight`). What else is in them that plays no part, such as torchvision's classifier, is left out. Fails with `FileError`
 * where a file cannot be read, and with `DataError` where they have not what it takes.
 *
 * @since 0.1.0
 * @category reading
 */
export const load = (backbone: Backbone, paths: ReadonlyArray<string>) =>
  loadWeights(network(backbone).parameters, paths, {
    rename: renamed,
    ignore: (name) => /^(classifier|lins|scaling_layer)\./.test(name)
  })

/**
 * A metric, compiled.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lpips {
  /** For people. */
  readonly name: string
  /**
   * The distance of each pair of images, `[n]`: 0 of equal ones. Images are `[n, 3, height, width]` or grey, values from −1 to 1.
   *
   * Fails with `DataError` for shapes that differ, values that are not finite, and images too small for the network (about 32 × 32).
   */
  readonly distance: (
    a: Images,
    b: Images
  ) => Effect.Effect<Float32Array, DataError | DeviceError.DeviceError | DeviceError.CompileError>
}

/**
 * A metric for as long as the scope lasts. It is compiled for each shape of images when that comes first. Fails with `DataError` for a batch
 * that is none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly backbone: Backbone
  readonly weights: Weights
  /** How many pairs go through the network at once; 16 unless told. */
  readonly batch?: number
}) {
  const { backbone, weights, batch = 16 } = options
  const name = `LPIPS 0.1, ${backbone}`
  yield* attempt(() => demandWhole(name, "`batch`", batch, 1))
  const { apply } = network(backbone)
  const values = Program.constants(weights)
  const coloured = (x: Tensor.Tensor) =>
    (x.shape[1] === 1 ? Tensor.repeat(x, 3, { axis: 1 }) : x) as Tensor.Tensor
  const batches = yield* Batched.make({
    name,
    batch,
    arity: 2,
    build: (a, b) => ({ distances: apply(values, [coloured(a), coloured(b)]) })
  })
  const distance = Effect.fnUntraced(function* (a: Images, b: Images) {
    yield* attempt(() => {
      for (const each of [a, b]) requireImages(name, each)
      demand(
        Shape.equals(a.shape, b.shape),
        name,
        "shape",
        () => `images ${Shape.show(a.shape)} cannot be compared with images ${Shape.show(b.shape)}`
      )
      demand(
        a.shape[1] === 3 || a.shape[1] === 1,
        name,
        "shape",
        () => `images have 3 channels, or 1, not ${a.shape[1]}`
      )
    })
    const parts = yield* batches.run(a, b)
    const result = new Float32Array(a.shape[0])
    for (const [i, { distances }] of parts.entries()) {
      result.set(distances.data.subarray(0, result.length - i * batch), i * batch)
    }
    return result
  })
  return { name, distance } satisfies Lpips
})
