/** What the parts of charts share. */
import { clean } from "../internal/markup.ts"
import { DataError } from "../PipelineError.ts"

/**
 * What is drawn in which colour, in figures on white paper. Pages that show figures on a dark ground put other colours in their place.
 *
 * @since 0.1.0
 * @category instances
 */
export const colours = {
  paper: "#ffffff",
  ink: "#1f2328",
  muted: "#59636e",
  grid: "#e6e8eb",
  series: ["#0072b2", "#d55e00", "#009e73", "#b05a93", "#a67c00", "#3a9bd9", "#4d5358"]
} as const

export const failure = (reason: DataError["reason"], title: string, message: string) =>
  new DataError({ source: title, reason, message: `chart "${title}": ${message}` })

/** As Vega can hold it: what is also the name of something that every object has would be taken for that. */
export const shown = (text: string): string => {
  const held = clean(text)
  return held in Object.prototype ? `${held}\u200b` : held
}
