/** Files: whole or not at all, whatever fails and whenever. */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import * as Files from "../../src/Pipeline/Files.ts"
import type { FileError } from "../../src/Pipeline/PipelineError.ts"

const base = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-files-"))
afterAll(() => Fs.rmSync(base, { recursive: true, force: true }))

let folders = 0
const fresh = () => {
  const path = Path.join(base, `${folders++}`)
  Fs.mkdirSync(path)
  return path
}

type Services = NodeServices.NodeServices

const run = <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))

const failure = (effect: Effect.Effect<unknown, FileError, Services>) => run(Effect.flip(effect))

/** All files in a folder, hidden ones too, with what is in them. */
const contents = (folder: string) =>
  Object.fromEntries(
    Fs.readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const path = Path.join(entry.parentPath, entry.name)
        return [Path.relative(folder, path), Fs.readFileSync(path, "utf8")]
      })
  )

/** Calls that write; a full disk fails any of them. */
const writing = new Set(["makeDirectory", "open", "writeAll", "writeFile", "sync", "rename"])

/** A file system on which, after some calls that write, there is no more space: what is written then goes halfway. */
const filling = (inner: FileSystem.FileSystem, calls: number) => {
  let left = calls
  const full = () => {
    const cause = Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })
    return PlatformError.systemError({
      ...{ _tag: "Unknown", module: "FileSystem", method: "any", cause }
    })
  }
  const wrapped = <A extends object>(of: A): A =>
    new Proxy(of, {
      get: (target, name) => {
        const own: any = Reflect.get(target, name, target)
        if (typeof name !== "string" || !(writing.has(name) || name === "open")) {
          return typeof own === "function" ? own.bind(target) : own
        }
        const guarded = (effect: Effect.Effect<unknown, unknown>, half: typeof effect) =>
          Effect.suspend(() => (left-- > 0 ? effect : Effect.andThen(half, Effect.fail(full()))))
        if (typeof own !== "function") return guarded(own, Effect.void)
        return (...args: ReadonlyArray<never>) => {
          const reads = name === "open" && (args[1] as { flag?: string })?.flag === "r"
          const effect: Effect.Effect<unknown, unknown> = Effect.map(
            own.apply(target, args),
            (made) => (name === "open" ? wrapped(made as object) : made)
          ) as never
          if (reads) return effect
          const bytes = args[0] as Uint8Array
          const half: Effect.Effect<unknown, unknown> =
            name === "writeAll"
              ? own.call(target, bytes.subarray(0, bytes.length >> 1))
              : Effect.void
          return guarded(effect, half)
        }
      }
    })
  return wrapped(inner)
}

/** What comes of writing where the disk is full after some calls. */
const filled = (calls: number, effect: Effect.Effect<unknown, FileError, Services>) =>
  run(
    Effect.gen(function* () {
      const inner = yield* FileSystem.FileSystem
      return yield* Effect.result(
        Effect.provideService(effect, FileSystem.FileSystem, filling(inner, calls))
      )
    })
  )

/** As many calls as no write needs. */
const calls = fc.integer({ min: 0, max: 16 })

describe("where the disk is full", () => {
  it("a file is there whole, or as it was before", () =>
    fc.assert(
      fc.asyncProperty(calls, fc.option(fc.string()), fc.string(), async (calls, before, after) => {
        const folder = fresh()
        const path = Path.join(folder, before === null ? "new" : "", "file")
        if (before !== null) Fs.writeFileSync(path, before)
        const name = Path.relative(folder, path)
        const found = await filled(calls, Files.write(path, after))
        if (found._tag === "Success") {
          expect(contents(folder)).toEqual({ [name]: after })
          return
        }
        expect(found.failure).toMatchObject({ path, reason: "full" })
        expect(found.failure.message).toBe(
          `cannot write ${path}: there is no space left on the device; free some, or choose another place`
        )
        expect(contents(folder)).toEqual(before === null ? {} : { [name]: before })
      })
    ))

  it("a folder is there whole or not at all", () =>
    fc.assert(
      fc.asyncProperty(calls, async (calls) => {
        const folder = fresh()
        const path = Path.join(folder, "made")
        const files = { a: Uint8Array.of(97, 97), b: Uint8Array.of(98) }
        const found = await filled(calls, Files.writeFolder(path, Object.entries(files)))
        const whole = { "made/a": "aa", "made/b": "b" }
        if (found._tag === "Failure") expect(found.failure).toMatchObject({ path, reason: "full" })
        expect(contents(folder)).toEqual(found._tag === "Success" ? whole : {})
      })
    ))

  it("what is added is there whole or not at all", () =>
    fc.assert(
      fc.asyncProperty(calls, fc.string(), fc.string(), async (calls, before, added) => {
        const folder = fresh()
        const path = Path.join(folder, "log")
        Fs.writeFileSync(path, before)
        const found = await filled(calls, Files.append(path, added))
        expect(contents(folder)).toEqual({
          log: found._tag === "Success" ? before + added : before
        })
      })
    ))

  it("some writes succeed, and some do not", async () => {
    const path = Path.join(fresh(), "a", "file")
    const tags = new Set<string>()
    for (let calls = 0; calls <= 16; calls++) {
      tags.add((await filled(calls, Files.write(path, "x")))._tag)
    }
    expect([...tags]).toEqual(["Failure", "Success"])
  })
})

describe("write", () => {
  it("writes what a link leads to, and leaves the link", async () => {
    const folder = fresh()
    const [real, link] = [Path.join(folder, "b", "real"), Path.join(folder, "link")]
    Fs.mkdirSync(Path.dirname(real))
    Fs.writeFileSync(real, "before")
    Fs.symlinkSync(real, link)
    await run(Files.write(link, "after"))
    expect(Fs.readFileSync(real, "utf8")).toBe("after")
    expect(Fs.lstatSync(link).isSymbolicLink()).toBe(true)
  })

  it.skipIf(!Fs.existsSync("/dev/full"))("leaves devices what they are", async () => {
    const folder = fresh()
    const [full, none] = [Path.join(folder, "full"), Path.join(folder, "null")]
    Fs.symlinkSync("/dev/full", full)
    Fs.symlinkSync("/dev/null", none)
    expect(await failure(Files.write(full, "x"))).toMatchObject({ reason: "full", path: full })
    await run(Files.write(none, "x"))
    expect(Fs.statSync("/dev/null").isCharacterDevice()).toBe(true)
    expect(Fs.readdirSync(folder)).toEqual(["full", "null"])
  })

  it("says what stands in the way", async () => {
    const folder = fresh()
    const file = Path.join(folder, "file")
    Fs.writeFileSync(file, "x")
    const under = Path.join(file, "a", "b")
    for (const [effect, path, reason, why] of [
      [Files.write(folder, "y"), folder, "kind", "it is a folder"],
      [Files.write(under, "y"), under, "kind", `${file} is no folder`],
      [Files.writeFolder(under, []), under, "kind", `${file} is no folder`],
      [Files.write("", "y"), "", "missing", "a path is wanted"]
    ] as const) {
      expect(await failure(effect)).toMatchObject({
        ...{ path, reason },
        message: `cannot write ${path || '""'}: ${why}`
      })
    }
    expect(await failure(Files.makeFolder(file))).toMatchObject({ reason: "kind" })
    expect(await failure(Files.makeFolder(""))).toMatchObject({ reason: "missing" })
    expect(contents(folder)).toEqual({ file: "x" })
  })

  // Node's own way to make folders never ends there
  it.skipIf(!Fs.existsSync("/proc/self"))("ends where no folder can be made", async () => {
    for (const effect of [
      Files.makeFolder("/proc/nope/a"),
      Files.write("/proc/nope/a/b", "x"),
      Files.writeFolder("/proc/nope/a", [])
    ]) {
      const error = await failure(effect)
      expect(error).toMatchObject({ reason: "denied" })
      expect(error.message).toMatch(/: no folder can be made at \/proc\/nope$/)
    }
  })

  it("makes folders that others make at the same time", async () => {
    const folder = fresh()
    const path = Path.join(folder, "a", "b", "c", "d")
    await run(
      Effect.forEach(
        Array.from({ length: 20 }, (_, i) => `${i}`),
        (name) => Files.write(Path.join(path, name), name),
        { concurrency: "unbounded" }
      )
    )
    expect(Fs.readdirSync(path)).toHaveLength(20)
  })
})

describe("what is larger than Node reads or writes at once", () => {
  const size = 2 ** 31 + 5
  /** A file system that looks at nothing but the lengths of what is read and written. */
  const large = (inner: FileSystem.FileSystem, lengths: Array<number>): FileSystem.FileSystem => ({
    ...inner,
    open: (path, options) =>
      Effect.map(inner.open(path, options), (file) => {
        const take = (bytes: Uint8Array) => {
          expect(bytes.length).toBeLessThan(2 ** 31)
          lengths.push(bytes.length)
        }
        return Object.create(file, {
          writeAll: { value: (bytes: Uint8Array) => Effect.sync(() => take(bytes)) },
          read: {
            value: (bytes: Uint8Array, { position }: FileSystem.File.ReadOptions) => {
              take(bytes)
              expect(Number(position)).toBe(lengths.slice(0, -1).reduce((a, b) => a + b, 0))
              return Effect.succeed(bytes.length)
            }
          }
        })
      })
  })
  const total = (lengths: ReadonlyArray<number>) => lengths.reduce((a, b) => a + b, 0)

  it("is read and written in pieces", async () => {
    const path = Path.join(fresh(), "large")
    Fs.writeFileSync(path, "")
    Fs.truncateSync(path, size)
    const [read, written]: [Array<number>, Array<number>] = [[], []]
    await run(
      Effect.gen(function* () {
        const inner = yield* FileSystem.FileSystem
        const through = (lengths: Array<number>) =>
          Effect.provideService(FileSystem.FileSystem, large(inner, lengths))
        const bytes = yield* Files.read(path).pipe(through(read))
        expect(bytes.length).toBe(size)
        yield* Files.write(`${path}-too`, bytes).pipe(through(written))
      })
    )
    expect(total(read)).toBe(size)
    expect(total(written)).toBe(size)
  })
})

describe("what is written", () => {
  it("is on the disk before it has its name", async () => {
    const told: Array<string> = []
    const folder = fresh()
    const watched = Effect.map(
      FileSystem.FileSystem,
      (files): FileSystem.FileSystem => ({
        ...files,
        open: (path, options) =>
          Effect.map(files.open(path, options), (file) => {
            const tell = (what: string) => Effect.sync(() => told.push(`${what} ${options?.flag}`))
            return Object.create(file, {
              writeAll: {
                value: (bytes: Uint8Array) => Effect.andThen(tell("writes"), file.writeAll(bytes))
              },
              sync: { value: Effect.andThen(tell("syncs"), file.sync) }
            })
          }),
        rename: (from, to) =>
          Effect.andThen(
            Effect.sync(() => told.push("renames")),
            files.rename(from, to)
          )
      })
    )
    const through = Effect.provideServiceEffect(FileSystem.FileSystem, watched)
    const path = Path.join(folder, "a")
    await run(through(Files.write(path, "text")))
    expect(told.splice(0)).toEqual(["writes w", "syncs w", "renames", "syncs r"])
    await run(through(Files.writeFolder(Path.join(folder, "b"), [["c", Uint8Array.of(1)]])))
    expect(told.splice(0)).toEqual(["writes w", "syncs w", "syncs r", "renames", "syncs r"])
    await run(through(Files.append(path, "more")))
    expect(told).toEqual(["writes a", "syncs a"])
  })
})

describe("sweep", () => {
  it("removes what killed writers left, and nothing else", async () => {
    const folder = fresh()
    const { pid } = spawnSync(process.execPath, ["--version"])
    const others = [`.a.${process.ppid}-x-3.part`, ".b.part", "c.1-x-1.part", "d"]
    // in a container, one before this had the same number
    for (const name of [`.a.${pid}-x-0.part`, `.a.${process.pid}-x-0.part`, ...others])
      Fs.writeFileSync(Path.join(folder, name), "")
    Fs.mkdirSync(Path.join(folder, `.e.${pid}-x-1.part`, "f"), { recursive: true })
    await run(Files.sweep(folder))
    expect(Fs.readdirSync(folder)).toEqual(others)
    await run(Files.sweep(Path.join(folder, "none")))
  })

  it("leaves what is being written", async () => {
    const folder = fresh()
    const seen: Array<string> = []
    const swept = Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const paused: FileSystem.FileSystem = {
        ...files,
        rename: (from, to) =>
          Effect.gen(function* () {
            yield* Effect.orDie(
              Effect.provideService(Files.sweep(folder), FileSystem.FileSystem, files)
            )
            seen.push(...Fs.readdirSync(folder))
            return yield* files.rename(from, to)
          }).pipe(Effect.provide(NodeServices.layer))
      }
      yield* Effect.provideService(
        Files.writeFolder(Path.join(folder, "made"), [["a", Uint8Array.of(97)]]),
        FileSystem.FileSystem,
        paused
      )
    })
    await run(swept)
    expect(seen).toEqual([expect.stringMatching(/^\.made\..*\.part$/)])
    expect(contents(folder)).toEqual({ "made/a": "a" })
  })
})

describe("writable", () => {
  it("says before the work what writing would say after it, and makes nothing", async () => {
    const folder = fresh()
    const at = (...names: ReadonlyArray<string>) => Path.join(folder, ...names)
    Fs.mkdirSync(at("folder"))
    Fs.writeFileSync(at("file"), "x")
    Fs.symlinkSync(at("nowhere"), at("dangling"))
    for (const path of [at("new"), at("file"), at("a", "b"), at("folder", "c"), "/dev/null"]) {
      await run(Files.writable(path, "file"))
    }
    for (const path of [at("folder"), at("a", "b"), folder]) {
      await run(Files.writable(path, "folder"))
    }
    for (const [path, what] of [
      [at("folder"), "file"],
      [at("file"), "folder"],
      [at("file", "a", "b"), "file"],
      [at("file", "a"), "folder"],
      ["", "file"]
    ] as const) {
      const before = await failure(Files.writable(path, what))
      const after = await failure(
        what === "file" ? Files.write(path, "y") : Files.write(Path.join(path, "z"), "y")
      )
      expect(before.reason).toBe(after.reason)
    }
    expect(contents(folder)).toEqual({ file: "x" })
  })

  it.skipIf(process.getuid?.() === 0)("knows what is read-only (skipped for root)", async () => {
    const folder = fresh()
    const [closed, file] = [Path.join(folder, "closed"), Path.join(folder, "file")]
    Fs.mkdirSync(closed, { mode: 0o555 })
    Fs.writeFileSync(file, "x", { mode: 0o444 })
    const inside = Path.join(closed, "a")
    for (const effect of [
      Files.writable(inside, "file"),
      Files.writable(closed, "folder"),
      Files.write(inside, "y"),
      Files.writable(file, "file"),
      Files.write(file, "y")
    ]) {
      expect(await failure(effect)).toMatchObject({ reason: "denied" })
    }
    expect(contents(folder)).toEqual({ file: "x" })
  })
})
