/** Flags that several commands have. */
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"

/** Whether something is asked for. */
export const yes = (name: string, description: string) =>
  Flag.Boolean(name).pipe(
    Flag.withDescription(description),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )

/** A text, if it is told; none at all is what a variable of a shell leaves that is not set. */
export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.filter(
      (value) => value.trim() !== "",
      () => `--${name} must not be empty`
    ),
    Flag.withDescription(description),
    Flag.withMetavar(metavar),
    Flag.optional
  )

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
export const config = (description: string) => text("config", "file.json", description)

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
