/**
 * Devices, for whoever has to choose one: which there are on this machine, which is taken, and why.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Device, type DeviceError } from "../Device/index.ts"
import * as Memory from "./internal/memory.ts"

/**
 * The device that the environment variable `ODEON_DEVICE` names, `cpu` unless it does: `Device.layerAuto`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Device.Device, DeviceError.DeviceUnavailable> = Device.layerAuto

/**
 * A device, there or not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  /** As in `ODEON_DEVICE`. */
  readonly name: string
  readonly available: boolean
  /** What it is, or why it is not there and what to do. */
  readonly about: string
}

/**
 * What there is to compute on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Survey {
  readonly devices: ReadonlyArray<Found>
  /** The name of the device that {@link layer} gives, if it gives one. */
  readonly taken: string | undefined
  /** Why that one, or why none. */
  readonly why: string
  /** Of the processor. */
  readonly processor: string
  /** Threads that run at once. */
  readonly threads: number
  /** Bytes that the machine has, or that a container allows of them. */
  readonly memory: number
  /** Bytes of these that are free. */
  readonly freeMemory: number
}

/** What a device says of itself, or why there is none, under a configuration. */
const ask = (provider: ConfigProvider.ConfigProvider) =>
  Effect.scoped(
    Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Device.Device))
  ).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, provider),
    Effect.map(({ name, description }) => ({ name, about: description, available: true })),
    Effect.catch(({ device, message }) =>
      Effect.succeed({ name: device, about: message, available: false })
    )
  )

/** The reason at the end of a description, which holds for the one that is taken. */
const reason = / \(([^()]*)\)$/

/**
 * Looks for all devices that are known: each is opened, asked what it is, and closed again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const survey: Effect.Effect<Survey> = Effect.gen(function* () {
  const devices = yield* Effect.forEach(Device.names, (name) =>
    Effect.map(ask(ConfigProvider.fromUnknown({ ODEON_DEVICE: name })), ({ about, available }) => ({
      name,
      about: available ? about.replace(reason, "") : about,
      available
    }))
  )
  const taken = yield* ask(yield* ConfigProvider.ConfigProvider)
  return {
    devices,
    taken: taken.available ? taken.name : undefined,
    why: taken.available ? (reason.exec(taken.about)?.[1] ?? "") : taken.about,
    processor: Os.cpus()[0]?.model.trim() ?? Os.arch(),
    threads: Os.availableParallelism(),
    memory: Memory.total(),
    freeMemory: process.availableMemory()
  }
})
