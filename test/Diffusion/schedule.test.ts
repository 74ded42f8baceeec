import * as Fs from "node:fs"
import { describe, expect, it } from "vitest"
import * as Schedule from "../../src/Diffusion/Schedule.ts"

interface Recorded {
  readonly config: Readonly<Record<string, unknown>>
  readonly index: ReadonlyArray<number>
  readonly betas: ReadonlyArray<number>
  readonly alphas_cumprod: ReadonlyArray<number>
}

const recorded: ReadonlyArray<Recorded> = JSON.parse(
  Fs.readFileSync(new URL("../fixtures/schedules.json", import.meta.url), "utf8")
).betas

const published: Record<string, (options: Schedule.BetaOptions) => Schedule.Discrete> = {
  linear: Schedule.linear,
  scaled_linear: Schedule.scaledLinear,
  squaredcos_cap_v2: Schedule.cosineBetas,
  sigmoid: Schedule.sigmoidBetas,
  laplace: Schedule.laplaceBetas,
  exp: Schedule.exponentialBetas
}

const made = ({ config }: Recorded): Schedule.Discrete => {
  const schedule = published[String(config.beta_schedule)]({
    ...(config.num_train_timesteps === undefined
      ? {}
      : { steps: Number(config.num_train_timesteps) }),
    ...(config.beta_start === undefined ? {} : { start: Number(config.beta_start) }),
    ...(config.beta_end === undefined ? {} : { end: Number(config.beta_end) })
  })
  return config.rescale_betas_zero_snr ? Schedule.zeroTerminalSnr(schedule) : schedule
}

/** The largest relative difference. */
const off = (got: ReadonlyArray<number>, wanted: ReadonlyArray<number>): number =>
  Math.max(...wanted.map((each, i) => Math.abs(got[i] - each) / (each || 1)))

describe("published betas", () => {
  it.each(recorded.map((each) => [JSON.stringify(each.config), each] as const))("%s", (_, each) => {
    const { betas, alphasCumprod } = made(each)
    const at = (values: ReadonlyArray<number>) => each.index.map((i) => values[i])
    // rescaled ones are 1 − a quotient in float32, of roots that PyTorch takes with an error in the last bit
    const rescaled = each.config.rescale_betas_zero_snr === true
    const near = (got: ReadonlyArray<number>, wanted: ReadonlyArray<number>, rounding: number) =>
      wanted.forEach((value, i) => {
        expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(
          1e-5 * value + (rescaled ? rounding : 0)
        )
      })
    near(at(betas), each.betas, 5e-7)
    near(at(alphasCumprod), each.alphas_cumprod, 1e-9)
  })
})

describe("betas", () => {
  it("must lie between 0 and 1", () => {
    expect(() => Schedule.fromBetas([0.1, 1.2])).toThrow(/beta 1 is 1.2/)
    expect(() => Schedule.fromBetas([0.1, 0, 0.2])).toThrow(/beta 1 is 0/)
    expect(() => Schedule.fromBetas([0.1, 1, 0.2])).toThrow(/beta 1 is 1,/)
    expect(() => Schedule.fromBetas([0.1])).toThrow(/at least two betas/)
    expect(Schedule.fromBetas([0.1, 1]).alphasCumprod[1]).toBe(0)
  })

  it("of no whole number of levels are refused", () => {
    for (const steps of [10.5, 1, 0, -3, Number.NaN]) {
      for (const make of [
        Schedule.linear,
        Schedule.scaledLinear,
        Schedule.sigmoidBetas,
        Schedule.cosineBetas,
        ({ steps }: { readonly steps: number }) => Schedule.discretize(Schedule.cosine(), steps)
      ]) {
        expect(() => make({ steps })).toThrow(`at least two levels, not ${steps}`)
      }
    }
  })

  it("too small for float32 are refused", () => {
    expect(() => Schedule.fromBetas([0.1, 1e-9])).toThrow(/does not fall/)
  })

  it("are those of a continuous schedule at its times", () => {
    const betas = Schedule.discretize(Schedule.vp(), 1000).alphasCumprod
    expect(
      off(
        [betas[0], betas[499], betas[999]],
        [0.001, 0.5, 1].map((t) => Schedule.mixture(Schedule.vp(), t).alpha ** 2)
      )
    ).toBeLessThan(1e-5)
  })

  it("of the cosine in continuous time are those of iDDPM, but for its end", () => {
    const [own, wanted] = [
      Schedule.discretize(Schedule.cosine({ least: 1e-12 })),
      Schedule.cosineBetas()
    ]
    expect(off(own.betas.slice(0, 990), wanted.betas.slice(0, 990))).toBeLessThan(1e-3)
  })
})

describe("closed forms", () => {
  it("of VP's SDE are f = −β/2 and g² = β", () => {
    for (const t of [0, 1e-6, 0.3, 1]) {
      const beta = 0.1 + 19.9 * t
      const { drift, diffusion } = Schedule.rates(Schedule.vp(), t)
      expect(drift).toBeCloseTo(-beta / 2, 9)
      expect(diffusion).toBeCloseTo(beta, 9)
    }
  })

  it("of sub-VP's SDE have g² = β(1 − α⁴)", () => {
    for (const t of [0.01, 0.3, 1]) {
      const { alpha } = Schedule.mixture(Schedule.subVp(), t)
      const { drift, diffusion } = Schedule.rates(Schedule.subVp(), t)
      expect(drift).toBeCloseTo(-(0.1 + 19.9 * t) / 2, 9)
      expect(diffusion).toBeCloseTo((0.1 + 19.9 * t) * (1 - alpha ** 4), 9)
    }
  })

  it("of VE's SDE have g² = dσ²/dt", () => {
    const { drift, diffusion } = Schedule.rates(Schedule.ve(), 0.4)
    expect(drift).toBe(0)
    const sigma = 0.01 * 5000 ** 0.4
    expect(diffusion / (2 * sigma ** 2 * Math.log(5000))).toBeCloseTo(1, 12)
  })

  it("of rectified flow are f = −1/(1 − t) and g² = 2t/(1 − t)", () => {
    const { drift, diffusion } = Schedule.rates(Schedule.flow(), 0.25)
    expect(drift).toBeCloseTo(-1 / 0.75, 12)
    expect(diffusion).toBeCloseTo(0.5 / 0.75, 12)
  })

  it("of the shifted cosine are −2 log tan(πs/2) + 2 log(64/d)", () => {
    const [low, high] = [15, -15].map((end) => Math.atan(Math.exp(-end / 2)))
    const schedule = Schedule.shiftedCosine({ resolution: 256 })
    for (const t of [0, 0.1, 0.5, 0.9, 1]) {
      const wanted = -2 * Math.log(Math.tan(low + t * (high - low))) + 2 * Math.log(64 / 256)
      expect(Schedule.logSnr(schedule, t)).toBeCloseTo(wanted, 9)
    }
  })

  it("of Laplace's log-SNR spread as its distribution", () => {
    const schedule = Schedule.laplace({ mean: 1, scale: 0.7 })
    // t is the part of λ above
    expect(schedule.time(1)).toBeCloseTo(0.5, 12)
    expect(schedule.time(1 + 0.7)).toBeCloseTo(Math.exp(-1) / 2, 5)
    expect(schedule.time(1 - 1.4)).toBeCloseTo(1 - Math.exp(-2) / 2, 5)
  })

  it("of shifts are those of rectified flow", () => {
    const [plain, own] = [Schedule.flow({ shift: 3 }), Schedule.shifted(Schedule.flow(), 3)]
    for (const t of [0, 0.2, 0.7, 1]) {
      expect(Schedule.mixture(own, t).sigma).toBeCloseTo(Schedule.mixture(plain, t).sigma, 14)
      expect(Schedule.mixture(own, t).alpha).toBeCloseTo(Schedule.mixture(plain, t).alpha, 14)
    }
  })
})

describe("combinations", () => {
  it("with no signal at the end keep that at the beginning", () => {
    for (const schedule of [Schedule.vp(), Schedule.cosine(), Schedule.logSnrLinear()]) {
      const rescaled = Schedule.zeroTerminalSnr(schedule)
      expect(Schedule.mixture(rescaled, 1).alpha).toBe(0)
      expect(Schedule.mixture(rescaled, 1).sigma).toBeCloseTo(1, 14)
      expect(Schedule.mixture(rescaled, 0).alpha).toBeCloseTo(
        Schedule.mixture(schedule, 0).alpha,
        14
      )
    }
    expect(() => Schedule.zeroTerminalSnr(Schedule.ve())).toThrow(/not variance preserving/)
  })

  it("interpolated have the first at the beginning and the second at the end", () => {
    const [first, second] = [Schedule.shiftedCosine({ resolution: 256 }), Schedule.shiftedCosine()]
    const between = Schedule.interpolated(first, second)
    expect(Schedule.logSnr(between, 0)).toBeCloseTo(Schedule.logSnr(first, 0), 10)
    expect(Schedule.logSnr(between, 1)).toBeCloseTo(Schedule.logSnr(second, 1), 10)
    expect(() => Schedule.interpolated(Schedule.vp(), second)).toThrow(/all must be finite/)
  })

  it("shifted by size have that many times as much noise over signal", () => {
    for (const schedule of [Schedule.linear(), Schedule.vp(), Schedule.edm(), Schedule.laplace()]) {
      const [own, other] = [schedule, Schedule.shifted(schedule, 2)]
      expect(Schedule.logSnr(other, 0.4)).toBeCloseTo(
        Schedule.logSnr(own, 0.4) - 2 * Math.log(2),
        2
      )
    }
    expect(Schedule.isDiscrete(Schedule.shifted(Schedule.linear(), 2))).toBe(true)
  })
})

describe("a schedule of one's own", () => {
  it("must fall in its log-SNR", () => {
    expect(() =>
      Schedule.make({
        name: "mine",
        variance: "other",
        at: (of, t) => ({ alpha: of.of(1), sigma: of.mul(t, of.sub(of.of(1), t)) })
      })
    ).toThrow(/log-SNR must fall/)
  })

  it("must be of the variance that it claims", () => {
    expect(() =>
      Schedule.make({
        name: "mine",
        variance: "preserving",
        at: (of, t) => ({ alpha: of.sub(of.of(1), t), sigma: t })
      })
    ).toThrow(/α² \+ σ² is .* instead of 1/)
  })

  it("can be a table", () => {
    const schedule = Schedule.fromLogSnrs([8, 2, -6])
    expect(Schedule.logSnr(schedule, 0.25)).toBeCloseTo(5, 12)
    expect(() => Schedule.fromLogSnrs([1, 2])).toThrow(/falling/)
  })
})
