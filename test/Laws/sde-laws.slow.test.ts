/** The stochastic methods of the library keep their laws, and the laws catch what is broken. */
import { describe, expect, it } from "vitest"
import { SdeLaws } from "../../src/Laws/index.ts"
import { Brownian, Sde } from "../../src/Solver/index.ts"
import { HostRandom } from "../../src/Tensor/index.ts"

const options = { seed: 2026 }

const methods = [Sde.eulerMaruyama, Sde.milstein, Sde.heun, Sde.sra1, Sde.reversibleHeun]

describe("methods", () => {
  it.each(methods.map((each) => [each.name, each] as const))("%s", (_, method) => {
    SdeLaws.check(method, options)
  })

  it("that say too much of themselves are caught", () => {
    const boastful: Sde.Method = { ...Sde.eulerMaruyama, order: { diagonal: 1, additive: 1 } }
    expect(() => SdeLaws.strongOrder(boastful, options)).toThrow(/breaks the law "strongOrder"/)
    const modest: Sde.Method = { ...Sde.sra1, order: { additive: 1 } }
    expect(() => SdeLaws.strongOrder(modest, options)).toThrow(/breaks the law "strongOrder"/)
  })

  it("for another integral than they say are caught", () => {
    const ito: Sde.Method = { ...Sde.eulerMaruyama, interpretations: ["stratonovich"] }
    const stratonovich: Sde.Method = { ...Sde.heun, interpretations: ["ito"] }
    for (const method of [ito, stratonovich]) {
      expect(() => SdeLaws.check(method, options)).toThrow(/the strong order is -?0\./)
    }
  })

  it("whose inverse does not lead back are caught", () => {
    const { rule } = Sde.reversibleHeun
    const broken: Sde.Method = {
      ...Sde.reversibleHeun,
      rule: (equation) => ({ ...rule(equation), inverse: rule(equation).step })
    }
    expect(() => SdeLaws.inverse(broken, options)).toThrow(/breaks the law "inverse"/)
  })

  it("that treat noise as another kind are caught", () => {
    const broken: Sde.Method = {
      ...Sde.milstein,
      rule: (equation) =>
        (equation.noise === "scalar" ? Sde.eulerMaruyama : Sde.milstein).rule(equation)
    }
    expect(() => SdeLaws.scalarNoise(broken, options)).toThrow(/breaks the law "scalarNoise"/)
  })
})

describe("paths", () => {
  const source = (seed: number) => Brownian.float64Array(HostRandom.key(seed), 5)

  it("of the tree are the same on every grid", () => {
    SdeLaws.path((seed, interval) => Brownian.tree(source(seed), interval), options)
  })

  it("with increments that do not change their sign backwards are caught", () => {
    expect(() =>
      SdeLaws.path((seed, interval) => {
        const { increment } = Brownian.tree(source(seed), interval)
        return { increment: (s, t) => increment(Math.min(s, t), Math.max(s, t)) }
      }, options)
    ).toThrow(/breaks the law "path"/)
  })

  it("that are drawn anew for each interval are caught", () => {
    expect(() =>
      SdeLaws.path(
        () => ({
          increment: (s, t) => {
            const { data } = HostRandom.normal(HostRandom.key(Math.floor(1e6 * (s + 2 * t))), [5], {
              dtype: "float64"
            })
            return { w: Float64Array.from(data), area: new Float64Array(5) }
          }
        }),
        options
      )
    ).toThrow(/breaks the law "path"/)
  })
})
