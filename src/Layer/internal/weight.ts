/** The parameters of dense and convolutional layers. */
import type { Shape } from "../../Tensor/index.ts"
import * as Initializer from "../Initializer.ts"
import * as Parameter from "../Parameter.ts"

interface Options {
  readonly out: number
  /** `true` unless told. */
  readonly bias?: boolean
  readonly initializer?: Initializer.Initializer
  readonly biasInitializer?: Initializer.Initializer
}

/** A weight, and a bias of each output unless there is none; as PyTorch's begin unless told. */
export const weightAndBias = (
  shape: Shape.Shape,
  { out, bias, initializer, biasInitializer }: Options
): never =>
  ({
    weight: Parameter.make(shape, initializer ?? Initializer.torch),
    ...(bias === false
      ? {}
      : { bias: Parameter.make([out], biasInitializer ?? Initializer.torchBias(shape)) })
  }) as never
