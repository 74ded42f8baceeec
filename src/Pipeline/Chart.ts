/**
 * Charts: lines, bars and points, as SVG and PNG.
 *
 * A chart is a value: a Vega-Lite specification without its size, with a title and a sentence for those who cannot see it. It is drawn
 * at the width that is asked for, so that its letters are as large on a phone as on paper. Colours are told apart by colour-blind eyes
 * (Okabe and Ito 2008), lines by their dashes too, for printers without colour. What is drawn holds everything itself: no fonts, no
 * scripts and no addresses.
 *
 * @since 0.1.0
 */
export * from "./chart/charts.ts"
export * from "./chart/drawing.ts"
export { colours } from "./chart/shared.ts"
