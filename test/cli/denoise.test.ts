/** `odeon denoise` */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import { beforeAll, describe, expect, it } from "vitest"
import * as Npy from "../../src/Pipeline/Npy.ts"
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

  it("takes what is told of the data and of the sampler, and else the data of the run", async () => {
    const floats = { dtype: "f4", shape: [4, 28, 28], data: new Float32Array(4 * 784) } as const
    Fs.writeFileSync(at("black.npy"), Npy.encode(floats))
    const data = { name: at("black.npy"), range: "0..1" } as const
    await perform(write(at("moved"), { data, batch: 2 }))
    Fs.renameSync(at("black.npy"), at("there.npy"))
    const moved = await odeon("denoise", at("moved"), ...small)
    expect(moved).toMatchObject({
      status: 1,
      stderr: `odeon: cannot read ${at("black.npy")}: there is no such file or folder (what ${at("moved")} learnt; --data or --set data.name tells where that is now)\n`
    })
    // the range is still told
    const found = await odeon(
      ...["denoise", at("moved"), ...small, "--set", `data.name=${at("there.npy")}`],
      ...["--set", "sampler.eta=0.5", "--json"]
    )
    expect(found).toMatchObject({ status: 0, stderr: "" })
    const { data: told, sampler } = JSON.parse(found.stdout)
    expect({ told, sampler }).toEqual({ told: at("there.npy"), sampler: "DDIM, η = 0.5" })
    const other = await odeon("denoise", at("moved"), ...small, "--data", at("there.npy"))
    expect(other.stderr).toContain("range")
  })

  it("says in a line what is wrong", async () => {
    const cases = [
      [[at("none")], /none: there is no such file or folder/],
      [[one, "--levels", "0.1,,0.2"], /--levels: 0\.1,,0\.2 are no numbers/],
      [[one, "--set", "plan=karras"], /--set plan: only fields of sampler and of data/],
      [
        [one, "--set", "data.limitt=8"],
        /data: limitt: there is no such field; did you mean "limit"/
      ],
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
