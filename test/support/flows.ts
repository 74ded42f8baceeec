/** What samplers by ODEs and SDEs are tried on: two Gaussians in the plane, and plans of equal steps in whatever variable. */
import * as Effect from "effect/Effect"
import type * as Ode from "../../src/Diffusion/Ode.ts"
import * as Plan from "../../src/Diffusion/Plan.ts"
import * as Sampler from "../../src/Diffusion/Sampler.ts"
import type * as Schedule from "../../src/Diffusion/Schedule.ts"
import { evaluate } from "./device.ts"
import * as Gaussians from "./gaussians.ts"

export const data = Gaussians.mixture([
  { weight: 1, mean: [-0.7, 0.2], deviation: [0.4, 0.6] },
  { weight: 2, mean: [0.6, -0.3], deviation: 0.5 }
])

export const denoiser = Gaussians.denoiser(data)

/** `count` steps of equal size in a variable, between two log-SNRs. */
export const uniform = (
  schedule: Schedule.Schedule,
  variable: Ode.Variable,
  count: number,
  [from, to]: readonly [number, number]
): Plan.Plan => {
  const between = Plan.atLogSnr(schedule)
  const place = (logSnr: number) =>
    variable === "time"
      ? schedule.time(logSnr)
      : variable === "sigma"
        ? Math.exp(-logSnr / 2)
        : logSnr
  const back = (u: number) =>
    variable === "time"
      ? Plan.at(schedule, u)
      : between(variable === "sigma" ? -2 * Math.log(u) : u)
  const [a, b] = [place(from), place(to)]
  return Plan.make(
    Array.from({ length: count + 1 }, (_, i) => back(a + (i / count) * (b - a))),
    between
  )
}

/** Where a sampler leads from states `[batch, 2]` on the host, row by row. */
export const run = <X extends { readonly shape: ReadonlyArray<number> }>(
  sampler: Sampler.Sampler,
  plan: Plan.Plan,
  x: X,
  of = denoiser
) =>
  Effect.map(
    evaluate(
      { x } as never,
      ({ x }: never) => Sampler.sample({ sampler, plan, denoiser: of }, x).x
    ),
    (end) => Array.from((end as { readonly data: Float64Array }).data)
  )
