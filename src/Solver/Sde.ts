/**
 * Stochastic differential equations dy = f(t, y) dt + g(t, y) dW, driven by a {@link Brownian.Path}.
 *
 * ```ts
 * const path = Brownian.tree(Brownian.number(HostRandom.key(7)), { from: 0, to: 1 })
 * const stepper = Sde.stepper(
 *   Sde.milstein,
 *   Carrier.number,
 *   { drift: (_, y) => 0.5 * y, diffusion: (_, y) => 0.3 * y, noise: "diagonal" },
 *   path
 * )
 * ```
 *
 * Orders are strong ones: the expected distance from the solution on the same path shrinks as h to that power.
 *
 * Time may run backwards: a step from t to t + h with h < 0 takes the path's increment from t to t + h. With Stratonovich's
 * integral that goes back along the solution; Itô's integral is then that of the path as it is run through.
 *
 * @since 0.1.0
 */
import type { Increment, Path } from "./Brownian.ts"
import type { Carrier } from "./Carrier.ts"
import { ProblemError } from "./SolverError.ts"
import { later, line, type RightHandSide, type Step, type Stepper, times } from "./Stepper.ts"

/**
 * How noise enters:
 *
 * - `"diagonal"`: each element has a Brownian motion of its own, and gᵢ(t, y) depends on no element of y but yᵢ
 * - `"scalar"`: all elements share one Brownian motion, a path of scalars
 * - `"additive"`: each element has a Brownian motion of its own, and g depends on t only
 *
 * @since 0.1.0
 * @category models
 */
export type Noise = "diagonal" | "scalar" | "additive"

/**
 * Which integral ∫ g dW is. With additive noise both are the same.
 *
 * @since 0.1.0
 * @category models
 */
export type Interpretation = "ito" | "stratonovich"

/**
 * dy = f(t, y) dt + g(t, y) dW.
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem<V, S, N extends Noise = Noise> {
  readonly drift: RightHandSide<V, S>
  /** Of the state's shape, whatever the noise. */
  readonly diffusion: RightHandSide<V, S>
  readonly noise: N
  /** `"ito"` unless told. */
  readonly interpretation?: Interpretation
  /**
   * How g changes when y moves along a vector, ∂g/∂y·v: with it Milstein's method is exact instead of taking a difference of
   * g. On tensors `Gradient.jvp(g(t, y), y, v)` gives it.
   */
  readonly derivative?: (t: S, y: V, v: V) => V
}

/** The path that a kind of noise needs. */
type PathOf<V, S, N extends Noise> = Path<N extends "scalar" ? S : V, S>

/** A problem on its path: what a method is made of. */
interface Equation<V, S, B> extends Problem<V, S> {
  readonly carrier: Carrier<V, S, B>
  /** The path's increment over a step, as what it makes of g. */
  readonly increment: (t: S, h: S | number) => Increment<(g: V) => V>
}

/** The part of a stepper that methods differ in. */
type Rule<V, S, B, M> = Pick<Stepper<V, S, B, M, Empty>, "evaluations" | "start" | "inverse"> & {
  readonly step: (t: S, h: S | number, y: V, memory: M) => { readonly y: V; readonly memory: M }
}

type Empty = Readonly<Record<string, never>>

/**
 * A method for stochastic differential equations.
 *
 * @since 0.1.0
 * @category models
 */
export interface Method {
  readonly name: string
  /** The kinds of noise that it can treat, with its strong order for each. */
  readonly order: { readonly [N in Noise]?: number }
  readonly interpretations: ReadonlyArray<Interpretation>
  readonly rule: <V, S, B>(equation: Equation<V, S, B>) => Rule<V, S, B, any>
}

/** A method that remembers nothing. */
const oneStep =
  (
    evaluations: number,
    advance: <V, S, B>(equation: Equation<V, S, B>, t: S, h: S | number, y: V) => V
  ): Method["rule"] =>
  <V, S, B>(equation: Equation<V, S, B>): Rule<V, S, B, Empty> => ({
    evaluations: { start: 0, step: evaluations },
    start: () => ({}),
    step: (t, h, y) => ({ y: advance(equation, t, h, y), memory: {} })
  })

/**
 * The method of Euler and Maruyama (Maruyama 1955): y + hf + gw. Itô. Of order 1/2, with additive noise 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const eulerMaruyama: Method = {
  name: "Euler–Maruyama",
  order: { diagonal: 0.5, scalar: 0.5, additive: 1 },
  interpretations: ["ito"],
  rule: oneStep(1, ({ carrier, drift, diffusion, increment }, t, h, y) =>
    carrier.combine([
      [1, y],
      [h, drift(t, y)],
      [1, increment(t, h).w(diffusion(t, y))]
    ])
  )
}

/** a/b. */
const ratio = <V, S, B>({ scalar, div }: Carrier<V, S, B>, a: number, b: S | number): S | number =>
  typeof b === "number" ? a / b : div(scalar(a), b)

/**
 * Milstein's method (1974): y + hf + gw + ½g′g(w² − h) for Itô, the same without −h for Stratonovich. Of order 1.
 *
 * Without a `derivative` of g it takes differences of g: for Itô √h·g′g is g(y + √h·g) − g(y) (Platen; Kloeden & Platen 1992,
 * 11.1), of which the error is multiplied by w² − h, whose mean is 0. For Stratonovich, with w² in its place, g′gw is
 * g(y + gw) − g(y), of which the error is multiplied by w. So both keep the order.
 *
 * @since 0.1.0
 * @category methods
 */
export const milstein: Method = {
  name: "Milstein",
  order: { diagonal: 1, scalar: 1, additive: 1 },
  interpretations: ["ito", "stratonovich"],
  rule: oneStep(
    1,
    ({ carrier, drift, diffusion, derivative, increment, interpretation }, t, h, y) => {
      const { combine } = carrier
      const { w } = increment(t, h)
      const g = diffusion(t, y)
      const noise = w(g)
      const euler = [
        [1, y],
        [h, drift(t, y)],
        [1, noise]
      ] as const
      const moved = (v: typeof y) =>
        diffusion(
          t,
          combine([
            [1, y],
            [1, v]
          ])
        )
      /** How g changes when y moves along a vector. */
      const change = (v: typeof y) =>
        derivative?.(t, y, v) ??
        combine([
          [1, moved(v)],
          [-1, g]
        ])
      if (interpretation === "stratonovich") return combine([...euler, [0.5, w(change(noise))]])
      const root = typeof h === "number" ? Math.sqrt(Math.abs(h)) : carrier.pow(carrier.abs(h), 0.5)
      const bend = change(combine([[root, g]]))
      return combine([
        ...euler,
        [ratio(carrier, 0.5, root), w(w(bend))],
        [times(carrier, root, -0.5), bend]
      ])
    }
  )
}

/**
 * Heun's method: the trapezoidal rule for both integrals, with an Euler step for the other end (Rümelin 1982).
 * Stratonovich. Of order 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const heun: Method = {
  name: "stochastic Heun",
  order: { diagonal: 1, scalar: 1, additive: 1 },
  interpretations: ["stratonovich"],
  rule: oneStep(2, ({ carrier, drift, diffusion, increment }, t, h, y) => {
    const { w } = increment(t, h)
    const end = later(carrier, t, h, 1)
    const [f, noise] = [drift(t, y), w(diffusion(t, y))]
    const guess = carrier.combine([
      [1, y],
      [h, f],
      [1, noise]
    ])
    return carrier.combine([
      [1, y],
      [times(carrier, h, 0.5), f],
      [times(carrier, h, 0.5), drift(end, guess)],
      [0.5, noise],
      [0.5, w(diffusion(end, guess))]
    ])
  })
}

/**
 * SRA1 (Rößler 2010, "Runge–Kutta methods for the strong approximation of solutions of stochastic differential equations",
 * table 6.3): for additive noise only, of order 3/2, with the space–time area of the path.
 *
 * @since 0.1.0
 * @category methods
 */
export const sra1: Method = {
  name: "SRA1",
  order: { additive: 1.5 },
  interpretations: ["ito", "stratonovich"],
  rule: oneStep(2, ({ carrier, drift, diffusion, increment }, t, h, y) => {
    const { combine } = carrier
    const { w, area } = increment(t, h)
    const inverse = ratio(carrier, 1, h)
    /** I₍₁,₀₎/h · g, where I₍₁,₀₎ = ∫(W(r) − W(t)) dr. */
    const mean = (g: typeof y) =>
      combine([
        [0.5, w(g)],
        [inverse, area(g)]
      ])
    const [first, last] = [diffusion(t, y), diffusion(later(carrier, t, h, 1), y)]
    const f = drift(t, y)
    const slope = drift(
      later(carrier, t, h, 3 / 4),
      combine([
        [1, y],
        [times(carrier, h, 3 / 4), f],
        [3 / 2, mean(last)]
      ])
    )
    return combine([
      [1, y],
      [times(carrier, h, 1 / 3), f],
      [times(carrier, h, 2 / 3), slope],
      [1, w(last)],
      [1, mean(first)],
      [-1, mean(last)]
    ])
  })
}

/** The second track of reversible Heun, with drift and diffusion there. */
interface Track<V> {
  readonly y: V
  readonly f: V
  readonly g: V
}

/**
 * Reversible Heun (Kidger, Foster, Li & Lyons 2021, arXiv:2105.13493, algorithms 1 and 2): one evaluation a step, and
 * `inverse` recovers the state to rounding. Stratonovich. Of order 1/2, with additive noise 1; it also comes near 1 where g
 * is nearly linear in y, for then the errors of both tracks cancel.
 *
 * @since 0.1.0
 * @category methods
 */
export const reversibleHeun: Method = {
  name: "reversible Heun",
  order: { diagonal: 0.5, scalar: 0.5, additive: 1 },
  interpretations: ["stratonovich"],
  rule: <V, S, B>({
    carrier,
    drift,
    diffusion,
    increment
  }: Equation<V, S, B>): Rule<V, S, B, Track<V>> => {
    const track = (t: S, y: V): Track<V> => ({ y, f: drift(t, y), g: diffusion(t, y) })
    /** From one end of a step to the other, forwards (1) or backwards (−1): the method is symmetric. */
    const cross = (
      direction: 1 | -1,
      to: S,
      h: S | number,
      w: (g: V) => V,
      y: V,
      here: Track<V>
    ) => {
      const noise = w(here.g)
      const there = track(
        to,
        carrier.combine([
          [2, y],
          [-1, here.y],
          [times(carrier, h, direction), here.f],
          [direction, noise]
        ])
      )
      const half = times(carrier, h, direction / 2)
      return {
        y: carrier.combine([
          [1, y],
          [half, here.f],
          [half, there.f],
          [direction / 2, noise],
          [direction / 2, w(there.g)]
        ]),
        memory: there
      }
    }
    return {
      evaluations: { start: 1, step: 1 },
      start: track,
      step: (t, h, y, memory) => cross(1, later(carrier, t, h, 1), h, increment(t, h).w, y, memory),
      inverse: (t, h, y, memory) => cross(-1, t, h, increment(t, h).w, y, memory)
    }
  }
}

const names = { ito: "Itô", stratonovich: "Stratonovich" }

/**
 * A method bound to a problem and a path. Steps are given, not controlled. Between the ends of a step the solution is a
 * straight line, of order 1/2. Evaluations are those of the drift.
 *
 * Throws `ProblemError` where the method cannot treat the noise, or the integral is another one than the method's.
 *
 * @since 0.1.0
 * @category steppers
 */
export const stepper = <V, S, B, const N extends Noise>(
  method: Method,
  carrier: Carrier<V, S, B>,
  problem: Problem<V, S, N>,
  path: PathOf<V, S, N>
): Stepper<V, S, B> => {
  const { noise, interpretation = "ito" } = problem
  const order = method.order[noise]
  const what = method.name
  if (order === undefined) {
    throw new ProblemError({
      what,
      message: `${what} treats ${Object.keys(method.order).join(" or ")} noise only, not ${noise}: if the diffusion depends on t alone, say so with noise: "additive", or else take Sde.milstein`
    })
  }
  if (noise !== "additive" && !method.interpretations.includes(interpretation)) {
    const [own] = method.interpretations
    throw new ProblemError({
      what,
      message: `${what} converges to the solution of ${names[own]}'s integral, but the problem has ${names[interpretation]}'s: take Sde.milstein, or state the problem with interpretation: "${own}", of which the drift is ${own === "ito" ? "greater" : "less"} by ½g′g`
    })
  }
  const act = (n: V | S, g: V): V =>
    noise === "scalar" ? carrier.combine([[n as S, g]]) : carrier.hadamard(g, n as V)
  const rule = method.rule<V, S, B>({
    ...problem,
    carrier,
    increment: (t, h) => {
      const { w, area } = path.increment(t, later(carrier, t, h, 1))
      return { w: (g) => act(w, g), area: (g) => act(area, g) }
    }
  })
  const own: Stepper<V, S, B> = {
    ...rule,
    name: method.name,
    carrier,
    order,
    errorOrder: undefined,
    denseOrder: 0.5,
    dense: () => own,
    step: (t, h, y, memory): Step<V, S, B, unknown, Empty> => ({
      ...rule.step(t, h, y, memory),
      error: undefined,
      dense: {}
    }),
    interpolate: ({ theta, before, after }) => line(carrier, theta, before, after)
  }
  return own
}
