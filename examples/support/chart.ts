import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as vega from "vega"
import * as lite from "vega-lite"

/** Points or a line through (x, y), named in the legend. */
export const layer = (
  type: "point" | "line",
  name: string,
  x: ArrayLike<number>,
  y: ArrayLike<number>
) =>
  ({
    mark: { type, clip: true },
    data: { values: Array.from(x, (value, i) => ({ x: value, y: y[i], name })) },
    encoding: {
      x: { field: "x", type: "quantitative" },
      y: { field: "y", type: "quantitative" },
      color: { field: "name", type: "nominal", title: null }
    }
  }) as const

/** Writes a chart as SVG and gives the file's path. */
export const write = (path: string, spec: Partial<lite.TopLevelSpec>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const { spec: low } = lite.compile({ background: "white", ...spec } as lite.TopLevelSpec)
    const view = new vega.View(vega.parse(low), { renderer: "none" })
    const svg = await view.toSVG()
    view.finalize()
    await Fs.mkdir(Path.dirname(path), { recursive: true })
    await Fs.writeFile(path, svg)
    return path
  })
