/**
 * One pipeline, three denoisers: it names what it needs as services, and an experiment swaps one by providing another layer.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Device } from "../src/Device/index.ts"
import { Denoiser, Dpm, Guidance, Plan, Sampler, Schedule } from "../src/Diffusion/index.ts"
import { Sample } from "../src/Pipeline/index.ts"
import { Tensor } from "../src/Tensor/index.ts"

// the pipeline: no word of which denoiser, schedule or sampler
const pipeline = Effect.gen(function* () {
  const sampling = yield* Sample.make({
    shape: [2],
    batch: 2000,
    plan: (schedule) => Plan.logSnrUniform(schedule, 20, { max: 8 })
  })
  const { data } = yield* sampling.run(7)
  const right = data.filter((x, i) => i % 2 === 0 && x > 0).length
  return { right: right / 2000, spread: Math.hypot(...data) / Math.sqrt(data.length) }
})

/** The best denoiser of points about two places, (−1, 0) and (1, 0), of which the right one has a share. */
const twoPlaces = (share: number, deviation = 0.2) =>
  Denoiser.fromData((x, { alpha, sigma }) => {
    const variance = Tensor.add(
      Tensor.square(sigma),
      Tensor.mul(Tensor.square(alpha), deviation ** 2)
    )
    const [first] = Tensor.split(x, 2, { axis: 1 })
    // of a point's coming from the right place
    const odds = Tensor.div(Tensor.mul(Tensor.mul(first, 2), alpha), variance)
    const right = Tensor.sigmoid(Tensor.add(odds, Math.log(share / (1 - share))))
    const place = Tensor.mul(Tensor.sub(Tensor.mul(right, 2), 1), Tensor.constant([1, 0]))
    const gain = Tensor.div(Tensor.mul(alpha, deviation ** 2), variance)
    const moved = Tensor.mul(Tensor.sub(x, Tensor.mul(place, alpha)), gain)
    return Tensor.add(place, moved) as Denoiser.State
  })

const common = Layer.mergeAll(
  Device.layerAuto,
  Schedule.layer(Schedule.cosine()),
  Sampler.layer(Dpm.dpmpp2m())
)

const denoisers = {
  "both places alike": twoPlaces(0.5),
  "three in four on the right": twoPlaces(0.75),
  "guided to the right": Guidance.make({
    denoiser: twoPlaces(0.75),
    guide: twoPlaces(0.5),
    weight: 3
  })
}

const main = Effect.forEach(Object.entries(denoisers), ([name, denoiser]) =>
  pipeline.pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(common, Denoiser.layer(denoiser))),
    Effect.flatMap(({ right, spread }) =>
      Console.log(
        `${name}: ${(100 * right).toFixed(0)} % on the right, root mean square ${spread.toFixed(2)}`
      )
    )
  )
)

main.pipe(NodeRuntime.runMain)
