/** Numbers and durations for people, and bars. */

/** `12,345` */
export const count = (value: number): string => value.toLocaleString("en-US")

/** `0:07`, `3:21`, `1:02:03` */
export const duration = (seconds: number): string => {
  const all = Math.max(0, Math.round(seconds))
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60]
  const two = (value: number) => String(value).padStart(2, "0")
  return hours > 0 ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`
}

/** `0.0345`, `12.3`, `1,234`, `1.20e-5` */
export const figure = (value: number): string => {
  const size = Math.abs(value)
  if (size === 0 || !Number.isFinite(value)) return `${value}`
  if (size < 1e-2 || size >= 1e6) return value.toExponential(2)
  return size < 100 ? value.toPrecision(3) : count(Math.round(value))
}

/** So much done, of a whole of 1. */
export const bar = (fraction: number, width: number): string => {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return "█".repeat(full) + "░".repeat(width - full)
}

const least = 8

/**
 * A line of at most so many columns: a bar with what stands before and after it. Where there is not room for all, the last go first.
 */
export const line = (
  columns: number,
  fraction: number,
  before: string,
  after: ReadonlyArray<string>
): string => {
  const taken = (parts: ReadonlyArray<string>) => [before, "", ...parts].join("  ").length
  let parts = after
  while (parts.length > 1 && taken(parts) + least > columns) parts = parts.slice(0, -1)
  const room = Math.min(30, columns - taken(parts))
  const all = [before, ...(room < least ? [] : [bar(fraction, room)]), ...parts].join("  ")
  return all.slice(0, columns)
}
