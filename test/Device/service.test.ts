import { expect, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { describe, it as plain } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import * as Gradient from "../../src/Tensor/Gradient.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Random from "../../src/Tensor/Random.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const devices = [
  ["reference", Device.layerReference()],
  ["cpu", Device.layerOnnx()]
] as const

const double = Program.makeUnsafe({ x: Tensor.spec([4]) }, ({ x }) => ({ y: Tensor.mul(x, 2) }), {
  name: "double"
})

/** A running sum, and what it was before each step. */
const sums = Program.makeUnsafe(
  [{ total: Tensor.spec([2]) }, { x: Tensor.spec([2]) }],
  ([{ total }, { x }]) => [{ total: Tensor.add(total, x) }, { before: Tensor.sum(total) }],
  { name: "sums" }
)

const four = Tensor.hostArray([1, 2, 3, 4])

for (const [name, provided] of devices) {
  layer(provided, { excludeTestServices: true })(name, (it) => {
    it.effect("runs on buffers and host arrays, and gives buffers of the caller's scope", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const before = yield* device.memory
        yield* Effect.scoped(
          Effect.gen(function* () {
            const executable = yield* device.compile(double)
            const x = yield* device.upload(four)
            const { y } = yield* executable.run({ x })
            expect(Array.from((yield* device.download(y)).data)).toEqual([2, 4, 6, 8])
            const again = yield* executable.run({ x: four })
            expect(yield* device.downloadAll(again)).toEqual({
              y: { shape: [4], dtype: "float32", data: Float32Array.of(2, 4, 6, 8) }
            })
            const { liveBytes, liveBuffers } = yield* device.memory
            expect([liveBytes - before.liveBytes, liveBuffers - before.liveBuffers]).toEqual([
              48, 3
            ])
            yield* device.release({ y, again })
            expect((yield* device.memory).liveBuffers - before.liveBuffers).toBe(1)
          })
        )
        const after = yield* device.memory
        expect([after.liveBytes, after.liveBuffers]).toEqual([before.liveBytes, before.liveBuffers])
        expect(after.peakBytes).toBeGreaterThanOrEqual(48)
      })
    )

    it.effect("compiles equal programs once", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const build = () =>
          Program.makeUnsafe({ x: Tensor.spec([5]) }, ({ x }) =>
            Tensor.sum(Tensor.exp(Tensor.sin(x)))
          )
        const first = yield* device.compile(build())
        const { programs } = yield* device.memory
        const second = yield* device.compile(build())
        expect(first.compileTime).toBeGreaterThan(0)
        expect(second.compileTime).toBe(0)
        expect((yield* device.memory).programs).toBe(programs)
      })
    )

    const wrong: ReadonlyArray<readonly [string, unknown, ReadonlyArray<string>]> = [
      [
        "another shape",
        { x: Tensor.hostArray([1, 2]) },
        ["run double", '"x"', "float32[4]", "float32[2]"]
      ],
      [
        "another dtype",
        { x: Tensor.hostArray([1, 2, 3, 4], { dtype: "int32" }) },
        ["float32[4]", "int32[4]"]
      ],
      [
        "data that does not fit its shape",
        { x: { ...four, shape: [5], data: four.data } },
        ["[5]"]
      ],
      ["too little data", { x: { ...four, data: Float32Array.of(1) } }, ["4 elements", "1"]],
      [
        "data of another type",
        { x: { ...four, data: Float64Array.of(1, 2, 3, 4) } },
        ["float32", "Float64Array"]
      ],
      ["a missing input", {}, ['"x"']],
      ["an unknown input", { z: four }, ['"x"', '"z"']]
    ]
    for (const [what, inputs, parts] of wrong) {
      it.effect(`refuses ${what}`, () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const executable = yield* device.compile(double)
          const error = yield* Effect.flip(executable.run(inputs as never))
          expect(error._tag).toBe("DeviceError")
          expect(error.reason).toBe("Mismatch")
          for (const part of parts) expect(error.message).toContain(part)
        })
      )
    }

    it.effect("refuses a buffer after its scope, or after its release", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const executable = yield* device.compile(double)
        const gone = yield* Effect.scoped(device.upload(four))
        const released = yield* device.upload(four)
        yield* device.release(released)
        for (const x of [gone, released]) {
          const error = yield* Effect.flip(executable.run({ x }))
          expect(error.reason).toBe("Released")
          expect(error.message).toContain("float32[4]")
          expect((yield* Effect.flip(device.download(x))).reason).toBe("Released")
        }
      })
    )

    it.effect("refuses a buffer of another device", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const executable = yield* device.compile(double)
        const error = yield* Effect.gen(function* () {
          const other = yield* Device.Device
          const x = yield* other.upload(four)
          return yield* Effect.flip(executable.run({ x }))
        }).pipe(Effect.provide(Device.layerReference()))
        expect(error.reason).toBe("Foreign")
        expect(error.message).toContain("download")
      })
    )

    it.effect("names the operation that gave a NaN, when told to look", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const program = Program.makeUnsafe({ x: Tensor.spec([2]) }, ({ x }) =>
          Tensor.sum(Tensor.exp(Tensor.named(Tensor.log(Tensor.sub(x, 2)), "entropy")))
        )
        const executable = yield* device.compile(program, { check: "nan" })
        const good = yield* executable.run({ x: Tensor.hostArray([3, 4]) })
        expect(Number((yield* device.download(good)).data[0])).toBeCloseTo(3, 5)
        const error = yield* Effect.flip(executable.run({ x: Tensor.hostArray([3, 1]) }))
        expect(error.reason).toBe("NotFinite")
        expect(error.operation).toContain('log "entropy"')
        expect(error.message).toContain("float32[2]")
        expect(
          (yield* Effect.flip(
            (yield* device.compile(program, { check: "finite" })).run({
              x: Tensor.hostArray([3, 2])
            })
          )).operation
        ).toContain("log")
      })
    )

    it.effect("names it inside a scan too", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const program = Program.makeUnsafe({ x: Tensor.spec([3]) }, ({ x }) => {
          const [state] = Tensor.scan({
            init: Tensor.scalar(4),
            over: x,
            step: (s, each) => [Tensor.sqrt(Tensor.sub(s, each)), []]
          })
          return Tensor.mul(state, 2)
        })
        const executable = yield* device.compile(program, { check: "nan" })
        const error = yield* Effect.flip(executable.run({ x: Tensor.hostArray([0, 9, 0]) }))
        expect(error.operation).toContain("sqrt")
        expect(error.message).toContain("scan")
      })
    )

    it.effect("refuses what is larger than its memory, and says by how much", () =>
      Effect.gen(function* () {
        const small =
          name === "cpu"
            ? Device.layerOnnx({ capacity: 1000 })
            : Device.layerReference({ capacity: 1000 })
        yield* Effect.gen(function* () {
          const device = yield* Device.Device
          const large = Program.makeUnsafe({ x: Tensor.spec([200]) }, ({ x }) =>
            Tensor.mul(Tensor.reshape(x, [200, 1]), x)
          )
          const refused = yield* Effect.flip(device.compile(large))
          expect(refused._tag).toBe("CompileError")
          expect(refused.reason).toBe("Memory")
          expect(refused.message).toMatch(/160,\d{3}.*1,000/)
          yield* device.upload(Tensor.hostArray(new Float32Array(200)))
          const full = yield* Effect.flip(device.upload(Tensor.hostArray(new Float32Array(100))))
          expect(full.reason).toBe("Memory")
          expect(full.message).toContain("400")
        }).pipe(Effect.provide(small))
      })
    )

    it.effect("an index out of range is an error, not a crash", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const program = Program.makeUnsafe({ at: Tensor.spec([1], "int32") }, ({ at }) =>
          Tensor.take(Tensor.ones([3]), at)
        )
        const executable = yield* device.compile(program)
        const error = yield* Effect.flip(
          executable.run({ at: Tensor.hostArray([7], { dtype: "int32" }) })
        )
        expect(error.reason).toBe("Failed")
      })
    )

    it.effect("a transposed convolution that sees nothing but padding is zero", () =>
      Effect.gen(function* () {
        const device = yield* Device.Device
        const [x, w] = [Tensor.zeros([1, 1, 1], "float64"), Tensor.ones([1, 1, 1], "float64")]
        const y = Tensor.conv(x, w, { stride: 3, padding: [[2, 0]] })
        expect(Array.from((yield* device.evaluate(Gradient.of(Tensor.sum(y), x))).data)).toEqual([
          0
        ])
      })
    )

    describe("fold", () => {
      const xs = Tensor.hostArray(
        Float32Array.from({ length: 66 }, (_, i) => i),
        { shape: [33, 2] }
      )
      const total = [32 * 33, 33 * 33]

      it.effect("gives the same in calls of one step, of sixteen, and of what suits", () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const fold = yield* device.fold(sums)
          const start = { total: Tensor.hostArray([0, 0]) }
          const results = yield* Effect.forEach(
            [{ stepsPerCall: 1 }, { stepsPerCall: 16 }, {}],
            (options) =>
              Effect.gen(function* () {
                const [state, { before }] = yield* fold.run(start, { x: xs }, options)
                expect(Array.from((yield* device.download(state.total)).data)).toEqual(total)
                expect(before.shape).toEqual([33])
                return Array.from(before.data)
              })
          )
          expect(results[1]).toEqual(results[0])
          expect(results[2]).toEqual(results[0])
          expect(results[0].slice(0, 3)).toEqual([0, 1, 6])
        })
      )

      it.effect("leaves the state given alive, and frees those between", () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const fold = yield* device.fold(sums)
          const start = yield* device.uploadAll({ total: Tensor.hostArray([1, 1]) })
          const { liveBuffers } = yield* device.memory
          const [state] = yield* fold.run(start, { x: xs }, { stepsPerCall: 4 })
          expect((yield* device.memory).liveBuffers).toBe(liveBuffers + 1)
          expect(Array.from((yield* device.download(start.total)).data)).toEqual([1, 1])
          const [next] = yield* fold.run(state, { x: xs })
          expect(Array.from((yield* device.download(next.total)).data)).toEqual(
            total.map((each) => 1 + 2 * each)
          )
        })
      )

      it.effect("of no steps gives the state back", () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const fold = yield* device.fold(sums)
          const [state, { before }] = yield* fold.run(
            { total: Tensor.hostArray([5, 6]) },
            { x: xs },
            { steps: 0 }
          )
          expect(Array.from((yield* device.download(state.total)).data)).toEqual([5, 6])
          expect(before.shape).toEqual([0])
        })
      )

      it.effect("refuses a step whose state changes, and inputs that do not fit", () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const growing = Program.makeUnsafe([Tensor.spec([2]), []], ([x]) => [
            Tensor.concat([x, x]),
            []
          ])
          const refused = yield* Effect.flip(device.fold(growing as never))
          expect(refused.message).toContain("float32[4]")
          const fold = yield* device.fold(sums)
          const start = { total: Tensor.hostArray([0, 0]) }
          const shapes = yield* Effect.flip(
            fold.run(start, { x: Tensor.hostArray([[1, 2, 3]]) as never })
          )
          expect(shapes.message).toContain("[1, 3]")
          const few = yield* Effect.flip(fold.run(start, { x: xs }, { steps: 40 }))
          expect(few.message).toContain("[33, 2]")
        })
      )

      it.effect("lets other fibers run, stops when interrupted, and frees everything", () =>
        Effect.gen(function* () {
          const device = yield* Device.Device
          const before = yield* device.memory
          const slow = Program.makeUnsafe([Tensor.spec([64, 64]), []], ([x]) => [
            Tensor.tanh(Tensor.matmul(x, x)),
            []
          ])
          let ticks = 0
          const clock = yield* Effect.forkChild(
            Effect.forever(
              Effect.andThen(
                Effect.sleep("5 millis"),
                Effect.sync(() => ticks++)
              )
            )
          )
          const working = yield* Effect.forkChild(
            Effect.scoped(
              Effect.gen(function* () {
                const fold = yield* device.fold(slow)
                const image = yield* device.evaluate(Random.normal(Random.key(0), [64, 64]))
                yield* fold.run(image, [], { steps: 1_000_000 })
              })
            )
          )
          yield* Effect.sleep("1500 millis")
          expect(ticks).toBeGreaterThan(2)
          const asked = performance.now()
          yield* Fiber.interrupt(working)
          expect(performance.now() - asked).toBeLessThan(2000)
          yield* Fiber.interrupt(clock)
          const after = yield* device.memory
          expect([after.liveBytes, after.liveBuffers]).toEqual([
            before.liveBytes,
            before.liveBuffers
          ])
        })
      )
    })
  })
}

describe("layerAuto", () => {
  const named = (value: string | undefined) =>
    Effect.gen(function* () {
      const device = yield* Device.Device
      return [device.name, device.description] as const
    }).pipe(
      Effect.provide(Device.layerAuto),
      Effect.provideService(
        ConfigProvider.ConfigProvider,
        ConfigProvider.fromUnknown(value === undefined ? {} : { ODEON_DEVICE: value })
      )
    )

  plain("takes ONNX Runtime unless told, and says so", async () => {
    const [name, description] = await Effect.runPromise(named(undefined))
    expect(name).toBe("cpu")
    expect(description).toContain("default")
  })

  plain("takes what it is told", async () => {
    const [name, description] = await Effect.runPromise(named("reference"))
    expect(name).toBe("reference")
    expect(description).toContain("ODEON_DEVICE")
  })

  plain("refuses an unknown name, with the nearest", async () => {
    const error = await Effect.runPromise(Effect.flip(named("refrence")))
    expect(error).toMatchObject({ _tag: "DeviceUnavailable", device: "refrence" })
    expect(error.message).toContain('did you mean "reference"')
  })

  plain("refuses a device that is not there, and says what it would need", async () => {
    const error = await Effect.runPromise(Effect.flip(named("tfjs-node-gpu")))
    expect(error.message).toContain("@tensorflow/tfjs-node-gpu")
    expect(error.message).toContain("cpu and reference")
  })
})

plain("a scope that is closed by hand frees what was made in it", async () => {
  const program = Effect.gen(function* () {
    const device = yield* Device.Device
    const scope = yield* Scope.make()
    yield* Scope.provide(device.upload(four), scope)
    expect((yield* device.memory).liveBytes).toBe(16)
    yield* Scope.close(scope, Exit.void)
    expect((yield* device.memory).liveBytes).toBe(0)
  })
  await Effect.runPromise(program.pipe(Effect.provide(Device.layerReference())))
})
