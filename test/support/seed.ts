/**
 * The seed of every property, so that a run can be repeated and one failure is everybody's. For other cases set
 * `ODEON_SEED` to another number or to `random`; a failure prints the seed that shows it again.
 */
import * as fc from "fast-check"

const { ODEON_SEED = "2026" } = process.env
if (ODEON_SEED !== "random")
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(ODEON_SEED) })
