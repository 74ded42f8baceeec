import * as Fs from "node:fs"
import { describe, expect, it } from "vitest"
import { quantile } from "../../src/Diffusion/internal/beta.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"

interface Grid {
  readonly scheduler: string
  readonly steps: number
  readonly config: Readonly<Record<string, unknown>>
  readonly sigmas: ReadonlyArray<number>
  readonly timesteps: ReadonlyArray<number>
}

const recorded: {
  readonly quantiles: ReadonlyArray<readonly [p: number, a: number, b: number, x: number]>
  readonly grids: ReadonlyArray<Grid>
} = JSON.parse(Fs.readFileSync(new URL("../fixtures/schedules.json", import.meta.url), "utf8"))

const schedules: Record<string, Schedule.Discrete> = {
  linear: Schedule.linear(),
  scaled_linear: Schedule.scaledLinear(),
  squaredcos_cap_v2: Schedule.cosineBetas()
}

const planOf = ({ config, steps }: Grid): Plan.Plan => {
  const schedule = schedules[String(config.beta_schedule)]
  if (config.use_karras_sigmas) return Plan.karras(schedule, steps)
  if (config.use_exponential_sigmas) return Plan.exponential(schedule, steps)
  if (config.use_beta_sigmas) return Plan.beta(schedule, steps)
  if (config.use_lu_lambdas) return Plan.logSnrUniform(schedule, steps)
  return Plan.spaced(schedule, steps, {
    spacing: String(config.timestep_spacing) as Plan.Spacing,
    open: true,
    first: Plan.levelsAbove(schedule, 2 * Number(config.lambda_min_clipped))
  })
}

const ratios = ({ levels }: Plan.Plan): ReadonlyArray<number> =>
  levels.map(({ alpha, sigma }) => sigma / alpha)

const close = (got: ReadonlyArray<number>, wanted: ReadonlyArray<number>, bound: number): void => {
  expect(got.length).toBe(wanted.length)
  got.forEach((each, i) => {
    expect(Math.abs(each - wanted[i]), `${i}: ${each}, not ${wanted[i]}`).toBeLessThanOrEqual(
      bound * Math.max(Math.abs(wanted[i]), 1e-12)
    )
  })
}

describe("published grids", () => {
  it.each(
    recorded.grids.map(
      (each) => [`${each.scheduler}, ${each.steps}, ${JSON.stringify(each.config)}`, each] as const
    )
  )("%s", (_, grid) => {
    const plan = planOf(grid)
    close(ratios(plan), grid.sigmas, 1e-5)
    const timesteps = plan.levels.slice(0, grid.timesteps.length).map(({ timestep }) => timestep)
    // where they are rounded there, to whole ones
    const whole = grid.timesteps.every(Number.isInteger)
    timesteps.forEach((each, i) => {
      expect(Math.abs(each - grid.timesteps[i])).toBeLessThan(whole ? 1.001 : 1e-2)
    })
  })

  it("of k-diffusion and EDM", () => {
    const edm = Schedule.edm()
    close(
      ratios(Plan.exponential(edm, 10, { min: 0.01, max: 80, power: 2 })),
      [
        79.9999999999999, 12.13173604670743, 2.296828194430839, 0.5428835233189816,
        0.1601981156708287, 0.059017490415416894, 0.027144176165949073, 0.015586377283137366,
        0.011173424432315318, 0.010000000000000004, 0
      ],
      1e-12
    )
    close(
      ratios(Plan.discretized("vp", edm, 10)),
      [
        152.1669702839464, 53.309847477391756, 21.0956240704022, 9.4031965545555, 4.680639867003466,
        2.549429932745291, 1.4619718278116118, 0.822899015387765, 0.3817021855019362,
        0.010485992786706403, 0
      ],
      1e-9
    )
  })
})

describe("the beta distribution", () => {
  it("has the quantiles of an evaluation in high precision", () => {
    for (const [p, a, b, x] of recorded.quantiles) {
      expect(Math.abs(quantile(p, a, b) / x - 1)).toBeLessThan(1e-12)
    }
  })

  it("over time puts timesteps at its quantiles", () => {
    const { levels } = Plan.beta(Schedule.linear(), 9, { over: "time" })
    levels.slice(0, 9).forEach(({ timestep }, i) => {
      expect(timestep).toBeCloseTo(999 * quantile(1 - i / 8, 0.6, 0.6), 6)
    })
  })
})

describe("Align Your Steps", () => {
  const schedule = Schedule.scaledLinear({ start: 0.00085, end: 0.012 })

  it("has the published ten steps", () => {
    const published = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0]
    close(ratios(Plan.ays("sd", schedule, 10)), published, 0)
    const { levels } = Plan.ays("sdxl", schedule, 10, { by: "timesteps" })
    expect(levels.map(({ timestep }) => Math.round(timestep))).toEqual([
      999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0
    ])
  })

  it("goes between them linearly in log σ", () => {
    const [some, many] = [10, 19].map((count) => ratios(Plan.ays("svd", Schedule.edm(), count)))
    close(many.filter((_, i) => i % 2 === 0).slice(0, 10), some.slice(0, 10), 1e-14)
    close([many[1]], [Math.sqrt(700 * 54.5)], 1e-14)
    expect(Plan.steps(Plan.ays("sdxl", schedule, 4, { by: "timesteps" }))).toBe(4)
  })
})

describe("plans in time", () => {
  it("are uniform and end at data", () => {
    const { levels } = Plan.uniform(Schedule.flow(), 4)
    expect(levels.map(({ timestep }) => timestep)).toEqual([1000, 750, 500, 250, 0])
    expect(levels[4]).toEqual({ timestep: 0, alpha: 1, sigma: 0 })
  })

  it("end where they are told", () => {
    const { levels } = Plan.uniform(Schedule.vp(), 3, { to: 1e-3, end: "last" })
    close(
      levels.map(({ timestep }) => timestep),
      [1000, 667, 334, 1],
      1e-14
    )
    expect(() => Plan.fromTimes(Schedule.vp(), [1.2, 0.5])).toThrow(/between 0 and 1/)
  })
})

describe("shifted plans", () => {
  it("are plans of the shifted flow", () => {
    const [own, wanted] = [
      Plan.shifted(Plan.uniform(Schedule.flow(), 5), 3),
      Plan.uniform(Schedule.flow({ shift: 3 }), 5)
    ]
    close(ratios(own).slice(1), ratios(wanted).slice(1), 1e-12)
    close(
      own.levels.map(({ timestep }) => timestep),
      wanted.levels.map(({ timestep }) => timestep),
      1e-12
    )
  })

  it("beyond the schedule are refused", () => {
    expect(() => Plan.shifted(Plan.spaced(Schedule.linear(), 10), 3)).not.toThrow()
    expect(() => Plan.shifted(Plan.spaced(Schedule.linear(), 1000), 3)).toThrow(
      /must fall strictly/
    )
  })
})

describe("plans that make no sense are refused", () => {
  const schedule = Schedule.linear({ steps: 20 })

  it("with more steps than levels", () => {
    expect(() => Plan.spaced(schedule, 21)).toThrow(/between 1 and the 20 of training/)
    expect(() => Plan.discretized("iddpm", Schedule.edm(), 5000)).toThrow(/there are \d+ levels/)
  })

  it("with levels that do not fall", () => {
    expect(() => Plan.fromTimesteps(schedule, [10, 12])).toThrow(/must fall strictly/)
    expect(() => Plan.fromSigmas(schedule, [2, 2, 1])).toThrow(/must fall strictly/)
    expect(() => Plan.fromTimesteps(schedule, [20, 12])).toThrow(/between 0 and 19/)
  })

  it("of a schedule without levels", () => {
    expect(() => Plan.spaced(Schedule.edm() as never, 5)).toThrow(
      "Plan.spaced: the schedule EDM has no timesteps to space"
    )
    expect(() => Plan.fromTimesteps(Schedule.flow() as never, [5])).toThrow("Schedule.discretize")
  })

  it("with options that there are not", () => {
    const end = "zer0" as "zero"
    const schedule = Schedule.linear()
    for (const make of [
      () => Plan.karras(schedule, 5, { end }),
      () => Plan.spaced(schedule, 5, { end }),
      () => Plan.uniform(schedule, 5, { end }),
      () => Plan.flow(5, { end })
    ]) {
      expect(make).toThrow('the end must be one of zero, first, last, not "zer0"')
    }
    expect(() => Plan.spaced(schedule, 5, { interpolation: "linear" as "sigma" })).toThrow(
      "the interpolation must be one of schedule, sigma"
    )
    expect(() => Plan.withVariance(Plan.karras(schedule, 5), "vp" as "flow")).toThrow(
      "the variance must be one of preserving, exploding, flow"
    )
    expect(() => Plan.karras(schedule, 5, { rho: 0 })).toThrow("ρ must be above 0, not 0")
  })

  it("with a spacing that there is not", () => {
    expect(() => Plan.timesteps(20, 5, { spacing: "linspcae" as never })).toThrow(
      /must be one of linspace, leading, trailing/
    )
  })

  it("and Karras's levels of the capped cosine do not repeat timesteps", () => {
    const { levels } = Plan.karras(Schedule.cosineBetas(), 50)
    levels.slice(1, 50).forEach(({ timestep }, i) => {
      expect(timestep).toBeLessThan(levels[i].timestep)
    })
  })
})
