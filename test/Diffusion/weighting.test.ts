/** Weights, by their published formulas and in what they have in common. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import type { Prediction } from "../../src/Diffusion/Denoiser.ts"
import { DiffusionError } from "../../src/Diffusion/DiffusionError.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as Weighting from "../../src/Diffusion/Weighting.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"

const logSnrs = [-39, -8, -1.3, -0.2, 0, 0.4, 1.6, 2.5, 9, 39]
const predictions: ReadonlyArray<Prediction> = [
  "noise",
  "data",
  "v",
  "flow",
  { kind: "edm" },
  { kind: "edm", deviation: 1.7 }
]

/** All but `simple`, with w(SNR), the weight of the error in the data. */
const weightings: ReadonlyArray<readonly [Weighting.Weighting, (snr: number) => number]> = [
  [Weighting.snr, (snr) => snr],
  [Weighting.snrPlusOne, (snr) => snr + 1],
  [Weighting.truncatedSnr, (snr) => Math.max(snr, 1)],
  [Weighting.minSnr(), (snr) => Math.min(snr, 5)],
  [Weighting.minSnr({ gamma: 2 }), (snr) => Math.min(snr, 2)],
  [Weighting.softMinSnr({ gamma: 3 }), (snr) => (snr * 3) / (snr + 3)],
  [Weighting.p2(), (snr) => snr / (1 + snr)],
  [Weighting.p2({ k: 2, gamma: 0.5 }), (snr) => snr / Math.sqrt(2 + snr)],
  [Weighting.sigmoid({ bias: -1 }), (snr) => snr / (1 + snr * Math.E)],
  // σ² = 1/SNR
  [Weighting.edm({ deviation: 0.6 }), (snr) => (1 / snr + 0.36) / (0.36 / snr)],
  [Weighting.make("root", (of, logSnr) => of.mul(logSnr, of.of(0.5))), Math.sqrt]
]

/** Squared errors in a prediction over those in the data, from the schedules' own α and σ. */
const factor = (prediction: Prediction, snr: number): number => {
  if (prediction === "data") return 1
  if (prediction === "noise") return snr
  // v = (αx − x₀)/σ where α² + σ² = 1, u = (x − x₀)/σ where α + σ = 1
  if (prediction === "v") return 1 / (1 / (1 + snr))
  if (prediction === "flow") return (1 / (1 / (1 + Math.sqrt(snr)))) ** 2
  const [s, sigma] = [prediction.deviation ?? 0.5, 1 / Math.sqrt(snr)]
  return (sigma ** 2 + s ** 2) / (sigma * s) ** 2
}

describe("a weighting", () => {
  it.each(weightings)("$name is its formula, of every prediction", (weighting, w) => {
    for (const logSnr of logSnrs) {
      for (const prediction of predictions) {
        const snr = Math.exp(logSnr)
        const expected = w(snr) / factor(prediction, snr)
        const found = Weighting.value(weighting, prediction, logSnr)
        expect(Math.abs(found / expected - 1)).toBeLessThan(1e-12)
      }
    }
  })

  it("simple is 1 of every prediction", () => {
    for (const logSnr of logSnrs)
      for (const prediction of predictions)
        expect(Weighting.value(Weighting.simple, prediction, logSnr)).toBe(1)
  })

  it("is finite without noise and without signal", () => {
    for (const [weighting] of weightings)
      for (const prediction of predictions)
        for (const end of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
          expect(Weighting.value(weighting, prediction, end)).toBeLessThan(Infinity)
    expect(Weighting.value(Weighting.minSnr(), "v", Number.NEGATIVE_INFINITY)).toBeLessThan(1e-16)
    expect(Weighting.value(Weighting.minSnr(), "noise", Number.NEGATIVE_INFINITY)).toBe(1)
  })

  it("that bends softly is a sigmoid, and EDM's is 1 under EDM's preconditioning", () => {
    for (const logSnr of logSnrs) {
      expect(Weighting.value(Weighting.softMinSnr({ gamma: 3 }), "v", logSnr)).toBeCloseTo(
        Weighting.value(Weighting.sigmoid({ bias: Math.log(3) }), "v", logSnr),
        14
      )
      const edm = { kind: "edm", deviation: 0.7 } as const
      expect(Weighting.value(Weighting.edm({ deviation: 0.7 }), edm, logSnr)).toBe(1)
      // Kingma and Gao 2023: sigmoid(b − λ) of the noise
      expect(
        Weighting.value(Weighting.sigmoid(), "noise", logSnr) * (1 + Math.exp(logSnr - 2))
      ).toBeCloseTo(1, 12)
    }
  })

  it("refuses what makes no sense", () => {
    expect(() => Weighting.minSnr({ gamma: 0 })).toThrow(DiffusionError)
    expect(() => Weighting.p2({ k: -1 })).toThrow("`k` must be a number above 0")
    expect(() => Weighting.p2({ gamma: -1 })).toThrow(DiffusionError)
    expect(() => Weighting.edm({ deviation: Number.NaN })).toThrow(DiffusionError)
    expect(() => Weighting.sigmoid({ bias: Number.NaN })).toThrow("`bias` must be a finite number")
    expect(() => Weighting.value(Weighting.snr, "eps" as "noise", 0)).toThrow('not "eps"')
  })
})

// from float32 tables of DDPM's linear schedule, as published code computes them
const published = {
  timestep: [0, 1, 10, 100, 250, 500, 750, 999],
  snr: [
    9997.3408203125, 4545.67138671875, 454.8902282714844, 8.536649703979492, 1.0895278453826904,
    0.08435952663421631, 0.0033110855147242546, 4.035992969875224e-5
  ],
  noise: [
    0.0005001329943499624, 0.001099947526917295, 0.01099166279961489, 0.5857098713643096, 1, 1, 1, 1
  ],
  v: [
    0.0005000829727510453, 0.001099705603225574, 0.010967552471913219, 0.5242931380727531,
    0.5214229845226814, 0.07779663899487559, 0.0033001584080231535, 4.0358300840567554e-5
  ],
  data: [
    5, 5, 5, 5, 1.0895278453826904, 0.08435952663421631, 0.0033110855147242546, 4.035992969875224e-5
  ]
}

it("min-SNR-5 on the linear schedule is as published", () => {
  const schedule = Schedule.linear()
  published.timestep.forEach((timestep, i) => {
    const logSnr = Schedule.logSnr(schedule, timestep / 999)
    expect(Math.abs(Math.exp(logSnr) / published.snr[i] - 1)).toBeLessThan(1e-6)
    for (const prediction of ["noise", "v", "data"] as const) {
      const found = Weighting.value(Weighting.minSnr(), prediction, logSnr)
      expect(Math.abs(found / published[prediction][i] - 1)).toBeLessThan(1e-6)
    }
  })
})

layer(Device.layerReference())("on tensors", (it) => {
  it.effect("weights are what they are on the host", () =>
    Effect.gen(function* () {
      const all = [Weighting.simple, ...weightings.map(([each]) => each)].flatMap((weighting) =>
        predictions.map((prediction) => ({ weighting, prediction }))
      )
      const x = Tensor.hostArray(logSnrs, { dtype: "float64" })
      const found = yield* evaluate({ x }, ({ x }) =>
        all.map(({ weighting, prediction }) => Weighting.values(weighting, prediction, x))
      )
      all.forEach(({ weighting, prediction }, i) => {
        logSnrs.forEach((logSnr, j) => {
          const expected = Weighting.value(weighting, prediction, logSnr)
          expect(Math.abs(found[i].data[j] / expected - 1)).toBeLessThan(1e-13)
        })
      })
    })
  )
})
