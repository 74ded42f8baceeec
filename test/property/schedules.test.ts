/** Every schedule and every plan of the library keeps its laws. */
import { layer } from "@effect/vitest"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Plan, Schedule } from "../../src/Diffusion/index.ts"
import { ScheduleLaws } from "../../src/Laws/index.ts"
import "../support/seed.ts"
import * as fc from "fast-check"

const options = {
  seed: fc.readConfigureGlobal().seed ?? 2026,
  runs: Number(process.env.ODEON_RUNS ?? 1)
}

const schedules: ReadonlyArray<readonly [name: string, schedule: Schedule.Schedule]> = [
  ["linear", Schedule.linear()],
  ["linear, 20 levels", Schedule.linear({ steps: 20, end: 0.5 })],
  ["scaledLinear", Schedule.scaledLinear({ start: 0.00085, end: 0.012 })],
  ["sigmoidBetas", Schedule.sigmoidBetas()],
  ["cosineBetas", Schedule.cosineBetas()],
  ["exponentialBetas", Schedule.exponentialBetas()],
  ["laplaceBetas", Schedule.laplaceBetas()],
  ["zeroTerminalSnr", Schedule.zeroTerminalSnr(Schedule.linear())],
  ["zeroTerminalSnr, continuous", Schedule.zeroTerminalSnr(Schedule.cosine())],
  ["vp", Schedule.vp()],
  ["subVp", Schedule.subVp()],
  ["exponential", Schedule.exponential()],
  ["ve", Schedule.ve()],
  ["edm", Schedule.edm()],
  ["cosine", Schedule.cosine()],
  ["sigmoid", Schedule.sigmoid()],
  ["sigmoid, lopsided", Schedule.sigmoid({ start: 0, end: 3, tau: 0.7 })],
  ["logSnrLinear", Schedule.logSnrLinear()],
  ["shiftedCosine", Schedule.shiftedCosine({ resolution: 256 })],
  ["laplace", Schedule.laplace({ mean: 0.5, scale: 0.7 })],
  ["flow", Schedule.flow()],
  ["flow, shifted", Schedule.flow({ shift: 3 })],
  ["shifted", Schedule.shifted(Schedule.vp(), 2)],
  ["shifted, discrete", Schedule.shifted(Schedule.linear(), 2)],
  ["shifted, by σ", Schedule.shifted(Schedule.edm(), 0.5)],
  [
    "interpolated",
    Schedule.interpolated(Schedule.shiftedCosine({ resolution: 256 }), Schedule.shiftedCosine())
  ],
  ["withVariance", Schedule.withVariance(Schedule.linear(), "flow")],
  ["withVariance, exploding", Schedule.withVariance(Schedule.vp(), "exploding")],
  ["discretize", Schedule.discretize(Schedule.laplace(), 200)],
  ["fromLogSnrs", Schedule.fromLogSnrs([10, 3, 1, -7])],
  ["fromBetas", Schedule.fromBetas([0.1, 0.2, 0.3, 0.5])],
  ["fromAlphasCumprod", Schedule.fromAlphasCumprod([0.9, 0.5, 0.1, 0])]
]

describe("schedules", () => {
  it("are all here", () => {
    const known = schedules.map(([name]) => name.split(",")[0])
    const others = [
      "Current",
      "isDiscrete",
      "layer",
      "leastSignal",
      "logSnr",
      "mixture",
      "mixtures",
      "rates",
      "ratesAt",
      "times",
      "timesteps",
      "make",
      "fromLogSnr"
    ]
    expect(
      Object.keys(Schedule).filter((each) => !others.includes(each) && !known.includes(each))
    ).toEqual([])
  })

  it.each(schedules)("%s keeps all laws", (_, schedule) => {
    ScheduleLaws.check(schedule, options)
  })
})

layer(Device.layerReference(), { excludeTestServices: true })("tensors", (it) => {
  for (const [name, schedule] of schedules) {
    it.effect(`${name} is on Reference what it is on the host`, () =>
      ScheduleLaws.tensors(schedule, options)
    )
  }
})

const linear = Schedule.linear()
const edm = Schedule.edm()
const ends = (schedule: Schedule.Schedule) => {
  const [last, first] = [0, 1].map((t) => {
    const { alpha, sigma } = Schedule.mixture(schedule, t)
    return sigma / alpha
  })
  return { first, last }
}

const { first, last } = ends(linear)

const plans: ReadonlyArray<ScheduleLaws.PlanSubject> = [
  ...(["linspace", "leading", "trailing"] as const).map((spacing) => ({
    name: `spaced, ${spacing}`,
    plan: (count: number) => Plan.spaced(linear, count, { spacing }),
    most: 1000,
    last: 0,
    ...(spacing === "trailing" ? { first } : {})
  })),
  {
    name: "spaced, open",
    plan: (count) => Plan.spaced(linear, count, { spacing: "linspace", open: true, end: "first" }),
    most: 999,
    first,
    last
  },
  { name: "karras", plan: (count) => Plan.karras(linear, count), first, last: 0 },
  {
    name: "karras, capped cosine",
    plan: (count) => Plan.karras(Schedule.cosineBetas(), count),
    ...ends(Schedule.cosineBetas()),
    last: 0
  },
  { name: "karras, EDM", plan: (count) => Plan.karras(edm, count), first: 80, last: 0 },
  { name: "exponential", plan: (count) => Plan.exponential(linear, count), first, last: 0 },
  {
    name: "exponential, power 2",
    plan: (count) => Plan.exponential(edm, count, { power: 2 }),
    first: 80,
    last: 0
  },
  { name: "beta", plan: (count) => Plan.beta(linear, count), first, last: 0 },
  {
    name: "beta, over time",
    plan: (count) => Plan.beta(linear, count, { a: 0.5, b: 0.9, over: "time" }),
    first,
    last: 0
  },
  {
    name: "logSnrUniform",
    plan: (count) => Plan.logSnrUniform(linear, count),
    first,
    last: 0
  },
  {
    name: "ays",
    plan: (count) => Plan.ays("sdxl", Schedule.scaledLinear({ start: 0.00085, end: 0.012 }), count),
    last: 0
  },
  { name: "ays, video", plan: (count) => Plan.ays("svd", edm, count), first: 700, last: 0 },
  { name: "uniform", plan: (count) => Plan.uniform(Schedule.vp(), count), ...ends(Schedule.vp()) },
  {
    name: "uniform, to a time",
    plan: (count) => Plan.uniform(Schedule.ve(), count, { to: 0, end: "last" }),
    ...ends(Schedule.ve())
  },
  { name: "flow", plan: (count) => Plan.flow(count, { shift: 3 }), last: 0 },
  ...(["vp", "ve", "iddpm", "edm"] as const).map((by) => ({
    name: `discretized, ${by}`,
    plan: (count: number) => Plan.discretized(by, Schedule.edm({ min: 0.001, max: 200 }), count),
    last: 0
  })),
  {
    name: "preserving",
    plan: (count) => Plan.preserving(Plan.karras(linear, count)),
    first,
    last: 0
  },
  {
    name: "withVariance",
    plan: (count) => Plan.withVariance(Plan.spaced(linear, count), "flow"),
    last: 0
  },
  {
    name: "shifted",
    plan: (count) => Plan.shifted(Plan.uniform(Schedule.flow(), count), 3),
    last: 0
  }
]

describe("plans", () => {
  it.each(plans.map((each) => [each.name, each] as const))("%s keep their laws", (_, subject) => {
    ScheduleLaws.checkPlan(subject, options)
  })
})
