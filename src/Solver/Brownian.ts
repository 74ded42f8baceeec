/**
 * Brownian paths by time: pure values that give the same path to whatever grid asks.
 *
 * Over an interval of length h a path W has the increment w = W(t) − W(s), of variance h, and the space–time area
 * K = ∫ₛᵗ (W(r) − W(s)) dr − ½hw, of variance h³/12, independent of w. Intervals behind each other, of lengths g and h, make
 * one with
 *
 * w = w₁ + w₂,  K = K₁ + K₂ + ½(h·w₁ − g·w₂).
 *
 * A {@link tree} finds both over any interval by halving (Li et al. 2020, arXiv:2001.01328): what is drawn at a node of the
 * tree is a function of the key and the node. Given w and K, the halves follow by Foster, Lyons & Oberhauser 2020,
 * arXiv:1905.11952, and Jelinčič & Foster 2024, arXiv:2405.06464. It goes down from the root to both ends at once and adds up
 * what lies between them, outwards from where they part, so that short increments are as precise as long ones.
 *
 * ```ts
 * const path = Brownian.tree(Brownian.float64Array(HostRandom.key(7), 100), { from: 0, to: 1 })
 * const { w, area } = path.increment(0.25, 0.375)
 * ```
 *
 * @since 0.1.0
 */
import * as DType from "../Tensor/DType.ts"
import { HostRandom, Random, Shape, Tensor, Tree } from "../Tensor/index.ts"
import * as Carrier from "./Carrier.ts"
import { ProblemError } from "./SolverError.ts"

/**
 * What a path does over an interval from s to t. Both change their sign when s and t change places.
 *
 * @since 0.1.0
 * @category models
 */
export interface Increment<V> {
  /** W(t) − W(s). */
  readonly w: V
  /** The space–time area ∫ₛᵗ (W(r) − W(s)) dr − ½(t − s)·w, as far as the straight line from W(s) to W(t) misses the path. */
  readonly area: V
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Path<V, S> {
  readonly increment: (s: S, t: S) => Increment<V>
}

/**
 * Where normals come from: by the number of a node, on one carrier.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source<V, S, B> {
  readonly carrier: Carrier.Carrier<V, S, B>
  /** Two independent vectors of standard normals for the node ⌊i⌋. */
  readonly normals: (i: S) => readonly [V, V]
  /** A time that nothing is differentiated by: paths have no derivatives. */
  readonly still: (time: S) => S
  /** Bits of a scalar, up to which whole numbers are exact. */
  readonly digits: number
}

/** An interval, or several behind each other. */
interface Piece<V, S> {
  readonly length: S
  readonly w: V
  readonly area: V
}

/** Where the way down to one end stands: in a node of length 1, with `x` from its start. */
interface Descent<V, S> {
  readonly x: S
  readonly node: S
  readonly w: V
  readonly area: V
  /** What lies between this end and the point where both ways parted. */
  readonly passed: Piece<V, S>
}

const demand = (holds: boolean, what: string, message: string): void => {
  if (!holds) throw new ProblemError({ what, message: `${what}: ${message}` })
}

/** On the host a verdict is known at once: there it is demanded, where a program can but go on with NaN. */
const demandKnown = (verdict: unknown, what: string, message: () => string): void => {
  if (verdict === false) demand(false, what, message())
}

/** The length of an interval whose ends come in any order. */
const lengthOf = (what: string, { from, to }: { readonly from: number; readonly to: number }) => {
  const length = Math.abs(to - from)
  demand(
    length > 0 && length < Number.POSITIVE_INFINITY,
    what,
    `a path needs an interval of some length, not one from ${from} to ${to}`
  )
  return length
}

/**
 * The virtual Brownian tree between two times (in either order): of one key the same path, whatever grid asks, forwards or
 * backwards. Increments over adjacent intervals add up to rounding.
 *
 * The interval is halved `depth` times (16 unless told), into leaves. Between times that do not lie in one leaf increments and
 * areas have exactly the law of Brownian motion, but that times within 1/64 of a leaf from its ends count as those ends, so
 * that rounding of times does no harm. So no step should be shorter than a few leaves; with `float32` times have 24 bits,
 * which the depth of 16 is made for.
 *
 * Outside of the interval there is no path: an increment throws `ProblemError` on the host, and is NaN on tensors.
 *
 * An increment takes 2·depth + 3 draws; on tensors it is one scan of `depth` steps.
 *
 * Throws `ProblemError` for an empty interval, or a depth that is no whole number above 0 or that scalars cannot tell.
 *
 * @since 0.1.0
 * @category paths
 */
export const tree = <V, S, B>(
  { carrier, normals, still, digits }: Source<V, S, B>,
  options: { readonly from: number; readonly to: number; readonly depth?: number }
): Path<V, S> => {
  const { scalar, add, sub, mul, min, max, less, and, or, not, select, combine, choose } = carrier
  const what = "Brownian.tree"
  const { depth = Math.min(16, digits - 1) } = options
  const most = Math.min(digits - 1, 30)
  demand(
    Number.isInteger(depth) && depth > 0 && depth <= most,
    what,
    `the depth must be a whole number from 1 to ${most}, not ${depth}`
  )
  const length = lengthOf(what, options)
  const leaf = length / 2 ** depth
  const margin = 1 / 64
  const [zero, one] = [scalar(0), scalar(1)]
  const times = (a: S, b: number): S => mul(a, scalar(b))

  const join = (a: Piece<V, S>, b: Piece<V, S>): Piece<V, S> => ({
    length: add(a.length, b.length),
    w: combine([
      [1, a.w],
      [1, b.w]
    ]),
    area: combine([
      [1, a.area],
      [1, b.area],
      [times(b.length, 0.5), a.w],
      [times(a.length, -0.5), b.w]
    ])
  })
  /** What is left of a piece behind its beginning. */
  const behind = (whole: Piece<V, S>, first: Piece<V, S>): Piece<V, S> => {
    const length = sub(whole.length, first.length)
    const w = combine([
      [1, whole.w],
      [-1, first.w]
    ])
    return {
      length,
      w,
      area: combine([
        [1, whole.area],
        [-1, first.area],
        [times(length, -0.5), first.w],
        [times(first.length, 0.5), w]
      ])
    }
  }
  const either = (verdict: B, a: Piece<V, S>, b: Piece<V, S>): Piece<V, S> => ({
    length: select(verdict, a.length, b.length),
    w: choose(verdict, a.w, b.w),
    area: choose(verdict, a.area, b.area)
  })
  /** The same where the unit of time is half as long: w goes with its root, the area with its power of 3/2. */
  const magnified = (piece: Piece<V, S>): Piece<V, S> => ({
    length: times(piece.length, 2),
    w: combine([[Math.SQRT2, piece.w]]),
    area: combine([[2 * Math.SQRT2, piece.area]])
  })

  /** Both halves of a node of length 1, again with length 1. */
  const halves = ({ node, w, area }: Descent<V, S>): readonly [Piece<V, S>, Piece<V, S>] => {
    const [a, b] = normals(node)
    const half = (side: 1 | -1): Piece<V, S> => ({
      length: one,
      w: combine([
        [Math.SQRT1_2, w],
        [side * 1.5 * Math.SQRT2, area],
        [side * Math.SQRT1_2 * 0.5, a]
      ]),
      area: combine([
        [Math.SQRT1_2 * 0.5, area],
        [-Math.SQRT1_2 * 0.25, a],
        [side / Math.sqrt(24), b]
      ])
    })
    return [half(1), half(-1)]
  }
  const right = ({ x }: Descent<V, S>): B => not(less(x, scalar(0.5)))
  const child = (at: Descent<V, S>, right: B, piece: Piece<V, S>, passed: Piece<V, S>) => {
    const bit = select(right, one, zero)
    return {
      x: sub(times(at.x, 2), bit),
      node: add(times(at.node, 2), bit),
      w: piece.w,
      area: piece.area,
      passed
    }
  }
  interface State {
    readonly start: Descent<V, S>
    readonly end: Descent<V, S>
    /** Whether both are still in one node. */
    readonly together: B
  }
  const level = ({ start, end, together }: State): State => {
    const [startRight, endRight] = [right(start), right(end)]
    const [s, t] = [halves(start), halves(end)]
    const [before, after] = [magnified(start.passed), magnified(end.passed)]
    // the half that lies between this end and the point of parting, if it does
    const startGrows = not(or(together, startRight))
    const endGrows = and(not(together), endRight)
    return {
      start: child(
        start,
        startRight,
        either(startRight, s[1], s[0]),
        either(startGrows, join(s[1], before), before)
      ),
      end: child(
        end,
        endRight,
        either(endRight, t[1], t[0]),
        either(endGrows, join(after, t[0]), after)
      ),
      together: and(together, or(startRight, not(endRight)))
    }
  }
  /** The part of a leaf up to x: with p = x and q = 1 − p the law of (w, K) over it, given those of the leaf. */
  const part = ({ x, node, w, area }: Descent<V, S>): Piece<V, S> => {
    const { pow } = carrier
    const [a, b] = normals(node)
    const p = min(max(times(sub(x, scalar(margin)), 1 / (1 - 2 * margin)), zero), one)
    const q = sub(one, p)
    const pq = mul(p, q)
    const cubes = sub(one, times(pq, 3)) // p³ + q³
    return {
      length: x,
      w: combine([
        [p, w],
        [times(pq, 6), area],
        [pow(mul(pq, cubes), 0.5), a]
      ]),
      area: combine([
        [pow(p, 3), area],
        [mul(times(pow(p, 3), -0.5), pow(carrier.div(pq, cubes), 0.5)), a],
        [mul(pq, pow(carrier.div(pq, times(cubes, 12)), 0.5)), b]
      ])
    }
  }

  return {
    increment: (from, to) => {
      const [s, t] = [from, to].map((time) =>
        times(sub(still(time), scalar(Math.min(options.from, options.to))), 1 / length)
      )
      const [first, last] = [min(s, t), max(s, t)]
      const slack = margin / 2 ** depth
      const inside = and(less(scalar(-slack), first), less(last, scalar(1 + slack)))
      demandKnown(
        inside,
        what,
        () =>
          `the path lies between ${options.from} and ${options.to} and knows no increment from ${from} to ${to}: make it over all times that are integrated`
      )
      const [w, third] = normals(zero)
      const area = combine([[1 / Math.sqrt(12), third]])
      const nothing = combine([[0, w]])
      const passed = { length: zero, w: nothing, area: nothing }
      const root = { node: one, w, area, passed }
      const [{ start, end, together }] = carrier.repeat(
        {
          start: { ...root, x: first },
          end: { ...root, x: last },
          together: carrier.verdict(true)
        },
        Array.from({ length: depth }, () => []),
        (state: State) => [level(state), {}]
      )
      const [head, tail] = [part(start), part(end)]
      const whole = { length: one, w: start.w, area: start.area }
      const between = join(
        join(behind(either(together, tail, whole), head), start.passed),
        join(end.passed, either(together, passed, tail))
      )
      const sign = select(less(t, s), scalar(-1), one)
      const unit = select(inside, times(sign, Math.sqrt(leaf)), scalar(Number.NaN))
      return {
        w: combine([[unit, between.w]]),
        area: combine([[times(unit, leaf), between.area]])
      }
    }
  }
}

/**
 * A path on one fixed grid of `count` equal steps (in either order of time): two draws a step, of which each step's are its
 * own. Another grid is another path. Over an interval that is not a step of the grid an increment throws `ProblemError` on
 * the host, and is NaN on tensors.
 *
 * Throws `ProblemError` for an empty interval, or a count that is no whole number above 0 or that scalars cannot tell.
 *
 * @since 0.1.0
 * @category paths
 */
export const steps = <V, S, B>(
  { carrier, normals, still, digits }: Source<V, S, B>,
  options: { readonly from: number; readonly to: number; readonly count: number }
): Path<V, S> => {
  const { scalar, add, sub, mul, abs, select, less, and, combine } = carrier
  const what = "Brownian.steps"
  const { count } = options
  const most = 2 ** Math.min(digits - 2, 31)
  demand(
    Number.isInteger(count) && count > 0 && count <= most,
    what,
    `the number of steps must be a whole number from 1 to ${most}, not ${count}`
  )
  const size = lengthOf(what, options) / count
  const start = scalar(Math.min(options.from, options.to))
  const place = (time: S): S => mul(sub(still(time), start), scalar(1 / size))
  return {
    increment: (from, to) => {
      const [s, t] = [place(from), place(to)]
      const middle = mul(add(s, t), scalar(0.5))
      const near = (distance: S, bound: number): B => less(abs(distance), scalar(bound))
      const inside = near(sub(middle, scalar(count / 2)), count / 2)
      const whole = and(inside, near(sub(abs(sub(t, s)), scalar(1)), 0.01))
      demandKnown(
        whole,
        what,
        () =>
          `the path has ${count} steps between ${options.from} and ${options.to}, and from ${from} to ${to} is none of them: integrate in these steps, or take Brownian.tree`
      )
      const [w, area] = normals(select(inside, middle, scalar(0)))
      const sign = select(less(t, s), scalar(-1), scalar(1))
      const unit = mul(select(whole, sign, scalar(Number.NaN)), scalar(Math.sqrt(size)))
      return {
        w: combine([[unit, w]]),
        area: combine([[mul(unit, scalar(size / Math.sqrt(12))), area]])
      }
    }
  }
}

/** Options of the sources on the host. */
interface HostOptions {
  /** `float64` unless told. `float32` draws the numbers of tensors of that dtype. */
  readonly dtype?: "float32" | "float64"
}

/** What was drawn last on each level is kept: steps in order then draw almost nothing twice. */
const onHost = <V>(
  carrier: Carrier.Carrier<V, number, boolean>,
  draw: (node: number) => readonly [V, V]
): Source<V, number, boolean> => {
  const kept: Array<{ readonly node: number; readonly pair: readonly [V, V] } | undefined> = []
  return {
    carrier,
    normals: (i) => {
      const node = Math.trunc(i)
      const level = Math.clz32(node)
      const last = kept[level]
      if (last?.node === node) return last.pair
      const pair = draw(node)
      kept[level] = { node, pair }
      return pair
    },
    still: (time) => time,
    digits: 53
  }
}

/**
 * One Brownian motion on the host.
 *
 * @since 0.1.0
 * @category sources
 */
export const number = (
  key: HostRandom.Key,
  { dtype = "float64" }: HostOptions = {}
): Source<number, number, boolean> =>
  onHost(Carrier.number, (node) => {
    const { data } = HostRandom.normal(HostRandom.foldIn(key, node), [2], { dtype })
    return [data[0], data[1]]
  })

/**
 * `length` independent Brownian motions on the host.
 *
 * @since 0.1.0
 * @category sources
 */
export const float64Array = (
  key: HostRandom.Key,
  length: number,
  { dtype = "float64" }: HostOptions = {}
): Source<Float64Array, number, boolean> =>
  onHost(Carrier.float64Array, (node) => {
    const { data } = HostRandom.normal(HostRandom.foldIn(key, node), [2, length], { dtype })
    return [Float64Array.from(data.subarray(0, length)), Float64Array.from(data.subarray(length))]
  })

/**
 * Independent Brownian motions for each element of a state like `like`: a tensor or spec, or a tree of them, of one float
 * dtype. It draws on a device what the sources on the host draw of the same key and shape (for trees: each leaf of its own
 * child of the key), so that the paths are equal to rounding.
 *
 * Keys may have batch axes, `[…batch, 2]`, with which all leaves then begin: each item draws what it would draw alone. With
 * `systems` (see `Carrier.tensor`) one key is split into a key for each.
 *
 * Throws `ProblemError` where the leaves do not fit the keys.
 *
 * @since 0.1.0
 * @category sources
 */
export const tensor = <V>(options: {
  readonly key: Tensor.Tensor<Shape.Shape, "uint32">
  readonly like: V
  readonly systems?: number
}): Source<V, Tensor.Any, Tensor.Any> => {
  const { systems, like } = options
  const what = "Brownian.tensor"
  const leaves = Tree.leaves<Tensor.Spec>(like)
  demand(leaves.length > 0, what, "a path needs a state with a tensor, or a spec, in it")
  const dtype = leaves[0].dtype
  demand(
    leaves.every((each) => each.dtype === dtype) && DType.isFloat(dtype),
    what,
    `a path has one float dtype, but the leaves have ${leaves.map((each) => each.dtype).join(", ")}`
  )
  const split = systems !== undefined && options.key.shape.length === 1
  const key: Tensor.Tensor<Shape.Shape, "uint32"> = split
    ? Random.split(options.key as Random.Key, systems)
    : options.key
  const batch = key.shape.slice(0, -1)
  demand(
    (systems === undefined || batch[0] === systems) &&
      leaves.every((each) => Shape.equals(each.shape.slice(0, batch.length), batch)),
    what,
    `keys ${Shape.show(key.shape)} need leaves that begin with ${Shape.show(systems === undefined ? batch : [systems, ...batch.slice(1)])}, but these have shapes ${leaves.map((each) => Shape.show(each.shape)).join(", ")}`
  )
  const keys = leaves.length === 1 ? [key] : Random.children(key, leaves.length)
  const drawn = (leaf: Tensor.Spec, key: Tensor.Tensor<Shape.Shape, "uint32">, node: Tensor.Any) =>
    Random.normal(
      Random.foldIn(key, node as Tensor.Tensor<Shape.Shape, "uint32">) as never,
      [2, ...leaf.shape.slice(batch.length)],
      { dtype: dtype as DType.Float }
    )
  return {
    carrier: Carrier.tensor<V>({
      dtype: dtype as DType.Float,
      ...(systems === undefined ? {} : { systems })
    }),
    normals: (i) => {
      const index = Tensor.cast(i, "uint32")
      const node =
        systems === undefined
          ? index
          : Tensor.reshape(index, [systems, ...batch.slice(1).map(() => 1)])
      const both = leaves.map((leaf, j) => drawn(leaf, keys[j], node))
      const one = (which: number): V =>
        Tree.refill(
          like,
          both.map((each) => Tensor.at(each, which, { axis: batch.length }))
        )
      return [one(0), one(1)]
    },
    still: Tensor.stopGradient,
    digits: { float64: 53, float32: 24, float16: 11 }[dtype as DType.Float]
  }
}
