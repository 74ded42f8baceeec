/** `odeon evaluate` */
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"
import { beforeAll, describe, expect, it } from "vitest"
import * as Classifier from "../../src/Pipeline/Classifier.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Digits from "../../src/Pipeline/Digits.ts"
import { inFolder, odeon } from "../support/cli.ts"
import { perform, write } from "../support/runs.ts"

const { at } = inFolder()

const [one, two, file] = [at("one"), at("two"), at("classifier.safetensors")]

beforeAll(() =>
  perform(
    Effect.gen(function* () {
      yield* write(one)
      yield* write(two, { seed: 1 })
      const digits = Dataset.take(Digits.make(), 60)
      const classifier = yield* Classifier.forDataset(digits, { width: 4, features: 16 })
      const trained = yield* Classifier.train(classifier, digits, { steps: 30 })
      yield* Classifier.save(file, trained)
    })
  )
)

const small = ["--count", "12", "--steps", "2", "--classifier", file]

describe("odeon evaluate", () => {
  it("puts runs side by side, and writes what it found into their folders", async () => {
    const { status, stdout, stderr } = await odeon(
      ...["evaluate", one, two, ...small, "--out", at("all.json")]
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(stdout).toMatch(/^12 images of each, compared with 60 of digits/m)
    expect(stdout).toMatch(/^model +FID +KID/m)
    for (const name of ["real", "one", "two"])
      expect(stdout).toMatch(new RegExp(`^${name} +\\d`, "m"))
    const read = (...names: ReadonlyArray<string>) =>
      JSON.parse(Fs.readFileSync(at(...names), "utf8"))
    const all = read("all.json")
    expect(all.models.map(({ name }: { name: string }) => name)).toEqual(["one", "two"])
    for (const [i, name] of ["one", "two"].entries()) {
      expect(read(name, "evaluation.json")).toEqual({ ...all, models: [all.models[i]] })
      expect(Fs.existsSync(at(name, "evaluation.png"))).toBe(true)
    }
  })

  it("prints JSON and nothing else, of a checkpoint too, to which it adds nothing", async () => {
    const [name] = Fs.readdirSync(at("one", "checkpoints"))
    const checkpoint = at("one", "checkpoints", name)
    const before = Fs.readdirSync(checkpoint)
    const { status, stdout, stderr } = await odeon(
      ...["evaluate", checkpoint, ...small, "--weights", "weights", "--json"],
      ...["--set", "data.limit=40", "--set", "sampler=heun"]
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const { models, reference, judge } = JSON.parse(stdout)
    expect(models[0]).toMatchObject({ name, count: 12, network: { steps: 4, evaluations: 3 } })
    expect(reference).toEqual({ name: "digits", count: 40 })
    expect(judge.classes).toHaveLength(10)
    expect(Fs.readdirSync(checkpoint)).toEqual(before)
  })

  it("says in a line what is wrong", async () => {
    const cases = [
      [[at("none")], /none: there is no such file or folder/],
      [[one, `${at(".")}/one`], /one is given twice/],
      [[one, "--weights", "emma"], /no average "emma"/],
      [[one, "--inception", file], /classifier\.safetensors/]
    ] as const
    for (const [args, says] of cases) {
      const { status, stdout, stderr } = await odeon("evaluate", ...args)
      expect(stderr).toMatch(says)
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
    }
  })
})
