/**
 * Reports: what was done, what came of it, and how it compares, as one page for people.
 *
 * A report is a value: a title and blocks, of text, charts, pictures, tables, settings and code, in sections. Its page is one HTML file
 * that needs nothing else, no network, no script and no fonts: for a large screen and a phone, light and dark, and for paper.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Chart from "./Chart.ts"
import * as Files from "./Files.ts"
import * as Images from "./Images.ts"
import { dataError } from "./internal/data.ts"
import { escape, fieldName, prose } from "./internal/markup.ts"
import * as Numbers from "./internal/numbers.ts"
import { style, widths } from "./internal/page.ts"
import type { DataError } from "./PipelineError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly title: string
  readonly subtitle?: string
  /** Of its texts, as HTML names it; `en` unless told. */
  readonly language?: string
  readonly blocks: ReadonlyArray<Block>
}

/**
 * What a report is made of.
 *
 * @since 0.1.0
 * @category models
 */
export type Block = Section | Text | Figure | Pictures | Table | Settings | Code

/**
 * Blocks under a heading. Sections may lie in sections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Section {
  readonly kind: "section"
  readonly title: string
  readonly blocks: ReadonlyArray<Block>
}

/**
 * Paragraphs, as they are: no markup.
 *
 * @since 0.1.0
 * @category models
 */
export interface Text {
  readonly kind: "text"
  readonly paragraphs: ReadonlyArray<string>
}

/**
 * A chart, under which stand its title and the caption.
 *
 * @since 0.1.0
 * @category models
 */
export interface Figure {
  readonly kind: "figure"
  readonly chart: Chart.Chart
  readonly caption?: string
}

/**
 * A picture, or the bytes of a picture's file (PNG, JPEG, WebP, GIF). Animated ones move on a screen; on paper they are their first frame.
 *
 * @since 0.1.0
 * @category models
 */
export interface Shown {
  readonly picture: Images.Picture | Uint8Array
  /** What is seen, for those who cannot. */
  readonly alt: string
  /** Above it. */
  readonly label?: string
}

/**
 * Pictures beside each other, which make one figure.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pictures {
  readonly kind: "pictures"
  readonly pictures: ReadonlyArray<Shown>
  readonly caption?: string
}

/**
 * How a column shows its numbers.
 *
 * - `significant`: with so many digits that mean something (3 unless told), alike in the whole column where that does not hide any
 * - `fixed`: with so many digits after the point (2 unless told)
 * - `percent`: of 1, with so many digits after the point (1 unless told)
 * - `count`: with k, M, G for thousands, millions, milliards
 * - `bytes`: with KiB, MiB, GiB
 * - `seconds`: in milliseconds, seconds, minutes or hours
 *
 * @since 0.1.0
 * @category models
 */
export type NumberFormat = "significant" | "fixed" | "percent" | "count" | "bytes" | "seconds"

/**
 * @since 0.1.0
 * @category models
 */
export interface Column {
  readonly name: string
  /** Below the name. */
  readonly unit?: string
  /** Numbers right and others left, unless told. */
  readonly align?: "left" | "right" | "centre"
  /** `significant` unless told. */
  readonly format?: NumberFormat
  readonly digits?: number
  /** Which number is the best, and shown in bold. */
  readonly best?: "low" | "high"
}

/**
 * What stands in a cell; nothing known is a dash.
 *
 * @since 0.1.0
 * @category models
 */
export type Cell = string | number | undefined

/**
 * A table whose first column names the rows.
 *
 * @since 0.1.0
 * @category models
 */
export interface Table {
  readonly kind: "table"
  readonly columns: ReadonlyArray<Column>
  readonly rows: ReadonlyArray<ReadonlyArray<Cell>>
  /** The rows that take no part in what is best, such as real data; from 0 on. */
  readonly unranked?: ReadonlyArray<number>
  /** Titles within it, each above a row; what is best is so among the rows under one title. */
  readonly groups?: ReadonlyArray<Group>
  readonly caption?: string
}

/**
 * Rows of a table under a title of their own.
 *
 * @since 0.1.0
 * @category models
 */
export interface Group {
  readonly title: string
  /** The first of them, from 0 on. */
  readonly row: number
}

/**
 * Names and values, such as a configuration: values within others have names with points.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly kind: "settings"
  readonly entries: ReadonlyArray<readonly [name: string, value: string]>
  readonly caption?: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Code {
  readonly kind: "code"
  readonly code: string
  readonly caption?: string
}

const captioned = (caption: string | undefined) => (caption === undefined ? {} : { caption })

/**
 * A report. Blocks may stand outside of sections, as a summary does.
 *
 * ```ts
 * const report = Report.make({
 *   title: "A continuous U-Net and a U-Net",
 *   subtitle: "MNIST, 2000 steps",
 *   blocks: [
 *     Report.text("Both were trained for the same time."),
 *     Report.section("Training", [Report.figure(losses, "Averaged over 50 steps.")]),
 *     Report.section("Samples", [
 *       Report.pictures([{ picture: yield* Images.grid(digits), alt: "Sixteen digits" }])
 *     ])
 *   ]
 * })
 * yield* Report.write("report.html", report)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Report): Report => options

/**
 * Several reports as one: each is a section of it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const merge = (options: Omit<Report, "blocks">, reports: ReadonlyArray<Report>): Report => ({
  ...options,
  blocks: reports.map(({ title, subtitle, blocks }) =>
    section(title, [...(subtitle === undefined ? [] : [text(subtitle)]), ...blocks])
  )
})

/**
 * Blocks under a heading.
 *
 * @since 0.1.0
 * @category constructors
 */
export const section = (title: string, blocks: ReadonlyArray<Block>): Section => ({
  kind: "section",
  title,
  blocks
})

/**
 * Paragraphs: each string, and parts of one with an empty line between.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (...paragraphs: ReadonlyArray<string>): Text => ({
  kind: "text",
  paragraphs: paragraphs
    .flatMap((each) => each.split(/\n\s*\n/))
    .map((each) => each.trim())
    .filter((each) => each !== "")
})

/**
 * A chart, with a caption that goes on after its title.
 *
 * @since 0.1.0
 * @category constructors
 */
export const figure = (chart: Chart.Chart, caption?: string): Figure => ({
  kind: "figure",
  chart,
  ...captioned(caption)
})

/**
 * Pictures beside each other, with a caption. Throws `DataError` if there are none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pictures = (pictures: ReadonlyArray<Shown>, caption?: string): Pictures => {
  if (pictures.length === 0) throw dataError("report", "empty", "a figure has at least one picture")
  return { kind: "pictures", pictures, ...captioned(caption) }
}

/**
 * A table; it numbers itself, and says what bold means. Throws `DataError` for a row that has not as many cells as there are columns,
 * and for digits that there cannot be.
 *
 * ```ts
 * Report.table({
 *   caption: "On 10,000 samples.",
 *   columns: [{ name: "model" }, { name: "parameters", format: "count" }, { name: "FID", best: "low" }],
 *   rows: [["cunet", 1_240_000, 8.31], ["unet", 3_670_000, 9.02]]
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const table = (options: Omit<Table, "kind">): Table => {
  const { columns, rows, unranked = [], groups = [] } = options
  if (columns.length === 0) throw dataError("report", "empty", "a table has at least one column")
  for (const [i, row] of rows.entries()) {
    if (row.length !== columns.length) {
      throw dataError(
        "report",
        "shape",
        `row ${i} of a table has ${row.length} cells for ${columns.length} columns`
      )
    }
  }
  const strange = [...unranked, ...groups.map(({ row }) => row)].find((i) => rows[i] === undefined)
  if (strange !== undefined) {
    throw dataError("report", "options", `a table of ${rows.length} rows has no row ${strange}`)
  }
  for (const { name, digits = 3, format = "significant" } of columns) {
    const least = format === "fixed" || format === "percent" ? 0 : 1
    if (!Number.isSafeInteger(digits) || digits < least || digits > 15) {
      throw dataError(
        "report",
        "options",
        `column "${name}" has ${digits} digits; from ${least} to 15 are possible`
      )
    }
  }
  return { kind: "table", ...options }
}

const settingOf = (value: unknown): string => {
  if (value === undefined || value === null) return "none"
  if (typeof value === "boolean") return value ? "yes" : "no"
  if (typeof value === "number") return Numbers.minus(String(value))
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(settingOf).join(", ")
  if (typeof value !== "object") return String(value)
  return Object.keys(value).length === 0 ? "none" : JSON.stringify(value)
}

/** Values within values, under names with points. */
const flattened = (value: object, above: string): ReadonlyArray<readonly [string, string]> =>
  Object.entries(value).flatMap(([name, each]): ReadonlyArray<readonly [string, string]> => {
    const path = above + name
    const nested =
      typeof each === "object" &&
      each !== null &&
      !Array.isArray(each) &&
      Object.keys(each).length > 0
    return nested ? flattened(each, `${path}.`) : [[path, settingOf(each)]]
  })

/**
 * The entries of a record, and of the records in it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const settings = (values: object, caption?: string): Settings => ({
  kind: "settings",
  entries: flattened(values, ""),
  ...captioned(caption)
})

/**
 * Text as it is, line by line: commands, a program.
 *
 * @since 0.1.0
 * @category constructors
 */
export const code = (code: string, caption?: string): Code => ({
  kind: "code",
  code,
  ...captioned(caption)
})

/** A picture's bytes, and what a page must know of it. */
interface Prepared {
  readonly bytes: Uint8Array
  readonly format: Images.Format
  readonly width: number
  readonly height: number
}

/** What is counted through a report. */
interface Counters {
  figure: number
  table: number
  section: number
}

const prepare = ({ picture, alt }: Shown): Effect.Effect<Prepared, DataError> =>
  picture instanceof Uint8Array
    ? Effect.map(Images.inspect(picture, { source: `picture "${alt}"` }), (head) => ({
        bytes: picture,
        ...head
      }))
    : Effect.map(Images.encode(picture), (bytes) => ({
        bytes,
        format: "png" as const,
        width: picture.width,
        height: picture.height
      }))

const duration = (seconds: number, digits: number): string => {
  const size = Math.abs(seconds)
  if (!Number.isFinite(seconds) || size === 0) return Numbers.significant(seconds, digits)
  const [value, unit] =
    size < 1e-3
      ? [seconds * 1e6, "µs"]
      : size < 1
        ? [seconds * 1e3, "ms"]
        : size < 120
          ? [seconds, "s"]
          : size < 7200
            ? [seconds / 60, "min"]
            : [seconds / 3600, "h"]
  return `${Numbers.significant(value, digits)} ${unit}`
}

const binary = ["B", "KiB", "MiB", "GiB", "TiB"]

/** How a column shows its numbers, which depends on all of them. */
const formatterOf = (column: Column, numbers: ReadonlyArray<number>): ((x: number) => string) => {
  const { format = "significant", digits = format === "fixed" ? 2 : format === "percent" ? 1 : 3 } =
    column
  const finite = (show: (x: number) => string) => (x: number) =>
    Number.isFinite(x) ? Numbers.minus(show(x)) : Numbers.significant(x, 1)
  switch (format) {
    case "fixed":
      return finite((x) => Numbers.fixed(x, digits))
    case "percent":
      return finite((x) => `${Numbers.fixed(100 * x, digits)} %`)
    case "count":
      return (x) => Numbers.prefixed(x, digits, 1000, Numbers.thousands)
    case "bytes":
      return (x) => Numbers.prefixed(x, digits, 1024, binary)
    case "seconds":
      return (x) => duration(x, digits)
    case "significant": {
      const exponents = numbers
        .filter((x) => Number.isFinite(x) && x !== 0)
        .map((x) => Numbers.exponentOf(Number(x.toPrecision(digits))))
      const least = Math.min(...exponents)
      const most = Math.max(...exponents)
      // the largest has its digits, and up to two more where the smallest would not have two otherwise
      const wanted = Math.max(0, digits - 1 - most, 1 - least)
      const places = Math.max(0, Math.min(wanted, digits + 1 - most))
      const whole = numbers.every((x) => !Number.isFinite(x) || Number.isInteger(x))
      return whole && most < 15
        ? finite((x) => Numbers.fixed(x, 0))
        : least + places >= 1 && places <= 6 && most < 15
          ? finite((x) => Numbers.fixed(x, places))
          : (x) => Numbers.significant(x, digits)
    }
  }
}

const caption = (label: string, ...sentences: ReadonlyArray<string | undefined>): string => {
  const said = sentences
    .filter((each) => each !== undefined && each !== "")
    .map((each) => prose(each!))
  return said.length === 0
    ? `<figcaption><b>${label}</b></figcaption>`
    : `<figcaption><b>${label}.</b> ${said.join(" ")}</figcaption>`
}

const sentence = (text: string): string => (/[.!?]$/.test(text.trim()) ? text : `${text}.`)

/** Of a row, the first and the one after the last of those that are ranked with it. */
const groupOf = ({ rows, groups = [] }: Pick<Table, "rows" | "groups">, row: number) => {
  const starts = [0, ...groups.map((each) => each.row), rows.length].toSorted((a, b) => a - b)
  const next = starts.findIndex((start) => start > row)
  return [starts[next - 1], starts[next]] as const
}

const tableToHtml = (block: Table, counters: Counters): string => {
  const { columns, rows, unranked = [], groups = [] } = block
  const id = `table-${++counters.table}`
  const of = columns.map((column, c) => {
    const numbers = rows.map((row) => row[c]).filter((cell) => typeof cell === "number")
    const numeric = numbers.length > 0 || rows.every((row) => row[c] === undefined)
    /** The best of those that are ranked with a row, if there are others. */
    const bestBeside = (r: number): number | undefined => {
      const [start, end] = groupOf(block, r)
      const finite = rows.slice(start, end).flatMap((row, i) => {
        const cell = row[c]
        return typeof cell === "number" && Number.isFinite(cell) && !unranked.includes(start + i)
          ? [cell]
          : []
      })
      if (column.best === undefined || finite.length < 2) return undefined
      return column.best === "low" ? Math.min(...finite) : Math.max(...finite)
    }
    return {
      show: formatterOf(column, numbers),
      best: rows.map((_, r) => (unranked.includes(r) ? undefined : bestBeside(r))),
      align: column.align ?? (numeric && c > 0 ? "right" : "left")
    }
  })
  const classOf = (c: number) => (of[c].align === "left" ? "" : ` class="${of[c].align}"`)
  const heads = columns.map(({ name, unit, best }, c) => {
    const arrow =
      best === undefined
        ? ""
        : ` <abbr title="${best === "low" ? "lower" : "higher"} is better">${best === "low" ? "↓" : "↑"}</abbr>`
    const below = unit === undefined ? "" : ` <span class="unit">${escape(unit)}</span>`
    return `<th scope="col"${classOf(c)}>${escape(name)}${arrow}${below}</th>`
  })
  const cellOf = (cell: Cell, c: number, r: number): string => {
    if (cell === undefined) return "–"
    if (typeof cell === "string") return c === 0 ? fieldName(cell) : escape(cell)
    const shown = of[c].show(cell)
    return cell === of[c].best[r] ? `<strong>${shown}</strong>` : shown
  }
  const lines = rows.map((row, r) => {
    const cells = row.map((cell, c) =>
      c === 0
        ? `<th scope="row"${classOf(c)}>${cellOf(cell, c, r)}</th>`
        : `<td${classOf(c)}>${cellOf(cell, c, r)}</td>`
    )
    const kind = unranked.includes(r) ? ' class="unranked"' : ""
    const titles = groups.flatMap(({ row, title }) =>
      row === r
        ? [
            `<tr class="group"><th scope="rowgroup" colspan="${columns.length}"><span>${escape(title)}</span></th></tr>\n`
          ]
        : []
    )
    return `${titles.join("")}<tr${kind}>${cells.join("")}</tr>`
  })
  const ranked = of.some(({ best }) => best.some((each) => each !== undefined))
  const bold = ranked ? "Best values in bold." : undefined
  return (
    `<figure class="table" id="${id}">${caption(`Table ${counters.table}`, block.caption && sentence(block.caption), bold)}\n` +
    // what scrolls can be reached from the keyboard
    `<div class="scroll" role="region" aria-label="Table ${counters.table}" tabindex="0"><table>\n` +
    `<thead><tr>${heads.join("")}</tr></thead>\n<tbody>\n${lines.join("\n")}\n</tbody>\n</table></div></figure>`
  )
}

/**
 * A table as lines of text, for a terminal: columns apart by two spaces, numbers as its page shows them, groups after an empty line.
 *
 * @since 0.1.0
 * @category conversions
 */
export const tableToText = ({ columns, rows, groups = [] }: Omit<Table, "kind">): string => {
  const cells = columns.map((column, c) => {
    const numbers = rows.map((row) => row[c]).filter((cell) => typeof cell === "number")
    const show = formatterOf(column, numbers)
    const head = column.unit === undefined ? column.name : `${column.name}, ${column.unit}`
    const shown = rows.map((row) => {
      const cell = row[c]
      return cell === undefined ? "–" : typeof cell === "string" ? cell : show(cell)
    })
    const width = Math.max(head.length, ...shown.map((text) => text.length))
    const right = column.align === "right" || (c > 0 && numbers.length > 0)
    return [head, ...shown].map((text) => (right ? text.padStart(width) : text.padEnd(width)))
  })
  const lines = Array.from({ length: rows.length + 1 }, (_, r) =>
    cells
      .map((column) => column[r])
      .join("  ")
      .trimEnd()
  )
  return lines
    .flatMap((line, r) => [
      ...groups.flatMap(({ row, title }) => (row + 1 === r ? ["", title] : [])),
      line
    ])
    .join("\n")
}

const chartToHtml = Effect.fnUntraced(function* ({ chart, caption: said }: Figure, number: number) {
  const drawn = (name: keyof typeof widths) =>
    Effect.map(
      Chart.toSvg(chart, { width: widths[name], heading: false, id: `figure-${number}-${name}` }),
      // within HTML, SVG needs no name space
      (svg) => svg.replace(' xmlns="http://www.w3.org/2000/svg"', "")
    )
  const svgs =
    chart.form === "square"
      ? `<div>${yield* drawn("narrow")}</div>`
      : `<div class="wide">${yield* drawn("wide")}</div>\n<div class="narrow">${yield* drawn("narrow")}</div>`
  return (
    `<figure id="figure-${number}">\n${svgs}\n` +
    `${caption(`Figure ${number}`, sentence(chart.title), said)}</figure>`
  )
})

const picturesToHtml = Effect.fnUntraced(function* (block: Pictures, number: number) {
  const prepared = yield* Effect.forEach(block.pictures, prepare)
  // of many, large ones have half of the page each, and small ones a quarter; two large ones too, if they are not too flat for that
  const broad = prepared.some(({ width }) => width > widths.wide / 2)
  const tall = prepared.every(({ width, height }) => 2 * width < 3 * height)
  const many = block.pictures.length > 2 || (block.pictures.length === 2 && broad && tall)
  const kind = many ? (broad ? "pictures many broad" : "pictures many") : "pictures"
  /** The least that they may be drawn at: what is made smaller would lose pixels where edges are hard. */
  const room = many && !broad ? widths.wide / 4 : widths.narrow
  const all = prepared.map(({ bytes, format, width, height }, i) => {
    const { label, alt } = block.pictures[i]
    const above = label === undefined ? "" : `<span>${escape(label)}</span>`
    const smooth = width > room ? ' class="smooth"' : ""
    return (
      `<div>${above}<img${smooth} width="${width}" height="${height}" alt="${escape(alt)}" ` +
      `src="data:image/${format};base64,${Buffer.from(bytes).toString("base64")}"></div>`
    )
  })
  return (
    `<figure id="figure-${number}">\n<div class="${kind}">\n${all.join("\n")}\n</div>\n` +
    `${caption(`Figure ${number}`, block.caption)}</figure>`
  )
})

const settingsToHtml = ({ entries, caption: said }: Settings): string => {
  const head = said === undefined ? "" : `<figcaption>${prose(said)}</figcaption>\n`
  const list = entries.map(
    ([name, value]) => `<dt>${fieldName(name)}</dt><dd>${escape(value)}</dd>`
  )
  return `<figure class="settings">${head}<dl>\n${list.join("\n")}\n</dl></figure>`
}

const codeToHtml = ({ code, caption: said }: Code): string => {
  const head = said === undefined ? "" : `<figcaption>${prose(said)}</figcaption>\n`
  return `<figure class="code">${head}<pre tabindex="0"><code>${escape(code)}</code></pre></figure>`
}

const blockToHtml = (
  block: Block,
  depth: number,
  counters: Counters
): Effect.Effect<string, DataError> => {
  switch (block.kind) {
    case "section": {
      const level = Math.min(6, depth + 2)
      const id = `section-${++counters.section}`
      return Effect.map(
        Effect.forEach(block.blocks, (each) => blockToHtml(each, depth + 1, counters)),
        (inner) =>
          `<section aria-labelledby="${id}">\n<h${level} id="${id}">${prose(block.title)}</h${level}>\n` +
          `${inner.join("\n")}\n</section>`
      )
    }
    case "text":
      return Effect.succeed(block.paragraphs.map((each) => `<p>${prose(each)}</p>`).join("\n"))
    case "figure":
      return chartToHtml(block, ++counters.figure)
    case "pictures":
      return picturesToHtml(block, ++counters.figure)
    case "table":
      return Effect.sync(() => tableToHtml(block, counters))
    case "settings":
      return Effect.succeed(settingsToHtml(block))
    case "code":
      return Effect.succeed(codeToHtml(block))
  }
}

/** Links to the outer sections, where there are enough of them to look for one. */
const contentsOf = (blocks: ReadonlyArray<Block>): string => {
  let id = 0
  const count = (block: Block): number =>
    block.kind === "section" ? block.blocks.reduce((sum, each) => sum + count(each), 1) : 0
  const links = blocks.flatMap((block) => {
    if (block.kind !== "section") return []
    const link = `<li><a href="#section-${id + 1}">${prose(block.title)}</a></li>`
    id += count(block)
    return [link]
  })
  return links.length < 4
    ? ""
    : `<nav aria-label="Contents"><ol>\n${links.join("\n")}\n</ol></nav>\n`
}

/**
 * A report as one HTML file that needs nothing else, and may load nothing else. The same report gives the same text. Fails with
 * `DataError` for charts that cannot be drawn, and for bytes that are no picture.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toHtml = (report: Report): Effect.Effect<string, DataError> =>
  Effect.suspend(() => {
    const { title, subtitle, language = "en", blocks } = report
    const counters: Counters = { figure: 0, table: 0, section: 0 }
    const below = subtitle === undefined ? "" : `\n<p class="subtitle">${prose(subtitle)}</p>`
    return Effect.map(
      Effect.forEach(blocks, (block) => blockToHtml(block, 0, counters)),
      (body) => `<!DOCTYPE html>
<html lang="${escape(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Odeon">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>
${style}
</style>
</head>
<body>
<article>
<header>
<h1>${prose(title)}</h1>${below}
</header>
${contentsOf(blocks)}<main>
${body.join("\n")}
</main>
</article>
</body>
</html>
`
    )
  })

/** The charts and pictures of blocks, in order, as they are numbered. */
const figuresOf = (blocks: ReadonlyArray<Block>): ReadonlyArray<Figure | Pictures> =>
  blocks.flatMap((block) =>
    block.kind === "section"
      ? figuresOf(block.blocks)
      : block.kind === "figure" || block.kind === "pictures"
        ? [block]
        : []
  )

/** A figure's files, by the endings of their names. */
const filesOf = (
  block: Figure | Pictures,
  ending: "svg" | "png"
): Effect.Effect<ReadonlyArray<readonly [string, Uint8Array | string]>, DataError> =>
  block.kind === "figure"
    ? Effect.map(
        Effect.suspend(
          (): Effect.Effect<string | Uint8Array, DataError> =>
            ending === "svg" ? Chart.toSvg(block.chart) : Chart.toPng(block.chart)
        ),
        (content) => [[`.${ending}`, content]] as const
      )
    : Effect.forEach(block.pictures, (shown, i) =>
        Effect.map(prepare(shown), ({ bytes, format }) => {
          const part = block.pictures.length === 1 ? "" : `-${i + 1}`
          return [`${part}.${format === "jpeg" ? "jpg" : format}`, bytes] as const
        })
      )

/**
 * Writes a report, whole or not at all. Gives the paths of what was written, the report first. Fails with `FileError` where that is not
 * possible.
 *
 * - `figures`: also write each figure as a file beside it, `report-figure-1.svg` for `report.html` and on: charts as told, pictures as they
 *   are
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (
  path: string,
  report: Report,
  options: { readonly figures?: "svg" | "png" } = {}
) {
  const { figures } = options
  const paths = yield* Path.Path
  const html = yield* toHtml(report)
  const beside =
    figures === undefined
      ? []
      : yield* Effect.forEach(figuresOf(report.blocks), (block, i) =>
          Effect.map(filesOf(block, figures), (files) =>
            files.map(([ending, content]) => [`-figure-${i + 1}${ending}`, content] as const)
          )
        )
  const { dir, name } = paths.parse(path)
  const files = beside
    .flat()
    .map(([ending, content]) => [paths.join(dir, name + ending), content] as const)
  // the report last: where it is, its figures are
  for (const [at, content] of [...files, [path, html] as const]) yield* Files.write(at, content)
  return [path, ...files.map(([at]) => at)]
})
