/**
 * Metrics and traces of runs, for OpenTelemetry.
 *
 * ```ts
 * yield* Run.train(experiment, { folder: "runs/digits" }).pipe(
 *   Telemetry.record,
 *   Progress.auto,
 *   Stream.runDrain,
 *   Effect.provide(Telemetry.layer)
 * )
 * ```
 *
 * The standard variables say where they go: `OTEL_EXPORTER_OTLP_ENDPOINT` (such as `http://localhost:4318`), or that of metrics or traces
 * alone; `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_PROTOCOL` (`http/protobuf`, or `http/json`), `OTEL_SERVICE_NAME` (`odeon`
 * unless told), `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_METRIC_EXPORT_INTERVAL` and the others of OTLP over HTTP. Without an endpoint nothing is
 * sent, nor loaded. A collector that does not answer holds up nothing.
 *
 * | metric                                                        |                                                         |
 * | ------------------------------------------------------------- | ------------------------------------------------------- |
 * | `odeon.train.loss`                                            | of the last step                                        |
 * | `odeon.train.gradient_norm`                                   | of the last step, before it was clipped                 |
 * | `odeon.train.learning_rate`                                   | of the last step                                        |
 * | `odeon.train.step`                                            | steps made, those of runs before included               |
 * | `odeon.train.step.duration`                                   | milliseconds, as a histogram                            |
 * | `odeon.train.throughput`                                      | items, such as images, a second                         |
 * | `odeon.train.skipped`                                         | steps left out                                          |
 * | `odeon.device.memory.live`, `odeon.device.memory.peak`        | bytes                                                   |
 *
 * Spans are `odeon.run`, and in it `odeon.checkpoint` and `odeon.sampling`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Device } from "../Device/index.ts"
import { TrainError } from "./PipelineError.ts"
import type { Event } from "./Run.ts"

const gauge = (name: string, description: string, unit?: string) =>
  Metric.gauge(name, { description, ...(unit === undefined ? {} : { attributes: { unit } }) })

/**
 * The metrics, which `Metric.value` reads.
 *
 * @since 0.1.0
 * @category instances
 */
export const metrics = {
  loss: gauge("odeon.train.loss", "Loss of the last step"),
  gradientNorm: gauge("odeon.train.gradient_norm", "Norm of the last step's gradient"),
  learningRate: gauge("odeon.train.learning_rate", "Learning rate of the last step"),
  step: gauge("odeon.train.step", "Steps made"),
  duration: Metric.histogram("odeon.train.step.duration", {
    description: "Duration of a step",
    attributes: { unit: "milliseconds" },
    boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 18 })
  }),
  throughput: gauge("odeon.train.throughput", "Items a second", "{item}/s"),
  skipped: Metric.counter("odeon.train.skipped", {
    description: "Steps left out, whose loss or gradient was not finite",
    incremental: true
  }),
  live: gauge("odeon.device.memory.live", "Bytes of the device's buffers", "bytes"),
  peak: gauge("odeon.device.memory.peak", "The most bytes that the device held at once", "bytes")
} as const

/** Milliseconds between looks at the device's memory. */
const pause = 1000

/**
 * Notes what happens in a run; the events pass on.
 *
 * @since 0.1.0
 * @category operators
 */
export const record = <E, R>(
  stream: Stream.Stream<Event, E, R>
): Stream.Stream<Event, E, R | Device.Device> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const device = yield* Device.Device
      let [items, looked] = [1, Number.NEGATIVE_INFINITY]
      const memory = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        if (now - looked < pause) return
        looked = now
        const { liveBytes, peakBytes } = yield* device.memory
        yield* Metric.update(metrics.live, liveBytes)
        yield* Metric.update(metrics.peak, peakBytes)
      })
      const noted = Effect.fnUntraced(function* (event: Event) {
        switch (event._tag) {
          case "Started":
            items = event.items
            yield* Metric.update(metrics.step, event.step)
            break
          case "Step":
            yield* Metric.update(metrics.loss, event.loss)
            yield* Metric.update(metrics.gradientNorm, event.gradientNorm)
            yield* Metric.update(metrics.learningRate, event.rate)
            yield* Metric.update(metrics.step, event.step + 1)
            yield* Metric.update(metrics.duration, event.milliseconds)
            yield* Metric.update(metrics.throughput, (1000 * items) / event.milliseconds)
            break
          case "Skipped":
            yield* Metric.update(metrics.step, event.step + 1)
            yield* Metric.update(metrics.skipped, 1)
            break
        }
        yield* memory
      })
      return Stream.tap(stream, noted)
    })
  )

const names = [
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
] as const

const refuse = (message: string) => new TrainError({ reason: "options", message })

/** The addresses that the environment names. */
const endpoints = Effect.forEach(names, (name) =>
  Config.option(Config.URL(name)).pipe(
    Effect.mapError(() =>
      refuse(`${name} must be an address such as http://localhost:4318, or left out`)
    )
  )
)

/** How what is sent is written. */
const protocol = Effect.gen(function* () {
  const name = "OTEL_EXPORTER_OTLP_PROTOCOL"
  const told = yield* Effect.orElseSucceed(Config.String(name), () => "")
  if (told === "http/json" || told === "http/protobuf" || told === "") return told
  return yield* refuse(`${name}: there is no "${told}"; known are http/protobuf and http/json`)
})

/** What the standard has where nothing is told. */
const defaults = ConfigProvider.fromUnknown({
  OTEL_METRICS_EXPORTER: "otlp",
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_SERVICE_NAME: "odeon"
})

/**
 * Sends metrics and traces to where the environment says, if it does; what is left goes when the scope closes. Fails with `TrainError` for
 * an address or a protocol that is none.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never, TrainError> = Layer.unwrap(
  Effect.gen(function* () {
    if ((yield* endpoints).every(Option.isNone)) return Layer.empty
    const kind = yield* protocol
    const [Serialization, Metrics, Tracer, Http] = yield* Effect.promise(() =>
      Promise.all([
        import("effect/observability/OtlpSerialization"),
        import("effect/observability/OtlpMetrics"),
        import("effect/observability/OtlpTracer"),
        import("effect/http/FetchHttpClient")
      ])
    )
    const own = yield* ConfigProvider.ConfigProvider
    return Layer.mergeAll(Metrics.layerFromConfig(), Tracer.layerFromConfig()).pipe(
      Layer.provide(kind === "http/json" ? Serialization.layerJson : Serialization.layerProtobuf),
      Layer.provide(Http.layer),
      Layer.provide(ConfigProvider.layer(ConfigProvider.orElse(own, defaults)))
    )
  })
)
