/**
 * A Runge–Kutta method of one's own: its tableau, checked when it is made; its laws; and its use, on the host and on a device.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Device } from "../src/Device/index.ts"
import { SolverLaws } from "../src/Laws/index.ts"
import { Carrier, Controller, Integration, Method, Tableau } from "../src/Solver/index.ts"
import { Tensor } from "../src/Tensor/index.ts"

// Cash and Karp 1990, a pair of orders 5 and 4; a wrong digit here is refused with the order condition that it breaks
const cashKarp = Tableau.make({
  name: "Cash–Karp 5(4)",
  order: 5,
  a: [
    [1 / 5],
    [3 / 40, 9 / 40],
    [3 / 10, -9 / 10, 6 / 5],
    [-11 / 54, 5 / 2, -70 / 27, 35 / 27],
    [1631 / 55296, 175 / 512, 575 / 13824, 44275 / 110592, 253 / 4096]
  ],
  b: [37 / 378, 0, 250 / 621, 125 / 594, 0, 512 / 1771],
  embedded: {
    order: 4,
    b: [2825 / 27648, 0, 18575 / 48384, 13525 / 55296, 277 / 14336, 1 / 4]
  }
})

// a satellite of earth and moon, which comes back to where it began (Arenstorf's orbit; Hairer, Nørsett and Wanner, II.0)
const moon = 0.012277471
const period = 17.0652165601579625588917206249
const start = Float64Array.of(0.994, 0, 0, -2.00158510637908252240537862224)
const satellite = (_: number, [x, y, u, v]: Float64Array) => {
  const earth = (1 - moon) / Math.hypot(x + moon, y) ** 3
  const pull = moon / Math.hypot(x - 1 + moon, y) ** 3
  return Float64Array.of(
    u,
    v,
    x + 2 * v - earth * (x + moon) - pull * (x - 1 + moon),
    y - 2 * u - (earth + pull) * y
  )
}

const orbit = (method: Method.Any, tolerance: number) =>
  Integration.solve(Method.bind(method, Carrier.float64Array, satellite), start, {
    from: 0,
    to: period,
    steps: Controller.pi({ absolute: tolerance, relative: tolerance })
  })

// the same method in a program: pendulums let go at ten thousand heights, side by side, each with steps of its own
const count = 10_000
const heights = Tensor.linspace(0.1, 3, count)
type Pendulums = { readonly angle: Tensor.Any; readonly speed: Tensor.Any }
const pendulums = Integration.run(
  Method.bind(cashKarp, Carrier.tensor<Pendulums>({ systems: count }), (_, { angle, speed }) => ({
    angle: speed,
    speed: Tensor.neg(Tensor.sin(angle as typeof heights))
  })),
  { angle: heights, speed: Tensor.zeros([count]) },
  { from: 0, to: 10, steps: Controller.pi({ absolute: 1e-4, relative: 1e-4 }) }
)

const main = Effect.gen(function* () {
  SolverLaws.check(cashKarp)
  yield* Console.log(`${cashKarp.name} keeps its laws`)

  for (const method of [cashKarp, Tableau.dopri5]) {
    for (const tolerance of [1e-6, 1e-9]) {
      const { y, statistics } = yield* orbit(method, tolerance)
      const missed = Math.hypot(y[0] - start[0], y[1] - start[1])
      yield* Console.log(
        `${method.name} to ${tolerance.toExponential()}: ${statistics.evaluations} evaluations, misses by ${missed.toExponential(1)}`
      )
    }
  }

  const device = yield* Device.Device
  const { accepted, ...outcome } = yield* device.evaluate(pendulums)
  yield* Integration.verify(cashKarp, 10, { accepted, ...outcome })
  const [low, high] = [accepted.data[0], accepted.data[count - 1]]
  yield* Console.log(
    `on ${device.name}: ${low} steps for the lowest pendulum, ${high} for the highest`
  )
})

main.pipe(Effect.provide(Device.layerAuto), NodeRuntime.runMain)
