/** Killed at random moments, a run loses nothing that it had written, and ends as though it had never been killed. */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import { afterAll, expect, it } from "vitest"
import * as Checkpoint from "../../src/Pipeline/Checkpoint.ts"
import { HostRandom } from "../../src/Tensor/index.ts"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-crash-"))
afterAll(() => Fs.rmSync(root, { recursive: true, force: true }))

const script = Path.join(import.meta.dirname, "..", "support", "train.ts")
const kills = 40
const steps = 600

/** Runs until it ends, or is killed so long after its steps began. */
const run = (folder: string, killedAfter?: number): Promise<"ended" | "killed"> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, folder, String(steps)])
    let errors = ""
    child.stderr.on("data", (text) => (errors += text))
    child.stdout.on("data", () => {
      if (killedAfter !== undefined) setTimeout(() => child.kill("SIGKILL"), killedAfter)
    })
    child.on("exit", (code, signal) => {
      if (signal === "SIGKILL") resolve("killed")
      else if (code === 0) resolve("ended")
      else reject(new Error(errors))
    })
  })

const read = <A>(effect: Effect.Effect<A, unknown, NodeServices.NodeServices>) =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer) as Effect.Effect<A>)

/** The hashes of all that the last checkpoint holds, and the losses of the history. */
const end = async (folder: string) => {
  const [last] = (await read(Checkpoint.list(Path.join(folder, "checkpoints")))).toReversed()
  const { manifest } = await read(Checkpoint.read(last.path))
  const lines = Fs.readFileSync(Path.join(folder, "history.jsonl"), "utf8").trim().split("\n")
  const history = lines.map((line) => {
    const { milliseconds, ...event } = JSON.parse(line)
    return event
  })
  return { manifest, history }
}

it("killed forty times", { timeout: 600_000 }, async () => {
  const whole = Path.join(root, "whole")
  const torn = Path.join(root, "torn")
  await run(whole)
  // spread over what the steps take, the time it takes to write a checkpoint many times in it
  const { data: moments } = HostRandom.uniform(HostRandom.key(5), [kills], { max: 150 })
  let seen = -1
  for (const moment of moments) {
    expect(await run(torn, moment)).toBe("killed")
    const all = await read(Checkpoint.list(Path.join(torn, "checkpoints")))
    for (const { path, step } of all) {
      const { snapshot } = await read(Checkpoint.read(path))
      expect(snapshot.step).toBe(step)
    }
    const newest = all.at(-1)?.step ?? -1
    expect(newest).toBeGreaterThanOrEqual(seen)
    seen = newest
  }
  expect(await run(torn)).toBe("ended")
  const [expected, found] = [await end(whole), await end(torn)]
  expect(found.manifest.step).toBe(steps)
  expect(found.manifest).toEqual(expected.manifest)
  expect(found.history).toEqual(expected.history)
  expect(found.history.length).toBe(steps)
})
