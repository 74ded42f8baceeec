/**
 * What every method for differential equations must do, as properties: for the methods of the library, and for one's own.
 *
 * ```ts
 * const mine = Tableau.make({ order: 3, a: [[1 / 2], [-1, 2]], b: [1 / 6, 2 / 3, 1 / 6] })
 * it("is a third-order method", () => SolverLaws.check(mine))
 * ```
 *
 * {@link check} tries all laws that apply; each is also here by itself. A law looks at random problems with known solutions
 * (see {@link problem}), and throws a `LawError` that names the law, the method, the problem and the seed. Laws that need a
 * device ({@link carriers}, {@link batch}) are effects that fail with it.
 *
 * **Orders** are measured on linear, nonlinear and non-autonomous problems (a wrong node passes the first two): as the p for which
 * the error at the end, a vector, is best described by a·h^p + b·h^(p + 1) over a range of h above rounding, and of that
 * the median over problems. It must lie within 0.2 of what the method says of itself, above it too: a method that says
 * too little of itself is not what it says, either.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Device, type DeviceError } from "../Device/index.ts"
import {
  Adaptive,
  Carrier,
  Controller,
  Exponential,
  Fixed,
  Integration,
  Method,
  SecondOrder,
  type Stepper,
  Tableau
} from "../Solver/index.ts"
import { Tensor, type TensorError } from "../Tensor/index.ts"
import * as law from "./internal/law.ts"
import * as measure from "./internal/measure.ts"
import * as problems from "./internal/problems.ts"
import type { LawError } from "./LawError.ts"

/**
 * The problems a method is for. States of the latter two are flat here: all of x, and then all of v.
 *
 * @since 0.1.0
 * @category models
 */
export type Form = problems.Form

/**
 * An initial value problem with its solution, between two times that come in any order.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem = problems.Problem

/**
 * The random problem of a seed, as counterexamples name it.
 *
 * @since 0.1.0
 * @category problems
 */
export const problem: (kind: problems.Kind, form: Form, seed: number) => Problem = problems.problem

type Flat = (t: number, y: Float64Array) => Float64Array
type Host<Y = Float64Array> = Stepper.Stepper<Y, number, boolean>

/**
 * What laws look at: a method and the kind of problems that it is for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly name: string
  readonly order: number
  readonly form: Form
  readonly bind: (f: Flat) => Host
  /** The same on any carrier, bound to a problem that is the same for each element: what {@link carriers} looks at. */
  readonly elementwise: <V, S, B>(
    carrier: Carrier.Carrier<V, S, B>,
    rates: Rates
  ) => Elementwise<V, S, B>
  /** Laws that do not apply, by name. */
  readonly except?: ReadonlyArray<Name>
}

/** y' = (a + bt)y + cy². */
type Rates = readonly [a: number, b: number, c: number]

interface Elementwise<V, S, B, Y = any> {
  readonly stepper: Stepper.Stepper<Y, S, B>
  readonly begin: (y: V) => Y
  readonly parts: (y: Y) => ReadonlyArray<V>
}

/**
 * A method, or a subject made of one.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Method.Any | Subject

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends law.Options {
  /** The order that is expected, if not the one that the method says of itself. */
  readonly order?: number
}

const rightHandSide =
  <V, S, B>({ scalar, add, mul, ...carrier }: Carrier.Carrier<V, S, B>, [a, b, c]: Rates) =>
  (t: S, y: V): V =>
    carrier.combine([
      [add(scalar(a), mul(scalar(b), t)), y],
      [c, carrier.hadamard(y, y)]
    ])

/** A method for problems of first order. */
const firstOrder = (method: Method.Method): Subject => ({
  name: method.name,
  order: method.order,
  form: "y' = f(t, y)",
  bind: (f) => method.bind(Carrier.float64Array, f),
  elementwise: (carrier, rates) => ({
    stepper: method.bind(carrier, rightHandSide(carrier, rates)),
    begin: (y) => y,
    parts: (y) => [y]
  })
})

const subjectOf = (method: Any, { order }: Options): Subject => {
  const subject = "form" in method ? method : firstOrder(Method.of(method))
  return order === undefined ? subject : { ...subject, order }
}

/** A stepper of states { x, v } as one of flat states. */
const flat = (stepper: Host<SecondOrder.State<Float64Array>>): Host => {
  const pack = ({ x, v }: SecondOrder.State<Float64Array>) => problems.join(x, v)
  const unpack = (y: Float64Array) => {
    const [x, v] = problems.split(y)
    return { x, v }
  }
  const { derivative, inverse, stages, lead: _, ...rest } = stepper
  return {
    ...rest,
    carrier: Carrier.float64Array,
    ...(derivative && { derivative: (t, y) => pack(derivative(t, unpack(y))) }),
    dense: () => flat(stepper.dense()),
    start: (t, y) => stepper.start(t, unpack(y)),
    step: (t, h, y, memory) => {
      const { y: after, error, coarse: _, ...rest } = stepper.step(t, h, unpack(y), memory)
      return { ...rest, y: pack(after), error: error && pack(error) }
    },
    ...(inverse && {
      inverse: (t, h, y, memory) => {
        const before = inverse(t, h, unpack(y), memory)
        return { ...before, y: pack(before.y) }
      }
    }),
    interpolate: ({ before, after, ...rest }) =>
      pack(stepper.interpolate({ ...rest, before: unpack(before), after: unpack(after) })),
    ...(stages && { stages: (t, h, y, memory) => stages(t, h, unpack(y), memory).map(pack) })
  }
}

/**
 * A method for problems of second order, as a subject of laws.
 *
 * @since 0.1.0
 * @category subjects
 */
export const secondOrder = (
  method: SecondOrder.Method,
  options: SecondOrder.Options = {}
): Subject => ({
  name: method.name,
  order: method.order,
  form: options.velocityFree ? "x'' = f(t, x)" : "x'' = f(t, x, v)",
  bind: (f) =>
    flat(
      SecondOrder.stepper(
        method,
        Carrier.float64Array,
        (t, x, v) => problems.split(f(t, problems.join(x, v)))[1],
        options
      )
    ),
  elementwise: (carrier, rates) => {
    const f = rightHandSide(carrier, rates)
    return {
      stepper: SecondOrder.stepper(method, carrier, (t, x) => f(t, x), options),
      begin: (y) => ({ x: y, v: carrier.combine([[0.5, y]]) }),
      parts: ({ x, v }) => [x, v]
    }
  }
})

/**
 * An exponential method, as a subject of laws: of y' = f(t, y) it takes r·y for the linear part and the rest for the other, where
 * r is the rate given, or at times t that of a line, `[r₀, r₁]` for r₀ + r₁t.
 *
 * @since 0.1.0
 * @category subjects
 */
export const exponential = (
  method: Exponential.Tableau | Exponential.Method,
  rate: number | readonly [number, number] = 0
): Subject => ({
  ...firstOrder({
    name: `${method.name}, linear part ${typeof rate === "number" ? rate : rate.join(" + t·")}`,
    order: method.order,
    bind: (carrier, f) => {
      const { scalar, add, mul, combine } = carrier
      const linear =
        typeof rate === "number"
          ? Exponential.scalar(carrier, rate)
          : Exponential.scalar(carrier, (t) => add(scalar(rate[0]), mul(scalar(rate[1]), t)))
      return Exponential.stepper(method, carrier, {
        linear,
        nonlinear: (t, y) =>
          combine([
            [1, f(t, y)],
            [-1, linear.apply(t, y)]
          ])
      })
    }
  }),
  except:
    rate === 0
      ? []
      : typeof rate === "number"
        ? ["polynomials", "time"]
        : ["polynomials", "time", "variables"]
})

/** Steps from one time to another, of sizes that change a little or not at all, and what each left. */
const grid = (draw: problems.Draw, from: number, to: number, count: number) => {
  const sizes = Array.from({ length: count }, () => draw(0.8, 1.25))
  const total = sizes.reduce((sum, each) => sum + each, 0)
  let reached = 0
  return [
    from,
    ...sizes.map((size, i) => {
      reached += size
      return i === count - 1 ? to : from + ((to - from) * reached) / total
    })
  ]
}

/** Where steps between these times lead; nowhere if one does not converge. */
const through = (
  stepper: Host,
  y: Float64Array,
  times: ReadonlyArray<number>
): Float64Array | undefined => {
  const { y: end, converged } = Fixed.run(stepper, y, { times })
  return converged ? end : undefined
}

/** How near results must be that would be the same without rounding, and with Newton's iteration carried to its end. */
const near = 1e-7

/** That two results are the same. */
const same = (
  what: string,
  got: Float64Array | undefined,
  wanted: Float64Array | undefined,
  text: string,
  bound = near
): string | undefined => {
  if (got === undefined || wanted === undefined) return undefined
  const missed = measure.distance(got, wanted) / Math.max(1, measure.norm(wanted))
  return missed <= bound ? undefined : `${what} differ by ${missed.toExponential(2)} for ${text}`
}

/** Applies a matrix of two rows to each pair of elements. */
const applied = ([a, b, c, d]: ReadonlyArray<number>, y: Float64Array): Float64Array =>
  y.map((_, i) => (i % 2 === 0 ? a * y[i] + b * y[i + 1] : c * y[i - 1] + d * y[i]))

const matrix = (draw: problems.Draw) => {
  const [p, q] = [draw(-0.6, 0.6), draw(-0.6, 0.6)]
  const scale = 1 / (1 - p * q)
  return { there: [1, p, q, 1], back: [scale, -scale * p, -scale * q, scale] }
}

/** Whether an order, measured on problems of this seed and those that follow, has a median that is near enough. */
const ordered = (
  what: string,
  wanted: number,
  like: string,
  seed: number,
  measured: (seed: number) => number | undefined
): string | undefined => {
  const found: Array<number> = []
  for (let i = 1; i <= 15; i++) {
    const order = measured(seed + i - 1)
    if (Number.isNaN(order)) return `${what} is not finite on ${like}, seed ${seed + i - 1}`
    if (order !== undefined) found.push(order)
    if (i % 5 > 0 || found.length === 0) continue
    const middle = measure.median(found)
    const off = Math.abs(middle - wanted)
    if (off <= 0.1 || (i === 15 && off <= 0.2)) return undefined
    // what is not quite clear yet is looked at for longer
    if (i < 15) continue
    return `${what} is of order ${middle.toFixed(2)} instead of ${wanted} on ${i} problems from ${like} on`
  }
  return `${what} has no order on problems from ${like} on: its errors are all made of rounding`
}

/** The number of steps at which errors of this order are small, but mostly not below rounding. */
const finest = (order: number): number =>
  order <= 2 ? 64 : order <= 4 ? 96 : order === 5 ? 110 : order === 6 ? 70 : 40

/** The part of an interval of length 1 or so in which one step has such an error. */
const finestStep = (power: number): number => Math.min(10 ** (10 / power), 1000)

const orderLaw = (subject: Subject, seed: number) => {
  for (const kind of problems.kinds) {
    const make = (seed: number) => problems.problem(kind, subject.form, seed)
    const complaint = ordered("the result", subject.order, make(seed).text, seed, (seed) => {
      const { f, exact, from, to } = make(seed)
      const stepper = subject.bind(f)
      const wanted = exact(to)
      return measure.order((count) => {
        const { y } = Fixed.run(stepper, exact(from), { from, to, count })
        return { error: y.map((each, i) => each - wanted[i]), scale: measure.norm(wanted) }
      }, finest(subject.order))
    })
    if (complaint !== undefined) return complaint
  }
  return undefined
}

const polynomialsLaw = ({ order, form, bind }: Subject, seed: number) => {
  const draw = problems.draws(seed)
  const first = form === "y' = f(t, y)"
  const degree = order - (first ? 1 : 2)
  const middle = draw(-1, 1)
  const coefficients = Array.from({ length: degree + 1 }, () => draw(-1, 1))
  /** The polynomial, integrated some times. */
  const p = (t: number, integrals: number) =>
    coefficients.reduceRight((sum, each, i) => {
      let scaled = each
      for (let k = 1; k <= integrals; k++) scaled /= i + k
      return sum * (t - middle) + scaled
    }, 0) *
    (t - middle) ** integrals
  const [x, v] = [draw(-1, 1), draw(-1, 1)]
  const [exact, f]: readonly [Problem["exact"], Flat] = first
    ? [(t) => Float64Array.of(x + p(t, 1)), (t) => Float64Array.of(p(t, 0))]
    : [
        (t) => Float64Array.of(x + v * t + p(t, 2), v + p(t, 1)),
        (t, y) => Float64Array.of(y[1], p(t, 0))
      ]
  const times = grid(draw, middle - 1, middle + 1, 10)
  const y = through(bind(f), exact(times[0]), times)
  const [letter, unknown] = first ? ["y'", "y"] : ["x''", "x"]
  const shown = coefficients.map((each, i) => `${each}·(t - ${middle})^${i}`).join(" + ")
  return same(
    `result and solution, a polynomial of degree ${degree + (first ? 1 : 2)},`,
    y,
    exact(times[10]),
    `${letter} = ${degree < 0 ? 0 : shown}, ${unknown} = ${exact(times[0])[0]} at ${times[0]}`
  )
}

/** Other coordinates: y = there(z) and t = stretch·s + shift. */
interface Change {
  readonly there: (z: Float64Array) => Float64Array
  readonly back: (y: Float64Array) => Float64Array
  /** As `back`, of differences. */
  readonly turn: (y: Float64Array) => Float64Array
  readonly stretch: number
  readonly shift: number
}

const invariant = (
  { form, bind }: Subject,
  seed: number,
  change: (draw: problems.Draw, first: boolean) => Change
) => {
  const draw = problems.draws(seed)
  const { f, exact, from, to, text } = problems.problem("non-autonomous", form, seed)
  const { there, back, turn, stretch, shift } = change(draw, form === "y' = f(t, y)")
  const times = grid(draw, from, to, 30)
  const direct = through(bind(f), exact(from), times)
  const changed = bind((s, z) =>
    turn(f(stretch * s + shift, there(z))).map((each) => stretch * each)
  )
  const other = through(
    changed,
    back(exact(from)),
    times.map((t) => (t - shift) / stretch)
  )
  return same("results in both coordinates", other && there(other), direct, text)
}

const variablesLaw = (subject: Subject, seed: number) =>
  invariant(subject, seed, (draw, first) => {
    const { there, back } = matrix(draw)
    const offset = first
      ? Float64Array.of(draw(-1, 1), draw(-1, 1))
      : Float64Array.of(draw(-1, 1), draw(-1, 1), 0, 0)
    const turn = (y: Float64Array) => applied(back, y)
    return {
      there: (z) => applied(there, z).map((each, i) => each + offset[i]),
      back: (y) => turn(y.map((each, i) => each - offset[i])),
      turn,
      stretch: 1,
      shift: 0
    }
  })

const timeLaw = (subject: Subject, seed: number) =>
  invariant(subject, seed, (draw, first) => {
    const stretch = draw(0.5, 2) * (draw(0, 1) < 0.5 ? -1 : 1)
    // v is dx/dt: in s it is that many times as large
    const scaled = (y: Float64Array, by: number) =>
      first ? y : y.map((each, i) => (i < y.length / 2 ? each : each * by))
    return {
      there: (z) => scaled(z, 1 / stretch),
      back: (y) => scaled(y, stretch),
      turn: (y) => scaled(y, stretch),
      stretch,
      shift: draw(-1, 1)
    }
  })

/** x' or x'' as a matrix that changes with time, times x; and some of v. */
const matrixField = (draw: problems.Draw, form: Form): Flat => {
  const [mean, swing, drag] = [0, 1, 2].map(() => [0, 1, 2, 3].map(() => draw(-1, 1)))
  const at = (t: number) => mean.map((each, i) => each + swing[i] * Math.sin(t + i))
  return form === "y' = f(t, y)"
    ? (t, y) => applied(at(t), y)
    : (t, y) => {
        const [x, v] = problems.split(y)
        const pull = applied(at(t), x)
        if (form === "x'' = f(t, x)") return problems.join(v, pull)
        const friction = applied(drag, v)
        return problems.join(
          v,
          pull.map((each, i) => each + friction[i])
        )
      }
}

const linearityLaw = ({ form, bind }: Subject, seed: number) => {
  const draw = problems.draws(seed)
  const stepper = bind(matrixField(draw, form))
  const size = form === "y' = f(t, y)" ? 2 : 4
  const [u, v] = [0, 1].map(() => Float64Array.from({ length: size }, () => draw(-1, 1)))
  const [a, b] = [draw(-2, 2), draw(-2, 2)]
  const mix = (u: Float64Array, v: Float64Array) => u.map((each, i) => a * each + b * v[i])
  const times = grid(draw, 0, draw(0, 1) < 0.5 ? 1 : -1, 10)
  const [first, second] = [u, v].map((y) => through(stepper, y, times))
  if (first === undefined || second === undefined) return undefined
  return same(
    "the result of a sum and the sum of results",
    through(stepper, mix(u, v), times),
    mix(first, second),
    `a linear problem, ${a} times y = ${u} and ${b} times y = ${v} at 0`
  )
}

const reversalLaw = ({ form, bind }: Subject, seed: number) => {
  const { f, exact, from, to, text } = problems.problem("non-autonomous", form, seed)
  const stepper = bind(f)
  const y = exact(from)
  const there = Fixed.run(stepper, y, { from, to, count: 40 })
  const back = Fixed.run(stepper, there.y, { from: to, to: from, count: 40 })
  const [missed, lost] = [measure.distance(there.y, exact(to)), measure.distance(back.y, y)]
  return lost <= 100 * missed + near
    ? undefined
    : `40 steps miss the solution by ${missed.toExponential(2)}, but there and back again the start by ${lost.toExponential(2)}, on ${text}`
}

const tolerances = { absolute: 1e-6, relative: 1e-6 }

const emptyIntervalLaw = ({ form, bind }: Subject, seed: number) => {
  const { f, exact, from, text } = problems.problem("non-autonomous", form, seed)
  const stepper = bind(f)
  const ways: ReadonlyArray<Integration.Steps> = [
    { count: 3 },
    { size: 0.1 },
    { at: [] },
    ...(stepper.errorOrder === undefined ? [] : [Controller.pi(tolerances)])
  ]
  for (const steps of ways) {
    const {
      y: after,
      t,
      statistics
    } = Effect.runSync(
      Integration.solve(stepper, exact(from), { from, to: from, steps, initialStep: 0.1 })
    )
    const y = exact(from)
    if (t !== from || statistics.steps !== 0 || after.some((each, i) => each !== y[i])) {
      return `from ${from} to ${from} it takes ${statistics.steps} steps, from ${y} to ${after}, on ${text}`
    }
  }
  return undefined
}

/** What a step leaves behind. */
interface Taken {
  readonly t: number
  readonly h: number
  readonly before: Float64Array
  readonly step: Stepper.Step<Float64Array, number, boolean, unknown, unknown>
}

const walked = (stepper: Host, y: Float64Array, times: ReadonlyArray<number>) =>
  Fixed.run(stepper, y, { times }, { each: (taken): Taken => taken }).steps as ReadonlyArray<Taken>

const within = (stepper: Host, { h, before, step }: Taken, theta: number): Float64Array =>
  stepper.interpolate({ theta, h, before, after: step.y, dense: step.dense })

const continuityLaw = ({ form, bind }: Subject, seed: number) => {
  const { f, exact, from, to, text } = problems.problem("non-autonomous", form, seed)
  const stepper = bind(f).dense()
  for (const taken of walked(stepper, exact(from), grid(problems.draws(seed), from, to, 10))) {
    const complaint =
      same(
        "interpolant and state where a step begins",
        within(stepper, taken, 0),
        taken.before,
        text
      ) ??
      same("interpolant and state where a step ends", within(stepper, taken, 1), taken.step.y, text)
    if (complaint !== undefined) return complaint
  }
  return undefined
}

const thetas = [0.15, 0.4, 0.7, 0.9]

const denseLaw = ({ form, bind }: Subject, seed: number) => {
  const { denseOrder } = bind((_, y) => y)
  for (const kind of problems.kinds) {
    const make = (seed: number) => problems.problem(kind, form, seed)
    const complaint = ordered(
      "what the interpolant misses within one step",
      denseOrder + 1,
      make(seed).text,
      seed,
      (seed) => {
        const { f, exact, from, to } = make(seed)
        const stepper = bind(f).dense()
        const count = (stepper.lead?.steps ?? 0) + 1
        return measure.order(
          (n) => {
            const h = (to - from) / n
            const times = Array.from({ length: count + 1 }, (_, i) => from + i * h)
            const last = walked(stepper, exact(from), times)[count - 1]
            const [first, second] = [last.t, last.t + h].map(exact)
            const error = thetas.flatMap((theta) => {
              const wanted = exact(last.t + theta * h)
              // beside what is missing at the ends of the step, which is not the interpolant's fault
              return Array.from(
                within(stepper, last, theta),
                (each, i) =>
                  each -
                  wanted[i] -
                  (1 - theta) * (last.before[i] - first[i]) -
                  theta * (last.step.y[i] - second[i])
              )
            })
            return { error: Float64Array.from(error), scale: measure.norm(first) }
          },
          finestStep(denseOrder + 1)
        )
      }
    )
    if (complaint !== undefined) return complaint
  }
  return undefined
}

const estimateLaw = ({ form, bind }: Subject, seed: number) => {
  const { errorOrder = 0 } = bind((_, y) => y)
  const make = (seed: number) => problems.problem("non-autonomous", form, seed)
  const shrinks = (which: "error" | "coarse") => (seed: number) => {
    const { f, exact, from, to } = make(seed)
    const stepper = bind(f)
    const y = exact(from)
    return measure.order((n) => {
      const error = stepper.step(from, (to - from) / n, y, stepper.start(from, y))[which]
      return { error: error ?? new Float64Array(1), scale: measure.norm(y) }
    }, finestStep(errorOrder))
  }
  return ordered("the error estimate", errorOrder, make(seed).text, seed, (seed) => {
    const fine = shrinks("error")(seed)
    const coarse = shrinks("coarse")(seed)
    // both together are fine²/coarse
    return fine === undefined || coarse === undefined ? fine : 2 * fine - coarse
  })
}

/** A controller for a tolerance. */
type Control = (tolerance: Carrier.Tolerance) => Controller.Controller

/** An integration under control, with the errors of its steps in units of the tolerance. */
const controlled = (
  stepper: Host,
  { exact, from, to }: Problem,
  controller: Controller.Controller
) => {
  const y = exact(from)
  const { carrier, derivative, errorOrder = 1 } = stepper
  const options = { from, to, controller, maximumSteps: 20_000 }
  const initialStep =
    derivative === undefined
      ? 1e-2
      : Adaptive.initialStep(carrier, derivative, y, options, errorOrder)
  const errors: Array<number> = []
  let state = Adaptive.begin(stepper, y, { ...options, initialStep })
  while (Adaptive.isRunning(carrier, state)) {
    const { next, accepted } = Adaptive.advance(stepper, options, state)
    if (accepted) errors.push(1 / next.history.last)
    state = next
  }
  return { state, errors, missed: measure.distance(state.y, exact(to)) }
}

const controlLaw =
  (controls: ReadonlyArray<Control>) =>
  ({ form, bind }: Subject, seed: number) => {
    const made = problems.problem("steady", form, seed)
    const stepper = bind(made.f)
    const { errorOrder = 1 } = stepper
    // steps become three times as many from the first to the last
    const tolerances = [0, 0.25, 0.5].map(
      (each) => 10 ** -(2.5 + errorOrder / 2 + each * errorOrder)
    )
    for (const control of controls) {
      const runs = tolerances.map((tolerance) => ({
        tolerance,
        ...controlled(stepper, made, control({ absolute: tolerance, relative: tolerance }))
      }))
      const complain = (what: string) => `${what}, on ${made.text}`
      for (const { tolerance, state, errors, missed } of runs) {
        const under = `at tolerance ${tolerance.toExponential(1)}`
        if (state.status !== Adaptive.status.done) {
          return complain(`it does not arrive, but ends with status ${state.status}, ${under}`)
        }
        if (!errors.every((each) => each <= 1)) {
          return complain(
            `a step is accepted with ${Math.max(...errors)} times the error allowed, ${under}`
          )
        }
        if (!(missed <= 100 * state.accepted * tolerance)) {
          return complain(
            `it misses the solution by ${missed}, in ${state.accepted} steps, ${under}`
          )
        }
        if (state.rejected > 5 + state.accepted / 2) {
          return complain(
            `${state.rejected} steps are rejected and ${state.accepted} accepted, ${under}`
          )
        }
        const part = measure.median(errors) ** (1 / errorOrder)
        if (part < 0.4) {
          return complain(
            `half of the steps are less than ${part} times as large as allowed, ${under}`
          )
        }
      }
      const [first, , last] = runs
      const growth = Math.log10(last.state.accepted / first.state.accepted) / 0.5
      if (growth < 0.7 || growth > 1.4) {
        return complain(
          `steps become ${(last.state.accepted / first.state.accepted).toFixed(2)} times as many instead of about ${(10 ** 0.5).toFixed(2)}, from tolerance ${first.tolerance.toExponential(1)} to ${last.tolerance.toExponential(1)}`
        )
      }
      if (!(last.missed < first.missed)) {
        return complain(
          `the error does not fall with the tolerance, but from ${first.missed} to ${last.missed}`
        )
      }
    }
    return undefined
  }

const evaluationsLaw = ({ form, bind }: Subject, seed: number) => {
  const { f, exact, from, to, text } = problems.problem("non-autonomous", form, seed)
  let calls = 0
  const stepper = bind((t, y) => {
    calls += 1
    return f(t, y)
  })
  const ways: ReadonlyArray<Integration.Steps> = [
    { count: 10 },
    ...(stepper.errorOrder === undefined ? [] : [Controller.pi(tolerances)])
  ]
  for (const steps of ways) {
    for (const solve of [Integration.solve, Integration.solveDense]) {
      calls = 0
      const { statistics } = Effect.runSync(solve(stepper, exact(from), { from, to, steps }))
      if (statistics.evaluations !== calls) {
        return `it says that it evaluates the right-hand side ${statistics.evaluations} times, but does so ${calls} times, on ${text}`
      }
    }
  }
  return undefined
}

const inverseLaw = ({ form, bind }: Subject, seed: number) => {
  const { f, exact, from, to, text } = problems.problem("non-autonomous", form, seed)
  const stepper = bind(f)
  const times = grid(problems.draws(seed), from, to, 100)
  const steps = walked(stepper, exact(from), times)
  const { y, memory } = steps.reduceRight(
    (end, { t, h }) => (stepper.inverse as NonNullable<Host["inverse"]>)(t, h, end.y, end.memory),
    { y: steps[99].step.y, memory: steps[99].step.memory }
  )
  const again = stepper.step(times[0], steps[0].h, y, memory)
  return (
    same(
      "the start and what 100 steps and their inverses make of it",
      y,
      exact(from),
      text,
      1e-12
    ) ??
    same(
      "the first step and that from what is remembered there",
      again.y,
      steps[0].step.y,
      text,
      1e-12
    )
  )
}

const ratesOf = (draw: problems.Draw): Rates => [draw(-1, 1), draw(-1, 1), draw(-0.5, -0.1)]

const startOf = (draw: problems.Draw, length: number) =>
  Float64Array.from({ length }, () => draw(0.3, 2))

const shown = (rates: Rates, y: Float64Array) =>
  `the right-hand side (${rates[0]} + ${rates[1]}·t)·y + ${rates[2]}·y², y = ${y} at 0`

const hostCarriersLaw = ({ elementwise }: Subject, seed: number) => {
  const draw = problems.draws(seed)
  const [rates, y] = [ratesOf(draw), startOf(draw, 3)]
  const run = <V, B>(carrier: Carrier.Carrier<V, number, B>, y: V) => {
    const { stepper, begin, parts } = elementwise(carrier, rates)
    return parts(Fixed.run(stepper, begin(y), { from: 0, to: 1, count: 10 }).y)
  }
  const arrays = run(Carrier.float64Array, y)
  const numbers = Array.from(y, (each) => run(Carrier.number, each))
  const both = run(
    Carrier.struct({ one: Carrier.number, rest: Carrier.struct([Carrier.float64Array]) }),
    { one: y[0], rest: [y.subarray(1)] }
  )
  const text = shown(rates, y)
  for (const [i, array] of arrays.entries()) {
    const { one, rest } = both[i]
    const complaint =
      same(
        "number and Float64Array",
        Float64Array.from(numbers, (each) => each[i]),
        array,
        text
      ) ?? same("struct and Float64Array", Float64Array.of(one, ...rest[0]), array, text)
    if (complaint !== undefined) return complaint
  }
  return undefined
}

const quadratic = ({ form, bind }: Subject, seed: number, steps: number) => {
  const draw = problems.draws(seed)
  const first = form === "y' = f(t, y)"
  const [mean, swing, bend] = [draw(0.7, 1.3), draw(0.1, 0.4), draw(0.1, 0.3)]
  const strength = (t: number, square: number) => mean + swing * Math.cos(t) + bend * square
  const f: Flat = (t, y) => {
    const [[a, b], v] = problems.split(first ? Float64Array.of(...y, 0, 0) : y)
    const w = strength(t, a * a + b * b)
    return first ? Float64Array.of(-w * b, w * a) : Float64Array.of(...v, -w * a, -w * b)
  }
  const invariant = ([a, b, c, d]: Float64Array) => (first ? a * a + b * b : a * d - b * c)
  const h = draw(0.35, 0.45)
  const y = first ? Float64Array.of(0, 1) : Float64Array.of(1, 0, 0.1, 1)
  const end = Fixed.run(bind(f), y, { from: 0, to: steps * h, count: steps })
  const drift = Math.abs(invariant(end.y) - invariant(y))
  return drift <= 1e-12 * steps
    ? undefined
    : `${first ? "|y|²" : "x₁v₂ − x₂v₁"} changes by ${drift} in ${steps} steps of ${h}, on ${first ? "y' = w·(−y₂, y₁)" : "x'' = −w·x"} with w = ${mean} + ${swing}·cos t + ${bend}·|${first ? "y" : "x"}|²`
}

/** The area that two solutions of a linear Hamiltonian problem span, Σ xᵢv̂ᵢ − vᵢx̂ᵢ. */
const area = ({ form, bind }: Subject, seed: number) => {
  const draw = problems.draws(seed)
  const first = form === "y' = f(t, y)"
  const [a, b, c] = [draw(-1, 1), draw(-1, 1), draw(-1, 1)]
  const [p, q] = [draw(-1, 1), draw(-1, 1)]
  const f: Flat = (t, y) => {
    const symmetric = (x: Float64Array) =>
      applied([a + p * Math.sin(t), b, b, c + q * Math.cos(t)], x)
    if (first) {
      const [x, v] = symmetric(y)
      return Float64Array.of(v, -x)
    }
    const [x, v] = problems.split(y)
    return problems.join(v, symmetric(x))
  }
  const size = first ? 2 : 4
  const [u, v] = [0, 1].map(() => Float64Array.from({ length: size }, () => draw(-1, 1)))
  const spanned = (u: Float64Array, v: Float64Array) => {
    const [[x, p], [y, q]] = [problems.split(u), problems.split(v)]
    return x.reduce((sum, each, i) => sum + each * q[i] - p[i] * y[i], 0)
  }
  const stepper = bind(f)
  const [there, other] = [u, v].map((y) => Fixed.run(stepper, y, { from: 0, to: 2, count: 10 }).y)
  const drift = Math.abs(spanned(there, other) - spanned(u, v))
  return drift <= 1e-10 * Math.max(1, measure.norm(there) * measure.norm(other))
    ? undefined
    : `the area that two solutions of a linear Hamiltonian problem span changes by ${drift} in 10 steps of 0.2`
}

/**
 * The names of the laws that {@link check} tries.
 *
 * @since 0.1.0
 * @category models
 */
export type Name =
  | "order"
  | "polynomials"
  | "variables"
  | "time"
  | "linearity"
  | "reversal"
  | "emptyInterval"
  | "continuity"
  | "dense"
  | "estimate"
  | "control"
  | "evaluations"
  | "inverse"
  | "hostCarriers"

interface Law {
  readonly runs: number
  readonly complaint: (subject: Subject, seed: number) => string | undefined
  readonly applies?: (stepper: Host) => boolean
}

const estimates = ({ errorOrder }: Host) => errorOrder !== undefined

const laws: Readonly<Record<Name, Law>> = {
  order: { runs: 1, complaint: orderLaw },
  polynomials: { runs: 10, complaint: polynomialsLaw },
  variables: { runs: 10, complaint: variablesLaw },
  time: { runs: 10, complaint: timeLaw },
  linearity: { runs: 10, complaint: linearityLaw },
  reversal: { runs: 10, complaint: reversalLaw },
  emptyInterval: { runs: 3, complaint: emptyIntervalLaw },
  continuity: { runs: 3, complaint: continuityLaw },
  dense: { runs: 1, complaint: denseLaw },
  estimate: { runs: 1, complaint: estimateLaw, applies: estimates },
  control: {
    runs: 1,
    complaint: controlLaw([Controller.make, Controller.pi, Controller.pid]),
    applies: estimates
  },
  evaluations: { runs: 3, complaint: evaluationsLaw },
  inverse: { runs: 5, complaint: inverseLaw, applies: ({ inverse }) => inverse !== undefined },
  hostCarriers: { runs: 5, complaint: hostCarriersLaw }
}

const names = Object.keys(laws) as ReadonlyArray<Name>

const applies = (name: Name, subject: Subject): boolean =>
  !(subject.except ?? []).includes(name) &&
  (laws[name].applies?.(subject.bind((_, y) => y)) ?? true)

const assert = (name: Name, subject: Subject, options: Options): void => {
  const { runs, complaint } = laws[name]
  law.assert(name, subject.name, runs, options, (seed) => complaint(subject, seed))
}

type Check = (method: Any, options?: Options) => void

const alone =
  (name: Name): Check =>
  (method, options = {}) => {
    const subject = subjectOf(method, options)
    if (!applies(name, subject)) {
      throw law.broken(name, subject.name, "the law does not apply to it", options.seed ?? 0)
    }
    assert(name, subject, options)
  }

/**
 * All laws that apply to a method, on the host: throws `LawError` for the first that it does not keep.
 *
 * @example
 * ```ts
 * import { SolverLaws } from "odeon/Laws"
 * import { Tableau } from "odeon/Solver"
 *
 * const mine = Tableau.make({ order: 3, a: [[1 / 2], [-1, 2]], b: [1 / 6, 2 / 3, 1 / 6] })
 * SolverLaws.check(mine)
 * ```
 *
 * @since 0.1.0
 * @category checks
 */
export const check: Check = (method, options = {}) => {
  const subject = subjectOf(method, options)
  for (const name of names) if (applies(name, subject)) assert(name, subject, options)
}

/**
 * The order of the result is the one stated, on linear, nonlinear and non-autonomous problems.
 *
 * @since 0.1.0
 * @category laws
 */
export const order: Check = alone("order")

/**
 * y' = p(t) is integrated exactly where the solution is a polynomial of a degree up to the order.
 *
 * @since 0.1.0
 * @category laws
 */
export const polynomials: Check = alone("polynomials")

/**
 * A linear change of variables and a shift of them change the result in the same way.
 *
 * @since 0.1.0
 * @category laws
 */
export const variables: Check = alone("variables")

/**
 * Stretching, shifting and reversing time does not change the result: y' = f(t, y) backwards is y' = −f(−t, y) forwards.
 *
 * @since 0.1.0
 * @category laws
 */
export const time: Check = alone("time")

/**
 * On linear problems the result is a linear function of the start.
 *
 * @since 0.1.0
 * @category laws
 */
export const linearity: Check = alone("linearity")

/**
 * There and back again leads to the start, but for not much more than what is missing at the end of the way there.
 *
 * @since 0.1.0
 * @category laws
 */
export const reversal: Check = alone("reversal")

/**
 * Over an interval of length 0 nothing changes and no steps are taken.
 *
 * @since 0.1.0
 * @category laws
 */
export const emptyInterval: Check = alone("emptyInterval")

/**
 * The interpolant agrees with the states at both ends of each step.
 *
 * @since 0.1.0
 * @category laws
 */
export const continuity: Check = alone("continuity")

/**
 * The interpolant misses h^(p + 1) where p is its order, beside what the states at both ends miss.
 *
 * @since 0.1.0
 * @category laws
 */
export const dense: Check = alone("dense")

/**
 * The error estimate shrinks as h to the power stated.
 *
 * @since 0.1.0
 * @category laws
 */
export const estimate: Check = alone("estimate")

/**
 * Under I, PI and PID controllers errors fall and steps become more with the tolerance, as they should; no step is accepted whose
 * error is above the tolerance, few are rejected, and the others are not much more accurate than was asked for.
 *
 * @since 0.1.0
 * @category laws
 */
export const control: Check = alone("control")

/**
 * The statistics count every evaluation of the right-hand side.
 *
 * @since 0.1.0
 * @category laws
 */
export const evaluations: Check = alone("evaluations")

/**
 * 100 steps and then their inverses lead back to the start, to 1e-12: for methods whose steps have an inverse.
 *
 * @since 0.1.0
 * @category laws
 */
export const inverse: Check = alone("inverse")

/**
 * `number`, `Float64Array` and records and tuples of these give the same result.
 *
 * @since 0.1.0
 * @category laws
 */
export const hostCarriers: Check = alone("hostCarriers")

/**
 * The same as {@link control}, for a controller of one's own under methods of the library.
 *
 * @example
 * ```ts
 * import { SolverLaws } from "odeon/Laws"
 * import { Controller } from "odeon/Solver"
 *
 * SolverLaws.controller((tolerance) => Controller.pi({ ...tolerance, safety: 0.8 }))
 * ```
 *
 * @since 0.1.0
 * @category laws
 */
export const controller = (make: Control, options: law.Options = {}): void => {
  const complaint = controlLaw([make])
  for (const tableau of [Tableau.bosh3, Tableau.dopri5]) {
    const subject = firstOrder(Method.of(tableau))
    law.assert("controller", `a controller of ${subject.name}`, 3, options, (seed) =>
      complaint(subject, seed)
    )
  }
}

/**
 * Symplectic methods, which conserve the area between solutions of linear Hamiltonian problems, and quadratic invariants
 * of problems that are not linear, over 10⁵ steps (`steps`) to 1e-12 for each of them: |y|² where y turns, and angular momentum.
 *
 * @since 0.1.0
 * @category laws
 */
export const symplectic = (
  method: Any,
  { steps = 100_000, ...options }: Options & { readonly steps?: number } = {}
): void => {
  const subject = subjectOf(method, options)
  law.assert("symplectic", subject.name, 5, options, (seed) => area(subject, seed))
  law.assert("symplectic", subject.name, 1, options, (seed) => quadratic(subject, seed, steps))
}

/**
 * The linear part of y' = A(t)y + N is integrated exactly, by an exponential method: for N = 0, and for a constant N if A is
 * constant; with A a scalar or a diagonal, in steps of any size.
 *
 * @since 0.1.0
 * @category laws
 */
export const linearPart = (
  method: Exponential.Tableau | Exponential.Method,
  options: law.Options = {}
): void =>
  law.assert("linearPart", method.name, 10, options, (seed) => {
    const draw = problems.draws(seed)
    const carrier = Carrier.float64Array
    const vector = (min: number, max: number) =>
      Float64Array.from({ length: 3 }, () => draw(min, max))
    const times = grid(draw, 0, draw(0.5, 2), 8)
    const end = times[8]
    const [y, force, rates] = [vector(-1, 1), vector(-1, 1), vector(-9, 1)]
    const [rate] = rates
    const solve = (linear: Exponential.Linear<Float64Array, number>, nonlinear: Flat) =>
      through(Exponential.stepper(method, carrier, { linear, nonlinear }), y, times)
    const rested = (a: (i: number) => number) =>
      y.map((each, i) => Math.exp(a(i) * end) * (each + force[i] / a(i)) - force[i] / a(i))
    return (
      same(
        "result and solution",
        solve(Exponential.scalar(carrier, rate), () => force),
        rested(() => rate),
        `y' = ${rate}·y + (${force}), y = ${y} at 0`
      ) ??
      same(
        "result and solution",
        solve(Exponential.diagonal(carrier, rates), () => force),
        rested((i) => rates[i]),
        `y' = diagonal(${rates})·y + (${force}), y = ${y} at 0`
      ) ??
      same(
        "result and solution",
        solve(
          Exponential.diagonal(
            carrier,
            (t) => rates.map((each) => each * Math.cos(t)),
            (t, h) => rates.map((each) => each * (Math.sin(t + h) - Math.sin(t)))
          ),
          () => new Float64Array(3)
        ),
        y.map((each, i) => Math.exp(rates[i] * Math.sin(end)) * each),
        `y' = cos t·diagonal(${rates})·y, y = ${y} at 0`
      )
    )
  })

type OnDevice = (
  method: Any,
  options?: Options
) => Effect.Effect<
  void,
  LawError | TensorError.TensorError | DeviceError.CompileError | DeviceError.DeviceError,
  Device.Device
>

const constant = (rows: ReadonlyArray<number> | ReadonlyArray<ReadonlyArray<number>>): Tensor.Any =>
  Tensor.constant(rows as ReadonlyArray<number>, { dtype: "float64" })

/** In a few fixed steps, and under a controller if there is an error estimate. */
const bothWays = <V, S, B>(
  { elementwise }: Subject,
  carrier: Carrier.Carrier<V, S, B>,
  rates: Rates,
  y: V
) => {
  const { stepper, begin, parts } = elementwise(carrier, rates)
  const fixed = parts(Fixed.run(stepper, begin(y), { from: 0, to: 1, count: 6 }).y)
  if (stepper.errorOrder === undefined) return { fixed }
  const [from, to, initialStep] = [0, 1, 0.05].map(carrier.scalar)
  const controller = Controller.pi({ ...tolerances, relative: 1e-5 })
  const end = Adaptive.run(stepper, begin(y), { from, to, controller, initialStep })
  const { accepted, rejected, evaluations } = end
  return { fixed, adaptive: parts(end.y), counts: [accepted, rejected, evaluations] }
}

/** Which of the counts are evaluations. */
const evaluated = 2

/** Numbers that came back from a device. */
interface Numbers {
  readonly data: ArrayLike<number | bigint>
}

const numbers = (parts: ReadonlyArray<Numbers> = []): Float64Array =>
  Float64Array.from(parts.flatMap(({ data }) => Array.from(data, Number)))

/**
 * Tensors give what `Float64Array` gives, in fixed steps and with step control, and as many steps: on the device that is provided,
 * in `float64`.
 *
 * @since 0.1.0
 * @category laws on devices
 */
export const carriers: OnDevice = (method, options = {}) => {
  const subject = subjectOf(method, options)
  return law.verify("carriers", subject.name, 2, options, (seed) =>
    Effect.gen(function* () {
      const draw = problems.draws(seed)
      const [rates, y] = [ratesOf(draw), startOf(draw, 3)]
      const device = yield* Device.Device
      const host = bothWays(subject, Carrier.float64Array, rates, y)
      const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64" })
      const tensors = yield* device.evaluate(
        bothWays(subject, carrier, rates, constant(Array.from(y)))
      )
      const flattened = (parts: ReadonlyArray<Float64Array> = []) =>
        Float64Array.from(parts.flatMap((part) => Array.from(part)))
      const text = shown(rates, y)
      const counts = numbers(tensors.counts)
      return (
        same("tensors and Float64Array", numbers(tensors.fixed), flattened(host.fixed), text) ??
        same(
          "adaptive tensors and Float64Array",
          numbers(tensors.adaptive),
          flattened(host.adaptive),
          text
        ) ??
        ((host.counts ?? []).every(
          // inner iterations may end one earlier: Jacobians are exact on tensors, differences on the host
          (each, i) => Math.abs(each - counts[i]) <= (i === evaluated ? 0.05 * each : 0)
        )
          ? undefined
          : `tensors take ${counts} accepted and rejected steps and evaluations, Float64Array ${host.counts}, for ${text}`)
      )
    })
  )
}

/**
 * Of systems side by side, each with its own steps, none depends on its neighbours: neither its result nor the number of its
 * steps, on the device that is provided, in `float64`.
 *
 * @since 0.1.0
 * @category laws on devices
 */
export const batch: OnDevice = (method, options = {}) => {
  const subject = subjectOf(method, options)
  return law.verify("batch", subject.name, 2, options, (seed) =>
    Effect.gen(function* () {
      const draw = problems.draws(seed)
      const rates = ratesOf(draw)
      const row = () => Array.from(startOf(draw, 2), (each) => each * 10 ** draw(-2, 1))
      const one = row()
      const device = yield* Device.Device
      /** What becomes of `one` among others. */
      const among = Effect.fnUntraced(function* (rows: ReadonlyArray<ReadonlyArray<number>>) {
        const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems: rows.length })
        const { fixed, adaptive, counts } = yield* device.evaluate(
          bothWays(subject, carrier, rates, constant(rows))
        )
        const place = rows.indexOf(one)
        const own = (parts: ReadonlyArray<Numbers> = [], width: number) =>
          Float64Array.from(
            parts.flatMap(({ data }) =>
              Array.from(data, Number).slice(place * width, (place + 1) * width)
            )
          )
        return { y: Float64Array.of(...own(fixed, 2), ...own(adaptive, 2)), counts: own(counts, 1) }
      })
      const alone = yield* among([one])
      for (const rows of [
        [one, row(), row()],
        [row(), row(), one]
      ]) {
        const { y, counts } = yield* among(rows)
        const text = `${shown(rates, Float64Array.from(one))}, beside ${rows.map((each) => `[${each}]`).join(" and ")}`
        const complaint =
          same("a system alone and among others", y, alone.y, text, 1e-12) ??
          (counts.every((each, i) => each === alone.counts[i])
            ? undefined
            : `alone it takes ${alone.counts} accepted and rejected steps and evaluations, among others ${counts}, for ${text}`)
        if (complaint !== undefined) return complaint
      }
      return undefined
    })
  )
}
