import * as Random from "../../src/Tensor/Random.ts"
import type { Shape } from "../../src/Tensor/Shape.ts"
import type * as Tensor from "../../src/Tensor/Tensor.ts"

declare const key: Random.Key
declare const keys: Random.Key<readonly [3, 4]>
declare const some: Random.Key<readonly [number]>
declare const any: Tensor.Tensor<Shape, "uint32">
declare const steps: Tensor.Tensor<readonly [5], "int32">
declare const logits: Tensor.Tensor<readonly [3, 4, 10], "float32">

const expectType = <T>(_: { readonly exactly: (value: T) => T }): void => {}
const of = <T>(_: T): { readonly exactly: (value: T) => T } => ({ exactly: (value) => value })

// draws have the keys' batch axes in front
expectType<Tensor.Tensor<readonly [8, 2], "float32">>(of(Random.normal(key, [8, 2])))
expectType<Tensor.Tensor<readonly [3, 4, 8, 2], "float32">>(of(Random.normal(keys, [8, 2])))
expectType<Tensor.Tensor<readonly [number, 8], "uint32">>(of(Random.bits(some, [8])))
expectType<Tensor.Tensor<Shape, "uint32">>(of(Random.bits(any, [8])))
expectType<Tensor.Tensor<readonly [], "bool">>(of(Random.bernoulli(key, [], 0.5)))
expectType<Tensor.Tensor<readonly [3, 4, 60000], "int32">>(of(Random.permutation(keys, 60000)))

// dtypes
expectType<Tensor.Tensor<readonly [2], "float64">>(
  of(Random.uniform(key, [2], { dtype: "float64" }))
)
expectType<Tensor.Tensor<readonly [2], "float32">>(of(Random.uniform(key, [2], { min: -1 })))
expectType<Tensor.Tensor<readonly [2], "int32">>(of(Random.integers(key, [2], { max: 10 })))

// keys of keys
expectType<Random.Key>(of(Random.key(1)))
expectType<Tensor.Tensor<readonly [7, 2], "uint32">>(of(Random.split(key, 7)))
expectType<Tensor.Tensor<readonly [3, 4, 7, 2], "uint32">>(of(Random.split(keys, 7)))
expectType<Tensor.Tensor<readonly [7, 9], "float32">>(of(Random.normal(Random.split(key, 7), [9])))
expectType<Random.Key>(of(Random.foldIn(key, 3)))
expectType<Tensor.Tensor<readonly [5, 2], "uint32">>(of(Random.foldIn(key, steps)))
const [first] = Random.children(keys, 2)
expectType<Random.Key<readonly [3, 4]>>(of(first))

expectType<Tensor.Tensor<readonly [3, 4], "int32">>(of(Random.categorical(key, logits)))

// @ts-expect-error keys are uint32
Random.normal(logits, [2])

// @ts-expect-error a key has 2 words, not 5
Random.normal(Random.bits(key, [5]), [2])

// @ts-expect-error a key is no scalar
Random.normal(Random.bits(key, []), [2])

// @ts-expect-error 5 does not broadcast with the batch axes [3, 4]
Random.foldIn(keys, steps)

// @ts-expect-error normals are floats
Random.normal(key, [2], { dtype: "int32" })

// @ts-expect-error integers need a maximum
Random.integers(key, [2], { min: 3 })
