/** What a newcomer runs first, in less time. */
import * as Fs from "node:fs"
import { expect, it } from "vitest"
import { inFolder } from "../support/cli.ts"

const { folder, odeon, at } = inFolder()

it("quickstart trains two networks, compares them and writes a report", {
  timeout: 300_000
}, async () => {
  const env = { XDG_CACHE_HOME: at("cache") }
  const { status, stdout, stderr } = await odeon(
    ["quickstart", "--seconds", "1", "--count", "20"],
    { env }
  )
  expect(stderr).toBe("")
  expect(status).toBe(0)
  const [, accuracy] = stdout.match(/the class of ([\d.]+) % of held-out images/) ?? []
  expect(Number(accuracy)).toBeGreaterThan(97)
  // how far it is can be seen all the time
  expect(stdout).toContain(`trains a classifier on digits, and keeps it in ${at("cache", "odeon")}`)
  for (const shown of [
    "300/300 (100 %)",
    "digits 4096/4096 (100 %)",
    "cunet: FID ",
    "unet, ε = 0.4, "
  ])
    expect(stdout).toContain(shown)
  // the table has both networks and real images
  for (const name of ["real", "cunet", "unet"])
    expect(stdout).toMatch(new RegExp(`^${name} {2,}\\d`, "m"))
  expect(stdout).toContain("report runs/quickstart/report.html")
  for (const name of ["cunet", "unet"]) {
    const files = Fs.readdirSync(at("runs/quickstart", name))
    expect(files).toEqual(
      expect.arrayContaining([
        "checkpoints",
        "denoise.json",
        "evaluation.json",
        "history.jsonl",
        "samples"
      ])
    )
    expect(Fs.readdirSync(at("runs/quickstart", name, "samples")).length).toBeGreaterThanOrEqual(4)
  }
  const html = Fs.readFileSync(at("runs/quickstart/report.html"), "utf8")
  expect(html).toContain("<svg")
  expect(html).toContain("data:image/png")
  expect(Fs.readdirSync(folder).toSorted()).toEqual(["cache", "runs"])
})

it("quickstart ends at once by a signal that comes after the trainings", {
  timeout: 300_000
}, async () => {
  let sent = false
  const { status, stdout } = await odeon(["quickstart", "--seconds", "0.1", "--out", "left"], {
    env: { XDG_CACHE_HOME: at("none") },
    watch: (stdout, child) => {
      if (sent || !stdout.includes("trains a classifier")) return
      sent = true
      child.kill("SIGINT")
    }
  })
  expect(status).toBe(130)
  expect(stdout).not.toContain("finds the class")
})

it("quickstart refuses a time that is none", async () => {
  const { status, stderr } = await odeon(["quickstart", "--seconds", "0"])
  expect(status).toBe(1)
  expect(stderr).toContain("--seconds: it must be above 0, not 0")
})
