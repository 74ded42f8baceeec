import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import {
  Conv,
  CUNet,
  Derivative,
  DynamicBlock,
  Integrator,
  Layer,
  Parameter,
  Summary
} from "../../src/Layer/index.ts"
import { Adaptive, Adjoint, Controller, type SecondOrder, Tableau } from "../../src/Solver/index.ts"
import { Gradient, Program, Random, Tensor, Tree } from "../../src/Tensor/index.ts"
import * as Run from "../support/device.ts"

const evaluate = <const T>(tree: T): Promise<any> =>
  Run.evaluate([], () => tree).pipe(Effect.provide(Device.layerReference()), Effect.runPromise)

type State = SecondOrder.State<Tensor.Tensor>

const by = (options: Partial<Integrator.Config> = {}): Integrator.Integrator =>
  Integrator.of({ method: "rk38", steps: 1, adjoint: "direct", ...options })

const shape = { channels: 4, norm: "group", groups: 2, activation: "silu" } as const
const network = { ...shape, activate: "before", residual: true, odeTime: true } as const
const embedding = 3

const first = (integrator: Integrator.Integrator, augment = 0) =>
  DynamicBlock.first({
    derivative: Derivative.first({ ...network, channels: 4 + augment, embedding }),
    integrator,
    augment
  })

const second = (
  integrator: Integrator.Integrator,
  { augment = 0, velocityFree = false }: { augment?: number; velocityFree?: boolean } = {}
) => {
  const channels = 4 + augment
  const block = DynamicBlock.second({
    acceleration: Derivative.second({ ...network, channels, embedding, velocityFree }),
    velocity: Layer.make(
      { conv: Conv.make({ in: channels, out: channels, kernel: 1 }) },
      ({ conv }, x: Layer.Features) => conv(x)
    ),
    integrator,
    augment,
    velocityFree
  })
  return block
}

// of few digits, so that sums and halves of them are exact
const input = (batch = 2) =>
  Tensor.div(
    Tensor.round(
      Random.normal(Random.key(1), [batch, 4, 4, 4], { dtype: "float64" }).pipe(Tensor.mul(64))
    ),
    64
  )
const condition = (batch = 2) => ({
  embedding: Random.normal(Random.key(2), [batch, embedding], { dtype: "float64" })
})

/** A block in float64, with weights, as a function. */
const applied = (block: Layer.Any) => {
  const wide = Layer.cast(block, "float64") as Layer.Any
  const weights = Program.constants(Parameter.init(wide.parameters, 3))
  return (x: unknown, c: unknown, context?: Layer.Context): Tensor.Tensor<any, "float64"> =>
    wide.apply(weights as never, x, c, context) as never
}

const numbers = (array: unknown): ReadonlyArray<number> =>
  Array.from((array as Tensor.HostArray).data as Float64Array)

const near = (found: unknown, expected: unknown, tolerance: number) => {
  const [a, b] = [numbers(found), numbers(expected)]
  expect(a.length).toBe(b.length)
  const scale = Math.max(...b.map(Math.abs), 1e-300)
  expect(Math.max(...a.map((each, i) => Math.abs(each - b[i]))) / scale).toBeLessThan(tolerance)
}

const linear = (slope: number) =>
  Layer.of((x: Tensor.Tensor) => Tensor.mul(x, slope) as Tensor.Tensor)

describe("a block of first order", () => {
  it("is a step of its method", async () => {
    const f = applied(Derivative.first({ ...network, embedding }))
    const [x, c] = [input(), condition()]
    const t = (value: number) => Tensor.full([], value, "float64")
    const k1 = f(x, { ...c, t: t(0) })
    const k2 = f(Tensor.add(x, k1), { ...c, t: t(1) })
    const heun = Tensor.add(x, Tensor.mul(Tensor.add(k1, k2), 0.5))
    // the same weights, whose draws hang on their paths
    const block = Layer.cast(first(by({ method: "heun" })), "float64") as Layer.Any
    const weights = Parameter.init(
      Layer.cast(Derivative.first({ ...network, embedding }), "float64").parameters,
      3
    )
    const found = block.apply({ derivative: Program.constants(weights) } as never, x, c)
    const values = await evaluate({ heun, found })
    near(values.found, values.heun, 1e-14)
  })

  it("solves its equation, in steps and under a controller", async () => {
    const growth = (integrator: Integrator.Integrator) =>
      DynamicBlock.first({ derivative: linear(-2), integrator }).apply(
        { derivative: {} },
        input() as never
      )
    const values = await evaluate({
      exact: Tensor.mul(input(), Math.exp(-2)),
      steps: growth(by({ method: "dopri8", steps: 8 })),
      adaptive: growth({
        method: Tableau.dopri5,
        steps: Controller.pi({ absolute: 1e-10, relative: 1e-10 }),
        adjoint: Adjoint.direct
      })
    })
    near(values.steps, values.exact, 1e-10)
    near(values.adaptive, values.exact, 1e-8)
  })

  it("refuses methods of second order", () => {
    expect(() => first(by({ method: "velocity-verlet" }))).toThrow(/DynamicBlock\.second/)
  })
})

describe("a block of second order", () => {
  const block = (
    acceleration: (state: State) => Tensor.Tensor,
    velocity: number,
    integrator: Integrator.Integrator
  ) =>
    DynamicBlock.second({
      acceleration: Layer.of(acceleration),
      velocity: linear(velocity),
      integrator
    }).apply({} as never, input() as never)

  it("moves the position by the velocity, exactly", async () => {
    // without acceleration x(1) = x + g(x) = 3x, to the last bit where the method's weights are halves
    const still = ({ x }: State) => Tensor.mul(x, 0) as Tensor.Tensor
    for (const method of ["euler", "midpoint", "heun", "velocity-verlet", "nystrom4"] as const) {
      const found = await evaluate({
        x: block(still, 2, by({ method, steps: 2 })),
        expected: Tensor.mul(input(), 3)
      })
      expect(numbers(found.x)).toEqual(numbers(found.expected))
    }
  })

  it("solves its equation", async () => {
    const spring = ({ x, v }: State) =>
      Tensor.add(Tensor.mul(x, -4), Tensor.mul(v, -2)) as Tensor.Tensor
    // x'' + 2x' + 4x = 0, x(0) = 1, x'(0) = 1
    const w = Math.sqrt(3)
    const factor = Math.exp(-1) * (Math.cos(w) + (2 / w) * Math.sin(w))
    for (const method of ["dopri5", "nystrom4", "coupled-tsit5"] as const) {
      const found = await evaluate({
        x: block(spring, 1, by({ method, steps: 40 })),
        expected: Tensor.mul(input(), factor)
      })
      near(found.x, found.expected, 2e-7)
    }
  })
})

describe("both", () => {
  it("take channels beside the input's", async () => {
    for (const block of [first(by(), 2), second(by(), { augment: 2 })]) {
      const found = await evaluate({ x: applied(block)(input(), condition()) })
      expect(found.x.shape).toEqual([2, 4, 4, 4])
    }
  })

  it("have one gradient, whichever way it is found", async () => {
    const adjoints = ["direct", "checkpointed", "reversible", "backsolve"] as const
    for (const make of [first, second]) {
      const blocks = adjoints.map((adjoint) =>
        Layer.cast(make(by({ method: "coupled-rk4", steps: 8, adjoint })) as Layer.Any, "float64")
      ) as ReadonlyArray<Layer.Any>
      const inputs = {
        weights: Parameter.init(blocks[0].parameters, 3),
        ...(await evaluate({ x: input(), c: condition() }))
      }
      const gradients = Run.evaluate(inputs as any, (inputs: any) =>
        blocks.map((block) => {
          const y = block.apply(inputs.weights, inputs.x, inputs.c) as Tensor.Tensor
          return Gradient.of(Tensor.mean(Tensor.square(y)), inputs)
        })
      )
      const [direct, ...others] = (await gradients.pipe(
        Effect.provide(Device.layerReference()),
        Effect.runPromise
      )) as ReadonlyArray<unknown>
      const reference = Tree.leaves(direct)
      others.forEach((found, i) => {
        Tree.leaves(found).forEach((leaf, j) => {
          near(leaf, reference[j], [1e-12, 1e-10, 1e-3][i])
        })
      })
    }
  })

  it("solve each sample by itself under a controller", async () => {
    const integrator: Integrator.Integrator = {
      method: Tableau.bosh3,
      steps: Controller.pi({ absolute: 1e-4, relative: 1e-4 }),
      adjoint: Adjoint.direct
    }
    for (const block of [first(integrator), second(integrator)]) {
      const f = applied(block)
      const x = input(3)
      const { embedding } = condition(3)
      const part = (tensor: Tensor.Any, i: number) => Tensor.split(tensor as never, 3)[i] as never
      const values = await evaluate({
        together: f(x, { embedding }),
        alone: Tensor.concat(
          [0, 1, 2].map((i) => f(part(x, i), { embedding: part(embedding, i) })) as never
        ) as Tensor.Any
      })
      near(values.together, values.alone, 1e-12)
    }
  })

  it("give NaN for those samples alone whose steps do not suffice", async () => {
    const told: Array<Layer.Integration> = []
    const observer: Layer.Observer = {
      entered: () => () => {},
      integrated: (_, integration) => told.push(integration)
    }
    // how fast a sample turns hangs on its size: 0 needs a step or two, 9 many
    const derivative = Layer.of(
      (x: Tensor.Tensor) => Tensor.mul(Tensor.sin(Tensor.mul(x, 50)), x) as Tensor.Tensor
    )
    const x = Tensor.reshape(
      Tensor.constant([0, 0, 9, 9, 1e-3, 1e-3], { dtype: "float64" }),
      [3, 2, 1]
    ) as Tensor.Tensor<any, any>
    for (const adjoint of ["direct", "checkpointed", "backsolve"] as const) {
      const integrator = by({
        method: "dopri5",
        steps: { relative: 1e-8, absolute: 1e-8, maximumSteps: 8 },
        adjoint
      })
      told.length = 0
      const blocks = [
        DynamicBlock.first({ derivative, integrator }).apply({ derivative: {} }, x, undefined, {
          observer
        }),
        DynamicBlock.second({
          acceleration: Layer.of(({ x }: State) => derivative.apply({}, x)),
          velocity: Layer.of((x: Tensor.Tensor) => Tensor.mul(x, 0) as Tensor.Tensor),
          integrator
        }).apply({ acceleration: {}, velocity: {} }, x, undefined, { observer })
      ]
      for (const [i, y] of blocks.entries()) {
        const gradient = Gradient.of(Tensor.sum(y), x)
        const found = await evaluate({ y, gradient, status: told[i].outcome.status })
        const { done, maximumSteps } = Adaptive.status
        expect(numbers(found.status)).toEqual([done, maximumSteps, done])
        const lost = [false, false, true, true, false, false]
        expect(numbers(found.y).map(Number.isNaN)).toEqual(lost)
        // a way back that is solved anew is lost for all
        const shared = adjoint === "backsolve"
        expect(numbers(found.gradient).map(Number.isNaN)).toEqual(
          lost.map((each) => each || shared)
        )
      }
    }
  })

  it("say how often their derivatives are evaluated", async () => {
    const told: Array<Layer.Integration> = []
    const observer: Layer.Observer = {
      entered: () => () => {},
      integrated: (_, integration) => told.push(integration)
    }
    const f = (block: Layer.Any) => applied(block)(input(), condition(), { observer })
    f(first(by({ method: "rk38", steps: 1 })))
    f(first(by({ method: "dopri5", steps: 10 })))
    f(second(by({ method: "rk38", steps: 10 })))
    expect(told.map(({ evaluations }) => evaluations)).toEqual([4, 61, 40])
    told.length = 0
    f(second(by({ method: "rk38", steps: 1 })))
    // the last one moves the velocity alone
    expect(told[0].evaluations).toBe(3)
    f(
      first({
        method: Tableau.bosh3,
        steps: Controller.pi({ absolute: 1e-4, relative: 1e-4 }),
        adjoint: Adjoint.direct
      })
    )
    expect(told[1].evaluations).toBeUndefined()
    const { evaluations, status } = told[1].outcome
    const values = await evaluate({ evaluations, status })
    expect(Math.min(...numbers(values.evaluations))).toBeGreaterThan(4)
    expect(numbers(values.status)).toEqual([Adaptive.status.done, Adaptive.status.done])
  })
})

describe("an integrator that is provided", () => {
  const options = { channels: 1, width: 4, levels: 1, groups: 2 }
  const evaluations = (network: CUNet.CUNet) =>
    Summary.of(
      network as Layer.Any,
      Tensor.spec([1, 1, 4, 4]) as never,
      {
        time: Tensor.spec([1])
      } as never
    ).rows.flatMap(({ integration }) => integration?.evaluations ?? [])

  it("takes the place of the configuration's", () => {
    const plain = Effect.runSync(CUNet.make(options))
    expect(evaluations(plain)).toEqual([3, 3, 3])
    const provided = CUNet.make(options).pipe(
      Effect.provide(
        Integrator.layer({ method: Tableau.euler, steps: { count: 5 }, adjoint: Adjoint.direct })
      )
    )
    expect(evaluations(Effect.runSync(provided))).toEqual([5, 5, 5])
  })
})
