/** `odeon cost` */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Configuration from "../internal/configuration.ts"
import { fieldsOf } from "../internal/fields.ts"
import * as Flags from "../internal/flags.ts"
import { networks } from "../internal/pipeline.ts"
import { refusing } from "../internal/refusal.ts"

export const cost = Command.make(
  "cost",
  {
    network: Argument.String("network").pipe(
      Argument.withDescription("A preset, such as cunet; `odeon networks` lists all")
    ),
    size: Flags.count(
      "size",
      "Of each spatial axis; unless told what the network is meant for, or 64"
    ),
    depth: Flags.count("depth", "Leave out of the table layers that lie deeper"),
    config: Flags.config("A JSON file of configuration fields, in place of the preset's"),
    set: Flags.set(
      "A configuration field, by its path, with a value in JSON or a word; may be repeated"
    ),
    json: Flags.json
  },
  Effect.fnUntraced(function* ({ network: name, size, depth, config, set, json }) {
    const Networks = yield* networks
    const told = yield* Configuration.ofSet(set)
    const { fields } = told.reduce(Configuration.put, {
      fields: Option.isSome(config) ? yield* fieldsOf(config.value) : {},
      origins: {}
    })
    const network = yield* Networks.preset(name, fields as never)
    const sizes = Option.getOrElse(size, () => Networks.sizeOf(network))
    const summary = yield* Networks.costOf(network, { size: sizes })
    if (json) {
      const { rows, ...totals } = summary
      // what a controller decides, and what has no one shape, is null
      const written = { network: name, size: sizes, ...totals, rows }
      return yield* Console.log(
        JSON.stringify(written, (_, value) => (value === undefined ? null : value))
      )
    }
    const space = typeof sizes === "number" ? network.config.dimensions : 1
    const image = Array.from({ length: space }, () => sizes).flat()
    yield* Console.log(`${name}, ${network.config.channels} × ${image.join(" × ")}\n`)
    yield* Console.log(Networks.report(summary, Option.isSome(depth) ? { depth: depth.value } : {}))
  }, refusing)
).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "What a network is made of and costs, layer by layer and in total: parameters, and the multiply-accumulates of one image"
    )
  ),
  Command.withShortDescription("What a network is made of and costs"),
  Command.withExamples([
    {
      command: "odeon cost cunet --depth 2",
      description: "The outer layers of the paper's network"
    },
    { command: "odeon cost cunet-public --size 64 --json", description: "Figures for programs" },
    {
      command: "odeon cost cunet --set order=first --set integrator.method=rk4",
      description: "With other fields than the preset's"
    }
  ])
)
