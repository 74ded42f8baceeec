/**
 * How the differential equations of a network are integrated: a method, its steps, and an adjoint. By name, in configurations; as
 * a value, with a method of one's own; or as a service, which takes the place of what configurations say.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as EffectLayer from "effect/Layer"
import * as Schema from "effect/Schema"
import {
  Adjoint,
  Controller,
  type Integration,
  type Method,
  Multistep,
  Reversible,
  SecondOrder,
  SolverError,
  Tableau
} from "../Solver/index.ts"
import { requireCounts } from "./internal/config.ts"
import { Positive, withDefault } from "./internal/schema.ts"
import { ConfigError, unknownName } from "./LayerError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Integrator {
  /** For equations of first order, which those of second order are reduced to; or for equations of second order alone. */
  readonly method: Method.Any | SecondOrder.Method
  readonly steps: Integration.Steps
  readonly adjoint: Adjoint.Adjoint
  /** See `Adjoint.Problem`: 1,000 unless told, whose time gradients of `direct` and `checkpointed` take however few there are. */
  readonly maximumSteps?: number
}

/**
 * The methods that configurations know. `coupled-…` are the reversible forms of tableaus (`Reversible.coupled`), with twice the
 * evaluations; from `symplectic-euler` on they are for blocks of second order.
 *
 * @since 0.1.0
 * @category instances
 */
export const methods = {
  euler: Tableau.euler,
  midpoint: Tableau.midpoint,
  heun: Tableau.heun,
  ralston: Tableau.ralston,
  heun3: Tableau.heun3,
  rk4: Tableau.rk4,
  rk38: Tableau.rk38,
  ssprk33: Tableau.ssprk33,
  bosh3: Tableau.bosh3,
  dopri5: Tableau.dopri5,
  tsit5: Tableau.tsit5,
  dopri8: Tableau.dopri8,
  "adams-bashforth-2": Multistep.adamsBashforth(2),
  "adams-bashforth-3": Multistep.adamsBashforth(3),
  "adams-bashforth-4": Multistep.adamsBashforth(4),
  "asynchronous-leapfrog": Reversible.asynchronousLeapfrog,
  "reversible-heun": Reversible.reversibleHeun,
  "coupled-euler": Reversible.coupled(Tableau.euler),
  "coupled-midpoint": Reversible.coupled(Tableau.midpoint),
  "coupled-rk4": Reversible.coupled(Tableau.rk4),
  "coupled-rk38": Reversible.coupled(Tableau.rk38),
  "coupled-dopri5": Reversible.coupled(Tableau.dopri5),
  "coupled-tsit5": Reversible.coupled(Tableau.tsit5),
  "symplectic-euler": SecondOrder.symplecticEuler,
  "velocity-verlet": SecondOrder.velocityVerlet,
  nystrom4: SecondOrder.nystrom4
} as const satisfies Record<string, Integrator["method"]>

/**
 * @since 0.1.0
 * @category models
 */
export type MethodName = keyof typeof methods

/** Written out, a few steps are faster than a loop, and take no more memory. */
const few = 4

const direct: Adjoint.Adjoint = {
  name: "direct",
  integrate: (problem, y, parameters) => {
    const { steps } = problem
    const short = "count" in steps && steps.count <= few
    return (short ? Adjoint.unrolled : Adjoint.direct).integrate(problem, y, parameters)
  }
}

/**
 * The adjoints that configurations know; `direct` writes up to four steps out.
 *
 * @since 0.1.0
 * @category instances
 */
export const adjoints = {
  direct,
  checkpointed: Adjoint.checkpointed(),
  reversible: Adjoint.reversible({ anchors: 1 }),
  backsolve: Adjoint.backsolve()
} as const satisfies Record<string, Adjoint.Adjoint>

const named = <T extends Readonly<Record<string, unknown>>>(all: T) =>
  Schema.Literals(Object.keys(all) as ReadonlyArray<keyof T & string>)

/**
 * Steps that configurations let a controller try: a block that needs more is hardly worth its time.
 *
 * @since 0.1.0
 * @category constants
 */
export const defaultMaximumSteps = 100

/**
 * An integrator by name: so many equal steps, or a tolerance for adaptive ones. One step of the 3/8 rule unless told.
 *
 * ```json
 * { "method": "rk38", "steps": 1, "adjoint": "direct" }
 * { "method": "dopri5", "steps": { "relative": 1e-3, "absolute": 1e-3 }, "adjoint": "backsolve" }
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  method: withDefault(named(methods), "rk38"),
  steps: withDefault(
    Schema.Union([
      Schema.Int.check(Schema.isGreaterThan(0)),
      Schema.Struct({
        relative: Schema.Finite,
        absolute: Schema.Finite,
        /**
         * Steps tried at most, {@link defaultMaximumSteps} unless told. Gradients of `direct` and `checkpointed` take the time of so many,
         * however few there are. Where they do not suffice, what the block gives of that sample is NaN, and so are gradients.
         */
        maximumSteps: Schema.optionalKey(Positive)
      })
    ]),
    1
  ),
  adjoint: withDefault(named(adjoints), "direct")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

/**
 * The integrator that a configuration names. Throws `ConfigError` for names that it does not know, with those that
 * were perhaps meant, and for steps and tolerances that make no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = ({ method, steps, adjoint }: Config): Integrator => {
  const shared = {
    method: oneOf("method", methods, method),
    adjoint: oneOf("adjoint", adjoints, adjoint)
  }
  if (typeof steps === "number") {
    requireCounts("Integrator", { steps })
    return { ...shared, steps: { count: steps } }
  }
  const { maximumSteps = defaultMaximumSteps, ...tolerance } = steps
  return { ...shared, steps: controller(tolerance), maximumSteps }
}

const oneOf = <T extends object, K extends keyof T & string>(
  path: string,
  all: T,
  name: K
): T[K] => {
  if (Object.hasOwn(all, name)) return all[name]
  throw unknownName("Integrator", String(name), Object.keys(all), path)
}

const controller = (tolerance: Controller.Options): Controller.Controller => {
  try {
    return Controller.make(tolerance)
  } catch (error) {
    if (!(error instanceof SolverError.ProblemError)) throw error
    throw new ConfigError({
      what: "Integrator",
      path: "steps",
      message: `Integrator: steps: ${error.message}`
    })
  }
}

/**
 * What networks are integrated by, whatever their configurations say; nothing unless provided.
 *
 * @since 0.1.0
 * @category services
 */
export const Current = Context.Reference<Integrator | undefined>("odeon/Integrator", {
  defaultValue: () => undefined
})

/**
 * Integrates the networks that are made under it by one integrator.
 *
 * ```ts
 * const adaptive = Integrator.layer({
 *   method: Tableau.dopri5,
 *   steps: Controller.pi({ absolute: 1e-3, relative: 1e-3 }),
 *   adjoint: Adjoint.checkpointed()
 * })
 * const network = CUNet.make(CUNet.presets.cunet).pipe(Effect.provide(adaptive))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export const layer = (integrator: Integrator): EffectLayer.Layer<never> =>
  EffectLayer.succeed(Current, integrator)
