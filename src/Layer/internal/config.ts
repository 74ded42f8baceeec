/** Configurations: what is given, checked against a schema; errors point at the field and say what would work. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Suggestion } from "../../Tensor/index.ts"
import { ConfigError } from "../LayerError.ts"

/** The first thing that is wrong, and where. */
const first = (
  issue: Schema.SchemaError["issue"],
  path: ReadonlyArray<PropertyKey> = []
): { readonly path: ReadonlyArray<PropertyKey>; readonly tag: string } => {
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

/** The fields of the records along a path: those of the schema, and of unions all of them. */
const fieldsAt = (schema: unknown, path: ReadonlyArray<PropertyKey>): ReadonlyArray<string> => {
  const {
    fields,
    members,
    from,
    schema: inner
  } = schema as {
    readonly fields?: Readonly<Record<string, unknown>>
    readonly members?: ReadonlyArray<unknown>
    readonly from?: unknown
    readonly schema?: unknown
  }
  if (fields !== undefined) {
    const [key, ...rest] = path
    return key === undefined ? Object.keys(fields) : fieldsAt(fields[String(key)] ?? {}, rest)
  }
  if (members !== undefined) return members.flatMap((member) => fieldsAt(member, path))
  const below = from ?? inner
  return below === undefined ? [] : fieldsAt(below, path)
}

/** Checks a configuration, and fills in what is left out. */
export const decode = <S extends Schema.Codec<any, any>>(
  what: string,
  schema: S,
  given: unknown
): Effect.Effect<S["Type"], ConfigError> =>
  Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(given).pipe(
    Effect.mapError((error) => {
      const { path, tag } = first(error.issue)
      const at = path.map(String).join(".")
      const [says] = error.message.split("\n")
      const known = fieldsAt(schema, path.slice(0, -1))
      const message =
        tag === "UnexpectedKey" && known.length > 0
          ? `there is no such field; ${Suggestion.sentence(String(path[path.length - 1]), known)}`
          : says
      return new ConfigError({
        what,
        path: at,
        message: `${what}${at === "" ? "" : `: ${at}`}: ${message}`
      })
    })
  ) as Effect.Effect<S["Type"], ConfigError>

/** Throws a `ConfigError` unless a condition holds. */
export const demand = (holds: boolean, what: string, path: string, message: string): void => {
  if (!holds) throw new ConfigError({ what, path, message: `${what}: ${path}: ${message}` })
}

/** Throws a `ConfigError` unless each of some options is a whole number of at least 1. */
export const requireCounts = (what: string, options: Readonly<Record<string, number>>): void => {
  for (const [path, value] of Object.entries(options)) {
    demand(
      Number.isInteger(value) && value > 0,
      what,
      path,
      `must be a whole number of at least 1, not ${value}`
    )
  }
}

/** Throws a `ConfigError` unless each of some numbers of places is a whole number of at least 0. */
export const requirePadding = (what: string, padding: ReadonlyArray<number>): void => {
  for (const each of padding) {
    demand(
      Number.isInteger(each) && each >= 0,
      what,
      "padding",
      `must be whole numbers of at least 0, not ${each}`
    )
  }
}

/** Throws a `ConfigError` unless a norm's ε is 0 or more. */
export const requireEpsilon = (what: string, epsilon: number): void =>
  demand(
    epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY,
    what,
    "epsilon",
    `must be a number of at least 0, such as 1e-5, not ${epsilon}`
  )

/** All whole numbers that a number can be divided by. */
export const divisors = (of: number): ReadonlyArray<number> =>
  Array.from({ length: of }, (_, i) => i + 1).filter((each) => of % each === 0)

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b))

/** Throws a `ConfigError` unless channels divide into groups at all levels, with the numbers of groups into which they do. */
export const requireGroups = (
  what: string,
  groups: number,
  channels: ReadonlyArray<number>
): void => {
  const odd = channels.find((each) => each % groups !== 0)
  if (odd === undefined) return
  const would = divisors(channels.reduce(commonDivisor)).join(", ")
  demand(
    false,
    what,
    "groups",
    `${odd} channels do not divide into ${groups} groups; ${would} would work`
  )
}

/** Throws a `ConfigError` for a spatial size that cannot be halved so many times, with the nearest that can. */
export const requireHalvings = (
  what: string,
  path: string,
  sizes: ReadonlyArray<number>,
  halvings: number
): void => {
  const unit = 2 ** halvings
  for (const size of sizes) {
    const below = Math.floor(size / unit) * unit
    const near = [below, below + unit].filter((each) => each > 0)
    demand(
      Number.isInteger(size) && size > 0 && size % unit === 0,
      what,
      path,
      `a size of ${size} cannot be halved ${halvings} times: multiples of ${unit} can, such as ${near.join(" and ")}`
    )
  }
}
