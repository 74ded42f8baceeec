/** Charts. */
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
import { smooth, thin } from "../../src/Pipeline/chart/points.ts"
import { clean } from "../../src/Pipeline/internal/markup.ts"
import { DataError, FileError } from "../../src/Pipeline/PipelineError.ts"
import * as Markup from "../support/markup.ts"

const folder = NodeFs.mkdtempSync(NodePath.join(Os.tmpdir(), "odeon-chart-"))
const at = (...names: ReadonlyArray<string>) => NodePath.join(folder, ...names)
beforeAll(() => NodeFs.mkdirSync(folder, { recursive: true }))
afterAll(() => NodeFs.rmSync(folder, { recursive: true, force: true }))

const draw = (chart: Chart.Chart, options?: Chart.DrawOptions) =>
  Effect.runPromise(Chart.toSvg(chart, options))
const parsed = async (chart: Chart.Chart, options?: Chart.DrawOptions) =>
  Markup.parse(await draw(chart, options))
const refusal = (build: () => unknown): DataError => {
  try {
    build()
  } catch (error) {
    expect(error).toBeInstanceOf(DataError)
    return error as DataError
  }
  throw new Error("did not throw")
}

const line = (name: string, y: ReadonlyArray<number>, x = y.map((_, i) => i)) => ({ name, x, y })
const lines = (
  series: ReadonlyArray<Chart.Line>,
  more: Partial<Chart.LinesOptions> = {}
): Chart.Chart => Chart.lines({ title: "Loss", x: "step", y: "loss", series, ...more })
const scatter = (points: ReadonlyArray<readonly [number, number]>, x: Chart.Axis, y: Chart.Axis) =>
  Chart.scatter({
    title: "Points",
    x,
    y,
    series: [{ name: "all", x: points.map(([x]) => x), y: points.map(([, y]) => y) }]
  })

/** The places of symbols. */
const places = (svg: Markup.Element) =>
  Markup.all(svg, "path").flatMap(({ attributes: { transform = "", fill = "" } }) => {
    const match = /^translate\(([^,]+),([^)]+)\)$/.exec(transform)
    return match !== null && fill === Chart.colours.series[0]
      ? [[Number(match[1]), Number(match[2])] as const]
      : []
  })

/** Strokes of series, which have a width of 2. */
const strokes = (svg: Markup.Element) =>
  Markup.all(svg, "path").filter(
    ({ attributes }) =>
      (Chart.colours.series as ReadonlyArray<string>).includes(attributes.stroke) &&
      attributes["stroke-width"] === "2" &&
      attributes.transform === undefined
  )

const point = fc.record({
  x: fc.integer(),
  y: fc.option(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { nil: null })
})

describe("thinning", () => {
  it("keeps the order, the ends, the least and the greatest", () => {
    fc.assert(
      fc.property(
        fc.array(point, { maxLength: 300 }),
        fc.integer({ min: 4, max: 80 }),
        (points, most) => {
          const found = thin(points, most)
          if (points.length <= most) expect(found).toEqual(points)
          expect(found.length).toBeLessThanOrEqual(most)
          const indices = found.map((each) => points.indexOf(each))
          expect(indices).toEqual(indices.toSorted((a, b) => a - b))
          expect(new Set(indices).size).toBe(indices.length)
          expect(found[0]).toBe(points[0])
          expect(found.at(-1)).toBe(points.at(-1))
          const values = (of: typeof points) =>
            of.flatMap(({ y }) => (y === null ? [] : [y])).toSorted((a, b) => a - b)
          expect(values([...found])[0]).toBe(values(points)[0])
          expect(values([...found]).at(-1)).toBe(values(points).at(-1))
        }
      )
    )
  })
})

describe("smoothing", () => {
  it("is the mean about each point", () => {
    fc.assert(
      fc.property(
        fc.array(point, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 30 }),
        (points, over) => {
          const radius = Math.floor(over / 2)
          for (const [i, { x, y }] of smooth(points, over).entries()) {
            expect(x).toBe(points[i].x)
            const about = points
              .slice(Math.max(0, i - radius), i + radius + 1)
              .flatMap(({ y }) => (y === null ? [] : [y]))
            if (points[i].y === null) expect(y).toBe(null)
            else expect(y).toBeCloseTo(about.reduce((a, b) => a + b, 0) / about.length, 4)
          }
        }
      )
    )
  })

  it("knows nothing of what is farther away, however large", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 59 }),
        fc.integer({ min: 2, max: 20 }),
        fc.constantFrom(1e15, 1e300),
        (at, over, large) => {
          const points = Array.from({ length: 60 }, (_, x) => ({ x, y: x === at ? large : 0.5 }))
          const radius = Math.floor(over / 2)
          for (const { x, y } of smooth(points, over)) {
            if (Math.abs(x - at) > radius) expect(y).toBeCloseTo(0.5, 12)
          }
        }
      )
    )
  })
})

describe("a chart", () => {
  const charts = {
    lines: lines([line("one", [3, 2, 1]), line("two", [1, 2, 4])]),
    smoothed: lines(
      [
        line(
          "one",
          Array.from({ length: 2000 }, (_, i) => 1 + Math.sin(i))
        )
      ],
      {
        smooth: 20
      }
    ),
    bars: Chart.bars({
      title: "Time",
      axis: "s",
      bars: [
        { name: "a", value: 1 },
        { name: "b", value: 2 }
      ]
    }),
    scatter: scatter(
      [
        [0, 0],
        [1, 1]
      ],
      "x",
      "y"
    ),
    square: Chart.scatter({
      title: "Plane",
      x: "x",
      y: "y",
      square: true,
      series: [{ name: "all", x: [0, 3], y: [1, 2] }]
    }),
    panels: Chart.panels({
      title: "Both",
      charts: [1, 10].map((by) =>
        lines([line("one", [3 * by, 2, 1]), line("two", [1, 2 * by, 4])], { y: `by ${by}` })
      )
    })
  }

  it.each(Object.entries(charts))(
    "is well-formed, named, and needs nothing else: %s",
    async (_, chart) => {
      const text = await draw(chart, { id: "mine" })
      const svg = Markup.parse(text)
      expect(svg.attributes).toMatchObject({
        role: "img",
        "aria-labelledby": "mine-title mine-desc"
      })
      const [title] = Markup.all(svg, "title")
      const [description] = Markup.all(svg, "desc")
      expect([title.attributes.id, description.attributes.id]).toEqual(["mine-title", "mine-desc"])
      expect(Markup.textOf(title)).toBe(chart.title)
      expect(Markup.textOf(description)).toBe(chart.description)
      expect(text.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(
        /https?:|href|@import|@font-face|<script|<image|NaN|undefined|Infinity/
      )
      const ids = [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
      expect(ids.every((id) => id.startsWith("mine-"))).toBe(true)
      for (const [, id] of text.matchAll(/url\(#([^)]*)\)/g)) expect(ids).toContain(id)
    }
  )

  it("is the same each time", async () => {
    const clipped = lines([line("one", [1, 2, 3])], { y: { title: "y", domain: [1, 2] } })
    const first = await draw(clipped)
    expect(first).toContain("clip-path")
    await draw(charts.scatter)
    expect(await draw(clipped)).toBe(first)
    const [one, other] = await Promise.all([draw(clipped), draw(clipped)])
    expect([one, other]).toEqual([first, first])
  })

  it("is as wide as is asked for", async () => {
    for (const width of [320, 640]) {
      for (const chart of [charts.lines, charts.bars, charts.scatter]) {
        const { attributes } = await parsed(chart, { width })
        expect(Number(attributes.width)).toBe(width)
      }
      const { attributes } = await parsed(charts.square, { width })
      expect(Number(attributes.width)).toBeLessThanOrEqual(width)
    }
  })

  it("has its title above it, or none", async () => {
    const texts = async (heading: boolean) =>
      Markup.all(await parsed(charts.lines, { heading }), "text").map(Markup.textOf)
    expect(await texts(true)).toContain("Loss")
    expect(await texts(false)).not.toContain("Loss")
  })

  it("holds whatever is in its texts", async () => {
    const texts = fc.oneof(
      fc.constantFrom(...Markup.hostile),
      fc.string({ unit: "binary", maxLength: 12 })
    )
    await fc.assert(
      fc.asyncProperty(texts, texts, texts, async (title, name, label) => {
        const chart = Chart.lines({
          title,
          x: label,
          y: name,
          series: [line(`1${name}`, [1, 2]), line(`2${name}`, [2, 1])],
          references: [{ axis: "x", value: 1, label }]
        })
        const text = await draw(chart)
        const svg = Markup.parse(text)
        expect(Markup.textOf(Markup.all(svg, "title")[0])).toBe(clean(title))
        for (const tag of ["script", "img", "style", "a"]) expect(Markup.all(svg, tag)).toEqual([])
        expect(strokes(svg)).toHaveLength(2)
        // another reader of XML, and a stricter one
        const { width } = await sharp(new TextEncoder().encode(text)).metadata()
        expect(width).toBe(640)
      }),
      { numRuns: 25, examples: Markup.hostile.map((each) => [each, each, each]) }
    )
  })
})

describe("lines", () => {
  it("are gaps where values are not finite", async () => {
    const svg = await parsed(lines([line("one", [1, 2, Number.NaN, 2, 1])]))
    const [stroke, ...rest] = strokes(svg)
    expect(rest).toEqual([])
    expect(stroke.attributes.d.match(/M/g)).toHaveLength(2)
    expect(places(svg)).toHaveLength(4)
  })

  it("leave out what a logarithmic axis does not have", async () => {
    const axis = { title: "y", log: true }
    expect(places(await parsed(lines([line("one", [1, 0, -1, 10])], { y: axis })))).toHaveLength(2)
    const x = { title: "x", log: true }
    expect(places(await parsed(lines([line("one", [1, 2, 3])], { x })))).toHaveLength(2)
    // nothing at all is left
    expect(places(await parsed(lines([line("one", [0, -1])], { y: axis })))).toHaveLength(0)
    expect(places(await parsed(lines([line("one", [])])))).toHaveLength(0)
  })

  it("have their values behind them where they are averaged", async () => {
    const y = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 1 : 3))
    const svg = await parsed(lines([line("one", y)], { smooth: 10 }))
    expect(strokes(svg)).toHaveLength(1)
    const pale = Markup.all(svg, "path").filter(({ attributes }) => attributes.opacity === "0.28")
    expect(pale).toHaveLength(1)
    const heights = ({ attributes: { d } }: Markup.Element) =>
      [...d.matchAll(/,(-?[\d.]+)/g)].map(([, y]) => Number(y))
    const spread = (element: Markup.Element) =>
      Math.max(...heights(element)) - Math.min(...heights(element))
    expect(spread(strokes(svg)[0])).toBeLessThan(spread(pale[0]) / 4)
  })

  it("stay small however many points there are", async () => {
    const y = Array.from({ length: 100_000 }, (_, i) => Math.sin(i * i))
    expect((await draw(lines([line("one", y)], { smooth: 100 }))).length).toBeLessThan(40_000)
  })

  it("refuse what does not go together", () => {
    expect(refusal(() => lines([])).reason).toBe("empty")
    expect(refusal(() => lines([line("a", [1]), line("a", [2])])).message).toBe(
      'chart "Loss": "a" is there twice; each needs a name of its own'
    )
    expect(refusal(() => lines([{ name: "a", x: [1, 2], y: [1] }])).message).toBe(
      'chart "Loss": "a" has 2 values of x, but 1 of y'
    )
    const band = { low: [0], high: [1, 2] }
    expect(refusal(() => lines([{ ...line("a", [1, 1]), band }])).message).toContain("band.low")
    expect(refusal(() => lines([line("a", [1])], { smooth: Number.NaN })).reason).toBe("options")
    for (const domain of [
      [1, 1],
      [2, 1],
      [0, Number.NaN]
    ] as const) {
      const y = { title: "y", domain }
      expect(refusal(() => lines([line("a", [1])], { y })).reason).toBe("options")
    }
    const y = { title: "y", log: true, domain: [0, 1] } as const
    expect(refusal(() => lines([line("a", [1])], { y })).message).toBe(
      'chart "Loss": the domain of "y" is from a number to a greater one, both positive, not 0 to 1'
    )
  })
})

describe("panels", () => {
  const one = lines([line("one", [1, 2]), line("two", [2, 1])], { y: "left" })
  const other = lines([line("one", [30, 10]), line("two", [10, 20])], { y: "right" })
  const panels = Chart.panels({ title: "Both", charts: [one, other] })

  it("stand side by side under one legend, or one below the other", async () => {
    const placed = async (width: number) => {
      const svg = await parsed(panels, { width })
      expect(Number(svg.attributes.width)).toBeLessThanOrEqual(width)
      expect(Number(svg.attributes.width)).toBeGreaterThan(0.85 * width)
      expect(strokes(svg)).toHaveLength(4)
      const texts = Markup.all(svg, "text").map(Markup.textOf)
      for (const name of ["one", "two", "left", "right"]) {
        expect(texts.filter((each) => each === name)).toHaveLength(1)
      }
      return Number(svg.attributes.height)
    }
    expect(await placed(320)).toBeGreaterThan(1.5 * (await placed(640)))
  })

  it("are of the same series", () => {
    const charts = [one, lines([line("three", [1])])]
    expect(refusal(() => Chart.panels({ title: "Odd", charts })).reason).toBe("options")
    expect(refusal(() => Chart.panels({ title: "None", charts: [] })).reason).toBe("empty")
    expect(refusal(() => Chart.panels({ title: "Deep", charts: [panels] })).reason).toBe("options")
  })
})

describe("scatter", () => {
  it("has points where they are, on both kinds of axes", async () => {
    const svg = await parsed(
      scatter(
        [
          [1, 0],
          [10, 5],
          [100, 10]
        ],
        { title: "x", log: true },
        "y"
      )
    )
    const [[x0, y0], [x1, y1], [x2, y2], ...rest] = places(svg)
    expect(rest).toEqual([])
    expect(x1).toBeCloseTo((x0 + x2) / 2, 1)
    expect(y1).toBeCloseTo((y0 + y2) / 2, 1)
    expect([x0 < x2, y0 > y2]).toEqual([true, true])
  })

  it("has the same scale in a square", async () => {
    const chart = Chart.scatter({
      title: "Plane",
      x: "x",
      y: "y",
      square: true,
      series: [{ name: "all", x: [0, 10, 0], y: [0, 0, 2] }]
    })
    const [[x0, y0], [x1], [, y2]] = places(await parsed(chart))
    expect((x1 - x0) / 10).toBeCloseTo((y0 - y2) / 2, 1)
  })

  it("draws some of very many", async () => {
    const many = Array.from({ length: 50_000 }, (_, i) => [Math.cos(i), Math.sin(i)] as const)
    const found = places(await parsed(scatter(many, "x", "y"))).length
    expect(found).toBeGreaterThan(900)
    expect(found).toBeLessThanOrEqual(1000)
  })
})

describe("bars", () => {
  const bars = (all: ReadonlyArray<Chart.Bar>) =>
    Chart.bars({ title: "Time", axis: "seconds", bars: all })

  it("are as long as their values, and say them", async () => {
    const svg = await parsed(
      bars([
        { name: "one", value: 1 },
        { name: "two", value: 2.345 },
        { name: "many", value: Number.NaN }
      ])
    )
    const lengths = Markup.all(svg, "path").flatMap(({ attributes: { d, fill } }) => {
      const match = /^M[\d.]+,[\d.]+h([\d.]+)v/.exec(d)
      return match !== null && (Chart.colours.series as ReadonlyArray<string>).includes(fill)
        ? [Number(match[1])]
        : []
    })
    const [one, two] = lengths.filter((each) => each > 0)
    expect(two / one).toBeCloseTo(2.345, 2)
    const texts = Markup.all(svg, "text").map(Markup.textOf)
    for (const each of ["one", "two", "many", "1.00", "2.35", "NaN", "seconds"]) {
      expect(texts).toContain(each)
    }
  })

  it("stand together in groups", async () => {
    const chart = bars(
      ["28×28", "64×64"].flatMap((group) => [
        { name: "cunet", group, value: 3.4e7 },
        { name: "unet", group, value: -1 }
      ])
    )
    const texts = Markup.all(await parsed(chart), "text").map(Markup.textOf)
    for (const each of ["cunet", "unet", "28×28", "64×64", "34 M"]) expect(texts).toContain(each)
  })

  it("have names of their own", () => {
    expect(refusal(() => bars([])).reason).toBe("empty")
    const twice = { name: "a", value: 1 }
    expect(refusal(() => bars([twice, twice])).reason).toBe("options")
    const digits = () => Chart.bars({ title: "Time", axis: "s", bars: [twice], digits: 0 })
    expect(refusal(digits).reason).toBe("options")
  })
})

describe("a specification", () => {
  const failing = (specification: Chart.Specification) =>
    Effect.runPromise(
      Effect.flip(Chart.toSvg(Chart.make({ title: "Own", description: "", specification })))
    )

  it("may be any", async () => {
    const chart = Chart.make({
      title: "Own",
      description: "A cell.",
      specification: {
        data: { values: [{ a: 1 }] },
        mark: "rect",
        encoding: { x: { field: "a", type: "ordinal" } }
      }
    })
    expect(Markup.all(await parsed(chart), "desc").map(Markup.textOf)).toEqual(["A cell."])
  })

  it("loads nothing", async () => {
    const error = await failing({
      data: { url: "http://127.0.0.1:9/data.json" },
      mark: "point",
      encoding: { x: { field: "a", type: "quantitative" } }
    })
    expect(error).toMatchObject({ _tag: "DataError", reason: "format" })
    expect(error.message).toContain('chart "Own": cannot be drawn')
    expect(error.message).toContain("load nothing")
  })

  it("is refused where it is none", async () => {
    expect((await failing({ mark: "nosuch", data: { values: [] } })).reason).toBe("format")
    expect((await failing({})).reason).toBe("format")
    const narrow = Chart.toSvg(lines([line("a", [1])]), { width: 3 })
    expect((await Effect.runPromise(Effect.flip(narrow))).message).toContain("100 pixels")
  })
})

layer(NodeServices.layer)("files of charts", (it) => {
  const chart = lines([line("one", [1, 2])])

  it.effect("are SVG and PNG", () =>
    Effect.gen(function* () {
      yield* Chart.write(at("new", "chart.svg"), chart)
      expect(NodeFs.readFileSync(at("new", "chart.svg"), "utf8")).toBe(yield* Chart.toSvg(chart))
      yield* Chart.write(at("chart.PNG"), chart, { width: 400 })
      const meta = yield* Effect.promise(() => sharp(at("chart.PNG")).metadata())
      expect(meta).toMatchObject({ format: "png", width: 800, height: 540 })
    })
  )

  it.effect("are nothing else, and nowhere else", () =>
    Effect.gen(function* () {
      const other = yield* Effect.flip(Chart.write(at("chart.pdf"), chart))
      expect(other).toBeInstanceOf(DataError)
      expect(other.message).toContain('.svg or .png, not in ".pdf"')
      NodeFs.writeFileSync(at("file"), "")
      const denied = yield* Effect.flip(Chart.write(at("file", "chart.svg"), chart))
      expect(denied).toBeInstanceOf(FileError)
    })
  )
})

describe("colours", () => {
  it("are seen on paper", () => {
    const { paper, ink, muted, series } = Chart.colours
    for (const text of [ink, muted])
      expect(Markup.contrast(text, paper)).toBeGreaterThanOrEqual(4.5)
    for (const each of series) expect(Markup.contrast(each, paper)).toBeGreaterThanOrEqual(3)
  })
})

it("loads what draws only when it draws", () => {
  const source = (name: string) =>
    NodeFs.readFileSync(new URL(`../../src/Pipeline/${name}.ts`, import.meta.url), "utf8")
  for (const name of ["Chart", "Images", "Report"]) {
    expect(source(name)).not.toMatch(/^(?:im|ex)port (?!type).*"(?:vega|vega-lite|sharp)"/m)
  }
})
