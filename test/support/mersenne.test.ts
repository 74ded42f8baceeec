/** PyTorch's random numbers, of test/fixtures/make-torch-rng.py. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { generator } from "./mersenne.ts"

interface Drawn {
  readonly seed: number
  readonly draws: ReadonlyArray<ReadonlyArray<number>>
}

const recorded = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/torch-rng.json"), "utf8")
) as {
  readonly uniform: ReadonlyArray<Drawn>
  readonly normal: ReadonlyArray<Drawn>
  readonly long: { readonly places: ReadonlyArray<number>; readonly draws: Drawn["draws"] }
}

describe("PyTorch's generator", () => {
  it("draws uniform numbers", () => {
    for (const { seed, draws } of recorded.uniform) {
      const { uniform } = generator(seed)
      for (const draw of draws) expect([...uniform(draw.length)]).toEqual(draw)
    }
  })

  it("draws normal numbers, few and many in turn", () => {
    for (const { seed, draws } of recorded.normal) {
      const { normal } = generator(seed)
      for (const draw of draws) {
        const found = normal(draw.length)
        // its logarithms and cosines are those of vector units
        draw.forEach((value, i) => {
          expect(Math.abs(found[i] - value)).toBeLessThan(1e-6)
        })
      }
    }
  })

  it("draws whole states one after the other", () => {
    const { normal } = generator(0)
    for (const draw of recorded.long.draws) {
      const found = normal(768)
      recorded.long.places.forEach((place, i) => {
        expect(Math.abs(found[place] - draw[i])).toBeLessThan(1e-6)
      })
    }
  })
})
