/** How trainings are configured, and what is refused. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import { describe, expect, it } from "vitest"
import { inFolder, odeon } from "../support/cli.ts"

const { odeon: started, at } = inFolder()

describe("the configuration of a training", () => {
  it("is told by arguments, the environment, a file and defaults, in this order", async () => {
    const file = {
      steps: 1,
      batch: 2,
      clip: null,
      network: { name: "unet", width: 8 },
      optimizer: { name: "lion" }
    }
    Fs.writeFileSync(at("file.json"), JSON.stringify(file))
    const given = ["train", "--config", "file.json", "--batch", "6", "--set", "rate.rate=3e-4"]
    const env = {
      ODEON_TRAIN_BATCH: "4",
      ODEON_TRAIN_STEPS: "50",
      ODEON_TRAIN_NETWORK__WIDTH: "16",
      ODEON_TRAIN_DROP_LABELS: "0.25",
      ODEON_TRAIN_CLIP: ""
    }
    const { status, stdout, stderr } = await started([...given, "--print-config"], { env })
    expect(status).toBe(0)
    const configuration = JSON.parse(stdout)
    expect(configuration).toMatchObject({
      data: "digits",
      steps: 50,
      batch: 6,
      clip: null,
      dropLabels: 0.25,
      network: { name: "unet", width: 16, multipliers: [1, 2, 4, 8], dropout: 0 },
      optimizer: { name: "lion" },
      rate: { name: "constant", rate: 3e-4, warmUp: 200 }
    })
    const from = Object.fromEntries(
      stderr
        .trim()
        .split("\n")
        .map((line) => line.split(/ {2,}/))
        .map(([path, , source]) => [path, source])
    )
    expect(from).toMatchObject({
      data: "default",
      steps: "ODEON_TRAIN_STEPS",
      batch: "--batch",
      clip: "file.json",
      dropLabels: "ODEON_TRAIN_DROP_LABELS",
      "network.name": "file.json",
      "network.width": "ODEON_TRAIN_NETWORK__WIDTH",
      "network.multipliers": "file.json",
      "optimizer.name": "file.json",
      "rate.rate": "--set rate.rate",
      "rate.warmUp": "default"
    })

    // what is printed is a file for --config
    const printed = at("printed.json")
    Fs.writeFileSync(printed, stdout)
    const again = await odeon("train", "--config", printed, "--print-config", "--json")
    const told = JSON.parse(again.stdout)
    expect(told.configuration).toEqual(configuration)
    expect(told.from.steps).toBe(printed)
    expect(Fs.existsSync(at("runs"))).toBe(false)

    const odd = await started(["train"], { env: { ODEON_TRAIN_STEPZ: "3" } })
    expect(odd.stderr).toBe(
      'odeon: stepz: there is no such field; did you mean "steps"? (told by ODEON_TRAIN_STEPZ)\n'
    )
    expect(Fs.existsSync(at("runs"))).toBe(false)
  }, 120_000)

  const refuses = (what: string, args: ReadonlyArray<string>, says: string) =>
    it(`refuses ${what} in one line`, async () => {
      expect(await odeon(...args)).toEqual({ status: 1, stdout: "", stderr: `odeon: ${says}\n` })
    })

  refuses(
    "a value that a field cannot have",
    ["train", "--steps", "0"],
    "steps: must be a value greater than or equal to 1, not 0 (told by --steps)"
  )
  refuses(
    "a field that there is not",
    ["train", "--set", "rate.name=cosin"],
    'rate: there is no "cosin"; did you mean "cosine"? (told by --set rate.name)'
  )
  refuses(
    "a field of the network that there is not",
    ["train", "--set", "network.widht=8", "--out", at("none")],
    'CUNet: widht: there is no such field; did you mean "width"?'
  )
  refuses(
    "a path that is none",
    ["train", "--set", "network..width=8"],
    "--set network..width: a path is written like network.width"
  )
  refuses(
    "an option that breaks off",
    ["train", "--set", 'optimizer={"name":'],
    '--set optimizer: {"name": is neither JSON nor a word'
  )
  refuses(
    "a network that there is not",
    ["train", "--network", "cunet-smal", "--print-config"],
    'network: there is no "cunet-smal"; did you mean "cunet-small"?'
  )
  refuses(
    "to go on where nothing was begun",
    ["train", "--out", "nowhere", "--resume"],
    "nowhere: there is no run to go on with; without --resume one begins"
  )
  refuses(
    "data that are not there, in the home",
    ["train", "--data", "images:~/odeon-nowhere"],
    `cannot read ${Os.homedir()}/odeon-nowhere: there is no such file or folder`
  )
  refuses(
    "data that there are not",
    ["train", "--data", "digitz"],
    'data: there are no data "digitz"; did you mean "digits"?'
  )
  refuses(
    "a flag that there is not",
    ["train", "--step", "3"],
    "Unrecognized flag: --step in command odeon train Did you mean this? --steps (see odeon train --help)"
  )
  refuses("no time at all", ["train", "--minutes", "0"], "--minutes: it must be above 0, not 0")
  refuses(
    "a folder that is not there to sample from",
    ["sample", "nowhere"],
    "cannot read nowhere: there is no such file or folder"
  )
  refuses(
    "a picture that is none",
    ["sample", "nowhere", "--grid", "grid.txt"],
    "--grid: grid.txt does not end in .png, .webp, .jpg, .jpeg"
  )
  refuses(
    "a sampler that there is not",
    ["sample", "nowhere", "--sampler", "ddimm"],
    'sampler: there is no "ddimm"; did you mean "ddim"?'
  )
})
