import { Random } from "../../Tensor/index.ts"
import type { Any, Context } from "../Layer.ts"
import { hash, join } from "./path.ts"

/** The function of a layer under a name within another: with a path, a key of its own, and the observer told of it. */
export const place =
  (layer: Any, values: unknown, { key, path = "", observer }: Context, name: string) =>
  (input: unknown, condition?: unknown): unknown => {
    const own = join(path, name)
    const told = observer?.entered(own, layer)
    const output = layer.apply(values as never, input, condition, {
      path: own,
      ...(observer === undefined ? {} : { observer }),
      ...(key === undefined ? {} : { key: Random.foldIn(key, hash(name)[0]) })
    })
    told?.({ values, input, condition, output })
    return output
  }
