/**
 * Builds an ONNX graph operator by operator.
 *
 * Values know their shapes and dtypes, so that lowerings can be composed like functions. Names are given at
 * the very end: a value only carries a hint until then.
 *
 * Graphs nest (the body of a loop). An operator is placed into the outermost graph that has all
 * its operands: what does not change in a loop is computed once, before it.
 */
import * as DType from "../../Tensor/DType.ts"
import type { HostArray, Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as Model from "./Model.ts"

/** What an operator reads or gives. */
export interface Value extends Spec {
  /** What its name will start with. */
  hint: string
  /** The graph that it is a value of; constants belong to none. */
  readonly level: Level | undefined
  readonly constant: HostArray | undefined
  /** The value that it shows in another shape. */
  viewed: Value | undefined
  /** The operator that gives it, for lowerings that merge two. */
  draft: Draft | undefined
  /** Grows with each value that is made. */
  readonly serial: number
}

/** A graph under construction. */
export interface Level {
  readonly parent: Level | undefined
  readonly depth: number
  readonly inputs: Array<Input>
  readonly outputs: Array<Value>
  readonly nodes: Array<Draft>
}

interface Input {
  readonly value: Value
  readonly shape: ReadonlyArray<number | string>
}

/** An operator applied to values. What nobody needs is left out in the end. */
export interface Draft {
  readonly operator: string
  readonly domain: string
  readonly inputs: ReadonlyArray<Value | undefined>
  readonly outputs: ReadonlyArray<Value>
  readonly attributes: Attributes
}

interface Attributes {
  readonly [name: string]: Model.Attribute | Level
}

export interface OpOptions {
  readonly attributes?: Attributes
  readonly domain?: string
  /** Where it must stand; by default as far outside as possible. */
  readonly level?: Level
}

/** How to lower. */
export interface Options {
  /** Standard operators only, for files that other programs read. */
  readonly portable: boolean
  /** Channels in a block of the runtime's own layout for convolutions, where this machine has it. */
  readonly block: number | undefined
}

export interface LoopOptions {
  readonly trips: Value | undefined
  readonly condition: Value | undefined
  readonly carried: ReadonlyArray<Value>
  /** Number of results along the first axis of what is stacked; -1 where it is only known at run time. */
  readonly length: number
  readonly body: (
    iteration: Value,
    carried: ReadonlyArray<Value>
  ) => {
    readonly condition: Value | undefined
    readonly carried: ReadonlyArray<Value>
    readonly stacked: ReadonlyArray<Value>
  }
}

export interface ScanOptions {
  readonly arrays: ReadonlyArray<Value>
  readonly carried: ReadonlyArray<Value>
  readonly length: number
  /** From the last elements to the first. */
  readonly reverse: boolean
  readonly body: (
    elements: ReadonlyArray<Value>,
    carried: ReadonlyArray<Value>
  ) => { readonly carried: ReadonlyArray<Value>; readonly stacked: ReadonlyArray<Value> }
}

const stacks = (results: ReadonlyArray<Value>, length: number): ReadonlyArray<Spec> =>
  results.map(({ dtype, shape }) => ({ dtype, shape: [length, ...shape] }))

/** Constants up to this size are repeated in each graph that uses them, where optimisers look for them. */
const small = 64

export class Emitter {
  readonly options: Options
  readonly root: Level
  /** The innermost graph under construction. */
  private current: Level
  /** What operators are being made for, as a prefix of their values' names. */
  private prefix = ""
  private readonly casts = new Map<Value, Map<DType.DType, Value>>()
  private readonly constants = new Map<string | DType.Data, Value>()
  private readonly fixed = new Map<Value, string>()
  private readonly taken = new Map<string, number>()
  /** How many values were made. */
  count = 0
  /** The dtypes that occur. */
  readonly dtypes = new Set<DType.DType>()

  constructor(options: Options) {
    this.options = options
    this.root = level(undefined)
    this.current = this.root
  }

  /** An input of the whole graph; sizes known only at run time have a name. */
  input(name: string, dtype: DType.DType, shape: ReadonlyArray<number | string>): Value {
    const sizes = shape.map((size) => (typeof size === "string" ? -1 : size))
    const value = this.value({ dtype, shape: sizes }, name, this.root)
    this.root.inputs.push({ value, shape })
    this.reserve(value, name)
    return value
  }

  /** Makes a value an output of the whole graph, under that name if it is free; gives its name. */
  output(value: Value, name: string): string {
    const own =
      value.level === this.root && !this.fixed.has(value) ? value : this.copy(value, this.root)
    this.root.outputs.push(own)
    return this.reserve(own, name)
  }

  /** Values made by `make` are named after what they are made for. */
  within<A>(prefix: string, make: () => A): A {
    const before = this.prefix
    this.prefix = prefix
    try {
      return make()
    } finally {
      this.prefix = before
    }
  }

  constant(host: HostArray): Value {
    const key =
      host.data.length <= small
        ? `${host.dtype}${Shape.show(host.shape)}${Array.from<number | bigint, string>(host.data, show)}`
        : host.data
    const known = this.constants.get(key)
    if (known !== undefined && Shape.equals(known.shape, host.shape)) return known
    const value: Value = {
      shape: host.shape,
      dtype: host.dtype,
      hint: host.data.length === 1 ? `${host.dtype}(${host.data[0]})` : "constant",
      level: undefined,
      constant: host,
      viewed: undefined,
      draft: undefined,
      serial: -1
    }
    this.constants.set(key, value)
    return value
  }

  scalar(value: number, dtype: DType.DType): Value {
    return this.constant({ shape: [], dtype, data: filled(value, dtype, 1) })
  }

  /** A vector of `int64`, as operators want shapes, axes and indices. */
  ints(values: ReadonlyArray<number>): Value {
    return this.constant({
      shape: [values.length],
      dtype: "int64",
      data: BigInt64Array.from(values, BigInt)
    })
  }

  /** Applies an operator with one output. */
  op(
    operator: string,
    inputs: ReadonlyArray<Value | undefined>,
    spec: Spec,
    options: OpOptions = {}
  ): Value {
    return this.ops(operator, inputs, [spec], options)[0]
  }

  /** Applies an operator. */
  ops(
    operator: string,
    inputs: ReadonlyArray<Value | undefined>,
    specs: ReadonlyArray<Spec>,
    { attributes = {}, domain = "", level = deepest(inputs) ?? this.root }: OpOptions = {}
  ): ReadonlyArray<Value> {
    const outputs = specs.map((spec) => this.value(spec, `${this.prefix}/${operator}`, level))
    const draft = { operator, domain, inputs, outputs, attributes }
    for (const output of outputs) output.draft = draft
    level.nodes.push(draft)
    return outputs
  }

  /** Applies an elementwise operator; its operands broadcast. */
  map(
    operator: string,
    inputs: ReadonlyArray<Value>,
    dtype: DType.DType = inputs[0].dtype,
    attributes: Model.Attributes = {}
  ): Value {
    const shape = inputs.reduce<Shape.Shape>(
      (shape, each) => Shape.broadcast(shape, each.shape) ?? [],
      []
    )
    return this.op(operator, inputs, { shape, dtype }, { attributes })
  }

  /** A conversion; the same one is made once. */
  cast(x: Value, dtype: DType.DType): Value {
    if (x.dtype === dtype) return x
    const known = this.casts.get(x) ?? new Map<DType.DType, Value>()
    this.casts.set(x, known)
    const done =
      known.get(dtype) ??
      this.op(
        "Cast",
        [x],
        { shape: x.shape, dtype },
        { attributes: { to: Model.dataTypes[dtype] } }
      )
    known.set(dtype, done)
    return done
  }

  /** The same elements in another shape. */
  reshape(x: Value, shape: Shape.Shape): Value {
    const source = x.viewed ?? x
    if (Shape.equals(x.shape, shape)) return x
    if (Shape.equals(source.shape, shape)) return source
    if (source.constant !== undefined) return this.constant({ ...source.constant, shape })
    const view = this.op("Reshape", [source, this.ints(shape)], { shape, dtype: x.dtype })
    view.viewed = source
    return view
  }

  /** A new value of a graph that equals another one. */
  copy(x: Value, level: Level): Value {
    return this.op("Identity", [x], x, { level })
  }

  /** The carried values after the last iteration, then what the iterations gave, stacked. */
  loop({ trips, condition, carried, length, body }: LoopOptions): ReadonlyArray<Value> {
    const inner = this.open()
    const iteration = this.parameter(inner, { shape: [], dtype: "int64" }, "iteration")
    const holds = this.parameter(inner, { shape: [], dtype: "bool" }, "condition")
    const states = carried.map((each) => this.parameter(inner, each, "carried"))
    const results = body(iteration, states)
    const attributes = {
      body: this.close(inner, [results.condition ?? holds, ...results.carried, ...results.stacked])
    }
    const specs = [...carried, ...stacks(results.stacked, length)]
    const operands = [trips, condition, ...carried]
    return this.ops("Loop", operands, specs, { attributes, level: this.current })
  }

  /** A loop over arrays along their first axes; gives what {@link loop} does, in the order of the arrays. */
  scan({ arrays, body, carried, length, reverse }: ScanOptions): ReadonlyArray<Value> {
    const inner = this.open()
    const states = carried.map((each) => this.parameter(inner, each, "carried"))
    const elements = arrays.map(({ dtype, shape }) =>
      this.parameter(inner, { dtype, shape: shape.slice(1) }, "element")
    )
    const results = body(elements, states)
    const direction = reverse ? 1 : 0
    const attributes = {
      body: this.close(inner, [...results.carried, ...results.stacked]),
      num_scan_inputs: arrays.length,
      scan_input_directions: arrays.map(() => direction),
      scan_output_directions: results.stacked.map(() => direction)
    }
    const specs = [...carried, ...stacks(results.stacked, length)]
    const operands = [...carried, ...arrays]
    return this.ops("Scan", operands, specs, { attributes, level: this.current })
  }

  /** The finished graph. */
  finish(name: string): Model.Graph {
    return finish(name, this.root, this.fixed, this.taken)
  }

  /** Begins a graph inside the current one. */
  private open(): Level {
    this.current = level(this.current)
    return this.current
  }

  private parameter(inner: Level, spec: Spec, hint: string): Value {
    const value = this.value(spec, `${this.prefix}/${hint}`, inner)
    inner.inputs.push({ value, shape: spec.shape })
    return value
  }

  /** Ends it. Its results must be values of its own, each once. */
  private close(inner: Level, results: ReadonlyArray<Value>): Level {
    this.current = inner.parent ?? this.root
    const given = new Set<Value>(inner.inputs.map((each) => each.value))
    for (const result of results) {
      const own = result.level === inner && !given.has(result) ? result : this.copy(result, inner)
      given.add(own)
      inner.outputs.push(own)
    }
    return inner
  }

  private value(spec: Spec, hint: string, level: Level): Value {
    this.dtypes.add(spec.dtype)
    return {
      shape: spec.shape,
      dtype: spec.dtype,
      hint,
      level,
      constant: undefined,
      viewed: undefined,
      draft: undefined,
      serial: this.count++
    }
  }

  private reserve(value: Value, name: string): string {
    const given = unique(name, this.taken)
    value.hint = given
    this.fixed.set(value, given)
    return given
  }
}

const level = (parent: Level | undefined): Level => ({
  parent,
  depth: parent === undefined ? 0 : parent.depth + 1,
  inputs: [],
  outputs: [],
  nodes: []
})

const deepest = (inputs: ReadonlyArray<Value | undefined>): Level | undefined => {
  let found: Level | undefined
  for (const input of inputs) {
    const level = input?.level
    if (level !== undefined && (found === undefined || level.depth > found.depth)) found = level
  }
  return found
}

const isLevel = (attribute: Model.Attribute | Level): attribute is Level =>
  typeof attribute === "object" && "depth" in attribute

const show = (value: number | bigint): string => (Object.is(value, -0) ? "-0" : String(value))

/** A typed array of equal elements. */
export const filled = (value: number, dtype: DType.DType, length: number): DType.Data => {
  const data = DType.allocate(dtype, length)
  if (data instanceof BigInt64Array) return data.fill(BigInt(value))
  return data.fill(dtype === "float16" ? DType.toFloat16Bits(value) : value)
}

const unique = (hint: string, taken: Map<string, number>): string => {
  let count = taken.get(hint) ?? 0
  let name = count === 0 ? hint : `${hint}_${count + 1}`
  while (count > 0 && taken.has(name)) name = `${hint}_${++count + 1}`
  taken.set(hint, count + 1)
  if (name !== hint) taken.set(name, 1)
  return name
}

/** The operators whose results are needed, and where each large constant must stand to be seen by all of them. */
const needed = (root: Level) => {
  const places = new Map<Value, Level>()
  const live = new Set<Value>()
  const drafts = new Set<Draft>()
  const read = (value: Value, level: Level): void => {
    live.add(value)
    if (value.constant === undefined || isSmall(value.constant)) return
    const known = places.get(value)
    places.set(value, known === undefined ? level : common(known, level))
  }
  const visit = (level: Level): void => {
    for (const output of level.outputs) live.add(output)
    for (let i = level.nodes.length - 1; i >= 0; i--) {
      const draft = level.nodes[i]
      if (!draft.outputs.some((output) => live.has(output))) continue
      drafts.add(draft)
      for (const input of draft.inputs) if (input !== undefined) read(input, level)
      for (const name in draft.attributes) {
        const attribute = draft.attributes[name]
        if (isLevel(attribute)) visit(attribute)
      }
    }
  }
  visit(root)
  return { places, drafts }
}

const isSmall = (constant: HostArray): boolean => constant.data.length <= small

/** The innermost graph that both are in. */
const common = (a: Level, b: Level): Level => {
  if (a === b) return a
  return a.depth > b.depth ? common(a.parent ?? a, b) : common(b.parent ?? b, a)
}

const finish = (
  name: string,
  root: Level,
  fixed: ReadonlyMap<Value, string>,
  taken: Map<string, number>
): Model.Graph => {
  const { drafts, places } = needed(root)
  const names = new Map<Value, string>(fixed)
  const initializers = new Map<Level, Map<Value, Model.Tensor>>()

  const nameOf = (value: Value | undefined, level: Level): string => {
    if (value === undefined) return ""
    if (value.constant !== undefined) {
      return initializer(value, value.constant, places.get(value) ?? level).name
    }
    const known = names.get(value)
    if (known !== undefined) return known
    const name = unique(value.hint, taken)
    names.set(value, name)
    return name
  }
  const initializer = (value: Value, constant: HostArray, level: Level): Model.Tensor => {
    const inLevel = initializers.get(level) ?? new Map<Value, Model.Tensor>()
    initializers.set(level, inLevel)
    const known = inLevel.get(value)
    if (known !== undefined) return known
    const { dtype, shape, data } = constant
    const tensor = { name: unique(value.hint, taken), dtype, shape, data }
    inLevel.set(value, tensor)
    return tensor
  }
  const graph = (name: string, level: Level): Model.Graph => {
    const nodes = level.nodes.flatMap((draft): ReadonlyArray<Model.Node> => {
      if (!drafts.has(draft)) return []
      const { operator, domain, inputs, outputs, attributes } = draft
      const given = outputs.map((output) => nameOf(output, level))
      return [
        {
          name: given[0],
          domain,
          operator,
          inputs: inputs.map((input) => nameOf(input, level)),
          outputs: given,
          attributes: finished(attributes, given[0])
        }
      ]
    })
    const inputs = level.inputs.map(({ value, shape }) => ({
      name: nameOf(value, level),
      dtype: value.dtype,
      shape
    }))
    const outputs = level.outputs.map((value) => ({
      name: nameOf(value, level),
      dtype: value.dtype,
      shape: value.shape.map((size) => (size < 0 ? "steps" : size))
    }))
    return {
      name,
      nodes,
      inputs,
      outputs,
      initializers: [...(initializers.get(level)?.values() ?? [])]
    }
  }
  const finished = (attributes: Attributes, name: string): Model.Attributes => {
    let changed: { [name: string]: Model.Attribute } | undefined
    for (const key in attributes) {
      const attribute = attributes[key]
      if (isLevel(attribute)) {
        changed ??= { ...(attributes as Model.Attributes) }
        changed[key] = graph(`${name}/${key}`, attribute)
      }
    }
    return changed ?? (attributes as Model.Attributes)
  }
  return graph(name, root)
}
