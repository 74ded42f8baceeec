/**
 * What is timed of a network: the forward pass with weights known when it is compiled, and a training step (forward, backward,
 * Adam). Both run inside `fold`, so a call makes several steps; PyTorch runs eagerly, in the faster of its two memory layouts,
 * and times its own steps in one process per round.
 */
import * as Effect from "effect/Effect"
import { Device } from "../../src/Device/index.ts"
import { Gradient, Loss, Program, Random, Tensor, Tree } from "../../src/Tensor/index.ts"
import { alternate, askPeer, peer, type Timing } from "./compare.ts"

/** A network with its weights, and the shape of its images. */
export interface Subject<W> {
  readonly weights: Tree.Leaf<W> extends never ? never : W
  readonly network: (image: Tensor.Tensor, weights: W) => Tensor.Tensor
  readonly shape: ReadonlyArray<number>
}

interface Moments<W> {
  readonly weights: W
  readonly mean: W
  readonly square: W
}

const each = <W>(
  trees: readonly [W, ...ReadonlyArray<W>],
  f: (...leaves: ReadonlyArray<Tensor.Tensor>) => Tensor.Tensor
): W => Tree.zipWith(trees as readonly [unknown], f as never) as W

const average = (decay: number) => (old: Tensor.Tensor, now: Tensor.Tensor) =>
  Tensor.add(Tensor.mul(old, decay), Tensor.mul(now, 1 - decay)) as Tensor.Tensor

const adam = <W>(state: Moments<W>, gradients: W, step: Tensor.Tensor<readonly []>): Moments<W> => {
  const bias = (decay: number) => Tensor.sub(1, Tensor.pow(Tensor.scalar(decay), step))
  const rate = Tensor.div(1e-4, bias(0.9))
  const correction = Tensor.sqrt(bias(0.999))
  const mean = each([state.mean, gradients], average(0.9))
  const square = each([state.square, gradients], (old, now) =>
    average(0.999)(old, Tensor.square(now))
  )
  const weights = each([state.weights, mean, square], (w, m, v) => {
    const scale = Tensor.add(Tensor.div(Tensor.sqrt(v), correction), 1e-8)
    return Tensor.sub(w, Tensor.div(Tensor.mul(m, rate), scale)) as Tensor.Tensor
  })
  return { weights, mean, square }
}

const stepsPerCall = 5

/** Seconds per step of one call, several times over. */
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

/** A step on a device, folded: compiled and warm. */
const prepared = Effect.fnUntraced(function* <S>(
  name: string,
  start: S,
  calls: number,
  step: (state: S) => readonly [S, unknown]
) {
  const device = yield* Device.Device
  const state = yield* device.evaluate(start)
  const program = yield* Program.make([state, []], ([state]) => step(state as S), { name })
  const fold = yield* device.fold(program as never)
  const call = Effect.scoped(
    fold.run(state as never, [] as never, { steps: stepsPerCall, stepsPerCall })
  )
  yield* call
  return { compileTime: fold.compileTime, cost: fold.cost, run: timed(call, calls) }
})

const forward = Effect.fnUntraced(function* <W>({ weights, network, shape }: Subject<W>) {
  const device = yield* Device.Device
  const known = Program.constants(yield* device.evaluate(weights))
  return yield* prepared("forward", Random.normal(Random.key(1), shape), 5, (image) => [
    network(image, known as W) as typeof image,
    []
  ])
})

const train = Effect.fnUntraced(function* <W>({ weights, network, shape }: Subject<W>) {
  const zeros = Tree.remap<W>(weights, Tensor.zerosLike as never)
  const start = {
    moments: { weights, mean: zeros, square: zeros } as Moments<W>,
    step: Tensor.scalar(0),
    image: Random.normal(Random.key(1), shape),
    target: Random.normal(Random.key(2), shape)
  }
  return yield* prepared("train", start, 3, ({ moments, step, image, target }) => {
    const loss = Loss.mse(network(image, moments.weights), target)
    const next = Tensor.add(step, 1)
    const gradients = Gradient.of(loss, moments.weights)
    return [{ moments: adam(moments, gradients, next), step: next, image, target }, loss]
  })
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

const modes = [
  ["forward", "forward", forward],
  ["training step", "train-step", train]
] as const

/** Times both modes, beside the peer's model of these options. */
export const run = Effect.fnUntraced(function* <W>(
  subject: Subject<W>,
  options: Readonly<Record<string, string | number>>,
  rounds: number
) {
  const device = yield* Device.Device
  const other = peer()
  const results: Array<Result> = []
  for (const [name, mode, prepare] of modes) {
    const ours = yield* prepare(subject)
    const notes: Array<string> = typeof other === "string" ? [other] : []
    const contenders = [
      { name: "odeon", run: ours.run as Effect.Effect<ReadonlyArray<number>, unknown> }
    ]
    if (typeof other !== "string") {
      for (const layout of layouts) {
        const ask = () => askPeer(other, { ...options, mode, layout, runs: 7 })
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
    const timings = yield* alternate(contenders, rounds)
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
