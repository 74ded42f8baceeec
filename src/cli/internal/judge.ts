/** The classifier that tells which class images are of. */
import type * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Evaluate, Train } from "../../Pipeline/index.ts"
import { pipeline } from "./pipeline.ts"
import * as Runs from "./runs.ts"
import { classifier } from "./views.ts"

/** It may have to be trained first, in so many steps, which is shown. */
export const make = Effect.fnUntraced(function* (
  parts: Evaluate.Parts,
  options: {
    readonly file?: string
    readonly cache?: string
    readonly steps?: number
    readonly silent?: boolean
  }
) {
  const { Classifier, Evaluate, Progress } = yield* pipeline
  const { file, cache = yield* Runs.cache, steps = Classifier.defaults.steps } = options
  const where = file === undefined ? { cache } : { file }
  const judge = (training: Evaluate.JudgeOptions["training"]) =>
    Evaluate.judge(parts, { ...where, training: { steps, ...training } })
  if (options.silent) return yield* judge({})
  const { name } = parts.train
  const view = classifier(`trains a classifier on ${name}, and keeps it in ${cache}`, steps)
  const events = yield* Queue.unbounded<Train.Event, Cause.Done>()
  const [made] = yield* Effect.all(
    [
      Effect.ensuring(
        judge({ onStep: (event) => Effect.asVoid(Queue.offer(events, event)) }),
        Queue.end(events)
      ),
      Stream.fromQueue(events).pipe(Progress.autoOf(view), Stream.runDrain)
    ],
    { concurrency: 2 }
  )
  yield* Console.log(
    `a classifier that finds the class of ${(100 * made.accuracy).toFixed(1)} % of ${parts.test === undefined ? "the" : "held-out"} images`
  )
  return made
})
