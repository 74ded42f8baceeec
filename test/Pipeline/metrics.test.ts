import * as Fs from "node:fs"
import * as Path from "node:path"
import * as fc from "fast-check"
import { EigenvalueDecomposition, Matrix } from "ml-matrix"
import { describe, expect, it } from "vitest"
import * as Metrics from "../../src/Pipeline/Metrics.ts"
import { eachDistance, eachProduct } from "../../src/Pipeline/metrics/features.ts"
import { between, eigenvalues, factor } from "../../src/Pipeline/metrics/symmetric.ts"
import { DataError } from "../../src/Pipeline/PipelineError.ts"
import { random } from "../support/arrays.ts"

/** Features by a formula of the flat index. */
const features = (n: number, d: number, f: (i: number) => number): Metrics.Features => ({
  shape: [n, d],
  data: Float64Array.from({ length: n * d }, (_, i) => f(i))
})

/** Random features, uniform in some interval. */
const cloud = (n: number, d: number, seed: number, low = -1, high = 1): Metrics.Features => {
  const next = random(seed)
  return features(n, d, () => low + (high - low) * next())
}

const clouds = (least = 4) =>
  fc
    .record({
      n: fc.integer({ min: least, max: 80 }),
      m: fc.integer({ min: least, max: 80 }),
      d: fc.integer({ min: 1, max: 9 }),
      seed: fc.nat({ max: 1e6 })
    })
    .map(({ n, m, d, seed }) => [cloud(n, d, seed), cloud(m, d, seed + 1, -1, 2)] as const)

const rowsOf = ({ shape: [n, d], data }: Metrics.Features): Array<Array<number>> =>
  Array.from({ length: n }, (_, i) => Array.from({ length: d }, (_, k) => data[i * d + k]))

const refused = (f: () => unknown, reason: DataError["reason"], says: string) => {
  const caught = (() => {
    try {
      return f()
    } catch (error) {
      return error
    }
  })()
  expect(caught).toBeInstanceOf(DataError)
  expect(caught).toMatchObject({ reason, message: expect.stringContaining(says) })
}

// of rank 4, so that the covariances are singular
const x = features(64, 8, (i) => Math.sin(0.37 * i) + 0.1 * Math.cos(1.3 * i))
const y = features(64, 8, (i) => 1.1 * Math.sin(0.41 * i + 0.5) + 0.2)

describe("pairs of rows", () => {
  const some = fc.record({
    n: fc.integer({ min: 0, max: 40 }),
    m: fc.integer({ min: 0, max: 40 }),
    d: fc.integer({ min: 1, max: 5 }),
    seed: fc.nat({ max: 1e6 })
  })
  const arraysOf = (all: Metrics.Features) => rowsOf(all).map((row) => Float64Array.from(row))

  it.each(["product", "distance"])("are all visited once, with their %s", (kind) => {
    const each = kind === "product" ? eachProduct : eachDistance
    fc.assert(
      fc.property(some, fc.boolean(), fc.nat({ max: 8 }), ({ n, m, d, seed }, upper, slope) => {
        const [a, b] = [arraysOf(cloud(n, d, seed)), arraysOf(cloud(m, d, seed + 1))]
        const from = (j: number) => Math.min(d, Math.floor(j / (slope + 1)))
        const seen = new Map<number, number>()
        const visit = (i: number, j: number, value: number) => {
          expect(seen.has(i * m + j)).toBe(false)
          seen.set(i * m + j, value)
        }
        each(a, b, visit, { upper, ...(slope > 0 && { from }) })
        const wrong = a.flatMap((x, i) =>
          b.filter((y, j) => {
            const found = seen.get(i * m + j)
            if (found === undefined) return !upper || i <= j
            const start = slope > 0 ? from(j - (j % 2)) : 0
            const exact = x.slice(start).reduce((sum, p, k) => {
              const q = y[start + k]
              return sum + (kind === "product" ? p * q : (p - q) ** 2)
            }, 0)
            return !(Math.abs(found - exact) < 1e-12)
          })
        )
        expect(wrong).toEqual([])
        if (!upper) expect(seen.size).toBe(n * m)
      })
    )
  })
})

describe("moments", () => {
  it("are those of the whole when parts are merged, in any order", () => {
    fc.assert(
      fc.property(clouds(1), fc.nat({ max: 80 }), ([{ shape, data }], at) => {
        const [n, d] = shape
        fc.pre(n >= 2)
        const cut = 1 + (at % (n - 1))
        const part = (from: number, to: number) =>
          Metrics.moments({ shape: [to - from, d], data: data.slice(from * d, to * d) })
        const whole = part(0, n)
        for (const both of [
          Metrics.merge(part(0, cut), part(cut, n)),
          Metrics.merge(part(cut, n), part(0, cut))
        ]) {
          expect(both.count).toBe(n)
          both.mean.forEach((each, k) => expect(each).toBeCloseTo(whole.mean[k], 12))
          both.scatter.forEach((each, k) => expect(each).toBeCloseTo(whole.scatter[k], 11))
        }
      })
    )
  })

  it("are the definition's", () => {
    fc.assert(
      fc.property(clouds(2), ([a]) => {
        const rows = rowsOf(a)
        const { mean, covariance } = Metrics.gaussian(Metrics.moments(a))
        const [n, d] = a.shape
        const average = (f: (row: ReadonlyArray<number>) => number) =>
          rows.reduce((sum, row) => sum + f(row), 0) / n
        for (let i = 0; i < d; i++) {
          expect(mean[i]).toBeCloseTo(
            average((row) => row[i]),
            12
          )
          for (let j = 0; j < d; j++) {
            const exact = average((row) => (row[i] - mean[i]) * (row[j] - mean[j]))
            expect(covariance[i * d + j]).toBeCloseTo((exact * n) / (n - 1), 12)
          }
        }
      })
    )
  })

  it("lose nothing where means are large beside deviations", () => {
    const far = (seed: number) => cloud(500, 3, seed, 1e8, 1e8 + 1)
    const all = Array.from({ length: 20 }, (_, k) => Metrics.moments(far(k + 1)))
    const { covariance } = Metrics.gaussian(all.reduce(Metrics.merge))
    // of a uniform distribution
    for (const k of [0, 4, 8]) expect(covariance[k]).toBeCloseTo(1 / 12, 2)
  })

  it("are refused of features that are none", () => {
    refused(() => Metrics.moments({ shape: [2, 3], data: [1] }), "shape", "has 6 numbers")
    refused(() => Metrics.moments({ shape: [2, 3, 1], data: [] }), "shape", "features [n, d]")
    refused(() => Metrics.moments({ shape: [0, 3], data: [] }), "empty", "at least 1")
    refused(() => Metrics.moments({ shape: [3, 0], data: [] }), "shape", "nothing in its items")
    refused(() => Metrics.moments({ shape: [2, 1], data: [1, Number.NaN] }), "value", "item 1")
    refused(
      () => Metrics.merge(Metrics.moments(cloud(2, 3, 1)), Metrics.moments(cloud(2, 4, 1))),
      "shape",
      "of 3 numbers cannot be compared with features of 4"
    )
  })
})

/** A library's, in order. */
const eigenvaluesOf = (rows: ReadonlyArray<ReadonlyArray<number>>) =>
  new EigenvalueDecomposition(new Matrix(rows.map((row) => [...row])), {
    assumeSymmetric: true
  }).realEigenvalues.toSorted((a, b) => a - b)

/** X Xᵀ of random numbers `[n, rank]`, whose rows are of very different sizes. */
const semidefinite = fc
  .record({
    n: fc.integer({ min: 1, max: 14 }),
    rank: fc.integer({ min: 0, max: 16 }),
    decades: fc.constantFrom(0, 3),
    seed: fc.nat({ max: 1e6 })
  })
  .map(({ n, rank, decades, seed }) => {
    const next = random(seed)
    const x = Array.from({ length: n }, () => {
      const size = 10 ** (decades * (next() - 0.5))
      return Array.from({ length: rank }, () => size * (next() - 0.5))
    })
    const dot = (p: Array<number>, q: Array<number>) => p.reduce((sum, v, k) => sum + v * q[k], 0)
    return { n, rank: Math.min(n, rank), rows: x.map((p) => x.map((q) => dot(p, q))) }
  })

describe("symmetric matrices", () => {
  const lower = (rows: ReadonlyArray<ReadonlyArray<number>>) =>
    rows.map((row, i) => Float64Array.from(row.slice(0, i + 1)))

  it("have the eigenvalues that another library finds, whatever their scale", () => {
    const whole = fc.integer({ min: -1000, max: 1000 })
    const number = fc.oneof(
      fc.constantFrom(0, 1, -1),
      whole.map((each) => each / 1000),
      whole.map((each) => each / 1e12)
    )
    const matrix = fc
      .integer({ min: 1, max: 12 })
      .chain((n) => fc.array(number, { minLength: n * n, maxLength: n * n }))
      .map((all) => {
        const n = Math.sqrt(all.length)
        return Array.from({ length: n }, (_, i) =>
          Array.from({ length: n }, (_, j) => all[Math.max(i, j) * n + Math.min(i, j)])
        )
      })
    fc.assert(
      fc.property(matrix, fc.constantFrom(-900, 0, 900), (rows, power) => {
        const scale = 2 ** power
        const given = lower(rows.map((row) => row.map((each) => each * scale)))
        const found = eigenvalues(given).toSorted((a, b) => a - b)
        eigenvaluesOf(rows).forEach((each, i) => expect(found[i] / scale).toBeCloseTo(each, 12))
        // what is given stays as it is
        expect(given[0][0]).toBe(rows[0][0] * scale)
      })
    )
  })

  it("have them where numbers are so small that their squares are none", () => {
    const power = fc.integer({ min: -323, max: -60 }).map((power) => 10 ** power)
    const diagonal = fc.array(fc.constantFrom(0, 1, -2), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(diagonal, fc.array(power, { minLength: 5, maxLength: 5 }), (numbers, small) => {
        const rows = numbers.map((each, i) =>
          Float64Array.from({ length: i + 1 }, (_, j) => (i === j ? each : small[j]))
        )
        const found = eigenvalues(rows).toSorted((a, b) => a - b)
        numbers.toSorted((a, b) => a - b).forEach((each, i) => expect(found[i]).toBeCloseTo(each))
      })
    )
  })

  it("are the products of their factors, as many columns as their rank, under others too", () => {
    fc.assert(
      fc.property(semidefinite, semidefinite, ({ n, rank, rows }, other) => {
        const found = factor(rows.flat(), n)
        const { columns, order } = found
        expect(columns).toHaveLength(rank)
        const largest = Math.max(...rows.map((row, i) => row[i]), 0)
        const products = Array.from(order, (_, a) =>
          Array.from(order, (_, b) =>
            columns.reduce((sum, column) => sum + column[a] * column[b], 0)
          )
        )
        const worst = products.flatMap((row, a) =>
          row.map((each, b) => Math.abs(each - rows[order[a]][order[b]]))
        )
        expect(Math.max(...worst)).toBeLessThanOrEqual(1e-13 * largest)
        fc.pre(other.n === n)
        const product = between(found, other.rows.flat())
        expect(product.map(({ length }) => length)).toEqual(columns.map((_, i) => i + 1))
        product.forEach((row, p) => {
          row.forEach((each, q) => {
            const terms = Array.from(order, (i, a) =>
              Array.from(order, (j, b) => columns[p][a] * other.rows[i][j] * columns[q][b])
            ).flat()
            const exact = terms.reduce((sum, one) => sum + one, 0)
            const size = terms.reduce((sum, one) => sum + Math.abs(one), 0)
            if (!(Math.abs(each - exact) <= 1e-13 * size)) expect(each).toBe(exact)
          })
        })
      }),
      { numRuns: 200 }
    )
  })
})

describe("frechet", () => {
  it("is what the roots of matrices give, whatever their ranks", () => {
    const pair = fc.tuple(semidefinite, semidefinite).filter(([a, b]) => a.n === b.n)
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const { n } = a
        const decomposed = new EigenvalueDecomposition(new Matrix(a.rows), {
          assumeSymmetric: true
        })
        const root = Matrix.diag(decomposed.realEigenvalues.map((x) => Math.sqrt(Math.max(0, x))))
        const vectors = decomposed.eigenvectorMatrix
        const half = vectors.mmul(root).mmul(vectors.transpose())
        const inner = half.mmul(new Matrix(b.rows)).mmul(half).to2DArray()
        const cross = eigenvaluesOf(inner).reduce((sum, x) => sum + Math.sqrt(Math.max(0, x)), 0)
        const trace = (rows: Array<Array<number>>) => rows.reduce((sum, row, i) => sum + row[i], 0)
        const [p, q] = [trace(a.rows), trace(b.rows)]
        const gaussian = (rows: Array<Array<number>>) => ({
          mean: new Float64Array(n),
          covariance: rows.flat()
        })
        const found = Metrics.frechet(gaussian(a.rows), gaussian(b.rows))
        expect(Math.abs(found - Math.max(0, p + q - 2 * cross))).toBeLessThan(
          1e-6 * (p + q) + 1e-12
        )
      }),
      { numRuns: 200 }
    )
  })

  const diagonal = (values: ReadonlyArray<number>) =>
    values.flatMap((value, i) => values.map((_, j) => (i === j ? value : 0)))

  it("has a closed form for diagonal covariances", () => {
    const a = { mean: [0, 0, 0], covariance: diagonal([1, 4, 9]) }
    const b = { mean: [1, 2, 3], covariance: diagonal([4, 1, 1]) }
    expect(Metrics.frechet(a, b)).toBeCloseTo(20, 12)
    const number = fc.double({ min: 0, max: 9, noNaN: true })
    const axis = fc.record({ m1: number, m2: number, v1: number, v2: number })
    fc.assert(
      fc.property(fc.array(axis, { minLength: 1, maxLength: 6 }), (axes) => {
        const exact = axes.reduce(
          (sum, { m1, m2, v1, v2 }) => sum + (m1 - m2) ** 2 + (Math.sqrt(v1) - Math.sqrt(v2)) ** 2,
          0
        )
        const one = (mean: "m1" | "m2", variance: "v1" | "v2") => ({
          mean: axes.map((each) => each[mean]),
          covariance: diagonal(axes.map((each) => each[variance]))
        })
        expect(Metrics.frechet(one("m1", "v1"), one("m2", "v2"))).toBeCloseTo(exact, 6)
      })
    )
  })

  it("is refused where sizes do not belong together or numbers are not finite", () => {
    const one = { mean: [0], covariance: [1] }
    refused(() => Metrics.frechet(one, { mean: [0, 0], covariance: diagonal([1, 1]) }), "shape", "")
    refused(() => Metrics.frechet(one, { mean: [0], covariance: [1, 2] }), "shape", "not of 2")
    const none = { mean: [], covariance: [] }
    refused(() => Metrics.frechet(none, none), "shape", "no numbers")
    refused(
      () => Metrics.frechet(one, { mean: [0], covariance: [Number.NaN] }),
      "value",
      "must be finite"
    )
  })
})

describe("fid", () => {
  it("is what scipy's square root of matrices gives, to seven digits, as far as that is exact", () => {
    expect(Math.abs(Metrics.fid(x, y) - 0.47007994756279636)).toBeLessThan(2e-7)
  })

  it("is 0 of a set and itself, to the root of rounding, also where the covariance is singular", () => {
    expect(Metrics.fid(x, x)).toBeLessThan(1e-6)
    expect(Metrics.fid(cloud(3, 9, 5), cloud(3, 9, 5))).toBeLessThan(1e-6)
  })

  it("is symmetric, and the same for moments and for features moved or turned together", () => {
    fc.assert(
      fc.property(clouds(2), fc.double({ min: -3, max: 3, noNaN: true }), ([a, b], angle) => {
        const distance = Metrics.fid(a, b)
        expect(distance).toBeGreaterThanOrEqual(0)
        expect(Metrics.fid(b, a)).toBeCloseTo(distance, 6)
        expect(Metrics.fid(Metrics.moments(a), b)).toBeCloseTo(distance, 12)
        const [c, s] = [Math.cos(angle), Math.sin(angle)]
        const turned = (each: Metrics.Features): Metrics.Features => ({
          shape: each.shape,
          data: rowsOf(each).flatMap(([p, q, ...rest]) =>
            q === undefined ? [p + angle] : [c * p - s * q + angle, s * p + c * q, ...rest]
          )
        })
        expect(Metrics.fid(turned(a), turned(b))).toBeCloseTo(distance, 6)
      }),
      { numRuns: 50 }
    )
  })

  it("is refused for features that cannot be compared", () => {
    refused(() => Metrics.fid(cloud(9, 3, 1), cloud(9, 4, 1)), "shape", "take one extractor")
    refused(() => Metrics.fid(cloud(1, 3, 1), cloud(9, 3, 1)), "options", "at least 2 items")
  })
})

describe("kid", () => {
  it("is what its definition gives", () => {
    expect(Metrics.kid(x, y)).toBeCloseTo(0.1284402607550228, 12)
    fc.assert(
      fc.property(clouds(2), ([a, b]) => {
        const kernel = (p: ReadonlyArray<number>, q: ReadonlyArray<number>) =>
          (p.reduce((sum, each, k) => sum + each * q[k], 0) / p.length + 1) ** 3
        const mean = (some: Metrics.Features, others: Metrics.Features) => {
          const all = rowsOf(some).flatMap((p, i) =>
            rowsOf(others).flatMap((q, j) => (some === others && i === j ? [] : [kernel(p, q)]))
          )
          return all.reduce((sum, each) => sum + each, 0) / all.length
        }
        const exact = mean(a, a) + mean(b, b) - 2 * mean(a, b)
        expect(Metrics.kid(a, b)).toBeCloseTo(exact, 10)
      }),
      { numRuns: 30 }
    )
  })

  it("is nearly that of subsets on average, which depend on the seed alone", () => {
    const [a, b] = [cloud(300, 4, 1), cloud(400, 4, 2, -1, 2)]
    const options = { subsets: 60, size: 100, seed: 3 }
    const { mean, deviation } = Metrics.kidOfSubsets(a, b, options)
    expect(Math.abs(mean - Metrics.kid(a, b))).toBeLessThan((3 * deviation) / Math.sqrt(60))
    expect(Metrics.kidOfSubsets(a, b, options)).toEqual({ mean, deviation })
    expect(Metrics.kidOfSubsets(a, b, { ...options, seed: 4 }).mean).not.toBe(mean)
    // of all rows, in whatever order
    const whole = Metrics.kidOfSubsets(x, y, { subsets: 3 })
    expect(whole.mean).toBeCloseTo(Metrics.kid(x, y), 12)
    expect(whole.deviation).toBeCloseTo(0, 12)
  })

  it("is refused for sets that are too small, and subsets that are larger than sets", () => {
    refused(() => Metrics.kid(cloud(1, 3, 1), cloud(9, 3, 1)), "options", "at least 2")
    for (const options of [{ size: 10 }, { size: 1 }, { subsets: 0 }, { seed: 0.5 }]) {
      refused(() => Metrics.kidOfSubsets(cloud(9, 3, 1), cloud(12, 3, 1), options), "options", "")
    }
  })
})

describe("precisionRecall", () => {
  it("is what its definition gives", () => {
    fc.assert(
      fc.property(clouds(4), fc.constantFrom(1, 2, 3), ([a, b], k) => {
        const [real, fake] = [rowsOf(a), rowsOf(b)]
        const between = (p: ReadonlyArray<number>, q: ReadonlyArray<number>) =>
          Math.sqrt(p.reduce((sum, each, i) => sum + (each - q[i]) ** 2, 0))
        const reach = (all: typeof real) =>
          all.map((p) => all.map((q) => between(p, q)).sort((u, v) => u - v)[k])
        const [ofReal, ofFake] = [reach(real), reach(fake)]
        const share = (all: ReadonlyArray<boolean>) => all.filter(Boolean).length / all.length
        const within = (p: (typeof real)[number], i: number) => (q: (typeof real)[number]) =>
          between(p, q) <= ofReal[i]
        expect(Metrics.precisionRecall(a, b, { k })).toEqual({
          precision: share(fake.map((q) => real.some((p, i) => within(p, i)(q)))),
          recall: share(real.map((p) => fake.some((q, j) => between(p, q) <= ofFake[j]))),
          density: expect.closeTo(
            real.flatMap((p, i) => fake.filter(within(p, i))).length / (k * fake.length),
            12
          ),
          coverage: share(real.map((p, i) => fake.some(within(p, i))))
        })
      }),
      { numRuns: 50 }
    )
  })

  it("is 1 of a set and itself, and 0 of sets far from each other", () => {
    expect(Metrics.precisionRecall(x, x)).toMatchObject({ precision: 1, recall: 1, coverage: 1 })
    expect(Metrics.precisionRecall(x, cloud(20, 8, 1, 90, 91))).toEqual({
      precision: 0,
      recall: 0,
      density: 0,
      coverage: 0
    })
  })

  it("is refused for fewer than k neighbours", () => {
    refused(() => Metrics.precisionRecall(cloud(3, 2, 1), x), "options", "at least 4 items")
    refused(() => Metrics.precisionRecall(x, y, { k: 0 }), "options", "`k`")
  })
})

describe("inceptionScore", () => {
  const rows = (n: number, classes: number, f: (i: number, k: number) => number) =>
    features(n, classes, (i) => f(Math.floor(i / classes), i % classes))

  it("is the number of classes if each row is sure and all occur, and 1 if rows are alike", () => {
    const sure = rows(100, 10, (i, k) => (i % 10 === k ? 1 : 0))
    const { mean, deviation } = Metrics.inceptionScore(sure)
    expect(mean).toBeCloseTo(10, 10)
    expect(deviation).toBeCloseTo(0, 10)
    expect(Metrics.inceptionScore(rows(100, 4, () => 0.25)).mean).toBeCloseTo(1, 12)
    expect(Metrics.inceptionScore(rows(10, 4, (_, k) => (k === 0 ? 1 : 0))).mean).toBe(1)
  })

  it("is e to the mean divergence", () => {
    const two = rows(2, 2, (i, k) => (i === k ? 0.75 : 0.25))
    const divergence = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5)
    expect(Metrics.inceptionScore(two, { splits: 1 }).mean).toBeCloseTo(Math.exp(divergence), 12)
  })

  it("is refused for what is no probabilities", () => {
    refused(() => Metrics.inceptionScore(cloud(20, 4, 1)), "value", "no probabilities")
    refused(() => Metrics.inceptionScore(rows(5, 4, () => 0.25)), "options", "at least 10")
  })
})

describe("psnr and ssim", () => {
  const images = (shape: ReadonlyArray<number>, f: (i: number) => number): Metrics.Images => ({
    shape,
    data: Float64Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => f(i))
  })
  const a = (i: number) => Math.sin(0.11 * i) * Math.cos(0.07 * i ** 1.1)
  const b = (i: number) => 0.8 * a(i) + 0.2 * Math.sin(0.37 * i + 1)
  const { cases } = JSON.parse(
    Fs.readFileSync(Path.join(import.meta.dirname, "../fixtures/ssim.json"), "utf8")
  ) as { cases: Array<{ shape: Array<number>; ssim: number; psnr: number }> }

  it.each(cases)("are scikit-image's of $shape", ({ shape, ssim, psnr }) => {
    const size = shape.reduce((a, b) => a * b)
    // the second of two has the images' places exchanged
    const first = images([2, ...shape], (i) => (i < size ? a(i) : b(i - size)))
    const second = images([2, ...shape], (i) => (i < size ? b(i) : a(i - size)))
    for (const value of Metrics.ssim(first, second)) expect(value).toBeCloseTo(ssim, 10)
    for (const value of Metrics.psnr(first, second)) expect(value).toBeCloseTo(psnr, 10)
  })

  it("do not depend on the range if the values go with it", () => {
    const scaled = (f: (i: number) => number) => images([1, 1, 12, 12], (i) => 127.5 * (f(i) + 1))
    const plain = (f: (i: number) => number) => images([1, 1, 12, 12], (i) => f(i) + 1)
    for (const metric of [Metrics.psnr, Metrics.ssim]) {
      const [expected] = metric(plain(a), plain(b))
      expect(metric(scaled(a), scaled(b), { range: 255 })[0]).toBeCloseTo(expected, 10)
    }
  })

  it("are the best of equal images", () => {
    const same = images([1, 1, 16, 16], a)
    expect(Metrics.psnr(same, same)[0]).toBe(Number.POSITIVE_INFINITY)
    expect(Metrics.ssim(same, same)[0]).toBeCloseTo(1, 14)
  })

  it("of a constant error is 20 log range / error", () => {
    const black = images([1, 3, 2, 2], () => -1)
    expect(
      Metrics.psnr(
        black,
        images([1, 3, 2, 2], () => -0.98)
      )[0]
    ).toBeCloseTo(40, 10)
  })

  it("are refused for images that cannot be compared", () => {
    const small = images([1, 1, 10, 12], a)
    refused(() => Metrics.ssim(small, small), "shape", "at least 11 × 11")
    for (const metric of [Metrics.psnr, Metrics.ssim]) {
      const fine = images([1, 1, 12, 12], a)
      refused(() => metric(fine, images([1, 2, 12, 12], a)), "shape", "cannot be compared")
      refused(() => metric(fine, fine, { range: 0 }), "options", "`range`")
      refused(() => metric(fine, { shape: [144], data: fine.data }), "shape", "[n, channels")
      refused(
        () =>
          metric(
            fine,
            images([1, 1, 12, 12], () => Number.NaN)
          ),
        "value",
        "finite"
      )
    }
  })
})
