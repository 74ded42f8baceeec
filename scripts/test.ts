/**
 * Type check, lint, format check and tests; the last line it writes is `N passed, N failed`, with
 * `, N skipped` where tests were skipped. With `--fast`: the tests alone, without `*.slow.test.ts`.
 * Other arguments are vitest's, such as a part of a file's name or `-t` and a part of a test's.
 *
 * Whatever else goes wrong (a check, a file that does not load, an error that no test caught)
 * counts as one failure.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { configDefaults } from "vitest/config"
import { parseCLI, startVitest, type TestModule, type TestSuite } from "vitest/node"

const root = Path.join(import.meta.dirname, "..")
process.chdir(root)

const checks = ["check", "lint", "format:check"]

const args = process.argv.slice(2)
const fast = args.includes("--fast")
const { filter, options } = parseCLI([
  "vitest",
  "run",
  ...args.filter((argument) => argument !== "--fast")
])

let passed = 0
let failed = 0
let skipped = 0

if (!fast) {
  const { scripts } = JSON.parse(Fs.readFileSync("package.json", "utf8"))
  const bin = Path.join(root, "node_modules", ".bin")
  const env = { ...process.env, PATH: `${bin}${Path.delimiter}${process.env.PATH}` }
  for (const name of checks) {
    console.log(`> ${scripts[name]}`)
    const { status } = spawnSync(scripts[name], { shell: true, stdio: "inherit", env })
    if (status !== 0) {
      console.log(`${name} failed`)
      failed++
    }
  }
}

/** Errors outside of tests: a file that does not load, a hook that throws. */
const count = (parent: TestModule | TestSuite): void => {
  failed += parent.errors().length
  for (const child of parent.children) {
    if (child.type === "suite") {
      count(child)
      continue
    }
    switch (child.result().state) {
      case "passed":
        passed++
        break
      case "skipped":
        skipped++
        break
      default: // failed, or never finished
        failed++
    }
  }
}

const vitest = await startVitest(filter, {
  ...options,
  run: true,
  watch: false,
  ...(fast ? { exclude: [...configDefaults.exclude, "**/*.slow.test.ts"] } : {})
})
for (const module of vitest.state.getTestModules()) count(module)
failed += vitest.state.getUnhandledErrors().length
if (failed === 0 && process.exitCode) failed = 1 // such as: no test was found
await vitest.close()

const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`
process.stdout.write(line, () => process.exit(failed > 0 ? 1 : 0))
