/** k-diffusion's samplers of DPM-Solver's family, on the problem of test/fixtures/make-k-diffusion-dpm.py. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Dpm from "../../src/Diffusion/Dpm.ts"
import * as DpmAdaptive from "../../src/Diffusion/DpmAdaptive.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

interface Case {
  readonly method: string
  readonly sigmas?: ReadonlyArray<number>
  readonly ends?: readonly [max: number, min: number]
  readonly options: Readonly<Record<string, number | string>>
  readonly x: ReadonlyArray<number>
  readonly info?: Readonly<Record<"steps" | "nfe" | "n_accept" | "n_reject", number>>
}

const { cases } = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/k-diffusion-dpm.json"), "utf8")
) as { readonly cases: ReadonlyArray<Case> }

type State = Denoiser.State

const array = (values: ReadonlyArray<number>): State =>
  Tensor.constant(
    Tensor.hostArray(values, { shape: [values.length], dtype: "float64" }) as never
  ) as State

const z = [-1.5, -0.5, 0, 0.25, 1, 2]
const fresh = array([-1, -0.6, -0.2, 0.2, 0.6, 1])

/** (y + s·tanh y)/(1 + s + s²) of y = x/α and s = σ/α. */
const denoiser = Denoiser.fromData((x, { alpha, sigma }) => {
  const [y, s] = [Tensor.div(x, alpha) as State, Tensor.div(sigma, alpha) as State]
  const below = Tensor.add(Tensor.add(s, Tensor.square(s)), 1) as State
  return Tensor.div(Denoiser.combine([1, y], [s, Tensor.tanh(y) as State]), below) as State
})

const schedule = Schedule.edm({ min: 0.005, max: 20 })

const ancestral = ({ eta, s_noise: sNoise }: Case["options"]) => ({
  ...(eta === undefined ? {} : { eta: Number(eta) }),
  ...(sNoise === undefined ? {} : { sNoise: Number(sNoise) })
})

const samplers: Readonly<Record<string, (options: Case["options"]) => Sampler.Sampler>> = {
  dpmpp_2m: () => Dpm.dpmpp2m(),
  dpmpp_2s_ancestral: (options) => Dpm.dpmpp2sAncestral(ancestral(options)),
  dpmpp_sde: (options) => Dpm.dpmppSde({ ...ancestral(options), r: Number(options.r ?? 1 / 2) }),
  dpmpp_2m_sde: (options) =>
    Dpm.dpmpp2mSde({
      ...ancestral(options),
      solver: (options.solver_type ?? "midpoint") as Dpm.Solver
    }),
  dpmpp_3m_sde: (options) => Dpm.dpmpp3mSde(ancestral(options)),
  dpm_fast: (options) => Dpm.fast({ ...ancestral(options), evaluations: Number(options.n) })
}

const planOf = ({ sigmas, ends }: Case): Plan.Plan =>
  Plan.fromSigmas(schedule, sigmas ?? ends ?? [], { end: "last" })

const adaptive = ({ ends = [1, 1], options }: Case): DpmAdaptive.Sample => {
  const named = Object.entries({
    rtol: "rtol",
    atol: "atol",
    h_init: "firstStep",
    pcoeff: "proportional",
    icoeff: "integral",
    dcoeff: "derivative",
    accept_safety: "safety",
    order: "order"
  }).flatMap(([theirs, mine]) => (theirs in options ? [[mine, Number(options[theirs])]] : []))
  const [max, min] = ends
  return DpmAdaptive.sample(
    {
      denoiser,
      schedule,
      max,
      min,
      noise: Noise.fixed(fresh),
      ...Object.fromEntries(named),
      ...ancestral(options)
    },
    array(z.map((each) => each * max))
  )
}

const close = (found: unknown, expected: ReadonlyArray<number>) => {
  const scale = Math.max(...expected.map(Math.abs))
  const off = Array.from((found as HostArray).data as Float64Array, (each, i) =>
    Math.abs(each - expected[i])
  )
  expect(Math.max(...off) / scale).toBeLessThan(1e-9)
}

layer(Device.layerReference())("k-diffusion", (it) => {
  const evaluate = Effect.fnUntraced(function* (values: unknown) {
    const device = yield* Device.Device
    return yield* device.evaluate(values as never)
  })
  for (const method of Object.keys(samplers)) {
    // in both coordinates
    const coordinates = { exploding: Plan.exploding, preserving: Plan.preserving }
    for (const [name, within] of Object.entries(coordinates)) {
      it.effect(`${method}, ${name}`, () =>
        Effect.gen(function* () {
          const mine = cases.filter((each) => each.method === method)
          expect(mine.length).toBeGreaterThan(0)
          const ends = mine.map((c) => {
            const plan = within(planOf(c))
            const [{ alpha, sigma }] = plan.levels
            const { x } = Sampler.sample(
              { sampler: samplers[method](c.options), plan, denoiser, noise: Noise.fixed(fresh) },
              array(z.map((each) => each * sigma))
            )
            expect(sigma / alpha).toBeCloseTo(10, 12)
            return Tensor.div(x, plan.levels[plan.levels.length - 1].alpha)
          })
          const found = (yield* evaluate(ends)) as ReadonlyArray<unknown>
          mine.forEach(({ x }, i) => {
            close(found[i], x)
          })
        })
      )
    }
  }
  it.effect("dpm_adaptive", () =>
    Effect.gen(function* () {
      const mine = cases.filter(({ method }) => method === "dpm_adaptive")
      for (const c of mine) {
        const found = (yield* evaluate(adaptive(c))) as Readonly<Record<string, HostArray>>
        const count = (name: string) => Number(found[name].data[0])
        expect({
          steps: count("steps"),
          nfe: count("evaluations"),
          n_accept: count("accepted"),
          n_reject: count("rejected")
        }).toEqual(c.info)
        close(found.x, c.x)
      }
    })
  )
  it.effect("dpm_adaptive gives up in time, where the network gives no numbers", () =>
    Effect.gen(function* () {
      const broken = Denoiser.fromData((x) => Tensor.mul(x, Number.NaN) as State)
      const found = (yield* evaluate(
        DpmAdaptive.sample({ denoiser: broken, schedule, maxSteps: 7 }, array(z))
      )) as Readonly<Record<string, HostArray>>
      expect(Number(found.steps.data[0])).toBe(7)
      expect(Number(found.accepted.data[0])).toBe(0)
    })
  )
})
