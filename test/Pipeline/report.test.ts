/** Reports. */
import * as NodeFs from "node:fs"
import * as Os from "node:os"
import * as NodePath from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import sharp from "sharp"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Chart from "../../src/Pipeline/Chart.ts"
import type * as Images from "../../src/Pipeline/Images.ts"
import { clean } from "../../src/Pipeline/internal/markup.ts"
import * as Numbers from "../../src/Pipeline/internal/numbers.ts"
import { DataError, FileError } from "../../src/Pipeline/PipelineError.ts"
import * as Report from "../../src/Pipeline/Report.ts"
import * as Markup from "../support/markup.ts"
import { sample } from "../support/report.ts"

const folder = NodeFs.mkdtempSync(NodePath.join(Os.tmpdir(), "odeon-report-"))
const at = (...names: ReadonlyArray<string>) => NodePath.join(folder, ...names)
beforeAll(() => NodeFs.mkdirSync(folder, { recursive: true }))
afterAll(() => NodeFs.rmSync(folder, { recursive: true, force: true }))

const html = (report: Report.Report) => Effect.runPromise(Report.toHtml(report))
const page = async (...blocks: ReadonlyArray<Report.Block>) =>
  Markup.parse(await html(Report.make({ title: "Title", blocks })))
const texts = (element: Markup.Element, name: string) =>
  Markup.all(element, name).map(Markup.textOf)
const refusal = (build: () => unknown): DataError => {
  try {
    build()
  } catch (error) {
    expect(error).toBeInstanceOf(DataError)
    return error as DataError
  }
  throw new Error("did not throw")
}

const chart = Chart.lines({
  title: "Loss",
  x: "step",
  y: "loss",
  series: [{ name: "one", x: [1, 2], y: [2, 1] }]
})
const dot: Images.Picture = { width: 1, height: 2, channels: 1, data: Uint8Array.of(0, 255) }

describe("the sample", () => {
  let text = ""
  let root: Markup.Element
  beforeAll(async () => {
    text = await Effect.runPromise(Effect.flatMap(sample, Report.toHtml))
    root = Markup.parse(text)
  })

  it("needs nothing else", () => {
    const bare = text.replace(/data:image\/\w+;base64,[^"]*/g, "")
    expect(bare).not.toMatch(/https?:|\/\/[a-z]|@import|@font-face|url\((?!#)/i)
    for (const name of ["script", "link", "iframe", "object", "embed", "base", "form"]) {
      expect(Markup.all(root, name)).toEqual([])
    }
    for (const { attributes } of Markup.all(root, "img")) {
      expect(attributes.src).toMatch(/^data:image\/(png|webp);base64,[A-Za-z0-9+/]+=*$/)
    }
    const policy = Markup.all(root, "meta").find(({ attributes }) => "http-equiv" in attributes)
    expect(policy?.attributes.content).toContain("default-src 'none'")
    expect(text.length).toBeLessThan(400_000)
  })

  it("is the same each time", async () => {
    expect(await Effect.runPromise(Effect.flatMap(sample, Report.toHtml))).toBe(text)
  })

  it("says its language, and is for phones too", () => {
    expect(root.attributes.lang).toBe("en")
    const metas = Markup.all(root, "meta").map(({ attributes }) => attributes)
    expect(metas).toContainEqual({
      name: "viewport",
      content: "width=device-width, initial-scale=1"
    })
    expect(text.indexOf("<meta charset")).toBeLessThan(200)
    expect(texts(root, "title")[0]).toBe(texts(root, "h1")[0])
  })

  it("has headings in order, and links to sections", () => {
    expect(texts(root, "h1")).toHaveLength(1)
    expect(texts(root, "h2")).toEqual(["Training", "Comparison", "Denoising", "Configuration"])
    expect(texts(root, "h3")).toEqual(["To repeat it"])
    const ids = [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
    for (const { attributes } of Markup.all(root, "a")) {
      expect(ids).toContain(attributes.href.slice(1))
    }
    expect(texts(root, "a")).toEqual(texts(root, "h2"))
  })

  it("numbers figures and tables, and describes all that is seen", () => {
    const labels = Markup.all(root, "figcaption").flatMap((each) => texts(each, "b"))
    expect(labels).toEqual([
      "Figure 1.",
      "Figure 2.",
      "Table 1.",
      "Figure 3.",
      "Figure 4.",
      "Figure 5.",
      "Figure 6"
    ])
    for (const { attributes } of Markup.all(root, "img")) {
      expect(attributes.alt).not.toBe("")
      expect(Number(attributes.width)).toBeGreaterThan(0)
      expect(Number(attributes.height)).toBeGreaterThan(0)
    }
    const svgs = Markup.all(root, "svg")
    // for large screens and small ones
    expect(svgs).toHaveLength(6)
    for (const svg of svgs) {
      expect(svg.attributes.role).toBe("img")
      expect(texts(svg, "desc")[0]).not.toBe("")
    }
  })

  it("has a table with the best in bold, and real data out of it", () => {
    const [table] = Markup.all(root, "table")
    const rows = Markup.all(table, "tr")
    expect(rows).toHaveLength(4)
    for (const row of rows) expect([...texts(row, "th"), ...texts(row, "td")]).toHaveLength(9)
    expect(texts(rows[1], "strong")).toEqual(["412 k", "34.1 M", "8.31", "1.040", "87.1 %"])
    expect(texts(rows[2], "strong")).toEqual(["80.1 %", "18.7 ms", "398 MiB"])
    expect(texts(rows[3], "strong")).toEqual([])
    expect(texts(rows[3], "td").slice(0, 2)).toEqual(["–", "–"])
  })

  it("is legible: light, dark and in figures", () => {
    const css = texts(root, "style")[0]
    const variables = (block: string) =>
      Object.fromEntries([...block.matchAll(/--(\w+): (#\w{6})/g)].map(([, k, v]) => [k, v]))
    const light = variables(css)
    const darkBlock = css.slice(css.indexOf("prefers-color-scheme: dark"))
    const dark = variables(darkBlock)
    for (const { paper, ink, muted, link, faint } of [
      { ...light, ...variables(css.slice(0, css.indexOf("}"))) },
      dark
    ]) {
      for (const each of [ink, muted, link]) {
        expect(Markup.contrast(each, paper)).toBeGreaterThanOrEqual(4.5)
      }
      expect(Markup.contrast(ink, faint)).toBeGreaterThanOrEqual(4.5)
    }
    const { series, ink, muted } = Chart.colours
    for (const each of [...series, ink, muted]) {
      const [, other] = new RegExp(`svg \\[fill="${each}"\\] { fill: (#\\w{6}) }`).exec(darkBlock)!
      expect(Markup.contrast(other, dark.paper)).toBeGreaterThanOrEqual(4.5)
    }
  })
})

describe("texts", () => {
  const hostile = fc.oneof(
    fc.constantFrom(...Markup.hostile),
    fc.string({ unit: "binary", maxLength: 20 })
  )

  it("are what they were, whatever is in them", async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (each) => {
        const text = await html(
          Report.make({
            title: each,
            subtitle: each,
            language: each,
            blocks: [
              Report.section(each, [
                { kind: "text", paragraphs: [each] },
                Report.pictures([{ picture: dot, alt: each, label: each }], each),
                Report.table({
                  caption: each,
                  columns: [{ name: each, unit: each }, { name: each }],
                  rows: [[each, each]]
                }),
                Report.settings({ [`a${each}`]: each }, each),
                Report.code(each, each)
              ])
            ]
          })
        )
        const root = Markup.parse(text)
        const expected = clean(each)
        for (const name of ["title", "h1", "h2", "p", "td", "dd", "code"]) {
          for (const found of texts(root, name)) expect(found).toBe(expected)
        }
        expect(texts(root, "dt")).toEqual([`a${expected}`])
        expect(Markup.all(root, "img").map(({ attributes }) => attributes.alt)).toEqual([expected])
        for (const name of ["script", "b", "iframe"]) {
          expect(Markup.all(root, name).length).toBe(name === "b" ? 2 : 0)
        }
        expect(Markup.all(root, "style")).toHaveLength(1)
      }),
      { numRuns: 100, examples: Markup.hostile.map((each) => [each]) }
    )
  })

  it("make paragraphs", async () => {
    const root = await page(Report.text("One\nline.\n\nTwo.\n \n\n", "Three."))
    expect(texts(root, "p")).toEqual(["One\nline.", "Two.", "Three."])
  })

  it("keep a letter and its word on one line", async () => {
    const root = await page(Report.text("The U-Net, but not a well-known one, x-y-z or a<b-cd."))
    const kept = Markup.all(root, "span").map(Markup.textOf)
    expect(kept).toEqual(["U-Net", "b-cd"])
  })
})

describe("numbers of a table", () => {
  const column = async (numbers: ReadonlyArray<number>, more: Partial<Report.Column> = {}) => {
    const table = Report.table({
      columns: [{ name: "row" }, { name: "value", ...more }],
      rows: numbers.map((each, i) => [`${i}`, each])
    })
    return texts(await page(table), "td")
  }

  it.each([
    ["have as many places as all need", [8.312, 11.87, 0.42], {}, ["8.31", "11.87", "0.42"]],
    ["have three digits", [123.456, 12.3], {}, ["123", "12"]],
    ["have more where told", [123.456, 12.3], { digits: 5 }, ["123.46", "12.30"]],
    ["stand by themselves if they are far apart", [0.00123, 4567], {}, ["0.00123", "4,570"]],
    ["are whole where all are", [1234567, 8], {}, ["1,234,567", "8"]],
    ["are not always numbers", [NaN, -Infinity, 1.5], {}, ["NaN", "−∞", "1.50"]],
    ["may be very small", [1.5e-9, 0], {}, ["1.50 × 10⁻⁹", "0"]],
    ["may be negative", [-1.5, 2], {}, ["−1.50", "2.00"]],
    ["fixed", [1.005, -2], { format: "fixed", digits: 1 }, ["1.0", "−2.0"]],
    ["percent", [0.1234, 1], { format: "percent" }, ["12.3 %", "100.0 %"]],
    ["count", [999.9, 1234, 5e6, 12], { format: "count" }, ["1 k", "1.23 k", "5 M", "12"]],
    ["bytes", [512, 1536, 3 * 2 ** 30], { format: "bytes" }, ["512 B", "1.5 KiB", "3 GiB"]],
    [
      "seconds",
      [1.2e-5, 0.0312, 90, 600, 9000],
      { format: "seconds" },
      ["12.0 µs", "31.2 ms", "90.0 s", "10.0 min", "2.50 h"]
    ]
  ] as const)("%s", async (_, numbers, more, shown) => {
    expect(await column(numbers, more)).toEqual(shown)
  })

  it("say what they are to so many digits", () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer({ min: 1, max: 12 }),
        (value, digits) => {
          const read = Numbers.significant(value, digits)
            .replaceAll(",", "")
            .replace("−", "-")
            .replace(
              / × 10(.*)$/,
              (_, power: string) =>
                `e${[...power].map((each) => (each === "⁻" ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(each))).join("")}`
            )
          expect(Number(read)).toBe(Number(value.toPrecision(digits)))
        }
      )
    )
  })

  it("are best once, several times or never", async () => {
    const bold = async (best: "low" | "high", cells: ReadonlyArray<Report.Cell>) => {
      const table = Report.table({
        columns: [{ name: "row" }, { name: "value", best }],
        rows: cells.map((each, i) => [`${i}`, each])
      })
      return texts(await page(table), "strong")
    }
    expect(await bold("low", [3, 1, 2])).toEqual(["1"])
    expect(await bold("high", [3, 1, 3])).toEqual(["3", "3"])
    expect(await bold("low", [NaN, 1.5, 2])).toEqual(["1.50"])
    expect(await bold("high", [undefined, 2, "none"])).toEqual([])
    expect(await bold("low", [])).toEqual([])
  })
})

describe("blocks", () => {
  it("refuse what makes none", () => {
    expect(refusal(() => Report.pictures([])).reason).toBe("empty")
    const columns = [{ name: "a" }, { name: "b" }]
    expect(refusal(() => Report.table({ columns: [], rows: [] })).reason).toBe("empty")
    expect(refusal(() => Report.table({ columns, rows: [[1, 2], [1]] })).message).toBe(
      "report: row 1 of a table has 1 cells for 2 columns"
    )
    expect(refusal(() => Report.table({ columns, rows: [], unranked: [0] })).reason).toBe("options")
    for (const digits of [0, 1.5, 16, Number.NaN]) {
      const wrong = [{ name: "a", digits }]
      expect(refusal(() => Report.table({ columns: wrong, rows: [] })).reason).toBe("options")
    }
  })

  it("have rows under titles, the best of each among themselves", async () => {
    const table = Report.table({
      columns: [{ name: "a" }, { name: "b", best: "high" }],
      rows: [
        ["x", 9],
        ["y", 1],
        ["z", 2],
        ["x", 3],
        ["y", 4]
      ],
      unranked: [0],
      groups: [
        { title: "first", row: 0 },
        { title: "second", row: 3 }
      ]
    })
    const root = await page(table)
    expect(texts(root, "strong")).toEqual(["2", "4"])
    const [body] = Markup.all(root, "tbody")
    expect(Markup.all(body, "tr").map((row) => texts(row, "th")[0])).toEqual([
      "first",
      "x",
      "y",
      "z",
      "second",
      "x",
      "y"
    ])
    const [head] = Markup.all(body, "th")
    expect(head.attributes).toMatchObject({ scope: "rowgroup", colspan: "2" })
    expect(Report.tableToText(table).split("\n")).toEqual([
      "a  b",
      "",
      "first",
      "x  9",
      "y  1",
      "z  2",
      "",
      "second",
      "x  3",
      "y  4"
    ])
    const groups = [{ title: "none", row: 5 }]
    expect(refusal(() => Report.table({ ...table, groups })).message).toMatch(/has no row 5/)
  })

  it("give large pictures half of the page, and small ones a quarter", async () => {
    const broad = async (width: number, count: number, height = 2) => {
      const picture: Images.Picture = {
        ...dot,
        width,
        height,
        data: new Uint8Array(height * width)
      }
      const all = Array.from({ length: count }, () => ({ picture, alt: "one" }))
      const root = await page(Report.pictures(all))
      return Markup.all(root, "div").flatMap(({ attributes }) => attributes.class ?? [])
    }
    expect(await broad(880, 3)).toEqual(["pictures many broad"])
    expect(await broad(120, 3)).toEqual(["pictures many"])
    // two beside each other where they are not too flat
    expect(await broad(880, 2)).toEqual(["pictures"])
    expect(await broad(540, 2, 540)).toEqual(["pictures many broad"])
    expect(await broad(120, 2, 120)).toEqual(["pictures"])
  })

  it("refuse bytes that are no picture", async () => {
    const report = Report.make({
      title: "Title",
      blocks: [Report.pictures([{ picture: new TextEncoder().encode("text"), alt: "A grid" }])]
    })
    const error = await Effect.runPromise(Effect.flip(Report.toHtml(report)))
    expect(error).toMatchObject({ _tag: "DataError", reason: "format", source: 'picture "A grid"' })
  })

  it("show settings within settings", async () => {
    const root = await page(
      Report.settings({ a: { b: 1e-4, c: [] }, d: null, e: [1, 2], f: true, g: {}, h: -3 })
    )
    expect(texts(root, "dt")).toEqual(["a.b", "a.c", "d", "e", "f", "g", "h"])
    expect(texts(root, "dd")).toEqual(["0.0001", "none", "none", "1, 2", "yes", "none", "−3"])
  })

  it("lie in sections within sections", async () => {
    const deep = Array.from({ length: 8 }).reduce<Report.Block>(
      (inner) => Report.section("in", [inner]),
      Report.text("end")
    )
    const root = await page(deep)
    expect(texts(root, "section")).toHaveLength(8)
    expect(texts(root, "h6")).toHaveLength(4)
  })

  it("of several reports make one", async () => {
    const one = Report.make({ title: "One", subtitle: "first", blocks: [Report.figure(chart)] })
    const two = Report.make({
      title: "Two",
      blocks: [Report.section("Inner", [Report.figure(chart)])]
    })
    const both = Report.merge({ title: "Both" }, [one, two])
    const root = Markup.parse(await html(both))
    expect(texts(root, "h2")).toEqual(["One", "Two"])
    expect(texts(root, "h3")).toEqual(["Inner"])
    expect(Markup.all(root, "figcaption").flatMap((each) => texts(each, "b"))).toEqual([
      "Figure 1.",
      "Figure 2."
    ])
  })

  it("may be none", async () => {
    const root = await page()
    expect(texts(root, "main")[0].trim()).toBe("")
  })
})

layer(NodeServices.layer)("files of a report", (it) => {
  const report = Report.make({
    title: "Title",
    blocks: [
      Report.figure(chart),
      Report.section("Inner", [
        Report.pictures([
          { picture: dot, alt: "one" },
          { picture: dot, alt: "two" }
        ]),
        Report.pictures([{ picture: dot, alt: "three" }])
      ])
    ]
  })

  it.effect("are the report, and its figures where that is asked for", () =>
    Effect.gen(function* () {
      expect(yield* Report.write(at("alone.html"), report)).toEqual([at("alone.html")])
      expect(NodeFs.readdirSync(folder)).toEqual(["alone.html"])
      expect(NodeFs.readFileSync(at("alone.html"), "utf8")).toBe(yield* Report.toHtml(report))
      for (const figures of ["svg", "png"] as const) {
        const paths = yield* Report.write(at(figures, "report.html"), report, { figures })
        expect(paths.map((path) => NodePath.relative(at(figures), path))).toEqual([
          "report.html",
          `report-figure-1.${figures}`,
          "report-figure-2-1.png",
          "report-figure-2-2.png",
          "report-figure-3.png"
        ])
        expect(NodeFs.readdirSync(at(figures)).toSorted()).toEqual(
          paths.map((path) => NodePath.basename(path)).toSorted()
        )
        for (const path of paths.slice(1)) {
          const { format } = yield* Effect.promise(() => sharp(path).metadata())
          expect(`.${format}`).toBe(NodePath.extname(path))
        }
      }
    })
  )

  it.effect("are not there in part", () =>
    Effect.gen(function* () {
      NodeFs.writeFileSync(at("file"), "kept")
      const error = yield* Effect.flip(Report.write(at("file", "report.html"), report))
      expect(error).toBeInstanceOf(FileError)
      expect(error.message).toContain(at("file", "report.html"))
      const bad = Report.make({
        title: "Bad",
        blocks: [
          Report.figure(chart),
          Report.figure(Chart.make({ title: "Own", description: "", specification: {} }))
        ]
      })
      const refused = yield* Effect.flip(Report.write(at("bad", "r.html"), bad, { figures: "svg" }))
      expect(refused).toBeInstanceOf(DataError)
      expect(NodeFs.existsSync(at("bad"))).toBe(false)
    })
  )
})
