/** Runs from the command line: how they end, and what they leave. */
import * as Fs from "node:fs"
import { describe, expect, it } from "vitest"
import { inFolder, smallest } from "../support/cli.ts"

const { odeon, at } = inFolder()

const tiny = ["train", ...smallest, "--set", "data.size=8", "--batch", "4"]

const events = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

const checkpoints = (run: string) => Fs.readdirSync(at(run, "checkpoints"))

describe.concurrent("a run", () => {
  it("trains, goes on, and is sampled", async () => {
    const keep = ["--keep", "1", "--keep-every", "10"]
    const first = await odeon([...tiny, "--steps", "12", "--checkpoint-every", "5", ...keep])
    expect(first).toMatchObject({ status: 0, stderr: "" })
    expect(first.stdout).toMatch(
      /^run runs\/digits-unet\nunet on digits: 3,453 parameters, compiled in /
    )
    expect(first.stdout).toMatch(/\n12\/12 \(100 %\) {2}loss .*\n/)
    expect(first.stdout).toMatch(/\n12 steps, 0:\d\d; loss \d/)
    const run = "runs/digits-unet"
    expect(checkpoints(run)).toEqual(["step-00000010", "step-00000012"])

    const again = await odeon([...tiny, "--steps", "20"])
    expect(again.status).toBe(1)
    expect(again.stderr).toMatch(
      /^odeon: the checkpoint .* is there already: resume the run, .*\n$/
    )

    // with what it was told before, but for the steps
    const longer = ["train", "--out", run, "--resume", "--steps", "20", "--json"]
    const resumed = await odeon(longer)
    expect(resumed).toMatchObject({ status: 0, stderr: "" })
    const told = events(resumed.stdout)
    expect(told[0]).toMatchObject({ _tag: "Started", step: 12, steps: 20, items: 4 })
    expect(told.filter(({ _tag }) => _tag === "Step").map(({ step }) => step)).toEqual([
      12, 13, 14, 15, 16, 17, 18, 19
    ])
    expect(told.at(-1)).toMatchObject({ _tag: "Ended", step: 20, stopped: false })

    const sampled = await odeon([
      ...["sample", run, "--count", "5", "--batch", "2", "--steps", "3", "--out", "here"],
      ...["--sampler", "ddim", "--set", "sampler.eta=0.5", "--strip", "strip.png"]
    ])
    expect(sampled).toMatchObject({ status: 0, stderr: "" })
    expect(sampled.stdout.split("\n").slice(-3)).toEqual([
      "5 PNG files in here",
      "grid here/grid.png",
      ""
    ])
    expect(Fs.readdirSync(at("here"))).toEqual([
      ...Array.from({ length: 5 }, (_, i) => `00000${i}.png`),
      "grid.png"
    ])
    expect(Fs.existsSync(at("strip.png"))).toBe(true)

    // what lay there before stays, and is no secret
    const fewer = await odeon(["sample", run, "--count", "1", "--steps", "1", "--out", "here"])
    expect(fewer.stdout).toContain("1 PNG file in here, beside 4 that were there before\n")

    // an item depends on the seed and its number alone
    const other = await odeon([
      ...["sample", `${run}/checkpoints/step-00000020`, "--count", "2", "--steps", "3"],
      ...["--sampler", "ddim", "--set", "sampler.eta=0.5", "--out", "there", "--quiet"]
    ])
    expect(other).toEqual({ status: 0, stdout: "", stderr: "" })
    const bytes = (folder: string) => Fs.readFileSync(at(folder, "000001.png"))
    expect(bytes("there").equals(bytes("here"))).toBe(true)
  }, 120_000)

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129]
  ] as const) {
    it(`ends by ${signal} with a checkpoint, and says how to go on`, async () => {
      let sent = false
      const { status, stdout, stderr } = await odeon(
        [...tiny, "--steps", "1000000", "--json", "--out", signal],
        {
          watch: (stdout, child) => {
            if (sent || !stdout.includes('"Step"')) return
            sent = true
            child.kill(signal)
            // npm sends its children once more what the terminal sent to all
            setTimeout(() => child.kill(signal), 3)
          }
        }
      )
      expect(status).toBe(code)
      const [checkpointed, ended] = events(stdout).slice(-2)
      expect(ended).toMatchObject({ _tag: "Ended", stopped: true })
      expect(ended.step).toBeGreaterThan(0)
      expect(checkpointed).toMatchObject({ _tag: "Checkpointed", step: ended.step })
      expect(checkpoints(signal)).toEqual([`step-${String(ended.step).padStart(8, "0")}`])
      expect(stderr.trim().split("\n")).toEqual([
        "ends after the step at hand, with a checkpoint; once more ends at once",
        `stopped after ${ended.step} of 1000000 steps; go on with: odeon train --out ${signal} --resume`
      ])
    }, 120_000)
  }

  it("ends when its time is over, with a checkpoint", async () => {
    const { status, stdout } = await odeon([
      ...[...tiny, "--steps", "1000000", "--json", "--out", "timed"],
      ...["--minutes", "0.05"]
    ])
    expect(status).toBe(0)
    expect(events(stdout).at(-1)).toMatchObject({ _tag: "Ended", stopped: true })
    expect(checkpoints("timed").length).toBe(1)
  }, 120_000)

  it("ends with a checkpoint, and without a word, when the reader of its output leaves", async () => {
    const { status, stderr } = await odeon(
      [...tiny, "--steps", "1000000", "--json", "--out", "piped"],
      {
        watch: (stdout, child) => {
          if (stdout.includes('"Step"')) child.stdout?.destroy()
        }
      }
    )
    expect({ status, stderr }).toEqual({ status: 141, stderr: "" })
    expect(checkpoints("piped").length).toBe(1)
  }, 120_000)
})
