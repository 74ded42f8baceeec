/** What is said of configurations that are not right. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect } from "vitest"
import { decode } from "../../src/Pipeline/internal/config.ts"
import * as LearningRate from "../../src/Pipeline/LearningRate.ts"
import * as Optimizer from "../../src/Pipeline/Optimizer.ts"
import { TrainError } from "../../src/Pipeline/PipelineError.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value as never)))

const schema = Schema.Struct({
  batch: withDefault(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)), 64),
  optimizer: withDefault(Optimizer.Config, { name: "adam" }),
  rates: withDefault(Schema.Record(Schema.String, LearningRate.Config), {}),
  list: withDefault(Schema.Array(Optimizer.Config), []),
  predicts: withDefault(
    Schema.Union([Schema.Literals(["noise", "data"]), Schema.Struct({ kind: Schema.String })]),
    "noise"
  ),
  clip: withDefault(Schema.NullOr(Schema.Finite), null),
  data: Schema.String
})

const data = "digits"

describe("a configuration", () => {
  it.effect("is filled in", () =>
    Effect.gen(function* () {
      expect(yield* decode("run", schema, { data, batch: 3 })).toEqual({
        data,
        batch: 3,
        optimizer: { name: "adam" },
        rates: {},
        list: [],
        predicts: "noise",
        clip: null
      })
    })
  )

  it.effect.each([
    [{}, "run: data: is missing"],
    [7, "run: must be an object, not 7"],
    [null, "run: must be an object, not null"],
    [{ data, bacth: 3 }, 'run: bacth: there is no such field; did you mean "batch"?'],
    [{ data, batch: 0 }, "run: batch: must be a value greater than or equal to 1, not 0"],
    [{ data, batch: 1.5 }, "run: batch: must be an integer, not 1.5"],
    [{ data, batch: "3" }, 'run: batch: must be a number, not "3"'],
    [{ data: 5 }, "run: data: must be a string, not 5"],
    [{ data, clip: [] }, "run: clip: must be a number | null, not a list"],
    [{ data, predicts: "nose" }, 'run: predicts: there is no "nose"; did you mean "noise"?'],
    [{ data, predicts: "flow" }, 'run: predicts: there is no "flow"; known are noise, data'],
    [
      { data, optimizer: { name: "adan2" } },
      'optimizer: there is no "adan2"; did you mean "adan"?'
    ],
    [
      { data, optimizer: "adam" },
      'optimizer: must be a record such as { "name": "sgd" }, not "adam"'
    ],
    [{ data, optimizer: { beta1: 0 } }, "run: optimizer: it needs a name; known are sgd, adam, "],
    [
      { data, optimizer: { name: "lion", beta3: 0.9 } },
      'run: optimizer.beta3: there is no such field; did you mean "beta1"?'
    ],
    [
      { data, rates: { a: { name: "constant", rat: 1 } } },
      'run: rates.a.rat: there is no such field; did you mean "rate"?'
    ],
    [{ data, rates: { a: { name: "cosin" } } }, 'run: rates.a: there is no "cosin"; did you mean'],
    [
      { data, list: [{ name: "sgd" }, { name: "sgd", momentun: 1 }] },
      'run: list.1.momentun: there is no such field; did you mean "momentum"?'
    ],
    [{ data, list: {} }, "run: list: must be an array, not a record"]
  ] as ReadonlyArray<readonly [unknown, string]>)("%j is refused: %s", ([given, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decode("run", schema, given))
      expect(error).toBeInstanceOf(TrainError)
      expect(error.message).toContain(says)
    })
  )
})
