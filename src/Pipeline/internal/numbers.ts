/** How numbers are shown to people. */

/** Of a number that is finite and not zero, the power of ten of its first digit. */
export const exponentOf = (value: number): number => Math.floor(Math.log10(Math.abs(value)))

/** With so many digits after the point, and thousands parted. */
export const fixed = (value: number, digits: number): string =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** With so many digits that mean something; far from one in powers of ten. */
export const significant = (value: number, digits: number): string => {
  if (Number.isNaN(value)) return "NaN"
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞"
  if (value === 0) return "0"
  const exponent = exponentOf(Number(value.toPrecision(digits)))
  if (exponent < -4 || exponent > 14) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e")
    return minus(`${mantissa} × 10${superscript(Number(power))}`)
  }
  return minus(fixed(Number(value.toPrecision(digits)), Math.max(0, digits - 1 - exponent)))
}

/** A minus sign is as wide as a plus. */
export const minus = (text: string): string => text.replace("-", "−")

const superscript = (power: number): string =>
  [...String(power)].map((each) => (each === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(each)])).join("")

/** What `prefixed` parts large numbers with. */
export const thousands: ReadonlyArray<string> = ["", "k", "M", "G", "T", "P"]

/** In thousands, millions and so on, with a letter for that. */
export const prefixed = (
  value: number,
  digits: number,
  base: number,
  letters: ReadonlyArray<string>
): string => {
  if (!Number.isFinite(value)) return significant(value, digits)
  let power = 0
  let rest = Math.abs(value)
  // what rounds to the next one is the next one
  while (power < letters.length - 1 && Number(rest.toPrecision(digits)) >= base) {
    rest /= base
    power += 1
  }
  const whole = rest >= 10 ** (digits - 1)
  const shown = whole ? fixed(rest, 0) : String(Number(rest.toPrecision(digits)))
  return `${value < 0 ? "−" : ""}${shown}${letters[power] === "" ? "" : ` ${letters[power]}`}`
}
