/** `odeon cost` and `odeon networks` */
import * as Fs from "node:fs"
import { describe, expect, it } from "vitest"
import * as CUNet from "../../src/Layer/CUNet.ts"
import * as UNet from "../../src/Layer/UNet.ts"
import { inFolder, odeon } from "../support/cli.ts"

const { at } = inFolder()

/** What is printed as JSON, and nothing else. */
const figures = async (...args: ReadonlyArray<string>) => {
  const { status, stdout, stderr } = await odeon(...args, "--json")
  expect(stderr).toBe("")
  expect(status).toBe(0)
  return JSON.parse(stdout)
}

describe("odeon cost", () => {
  it("prints figures for programs", async () => {
    const { rows, ...totals } = await figures("cost", "cunet-public", "--size", "64")
    expect(totals).toEqual({
      network: "cunet-public",
      size: 64,
      parameters: 8_811_875,
      trainable: 8_555_875,
      macs: 2_822_832_128,
      programMacs: 2_841_640_960,
      macsByThop: 2_830_983_168
    })
    expect(rows.find(({ path }: { readonly path: string }) => path === "middle")).toEqual({
      path: "middle",
      kind: "dynamic block, first order",
      shape: [1, 512, 4, 4],
      parameters: 4_719_616,
      macs: 301_989_888,
      times: 1,
      integration: { method: "3/8 rule", evaluations: 4 }
    })
  })

  it("prints a table for people", async () => {
    const { status, stdout, stderr } = await odeon("cost", "cunet-public", "--depth", "1")
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(`\n${stdout}`).toMatchInlineSnapshot(`
      "
      cunet-public, 3 × 64 × 64

      layer       kind                                  output     parameters  multiply-accumulates  times  evaluations
      time_table  buffer                                1000×256      256,000                     0
      stem        4 layers                                                992             3,866,624
      down        9 layers                                          1,874,304         1,249,902,592
      middle      dynamic block, first order, 3/8 rule  1×512×4×4   4,719,616           301,989,888      1            4
      up          9 layers                                          1,960,864         1,266,679,808
      head        conv 1×1                              1×3×64×64          99               393,216      1
      total                                                         8,811,875         2,822,832,128

      parameters                               8,811,875
        trainable                              8,555,875
      multiply-accumulates                 2,822,832,128
        of the program, products included  2,841,640,960
        as thop counts                     2,830,983,168
      "
    `)
  })

  it("takes the size that a network is meant for, and another where it is told", async () => {
    expect((await figures("cost", "ddpm-cifar10")).size).toBe(32)
    expect((await figures("cost", "ddpm-cifar10", "--size", "16")).size).toBe(16)
  })

  it("takes fields from a file and from its arguments, which come later", async () => {
    const integrator = { method: "rk4", steps: 2, adjoint: "direct" }
    const file = at("small.json")
    Fs.writeFileSync(file, JSON.stringify({ width: 8, levels: 1 }))
    const given = ["cost", "cunet", "--size", "16", "--config", file, "--set", "levels=2"]
    const whole = `integrator=${JSON.stringify(integrator)}`
    const { rows } = await figures(...given, "--set", "order=first", "--set", whole)
    expect(rows.find(({ path }: { readonly path: string }) => path === "middle")).toMatchObject({
      shape: [1, 64, 4, 4],
      integration: { method: "RK4", evaluations: 8 }
    })
    const paths = ["--set", "order=first", "--set", "integrator.method=rk4"]
    const byPath = await figures(...given, ...paths, "--set", "integrator.steps=2")
    expect(byPath.rows).toEqual(rows)
  })

  it("says null for what a controller decides", async () => {
    const steps = { relative: 1e-3, absolute: 1e-3 }
    const integrator = JSON.stringify({ method: "dopri5", steps, adjoint: "backsolve" })
    const small = ["--size", "16", "--set", "levels=1", "--set", "width=8"]
    const given = ["cost", "cunet", ...small, "--set", `integrator=${integrator}`]
    const { rows } = await figures(...given)
    expect(rows.find(({ path }: { readonly path: string }) => path === "middle")).toMatchObject({
      integration: { evaluations: null }
    })
    expect((await odeon(...given)).stdout).toContain("A controller chooses the steps")
  })

  const refuses = (what: string, args: ReadonlyArray<string>, says: string) =>
    it(`refuses ${what} in one line`, async () => {
      const { status, stdout, stderr } = await odeon("cost", ...args)
      expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: "", stderr: `${says}\n` })
    })

  refuses(
    "a network that there is not",
    ["cunet-pubic", "--json"],
    'odeon: network: there is no "cunet-pubic"; did you mean "cunet-public"?'
  )
  refuses(
    "a size that cannot be halved",
    ["cunet", "--size", "50"],
    "odeon: CUNet: image: a size of 50 cannot be halved 4 times: multiples of 16 can, such as 48 and 64"
  )
  refuses(
    "a size that is none",
    ["cunet", "--size", "-4"],
    'odeon: Invalid value for flag --size: "-4". Expected: a whole number of at least 1 (see odeon cost --help)'
  )
  refuses(
    "a field that there is not",
    ["cunet", "--set", "ordr=first"],
    'odeon: CUNet: ordr: there is no such field; did you mean "order"?'
  )
  refuses(
    "what layers refuse",
    ["cunet", "--set", "width=3"],
    "odeon: CUNet: groups: 3 channels do not divide into 8 groups; 1, 3 would work"
  )
  refuses(
    "a value that breaks off",
    ["cunet", "--set", 'integrator={"method":'],
    'odeon: --set integrator: {"method": is neither JSON nor a word'
  )
  refuses(
    "a file that is not there",
    ["cunet", "--config", "missing.json"],
    "odeon: cannot read missing.json: there is no such file or folder"
  )
  refuses(
    "a missing name, and says where to read more",
    [],
    "odeon: Missing required argument: network (see odeon cost --help)"
  )
})

describe("odeon networks", () => {
  it("lists every preset", async () => {
    const names = Object.keys({ ...UNet.presets, ...CUNet.presets })
    const listed: ReadonlyArray<{ readonly name: string; readonly parameters: number }> =
      await figures("networks")
    expect(listed.map(({ name }) => name)).toEqual(names)
    expect(listed.find(({ name }) => name === "cunet-public")?.parameters).toBe(8_811_875)
    const lines = (await odeon("networks")).stdout.trimEnd().split("\n")
    expect(lines).toHaveLength(names.length)
    expect(lines[names.indexOf("cunet-public")]).toMatch(/^cunet-public +8,811,875 parameters /)
  })
})
