/** Runs that commands are given. */
import * as Os from "node:os"
import * as Argument from "effect/cli/Argument"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Configuration from "./configuration.ts"
import { pipeline } from "./pipeline.ts"
import { refuse } from "./refusal.ts"

/** A run, and what it is called. */
export interface Run {
  readonly folder: string
  readonly name: string
}

/** One run or several. */
export const argument = (what: string) =>
  Argument.String("run").pipe(Argument.withDescription(what), Argument.variadic({ min: 1 }))

/** Called as their folders are, or by their paths where folders have the same name. Fails where a run is given twice. */
export const named = Effect.fnUntraced(function* (folders: ReadonlyArray<string>) {
  const paths = yield* Path.Path
  const whole = folders.map((folder) => paths.resolve(folder))
  const twice = whole.findIndex((path, i) => whole.indexOf(path) < i)
  if (twice >= 0) return yield* refuse(`${folders[twice]} is given twice`)
  const last = whole.map((path) => paths.basename(path))
  return folders.map((folder, i): Run => {
    const alone = last.every((name, j) => j === i || name !== last[i])
    return { folder, name: alone ? last[i] : folder }
  })
})

/**
 * Those into whose folders goes what is found of them. Fails where that could not be written there, so that this is known before the work.
 */
export const written = Effect.fnUntraced(function* (runs: ReadonlyArray<Run>) {
  const { Files } = yield* pipeline
  const own = yield* Effect.filter(runs, ({ folder }) => isRun(folder))
  for (const { folder } of own) yield* Files.writable(folder, "folder")
  return own
})

/** Whether a folder is a run's, rather than a checkpoint's, to which nothing is added. */
export const isRun = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  return yield* Effect.orElseSucceed(files.exists(join(folder, "checkpoints")), () => false)
})

/** The data that are told or, where none are, those that the first run learnt, whose path is that of where it was trained. */
export const dataOf = Effect.fnUntraced(function* (
  [{ folder }]: ReadonlyArray<Run>,
  given: {
    readonly data: Option.Option<string>
    /** Fields of `data` alone. */
    readonly set: Readonly<Record<string, string>>
    readonly fallback: boolean
  }
) {
  const { Evaluate } = yield* pipeline
  const { data, set, fallback } = given
  const own = Option.isSome(data) ? {} : { data: yield* Evaluate.dataOf(folder, { fallback }) }
  const told = [...Configuration.ofFlags(given, ["data"]), ...(yield* Configuration.ofSet(set))]
  const { fields } = told.reduce(Configuration.put, { fields: own, origins: {} })
  const open = Evaluate.open(fields.data as never)
  return yield* told.length > 0
    ? open
    : Effect.mapError(open, ({ message }) =>
        refuse(
          `${message} (what ${folder} learnt; --data or --set data.name tells where that is now)`
        )
      )
})

/** Where what can be made again is kept, as the system has it. */
export const cache = Effect.map(Path.Path, ({ join }) => {
  const { LOCALAPPDATA, XDG_CACHE_HOME } = process.env
  const home =
    process.platform === "darwin"
      ? join(Os.homedir(), "Library", "Caches")
      : process.platform === "win32"
        ? (LOCALAPPDATA ?? join(Os.homedir(), "AppData", "Local"))
        : XDG_CACHE_HOME || join(Os.homedir(), ".cache")
  return join(home, "odeon")
})
