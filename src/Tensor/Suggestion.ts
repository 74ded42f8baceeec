/**
 * Names that were perhaps meant: for errors about one that is not known.
 *
 * @since 0.1.0
 */

/** Beyond this, names are compared by their beginnings. */
const longest = 256

/** How many letters must be put in, left out or replaced to make one string of the other (Levenshtein 1966). */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j] + (a[i] === b[j] ? 0 : 1), row[j + 1] + 1, next[j] + 1))
    }
    row = next
  }
  return row[b.length]
}

/**
 * The one of some names that is most like another; the first of several.
 *
 * @since 0.1.0
 * @category getters
 */
export const nearest = (name: string, names: Iterable<string>): string | undefined => {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const each of names) {
    // no fewer letters than the lengths differ by
    if (Math.abs(Math.min(each.length, longest) - Math.min(name.length, longest)) >= least) continue
    const far = distance(name.slice(0, longest), each.slice(0, longest))
    if (far < least) {
      best = each
      least = far
    }
  }
  return best
}

/**
 * A sentence for an error: the name that was perhaps meant, or all that are known if none is near.
 *
 * @since 0.1.0
 * @category messages
 */
export const sentence = (given: string, known: ReadonlyArray<string>): string => {
  const near = known
    .map((word) => ({ word, far: distance(given.toLowerCase(), word.toLowerCase()) }))
    .filter(({ word, far }) => far <= Math.max(2, Math.min(word.length, given.length) / 3))
    .sort((a, b) => a.far - b.far)
  return near.length > 0 ? `did you mean "${near[0].word}"?` : `known are ${known.join(", ")}`
}
