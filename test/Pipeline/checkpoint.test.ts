/** Checkpoints are there whole or not at all, and are refused where they are not as they were written. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as EffectPath from "effect/Path"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import type { CheckpointError } from "../../src/Pipeline/PipelineError.ts"
import type { Snapshot } from "../../src/Pipeline/Train.ts"
import type { Tensor } from "../../src/Tensor/index.ts"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-checkpoint-"))
afterAll(() => Fs.rmSync(root, { recursive: true, force: true }))

let made = 0
const folder = () => Path.join(root, String(made++))

type Services = FileSystem.FileSystem | EffectPath.Path

const run = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer) as Effect.Effect<A, E>)

const refusal = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  run(Effect.flip(effect)) as Promise<CheckpointError>

const floats = (...values: ReadonlyArray<number>): Tensor.HostArray => ({
  dtype: "float32",
  shape: [values.length],
  data: Float32Array.from(values)
})

const snapshotOf = (step: number, weight = step): Snapshot => ({
  step,
  skipped: 1,
  weights: { "a.weight": floats(weight, -0, Number.NaN), "a.bias": floats() },
  averages: { ema: { "a.weight": floats(1, 2, 3), "a.bias": floats() } },
  optimizer: { "mean.a.weight": floats(1e-40, 2, 3) }
})

const contentOf = (step: number, weight?: number): Checkpoint.Content => ({
  snapshot: snapshotOf(step, weight),
  configuration: { data: "digits", network: { name: "cunet", width: 8 } },
  data: { name: "digits", fingerprint: "abc", position: 64 * step },
  metrics: { loss: 0.25, none: Number.NaN }
})

const stepsOf = async (path: string) => (await run(Checkpoint.list(path))).map(({ step }) => step)

describe("a checkpoint", () => {
  it("is read as it was written, to the last bit", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(12)))
    const { manifest, snapshot } = await run(Checkpoint.read(at))
    const bits = ({ data }: Tensor.HostArray) =>
      Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex")
    const flat = ({ weights, averages, optimizer, ...rest }: Snapshot) => ({
      ...rest,
      arrays: [weights, optimizer, ...Object.values(averages)].map((all) =>
        Object.entries(all)
          .map(([name, each]) => [name, each.shape, each.dtype, bits(each)] as const)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
      )
    })
    expect(flat(snapshot)).toEqual(flat(snapshotOf(12)))
    expect(manifest).toMatchObject({
      configuration: contentOf(12).configuration,
      data: contentOf(12).data,
      metrics: { loss: 0.25, none: null },
      averages: ["ema"]
    })
    expect(Fs.readdirSync(at).toSorted()).toEqual([
      "average-ema.safetensors",
      "manifest.json",
      "optimizer.safetensors",
      "weights.safetensors"
    ])
  })

  it("is written a file at a time, so that memory holds no second copy of all", async () => {
    const told: Array<string> = []
    const tell = (what: string) => {
      if (told.at(-1) !== what) told.push(what)
    }
    const watched = (what: string, arrays: Snapshot["weights"]) =>
      new Proxy(arrays, {
        ownKeys: (target) => {
          tell(what)
          return Reflect.ownKeys(target)
        }
      })
    const snapshot = snapshotOf(1)
    const content: Checkpoint.Content = {
      ...contentOf(1),
      snapshot: {
        ...snapshot,
        weights: watched("weights", snapshot.weights),
        averages: { ema: watched("ema", snapshot.averages.ema) },
        optimizer: watched("optimizer", snapshot.optimizer)
      }
    }
    const path = folder()
    await run(
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const open: FileSystem.FileSystem["open"] = (path, options) => {
          if (options?.flag === "w") tell(Path.basename(path))
          return files.open(path, options)
        }
        yield* Effect.provideService(Checkpoint.write(path, content), FileSystem.FileSystem, {
          ...files,
          open
        })
      })
    )
    expect(told).toEqual([
      ...["weights", "weights.safetensors", "optimizer", "optimizer.safetensors"],
      ...["ema", "average-ema.safetensors", "manifest.json"]
    ])
  })

  it("stays while it is among the last, or of a step that is kept", async () => {
    const path = folder()
    for (const step of [5, 10, 15, 20, 25, 30]) {
      await run(Checkpoint.write(path, contentOf(step), { last: 2, every: 10 }))
    }
    expect(await stepsOf(path)).toEqual([10, 20, 25, 30])
    const all = folder()
    for (const step of [1, 2, 3, 4, 5]) {
      await run(Checkpoint.write(all, contentOf(step), { last: Number.POSITIVE_INFINITY }))
    }
    expect(await stepsOf(all)).toEqual([1, 2, 3, 4, 5])
    // one that is written late is older than those that are there, and stays all the same
    await run(Checkpoint.write(all, contentOf(0), { last: 1 }))
    expect(await stepsOf(all)).toEqual([0, 5])
    expect(Fs.readdirSync(path).filter((name) => name.startsWith("."))).toEqual([])
  })

  it("of a step that is there already stays as it is; a damaged one is written anew", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(3)))
    const { ino } = Fs.statSync(Path.join(at, "weights.safetensors"))
    await run(Checkpoint.write(path, contentOf(3)))
    expect(Fs.statSync(Path.join(at, "weights.safetensors")).ino).toBe(ino)
    Fs.truncateSync(Path.join(at, "weights.safetensors"), 20)
    await run(Checkpoint.write(path, contentOf(3)))
    expect((await run(Checkpoint.read(at))).snapshot.step).toBe(3)
  })

  it("of a step that is there already, but holds something else, takes its place", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(3)))
    await run(Checkpoint.write(path, contentOf(3, 5)))
    const weight = (await run(Checkpoint.read(at))).snapshot.weights["a.weight"]
    expect(weight.data[0]).toBe(5)
    Fs.rmSync(at, { recursive: true })
    Fs.writeFileSync(at, "a file")
    await run(Checkpoint.write(path, contentOf(3)))
    expect((await run(Checkpoint.read(at))).snapshot.step).toBe(3)
  })

  it("is read without what the optimiser remembers where that is not wanted", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(3)))
    Fs.rmSync(Path.join(at, "optimizer.safetensors"))
    expect((await refusal(Checkpoint.read(at))).message).toMatch(/lacks its optimizer.safetensors/)
    for (const effect of [
      Checkpoint.read(at, { optimizer: false }),
      Checkpoint.open(path, { optimizer: false })
    ]) {
      const { snapshot } = await run(effect)
      expect(snapshot.optimizer).toEqual({})
      expect(snapshot.weights["a.weight"].data[0]).toBe(3)
    }
  })

  it("is of whatever made it, or of nothing that can be told", async () => {
    const path = folder()
    const at = await run(
      Checkpoint.write(path, { snapshot: snapshotOf(1), configuration: undefined })
    )
    expect((await run(Checkpoint.read(at))).manifest.configuration).toBe(null)
  })

  it("is refused whatever byte of it is changed, and wherever it is cut", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(7)))
    const names = Fs.readdirSync(at)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.constantFrom("flip", "cut", "lose"),
        async (name, place, how) => {
          const file = Path.join(at, name)
          const whole = Fs.readFileSync(file)
          const damaged = Buffer.from(whole)
          const where = place % whole.length
          damaged[where] ^= 0x10
          if (how === "lose") Fs.rmSync(file)
          else Fs.writeFileSync(file, how === "flip" ? damaged : whole.subarray(0, where))
          try {
            const result = await run(Effect.result(Checkpoint.read(at)))
            // what the manifest says beside the hashes may change and still be a manifest
            if (result._tag === "Success") {
              expect(name).toBe("manifest.json")
              expect(how).toBe("flip")
              return
            }
            const error = result.failure as CheckpointError
            expect(error._tag).toBe("CheckpointError")
            expect(["corrupt", "foreign"]).toContain(error.reason)
            expect(error.message).toContain(at)
          } finally {
            Fs.writeFileSync(file, whole)
          }
        }
      ),
      { numRuns: 200 }
    )
  })

  it("that is none is refused with the reason", async () => {
    const path = folder()
    const at = await run(Checkpoint.write(path, contentOf(7)))
    const manifest = Path.join(at, "manifest.json")
    const text = Fs.readFileSync(manifest, "utf8")
    const told = async (json: string) => {
      Fs.writeFileSync(manifest, json)
      const { reason, message } = await refusal(Checkpoint.read(at))
      return `${reason}: ${message}`
    }
    expect(await told('{ "format": "other" }')).toMatch(/^foreign: .* of another program/)
    expect(await told(text.replace('"version": 1', '"version": 2'))).toMatch(
      /^foreign: .* of version 2, but 1 is read/
    )
    expect(await told(text.slice(0, 100))).toMatch(/^corrupt: .* damaged manifest/)
    expect(await told("null")).toMatch(/^foreign/)
    expect(await told(text.replace("weights.safetensors", "weight.safetensors"))).toMatch(
      /^corrupt: .* does not speak of weights\.safetensors/
    )
    Fs.mkdirSync(Path.join(path, "step-00000009"))
    expect((await refusal(Checkpoint.latest(path))).reason).toBe("foreign")
    expect((await refusal(Checkpoint.open(folder()))).reason).toBe("missing")
    const empty = folder()
    Fs.mkdirSync(empty)
    expect((await refusal(Checkpoint.open(empty))).message).toContain("there is no checkpoint in")
  })

  it("before a damaged one is taken only where falling back is allowed", async () => {
    const path = folder()
    await run(Checkpoint.write(path, contentOf(1)))
    const good = await run(Checkpoint.write(path, contentOf(2)))
    const bad = await run(Checkpoint.write(path, contentOf(3)))
    Fs.rmSync(Path.join(bad, "optimizer.safetensors"))
    const error = await refusal(Checkpoint.latest(path))
    expect(error).toMatchObject({ reason: "corrupt", path: bad })
    expect(error.message).toContain(`the one before it is ${good}`)
    const open = await run(Checkpoint.open(path, { fallback: true }))
    expect(open.snapshot.step).toBe(2)
    Fs.rmSync(Path.join(good, "optimizer.safetensors"))
    expect((await run(Checkpoint.open(path, { fallback: true }))).snapshot.step).toBe(1)
    // where all are, it is the newest that is spoken of
    Fs.truncateSync(Path.join(path, "step-00000001", "weights.safetensors"), 20)
    const all = await refusal(Checkpoint.open(path, { fallback: true }))
    expect(all).toMatchObject({ reason: "corrupt", path: bad })
    expect(all.message).toContain(`${bad} lacks its optimizer.safetensors`)
    expect(all.message).not.toContain("the one before it")
  })

  it("that cannot be written leaves those that are there", async () => {
    const path = folder()
    await run(Checkpoint.write(path, contentOf(1)))
    const blocked = Path.join(path, "step-00000002")
    Fs.writeFileSync(blocked, "a file where a folder is to be")
    const file = Path.join(root, "file")
    Fs.writeFileSync(file, "")
    const error = await refusal(Checkpoint.write(Path.join(file, "under"), contentOf(2)))
    expect(error).toMatchObject({ _tag: "FileError", reason: "kind" })
    expect(error.message).toContain(file)
    expect(await stepsOf(path)).toContain(1)
  })

  it("half-written by a writer that was killed is swept up", async () => {
    const path = folder()
    // beyond the numbers that processes have
    const dead = Path.join(path, ".step-00000004.99999999-a-0.part")
    Fs.mkdirSync(dead, { recursive: true })
    Fs.writeFileSync(Path.join(dead, "weights.safetensors"), "half")
    await run(Checkpoint.write(path, contentOf(5)))
    expect(Fs.readdirSync(path)).toEqual(["step-00000005"])
  })
})
