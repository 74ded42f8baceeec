/**
 * Data sets: items by their numbers, and the stream of batches that a training sees.
 *
 * A data set answers for single items, `read`; which of them make a batch is a pure function of the seed and the batch's number, so a
 * training that goes on at step n sees what it would have seen. Epochs follow each other without a gap, each in an order of its own:
 * position p = step·batch + i of the stream is item π_e(p mod size) of epoch e = ⌊p/size⌋.
 *
 * Images have values between −1 and 1 and channels first, `[channels, height, width]`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { HostRandom, Shape, type Tensor } from "../Tensor/index.ts"
import {
  attempt,
  checked,
  classesOf,
  demand,
  demandWhole,
  hash,
  itemsOf,
  writeBytes
} from "./internal/data.ts"
import type { DataError, FileError } from "./PipelineError.ts"
import type { Seed } from "./Sample.ts"

/**
 * An item asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draw {
  /** Which item, from 0 on. */
  readonly index: number
  /** Of whatever is random about it, this time: augmentation. */
  readonly key: HostRandom.Key
}

/**
 * Some items, one after the other.
 *
 * @since 0.1.0
 * @category models
 */
export interface Items {
  /** `[items, …shape]` */
  readonly data: Tensor.HostArray<ReadonlyArray<number>, "float32">
  /** `[items]`: the class of each, from 0 on; of a data set that has classes. */
  readonly labels?: Tensor.HostArray<readonly [number], "int32">
}

/**
 * Items that can be asked for by their numbers, all of one shape.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dataset {
  /** For people. */
  readonly name: string
  /** How many items; infinite if there is no end. */
  readonly size: number
  /** Of one item. */
  readonly shape: ReadonlyArray<number>
  /** The classes' names, or `undefined` where items have none. */
  readonly classes: ReadonlyArray<string> | undefined
  /** The same for the same items in the same order: what a resumed training holds its data to. */
  readonly fingerprint: string
  readonly read: (draws: ReadonlyArray<Draw>) => Effect.Effect<Items, DataError | FileError>
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isDataset = (u: unknown): u is Dataset =>
  Predicate.hasProperty(u, "read") && Predicate.hasProperty(u, "fingerprint")

/**
 * Items of a stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch extends Items {
  /** Which batch, from 0 on. */
  readonly step: number
  /** The epoch of its first item, from 0 on; 0 if the data set has no end. */
  readonly epoch: number
  /** Which items of the data set these are. */
  readonly indices: ReadonlyArray<number>
}

/**
 * What a batch is made by.
 *
 * @since 0.1.0
 * @category models
 */
export interface DrawOptions {
  /** How many items. */
  readonly batch: number
  /** Of the order and of augmentation. */
  readonly seed: Seed
  /** Whether each epoch has an order of its own; as it has unless told. A data set without an end is taken in order. */
  readonly shuffle?: boolean | undefined
}

/**
 * - `from`: the number of the first batch; 0 unless told
 * - `prefetch`: how many batches are read ahead, all at the same time, while one is used; 2 unless told
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchesOptions extends DrawOptions {
  readonly from?: number | undefined
  readonly prefetch?: number | undefined
}

/**
 * What all items of a data set say at once, in memory.
 *
 * @since 0.1.0
 * @category models
 */
export type Arrays = {
  /** For people, and the `source` of its errors. */
  readonly name: string
  /** Of one item. */
  readonly shape: ReadonlyArray<number>
  /** The class of each item, from 0 on. */
  readonly labels?: ArrayLike<number> | undefined
  /** The classes' names; their numbers unless told, if there are labels. */
  readonly classes?: ReadonlyArray<string> | undefined
} & (
  | {
      /** All items, one after the other. A byte b stands for b/127.5 − 1, and stays a byte in memory. */
      readonly bytes: Uint8Array
    }
  | {
      /** All items, one after the other: the values themselves. */
      readonly floats: Float32Array
    }
)

/**
 * A data set in memory. The arrays are not copied: leave them as they are from then on. Throws `DataError` where they do not agree, hold
 * no items, or values that are not finite.
 *
 * ```ts
 * const squares = Dataset.fromArrays({ name: "squares", shape: [1, 28, 28], bytes, labels })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromArrays = (arrays: Arrays): Dataset => {
  const { name, shape } = arrays
  const given = "bytes" in arrays ? arrays.bytes : arrays.floats
  demand(
    shape.every((size) => Number.isInteger(size) && size > 0),
    name,
    "shape",
    () => `an item's sizes must be whole numbers above 0, not [${shape}]`
  )
  const each = Shape.size(shape)
  demand(given.length > 0, name, "empty", () => "there are no items")
  demand(
    given.length % each === 0,
    name,
    "shape",
    () => `${given.length} values are no whole number of items of [${shape}], ${each} values each`
  )
  const size = given.length / each
  demand(
    arrays.labels === undefined || arrays.labels.length === size,
    name,
    "shape",
    () => `there are ${arrays.labels?.length} labels for ${size} items`
  )
  demand(
    arrays.labels !== undefined || arrays.classes === undefined,
    name,
    "options",
    () => "there are classes but no labels: give the class of each item, or leave out the classes"
  )
  const classes = arrays.labels && classesOf(name, arrays.labels, arrays.classes)
  const labels = arrays.labels && Int32Array.from(arrays.labels)
  const odd = given instanceof Float32Array ? given.findIndex((x) => !Number.isFinite(x)) : -1
  demand(
    odd < 0,
    name,
    "value",
    () => `item ${Math.floor(odd / each)} has the value ${given[odd]}; leave such items out`
  )
  const copy =
    given instanceof Float32Array
      ? (to: Float32Array, at: number, from: number) => {
          to.set(given.subarray(from, from + each), at)
        }
      : (to: Float32Array, at: number, from: number) => {
          writeBytes(given.subarray(from, from + each), to, at)
        }
  return {
    name,
    size,
    shape,
    classes,
    fingerprint: hash(
      { shape, classes, kind: given.BYTES_PER_ELEMENT },
      given,
      ...(labels ? [labels] : [])
    ),
    read: (draws) =>
      attempt(() => {
        const data = new Float32Array(draws.length * each)
        draws.forEach(({ index }, i) => {
          copy(data, i * each, checked(name, size, index) * each)
        })
        return itemsOf(shape, data, labels && Int32Array.from(draws, ({ index }) => labels[index]))
      })
  }
}

/**
 * The key of a seed. Throws `DataError`, about `source`, for a number that is none.
 *
 * @since 0.1.0
 * @category keys
 */
export const keyOf = (source: string, seed: Seed): HostRandom.Key => {
  demand(
    typeof seed !== "number" || Number.isSafeInteger(seed),
    source,
    "options",
    () => `a seed is a whole number below 2^53, a bigint or a key, not ${seed}`
  )
  return typeof seed === "object" ? seed : HostRandom.key(seed)
}

/**
 * Of a key, the one with a number: as `HostRandom.foldIn`, for numbers up to 2⁵³.
 *
 * @since 0.1.0
 * @category keys
 */
export const keyAt = (key: HostRandom.Key, position: number): HostRandom.Key =>
  HostRandom.foldIn(HostRandom.foldIn(key, Math.floor(position / 2 ** 32)), position % 2 ** 32)

/**
 * What each batch of `batches` asks for, by its number. Throws `DataError` for options that make no sense, such as a batch larger than the
 * data set.
 *
 * @since 0.1.0
 * @category draws
 */
export const draws = (
  { name, size }: Pick<Dataset, "name" | "size">,
  { batch, seed, shuffle = true }: DrawOptions
): ((step: number) => ReadonlyArray<Draw>) => {
  demandWhole(name, "batch", batch, 1)
  demand(
    batch <= size,
    name,
    "options",
    () =>
      `a batch of ${batch} is more than the ${size} items there are: ask for at most ${size}, or add to the data`
  )
  const [orders, keys] = HostRandom.split(keyOf(name, seed), 2)
  // a batch lies in two epochs at most
  const known = new Map<number, Int32Array>()
  const orderOf = (epoch: number): Int32Array => {
    const found = known.get(epoch)
    if (found !== undefined) return found
    const { data } = HostRandom.permutation(keyAt(orders, epoch), size)
    if (known.size === 2) known.delete(known.keys().next().value as number)
    known.set(epoch, data)
    return data
  }
  const indexOf = (position: number): number => {
    if (size === Number.POSITIVE_INFINITY) return position
    const within = position % size
    return shuffle ? orderOf(Math.floor(position / size))[within] : within
  }
  return (step) => {
    demandWhole(name, "the number of a batch", step, 0)
    return Array.from({ length: batch }, (_, i) => {
      const position = step * batch + i
      return { index: indexOf(position), key: keyAt(keys, position) }
    })
  }
}

/**
 * Batches without an end, from any number on: those from step n on are the same, bit by bit, as those of a stream from its beginning
 * with n dropped. Later ones are read while one is used.
 *
 * Fails with `DataError` for options that make no sense, such as a batch larger than the data set, and with what `read` fails with.
 *
 * ```ts
 * Dataset.batches(digits, { batch: 64, seed: 7 }).pipe(
 *   Stream.take(1000),
 *   Stream.runForEach(({ step, data, labels }) => learn(step, data, labels))
 * )
 * ```
 *
 * @since 0.1.0
 * @category streams
 */
export const batches = (
  self: Dataset,
  options: BatchesOptions
): Stream.Stream<Batch, DataError | FileError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { batch, from = 0, prefetch = 2 } = options
      const drawsOf = yield* attempt(() => {
        demandWhole(self.name, "from", from, 0)
        demandWhole(self.name, "prefetch", prefetch, 0)
        return draws(self, options)
      })
      const read = Effect.fnUntraced(function* (step: number) {
        const asked = yield* attempt(() => drawsOf(step))
        const epoch =
          self.size === Number.POSITIVE_INFINITY ? 0 : Math.floor((step * batch) / self.size)
        const indices = asked.map(({ index }) => index)
        return { ...(yield* self.read(asked)), step, epoch, indices } satisfies Batch
      })
      const scope = yield* Effect.scope
      type Begun = ReadonlyArray<Fiber.Fiber<Batch, DataError | FileError>>
      return Stream.unfold(
        { step: from, begun: [] as Begun },
        Effect.fnUntraced(function* ({ step, begun }) {
          const all = [...begun]
          while (all.length <= prefetch) {
            all.push(yield* Effect.forkIn(read(step + all.length), scope))
          }
          const [next, ...later] = all
          return [yield* Fiber.join(next), { step: step + 1, begun: later }] as const
        })
      )
    })
  )

/**
 * Items in order, each once: for evaluation. The last batch has what is left.
 *
 * Fails with `DataError` for options that make no sense, such as more items than there are, and with what `read` fails with.
 *
 * - `batch`: how many items at once
 * - `from`: the first item; 0 unless told
 * - `count`: how many items; all that follow unless told, which a data set without an end must be
 * - `seed`: of augmentation, for data sets that have any; 0 unless told
 *
 * @since 0.1.0
 * @category streams
 */
export const sequence = (
  self: Dataset,
  options: {
    readonly batch: number
    readonly from?: number | undefined
    readonly count?: number | undefined
    readonly seed?: Seed | undefined
  }
): Stream.Stream<Items, DataError | FileError> =>
  Stream.unwrap(
    attempt(() => {
      const { batch, from = 0, count = self.size - from, seed = 0 } = options
      demandWhole(self.name, "batch", batch, 1)
      demandWhole(self.name, "from", from, 0)
      demand(
        from <= self.size,
        self.name,
        "options",
        () => `there is nothing from item ${from} on: it has ${self.size}`
      )
      demand(
        count !== Number.POSITIVE_INFINITY,
        self.name,
        "options",
        () => "its items have no end: say how many, by count"
      )
      demandWhole(self.name, "count", count, 0)
      demand(
        from + count <= self.size,
        self.name,
        "options",
        () => `there are no ${count} items from ${from} on: it has ${self.size}`
      )
      const key = keyOf(self.name, seed)
      return Stream.unfold(from, (first) => {
        const items = Math.min(batch, from + count - first)
        if (items <= 0) return Effect.undefined
        const asked = Array.from({ length: items }, (_, i) => ({
          index: first + i,
          key: keyAt(key, first + i)
        }))
        return Effect.map(self.read(asked), (read) => [read, first + items] as const)
      })
    })
  )

/** Some items of a data set under other numbers. */
const renumbered = (
  self: Dataset,
  size: number,
  fingerprint: string,
  to: (index: number) => number
): Dataset => {
  demand(size > 0, self.name, "empty", () => "no items are left")
  return {
    ...self,
    size,
    fingerprint,
    read: (draws) =>
      Effect.flatMap(
        attempt(() =>
          draws.map(({ index, key }) => ({ index: to(checked(self.name, size, index)), key }))
        ),
        self.read
      )
  }
}

const part = (self: Dataset, from: number, size: number): Dataset =>
  renumbered(self, size, hash([self.fingerprint, from, `${size}`]), (index) => from + index)

/**
 * The first items. Throws `DataError` if there are fewer.
 *
 * @since 0.1.0
 * @category transformations
 */
export const take: {
  (count: number): (self: Dataset) => Dataset
  (self: Dataset, count: number): Dataset
} = dual(2, (self: Dataset, count: number): Dataset => {
  demandWhole(self.name, "take: the count", count, 0)
  demand(
    count <= self.size,
    self.name,
    "options",
    () => `cannot take ${count} items: it has ${self.size}`
  )
  return part(self, 0, count)
})

/**
 * All but the first items. Throws `DataError` if none are left.
 *
 * @since 0.1.0
 * @category transformations
 */
export const skip: {
  (count: number): (self: Dataset) => Dataset
  (self: Dataset, count: number): Dataset
} = dual(2, (self: Dataset, count: number): Dataset => {
  demandWhole(self.name, "skip: the count", count, 0)
  return part(self, count, self.size - count)
})

/**
 * The items of some numbers, in that order. Throws `DataError` for a number that there is not.
 *
 * ```ts
 * const shuffled = Dataset.subset(images, HostRandom.permutation(key, images.size).data)
 * ```
 *
 * @since 0.1.0
 * @category transformations
 */
export const subset: {
  (indices: ArrayLike<number>): (self: Dataset) => Dataset
  (self: Dataset, indices: ArrayLike<number>): Dataset
} = dual(2, (self: Dataset, indices: ArrayLike<number>): Dataset => {
  const own = Float64Array.from(indices, (index) => checked(self.name, self.size, index))
  return renumbered(self, own.length, hash(self.fingerprint, own), (index) => own[index])
})

/**
 * The items of one data set and then those of another. Throws `DataError` if their shapes or classes differ, or if the first has no end.
 *
 * @since 0.1.0
 * @category transformations
 */
export const concat: {
  (that: Dataset): (self: Dataset) => Dataset
  (self: Dataset, that: Dataset): Dataset
} = dual(2, (self: Dataset, that: Dataset): Dataset => {
  const name = `${self.name} and ${that.name}`
  const { shape, classes } = self
  demand(
    Shape.equals(shape, that.shape),
    name,
    "shape",
    () => `one has items of [${shape}], the other of [${that.shape}]: resize, crop or pad one`
  )
  demand(JSON.stringify(classes) === JSON.stringify(that.classes), name, "options", () => {
    const [a, b] = [self, that].map(({ classes }) => classes?.join(", ") ?? "none")
    return `they must have the same classes; one has ${a}, the other ${b}`
  })
  demand(
    self.size !== Number.POSITIVE_INFINITY,
    name,
    "options",
    () => "the first has no end: put it last, or take some of it"
  )
  const size = self.size + that.size
  const each = Shape.size(shape)
  return {
    name,
    size,
    shape,
    classes,
    fingerprint: hash([self.fingerprint, that.fingerprint]),
    read: Effect.fnUntraced(function* (draws) {
      yield* attempt(() => {
        for (const { index } of draws) checked(name, size, index)
      })
      const data = new Float32Array(draws.length * each)
      const labels = classes && new Int32Array(draws.length)
      for (const { from, to, of } of [
        { of: self, from: 0, to: self.size },
        { of: that, from: self.size, to: size }
      ]) {
        const places = draws.flatMap(({ index }, i) => (index >= from && index < to ? [i] : []))
        if (places.length === 0) continue
        const read = yield* of.read(
          places.map((i) => ({ index: draws[i].index - from, key: draws[i].key }))
        )
        places.forEach((place, i) => {
          data.set(read.data.data.subarray(i * each, (i + 1) * each), place * each)
          if (labels && read.labels) labels[place] = read.labels.data[i]
        })
      }
      return itemsOf(shape, data, labels)
    })
  }
})

const childOf = ({ index, key }: Draw, child: number): Draw => ({
  index,
  key: HostRandom.foldIn(key, child)
})

/**
 * - `as`: what `apply` does, with all its numbers; it goes into the fingerprint
 * - `shape`: of the items made; that of those given unless told
 * - `apply`: makes an item of one: `from` is to be left as it is, `to` holds zeros. The draw's key is its own: none of the same item's
 *   other transformations has it
 *
 * @since 0.1.0
 * @category models
 */
export interface MapOptions {
  readonly as: string
  readonly shape?: ReadonlyArray<number> | undefined
  readonly apply: (from: Float32Array, to: Float32Array, draw: Draw) => void
}

/**
 * Other items made of a data set's, one of each. What is random about it must come of the draw's key, so that a training can be resumed.
 *
 * ```ts
 * const inverted = Dataset.map(digits, {
 *   as: "inverted",
 *   apply: (from, to) => from.forEach((x, i) => { to[i] = -x })
 * })
 * ```
 *
 * @since 0.1.0
 * @category transformations
 */
export const map: {
  (options: MapOptions): (self: Dataset) => Dataset
  (self: Dataset, options: MapOptions): Dataset
} = dual(2, (self: Dataset, { as, shape = self.shape, apply }: MapOptions): Dataset => {
  const [before, after] = [Shape.size(self.shape), Shape.size(shape)]
  return {
    ...self,
    shape,
    fingerprint: hash([self.fingerprint, as, shape]),
    read: (draws) =>
      Effect.flatMap(self.read(draws.map((draw) => childOf(draw, 0))), ({ data, labels }) =>
        attempt(() => {
          const made = new Float32Array(draws.length * after)
          draws.forEach((draw, i) => {
            apply(
              data.data.subarray(i * before, (i + 1) * before),
              made.subarray(i * after, (i + 1) * after),
              childOf(draw, 1)
            )
          })
          return itemsOf(shape, made, labels?.data)
        })
      )
  }
})

/**
 * - `size`: no end unless told
 * - `as`: what `item` draws, with all its numbers; it makes the fingerprint
 * - `item`: writes the item of a number into `to`, which holds zeros
 * - `label`: the class of the item of a number, if there are classes
 *
 * @since 0.1.0
 * @category models
 */
export interface Generated {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly classes?: ReadonlyArray<string> | undefined
  readonly size?: number | undefined
  readonly as: string
  readonly item: (index: number, to: Float32Array) => void
  readonly label?: ((index: number) => number) | undefined
}

/**
 * A data set whose items are computed when they are asked for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const generate = ({
  name,
  shape,
  classes,
  size = Number.POSITIVE_INFINITY,
  as,
  item,
  label
}: Generated): Dataset => {
  if (size !== Number.POSITIVE_INFINITY) demandWhole(name, "size", size, 1)
  const each = Shape.size(shape)
  return {
    name,
    size,
    shape,
    classes,
    fingerprint: hash([as, shape, classes, `${size}`]),
    read: (draws) =>
      attempt(() => {
        const data = new Float32Array(draws.length * each)
        draws.forEach(({ index }, i) => {
          item(checked(name, size, index), data.subarray(i * each, (i + 1) * each))
        })
        return itemsOf(shape, data, label && Int32Array.from(draws, ({ index }) => label(index)))
      })
  }
}
