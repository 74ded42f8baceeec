/** What the documents show is run. */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, describe, expect, it } from "vitest"
import { Tree } from "../src/Tensor/index.ts"

const root = Path.join(import.meta.dirname, "..")
const scratch = Fs.mkdtempSync(Path.join(root, "node_modules", ".odeon-"))
const folders: Array<string> = [scratch]
afterAll(() => {
  for (const folder of folders) Fs.rmSync(folder, { recursive: true, force: true })
})

const blocks = (file: string): ReadonlyArray<string> =>
  [...Fs.readFileSync(Path.join(root, file), "utf8").matchAll(/```ts\n(.*?)```/gs)].map(
    ([, text]) => text
  )

/** A block as a module of its own, with the package's name standing for its sources. */
const load = async (name: string, text: string): Promise<Record<string, unknown>> => {
  const path = Path.join(scratch, `${name}.ts`)
  const source = text.replace(
    /from "odeon\/(\w+)"/g,
    (_, room) => `from "${root}/src/${room}/index.ts"`
  )
  Fs.writeFileSync(path, `${source}\nexport { main }\n`)
  return import(/* @vite-ignore */ path)
}

describe("README", () => {
  it("its first example trains, and draws digits", async () => {
    const [block] = blocks("README.md")
    // two steps will do
    const { main } = await load("readme-pipeline", block.replaceAll("1000", "2"))
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-readme-"))
    folders.push(folder)
    const before = process.cwd()
    process.chdir(folder)
    try {
      await Effect.runPromise(main as Effect.Effect<never>)
    } finally {
      process.chdir(before)
    }
    expect(Fs.readFileSync(Path.join(folder, "digits.png")).subarray(1, 4).toString()).toBe("PNG")
  })

  it("its second example computes a loss and a gradient", async () => {
    const [, block] = blocks("README.md")
    const { main } = await load("readme", block)
    const { loss, gradient } = (await Effect.runPromise(main as Effect.Effect<never>)) as {
      readonly loss: { readonly data: Float32Array }
      readonly gradient: { readonly data: Float32Array; readonly shape: ReadonlyArray<number> }
    }
    // x is all ones and y all zeros: the loss is tanh²(1 + 2 + 3), and all three weights weigh alike
    const t = Math.tanh(6)
    expect(loss.data[0]).toBeCloseTo(t * t, 5)
    expect(gradient.shape).toEqual([3, 1])
    for (const each of gradient.data) expect(each).toBeCloseTo(2 * t * (1 - t * t), 6)
  })

  it("its third example integrates a swing", async () => {
    const [, , block] = blocks("README.md")
    const { main } = await load("readme-solver", block)
    const { y, times, states } = (await Effect.runPromise(main as Effect.Effect<never>)) as {
      readonly y: number
      readonly times: ReadonlyArray<number>
      readonly states: ReadonlyArray<number>
    }
    expect(times).toEqual([2, 4, 6, 8])
    for (const [i, t] of [...times, 10].entries())
      expect([...states, y][i]).toBeCloseTo(Math.exp(Math.sin(t)), 6)
  })

  it("its fourth example makes layers, and a network's gradients", async () => {
    const [, , , block] = blocks("README.md")
    const { main } = await load("readme-layer", block)
    const { loss, gradients } = (await Effect.runPromise(main as Effect.Effect<never>)) as {
      readonly loss: { readonly data: Float32Array }
      readonly gradients: unknown
    }
    // far from what it should learn
    expect(loss.data[0]).toBeGreaterThan(0.5)
    const leaves = Tree.entries<{ readonly data: Float32Array }>(gradients)
    expect(leaves.map(([path]) => path)).toContain("middle.acceleration.conv1.weight")
    for (const [path, { data }] of leaves)
      expect(data.every(Number.isFinite) && data.some((each) => each !== 0), path).toBe(true)
  })

  it("has no more examples than are run here", () => {
    expect(blocks("README.md").length).toBe(4)
  })
})

describe("README, commands", () => {
  /** What makes a command quick, after what it is shown with. */
  const less: Readonly<Record<string, ReadonlyArray<string>>> = {
    train: ["--batch", "2", "--steps", "2", "--samples-every", "1"],
    sample: ["--count", "4", "--steps", "2"],
    evaluate: ["--count", "10", "--steps", "2", "--reference", "200"],
    denoise: ["--count", "2", "--levels", "0.1", "--steps", "2"]
  }
  const text = Fs.readFileSync(Path.join(root, "README.md"), "utf8")
  const lines = [...text.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) =>
    block.split("\n").map((line) => line.replace(/#.*/, "").trim())
  )
  const commands = lines.filter((line) => line.startsWith("npx odeon "))

  it("others are scripts of the package, which CI runs", () => {
    const { scripts } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
    const rest = lines.filter((line) => line !== "" && !commands.includes(line))
    expect(rest).toEqual(["npm ci && npm run quickstart", "npm test"])
    expect(scripts.quickstart).toContain("bin/odeon.js quickstart")
  })

  it("do what they are shown to do, one after the other", { timeout: 300_000 }, () => {
    expect(commands.length).toBeGreaterThan(8)
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-readme-"))
    folders.push(folder)
    const env = { ...process.env, XDG_CACHE_HOME: Path.join(folder, "cache") }
    for (const command of commands) {
      const [, , name, ...args] = command.split(/\s+/)
      // of a flag that is given twice, one is too many
      const extra = less[name] ?? []
      const told = args.filter((each, i) => !extra.includes(each) && !extra.includes(args[i - 1]))
      const rest = args.includes("--resume") ? ["--steps", "3"] : extra
      const { status, stderr } = spawnSync(
        process.execPath,
        [Path.join(root, "bin/odeon.js"), name, ...told, ...rest],
        { cwd: folder, env, encoding: "utf8" }
      )
      expect(stderr, command).toBe("")
      expect(status, command).toBe(0)
    }
    for (const path of [
      "runs/digits/report.html",
      "runs/digits/evaluation.json",
      "denoising.webp"
    ]) {
      expect(Fs.existsSync(Path.join(folder, path)), path).toBe(true)
    }
  })
})

/** What an example writes to stdout, run in a folder of its own. */
const example = (name: string, ...args: ReadonlyArray<string>) => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-example-"))
  folders.push(folder)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [Path.join(root, "examples", name), ...args],
    { cwd: folder, encoding: "utf8" }
  )
  expect(stderr).toBe("")
  expect(status).toBe(0)
  return { stdout, read: (path: string) => Fs.readFileSync(Path.join(folder, path)) }
}
describe("examples", () => {
  it("regression.ts learns the curve and draws it", { timeout: 120_000 }, () => {
    const { stdout, read } = example("regression.ts")
    const [, before, after] = stdout.match(/Loss ([\d.]+) at first, ([\d.]+) after/) ?? []
    // the noise has variance 0.04: less cannot be reached, and a network that has learnt nothing stays above 1
    expect(Number(before)).toBeGreaterThan(0.5)
    expect(Number(after)).toBeLessThan(0.07)
    const svg = read("out/regression.svg").toString()
    expect(svg).toContain("<svg")
    expect(svg.match(/aria-roledescription="point"/g) ?? svg.match(/<path/g)).not.toBeNull()
  })

  it("custom-solver.ts verifies a method, and uses it", { timeout: 60_000 }, () => {
    const { stdout } = example("custom-solver.ts")
    expect(stdout).toContain("keeps its laws")
    const missed = [...stdout.matchAll(/to 1e-9: (\d+) evaluations, misses by ([\d.e-]+)/g)]
    expect(missed).toHaveLength(2)
    for (const [, evaluations, distance] of missed) {
      expect(Number(evaluations)).toBeLessThan(4000)
      expect(Number(distance)).toBeLessThan(1e-6)
    }
    const [, low, high] = stdout.match(/(\d+) steps for the lowest pendulum, (\d+) for/) ?? []
    expect(Number(low)).toBeGreaterThan(5)
    expect(Number(high)).not.toBe(Number(low))
  })

  it("two-moons.ts learns the moons and draws them", { timeout: 120_000 }, () => {
    const { stdout, read } = example("two-moons.ts")
    const [, before, after] = stdout.match(/Loss ([\d.]+) at first, ([\d.]+) after/) ?? []
    // a network that has learnt nothing stays at 1, the variance of v; the best possible is at 0.8
    expect(Number(before)).toBeGreaterThan(0.9)
    expect(Number(after)).toBeLessThan(0.93)
    expect(Number(after)).toBeGreaterThan(0.75)
    expect(read("out/two-moons.svg").toString()).toContain("<svg")
  })

  it("train.ts trains, and draws what it samples", { timeout: 120_000 }, () => {
    const { stdout, read } = example("train.ts", "8")
    const [, loss] = stdout.match(/step 0: loss ([\d.]+)/) ?? []
    // v has variance about 1
    expect(Number(loss)).toBeGreaterThan(0.5)
    expect(Number(loss)).toBeLessThan(2)
    expect(read("out/digits.png").subarray(1, 4).toString()).toBe("PNG")
  })

  it("pipeline.ts does what the commands do", { timeout: 180_000 }, () => {
    const { stdout, read } = example("pipeline.ts", "20")
    expect(stdout).toMatch(/\n20 steps, /)
    for (const table of [/^model +FID +KID/m, /^digits +\d/m]) expect(stdout).toMatch(table)
    expect(read("out/samples/000039.png").subarray(1, 4).toString()).toBe("PNG")
    const page = read("out/digits.html").toString()
    for (const section of ["Training", "Quality and cost", "Denoising"]) {
      expect(page).toContain(`>${section}<`)
    }
  })

  it("custom-schedule.ts verifies a schedule, and trains with it", { timeout: 120_000 }, () => {
    const { stdout, read } = example("custom-schedule.ts")
    expect(stdout).toContain("lingering: all laws hold")
    expect(read("out/custom-schedule.svg").toString()).toContain("<svg")
  })

  it("custom-sampler.ts verifies a sampler of order two", { timeout: 60_000 }, () => {
    const { stdout } = example("custom-sampler.ts")
    expect(stdout).toContain("all laws hold")
    const errors = [...stdout.matchAll(/an error of ([\d.]+), Euler's ([\d.]+)/g)].map(
      ([, mine, euler]) => [Number(mine), Number(euler)]
    )
    expect(errors).toHaveLength(4)
    const [before, last] = errors.slice(-2)
    expect(before[0] / last[0]).toBeGreaterThan(3.2)
    expect(before[1] / last[1]).toBeLessThan(2.2)
  })

  it("swap-denoiser.ts samples with whichever denoiser is provided", { timeout: 60_000 }, () => {
    const shares = [...example("swap-denoiser.ts").stdout.matchAll(/: (\d+) % on the right/g)]
    const [alike, more, guided] = shares.map(([, share]) => Number(share))
    expect(Math.abs(alike - 50)).toBeLessThan(5)
    expect(Math.abs(more - 75)).toBeLessThan(5)
    expect(guided).toBeGreaterThan(85)
  })

  it("each one is run here", () => {
    const all = Fs.readdirSync(Path.join(root, "examples")).filter((each) => each.endsWith(".ts"))
    const text = Fs.readFileSync(import.meta.filename, "utf8")
    expect(all.filter((each) => !text.includes(each))).toEqual([])
  })
})
