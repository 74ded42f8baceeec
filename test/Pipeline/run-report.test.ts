/** Reports of runs: what is in the folders is on the page, and what is not is said. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { expect } from "vitest"
import * as Denoise from "../../src/Pipeline/Denoise.ts"
import * as Evaluate from "../../src/Pipeline/Evaluate.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Files from "../../src/Pipeline/Files.ts"
import * as Images from "../../src/Pipeline/Images.ts"
import * as Report from "../../src/Pipeline/Report.ts"
import * as RunReport from "../../src/Pipeline/RunReport.ts"
import type * as Train from "../../src/Pipeline/Train.ts"

const step = (i: number): Train.Step => ({
  _tag: "Step",
  step: i,
  epoch: 0,
  loss: 1 / (i + 1),
  gradientNorm: 1,
  rate: 1e-3,
  milliseconds: 20
})

const skipped: Train.Skipped = {
  _tag: "Skipped",
  step: 40,
  loss: Number.NaN,
  gradientNorm: Number.NaN,
  message: "item 3"
}

const history = [...Array.from({ length: 40 }, (_, i) => step(i)), skipped, step(41)]

const figures = (name: string, fid: number): Evaluate.Figures => ({
  name,
  count: 100,
  fid,
  kid: { mean: fid / 100, deviation: 0.001 },
  precision: 0.9,
  recall: 0.8,
  density: 1,
  coverage: 0.9,
  judgement: { counts: [60, 40], confident: 0.875, confidence: 0.9 }
})

const evaluation = (name: string, fid: number): Evaluate.Evaluation => ({
  format: "odeon-evaluation",
  version: 1,
  reference: { name: "pairs", count: 500 },
  extractor: { name: "an extractor", dimension: 8, resizing: "none", scale: 1 },
  features: 100,
  judge: { name: "a classifier", classes: ["round", "square"], accuracy: 0.99 },
  seed: 0,
  device: "a device",
  real: figures("real", 1.25),
  models: [figures(name, fid)]
})

const denoising = (name: string): Denoise.Result => {
  const chain = (noise: number): Denoise.Chain => ({
    noise,
    steps: 2,
    evaluations: 2,
    chain: [1, 2].map((step) => ({
      step,
      noise: noise * (1 - step / 2),
      state: { psnr: 20 + step },
      estimate: { psnr: 25 - step }
    })),
    best: { state: 2, estimate: 1 },
    seconds: 0.1
  })
  const levels = [0.1, 0.2]
  return {
    format: "odeon-denoising",
    version: 1,
    data: "pairs",
    count: 4,
    batch: 4,
    seed: 0,
    sampler: "DDIM",
    device: "a device",
    baselines: levels.map((noise) => ({
      noise,
      noisy: { psnr: 18 },
      blurred: { psnr: 19 },
      deviation: 0.75
    })),
    models: [{ name, chains: levels.map(chain) }]
  }
}

const picture = Images.grid({
  dtype: "float32",
  shape: [1, 1, 4, 4],
  data: new Float32Array(16)
})

/** A run's folder, with all that there can be. */
const whole = Effect.fnUntraced(function* (folder: string, width: number, fid: number) {
  const { join, basename } = yield* Path.Path
  const name = basename(folder)
  const config = yield* Experiment.parse({
    data: "digits",
    network: { name: "cunet", channels: 1, size: 28, levels: 2, width },
    steps: 41
  })
  yield* Files.write(join(folder, "experiment.json"), JSON.stringify(config))
  const lines = history.map((event) => `${JSON.stringify(event)}\n`)
  // the last line is cut short
  yield* Files.write(join(folder, "history.jsonl"), `${lines.join("")}{"_tag":"St`)
  for (let i = 1; i <= 7; i++) {
    yield* Images.write(join(folder, "samples", `step-0000000${i}.png`), yield* picture)
  }
  yield* Images.write(join(folder, "evaluation.png"), yield* picture)
  yield* Images.write(join(folder, "denoise.png"), yield* picture)
  yield* Evaluate.write(join(folder, "evaluation.json"), evaluation(name, fid))
  yield* Denoise.write(folder, { result: denoising(name), examples: [] })
})

const count = (text: string, part: string) => text.split(part).length - 1

layer(NodeServices.layer, { excludeTestServices: true })("reports of runs", (it) => {
  it.effect("hold all that is there, of several runs beside each other", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const folder = yield* files.makeTempDirectoryScoped()
      yield* whole(join(folder, "wide"), 16, 5.5)
      yield* whole(join(folder, "narrow"), 8, 7.5)
      const runs = yield* Effect.forEach(["wide", "narrow"], (name) =>
        RunReport.read(join(folder, name))
      )
      expect(runs.map(({ name }) => name)).toEqual(["wide", "narrow"])
      expect(runs[0].history).toEqual(history)
      expect(runs[0].grids.map(({ step }) => step)).toEqual([1, 3, 5, 7])
      expect(runs[0].evaluation).toEqual(evaluation("wide", 5.5))
      const report = yield* RunReport.make(runs)
      expect(report.title).toBe("wide and narrow")
      const path = join(folder, "report.html")
      const written = yield* Report.write(path, report, { figures: "svg" })
      const html = yield* files.readFileString(path)
      for (const said of [
        "Loss over steps",
        "Loss over time",
        "left out a step",
        "5.50",
        "87.5 %",
        "Denoising: PSNR over noise",
        "network.<wbr>width",
        "What they differ in"
      ]) {
        expect(html).toContain(said)
      }
      // four grids, samples and examples, of each
      expect(count(html, "<img")).toBe(2 * (4 + 1 + 1))
      expect(count(html, "the same noise each time")).toBe(2)
      expect(html).not.toMatch(/undefined|There is no|There are no|not to be compared/)
      expect(written.filter((each) => each.endsWith(".svg")).length).toBe(2 + 1 + 1)
    }).pipe(Effect.scoped)
  )

  it.effect("say what is not there", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const folder = yield* files.makeTempDirectoryScoped()
      const bare = join(folder, "bare")
      yield* Files.write(join(bare, "history.jsonl"), "")
      const html = yield* Report.toHtml(yield* RunReport.make([yield* RunReport.read(bare)]))
      for (const sentence of [
        "There is no history of bare.",
        "There are no samples of bare.",
        "There is no evaluation of bare.",
        "Noise was not taken from images by bare.",
        "The configuration of bare is not there."
      ]) {
        expect(html).toContain(sentence)
      }
      yield* whole(join(folder, "all"), 8, 5)
      const runs = [
        yield* RunReport.read(join(folder, "all")),
        yield* RunReport.read(bare, { name: "<odd>" })
      ]
      const both = yield* Report.toHtml(yield* RunReport.make(runs, { title: "Two" }))
      expect(both).toContain("There is no evaluation of &lt;odd&gt;.")
      expect(both).toContain("<h1>Two</h1>")
    }).pipe(Effect.scoped)
  )

  it.effect("part what cannot be compared", () =>
    Effect.gen(function* () {
      const run = (name: string, features: number): RunReport.Found => ({
        name,
        grids: [],
        evaluation: { ...evaluation(name, 3), features }
      })
      const html = yield* Report.toHtml(yield* RunReport.make([run("a", 10), run("b", 20)]))
      expect(html).toContain("not to be compared")
      expect(count(html, ">real<")).toBe(2 * 2)
      // nor does it stand in one table above
      expect(html.slice(0, html.indexOf("<section"))).not.toMatch(/FID|sure/)
    })
  )

  it.effect("refuse folders that are none of a run, and files that are damaged", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const folder = yield* files.makeTempDirectoryScoped()
      const messageOf = (path: string) =>
        Effect.map(Effect.flip(RunReport.read(path)), ({ message }) => message)
      expect(yield* messageOf(join(folder, "none"))).toMatch(/none: there is no such/)
      expect(yield* messageOf(folder)).toMatch(/holds nothing of a run/)
      const damaged = {
        "experiment.json": "{",
        "history.jsonl": "what\n",
        "evaluation.json": '{"format":"other"}',
        "denoise.json": "[]"
      }
      for (const [name, text] of Object.entries(damaged)) {
        const own = join(folder, `of-${name}`)
        yield* Files.write(join(own, name), text)
        expect(yield* messageOf(own)).toContain(join(own, name))
      }
      const found = { name: "a", grids: [] }
      const twice = yield* Effect.flip(RunReport.make([found, found]))
      expect(twice.message).toMatch(/two runs are called "a"/)
      expect((yield* Effect.flip(RunReport.make([]))).message).toMatch(/no runs/)
    }).pipe(Effect.scoped)
  )
})
