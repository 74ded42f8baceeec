/** Texts as HTML and XML can hold them. */

/** With a sign in place of what no document may hold: control characters but tabs and line breaks, and halves of characters. */
export const clean = (text: string): string =>
  text.replace(/(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu, "\ufffd")

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

/** As the content of an element, or the value of an attribute in quotes. */
export const escape = (text: string): string =>
  clean(text).replace(/[&<>"']/g, (each) => entities[each])

/** As the name of a field within others, which may go on in another line after a point. */
export const fieldName = (text: string): string =>
  escape(text).replace(/(?<=[\p{L}\p{N}])\.(?=\p{L})/gu, ".<wbr>")

/** As text that is read, whose names of a letter and a word, such as U-Net, stay on one line. */
export const prose = (text: string): string =>
  escape(text).replace(
    /(?<![\p{L}\p{N}&-])\p{L}-\p{L}{2,12}(?![\p{L}\p{N}-])/gu,
    '<span class="whole">$&</span>'
  )
