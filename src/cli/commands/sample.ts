/** `odeon sample` */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import type { Images, Model } from "../../Pipeline/index.ts"
import * as Flags from "../internal/flags.ts"
import { onDevice, pipeline } from "../internal/pipeline.ts"
import { refuse, refusing } from "../internal/refusal.ts"
import * as Sampling from "../internal/sampling.ts"
import { samples } from "../internal/views.ts"

const flags = {
  from: Argument.String("from").pipe(Argument.withDescription("A run's folder, or a checkpoint's")),
  count: Flags.count("count", "How many; 16 unless told"),
  batch: Flags.count("batch", "How many at once; 64 unless told, or all where they are fewer"),
  seed: Flags.whole(
    "seed",
    "Of the noise; 0 unless told. An item depends on it and its number alone"
  ),
  ...Sampling.flags,
  label: Flags.whole("label", "The class of all items, from 0 on; one after the other unless told"),
  ...Sampling.weights,
  out: Flags.path(
    "out",
    "folder",
    "Where the PNG files go, and grid.png of the first 64, a column for each class; samples unless told"
  ),
  grid: Flags.path("grid", "file.png", "Draw all items there, and write no other files"),
  strip: Flags.path(
    "strip",
    "file.png",
    "Draw the denoising of the first 8 items there, a row each"
  ),
  animation: Flags.path(
    "animation",
    "file.webp",
    "The same as a moving picture, of the first 64 items"
  ),
  quiet: Flags.yes("quiet", "Print nothing but errors")
}

type Given = Command.Command.Config.Infer<typeof flags>

/** Some items of the first batches. */
const gathered = (limit: number) => {
  const parts: Array<Images.Images> = []
  let count = 0
  return {
    add: ({ images }: Model.Samples) => {
      if (count === limit) return
      const part = head(images, limit - count)
      parts.push(part)
      count += part.shape[0]
    },
    get: (): Images.Images => {
      const [{ shape }] = parts
      const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0))
      let at = 0
      for (const part of parts) {
        data.set(part.data, at)
        at += part.data.length
      }
      return { dtype: "float32", shape: [count, ...shape.slice(1)], data }
    }
  }
}

/** The first so many images, copied. */
const head = ({ shape: [items, ...rest], data }: Images.Images, most: number): Images.Images => {
  const count = Math.min(items, most)
  const each = data.length / items
  return { dtype: "float32", shape: [count, ...rest], data: data.slice(0, count * each) }
}

/** Fails where a training, or a sampling, that diverged gave no pictures. */
const checkFinite = (from: string, { shape: [items], data }: Images.Images, first = 0) => {
  const odd = data.findIndex((value) => !Number.isFinite(value))
  return odd < 0
    ? Effect.void
    : refuse(
        `${from}: item ${first + Math.floor((odd * items) / data.length)} has the value ${data[odd]}: its training diverged, or this sampling; take an earlier checkpoint, or another sampler or more steps`
      )
}

/** What names may end in, which is found out before the work and not after it. */
const endings = {
  grid: [".png", ".webp", ".jpg", ".jpeg"],
  strip: [".png", ".webp", ".jpg", ".jpeg"],
  animation: [".webp", ".gif"]
} as const

const run = Effect.fnUntraced(function* (given: Given) {
  const { Files, Images, Model, Progress } = yield* pipeline
  const paths = yield* Path.Path
  for (const [name, known] of Object.entries(endings)) {
    const path = Option.getOrUndefined(given[name as keyof typeof endings])
    if (path !== undefined && !known.some((ending) => path.toLowerCase().endsWith(ending))) {
      return yield* refuse(`--${name}: ${path} does not end in ${known.join(", ")}`)
    }
    if (path !== undefined) yield* Files.writable(path, "file")
  }
  const folder = Option.getOrElse(given.out, () => "samples")
  const single = Option.isSome(given.grid) && Option.isNone(given.out)
  // nothing else is asked for
  const only =
    (Option.isSome(given.strip) || Option.isSome(given.animation)) &&
    Option.isNone(given.out) &&
    Option.isNone(given.grid)
  if (!single && !only) yield* Files.writable(folder, "folder")
  const how = yield* Sampling.asked(given)
  const model = yield* Model.load(given.from, {
    fallback: given.fallback,
    ...Flags.option("average", given.weights)
  })
  const { shape, classes } = model
  if (shape.length !== 3) {
    return yield* refuse(
      `${given.from}: its items are [${shape.join(", ")}], which are no pictures; take Model.samples of odeon/Pipeline`
    )
  }
  const label = Option.getOrUndefined(given.label)
  if (label !== undefined && !(label >= 0 && label < (classes ?? 0))) {
    return yield* refuse(
      classes === undefined
        ? "--label: the network knows no classes: leave it out"
        : `--label: it is a class from 0 to ${classes - 1}, not ${label}`
    )
  }
  if (Option.isSome(given.guidance) && classes === undefined) {
    return yield* refuse("--guidance: the network knows no classes: leave it out")
  }
  const count = Option.getOrElse(given.count, () => 16)
  const seed = Option.getOrElse(given.seed, () => 0)
  const batch = Option.getOrElse(given.batch, () => Math.min(64, count))
  const options = { seed, count, ...(label === undefined ? {} : { label: () => label }) }
  const columns = label === undefined ? Model.columnsOf(model) : undefined
  const layout = columns === undefined ? {} : { columns }
  const say = (text: string) => (given.quiet ? Effect.void : Console.log(text))
  const sampling = yield* Model.sampling(model, { ...how, batch })

  if (Option.isSome(given.strip) || Option.isSome(given.animation)) {
    const frames: Array<Images.Images> = []
    yield* Stream.runForEach(sampling.steps(options), ({ data }) =>
      Effect.map(checkFinite(given.from, data), () => frames.push(head(data, 64)))
    )
    if (Option.isSome(given.strip)) {
      const rows = frames.map((frame) => head(frame, 8))
      yield* Images.write(given.strip.value, yield* Images.strip(rows, { steps: 12 }))
      yield* say(`strip ${given.strip.value}`)
    }
    if (Option.isSome(given.animation)) {
      yield* Images.writeAnimation(given.animation.value, frames, layout)
      yield* say(`animation ${given.animation.value}`)
    }
    if (only) return
  }

  const shown = gathered(Option.isSome(given.grid) ? count : 64)
  const all = sampling.samples(options).pipe(
    Stream.tap((each) =>
      Effect.andThen(
        Effect.map(checkFinite(given.from, each.images, each.first), () => shown.add(each)),
        single
          ? Effect.void
          : Effect.asVoid(Images.writeAll(folder, each.images, { first: each.first }))
      )
    )
  )
  yield* Stream.runDrain(given.quiet ? all : Progress.autoOf(samples(count))(all))
  const grid = Option.getOrElse(given.grid, () => paths.join(folder, "grid.png"))
  yield* Images.write(grid, yield* Images.grid(shown.get(), layout))
  if (!single) {
    const others = (yield* Files.list(folder)).filter(
      (name) => /^\d{6,}\.png$/.test(name) && Number.parseInt(name, 10) >= count
    )
    const beside = others.length === 0 ? "" : `, beside ${others.length} that were there before`
    yield* say(`${count} PNG ${count === 1 ? "file" : "files"} in ${folder}${beside}`)
  }
  yield* say(`grid ${grid}`)
})

export const sample = Command.make("sample", flags, (given) => refusing(onDevice(run(given)))).pipe(
  Command.withDescription(
    Flags.paragraphs(
      "Make samples with a trained network: PNG files and a grid of them, or the denoising as a strip or a moving picture"
    )
  ),
  Command.withShortDescription("Make samples with a trained network"),
  Command.withExamples([
    {
      command: "odeon sample runs/digits-cunet-small --count 64",
      description: "To the folder samples"
    },
    {
      command:
        "odeon sample runs/mnist --sampler ddim --set sampler.eta=0.5 --steps 50 --grid grid.png",
      description: "One picture, by another sampler"
    },
    {
      command: "odeon sample runs/mnist --count 8 --strip strip.png --animation denoising.webp",
      description: "How it comes about"
    },
    {
      command: "odeon sample runs/mnist/checkpoints/step-00002000 --weights weights --seed 7",
      description: "An earlier checkpoint, without averaging"
    }
  ])
)
