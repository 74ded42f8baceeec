/** What is published: it runs and is typed in a project of its own, in TypeScript and in JavaScript, and carries nothing else. */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const root = Path.join(import.meta.dirname, "..")
const scratch = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-package-"))
afterAll(() => Fs.rmSync(scratch, { recursive: true, force: true }))

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>) => {
  const path = `${Path.dirname(process.execPath)}${Path.delimiter}${process.env.PATH}`
  const env = { ...process.env, PATH: path, NODE_OPTIONS: "" }
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" })
  expect(`${stderr}${status === 0 ? "" : stdout}`, [command, ...args].join(" ")).toBe("")
  return stdout
}

const copy = Path.join(scratch, "copy")
const project = Path.join(scratch, "project")
const installed = Path.join(project, "node_modules", "odeon")
let example = ""
let files: ReadonlyArray<string> = []
let manifest: Readonly<Record<string, Readonly<Record<string, string>>>> = {}

beforeAll(() => {
  // packing rewrites package.json for a while, which others may be reading
  Fs.mkdirSync(copy)
  const parts = ["src", "bin", "scripts", "package.json", "README.md", "LICENSE", ".npmrc"]
  for (const part of [...parts, "tsconfig.json", "tsconfig.build.json"]) {
    Fs.cpSync(Path.join(root, part), Path.join(copy, part), { recursive: true })
  }
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(copy, "node_modules"))
  run(copy, "npm", "pack", "--silent", "--pack-destination", scratch)
  const [archive] = Fs.readdirSync(scratch).filter((name) => name.endsWith(".tgz"))

  Fs.mkdirSync(installed, { recursive: true })
  run(scratch, "tar", "-xzf", archive, "-C", installed, "--strip-components=1")
  manifest = JSON.parse(Fs.readFileSync(Path.join(installed, "package.json"), "utf8"))
  // no more than what is declared, beside the types of Node
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  for (const name of [...declared, "@types/node"]) {
    const link = Path.join(project, "node_modules", name)
    Fs.mkdirSync(Path.dirname(link), { recursive: true })
    Fs.symlinkSync(Path.join(root, "node_modules", name), link)
  }
  files = Fs.readdirSync(installed, { recursive: true, encoding: "utf8" })
  const [, block] = /```ts\n(.*?)```/s.exec(
    Fs.readFileSync(Path.join(installed, "README.md"), "utf8")
  ) as RegExpExecArray
  example = `${block.replaceAll("1000", "2")}\nawait Effect.runPromise(main)\n`
  Fs.writeFileSync(Path.join(project, "package.json"), '{ "type": "module", "private": true }')
}, 180_000)

describe("the package", () => {
  it("carries neither tests nor data nor Node", () => {
    const rooms = [...new Set(files.map((path) => path.split(Path.sep)[0]))].toSorted()
    expect(rooms).toEqual(["LICENSE", "README.md", "bin", "dist", "package.json", "scripts", "src"])
    expect(files.filter((path) => /test|fixture|\.(node|png|gz|json)$/.test(path))).toEqual([
      "package.json"
    ])
    for (const key of ["scripts", "devDependencies", "optionalDependencies", "allowScripts"]) {
      expect(manifest).not.toHaveProperty(key)
    }
    const bytes = files.reduce((sum, path) => sum + Fs.statSync(Path.join(installed, path)).size, 0)
    expect(bytes).toBeLessThan(12e6)
  })

  it("runs the README's example in TypeScript, with types", { timeout: 180_000 }, () => {
    Fs.writeFileSync(Path.join(project, "example.ts"), example)
    Fs.writeFileSync(
      Path.join(project, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          exactOptionalPropertyTypes: true,
          target: "es2023",
          module: "nodenext",
          noEmit: true,
          skipLibCheck: true,
          types: ["node"]
        },
        files: ["example.ts"]
      })
    )
    run(project, process.execPath, Path.join(root, "node_modules/typescript/bin/tsc"), "-p", ".")
    run(project, process.execPath, "--no-warnings", "example.ts")
    expect(Fs.statSync(Path.join(project, "digits.png")).size).toBeGreaterThan(1000)
  })

  it("runs it in JavaScript", { timeout: 120_000 }, () => {
    Fs.rmSync(Path.join(project, "digits.png"), { force: true })
    Fs.writeFileSync(Path.join(project, "example.js"), example)
    run(project, process.execPath, "example.js")
    expect(Fs.statSync(Path.join(project, "digits.png")).size).toBeGreaterThan(1000)
  })

  it("has a command", { timeout: 60_000 }, () => {
    const odeon = Path.join(installed, "bin", "odeon.js")
    expect(run(project, process.execPath, odeon, "networks")).toContain("cunet-public")
  })
})
