/** Each field of a configuration reaches what it is for, and what is none is refused with what would work. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { describe, expect } from "vitest"
import { Schedule, TimeDensity, Weighting } from "../../src/Diffusion/index.ts"
import * as Ema from "../../src/Pipeline/Ema.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as LearningRate from "../../src/Pipeline/LearningRate.ts"
import * as Networks from "../../src/Pipeline/Networks.ts"
import * as Npy from "../../src/Pipeline/Npy.ts"
import * as Optimizer from "../../src/Pipeline/Optimizer.ts"
import * as Train from "../../src/Pipeline/Train.ts"
import { Program, Tensor } from "../../src/Tensor/index.ts"
import * as Tiny from "../support/tiny.ts"

const { name: _, ...fields } = Tiny.network

const seen = new Set<string>()

/** The experiment of some fields beside the smallest ones. */
const made = (options: Experiment.Options) => {
  for (const field of Object.keys(options)) seen.add(field)
  return Experiment.make({ ...Tiny.experiment, ...options })
}

/** What a loss computes: equal where it is the same. */
const computed = ({ parameters, loss }: Train.Task): string =>
  Program.makeUnsafe(
    {
      values: parameters,
      data: Tensor.spec([2, 1, 8, 8]),
      labels: Tensor.spec([2], "int32"),
      key: Tensor.spec([2], "uint32")
    },
    ({ values, data, labels, key }) => loss(values as never, { data, labels }, key as never).loss
  ).graph.key

layer(NodeServices.layer)("an experiment", (it) => {
  const labels = { conditional: true } as const
  const objectives: ReadonlyArray<
    readonly [Experiment.Options, Partial<Train.DiffusionOptions>, classes?: number]
  > = [
    [{}, {}],
    [{ schedule: { name: "vp", max: 10 } }, { schedule: Schedule.vp({ max: 10 }) }],
    [{ prediction: "noise" }, { prediction: "noise" }],
    [
      { prediction: { kind: "edm", deviation: 0.3 } },
      { prediction: { kind: "edm", deviation: 0.3 } }
    ],
    [{ weighting: { name: "min-snr", gamma: 3 } }, { weighting: Weighting.minSnr({ gamma: 3 }) }],
    [
      { times: { name: "logit-normal", mean: 0.2 } },
      { times: TimeDensity.logitNormal({ mean: 0.2 }) }
    ],
    [{ stratified: true }, { times: TimeDensity.stratified(TimeDensity.uniform()) }],
    [
      { stratified: true, times: "logit-normal" },
      { times: TimeDensity.stratified(TimeDensity.logitNormal()) }
    ],
    [
      { stratified: true, schedule: "linear" },
      { schedule: Schedule.linear(), times: TimeDensity.stratified(TimeDensity.steps) }
    ],
    [{ distance: "l1" }, { distance: "l1" }],
    [{ distance: { huber: 0.5 } }, { distance: { huber: 0.5 } }],
    [{ offset: 0.1 }, { offset: 0.1 }],
    [{ perturbation: 0.1 }, { perturbation: 0.1 }],
    [labels, { dropLabels: 0.1 }, 11],
    [{ ...labels, dropLabels: 0.25 }, { dropLabels: 0.25 }, 11]
  ]

  it.effect("makes the loss that its fields tell, and no other", () =>
    Effect.gen(function* () {
      const keys = new Set<string>()
      for (const [options, own, classes] of objectives) {
        const network = yield* Networks.preset("unet", {
          ...fields,
          channels: 1,
          size: 8,
          ...(classes === undefined ? {} : { classes })
        })
        const expected = Train.diffusion({
          network,
          schedule: Schedule.cosine(),
          prediction: "v",
          ...own
        })
        const found = computed((yield* made(options)).training.task)
        expect(found === computed(expected), JSON.stringify(options)).toBe(true)
        keys.add(found)
      }
      expect(keys.size).toBe(objectives.length)
    })
  )

  it.effect("makes the training that its fields tell", () =>
    Effect.gen(function* () {
      const { config, network, training } = yield* made({
        data: { name: "digits", size: 8, seed: 5 },
        network: { ...Tiny.network, width: 8 },
        optimizer: { name: "lion" },
        rate: { name: "cosine", rate: 1e-2, warmUp: 10 },
        clip: 0.5,
        batch: 3,
        accumulate: 2,
        steps: 100,
        averages: { long: { name: "halfLife", images: 600 }, short: { name: "power", gamma: 3 } },
        seed: 11,
        nonFinite: "skip"
      })
      expect(training).toMatchObject({
        batch: 3,
        accumulate: 2,
        clip: 0.5,
        seed: 11,
        nonFinite: "skip"
      })
      expect(training.data.fingerprint).toBe(
        (yield* made({ data: { name: "digits", size: 8, seed: 5 } })).data.fingerprint
      )
      expect(training.data.fingerprint).not.toBe((yield* made({})).data.fingerprint)
      expect(training.optimizer.name).toBe(Optimizer.lion().name)
      const rate = LearningRate.warmUp(LearningRate.cosine({ rate: 1e-2, steps: 90 }), 10)
      const decays = {
        long: Ema.halfLife({ images: 600, batch: 6 }),
        short: Ema.power({ gamma: 3 })
      }
      expect(Object.keys(training.averages ?? {})).toEqual(["long", "short"])
      for (const update of [0, 5, 10, 50, 99]) {
        expect(training.rate(update)).toBe(rate(update))
        for (const [name, { decay }] of Object.entries(decays)) {
          expect(training.averages?.[name].decay(update)).toBe(decay(update))
        }
      }
      expect(network.config).toMatchObject({ width: 8, channels: 1, size: [8, 8] })
      // what it holds is all there is to know
      const again = yield* Experiment.make(JSON.parse(JSON.stringify(config)))
      expect(again.config).toEqual(config)
      expect(computed(again.training.task)).toBe(computed(training.task))
      expect((yield* made({ clip: null })).training.clip).toBeUndefined()
    })
  )

  it.effect("knows all fields of its network, before its data are there and after", () =>
    Effect.gen(function* () {
      for (const name of Object.keys(Networks.presets)) {
        const given = yield* Experiment.parse({ network: { name, heads: 2 } })
        const complete = yield* Experiment.complete(given)
        const { config } = yield* Networks.preset(name, { heads: 2 } as never)
        const { channels, dimensions, classes, size, ...fields } = config as typeof config & {
          readonly classes?: number
        }
        expect(complete).toEqual({ ...given, network: { name, ...fields } })
        expect(yield* Experiment.complete(yield* Experiment.parse(complete))).toEqual(complete)
      }
      const told = { name: "cunet-small", channels: 1, size: 12 }
      const { network } = yield* Experiment.complete(yield* Experiment.parse({ network: told }))
      expect(network).toMatchObject(told)
      const odd = yield* Experiment.parse({ network: { name: "cunet", width: 3 } })
      expect((yield* Effect.flip(Experiment.complete(odd))).message).toContain("CUNet: groups: ")
      // what a preset says is kept, whatever it will say
      const { config } = yield* Experiment.make({ data: "digits" })
      expect(config.network).toEqual({
        ...Networks.presets["cunet-small"].options,
        name: "cunet-small",
        dimensions: 2,
        size: [28, 28]
      })
    })
  )

  it("has no field that was not looked at", () => {
    expect([...seen].toSorted()).toEqual(Object.keys(Experiment.Config.fields).toSorted())
  })

  it.effect("learns what no class is told of, as its data are", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/images.npy`
      const floats = { dtype: "float32", shape: [4, 1, 8, 8], data: new Float32Array(256) } as const
      yield* files.writeFile(path, Npy.encode(Npy.fromHostArray(floats)))
      const options = {
        ...Tiny.experiment,
        data: { name: path, layout: "first", range: "-1..1" }
      } as const
      expect((yield* Experiment.make(options)).network.config.classes).toBeUndefined()
      const { message } = yield* Effect.flip(Experiment.make({ ...options, conditional: true }))
      expect(message).toMatch(
        /^experiment: conditional: .* has no classes to tell: take other data/
      )
    })
  )

  const refused: ReadonlyArray<readonly [unknown, string]> = [
    [{ bacth: 3 }, 'experiment: bacth: there is no such field; did you mean "batch"?'],
    [{ data: "digitz" }, 'data: there are no data "digitz"; did you mean "digits"?'],
    [{ data: "moons" }, "which no preset takes: train a network of your own by Train.make"],
    [{ network: "cunett" }, 'there is no "cunett"; did you mean "cunet"?'],
    [
      { network: { name: "unet", widht: 3 } },
      'widht: there is no such field; did you mean "width"?'
    ],
    [
      { network: { ...Tiny.network, channels: 3 } },
      "experiment: network.channels: 3 is not that of digits, 1: leave it out"
    ],
    [
      { network: { ...Tiny.network, size: 16 } },
      "experiment: network.size: [16,16] is not that of digits, [8,8]: leave it out"
    ],
    [
      { network: { ...Tiny.network, classes: 11 } },
      "experiment: network.classes: the network is told no classes unless `conditional` is true"
    ],
    [
      { network: { ...Tiny.network, classes: 10 }, conditional: true },
      "experiment: network.classes: 10 is not that of digits, 11: leave it out"
    ],
    [
      { network: { ...Tiny.network, selfConditioning: true } },
      "experiment: network.selfConditioning: nothing here tells networks what they estimated before"
    ],
    [
      { network: "unet", data: "digits" },
      "multiples of 8 can, such as 24 and 32; bring those of digits to one by data.pad or data.size, or take a network that halves them"
    ],
    [{ schedule: "cosin" }, 'there is no "cosin"; did you mean "cosine"?'],
    [{ schedule: { name: "vp", maks: 3 } }, 'did you mean "max"?'],
    [{ prediction: "flaw" }, 'prediction: there is no "flaw"; did you mean "flow"?'],
    [{ weighting: "min-snrr" }, 'there is no "min-snrr"; did you mean "min-snr"?'],
    [{ times: "unifrom" }, 'there is no "unifrom"; did you mean "uniform"?'],
    [{ optimizer: { name: "adm" } }, 'optimizer: there is no "adm"; did you mean "adam"?'],
    [{ rate: { name: "cosin" } }, 'rate: there is no "cosin"; did you mean "cosine"?'],
    [
      { rate: { name: "cosine", rate: 1e-3, warmUp: 10 }, steps: 5 },
      "a warm-up of 10 updates leaves none of the training's 5"
    ],
    [{ averages: { ema: { name: "warmup" } } }, 'averages.ema: there is no "warmup"; did you mean'],
    [{ averages: { ema: { name: "power" } } }, "tell either `deviation` or `gamma`"],
    [{ steps: 0 }, "steps: must be a value greater than or equal to 1, not 0"],
    [{ nonFinite: "stpo" }, 'nonFinite: there is no "stpo"; did you mean "stop"?'],
    [{ distance: "l2" }, 'distance: there is no "l2"']
  ]

  it.effect.each(refused)("%j is refused: %s", ([options, says]) =>
    Effect.gen(function* () {
      const given = { ...Tiny.experiment, ...(options as Experiment.Options) }
      const { message } = yield* Effect.flip(Experiment.make(given))
      expect(message).toContain(says)
    })
  )
})

describe("the number of parameters", () => {
  it.effect("is that of those that are trained", () =>
    Effect.gen(function* () {
      const network = yield* Networks.preset("unet", { ...fields, channels: 1, size: 8 })
      const denoising = { network, schedule: Schedule.cosine(), prediction: "v" } as const
      expect(Experiment.parameterCount(denoising)).toBe(Networks.parameterCount(network))
    })
  )
})
