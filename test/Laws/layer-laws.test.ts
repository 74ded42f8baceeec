/** Laws that nothing could break would be no laws: each catches what is broken. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { LawError } from "../../src/Laws/LawError.ts"
import * as LayerLaws from "../../src/Laws/LayerLaws.ts"
import {
  Attention,
  Conv,
  Dense,
  Dropout,
  Embedding,
  Initializer,
  Layer,
  Norm,
  Parameter,
  ResidualBlock
} from "../../src/Layer/index.ts"
import { HostRandom, Random, Tensor } from "../../src/Tensor/index.ts"

const seeds = [0, 1, 2]

const laws: Readonly<Record<LayerLaws.Name, LayerLaws.Check>> = LayerLaws

type X = Tensor.Tensor

/** Ascending numbers, in the dtype of another tensor. */
const ascending = (x: X, shape: ReadonlyArray<number>): X => {
  const count = shape.reduce((a, b) => a * b, 1)
  const numbers = Array.from({ length: count }, (_, i) => i / 2)
  return Tensor.reshape(Tensor.constant(numbers, { dtype: x.dtype }), shape) as X
}

layer(Device.layerReference(), { excludeTestServices: true })("layer laws", (it) => {
  /** A law catches it, wherever it begins; and so does the check of all laws. */
  const catches = (
    what: string,
    law: LayerLaws.Name,
    subject: Omit<LayerLaws.Subject, "name">,
    words: string | RegExp
  ) =>
    it.effect(`catch ${what}`, () =>
      Effect.gen(function* () {
        const named = { ...subject, name: what }
        for (const seed of seeds) {
          const error = yield* Effect.flip(laws[law](named, { seed }))
          expect(error).toBeInstanceOf(LawError)
          expect(error).toMatchObject({ law, subject: what, seed })
          expect(error.message).toMatch(words)
          expect(error.message).toContain(`${what} breaks the law "${law}"`)
          expect(error.message).toContain(`(seed ${seed})`)
        }
        const first = yield* Effect.flip(LayerLaws.check(named, { seed: 0 }))
        expect(first).toMatchObject({ _tag: "LawError", subject: what })
      })
    )

  // shapes
  catches(
    "a convolution that loses its borders",
    "shapes",
    {
      layer: Conv.make({ in: 2, out: 3, kernel: 3, padding: 0 }),
      input: [2, 5, 5],
      output: [3, 5, 5]
    },
    /the output is of the shape \[\d, 3, 3, 3\] instead of \[\d, 3, 5, 5\]/
  )
  catches(
    "a branch of another shape",
    "shapes",
    {
      layer: Layer.branch({ a: Dense.make({ in: 2, out: 2 }), b: Dense.make({ in: 2, out: 4 }) }),
      input: [2],
      output: { a: [2], b: [3] }
    },
    /the output "b" is of the shape \[\d, 4\] instead of/
  )
  catches(
    "a branch that is missing",
    "shapes",
    { layer: Layer.branch({ a: Layer.identity() }), input: [2], output: { b: [2] } },
    'there is no output "b"'
  )
  catches(
    "a layer that computes in float32 whatever it is given",
    "shapes",
    { layer: Layer.of((x: X) => Tensor.cast(x, "float32")), input: [2] },
    "the output is float32"
  )

  // parameters
  const time = Layer.make(
    { embed: Embedding.sinusoid({ width: 4 }), table: Dense.make({ in: 4, out: 3 }) },
    ({ embed, table }, x: X, condition: { readonly time: Tensor.Tensor<readonly [number]> }) =>
      // made, and not used
      Tensor.add(x, Tensor.mul(table(embed(condition.time)), 0))
  )
  catches(
    "a dead embedding of the time",
    "parameters",
    { layer: time, input: [3], condition: { time: [] } },
    'the parameter "table.weight" is never used: the gradient of a random function of the output is 0'
  )
  catches(
    "a parameter that is forgotten",
    "parameters",
    {
      layer: Layer.make(
        {
          used: Parameter.make([3], Initializer.zeros),
          table: Parameter.make([2], Initializer.ones)
        },
        ({ used }, x: X) => Tensor.mul(x, used)
      ),
      input: [3]
    },
    'the parameter "table" is never used'
  )
  const { parameters, apply } = ResidualBlock.make({ in: 4, out: 4, groups: 2, embedding: 3 })
  catches(
    "a block that sees the same embedding always",
    "parameters",
    {
      layer: {
        parameters,
        apply: (values: never, x: Layer.Features<4>, { embedding }: ResidualBlock.Condition) =>
          apply(values, x, { embedding: ascending(embedding, embedding.shape) })
      } as Layer.Any,
      input: [4, 3, 3],
      condition: { embedding: [3] }
    },
    'the condition "embedding" is never used'
  )
  catches(
    "a bias that a norm takes away",
    "parameters",
    {
      layer: Layer.make(
        { conv: Conv.make({ in: 2, out: 4, kernel: 3 }), norm: Norm.instance({ channels: 4 }) },
        ({ conv, norm }, x: Layer.Features<2>) => norm(conv(x))
      ),
      input: [2, 5, 5]
    },
    'the parameter "conv.bias" is never used'
  )
  catches(
    "a layer that takes no notice of its input",
    "parameters",
    {
      layer: Layer.make({ bias: Parameter.make([3], Initializer.zeros) }, ({ bias }, x: X) =>
        Tensor.broadcastTo(bias, x.shape)
      ),
      input: [3]
    },
    "the input is never used"
  )
  catches(
    "two parameters of one path",
    "parameters",
    {
      // Layer.make refuses names with dots
      layer: {
        parameters: {
          "a.b": Parameter.make([3], Initializer.ones),
          a: { b: Parameter.make([3], Initializer.ones) }
        },
        apply: (net: any, x: X) => Tensor.add(Tensor.mul(x, net.a.b), net["a.b"])
      },
      input: [3]
    },
    'two parameters share the path "a.b"'
  )

  catches(
    "a bias that may be missing",
    "parameters",
    {
      layer: Layer.make({ bias: Parameter.make([3], Initializer.zeros) }, ({ bias }, x: X) =>
        bias === undefined ? x : Tensor.add(x, bias)
      ),
      input: [3]
    },
    'without a value for the parameter "bias" it is applied'
  )

  // batch
  catches(
    "batch norm",
    "batch",
    {
      layer: Layer.of((x: X) => {
        const mean = Tensor.mean(x, { axis: [0, 2], keepDims: true })
        return Tensor.sub(x, mean)
      }),
      input: [3, 4]
    },
    /item \d of a batch of 3 gives \S+ alone and \S+ among others, at \[0, 0, 0\] of the output/
  )
  catches(
    "an offset by the place in the batch",
    "batch",
    {
      layer: Layer.of((x: X) => Tensor.add(x, ascending(x, [x.shape[0], 1]))),
      input: [3],
      except: ["shapes"]
    },
    /alone and|in another order/
  )

  // randomness
  const dropping = (key: (key: Random.Key) => Random.Key): Layer.Any => {
    const dropout = Dropout.make({ rate: 0.5 })
    return {
      parameters: {},
      apply: (_: {}, x: X, condition: unknown, context: Layer.Context = {}) =>
        dropout.apply({}, x, condition, {
          ...context,
          ...(context.key && { key: key(context.key) })
        })
    } as Layer.Any
  }
  catches(
    "dropout under a fixed key",
    "dropout",
    { layer: dropping(() => Random.key(3)), input: [6], random: true },
    /the keys \S+ and \S+ give the same/
  )
  catches(
    "dropout by a hidden state",
    "dropout",
    {
      layer: dropping((key) => Random.foldIn(key, Math.floor(2 ** 20 * Math.random()))),
      input: [20],
      random: true
    },
    /with the key \S+ it gives \S+ and then/
  )
  catches(
    "dropout that is not claimed",
    "deterministic",
    { layer: Dropout.make({ rate: 0.5 }), input: [20] },
    "though it is not said to be random"
  )
  catches(
    "noise without a key",
    "deterministic",
    { layer: Layer.of((x: X) => Tensor.add(x, Math.random())), input: [3] },
    "without a key it gives"
  )

  // permutation
  const attention = Attention.full({ channels: 4, heads: 2, headWidth: 2 })
  catches(
    "attention with positions",
    "permutation",
    {
      layer: Layer.sequence(
        Layer.of((x: X) => Tensor.add(x, ascending(x, x.shape.slice(2))) as Layer.Features<4>),
        attention
      ),
      input: [4, 3, 2],
      permutation: true
    },
    "places permuted before give"
  )
  catches(
    "a convolution as if it were of one place",
    "permutation",
    { layer: Conv.make({ in: 2, out: 2, kernel: 3 }), input: [2, 3, 3], permutation: true },
    /where 9 places are \[/
  )

  // translation
  const conv = Conv.make({ in: 2, out: 2, kernel: 3 })
  catches(
    "a convolution that depends on positions",
    "translation",
    {
      layer: Layer.sequence(
        conv,
        Layer.of((x: X) => Tensor.add(x, ascending(x, [x.shape[3]])))
      ),
      input: [2, 6, 6],
      translation: { margin: 1 }
    },
    "an input shifted by 1 along axis 3 gives"
  )
  catches(
    "a margin that is too small",
    "translation",
    { layer: conv, input: [2, 6, 6], translation: { margin: 0 } },
    "an input shifted by 1 along axis 2 gives"
  )
  catches(
    "an input that is all margin",
    "translation",
    { layer: conv, input: [2, 6, 2], translation: { margin: 1 } },
    "give larger inputs"
  )

  // normalization
  const norm = Norm.group({ channels: 4, groups: 2 })
  catches(
    "group norm of other groups",
    "normalization",
    { layer: norm, input: [4, 3, 3], normalization: { groups: 4 } },
    "scaled and shifted in each group the input gives"
  )
  catches(
    "layer norm along another axis",
    "normalization",
    { layer: Norm.layer({ channels: 4 }), input: [4, 4], normalization: { axes: [1] } },
    "scaled and shifted in each group the input gives"
  )
  catches(
    "a norm that keeps the mean",
    "normalization",
    { layer: Norm.rms({ channels: 4 }), input: [4], normalization: {} },
    "scaled and shifted"
  )
  catches(
    "a norm that is twice as large",
    "normalization",
    {
      layer: Layer.sequence(
        norm,
        Layer.of((x: X) => Tensor.mul(x, 2))
      ),
      input: [4, 3],
      normalization: { groups: 2 }
    },
    /the 6 elements that are normalised with \[0, 0, 0\] have the mean square (3\.9|4)\S* instead of 1/
  )
  catches(
    "a norm with an offset",
    "normalization",
    {
      layer: Layer.sequence(
        norm,
        Layer.of((x: X) => Tensor.add(x, 0.1))
      ),
      input: [4, 3],
      normalization: { groups: 2 }
    },
    /have the mean 0\.(1|09)\d* instead of 0/
  )

  // initialization
  const dense = (initializer: Initializer.Initializer) =>
    Dense.make({ in: 5, out: 4, initializer, bias: false })
  const initialized = (what: string, wanted: Initializer.Initializer, words: string | RegExp) =>
    catches(
      what,
      "initialization",
      { layer: dense(Initializer.torch), input: [5], initializers: { weight: wanted } },
      words
    )
  initialized(
    "a wrong scale",
    Initializer.kaimingUniform(),
    /begins with a variance of 0\.0[67]\d* instead of 0\.(4|39)/
  )
  initialized(
    "numbers out of range",
    Initializer.uniform(-0.4, 0.4),
    /which is not in \[-0\.4, 0\.4\]/
  )
  initialized("a wrong mean", Initializer.normal({ mean: 0.2, deviation: 0.3 }), "a mean of")
  initialized("zeros that are none", Initializer.zeros, "instead of 0 at [0, 0]")
  initialized("a matrix that is not orthogonal", Initializer.orthogonal(), "should be orthogonal")
  initialized(
    "a narrower normal distribution",
    Initializer.truncatedNormal({ deviation: 3 }),
    "a variance of"
  )
  catches(
    "a parameter that there is not",
    "initialization",
    { layer: dense(Initializer.torch), input: [5], initializers: { wieght: Initializer.torch } },
    'there is no parameter "wieght"'
  )

  it.effect("fail with what is wrong with a layer that does not fit its input", () =>
    Effect.gen(function* () {
      const subject = { name: "dense", layer: Dense.make({ in: 3, out: 2 }), input: [4] }
      expect(yield* Effect.flip(LayerLaws.check(subject))).toMatchObject({ _tag: "ShapeError" })
    })
  )

  it.effect("say it where they do not apply", () =>
    Effect.gen(function* () {
      const subject = { name: "the identity", layer: Layer.identity(), input: [4] }
      yield* LayerLaws.check(subject)
      expect((yield* Effect.flip(LayerLaws.dropout(subject, { seed: 5 }))).message).toBe(
        'the identity breaks the law "dropout": the law does not apply to it (seed 5)'
      )
    })
  )

  it.effect("draw what they are told to", () =>
    Effect.gen(function* () {
      const layer = Embedding.make({ classes: 3, width: 2 })
      const input = (key: HostRandom.Key, batch: number) =>
        HostRandom.integers(key, [batch], { min: 0, max: 3 })
      yield* LayerLaws.check({ name: "an embedding", layer, input, output: [2] })
    })
  )
})
