/**
 * What a layer is made of and costs, without a device: a table for people, and figures for programs.
 *
 * Multiply-accumulates are counted as the field does, of convolutions and dense layers, not of products of activations with each
 * other, in attention and interpolation. A differential equation counts its derivative as often as it is evaluated.
 *
 * @since 0.1.0
 */
import { Cost, Program, Shape, Tensor, Tree } from "../Tensor/index.ts"
import type { Any, Application, Layer, Observer, Values } from "./Layer.ts"
import * as Parameter from "./Parameter.ts"

/**
 * One layer of a table.
 *
 * @since 0.1.0
 * @category models
 */
export interface Row {
  /** From the root, such as `down.0.block.derivative.conv1`. */
  readonly path: string
  readonly kind: string
  /** Of the output, where that is one tensor. */
  readonly shape: Shape.Shape | undefined
  /** Numbers that the layer itself holds, and all within it. */
  readonly parameters: number
  /** Of convolutions and dense layers within it, all evaluations together. */
  readonly macs: number
  /**
   * How often it is applied in one pass: layers of a derivative at each evaluation. `undefined` if a controller finds that when the
   * program runs; then `macs` counts one. 0 for parameters that a layer holds beside others.
   */
  readonly times: number | undefined
  /** How the layer is integrated, where it is a differential equation. */
  readonly integration:
    | { readonly method: string; readonly evaluations: number | undefined }
    | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  /** Every layer, those within a layer after it. */
  readonly rows: ReadonlyArray<Row>
  readonly parameters: number
  /** Without buffers. */
  readonly trainable: number
  /** Multiply-accumulates of convolutions and dense layers. */
  readonly macs: number
  /**
   * Of one pass as a device is given it: with products of activations, in attention and interpolation; but what does not change from
   * one evaluation to the next counts once, and a loop under a controller as one step.
   */
  readonly programMacs: number
  /**
   * As the profiler thop 0.1 counts, which published figures often come from: beside convolutions and dense layers two for each
   * element of an instance norm without parameters, and one for each element that nearest upsampling makes.
   */
  readonly macsByThop: number
}

/** Something applied, with how often that happens in one pass. */
interface Entry {
  readonly path: string
  readonly layer: Any
  readonly times: number | undefined
  application: Application | undefined
  integration: Row["integration"]
}

/** All that is applied, in order. */
const observed = (entries: Array<Entry>, times: number | undefined): Observer => ({
  entered: (path, layer) => {
    const entry: Entry = { path, layer, times, application: undefined, integration: undefined }
    entries.push(entry)
    return (application) => {
      entry.application = application
    }
  },
  integrated: (path, { name, evaluations, once }) => {
    const block = entries.findLast((entry) => entry.path === path)
    if (block !== undefined) block.integration = { method: name, evaluations }
    const each = times === undefined || evaluations === undefined ? undefined : times * evaluations
    once(observed(entries, each))
  }
})

/** Layers that hold nothing but parameters of their own, such as convolutions. */
const isElementary = ({ parameters }: Any): boolean => {
  const own = Object.values(parameters as object)
  return own.length > 0 && own.every((each) => "shape" in each)
}

/** Parameters that a layer made of others holds itself. */
const held = (above: string, { parameters }: Any): ReadonlyArray<Row> =>
  Object.entries(parameters as Readonly<Record<string, Parameter.Parameter>>).flatMap(
    ([name, each]) =>
      "shape" in each
        ? [
            {
              path: above === "" ? name : `${above}.${name}`,
              kind: each.trainable ? "parameter" : "buffer",
              shape: each.shape,
              parameters: Shape.size(each.shape),
              macs: 0,
              times: 0,
              integration: undefined
            }
          ]
        : []
  )

/** What one application costs by itself. */
const costOf = (layer: Any, { output: _, ...given }: Application): number => {
  const { condition, ...rest } = given
  const inputs = condition === undefined ? rest : given
  const program = Program.makeUnsafe(
    Tree.remap(inputs, ({ shape, dtype }: Tensor.Spec) => ({ shape, dtype })) as never,
    (own: typeof given) => layer.apply(own.values as never, own.input, own.condition)
  )
  return Cost.of(program).macs
}

const macsOf = ({ layer, times = 1, application }: Entry): number =>
  application === undefined || !isElementary(layer) ? 0 : times * costOf(layer, application)

const elements = ({ times = 1, application }: Entry): number =>
  application === undefined ? 0 : times * Shape.size((application.output as Tensor.Any).shape)

const thop = (entry: Entry): number => {
  const { kind, parameters } = entry.layer
  if (kind === "instance norm" && Parameter.count(parameters) === 0) return 2 * elements(entry)
  return kind === "nearest" ? elements(entry) : 0
}

const isTensor = (output: unknown): output is Tensor.Any =>
  typeof output === "object" && output !== null && "shape" in output

/**
 * Summarises a layer for specs of its input and condition.
 *
 * ```ts
 * const summary = Summary.of(network, Tensor.spec([1, 3, 64, 64]), { time: Tensor.spec([1]) })
 * console.log(Summary.table(summary))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = <P, I, O, C>(
  layer: Layer<P, I, O, C>,
  input: Program.Specs<NoInfer<I>>,
  ...condition: unknown extends C
    ? [condition?: Program.Specs<NoInfer<C>>]
    : [condition: Program.Specs<NoInfer<C>>]
): Summary => {
  const given = (tree: unknown) =>
    Tree.remap(tree, ({ shape, dtype }: Tensor.Spec) => Tensor.zeros(shape, dtype))
  const entries: Array<Entry> = []
  const values = given(layer.parameters) as Values<P>
  const x = given(input) as I
  const c = condition[0] === undefined ? undefined : (given(condition[0]) as C)
  const whole = observed(entries, 1)
  const done = whole.entered("", layer)
  const output = (layer as Any).apply(values, x, c, { observer: whole })
  done({ values, input: x, condition: c, output })
  const macs = entries.map(macsOf)
  const rows = entries.flatMap(
    ({ path, layer, times, application, integration }): ReadonlyArray<Row> => {
      const within = entries.map((other) => isWithin(other.path, path))
      const output = application?.output
      const own = {
        path,
        kind: layer.kind ?? "",
        shape: isTensor(output) ? output.shape : undefined,
        parameters: Parameter.count(layer.parameters),
        macs: macs.reduce((sum, each, j) => (within[j] ? sum + each : sum), 0),
        times,
        integration
      }
      return [own, ...(isElementary(layer) ? [] : held(path, layer))]
    }
  )
  const sum = (list: ReadonlyArray<number>) => list.reduce((a, b) => a + b, 0)
  return {
    rows,
    parameters: Parameter.count(layer.parameters),
    trainable: Parameter.count(layer.parameters, { trainable: true }),
    macs: sum(macs),
    programMacs: costOf(layer as Any, { values, input: x, condition: c, output }),
    macsByThop: sum(macs) + sum(entries.map(thop))
  }
}

const isWithin = (path: string, above: string): boolean =>
  above === "" || path === above || path.startsWith(`${above}.`)

const grouped = (value: number): string => value.toLocaleString("en-US")

/** The rows that lie no deeper; and one for each place there that is no layer, but has layers below it, applied 0 times itself. */
const cut = (rows: ReadonlyArray<Row>, depth: number): ReadonlyArray<Row> => {
  const paths = new Set(rows.map(({ path }) => path))
  const groups = new Map<string, Array<Row>>()
  const shown: Array<Row | string> = []
  for (const row of rows) {
    const names = row.path.split(".")
    if (names.length <= depth) {
      shown.push(row)
      continue
    }
    const place = names.slice(0, depth).join(".")
    if (names.some((_, i) => i > 0 && i <= depth && paths.has(names.slice(0, i).join("."))))
      continue
    const group = groups.get(place)
    if (group === undefined) shown.push(place)
    groups.set(place, [...(group ?? []), row])
  }
  return shown.map((row) => {
    if (typeof row !== "string") return row
    const within = groups.get(row) as ReadonlyArray<Row>
    const outer = within.filter(
      ({ path }) => !within.some((other) => other.path !== path && isWithin(path, other.path))
    )
    const sum = (of: (row: Row) => number) => outer.reduce((total, each) => total + of(each), 0)
    return {
      path: row,
      kind: outer.length === 1 ? "1 layer" : `${outer.length} layers`,
      shape: undefined,
      parameters: sum(({ parameters }) => parameters),
      macs: sum(({ macs }) => macs),
      times: 0,
      integration: undefined
    }
  })
}

/**
 * A table for people: path, kind, output shape, parameters, multiply-accumulates, how often a layer is
 * applied, and for a dynamic block how often its derivative is evaluated. `depth` leaves out what lies deeper
 * than so many names; layers that lie deeper within no layer that is shown, as in a list of levels, are summed.
 *
 * @since 0.1.0
 * @category conversions
 */
export const table = (summary: Summary, options: { readonly depth?: number } = {}): string => {
  const { depth = Number.POSITIVE_INFINITY } = options
  const shown = cut(summary.rows, depth).filter(
    ({ path, parameters, macs }) => path !== "" && (parameters > 0 || macs > 0)
  )
  const often = (count: number | undefined) => (count === undefined ? "adaptive" : String(count))
  const cells = [
    ["layer", "kind", "output", "parameters", "multiply-accumulates", "times", "evaluations"],
    ...shown.map(({ path, kind, shape, parameters, macs, times, integration }) => [
      path,
      integration === undefined ? kind : `${kind}, ${integration.method}`,
      shape === undefined ? "" : shape.join("×"),
      grouped(parameters),
      grouped(macs),
      times === 0 ? "" : often(times),
      integration === undefined ? "" : often(integration.evaluations)
    ]),
    ["total", "", "", grouped(summary.parameters), grouped(summary.macs), "", ""]
  ]
  const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)))
  return cells
    .map((row) =>
      row
        .map((cell, i) => (i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
