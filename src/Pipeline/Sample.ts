/**
 * Sampling on a device: a sampler's steps in one loop there, with the state in the device's memory and the numbers of each step as the
 * loop's inputs.
 *
 * The noise of an item depends on the seed, on the item's number and on the step alone: however many are made at once, and whatever else
 * runs beside, an item stays the same.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Device, type DeviceError } from "../Device/index.ts"
import {
  Denoiser,
  DiffusionError,
  Noise,
  type Plan,
  Sampler,
  Schedule
} from "../Diffusion/index.ts"
import { LayerError } from "../Layer/index.ts"
import {
  type Cost,
  DType,
  type Expression,
  HostRandom,
  Program,
  type Random,
  Shape,
  Tensor,
  TensorError
} from "../Tensor/index.ts"
import { attempting } from "./internal/attempting.ts"

type HostArray = Expression.HostArray<ReadonlyArray<number>, "float32">

type State = Denoiser.State

/**
 * What is sampled, and how, whatever the denoiser and the sampler.
 *
 * @since 0.1.0
 * @category models
 */
export interface Common<P> {
  /** That of one item, such as `[3, 32, 32]`. */
  readonly shape: ReadonlyArray<number>
  /** How many items are made at once; 1 unless told. */
  readonly batch?: number
  /** The plan, or what makes one of the schedule at hand. */
  readonly plan: P
  /** From a key and the number of the batch's first item; `Noise.normal` unless told. */
  readonly noise?: (key: Random.Key, first: Noise.First) => Noise.Noise
}

/** A plan, or what makes one of a schedule. */
type PlanOption = Plan.Plan | ((schedule: Schedule.Schedule) => Plan.Plan)

/**
 * A sampling whose denoiser and sampler are known when it is compiled; those at hand (`Denoiser.Current`, `Sampler.Current`) unless told.
 * Weights that a denoiser holds as constants (`Program.constants`) are prepared once, which makes it faster.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<P, D, S> extends Common<P> {
  readonly denoiser?: D
  readonly sampler?: S
}

/**
 * A sampling whose denoiser and sampler are functions of what is given for each run, and stays the same during it: weights, labels, a mask.
 *
 * @since 0.1.0
 * @category models
 */
export interface OptionsOf<P, I> extends Common<P> {
  /** Specs of it. */
  readonly inputs: I
  readonly denoiser: (inputs: Program.Tensors<I>) => Denoiser.Denoiser
  readonly sampler: (inputs: Program.Tensors<I>) => Sampler.Sampler
}

/**
 * The services that options leave to be found.
 *
 * @since 0.1.0
 * @category types
 */
export type Missing<P, D, S> =
  | (P extends Plan.Plan ? never : Schedule.Current)
  | (D extends undefined ? Denoiser.Current : never)
  | (S extends undefined ? Sampler.Current : never)

/**
 * - `count`: how many items; as many as a batch has unless told
 * - `first`: the number of the first; 0 unless told
 * - `from`: data `[count, …shape]` to begin with, noised to the plan's first level, instead of noise alone: image to image (SDEdit, Meng et
 *   al. 2021, arXiv:2108.01073) with a plan that begins late (`Plan.from`)
 * - `inputs`: arrays or buffers of the specs in {@link OptionsOf}; the same for all batches
 *
 * @since 0.1.0
 * @category models
 */
export type RunOptions<I> = {
  readonly count?: number
  readonly first?: number
  readonly from?: HostArray
} & ({} extends I
  ? { readonly inputs?: Device.Arguments<I> }
  : { readonly inputs: Device.Arguments<I> })

/**
 * What there is after an evaluation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step {
  /** Which evaluation, from 0 on. */
  readonly index: number
  /** The level at which the denoiser was asked. */
  readonly level: Plan.Level
  /** The number of the first item in the batch. */
  readonly first: number
  /** The state after the step, `[items, …shape]`. */
  readonly x: HostArray
  /** The estimate of the data that the step was made of. */
  readonly data: HostArray
}

/**
 * A seed, or a key.
 *
 * @since 0.1.0
 * @category models
 */
export type Seed = number | bigint | HostRandom.Key

/**
 * A sampler compiled for a device, for as long as the scope lasts that it was compiled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sampling<I = {}> {
  /** How many steps a run has. */
  readonly steps: number
  /** How often a network is asked for each item of a run. */
  readonly evaluations: number
  /** Of one step. */
  readonly cost: Cost.Cost
  /** Milliseconds that the compilation took. */
  readonly compileTime: number
  /** Samples, `[count, …shape]`. */
  readonly run: (
    seed: Seed,
    ...options: Optional<RunOptions<I>>
  ) => Effect.Effect<HostArray, DeviceError.DeviceError | DiffusionError.DiffusionError>
  /**
   * Every step of every batch, one after the other, as soon as it is made. What it holds on the device is gone when it ends, is left or
   * interrupted.
   */
  readonly stream: (
    seed: Seed,
    ...options: Optional<RunOptions<I>>
  ) => Stream.Stream<
    Step,
    DeviceError.DeviceError | DeviceError.CompileError | DiffusionError.DiffusionError
  >
}

type Optional<T> = {} extends T ? [options?: T] : [options: T]

/**
 * What can be wrong with options: no sampler for such a plan, no network for such a shape, or nothing the device can compile.
 *
 * @since 0.1.0
 * @category errors
 */
export type Error =
  | DiffusionError.DiffusionError
  | LayerError.ConfigError
  | TensorError.TensorError
  | DeviceError.CompileError

const isDiffusionError = (error: unknown): error is DiffusionError.DiffusionError =>
  error instanceof DiffusionError.DiffusionError

const isExpected = (error: unknown): error is Exclude<Error, DeviceError.CompileError> =>
  isDiffusionError(error) ||
  error instanceof LayerError.ConfigError ||
  TensorError.isTensorError(error)

const attempt = attempting(isExpected)
const attemptRun = attempting(isDiffusionError)

/** Options of any kind. */
interface AnyOptions extends Common<PlanOption> {
  readonly inputs?: Readonly<Record<string, never>>
  readonly denoiser?: Denoiser.Denoiser | ((inputs: never) => Denoiser.Denoiser)
  readonly sampler?: Sampler.Sampler | ((inputs: never) => Sampler.Sampler)
}

type AnyRunOptions = Omit<RunOptions<{}>, "inputs"> & { readonly inputs?: unknown }

const keySpec = Tensor.spec([2], "uint32")
const scalarSpec = Tensor.spec([], "float32")

/**
 * Compiles a sampler for a device. What is not told is taken from the services.
 *
 * ```ts
 * const sampling = yield* Sample.make({
 *   shape: [3, 32, 32],
 *   batch: 16,
 *   plan: (schedule) => Plan.karras(schedule, 20),
 *   sampler: Ddim.make(),
 *   denoiser: Denoiser.make({
 *     network: (x, time) => network.apply(Program.constants(weights), x, { time }),
 *     prediction: "v"
 *   })
 * })
 * const images = yield* sampling.run(7, { count: 64 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <
    P extends PlanOption,
    D extends Denoiser.Denoiser | undefined = undefined,
    S extends Sampler.Sampler | undefined = undefined
  >(
    options: Options<P, D, S> & { readonly inputs?: undefined }
  ): Effect.Effect<Sampling, Error, Device.Device | Scope.Scope | Missing<P, D, S>>
  <P extends PlanOption, const I>(
    options: OptionsOf<P, I>
  ): Effect.Effect<
    Sampling<Program.Specs<I>>,
    Error,
    Device.Device | Scope.Scope | Missing<P, Denoiser.Denoiser, Sampler.Sampler>
  >
} = Effect.fnUntraced(function* (options: AnyOptions) {
  const { batch = 1, inputs = {}, noise = Noise.normal, shape } = options
  yield* attempt(() =>
    DiffusionError.demand(
      Number.isInteger(batch) && batch > 0,
      "Sample.make",
      "options",
      `a batch must be a whole number of at least 1, not ${batch}`
    )
  )
  const device = yield* Device.Device
  const chosen = options.plan
  const schedule = typeof chosen === "function" ? yield* Schedule.Current : undefined
  const plan = yield* attempt(() =>
    typeof chosen === "function" ? chosen(schedule as Schedule.Schedule) : chosen
  )
  const denoiser = options.denoiser ?? (yield* Denoiser.Current)
  const sampler = options.sampler ?? (yield* Sampler.Current)

  const states = Tensor.spec([batch, ...shape])
  const runSpecs = { inputs, key: keySpec, first: Tensor.spec([], "int32") }
  type Given = Program.Tensors<typeof runSpecs>
  const bind = ({ inputs, key, first }: Given) => {
    const asked = typeof denoiser === "function" ? denoiser(inputs as never) : denoiser
    const bound = Sampler.bind({
      sampler: typeof sampler === "function" ? sampler(inputs as never) : sampler,
      plan,
      denoiser: asked,
      noise: noise(key, first)
    })
    return { bound, evaluations: asked.evaluations * bound.count }
  }

  // what the loop begins with: signal·from + spread·noise
  const start = yield* attempt(() => {
    const found: Array<ReturnType<typeof bind>> = []
    const program = Program.makeUnsafe(
      { run: runSpecs, from: states, signal: scalarSpec, spread: scalarSpec },
      ({ run, from, signal, spread }) => {
        found.push(bind(run))
        const fresh = Noise.initial(run.key, states.shape, "float32", run.first)
        const level = { alpha: signal as State, sigma: spread as State }
        return found[0].bound.begin(Sampler.noised(from as State, level, fresh))
      },
      { name: "sampling begins" }
    )
    return { program, ...found[0] }
  })
  const { bound, evaluations } = start
  const levels = bound.levels
  const loop = (watched: boolean) =>
    attempt(() =>
      Program.makeUnsafe(
        [{ registers: start.program.outputs, run: runSpecs }, elementsOf(bound.rows)],
        ([{ registers, run }, row]) => {
          const [next, estimate] = bind(run as Given).bound.step(registers as never, row as never)
          const seen = watched ? { x: next.x, data: estimate.data } : {}
          return [{ registers: next, run }, seen] as const
        },
        { name: watched ? "watched sampling" : "sampling" }
      )
    )
  const [silent, watched] = [yield* loop(false), yield* loop(true)]
  const begin = yield* device.compile(start.program)
  const fold = yield* device.fold(silent as never)

  /** The batches of a run, from where their states begin. Throws `DiffusionError` for a run that makes no sense. */
  const batches = (seed: Seed, given: AnyRunOptions | undefined) => {
    const { count = batch, first = 0, from, inputs = {} } = given ?? {}
    for (const [name, value] of Object.entries({ count, first })) {
      DiffusionError.demand(
        Number.isInteger(value) && value >= 0 && value < 2 ** 31,
        "Sample.run",
        "options",
        `${name} must be a whole number of at least 0, not ${value}`
      )
    }
    DiffusionError.demand(
      typeof seed !== "number" || Number.isSafeInteger(seed),
      "Sample.run",
      "options",
      `a seed is a whole number below 2^53, a bigint or a key, not ${seed}`
    )
    DiffusionError.demand(
      from === undefined || Shape.equals(from.shape, [count, ...shape]),
      "Sample.run",
      "options",
      `the data to begin with must be ${Shape.show([count, ...shape])}, not ${Shape.show(from?.shape ?? [])}`
    )
    const key = HostRandom.toHostArray(typeof seed === "object" ? seed : HostRandom.key(seed))
    const [{ alpha, sigma }] = plan.levels
    const scalar = (value: number) => Tensor.hostArray(value)
    return Array.from({ length: Math.ceil(count / batch) }, (_, i) => {
      const items = Math.min(batch, count - i * batch)
      const run = {
        inputs,
        key,
        first: Tensor.hostArray(first + i * batch, { dtype: "int32" })
      }
      return {
        items,
        first: first + i * batch,
        run,
        begin: begin.run({
          run,
          from: padded(from, states.shape, i * batch, items),
          signal: scalar(from === undefined ? 0 : alpha),
          spread: scalar(from === undefined ? Sampler.deviation(plan) : sigma)
        } as never)
      }
    })
  }

  const run = Effect.fnUntraced(function* (seed: Seed, given?: AnyRunOptions) {
    const all = yield* attemptRun(() => batches(seed, given))
    const count = given?.count ?? batch
    const data = DType.allocate("float32", count * Shape.size(shape))
    let done = 0
    for (const each of all) {
      const x = yield* Effect.scoped(
        Effect.gen(function* () {
          const registers = yield* each.begin
          const [end] = yield* fold.run({ registers, run: each.run } as never, bound.rows as never)
          return yield* device.download((end as { registers: { x: Device.Buffer } }).registers.x)
        })
      )
      const part = cut(x as HostArray, each.items)
      data.set(part.data, done)
      done += part.data.length
    }
    return { dtype: "float32", shape: [count, ...shape], data } satisfies HostArray
  })

  const steps = (
    fold: Device.Fold<never, never, never>,
    each: ReturnType<typeof batches>[number]
  ) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const held = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
          Effect.provideService(effect, Scope.Scope, scope)
        const begin = { registers: yield* held(each.begin), run: each.run }
        return Stream.unfold({ index: 0, state: begin as unknown }, ({ index, state }) =>
          index === levels.length
            ? Effect.undefined
            : Effect.gen(function* () {
                const [next, seen] = yield* held(
                  fold.run(state as never, rowOf(bound.rows, index) as never, { stepsPerCall: 1 })
                )
                yield* device.release(state)
                const { x, data } = seen as unknown as { x: HostArray; data: HostArray }
                const only = (stack: HostArray): HostArray =>
                  cut({ ...stack, shape: stack.shape.slice(1) }, each.items)
                const step: Step = {
                  index,
                  level: levels[index],
                  first: each.first,
                  x: only(x),
                  data: only(data)
                }
                return [step, { index: index + 1, state: next as unknown }] as const
              })
        )
      })
    )

  return {
    steps: bound.count,
    evaluations,
    cost: fold.cost,
    compileTime: begin.compileTime + fold.compileTime,
    run,
    stream: (seed: Seed, given?: AnyRunOptions) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const all = yield* attemptRun(() => batches(seed, given))
          const fold = yield* device.fold(watched as never)
          return Stream.flatMap(Stream.fromIterable(all), (each) => steps(fold as never, each))
        })
      )
  } satisfies Sampling
}) as never

/**
 * Every step of a sampling, of options as in {@link make} and {@link RunOptions}: compiled when the stream begins.
 *
 * ```ts
 * yield* Sample.stream({ ...options, seed: 7 }).pipe(
 *   Stream.runForEach(({ index, data }) => show(index, data))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream = <
  P extends PlanOption,
  D extends Denoiser.Denoiser | undefined = undefined,
  S extends Sampler.Sampler | undefined = undefined
>(
  options: Options<P, D, S> & RunOptions<{}> & { readonly seed: Seed }
): Stream.Stream<Step, Error | DeviceError.DeviceError, Device.Device | Missing<P, D, S>> =>
  Stream.unwrap(
    Effect.map(make(options as Options<P, D, S>), (sampling) =>
      sampling.stream(options.seed, options)
    )
  ) as never

/** Specs of the rows' elements. */
const elementsOf = (rows: Sampler.Bound["rows"]) =>
  Object.fromEntries(
    Object.entries(rows).map(([name, { dtype }]) => [name, Tensor.spec([], dtype)])
  )

/** One row. */
const rowOf = (rows: Sampler.Bound["rows"], index: number) =>
  Object.fromEntries(
    Object.entries(rows).map(([name, { dtype, data }]) => [
      name,
      { dtype, shape: [1], data: data.slice(index, index + 1) }
    ])
  )

/** Some items of an array, with zeros up to a whole batch. */
const padded = (
  from: HostArray | undefined,
  shape: ReadonlyArray<number>,
  start: number,
  items: number
): HostArray => {
  const data = DType.allocate("float32", Shape.size(shape))
  const size = Shape.size(shape.slice(1))
  if (from !== undefined) data.set(from.data.subarray(start * size, (start + items) * size))
  return { dtype: "float32", shape, data }
}

/** The first items. */
const cut = ({ dtype, shape: [, ...rest], data }: HostArray, items: number): HostArray => ({
  dtype,
  shape: [items, ...rest],
  data: data.subarray(0, items * Shape.size(rest))
})
