/** Metrics and traces, as a collector on this machine receives them. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as Device from "../../src/Device/Device.ts"
import * as Experiment from "../../src/Pipeline/Experiment.ts"
import * as Run from "../../src/Pipeline/Run.ts"
import * as Telemetry from "../../src/Pipeline/Telemetry.ts"

interface Received {
  readonly url: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
}

/** A collector for as long as the test runs, and what it received. */
const collector = Effect.acquireRelease(
  Effect.callback<{
    readonly url: string
    readonly received: Array<Received>
    readonly close: () => void
  }>((resume) => {
    const received: Array<Received> = []
    const server = Http.createServer((request, response) => {
      let body = ""
      request.setEncoding("utf8")
      request.on("data", (part) => {
        body += part
      })
      request.on("end", () => {
        received.push({ url: request.url, headers: request.headers, body })
        response.setHeader("content-type", "application/json").end("{}")
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      const close = () => {
        server.closeAllConnections()
        server.close()
      }
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-telemetry-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const configured = (environment: Readonly<Record<string, string>>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment))

const events: ReadonlyArray<Run.Event> = [
  {
    _tag: "Started",
    step: 10,
    steps: 13,
    network: "cunet",
    data: "digits",
    device: "a device",
    parameters: 1,
    items: 32,
    compileTime: 1
  },
  { _tag: "Step", step: 10, epoch: 0, loss: 3, gradientNorm: 4, rate: 0.1, milliseconds: 100 },
  { _tag: "Skipped", step: 11, loss: Number.NaN, gradientNorm: 1, message: "not finite" },
  { _tag: "Step", step: 12, epoch: 0, loss: 2, gradientNorm: 5, rate: 0.2, milliseconds: 50 },
  { _tag: "Ended", step: 13, stopped: false, seconds: 1 }
]

const all: Layer.Layer<Device.Device | Layer.Success<typeof NodeServices.layer>> = Layer.merge(
  Device.layerReference(),
  NodeServices.layer
)

layer(all, { excludeTestServices: true })("telemetry", (it) => {
  it.effect("notes what happens, and lets it pass", () =>
    Effect.gen(function* () {
      const passed = yield* Stream.fromIterable(events).pipe(Telemetry.record, Stream.runCollect)
      expect(passed).toEqual(events)
      const { loss, gradientNorm, learningRate, step, throughput, skipped, duration, live, peak } =
        Telemetry.metrics
      expect((yield* Metric.value(loss)).value).toBe(2)
      expect((yield* Metric.value(gradientNorm)).value).toBe(5)
      expect((yield* Metric.value(learningRate)).value).toBe(0.2)
      expect((yield* Metric.value(step)).value).toBe(13)
      expect((yield* Metric.value(throughput)).value).toBe(640)
      expect((yield* Metric.value(skipped)).count).toBe(1)
      expect(yield* Metric.value(duration)).toMatchObject({ count: 2, sum: 150, min: 50, max: 100 })
      expect((yield* Metric.value(live)).value).toBe(0)
      expect((yield* Metric.value(peak)).value).toBe(0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("sends a run's metrics and spans to where the environment says", () =>
    Effect.gen(function* () {
      const { url, received } = yield* collector
      const path = yield* folder
      yield* Effect.gen(function* () {
        const experiment = yield* Experiment.make({
          data: { name: "digits", size: 8 },
          network: {
            name: "unet",
            width: 4,
            multipliers: [1],
            attention: ["none"],
            groups: 1,
            blocks: 1
          },
          batch: 2,
          steps: 3
        })
        yield* Run.train(experiment, {
          folder: path,
          checkpoint: 2,
          samples: { every: 3, count: 1, plan: 1 }
        }).pipe(Telemetry.record, Stream.runDrain)
      }).pipe(
        Effect.provide(Telemetry.layer),
        configured({
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
          OTEL_EXPORTER_OTLP_HEADERS: "authorization=secret",
          OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
          OTEL_SERVICE_NAME: "our-runs"
        })
      )
      for (const { headers, body } of received) {
        expect(headers.authorization).toBe("secret")
        expect(body).toContain('"our-runs"')
      }
      const last = received.findLast((each) => each.url === "/v1/metrics")
      const metrics: ReadonlyArray<any> = JSON.parse(last?.body ?? "").resourceMetrics[0]
        .scopeMetrics[0].metrics
      const named = (name: string) => metrics.find((metric) => metric.name === name)
      expect(named("odeon.train.step").gauge.dataPoints[0].asDouble).toBe(3)
      expect(named("odeon.train.step.duration")).toMatchObject({
        unit: "ms",
        histogram: { dataPoints: [{ count: 3 }] }
      })
      expect(named("odeon.device.memory.peak")).toMatchObject({ unit: "By" })
      expect(named("odeon.device.memory.peak").gauge.dataPoints[0].asDouble).toBeGreaterThan(0)
      const spans: ReadonlyArray<any> = received
        .filter((each) => each.url === "/v1/traces")
        .flatMap(({ body }) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans)
      const run = spans.find(({ name }) => name === "odeon.run")
      const inner = (name: string) =>
        spans.filter((span) => span.name === name && span.parentSpanId === run.spanId)
      // after two steps, and at the end
      expect(inner("odeon.checkpoint").length).toBe(2)
      expect(inner("odeon.sampling").length).toBe(1)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("sends nothing unless it is told where to, or if it is told not to", () =>
    Effect.gen(function* () {
      const { url, received } = yield* collector
      for (const environment of [
        {},
        { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: "true" }
      ]) {
        yield* Stream.fromIterable(events).pipe(
          Telemetry.record,
          Stream.withSpan("odeon.run"),
          Stream.runDrain,
          Effect.provide(Telemetry.layer),
          configured(environment)
        )
      }
      expect(received).toEqual([])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("is not held up by a collector that is not there", () =>
    Effect.gen(function* () {
      const begun = performance.now()
      const passed = yield* Stream.fromIterable(events).pipe(
        Telemetry.record,
        Stream.runCollect,
        Effect.provide(Telemetry.layer),
        configured({
          OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
          OTEL_EXPORTER_OTLP_TIMEOUT: "300"
        })
      )
      expect(passed.length).toBe(events.length)
      expect(performance.now() - begun).toBeLessThan(2000)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("refuses what is no address, and a protocol that is not known", () =>
    Effect.gen(function* () {
      const refused = (environment: Readonly<Record<string, string>>) =>
        Effect.void.pipe(
          Effect.provide(Telemetry.layer),
          configured(environment),
          Effect.flip,
          Effect.map(({ message }) => message)
        )
      expect(yield* refused({ OTEL_EXPORTER_OTLP_ENDPOINT: "somewhere" })).toBe(
        "OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318, or left out"
      )
      expect(
        yield* refused({
          OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
          OTEL_EXPORTER_OTLP_PROTOCOL: "grpc"
        })
      ).toBe(
        'OTEL_EXPORTER_OTLP_PROTOCOL: there is no "grpc"; known are http/protobuf and http/json'
      )
    })
  )
})
