/** What a training step through a dynamic block takes of memory, as devices measure it. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as Device from "../../src/Device/Device.ts"
import { Derivative, DynamicBlock, Integrator } from "../../src/Layer/index.ts"
import { Gradient, Program, Tensor, Tree } from "../../src/Tensor/index.ts"
import { all } from "../support/devices.ts"

const embedding = 3

const blockOf = (integrator: Integrator.Integrator) =>
  DynamicBlock.first({
    derivative: Derivative.first({
      channels: 4,
      norm: "group",
      groups: 2,
      activation: "silu",
      activate: "before",
      residual: true,
      odeTime: true,
      embedding
    }),
    integrator
  })

const steps = [4, 16, 64]

/** A training step of one block: loss and gradients. */
const train = (
  method: Integrator.MethodName,
  adjoint: keyof typeof Integrator.adjoints,
  count: number
) => {
  const block = blockOf(Integrator.of({ method, steps: count, adjoint }))
  const inputs = {
    weights: block.parameters,
    x: Tensor.spec([4, 4, 8, 8]),
    c: { embedding: Tensor.spec([4, embedding]) }
  }
  return Program.makeUnsafe(inputs as any, ({ weights, x, c }: any) => {
    const loss = Tensor.mean(Tensor.square(block.apply(weights, x, c)))
    return { loss, gradients: Gradient.of(loss, weights) }
  })
}

for (const device of all) {
  layer(device.layer, { excludeTestServices: true })(`memory on ${device.name}`, (it) => {
    it.effect("of a training step does not grow with the steps, where it need not", () =>
      Effect.gen(function* () {
        const peak = (
          method: Integrator.MethodName,
          adjoint: keyof typeof Integrator.adjoints,
          count: number
        ) =>
          Effect.gen(function* () {
            const own = yield* Device.Device
            const program = train(method, adjoint, count)
            const executable = yield* own.compile(program)
            const zeros = Tree.remap<any>(program.inputs, ({ shape, dtype }: Tensor.Spec) =>
              Tensor.hostArray(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1), {
                shape,
                dtype
              } as never)
            )
            yield* executable.run(zeros)
            return (yield* own.memory).peakBytes
          }).pipe(Effect.scoped, Effect.provide(device.layer, { local: true }))
        const peaks = (method: Integrator.MethodName, adjoint: keyof typeof Integrator.adjoints) =>
          Effect.all(steps.map((count) => peak(method, adjoint, count)))
        const [few, , many] = yield* peaks("rk4", "checkpointed")
        expect(many / few).toBeGreaterThan(1.5)
        for (const [method, adjoint] of [
          ["coupled-rk4", "reversible"],
          ["reversible-heun", "reversible"],
          ["rk4", "backsolve"]
        ] as const) {
          const bytes = yield* peaks(method, adjoint)
          expect(bytes[2] / bytes[0], `${method}, ${adjoint}: ${bytes}`).toBeLessThan(1.01)
        }
      })
    )
  })
}
