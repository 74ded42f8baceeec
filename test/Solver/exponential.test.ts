import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Carrier from "../../src/Solver/Carrier.ts"
import * as Exponential from "../../src/Solver/Exponential.ts"
import * as Fixed from "../../src/Solver/Fixed.ts"
import * as Method from "../../src/Solver/Method.ts"
import * as Multistep from "../../src/Solver/Multistep.ts"
import type { RightHandSide } from "../../src/Solver/Stepper.ts"
import * as Tableau from "../../src/Solver/Tableau.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

type F64 = Tensor.Tensor<ReadonlyArray<number>, "float64">

const { number } = Carrier
const tableaus = [
  Exponential.exponentialEuler,
  Exponential.etdrk2,
  Exponential.etdrk4,
  Exponential.krogstad4,
  Exponential.hochbruckOstermann4
]
const multistep = [1, 2, 3, 4].map(Exponential.adamsBashforth)
const methods: ReadonlyArray<Exponential.Tableau | Exponential.Method> = [...tableaus, ...multistep]
const named = methods.map((method) => [method.name, method] as const)

const evaluate = <T>(tree: T) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const device = yield* Device.Device
      return yield* device.evaluate(tree)
    }).pipe(Effect.provide(Device.layerReference()))
  )

/** φ₀ to φ₄, from mpmath with 400 digits. */
const values: ReadonlyArray<readonly [z: number, phi: ReadonlyArray<number>]> = [
  [0, [1.0, 1.0, 0.5, 0.16666666666666666, 0.041666666666666664]],
  [
    1e-12,
    [1.000000000001, 1.0000000000005, 0.5000000000001666, 0.16666666666670835, 0.041666666666675]
  ],
  [
    -1e-12,
    [0.999999999999, 0.9999999999995, 0.49999999999983336, 0.166666666666625, 0.04166666666665833]
  ],
  [
    1e-3,
    [
      1.0010005001667084, 1.0005001667083417, 0.5001667083416681, 0.16670834166805576,
      0.04167500138908733
    ]
  ],
  [
    -0.01,
    [
      0.9900498337491681, 0.9950166250831947, 0.49833749168053576, 0.1662508319464261,
      0.041583472024057266
    ]
  ],
  [
    0.5,
    [
      1.6487212707001282, 1.2974425414002564, 0.5948850828005126, 0.18977016560102516,
      0.046206997868717015
    ]
  ],
  [
    -0.7,
    [
      0.4965853037914095, 0.7191638517265578, 0.4011944975334888, 0.14115071780930172,
      0.03645135551052137
    ]
  ],
  [
    1.999,
    [
      7.3816707361285685, 3.1924315838562123, 1.0967641740151135, 0.2985313526838987,
      0.06596532567145175
    ]
  ],
  [
    2,
    [
      7.38905609893065, 3.194528049465325, 1.0972640247326626, 0.2986320123663313,
      0.06598267284983231
    ]
  ],
  [
    2.001,
    [
      7.396448850789447, 3.196626112338554, 1.0977641740822361, 0.29873272068077766,
      0.06600002699355872
    ]
  ],
  [
    -1.999,
    [
      0.13547068621005243, 0.4324808973436456, 0.2839015020792168, 0.10810330061069694,
      0.029296331193581653
    ]
  ],
  [
    -2,
    [
      0.1353352832366127, 0.43233235838169365, 0.28383382080915315, 0.10808308959542341,
      0.029291788535621626
    ]
  ],
  [
    -2.001,
    [
      0.13520001559846748, 0.43218390025064096, 0.2837661667912839, 0.10806288516177717,
      0.029287247128880308
    ]
  ],
  [
    -5,
    [
      0.006737946999085467, 0.1986524106001829, 0.1602695178799634, 0.06794609642400731,
      0.01974411404853187
    ]
  ],
  [
    7,
    [
      1096.6331584284585, 156.51902263263693, 22.21700323323385, 3.102429033319121,
      0.41939462380749354
    ]
  ],
  [-40, [4.248354255291589e-18, 0.025, 0.024375, 0.011890625, 0.003869401041666667]],
  [
    30,
    [
      10686474581524.463, 356215819384.1154, 11873860646.103848, 395795354.85346156,
      13193178.48955983
    ]
  ],
  [-1000, [0.0, 0.001, 0.000999, 0.000499001, 0.00016616766566666667]],
  [-1e8, [0.0, 1e-8, 9.9999999e-9, 4.999999900000001e-9, 1.6666666166666677e-9]]
]

const close = (found: number, expected: number, relative: number) =>
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(relative * Math.abs(expected))

describe("φ functions", () => {
  it("are accurate for every argument", () => {
    for (const [z, expected] of values) {
      for (const n of [0, 1, 2, 3, 4]) {
        const found = Exponential.phi(number, n, z)
        expect(found.length).toBe(n + 1)
        found.forEach((each, k) => {
          close(each, expected[k], 5e-15)
        })
      }
    }
  })

  it("are so on vectors of any kind, with derivatives", async () => {
    const z = values.map(([each]) => each)
    const of = <V, S, B>(carrier: Carrier.Carrier<V, S, B>, vector: V) =>
      carrier.elementwise(vector, (elements, element) => Exponential.phi(elements, 4, element))
    of(Carrier.float64Array, Float64Array.from(z)).forEach((vector, k) => {
      vector.forEach((each, i) => {
        close(each, values[i][1][k], 5e-15)
      })
    })
    type Pair = { readonly a: number; readonly b: number }
    const pair: Carrier.Carrier<Pair, number, boolean> = Carrier.struct({ a: number, b: number })
    expect(of(pair, { a: -5, b: 7 })[2].a).toBe(Exponential.phi(number, 4, -5)[2])
    const double = Tensor.constant(z, { dtype: "float64" })
    const { float64, float32, slope } = await evaluate({
      float64: of(Carrier.tensor<Tensor.Any>({ dtype: "float64" }), double),
      float32: of(Carrier.tensor<Tensor.Any>(), Tensor.constant(z)),
      slope: Gradient.of(
        Tensor.sum(of(Carrier.tensor<F64>({ dtype: "float64" }), double)[1]),
        double
      )
    })
    values.forEach(([at, expected], i) => {
      expected.forEach((value, k) => {
        close(Number(float64[k].data[i]), value, 5e-15)
        // the exponential magnifies the rounding of its argument
        close(Number(float32[k].data[i]), value, 1e-6 * Math.max(1, Math.abs(at)))
      })
      // φ₁' = φ₁ − φ₂ = (φ₀ − φ₁)/z, whichever cancels less
      const derivative =
        Math.abs(at) < 1 ? expected[1] - expected[2] : (expected[0] - expected[1]) / at
      close(Number(slope.data[i]), derivative, 1e-13)
    })
  })
})

// y' = A(t)·y + N(t, y) from y(0) = 1
interface Case {
  readonly name: string
  readonly rate: Exponential.Rate<number, number>
  readonly nonlinear: RightHandSide<number, number>
  readonly exact: (t: number) => number
}
const varying = (t: number) => -2 + 1.5 * Math.sin(3 * t)
const integral = (t: number, h: number) => -2 * h + 0.5 * (Math.cos(3 * t) - Math.cos(3 * (t + h)))
const swing = (t: number) => Math.exp(Math.sin(t))
const cases: ReadonlyArray<Case> = [
  { name: "linear", rate: [-2], nonlinear: (_, y) => y, exact: (t) => Math.exp(-t) },
  {
    name: "nonlinear",
    rate: [-1],
    nonlinear: (_, y) => -y * y,
    exact: (t) => 1 / (2 * Math.exp(t) - 1)
  },
  {
    name: "non-autonomous",
    rate: [-2],
    nonlinear: (t, y) => (2 + Math.cos(t)) * y,
    exact: swing
  },
  {
    name: "A(t), integral known",
    rate: [varying, integral],
    nonlinear: (t, y) => (Math.cos(t) - varying(t)) * swing(t) + y * y - swing(t) ** 2,
    exact: swing
  },
  {
    name: "A(t), integral unknown",
    rate: [varying],
    nonlinear: (t, y) => (Math.cos(t) - varying(t)) * swing(t) + y * y - swing(t) ** 2,
    exact: swing
  }
]
const grids: Readonly<Record<string, (count: number) => Fixed.Grid>> = {
  uniform: (count) => ({ from: 0, to: 1.6, count }),
  uneven: (count) => ({
    times: Array.from({ length: count + 1 }, (_, i) => (1.6 * (i + (i % 2) / 3)) / count)
  })
}
const scalar = (
  method: Exponential.Tableau | Exponential.Method,
  rate: Exponential.Rate<number, number>,
  nonlinear: RightHandSide<number, number>
) => Exponential.stepper(method, number, { linear: Exponential.scalar(number, ...rate), nonlinear })

describe("exponential integrators", () => {
  it.each(named)("%s converges with its order", (_, method) => {
    for (const { name, rate, nonlinear, exact } of cases) {
      for (const [kind, grid] of Object.entries(grids)) {
        const error = (count: number) =>
          Math.abs(Fixed.run(scalar(method, rate, nonlinear), 1, grid(count)).y - exact(1.6))
        const count = [640, 640, 320, 160][method.order - 1]
        const order = Math.log2(error(count) / error(2 * count))
        expect.soft(Math.abs(order - method.order), `${name}, ${kind}: ${order}`).toBeLessThan(0.2)
      }
    }
  })

  it("take the published steps", () => {
    // the papers' own formulas, evaluated by mpmath with 60 digits
    const expected: ReadonlyArray<readonly [Exponential.Tableau, number]> = [
      [Exponential.exponentialEuler, 0.33452658967904997],
      [Exponential.etdrk2, 0.3453665350536612],
      [Exponential.etdrk4, 0.3298283973184172],
      [Exponential.krogstad4, 0.3298188710452181]
    ]
    for (const [tableau, y] of expected) {
      const stepper = scalar(tableau, [-3], (t, y) => Math.sin(t) + y * y)
      expect(stepper.step(0.2, 0.5, 0.7, stepper.start(0.2, 0.7)).y).toBeCloseTo(y, 14)
    }
  })

  it("satisfy the conditions of their order for stiff problems", () => {
    const value = (weight: Exponential.Weight, z: number) =>
      weight.reduce((sum, [a, k, c]) => sum + a * Exponential.phi(number, k, c * z)[k], 0)
    const factorial = [1, 1, 2]
    for (const { b, c, stiffOrder } of tableaus) {
      for (const z of [-50, -3, -0.1, 0, 1]) {
        for (let k = 1; k <= Math.min(stiffOrder, 3); k++) {
          const sum = b.reduce((total, weight, i) => total + value(weight, z) * c[i] ** (k - 1), 0)
          expect(sum / factorial[k - 1]).toBeCloseTo(Exponential.phi(number, k, z)[k], 13)
        }
      }
    }
  })

  it("are exact without a nonlinear part, for any size of step", async () => {
    // in all at most 8, so that no expected value leaves the range of numbers
    const size = fc.double({ min: 0.01, max: 1, noNaN: true })
    fc.assert(
      fc.property(
        fc.constantFrom(...methods),
        fc.double({ min: -50, max: 3, noNaN: true }),
        fc.array(size, { minLength: 1, maxLength: 8 }),
        (method, a, sizes) => {
          const times = [0]
          for (const each of sizes) times.push(times[times.length - 1] + each)
          const t = times[times.length - 1]
          const run = (...rate: Exponential.Rate<number, number>) =>
            Fixed.run(
              scalar(method, rate, () => 0),
              1,
              { times }
            ).y
          close(run(a), Math.exp(a * t), 1e-12)
          close(run(varying, integral), Math.exp(integral(0, t)), 1e-12)
          // Gauss's quadrature knows polynomials
          close(
            run((s) => s ** 2 - s),
            Math.exp(t ** 3 / 3 - t ** 2 / 2),
            1e-9
          )
          const rates = Float64Array.of(a, 0, -1e9)
          const decay = Exponential.stepper(method, Carrier.float64Array, {
            linear: Exponential.diagonal(Carrier.float64Array, rates),
            nonlinear: (_, y) => y.map(() => 0)
          })
          const { y } = Fixed.run(decay, Float64Array.of(1, 2, 3), { times })
          close(y[0], Math.exp(a * t), 1e-12)
          expect([...y.slice(1)]).toEqual([2, 0])
        }
      ),
      { numRuns: 200 }
    )
  })

  it("are explicit methods where the linear part is 0", () => {
    const explicit: ReadonlyArray<readonly [Exponential.Tableau | Exponential.Method, Method.Any]> =
      [
        [Exponential.exponentialEuler, Tableau.euler],
        [Exponential.etdrk2, Tableau.heun],
        [Exponential.etdrk4, Tableau.rk4],
        [Exponential.krogstad4, Tableau.rk4],
        [Exponential.hochbruckOstermann4, Exponential.underlying(Exponential.hochbruckOstermann4)],
        ...multistep.map((each, i) => [each, Multistep.adamsBashforth(i + 1)] as const)
      ]
    const f = (t: number, y: number) => y * Math.cos(t) - y * y
    for (const [method, plain] of explicit) {
      for (const grid of Object.values(grids)) {
        const { y } = Fixed.run(Method.bind(plain, number, f), 1, grid(9))
        for (const rate of [[0], [() => 0]] as const) {
          expect(Fixed.run(scalar(method, rate, f), 1, grid(9)).y).toBeCloseTo(y, 13)
        }
      }
    }
  })

  it("that look back integrate polynomials exactly against the exponential, on any grid", () => {
    const unit = { min: -1, max: 1, noNaN: true }
    fc.assert(
      fc.property(
        fc.constantFrom(...multistep),
        fc.array(fc.double(unit), { minLength: 4, maxLength: 4 }),
        fc.double({ min: -100, max: 2, noNaN: true }),
        fc.array(fc.double({ min: 0.1, max: 0.4, noNaN: true }), { minLength: 8, maxLength: 8 }),
        (method, coefficients, a, sizes) => {
          const used = coefficients.slice(0, method.order)
          const exact = (t: number) => used.reduceRight((sum, each) => sum * t + each, 0)
          const rate = (t: number) =>
            used.reduceRight((sum, each, k) => (k === 0 ? sum : sum * t + k * each), 0)
          const nonlinear = (t: number) => rate(t) - a * exact(t)
          const times = [-1]
          for (const each of sizes) times.push(times[times.length - 1] + each)
          const past = Array.from({ length: method.order - 1 }, (_, i) => 3 - i)
          let memory = {
            values: past.map((i) => nonlinear(times[i])),
            sizes: past.map((i) => times[i + 1] - times[i])
          }
          const stepper = scalar(method, [a], nonlinear)
          let y = exact(times[4])
          for (let i = 4; i < sizes.length; i++) {
            ;({ y, memory } = stepper.step(times[i], times[i + 1] - times[i], y, memory))
          }
          expect(Math.abs(y - exact(times[8]))).toBeLessThan(1e-11)
        }
      ),
      { numRuns: 200 }
    )
  })

  // u_t = u_xx + 1/(1 + u²) + Φ on [0, 1] with u = x(1 − x)eᵗ, in sines (Hochbruck and Ostermann 2005, example 6.1):
  // the second differences of a parabola are exact
  const width = 1 / 40
  const indices = Float64Array.from({ length: 39 }, (_, i) => i + 1)
  const sines = [...indices].map((i) =>
    indices.map((j) => Math.sqrt(2 * width) * Math.sin(Math.PI * i * j * width))
  )
  const transform = (v: Float64Array) =>
    Float64Array.from(sines, (row) => row.reduce((sum, each, j) => sum + each * v[j], 0))
  const heat = (t: number) => indices.map((i) => i * width * (1 - i * width) * Math.exp(t))
  const rates = indices.map((i) => -4 * (Math.sin((Math.PI * i * width) / 2) / width) ** 2)

  it("keep their order for stiff problems", () => {
    const reaction = (t: number, coefficients: Float64Array) => {
      const [u, due] = [transform(coefficients), heat(t)]
      return transform(
        u.map((each, i) => 1 / (1 + each ** 2) + due[i] + 2 * Math.exp(t) - 1 / (1 + due[i] ** 2))
      )
    }
    const orderOf = (method: Exponential.Tableau | Exponential.Method) => {
      const stepper = Exponential.stepper(method, Carrier.float64Array, {
        linear: Exponential.diagonal(Carrier.float64Array, rates),
        nonlinear: reaction
      })
      const error = (count: number) => {
        const u = transform(Fixed.run(stepper, transform(heat(0)), { from: 0, to: 1, count }).y)
        return Math.max(...heat(1).map((each, i) => Math.abs(each - u[i])))
      }
      return Math.log2(error(16) / error(32))
    }
    for (const tableau of tableaus) {
      expect(orderOf(tableau)).toBeGreaterThan(tableau.stiffOrder - 0.2)
    }
    for (const method of multistep) expect(orderOf(method)).toBeGreaterThan(method.order - 0.2)
    // Cox and Matthews's does lose its order here: the problem is stiff enough
    expect(orderOf(Exponential.etdrk4)).toBeLessThan(3)
  })

  it("of Euler's kind have an error and an order that do not depend on stiffness", () => {
    for (const a of [-1, -1e2, -1e4, -1e8]) {
      const nonlinear = (t: number) => Math.cos(t) - a * Math.sin(t)
      const stepper = scalar(Exponential.exponentialEuler, [a], nonlinear)
      const error = (count: number) =>
        Math.abs(Fixed.run(stepper, 0, { from: 0, to: 1, count }).y - Math.sin(1))
      expect(error(20)).toBeLessThan(1 / 20)
      expect(Math.abs(Math.log2(error(80) / error(160)) - 1)).toBeLessThan(0.2)
    }
  })

  it("are the same on every carrier, in a scan and unrolled", async () => {
    const start = [1.5, -0.25]
    const rates = [-3, 0.5]
    const turning = (t: number, rate: number) => rate * (1 + Math.sin(t))
    const wave = (t: number, y: number) => Math.cos(t) - y * y
    const options = { dtype: "float64" } as const
    const plain = Carrier.tensor<Tensor.Any>(options)
    const apart = Carrier.tensor<Tensor.Any>({ ...options, systems: 2 })
    const f64 = (values: ReadonlyArray<number>) => Tensor.constant(values, options)
    const field = (t: Tensor.Any, y: Tensor.Any): Tensor.Any =>
      Tensor.sub(Tensor.cos(t as F64), Tensor.square(y as F64))
    const bend = (t: Tensor.Any): F64 => Tensor.add(Tensor.sin(t as F64), 1)
    for (const method of methods) {
      for (const grid of [
        { from: 0, to: 1, count: 7 },
        { times: [0, 0.1, 0.13, 0.4, 0.45, 0.6, 0.9, 1] }
      ]) {
        const numbers = (rate: (each: number) => Exponential.Rate<number, number>) =>
          start.map((y, i) => Fixed.run(scalar(method, rate(rates[i]), wave), y, grid).y)
        const tensors = (
          linear: Exponential.Linear<Tensor.Any, Tensor.Any>,
          carrier = plain,
          how: { readonly unroll?: boolean } = {}
        ) =>
          Fixed.run(
            Exponential.stepper(method, carrier, { linear, nonlinear: field }),
            f64(start),
            grid,
            how
          ).y
        const vector = f64(rates)
        const constant = Exponential.diagonal(plain, vector)
        const moving = Exponential.diagonal(plain, (t) => Tensor.mul(vector, bend(t)))
        const found = await evaluate({
          common: {
            scanned: tensors(Exponential.scalar(plain, -3)),
            expression: tensors(Exponential.scalar(plain, Tensor.scalar(-3, "float64")))
          },
          fixed: {
            scanned: tensors(constant),
            unrolled: tensors(constant, plain, { unroll: true }),
            apart: tensors(Exponential.scalar(apart, vector), apart),
            both: tensors(Exponential.diagonal(apart, vector), apart)
          },
          moving: {
            scanned: tensors(moving),
            unrolled: tensors(moving, plain, { unroll: true }),
            apart: tensors(
              Exponential.scalar(apart, (t) => Tensor.mul(vector, bend(t))),
              apart
            )
          }
        })
        const array = Exponential.stepper(method, Carrier.float64Array, {
          linear: Exponential.diagonal(Carrier.float64Array, Float64Array.from(rates)),
          nonlinear: (t, y) => y.map((each) => wave(t, each))
        })
        const fixed = numbers((rate) => [rate])
        Fixed.run(array, Float64Array.from(start), grid).y.forEach((each, i) => {
          expect(each).toBeCloseTo(fixed[i], 13)
        })
        const expected = {
          common: numbers(() => [-3]),
          fixed,
          moving: numbers((rate) => [(t) => turning(t, rate)])
        }
        for (const kind of ["common", "fixed", "moving"] as const) {
          for (const { data } of Object.values(found[kind])) {
            start.forEach((_, i) => {
              expect(Number(data[i])).toBeCloseTo(expected[kind][i], 13)
            })
          }
        }
      }
    }
  })

  it("count evaluations of the nonlinear part truthfully", () => {
    for (const method of methods) {
      let calls = 0
      const stepper = scalar(method, [-2], (_, y) => {
        calls++
        return y
      })
      for (const each of [stepper, stepper.dense()]) {
        calls = 0
        expect(Fixed.run(each, 1, { from: 0, to: 1, count: 7 }).evaluations).toBe(calls)
      }
    }
  })

  it("have interpolants through both ends, as accurate as they say", () => {
    const [, , { rate, nonlinear, exact }] = cases
    for (const method of methods) {
      const stepper = scalar(method, rate, nonlinear).dense()
      const worst = (count: number) => {
        const { steps } = Fixed.run(
          stepper,
          1,
          { from: 0, to: 1.6, count },
          {
            each: ({ t, h, before, step }) => {
              const at = (theta: number) =>
                stepper.interpolate({ theta, h, before, after: step.y, dense: step.dense })
              expect(at(0)).toBeCloseTo(before, 14)
              expect(at(1)).toBeCloseTo(step.y, 14)
              return Math.abs(at(0.4) - exact(t + 0.4 * h))
            }
          }
        )
        return Math.max(...(steps as ReadonlyArray<number>))
      }
      expect(Math.log2(worst(160) / worst(320))).toBeGreaterThan(stepper.denseOrder - 0.2)
    }
  })

  it("of one's own are checked", () => {
    const { etdrk2, krogstad4 } = Exponential
    expect(() => Exponential.make({ ...krogstad4, order: 5 })).toThrow("is not of order 5")
    const b: ReadonlyArray<Exponential.Weight> = [
      [
        [1, 1, 1],
        [-1 / 2, 1, 1]
      ],
      [[1, 2, 1]]
    ]
    expect(() => Exponential.make({ ...etdrk2, b })).toThrow("the weights of the result add up to")
    for (const order of [0, 5, 1.5]) {
      expect(() => Exponential.adamsBashforth(order)).toThrow("a whole number from 1 to 4")
    }
  })
})
