/**
 * Published samplers by ours: cases of test/fixtures/samplers*.json (a scheduler of diffusers with its options, and what the state was
 * after each of its steps) as a sampler, a plan and a denoiser of `src/Diffusion`.
 *
 * To add a scheduler, add a line to {@link schedulers}.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Device from "../../src/Device/Device.ts"
import * as Consistency from "../../src/Diffusion/Consistency.ts"
import * as Ddim from "../../src/Diffusion/Ddim.ts"
import * as Ddpm from "../../src/Diffusion/Ddpm.ts"
import * as Deis from "../../src/Diffusion/Deis.ts"
import * as Denoiser from "../../src/Diffusion/Denoiser.ts"
import * as Dpm from "../../src/Diffusion/Dpm.ts"
import * as Dpm2 from "../../src/Diffusion/Dpm2.ts"
import * as Euler from "../../src/Diffusion/Euler.ts"
import * as Heun from "../../src/Diffusion/Heun.ts"
import * as Lms from "../../src/Diffusion/Lms.ts"
import * as Noise from "../../src/Diffusion/Noise.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Pndm from "../../src/Diffusion/Pndm.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import * as SaSolver from "../../src/Diffusion/SaSolver.ts"
import * as Schedule from "../../src/Diffusion/Schedule.ts"
import * as UniPc from "../../src/Diffusion/UniPc.ts"
import type { HostArray } from "../../src/Tensor/Expression.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"
import * as Mersenne from "./mersenne.ts"

/** diffusers' options, with its defaults left out. */
type Config = Readonly<Record<string, unknown>>

/** A case as it is recorded. */
export interface Case {
  readonly scheduler: string
  readonly config: Config
  readonly num_inference_steps: number
  readonly custom_timesteps: ReadonlyArray<number> | null
  readonly loop: "plain" | "scaled" | "edm" | "prk+plms"
  /** Begins with the sample and the noise mixed at this place among the timesteps. */
  readonly t_start: number | null
  readonly noise_mode: "zero" | "fixed" | "torch"
  readonly step_kwargs: Config
  /** Of diffusers' `set_timesteps`. */
  readonly set_kwargs?: Config
  /** What the network answers beside x·t/(t + 1): x²/100 or x/2 in as many channels. */
  readonly network?: "learned" | "learned_range"
  readonly init_noise_sigma: number | null
  readonly timesteps: ReadonlyArray<number>
  readonly sigmas: ReadonlyArray<number> | null
  /** x[0,0,0,0], x[1,1,3,4] and x[3,2,7,7] at the end. */
  readonly final_probe: ReadonlyArray<number>
  /** For each step the timestep, Σ|x| after it, and x[0,0,0,0], x[1,1,3,4] and x[3,2,7,7]. */
  readonly trace: ReadonlyArray<ReadonlyArray<number>>
}

/** A case by our means. */
export interface Setup {
  readonly sampler: Sampler.Sampler
  /** Without regard to `t_start`: {@link plan} cuts it. */
  readonly plan: Plan.Plan
  readonly denoiser: Omit<Denoiser.Options, "network">
  /** The network, if it is not x·t/(t + 1). */
  readonly network?: Denoiser.Network
  /** What the first state is multiplied with; diffusers' `init_noise_sigma` unless told. */
  readonly scale?: number
  /** How many of the plan's first steps a `t_start` skips; as many unless told. */
  readonly skip?: number
  /** What diffusers calls the sample after a step: the register `x` unless told. */
  readonly register?: string
  /** Whether the last published step goes from a level to itself: plans have no such steps. */
  readonly idle?: boolean
}

// ── Options ──────────────────────────────────────────────────────────────────────────────────────

const number = (config: Config, name: string, otherwise: number): number =>
  Number(config[name] ?? otherwise)

/** `set_alpha_to_one`, by another name. */
const endOf = (config: Config, toOne: boolean) =>
  (config.set_alpha_to_one ?? toOne) ? "zero" : "first"

/** The schedule of a configuration. */
export const scheduleOf = (config: Config): Schedule.Discrete => {
  const betas = {
    steps: number(config, "num_train_timesteps", 1000),
    start: number(config, "beta_start", 1e-4),
    end: number(config, "beta_end", 0.02)
  }
  const named: Record<string, () => Schedule.Discrete> = {
    linear: () => Schedule.linear(betas),
    scaled_linear: () => Schedule.scaledLinear(betas),
    squaredcos_cap_v2: () => Schedule.cosineBetas(betas),
    sigmoid: () => Schedule.sigmoidBetas(betas),
    laplace: () => Schedule.laplaceBetas(betas),
    exp: () => Schedule.exponentialBetas(betas)
  }
  const schedule = Array.isArray(config.trained_betas)
    ? Schedule.fromBetas(config.trained_betas as ReadonlyArray<number>)
    : named[String(config.beta_schedule ?? "linear")]()
  return config.rescale_betas_zero_snr ? Schedule.zeroTerminalSnr(schedule) : schedule
}

/** What the network predicts. */
export const predictionOf = (config: Config, otherwise = "epsilon"): Denoiser.Prediction => {
  const named: Record<string, Denoiser.Prediction> = {
    epsilon: "noise",
    sample: "data",
    v_prediction: "v",
    flow_prediction: "flow"
  }
  return named[String(config.prediction_type ?? otherwise)]
}

/** How estimates are clipped; `clip` says whether they are where the configuration does not. */
export const clipOf = (config: Config, clip: boolean): Denoiser.Clip | undefined => {
  if (config.thresholding) {
    return {
      ratio: number(config, "dynamic_thresholding_ratio", 0.995),
      max: number(config, "sample_max_value", 1)
    }
  }
  return (config.clip_sample ?? clip)
    ? { range: number(config, "clip_sample_range", 1) }
    : undefined
}

export const spacingOf = (config: Config, otherwise: Plan.Spacing): Plan.Spacing =>
  (config.timestep_spacing ?? otherwise) as Plan.Spacing

/** A plan of timesteps, chosen by the scheduler or told. */
const timestepPlan = (
  { config, num_inference_steps, custom_timesteps }: Case,
  end: "zero" | "first" = "zero"
): Plan.Plan =>
  custom_timesteps === null
    ? Plan.spaced(scheduleOf(config), num_inference_steps, {
        spacing: spacingOf(config, "leading"),
        offset: number(config, "steps_offset", 0),
        end
      })
    : Plan.fromTimesteps(scheduleOf(config), custom_timesteps, { end })

/** Whether the last timestep is where the plan ends. */
const idle = (c: Case, end: "zero" | "first"): boolean =>
  end === "first" && c.timesteps[c.timesteps.length - 1] === 0

/** A plan of Euler's method and its relatives, where α = 1; `own` are the defaults of a scheduler. */
const sigmaPlan = (
  c: Case,
  own: Config = {},
  roundsKarras = false
): { readonly plan: Plan.Plan; readonly idle: boolean } => {
  const { num_inference_steps: count, custom_timesteps, set_kwargs } = c
  const config = { ...own, ...c.config }
  const schedule = config.rescale_betas_zero_snr
    ? Schedule.leastSignal(scheduleOf(config))
    : scheduleOf(config)
  const end = config.final_sigmas_type === "sigma_min" ? "first" : "zero"
  const given = set_kwargs?.sigmas as ReadonlyArray<number> | undefined
  if (given !== undefined) {
    return { plan: Plan.fromSigmas(schedule, given, { end: "last" }), idle: false }
  }
  const options = { interpolation: "sigma", end } as const
  const spaced =
    custom_timesteps === null
      ? Plan.spaced(schedule, count, {
          spacing: spacingOf(config, "linspace"),
          offset: number(config, "steps_offset", 0),
          fractional: true,
          ...options
        })
      : Plan.fromTimesteps(schedule, custom_timesteps, options)
  const { max, min } = Plan.ends(spaced)
  const graded = {
    max: number(config, "sigma_max", max),
    min: number(config, "sigma_min", min),
    end
  } as const
  const chosen = () => {
    if (config.use_karras_sigmas) {
      const karras = Plan.karras(schedule, count, graded)
      if (!roundsKarras) return karras
      return Plan.withTimesteps(
        karras,
        karras.levels.map(({ timestep }) => Math.round(timestep))
      )
    }
    if (config.use_exponential_sigmas) return Plan.exponential(schedule, count, graded)
    if (config.use_beta_sigmas) return Plan.beta(schedule, count, graded)
    if (config.interpolation_type === "log_linear") {
      return Plan.withTimesteps(
        Plan.exponential(schedule, count + 1, { end: "last" }),
        spaced.levels.map(({ timestep }) => timestep)
      )
    }
    return Plan.exploding(spaced)
  }
  const plan = chosen()
  return {
    plan:
      config.timestep_type === "continuous" && config.prediction_type === "v_prediction"
        ? Plan.told(plan, ({ alpha, sigma }) => Math.log(sigma / alpha) / 4)
        : plan,
    idle: Plan.steps(plan) < count
  }
}

/** The betas of some of them. */
const latent = { beta_start: 0.00085, beta_end: 0.012 }

/** A plan of rectified flow. */
const flowPlan = ({ config, num_inference_steps: count, set_kwargs = {} }: Case): Plan.Plan => {
  const steps = number(config, "num_train_timesteps", 1000)
  const mu = number(set_kwargs, "mu", 0)
  const dynamic = config.use_dynamic_shifting === true
  const shift = dynamic
    ? config.time_shift_type === "linear"
      ? mu
      : Math.exp(mu)
    : number(config, "shift", 1)
  const options = {
    shift,
    steps,
    ...(config.shift_terminal ? { terminal: Number(config.shift_terminal) } : {})
  }
  const given = set_kwargs.sigmas as ReadonlyArray<number> | undefined
  const plan =
    given === undefined
      ? Plan.flow(count, { ...options, ...(dynamic ? { last: 1 / steps } : {}) })
      : Plan.fromFlow(given, options)
  const graded = config.use_karras_sigmas
    ? Plan.karras
    : config.use_exponential_sigmas
      ? Plan.exponential
      : config.use_beta_sigmas
        ? Plan.beta
        : undefined
  if (graded === undefined) return plan
  // the curve is that of flow's own σ
  const noisy = plan.levels.map(({ sigma }) => sigma).filter((sigma) => sigma > 0)
  const own = Schedule.edm({ max: noisy[0], min: noisy[noisy.length - 1] })
  return Plan.fromFlow(
    graded(own, count, { end: "last" }).levels.map(({ sigma }) => Math.min(sigma, 1)),
    { steps }
  )
}

/** A plan of the exponential integrators, in coordinates where α² + σ² = 1 or α + σ = 1. */
const lambdaPlan = (
  c: Case,
  // whether the plans of a scheduler go to 0, and whether the last σ is there twice where it does not
  { end: otherwise = "zero", twice = false }: { end?: "zero" | "sigma_min"; twice?: boolean } = {}
): { readonly plan: Plan.Plan; readonly idle: boolean } => {
  const { config, num_inference_steps: count, custom_timesteps } = c
  const schedule = scheduleOf(config)
  const zero = (config.final_sigmas_type ?? otherwise) === "zero"
  const end = zero ? "zero" : "first"
  const told = (plan: Plan.Plan, round: (timestep: number) => number) =>
    Plan.withTimesteps(
      plan,
      plan.levels.map(({ timestep, sigma }) => (sigma === 0 ? timestep : round(timestep)))
    )
  const sigmas = (make: typeof Plan.exponential, rounded: boolean) => {
    const plan = Plan.preserving(make(schedule, count, { end: zero ? "zero" : "last" }))
    const exact = rounded && config.beta_schedule === "squaredcos_cap_v2" && !twice
    return {
      plan: told(plan, rounded && !exact ? Math.round : (each) => Math.floor(each + 1e-6)),
      idle: !zero
    }
  }
  if (config.use_karras_sigmas) return sigmas(Plan.karras, true)
  if (config.use_lu_lambdas) return sigmas(Plan.exponential, true)
  if (config.use_exponential_sigmas) return sigmas(Plan.exponential, false)
  if (config.use_beta_sigmas) return sigmas(Plan.beta, false)
  if (config.use_flow_sigmas) {
    const shift = number(config, "flow_shift", 1)
    const places = Array.from({ length: count }, (_, i) => 1 - i / count)
    // UniPC falls from 1 and comes short of it, the others rise from 0 to less than 1
    const uniPc = c.scheduler === "UniPCMultistepScheduler"
    const all = uniPc
      ? Plan.fromFlow(
          places.map((place) => 1 / 1000 + place * (1 - 1 / 1000)),
          { shift, end: zero ? "zero" : "last" }
        )
      : Plan.fromFlow(
          places.map((place) => place * (1 - 1 / 1000)),
          { shift, end: zero ? "zero" : "last" }
        )
    const levels = all.levels.map((level) =>
      level.alpha < 1e-9 ? { timestep: (1 - 1e-6) * 1000, alpha: 1e-6, sigma: 1 - 1e-6 } : level
    )
    const sigma = Schedule.mixture(schedule, 0).sigma / Schedule.mixture(schedule, 0).alpha
    const last = { timestep: 0, alpha: 1 - sigma, sigma }
    const plan = Plan.make(zero || twice ? levels : [...levels, last], all.between)
    return { plan: told(plan, (each) => Math.floor(each + 1e-6)), idle: !zero && twice }
  }
  const { lambda_min_clipped: least } = config
  const spaced =
    custom_timesteps === null
      ? Plan.spaced(schedule, count, {
          spacing: spacingOf(config, "linspace"),
          offset: number(config, "steps_offset", 0),
          open: true,
          end,
          ...(least === undefined || least === "-inf"
            ? {}
            : { first: Plan.levelsAbove(schedule, 2 * Number(least)) })
        })
      : Plan.fromTimesteps(schedule, custom_timesteps, { end })
  // ᾱ of 0 is kept from being so
  const levels = spaced.levels.map((level) =>
    level.alpha === 0 ? { ...level, alpha: 2 ** -12, sigma: Math.sqrt(1 - 2 ** -24) } : level
  )
  return { plan: Plan.make(levels, spaced.between), idle: Plan.steps(spaced) < c.timesteps.length }
}

/** Of which order the last step may be: that of a plan in which it is not taken from a level to itself. */
const lowerOrderFinal = (c: Case, short: boolean, isIdle: boolean): boolean | number => {
  const lower = c.config.lower_order_final !== false
  if (!lower || (short && c.timesteps.length >= 15)) return false
  return isIdle ? 2 : true
}

/** Plans and denoisers of EDM's. */
const edmPlan = (c: Case) => {
  const { config } = c
  const rho = number(config, "rho", 7)
  const schedule = Schedule.edm({
    min: number(config, "sigma_min", 0.002),
    max: number(config, "sigma_max", 80),
    rho
  })
  const idle = config.final_sigmas_type === "sigma_min"
  const plan = (config.sigma_schedule === "exponential" ? Plan.exponential : Plan.karras)(
    schedule,
    c.num_inference_steps,
    { rho, end: idle ? "last" : "zero" }
  )
  const negative: Denoiser.Network = (x, t) => Tensor.neg(network(x, t)) as Denoiser.State
  return {
    plan,
    idle,
    denoiser: {
      prediction: { kind: "edm", deviation: number(config, "sigma_data", 0.5) },
      clip: clipOf(config, false)
    },
    network: config.prediction_type === "v_prediction" ? { network: negative } : {}
  } as const
}

/** S_churn and its like. */
const churnOf = (kwargs: Config): Euler.Churn => ({
  churn: number(kwargs, "s_churn", 0),
  from: number(kwargs, "s_tmin", 0),
  to: number(kwargs, "s_tmax", Number.POSITIVE_INFINITY),
  scale: number(kwargs, "s_noise", 1)
})

const multistepOf = (c: Case, isIdle: boolean): Dpm.MultistepOptions => ({
  order: number(c.config, "solver_order", 2),
  algorithm: (c.config.algorithm_type ?? "dpmsolver++") as Dpm.Algorithm,
  solver: (c.config.solver_type ?? "midpoint") as Dpm.Solver,
  lowerOrderFinal: lowerOrderFinal(c, true, isIdle),
  eulerAtFinal: c.config.euler_at_final === true && !isIdle,
  clipped: c.config.thresholding === true
})

/** The schedulers that are mapped, by their names in diffusers. */
export const schedulers: Readonly<Record<string, (c: Case) => Setup>> = {
  CMStochasticIterativeScheduler: (c) => {
    const of = number(c.config, "num_train_timesteps", 40)
    const { min, max } = {
      min: number(c.config, "sigma_min", 0.002),
      max: number(c.config, "sigma_max", 80)
    }
    return {
      sampler: Consistency.make({ noise: number(c.config, "s_noise", 1) }),
      plan: Consistency.plan(c.custom_timesteps?.toReversed() ?? c.num_inference_steps, {
        of,
        min,
        max,
        rho: number(c.config, "rho", 7)
      }),
      denoiser: {
        prediction: {
          kind: "consistency",
          least: min,
          deviation: number(c.config, "sigma_data", 0.5)
        },
        clip: (c.config.clip_denoised ?? true) ? { range: 1 } : undefined
      },
      idle: c.custom_timesteps?.[0] === of - 1
    }
  },
  DDIMScheduler: (c) => ({
    sampler: Ddim.make({
      eta: number(c.step_kwargs, "eta", 0),
      clipped: c.step_kwargs.use_clipped_model_output === true
    }),
    plan: timestepPlan(c, endOf(c.config, true)),
    denoiser: { prediction: predictionOf(c.config), clip: clipOf(c.config, true) },
    idle: idle(c, endOf(c.config, true))
  }),
  DDIMInverseScheduler: (c) => ({
    sampler: Ddim.inverse(),
    plan: timestepPlan(c, endOf(c.config, true)),
    denoiser: { prediction: predictionOf(c.config), clip: clipOf(c.config, true) }
  }),
  IPNDMScheduler: (c) => ({
    sampler: Pndm.improved({ blind: true }),
    plan: Pndm.plan(c.num_inference_steps),
    denoiser: { prediction: "v" }
  }),
  LCMScheduler: (c) => ({
    sampler: Consistency.latent({ scaling: number(c.config, "timestep_scaling", 10) }),
    ...distilled(c, "zero")
  }),
  PNDMScheduler: (c) => ({
    sampler: Pndm.make({
      warmUp: c.config.skip_prk_steps ? "multistep" : "rungeKutta",
      of: c.config.prediction_type === "v_prediction" ? "v" : "noise"
    }),
    plan: timestepPlan(c, endOf(c.config, false)),
    denoiser: { prediction: predictionOf(c.config) },
    idle: idle(c, endOf(c.config, false))
  }),
  TCDScheduler: (c) => ({
    sampler: Consistency.trajectory({ gamma: number(c.step_kwargs, "eta", 0.3) }),
    ...distilled(c, "first")
  }),
  DDPMScheduler: (c) => {
    const kind = String(c.config.variance_type ?? "fixed_small")
    const variances: Record<string, Ddpm.Variance> = {
      fixed_small: "small",
      fixed_small_log: "small",
      fixed_large: "large",
      learned: "learned",
      learned_range: "learnedRange"
    }
    return {
      sampler: Ddpm.make({ variance: variances[kind] }),
      plan: timestepPlan(c),
      denoiser: {
        prediction: predictionOf(c.config),
        clip: clipOf(c.config, true),
        learnsVariance: c.network !== undefined
      }
    }
  },
  EulerDiscreteScheduler: (c) => ({
    sampler: Euler.make(churnOf(c.step_kwargs)),
    ...sigmaPlan(c),
    denoiser: { prediction: predictionOf(c.config) }
  }),
  EulerAncestralDiscreteScheduler: (c) => ({
    sampler: Euler.ancestral(),
    ...sigmaPlan(c),
    denoiser: { prediction: predictionOf(c.config) }
  }),
  HeunDiscreteScheduler: (c) => ({
    sampler: Heun.make(),
    ...sigmaPlan(c, latent),
    denoiser: { prediction: predictionOf(c.config), clip: clipOf(c.config, false) },
    skip: (c.t_start ?? 0) / 2
  }),
  KDPM2DiscreteScheduler: (c) => ({
    sampler: Dpm2.make(),
    ...sigmaPlan(c, latent, true),
    denoiser: { prediction: predictionOf(c.config) },
    skip: (c.t_start ?? 0) / 2
  }),
  KDPM2AncestralDiscreteScheduler: (c) => ({
    sampler: Dpm2.ancestral(),
    ...sigmaPlan(c, latent, true),
    denoiser: { prediction: predictionOf(c.config) },
    skip: (c.t_start ?? 0) / 2
  }),
  LMSDiscreteScheduler: (c) => ({
    sampler: Lms.make({ order: number(c.step_kwargs, "order", 4) }),
    ...sigmaPlan(c),
    denoiser: { prediction: predictionOf(c.config) }
  }),
  EDMEulerScheduler: (c) => {
    const { plan, idle, denoiser, network } = edmPlan(c)
    return { plan, idle, denoiser, ...network, sampler: Euler.make(churnOf(c.step_kwargs)) }
  },
  FlowMatchEulerDiscreteScheduler: (c) => {
    const sampler = c.config.stochastic_sampling ? Euler.renoised : Euler.make()
    const plan = flowPlan(c)
    const denoiser = { prediction: "flow" } as const
    if (c.config.invert_sigmas !== true) return { sampler, plan, denoiser }
    // the network is told how much signal there is, and predicts x₀ − ε
    const steps = number(c.config, "num_train_timesteps", 1000)
    return {
      sampler,
      plan: Plan.told(plan, ({ timestep }) => steps - timestep),
      denoiser,
      network: (x, t) => Tensor.neg(network(x, t)) as Denoiser.State
    }
  },
  FlowMatchHeunDiscreteScheduler: (c) => ({
    sampler: Heun.make(),
    plan: flowPlan(c),
    denoiser: { prediction: "flow" },
    skip: (c.t_start ?? 0) / 2
  }),
  DPMSolverMultistepScheduler: (c) => {
    const placed = lambdaPlan(c)
    return {
      ...placed,
      sampler: Dpm.multistep(multistepOf(c, placed.idle)),
      denoiser: { prediction: predictionOf(c.config), clip: clipOf(c.config, false) }
    }
  },
  DPMSolverSinglestepScheduler: (c) => {
    const { config } = c
    const placed = lambdaPlan(c)
    // what a later start leaves of the blocks
    const order = number(config, "solver_order", 2)
    const rest = Array.from({ length: c.trace.length }, (_, i) => ((c.t_start ?? 0) + i) % order)
    const orders = rest.map((place, i) => Math.min(place, i) + 1)
    orders[orders.length - 1] = 1
    return {
      ...placed,
      sampler: Dpm.singlestep({
        order: number(config, "solver_order", 2),
        algorithm: (config.algorithm_type ?? "dpmsolver++") as Dpm.Algorithm,
        solver: (config.solver_type ?? "midpoint") as Dpm.Solver,
        lowerOrderFinal: config.lower_order_final === true,
        ...(c.t_start === null ? {} : { orders }),
        clipped: config.thresholding === true
      }),
      denoiser: { prediction: predictionOf(config), clip: clipOf(config, false) }
    }
  },
  EDMDPMSolverMultistepScheduler: (c) => {
    const { plan, idle, denoiser, network } = edmPlan(c)
    return { plan, idle, denoiser, ...network, sampler: Dpm.multistep(multistepOf(c, idle)) }
  },
  DEISMultistepScheduler: (c) => {
    const placed = lambdaPlan(c, { end: "sigma_min", twice: true })
    return {
      ...placed,
      sampler: Deis.make({
        order: number(c.config, "solver_order", 2),
        lowerOrderFinal: lowerOrderFinal(c, true, placed.idle),
        clipped: c.config.thresholding === true
      }),
      denoiser: { prediction: predictionOf(c.config), clip: clipOf(c.config, false) }
    }
  },
  UniPCMultistepScheduler: (c) => {
    const { config } = c
    const { plan, idle: still } = lambdaPlan(c, { twice: true })
    return {
      plan,
      sampler: UniPc.make({
        order: number(config, "solver_order", 2),
        solver: (config.solver_type ?? "bh2") as "bh1" | "bh2",
        prediction: config.predict_x0 === false ? "noise" : "data",
        disableCorrector: (config.disable_corrector ?? []) as ReadonlyArray<number>,
        lowerOrderFinal: lowerOrderFinal(c, false, still),
        correctLast: still
      }),
      denoiser: { prediction: predictionOf(config), clip: clipOf(config, false) }
    }
  },
  SASolverScheduler: (c) => {
    const { config } = c
    const { plan, idle: still } = lambdaPlan(c, { end: "sigma_min", twice: true })
    return {
      plan,
      sampler: SaSolver.make({
        predictorOrder: number(config, "predictor_order", 2),
        correctorOrder: number(config, "corrector_order", 2),
        prediction: config.algorithm_type === "noise_prediction" ? "noise" : "data",
        lowerOrderFinal: lowerOrderFinal(c, false, still),
        correctLast: still,
        ...(typeof config.tau_func === "number" ? { tau: () => Number(config.tau_func) } : {})
      }),
      denoiser: { prediction: predictionOf(config), clip: clipOf(config, false) }
    }
  },
  LTXEulerAncestralRFScheduler: (c) => ({
    sampler: Euler.ancestralFlow({
      eta: number(c.config, "eta", 1),
      scale: number(c.config, "s_noise", 1)
    }),
    plan: flowPlan(c),
    denoiser: { prediction: "flow" }
  })
}

/** The schedule, the plan and the denoiser of LCM and TCD. */
function distilled(c: Case, end: "zero" | "first") {
  const config = {
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    ...c.config
  }
  return {
    plan:
      c.custom_timesteps === null
        ? Consistency.distilled(scheduleOf(config), c.num_inference_steps, {
            of: number(config, "original_inference_steps", 50),
            strength: number(c.set_kwargs ?? {}, "strength", 1),
            end
          })
        : Plan.fromTimesteps(scheduleOf(config), c.custom_timesteps, { end }),
    denoiser: { prediction: predictionOf(config), clip: clipOf(config, false) }
  }
}

// ── Running ──────────────────────────────────────────────────────────────────────────────────────

/** A plan without its first steps. */
const without = ({ levels, between }: Plan.Plan, count: number): Plan.Plan =>
  Plan.make(levels.slice(count), between)

const shape = [4, 3, 8, 8] as const
const size = 4 * 3 * 8 * 8

/** (((c·8 + h)·8 + w)·4 + b)/768 at [b, c, h, w]. */
const initial = Float64Array.from({ length: size }, (_, i) => {
  const [batch, within] = [Math.floor(i / 192), i % 192]
  return (within * 4 + batch) / size
})

const probes = [0, 1 * 192 + 1 * 64 + 3 * 8 + 4, size - 1]

/** x·t/(t + 1). */
const network: Denoiser.Network = (x, t) => {
  const part = Tensor.div(t, Tensor.add(t, 1)) as Denoiser.State
  return Tensor.mul(x, Tensor.reshape(part, [x.shape[0], 1, 1, 1])) as Denoiser.State
}

/** The same, with what it learns of the variance. */
const wider =
  (kind: "learned" | "learned_range"): Denoiser.Network =>
  (x, t) => {
    const more = kind === "learned" ? Tensor.mul(Tensor.square(x), 0.01) : Tensor.mul(x, 0.5)
    return Tensor.concat([network(x, t), more as Denoiser.State], { axis: 1 }) as Denoiser.State
  }

/**
 * The loop `scaled` of the recorded cases, in which the state itself is divided by √(σ² + 1) before each step, and the network is asked of
 * what results.
 */
const shrinking = (
  sampler: Sampler.Sampler,
  options: Denoiser.Options
): { readonly sampler: Sampler.Sampler; readonly denoiser: Denoiser.Denoiser } => ({
  sampler: {
    ...sampler,
    steps: (plan) => {
      const { columns, before, ...rest } = sampler.steps(plan)
      return {
        ...rest,
        columns: { ...columns, shrink: rest.levels.map(({ sigma }) => 1 / Math.hypot(1, sigma)) },
        before: ({ registers, row, noise }) => {
          const x = Denoiser.combine([row.shrink, registers.x])
          return before === undefined ? x : before({ registers: { ...registers, x }, row, noise })
        }
      }
    }
  },
  denoiser: {
    ...Denoiser.make(options),
    estimate: (x, level) =>
      Denoiser.make({ ...options, network: (_, t) => options.network(x, t) }).estimate(x, level)
  }
})

/** What PyTorch draws from the seed 0, in turn for each step that uses it. */
const seeded = (
  { levels, columns }: Sampler.Steps,
  array: (values: Float64Array) => Denoiser.State
): Noise.Noise => {
  const { normal } = Mersenne.generator(0)
  const fresh = Object.entries(columns).filter(([name]) => name.startsWith("fresh in"))
  const draws = levels.map((_, i) =>
    array(
      fresh.length === 0 || fresh.some(([, values]) => values[i] !== 0)
        ? Float64Array.from(normal(size))
        : new Float64Array(size)
    )
  )
  const table = Tensor.stack(draws as never) as Tensor.Any
  return (index) => Tensor.take(table, index as never) as unknown as Denoiser.State
}

/** How far a number may be from the recorded one, relatively, which was computed in float32. */
export interface Tolerance {
  /** Of itself. */
  readonly relative: number
  /** Of the mean magnitude of the state: where numbers cancel, rounding is that of the terms. */
  readonly ofState: number
}

/** What differs, in words; and the largest deviation in units of what is tolerated. */
export interface Comparison {
  readonly differences: ReadonlyArray<string>
  readonly worst: number
}

/** Runs a case on a device, and compares each of its steps. */
export const compare = Effect.fnUntraced(function* (
  c: Case,
  dtype: "float32" | "float64",
  tolerance: Tolerance = { relative: 1e-5, ofState: 2e-6 }
) {
  const setup = schedulers[c.scheduler](c)
  const array = (values: Float64Array) =>
    Tensor.constant(Tensor.hostArray([...values], { shape, dtype }) as never) as Denoiser.State
  const [data, fixed] = [array(initial), array(initial.map((each) => (767 - each * size) / size))]
  const plan = c.t_start === null ? setup.plan : without(setup.plan, setup.skip ?? c.t_start)
  const [first] = plan.levels
  const x =
    c.t_start === null
      ? Tensor.mul(data, setup.scale ?? c.init_noise_sigma ?? 1)
      : Denoiser.combine([first.alpha, data], [first.sigma, fixed])
  const options = {
    network: setup.network ?? (c.network === undefined ? network : wider(c.network)),
    ...setup.denoiser
  }
  const { sampler, denoiser } =
    c.loop === "scaled"
      ? shrinking(setup.sampler, options)
      : { sampler: setup.sampler, denoiser: Denoiser.make(options) }
  const noises = {
    fixed: () => Noise.fixed(fixed),
    zero: () => Noise.none,
    torch: () => seeded(sampler.steps(plan), array)
  }
  const noise = noises[c.noise_mode]()
  const bound = Sampler.bind({ sampler, plan, denoiser, noise }, dtype)
  const register = setup.register ?? "x"
  const [, states] = Tensor.scan({
    init: bound.begin(x as Denoiser.State),
    over: Object.fromEntries(
      Object.entries(bound.rows).map(([name, values]) => [name, Tensor.constant(values)])
    ) as never,
    step: (now: Sampler.Registers, row: never) => {
      const [next] = bound.step(now, row)
      return [next, next[register]] as never
    }
  }) as unknown as readonly [Sampler.Registers, Denoiser.State]
  const device = yield* Device.Device
  const found = (yield* device.evaluate(states as never)) as HostArray
  const values = Array.from(found.data as Float64Array, Number)
  const timesteps = setup.sampler.steps(plan).levels.map((level) => level.timestep)
  const differences: Array<string> = []
  let worst = 0
  if (timesteps.length + (setup.idle ? 1 : 0) !== c.trace.length) {
    differences.push(`${timesteps.length} evaluations, not ${c.trace.length}`)
  }
  const check = (what: string, mine: number, theirs: number, scale: number) => {
    const allowed =
      tolerance.relative * Math.max(Math.abs(theirs), 1e-6) + tolerance.ofState * scale
    const off = Math.abs(mine - theirs) / allowed
    worst = Math.max(worst, Number.isNaN(off) ? Number.POSITIVE_INFINITY : off)
    if (!(off <= 1)) differences.push(`${what}: ${mine}, not ${theirs}`)
  }
  const sum = (each: ReadonlyArray<number>) => each.reduce((a, b) => a + b, 0)
  c.trace.slice(0, timesteps.length).forEach(([timestep, magnitude, ...probed], i) => {
    const state = values.slice(i * size, (i + 1) * size)
    check(`timestep ${i}`, timesteps[i], timestep, 10)
    check(`Σ|x| after step ${i}`, sum(state.map(Math.abs)), magnitude, 0)
    probed.forEach((each, k) => {
      check(`x at ${probes[k]} after step ${i}`, state[probes[k]], each, magnitude / size)
    })
  })
  const end = values.slice(-size)
  const magnitude = sum(end.map(Math.abs))
  c.final_probe.forEach((each, k) => {
    check(`x at ${probes[k]}`, end[probes[k]], each, magnitude / size)
  })
  return { differences, worst } as Comparison
})

/** All recorded cases by name, of the files of test/fixtures whose names match. */
export const cases = (
  files = /^samplers.*\.json$/
): ReadonlyArray<readonly [name: string, c: Case]> => {
  const folder = Path.join(import.meta.dirname, "../fixtures")
  return Fs.readdirSync(folder)
    .filter((file) => files.test(file))
    .flatMap((file) =>
      Object.entries(
        (
          JSON.parse(Fs.readFileSync(Path.join(folder, file), "utf8")) as {
            cases: Record<string, Case>
          }
        ).cases
      )
    )
}
