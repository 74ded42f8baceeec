/**
 * Charts: lines, bars and points, as SVG and PNG.
 *
 * A chart is a value: a Vega-Lite specification without its size, with a title and a sentence for those who cannot see it. It is drawn
 * at the width that is asked for, so that its letters are as large on a phone as on paper. Colours are told apart by colour-blind eyes
 * (Okabe and Ito 2008), lines by their dashes too, for printers without colour. What is drawn holds everything itself: no fonts, no
 * scripts and no addresses.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Files from "./Files.ts"
import { clean, escape } from "./internal/markup.ts"
import { prefixed, significant, thousands } from "./internal/numbers.ts"
import { DataError } from "./PipelineError.ts"

/**
 * A specification of Vega-Lite 6, with its data in it.
 *
 * @since 0.1.0
 * @category models
 */
export type Specification = Readonly<Record<string, unknown>>

/**
 * @since 0.1.0
 * @category models
 */
export interface Chart {
  readonly title: string
  /** What is seen, for those who cannot. */
  readonly description: string
  /** How its height follows from its width: by a fixed rule, by its rows, as a square, or of several charts side by side. */
  readonly form: "wide" | "rows" | "square" | "panels"
  /** Without size, title and style. */
  readonly specification: Specification
  /** The names in the legend, if there is one. */
  readonly names: ReadonlyArray<string>
}

/**
 * From and to.
 *
 * @since 0.1.0
 * @category models
 */
export type Domain = readonly [number, number]

/**
 * An axis: its title, with the unit, and its scale.
 *
 * - `log`: logarithmic; what is not positive is left out
 * - `zero`: from zero on; otherwise from the least value on
 * - `domain`: what it shows, from and to
 *
 * @since 0.1.0
 * @category models
 */
export type Axis =
  | string
  | {
      readonly title: string
      readonly log?: boolean
      readonly zero?: boolean
      readonly domain?: Domain
    }

/**
 * @since 0.1.0
 * @category models
 */
export interface Titled {
  readonly title: string
  /** What is seen, for those who cannot; what is drawn, and of what, unless told. */
  readonly description?: string
}

/**
 * Values y over x, along the axis. What is not finite is a gap; of lines with more points than can be seen, some are drawn, among them all
 * that stand out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Line {
  readonly name: string
  readonly x: ArrayLike<number>
  readonly y: ArrayLike<number>
  /** A band about the line, such as a standard deviation: from and to. */
  readonly band?: { readonly low: ArrayLike<number>; readonly high: ArrayLike<number> }
}

/**
 * A value to compare with, as a dashed line across the chart.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reference {
  readonly axis: "x" | "y"
  readonly value: number
  readonly label: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LinesOptions extends Titled {
  readonly x: Axis
  readonly y: Axis
  readonly series: ReadonlyArray<Line>
  /** Over how many points a line is averaged, half of them before and half after; the values themselves stay behind it, pale. */
  readonly smooth?: number
  readonly references?: ReadonlyArray<Reference>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Bar {
  readonly name: string
  /** Bars of the same name in different groups stand together, in different colours. */
  readonly group?: string
  readonly value: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface BarsOptions extends Titled {
  /** Of the values. */
  readonly axis: string
  readonly bars: ReadonlyArray<Bar>
  /** Significant digits of the values beside the bars; 3 unless told. */
  readonly digits?: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Points {
  readonly name: string
  readonly x: ArrayLike<number>
  readonly y: ArrayLike<number>
  /** Beside each point. */
  readonly labels?: ReadonlyArray<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ScatterOptions extends Titled {
  readonly x: Axis
  readonly y: Axis
  readonly series: ReadonlyArray<Points>
  /** A square whose axes have the same scale, as samples in the plane want it. */
  readonly square?: boolean
}

/**
 * What is drawn in which colour, in figures on white paper. Pages that show figures on a dark ground put other colours in their place.
 *
 * @since 0.1.0
 * @category instances
 */
export const colours = {
  paper: "#ffffff",
  ink: "#1f2328",
  muted: "#59636e",
  grid: "#e6e8eb",
  series: ["#0072b2", "#d55e00", "#009e73", "#b05a93", "#a67c00", "#3a9bd9", "#4d5358"]
} as const

const dashes = [
  [1, 0],
  [7, 3],
  [2, 2],
  [9, 3, 2, 3]
]
const shapes = [
  "circle",
  "square",
  "triangle-up",
  "diamond",
  "cross",
  "triangle-down",
  "triangle-left"
]

/** The most points that a line is drawn with. */
const most = 600

/** The most points of one series of a scatter. */
const mostScattered = 1000

const failure = (reason: DataError["reason"], title: string, message: string) =>
  new DataError({ source: title, reason, message: `chart "${title}": ${message}` })

const axisOf = (chart: string, axis: Axis): Exclude<Axis, string> => {
  if (typeof axis === "string") return { title: axis }
  const { title, domain, log } = axis
  if (domain !== undefined) {
    const [from, to] = domain
    if (
      !(Number.isFinite(from) && Number.isFinite(to) && from < to && (log !== true || from > 0))
    ) {
      throw failure(
        "options",
        chart,
        `the domain of "${title}" is from a number to a greater one${log === true ? ", both positive" : ""}, not ${from} to ${to}`
      )
    }
  }
  return axis
}

/** As Vega can hold it: what is also the name of something that every object has would be taken for that. */
const shown = (text: string): string => {
  const held = clean(text)
  return held in Object.prototype ? `${held}\u200b` : held
}

const checkNames = (title: string, names: ReadonlyArray<string>) => {
  if (names.length === 0) throw failure("empty", title, "there is nothing to draw")
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined) {
    throw failure("options", title, `"${twice}" is there twice; each needs a name of its own`)
  }
}

const checkLength = (title: string, name: string, what: string, found: number, wanted: number) => {
  if (found !== wanted) {
    throw failure("shape", title, `"${name}" has ${wanted} values of x, but ${found} of ${what}`)
  }
}

/** A value where it can be drawn, or null. */
const drawable = (value: number, axis: Exclude<Axis, string>): number | null =>
  Number.isFinite(value) && !(axis.log === true && value <= 0) ? value : null

type Point = { readonly x: number; readonly y: number | null }

/**
 * Fewer points that look the same: of each of many short stretches the least and the greatest, and the ends.
 *
 * @internal
 */
export const thin = (points: ReadonlyArray<Point>, most: number): ReadonlyArray<Point> => {
  if (points.length <= most) return points
  const inner = points.slice(1, -1)
  const stretches = Math.max(1, (most - 2) >> 1)
  const kept = Array.from({ length: stretches }, (_, i) => {
    const start = Math.floor((i * inner.length) / stretches)
    const end = Math.floor(((i + 1) * inner.length) / stretches)
    let low = -1
    let high = -1
    for (let j = start; j < end; j++) {
      const { y } = inner[j]
      if (y === null) continue
      if (low < 0 || y < inner[low].y!) low = j
      if (high < 0 || y > inner[high].y!) high = j
    }
    if (low < 0) return inner.slice(start, Math.min(start + 1, end))
    return low === high ? [inner[low]] : [inner[Math.min(low, high)], inner[Math.max(low, high)]]
  })
  return [points[0], ...kept.flat(), points[points.length - 1]]
}

/**
 * The mean over so many points about each, fewer at the ends, without those that cannot be drawn.
 *
 * @internal
 */
export const smooth = (points: ReadonlyArray<Point>, over: number): ReadonlyArray<Point> => {
  const radius = Math.floor(over / 2)
  let sum = 0
  let count = 0
  const sums = [0]
  const counts = [0]
  for (const { y } of points) {
    sum += y ?? 0
    count += y === null ? 0 : 1
    sums.push(sum)
    counts.push(count)
  }
  return points.map(({ x, y }, i) => {
    const from = Math.max(0, i - radius)
    const to = Math.min(points.length, i + radius + 1)
    const among = counts[to] - counts[from]
    return { x, y: y === null || among === 0 ? null : (sums[to] - sums[from]) / among }
  })
}

/** Ticks in thousands where they are large, in powers of ten where they are small. */
const labelExpr =
  "format(datum.value, abs(datum.value) >= 10000 ? '~s' : datum.value != 0 && abs(datum.value) < 0.001 ? '.2~e' : '~g')"

/** The least and the greatest. */
const extentOf = (values: Iterable<number | null>): Domain | undefined => {
  let low = Infinity
  let high = -Infinity
  for (const value of values) {
    if (value === null) continue
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return low <= high ? [low, high] : undefined
}

/** About a single value, so that it is in the middle. */
const widened = ([low, high]: Domain, log: boolean): Domain | undefined => {
  if (low < high) return undefined
  const margin = Math.abs(low) * 0.1 || 1
  return log ? [low / 2, low * 2] : [low - margin, low + margin]
}

/** On a logarithmic axis over more than a power of ten: its powers, and twice and five times them unless there are many. */
const logTicks = ([low, high]: Domain): ReadonlyArray<number> | undefined => {
  const decades = Math.log10(high / low)
  if (!(decades > 1.2)) return undefined
  const first = Math.floor(Math.log10(low))
  const powers = Array.from({ length: Math.ceil(decades) + 2 }, (_, i) => first + i)
  return powers.flatMap((power) =>
    (decades > 3 ? [1] : [1, 2, 5]).map((digit) => Number(`${digit}e${power}`))
  )
}

const encodingOf = (
  field: string,
  axis: Exclude<Axis, string>,
  extent: Domain | undefined,
  padding?: number
) => {
  const { title, log = false, zero = false } = axis
  const domain = axis.domain ?? (extent && !zero ? widened(extent, log) : undefined)
  const values = log && extent !== undefined ? logTicks(domain ?? extent) : undefined
  return {
    field,
    type: "quantitative",
    title: shown(title),
    axis: { labelExpr, ...(values && { values }) },
    scale: {
      type: log ? "log" : "linear",
      zero: zero && !log,
      nice: !log && domain === undefined,
      ...(domain && { domain }),
      ...(padding !== undefined && { padding })
    }
  }
}

const cycle = <A>(of: ReadonlyArray<A>, names: ReadonlyArray<string>) =>
  names.map((_, i) => of[i % of.length])

/** A channel that tells series apart. */
const told = <A>(names: ReadonlyArray<string>, range: ReadonlyArray<A>, legend: object = {}) => ({
  field: "series",
  type: "nominal",
  title: null,
  scale: { domain: names, range: cycle(range, names) },
  legend: names.length > 1 ? { symbolOpacity: 1, ...legend } : null
})

/** A dashed line across, and its label: beside its foot, or over its end. */
const referenceLayers = ({ axis, value, label }: Reference, of: Exclude<Axis, string>) => {
  if (drawable(value, of) === null) return []
  const upright = axis === "x"
  const data = { values: [{ value, label: shown(label) }] }
  const at = { [axis]: { field: "value", type: "quantitative" } }
  return [
    {
      data,
      mark: { type: "rule", color: colours.muted, strokeDash: [4, 3] },
      encoding: at
    },
    {
      data,
      mark: {
        type: "text",
        color: colours.muted,
        align: upright ? "left" : "right",
        baseline: "bottom",
        dx: upright ? 5 : -2,
        dy: upright ? -5 : -3
      },
      encoding: {
        ...at,
        ...(upright ? { y: { value: "height" } } : { x: { value: "width" } }),
        text: { field: "label" }
      }
    }
  ]
}

const plural = (count: number, one: string) => `${count} ${one}${count === 1 ? "" : "s"}`

const enumerated = (names: ReadonlyArray<string>) => names.map((name) => `"${name}"`).join(", ")

/**
 * Lines over a common axis: losses over steps, quality over noise. Throws `DataError` for no series, for two of the same
 * name, for lengths that differ, and for axes that cannot be.
 *
 * ```ts
 * const losses = Chart.lines({
 *   title: "Training loss",
 *   x: "step",
 *   y: { title: "loss", log: true },
 *   series: [{ name: "cunet", x: steps, y: loss }],
 *   smooth: 50
 * })
 * yield* Chart.write("loss.svg", losses)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const lines = (options: LinesOptions): Chart => {
  const { title, series, references = [] } = options
  const x = axisOf(title, options.x)
  const y = axisOf(title, options.y)
  const names = series.map(({ name }) => shown(name))
  checkNames(title, names)
  const over = options.smooth ?? 0
  if (!(over >= 0 && Number.isFinite(over))) {
    throw failure("options", title, `smooth is how many points are averaged, not ${over}`)
  }
  const drawn = series.map(({ name, x: at, y: values, band }) => {
    checkLength(title, name, "y", values.length, at.length)
    if (band !== undefined) {
      checkLength(title, name, "band.low", band.low.length, at.length)
      checkLength(title, name, "band.high", band.high.length, at.length)
    }
    const points = Array.from({ length: at.length }, (_, i) => ({
      x: drawable(at[i], x),
      y: drawable(values[i], y),
      low: band === undefined ? null : drawable(band.low[i], y),
      high: band === undefined ? null : drawable(band.high[i], y)
    })).filter((point): point is typeof point & { x: number } => point.x !== null)
    return { points, smoothed: over > 1 ? smooth(points, over) : points }
  })
  const values = (of: (each: (typeof drawn)[number]) => ReadonlyArray<object>) => ({
    values: drawn.flatMap((each, i) => of(each).map((point) => ({ ...point, series: names[i] })))
  })
  const all = drawn.flatMap(({ points }) => points)
  const axes = {
    x: encodingOf("x", x, extentOf(all.map((point) => point.x))),
    y: encodingOf("y", y, extentOf(all.flatMap(({ y, low, high }) => [y, low, high])))
  }
  const dotted = over <= 1 && drawn.every(({ points }) => points.length <= 40)
  // a dashed outline would spoil the shapes
  const legend = dotted ? { symbolStrokeWidth: 0 } : {}
  const color = told(names, colours.series, legend)
  const bands = series.some(({ band }) => band !== undefined)
  // what lies at the edge is not cut, unless there is more beyond
  const clip = x.domain !== undefined || y.domain !== undefined
  const stroke = { strokeWidth: 2, strokeJoin: "round", clip }
  return {
    title,
    description:
      options.description ??
      `Lines of ${y.title} over ${x.title}: ${enumerated(series.map(({ name }) => name))}.`,
    form: "wide",
    names,
    specification: {
      layer: [
        ...(bands
          ? [
              {
                data: values(({ points }) =>
                  points.filter(({ low, high }) => low !== null && high !== null)
                ),
                mark: { type: "area", opacity: 0.16, clip },
                encoding: {
                  x: axes.x,
                  y: { ...axes.y, field: "low" },
                  y2: { field: "high" },
                  color
                }
              }
            ]
          : []),
        ...(over > 1
          ? [
              {
                data: values(({ points }) => thin(points, most)),
                mark: { type: "line", ...stroke, strokeWidth: 1, opacity: 0.28 },
                encoding: { ...axes, color }
              }
            ]
          : []),
        {
          data: values(({ smoothed }) => thin(smoothed, most).map(({ x, y }) => ({ x, y }))),
          mark: {
            type: "line",
            ...stroke,
            ...(dotted && { point: { size: 42, filled: true, opacity: 1 } })
          },
          encoding: {
            ...axes,
            color,
            ...(names.length > 1 && { strokeDash: told(names, dashes, legend) }),
            ...(dotted && names.length > 1 && { shape: told(names, shapes, legend) })
          }
        },
        ...references.flatMap((each) => referenceLayers(each, each.axis === "x" ? x : y))
      ]
    }
  }
}

const fullName = ({ name, group }: Bar) => (group === undefined ? name : `${name}, ${group}`)

/**
 * Bars side by side, each with its value: models compared. Throws `DataError` if there are none, or two of the same name and group.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bars = (options: BarsOptions): Chart => {
  const { title, axis, digits = 3 } = options
  if (!Number.isSafeInteger(digits) || digits < 1 || digits > 15) {
    throw failure("options", title, `values have 1 to 15 significant digits, not ${digits}`)
  }
  const groups = [...new Set(options.bars.map(({ group = "" }) => shown(group)))]
  const names = [...new Set(options.bars.map(({ name }) => shown(name)))]
  checkNames(title, options.bars.map(fullName))
  const grouped = groups.length > 1
  const written = (value: number) =>
    Math.abs(value) >= 1e5 ? prefixed(value, digits, 1000, thousands) : significant(value, digits)
  const values = options.bars.map(({ name, group = "", value }) => ({
    name: shown(name),
    series: grouped ? shown(group) : shown(name),
    value: Number.isFinite(value) ? value : null,
    text: written(value)
  }))
  const longest = Math.max(...values.map(({ text }) => text.length))
  const above = 24
  const pitch = above + (grouped ? groups.length * 18 : 20)
  const series = grouped ? groups : names
  return {
    title,
    description:
      options.description ??
      `Bars of ${axis}: ${options.bars.map((bar) => `${fullName(bar)} ${written(bar.value)}`).join("; ")}.`,
    form: "rows",
    names: grouped ? groups : [],
    specification: {
      data: { values },
      // room for what is written beside the longest bar
      padding: { left: 6, top: 6, bottom: 6, right: 14 + 7 * longest },
      height: names.length * pitch,
      encoding: {
        y: {
          field: "name",
          type: "nominal",
          sort: names,
          axis: null,
          // the room for a name is above its bars
          scale: { paddingInner: above / pitch, paddingOuter: above / pitch / 2, align: 1 }
        },
        ...(grouped && { yOffset: { field: "series", sort: groups } }),
        x: {
          field: "value",
          type: "quantitative",
          title: shown(axis),
          axis: { labelExpr, tickCount: 4 },
          ...(values.every(({ value }) => !value) && { scale: { domain: [0, 1] } })
        }
      },
      layer: [
        {
          mark: { type: "bar" },
          encoding: {
            color: { ...told(series, colours.series), ...(!grouped && { legend: null }) }
          }
        },
        {
          mark: { type: "text", align: "left", dx: 5, color: colours.ink },
          encoding: {
            // beside what has no bar, or one to the left, it stands where bars begin
            x: { field: "value", type: "quantitative" },
            text: { field: "text" }
          },
          transform: [{ calculate: "isValid(datum.value) ? max(datum.value, 0) : 0", as: "value" }]
        },
        {
          data: { values: names.map((name) => ({ name })) },
          mark: {
            type: "text",
            align: "left",
            baseline: "bottom",
            dy: -4,
            color: colours.ink,
            clip: true
          },
          encoding: {
            x: { value: 0 },
            y: { field: "name", type: "nominal", bandPosition: 0 },
            yOffset: null,
            text: { field: "name" }
          }
        }
      ]
    }
  }
}

/**
 * Points in the plane: quality over cost, or samples themselves. Of a series with very many, a thousand evenly chosen ones are drawn.
 * Throws `DataError` as {@link lines} does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scatter = (options: ScatterOptions): Chart => {
  const { title, series, square = false } = options
  const x = axisOf(title, options.x)
  const y = axisOf(title, options.y)
  const names = series.map(({ name }) => shown(name))
  checkNames(title, names)
  const values = series.flatMap(({ name, x: at, y: values, labels }, i) => {
    checkLength(title, name, "y", values.length, at.length)
    if (labels !== undefined) checkLength(title, name, "labels", labels.length, at.length)
    const step = Math.max(1, at.length / mostScattered)
    return Array.from({ length: Math.ceil(at.length / step) }, (_, j) => {
      const k = Math.floor(j * step)
      return {
        x: drawable(at[k], x),
        y: drawable(values[k], y),
        series: names[i],
        ...(labels && { label: shown(labels[k]) })
      }
    }).filter((point) => point.x !== null && point.y !== null)
  })
  const extents = [extentOf(values.map(({ x }) => x)), extentOf(values.map(({ y }) => y))]
  const all = extentOf(extents.flatMap((each) => each ?? []))
  const [encodedX, encodedY] = [x, y].map((axis, i) =>
    square && all !== undefined
      ? encodingOf("xy"[i], { domain: all, ...axis }, all, 8)
      : encodingOf("xy"[i], axis, extents[i], 14)
  )
  const many = values.length > 200
  return {
    title,
    description:
      options.description ??
      `Points of ${y.title} over ${x.title}: ${series
        .map(({ name, x: at }) => `${plural(at.length, "point")} of "${name}"`)
        .join(", ")}.`,
    form: square ? "square" : "wide",
    names,
    specification: {
      data: { values },
      encoding: {
        x: encodedX,
        y: encodedY
      },
      layer: [
        {
          mark: {
            type: "point",
            filled: true,
            size: many ? 8 : 60,
            opacity: many ? 0.5 : 0.9,
            clip: x.domain !== undefined || y.domain !== undefined
          },
          encoding: {
            color: told(names, colours.series),
            ...(names.length > 1 && !many && { shape: told(names, shapes) })
          }
        },
        ...(series.some(({ labels }) => labels !== undefined)
          ? [
              {
                mark: { type: "text", align: "left", dx: 7, dy: -5, color: colours.ink },
                encoding: { text: { field: "label" } }
              }
            ]
          : [])
      ]
    }
  }
}

/**
 * Charts of the same series side by side, or one below the other where there is no room, under one legend: what the same lines are under
 * other conditions. What tells them apart is best said in the titles of their y axes. Throws `DataError` if there are none, if
 * one is no chart of lines or points as wide as its place, and if their series differ.
 *
 * @since 0.1.0
 * @category constructors
 */
export const panels = (options: Titled & { readonly charts: ReadonlyArray<Chart> }): Chart => {
  const { title, charts } = options
  const [first] = charts
  if (first === undefined) throw failure("empty", title, "there is nothing to draw")
  const odd = charts.find(
    ({ form, names }) => form !== "wide" || names.join("\n") !== first.names.join("\n")
  )
  if (odd !== undefined) {
    throw failure(
      "options",
      title,
      `"${odd.title}" has not the series of the others, or their form`
    )
  }
  const shared = { color: "shared", strokeDash: "shared", shape: "shared" }
  return {
    title,
    description: options.description ?? charts.map(({ description }) => description).join(" "),
    form: "panels",
    names: first.names,
    specification: {
      concat: charts.map(({ specification }) => specification),
      resolve: { scale: shared, legend: shared }
    }
  }
}

/**
 * Any other chart, of a Vega-Lite specification that holds its data itself (`data: { values }`).
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly title: string
  readonly description: string
  readonly specification: Specification
  readonly form?: Chart["form"]
}): Chart => ({ names: [], form: "wide", ...options })

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
