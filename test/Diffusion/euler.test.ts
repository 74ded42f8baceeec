import { describe, expect, it } from "vitest"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Dpm2 from "../../src/Diffusion/Dpm2.ts"
import * as Euler from "../../src/Diffusion/Euler.ts"
import * as Heun from "../../src/Diffusion/Heun.ts"
import * as Lms from "../../src/Diffusion/Lms.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import type * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"

const schedule = Schedule.linear()
const spaced = Plan.spaced(schedule, 8, { spacing: "trailing" })
const flow = Plan.flow(6, { shift: 3 })

/** Coefficients by what they are of, of each step. */
const columns = (sampler: Sampler.Sampler, plan: Plan.Plan) => sampler.steps(plan).columns

const close = (a: ReturnType<typeof columns>, b: ReturnType<typeof columns>): void => {
  expect(Object.keys(a).sort()).toEqual(Object.keys(b).sort())
  for (const [name, values] of Object.entries(a)) {
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(b[name][i], 10)
    })
  }
}

describe("Euler's method", () => {
  it("is DDIM with the noise of the clipped data", () => {
    for (const plan of [spaced, Plan.exploding(spaced), flow]) {
      close(columns(Euler.make(), plan), columns(Ddim.make({ clipped: true }), plan))
    }
  })

  it("goes along a flow from where there is no signal", () => {
    const [{ timestep, alpha, sigma }, ...rest] = flow.levels
    expect([timestep, alpha, sigma]).toEqual([1000, 0, 1])
    // (1 − σ′)x₀ + σ′ε is x + (σ′ − σ)(ε − x₀)
    const { "data in x": data, "slope in x": slope } = columns(Euler.make(), flow)
    expect(slope).toEqual(rest.map((each) => each.sigma))
    expect(data).toEqual(rest.map((each) => 1 - each.sigma))
  })

  it("is DDIM of the same η where it is ancestral", () => {
    for (const eta of [0.3, 1]) {
      for (const plan of [spaced, Plan.exploding(spaced)]) {
        close(
          columns(Euler.ancestral({ eta }), plan),
          columns(Ddim.make({ eta, clipped: true }), plan)
        )
      }
    }
  })

  it("keeps each level's noise where it is ancestral", () => {
    const samplers = [Euler.ancestral({ eta: 0.7 }), Euler.ancestralFlow({ eta: 0.7 })]
    for (const sampler of samplers) {
      const { "slope in x": slope, "fresh in x": fresh } = columns(sampler, flow)
      slope.forEach((value, i) => {
        expect(Math.hypot(value, fresh[i])).toBeCloseTo(flow.levels[i + 1].sigma, 12)
      })
    }
  })

  it("goes along a flow as by itself for η = 0", () => {
    const { "slope in x": slope } = columns(Euler.ancestralFlow({ eta: 0 }), flow)
    expect(slope.map((each) => each.toFixed(10))).toEqual(
      flow.levels.slice(1).map(({ sigma }) => sigma.toFixed(10))
    )
    expect(Euler.ancestral({ eta: 0 }).steps(flow).stochastic).toBe(false)
  })
})

describe("churn", () => {
  const plan = Plan.karras(Schedule.edm(), 10)

  it("adds as much noise as takes each level to that at which the denoiser is asked", () => {
    const options = { churn: 2, from: 0.05, to: 50 }
    for (const [sampler, places] of [
      [Euler.make(options), plan.levels.slice(0, -1).map((_, i) => i)],
      [Heun.make(options), plan.levels.slice(0, -1).map((_, i) => 2 * i)]
    ] as const) {
      const { levels, columns } = sampler.steps(plan)
      const added = columns["fresh in x before"]
      places.forEach((place, i) => {
        const { sigma } = plan.levels[i]
        const within = sigma >= 0.05 && sigma <= 50
        expect(levels[place].sigma / sigma).toBeCloseTo(within ? 1.2 : 1, 12)
        expect(Math.hypot(sigma, added[place])).toBeCloseTo(levels[place].sigma, 12)
      })
    }
  })

  it("is at most √2 − 1, and none unless told", () => {
    expect(
      Euler.make({ churn: 1e9 }).steps(plan).levels[3].sigma / plan.levels[3].sigma
    ).toBeCloseTo(Math.SQRT2, 12)
    for (const sampler of [Euler.make(), Heun.make(), Dpm2.make()]) {
      const { stochastic, before } = sampler.steps(plan)
      expect([stochastic, before]).toEqual([false, undefined])
    }
  })

  it("refuses what makes no sense", () => {
    for (const options of [{ churn: -1 }, { churn: 1, scale: -1 }, { churn: 1, from: 2, to: 1 }]) {
      expect(() => Euler.make(options).steps(plan)).toThrow("must not be below 0")
    }
  })
})

describe("evaluations", () => {
  it("are one for each step, and two where there is a correction", () => {
    const plan = Plan.exploding(spaced)
    const count = (sampler: Sampler.Sampler) => sampler.steps(plan).levels.length
    expect([Euler.make(), Euler.ancestral(), Lms.make(), Euler.renoised].map(count)).toEqual([
      8, 8, 8, 8
    ])
    expect([Heun.make(), Dpm2.make(), Dpm2.ancestral()].map(count)).toEqual([15, 15, 15])
  })

  it("are two for a last step that leaves noise", () => {
    const plan = Plan.karras(Schedule.edm(), 5, { end: "last" })
    expect(Heun.make().steps(plan).levels.length).toBe(8)
    expect(Dpm2.make().steps(plan).levels.length).toBe(8)
  })
})

describe("linear multistep", () => {
  it("of order 1 is Euler's method", () => {
    const plan = Plan.exploding(spaced)
    const { "slope in x": slope } = columns(Lms.make({ order: 1 }), plan)
    slope.forEach((value, i) => {
      expect(value).toBeCloseTo(plan.levels[i + 1].sigma - plan.levels[i].sigma, 12)
    })
  })

  it("integrates polynomials below its order exactly", () => {
    const { levels } = Plan.karras(Schedule.edm(), 9)
    for (const order of [2, 3, 4]) {
      const found = columns(Lms.make({ order }), Plan.karras(Schedule.edm(), 9))
      for (let i = order - 1; i < levels.length - 1; i++) {
        const [from, to] = [levels[i].sigma, levels[i + 1].sigma]
        const power = order - 1
        const sum = Array.from(
          { length: order },
          (_, j) =>
            found[`${j === 0 ? "slope" : `slope${j}`} in x`][i] * levels[i - j].sigma ** power
        ).reduce((a, b) => a + b)
        expect(sum / ((to ** order - from ** order) / order)).toBeCloseTo(1, 9)
      }
    }
  })
})

describe("options", () => {
  it("are refused with a remedy where they make no sense", () => {
    expect(() => Lms.make({ order: 5 })).toThrow("the order must be 1, 2, 3 or 4, not 5")
    expect(() => Euler.ancestral({ eta: -1 })).toThrow("must not be below 0")
    expect(() => Dpm2.ancestral({ scale: -1 })).toThrow("must not be below 0")
    expect(() => Euler.ancestralFlow().steps(spaced)).toThrow("take Euler.ancestral")
    for (const sampler of [Dpm2.make(), Lms.make()]) {
      expect(() => sampler.steps(flow)).toThrow("this sampler cannot begin without signal")
    }
    expect(() => Plan.flow(0)).toThrow("must be a whole number")
    expect(() => Plan.flow(4, { shift: 0 })).toThrow("must be above 0")
    expect(() => Plan.fromFlow([1.5, 0.5])).toThrow("σ must lie between 0 and 1")
    expect(() => Schedule.leastSignal(schedule, 2)).toThrow("the least ᾱ must lie between")
  })
})
