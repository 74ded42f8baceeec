import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Brownian from "../../src/Solver/Brownian.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Integration from "../../src/Solver/Integration.ts"
import * as Sde from "../../src/Solver/Sde.ts"
import * as HostRandom from "../../src/Tensor/HostRandom.ts"
import * as Random from "../../src/Tensor/Random.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const { number, float64Array } = Brownian

const paths = 4000
const many = Brownian.tree(float64Array(HostRandom.key(11), paths), { from: -1, to: 2, depth: 10 })

/** The mean of the products of two vectors. */
const product = (a: Float64Array, b: Float64Array): number =>
  a.reduce((sum, each, i) => sum + each * b[i], 0) / a.length

/** An integral of a polynomial of degree 3 or less between the ends of what two intervals share (Simpson). */
const shared = (
  [s, t]: readonly [number, number],
  [u, v]: readonly [number, number],
  f: (r: number) => number
): number => {
  const [a, b] = [Math.max(s, u), Math.min(t, v)]
  return a < b ? ((b - a) / 6) * (f(a) + 4 * f((a + b) / 2) + f(b)) : 0
}

/** The distribution function of a standard normal (Abramowitz & Stegun 7.1.26, to 1.5e-7). */
const normalCdf = (x: number): number => {
  const z = Math.abs(x) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * z)
  const tail =
    t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) *
    Math.exp(-z * z)
  return x > 0 ? 1 - tail / 2 : tail / 2
}

/** Kolmogorov's and Smirnov's distance from the standard normal, times √n. */
const distance = (sample: ReadonlyArray<number>): number => {
  const sorted = [...sample].sort((a, b) => a - b)
  const n = sorted.length
  return (
    Math.sqrt(n) *
    Math.max(...sorted.map((x, i) => Math.max((i + 1) / n - normalCdf(x), normalCdf(x) - i / n)))
  )
}

const close = (a: ArrayLike<number | bigint>, b: ArrayLike<number>, tolerance: number): void => {
  expect(a.length).toBe(b.length)
  for (let i = 0; i < b.length; i++) expect(Math.abs(Number(a[i]) - b[i])).toBeLessThan(tolerance)
}

const evaluate = <T>(tree: T) =>
  Effect.gen(function* () {
    const device = yield* Device.Device
    return yield* device.evaluate(tree)
  }).pipe(Effect.provide(Device.layerReference()), Effect.runPromise)

const intervals = [
  [-1, 2],
  [-1, 0.5],
  [0, 0.25],
  [-0.913, 1.377],
  [0.49, 0.51],
  [1.2345, 1.2445]
] as const

describe("increments", () => {
  // each bound is exceeded by chance once in a thousand keys
  it.each(intervals)("from %d to %d are normal", (s, t) => {
    const h = t - s
    const { w, area } = many.increment(s, t)
    const scaled = [
      Array.from(w, (each) => each / Math.sqrt(h)),
      Array.from(area, (each) => each / Math.sqrt(h ** 3 / 12))
    ]
    for (const sample of scaled) {
      const moment = (k: number) => sample.reduce((sum, x) => sum + x ** k, 0) / paths
      expect(Math.abs(moment(1)) * Math.sqrt(paths)).toBeLessThan(3.29)
      expect(Math.abs(moment(2) - 1) * Math.sqrt(paths / 2)).toBeLessThan(3.29)
      expect(distance(sample)).toBeLessThan(1.95)
    }
  })

  // K = ∫ (c − r) dW(r) with c the middle, so that covariances are integrals over what intervals share
  it("have the covariances of one Brownian path with its integral, over all pairs of intervals", () => {
    const others = [...intervals, [-0.5, 0.125], [0.1, 0.9], [0.25, 0.5]] as const
    const taken = others.map((each) => ({ each, ...many.increment(each[0], each[1]) }))
    for (const { each: one, ...a } of taken) {
      for (const { each: other, ...b } of taken) {
        const [c, d] = [one, other].map(([s, t]) => (s + t) / 2)
        const [g, h] = [one, other].map(([s, t]) => t - s)
        const check = (
          x: Float64Array,
          y: Float64Array,
          f: (r: number) => number,
          variances: number
        ) => {
          const scale = Math.sqrt(variances)
          const expected = shared(one, other, f) / scale
          // products of normals with correlation ρ have variance 1 + ρ²; 243 checks: 1 in 10,000 each
          const bound = 3.9 * Math.sqrt((1 + expected ** 2) / paths)
          expect(Math.abs(product(x, y) / scale - expected), `${one} ${other}`).toBeLessThan(bound)
        }
        check(a.w, b.w, () => 1, g * h)
        check(a.w, b.area, (r) => d - r, (g * h ** 3) / 12)
        check(a.area, b.area, (r) => (c - r) * (d - r), (g * h) ** 3 / 144)
      }
    }
  })

  it("over adjacent intervals do not tell of each other's size", () => {
    const sizes = ([s, t]: readonly [number, number]) =>
      many.increment(s, t).w.map((each) => (each ** 2 / (t - s) - 1) / Math.SQRT2)
    for (const [s, t, u] of [
      [-1, 0.5, 2],
      [0.1, 0.2, 0.37],
      [0.25, 0.3125, 0.375]
    ])
      expect(Math.abs(product(sizes([s, t]), sizes([t, u]))) * Math.sqrt(paths)).toBeLessThan(3.29)
  })

  it("of different keys and different elements are different", () => {
    const at = (seed: number) =>
      Brownian.tree(float64Array(HostRandom.key(seed), 50), { from: 0, to: 1 }).increment(0, 0.3).w
    expect(new Set([...at(1), ...at(2)]).size).toBe(100)
  })
})

describe("a tree", () => {
  const tree = Brownian.tree(float64Array(HostRandom.key(5), 3), { from: 0, to: 2 })
  const time = fc.double({ min: 0, max: 2, noNaN: true })

  it("gives one path, whatever the grid", () => {
    fc.assert(
      fc.property(time, fc.array(time, { maxLength: 6 }), time, (s, inner, t) => {
        // in any order: there and back again is the same
        const grid = [s, ...inner, t]
        const whole = tree.increment(s, t)
        const parts = grid.slice(1).map((to, i) => tree.increment(grid[i], to))
        for (let i = 0; i < 3; i++) {
          let [w, area, length] = [0, 0, 0]
          parts.forEach((part, j) => {
            const h = grid[j + 1] - grid[j]
            area += part.area[i] + (h * w - length * part.w[i]) / 2
            w += part.w[i]
            length += h
          })
          expect(Math.abs(w - whole.w[i])).toBeLessThan(1e-13)
          expect(Math.abs(area - whole.area[i])).toBeLessThan(1e-13)
        }
      }),
      { numRuns: 200 }
    )
  })

  it("turns signs when time is reversed", () => {
    fc.assert(
      fc.property(time, time, (s, t) => {
        const [there, back] = [tree.increment(s, t), tree.increment(t, s)]
        expect(back.w.map((each) => -each + 0)).toEqual(there.w.map((each) => each + 0))
        expect(back.area.map((each) => -each + 0)).toEqual(there.area.map((each) => each + 0))
      })
    )
  })

  it("is as precise over short intervals as over long ones", () => {
    // half a step has half of the variance, also where both halves lie in one leaf's neighbourhood
    const deep = Brownian.tree(number(HostRandom.key(5)), { from: 0, to: 1, depth: 30 })
    const h = 2 ** -26
    const start = 0.7
    const whole = deep.increment(start, start + h)
    const parts = [deep.increment(start, start + h / 2), deep.increment(start + h / 2, start + h)]
    const area = parts[0].area + parts[1].area + (h / 4) * (parts[0].w - parts[1].w)
    expect(Math.abs(parts[0].w + parts[1].w - whole.w)).toBeLessThan(1e-12 * Math.sqrt(h))
    // times are exact to 2⁻⁵³, which is 2⁻²⁷ of a step
    expect(Math.abs(area - whole.area)).toBeLessThan(1e-7 * h ** 1.5)
  })

  it("does not mind that times are rounded", () => {
    const thirds = Brownian.tree(number(HostRandom.key(8)), { from: 0, to: 0.3 })
    const exact = thirds.increment(0.1, 0.15).w
    for (const off of [-1e-16, 1e-16, 3e-16])
      expect(Math.abs(thirds.increment(0.1 + off, 0.15 - off).w - exact)).toBeLessThan(1e-12)
  })

  it("is the same when its ends change places, and there is none outside", () => {
    const key = HostRandom.key(5)
    const back = Brownian.tree(float64Array(key, 3), { from: 2, to: 0 })
    expect(back.increment(0.3, 0.9)).toEqual(tree.increment(0.3, 0.9))
    for (const [s, t] of [
      [-0.1, 1],
      [1, 2.1],
      [3, 4]
    ])
      expect(() => tree.increment(s, t)).toThrow(`between 0 and 2 and knows no increment from ${s}`)
    expect([...tree.increment(0.7, 0.7).w].map(Math.abs)).toEqual([0, 0, 0])
  })

  it("too short for an integration is what that fails with", () => {
    const path = Brownian.tree(number(HostRandom.key(5)), { from: 0, to: 1 })
    const problem = { drift: () => 0, diffusion: () => 1, noise: "additive" } as const
    const stepper = Sde.stepper(Sde.eulerMaruyama, Carrier.number, problem, path)
    const solve = Integration.solve(stepper, 0, { from: 0, to: 2, steps: { count: 4 } })
    expect(Effect.runSync(Effect.flip(solve))).toMatchObject({
      _tag: "ProblemError",
      message: expect.stringContaining("between 0 and 1 and knows no increment from 1 to 1.5")
    })
  })

  it("refuses intervals and depths that make no sense", () => {
    const source = number(HostRandom.key(1))
    expect(() => Brownian.tree(source, { from: 1, to: 1 })).toThrow("an interval of some length")
    expect(() => Brownian.tree(source, { from: 0, to: Number.NaN })).toThrow("of some length")
    for (const depth of [0, 1.5, 31])
      expect(() => Brownian.tree(source, { from: 0, to: 1, depth })).toThrow("whole number from 1")
  })
})

describe("steps", () => {
  const options = { from: 0, to: 3, count: 600 }

  it("are independent, with the law of their length", () => {
    const path = Brownian.steps(number(HostRandom.key(2)), options)
    const h = 3 / 600
    const taken = Array.from({ length: 600 }, (_, i) => path.increment(i * h, (i + 1) * h))
    expect(distance(taken.map(({ w }) => w / Math.sqrt(h)))).toBeLessThan(1.95)
    expect(distance(taken.map(({ area }) => area / Math.sqrt(h ** 3 / 12)))).toBeLessThan(1.95)
    const next = taken.slice(1).reduce((sum, { w }, i) => sum + (w * taken[i].w) / h, 0) / 599
    const both = taken.reduce((sum, { w, area }) => sum + (w * area) / h ** 2, 0) / 600
    expect(Math.abs(next) * Math.sqrt(599)).toBeLessThan(3.29)
    expect(Math.abs(both) * Math.sqrt(12 * 600)).toBeLessThan(3.29)
  })

  it("go backwards, and nowhere but on their grid", () => {
    const path = Brownian.steps(number(HostRandom.key(2)), options)
    expect(path.increment(0.01, 0.005).w).toBe(-path.increment(0.005, 0.01).w)
    for (const [s, t] of [
      [0, 0.01],
      [0.005, 0.005],
      [-0.005, 0],
      [3, 3.005],
      [0, 1.0],
      [Number.NaN, 1]
    ])
      expect(() => path.increment(s, t)).toThrow(`from ${s} to ${t} is none of them`)
    const source = number(HostRandom.key(1))
    expect(() => Brownian.steps(source, { ...options, count: 0.5 })).toThrow("number of steps")
    expect(() => Brownian.steps(source, { from: 0, to: 0, count: 1 })).toThrow("some length")
  })
})

describe("tensors", () => {
  const key = HostRandom.key(21)
  const times = [
    [0, 1],
    [0.25, 0.375],
    [0.913, 0.117],
    [0.5, 0.5001]
  ]

  it.each([
    ["float64", 1e-14],
    ["float32", 1e-5]
  ] as const)("of %s go the same way as the host", async (dtype, tolerance) => {
    const interval = { from: 0, to: 1 }
    const like = Tensor.spec([2, 3], dtype)
    const source = Brownian.tensor<Tensor.Any>({ key: Random.key(21), like: like as never })
    const path = Brownian.tree(source, interval)
    const grid = Brownian.steps(source, { ...interval, count: 4 })
    const host = float64Array(key, 6, { dtype })
    const hostPath = Brownian.tree(host, interval)
    const hostGrid = Brownian.steps(host, { ...interval, count: 4 })
    const scalar = (t: number) => Tensor.scalar(t, dtype)
    const found = await evaluate({
      tree: times.map(([s, t]) => path.increment(scalar(s), scalar(t))),
      steps: [0, 1, 2, 3].map((i) => grid.increment(scalar(i / 4), scalar((i + 1) / 4)))
    })
    times.forEach(([s, t], i) => {
      const expected = hostPath.increment(s, t)
      close(found.tree[i].w.data as never, expected.w, tolerance * 10)
      close(found.tree[i].area.data as never, expected.area, tolerance)
    })
    found.steps.forEach((each, i) => {
      const expected = hostGrid.increment(i / 4, (i + 1) / 4)
      close(each.w.data as never, expected.w, tolerance)
      close(each.area.data as never, expected.area, tolerance)
    })
  })

  it("are NaN outside", async () => {
    const like = Tensor.spec([2], "float64") as never
    const source = Brownian.tensor<Tensor.Any>({ key: Random.key(21), like })
    const [s, t] = [0.9, 1.1].map((time) => Tensor.scalar(time, "float64"))
    const interval = { from: 0, to: 1 }
    const found = await evaluate([
      Brownian.tree(source, interval).increment(s, t),
      Brownian.steps(source, { ...interval, count: 5 }).increment(s, t)
    ])
    for (const { w, area } of found)
      expect([...w.data, ...area.data]).toEqual(Array.from({ length: 4 }, () => Number.NaN))
  })

  it("draw for each system, at its own time, what it would draw alone", async () => {
    const like = Tensor.spec([4, 3], "float64") as never
    const path = Brownian.tree(
      Brownian.tensor<Tensor.Any>({ key: Random.key(21), like, systems: 4 }),
      { from: 0, to: 1 }
    )
    const constant = (i: number) =>
      Tensor.constant(
        times.map((each) => each[i]),
        { dtype: "float64" }
      )
    const found = await evaluate(path.increment(constant(0), constant(1)))
    HostRandom.split(key, 4).forEach((each, i) => {
      const alone = Brownian.tree(float64Array(each, 3), { from: 0, to: 1 })
      const expected = alone.increment(times[i][0], times[i][1])
      close(found.w.data.slice(3 * i, 3 * i + 3) as never, expected.w, 1e-13)
      close(found.area.data.slice(3 * i, 3 * i + 3) as never, expected.area, 1e-14)
    })
  })

  it("may be trees, and items of a batch with one time may have keys of their own", async () => {
    const like = {
      x: Tensor.spec([2, 3], "float64"),
      v: [Tensor.spec([2], "float64")]
    } as unknown as { readonly x: Tensor.Any; readonly v: ReadonlyArray<Tensor.Any> }
    const keys = Random.split(Random.key(21), 2)
    const path = Brownian.tree(Brownian.tensor({ key: keys, like }), { from: 0, to: 1 })
    const { w } = await evaluate(
      path.increment(Tensor.scalar(0.2, "float64"), Tensor.scalar(0.7, "float64"))
    )
    HostRandom.split(key, 2).forEach((item, i) => {
      const [first, second] = HostRandom.split(item, 2).map(
        (each, j) =>
          Brownian.tree(float64Array(each, [3, 1][j]), { from: 0, to: 1 }).increment(0.2, 0.7).w
      )
      close(w.x.data.slice(3 * i, 3 * i + 3) as never, first, 1e-13)
      close(w.v[0].data.slice(i, i + 1) as never, second, 1e-13)
    })
  })

  it("that do not fit their keys are refused", () => {
    const like = (...shape: ReadonlyArray<number>) => Tensor.spec(shape, "float64") as never
    const of = (options: { readonly like: never; readonly systems?: number }, n: number) => () =>
      Brownian.tensor({ key: Random.split(Random.key(1), n), ...options })
    expect(of({ like: like(3, 2) }, 2)).toThrow("begin with [2]")
    expect(of({ like: like(3, 2), systems: 3 }, 2)).toThrow("begin with [3]")
    expect(() =>
      Brownian.tensor({ key: Random.key(1), like: [like(2), Tensor.spec([2], "float32")] as never })
    ).toThrow("one float dtype")
    expect(of({ like: {} as never }, 2)).toThrow("a state with a tensor")
    const source = Brownian.tensor<Tensor.Any>({
      key: Random.key(1),
      like: Tensor.spec([2], "float32") as never
    })
    expect(() => Brownian.tree(source, { from: 0, to: 1, depth: 24 })).toThrow("from 1 to 23")
  })

  it("run in a loop on the device, refining one path", async () => {
    const source = Brownian.tensor<Tensor.Any>({
      key: Random.key(21),
      like: Tensor.spec([3], "float64") as never
    })
    const path = Brownian.tree(source, { from: 0, to: 1, depth: 8 })
    const { carrier } = source
    const [sum] = Carrier.tensor<Tensor.Any>({ dtype: "float64" }).repeat(
      Tensor.zeros([3], "float64") as Tensor.Any,
      Array.from({ length: 10 }, (_, i) => [i / 10, (i + 1) / 10]),
      (sum, [s, t]) => [
        carrier.combine([
          [1, sum],
          [1, path.increment(s, t).w]
        ]),
        {}
      ]
    )
    const { data } = await evaluate(sum)
    const host = Brownian.tree(float64Array(key, 3), { from: 0, to: 1, depth: 8 })
    close(data as never, host.increment(0, 1).w, 1e-12)
  })
})
