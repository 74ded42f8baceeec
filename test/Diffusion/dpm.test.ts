/** DPM-Solver, DEIS, UniPC and SA-Solver where everything is known: on a Gaussian, and on predictions that are polynomials in λ. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Deis from "../../src/Diffusion/Deis.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Dpm from "../../src/Diffusion/Dpm.ts"
import * as exponential from "../../src/Diffusion/internal/exponential.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as SaSolver from "../../src/Diffusion/SaSolver.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as UniPc from "../../src/Diffusion/UniPc.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type State = Denoiser.State

const [mean, deviation] = [0.3, 0.5]

/** E[x₀ | αx₀ + σε = x] of a Gaussian. */
const denoiser = Denoiser.fromData((x, { alpha, sigma }) => {
  const gain = Tensor.mul(alpha, deviation ** 2) as State
  const total = Tensor.add(Tensor.mul(alpha, gain), Tensor.square(sigma)) as State
  const prior = Tensor.mul(Tensor.square(sigma), mean) as State
  return Tensor.div(Tensor.add(Denoiser.combine([gain, x]), prior), total) as State
})

const spread = ({ alpha, sigma }: Plan.Level): number => Math.hypot(alpha * deviation, sigma)

/** Where the probability-flow ODE takes a state. */
const flowed = (x: number, from: Plan.Level, to: Plan.Level): number =>
  to.alpha * mean + (spread(to) / spread(from)) * (x - from.alpha * mean)

const array = (values: ReadonlyArray<number>): State =>
  Tensor.constant(
    Tensor.hostArray(values, { shape: [values.length], dtype: "float64" }) as never
  ) as State

const z = [-1.5, -0.5, 0.25, 2]

const evaluate = Effect.fnUntraced(function* (values: unknown) {
  const device = yield* Device.Device
  return yield* device.evaluate(values as never)
})

const numbers = (found: unknown): ReadonlyArray<number> =>
  Array.from((found as HostArray).data as Float64Array, Number)

const uniform = (count: number): Plan.Plan =>
  Plan.preserving(Plan.exponential(Schedule.vp(), count + 1, { max: 20, min: 0.05, end: "last" }))

// ── Orders ───────────────────────────────────────────────────────────────────────────────────────

const full = { lowerOrderFinal: false } as const

/** Samplers and their order. */
const orders: ReadonlyArray<readonly [string, number, Sampler.Sampler]> = [
  ...(["dpmsolver", "dpmsolver++"] as const).flatMap((algorithm) => [
    ...[1, 2, 3].map(
      (order) => [`${algorithm}, order ${order}`, order, Dpm.solver({ order, algorithm })] as const
    ),
    ...(["midpoint", "heun"] as const).flatMap((solver) => [
      ...[2, 3].map(
        (order) =>
          [
            `${algorithm}, singlestep ${solver}, order ${order}`,
            order,
            Dpm.singlestep({ order, algorithm, solver })
          ] as const
      ),
      [
        `${algorithm}, multistep ${solver}, order 2`,
        2,
        Dpm.multistep({ algorithm, solver, ...full })
      ] as const,
      // half of its third moment is missing, as published
      [
        `${algorithm}, multistep ${solver}, order 3`,
        2,
        Dpm.multistep({ order: 3, algorithm, solver, ...full })
      ] as const
    ])
  ]),
  ["DPM++ 2M", 2, Dpm.dpmpp2m()],
  ["DPM++ 2S", 2, Dpm.dpmpp2sAncestral({ eta: 0 })],
  ["DPM++ SDE without noise", 2, Dpm.dpmppSde({ eta: 0, r: 0.4 })],
  ["DEIS, order 1", 1, Deis.make({ order: 1, ...full })],
  ["DEIS, order 2", 2, Deis.make({ order: 2, ...full })],
  ...(["data", "noise"] as const).flatMap((prediction) => [
    ...(["bh1", "bh2"] as const).flatMap((solver) =>
      [1, 2].flatMap((order) => {
        const options = { order, solver, prediction, ...full }
        return [
          [
            `UniP of ${prediction}, ${solver}, order ${order}`,
            order,
            UniPc.make({ ...options, disableCorrector: true })
          ] as const,
          [
            `UniPC of ${prediction}, ${solver}, order ${order} + 1`,
            order + 1,
            UniPc.make({ ...options, correctLast: true })
          ] as const
        ]
      })
    ),
    ...[1, 2].map(
      (predictorOrder) =>
        [
          `SA-Solver of ${prediction}, order ${predictorOrder}`,
          predictorOrder,
          SaSolver.make({ predictorOrder, correctorOrder: 0, prediction, tau: () => 0, ...full })
        ] as const
    )
  ])
]

layer(Device.layerReference())("on a Gaussian", (it) => {
  const errors = Effect.fnUntraced(function* (sampler: Sampler.Sampler, count: number) {
    const plan = uniform(count)
    const [first, last] = [plan.levels[0], plan.levels[count]]
    const found = numbers(yield* evaluate(Sampler.sample({ sampler, plan, denoiser }, array(z)).x))
    return Math.max(...z.map((x, i) => Math.abs(found[i] - flowed(x, first, last))))
  })
  for (const [name, order, sampler] of orders) {
    it.effect(`${name}: error falls with order ${order}`, () =>
      Effect.gen(function* () {
        const slope = Math.log2((yield* errors(sampler, 96)) / (yield* errors(sampler, 192)))
        expect(Math.abs(slope - order)).toBeLessThan(0.2)
      })
    )
  }

  const stochastic: Readonly<Record<string, Sampler.Sampler>> = {
    "sde-dpmsolver++, order 1": Dpm.multistep({ order: 1, algorithm: "sde-dpmsolver++" }),
    "sde-dpmsolver, order 2": Dpm.multistep({ algorithm: "sde-dpmsolver" }),
    "sde-dpmsolver, order 3": Dpm.multistep({ order: 3, algorithm: "sde-dpmsolver" }),
    "singlestep sde-dpmsolver++, order 3": Dpm.singlestep({
      order: 3,
      algorithm: "sde-dpmsolver++"
    }),
    "DPM++ 2M SDE": Dpm.dpmpp2mSde({ eta: 0.7 }),
    "DPM++ 3M SDE": Dpm.dpmpp3mSde(),
    "DPM++ 2S ancestral": Dpm.dpmpp2sAncestral(),
    "DPM++ SDE": Dpm.dpmppSde(),
    "DPM fast, ancestral": Dpm.fast({ eta: 0.5 }),
    "SA-Solver": SaSolver.make({ tau: () => 1 }),
    "SA-Solver of noise": SaSolver.make({ tau: () => 0.6, prediction: "noise" })
  }
  /** Mean and variance at the end, relative to the Gaussian's: all is affine, so that the variance is a sum over draws. */
  const moments = Effect.fnUntraced(function* (sampler: Sampler.Sampler, count: number) {
    const plan = uniform(count)
    const [first, last] = [plan.levels[0], plan.levels[count]]
    const draws = sampler.steps(plan).levels.length
    // items: the mean, a deviation at the start, and a draw of 1 at each step
    const start = Array.from(
      { length: draws + 2 },
      (_, i) => first.alpha * mean + (i === 1 ? spread(first) : 0)
    )
    const noise: Noise.Noise = (index) =>
      Tensor.cast(
        Tensor.equal(Tensor.arange(draws + 2), Tensor.add(index as never, 2) as never),
        "float64"
      ) as State
    const { x } = Sampler.sample({ sampler, plan, denoiser, noise }, array(start))
    const [average, ...others] = numbers(yield* evaluate(x))
    const variance = others.reduce((sum, each) => sum + (each - average) ** 2, 0)
    return {
      mean: Math.abs(average - last.alpha * mean) / spread(last),
      variance: Math.abs(variance / spread(last) ** 2 - 1)
    }
  })
  for (const [name, sampler] of Object.entries(stochastic)) {
    it.effect(`${name}: mean and variance come to its own`, () =>
      Effect.gen(function* () {
        const [few, many] = [yield* moments(sampler, 48), yield* moments(sampler, 96)]
        expect(many.mean).toBeLessThan(0.02)
        expect(many.variance).toBeLessThan(0.2)
        expect(many.variance).toBeLessThan(0.6 * few.variance + 0.001)
      })
    )
  }

  it.effect("constant predictions are integrated exactly, whatever the method", () =>
    Effect.gen(function* () {
      const plan = Plan.preserving(
        Plan.karras(Schedule.vp(), 6, { max: 30, min: 0.1, end: "last" })
      )
      const [first, last] = [plan.levels[0], plan.levels[5]]
      const constant = Denoiser.fromData((x) => Tensor.fullLike(x, 0.7) as State)
      const noisy: Denoiser.Denoiser = {
        ...constant,
        estimate: (x, level) => ({
          ...constant.estimate(x, level),
          noise: Tensor.fullLike(x, 0.7) as State
        })
      }
      const ofData = [
        Dpm.multistep({ order: 3 }),
        Dpm.singlestep({ order: 3, solver: "heun" }),
        Dpm.solver({ algorithm: "dpmsolver++" }),
        UniPc.make({ order: 3, solver: "bh1" }),
        SaSolver.make({ predictorOrder: 4, correctorOrder: 3, tau: () => 0 })
      ]
      const ofNoise = [
        Dpm.multistep({ order: 3, algorithm: "dpmsolver" }),
        Dpm.singlestep({ order: 3, algorithm: "dpmsolver" }),
        Dpm.solver(),
        Deis.make({ order: 4 }),
        UniPc.make({ order: 3, prediction: "noise" })
      ]
      const found = (yield* evaluate([
        ...ofData.map(
          (sampler) => Sampler.sample({ sampler, plan, denoiser: constant }, array(z)).x
        ),
        ...ofNoise.map((sampler) => Sampler.sample({ sampler, plan, denoiser: noisy }, array(z)).x)
      ])) as ReadonlyArray<unknown>
      found.map(numbers).forEach((values, i) => {
        values.forEach((x, k) => {
          const expected =
            i < ofData.length
              ? last.alpha * 0.7 + (last.sigma / first.sigma) * (z[k] - first.alpha * 0.7)
              : last.sigma * 0.7 + (last.alpha / first.alpha) * (z[k] - first.sigma * 0.7)
          expect(Math.abs(x / expected - 1)).toBeLessThan(1e-9)
        })
      })
    })
  )

  it.effect("is sampled from where there is no signal, to where there is no noise", () =>
    Effect.gen(function* () {
      const plan = Plan.flow(60)
      expect(plan.levels[0].alpha).toBe(0)
      const samplers = [
        ...[1, 2, 3].map((order) => Dpm.multistep({ order })),
        Dpm.multistep({ order: 3, solver: "exact" }),
        Dpm.singlestep({ order: 3 }),
        UniPc.make({ order: 3 })
      ]
      const found = (yield* evaluate(
        samplers.map((sampler) => Sampler.sample({ sampler, plan, denoiser }, array(z)).x)
      )) as ReadonlyArray<unknown>
      found.forEach((each) => {
        numbers(each).forEach((x, i) => {
          expect(Math.abs(x - (mean + deviation * z[i]))).toBeLessThan(0.1)
        })
      })
    })
  )

  it.effect("takes the same way in all coordinates, however few the steps", () =>
    Effect.gen(function* () {
      const samplers = [
        Dpm.multistep({ order: 3 }),
        Dpm.multistep({ order: 3, algorithm: "dpmsolver", solver: "heun" }),
        Dpm.multistep({ algorithm: "sde-dpmsolver++" }),
        Dpm.singlestep({ order: 3, algorithm: "dpmsolver" }),
        Dpm.solver(),
        Dpm.dpmpp2sAncestral(),
        Dpm.dpmppSde({ r: 0.7 }),
        Dpm.fast({ eta: 0.3 }),
        Deis.make({ order: 4 }),
        UniPc.make({ order: 3, correctLast: true }),
        UniPc.make({ prediction: "noise", disableCorrector: [1] }),
        SaSolver.make({ predictorOrder: 3, correctorOrder: 4, tau: () => 0.5 }),
        SaSolver.make({ prediction: "noise", tau: () => 0.5 })
      ]
      const flowing = ({ levels, between }: Plan.Plan): Plan.Plan => {
        const scaled = ({ timestep, alpha, sigma }: Plan.Level): Plan.Level => ({
          timestep,
          alpha: alpha / (alpha + sigma),
          sigma: sigma / (alpha + sigma)
        })
        return Plan.make(levels.map(scaled), (value) => scaled(between(value)))
      }
      const coordinates = [Plan.preserving, Plan.exploding, flowing]
      for (const count of [1, 2, 3, 4, 7]) {
        const ends = samplers.flatMap((sampler) =>
          coordinates.map((within) => {
            const plan = within(uniform(count))
            const x = array(z.map((each) => each * plan.levels[0].sigma))
            const noise = Noise.fixed(array([1, -0.5, 0.3, 0]))
            const end = Sampler.sample({ sampler, plan, denoiser, noise }, x).x
            return Tensor.div(end, plan.levels[count].alpha)
          })
        )
        const found = ((yield* evaluate(ends)) as ReadonlyArray<unknown>).map(numbers)
        samplers.forEach(({ name }, i) => {
          const [first, ...others] = found.slice(3 * i, 3 * i + 3)
          for (const other of others) {
            other.forEach((each, k) => {
              expect(Math.abs(each - first[k]), `${name}, ${count}`).toBeLessThan(1e-9)
            })
          }
        })
      }
    })
  )
})

// ── Exactness ────────────────────────────────────────────────────────────────────────────────────

describe("exponential integrators", () => {
  const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true })

  it("know the moments", () => {
    fc.assert(
      fc.property(finite(-8, 8), fc.integer({ min: 0, max: 4 }), (k, n) => {
        // Simpson's rule
        const parts = 2000
        const f = (v: number) => k * Math.exp(-k * (1 - v)) * v ** n
        let total = 0
        for (let i = 0; i <= parts; i++) {
          total += (i === 0 || i === parts ? 1 : i % 2 === 1 ? 4 : 2) * f(i / parts)
        }
        const scale = Math.max(1, Math.exp(-k)) * Math.abs(k)
        expect(Math.abs(exponential.moment(k, n) - total / (3 * parts))).toBeLessThan(
          1e-10 * scale + 1e-300
        )
      })
    )
  })

  it("integrate polynomials through as many nodes exactly", () => {
    fc.assert(
      fc.property(
        finite(0.01, 4),
        fc.uniqueArray(finite(-3, 1), {
          minLength: 1,
          maxLength: 4,
          comparator: (a, b) => Math.abs(a - b) < 0.1
        }),
        fc.array(finite(-1, 1), { minLength: 4, maxLength: 4 }),
        (k, nodes, coefficients) => {
          const used = coefficients.slice(0, nodes.length)
          const value = (v: number) => used.reduce((sum, c, n) => sum + c * v ** n, 0)
          const found = exponential
            .weights(nodes, k, exponential.exact)
            .reduce((sum, weight, j) => sum + weight * value(nodes[j]), 0)
          const expected = used.reduce((sum, c, n) => sum + c * exponential.moment(k, n), 0)
          expect(Math.abs(found - expected)).toBeLessThan(1e-8)
        }
      )
    )
  })
})

describe("options", () => {
  it("are refused with what would do", () => {
    expect(() => Dpm.multistep({ order: 4 })).toThrow(/order must be 1, 2 or 3, not 4/)
    expect(() => Dpm.multistep({ algorithm: "dpm" as never })).toThrow(/dpmsolver\+\+/)
    expect(() => Dpm.multistep({ solver: "bh1" as never })).toThrow(/midpoint, heun or exact/)
    expect(() => Dpm.multistep({ eta: 1 })).toThrow(/sde-dpmsolver/)
    expect(() => Dpm.dpmppSde({ r: 0 })).toThrow(/r must lie in/)
    expect(() => Deis.make({ order: 5 })).toThrow(/1, 2, 3 or 4/)
    expect(() => UniPc.make({ order: 0 })).toThrow(/1, 2, 3 or 4/)
    expect(() => UniPc.make({ solver: "midpoint" as never })).toThrow(/bh1 or bh2/)
    expect(() => SaSolver.make({ predictorOrder: 5 })).toThrow(/from 1 to 4/)
  })

  it("of the last step are whole numbers from 1", () => {
    const plan = Plan.karras(Schedule.edm(), 5)
    for (const lowerOrderFinal of [0, -1, 1.5]) {
      for (const make of [Dpm.multistep, Deis.make, UniPc.make, SaSolver.make]) {
        expect(() => make({ lowerOrderFinal }).steps(plan)).toThrow(
          `at least 1, not ${lowerOrderFinal}`
        )
      }
    }
  })

  it("that cannot begin without signal say which could", () => {
    const plan = Plan.flow(5)
    for (const sampler of [Deis.make(), Dpm.solver(), Dpm.dpmppSde(), SaSolver.make()]) {
      expect(() => sampler.steps(plan)).toThrow(
        "cannot begin without signal; begin at the next level"
      )
      expect(sampler.steps(Plan.from(plan, { index: 1 })).levels.length).toBeGreaterThan(3)
    }
  })

  it("that do not go with a plan are refused", () => {
    const toZero = Plan.spaced(Schedule.linear(), 5, { open: true })
    const sde = Dpm.multistep({ algorithm: "sde-dpmsolver" })
    expect(() => sde.steps(toZero)).toThrow(/ends without noise/)
    expect(() => Dpm.fast().steps(toZero)).toThrow(/ends with noise/)
    expect(() => UniPc.make({ correctLast: true }).steps(toZero)).toThrow(/nothing to correct/)
    expect(() => Dpm.singlestep({ orders: [1, 3, 1, 2, 3] }).steps(toZero)).toThrow(
      /one more than the one before/
    )
  })
})
