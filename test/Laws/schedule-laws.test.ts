/** The laws of schedules and plans catch what is broken. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Plan, Schedule } from "../../src/Diffusion/index.ts"
import { ScheduleLaws } from "../../src/Laws/index.ts"

const options = { seed: 2026 }

const vp = Schedule.vp()

/** A schedule that nothing was checked of. */
const broken = (changes: Partial<Schedule.Schedule>): Schedule.Schedule => ({ ...vp, ...changes })

describe("schedules", () => {
  it("that are not of their variance are caught", () => {
    const other = broken({
      at: (of, t) => {
        const { alpha, sigma } = vp.at(of, t)
        return { alpha, sigma: of.mul(sigma, of.of(1 + 1e-9)) }
      }
    })
    expect(() => ScheduleLaws.check(other, options)).toThrow(
      /VP breaks the law "variance": at t = .* α² \+ σ² is .* \(seed/
    )
  })

  it("that stand still somewhere are caught", () => {
    const flat = broken({ at: (of, t) => vp.at(of, of.max(t, of.of(1e-4))) })
    expect(() => ScheduleLaws.monotone(flat, options)).toThrow(/breaks the law "monotone"/)
  })

  it("whose inverse is not one are caught", () => {
    for (const time of [
      (value: number) => vp.time(value) * (1 + 1e-6),
      (value: number) => vp.time(value) + 1e-8,
      // beyond the end, too
      (value: number) => vp.time(Math.max(value, Schedule.logSnr(vp, 1)))
    ]) {
      expect(() => ScheduleLaws.check(broken({ time }), options)).toThrow(/the law "inverse"/)
    }
  })

  it("whose timesteps do not rise are caught", () => {
    const rounded = broken({ timestep: (of, t) => of.floor(of.mul(t, of.of(10))) })
    expect(() => ScheduleLaws.check(rounded, options)).toThrow(/the law "timestep"/)
  })

  it("that jump are caught", () => {
    const jump = broken({
      variance: "other",
      at: (of, t) => {
        const { alpha, sigma } = vp.at(of, t)
        return { alpha, sigma: of.less(of.of(0.5), t, of.mul(sigma, of.of(1.1)), sigma) }
      }
    })
    expect(() => ScheduleLaws.composition(jump, { ...options, runs: 10 })).toThrow(
      /g² adds a variance of/
    )
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("tensors", (it) => {
  it.effect("that are not what the host has are caught", () =>
    Effect.gen(function* () {
      const other = broken({
        at: (of, t) => {
          const { alpha, sigma } = vp.at(of, t)
          return { alpha, sigma: typeof t === "number" ? sigma : of.mul(sigma, of.of(1 + 1e-4)) }
        }
      })
      const error = yield* Effect.flip(ScheduleLaws.tensors(other, options))
      expect(error.message).toMatch(
        /VP breaks the law "tensors": in float64 sigma at t = .* \(seed/
      )
    })
  )

  it.effect("that lose digits in float32 are caught", () =>
    Effect.gen(function* () {
      const lossy = broken({
        at: (of, t) => {
          const { alpha } = vp.at(of, t)
          return { alpha, sigma: of.sqrt(of.sub(of.of(1), of.mul(alpha, alpha))) }
        }
      })
      const error = yield* Effect.flip(
        ScheduleLaws.tensors(lossy, { ...options, dtypes: ["float32"] })
      )
      expect(error.message).toMatch(/in float32 sigma/)
    })
  )
})

describe("plans", () => {
  const schedule = Schedule.linear()
  const good = (count: number) => Plan.karras(schedule, count)
  const caught = (plan: ScheduleLaws.PlanSubject["plan"], text: RegExp, ends = {}) =>
    expect(() => ScheduleLaws.checkPlan({ name: "mine", plan, ...ends }, options)).toThrow(text)

  it("of other numbers of steps are caught", () => {
    caught((count) => good(count + 1), /mine breaks the law "plan": for \d+ steps it has \d+/)
  })

  it("that rise are caught", () => {
    caught((count) => {
      const { levels, between } = good(count)
      return { levels: levels.map((each, i) => (i === 1 ? levels[0] : each)), between }
    }, /the noise over signal goes from/)
  })

  it("with other ends are caught", () => {
    caught(good, /it ends with a noise of 0 times the signal, not 0.5/, { last: 0.5 })
    caught(good, /it begins with a noise of/, { first: 3 })
  })

  it("whose levels in between are others are caught", () => {
    caught(
      (count) => ({ ...good(count), between: Plan.atLogSnr(schedule) }),
      /between says of the log-SNR of level 0/
    )
    caught((count) => {
      const plan = good(count)
      return { ...plan, between: (value) => ({ ...plan.between(value), timestep: 3 }) }
    }, /that timestep is 3/)
  })
})
