/** How axes and series are encoded for Vega-Lite. */
import type { Axis, Domain, Reference } from "./charts.ts"
import { colours, failure, shown } from "./shared.ts"

export const axisOf = (chart: string, axis: Axis): Exclude<Axis, string> => {
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

/** A value where it can be drawn, or null. */
export const drawable = (value: number, axis: Exclude<Axis, string>): number | null =>
  Number.isFinite(value) && !(axis.log === true && value <= 0) ? value : null

/** Ticks in thousands where they are large, in powers of ten where they are small. */
export const labelExpr =
  "format(datum.value, abs(datum.value) >= 10000 ? '~s' : datum.value != 0 && abs(datum.value) < 0.001 ? '.2~e' : '~g')"

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

export const encodingOf = (
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
export const told = <A>(
  names: ReadonlyArray<string>,
  range: ReadonlyArray<A>,
  legend: object = {}
) => ({
  field: "series",
  type: "nominal",
  title: null,
  scale: { domain: names, range: cycle(range, names) },
  legend: names.length > 1 ? { symbolOpacity: 1, ...legend } : null
})

/** A dashed line across, and its label: beside its foot, or over its end. */
export const referenceLayers = ({ axis, value, label }: Reference, of: Exclude<Axis, string>) => {
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
