/** What remains of sets of images. */
import * as Effect from "effect/Effect"
import { DType, Shape } from "../../Tensor/index.ts"
import * as Classifier from "../Classifier.ts"
import type * as Features from "../Features.ts"
import * as Images from "../Images.ts"
import { attempt, demand } from "../internal/data.ts"
import * as Metrics from "../Metrics.ts"
import { type Judgement, sure } from "./findings.ts"
import type { Judge } from "./judge.ts"
import type { Source } from "./subjects.ts"

type Batch = Images.Images

/** What remains of a set. */
export interface Collected {
  readonly count: number
  readonly moments: Metrics.Moments
  /** Of the first images. */
  readonly features: Metrics.Features
  readonly probabilities?: Metrics.Features
  readonly judgement?: Judgement
  /** The first images. */
  readonly shown: Batch | undefined
  /** Of these in a row. */
  readonly columns: number | undefined
  /** That the source took. */
  readonly seconds: number
}

/** The first rows that come, no more than `most`, in one array. */
const rows = (most: number) => {
  const parts: Array<Float32Array> = []
  let count = 0
  let item: ReadonlyArray<number> = []
  return {
    add: ({ shape: [n, ...rest], data }: Batch) => {
      const few = Math.min(n, most - count)
      item = rest
      if (few <= 0) return
      // a copy: what it is part of can go
      parts.push(data.slice(0, few * Shape.size(rest)))
      count += few
    },
    end: (): Batch | undefined => {
      if (count === 0) return undefined
      const data = DType.allocate("float32", count * Shape.size(item))
      let at = 0
      for (const part of parts) {
        data.set(part, at)
        at += part.length
      }
      return { dtype: "float32", shape: [count, ...item], data }
    }
  }
}

/** Gathers what remains of a set, batch by batch. */
export const collecting = (
  name: string,
  {
    extractor,
    judge
  }: {
    readonly extractor?: Features.Extractor | undefined
    readonly judge?: Judge | undefined
  },
  { columns }: Source,
  {
    features: most,
    shown = columns === undefined ? 36 : 4 * columns
  }: { readonly features: number; readonly shown: number | undefined }
) => {
  const by = (extractor ?? judge?.extractor) as Features.Extractor
  const [features, probabilities, images] = [rows(most), rows(most), rows(shown)]
  let moments: Metrics.Moments | undefined
  let [count, confident, confidence] = [0, 0, 0]
  const counts = new Int32Array(judge?.classes.length ?? 0)
  const add = Effect.fnUntraced(function* (given: Batch) {
    const batch = Images.rounded(given)
    const found = yield* by.extract(batch)
    const judged =
      judge === undefined
        ? undefined
        : judge.extractor === by
          ? found
          : yield* judge.extractor.extract(batch)
    yield* attempt(() => {
      const own = Metrics.moments(found.features)
      moments = moments === undefined ? own : Metrics.merge(moments, own)
    })
    features.add(found.features)
    if (found.probabilities !== undefined) probabilities.add(found.probabilities)
    images.add(batch)
    count += batch.shape[0]
    if (judged?.probabilities === undefined) return
    const { labels, confidences } = Classifier.decide(judged.probabilities)
    for (const label of labels) counts[label]++
    for (const each of confidences) {
      confidence += each
      if (each > sure) confident++
    }
  })
  const end = (seconds: number): Collected => {
    demand(moments !== undefined, name, "empty", () => "there are no images")
    const known = probabilities.end()
    return {
      count,
      moments: moments as Metrics.Moments,
      features: features.end() as Batch,
      ...(known === undefined ? {} : { probabilities: known }),
      ...(judge === undefined
        ? {}
        : {
            judgement: {
              counts: Array.from(counts),
              confident: confident / count,
              confidence: confidence / count
            }
          }),
      shown: images.end(),
      columns,
      seconds
    }
  }
  return { add, end }
}
