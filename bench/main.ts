/**
 * `npm run bench -- resnet [--rounds 5] [--batch 16] [--width 64] [--size 32] [--depth 4] [--json]`
 * `npm run bench -- networks [--rounds 3] [--batch 16] [--size 32] [--only cunet-public] [--json]`
 * `npm run bench -- sample [--rounds 7] [--batch 16] [--size 32] [--steps 10] [--only cunet-public] [--json]`
 * `npm run bench -- solver [--rounds 5] [--batch 1024] [--width 32] [--out docs/work-precision.svg] [--json]`
 *
 * On the device that `ODEON_DEVICE` names; beside PyTorch where `ODEON_PEER_PYTHON` names a Python that has it.
 */
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Device } from "../src/Device/index.ts"
import * as Networks from "./networks.ts"
import * as Resnet from "./resnet.ts"
import * as Sample from "./sample.ts"
import * as Solver from "./solver.ts"
import { type Timing, table } from "./support/compare.ts"
import type { Result } from "./support/steps.ts"

const usage = `usage: npm run bench -- resnet [--rounds 5] [--batch 16] [--width 64] [--size 32] [--depth 4] [--json]
       npm run bench -- networks [--rounds 3] [--batch 16] [--size 32] [--only cunet-public] [--json]
       npm run bench -- sample [--rounds 7] [--batch 16] [--size 32] [--steps 10] [--only cunet-public] [--json]
       npm run bench -- solver [--rounds 5] [--batch 1024] [--width 32] [--out docs/work-precision.svg] [--json]`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string" },
    out: { type: "string", default: "docs/work-precision.svg" },
    ...Object.fromEntries(
      Object.keys({
        ...Resnet.defaults,
        ...Networks.defaults,
        ...Sample.defaults,
        ...Solver.defaults
      }).map((key) => [key, { type: "string" }] as const)
    )
  }
})

/** The defaults of a benchmark, with what the command line says. */
const optionsOf = <O extends object>(defaults: O): O =>
  Object.fromEntries(
    Object.entries(defaults).map(([key, value]) => [
      key,
      Number((values as Record<string, unknown>)[key] ?? value)
    ])
  ) as O

const milliseconds = (seconds: number): string =>
  Number.isFinite(seconds) ? (seconds * 1000).toFixed(1) : "–"

const timingsTable = (timings: ReadonlyArray<Timing>): string =>
  table([
    ["", "median ms", "best", "worst", "runs"],
    ...timings.map((timing) => [
      timing.name,
      milliseconds(timing.median),
      milliseconds(timing.best),
      milliseconds(timing.worst),
      String(timing.runs)
    ])
  ])

const show = Effect.fnUntraced(function* (title: string, results: ReadonlyArray<Result>) {
  for (const { name, compileMilliseconds, macs, timings, ratio, notes } of results) {
    yield* Console.log(
      `${title}${name}: ${(macs / 1e9).toFixed(2)} G multiply-accumulates, compiled in ${compileMilliseconds.toFixed(0)} ms`
    )
    yield* Console.log(timingsTable(timings))
    if (ratio !== undefined)
      yield* Console.log(`ratio to the faster layout of PyTorch: ${ratio.toFixed(2)}`)
    for (const note of notes) yield* Console.log(note)
    yield* Console.log("")
  }
})

const resnet = Effect.gen(function* () {
  const device = yield* Device.Device
  const options = optionsOf(Resnet.defaults)
  const results = yield* Resnet.run(options)
  if (values.json)
    return yield* Console.log(JSON.stringify({ benchmark: "resnet", options, results }, null, 2))
  yield* Console.log(`device ${device.name}: ${device.description}\n`)
  yield* show("", results)
})

const networks = Effect.gen(function* () {
  const device = yield* Device.Device
  const options = optionsOf(Networks.defaults)
  if (!values.json) yield* Console.log(`device ${device.name}: ${device.description}\n`)
  const only = values.only as string | undefined
  for (const network of only === undefined ? Networks.names : [only]) {
    const results = yield* Networks.run(options, network)
    if (!values.json) yield* show(`${network}, `, results)
    else yield* Console.log(JSON.stringify({ benchmark: "networks", network, options, results }))
  }
})

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const sample = Effect.gen(function* () {
  const device = yield* Device.Device
  const options = optionsOf(Sample.defaults)
  if (!values.json) yield* Console.log(`device ${device.name}: ${device.description}\n`)
  const only = values.only as string | undefined
  for (const network of only === undefined ? Sample.names : [only]) {
    const result = yield* Sample.run(options, network)
    if (values.json) {
      yield* Console.log(JSON.stringify({ benchmark: "sample", options, ...result }))
      continue
    }
    yield* Console.log(`${network}, a step of ${options.batch} images:`)
    yield* Console.log(timingsTable(result.timings))
    for (const { sampler, median, quartiles } of result.overheads) {
      yield* Console.log(
        `${sampler}: ${percent(median)} over the network alone (quartiles of the rounds ${quartiles.map(percent).join(" and ")})`
      )
    }
    yield* Console.log("")
  }
})

const solver = Effect.gen(function* () {
  const device = yield* Device.Device
  const options = optionsOf(Solver.defaults)
  const loops = yield* Solver.loops(options)
  const points = Solver.workPrecision()
  const picture = yield* Solver.draw(values.out, points)
  if (values.json)
    return yield* Console.log(
      JSON.stringify({ benchmark: "solver", options, loops, points }, null, 2)
    )
  yield* Console.log(`device ${device.name}: ${device.description}\n`)
  yield* Console.log(
    `${options.batch} neural ODEs of ${options.width} dimensions, adaptive Dopri5: ${loops.steps} steps, ${loops.evaluations} evaluations; compiled in ${loops.compileMilliseconds.toFixed(0)} ms`
  )
  yield* Console.log("time for a step of the whole batch:")
  yield* Console.log(timingsTable(loops.timings))
  const [onDevice, , fromHost] = loops.timings
  yield* Console.log(
    `ratio of the loop on the device to the loop on the host: ${(onDevice.median / fromHost.median).toFixed(2)}; ends differ by ${loops.difference.toExponential(1)}\n`
  )
  yield* Console.log(`work–precision diagrams: ${picture}`)
})

const benchmarks: Readonly<
  Record<string, typeof resnet | typeof networks | typeof sample | typeof solver>
> = {
  resnet,
  networks,
  sample,
  solver
}
const chosen = benchmarks[positionals[0]]

if (chosen === undefined) {
  console.error(usage)
  process.exitCode = 2
} else {
  chosen.pipe(Effect.scoped, Effect.provide(Device.layerAuto), NodeRuntime.runMain)
}
