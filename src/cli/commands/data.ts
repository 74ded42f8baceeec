/** `odeon data` */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Configuration from "../internal/configuration.ts"
import * as Flags from "../internal/flags.ts"
import { pipeline } from "../internal/pipeline.ts"
import { refusing } from "../internal/refusal.ts"
import { downloads } from "../internal/views.ts"

const fetch = Command.make(
  "fetch",
  {
    name: Argument.String("name").pipe(Argument.withDescription("mnist, fashion-mnist or cifar10")),
    to: Flags.path("to", "folder", "Where the files are to be; data/<name> unless told"),
    mirror: Flags.text(
      "mirror",
      "url",
      "A folder on the web with the files, instead of those known"
    )
  },
  Effect.fnUntraced(function* ({ name, to, mirror }) {
    const { Datasets, Files, Progress } = yield* pipeline
    if (Option.isSome(to)) yield* Files.writable(to.value, "folder")
    yield* Datasets.fetch(name, {
      ...Flags.option("folder", to),
      ...Flags.option("from", mirror)
    }).pipe(Progress.autoOf(downloads), Stream.runDrain, Effect.provide(FetchHttpClient.layer))
  }, refusing)
).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Fetch a data set that is published. What is interrupted goes on where it was; a file has its name when it is whole and right."
    )
  ),
  Command.withShortDescription("Fetch a data set that is published"),
  Command.withExamples([
    { command: "odeon data fetch mnist", description: "To data/mnist, where it is looked for" },
    {
      command: "odeon data fetch cifar10 --to /data/cifar10",
      description: "Then train with --data cifar10:/data/cifar10"
    }
  ])
)

/** How many items are looked at, of data without an end. */
const some = 1000

const show = Command.make(
  "show",
  {
    spec: Argument.String("spec").pipe(
      Argument.withDescription(
        "Such as digits, mnist:path or faces.npz; odeon data list tells all"
      ),
      Argument.map(Flags.atHome)
    ),
    set: Flags.set("An option of the data, such as size=32 or split=test; may be repeated"),
    count: Flags.count(
      "count",
      `How many items to look at: all unless told, or ${some} of data without an end`
    ),
    grid: Flags.path("grid", "file.png", "Draw the first 64 items there"),
    json: Flags.json
  },
  Effect.fnUntraced(function* ({ spec, set, count, grid, json }) {
    const { Dataset, Datasets, Files, Images } = yield* pipeline
    if (Option.isSome(grid)) yield* Files.writable(grid.value, "file")
    const told = yield* Configuration.ofSet(set)
    const { fields } = told.reduce(Configuration.put, { fields: { name: spec }, origins: {} })
    const data = yield* Datasets.open(fields as never)
    const endless = data.size === Number.POSITIVE_INFINITY
    const looked = Math.min(
      data.size,
      Option.getOrElse(count, () => (endless ? some : data.size))
    )
    const seen = yield* Stream.runFold(
      Dataset.sequence(data, { batch: Math.min(500, looked), count: looked }),
      () => ({
        least: Number.POSITIVE_INFINITY,
        most: Number.NEGATIVE_INFINITY,
        counts: data.classes?.map(() => 0)
      }),
      (all, { data: { data: values }, labels }) => {
        for (const value of values) {
          if (value < all.least) all.least = value
          if (value > all.most) all.most = value
        }
        for (const label of labels?.data ?? []) if (all.counts) all.counts[label]++
        return all
      }
    )
    if (Option.isSome(grid)) {
      const first = yield* Stream.runHead(
        Dataset.sequence(data, { batch: Math.min(64, looked), count: Math.min(64, looked) })
      )
      const images = Option.getOrThrow(first).data
      yield* Images.write(grid.value, yield* Images.grid(images))
    }
    const { least, most, counts } = seen
    if (json) {
      return yield* Console.log(
        JSON.stringify({
          name: data.name,
          size: endless ? null : data.size,
          shape: data.shape,
          looked,
          range: [least, most],
          classes: data.classes?.map((name, i) => ({ name, count: counts?.[i] })) ?? null
        })
      )
    }
    const widest = Math.max(0, ...(data.classes ?? []).map((name) => name.length))
    const whole = looked === data.size ? "" : ` of the first ${looked.toLocaleString("en-US")}`
    return yield* Console.log(
      [
        data.name,
        `items   ${endless ? "without an end" : data.size.toLocaleString("en-US")}`,
        `shape   ${data.shape.join(" × ")}`,
        `values  ${least.toPrecision(4)} to ${most.toPrecision(4)}${whole}`,
        `classes ${data.classes?.length ?? "none"}${data.classes === undefined ? "" : whole}`,
        ...(data.classes ?? []).map(
          (name, i) => `  ${name.padEnd(widest)}  ${counts?.[i].toLocaleString("en-US")}`
        )
      ].join("\n")
    )
  }, refusing)
).pipe(
  Command.withDescription("What a data set holds: how many items, their shape, values and classes"),
  Command.withExamples([
    { command: "odeon data show digits --grid digits.png", description: "With a picture of some" },
    {
      command: "odeon data show images:photos --set size=64",
      description: "As a training with these options would see them"
    }
  ])
)

const list = Command.make(
  "list",
  { json: Flags.json },
  Effect.fnUntraced(function* ({ json }) {
    const { Datasets } = yield* pipeline
    const rows = Object.entries(Datasets.kinds).map(([name, { about, path, options }]) => ({
      name,
      path,
      about,
      options
    }))
    if (json) return yield* Console.log(JSON.stringify(rows))
    const written = {
      needed: (name: string) => `${name}:path`,
      optional: (name: string) => `${name}[:path]`,
      none: (name: string) => name
    }
    const words = rows.map(({ name, path }) => written[path](name))
    const widest = Math.max(...words.map((word) => word.length))
    return yield* Console.log(
      rows
        .map(
          ({ about, options }, i) =>
            `${words[i].padEnd(widest)}  ${about}\n${" ".repeat(widest)}  options: ${options.join(", ")}`
        )
        .join("\n")
    )
  }, refusing)
).pipe(Command.withDescription("List the kinds of data, and what may be told of each"))

export const data = Command.make("data").pipe(
  Command.withDescription("Fetch data, and look at them"),
  Command.withSubcommands([list, show, fetch])
)
