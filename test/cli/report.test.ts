/** `odeon report`, as its users start it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { inFolder } from "../support/cli.ts"
import { perform, write } from "../support/runs.ts"

const { folder, odeon, at } = inFolder()

beforeAll(async () => {
  await perform(write(at("runs", "one")))
  Fs.cpSync(at("runs", "one"), at("others", "one"), { recursive: true })
})

describe("odeon report", () => {
  it("makes a page in the folder of a run", async () => {
    const { status, stdout, stderr } = await odeon(["report", Path.join("runs", "one")])
    const path = Path.join("runs", "one", "report.html")
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: `report ${path}\n`,
      stderr: ""
    })
    const html = Fs.readFileSync(at(path), "utf8")
    expect(html).toContain("<h1>one</h1>")
    expect(html).toContain("Loss over steps")
    expect(html).toContain("after 4 steps")
    expect(html).toContain("There is no evaluation of one.")
    expect(html).toContain("network.multipliers")
  })

  it("puts runs side by side, those of the same name by their paths, with figures as files", async () => {
    const { status, stdout } = await odeon([
      "report",
      "runs/one",
      "others/one",
      ...["--out", "both/page.html", "--title", "Both", "--figures", "svg"]
    ])
    expect(status).toBe(0)
    const html = Fs.readFileSync(at("both", "page.html"), "utf8")
    expect(html).toContain("<h1>Both</h1>")
    expect(html).toContain("others/one")
    const written = stdout.trim().split("\n")
    expect(written[0]).toBe("report both/page.html")
    expect(written).toContain("figure both/page-figure-1.svg")
    for (const line of written) expect(Fs.existsSync(at(line.split(" ")[1]))).toBe(true)
  })

  it("says in a line what is wrong, and writes nothing", async () => {
    Fs.mkdirSync(at("empty"))
    Fs.cpSync(at("runs", "one"), at("damaged"), { recursive: true })
    Fs.writeFileSync(at("damaged", "evaluation.json"), "{}")
    const before = Fs.readdirSync(folder, { recursive: true })
    const cases = [
      [["empty"], /empty: it holds nothing of a run/],
      [["damaged"], /damaged\/evaluation\.json: it is no evaluation/],
      [["runs/one", "--out", "runs/one/experiment.json/page.html"], /experiment\.json/]
    ] as const
    const ends = await Promise.all(cases.map(([args]) => odeon(["report", ...args])))
    for (const [i, { status, stdout, stderr }] of ends.entries()) {
      expect(stderr).toMatch(cases[i][1])
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
    }
    expect(Fs.readdirSync(folder, { recursive: true })).toEqual(before)
  })
})
