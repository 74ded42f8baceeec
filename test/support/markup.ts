/** A small reader of HTML and XML as programs write it: every tag closed, every attribute in quotes, everything escaped. */

export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: ReadonlyArray<Element | string>
}

const voids = new Set(["meta", "img", "wbr", "br", "hr", "link", "input"])

const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"' }

const decode = (text: string): string => {
  if (/[<>]/.test(text)) throw new Error(`not escaped: ${text}`)
  return text.replace(/&(?:#(\d+)|(\w*));?/g, (all, code, name) => {
    if (!all.endsWith(";")) throw new Error(`a bare & in: ${text}`)
    if (code !== undefined) return String.fromCodePoint(Number(code))
    if (!Object.hasOwn(named, name)) throw new Error(`there is no ${all}`)
    return named[name]
  })
}

/** The root element; throws for what is not well-formed. */
export const parse = (text: string): Element => {
  const control = /[^\t\n\r\P{Cc}]|[\p{Cs}\ufffe\uffff]/u.exec(text)
  if (control !== null) throw new Error(`a character that may not be there: ${control.index}`)
  const token =
    /<!DOCTYPE html>|<style>([^<]*)<\/style>|<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/y
  const root: Array<Element | string> = []
  const open: Array<{ name: string; children: Array<Element | string> }> = []
  const ids = new Set<string>()
  while (token.lastIndex < text.length) {
    const at = token.lastIndex
    const match = token.exec(text)
    if (match === null) throw new Error(`not markup: ${text.slice(at, at + 80)}`)
    const [, css, closing, name, given, empty, content] = match
    const into = open.at(-1)?.children ?? root
    if (css !== undefined) into.push({ name: "style", attributes: {}, children: [css] })
    else if (content !== undefined) into.push(decode(content))
    else if (closing === "/") {
      const last = open.pop()
      if (last?.name !== name) throw new Error(`</${name}> where ${last?.name} is open`)
    } else if (name !== undefined) {
      const attributes: Record<string, string> = {}
      for (const [, key, value] of given.matchAll(/([\w:-]+)="([^"]*)"/g)) {
        if (key in attributes) throw new Error(`${key} twice in <${name}>`)
        attributes[key] = decode(value)
      }
      if (attributes.id !== undefined) {
        if (ids.has(attributes.id)) throw new Error(`two of id ${attributes.id}`)
        ids.add(attributes.id)
      }
      const children: Array<Element | string> = []
      into.push({ name, attributes, children })
      if (empty !== "/" && !voids.has(name)) open.push({ name, children })
    }
  }
  if (open.length > 0) throw new Error(`not closed: ${open.map(({ name }) => name).join(", ")}`)
  const elements = root.filter((each): each is Element => typeof each !== "string")
  if (elements.length !== 1) throw new Error(`${elements.length} roots`)
  return elements[0]
}

/** All elements of a name, outer ones first. */
export const all = (element: Element, name: string): ReadonlyArray<Element> => [
  ...(element.name === name ? [element] : []),
  ...element.children.flatMap((each) => (typeof each === "string" ? [] : all(each, name)))
]

export const textOf = (element: Element): string =>
  element.children.map((each) => (typeof each === "string" ? each : textOf(each))).join("")

/** WCAG 2: from 1 to 21. */
export const contrast = (one: string, other: string): number => {
  const luminance = (colour: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const [low, high] = [luminance(one), luminance(other)].toSorted((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

/** Strings that break what does not escape them. */
export const hostile: ReadonlyArray<string> = [
  `</title><script>alert(1)</script>`,
  `"><img src=x onerror=alert(1)>`,
  `' onmouseover='alert(1)`,
  `&lt;b&gt; &amp; & &#0; &nosuch;`,
  `]]><!-- --><style>`,
  `\u0000\u0007\u001b\u007f\ud800x\udfff\uffff`,
  `__proto__`,
  `constructor`,
  `datum["x"].y\\[0]`,
  ` opacity="0" id="clip0" url(#clip0) `,
  `多言語 ‏עברית‎ 𝔘-Net`,
  ``,
  `a\nb\tc`
]
