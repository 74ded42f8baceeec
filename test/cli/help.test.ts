/** Pages of help, held to their word: what they show as examples is understood. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Commands from "../../src/cli/Commands.ts"
import { inFolder, odeon } from "../support/cli.ts"

const { odeon: started } = inFolder()

type Any = Command.Command.Any & {
  readonly examples: ReadonlyArray<{ readonly command: string }>
  readonly subcommands: ReadonlyArray<{ readonly commands: ReadonlyArray<Any> }>
}

/** The commands that have none below them, and how they are called. */
const leaves = (command: Any, above: ReadonlyArray<string> = []): ReadonlyArray<Leaf> => {
  const path = [...above, command.name]
  const below = command.subcommands.flatMap(({ commands }) => commands)
  return below.length === 0
    ? [{ command, path }]
    : below.flatMap((each) => leaves(each as Any, path))
}

interface Leaf {
  readonly command: Any
  readonly path: ReadonlyArray<string>
}

/** What a shell makes of a line: words, without the variables before them and the file after them. */
const words = (line: string): ReadonlyArray<string> =>
  Array.from(
    line.replace(/^(?:\w+=\S* )+| > \S+$/g, "").matchAll(/(?:'[^']*'|[^\s'])+/g),
    ([word]) => word.replaceAll("'", "")
  )

const all = leaves(Commands.odeon as never)

describe("examples", () => {
  for (const { command, path } of all) {
    for (const example of command.examples) {
      it(`${example.command}`, async () => {
        const args = words(example.command)
        expect(args.slice(0, path.length)).toEqual(path)
        let given: unknown
        const spied = Command.withHandler(command as never, (input: unknown) =>
          Effect.sync(() => {
            given = input
          })
        )
        await Command.runWith(spied as Command.Command<string, unknown>, { version: "0.0.0" })(
          args.slice(path.length)
        ).pipe(Effect.provide(NodeServices.layer), Effect.runPromise)
        expect(given).toBeDefined()
      })
    }
  }

  it("are there of all commands that do something", () => {
    const without = all.flatMap(({ command, path }) =>
      command.examples.length === 0 ? [path.slice(1).join(" ")] : []
    )
    expect(without).toEqual(["data list", "networks"])
  })
})

describe("odeon --help", () => {
  it("names the commands, in a process too", async () => {
    const { status, stdout, stderr } = await started(["--help"])
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(stdout).toMatch(/^ {2}cost +What a network/m)
    expect(stdout).toMatch(/^ {2}networks.* List the presets/m)
    for (const { path } of all) expect(stdout).toMatch(new RegExp(`^ {2}${path[1]}`, "m"))
  })

  it.each(all.map(({ path }) => path.slice(1)))(
    "says what each flag is for: %s %s",
    async (...path) => {
      const { status, stdout } = await odeon(...path.filter((each) => each !== undefined), "--help")
      expect(status).toBe(0)
      const flags = stdout.split("\n").filter((line) => /^ {2}--/.test(line))
      expect(flags.length).toBeGreaterThan(0)
      // a name, perhaps what it takes, and a sentence
      for (const line of flags) expect(line).toMatch(/^ {2}--[\w-]+.*? {2,}\S.{8}/)
      for (const line of stdout.split("\n")) expect(line.length).toBeLessThan(200)
    }
  )
})
