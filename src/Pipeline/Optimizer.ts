/**
 * Optimisers: pure rules that make new parameters of old ones and their gradients, as expressions.
 *
 * With parameters w, gradients g, the learning rate η and the update's number t from 1 on, all rules but `sgd` are made of decaying means
 * m ← β·m + (1 − β)·x, begun at 0 and divided by 1 − βᵗ where a rule corrects that. What is kept is the decaying *sum* s ← β·s + x, which
 * is m/(1 − β): a pass over the numbers less for each, since the factor goes into that of the step, which is found once for all
 * parameters.
 *
 * | rule      | update                                                        |                                                  |
 * | --------- | ------------------------------------------------------------- | ------------------------------------------------ |
 * | `sgd`     | w − η·b, b ← μ·b + g                                          | Polyak 1964; Sutskever et al. 2013 (Nesterov)    |
 * | `adam`    | w − η·m̂/(√v̂ + ε), v of g²                                     | Kingma and Ba 2015, arXiv:1412.6980              |
 * | `adamw`   | the same of (1 − η·λ)·w                                       | Loshchilov and Hutter 2019, arXiv:1711.05101     |
 * | `nadam`   | Adam that looks ahead along m                                 | Dozat 2016                                       |
 * | `radam`   | Adam whose step is rectified while v rests on few gradients   | Liu et al. 2020, arXiv:1908.03265                |
 * | `adamax`  | w − η·m̂/u, u ← max(β₂·u, \|g\|)                               | Kingma and Ba 2015, section 7.1                  |
 * | `rmsprop` | w − η·g/(√v + ε)                                              | Tieleman and Hinton 2012; Graves 2013            |
 * | `lion`    | w − η·sign(β₁·m + (1 − β₁)·g)                                 | Chen et al. 2023, arXiv:2302.06675               |
 * | `adan`    | w − η·(m̂ + β₂·d̂)/(√n̂ + ε), d of the gradients' differences    | Xie et al. 2022, arXiv:2208.06677                |
 * | `lamb`    | w − η·(‖w‖/‖r‖)·r, r Adam's direction and λ·w                 | You et al. 2020, arXiv:1904.00962                |
 *
 * Rules and defaults are PyTorch's where it has them. Weight decay adds λ·w to the gradient (*coupled*) or takes η·λ·w from the weights
 * (*decoupled*); it is for all parameters unless told, and usually meant for {@link matrices} alone.
 *
 * All is float32. Makers throw `TrainError` for options that make no sense, and an update for a parameter whose gradient or state is
 * not there.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import { Tensor } from "../Tensor/index.ts"
import { decodeUnsafe, demand, requireAll } from "./internal/config.ts"

// ── Models ───────────────────────────────────────────────────────────────────────────────────────

/**
 * Tensors by a parameter's path, in one flat record: parameters, their gradients, and what an optimiser keeps for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Numbers = Readonly<Record<string, Tensor.Tensor>>

/**
 * What an optimiser carries from update to update, by name and then by path: `{ first: { "up.0.weight": … }, … }`. Names and paths are
 * stable, so that a checkpoint can hold it.
 *
 * @since 0.1.0
 * @category models
 */
export type State = Readonly<Record<string, Numbers>>

/**
 * What an update is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step {
  readonly gradients: Numbers
  readonly parameters: Numbers
  readonly state: State
  /** The learning rate of this update. */
  readonly rate: Tensor.Tensor<readonly []>
  /** Which update this is, from 1 on. */
  readonly count: Tensor.Tensor<readonly []>
}

/**
 * What an update gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Updated {
  readonly parameters: Numbers
  readonly state: State
}

/**
 * An update rule.
 *
 * @since 0.1.0
 * @category models
 */
export interface Optimizer {
  readonly name: string
  /** What it carries before its first update; `{}` if nothing. */
  readonly init: (parameters: Numbers) => State
  readonly update: (step: Step) => Updated
}

/**
 * Whether a parameter decays.
 *
 * @since 0.1.0
 * @category models
 */
export type Decay = (path: string, parameter: Tensor.Tensor) => boolean

/**
 * How weights decay.
 *
 * @since 0.1.0
 * @category models
 */
export interface WeightDecay {
  /** λ, at least 0; 0 unless told or said otherwise by the rule. */
  readonly weightDecay?: number
  /** Which parameters; all unless told, as PyTorch has it. The usual choice is {@link matrices}. */
  readonly decay?: Decay
}

/**
 * Parameters of two or more axes: matrices and kernels, but not biases and the scales of norms.
 *
 * @since 0.1.0
 * @category instances
 */
export const matrices: Decay = (_, { shape }) => shape.length >= 2

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────

type Any = Tensor.Tensor
type Scalar = Tensor.Tensor<readonly []>

/** One parameter, and what belongs to it. */
interface One<S extends string> {
  readonly w: Any
  readonly g: Any
  readonly state: { readonly [K in S]: Any }
  /** λ, or 0 where it does not decay. */
  readonly weightDecay: number
}

/** A parameter's next value, and what is kept for it; for slots that the rule does not have, it does not matter. */
interface Next<S extends string> {
  readonly w: Any
  readonly state: { readonly [K in S]?: Any }
}

/** A rule that treats every parameter on its own. */
interface Rule<S extends string, K> {
  /** What is kept for each parameter; it begins with zeros. */
  readonly slots: ReadonlyArray<S>
  /** Scalars that are kept for all. */
  readonly scalars?: State
  /** Found once for all parameters: factors, and the scalars that are kept. */
  readonly common: (step: Step) => K & { readonly scalars?: State }
  readonly next: (one: One<S>, common: K) => Next<S>
  readonly weightDecay?: number | undefined
  readonly decay?: Decay | undefined
  /** Whether to add λ·w to the gradient or to take η·λ·w from the weights; else `next` sees to it. */
  readonly decays: "coupled" | "decoupled" | "own"
}

/** The tensor of a path. */
const find = (what: string, numbers: Numbers | undefined, path: string): Any => {
  const found = numbers !== undefined && Object.hasOwn(numbers, path) ? numbers[path] : undefined
  demand(
    found !== undefined,
    what,
    `there is none for "${path}"; gradients and state must be of the same parameters`
  )
  return found as Any
}

const rule = <S extends string, K>(name: string, of: Rule<S, K>): Optimizer => {
  const what = `Optimizer.${name}`
  const { slots, scalars = {}, weightDecay = 0, decay = () => true, decays } = of
  requireAll(what, "natural", { weightDecay })
  const bySlot = (entries: ReadonlyArray<readonly [path: string, Next<S>["state"]]>): State =>
    Object.fromEntries(
      slots.map((slot) => [
        slot,
        Object.fromEntries(entries.map(([path, state]) => [path, state[slot] as Any]))
      ])
    )
  const zeros = (like: Any) =>
    Object.fromEntries(slots.map((slot) => [slot, Tensor.zerosLike(like)])) as One<S>["state"]
  return {
    name,
    init: (parameters) => ({
      ...bySlot(Object.entries(parameters).map(([path, each]) => [path, zeros(each)])),
      ...scalars
    }),
    update: (step) => {
      const common = of.common(step)
      const kept = Tensor.sub(1, Tensor.mul(step.rate, weightDecay))
      const updated = Object.entries(step.parameters).map(([path, w]): [string, Next<S>] => {
        const own = weightDecay > 0 && decay(path, w) ? weightDecay : 0
        const g = find(`${what}: gradients`, step.gradients, path)
        const one: One<S> = {
          w: own > 0 && decays === "decoupled" ? Tensor.mul(w, kept) : w,
          g: own > 0 && decays === "coupled" ? Tensor.add(g, Tensor.mul(w, own)) : g,
          state: Object.fromEntries(
            slots.map((slot) => [slot, find(`${what}: state.${slot}`, step.state[slot], path)])
          ) as One<S>["state"],
          weightDecay: own
        }
        return [path, of.next(one, common)]
      })
      return {
        parameters: Object.fromEntries(updated.map(([path, { w }]) => [path, w])),
        state: {
          ...bySlot(updated.map(([path, { state }]) => [path, state])),
          ...common.scalars
        }
      }
    }
  }
}

/** 1 − βᵗ, keeping the digits that the subtraction would lose where βᵗ is near 1. */
const correction = (beta: number, count: Scalar): Scalar =>
  beta === 0 ? Tensor.scalar(1) : Tensor.neg(Tensor.expm1(Tensor.mul(count, Math.log(beta))))

/** The decaying sum β·s + x. */
const decaying = (beta: number, sum: Any, x: Any): Any =>
  beta === 0 ? x : Tensor.add(Tensor.mul(sum, beta), x)

/** w − a·x. */
const moved = (w: Any, a: Scalar, x: Any): Any => Tensor.sub(w, Tensor.mul(x, a))

/**
 * √v̂ + ε of a decaying sum s is √s + ε/k times k = √((1 − β)/(1 − βᵗ)), so that `k` can go into the step's factor.
 */
const root = (beta: number, epsilon: number, count: Scalar) => {
  const k = Tensor.sqrt(Tensor.div(1 - beta, correction(beta, count)))
  return { k, epsilon: Tensor.div(epsilon, k) }
}

/** The factor that makes a corrected mean of a decaying sum. */
const unbiased = (beta: number, count: Scalar): Scalar =>
  Tensor.div(1 - beta, correction(beta, count))

/** x/(√s + ε). */
const scaled = (x: Any, sum: Any, epsilon: Scalar): Any =>
  Tensor.div(x, Tensor.add(Tensor.sqrt(sum), epsilon))

/**
 * @since 0.1.0
 * @category models
 */
export interface SgdOptions extends WeightDecay {
  /** μ; 0 unless told. */
  readonly momentum?: number
  /** What is left out of each gradient but the first: b ← μ·b + (1 − τ)·g; 0 unless told. */
  readonly dampening?: number
  /** Whether to step along μ·b + g, where the momentum is about to lead (Sutskever et al. 2013); not unless told. */
  readonly nesterov?: boolean
}

/**
 * Gradient descent, with momentum if told; coupled weight decay. Keeps `momentum`, b, if there is any. Two passes over the numbers, four
 * with momentum, six as Nesterov's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sgd = (options: SgdOptions = {}): Optimizer => {
  const { momentum = 0, dampening = 0, nesterov = false } = options
  requireAll("Optimizer.sgd", "natural", { momentum })
  requireAll("Optimizer.sgd", "fraction", { dampening })
  demand(
    !nesterov || (momentum > 0 && dampening === 0),
    "Optimizer.sgd",
    "`nesterov` needs a momentum above 0, such as 0.9, and no dampening"
  )
  return rule("sgd", {
    ...options,
    decays: "coupled",
    slots: momentum === 0 ? [] : ["momentum"],
    common: ({ rate, count }) => ({
      rate,
      share: Tensor.select(Tensor.lessEqual(count, 1), Tensor.scalar(1), 1 - dampening)
    }),
    next: ({ w, g, state }, { rate, share }) => {
      if (momentum === 0) return { w: moved(w, rate, g), state: {} }
      const b = decaying(momentum, state.momentum, dampening === 0 ? g : Tensor.mul(g, share))
      return { w: moved(w, rate, nesterov ? decaying(momentum, b, g) : b), state: { momentum: b } }
    }
  })
}

/**
 * What Adam and its kin have in common.
 *
 * @since 0.1.0
 * @category models
 */
export interface MomentOptions extends WeightDecay {
  /** β₁, of the mean of gradients; 0.9 unless told or said otherwise by the rule. */
  readonly beta1?: number
  /** β₂, of the mean of their squares; 0.999 unless told or said otherwise by the rule. */
  readonly beta2?: number
  /** ε, added to the root of the mean square; 1e-8 unless told or said otherwise by the rule. */
  readonly epsilon?: number
}

/** Options with their defaults, checked. */
const moments = (name: string, options: MomentOptions, defaults: MomentOptions = {}) => {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = { ...defaults, ...defined(options) }
  requireAll(`Optimizer.${name}`, "weight", { beta1, beta2 })
  requireAll(`Optimizer.${name}`, "natural", { epsilon })
  return { beta1, beta2, epsilon }
}

/** Without what is `undefined`. */
const defined = <O extends object>(options: O): O =>
  Object.fromEntries(Object.entries(options).filter(([, each]) => each !== undefined)) as O

/**
 * @since 0.1.0
 * @category models
 */
export interface AdamOptions extends MomentOptions {
  /** Whether to divide by the largest v so far (Reddi et al. 2018, arXiv:1904.09237); not unless told. */
  readonly amsgrad?: boolean
}

const adamLike = (
  name: string,
  options: AdamOptions,
  decays: "coupled" | "decoupled"
): Optimizer => {
  const { amsgrad = false } = options
  const { beta1, beta2, epsilon } = moments(name, options)
  return rule<"first" | "second" | "largest", { rate: Scalar; epsilon: Scalar }>(name, {
    ...options,
    decays,
    slots: amsgrad ? ["first", "second", "largest"] : ["first", "second"],
    common: ({ rate, count }) => {
      const { k, epsilon: e } = root(beta2, epsilon, count)
      return { rate: Tensor.div(Tensor.mul(rate, unbiased(beta1, count)), k), epsilon: e }
    },
    next: ({ w, g, state }, { rate, epsilon }) => {
      const first = decaying(beta1, state.first, g)
      const second = decaying(beta2, state.second, Tensor.square(g))
      const largest = amsgrad ? Tensor.maximum(state.largest, second) : second
      return {
        w: moved(w, rate, scaled(first, largest, epsilon)),
        state: { first, second, largest }
      }
    }
  })
}

/**
 * Adam (Kingma and Ba 2015, algorithm 1); coupled weight decay. Keeps `first` and `second`, the decaying sums of g and of g², and
 * `largest` of the latter for AMSGrad. Ten passes over the numbers.
 *
 * ```ts
 * const optimizer = Optimizer.adam({ beta2: 0.99 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const adam = (options: AdamOptions = {}): Optimizer => adamLike("adam", options, "coupled")

/**
 * Adam with decoupled weight decay, λ = 0.01 unless told (Loshchilov and Hutter 2019, algorithm 2); state as {@link adam}.
 *
 * ```ts
 * const optimizer = Optimizer.adamw({ weightDecay: 0.05, decay: Optimizer.matrices })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const adamw = (options: AdamOptions = {}): Optimizer =>
  adamLike("adamw", { weightDecay: 0.01, ...defined(options) }, "decoupled")

/**
 * @since 0.1.0
 * @category models
 */
export interface NadamOptions extends MomentOptions {
  /** ψ: how fast the momentum's weight grows, μₜ = β₁·(1 − ½·0.96^(t·ψ)); 0.004 unless told. */
  readonly momentumDecay?: number
  /** Whether weight decay is decoupled; not unless told. */
  readonly decoupled?: boolean
}

/**
 * Adam with Nesterov's momentum (Dozat 2016): w − η·((1 − μₜ)/(1 − Πₜ)·g + μₜ₊₁/(1 − Πₜ₊₁)·m)/(√v̂ + ε), Πₜ being μ₁·…·μₜ. Keeps `first`
 * and `second` as {@link adam}, and `schedule.product`, Π. Twelve passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const nadam = (options: NadamOptions = {}): Optimizer => {
  const { momentumDecay = 4e-3, decoupled = false } = options
  const { beta1, beta2, epsilon } = moments("nadam", options)
  requireAll("Optimizer.nadam", "natural", { momentumDecay })
  const mu = (count: Scalar): Scalar => {
    const half = Tensor.exp(Tensor.mul(count, momentumDecay * Math.log(0.96)))
    return Tensor.mul(Tensor.sub(1, Tensor.mul(half, 0.5)), beta1)
  }
  return rule("nadam", {
    ...options,
    decays: decoupled ? "decoupled" : "coupled",
    slots: ["first", "second"],
    scalars: { schedule: { product: Tensor.scalar(1) } },
    common: ({ rate, count, state }) => {
      const { k, epsilon: e } = root(beta2, epsilon, count)
      const now = mu(count)
      const then = mu(Tensor.add(count, 1))
      const product = Tensor.mul(
        find("Optimizer.nadam: state.schedule", state.schedule, "product") as Scalar,
        now
      )
      const own = Tensor.div(Tensor.sub(1, now), Tensor.sub(1, product))
      const mean = Tensor.div(then, Tensor.sub(1, Tensor.mul(product, then)))
      return {
        own: Tensor.div(Tensor.mul(rate, own), k),
        mean: Tensor.div(Tensor.mul(rate, Tensor.mul(mean, 1 - beta1)), k),
        epsilon: e,
        scalars: { schedule: { product } }
      }
    },
    next: ({ w, g, state }, { own, mean, epsilon }) => {
      const first = decaying(beta1, state.first, g)
      const second = decaying(beta2, state.second, Tensor.square(g))
      const ahead = Tensor.add(Tensor.mul(g, own), Tensor.mul(first, mean))
      return { w: Tensor.sub(w, scaled(ahead, second, epsilon)), state: { first, second } }
    }
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RadamOptions extends MomentOptions {
  /** Whether weight decay is decoupled; not unless told. */
  readonly decoupled?: boolean
}

/**
 * 1 − y/(e^y − 1) for y > 0, by its series where the difference would lose digits: the error is below 1e-6 of it.
 */
const bernoulli = (y: Scalar): Scalar => {
  const squared = Tensor.square(y)
  const terms = [-1 / 30240, 1 / 720, -1 / 12].reduce<Scalar>(
    (sum, each) => Tensor.add(Tensor.mul(sum, squared), each),
    Tensor.scalar(1 / 1209600)
  )
  const near = Tensor.add(Tensor.mul(y, 0.5), Tensor.mul(terms, squared))
  const far = Tensor.sub(1, Tensor.div(y, Tensor.expm1(y)))
  return Tensor.select(Tensor.less(y, 1), near, far)
}

/**
 * Rectified Adam (Liu et al. 2020, algorithm 2): with ρₜ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ) and ρ∞ = 2/(1 − β₂) − 1, the number of gradients that v
 * amounts to, the step is w − η·m̂ up to ρₜ = 5 and then Adam's times √((ρₜ − 4)(ρₜ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρₜ)). State as {@link adam}.
 * Eleven passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const radam = (options: RadamOptions = {}): Optimizer => {
  const { decoupled = false } = options
  const { beta1, beta2, epsilon } = moments("radam", options)
  const most = 2 / (1 - beta2) - 1
  const spread = Math.sqrt(1 - beta2)
  return rule("radam", {
    ...options,
    decays: decoupled ? "decoupled" : "coupled",
    slots: ["first", "second"],
    common: ({ rate, count }) => {
      const plain = Tensor.mul(rate, unbiased(beta1, count))
      const zero = Tensor.scalar(0)
      if (most <= 5) return { rate: plain, scale: zero, shift: Tensor.scalar(1) }
      // ρₜ is a small difference of large numbers: those that do not depend on t are taken from each other on the host
      const x = -Math.log(beta2)
      const rho = Tensor.add(Tensor.mul(bernoulli(Tensor.mul(count, x)), 2 / x), most - 2 / x)
      const trusted = Tensor.greater(rho, 5)
      const share = Tensor.div(
        Tensor.mul(Tensor.maximum(Tensor.sub(rho, 4), 0), Tensor.sub(rho, 2)),
        Tensor.mul(rho, ((most - 4) * (most - 2)) / most)
      )
      const rectified = Tensor.sqrt(
        Tensor.mul(Tensor.maximum(share, 0), Tensor.mul(correction(beta2, count), 1 / spread ** 2))
      )
      return {
        rate: Tensor.mul(plain, Tensor.select(trusted, rectified, 1)),
        scale: Tensor.select(trusted, Tensor.scalar(1), 0),
        shift: Tensor.select(trusted, Tensor.scalar(epsilon / spread), 1)
      }
    },
    next: ({ w, g, state }, { rate, scale, shift }) => {
      const first = decaying(beta1, state.first, g)
      const second = decaying(beta2, state.second, Tensor.square(g))
      const divisor = Tensor.add(Tensor.mul(Tensor.sqrt(second), scale), shift)
      return { w: moved(w, rate, Tensor.div(first, divisor)), state: { first, second } }
    }
  })
}

/**
 * Adam by the largest in place of the mean square (Kingma and Ba 2015, algorithm 2): u ← max(β₂·u, |g| + ε); coupled weight decay. Keeps
 * `first` as {@link adam}, and `largest`, u. Nine passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adamax = (options: MomentOptions = {}): Optimizer => {
  const { beta1, beta2, epsilon } = moments("adamax", options)
  return rule("adamax", {
    ...options,
    decays: "coupled",
    slots: ["first", "largest"],
    common: ({ rate, count }) => ({ rate: Tensor.mul(rate, unbiased(beta1, count)) }),
    next: ({ w, g, state }, { rate }) => {
      const first = decaying(beta1, state.first, g)
      const largest = Tensor.maximum(
        Tensor.mul(state.largest, beta2),
        Tensor.add(Tensor.abs(g), epsilon)
      )
      return { w: moved(w, rate, Tensor.div(first, largest)), state: { first, largest } }
    }
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RmspropOptions extends WeightDecay {
  /** Of the mean of squares; 0.99 unless told. */
  readonly beta?: number
  /** 1e-8 unless told. */
  readonly epsilon?: number
  /** μ: with it, the step is along b ← μ·b + g/(√v + ε); 0 unless told. */
  readonly momentum?: number
  /** Whether v is the variance, the square of the mean gradient taken off (Graves 2013, arXiv:1308.0850); not unless told. */
  readonly centered?: boolean
}

/**
 * Gradients over the root of their mean square, which is not corrected for its beginning at 0; coupled weight decay. Keeps `second`, the
 * decaying sum of g², and `first`, that of g, and `momentum`, b, if told of them. Eight passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rmsprop = (options: RmspropOptions = {}): Optimizer => {
  const { beta = 0.99, epsilon = 1e-8, momentum = 0, centered = false } = options
  requireAll("Optimizer.rmsprop", "weight", { beta })
  requireAll("Optimizer.rmsprop", "natural", { epsilon, momentum })
  const k = Math.sqrt(1 - beta)
  return rule<"second" | "first" | "momentum", { rate: Scalar; epsilon: Scalar }>("rmsprop", {
    ...options,
    decays: "coupled",
    slots: [
      "second",
      ...(centered ? (["first"] as const) : []),
      ...(momentum > 0 ? (["momentum"] as const) : [])
    ],
    common: ({ rate }) => ({
      rate: Tensor.mul(rate, 1 / k),
      epsilon: Tensor.scalar(epsilon / k)
    }),
    next: ({ w, g, state }, { rate, epsilon }) => {
      const second = decaying(beta, state.second, Tensor.square(g))
      const first = centered ? decaying(beta, state.first, g) : g
      // rounding must not make it negative
      const spread = centered
        ? Tensor.maximum(Tensor.sub(second, Tensor.mul(Tensor.square(first), 1 - beta)), 0)
        : second
      const way = scaled(g, spread, epsilon)
      const sum = momentum > 0 ? decaying(momentum, state.momentum, way) : way
      return { w: moved(w, rate, sum), state: { second, first, momentum: sum } }
    }
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LionOptions extends WeightDecay {
  /** The weight of the mean in the step; 0.9 unless told. */
  readonly beta1?: number
  /** That of what is kept; 0.99 unless told. */
  readonly beta2?: number
}

/**
 * The sign of a mean of gradients (Chen et al. 2023, algorithm 2): w − η·sign(β₁·m + (1 − β₁)·g), m ← β₂·m + (1 − β₂)·g; decoupled weight
 * decay. All numbers move by η, so that rates are three to ten times smaller than Adam's, and λ as much larger. Keeps `first`, the decaying
 * sum of g. Seven passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lion = (options: LionOptions = {}): Optimizer => {
  const { beta1 = 0.9, beta2 = 0.99 } = options
  requireAll("Optimizer.lion", "weight", { beta1, beta2 })
  const share = (beta1 * (1 - beta2)) / (1 - beta1)
  return rule("lion", {
    ...options,
    decays: "decoupled",
    slots: ["first"],
    common: ({ rate }) => ({ rate }),
    next: ({ w, g, state }, { rate }) => ({
      w: moved(w, rate, Tensor.sign(decaying(share, state.first, g))),
      state: { first: decaying(beta2, state.first, g) }
    })
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AdanOptions extends MomentOptions {
  /** β₃, of the mean of squares; 0.99 unless told. */
  readonly beta3?: number
}

/**
 * Adaptive Nesterov momentum (Xie et al. 2022, algorithm 1): w ← (w − η·(m̂ + β₂·d̂)/(√n̂ + ε))/(1 + η·λ), with the means m of g, d of gₜ
 * − gₜ₋₁ and n of (g + β₂·(gₜ − gₜ₋₁))². The β are the weights of what was, 0.98, 0.92 and 0.99 unless told, as in the authors' code; in
 * the paper they are those of what is new. Keeps their decaying sums, `first`, `difference` and `second`, and the gradient, `previous`.
 * Eighteen passes over the numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adan = (options: AdanOptions = {}): Optimizer => {
  const { beta3 = 0.99 } = options
  const { beta1, beta2, epsilon } = moments("adan", options, { beta1: 0.98, beta2: 0.92 })
  requireAll("Optimizer.adan", "weight", { beta3 })
  const { weightDecay = 0 } = options
  return rule("adan", {
    ...options,
    decays: "own",
    slots: ["first", "difference", "second", "previous"],
    common: ({ rate, count }) => {
      const { k, epsilon: e } = root(beta3, epsilon, count)
      const step = Tensor.div(rate, k)
      // the first gradient differs from none
      const later = Tensor.select(Tensor.lessEqual(count, 1), Tensor.scalar(0), 1)
      return {
        first: Tensor.mul(step, unbiased(beta1, count)),
        difference: Tensor.mul(step, Tensor.mul(unbiased(beta2, count), beta2)),
        epsilon: e,
        later,
        ahead: Tensor.mul(later, beta2),
        kept: Tensor.reciprocal(Tensor.add(Tensor.mul(rate, weightDecay), 1))
      }
    },
    next: ({ w, g, state, weightDecay }, common) => {
      const change = Tensor.sub(g, state.previous)
      const first = decaying(beta1, state.first, g)
      const difference = decaying(beta2, state.difference, Tensor.mul(change, common.later))
      const ahead = Tensor.add(g, Tensor.mul(change, common.ahead))
      const second = decaying(beta3, state.second, Tensor.square(ahead))
      const way = Tensor.add(
        Tensor.mul(first, common.first),
        Tensor.mul(difference, common.difference)
      )
      const next = Tensor.sub(w, scaled(way, second, common.epsilon))
      return {
        w: weightDecay > 0 ? Tensor.mul(next, common.kept) : next,
        state: { first, difference, second, previous: g }
      }
    }
  })
}

/** √Σx², a scalar. */
const length = (x: Any): Scalar => Tensor.sqrt(Tensor.sum(Tensor.square(x)))

/**
 * Adam whose steps are as long as the weights, parameter by parameter, for large batches (You et al. 2020, algorithm 2): w − η·(‖w‖/‖r‖)·r
 * with r = m̂/(√v̂ + ε) + λ·w; the ratio is 1 where either norm is 0. ε is 1e-6 and λ 0.01 unless told. State as {@link adam}. Seventeen
 * passes over the numbers, four of them for the norms.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lamb = (options: MomentOptions = {}): Optimizer => {
  const { beta1, beta2, epsilon } = moments("lamb", options, { epsilon: 1e-6 })
  return rule("lamb", {
    weightDecay: 0.01,
    ...defined(options),
    decays: "own",
    slots: ["first", "second"],
    common: ({ rate, count }) => {
      const { k, epsilon: e } = root(beta2, epsilon, count)
      return { rate, mean: Tensor.div(unbiased(beta1, count), k), epsilon: e }
    },
    next: ({ w, g, state, weightDecay }, { rate, mean, epsilon }) => {
      const first = decaying(beta1, state.first, g)
      const second = decaying(beta2, state.second, Tensor.square(g))
      const adam = Tensor.mul(scaled(first, second, epsilon), mean)
      const way = weightDecay > 0 ? Tensor.add(adam, Tensor.mul(w, weightDecay)) : adam
      const [weights, step] = [length(w), length(way)]
      const both = Tensor.and(Tensor.greater(weights, 0), Tensor.greater(step, 0))
      const ratio = Tensor.div(weights, Tensor.select(both, step, 1))
      return {
        w: moved(w, Tensor.mul(rate, Tensor.select(both, ratio, 1)), way),
        state: { first, second }
      }
    }
  })
}

// ── Gradients ────────────────────────────────────────────────────────────────────────────────────

/**
 * The norm of all gradients taken together, √Σg², a scalar.
 *
 * @since 0.1.0
 * @category gradients
 */
export const norm = (gradients: Numbers): Tensor.Tensor<readonly []> =>
  Tensor.sqrt(
    Object.values(gradients)
      .map((each): Scalar => Tensor.sum(Tensor.square(each)))
      .reduce((a, b) => Tensor.add(a, b), Tensor.scalar(0))
  )

/**
 * Gradients shortened together so that their norm is at most `max` (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1), given the norm that
 * they have ({@link norm}): times min(1, max/(norm + 1e-6)), as PyTorch has it. A norm that is not finite stays so.
 *
 * @since 0.1.0
 * @category gradients
 */
export const clipTo = (
  gradients: Numbers,
  norm: Tensor.Tensor<readonly []>,
  max: number
): Numbers => {
  requireAll("Optimizer.clipTo", "positive", { max })
  const factor = Tensor.minimum(Tensor.div(max, Tensor.add(norm, 1e-6)), 1)
  return each(gradients, (g) => Tensor.mul(g, factor))
}

/**
 * Gradients with every number put between −`max` and `max`.
 *
 * @since 0.1.0
 * @category gradients
 */
export const clipValues = (gradients: Numbers, max: number): Numbers => {
  requireAll("Optimizer.clipValues", "positive", { max })
  return each(gradients, (g) => Tensor.clip(g, { min: -max, max }))
}

const each = (numbers: Numbers, f: (x: Any) => Any): Numbers =>
  Object.fromEntries(Object.entries(numbers).map(([path, x]) => [path, f(x)]))

const before = (
  optimizer: Optimizer,
  name: string,
  f: (gradients: Numbers) => Numbers
): Optimizer => ({
  ...optimizer,
  name: `${optimizer.name}, ${name}`,
  update: (step) => optimizer.update({ ...step, gradients: f(step.gradients) })
})

/**
 * An optimiser that is given gradients shortened together to a norm of at most `max`; see {@link clipTo}.
 *
 * ```ts
 * const optimizer = Optimizer.clipByGlobalNorm(Optimizer.adam(), 1)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const clipByGlobalNorm: {
  (max: number): (self: Optimizer) => Optimizer
  (self: Optimizer, max: number): Optimizer
} = dual(2, (self: Optimizer, max: number) => {
  requireAll("Optimizer.clipByGlobalNorm", "positive", { max })
  return before(self, `gradients of norm up to ${max}`, (gradients) =>
    clipTo(gradients, norm(gradients), max)
  )
})

/**
 * An optimiser that is given gradients whose every number is put between −`max` and `max`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const clipByValue: {
  (max: number): (self: Optimizer) => Optimizer
  (self: Optimizer, max: number): Optimizer
} = dual(2, (self: Optimizer, max: number) => {
  requireAll("Optimizer.clipByValue", "positive", { max })
  return before(self, `gradients up to ${max}`, (gradients) => clipValues(gradients, max))
})

// ── Configurations ───────────────────────────────────────────────────────────────────────────────

const number = Schema.optionalKey(Schema.Finite)
const flag = Schema.optionalKey(Schema.Boolean)
const decays = {
  weightDecay: number,
  decay: Schema.optionalKey(Schema.Literals(["all", "matrices"]))
} as const
const momentFields = { ...decays, beta1: number, beta2: number, epsilon: number } as const
const adamFields = { ...momentFields, amsgrad: flag } as const

/** An optimiser's name and its options; the compiler holds them to those of its maker. */
const named = <
  const N extends string,
  O,
  const F extends { readonly [K in keyof O]-?: Schema.Codec<any, any> }
>(
  name: N,
  _: (options?: O) => Optimizer,
  fields: F & { readonly [K in Exclude<keyof F, keyof O>]: never }
): Schema.Struct<{ readonly name: Schema.Literal<N> } & F> =>
  Schema.Struct({ name: Schema.Literal(name), ...fields }) as never

/**
 * Optimisers by name, with their options as JSON holds them; `decay` says whether all parameters decay or only {@link matrices}.
 *
 * ```json
 * { "name": "adamw", "beta2": 0.99, "weightDecay": 0.05, "decay": "matrices" }
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const Config = Schema.Union([
  named("sgd", sgd, { ...decays, momentum: number, dampening: number, nesterov: flag }),
  named("adam", adam, adamFields),
  named("adamw", adamw, adamFields),
  named("nadam", nadam, { ...momentFields, momentumDecay: number, decoupled: flag }),
  named("radam", radam, { ...momentFields, decoupled: flag }),
  named("adamax", adamax, momentFields),
  named("rmsprop", rmsprop, {
    ...decays,
    beta: number,
    epsilon: number,
    momentum: number,
    centered: flag
  }),
  named("lion", lion, { ...decays, beta1: number, beta2: number }),
  named("adan", adan, { ...momentFields, beta3: number }),
  named("lamb", lamb, momentFields)
])

/**
 * @since 0.1.0
 * @category configurations
 */
export type Config = typeof Config.Type

type Makers = {
  readonly [N in Config["name"]]: (
    options: Omit<Extract<Config, { readonly name: N }>, "name" | "decay"> & {
      readonly decay?: Decay
    }
  ) => Optimizer
}

const makers: Makers = { sgd, adam, adamw, nadam, radam, adamax, rmsprop, lion, adan, lamb }

/**
 * The optimiser that a configuration tells. Throws `TrainError` for a name, an option or a value that is not known, with the nearest
 * that is.
 *
 * ```ts
 * const optimizer = Optimizer.of({ name: "adam", beta2: 0.99 })
 * ```
 *
 * @since 0.1.0
 * @category configurations
 */
export const of = (config: Config): Optimizer => {
  const { name, decay, ...options } = decodeUnsafe("Optimizer", Config, config)
  const make = makers[name] as (options: object) => Optimizer
  return make({ ...options, ...(decay === "matrices" ? { decay: matrices } : {}) })
}
