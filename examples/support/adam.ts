import { Tensor, Tree } from "../../src/Tensor/index.ts"

type Numbers = { readonly [name: string]: Tensor.Tensor }

/** What Adam carries from step to step. */
export interface State<W> {
  readonly weights: W
  readonly mean: W
  readonly square: W
  readonly step: Tensor.Tensor<readonly [], "int32">
}

/** What Adam knows before its first step. */
export const start = <W>(weights: W): State<W> => {
  const zeros = Tree.map(weights as Numbers, (each) => Tensor.zerosLike(each)) as W
  return { weights, mean: zeros, square: zeros, step: Tensor.scalar(0, "int32") }
}

/** One step of Adam (Kingma and Ba 2014, arXiv:1412.6980), with a rate that falls to 0 over `steps`. */
export const step = <W>(
  { weights, mean, square, step }: State<W>,
  gradients: W,
  { rate, steps }: { readonly rate: number; readonly steps: number }
): State<W> => {
  const [b1, b2] = [0.9, 0.99]
  const next = Tensor.add(step, 1)
  const count = Tensor.cast(next, "float32")
  const m = Tree.zipWith([mean as Numbers, gradients as Numbers], (a, g) =>
    Tensor.add(Tensor.mul(a, b1), Tensor.mul(g, 1 - b1))
  )
  const v = Tree.zipWith([square as Numbers, gradients as Numbers], (a, g) =>
    Tensor.add(Tensor.mul(a, b2), Tensor.mul(Tensor.square(g), 1 - b2))
  )
  // 1 − βⁿ, because the means begin at 0
  const warm = (beta: number) => Tensor.neg(Tensor.expm1(Tensor.mul(count, Math.log(beta))))
  const left = Tensor.sub(Tensor.scalar(1), Tensor.div(count, steps + 1))
  const scale = Tensor.div(Tensor.mul(left, rate), warm(b1))
  const moved = Tree.zipWith([weights as Numbers, m, v], (w, a, b) => {
    const deviation = Tensor.sqrt(Tensor.div(b, warm(b2)))
    return Tensor.sub(w, Tensor.mul(Tensor.div(a, Tensor.add(deviation, 1e-8)), scale))
  })
  return { weights: moved as W, mean: m as W, square: v as W, step: next }
}
