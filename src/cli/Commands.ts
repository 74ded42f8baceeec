/**
 * The command line: what it takes and prints. `main.ts` runs it.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import { cost } from "./commands/cost.ts"
import { data } from "./commands/data.ts"
import { denoise } from "./commands/denoise.ts"
import { devices } from "./commands/devices.ts"
import { evaluate } from "./commands/evaluate.ts"
import { networks } from "./commands/networks.ts"
import { quickstart } from "./commands/quickstart.ts"
import { report } from "./commands/report.ts"
import { sample } from "./commands/sample.ts"
import { train } from "./commands/train.ts"
import * as Flags from "./internal/flags.ts"
import { oneLine } from "./internal/refusal.ts"

/**
 * `odeon`, with all its commands.
 *
 * @since 0.1.0
 * @category commands
 */
export const odeon = Command.make("odeon").pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Diffusion models with continuous U-Nets.",
      "Exit codes: 0 all went well; 1 it failed, which a line on stderr explains; 130, 143 or 129 it was interrupted, by Ctrl-C, SIGTERM or the end of its terminal; 141 the reader of its output left."
    )
  ),
  Command.withShortDescription("Diffusion models with continuous U-Nets"),
  Command.withSubcommands([
    quickstart,
    train,
    sample,
    evaluate,
    denoise,
    report,
    data,
    cost,
    networks,
    devices
  ])
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
