/** `odeon report` */
import * as Fs from "node:fs"
import { beforeAll, describe, expect, it } from "vitest"
import { inFolder, odeon } from "../support/cli.ts"
import { perform, write } from "../support/runs.ts"

const { folder, at } = inFolder()

const [one, other] = [at("runs", "one"), at("others", "one")]

beforeAll(async () => {
  await perform(write(one))
  Fs.cpSync(one, other, { recursive: true })
})

describe("odeon report", () => {
  it("makes a page in the folder of a run", async () => {
    const path = at("runs", "one", "report.html")
    expect(await odeon("report", one)).toEqual({
      status: 0,
      stdout: `report ${path}\n`,
      stderr: ""
    })
    const html = Fs.readFileSync(path, "utf8")
    expect(html).toContain("<h1>one</h1>")
    expect(html).toContain("Loss over steps")
    expect(html).toContain("after 4 steps")
    expect(html).toContain("There is no evaluation of one.")
    expect(html).toContain("network.<wbr>multipliers")
  })

  it("puts runs side by side, those of the same name by their paths, with figures as files", async () => {
    const page = at("both", "page.html")
    const { status, stdout } = await odeon(
      ...["report", one, other, "--out", page, "--title", "Both", "--figures", "svg"]
    )
    expect(status).toBe(0)
    const html = Fs.readFileSync(page, "utf8")
    expect(html).toContain("<h1>Both</h1>")
    expect(html).toContain("others/one")
    const written = stdout.trim().split("\n")
    expect(written[0]).toBe(`report ${page}`)
    expect(written).toContain(`figure ${at("both", "page-figure-1.svg")}`)
    for (const line of written) expect(Fs.existsSync(line.split(" ")[1])).toBe(true)
  })

  it("says in a line what is wrong, and writes nothing", async () => {
    Fs.mkdirSync(at("empty"))
    Fs.cpSync(one, at("damaged"), { recursive: true })
    Fs.writeFileSync(at("damaged", "evaluation.json"), "{}")
    const before = Fs.readdirSync(folder, { recursive: true })
    const cases = [
      [[at("empty")], /empty: it holds nothing of a run/],
      [[at("damaged")], /damaged\/evaluation\.json: it is no evaluation/],
      [[one, "--out", at("runs", "one", "experiment.json", "page.html")], /experiment\.json/]
    ] as const
    for (const [args, says] of cases) {
      const { status, stdout, stderr } = await odeon("report", ...args)
      expect(stderr).toMatch(says)
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
    }
    expect(Fs.readdirSync(folder, { recursive: true })).toEqual(before)
  })
})
