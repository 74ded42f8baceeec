/**
 * Any method for stochastic differential equations as a sampler, through the reverse-time SDE. Where the forward process is
 * dx = f(t)x dt + g(t) dw, with f = α′/α and g² = 2σσ′ − 2fσ², for every η
 *
 *     dx = [f x − ½(1 + η²)g² ∇log p(x)] dt + η g dw̄ = [α′x̂₀ + σ′ε̂ + ½η²(g²/σ)ε̂] dt + η g dw̄,  ε̂ = (x − αx̂₀)/σ,
 *
 * has the marginals of the forward process: with η = 1 it is its time reversal (Song et al. 2021, arXiv:2011.13456, equation 6), with
 * η = 0 the ODE of the probability flow. It is equation 6 of Karras et al. 2022, arXiv:2206.00364, with β = η²σ′/σ.
 *
 * The Brownian path is a function of the key, the item and the place along the variable: with more steps the same path is followed more
 * closely.
 *
 * @since 0.1.0
 */
import { Brownian, Carrier, Sde } from "../Solver/index.ts"
import { Random, Tensor } from "../Tensor/index.ts"
import { combine, type State } from "./Denoiser.ts"
import { demand } from "./DiffusionError.ts"
import * as field from "./internal/field.ts"
import * as flow from "./internal/flow.ts"
import type * as Plan from "./Plan.ts"
import type * as Sampler from "./Sampler.ts"
import type { Schedule } from "./Schedule.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Of the path: item i of a batch has one of its own. */
  readonly key: Random.Key
  /** `Sde.eulerMaruyama` unless told; any of `Sde` in the room Solver. The noise is additive, so all of them will do. */
  readonly method?: Sde.Method
  /** `logSnr` unless told: see `Ode`. */
  readonly variable?: flow.Variable
  /** Of which `time` is the time. */
  readonly schedule?: Schedule
  /** How much noise goes in and out, from 0; 1 unless told. */
  readonly eta?: number
  /** Of the path's tree, see `Brownian.tree`; the finest steps must not be shorter than a few of 2^depth parts of the way. */
  readonly depth?: number
}

/** When a method asks for drift and diffusion in one step, in order; it is asked anew at each step. */
const asked = (method: Sde.Method, u: number, h: number) => {
  const [drifts, diffusions]: [Array<number>, Array<number>] = [[], []]
  const note = (list: Array<number>) => (t: number) => {
    list.push(t)
    return 0
  }
  const stepper = Sde.stepper(
    method,
    Carrier.number,
    { drift: note(drifts), diffusion: note(diffusions), noise: "additive" },
    { increment: () => ({ w: 0, area: 0 }) }
  )
  stepper.step(u, h, 0, stepper.start(u, 0))
  return { drifts, diffusions }
}

/**
 * A method for stochastic differential equations as a sampler: from level to level of a plan, in steps of the variable. A method that
 * remembers begins anew at each step. Where the last level has no noise the last step leads to αx̂₀, without noise.
 *
 * It draws along the path of its `key`, so it takes no other noise. In `sigma` the steps near the end are short beside the way: there
 * `depth` should be larger than 16, which `logSnr` and `time` do well with.
 *
 * Throws `DiffusionError` where a level of the plan has no place, as `Ode.make` does, or for η below 0.
 *
 * ```ts
 * const sampler = Sde.make({ method: Solver.Sde.sra1, key: Random.key(7) })
 * ```
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: Options): Sampler.Sampler => {
  const { key, method = Sde.eulerMaruyama, variable = "logSnr", schedule, eta = 1, depth } = options
  const what = `${method.name} in ${variable}`
  flow.requireSchedule(what, variable, schedule)
  demand(eta >= 0, what, "options", `η must not be below 0, but is ${eta}`)
  const at = (u: number) => {
    const { alpha, sigma, rate } = flow.point(field.host, variable, schedule, u)
    const squared = 2 * sigma * (rate.sigma - (sigma * rate.alpha) / alpha)
    return {
      alpha,
      sigma,
      data: rate.alpha,
      noise: rate.sigma + (eta ** 2 * squared) / (2 * sigma),
      g: eta * Math.sqrt(Math.abs(squared))
    }
  }
  const steps = (plan: Plan.Plan): Sampler.Steps => {
    const { first, last, clean } = flow.stretch(plan)
    const levels = plan.levels.slice(0, -1)
    const moving = clean === undefined ? levels : levels.slice(0, -1)
    demand(
      moving.length > 0,
      what,
      "plan",
      "the only step leads to where there is no noise: take a plan of more steps"
    )
    const rows = moving.map((from, i) => {
      const to = plan.levels[i + 1]
      const [u, end] = [from, to].map((each) => flow.requirePlace(what, variable, schedule, each))
      demand(
        from.alpha > 0,
        what,
        "plan",
        `level ${i} has no signal, where the forward process adds noise without end: begin at a level with some`
      )
      const { drifts, diffusions } = asked(method, u, end - u)
      return {
        u,
        h: end - u,
        grown: flow.growth(from, at(u)),
        shrunk: flow.growth(at(end), to),
        drifts: drifts.map((t) => ({
          ...at(t),
          timestep: t === u ? from.timestep : flow.timestepOf(variable, schedule, plan, t)
        })),
        diffusions: diffusions.map((t) => at(t).g)
      }
    })
    // the step to no noise stands still
    const padded = clean === undefined ? rows : [...rows, rows[rows.length - 1]]
    const column = (read: (row: (typeof rows)[number]) => number) => padded.map(read)
    const calls = rows[0].drifts.map((_, k) => k)
    const columns = {
      u: column(({ u }) => u),
      h: column(({ h }) => h),
      grown: column(({ grown }) => grown),
      shrunk: column(({ shrunk }) => shrunk),
      ...Object.fromEntries(
        calls.flatMap((k) =>
          (["timestep", "alpha", "sigma", "data", "noise"] as const).map((name) => [
            `${name} ${k}`,
            column(({ drifts }) => drifts[k][name])
          ])
        )
      ),
      ...Object.fromEntries(
        rows[0].diffusions.map((_, k) => [`g ${k}`, column(({ diffusions }) => diffusions[k])])
      ),
      ...(clean === undefined ? {} : { moves: padded.map((_, i) => (i < rows.length ? 1 : 0)) })
    }
    const way =
      variable === "time"
        ? { from: 0, to: 1 }
        : {
            from: variable === "sigma" ? 0 : flow.placeOf(variable, schedule, last),
            to: flow.placeOf(variable, schedule, first)
          }
    const pathOf = (x: State): Brownian.Path<State, Tensor.Any> => {
      const still = Tensor.zerosLike(x) as State
      if (eta === 0) return { increment: () => ({ w: still, area: still }) }
      const keys = Random.foldIn(key, Tensor.arange(x.shape[0]) as never) as Random.Key
      return Brownian.tree(
        Brownian.tensor<State>({ key: keys, like: x }),
        depth === undefined ? way : { ...way, depth }
      )
    }
    return {
      levels,
      columns,
      registers: [],
      stochastic: false,
      step: ({ registers: { x }, row, estimate, again }) => {
        const start = combine([row.grown, x])
        const path = pathOf(x)
        const calls = { drift: 0, diffusion: 0 }
        const stepper = Sde.stepper(
          method,
          Carrier.tensor<State>({ dtype: x.dtype }),
          {
            noise: "additive",
            drift: (_, z) => {
              const k = calls.drift++
              const read = (name: string) => row[`${name} ${k}`]
              const level = {
                timestep: read("timestep"),
                alpha: read("alpha"),
                sigma: read("sigma")
              }
              const { data } = k === 0 && z === start ? estimate : again(z, level)
              return combine([read("data"), data], [read("noise"), flow.noiseOf(z, data, level)])
            },
            diffusion: (_, z) => Tensor.broadcastTo(row[`g ${calls.diffusion++}`], z.shape) as State
          },
          path
        )
        const { y } = stepper.step(row.u, row.h, start, stepper.start(row.u, start))
        const moved = combine([row.shrunk, y])
        if (clean === undefined) return { x: moved }
        const arrived = combine([clean.alpha, estimate.data])
        return { x: Tensor.select(Tensor.greater(row.moves, 0), moved, arrived) as State }
      }
    }
  }
  return { name: eta === 1 ? what : `${what}, η = ${eta}`, steps }
}
