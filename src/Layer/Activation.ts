/**
 * Activations, by name: what configurations choose from. As layers: `Layer.of(Tensor.silu)`.
 *
 * @since 0.1.0
 */
import { type Shape, Tensor } from "../Tensor/index.ts"
import { unknownName } from "./LayerError.ts"

/**
 * @since 0.1.0
 * @category models
 */
export type Activation = <S extends Shape.Shape>(x: Tensor.Tensor<S>) => Tensor.Tensor<S>

const activations = {
  silu: (x) => Tensor.silu(x),
  gelu: (x) => Tensor.gelu(x),
  softplus: (x) => Tensor.softplus(x),
  relu: (x) => Tensor.relu(x),
  tanh: (x) => Tensor.tanh(x),
  sigmoid: (x) => Tensor.sigmoid(x),
  identity: (x) => x
} as const satisfies Record<string, Activation>

/**
 * @since 0.1.0
 * @category models
 */
export type Name = keyof typeof activations

/**
 * @since 0.1.0
 * @category getters
 */
export const names = Object.keys(activations) as ReadonlyArray<Name> as readonly [
  Name,
  ...ReadonlyArray<Name>
]

/**
 * Throws `ConfigError`, with the name that was perhaps meant, for one that there is not.
 *
 * @since 0.1.0
 * @category getters
 */
export const named = (name: Name): Activation => {
  if (Object.hasOwn(activations, name)) return activations[name]
  throw unknownName("Activation.named", String(name), names)
}
