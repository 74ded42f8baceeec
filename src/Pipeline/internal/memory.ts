import * as Os from "node:os"

/** Bytes of memory that the machine has, or that a container allows of them. */
export const total = (): number =>
  Math.min(Os.totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
