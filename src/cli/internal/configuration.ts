/**
 * Configurations from several sources: fields by their paths, such as `network.width`, what comes later over what came before.
 *
 * Where a name alone stands for a record, a path into it makes the record: `network.width=8` over `"cunet"` is
 * `{ "name": "cunet", "width": 8 }`; and a name over a record begins a new one.
 */
import type * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Fields, isFields, valueOf } from "./fields.ts"
import { refuse } from "./refusal.ts"

/** A field, and where it comes from, for people. */
export interface Told {
  readonly path: ReadonlyArray<string>
  readonly value: unknown
  readonly from: string
}

export interface Configuration {
  readonly fields: Fields
  /** Where fields come from, by their paths, written with dots; what is told of a record holds for all in it that is not told apart. */
  readonly origins: Readonly<Record<string, string>>
}

const setAt = (given: unknown, [key, ...rest]: ReadonlyArray<string>, value: unknown): unknown => {
  if (key === undefined) {
    return typeof value === "string" && isFields(given) && "name" in given ? { name: value } : value
  }
  const record = typeof given === "string" ? { name: given } : isFields(given) ? given : {}
  return { ...record, [key]: setAt(record[key], rest, value) }
}

/** A configuration with one field more. */
export const put = (
  { fields, origins }: Configuration,
  { path, value, from }: Told
): Configuration => {
  const name = path.join(".")
  const kept = Object.entries(origins).filter(
    ([each]) => each !== name && !each.startsWith(`${name}.`)
  )
  return {
    fields: setAt(fields, path, value) as Fields,
    origins: { ...Object.fromEntries(kept), [name]: from }
  }
}

/** Where the field at a path comes from, if anybody told it. */
export const originOf = (
  { origins }: Pick<Configuration, "origins">,
  path: ReadonlyArray<string>
): string | undefined => {
  for (let i = path.length; i > 0; i--) {
    const found = origins[path.slice(0, i).join(".")]
    if (found !== undefined) return found
  }
  return undefined
}

/** All fields that are not records themselves, by their paths. */
export const leaves = (
  value: unknown,
  path: ReadonlyArray<string> = []
): ReadonlyArray<readonly [path: ReadonlyArray<string>, value: unknown]> =>
  isFields(value) && Object.keys(value).length > 0
    ? Object.entries(value).flatMap(([key, each]) => leaves(each, [...path, key]))
    : [[path, value]]

/** Less deep paths first, so that what is told of a record does not undo what is told of its fields. */
const byDepth = (all: ReadonlyArray<Told>): ReadonlyArray<Told> =>
  all.toSorted((a, b) => a.path.length - b.path.length)

/** The fields of a file. */
export const ofFile = (fields: Fields, from: string): ReadonlyArray<Told> =>
  Object.entries(fields).map(([key, value]) => ({ path: [key], value, from }))

/** `DROP_LABELS` → `dropLabels` */
const camel = (name: string): string =>
  name.toLowerCase().replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** The variables of an environment that begin so: two underscores stand for a dot, one for a capital letter. An empty one tells nothing. */
export const ofEnvironment = (
  prefix: string,
  environment: Readonly<Record<string, string | undefined>>
): Effect.Effect<ReadonlyArray<Told>, CliError.UserError> =>
  Effect.map(
    Effect.forEach(
      Object.entries(environment).filter(([name, text]) => name.startsWith(prefix) && text),
      ([name, text = ""]) =>
        Effect.map(
          valueOf(name, text),
          (value): Told => ({
            path: name.slice(prefix.length).split("__").map(camel),
            value,
            from: name
          })
        )
    ),
    byDepth
  )

/** What is told by flags that are called as fields are. */
export const ofFlags = <K extends string>(
  given: Readonly<Record<K, Option.Option<unknown>>>,
  names: ReadonlyArray<K>
): ReadonlyArray<Told> =>
  names.flatMap((name) =>
    Option.match(given[name], {
      onNone: () => [],
      onSome: (value) => [{ path: [name], value, from: `--${name}` }]
    })
  )

/** What is told by `--set`. */
export const ofSet = (
  set: Readonly<Record<string, string>>
): Effect.Effect<ReadonlyArray<Told>, CliError.UserError> =>
  Effect.map(
    Effect.forEach(Object.entries(set), ([name, text]) => {
      const from = `--set ${name}`
      const path = name.split(".")
      return path.includes("")
        ? Effect.fail(refuse(`${from}: a path is written like network.width`))
        : Effect.map(valueOf(from, text), (value): Told => ({ path, value, from }))
    }),
    byDepth
  )

/** What is told by `--set` of one field, and of the others. */
export const parted = (
  set: Readonly<Record<string, string>>,
  field: string
): readonly [own: Readonly<Record<string, string>>, rest: Readonly<Record<string, string>>] => {
  const isOwn = ([path]: readonly [string, string]) => path.split(".")[0] === field
  const all = Object.entries(set)
  return [
    Object.fromEntries(all.filter(isOwn)),
    Object.fromEntries(all.filter((each) => !isOwn(each)))
  ]
}

/** Names the source of what a schema refuses, as in `what: path: why`. */
export const naming =
  (what: string, configuration: Configuration) =>
  ({ message }: { readonly message: string }): CliError.UserError => {
    const [, path = "", why] = new RegExp(`^${what}: ([\\w.-]+): (.*)$`, "s").exec(message) ?? []
    const from =
      originOf(configuration, path.split(".")) ??
      Object.entries(configuration.origins).find(([each]) => each.startsWith(`${path}.`))?.[1]
    return refuse(from === undefined ? message : `${path}: ${why} (told by ${from})`)
  }

/** A configuration for people, and where each value comes from: what nobody told is a default. */
export const show = (complete: Fields, configuration: Configuration): string => {
  const rows = leaves(complete).map(([path, value]) => [
    path.join("."),
    JSON.stringify(value),
    originOf(configuration, path) ?? "default"
  ])
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)))
  return rows
    .map(([path, value, from]) => `${path.padEnd(widths[0])}  ${value.padEnd(widths[1])}  ${from}`)
    .join("\n")
}
