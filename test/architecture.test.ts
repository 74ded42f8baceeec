import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import * as Architecture from "./support/architecture.ts"

const root = Path.join(import.meta.dirname, "..")

const check = (files: Record<string, string>) =>
  Architecture.check(
    Object.entries(files).map(([path, text]) => ({ path, text })),
    ["effect", "fast-check", "onnxruntime-node"]
  )

describe("the library", () => {
  const { dependencies, peerDependencies } = JSON.parse(
    Fs.readFileSync(Path.join(root, "package.json"), "utf8")
  )

  it("keeps its rooms apart, without cycles", () => {
    const sources = Architecture.read(root)
    expect(sources.length).toBeGreaterThan(0)
    expect(
      Architecture.check(sources, Object.keys({ ...dependencies, ...peerDependencies }))
    ).toEqual([])
  })

  it("has an index in each room", () => {
    const paths = Architecture.read(root).map(({ path }) => path)
    const inhabited = Object.keys(Architecture.rooms).filter((room) =>
      paths.some((path) => path.startsWith(`src/${room}/`))
    )
    expect(inhabited.filter((room) => !paths.includes(`src/${room}/index.ts`))).toEqual([])
  })

  it("has rooms that do not depend on each other in a circle", () => {
    const graph = new Map(
      Object.entries(Architecture.rooms).map(([name, room]) => [name, room.rooms])
    )
    expect(Architecture.cyclesOf(graph)).toEqual([])
  })
})

describe("the reading of imports", () => {
  it("sees every form of import", () => {
    const text = [
      `import a from "a"`,
      `import * as B from "./B.ts"`,
      `import { c, type C } from "c"`,
      `import {`,
      `  d,`,
      `  e as f`,
      `} from "d"`,
      `import g, { h } from "g"`,
      `import "side-effect"`,
      `export * from "./i.ts"`,
      `export * as J from "./J.ts"`,
      `export { k } from './k.ts'`,
      `const l = () => import("l")`
    ].join("\n")
    expect(Architecture.importsOf(text)).toEqual([
      { specifier: "a", kind: "value" },
      { specifier: "./B.ts", kind: "value" },
      { specifier: "c", kind: "value" },
      { specifier: "d", kind: "value" },
      { specifier: "g", kind: "value" },
      { specifier: "side-effect", kind: "value" },
      { specifier: "./i.ts", kind: "value" },
      { specifier: "./J.ts", kind: "value" },
      { specifier: "./k.ts", kind: "value" },
      { specifier: "l", kind: "lazy" }
    ])
  })

  it("tells types from values", () => {
    const text = [
      `import type A from "a"`,
      `import type { B } from "b"`,
      `import type * as C from "c"`,
      `export type { D } from "d"`,
      `export type E = string`,
      `import type from "f"`
    ].join("\n")
    expect(Architecture.importsOf(text)).toEqual([
      { specifier: "a", kind: "type" },
      { specifier: "b", kind: "type" },
      { specifier: "c", kind: "type" },
      { specifier: "d", kind: "type" },
      { specifier: "f", kind: "value" }
    ])
  })

  it("passes over comments, strings and other exports", () => {
    const text = [
      `/**`,
      ` * import * as A from "a"`,
      ` * const b = await import("b")`,
      ` */`,
      `// import "c"`,
      `const d = 1 // not import("d")`,
      `export const from = "e"`,
      `export default from`,
      `export { d }`,
      `const f = 'import "f"'`
    ].join("\n")
    expect(Architecture.importsOf(text)).toEqual([])
  })
})

describe("the check", () => {
  it("passes what the rooms allow", () => {
    expect(
      check({
        "src/index.ts": `export * as Tensor from "./Tensor/index.ts"`,
        "src/Tensor/index.ts": `export * as Shape from "./Shape.ts"`,
        "src/Tensor/Shape.ts": `import * as Effect from "effect/Effect"\nimport { a } from "./internal/a.ts"`,
        "src/Tensor/internal/a.ts": `import type { Shape } from "../Shape.ts"`,
        "src/Device/Onnx.ts": `import * as Ort from "onnxruntime-node"\nimport * as Os from "node:os"\nimport * as Shape from "../Tensor/Shape.ts"`,
        "src/Layer/Linear.ts": `import * as Tensor from "../Tensor/index.ts"`,
        "src/Laws/Layer.ts": `import * as fc from "fast-check"\nimport * as Linear from "../Layer/Linear.ts"`
      })
    ).toEqual([])
  })

  const refuses = (what: string, files: Record<string, string>, ...said: ReadonlyArray<string>) =>
    it(`refuses ${what}`, () => {
      const breaches = check(files)
      expect(breaches).toHaveLength(said.length)
      said.forEach((words, i) => {
        expect(breaches[i]).toContain(words)
      })
    })

  refuses(
    "an import to the right",
    {
      "src/Tensor/A.ts": `import * as B from "../Device/B.ts"`,
      "src/Device/B.ts": ""
    },
    'src/Tensor/A.ts: imports "../Device/B.ts", but Tensor may import no other room'
  )

  refuses(
    "rooms that must not know each other",
    {
      "src/Layer/A.ts": `import * as B from "../Diffusion/B.ts"`,
      "src/Diffusion/B.ts": `export const f = () => import("../Layer/A.ts")`
    },
    "but Layer may import Tensor, Solver",
    "but Diffusion may import Tensor, Solver"
  )

  refuses(
    "a type from a forbidden room",
    {
      "src/Solver/A.ts": `import type { B } from "../Layer/B.ts"`,
      "src/Layer/B.ts": ""
    },
    "but Solver may import Tensor"
  )

  refuses(
    "the internals of another room",
    {
      "src/Device/A.ts": `import { b } from "../Tensor/internal/b.ts"`,
      "src/Tensor/internal/b.ts": ""
    },
    "which is internal to another room"
  )

  refuses(
    "a forbidden package",
    { "src/Tensor/A.ts": `import * as Fs from "node:fs"\nimport * as fc from "fast-check"` },
    "but Tensor may use effect only",
    "but Tensor may use effect only"
  )

  refuses(
    "a package that is not a dependency",
    { "src/Device/A.ts": `import type { X } from "@scope/missing/deep"` },
    "not a dependency"
  )

  refuses(
    "the barrel of effect",
    { "src/Tensor/A.ts": `import { Effect } from "effect"` },
    `import the module, "effect/…"`
  )

  refuses(
    "relative imports without their ending",
    { "src/Tensor/A.ts": `import * as B from "./B"`, "src/Tensor/B.ts": "" },
    "end in .ts"
  )

  refuses(
    "files outside of src",
    { "src/Tensor/A.ts": `import * as B from "../../test/B.ts"` },
    "not a file of src"
  )

  refuses(
    "a room importing the whole library",
    { "src/Tensor/A.ts": `import * as Odeon from "../index.ts"`, "src/index.ts": "" },
    "no room imports the whole library"
  )

  refuses("a room that is not planned", { "src/Misc/A.ts": "" }, "is in none of the rooms")

  refuses(
    "a cycle",
    {
      "src/Tensor/A.ts": `import { b } from "./B.ts"`,
      "src/Tensor/B.ts": `export * from "./C.ts"`,
      "src/Tensor/C.ts": `import "./A.ts"`
    },
    "src/Tensor/A.ts → src/Tensor/B.ts → src/Tensor/C.ts → src/Tensor/A.ts: is a cycle"
  )

  refuses(
    "a file that imports itself",
    { "src/Tensor/A.ts": `import * as A from "./A.ts"` },
    "src/Tensor/A.ts → src/Tensor/A.ts"
  )

  it("allows circles of types and of lazy imports", () => {
    expect(
      check({
        "src/Tensor/A.ts": `import { b } from "./B.ts"`,
        "src/Tensor/B.ts": `import type { A } from "./A.ts"\nexport const a = () => import("./A.ts")`
      })
    ).toEqual([])
  })
})
