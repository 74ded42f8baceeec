/** Networks by name, and what they cost. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as CUNet from "../../src/Layer/CUNet.ts"
import { ConfigError } from "../../src/Layer/LayerError.ts"
import * as Networks from "../../src/Pipeline/Networks.ts"

const failure = <A>(effect: Effect.Effect<A, ConfigError>): ConfigError => {
  const result = Effect.runSync(Effect.result(effect))
  if (Result.isSuccess(result)) throw new Error("did not fail")
  expect(result.failure).toBeInstanceOf(ConfigError)
  return result.failure
}

const names = Object.keys(Networks.presets) as ReadonlyArray<Networks.Name>

describe("preset", () => {
  it.each(names)("%s has a network, and a line about it", (name) => {
    const { config } = Effect.runSync(Networks.preset(name))
    expect(config).toMatchObject(Networks.presets[name].options)
    expect(Networks.presets[name].about).not.toBe("")
  })

  it("has the types of its name", () => {
    const network: CUNet.CUNet = Effect.runSync(Networks.preset("cunet", { width: 8, levels: 2 }))
    expect(network.config).toEqual(
      Effect.runSync(CUNet.make({ channels: 3, width: 8, levels: 2 })).config
    )
    // @ts-expect-error a field of the other family
    failure(Networks.preset("cunet", { multipliers: [1, 2] }))
    // @ts-expect-error what is no value of the field
    failure(Networks.preset("cunet", { order: "third" }))
  })

  it("names the nearest of a name that there is not", () => {
    expect(failure(Networks.preset("CUNet-publik")).message).toBe(
      'network: there is no "CUNet-publik"; did you mean "cunet-public"?'
    )
    expect(failure(Networks.preset("transformer")).message).toBe(
      `network: there is no "transformer"; known are ${names.join(", ")}`
    )
    // a name that every object has
    failure(Networks.preset("toString"))
  })
})

describe("cost", () => {
  const cost = (...args: Parameters<typeof Networks.cost>) => Effect.runSync(Networks.cost(...args))

  it.each(names)("%s has one, with its own number of axes", (name) => {
    const { config } = Effect.runSync(Networks.preset(name))
    const { rows, parameters, macs } = cost(name, { batch: 2, size: 32 })
    const space = Array.from({ length: config.dimensions }, () => 32)
    expect(rows[0].shape).toEqual([2, config.channels, ...space])
    expect(rows[0].parameters).toBe(parameters)
    expect(rows[0].macs).toBe(macs)
  })

  it("is that of the size that a network is meant for", () => {
    expect(cost("ddpm-cifar10").rows[0].shape).toEqual([1, 3, 32, 32])
    expect(cost("cunet").rows[0].shape).toEqual([1, 3, 64, 64])
    const overrides = { size: [32, 16] }
    expect(cost("cunet", { overrides }).rows[0].shape).toEqual([1, 3, 32, 16])
  })

  it("has labels for classes, and an estimate for self-conditioning", () => {
    const plain = cost("cunet", { size: 16 })
    const told = cost("cunet", { size: 16, overrides: { classes: 11, selfConditioning: true } })
    // 11 rows of the embedding, and three channels more for 16 kernels of 3×3
    expect(told.parameters - plain.parameters).toBe(11 * 256 + 3 * 16 * 9)
  })

  it("is refused for sizes that the network does not take", () => {
    expect(failure(Networks.cost("cunet", { size: 40 })).message).toContain("such as 32 and 48")
    expect(failure(Networks.cost("cunet", { size: [32] })).message).toContain("2 spatial axes")
    failure(Networks.cost("ddpm-cifar10", { size: 0 }))
  })
})

describe("report", () => {
  it("loses nothing of what lies too deep", () => {
    const summary = Effect.runSync(Networks.cost("cunet", { size: 16 }))
    for (const depth of [1, 2, 3]) {
      const [table] = Networks.report(summary, { depth }).split("\n\n")
      const [head, ...lines] = table.split("\n").slice(0, -1)
      const at = (line: string, column: string) =>
        Number(
          /[\d,]+$/
            .exec(line.slice(0, head.indexOf(column) + column.length))?.[0]
            .replaceAll(",", "")
        )
      const rows = lines.map((line) => ({
        path: line.split(" ")[0],
        parameters: at(line, "parameters"),
        macs: at(line, "multiply-accumulates")
      }))
      const outer = rows.filter(
        ({ path }) => !rows.some((other) => path.startsWith(`${other.path}.`))
      )
      const total = (field: "parameters" | "macs") =>
        outer.reduce((sum, each) => sum + each[field], 0)
      expect(total("parameters")).toBe(summary.parameters)
      expect(total("macs")).toBe(summary.macs)
    }
  })
})
