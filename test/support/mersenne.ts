/**
 * The random numbers of PyTorch on a CPU, so that what it draws from a seed can be drawn here: MT19937 (Matsumoto and Nishimura 1998),
 * uniform numbers of 24 or 53 bits of its words, and normal ones by Box and Muller's transformation.
 */

/** The words of MT19937 from a seed, in order. */
const words = (seed: number): (() => number) => {
  const state = new Uint32Array(624)
  state[0] = seed
  for (let i = 1; i < 624; i++) {
    const before = state[i - 1] ^ (state[i - 1] >>> 30)
    state[i] = Math.imul(1812433253, before) + i
  }
  let place = 624
  const twist = () => {
    for (let i = 0; i < 624; i++) {
      const mixed = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff)
      state[i] = state[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0)
    }
    place = 0
  }
  return () => {
    if (place === 624) twist()
    let word = state[place++]
    word ^= word >>> 11
    word ^= (word << 7) & 0x9d2c5680
    word ^= (word << 15) & 0xefc60000
    return (word ^ (word >>> 18)) >>> 0
  }
}

/** A generator, which goes on where it was with each draw. */
export interface Generator {
  /** `torch.rand(count)`, uniform in [0, 1), in float32. */
  readonly uniform: (count: number) => Float32Array
  /** `torch.randn(count)`, in float32. */
  readonly normal: (count: number) => Float32Array
}

/** `torch.Generator().manual_seed(seed)`, for seeds below 2³². */
export const generator = (seed: number): Generator => {
  const next = words(seed)
  const single = () => (next() & 0xffffff) / 2 ** 24
  // the first word is the higher one, and 53 bits are kept
  const double = () => {
    const [high, low] = [next(), next()]
    return ((high & 0x1fffff) * 2 ** 32 + low) / 2 ** 53
  }
  // few numbers are drawn in pairs, of which one waits for the next draw
  let waiting: number | undefined
  const one = (): number => {
    if (waiting !== undefined) {
      const value = waiting
      waiting = undefined
      return value
    }
    const [angle, size] = [double(), double()]
    const radius = Math.sqrt(-2 * Math.log1p(-size))
    waiting = radius * Math.sin(2 * Math.PI * angle)
    return radius * Math.cos(2 * Math.PI * angle)
  }
  const uniform = (count: number) => Float32Array.from({ length: count }, single)
  /** 16 uniform numbers as normal ones, in place. */
  const transform = (block: Float32Array) => {
    for (let i = 0; i < 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - block[i]))
      const angle = 2 * Math.PI * block[i + 8]
      block[i] = radius * Math.cos(angle)
      block[i + 8] = radius * Math.sin(angle)
    }
  }
  return {
    uniform,
    normal: (count) => {
      if (count < 16) return Float32Array.from({ length: count }, one)
      const values = uniform(count)
      for (let i = 0; i + 16 <= count; i += 16) transform(values.subarray(i, i + 16))
      if (count % 16 > 0) {
        // the last 16 are drawn anew
        values.set(uniform(16), count - 16)
        transform(values.subarray(count - 16))
      }
      return values
    }
  }
}
