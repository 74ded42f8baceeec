/**
 * Optimisers: pure rules that make new parameters of old ones and their gradients, as expressions.
 *
 * @since 0.1.0
 */
import { Tensor } from "../Tensor/index.ts"
import { demand, requireAll } from "./internal/config.ts"

/**
 * Tensors by a parameter's path: parameters, their gradients, and what an optimiser keeps for each.
 *
 * @since 0.1.0
 * @category models
 */
export type Numbers = Readonly<Record<string, Tensor.Tensor>>

/**
 * What an optimiser carries from update to update, by name and then by a parameter's path.
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
  /** The learning rate. */
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
 * An update rule. `init` gives what it carries before the first update; `update` makes an update.
 *
 * @since 0.1.0
 * @category models
 */
export interface Optimizer {
  readonly name: string
  readonly init: (parameters: Numbers) => State
  readonly update: (step: Step) => Updated
}

/**
 * Whether a parameter's weights decay.
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
  /** λ; see each rule for its use and default. */
  readonly weightDecay?: number
  /** Which parameters; all unless told. {@link matrices} leaves out biases and the scales of norms, as is usual. */
  readonly decay?: Decay
}

/**
 * Parameters with two or more axes: matrices and kernels, not biases and the scales of norms.
 *
 * @since 0.1.0
 * @category instances
 */
export const matrices: Decay = (_, { shape }) => shape.length >= 2

type Scalar = Tensor.Tensor<readonly []>

/** One parameter and what belongs to it. */
interface One<S extends string> {
  readonly w: Tensor.Tensor
  readonly g: Tensor.Tensor
  readonly state: Readonly<Record<S, Tensor.Tensor>>
}

/** A parameter's next value, and what is kept for it. */
interface Next<S extends string> {
  readonly w: Tensor.Tensor
  readonly state: { readonly [K in S]?: Tensor.Tensor }
}

/** The tensor of a path. */
const of = (what: string, numbers: Numbers | undefined, path: string): Tensor.Tensor => {
  demand(
    numbers !== undefined && Object.hasOwn(numbers, path),
    what,
    `there is no ${path}; give what \`init\` makes of the same parameters`
  )
  return (numbers as Numbers)[path]
}

/** A rule that treats every parameter on its own, from `slots`, which begin with zeros, and from what all have in common. */
const rule = <S extends string, K>(
  name: string,
  slots: ReadonlyArray<S>,
  common: (step: Step) => K,
  next: (one: One<S>, common: K) => Next<S>,
  decay: {
    readonly weightDecay: number
    readonly decay?: Decay | undefined
    readonly decoupled: boolean
  }
): Optimizer => {
  const what = `Optimizer.${name}`
  requireAll(what, "natural", { weightDecay: decay.weightDecay })
  const collect = (entries: ReadonlyArray<readonly [string, Next<S>["state"]]>): State =>
    Object.fromEntries(
      slots.map((slot) => [
        slot,
        Object.fromEntries(entries.map(([path, state]) => [path, state[slot] as Tensor.Tensor]))
      ])
    )
  return {
    name,
    init: (parameters) =>
      collect(
        Object.entries(parameters).map(([path, each]) => [
          path,
          Object.fromEntries(slots.map((slot) => [slot, Tensor.zerosLike(each)])) as never
        ])
      ),
    update: (step) => {
      const shared = common(step)
      const kept = Tensor.sub(1, Tensor.mul(step.rate, decay.weightDecay))
      const updated = Object.entries(step.parameters).map(([path, w]): [string, Next<S>] => {
        const state = Object.fromEntries(
          slots.map((slot) => [slot, of(`${what}: state.${slot}`, step.state[slot], path)])
        ) as Record<S, Tensor.Tensor>
        const g = of(`${what}: gradients`, step.gradients, path)
        if (decay.weightDecay === 0 || decay.decay?.(path, w) === false)
          return [path, next({ w, g, state }, shared)]
        return [
          path,
          decay.decoupled
            ? next({ w: Tensor.mul(w, kept), g, state }, shared)
            : next({ w, g: Tensor.add(g, Tensor.mul(w, decay.weightDecay)), state }, shared)
        ]
      })
      return {
        parameters: Object.fromEntries(updated.map(([path, each]) => [path, each.w])),
        state: collect(updated.map(([path, each]) => [path, each.state]))
      }
    }
  }
}

/** 1 − βᵗ, without the loss of digits that the subtraction brings where βᵗ is near 1. */
const correction = (beta: number, count: Scalar): Scalar =>
  beta === 0 ? Tensor.scalar(1) : Tensor.neg(Tensor.expm1(Tensor.mul(count, Math.log(beta))))

/** β·sum + x. */
const decayed = (sum: Tensor.Tensor, beta: number, x: Tensor.Tensor): Tensor.Tensor =>
  beta === 0 ? x : Tensor.add(Tensor.mul(sum, beta), x)

/**
 * Stochastic gradient descent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sgd = (
  options: WeightDecay & {
    readonly momentum?: number
    readonly dampening?: number
    readonly nesterov?: boolean
  } = {}
): Optimizer => {
  const { momentum = 0, dampening = 0, nesterov = false, weightDecay = 0, decay } = options
  requireAll("Optimizer.sgd", "natural", { momentum })
  requireAll("Optimizer.sgd", "fraction", { dampening })
  demand(
    !nesterov || (momentum > 0 && dampening === 0),
    "Optimizer.sgd",
    "`nesterov` needs a momentum above 0 and no dampening"
  )
  return rule(
    "sgd",
    momentum === 0 ? [] : ["momentum"],
    ({ rate, count }) => ({
      rate,
      // the first gradient is taken whole
      fresh: Tensor.select(Tensor.lessEqual(count, 1), Tensor.scalar(1), 1 - dampening)
    }),
    ({ w, g, state }, { rate, fresh }) => {
      const moved = (by: Tensor.Tensor) => Tensor.sub(w, Tensor.mul(by, rate))
      if (momentum === 0) return { w: moved(g), state: {} }
      const sum = decayed(state.momentum, momentum, dampening === 0 ? g : Tensor.mul(g, fresh))
      return { w: moved(nesterov ? decayed(sum, momentum, g) : sum), state: { momentum: sum } }
    },
    { weightDecay, decay, decoupled: false }
  )
}

/**
 * What Adam and its kin have in common.
 *
 * @since 0.1.0
 * @category models
 */
export interface AdamOptions extends WeightDecay {
  /** Of the mean of the gradients; 0.9 unless told. */
  readonly beta1?: number
  /** Of the mean of their squares; 0.999 unless told. */
  readonly beta2?: number
  /** Added to the root of the mean square; 1e-8 unless told. */
  readonly epsilon?: number
}

const adamLike = (
  name: string,
  options: AdamOptions & { readonly amsgrad?: boolean },
  defaultDecay: number,
  decoupled: boolean
): Optimizer => {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, amsgrad = false } = options
  const { weightDecay = defaultDecay, decay } = options
  requireAll(`Optimizer.${name}`, "weight", { beta1, beta2 })
  requireAll(`Optimizer.${name}`, "natural", { epsilon })
  return rule(
    name,
    ["first", "second", ...(amsgrad ? (["largest"] as const) : [])],
    ({ rate, count }) => {
      const root = Tensor.sqrt(Tensor.div(1 - beta2, correction(beta2, count)))
      const scale = Tensor.mul(correction(beta1, count), root)
      return {
        rate: Tensor.div(Tensor.mul(rate, 1 - beta1), scale),
        epsilon: Tensor.div(epsilon, root)
      }
    },
    ({ w, g, state }, { rate, epsilon }) => {
      const first = decayed(state.first, beta1, g)
      const second = decayed(state.second, beta2, Tensor.square(g))
      const largest = amsgrad ? Tensor.maximum(state.largest, second) : second
      const ratio = Tensor.div(first, Tensor.add(Tensor.sqrt(largest), epsilon))
      return { w: Tensor.sub(w, Tensor.mul(ratio, rate)), state: { first, second, largest } }
    },
    { weightDecay, decay, decoupled }
  )
}

/**
 * Adam.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adam = (options: AdamOptions & { readonly amsgrad?: boolean } = {}): Optimizer =>
  adamLike("adam", options, 0, false)

/**
 * Adam with decoupled weight decay.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adamw = (options: AdamOptions & { readonly amsgrad?: boolean } = {}): Optimizer =>
  adamLike("adamw", options, 0.01, true)

/**
 * The norm of all gradients taken together, √Σg², a scalar.
 *
 * @since 0.1.0
 * @category gradients
 */
export const norm = (gradients: Numbers): Scalar =>
  Tensor.sqrt(
    Object.values(gradients)
      .map((each): Scalar => Tensor.sum(Tensor.square(each)))
      .reduce((a, b) => Tensor.add(a, b), Tensor.scalar(0))
  )

/**
 * Gradients scaled down together so that their norm is at most `max`; `norm` is what it is now, from {@link norm}.
 *
 * @since 0.1.0
 * @category gradients
 */
export const clipTo = (gradients: Numbers, norm: Scalar, max: number): Numbers => {
  requireAll("Optimizer.clipTo", "positive", { max })
  // as PyTorch has it, so that a norm of 0 does not divide
  const factor = Tensor.minimum(Tensor.div(max, Tensor.add(norm, 1e-6)), 1)
  return Object.fromEntries(
    Object.entries(gradients).map(([path, each]): [string, Tensor.Tensor] => [
      path,
      Tensor.mul(each, factor)
    ])
  )
}
