import { Dense, Embedding, Initializer, Layer } from "../../src/Layer/index.ts"
import { Tensor } from "../../src/Tensor/index.ts"
import type { Points } from "./points.ts"

/** A network for points of the plane: points, and what it is told of the noise, to what it predicts. */
export const network = (width: number) => {
  const initializer = Initializer.kaimingNormal()
  return Layer.make(
    {
      time: Embedding.sinusoid({ width: 32 }),
      into: Dense.make({ in: 34, out: width, initializer }),
      middle: Dense.make({ in: width, out: width, initializer }),
      out: Dense.make({ in: width, out: 2 })
    },
    (
      { time, into, middle, out },
      x: Tensor.Tensor,
      told: { readonly time: Tensor.Tensor<readonly [number]> }
    ): Tensor.Tensor => {
      const both = Tensor.concat([x as Points, time(told.time)], { axis: 1 })
      const h = Tensor.silu(into(both as Tensor.Tensor<readonly [number, 34]>))
      return out(Tensor.silu(middle(h)))
    }
  )
}
