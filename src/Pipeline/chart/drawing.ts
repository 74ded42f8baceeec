import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Files from "../Files.ts"
import { escape } from "../internal/markup.ts"
import { DataError } from "../PipelineError.ts"
import type { Chart } from "./charts.ts"
import { colours, failure, shown } from "./shared.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface DrawOptions {
  /** In CSS pixels; 640 unless told. */
  readonly width?: number
  /** Whether the title is written above it; yes unless told. */
  readonly heading?: boolean
  /** What the names of its parts begin with: needed where several are on one page. */
  readonly id?: string
}

const font = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

const configuration = {
  aria: false,
  font,
  background: colours.paper,
  padding: 6,
  view: { stroke: null },
  axis: {
    labelFontSize: 12,
    titleFontSize: 12,
    labelColor: colours.muted,
    titleColor: colours.ink,
    titleFontWeight: 400,
    titlePadding: 8,
    labelPadding: 5,
    gridColor: colours.grid,
    domainColor: colours.muted,
    tickColor: colours.muted,
    tickSize: 4
  },
  axisX: { grid: false, titleAnchor: "end", tickCount: 6, labelFlush: false },
  axisY: {
    domain: false,
    ticks: false,
    tickCount: 6,
    titleAngle: 0,
    titleAlign: "left",
    titleAnchor: "end",
    titleBaseline: "bottom",
    titleX: 0,
    titleY: -8
  },
  legend: {
    orient: "top",
    labelFontSize: 12,
    labelColor: colours.ink,
    symbolSize: 110,
    symbolStrokeWidth: 2,
    columnPadding: 18,
    // between it and the chart stands the title of y
    offset: 30
  },
  text: { fontSize: 12 },
  title: {
    anchor: "start",
    frame: "bounds",
    fontSize: 15,
    fontWeight: 600,
    color: colours.ink,
    offset: 12
  }
}

/** Between panels. */
const spacing = 24

/** What stands beside a panel, the labels of its axes. */
const margin = 40

/** The least that a panel is wide, with that. */
const leastPanel = 200

const sizeOf = (
  { form, specification }: Chart,
  width: number,
  legendRows: number
): Readonly<Record<string, unknown>> => {
  switch (form) {
    case "panels": {
      const all = specification.concat as ReadonlyArray<object>
      const columns = Math.max(1, Math.min(all.length, Math.floor(width / leastPanel)))
      const own = Math.floor((width - 12 - (columns - 1) * spacing) / columns) - margin
      const height = Math.round(100 + 0.4 * own)
      return { concat: all.map((each) => ({ ...each, width: own, height })), columns, spacing }
    }
    case "wide":
      return {
        width,
        height: Math.round(150 + 0.3 * width) + 17 * Math.max(0, legendRows - 2),
        autosize: { type: "fit", contains: "padding" }
      }
    case "rows":
      return { width, autosize: { type: "fit-x", contains: "padding" } }
    case "square": {
      const side = Math.min(width - 70, 420)
      return { width: side, height: side, autosize: { type: "pad" } }
    }
  }
}

/** At most so many letters a line, unless a word has more. */
const inLines = (text: string, most: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < most) lines.push(`${lines.pop()} ${word}`)
    else lines.push(word)
  }
  return lines
}

const rounded = (numbers: string): string =>
  numbers.replace(/-?\d*\.\d{3,}(e[-+]?\d+)?|-?\d+e-\d+/g, (each) =>
    String(Number(Number(each).toFixed(2)))
  )

/** What is drawn, without what no one sees, and with names of its own. */
const tidy = (svg: string, chart: Chart, id: string): string => {
  const names = new Map<string, string>()
  const named = (name: string) => {
    if (!names.has(name)) names.set(name, `${id}-${names.size}`)
    return names.get(name)!
  }
  const [, size] = /<svg[^>]* (width="[^"]*" height="[^"]*" viewBox="[^"]*")/.exec(svg)!
  const body = svg
    .replace(/^<svg[^>]*>/, "")
    .replace(/<text[^>]* opacity="0"[^>]*>[^<]*<\/text>/g, "")
    .replace(/<path[^>]* d=""[^>]*\/>|<path[^>]* d="M0,0h0v0h0Z"[^>]*\/>/g, "")
    // within tags only: what looks alike in texts is none of it
    .replace(/<[^>]*>/g, (tag) =>
      tag
        .replace(/ (?:aria-[a-z]+|role|class|pointer-events)="[^"]*"/g, "")
        .replace(/ opacity="1"/g, "")
        .replace(/ (?:transform|d|[xy][12]?|width|height)="[^"]*"/g, rounded)
        .replace(/ id="([^"]*)"/g, (_, name) => ` id="${named(name)}"`)
        .replace(/url\(#([^)]*)\)/g, (_, name) => `url(#${named(name)})`)
    )
    .replace(/<g>(\s*)<\/g>/g, "")
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-labelledby="${id}-title ${id}-desc">` +
    `<title id="${id}-title">${escape(chart.title)}</title><desc id="${id}-desc">${escape(chart.description)}</desc>${body}`
  )
}

/** Large libraries, loaded when they are needed. */
const libraries = Effect.promise(async () => {
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")])
  return { vega, vegaLite }
})

/**
 * A chart as an SVG document that needs nothing else. The same chart gives the same text. Fails with `DataError` for a specification
 * that cannot be drawn, or that would load something.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toSvg = (
  chart: Chart,
  options: DrawOptions = {}
): Effect.Effect<string, DataError> => {
  const { width = 640, heading = true } = options
  const id = escape(options.id ?? "chart")
  const { title, names, specification } = chart
  return Effect.flatMap(libraries, ({ vega, vegaLite }) =>
    Effect.tryPromise({
      try: async () => {
        if (!(width >= 100 && Number.isFinite(width))) {
          throw new Error(`it is at least 100 pixels wide, not ${width}`)
        }
        const longest = Math.max(0, ...names.map((name) => name.length))
        const legend = {
          columns: Math.max(1, Math.min(names.length, Math.floor(width / (longest * 8 + 48)))),
          // Vega takes letters for wider than they are
          labelLimit: 1.4 * width - 60,
          ...(chart.form === "rows" && { offset: 8 }),
          ...(names.length < 2 && { disable: true })
        }
        const problems: Array<string> = []
        const logger = {
          level: () => logger,
          error: (...args: ReadonlyArray<unknown>) => {
            problems.push(args.map(String).join(" "))
            return logger
          },
          warn: () => logger,
          info: () => logger,
          debug: () => logger
        }
        const whole = {
          ...specification,
          ...sizeOf(chart, width, Math.ceil(names.length / legend.columns)),
          ...(heading && { title: inLines(shown(title), width / 12.2) }),
          config: { ...configuration, legend: { ...configuration.legend, ...legend } }
        }
        const compiled = vegaLite.compile(whole as never, { logger: logger as never })
        const refuse = async () => {
          problems.push("charts hold their data themselves and load nothing")
          return ""
        }
        const view = new vega.View(vega.parse(compiled.spec), {
          renderer: "none",
          logger: logger as never,
          loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse } as never
        })
        try {
          const svg = await view.toSVG()
          if (problems.length > 0) throw new Error(problems.join("; "))
          return tidy(svg, chart, id)
        } finally {
          view.finalize()
        }
      },
      catch: (error) =>
        failure(
          "format",
          title,
          `cannot be drawn: ${error instanceof Error ? error.message : String(error)}`
        )
    })
  )
}

/**
 * A chart as the bytes of a PNG file.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toPng = Effect.fnUntraced(function* (
  chart: Chart,
  /** `scale`: how many pixels a CSS pixel is; 2 unless told. */
  options: DrawOptions & { readonly scale?: number } = {}
) {
  const { scale = 2 } = options
  const svg = yield* toSvg(chart, options)
  return yield* Effect.tryPromise({
    try: async () => {
      const { default: sharp } = await import("sharp")
      const image = sharp(new TextEncoder().encode(svg), { density: 72 * scale })
      return new Uint8Array(await image.png().toBuffer())
    },
    catch: (error) =>
      failure("options", chart.title, `no picture ${scale} times its size: ${String(error)}`)
  })
})

/**
 * Writes a chart, whole or not at all, as its path's ending says: `.svg` or `.png`. Fails with `FileError`, or with `DataError` for
 * another ending.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (
  path: string,
  chart: Chart,
  options: DrawOptions = {}
) {
  const ending = (yield* Path.Path).extname(path).toLowerCase()
  if (ending !== ".svg" && ending !== ".png") {
    return yield* new DataError({
      source: path,
      reason: "options",
      message: `${path}: a chart's name ends in .svg or .png, not in "${ending}"`
    })
  }
  yield* Files.write(path, yield* ending === ".svg" ? toSvg(chart, options) : toPng(chart, options))
})
