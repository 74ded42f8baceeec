import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Chart from "../Chart.ts"
import * as Images from "../Images.ts"
import * as Saved from "../internal/saved.ts"
import * as Report from "../Report.ts"
import { type Chain, type Example, type Outcome, only, type Quality, Result } from "./findings.ts"
import { bestImage, bestPsnr, part, sized, taken } from "./shared.ts"

/** The chains of a model from a level. */
const chainsAt = (chains: ReadonlyArray<Chain>, noise: number): ReadonlyArray<Chain> =>
  chains.filter((chain) => chain.noise === noise)

/**
 * Everything in a table: for each level what there is without a model, and a row for each model and number of steps.
 *
 * @since 0.1.0
 * @category conversions
 */
export const table = ({ baselines, models, count, data, sampler }: Result): Report.Table => {
  const cells = ({ psnr, ssim, lpips }: Quality) => [psnr, ssim, lpips]
  const levels = baselines.map(({ noise, noisy, blurred, deviation }) => {
    const without = [
      ["noisy", undefined, undefined, ...cells(noisy), undefined, undefined],
      [
        `blurred, σ = ${deviation.toFixed(2)}`,
        undefined,
        undefined,
        ...cells(blurred),
        undefined,
        undefined
      ]
    ]
    const denoised = models.flatMap(({ name, chains }) =>
      chainsAt(chains, noise).map((chain) => {
        const { kind, step } = bestImage(chain)
        const last = chain.chain[chain.chain.length - 1]
        const best = `${step.step}, ${kind}`
        return [name, chain.steps, best, ...cells(step[kind]), last.state.psnr, chain.seconds]
      })
    )
    return { noise, rows: [...without, ...denoised] }
  })
  const columns: ReadonlyArray<Report.Column> = [
    { name: "model" },
    { name: "steps" },
    { name: "best after", align: "right" },
    { name: "PSNR", unit: "dB", format: "fixed", best: "high" },
    { name: "SSIM", format: "fixed", digits: 3, best: "high" },
    { name: "LPIPS", format: "fixed", digits: 3, best: "low" },
    { name: "at the end", unit: "PSNR, dB", format: "fixed" },
    { name: "time", unit: "an image", format: "seconds" }
  ]
  const rows = levels.flatMap((level) => level.rows)
  const used = columns.map((_, c) => rows.some((row) => row[c] !== undefined))
  const starts = levels.map((_, i) =>
    levels.slice(0, i).reduce((sum, { rows }) => sum + rows.length, 0)
  )
  const told = models.flatMap(({ name, classes }) => (classes === undefined ? [] : [name]))
  const knowing = told.length === 0 ? "" : ` Told the images' classes: ${told.join(", ")}.`
  const diverged = models.some(({ chains }) =>
    chains.some(({ chain }) => chain.some(({ state }) => state.psnr === Number.NEGATIVE_INFINITY))
  )
  const beyond = diverged ? " −∞ stands where a model diverged." : ""
  return Report.table({
    caption: `Noise taken from ${count} images of ${data} by ${sampler}: the image with the highest PSNR along the chain, and the last one. A step leaves a “state”, and is made of an “estimate” of the clean image. Means over the images.${knowing}${beyond}`,
    columns: columns.filter((_, c) => used[c]),
    rows: rows.map((row) => row.filter((_, c) => used[c])),
    groups: levels.map(({ noise }, i) => ({ title: `ε = ${noise}`, row: starts[i] })),
    unranked: starts.flatMap((start) => [start, start + 1])
  })
}

/**
 * Everything, as text.
 *
 * @since 0.1.0
 * @category conversions
 */
export const show = (result: Result): string => {
  const shown = table(result)
  return `${shown.caption}\n\n${Report.tableToText(shown)}`
}

/**
 * PSNR over the level of noise: of each model the best image of its best chain, and what is there without one.
 *
 * @since 0.1.0
 * @category charts
 */
export const overNoise = ({ baselines, models, data }: Result): Chart.Chart => {
  const x = baselines.map(({ noise }) => noise)
  const best = (chains: ReadonlyArray<Chain>) =>
    x.map((noise) => Math.max(...chainsAt(chains, noise).map(bestPsnr)))
  return Chart.lines({
    title: "Denoising: PSNR over noise",
    description: `The PSNR of denoised images of ${data} over the noise that they had: ${[...models.map(({ name }) => name), "Gaussian blur", "nothing done"].join(", ")}.`,
    x: "noise ε",
    y: "PSNR, dB",
    series: [
      ...models.map(({ name, chains }) => ({ name, x, y: best(chains) })),
      { name: "blurred", x, y: baselines.map(({ blurred }) => blurred.psnr) },
      { name: "noisy", x, y: baselines.map(({ noisy }) => noisy.psnr) }
    ]
  })
}

/** PSNR along the chains with the most steps from a level of noise. */
const fromLevel = ({ baselines, models }: Result, noise: number): Chart.Chart => {
  const series = models.flatMap(({ name, chains }) => {
    const all = chainsAt(chains, noise)
    if (all.length === 0) return []
    const { chain } = all.reduce((longest, each) => (each.steps > longest.steps ? each : longest))
    const x = chain.map(({ step }) => step)
    return (["state", "estimate"] as const).map((kind) => ({
      name: `${name}, ${kind}`,
      x,
      y: chain.map((step) => step[kind].psnr)
    }))
  })
  const baseline = baselines.find((each) => each.noise === noise)
  return Chart.lines({
    title: `From ε = ${noise}`,
    x: "step",
    y: `ε = ${noise}: PSNR, dB`,
    series,
    references:
      baseline === undefined ? [] : [{ axis: "y", value: baseline.noisy.psnr, label: "noisy" }]
  })
}

/**
 * PSNR along the chains with the most steps from some levels of noise, a panel each: of the state, and of the estimate of the clean image.
 * Throws `DataError` for levels that are none of the result's.
 *
 * @since 0.1.0
 * @category charts
 */
export const alongChains = (result: Result, levels: ReadonlyArray<number>): Chart.Chart =>
  Chart.panels({
    title: "Denoising: PSNR along the chain",
    charts: levels.map((noise) => fromLevel(result, noise))
  })

/**
 * Examples in one picture: a row for each level and image, a column for each hand. Fails with `DataError` where there are none.
 *
 * @since 0.1.0
 * @category pictures
 */
export const picture = (examples: ReadonlyArray<Example>, options: Images.GridOptions = {}) =>
  Effect.suspend(() => {
    const cells = examples.flatMap(({ columns }) =>
      Array.from({ length: columns[0].images.shape[0] }, (_, i) =>
        columns.map(({ images }) => part(images, i, 1))
      ).flat()
    )
    const size = cells.length === 0 ? 0 : sized(cells[0])
    const data = new Float32Array(cells.length * size)
    for (const [i, cell] of cells.entries()) data.set(cell.data, i * size)
    const shape = [cells.length, ...(cells[0]?.shape.slice(1) ?? [1, 1, 1])]
    const columns = examples[0]?.columns.length ?? 1
    return Images.grid({ dtype: "float32", shape, data }, { columns, ...options })
  })

/**
 * Where in a run's folder the experiment is.
 *
 * @since 0.1.0
 * @category getters
 */
export const places = (folder: string, { join }: Path.Path) => ({
  result: join(folder, "denoise.json"),
  picture: join(folder, "denoise.png")
})

/**
 * Writes a result into a folder as `denoise.json`, and its examples, if there are any, as `denoise.png`. Fails with `FileError`.
 *
 * @since 0.1.0
 * @category writing
 */
export const write = Effect.fnUntraced(function* (folder: string, { result, examples }: Outcome) {
  const at = places(folder, yield* Path.Path)
  if (examples.length > 0) yield* Images.write(at.picture, yield* picture(examples))
  yield* Saved.write(at.result, Result, result)
})

/**
 * Writes what was found of one model into its run's folder. See {@link write}.
 *
 * @since 0.1.0
 * @category writing
 */
export const writeRun = (folder: string, { result, examples }: Outcome, name: string) =>
  write(folder, {
    result: only(result, name),
    examples: examples.map(({ noise, columns }) => ({
      noise,
      columns: columns.filter((each) => taken.includes(each.name) || each.name === name)
    }))
  })
