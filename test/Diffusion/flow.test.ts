/** How fast signal and noise change along time, noise and log-SNR. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as field from "../../src/Diffusion/internal/field.ts"
import * as flow from "../../src/Diffusion/internal/flow.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import { evaluate } from "../support/device.ts"

const schedules = [
  Schedule.linear(),
  Schedule.cosineBetas(),
  Schedule.vp(),
  Schedule.subVp(),
  Schedule.ve(),
  Schedule.edm(),
  Schedule.cosine(),
  Schedule.sigmoid(),
  Schedule.flow({ shift: 3 })
]

it.each(schedules)("rates are slopes: $name", (schedule) => {
  for (const t of [0.0517, 0.2503, 0.5, 0.7349, 0.9512]) {
    const { alpha, sigma, rate } = flow.point(field.host, "time", schedule, t)
    const step = Schedule.isDiscrete(schedule) ? 1e-5 : 1e-6
    const [before, after] = [-step, step].map((shift) => Schedule.mixture(schedule, t + shift))
    expect({ alpha, sigma }).toEqual(Schedule.mixture(schedule, t))
    const slopes = [
      [rate.alpha, (after.alpha - before.alpha) / (2 * step)],
      [rate.sigma, (after.sigma - before.sigma) / (2 * step)]
    ]
    for (const [found, wanted] of slopes) {
      expect(Math.abs(found - wanted)).toBeLessThan(1e-5 * (1 + Math.abs(wanted)))
    }
  }
})

layer(Device.layerReference())((it) => {
  it.effect("levels on a device are those of the host", () =>
    Effect.gen(function* () {
      for (const schedule of schedules) {
        const places = [0.0517, 0.2503, 0.7349].map((t) => ({ level: Plan.at(schedule, t) }))
        for (const variable of ["time", "sigma", "logSnr"] as const) {
          const us = places.map(({ level }) => flow.placeOf(variable, schedule, level))
          const u = Tensor.hostArray(us, { shape: [3], dtype: "float64" })
          const found = yield* evaluate({ u }, ({ u }) => flow.levelAt(variable, schedule, u))
          places.forEach(({ level }, i) => {
            const { alpha, sigma, rate } = flow.point(field.host, variable, schedule, us[i])
            const pairs = [
              [found.timestep, level.timestep],
              [found.alpha, alpha],
              [found.sigma, sigma],
              [found.rate.alpha, rate.alpha],
              [found.rate.sigma, rate.sigma]
            ] as const
            for (const [tensor, wanted] of pairs) {
              const off = Math.abs(Number(tensor.data[i]) - wanted) / (1 + Math.abs(wanted))
              expect(off, `${schedule.name}, ${variable}`).toBeLessThan(1e-9)
            }
          })
        }
      }
    })
  )
})
