/** Weights from files. */
import * as Effect from "effect/Effect"
import { Parameter, SafeTensors } from "../../Layer/index.ts"
import * as Files from "../Files.ts"
import { dataError } from "./data.ts"

/** The values of parameters from safetensors files, which have them together. Fails with `DataError` about the files where they do not. */
export const load = Effect.fnUntraced(function* <P>(
  parameters: P,
  paths: ReadonlyArray<string>,
  options: Parameter.LoadOptions
) {
  const refused = (path: string) =>
    Effect.mapError(({ message }: { readonly message: string }) =>
      dataError(path, "format", message)
    )
  const files = yield* Effect.forEach(paths, (path) =>
    Effect.flatMap(Files.read(path), (bytes) => SafeTensors.decode(bytes).pipe(refused(path)))
  )
  const tensors = Object.assign({}, ...files.map(({ tensors }) => tensors))
  return yield* Parameter.load(parameters, tensors, options).pipe(refused(paths.join(", ")))
})
