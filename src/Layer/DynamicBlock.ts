/**
 * Dynamic blocks: layers that are differential equations (Chen et al. 2018, arXiv:1806.07366; Cheng et al. 2023, arXiv:2302.00626).
 *
 * Of first order, the input is the state at t = 0, the output that at t = 1:
 *
 *     x' = f(t, x, c),  x(0) = input,  output = x(1).
 *
 * Of second order (Norcliffe et al. 2020, arXiv:2006.07220), the initial velocity comes from a network g, and the output is the
 * position:
 *
 *     x' = v,  v' = f(t, x, v, c),  x(0) = input,  v(0) = g(input, c),  output = x(1).
 *
 * f and g are layers. Their condition is the block's own c (such as an embedding of the diffusion's time), and for f also the
 * equation's own time `t`.
 *
 * Under a controller each sample takes its own steps. One whose equation is not solved to the end, because the steps that it may try do
 * not suffice, say, comes out as NaN, so that no network trains on half an equation; an observer is shown the status, and how far
 * it came (`Layer.Integration`).
 *
 * @since 0.1.0
 */
import {
  Adaptive,
  type Adjoint,
  Carrier,
  Method,
  SecondOrder,
  SolverError
} from "../Solver/index.ts"
import { Expression, Tensor } from "../Tensor/index.ts"
import type { Integrator } from "./Integrator.ts"
import { floatOf } from "./internal/features.ts"
import { place } from "./internal/place.ts"
import type { Any, Context, Layer, Observer } from "./Layer.ts"
import { ConfigError } from "./LayerError.ts"

/**
 * The equation's own time: a number; under a controller one of each sample, `[batch]`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Time {
  readonly t: Tensor.Tensor
}

/**
 * What a block's condition is, where that of its derivative is `C`: the same without the equation's time.
 *
 * @since 0.1.0
 * @category types
 */
export type Outside<C> = unknown extends C
  ? unknown
  : Exclude<keyof C, keyof Time> extends never
    ? unknown
    : Omit<C, keyof Time>

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly integrator: Integrator
  /**
   * Channels of zeros beside the input's (Dupont et al. 2019, arXiv:1904.01681), which the equation may use and the output lacks; 0
   * unless told. f and g must take them, and g and f give them.
   */
  readonly augment?: number
  /** The times of input and output; 0 and 1 unless told. */
  readonly from?: number
  readonly to?: number
}

/**
 * What goes into a block whose equation is one of `X`, and what comes out: the same, unless there are channels beside it.
 *
 * @since 0.1.0
 * @category types
 */
export type Within<X extends Tensor.Tensor, A extends number> = A extends 0 ? X : Tensor.Tensor

/** A vector with zeros as further channels. */
const augmented = (x: Tensor.Tensor, channels: number): Tensor.Tensor => {
  if (channels === 0) return x
  const [n, , ...space] = x.shape
  const zeros = Tensor.zeros([n, channels, ...space], floatOf(x)) as Tensor.Tensor
  return Tensor.concat([x, zeros], { axis: 1 }) as Tensor.Tensor
}

const isSecondOrder = (method: Integrator["method"]): method is SecondOrder.Method =>
  "drift" in method || "x" in method

/** How a block is integrated: a system, its start, what leaves the block, and the derivatives taken so far. */
interface System<V, P> {
  readonly stepper: Adjoint.Problem<V, P>["stepper"]
  readonly y: V
  readonly parameters: P
  readonly output: (y: V) => Tensor.Tensor
  readonly taken: ReadonlyArray<Tensor.Any>
  readonly once: (observer: Observer) => void
}

/** Those of the derivatives that a result depends on: what comes last moves the velocity alone, which does not leave the block. */
const needed = (result: Tensor.Any, taken: ReadonlyArray<Tensor.Any>): number => {
  const nodes = new Set(Expression.sorted([result]))
  return taken.filter(({ node }) => nodes.has(node)).length
}

/** NaN for samples whose equation was not solved to the end. */
const solved = (y: Tensor.Tensor, status: Tensor.Any): Tensor.Tensor => {
  const off = Tensor.abs(Tensor.sub(status as Tensor.Tensor, Adaptive.status.done))
  const arrived = Tensor.reshape(Tensor.less(off, 0.5), [-1, ...y.shape.slice(1).map(() => 1)])
  return Tensor.select(arrived, y, Number.NaN) as Tensor.Tensor
}

const integrate = <V, P>(
  { integrator, from = 0, to = 1 }: Options,
  { stepper, y, parameters, output, taken, once }: System<V, P>,
  { path = "", observer }: Context
): Tensor.Tensor => {
  const { steps, adjoint, maximumSteps } = integrator
  const problem: Adjoint.Problem<V, P> = {
    stepper,
    from,
    to,
    steps,
    ...(maximumSteps === undefined ? {} : { maximumSteps })
  }
  const { saved: _, ...outcome } = adjoint.integrate(problem, y, parameters)
  const result = "safety" in steps ? solved(output(outcome.y), outcome.status) : output(outcome.y)
  if (observer !== undefined) {
    const written = taken.length
    const { name, evaluations: each } = stepper(parameters)
    const all = "count" in steps ? each.start + steps.count * each.step : undefined
    const evaluations = all === written ? needed(result, taken) : all
    observer.integrated(path, { name, outcome, evaluations, once })
  }
  return result
}

/** Under a controller each sample takes its own steps, so that its neighbours do not matter. */
const carrierOf = <V>(x: Tensor.Any, { steps }: Integrator) =>
  Carrier.tensor<V>({
    dtype: floatOf(x),
    ...("safety" in steps ? { systems: x.shape[0] } : {})
  })

/** What was found of integrators: a network has many blocks, and one integrator. */
const obstacles = new WeakMap<Integrator, Map<string, string | undefined>>()

/**
 * Why nothing can be integrated so, with the remedy, if that is so: it is tried with an equation of one number, once for each kind of
 * equation.
 */
const obstacle = <V>(
  kind: string,
  options: Options,
  stepper: Adjoint.Problem<V, {}>["stepper"],
  y: V
): string | undefined => {
  const { integrator, from = 0, to = 1 } = options
  const known = obstacles.get(integrator) ?? new Map<string, string | undefined>()
  obstacles.set(integrator, known)
  const key = `${kind} from ${from} to ${to}`
  if (!known.has(key)) known.set(key, tried(options, stepper, y))
  return known.get(key)
}

const tried = <V>(
  options: Options,
  stepper: Adjoint.Problem<V, {}>["stepper"],
  y: V
): string | undefined => {
  const output = () => one
  const system = { stepper, y, parameters: {}, output, taken: [], once: () => {} }
  try {
    integrate(options, system, {})
    return undefined
  } catch (error) {
    if (error instanceof SolverError.ProblemError) return error.message
    throw error
  }
}

const one = Tensor.zeros([1, 1]) as Tensor.Tensor

const unable = (what: string, reason: string): ConfigError =>
  new ConfigError({ what, path: "integrator", message: `${what}: integrator: ${reason}` })

/**
 * A block of first order. Throws `ConfigError` for a method of second order, and for an integrator whose parts do not go together:
 * controlled steps need a method that estimates its error, the reversible adjoint one whose steps have an inverse.
 *
 * @since 0.1.0
 * @category constructors
 */
export const first = <P, C, X extends Tensor.Tensor, const A extends number = 0>(
  options: Options & {
    readonly derivative: Layer<P, X, NoInfer<X>, C>
    readonly augment?: A
  }
): Layer<{ readonly derivative: P }, Within<X, A>, Within<X, A>, Outside<C>> => {
  const { derivative, integrator, augment = 0 } = options
  const { method } = integrator
  if (isSecondOrder(method)) {
    throw new ConfigError({
      what: "DynamicBlock.first",
      path: "method",
      message: `DynamicBlock.first: ${method.name} is for equations of second order, x'' = f(t, x, v): take a method for y' = f(t, y), such as Tableau.rk38, or DynamicBlock.second`
    })
  }
  const reason = obstacle(
    "first",
    options,
    () => Method.bind(method, carrierOf<Tensor.Tensor>(one, integrator), (_, y) => y),
    one
  )
  if (reason !== undefined) throw unable("DynamicBlock.first", reason)
  return {
    kind: "dynamic block, first order",
    parameters: { derivative: derivative.parameters },
    apply: (values, input, ...[condition, context = {}]) => {
      const y = augmented(input, augment)
      const slopes = slopesOf(derivative, context, "derivative")
      const f = ({ values, condition }: typeof parameters, observer?: Observer) => {
        const slope = slopes.of(values, observer)
        return (t: Tensor.Any, y: Tensor.Tensor) => slope(y, { ...condition, t })
      }
      // adjoints see what is a parameter, and nothing else
      const parameters = { values: values.derivative, condition: condition ?? {} }
      const system: System<Tensor.Tensor, typeof parameters> = {
        stepper: (given) => Method.bind(method, carrierOf<Tensor.Tensor>(y, integrator), f(given)),
        y,
        parameters,
        output: (end) => channels(end, input.shape[1]),
        taken: slopes.taken,
        once: (observer) => f(parameters, observer)(startTime(y, options), y)
      }
      return integrate(options, system, context) as never
    }
  }
}

/**
 * A block of second order. With `velocityFree`, for an f that does not look at the velocity, symplectic methods have an inverse. Throws
 * `ConfigError` for an integrator whose parts do not go together, as {@link first}.
 *
 * What moves the velocity alone in the last step has no part in the output and is not computed: of one step of the 3/8 rule the
 * last evaluation, and of one step of Euler's method the only one, so that f then learns nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const second = <P, G, C, X extends Tensor.Tensor, const A extends number = 0>(
  options: Options & {
    readonly acceleration: Layer<P, SecondOrder.State<X>, NoInfer<X>, C>
    readonly velocity: Layer<G, NoInfer<X>, NoInfer<X>, Outside<C>>
    readonly velocityFree?: boolean
    readonly augment?: A
  }
): Layer<
  { readonly acceleration: P; readonly velocity: G },
  Within<X, A>,
  Within<X, A>,
  Outside<C>
> => {
  const { acceleration, velocity, integrator, augment = 0, velocityFree = false } = options
  const { method } = integrator
  type Acceleration = SecondOrder.Acceleration<Tensor.Tensor, Tensor.Any>
  const bound = (x: Tensor.Any, f: Acceleration, free: boolean) => {
    const carrier = carrierOf<Tensor.Tensor>(x, integrator)
    return isSecondOrder(method)
      ? SecondOrder.stepper(method, carrier, f, { velocityFree: free })
      : Method.bind(method, SecondOrder.pair(carrier), SecondOrder.reduce(f))
  }
  const obstacleOf = (free: boolean) =>
    obstacle(`second, ${free}`, options, () => bound(one, (_, x) => x, free), { x: one, v: one })
  const reason = obstacleOf(velocityFree)
  if (reason !== undefined) {
    const helps = !velocityFree && obstacleOf(true) === undefined
    throw unable(
      "DynamicBlock.second",
      helps ? `${reason}; or velocityFree, with which this method's steps have one` : reason
    )
  }
  return {
    kind: "dynamic block, second order",
    parameters: { acceleration: acceleration.parameters, velocity: velocity.parameters },
    apply: (values, input, ...[condition, context = {}]) => {
      const x = augmented(input, augment)
      const v = place(velocity, values.velocity, context, "velocity")(x, condition) as typeof x
      const slopes = slopesOf(acceleration, context, "acceleration")
      const f = ({ values, condition }: typeof parameters, observer?: Observer) => {
        const slope = slopes.of(values, observer)
        return (t: Tensor.Any, x: Tensor.Tensor, v: Tensor.Tensor) =>
          slope({ x, v }, { ...condition, t })
      }
      const parameters = { values: values.acceleration, condition: condition ?? {} }
      const system: System<SecondOrder.State<Tensor.Tensor>, typeof parameters> = {
        stepper: (given) => bound(x, f(given), velocityFree),
        y: { x, v },
        parameters,
        output: (end) => channels(end.x, input.shape[1]),
        taken: slopes.taken,
        once: (observer) => f(parameters, observer)(startTime(x, options), x, v)
      }
      return integrate(options, system, context) as never
    }
  }
}

/** The first channels. */
const channels = (x: Tensor.Tensor, count: number): Tensor.Tensor =>
  x.shape[1] === count
    ? x
    : (Tensor.split(x, [count, x.shape[1] - count], { axis: 1 })[0] as Tensor.Tensor)

const startTime = (x: Tensor.Any, { integrator, from = 0 }: Options): Tensor.Any =>
  carrierOf(x, integrator).scalar(from)

/** A derivative's values, all of which are kept; its layers tell of themselves once, not at each evaluation. */
const slopesOf = (derivative: Any, { observer: _, ...context }: Context, name: string) => {
  const taken: Array<Tensor.Any> = []
  return {
    taken,
    of: (values: unknown, observer: Observer | undefined) => {
      const within = observer === undefined ? context : { ...context, observer }
      const apply = place(derivative, values, within, name)
      return (input: unknown, condition: unknown): Tensor.Tensor => {
        const slope = apply(input, condition) as Tensor.Tensor
        taken.push(slope)
        return slope
      }
    }
  }
}
