/** How downloads and samples are shown. */
import type { Download, Model, Progress } from "../../Pipeline/index.ts"

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Downloads, one after the other. */
export const downloads: Progress.View<Download.Event> = () => {
  let [begun, before] = [0, 0]
  return (event, now) => {
    const name = event.path.split(/[/\\]/).pop() ?? event.path
    switch (event._tag) {
      case "Started":
        ;[begun, before] = [now, event.received]
        return {
          lines: [
            `${name} from ${event.url}${event.received === 0 ? "" : `, on after ${megabytes(event.received)}`}`
          ]
        }
      case "Received": {
        const { received, total } = event
        const seconds = Math.max(1e-3, (now - begun) / 1000)
        return {
          lines: [],
          fraction: total === undefined ? 0 : received / total,
          before: name,
          after: [
            `${megabytes(received)}${total === undefined ? "" : ` of ${megabytes(total)}`}`,
            `${megabytes((received - before) / seconds)}/s`
          ]
        }
      }
      case "Failed": {
        const next =
          event.delay === undefined ? "" : `; again in ${(event.delay / 1000).toFixed(1)} s`
        return { lines: [`${event.url}: ${event.why}${next}`] }
      }
      case "Finished":
        return {
          lines: [
            `${event.path}: ${megabytes(event.bytes)}, ${event.fetched ? "whole and right" : "there already"}`
          ]
        }
    }
  }
}

/** Samples, of so many. */
export const samples =
  (count: number): Progress.View<Pick<Model.Samples, "first" | "images">> =>
  () => {
    let begun: number | undefined
    let early = 0
    return ({ first, images }, now) => {
      const done = first + images.shape[0]
      // the first batch may have waited for the device
      if (begun === undefined) {
        ;[begun, early] = [now, done]
      }
      const pace = (done - early) / Math.max(1e-3, (now - begun) / 1000)
      return {
        lines: [],
        fraction: done / count,
        before: `${done}/${count}`,
        after: done === early ? [] : [`${pace.toPrecision(3)} items/s`]
      }
    }
  }
