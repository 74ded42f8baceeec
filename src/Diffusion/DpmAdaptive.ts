/**
 * DPM-Solver with steps of its own choice (Lu et al. 2022, arXiv:2206.00927, section 3.4: DPM-Solver-12 and -23), as k-diffusion's
 * `dpm_adaptive`.
 *
 * In λ = −log σ, where α = 1, a step of DPM-Solver-k gives x, and its like of order k − 1, which needs no evaluations of its own, x̃. With
 *
 *     δ = max(atol, rtol·max(|x̃|, |x̃ before|)),  E = ‖(x − x̃)/δ‖/√size
 *
 * over the whole batch, a PID controller of wₙ = 1/Eₙ scales the step size by 1 + arctan(f − 1), f = wₙ^β₁ wₙ₋₁^β₂ wₙ₋₂^β₃, and a step is
 * taken where that is at least `safety`.
 *
 * How many steps there are is decided on the device, so that this is no sampler of a plan: {@link sample} is the whole loop, as one
 * expression. It has no derivative.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import { combine, type Denoiser, type Level, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"
import type { Noise } from "./Noise.ts"
import * as Schedule from "./Schedule.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly denoiser: Denoiser
  /** Tells what a network is told of a level, and where to begin and end. */
  readonly schedule: Schedule.Schedule
  /** The first σ/α, and the last, above 0; the schedule's unless told. */
  readonly max?: number
  readonly min?: number
  /** 2 or 3, and as many evaluations in each step; 3 unless told. */
  readonly order?: 2 | 3
  /** Relative and absolute tolerance; 0.05 and 0.0078 unless told. */
  readonly rtol?: number
  readonly atol?: number
  /** The first step in λ; 0.05 unless told. */
  readonly firstStep?: number
  /** Coefficients of the controller, which are divided by the order: 0, 1 and 0 unless told. */
  readonly proportional?: number
  readonly integral?: number
  readonly derivative?: number
  /** The least factor of the step size with which a step is taken; 0.81 unless told. */
  readonly safety?: number
  /** How much of the noise is fresh: 0 for the ODE; 0 unless told. */
  readonly eta?: number
  /** Multiplies fresh noise; 1 unless told. */
  readonly sNoise?: number
  /** Needed where η is above 0; asked with the index of the step. */
  readonly noise?: Noise
  /** Steps after which it gives up; 10,000 unless told. */
  readonly maxSteps?: number
  /** Whether predicted noise is that of clipped data where the denoiser clips; `false` unless told. */
  readonly clipped?: boolean
}

type Count = Tensor.Tensor<readonly [], "int32">

/**
 * What comes out, and what it took.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sample {
  /** The state at σ = `min`, where α = 1. */
  readonly x: State
  /** log α/σ that was reached: less than −log `min` where it gave up. */
  readonly lambda: State
  readonly steps: Count
  readonly accepted: Count
  readonly rejected: Count
  readonly evaluations: Count
}

/** What a loop carries: where it is, the step it tries next, and the last errors' inverses. */
interface Carry {
  readonly s: State
  readonly h: State
  readonly x: State
  readonly before: State
  readonly w1: State
  readonly w2: State
  readonly steps: Count
  readonly accepted: Count
}

const int = (value: number): Count => Tensor.scalar(value, "int32")

/**
 * Samples from x at σ = `max`, where α = 1, to σ = `min`.
 *
 * ```ts
 * const { x, evaluations } = DpmAdaptive.sample({ denoiser, schedule: Schedule.edm(), rtol: 0.01 }, noise)
 * ```
 *
 * Throws `DiffusionError` for options out of range, and for η above 0 without noise.
 *
 * @since 0.1.0
 * @category sampling
 */
export const sample = (options: Options, x: State): Sample => {
  const {
    denoiser,
    schedule,
    order = 3,
    rtol = 0.05,
    atol = 0.0078,
    firstStep = 0.05,
    proportional = 0,
    integral = 1,
    derivative = 0,
    safety = 0.81,
    eta = 0,
    sNoise = 1,
    noise,
    maxSteps = 10_000,
    clipped = false
  } = options
  const what = "DpmAdaptive.sample"
  const ratio = (t: number) => {
    const { alpha, sigma } = Schedule.mixture(schedule, t)
    return sigma / alpha
  }
  const { max = ratio(1), min = ratio(0) } = options
  demand(
    min > 0 && max > min && Number.isFinite(max),
    what,
    "plan",
    `σ goes from ${max} to ${min}: tell a finite \`max\` and a \`min\` above 0 for the schedule ${schedule.name}`
  )
  demand(
    (order === 2 || order === 3) &&
      rtol >= 0 &&
      atol > 0 &&
      firstStep > 0 &&
      safety < 1 + Math.PI / 2,
    what,
    "options",
    `the order must be 2 or 3, not ${order}; atol and the first step must be above 0, and rtol not below`
  )
  demand(
    eta === 0 || (eta > 0 && noise !== undefined),
    what,
    "options",
    `η is ${eta}: it must not be below 0, and above 0 this sampler draws noise: give it some, such as Noise.normal(key)`
  )
  const of = field.like(Tensor.full([], 0, x.dtype)) as unknown as field.Field<State>
  const expm1 = (a: State): State => Tensor.expm1(a) as State
  const sigma = (t: State): State => of.exp(of.mul(of.of(-1), t))
  const minus = (a: State): State => of.mul(of.of(-1), a)
  const level = (t: State): Level => ({
    timestep: Schedule.timesteps(schedule, Schedule.times(schedule, of.mul(of.of(2), t))),
    alpha: of.of(1),
    sigma: sigma(t)
  })
  const predicted = (state: State, t: State): State => {
    const estimate = denoiser.estimate(state, level(t))
    return clipped
      ? (Tensor.div(Tensor.sub(state, estimate.data), sigma(t)) as State)
      : estimate.noise
  }
  // x − σ_t(e^h − 1)ε − σ_t·c(h)·D
  const first = (state: State, to: State, h: State, e: State): State =>
    combine([1, state], [minus(of.mul(sigma(to), expm1(h))), e])
  const slope = (a: State, b: State): State => Tensor.sub(b, a) as State
  const c1 = (h: State): State => of.sub(of.div(expm1(h), h), of.of(1))
  /** DPM-Solver-(k − 1) and -k from s to t, of the same evaluations. */
  const pair = (state: State, s: State, t: State): readonly [low: State, high: State] => {
    const h = of.sub(t, s)
    const part = (r: number) => ({ h: of.mul(of.of(r), h), at: of.add(s, of.mul(of.of(r), h)) })
    const e0 = predicted(state, s)
    const euler = first(state, t, h, e0)
    // order 2 with an evaluation after the part r
    const second = (e: State, r: number) =>
      combine([1, euler], [minus(of.mul(sigma(t), of.div(expm1(h), of.of(2 * r)))), slope(e0, e)])
    const r1 = part(order === 2 ? 1 / 2 : 1 / 3)
    const e1 = predicted(first(state, r1.at, r1.h, e0), r1.at)
    if (order === 2) return [euler, second(e1, 1 / 2)]
    const r2 = part(2 / 3)
    const u2 = combine(
      [1, first(state, r2.at, r2.h, e0)],
      [minus(of.mul(of.mul(sigma(r2.at), of.of(2)), c1(r2.h))), slope(e0, e1)]
    )
    const e2 = predicted(u2, r2.at)
    const high = combine(
      [1, euler],
      [minus(of.mul(of.mul(sigma(t), of.of(3 / 2)), c1(h))), slope(e0, e2)]
    )
    return [second(e1, 1 / 3), high]
  }
  const [start, end] = [-Math.log(max), -Math.log(min)]
  // the order of the error, as the controller sees it
  const k = eta > 0 ? 1.5 : order
  const betas = [
    (proportional + integral + derivative) / k,
    -(proportional + 2 * derivative) / k,
    derivative / k
  ]
  const power = (w: State, beta: number): State =>
    beta === 0 ? of.of(1) : of.exp(of.mul(of.of(beta), of.log(w)))
  const advance = ({ s, h, x: now, before, w1, w2, steps, accepted }: Carry): Carry => {
    const t = of.min(of.of(end), of.add(s, h))
    // the level from which fresh noise leads up to t
    const up = of.mul(of.of(eta), of.sqrt(of.sub(of.of(1), of.exp(of.mul(of.of(2), of.sub(s, t))))))
    const rest = of.sub(of.of(1), of.min(of.of(1), of.mul(up, up)))
    const down = eta === 0 ? t : of.min(of.of(end), of.sub(t, of.mul(of.of(0.5), of.log(rest))))
    const [low, high] = pair(now, s, down)
    const size = Tensor.maximum(Tensor.abs(low), Tensor.abs(before)) as State
    const delta = Tensor.maximum(Tensor.mul(size, rtol), atol) as State
    const error = Tensor.sqrt(
      Tensor.mean(Tensor.square(Tensor.div(Tensor.sub(low, high), delta)))
    ) as State
    const w = of.div(of.of(1), of.add(error, of.of(1e-8)))
    const begun = Tensor.greater(steps, int(0))
    const pick = <S extends Tensor.Any>(condition: Tensor.Any, a: S, b: S): S =>
      Tensor.select(condition as never, a, b) as unknown as S
    const [last, older] = [pick(begun, w1, w), pick(begun, w2, w)]
    const f = of.mul(of.mul(power(w, betas[0]), power(last, betas[1])), power(older, betas[2]))
    const factor = of.add(of.of(1), Tensor.atan(of.sub(f, of.of(1))) as State)
    const accept = Tensor.greaterEqual(factor, of.of(safety))
    const variance = of.sub(of.exp(of.mul(of.of(-2), t)), of.exp(of.mul(of.of(-2), down)))
    const noisy =
      eta === 0 || noise === undefined
        ? high
        : combine(
            [1, high],
            [of.mul(of.of(sNoise), of.sqrt(of.max(of.of(0), variance))), noise(steps, now)]
          )
    return {
      s: pick(accept, t, s),
      h: of.mul(h, factor),
      x: pick(accept, noisy, now),
      before: pick(accept, low, before),
      w1: pick(accept, w, last),
      w2: pick(accept, last, older),
      steps: Tensor.add(steps, int(1)) as Count,
      accepted: Tensor.add(accepted, Tensor.cast(accept, "int32")) as Count
    }
  }
  const found = Tensor.whileLoop({
    init: {
      s: of.of(start),
      h: of.of(firstStep),
      x,
      before: x,
      w1: of.of(1),
      w2: of.of(1),
      steps: int(0),
      accepted: int(0)
    } as Carry,
    condition: ({ s, steps }) =>
      Tensor.and(
        Tensor.less(s as State, of.of(end - 1e-5)),
        Tensor.less(steps as Count, int(maxSteps))
      ) as Tensor.Tensor<readonly [], "bool">,
    body: (carry) => advance(carry as unknown as Carry) as never
  }) as unknown as Carry
  return {
    x: found.x,
    lambda: found.s,
    steps: found.steps,
    accepted: found.accepted,
    rejected: Tensor.sub(found.steps, found.accepted) as Count,
    evaluations: Tensor.mul(found.steps, int(order * denoiser.evaluations)) as Count
  }
}
