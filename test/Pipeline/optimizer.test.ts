/** Update rules, against PyTorch's and timm's, and what they have in common. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Optimizer from "../../src/Pipeline/Optimizer.ts"
import { TrainError } from "../../src/Pipeline/PipelineError.ts"
import { Program, Tensor, Tree } from "../../src/Tensor/index.ts"
import fixture from "../fixtures/optimizers.json" with { type: "json" }
import { evaluate, prepare, property } from "../support/device.ts"
import { all } from "../support/devices.ts"

type Values = Readonly<Record<string, ReadonlyArray<number>>>
type Host = Tensor.HostArray<ReadonlyArray<number>, "float32">

const shapes: Readonly<Record<string, ReadonlyArray<number>>> = fixture.shapes

const host = (values: Values): Readonly<Record<string, Host>> =>
  Object.fromEntries(
    Object.entries(values).map(([path, data]) => [
      path,
      { dtype: "float32", shape: shapes[path], data: new Float32Array(data) }
    ])
  )

const start = host(fixture.start)

/** The parameters after each of some updates. */
const trained = Effect.fnUntraced(function* (
  optimizer: Optimizer.Optimizer,
  gradients: ReadonlyArray<Readonly<Record<string, Host>>>,
  rates: ReadonlyArray<number>,
  parameters = start
) {
  let { parameters: now, state } = yield* evaluate({ parameters }, ({ parameters }) => ({
    parameters,
    state: optimizer.init(parameters as Optimizer.Numbers)
  }))
  const scalar = Tensor.spec([])
  const update = yield* prepare(
    { parameters: now, state, gradients: gradients[0], rate: scalar, count: scalar } as never,
    (step: Optimizer.Step) => optimizer.update(step)
  )
  const seen: Array<Readonly<Record<string, Host>>> = []
  for (const [t, rate] of rates.entries()) {
    const next = (yield* update({
      parameters: now,
      state,
      gradients: gradients[t],
      rate: Tensor.hostArray(rate),
      count: Tensor.hostArray(t + 1)
    } as never)) as Program.HostArrays<Optimizer.Updated>
    now = next.parameters as typeof now
    state = next.state as typeof state
    seen.push(now as never)
  }
  return { seen, state }
}, Effect.scoped)

const expectNear = (found: Readonly<Record<string, Host>>, wanted: Values, error: number) => {
  for (const [path, values] of Object.entries(wanted)) {
    const worst = values.map((value, i) => Math.abs(value - found[path].data[i]))
    expect(Math.max(...worst), `${path}: ${found[path].data} for ${values}`).toBeLessThan(error)
  }
}

const gradients = fixture.gradients.map(host)

for (const device of all) {
  layer(device.layer)(`on ${device.name}`, (it) => {
    it.effect.each(fixture.cases)("$config is PyTorch's or timm's", ({ config, rates, trace }) =>
      Effect.gen(function* () {
        const { seen } = yield* trained(Optimizer.of(config as Optimizer.Config), gradients, rates)
        for (const [count, values] of Object.entries(trace)) {
          expectNear(seen[Number(count) - 1], values as Values, 1.5e-6)
        }
      })
    )

    it.effect("clips as PyTorch does", () =>
      Effect.gen(function* () {
        const [first] = gradients
        const { norm, loose, value } = fixture.clipped
        const found = yield* evaluate({ first }, ({ first }) => {
          const length = Optimizer.norm(first)
          return {
            length,
            norm: Optimizer.clipTo(first, length, norm.max),
            loose: Optimizer.clipTo(first, length, loose.max),
            value: Optimizer.clipValues(first, value.max)
          }
        })
        expect(found.length.data[0]).toBeCloseTo(norm.norm, 6)
        expectNear(found.norm as never, norm.gradients, 1e-6)
        expectNear(found.loose as never, loose.gradients, 1e-6)
        expectNear(found.value as never, value.gradients, 1e-9)
      })
    )
  })
}

/** One of each, with all that it can keep. */
const every: ReadonlyArray<Optimizer.Config> = [
  { name: "sgd", momentum: 0.9 },
  { name: "adam", amsgrad: true },
  { name: "adamw", weightDecay: 0.001 },
  { name: "nadam" },
  { name: "radam" },
  { name: "adamax" },
  { name: "rmsprop", centered: true, momentum: 0.5 },
  { name: "lion" },
  { name: "adan" },
  { name: "lamb" }
]

interface Bowl extends Optimizer.Updated {
  readonly count: Tensor.Tensor<readonly []>
}

layer(Device.layerReference())("a rule", (it) => {
  it.effect.each(every)("$name goes to the lowest point of a bowl", (config) =>
    Effect.gen(function* () {
      const optimizer = Optimizer.of(config)
      const target = { weight: [0.5, -0.5, 0.25, 1, -1, 0.1], bias: [0.3, -0.3, 0.7] }
      const updates = 1000
      const found = yield* evaluate({ start, target: host(target) }, ({ start, target }) => {
        const step = ({ parameters, state, count }: Bowl): readonly [Bowl, readonly []] => {
          const next = Tensor.add(count, 1)
          const rate = Tensor.mul(Tensor.sub(1, Tensor.mul(count, 1 / updates)), 0.03)
          const gradients = Object.fromEntries(
            Object.entries(parameters).map(([path, w]): [string, Tensor.Tensor] => [
              path,
              Tensor.sub(w, target[path] as never)
            ])
          )
          const updated = optimizer.update({ gradients, parameters, state, rate, count: next })
          return [{ ...updated, count: next }, []]
        }
        const parameters = start as Optimizer.Numbers
        const init: Bowl = {
          parameters,
          state: optimizer.init(parameters),
          count: Tensor.scalar(0)
        }
        const [end] = Tensor.scan({ init, length: updates, step } as never) as never as [Bowl]
        return end.parameters
      })
      expectNear(found as never, target, 0.02)
    })
  )

  it.effect.each(every)(
    "$name leaves names as they are, and does nothing at a rate of 0",
    (config) =>
      Effect.gen(function* () {
        const optimizer = Optimizer.of(config)
        const { seen, state } = yield* trained(optimizer, gradients, [0, 0, 0])
        expectNear(seen[2], fixture.start, 1e-7)
        const kept = yield* evaluate({ start }, ({ start }) => optimizer.init(start))
        const names = (tree: object) => Object.entries(tree).map(([k, v]) => [k, Object.keys(v)])
        expect(names(state)).toEqual(names(kept))
        for (const [slot, each] of Object.entries(kept)) {
          if (slot !== "schedule") expect(Object.keys(each)).toEqual(Object.keys(start))
        }
      })
  )

  it.effect(
    "keeps its digits over many updates: a first gradient is a whole step, as is a millionth",
    () =>
      Effect.gen(function* () {
        const optimizer = Optimizer.adam({ beta2: 0.9999 })
        const at = (count: number) =>
          evaluate({ g: gradients[0].weight }, ({ g }) => {
            // the sums after as many updates by the same gradient
            const sum = (beta: number, x: Tensor.Tensor) =>
              Tensor.mul(x, -Math.expm1(count * Math.log(beta)) / (1 - beta))
            const square = Tensor.square(g)
            return optimizer.update({
              gradients: { g },
              parameters: { g: Tensor.zerosLike(g) },
              state: {
                first: { g: Tensor.mul(Tensor.sub(sum(0.9, g), g), 1 / 0.9) },
                second: { g: Tensor.mul(Tensor.sub(sum(0.9999, square), square), 1 / 0.9999) }
              },
              rate: Tensor.scalar(1),
              count: Tensor.scalar(count)
            }).parameters.g
          })
        for (const count of [1, 2, 10, 1000, 100_000, 1_000_000]) {
          const { data } = yield* at(count)
          data.forEach((step, i) => {
            expect(step / -Math.sign(gradients[0].weight.data[i])).toBeCloseTo(1, 4)
          })
        }
      })
  )

  it.effect("radam's rectification keeps its digits", () =>
    Effect.gen(function* () {
      // of a gradient of 1 at each update, whose means are 1: the step is the rectification alone
      const betas = [0.9, 0.999, 0.99999]
      for (const beta2 of betas) {
        const optimizer = Optimizer.radam({ beta1: 0, beta2, epsilon: 0 })
        const most = 2 / (1 - beta2) - 1
        for (const count of [1, 5, 6, 7, 20, 999, 1001, 30_000]) {
          const power = Math.exp(count * Math.log(beta2))
          const rho = most - (2 * count * power) / -Math.expm1(count * Math.log(beta2))
          const ratio = ((rho - 4) * (rho - 2) * most) / ((most - 4) * (most - 2) * rho)
          const wanted = rho > 5 ? Math.sqrt(ratio) : 1
          const before = (1 - Math.exp((count - 1) * Math.log(beta2))) / (1 - beta2)
          const one = Tensor.ones([1])
          const { data } = yield* evaluate(
            {},
            () =>
              optimizer.update({
                gradients: { one },
                parameters: { one: Tensor.zerosLike(one) },
                state: { first: { one }, second: { one: Tensor.full([1], before) } },
                rate: Tensor.scalar(1),
                count: Tensor.scalar(count)
              }).parameters.one
          )
          expect(Math.abs(-data[0] / wanted - 1), `${beta2} ${count}`).toBeLessThan(2e-5)
        }
      }
    })
  )

  it.effect("the norm after clipping is at most what is asked, and the direction stays", () =>
    property(
      fc.record({
        max: fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
        scale: fc.double({ min: -6, max: 6, noNaN: true })
      }),
      ({ max, scale }) =>
        Effect.gen(function* () {
          const [first] = gradients
          const { before, after, clipped } = yield* evaluate({ first }, ({ first }) => {
            const g = Object.fromEntries(
              Object.entries(first).map(([path, x]) => [path, Tensor.mul(x, 10 ** scale)])
            )
            const clipped = Optimizer.clipTo(g, Optimizer.norm(g), max)
            return { before: Optimizer.norm(g), after: Optimizer.norm(clipped), clipped }
          })
          expect(after.data[0]).toBeLessThanOrEqual(max * (1 + 1e-6))
          expect(after.data[0]).toBeLessThanOrEqual(before.data[0] * (1 + 1e-6))
          const ratio = clipped.weight.data[0] / first.weight.data[0]
          clipped.bias.data.forEach((g, i) => {
            expect(Math.abs(g - ratio * first.bias.data[i])).toBeLessThan(1e-6 * max)
          })
        })
    )
  )

  it.effect("a clipped optimiser is the optimiser of clipped gradients", () =>
    Effect.gen(function* () {
      const adam = Optimizer.adam()
      const some = gradients.slice(0, 4)
      const rates = [0.01, 0.01, 0.01, 0.01]
      const clipped = (f: (gradients: Optimizer.Numbers) => Optimizer.Numbers) =>
        Effect.forEach(some, (each) => evaluate({ each }, ({ each }) => f(each)))
      const byNorm = yield* clipped((g) => Optimizer.clipTo(g, Optimizer.norm(g), 0.5))
      const byValue = yield* clipped((g) => Optimizer.clipValues(g, 0.1))
      const cases = [
        [Optimizer.clipByGlobalNorm(adam, 0.5), byNorm],
        [Optimizer.clipByGlobalNorm(0.5)(adam), byNorm],
        [Optimizer.clipByValue(adam, 0.1), byValue]
      ] as const
      for (const [optimizer, given] of cases) {
        const one = yield* trained(optimizer, some, rates)
        const other = yield* trained(adam, given as never, rates)
        expect(one.seen).toEqual(other.seen)
      }
    })
  )
})

describe("an update's cost", () => {
  /** How many operations there are for each parameter, all that parameters have in common left out. */
  const passes = (optimizer: Optimizer.Optimizer): number => {
    const nodes = (count: number) => {
      const parameters = Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`w${i}`, Tensor.spec([3, i + 2])])
      )
      const state = optimizer.init(
        Tree.map(parameters, ({ shape }) => Tensor.zeros(shape)) as never
      )
      const scalar = Tensor.spec([])
      const { graph } = Program.makeUnsafe(
        { parameters, gradients: parameters, state, rate: scalar, count: scalar },
        (step) => optimizer.update(step as never)
      )
      return graph.nodes.filter(({ primitive }) => primitive.name !== "input").length
    }
    return nodes(3) - nodes(2)
  }

  it.each([
    ["sgd", Optimizer.sgd(), 2],
    ["sgd with momentum", Optimizer.sgd({ momentum: 0.9 }), 4],
    ["sgd with Nesterov's", Optimizer.sgd({ momentum: 0.9, nesterov: true }), 6],
    ["adam", Optimizer.adam(), 10],
    ["adam, decaying", Optimizer.adam({ weightDecay: 0.1 }), 12],
    ["adamw", Optimizer.adamw(), 11],
    ["adamw, without decay", Optimizer.adamw({ decay: () => false }), 10],
    ["nadam", Optimizer.nadam(), 12],
    ["radam", Optimizer.radam(), 11],
    ["adamax", Optimizer.adamax(), 9],
    ["rmsprop", Optimizer.rmsprop(), 8],
    ["lion", Optimizer.lion(), 7],
    ["adan", Optimizer.adan(), 18]
  ] as const)("%s is as many passes over the numbers as it says", (_, optimizer, count) => {
    expect(passes(optimizer)).toBe(count)
  })
})

describe("an optimiser by name", () => {
  const refusal = (given: unknown): string => {
    try {
      Optimizer.of(given as Optimizer.Config)
    } catch (error) {
      expect(error).toBeInstanceOf(TrainError)
      return (error as TrainError).message
    }
    return "not refused"
  }

  it("is refused with what was perhaps meant", () => {
    expect(refusal({ name: "adamm" })).toBe('Optimizer: there is no "adamm"; did you mean "adam"?')
    expect(refusal({ name: "adam", beta: 0.9 })).toBe(
      'Optimizer: beta: there is no such field; did you mean "beta1"?'
    )
    expect(refusal({ name: "sgd", beta1: 0.9 })).toMatch(
      /^Optimizer: beta1: there is no such field; known are name, weightDecay, decay, momentum/
    )
    expect(refusal({ name: "adam", beta1: "0.9" })).toBe(
      'Optimizer: beta1: must be a number, not "0.9"'
    )
    expect(refusal({ name: "adam", decay: "some" })).toBe(
      'Optimizer: decay: there is no "some"; known are all, matrices'
    )
    expect(refusal({})).toMatch(/^Optimizer: it needs a name; known are sgd, adam, /)
    expect(refusal("adam")).toBe(
      'Optimizer: must be a record such as { "name": "sgd" }, not "adam"'
    )
  })

  it("is refused for options that make no sense", () => {
    expect(refusal({ name: "adam", beta1: 1 })).toBe(
      "Optimizer.adam: `beta1` must be a number of at least 0 and below 1, not 1"
    )
    expect(refusal({ name: "adamw", weightDecay: -1 })).toMatch(/`weightDecay` must be a number/)
    expect(refusal({ name: "sgd", nesterov: true })).toMatch(/`nesterov` needs a momentum above 0/)
    expect(refusal({ name: "lion", beta2: 1.5 })).toMatch(/`beta2`/)
    expect(() => Optimizer.sgd({ momentum: null as never })).toThrow(/at least 0, not null/)
    expect(() => Optimizer.clipByGlobalNorm(Optimizer.sgd(), 0)).toThrow(/`max` must be a number/)
  })

  it("holds updates to the parameters that it began with", () => {
    const adam = Optimizer.adam()
    const w = Tensor.zeros([2]) as Tensor.Tensor
    const step = {
      parameters: { w },
      gradients: { w },
      state: adam.init({ w }),
      rate: Tensor.scalar(1),
      count: Tensor.scalar(1)
    }
    expect(() => adam.update({ ...step, gradients: {} })).toThrow(
      'Optimizer.adam: gradients: there is none for "w"'
    )
    expect(() => adam.update({ ...step, state: {} })).toThrow(
      'Optimizer.adam: state.first: there is none for "w"'
    )
    expect(() => adam.update({ ...step, state: adam.init({ v: w }) })).toThrow(TrainError)
  })

  it("takes what is undefined as not told", () => {
    const plain = Optimizer.adamw()
    const w = Tensor.ones([2]) as Tensor.Tensor
    const nothing = { beta1: undefined, weightDecay: undefined, epsilon: undefined } as never
    expect(Object.keys(Optimizer.adamw(nothing).init({ w }))).toEqual(
      Object.keys(plain.init({ w }))
    )
    expect(Optimizer.lamb(nothing).name).toBe("lamb")
  })
})
