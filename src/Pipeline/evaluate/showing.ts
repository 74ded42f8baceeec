import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Images from "../Images.ts"
import * as Saved from "../internal/saved.ts"
import * as Report from "../Report.ts"
import type { Outcome } from "./evaluation.ts"
import { Evaluation, type Figures, only, sure } from "./findings.ts"

/** A column that shows something of figures. */
interface Shows extends Report.Column {
  readonly of: (figures: Figures) => Report.Cell
}

const quality: ReadonlyArray<Shows> = [
  { name: "images", of: ({ count }) => count },
  { name: "FID", best: "low", of: ({ fid }) => fid },
  { name: "KID", best: "low", of: ({ kid }) => kid.mean },
  { name: "±", unit: "of subsets", of: ({ kid }) => kid.deviation },
  { name: "precision", format: "fixed", digits: 3, best: "high", of: ({ precision }) => precision },
  { name: "recall", format: "fixed", digits: 3, best: "high", of: ({ recall }) => recall },
  { name: "score", format: "fixed", best: "high", of: ({ score }) => score?.mean },
  {
    name: "sure",
    format: "percent",
    best: "high",
    of: ({ judgement }) => judgement?.confident
  },
  {
    name: "classes",
    of: ({ judgement }) => judgement?.counts.filter((count) => count > 0).length
  }
]

const costs: ReadonlyArray<Shows> = [
  { name: "parameters", format: "count", of: ({ network }) => network?.parameters },
  { name: "MACs", unit: "an evaluation", format: "count", of: ({ network }) => network?.macs },
  { name: "steps", unit: "trained", of: ({ network }) => network?.steps },
  {
    name: "training",
    unit: "a step",
    format: "seconds",
    of: ({ network }) => network?.secondsPerStep
  },
  { name: "evaluations", unit: "an image", of: ({ network }) => network?.evaluations },
  {
    name: "sampling",
    unit: "an image",
    format: "seconds",
    of: ({ network }) => network?.secondsPerImage
  },
  { name: "memory", unit: "a batch", format: "bytes", of: ({ network }) => network?.peakBytes }
]

/** Some columns of some figures, without those that nothing is known of. */
const tableOf = (
  caption: string,
  shows: ReadonlyArray<Shows>,
  sets: ReadonlyArray<Figures>,
  real: Figures | undefined
): Report.Table => {
  const used = shows.filter(({ of }) => sets.some((each) => of(each) !== undefined))
  return Report.table({
    caption,
    columns: [{ name: "model" }, ...used.map(({ of: _, ...column }) => column)],
    rows: sets.map((each) => [each.name, ...used.map(({ of }) => of(each))]),
    ...(real === undefined ? {} : { unranked: [sets.indexOf(real)] })
  })
}

/**
 * How like real images samples are: a row for each model, after the yardstick.
 *
 * @since 0.1.0
 * @category conversions
 */
export const table = ({ reference, extractor, judge, real, models }: Evaluation): Report.Table => {
  const sets = [...(real === undefined ? [] : [real]), ...models]
  const written = (count: number) => count.toLocaleString("en-US")
  const alike = sets.every(({ count }) => count === sets[0].count)
  const each =
    alike && sets.length > 0 ? `${written(sets[0].count)} images of each, compared` : "Compared"
  const by = `${each} with ${written(reference.count)} of ${reference.name} by ${extractor.name}.`
  const yardstick = real === undefined ? "" : " “real” are images that were held out."
  const scored = sets.some(({ score }) => score !== undefined)
  const score = scored ? " “score” is the Inception score by the same network." : ""
  const told =
    judge === undefined
      ? ""
      : ` “sure” is the share of images of which a classifier, right in ${(100 * judge.accuracy).toFixed(1)} % of real ones, gives a class a probability above ${sure}; “classes” how many occur.`
  const shows = alike ? quality.filter(({ name }) => name !== "images") : quality
  return tableOf(`${by}${yardstick}${score}${told}`, shows, sets, real)
}

/**
 * What models are and cost.
 *
 * @since 0.1.0
 * @category conversions
 */
export const costTable = ({ models, device }: Evaluation): Report.Table =>
  tableOf(
    `Parameters, multiply-accumulates (MACs) of one evaluation for one image, and times on this device: ${device}.`,
    costs,
    models,
    undefined
  )

/** The most classes that a table has columns for. */
const mostClasses = 20

/**
 * How often the judge sees each class, for each model; `undefined` where there is no judge, and where classes are more than 20.
 *
 * @since 0.1.0
 * @category conversions
 */
export const classTable = ({ judge, real, models }: Evaluation): Report.Table | undefined => {
  if (judge === undefined || judge.classes.length > mostClasses) return undefined
  const sets = [...(real === undefined ? [] : [real]), ...models]
  return tableOf(
    "How many images are of each class, as the classifier sees it.",
    judge.classes.map((name, i) => ({
      name,
      of: ({ judgement }: Figures) => judgement?.counts[i]
    })),
    sets,
    undefined
  )
}

/**
 * Everything, as text.
 *
 * @since 0.1.0
 * @category conversions
 */
export const show = (evaluation: Evaluation): string => {
  const tables = [table(evaluation), costTable(evaluation), classTable(evaluation)]
  return tables
    .flatMap((each) => (each === undefined || each.columns.length < 2 ? [] : [each]))
    .map((each) => `${each.caption}\n\n${Report.tableToText(each)}`)
    .join("\n\n")
}

/**
 * Where in a run's folder its evaluation is.
 *
 * @since 0.1.0
 * @category getters
 */
export const places = (folder: string, { join }: Path.Path) => ({
  evaluation: join(folder, "evaluation.json"),
  picture: join(folder, "evaluation.png")
})

/**
 * Writes an evaluation. Fails with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = (path: string, evaluation: Evaluation) =>
  Saved.write(path, Evaluation, evaluation)

/**
 * Writes what was found of one model into its run's folder: `evaluation.json`, and `evaluation.png`, a grid of its first samples. Fails
 * with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeRun = Effect.fnUntraced(function* (
  folder: string,
  { evaluation, shown }: Outcome,
  name: string
) {
  const at = places(folder, yield* Path.Path)
  const samples = shown.find((each) => each.name === name)
  if (samples !== undefined) {
    const { images, columns } = samples
    yield* Images.write(
      at.picture,
      yield* Images.grid(images, columns === undefined ? {} : { columns })
    )
  }
  yield* write(at.evaluation, only(evaluation, name))
})
