/**
 * `npm run bench -- resnet [--rounds 5] [--batch 16] [--width 64] [--size 32] [--depth 4] [--json]`
 *
 * On the device that `ODEON_DEVICE` names; beside PyTorch where `ODEON_PEER_PYTHON` names a Python that has it.
 */
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Device } from "../src/Device/index.ts"
import * as Resnet from "./resnet.ts"
import { table } from "./support/compare.ts"

const usage =
  "usage: npm run bench -- resnet [--rounds 5] [--batch 16] [--width 64] [--size 32] [--depth 4] [--json]"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    ...Object.fromEntries(
      Object.keys(Resnet.defaults).map((key) => [key, { type: "string" }] as const)
    )
  }
})

const options = Object.fromEntries(
  Object.entries(Resnet.defaults).map(([key, value]) => [
    key,
    Number((values as Record<string, unknown>)[key] ?? value)
  ])
) as unknown as Resnet.Options

const milliseconds = (seconds: number): string =>
  Number.isFinite(seconds) ? (seconds * 1000).toFixed(1) : "–"

const resnet = Effect.gen(function* () {
  const device = yield* Device.Device
  const results = yield* Resnet.run(options)
  if (values.json)
    return yield* Console.log(JSON.stringify({ benchmark: "resnet", options, results }, null, 2))
  yield* Console.log(`device ${device.name}: ${device.description}\n`)
  for (const { name, compileMilliseconds, macs, timings, ratio, notes } of results) {
    yield* Console.log(
      `${name}: ${(macs / 1e9).toFixed(2)} G multiply-accumulates, compiled in ${compileMilliseconds.toFixed(0)} ms`
    )
    yield* Console.log(
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
    )
    if (ratio !== undefined)
      yield* Console.log(`ratio to the faster layout of PyTorch: ${ratio.toFixed(2)}`)
    for (const note of notes) yield* Console.log(note)
    yield* Console.log("")
  }
})

if (positionals[0] === "resnet") {
  resnet.pipe(Effect.scoped, Effect.provide(Device.layerAuto), NodeRuntime.runMain)
} else {
  console.error(usage)
  process.exitCode = 2
}
