/**
 * The command line: what it takes and prints. `main.ts` runs it.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { Networks } from "../Pipeline/index.ts"

/** A failure for people: one line on stderr. */
const refuse = (message: string) =>
  new CliError.UserError({ cause: undefined, userMessage: oneLine(message) })

const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, " ")

/** Whatever Odeon says is wrong with what it was given; pure code throws it. Other defects stay what they are. */
const refusing = <A, E extends Error, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.mapError((error) => refuse(error.message)),
    Effect.catchDefect((defect) =>
      defect instanceof Error && "_tag" in defect
        ? Effect.fail(refuse(defect.message))
        : Effect.die(defect)
    )
  )

const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON"),
  Flag.withoutNegation,
  Flag.withDefault(false)
)

/** What `--set key=value` means by its value: JSON, or a word that needs no quotation marks. */
const valueOf = (key: string, text: string): Effect.Effect<unknown, CliError.UserError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(JSON.parse(text) as unknown)
    } catch {
      return /^[\w.+-]+$/.test(text)
        ? Effect.succeed(text)
        : Effect.fail(refuse(`--set ${key}: ${text} is neither JSON nor a word`))
    }
  })

/** The fields of a configuration file. */
const fieldsOf = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* files
    .readFileString(path)
    .pipe(Effect.mapError(() => refuse(`--config: cannot read ${path}`)))
  const fields = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (error) => refuse(`--config: ${path} is not JSON: ${(error as Error).message}`)
  })
  return typeof fields === "object" && fields !== null && !Array.isArray(fields)
    ? (fields as Readonly<Record<string, unknown>>)
    : yield* Effect.fail(refuse(`--config: ${path} must hold an object of fields`))
})

const listNetworks = Effect.fnUntraced(function* (asJson: boolean) {
  const rows = yield* Effect.forEach(Object.entries(Networks.presets), ([name, { about }]) =>
    Effect.map(Networks.preset(name), (network) => ({
      name,
      parameters: Networks.parameterCount(network),
      about
    }))
  )
  if (asJson) return yield* Console.log(JSON.stringify(rows))
  const shown = rows.map(({ parameters }) => parameters.toLocaleString("en-US"))
  const widest = Math.max(...rows.map(({ name }) => name.length))
  const longest = Math.max(...shown.map((text) => text.length))
  return yield* Console.log(
    rows
      .map(
        ({ name, about }, i) =>
          `${name.padEnd(widest)}  ${shown[i].padStart(longest)} parameters  ${about}`
      )
      .join("\n")
  )
})

const cost = Command.make(
  "cost",
  {
    network: Argument.String("network").pipe(
      Argument.withDescription("A preset, such as cunet; `odeon networks` lists all")
    ),
    size: Flag.Int("size").pipe(
      Flag.withDescription(
        "Of each spatial axis; unless told what the network is meant for, or 64"
      ),
      Flag.withMetavar("n"),
      Flag.optional
    ),
    depth: Flag.Int("depth").pipe(
      Flag.withDescription("Leave out of the table layers that lie deeper"),
      Flag.withMetavar("n"),
      Flag.optional
    ),
    config: Flag.String("config").pipe(
      Flag.withDescription("A JSON file of configuration fields, in place of the preset's"),
      Flag.withMetavar("file.json"),
      Flag.optional
    ),
    set: Flag.KeyValuePair("set").pipe(
      Flag.withDescription("A configuration field, with a value in JSON; may be repeated"),
      Flag.withDefault({} as Record<string, string>)
    ),
    json
  },
  Effect.fnUntraced(function* ({ network: name, size, depth, config, set, json }) {
    const fields = Option.isSome(config) ? yield* fieldsOf(config.value) : {}
    const told: Record<string, unknown> = {}
    for (const [key, text] of Object.entries(set)) told[key] = yield* valueOf(key, text)
    const network = yield* Networks.preset(name, { ...fields, ...told })
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
    "What a network is made of and costs, layer by layer and in total: parameters, and the multiply-accumulates of one image"
  ),
  Command.withShortDescription("What a network is made of and costs"),
  Command.withExamples([
    {
      command: "odeon cost cunet --depth 2",
      description: "The outer layers of the paper's network"
    },
    { command: "odeon cost cunet-public --size 64 --json", description: "Figures for programs" },
    {
      command: `odeon cost cunet --set order=first --set 'integrator={"method":"rk4","steps":2,"adjoint":"direct"}'`,
      description: "With other fields than the preset's"
    }
  ])
)

const networks = Command.make("networks", { json }, ({ json }) =>
  refusing(listNetworks(json))
).pipe(
  Command.withDescription("List the presets, with their parameters"),
  Command.withAlias("list")
)

/**
 * `odeon`, with all its commands.
 *
 * @since 0.1.0
 * @category commands
 */
export const odeon = Command.make("odeon").pipe(
  Command.withDescription("Diffusion models with continuous U-Nets"),
  Command.withSubcommands([cost, networks])
)

/** Errors in one line on stderr, with where to read more: whole pages of help would hide them. */
const output: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(
          `odeon: ${event.errors.map(({ message }) => oneLine(message)).join("; ")} (see ${event.commandPath.join(" ")} --help)`
        )
      : CliOutput.defaultPresenter.present(event)
}

/**
 * Runs the command that the process was given.
 *
 * @since 0.1.0
 * @category running
 */
export const run = (options: { readonly version: string }) =>
  Command.run(odeon, options).pipe(
    Effect.provide([
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
      CliOutput.layerPresenter(output),
      CliOutput.layer({
        ...CliOutput.defaultFormatter(),
        formatError: ({ message }) => `odeon: ${message}`
      })
    ])
  )
