/** The program `odeon`, as its users start it. */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { afterAll } from "vitest"
import * as Commands from "../../src/cli/Commands.ts"
import * as Tiny from "./tiny.ts"

/** The smallest network, as arguments of `train`. */
export const smallest = ["--set", `network=${JSON.stringify(Tiny.network)}`]

export const program = Path.join(import.meta.dirname, "../../bin/odeon.js")

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** Sees the output as it grows. */
  readonly watch?: (stdout: string, child: ReturnType<typeof spawn>) => void
}

/** A folder for the tests of a file, and the program in it. */
export const inFolder = () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-cli-"))
  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))
  const odeon = (args: ReadonlyArray<string>, { env = {}, watch }: Options = {}) =>
    new Promise<Ended>((resolve, reject) => {
      const child = spawn(process.execPath, [program, ...args], {
        cwd: folder,
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let [stdout, stderr] = ["", ""]
      child.stdout.setEncoding("utf8").on("data", (part) => {
        stdout += part
        watch?.(stdout, child)
      })
      child.stderr.setEncoding("utf8").on("data", (part) => {
        stderr += part
      })
      child.on("error", reject)
      child.on("close", (status) => resolve({ status, stdout, stderr }))
    })
  return { folder, odeon, at: (...names: ReadonlyArray<string>) => Path.join(folder, ...names) }
}

/** The program without a process of its own, in the folder that the tests run in: quicker, and the same but for signals. */
export const odeon = (...args: ReadonlyArray<string>): Promise<Ended> => {
  let [stdout, stderr] = ["", ""]
  const out = (part: unknown) => {
    stdout += part
  }
  const stdio = Stdio.make({
    args: Effect.succeed(args),
    stdout: () => Sink.forEach((part) => Effect.sync(() => out(part))),
    stderr: () => Sink.drain,
    stdin: Stream.empty
  })
  const console = {
    ...globalThis.console,
    log: (text: unknown) => out(`${text}\n`),
    error: (text: unknown) => {
      stderr += `${text}\n`
    }
  }
  return Commands.run({ version: "0.0.0" }).pipe(
    Effect.provideService(Stdio.Stdio, stdio),
    Effect.provideService(Console.Console, console as never),
    Effect.provide(NodeServices.layer),
    Effect.exit,
    Effect.map((exit) => {
      let status = 0
      Runtime.defaultTeardown(exit, (code) => {
        status = code
      })
      return { status, stdout, stderr }
    }),
    Effect.runPromise
  )
}
