/**
 * How models are sampled, as one value that JSON holds.
 *
 * ```json
 * { "sampler": { "name": "ddim", "eta": 0.5 }, "plan": "karras", "steps": 20, "guidance": 2 }
 * ```
 *
 * Names and options are those of `Named.samplers` and `Named.plans`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Named, type Sampler, type Schedule } from "../Diffusion/index.ts"
import { attempt, type BuildError } from "./internal/attempt.ts"
import { apart, decode, NamedOptions, withDefault } from "./internal/config.ts"
import type { SamplingOptions } from "./Model.ts"

/**
 * What makes a way of sampling.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Config = Schema.Struct({
  /** See `Named.samplers`. */
  sampler: withDefault(NamedOptions, "dpm++2m"),
  /** Where along the schedule it goes; see `Named.plans`. */
  plan: withDefault(NamedOptions, "uniform"),
  /** How many steps. */
  steps: withDefault(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)), 30),
  /** The weight of classifier-free guidance, of models with classes; 1 is none. */
  guidance: withDefault(Schema.Finite, 1),
  /** Whether estimates of the data are kept between −1 and 1. */
  clip: withDefault(Schema.Boolean, true)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type Config = typeof Config.Type

/**
 * What a configuration is made from: JSON.
 *
 * @since 0.1.0
 * @category schemas
 */
export type Options = typeof Config.Encoded

/**
 * What `Model.sampling` is told.
 *
 * @since 0.1.0
 * @category models
 */
export interface Asked extends Required<Pick<SamplingOptions, "guidance" | "clip">> {
  readonly sampler: Sampler.Sampler
  readonly plan: Extract<SamplingOptions["plan"], (schedule: Schedule.Schedule) => unknown>
}

/**
 * A configuration, complete. Fails with `TrainError`, which names the field and the nearest that is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (options: unknown) => decode("sampling", Config, options)

/**
 * What a configuration means. Fails with an error that names what is wrong with it; what is wrong with the plan is found when there is a
 * schedule, by `Model.sampling`.
 *
 * ```ts
 * const asked = yield* Samplers.make({ sampler: "heun", plan: "karras", steps: 18 })
 * const images = Model.samples(model, { ...asked, count: 64, seed: 7 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Asked, BuildError> =>
  Effect.flatMap(parse(options), ({ sampler, plan, steps, guidance, clip }) =>
    attempt(() => {
      const [how, where] = [apart(sampler), apart(plan)]
      return {
        sampler: Named.sampler(how.name as never, how.options as never),
        plan: (schedule: Schedule.Schedule) =>
          Named.plan(where.name as never, schedule, steps, where.options as never),
        guidance,
        clip
      }
    })
  )
