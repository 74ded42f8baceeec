/** DDPM's posteriors, in closed form. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Ddpm from "../../src/Diffusion/Ddpm.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"

type State = Denoiser.State

const number = (value: number) =>
  Tensor.hostArray([value], { shape: [1, 1], dtype: "float64" } as const)

/** One step from a schedule's timestep to another. */
const plan = (from: number, to: number): Plan.Plan =>
  Plan.fromTimesteps(Schedule.linear(), [from, to], { end: "last" })

/** What a step makes of x = 1 without noise, and of noise alone; the denoiser being linear. */
const response = Effect.fnUntraced(function* (
  variance: Ddpm.Variance,
  denoiser: Denoiser.Denoiser,
  along: Plan.Plan
) {
  const step = (x: number, z: number) =>
    evaluate({ x: number(x), z: number(z) }, ({ x, z }) => ({
      x: Sampler.sample(
        {
          sampler: Ddpm.make({ variance }),
          plan: along,
          denoiser,
          noise: Noise.fixed(z as unknown as State)
        },
        x as unknown as State
      ).x
    })).pipe(Effect.map(({ x }) => Number(x.data[0])))
  return [yield* step(1, 0), yield* step(0, 1)] as const
})

describe("a variance", () => {
  it("that is not known is refused", () => {
    expect(() => Ddpm.make({ variance: "fixed_small" as never })).toThrow(/one of small, large/)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("DDPM", (it) => {
  const nothing = Denoiser.fromData((x) => Tensor.zerosLike(x) as State)
  const normal = Denoiser.fromData(
    (x, { alpha, sigma }) =>
      Tensor.div(
        Tensor.mul(x, alpha),
        Tensor.add(Tensor.square(alpha), Tensor.square(sigma))
      ) as State
  )

  for (const [from, to] of [
    [999, 0],
    [700, 650],
    [20, 1]
  ]) {
    it.effect(`is right with the small variance for a point, from ${from} to ${to}`, () =>
      Effect.gen(function* () {
        const [first, last] = plan(from, to).levels
        const [a, b] = yield* response("small", nothing, plan(from, to))
        // x_s = σ_s u, and x_t should be as far from 0 as σ_t
        expect(Math.hypot(a * first.sigma, b)).toBeCloseTo(last.sigma, 12)
      })
    )

    it.effect(`is right with the large variance for normal data, from ${from} to ${to}`, () =>
      Effect.gen(function* () {
        const [a, b] = yield* response("large", normal, plan(from, to))
        expect(Math.hypot(a, b)).toBeCloseTo(1, 12)
      })
    )
  }

  /** Says always the same of the variance. */
  const saying = (value: number) =>
    Denoiser.make({
      network: (x) =>
        Tensor.concat([x, Tensor.full(x.shape, value, x.dtype)] as ReadonlyArray<State>, {
          axis: 1
        }) as State,
      prediction: "data",
      learnsVariance: true
    })

  it.effect("learns variances between the small and the large one", () =>
    Effect.gen(function* () {
      const along = plan(600, 500)
      const [, small] = yield* response("small", nothing, along)
      const [, large] = yield* response("large", nothing, along)
      const [, low] = yield* response("learnedRange", saying(-1), along)
      const [, high] = yield* response("learnedRange", saying(1), along)
      const [, middle] = yield* response("learnedRange", saying(0), along)
      expect(low).toBeCloseTo(small, 12)
      expect(high).toBeCloseTo(large, 12)
      expect(middle).toBeCloseTo(Math.sqrt(small * large), 12)
      const [, own] = yield* response("learned", saying(0.09), along)
      expect(own).toBeCloseTo(0.3, 12)
    })
  )

  it.effect("draws nothing in a step to data itself", () =>
    Effect.gen(function* () {
      const last = Plan.fromTimesteps(Schedule.linear(), [100])
      for (const variance of ["small", "large", "learned", "learnedRange"] as const) {
        const [, b] = yield* response(variance, saying(1), last)
        expect(b).toBe(0)
      }
    })
  )

  it.effect(
    "refuses to learn of denoisers that say nothing, and of networks with other channels",
    () =>
      Effect.gen(function* () {
        const silent = yield* Effect.exit(
          Effect.suspend(() => response("learned", nothing, plan(600, 500)))
        )
        expect(String(silent)).toMatch(/says nothing of the variance/)
        const narrow = Denoiser.make({
          network: (x) => x,
          prediction: "data",
          learnsVariance: true
        })
        const other = yield* Effect.exit(
          Effect.suspend(() => response("learned", narrow, plan(600, 500)))
        )
        expect(String(other)).toMatch(/twice the 1 channels/)
      })
  )
})
