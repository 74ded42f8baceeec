/** The values of a layer's own parameters. */
import type { Tensor } from "../../Tensor/index.ts"
import { ParameterError } from "../LayerError.ts"

/** A parameter's value. That of a bias, say, must not be missing without anybody noticing. */
export const valueOf = (what: string, values: unknown, name: string): Tensor.Tensor => {
  const value = (values as Readonly<Record<string, Tensor.Tensor>> | undefined)?.[name]
  if (value !== undefined) return value
  throw new ParameterError({
    path: name,
    reason: "missing",
    message: `${what}: the parameter "${name}" has no value`
  })
}
