/**
 * Exact log-likelihoods. Along the ODE of the probability flow dx/du = f(u, x) a density changes as its volume does (Chen et al. 2018,
 * arXiv:1806.07366; Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.2), so for a sample x at the least noise
 *
 *     log p(x) = log π(x_T) + ∫ ∇·f du,
 *
 * where x_T is where the flow takes x at the most noise, and π the density there. The divergence is exact, the sum of d derivatives; or
 * Hutchinson's estimate v·(∂f/∂x)v, of which the mean over probes v of mean 0 and covariance 1 is the divergence (Grathwohl et al. 2018,
 * arXiv:1810.01367, equation 7): one probe for each item, all along the way.
 *
 * @since 0.1.0
 */
import { Carrier, Controller, Integration, Method, Tableau } from "../Solver/index.ts"
import { Gradient, Random, Shape, Tensor } from "../Tensor/index.ts"
import { combine, type Denoiser, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"
import * as flow from "./internal/flow.ts"
import type * as Plan from "./Plan.ts"
import * as Sampler from "./Sampler.ts"
import type { Schedule } from "./Schedule.ts"

/**
 * How the divergence is found: `exact`, with one derivative for each element of an item, for few of them; or by probes, which are
 * functions of the key and the item's place. Rademacher's (±1) have the least variance.
 *
 * @since 0.1.0
 * @category models
 */
export type Trace =
  | "exact"
  | {
      readonly key: Random.Key
      /** `rademacher` unless told. */
      readonly probe?: "rademacher" | "normal"
      /** Probes for each item, of which the mean is taken; 1 unless told. */
      readonly count?: number
    }

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** One that does not clip: clipped estimates belong to no density. */
  readonly denoiser: Denoiser
  /** Of which only the ends matter; a last level without noise is left out. */
  readonly plan: Plan.Plan
  /** Of the network: it tells the timesteps in between. */
  readonly schedule: Schedule
  readonly trace: Trace
  /** `Tableau.dopri5` unless told. */
  readonly method?: Method.Any
  /** `logSnr` unless told: see `Ode`. */
  readonly variable?: flow.Variable
  /**
   * `Controller.pi({ absolute: 1e-5, relative: 1e-5 })` unless told; with fixed steps, such as `{ count: 100 }`, all can be differentiated.
   */
  readonly steps?: Integration.Steps
  /** Steps tried, accepted or not; 10,000 unless told. */
  readonly maximumSteps?: number
  /**
   * log π of states at the plan's first level, `[batch]`, in nats; unless told that of a normal distribution of mean 0 and the deviation
   * √(α² + σ²), which samples begin with.
   */
  readonly prior?: (x: State) => State
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Likelihood {
  /** log p(x) in nats, `[batch]`: the density of states at the plan's last level with noise, in the plan's coordinates. */
  readonly logLikelihood: State
  /** Where the flow took x: the state at the plan's first level. */
  readonly latent: State
  /** `[batch]`: one of `Adaptive.status`; the rest is worth something where it is `done`. */
  readonly status: State
  /** How often the denoiser was asked, but for derivatives. */
  readonly evaluations: State
}

/** Σ over all but the first axis. */
const perItem = (x: State): State =>
  Tensor.sum(x, { axis: x.shape.map((_, i) => i).slice(1) }) as State

/** log N(x; 0, deviation²), of each item. */
const normalDensity = (x: State, deviation: number): State => {
  const count = Shape.size(x.shape.slice(1))
  const squares = perItem(Tensor.square(x))
  return Tensor.sub(
    Tensor.mul(squares, -0.5 / deviation ** 2),
    count * (Math.log(deviation) + Math.log(2 * Math.PI) / 2)
  ) as State
}

/** The i-th probe for a batch like x: a function of the key, of i and of the item's place. */
const probeOf = (
  { key, probe = "rademacher" }: Exclude<Trace, "exact">,
  i: Tensor.Any | number,
  x: State
): State => {
  const [batch, ...rest] = x.shape
  const places = Tensor.arange(batch) as never
  const own = Random.foldIn(Random.foldIn(key, i as never) as Random.Key, places) as Random.Key
  if (probe === "normal") return Random.normal(own, rest, { dtype: x.dtype }) as unknown as State
  const coin = Random.bernoulli(own, rest, 0.5) as unknown as Tensor.Tensor<Shape.Shape, "bool">
  return Tensor.select(coin, Tensor.onesLike(x), Tensor.neg(Tensor.onesLike(x))) as State
}

/** v·(∂f/∂x)v of each item. */
const along = (f: State, x: State, probe: State): State =>
  perItem(Tensor.mul(Gradient.vjp(f, x, probe as never) as State, probe) as State)

/**
 * The trace of ∂f/∂x for each item of a batch, `[batch]`, where no item of f depends on another one of x.
 *
 * @since 0.1.0
 * @category divergence
 */
export const divergence = (f: State, x: State, trace: Trace): State => {
  const [batch, ...rest] = x.shape
  /** Σ v·(∂f/∂x)v over the probes that come of what is gone through. */
  const sum = (over: Tensor.Any, probe: (each: Tensor.Any) => State): State =>
    Tensor.scan({
      init: Tensor.zeros([batch], x.dtype),
      over,
      step: (sum: State, each: Tensor.Any) =>
        [Tensor.add(sum, along(f, x, probe(each))), []] as never
    } as never)[0] as State
  if (trace === "exact") {
    const size = Shape.size(rest)
    const units = Tensor.reshape(Tensor.eye(size), [size, 1, ...rest])
    return sum(
      Tensor.cast(units, x.dtype),
      (unit) => Tensor.broadcastTo(unit as State, x.shape) as State
    )
  }
  const { count = 1 } = trace
  demand(
    Number.isInteger(count) && count > 0,
    "Likelihood.divergence",
    "options",
    `the number of probes must be a whole number above 0, not ${count}`
  )
  if (count === 1) return along(f, x, probeOf(trace, 0, x))
  return Tensor.mul(
    sum(Tensor.arange(count), (i) => probeOf(trace, i, x)),
    1 / count
  ) as State
}

/**
 * The log-likelihood of each item of a batch, `[batch, …]`, as a state at the plan's last level with noise.
 *
 * Data x₀ themselves are states of the least noise there, to within it: take αx₀, and add d·log α (0 in coordinates of α = 1) for the
 * density of x₀. Throws `DiffusionError` and `ProblemError` as `Ode.adaptive` does.
 *
 * ```ts
 * const { logLikelihood } = Likelihood.of({ denoiser, schedule, plan, trace: { key } }, images)
 * const bits = Likelihood.bitsPerDimension(logLikelihood, 3 * 32 * 32, { bins: 128 })
 * ```
 *
 * @since 0.1.0
 * @category likelihood
 */
export const of = (options: Options, x: State): Likelihood => {
  const { denoiser, plan, schedule, trace, method = Tableau.dopri5, variable = "logSnr" } = options
  const what = "Likelihood.of"
  flow.requireSchedule(what, variable, schedule)
  const { first, last } = flow.stretch(plan)
  const [from, to] = [last, first].map((each) => flow.requirePlace(what, variable, schedule, each))
  const [start, end] = [from, to].map((u) => flow.point(field.host, variable, schedule, u))
  const f = flow.rightHandSide(denoiser, variable, schedule)
  const count = Shape.size(x.shape.slice(1))
  interface Flow {
    readonly x: State
    /** ∫ ∇·f du so far. */
    readonly change: State
  }
  const stepper = Method.bind(
    method,
    Carrier.tensor<Flow>({ dtype: x.dtype, systems: x.shape[0] }),
    (u: Tensor.Any, { x }: Flow): Flow => {
      const speed = f(u as State, x)
      return { x: speed, change: divergence(speed, x, trace) }
    }
  )
  const { steps = Controller.pi({ absolute: 1e-5, relative: 1e-5 }), maximumSteps } = options
  const [grown, shrunk] = [flow.growth(last, start), flow.growth(end, first)]
  const { y, status, evaluations } = Integration.run(
    stepper,
    { x: combine([grown, x]), change: Tensor.zeros([x.shape[0]], x.dtype) as State },
    { from, to, steps, ...(maximumSteps === undefined ? {} : { maximumSteps }) }
  )
  const latent = combine([shrunk, y.x])
  const prior = options.prior ?? ((z) => normalDensity(z, Sampler.deviation(plan)))
  // changes of coordinates stretch, too
  const stretched = count * (Math.log(grown) + Math.log(shrunk))
  return {
    logLikelihood: Tensor.add(Tensor.add(prior(latent), y.change), stretched) as State,
    latent,
    status: status as State,
    evaluations: evaluations as State
  }
}

/**
 * −log₂ p / d, for items of d elements whose log-likelihoods are in nats. Where the data are whole numbers that were scaled, `bins` of them
 * to a unit, it is that of the numbers: 128 for bytes that became −1 to 1. 1 unless told.
 *
 * @since 0.1.0
 * @category likelihood
 */
export const bitsPerDimension = (
  logLikelihood: State,
  dimensions: number,
  { bins = 1 }: { readonly bins?: number } = {}
): State =>
  Tensor.add(Tensor.mul(logLikelihood, -1 / (dimensions * Math.LN2)), Math.log2(bins)) as State
