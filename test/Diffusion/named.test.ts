import { describe, expect, it } from "vitest"
import { Ddim, Heun, Named, Plan, Schedule, Weighting } from "../../src/Diffusion/index.ts"

const refused = (make: () => unknown): string => {
  try {
    make()
  } catch (error) {
    expect((error as { readonly _tag: string })._tag).toBe("DiffusionError")
    return (error as Error).message
  }
  throw new Error("it was taken")
}

describe("names", () => {
  it("stand for what their makers make", () => {
    const plan = Named.plan("karras", Schedule.edm(), 5, { rho: 5 })
    expect(plan.levels).toEqual(Plan.karras(Schedule.edm(), 5, { rho: 5 }).levels)
    for (const [named, made] of [
      [Named.sampler("ddim", { eta: 0.5 }), Ddim.make({ eta: 0.5 })],
      [Named.sampler("heun"), Heun.make()]
    ] as const) {
      expect(named.name).toBe(made.name)
      expect(named.steps(plan).columns).toEqual(made.steps(plan).columns)
    }
    expect(Named.schedule("linear", { steps: 10 }).betas).toEqual(
      Schedule.linear({ steps: 10 }).betas
    )
  })

  it("make something of every sampler, schedule and plan without options", () => {
    const names = <T extends object>(table: T) =>
      Object.keys(table) as never as ReadonlyArray<keyof T>
    for (const name of names(Named.schedules)) {
      expect(Schedule.mixture(Named.schedule(name), 0.5).sigma, name).toBeGreaterThan(0)
    }
    // between levels that have both signal and noise
    const plan = Plan.uniform(Schedule.flow(), 8, { from: 0.9, to: 0.05, end: "last" })
    for (const name of names(Named.samplers)) {
      expect(Named.sampler(name).steps(plan).levels.length, name).toBeGreaterThan(0)
    }
    for (const name of names(Named.weightings)) {
      expect(Weighting.value(Named.weighting(name), "v", 0.3), name).toBeGreaterThan(0)
    }
    for (const name of names(Named.densities)) {
      expect(Named.density(name).name, name).not.toBe("")
    }
    for (const name of Object.keys(Named.plans) as ReadonlyArray<keyof typeof Named.plans>) {
      expect(Plan.steps(Named.plan(name, Schedule.linear(), 7)), name).toBe(7)
    }
  })
})

describe("what is not known is named, with the nearest that is", () => {
  const cases: ReadonlyArray<readonly [string, () => unknown, string]> = [
    [
      "a sampler",
      () => Named.sampler("ddimm" as never),
      'there is no "ddimm"; did you mean "ddim"?'
    ],
    ["a schedule", () => Named.schedule("cosin" as never), 'did you mean "cosine"?'],
    ["a plan", () => Named.plan("karas" as never, Schedule.edm(), 5), 'did you mean "karras"?'],
    [
      "an option of a weighting",
      () => Named.weighting("min-snr", { gama: 1 } as never),
      'weighting min-snr: there is no option "gama"; did you mean "gamma"?'
    ],
    ["a density of times", () => Named.density("log-norml" as never), 'did you mean "log-normal"?'],
    [
      "an option of a sampler",
      () => Named.sampler("ddim", { etta: 1 } as never),
      'sampler ddim: there is no option "etta"; did you mean "eta"?'
    ],
    [
      "an option of a schedule",
      () => Named.schedule("flow", { shfit: 3 } as never),
      'did you mean "shift"?'
    ],
    [
      "an option of a plan",
      () => Named.plan("karras", Schedule.edm(), 5, { roh: 7 } as never),
      'did you mean "rho"?'
    ],
    [
      "an option where there are none",
      () => Named.sampler("dpm++2m", { order: 3 } as never),
      "it takes no options"
    ],
    ["a value", () => Named.sampler("ddim", { eta: 2 }), "η must lie between 0 and 1, not 2"],
    [
      "timesteps of a schedule without any",
      () => Named.plan("spaced", Schedule.edm(), 5),
      "the schedule EDM has no timesteps to space"
    ]
  ]
  for (const [what, make, words] of cases) {
    it(what, () => {
      expect(refused(make)).toContain(words)
    })
  }
})
