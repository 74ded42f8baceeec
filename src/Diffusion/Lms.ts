/**
 * Linear multistep: Adams–Bashforth on dx/dr = ε for the noise r = σ/α of a plan's own, uneven levels (k-diffusion's `sample_lms`),
 *
 *     x′/α′ = x/α + Σⱼ cⱼ εᵢ₋ⱼ,  cⱼ = ∫ ∏ₖ (r − rᵢ₋ₖ)/(rᵢ₋ⱼ − rᵢ₋ₖ) dr over [rᵢ, rᵢ₊₁], k ≠ j,
 *
 * through the last ε's, as many as the order, or fewer at the start. There must be signal at the first level.
 *
 * @since 0.1.0
 */
import { demand } from "./DiffusionError.ts"
import * as Sampler from "./Sampler.ts"

/**
 * Linear multistep of an order of 1 to 4, 4 unless told. Throws `DiffusionError` for other orders.
 *
 * @since 0.1.0
 * @category samplers
 */
export const make = (options: { readonly order?: number } = {}): Sampler.Sampler => {
  const { order = 4 } = options
  demand(
    Number.isInteger(order) && order >= 1 && order <= 4,
    "Lms.make",
    "options",
    `the order must be 1, 2, 3 or 4, not ${order}`
  )
  return Sampler.linear(`LMS ${order}`, ({ levels }) => {
    const noise = levels.map(({ alpha, sigma }) => sigma / alpha)
    return levels.slice(1).map(({ alpha }, i) => {
      const level = levels[i]
      const now = Math.min(order, i + 1)
      const nodes = Array.from({ length: now }, (_, j) => noise[i - j])
      const weights = nodes.map((_, j) => alpha * integral(nodes, j, noise[i + 1]))
      const history = Array.from({ length: order - 1 }, (_, j) => `slope${j + 1}`)
      return {
        level,
        next: {
          x: {
            x: alpha / level.alpha,
            ...Object.fromEntries(
              weights.map((weight, j) => [j === 0 ? "slope" : `slope${j}`, weight])
            )
          },
          ...Object.fromEntries(
            history.map((name, j) => [name, { [j === 0 ? "slope" : `slope${j}`]: 1 }])
          )
        }
      }
    })
  })
}

/** Of Lagrange's polynomial that is 1 at node `j`, from node 0 on: by Simpson's rule, which is exact for cubics. */
const integral = (nodes: ReadonlyArray<number>, j: number, to: number): number => {
  const [from] = nodes
  const at = (r: number) =>
    nodes.reduce(
      (product, node, k) => (k === j ? product : (product * (r - node)) / (nodes[j] - node)),
      1
    )
  return ((to - from) / 6) * (at(from) + 4 * at((from + to) / 2) + at(to))
}
