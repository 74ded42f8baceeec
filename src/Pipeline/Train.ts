/**
 * Training: a state (parameters, what the optimiser remembers, averages) folded over batches, on a device.
 *
 * One step is one update of the parameters:
 *
 *     g = 1/A · Σₐ ∇L(w, batchₐ, keyₐ)      A batches of accumulation
 *     g ← g · min(1, c/‖g‖)                  where clipped
 *     w, s ← optimiser(w, g, s; rate(n))     n updates before it
 *     a ← βₙ a + (1 − βₙ) w                  each average
 *
 * Many steps are one call to the device; how many follows the clock and makes no difference to results. What a step sees (its batch, its
 * key, its rate) depends on the seed and its number alone, so a training resumed from a {@link Snapshot} ends, bit for bit, where it would
 * have ended.
 *
 * ```ts
 * const training = yield* Train.make({
 *   task: Train.diffusion({ network, schedule: Schedule.cosine(), prediction: "v" }),
 *   data: yield* Dataset.digits({ seed: 1 }),
 *   optimizer: Optimizer.adamw(),
 *   rate: LearningRate.constant(1e-3),
 *   batch: 64,
 *   seed: 7
 * })
 * yield* Stream.runForEach(training.run({ to: 2000 }), (event) => Console.log(event))
 * const { weights } = yield* training.snapshot
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { Device, type DeviceError } from "../Device/index.ts"
import { type Denoiser, Objective } from "../Diffusion/index.ts"
import { type Layer, type Network, Parameter } from "../Layer/index.ts"
import {
  type Cost,
  DType,
  Gradient,
  HostRandom,
  Program,
  Random,
  Shape,
  Tensor,
  Tree
} from "../Tensor/index.ts"
import * as Dataset from "./Dataset.ts"
import * as Ema from "./Ema.ts"
import { attempt, type BuildError } from "./internal/attempt.ts"
import { demand, requireAll } from "./internal/config.ts"
import type { LearningRate } from "./LearningRate.ts"
import * as Optimizer from "./Optimizer.ts"
import { type DataError, type FileError, TrainError } from "./PipelineError.ts"

type State = Denoiser.State
type Numbers = Optimizer.Numbers
type HostArrays = Readonly<Record<string, Tensor.HostArray>>

// ── What is trained ──────────────────────────────────────────────────────────────────────────────

/**
 * A batch, as a loss sees it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  /** `[batch, …shape]` */
  readonly data: Tensor.Tensor
  /** `[batch]`, of data that have classes. */
  readonly labels?: Tensor.Tensor<readonly [number], "int32">
}

/**
 * What a task makes of a batch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  /** What is made small: a scalar. */
  readonly loss: Tensor.Tensor | State
  /** The loss of each item, `[batch]`: names the culprits where a loss is not finite. */
  readonly items?: Tensor.Tensor | State
  /** The level of noise of each item, `[batch]`, as log-SNR. */
  readonly logSnr?: Tensor.Tensor | State
}

/**
 * Parameters, and the loss that they are trained for: a pure function. A diffusion model's is made by {@link diffusion}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task<P = any> {
  readonly parameters: P
  readonly loss: (values: Program.Tensors<P>, batch: Batch, key: Random.Key) => Outcome
}

/**
 * A network that may be trained: a preset's, or a layer of one's own from `[batch, …shape]` and a time for each item to the like.
 *
 * @since 0.1.0
 * @category models
 */
export interface AnyNetwork
  extends Pick<
    Layer.Layer<any, Tensor.Tensor, Tensor.Tensor, Network.Condition>,
    "parameters" | "apply"
  > {
  readonly config?: Partial<Network.Fields>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DiffusionOptions extends Omit<Objective.Options, "network"> {
  readonly network: AnyNetwork
  /**
   * How often a label is replaced by the network's last class, which stands for none, so that one network learns both halves of
   * classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598); 0 unless told, 0.1 is usual. The network has one class more than
   * the data.
   */
  readonly dropLabels?: number
}

/**
 * The task of a diffusion model (see `Objective`). A network with classes is told each item's label.
 *
 * @since 0.1.0
 * @category constructors
 */
export const diffusion = ({ network, dropLabels = 0, ...options }: DiffusionOptions): Task => ({
  parameters: network.parameters,
  loss: (values, { data, labels }, key) => {
    const { classes } = network.config ?? {}
    const [own, drop, dropout] = Random.children(key, 3)
    const context = { key: dropout }
    const told = (): Tensor.Tensor<readonly [number], "int32"> => {
      if (classes === undefined || labels === undefined) {
        throw new TrainError({
          reason: "options",
          message: `the network has ${classes} classes, but the data have no labels: take data with classes, or a network without`
        })
      }
      if (dropLabels === 0) return labels
      const items = Random.foldIn(drop, Tensor.arange(labels.shape[0]) as never) as Random.Key
      const dropped = Random.bernoulli(items, [], dropLabels) as never
      const none = Tensor.full(labels.shape, classes - 1, "int32")
      return Tensor.select(dropped, none, labels) as never
    }
    const condition = classes === undefined ? {} : { label: told() }
    return Objective.make({
      ...options,
      network: (x, time) =>
        network.apply(
          values,
          x as Tensor.Tensor,
          { time: time as never, ...condition },
          context
        ) as State
    })(data as State, own)
  }
})

// ── How ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly task: Task
  readonly data: Dataset.Dataset
  readonly optimizer: Optimizer.Optimizer
  /** By updates. */
  readonly rate: LearningRate
  /** Items that go through the network at once. */
  readonly batch: number
  /** How many batches make one update; 1 unless told. */
  readonly accumulate?: number
  /** The norm, over all parameters together, beyond which a gradient is shortened to it; none unless told. */
  readonly clip?: number
  /** Averages of the parameters, by names of one's own; none unless told. */
  readonly averages?: Readonly<Record<string, Ema.Ema>>
  /** Of the weights to begin with, the order of the data, and all noise. */
  readonly seed: number
  /**
   * What becomes of a step whose loss or gradient is not finite: it ends the training, or is left out, as though it had not been, but for
   * its number. `stop` unless told.
   */
  readonly nonFinite?: "stop" | "skip"
  /** Weights to begin with, by path, instead of the initialisers' draws. */
  readonly weights?: HostArrays
  /** Where to go on from, instead of the beginning. */
  readonly from?: Snapshot
}

/**
 * A training at rest, on the host: all that the steps after it depend on. Arrays go by the parameters' paths.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  /** Steps made, those left out included. */
  readonly step: number
  /** Steps left out. */
  readonly skipped: number
  /** The task's values, those that are not trained included. */
  readonly weights: HostArrays
  /** The same, averaged, by the averages' names. */
  readonly averages: Readonly<Record<string, HostArrays>>
  /** What the optimiser remembers, by paths in its state. */
  readonly optimizer: HostArrays
}

/**
 * An update.
 *
 * @since 0.1.0
 * @category events
 */
export interface Step {
  readonly _tag: "Step"
  /** From 0 on. */
  readonly step: number
  /** Epochs of data seen before it; 0 of endless data. */
  readonly epoch: number
  readonly loss: number
  /** Before it was clipped. */
  readonly gradientNorm: number
  readonly rate: number
  /** The step's share of the time that its call to the device took, with the reading of its data. */
  readonly milliseconds: number
}

/**
 * A step left out, because its loss or its gradient was not finite.
 *
 * @since 0.1.0
 * @category events
 */
export interface Skipped {
  readonly _tag: "Skipped"
  readonly step: number
  readonly loss: number
  readonly gradientNorm: number
  /** Which items, at which levels. */
  readonly message: string
}

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Step | Skipped

/**
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  /** The number of steps to arrive at, those made already included. */
  readonly to: number
  /**
   * Calls to the device end at multiples of these: after an event of step k·n − 1 the training stands exactly there, for checkpoints and
   * samples.
   */
  readonly marks?: ReadonlyArray<number>
  /**
   * Called with the events of each call to the device at the moment when the training stands behind it, for books that must agree with where
   * it stands: the stream's reader may be interrupted before they come.
   */
  readonly record?: (events: ReadonlyArray<Event>) => void
}

/**
 * What ends a training early.
 *
 * @since 0.1.0
 * @category errors
 */
export type Error = TrainError | DataError | FileError | DeviceError.DeviceError

/**
 * A training under way, on a device, for as long as the scope lasts that it was made in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Training {
  /**
   * Goes on, and tells of each step. It moves when it is pulled. What ends or interrupts it leaves the training where it stood after the
   * last call to the device, from where another run goes on.
   */
  readonly run: (options: RunOptions) => Stream.Stream<Event, Error>
  /** Where it stands. */
  readonly snapshot: Effect.Effect<Snapshot, DeviceError.DeviceError>
  /** How many numbers are trained. */
  readonly parameters: number
  /** Of one step. */
  readonly cost: Cost.Cost
  /** Milliseconds that the compilation took. */
  readonly compileTime: number
}

/** Calls longer than this hold up everything else. */
const callMillis = 250

/** What a step is told. */
const specsOf = ({ data, batch, accumulate = 1, averages = {} }: Options) => ({
  data: Tensor.spec([accumulate, batch, ...data.shape]),
  ...(data.classes === undefined ? {} : { labels: Tensor.spec([accumulate, batch], "int32") }),
  key: Tensor.spec([2], "uint32"),
  rate: Tensor.spec([]),
  count: Tensor.spec([]),
  shares: Object.fromEntries(Object.keys(averages).map((name) => [name, Tensor.spec([])]))
})

type Told = Program.Tensors<ReturnType<typeof specsOf>>

interface Carried<T> {
  readonly parameters: Readonly<Record<string, T>>
  readonly optimizer: unknown
  readonly averages: Readonly<Record<string, Readonly<Record<string, T>>>>
}

/** Gradients and losses, the mean over the batches of one update. */
const gradientsOf = (
  { task, accumulate = 1 }: Options,
  frozen: Numbers,
  parameters: Numbers,
  { data, labels, key }: Told
) => {
  type Given = Readonly<Record<string, Tensor.Tensor>>
  const one = (given: Given, own: Random.Key) => {
    const values = Parameter.join(task.parameters, parameters, frozen)
    const { loss, items, logSnr } = task.loss(values, given as never, own)
    const gradients = Gradient.of(loss as Tensor.Tensor, parameters) as Numbers
    const seen = {
      loss,
      ...(items === undefined ? {} : { items }),
      ...(logSnr === undefined ? {} : { logSnr })
    }
    return { gradients, seen: seen as Numbers }
  }
  const given = { data, ...(labels === undefined ? {} : { labels }) }
  if (accumulate === 1) {
    const first = Tree.remap<Given>(given, (each: Tensor.Tensor) =>
      Tensor.reshape(each, each.shape.slice(1))
    )
    const { gradients, seen } = one(first, key)
    return { gradients, seen: Tree.map(seen, (each) => Tensor.expandDims(each, 0)) as Numbers }
  }
  const zeros = Tree.map(parameters, (each) => Tensor.zerosLike(each)) as Numbers
  const [total, seen] = Tensor.scan({
    init: zeros,
    over: { ...given, place: Tensor.arange(accumulate) },
    step: (sum, { place, ...batch }: any) => {
      const { gradients, seen } = one(batch, Random.foldIn(key, place) as Random.Key)
      const next = Tree.zipWith([sum as Numbers, gradients], (a, b) => Tensor.add(a, b))
      return [next as never, seen]
    }
  })
  const mean = Tree.map(total as Numbers, (each) => Tensor.mul(each, 1 / accumulate))
  return { gradients: mean as Numbers, seen: seen as unknown as Numbers }
}

/** One update. */
const update = (
  options: Options,
  frozen: Numbers,
  state: Carried<Tensor.Tensor>,
  told: Told
): readonly [Carried<Tensor.Tensor>, Numbers] => {
  const { optimizer, clip, averages = {} } = options
  const { gradients, seen } = gradientsOf(options, frozen, state.parameters, told)
  const norm = Optimizer.norm(gradients)
  const clipped = clip === undefined ? gradients : Optimizer.clipTo(gradients, norm, clip)
  const next = optimizer.update({
    gradients: clipped,
    parameters: state.parameters,
    state: state.optimizer as never,
    rate: told.rate,
    count: told.count
  })
  const averaged = Object.keys(averages).map((name) => [
    name,
    Ema.update(state.averages[name], next.parameters, told.shares[name] as never)
  ])
  return [
    {
      parameters: next.parameters,
      optimizer: next.state,
      averages: Object.fromEntries(averaged)
    },
    { ...seen, loss: Tensor.mean(seen.loss) as never, norm: norm as never }
  ]
}

/** Throws `TrainError` for options that make no sense. */
const validate = (options: Options): void => {
  const refuse = (holds: boolean, message: string) => demand(holds, "Train.make", message)
  const whole = { batch: options.batch, accumulate: options.accumulate ?? 1 }
  requireAll("Train.make", "count", whole)
  refuse(
    Number.isSafeInteger(options.seed),
    `seed must be a whole number below 2^53, not ${options.seed}`
  )
  refuse(
    options.clip === undefined || options.clip > 0,
    `clip is a norm above 0, not ${options.clip}; leave it out not to clip`
  )
  // names become names of files, in which some systems hear no capitals
  const small = new Set<string>()
  for (const name of Object.keys(options.averages ?? {})) {
    refuse(
      /^[\w-]+$/.test(name),
      `an average's name is made of letters, digits, "_" and "-", unlike ${JSON.stringify(name)}`
    )
    refuse(name !== "weights", 'the name "weights" is that of the weights without averaging')
    refuse(
      !small.has(name.toLowerCase()),
      `the names of averages must differ in more than capitals, unlike ${JSON.stringify(name)}`
    )
    small.add(name.toLowerCase())
  }
  Dataset.draws(options.data, { batch: whole.batch * whole.accumulate, seed: options.seed })
}

/**
 * A training, compiled. Fails where the task cannot be built or compiled for such data, with `TrainError` for options that make no sense,
 * and with `ParameterError` for weights that are not the task's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (given: Options) {
  // what it begins with is not to be held on to: no closure here sees `given`, `from` or `start`
  const { from, weights: _, ...options } = given
  const { task, data, rate, batch, accumulate = 1, averages = {} } = options
  yield* attempt(() => validate(options))
  const device = yield* Device.Device
  // of its own, so that its state is there for whatever the caller's scope does after it was made and before it closes
  const scope = yield* Scope.fork(yield* Effect.scope)

  const { start, frozen } = yield* beginning(given)
  const fold = yield* device.fold(yield* programOf(options, start, frozen))

  // ── where it stands ──
  let holder = yield* Scope.fork(scope)
  let state: unknown = yield* Scope.provide(device.uploadAll(start), holder)
  let step = from?.step ?? 0
  let skipped = from?.skipped ?? 0
  let pace = 1
  const lock = yield* Semaphore.make(1)

  const key = HostRandom.foldIn(HostRandom.key(options.seed), 1)
  const batches = batchesOf(options, step, scope)

  /** What is wrong with what the host tells of a step, if anything is: it would spoil all that comes after. */
  const oddOf = (at: number): string | undefined => {
    const update = at - skipped
    const told = [
      ["the learning rate", rate(update)] as const,
      ...Object.entries(averages).map(
        ([name, { decay }]) => [`the decay of the average ${name}`, decay(update)] as const
      )
    ]
    const odd = told.find(([, value]) => !Number.isFinite(value))
    return odd && `${odd[0]} must be a finite number, not ${odd[1]}`
  }

  /** The inputs of some steps. */
  const inputsOf = (all: ReadonlyArray<Dataset.Batch>, first: number) => {
    const updates = all.map((_, i) => first + i - skipped)
    const column = (f: (update: number) => number) => ({
      shape: [all.length],
      dtype: "float32" as const,
      data: Float32Array.from(updates, f)
    })
    return {
      data: stacked(all.map((each) => each.data)),
      ...(data.classes === undefined
        ? {}
        : { labels: stacked(all.map((each) => each.labels as Tensor.HostArray)) }),
      key: HostRandom.toHostArray(all.map((_, i) => HostRandom.foldIn(key, first + i))),
      rate: column(rate),
      count: column((update) => update + 1),
      // near 1, a decay itself would lose digits as float32
      shares: Object.fromEntries(
        Object.entries(averages).map(([name, average]) => [
          name,
          column((update) => 1 - average.decay(update))
        ])
      )
    }
    function stacked(parts: ReadonlyArray<Tensor.HostArray>): Tensor.HostArray {
      const [{ dtype, shape }] = parts
      const size = Shape.size(shape)
      const joined = DType.allocate(dtype, size * parts.length)
      for (const [i, part] of parts.entries()) joined.set(part.data as never, i * size)
      const [, ...rest] = shape
      return { dtype, shape: [parts.length, accumulate, batch, ...rest], data: joined }
    }
  }

  /** Some steps from where it stands: the state after them, in a scope of its own, and what they tell. To be called where nothing interrupts. */
  const tried = Effect.fnUntraced(function* (
    all: ReadonlyArray<Dataset.Batch>,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    const next = yield* Scope.fork(scope)
    const [last, told] = yield* fold
      .run(state as never, inputsOf(all, step) as never, { stepsPerCall: all.length })
      .pipe(
        Scope.provide(next),
        restore,
        Effect.onError((cause) => Scope.close(next, Exit.failCause(cause)))
      )
    return { next, last: last as unknown, told: told as unknown as HostArrays }
  })

  /** At most so many steps, in one call unless one is not finite. Once there is a state after them, nothing comes between it and the books. */
  const advance = (most: number, record: NonNullable<RunOptions["record"]>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const begun = performance.now()
        let sound = 0
        while (sound < Math.min(most, pace) && oddOf(step + sound) === undefined) sound++
        if (sound === 0) {
          const message = `step ${step}: ${oddOf(step)}`
          return yield* new TrainError({ reason: "options", step, message })
        }
        const all = yield* restore(batches.peek(sound))
        let result = yield* tried(all, restore)
        const { loss, norm } = result.told
        const bad = all.findIndex(
          (_, i) => !Number.isFinite(loss.data[i]) || !Number.isFinite(norm.data[i])
        )
        const count = bad < 0 ? all.length : bad
        const culprit = bad < 0 ? undefined : describe(options, all[bad], result.told, bad)
        if (bad >= 0) {
          yield* Scope.close(result.next, Exit.void)
          if (bad > 0) result = yield* tried(all.slice(0, bad), restore)
        }
        const millis = performance.now() - begun
        // what was computed beyond a step that is left out is lost
        const fitting = Math.min(8 * count, Math.floor((callMillis * count) / millis))
        pace = Math.max(1, bad < 0 ? fitting : bad)
        const events: Array<Event> = all.slice(0, count).map((each, i) => ({
          _tag: "Step",
          step: step + i,
          epoch: each.epoch,
          loss: Number(loss.data[i]),
          gradientNorm: Number(norm.data[i]),
          rate: rate(step + i - skipped),
          milliseconds: millis / count
        }))
        const before = holder
        if (count > 0) {
          state = result.last
          holder = result.next
        }
        step += count
        batches.drop(count)
        let failure: TrainError | undefined
        if (bad >= 0) {
          const message = `step ${step}: ${culprit}`
          if (options.nonFinite === "skip") {
            batches.drop(1)
            const [lost, length] = [Number(loss.data[bad]), Number(norm.data[bad])]
            events.push({ _tag: "Skipped", step, loss: lost, gradientNorm: length, message })
            step++
            skipped++
          } else failure = new TrainError({ reason: "nonFinite", step, message })
        }
        if (count > 0) yield* Scope.close(before, Exit.void)
        if (events.length > 0) record(events)
        return { events, failure }
      })
    )

  const run = ({ to, marks = [], record = () => {} }: RunOptions): Stream.Stream<Event, Error> =>
    Stream.paginate(undefined as TrainError | undefined, (failure) =>
      Effect.gen(function* () {
        if (failure !== undefined) return yield* failure
        yield* attempt(() => requireSteps(to, marks)) as Effect.Effect<void, TrainError>
        const made = yield* lock.withPermit(
          Effect.suspend(() => {
            if (step >= to) return Effect.undefined
            const most = Math.min(to - step, ...marks.map((every) => every - (step % every)))
            return advance(most, record)
          })
        )
        if (made === undefined) return [[], Option.none()] as const
        return [made.events, Option.some(made.failure)] as const
      })
    )

  const snapshot = lock.withPermit(
    Effect.gen(function* () {
      const position = { step, skipped }
      const held = yield* device.downloadAll(state as never)
      const { parameters, optimizer, averages } = held as unknown as Carried<Tensor.HostArray>
      return {
        ...position,
        weights: { ...parameters, ...frozen },
        averages: Object.fromEntries(
          Object.entries(averages).map(([name, each]) => [name, { ...each, ...frozen }])
        ),
        optimizer: Parameter.toRecord(optimizer) as HostArrays
      } satisfies Snapshot
    })
  )

  return {
    run,
    snapshot,
    parameters: Parameter.count(task.parameters, { trainable: true }),
    cost: fold.cost,
    compileTime: fold.compileTime
  } satisfies Training
})

/** Throws `TrainError` for a number of steps to arrive at, or marks, that are none. */
const requireSteps = (to: number, marks: ReadonlyArray<number>): void => {
  demand(
    to === Number.POSITIVE_INFINITY || (Number.isSafeInteger(to) && to >= 0),
    "Training.run",
    `\`to\` must be a whole number of steps or Infinity, not ${to}`
  )
  for (const mark of marks) requireAll("Training.run", "count", { mark })
}

/** What a training begins with, on the host. */
const beginning = Effect.fnUntraced(function* (options: Options) {
  const { task, optimizer, averages = {}, seed, from } = options
  const device = yield* Device.Device
  const given = from?.weights ?? options.weights
  const weights: unknown =
    given === undefined
      ? yield* attempt(() => Parameter.init(task.parameters, seed))
      : yield* Parameter.load(task.parameters, given)
  const { trainable, frozen } = Parameter.split(task.parameters, weights) as unknown as {
    readonly trainable: HostArrays
    readonly frozen: HostArrays
  }
  const begin = yield* device.evaluate(
    optimizer.init(Program.constants(trainable) as unknown as Numbers)
  )
  const start: Carried<Tensor.HostArray> = {
    parameters: trainable,
    optimizer:
      from === undefined ? begin : yield* attempt(() => restored(begin, from.optimizer, optimizer)),
    averages: yield* averagesOf(task.parameters, Object.keys(averages), trainable, from)
  }
  return { start, frozen }
})

/** A step, from such a state on. */
const programOf = (
  options: Options,
  start: Carried<Tensor.HostArray>,
  frozen: HostArrays
): Effect.Effect<never, BuildError> =>
  attempt(() => {
    const constants = Program.constants(frozen) as unknown as Numbers
    return Program.makeUnsafe(
      [start, specsOf(options)],
      ([state, told]) => update(options, constants, state as never, told as never),
      { name: "training" }
    ) as never
  })

/** The batches of each update, from a step on. */
const batchesOf = (
  { data, batch, accumulate = 1, seed }: Options,
  from: number,
  scope: Scope.Scope
) => {
  const ready: Array<Dataset.Batch> = []
  let first = from
  const open = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    const all = Dataset.batches(data, {
      batch: batch * accumulate,
      seed,
      from: first + ready.length
    })
    const pull = yield* Scope.provide(Stream.toPull(all), own)
    return { own, pull: Pull.catchDone(pull, Effect.die) }
  })
  let opened: Effect.Success<typeof open> | undefined
  return {
    peek: Effect.fnUntraced(function* (count: number) {
      while (ready.length < count) {
        opened ??= yield* open
        const { own, pull } = opened
        const more = yield* Effect.onError(pull, (cause) => {
          // what could not be read is read anew by whoever goes on
          opened = undefined
          return Scope.close(own, Exit.failCause(cause))
        })
        ready.push(...more)
      }
      return ready.slice(0, count)
    }),
    drop: (count: number) => {
      ready.splice(0, count)
      first += count
    }
  }
}

/** What the optimiser remembers, from a snapshot. Throws `TrainError` where that is of another optimiser or other parameters. */
const restored = (like: unknown, given: HostArrays, { name }: Optimizer.Optimizer): unknown => {
  const wanted = new Set(Tree.entries(like).map(([path]) => path))
  const odd = Object.keys(given).find((path) => !wanted.has(path))
  const refuse = (path: string, why: string) =>
    new TrainError({
      reason: "options",
      message: `Train.make: what ${name} should remember is not what the snapshot holds: ${path} ${why}; go on with the optimiser that it is of`
    })
  if (odd !== undefined) throw refuse(odd, "is not known")
  return Tree.remap(like, ({ shape, dtype }: Tensor.Spec, path) => {
    const found = given[path]
    if (found === undefined) throw refuse(path, "is missing")
    if (found.dtype !== dtype || !Shape.equals(found.shape, shape)) {
      throw refuse(
        path,
        `is ${found.dtype} ${Shape.show(found.shape)}, not ${dtype} ${Shape.show(shape)}`
      )
    }
    return found
  })
}

/** The averages to begin with: those of a snapshot, or the parameters themselves. */
const averagesOf = Effect.fnUntraced(function* (
  parameters: unknown,
  names: ReadonlyArray<string>,
  trainable: HostArrays,
  from: Snapshot | undefined
) {
  const all: Record<string, HostArrays> = {}
  for (const name of names) {
    if (from === undefined) {
      all[name] = trainable
      continue
    }
    const held = from.averages[name]
    if (held === undefined) {
      return yield* new TrainError({
        reason: "options",
        message: `Train.make: the snapshot has no average "${name}", but ${Object.keys(from.averages).join(", ") || "none"}`
      })
    }
    const values = yield* Parameter.load(parameters, held)
    all[name] = Parameter.split(parameters, values as unknown).trainable as unknown as HostArrays
  }
  return all
})

/** Which items of a step are not finite, and how noisy they were. */
const describe = (
  { data }: Options,
  { indices }: Dataset.Batch,
  told: HostArrays,
  at: number
): string => {
  const row = (name: string): ReadonlyArray<number> | undefined => {
    const array = told[name]
    if (array === undefined) return undefined
    const size = Shape.size(array.shape.slice(1))
    return Array.from(array.data.subarray(at * size, (at + 1) * size) as Iterable<number>, Number)
  }
  const loss = Number(told.loss.data[at])
  const items = row("items")
  const levels = row("logSnr")
  const culprits = indices.flatMap((index, i) =>
    items === undefined || Number.isFinite(items[i])
      ? []
      : [`item ${index}${levels === undefined ? "" : ` at log-SNR ${levels[i].toPrecision(4)}`}`]
  )
  const few = (all: ReadonlyArray<string | number>) =>
    `${all.slice(0, 4).join(", ")}${all.length > 4 ? ` and ${all.length - 4} more` : ""} of ${data.name}`
  const which = culprits.length > 0 ? few(culprits) : `the batch of items ${few(indices)}`
  const remedy =
    'lower the learning rate, clip gradients, or leave such steps out (nonFinite: "skip")'
  return Number.isFinite(loss)
    ? `the gradient is not finite, for ${which}, though the loss is ${loss}; ${remedy}`
    : `the loss is ${loss}, for ${which}; look at these items, ${remedy}`
}
