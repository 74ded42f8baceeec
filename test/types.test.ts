/** What the compiler says of programs that do not fit, and what it costs to check those that do. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, describe, expect, it } from "vitest"

const root = Path.join(import.meta.dirname, "..")
const folder = (() => {
  const parent = Path.join(root, "node_modules", ".cache")
  Fs.mkdirSync(parent, { recursive: true })
  return Fs.mkdtempSync(Path.join(parent, "types-"))
})()

afterAll(() => Fs.rmSync(folder, { recursive: true }))

/** What the compiler prints about a program. */
const check = async (name: string, program: string): Promise<string> => {
  const project = Path.join(folder, `${name}.json`)
  Fs.writeFileSync(
    Path.join(folder, `${name}.ts`),
    `import * as Tensor from "../../../src/Tensor/Tensor.ts"\n${program}`
  )
  Fs.writeFileSync(
    project,
    JSON.stringify({
      extends: Path.join(root, "tsconfig.json"),
      compilerOptions: { incremental: false },
      include: [`${name}.ts`],
      exclude: []
    })
  )
  const compiler = Path.join(root, "node_modules", "typescript", "bin", "tsc")
  const options = ["-p", project, "--extendedDiagnostics", "--singleThreaded", "--pretty", "false"]
  const ran = promisify(execFile)(process.execPath, [compiler, ...options])
  const { stdout } = await ran.catch((error: { readonly stdout: string }) => error)
  return stdout
}

describe("where shapes do not fit, the compiler says why", () => {
  const mistakes: ReadonlyArray<readonly [code: string, sentence: string]> = [
    ["Tensor.add(a, Tensor.zeros([4]))", "[2, 3] cannot be broadcast with [4]"],
    ["a.pipe(Tensor.add(Tensor.zeros([4])))", "[2, 3] cannot be broadcast with [4]"],
    ["Tensor.select(c, a, Tensor.zeros([4]))", "[2, 3] cannot be broadcast with [4]"],
    ["Tensor.less(a, Tensor.zeros([4]))", "[2, 3] cannot be broadcast with [4]"],
    [
      "Tensor.matmul(a, Tensor.zeros([2, 5]))",
      "[2, 3] times [2, 5]: the inner sizes 3 and 2 differ"
    ],
    [
      "a.pipe(Tensor.matmul(Tensor.zeros([2, 5])))",
      "[2, 3] times [2, 5]: the inner sizes 3 and 2 differ"
    ],
    ["Tensor.matmul(a, Tensor.zeros([3]))", "[2, 3] times [3]: a matrix needs two axes"],
    [
      "Tensor.transpose(a, [0, 1, 2])",
      "[2, 3] cannot be permuted by [0, 1, 2]: one entry for each axis is needed"
    ],
    [
      "Tensor.conv(Tensor.zeros([1, 4, 8, 8]), Tensor.zeros([6, 5, 3, 3]))",
      "[1, 4, 8, 8] has 4 channels, but the kernel [6, 5, 3, 3] takes 5"
    ],
    [
      "Tensor.conv(Tensor.zeros([1, 4, 8, 8]), Tensor.zeros([6, 4, 3]))",
      "[1, 4, 8, 8] and the kernel [6, 4, 3] have different numbers of spatial axes"
    ],
    [
      'Tensor.add(a, Tensor.zeros([2, 3], "int32"))',
      `'"int32"' is not assignable to type '"float32"'`
    ]
  ]

  it("in one sentence at the argument", async () => {
    const lines = mistakes.map(([code]) => code)
    const said = await check(
      "mistakes",
      ["const a = Tensor.zeros([2, 3])", "const c = Tensor.less(a, 0)", ...lines].join("\n")
    )
    const errors = said.split(/^(?=\S+\.ts\()/m).filter((each) => each.includes("mistakes.ts("))
    expect(errors.length).toBe(mistakes.length)
    mistakes.forEach(([code, sentence], i) => {
      expect(errors[i], code).toContain(`mistakes.ts(${i + 4},`)
      expect(errors[i], code).toContain(sentence)
    })
  })
})

it("checks thousands of operations fast", async () => {
  const block = (i: number) => `
    const c${i} = Tensor.conv(x${i}, kernel, { padding: "same" })
    const x${i + 1} = Tensor.add(c${i}, bias).pipe(Tensor.silu, Tensor.mul(x${i}))
    const w${i + 1} = Tensor.matmul(w${i}, square)
    const m${i} = Tensor.mean(w${i + 1}, { axis: ${i % 2}, keepDims: true })
    const t${i} = Tensor.transpose(w${i + 1}, [1, 0])`
  const network = (name: string, blocks: number) => `
  export const ${name} = () => {
    const x0 = Tensor.zeros([16, 8, 32, 32])
    const w0 = Tensor.zeros([64, 32])
    const kernel = Tensor.zeros([8, 8, 3, 3])
    const bias = Tensor.zeros([8, 1, 1])
    const square = Tensor.zeros([32, 32])${Array.from({ length: blocks }, (_, i) => block(i)).join("")}
    const end: Tensor.Tensor<readonly [16, 8, 32, 32]> = x${blocks}
    return [end, t0] as const
  }`
  const many = Array.from({ length: 86 }, (_, i) => network(`network${i}`, 5))
  const figures = async (name: string, program: string) => {
    const said = await check(name, program)
    expect(said).not.toContain("error TS")
    const figure = (of: string) => Number(new RegExp(`^${of}:\\s+([\\d.]+)`, "m").exec(said)?.[1])
    return { instantiations: figure("Instantiations"), seconds: figure("Check time") }
  }
  const base = await figures("one", network("network", 1))
  const all = await figures("many", many.join("\n"))
  // 86 times 5 blocks of 7 operations: 3010
  expect((all.instantiations - base.instantiations) / 3010).toBeLessThan(20)
  // about 0.2 seconds where nothing else runs
  expect(all.seconds - base.seconds).toBeLessThan(3)
})
