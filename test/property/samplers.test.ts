/** Samplers of the library keep the laws of samplers; all of them are in samplers.slow.test.ts. */
import { layer } from "@effect/vitest"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Diffusion from "../../src/Diffusion/index.ts"
import { SamplerLaws } from "../../src/Laws/index.ts"
import "../support/seed.ts"
import { few, instances } from "./samplers.ts"

const { Ddim, Ddpm, Deis, Dpm, Euler, Lms } = Diffusion

const options = {
  seed: fc.readConfigureGlobal().seed ?? 2026,
  runs: Number(process.env.ODEON_RUNS ?? 1)
}

/** The names of all functions that make samplers without being told anything. */
const makers = Object.entries(Diffusion).flatMap(([module, functions]) =>
  Object.entries(functions).flatMap(([name, f]) => {
    try {
      const made = (f as () => unknown)()
      const found = made as { readonly name?: unknown; readonly steps?: unknown }
      return typeof found?.steps === "function" && typeof found.name === "string"
        ? [`${module}.${name}`]
        : []
    } catch {
      return []
    }
  })
)

it("samplers are all held to laws", () => {
  const held = instances.map(({ name }) => name.split(",")[0])
  // inversion has its own law
  const others = ["Ddim.inverse"]
  expect(makers.length).toBeGreaterThan(20)
  expect(makers.filter((each) => !held.includes(each) && !others.includes(each))).toEqual([])
})

layer(Device.layerReference(), { excludeTestServices: true })("samplers", (it) => {
  for (const subject of few) {
    it.effect(`${subject.name} keeps its laws`, () =>
      SamplerLaws.check(
        { ...subject, except: ["order", "moments", ...(subject.except ?? [])] },
        options
      )
    )
  }

  const pairs = [
    [Ddim.make({ eta: 1 }), Ddpm.make()],
    [Ddim.make(), Euler.make()],
    [Ddim.make(), Lms.make({ order: 1 })],
    [Ddim.make(), Deis.make({ order: 1 })],
    [Ddim.make(), Dpm.multistep({ order: 1 })]
  ] as const
  for (const [one, other] of pairs) {
    it.effect(`${one.name} and ${other.name} are equal`, () =>
      SamplerLaws.equal(one, other, options)
    )
  }

  it.effect("DDIM's inversion returns", () =>
    SamplerLaws.inversion({ there: Ddim.inverse(), back: Ddim.make() }, options)
  )

  it.effect("guidance of weight 1 is none", () => SamplerLaws.unguided(undefined, options))
})
