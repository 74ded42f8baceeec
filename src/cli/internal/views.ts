/** How what takes its time is shown. */
import type { Denoise, Download, Evaluate, Model, Progress, Train } from "../../Pipeline/index.ts"

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

/** The training of a classifier, of so many steps, which begins with a line. */
export const classifier =
  (line: string, steps: number): Progress.View<Train.Event> =>
  () =>
  ({ step }) => ({
    lines: step === 0 ? [line] : [],
    fraction: (step + 1) / steps,
    before: `${step + 1}/${steps}`
  })

/** How far an evaluation is. */
export const evaluation: Progress.View<Evaluate.Event> = () => (event) => {
  switch (event._tag) {
    case "Drawn": {
      const { name, done, total } = event
      return { lines: [], fraction: done / total, before: `${name} ${done}/${total}` }
    }
    case "Measured": {
      const { name, fid, judgement } = event.figures
      const told =
        judgement === undefined ? "" : `, ${(100 * judgement.confident).toFixed(1)} % sure`
      return { lines: [`${name}: FID ${fid.toPrecision(4)}${told}`] }
    }
    case "Finished":
      return { lines: [] }
  }
}

/** How far an experiment of denoising is. */
export const denoising: Progress.View<Denoise.Event> = () => (event) => {
  if (event._tag !== "Measured") return { lines: [] }
  const { model, chain, done, total } = event
  const { noise, steps, best } = chain
  const { psnr } = chain.chain[best.estimate - 1].estimate
  const found = Number.isFinite(psnr) ? `${psnr.toFixed(2)} dB` : "diverges"
  return {
    lines: [`${model}, ε = ${noise}, ${steps} ${steps === 1 ? "step" : "steps"}: ${found}`],
    fraction: done / total,
    before: `${done}/${total}`
  }
}
