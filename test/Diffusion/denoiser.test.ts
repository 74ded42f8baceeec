/** Whatever a network predicts, a denoiser finds the data and the noise again. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate, property } from "../support/device.ts"

type State = Denoiser.State

const predictions: ReadonlyArray<Denoiser.Prediction> = [
  "noise",
  "data",
  "v",
  "flow",
  { kind: "edm" },
  { kind: "edm", deviation: 1.7 }
]

const array = (values: ReadonlyArray<number>) =>
  Tensor.hostArray([...values], { shape: [values.length, 1], dtype: "float64" } as const)

/** Numbers of the host as a scalar. */
const scalar = (value: number): State =>
  Tensor.constant(
    Tensor.hostArray([value], { shape: [1], dtype: "float64" }) as never
  ) as unknown as State

const levelOf = (alpha: number, sigma: number): Denoiser.Level => {
  const [a, s, t] = [alpha, sigma, 7].map(
    (each) => Tensor.reshape(scalar(each), []) as unknown as State
  )
  return { alpha: a, sigma: s, timestep: t }
}

it("of a prediction that there is not is refused", () => {
  const network: Denoiser.Network = (x) => x
  for (const prediction of ["epsilon", "edm", { kind: "noise" }, undefined]) {
    const make = () => Denoiser.make({ network, prediction: prediction as "noise" })
    expect(make).toThrow(DiffusionError)
    expect(make).toThrow(`{ kind: "consistency" }, not ${JSON.stringify(prediction)}`)
  }
})

describe("a clip", () => {
  it("that makes no sense is refused", () => {
    const network: Denoiser.Network = (x) => x
    for (const clip of [{ range: 0 }, { ratio: 1.5, max: 1 }, { ratio: 0.9, max: 0.5 }]) {
      expect(() => Denoiser.make({ network, prediction: "noise", clip })).toThrow(/clip needs/)
    }
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("a denoiser", (it) => {
  for (const prediction of predictions) {
    it.effect(`of ${JSON.stringify(prediction)} finds data and noise, in any coordinates`, () =>
      property(
        fc.record({
          alpha: fc.double({ min: 0.05, max: 3, noNaN: true }),
          sigma: fc.double({ min: 0.05, max: 3, noNaN: true })
        }),
        Effect.fnUntraced(function* ({ alpha, sigma }) {
          const [data, noise] = [
            [0.3, -1.2, 2],
            [-0.7, 0.1, 1.5]
          ]
          const inputs = {
            data: array(data),
            noise: array(noise),
            x: array(data.map((each, i) => alpha * each + sigma * noise[i]))
          }
          const found = yield* evaluate(inputs, ({ data, noise, x }) => {
            const level = levelOf(alpha, sigma)
            const known = { data: data as unknown as State, noise: noise as unknown as State }
            const network: Denoiser.Network = () => Denoiser.target(prediction, known, level)
            return {
              ...Denoiser.make({ network, prediction }).estimate(x as unknown as State, level)
            }
          })
          data.forEach((each, i) => {
            expect(found.data.data[i]).toBeCloseTo(each, 9)
            expect(found.noise.data[i]).toBeCloseTo(noise[i], 9)
          })
        })
      )
    )
  }

  it.effect("finds them where there is no signal, unless it predicts noise", () =>
    Effect.gen(function* () {
      const noise = [-0.7, 0.1, 1.5]
      const inputs = { data: array([0.3, -1.2, 2]), x: array(noise.map((each) => 2 * each)) }
      const consistent = yield* evaluate(inputs, ({ data, x }) => {
        const network: Denoiser.Network = () => data as unknown as State
        const prediction = { kind: "consistency" } as const
        return {
          ...Denoiser.make({ network, prediction }).estimate(x as unknown as State, levelOf(0, 2))
        }
      })
      for (const prediction of predictions.filter((each) => each !== "noise")) {
        const found = yield* evaluate(inputs, ({ data, x }) => {
          const level = levelOf(0, 2)
          const state = x as unknown as State
          const known = { data: data as unknown as State, noise: Tensor.mul(state, 0.5) as State }
          const network: Denoiser.Network = () => Denoiser.target(prediction, known, level)
          const denoiser = Denoiser.make({ network, prediction })
          expect(denoiser.withoutSignal).toBe(true)
          return { ...denoiser.estimate(state, level) }
        })
        inputs.data.data.forEach((each, i) => {
          expect(found.data.data[i]).toBeCloseTo(each as number, 9)
          expect(found.noise.data[i]).toBeCloseTo(noise[i], 9)
          // c_out is the data's deviation then, and c_skip 0
          expect(consistent.data.data[i]).toBeCloseTo(0.5 * (each as number), 9)
        })
      }
    })
  )

  it.effect("clips data and leaves the noise as it was predicted", () =>
    Effect.gen(function* () {
      const found = yield* evaluate({ x: array([3, -0.5, 1]) }, ({ x }) => ({
        ...Denoiser.make({
          network: (state) => Tensor.mul(state, 0) as State,
          prediction: "noise",
          clip: { range: 0.8 }
        }).estimate(x as unknown as State, levelOf(1, 0.5))
      }))
      // without noise, data is the state over α = 1
      expect(Array.from(found.data.data, Number)).toEqual([0.8, -0.5, 0.8])
      expect(Array.from(found.noise.data, Math.abs as never)).toEqual([0, 0, 0])
    })
  )
})
