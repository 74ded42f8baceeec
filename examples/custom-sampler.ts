/**
 * A sampler of one's own, the two-step Adams–Bashforth method on EDM's ODE dx = ε dσ: its laws, and its error beside Euler's where the
 * answer is known.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Device } from "../src/Device/index.ts"
import { Denoiser, Euler, Heun, Noise, Plan, Sampler, Schedule } from "../src/Diffusion/index.ts"
import { SamplerLaws } from "../src/Laws/index.ts"
import { Random, Tensor } from "../src/Tensor/index.ts"

// x′ = x + Δσ ((1 + r/2) ε − (r/2) ε₋₁), where r is this step over the last; ε₋₁ is kept in a register
const adamsBashforth = Sampler.linear("Adams–Bashforth", ({ levels }) =>
  levels.slice(0, -1).map((level, i) => {
    const step = levels[i + 1].sigma - level.sigma
    // of nothing before the first step; and the last may go to where there is no noise
    const r = i === 0 || levels[i + 1].sigma === 0 ? 0 : step / (level.sigma - levels[i - 1].sigma)
    return {
      level,
      next: {
        x: { x: 1, slope: step * (1 + r / 2), last: (-step * r) / 2 },
        last: { slope: 1 }
      }
    }
  })
)

// for data that are normal, with deviation 0.5, the best denoiser is known
const denoiser = Denoiser.fromData((x, { sigma }) => {
  const variance = Tensor.add(Tensor.square(sigma), 0.25)
  return Tensor.div(Tensor.mul(x, 0.25), variance) as Denoiser.State
})

const main = Effect.gen(function* () {
  yield* SamplerLaws.check({ sampler: adamsBashforth, order: 2, coordinates: ["exploding"] })
  yield* Console.log(`${adamsBashforth.name}: all laws hold`)

  const device = yield* Device.Device
  const schedule = Schedule.edm()
  const noise = Noise.initial(Random.key(1), [1000])
  const samples = (sampler: Sampler.Sampler, steps: number) => {
    const plan = Plan.karras(schedule, steps)
    return Sampler.sample({ sampler, plan, denoiser }, Tensor.mul(noise, 80) as Denoiser.State).x
  }
  const exact = samples(Heun.make(), 500)
  const error = (sampler: Sampler.Sampler, steps: number) =>
    Tensor.sqrt(Tensor.mean(Tensor.square(Tensor.sub(samples(sampler, steps), exact))))
  for (const steps of [10, 20, 40, 80]) {
    const errors = yield* device.evaluate({
      euler: error(Euler.make(), steps),
      mine: error(adamsBashforth, steps)
    })
    const [euler, mine] = [errors.euler, errors.mine].map(({ data }) => data[0].toFixed(5))
    yield* Console.log(`${steps} steps: an error of ${mine}, Euler's ${euler}`)
  }
})

main.pipe(Effect.scoped, Effect.provide(Device.layerAuto), NodeRuntime.runMain)
