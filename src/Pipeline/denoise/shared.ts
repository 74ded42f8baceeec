/** What the parts of the denoising experiment share. */
import { Shape } from "../../Tensor/index.ts"
import type { Images as Batch } from "../Images.ts"
import type { Chain, Step } from "./findings.ts"

export type { Batch }

export const what = "Denoise"

export const sized = ({ shape: [, ...own] }: Batch): number => Shape.size(own)

/** Some of the images; their values are not copied. */
export const part = (images: Batch, first: number, count: number): Batch => {
  const [, ...own] = images.shape
  const size = sized(images)
  return {
    dtype: "float32",
    shape: [count, ...own],
    data: images.data.subarray(first * size, (first + count) * size)
  }
}

export const mapped = (images: Batch, f: (value: number, at: number) => number): Batch => ({
  ...images,
  data: images.data.map(f)
})

/** What the columns of examples are called that are no models'. */
export const taken = ["clean", "noisy", "blurred"]

/** Of a chain, the image that one had best stopped with. */
export const bestImage = (
  chain: Chain
): { readonly kind: "state" | "estimate"; readonly step: Step } => {
  const [state, estimate] = [
    chain.chain[chain.best.state - 1],
    chain.chain[chain.best.estimate - 1]
  ]
  return state.state.psnr > estimate.estimate.psnr
    ? { kind: "state", step: state }
    : { kind: "estimate", step: estimate }
}

/** The highest PSNR of a chain. */
export const bestPsnr = (chain: Chain): number => {
  const { kind, step } = bestImage(chain)
  return step[kind].psnr
}
