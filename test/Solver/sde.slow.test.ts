import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Brownian from "../../src/Solver/Brownian.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Sde from "../../src/Solver/Sde.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as HostRandom from "../../src/Tensor/HostRandom.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Random from "../../src/Tensor/Random.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const { eulerMaruyama, heun, milstein, reversibleHeun, sra1 } = Sde
const methods = [eulerMaruyama, milstein, heun, sra1, reversibleHeun]

type Problem<N extends Sde.Noise = "diagonal" | "additive"> = Sde.Problem<Float64Array, number, N>

/** A path that remembers what it was asked. */
const remembered = <V>({ increment }: Brownian.Path<V, number>): Brownian.Path<V, number> => {
  const known = new Map<string, Brownian.Increment<V>>()
  return {
    increment: (s, t) => {
      const key = `${s} ${t}`
      const found = known.get(key) ?? increment(s, t)
      known.set(key, found)
      return found
    }
  }
}

const pathOf = (seed: number, length: number, depth: number) =>
  remembered(
    Brownian.tree(Brownian.float64Array(HostRandom.key(seed), length), { from: 0, to: 1, depth })
  )

const ones = (length: number) => new Float64Array(length).fill(1)

const solve = (
  method: Sde.Method,
  problem: Problem,
  path: Brownian.Path<Float64Array, number>,
  y: Float64Array,
  count: number
): Float64Array =>
  Fixed.run(Sde.stepper(method, Carrier.float64Array, problem, path), y, { from: 0, to: 1, count })
    .y

const distance = (a: Float64Array, b: Float64Array): number =>
  a.reduce((sum, each, i) => sum + Math.abs(each - b[i]), 0) / a.length

/** The slope of log error against log step, by least squares. */
const order = (counts: ReadonlyArray<number>, errors: ReadonlyArray<number>): number => {
  const x = counts.map((count) => -Math.log2(count))
  const y = errors.map(Math.log2)
  const mean = (a: ReadonlyArray<number>) => a.reduce((sum, each) => sum + each, 0) / a.length
  const [mx, my] = [mean(x), mean(y)]
  const up = x.reduce((sum, each, i) => sum + (each - mx) * (y[i] - my), 0)
  return up / x.reduce((sum, each) => sum + (each - mx) ** 2, 0)
}

const drift = 0.4
const volatility = 0.7

describe("strong orders", () => {
  const counts = [8, 16, 32, 64, 128]

  // dy = ay dt + by dW, of which y(1) = exp(a − b²/2 + bW(1)) for Itô, exp(a + bW(1)) for Stratonovich
  const size = 1000
  const geometric = (interpretation: Sde.Interpretation): Problem => ({
    drift: (_, y) => y.map((each) => drift * each),
    diffusion: (_, y) => y.map((each) => volatility * each),
    noise: "diagonal",
    interpretation
  })
  const exact: Problem["derivative"] = (_t, _y, v) => v.map((each) => volatility * each)
  const ito = geometric("ito")
  const stratonovich = geometric("stratonovich")
  const path = pathOf(3, size, 9)
  it.each([
    ["Euler–Maruyama", eulerMaruyama, ito],
    ["Milstein (Itô)", milstein, ito],
    ["Milstein (Itô, with a derivative)", milstein, { ...ito, derivative: exact }],
    ["Milstein (Stratonovich)", milstein, stratonovich],
    [
      "Milstein (Stratonovich, with a derivative)",
      milstein,
      { ...stratonovich, derivative: exact }
    ],
    ["stochastic Heun", heun, stratonovich],
    // its nominal 1/2 is what nonlinear diffusions give, below
    ["reversible Heun", { ...reversibleHeun, order: { diagonal: 1 } }, stratonovich]
  ] as const)("on geometric Brownian motion: %s", (_, method, problem) => {
    const correction = problem.interpretation === "ito" ? volatility ** 2 / 2 : 0
    const end = path.increment(0, 1).w.map((w) => Math.exp(drift - correction + volatility * w))
    const errors = counts.map((count) =>
      distance(solve(method, problem, path, ones(size), count), end)
    )
    expect(Math.abs(order(counts, errors) - (method.order.diagonal ?? 0))).toBeLessThan(0.3)
  })

  // y = sinh(t + W): dy = √(1 + y²)(dt + dW) for Stratonovich, for Itô with ½g′g = ½y more drift
  const root = (y: Float64Array) => y.map((each) => Math.sqrt(1 + each * each))
  const slope: Problem["derivative"] = (_, y, v) => y.map((x, i) => (x / Math.hypot(1, x)) * v[i])
  const hyperbolic = (interpretation: Sde.Interpretation): Problem => ({
    drift: (_, y) => root(y).map((each, i) => each + (interpretation === "ito" ? y[i] / 2 : 0)),
    diffusion: (_, y) => root(y),
    noise: "diagonal",
    interpretation
  })
  it.each([
    ["Euler–Maruyama", eulerMaruyama, "ito", false],
    ["Milstein (Itô)", milstein, "ito", false],
    ["Milstein (Itô, with a derivative)", milstein, "ito", true],
    ["Milstein (Stratonovich)", milstein, "stratonovich", false],
    ["Milstein (Stratonovich, with a derivative)", milstein, "stratonovich", true],
    ["stochastic Heun", heun, "stratonovich", false]
  ] as const)("with a nonlinear diffusion: %s", (_, method, interpretation, exact) => {
    const problem = {
      ...hyperbolic(interpretation),
      ...(exact ? { derivative: slope } : {})
    }
    const end = path.increment(0, 1).w.map((w) => Math.sinh(1 + w))
    const errors = counts.map((count) =>
      distance(solve(method, problem, path, new Float64Array(size), count), end)
    )
    expect(Math.abs(order(counts, errors) - (method.order.diagonal ?? 0))).toBeLessThan(0.3)
  })

  it("with a nonlinear diffusion: reversible Heun", () => {
    const problem: Problem = {
      drift: (_, y) => y.map((each) => Math.sin(each) / 2),
      diffusion: (_, y) => y.map((each) => Math.sin(2 * each) + 0.5),
      noise: "diagonal",
      interpretation: "stratonovich"
    }
    const end = solve(heun, problem, path, new Float64Array(size), 512)
    const errors = counts.map((count) =>
      distance(solve(reversibleHeun, problem, path, new Float64Array(size), count), end)
    )
    expect(Math.abs(order(counts, errors) - 0.5)).toBeLessThan(0.3)
  })

  // a nonlinear drift, and noise that changes with time
  const swing: Problem<"additive"> = {
    drift: (t, y) => y.map((each) => Math.sin(each) - t),
    diffusion: (t, y) => new Float64Array(y.length).fill(1 + t / 2),
    noise: "additive"
  }
  const few = 400
  const fine = pathOf(4, few, 9)
  const reference = solve(sra1, swing, fine, new Float64Array(few), 512)

  it.each(methods.map((method) => [method.name, method] as const))(
    "with additive noise: %s",
    (_, method) => {
      const grids = [4, 8, 16, 32]
      const errors = grids.map((count) =>
        distance(solve(method, swing, fine, new Float64Array(few), count), reference)
      )
      expect(Math.abs(order(grids, errors) - (method.order.additive ?? 0))).toBeLessThan(0.3)
    }
  )

  it("with additive noise are those of the same solution", () => {
    expect(
      distance(
        solve(heun, { ...swing, interpretation: "stratonovich" }, fine, new Float64Array(few), 512),
        reference
      )
    ).toBeLessThan(2e-3)
  })

  // z' = (a + bi) z dt + (c + di) z dW: one noise for both parts, which no element has for itself
  const [a, b, c, d] = [-0.3, 0.8, 0.3, 0.6]
  const times =
    (re: number, im: number) =>
    (_: number, [x, y]: Float64Array) =>
      Float64Array.of(re * x - im * y, im * x + re * y)
  it.each([
    ["Milstein (Itô)", milstein, "ito"],
    ["Milstein (Stratonovich)", milstein, "stratonovich"],
    ["stochastic Heun", heun, "stratonovich"]
  ] as const)("with scalar noise: %s", (_, method, interpretation) => {
    const grids = [8, 16, 32]
    const errors = grids.map(() => 0)
    for (let i = 0; i < 100; i++) {
      const source = Brownian.number(HostRandom.foldIn(HostRandom.key(9), i))
      const path = Brownian.tree(source, { from: 0, to: 1, depth: 5 })
      const stepper = Sde.stepper(
        method,
        Carrier.float64Array,
        { drift: times(a, b), diffusion: times(c, d), noise: "scalar", interpretation },
        path
      )
      const { w } = path.increment(0, 1)
      const correction = interpretation === "ito" ? [(c * c - d * d) / 2, c * d] : [0, 0]
      const size = Math.exp(a - correction[0] + c * w)
      const angle = b - correction[1] + d * w
      const end = Float64Array.of(size * Math.cos(angle), size * Math.sin(angle))
      grids.forEach((count, j) => {
        const { y } = Fixed.run(stepper, Float64Array.of(1, 0), { from: 0, to: 1, count })
        errors[j] += distance(y, end)
      })
    }
    expect(Math.abs(order(grids, errors) - 1)).toBeLessThan(0.3)
  })
})

describe("a step", () => {
  // values by hand: h = 1/4, w = 1/2, area = 1/16, f = t + y, g = 2y, y = 3 at t = 1
  const path: Brownian.Path<number, number> = {
    increment: (s, t) => {
      expect([s, t]).toEqual([1, 1.25])
      return { w: 0.5, area: 1 / 16 }
    }
  }
  const one = (method: Sde.Method, problem: Partial<Sde.Problem<number, number>>) => {
    const stepper = Sde.stepper(
      method,
      Carrier.number,
      { drift: (t, y) => t + y, diffusion: (_, y) => 2 * y, noise: "diagonal", ...problem },
      path
    )
    return stepper.step(1, 0.25, 3, stepper.start(1, 3)).y
  }

  it("has the value of its formula", () => {
    // 3 + 1/4·4 + 1/2·6
    expect(one(eulerMaruyama, {})).toBeCloseTo(7, 14)
    // + ½·2·6·(1/4 − 1/4), or ½·2·6·1/4
    expect(one(milstein, {})).toBeCloseTo(7, 14)
    expect(one(milstein, { interpretation: "stratonovich" })).toBeCloseTo(8.5, 14)
    // to ŷ = 7, where f = 8.25 and g = 14: 3 + 1/8·(4 + 8.25) + 1/4·(6 + 14)
    expect(one(heun, { interpretation: "stratonovich" })).toBeCloseTo(9.53125, 14)
    expect(one(reversibleHeun, { interpretation: "stratonovich" })).toBeCloseTo(9.53125, 14)
    // g = t: I₁₀/h = 1/2; the stage 3 + 3/4 + 3/2·1/2·5/4 = 4.6875 at 1.1875 has f = 5.875;
    // 3 + 1/12·4 + 1/6·5.875 + 1/2·5/4 + 1/2·(1 − 5/4)
    expect(one(sra1, { diffusion: (t) => t, noise: "additive" })).toBeCloseTo(
      3 + 1 / 3 + 5.875 / 6 + 0.5,
      14
    )
  })

  it("without noise is one of the method for ordinary equations", () => {
    const ralston = Tableau.make({ order: 2, a: [[3 / 4]], b: [1 / 3, 2 / 3] })
    const field = (t: number, y: number) => y * Math.cos(t) - t
    const still = Brownian.tree(Brownian.number(HostRandom.key(1)), { from: 0, to: 2 })
    fc.assert(
      fc.property(
        fc.constantFrom(
          [eulerMaruyama, Tableau.euler] as const,
          [milstein, Tableau.euler] as const,
          [heun, Tableau.heun] as const,
          [sra1, ralston] as const
        ),
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        fc.double({ min: -3, max: 3, noNaN: true }),
        ([method, tableau], t, h, y) => {
          const ordinary = Method.bind(tableau, Carrier.number, field)
          const stepper = Sde.stepper(
            method,
            Carrier.number,
            { drift: field, diffusion: () => 0, noise: "additive" },
            still
          )
          const expected = ordinary.step(t, h, y, ordinary.start(t, y)).y
          expect(stepper.step(t, h, y, stepper.start(t, y)).y).toBeCloseTo(expected, 13)
        }
      )
    )
  })

  it("is refused where noise or integral is not the method's", () => {
    expect(() => one(sra1, {})).toThrow("SRA1 treats additive noise only, not diagonal")
    expect(() => one(heun, {})).toThrow('with interpretation: "stratonovich"')
    expect(() => one(reversibleHeun, { noise: "scalar" })).toThrow("Stratonovich's integral")
    expect(() => one(eulerMaruyama, { interpretation: "stratonovich" })).toThrow("Sde.milstein")
    expect(() => one(heun, { noise: "additive" })).not.toThrow()
  })

  it("has no error to control, and a line between its ends", () => {
    const stepper = Sde.stepper(
      milstein,
      Carrier.number,
      { drift: (_, y) => y, diffusion: (_, y) => y, noise: "diagonal" },
      path
    )
    const { y, error, dense } = stepper.dense().step(1, 0.25, 3, {})
    const at = (theta: number) =>
      stepper.interpolate({ theta, h: 0.25, before: 3, after: y, dense })
    expect([error, stepper.errorOrder]).toEqual([undefined, undefined])
    expect([at(0), at(0.5), at(1)]).toEqual([3, (3 + y) / 2, y])
  })
})

describe("reversed time", () => {
  const problem: Problem = {
    drift: (t, y) => y.map((each) => Math.sin(each) - t),
    diffusion: (t, y) => y.map((each) => 0.5 * Math.cos(each + t)),
    noise: "diagonal",
    interpretation: "stratonovich"
  }

  it("is what reversible Heun undoes to 1e-12 over 1000 steps", () => {
    const path = pathOf(6, 5, 12)
    const stepper = Sde.stepper(reversibleHeun, Carrier.float64Array, problem, path)
    const count = 1000
    const start = Float64Array.of(-1, -0.3, 0, 0.4, 2)
    const memory = stepper.start(0, start)
    let now: { readonly y: Float64Array; readonly memory: { readonly y: Float64Array } } = {
      y: start,
      memory
    }
    for (let i = 0; i < count; i++) now = stepper.step(i / count, 1 / count, now.y, now.memory)
    expect(distance(now.y, start)).toBeGreaterThan(0.1)
    for (let i = count - 1; i >= 0; i--)
      now = stepper.inverse?.(i / count, 1 / count, now.y, now.memory) ?? now
    now.y.forEach((each, i) => {
      expect(Math.abs(each - start[i])).toBeLessThan(1e-12)
      expect(Math.abs(now.memory.y[i] - start[i])).toBeLessThan(1e-12)
    })
  })

  it.each([milstein, heun])("leads back along the path: $name", (method) => {
    const path = pathOf(6, 200, 8)
    const stepper = Sde.stepper(method, Carrier.float64Array, problem, path)
    const start = Float64Array.from({ length: 200 }, (_, i) => i / 100 - 1)
    const missed = (count: number) => {
      const { y } = Fixed.run(stepper, start, { from: 0, to: 1, count })
      return distance(Fixed.run(stepper, y, { from: 1, to: 0, count }).y, start)
    }
    const errors = [16, 64, 256].map(missed)
    expect(errors[2]).toBeLessThan(errors[0] / 10)
  })
})

describe("tensors", () => {
  const evaluate = <T>(tree: T) =>
    Effect.gen(function* () {
      const device = yield* Device.Device
      return yield* device.evaluate(tree)
    }).pipe(Effect.provide(Device.layerReference()), Effect.runPromise)
  type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">
  const f64 = (x: Tensor.Any) => x as F64
  const like = Tensor.spec([3], "float64") as never
  const grid = { from: 0, to: 1, count: 12 }
  const depth = 6
  const start = [0.5, -0.25, 1]
  const key = HostRandom.key(31)

  it.each(
    methods.flatMap((method) =>
      (["diagonal", "additive"] as const)
        .filter((noise) => method.order[noise] !== undefined)
        .map((noise) => [method.name, noise, method] as const)
    )
  )("give in one scan what the host gives: %s, %s noise", async (_, noise, method) => {
    const [interpretation] = method.interpretations
    const source = Brownian.tensor<Tensor.Any>({ key: Random.key(31), like })
    const stepper = Sde.stepper(
      method,
      source.carrier,
      {
        drift: (t, y) => Tensor.sub(Tensor.sin(f64(y)), f64(t)),
        diffusion: (t, y) =>
          noise === "additive"
            ? Tensor.broadcastTo(Tensor.cos(f64(t)), [3])
            : Tensor.mul(Tensor.cos(f64(y)), f64(t)),
        noise,
        interpretation
      },
      Brownian.tree(source, { from: 0, to: 1, depth })
    )
    const first = Tensor.constant(start, { dtype: "float64" }) as Tensor.Any
    const { data } = await evaluate(Fixed.run(stepper, first, grid).y)
    const host = Sde.stepper(
      method,
      Carrier.float64Array,
      {
        drift: (t, y) => y.map((each) => Math.sin(each) - t),
        diffusion: (t, y) =>
          y.map((each) => (noise === "additive" ? Math.cos(t) : Math.cos(each) * t)),
        noise,
        interpretation
      },
      Brownian.tree(Brownian.float64Array(key, 3), { from: 0, to: 1, depth })
    )
    const expected = Fixed.run(host, Float64Array.from(start), grid).y
    start.forEach((_, i) => {
      expect(Number(data[i])).toBeCloseTo(expected[i], 12)
    })
  })

  it("take scalar noise, each system its own, and exact derivatives", async () => {
    const systems = 2
    const source = Brownian.tensor<Tensor.Any>({
      key: Random.key(31),
      like: Tensor.spec([systems], "float64") as never,
      systems
    })
    const carrier = Carrier.tensor<Tensor.Any>({ dtype: "float64", systems })
    const diffusion = (_: Tensor.Any, y: Tensor.Any) => Tensor.sin(f64(y))
    const stepper = Sde.stepper(
      milstein,
      carrier,
      {
        drift: (_, y) => Tensor.neg(f64(y)),
        diffusion,
        noise: "scalar",
        derivative: (t, y, v) => Gradient.jvp(diffusion(t, y), y as F64, v as F64)
      },
      Brownian.tree(source, { from: 0, to: 1, depth })
    )
    const first = Tensor.constant([start, start], { dtype: "float64" }) as Tensor.Any
    const { data } = await evaluate(Fixed.run(stepper, first, grid).y)
    HostRandom.split(key, systems).forEach((each, system) => {
      const host = Sde.stepper(
        milstein,
        Carrier.float64Array,
        {
          drift: (_, y) => y.map((each) => -each),
          diffusion: (_, y) => y.map(Math.sin),
          noise: "scalar",
          derivative: (_, y, v) => y.map((each, i) => Math.cos(each) * v[i])
        },
        Brownian.tree(Brownian.number(each), { from: 0, to: 1, depth })
      )
      const expected = Fixed.run(host, Float64Array.from(start), grid).y
      start.forEach((_, i) => {
        expect(Number(data[3 * system + i])).toBeCloseTo(expected[i], 12)
      })
    })
  })

  it("have gradients by parameters, with the path held fixed", async () => {
    const source = Brownian.tensor<Tensor.Any>({ key: Random.key(31), like })
    const first = Tensor.constant(start, { dtype: "float64" }) as Tensor.Any
    const program = await Effect.runPromise(
      Program.make({ rate: Tensor.spec([], "float64") }, ({ rate }) => {
        const field = (_: Tensor.Any, y: Tensor.Any) => Tensor.mul(f64(y), rate)
        const stepper = Sde.stepper(
          heun,
          source.carrier,
          { drift: field, diffusion: field, noise: "diagonal", interpretation: "stratonovich" },
          Brownian.tree(source, { from: 0, to: 1, depth })
        )
        const { y } = Fixed.run(stepper, first, { ...grid, count: 64 })
        return { gradient: Gradient.of(Tensor.sum(f64(y)), rate) }
      })
    )
    const { data } = await Effect.gen(function* () {
      const device = yield* Device.Device
      const executable = yield* device.compile(program)
      const { gradient } = yield* executable.run({
        rate: Tensor.hostArray(0.3, { dtype: "float64" })
      })
      return yield* device.download(gradient)
    }).pipe(Effect.scoped, Effect.provide(Device.layerReference()), Effect.runPromise)
    // y = y₀ exp(a(1 + W)), of which the derivative is (1 + W)y
    const path = Brownian.tree(Brownian.float64Array(key, 3), { from: 0, to: 1, depth })
    const { w } = path.increment(0, 1)
    const expected = start.reduce(
      (sum, each, i) => sum + each * (1 + w[i]) * Math.exp(0.3 * (1 + w[i])),
      0
    )
    expect(Math.abs(Number(data[0]) - expected)).toBeLessThan(0.02)
  })
})
