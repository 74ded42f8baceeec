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
 * @since 0.1.0
 */
import { type Adjoint, Carrier, Method, SecondOrder } from "../Solver/index.ts"
import { Tensor } from "../Tensor/index.ts"
import type { Integrator } from "./Integrator.ts"
import { floatOf } from "./internal/features.ts"
import { place } from "./internal/place.ts"
import type { Context, Layer, Observer } from "./Layer.ts"
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

/** A vector with zeros as further channels. */
const augmented = (x: Tensor.Tensor, channels: number): Tensor.Tensor => {
  if (channels === 0) return x
  const [n, , ...space] = x.shape
  const zeros = Tensor.zeros([n, channels, ...space], floatOf(x)) as Tensor.Tensor
  return Tensor.concat([x, zeros], { axis: 1 }) as Tensor.Tensor
}

const isSecondOrder = (method: Integrator["method"]): method is SecondOrder.Method =>
  "drift" in method || "x" in method

const integrate = <V, P>(
  { integrator, from = 0, to = 1 }: Options,
  stepper: Adjoint.Problem<V, P>["stepper"],
  y: V,
  parameters: P,
  { path = "", observer }: Context,
  once: (observer: Observer) => void
): V => {
  const { steps, adjoint, maximumSteps } = integrator
  const problem: Adjoint.Problem<V, P> = {
    stepper,
    from,
    to,
    steps,
    ...(maximumSteps === undefined ? {} : { maximumSteps })
  }
  const { saved: _, ...outcome } = adjoint.integrate(problem, y, parameters)
  if (observer !== undefined) {
    const { name, evaluations } = stepper(parameters)
    const { start, step } = evaluations
    observer.integrated(path, {
      name,
      outcome,
      evaluations: "count" in steps ? start + steps.count * step : undefined,
      once
    })
  }
  return outcome.y
}

/** Under a controller each sample takes its own steps, so that its neighbours do not matter. */
const carrierOf = <V>(x: Tensor.Any, { steps }: Integrator) =>
  Carrier.tensor<V>({
    dtype: floatOf(x),
    ...("safety" in steps ? { systems: x.shape[0] } : {})
  })

/**
 * A block of first order. Throws `ConfigError` for a method of second order.
 *
 * @since 0.1.0
 * @category constructors
 */
export const first = <P, C>(
  options: Options & {
    readonly derivative: Layer<P, Tensor.Tensor, Tensor.Tensor, C & Time>
  }
): Layer<{ readonly derivative: P }, Tensor.Tensor, Tensor.Tensor, C> => {
  const { derivative, integrator, augment = 0 } = options
  const { method } = integrator
  if (isSecondOrder(method)) {
    throw new ConfigError({
      what: "DynamicBlock.first",
      path: "method",
      message: `DynamicBlock.first: ${method.name} is for equations of second order, x'' = f(t, x, v): take a method for y' = f(t, y), such as Tableau.rk38, or DynamicBlock.second`
    })
  }
  return {
    parameters: { derivative: derivative.parameters },
    apply: (values, input, ...[condition, context = {}]) => {
      const y = augmented(input, augment)
      // adjoints see what is a parameter, and nothing else
      const parameters = { values: values.derivative, condition: condition ?? {} }
      const f =
        (given: typeof parameters, observer?: Observer) =>
        (t: Tensor.Any, y: Tensor.Tensor): Tensor.Tensor =>
          place(
            derivative,
            given.values,
            seenBy(context, observer),
            "derivative"
          )(y, {
            ...given.condition,
            t
          }) as Tensor.Tensor
      const bind = (given: typeof parameters) =>
        Method.bind(method, carrierOf<Tensor.Tensor>(y, integrator), f(given))
      const end = integrate(options, bind, y, parameters, context, (observer) =>
        f(parameters, observer)(startTime(y, options), y)
      )
      return augment === 0 ? end : channels(end, input.shape[1])
    }
  }
}

/**
 * A block of second order. With `velocityFree`, for an f that does not look at the velocity, symplectic methods have an inverse.
 *
 * @since 0.1.0
 * @category constructors
 */
export const second = <P, G, C>(
  options: Options & {
    readonly acceleration: Layer<P, SecondOrder.State<Tensor.Tensor>, Tensor.Tensor, C & Time>
    readonly velocity: Layer<G, Tensor.Tensor, Tensor.Tensor, C>
    readonly velocityFree?: boolean
  }
): Layer<{ readonly acceleration: P; readonly velocity: G }, Tensor.Tensor, Tensor.Tensor, C> => {
  const { acceleration, velocity, integrator, augment = 0, velocityFree = false } = options
  return {
    parameters: { acceleration: acceleration.parameters, velocity: velocity.parameters },
    apply: (values, input, ...[condition, context = {}]) => {
      const x = augmented(input, augment)
      const v = place(velocity, values.velocity, context, "velocity")(x, condition) as typeof x
      const parameters = { values: values.acceleration, condition: condition ?? {} }
      const f =
        (given: typeof parameters, observer?: Observer) =>
        (t: Tensor.Any, x: Tensor.Tensor, v: Tensor.Tensor): Tensor.Tensor =>
          place(
            acceleration,
            given.values,
            seenBy(context, observer),
            "acceleration"
          )({ x, v }, { ...given.condition, t }) as Tensor.Tensor
      const { method } = integrator
      const bind = (given: typeof parameters) => {
        const carrier = carrierOf<Tensor.Tensor>(x, integrator)
        return isSecondOrder(method)
          ? SecondOrder.stepper(method, carrier, f(given), { velocityFree })
          : Method.bind(method, SecondOrder.pair(carrier), SecondOrder.reduce(f(given)))
      }
      const state: SecondOrder.State<Tensor.Tensor> = { x, v }
      const end = integrate(options, bind, state, parameters, context, (observer) =>
        f(parameters, observer)(startTime(x, options), x, v)
      )
      return augment === 0 ? end.x : channels(end.x, input.shape[1])
    }
  }
}

const channels = (x: Tensor.Tensor, count: number): Tensor.Tensor =>
  Tensor.split(x, [count, x.shape[1] - count], { axis: 1 })[0] as Tensor.Tensor

const startTime = (x: Tensor.Any, { integrator, from = 0 }: Options): Tensor.Any =>
  carrierOf(x, integrator).scalar(from)

/** What the derivative's layers tell of themselves, they tell once, not at each of its evaluations. */
const seenBy = ({ observer: _, ...context }: Context, observer: Observer | undefined): Context => ({
  ...context,
  ...(observer === undefined ? {} : { observer })
})
