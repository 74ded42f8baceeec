import type { Spec } from "../../Tensor/Expression.ts"
import * as Shape from "../../Tensor/Shape.ts"
import { DeviceError } from "../DeviceError.ts"

/** An array for messages: `float32[2, 3]`. */
export const show = ({ dtype, shape }: Spec): string => `${dtype}${Shape.show(shape)}`

/** Some arrays for messages: `(float32[2, 3], int32[])`. */
export const showAll = (specs: ReadonlyArray<Spec>): string => `(${specs.map(show).join(", ")})`

/** Bytes for messages: `1,048,576 bytes`. */
export const showBytes = (bytes: number): string => `${bytes.toLocaleString("en")} bytes`

/** A `DeviceError` of a device. */
export type Failure = (
  reason: DeviceError["reason"],
  operation: string,
  specs: ReadonlyArray<Spec>,
  why: string
) => DeviceError

/** What a device's failures are made by. */
export const failures =
  (device: string): Failure =>
  (reason, operation, specs, why) =>
    new DeviceError({
      reason,
      device,
      operation,
      shapes: specs.map(({ shape }) => shape),
      message: `${operation}: ${why}`
    })
