/** Paths, and what randomness makes of them. */

/** Two 32-bit words of a path: FNV-1a, from two starts. */
export const hash = (path: string): readonly [number, number] => {
  let a = 0x811c9dc5
  let b = 0x9747b28c
  for (const byte of new TextEncoder().encode(path)) {
    a = Math.imul(a ^ byte, 0x01000193)
    b = Math.imul(b ^ byte, 0x01000193)
  }
  return [a >>> 0, b >>> 0]
}

export const join = (path: string, name: string): string =>
  path === "" ? name : name === "" ? path : `${path}.${name}`
