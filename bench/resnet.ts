/**
 * A stack of residual blocks, the inner loop of every U-Net: GroupNorm(8), SiLU, 3×3 convolution,
 * twice, and the sum with the input. 64 channels, 32×32, batch 16, four blocks.
 */
import { Random, Tensor } from "../src/Tensor/index.ts"
import * as Steps from "./support/steps.ts"

export interface Options {
  readonly rounds: number
  readonly batch: number
  readonly width: number
  readonly size: number
  readonly depth: number
}

export const defaults: Options = { rounds: 5, batch: 16, width: 64, size: 32, depth: 4 }

interface Half {
  readonly scale: Tensor.Tensor
  readonly offset: Tensor.Tensor
  readonly kernel: Tensor.Tensor
  readonly bias: Tensor.Tensor
}

type Weights = ReadonlyArray<Half>

const initial = (key: Random.Key, { width, depth }: Options): Weights =>
  Random.children(key, 2 * depth).map((each) => ({
    scale: Tensor.ones([width]),
    offset: Tensor.zeros([width]),
    kernel: Tensor.mul(Random.normal(each, [width, width, 3, 3]), 1 / Math.sqrt(9 * width)),
    bias: Tensor.zeros([width])
  }))

const half = (x: Tensor.Tensor, { scale, offset, kernel, bias }: Half): Tensor.Tensor =>
  x.pipe(
    Tensor.groupNorm({ groups: 8, scale, bias: offset }),
    Tensor.silu,
    Tensor.conv(kernel, { padding: "same" }),
    Tensor.add(Tensor.reshape(bias, [-1, 1, 1]))
  ) as Tensor.Tensor

const network = (x: Tensor.Tensor, halves: Weights): Tensor.Tensor => {
  let y = x
  for (let i = 0; i < halves.length; i += 2) {
    y = Tensor.add(y, half(half(y, halves[i]), halves[i + 1])) as Tensor.Tensor
  }
  return y
}

/** Times both modes. */
export const run = (options: Options) => {
  const { rounds, batch, width, size, depth } = options
  const subject = {
    weights: initial(Random.key(0), options),
    network,
    shape: [batch, width, size, size]
  }
  return Steps.run(subject, { model: "resnet", batch, size, width, depth }, rounds)
}
