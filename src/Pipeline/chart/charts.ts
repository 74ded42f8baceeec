import { prefixed, significant, thousands } from "../internal/numbers.ts"
import { axisOf, drawable, encodingOf, labelExpr, referenceLayers, told } from "./encodings.ts"
import { extentOf, smooth, thin } from "./points.ts"
import { colours, failure, shown } from "./shared.ts"

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
