/** How models are sampled, as flags tell it. */
import type * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Configuration from "./configuration.ts"
import type { Fields } from "./fields.ts"
import * as Flags from "./flags.ts"
import { pipeline } from "./pipeline.ts"

export const flags = {
  sampler: Flags.text("sampler", "name", "Such as ddim, heun or dpm++2m, which it is unless told"),
  steps: Flags.count("steps", "Steps from noise to a sample; 30 unless told"),
  plan: Flags.text("plan", "name", "Where the steps lie: uniform (unless told), karras, spaced …"),
  guidance: Flag.Finite("guidance").pipe(
    Flag.withDescription(
      "Weight of classifier-free guidance, of networks with classes; 1 unless told"
    ),
    Flag.withMetavar("w"),
    Flag.optional
  ),
  set: Flags.set("An option of the sampler or the plan, such as sampler.eta=0.5; may be repeated")
}

/** A sampler's name, where it goes along a plan that is told otherwise. */
export const ddim = Flags.text("sampler", "name", "Such as heun or dpm++2m; ddim unless told")

/** The weights that are taken, and from which checkpoint. */
export const weights = {
  weights: Flags.text(
    "weights",
    "name",
    "An average's name, or weights for those without averaging; the first average unless told"
  ),
  fallback: Flags.yes("fallback", "Take the checkpoint before one that is damaged")
}

type Given = Command.Command.Config.Infer<typeof flags>

/** What `Model.sampling` is told. */
export const asked = Effect.fnUntraced(function* (given: Given) {
  const { Samplers } = yield* pipeline
  const told = [
    ...Configuration.ofFlags(given, ["sampler", "plan", "steps", "guidance"]),
    ...(yield* Configuration.ofSet(given.set))
  ]
  const defaults = { fields: (yield* Samplers.parse({})) as Fields, origins: {} }
  const configuration = told.reduce(Configuration.put, defaults)
  const config = yield* Effect.mapError(
    Samplers.parse(configuration.fields),
    Configuration.naming("sampling", configuration)
  )
  return yield* Samplers.make(config)
})

/** A sampler that goes along a plan that is told otherwise: {@link ddim}, and fields of `sampler`. */
export const alone = (sampler: Option.Option<string>, set: Readonly<Record<string, string>>) => {
  const none = Option.none<never>()
  const name = Option.orElseSome(sampler, () => "ddim")
  return asked({ sampler: name, set, plan: none, steps: none, guidance: none })
}
