/**
 * Reversible methods: each step has an inverse, which takes the state and what is remembered back to where they were, to
 * rounding. So a solution need not be stored to be differentiated.
 *
 * **Stability.** For y' = ay the asynchronous leapfrog and reversible Heun are stable only for ha between −i and i on the imaginary
 * axis. Where a solution decays, a parasitic part of size O(h²) grows as it does: in time T by e^(|a|T). {@link coupled}
 * makes any Runge–Kutta method reversible. There the parasitic part has the method's order, and grows by about λe^(|a|h) in each
 * step: with a coupling λ below 1 it dies out where h|a| < −ln λ.
 *
 * **Between steps** there is Hermite's cubic with the derivatives that the steps take in any case, so it costs nothing.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"
import type { Method } from "./Method.ts"
import * as RungeKutta from "./RungeKutta.ts"
import { ProblemError } from "./SolverError.ts"
import { cubic, later, type RightHandSide, type Stepper, times, weighted } from "./Stepper.ts"
import type { Tableau } from "./Tableau.ts"

/** y' at both ends, as far as the method knows it. */
interface Dense<V> {
  readonly first: V
  readonly last: V
}

/** What all of them share: Hermite's cubic between derivatives that the steps take in any case. */
const shared = <V, S, B>(
  method: Pick<Method, "name" | "order">,
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>
) => ({
  name: method.name,
  carrier,
  order: method.order,
  denseOrder: Math.min(3, method.order),
  derivative: f,
  interpolate: ({
    dense,
    ...at
  }: Parameters<Stepper<V, S, B, unknown, Dense<V>>["interpolate"]>[0]) =>
    cubic(carrier, { ...at, ...dense })
})

/** The inverse of a step of h, where that is a step of −h. */
const backwards =
  <V, S, B, M>(
    carrier: Carrier<V, S, B>,
    step: (t: S, h: S | number, y: V, memory: M) => { readonly y: V; readonly memory: M }
  ): typeof step =>
  (t, h, y, memory) => {
    const start = step(later(carrier, t, h, 1), times(carrier, h, -1), y, memory)
    return { y: start.y, memory: start.memory }
  }

/**
 * The asynchronous leapfrog, order 2 with one evaluation a step (Mutze 2013, arXiv:1311.6602; Zhuang et al. 2021, MALI,
 * arXiv:2102.04668, without damping, which would take its order to 1). Beside y it carries w, which is near y':
 *
 *     u = f(t + h/2, y + hw/2),  w₁ = 2u − w,  y₁ = y + hu.
 *
 * Its error estimate is h(u − w), of order 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const asynchronousLeapfrog: Method = {
  name: "asynchronous leapfrog",
  order: 2,
  bind: <V, S, B>(carrier: Carrier<V, S, B>, f: RightHandSide<V, S>) => {
    interface Memory {
      readonly w: V
    }
    const step = (t: S, h: S | number, y: V, { w }: Memory) => {
      const u = f(
        later(carrier, t, h, 1 / 2),
        carrier.combine([
          [1, y],
          [times(carrier, h, 1 / 2), w]
        ])
      )
      const last = carrier.combine([
        [2, u],
        [-1, w]
      ])
      return {
        y: carrier.combine([
          [1, y],
          [h, u]
        ]),
        error: carrier.combine([
          [h, u],
          [times(carrier, h, -1), w]
        ]),
        memory: { w: last },
        dense: { first: w, last }
      }
    }
    const stepper: Stepper<V, S, B, Memory, Dense<V>> = {
      ...shared(asynchronousLeapfrog, carrier, f),
      errorOrder: 2,
      evaluations: { start: 1, step: 1 },
      dense: () => stepper,
      start: (t, y) => ({ w: f(t, y) }),
      step,
      inverse: backwards(carrier, step)
    }
    return stepper
  }
}

/**
 * Reversible Heun, order 2 with one evaluation a step (Kidger et al. 2021, Efficient and accurate gradients for neural SDEs,
 * arXiv:2105.13493, for an ODE). Beside y it carries z, which is near y, and g = f(t, z):
 *
 *     z₁ = 2y − z + hg,  g₁ = f(t + h, z₁),  y₁ = y + h(g + g₁)/2.
 *
 * Its error estimate is h(g₁ − g)/2, of order 1.
 *
 * @since 0.1.0
 * @category methods
 */
export const reversibleHeun: Method = {
  name: "reversible Heun",
  order: 2,
  bind: <V, S, B>(carrier: Carrier<V, S, B>, f: RightHandSide<V, S>) => {
    interface Memory {
      readonly z: V
      readonly g: V
    }
    const step = (t: S, h: S | number, y: V, { z, g }: Memory) => {
      const half = times(carrier, h, 1 / 2)
      const next = carrier.combine([
        [2, y],
        [-1, z],
        [h, g]
      ])
      const last = f(later(carrier, t, h, 1), next)
      return {
        y: carrier.combine([
          [1, y],
          [half, g],
          [half, last]
        ]),
        error: carrier.combine([
          [half, last],
          [times(carrier, h, -1 / 2), g]
        ]),
        memory: { z: next, g: last },
        dense: { first: g, last }
      }
    }
    const stepper: Stepper<V, S, B, Memory, Dense<V>> = {
      ...shared(reversibleHeun, carrier, f),
      errorOrder: 2,
      evaluations: { start: 1, step: 1 },
      dense: () => stepper,
      start: (t, y) => ({ z: y, g: f(t, y) }),
      step,
      inverse: backwards(carrier, step)
    }
    return stepper
  }
}

/**
 * Any Runge–Kutta method made reversible, with its order and its error estimate (McCallum and Foster 2024, Efficient, accurate and
 * stable gradients for neural ODEs, arXiv:2410.11648). Let Ψ_h(t, y) be what a step of the method adds to y. Beside y it
 * carries z, which is near y:
 *
 *     y₁ = λy + (1 − λ)z + Ψ_h(t, z),  z₁ = z − Ψ_{−h}(t + h, y₁).
 *
 * It takes twice the method's evaluations. The coupling λ, above 0 and at most 1, is 0.999 unless told. A smaller one is
 * stable for larger steps, but n inverse steps enlarge rounding errors by (λ⁻ⁿ − 1)/(1 − λ): choose 1 − λ of the size of 1/n or
 * smaller where a solution must be recovered to rounding. Throws `ProblemError` for other couplings.
 *
 * @example
 * ```ts
 * import { Carrier, Method, Reversible, Tableau } from "odeon/Solver"
 *
 * const stepper = Method.bind(Reversible.coupled(Tableau.dopri5), Carrier.number, (_, y) => -y)
 * ```
 *
 * @since 0.1.0
 * @category methods
 */
export const coupled = (tableau: Tableau, options: { readonly coupling?: number } = {}): Method => {
  const { coupling = 0.999 } = options
  const name = `coupled ${tableau.name}`
  if (!(coupling > 0 && coupling <= 1)) {
    throw new ProblemError({
      what: name,
      message: `${name}: the coupling ${coupling} must be above 0 and at most 1, say 0.999`
    })
  }
  // the way back needs no error estimate, nor a last stage that only serves one
  const stages = tableau.b.findLastIndex((weight) => weight !== 0) + 1
  const { embedded, ...rest } = tableau
  const bare = { ...rest, b: tableau.b.slice(0, stages) }
  const method: Method = {
    name,
    order: tableau.order,
    bind: <V, S, B>(carrier: Carrier<V, S, B>, f: RightHandSide<V, S>) => {
      interface Memory {
        readonly z: V
      }
      const there = (t: S, h: S | number, z: V) => RungeKutta.step(tableau, carrier, f, t, h, z)
      const back = (t: S, h: S | number, y: V) =>
        RungeKutta.step(bare, carrier, f, later(carrier, t, h, 1), times(carrier, h, -1), y).k
      const step = (t: S, h: S | number, y: V, { z }: Memory) => {
        const { k, error } = there(t, h, z)
        const after = carrier.combine([
          [coupling, y],
          [1 - coupling, z],
          ...weighted(carrier, h, tableau.b, k)
        ])
        const behind = back(t, h, after)
        return {
          y: after,
          error,
          // −Ψ₋ₕ is a sum of derivatives times h
          memory: { z: carrier.combine([[1, z], ...weighted(carrier, h, bare.b, behind)]) },
          dense: { first: k[0], last: behind[0] },
          k: [...k, ...behind]
        }
      }
      const stepper: Stepper<V, S, B, Memory, Dense<V>> = {
        ...shared(method, carrier, f),
        errorOrder: embedded && Math.min(embedded.order, tableau.order) + 1,
        evaluations: { start: 0, step: tableau.b.length + stages },
        dense: () => stepper,
        start: (_, y) => ({ z: y }),
        step,
        inverse: (t, h, y, { z }) => {
          const behind = back(t, h, y)
          const before = carrier.combine([
            [1, z],
            ...weighted(carrier, times(carrier, h, -1), bare.b, behind)
          ])
          const { k } = there(t, h, before)
          return {
            y: carrier.combine([
              [1 / coupling, y],
              [1 - 1 / coupling, before],
              ...weighted(carrier, times(carrier, h, -1 / coupling), tableau.b, k)
            ]),
            memory: { z: before }
          }
        },
        stages: (t, h, y, memory) => step(t, h, y, memory).k
      }
      return stepper
    }
  }
  return method
}
