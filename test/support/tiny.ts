/** Experiments of the smallest kind, for tests of what is around the network. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { Parameter } from "../../src/Layer/index.ts"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import * as Dataset from "../../src/Pipeline/Dataset.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import { DType, HostRandom, Shape, type Tensor } from "../../src/Tensor/index.ts"

export const network = {
  name: "unet",
  width: 4,
  multipliers: [1],
  attention: ["none"],
  middleAttention: "none",
  groups: 1,
  blocks: 1
} as const

/** A U-Net of few thousand parameters on digits of 8×8. */
export const experiment = {
  data: { name: "digits", size: 8 },
  network,
  batch: 2,
  rate: { name: "constant", rate: 1e-3 }
} as const satisfies Experiment.Options

/** Values for parameters, none of which is 0: a network with them does something before it is trained. */
export const weightsOf = (
  parameters: unknown,
  seed = 3
): Readonly<Record<string, Tensor.HostArray>> => {
  const all = Parameter.toRecord(Parameter.init(parameters, seed)) as unknown as Readonly<
    Record<string, Tensor.HostArray>
  >
  return Object.fromEntries(
    Object.entries(all).map(([path, { shape, dtype }], i) => {
      const key = HostRandom.foldIn(HostRandom.key(seed), i)
      const { data } = HostRandom.normal(key, [Shape.size(shape)])
      const values = DType.allocate("float32", data.length)
      data.forEach((each, j) => {
        values[j] = each / 4
      })
      return [path, { shape, dtype, data: values }]
    })
  )
}

/** All bits of some arrays, by name. */
export const bitsOf = (arrays: Readonly<Record<string, Tensor.HostArray>>) =>
  Object.fromEntries(
    Object.entries(arrays)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { data }]) => [
        name,
        Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex")
      ])
  )

// ── Runs ─────────────────────────────────────────────────────────────────────────────────────────

/** Of a run. */
export const steps = 14

/** Two of its steps are left out: an item of each is beyond all bounds. */
export const made = Effect.fnUntraced(function* (
  options: Experiment.Options = {},
  spoilt = [9, 20]
) {
  const made = yield* Experiment.make({
    ...experiment,
    rate: { name: "cosine", rate: 1e-2, steps: 20 },
    averages: { ema: { name: "warmUp" }, power: { name: "power", deviation: 0.1 } },
    accumulate: 2,
    batch: 1,
    nonFinite: "skip",
    steps,
    ...options
  })
  const data = Dataset.map(made.data, {
    as: `spoilt ${spoilt}`,
    apply: (from, to, { index }) => {
      if (spoilt.includes(index)) to.fill(1e30)
      else to.set(from)
    }
  })
  return { ...made, data, training: { ...made.training, data } }
})

/** Of all that is random there is something: items are moved and mirrored, labels are dropped. */
export const random = {
  data: { ...experiment.data, crop: 2, flip: true },
  conditional: true,
  dropLabels: 0.5
} as const satisfies Experiment.Options

/** Leaves something every few steps. */
export const often: Omit<Run.Options, "folder"> = {
  checkpoint: 3,
  retention: { last: Number.POSITIVE_INFINITY },
  samples: { every: 5, count: 2, plan: 2 },
  resume: true
}

export const temporary = Effect.flatMap(FileSystem.FileSystem, (files) =>
  files.makeTempDirectoryScoped()
)

export const eventsOf = <E, R>(stream: Stream.Stream<Run.Event, E, R>) =>
  Effect.map(Stream.runCollect(stream), (all) => Array.from(all))

/** All that a run leaves and that must be the same: of checkpoints, those that every run makes. */
export const left = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const history = (yield* Run.history(folder)).map((event) =>
    event._tag === "Step" ? { ...event, milliseconds: 0 } : event
  )
  const all = yield* Checkpoint.list(`${folder}/checkpoints`)
  const manifests = yield* Effect.forEach(all, ({ path }) =>
    Effect.map(Checkpoint.read(path), ({ manifest }) => manifest)
  )
  const names = yield* files.readDirectory(`${folder}/samples`)
  const samples = yield* Effect.forEach(names.toSorted(), (name) =>
    Effect.map(files.readFile(`${folder}/samples/${name}`), (bytes) => [
      name,
      Buffer.from(bytes).toString("base64")
    ])
  )
  return {
    history,
    manifests: manifests.filter(({ step }) => step % 3 === 0 || step === steps),
    samples,
    names: (yield* files.readDirectory(folder)).toSorted()
  }
})
