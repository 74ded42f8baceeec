/** The laws of samplers catch what is broken. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Ddim, Ddpm, type Denoiser, Euler, Guidance, Sampler } from "../../src/Diffusion/index.ts"
import { SamplerLaws } from "../../src/Laws/index.ts"
import { Tensor } from "../../src/Tensor/index.ts"

const options = { seed: 2026 }

type Step = Parameters<Sampler.Steps["step"]>[0]

/** DDIM with something else made of its steps. */
const broken = (
  next: (given: Step, x: Denoiser.State) => Denoiser.State,
  sampler = Ddim.make()
): Sampler.Sampler => ({
  name: "mine",
  steps: (plan) => {
    const own = sampler.steps(plan)
    return {
      ...own,
      step: (given) => {
        const after = own.step(given)
        return { ...after, x: next(given, after.x) }
      }
    }
  }
})

layer(Device.layerReference(), { excludeTestServices: true })("samplers", (it) => {
  const caught = (name: string, check: Effect.Effect<void, unknown, Device.Device>, text: RegExp) =>
    it.effect(name, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(check)
        expect(String((error as Error).message)).toMatch(text)
      })
    )

  caught(
    "that draw noise unsaid, or say so and do not, are caught",
    SamplerLaws.seeds(
      {
        sampler: {
          name: "mine",
          steps: (plan) => ({ ...Ddim.make().steps(plan), stochastic: true })
        }
      },
      options
    ),
    /mine breaks the law "seeds": two seeds give the same samples on 6 steps of .* in log-SNR from .*, preserving, with data of .* \(seed 2026\)/
  )

  caught(
    "that mix items are caught",
    SamplerLaws.items(
      {
        sampler: broken(
          (_, x) =>
            Tensor.sub(
              x,
              Tensor.mul(Tensor.mean(x, { axis: [0], keepDims: true } as never), 1e-6) as never
            ) as Denoiser.State
        )
      },
      options
    ),
    /items of a batch and items alone differ by/
  )

  caught(
    "that tell networks of other levels are caught",
    SamplerLaws.prediction(
      {
        sampler: Sampler.linear("mine", ({ levels }) =>
          levels.slice(1).map((to, i) => ({
            level: { ...levels[i], timestep: to.timestep },
            next: { x: { data: to.alpha, noise: to.sigma } }
          }))
        )
      },
      options
    ),
    /states along the way of a network that predicts noise and of the denoiser itself differ by/
  )

  caught(
    "that depend on coordinates are caught",
    SamplerLaws.coordinates(
      {
        sampler: Sampler.linear("mine", ({ levels }) =>
          levels.slice(1).map((to, i) => ({
            level: levels[i],
            next: {
              x: {
                x: 1,
                data: to.alpha - levels[i].alpha,
                slope: to.sigma - levels[i].sigma,
                fresh: to.alpha * to.sigma
              }
            }
          }))
        )
      },
      options
    ),
    /samples in the coordinates preserving and exploding differ by/
  )

  caught(
    "of less order than they claim are caught",
    SamplerLaws.order({ sampler: Euler.make(), order: 2 }, options),
    /Euler breaks the law "order": the error at the end is of order (0\.9|1\.0)\d instead of 2/
  )

  caught(
    "of no order are caught",
    SamplerLaws.order(
      {
        sampler: broken((_, x) => Tensor.mul(x, 1 + 1e-3) as Denoiser.State),
        order: 1
      },
      options
    ),
    /breaks the law "order"/
  )

  caught(
    "with another variance are caught",
    SamplerLaws.moments(
      {
        sampler: Sampler.linear("mine", (plan) => {
          const ddpm = Ddim.make({ eta: 1 }).steps(plan)
          return plan.levels.slice(1).map((to, i) => ({
            level: plan.levels[i],
            next: {
              x: {
                data: to.alpha,
                noise: ddpm.columns["noise in x"][i],
                fresh: 2 * ddpm.columns["fresh in x"][i]
              }
            }
          }))
        })
      },
      options
    ),
    /the variance is .* instead of .* of 1600 samples, 5 standard errors/
  )

  caught(
    "that are not equal are caught",
    SamplerLaws.equal(Ddim.make({ eta: 0.99 }), Ddpm.make(), options),
    /DDIM, η = 0.99 and DDPM.* breaks the law "equal": their samples differ by/
  )

  caught(
    "whose inversion does not return are caught",
    SamplerLaws.inversion({ there: Ddim.make(), back: Ddim.make() }, options),
    /breaks the law "inversion"/
  )

  caught(
    "guides that are asked for nothing are caught",
    SamplerLaws.unguided(
      (denoiser, guide) => Guidance.make({ denoiser, guide, weight: 1 + 1e-12 }),
      options
    ),
    /it asks the guide [12] times/
  )
})
