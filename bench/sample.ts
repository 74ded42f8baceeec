/**
 * Sampling: seconds for a step of a sampler on a network, and what that costs over the network alone, applied as often in the same kind of
 * loop. All alternate, and each round gives ratios of its own, so that a machine that slows down slows both sides of them.
 */
import * as Effect from "effect/Effect"
import { Device } from "../src/Device/index.ts"
import { Ddim, Denoiser, Dpm, Plan, Schedule } from "../src/Diffusion/index.ts"
import { Parameter } from "../src/Layer/index.ts"
import { Networks, Sample } from "../src/Pipeline/index.ts"
import { Program, Random, Tensor } from "../src/Tensor/index.ts"
import { median, type Timing } from "./support/compare.ts"

export interface Options {
  readonly rounds: number
  readonly batch: number
  readonly size: number
  readonly steps: number
}

export const defaults: Options = { rounds: 7, batch: 16, size: 32, steps: 10 }

export const names = ["cunet-public", "cunet"] as const

const samplers = [Ddim.make(), Dpm.dpmpp2m(), Ddim.make({ eta: 1 })]

export interface Result {
  readonly network: string
  readonly timings: ReadonlyArray<Timing>
  /** How much longer a step takes than the network alone: the median of the rounds' ratios less 1, and their quartiles. */
  readonly overheads: ReadonlyArray<{
    readonly sampler: string
    readonly median: number
    readonly quartiles: readonly [number, number]
  }>
}

/** Seconds that an effect takes. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    yield* effect
    return (performance.now() - start) / 1000
  })

const at = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((a, b) => a - b)[Math.round(share * (values.length - 1))]

/** Times the samplers on one network. */
export const run = Effect.fnUntraced(function* (
  { rounds, batch, size, steps }: Options,
  name: string
) {
  const device = yield* Device.Device
  const network = yield* Networks.preset(name)
  const shape = [3, size, size]
  const weights = Program.constants(Parameter.init(network.parameters, 0))
  const apply = (x: Tensor.Tensor, time: Tensor.Tensor) =>
    network.apply(weights as never, x, { time } as never) as Tensor.Tensor

  const plan = Plan.spaced(Schedule.linear(), steps)
  const timestep = Tensor.hostArray(plan.levels.slice(0, -1).map((level) => level.timestep))
  const bare = yield* device.fold(
    yield* Program.make(
      [Tensor.spec([batch, ...shape]), Tensor.spec([])],
      ([x, timestep]) => [apply(x, Tensor.broadcastTo(timestep, [batch])) as typeof x, []] as const,
      { name: "network" }
    )
  )
  const image = yield* device.upload(
    (yield* device.evaluate(Random.normal(Random.key(1), [batch, ...shape]))) as never
  )
  const denoiser = Denoiser.make({
    network: (x, time) => apply(x as Tensor.Tensor, time as Tensor.Tensor),
    prediction: "noise"
  })
  const contenders: Array<readonly [string, Effect.Effect<unknown, unknown>]> = [
    ["network alone", Effect.scoped(bare.run(image as never, timestep))]
  ]
  for (const sampler of samplers) {
    const sampling = yield* Sample.make({ shape, batch, plan, sampler, denoiser })
    contenders.push([sampler.name, sampling.run(1)])
  }
  // the first runs find out how many steps make a call
  for (let i = 0; i < 2; i++) for (const [, run] of contenders) yield* run
  const seconds = contenders.map((): Array<number> => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, [, run]] of contenders.entries()) seconds[i].push((yield* timed(run)) / steps)
  }
  const [alone] = seconds
  return {
    network: name,
    timings: contenders.map(([name], i) => ({
      name,
      median: median(seconds[i]),
      best: Math.min(...seconds[i]),
      worst: Math.max(...seconds[i]),
      runs: seconds[i].length
    })),
    overheads: samplers.map(({ name }, i) => {
      const ratios = seconds[i + 1].map((each, round) => each / alone[round] - 1)
      return {
        sampler: name,
        median: median(ratios),
        quartiles: [at(ratios, 0.25), at(ratios, 0.75)] as const
      }
    })
  } satisfies Result
})
