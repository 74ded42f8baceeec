/**
 * The energy distance of two sets of points (Székely and Rizzo 2013),
 *
 *     2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ ≥ 0,
 *
 * over all pairs, those of a point with itself included. Of two sets of n and m points from one distribution it is on average
 * (1/n + 1/m)·E‖X − X′‖: what samples can be held against.
 */

/** Points one after the other, `dimensions` numbers each. */
export type Points = ArrayLike<number>

/** The mean distance of all pairs. */
const mean = (a: Points, b: Points, dimensions: number): number => {
  let sum = 0
  for (let i = 0; i < a.length; i += dimensions) {
    for (let j = 0; j < b.length; j += dimensions) {
      let square = 0
      for (let k = 0; k < dimensions; k++) square += (a[i + k] - b[j + k]) ** 2
      sum += Math.sqrt(square)
    }
  }
  return sum / ((a.length / dimensions) * (b.length / dimensions))
}

export const distance = (a: Points, b: Points, dimensions = 2): number =>
  2 * mean(a, b, dimensions) - mean(a, a, dimensions) - mean(b, b, dimensions)
