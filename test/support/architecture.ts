/**
 * The rules that keep the rooms of `src` apart, and the checker that applies them.
 *
 * It reads import statements with regular expressions, which is safe because the formatter puts
 * each of them at the start of a line; lines of documentation comments start with ` *`.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** A file of the library: its path from the root of the repository, with `/`, and its text. */
export interface Source {
  readonly path: string
  readonly text: string
}

/** What a file imports (or re-exports), and how. */
export interface Import {
  readonly specifier: string
  /**
   * `value` runs when the file is loaded; `type` is erased; `lazy` is an `import()`. Only the
   * first can make a loading cycle. `import { type X }` is a `value`: it keeps its side effect.
   */
  readonly kind: "value" | "type" | "lazy"
}

/** What the files of a room may import. */
export interface Room {
  readonly rooms: ReadonlyArray<string>
  /** `any` stands for every declared dependency and Node's own modules. */
  readonly packages: "any" | ReadonlyArray<string>
}

/** The rooms, from left to right. */
export const rooms: Readonly<Record<string, Room>> = {
  Tensor: { rooms: [], packages: ["effect"] },
  Device: { rooms: ["Tensor"], packages: "any" },
  Solver: { rooms: ["Tensor"], packages: ["effect"] },
  Layer: { rooms: ["Tensor", "Solver"], packages: ["effect"] },
  Diffusion: { rooms: ["Tensor", "Solver"], packages: ["effect"] },
  Laws: {
    rooms: ["Tensor", "Device", "Solver", "Layer", "Diffusion"],
    packages: ["effect", "fast-check"]
  },
  Pipeline: { rooms: ["Tensor", "Device", "Solver", "Layer", "Diffusion"], packages: "any" },
  cli: { rooms: ["Pipeline"], packages: "any" }
}

const statement =
  /^(?:import|export)\s+(?:(type)\s+)?(?:(?:[\w$]+\s*,\s*)?(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\}|[\w$]+)\s*from\s*)?["']([^"'\n]+)["']/gm

const call = /(?<!\/\/.*|^\s*\/?\*.*)\bimport\(\s*["']([^"'\n]+)["']/gm

/** Everything a file imports, in order: statements first, then `import()`. */
export const importsOf = (text: string): ReadonlyArray<Import> => [
  ...Array.from(text.matchAll(statement), (match) => ({
    specifier: match[2],
    kind: match[1] === "type" ? ("type" as const) : ("value" as const)
  })),
  ...Array.from(text.matchAll(call), (match) => ({ specifier: match[1], kind: "lazy" as const }))
]

const packageOf = (specifier: string): string =>
  specifier.startsWith("node:")
    ? "node:"
    : specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/")

const roomOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1]

/**
 * The breaches of the rules among some files, one sentence each; none when all is well.
 *
 * `dependencies` are the packages that an installed Odeon can count on.
 */
export const check = (
  sources: ReadonlyArray<Source>,
  dependencies: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const breaches: Array<string> = []
  const graph = new Map<string, Array<string>>(sources.map(({ path }) => [path, []]))
  for (const { path, text } of sources) {
    const name = roomOf(path)
    const room = name === undefined ? undefined : rooms[name]
    if (room === undefined && path !== "src/index.ts") {
      breaches.push(`${path}: is in none of the rooms (${Object.keys(rooms).join(", ")})`)
      continue
    }
    for (const { specifier, kind } of importsOf(text)) {
      const breach = (reason: string) => breaches.push(`${path}: imports "${specifier}", ${reason}`)
      if (!specifier.startsWith(".")) {
        const name_ = packageOf(specifier)
        if (room !== undefined && room.packages !== "any" && !room.packages.includes(name_)) {
          breach(`but ${name} may use ${room.packages.join(", ")} only`)
        } else if (name_ !== "node:" && !dependencies.includes(name_)) {
          breach("which is not a dependency in package.json")
        }
        if (/^(?:effect|@effect\/[^/]+)$/.test(specifier)) {
          breach(`the barrel: import the module, "${specifier}/…"`)
        }
        continue
      }
      if (!specifier.endsWith(".ts")) {
        breach("but relative imports end in .ts")
        continue
      }
      const target = Path.posix.join(Path.posix.dirname(path), specifier)
      const targetRoom = roomOf(target)
      if (!graph.has(target)) {
        breach("which is not a file of src")
        continue
      }
      if (targetRoom !== name) {
        if (targetRoom === undefined) {
          breach("but no room imports the whole library")
        } else if (room !== undefined && !room.rooms.includes(targetRoom)) {
          breach(
            `but ${name} may import ${room.rooms.length === 0 ? "no other room" : room.rooms.join(", ")}`
          )
        }
        if (target.includes("/internal/")) {
          breach("which is internal to another room")
        }
      }
      if (kind === "value") graph.get(path)?.push(target)
    }
  }
  return [...breaches, ...cyclesOf(graph).map((cycle) => `${cycle.join(" → ")}: is a cycle`)]
}

/** One cycle, as the path that closes it, for each edge that leads back into a walk in depth. */
export const cyclesOf = (
  graph: ReadonlyMap<string, ReadonlyArray<string>>
): ReadonlyArray<ReadonlyArray<string>> => {
  const cycles: Array<ReadonlyArray<string>> = []
  const done = new Set<string>()
  const walk: Array<string> = []
  const visit = (node: string): void => {
    if (done.has(node)) return
    const start = walk.indexOf(node)
    if (start >= 0) {
      cycles.push([...walk.slice(start), node])
      return
    }
    walk.push(node)
    for (const next of graph.get(node) ?? []) visit(next)
    walk.pop()
    done.add(node)
  }
  for (const node of graph.keys()) visit(node)
  return cycles
}

/** The files of the library, read from the disk. */
export const read = (root: string): ReadonlyArray<Source> =>
  Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((file) => `src/${file.replaceAll(Path.sep, "/")}`)
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .map((path) => ({ path, text: Fs.readFileSync(Path.join(root, path), "utf8") }))
