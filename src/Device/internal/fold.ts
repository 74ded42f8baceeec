import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as DType from "../../Tensor/DType.ts"
import type { HostArray, Spec } from "../../Tensor/Expression.ts"
import * as Graph from "../../Tensor/Graph.ts"
import type { Program } from "../../Tensor/Program.ts"
import * as Shape from "../../Tensor/Shape.ts"
import * as Tree from "../../Tensor/Tree.ts"
import type { CompiledFold } from "../Backend.ts"
import type { Buffers, CompileOptions, Fold, FoldOptions, Steps } from "../Device.ts"
import { CompileError, type DeviceError } from "../DeviceError.ts"
import { arrange, place, sameSpec, type Wanted } from "./arguments.ts"
import { type Cache, Job } from "./cache.ts"
import { show, showAll, showBytes } from "./errors.ts"
import {
  type BufferImpl,
  bytesOf,
  isSpec,
  type Memory,
  misfit,
  release,
  together
} from "./memory.ts"
import { alive, fits, type Prepared, prepare } from "./program.ts"

/** See `Service.fold`. */
export const fold = <B>(memory: Memory<B>, cache: Cache<CompiledFold<B>>) =>
  Effect.fnUntraced(function* <S, X, Y>(
    program: Program<readonly [S, X], readonly [S, Y]>,
    options?: CompileOptions
  ) {
    const device = memory.backend.name
    const states = wantedOf(program.inputs[0])
    const count = states.specs.length
    const prepared = prepare(
      memory.failure,
      yield* aligned(device, program, states),
      options?.check
    )
    yield* fits(device, memory.capacity, prepared)
    const { compiled, time } = yield* cache.get(new Job(prepared.source, count))
    const step: Step<B> = {
      life: yield* Effect.scope,
      memory,
      compiled,
      operation: `fold ${program.name}`,
      states,
      elements: wantedOf(program.inputs[1]),
      results: Tree.leaves<Spec>(program.outputs[1]),
      prepared,
      pace: new Pace()
    }
    return {
      program,
      compileTime: time,
      cost: prepared.cost,
      run: (state, inputs, options = {}) =>
        Effect.map(
          run(step, state, inputs, options),
          ({ last, outputs }) =>
            [
              Tree.refill<Buffers<S>>(program.inputs[0], last),
              Tree.refill<Steps<Y>>(program.outputs[1], outputs)
            ] as const
        )
    } satisfies Fold<S, X, Y>
  })

/** A step that is compiled into a loop. */
interface Step<B> {
  /** What was compiled lasts as long as this. */
  readonly life: Scope.Scope
  readonly memory: Memory<B>
  readonly compiled: CompiledFold<B>
  /** For messages. */
  readonly operation: string
  readonly states: Wanted
  readonly elements: Wanted
  readonly results: ReadonlyArray<Spec>
  /** Its outputs are the states, the results and, if it is checked, the verdict. */
  readonly prepared: Prepared
  readonly pace: Pace
}

/** How many steps make a call, learnt from the calls before. */
class Pace {
  steps = 1

  learn(steps: number, millis: number): void {
    // a rest of few steps says little about many
    if (steps < this.steps && millis < callMillis) return
    const fitting = Math.floor((callMillis * steps) / Math.max(millis, 0.01))
    this.steps = Math.max(1, Math.min(8 * steps, fitting))
  }
}

/** Longer calls hold up everything else; shorter ones cost more than they need to. */
const callMillis = 250

const wantedOf = (tree: unknown): Wanted => {
  const entries = Tree.entries<Spec>(tree)
  return { names: entries.map(([name]) => name), specs: entries.map(([, spec]) => spec) }
}

/**
 * The program with the states that it gives in the order of those that it takes: records may be
 * written in any order. Fails where they are not the same states.
 */
const aligned = <S, X, Y>(
  device: string,
  program: Program<readonly [S, X], readonly [S, Y]>,
  states: Wanted
): Effect.Effect<Program<unknown, unknown>, CompileError> =>
  Effect.suspend(() => {
    const given = wantedOf(program.outputs[0])
    const order = states.names.map((name) => given.names.indexOf(name))
    const same =
      given.names.length === order.length &&
      order.every((from, i) => from >= 0 && sameSpec(given.specs[from], states.specs[i]))
    if (!same) {
      const list = ({ names, specs }: Wanted) =>
        specs.map((spec, i) => (names[i] === "" ? show(spec) : `${names[i]}: ${show(spec)}`))
      return Effect.fail(
        new CompileError({
          reason: "Mismatch",
          device,
          program: program.name,
          message: `fold ${program.name}: a step must give the state that it takes, but it takes (${list(states).join(", ")}) and gives (${list(given).join(", ")}): give the same names, shapes and dtypes; Tensor.reshape, broadcastTo and cast help`
        })
      )
    }
    if (order.every((from, i) => from === i)) return Effect.succeed(program)
    const { graph, outputNames } = program
    const permuted = <A>(all: ReadonlyArray<A>) => [
      ...order.map((from) => all[from]),
      ...all.slice(order.length)
    ]
    return Effect.succeed({
      ...program,
      graph: Graph.make(graph.inputs, permuted(graph.outputs)),
      outputNames: permuted(outputNames)
    })
  })

interface Folded<B> {
  readonly last: ReadonlyArray<BufferImpl<B>>
  readonly outputs: ReadonlyArray<HostArray>
}

/** All the steps. The last state belongs to the scope at hand; those before it are gone. */
const run = <B>(
  step: Step<B>,
  state: unknown,
  inputs: unknown,
  options: FoldOptions
): Effect.Effect<Folded<B>, DeviceError, Scope.Scope> =>
  Effect.gen(function* () {
    const { life, memory, operation, pace, states } = step
    yield* alive(memory.failure, operation, life)
    const { arrays, perCall, steps } = yield* planned(step, inputs, options)
    const outputs = yield* allocated(step, steps)
    const scope = yield* Effect.scope
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const passing = yield* Effect.scope
        let holder = yield* Scope.fork(passing)
        let current = yield* Scope.provide(place(memory, operation, states, state), holder)
        if (steps === 0) return { last: yield* copied(step, current, scope), outputs }
        for (let done = 0; done < steps; ) {
          yield* Effect.yieldNow
          const count = Math.min(steps - done, perCall ?? Math.min(pace.steps, affordable(step)))
          const next = yield* Scope.fork(passing)
          const to = done + count === steps ? scope : next
          const start = performance.now()
          current = yield* advance(step, current, { arrays, outputs, from: done, count }, to)
          pace.learn(count, performance.now() - start)
          yield* Scope.close(holder, Exit.void)
          holder = next
          done += count
        }
        return { last: current, outputs }
      })
    )
  })

interface Planned {
  readonly arrays: ReadonlyArray<HostArray>
  readonly steps: number
  readonly perCall: number | undefined
}

/** What is asked for, checked: inputs for as many steps, or for more where `steps` says how many. */
const planned = <B>(
  { elements, memory: { failure }, operation }: Step<B>,
  inputs: unknown,
  options: FoldOptions
): Effect.Effect<Planned, DeviceError> =>
  Effect.gen(function* () {
    const given = Tree.leaves<HostArray>(inputs)
    const refuse = (why: string) => failure("Mismatch", operation, given.filter(isSpec), why)
    for (const each of given) {
      const why = misfit(each)
      if (why !== undefined) return yield* refuse(why)
    }
    const steps = options.steps ?? given[0]?.shape[0]
    if (steps === undefined) {
      return yield* refuse("has no inputs to count: say with `steps` how many steps it makes")
    }
    if (!isCount(steps, 0)) {
      return yield* refuse(`cannot make ${steps} steps: give a whole number of at least 0`)
    }
    const perCall = options.stepsPerCall
    if (perCall !== undefined && !isCount(perCall, 1)) {
      return yield* refuse(
        `cannot make ${perCall} steps in a call: give a whole \`stepsPerCall\` of at least 1, or none`
      )
    }
    const enough = (each: HostArray): HostArray =>
      options.steps !== undefined && each.shape[0] > steps ? rows(each, 0, steps) : each
    const wanted = {
      names: elements.names,
      specs: elements.specs.map((spec) => stacked(spec, steps))
    }
    const arrays = yield* arrange<HostArray>(failure, operation, wanted, Tree.remap(inputs, enough))
    return { arrays, steps, perCall }
  })

const isCount = (value: number, least: number): boolean =>
  Number.isSafeInteger(value) && value >= least

/** Room on the host for what all the steps give. */
const allocated = <B>(
  { memory: { failure }, operation, results }: Step<B>,
  steps: number
): Effect.Effect<ReadonlyArray<HostArray>, DeviceError> =>
  Effect.suspend(() => {
    const specs = results.map((spec) => stacked(spec, steps))
    try {
      return Effect.succeed(
        specs.map(({ dtype, shape }) => ({
          dtype,
          shape,
          data: DType.allocate(dtype, Shape.size(shape))
        }))
      )
    } catch {
      return Effect.fail(
        failure(
          "Memory",
          operation,
          specs,
          `what ${steps} steps give, ${showBytes(bytesOfAll(specs))} as ${showAll(specs)}, is more than the host has room for: run fewer steps at a time, or let a step give less`
        )
      )
    }
  })

/** How many steps at once there is memory for; 1 if there is too little, which then fails. */
const affordable = <B>(step: Step<B>): number => {
  const each = bytesOfAll(step.elements.specs) + bytesOfAll(perStep(step))
  return each === 0
    ? Number.POSITIVE_INFINITY
    : Math.max(1, Math.floor((step.memory.free - workspace(step, 0)) / each))
}

/** What each step gives besides the state. */
const perStep = <B>({ prepared, states }: Step<B>): ReadonlyArray<Spec> =>
  prepared.outputs.slice(states.specs.length)

/** Bytes that a call works in: a step's values, the state before and after it, and what is stacked. */
const workspace = <B>(step: Step<B>, steps: number): number =>
  step.prepared.cost.peakBytes + bytesOfAll(step.states.specs) + steps * bytesOfAll(perStep(step))

interface Part {
  readonly arrays: ReadonlyArray<HostArray>
  readonly outputs: ReadonlyArray<HostArray>
  readonly from: number
  readonly count: number
}

/** Some of the steps, in one call. The state that they lead to belongs to the scope. */
const advance = <B>(
  step: Step<B>,
  state: ReadonlyArray<BufferImpl<B>>,
  part: Part,
  scope: Scope.Scope
): Effect.Effect<ReadonlyArray<BufferImpl<B>>, DeviceError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { compiled, memory, operation, states } = step
      const { arrays, count, from } = part
      const temporary = yield* Effect.scope
      const scanned = yield* Effect.forEach(arrays, (each) =>
        memory.upload(operation, rows(each, from, count), temporary)
      )
      const produced = yield* memory.call({
        operation,
        inputs: [...state, ...scanned],
        workspace: workspace(step, count),
        outputs: [
          ...states.specs.map((spec) => ({ spec, scope })),
          ...perStep(step).map((spec) => ({ spec: stacked(spec, count), scope: temporary }))
        ],
        run: (given) => compiled.run(given.slice(0, state.length), given.slice(state.length), count)
      })
      const next = produced.slice(0, state.length)
      return yield* collect(step, produced.slice(state.length), part).pipe(
        Effect.onError(() => release(next)),
        Effect.as(next)
      )
    })
  )

/** Puts what some steps gave among what all of them give; fails if a value was not as it should be. */
const collect = <B>(
  { memory, operation, prepared, results }: Step<B>,
  stacks: ReadonlyArray<BufferImpl<B>>,
  { from, outputs }: Part
): Effect.Effect<void, DeviceError> =>
  Effect.gen(function* () {
    for (const [i, spec] of results.entries()) {
      const { data } = yield* memory.download(operation, stacks[i])
      outputs[i].data.set(data as never, from * Shape.size(spec.shape))
    }
    if (prepared.judge === undefined) return
    const { data } = yield* memory.download(operation, stacks[results.length])
    for (const [i, verdict] of data.entries()) {
      const error = prepared.judge(Number(verdict), `step ${from + i} of ${operation}`)
      if (error !== undefined) return yield* error
    }
  })

/** Buffers of their own with the same contents. */
const copied = <B>(
  { memory, operation }: Step<B>,
  buffers: ReadonlyArray<BufferImpl<B>>,
  scope: Scope.Scope
): Effect.Effect<ReadonlyArray<BufferImpl<B>>, DeviceError> =>
  together(
    buffers.map((each) =>
      Effect.flatMap(memory.download(operation, each), (host) =>
        memory.upload(operation, host, scope)
      )
    )
  )

/** The same at each of some steps. */
const stacked = ({ dtype, shape }: Spec, steps: number): Spec => ({
  dtype,
  shape: [steps, ...shape]
})

/** Some of an array's first axis, without a copy. */
const rows = ({ data, dtype, shape }: HostArray, from: number, count: number): HostArray => {
  const [, ...rest] = shape
  const width = Shape.size(rest)
  const part = data.subarray(from * width, (from + count) * width)
  return { dtype, shape: [count, ...rest], data: part } as HostArray
}

const bytesOfAll = (specs: ReadonlyArray<Spec>): number =>
  specs.reduce((total, spec) => total + bytesOf(spec), 0)
