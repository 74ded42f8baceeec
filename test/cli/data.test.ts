/** `odeon data` and `odeon devices`. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "vitest"
import { inFolder, odeon } from "../support/cli.ts"

const { at } = inFolder()

describe("odeon data", () => {
  it("lists the kinds", async () => {
    const { stdout } = await odeon("data", "list", "--json")
    const kinds: ReadonlyArray<{ readonly name: string }> = JSON.parse(stdout)
    expect(kinds.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["digits", "mnist", "images", "wav"])
    )
    const shown = (await odeon("data", "list")).stdout
    expect(shown).toMatch(/^mnist\[:path\] +handwritten digits/m)
    expect(shown).toMatch(/^images:path +pictures in a folder/m)
  })

  it("shows what a data set holds, and draws some of it", async () => {
    const grid = at("digits.png")
    const { status, stdout, stderr } = await odeon(
      ...["data", "show", "digits", "--set", "size=8", "--count", "20", "--grid", grid]
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(stdout.split("\n").slice(0, 6)).toEqual([
      "digits",
      "items   without an end",
      "shape   1 × 8 × 8",
      expect.stringMatching(/^values {2}-1\.000 to 0\.\d+ of the first 20$/),
      "classes 10 of the first 20",
      "  0  2"
    ])
    expect(Fs.readFileSync(grid).subarray(1, 4).toString()).toBe("PNG")
  })

  it("shows it for programs", async () => {
    const { stdout } = await odeon("data", "show", "moons", "--set", "limit=50", "--json")
    expect(JSON.parse(stdout)).toMatchObject({ size: 50, shape: [2], looked: 50 })
  })

  it("refuses what there is not, in one line", async () => {
    expect(await odeon("data", "show", "nope")).toEqual({
      status: 1,
      stdout: "",
      stderr: 'odeon: data: there are no data "nope"; did you mean "npy"?\n'
    })
    expect(await odeon("data", "show", "moons", "--grid", at("moons.png"))).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^odeon: images: pictures are made of .*\n$/)
    })
    expect(await odeon("data", "show", `mnist:${at("missing")}`)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /missing: there is no such file .* `odeon data fetch mnist` .*\n$/
      )
    })
    expect(await odeon("data", "fetch", "nope")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^odeon: data: there is no "nope" to fetch; .*\n$/)
    })
  })

  it("fetches from a mirror, and says why it cannot", async () => {
    const server = Http.createServer((_, response) => {
      response.statusCode = 404
      response.end("no")
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const { status, stdout, stderr } = await odeon(
      ...["data", "fetch", "mnist", "--to", at("mnist")],
      ...["--mirror", `http://127.0.0.1:${port}/mnist`]
    )
    server.close()
    expect(status).toBe(1)
    expect(stdout).toContain(`http://127.0.0.1:${port}/mnist/train-images-idx3-ubyte.gz: `)
    expect(stderr).toMatch(/^odeon: .*train-images-idx3-ubyte\.gz.*404.*\n$/)
  })
})

describe("odeon devices", () => {
  it("lists them, and says which is taken and why", async () => {
    const survey = JSON.parse((await odeon("devices", "--json")).stdout)
    expect(survey.devices).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "cpu", available: true }),
        expect.objectContaining({ name: "reference", available: true }),
        expect.objectContaining({ name: "cuda", available: false })
      ])
    )
    expect(survey).toMatchObject({ threads: expect.any(Number), memory: expect.any(Number) })
    expect((await odeon("devices")).stdout).toMatch(/^taken \(\*\): \w+: /m)
  })
})
