/**
 * Ours against a peer's, in alternating runs on one machine, so that a machine that slows down
 * slows both.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Effect from "effect/Effect"

/** A thing to time. `run` gives seconds for each repetition that it made. */
export interface Contender<E, R> {
  readonly name: string
  readonly run: Effect.Effect<ReadonlyArray<number>, E, R>
}

export interface Timing {
  readonly name: string
  readonly median: number
  readonly best: number
  readonly worst: number
  readonly runs: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Times each contender once per round, in turn. */
export const alternate = Effect.fnUntraced(function* <E, R>(
  contenders: ReadonlyArray<Contender<E, R>>,
  rounds: number
) {
  const seconds = contenders.map((): Array<number> => [])
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) seconds[i].push(...(yield* contender.run))
  }
  return contenders.map(
    ({ name }, i): Timing => ({
      name,
      median: median(seconds[i]),
      best: Math.min(...seconds[i]),
      worst: Math.max(...seconds[i]),
      runs: seconds[i].length
    })
  )
})

export interface Peer {
  readonly python: string
  readonly script: string
}

/** The PyTorch peer, where `ODEON_PEER_PYTHON` names a Python that has PyTorch. */
export const peer = (): Peer | string => {
  const python = process.env.ODEON_PEER_PYTHON
  const script = process.env.ODEON_PEER_SCRIPT ?? "../shared/peers/torch_peer.py"
  if (!python) return "no peer: ODEON_PEER_PYTHON names no Python with PyTorch"
  if (!Fs.existsSync(script))
    return `no peer: ${script} is not there; ODEON_PEER_SCRIPT may name it`
  return { python, script }
}

/** Seconds per repetition as the peer reports them, or why it did not. */
export const askPeer = (
  { python, script }: Peer,
  options: Readonly<Record<string, string | number>>
): { readonly median_s: number; readonly min_s: number } | string => {
  const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)])
  const { status, signal, stdout, stderr } = spawnSync(python, [script, ...args], {
    encoding: "utf8"
  })
  if (status !== 0) {
    const last = stderr.trim().split("\n").at(-1)
    return signal === null ? `failed: ${last}` : `ended by ${signal}`
  }
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}")
}

/** A table for people. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ")
    )
    .join("\n")
}
