/**
 * A stack of residual blocks, the inner loop of every U-Net: GroupNorm(8), SiLU, 3×3 convolution,
 * twice, and the sum with the input. 64 channels, 32×32, batch 16, four blocks. The forward pass with
 * weights known when it is compiled, and a training step: forward, backward, Adam.
 *
 * Both run inside `fold`, so a call makes several steps; PyTorch runs eagerly, in the faster of its
 * two memory layouts, and times its own steps in one process per round.
 */
import * as Effect from "effect/Effect"
import { Device } from "../src/Device/index.ts"
import { Gradient, Loss, Program, Random, Tensor, Tree } from "../src/Tensor/index.ts"
import { alternate, askPeer, peer, type Timing } from "./support/compare.ts"

export interface Options {
  readonly rounds: number
  readonly batch: number
  readonly width: number
  readonly size: number
  readonly depth: number
}

export const defaults: Options = { rounds: 5, batch: 16, width: 64, size: 32, depth: 4 }

const stepsPerCall = 5

type Vector = Tensor.Tensor<readonly [number]>
type Kernel = Tensor.Tensor<readonly [number, number, number, number]>
type Images = Tensor.Tensor<readonly [number, number, number, number]>

interface Half {
  readonly scale: Vector
  readonly offset: Vector
  readonly kernel: Kernel
  readonly bias: Vector
}

type Weights = ReadonlyArray<Half>

const initial = (key: Random.Key, { width, depth }: Options): Weights =>
  Random.children(key, 2 * depth).map((each) => ({
    scale: Tensor.ones([width]),
    offset: Tensor.zeros([width]),
    kernel: Tensor.mul(Random.normal(each, [width, width, 3, 3]), 1 / Math.sqrt(9 * width)),
    bias: Tensor.zeros([width])
  }))

const half = (x: Images, { scale, offset, kernel, bias }: Half): Images =>
  x.pipe(
    Tensor.groupNorm({ groups: 8, scale, bias: offset }),
    Tensor.silu,
    Tensor.conv(kernel, { padding: "same" }),
    Tensor.add(Tensor.reshape(bias, [-1, 1, 1]))
  ) as Images

const network = (x: Images, halves: Weights): Images => {
  let y = x
  for (let i = 0; i < halves.length; i += 2) {
    y = Tensor.add(y, half(half(y, halves[i]), halves[i + 1])) as Images
  }
  return y
}

interface Moments {
  readonly weights: Weights
  readonly mean: Weights
  readonly square: Weights
}

const average = (decay: number) => (old: Tensor.Tensor, now: Tensor.Tensor) =>
  Tensor.add(Tensor.mul(old, decay), Tensor.mul(now, 1 - decay))

const adam = (state: Moments, gradients: Weights, step: Tensor.Tensor<readonly []>): Moments => {
  const bias = (decay: number) => Tensor.sub(1, Tensor.pow(Tensor.scalar(decay), step))
  const rate = Tensor.div(1e-4, bias(0.9))
  const correction = Tensor.sqrt(bias(0.999))
  const mean = Tree.zipWith([state.mean, gradients], average(0.9))
  const square = Tree.zipWith([state.square, gradients], (old, now) =>
    average(0.999)(old, Tensor.square(now))
  )
  const weights = Tree.zipWith([state.weights, mean, square], (w, m, v) =>
    Tensor.sub(
      w,
      Tensor.div(Tensor.mul(m, rate), Tensor.add(Tensor.div(Tensor.sqrt(v), correction), 1e-8))
    )
  )
  return { weights, mean, square }
}

/** Milliseconds per step of one call, several times over. */
const timed = <A, E, R>(call: Effect.Effect<A, E, R>, calls: number) =>
  Effect.gen(function* () {
    const seconds: Array<number> = []
    for (let i = 0; i < calls; i++) {
      const start = performance.now()
      yield* call
      seconds.push((performance.now() - start) / 1000 / stepsPerCall)
    }
    return seconds
  })

const images = ({ batch, width, size }: Options) => [batch, width, size, size] as const

const forward = Effect.fnUntraced(function* (options: Options) {
  const device = yield* Device.Device
  const weights = yield* device.evaluate(initial(Random.key(0), options))
  const image = yield* device.evaluate(Random.normal(Random.key(1), images(options)))
  const program = yield* Program.make(
    [image, []],
    ([x]) => [network(x, Program.constants(weights)), []],
    { name: "forward" }
  )
  const fold = yield* device.fold(program)
  const call = Effect.scoped(fold.run(image, [], { steps: stepsPerCall, stepsPerCall }))
  yield* call
  return { compileTime: fold.compileTime, cost: fold.cost, run: timed(call, 5) }
})

const train = Effect.fnUntraced(function* (options: Options) {
  const device = yield* Device.Device
  const weights = initial(Random.key(0), options)
  const zeros = Tree.map(weights, Tensor.zerosLike)
  const start = yield* device.evaluate({
    moments: { weights, mean: zeros, square: zeros } satisfies Moments,
    step: Tensor.scalar(0),
    image: Random.normal(Random.key(1), images(options)),
    target: Random.normal(Random.key(2), images(options))
  })
  const program = yield* Program.make(
    [start, []],
    ([{ moments, step, image, target }]) => {
      const loss = Loss.mse(network(image, moments.weights), target)
      const next = Tensor.add(step, 1)
      const gradients = Gradient.of(loss, moments.weights)
      return [{ moments: adam(moments, gradients, next), step: next, image, target }, loss]
    },
    { name: "train" }
  )
  const fold = yield* device.fold(program)
  const call = Effect.scoped(fold.run(start, [], { steps: stepsPerCall, stepsPerCall }))
  yield* call
  return { compileTime: fold.compileTime, cost: fold.cost, run: timed(call, 3) }
})

export interface Result {
  readonly name: string
  readonly device: string
  readonly compileMilliseconds: number
  readonly macs: number
  readonly timings: ReadonlyArray<Timing>
  /** Our median over that of the peer's faster layout. */
  readonly ratio: number | undefined
  readonly notes: ReadonlyArray<string>
}

const layouts = ["contiguous", "channels_last"] as const

/** Times both modes. */
export const run = Effect.fnUntraced(function* (options: Options) {
  const device = yield* Device.Device
  const other = peer()
  const results: Array<Result> = []
  for (const [name, mode, prepare] of [
    ["forward", "forward", forward],
    ["training step", "train-step", train]
  ] as const) {
    const ours = yield* prepare(options)
    const notes: Array<string> = typeof other === "string" ? [other] : []
    const contenders = [
      { name: "odeon", run: ours.run as Effect.Effect<ReadonlyArray<number>, unknown> }
    ]
    if (typeof other !== "string") {
      for (const layout of layouts) {
        const ask = () =>
          askPeer(other, {
            model: "resnet",
            mode,
            layout,
            batch: options.batch,
            size: options.size,
            width: options.width,
            depth: options.depth,
            runs: 7
          })
        const first = ask()
        if (typeof first === "string") notes.push(`PyTorch ${layout}, ${mode}: ${first}`)
        else {
          contenders.push({
            name: `PyTorch ${layout}`,
            run: Effect.sync(() => {
              const answer = ask()
              return typeof answer === "string" ? [] : [answer.median_s]
            })
          })
        }
      }
    }
    const timings = yield* alternate(contenders, options.rounds)
    const [mine, ...theirs] = timings
    const fastest = Math.min(
      ...theirs.map((timing) => timing.median).filter((each) => !Number.isNaN(each))
    )
    results.push({
      name,
      device: device.name,
      compileMilliseconds: ours.compileTime,
      macs: ours.cost.macs,
      timings,
      ratio: Number.isFinite(fastest) ? mine.median / fastest : undefined,
      notes
    })
  }
  return results
})
