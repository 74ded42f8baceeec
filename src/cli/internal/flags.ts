/** Flags that several commands have. */
import * as Os from "node:os"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"

/** Whether something is asked for. */
export const yes = (name: string, description: string) =>
  Flag.Boolean(name).pipe(
    Flag.withDescription(description),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )

/** None at all is what a variable of a shell leaves that is not set. */
const filled = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.filter(
      (value) => value.trim() !== "",
      () => `--${name} must not be empty`
    ),
    Flag.withDescription(description),
    Flag.withMetavar(metavar)
  )

/** A text, if it is told. */
export const text = (name: string, metavar: string, description: string) =>
  Flag.optional(filled(name, metavar, description))

/** A path in which `~` is the home: shells see to that only where nothing such as `--out=` or `mnist:` stands before it. */
export const atHome = (path: string): string =>
  path.replace(/^([\w-]{2,}:)?~(?=$|[/\\])/, (_, kind = "") => kind + Os.homedir())

/** The path of a file or a folder, or a specification of data, if it is told. */
export const path = (name: string, metavar: string, description: string) =>
  Flag.optional(Flag.map(filled(name, metavar, description), atHome))

/** A whole number, if it is told. */
export const whole = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.withMetavar("n"), Flag.optional)

/** A whole number of at least 1, if it is told. */
export const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.filter(
      (value) => value >= 1,
      () => "a whole number of at least 1"
    ),
    Flag.withDescription(description),
    Flag.withMetavar("n"),
    Flag.optional
  )

/** Whether what is printed is for programs. */
export const json = yes("json", "Print JSON")

/** A configuration file, if any. */
export const config = (description: string) => path("config", "file.json", description)

/** Fields of a configuration: texts by path, see `ofSet` of `configuration.ts`. */
export const set = (description: string) =>
  Flag.KeyValuePair("set").pipe(
    Flag.withDescription(description),
    Flag.withDefault({} as Record<string, string>)
  )

/** An option of a function, where it is told. */
export const option = <K extends string, A>(key: K, value: Option.Option<A>) =>
  (Option.isSome(value) ? { [key]: value.value } : {}) as { readonly [_ in K]?: A }

/** A description of several paragraphs, as the pages of help indent the first. */
export const paragraphs = (...all: ReadonlyArray<string>): string =>
  all.map((each) => each.replaceAll(/(.{1,96})(?: |$)/g, "$1\n  ").trim()).join("\n\n  ")
