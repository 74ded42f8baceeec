/**
 * Solvers: work–precision diagrams, and what it is worth to keep step control on the device.
 *
 * The diagrams are drawn on the host in double precision: error at the end against evaluations of the right-hand side and against
 * time, for every method at a row of tolerances (or numbers of steps) on three problems.
 *
 * The comparison integrates a batch of neural ODEs with Dormand and Prince's pair under a PI controller: in one loop on the
 * device, and in a loop on the host that calls the device once for each evaluation of the network. Both take the same steps.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as vega from "vega"
import * as lite from "vega-lite"
import { Device } from "../src/Device/index.ts"
import {
  Carrier,
  Controller,
  Implicit,
  Integration,
  Method,
  Multistep,
  Tableau
} from "../src/Solver/index.ts"
import { Program, Random, Tensor } from "../src/Tensor/index.ts"
import { alternate, type Timing } from "./support/compare.ts"

export interface Options {
  readonly rounds: number
  readonly batch: number
  readonly width: number
}

export const defaults: Options = { rounds: 5, batch: 1024, width: 32 }

interface Problem {
  readonly name: string
  readonly f: (t: number, y: Float64Array) => Float64Array
  readonly y: ReadonlyArray<number>
  readonly to: number
  /** Whether explicit methods are out of place. */
  readonly stiff: boolean
}

const problems: ReadonlyArray<Problem> = [
  {
    name: "Lotka–Volterra, to 20",
    f: (_, [x, y]) => Float64Array.of(1.5 * x - x * y, x * y - 3 * y),
    y: [1, 1],
    to: 20,
    stiff: false
  },
  {
    name: "Kepler, eccentricity 0.5, to 20",
    f: (_, [x, y, u, v]) => {
      const cube = Math.hypot(x, y) ** 3
      return Float64Array.of(u, v, -x / cube, -y / cube)
    },
    y: [0.5, 0, 0, Math.sqrt(3)],
    to: 20,
    stiff: false
  },
  {
    name: "Van der Pol, μ = 100, to 120",
    f: (_, [x, v]) => Float64Array.of(v, 100 * (1 - x * x) * v - x),
    y: [2, 0],
    to: 120,
    stiff: true
  }
]

interface Contestant {
  readonly name: string
  readonly method: Method.Any
  readonly kind: "controlled" | "fixed"
  readonly implicit: boolean
}

const contestant = (
  method: Method.Any,
  kind: Contestant["kind"] = "controlled",
  implicit = false
): Contestant => ({ name: method.name, method, kind, implicit })

const contestants: ReadonlyArray<Contestant> = [
  contestant(Tableau.fehlberg21),
  contestant(Tableau.bosh3),
  contestant(Tableau.dopri5),
  contestant(Tableau.tsit5),
  contestant(Tableau.dopri8),
  contestant(Tableau.rk4, "fixed"),
  contestant(Multistep.adamsBashforth(4), "fixed"),
  contestant(Implicit.rosenbrock23, "controlled", true),
  contestant(Implicit.kvaerno3, "controlled", true),
  contestant(Implicit.kvaerno5, "controlled", true)
]

const tolerances = Array.from({ length: 10 }, (_, i) => 10 ** (-2 - i))
const counts = Array.from({ length: 10 }, (_, i) => 100 * 2 ** i)

interface Point {
  readonly problem: string
  /** Which tolerance, or number of steps: the order in which a line goes through its points. */
  readonly setting: number
  readonly method: string
  readonly error: number
  readonly evaluations: number
  readonly milliseconds: number
}

const solve = (problem: Problem, method: Method.Any, steps: Integration.Steps) =>
  Effect.runSync(
    Integration.solve(
      Method.bind(method, Carrier.float64Array, problem.f),
      Float64Array.from(problem.y),
      { from: 0, to: problem.to, steps, maximumSteps: 200_000 }
    )
  )

/** Relative to the largest component. */
const errorOf = (y: Float64Array, reference: Float64Array): number =>
  Math.max(...y.map((each, i) => Math.abs(each - reference[i]))) /
  Math.max(...reference.map(Math.abs))

/** The best of runs for about a twentieth of a second. */
const timed = (run: () => void): number => {
  const begun = performance.now()
  let best = Number.POSITIVE_INFINITY
  for (let now = begun; now - begun < 50; ) {
    run()
    const next = performance.now()
    best = Math.min(best, next - now)
    now = next
  }
  return best
}

/** Errors and costs of every method on every problem; settings at which a method fails or is nowhere near are left out. */
export const workPrecision = (): ReadonlyArray<Point> =>
  problems.flatMap((problem) => {
    const exact = Controller.pi({ absolute: 1e-13, relative: 1e-13 })
    const reference = solve(problem, Tableau.dopri8, exact).y
    return contestants
      .filter(({ implicit, kind }) =>
        problem.stiff ? implicit || kind === "controlled" : !implicit
      )
      .flatMap(({ name, method, kind }) => {
        const settings: ReadonlyArray<Integration.Steps> =
          kind === "fixed"
            ? counts.map((count) => ({ count }))
            : tolerances.map((each) => Controller.make({ absolute: each, relative: each }))
        return settings.flatMap((steps, setting): ReadonlyArray<Point> => {
          try {
            const { y, statistics } = solve(problem, method, steps)
            const error = errorOf(y, reference)
            return error > 1 || statistics.evaluations > 300_000
              ? []
              : [
                  {
                    problem: problem.name,
                    setting,
                    method: name,
                    error: Math.max(error, 1e-14),
                    evaluations: statistics.evaluations,
                    milliseconds: timed(() => solve(problem, method, steps))
                  }
                ]
          } catch {
            return []
          }
        })
      })
  })

/** One row of panels for each problem: error against evaluations, and against time. */
export const draw = (path: string, points: ReadonlyArray<Point>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const axis = (title: string) => ({ title, format: ".0e", labelOverlap: true, grid: true })
    const panel = (problem: string, field: string, title: string) => ({
      title: { text: problem, anchor: "start" as const },
      width: 380,
      height: 260,
      data: { values: points.filter((each) => each.problem === problem) },
      mark: { type: "line" as const, point: true },
      encoding: {
        x: {
          field,
          type: "quantitative" as const,
          scale: { type: "log" as const },
          axis: { ...axis(title), format: "~r" }
        },
        y: {
          field: "error",
          type: "quantitative" as const,
          scale: { type: "log" as const },
          axis: axis("relative error at the end")
        },
        order: { field: "setting", type: "quantitative" as const },
        color: {
          field: "method",
          type: "nominal" as const,
          title: null,
          scale: { scheme: "tableau10" as const },
          sort: contestants.map(({ name }) => name),
          legend: { orient: "right" as const, labelLimit: 260 }
        }
      }
    })
    const spec = {
      background: "white",
      vconcat: problems.map(({ name }) => ({
        hconcat: [
          panel(name, "evaluations", "evaluations of the right-hand side"),
          panel(name, "milliseconds", "milliseconds")
        ]
      }))
    }
    const view = new vega.View(vega.parse(lite.compile(spec as lite.TopLevelSpec).spec), {
      renderer: "none"
    })
    const svg = await view.toSVG()
    view.finalize()
    await Fs.mkdir(Path.dirname(path), { recursive: true })
    await Fs.writeFile(path, svg)
    return path
  })

type Matrix = Tensor.Tensor<readonly [number, number]>

const interval = { from: 0, to: 5 }
const steps = Controller.pi({ absolute: 1e-5, relative: 1e-5 })

export interface Loops {
  readonly device: string
  readonly steps: number
  readonly evaluations: number
  readonly compileMilliseconds: number
  /** Seconds per step. */
  readonly timings: ReadonlyArray<Timing>
  /** Largest difference between both ends. */
  readonly difference: number
}

/**
 * The method and controller of the program, driven from the host: `f` takes a call each time.
 */
const hostDopri5 = Effect.fnUntraced(function* <E, R>(
  f: (y: Float64Array) => Effect.Effect<Float64Array, E, R>,
  start: Float64Array
) {
  const { a, b, embedded } = Tableau.dopri5
  const { combine } = Carrier.float64Array
  type Terms = ReadonlyArray<readonly [number, Float64Array]>
  const weighted = (
    h: number,
    weights: ReadonlyArray<number>,
    k: ReadonlyArray<Float64Array>
  ): Terms => weights.flatMap((each, i) => (each === 0 ? [] : [[h * each, k[i]] as const]))
  const norm = (error: Float64Array, before: Float64Array, after: Float64Array) =>
    Carrier.errorNorm(Carrier.float64Array, error, before, after, steps)
  let y = start
  let t = interval.from
  let first = yield* f(y)
  let count = 0
  let history = { last: 1, before: 1 }
  const scale = norm(y, y, y)
  const h0 = (0.01 * scale) / norm(first, y, y)
  const second = yield* f(
    combine([
      [1, y],
      [h0, first]
    ])
  )
  const bend =
    norm(
      combine([
        [1, second],
        [-1, first]
      ]),
      y,
      y
    ) / h0
  let h = Math.min(100 * h0, (0.01 / Math.max(norm(first, y, y), bend)) ** (1 / 5))
  while (t < interval.to) {
    const size = h * 1.01 >= interval.to - t ? interval.to - t : h
    const k = [first]
    for (const row of a) k.push(yield* f(combine([[1, y], ...weighted(size, row, k)])))
    const after = combine([[1, y], ...weighted(size, b, k)])
    const gaps = b.map((each, i) => each - (embedded?.b[i] ?? 0))
    const error = norm(combine(weighted(size, gaps, k)), y, after)
    const accepted = error <= 1
    h = size * Controller.factor(steps, Carrier.number, 5, error, history, accepted)
    count += 1
    if (!accepted) continue
    history = { last: 1 / Math.max(error, 1e-10), before: history.last }
    t = size === interval.to - t ? interval.to : t + size
    y = after
    first = k[k.length - 1]
  }
  return { end: y, steps: count }
})

/** The batch of neural ODEs y' = W₂·tanh(W₁y), on the device and from the host. */
export const loops = Effect.fnUntraced(function* ({ rounds, batch, width }: Options) {
  const device = yield* Device.Device
  const hidden = 2 * width
  const normal = (i: number, rows: number, columns: number, scale: number) =>
    Tensor.mul(Random.normal(Random.foldIn(Random.key(0), i), [rows, columns]), scale) as Matrix
  const weights = yield* device.evaluate([
    normal(0, width, hidden, 1 / Math.sqrt(width)),
    normal(1, hidden, width, 1 / Math.sqrt(hidden))
  ] as const)
  const start = yield* device.evaluate(normal(2, batch, width, 1))
  const field = (y: Matrix): Matrix => {
    const [first, second] = Program.constants(weights) as unknown as readonly [Matrix, Matrix]
    return Tensor.matmul(Tensor.tanh(Tensor.matmul(y, first)), second) as Matrix
  }

  const integrate = (systems?: number) =>
    Program.make(
      [start],
      ([y]) => {
        const carrier = Carrier.tensor<Matrix>(systems === undefined ? {} : { systems })
        const stepper = Method.bind(Tableau.dopri5, carrier, (_, y) => field(y))
        const {
          y: end,
          accepted,
          rejected,
          evaluations
        } = Integration.run(stepper, y as Matrix, {
          ...interval,
          steps
        })
        return { end, accepted, rejected, evaluations }
      },
      { name: "integrate" }
    )
  const together = yield* device.compile(yield* integrate())
  const apart = yield* device.compile(yield* integrate(batch))
  const network = yield* device.compile(
    yield* Program.make([start], ([y]) => field(y as Matrix), { name: "network" })
  )
  const input = yield* device.upload(start)

  const onDevice = (executable: typeof together) =>
    Effect.gen(function* () {
      const { end, accepted, rejected, evaluations } = yield* device.downloadAll(
        yield* executable.run([input])
      )
      const steps = Math.max(
        ...Array.from(
          accepted.data as Float32Array,
          (each, i) => Number(each) + Number(rejected.data[i])
        )
      )
      return { end: end.data, steps, evaluations: Number(evaluations.data[0]) }
    }).pipe(Effect.scoped)

  /** The same integration with the loop on the host: one call for each evaluation. */
  const fromHost = Effect.gen(function* () {
    const f = (y: Float64Array) =>
      Effect.gen(function* () {
        const state = yield* device.upload({ ...start, data: Float32Array.from(y) })
        const { data } = yield* device.download(yield* network.run([state]))
        return Float64Array.from(data as Float32Array)
      }).pipe(Effect.scoped)
    return yield* hostDopri5(f, Float64Array.from(start.data as Float32Array))
  })

  const perStep = <E, R>(run: Effect.Effect<{ readonly steps: number }, E, R>) =>
    Effect.gen(function* () {
      const begun = performance.now()
      const { steps } = yield* run
      return [(performance.now() - begun) / 1000 / steps]
    })
  const a = yield* onDevice(together)
  const b = yield* fromHost
  yield* onDevice(apart)
  const timings = yield* alternate(
    [
      { name: "one loop on the device", run: perStep(onDevice(together)) },
      { name: "the same, each sample its own steps", run: perStep(onDevice(apart)) },
      { name: "loop on the host, a call for each evaluation", run: perStep(fromHost) }
    ],
    rounds
  )
  const result: Loops = {
    device: device.name,
    steps: a.steps,
    evaluations: a.evaluations,
    compileMilliseconds: together.compileTime,
    timings,
    difference: Math.max(...b.end.map((each, i) => Math.abs(each - Number(a.end[i]))))
  }
  return result
})
