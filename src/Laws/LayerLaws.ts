/**
 * What every layer must do, as properties: for the layers of the library, and for one's own.
 *
 * ```ts
 * const subject = LayerLaws.subject({
 *   name: "my block",
 *   layer: block({ channels: 4, embedding: 6 }),
 *   input: [4, 5, 5],
 *   condition: { embedding: [6] },
 *   output: [4, 5, 5]
 * })
 * it.effect("keeps the laws of layers", () => LayerLaws.check(subject))
 * ```
 *
 * {@link check} tries all laws that apply; each is also here by itself. A law looks at random weights (not at those that the layer
 * begins with, among which there may be zeros), inputs and conditions, in `float64`, on the device that is provided, and
 * fails with a `LawError` that names the law, the layer, the parameter or the place, the two values and the seed.
 *
 * What not every layer does is claimed by the subject: that it drops out, that it commutes with permutations of places or with
 * translations, that it normalises, how its parameters begin.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../Device/index.ts"
import { type Initializer, Layer, Parameter } from "../Layer/index.ts"
import {
  DType,
  Gradient,
  HostRandom,
  Program,
  Shape,
  Tensor,
  type TensorError,
  Tree
} from "../Tensor/index.ts"
import * as law from "./internal/law.ts"
import { moments } from "./internal/moments.ts"
import type { LawError } from "./LawError.ts"

/**
 * What a layer is given: a tree of shapes without the axis of the batch, for normal numbers; or a function to a tree of arrays whose
 * first axis is the batch. Floats are cast to `float64`.
 *
 * @since 0.1.0
 * @category models
 */
export type Draw = Shapes | ((key: HostRandom.Key, batch: number) => unknown)

/**
 * A shape, or a record of such.
 *
 * @since 0.1.0
 * @category models
 */
export type Shapes = Shape.Shape | { readonly [name: string]: Shapes }

/**
 * That a shift of the input along a spatial axis shifts the output, for elements that are `margin` or more places of the output away
 * from its borders.
 *
 * @since 0.1.0
 * @category models
 */
export interface Translation {
  readonly margin: number
  /** Places by which the input is shifted; 1 unless told. */
  readonly input?: number
  /** Places by which the output is, 1 unless told: for a stride of 2, `{ input: 2, output: 1 }`. */
  readonly output?: number
}

/**
 * What is made to have a mean of 0 and a mean square of 1 by the values that the layer begins with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Normalization {
  /** Axes that are looked at together; negative ones from the end; all but the batch unless told. */
  readonly axes?: ReadonlyArray<number>
  /** The groups into which the channels (axis 1) are divided; 1 unless told. */
  readonly groups?: number
  /** Whether the mean is taken away; `true` unless told. */
  readonly centred?: boolean
}

/**
 * What laws look at: a layer, what it is given, and what it claims to do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly name: string
  readonly layer: Layer.Any
  readonly input: Draw
  readonly condition?: Draw
  /** The shape of the output, or the shapes in a tree, without the axis of the batch. */
  readonly output?: Shapes
  /** Whether a key makes it random, as dropout is. */
  readonly random?: boolean
  /** Commutes with permutations of the places of `[N, C, …]`. */
  readonly permutation?: boolean
  readonly translation?: Translation
  readonly normalization?: Normalization
  /** By path, what parameters should begin with, if it is not what they say. */
  readonly initializers?: Readonly<Record<string, Initializer.Initializer>>
  /** The paths of parameters and conditions without influence: a key's bias in attention, a bias before a norm. */
  readonly inert?: ReadonlyArray<string | RegExp>
  /** Laws that do not apply, by name. */
  readonly except?: ReadonlyArray<Name>
}

/**
 * A subject whose layer's type is checked against what it is given: a layer that needs a condition needs one here.
 *
 * @since 0.1.0
 * @category constructors
 */
export const subject = <C = unknown>(
  subject: Omit<Subject, "layer" | "condition"> & {
    readonly layer: Layer.Layer<any, any, any, C>
  } & (unknown extends C ? { readonly condition?: Draw } : { readonly condition: Draw })
): Subject => subject

/**
 * @since 0.1.0
 * @category models
 */
export type Options = law.Options

/**
 * A law: succeeds where the subject keeps it.
 *
 * @since 0.1.0
 * @category models
 */
export type Check = (
  subject: Subject,
  options?: Options
) => Effect.Effect<
  void,
  LawError | TensorError.TensorError | DeviceError.CompileError | DeviceError.DeviceError,
  Device.Device
>

type Host = Tensor.HostArray
type Failure = TensorError.TensorError | DeviceError.CompileError | DeviceError.DeviceError
type Complaint = Effect.Effect<string | undefined, Failure, Device.Device>

/** Runs a function of tensors on arrays. */
const evaluate = Effect.fnUntraced(function* <const I, const O>(
  inputs: I,
  f: (inputs: Program.Tensors<I>) => O
) {
  const device = yield* Device.Device
  const executable = yield* device.compile(yield* Program.make(inputs, f))
  const results = yield* executable.run(inputs as Device.Arguments<Program.Specs<I>>)
  return (yield* device.downloadAll(results)) as unknown as Program.HostArrays<O>
}, Effect.scoped)

const numbers = ({ data }: Host): Float64Array => Float64Array.from<number | bigint>(data, Number)

const wide = (host: Host): Host =>
  DType.isFloat(host.dtype)
    ? {
        shape: host.shape,
        dtype: "float64",
        data:
          host.dtype === "float16"
            ? numbers(host).map((bits) => DType.fromFloat16Bits(bits))
            : numbers(host)
      }
    : host

const isShape = (u: unknown): u is Shape.Shape =>
  Array.isArray(u) && u.every((each) => typeof each === "number")

/** Shapes by path; that of a lone one is empty. */
const shapesOf = (
  shapes: Shapes,
  path = ""
): ReadonlyArray<readonly [path: string, shape: Shape.Shape]> =>
  isShape(shapes)
    ? [[path, shapes]]
    : Object.entries(shapes).flatMap(([name, each]) =>
        shapesOf(each, path === "" ? name : `${path}.${name}`)
      )

/** Keys of what one seed draws. */
const streams = { values: 0, input: 1, condition: 2, cotangent: 3, other: 4, key: 5 }

const keyOf = (seed: number, stream: keyof typeof streams): HostRandom.Key =>
  HostRandom.foldIn(HostRandom.key(seed), streams[stream])

const normal = (key: HostRandom.Key, shape: Shape.Shape): Host =>
  HostRandom.normal(key, shape, { dtype: "float64" })

/** Normal arrays, each of its own. */
const normals = (key: HostRandom.Key, like: ReadonlyArray<{ readonly shape: Shape.Shape }>) =>
  like.map(({ shape }, i) => normal(HostRandom.foldIn(key, i), shape))

const drawn = (draw: Draw | undefined, key: HostRandom.Key, batch: number): unknown => {
  if (draw === undefined) return {}
  if (typeof draw === "function") return Tree.remap(draw(key, batch), wide)
  let i = 0
  const walk = (shapes: Shapes): unknown =>
    isShape(shapes)
      ? normal(HostRandom.foldIn(key, i++), [batch, ...shapes])
      : Object.fromEntries(Object.entries(shapes).map(([name, each]) => [name, walk(each)]))
  return walk(draw)
}

/** Weights under which signals neither vanish nor grow: no zeros where the layer begins with some. */
const randomValues = (parameters: unknown, seed: number): unknown => {
  const initial = Parameter.init(parameters, seed)
  const buffers = Tree.leaves<Host>(initial)
  let i = 0
  return Tree.remap(parameters, ({ shape, trainable }: Parameter.Parameter) => {
    const place = i++
    if (!trainable) return buffers[place]
    const { data } = normal(HostRandom.foldIn(keyOf(seed, "values"), place), shape)
    const fan = shape.length < 2 ? 1 : Shape.size(shape) / Math.max(1, shape[0])
    const scale = 1 / Math.sqrt(Math.max(1, fan))
    return {
      shape,
      dtype: "float64",
      data: numbers({ shape, dtype: "float64", data } as Host).map((each) => scale * each)
    }
  })
}

/** What a law tries a layer on. */
interface Trial {
  readonly values: unknown
  readonly input: unknown
  readonly condition: unknown
}

interface Bound extends Subject {
  /** In `float64`. */
  readonly layer: Layer.Any
}

const trialOf = ({ layer, input, condition }: Bound, seed: number, batch: number): Trial => ({
  values: randomValues(layer.parameters, seed),
  input: drawn(input, keyOf(seed, "input"), batch),
  condition: drawn(condition, keyOf(seed, "condition"), batch)
})

/** The layer's output on tensors. */
const applied = (
  { layer, condition }: Bound,
  given: unknown,
  context: Layer.Context = {}
): unknown => {
  const trial = given as Trial
  return layer.apply(
    trial.values as never,
    trial.input,
    condition === undefined ? undefined : trial.condition,
    context
  )
}

/** Where an element is. */
const placeOf = (index: number, shape: Shape.Shape): Array<number> => {
  let rest = index
  return shape
    .toReversed()
    .map((size) => {
      const at = rest % size
      rest = (rest - at) / size
      return at
    })
    .reverse()
}

const named = (what: string, path: string): string =>
  path === "" ? `the ${what}` : `the ${what} "${path}"`

const near = 1e-10

/** The first element at which trees of arrays differ: its place and both values. */
const difference = (
  a: unknown,
  b: unknown,
  allowed = near
): { readonly where: string; readonly values: readonly [number, number] } | undefined => {
  const others = Tree.leaves<Host>(b)
  for (const [i, [path, host]] of Tree.entries<Host>(a).entries()) {
    const [x, y] = [numbers(host), numbers(others[i])]
    const scale = y.reduce((most, each) => Math.max(most, Math.abs(each)), 1)
    const at = x.findIndex((each, k) => !(Math.abs(each - y[k]) <= allowed * scale))
    if (at < 0) continue
    const where = `[${placeOf(at, host.shape).join(", ")}] of ${named("output", path)}`
    return { where, values: [x[at], y[at]] }
  }
  return undefined
}

/** Whether trees of arrays are the same; if not, both values are named. */
const same = (
  a: unknown,
  b: unknown,
  text: (where: string, a: number, b: number) => string,
  allowed = near
): string | undefined => {
  const found = difference(a, b, allowed)
  return found && text(found.where, ...found.values)
}

/** Other elements of an array: for each element of the result, the one that it is. */
const gathered = (host: Host, shape: Shape.Shape, from: (index: number) => number): Host => {
  const data = DType.allocate(host.dtype, Shape.size(shape))
  for (let i = 0; i < data.length; i++) data[i] = host.data[from(i)]
  return { ...host, shape, data }
}

/** Items of a batch, in all arrays of a tree. */
const items = (tree: unknown, which: ReadonlyArray<number>): unknown =>
  Tree.remap(tree, (host: Host) => {
    const [, ...rest] = host.shape
    const size = Shape.size(rest)
    return gathered(
      host,
      [which.length, ...rest],
      (i) => which[Math.floor(i / size)] * size + (i % size)
    )
  })

/** The places of `[N, C, …]`, in another order. */
const permuted = (tree: unknown, order: ReadonlyArray<number>): unknown =>
  Tree.remap(tree, (host: Host) =>
    gathered(host, host.shape, (i) => {
      const place = i % order.length
      return i - place + order[place]
    })
  )

/** Shifted along an axis; what leaves at one end comes in at the other. */
const rolled = (tree: unknown, axis: number, by: number): unknown =>
  Tree.remap(tree, (host: Host) => {
    const size = host.shape[axis]
    const stride = Shape.size(host.shape.slice(axis + 1))
    return gathered(host, host.shape, (i) => {
      const at = Math.floor(i / stride) % size
      return i + (((((at - by) % size) + size) % size) - at) * stride
    })
  })

const shapesLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const batch = 1 + (seed % 3)
    const trial = trialOf(subject, seed, batch)
    let declared: ReadonlyArray<readonly [string, Tensor.Any]> = []
    const output = yield* evaluate(trial, (given) => {
      const output = applied(subject, given)
      declared = Tree.entries<Tensor.Any>(output)
      return output
    })
    const found = Tree.entries<Host>(output)
    for (const [i, [path, host]] of found.entries()) {
      const says = declared[i][1].shape
      const size = Shape.size(host.shape)
      if (!Shape.equals(says, host.shape) || host.data.length !== size) {
        return `${named("output", path)} should be of the shape ${Shape.show(says)} as the expression says, but the device gives ${Shape.show(host.shape)} and ${host.data.length} elements`
      }
      if (declared[i][1].dtype !== "float64" && DType.isFloat(declared[i][1].dtype)) {
        return `${named("output", path)} is ${declared[i][1].dtype}, though all it is made of is float64`
      }
    }
    if (subject.output === undefined) return undefined
    const wanted = shapesOf(subject.output)
    if (wanted.length !== found.length) {
      return `there are ${found.length} outputs instead of ${wanted.length}`
    }
    const shapes = new Map(found)
    for (const [path, shape] of wanted) {
      const expected = [batch, ...shape]
      const host = shapes.get(path)
      if (host === undefined) return `there is no output "${path}"`
      if (!Shape.equals(host.shape, expected)) {
        return `${named("output", path)} is of the shape ${Shape.show(host.shape)} instead of ${Shape.show(expected)}`
      }
    }
    return undefined
  })

const isInert = ({ inert = [] }: Subject, path: string): boolean =>
  inert.some((each) => (typeof each === "string" ? each === path : each.test(path)))

const parametersLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const entries = Parameter.entries(subject.layer.parameters)
    const paths = entries.map(([path]) => path)
    const twice = paths.find((path, i) => paths.indexOf(path) !== i)
    if (twice !== undefined) return `two parameters share the path "${twice}"`
    const idle = yield* idleOf(subject, seed)
    if (idle.length === 0) return unasked(subject, seed)
    // a gradient may be zero by chance: where a unit is switched off
    const still = new Set((yield* idleOf(subject, seed + 1)).map(({ what }) => what))
    const found = idle.find(({ what }) => still.has(what))
    return (
      found &&
      `${found.what} is never used: the gradient of a random function of the output is ${found.size}, that of others up to ${found.most}`
    )
  })

/** Whether the layer does without a value, as if there had never been one. */
const unasked = (subject: Bound, seed: number): string | undefined => {
  const paths = Parameter.entries(subject.layer.parameters).flatMap(([path]) =>
    isInert(subject, path) ? [] : [path]
  )
  if (paths.length === 0) return undefined
  const path = paths[seed % paths.length]
  const trial = Tree.remap<Trial>(trialOf(subject, seed, 1), (host: Host) => Tensor.constant(host))
  const values = Tree.remap(trial.values, (value: Tensor.Any, at) =>
    at === path ? undefined : value
  )
  try {
    applied(subject, { ...trial, values })
  } catch {
    return undefined
  }
  return `without a value for the parameter "${path}" it is applied as if there were no such parameter`
}

/** What has no influence on the output. */
const idleOf = Effect.fnUntraced(function* (subject: Bound, seed: number) {
  const trial = trialOf(subject, seed, 3)
  const entries = Parameter.entries(subject.layer.parameters)
  const gradients = yield* evaluate(trial, (given) => {
    const outputs = Tree.leaves<Tensor.Any>(applied(subject, given)).filter(({ dtype }) =>
      DType.isFloat(dtype)
    )
    const cotangents = normals(keyOf(seed, "cotangent"), outputs).map((each) =>
      Tensor.constant(each)
    )
    const { values, input, condition } = given as Trial
    const values_ = Tree.leaves<Tensor.Any>(values).filter((_, i) => entries[i][1].trainable)
    const floats = (tree: unknown) =>
      Tree.leaves<Tensor.Any>(tree).filter(({ dtype }) => DType.isFloat(dtype))
    return Gradient.vjp(
      outputs as never,
      [...values_, ...floats(input), ...floats(condition)],
      cotangents as never
    )
  })
  const pathsOf = (tree: unknown) =>
    Tree.entries<Host>(tree).flatMap(([path, { dtype }]) => (DType.isFloat(dtype) ? [path] : []))
  const what = [
    ...entries.flatMap(([path, { trainable }]) =>
      trainable ? [{ path, what: `the parameter "${path}"` }] : []
    ),
    ...pathsOf(trial.input).map((path) => ({ path, what: named("input", path) })),
    ...pathsOf(trial.condition).map((path) => ({ path, what: named("condition", path) }))
  ]
  const sizes = (gradients as ReadonlyArray<Host>).map((each) =>
    numbers(each).reduce((most, each) => Math.max(most, Math.abs(each)), 0)
  )
  const most = sizes.reduce((a, b) => Math.max(a, b), 0)
  return what.flatMap(({ path, what }, i) =>
    sizes[i] <= 1e-12 * Math.max(1, most) && !isInert(subject, path)
      ? [{ what, size: sizes[i], most }]
      : []
  )
})

const batchLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const trial = trialOf(subject, seed, 3)
    const picked = ({ values, input, condition }: Trial, which: ReadonlyArray<number>): Trial => ({
      values,
      input: items(input, which),
      condition: items(condition, which)
    })
    const one = seed % 3
    const order = [1, 2, 0]
    const trials = [trial, picked(trial, [one]), picked(trial, order)]
    const [whole, alone, turned] = yield* evaluate(trials, (given) =>
      given.map((each) => applied(subject, each))
    ) as Effect.Effect<ReadonlyArray<unknown>, Failure, Device.Device>
    return (
      same(
        alone,
        items(whole, [one]),
        (where, a, b) =>
          `item ${one} of a batch of 3 gives ${a} alone and ${b} among others, at ${where}`
      ) ??
      same(
        turned,
        items(whole, order),
        (where, a, b) =>
          `a batch in another order gives ${a} instead of ${b}, at ${where} where items are ${order}`
      )
    )
  })

const keyed = (given: { readonly key: unknown }): Layer.Context => ({ key: given.key as never })

const deterministicLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const inputs = {
      trial: trialOf(subject, seed, 3),
      key: HostRandom.toHostArray(keyOf(seed, "key"))
    }
    const [once, again, told] = yield* evaluate(inputs, (given) => [
      applied(subject, given.trial),
      applied(subject, given.trial),
      applied(subject, given.trial, keyed(given))
    ]) as Effect.Effect<ReadonlyArray<unknown>, Failure, Device.Device>
    return (
      same(
        again,
        once,
        (where, a, b) => `without a key it gives ${b} and then ${a}, at ${where}`,
        0
      ) ??
      (subject.random
        ? undefined
        : same(
            told,
            once,
            (where, a, b) =>
              `with a key it gives ${a} and without ${b}, at ${where}, though it is not said to be random`
          ))
    )
  })

const dropoutLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const trial = trialOf(subject, seed, 4)
    // by chance two keys may drop the same elements of a few
    for (let i = 0; i < 8; i++) {
      const keys = [0, 1].map((k) => HostRandom.foldIn(keyOf(seed, "key"), 2 * i + k))
      const [key, other] = keys.map((each) => HostRandom.toHostArray(each))
      const [once, again, different] = yield* evaluate({ trial, key, other }, (given) => [
        applied(subject, given.trial, keyed(given)),
        applied(subject, given.trial, keyed(given)),
        applied(subject, given.trial, keyed({ key: given.other }))
      ]) as Effect.Effect<ReadonlyArray<unknown>, Failure, Device.Device>
      const complaint = same(
        again,
        once,
        (where, a, b) => `with the key ${keys[0]} it gives ${b} and then ${a}, at ${where}`,
        0
      )
      if (complaint !== undefined) return complaint
      if (difference(different, once) !== undefined) return undefined
      if (i === 7) return `the keys ${keys[0]} and ${keys[1]} give the same, and so do others`
    }
    return undefined
  })

const permutationLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const trial = trialOf(subject, seed, 2)
    const [input] = Tree.leaves<Host>(trial.input)
    const places = Shape.size(input.shape.slice(2))
    const { data } = HostRandom.permutation(keyOf(seed, "other"), places)
    const order = Array.from(data, Number)
    const [direct, other] = yield* evaluate(
      [trial, { ...trial, input: permuted(trial.input, order) }],
      (given) => given.map((each) => applied(subject, each))
    ) as Effect.Effect<ReadonlyArray<unknown>, Failure, Device.Device>
    return same(
      other,
      permuted(direct, order),
      (where, a, b) =>
        `places permuted before give ${a}, and after ${b}, at ${where}, where ${order.length} places are [${order}]`
    )
  })

const translationLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const { margin, input = 1, output = 1 } = subject.translation as Translation
    const trial = trialOf(subject, seed, 1)
    const [{ shape }] = Tree.leaves<Host>(trial.input)
    const axes = shape.slice(2).map((_, i) => i + 2)
    const trials = [
      trial,
      ...axes.map((axis) => ({ ...trial, input: rolled(trial.input, axis, input) }))
    ]
    const [direct, ...shifted] = yield* evaluate(trials, (given) =>
      given.map((each) => applied(subject, each))
    ) as Effect.Effect<ReadonlyArray<Host>, Failure, Device.Device>
    for (const [i, axis] of axes.entries()) {
      const size = direct.shape[axis]
      const [begin, end] = [margin + output, size - margin]
      if (begin >= end) {
        return `no place of an output of ${Shape.show(direct.shape)} is ${margin} from the borders of axis ${axis} before and after a shift by ${output}; give larger inputs`
      }
      const inner = (host: Host): Host => {
        const wanted = host.shape.with(axis, end - begin)
        const stride = Shape.size(host.shape.slice(axis + 1))
        return gathered(host, wanted, (k) => {
          const outer = Math.floor(k / (stride * (end - begin)))
          return (outer * size + begin) * stride + (k % (stride * (end - begin)))
        })
      }
      const complaint = same(
        inner(shifted[i]),
        inner(rolled(direct, axis, output) as Host),
        (where, a, b) =>
          `an input shifted by ${input} along axis ${axis} gives ${a}, an output shifted by ${output} ${b}, at ${where}, counted from ${begin} on in that axis`
      )
      if (complaint !== undefined) return complaint
    }
    return undefined
  })

/** The set of elements that one is normalised with, as a number. */
const setsOf = (shape: Shape.Shape, { axes, groups = 1 }: Normalization) => {
  const over = new Set(
    (axes ?? shape.slice(1).map((_, i) => i + 1)).map((axis) =>
      axis < 0 ? axis + shape.length : axis
    )
  )
  return (index: number): number =>
    placeOf(index, shape).reduce((set, at, axis) => {
      if (!over.has(axis)) return set * shape[axis] + at
      return axis === 1 ? set * groups + Math.floor((at * groups) / shape[1]) : set
    }, 0)
}

const normalizationLaw = (subject: Bound, seed: number): Complaint =>
  Effect.gen(function* () {
    const claim = subject.normalization as Normalization
    const { centred = true } = claim
    const { condition, input } = trialOf(subject, seed, 2)
    // so large that an ε does not matter
    const large = 1e4
    const scaled = (change: (value: number, index: number) => number) =>
      Tree.remap(input, (host: Host) => ({
        ...host,
        data: numbers(host).map((each, i) => change(large * each, i))
      }))
    const [{ shape }] = Tree.leaves<Host>(input)
    const setOf = setsOf(shape, claim)
    const sets = 1 + setOf(Shape.size(shape) - 1)
    const draw = (stream: "other" | "cotangent", min: number, max: number) =>
      HostRandom.uniform(keyOf(seed, stream), [sets], { min, max, dtype: "float64" }).data
    const [factors, offsets] = [draw("other", 0.5, 2), draw("cotangent", -large, large)]
    const values = Parameter.init(subject.layer.parameters, seed)
    const trials = [
      { values, condition, input: scaled((each) => each) },
      {
        values,
        condition,
        input: scaled((each, i) => factors[setOf(i)] * each + (centred ? offsets[setOf(i)] : 0))
      }
    ]
    const [direct, other] = yield* evaluate(trials, (given) =>
      given.map((each) => applied(subject, each))
    ) as Effect.Effect<ReadonlyArray<Host>, Failure, Device.Device>
    const changed = same(
      other,
      direct,
      (where, a, b) =>
        `scaled${centred ? " and shifted" : ""} in each group the input gives ${a} instead of ${b}, at ${where}`,
      1e-6
    )
    if (changed !== undefined) return changed
    const output = numbers(direct)
    const [count, sum, squares] = [0, 0, 0].map(() => new Float64Array(sets))
    output.forEach((each, i) => {
      const set = setOf(i)
      count[set] += 1
      sum[set] += each
      squares[set] += each * each
    })
    for (let set = 0; set < sets; set++) {
      const [mean, square] = [sum[set] / count[set], squares[set] / count[set]]
      const place = placeOf(
        output.findIndex((_, i) => setOf(i) === set),
        shape
      )
      const which = `the ${count[set]} elements that are normalised with [${place.join(", ")}]`
      if (centred && !(Math.abs(mean) <= 1e-7)) return `${which} have the mean ${mean} instead of 0`
      if (!(Math.abs(square - 1) <= 1e-6))
        return `${which} have the mean square ${square} instead of 1`
    }
    return undefined
  })

/** How far off a statistic may be, in standard errors. */
const confidence = 6

/** A parameter alone in a tree, at its place. */
const aloneAt = (path: string, parameter: Parameter.Parameter): unknown =>
  path
    .split(".")
    .reduceRight<unknown>((tree, name) => (name === "" ? tree : { [name]: tree }), parameter)

const drawAt = (path: string, parameter: Parameter.Parameter, seed: number): Host =>
  Tree.leaves<Host>(Parameter.init(aloneAt(path, parameter), seed))[0]

const initialisation = (subject: Bound, seed: number): string | undefined => {
  const entries = Parameter.entries(subject.layer.parameters)
  for (const path of Object.keys(subject.initializers ?? {})) {
    if (!entries.some(([each]) => each === path)) return `there is no parameter "${path}"`
  }
  const values = new Map(Tree.entries<Host>(Parameter.init(subject.layer.parameters, seed)))
  const seen = new Map<string, string>()
  for (const [path, parameter] of entries) {
    const { shape, initializer } = parameter
    const wanted = (subject.initializers?.[path] ?? initializer)(shape)
    const host = values.get(path) as Host
    const found = numbers(host)
    const name = `the parameter "${path}"`
    const at = found.findIndex((each) => !Number.isFinite(each))
    if (at >= 0 || found.length !== Shape.size(shape)) {
      return at < 0
        ? `${name} has ${found.length} elements instead of ${Shape.size(shape)}`
        : `${name} begins with ${found[at]} at [${placeOf(at, shape).join(", ")}]`
    }
    const lone = numbers(drawAt(path, parameter, seed))
    const other = found.findIndex((each, i) => each !== lone[i])
    if (other >= 0) {
      return `${name} begins with ${found[other]} among others and with ${lone[other]} alone, at [${placeOf(other, shape).join(", ")}]`
    }
    const complaint = statistics(path, parameter, wanted, host, seed)
    if (complaint !== undefined) return `${name} ${complaint}`
    if (wanted.kind === "constant" || wanted.kind === "values" || found.length === 0) continue
    const text = `${wanted.kind} ${found}`
    const twin = seen.get(text)
    if (twin !== undefined) return `${name} begins with the same numbers as "${twin}"`
    seen.set(text, path)
  }
  return undefined
}

/** Whether draws look like a distribution's. */
const statistics = (
  path: string,
  parameter: Parameter.Parameter,
  wanted: Initializer.Distribution,
  host: Host,
  seed: number
): string | undefined => {
  const found = numbers(host)
  if (found.length === 0) return undefined
  switch (wanted.kind) {
    case "constant":
    case "values": {
      const exact = (i: number) => (wanted.kind === "constant" ? wanted.value : wanted.values[i])
      const at = found.findIndex((each, i) => each !== exact(i))
      return at < 0
        ? undefined
        : `begins with ${found[at]} instead of ${exact(at)} at [${placeOf(at, host.shape).join(", ")}]`
    }
    case "orthogonal":
      return orthogonality(host, wanted.gain)
    default: {
      const more = Math.ceil(1000 / found.length) - 1
      const sample = [found]
      for (let i = 1; i <= more; i++) sample.push(numbers(drawAt(path, parameter, seed + i)))
      const all = Float64Array.from(sample.flatMap((each) => Array.from(each)))
      const { mean, variance, kurtosis, min, max } = moments(wanted)
      const outside = all.find((each) => !(each >= min && each <= max))
      if (outside !== undefined) return `begins with ${outside}, which is not in [${min}, ${max}]`
      const center = all.reduce((sum, each) => sum + each, 0) / all.length
      const spread = all.reduce((sum, each) => sum + (each - mean) ** 2, 0) / all.length
      const errors = [
        Math.sqrt(variance / all.length),
        variance * Math.sqrt((kurtosis - 1) / all.length)
      ]
      const text = `over ${all.length} draws, more than ${confidence} standard errors away`
      if (!(Math.abs(center - mean) <= confidence * errors[0])) {
        return `begins with a mean of ${center} instead of ${mean} ${text}`
      }
      return Math.abs(spread - variance) <= confidence * errors[1]
        ? undefined
        : `begins with a variance of ${spread} instead of ${variance} ${text}`
    }
  }
}

/** The shorter side of a matrix is orthogonal. */
const orthogonality = (host: Host, gain: number): string | undefined => {
  const x = numbers(host)
  const height = host.shape[0]
  const width = x.length / height
  const [short, long] = height < width ? [height, width] : [width, height]
  const at = (i: number, k: number) => (height < width ? x[i * width + k] : x[k * width + i])
  for (let i = 0; i < short; i++) {
    for (let j = 0; j <= i; j++) {
      let product = 0
      for (let k = 0; k < long; k++) product += at(i, k) * at(j, k)
      const wanted = i === j ? gain ** 2 : 0
      if (!(Math.abs(product - wanted) <= 1e-6 * Math.max(1, gain ** 2))) {
        return `should be orthogonal, but ${height < width ? "rows" : "columns"} ${j} and ${i} have the product ${product} instead of ${wanted}`
      }
    }
  }
  return undefined
}

const initializationLaw = (subject: Bound, seed: number): Complaint =>
  Effect.sync(() => initialisation(subject, seed))

/** How often each is tried, when it applies, and what it says. */
const laws = {
  shapes: { runs: 2, applies: () => true, law: shapesLaw },
  parameters: { runs: 2, applies: () => true, law: parametersLaw },
  batch: { runs: 2, applies: () => true, law: batchLaw },
  deterministic: { runs: 1, applies: () => true, law: deterministicLaw },
  dropout: { runs: 1, applies: ({ random }: Subject) => random === true, law: dropoutLaw },
  permutation: {
    runs: 2,
    applies: ({ permutation }: Subject) => permutation === true,
    law: permutationLaw
  },
  translation: {
    runs: 2,
    applies: ({ translation }: Subject) => translation !== undefined,
    law: translationLaw
  },
  normalization: {
    runs: 2,
    applies: ({ normalization }: Subject) => normalization !== undefined,
    law: normalizationLaw
  },
  initialization: { runs: 1, applies: () => true, law: initializationLaw }
} as const

/**
 * The laws that {@link check} tries, where they apply.
 *
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof laws

/**
 * @since 0.1.0
 * @category getters
 */
export const names = Object.keys(laws) as ReadonlyArray<Name>

const applies = (name: Name, subject: Subject): boolean =>
  laws[name].applies(subject) && !subject.except?.includes(name)

const tried = (name: Name, subject: Subject, options: Options) => {
  const { law: complaintOf, runs } = laws[name]
  const bound: Bound = { ...subject, layer: Layer.cast(subject.layer, "float64") }
  return law.verify(name, subject.name, runs, options, (seed) => complaintOf(bound, seed))
}

const all = law.suite({
  names,
  nameOf: ({ name }: Subject) => name,
  applies,
  tried
})

/**
 * All laws that apply to a layer, on the device that is provided: fails with a `LawError` for the first that it does not keep.
 *
 * @example
 * ```ts
 * import { Device } from "odeon/Device"
 * import { LayerLaws } from "odeon/Laws"
 * import { Conv } from "odeon/Layer"
 * import * as Effect from "effect/Effect"
 *
 * const subject = LayerLaws.subject({
 *   name: "a convolution",
 *   layer: Conv.make({ in: 2, out: 3, kernel: 3 }),
 *   input: [2, 6, 5],
 *   output: [3, 6, 5],
 *   translation: { margin: 1 }
 * })
 * await Effect.runPromise(
 *   LayerLaws.check(subject).pipe(Effect.provide(Device.layerReference()))
 * )
 * ```
 *
 * @since 0.1.0
 * @category checks
 */
export const check: Check = all.check

/**
 * The device gives the shapes that the expressions say, which are those that are expected; and what is made of `float64` is that.
 *
 * @since 0.1.0
 * @category laws
 */
export const shapes: Check = all.alone("shapes")

/**
 * Each trainable parameter, each input and each condition has an influence on the output, which a random function of it has
 * a gradient to show for; a value that is missing is an error; and no two parameters have one path.
 *
 * @since 0.1.0
 * @category laws
 */
export const parameters: Check = all.alone("parameters")

/**
 * An item of a batch gives what it gives alone, and items in another order give the same in that order.
 *
 * @since 0.1.0
 * @category laws
 */
export const batch: Check = all.alone("batch")

/**
 * Without a key it gives the same each time that it is applied; and with one too, if it is not said to be random.
 *
 * @since 0.1.0
 * @category laws
 */
export const deterministic: Check = all.alone("deterministic")

/**
 * What is random depends on the key: the same gives the same, another one something else.
 *
 * @since 0.1.0
 * @category laws
 */
export const dropout: Check = all.alone("dropout")

/**
 * Places that are permuted before are as if they were permuted after.
 *
 * @since 0.1.0
 * @category laws
 */
export const permutation: Check = all.alone("permutation")

/**
 * A shift of the input is a shift of the output, away from borders.
 *
 * @since 0.1.0
 * @category laws
 */
export const translation: Check = all.alone("translation")

/**
 * As it begins, a norm gives groups of mean 0 and mean square 1, and the same for x and for ax + b in each group, a > 0.
 *
 * @since 0.1.0
 * @category laws
 */
export const normalization: Check = all.alone("normalization")

/**
 * Each parameter begins as its initialiser says: in its bounds, with its mean and its variance, within six standard errors; and it
 * depends on nothing but the seed and its own path.
 *
 * @since 0.1.0
 * @category laws
 */
export const initialization: Check = all.alone("initialization")
