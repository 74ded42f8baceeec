/**
 * Methods for y' = f(t, y), before they are bound to a problem.
 *
 * @since 0.1.0
 */
import type { Carrier } from "./Carrier.ts"
import * as RungeKutta from "./RungeKutta.ts"
import type { RightHandSide, Stepper } from "./Stepper.ts"
import type { Tableau } from "./Tableau.ts"

/**
 * A method: what it becomes on a carrier and a right-hand side. A {@link Tableau} is a method too, wherever one is asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Method {
  readonly name: string
  readonly order: number
  readonly bind: <V, S, B>(carrier: Carrier<V, S, B>, f: RightHandSide<V, S>) => Stepper<V, S, B>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Any = Method | Tableau

/**
 * A tableau as a method; a method as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = (method: Any): Method =>
  "bind" in method
    ? method
    : {
        name: method.name,
        order: method.order,
        bind: (carrier, f) => RungeKutta.stepper(method, carrier, f)
      }

/**
 * A method bound to y' = f(t, y) on a carrier.
 *
 * @example
 * ```ts
 * import { Carrier, Method, Tableau } from "odeon/Solver"
 *
 * const decay = Method.bind(Tableau.dopri5, Carrier.number, (_, y) => -y)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const bind = <V, S, B>(
  method: Any,
  carrier: Carrier<V, S, B>,
  f: RightHandSide<V, S>
): Stepper<V, S, B> => of(method).bind(carrier, f)
