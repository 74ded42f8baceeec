/** Configurations: what is given, checked against a schema; errors point at the field and say what would work. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Suggestion } from "../../Tensor/index.ts"
import { TrainError } from "../PipelineError.ts"

/** A field that may be left out. */
export const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value as never)))

/** A name, or a record of it and of options, which are checked by whoever knows the name. */
export const NamedOptions = Schema.Union([
  Schema.String,
  Schema.StructWithRest(Schema.Struct({ name: Schema.String }), [
    Schema.Record(Schema.String, Schema.Unknown)
  ])
])

export type NamedOptions = typeof NamedOptions.Type

/** The name, and its options. */
export const apart = (
  named: NamedOptions
): { readonly name: string; readonly options: Readonly<Record<string, unknown>> } => {
  if (typeof named === "string") return { name: named, options: {} }
  const { name, ...options } = named
  return { name, options }
}

/** The parts of schemas that are looked at here. */
interface Parts {
  readonly fields?: Readonly<Record<string, Parts>>
  readonly members?: ReadonlyArray<Parts>
  readonly literal?: unknown
  /** Of lists and of records of any names. */
  readonly value?: Parts
  readonly from?: Parts
  readonly schema?: Parts
}

type Path = ReadonlyArray<PropertyKey>

/** The first thing that is wrong, and where. */
const first = (
  issue: Schema.SchemaError["issue"],
  path: Path = []
): { readonly path: Path; readonly tag: string } => {
  switch (issue._tag) {
    case "Pointer":
      return first(issue.issue, [...path, ...issue.path])
    case "Composite":
    case "AnyOf":
      // of several ways, the one that came furthest
      return issue.issues
        .map((each) => first(each, path))
        .reduce((a, b) => (b.path.length > a.path.length ? b : a), { path, tag: issue._tag })
    case "Encoding":
      return first(issue.issue, path)
    default:
      return { path, tag: issue._tag }
  }
}

const property = (value: unknown, key: PropertyKey): unknown =>
  typeof value === "object" && value !== null ? value[key as never] : undefined

/** The names of the records of a union that are told apart by `name`. */
const namesOf = (schema: Parts): ReadonlyArray<string> =>
  (schema.members ?? []).flatMap(({ fields }) =>
    typeof fields?.name?.literal === "string" ? [fields.name.literal] : []
  )

/** The words that a union knows. */
const wordsOf = ({ members, literal }: Parts): ReadonlyArray<string> =>
  typeof literal === "string" ? [literal] : (members ?? []).flatMap(wordsOf)

/** The schema without what is wrapped around it; of a union, the record whose name is given. */
const within = (schema: Parts, given: unknown): Parts => {
  const { members, from, schema: inner } = schema
  const named = members?.find(
    ({ fields }) =>
      fields?.name?.literal !== undefined && fields.name.literal === property(given, "name")
  )
  const below = named ?? from ?? inner
  return below === undefined || schema.fields !== undefined ? schema : within(below, given)
}

/** The schema and the value along a path. */
const at = (schema: Parts, given: unknown, path: Path): readonly [Parts, unknown] => {
  const here = within(schema, given)
  const [key, ...rest] = path
  return key === undefined
    ? [here, given]
    : at(here.fields?.[String(key)] ?? here.value ?? {}, property(given, key), rest)
}

/** The fields of a record, and of a union of records all of them. */
const fieldsOf = ({ fields, members }: Parts): ReadonlyArray<string> =>
  fields === undefined ? (members ?? []).flatMap(fieldsOf) : Object.keys(fields)

const show = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? Array.isArray(value)
      ? "a list"
      : "a record"
    : typeof value === "string"
      ? JSON.stringify(value)
      : String(value)

/** What is wrong, in words. */
const sentence = (
  schema: Parts,
  given: unknown,
  { path, tag }: { readonly path: Path; readonly tag: string },
  says: string
): string => {
  const last = path[path.length - 1]
  if (tag === "UnexpectedKey") {
    const known = fieldsOf(at(schema, given, path.slice(0, -1))[0])
    return known.length === 0
      ? says
      : `there is no such field; ${Suggestion.sentence(String(last), known)}`
  }
  if (tag === "MissingKey") return "is missing"
  const [here, value] = at(schema, given, path)
  const names = namesOf(here)
  if (tag === "AnyOf" && names.length > 0) {
    const name = property(value, "name")
    if (typeof value !== "object" || value === null)
      return `must be a record such as { "name": ${show(names[0])} }, not ${show(value)}`
    return name === undefined
      ? `it needs a name; known are ${names.join(", ")}`
      : `there is no ${show(name)}; ${Suggestion.sentence(String(name), names)}`
  }
  const words = wordsOf(here)
  if (typeof value === "string" && words.length > 0) {
    return `there is no ${show(value)}; ${Suggestion.sentence(value, words)}`
  }
  const wanted = says
    .replace(/^Expected /, "")
    .replace(" | undefined", "")
    .replace(/^(?=number|string|boolean)/, "a ")
    .replace(/^(?=array|object)/, "an ")
  return `must be ${wanted}, not ${show(value)}`
}

const decodeResult = <S extends Schema.Codec<any, any>>(
  what: string,
  schema: S,
  given: unknown
): Result.Result<S["Type"], TrainError> =>
  Result.mapError(
    Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })(given),
    ({ issue, message }) => {
      const problem = first(issue)
      const [says] = message.split("\n")
      const where = problem.path.map(String).join(".")
      return new TrainError({
        reason: "options",
        message: `${what}${where === "" ? "" : `: ${where}`}: ${sentence(schema as unknown as Parts, given, problem, says)}`
      })
    }
  )

/**
 * A configuration of a schema, with what is left out filled in. Throws `TrainError` for the first field that is not known, is missing or
 * is of another kind.
 */
export const decodeUnsafe = <S extends Schema.Codec<any, any>>(
  what: string,
  schema: S,
  given: unknown
): S["Type"] => Result.getOrThrow(decodeResult(what, schema, given))

/** As {@link decodeUnsafe}, but fails with the error. */
export const decode = <S extends Schema.Codec<any, any>>(
  what: string,
  schema: S,
  given: unknown
): Effect.Effect<S["Type"], TrainError> =>
  Effect.suspend(() => Effect.fromResult(decodeResult(what, schema, given)))

/** Throws a `TrainError` unless a condition holds. */
export const demand = (holds: boolean, what: string, message: string): void => {
  if (!holds) throw new TrainError({ reason: "options", message: `${what}: ${message}` })
}

/** What numbers may be. */
const kinds = {
  positive: ["a number above 0", (x: number) => x > 0 && x < Number.POSITIVE_INFINITY],
  natural: ["a number of at least 0", (x: number) => x >= 0 && x < Number.POSITIVE_INFINITY],
  /** A weight of what was. */
  weight: ["a number of at least 0 and below 1", (x: number) => x >= 0 && x < 1],
  fraction: ["a number from 0 to 1", (x: number) => x >= 0 && x <= 1],
  count: ["a whole number of at least 1", (x: number) => Number.isSafeInteger(x) && x >= 1],
  updates: ["a whole number of at least 0", (x: number) => Number.isSafeInteger(x) && x >= 0]
} as const satisfies Record<string, readonly [string, (x: number) => boolean]>

/** Throws a `TrainError` unless each of some options is of a kind. */
export const requireAll = (
  what: string,
  kind: keyof typeof kinds,
  options: Readonly<Record<string, number>>
): void => {
  const [wanted, holds] = kinds[kind]
  for (const [name, value] of Object.entries(options)) {
    demand(
      typeof value === "number" && holds(value),
      what,
      `\`${name}\` must be ${wanted}, not ${value}`
    )
  }
}
