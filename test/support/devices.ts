/** The devices under test. */
import type * as Layer from "effect/Layer"
import * as Device from "../../src/Device/Device.ts"
import type { DeviceUnavailable } from "../../src/Device/DeviceError.ts"

/** A device, to be held against `Reference`. */
export interface Instance {
  readonly name: string
  readonly layer: Layer.Layer<Device.Device, DeviceUnavailable>
}

/** Those that must agree with `Reference`. */
export const others: ReadonlyArray<Instance> = [{ name: "cpu", layer: Device.layerOnnx() }]

export const all: ReadonlyArray<Instance> = [
  { name: "reference", layer: Device.layerReference() },
  ...others
]
