/** Composed functions against formulas written down a second time, as loops over numbers. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import type { DType } from "../../src/Tensor/DType.ts"
import type { HostArray, Tensor } from "../../src/Tensor/Expression.ts"
import * as Loss from "../../src/Tensor/Loss.ts"
import * as Shape from "../../src/Tensor/Shape.ts"
import * as T from "../../src/Tensor/Tensor.ts"
import * as A from "../support/arrays.ts"
import { evaluate, property } from "../support/device.ts"
import * as Devices from "../support/devices.ts"

type Float = Tensor<Shape.Shape, "float32">
type Index = ReadonlyArray<number>

/** An array as a function of its indices. */
const reader = (host: HostArray): ((index: Index) => number) => {
  const values = A.numbers(host)
  const strides = Shape.strides(host.shape)
  return (index) => values[index.reduce((sum, each, i) => sum + each * strides[i], 0)]
}

/** All indices of a shape, in row-major order. */
const indices = (shape: Shape.Shape): ReadonlyArray<Index> =>
  shape.reduce<ReadonlyArray<Index>>(
    (done, size) => done.flatMap((each) => Array.from({ length: size }, (_, i) => [...each, i])),
    [[]]
  )

/** What an array should be, by its indices. */
const expectArray = (
  actual: HostArray,
  shape: Shape.Shape,
  f: (index: Index) => number,
  what?: string,
  allowed?: number
): void =>
  A.agree(actual, T.hostArray(indices(shape).map(f), { shape, dtype: actual.dtype }), allowed, what)

const range = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i)

const add = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

const put = (index: Index, axis: number, value: number): Index =>
  index.map((each, i) => (i === axis ? value : each))

const without = (shape: Shape.Shape, axis: number): Shape.Shape =>
  shape.filter((_, i) => i !== axis)

const floats = (shape: Shape.Shape, fill: A.Fill = A.uniform(-3, 3)) =>
  A.array(shape, "float32", fill)

/** An array, and one of its axes. */
const withAxis = (fill?: A.Fill, dtype: DType = "float32") =>
  A.shapes({ size: A.some, min: 1, max: 3 }).chain((shape) =>
    fc.tuple(
      A.array(shape, dtype, fill ?? A.uniform(-3, 3)) as fc.Arbitrary<HostArray>,
      fc.nat({ max: shape.length - 1 })
    )
  )

/** 2/√π Σ (−1)ⁿ x^(2n+1) / (n! (2n+1)) */
const erf = (x: number): number => {
  let [term, sum] = [x, x]
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

for (const device of Devices.all) {
  layer(device.layer, { excludeTestServices: true })(device.name, (it) => {
    const holds = <A, E, R>(
      name: string,
      arbitrary: fc.Arbitrary<A>,
      check: (value: A) => Effect.Effect<void, E, R>,
      numRuns = 8
    ) =>
      it.effect(
        name,
        () => property(arbitrary, check, { numRuns }) as Effect.Effect<void, never, never>
      )

    holds(
      "softmax, logSoftmax, logSumExp",
      withAxis(A.sometimes(0.1, A.oneOf([80, -80, 2000]), A.uniform(-3, 3))),
      Effect.fnUntraced(function* ([x, axis]) {
        const { softmax, log, sum } = yield* evaluate({ x }, (given) => {
          const x = given.x as Float
          return {
            softmax: T.softmax(x, { axis }),
            log: T.logSoftmax(x, { axis }),
            sum: T.logSumExp(x, { axis })
          }
        })
        const at = reader(x)
        const row = (index: Index) => range(x.shape[axis]).map((k) => at(put(index, axis, k)))
        const total = (values: ReadonlyArray<number>) => {
          const top = Math.max(...values)
          return top + Math.log(add(values.map((each) => Math.exp(each - top))))
        }
        expectArray(softmax, x.shape, (i) => Math.exp(at(i) - total(row(i))), "softmax")
        expectArray(log, x.shape, (i) => at(i) - total(row(i)), "logSoftmax")
        expectArray(
          sum,
          without(x.shape, axis),
          (i) => total(row([...i.slice(0, axis), 0, ...i.slice(axis)])),
          "logSumExp"
        )
      })
    )

    it.effect("activations, from −100 to 100", () =>
      Effect.gen(function* () {
        const values = [-100, -20, -5, -1, -0.5, -1e-3, 0, 1e-3, 0.5, 1, 5, 20, 100]
        const results = yield* evaluate({ x: T.hostArray(values) }, ({ x }) => ({
          relu: T.relu(x),
          silu: T.silu(x),
          softplus: T.softplus(x),
          gelu: T.gelu(x),
          tanh: T.gelu(x, { approximate: "tanh" }),
          sigmoid: T.sigmoid(x)
        }))
        const rough = (x: number) =>
          0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
        const each = (actual: HostArray, f: (x: number) => number, what: string) =>
          A.numbers(actual).forEach((y, i) => {
            const bound = 1e-6 * Math.max(1, Math.abs(values[i]))
            if (!(Math.abs(y - f(values[i])) <= bound)) {
              throw new Error(`${what}(${values[i]}) is ${y}, but should be ${f(values[i])}`)
            }
          })
        each(results.relu, (x) => Math.max(x, 0), "relu")
        each(results.silu, (x) => x * sigmoid(x), "silu")
        each(results.softplus, (x) => (x > 30 ? x : Math.log1p(Math.exp(x))), "softplus")
        each(
          results.gelu,
          (x) => (Math.abs(x) > 5 ? Math.max(x, 0) : 0.5 * x * (1 + erf(x / Math.SQRT2))),
          "gelu"
        )
        each(results.tanh, rough, "gelu by tanh")
        each(results.sigmoid, sigmoid, "sigmoid")
      })
    )

    it.effect("expm1, log1p, sinh: accurate near 0, relative to the result", () =>
      Effect.gen(function* () {
        const values = [1e-30, 1e-9, -1e-8, 1e-7, 3e-7, -1e-6, 1e-4, -0.01, 0.3, -0.9, 1, 5]
        const x = T.hostArray(values)
        const exact = A.numbers(x)
        const results = yield* evaluate({ x }, ({ x }) => ({
          expm1: T.expm1(x),
          log1p: T.log1p(x),
          sinh: T.sinh(x)
        }))
        const relative = (actual: HostArray, f: (x: number) => number, what: string) =>
          A.numbers(actual).forEach((y, i) => {
            if (!(Math.abs(y - f(exact[i])) <= 1e-6 * Math.abs(f(exact[i])))) {
              throw new Error(`${what}(${exact[i]}) is ${y}, but should be ${f(exact[i])}`)
            }
          })
        relative(results.expm1, Math.expm1, "expm1")
        relative(results.log1p, Math.log1p, "log1p")
        relative(results.sinh, Math.sinh, "sinh")
      })
    )

    holds(
      "mean, variance, standardDeviation",
      withAxis(),
      Effect.fnUntraced(function* ([x, axis]) {
        const results = yield* evaluate({ x }, (given) => {
          const x = given.x as Float
          return {
            mean: T.mean(x, { axis }),
            variance: T.variance(x, { axis }),
            deviation: T.standardDeviation(x, { axis, keepDims: true }),
            all: T.variance(x)
          }
        })
        const at = reader(x)
        const row = (index: Index) => range(x.shape[axis]).map((k) => at(put(index, axis, k)))
        const mean = (values: ReadonlyArray<number>) => add(values) / values.length
        const variance = (values: ReadonlyArray<number>) =>
          mean(values.map((each) => (each - mean(values)) ** 2))
        const wide = (i: Index) => [...i.slice(0, axis), 0, ...i.slice(axis)]
        const rest = without(x.shape, axis)
        expectArray(results.mean, rest, (i) => mean(row(wide(i))), "mean")
        expectArray(results.variance, rest, (i) => variance(row(wide(i))), "variance")
        expectArray(
          results.deviation,
          x.shape.map((n, i) => (i === axis ? 1 : n)),
          (i) => Math.sqrt(variance(row(i))),
          "standardDeviation"
        )
        expectArray(results.all, [], () => variance(Array.from(A.numbers(x))), "variance of all")
      })
    )

    holds(
      "groupNorm, instanceNorm, layerNorm, rmsNorm, l2Normalize",
      fc
        .tuple(
          fc.integer({ min: 1, max: 2 }),
          fc.integer({ min: 1, max: 2 }),
          fc.integer({ min: 1, max: 3 }),
          A.shapes({ size: A.some, min: 1, max: 2 })
        )
        .chain(([n, groups, per, space]) =>
          fc.tuple(
            fc.constant(groups),
            floats([n, groups * per, ...space], A.apart()),
            floats([groups * per]),
            floats([groups * per]),
            floats([space[space.length - 1]]),
            floats([space[space.length - 1]])
          )
        ),
      Effect.fnUntraced(function* ([groups, x, scale, bias, last, offset]) {
        const epsilon = 0.01
        const results = yield* evaluate({ x, scale, bias, last, offset }, (given) => {
          const { x, scale, bias, last, offset } = given as {
            readonly [K in keyof typeof given]: Float
          }
          return {
            group: T.groupNorm(x, { groups, scale, bias, epsilon }),
            instance: T.instanceNorm(x, { scale, epsilon }),
            layer: T.layerNorm(x, { scale: last, bias: offset, epsilon }),
            rms: T.rmsNorm(x, { scale, bias, axis: 1, epsilon }),
            l2: T.l2Normalize(x, { axis: 1 })
          }
        })
        const [at, channels, rank] = [reader(x), x.shape[1], x.shape.length]
        const [s, b, sLast, bLast] = [scale, bias, last, offset].map(
          (each) => (i: number) => reader(each)([i])
        )
        const per = channels / groups
        const all = indices(x.shape)
        /** Normalised over the elements that go with an index. */
        const normal = (i: Index, together: (other: Index) => boolean): number => {
          const values = all.filter(together).map(at)
          const mean = add(values) / values.length
          const variance = add(values.map((each) => (each - mean) ** 2)) / values.length
          return (at(i) - mean) / Math.sqrt(variance + epsilon)
        }
        const group = (i: Index) => Math.floor(i[1] / per)
        expectArray(
          results.group,
          x.shape,
          (i) => normal(i, (o) => o[0] === i[0] && group(o) === group(i)) * s(i[1]) + b(i[1]),
          "groupNorm"
        )
        expectArray(
          results.instance,
          x.shape,
          (i) => normal(i, (o) => o[0] === i[0] && o[1] === i[1]) * s(i[1]),
          "instanceNorm"
        )
        const row = (i: Index) => (o: Index) =>
          o.every((each, k) => k === rank - 1 || each === i[k])
        expectArray(
          results.layer,
          x.shape,
          (i) => normal(i, row(i)) * sLast(i[rank - 1]) + bLast(i[rank - 1]),
          "layerNorm"
        )
        const squares = (i: Index) => add(range(channels).map((k) => at(put(i, 1, k)) ** 2))
        expectArray(
          results.rms,
          x.shape,
          (i) => (at(i) / Math.sqrt(squares(i) / channels + epsilon)) * s(i[1]) + b(i[1]),
          "rmsNorm"
        )
        expectArray(results.l2, x.shape, (i) => at(i) / Math.sqrt(squares(i)), "l2Normalize")
      })
    )

    holds(
      "attention, with and without a mask; linearAttention",
      fc
        .tuple(A.shapes({ size: A.some, max: 2 }), A.some, A.some, A.some, A.some)
        .chain(([batch, queries, keys, width, values]) =>
          fc.tuple(
            floats([...batch, queries, width]),
            floats([...batch, keys, width]),
            floats([...batch, keys, values]),
            A.array([queries, keys], "bool", A.sometimes(0.4, A.whole(0, 0), A.whole(1, 1)))
          )
        ),
      Effect.fnUntraced(function* ([query, key, value, mask]) {
        const { linear, masked, plain } = yield* evaluate(
          { query, key, value, mask },
          ({ query, key, value, mask }) => ({
            plain: T.attention(query, key, value),
            masked: T.attention(query, key, value, { mask, scale: 0.3 }),
            linear: T.linearAttention(query, key, value)
          })
        )
        const rank = query.shape.length
        const [queries, width] = query.shape.slice(-2)
        const [keys, values] = value.shape.slice(-2)
        const [q, k, v, m] = [query, key, value, mask].map(reader)
        const shape = [...query.shape.slice(0, -2), queries, values]
        const soft = (scores: ReadonlyArray<number>) => {
          const top = Math.max(...scores)
          const weights = scores.map((each) => Math.exp(each - top))
          return weights.map((each) => each / add(weights))
        }
        const attended = (i: Index, scale: number, sees: (key: number) => boolean) => {
          const [batch, row, column] = [i.slice(0, rank - 2), i[rank - 2], i[rank - 1]]
          const seen = range(keys).filter(sees)
          // who may look nowhere gets the mean
          const weights =
            seen.length === 0
              ? range(keys).map(() => 1 / keys)
              : soft(
                  seen.map((n) =>
                    add(
                      range(width).map((d) => scale * q([...batch, row, d]) * k([...batch, n, d]))
                    )
                  )
                )
          const places = seen.length === 0 ? range(keys) : seen
          return add(places.map((n, j) => weights[j] * v([...batch, n, column])))
        }
        expectArray(plain, shape, (i) => attended(i, 1 / Math.sqrt(width), () => true), "attention")
        expectArray(
          masked,
          shape,
          (i) => attended(i, 0.3, (n) => m([i[rank - 2], n]) === 1),
          "masked attention"
        )
        expectArray(
          linear,
          shape,
          (i) => {
            const [batch, row, column] = [i.slice(0, rank - 2), i[rank - 2], i[rank - 1]]
            const weights = soft(range(width).map((d) => q([...batch, row, d])))
            return add(
              range(width).map((d) => {
                const over = soft(range(keys).map((n) => k([...batch, n, d])))
                const context = add(over.map((each, n) => each * v([...batch, n, column])))
                return (weights[d] / Math.sqrt(width)) * context
              })
            )
          },
          "linearAttention"
        )
      })
    )

    holds(
      "einsum: the sum over all letters",
      fc
        .tuple(
          fc.constantFrom(
            "ij,jk->ik",
            "ij,jk->ki",
            "bij,bjk->bik",
            "bhid,bhjd->bhij",
            "ii->i",
            "ii",
            "iij->ji",
            "ij->",
            "ij->ji",
            "i,j->ij",
            "i,j->ji",
            "ij,ij->ij",
            "ijk,jil->kl",
            "ab,bc,cd->ad",
            "ab,cd,bc->da",
            "iji,jk->k",
            "ij,k->i",
            "i,i,i->i",
            "kj,ik",
            "abcd,cdab->",
            " i j , j -> i ",
            ",i->i",
            "->"
          ),
          fc.array(A.some, { minLength: 8, maxLength: 8 }),
          fc.noShrink(fc.nat())
        )
        .map(([equation, sizes, seed]) => {
          const size = (letter: string) => sizes[letter.charCodeAt(0) % sizes.length]
          const [left, right] = equation.replaceAll(" ", "").split("->")
          const terms = left.split(",")
          const operands = terms.map((term, n) =>
            A.fill([...term].map(size), "float32", seed + n, A.uniform(-2, 2))
          )
          const letters = [...new Set(left.replaceAll(",", ""))].sort()
          const once = letters.filter((each) => left.split(each).length === 2)
          return { equation, operands, terms, letters, result: right ?? once.join(""), size }
        }),
      Effect.fnUntraced(function* ({ equation, letters, operands, result, size, terms }) {
        const y = yield* evaluate(operands, (operands) => T.einsum(equation, ...operands))
        const read = operands.map(reader)
        const shape = [...result].map(size)
        const sums = new Map<string, number>()
        for (const assignment of indices(letters.map(size))) {
          const value = (letter: string) => assignment[letters.indexOf(letter)]
          const product = terms.reduce((done, term, i) => done * read[i]([...term].map(value)), 1)
          const target = [...result].map(value).join()
          sums.set(target, (sums.get(target) ?? 0) + product)
        }
        expectArray(y, shape, (i) => sums.get(i.join()) ?? 0, equation)
      }),
      30
    )

    holds(
      "pad: reflect and edge",
      A.shapes({ size: A.some, min: 1, max: 3 }).chain((shape) =>
        fc.tuple(
          floats(shape),
          fc.tuple(...shape.map((n) => fc.tuple(fc.nat({ max: n - 1 }), fc.nat({ max: n - 1 })))),
          fc.tuple(...shape.map(() => fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 }))))
        )
      ),
      Effect.fnUntraced(function* ([x, inner, outer]) {
        const { edge, reflect, value } = yield* evaluate({ x }, ({ x }) => ({
          reflect: T.pad(x, inner, { mode: "reflect" }),
          edge: T.pad(x, outer, { mode: "edge" }),
          value: T.pad(x, outer, { value: -7 })
        }))
        const at = reader(x)
        const padded = (widths: ReadonlyArray<readonly [number, number]>) =>
          x.shape.map((n, i) => n + widths[i][0] + widths[i][1])
        expectArray(
          reflect,
          padded(inner),
          (i) =>
            at(
              i.map((each, axis) => {
                const place = Math.abs(each - inner[axis][0])
                const last = x.shape[axis] - 1
                return place > last ? 2 * last - place : place
              })
            ),
          "reflect"
        )
        const inside = (i: Index) => i.map((each, axis) => each - outer[axis][0])
        expectArray(
          edge,
          padded(outer),
          (i) => at(inside(i).map((each, axis) => Math.min(Math.max(each, 0), x.shape[axis] - 1))),
          "edge"
        )
        expectArray(
          value,
          padded(outer),
          (i) =>
            inside(i).every((each, axis) => each >= 0 && each < x.shape[axis]) ? at(inside(i)) : -7,
          "constant"
        )
      })
    )

    for (const dtype of ["float32", "int32", "uint32"] as const) {
      holds(
        `sort, argSort, argMax, argMin of ${dtype}: stable, the first of several`,
        withAxis(
          dtype === "float32"
            ? A.sometimes(0.5, A.whole(-1, 1), A.uniform(-3, 3))
            : A.sometimes(
                0.3,
                A.oneOf(dtype === "int32" ? [-(2 ** 31), 2 ** 31 - 1] : [2 ** 31, 2 ** 32 - 1]),
                A.whole(0, 3)
              ),
          dtype
        ),
        Effect.fnUntraced(function* ([x, axis]) {
          const results = yield* evaluate({ x }, (given) => {
            const x = given.x as Float
            return {
              up: T.sort(x, { axis }),
              down: T.sort(x, { axis, descending: true }),
              upAt: T.argSort(x, { axis }),
              downAt: T.argSort(x, { axis, descending: true }),
              most: T.argMax(x, { axis }),
              least: T.argMin(x, { axis })
            }
          })
          const at = reader(x)
          const row = (i: Index) => range(x.shape[axis]).map((k) => at(put(i, axis, k)))
          const order = (i: Index, direction: number) => {
            const values = row(i)
            return range(values.length).toSorted(
              (a, b) => direction * (values[a] - values[b]) || a - b
            )
          }
          const wide = (i: Index) => [...i.slice(0, axis), 0, ...i.slice(axis)]
          expectArray(results.up, x.shape, (i) => row(i)[order(i, 1)[i[axis]]], "ascending")
          expectArray(results.down, x.shape, (i) => row(i)[order(i, -1)[i[axis]]], "descending")
          expectArray(results.upAt, x.shape, (i) => order(i, 1)[i[axis]], "argSort")
          expectArray(results.downAt, x.shape, (i) => order(i, -1)[i[axis]], "argSort, descending")
          const rest = without(x.shape, axis)
          expectArray(results.most, rest, (i) => order(wide(i), -1)[0], "argMax")
          expectArray(results.least, rest, (i) => order(wide(i), 1)[0], "argMin")
        })
      )
    }

    holds(
      "cumProd, cumSum in all four ways",
      withAxis(A.uniform(-1.5, 1.5)),
      Effect.fnUntraced(function* ([x, axis]) {
        const results = yield* evaluate({ x }, (given) => {
          const x = given.x as Float
          return {
            prod: T.cumProd(x, { axis }),
            sums: [false, true].flatMap((reverse) =>
              [false, true].map((exclusive) => T.cumSum(x, { axis, reverse, exclusive }))
            )
          }
        })
        const at = reader(x)
        const row = (i: Index, keep: (k: number) => boolean) =>
          range(x.shape[axis])
            .filter(keep)
            .map((k) => at(put(i, axis, k)))
        expectArray(results.prod, x.shape, (i) =>
          row(i, (k) => k <= i[axis]).reduce((a, b) => a * b, 1)
        )
        const kept: ReadonlyArray<(k: number, here: number) => boolean> = [
          (k, here) => k <= here,
          (k, here) => k < here,
          (k, here) => k >= here,
          (k, here) => k > here
        ]
        results.sums.forEach((each, n) => {
          expectArray(each, x.shape, (i) => add(row(i, (k) => kept[n](k, i[axis]))), `cumSum ${n}`)
        })
      })
    )

    holds(
      "take, takeAlong, scatterAdd, oneHot",
      fc
        .tuple(
          A.shapes({ size: A.some, min: 1, max: 3 }),
          fc.nat(),
          fc.array(fc.nat(), { minLength: 1, maxLength: 5 })
        )
        .chain(([shape, a, picks]) => {
          const axis = a % shape.length
          const at = picks.map((each) => (each % (2 * shape[axis])) - shape[axis])
          const alongShape = shape.map((n, i) => (i === axis ? picks.length : n))
          return fc.tuple(
            fc.constant({ axis, at }),
            floats(shape),
            A.array(alongShape, "int32", A.whole(0, shape[axis] - 1))
          )
        }),
      Effect.fnUntraced(function* ([{ axis, at: places }, x, along]) {
        const n = x.shape[axis]
        const results = yield* evaluate({ x, along }, ({ x, along }) => {
          const taken = T.take(x, places, { axis })
          return {
            taken,
            along: T.takeAlong(x, along, { axis }),
            back: T.scatterAdd(T.constant(Int32Array.from(places)), taken, { size: n, axis }),
            hot: T.oneHot(T.constant(Int32Array.from(places)), n)
          }
        })
        const [read, pick] = [reader(x), reader(along)]
        const counted = places.map((each) => (each < 0 ? each + n : each))
        expectArray(
          results.taken,
          x.shape.map((each, i) => (i === axis ? places.length : each)),
          (i) => read(put(i, axis, counted[i[axis]])),
          "take"
        )
        expectArray(results.along, along.shape, (i) => read(put(i, axis, pick(i))), "takeAlong")
        expectArray(
          results.back,
          x.shape,
          (i) => read(i) * counted.filter((each) => each === i[axis]).length,
          "scatterAdd"
        )
        // an index from the end is no class
        expectArray(
          results.hot,
          [places.length, n],
          ([i, k]) => (places[i] === k ? 1 : 0),
          "oneHot"
        )
      })
    )

    holds(
      "pixelShuffle: where every element goes, and back",
      fc
        .tuple(
          A.some,
          A.some,
          fc.integer({ min: 1, max: 3 }),
          A.shapes({ size: A.some, min: 1, max: 3 })
        )
        .chain(([n, c, factor, space]) =>
          fc.tuple(fc.constant(factor), floats([n, c * factor ** space.length, ...space]))
        ),
      Effect.fnUntraced(function* ([factor, x]) {
        const { back, shuffled } = yield* evaluate({ x }, ({ x }) => {
          const shuffled = T.pixelShuffle(x, factor)
          return { shuffled, back: T.pixelUnshuffle(shuffled, factor) }
        })
        const [[n, c, ...space], at] = [x.shape, reader(x)]
        const per = factor ** space.length
        expectArray(
          shuffled,
          [n, c / per, ...space.map((size) => size * factor)],
          ([batch, channel, ...place]) => {
            const offset = place.reduce((sum, each) => sum * factor + (each % factor), 0)
            return at([
              batch,
              channel * per + offset,
              ...place.map((each) => Math.floor(each / factor))
            ])
          },
          "pixelShuffle"
        )
        A.agree(back, x, 0, "back again")
      })
    )

    holds(
      "conv, convTranspose: sums over the kernel, sizes as documented",
      fc
        .record({
          n: fc.integer({ min: 1, max: 2 }),
          groups: fc.integer({ min: 1, max: 2 }),
          rank: fc.integer({ min: 1, max: 2 }),
          kernel: fc.integer({ min: 1, max: 3 }),
          stride: fc.integer({ min: 1, max: 3 }),
          dilation: fc.integer({ min: 1, max: 2 }),
          before: fc.nat({ max: 2 }),
          after: fc.nat({ max: 2 }),
          more: fc.nat({ max: 4 }),
          extra: fc.nat(),
          seed: fc.noShrink(fc.nat())
        })
        .map(({ before, after, dilation, extra, groups, kernel, more, n, rank, seed, stride }) => {
          const reach = dilation * (kernel - 1)
          const size = Math.max(1, reach + 1 - before - after) + more
          const [x, w] = [
            A.fill(
              [n, 2 * groups, ...range(rank).map(() => size)],
              "float32",
              seed,
              A.uniform(-1, 1)
            ),
            A.fill(
              [3 * groups, 2, ...range(rank).map(() => kernel)],
              "float32",
              seed + 1,
              A.uniform(-1, 1)
            )
          ]
          const padding = range(rank).map(() => [before, after] as const)
          return {
            x,
            w,
            options: { stride, dilation, groups, padding },
            outputPadding: extra % stride,
            reach,
            before,
            after
          }
        })
        // where the padding leaves something of a transposed convolution
        .filter(({ x, options, outputPadding, reach, before, after }) => {
          const out = Math.floor((x.shape[2] + before + after - reach - 1) / options.stride) + 1
          return (out - 1) * options.stride - before - after + reach + 1 + outputPadding >= 0
        }),
      Effect.fnUntraced(function* ({ after, before, options, outputPadding, reach, w, x }) {
        const { stride, dilation, groups } = options
        const { conv, back, same } = yield* evaluate({ x, w }, ({ x, w }) => {
          const conv = T.conv(x, w, options)
          return {
            conv,
            back: T.convTranspose(conv, w, { ...options, outputPadding }),
            same: T.conv(x, w, { padding: "same", groups, dilation, stride })
          }
        })
        const [[n, , ...space], [o, , ...kernel], at, weight] = [
          x.shape,
          w.shape,
          reader(x),
          reader(w)
        ]
        const out = space.map(
          (size) => Math.floor((size + before + after - reach - 1) / stride) + 1
        )
        const convolved =
          (low: ReadonlyArray<number>) =>
          ([b, k, ...p]: Index) =>
            add(
              indices(kernel).map((q) => {
                const place = p.map((each, i) => each * stride + q[i] * dilation - low[i])
                if (place.some((each, i) => each < 0 || each >= space[i])) return 0
                const group = Math.floor((k * groups) / o)
                return add(
                  range(2).map((c) => at([b, 2 * group + c, ...place]) * weight([k, c, ...q]))
                )
              })
            )
        expectArray(conv, [n, o, ...out], convolved(space.map(() => before)), "conv")
        expectArray(
          same,
          [n, o, ...space.map((size) => Math.ceil(size / stride))],
          convolved(
            space.map((size) =>
              Math.floor(
                Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach + 1 - size) / 2
              )
            )
          ),
          `"same"`
        )
        const wide = out.map(
          (size) => (size - 1) * stride - before - after + reach + 1 + outputPadding
        )
        const y = reader(conv)
        expectArray(
          back,
          [n, 2 * groups, ...wide],
          ([b, c, ...place]) => {
            const group = Math.floor(c / 2)
            return add(
              indices(kernel).flatMap((q) => {
                const from = place.map((each, i) => (each + before - q[i] * dilation) / stride)
                if (from.some((each, i) => !Number.isInteger(each) || each < 0 || each >= out[i]))
                  return []
                return range(3).map(
                  (k) => y([b, 3 * group + k, ...from]) * weight([3 * group + k, c % 2, ...q])
                )
              })
            )
          },
          "convTranspose"
        )
      }),
      12
    )

    holds(
      "maxPool, avgPool, resize",
      fc
        .record({
          space: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 2 }),
          window: fc.integer({ min: 1, max: 3 }),
          stride: fc.integer({ min: 1, max: 3 }),
          padding: fc.nat({ max: 2 }),
          target: fc.integer({ min: 1, max: 9 }),
          seed: fc.noShrink(fc.nat())
        })
        .map(({ padding, space, target, seed, stride, window }) => ({
          pool: {
            window: space.map((size) => Math.min(window, size)),
            stride,
            padding: space.map((size) => padding % Math.min(window, size))
          },
          size: space.map((_, i) => target + i),
          x: A.fill([2, 1, ...space], "float32", seed, A.uniform(-3, 3))
        })),
      Effect.fnUntraced(function* ({ pool, size, x }) {
        const { linear, max, mean, nearest } = yield* evaluate({ x }, ({ x }) => ({
          max: T.maxPool(x, pool),
          mean: T.avgPool(x, pool),
          nearest: T.resize(x, { size }),
          linear: T.resize(x, { size, mode: "linear" })
        }))
        const [, , ...space] = x.shape
        const at = reader(x)
        const { padding, stride, window } = pool
        const out = space.map((n, i) => Math.floor((n + 2 * padding[i] - window[i]) / stride) + 1)
        const seen = ([n, c, ...p]: Index) =>
          indices(window).flatMap((q) => {
            const place = p.map((each, i) => each * stride + q[i] - padding[i])
            return place.every((each, i) => each >= 0 && each < space[i])
              ? [at([n, c, ...place])]
              : []
          })
        expectArray(max, [2, 1, ...out], (i) => Math.max(...seen(i)), "maxPool")
        expectArray(mean, [2, 1, ...out], (i) => add(seen(i)) / Shape.size(window), "avgPool")
        expectArray(
          nearest,
          [2, 1, ...size],
          ([n, c, ...p]) =>
            at([n, c, ...p.map((each, i) => Math.floor((each * space[i]) / size[i]))]),
          "nearest"
        )
        expectArray(
          linear,
          [2, 1, ...size],
          ([n, c, ...p]) =>
            // between the pixel centres around it, along every axis
            add(
              indices(space.map(() => 2)).map((corner) => {
                const sides = p.map((each, i) => {
                  const place = Math.max(((each + 0.5) * space[i]) / size[i] - 0.5, 0)
                  const low = Math.min(Math.floor(place), space[i] - 1)
                  const part = Math.min(place - low, 1)
                  return corner[i] === 0
                    ? { at: low, share: 1 - part }
                    : { at: Math.min(low + 1, space[i] - 1), share: part }
                })
                return (
                  sides.reduce((product, { share }) => product * share, 1) *
                  at([n, c, ...sides.map((side) => side.at)])
                )
              })
            ),
          "linear"
        )
      }),
      15
    )

    holds(
      "losses",
      fc
        .tuple(A.shapes({ size: A.some, max: 2 }), A.some)
        .chain(([shape, classes]) =>
          fc.tuple(
            floats(shape),
            floats(shape),
            A.array(shape, "float32", A.uniform(0, 1)),
            floats([...shape, classes]),
            A.array(shape, "int32", A.whole(0, classes - 1))
          )
        ),
      Effect.fnUntraced(function* ([a, b, p, logits, labels]) {
        const results = yield* evaluate(
          { a, b, p, logits, labels },
          ({ a, b, p, logits, labels }) => ({
            mse: Loss.mse(a, b),
            each: Loss.mse(a, b, { reduction: "none" }),
            l1: Loss.l1(a, b, { reduction: "sum" }),
            huber: Loss.huber(a, b, { delta: 0.7, reduction: "none" }),
            binary: Loss.binaryCrossEntropy(a, p, { reduction: "none" }),
            classes: Loss.crossEntropy(logits, labels, { reduction: "none" }),
            mean: Loss.crossEntropy(logits, labels)
          })
        )
        const all = indices(a.shape)
        const [x, y, q, z, label] = [a, b, p, logits, labels].map(reader)
        const mean = (f: (i: Index) => number) => add(all.map(f)) / all.length
        const square = (i: Index) => (x(i) - y(i)) ** 2
        expectArray(results.mse, [], () => mean(square), "mse")
        expectArray(results.each, a.shape, square, "mse of each")
        expectArray(results.l1, [], () => add(all.map((i) => Math.abs(x(i) - y(i)))), "l1")
        expectArray(
          results.huber,
          a.shape,
          (i) => {
            const d = Math.abs(x(i) - y(i))
            return d <= 0.7 ? d ** 2 / 2 : 0.7 * (d - 0.35)
          },
          "huber"
        )
        expectArray(
          results.binary,
          a.shape,
          (i) => -q(i) * Math.log(sigmoid(x(i))) - (1 - q(i)) * Math.log(1 - sigmoid(x(i))),
          "binaryCrossEntropy"
        )
        const classes = logits.shape[logits.shape.length - 1]
        const entropy = (i: Index) =>
          Math.log(add(range(classes).map((c) => Math.exp(z([...i, c]))))) - z([...i, label(i)])
        expectArray(results.classes, a.shape, entropy, "crossEntropy of each")
        expectArray(results.mean, [], () => mean(entropy), "crossEntropy")
      })
    )

    it.effect("what is made of numbers alone", () =>
      Effect.gen(function* () {
        const results = yield* evaluate(
          { n: T.hostArray([-2.5, -0.5, 0, 0.5, 1.5, 2.5, 7]) },
          ({ n }) => ({
            eye: T.eye(3),
            triangle: T.lowerTriangle(2, 4, 1),
            linspace: T.linspace(-1, 2, 4),
            arange: T.arange(4, "float32"),
            iota: T.iota([2, 3], -1),
            ones: T.onesLike(n),
            ceil: T.ceil(n),
            floor: T.floor(n),
            round: T.round(n),
            sign: T.sign(n),
            remainder: T.remainder(n, 2),
            backwards: T.remainder(n, -2),
            finite: T.isFinite(T.div(1, n)),
            truth: [
              T.any(T.greater(n, 6)),
              T.all(T.greater(n, 6)),
              T.xor(T.less(n, 0), T.lessEqual(n, 0)),
              T.notEqual(n, 0.5),
              T.greaterEqual(n, 0.5)
            ]
          })
        )
        A.close(results.eye, [1, 0, 0, 0, 1, 0, 0, 0, 1])
        A.close(results.triangle, [1, 1, 0, 0, 1, 1, 1, 0])
        A.close(results.linspace, [-1, 0, 1, 2])
        A.close(results.arange, [0, 1, 2, 3])
        A.close(results.iota, [0, 1, 2, 0, 1, 2])
        A.close(results.ones, [1, 1, 1, 1, 1, 1, 1])
        A.close(results.ceil, [-2, 0, 0, 1, 2, 3, 7])
        A.close(results.floor, [-3, -1, 0, 0, 1, 2, 7])
        A.close(results.round, [-2, 0, 0, 0, 2, 2, 7])
        A.close(results.sign, [-1, -1, 0, 1, 1, 1, 1])
        A.close(results.remainder, [1.5, 1.5, 0, 0.5, 1.5, 0.5, 1])
        A.close(results.backwards, [-0.5, -0.5, 0, -1.5, -0.5, -1.5, -1])
        A.close(results.finite, [1, 1, 0, 1, 1, 1, 1])
        const [any, all, xor, unequal, atLeast] = results.truth
        A.close(any, [1])
        A.close(all, [0])
        A.close(xor, [0, 0, 1, 0, 0, 0, 0])
        A.close(unequal, [1, 1, 1, 0, 1, 1, 1])
        A.close(atLeast, [0, 0, 0, 1, 1, 1, 1])
      })
    )
  })
}
