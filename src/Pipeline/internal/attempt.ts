import { DiffusionError } from "../../Diffusion/index.ts"
import { LayerError } from "../../Layer/index.ts"
import { TensorError } from "../../Tensor/index.ts"
import { DataError, TrainError } from "../PipelineError.ts"
import { attempting } from "./attempting.ts"

/** What pure code throws where it is used wrongly. */
export type BuildError =
  | DiffusionError.DiffusionError
  | LayerError.ConfigError
  | LayerError.ParameterError
  | TensorError.TensorError
  | TrainError
  | DataError

const isBuildError = (error: unknown): error is BuildError =>
  error instanceof DiffusionError.DiffusionError ||
  error instanceof LayerError.ConfigError ||
  error instanceof LayerError.ParameterError ||
  error instanceof TrainError ||
  error instanceof DataError ||
  TensorError.isTensorError(error)

/** What pure code throws where it is used wrongly, as a failure. Whatever else it throws is a defect. */
export const attempt = attempting(isBuildError)
