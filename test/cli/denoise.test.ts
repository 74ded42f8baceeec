/** `odeon denoise` */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import { beforeAll, describe, expect, it } from "vitest"
import { inFolder, odeon } from "../support/cli.ts"
import { perform, write } from "../support/runs.ts"

const { at } = inFolder()

const [one, two] = [at("one"), at("two")]

beforeAll(() => perform(Effect.andThen(write(one), write(two, { seed: 1, conditional: true }))))

const small = ["--count", "3", "--levels", "0.1,0.3", "--steps", "1,2"]

describe("odeon denoise", () => {
  it("puts runs side by side, and writes what it found into their folders", async () => {
    const { status, stdout, stderr } = await odeon(
      ...["denoise", one, two, ...small, "--out", at("all")]
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const rows = stdout
      .split("\n")
      .filter((line) => /^(noisy|blurred, σ = [\d.]+|one|two) {2}/.test(line))
    expect(rows).toHaveLength(2 * (2 + 2 * 2))
    const read = (...names: ReadonlyArray<string>) =>
      JSON.parse(Fs.readFileSync(at(...names, "denoise.json"), "utf8"))
    const all = read("all")
    expect(all.models.map(({ name }: { name: string }) => name)).toEqual(["one", "two"])
    for (const [i, name] of ["one", "two"].entries()) {
      expect(read(name)).toEqual({ ...all, models: [all.models[i]] })
    }
    for (const name of ["all", "one", "two"]) {
      expect(Fs.existsSync(at(name, "denoise.png"))).toBe(true)
    }
  })

  it("prints JSON and nothing else", async () => {
    const { status, stdout, stderr } = await odeon(
      ...["denoise", one, ...small, "--sampler", "heun", "--json"]
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const { models, count, sampler } = JSON.parse(stdout)
    expect({ count, sampler }).toEqual({ count: 3, sampler: "Heun" })
    expect(models[0].chains).toHaveLength(4)
  })

  it("says in a line what is wrong", async () => {
    const cases = [
      [[at("none")], /none: there is no such file or folder/],
      [[one, "--levels", "0.1,,0.2"], /--levels: 0\.1,,0\.2 are no numbers/],
      [[one, "--steps", "1,5,1"], /steps: 1 is there twice/],
      [[one, "--lpips", at("none.safetensors")], /none\.safetensors/]
    ] as const
    for (const [args, says] of cases) {
      const { status, stdout, stderr } = await odeon("denoise", ...args)
      expect(stderr).toMatch(says)
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
    }
  })
})
