/**
 * Evaluation: how like real images a model's samples are, and what they cost.
 *
 * Sets of images are compared by an extractor's features (see `Features`, `Metrics`): each with the same reference, most often the images
 * that were trained on. What a figure is worth is told by a yardstick, real images that were held out, as many as there are samples: no
 * model is expected to come nearer to the reference than these. A judge, a classifier that was trained on the data set itself, tells which
 * class each image is of, and how surely.
 *
 * Images come in batches and are forgotten: of a set there remain moments, classes, and the features of its first images, so that memory
 * does not grow with the number of samples. They are looked at as their files would have them, in 8 bits (`Images.rounded`), as the
 * published distances are. Of data that have more images than are looked at these are chosen at random, the same ones each time: files are
 * often in the order of their classes.
 *
 * ```ts
 * const parts = yield* Evaluate.open("mnist")
 * const judge = yield* Evaluate.judge(parts, { cache: "classifiers" })
 * const { evaluation } = yield* Evaluate.run([yield* Evaluate.ofRun("runs/mnist")], { ...parts, judge, count: 1000 })
 * console.log(Evaluate.show(evaluation))
 * ```
 *
 * @since 0.1.0
 */
export * from "./evaluate/evaluation.ts"
export * from "./evaluate/findings.ts"
export * from "./evaluate/judge.ts"
export * from "./evaluate/showing.ts"
export * from "./evaluate/subjects.ts"
