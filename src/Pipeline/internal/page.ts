/** How a report looks: on a screen, large or small, light or dark, and on paper. */
import { colours } from "../Chart.ts"

/** In place of the figures' colours, on a dark ground; contrast with it is at least 4.5. */
const dark: Readonly<Record<string, string>> = {
  [colours.paper]: "transparent",
  [colours.ink]: "#e6e8eb",
  [colours.muted]: "#a3abb4",
  [colours.grid]: "#31363d",
  [colours.series[0]]: "#5cb3ee",
  [colours.series[1]]: "#ff9257",
  [colours.series[2]]: "#3fc79c",
  [colours.series[3]]: "#dd9bc7",
  [colours.series[4]]: "#d9b13b",
  [colours.series[5]]: "#9fd3f7",
  [colours.series[6]]: "#bfc5cc"
}

const recoloured = Object.entries(dark)
  .flatMap(([from, to]) =>
    ["fill", "stroke"].map((property) => `svg [${property}="${from}"] { ${property}: ${to} }`)
  )
  .join("\n  ")

/** The widths that charts are drawn at: for a column of text, and for a phone. */
export const widths = { wide: 680, narrow: 350 } as const

export const style = `
:root {
  color-scheme: light dark;
  --paper: ${colours.paper}; --ink: ${colours.ink}; --muted: ${colours.muted};
  --line: #d5d9de; --faint: #f4f5f7; --link: #0b5fa5;
  --serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace;
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body {
  margin: 0; padding: 3.5rem 1.25rem 5rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 var(--serif); overflow-wrap: break-word;
}
article { max-width: ${widths.wide / 16}rem; margin: 0 auto }
header { margin-bottom: 2.5rem; padding-bottom: 1.5rem; border-bottom: 1px solid var(--line) }
h1, h2, h3, h4, h5, h6 { font-family: var(--sans); line-height: 1.25; letter-spacing: -.01em; text-wrap: balance }
h1 { margin: 0; font-size: clamp(1.6rem, 1.2rem + 2vw, 2.2rem); font-weight: 700; letter-spacing: -.02em }
h2 { margin: 3rem 0 .75rem; font-size: 1.35rem }
h3 { margin: 2.25rem 0 .5rem; font-size: 1.1rem }
h4, h5, h6 { margin: 1.75rem 0 .5rem; font-size: 1rem }
p { margin: 0 0 1rem; text-wrap: pretty; hyphens: auto }
.subtitle { margin: .6rem 0 0; color: var(--muted); font: 1rem/1.5 var(--sans); hyphens: none }
nav { margin: 0 0 2.5rem; font: .875rem/1.7 var(--sans) }
nav ol { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; margin: 0; padding: 0; list-style: none }
header + nav { margin-top: -1rem }
.whole { white-space: nowrap }
a { color: var(--link); text-underline-offset: .15em; text-decoration-thickness: .06em }
figure { margin: 1.75rem 0 2.25rem }
figcaption { max-width: 40rem; color: var(--muted); font: .875rem/1.5 var(--sans) }
figcaption b, figcaption strong { color: var(--ink); font-weight: 600 }
figure > :not(figcaption) + figcaption { margin-top: .7rem }
figcaption:first-child { margin-bottom: .7rem }
svg { display: block; max-width: 100%; height: auto }
.narrow { display: none }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem }
.pictures.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.4rem), 1fr)) }
.pictures.broad { grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)) }
.pictures > div { min-width: 0 }
.pictures span { display: block; margin-bottom: .3rem; color: var(--muted); font: .8125rem/1.4 var(--sans) }
img { display: block; max-width: 100%; height: auto; image-rendering: pixelated }
.many img { width: 100% }
img.smooth { image-rendering: auto }
.scroll { overflow-x: auto }
/* rules belong to cells: those of rows would be hidden under cells that stay where others scroll */
table { border-collapse: separate; border-spacing: 0; width: 100%; font: .875rem/1.4 var(--sans); font-variant-numeric: tabular-nums lining-nums }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink) }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink) }
th, td { padding: .45rem .7rem; text-align: left; vertical-align: baseline }
th:first-child, td:first-child { padding-left: 0 }
th:last-child, td:last-child { padding-right: 0 }
thead th { vertical-align: bottom; font-weight: 600; white-space: nowrap }
abbr { text-decoration: none }
tbody th { font-weight: 400 }
tbody .unranked > * { color: var(--muted) }
tbody .group th { padding-top: 1rem; font-weight: 600 }
tbody tr.group:first-child th { padding-top: .45rem }
.group span { position: sticky; left: 0 }
tbody tr + tr > * { border-top: 1px solid var(--line) }
td.right, th.right { text-align: right }
td.right { white-space: nowrap }
td.centre, th.centre { text-align: center }
.unit { display: block; max-width: 7.5rem; color: var(--muted); font-weight: 400; white-space: normal }
.right .unit { margin-left: auto }
.centre .unit { margin-inline: auto }
td strong { font-weight: 700 }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; margin: 0; font: .875rem/1.45 var(--sans) }
dt, dd { margin: 0; padding: .35rem 0; border-bottom: 1px solid var(--line); min-width: 0 }
dt { padding-right: 1.5rem; color: var(--muted) }
dd { font-variant-numeric: tabular-nums; white-space: pre-wrap }
pre {
  margin: 0; padding: .9rem 1rem; overflow-x: auto; border-radius: 4px; background: var(--faint);
  font: .8125rem/1.55 var(--mono); tab-size: 2;
}
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
@media screen and (max-width: 40rem) {
  body { padding-top: 2rem; font-size: 1rem }
  .wide { display: none }
  .narrow { display: block }
  .scroll table { min-width: max-content }
  .scroll tbody th, .scroll thead th:first-child {
    position: sticky; left: 0; max-width: 9.5rem; background: var(--paper); box-shadow: 1px 0 var(--line);
  }
  .scroll .group th { position: static; max-width: none; box-shadow: none }
  .scroll th { padding-right: .6rem }
  dl { grid-template-columns: minmax(6rem, 42%) 1fr }
  dt { padding-right: 1rem }
}
@media screen and (min-width: 50rem) {
  /* tables may be wider than texts */
  .scroll { margin-inline: calc(50% - min(32rem, 50vw - 2rem)) }
  .scroll table { width: auto; min-width: ${widths.wide / 16}rem; margin-inline: auto }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #16191d; --ink: #e6e8eb; --muted: #a3abb4; --line: #363c44; --faint: #20242a; --link: #7cc0f4 }
  ${recoloured}
}
@media print {
  @page { margin: 18mm 17mm 20mm }
  :root { color-scheme: light }
  body { padding: 0; font-size: 10.5pt }
  article { max-width: none }
  nav { display: none }
  h1 { font-size: 20pt }
  h2 { margin-top: 1.8rem; font-size: 14pt }
  h1, h2, h3, h4, h5, h6 { break-after: avoid }
  p { orphans: 3; widows: 3 }
  figure, tr, dl > div { break-inside: avoid }
  figure.table, figure.settings, figure.code { break-inside: auto }
  figcaption { break-inside: avoid }
  figcaption:first-child, .group { break-after: avoid }
  figure > :not(figcaption):has(+ figcaption) { break-after: avoid }
  thead { display: table-header-group }
  .scroll { overflow: visible }
  table, dl { font-size: 9pt }
  pre { white-space: pre-wrap; border: 1px solid var(--line) }
}
`.trim()
