import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, describe, expect, it } from "vitest"
import * as OnnxFile from "../../src/Device/OnnxFile.ts"
import * as Program from "../../src/Tensor/Program.ts"
import * as Tensor from "../../src/Tensor/Tensor.ts"

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "odeon-onnx-"))
afterAll(() => Fs.rmSync(folder, { recursive: true }))

const program = Program.makeUnsafe(
  { image: Tensor.spec([1, 2, 4, 4]), weights: { kernel: Tensor.spec([3, 2, 3, 3]) } },
  ({ image, weights }) => ({
    features: Tensor.silu(Tensor.conv(image, weights.kernel, { padding: 1 }))
  }),
  { name: "stem" }
)

const inputs = {
  image: Tensor.hostArray(new Float32Array(32).fill(1), { shape: [1, 2, 4, 4] }),
  "weights.kernel": Tensor.hostArray(new Float32Array(54).fill(0.1), { shape: [3, 2, 3, 3] })
}

describe("a model file", () => {
  it("is written whole, has the program's names, and runs again", async () => {
    const path = Path.join(folder, "stem.onnx")
    await Effect.runPromise(OnnxFile.write(program, path))
    expect(Fs.readdirSync(folder)).toEqual(["stem.onnx"])
    const model = OnnxFile.read(path)
    const { features } = await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(model, (model) => {
          expect(model.inputs.map(({ name }) => name)).toEqual(["image", "weights.kernel"])
          expect(model.outputs.map(({ name }) => name)).toEqual(["features"])
          return model.run(inputs)
        })
      )
    )
    // 18 products of 1 and 0.1 in the middle, 8 at a corner
    const silu = (x: number) => x / (1 + Math.exp(-x))
    expect(features.shape).toEqual([1, 3, 4, 4])
    expect(Number(features.data[5])).toBeCloseTo(silu(1.8), 5)
    expect(Number(features.data[0])).toBeCloseTo(silu(0.8), 5)
  })

  it("refuses inputs that do not fit, and names them", async () => {
    const path = Path.join(folder, "again.onnx")
    await Effect.runPromise(OnnxFile.write(program, path))
    const error = await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(OnnxFile.read(path), (model) =>
          Effect.flip(model.run({ image: inputs.image }))
        )
      )
    )
    expect(error.reason).toBe("Mismatch")
    expect(error.message).toContain("weights.kernel")
  })

  it("that is damaged, missing or no model is a typed error that names it", async () => {
    const damaged = Path.join(folder, "damaged.onnx")
    Fs.writeFileSync(damaged, "not a model")
    const read = (path: string) =>
      Effect.runPromise(Effect.flip(Effect.scoped(OnnxFile.read(path))))
    expect(await read(damaged)).toMatchObject({ _tag: "CompileError", reason: "Corrupt" })
    const missing = await read(Path.join(folder, "missing.onnx"))
    expect(missing).toMatchObject({ _tag: "CompileError", reason: "Failed" })
    expect(missing.message).toContain("missing.onnx")
  })

  it("that cannot be written leaves nothing behind", async () => {
    const error = await Effect.runPromise(
      Effect.flip(OnnxFile.write(program, Path.join(folder, "nowhere", "stem.onnx")))
    )
    expect(error.message).toContain("nowhere")
    expect(Fs.readdirSync(folder).filter((each) => each.endsWith(".part"))).toEqual([])
  })
})
