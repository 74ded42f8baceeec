/**
 * Inception-v3 (Szegedy et al. 2015, arXiv:1512.00567) as the Fréchet inception distance is defined by it: TensorFlow's network of
 * 2015-12-05, with 1008 outputs, whose pools differ from those of the later one:
 *
 * - averages leave out what lies beyond the border
 * - in the last block the greatest takes the place of the average
 *
 * Parameters are named as in the file `pt_inception-2015-12-05` that is published for PyTorch, which makes a safetensors file of it in
 * two lines:
 *
 * ```python
 * weights = torch.load("pt_inception-2015-12-05-6726825d.pth", map_location="cpu")
 * safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, "inception.safetensors")
 * ```
 *
 * @since 0.1.0
 */
import { Conv, Dense, Initializer, Layer, Parameter } from "../Layer/index.ts"
import { type Program, Tensor } from "../Tensor/index.ts"
import * as Features from "./Features.ts"
import { load as loadWeights } from "./internal/weights.ts"

type Any = Layer.Layer<any, Tensor.Tensor, Tensor.Tensor>

const variance = 1e-3

interface Kernel {
  readonly stride?: number
  /** So that the size stays, unless told. */
  readonly padding?: number
}

interface Normalized {
  readonly conv: { readonly weight: Tensor.Tensor }
  readonly bn: {
    readonly [K in "weight" | "bias" | "running_mean" | "running_var"]: Tensor.Tensor
  }
}

/** A convolution, batch normalisation by fixed moments, and ReLU. The normalisation is part of the kernel: a factor and an offset. */
const basic = (
  from: number,
  to: number,
  kernel: number | readonly [number, number],
  options: Kernel = {}
): Any => {
  const conv = Conv.make({ in: from, out: to, kernel, bias: false, ...options })
  const ones = () => Parameter.make([to], Initializer.ones)
  const zeros = () => Parameter.make([to], Initializer.zeros)
  return {
    kind: conv.kind ?? "conv",
    parameters: {
      conv: conv.parameters,
      bn: {
        weight: ones(),
        bias: zeros(),
        running_mean: Parameter.buffer([to], Initializer.zeros),
        running_var: Parameter.buffer([to], Initializer.ones)
      }
    },
    apply: ({ conv: { weight }, bn }: Normalized, x) => {
      const factor = Tensor.div(bn.weight, Tensor.sqrt(Tensor.add(bn.running_var, variance)))
      const offset = Tensor.sub(bn.bias, Tensor.mul(bn.running_mean, factor))
      const scaled = Tensor.mul(weight, Tensor.reshape(factor, [to, 1, 1, 1]))
      const y = conv.apply({ weight: scaled } as never, x as never)
      return Tensor.relu(
        Tensor.add(y as Tensor.Tensor, Tensor.reshape(offset, [to, 1, 1]))
      ) as Tensor.Tensor
    }
  }
}

/** The mean of a place and those around it that there are. */
const average = (x: Tensor.Tensor): Tensor.Tensor => {
  const around = { window: 3, stride: 1, padding: 1 }
  const [, , height, width] = x.shape
  const share = Tensor.avgPool(Tensor.ones([1, 1, height, width]), around)
  return Tensor.div(Tensor.avgPool(x, around), share as Tensor.Tensor) as Tensor.Tensor
}

const greatest = (x: Tensor.Tensor): Tensor.Tensor =>
  Tensor.maxPool(x, { window: 3, stride: 1, padding: 1 })

const halved = (x: Tensor.Tensor): Tensor.Tensor => Tensor.maxPool(x, { window: 3, stride: 2 })

type Apply = (x: Tensor.Tensor) => Tensor.Tensor

/** A block: what its branches make of an input, side by side. */
const block = <const T extends Readonly<Record<string, Any>>>(
  parts: T,
  branches: (
    parts: { readonly [K in keyof T]: Apply },
    x: Tensor.Tensor
  ) => ReadonlyArray<Tensor.Tensor>
): Any =>
  Layer.make(parts, (bound, x: Tensor.Tensor) =>
    Tensor.concat(branches(bound as never, x), { axis: 1 })
  ) as never

const blockA = (from: number, pooled: number): Any =>
  block(
    {
      branch1x1: basic(from, 64, 1),
      branch5x5_1: basic(from, 48, 1),
      branch5x5_2: basic(48, 64, 5),
      branch3x3dbl_1: basic(from, 64, 1),
      branch3x3dbl_2: basic(64, 96, 3),
      branch3x3dbl_3: basic(96, 96, 3),
      branch_pool: basic(from, pooled, 1)
    },
    (b, x) => [
      b.branch1x1(x),
      b.branch5x5_2(b.branch5x5_1(x)),
      b.branch3x3dbl_3(b.branch3x3dbl_2(b.branch3x3dbl_1(x))),
      b.branch_pool(average(x))
    ]
  )

/** Without padding, every other place. */
const strided: Kernel = { stride: 2, padding: 0 }

const blockB = (from: number): Any =>
  block(
    {
      branch3x3: basic(from, 384, 3, strided),
      branch3x3dbl_1: basic(from, 64, 1),
      branch3x3dbl_2: basic(64, 96, 3),
      branch3x3dbl_3: basic(96, 96, 3, strided)
    },
    (b, x) => [b.branch3x3(x), b.branch3x3dbl_3(b.branch3x3dbl_2(b.branch3x3dbl_1(x))), halved(x)]
  )

const [row, column] = [
  [1, 7],
  [7, 1]
] as const

const blockC = (from: number, width: number): Any =>
  block(
    {
      branch1x1: basic(from, 192, 1),
      branch7x7_1: basic(from, width, 1),
      branch7x7_2: basic(width, width, row),
      branch7x7_3: basic(width, 192, column),
      branch7x7dbl_1: basic(from, width, 1),
      branch7x7dbl_2: basic(width, width, column),
      branch7x7dbl_3: basic(width, width, row),
      branch7x7dbl_4: basic(width, width, column),
      branch7x7dbl_5: basic(width, 192, row),
      branch_pool: basic(from, 192, 1)
    },
    (b, x) => [
      b.branch1x1(x),
      b.branch7x7_3(b.branch7x7_2(b.branch7x7_1(x))),
      b.branch7x7dbl_5(b.branch7x7dbl_4(b.branch7x7dbl_3(b.branch7x7dbl_2(b.branch7x7dbl_1(x))))),
      b.branch_pool(average(x))
    ]
  )

const blockD = (from: number): Any =>
  block(
    {
      branch3x3_1: basic(from, 192, 1),
      branch3x3_2: basic(192, 320, 3, strided),
      branch7x7x3_1: basic(from, 192, 1),
      branch7x7x3_2: basic(192, 192, row),
      branch7x7x3_3: basic(192, 192, column),
      branch7x7x3_4: basic(192, 192, 3, strided)
    },
    (b, x) => [
      b.branch3x3_2(b.branch3x3_1(x)),
      b.branch7x7x3_4(b.branch7x7x3_3(b.branch7x7x3_2(b.branch7x7x3_1(x)))),
      halved(x)
    ]
  )

const blockE = (from: number, pool: Apply): Any =>
  block(
    {
      branch1x1: basic(from, 320, 1),
      branch3x3_1: basic(from, 384, 1),
      branch3x3_2a: basic(384, 384, [1, 3]),
      branch3x3_2b: basic(384, 384, [3, 1]),
      branch3x3dbl_1: basic(from, 448, 1),
      branch3x3dbl_2: basic(448, 384, 3),
      branch3x3dbl_3a: basic(384, 384, [1, 3]),
      branch3x3dbl_3b: basic(384, 384, [3, 1]),
      branch_pool: basic(from, 192, 1)
    },
    (b, x) => {
      const [once, twice] = [b.branch3x3_1(x), b.branch3x3dbl_2(b.branch3x3dbl_1(x))]
      return [
        b.branch1x1(x),
        b.branch3x3_2a(once),
        b.branch3x3_2b(once),
        b.branch3x3dbl_3a(twice),
        b.branch3x3dbl_3b(twice),
        b.branch_pool(pool(x))
      ]
    }
  )

const parts = {
  Conv2d_1a_3x3: basic(3, 32, 3, strided),
  Conv2d_2a_3x3: basic(32, 32, 3, { padding: 0 }),
  Conv2d_2b_3x3: basic(32, 64, 3),
  Conv2d_3b_1x1: basic(64, 80, 1),
  Conv2d_4a_3x3: basic(80, 192, 3, { padding: 0 }),
  Mixed_5b: blockA(192, 32),
  Mixed_5c: blockA(256, 64),
  Mixed_5d: blockA(288, 64),
  Mixed_6a: blockB(288),
  Mixed_6b: blockC(768, 128),
  Mixed_6c: blockC(768, 160),
  Mixed_6d: blockC(768, 160),
  Mixed_6e: blockC(768, 192),
  Mixed_7a: blockD(768),
  Mixed_7b: blockE(1280, average),
  Mixed_7c: blockE(2048, greatest),
  fc: Dense.make({ in: 2048, out: 1008 }).parameters
} as const

/**
 * What the network gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outputs {
  /** `[n, 2048]`: the mean over all places of the last block. */
  readonly features: Tensor.Tensor
  /** `[n, 1008]`: of the classes, without the last layer's bias, as the code of the Inception score has them. */
  readonly logits: Tensor.Tensor
  /** `[n, 1008]`: with the bias. */
  readonly biased: Tensor.Tensor
}

/**
 * The network, from images `[n, 3, height, width]` with values from −1 to 1, at least 75 × 75; 299 × 299 for FID.
 *
 * @since 0.1.0
 * @category instances
 */
export const network: Layer.Layer<any, Tensor.Tensor, Outputs> = Layer.make(
  parts,
  (b, x: Tensor.Tensor) => {
    const stem = b.Conv2d_2b_3x3(b.Conv2d_2a_3x3(b.Conv2d_1a_3x3(x)))
    const middle = b.Conv2d_4a_3x3(b.Conv2d_3b_1x1(halved(stem)))
    const blocks: ReadonlyArray<Apply> = [
      b.Mixed_5b,
      b.Mixed_5c,
      b.Mixed_5d,
      b.Mixed_6a,
      b.Mixed_6b,
      b.Mixed_6c,
      b.Mixed_6d,
      b.Mixed_6e,
      b.Mixed_7a,
      b.Mixed_7b,
      b.Mixed_7c
    ]
    const last = blocks.reduce((h, each) => each(h), halved(middle))
    const features = Tensor.mean(last, { axis: [2, 3] }) as Tensor.Tensor
    const logits = Tensor.matmul(features, Tensor.matrixTranspose(b.fc.weight)) as Tensor.Tensor
    return { features, logits, biased: Tensor.add(logits, b.fc.bias) as Tensor.Tensor }
  },
  { kind: "Inception-v3" }
)

/**
 * The network's weights.
 *
 * @since 0.1.0
 * @category models
 */
export type Weights = Program.HostArrays<any>

/**
 * Reads the weights from a safetensors file with the names above; counts of batches and the auxiliary classifier, which play no part, may be
 * there. Fails with `FileError` where it cannot be read, and with `DataError` where it is none, or of another network.
 *
 * @since 0.1.0
 * @category reading
 */
export const load = (path: string) =>
  loadWeights(network.parameters, [path], {
    ignore: (name) => name.endsWith(".num_batches_tracked") || name.startsWith("AuxLogits.")
  })

/**
 * The extractor of FID: images are brought to 299 × 299 bilinearly, features are the 2048 of the last pool. Its probabilities are those of
 * the Inception score. Fails as `Features.make` does.
 *
 * A batch holds about 20 MB for each image while it runs.
 *
 * @since 0.1.0
 * @category extraction
 */
export const extractor = (
  weights: Weights,
  options: Pick<Features.Options<unknown>, "batch" | "resize"> = {}
) =>
  Features.make({
    ...options,
    name: "Inception-v3 of 2015-12-05, the 2048 features of its last pool",
    network: network as Layer.Layer<any, Tensor.Tensor, Features.Outputs>,
    weights,
    shape: [3, 299, 299]
  })
